"""The registry's model of the network: blocks, nodes, swarms and names, without any transport."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from session_protocol import ons
from session_protocol.service_nodes import NodeIdentity
from session_protocol.swarm_assignment import assign
from session_protocol.swarms import UNASSIGNED
from session_testnet.endpoints import Endpoint
from session_testnet.hinted_error import HintedError
from session_testnet.services.registry.snapshot import NetworkSnapshot, NodeInfo
from session_testnet.topology import Topology, derive_seed, swarm_assignment_seed

# The port that storage servers use for OMQ and QUIC unless told otherwise (network §1).
DEFAULT_OMQ_PORT = 22020

Subscriber = Callable[[NetworkSnapshot], None]


class RegistryError(HintedError, ValueError):
    """Say which change of the network is impossible, and why."""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node with what only the chain knows of it: block heights and its history.

    ``unreachable_since_s`` is when its reachability tests began to fail, None while they succeed, and
    ``last_unreachable_s`` when they last failed before that, 0 for never (Unix seconds).
    """

    info: NodeInfo
    registration_height: int
    state_height: int
    decommission_count: int = 0
    unreachable_since_s: int | None = None
    last_unreachable_s: int = 0

    @property
    def reachable(self) -> bool:
        """Tell whether the node passes its reachability tests."""
        return self.unreachable_since_s is None


@dataclass(frozen=True, slots=True)
class NameRecord:
    """A registered name: the encrypted Account ID and the nonce it was encrypted with (network §3.2)."""

    encrypted_value: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class RegistryImage:
    """All that a registry knows, as one value: what a copy of it elsewhere needs; see RegistryState."""

    seed: str
    hardfork: tuple[int, int]
    height: int
    explicit_swarms: bool
    records: tuple[NodeRecord, ...]
    names: tuple[tuple[bytes, NameRecord], ...]


class RegistryState:
    """Hold the network's present state; every change makes a new block and tells the subscribers.

    ``explicit_swarms`` keeps nodes in the swarms that they name; otherwise active nodes are assigned by the
    consensus rule at each change (network §7). Used from one thread, the loop's.
    """

    def __init__(
        self,
        *,
        seed: str = "0",
        height: int = 2_000_000,
        hardfork: tuple[int, int] = (21, 2),
        explicit_swarms: bool = False,
    ) -> None:
        self.seed = seed
        self.hardfork = hardfork
        self.explicit_swarms = explicit_swarms
        self._height = height
        self._records: dict[str, NodeRecord] = {}
        self._names: dict[bytes, NameRecord] = {}
        self._subscribers: list[Subscriber] = []
        self._snapshot: NetworkSnapshot | None = None

    @classmethod
    def from_topology(
        cls,
        topology: Topology,
        advertised: Mapping[str, Endpoint],
        *,
        omq_ports: Mapping[str, int] | None = None,
    ) -> "RegistryState":
        """Make the state of a network at its start; ``advertised`` has each node's address by name."""
        state = cls(
            seed=topology.seed,
            height=topology.height,
            hardfork=topology.hardfork,
            explicit_swarms=topology.explicit_swarms,
        )
        for record in topology.names:
            # The nonce derives from the seed, so that the record is the same each time.
            nonce = derive_seed(topology.seed, "name nonce", record.name)[: ons.NONCE_BYTES]
            value = ons.encrypt_account_id(record.name, record.account_id, nonce)
            state.register_name(ons.name_hash(record.name), NameRecord(value, nonce))
        swarm_ids = topology.swarm_ids()
        for spec in topology.nodes:
            identity = NodeIdentity.from_seed(spec.seed)
            endpoint = advertised[spec.name]
            info = NodeInfo(
                name=spec.name,
                ed25519_pk=identity.ed25519_pk.hex(),
                x25519_pk=identity.x25519_pk.hex(),
                ip=endpoint.host,
                https_port=endpoint.port,
                omq_port=(omq_ports or {}).get(spec.name, DEFAULT_OMQ_PORT),
                swarm_id=swarm_ids[spec.name],
                version=topology.storage_version,
            )
            state._records[spec.name] = NodeRecord(info, registration_height=1, state_height=1)
        return state

    def restore(self, records: Iterable[NodeRecord], *, height: int, explicit_swarms: bool) -> None:
        """Take up a chain where it was left; nobody is told, because nobody knows another state yet."""
        self._records = {record.info.name: record for record in records}
        self._height = height
        self.explicit_swarms = explicit_swarms
        self._snapshot = None

    @classmethod
    def of_image(cls, image: RegistryImage) -> "RegistryState":
        """Make a copy of another registry."""
        state = cls(seed=image.seed, hardfork=image.hardfork)
        state.restore(image.records, height=image.height, explicit_swarms=image.explicit_swarms)
        state._names = dict(image.names)
        return state

    def image(self) -> RegistryImage:
        """Return all that this registry knows."""
        return RegistryImage(
            seed=self.seed,
            hardfork=self.hardfork,
            height=self._height,
            explicit_swarms=self.explicit_swarms,
            records=self.records,
            names=tuple(self._names.items()),
        )

    @property
    def height(self) -> int:
        """Return the height of the top block."""
        return self._height

    @property
    def records(self) -> tuple[NodeRecord, ...]:
        """Return every node with its history, in order of registration."""
        return tuple(self._records.values())

    def block_hash(self, height: int | None = None) -> str:
        """Return a block's hash, by default the top block's: 64 hex digits derived from the seed."""
        wanted = self._height if height is None else height
        return derive_seed(self.seed, "block", str(wanted)).hex()

    def snapshot(self) -> NetworkSnapshot:
        """Return the present state as an unchanging value; the same object until the next change."""
        if self._snapshot is None:
            self._snapshot = NetworkSnapshot.of(
                (record.info for record in self._records.values()),
                height=self._height,
                block_hash=self.block_hash(),
                hardfork=self.hardfork,
            )
        return self._snapshot

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call ``callback`` with the new snapshot after each change; return a function that ends this."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    def advance(self, blocks: int = 1) -> NetworkSnapshot:
        """Add empty blocks: height and block hash change, the nodes do not."""
        if blocks < 1:
            raise RegistryError(f"a chain cannot grow by {blocks} blocks", "it grows by one or more")
        self._height += blocks - 1
        return self._publish(dict(self._records), reassign=False)

    def add_node(self, info: NodeInfo) -> NodeInfo:
        """Register a node and return it with the swarm it got.

        With explicit swarms it goes where it says, or into the smallest swarm when it says UNASSIGNED.
        """
        if info.name in self._records:
            raise RegistryError(f"there is already a node {info.name}", "node names must differ")
        if any(record.info.ed25519_pk == info.ed25519_pk for record in self._records.values()):
            raise RegistryError(
                f"the key {info.ed25519_pk} is already registered", "each node needs a key of its own"
            )
        if not self.explicit_swarms:
            info = replace(info, swarm_id=UNASSIGNED)
        elif info.swarm_id == UNASSIGNED:
            info = replace(info, swarm_id=self._smallest_swarm())
        record = NodeRecord(info, registration_height=self._height + 1, state_height=self._height + 1)
        self._publish({**self._records, info.name: record}, reassign=not self.explicit_swarms)
        return self._records[info.name].info

    def remove_node(self, name: str) -> None:
        """Deregister a node."""
        self._record(name)
        remaining = {other: record for other, record in self._records.items() if other != name}
        self._publish(remaining, reassign=not self.explicit_swarms)

    def decommission(self, name: str) -> None:
        """Take a node out of its swarm; it stays registered and goes on relaying (network §10)."""
        record = self._record(name)
        if not record.info.active:
            raise RegistryError(f"the node {name} is already decommissioned")
        self._change(
            replace(
                record,
                info=replace(record.info, active=False, swarm_id=UNASSIGNED),
                decommission_count=record.decommission_count + 1,
            )
        )

    def recommission(self, name: str) -> None:
        """Make a decommissioned node active again; it may come into another swarm."""
        record = self._record(name)
        if record.info.active:
            raise RegistryError(
                f"the node {name} is active", "only a decommissioned node can be recommissioned"
            )
        swarm_id = self._smallest_swarm() if self.explicit_swarms else UNASSIGNED
        self._change(replace(record, info=replace(record.info, active=True, swarm_id=swarm_id)))

    def move_node(self, name: str, swarm_id: int) -> None:
        """Put an active node into a swarm by hand; from now on no rule moves nodes."""
        record = self._record(name)
        if not record.info.active or not 0 <= swarm_id <= UNASSIGNED:
            raise RegistryError(
                f"the node {name} cannot join swarm {swarm_id:x}",
                "it must be active, and the id an unsigned 64-bit number",
            )
        self.explicit_swarms = True
        self._change(replace(record, info=replace(record.info, swarm_id=swarm_id)))

    def set_endpoint(self, name: str, advertised: Endpoint) -> None:
        """Announce a node's new address."""
        record = self._record(name)
        moved = replace(record.info, ip=advertised.host, https_port=advertised.port)
        self._publish({**self._records, name: replace(record, info=moved)}, reassign=False)

    def set_version(self, name: str, version: tuple[int, int, int]) -> None:
        """Announce the release of the storage server that a node runs."""
        record = self._record(name)
        self._publish(
            {**self._records, name: replace(record, info=replace(record.info, version=version))},
            reassign=False,
        )

    def set_reachable(self, name: str, reachable: bool, *, now_s: int) -> None:
        """Report how a node's last reachability test ended; it stays listed either way (network §10)."""
        record = self._record(name)
        if reachable == record.reachable:
            return
        changed = (
            replace(record, unreachable_since_s=None, last_unreachable_s=now_s)
            if reachable
            else replace(record, unreachable_since_s=now_s)
        )
        self._publish({**self._records, name: changed}, reassign=False)

    def register_name(self, name_hash: bytes, record: NameRecord) -> None:
        """Register what ``ons_resolve`` answers for a 32-byte name hash."""
        if len(name_hash) != 32 or len(record.nonce) != 24:
            raise RegistryError("a name hash has 32 bytes and its nonce 24")
        self._names[name_hash] = record

    def resolve_name(self, name_hash: bytes) -> NameRecord | None:
        """Return what is registered for a name hash, or None."""
        return self._names.get(name_hash)

    def _record(self, name: str) -> NodeRecord:
        try:
            return self._records[name]
        except KeyError:
            known = ", ".join(self._records) or "none"
            raise RegistryError(f"there is no node {name!r}", f"nodes: {known}") from None

    def _smallest_swarm(self) -> int:
        swarms = self.snapshot().swarms
        return min(swarms, key=lambda swarm_id: (len(swarms[swarm_id]), swarm_id), default=0)

    def _change(self, record: NodeRecord) -> None:
        changed = replace(record, state_height=self._height + 1)
        self._publish({**self._records, record.info.name: changed}, reassign=not self.explicit_swarms)

    def _publish(self, records: dict[str, NodeRecord], *, reassign: bool) -> NetworkSnapshot:
        """Make a block with these nodes and tell everyone."""
        self._height += 1
        self._records = self._assigned(records) if reassign else records
        self._snapshot = None
        snapshot = self.snapshot()
        for callback in tuple(self._subscribers):
            callback(snapshot)
        return snapshot

    def _assigned(self, records: dict[str, NodeRecord]) -> dict[str, NodeRecord]:
        """Let the consensus rule put every active node into a swarm (network §7)."""
        swarms: dict[int, list[str]] = {}
        unassigned: list[str] = []
        active = sorted(
            (record.info.ed25519_pk, record.info.swarm_id)
            for record in records.values()
            if record.info.active
        )
        for key, swarm_id in active:
            (unassigned if swarm_id == UNASSIGNED else swarms.setdefault(swarm_id, [])).append(key)
        if not active:
            return records
        result = assign(swarms, unassigned, swarm_assignment_seed(self.block_hash()))
        swarm_of_key = {key: swarm_id for swarm_id, members in result.items() for key in members}
        return {
            name: replace(
                record,
                info=replace(record.info, swarm_id=swarm_of_key.get(record.info.ed25519_pk, UNASSIGNED)),
            )
            for name, record in records.items()
        }
