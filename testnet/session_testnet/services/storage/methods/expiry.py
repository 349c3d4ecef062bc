"""``expire``, ``expire_all`` and ``get_expiries`` (storage-rpc §§10.6-10.8)."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar, Final

from session_protocol.errors import InvalidArgument
from session_protocol.namespaces import MAX_TTL_MS
from session_protocol.storage_auth import Access, ExpireMode, signature_payload
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.fields import Params
from session_testnet.services.storage.lives import Kind
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
from session_testnet.services.storage.settings import MULTI_EXPIRY_HARDFORK, SIGNATURE_TOLERANCE_MS

# By mode, and whether the request may only extend.
_KINDS: Final[Mapping[tuple[ExpireMode, bool], Kind]] = {
    ("", False): Kind.SET,
    ("", True): Kind.RAISE,
    ("extend", False): Kind.RAISE,
    ("shorten", False): Kind.SHORTEN,
}


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
        if len(request.expiries) > 1 and node.known_network().hardfork < MULTI_EXPIRY_HARDFORK:
            raise RpcError(403, "expire: multi-expiry requests are not yet active on the network")
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

    def decide(self, node: NodeContext, request: Expire) -> Expire:
        """Decide how long messages may live at most, and which gain too little: less than 1 %."""
        latest = node.now_ms() + MAX_TTL_MS
        trivial: list[str] = []
        if request.mode == "extend" and node.profile.skips_trivial_extensions:
            wanted = _wanted(request, latest)
            trivial = [
                message
                for message, (timestamp, expiry) in node.database.times(request.account, wanted).items()
                if expiry < wanted[message] and (wanted[message] - expiry) * 100 < expiry - timestamp
            ]
        return replace(request, latest=latest, trivial=tuple(trivial))

    def act(self, node: NodeContext, request: Expire) -> dict[str, Any]:
        """Set the new times where the mode allows it."""
        latest = node.now_ms() + MAX_TTL_MS if request.latest is None else request.latest
        wanted = _wanted(request, latest)
        single = len(request.expiries) == 1
        left_alone = {
            message: expiry
            for message, (_, expiry) in node.database.times(request.account, request.trivial).items()
        }
        lives = node.database.change_lives(
            request.account,
            _KINDS[request.mode, request.only_extend],
            {message: expiry for message, expiry in wanted.items() if message not in left_alone},
        )
        # Where a later change is known already, that counts.
        updated = sorted(
            message
            for message, life in lives.items()
            if life.after == wanted[message] and _changes(request, life.before, wanted[message])
        )
        reported = [min(request.expiries[0], latest)] if single else [wanted[message] for message in updated]
        unchanged: dict[str, int] = {}
        if request.mode:
            left_alone |= {message: life.after for message, life in lives.items()}
            unchanged = {message: left_alone[message] for message in sorted(left_alone.keys() - set(updated))}
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


def _wanted(request: Expire, latest: int) -> dict[str, int]:
    """Return the time that is asked for each message."""
    expiries = [min(expiry, latest) for expiry in request.expiries]
    many = expiries * len(request.messages) if len(expiries) == 1 else expiries
    return dict(zip(request.messages, many, strict=True))


def _changes(request: Expire, before: int, wanted: int) -> bool:
    """Tell whether a message that would expire at ``before`` gets the expiry ``wanted``."""
    if request.mode == "shorten":
        return before > wanted
    return before < wanted if request.mode == "extend" or request.only_extend else True


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
