"""One code path for requests, whichever way they came: over HTTP, inside an onion request or inside a batch.

Handlers take a :class:`ServiceRequest` and return a :class:`ServiceResponse`; a :class:`Router` finds them.
Neither knows aiohttp; :func:`serve_exchanges` is the only bridge to it.
"""

import asyncio
import contextlib
import html
import inspect
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, BinaryIO, Final, Generic, Protocol, TypeVar
from urllib.parse import parse_qs, unquote

import orjson
from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError

JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain; charset=utf-8"
HTML_TYPE: Final = "text/html; charset=utf-8"
BINARY_TYPE: Final = "application/octet-stream"

# Bodies of these types are taken apart by the published servers' framework and never reach an endpoint,
# which sees an empty body (file-server §3, open-group-server §5.2).
_SWALLOWED_TYPES: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_MAX_INTEGER: Final = 2**63 - 1

# How much of a body is in memory while it comes or goes piece by piece, in bytes.
_PIECE_BYTES: Final = 64 * 1024
# How long the next piece of a body may take, in seconds.
BODY_IDLE_S: Final = 60.0
# A body that ends before its end: the client has gone, or does not keep to HTTP.
_BROKEN_OFF: Final = (ConnectionError, web.RequestPayloadError, PayloadEncodingError)

Context = TypeVar("Context")


class BodySink(Protocol):
    """Take a request's body piece by piece, in place of memory."""

    @property
    def size(self) -> int:
        """Return how many bytes have come."""

    def write(self, chunk: bytes) -> object:
        """Take the next piece; never raises: what went wrong shows when the body is used."""

    def close(self) -> None:
        """Forget the body, unless a handler has kept it; safe to call twice."""


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """One request: ``path`` percent-decoded, ``query`` as sent (without "?"), header names in lower case.

    ``params`` holds the parts of the path that the route names. ``sink`` has the body, and ``body`` is empty,
    where the server wanted it piece by piece.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    params: Mapping[str, str] = field(default_factory=dict)
    sink: BodySink | None = None

    @classmethod
    def from_target(
        cls, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> "ServiceRequest":
        """Build a request from its target: split at the first "?", the path percent-decoded."""
        raw_path, _, query = target.partition("?")
        lowered = {name.lower(): value for name, value in headers.items()}
        return cls(method, unquote(raw_path), query, lowered, body)

    @property
    def body_bytes(self) -> int:
        """Return the size of the body, wherever it is."""
        return len(self.body) if self.sink is None else self.sink.size

    @property
    def content_type(self) -> str:
        """Return the media type of the body without parameters, lower case; "" when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def has_json_body(self) -> bool:
        """Tell whether the body is declared as JSON (open-group-server §2)."""
        kind = self.content_type
        return kind == JSON_TYPE or (kind.startswith("application/") and kind.endswith("+json"))

    def json(self) -> Any:
        """Return the JSON body; HttpError 400 when it is not declared as JSON or does not parse."""
        if not self.has_json_body:
            raise HttpError(400, f"this endpoint needs a JSON body with Content-Type {JSON_TYPE}")
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise HttpError(400, f"the body is not JSON: {error}") from None

    def number(self, name: str) -> int:
        """Return an integer part of the path, cut to what the database can hold."""
        digits = self.params[name]
        return min(int(digits), _MAX_INTEGER) if len(digits) < 40 else _MAX_INTEGER

    def query_value(self, name: str) -> str | None:
        """Return the first value of a query parameter, decoded; None when it is missing."""
        values = parse_qs(self.query, keep_blank_values=True).get(name)
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class StoredBody:
    """A body of ``size`` bytes that is read piece by piece while it is sent; whoever sends it closes it."""

    file: BinaryIO
    size: int


@dataclass(frozen=True, slots=True)
class ServiceResponse:
    """One response: header names in lower case, without content-length.

    ``body`` is empty where there is a ``stored`` one.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    stored: StoredBody | None = None

    @property
    def body_bytes(self) -> int:
        """Return the size of the body, wherever it is."""
        return len(self.body) if self.stored is None else self.stored.size

    def whole(self) -> "ServiceResponse":
        """Return the same response with its body in memory, for what can only be sealed as one piece."""
        if self.stored is None:
            return self
        with self.stored.file as file:
            return replace(self, body=file.read(), stored=None)

    @property
    def is_success(self) -> bool:
        """Tell whether the status is in 200…299."""
        return 200 <= self.status <= 299

    @property
    def is_json(self) -> bool:
        """Tell whether the body is JSON."""
        return self.headers.get("content-type", "").partition(";")[0].strip() == JSON_TYPE


class HttpError(Exception):
    """End the handling of a request with this response."""

    def __init__(self, status: int, reason: str = "", *, response: "ServiceResponse | None" = None) -> None:
        super().__init__(reason or HTTPStatus(status).phrase)
        self.response = response or error_page(status, reason)


def json_reply(data: Any, status: int = 200) -> ServiceResponse:
    """Answer with JSON, without a charset in its type: Desktop refuses one (onion-requests §7.1)."""
    return ServiceResponse(status, {"content-type": JSON_TYPE}, orjson.dumps(data))


def text_reply(text: str, status: int = 200) -> ServiceResponse:
    """Answer with plain text."""
    return ServiceResponse(status, {"content-type": TEXT_TYPE}, text.encode())


def binary_reply(body: bytes, headers: Mapping[str, str] | None = None, status: int = 200) -> ServiceResponse:
    """Answer with bytes."""
    return ServiceResponse(status, {"content-type": BINARY_TYPE, **(headers or {})}, body)


def file_reply(body: StoredBody, headers: Mapping[str, str] | None = None) -> ServiceResponse:
    """Answer with bytes that are read while they are sent."""
    return ServiceResponse(200, {"content-type": BINARY_TYPE, **(headers or {})}, stored=body)


def error_page(status: int, reason: str = "") -> ServiceResponse:
    """Answer with the HTML page that the published servers' framework makes of an error."""
    title = f"{status} {HTTPStatus(status).phrase}"
    text = html.escape(reason)
    page = f"<!doctype html>\n<html lang=en>\n<title>{title}</title>\n<h1>{title}</h1>\n<p>{text}</p>\n"
    return ServiceResponse(status, {"content-type": HTML_TYPE}, page.encode())


Handler = Callable[[ServiceRequest, Context], ServiceResponse]

# What a named part of a route matches; a part without a kind matches one path segment.
_PART_KINDS: Final = {
    "": "[^/]+",
    "int": "[0-9]+",
    "room": "[A-Za-z0-9_-]{1,64}",
    "rest": ".+",
    "blinded_id": "15[0-9A-Fa-f]{64}",
    "user_id": "[01]5[0-9A-Fa-f]{64}",
    "blinded_id_or_25": "[12]5[0-9A-Fa-f]{64}",
    "user_id_or_25": "[012]5[0-9A-Fa-f]{64}",
}
_PART: Final = re.compile(r"\{(\w+)(?::(\w+))?\}")


@dataclass(frozen=True, slots=True)
class _Route(Generic[Context]):
    pattern: re.Pattern[str]
    handlers: dict[str, Handler[Context]]


class Router(Generic[Context]):
    """Find the handler of a request; answer unknown paths 404, wrong methods 405 (open-group-server §2)."""

    def __init__(self) -> None:
        self._routes: dict[str, _Route[Context]] = {}
        self._otherwise: Handler[Context] = _not_found

    def otherwise(self, handler: Handler[Context]) -> None:
        """Set the handler of paths that no route matches, in place of a plain 404."""
        self._otherwise = handler

    def add(self, method: str, template: str, handler: Handler[Context]) -> None:
        """Add a handler for paths such as ``/room/{token:room}/message/{id:int}``."""
        route = self._routes.get(template)
        if route is None:
            route = self._routes[template] = _Route(_compile(template), {})
        route.handlers[method] = handler

    def dispatch(self, request: ServiceRequest, context: Context) -> ServiceResponse:
        """Answer a request; an HttpError of the handler becomes its response, anything else is raised."""
        allowed: set[str] = set()
        method = "GET" if request.method == "HEAD" else request.method
        for route in self._routes.values():
            match = route.pattern.fullmatch(request.path)
            if match is None:
                continue
            handler = route.handlers.get(method)
            if handler is None:
                allowed.update(route.handlers)
                continue
            return _answer(handler, replace(request, params=match.groupdict()), context)
        if not allowed:
            return _answer(self._otherwise, request, context)
        listed = ", ".join(sorted(allowed | {"OPTIONS"} | ({"HEAD"} if "GET" in allowed else set())))
        answer = error_page(405) if method != "OPTIONS" else ServiceResponse(200, {"content-type": HTML_TYPE})
        return replace(answer, headers={**answer.headers, "allow": listed})


def _answer(handler: Handler[Context], request: ServiceRequest, context: Context) -> ServiceResponse:
    try:
        return handler(request, context)
    except HttpError as error:
        return error.response


def _not_found(_: ServiceRequest, __: object) -> ServiceResponse:
    return error_page(404)


def without_form_body(request: ServiceRequest) -> ServiceRequest:
    """Empty a form-encoded body, as the published servers do."""
    return replace(request, body=b"", sink=None) if request.content_type in _SWALLOWED_TYPES else request


def serve_exchanges(
    handle: Callable[[ServiceRequest], ServiceResponse],
    *,
    max_body: Callable[[str], int],
    too_large: ServiceResponse,
    sink_for: Callable[[ServiceRequest], BodySink | None] = lambda _: None,
    settle: Callable[[], Awaitable[None]] | None = None,
) -> web.Application:
    """Make an aiohttp application whose every request goes through ``handle``.

    ``max_body`` says how many bytes a body may have, given the decoded path. A longer one is answered
    ``too_large`` as soon as that is known: by its announced length, or when one byte too many has come.
    What follows is never kept. A body that stops coming for a minute is answered 408.

    ``sink_for`` says where the body of a request shall go, given everything else of it; None collects it in
    memory. An answer waits for ``settle``, which finishes what the request has begun.
    """

    async def exchange(request: web.Request) -> web.StreamResponse:
        head = ServiceRequest.from_target(request.method, _target(request), _headers(request))
        limit = max_body(head.path)
        if (request.content_length or 0) > limit:
            return await _send(request, too_large)
        sink = sink_for(head)
        memory = io.BytesIO()
        try:
            if not await _receive(request, limit, memory.write if sink is None else sink.write):
                answer = too_large
            else:
                answer = handle(replace(head, body=memory.getvalue(), sink=sink))
                if settle is not None:
                    await settle()
        except TimeoutError:
            return await _send(request, error_page(408))
        except _BROKEN_OFF:
            return await _send(request, error_page(400))
        finally:
            if sink is not None:
                sink.close()
        return await _send(request, answer)

    # Bodies are read above, within their own limits.
    application = web.Application(client_max_size=0)
    application.on_response_prepare.append(_drop_server_header)
    application.router.add_route("*", "/{target:.*}", exchange)
    return application


def run_periodically(
    application: web.Application,
    work: Callable[[], object | Awaitable[object]],
    period_s: float,
    failed: Callable[[Exception], object],
) -> None:
    """Do ``work`` every ``period_s`` seconds of real time for as long as the application is served.

    An error of one run is handed to ``failed``; the next run comes all the same.
    """

    async def keep_working() -> None:
        while True:
            await asyncio.sleep(period_s)
            try:
                done = work()
                if inspect.isawaitable(done):
                    await done
            except Exception as error:  # noqa: BLE001 - a disk that is full now may have room the next time
                failed(error)

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(keep_working(), name="periodic cleanup of a server")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    application.cleanup_ctx.append(lifetime)


async def _drop_server_header(_: web.Request, response: web.StreamResponse) -> None:
    """Leave out the header that would name the framework."""
    response.headers.popall("Server", None)


def _target(request: web.Request) -> str:
    target = _clean(request.raw_path)
    if target.startswith("/"):
        return target
    # The absolute form, http://host/path, that reaches a server behind a forward proxy.
    return "/" + target.partition("://")[2].partition("/")[2]


def _headers(request: web.Request) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        name, value = name.lower(), _clean(value)
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _clean(text: str) -> str:
    """Replace bytes that are not UTF-8, which aiohttp hands on as lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


async def _receive(request: web.Request, limit: int, write: Callable[[bytes], object]) -> bool:
    """Hand a body of at most ``limit`` bytes on as it comes; False when it is longer.

    Raise TimeoutError when the next piece does not come in time.
    """
    size = 0
    clock = asyncio.get_running_loop().time
    async with asyncio.timeout(BODY_IDLE_S) as deadline:
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > limit:
                return False
            write(chunk)
            deadline.reschedule(clock() + BODY_IDLE_S)
    return True


async def _send(request: web.Request, answer: ServiceResponse) -> web.StreamResponse:
    """Send an answer; a stored body is read as fast as the client takes it."""
    if answer.stored is None:
        return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)
    response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
    response.content_length = answer.stored.size
    with answer.stored.file as file, contextlib.suppress(ConnectionError):
        await response.prepare(request)
        if request.method != "HEAD":
            while piece := file.read(_PIECE_BYTES):
                await response.write(piece)
        await response.write_eof()
    return response


def _compile(template: str) -> re.Pattern[str]:
    """Turn a route's template into an expression; what is not a named part is literal."""
    expression, last = "", 0
    for part in _PART.finditer(template):
        literal = template[last : part.start()]
        expression += f"{re.escape(literal)}(?P<{part[1]}>{_PART_KINDS[part[2] or '']})"
        last = part.end()
    return re.compile(expression + re.escape(template[last:]), re.DOTALL | re.ASCII)
