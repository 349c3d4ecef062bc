"""Removing messages over real sockets, directly and through onions (open-group-server §§9.5, 13)."""

import pytest

from session_testnet.services.community import Role

SIGNATURE = "A" * 86
POST = "/room/lobby/message"


@pytest.fixture
def community(open_community):
    return open_community()


@pytest.fixture
def alice(community):
    return community.member("alice")


@pytest.fixture
def bob(community):
    return community.member("bob")


@pytest.fixture
def moderator(community):
    member = community.member("moderator")
    community.server.give_role(Role(member.id, "lobby"))
    return member


def post_many(member, count, room="lobby"):
    element = {
        "method": "POST",
        "path": f"/room/{room}/message",
        "json": {"data": "YQ==", "signature": SIGNATURE},
    }
    for start in range(0, count, 64):
        answers = member.answered(200, "POST", "/batch", [element] * min(64, count - start))
        assert {answer["code"] for answer in answers} == {201}


def count(community, room="lobby"):
    (number,) = community.server._database.execute(
        "SELECT COUNT(*) FROM posts WHERE data IS NOT NULL AND room = (SELECT id FROM rooms WHERE token = ?)",
        (room,),
    ).fetchone()
    return number


class TestOne:
    def test_a_moderator_and_the_author_delete_and_nobody_else(self, community, alice, bob, moderator):
        post_many(alice, 3)
        assert moderator.answered(200, "DELETE", f"{POST}/1") == {}
        assert alice.answered(200, "DELETE", f"{POST}/2") == {}
        refused = bob.ask("DELETE", f"{POST}/3")
        assert refused.seen_by_client == (403, "text/html; charset=utf-8", b"Permission denied")
        assert community.anonymous.ask("DELETE", f"{POST}/3").status == 401
        assert count(community) == 1
        assert community.anonymous.get("/room/lobby")["message_sequence"] == 5

    def test_what_is_missing_or_deleted_is_not_found(self, alice, moderator):
        post_many(alice, 1)
        alice.answered(200, "DELETE", f"{POST}/1")
        for member in (alice, moderator):
            for number in (1, 2, 10**30):
                answer = member.ask("DELETE", f"{POST}/{number}")
                assert (answer.status, answer.text) == (404, f"No such post: {number}")

    def test_who_is_banned_learns_nothing(self, community, alice, bob):
        post_many(alice, 1)
        community.ban_from("lobby", alice)
        community.server.ban(bob.id)
        for number in (1, 2):
            assert alice.ask("DELETE", f"{POST}/{number}").text == "Permission denied"
            assert alice.ask("DELETE", f"{POST}/{number}").status == 403
            assert bob.ask("DELETE", f"{POST}/{number}").seen_by_client == (
                403,
                "text/plain; charset=utf-8",
                b"Banned",
            )
        assert count(community) == 1


class TestAllOfARoom:
    def test_a_moderator_removes_all_of_a_user(self, community, alice, bob, moderator):
        post_many(alice, 256)
        post_many(bob, 2)
        post_many(alice, 1, "annex")
        before = community.anonymous.get("/room/lobby")["message_sequence"]
        assert moderator.answered(200, "DELETE", f"/room/lobby/all/{alice.id}") == {}
        assert (count(community), count(community, "annex")) == (2, 1)
        assert community.anonymous.get("/room/lobby")["message_sequence"] == before + 256
        tombstones = community.anonymous.get(f"/room/lobby/messages/since/{before}?limit=256")
        assert [row["id"] for row in tombstones] == list(range(1, 257))
        assert all(row["deleted"] for row in tombstones)
        again = moderator.ask("DELETE", f"/room/lobby/all/{alice.id}")
        assert again.status == 404
        assert moderator.ask("DELETE", f"/room/annex/all/{alice.id}").status == 403

    def test_others_remove_nothing(self, community, alice, bob, moderator):
        post_many(alice, 3)
        post_many(moderator, 3)
        for member, victim in ((bob, alice), (bob, moderator), (alice, moderator)):
            assert member.ask("DELETE", f"/room/lobby/all/{victim.id}").status == 403
        assert community.anonymous.ask("DELETE", f"/room/lobby/all/{alice.id}").status == 401
        assert count(community) == 6

    def test_everybody_removes_their_own(self, community, alice, bob):
        post_many(alice, 130)
        post_many(bob, 1)
        assert alice.answered(200, "DELETE", f"/room/lobby/all/{alice.id}") == {}
        assert count(community) == 1
        assert alice.ask("DELETE", f"/room/lobby/all/{alice.id}").status == 404

    def test_reactions_pins_and_their_counters_go_along(self, community, alice, bob, moderator):
        post_many(alice, 2)
        bob.answered(200, "PUT", "/room/lobby/reaction/2/x")
        community.server.give_role(Role(moderator.id, "lobby", admin=True))
        moderator.answered(200, "POST", "/room/lobby/pin/1")
        before = community.anonymous.get("/room/lobby")
        moderator.answered(200, "DELETE", f"/room/lobby/all/{alice.id}")
        after = community.anonymous.get("/room/lobby")
        assert after["message_sequence"] == before["message_sequence"] + 3
        assert after["info_updates"] == before["info_updates"] + 1
        assert "pinned_messages" not in after

    @pytest.mark.parametrize("unknown", ["05" + "ab" * 32, "15" + "ab" * 32])
    def test_an_unknown_user_has_no_messages(self, moderator, unknown):
        answer = moderator.ask("DELETE", f"/room/lobby/all/{unknown}")
        assert (answer.status, answer.text) == (404, f"No such user: {unknown}")
        assert moderator.ask("DELETE", f"/rooms/all/{unknown}").status == 404

    @pytest.mark.parametrize("odd", ["05", "25" + "ab" * 32, "05" + "xy" * 32, "05" + "ab" * 33])
    def test_what_is_no_id_is_no_path(self, moderator, odd):
        for target in (f"/room/lobby/all/{odd}", f"/rooms/all/{odd}"):
            assert b"404 Not Found" in moderator.ask("DELETE", target).body

    def test_where_blinding_is_required_only_blinded_ids_are_ids(self, open_community):
        community = open_community(require_blinding=True)
        alice = community.member("alice", "blinded15")
        post_many(alice, 1)
        account_id = community.accounts("alice").account_id
        assert b"404 Not Found" in alice.ask("DELETE", f"/room/lobby/all/{account_id}").body
        assert alice.answered(200, "DELETE", f"/room/lobby/all/{alice.id}") == {}


class TestEverywhere:
    def test_a_moderator_acts_where_it_moderates(self, community, alice, bob, moderator):
        for room in ("lobby", "annex"):
            post_many(alice, 3, room)
        assert bob.answered(200, "DELETE", f"/rooms/all/{alice.id}") == {"total": 0, "rooms": {}}
        assert moderator.answered(200, "DELETE", f"/rooms/all/{alice.id}") == {
            "total": 3,
            "rooms": {"lobby": 3},
        }
        assert (count(community), count(community, "annex")) == (0, 3)
        assert community.anonymous.ask("DELETE", f"/rooms/all/{alice.id}").status == 401

    def test_an_author_acts_in_all_rooms_and_zeros_are_told(self, community, alice):
        post_many(alice, 2, "annex")
        assert alice.answered(200, "DELETE", f"/rooms/all/{alice.id}") == {
            "total": 2,
            "rooms": {"annex": 2, "lobby": 0},
        }
        assert alice.answered(200, "DELETE", f"/rooms/all/{alice.id}")["total"] == 0

    def test_a_moderator_of_the_whole_server_acts_everywhere(self, community, alice, bob):
        for room in ("lobby", "annex"):
            post_many(alice, 1, room)
        community.server.give_role(Role(bob.id))
        assert bob.answered(200, "DELETE", f"/rooms/all/{alice.id}") == {
            "total": 2,
            "rooms": {"annex": 1, "lobby": 1},
        }

    def test_ban_and_delete_as_desktop_sends_it(self, community, alice, moderator):
        post_many(alice, 4)
        elements = [
            {"method": "GET", "path": "/capabilities"},
            {"method": "DELETE", "path": f"/room/lobby/all/{alice.id}"},
            {"method": "DELETE", "path": f"/room/lobby/all/{alice.id}"},
            {"method": "GET", "path": "/capabilities"},
        ]
        answers = moderator.answered(200, "POST", "/sequence", elements)
        assert [answer["code"] for answer in answers] == [200, 200, 404]
        assert answers[1] == {"code": 200, "headers": {"content-type": "application/json"}, "body": {}}
