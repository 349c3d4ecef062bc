"""The HTTP side: paths, statuses, headers, limits, readiness, rate limit."""

import asyncio
import base64
import io
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from session_protocol.accounts import Account
from session_testnet.knobs import NodeKnobs, RateLimit
from session_testnet.services.storage import NoFaults, RpcResult, StorageSettings

Nodes = Any
RPC = "/storage_rpc/v1"
SERVER = "Oxen Storage Server/2.11.3"


def test_headers_of_every_kind_of_answer(nodes: Nodes) -> None:
    answers = [
        nodes.ask("info", {}),
        nodes.ask("nonsense", {}),
        nodes.post("/onion_req/v2", b"x"),
        nodes.post("/ping_test/v1", b""),
        nodes.run(nodes.request("GET", "/get_stats/v1")),
        nodes.run(nodes.request("GET", "/")),
    ]
    assert [answer.status for answer in answers] == [200, 400, 400, 200, 200, 404]
    assert {answer.headers["Server"] for answer in answers} == {SERVER}
    kinds = [answer.headers["Content-Type"] for answer in answers]
    assert kinds == ["application/json", *["text/plain"] * 3, "application/json", "text/plain"]


def test_ping_and_statistics(nodes: Nodes) -> None:
    ping = nodes.post("/ping_test/v1", b"")
    assert (ping.status, ping.body) == (200, "")
    key = base64.b64decode(ping.headers["X-Oxen-Snode-Pubkey"])
    assert key.hex() == nodes.keys[0]
    assert nodes.run(nodes.request("GET", "/get_stats/v1")).body == {"version": "2.11.3"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", RPC),
        ("PUT", RPC),
        ("GET", "/onion_req/v2"),
        ("POST", "/get_stats/v1"),
        ("POST", "/storage_rpc/v1/"),
        ("GET", "/a%20b?c=d"),
    ],
)
def test_unknown_paths(nodes: Nodes, method: str, path: str) -> None:
    answer = nodes.run(nodes.request(method, path))
    assert (answer.status, answer.body) == (404, f"{method} {path.partition('?')[0]} Not Found")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "invalid json"),
        (b"{", "invalid json"),
        (b"[]", "invalid json: no `method` field"),
        (b'{"params": {}}', "invalid json: no `method` field"),
        (b'{"method": 5, "params": {}}', "invalid json: no `method` field"),
        (b'{"method": "info"}', "invalid json: no `params` field"),
        (b'{"method": "info", "params": []}', "invalid json: no `params` field"),
        (b'{"method": "monitor", "params": {}}', "no method monitor"),
    ],
)
def test_refused_bodies(nodes: Nodes, body: bytes, text: str) -> None:
    answer = nodes.post(RPC, body)
    assert (answer.status, answer.body) == (400, text)


def test_extra_keys_and_any_content_type_are_fine(nodes: Nodes) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "info", "params": {}}
    for kind in ("application/json", "text/plain;charset=UTF-8", "nonsense"):
        assert nodes.post(RPC, body, headers={"Content-Type": kind}).status == 200


def test_long_polling_is_over(nodes: Nodes) -> None:
    answer = nodes.post(RPC, {"method": "info", "params": {}}, headers={"X-Loki-Long-Poll": "1"})
    assert (answer.status, answer.body) == (
        410,
        "long polling is no longer supported, client upgrade required",
    )
    assert nodes.post(RPC, {"method": "info", "params": {}}, headers={"X-Loki-Long-Poll": ""}).status == 200


@pytest.mark.parametrize("path", [RPC, "/onion_req/v2"])
def test_bodies_beyond_ten_mebibytes(nodes: Nodes, path: str) -> None:
    limit = 10 * 1024 * 1024

    async def announce(size: int) -> bytes:
        """Announce a body and send none of it: the answer must not wait for it."""
        host, port = nodes.urls[0].removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.readuntil(b"too large"), 10)
        writer.close()
        await writer.wait_closed()
        return answer

    answer = nodes.run(announce(limit + 1))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"\r\n\r\nRequest body too large")
    assert nodes.run(nodes.request("POST", path, io.BytesIO(b" " * limit))).status == 400, (
        "the limit is allowed"
    )


def test_streamed_bodies_have_the_same_limit(nodes: Nodes) -> None:
    async def endless() -> Any:
        for _ in range(11):
            yield b" " * 1024 * 1024

    async def send() -> int:
        try:
            async with nodes.session.post(f"{nodes.urls[0]}{RPC}", data=endless()) as response:
                return response.status
        except aiohttp.ClientConnectionError:
            return 413

    assert nodes.run(send()) == 413


def test_a_node_that_is_not_ready(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(1, hardfork=(19, 5))
    text = "Service node is not ready: not yet on hardfork 19.6\n"
    for path in (RPC, "/onion_req/v2"):
        answer = nodes.post(path, {"method": "info", "params": {}})
        assert (answer.status, answer.body) == (503, text)
    assert nodes.post("/ping_test/v1", b"").status == 200
    nodes.run(nodes.nodes[0].aclose())
    closing = nodes.store(alice.account_id, "AAAA")
    assert (closing.status, closing.body) == (503, "Service node is not ready: shutting down\n")


def test_rate_limit(make_nodes: Any) -> None:
    nodes = make_nodes(1, knobs=NodeKnobs(rate_limit=RateLimit()))

    async def burst(count: int) -> list[int]:
        body = b'{"method": "info", "params": {}}'
        return [(await nodes.request("POST", RPC, body)).status for _ in range(count)]

    assert nodes.run(burst(602)) == [200] * 600 + [429] * 2
    limited = nodes.ask("info", {})
    assert limited.body == "Too Many Requests\n"
    nodes.clock.move(10)
    assert nodes.run(burst(4)) == [200] * 3 + [429]


class Holding(NoFaults):
    """Keep every request until it is let go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def before(self, node_name: str, method: str, params: Mapping[str, Any]) -> RpcResult | None:
        self.reached.set()
        await self.go_on.wait()
        return None


def test_a_busy_node_turns_requests_away(make_nodes: Any) -> None:
    gate = Holding()
    nodes = make_nodes(1, settings=StorageSettings(max_jobs=1), fault_gate=gate)
    body = b'{"method": "info", "params": {}}'

    async def scenario() -> None:
        first = asyncio.create_task(nodes.request("POST", RPC, body))
        await asyncio.wait_for(gate.reached.wait(), 10)
        for path in (RPC, "/onion_req/v2"):
            refused = await nodes.request("POST", path, body)
            assert (refused.status, refused.body) == (503, "Server busy, try again later")
        gate.go_on.set()
        assert (await first).status == 200
        assert (await nodes.request("POST", RPC, body)).status == 200

    nodes.run(scenario())


class Closing(NoFaults):
    async def connection(self, node_name: str, path: str) -> bool:
        return path != RPC


def test_a_fault_closes_the_connection(make_nodes: Any) -> None:
    nodes = make_nodes(1, fault_gate=Closing())
    with pytest.raises(aiohttp.ClientConnectionError):
        nodes.ask("info", {})
    assert nodes.run(nodes.request("GET", "/get_stats/v1")).status == 200


class Striking(NoFaults):
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Mapping[str, Any]]] = []

    async def before(self, node_name: str, method: str, params: Mapping[str, Any]) -> RpcResult | None:
        self.seen.append((node_name, method, params))
        return RpcResult(401, "struck") if method == "store" else None

    async def after(
        self, node_name: str, method: str, params: Mapping[str, Any], result: RpcResult
    ) -> RpcResult:
        return RpcResult(result.status, {**result.body, "changed": True}) if method == "info" else result


def test_faults_strike_before_and_after_methods_also_in_batches(make_nodes: Any, alice: Account) -> None:
    gate = Striking()
    nodes = make_nodes(1, fault_gate=gate)
    assert nodes.ask("info", {}).body["changed"] is True
    assert nodes.store(alice.account_id, "AAAA").body == "struck"
    store = {"pubkey": alice.account_id, "timestamp": nodes.now, "ttl": 60_000, "data": "AAAA"}
    requests = [{"method": "info", "params": {}}, {"method": "store", "params": store}]
    results = nodes.ask("batch", {"requests": requests}).body["results"]
    assert results[0]["body"]["changed"] is True
    assert results[1] == {"code": 401, "body": "struck"}
    assert [method for _, method, _ in gate.seen] == ["info", "store", "batch", "info", "store"]
    assert gate.seen[4] == ("node-01", "store", store)
    assert nodes.nodes[0].message_count() == 0


def test_trace_of_a_request(nodes: Nodes, alice: Account) -> None:
    nodes.store(alice.account_id, "AAAA", namespace=40)
    events = nodes.trace.events(kind="rpc")
    assert [
        {name: event[name] for name in ("node", "method", "namespace", "account", "status", "via", "batch")}
        for event in events
    ] == [
        {
            "node": "node-01",
            "method": "store",
            "namespace": 40,
            "account": alice.account_id,
            "status": 200,
            "via": "direct",
            "batch": False,
        }
    ]
    peers = nodes.trace.events(kind="peer")
    assert {(event["target"], event["outcome"]) for event in peers} == {(key, 200) for key in nodes.keys[1:]}
