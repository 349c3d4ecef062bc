"""One storage service node: what its owner starts, tells about the network, and stops."""

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from session_protocol.accounts import account_bytes
from session_protocol.service_nodes import NodeIdentity
from session_testnet.clock import Clock
from session_testnet.knobs import NodeKnobs
from session_testnet.peers import PeerLink, PeerReply, PeerUnreachable
from session_testnet.services.omq import Commands
from session_testnet.services.registry import NetworkSnapshot
from session_testnet.services.storage.client_rpc import ClientRpc
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.database import MessageDatabase
from session_testnet.services.storage.dispatch import Dispatcher
from session_testnet.services.storage.exits import ExitMap
from session_testnet.services.storage.fault_gate import FaultGate, NoFaults
from session_testnet.services.storage.handover import COMMAND as DATA_COMMAND
from session_testnet.services.storage.handover import MISSED_COMMAND, READY_COMMAND, Handover
from session_testnet.services.storage.http_front import HttpFront
from session_testnet.services.storage.monitor import Monitor, Subscriber
from session_testnet.services.storage.omq import OmqFront
from session_testnet.services.storage.onion_hops import COMMAND as ONION_COMMAND
from session_testnet.services.storage.onion_hops import OnionHops
from session_testnet.services.storage.oxend import Oxend
from session_testnet.services.storage.replication import COMMAND as REPLICATION_COMMAND
from session_testnet.services.storage.replication import Replication
from session_testnet.services.storage.results import NoAnswer, RpcResult
from session_testnet.services.storage.settings import StorageSettings
from session_testnet.trace import Trace

_logger: Final = logging.getLogger(__name__)


class StorageNode:
    """Store messages for a swarm and pass onion requests on.

    ``database`` None keeps messages in memory; :class:`~session_testnet.services.sqlite_file.DatabaseRefused`
    is raised for a file that is damaged or another program's. ``dispatcher`` answers clients' requests.
    The node serves once :meth:`update_network` has told it of the network. Everything runs in one event loop.
    """

    def __init__(
        self,
        identity: NodeIdentity,
        name: str,
        *,
        clock: Clock,
        peers: PeerLink,
        trace: Trace,
        database: Path | None = None,
        exits: ExitMap | None = None,
        settings: StorageSettings | None = None,
        fault_gate: FaultGate | None = None,
        oxend: Oxend | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
        knobs: NodeKnobs | None = None,
        dispatcher: type[Dispatcher] = Dispatcher,
    ) -> None:
        settings = settings or StorageSettings()
        gate = fault_gate or NoFaults()
        self._database = MessageDatabase(
            database,
            max_bytes=settings.database_bytes,
            max_unseen=settings.kept_unseen,
            profile=settings.profile,
        )
        self._context = NodeContext(
            identity, name, clock=clock, database=self._database, settings=settings, oxend=oxend
        )
        self._handover = Handover(self._context, peers, trace)
        self._replication = Replication(self._context, peers, trace, self._handover)
        self._rpc = ClientRpc(
            self._context, dispatcher(self._context, self._replication, fault_gate=gate, trace=trace)
        )
        self._onions = OnionHops(
            self._context,
            self._rpc,
            peers=peers,
            exits=exits or ExitMap(),
            trace=trace,
            random_bytes=random_bytes,
        )
        self._front = HttpFront(self._context, self._rpc, self._onions, fault_gate=gate)
        self._monitor = Monitor(self._context)
        self._context.announce = self._monitor.announce
        self._omq = OmqFront(
            self._context, self._rpc, self._monitor, limiter=self._front.limiter, fault_gate=gate
        )
        self._purging: asyncio.Task[None] | None = None
        self._knobs_turned = asyncio.Event()
        self.set_knobs(knobs or NodeKnobs())

    @property
    def name(self) -> str:
        """Return the node's name in its network."""
        return self._context.name

    @property
    def ed25519_hex(self) -> str:
        """Return the key under which the network knows the node."""
        return self._context.ed25519_hex

    @property
    def swarm_id(self) -> int | None:
        """Return the id of the node's swarm; None when it is in none."""
        return self._context.own_swarm

    @property
    def knobs(self) -> NodeKnobs:
        """Return the node's knobs; clock and wrong swarm are not its own, and stand at their defaults."""
        return self._context.knobs

    def set_knobs(self, knobs: NodeKnobs) -> None:
        """Turn the node's knobs. Its clock is its owner's, who turns that; so are faults in its answers."""
        if knobs.rate_limit != self._context.knobs.rate_limit:
            self._front.refill_buckets()
        self._context.knobs = knobs
        self._database.full = knobs.disk_full
        # Whoever waits for an answer that a knob withholds looks again.
        self._knobs_turned.set()
        self._knobs_turned = asyncio.Event()

    def imitate(self, version: tuple[int, int, int]) -> None:
        """Behave as another release from now on, with what is stored; for a node that is stopped."""
        self._context.settings = replace(self._context.settings, version=version)

    def update_network(self, snapshot: NetworkSnapshot) -> None:
        """Take over a new state of the network; new members get this node's messages in the background."""
        self._context.snapshot = snapshot
        self._monitor.network_changed()
        self._handover.network_changed(snapshot)

    async def settled(self, reachable: Container[str] | None = None) -> None:
        """Try once to deliver what other nodes have not got from this one, and wait for the outcome.

        Only nodes with the keys ``reachable`` are tried, if given.
        """
        await self._handover.settled(reachable)

    def owed_to(self) -> list[str]:
        """Return the keys of the nodes that have not got everything from this one."""
        return self._handover.owed_to()

    def resume(self) -> None:
        """Purge, and tell the swarm that this node can be given what it missed; needs a running loop.

        For a node that starts, starts again, or has been frozen.
        """
        self.purge()
        self.start_purging()
        self._handover.resume()

    async def suspend(self) -> None:
        """Do nothing of one's own accord until :meth:`resume`: the node is stopped, or frozen."""
        await self._stop_purging()
        await self._handover.suspend()

    def application(self) -> web.Application:
        """Return the node's HTTP side (storage-rpc §2.1); each start needs a new one."""
        return self._front.application()

    def omq_commands(self) -> Commands:
        """Return the node's OMQ side (storage-rpc §2.2), for a listener with the node's X25519 key."""
        return self._omq.commands()

    def monitor(self, subscriber: Subscriber, request: bytes) -> bytes:
        """Answer ``monitor.messages`` of somebody in this process: what an OMQ client is answered, in bt."""
        return self._monitor.subscribe(subscriber, [request])

    def end_subscriptions(self, subscriber: Subscriber) -> None:
        """Push nothing more to somebody whose connection has ended."""
        self._monitor.forget(subscriber)

    @property
    def x25519_sk(self) -> bytes:
        """Return the secret key that OMQ clients expect the node to have."""
        return self._context.identity.x25519_sk

    async def handle_peer(self, command: str, payload: Any, sender: str = "") -> PeerReply:
        """Answer another node; raise nothing but PeerUnreachable, where a fault wants no answer.

        Commands are ``storage_cc``, ``onion_request``, ``data``, ``data_ready``, ``missed`` and ``ping``.
        ``sender`` is the key of the node that asks, as far as the link between them knows it.
        """
        try:
            match command:
                case _ if command == REPLICATION_COMMAND:
                    return await self._member_trouble() or await self._replication.answer(payload)
                case _ if command == ONION_COMMAND:
                    return await self._onions.from_node(payload, sender)
                case _ if command == DATA_COMMAND:
                    return await self._member_trouble() or self._handover.receive(payload)
                case _ if command == READY_COMMAND:
                    return self._handover.peer_is_ready(payload)
                case _ if command == MISSED_COMMAND:
                    return self._handover.others_missed(payload)
                case "ping":
                    return PeerReply(200, b"pong")
        except NoAnswer:
            raise PeerUnreachable(f"{self.name} went silent during {command}") from None
        except Exception:
            _logger.exception("node %s failed to answer %s of a peer", self.name, command)
            return PeerReply(500, b"request failed")
        return PeerReply(404, f"no command {command}".encode())

    async def _member_trouble(self) -> PeerReply | None:
        """Let the knobs for requests of other members keep one waiting, or return the answer they want."""
        while self.knobs.member_timeout:
            await self._knobs_turned.wait()
        error = self.knobs.member_error
        return None if error is None else PeerReply(error.status, error.text.encode())

    async def rpc(self, method: str, params: Mapping[str, Any]) -> RpcResult:
        """Answer a client's request that came without a connection: where there is to be no answer, 504."""
        try:
            return await self._rpc.answer(method, params, via="local")
        except NoAnswer:
            return RpcResult(504, "Request time out")

    def swarm_answer(self, account: str) -> dict[str, Any]:
        """Return what this node would answer with 421 for an account (66 hex digits); raise InvalidId.

        As if it had just left the account's swarm: where that has other members, it names only these.
        """
        body = self._context.other_swarm_body(account_bytes(account))
        own_key = self._context.ed25519_hex
        others = [member for member in body["snodes"] if member["pubkey_ed25519"] != own_key]
        return {**body, "snodes": others or body["snodes"]}

    def stored_messages(self, account: bytes, namespace: int) -> list[dict[str, Any]]:
        """Return what this node keeps for a 33-byte account, in order of arrival; ``data`` is hex."""
        return _messages_in(self._database, account, namespace)

    def message_count(self) -> int:
        """Return how many messages the node keeps."""
        return self._database.count()

    def forget(self, hashes: Iterable[str] | None = None) -> int:
        """Lose messages on this node alone, all or those with these hashes; return how many that were."""
        return self._database.forget(hashes)

    def purge(self) -> int:
        """Delete what has expired by the node's clock; return how many messages that were."""
        return self._database.purge(self._context.now_ms())

    def start_purging(self) -> None:
        """Purge periodically from now on, until :meth:`aclose`; needs a running loop."""
        if self._purging is None:
            self._purging = asyncio.create_task(
                self._purge_periodically(), name=f"purge expired messages of {self.name}"
            )

    async def aclose(self) -> None:
        """End what runs in the background and close connections; safe to call twice."""
        self._context.shutting_down = True
        await self.suspend()
        await self._onions.aclose()

    def close(self) -> None:
        """Close the database; the node is of no use afterwards. Safe to call twice."""
        self._context.shutting_down = True
        self._database.close()

    async def _stop_purging(self) -> None:
        if self._purging is not None:
            purging, self._purging = self._purging, None
            purging.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await purging

    async def _purge_periodically(self) -> None:
        period_s = self._context.settings.purge_period_s
        # Nodes take turns, by their keys: 1,000 that purged at once kept all requests waiting for 55 ms.
        await asyncio.sleep(period_s * self._context.identity.ed25519_pk[0] / 256)
        while True:
            try:
                self.purge()
            except sqlite3.Error:
                # The disk may be full, or fail for a while: a later turn may succeed.
                _logger.exception("node %s failed to purge", self.name)
            await asyncio.sleep(period_s)


def messages_in_file(path: Path, account: bytes, namespace: int) -> list[dict[str, Any]]:
    """Return what the file of a node that does not run has for a 33-byte account; ``data`` is hex."""
    if not path.exists():
        return []
    with contextlib.closing(MessageDatabase(path, max_bytes=StorageSettings().database_bytes)) as database:
        return _messages_in(database, account, namespace)


def _messages_in(database: MessageDatabase, account: bytes, namespace: int) -> list[dict[str, Any]]:
    return [
        {"hash": message, "timestamp": timestamp, "expiration": expiry, "data": data.hex()}
        for message, timestamp, expiry, data in database.retrieve(account, namespace).messages
    ]
