"""Pinned messages over real sockets, directly and through onions (open-group-server §11)."""

import pytest

from session_testnet.services.community import Role

NOW_S = 1_760_000_000
SIGNATURE = "A" * 86


@pytest.fixture
def community(open_community):
    return open_community()


@pytest.fixture
def admins(community):
    members = [community.member(name) for name in ("admin", "global admin")]
    community.server.give_role(Role(members[0].id, "lobby", admin=True))
    community.server.give_role(Role(members[1].id, admin=True))
    return members


@pytest.fixture
def author(community):
    member = community.member("author")
    for _ in range(6):
        member.answered(201, "POST", "/room/lobby/message", {"data": "YQ==", "signature": SIGNATURE})
    return member


def room(community):
    return community.anonymous.get("/room/lobby")


def pins(community):
    return [entry["id"] for entry in room(community).get("pinned_messages", [])]


def entry(number, at_s, member):
    return {"id": number, "pinned_at": NOW_S + float(at_s), "pinned_by": member.id}


def test_pins_stand_in_order_and_each_is_an_update_of_the_room(community, admins, author):
    before = room(community)
    assert "pinned_messages" not in before
    updates = before["info_updates"]
    for step, (number, admin) in enumerate([(3, 0), (1, 0), (5, 1)], start=1):
        answer = admins[admin].answered(200, "POST", f"/room/lobby/pin/{number}", {})
        assert answer == {"info_updates": updates + step}
        community.clock.move(1000)
    expected = [entry(3, 0, admins[0]), entry(1, 1, admins[0]), entry(5, 2, admins[1])]
    assert room(community)["pinned_messages"] == expected
    # Pinning again is a newer pin, by somebody else.
    assert admins[1].answered(200, "POST", "/room/lobby/pin/3")["info_updates"] == updates + 4
    assert room(community)["pinned_messages"] == [*expected[1:], entry(3, 3, admins[1])]
    assert admins[0].answered(200, "POST", "/room/lobby/unpin/1", {}) == {
        "unpinned": True,
        "info_updates": updates + 5,
    }
    for nothing in (1, 2, 99, 10**40):
        assert admins[0].answered(200, "POST", f"/room/lobby/unpin/{nothing}") == {
            "unpinned": False,
            "info_updates": updates + 5,
        }
    assert pins(community) == [5, 3]
    details = community.anonymous.get(f"/room/lobby/pollInfo/{updates}")["details"]
    assert details["pinned_messages"] == [expected[2], entry(3, 3, admins[1])]
    assert "details" not in community.anonymous.get(f"/room/lobby/pollInfo/{updates + 5}")
    for _ in range(2):
        admins[0].answered(200, "POST", "/room/lobby/pin/2")
    assert admins[0].answered(200, "POST", "/room/lobby/unpin/all") == {
        "unpinned": 3,
        "info_updates": updates + 7 + 3,
    }
    assert "pinned_messages" not in room(community)
    assert admins[0].answered(200, "POST", "/room/lobby/unpin/all", {}) == {
        "unpinned": 0,
        "info_updates": updates + 10,
    }
    assert room(community)["message_sequence"] == before["message_sequence"]


@pytest.mark.parametrize("target", ["pin/1", "unpin/1", "unpin/all", "pin/99"])
def test_only_admins_pin(community, admins, author, target):
    moderator = community.member("moderator")
    community.server.give_role(Role(moderator.id, "lobby"))
    admins[0].answered(200, "POST", "/room/lobby/pin/1")
    for member in (author, moderator, community.anonymous):
        refused = member.ask("POST", f"/room/lobby/{target}")
        assert (refused.status, refused.text) == (403, "This endpoint requires admin room permissions")
    assert pins(community) == [1]
    assert admins[0].ask("POST", "/room/annex/pin/1").status == 403


def test_what_cannot_be_pinned(community, admins, author):
    whisper = admins[0].answered(
        201,
        "POST",
        "/room/lobby/message",
        {"data": "", "signature": SIGNATURE, "whisper_to": author.id},
    )["id"]
    author.answered(200, "DELETE", "/room/lobby/message/2")
    updates = room(community)["info_updates"]
    for number in (whisper, 2, 99):
        answer = admins[0].ask("POST", f"/room/lobby/pin/{number}")
        assert (answer.status, answer.text) == (404, f"No such post: {number}")
    # A message of another room, even for who is an admin there as well.
    assert admins[1].ask("POST", "/room/annex/pin/1").status == 404
    assert admins[0].ask("POST", "/room/lobby/pin/x").status == 404
    assert admins[0].ask("GET", "/room/lobby/pin/1").status == 405
    assert room(community)["info_updates"] == updates


def test_a_pin_of_another_room_is_left_alone(community, admins, author):
    admins[1].answered(200, "POST", "/room/lobby/pin/1")
    assert admins[1].answered(200, "POST", "/room/annex/unpin/1")["unpinned"] is False
    assert admins[1].answered(200, "POST", "/room/annex/unpin/all")["unpinned"] == 0
    assert pins(community) == [1]


def test_a_deleted_message_is_no_longer_pinned(community, admins, author):
    admins[0].answered(200, "POST", "/room/lobby/pin/1")
    updates = room(community)["info_updates"]
    author.answered(200, "DELETE", "/room/lobby/message/1")
    after = room(community)
    assert "pinned_messages" not in after
    # Clients learn of it by the same counter as of any other unpinning.
    assert after["info_updates"] == updates + 1
