"""Judge whom a community lets do what (open-group-server §§2 to 8, 13)."""

import base64
import time
from dataclasses import replace
from functools import partial
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from session_conformance.checks import check
from session_conformance.contract import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.answers import member
from session_conformance.servers.community import JudgedCommunity
from session_conformance.strategies import flip_bit
from session_protocol.blinding import NonceRule

on_community = partial(check, features={"server": "community"})
with_key = partial(check, features={"server": "community", "key_known": True})
with_control = partial(check, features={"server": "community", "key_known": True, "control": True})
HEADERS = ("X-SOGS-Pubkey", "X-SOGS-Nonce", "X-SOGS-Timestamp", "X-SOGS-Signature")
DAY_S = 86_400
# How far the server's clock may be from this machine's before it is not understood any more.
CLOCK_S = 300
SMALL_ORDER = "0100000000000000000000000000000000000000000000000000000000000000"


@on_community("COMM-01")
def test_lists_capabilities(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    known = member(community.ask("GET", "/capabilities").ok(), "capabilities", list)
    assert known == sorted(known)
    assert "sogs" in known
    assert community.ask("GET", "/capabilities?required=sogs").ok()["capabilities"] == known
    lacking = community.ask("GET", "/capabilities?required=sogs,teleport").expect(412).json()
    assert lacking == {"capabilities": known, "missing": ["teleport"]}


@with_key("COMM-02")
@given(
    left=st.sets(st.sampled_from(HEADERS), min_size=1, max_size=3),
    path=st.sampled_from(["/capabilities", "/rooms", "/nowhere"]),
)
def test_refuses_half_a_signature_anywhere(
    testee: Testee, case: CaseContext, left: set[str], path: str
) -> None:
    community = JudgedCommunity(testee, case)
    headers = community.visitor().headers("GET", path)
    community.ask("GET", path, headers={name: headers[name] for name in left}).expect(400)


@with_key("COMM-03")
@given(
    header=st.sampled_from(HEADERS),
    value=st.sampled_from(["nonsense", "AAAA", "-", "0x10", "99" * 33, "05" * 33, "1.5", "ä".encode().hex()]),
)
def test_refuses_malformed_headers(testee: Testee, case: CaseContext, header: str, value: str) -> None:
    community = JudgedCommunity(testee, case)
    headers = community.visitor().headers("GET", "/rooms")
    community.ask("GET", "/rooms", headers={**headers, header: value}).expect(400)


@with_key("COMM-04")
def test_refuses_keys_that_are_none(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    headers = community.visitor("blinded15").headers("GET", "/rooms")
    for key in (SMALL_ORDER, "00" * 32, "ff" * 32, "02" + "00" * 31):
        community.ask("GET", "/rooms", headers={**headers, "X-SOGS-Pubkey": "15" + key}).expect(400)


@with_key("COMM-05")
@given(
    bit=st.integers(0, 511),
    change=st.sampled_from(["signature", "path", "query", "method", "nonce", "time", "body"]),
    blinded=st.booleans(),
)
def test_verifies_what_was_signed(
    testee: Testee, case: CaseContext, bit: int, change: str, blinded: bool
) -> None:
    community = JudgedCommunity(testee, case)
    visitor = community.visitor("blinded15" if blinded or community.requires_blinding() else "unblinded")
    body = b"[]"
    kind = {"Content-Type": "application/json"}
    good = visitor.headers("POST", "/batch", body)
    community.ask("POST", "/batch", body=body, headers={**kind, **good}).expect(200)
    headers = visitor.headers("POST", "/batch", body)
    method, path = "POST", "/batch"
    match change:
        case "signature":
            damaged = flip_bit(base64.b64decode(headers["X-SOGS-Signature"]), bit)
            headers["X-SOGS-Signature"] = base64.b64encode(damaged).decode()
        case "path":
            path = "/sequence"
        case "query":
            path = "/batch?x=1"
        case "method":
            method = "PUT"
        case "nonce":
            headers["X-SOGS-Nonce"] = base64.b64encode(community.random.randbytes(16)).decode()
        case "time":
            headers["X-SOGS-Timestamp"] = str(int(headers["X-SOGS-Timestamp"]) - 1)
        case _:
            body = b"[ ]"
    community.ask(method, path, body=body, headers={**kind, **headers}).expect(401)


@with_key("COMM-06")
@given(off=st.integers(DAY_S + CLOCK_S, 10**8), near=st.integers(0, DAY_S - CLOCK_S), late=st.booleans())
def test_refuses_requests_of_other_days(
    testee: Testee, case: CaseContext, off: int, near: int, late: bool
) -> None:
    community = JudgedCommunity(testee, case)
    visitor = community.visitor()
    now = int(time.time())
    for distance, status in ((off, 425), (near, 200)):
        at = now - distance if late else now + distance
        community.ask("GET", "/rooms", headers=visitor.headers("GET", "/rooms", at=at)).expect(status)


@with_key("COMM-07")
@given(same_visitor=st.booleans())
def test_refuses_a_nonce_the_second_time(testee: Testee, case: CaseContext, same_visitor: bool) -> None:
    community = JudgedCommunity(testee, case)
    visitor = community.visitor()
    nonce = community.random.randbytes(16)
    community.ask("GET", "/rooms", headers=visitor.headers("GET", "/rooms", nonce=nonce)).expect(200)
    again = visitor if same_visitor else community.visitor()
    community.ask("GET", "/rooms", headers=again.headers("GET", "/rooms", nonce=nonce)).expect(425)


@with_key("COMM-08")
@given(rule=st.sampled_from(list(NonceRule)))
def test_takes_blinded_signatures_of_both_kinds(testee: Testee, case: CaseContext, rule: NonceRule) -> None:
    community = JudgedCommunity(testee, case)
    visitor = replace(community.visitor("blinded15"), nonce_rule=rule)
    visitor.ask("GET", "/rooms").expect(200)


@with_control("COMM-09")
@given(blinded=st.booleans())
def test_knows_who_signs(testee: Testee, case: CaseContext, blinded: bool) -> None:
    community = JudgedCommunity(testee, case)
    visitor = community.visitor("blinded15" if blinded or community.requires_blinding() else "unblinded")
    assert visitor.post(community.room())["session_id"] == visitor.id


@with_control("COMM-10")
@given(
    emoji=st.sampled_from(["👍", "a/b", "ä", "é?", "%", "+", "1 2"]), query=st.sampled_from(["", "?x=%41"])
)
def test_verifies_the_decoded_path(testee: Testee, case: CaseContext, emoji: str, query: str) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    visitor = community.visitor()
    message = visitor.post(room)["id"]
    path = f"/room/{room}/reaction/{message}/{quote(emoji, safe='')}{query}"
    assert visitor.ask("PUT", path).ok()["added"] is True
    found = visitor.ask("GET", f"/room/{room}/message/{message}").ok()
    assert list(found["reactions"]) == [emoji]


@with_control("COMM-11")
def test_asks_the_anonymous_to_sign(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    visitor = community.visitor()
    message = visitor.post(room)["id"]
    document = visitor.message(b"x")
    community.ask("POST", f"/room/{room}/message", document).expect(401)
    community.ask("PUT", f"/room/{room}/reaction/{message}/x").expect(401)
    community.ask("POST", f"/room/{room}/file", body=b"x").expect(401)
    community.ask("GET", f"/room/{room}/messages/recent").expect(200)


@with_control("COMM-12")
def test_shuts_the_banned_out(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    visitor = community.visitor()
    visitor.post(room)
    community.control("ban", session_id=visitor.id, banned=True)
    for path in ("/rooms", "/capabilities", f"/room/{room}"):
        visitor.ask("GET", path).expect(403)
    community.control("ban", session_id=visitor.id, banned=False)
    visitor.ask("GET", "/rooms").expect(200)


@with_control("COMM-13", "COMM-15")
@given(may_read=st.booleans(), may_write=st.booleans())
def test_keeps_the_rights_of_a_room(
    testee: Testee, case: CaseContext, may_read: bool, may_write: bool
) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room(default_read=may_read, default_write=may_write)
    visitor, moderator = community.visitor(), community.visitor()
    visitor.ask("POST", f"/room/{room}/message", visitor.message(b"x")).expect(201 if may_write else 403)
    for path in ("messages/recent", "messages/since/0", "pollInfo/0"):
        visitor.ask("GET", f"/room/{room}/{path}").expect(200 if may_read else 403)
        community.ask("GET", f"/room/{room}/{path}").expect(200 if may_read else 403)
    told = visitor.ask("GET", f"/room/{room}").ok()
    assert (told["read"], told["write"]) == (may_read, may_write)
    moderator.ask("GET", "/rooms").expect(200)
    community.control("role", session_id=moderator.id, room=room, moderator=True, admin=False, visible=True)
    moderator.post(room)
    moderator.ask("GET", f"/room/{room}/messages/recent").expect(200)
    assert moderator.ask("GET", f"/room/{room}").ok()["moderator"] is True


@with_control("COMM-14")
def test_hides_rooms(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    hidden = community.room(default_read=False, default_accessible=False)
    shown = community.room()
    visitor = community.visitor()
    visitor.ask("GET", f"/room/{hidden}").expect(404)
    tokens = [room["token"] for room in visitor.ask("GET", "/rooms").ok()]
    assert shown in tokens
    assert hidden not in tokens


@with_control("COMM-16")
def test_knows_no_other_places(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    for path in (
        "/room/nowhere-at-all",
        f"/room/{room}/nothing",
        "/nothing",
        "/rooms/",
        f"/room/{room}/message/x",
    ):
        community.ask("GET", path).expect(404)
    community.ask("DELETE", "/rooms").expect(405)
    community.ask("POST", f"/room/{room}/messages/recent").expect(405)


@with_control("COMM-17")
def test_matches_tokens_in_any_case(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    assert community.ask("GET", f"/room/{room.upper()}").ok()["token"] == room


@with_control("COMM-18")
def test_lets_moderators_ban(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    room, other = community.room(), community.room()
    moderator, visitor = community.visitor(), community.visitor()
    for each in (moderator, visitor):
        each.ask("GET", "/rooms").expect(200)
    ban, unban, where = f"/user/{visitor.id}/ban", f"/user/{visitor.id}/unban", {"rooms": [room]}
    visitor.ask("POST", f"/user/{moderator.id}/ban", where).expect(403)
    community.control("role", session_id=moderator.id, room=room, moderator=True, admin=False, visible=True)
    moderator.ask("POST", ban, {"rooms": [room, other]}).expect(403)
    moderator.ask("POST", ban, where).expect(200)
    visitor.ask("GET", f"/room/{room}").expect(404)
    visitor.ask("POST", f"/room/{room}/message", visitor.message(b"x")).expect(403)
    visitor.post(other)
    moderator.ask("POST", unban, where).expect(200)
    visitor.post(room)
