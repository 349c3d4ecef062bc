"""What happened in a network, as a bounded list of events that can be read while it grows."""

import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any

from session_testnet.clock import Clock

# Fields that every event has; a caller cannot overwrite them.
_OWN_FIELDS = frozenset({"seq", "t_ms", "kind", "node"})
_PLAIN_TYPES = frozenset({str, int, bool, type(None)})


class Trace:
    """Keep the last ``capacity`` events of a network; safe to use from several threads.

    An event is ``{"seq", "t_ms", "kind", "node", …}``: ``seq`` counts from 1 without gaps, ``t_ms`` is the
    network's time in milliseconds, ``node`` the name of the node concerned or None. Values are made fit for
    JSON: bytes become lower-case hex, enumerations their value, tuples and sets lists, anything unknown its
    text.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        capacity: int = 20_000,
        listener: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a trace keeps at least one event, not {capacity}")
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._listeners = [] if listener is None else [listener]
        self._events: deque[dict[str, Any]] = deque(maxlen=capacity)
        self._seq = 0

    def listen(self, listener: Callable[[Mapping[str, Any]], None]) -> None:
        """Call ``listener`` with every event from now on."""
        self._listeners.append(listener)

    @property
    def last_seq(self) -> int:
        """Return the number of the newest event, 0 when there has been none."""
        return self._seq

    def record(self, kind: str, node: str | None = None, **fields: Any) -> int:
        """Add an event and return its number."""
        taken = _OWN_FIELDS.intersection(fields)
        if taken:
            raise ValueError(f"an event of kind {kind!r} cannot carry its own {', '.join(sorted(taken))}")
        event: dict[str, Any] = {"seq": 0, "t_ms": self._clock.now_ms(), "kind": kind, "node": node}
        for name, value in fields.items():
            event[name] = value if type(value) in _PLAIN_TYPES else _plain(value)
        return self._add(event)

    def adopt(self, event: Mapping[str, Any]) -> int:
        """Add an event of another trace, with the time it has there; return its number here."""
        return self._add(dict(event))

    def _add(self, event: dict[str, Any]) -> int:
        with self._lock:
            self._seq += 1
            event["seq"] = number = self._seq
            self._events.append(event)
        for listener in self._listeners:
            listener(event)
        return number

    def events(
        self, since: int = 0, limit: int | None = None, *, kind: str | None = None
    ) -> list[dict[str, Any]]:
        """Return events numbered above ``since``, oldest first, at most ``limit``, of one ``kind`` if given.

        Events that fell out of the ring are missing without a word; the gap shows in ``seq``.
        """
        if limit is not None and limit < 0:
            raise ValueError(f"the number of events cannot be negative: {limit}")
        with self._lock:
            first = self._seq - len(self._events) + 1
            newer = list(itertools.islice(self._events, max(0, since + 1 - first), None))
        wanted = (dict(event) for event in newer if kind is None or event["kind"] == kind)
        return list(itertools.islice(wanted, limit))

    def clear(self) -> None:
        """Forget all events; numbers go on from where they were."""
        with self._lock:
            self._events.clear()


def _plain(value: Any) -> Any:
    """Turn a value into what JSON can carry."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | deque):
        return [_plain(item) for item in value]
    if isinstance(value, AbstractSet):
        return sorted((_plain(item) for item in value), key=repr)
    if isinstance(value, float):
        # JSON has no word for these.
        return value if math.isfinite(value) else str(value)
    return value if type(value) in _PLAIN_TYPES else str(value)
