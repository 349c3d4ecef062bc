"""Lists, details and polls of rooms for all kinds of visitors; changes by admins (open-group-server §8)."""

import base64
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Member, Town

ROOM = "/room/test-room"
RIGHTS = ("read", "accessible", "write", "upload")
POST = {"data": base64.b64encode(b"post").decode(), "signature": base64.b64encode(b"sig".ljust(64)).decode()}


def put(actor: "Member", status: int = 200, **body: Any) -> Any:
    return actor.answered(status, "PUT", ROOM, body)


def upload(member: "Member", room: str = "test-room") -> int:
    reply = member.answered(201, "POST", f"/room/{room}/file", body=b"a picture")
    return int(reply["id"])


def expected_room(town: "Town", room: str = "test-room", **more: Any) -> dict[str, Any]:
    stored = town.control("room_get", token=room)
    mods = [town.mod.id], [town.admin.id]
    moderators, admins = mods if room == "test-room" else ([], [])
    return {
        "token": room,
        "name": stored["name"],
        "description": stored["description"],
        "info_updates": stored["info_updates"],
        "message_sequence": 0,
        "created": stored["created"],
        "active_users": 0,
        "active_users_cutoff": 604800,
        "moderators": moderators,
        "admins": admins,
        "read": True,
        "write": True,
        "upload": True,
        **more,
    }


def test_four_rooms_as_everybody_sees_them(town: "Town") -> None:
    def make(token: str, name: str, description: str, **defaults: bool) -> None:
        town.control("room_create", token=token, name=name, description=description)
        for right, flag in defaults.items():
            town.control("room_set", token=token, field=f"default_{right}", value=flag)

    make("room3", "Room 3", "Test suite testing room3", read=False, write=False, upload=False)
    make("Room4", "Room 4", "Secret room", accessible=False, read=False, write=False, upload=False)
    for right in ("write", "upload"):
        town.control("room_set", token="room2", field=f"default_{right}", value=False)
    no_rights = {"read": False, "write": False, "upload": False}
    first = expected_room(town, info_updates=4)
    second = expected_room(town, "room2", info_updates=2, write=False, upload=False)
    third = expected_room(town, "room3", info_updates=0, **no_rights)
    fourth = expected_room(town, "Room4", info_updates=0, **no_rights)
    for room, rights in (
        ("room2", {"write": True}),
        ("room3", {"read": True}),
        ("Room4", {"accessible": True}),
    ):
        where = f"/room/{room}/permissions/{town.user2.id}"
        town.global_mod.answered(200, "POST", where, rights)

    defaults = [dict.fromkeys((f"default_{right}" for right in RIGHTS), True) for _ in range(4)]
    defaults[1] |= {"default_write": False, "default_upload": False}
    defaults[2] |= {"default_read": False, "default_write": False, "default_upload": False}
    defaults[3] = dict.fromkeys(defaults[3], False)
    hidden = {"hidden_moderators": [town.global_mod.id], "hidden_admins": [town.global_admin.id]}
    as_mod = {"moderator": True, "read": True, "write": True, "upload": True, **hidden}
    as_admin = {**as_mod, "admin": True}
    as_global_mod = {**as_mod, "global_moderator": True}
    as_global_admin = {**as_admin, "global_moderator": True, "global_admin": True}

    for viewer in (town.anonymous, town.user):
        assert viewer.get("/rooms") == [second, third, first]
        assert viewer.get("/room/room3") == third
        assert viewer.ask("GET", "/room/room4").status == 404
        assert viewer.ask("GET", "/room/room4/pollInfo/0").status == 403
    changed = [{**second, "write": True}, {**third, "read": True}, fourth, first]
    assert town.user2.get("/rooms") == changed
    assert town.user2.get("/room/room3") == changed[1]
    assert town.user2.get("/room/room4") == fourth
    assert town.mod.get("/rooms") == [second, third, {**first, **defaults[0], **as_mod}]
    assert town.admin.get("/rooms") == [second, third, {**first, **defaults[0], **as_admin}]
    in_order = [(second, defaults[1]), (third, defaults[2]), (fourth, defaults[3]), (first, defaults[0])]
    for viewer, rights in ((town.global_mod, as_global_mod), (town.global_admin, as_global_admin)):
        assert viewer.get("/rooms") == [{**room, **flags, **rights} for room, flags in in_order]
    assert town.global_admin.get("/room/ROOM4") == {**fourth, **defaults[3], **as_global_admin}


def test_moderators_of_the_server_show_when_they_want(town: "Town") -> None:
    room = expected_room(town)
    assert town.user.get(ROOM) == room
    flags = {"moderator": True, "global_moderator": True, **{f"default_{right}": True for right in RIGHTS}}
    hidden = {"hidden_admins": [town.global_admin.id], "hidden_moderators": [town.global_mod.id]}
    rights = {"read": True, "write": True, "upload": True}
    head = {"token": "test-room", "active_users": 0, **rights, **flags}
    assert town.global_mod.get(f"{ROOM}/pollInfo/0") == {**head, "details": {**room, **flags, **hidden}}
    for member, role in ((town.global_mod, "moderator"), (town.global_admin, "admin")):
        body = {"global": True, role: True, "visible": True}
        town.global_admin.answered(200, "POST", f"/user/{member.id}/moderator", body)
    room |= {
        "moderators": sorted([town.mod.id, town.global_mod.id]),
        "admins": sorted([town.admin.id, town.global_admin.id]),
        "info_updates": room["info_updates"] + 2,
    }
    assert town.user.get(ROOM) == room
    assert town.mod.get(ROOM) == {
        **room,
        **{name: flag for name, flag in flags.items() if "global" not in name},
    }


class TestChanges:
    def test_are_for_admins(self, town: "Town") -> None:
        before = town.user.get(ROOM)
        for actor in (town.anonymous, town.user, town.user2, town.mod, town.global_mod):
            answer = actor.ask("PUT", ROOM, {"name": "OMG ROOM!"})
            assert (answer.status, answer.text) == (403, "This endpoint requires admin room permissions")
        assert town.user.get(ROOM) == before
        assert put(town.admin, name="OMG ROOM!") == {"info_updates": before["info_updates"] + 1}
        assert put(town.global_admin, name="rrr", description="Tharr!") == {
            "info_updates": before["info_updates"] + 3
        }
        assert town.user.get(ROOM)["name"] == "rrr"
        assert town.admin.ask("PUT", "/room/nowhere", {"name": "x"}).status == 404
        assert town.admin.ask("PUT", "/room/room2", {"name": "x"}).status == 403

    def test_of_default_rights_are_no_updates(self, town: "Town") -> None:
        before = town.user.get(ROOM)
        assert put(town.admin, default_write=False) == {"info_updates": before["info_updates"]}
        # Uploading needs the right to write as well.
        assert town.user.get(ROOM) == {**before, "write": False, "upload": False}
        put(town.admin, default_upload=0, default_read=1, default_accessible=None)
        shown = town.mod.get(ROOM)
        assert [shown[f"default_{right}"] for right in RIGHTS] == [True, True, False, False]
        put(town.admin, default_read=False, default_accessible=False)
        assert town.user.ask("GET", ROOM).status == 404
        put(town.admin, **{f"default_{right}": True for right in RIGHTS})
        assert town.user.get(ROOM) == before

    def test_count_only_what_differs(self, town: "Town") -> None:
        before = town.user.get(ROOM)
        put(town.admin, name=before["name"], description=before["description"])
        assert town.user.get(ROOM) == before
        put(town.admin, name="Gudaye, mytes!", description=before["description"], default_read=True)
        assert town.user.get(ROOM)["info_updates"] == before["info_updates"] + 1

    def test_of_the_description(self, town: "Town") -> None:
        for nothing in (None, "", "\x00\x01"):
            put(town.admin, description="ddd\n\nand\tmore")
            assert town.user.get(ROOM)["description"] == "ddd\n\nand\tmore"
            put(town.admin, description=nothing)
            assert "description" not in town.user.get(ROOM)

    def test_lose_control_characters(self, town: "Town") -> None:
        letters = "a" + "".join(map(chr, range(33))) + "z"
        put(town.admin, name=letters, description=letters)
        room = town.user.get(ROOM)
        assert (room["name"], room["description"]) == ("a z", "a\t\n z")
        put(town.admin, name="")
        assert town.user.get(ROOM)["name"] == ""

    @pytest.mark.parametrize(
        "text",
        [
            "💰 🐈 🍌 🌋 ‽",
            "<script>alert(1)</script>",
            "'); DROP TABLE rooms; --",
            "x" * 100_000,
            "\u202eabc",
        ],
    )
    def test_keep_every_other_text(self, town: "Town", text: str) -> None:
        put(town.admin, name=text, description=text)
        room = town.user.get(ROOM)
        assert (room["name"], room["description"]) == (text, text)
        assert len(town.user.get("/rooms")) == 2

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"name": 42},
            {"name": None},
            {"name": ["x"]},
            {"description": 42},
            {"description": {}},
            {"default_read": "foo"},
            {"default_write": 1.5},
            {"default_upload": None},
            {"default_accessible": []},
            {"image": None},
            {"image": "1"},
            {"image": True},
            {"image": 1.0},
            {"name": "fine", "description": 42},
            {"name": "fine", "default_read": "foo"},
            {"name": "fine", "image": None},
            {"token": "other"},
        ],
    )
    def test_that_cannot_be(self, town: "Town", body: dict[str, Any]) -> None:
        before = town.admin.get(ROOM)
        put(town.admin, 400, **body)
        for document in ([body], "name", 1, None):
            assert town.admin.ask("PUT", ROOM, document).status == 400
        assert town.admin.get(ROOM) == before


class TestImage:
    def test_is_a_file_of_the_room_and_never_expires(self, town: "Town") -> None:
        first, second = upload(town.admin), upload(town.user)
        before = town.user.get(ROOM)
        assert put(town.admin, image=first) == {"info_updates": before["info_updates"] + 1}
        assert town.user.get(ROOM)["image_id"] == first
        assert town.control("file", id=first)["expiry"] is None
        put(town.admin, image=first)
        assert town.user.get(ROOM)["info_updates"] == before["info_updates"] + 1
        assert town.control("file", id=first)["expiry"] is None
        # The old one goes at once.
        put(town.admin, image=second)
        assert town.control("file", id=first)["expiry"] == 0.0
        assert town.user.ask("GET", f"{ROOM}/file/{first}").status == 404
        town.clock.move(30 * 24 * 3600 * 1000)
        assert town.control("cleanup")[0] == 1
        assert town.control("file", id=first) is None
        assert town.user.ask("GET", f"{ROOM}/file/{second}").body == b"a picture"

    def test_that_cannot_be(self, town: "Town") -> None:
        before = town.user.get(ROOM)
        elsewhere, old = upload(town.admin, "room2"), upload(town.admin)
        town.clock.move(2 * 3600 * 1000)
        for image in (elsewhere, old, 999, -1, 0, 2**63, 2**64 - 1):
            put(town.admin, 406, image=image, name="not this either")
        assert town.user.get(ROOM) == before
        assert town.control("file", id=elsewhere)["expiry"] is not None


def test_polling(town: "Town") -> None:
    def basic(**more: Any) -> dict[str, Any]:
        return {"token": "test-room", "active_users": 0, "read": True, "write": True, "upload": True, **more}

    updates = 4
    for _ in range(2):
        assert town.user.get(f"{ROOM}/pollInfo/{updates}") == basic()
    # Users are counted at the cleanup.
    assert town.control("cleanup") == [0, 0, 0, 0, 0]
    room = expected_room(town, active_users=1)
    assert town.user.get(f"{ROOM}/pollInfo/{updates}") == basic(active_users=1)
    assert town.user.get(f"{ROOM}/pollInfo/{updates - 1}") == basic(active_users=1, details=room)
    assert town.anonymous.get(f"{ROOM}/pollInfo/0") == basic(active_users=1, details=room)
    put(town.admin, name="New name")
    put(town.admin, description="New description")
    put(town.admin, image=upload(town.mod))
    room |= {"name": "New name", "description": "New description", "image_id": 1, "info_updates": 7}
    assert town.user.get(f"{ROOM}/pollInfo/{updates}") == basic(active_users=1, details=room)
    town.control("role", session_id=town.user2.id, room="test-room", moderator=True)
    room |= {"info_updates": 8, "moderators": sorted([town.mod.id, town.user2.id])}
    assert town.user.get(f"{ROOM}/pollInfo/7") == basic(active_users=1, details=room)
    assert town.user.get(f"{ROOM}/pollInfo/8") == basic(active_users=1)
    town.control("role", session_id=town.user2.id, admin=True)
    # Another room shows it too; posts, edits and rights of users are told by other means.
    assert town.user.get("/room/room2/pollInfo/2")["details"]["info_updates"] == 3
    post = town.user.answered(201, "POST", f"{ROOM}/message", POST)
    edited = {**POST, "data": base64.b64encode(b"edited").decode()}
    town.user.answered(200, "PUT", f"{ROOM}/message/{post['id']}", edited)
    town.mod.answered(200, "POST", f"{ROOM}/permissions/{town.user.id}", {"upload": False})
    assert town.user.get(f"{ROOM}/pollInfo/9") == basic(active_users=1, upload=False)
    flags = {f"default_{right}": True for right in RIGHTS} | {"moderator": True, "admin": True}
    polled = town.user2.get(f"{ROOM}/pollInfo/8")
    assert polled.pop("details") == {
        **room,
        **flags,
        "global_moderator": True,
        "global_admin": True,
        "info_updates": 9,
        "message_sequence": 2,
        "moderators": [town.mod.id],
        # In the room, where it shows, it is a moderator; the role in the whole server makes it an admin.
        "admins": sorted([town.admin.id, town.user2.id]),
        "hidden_moderators": [town.global_mod.id],
        "hidden_admins": [town.global_admin.id],
    }
    assert polled == basic(active_users=1, **flags, global_moderator=True, global_admin=True)
    town.mod.get(f"{ROOM}/messages/recent")
    town.control("cleanup")
    assert town.user.get(f"{ROOM}/pollInfo/9")["active_users"] == 3
