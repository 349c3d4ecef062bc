"""HTTP over real sockets: deadlines, broken connections, seeds, files."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from session_testnet.client.bootstrap import fetch_service_nodes
from session_testnet.client.errors import (
    BadReply,
    ClientError,
    ConnectionLost,
    DeadlineExceeded,
    NotEnoughNodes,
    NotFound,
    TooLarge,
    Unreachable,
)
from session_testnet.client.files import MAX_FILE_BYTES, FileClient, FileServerInfo
from session_testnet.client.http_client import HttpClient

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATE = {
    "public_ip": "127.0.1.1",
    "storage_port": 22021,
    "pubkey_ed25519": "d0" * 32,
    "pubkey_x25519": "7a" * 32,
}


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve every path of an HTTP server on a free port; yields its URL."""
    application = web.Application(client_max_size=2 * MAX_FILE_BYTES)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client() -> AsyncIterator[HttpClient]:
    http = HttpClient()
    try:
        yield http
    finally:
        await http.aclose()


def registry(*states: Any, status: int = 200) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        assert request.path == "/json_rpc"
        asked = await request.json()
        assert asked["method"] == "get_n_service_nodes"
        assert asked["params"]["fields"]["public_ip"] is True
        body = {"jsonrpc": "2.0", "id": 0, "result": {"service_node_states": list(states)}}
        return web.Response(body=json.dumps(body), status=status, content_type="application/json")

    return handler


async def hanging(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets the event")


async def dropping(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class TestHttpClient:
    def test_brings_status_headers_and_bytes(self) -> None:
        async def handler(request: web.Request) -> web.Response:
            assert request.headers["User-Agent"] == "WhatsApp"
            return web.Response(body=await request.read() + b"\xff", status=418, headers={"X-Seen": "yes"})

        async def main() -> None:
            async with serving(handler) as url, client() as http:
                reply = await http.post(url + "/x", b"sent", timeout_s=5, waiting_for="a test")
                assert (reply.status, reply.body, reply.headers["x-seen"]) == (418, b"sent\xff", "yes")

        asyncio.run(main())

    @pytest.mark.parametrize(
        ("handler", "kind", "message"),
        [
            (hanging, DeadlineExceeded, r"waited 0\.05 s for a test \(http://127"),
            (dropping, ConnectionLost, "connection lost during a test"),
        ],
    )
    def test_says_what_it_waited_for(self, handler: Handler, kind: type[ClientError], message: str) -> None:
        async def main() -> None:
            async with serving(handler) as url, client() as http:
                timeout_s = 0.05 if kind is DeadlineExceeded else 5
                with pytest.raises(kind, match=message):
                    await http.post(url, b"", timeout_s=timeout_s, waiting_for="a test")

        asyncio.run(main())

    def test_nobody_listening_is_unreachable(self) -> None:
        async def main() -> None:
            async with client() as http:
                with pytest.raises(Unreachable, match="cannot connect for a test"):
                    await http.get(f"http://127.0.0.1:{closed_port()}", timeout_s=5, waiting_for="a test")

        asyncio.run(main())

    @pytest.mark.parametrize("url", ["no url", "http://", "http://[::"])
    def test_a_malformed_url_is_unreachable(self, url: str) -> None:
        async def main() -> None:
            async with client() as http:
                with pytest.raises(Unreachable):
                    await http.get(url, timeout_s=5, waiting_for="a test")

        asyncio.run(main())

    def test_redirects_are_not_followed(self) -> None:
        async def handler(_: web.Request) -> web.Response:
            raise web.HTTPFound("http://127.0.0.1:1/elsewhere")

        async def main() -> None:
            async with serving(handler) as url, client() as http:
                assert (await http.get(url, timeout_s=5, waiting_for="a test")).status == 302

        asyncio.run(main())


async def nodes_of(*urls: str, timeout_s: float = 5, at_least: int = 1) -> list[str]:
    async with client() as http:
        found = await fetch_service_nodes(http, urls, timeout_s=timeout_s, at_least=at_least)
        return [node.ed25519_pk for node in found]


class TestSeeds:
    def test_asks_the_registry(self) -> None:
        async def main() -> None:
            async with serving(registry(STATE)) as url:
                assert await nodes_of(url) == ["d0" * 32]
                assert await nodes_of(url + "/json_rpc") == ["d0" * 32]

        asyncio.run(main())

    @pytest.mark.parametrize("bad", [hanging, dropping, registry(STATE, status=500), registry({})])
    def test_one_good_seed_is_enough(self, bad: Handler) -> None:
        async def main() -> None:
            async with serving(bad) as bad_url, serving(registry(STATE)) as good_url:
                assert await nodes_of(bad_url, good_url) == ["d0" * 32]
                assert await nodes_of(good_url, bad_url) == ["d0" * 32]

        asyncio.run(main())

    def test_every_failure_is_told(self) -> None:
        async def main() -> None:
            async with serving(registry({})) as url:
                dead = f"http://127.0.0.1:{closed_port()}"
                with pytest.raises(ClientError) as caught:
                    await nodes_of(dead, url)
                assert set(caught.value.data["seeds"]) == {dead, url}

        asyncio.run(main())

    def test_too_few_nodes_are_no_list(self) -> None:
        async def main() -> None:
            async with serving(registry(STATE)) as url:
                with pytest.raises(NotEnoughNodes, match="lists 1 usable nodes, 4 are needed"):
                    await nodes_of(url, at_least=4)

        asyncio.run(main())

    def test_no_seed_is_an_error_with_a_hint(self) -> None:
        with pytest.raises(NotEnoughNodes, match="at least one registry"):
            asyncio.run(nodes_of())


class SomeFiles:
    """A file server in a few lines: ids count up."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []
        self.refuse_with: int | None = None

    async def answer(self, request: web.Request) -> web.Response:
        if self.refuse_with is not None:
            return web.json_response({"status_code": self.refuse_with}, status=self.refuse_with)
        if request.method == "POST":
            assert request.path == "/file"
            self.stored.append(await request.read())
            return web.json_response({"id": str(len(self.stored) - 1), "expires": 1_700_000_000.5})
        number = int(request.path.removeprefix("/file/"))
        if number >= len(self.stored):
            return web.json_response({"status_code": 404}, status=404)
        return web.Response(body=self.stored[number])


class TestFiles:
    def test_a_blob_comes_back(self) -> None:
        async def main() -> None:
            async with serving(SomeFiles().answer) as url, client() as http:
                files = FileClient(FileServerInfo(url), http, None, timeout_s=5)
                large = bytes(range(256)) * 12_000
                assert await files.download((await files.upload(large)).id) == large
                uploaded = await files.upload(b"\x00blob\xff")
                assert uploaded.url == f"{url}/file/1"
                assert uploaded.expires_ms == 1_700_000_000_500
                assert await files.download(uploaded.url) == b"\x00blob\xff"
                assert await files.download("http://filev2.getsession.org/file/1") == b"\x00blob\xff"

        asyncio.run(main())

    @pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (413, TooLarge), (507, ClientError)])
    def test_refusals_are_told_apart(self, status: int, kind: type[ClientError]) -> None:
        async def main() -> None:
            server = SomeFiles()
            server.refuse_with = status
            async with serving(server.answer) as url, client() as http:
                files = FileClient(FileServerInfo(url), http, None, timeout_s=5)
                with pytest.raises(kind) as caught:
                    await files.download("7")
                assert caught.value.data["status"] == status

        asyncio.run(main())

    def test_a_file_over_the_limit_is_not_sent(self) -> None:
        async def main() -> None:
            async with client() as http:
                files = FileClient(FileServerInfo("http://127.0.0.1:1"), http, None, timeout_s=5)
                with pytest.raises(TooLarge, match="10000001 bytes"):
                    await files.upload(bytes(MAX_FILE_BYTES + 1))

        asyncio.run(main())

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id":5}', b'{"id":""}'])
    def test_an_upload_without_an_id_is_a_bad_reply(self, body: bytes) -> None:
        async def handler(_: web.Request) -> web.Response:
            return web.Response(body=body)

        async def main() -> None:
            async with serving(handler) as url, client() as http:
                with pytest.raises(BadReply):
                    await FileClient(FileServerInfo(url), http, None, timeout_s=5).upload(b"x")

        asyncio.run(main())
