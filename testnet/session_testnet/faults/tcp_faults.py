"""Faults of connections as data: which service, which connections, what happens to their bytes."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from session_testnet.faults import keys
from session_testnet.faults.keys import EVERY_NODE, FaultError

# What each action does, for listings and messages.
TCP_ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "latency": "delay bytes on their way",
        "bandwidth": "let through so many bytes a second, for each connection and direction",
        "disconnect": "close a connection at once, or at a random place within its first bytes",
        "reset": "reset a connection (RST) at once, or at a random place within its first bytes",
        "half_open": "accept, swallow what comes and never answer",
        "slow_close": "delay the end of a stream after its last byte",
        "cut_after": "close a connection after so many bytes",
        "refuse": "refuse new connections",
    }
)
UP: Final = "up"
DOWN: Final = "down"
BOTH: Final = "both"
DIRECTIONS: Final = (UP, DOWN, BOTH)

_MAX_BYTES = 2**40

_KEYS_OF_ACTIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "delay_ms": frozenset({"latency", "slow_close"}),
        "jitter_ms": frozenset({"latency"}),
        "bytes_per_second": frozenset({"bandwidth"}),
        "after_bytes": frozenset({"cut_after"}),
        "within_bytes": frozenset({"disconnect", "reset"}),
        "direction": frozenset(TCP_ACTIONS) - {"half_open", "refuse"},
    }
)
_NEEDED_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "latency": "delay_ms",
        "bandwidth": "bytes_per_second",
        "slow_close": "delay_ms",
        "cut_after": "after_bytes",
    }
)


@dataclass(frozen=True, slots=True)
class TcpFault:
    """One fault of connections to a service.

    ``node`` is a name or "*". ``direction`` is "up" for bytes towards the service, "down" for its answers,
    or "both". ``probability`` is the chance that a connection meets the fault, ``times`` limits how many do,
    None means all. ``delay_ms`` and ``jitter_ms`` (at most so much more, drawn for each piece) belong to
    "latency", ``delay_ms`` also to "slow_close", ``bytes_per_second`` to "bandwidth", ``after_bytes`` to
    "cut_after"; ``within_bytes`` lets "disconnect" and "reset" wait for a place drawn from the first so many
    bytes, 0 means at once. Bytes are counted in each direction from when the connection met the fault.
    All chance comes from ``seed``.
    """

    action: str
    id: str = ""
    node: str = EVERY_NODE
    direction: str = BOTH
    delay_ms: int = 0
    jitter_ms: int = 0
    bytes_per_second: int | None = None
    after_bytes: int | None = None
    within_bytes: int = 0
    times: int | None = None
    probability: float = 1.0
    seed: int = 0

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "TcpFault":
        """Read a fault from JSON values. FaultError names the key that is wrong and what it takes."""
        values = keys.read_keys(data, _READERS, "a fault of connections")
        if "action" not in values:
            raise FaultError("the fault of connections has no action", f"actions: {', '.join(TCP_ACTIONS)}")
        keys.refuse_untaken(values, _KEYS_OF_ACTIONS)
        fault = cls(**values)
        needed = _NEEDED_KEYS.get(fault.action)
        if needed is not None and needed not in values:
            raise FaultError(f"the action {fault.action!r} needs {needed!r}", _EXAMPLES[fault.action])
        if fault.direction != BOTH and fault.action in ("disconnect", "reset") and not fault.within_bytes:
            raise FaultError(
                f"the action {fault.action!r} takes a 'direction' only beside 'within_bytes'",
                "without it the whole connection ends at once",
            )
        return fault

    def as_dict(self) -> dict[str, Any]:
        """Return the fault as JSON values, without keys at their default; ``parse`` reads it back."""
        return keys.write_keys(self)

    def fits(self, node: str) -> bool:
        """Tell whether the fault concerns connections to a service."""
        return self.node in (EVERY_NODE, node)

    def goes(self, direction: str) -> bool:
        """Tell whether the fault concerns bytes in a direction, "up" or "down"."""
        return self.direction in (BOTH, direction)

    @property
    def closes_the_port(self) -> bool:
        """Tell whether no new connection gets through, so that the service need not listen at all."""
        return self.action == "refuse" and self.probability >= 1 and self.times is None

    def meet(self, seed: str, connection: int) -> "TcpStrike | None":
        """Return what the fault does to a connection, or None when chance spares it.

        The same seed, rule and number of the connection give the same chance, whatever happened before.
        """
        rng = random.Random(f"{seed} {self.seed} {self.id} {connection}")  # noqa: S311 - repeatable chance
        if rng.random() >= self.probability:
            return None
        ends_after = self.after_bytes
        if self.action in ("disconnect", "reset"):
            ends_after = rng.randint(1, self.within_bytes) if self.within_bytes else 0
        return TcpStrike(self, connection, rng, ends_after)


@dataclass(frozen=True, slots=True)
class TcpStrike:
    """A fault as one connection meets it.

    ``ends_after`` is the number of bytes in a direction after which the connection ends, 0 for at once and
    None for never.
    """

    fault: TcpFault
    connection: int
    rng: random.Random
    ends_after: int | None

    def delay_s(self) -> float:
        """Draw how long the next piece of bytes is held back, in seconds."""
        jitter_ms = self.fault.jitter_ms
        return (self.fault.delay_ms + (self.rng.uniform(0, jitter_ms) if jitter_ms else 0)) / 1000


class StrikeCounts:
    """Count how many connections met each fault; shared by the proxies of all services that it concerns."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}

    def claim(self, fault: TcpFault) -> bool:
        """Count one more connection; False, and no count, when the fault's ``times`` are used up."""
        used = self.used(fault.id)
        if fault.times is not None and used >= fault.times:
            return False
        self._used[fault.id] = used + 1
        return True

    def used(self, fault_id: str) -> int:
        """Return how many connections met a fault."""
        return self._used.get(fault_id, 0)

    def forget(self, fault_id: str) -> None:
        """Begin to count anew, as for a fault that was cleared."""
        self._used.pop(fault_id, None)


_READERS: Final[Mapping[str, keys.Reader]] = MappingProxyType(
    {
        "id": keys.word,
        "node": keys.word,
        "action": keys.one_of(list(TCP_ACTIONS)),
        "direction": keys.one_of(DIRECTIONS),
        "delay_ms": keys.milliseconds,
        "jitter_ms": keys.milliseconds,
        "bytes_per_second": keys.number(1, _MAX_BYTES, "bytes a second"),
        "after_bytes": keys.number(1, _MAX_BYTES, "bytes"),
        "within_bytes": keys.number(0, _MAX_BYTES, "bytes"),
        "times": keys.times,
        "probability": keys.probability,
        "seed": keys.seed,
    }
)
_EXAMPLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "latency": 'for example {"action": "latency", "delay_ms": 200, "jitter_ms": 50}',
        "bandwidth": 'for example {"action": "bandwidth", "bytes_per_second": 16000, "direction": "down"}',
        "slow_close": 'for example {"action": "slow_close", "delay_ms": 5000}',
        "cut_after": 'for example {"action": "cut_after", "after_bytes": 1000, "direction": "down"}',
    }
)
