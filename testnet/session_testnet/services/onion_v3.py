"""Onion requests to servers, version 3, answered by the server's own handlers (onion-requests §7.2)."""

import os
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson

from session_protocol import onion
from session_protocol.errors import ProtocolError
from session_testnet.services.exchange import (
    JSON_TYPE,
    HttpError,
    ServiceRequest,
    ServiceResponse,
    text_reply,
)
from session_testnet.services.onion_v4 import Dispatch, ServerKeys, is_onion, open_request

ONION_V3_PATHS: Final = ("/oxen/v3/lsrpc", "/loki/v3/lsrpc")


@dataclass(frozen=True, slots=True)
class OnionV3Endpoint:
    """Answer onion requests of version 3: sealed in base64, a success as its bare body, else its status.

    ``endpoint_prefix`` goes before an endpoint that has no slash at its start: ``/legacy/`` at a community
    server, ``/`` at a file server, where also only a 200 is a success (``only_200_succeeds``; file-server
    §3).
    """

    keys: ServerKeys
    dispatch: Dispatch
    endpoint_prefix: str
    only_200_succeeds: bool = False
    random_bytes: Callable[[int], bytes] = os.urandom

    def answer(self, request: ServiceRequest) -> ServiceResponse:
        """Answer one onion request; what cannot be opened is answered 400 in the open."""
        try:
            plaintext, reply_key = open_request(self.keys, request)
        except HttpError as error:
            return error.response
        sealed = onion.seal_reply(reply_key, self._answer_inner(plaintext), random_bytes=self.random_bytes)
        return text_reply(b64encode(sealed).decode())

    def _answer_inner(self, plaintext: bytes) -> bytes:
        try:
            inner = onion.decode_v3_request(plaintext)
        except ProtocolError:
            return _status(400)
        prefix = "" if inner.endpoint.startswith("/") else self.endpoint_prefix
        headers = {"content-type": JSON_TYPE} | {name.lower(): value for name, value in inner.headers.items()}
        headers.pop("content-length", None)
        request = ServiceRequest.from_target(inner.method, prefix + inner.endpoint, headers, inner.body)
        if is_onion(request):
            return _status(400)
        answer = self.dispatch(request)
        succeeded = answer.status == 200 if self.only_200_succeeds else answer.is_success
        return answer.body if succeeded else _status(answer.status)


def _status(code: int) -> bytes:
    return orjson.dumps({"status_code": code})
