"""A node's HTTP side: four paths, and the exact form of every answer (storage-rpc §2.1)."""

from typing import Any, Final

import orjson
import pybase64
from aiohttp import web

from session_testnet.services.responses import json_response, text_response
from session_testnet.services.storage.client_rpc import ClientRpc
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.fault_gate import FaultGate
from session_testnet.services.storage.onion_hops import OnionHops
from session_testnet.services.storage.rate_limit import RateLimiter
from session_testnet.services.storage.results import RpcResult
from session_testnet.services.storage.settings import MAX_BODY_BYTES

RPC_PATH: Final = "/storage_rpc/v1"
ONION_PATH: Final = "/onion_req/v2"
PING_PATH: Final = "/ping_test/v1"
STATS_PATH: Final = "/get_stats/v1"
PUBKEY_HEADER: Final = "X-Oxen-Snode-Pubkey"

_TEXT: Final = {"Content-Type": "text/plain"}
_JSON: Final = {"Content-Type": "application/json"}
_BINARY: Final = {"Content-Type": "application/octet-stream"}


class HttpFront:
    """Turn HTTP requests into requests of clients and onion requests, and their answers into HTTP."""

    def __init__(
        self, context: NodeContext, rpc: ClientRpc, onions: OnionHops, *, fault_gate: FaultGate
    ) -> None:
        self._context = context
        self._rpc = rpc
        self._onions = onions
        self._gate = fault_gate
        self._limiter = RateLimiter() if context.settings.rate_limit else None

    def application(self) -> web.Application:
        """Return a new application; a node that is started again gets another one."""
        application = web.Application(client_max_size=MAX_BODY_BYTES + 1)
        application.router.add_post(RPC_PATH, self._storage_rpc)
        application.router.add_post(ONION_PATH, self._onion_request)
        application.router.add_post(PING_PATH, self._ping_test)
        application.router.add_get(STATS_PATH, self._stats, allow_head=False)
        application.router.add_route("*", "/{path:.*}", _not_found)
        application.on_response_prepare.append(self._name_server)
        return application

    async def _name_server(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = self._context.settings.server_name

    async def _storage_rpc(self, request: web.Request) -> web.Response:
        node = self._context
        if not await self._gate.connection(node.name, RPC_PATH):
            return _closed(request)
        if node.not_ready_reasons():
            return text_response(node.not_ready_text(), 503)
        if self._limiter is not None and not self._limiter.allows(request.remote or "", node.now_ms()):
            return text_response("Too Many Requests\n", 429)
        if request.headers.get("X-Loki-Long-Poll"):
            return text_response("long polling is no longer supported, client upgrade required", 410)
        body = await _read(request)
        if body is None:
            return _too_large()
        return _response(await self._rpc.answer_body(body, via="direct"))

    async def _onion_request(self, request: web.Request) -> web.Response:
        node = self._context
        if not await self._gate.connection(node.name, ONION_PATH):
            return _closed(request)
        if node.not_ready_reasons():
            return text_response(node.not_ready_text(), 503)
        body = await _read(request)
        if body is None:
            return _too_large()
        reply = await self._onions.from_client(body)
        # Also ciphertext is called text; clients ignore the type (onion-requests §4.4).
        return web.Response(status=reply.status, body=reply.body, headers=_TEXT)

    async def _ping_test(self, request: web.Request) -> web.Response:
        if not await self._gate.connection(self._context.name, PING_PATH):
            return _closed(request)
        key = pybase64.b64encode(self._context.identity.ed25519_pk).decode()
        return web.Response(headers={PUBKEY_HEADER: key, **_TEXT})

    async def _stats(self, request: web.Request) -> web.Response:
        if not await self._gate.connection(self._context.name, STATS_PATH):
            return _closed(request)
        return json_response({"version": self._context.settings.version_text})


async def _not_found(request: web.Request) -> web.Response:
    return text_response(f"{request.method} {request.rel_url.raw_path} Not Found", 404)


async def _read(request: web.Request) -> bytes | None:
    """Return the body, or None when it is larger than the limit."""
    if request.content_length is not None and request.content_length > MAX_BODY_BYTES:
        return None
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        return None


def _too_large() -> web.Response:
    response = text_response("Request body too large", 413)
    response.force_close()
    return response


def _closed(request: web.Request) -> web.Response:
    """Close the connection without an answer; the response returned is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _response(result: RpcResult) -> web.Response:
    body: Any = result.body
    if isinstance(body, str):
        return web.Response(status=result.status, body=body.encode(errors="replace"), headers=_TEXT)
    if isinstance(body, bytes):
        return web.Response(status=result.status, body=body, headers=_BINARY)
    encoded = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return web.Response(status=result.status, body=encoded, headers=_JSON)
