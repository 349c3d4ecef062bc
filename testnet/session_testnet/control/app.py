"""Serve the control commands over HTTP: one token, one path, and each node under its own URL."""

import asyncio
import hmac
import json
from typing import Any

from aiohttp import web

from session_testnet.control.commands import execute
from session_testnet.control.errors import ControlError
from session_testnet.control.metrics import Metrics
from session_testnet.network import Network
from session_testnet.services.responses import json_response

NODE_VERBS = ("start", "stop", "kill", "restart", "pause", "resume")


class ControlServer:
    """Answer control commands for one network; ``shutdown_requested`` says that somebody asks for its end."""

    def __init__(self, network: Network, token: str) -> None:
        """Serve ``network`` to everyone who shows ``token``."""
        self._network = network
        self._token = token
        self._metrics = Metrics(network)
        self.shutdown_requested = asyncio.Event()

    def application(self) -> web.Application:
        """Return the aiohttp application: ``/command``, ``/nodes/…`` and ``/metrics``."""
        application = web.Application(middlewares=[self._guard])
        application.router.add_post("/command", self._command)
        application.router.add_get("/metrics", self._show_metrics)
        application.router.add_get("/nodes", self._nodes)
        application.router.add_get("/nodes/{name}", self._node)
        application.router.add_get("/nodes/{name}/knobs", self._knobs)
        application.router.add_post("/nodes/{name}/knobs", self._turn_knobs)
        application.router.add_post("/nodes/{name}/{verb}", self._act)
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(shown.encode(), self._token.encode()):
            return _error(
                401, "the control token is missing or wrong", "it stands in the state file: control.token"
            )
        try:
            response: web.StreamResponse = await handler(request)
        except ControlError as error:
            return _error(400, error.message, error.hint)
        return response

    async def _command(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
        except ValueError:
            raise ControlError("the body is not JSON", 'send {"command": "state", "params": {}}') from None
        if not isinstance(body, dict) or not isinstance(body.get("command"), str):
            raise ControlError("the body names no command", 'send {"command": "state", "params": {}}')
        params = body.get("params", {})
        if not isinstance(params, dict):
            raise ControlError("the parameters are not an object", 'send {"command": "state", "params": {}}')
        if body["command"] == "shutdown":
            self.shutdown_requested.set()
            return json_response({"result": {}})
        return json_response({"result": await execute(self._network, body["command"], params)})

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        body, content_type = await self._metrics.text()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _nodes(self, _request: web.Request) -> web.Response:
        return json_response({"result": await execute(self._network, "nodes", {})})

    async def _node(self, request: web.Request) -> web.Response:
        return json_response(
            {"result": await execute(self._network, "node", {"node": request.match_info["name"]})}
        )

    async def _knobs(self, request: web.Request) -> web.Response:
        params = {"node": request.match_info["name"]}
        return json_response({"result": await execute(self._network, "node.knobs", params)})

    async def _turn_knobs(self, request: web.Request) -> web.Response:
        try:
            changes = json.loads(await request.read())
        except ValueError:
            raise ControlError("the body is not JSON", 'send {"disk_full": true}') from None
        params = {"node": request.match_info["name"], "knobs": changes}
        return json_response({"result": await execute(self._network, "node.knobs", params)})

    async def _act(self, request: web.Request) -> web.Response:
        verb = request.match_info["verb"]
        if verb not in NODE_VERBS:
            raise ControlError(f"a node cannot {verb!r}", f"verbs: {', '.join(NODE_VERBS)}")
        params = {"node": request.match_info["name"], "verb": verb}
        return json_response({"result": await execute(self._network, "node.act", params)})


def _error(status: int, message: str, hint: str) -> web.Response:
    return json_response({"error": {"message": message, "hint": hint}}, status)
