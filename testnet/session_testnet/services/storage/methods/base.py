"""What RPC methods have in common: parse, check, act (storage-rpc §8)."""

import sqlite3
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from session_protocol.errors import ProtocolError
from session_protocol.storage_auth import Access, verify
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.fields import Params
from session_testnet.services.storage.requests import AccountRequest, Authentication, SignedRequest
from session_testnet.services.storage.results import RpcError, RpcResult
from session_testnet.services.storage.settings import FORWARDED_TOLERANCE_MS, SIGNATURE_TOLERANCE_MS
from session_testnet.services.storage.stored import DatabaseFull

Request = TypeVar("Request")
OfAccount = TypeVar("OfAccount", bound=AccountRequest)


class Method(ABC, Generic[Request]):
    """One RPC method. Methods have no state of their own; everything is in the node's context."""

    name: ClassVar[str]

    @abstractmethod
    def parse(self, params: Params) -> Request:
        """Read the parameters; raise ParseError."""


class LocalMethod(Method[Request]):
    """A method that the asked node answers alone."""

    @abstractmethod
    def answer(self, node: NodeContext, request: Request) -> RpcResult:
        """Carry the request out; raise RpcError."""


class AccountMethod(LocalMethod[OfAccount]):
    """A method about an account, that only a member of the account's swarm answers, alone."""

    def answer(self, node: NodeContext, request: OfAccount) -> RpcResult:
        """Check swarm, times and signature, then act."""
        node.check_swarm(request.account)
        self.check(node, request)
        return self.act(node, request)

    @abstractmethod
    def check(self, node: NodeContext, request: OfAccount) -> None:
        """Check times and signature; raise RpcError."""

    @abstractmethod
    def act(self, node: NodeContext, request: OfAccount) -> RpcResult:
        """Carry the checked request out."""


class SwarmMethod(Method[OfAccount]):
    """A method that every member of the account's swarm carries out, each giving an entry to the reply."""

    @abstractmethod
    def check(self, node: NodeContext, request: OfAccount, *, forwarded: bool) -> OfAccount:
        """Check times and signature; return the request to act on. Raise RpcError.

        ``forwarded`` requests come from another member, that has checked them by its own clock a moment ago.
        """

    def decide(self, node: NodeContext, request: OfAccount) -> OfAccount:  # noqa: ARG002 - of this node
        """Return the checked request with what the asked node decides for all members."""
        return request

    def perform(self, node: NodeContext, request: OfAccount) -> dict[str, Any]:
        """Act and return this node's entry, which may be that its database failed (storage-rpc §9)."""
        try:
            return self.act(node, request)
        except (DatabaseFull, sqlite3.OperationalError) as error:
            return {"failed": True, "query_failure": True, "reason": str(error)}

    @abstractmethod
    def act(self, node: NodeContext, request: OfAccount) -> dict[str, Any]:
        """Carry the checked request out on this node, completely or not at all; return this node's entry."""

    def mark_entry(self, node: NodeContext, entry: dict[str, Any]) -> None:
        """Change the entry of the node that the client asked, in place."""

    def finish(
        self,
        node: NodeContext,
        request: OfAccount,  # noqa: ARG002 - for methods whose answer depends on it
        reply: dict[str, Any],
    ) -> int:
        """Complete the reply, in place, from the entries under ``swarm``; return its status.

        That is 200, or 500 when no member succeeded; old releases never noticed (storage-rpc §9).
        """
        failed = all(entry.get("failed") for entry in reply["swarm"].values())
        return 500 if failed and node.profile.reports_failed_swarm else 200


def authenticate(
    node: NodeContext,
    request: AccountRequest,
    authentication: Authentication,
    payload: bytes,
    *,
    method: str,
    access: Access,
    readable_when_revoked: bool = False,
) -> None:
    """Verify a request's signature over ``payload``; ``method`` begins the text of the 401 answer."""
    subaccount = authentication.subaccount
    revoked = (
        () if subaccount is None or readable_when_revoked else node.database.revoked_tokens(request.account)
    )
    try:
        verify(
            request.account,
            payload,
            authentication.signature,
            pubkey_ed25519=authentication.pubkey_ed25519,
            subaccount=subaccount,
            access=access,
            revoked=revoked,
            to_x25519=node.x25519_of,
        )
    except ProtocolError:
        # A node does not tell which of its checks failed (storage-rpc §6.2).
        raise RpcError(401, f"{method} signature verification failed") from None


def authenticate_signed(
    node: NodeContext, request: SignedRequest, payload: bytes, *, method: str, access: Access
) -> None:
    """Verify the signature of a request that always has one."""
    authenticate(node, request, request.authentication, payload, method=method, access=access)


def check_time(node: NodeContext, timestamp: int, text: str, *, forwarded: bool = False) -> None:
    """Raise the 406 answer unless a signed time is near the node's own; a bit farther off when forwarded."""
    tolerance = FORWARDED_TOLERANCE_MS if forwarded else SIGNATURE_TOLERANCE_MS
    if abs(node.now_ms() - timestamp) > tolerance:
        raise RpcError(406, text)
