"""Nodes that join a running network: names, addresses and keys, and waiting until all have their data."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence

from session_protocol.service_nodes import NodeIdentity
from session_protocol.swarms import UNASSIGNED
from session_testnet.endpoints import NodeEndpoints
from session_testnet.engines.base import EngineError, Node
from session_testnet.services.registry.snapshot import NodeInfo
from session_testnet.services.registry.state import DEFAULT_OMQ_PORT
from session_testnet.topology import NodeSpec, Topology, TopologyError, derive_seed


def free_name(taken: Collection[str]) -> str:
    """Return the first of node-01, node-02 … that is not taken."""
    number = 1
    while (name := f"node-{number:02d}") in taken:
        number += 1
    return name


def new_node(topology: Topology, name: str, swarm_id: int | None) -> NodeSpec:
    """Return a node whose key derives from the network's seed and its name; raise EngineError."""
    try:
        return NodeSpec(name, derive_seed(topology.seed, "node", name), swarm_id)
    except TopologyError as error:
        raise EngineError("add", name, error.message, error.hint) from error


def registration(
    topology: Topology, spec: NodeSpec, endpoints: NodeEndpoints, omq: NodeEndpoints | None = None
) -> NodeInfo:
    """Return what a joining node tells the registry."""
    identity = NodeIdentity.from_seed(spec.seed)
    return NodeInfo(
        name=spec.name,
        ed25519_pk=identity.ed25519_pk.hex(),
        x25519_pk=identity.x25519_pk.hex(),
        ip=endpoints.advertised.host,
        https_port=endpoints.advertised.port,
        omq_port=DEFAULT_OMQ_PORT if omq is None else omq.advertised.port,
        swarm_id=UNASSIGNED if spec.swarm_id is None else spec.swarm_id,
        version=topology.storage_version,
    )


async def settle(running: Callable[[], Sequence[Node]], deadline_s: float) -> int:
    """Deliver what running nodes owe each other; return how many pairs still do at the deadline."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        nodes = running()
        keys = frozenset(node.ed25519_hex for node in nodes)
        owed = await asyncio.gather(*(node.owed_to() for node in nodes))
        owing = sum(len(keys.intersection(to)) for to in owed)
        if not owing or loop.time() > end:
            return owing
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                await asyncio.gather(*(node.settled(keys) for node in nodes))
        # A refusal comes at once: let others act before the next try.
        await asyncio.sleep(0)
