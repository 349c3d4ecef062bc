"""``revoke_subaccount``, ``unrevoke_subaccount`` and ``revoked_subaccounts`` (storage-rpc §§10.12, 10.13)."""

from typing import Any, ClassVar

import pybase64

from session_protocol.storage_auth import Access, signature_payload
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.fields import Params
from session_testnet.services.storage.methods.base import (
    AccountMethod,
    SwarmMethod,
    authenticate_signed,
    check_time,
)
from session_testnet.services.storage.requests import (
    ChangeRevocations,
    RevokedSubaccounts,
    parse_revoke,
    parse_revoked_subaccounts,
    parse_unrevoke,
)
from session_testnet.services.storage.results import RpcResult

# These methods are the owner's alone: their requests never carry a sub-account.
_OWNER_ONLY = Access(0)


class _ChangeMethod(SwarmMethod[ChangeRevocations]):
    def check(self, node: NodeContext, request: ChangeRevocations, *, forwarded: bool) -> ChangeRevocations:
        """Check time and signature."""
        check_time(
            node,
            request.timestamp,
            f"{self.name} timestamp too far from current time",
            forwarded=forwarded and node.profile.tolerates_late_revocations,
        )
        authenticate_signed(
            node,
            request,
            signature_payload(self.name, timestamp_ms=request.timestamp, tokens=request.tokens),
            method=self.name,
            access=_OWNER_ONLY,
        )
        return request


class RevokeMethod(_ChangeMethod):
    """Revoke sub-accounts."""

    name: ClassVar[str] = "revoke_subaccount"

    def parse(self, params: Params) -> ChangeRevocations:
        """Read the parameters."""
        return parse_revoke(params)

    def act(self, node: NodeContext, request: ChangeRevocations) -> dict[str, Any]:
        """Remember the revocations."""
        node.database.revoke(request.account, request.tokens)
        return {"signature": _signature(node, request)}


class UnrevokeMethod(_ChangeMethod):
    """Take revocations back."""

    name: ClassVar[str] = "unrevoke_subaccount"

    def parse(self, params: Params) -> ChangeRevocations:
        """Read the parameters."""
        return parse_unrevoke(params)

    def act(self, node: NodeContext, request: ChangeRevocations) -> dict[str, Any]:
        """Forget the revocations, and count them."""
        count = node.database.unrevoke(request.account, request.tokens)
        return {"count": count, "signature": _signature(node, request)}


class RevokedSubaccountsMethod(AccountMethod[RevokedSubaccounts]):
    """List the revoked sub-accounts."""

    name: ClassVar[str] = "revoked_subaccounts"

    def parse(self, params: Params) -> RevokedSubaccounts:
        """Read the parameters."""
        return parse_revoked_subaccounts(params)

    def check(self, node: NodeContext, request: RevokedSubaccounts) -> None:
        """Check time and signature."""
        check_time(node, request.timestamp, "revoked_subaccounts timestamp too far from current time")
        authenticate_signed(
            node,
            request,
            signature_payload("revoked_subaccounts", timestamp_ms=request.timestamp),
            method="revoked_subaccounts",
            access=_OWNER_ONLY,
        )

    def act(self, node: NodeContext, request: RevokedSubaccounts) -> RpcResult:
        """Return the tokens."""
        tokens = node.database.revoked_tokens(request.account)
        return RpcResult(
            200,
            node.stamped({"revoked_subaccounts": [pybase64.b64encode(token).decode() for token in tokens]}),
        )


def _signature(node: NodeContext, request: ChangeRevocations) -> str:
    head = f"{request.account.hex()}{request.timestamp}".encode()
    return node.signature_of(head + b"".join(request.tokens))
