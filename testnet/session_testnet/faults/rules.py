"""Fault rules as data: which node, which requests, what goes wrong, how often."""

import random
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

from session_testnet.faults import keys
from session_testnet.faults.keys import EVERY_NODE, FaultError

# What a listing says of a rule's use; no keys of a rule.
USE_KEYS = frozenset({"used", "pinned_to"})

# What each action does, for listings and messages.
ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "status": "answer with this status instead of acting",
        "delay": "wait before acting",
        "drop": "close the connection without an answer",
        "hang": "never answer",
        "duplicate": "return each message twice",
        "reorder": "return messages in another order",
        "corrupt": "flip one bit of each returned message",
        "forge": "return a message among the others that nobody sent",
        "foreign": "return a message among the others that is another account's",
        "truncate": "break an answer off",
        "wrong_swarm": "answer 421 with the right swarm, as a node that has just left it",
        "clock_skew": "set the node's clock ahead or back",
        "crash_after_store": "die when a message is stored and not yet answered for",
        "expired_certificate": "show a certificate that has expired",
        "stale_registry": "answer clients as the registry did some blocks ago",
    }
)
# Statuses that a storage node answers (storage-rpc §8, onion-requests §5).
STATUSES = (400, 401, 403, 404, 406, 410, 413, 421, 429, 500, 502, 503, 504)
PATHS = ("/storage_rpc/v1", "/onion_req/v2", "/ping_test/v1", "/get_stats/v1")
# Actions that change the messages of an answer; only these requests return messages.
ANSWER_ACTIONS = frozenset({"duplicate", "reorder", "corrupt", "forge", "foreign"})
# Those of them that add messages, also to an answer without any.
ADDING_ACTIONS = frozenset({"forge", "foreign"})
MESSAGE_METHODS = ("retrieve",)
# The one service besides the nodes that a rule can name, for the action "stale_registry".
REGISTRY = "registry"
MAX_BLOCKS = 1000

_MAX_OFFSET_MS = 100 * 365 * 24 * 3600 * 1000

# Which actions take a key that not every action takes.
_KEYS_OF_ACTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "status": frozenset({"status"}),
        "delay_ms": frozenset({"delay"}),
        "offset_ms": frozenset({"clock_skew"}),
        "blocks": frozenset({"stale_registry"}),
        "methods": frozenset(ACTIONS)
        - {"clock_skew", "crash_after_store", "expired_certificate", "stale_registry"},
        "account": frozenset({"status", "delay", "hang", "drop", "wrong_swarm"}),
        # A handshake is no request: it is not counted, and always the same.
        "times": frozenset(ACTIONS) - {"expired_certificate"},
        "probability": frozenset(ACTIONS) - {"expired_certificate"},
        "paths": frozenset({"delay", "drop", "hang"}),
    }
)
_NEEDED_KEYS: Mapping[str, str] = MappingProxyType(
    {"status": "status", "delay": "delay_ms", "clock_skew": "offset_ms"}
)


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One fault.

    ``node`` is a name or "*"; with ``pin`` the first node that "*" strikes is the only one from then on.
    ``account`` (an Account ID) limits it to requests that name this account, ``methods`` to RPC methods and
    ``paths`` to HTTP paths, empty means all; ``times`` limits how often it strikes, None means always;
    ``probability`` is the chance that it strikes a request that it fits. ``delay_ms`` belongs to "delay",
    ``offset_ms`` to "clock_skew", ``status`` to "status", ``blocks`` (how far behind) to "stale_registry".
    All chance comes from ``seed``.
    """

    action: str
    id: str = ""
    node: str = EVERY_NODE
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    status: int | None = None
    times: int | None = None
    delay_ms: int = 0
    offset_ms: int = 0
    blocks: int = 1
    probability: float = 1.0
    seed: int = 0
    account: str = ""
    pin: bool = False

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "FaultRule":
        """Read a rule from JSON values. FaultError names the key that is wrong and what it takes."""
        values = keys.read_keys(data, _READERS, "a fault rule")
        if "action" not in values:
            raise FaultError("the fault rule has no action", f"actions: {', '.join(ACTIONS)}")
        rule = cls(**values)
        keys.refuse_untaken(values, _KEYS_OF_ACTIONS)
        needed = _NEEDED_KEYS.get(rule.action)
        if needed is not None and needed not in values:
            raise FaultError(f"the action {rule.action!r} needs {needed!r}", _EXAMPLES[rule.action])
        if rule.action == "stale_registry" and rule.node not in (EVERY_NODE, REGISTRY):
            raise FaultError(
                f"the action 'stale_registry' does not concern the node {rule.node!r}",
                f'leave the node out, or say "{REGISTRY}"',
            )
        if rule.methods and rule.paths:
            raise FaultError(
                "a fault rule takes either 'methods' or 'paths'", "a path is met before a method is known"
            )
        if rule.pin and rule.node != EVERY_NODE:
            raise FaultError("'pin' chooses the node: it takes no 'node'", "leave one of them out")
        if rule.account and rule.action == "drop" and not rule.methods:
            raise FaultError(
                "a connection is dropped before its account is known", "name 'methods' beside 'account'"
            )
        if rule.account and rule.paths:
            raise FaultError(
                "'account' cannot stand beside 'paths'", "a path is met before an account is known"
            )
        if rule.action in ANSWER_ACTIONS and not set(rule.methods) <= set(MESSAGE_METHODS):
            raise FaultError(
                f"the action {rule.action!r} changes returned messages",
                "only the method 'retrieve' returns messages",
            )
        return rule

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as JSON values, without keys at their default; ``parse`` reads it back."""
        needed = _NEEDED_KEYS.get(self.action)
        return keys.write_keys(self, always=() if needed is None else (needed,))

    def fits(self, node: str, *, method: str | None = None, path: str | None = None) -> bool:
        """Tell whether a rule concerns an RPC method, or a path before the method is known."""
        if self.node not in (EVERY_NODE, node):
            return False
        if path is not None:
            return not self.methods and (path in self.paths if self.paths else self.action == "drop")
        if self.action == "drop" and not self.methods:
            return False  # it has met the connection
        return not self.paths and (not self.methods or method in self.methods)


@dataclass(slots=True)
class _Entry:
    rule: FaultRule
    rng: random.Random
    used: int = 0
    pinned_to: str = ""

    @property
    def spent(self) -> bool:
        return self.rule.times is not None and self.used >= self.rule.times


@dataclass(frozen=True, slots=True)
class Strike:
    """One use of a rule, with the seed of the chance that belongs to this use."""

    rule: FaultRule
    seed: int
    number: int

    def chance(self) -> random.Random:
        """Return the chance of this use, from its beginning."""
        return random.Random(self.seed)  # noqa: S311 - repeatable chance


class FaultSource(Protocol):
    """Where a gate finds its rules: the network's book, or a copy of it in another process."""

    def fitting(
        self, actions: Sequence[str], node: str, *, method: str | None = None, path: str | None = None
    ) -> Sequence[FaultRule]:
        """Return the rules with these actions that concern a request."""

    async def claim(self, rule_id: str, node: str) -> Strike | None:
        """Use a rule once at a node; None when it does not strike there."""


class FaultBook:
    """Hold the rules of one network in the order of their adding; safe to use from several threads."""

    def __init__(self, seed: str = "0") -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._count = 0

    def add(self, rule: FaultRule | Mapping[str, Any]) -> str:
        """Add a rule and return its id, which the book gives when the rule has none."""
        parsed = rule if isinstance(rule, FaultRule) else FaultRule.parse(rule)
        with self._lock:
            self._count += 1
            rule_id = parsed.id or f"fault-{self._count}"
            if rule_id in self._entries:
                raise FaultError(
                    f"there is already a fault rule {rule_id!r}", "leave the id out, or clear that rule"
                )
            seeded = random.Random(f"{self._seed} {parsed.seed} {rule_id}")  # noqa: S311 - repeatable chance
            self._entries[rule_id] = _Entry(replace(parsed, id=rule_id), seeded)
        return rule_id

    def list(self) -> Sequence[dict[str, Any]]:
        """Return all rules as JSON values, with how often each was ``used``, and where it is pinned to."""
        with self._lock:
            return [
                {
                    **entry.rule.as_dict(),
                    "used": entry.used,
                    **({"pinned_to": entry.pinned_to} if entry.pinned_to else {}),
                }
                for entry in self._entries.values()
            ]

    def clear(self, rule_id: str | None = None) -> None:
        """Remove one rule, or all; FaultError when there is none of this id."""
        with self._lock:
            if rule_id is None:
                self._entries.clear()
            elif self._entries.pop(rule_id, None) is None:
                raise FaultError(
                    f"there is no fault rule {rule_id!r}", f"rules: {', '.join(self._entries) or 'none'}"
                )

    def fitting(
        self, actions: Sequence[str], node: str, *, method: str | None = None, path: str | None = None
    ) -> Sequence[FaultRule]:
        """Return the rules with these actions that concern a request and are not used up."""
        if not self._entries:
            return ()
        with self._lock:
            return [
                entry.rule
                for entry in self._entries.values()
                if entry.rule.action in actions
                and not entry.spent
                and entry.rule.fits(node, method=method, path=path)
            ]

    def use(self, rule_id: str, node: str) -> Strike | None:
        """Use a rule once at a node; None when it is used up, removed or pinned to another, or by chance."""
        with self._lock:
            entry = self._entries.get(rule_id)
            if entry is None or entry.spent or entry.pinned_to not in ("", node):
                return None
            if entry.rule.probability < 1 and entry.rng.random() >= entry.rule.probability:
                return None
            entry.used += 1
            if entry.rule.pin:
                entry.pinned_to = node
            # A seed of its own for each use: requests that run at the same time do not mix their chance.
            return Strike(entry.rule, entry.rng.getrandbits(64), entry.used)

    async def claim(self, rule_id: str, node: str) -> Strike | None:
        """Do what :meth:`use` does; a book that is elsewhere has to be waited for."""
        return self.use(rule_id, node)


def _account_id(key: str, value: Any) -> str:
    if not isinstance(value, str) or re.fullmatch(r"[0-9a-fA-F]{66}", value) is None:
        raise FaultError(f"{key} cannot be {keys.shown(value)}", "takes an Account ID: 66 hex digits")
    return value.lower()


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise FaultError(f"{key} cannot be {keys.shown(value)}", "takes true or false")
    return value


def _methods(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise FaultError(
            f"{key} cannot be {keys.shown(value)}", 'takes a list of RPC methods, like ["store", "retrieve"]'
        )
    return tuple(value)


def _paths(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(item in PATHS for item in value):
        raise FaultError(f"{key} cannot be {keys.shown(value)}", f"takes a list of: {', '.join(PATHS)}")
    return tuple(value)


def _status(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value not in STATUSES:
        raise FaultError(
            f"{key} cannot be {keys.shown(value)}", f"takes one of: {', '.join(map(str, STATUSES))}"
        )
    return value


_READERS: Mapping[str, Callable[[str, Any], Any]] = MappingProxyType(
    {
        "id": keys.word,
        "node": keys.word,
        "action": keys.one_of(list(ACTIONS)),
        "methods": _methods,
        "paths": _paths,
        "status": _status,
        "times": keys.times,
        "delay_ms": keys.milliseconds,
        "offset_ms": keys.number(-_MAX_OFFSET_MS, _MAX_OFFSET_MS, "milliseconds"),
        "blocks": keys.number(1, MAX_BLOCKS, "blocks"),
        "probability": keys.probability,
        "seed": keys.seed,
        "account": _account_id,
        "pin": _flag,
    }
)
_EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "status": 'for example {"action": "status", "status": 503}',
        "delay": 'for example {"action": "delay", "delay_ms": 500}',
        "clock_skew": 'for example {"action": "clock_skew", "node": "node-01", "offset_ms": 120000}',
    }
)
