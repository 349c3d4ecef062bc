"""Run the nodes of a network in this process: ready in milliseconds, without root or containers."""

import asyncio
import contextlib
from collections.abc import Sequence

from session_testnet.endpoints import LOOPBACK, allocate_node_addresses, bind_socket, listening_host
from session_testnet.engines.base import Capabilities, EngineError, EngineOptions, Node, Surroundings
from session_testnet.engines.hosted_node import HostedNode, NodeParts
from session_testnet.engines.omq import OmqSide
from session_testnet.faults import RuleGate
from session_testnet.peers import DirectPeerLink
from session_testnet.process_tuning import allow_open_files
from session_testnet.topology import NodeSpec, Topology


class EmbeddedProvider:
    """Make nodes inside the calling event loop; pause and kill act at their sockets."""

    name = "embedded"
    capabilities = Capabilities(pause=True, kill=True, exec=False)

    def __init__(self) -> None:
        self._nodes: dict[str, HostedNode] = {}
        self._peers = DirectPeerLink()
        self._omq = OmqSide()
        self._gate: RuleGate | None = None
        self._surroundings: Surroundings | None = None
        self._parts: NodeParts | None = None

    async def prepare(self, topology: Topology, options: EngineOptions) -> None:
        """Do nothing: the nodes are where their network is."""

    async def open(self, surroundings: Surroundings) -> None:
        """Make what all nodes share."""
        nodes = len(surroundings.topology.nodes)
        allow_open_files(nodes)
        self._omq.prepare(nodes)
        self._surroundings = surroundings
        self._gate = RuleGate(
            surroundings.faults,
            surroundings.trace,
            self._swarm_answer,
            self._set_skew_by_rule,
            kill=surroundings.kill,
            watch=surroundings.requests,
        )
        self._parts = NodeParts(
            clock=surroundings.clock,
            trace=surroundings.trace,
            peers=self._peers,
            gate=self._gate,
            exits=surroundings.exits,
            oxend=surroundings.oxend,
            omq=self._omq,
            version=surroundings.topology.storage_version,
            limits=surroundings.topology.storage,
            advertise_ip=surroundings.options.advertise_ip,
        )

    async def bind(self, specs: Sequence[NodeSpec]) -> list[Node]:
        """Return nodes that listen at addresses of their own where the system has so many."""
        assert self._surroundings is not None, "a provider is opened first"
        assert self._parts is not None, "a provider is opened first"
        options = self._surroundings.options
        nodes: list[HostedNode] = []
        with contextlib.ExitStack() as undone:
            # All sockets are bound before any service is made: the registry tells the ports of every node.
            for spec, host in zip(specs, self._free_hosts(len(specs)), strict=True):
                listener = undone.enter_context(bind_socket(host))
                omq = self._omq.bind(host, undone)
                nodes.append(HostedNode(spec, listener, omq, options.advertise_ip))
            equipped: list[HostedNode] = []
            try:
                for node in nodes:
                    equipped.append(node)
                    node.equip(self._parts, options.directory(node.spec.name))
            except BaseException:
                await asyncio.gather(*(node.discard() for node in equipped))
                raise
            undone.pop_all()
        self._nodes.update({node.spec.name: node for node in nodes})
        return list(nodes)

    async def discard(self, node: Node) -> None:
        """End a node for good and give its address to others."""
        await node.discard()
        self._nodes.pop(node.spec.name, None)

    async def clock_moved(self) -> None:
        """Do nothing: the nodes look at the network's own clock."""

    async def faults_changed(self) -> None:
        """Do nothing: the nodes' gate looks into the network's own book."""

    async def collect(self) -> None:
        """Do nothing: the nodes write into the network's own trace."""

    def release(self) -> None:
        """End what faults hold back: it would keep the listeners from closing."""
        if self._gate is not None:
            self._gate.close()
        self._omq.release()

    async def close(self) -> None:
        """End the background thread of OMQ; safe to call twice."""
        await self._omq.close()
        self._nodes.clear()

    def _free_hosts(self, count: int) -> list[str]:
        """Return where new nodes listen; under one advertised address they differ by port."""
        assert self._surroundings is not None, "a provider is opened first"
        advertise_ip = self._surroundings.options.advertise_ip
        if advertise_ip is not None:
            return [listening_host(advertise_ip)] * count
        taken = {node.endpoints.bind.host for node in self._nodes.values()}
        hosts = [host for host in allocate_node_addresses(count + len(taken)) if host not in taken]
        return (hosts or [LOOPBACK] * count)[:count]

    def _node(self, name: str) -> HostedNode:
        try:
            return self._nodes[name]
        except KeyError:
            raise EngineError("ask", name, "there is no such node") from None

    def _swarm_answer(self, node_name: str, account: str) -> dict[str, object]:
        return self._node(node_name).service.swarm_answer(account)

    def _set_skew_by_rule(self, node_name: str, offset_ms: int) -> None:
        self._node(node_name).turn_clock(offset_ms)
