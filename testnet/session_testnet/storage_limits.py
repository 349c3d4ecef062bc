"""How much storage nodes keep, how many they serve at once and how long they wait: ``[storage]``."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from session_testnet.hinted_error import HintedError

_MIB = 2**20
_LONGEST_S = 86_400.0


class LimitError(HintedError, ValueError):
    """Say which limit is wrong and what it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageLimits:
    """The limits of every node of a network; times are in seconds of real time.

    The defaults are those of the network (storage-rpc §1), or our own choice where it has none. After
    ``database_bytes`` the database is full; ``max_jobs`` requests are worked on at once, those among them
    whose bodies are still to come, for ``upload_timeout_s`` at most. Of messages that a node has never had
    it remembers ``kept_unseen`` removals, and as many changes of lives, for each account.

    What a member missed is delivered later. Every ``retry_check_s`` the members are tried whose turn it is;
    after a failure a member has a pause, that doubles up to the longest one. A member that comes back
    announces itself, and is not made to wait.
    """

    database_bytes: int = 10 * 1024**3
    max_jobs: int = 1000
    kept_unseen: int = 2000
    upload_timeout_s: float = 60.0
    peer_timeout_s: float = 5.0
    relay_timeout_s: float = 30.0
    exit_timeout_s: float = 25.0
    purge_period_s: float = 10.0
    retry_check_s: float = 5.0
    retry_timeout_s: float = 10.0
    retry_first_pause_s: float = 5.0
    retry_longest_pause_s: float = 60.0

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "StorageLimits":
        """Read the limits of a TOML table, others stay at their defaults; LimitError names the wrong one."""
        given: dict[str, Any] = {}
        for name, value in values.items():
            if name == "database_mib":
                given["database_bytes"] = int(_number(name, value, 0.1, 2**20) * _MIB)
            elif name in _COUNTS:
                given[name] = _count(name, value, *_COUNTS[name])
            elif name in _TIMES:
                given[name] = _number(name, value, 0.001, _LONGEST_S)
            else:
                close = difflib.get_close_matches(name, LIMITS, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"limits: {', '.join(LIMITS)}"
                raise LimitError(f"there is no limit {name!r}", hint)
        return replace(cls(), **given)


_COUNTS: Mapping[str, tuple[int, int]] = MappingProxyType({"max_jobs": (1, 10**6), "kept_unseen": (0, 10**6)})
_TIMES = (
    *("upload_timeout_s", "peer_timeout_s", "relay_timeout_s", "exit_timeout_s", "purge_period_s"),
    *("retry_check_s", "retry_timeout_s", "retry_first_pause_s", "retry_longest_pause_s"),
)
DEFAULT_LIMITS = StorageLimits()
LIMITS = ("database_mib", *_COUNTS, *_TIMES)


def _count(name: str, value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise LimitError(
            f"the limit {name!r} cannot be {value!r:.60}", f"takes a whole number from {low} to {high}"
        )
    return value


def _number(name: str, value: Any, low: float, high: float) -> float:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not low <= value <= high:
        raise LimitError(
            f"the limit {name!r} cannot be {value!r:.60}", f"takes a number from {low:g} to {high:g}"
        )
    return float(value)
