"""Methods about the network and the node, which any node answers (storage-rpc §§10.9-10.14)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from session_protocol.errors import InvalidArgument
from session_protocol.service_nodes import encode_active_nodes_record
from session_testnet.services.storage import fields
from session_testnet.services.storage.context import NodeContext, has_address
from session_testnet.services.storage.fields import Params
from session_testnet.services.storage.methods.base import LocalMethod
from session_testnet.services.storage.oxend import CHAIN_ERRORS, ENDPOINTS
from session_testnet.services.storage.results import ParseError, RpcError, RpcResult


class GetSwarmMethod(LocalMethod[bytes]):
    """Tell which nodes keep an account's messages."""

    name: ClassVar[str] = "get_swarm"

    def parse(self, params: Params) -> bytes:
        """Read the account."""
        return fields.account(params, alias=True, form="66 hex digits/33 bytes")

    def answer(self, node: NodeContext, request: bytes) -> RpcResult:
        """List the members of the swarm."""
        return RpcResult(200, node.swarm_body(request))


class InfoMethod(LocalMethod[None]):
    """Tell the node's version and time."""

    name: ClassVar[str] = "info"

    def parse(self, params: Params) -> None:
        """Take any parameters."""

    def answer(self, node: NodeContext, request: None) -> RpcResult:  # noqa: ARG002 - there is nothing in it
        """Return version, time and hard fork."""
        body = node.stamped({"version": list(node.settings.version)})
        body["timestamp"] = body["t"]
        return RpcResult(200, body)


@dataclass(frozen=True, slots=True)
class OxendRequest:
    """A question for the chain daemon."""

    endpoint: str
    params: Any


class OxendMethod(LocalMethod[OxendRequest]):
    """Pass a question on to the chain daemon."""

    name: ClassVar[str] = "oxend_request"

    def parse(self, params: Params) -> OxendRequest:
        """Read which question it is; only two are allowed."""
        endpoint = fields.text(params, "endpoint")
        if endpoint is None:
            raise fields.missing("endpoint")
        if endpoint not in ENDPOINTS:
            raise ParseError(f"Invalid oxend endpoint '{endpoint}'")
        return OxendRequest(endpoint, _inner(params))

    def answer(self, node: NodeContext, request: OxendRequest) -> RpcResult:
        """Return the chain daemon's answer, or its error as a text."""
        params = {} if request.params is None else request.params
        if not isinstance(params, Mapping):
            raise RpcError(400, "Unable to parse request: params must be an object")
        try:
            result = node.oxend.call(request.endpoint, params)
        except CHAIN_ERRORS as error:
            raise RpcError(400, str(error) or "Unknown oxend error") from None
        if not isinstance(result, Mapping):
            raise RpcError(502, "oxend returned unparsable data")
        return RpcResult(200, node.stamped({"result": result}))


def _inner(params: Params) -> Any:
    """Read the question's own parameters, which in bt are a JSON text."""
    inner = params.get("params")
    if not isinstance(params, fields.BtParams) or inner is None:
        return inner
    try:
        return orjson.loads(inner.raw if isinstance(inner, fields.BtText) else b"")
    except orjson.JSONDecodeError:
        raise ParseError("oxend_request params field does not contain valid json") from None


class ActiveNodesMethod(LocalMethod[None]):
    """List all nodes that are in a swarm, in 51 bytes each."""

    name: ClassVar[str] = "active_nodes_bin"

    def parse(self, params: Params) -> None:
        """Take any parameters; some clients send those of another method."""

    def answer(self, node: NodeContext, request: None) -> RpcResult:  # noqa: ARG002 - there is nothing in it
        """Return the records, by ascending swarm id, then key."""
        records = []
        for swarm_id, members in sorted(node.known_network().swarms.items()):
            for member in sorted(members, key=lambda member: member.ed25519_pk):
                if not has_address(member):
                    continue
                try:
                    records.append(
                        encode_active_nodes_record(
                            bytes.fromhex(member.ed25519_pk),
                            swarm_id,
                            member.ip,
                            member.https_port,
                            member.omq_port,
                            member.version,
                        )
                    )
                except InvalidArgument:
                    # A node whose address does not fit the format cannot be told about in it.
                    continue
        return RpcResult(200, b"".join(records))
