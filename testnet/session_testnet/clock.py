"""A network's time: the machine's clock plus an offset that a test moves, and a child clock for each node."""

import threading
import time
from collections.abc import Callable


class Clock:
    """Tell the time of a network in milliseconds since 1970, shifted by an offset.

    ``source`` returns nanoseconds since 1970 and is read at each call; nothing here waits. One thread may
    read while another one moves the clock.
    """

    def __init__(self, source: Callable[[], int] = time.time_ns, *, offset_ms: int = 0) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._offset_ms = _whole_ms(offset_ms)

    def now_ms(self) -> int:
        """Return the time in whole milliseconds since 1970, offset included."""
        return self._source() // 1_000_000 + self._offset_ms

    @property
    def offset_ms(self) -> int:
        """Return how far this clock is ahead of its source, in milliseconds."""
        return self._offset_ms

    @offset_ms.setter
    def offset_ms(self, value: int) -> None:
        checked = _whole_ms(value)
        with self._lock:
            self._offset_ms = checked

    def move(self, ms: int) -> int:
        """Move the clock forward by ``ms`` (backward when negative) and return the new offset."""
        checked = _whole_ms(ms)
        with self._lock:
            self._offset_ms += checked
            return self._offset_ms


class SkewedClock(Clock):
    """Follow a parent clock, ahead of it by an offset of one's own: the clock of a single node."""

    def __init__(self, parent: Clock, *, offset_ms: int = 0) -> None:
        super().__init__(lambda: parent.now_ms() * 1_000_000, offset_ms=offset_ms)
        self.parent = parent


def _whole_ms(value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a clock moves by whole milliseconds (int), not {value!r}")
    return value
