"""Judge how a community carries out batches, and requests in onions (open-group-server §§16, 17)."""

import base64
from functools import partial
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from session_conformance.checks import check
from session_conformance.contract import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.answers import Answer, ask, only
from session_conformance.servers.community import JudgedCommunity
from session_conformance.servers.onions import ONION_V4, ask_v4
from session_conformance.strategies import flip_bit
from session_protocol import onion
from session_protocol.onion import EncryptionType

on_community = partial(check, features={"server": "community"})
with_key = partial(check, features={"server": "community", "key_known": True})
with_control = partial(check, features={"server": "community", "key_known": True, "control": True})
STATUS = {
    "/capabilities": 200,
    "/rooms": 200,
    "/room/nowhere-at-all": 404,
    "/capabilities?required=teleport": 412,
}
paths = st.lists(st.sampled_from(list(STATUS)), max_size=8)
encryptions = st.sampled_from(list(EncryptionType))
MALFORMED: tuple[Any, ...] = (
    "x",
    {},
    {"method": "GET"},
    {"method": "get", "path": "/rooms"},
    {"method": "GET", "path": "rooms"},
    {"method": "GET", "path": "/rooms", "json": None},
    {"method": "POST", "path": "/batch"},
    {"method": "POST", "path": "/batch", "json": [], "bytes": ""},
)


def gets(wanted: list[str]) -> list[dict[str, Any]]:
    """Return the elements of a batch that ask for these paths."""
    return [{"method": "GET", "path": path} for path in wanted]


@on_community("COMM-50")
@given(wanted=paths)
def test_answers_every_request(testee: Testee, case: CaseContext, wanted: list[str]) -> None:
    community = JudgedCommunity(testee, case)
    results = community.ask("POST", "/batch", gets(wanted)).ok()
    assert [result["code"] for result in results] == [STATUS[path] for path in wanted]
    for path, result in zip(wanted, results, strict=True):
        alone = community.ask("GET", path)
        assert set(result) == {"code", "headers", "body"}
        assert result["headers"]["content-type"] == alone.headers["content-type"]
        if alone.media_type == "application/json":
            assert result["body"] == alone.json()
        else:
            base64.b64decode(result["body"], validate=True)


@on_community("COMM-51")
@given(wanted=paths)
def test_ends_a_sequence_at_a_failure(testee: Testee, case: CaseContext, wanted: list[str]) -> None:
    community = JudgedCommunity(testee, case)
    codes = [STATUS[path] for path in wanted]
    failed = next((number for number, code in enumerate(codes) if code != 200), len(codes))
    results = community.ask("POST", "/sequence", gets(wanted)).ok()
    assert [result["code"] for result in results] == codes[: failed + 1]


@with_control("COMM-52")
@given(bad=st.sampled_from(MALFORMED), sequence=st.booleans())
def test_refuses_malformed_batches(testee: Testee, case: CaseContext, bad: Any, sequence: bool) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    visitor = community.visitor()
    good = {"method": "POST", "path": f"/room/{room}/message", "json": visitor.message(b"x")}
    path = "/sequence" if sequence else "/batch"
    visitor.ask("POST", path, [good, bad]).expect(400)
    visitor.ask("POST", path, {"requests": []}).expect(400)
    assert community.ask("GET", f"/room/{room}/messages/recent").ok() == [], "a part of it was done"


@with_control("COMM-53")
def test_signs_a_batch_as_a_whole(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    visitor, other = community.visitor(), community.visitor()
    path = f"/room/{room}/message"
    document = visitor.message(b"x")
    headers = other.headers("POST", path, orjson.dumps(document))
    element = {"method": "POST", "path": path, "json": document}
    anonymous = only(community.ask("POST", "/batch", [{**element, "headers": headers}]).ok())
    assert anonymous["code"] == 401, "an element was let in by headers of its own"
    posted = only(visitor.ask("POST", "/batch", [{**element, "headers": headers}]).ok())
    assert (posted["code"], posted["body"]["session_id"]) == (201, visitor.id)


@with_key("COMM-54")
@given(path=st.sampled_from([*STATUS, "/nothing"]), enc_type=encryptions, signed=st.booleans())
def test_serves_the_same_in_onions(
    testee: Testee, case: CaseContext, path: str, enc_type: EncryptionType, signed: bool
) -> None:
    community = JudgedCommunity(testee, case)
    visitor = community.visitor()

    def inside(method: str, target: str, body: bytes | None = None) -> Answer:
        headers = visitor.headers(method, target, body or b"") if signed else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return ask_v4(
            testee,
            community.url,
            community.public_key,
            community.random,
            method,
            target,
            headers=headers,
            body=body,
            enc_type=enc_type,
        )

    direct = community.ask("GET", path, visitor=visitor if signed else None)
    found = inside("GET", path)
    assert (found.status, found.media_type) == (direct.status, direct.media_type)
    assert found.media_type != "application/json" or found.json() == direct.json()
    result = only(inside("POST", "/batch", orjson.dumps(gets([path]))).ok())
    assert result["code"] == direct.status


@with_key("COMM-55")
@given(bit=st.integers(0, 10_000), short=st.booleans())
def test_refuses_onions_that_are_damaged(testee: Testee, case: CaseContext, bit: int, short: bool) -> None:
    community = JudgedCommunity(testee, case)
    built = onion.build(
        [],
        onion.ServerDestination(host="localhost", x25519_pk=community.public_key),
        onion.encode_v4_request("GET", "/rooms", {}, None),
        random_bytes=community.random.randbytes,
    )
    blob_bits = int.from_bytes(built.body[:4], "little") * 8
    body = built.body[: len(built.body) // 2] if short else flip_bit(built.body, 32 + bit % blob_bits)
    ask(testee, "POST", community.url + ONION_V4, body=body, asked="a damaged onion").expect(400)
    community.ask("GET", "/capabilities").expect(200)


@on_community("COMM-56")
def test_names_json_exactly(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    for path in ("/capabilities", "/rooms"):
        assert community.ask("GET", path).expect(200).headers["content-type"] == "application/json"
