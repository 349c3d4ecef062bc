"""Onion and direct transport: what is sent, what is read, and who is blamed for failures."""

import asyncio
import base64
import json
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import pytest

from session_protocol import onion
from session_protocol.onion import FinalDestination, RelayToNode, RelayToServer
from session_protocol.service_nodes import NodeIdentity
from session_testnet.client.bootstrap import ServiceNode
from session_testnet.client.errors import (
    BadReply,
    ClientError,
    ConnectionLost,
    DeadlineExceeded,
    DestinationUnreachable,
    PathFailed,
    TooLarge,
    Unreachable,
)
from session_testnet.client.http_client import HttpClient, HttpReply
from session_testnet.client.paths import PathBook
from session_testnet.client.transport import DirectTransport, OnionTransport

IDENTITIES = [NodeIdentity.from_seed(bytes([number + 1]) * 32) for number in range(10)]
NODES = [
    ServiceNode(identity.ed25519_pk.hex(), identity.x25519_pk.hex(), f"127.0.{number + 1}.1", 22021)
    for number, identity in enumerate(IDENTITIES)
]
BY_KEY = {identity.ed25519_pk: identity for identity in IDENTITIES}
BY_URL = {node.base_url: identity for node, identity in zip(NODES, IDENTITIES, strict=True)}
DESTINATION = NODES[9]

T = TypeVar("T")
Answer = Callable[[str, bytes], HttpReply]


class ScriptedHttp(HttpClient):
    """Answers posts from a function of URL and body; keeps the URLs."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.urls: list[str] = []

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        timeout_s: float,
        waiting_for: str,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        self.urls.append(url)
        return self.answer(url, body)


def walk(url: str, body: bytes) -> tuple[list[NodeIdentity], onion.Peeled]:
    """Peel a request at every hop from the guard on."""
    identity = BY_URL[url.removesuffix("/onion_req/v2")]
    outer = onion.parse_outer(body)
    blob, key, enc_type = outer.blob, outer.ephemeral_key, outer.enc_type
    hops = [identity]
    while True:
        peeled = onion.peel(identity.x25519_sk, identity.x25519_pk, blob, key, enc_type)
        if not isinstance(peeled.layer, RelayToNode):
            return hops, peeled
        identity = BY_KEY[peeled.layer.next_ed25519]
        hops.append(identity)
        blob, key, enc_type = peeled.layer.blob, peeled.layer.ephemeral_key, peeled.layer.enc_type


def plain(status: int, text: str) -> HttpReply:
    return HttpReply(status, text.encode(), {})


def served(status: int, body: object) -> Answer:
    """The destination answers, sealed, in base64."""

    def answer(url: str, body_: bytes) -> HttpReply:
        _, last = walk(url, body_)
        assert isinstance(last.layer, FinalDestination)
        sealed = onion.seal_reply(last.reply_key, onion.node_reply_plaintext(status, body, embed_json=False))
        return HttpReply(200, base64.b64encode(sealed), {})

    return answer


def transport(answer: Answer) -> tuple[OnionTransport, ScriptedHttp, PathBook]:
    http = ScriptedHttp(answer)
    paths = PathBook(random.Random(3))
    paths.learn(NODES)
    return OnionTransport(http, paths), http, paths


REQUEST = b'{"method":"info","params":{}}'


async def ask(carrier: OnionTransport) -> tuple[int, object]:
    reply = await carrier.node_request(DESTINATION, REQUEST, timeout_s=5, what="info")
    return reply.status, reply.body


def fails(carrier: OnionTransport) -> ClientError:
    with pytest.raises(ClientError) as caught:
        run(ask(carrier))
    return caught.value


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


class TestOnionRequests:
    def test_travels_over_three_relays_to_the_destination(self) -> None:
        seen: dict[str, Any] = {}

        def answer(url: str, body: bytes) -> HttpReply:
            hops, last = walk(url, body)
            assert isinstance(last.layer, FinalDestination)
            seen["hops"], seen["body"] = hops, last.layer.body
            return served(200, {"t": 5})(url, body)

        carrier, _, _ = transport(answer)
        assert run(ask(carrier)) == (200, {"t": 5})
        assert len(seen["hops"]) == 4
        assert seen["hops"][-1].ed25519_pk.hex() == DESTINATION.ed25519_pk
        assert seen["body"] == REQUEST

    @pytest.mark.parametrize("status", [401, 406, 421, 500])
    def test_gives_the_status_of_the_node_itself(self, status: int) -> None:
        carrier, _, paths = transport(served(status, "said by the node"))
        assert run(ask(carrier)) == (status, "said by the node")
        assert len(paths.nodes) == len(NODES), "an answer of the destination blames nobody"

    def test_reads_raw_answers_as_well(self) -> None:
        def answer(url: str, body: bytes) -> HttpReply:
            return HttpReply(200, base64.b64decode(served(200, {"a": 1})(url, body).body), {})

        assert run(ask(transport(answer)[0])) == (200, {"a": 1})


class TestBlame:
    def test_a_dead_guard_is_dropped_and_another_path_taken(self) -> None:
        dead: set[str] = set()

        def answer(url: str, body: bytes) -> HttpReply:
            if not dead:
                dead.add(url)
                raise Unreachable("refused")
            return served(200, {})(url, body)

        carrier, http, paths = transport(answer)
        assert run(ask(carrier))[0] == 200
        assert len(http.urls) == 2
        gone = BY_URL[http.urls[0].removesuffix("/onion_req/v2")]
        assert gone.ed25519_pk.hex() not in {node.ed25519_pk for node in paths.nodes}

    def test_a_named_relay_is_dropped_at_once(self) -> None:
        named: list[str] = []

        def answer(url: str, body: bytes) -> HttpReply:
            hops, _ = walk(url, body)
            if not named:
                named.append(hops[1].ed25519_pk.hex())
                return plain(502, f"Next node not found: {named[0]}")
            assert named[0] not in [hop.ed25519_pk.hex() for hop in hops]
            return served(200, {})(url, body)

        carrier, _, paths = transport(answer)
        assert run(ask(carrier))[0] == 200
        assert named[0] not in {node.ed25519_pk for node in paths.nodes}

    def test_an_unreachable_relay_gets_a_strike_only(self) -> None:
        named: list[str] = []

        def answer(url: str, body: bytes) -> HttpReply:
            hops, _ = walk(url, body)
            if not named:
                named.append(hops[2].ed25519_pk.hex())
                return plain(502, f"Next node is currently unreachable: {named[0]}")
            return served(200, {})(url, body)

        carrier, _, paths = transport(answer)
        assert run(ask(carrier))[0] == 200
        assert named[0] in {node.ed25519_pk for node in paths.nodes}

    @pytest.mark.parametrize("said", ["Next node not found", "Next node is currently unreachable"])
    def test_a_named_destination_is_said_to_be_unreachable(self, said: str) -> None:
        carrier, http, _ = transport(lambda url, body: plain(502, f"{said}: {DESTINATION.ed25519_pk}"))
        error = fails(carrier)
        assert isinstance(error, DestinationUnreachable)
        assert error.data["status"] == 502
        assert len(http.urls) == 1, "another path leads to the same node"

    def test_a_key_followed_by_more_text_names_nobody(self) -> None:
        carrier, _, paths = transport(
            lambda url, body: plain(502, f"Next node not found: {DESTINATION.ed25519_pk}\n")
        )
        assert isinstance(fails(carrier), PathFailed)
        assert DESTINATION in paths.nodes

    @pytest.mark.parametrize(
        ("status", "text"),
        [(504, "Request time out"), (500, "Invalid response from snode"), (400, "Invalid ciphertext")],
    )
    def test_an_unclear_failure_strikes_the_path_and_is_reported(self, status: int, text: str) -> None:
        carrier, http, paths = transport(lambda url, body: plain(status, text))
        error = fails(carrier)
        assert isinstance(error, PathFailed)
        assert error.data["status"] == status
        assert text in error.message
        assert len(http.urls) == 1
        for _ in range(5):
            fails(carrier)
        assert len(paths.nodes) < len(NODES), "three strikes end a path"

    def test_a_guard_that_is_not_ready_is_passed_over(self) -> None:
        first: list[str] = []

        def answer(url: str, body: bytes) -> HttpReply:
            if not first or url == first[0]:
                first.append(url)
                return plain(503, "Service node is not ready: not done syncing\n")
            return served(200, {})(url, body)

        assert run(ask(transport(answer)[0]))[0] == 200

    def test_a_request_that_is_too_large_is_nobodys_fault(self) -> None:
        carrier, _, paths = transport(lambda url, body: plain(413, "Request body too large"))
        assert isinstance(fails(carrier), TooLarge)
        assert len(paths.nodes) == len(NODES)

    def test_an_answer_sealed_by_a_relay_is_a_path_failure(self) -> None:
        def answer(url: str, body: bytes) -> HttpReply:
            guard = BY_URL[url.removesuffix("/onion_req/v2")]
            outer = onion.parse_outer(body)
            peeled = onion.peel(
                guard.x25519_sk, guard.x25519_pk, outer.blob, outer.ephemeral_key, outer.enc_type
            )
            text = onion.node_reply_plaintext(400, "Invalid json", embed_json=False)
            return HttpReply(200, base64.b64encode(onion.seal_reply(peeled.reply_key, text)), {})

        assert isinstance(fails(transport(answer)[0]), PathFailed)

    @pytest.mark.parametrize("garbage", [b"", b"not base64!", b"AAAA", bytes(300)])
    def test_an_answer_that_cannot_be_opened_is_a_path_failure(self, garbage: bytes) -> None:
        assert isinstance(fails(transport(lambda url, body: HttpReply(200, garbage, {}))[0]), PathFailed)

    @pytest.mark.parametrize("kind", [ConnectionLost, DeadlineExceeded])
    def test_a_broken_connection_is_reported_and_counts(self, kind: type[ClientError]) -> None:
        def answer(url: str, body: bytes) -> HttpReply:
            raise kind("broken")

        carrier, _, paths = transport(answer)
        for _ in range(6):
            assert isinstance(fails(carrier), kind)
        assert len(paths.nodes) < len(NODES)


class TestServers:
    def test_a_server_gets_the_payload_alone(self) -> None:
        server = NodeIdentity.from_seed(b"s" * 32)

        def answer(url: str, body: bytes) -> HttpReply:
            _, last = walk(url, body)
            assert isinstance(last.layer, RelayToServer)
            assert (last.layer.host, last.layer.port, last.layer.protocol) == ("files.example", 80, "http")
            payload, key = onion.open_server_request(server.x25519_sk, server.x25519_pk, last.layer.payload)
            return HttpReply(200, onion.seal_reply(key, payload[::-1]), {})

        carrier, _, _ = transport(answer)
        destination = onion.ServerDestination(
            host="files.example", x25519_pk=server.x25519_pk, protocol="http", port=80
        )
        opened = run(carrier.server_request(destination, b"payload", timeout_s=5, what="a file"))
        assert opened == b"daolyap"


class TestDirectRequests:
    def test_posts_the_request_to_the_node(self) -> None:
        def answer(url: str, body: bytes) -> HttpReply:
            assert url == f"{DESTINATION.base_url}/storage_rpc/v1"
            assert json.loads(body)["method"] == "info"
            return plain(200, '{"t":1}')

        carrier = DirectTransport(ScriptedHttp(answer))
        reply = run(carrier.node_request(DESTINATION, REQUEST, timeout_s=5, what="info"))
        assert (reply.status, reply.body) == (200, {"t": 1})

    def test_keeps_the_text_of_an_error(self) -> None:
        carrier = DirectTransport(ScriptedHttp(lambda url, body: plain(401, "retrieve signature …")))
        reply = run(carrier.node_request(DESTINATION, REQUEST, timeout_s=5, what="info"))
        assert (reply.status, reply.body) == (401, "retrieve signature …")

    def test_broken_json_is_a_bad_reply(self) -> None:
        carrier = DirectTransport(ScriptedHttp(lambda url, body: plain(200, '{"t":')))
        with pytest.raises(BadReply, match="broken JSON"):
            run(carrier.node_request(DESTINATION, REQUEST, timeout_s=5, what="info"))
