"""Carry a request out on the whole swarm: here, and on every other member (storage-rpc §9)."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from session_testnet.peers import PeerLink, PeerReply, PeerTimeout, PeerUnreachable
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.handover import MISSED_COMMAND, Handover, Missed
from session_testnet.services.storage.methods import SWARM_METHODS, SwarmMethod
from session_testnet.services.storage.requests import AccountRequest
from session_testnet.services.storage.results import RpcError, RpcResult
from session_testnet.trace import Trace

COMMAND = "storage_cc"


@dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """What one member sends another: the method and the request as the client signed it.

    ``stamp`` is what the asked member gave the change; 0 lets each member give one.
    """

    method: str
    request: AccountRequest
    stamp: int = 0


class Replication:
    """Both sides of recursive requests: asking the other members, and being asked by one."""

    def __init__(self, context: NodeContext, peers: PeerLink, trace: Trace, handover: Handover) -> None:
        self._context = context
        self._peers = peers
        self._trace = trace
        self._handover = handover

    async def carry_out(self, method: SwarmMethod[Any], request: AccountRequest) -> RpcResult:
        """Check a client's request, let the whole swarm carry it out, and return all members' entries."""
        node = self._context
        node.check_swarm(request.account)
        checked = method.check(node, request, forwarded=False)
        await self._handover.announced()
        stamp = node.database.next_stamp(node.now_ms())
        decided = method.decide(node, checked)
        forwarded = ForwardedRequest(method.name, decided, stamp)
        # Tasks start in the order of their creation, after this node has acted: what one member stores
        # before another request, all do.
        asked = [
            (member.ed25519_pk, asyncio.create_task(self._ask(member.ed25519_pk, forwarded)))
            for member in node.other_members()
        ]
        swarm: dict[str, dict[str, Any]] = {}
        try:
            node.database.write_at(stamp)
            own_entry = method.perform(node, decided)
            method.mark_entry(node, own_entry)
            swarm[node.ed25519_hex] = own_entry
            for key, task in asked:
                swarm[key] = await task
        except BaseException:
            for _, task in asked:
                task.cancel()
            if swarm:
                # What this node has done, the others are to learn even though nobody hears of it now.
                self._owe(forwarded, [key for key, _ in asked if key not in swarm])
            raise
        await self._note_missed(forwarded, swarm)
        reply: dict[str, Any] = {"swarm": swarm}
        status = method.finish(node, request, reply)
        return RpcResult(status, node.stamped(reply))

    async def answer(self, payload: Any) -> PeerReply:
        """Carry out a request that another member forwarded, on this node alone."""
        method = SWARM_METHODS.get(payload.method) if isinstance(payload, ForwardedRequest) else None
        if method is None:
            return PeerReply(400, b"Invalid forwarded client request")
        node, request = self._context, payload.request
        try:
            if node.not_ready_reasons():
                raise RpcError(503, node.not_ready_text())
            node.check_swarm(request.account)
            checked = method.check(node, request, forwarded=True)
            node.database.write_at(payload.stamp or node.database.next_stamp(node.now_ms()))
            entry = method.perform(node, checked)
        except RpcError as error:
            body = error.body if isinstance(error.body, dict) else str(error.body).encode()
            return PeerReply(error.status, body)
        # What the asked member stamps next is then later than all that this one knows.
        return PeerReply(200, {"entry": entry, "newest": node.database.newest_stamp})

    async def _ask(self, key: str, forwarded: ForwardedRequest) -> dict[str, Any]:
        try:
            reply = await self._peers.request(
                key,
                COMMAND,
                forwarded,
                timeout_s=self._context.settings.peer_timeout_s,
                sender=self._context.ed25519_hex,
            )
        except (PeerTimeout, PeerUnreachable) as error:
            self._record(key, forwarded, type(error).__name__)
            return {"failed": True, "timeout": True}
        self._record(key, forwarded, reply.status)
        if reply.status != 200:
            reason = reply.body.decode(errors="replace") if isinstance(reply.body, bytes) else "wrong swarm"
            return {"failed": True, "code": str(reply.status), "reason": reason}
        body = reply.body if isinstance(reply.body, dict) else {}
        entry, newest = body.get("entry"), body.get("newest")
        if not isinstance(entry, dict) or not isinstance(newest, int):
            return {"failed": True, "bad_peer_response": True}
        self._context.database.know(newest)
        return entry

    def _record(self, key: str, forwarded: ForwardedRequest, outcome: int | str) -> None:
        self._trace.record(
            "peer", self._context.name, command=COMMAND, method=forwarded.method, target=key, outcome=outcome
        )

    async def _note_missed(self, forwarded: ForwardedRequest, swarm: dict[str, dict[str, Any]]) -> None:
        """Let every member that has carried a request out note who has not, before the client is told.

        Once the client knows, what it asked for must survive the end of this node, or of any other that has
        done it. This node may be one of those that have not.
        """
        own = self._context.ed25519_hex
        missed = tuple(key for key, entry in swarm.items() if _is_worth_retrying(entry))
        witnesses = [key for key, entry in swarm.items() if not entry.get("failed") and key != own]
        if not missed or not self._context.profile.retries_forwards:
            return
        if own not in missed:
            self._owe(forwarded, missed)
        news = Missed(forwarded.request.account, forwarded.stamp, missed)
        await asyncio.gather(*(self._tell(key, news) for key in witnesses))

    async def _tell(self, key: str, news: Missed) -> None:
        settings = self._context.settings
        # A member that has failed in between is of no help now; the others have noted the same.
        with contextlib.suppress(PeerTimeout, PeerUnreachable):
            await self._peers.request(
                key,
                MISSED_COMMAND,
                news,
                timeout_s=settings.peer_timeout_s,
                sender=self._context.ed25519_hex,
            )

    def _owe(self, forwarded: ForwardedRequest, keys: Sequence[str]) -> None:
        if self._context.profile.retries_forwards:
            self._handover.owe(Missed(forwarded.request.account, forwarded.stamp, tuple(keys)))


def _is_worth_retrying(entry: dict[str, Any]) -> bool:
    """Tell whether a member missed a request for a reason that may pass: silence, or trouble of its own.

    What a member refused (401, 403, 406 …) it would refuse again: its reason lies in the request.
    """
    if not entry.get("failed"):
        return False
    code = str(entry.get("code", ""))
    return bool(entry.get("timeout") or entry.get("query_failure")) or code.startswith("5") or code == "421"
