"""One state of the service-node network: what nodes and clients learn from the registry."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from session_protocol.swarms import UNASSIGNED, choose_of_ascending, swarm_position


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A service node as the network knows it: keys in lower-case hex, advertised address and ports.

    ``active`` False means decommissioned: the node relays, and belongs to no swarm (network §7).
    """

    name: str
    ed25519_pk: str
    x25519_pk: str
    ip: str
    https_port: int
    omq_port: int
    swarm_id: int
    active: bool = True
    version: tuple[int, int, int] = (2, 11, 3)


@dataclass(frozen=True, slots=True)
class NetworkSnapshot:
    """The node list at one block.

    ``hardfork`` is the pair that node answers carry as ``hf``. ``nodes`` holds every node, also those without
    a swarm; ``swarms`` maps each swarm id to its members in ascending order of their keys.
    """

    height: int
    block_hash: str
    hardfork: tuple[int, int]
    nodes: tuple[NodeInfo, ...]
    swarms: Mapping[int, tuple[NodeInfo, ...]]
    _by_key: Mapping[str, NodeInfo] = field(init=False, repr=False, compare=False)
    _by_name: Mapping[str, NodeInfo] = field(init=False, repr=False, compare=False)
    _swarm_ids: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {node.ed25519_pk: node for node in self.nodes})
        object.__setattr__(self, "_by_name", {node.name: node for node in self.nodes})
        object.__setattr__(self, "_swarm_ids", tuple(sorted(self.swarms)))

    @classmethod
    def of(
        cls, nodes: Iterable[NodeInfo], *, height: int, block_hash: str, hardfork: tuple[int, int] = (21, 2)
    ) -> "NetworkSnapshot":
        """Make a snapshot of these nodes, grouped by the swarm each one names."""
        listed = tuple(nodes)
        swarms: dict[int, list[NodeInfo]] = {}
        for node in sorted(listed, key=lambda node: node.ed25519_pk):
            if node.active and node.swarm_id != UNASSIGNED:
                swarms.setdefault(node.swarm_id, []).append(node)
        grouped = {swarm_id: tuple(swarms[swarm_id]) for swarm_id in sorted(swarms)}
        return cls(height, block_hash, hardfork, listed, MappingProxyType(grouped))

    @property
    def swarm_ids(self) -> tuple[int, ...]:
        """Return the ids of all swarms, ascending."""
        return self._swarm_ids

    def swarm_of(self, account: bytes) -> tuple[int, tuple[NodeInfo, ...]]:
        """Return id and members of a 33-byte account's swarm; UNASSIGNED and none when there is no swarm."""
        swarm_id = choose_of_ascending(swarm_position(account), self._swarm_ids)
        return (UNASSIGNED, ()) if swarm_id is None else (swarm_id, self.swarms[swarm_id])

    def members(self, swarm_id: int) -> tuple[NodeInfo, ...]:
        """Return the members of a swarm; none when there is no such swarm."""
        return self.swarms.get(swarm_id, ())

    def by_key(self, ed25519_pk: str) -> NodeInfo | None:
        """Return the node with this Ed25519 key (hex of either case), or None."""
        return self._by_key.get(ed25519_pk.lower())

    def by_name(self, name: str) -> NodeInfo:
        """Return the node of this name; KeyError with the known names when there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(
                f"there is no node {name!r}; nodes: {', '.join(self._by_name) or 'none'}"
            ) from None
