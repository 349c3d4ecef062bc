"""Reactions over real sockets, directly and through onions (open-group-server §10)."""

from urllib.parse import quote

import pytest

from session_testnet.services.community import Role

NOW_S = 1_760_000_000
SIGNATURE = "A" * 86
MESSAGES = "/room/lobby/messages"


@pytest.fixture
def community(open_community):
    return open_community()


@pytest.fixture
def users(community):
    return [community.member(f"user {number}") for number in range(5)]


@pytest.fixture
def moderator(community):
    member = community.member("moderator")
    community.server.give_role(Role(member.id, "lobby"))
    return member


def post(member, data="YQ==", **members):
    document = {"data": data, "signature": SIGNATURE, **members}
    return member.answered(201, "POST", "/room/lobby/message", document)


def path(emoji, post_id=1, kind="reaction"):
    return f"/room/lobby/{kind}/{post_id}/{quote(emoji, safe='')}"


def react(member, emoji, post_id=1):
    return member.answered(200, "PUT", path(emoji, post_id))


def take_back(member, emoji, post_id=1):
    return member.answered(200, "DELETE", path(emoji, post_id))


def sequence(community):
    return community.anonymous.get("/room/lobby")["message_sequence"]


def test_each_real_change_moves_the_message_by_one(community, users):
    for _ in range(3):
        assert post(users[0])["reactions"] == {}
    assert react(users[0], "🖕", 2) == {"added": True, "seqno": 4}
    assert react(users[1], "🖕", 2) == {"added": True, "seqno": 5}
    assert react(users[0], "🖕", 2) == {"added": False, "seqno": 5}
    assert take_back(users[2], "🖕", 2) == {"removed": False, "seqno": 5}
    assert take_back(users[2], "👌", 2) == {"removed": False, "seqno": 5}
    assert sequence(community) == 5
    assert take_back(users[1], "🖕", 2) == {"removed": True, "seqno": 6}
    assert take_back(users[1], "🖕", 2) == {"removed": False, "seqno": 6}
    assert sequence(community) == 6
    assert community.anonymous.get(f"{MESSAGES}/since/3?t=r") == [
        {"id": 2, "seqno": 6, "reactions": {"🖕": {"index": 0, "count": 1, "reactors": [users[0].id]}}}
    ]


def test_who_polls_for_reactions_and_who_does_not(community, users):
    first, second = post(users[0]), post(users[0], "Yg==")
    react(users[1], "🍆")
    reactions = {"🍆": {"index": 0, "count": 1, "reactors": [users[1].id]}}
    known = {"id": 1, "seqno": 3, "reactions": reactions}
    full = first | {"seqno": 3, "reactions": reactions}
    anonymous = community.anonymous
    # From the beginning nothing is known, whatever is asked for.
    for target in ("since/0", "since/0?t=r"):
        assert anonymous.get(f"{MESSAGES}/{target}") == [second, full]
    assert anonymous.get(f"{MESSAGES}/since/2?t=r") == [known]
    assert anonymous.get(f"{MESSAGES}/since/1?t=xr") == [second, known]
    assert anonymous.get(f"{MESSAGES}/since/2") == []
    assert anonymous.get(f"{MESSAGES}/since/2?t=x") == []
    assert anonymous.get(f"{MESSAGES}/since/3?t=r") == []
    # An edit brings the message back as a whole, and its reactions along.
    changed = {"data": "YmI=", "signature": SIGNATURE}
    users[0].answered(200, "PUT", "/room/lobby/message/1", changed)
    react(users[0], "🍆")
    edited = first | {
        "seqno": 5,
        "data": "YmI=",
        "edited": float(NOW_S),
        "reactions": {"🍆": {"index": 0, "count": 2, "reactors": [users[1].id, users[0].id]}},
    }
    for target in ("since/3", "since/3?t=r"):
        assert anonymous.get(f"{MESSAGES}/{target}") == [edited]
    assert list(anonymous.get(f"{MESSAGES}/since/4?t=r")[0]) == ["id", "seqno", "reactions"]
    assert anonymous.get(f"{MESSAGES}/since/4") == []
    for target in ("messages/recent", "messages/before/9", "message/1"):
        found = anonymous.get(f"/room/lobby/{target}")
        assert (found if isinstance(found, dict) else found[-1]) == edited


def test_few_reactors_are_listed_and_all_are_counted(community, users):
    post(users[0])
    for member in users:
        react(member, "🍍")
    react(users[4], "y")
    ids = [member.id for member in users]

    def shown(query, member=None):
        return (member or community.anonymous).get(f"/room/lobby/message/1{query}")["reactions"]

    pineapple = {"index": 0, "count": 5}
    y = {"index": 1, "count": 1}
    assert shown("") == {"🍍": pineapple | {"reactors": ids[:4]}, "y": y | {"reactors": ids[4:]}}
    assert shown("?reactors=3") == {"🍍": pineapple | {"reactors": ids[:3]}, "y": y | {"reactors": ids[4:]}}
    assert shown("?reactors=0") == shown("?reactors=-4") == {"🍍": pineapple, "y": y}
    assert shown("?reactors=99")["🍍"]["reactors"] == ids
    you = {"you": True}
    assert shown("?reactors=0", users[4]) == {"🍍": pineapple | you, "y": y | you}
    assert shown("?reactors=0", users[0]) == {"🍍": pineapple | you, "y": y}
    assert shown("?reactors=0", community.member("somebody else")) == {"🍍": pineapple, "y": y}
    assert community.anonymous.ask("GET", "/room/lobby/message/1?reactors=x").status == 400


def test_at_most_twenty_reactors_are_listed_with_a_message(community):
    members = [community.member(f"reactor {number}") for number in range(22)]
    post(members[0])
    for member in members:
        react(member, "x")
    ids = [member.id for member in members]
    shown = community.anonymous.get("/room/lobby/message/1?reactors=256")["reactions"]["x"]
    assert (shown["count"], shown["reactors"]) == (22, ids[:20])
    assert [entry[0] for entry in community.anonymous.get(path("x", kind="reactors"))] == ids


def test_the_list_of_reactors_has_their_times(community, users):
    post(users[0])
    for member in users[:3]:
        react(member, "🍍")
        community.clock.move(1500)
    reactors = [[member.id, NOW_S + 1.5 * number] for number, member in enumerate(users[:3])]
    target = path("🍍", kind="reactors")
    for query in ("", "?limit=0", "?limit=-3", "?limit=3", "?limit=300"):
        assert community.anonymous.get(target + query) == reactors
    assert community.anonymous.get(f"{target}?limit=2") == reactors[:2]
    assert community.anonymous.ask("GET", f"{target}?limit=x").status == 400
    assert community.anonymous.get(path("nobody's", kind="reactors")) == []
    # Coming back puts one at the end.
    take_back(users[0], "🍍")
    react(users[0], "🍍")
    assert [entry[0] for entry in community.anonymous.get(target)] == [
        users[1].id,
        users[2].id,
        users[0].id,
    ]


def test_an_emoji_keeps_its_place_while_anybody_uses_it(community, users):
    post(users[0])
    for emoji in ("x", "y", "z"):
        for member in users[:2]:
            react(member, emoji)

    def places():
        shown = community.anonymous.get("/room/lobby/message/1")["reactions"]
        return [(emoji, value["index"]) for emoji, value in shown.items()]

    assert places() == [("x", 0), ("y", 1), ("z", 2)]
    take_back(users[0], "x")
    react(users[0], "x")
    assert places() == [("x", 0), ("y", 1), ("z", 2)]
    for member in users[:2]:
        take_back(member, "x")
    assert places() == [("y", 0), ("z", 1)]
    react(users[0], "x")
    assert places() == [("y", 0), ("z", 1), ("x", 2)]


def test_a_moderator_removes_one_emoji_or_all(community, users, moderator):
    post(users[0])
    for emoji in ("a", "b"):
        for member in users[:3]:
            react(member, emoji)
    for target in (path("a", kind="reactions"), "/room/lobby/reactions/1"):
        for stranger in (users[0], community.anonymous):
            refused = stranger.ask("DELETE", target)
            assert refused.seen_by_client == (
                403,
                "text/plain; charset=utf-8",
                b"This endpoint requires moderator room permissions",
            )
    assert moderator.answered(200, "DELETE", path("a", kind="reactions")) == {"removed": 3, "seqno": 10}
    assert moderator.answered(200, "DELETE", path("a", kind="reactions")) == {"removed": 0, "seqno": 10}
    assert list(community.anonymous.get("/room/lobby/message/1")["reactions"]) == ["b"]
    react(users[3], "c")
    assert moderator.answered(200, "DELETE", "/room/lobby/reactions/1") == {"removed": 4, "seqno": 15}
    assert community.anonymous.get(f"{MESSAGES}/since/11?t=r") == [{"id": 1, "seqno": 15, "reactions": {}}]
    assert moderator.answered(200, "DELETE", "/room/lobby/reactions/1") == {"removed": 0, "seqno": 15}
    assert sequence(community) == 15


def test_a_deleted_message_takes_its_reactions_along(community, users, moderator):
    for _ in range(2):
        post(users[0])
    for member in users[:2]:
        react(member, "x", 2)
    moderator.answered(200, "DELETE", "/room/lobby/message/2")
    assert sequence(community) == 2 + 2 + 3
    for target in ("since/4?t=r", "since/4", "since/6"):
        (tombstone,) = community.anonymous.get(f"{MESSAGES}/{target}")
        assert tombstone == {
            "id": 2,
            "session_id": users[0].id,
            "posted": float(NOW_S),
            "seqno": 7,
            "edited": float(NOW_S),
            "data": None,
            "deleted": True,
        }


@pytest.mark.parametrize("emoji", ["👍", "a/b", "//", "1234567890ab", "👨‍👩‍👧‍👦", "%", "?", "&<\"'", " "])
def test_whatever_has_up_to_twelve_characters_is_a_reaction(community, users, emoji):
    post(users[0])
    assert react(users[0], emoji) == {"added": True, "seqno": 2}
    assert list(community.anonymous.get("/room/lobby/message/1")["reactions"]) == [emoji]
    assert community.anonymous.get(path(emoji, kind="reactors")) == [[users[0].id, float(NOW_S)]]
    assert take_back(users[0], emoji) == {"removed": True, "seqno": 3}


@pytest.mark.parametrize("emoji", ["1234567890abc", "👍" * 13])
def test_thirteen_characters_are_none(community, users, moderator, emoji):
    post(users[0])
    for member, method, kind in (
        (users[0], "PUT", "reaction"),
        (users[0], "DELETE", "reaction"),
        (moderator, "DELETE", "reactions"),
        (users[0], "GET", "reactors"),
    ):
        answer = member.ask(method, path(emoji, kind=kind))
        assert (answer.status, answer.body) == (400, b"")
    assert users[0].ask("PUT", "/room/lobby/reaction/1/").status == 404


def test_an_emoji_is_the_same_encoded_and_as_it_is(community, users):
    post(users[0])
    encoded = "/room/lobby/reaction/1/%F0%9F%8D%8D"
    if community.way == "onion":
        assert users[0].answered(200, "PUT", "/room/lobby/reaction/1/🍍")["added"]
    else:
        assert users[0].answered(200, "PUT", encoded)["added"]
    assert users[0].answered(200, "PUT", encoded) == {"added": False, "seqno": 2}
    assert list(community.anonymous.get("/room/lobby/message/1")["reactions"]) == ["🍍"]


def test_a_body_is_not_needed_and_not_looked_at(community, users):
    post(users[0])
    assert users[0].answered(200, "PUT", path("x"), {})["added"]
    assert users[1].answered(200, "PUT", path("x"), body=b"\xff", headers={"Content-Type": "text/x"})["added"]


def test_there_must_be_a_message_that_all_see(community, users, moderator):
    post(users[0])
    post(moderator, whisper_to=users[0].id)
    post(moderator, whisper_mods=True)
    post(users[0])
    users[0].answered(200, "DELETE", "/room/lobby/message/4")
    for number in (2, 3, 4, 5):
        for method, kind in (("PUT", "reaction"), ("DELETE", "reaction"), ("GET", "reactors")):
            answer = users[0].ask(method, path("x", number, kind))
            assert (answer.status, answer.text) == (404, f"No such post: {number}")
        assert moderator.ask("DELETE", f"/room/lobby/reactions/{number}").status == 404
    assert users[0].ask("PUT", "/room/annex/reaction/1/x").status == 404


def test_it_takes_a_name_and_the_right_to_read_but_not_to_write(community, users):
    post(users[0])
    for method in ("PUT", "DELETE"):
        refused = community.anonymous.ask(method, path("x"))
        assert (refused.status, refused.text) == (401, "X-SOGS-* request authentication required")
    community.server._database.execute("UPDATE rooms SET write = 0")
    assert react(users[1], "x")["added"]
    community.server._database.execute("UPDATE rooms SET read = 0")
    for method, kind in (("PUT", "reaction"), ("DELETE", "reaction"), ("GET", "reactors")):
        refused = users[1].ask(method, path("x", kind=kind))
        assert (refused.status, refused.text) == (
            403,
            "This endpoint requires room message 'read' permission",
        )
    community.ban_from("lobby", users[2])
    assert users[2].ask("PUT", path("x")).status == 403
