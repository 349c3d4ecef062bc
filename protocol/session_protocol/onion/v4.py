"""Version 4 payloads for servers: a bencoded list of a JSON object and a body (onion-requests §7.1).

Every length counts bytes, not characters. One quirk of the reference server is not copied: it ignores a
single stray byte after the first string, where this reader wants either the end of the list or one more
string.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from session_protocol import bencode
from session_protocol.errors import BadFormat, InvalidArgument
from session_protocol.onion.frames import parse_json_object


@dataclass(frozen=True, slots=True)
class V4Request:
    """A request to a server: header names as sent; ``body`` is ``None`` when there was no second string."""

    method: str
    endpoint: str
    headers: dict[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class V4Response:
    """A server's answer: header names in lower case, as servers write them."""

    code: int
    headers: dict[str, str]
    body: bytes


def encode_v4_request(method: str, endpoint: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Write a request; ``endpoint`` starts with a slash and may have a query. Raise InvalidArgument.

    A body needs a ``Content-Type`` among the headers, or the server takes it for
    ``application/octet-stream``.
    """
    if not endpoint.startswith("/"):
        raise InvalidArgument(f"endpoint {endpoint!r} does not start with a slash")
    info = _dump({"method": method, "endpoint": endpoint, "headers": dict(headers)})
    return bencode.encode([info] if body is None else [info, body])


def decode_v4_request(data: bytes) -> V4Request:
    """Read a request. Raise BadFormat, after which a server answers 400 ``Invalid v4 onion request``."""
    strings = _strings(data)
    info = parse_json_object(strings[0])
    method, endpoint = info.get("method"), info.get("endpoint")
    if not isinstance(method, str):
        raise BadFormat("a v4 request needs a string under method")
    if not isinstance(endpoint, str) or not endpoint.startswith("/"):
        raise BadFormat("a v4 request needs an endpoint that starts with a slash")
    return V4Request(
        method, endpoint, _headers(info.get("headers", {})), strings[1] if len(strings) > 1 else None
    )


def encode_v4_response(code: int, headers: Mapping[str, str], body: bytes) -> bytes:
    """Write an answer: header names in lower case, without ``content-length``, and always two strings."""
    lowered = {name.lower(): value for name, value in headers.items()}
    lowered.pop("content-length", None)
    return bencode.encode([_dump({"code": code, "headers": lowered}), body])


def decode_v4_response(data: bytes) -> V4Response:
    """Read an answer. Raise BadFormat; a client then counts a failure of the path."""
    strings = _strings(data)
    if len(strings) != 2:
        raise BadFormat("a v4 answer has two strings, its information and its body")
    info = parse_json_object(strings[0])
    code = info.get("code")
    if not isinstance(code, int) or isinstance(code, bool):
        raise BadFormat("a v4 answer needs an integer under code")
    if "headers" not in info:
        raise BadFormat("a v4 answer needs headers")
    headers = {name.lower(): value for name, value in _headers(info["headers"]).items()}
    return V4Response(code, headers, strings[1])


def _strings(data: bytes) -> list[bytes]:
    value = bencode.decode(data)
    if not isinstance(value, list) or not 1 <= len(value) <= 2:
        raise BadFormat("a v4 payload is a bencoded list of one or two strings")
    strings = [item for item in value if isinstance(item, bytes)]
    if len(strings) != len(value):
        raise BadFormat("a v4 payload holds strings only")
    return strings


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise BadFormat("headers are not an object of strings")
    return value


def _dump(info: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(info)
    except TypeError as error:
        raise InvalidArgument(f"cannot be written as JSON: {error}") from None
