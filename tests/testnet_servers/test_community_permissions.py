"""Rights of single users, now and later, and what they add up to (open-group-server §§7, 14)."""

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from conftest import Member, Town

RIGHTS = ("read", "accessible", "write", "upload")
ROOM = "/room/test-room"


def path(member: "Member", kind: str = "permissions") -> str:
    return f"{ROOM}/{kind}/{member.id}"


def change(actor: "Member", target: "Member", status: int = 200, **body: Any) -> Any:
    return actor.answered(status, "POST", path(target), body)


def schedule(actor: "Member", target: "Member", status: int = 200, **body: Any) -> Any:
    return actor.answered(status, "POST", path(target, "futurePermissions"), body)


class TestReading:
    def test_is_for_moderators(self, town: "Town") -> None:
        for viewer in (town.user, town.user2, town.anonymous):
            for kind in ("permissions", "futurePermissions"):
                for target in (f"{ROOM}/{kind}", path(town.user, kind)):
                    answer = viewer.ask("GET", target)
                    expected = (403, "This endpoint requires moderator room permissions")
                    assert (answer.status, answer.text) == expected
        assert town.mod.ask("GET", "/room/room2/permissions").status == 403
        assert town.mod.ask("GET", "/room/nowhere/permissions").status == 404

    def test_shows_what_is_special(self, town: "Town") -> None:
        expected = {town.mod.id: {"moderator": True}, town.admin.id: {"moderator": True, "admin": True}}
        for viewer in (town.mod, town.admin, town.global_mod):
            assert viewer.get(f"{ROOM}/permissions") == expected
            assert viewer.get(path(town.admin)) == expected[town.admin.id]
            assert viewer.get(f"{ROOM}/futurePermissions") == []
            assert viewer.get(path(town.user)) == viewer.get(path(town.community.member("stranger"))) == {}
            assert viewer.get(path(town.user, "futurePermissions")) == []
            assert viewer.get(path(town.community.member("stranger"), "futurePermissions")) == []
        body = {"rooms": ["test-room"], "moderator": True, "visible": False}
        town.admin.answered(200, "POST", f"/user/{town.user.id}/moderator", body)
        town.admin.answered(200, "POST", f"/user/{town.user2.id}/ban", {"rooms": ["test-room"]})
        assert town.mod.get(path(town.user)) == {"moderator": True, "hidden": True}
        assert town.mod.get(path(town.user2)) == {"banned": True}

    @pytest.mark.parametrize("kind", ["permissions", "futurePermissions"])
    def test_ids_that_cannot_be(self, town: "Town", kind: str) -> None:
        for bad in ("05", "25" + town.user.id[2:], town.user.id + "0", "me", "x" * 66):
            assert town.mod.ask("GET", f"{ROOM}/{kind}/{bad}").status == 404
            assert town.mod.ask("POST", f"{ROOM}/{kind}/{bad}", {"read": True, "in": 1}).status == 404
        assert town.mod.get(f"{ROOM}/{kind}/{town.user.id.upper()}") in ({}, [])


class TestChanging:
    def test_sets_and_clears_single_rights(self, town: "Town") -> None:
        assert change(town.mod, town.user, read=True, write=False) == {"read": True, "write": False}
        assert change(town.mod, town.user, default_read=True) == {"write": False}
        reply = change(town.mod, town.user, default_read=True, write=False, upload=False, accessible=True)
        assert reply == {"write": False, "upload": False, "accessible": True}
        listed = town.mod.get(f"{ROOM}/permissions")
        assert listed[town.user.id] == town.mod.get(path(town.user)) == reply
        assert change(town.mod, town.user, **{f"default_{right}": True for right in RIGHTS}) == {}
        assert town.user.id not in town.mod.get(f"{ROOM}/permissions")
        # null and false leave it open.
        assert change(town.mod, town.user, read=False, write=None, default_upload=False) == {"read": False}

    def test_takes_effect_and_is_no_update_of_the_room(self, town: "Town") -> None:
        before = town.control("room_get", token="test-room")["info_updates"]
        change(town.mod, town.user, write=False)
        assert town.user.get(ROOM)["write"] is False
        assert town.user2.get(ROOM)["write"] is True
        change(town.mod, town.user, read=False, accessible=False)
        assert town.user.ask("GET", ROOM).status == 404
        assert town.control("room_get", token="test-room")["info_updates"] == before

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"read": None},
            {"default_read": False},
            {"banned": True},
            {"moderator": True},
            {"unschedule": True},
            {"read": True, "default_read": True},
            {"read": 1},
            {"read": "yes"},
            {"write": [True]},
            {"read": True, "upload": {}},
            {"default_write": 1},
        ],
    )
    def test_bodies_that_cannot_be(self, town: "Town", body: dict[str, Any]) -> None:
        stranger = town.community.member("stranger")
        change(town.mod, stranger, 400, **body)
        assert town.mod.get(path(stranger)) == {}

    def test_is_for_moderators(self, town: "Town") -> None:
        for actor in (town.user, town.anonymous):
            change(actor, town.user, 403, write=True)
            schedule(actor, town.user, 403, write=True, **{"in": 1})

    def test_an_unknown_user_has_them_from_the_start(self, town: "Town") -> None:
        stranger = town.community.member("stranger")
        change(town.mod, stranger, write=False)
        assert stranger.get(ROOM)["write"] is False


class TestFutures:
    def test_are_listed_applied_and_cleared(self, town: "Town") -> None:
        requests = [
            {
                "method": "POST",
                "path": path(town.user),
                "json": {"read": True, "write": False, "upload": False, "accessible": True},
            },
            {
                "method": "POST",
                "path": path(town.user, "futurePermissions"),
                "json": {"write": True, "upload": True, "in": 0.001},
            },
        ]
        now = town.clock.now_ms() / 1000
        first = {"write": True, "upload": True, "at": now + 0.001}
        json_type = {"content-type": "application/json"}
        assert town.mod.answered(200, "POST", "/sequence", requests) == [
            {
                "code": 200,
                "headers": json_type,
                "body": {"read": True, "write": False, "upload": False, "accessible": True},
            },
            {"code": 200, "headers": json_type, "body": [first]},
        ]
        everyone = f"{ROOM}/futurePermissions"
        assert town.mod.get(everyone) == [{"session_id": town.user.id, **first}]
        town.clock.move(2)
        second = {"read": False, "write": False, "upload": False, "at": now + 0.002 + 30}
        reply = schedule(town.mod, town.user, read=False, write=False, upload=False, **{"in": 30})
        assert reply == [first, second]
        assert town.control("cleanup") == [0, 0, 0, 1, 0]
        # What equals the room's default is no longer special.
        assert town.mod.get(path(town.user)) == {"read": True, "accessible": True}
        assert town.mod.get(path(town.user, "futurePermissions")) == [second]
        assert town.mod.get(everyone) == [{"session_id": town.user.id, **second}]
        assert town.mod.get(f"{ROOM}/permissions") == {
            town.user.id: {"read": True, "accessible": True},
            town.mod.id: {"moderator": True},
            town.admin.id: {"moderator": True, "admin": True},
        }
        town.clock.move(30_000)
        assert town.control("cleanup") == [0, 0, 0, 1, 0]
        expected = {"read": False, "accessible": True, "write": False, "upload": False}
        assert town.mod.get(path(town.user)) == expected

    def test_apply_in_the_order_of_their_times(self, town: "Town") -> None:
        schedule(town.mod, town.user, write=True, **{"in": 20})
        schedule(town.mod, town.user, write=False, read=False, **{"in": 10})
        assert [row["at"] for row in town.mod.get(path(town.user, "futurePermissions"))] == [
            town.clock.now_ms() / 1000 + delay for delay in (10, 20)
        ]
        town.clock.move(60_000)
        assert town.control("cleanup") == [0, 0, 0, 2, 0]
        assert town.mod.get(path(town.user)) == {"read": False}

    def test_are_dropped_by_a_change_of_the_same_right(self, town: "Town") -> None:
        futures = path(town.user, "futurePermissions")
        schedule(town.mod, town.user, read=False, write=False, **{"in": 10})
        schedule(town.mod, town.user, write=True, **{"in": 20})
        change(town.mod, town.user, write=True, unschedule=False)
        assert len(town.mod.get(futures)) == 2
        change(town.mod, town.user, write=True)
        (left,) = town.mod.get(futures)
        assert left == {"read": False, "at": town.clock.now_ms() / 1000 + 10}
        # No empty row stays behind, and other users keep theirs.
        schedule(town.mod, town.user2, read=False, **{"in": 10})
        change(town.mod, town.user, default_read=True, unschedule=None)
        assert town.mod.get(futures) == []
        assert len(town.mod.get(f"{ROOM}/futurePermissions")) == 1

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"in": 1},
            {"read": True},
            {"read": None, "in": 1},
            {"accessible": True, "in": 1},
            {"read": 1, "in": 1},
            {"read": True, "write": "no", "in": 1},
            *({"read": True, "in": delay} for delay in (0, -1, 1e9, 1e300, "1", True, None, [1])),
        ],
    )
    def test_bodies_that_cannot_be(self, town: "Town", body: dict[str, Any]) -> None:
        schedule(town.mod, town.user, 400, **body)
        assert town.mod.get(path(town.user, "futurePermissions")) == []


def test_the_whole_table_of_rights(town: "Town") -> None:
    """Every role and flag against every default of the room, through the server's own check."""
    people = (town.user, town.user2, town.mod, town.admin, town.global_mod, town.global_admin)
    admins, moderators = (town.admin, town.global_admin), people[2:]
    change(town.mod, town.user2, read=False, write=True)
    for defaults in itertools.product([True, False], repeat=4):
        room = dict(zip(RIGHTS, defaults, strict=True))
        for right, flag in room.items():
            town.control("room_set", token="test-room", field=f"default_{right}", value=flag)
        for member in (*people, None):
            own = room | ({"read": False, "write": True} if member is town.user2 else {})
            own["accessible"] |= own["read"]
            for right in RIGHTS:
                assert town.may(member, right) is (member in moderators or own[right])
            both = own["read"] and own["write"]
            assert town.may(member, "read", "write") is (member in moderators or both)
    for member in (*people, None):
        assert town.may(member, "moderator") is (member in moderators)
        assert town.may(member, "admin") is (member in admins)
        assert town.may(member) is True
    town.control("ban", session_id=town.user.id, banned=True)
    assert not town.may(town.user)
    assert not town.may(town.user, "accessible")


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    [
        *RIGHTS,
        *(f"default_{right}" for right in RIGHTS),
        *("unschedule", "in", "rooms", "global", "moderator", "admin", "visible", "timeout"),
        *("name", "description", "image"),
    ]
)
likely = st.booleans() | st.none() | st.just(["test-room"]) | st.just(["*"]) | st.integers(-5, 5)
bodies = st.dictionaries(MEMBERS, likely | any_json, max_size=6) | any_json


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    body=bodies, target=st.sampled_from(range(6)), actor=st.sampled_from(["admin", "global_admin", "user"])
)
def test_no_body_breaks_an_endpoint(town: "Town", body: Any, target: int, actor: str) -> None:
    someone = town.user.id
    method, where, statuses = [
        ("POST", f"/user/{someone}/moderator", {200, 400, 403, 404}),
        ("POST", f"/user/{someone}/ban", {200, 400, 403, 404}),
        ("POST", f"/user/{someone}/unban", {200, 400, 403, 404}),
        ("POST", path(town.user), {200, 400, 403}),
        ("POST", path(town.user, "futurePermissions"), {200, 400, 403}),
        ("PUT", ROOM, {200, 400, 403, 406}),
    ][target]
    member: Member = getattr(town, actor)
    sent = json.dumps(body).encode()
    answer = member.ask(method, where, body=sent, headers={"Content-Type": "application/json"})
    if answer.text == "Banned":
        town.control("ban", session_id=member.id, banned=False)
    else:
        assert answer.status in statuses, (answer.status, answer.text)
    # Whatever came, the room can be shown to everybody.
    assert town.global_admin.ask("GET", "/rooms").status == 200
