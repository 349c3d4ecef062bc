"""The registry's JSON-RPC: requests with or without envelope fields in, exact answers out (network §3)."""

import binascii
import random
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from session_testnet.clock import Clock
from session_testnet.services.registry.node_list import (
    InvalidParams,
    NodeListQuery,
    desktop_objection,
    list_service_nodes,
)
from session_testnet.services.registry.state import RegistryState
from session_testnet.trace import Trace

NODE_LIST_METHODS = ("get_service_nodes", "get_n_service_nodes", "get_all_service_nodes")

PARSE_ERROR = (-32700, "Parse error")
INVALID_REQUEST = (-32600, "Invalid Request")
METHOD_NOT_FOUND = (-32601, "Method not found")
INVALID_PARAMS = (-32602, "Invalid params")
_TOO_BIG_HEIGHT = -2
# A block hash is computed for each: nobody asks for more than a few.
MAX_BLOCK_HASHES = 1000

Params = Mapping[str, Any]


class RpcError(Exception):
    """Answer with this error object; HTTP status stays 200."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RegistryRpc:
    """Answer the registry's methods from its state.

    ``rng`` draws the nodes of limited lists. Node lists that Desktop asks for are checked by its own rules
    and the outcome traced: it falls back to the production network, silently, when it refuses one.
    """

    def __init__(self, state: RegistryState, *, clock: Clock, trace: Trace, rng: random.Random) -> None:
        self._state = state
        self._clock = clock
        self._trace = trace
        self._rng = rng
        self._methods: dict[str, Callable[[Params], dict[str, Any]]] = {
            **dict.fromkeys(NODE_LIST_METHODS, self.service_nodes),
            "get_info": self.info,
            "get_block_hash": self.block_hashes,
            "get_height": self.height,
            "ons_resolve": self.resolve_name,
        }

    @property
    def methods(self) -> tuple[str, ...]:
        """Return the names of all methods."""
        return tuple(self._methods)

    def answer(self, body: bytes) -> dict[str, Any]:
        """Answer one request body with the whole reply object; never raises."""
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError:
            return _error(None, *PARSE_ERROR)
        if not isinstance(request, dict):
            return _error(None, *INVALID_REQUEST)
        request_id, method, params = request.get("id"), request.get("method"), request.get("params")
        if not isinstance(method, str) or not method:
            return _error(request_id, *INVALID_REQUEST)
        carry_out = self._methods.get(method)
        if carry_out is None:
            self._trace.record("registry", None, method=method, error=METHOD_NOT_FOUND[1])
            return _error(request_id, *METHOD_NOT_FOUND)
        try:
            result = carry_out(_params_object(params))
        except InvalidParams as error:
            return _error(request_id, *INVALID_PARAMS, data=f"Unable to parse request: {error}")
        except RpcError as error:
            return _error(request_id, error.code, error.message)
        return {"id": request_id, "jsonrpc": "2.0", "result": result}

    def call(self, method: str, params: Params) -> dict[str, Any]:
        """Return a method's result object; InvalidParams, RpcError or, for an unknown method, KeyError.

        This is how storage nodes ask on behalf of a client (storage-rpc §10.11).
        """
        return self._methods[method](params)

    def service_nodes(self, params: Params) -> dict[str, Any]:
        """Return the node list (network §3.1)."""
        query = NodeListQuery.parse(params)
        result = list_service_nodes(self._state, query, now_ms=self._clock.now_ms(), rng=self._rng)
        fields: dict[str, Any] = {
            "method": NODE_LIST_METHODS[0],
            "nodes": len(result.get("service_node_states", ())),
        }
        # Only Desktop asks for this field by name.
        if (
            query.fields is not None
            and "requested_unlock_height" in query.fields
            and "unchanged" not in result
        ):
            fields["desktop"] = desktop_objection(result) or "accepts"
        self._trace.record("registry", None, **fields)
        return result

    def info(self, _params: Params) -> dict[str, Any]:
        """Return a subset of what public nodes tell of themselves; ``height`` is the top block's plus one."""
        height = self._state.height
        return {
            "height": height + 1,
            "target_height": height + 1,
            "top_block_hash": self._state.block_hash(),
            "hard_fork": self._state.hardfork[0],
            "target": 120,
            "mainnet": False,
            "nettype": "devnet",
            "immutable_height": max(0, height - 10),
            "immutable_block_hash": self._state.block_hash(max(0, height - 10)),
            "tx_count": 0,
            "tx_pool_size": 0,
            "version": "11",
            "status_line": f"v11; local Session network; {len(self._state.records)} service nodes",
            "status": "OK",
        }

    def height(self, _params: Params) -> dict[str, Any]:
        """Return the chain's height (top block plus one) and its top hash."""
        return {"height": self._state.height + 1, "hash": self._state.block_hash(), "status": "OK"}

    def block_hashes(self, params: Params) -> dict[str, Any]:
        """Return the hashes of the given heights, by height as text."""
        heights = params.get("height", params.get("heights"))
        listed = heights if isinstance(heights, list) else [heights]
        if not all(
            isinstance(height, int) and not isinstance(height, bool) and height >= 0 for height in listed
        ):
            raise InvalidParams("height must be a list of block heights")
        if len(listed) > MAX_BLOCK_HASHES:
            raise InvalidParams(f"height must be a list of at most {MAX_BLOCK_HASHES} block heights")
        top = self._state.height
        for height in listed:
            if height > top:
                raise RpcError(
                    _TOO_BIG_HEIGHT,
                    f"Requested block height: {height} greater than current top block height: {top}",
                )
        hashes = {str(height): self._state.block_hash(height) for height in listed}
        return {**hashes, "height": top + 1, "status": "OK"}

    def resolve_name(self, params: Params) -> dict[str, Any]:
        """Return what is registered for a name hash, encrypted, or neither field (network §3.2)."""
        kind = params.get("type")
        if not isinstance(kind, int) or isinstance(kind, bool) or not 0 <= kind <= 5:
            raise InvalidParams("type must be a name type from 0 to 5")
        record = self._state.resolve_name(_name_hash(params.get("name_hash"))) if kind == 0 else None
        if record is None:
            return {"status": "OK"}
        return {"encrypted_value": record.encrypted_value.hex(), "nonce": record.nonce.hex(), "status": "OK"}


def _params_object(params: Any) -> Params:
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise InvalidParams("params must be an object")
    return params


def _name_hash(value: Any) -> bytes:
    """Read 32 bytes from base64 (padded or not) or hex."""
    if isinstance(value, str):
        try:
            raw = (
                bytes.fromhex(value)
                if len(value) == 64
                else binascii.a2b_base64(value + "=" * (-len(value) % 4))
            )
        except ValueError:
            raw = b""
        if len(raw) == 32:
            return raw
    raise InvalidParams("name_hash must be 32 bytes in hex or base64")


def _error(request_id: Any, code: int, message: str, *, data: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": request_id, "error": error}
