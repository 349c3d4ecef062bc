"""How service nodes reach each other: the link they ask through, and one for nodes in the same process."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class PeerReply:
    """What another node answered: a status as in HTTP, and a body.

    A reply is the receiver's own: the node that answered keeps no reference to a body it may change later.
    """

    status: int
    body: bytes | dict[str, Any]


class PeerUnreachable(Exception):
    """Say that nothing answers under a node's key: it is stopped, unknown, or cut off."""


class PeerTimeout(Exception):
    """Say that a node took a request and did not answer within the deadline."""


# Command, payload, and the Ed25519 key of the node that asks: a link knows who is at its other end.
PeerHandler = Callable[[str, Any, str], Awaitable[PeerReply]]


class PeerLink(Protocol):
    """Carry requests from node to node.

    Payloads are immutable values (bytes, strings, tuples, frozen dataclasses), so that a link within one
    process may hand them over as they are.
    """

    async def request(
        self, target_ed25519: str, command: str, payload: Any, *, timeout_s: float, sender: str = ""
    ) -> PeerReply:
        """Ask the node with this Ed25519 key (lower-case hex); raise PeerUnreachable or PeerTimeout.

        ``sender`` is the asking node's key; links that treat pairs of nodes differently need it.
        """


class DirectPeerLink:
    """Connect nodes of one process: a request is a call of the other node's handler.

    Between each pair of nodes requests arrive in the order in which they were made. Single links can be cut
    or slowed down, in one direction.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, PeerHandler] = {}
        self._cut: set[tuple[str, str]] = set()
        self._latency_s: dict[tuple[str, str], float] = {}

    def register(self, ed25519_hex: str, handler: PeerHandler) -> None:
        """Let a node answer under its key; a second registration takes the place of the first."""
        self._handlers[ed25519_hex] = handler

    def unregister(self, ed25519_hex: str) -> None:
        """Make a node unreachable; nothing happens if it is so already."""
        self._handlers.pop(ed25519_hex, None)

    def cut(self, sender: str, target: str) -> None:
        """Lose all requests from one node to another, as if the target were stopped."""
        self._cut.add((sender, target))

    def mend(self, sender: str, target: str) -> None:
        """Undo :meth:`cut`."""
        self._cut.discard((sender, target))

    def cut_off(self, ed25519_hex: str, others: Collection[str]) -> None:
        """Lose all requests between a node and these others, and none between it and the rest."""
        self._cut = {link for link in self._cut if ed25519_hex not in link}
        for other in others:
            self._cut |= {(ed25519_hex, other), (other, ed25519_hex)}

    def set_latency(self, sender: str, target: str, latency_s: float) -> None:
        """Delay requests from one node to another by this many seconds of real time; 0 ends it."""
        if latency_s < 0:
            raise ValueError(f"a link cannot be faster than light: latency {latency_s} s is below 0")
        if latency_s:
            self._latency_s[sender, target] = latency_s
        else:
            self._latency_s.pop((sender, target), None)

    async def request(
        self, target_ed25519: str, command: str, payload: Any, *, timeout_s: float, sender: str = ""
    ) -> PeerReply:
        """Call the other node's handler; raise PeerUnreachable or PeerTimeout."""
        handler = self._handlers.get(target_ed25519)
        link = (sender, target_ed25519)
        if handler is None or link in self._cut:
            raise PeerUnreachable(f"no node answers under {target_ed25519}, asked for {command}")
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                latency_s = self._latency_s.get(link)
                if latency_s is not None:
                    await asyncio.sleep(latency_s)
                return await handler(command, payload, sender)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise PeerTimeout(f"waited {timeout_s} s for node {target_ed25519} to answer {command}") from None
