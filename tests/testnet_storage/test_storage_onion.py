"""Onion requests through real nodes: to a destination, to a server, and everything that can fail."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

import nacl.bindings
import orjson
import pytest
from aiohttp import web

from session_protocol import onion
from session_protocol.accounts import Account
from session_protocol.service_nodes import NodeIdentity
from session_protocol.swarms import UNASSIGNED
from session_testnet.endpoints import Endpoint
from session_testnet.knobs import NodeKnobs
from session_testnet.peers import PeerReply
from session_testnet.services.registry import NetworkSnapshot
from session_testnet.services.storage import ExitMap, StorageSettings

Nodes = Any
SERVER = NodeIdentity.from_seed(b"\x77" * 32)
TYPES = list(onion.EncryptionType)


def hop(nodes: Nodes, index: int) -> onion.Hop:
    identity = nodes.identities[index]
    return onion.Hop(identity.ed25519_pk, identity.x25519_pk)


def destination(nodes: Nodes, index: int) -> onion.NodeDestination:
    identity = nodes.identities[index]
    return onion.NodeDestination(identity.ed25519_pk, identity.x25519_pk)


def build(nodes: Nodes, path: list[int], target: Any, payload: Any, **options: Any) -> onion.BuiltOnion:
    data = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return onion.build([hop(nodes, index) for index in path], target, data, **options)


def send(nodes: Nodes, built: onion.BuiltOnion, *, guard: int = 0) -> Any:
    return nodes.post("/onion_req/v2", built.body, node=guard)


def opened(answer: Any, key: onion.ReplyKey) -> onion.NodeReply:
    assert answer.status == 200, answer
    return onion.open_node_reply(key, answer.body.encode())


@pytest.mark.parametrize("enc_type", TYPES)
@pytest.mark.parametrize("relays", [0, 1, 3])
def test_to_a_node(make_nodes: Any, alice: Account, enc_type: Any, relays: int) -> None:
    nodes = make_nodes(4)
    store = {"pubkey": alice.account_id, "timestamp": nodes.now, "ttl": 60_000, "data": "AAAA"}
    request = {"method": "batch", "params": {"requests": [{"method": "store", "params": store}]}}
    path = list(range(relays))
    built = build(nodes, path, destination(nodes, 3), request, enc_type=enc_type)
    reply = opened(send(nodes, built, guard=0 if relays else 3), built.reply_key)
    assert reply.status == 200
    assert reply.body["results"][0]["code"] == 200
    assert len(nodes.retrieve(alice, node=2).body["messages"]) == 1


def test_what_each_hop_sees(make_nodes: Any) -> None:
    nodes = make_nodes(4)
    built = build(nodes, [0, 1, 2], destination(nodes, 3), {"method": "info", "params": {}})
    send(nodes, built)
    events = nodes.trace.events()
    relays = [event for event in events if event["kind"] == "onion_relay"]
    assert [(e["node"], e["hop_no"], e["next"]) for e in relays] == [
        ("node-01", 0, nodes.keys[1]),
        ("node-02", 1, nodes.keys[2]),
        ("node-03", 2, nodes.keys[3]),
    ]
    (final,) = (event for event in events if event["kind"] == "onion_final")
    assert (final["node"], final["hop_no"]) == ("node-04", 3)
    (rpc,) = (event for event in events if event["kind"] == "rpc")
    assert (rpc["node"], rpc["via"], rpc["method"]) == ("node-04", "onion", "info")


def test_forms_of_the_reply(make_nodes: Any) -> None:
    nodes = make_nodes(2)
    request = {"method": "info", "params": {}}

    def raw(control: dict[str, Any]) -> bytes:
        built = build(nodes, [0], destination(nodes, 1), request, control={"headers": {}, **control})

        async def fetch() -> bytes:
            url = f"{nodes.urls[0]}/onion_req/v2"
            async with nodes.session.post(url, data=built.body) as response:
                assert response.headers["Content-Type"] == "text/plain"
                return await response.read()

        data = nodes.run(fetch())
        if control.get("base64", True):
            data = base64.b64decode(data, validate=True)
        return onion.open_reply(built.reply_key, data)

    text = raw({})
    assert text.startswith(b'{"body":"{\\"hf\\":[21,2],')
    assert text.endswith(b'","status":200}')
    embedded = raw({"json": True})
    assert embedded.startswith(b'{"body":{"hf":[21,2],')
    assert orjson.loads(raw({"base64": False}))["status"] == 200


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"{", 400, "invalid json"),
        (b"{}", 400, "invalid json: no `method` field"),
        (b'{"method":"info"}', 400, "invalid json: no `params` field"),
        (b'{"method":"what","params":{}}', 400, "no method what"),
        (b'{"method":"store","params":{}}', 400, "invalid request: Required field 'timestamp' missing"),
    ],
)
def test_errors_of_the_destination_are_wrapped(make_nodes: Any, body: bytes, status: int, text: str) -> None:
    nodes = make_nodes(2)
    built = build(nodes, [0], destination(nodes, 1), body)
    reply = opened(send(nodes, built), built.reply_key)
    assert (reply.status, reply.body) == (status, text)


def test_wrong_swarm_and_binary_results_are_wrapped(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(swarms=[0, 2**63])
    store = {"pubkey": alice.account_id, "timestamp": nodes.now, "ttl": 60_000, "data": "AAAA"}
    built = build(nodes, [0], destination(nodes, 1), {"method": "store", "params": store})
    reply = opened(send(nodes, built), built.reply_key)
    assert (reply.status, reply.body["swarm"]) == (421, "0")
    built = build(nodes, [0], destination(nodes, 1), {"method": "active_nodes_bin", "params": {}})
    reply = opened(send(nodes, built), built.reply_key)
    assert len(base64.b64decode(reply.body)) == 102


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Unexpected payload size; expected ciphertext size"),
        (b"\x05\x00\x00\x00abc", "Unexpected payload size 3, expected >= 5"),
        (b"\x00\x00\x00\x00{}", "ephemeral_key is missing or not a string"),
    ],
)
def test_a_bad_outer_frame(nodes: Nodes, body: bytes, text: str) -> None:
    answer = nodes.post("/onion_req/v2", body)
    assert (answer.status, answer.body) == (400, f"Error parsing onion request: {text}")


@pytest.mark.parametrize("enc_type", ["nonsense", "aes-cbc"])
def test_an_unknown_encryption_at_the_guard(nodes: Nodes, enc_type: str) -> None:
    body = onion.frame(bytes(60), {"ephemeral_key": "ab" * 32, "enc_type": enc_type})
    answer = nodes.post("/onion_req/v2", body)
    assert answer.status == 400
    assert answer.body.startswith("Error parsing onion request: ")


def test_a_ciphertext_for_somebody_else(nodes: Nodes) -> None:
    built = build(nodes, [1], destination(nodes, 2), {"method": "info", "params": {}})
    answer = send(nodes, built, guard=0)
    assert (answer.status, answer.body) == (400, "Invalid ciphertext")


def sealed_for(nodes: Nodes, index: int, plaintext: bytes, **outer: Any) -> tuple[bytes, onion.ReplyKey]:
    """Encrypt any plaintext as the only layer, for one node."""
    secret = bytes(range(1, 33))
    public = nacl.bindings.crypto_scalarmult_base(secret)
    key = onion.client_key(onion.EncryptionType.AES_GCM, secret, public, nodes.identities[index].x25519_pk)
    blob = onion.encrypt(key, plaintext, bytes(12))
    return onion.frame(blob, {"ephemeral_key": public.hex(), **outer}), key


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        onion.frame(b"x", b"not json"),
        onion.frame(b"x", {"headers": {}, "json": "yes"}),
        onion.frame(b"x", {"host": "h"}),
        onion.frame(b"x", {"host": "h", "target": "/oxen/v4/lsrpc", "port": 65_536}),
        onion.frame(b"x", {"destination": "ab" * 32}),
        onion.frame(b"x", {"destination": "ab", "ephemeral_key": "ab" * 32}),
    ],
)
def test_a_layer_that_says_nothing_is_answered_wrapped_by_that_hop(nodes: Nodes, plaintext: bytes) -> None:
    body, key = sealed_for(nodes, 0, plaintext)
    reply = opened(nodes.post("/onion_req/v2", body), key)
    assert (reply.status, reply.body) == (400, "Invalid json")


def test_the_next_node(make_nodes: Any) -> None:
    nodes = make_nodes(3, settings=StorageSettings(relay_timeout_s=0.05))
    stranger = NodeIdentity.from_seed(b"\x55" * 32)
    unknown = onion.NodeDestination(stranger.ed25519_pk, stranger.x25519_pk)
    answer = send(nodes, build(nodes, [0], unknown, {}))
    assert (answer.status, answer.body) == (502, f"Next node not found: {stranger.ed25519_pk.hex()}")

    built = build(nodes, [0, 1], destination(nodes, 2), {"method": "info", "params": {}})
    nodes.peers.unregister(nodes.keys[1])
    answer = send(nodes, built)
    assert (answer.status, answer.body) == (504, "Request time out")

    async def hang(command: str, payload: Any, sender: str) -> PeerReply:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    nodes.peers.register(nodes.keys[1], hang)
    assert send(nodes, built).body == "Request time out"

    async def odd(command: str, payload: Any, sender: str) -> PeerReply:
        return PeerReply(200, {})

    nodes.peers.register(nodes.keys[1], odd)
    answer = send(nodes, built)
    assert (answer.status, answer.body) == (500, "Invalid response from snode")

    async def teapot(command: str, payload: Any, sender: str) -> PeerReply:
        return PeerReply(418, b"short and stout")

    nodes.peers.register(nodes.keys[1], teapot)
    answer = send(nodes, built)
    assert (answer.status, answer.body) == (500, "short and stout")


def test_a_known_node_without_address(make_nodes: Any) -> None:
    nodes = make_nodes(2)
    nodes.nodes[0].update_network(nodes.network([7, 7], lost=1))
    answer = send(nodes, build(nodes, [0], destination(nodes, 1), {}))
    assert (answer.status, answer.body) == (502, f"Next node is currently unreachable: {nodes.keys[1]}")
    snodes = nodes.ask("get_swarm", {"pubkey": "05" + "ab" * 32}).body["snodes"]
    assert [snode["pubkey_ed25519"] for snode in snodes] == [nodes.keys[0]]


def test_a_relay_that_is_not_ready(make_nodes: Any) -> None:
    nodes = make_nodes(3)
    nodes.run(nodes.nodes[1].aclose())
    answer = send(nodes, build(nodes, [0, 1], destination(nodes, 2), {"method": "info", "params": {}}))
    assert (answer.status, answer.body) == (503, f"Snode not ready: {nodes.keys[1]}")


def test_the_hop_limit(make_nodes: Any) -> None:
    nodes = make_nodes(2)
    longest = build(nodes, [0, 1] * 7 + [0], destination(nodes, 1), {"method": "info", "params": {}})
    assert opened(send(nodes, longest), longest.reply_key).status == 200
    for start, fine in ((14, True), (15, False), (16, False), (-9, True)):
        built = build(nodes, [0], destination(nodes, 1), {"method": "info", "params": {}})
        blob, outer = onion.parse_frame(built.body)
        answer = nodes.post("/onion_req/v2", onion.frame(blob, {**outer, "hop_no": start}))
        if fine:
            assert opened(answer, built.reply_key).status == 200
        else:
            assert (answer.status, answer.body) == (400, "onion request max path length exceeded")


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "Invalid internal onion request: "),
        (b"de", "Invalid internal onion request: required data payload not found"),
        (b"d4:data1:xe", "Invalid internal onion request: ephemeral key not found"),
        ({}, "Invalid internal onion request: expected 1 part"),
    ],
)
def test_a_bad_message_between_nodes(nodes: Nodes, payload: Any, text: str) -> None:
    reply = nodes.run(nodes.nodes[0].handle_peer("onion_request", payload))
    assert reply.status == 400
    assert reply.body.decode().startswith(text)


def test_a_bencoded_message_between_nodes(nodes: Nodes) -> None:
    built = build(nodes, [], destination(nodes, 0), {"method": "info", "params": {}})
    outer = onion.parse_outer(built.body)
    message = onion.HopMessage(outer.blob, outer.ephemeral_key, outer.enc_type, 3)
    reply = nodes.run(nodes.nodes[0].handle_peer("onion_request", onion.encode_hop_message(message)))
    assert onion.open_node_reply(built.reply_key, reply.body).body["version"] == [2, 11, 3]


class Server:
    """A server outside the network, that answers v4 requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.status = 200
        self.hang = False

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, dict(request.headers)))
        if self.hang:
            await asyncio.Event().wait()
        if self.status != 200:
            return web.Response(status=self.status, text="the server's own error", headers={"Location": "/"})
        payload, key = onion.open_server_request(SERVER.x25519_sk, SERVER.x25519_pk, await request.read())
        inner = onion.decode_v4_request(payload)
        body = inner.endpoint.encode() + b" \xff " + (inner.body or b"")
        sealed = onion.seal_reply(key, onion.encode_v4_response(200, {"content-type": "x"}, body))
        return web.Response(body=sealed)


@pytest.fixture
def server(runner: asyncio.Runner) -> Any:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    app_runner = web.AppRunner(app, shutdown_timeout=0.05)

    async def start() -> int:
        await app_runner.setup()
        await web.TCPSite(app_runner, "127.0.0.1", 0).start()
        return int(app_runner.addresses[0][1])

    yield made, runner.run(start())
    runner.run(app_runner.cleanup())


def to_server(host: str, port: int, **more: Any) -> onion.ServerDestination:
    return onion.ServerDestination(host=host, x25519_pk=SERVER.x25519_pk, port=port, protocol="http", **more)


@pytest.mark.parametrize("enc_type", TYPES)
@pytest.mark.parametrize("relays", [1, 3])
def test_to_a_server(make_nodes: Any, server: Any, enc_type: Any, relays: int) -> None:
    outside, port = server
    exits = ExitMap({("http", "FileV2.getsession.org", 80): f"http://127.0.0.1:{port}/"})
    nodes = make_nodes(3, exits=exits)
    payload = onion.encode_v4_request("POST", "/file?x=1", {"Content-Type": "x"}, b"\x00body")
    target = to_server("filev2.getsession.org", 80)
    built = build(nodes, list(range(relays)), target, payload, enc_type=enc_type)

    async def fetch() -> bytes:
        async with nodes.session.post(f"{nodes.urls[0]}/onion_req/v2", data=built.body) as response:
            assert response.status == 200
            return await response.read()

    reply = onion.decode_v4_response(onion.open_reply(built.reply_key, nodes.run(fetch())))
    assert reply.body == b"/file?x=1 \xff \x00body"
    ((path, headers),) = outside.requests
    assert path == "/oxen/v4/lsrpc"
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["User-Agent"] == "Oxen Storage Server/2.11.3"
    (event,) = nodes.trace.events(kind="onion_exit")
    assert event["node"] == f"node-{relays:02}"
    assert (event["host"], event["target"]) == ("filev2.getsession.org", "/oxen/v4/lsrpc")


@pytest.mark.parametrize("status", [400, 302, 503])
def test_the_servers_own_status_passes(make_nodes: Any, server: Any, status: int) -> None:
    outside, port = server
    outside.status = status
    nodes = make_nodes(2, exits=ExitMap(own=[Endpoint("127.0.0.1", port)]))
    built = build(nodes, [0], to_server("127.0.0.1", port), b"le")
    answer = send(nodes, built)
    assert (answer.status, answer.body) == (status, "the server's own error")
    assert len(outside.requests) == 1, "redirects are not followed"


def test_a_server_that_does_not_answer(make_nodes: Any, server: Any, runner: asyncio.Runner) -> None:
    outside, port = server
    outside.hang = True
    nodes = make_nodes(
        1,
        exits=ExitMap({("http", "gone", 80): "http://127.0.0.1:1"}, own=[Endpoint("127.0.0.1", port)]),
        settings=StorageSettings(exit_timeout_s=0.1),
    )
    slow = send(nodes, build(nodes, [0], to_server("127.0.0.1", port), b"le"))
    assert slow.status == 504
    gone = send(nodes, build(nodes, [0], to_server("gone", 80), b"le"))
    assert gone.status == 502
    assert "cannot be reached" in gone.body


@pytest.mark.parametrize(
    ("host", "protocol", "port"),
    [("example.org", "https", 443), ("filev2.getsession.org", "https", 80), ("127.0.0.1", "http", 2)],
)
def test_nothing_leaves_the_local_network(make_nodes: Any, host: str, protocol: str, port: int) -> None:
    exits = ExitMap(
        {("http", "filev2.getsession.org", 80): "http://127.0.0.1:1"}, own=[Endpoint("127.0.0.1", 1)]
    )
    nodes = make_nodes(1, exits=exits)
    target = onion.ServerDestination(host=host, x25519_pk=SERVER.x25519_pk, port=port, protocol=protocol)
    answer = send(nodes, build(nodes, [0], target, b"le"))
    assert answer.status == 502
    assert f"{protocol}://{host}:{port}" in answer.body


@pytest.mark.parametrize("target", ["/file", "/oxen/v4/lsrpc?x", "/other/v4/lsrpc", "/oxen/v4"])
def test_targets_that_no_relay_posts_to(nodes: Nodes, target: str) -> None:
    plaintext = onion.frame(bytes(30), {"host": "h", "target": target, "ephemeral_key": "ab" * 32})
    body, key = sealed_for(nodes, 0, plaintext)
    reply = opened(nodes.post("/onion_req/v2", body), key)
    assert (reply.status, reply.body) == (400, "Invalid url")


def test_a_decommissioned_node_goes_on_relaying(make_nodes: Any) -> None:
    nodes = make_nodes(4)
    network = nodes.network([7, 7, 7, 7])
    out = replace(network.nodes[1], active=False, swarm_id=UNASSIGNED)
    changed = NetworkSnapshot.of(
        [out if node.name == out.name else node for node in network.nodes], height=1236, block_hash="ef" * 32
    )
    for node in nodes.nodes:
        node.update_network(changed)
    built = build(nodes, [0, 1, 2], destination(nodes, 3), {"method": "info", "params": {}})
    assert opened(send(nodes, built), built.reply_key).status == 200


def test_a_node_may_be_told_to_relay_to_itself(nodes: Nodes) -> None:
    built = build(nodes, [0, 0, 1, 1], destination(nodes, 1), {"method": "info", "params": {}})
    assert opened(send(nodes, built), built.reply_key).status == 200
    relays = nodes.trace.events(kind="onion_relay")
    assert [event["next"] for event in relays] == [nodes.keys[0], *[nodes.keys[1]] * 3]


def test_a_destination_that_is_not_ready(nodes: Nodes) -> None:
    """It says so before it opens anything: the answer is plain, and names the node."""
    nodes.nodes[2].set_knobs(NodeKnobs(not_ready=("not done syncing",)))
    built = build(nodes, [0, 1], destination(nodes, 2), {"method": "info", "params": {}})
    answer = send(nodes, built)
    assert (answer.status, answer.body) == (503, f"Snode not ready: {nodes.keys[2]}")
