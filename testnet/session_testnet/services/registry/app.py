"""The registry over HTTP: what clients take for a seed node (network §3)."""

import random

from aiohttp import web

from session_testnet.clock import Clock
from session_testnet.services.registry.json_rpc import RegistryRpc
from session_testnet.services.registry.state import RegistryState
from session_testnet.services.registry.view import RegistryView
from session_testnet.services.responses import json_response, text_response
from session_testnet.trace import Trace

# Seed requests are a few hundred bytes.
_MAX_BODY = 1024 * 1024


class RegistryApplication:
    """Serve a registry's state; :meth:`application` may be called for several listeners (http and https).

    ``view`` chooses what HTTP requests are answered from; without one that is ``state``.
    """

    def __init__(
        self,
        state: RegistryState,
        *,
        clock: Clock,
        trace: Trace,
        rng: random.Random | None = None,
        view: RegistryView | None = None,
    ) -> None:
        self.state = state
        self._clock = clock
        self._trace = trace
        self._rng = rng or random.Random(f"registry {state.seed}")  # noqa: S311 - draws nodes, not secrets
        self._view = view
        self.rpc = self._answering_from(state)

    def application(self) -> web.Application:
        """Return an aiohttp application: ``/json_rpc``, ``/get_info``, ``/get_height``, else 404."""
        application = web.Application(client_max_size=_MAX_BODY)
        application.router.add_post("/json_rpc", self._json_rpc)
        # The older form of these two takes GET and POST and answers without an envelope.
        for method in ("GET", "POST"):
            application.router.add_route(method, "/get_info", self._info)
            application.router.add_route(method, "/get_height", self._height)
        application.router.add_route("*", "/{path:.*}", _not_found)
        application.on_response_prepare.append(_drop_server_header)
        return application

    async def _json_rpc(self, request: web.Request) -> web.Response:
        # The request's content type is ignored: clients send application/json, text/plain and none at all.
        rpc = await self._shown()
        return json_response(rpc.answer(await request.read()))

    async def _info(self, _request: web.Request) -> web.Response:
        return json_response((await self._shown()).info({}))

    async def _height(self, _request: web.Request) -> web.Response:
        return json_response((await self._shown()).height({}))

    async def _shown(self) -> RegistryRpc:
        """Return what answers an HTTP request; nodes ask ``rpc`` itself, which always knows the truth."""
        if self._view is None:
            return self.rpc
        state = await self._view.shown()
        return self.rpc if state is self.state else self._answering_from(state)

    def _answering_from(self, state: RegistryState) -> RegistryRpc:
        return RegistryRpc(state, clock=self._clock, trace=self._trace, rng=self._rng)


async def _not_found(_request: web.Request) -> web.Response:
    return text_response("Not Found\n", 404)


async def _drop_server_header(_request: web.Request, response: web.StreamResponse) -> None:
    # A seed node does not name its web server.
    response.headers.popall("Server", None)
