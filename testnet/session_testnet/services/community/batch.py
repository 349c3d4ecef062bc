"""Several requests in one: a batch, or a sequence that ends at a failure (open-group-server §16)."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from session_testnet.services.encoded_bytes import decode_base64
from session_testnet.services.exchange import (
    JSON_TYPE,
    HttpError,
    ServiceRequest,
    ServiceResponse,
    error_page,
    json_reply,
)

_METHODS_WITH_BODY: Final = ("POST", "PUT")
_METHODS: Final = (*_METHODS_WITH_BODY, "GET", "DELETE")
_BODY_MEMBERS: Final = ("json", "b64", "bytes")


@dataclass(frozen=True, slots=True)
class _Element:
    """One element, read; ``request`` None when its base64 is wrong, which fails this element alone."""

    request: ServiceRequest | None


def run_batch(
    request: ServiceRequest,
    dispatch: Callable[[ServiceRequest], ServiceResponse],
    *,
    stop_at_failure: bool,
) -> ServiceResponse:
    """Run the elements of a batch in order; HttpError 400, before anything is run, when one is malformed."""
    document = request.json()
    if not isinstance(document, list):
        raise HttpError(400, "a batch is a JSON array of requests")
    results: list[dict[str, Any]] = []
    for element in [_read(item, index) for index, item in enumerate(document)]:
        answer = (
            error_page(400, "b64 is not base64") if element.request is None else dispatch(element.request)
        )
        results.append(_result(answer))
        if stop_at_failure and not answer.is_success:
            break
    return json_reply(results)


def _read(item: Any, index: int) -> _Element:
    if not isinstance(item, dict):
        raise _malformed(index, "is not an object")
    method, path = item.get("method"), item.get("path")
    if method not in _METHODS:
        raise _malformed(index, f"has a method other than {', '.join(_METHODS)}")
    if not isinstance(path, str) or not path.startswith("/"):
        raise _malformed(index, "has no path that starts with a slash")
    headers = item.get("headers")
    if headers is None:
        headers = {}
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise _malformed(index, "has headers that are not an object of strings")
    members = [name for name in _BODY_MEMBERS if name in item]
    if len(members) != (1 if method in _METHODS_WITH_BODY else 0):
        raise _malformed(index, "has not exactly one body" if method in _METHODS_WITH_BODY else "has a body")
    headers = {name.lower(): value for name, value in headers.items()}
    body: bytes | None = b""
    if members == ["json"]:
        headers.setdefault("content-type", JSON_TYPE)
        try:
            body = orjson.dumps(item["json"])
        except orjson.JSONEncodeError:
            # It reads documents that are nested deeper than those it writes.
            raise _malformed(index, "has JSON that is nested too deeply") from None
    elif members:
        text = item[members[0]]
        if not isinstance(text, str):
            raise _malformed(index, f"has {members[0]} that is not a string")
        body = decode_base64(text) if members == ["b64"] else text.encode()
    return _Element(None if body is None else ServiceRequest.from_target(method, path, headers, body))


def _result(answer: ServiceResponse) -> dict[str, Any]:
    body: Any = orjson.Fragment(answer.body) if answer.is_json else b64encode(answer.body).decode()
    return {"code": answer.status, "headers": dict(answer.headers), "body": body}


def _malformed(index: int, reason: str) -> HttpError:
    return HttpError(400, f"element {index} of the batch {reason}")
