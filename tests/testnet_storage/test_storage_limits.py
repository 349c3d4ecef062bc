"""What one client can make a node hold in memory or send, and what is turned away."""

import asyncio
import base64
from typing import Any

import orjson
import pytest

from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request
from session_testnet.services.storage import StorageSettings
from session_testnet.services.storage.settings import MAX_BATCH_PAGES_BYTES, MAX_MESSAGE_BYTES

Nodes = Any
RPC, ONION = "/storage_rpc/v1", "/onion_req/v2"
INFO = b'{"method": "info", "params": {}}'
PATIENCE_S = 20


async def begin_upload(nodes: Nodes, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the head of a request and the first bytes of its body."""
    host, port = nodes.urls[0].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("path", [RPC, ONION])
def test_unfinished_uploads_count_as_jobs(make_nodes: Any, path: str) -> None:
    nodes = make_nodes(1, settings=StorageSettings(max_jobs=1))

    async def scenario() -> None:
        _, writer = await begin_upload(nodes, path)
        answer = await nodes.request("POST", RPC, INFO)
        async with asyncio.timeout(PATIENCE_S):
            # The node takes the upload up when it gets to it.
            while answer.status == 200:
                answer = await nodes.request("POST", RPC, INFO)
            assert (answer.status, answer.body) == (503, "Server busy, try again later")
            writer.close()
            await writer.wait_closed()
            while answer.status == 503:
                answer = await nodes.request("POST", RPC, INFO)
        assert answer.status == 200

    nodes.run(scenario())


def test_an_upload_that_does_not_end_is_ended(make_nodes: Any) -> None:
    nodes = make_nodes(1, settings=StorageSettings(max_jobs=1, upload_timeout_s=0.05))

    async def scenario() -> None:
        reader, writer = await begin_upload(nodes, RPC)
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(b"\r\n\r\nRequest time out")
        writer.close()
        assert (await nodes.request("POST", RPC, INFO)).status == 200

    nodes.run(scenario())


def test_a_client_that_resets_its_upload_leaves_no_traceback(
    make_nodes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = make_nodes(1)

    async def scenario() -> None:
        for path in (RPC, ONION):
            _, writer = await begin_upload(nodes, path)
            writer.transport.abort()
        # Requests that come after it are taken up after it.
        for _ in range(3):
            assert (await nodes.request("POST", RPC, INFO)).status == 200

    nodes.run(scenario())
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("method", ["batch", "sequence"])
def test_the_pages_of_a_batch_are_bounded_together(nodes: Nodes, alice: Account, method: str) -> None:
    body = base64.b64encode(bytes(MAX_MESSAGE_BYTES - 4))
    for number in range(60):
        data = base64.b64encode(number.to_bytes(4, "big") + base64.b64decode(body)).decode()
        assert nodes.store(alice.account_id, data).status == 200
    params = sign_request(alice, "retrieve", {"timestamp": nodes.now, "max_size": -1})
    requests = [{"method": "retrieve", "params": params}] * 20
    answer = nodes.ask(method, {"requests": requests})
    pages = [result["body"] for result in answer.body["results"]]
    assert len(orjson.dumps(answer.body)) < MAX_BATCH_PAGES_BYTES + 21 * 110_000
    assert [len(page["messages"]) for page in pages[:2]] == [60, 60], "what clients ask for has room"
    assert not pages[0]["more"]
    assert len(pages[-1]["messages"]) == 1, "a page has a message at least, and says that there is more"
    assert pages[-1]["more"]


@pytest.mark.parametrize(
    ("hardfork", "expiries", "status"),
    [((19, 3), 2, 403), ((19, 3), 1, 200), ((19, 4), 2, 200)],
)
def test_expiries_of_their_own_need_a_hard_fork(
    make_nodes: Any, alice: Account, hardfork: tuple[int, int], expiries: int, status: int
) -> None:
    nodes = make_nodes(2, settings=StorageSettings(version=(2, 8, 0)), hardfork=hardfork)
    messages = [nodes.store(alice.account_id, data).body["hash"] for data in ("AAAA", "BBBB")]
    times = [nodes.now + 100_000 + number for number in range(expiries)]
    answer = nodes.signed(alice, "expire", {"messages": messages, "expiry": times})
    assert answer.status == status
    if status == 403:
        assert answer.body == "expire: multi-expiry requests are not yet active on the network"
        assert nodes.trace.events(kind="peer")[-1]["method"] == "store", "nothing is forwarded"
