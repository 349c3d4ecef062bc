"""``store`` and ``retrieve`` (storage-rpc §§10.1, 10.2)."""

from typing import Any, ClassVar, Final

import pybase64

from session_protocol.namespaces import (
    TESTING,
    allows_unauthenticated_retrieve,
    allows_unauthenticated_store,
    is_public_outbox,
    is_unrevocable,
    max_ttl_ms,
)
from session_protocol.storage_auth import Access, required_access, signature_payload
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.fields import Params, missing
from session_testnet.services.storage.methods.base import AccountMethod, SwarmMethod, authenticate, check_time
from session_testnet.services.storage.requests import Retrieve, Store, parse_retrieve, parse_store
from session_testnet.services.storage.results import RpcError, RpcResult
from session_testnet.services.storage.settings import MIN_TTL_MS, STORE_TOLERANCE_MS
from session_testnet.services.storage.stored import StoredMessage

_RESERVED_TEXT: Final = f"namespace {TESTING} is reserved for testing and cannot store messages"


class StoreMethod(SwarmMethod[Store]):
    """Keep a message in the swarm."""

    name: ClassVar[str] = "store"

    def parse(self, params: Params) -> Store:
        """Read the parameters."""
        return parse_store(params)

    def check(self, node: NodeContext, request: Store, *, forwarded: bool) -> Store:  # noqa: ARG002
        """Check the times and, where the namespace demands it, the signature."""
        namespace = request.namespace
        if namespace == TESTING and node.profile.reserves_testing_namespace:
            raise RpcError(403, _RESERVED_TEXT)
        if not MIN_TTL_MS <= request.expiry - request.timestamp <= max_ttl_ms(namespace):
            raise RpcError(403, "Provided expiry/TTL is not valid.")
        now = node.now_ms()
        if request.timestamp > now + STORE_TOLERANCE_MS or request.expiry < now - STORE_TOLERANCE_MS:
            raise RpcError(406, "Timestamp error: check your clock")
        if allows_unauthenticated_store(namespace):
            return request
        if request.authentication is None:
            raise RpcError(401, f"store: signature required to store to namespace {namespace}")
        check_time(node, request.sig_timestamp, "store signature timestamp too far from current time")
        authenticate(
            node,
            request,
            request.authentication,
            signature_payload("store", namespace=namespace, timestamp_ms=request.sig_timestamp),
            method="store",
            access=required_access("store", namespace) or Access.WRITE,
        )
        return request

    def act(self, node: NodeContext, request: Store) -> dict[str, Any]:
        """Keep the message; an outbox keeps only the newest."""
        message = StoredMessage(
            request.account,
            request.hash,
            request.namespace,
            request.timestamp,
            request.expiry,
            request.data,
        )
        outbox = is_public_outbox(request.namespace)
        outcome = node.database.replace(message) if outbox else node.database.store(message)
        entry: dict[str, Any] = {
            "hash": request.hash,
            # An obsolete message is neither kept nor refused.
            "expiry": 0 if outcome is None else outcome.expiry,
            "signature": node.signature(request.hash),
        }
        if outcome is None or outcome.already:
            entry["already"] = True
        else:
            node.announce(message)
        return entry

    def mark_entry(self, node: NodeContext, entry: dict[str, Any]) -> None:
        """Add the time, which only this method's entries of the asked node have, for historical reasons."""
        if "failed" not in entry:
            entry["t"] = node.now_ms()

    def finish(self, node: NodeContext, request: Store, reply: dict[str, Any]) -> int:
        """Name the message at the top."""
        reply["hash"] = request.hash
        return super().finish(node, request, reply)


class RetrieveMethod(AccountMethod[Retrieve]):
    """List messages of one namespace, in the order in which this node got them."""

    name: ClassVar[str] = "retrieve"

    def parse(self, params: Params) -> Retrieve:
        """Read the parameters."""
        return parse_retrieve(params)

    def check(self, node: NodeContext, request: Retrieve) -> None:
        """Check the signature if there is one, and that there is one where it is needed."""
        if request.authentication is None or request.timestamp is None:
            if request.namespace == TESTING and not node.profile.reserves_testing_namespace:
                # Parsing let it pass, for newer nodes.
                raise RpcError(400, f"invalid request: {missing('signature')}")
            if not allows_unauthenticated_retrieve(request.namespace):
                raise RpcError(401, "retrieve: request signature required")
            return
        check_time(node, request.timestamp, "retrieve timestamp too far from current time")
        authenticate(
            node,
            request,
            request.authentication,
            signature_payload("retrieve", namespace=request.namespace, timestamp_ms=request.timestamp),
            method="retrieve",
            access=Access.READ,
            readable_when_revoked=is_unrevocable(request.namespace),
        )

    def act(self, node: NodeContext, request: Retrieve) -> RpcResult:
        """Return one page."""
        page = node.database.retrieve(
            request.account,
            request.namespace,
            after=request.last_hash,
            max_count=request.max_count,
            max_bytes=request.max_size,
            reverse=request.reverse and node.profile.reverse_direction,
        )
        messages = [
            {
                "hash": message,
                "timestamp": timestamp,
                "expiration": expiry,
                "data": pybase64.b64encode(data).decode(),
            }
            for message, timestamp, expiry, data in page.messages
        ]
        return RpcResult(200, node.stamped({"messages": messages, "more": page.more}))
