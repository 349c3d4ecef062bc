"""The forward proxy: plain requests with absolute addresses, CONNECT, and a page that says what this is."""

import asyncio
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from session_testnet.endpoints import Endpoint
from session_testnet.services.gateway.http1 import (
    Framing,
    Head,
    HeadError,
    Target,
    keeps_alive,
    parse_absolute,
    parse_authority,
    parse_connect,
    parse_request,
    parse_response,
    request_body,
    response_body,
)
from session_testnet.services.gateway.relay import (
    ClientLeft,
    RelayError,
    Traffic,
    WatchedReader,
    close_after_answer,
    close_writer,
    copy_body,
    send,
    splice,
)
from session_testnet.services.gateway.routes import Route, RouteMap
from session_testnet.trace import Trace

_HEAD_LIMIT = 64 * 1024
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}


@dataclass(frozen=True, slots=True)
class GatewayDeadlines:
    """Seconds the gateway waits: for a service to accept, for bytes to move, for a client to leave."""

    connect_s: float = 5.0
    idle_s: float = 120.0
    linger_s: float = 1.0


class _Refusal(Exception):
    """Answer the client with this and close."""

    def __init__(self, status: int, text: str, outcome: str = "refused") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.outcome = outcome


@dataclass(slots=True)
class _Asked:
    """What the trace says of a forwarded request, and whether its answer has begun."""

    method: str
    address: str
    to: str
    answered: bool = False


class _Unanswered(Exception):
    """A service that was reached gave no answer; the client has received nothing yet."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Gateway:
    """Let unmodified clients into the network: set it as their HTTP proxy (real-clients §0.7).

    It answers for the seed nodes and the file server that clients have built in, passes on requests to the
    network's own addresses, and refuses all other hosts with 502, so that nothing leaves the machine. No
    field is added to a request: a service sees what it would see without the gateway.
    """

    def __init__(
        self,
        *,
        registry_http: Endpoint,
        registry_https: Endpoint,
        files: Endpoint,
        own: Iterable[Endpoint] | Mapping[Endpoint, Endpoint] = (),
        trace: Trace | None = None,
        deadlines: GatewayDeadlines | None = None,
    ) -> None:
        self.routes = RouteMap.of_network(
            registry_http=registry_http, registry_https=registry_https, files=files, own=own
        )
        self.trace = trace or Trace()
        self.deadlines = deadlines or GatewayDeadlines()
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def port(self) -> int:
        """Return the port at which the gateway listens; 0 before the start."""
        return self._port

    async def start(self, listener: socket.socket) -> None:
        """Accept connections at a socket that is bound already; the gateway closes it at its end."""
        self._port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=listener)

    async def close(self) -> None:
        """Stop listening and end all connections; safe to call twice."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        clients = list(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await server.wait_closed()

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = WatchedReader(_HEAD_LIMIT)

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(_Client(self, reader, writer).serve())
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)

        return asyncio.StreamReaderProtocol(reader, connected)


class _Client:
    """One client's connection and the requests that come over it, one after the other."""

    def __init__(self, gateway: Gateway, reader: WatchedReader, writer: asyncio.StreamWriter) -> None:
        self._gateway = gateway
        self._deadlines = gateway.deadlines
        self._reader = reader
        self._writer = writer

    async def serve(self) -> None:
        """Serve requests until the connection ends; close it in every case."""
        try:
            while await self._serve_one():
                pass
        except (OSError, RelayError, HeadError):
            # The connection broke in the middle of an answer, or was idle: there is nobody left to tell.
            pass
        finally:
            await close_writer(self._writer)

    async def _serve_one(self) -> bool:
        """Serve one request; tell whether another one may follow."""
        method, target = "", ""
        try:
            data = await self._read_head()
            if not data:
                return False
            head = parse_request(data)
            method, target = head.start[0], head.start[1]
            if method == "CONNECT":
                await self._connect(parse_connect(target))
                return False
            return await self._plain(head)
        except HeadError as error:
            refusal = _Refusal(error.status, f"{error}", "malformed")
        except _Refusal as raised:
            refusal = raised
        self._record(method, target, refusal.outcome, status=refusal.status)
        await self._answer_and_close(refusal.status, f"session testnet gateway: {refusal.text}\n", method)
        return False

    async def _read_head(self) -> bytes:
        """Return the bytes of a request's head; empty when the client has ended."""
        try:
            async with asyncio.timeout(self._deadlines.idle_s):
                return await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            raise HeadError(f"the request's head is longer than {_HEAD_LIMIT} bytes", 431) from None

    # CONNECT

    async def _connect(self, target: Target) -> None:
        """Open a tunnel, for TLS to nodes and to the registry."""
        route = self._route(target)
        service = await self._open(route, target)
        to, traffic, end = str(route.endpoint), Traffic(), "closed"
        self._record("CONNECT", target.authority, "opened", to=to)
        try:
            await send(self._writer, b"HTTP/1.1 200 Connection established\r\n\r\n", self._deadlines.idle_s)
            await splice((self._reader, self._writer), service, self._deadlines.idle_s, traffic)
        except TimeoutError:
            end = "idle"
        finally:
            self._record(
                *("CONNECT", target.authority, end),
                to=to,
                bytes_sent=traffic.sent,
                bytes_received=traffic.received,
            )
            await close_writer(service[1])

    # Plain requests

    async def _plain(self, head: Head) -> bool:
        """Forward one request, or answer it with the page; tell whether another one may follow."""
        method, text, _ = head.start
        target = self._origin_target(head) if text.startswith("/") or text == "*" else parse_absolute(text)
        if target is None:
            await self._page(method, text)
            return False
        route = self._route(target)
        if route.tls:
            raise _Refusal(502, f"{target.host}:{target.port} speaks TLS here: use CONNECT")
        body = request_body(head)
        service = await self._open(route, target)
        try:
            return await self._exchange(head, target, route, body, service)
        finally:
            await close_writer(service[1])

    def _origin_target(self, head: Head) -> Target | None:
        """Return the mapped host that a request for a path names; None when it is for the gateway itself.

        A client that finds the gateway by a hosts file sends such requests.
        """
        hosts = head.values("host")
        if len(hosts) != 1:
            return None
        host, port = parse_authority(hosts[0], default_port=80)
        return Target(host, port, head.start[1]) if self._gateway.routes.knows_name(host) else None

    async def _exchange(
        self,
        head: Head,
        target: Target,
        route: Route,
        body: int | Framing,
        service: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> bool:
        method, _, version = head.start
        onward = replace(head, start=(method, target.path or "/", version))
        onward = onward.for_next_hop(host=target.authority, chunked=body is Framing.CHUNKED)
        onward = onward.adding(("Connection", "close"))
        asked = _Asked(method, target.authority + (target.path or ""), str(route.endpoint))
        sending = asyncio.ensure_future(self._send_request(onward, body, service[1]))
        answering = asyncio.ensure_future(self._relay_answer(head, asked, service[0], sending))
        try:
            # Whatever ends first: the answer may come before the request is whole.
            await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                broken = sending.exception()
                if isinstance(broken, HeadError) and not asked.answered:
                    raise broken
                await self._wait_for_answer(answering, None if broken is None else self._deadlines.linger_s)
            alive = answering.result()
        except ClientLeft:
            self._record(asked.method, asked.address, "client left", to=asked.to)
            raise
        except _Unanswered as error:
            text = f"{route.service} at {target.authority} {error}"
            raise _Refusal(error.status, text, "failed") from error
        finally:
            complete = sending.done() and not sending.cancelled() and sending.exception() is None
            for task in (sending, answering):
                task.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)
        if not complete:
            await close_after_answer(self._reader, self._writer, self._deadlines.linger_s)
        return complete and alive

    async def _wait_for_answer(self, answering: "asyncio.Future[bool]", patience_s: float | None) -> None:
        """Wait for the answer, or until the client leaves, which the end of its connection tells the service.

        ``patience_s`` is given when the request could not be sent to its end: an answer may be on its way
        even so.
        """
        leaving = asyncio.ensure_future(self._reader.ended.wait())
        awaited: set[asyncio.Future[Any]] = {answering, leaving}
        try:
            await asyncio.wait(awaited, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        if not answering.done():
            raise ClientLeft("the client left before the answer")

    async def _send_request(self, head: Head, body: int | Framing, writer: asyncio.StreamWriter) -> None:
        await send(writer, head.encode(), self._deadlines.idle_s)
        await copy_body(self._reader, writer, body, self._deadlines.idle_s)

    async def _relay_answer(
        self, request: Head, asked: "_Asked", reader: asyncio.StreamReader, sending: "asyncio.Future[None]"
    ) -> bool:
        """Pass the answer on; tell whether the client's connection can be used again.

        The event is recorded before the client has its answer: who reads the trace then finds it there.
        """
        while True:
            head = await self._read_answer_head(reader, sending)
            status = int(head.start[1])
            if status >= 200:
                break
            if status == 101:
                raise _Unanswered("switched to another protocol unasked", 502)
            # 100 Continue and its like precede the answer (RFC 9110 §15.2).
            await send(self._writer, head.for_next_hop().encode(), self._deadlines.idle_s)
        try:
            body = response_body(head, request.start[0])
        except HeadError as error:
            raise _Unanswered(f"did not answer in HTTP: {error}", 502) from None
        alive = body is not Framing.UNTIL_CLOSE and keeps_alive(request)
        onward = head.for_next_hop(chunked=body is Framing.CHUNKED)
        onward = onward.adding(("Connection", "keep-alive" if alive else "close"))
        self._record(asked.method, asked.address, "forwarded", status=status, to=asked.to)
        asked.answered = True
        await send(self._writer, onward.encode(), self._deadlines.idle_s)
        try:
            await copy_body(reader, self._writer, body, self._deadlines.idle_s)
        except HeadError as error:
            # Too late for another answer: the client sees that this one breaks off.
            raise RelayError(f"the answer broke off: {error}") from None
        return alive

    async def _read_answer_head(self, reader: asyncio.StreamReader, sending: "asyncio.Future[None]") -> Head:
        while True:
            try:
                async with asyncio.timeout(self._deadlines.idle_s):
                    return parse_response(await reader.readuntil(b"\r\n\r\n"))
            except TimeoutError:
                # The service's time starts when it has the whole request.
                if sending.done():
                    raise _Unanswered(f"did not answer within {self._deadlines.idle_s:g} s", 504) from None
            except (asyncio.IncompleteReadError, ConnectionError):
                raise _Unanswered("closed the connection without an answer", 502) from None
            except asyncio.LimitOverrunError:
                raise _Unanswered(f"answered with a head longer than {_HEAD_LIMIT} bytes", 502) from None
            except HeadError as error:
                raise _Unanswered(f"did not answer in HTTP: {error}", 502) from None

    # Both

    def _route(self, target: Target) -> Route:
        route = self._gateway.routes.find(target.host, target.port)
        if route is None:
            raise _Refusal(
                502,
                f"refused {target.host}:{target.port}: this testnet never lets traffic out of the machine",
            )
        return route

    async def _open(self, route: Route, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        where = f"{route.service} at {target.host}:{target.port} (here {route.endpoint})"
        try:
            async with asyncio.timeout(self._deadlines.connect_s):
                return await asyncio.open_connection(
                    route.endpoint.host, route.endpoint.port, limit=_HEAD_LIMIT
                )
        except TimeoutError:
            text = f"{where} did not accept a connection within {self._deadlines.connect_s:g} s"
            raise _Refusal(504, text, "failed") from None
        except OSError as error:
            text = f"{where} does not accept connections: {error.strerror or error}"
            raise _Refusal(502, text, "failed") from None

    async def _page(self, method: str, path: str) -> None:
        """Say what this is, to a person who opens the gateway's address in a browser."""
        if path != "/" or method not in ("GET", "HEAD"):
            raise _Refusal(404, "this is a forward proxy; only / can be asked for directly")
        self._record(method, path, "page", status=200)
        await self._answer_and_close(200, self._page_text(), method)

    def _page_text(self) -> str:
        names = "".join(f"  {host}:{port}\n" for host, port in self._gateway.routes.names)
        return (
            "Gateway of a local Session test network.\n\n"
            "It is a forward proxy for Session clients: set it as HTTP_PROXY and HTTPS_PROXY,\n"
            f"and they find this network instead of the production one. It answers for\n\n{names}\n"
            "and for the network's own addresses. Every other host is refused with 502:\n"
            "no traffic leaves the machine.\n"
        )

    async def _answer_and_close(self, status: int, text: str, method: str) -> None:
        content = text.encode()
        head = Head(
            ("HTTP/1.1", str(status), _REASONS.get(status, "")),
            (
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(content))),
                ("Connection", "close"),
            ),
        )
        await send(
            self._writer, head.encode() + (b"" if method == "HEAD" else content), self._deadlines.idle_s
        )
        await close_after_answer(self._reader, self._writer, self._deadlines.linger_s)

    def _record(self, method: str, target: str, outcome: str, **more: object) -> None:
        self._gateway.trace.record(
            "gateway", None, method=method, target=target[:500], outcome=outcome, **more
        )
