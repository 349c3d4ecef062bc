"""Version 3 payloads for servers: one JSON object, the body a text in it (onion-requests §7.2).

No current client sends them to a community server or a file server, which still answer them.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from session_protocol.errors import BadFormat
from session_protocol.onion.encryption import ReplyKey, decrypt
from session_protocol.onion.frames import dump_json, parse_json_object

_METHODS_WITHOUT_BODY = ("GET", "DELETE")
_NO_BODY = b"null"


@dataclass(frozen=True, slots=True)
class V3Request:
    """A request to a server: ``endpoint`` and header names as sent; ``body`` empty when there is none."""

    method: str
    endpoint: str
    headers: dict[str, str]
    body: bytes


def encode_v3_request(
    method: str, endpoint: str, headers: Mapping[str, str] | None = None, body: str | None = None
) -> bytes:
    """Write a request. Raise InvalidArgument for text that JSON cannot express."""
    payload: dict[str, Any] = {"method": method, "endpoint": endpoint}
    if headers:
        payload["headers"] = dict(headers)
    if body is not None:
        payload["body"] = body
    return dump_json(payload)


def decode_v3_request(data: bytes) -> V3Request:
    """Read a request. Raise BadFormat, after which a server answers 400.

    A GET or DELETE may have the body ``null``, which is none; any other is an error.
    """
    if not data.startswith(b"{"):
        raise BadFormat("a v3 request starts with an opening brace")
    payload = parse_json_object(data)
    method, endpoint = payload.get("method"), payload.get("endpoint")
    if not isinstance(method, str) or not isinstance(endpoint, str):
        raise BadFormat("a v3 request needs strings under method and endpoint")
    body, headers = payload.get("body"), payload.get("headers")
    if body is not None and not isinstance(body, str):
        raise BadFormat("the body of a v3 request is a string")
    headers = {} if headers is None else headers
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise BadFormat("headers are not an object of strings")
    content = (body or "").encode()
    if method in _METHODS_WITHOUT_BODY:
        if content not in (b"", _NO_BODY):
            raise BadFormat(f"a v3 request with {method} has no body")
        content = b""
    return V3Request(method, endpoint, headers, content)


def open_v3_reply(reply_key: ReplyKey, data: bytes) -> bytes:
    """Decrypt an answer: the bare body, or ``{"status_code": …}``. Raise BadFormat or DecryptFailed."""
    try:
        blob = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise BadFormat("a v3 answer is base64") from None
    return decrypt(reply_key, blob)
