"""Judge a community's posts, reactions, pins, files and direct messages (open-group-server §§8 to 15)."""

import base64
from functools import partial
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from session_conformance.checks import check
from session_conformance.contract import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.answers import member, only
from session_conformance.servers.community import JudgedCommunity, Visitor

with_control = partial(check, features={"server": "community", "key_known": True, "control": True})
EMOJI = ("👍", "❤️", "x")
steps = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(EMOJI), st.booleans()), min_size=1, max_size=10)


def sequence_of(community: JudgedCommunity, room: str) -> int:
    """Return the number of the last change of a room's messages."""
    found: int = member(community.ask("GET", f"/room/{room}").ok(), "message_sequence", int)
    return found


def since(visitor: Visitor, room: str, seqno: int, query: str = "") -> list[dict[str, Any]]:
    """Return what changed after a seqno."""
    found: list[dict[str, Any]] = visitor.ask("GET", f"/room/{room}/messages/since/{seqno}{query}").ok()
    return found


@with_control("COMM-20", "COMM-21")
@given(
    data=st.binary(max_size=300) | st.binary(max_size=5).map(lambda head: head + b"\x80" + bytes(20)),
    blinded=st.booleans(),
)
def test_keeps_posts_as_they_are(testee: Testee, case: CaseContext, data: bytes, blinded: bool) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    visitor = community.visitor("blinded15" if blinded or community.requires_blinding() else "unblinded")
    document = visitor.document(data)
    posted = visitor.ask("POST", f"/room/{room}/message", document).expect(201).json()
    assert member(posted, "session_id", str) == visitor.id
    member(posted, "id", int)
    member(posted, "posted", float)
    assert posted["reactions"] == {}
    for found in (
        posted,
        visitor.ask("GET", f"/room/{room}/message/{posted['id']}").ok(),
        *since(visitor, room, 0),
        *visitor.ask("GET", f"/room/{room}/messages/recent").ok(),
    ):
        assert base64.b64decode(member(found, "data", str), validate=True) == data, "the data has changed"
        assert found["signature"] == document["signature"]
        assert (found["id"], found["seqno"]) == (posted["id"], 1)


@with_control("COMM-22")
@given(size=st.integers(0, 100).filter(lambda size: size != 64))
def test_refuses_posts_that_are_none(testee: Testee, case: CaseContext, size: int) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    visitor = community.visitor()
    path = f"/room/{room}/message"
    good = visitor.message(b"x")
    bad = base64.b64encode(bytes(size)).decode()
    visitor.ask("POST", path, {**good, "signature": bad}).expect(400)
    visitor.ask("POST", path, {"signature": good["signature"]}).expect(400)
    visitor.ask("POST", path, {**good, "data": "?"}).expect(400)
    visitor.ask("POST", path, body=b"no JSON").expect(400)
    assert since(visitor, room, 0) == []


@with_control("COMM-23", "COMM-24", "COMM-25", "COMM-26")
@given(count=st.integers(1, 8), cut=st.integers(0, 8), limit=st.integers(1, 10))
def test_lists_posts(testee: Testee, case: CaseContext, count: int, cut: int, limit: int) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    visitor = community.visitor()
    posts = [visitor.post(room, b"%d" % number) for number in range(count)]
    ids = [post["id"] for post in posts]
    assert ids == sorted(set(ids))
    assert [post["seqno"] for post in posts] == list(range(1, count + 1))
    assert sequence_of(community, room) == count
    last = cut % (count + 1)
    later = since(visitor, room, last, f"?limit={limit}")
    assert [post["id"] for post in later] == ids[last:][:limit]
    assert since(visitor, room, count) == []
    recent = visitor.ask("GET", f"/room/{room}/messages/recent?limit={limit}").ok()
    assert [post["id"] for post in recent] == ids[::-1][:limit]
    middle = ids[cut % count]
    before = visitor.ask("GET", f"/room/{room}/messages/before/{middle}?limit={limit}").ok()
    assert [post["id"] for post in before] == [each for each in ids[::-1] if each < middle][:limit]
    visitor.ask("GET", f"/room/{room}/messages/recent?limit=many").expect(400)


@with_control("COMM-27", "COMM-28")
def test_lets_authors_edit(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    author, other, admin = (community.visitor() for _ in range(3))
    for each in (other, admin):
        each.ask("GET", "/rooms").expect(200)
    community.control("role", session_id=admin.id, room=room, moderator=True, admin=True, visible=True)
    first, second = author.post(room, b"first"), author.post(room, b"second")
    path = f"/room/{room}/message/{first['id']}"
    for stranger in (other, admin):
        stranger.ask("PUT", path, stranger.message(b"forged")).expect(403)
    edit = author.message(b"edited")
    author.ask("PUT", path, edit).expect(200)
    found = author.ask("GET", path).ok()
    assert (found["data"], found["seqno"]) == (edit["data"], 3)
    assert member(found, "edited", float) >= found["posted"]
    assert [post["id"] for post in since(author, room, 0)] == [second["id"], first["id"]]
    author.ask("PUT", path, edit).expect(200)
    assert sequence_of(community, room) == 3, "an edit that changed nothing took a seqno"


@with_control("COMM-29", "COMM-30")
@given(by_moderator=st.booleans())
def test_deletes_posts(testee: Testee, case: CaseContext, by_moderator: bool) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    author, other, moderator = (community.visitor() for _ in range(3))
    moderator.ask("GET", "/rooms").expect(200)
    community.control("role", session_id=moderator.id, room=room, moderator=True, admin=False, visible=True)
    post = author.post(room)
    path = f"/room/{room}/message/{post['id']}"
    other.ask("DELETE", path).expect(403)
    (moderator if by_moderator else author).ask("DELETE", path).expect(200)
    author.ask("GET", path).expect(404)
    tombstone = only(since(other, room, post["seqno"]))
    assert (tombstone["id"], tombstone["seqno"], tombstone.get("deleted")) == (post["id"], 2, True)
    assert tombstone.get("data") is None
    assert since(other, room, 0) == []
    assert other.ask("GET", f"/room/{room}/messages/recent").ok() == []


@with_control("COMM-31", "COMM-32")
@given(actions=steps)
def test_counts_reactions(testee: Testee, case: CaseContext, actions: list[tuple[int, str, bool]]) -> None:
    """A model of who reacted how says what each answer and the message must be."""
    community = JudgedCommunity(testee, case)
    room = community.room()
    people = [community.visitor(), community.visitor()]
    post = people[0].post(room)
    reactors: dict[str, list[str]] = {}
    seqno = 1
    for who, emoji, adds in actions:
        person = people[who]
        path = f"/room/{room}/reaction/{post['id']}/{quote(emoji)}"
        there = person.id in reactors.get(emoji, [])
        changes = there != adds
        seqno += changes
        answer = person.ask("PUT" if adds else "DELETE", path).ok()
        assert answer == {"added" if adds else "removed": changes, "seqno": seqno}
        if changes and adds:
            reactors.setdefault(emoji, []).append(person.id)
        elif changes:
            reactors[emoji].remove(person.id)
            if not reactors[emoji]:
                del reactors[emoji]
    found = people[0].ask("GET", f"/room/{room}/message/{post['id']}").ok()
    assert found["seqno"] == seqno
    assert set(found["reactions"]) == set(reactors)
    for index, (emoji, ids) in enumerate(reactors.items()):
        told = found["reactions"][emoji]
        assert (told["index"], told["count"], told["reactors"]) == (index, len(ids), ids)
        assert told.get("you", False) is (people[0].id in ids)
    assert sequence_of(community, room) == seqno


@with_control("COMM-33")
def test_tells_changes_of_reactions(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    visitor = community.visitor()
    post = visitor.post(room)
    visitor.ask("PUT", f"/room/{room}/reaction/{post['id']}/x").expect(200)
    assert since(visitor, room, 1) == []
    told = only(since(visitor, room, 1, "?t=r"))
    assert set(told) == {"id", "seqno", "reactions"}
    assert (told["id"], told["seqno"], told["reactions"]["x"]["count"]) == (post["id"], 2, 1)
    whole = only(since(visitor, room, 0, "?t=r"))
    assert whole["data"] == post["data"]


@with_control("COMM-34")
@given(length=st.integers(13, 40))
def test_refuses_reactions_that_are_none(testee: Testee, case: CaseContext, length: int) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    visitor = community.visitor()
    post = visitor.post(room)
    path = f"/room/{room}/reaction/{post['id']}"
    visitor.ask("PUT", f"{path}/{'x' * length}").expect(400)
    visitor.ask("PUT", f"{path}/{'x' * 12}").expect(200)
    visitor.ask("PUT", f"{path}9999/x").expect(404)


@with_control("COMM-35")
def test_limits_the_rate_of_posts(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    visitor, other = community.visitor(), community.visitor()
    community.control("config", key="rate_limit", value=True)
    for number in range(5):
        visitor.post(room, b"%d" % number)
    visitor.ask("POST", f"/room/{room}/message", visitor.message(b"too much")).expect(429)
    other.post(room)


@with_control("COMM-36")
def test_keeps_whispers(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    moderator, recipient, other = (community.visitor() for _ in range(3))
    for each in (moderator, recipient, other):
        each.ask("GET", "/rooms").expect(200)
    community.control("role", session_id=moderator.id, room=room, moderator=True, admin=False, visible=True)
    whisper = moderator.post(room, b"psst", whisper_to=recipient.id)
    assert (whisper["whisper"], whisper["whisper_to"]) == (True, recipient.id)
    path = f"/room/{room}/messages/recent"
    for who, count in ((moderator, 1), (recipient, 1), (other, 0)):
        assert len(who.ask("GET", path).ok()) == count
    assert community.ask("GET", path).ok() == []
    document = other.message(b"psst", whisper_to=recipient.id)
    other.ask("POST", f"/room/{room}/message", document).expect(403)


@with_control("COMM-37", "COMM-38")
def test_pins_posts(testee: Testee, case: CaseContext) -> None:
    community = JudgedCommunity(testee, case)
    room = community.room()
    admin, visitor = community.visitor(), community.visitor()
    admin.ask("GET", "/rooms").expect(200)
    community.control("role", session_id=admin.id, room=room, moderator=True, admin=True, visible=True)
    post = visitor.post(room)
    path = f"/room/{room}/pin/{post['id']}"
    before = visitor.ask("GET", f"/room/{room}").ok()["info_updates"]
    visitor.ask("POST", path, {}).expect(403)
    assert "details" not in visitor.ask("GET", f"/room/{room}/pollInfo/{before}").ok()
    assert admin.ask("POST", path, {}).ok() == {"info_updates": before + 1}
    poll = visitor.ask("GET", f"/room/{room}/pollInfo/{before}").ok()
    pinned = member(member(poll, "details", dict), "pinned_messages", list)
    assert [(each["id"], each["pinned_by"]) for each in pinned] == [(post["id"], admin.id)]
    undone = admin.ask("POST", f"/room/{room}/unpin/{post['id']}", {}).ok()
    assert undone == {"unpinned": True, "info_updates": before + 2}
    assert not visitor.ask("GET", f"/room/{room}").ok().get("pinned_messages")
    admin.ask("POST", f"{path}9999", {}).expect(404)


@with_control("COMM-39")
@given(data=st.binary(max_size=500))
def test_keeps_files(testee: Testee, case: CaseContext, data: bytes) -> None:
    community = JudgedCommunity(testee, case)
    room, other = community.room(), community.room()
    visitor = community.visitor()
    uploaded = visitor.ask("POST", f"/room/{room}/file", body=data).expect(201).json()
    number = member(uploaded, "id", int)
    for path in (f"/room/{room}/file/{number}", f"/room/{room}/file/{number}/any.name"):
        answer = visitor.ask("GET", path).expect(200)
        assert (answer.body, answer.media_type) == (data, "application/octet-stream")
    visitor.ask("GET", f"/room/{other}/file/{number}").expect(404)
    visitor.ask("GET", f"/room/{room}/file/{number}9999").expect(404)


@with_control("COMM-40")
@given(data=st.binary(min_size=1, max_size=200))
def test_passes_direct_messages_on(testee: Testee, case: CaseContext, data: bytes) -> None:
    community = JudgedCommunity(testee, case)
    alice, bob, carol = (community.visitor("blinded15") for _ in range(3))
    encoded = base64.b64encode(data).decode()
    alice.ask("POST", f"/inbox/{bob.id}", {"message": encoded}).expect(404)
    for each in (bob, carol):
        each.ask("GET", "/inbox/since/0").expect(304)
    sent = alice.ask("POST", f"/inbox/{bob.id}", {"message": encoded}).expect(201).json()
    assert (sent["sender"], sent["recipient"]) == (alice.id, bob.id)
    for who, box in ((bob, "inbox"), (alice, "outbox")):
        found = only(who.ask("GET", f"/{box}").ok())
        assert (found["id"], found["message"], found["sender"]) == (sent["id"], encoded, alice.id)
        assert len(who.ask("GET", f"/{box}/since/0").ok()) == 1
        who.ask("GET", f"/{box}/since/{sent['id']}").expect(304)
    assert carol.ask("GET", "/inbox").ok() == []
    assert bob.ask("DELETE", "/inbox").ok() == {"deleted": 1}
    assert bob.ask("GET", "/inbox").ok() == []
