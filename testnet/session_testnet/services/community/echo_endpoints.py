"""Endpoints that say what reached them, for tests of signatures, batches and onion framing.

Not part of Session; there in test mode alone.
"""

from typing import Any

from session_testnet.services.community.access import Caller, require_user
from session_testnet.services.exchange import (
    Router,
    ServiceRequest,
    ServiceResponse,
    binary_reply,
    json_reply,
    text_reply,
)


def add_echo_endpoints(router: Router[Caller]) -> None:
    """Add the routes."""
    router.add("GET", "/auth_test/whoami", _who_am_i)
    router.add("GET", "/auth_test/auth_required", _who_am_i_really)
    router.add("POST", "/auth_test/auth_required", _who_am_i_really)
    router.add("GET", "/test_batch_1", _header_and_argument)
    router.add("GET", "/test_batch_2", lambda _, __: json_reply({"z": 3}, 403))
    router.add("GET", "/test_batch_3", lambda _, __: binary_reply(b"abcdef"))
    router.add("POST", "/test_batch_4", _echo)
    router.add("POST", "/test_v4_post_body", _echo_with_type)
    router.add(
        "PUT", "/test_encoding/{rest:rest}", lambda request, _: json_reply({"p": request.params["rest"]})
    )


def _who_am_i(request: ServiceRequest, caller: Caller) -> ServiceResponse:
    return json_reply(_seen(request, caller))


def _who_am_i_really(request: ServiceRequest, caller: Caller) -> ServiceResponse:
    seen = _seen(request, require_user(caller))
    if request.method == "POST":
        seen["body"] = request.json()
    return json_reply(seen)


def _seen(request: ServiceRequest, caller: Caller) -> dict[str, Any]:
    user = None if caller is None else {"uid": caller.id, "session_id": caller.session_id}
    seen: dict[str, Any] = {"user": user}
    if request.query:
        seen["query"] = request.query
    if "x-foo" in request.headers:
        seen["foo"] = request.headers["x-foo"]
    return seen


def _header_and_argument(request: ServiceRequest, _: Caller) -> ServiceResponse:
    argument = request.query_value("arg")
    return json_reply(
        {
            "x": request.headers.get("x-header-123", "def"),
            "y": "N/A" if argument is None else argument,
        }
    )


def _echo(request: ServiceRequest, _: Caller) -> ServiceResponse:
    if request.has_json_body:
        return json_reply({"echo": request.json()})
    return text_reply(f"echo: {_text(request)}")


def _echo_with_type(request: ServiceRequest, _: Caller) -> ServiceResponse:
    if request.has_json_body:
        return json_reply({"json": request.json()})
    return text_reply(f"not json ({request.headers.get('content-type', '')}): {_text(request)}")


def _text(request: ServiceRequest) -> str:
    return request.body.decode("utf-8", "replace")
