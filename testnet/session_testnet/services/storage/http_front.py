"""A node's HTTP side: four paths, and the exact form of every answer (storage-rpc §2.1)."""

import asyncio
from collections.abc import Awaitable, Callable
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
from session_testnet.services.storage.results import NoAnswer, RpcResult
from session_testnet.services.storage.settings import MAX_BODY_BYTES

RPC_PATH: Final = "/storage_rpc/v1"
ONION_PATH: Final = "/onion_req/v2"
PING_PATH: Final = "/ping_test/v1"
STATS_PATH: Final = "/get_stats/v1"
PUBKEY_HEADER: Final = "X-Oxen-Snode-Pubkey"

_BUSY: Final = "Server busy, try again later"
# How long a client that sends too much may take to read the answer.
_FAREWELL_S: Final = 0.25
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
        self._limiter = RateLimiter()
        self._jobs = 0

    def application(self) -> web.Application:
        """Return a new application; a node that is started again gets another one."""
        application = web.Application(client_max_size=MAX_BODY_BYTES + 1)
        application.router.add_post(RPC_PATH, self._storage_rpc)
        application.router.add_post(ONION_PATH, self._onion_request)
        application.router.add_post(PING_PATH, self._ping_test)
        application.router.add_get(STATS_PATH, self._stats, allow_head=False)
        application.router.add_route("*", "/{path:.*}", self._not_found)
        application.on_response_prepare.append(self._name_server)
        return application

    @property
    def limiter(self) -> RateLimiter:
        """Return who counts the requests of a client: on all transports together."""
        return self._limiter

    def refill_buckets(self) -> None:
        """Let every client begin with a full bucket, as when rate limiting is switched on."""
        self._limiter.forget()

    async def _name_server(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = self._context.settings.server_name

    async def _storage_rpc(self, request: web.Request) -> web.Response:
        node = self._context
        if not await self._gate.connection(node.name, RPC_PATH):
            return _closed(request)
        if node.not_ready_reasons():
            return text_response(node.not_ready_text(), 503)
        if not node.profile.serves_ipv6 and ":" in (request.remote or ""):
            return text_response("IPv6 is not supported", 400)
        limit = node.knobs.rate_limit
        if limit is not None and not self._limiter.allows(request.remote or "", node.now_ms(), limit):
            return text_response("Too Many Requests\n", 429)
        if request.headers.get("X-Loki-Long-Poll"):
            return text_response("long polling is no longer supported, client upgrade required", 410)
        return await self._work(request, self._rpc_response)

    async def _onion_request(self, request: web.Request) -> web.Response:
        node = self._context
        if not await self._gate.connection(node.name, ONION_PATH):
            return _closed(request)
        if node.not_ready_reasons():
            return text_response(node.not_ready_text(), 503)
        return await self._work(request, lambda body: self._onion_response(body, request.remote or ""))

    async def _work(
        self, request: web.Request, answer: Callable[[bytes], Awaitable[web.Response]]
    ) -> web.Response:
        """Read a body and answer it, if there are not too many at it already: bodies in memory count."""
        if request.content_length is not None and request.content_length > MAX_BODY_BYTES:
            return await _refuse(request, "Request body too large", 413)
        if self._jobs >= self._context.settings.max_jobs:
            return await _refuse(request, _BUSY, 503)
        self._jobs += 1
        try:
            body = await self._body(request)
            return body if isinstance(body, web.Response) else await answer(body)
        except NoAnswer:
            return _closed(request)
        finally:
            self._jobs -= 1

    async def _body(self, request: web.Request) -> bytes | web.Response:
        """Return the body, or the answer to a client that does not send a proper one."""
        try:
            async with asyncio.timeout(self._context.settings.upload_timeout_s):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            return await _refuse(request, "Request body too large", 413)
        except TimeoutError:
            return await _refuse(request, "Request time out", 408)
        except (ConnectionError, web.RequestPayloadError):
            # The client has gone in the middle of its request, or has broken it off in a way of its own.
            return _closed(request)

    async def _rpc_response(self, body: bytes) -> web.Response:
        return _response(await self._rpc.answer_body(body, via="direct"))

    async def _onion_response(self, body: bytes, address: str) -> web.Response:
        reply = await self._onions.from_client(body, address)
        # Also ciphertext is called text; clients ignore the type (onion-requests §4.4).
        return web.Response(status=reply.status, body=reply.body, headers=_TEXT)

    async def _ping_test(self, request: web.Request) -> web.Response:
        if not await self._gate.connection(self._context.name, PING_PATH):
            return _closed(request)
        key = pybase64.b64encode(self._context.identity.ed25519_pk).decode()
        return web.Response(headers={PUBKEY_HEADER: key, **_TEXT})

    async def _not_found(self, request: web.Request) -> web.Response:
        # New releases write the HTTP method as it came, old ones in lower case.
        method = request.method if self._context.profile.newer_methods else request.method.lower()
        return text_response(f"{method} {request.rel_url.raw_path} Not Found", 404)

    async def _stats(self, request: web.Request) -> web.Response:
        if not await self._gate.connection(self._context.name, STATS_PATH):
            return _closed(request)
        return json_response({"version": self._context.settings.version_text})


async def _refuse(request: web.Request, text: str, status: int) -> web.Response:
    """Refuse a request whose body has not been read, and close: what is still to come of it is never read.

    A moment is left to the client to see the answer: closing earlier would destroy it on its way.
    """
    # The transport of a stream, whatever its class: not every loop's is an asyncio.ReadTransport.
    pause: Callable[[], None] | None = getattr(request.transport, "pause_reading", None)
    if pause is not None:
        pause()
    response = text_response(text, status)
    response.force_close()
    await response.prepare(request)
    await response.write_eof()
    await asyncio.sleep(_FAREWELL_S)
    if request.transport is not None:
        # A polite end of TLS would go on reading until the client agrees.
        request.transport.abort()
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
