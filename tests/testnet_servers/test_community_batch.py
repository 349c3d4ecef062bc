"""Batches and sequences (open-group-server §16)."""

import base64

import orjson
import pytest

from session_testnet.services.community import CommunityServer
from session_testnet.services.exchange import ServiceRequest
from session_testnet.topology import RoomSpec

SEED = bytes(range(32))
JSON = {"Content-Type": "application/json"}
CAPABILITIES = {
    "code": 200,
    "headers": {"content-type": "application/json"},
    "body": {"capabilities": ["reactions", "sogs"]},
}


@pytest.fixture
def server(clock, trace):
    return CommunityServer(
        SEED, clock=clock, trace=trace, rooms=(RoomSpec("lobby", "Lobby"),), require_blinding=False
    )


def run(server, elements, path="/batch", headers=JSON):
    body = elements if isinstance(elements, bytes) else orjson.dumps(elements)
    return server.handle(ServiceRequest.from_target("POST", path, headers, body))


def results(server, elements, path="/batch"):
    answer = run(server, elements, path)
    assert answer.status == 200, answer.body
    assert answer.headers == {"content-type": "application/json"}
    return orjson.loads(answer.body)


def get(path):
    return {"method": "GET", "path": path}


@pytest.mark.parametrize("path", ["/batch", "/sequence"])
def test_nothing_asked_is_nothing_answered(server, path):
    assert results(server, [], path) == []


def test_a_batch_runs_everything_in_order(server):
    answers = results(
        server, [get("/capabilities"), get("/nowhere"), get("/capabilities?required=x"), get("/rooms")]
    )
    assert [answer["code"] for answer in answers] == [200, 404, 412, 200]
    assert answers[0] == CAPABILITIES
    assert answers[1]["headers"] == {"content-type": "text/html; charset=utf-8"}
    assert b"404 Not Found" in base64.b64decode(answers[1]["body"])
    assert answers[2]["body"] == {"capabilities": ["reactions", "sogs"], "missing": ["x"]}
    assert answers[3]["body"][0]["token"] == "lobby"


def test_a_sequence_ends_with_the_first_failure(server):
    asked = [get("/capabilities"), get("/nowhere"), get("/rooms")]
    answers = results(server, asked, "/sequence")
    assert [answer["code"] for answer in answers] == [200, 404]
    assert len(results(server, asked[::2], "/sequence")) == 2


@pytest.mark.parametrize("code", [199, 304, 400, 500])
def test_only_a_status_in_the_two_hundreds_lets_a_sequence_go_on(code):
    from session_testnet.services.community.batch import run_batch
    from session_testnet.services.exchange import ServiceResponse

    request = ServiceRequest.from_target("POST", "/", JSON, orjson.dumps([get("/a"), get("/b")]))
    answer = run_batch(request, lambda _: ServiceResponse(code), stop_at_failure=True)
    assert orjson.loads(answer.body) == [{"code": code, "headers": {}, "body": ""}]
    answer = run_batch(request, lambda _: ServiceResponse(299), stop_at_failure=True)
    assert len(orjson.loads(answer.body)) == 2


MALFORMED = [
    b"",
    b"{}",
    b"[",
    b"null",
    [1],
    [{}],
    [{"path": "/rooms"}],
    [{"method": "GET"}],
    [{"method": "get", "path": "/rooms"}],
    [{"method": "PATCH", "path": "/rooms"}],
    [{"method": ["GET"], "path": "/rooms"}],
    [{"method": "GET", "path": "rooms"}],
    [{"method": "GET", "path": 1}],
    [{"method": "GET", "path": "/rooms", "headers": []}],
    [{"method": "GET", "path": "/rooms", "headers": {"a": 1}}],
    [{"method": "GET", "path": "/rooms", "json": None}],
    [{"method": "DELETE", "path": "/rooms", "bytes": ""}],
    [{"method": "POST", "path": "/batch"}],
    [{"method": "PUT", "path": "/batch", "json": 1, "b64": ""}],
    [{"method": "POST", "path": "/batch", "bytes": 1}],
    [{"method": "POST", "path": "/batch", "b64": None}],
]


@pytest.mark.parametrize("path", ["/batch", "/sequence"])
@pytest.mark.parametrize("elements", MALFORMED)
def test_a_malformed_element_fails_the_whole_before_anything_is_run(server, trace, elements, path):
    if isinstance(elements, list):
        elements = [get("/rooms"), *elements]
    assert run(server, elements, path).status == 400
    assert [event["path"] for event in trace.events(kind="community_request")] == [path]


def test_the_body_must_be_declared_as_json(server):
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/octet-stream"}):
        assert run(server, b"[]", headers=headers).status == 400
    assert run(server, b"[]", headers={"content-type": "application/json; charset=utf-8"}).status == 200


def test_unknown_members_are_ignored(server):
    assert results(server, [get("/capabilities") | {"extra": 1}]) == [CAPABILITIES]


@pytest.mark.parametrize(
    "body",
    [
        {"json": [get("/capabilities")]},
        {"b64": base64.b64encode(orjson.dumps([get("/capabilities")])).decode(), "headers": JSON},
        {
            "bytes": '[{"method":"GET","path":"/capabilities"}]',
            "headers": {"CONTENT-TYPE": "application/json"},
        },
    ],
)
def test_batches_nest_and_bodies_come_in_three_forms(server, body):
    (answer,) = results(server, [{"method": "POST", "path": "/batch"} | body])
    assert answer["body"] == [CAPABILITIES]


def test_a_given_type_wins_over_the_one_of_json(server):
    element = {"method": "POST", "path": "/batch", "json": [], "headers": {"Content-Type": "text/plain"}}
    assert results(server, [element])[0]["code"] == 400


def test_base64_that_cannot_be_decoded_fails_its_element_alone(server):
    bad = {"method": "POST", "path": "/batch", "b64": "a", "headers": JSON}
    assert [answer["code"] for answer in results(server, [bad, get("/rooms")])] == [400, 200]
    assert [answer["code"] for answer in results(server, [bad, get("/rooms")], "/sequence")] == [400]


def test_a_defect_fails_its_element_alone(server, monkeypatch, trace):
    def broken(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr(server._stores.rooms, "all", broken)
    assert [answer["code"] for answer in results(server, [get("/rooms"), get("/capabilities")])] == [500, 200]
    assert "a defect" in trace.events(kind="community_error")[0]["error"]


def test_batches_nested_beyond_reason_are_refused(server):
    def nested(depth):
        return b"[" + b'{"method":"POST","path":"/batch","json":[' * depth + b"]}" * depth + b"]"

    def codes(answers):
        return (
            [answers[0]["code"], *codes(answers[0]["body"])] if isinstance(answers, list) and answers else []
        )

    assert codes(results(server, nested(7))) == [200] * 7
    assert codes(results(server, nested(100))) == [200] * 7 + [400]
    assert run(server, nested(5000)).status == 400
    assert results(server, nested(0)) == []


@pytest.mark.parametrize("depth", [200, 255, 1000])
def test_json_is_taken_as_deep_as_it_can_be_handed_on(server, trace, depth):
    document = b"[" * depth + b"]" * depth
    asked = b'[{"method":"POST","path":"/nowhere","json":' + document + b"}]"
    assert run(server, asked).status == (200 if depth < 255 else 400)
    assert trace.events(kind="community_error") == []


class TestAuthentication:
    def test_the_outer_request_speaks_for_all_elements(self, server, trace, signer):
        alice = signer("alice", server)
        elements = [
            get("/room/lobby"),
            get("/rooms") | {"headers": {"X-SOGS-Pubkey": "00" + "11" * 32, "X-SOGS-Nonce": "nonsense"}},
        ]
        answers = alice.ask(server, "POST", "/batch", elements).json()
        assert [answer["code"] for answer in answers] == [200, 200]
        users = {event["user"] for event in trace.events(kind="community_request")}
        assert users == {alice.account.account_id}

    def test_headers_of_elements_do_not_make_a_user(self, server, signer):
        alice = signer("alice", server)
        body = {"data": "", "signature": "A" * 86}
        element = {
            "method": "POST",
            "path": "/room/lobby/message",
            "json": body,
            "headers": alice.headers("POST", "/room/lobby/message", orjson.dumps(body)),
        }
        assert results(server, [element])[0]["code"] == 401

    def test_an_upload_takes_the_headers_of_its_element(self, server, signer):
        alice = signer("alice", server)
        element = {
            "method": "POST",
            "path": "/room/lobby/file",
            "b64": base64.b64encode(b"\x00\xff").decode(),
            "headers": {"Content-Disposition": "attachment; filename=x.bin"},
        }
        (stored,) = alice.ask(server, "POST", "/batch", [element]).json()
        assert (stored["code"], stored["body"]) == (201, {"id": 1})
        (fetched,) = results(server, [get("/room/lobby/file/1")])
        assert fetched["body"] == "AP8="
        assert fetched["headers"]["content-disposition"] == "attachment; filename*=UTF-8''x.bin"
        assert "content-length" not in fetched["headers"]
