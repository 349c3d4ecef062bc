"""Be subscribed at each node of the swarms of accounts, whatever the network does (storage-rpc §12)."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Protocol

from session_protocol import bencode
from session_protocol.bencode import Bencodable, Bencoded
from session_protocol.errors import ProtocolError
from session_testnet.clock import Clock
from session_testnet.services.storage.monitor import ENDED_COMMAND, LIFE_MS, PUSH_COMMAND

# Nodes forget a subscription after its life: it is renewed well before.
RENEW_MS: Final = LIFE_MS // 2

Pushed = dict[bytes, Bencoded]
Hear = Callable[[bytes, bytes], None]


class MonitorLink(Protocol):
    """Reach the monitors of nodes, by whatever way: the same requests, answers and pushes as over OMQ."""

    def swarm(self, account: bytes) -> Sequence[str]:
        """Return the names of the nodes that keep a 33-byte account's messages."""

    async def subscribe(self, node: str, hear: Hear, request: bytes) -> bytes | None:
        """Ask a node for ``monitor.messages`` and return its answer; None when it cannot be reached.

        ``hear`` gets what the node pushes, for as long as it lives.
        """


class SwarmWatch:
    """Hear of the messages of accounts from all nodes that may be told of them first.

    ``requests_of`` gives the signed requests of an account, for nodes; ``heard`` is called with each push,
    more than once for a message that several nodes tell. What is to be asked is asked by :meth:`settle`.
    """

    def __init__(
        self,
        link: MonitorLink,
        clock: Clock,
        *,
        requests_of: Callable[[bytes], Sequence[dict[str, Bencodable]]],
        heard: Callable[[Pushed], None],
    ) -> None:
        self._link = link
        self._clock = clock
        self._requests_of = requests_of
        self._heard = heard
        # When each node was last asked for an account, in milliseconds of the network's clock.
        self._asked_ms: dict[tuple[str, bytes], int] = {}
        self._due: set[tuple[str, bytes]] = set()
        self._settling = asyncio.Lock()

    def watch(self, account: bytes) -> None:
        """Subscribe at all nodes of an account's swarm, anew at those that know the account already."""
        self._due.update((node, account) for node in self._link.swarm(account))

    def refresh(self, accounts: Iterable[bytes]) -> None:
        """Subscribe where no subscription is, or one that would end soon: nodes or the clock have changed."""
        now = self._clock.now_ms()
        wanted = {(node, account) for account in accounts for node in self._link.swarm(account)}
        # A clock that was set back makes the age of a subscription negative.
        self._asked_ms = {
            pair: asked
            for pair, asked in self._asked_ms.items()
            if pair in wanted and 0 <= now - asked < RENEW_MS
        }
        self._due = (self._due & wanted) | (wanted - self._asked_ms.keys())

    def forget_node(self, node: str) -> None:
        """Take the subscriptions at a node for ended."""
        self._asked_ms = {pair: when for pair, when in self._asked_ms.items() if pair[0] != node}

    async def settle(self) -> None:
        """Ask all nodes that are to be asked, and return when they have answered.

        A node that cannot be reached, or refuses, is asked again after the next :meth:`refresh`.
        """
        async with self._settling:
            due, self._due = self._due, set()
            accounts: dict[str, list[bytes]] = {}
            for node, account in sorted(due):
                self._asked_ms.pop((node, account), None)
                accounts.setdefault(node, []).append(account)
            await asyncio.gather(*(self._ask(node, those) for node, those in accounts.items()))

    async def _ask(self, node: str, accounts: Sequence[bytes]) -> None:
        requests = [(account, each) for account in accounts for each in self._requests_of(account)]
        if not requests:
            return
        body = bencode.encode([each for _, each in requests])
        answer = await self._link.subscribe(node, partial(self._hear, node), body)
        answers = None if answer is None else _decoded(answer)
        if not isinstance(answers, list) or len(answers) != len(requests):
            return
        now = self._clock.now_ms()
        refused = {
            account for (account, _), each in zip(requests, answers, strict=True) if each != {b"success": 1}
        }
        self._asked_ms.update({(node, account): now for account, _ in requests if account not in refused})

    def _hear(self, node: str, command: bytes, body: bytes) -> None:
        pushed = _decoded(body)
        if not isinstance(pushed, dict):
            return
        if command == PUSH_COMMAND:
            self._heard(pushed)
        elif command == ENDED_COMMAND and isinstance(account := pushed.get(b"@"), bytes):
            self._asked_ms.pop((node, account), None)


def _decoded(told: bytes) -> "Bencoded | None":
    """Read what a node says; None for what cannot be read, which is worth no more than silence."""
    try:
        return bencode.decode(told)
    except ProtocolError:
        return None
