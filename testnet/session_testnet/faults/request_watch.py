"""Tell who counts requests of each one before a node acts on it: schedules begin faults with the n-th."""

from collections.abc import Awaitable, Callable
from typing import Protocol

Counter = Callable[[str, str], Awaitable[object]]


class RequestWatch(Protocol):
    """Be told of requests, as long as somebody counts them."""

    @property
    def is_active(self) -> bool:
        """Tell whether anybody wants to be told."""

    async def request(self, node: str, method: str) -> None:
        """Tell of a request to a node; what begins with it has begun when this returns."""


class RequestCounters:
    """The watch of a network itself."""

    def __init__(self) -> None:
        self._counters: list[Counter] = []

    @property
    def is_active(self) -> bool:
        """Tell whether anybody wants to be told."""
        return bool(self._counters)

    def add(self, counter: Counter) -> None:
        """Tell ``counter(node, method)`` from now on."""
        self._counters.append(counter)

    def remove(self, counter: Counter) -> None:
        """Tell it no more."""
        self._counters.remove(counter)

    async def request(self, node: str, method: str) -> None:
        """Tell all counters of a request."""
        for counter in tuple(self._counters):
            await counter(node, method)
