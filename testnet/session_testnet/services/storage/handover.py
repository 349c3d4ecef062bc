"""Give messages to the nodes that should have them after the swarms have changed (network §9)."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from session_testnet.peers import PeerLink, PeerReply, PeerTimeout, PeerUnreachable
from session_testnet.services.registry import NetworkSnapshot, NodeInfo
from session_testnet.services.storage.context import NodeContext, has_address
from session_testnet.services.storage.database import DatabaseFull, StoredMessage
from session_testnet.trace import Trace

COMMAND: Final = "data"

# A transfer is closed before the message that would make it larger than this.
_MAX_TRANSFER_BYTES: Final = 9_000_000
_MESSAGE_OVERHEAD_BYTES: Final = 150


class Handover:
    """Push messages to new members of the own swarm, and to other swarms that accounts have moved to."""

    def __init__(self, context: NodeContext, peers: PeerLink, trace: Trace) -> None:
        self._context = context
        self._peers = peers
        self._trace = trace
        self._transfers: set[asyncio.Task[None]] = set()

    def network_changed(self, before: NetworkSnapshot | None, now: NetworkSnapshot) -> None:
        """Start the transfers that the change calls for; outside an event loop there is nobody to send to."""
        if before is None or before.swarms == now.swarms or not self._context.database.count():
            return
        targets = {
            member.ed25519_pk: member
            for swarm_id, members in now.swarms.items()
            for member in _newcomers(before, swarm_id, members)
            if member.ed25519_pk != self._context.ed25519_hex and has_address(member)
        }
        if self._own_swarm_dissolved(before, now):
            targets.update(
                (member.ed25519_pk, member) for members in now.swarms.values() for member in members
            )
            targets.pop(self._context.ed25519_hex, None)
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            for key, member in targets.items():
                task = loop.create_task(self._transfer(key, member.swarm_id, now))
                self._transfers.add(task)
                task.add_done_callback(self._transfers.discard)

    def receive(self, payload: Any) -> PeerReply:
        """Keep messages from another node; those already here stay as they are."""
        if not isinstance(payload, tuple) or not all(isinstance(each, StoredMessage) for each in payload):
            return PeerReply(400, b"expected a list of messages")
        try:
            for message in payload:
                self._context.database.store(message)
        except DatabaseFull as error:
            return PeerReply(500, str(error).encode())
        return PeerReply(200, b"OK")

    async def settled(self) -> None:
        """Wait until no transfer is under way."""
        while self._transfers:
            await asyncio.gather(*self._transfers)

    async def aclose(self) -> None:
        """Break off all transfers."""
        transfers = tuple(self._transfers)
        for task in transfers:
            task.cancel()
        await asyncio.gather(*transfers, return_exceptions=True)

    def _own_swarm_dissolved(self, before: NetworkSnapshot, now: NetworkSnapshot) -> bool:
        known = before.by_key(self._context.ed25519_hex)
        return known is not None and known.swarm_id in before.swarms and known.swarm_id not in now.swarms

    async def _transfer(self, key: str, swarm_id: int, network: NetworkSnapshot) -> None:
        for batch in _batches(self._messages_for(swarm_id, network)):
            try:
                reply = await self._peers.request(
                    key,
                    COMMAND,
                    batch,
                    timeout_s=self._context.settings.peer_timeout_s,
                    sender=self._context.ed25519_hex,
                )
                outcome: int | str = reply.status
            except (PeerTimeout, PeerUnreachable) as error:
                outcome = type(error).__name__
            self._trace.record(
                "peer", self._context.name, command=COMMAND, target=key, messages=len(batch), outcome=outcome
            )
            if outcome != 200:
                return

    def _messages_for(self, swarm_id: int, network: NetworkSnapshot) -> Iterator[StoredMessage]:
        for account in self._context.database.accounts():
            if network.swarm_of(account)[0] == swarm_id:
                yield from list(self._context.database.messages_of(account))


def _newcomers(before: NetworkSnapshot, swarm_id: int, members: Iterable[NodeInfo]) -> Iterator[NodeInfo]:
    old = {member.ed25519_pk for member in before.members(swarm_id)}
    return (member for member in members if member.ed25519_pk not in old)


def _batches(messages: Iterable[StoredMessage]) -> Iterator[tuple[StoredMessage, ...]]:
    batch: list[StoredMessage] = []
    size = 0
    for message in messages:
        needed = len(message.data) + _MESSAGE_OVERHEAD_BYTES
        if batch and size + needed > _MAX_TRANSFER_BYTES:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(message)
        size += needed
    if batch:
        yield tuple(batch)
