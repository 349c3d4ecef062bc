"""Who may make moderators, what each combination does, and who sees them (open-group-server §13)."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.community.roles import RoleChange, RoleFlags
from session_testnet.topology import RoomSpec

if TYPE_CHECKING:
    from conftest import Member, Town

LISTS = ("moderators", "admins", "hidden_moderators", "hidden_admins")


def set_role(actor: "Member", target: "Member", status: int = 200, **body: Any) -> Any:
    return actor.answered(status, "POST", f"/user/{target.id}/moderator", body)


def global_role(town: "Town", member: "Member") -> tuple[bool, bool]:
    flags = town.control("user", session_id=member.id)
    return flags["moderator"], flags["admin"]


def room_role(town: "Town", member: "Member", room: str = "test-room") -> tuple[bool, bool]:
    return town.may(member, "moderator", room=room), town.may(member, "admin", room=room)


def room_lists(viewer: "Member") -> tuple[list[str], ...]:
    room = viewer.get("/room/test-room")
    return tuple(room.get(name, []) for name in LISTS)


def info(town: "Town", room: str = "test-room") -> int:
    return int(town.control("room_get", token=room)["info_updates"])


class TestGlobalRoles:
    def test_only_admins_of_the_server_give_them(self, town: "Town") -> None:
        for actor in (town.user, town.user2, town.mod, town.admin, town.global_mod):
            set_role(actor, town.user2, 403, **{"global": True, "moderator": True})
        anonymous = town.anonymous.ask("POST", f"/user/{town.user2.id}/moderator", {"global": True})
        assert (anonymous.status, anonymous.text) == (401, "X-SOGS-* request authentication required")
        before = info(town), info(town, "room2")
        reply = set_role(town.global_admin, town.user2, **{"global": True, "moderator": True})
        assert reply == {"info_updates": {"room2": before[1] + 1, "test-room": before[0] + 1}}
        assert global_role(town, town.user2) == (True, False)
        assert room_role(town, town.user2, "room2") == (True, False)
        set_role(town.user2, town.user2, 403, **{"global": True, "moderator": True})

    def test_what_takes_them_away(self, town: "Town") -> None:
        for given_ in ({"moderator": True}, {"admin": True}, {"admin": True, "moderator": True}):
            for taken in ({"moderator": False}, {"moderator": False, "admin": False}):
                set_role(town.global_admin, town.user2, **{"global": True, **given_})
                assert global_role(town, town.user2) == (True, "admin" in given_)
                set_role(town.global_admin, town.user2, **{"global": True, **taken})
                assert global_role(town, town.user2) == (False, False)
                assert room_role(town, town.user2, "room2") == (False, False)

    def test_a_new_admin_has_all_that_it_takes(self, town: "Town") -> None:
        set_role(town.global_admin, town.user2, **{"global": True, "admin": True})
        set_role(town.user2, town.user, **{"global": True, "admin": True})
        assert global_role(town, town.user) == (True, True)
        set_role(town.user2, town.user, **{"global": True, "moderator": False})
        assert global_role(town, town.user) == (False, False)

    def test_a_call_that_changes_nothing_is_no_update(self, town: "Town") -> None:
        body = {"global": True, "moderator": True, "visible": True}
        set_role(town.global_admin, town.user, **body)
        before = info(town)
        set_role(town.global_admin, town.user, **body)
        set_role(town.global_admin, town.user2, **{"global": True, "moderator": False})
        set_role(town.global_admin, town.user2, **{"global": True, "admin": False})
        assert info(town) == before
        # On the whole server, visibility alone is one.
        set_role(town.global_admin, town.user, **{"global": True, "moderator": True, "visible": False})
        assert info(town) == before + 1

    def test_an_unknown_id_is_made_a_user(self, town: "Town") -> None:
        stranger = town.community.member("stranger")
        set_role(town.global_admin, stranger, **{"global": True, "admin": True})
        assert stranger.get("/room/room2")["global_admin"] is True


# What the role is afterwards, by what the call says about admin and moderator and who somebody was before.
TABLE = [
    ({"admin": True}, {"none": "admin", "moderator": "admin", "admin": "admin"}),
    ({"admin": True, "moderator": True}, {"none": "admin", "moderator": "admin", "admin": "admin"}),
    ({"admin": False, "moderator": False}, {"none": "none", "moderator": "none", "admin": "none"}),
    ({"moderator": False}, {"none": "none", "moderator": "none", "admin": "none"}),
    (
        {"admin": False, "moderator": True},
        {"none": "moderator", "moderator": "moderator", "admin": "moderator"},
    ),
    ({"admin": False}, {"none": "none", "moderator": "moderator", "admin": "moderator"}),
    ({"moderator": True}, {"none": "moderator", "moderator": "moderator", "admin": "admin"}),
    ({"admin": None, "moderator": "x"}, {"none": "moderator", "moderator": "moderator", "admin": "admin"}),
]
FLAGS = {"none": (False, False), "moderator": (True, False), "admin": (True, True)}
GIVEN = {
    "none": {"moderator": False},
    "moderator": {"admin": False, "moderator": True},
    "admin": {"admin": True},
}


@pytest.mark.parametrize("where", [{"global": True}, {"rooms": ["test-room"]}])
def test_every_combination(town: "Town", where: dict[str, Any]) -> None:
    role = global_role if "global" in where else room_role
    for (said, outcomes), before in itertools.product(TABLE, FLAGS):
        set_role(town.global_admin, town.user, **where, **GIVEN[before])
        assert role(town, town.user) == FLAGS[before]
        updates = info(town)
        set_role(town.global_admin, town.user, **where, **said)
        assert role(town, town.user) == FLAGS[outcomes[before]], (said, before)
        assert info(town) == updates + (FLAGS[before] != FLAGS[outcomes[before]])
    for said in ({"admin": True, "moderator": False}, {}, {"visible": True}, {"admin": None}):
        set_role(town.global_admin, town.user, 400, **where, **said)


class TestRoomRoles:
    def test_only_admins_of_the_room_give_them(self, town: "Town") -> None:
        for actor in (town.user, town.user2, town.mod, town.global_mod):
            for rooms in (["*"], ["test-room"]):
                set_role(actor, town.user2, 403, rooms=rooms, moderator=True)
        before = info(town)
        reply = set_role(town.global_admin, town.user2, rooms=["TEST-room"], moderator=True)
        assert reply == {"info_updates": {"test-room": before + 1}}
        # The admin of one room means that one by all.
        reply = set_role(town.admin, town.user, rooms=["*"], moderator=True)
        assert reply == {"info_updates": {"test-room": before + 2}}
        for member in (town.user, town.user2):
            assert global_role(town, member) == (False, False)
            assert room_role(town, member) == (True, False)
            assert room_role(town, member, "room2") == (False, False)
        set_role(town.user2, town.user2, 403, rooms=["*"], moderator=True)

    def test_all_rooms_of_who_administers_all(self, town: "Town") -> None:
        reply = set_role(town.global_admin, town.user2, rooms=["*"], moderator=True)
        assert list(reply["info_updates"]) == ["room2", "test-room"]
        assert room_role(town, town.user2) == room_role(town, town.user2, "room2") == (True, False)
        set_role(town.global_admin, town.user, rooms=["room2"], admin=True)
        set_role(town.user, town.user2, rooms=["*"], admin=True)
        assert room_role(town, town.user2) == (True, False)
        assert room_role(town, town.user2, "room2") == (True, True)

    def test_all_rooms_or_none(self, town: "Town") -> None:
        set_role(town.global_admin, town.user, rooms=["room2"], admin=True)
        updates = info(town), info(town, "room2")
        for rooms in (
            ["room2", "test-room"],
            ["test-room", "room2"],
            ["room2", "nowhere"],
            ["room2", "ROOM2"],
        ):
            set_role(town.user, town.user2, 403, rooms=rooms, moderator=True)
        assert (info(town), info(town, "room2")) == updates
        assert room_role(town, town.user2, "room2") == (False, False)
        set_role(town.global_admin, town.user2, rooms=["room2", "test-room"], moderator=True)
        assert (info(town), info(town, "room2")) == (updates[0] + 1, updates[1] + 1)

    def test_an_admin_steps_down(self, town: "Town") -> None:
        set_role(town.admin, town.admin, rooms=["test-room"], admin=False, moderator=True)
        assert room_role(town, town.admin) == (True, False)
        set_role(town.admin, town.admin, 403, rooms=["test-room"], admin=True)

    def test_who_is_banned_becomes_no_moderator(self, town: "Town") -> None:
        town.mod.answered(200, "POST", f"/user/{town.user.id}/ban", {"rooms": ["test-room"]})
        set_role(town.admin, town.user, 400, rooms=["test-room"], moderator=True)
        assert set_role(town.global_admin, town.user, 400, rooms=["room2", "test-room"], admin=True) is None
        assert room_role(town, town.user, "room2") == (False, False)
        town.control("ban", session_id=town.user2.id, banned=True)
        set_role(town.global_admin, town.user2, 400, **{"global": True, "moderator": True})


BAD_SCOPES: list[tuple[int, dict[str, Any]]] = [
    (400, {"global": True, "rooms": ["test-room"]}),
    (400, {"global": True, "rooms": []}),
    (400, {}),
    (400, {"rooms": []}),
    (400, {"global": False, "rooms": []}),
    (400, {"global": False, "rooms": None}),
    (400, {"global": False}),
    (400, {"rooms": "test-room"}),
    (400, {"rooms": {"test-room": True}}),
    (400, {"rooms": 1}),
    (400, {"rooms": ["test-room", "*"]}),
    (400, {"rooms": ["*", "test-room"]}),
    (400, {"rooms": ["*", "*"]}),
    (404, {"rooms": [1]}),
    (404, {"rooms": ["test-room", None]}),
    (404, {"rooms": [["test-room"]]}),
    (403, {"rooms": ["nowhere"]}),
    (403, {"rooms": ["test-room", "test-room"]}),
    (403, {"rooms": ["'; DROP TABLE rooms; --"]}),
]


@pytest.mark.parametrize(("status", "scope"), BAD_SCOPES)
@pytest.mark.parametrize("call", ["moderator", "ban", "unban"])
def test_scopes_that_cannot_be(town: "Town", call: str, status: int, scope: dict[str, Any]) -> None:
    target = f"/user/{town.user.id}/{call}"
    town.global_admin.answered(status, "POST", target, {**scope, "moderator": True})
    assert room_role(town, town.user) == (False, False)
    assert town.may(town.user, "write")


@pytest.mark.parametrize("call", ["moderator", "ban", "unban"])
def test_bodies_and_ids_that_cannot_be(town: "Town", call: str) -> None:
    for body in (b"", b"{", b"[]", b'"global"', b"null"):
        answer = town.global_admin.ask(
            "POST", f"/user/{town.user.id}/{call}", body=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status == 400, body
    assert town.global_admin.ask("POST", f"/user/{town.user.id}/{call}", body=b"{}").status == 400
    for bad in (town.user.id[:-1], "25" + town.user.id[2:], "00" + town.user.id[2:], "g" * 66):
        assert town.global_admin.ask("POST", f"/user/{bad}/{call}", {"global": True}).status == 404
    assert town.global_admin.ask("GET", f"/user/{town.user.id}/{call}").status == 405


class TestVisibility:
    def test_of_global_roles(self, town: "Town") -> None:
        mod, admin, user = town.mod.id, town.admin.id, town.user.id
        gmod, gadmin = town.global_mod.id, town.global_admin.id

        def say(**body: Any) -> None:
            set_role(town.global_admin, town.user, **{"global": True, **body})

        say(moderator=True)
        assert room_lists(town.user2) == ([mod], [admin], [], [])
        assert room_lists(town.mod) == ([mod], [admin], sorted([user, gmod]), [gadmin])
        say(moderator=True, visible=True)
        assert room_lists(town.user2) == (sorted([mod, user]), [admin], [], [])
        assert room_lists(town.mod) == (sorted([mod, user]), [admin], [gmod], [gadmin])
        say(moderator=True, visible=False)
        assert room_lists(town.user2) == ([mod], [admin], [], [])
        say(moderator=False)
        say(admin=True, visible=True)
        assert room_lists(town.user2) == ([mod], sorted([admin, user]), [], [])
        # Visibility is set by every call, to its default where nothing is said.
        say(admin=True)
        assert room_lists(town.user2) == ([mod], [admin], [], [])
        assert room_lists(town.mod) == ([mod], [admin], [gmod], sorted([gadmin, user]))

    def test_of_room_roles(self, town: "Town") -> None:
        mod, admin, user = town.mod.id, town.admin.id, town.user.id
        gmod, gadmin = town.global_mod.id, town.global_admin.id

        def say(**body: Any) -> None:
            set_role(town.global_admin, town.user, rooms=["test-room"], **body)

        say(moderator=True)
        assert room_lists(town.user2) == (sorted([mod, user]), [admin], [], [])
        updates = info(town)
        say(moderator=True, visible=False)
        assert room_lists(town.user2) == ([mod], [admin], [], [])
        assert room_lists(town.mod) == ([mod], [admin], sorted([user, gmod]), [gadmin])
        # Whether a moderator of a room shows is no update of the room.
        assert info(town) == updates
        say(moderator=False)
        say(admin=True, visible=True)
        assert room_lists(town.user2) == ([mod], sorted([admin, user]), [], [])
        say(admin=True, visible=False)
        assert room_lists(town.user2) == ([mod], [admin], [], [])
        assert room_lists(town.mod) == ([mod], [admin], [gmod], sorted([user, gadmin]))
        say(admin=False)
        assert room_lists(town.mod) == ([mod], [admin], sorted([user, gmod]), [gadmin])
        say(admin=True)
        assert room_lists(town.user2) == ([mod], sorted([admin, user]), [], [])

    def test_the_room_decides_about_who_moderates_both(self, town: "Town") -> None:
        set_role(town.global_admin, town.user, **{"global": True, "moderator": True, "visible": True})
        set_role(town.global_admin, town.user, rooms=["test-room"], moderator=True, visible=False)
        set_role(town.global_admin, town.global_mod, rooms=["test-room"], admin=True)
        assert room_lists(town.user2) == ([town.mod.id], sorted([town.admin.id, town.global_mod.id]), [], [])
        assert room_lists(town.mod)[2] == [town.user.id]


def test_roles_of_a_topology_are_given_once(clock: Any, trace: Any, tmp_path: Path) -> None:
    """Who has lost a role while the server ran does not get it back by a restart."""
    chief = "05" + "11" * 32
    options = {
        "clock": clock,
        "trace": trace,
        "directory": tmp_path,
        "roles": (Role(chief, "hall", admin=True), Role(chief, admin=True)),
    }
    hall = RoomSpec("hall", messages=("Welcome",), default_write=False)
    server = CommunityServer(bytes(32), rooms=(hall,), **options)
    administration = server.administration
    room = administration.room("hall")
    assert (administration.moderators(room).admins, room.defaults.write) == ([chief], False)
    administration.change_role(chief, "hall", RoleChange(moderator=False, admin=False))
    administration.set_room("hall", "default_write", True)
    server.close()
    server = CommunityServer(bytes(32), rooms=(hall, RoomSpec("annex")), **options)
    administration = server.administration
    moderators = administration.moderators(administration.room("hall"))
    assert (moderators.admins, moderators.hidden_admins) == ([], [chief])
    assert administration.room("HALL").defaults.write
    assert [room.token for room in administration.rooms()] == ["annex", "hall"]
    server.close()


flags = st.booleans() | st.none()


@given(
    change=st.builds(RoleChange, flags, flags, flags), before=st.sampled_from(sorted(FLAGS)), visible=flags
)
def test_the_result_is_a_role_and_stays(change: RoleChange, before: str, visible: bool | None) -> None:
    if not change.is_possible:
        return
    moderator, admin = FLAGS[before]
    now = RoleFlags(moderator, admin, bool(visible))
    after = change.applied_to(now, default_visible=True)
    assert after.moderator or not after.admin
    assert change.applied_to(after, default_visible=True) == after
    if change.gives_something:
        assert after.moderator
    elif not moderator:
        assert not after.moderator
