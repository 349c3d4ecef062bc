"""Bans and their ends: who may, from where, for how long (open-group-server §13)."""

import base64
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Member, Town

POST = {"data": base64.b64encode(b"post").decode(), "signature": base64.b64encode(b"sig".ljust(64)).decode()}


def ban(actor: "Member", target: "Member", status: int = 200, **body: Any) -> Any:
    return actor.answered(status, "POST", f"/user/{target.id}/ban", body)


def unban(actor: "Member", target: "Member", status: int = 200, **body: Any) -> Any:
    return actor.answered(status, "POST", f"/user/{target.id}/unban", body)


def posts(member: "Member") -> tuple[int, int]:
    """What a message into each of the two rooms is answered."""
    first, second = (member.ask("POST", f"/room/{room}/message", POST) for room in ("test-room", "room2"))
    return first.status, second.status


class TestBans:
    def test_from_one_room(self, town: "Town") -> None:
        assert posts(town.user) == (201, 201)
        assert ban(town.mod, town.user, rooms=["test-room"]) == {}
        assert posts(town.user) == (403, 201)
        assert posts(town.user2) == (201, 201)
        assert town.user.ask("GET", "/room/test-room").status == 404
        assert town.user.ask("GET", "/room/test-room/messages/recent").status == 403
        assert town.user.ask("GET", "/room/test-room/pollInfo/0").status == 403
        assert [room["token"] for room in town.user.get("/rooms")] == ["room2"]
        assert unban(town.mod, town.user, rooms=["test-room"]) == {}
        assert posts(town.user) == (201, 201)

    def test_from_all_rooms_of_a_moderator(self, town: "Town") -> None:
        ban(town.global_mod, town.user, rooms=["*"])
        assert posts(town.user) == (403, 403)
        unban(town.mod, town.user, rooms=["*"])
        assert posts(town.user) == (201, 403)
        unban(town.global_mod, town.user, rooms=["*"])
        assert posts(town.user) == (201, 201)
        for actor in (town.user2, town.mod):
            ban(actor, town.user, 403, rooms=["room2"])
            ban(actor, town.user, 403, rooms=["test-room", "room2"])
            unban(actor, town.user, 403, rooms=["room2"])
        ban(town.user2, town.user, 403, rooms=["*"])
        assert posts(town.user) == (201, 201)

    def test_from_the_server(self, town: "Town") -> None:
        for actor in (town.user2, town.mod, town.admin):
            ban(actor, town.user, 403, **{"global": True})
        ban(town.global_mod, town.user, **{"global": True})
        for method, target in (("GET", "/rooms"), ("GET", "/capabilities"), ("POST", "/room/room2/message")):
            answer = town.user.ask(method, target, POST if method == "POST" else None)
            assert (answer.status, answer.text) == (403, "Banned")
        assert town.anonymous.ask("GET", "/rooms").status == 200
        assert posts(town.user2) == (201, 201)
        for actor in (town.mod, town.admin):
            unban(actor, town.user, 403, **{"global": True})
        unban(town.global_mod, town.user, **{"global": True})
        assert posts(town.user) == (201, 201)

    def test_room_and_server_are_two_bans(self, town: "Town") -> None:
        ban(town.global_mod, town.user, rooms=["test-room"])
        ban(town.global_mod, town.user, **{"global": True})
        unban(town.global_mod, town.user, **{"global": True})
        assert posts(town.user) == (403, 201)

    def test_of_moderators(self, town: "Town") -> None:
        for actor in (town.mod, town.admin, town.global_mod, town.global_admin):
            ban(actor, actor, 403, rooms=["test-room"])
        for target in (town.global_mod, town.global_admin):
            for actor in (town.mod, town.admin, town.global_admin, town.global_mod):
                ban(actor, target, 403, rooms=["test-room"])
            ban(town.global_admin, target, 403, **{"global": True})
        # Moderators do not ban each other; admins do, and end the role by it.
        for target in (town.mod, town.admin):
            ban(town.global_mod, target, 403, rooms=["test-room"])
        ban(town.mod, town.admin, 403, rooms=["*"])
        before = town.control("room_get", token="test-room")["info_updates"]
        ban(town.admin, town.mod, rooms=["test-room"])
        assert not town.may(town.mod, "moderator")
        assert not town.may(town.mod, "read")
        ban(town.admin, town.user, rooms=["test-room"])
        assert town.control("room_get", token="test-room")["info_updates"] == before + 1
        unban(town.admin, town.mod, rooms=["test-room"])
        assert town.may(town.mod, "read")
        assert not town.may(town.mod, "moderator")

    def test_all_rooms_or_none(self, town: "Town") -> None:
        ban(town.global_mod, town.mod, 403, rooms=["room2", "test-room"])
        assert posts(town.mod) == (201, 201)

    def test_unknown_users(self, town: "Town") -> None:
        stranger = town.community.member("stranger")
        assert unban(town.global_mod, stranger, rooms=["test-room"]) == {}
        assert ban(town.global_mod, stranger, **{"global": True}) == {}
        assert stranger.ask("GET", "/rooms").status == 403

    @pytest.mark.parametrize("timeout", ["1", True, [], {}, "soon"])
    def test_timeouts_that_are_no_numbers(self, town: "Town", timeout: Any) -> None:
        ban(town.mod, town.user, 400, rooms=["test-room"], timeout=timeout)
        assert posts(town.user) == (201, 201)

    @pytest.mark.parametrize("timeout", [1e300, 1e30, 2**63])
    def test_a_ban_for_ages(self, town: "Town", timeout: float) -> None:
        ban(town.mod, town.user, rooms=["test-room"], timeout=timeout)
        (future,) = town.mod.get(f"/room/test-room/futurePermissions/{town.user.id}")
        assert future["at"] > 1e12
        town.control("cleanup")
        assert posts(town.user) == (403, 201)


class TestBansForAWhile:
    def test_end_at_the_cleanup(self, town: "Town") -> None:
        ban(town.global_mod, town.user, rooms=["*"], timeout=0.001)
        assert posts(town.user) == (403, 403)
        town.clock.move(2)
        assert town.control("cleanup") == [0, 0, 0, 2, 0]
        assert posts(town.user) == (201, 201)
        ban(town.mod, town.user, rooms=["*"], timeout=30)
        assert posts(town.user) == (403, 201)
        assert town.control("cleanup") == [0, 0, 0, 0, 0]
        assert posts(town.user) == (403, 201)

    def test_the_last_call_says_when(self, town: "Town") -> None:
        def end(*timeouts: float | None, expected: int, **scope: Any) -> None:
            for timeout in timeouts:
                ban(town.global_mod, town.user, **scope, timeout=timeout)
            assert town.control("count", table="user_ban_futures") == (0 if timeouts[-1] in (None, 0) else 1)
            town.clock.move(5)
            assert town.control("cleanup") == [0, 0, 0, expected, 0]
            assert posts(town.user)[0] == (201 if expected else 403)
            unban(town.global_mod, town.user, **scope)
            assert town.control("count", table="user_ban_futures") == 0

        for scope in ({"rooms": ["test-room"]}, {"global": True}):
            end(30, 0.001, expected=1, **scope)
            end(0.001, 30, expected=0, **scope)
            end(0.001, None, expected=0, **scope)
            end(0.001, 0, expected=0, **scope)
            end(-5, expected=1, **scope)
            end(0.001, expected=1, **scope)

    def test_are_listed_with_the_futures_of_a_room(self, town: "Town") -> None:
        ban(town.global_mod, town.user, rooms=["*"], timeout=30)
        ban(town.global_mod, town.user2, **{"global": True}, timeout=30)
        at = town.clock.now_ms() / 1000 + 30
        ends = [{"session_id": town.user.id, "banned": False, "at": at}]
        assert town.mod.get("/room/test-room/futurePermissions") == ends
        # What is forgiven is forgotten: a later ban without a time limit stays.
        unban(town.mod, town.user, rooms=["test-room"])
        assert town.mod.get("/room/test-room/futurePermissions") == []
        assert town.control("count", table="user_ban_futures") == 2
        ban(town.mod, town.user, rooms=["test-room"])
        town.clock.move(31_000)
        assert town.control("cleanup") == [0, 0, 0, 2, 0]
        assert posts(town.user) == (403, 201)
        assert posts(town.user2) == (201, 201)

    def test_the_periodic_cleanup_ends_them(self, town: "Town") -> None:
        ban(town.mod, town.user, rooms=["test-room"], timeout=5)
        town.clock.move(6000)
        town.control("cleanup")
        ban(town.mod, town.user, rooms=["test-room"], timeout=5)
        town.clock.move(6000)
        periodic = town.community.server._cleanup.run_periodically
        # Whoever cleans up by hand has one period for himself.
        periodic()
        assert posts(town.user) == (403, 201)
        periodic()
        assert posts(town.user) == (201, 201)
