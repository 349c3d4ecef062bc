"""A client's request as bytes: its outermost object, or what is wrong with it (storage-rpc §2.1)."""

import logging
from typing import Any, Final

import orjson

from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.dispatch import Dispatcher
from session_testnet.services.storage.fields import Params
from session_testnet.services.storage.results import NoAnswer, RpcResult

_logger: Final = logging.getLogger(__name__)


class ClientRpc:
    """Answer requests that come over HTTP, inside an onion request, or from the owner of the node."""

    def __init__(self, context: NodeContext, dispatcher: Dispatcher) -> None:
        self._context = context
        self._dispatcher = dispatcher

    async def answer_body(self, body: bytes, *, via: str) -> RpcResult:
        """Answer ``{"method": …, "params": …}``; other keys are ignored."""
        try:
            request: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            return RpcResult(400, "invalid json")
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return RpcResult(400, "invalid json: no `method` field")
        if not isinstance(request.get("params"), dict):
            return RpcResult(400, "invalid json: no `params` field")
        return await self.answer(request["method"], request["params"], via=via)

    async def answer(self, method: str, params: Params, *, via: str) -> RpcResult:
        """Answer one method; never raises, except when cancelled, and NoAnswer where a fault wants that."""
        if self._context.not_ready_reasons() and self._waits_for_readiness(via):
            text = "Snode not ready" if via == "onion" else self._context.not_ready_text()
            return RpcResult(503, text)
        try:
            return await self._dispatcher.answer(method, params, via=via)
        except NoAnswer:
            raise
        except Exception:
            _logger.exception("node %s failed to answer %s", self._context.name, method)
            return RpcResult(500, "request failed")

    def _waits_for_readiness(self, via: str) -> bool:
        """Tell whether a node that is not ready refuses requests that came so; without a network it must."""
        node = self._context
        return via != "omq" or node.profile.readiness_gates_omq or node.snapshot is None
