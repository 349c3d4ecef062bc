"""Give other nodes what they have not got: what they missed, and what is theirs after a change of swarms.

A forwarded request that a member missed is not sent again as it was: by then its signature may be too old
for the member to accept, and the messages it is about may have changed. Instead the node notes, in its
database, that the member lacks the account's changes from that request on, and delivers their present state
(network §9: ``sn.data``; storage-rpc §13). That state cannot be refused by age; what has expired meanwhile is
not in it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from session_testnet.peers import PeerLink, PeerReply, PeerTimeout, PeerUnreachable
from session_testnet.services.registry import NetworkSnapshot
from session_testnet.services.storage.context import NodeContext, has_address
from session_testnet.services.storage.stored import DatabaseFull, StoredMessage
from session_testnet.services.storage.transfers import Transfer, export, merge
from session_testnet.services.storage.undelivered import Debt, NetworkView
from session_testnet.trace import Trace

COMMAND: Final = "data"
READY_COMMAND: Final = "data_ready"
MISSED_COMMAND: Final = "missed"

_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """Say that a member (Ed25519 key, hex) can be given what it missed; ``needs_dump``: it has nothing."""

    key: str
    needs_dump: bool


@dataclass(frozen=True, slots=True)
class Missed:
    """Say which nodes (Ed25519 keys, hex) lack an account's changes from the stamp ``since`` on."""

    account: bytes
    since: int
    keys: tuple[str, ...]


@dataclass(slots=True)
class _Pause:
    """How long a peer that could not be reached is left alone, and until when."""

    length_s: float
    until: float


class Handover:
    """Deliver what is owed to other nodes, in the background, until they have it.

    ``time_s`` tells the time by which peers that failed have a pause.
    """

    def __init__(
        self,
        context: NodeContext,
        peers: PeerLink,
        trace: Trace,
        *,
        time_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._time_s = time_s
        self._context = context
        self._peers = peers
        self._trace = trace
        self._active = True
        self._deliveries: dict[str, asyncio.Task[bool]] = {}
        self._announcements: set[asyncio.Task[None]] = set()
        self._checking: asyncio.Task[None] | None = None
        self._pauses: dict[str, _Pause] = {}

    def network_changed(self, now: NetworkSnapshot) -> None:
        """Note what the change makes this node owe, and begin to deliver it.

        Newcomers of the own swarm get everything that it keeps; the new swarms of accounts that have moved
        get those. What is compared is kept in the database, so that a change is noticed after a restart too.
        """
        database = self._context.database
        before, view = database.undelivered.view(), NetworkView.of(now, self._context.own_swarm)
        if before != view:
            database.undelivered.add(list(self._debts_of_change(before, view, now)))
            database.undelivered.remember(view)
        if now.by_key(self._context.ed25519_hex) is None:
            database.undelivered.add(list(self._debts_to_leave_behind(now)))
        self._deliver_soon()

    def owe(self, missed: Missed) -> None:
        """Note that nodes have missed a change of an account, which this one has made."""
        debts = [Debt(key, missed.account, missed.since) for key in missed.keys]
        self._context.database.undelivered.add(debts)
        self._check_soon()

    def others_missed(self, payload: Any) -> PeerReply:
        """Note what another member says of those that have missed a change."""
        node = self._context
        if not isinstance(payload, Missed):
            return PeerReply(400, b"expected what others have missed")
        known = {member.ed25519_pk for member in node.other_members()}
        self.owe(Missed(payload.account, payload.since, tuple(key for key in payload.keys if key in known)))
        return PeerReply(200, b"OK")

    def receive(self, payload: Any) -> PeerReply:
        """Take over what another node tells; what is newer here stays."""
        if isinstance(payload, tuple) and all(isinstance(each, StoredMessage) for each in payload):
            payload = Transfer.of_messages(payload)
        if not isinstance(payload, Transfer):
            return PeerReply(400, b"expected a list of messages")
        if self._context.not_ready_reasons():
            return PeerReply(503, self._context.not_ready_text().encode())
        debts = tuple(debt for debt in payload.debts if debt.peer != self._context.ed25519_hex)
        try:
            merge(self._context.database, replace(payload, debts=debts), self._context.now_ms())
        except DatabaseFull as error:
            return PeerReply(500, str(error).encode())
        if debts:
            self._deliver_soon()
        return PeerReply(200, b"OK")

    def peer_is_ready(self, payload: Any) -> PeerReply:
        """Deliver at once to a member that says it can be given what it missed."""
        if not isinstance(payload, Ready):
            return PeerReply(400, b"expected the announcement of a member")
        node = self._context
        member = node.known_network().by_key(payload.key)
        if member is None or node.own_swarm is None or member.swarm_id != node.own_swarm:
            return PeerReply(200, b"Swarm mismatch")
        if payload.needs_dump:
            node.database.undelivered.add(
                Debt(payload.key, account, 0) for account in self._accounts() if self._is_ours(account)
            )
        self._pauses.pop(payload.key, None)
        self._deliver_soon()
        return PeerReply(200, {"newest": node.database.newest_stamp})

    def resume(self) -> None:
        """Deliver from now on, and tell the other members that this one can be given what it missed."""
        self._active = True
        self._pauses.clear()
        self._deliver_soon()
        with contextlib.suppress(RuntimeError):
            task = asyncio.get_running_loop().create_task(self._announce())
            self._announcements.add(task)
            task.add_done_callback(self._announcements.discard)

    async def announced(self) -> None:
        """Wait until the other members have told this one, if it has just come back, how far they are."""
        while self._announcements:
            await asyncio.wait(self._announcements)

    async def suspend(self) -> None:
        """Send nothing more until :meth:`resume`; what is owed stays noted."""
        self._active = False
        tasks: list[asyncio.Task[Any]] = [*self._deliveries.values(), *self._announcements]
        if self._checking is not None:
            tasks.append(self._checking)
            self._checking = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._deliveries.clear()
        self._announcements.clear()

    async def settled(self, reachable: Container[str] | None = None) -> None:
        """Try once to deliver all that is owed now, and wait until that has succeeded or failed.

        Only nodes with the keys ``reachable`` are tried, if given.
        """
        if not self._active:
            return
        await self.announced()
        owed = self._context.database.undelivered.peers()
        await asyncio.gather(
            *(self._delivery_to(peer) for peer in owed if reachable is None or peer in reachable)
        )

    def owed_to(self) -> list[str]:
        """Return the keys of the nodes that have not got everything from this one."""
        return self._context.database.undelivered.peers()

    def _debts_of_change(
        self, before: NetworkView | None, view: NetworkView, now: NetworkSnapshot
    ) -> Iterator[Debt]:
        own = self._context.ed25519_hex
        for account in self._accounts():
            swarm_id, members = now.swarm_of(account)
            was_ours = before is None or before.was_in_charge(account)
            ours = view.own_swarm is not None and swarm_id == view.own_swarm
            if not (was_ours or ours):
                continue
            # Whoever was in charge with this node has what it has, or is owed it already.
            same = was_ours and before is not None and before.own_swarm == swarm_id
            served = before.members if same and before is not None else frozenset()
            for member in members:
                if member.ed25519_pk != own and member.ed25519_pk not in served:
                    yield Debt(member.ed25519_pk, account, 0)

    def _debts_to_leave_behind(self, now: NetworkSnapshot) -> Iterator[Debt]:
        """Owe each member also what the others of its swarm lack: this node will not be there to deliver."""
        for debt in self._context.database.undelivered.everything():
            for member in now.swarm_of(debt.account)[1]:
                if member.ed25519_pk != self._context.ed25519_hex:
                    yield replace(debt, peer=member.ed25519_pk)

    def _accounts(self) -> list[bytes]:
        database = self._context.database
        return sorted({*database.accounts(), *database.removals.accounts()})

    def _is_ours(self, account: bytes) -> bool:
        return self._context.known_network().swarm_of(account)[0] == self._context.own_swarm

    def _deliver_soon(self) -> None:
        """Start to deliver; outside an event loop there is nobody to send to."""
        if not self._active:
            return
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            for peer in self._context.database.undelivered.peers():
                self._delivery_to(peer)
            self._check_soon()

    def _check_soon(self) -> None:
        """Check from now on until nothing is owed any more."""
        if self._active and (self._checking is None or self._checking.done()):
            with contextlib.suppress(RuntimeError):
                loop = asyncio.get_running_loop()
                self._checking = loop.create_task(
                    self._check(), name=f"deliver what members of {self._context.name}'s swarm missed"
                )

    async def _check(self) -> None:
        while self._context.database.undelivered.peers():
            await asyncio.sleep(self._context.settings.retry_check_s)
            await self.deliver_due()

    async def deliver_due(self) -> None:
        """Try once to deliver to the peers whose pause has ended by now."""
        now = self._time_s()
        due = [
            peer
            for peer in self._context.database.undelivered.peers()
            if peer not in self._pauses or self._pauses[peer].until <= now
        ]
        # What goes wrong is logged when it does, and tried again.
        await asyncio.gather(*(self._delivery_to(peer) for peer in due), return_exceptions=True)

    def _delivery_to(self, peer: str) -> "asyncio.Task[bool]":
        """Return the delivery to a peer that is under way, or begin one: never two at a time."""
        running = self._deliveries.get(peer)
        if running is None or running.done():
            running = asyncio.get_running_loop().create_task(self._deliver(peer))
            self._deliveries[peer] = running
            running.add_done_callback(lambda done: self._finished(peer, done))
        return running

    def _finished(self, peer: str, delivery: "asyncio.Task[bool]") -> None:
        if self._deliveries.get(peer) is delivery:
            del self._deliveries[peer]
        if not delivery.cancelled() and delivery.exception() is not None:
            _logger.error(
                "node %s failed to deliver to %s", self._context.name, peer, exc_info=delivery.exception()
            )

    async def _deliver(self, peer: str) -> bool:
        """Deliver all that a peer is owed; tell whether it has got everything."""
        undelivered = self._context.database.undelivered
        # What has expired is not worth sending, and leaves a note behind where that is news for the peer.
        self._context.database.purge(self._context.now_ms())
        while debts := undelivered.to(peer):
            for debt in debts:
                if not await self._pay(debt):
                    self._pause(peer)
                    return False
        self._pauses.pop(peer, None)
        return True

    async def _pay(self, debt: Debt) -> bool:
        """Deliver one account; tell whether nothing more is owed of it."""
        node = self._context
        network = node.known_network()
        _, members = network.swarm_of(debt.account)
        member = next((each for each in members if each.ed25519_pk == debt.peer), None)
        if members and member is None:
            # It is not in charge any more; whoever is has been noted when that changed.
            node.database.undelivered.settle(debt)
            return True
        if member is None or not has_address(member):
            return False
        for transfer in export(node.database, debt.account, debt.since):
            if not await self._send(debt.peer, transfer):
                return False
        if network.by_key(node.ed25519_hex) is None:
            others = [
                each for each in node.database.undelivered.about(debt.account) if each.peer != debt.peer
            ]
            if others and not await self._send(debt.peer, Transfer(debts=tuple(others))):
                return False
        node.database.undelivered.settle(debt)
        return True

    async def _send(self, peer: str, transfer: Transfer) -> bool:
        try:
            reply = await self._peers.request(
                peer,
                COMMAND,
                transfer,
                timeout_s=self._context.settings.retry_timeout_s,
                sender=self._context.ed25519_hex,
            )
            outcome: int | str = reply.status
        except (PeerTimeout, PeerUnreachable) as error:
            outcome = type(error).__name__
        self._trace.record(
            "peer",
            self._context.name,
            command=COMMAND,
            target=peer,
            messages=len(transfer.messages),
            outcome=outcome,
        )
        return outcome == 200

    def _pause(self, peer: str) -> None:
        settings, last = self._context.settings, self._pauses.get(peer)
        length_s = (
            settings.retry_first_pause_s
            if last is None
            else min(2 * last.length_s, settings.retry_longest_pause_s)
        )
        self._pauses[peer] = _Pause(length_s, self._time_s() + length_s)

    async def _announce(self) -> None:
        node = self._context
        if node.snapshot is None:
            return
        ready = Ready(node.ed25519_hex, needs_dump=not node.database.accounts())
        members = [member.ed25519_pk for member in node.other_members()]

        async def tell(peer: str) -> None:
            with contextlib.suppress(PeerTimeout, PeerUnreachable):
                reply = await self._peers.request(
                    peer,
                    READY_COMMAND,
                    ready,
                    timeout_s=node.settings.peer_timeout_s,
                    sender=node.ed25519_hex,
                )
                newest = reply.body.get("newest") if isinstance(reply.body, dict) else None
                if isinstance(newest, int):
                    # Otherwise what this node stamps could be older than what it has missed.
                    node.database.know(newest)

        await asyncio.gather(*(tell(peer) for peer in members))
