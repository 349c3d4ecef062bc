"""``delete``, ``delete_all`` and ``delete_before`` (storage-rpc §§10.3-10.5)."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from session_protocol.storage_auth import ALL_NAMESPACES, Access, signature_payload
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.fields import Params
from session_testnet.services.storage.methods.base import SwarmMethod, authenticate_signed, check_time
from session_testnet.services.storage.requests import (
    Delete,
    DeleteAll,
    DeleteBefore,
    parse_delete,
    parse_delete_all,
    parse_delete_before,
)
from session_testnet.services.storage.results import RpcError
from session_testnet.services.storage.settings import SIGNATURE_TOLERANCE_MS


class DeleteMethod(SwarmMethod[Delete]):
    """Delete messages by hash."""

    name: ClassVar[str] = "delete"

    def parse(self, params: Params) -> Delete:
        """Read the parameters."""
        return parse_delete(params)

    def check(self, node: NodeContext, request: Delete, *, forwarded: bool) -> Delete:  # noqa: ARG002
        """Check the signature; a deletion has no time, and may be repeated."""
        authenticate_signed(
            node,
            request,
            signature_payload("delete", messages=request.messages),
            method="delete_msgs",
            access=Access.DELETE,
        )
        return request

    def decide(self, node: NodeContext, request: Delete) -> Delete:  # noqa: ARG002
        """Keep to itself whether a deletion of nothing is an error: only the client's answer shows it."""
        return replace(request, required=False)

    def act(self, node: NodeContext, request: Delete) -> dict[str, Any]:
        """Delete what is there of it."""
        deleted = node.database.delete(request.account, request.messages)
        return {
            "deleted": deleted,
            "signature": node.signature(request.account.hex(), *request.messages, *deleted),
        }

    def finish(self, node: NodeContext, request: Delete, reply: dict[str, Any]) -> int:
        """Make it an error, if the client wants that, when no member had any of the messages."""
        status = super().finish(node, request, reply)
        missed = request.required and not any(entry.get("deleted") for entry in reply["swarm"].values())
        return 404 if status == 200 and missed else status


class DeleteAllMethod(SwarmMethod[DeleteAll]):
    """Delete all messages of a namespace or of the account."""

    name: ClassVar[str] = "delete_all"

    def parse(self, params: Params) -> DeleteAll:
        """Read the parameters."""
        return parse_delete_all(params)

    def check(self, node: NodeContext, request: DeleteAll, *, forwarded: bool) -> DeleteAll:
        """Check time and signature."""
        check_time(
            node,
            request.timestamp,
            "delete_all timestamp too far from current time",
            forwarded=forwarded,
        )
        authenticate_signed(
            node,
            request,
            signature_payload("delete_all", namespace=request.namespace, timestamp_ms=request.timestamp),
            method="delete_all",
            access=Access.DELETE,
        )
        return request

    def act(self, node: NodeContext, request: DeleteAll) -> dict[str, Any]:
        """Delete everything."""
        deleted = node.database.delete_all(request.account, request.namespace)
        return {
            "deleted": by_namespace(request.namespace, deleted),
            "signature": node.signature(request.account.hex(), str(request.timestamp), *hashes_of(deleted)),
        }


class DeleteBeforeMethod(SwarmMethod[DeleteBefore]):
    """Delete the messages up to a time, that one included."""

    name: ClassVar[str] = "delete_before"

    def parse(self, params: Params) -> DeleteBefore:
        """Read the parameters."""
        return parse_delete_before(params)

    def check(
        self,
        node: NodeContext,
        request: DeleteBefore,
        *,
        forwarded: bool,  # noqa: ARG002
    ) -> DeleteBefore:
        """Check that the time is not ahead, and the signature."""
        if request.before > node.now_ms() + SIGNATURE_TOLERANCE_MS:
            raise RpcError(401, "delete_before timestamp too far in the future")
        authenticate_signed(
            node,
            request,
            signature_payload("delete_before", namespace=request.namespace, before_ms=request.before),
            method="delete_before",
            access=Access.DELETE,
        )
        return request

    def act(self, node: NodeContext, request: DeleteBefore) -> dict[str, Any]:
        """Delete what is old enough."""
        deleted = node.database.delete_all(request.account, request.namespace, before=request.before)
        in_all = request.namespace == ALL_NAMESPACES
        if in_all and deleted and not node.profile.deletes_before_in_all_namespaces:
            # The old releases delete the messages, then fail to say so (storage-rpc §10.5).
            raise RpcError(500, "request failed")
        return {
            "deleted": by_namespace(request.namespace, deleted),
            "signature": node.signature(request.account.hex(), str(request.before), *hashes_of(deleted)),
        }


def hashes_of(messages: Iterable[tuple[int, str]]) -> list[str]:
    """Return the sorted hashes of messages given as pairs of namespace and hash."""
    return sorted(message for _, message in messages)


def by_namespace(
    namespace: int | str, messages: Iterable[tuple[int, str]]
) -> list[str] | dict[str, list[str]]:
    """Return sorted hashes: a list for one namespace, an object by namespace for ``"all"``."""
    if namespace != ALL_NAMESPACES:
        return hashes_of(messages)
    groups: dict[str, list[str]] = {}
    for number, message in sorted(messages):
        groups.setdefault(str(number), []).append(message)
    return groups
