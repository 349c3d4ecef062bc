"""The gateway over real sockets: plain requests, tunnels, refusals, and how connections end."""

import asyncio
import contextlib
import importlib.util
import io
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from session_testnet.certificates import self_signed_context
from session_testnet.endpoints import Endpoint, bind_socket
from session_testnet.services.gateway import Gateway
from session_testnet.services.gateway.proxy import GatewayDeadlines
from session_testnet.trace import Trace

SECURE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SECURE.check_hostname = False
SECURE.verify_mode = ssl.CERT_NONE

FAST_LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = []
if importlib.util.find_spec("uvloop"):
    import uvloop

    FAST_LOOPS.append(uvloop.new_event_loop)

NAME = web.AppKey("name", str)
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Lab:
    """A gateway in front of services that tell what they were asked."""

    gateway: Gateway
    trace: Trace
    session: aiohttp.ClientSession
    raw: Endpoint
    node: Endpoint
    nobody: Endpoint
    answer: list[Answer] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    async def exchange(self, data: bytes) -> bytes:
        """Send bytes to the gateway and return everything until it closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        try:
            writer.write(data)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()

    def outcomes(self) -> list[tuple[Any, Any]]:
        return [(event["method"], event["outcome"]) for event in self.trace.events(kind="gateway")]


async def echo(request: web.Request) -> web.Response:
    """Tell service, method, target, Host and body; a body that came in chunks is said to."""
    body = await request.read()
    return web.json_response(
        {
            "service": request.app[NAME],
            "method": request.method,
            "path": request.raw_path,
            "host": request.headers["Host"],
            "headers": sorted(name.lower() for name in request.headers),
            "chunked": request.headers.get("Transfer-Encoding") == "chunked",
            "body": len(body),
            "sum": sum(body),
        }
    )


async def in_chunks(request: web.Request) -> web.StreamResponse:
    """Answer a body in chunks."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for number in range(50):
        await response.write(bytes([number]) * 3_000)
    await response.write_eof()
    return response


async def empty(_: web.Request) -> web.Response:
    """Answer without a body."""
    return web.Response(status=204)


@contextlib.asynccontextmanager
async def laboratory(deadlines: GatewayDeadlines) -> AsyncIterator[Lab]:
    async with contextlib.AsyncExitStack() as stack:

        async def serve(name: str, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Endpoint:
            application = web.Application(client_max_size=20_000_000)
            application[NAME] = name
            application.router.add_get("/chunks", in_chunks)
            application.router.add_get("/empty", empty)
            application.router.add_route("*", "/{path:.*}", echo)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            listener = bind_socket(host)
            await web.SockSite(runner, listener, ssl_context=tls).start()
            return Endpoint(*listener.getsockname()[:2])

        answers: list[Answer] = []
        seen: list[bytes] = []

        async def raw_service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                seen.append(await reader.readuntil(b"\r\n\r\n"))
                await answers[0](reader, writer)
            writer.close()

        listener = bind_socket("127.0.0.1")
        raw = Endpoint(*listener.getsockname()[:2])
        raw_server = await asyncio.start_server(raw_service, sock=listener)
        stack.callback(raw_server.close)
        node = await serve("node", self_signed_context())
        # Bound and not listening: nobody else gets the port, and connections are refused.
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))
        nobody = Endpoint(*closed.getsockname()[:2])
        trace = Trace()
        gateway = Gateway(
            registry_http=await serve("registry"),
            registry_https=await serve("registry tls", self_signed_context()),
            files=await serve("files"),
            own={raw: raw, node: node, nobody: nobody, Endpoint("10.0.2.2", 22021): node},
            trace=trace,
            deadlines=deadlines,
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await gateway.start(bind_socket("127.0.0.1"))
        stack.push_async_callback(gateway.close)
        yield Lab(gateway, trace, session, raw, node, nobody, answers, seen)


def run(check: Callable[[Lab], Awaitable[None]], deadlines: GatewayDeadlines | None = None) -> None:
    """Run a check against a fresh laboratory on each kind of event loop, with an end to all waiting."""

    async def whole() -> None:
        async with asyncio.timeout(20), laboratory(deadlines or GatewayDeadlines(linger_s=0.2)) as lab:
            await check(lab)

    for loops in (asyncio.new_event_loop, *FAST_LOOPS):
        with asyncio.Runner(loop_factory=loops) as runner:
            runner.run(whole())


class TestPlainRequests:
    @pytest.mark.parametrize(
        ("url", "service"),
        [
            ("http://seed1.getsession.org/json_rpc", "registry"),
            ("http://seed3.getsession.org:80/json_rpc", "registry"),
            ("http://SEED2.getsession.org.:38157/json_rpc", "registry"),
            ("http://public.loki.foundation:38157/json_rpc", "registry"),
            ("http://public.session.foundation:38157/json_rpc", "registry"),
            ("http://sesh-net.local:1280/json_rpc", "registry"),
            ("http://filev2.getsession.org/file/1?x=%20y", "files"),
        ],
    )
    def test_production_names_lead_to_this_network(self, url: str, service: str) -> None:
        async def check(lab: Lab) -> None:
            reply = await lab.exchange(
                f"GET {url} HTTP/1.1\r\nHost: wrong.example\r\n"
                "Connection: close\r\nProxy-Connection: close\r\n\r\n".encode()
            )
            head, _, body = reply.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert f'"service": "{service}"'.encode() in body
            authority = (
                url.removeprefix("http://").split("/")[0].lower().replace(".:", ":").removesuffix(":80")
            )
            assert f'"host": "{authority}"'.encode() in body
            assert f'"path": "/{url.split("/", 3)[3]}"'.encode() in body
            assert lab.outcomes() == [("GET", "forwarded")]

        run(check)

    def test_a_client_with_a_proxy_setting(self) -> None:
        async def check(lab: Lab) -> None:
            for size in (0, 1, 100_000, 3_000_000):
                async with lab.session.post(
                    "http://filev2.getsession.org/file", data=io.BytesIO(b"\x01" * size), proxy=lab.url
                ) as reply:
                    told = await reply.json()
                assert (told["service"], told["body"], told["sum"], told["chunked"]) == (
                    "files",
                    size,
                    size,
                    False,
                )
            assert lab.outcomes() == [("POST", "forwarded")] * 4

        run(check)

    def test_connections_are_kept_and_used_again(self) -> None:
        async def check(lab: Lab) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.gateway.port)
            request = (
                b"POST http://seed1.getsession.org/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"
            )
            # Two at once: the second waits in the buffer.
            writer.write(request % 1 + request % 2)
            for number in (1, 2):
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"Connection: keep-alive" in head
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                assert b'"/%d"' % number in await reader.readexactly(length)
            writer.close()
            await writer.wait_closed()

        run(check)

    def test_chunks_both_ways(self) -> None:
        async def check(lab: Lab) -> None:
            async def pieces() -> AsyncIterator[bytes]:
                for number in range(20):
                    yield bytes([number]) * 10_000

            async with lab.session.post(
                "http://seed1.getsession.org/x", data=pieces(), proxy=lab.url
            ) as reply:
                told = await reply.json()
            assert (told["chunked"], told["body"], told["sum"]) == (True, 200_000, 10_000 * sum(range(20)))
            async with lab.session.get("http://seed1.getsession.org/chunks", proxy=lab.url) as reply:
                assert reply.headers["Transfer-Encoding"] == "chunked"
                assert await reply.read() == b"".join(bytes([number]) * 3_000 for number in range(50))

        run(check)

    def test_answers_without_a_body(self) -> None:
        async def check(lab: Lab) -> None:
            for method, path in (("HEAD", "x"), ("GET", "empty")):
                async with lab.session.request(
                    method,
                    f"http://seed1.getsession.org/{path}",
                    proxy=lab.url,
                    timeout=aiohttp.ClientTimeout(5),
                ) as reply:
                    assert reply.status in (200, 204)
                    assert await reply.read() == b""

        run(check)

    def test_fields_for_one_connection_stay_on_it_and_none_is_added(self) -> None:
        async def check(lab: Lab) -> None:
            reply = await lab.exchange(
                b"GET http://seed1.getsession.org/ HTTP/1.1\r\nHost: seed1.getsession.org\r\n"
                b"Connection: close, X-Secret\r\nX-Secret: 1\r\nX-Kept: 1\r\n"
                b"Proxy-Authorization: Basic x\r\nTE: trailers\r\nUpgrade: h2c\r\n\r\n"
            )
            assert b'"headers": ["connection", "host", "x-kept"]' in reply

        run(check)

    def test_an_old_client_gets_an_answer_that_it_understands(self) -> None:
        async def check(lab: Lab) -> None:
            reply = await lab.exchange(b"GET http://seed1.getsession.org/ HTTP/1.0\r\n\r\n")
            head, _, body = reply.partition(b"\r\n\r\n")
            assert b" 200 " in head.split(b"\r\n")[0]
            assert b"chunked" not in head
            assert b"Connection: close" in head
            assert b'"service": "registry"' in body

        run(check)

    def test_a_request_found_by_a_hosts_file(self) -> None:
        async def check(lab: Lab) -> None:
            reply = await lab.exchange(
                b"GET /json_rpc HTTP/1.1\r\nHost: seed1.getsession.org\r\nConnection: close\r\n\r\n"
            )
            assert b'"service": "registry"' in reply

        run(check)

    def test_interim_answers_pass(self) -> None:
        async def check(lab: Lab) -> None:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                assert await reader.readexactly(3) == b"abc"
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

            lab.answer.append(answer)
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.gateway.port)
            writer.write(
                f"POST http://{lab.raw}/ HTTP/1.1\r\nHost: x\r\n"
                "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n".encode()
            )
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
            assert await reader.readexactly(4) == b"done"
            writer.close()

        run(check)

    def test_an_answer_that_ends_with_its_connection(self) -> None:
        async def check(lab: Lab) -> None:
            async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 200_000)
                await writer.drain()

            lab.answer.append(answer)
            reply = await lab.exchange(f"GET http://{lab.raw}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head, _, body = reply.partition(b"\r\n\r\n")
            assert b"Connection: close" in head
            assert body == b"z" * 200_000

        run(check)

    def test_an_answer_before_the_request_is_whole(self) -> None:
        async def check(lab: Lab) -> None:
            async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig")
                await writer.drain()

            lab.answer.append(answer)
            reply = await lab.exchange(
                f"POST http://{lab.raw}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n".encode()
                + b"x" * 300_000
            )
            assert reply.startswith(b"HTTP/1.1 413 ")
            assert reply.endswith(b"\r\n\r\nbig")

        run(check)

    def test_a_client_that_leaves_is_noticed_by_the_service(self) -> None:
        async def check(lab: Lab) -> None:
            left, asked = asyncio.Event(), asyncio.Event()

            async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
                asked.set()
                assert await reader.read(1) == b""
                left.set()

            lab.answer.append(never)
            _, writer = await asyncio.open_connection("127.0.0.1", lab.gateway.port)
            writer.write(f"GET http://{lab.raw}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await asked.wait()
            writer.close()
            async with asyncio.timeout(5):
                await left.wait()

        run(check)


class TestTunnels:
    @pytest.mark.parametrize(
        "url",
        [f"https://seed{n}.getsession.org:{port}/json_rpc" for n, port in ((1, 4443), (2, 443), (3, 4443))],
    )
    def test_the_registry_over_tls(self, url: str) -> None:
        async def check(lab: Lab) -> None:
            async with lab.session.post(url, data=b"{}", proxy=lab.url, ssl=SECURE) as reply:
                assert (await reply.json())["service"] == "registry tls"

        run(check)

    def test_own_nodes_by_every_address_of_theirs(self) -> None:
        async def check(lab: Lab) -> None:
            for address in (lab.node, "10.0.2.2:22021"):
                async with lab.session.post(
                    f"https://{address}/storage_rpc/v1",
                    data=io.BytesIO(b"\x01" * 2_000_000),
                    proxy=lab.url,
                    ssl=SECURE,
                ) as reply:
                    told = await reply.json()
                assert (told["service"], told["sum"]) == ("node", 2_000_000)

        run(check)

    def test_plain_services_can_be_tunnelled_to_as_well(self) -> None:
        async def check(lab: Lab) -> None:
            reply = await lab.exchange(
                b"CONNECT filev2.getsession.org:80 HTTP/1.1\r\nHost: filev2.getsession.org:80\r\n\r\n"
                # Sent without waiting for the tunnel.
                b"GET / HTTP/1.1\r\nHost: filev2.getsession.org\r\nConnection: close\r\n\r\n"
            )
            assert reply.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK")
            assert b'"service": "files"' in reply
            await lab.gateway.close()
            assert lab.outcomes() == [("CONNECT", "opened"), ("CONNECT", "closed")]
            event = lab.trace.events(kind="gateway")[-1]
            assert event["target"] == "filev2.getsession.org:80"
            assert event["bytes_sent"] > 50
            assert event["bytes_received"] > 100

        run(check)

    def test_the_end_of_one_side_does_not_cut_off_the_other(self) -> None:
        async def check(lab: Lab) -> None:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                assert await reader.read() == b"question"
                writer.write(b"answer" * 50_000)
                await writer.drain()

            lab.answer.append(answer)
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.gateway.port)
            writer.write(f"CONNECT {lab.raw} HTTP/1.1\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HEAD\r\n\r\nquestion")
            writer.write_eof()
            assert await reader.read() == b"answer" * 50_000
            writer.close()

        run(check)

    def test_an_idle_tunnel_is_closed(self) -> None:
        async def check(lab: Lab) -> None:
            lab.answer.append(lambda reader, writer: _until_end(reader))
            reply = await lab.exchange(f"CONNECT {lab.raw} HTTP/1.1\r\n\r\nHEAD\r\n\r\n".encode())
            assert reply == b"HTTP/1.1 200 Connection established\r\n\r\n"
            assert lab.outcomes() == [("CONNECT", "opened"), ("CONNECT", "idle")]

        run(check, GatewayDeadlines(idle_s=0.1, linger_s=0.1))


async def _until_end(reader: asyncio.StreamReader) -> None:
    await reader.read()


class TestRefusals:
    @pytest.mark.parametrize(
        ("request_line", "host"),
        [
            ("GET http://example.org/ HTTP/1.1", "example.org:80"),
            ("POST http://open.getsession.org/x HTTP/1.1", "open.getsession.org:80"),
            ("GET http://seed1.getsession.org:81/ HTTP/1.1", "seed1.getsession.org:81"),
            ("GET http://127.0.0.1:1/ HTTP/1.1", "127.0.0.1:1"),
            ("GET http://[::1]:8080/ HTTP/1.1", "::1:8080"),
            ("CONNECT example.org:443 HTTP/1.1", "example.org:443"),
            ("CONNECT filev2.getsession.org:443 HTTP/1.1", "filev2.getsession.org:443"),
        ],
    )
    def test_other_hosts_are_refused_in_one_line(self, request_line: str, host: str) -> None:
        async def check(lab: Lab) -> None:
            reply = await lab.exchange(f"{request_line}\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            head, _, body = reply.decode().partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 502 Bad Gateway")
            assert body.count("\n") == 1
            assert f"refused {host}:" in body
            assert "never lets traffic out" in body
            assert lab.outcomes() == [(request_line.split(maxsplit=1)[0], "refused")]

        run(check)

    def test_the_body_of_a_refused_request_does_not_swallow_the_answer(self) -> None:
        async def check(lab: Lab) -> None:
            reply = await lab.exchange(
                b"POST http://example.org/ HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n"
                + b"x" * 500_000
            )
            assert b"never lets traffic out" in reply

        run(check)

    def test_tls_services_are_not_asked_in_the_clear(self) -> None:
        async def check(lab: Lab) -> None:
            reply = await lab.exchange(b"GET http://seed1.getsession.org:4443/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 502 " in reply
            assert b"use CONNECT" in reply

        run(check)

    def test_a_stopped_service_is_named(self) -> None:
        async def check(lab: Lab) -> None:
            nobody = lab.nobody
            for line in (f"GET http://{nobody}/ HTTP/1.1", f"CONNECT {nobody} HTTP/1.1"):
                reply = (await lab.exchange(f"{line}\r\nHost: x\r\n\r\n".encode())).decode()
                assert reply.startswith("HTTP/1.1 502 ")
                assert f"{nobody}" in reply
                assert "does not accept connections" in reply
            assert lab.outcomes() == [("GET", "failed"), ("CONNECT", "failed")]

        run(check)

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (b"", "closed the connection without an answer"),
            (b"HTTP/1.1 200 OK\r\n", "closed the connection without an answer"),
            (b"hello\r\n\r\n", "did not answer in HTTP"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", "head longer than"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", "Content-Length is not one number"),
        ],
    )
    def test_a_service_that_does_not_answer_properly(self, answer: bytes, message: str) -> None:
        async def check(lab: Lab) -> None:
            async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(answer)
                await writer.drain()

            lab.answer.append(send)
            reply = (
                await lab.exchange(f"GET http://{lab.raw}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            ).decode()
            assert reply.startswith("HTTP/1.1 502 ")
            assert message in reply

        run(check)

    def test_a_service_that_never_answers(self) -> None:
        async def check(lab: Lab) -> None:
            lab.answer.append(lambda reader, writer: _until_end(reader))
            reply = await lab.exchange(f"GET http://{lab.raw}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert reply.startswith(b"HTTP/1.1 504 ")
            assert b"did not answer within 0.1 s" in reply

        run(check, GatewayDeadlines(idle_s=0.1, linger_s=0.1))

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfway\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n",
        ],
    )
    def test_an_answer_that_breaks_off_closes_the_connection(self, answer: bytes) -> None:
        async def check(lab: Lab) -> None:
            async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(answer)
                await writer.drain()

            lab.answer.append(send)
            reply = await lab.exchange(f"GET http://{lab.raw}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert reply.count(b"HTTP/1.1") == 1
            assert reply.rstrip(b"\r\n").endswith(b"half")

        run(check)

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"nonsense\r\n\r\n", 400),
            (b"GET https://seed1.getsession.org/ HTTP/1.1\r\n\r\n", 400),
            (b"GET http://seed1.getsession.org/ HTTP/2.0\r\n\r\n", 505),
            (b"CONNECT seed1.getsession.org HTTP/1.1\r\n\r\n", 400),
            (b"POST http://seed1.getsession.org/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"POST http://seed1.getsession.org/ HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            (b"POST http://seed1.getsession.org/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
            (b"GET http://seed1.getsession.org/ HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
            (b"GET /other HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
            (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n", 404),
        ],
    )
    def test_malformed_requests(self, data: bytes, status: int) -> None:
        async def check(lab: Lab) -> None:
            assert (await lab.exchange(data)).startswith(b"HTTP/1.1 %d " % status)

        run(check)
