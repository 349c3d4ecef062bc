"""What a network tells the process of one of its nodes, and what it hears from there.

All are values that a :class:`~session_testnet.channel.Channel` carries; :func:`read` makes them anew there.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from session_testnet.services.registry.state import RegistryImage
from session_testnet.storage_limits import StorageLimits
from session_testnet.topology import NodeSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bind:
    """Listen; a port of 0 lets the system choose. ``omq`` False means that there shall be no OMQ."""

    spec: NodeSpec
    host: str
    port: int = 0
    omq_port: int = 0
    peer_port: int = 0
    omq: bool = True


@dataclass(frozen=True, slots=True)
class Bound:
    """Where the node listens, for clients and for other nodes, all at the host that was asked for."""

    port: int
    omq_port: int | None
    peer_port: int


@dataclass(frozen=True, slots=True)
class Equip:
    """What the node works with.

    ``directory`` is where it stores, None in memory; ``exits`` are (protocol, host, port, base URL);
    ``token`` is what the nodes of this network know each other by.
    """

    directory: str | None
    version: tuple[int, int, int]
    limits: StorageLimits
    exits: tuple[tuple[str, str, int, str], ...]
    clock_offset_ms: int
    token: str
    faults: "Faults"


@dataclass(frozen=True, slots=True)
class Faults:
    """All fault rules of the network; ``watched``: it counts the requests that nodes get."""

    rules: tuple[dict[str, Any], ...]
    watched: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """Whom the node is cut off from: other nodes, by their keys, and perhaps all clients."""

    keys: tuple[str, ...]
    clients: bool


@dataclass(frozen=True, slots=True)
class NetworkNews:
    """The registry's state, and where nodes take requests of other nodes: (key, host, port)."""

    registry: RegistryImage
    peers: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A request as a client would make it."""

    method: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An account, 33 bytes, and one of its namespaces."""

    account: bytes
    namespace: int


@dataclass(frozen=True, slots=True)
class Push:
    """What a node pushes to who has asked for new messages, in bt."""

    command: bytes
    body: bytes


def read(value: Any, kind: type[T]) -> T:
    """Return what arrived as the value that was sent; msgspec.ValidationError for anything else."""
    return msgspec.convert(value, kind)


__all__ = ["Bind", "Bound", "ClientRequest", "Equip", "Mailbox", "NetworkNews", "Push", "read"]
