"""What a test can turn on a single storage node: as the network is described, and while it runs."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from session_testnet.hinted_error import HintedError

_MAX_OFFSET_MS = 100 * 365 * 24 * 3600 * 1000
_MAX_TOKENS = 10**9
_MAX_TEXT = 1000


class KnobError(HintedError, ValueError):
    """Say which knob is wrong and what it takes."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The bucket of each client address: how many requests it holds, and how many come back each second.

    The defaults are those of the network (storage-rpc §1).
    """

    tokens: int = 600
    per_second: int = 300


@dataclass(frozen=True, slots=True)
class MemberError:
    """What the other members of a swarm get for an answer when they forward a request."""

    status: int = 500
    text: str = "request failed"


@dataclass(frozen=True, slots=True)
class NodeKnobs:
    """The knobs of one node; by default it is a faultless one.

    ``rate_limit`` None lets everybody ask as often as they like. ``clock_offset_ms`` is how far the node's
    clock is ahead of the network's. ``member_timeout`` and ``member_error`` concern requests that other
    members forward: it takes them and never answers, or refuses them. ``not_ready`` lists the reasons of its
    503 answers. ``wrong_swarm`` makes it answer 421 for every account. ``disk_full`` makes it store nothing.
    """

    rate_limit: RateLimit | None = None
    clock_offset_ms: int = 0
    member_timeout: bool = False
    member_error: MemberError | None = None
    not_ready: tuple[str, ...] = ()
    wrong_swarm: bool = False
    disk_full: bool = False

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "NodeKnobs":
        """Read knobs from JSON or TOML values; KnobError names the knob and what it takes."""
        return cls().changed(values)

    def changed(self, values: Mapping[str, Any]) -> "NodeKnobs":
        """Return these knobs with some turned; null turns one back. Raise KnobError."""
        turned: dict[str, Any] = {}
        for name, value in values.items():
            if name not in _PARSERS:
                close = difflib.get_close_matches(str(name), list(_PARSERS), n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"knobs: {', '.join(_PARSERS)}"
                raise KnobError(f"there is no knob {name!r}", hint)
            turned[name] = _DEFAULTS[name] if value is None else _PARSERS[name](name, value)
        return replace(self, **turned)

    def as_dict(self) -> dict[str, Any]:
        """Return the knobs as JSON values; :meth:`parse` reads them back."""
        limit, error = self.rate_limit, self.member_error
        return {
            "rate_limit": limit and {"tokens": limit.tokens, "per_second": limit.per_second},
            "clock_offset_ms": self.clock_offset_ms,
            "member_timeout": self.member_timeout,
            "member_error": error and {"status": error.status, "text": error.text},
            "not_ready": list(self.not_ready),
            "wrong_swarm": self.wrong_swarm,
            "disk_full": self.disk_full,
        }


FAULTLESS = NodeKnobs()


def _refused(name: str, value: Any, takes: str) -> KnobError:
    shown = repr(value)
    return KnobError(
        f"the knob {name!r} cannot be {shown if len(shown) <= 60 else shown[:57] + '...'}", f"takes {takes}"
    )


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refused(name, value, "true or false")
    return value


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _refused(name, value, f"a whole number from {low} to {high}")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
        raise _refused(name, value, f"a text of 1 to {_MAX_TEXT} characters")
    return value


def _offset(name: str, value: Any) -> int:
    return _whole(name, value, -_MAX_OFFSET_MS, _MAX_OFFSET_MS)


def _rate_limit(name: str, value: Any) -> RateLimit | None:
    if isinstance(value, bool):
        return RateLimit() if value else None
    read = _part_reader(name, value, ("tokens", "per_second"), "true, false or an object")
    limit = RateLimit()
    return RateLimit(
        read("tokens", lambda part, given: _whole(part, given, 1, _MAX_TOKENS), limit.tokens),
        read("per_second", lambda part, given: _whole(part, given, 0, _MAX_TOKENS), limit.per_second),
    )


def _member_error(name: str, value: Any) -> MemberError:
    read = _part_reader(name, value, ("status", "text"), "an object")
    error = MemberError()
    return MemberError(
        read("status", lambda part, given: _whole(part, given, 400, 599), error.status),
        read("text", _text, error.text),
    )


def _part_reader(name: str, value: Any, parts: tuple[str, ...], takes: str) -> Callable[..., Any]:
    if not isinstance(value, Mapping) or not set(value) <= set(parts):
        raise _refused(name, value, f"{takes} with {' and '.join(parts)}")

    def read(part: str, parse: Callable[[str, Any], Any], default: Any) -> Any:
        return parse(f"{name}.{part}", value[part]) if part in value else default

    return read


def _reasons(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) and each for each in value):
        raise _refused(name, value, 'a list of reasons, like ["not done syncing"]')
    return tuple(value)


_PARSERS: Mapping[str, Callable[[str, Any], Any]] = MappingProxyType(
    {
        "rate_limit": _rate_limit,
        "clock_offset_ms": _offset,
        "member_timeout": _flag,
        "member_error": _member_error,
        "not_ready": _reasons,
        "wrong_swarm": _flag,
        "disk_full": _flag,
    }
)
_DEFAULTS: Mapping[str, Any] = MappingProxyType({field.name: field.default for field in fields(NodeKnobs)})
