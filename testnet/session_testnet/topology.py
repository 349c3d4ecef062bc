"""What a network consists of: nodes with keys and swarms, rooms, and the release that it imitates."""

import contextlib
import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar, cast

from session_protocol.service_nodes import NodeIdentity
from session_protocol.swarm_assignment import assign
from session_protocol.swarms import UNASSIGNED

FileIdMode = Literal["numeric", "hash"]

FILE_ID_MODES: tuple[FileIdMode, ...] = ("numeric", "hash")

MIN_NODES = 1
MAX_NODES = 2000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
# Room tokens as the community server accepts them (real-clients §6, join link).
_ROOM_TOKEN = re.compile(r"[0-9a-zA-Z_-]{1,64}")
_HEX_ID = re.compile(r"[0-9a-fA-F]{1,16}")
_HEX_SEED = re.compile(r"[0-9a-fA-F]{64}")
_PERSON = b"session-testnet"


class TopologyError(ValueError):
    """Say what in a topology cannot be, where it stands, and how to mend it."""

    def __init__(
        self, message: str, hint: str = "", *, file: Path | None = None, key: str | None = None
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.file = file
        self.key = key

    def __str__(self) -> str:
        where = ": ".join(str(part) for part in (self.file, self.key) if part is not None)
        text = f"{where}: {self.args[0]}" if where else str(self.args[0])
        return f"{text} ({self.hint})" if self.hint else text


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A service node: its name, the 32-byte seed of its Ed25519 key, and its swarm if that is given.

    ``swarm_id`` None leaves the choice to the network's own assignment rule (network §7); 2^64-1 means a node
    that relays and belongs to no swarm.
    """

    name: str
    seed: bytes
    swarm_id: int | None = None

    def __post_init__(self) -> None:
        _check_name("node", self.name)
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
class RoomSpec:
    """A community room that exists from the start, with texts that the server itself has posted there."""

    token: str
    name: str = ""
    description: str = ""
    messages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _ROOM_TOKEN.fullmatch(self.token):
            raise TopologyError(
                f"{self.token!r} is no room token",
                "a token has 1 to 64 letters, digits, hyphens or underscores",
            )
        if not self.name:
            object.__setattr__(self, "name", self.token)


@dataclass(frozen=True, slots=True)
class Profile:
    """The sizes and rooms that suit a kind of client."""

    nodes: int
    rooms: tuple[RoomSpec, ...]
    require_blinding: bool = True


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
    height: int = 1000
    file_id_mode: FileIdMode = "numeric"
    require_blinding: bool = True

    def __post_init__(self) -> None:
        _check_name("network", self.name)
        check_node_count(len(self.nodes))
        _check_unique("node", [node.name for node in self.nodes])
        _check_unique("room", [room.token for room in self.rooms])
        if len({node.seed for node in self.nodes}) != len(self.nodes):
            raise TopologyError("two nodes have the same seed", "each node needs a key of its own")
        if self.height < 1:
            raise TopologyError(f"the height {self.height} is below 1", "a chain has at least one block")
        if not all(0 <= part <= 255 for part in (*self.hardfork, *self.storage_version)):
            raise TopologyError(
                "hard fork and version numbers go from 0 to 255", "records carry them as one byte each"
            )
        if self.file_id_mode not in FILE_ID_MODES:
            raise TopologyError(f"{self.file_id_mode!r} is no file id mode", 'choose "numeric" or "hash"')
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
        one swarm of fewer than 14 nodes.
        """
        if profile not in PROFILES:
            raise TopologyError(f"there is no profile {profile!r}", f"profiles: {', '.join(PROFILES)}")
        chosen = PROFILES[profile]
        count = chosen.nodes if nodes is None else nodes
        return cls(
            name=name,
            seed=seed,
            nodes=default_nodes(count, seed, swarms),
            rooms=chosen.rooms,
            require_blinding=chosen.require_blinding,
        )

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
    ``messages``), ``height``, ``hardfork``, ``storage_version``, ``file_id_mode``, ``require_blinding``. A
    profile fills in what the file leaves out.
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
    table = _Table(data, _TOP_KEYS)
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
    with table.blaming(None):
        return Topology(
            name=table.text("name", "default"),
            seed=seed,
            nodes=base.nodes if node_tables is None else tuple(_node(each, seed) for each in node_tables),
            rooms=base.rooms if rooms is None else tuple(_room(each) for each in rooms),
            hardfork=table.numbers("hardfork", base.hardfork),
            storage_version=table.numbers("storage_version", base.storage_version),
            height=table.number("height", base.height),
            file_id_mode=table.choice("file_id_mode", FILE_ID_MODES, base.file_id_mode),
            require_blinding=table.flag("require_blinding", base.require_blinding),
        )


_TOP_KEYS = (
    *("name", "seed", "profile", "nodes", "swarms", "node", "room"),
    *("height", "hardfork", "storage_version", "file_id_mode", "require_blinding"),
)
_NODE_KEYS = ("name", "seed", "swarm_id")
_ROOM_KEYS = ("token", "name", "description", "messages")

# What a reader of a key returns: the value, or the default's type when the key is missing.
_Default = TypeVar("_Default")


class _Table:
    """Read one TOML table key by key; every refusal names the key and what it takes."""

    def __init__(self, data: Mapping[str, object], allowed: Sequence[str], path: str = "") -> None:
        self._data = data
        self._path = path
        for key in data:
            if key not in allowed:
                close = difflib.get_close_matches(key, allowed, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"allowed keys: {', '.join(allowed)}"
                raise TopologyError("is not a key of this table", hint, key=self._path + key)

    @contextlib.contextmanager
    def blaming(self, key: str | None) -> Iterator[None]:
        """Add this table's place and a key to errors that name none."""
        try:
            yield
        except TopologyError as error:
            if error.key is not None:
                raise
            where = (self._path + key) if key else self._path.rstrip(".") or None
            raise TopologyError(error.args[0], error.hint, key=where) from error

    def text(self, key: str, default: str) -> str:
        """Return a string."""
        value = self._data.get(key, default)
        if not isinstance(value, str):
            raise self._refused(key, value, "a text in quotes")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        value = self._data.get(key, default)
        if not isinstance(value, bool):
            raise self._refused(key, value, "true or false")
        return value

    def number(self, key: str, default: _Default) -> int | _Default:
        """Return a whole number."""
        if key not in self._data:
            return default
        value = self._data[key]
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._refused(key, value, "a whole number")
        return value

    def choice(self, key: str, allowed: Sequence[_Default], default: _Default) -> _Default:
        """Return one of a few words."""
        value = self._data.get(key, default)
        for each in allowed:
            if value == each:
                return each
        raise self._refused(key, value, " or ".join(f'"{each}"' for each in allowed))

    def numbers(self, key: str, default: _Default) -> _Default:
        """Return a tuple of as many whole numbers as the default has."""
        if key not in self._data:
            return default
        value = self._data[key]
        wanted = len(cast("tuple[int, ...]", default))
        whole = isinstance(value, list) and all(
            isinstance(item, int) and not isinstance(item, bool) for item in value
        )
        if not whole or len(cast("list[int]", value)) != wanted:
            raise self._refused(key, value, f"a list of {wanted} whole numbers")
        return cast("_Default", tuple(cast("list[int]", value)))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a tuple of strings, empty when the key is missing."""
        value = self._data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._refused(key, value, "a list of texts in quotes")
        return tuple(value)

    def tables(self, key: str, allowed: Sequence[str]) -> list["_Table"] | None:
        """Return the tables of an array, or None when the key is missing."""
        if key not in self._data:
            return None
        value = self._data[key]
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._refused(key, value, f"a list of tables, each headed [[{key}]]")
        return [_Table(item, allowed, f"{self._path}{key}[{index}].") for index, item in enumerate(value)]

    def swarm_id(self) -> int | None:
        """Return a swarm id: hex text, because it exceeds what TOML numbers hold, or a small number."""
        value = self._data.get("swarm_id")
        if value is None:
            return None
        if isinstance(value, str) and _HEX_ID.fullmatch(value):
            return int(value, 16)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        raise self._refused("swarm_id", value, "up to 16 hex digits in quotes, or a number from 0")

    def seed_bytes(self, derived: bytes) -> bytes:
        """Return a node's seed: 64 hex digits, or the derived one when the key is missing."""
        value = self._data.get("seed")
        if value is None:
            return derived
        if not isinstance(value, str) or not _HEX_SEED.fullmatch(value):
            # The value is not repeated: it is meant to be a secret.
            raise TopologyError("is not a seed", "takes 64 hex digits in quotes", key=f"{self._path}seed")
        return bytes.fromhex(value)

    def _refused(self, key: str, value: object, allowed: str) -> TopologyError:
        return TopologyError(f"cannot be {_shown(value)}", f"takes {allowed}", key=self._path + key)


def _node(table: _Table, network_seed: str) -> NodeSpec:
    name = table.text("name", "")
    with table.blaming("name"):
        _check_name("node", name)
    with table.blaming(None):
        return NodeSpec(name, table.seed_bytes(derive_seed(network_seed, "node", name)), table.swarm_id())


def _room(table: _Table) -> RoomSpec:
    token = table.text("token", "")
    with table.blaming("token"):
        return RoomSpec(
            token, table.text("name", token), table.text("description", ""), table.texts("messages")
        )


def _shown(value: object) -> str:
    """Show a value briefly, as it would stand in the file."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


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
