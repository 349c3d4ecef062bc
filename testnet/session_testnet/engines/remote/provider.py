"""Make the nodes of a network outside this process, with whatever launches a place for each."""

import asyncio
import secrets
from collections.abc import Iterable, Sequence

from session_testnet.engines.base import (
    Capabilities,
    Doorway,
    EngineOptions,
    Node,
    NodeStatus,
    Surroundings,
)
from session_testnet.engines.remote.orders import NetworkNews
from session_testnet.engines.remote.places import Launcher
from session_testnet.engines.remote.remote_node import RemoteNode, bind_all
from session_testnet.topology import NodeSpec, Topology


class RemoteProvider:
    """Provide nodes that each run in a place of their own."""

    def __init__(self, launcher: Launcher) -> None:
        """Take what makes the places."""
        self._launcher = launcher
        self._nodes: dict[str, RemoteNode] = {}
        self._surroundings: Surroundings | None = None
        # The nodes of one network know each other by it.
        self._token = secrets.token_urlsafe(24)

    @property
    def name(self) -> str:
        """Return the name of the engine."""
        return self._launcher.name

    @property
    def capabilities(self) -> Capabilities:
        """Return what can be done with the nodes."""
        return self._launcher.capabilities

    async def prepare(self, topology: Topology, options: EngineOptions) -> Doorway | None:
        """Make what the places of the nodes will be in."""
        return await self._launcher.prepare(topology, options)

    async def open(self, surroundings: Surroundings) -> None:
        """Get ready for a network."""
        self._surroundings = surroundings
        await self._launcher.open(surroundings)

    async def bind(self, specs: Sequence[NodeSpec]) -> list[Node]:
        """Start a place for each node and let it listen."""
        assert self._surroundings is not None, "a provider is opened first"
        nodes = [
            RemoteNode(spec, self._launcher, self._surroundings, self._news, self._token) for spec in specs
        ]
        await bind_all(nodes)
        self._nodes.update({node.spec.name: node for node in nodes})
        return list(nodes)

    async def discard(self, node: Node) -> None:
        """End a node for good and give what it occupied to others."""
        await node.discard()
        self._launcher.forget(node.spec)
        self._nodes.pop(node.spec.name, None)

    async def clock_moved(self) -> None:
        """Tell all nodes how the network's clock stands."""
        assert self._surroundings is not None, "a provider is opened first"
        offset_ms = self._surroundings.clock.offset_ms
        await asyncio.gather(*(node.set_clock(offset_ms) for node in self._running()))

    async def faults_changed(self) -> None:
        """Tell all nodes the rules."""
        await asyncio.gather(*(node.tell_faults() for node in self._running()))

    async def collect(self) -> None:
        """Wait until all that running nodes have told is here."""
        await asyncio.gather(*(node.collect() for node in self._running()))

    def release(self) -> None:
        """Do nothing: each node lets go what faults hold back when it is told to end."""

    async def close(self) -> None:
        """End what the launcher runs; safe to call twice."""
        await asyncio.gather(*(node.discard() for node in self._nodes.values()))
        self._nodes.clear()
        await self._launcher.close()

    def _running(self) -> Iterable[RemoteNode]:
        return [node for node in self._nodes.values() if node.status is NodeStatus.RUNNING]

    def _news(self) -> NetworkNews:
        assert self._surroundings is not None, "a provider is opened first"
        peers = (
            (node.ed25519_hex, node.reach.peers.host, node.reach.peers.port) for node in self._nodes.values()
        )
        return NetworkNews(self._surroundings.registry().image(), tuple(peers))
