"""What a network consists of: nodes with keys and swarms, rooms, and the release that it imitates."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from session_protocol.accounts import IdKind, id_kind, parse_account_id
from session_protocol.errors import InvalidId
from session_protocol.service_nodes import NodeIdentity
from session_protocol.swarm_assignment import assign
from session_protocol.swarms import UNASSIGNED
from session_testnet.knobs import FAULTLESS, NodeKnobs
from session_testnet.storage_limits import DEFAULT_LIMITS, StorageLimits
from session_testnet.topology_file_server import FILES_KEYS, FilesSpec, parse_files
from session_testnet.topology_table import TopologyError, TopologyTable

__all__ = [
    "MAX_NODES",
    "MIN_NODES",
    "PROFILES",
    "AccountSpec",
    "FilesSpec",
    "Line",
    "NameSpec",
    "NodeSpec",
    "Profile",
    "RoleSpec",
    "RoomSpec",
    "Topology",
    "TopologyError",
    "check_node_count",
    "default_nodes",
    "derive_seed",
    "load_topology",
    "parse_topology",
    "swarm_assignment_seed",
]

# Logs, traces and data directories tell services and nodes apart by their names.
SERVICE_NAMES = frozenset({"registry", "community", "files", "push", "gateway", "control"})

MIN_NODES = 1
MAX_NODES = 2000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
# Room tokens as the community server accepts them (real-clients §6, join link).
_ROOM_TOKEN = re.compile(r"[0-9a-zA-Z_-]{1,64}")
_ONS_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62}[a-z0-9_])?")
_MODERATING_KINDS = (IdKind.STANDARD, IdKind.BLINDED15, IdKind.BLINDED25)
_PERSON = b"session-testnet"


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A service node: its name, the 32-byte seed of its Ed25519 key, and its swarm if that is given.

    ``swarm_id`` None leaves the choice to the network's own assignment rule (network §7); 2^64-1 means a node
    that relays and belongs to no swarm. ``knobs`` are those that it starts with.
    """

    name: str
    seed: bytes
    swarm_id: int | None = None
    knobs: NodeKnobs = FAULTLESS

    def __post_init__(self) -> None:
        _check_name("node", self.name)
        if self.name in SERVICE_NAMES:
            raise TopologyError(
                f"a node cannot be named {self.name}", "a service of the network has that name already"
            )
        if len(self.seed) != 32:
            raise TopologyError(
                f"the seed of node {self.name} has {len(self.seed)} bytes", "a seed has 32 bytes"
            )
        if self.swarm_id is not None and not 0 <= self.swarm_id <= UNASSIGNED:
            raise TopologyError(
                f"the swarm id {self.swarm_id} of node {self.name} is no unsigned 64-bit number"
            )

    def __repr__(self) -> str:
        swarm = None if self.swarm_id is None else f"{self.swarm_id:x}"
        return f"NodeSpec(name={self.name!r}, swarm={swarm})"


@dataclass(frozen=True, slots=True)
class NameSpec:
    """A name that is registered on the chain and resolves to an Account ID."""

    name: str
    account_id: str

    def __post_init__(self) -> None:
        if not _ONS_NAME.fullmatch(self.name):
            raise TopologyError(
                f"{self.name!r} is no name that can be registered",
                "use up to 64 lower-case letters, digits, hyphens and underscores, like alice",
            )
        try:
            parse_account_id(self.account_id)
        except InvalidId as error:
            raise TopologyError(f"the name {self.name} cannot resolve to that: {error}") from error


@dataclass(frozen=True, slots=True)
class RoomSpec:
    """A community room that exists from the start, with texts that the server itself has posted there.

    The default rights are those of everybody for whom nothing else is said.
    """

    token: str
    name: str = ""
    description: str = ""
    messages: tuple[str, ...] = ()
    default_read: bool = True
    default_accessible: bool = True
    default_write: bool = True
    default_upload: bool = True

    def __post_init__(self) -> None:
        if not _ROOM_TOKEN.fullmatch(self.token):
            raise TopologyError(
                f"{self.token!r} is no room token",
                "a token has 1 to 64 letters, digits, hyphens or underscores",
            )
        if not self.name:
            object.__setattr__(self, "name", self.token)


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """Somebody who moderates the community from the start: one room, or the whole server without one.

    ``visible`` None shows moderators of a room, and hides those of the server.
    """

    id: str
    room: str | None = None
    admin: bool = False
    visible: bool | None = None

    def __post_init__(self) -> None:
        if id_kind(self.id) not in _MODERATING_KINDS:
            raise TopologyError(
                f"{self.id!r} cannot moderate",
                "write an Account ID, or a blinded id of this community: 66 hex digits, 05, 15 or 25 first",
            )


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """An account for people who try apps out: its name, and the 16 bytes behind its recovery password."""

    name: str
    entropy: bytes

    def __post_init__(self) -> None:
        if not self.name or len(self.entropy) != 16:
            raise TopologyError("an account has a name, and a seed of 16 bytes")

    def __repr__(self) -> str:
        return f"AccountSpec(name={self.name!r})"


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a conversation, between accounts by name."""

    sender: str
    recipient: str
    text: str


@dataclass(frozen=True, slots=True)
class Profile:
    """The sizes and rooms that suit a kind of client, and who has talked to whom there.

    ``swarms`` None leaves them to the network's own rule.
    """

    nodes: int
    rooms: tuple[RoomSpec, ...]
    require_blinding: bool = True
    swarms: int | None = None
    accounts: tuple[str, ...] = ()
    conversation: tuple[Line, ...] = ()


_LOBBY = RoomSpec("lobby", "Lobby", "A room of the local network", ("Welcome to the local Session network.",))

# default: two swarms under the real rule; libraries: the least that every library accepts (real-clients
# §0.4), and a community that takes unblinded requests, the only ones that session-python makes; apps: what
# Desktop's refresh needs.
PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "default": Profile(14, (_LOBBY,)),
        "libraries": Profile(3, (_LOBBY,), require_blinding=False),
        "apps": Profile(
            24,
            (
                _LOBBY,
                RoomSpec(
                    "testing",
                    "Testing",
                    "A room to try things out",
                    ("First message of this room.", "Second message: with an emoji 🦉."),
                ),
            ),
            swarms=3,
            accounts=("Alice", "Bob"),
            conversation=(
                Line("Alice", "Bob", "Hello Bob, is this the local network?"),
                Line("Bob", "Alice", "It is. Nothing leaves this machine."),
                Line("Alice", "Bob", "Then it is the place to try things out 🦉"),
            ),
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole network, fully determined: the same value gives the same keys, swarms and block hashes.

    ``hardfork`` is ``hf`` of node answers, ``height`` the top block at the start.
    """

    name: str
    seed: str
    nodes: tuple[NodeSpec, ...]
    rooms: tuple[RoomSpec, ...] = ()
    hardfork: tuple[int, int] = (21, 2)
    storage_version: tuple[int, int, int] = (2, 11, 3)
    # Past what tests of clients take for a young chain: upstream's own expect more than 1,234 blocks.
    height: int = 2_000_000
    files: FilesSpec = field(default_factory=FilesSpec)
    require_blinding: bool = True
    names: tuple[NameSpec, ...] = ()
    roles: tuple[RoleSpec, ...] = ()
    storage: StorageLimits = DEFAULT_LIMITS
    accounts: tuple[AccountSpec, ...] = ()
    conversation: tuple[Line, ...] = ()

    def __post_init__(self) -> None:
        _check_name("network", self.name)
        check_node_count(len(self.nodes))
        _check_unique("node", [node.name for node in self.nodes])
        # The server finds a room by its token whatever the case.
        tokens = [room.token.lower() for room in self.rooms]
        _check_unique("room", tokens)
        for role in self.roles:
            if role.room is not None and role.room.lower() not in tokens:
                raise TopologyError(
                    f"there is no room {role.room!r} to moderate",
                    f"the rooms are: {', '.join(room.token for room in self.rooms) or 'none'}",
                )
        _check_unique("role", [f"{role.id.lower()} {(role.room or '*').lower()}" for role in self.roles])
        _check_unique("account", [spec.name for spec in self.accounts])
        talking = {name for line in self.conversation for name in (line.sender, line.recipient)}
        if not talking <= {spec.name for spec in self.accounts}:
            raise TopologyError("somebody talks who has no account", "give an account to each")
        _check_unique("registered name", [spec.name for spec in self.names])
        if len({node.seed for node in self.nodes}) != len(self.nodes):
            raise TopologyError("two nodes have the same seed", "each node needs a key of its own")
        if self.height < 1:
            raise TopologyError(f"the height {self.height} is below 1", "a chain has at least one block")
        if not all(0 <= part <= 255 for part in (*self.hardfork, *self.storage_version)):
            raise TopologyError(
                "hard fork and version numbers go from 0 to 255", "records carry them as one byte each"
            )
        given = sum(node.swarm_id is not None for node in self.nodes)
        if given not in (0, len(self.nodes)):
            missing = next(node.name for node in self.nodes if node.swarm_id is None)
            raise TopologyError(
                f"{given} of {len(self.nodes)} nodes have a swarm id, {missing} has none",
                "give one to every node, or to none: then the network's own rule assigns all",
            )

    @classmethod
    def default(
        cls,
        nodes: int | None = None,
        *,
        name: str = "default",
        seed: str = "0",
        profile: str = "default",
        swarms: int | None = None,
    ) -> "Topology":
        """Return the network of a profile; ``nodes`` overrides its size.

        ``swarms`` spreads the nodes evenly over so many swarms instead of asking the real rule, which makes
        one swarm of fewer than 14 nodes; without it the profile says.
        """
        if profile not in PROFILES:
            raise TopologyError(f"there is no profile {profile!r}", f"profiles: {', '.join(PROFILES)}")
        chosen = PROFILES[profile]
        count = chosen.nodes if nodes is None else nodes
        if swarms is None and chosen.swarms is not None:
            swarms = max(1, min(chosen.swarms, count))
        return cls(
            name=name,
            seed=seed,
            nodes=default_nodes(count, seed, swarms),
            rooms=chosen.rooms,
            require_blinding=chosen.require_blinding,
            accounts=tuple(
                AccountSpec(each, derive_seed(seed, "account", each)[:16]) for each in chosen.accounts
            ),
            conversation=chosen.conversation,
        )

    def with_knobs(self, knobs: NodeKnobs) -> "Topology":
        """Return the same network, all of whose nodes start with these knobs."""
        return replace(self, nodes=tuple(replace(node, knobs=knobs) for node in self.nodes))

    @property
    def explicit_swarms(self) -> bool:
        """Tell whether swarm ids are given rather than assigned by the network's rule."""
        return self.nodes[0].swarm_id is not None

    def service_seed(self, name: str) -> bytes:
        """Return the 32-byte seed of a service such as "files" or "community"."""
        return derive_seed(self.seed, "service", name)

    def block_hash(self, height: int) -> str:
        """Return the hash of a block, 64 hex digits: derived from the seed, so it never drifts."""
        return derive_seed(self.seed, "block", str(height)).hex()

    def swarm_ids(self) -> dict[str, int]:
        """Return the swarm of each node by name: as given, or as a chain assigns them at its start."""
        given = {node.name: node.swarm_id for node in self.nodes if node.swarm_id is not None}
        if given:
            return given
        # The rule takes nodes in ascending order of their public keys (network §7).
        by_key = {NodeIdentity.from_seed(node.seed).ed25519_pk: node.name for node in self.nodes}
        swarms = assign({}, sorted(by_key), swarm_assignment_seed(self.block_hash(self.height)))
        return {by_key[key]: swarm_id for swarm_id, members in swarms.items() for key in members}


def swarm_assignment_seed(block_hash: str) -> int:
    """Return the assignment's random seed: a block hash's first 8 bytes, little endian (network §7)."""
    return int.from_bytes(bytes.fromhex(block_hash)[:8], "little")


def derive_seed(network_seed: str, role: str, name: str) -> bytes:
    """Derive the 32-byte secret of one part of a network by keyed BLAKE2b."""
    key = hashlib.blake2b(network_seed.encode(), person=_PERSON).digest()
    return hashlib.blake2b(f"{role}\0{name}".encode(), key=key, digest_size=32, person=_PERSON).digest()


def default_nodes(count: int, seed: str, swarms: int | None = None) -> tuple[NodeSpec, ...]:
    """Return ``count`` nodes named node-01, node-02 …, spread evenly over ``swarms`` swarms if given."""
    check_node_count(count)
    if swarms is not None and not 1 <= swarms <= count:
        raise TopologyError(f"{count} nodes cannot form {swarms} swarms", f"choose from 1 to {count}")
    names = [f"node-{number:02d}" for number in range(1, count + 1)]
    return tuple(
        NodeSpec(
            name,
            derive_seed(seed, "node", name),
            None if swarms is None else (index % swarms) * (2**64 // swarms),
        )
        for index, name in enumerate(names)
    )


def check_node_count(count: int) -> None:
    """Raise TopologyError for a number of nodes that no network can have."""
    if not MIN_NODES <= count <= MAX_NODES:
        raise TopologyError(
            f"a network cannot have {count} nodes",
            f"choose from {MIN_NODES} to {MAX_NODES}; libraries need 3, Desktop 9, Android and iOS 12",
        )


def load_topology(path: str | Path) -> Topology:
    """Read a topology from a TOML file; TopologyError names the file, the key and what is allowed there.

    Keys, all optional: ``name``, ``seed``, ``profile``, ``nodes`` (a number) or ``[[node]]`` tables
    (``name``, ``seed``, ``swarm_id``), ``swarms``, ``[[room]]`` tables (``token``, ``name``, ``description``,
    ``messages``, ``default_read``, ``default_accessible``, ``default_write``, ``default_upload``),
    ``[[role]]`` tables (``id``, ``room``: without it the whole community, ``admin``, ``visible``),
    ``[[name_record]]`` tables (``name``, ``account_id``: registered names), ``[knobs]`` for
    all nodes and in a ``[[node]]`` table ``knobs`` for one (:class:`~session_testnet.knobs.NodeKnobs`),
    ``height``, ``hardfork``, ``storage_version`` (the release that nodes imitate), ``[files]`` with
    ``[[files.release]]`` tables (:class:`FilesSpec`), ``require_blinding``, ``[storage]`` for the limits of
    all nodes (:class:`~session_testnet.storage_limits.StorageLimits`). A profile fills in what the file
    leaves out.
    """
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise TopologyError(
            f"cannot be read: {error.strerror or error}", "name a TOML file", file=file
        ) from error
    except UnicodeDecodeError as error:
        raise TopologyError(f"is not UTF-8 text: {error.reason} at byte {error.start}", file=file) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TopologyError(f"is not valid TOML: {error}", file=file) from error
    try:
        return parse_topology(data)
    except TopologyError as error:
        raise TopologyError(error.args[0], error.hint, file=file, key=error.key) from error


def parse_topology(data: Mapping[str, object]) -> Topology:
    """Make a topology from the content of a TOML file (see :func:`load_topology`)."""
    table = TopologyTable(data, _TOP_KEYS)
    seed = table.text("seed", "0")
    profile = table.text("profile", "default")
    swarms = table.number("swarms", None)
    count = table.number("nodes", None)
    node_tables = table.tables("node", _NODE_KEYS)
    if node_tables is not None and (count is not None or swarms is not None):
        raise TopologyError(
            "cannot be combined with [[node]] tables",
            "either list every node, or give numbers",
            key="nodes" if count is not None else "swarms",
        )
    with table.blaming("nodes" if swarms is None else "swarms"):
        base = Topology.default(count, seed=seed, profile=profile, swarms=swarms)
    rooms = table.tables("room", _ROOM_KEYS)
    roles = table.tables("role", _ROLE_KEYS)
    names = table.tables("name_record", _NAME_KEYS)
    knobs = table.knobs(FAULTLESS)
    with table.blaming(None):
        return Topology(
            name=table.text("name", "default"),
            seed=seed,
            nodes=base.with_knobs(knobs).nodes
            if node_tables is None
            else tuple(_node(each, seed, knobs) for each in node_tables),
            rooms=base.rooms if rooms is None else tuple(_room(each) for each in rooms),
            hardfork=table.numbers("hardfork", base.hardfork),
            storage_version=table.numbers("storage_version", base.storage_version),
            height=table.number("height", base.height),
            files=parse_files(table.table("files", FILES_KEYS)),
            require_blinding=table.flag("require_blinding", base.require_blinding),
            names=tuple(_registered_name(each) for each in names or ()),
            roles=tuple(_role(each) for each in roles or ()),
            storage=table.limits(),
            accounts=base.accounts,
            conversation=base.conversation,
        )


_TOP_KEYS = (
    *("name", "seed", "profile", "nodes", "swarms", "node", "room", "role", "name_record", "knobs"),
    *("height", "hardfork", "storage_version", "files", "require_blinding", "storage"),
)
_NODE_KEYS = ("name", "seed", "swarm_id", "knobs")
_NAME_KEYS = ("name", "account_id")
_ROOM_RIGHTS = ("default_read", "default_accessible", "default_write", "default_upload")
_ROOM_KEYS = ("token", "name", "description", "messages", *_ROOM_RIGHTS)
_ROLE_KEYS = ("id", "room", "admin", "visible")


def _node(table: TopologyTable, network_seed: str, knobs: NodeKnobs) -> NodeSpec:
    name = table.text("name", "")
    with table.blaming("name"):
        _check_name("node", name)
    with table.blaming(None):
        return NodeSpec(
            name,
            table.seed_bytes(derive_seed(network_seed, "node", name)),
            table.swarm_id(),
            table.knobs(knobs),
        )


def _registered_name(table: TopologyTable) -> NameSpec:
    with table.blaming(None):
        return NameSpec(table.text("name", ""), table.text("account_id", ""))


def _room(table: TopologyTable) -> RoomSpec:
    token = table.text("token", "")
    with table.blaming("token"):
        return RoomSpec(
            token,
            table.text("name", token),
            table.text("description", ""),
            table.texts("messages"),
            **{right: table.flag(right, True) for right in _ROOM_RIGHTS},
        )


def _role(table: TopologyTable) -> RoleSpec:
    user_id = table.text("id", "")
    with table.blaming("id"):
        return RoleSpec(
            user_id,
            table.text("room", "") or None,
            table.flag("admin", False),
            table.flag("visible", False) if table.has("visible") else None,
        )


def _check_name(kind: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise TopologyError(
            f"{name!r} is no name for a {kind}",
            "use up to 63 lower-case letters, digits and hyphens, like node-01",
        )


def _check_unique(kind: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise TopologyError(f"there are two {kind}s named {name}", "names must differ")
        seen.add(name)
