"""What is given to an Account ID on a server that requires blinding (open-group-server §13)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from session_protocol.community import blind15_ids, blind15_key, blind25_id

if TYPE_CHECKING:
    from conftest import Member, Town

ROOM = "/room/test-room"


def blinded(member: "Member") -> "Member":
    """The same account, asking under its blinded id."""
    assert member.signer is not None
    signer = type(member.signer)(
        member.signer.account, member.signer.server_pk, member.signer.clock, "blinded15"
    )
    return type(member)(member.served, signer, member.way)


def pending(town: "Town") -> int:
    return int(town.community.server._database.execute("SELECT COUNT(*) FROM pending_blinding").fetchone()[0])


@pytest.fixture
def veiled(town: "Town") -> "Town":
    """The town after it has begun to require blinding, with roles given before."""
    town.control("config", key="REQUIRE_BLIND_KEYS", value=True)
    town.control("config", key="reinit")
    return town


def test_only_who_has_something_is_waited_for(veiled: "Town") -> None:
    # Two moderators of the room, two of the server; the two plain users have nothing to move.
    assert pending(veiled) == 4
    text = "Invalid authentication: this server requires the use of blinded ids"
    answer = veiled.mod.ask("GET", "/rooms")
    assert (answer.status, answer.text) == (400, text)
    assert veiled.anonymous.get("/capabilities") == {"capabilities": ["blind", "reactions", "sogs"]}


def test_everything_moves_at_the_first_contact(town: "Town") -> None:
    town.mod.answered(200, "POST", f"{ROOM}/permissions/{town.user.id}", {"write": False, "upload": True})
    where = f"{ROOM}/futurePermissions/{town.user.id}"
    town.mod.answered(200, "POST", where, {"write": True, "in": 100})
    ban = {"rooms": ["room2"], "timeout": 100}
    town.global_mod.answered(200, "POST", f"/user/{town.user.id}/ban", ban)
    town.control("ban", session_id=town.user2.id, banned=True)
    town.control("config", key="REQUIRE_BLIND_KEYS", value=True)
    town.control("config", key="reinit")
    assert pending(town) == 6
    updates = town.control("room_get", token="test-room")["info_updates"]

    mod, admin, user = blinded(town.mod), blinded(town.admin), blinded(town.user)
    assert mod.get(ROOM)["moderators"] == [mod.id]
    assert admin.get(ROOM)["admins"] == [admin.id]
    # Two other ids show among the moderators, which clients learn by the count.
    assert admin.get(ROOM)["info_updates"] == updates + 2
    global_admin = blinded(town.global_admin)
    room = global_admin.get(ROOM)
    assert (room["global_admin"], room["hidden_admins"]) == (True, [global_admin.id])
    answer = blinded(town.user2).ask("GET", "/rooms")
    assert (answer.status, answer.text) == (403, "Banned")
    assert user.ask("GET", "/room/room2").status == 404
    assert user.get(ROOM)["write"] is False
    assert pending(town) == 1
    flags = {"read": None, "write": False, "upload": True}
    expected = {name: flag for name, flag in flags.items() if flag is not None}
    futures = [{"write": True, "at": town.clock.now_ms() / 1000 + 100}]
    for session_id in (user.id, town.user.id, town.user.id.upper()):
        assert mod.get(f"{ROOM}/permissions/{session_id}") == expected
        assert mod.get(f"{ROOM}/futurePermissions/{session_id}") == futures
    assert mod.get(f"{ROOM}/permissions") == {
        user.id: expected,
        mod.id: {"moderator": True},
        admin.id: {"moderator": True, "admin": True},
    }
    town.clock.move(200_000)
    assert town.control("cleanup")[3] == 2
    assert user.ask("GET", "/room/room2").status == 200
    # A second contact moves nothing any more.
    before = mod.get(ROOM)
    assert mod.get(ROOM) == before


def test_known_blinded_ids_are_meant_at_once(veiled: "Town") -> None:
    user, user2 = blinded(veiled.user), blinded(veiled.user2)
    user.get("/rooms")
    mod, global_admin = blinded(veiled.mod), blinded(veiled.global_admin)
    mod.answered(200, "POST", f"/user/{veiled.user.id}/ban", {"rooms": ["test-room"]})
    assert user.ask("GET", ROOM).status == 404
    mod.answered(200, "POST", f"/user/{veiled.user.id}/unban", {"rooms": ["test-room"]})
    assert user.ask("GET", ROOM).status == 200
    body = {"global": True, "moderator": True}
    for target in (veiled.user, veiled.user2):
        global_admin.answered(200, "POST", f"/user/{target.id}/moderator", body)
    assert sorted(global_admin.get(ROOM)["hidden_moderators"]) == sorted(
        [user.id, veiled.user2.id, veiled.global_mod.id]
    )
    assert user2.get(ROOM)["global_moderator"] is True
    assert user.get(ROOM)["global_moderator"] is True
    global_admin.answered(200, "POST", f"/user/{veiled.user.id}/moderator", {**body, "moderator": False})
    assert "global_moderator" not in user.get(ROOM)
    global_admin.answered(200, "POST", f"/user/{veiled.user.id}/ban", {"global": True})
    assert user.ask("GET", "/rooms").status == 403
    # Nobody bans himself under his other name.
    mod.answered(403, "POST", f"/user/{veiled.mod.id}/ban", {"rooms": ["test-room"]})


def test_rights_given_to_account_ids_in_a_sequence(veiled: "Town") -> None:
    user, mod = blinded(veiled.user), blinded(veiled.mod)
    user.get(ROOM)
    one, other = veiled.user.id, veiled.user2.id
    calls = [
        (f"permissions/{one}", {"read": True, "write": False}),
        (f"futurePermissions/{one}", {"write": True, "in": 0.001}),
        (f"permissions/{other}", {"upload": False}),
        (f"futurePermissions/{other}", {"upload": True, "in": 0.002}),
    ]
    elements = [{"method": "POST", "path": f"{ROOM}/{path}", "json": body} for path, body in calls]
    results = mod.answered(200, "POST", "/sequence", elements)
    now = veiled.clock.now_ms() / 1000
    assert [result["body"] for result in results] == [
        {"read": True, "write": False},
        [{"write": True, "at": now + 0.001}],
        {"upload": False},
        [{"upload": True, "at": now + 0.002}],
    ]

    def listed(second: str) -> None:
        rights = mod.get(f"{ROOM}/permissions")
        assert {user.id: rights[user.id], second: rights[second]} == {
            user.id: {"read": True, "write": False},
            second: {"upload": False},
        }
        futures = mod.get(f"{ROOM}/futurePermissions")
        assert [row["session_id"] for row in futures] == [user.id, second]

    listed(other)
    user2 = blinded(veiled.user2)
    user2.get(ROOM)
    listed(user2.id)
    for ids in ((one, user.id), (other, user2.id)):
        for kind in ("permissions", "futurePermissions"):
            first, second = (mod.get(f"{ROOM}/{kind}/{session_id}") for session_id in ids)
            assert first == second
            assert first


def test_roles_given_while_both_ids_are_known_move_at_once(town: "Town") -> None:
    user = blinded(town.user)
    user.get("/rooms")
    town.control("role", session_id=town.user.id, room="test-room", admin=True)
    town.control("config", key="REQUIRE_BLIND_KEYS", value=True)
    assert "admin" not in user.get(ROOM)
    town.control("config", key="reinit")
    assert town.may(user, "admin")
    assert town.may(town.user, "admin")


def test_rooms_take_the_ids_that_were_right_at_the_start(open_town: Callable[..., "Town"]) -> None:
    town = open_town(require_blinding=True)
    mod, user = blinded(town.mod), town.user.id
    kinds = [("GET", f"{ROOM}/permissions/{user}"), ("POST", f"{ROOM}/futurePermissions/{user}")]
    for method, target in kinds:
        assert mod.ask(method, target, {"read": True, "in": 1} if method == "POST" else None).status == 404
        target = target.replace(user, blinded(town.user).id)
        assert mod.ask(method, target, {"read": True, "in": 1} if method == "POST" else None).status == 200
    # Calls about users take both always.
    mod.answered(200, "POST", f"/user/{user}/ban", {"rooms": ["test-room"]})
    town.control("reset")
    town.control("room_create", token="test-room", name="x")
    town.control("role", session_id=town.mod.id, admin=True)
    assert town.mod.get(f"{ROOM}/permissions/{user}") == {}


def test_ids_that_nobody_can_have(veiled: "Town") -> None:
    """The key of an Account ID need not be a point of the curve: nothing waits for such a one."""
    global_admin = blinded(veiled.global_admin)
    for key in ("00" * 32, "ff" * 32, "02" + "00" * 31, "11" * 32):
        body: dict[str, Any] = {"rooms": ["*"]}
        global_admin.answered(200, "POST", f"/user/05{key}/ban", body)
        assert global_admin.get(f"{ROOM}/permissions/05{key}") == {"banned": True}


def test_the_second_version_is_waited_for_where_it_is_let_in(open_town: Callable[..., "Town"]) -> None:
    town = open_town(require_blinding=True, accept_blinded25=True)
    expected = {"capabilities": ["blind", "blind25", "reactions", "sogs"]}
    assert town.anonymous.get("/capabilities") == expected
    assert town.mod.signer is not None
    account, server_pk = town.mod.signer.account, town.mod.signer.server_pk
    second = town.community.member("mod", "blinded25")
    shown = second.get(ROOM)
    assert shown["moderators"] == [blind25_id(account.account_id, server_pk)]
    # It has moved; the first version finds nothing left.
    assert "moderator" not in blinded(town.mod).get(ROOM)
    blinded(town.admin).answered(200, "POST", f"/user/{shown['moderators'][0]}/ban", {"rooms": ["test-room"]})
    assert second.ask("GET", ROOM).status == 404


def test_exactly_one_of_two_candidates_is_real(accounts: Callable[[str], Any]) -> None:
    server_pk = bytes(range(32))
    signs = set()
    for number in range(12):
        account = accounts(f"account {number}")
        real, candidates = blind15_key(account, server_pk).id, blind15_ids(account.account_id, server_pk)
        assert real in candidates
        one, other = candidates
        assert one != other
        differing = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
        assert differing == [64]
        signs.add(int(real[64], 16) >> 3)
    assert signs == {0, 1}
