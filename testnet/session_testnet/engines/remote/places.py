"""Where a node can run outside this process, and how such a place is controlled."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from session_testnet.endpoints import Endpoint, NodeEndpoints
from session_testnet.engines.base import Capabilities, CommandResult, Doorway, EngineOptions, Surroundings
from session_testnet.engines.remote.orders import Bound
from session_testnet.topology import NodeSpec, Topology


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a node wants to listen inside its place; ports of 0 let the system choose."""

    host: str
    port: int = 0
    omq_port: int = 0
    peer_port: int = 0

    def again(self, bound: Bound) -> "Ports":
        """Return the same addresses as those that a node had."""
        return Ports(self.host, bound.port, bound.omq_port or 0, bound.peer_port)


@dataclass(frozen=True, slots=True)
class Reach:
    """How a node that is bound is reached: by clients over HTTPS and OMQ, and by other nodes."""

    https: NodeEndpoints
    omq: NodeEndpoints | None
    peers: Endpoint


class Place(Protocol):
    """A process or container that runs a node, with the stream over which it takes orders."""

    @property
    def reader(self) -> asyncio.StreamReader:
        """Return what arrives from the node."""

    @property
    def writer(self) -> asyncio.StreamWriter:
        """Return what leaves for the node."""

    def reach(self, host: str, bound: Bound) -> Reach:
        """Tell how a node is reached that listens at this host and these ports inside."""

    async def kill(self) -> None:
        """End the place at once; return when it has ended."""

    async def freeze(self) -> None:
        """Stop all its work, in the middle of whatever it does."""

    async def thaw(self) -> None:
        """Let it go on."""

    async def exec(self, command: Sequence[str], deadline_s: float) -> CommandResult:
        """Run a command there; raise EngineError when it does not end in time, or cannot be run."""

    async def ended(self, deadline_s: float) -> bool:
        """Wait until it has ended of its own accord; tell whether it has within the deadline."""


class Launcher(Protocol):
    """Make places for the nodes of one network."""

    @property
    def name(self) -> str:
        """Return the name of the engine."""

    @property
    def capabilities(self) -> Capabilities:
        """Return what can be done with the places."""

    @property
    def stores_here(self) -> bool:
        """Tell whether the directories of nodes are on this machine, under the names that nodes know."""

    async def prepare(self, topology: Topology, options: EngineOptions) -> Doorway | None:
        """Make what the places will be in; return how they reach this process, None: as everybody does."""

    async def open(self, surroundings: Surroundings) -> None:
        """Get ready for a network."""

    def ports(self, spec: NodeSpec) -> Ports:
        """Return where a new node is to listen."""

    def directory(self, spec: NodeSpec) -> str:
        """Return where a node stores, as it names the directory itself."""

    async def check_image(self, image: str) -> None:
        """Raise EngineError when a node cannot be run in an image."""

    async def launch(self, spec: NodeSpec, image: str | None) -> Place:
        """Start a place, in this image if one is named, and open the stream to it; raise EngineError."""

    def forget(self, spec: NodeSpec) -> None:
        """Give what a discarded node occupied to others."""

    async def close(self) -> None:
        """End what the launcher runs itself, and remove what it made; safe to call twice."""
