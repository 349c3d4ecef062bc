"""What is no HTTP, half a request or another's signature does not harm; hostile texts stay what they are."""

import http.client
import json
import os
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from session_protocol import onion
from session_testnet.clock import Clock
from session_testnet.services import exchange
from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.files import FileServer
from session_testnet.topology import RoomSpec
from session_testnet.topology_file_server import FilesSpec
from session_testnet.trace import Trace

SEED = bytes(range(32))
DEADLINE_S = 10
SIGNATURE = "A" * 86
TEXTS = [
    "'; DROP TABLE posts; --",
    "' OR '1'='1",
    "x'), (1, 2, 3); --",
    "<script>alert(1)</script>",
    "\"><img src=x onerror='hit()'>",
    "{{7*7}}{% raw %}&lt;",
    "%s %00 %27 \\' \\\\",
    "../../etc/passwd",
    "🍍 \u202e é",
]

Serve = Callable[..., Any]
NewSigner = Callable[..., Any]


@pytest.fixture
def community(clock: Clock, trace: Trace) -> CommunityServer:
    return CommunityServer(
        SEED, clock=clock, trace=trace, rooms=(RoomSpec("lobby"),), require_blinding=False, rate_limit=False
    )


@pytest.fixture(params=["community", "files"])
def served(
    request: pytest.FixtureRequest, serve: Serve, clock: Clock, trace: Trace, community: CommunityServer
) -> Any:
    if request.param == "community":
        return serve(community)
    community.close()
    return serve(FileServer(SEED, clock=clock, trace=trace, spec=FilesSpec(max_size=2000)))


def connect(served: Any) -> Any:
    return closing(socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE_S))


def status_of(connection: socket.socket) -> int:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def still_answers(served: Any) -> bool:
    return served.request("GET", "/nowhere/at/all").status == 404


HEAD = b"POST /file HTTP/1.1\r\nHost: x\r\n"
BROKEN = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"\r\n\r\n\x00\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / and more HTTP/1.1\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Length: 1e3\r\n\r\n",
    HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 99999999999\r\n\r\n",
    HEAD + b"Content-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc",
    HEAD + b"Content-Length: 3\r\nExpect: the unexpected\r\n\r\nabc",
]


@pytest.mark.parametrize("raw", BROKEN, ids=range(len(BROKEN)))
def test_broken_http_is_the_clients_fault(served: Any, trace: Trace, raw: bytes) -> None:
    with connect(served) as connection:
        connection.sendall(raw)
        assert status_of(connection) in (400, 401, 404, 413, 417)
    assert still_answers(served)
    assert not [event for event in trace.events() if event["kind"].endswith("_error")]


@pytest.mark.parametrize("length", [1, 20, len(HEAD), len(HEAD) + 22, len(HEAD) + 25])
def test_half_a_request_is_forgotten(served: Any, trace: Trace, length: int) -> None:
    whole = HEAD + b"Content-Length: 100\r\n\r\n" + bytes(100)
    for _ in range(5):
        with connect(served) as connection:
            connection.sendall(whole[:length])
    assert still_answers(served)
    assert trace.events(kind="file_stored") == []


def test_a_body_that_drips_is_waited_for_and_holds_nobody_up(served: Any) -> None:
    drops = [bytes([byte]) for byte in HEAD + b"Content-Length: 5\r\n\r\nabcde"]
    with connect(served) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, drop in enumerate(drops):
            connection.sendall(drop)
            if number % 20 == 0:
                assert still_answers(served)
        # The community server has no such route.
        assert status_of(connection) in (200, 404)


def test_a_body_that_stops_is_given_up(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BODY_IDLE_S", 0.05)
    with connect(served) as connection:
        connection.sendall(HEAD + b"Content-Length: 5\r\n\r\nab")
        assert status_of(connection) == 408
    assert still_answers(served)


class TestSignatures:
    @pytest.mark.parametrize("way", ["direct", "onion", "v3"])
    def test_a_request_counts_once_and_for_nothing_else(
        self, community: CommunityServer, serve: Serve, signer: NewSigner, way: str
    ) -> None:
        served, alice = serve(community), signer("alice", community)
        target, body = "/room/lobby/message", b'{"data":"YQ==","signature":"' + SIGNATURE.encode() + b'"}'

        def send(method: str, target: str, headers: dict[str, str], body: bytes) -> int:
            headers = headers | {"Content-Type": "application/json"}
            if way == "direct":
                return int(served.request(method, target, headers, body).status)
            if way == "onion":
                return int(served.onion(method, target, headers, body).status)
            answer = served.onion_v3(onion.encode_v3_request(method, target, headers, body.decode()))
            return int(json.loads(answer).get("status_code", 201))

        signed = alice.headers("POST", target, body)
        # Stolen before it was used: for another path, method, body or time, or by another key.
        mallory = signer("mallory", community).headers("POST", target, body)
        stolen = [
            ("POST", "/room/lobby/file", signed, body),
            ("POST", f"{target}?x", signed, body),
            ("PUT", f"{target}/1", signed, body),
            ("POST", target, signed, body + b" "),
            ("POST", target, signed | {"X-SOGS-Timestamp": str(int(signed["X-SOGS-Timestamp"]) + 1)}, body),
            ("POST", target, signed | {"X-SOGS-Nonce": mallory["X-SOGS-Nonce"]}, body),
            ("POST", target, mallory | {"X-SOGS-Pubkey": signed["X-SOGS-Pubkey"]}, body),
            ("POST", target, signed | {"X-SOGS-Signature": os.urandom(64).hex()}, body),
        ]
        assert [send(*each) for each in stolen] == [401] * len(stolen)
        # None of them used the nonce up, and none left a user behind.
        assert community._stores.users.count() == 0
        assert send("POST", target, signed, body) == 201
        assert [send("POST", target, signed, body) for _ in range(3)] == [425] * 3
        assert [send(*each) for each in stolen[:4]] == [425] * 4
        posts = alice.ask(community, "GET", "/room/lobby/messages/recent").json()
        assert [post["data"] for post in posts] == ["YQ=="]

    def test_a_signature_for_another_server_is_worth_nothing(
        self, community: CommunityServer, serve: Serve, signer: NewSigner, clock: Clock, trace: Trace
    ) -> None:
        served = serve(community)
        other = serve(CommunityServer(bytes(32), clock=clock, trace=trace, require_blinding=False))
        headers = signer("alice", community).headers("GET", "/rooms")
        assert other.request("GET", "/rooms", headers).status == 401
        assert served.request("GET", "/rooms", headers).status == 200


@pytest.mark.parametrize("text", TEXTS)
def test_sql_and_markup_are_texts_like_any_other(
    community: CommunityServer, serve: Serve, signer: NewSigner, text: str
) -> None:
    served = serve(community)
    admin = signer("admin", community)
    community.give_role(Role(admin.account.account_id, admin=True))
    assert admin.ask(community, "PUT", "/room/lobby", {"name": text, "description": text}).status == 200
    posted = admin.ask(community, "POST", "/room/lobby/message", {"data": "YQ==", "signature": SIGNATURE})
    assert posted.json()["id"] == 1
    emoji = text[:12]
    reaction = f"/room/lobby/reaction/1/{quote(emoji, safe='')}"
    assert admin.ask(community, "PUT", reaction).json()["added"]
    target = "/room/lobby/file"
    headers = admin.headers("POST", target, b"body") | {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(text, safe='')}"
    }
    assert served.request("POST", target, headers, b"body").json() == {"id": 1}

    room = served.request("GET", "/room/lobby").json()
    assert (room["name"], room["description"]) == (text, text)
    assert list(served.request("GET", "/room/lobby/message/1").json()["reactions"]) == [emoji]
    file = served.request("GET", f"{target}/1/{quote(text, safe='')}")
    name = quote(text.replace("/", "\ufffd"), safe="")
    assert (file.body, file.headers["content-disposition"]) == (
        b"body",
        f"attachment; filename*=UTF-8''{name}",
    )
    for query in ("limit", "reactors", "t", "before"):
        answer = served.request("GET", f"/room/lobby/messages/recent?{query}={quote(text, safe='')}")
        assert answer.status == (400 if query in ("limit", "reactors") else 200)
    page = served.request("GET", "/r/lobby/", {"Host": "127.0.0.1"})
    assert page.status == 200
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
