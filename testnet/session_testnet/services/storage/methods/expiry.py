"""``expire``, ``expire_all`` and ``get_expiries`` (storage-rpc §§10.6-10.8)."""

from itertools import chain
from typing import Any, ClassVar

from session_protocol.errors import InvalidArgument
from session_protocol.namespaces import MAX_TTL_MS
from session_protocol.storage_auth import Access, signature_payload
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.fields import Params
from session_testnet.services.storage.methods.base import (
    AccountMethod,
    SwarmMethod,
    authenticate_signed,
    check_time,
)
from session_testnet.services.storage.methods.deletion import by_namespace, hashes_of
from session_testnet.services.storage.requests import (
    Expire,
    ExpireAll,
    GetExpiries,
    parse_expire,
    parse_expire_all,
    parse_get_expiries,
)
from session_testnet.services.storage.results import RpcError, RpcResult
from session_testnet.services.storage.settings import SIGNATURE_TOLERANCE_MS


class ExpireAllMethod(SwarmMethod[ExpireAll]):
    """Shorten the lives of all messages of a namespace or of the account."""

    name: ClassVar[str] = "expire_all"

    def parse(self, params: Params) -> ExpireAll:
        """Read the parameters."""
        return parse_expire_all(params)

    def check(self, node: NodeContext, request: ExpireAll, *, forwarded: bool) -> ExpireAll:
        """Check that the new time is not past, and the signature."""
        tolerance = SIGNATURE_TOLERANCE_MS + (10_000 if forwarded else 0)
        if request.expiry < node.now_ms() - tolerance:
            raise RpcError(406, "expire_all timestamp should be >= current time")
        authenticate_signed(
            node,
            request,
            signature_payload("expire_all", namespace=request.namespace, expiry_ms=request.expiry),
            method="expire_all",
            access=Access.DELETE,
        )
        return request

    def act(self, node: NodeContext, request: ExpireAll) -> dict[str, Any]:
        """Shorten what would live longer."""
        updated = node.database.shorten_all(request.account, request.namespace, request.expiry)
        return {
            "updated": by_namespace(request.namespace, updated),
            "signature": node.signature(request.account.hex(), str(request.expiry), *hashes_of(updated)),
        }


class ExpireMethod(SwarmMethod[Expire]):
    """Change the lives of messages, by hash."""

    name: ClassVar[str] = "expire"

    def parse(self, params: Params) -> Expire:
        """Read the parameters."""
        return parse_expire(params)

    def check(self, node: NodeContext, request: Expire, *, forwarded: bool) -> Expire:  # noqa: ARG002
        """Check times, signature, and what a sub-account without the right to delete may do."""
        if any(expiry < node.now_ms() - SIGNATURE_TOLERANCE_MS for expiry in request.expiries):
            raise RpcError(401, "expire: timestamp should be >= current time")
        authenticate_signed(
            node,
            request,
            signature_payload(
                "expire",
                mode=request.mode,
                expiry_ms=request.expiries,
                messages=request.messages,
            ),
            method="expire:",
            access=Access.WRITE,
        )
        subaccount = request.authentication.subaccount
        if subaccount is None or Access.DELETE in subaccount.access:
            return request
        if request.mode == "shorten":
            raise RpcError(
                400,
                "expire: shorten parameter cannot be used with this subaccount token (missing delete access)",
            )
        return request if request.mode == "extend" else request.extending_only()

    def act(self, node: NodeContext, request: Expire) -> dict[str, Any]:
        """Set the new times where the mode allows it."""
        latest = node.now_ms() + MAX_TTL_MS
        expiries = [min(expiry, latest) for expiry in request.expiries]
        single = len(expiries) == 1
        wanted = dict(
            zip(request.messages, expiries * len(request.messages) if single else expiries, strict=True)
        )
        kept = node.database.times(request.account, wanted)
        updated = sorted(
            message
            for message, times in kept.items()
            if _changes(request, times, wanted[message], skip_trivial=node.profile.skips_trivial_extensions)
        )
        node.database.set_expiries([(message, wanted[message]) for message in updated])
        reported = expiries if single else [wanted[message] for message in updated]
        unchanged = (
            {message: kept[message][1] for message in sorted(kept.keys() - set(updated))}
            if request.mode
            else {}
        )
        entry: dict[str, Any] = {
            "updated": updated,
            "expiry": reported[0] if single else reported,
            "signature": node.signature(
                request.account.hex(),
                *map(str, reported),
                *request.messages,
                *updated,
                *chain.from_iterable((message, str(expiry)) for message, expiry in unchanged.items()),
            ),
        }
        if request.mode:
            entry["unchanged"] = unchanged
        return entry


def _changes(request: Expire, times: tuple[int, int], wanted: int, *, skip_trivial: bool) -> bool:
    """Tell whether a message with this timestamp and expiry gets the expiry ``wanted``."""
    timestamp, expiry = times
    if request.mode == "shorten":
        return expiry > wanted
    if request.mode == "extend":
        # A gain of less than 1 % of the present life is not worth a write.
        trivial = skip_trivial and (wanted - expiry) * 100 < expiry - timestamp
        return expiry < wanted and not trivial
    return expiry < wanted if request.only_extend else True


class GetExpiriesMethod(AccountMethod[GetExpiries]):
    """Tell when messages expire; the only reply about an account without time and hard fork."""

    name: ClassVar[str] = "get_expiries"

    def parse(self, params: Params) -> GetExpiries:
        """Read the parameters."""
        return parse_get_expiries(params)

    def check(self, node: NodeContext, request: GetExpiries) -> None:
        """Check time and signature."""
        check_time(node, request.timestamp, "get_expiries timestamp too far from current time")
        try:
            payload = signature_payload(
                "get_expiries", timestamp_ms=request.timestamp, messages=request.messages
            )
        except InvalidArgument:
            # These hashes may be any text, and what is not ASCII cannot have been signed.
            raise RpcError(401, "get_expiries signature verification failed") from None
        authenticate_signed(node, request, payload, method="get_expiries", access=Access.READ)

    def act(self, node: NodeContext, request: GetExpiries) -> RpcResult:
        """Return the times of the messages that are there."""
        times = node.database.times(request.account, request.messages)
        return RpcResult(200, {"expiries": {message: expiry for message, (_, expiry) in times.items()}})
