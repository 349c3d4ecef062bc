"""Network time as a client sees it: its own clock plus an offset learned from nodes (onion-requests §8.5)."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TOLERANCE_MS = 5_000
"""A node's time that is this far from ours makes a new measurement worth its requests."""


def system_clock_ms() -> int:
    """Read the system's clock in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class TimeSample:
    """One answer with a node's time, and our own clock when the request left and the answer came, in ms."""

    node_ms: int
    sent_ms: int
    received_ms: int

    @property
    def offset_ms(self) -> int:
        """Return network time minus own clock, taking the way back as half of the round trip."""
        return self.node_ms - (self.sent_ms + self.received_ms) // 2


class NetworkTime:
    """Give network time in ms; `clock` is the device's own clock, `offset_ms` what is known of its error."""

    def __init__(self, clock: Callable[[], int] = system_clock_ms, offset_ms: int = 0) -> None:
        self.clock = clock
        self.offset_ms = offset_ms
        self._distrusted: set[str] = set()

    def now_ms(self) -> int:
        """Return network time in ms since the epoch."""
        return self.clock() + self.offset_ms

    def contradicts(self, node: str, sample: TimeSample) -> bool:
        """Tell whether a node's time is far from ours, unless that node's clock is known to be wrong."""
        return node not in self._distrusted and self._is_far(sample)

    def learn(self, samples: Sequence[TimeSample]) -> None:
        """Take the median of several nodes' times, so that one wrong clock cannot move ours."""
        self.offset_ms = int(statistics.median(sample.offset_ms for sample in samples))
        self._distrusted.clear()

    def judge(self, node: str, sample: TimeSample) -> None:
        """After a measurement: a node that is still far from the others has a wrong clock."""
        if self._is_far(sample):
            self._distrusted.add(node)

    def _is_far(self, sample: TimeSample) -> bool:
        round_trip = sample.received_ms - sample.sent_ms
        return abs(sample.offset_ms - self.offset_ms) > TOLERANCE_MS + max(0, round_trip)
