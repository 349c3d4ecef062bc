"""The gateway from its start to its end: its own page, many clients, and closing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp

from session_testnet.endpoints import Endpoint, bind_socket
from session_testnet.services.gateway import Gateway
from session_testnet.trace import Trace


@contextlib.asynccontextmanager
async def gateway_before(serve: Callable[[asyncio.StreamReader], Awaitable[bytes]]) -> AsyncIterator[Gateway]:
    """Start a gateway before one service, which answers every connection with what ``serve`` returns."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(await serve(reader))
            await writer.drain()
        writer.close()

    listener = bind_socket("127.0.0.1")
    service = Endpoint(*listener.getsockname()[:2])
    server = await asyncio.start_server(connected, sock=listener)
    trace = Trace()
    gateway = Gateway(
        registry_http=service, registry_https=service, files=service, own=[service], trace=trace
    )
    await gateway.start(bind_socket("127.0.0.1"))
    try:
        yield gateway
    finally:
        await gateway.close()
        server.close()


async def size_of_request(reader: asyncio.StreamReader) -> bytes:
    """Answer with the length of the request's body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
    told = b"%d" % len(await reader.readexactly(length))
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told)


def within_seconds(check: Callable[[], Awaitable[None]]) -> None:
    """Run a check with an end to all waiting."""

    async def whole() -> None:
        async with asyncio.timeout(20):
            await check()

    asyncio.run(whole())


def test_the_page_says_what_this_is() -> None:
    async def check() -> None:
        async with gateway_before(size_of_request) as gateway, aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{gateway.port}/") as reply:
                text = await reply.text()
            assert reply.status == 200
            assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert "local Session test network" in text
            assert "seed1.getsession.org:4443" in text
            async with session.head(f"http://127.0.0.1:{gateway.port}/") as reply:
                assert (reply.status, await reply.read()) == (200, b"")
            assert [event["outcome"] for event in gateway.trace.events()] == ["page", "page"]

    within_seconds(check)


def test_many_clients_at_once() -> None:
    async def check() -> None:
        async with gateway_before(size_of_request) as gateway, aiohttp.ClientSession() as session:

            async def ask(size: int) -> int:
                async with session.post(
                    "http://filev2.getsession.org/file",
                    data=b"x" * size,
                    proxy=f"http://127.0.0.1:{gateway.port}",
                ) as reply:
                    return int(await reply.read())

            sizes = [number * 1000 for number in range(80)]
            assert await asyncio.gather(*map(ask, sizes)) == sizes

    within_seconds(check)


def test_closing_ends_waiting_clients_and_frees_the_port() -> None:
    async def check() -> None:
        asked = asyncio.Event()

        async def never(reader: asyncio.StreamReader) -> bytes:
            asked.set()
            await reader.read()
            await asyncio.Event().wait()
            return b""

        async with gateway_before(never) as gateway:
            port = gateway.port
            connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            # One says nothing, one waits for an answer, one has a tunnel.
            connections[1][1].write(b"GET http://seed1.getsession.org/ HTTP/1.1\r\n\r\n")
            connections[2][1].write(b"CONNECT seed1.getsession.org:443 HTTP/1.1\r\n\r\n")
            assert (await connections[2][0].readline()).startswith(b"HTTP/1.1 200 ")
            await asked.wait()
            await gateway.close()
            await gateway.close()
            for reader, writer in connections:
                await reader.read()
                assert reader.at_eof()
                writer.close()
            bind_socket("127.0.0.1", port).close()

    within_seconds(check)


def test_closing_before_the_start_is_harmless() -> None:
    async def check() -> None:
        nowhere = Endpoint("127.0.0.1", 1)
        gateway = Gateway(registry_http=nowhere, registry_https=nowhere, files=nowhere)
        await gateway.close()
        assert gateway.port == 0

    within_seconds(check)
