"""Capabilities, rooms, polls, roles (open-group-server §§6, 7, 8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_protocol.accounts import Account
from session_protocol.community import blind15_key
from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.community.permissions import Defaults, GlobalFlags, Override, Right, standing
from session_testnet.services.exchange import ServiceRequest
from session_testnet.topology import RoomSpec

NOW_S = 1_760_000_000
SEED = bytes(range(32))
ROOMS = (RoomSpec("lobby", "Lobby", "A place to wait"), RoomSpec("Annex", "Annex"))


@pytest.fixture
def make(clock, trace):
    servers = []

    def make_one(**options):
        settings = {"rooms": ROOMS, "require_blinding": False} | options
        servers.append(CommunityServer(SEED, clock=clock, trace=trace, **settings))
        return servers[-1]

    yield make_one
    for server in servers:
        server.close()


def anonymous(server, target):
    answer = server.handle(ServiceRequest.from_target("GET", target, {}))
    return answer.status, answer


def details(server, target="/room/lobby"):
    import orjson

    status, answer = anonymous(server, target)
    assert status == 200, answer.body
    return orjson.loads(answer.body)


class TestCapabilities:
    def test_blinding_shows(self, make):
        assert details(make(), "/capabilities") == {"capabilities": ["reactions", "sogs"]}
        assert details(make(require_blinding=True), "/capabilities") == {
            "capabilities": ["blind", "reactions", "sogs"]
        }

    @pytest.mark.parametrize(
        ("required", "status", "missing"),
        [
            ("sogs", 200, None),
            ("sogs,sogs", 200, None),
            ("", 200, None),
            ("%73ogs", 200, None),
            ("sogs,wings", 412, ["wings"]),
            ("wings,fins,wings", 412, ["wings", "fins"]),
        ],
    )
    def test_what_is_missing_is_named(self, make, required, status, missing):
        import orjson

        found, answer = anonymous(make(), f"/capabilities?required={required}")
        assert found == status
        assert orjson.loads(answer.body).get("missing") == missing


class TestRooms:
    def test_a_new_room(self, make):
        assert details(make()) == {
            "token": "lobby",
            "name": "Lobby",
            "description": "A place to wait",
            "info_updates": 0,
            "message_sequence": 0,
            "created": float(NOW_S),
            "active_users": 0,
            "active_users_cutoff": 604800,
            "moderators": [],
            "admins": [],
            "read": True,
            "write": True,
            "upload": True,
        }

    def test_the_list_is_ordered_without_regard_to_case(self, make):
        server = make()
        assert [room["token"] for room in details(server, "/rooms")] == ["Annex", "lobby"]
        assert "description" not in details(server, "/room/Annex")

    @pytest.mark.parametrize("token", ["LOBBY", "lobby", "LoBBy"])
    def test_tokens_have_no_case_and_keep_their_spelling(self, make, token):
        assert details(make(), f"/room/{token}")["token"] == "lobby"

    @pytest.mark.parametrize(
        "target", ["/room/nowhere", "/room/lobby/", "/rooms/", f"/room/{'x' * 65}", "/room/l.b"]
    )
    def test_what_is_no_room_is_not_found(self, make, target):
        assert anonymous(make(), target)[0] == 404

    def test_a_room_without_rights_is_hidden_from_strangers(self, make):
        server = make()
        server._database.execute("UPDATE rooms SET read = 0, accessible = 0 WHERE token = 'lobby'")
        assert [room["token"] for room in details(server, "/rooms")] == ["Annex"]
        assert anonymous(server, "/room/lobby")[0] == 404
        status, answer = anonymous(server, "/room/lobby/messages/recent")
        assert (status, answer.body) == (403, b"This endpoint requires room message 'read' permission")

    def test_an_accessible_room_shows_that_it_cannot_be_read(self, make):
        server = make()
        server._database.execute("UPDATE rooms SET read = 0, write = 0 WHERE token = 'lobby'")
        room = details(server)
        assert (room["read"], room["write"], room["upload"]) == (False, False, False)
        assert anonymous(server, "/room/lobby/pollInfo/0")[0] == 403


class TestPolling:
    def test_details_come_with_a_changed_count_only(self, make, accounts):
        server = make()
        assert details(server, "/room/lobby/pollInfo/0") == {
            "token": "lobby",
            "active_users": 0,
            "read": True,
            "write": True,
            "upload": True,
        }
        assert details(server, "/room/lobby/pollInfo/1")["details"] == details(server)
        server.give_role(Role(accounts("mod").account_id, "lobby"))
        assert details(server, "/room/lobby/pollInfo/0")["details"]["info_updates"] == 1
        assert "details" not in details(server, "/room/lobby/pollInfo/1")
        assert "details" in details(server, "/room/lobby/pollInfo/99999999999999999999999")

    def test_users_are_active_for_a_week_and_counted_by_the_cleanup(self, make, clock, signer):
        server = make()
        for name in ("alice", "bob", "alice"):
            assert signer(name, server).ask(server, "GET", "/room/lobby/messages/recent").status == 200
        assert details(server)["active_users"] == 0
        server.cleanup()
        assert details(server)["active_users"] == 2
        assert details(server, "/room/Annex")["active_users"] == 0
        clock.move(6 * 24 * 3600 * 1000)
        signer("bob", server).ask(server, "GET", "/room/lobby/pollInfo/0")
        clock.move(24 * 3600 * 1000)
        server.cleanup()
        assert details(server)["active_users"] == 1


class TestRoles:
    def test_lists_for_everybody_and_for_moderators(self, make, signer):
        server = make()
        names = {
            name: signer(name, server) for name in ("mod", "hidden", "admin", "global", "visible", "user")
        }
        ids = {name: each.account.account_id for name, each in names.items()}
        server.give_role(Role(ids["mod"], "lobby"))
        server.give_role(Role(ids["hidden"], "lobby", visible=False))
        server.give_role(Role(ids["admin"], "lobby", admin=True))
        server.give_role(Role(ids["global"], admin=True))
        server.give_role(Role(ids["visible"], visible=True))
        room = details(server)
        assert room["moderators"] == sorted([ids["mod"], ids["visible"]])
        assert room["admins"] == [ids["admin"]]
        assert "hidden_moderators" not in room
        assert room["info_updates"] == 5
        assert details(server, "/room/Annex")["info_updates"] == 2

        seen = names["mod"].ask(server, "GET", "/room/lobby").json()
        assert seen["hidden_moderators"] == [ids["hidden"]]
        assert seen["hidden_admins"] == [ids["global"]]
        assert seen["moderator"] is True
        assert "admin" not in seen
        assert (seen["default_read"], seen["default_accessible"]) == (True, True)
        polled = names["global"].ask(server, "GET", "/room/lobby/pollInfo/5").json()
        flags = ("moderator", "admin", "global_moderator", "global_admin")
        assert [polled[flag] for flag in flags] == [True] * 4
        plain = names["user"].ask(server, "GET", "/room/lobby").json()
        assert not {*flags, "default_read", "hidden_admins"} & plain.keys()

    def test_the_same_role_again_changes_nothing(self, make, accounts):
        server = make()
        role = Role(accounts("mod").account_id, "lobby")
        server.give_role(role)
        server.give_role(role)
        assert details(server)["info_updates"] == 1

    def test_a_role_for_an_account_id_moves_to_its_blinded_id(self, clock, trace, signer, accounts):
        account = accounts("boss")
        server = CommunityServer(
            SEED,
            clock=clock,
            trace=trace,
            rooms=ROOMS,
            roles=(Role(account.account_id, "lobby", admin=True),),
        )
        boss = signer("boss", server, "blinded15")
        blinded = blind15_key(account, bytes.fromhex(server.public_key)).id
        assert details(server)["admins"] == [account.account_id]
        assert boss.ask(server, "GET", "/room/lobby").json()["admin"] is True
        assert details(server)["admins"] == [blinded]
        # A second role goes to the known blinded id at once.
        server.give_role(Role(account.account_id, "Annex"))
        assert details(server, "/room/Annex")["moderators"] == [blinded]
        server.close()

    @pytest.mark.parametrize("number", range(8))
    def test_both_signs_of_a_blinded_id_are_found(self, clock, trace, signer, number):
        """Half of all accounts have a blinded point with the sign bit set."""
        name = f"account {number}"
        server = CommunityServer(SEED, clock=clock, trace=trace, rooms=ROOMS)
        someone = signer(name, server, "blinded15")
        server.give_role(Role(someone.account.account_id))
        assert someone.ask(server, "GET", "/room/lobby").json()["global_moderator"] is True
        # Now that the blinded id is known, a role for the Account ID goes straight to it.
        server.give_role(Role(someone.account.account_id, "lobby", admin=True))
        blinded = blind15_key(someone.account, bytes.fromhex(server.public_key)).id
        assert details(server)["admins"] == [blinded]
        server.close()

    def test_a_role_in_an_unknown_room_is_refused(self, make, accounts):
        with pytest.raises(ValueError, match=r"no room 'attic'.*Annex, lobby"):
            make(roles=(Role(accounts("mod").account_id, "attic"),))

    def test_a_moderator_of_the_server_cannot_be_banned(self, make, accounts):
        server = make()
        server.give_role(Role(accounts("mod").account_id))
        with pytest.raises(ValueError, match="is a moderator"):
            server.ban(accounts("mod").account_id)


class TestPermissionFunction:
    flags = st.builds(GlobalFlags, st.booleans(), st.booleans(), st.booleans(), st.booleans())
    maybe = st.sampled_from([None, True, False])
    overrides = st.builds(
        Override, st.booleans(), st.booleans(), st.booleans(), st.booleans(), maybe, maybe, maybe, maybe
    )
    defaults = st.builds(Defaults, st.booleans(), st.booleans(), st.booleans(), st.booleans())

    @given(defaults=defaults, everywhere=flags, here=overrides)
    def test_the_order_of_the_rules(self, defaults, everywhere, here):
        """The rules of §7, written down once more as a chain of questions for each right."""

        def expected(right):
            if everywhere.admin or here.admin or everywhere.moderator or here.moderator:
                return True
            if everywhere.banned or here.banned:
                return False
            override = getattr(here, right)
            allowed = getattr(defaults, right) if override is None else override
            return allowed or (right == "accessible" and expected("read"))

        found = standing(defaults, everywhere, here)
        assert {right.value for right in found.rights} == {r.value for r in Right if expected(r.value)}
        assert found.admin == (everywhere.admin or here.admin)
        assert found.moderator == (found.admin or everywhere.moderator or here.moderator)
        assert found.global_moderator == (everywhere.admin or everywhere.moderator)

    @pytest.mark.parametrize("everywhere", [True, False])
    def test_a_ban_takes_every_right_from_all_but_moderators(self, everywhere):
        here = Override(banned=not everywhere, read=True, accessible=True, write=True, upload=True)
        flags = GlobalFlags(banned=everywhere)
        assert standing(Defaults(), flags, here).rights == frozenset()
        moderator = GlobalFlags(banned=everywhere, moderator=True)
        assert standing(Defaults(), moderator, here).rights == frozenset(Right)

    @given(defaults=defaults)
    def test_strangers_get_the_defaults(self, defaults):
        found = standing(defaults)
        assert not found.moderator
        assert found.may(Right.WRITE) is defaults.write
        assert found.may(Right.WRITE, Right.UPLOAD) is (defaults.write and defaults.upload)
        assert found.may(Right.ACCESSIBLE) is (defaults.accessible or defaults.read)


def test_the_join_url_is_what_clients_parse(make):
    server = make()
    url = server.join_url("http://127.0.0.1:80/", "lobby")
    assert url == f"http://127.0.0.1:80/lobby?public_key={server.public_key}"
    assert len(server.public_key) == 64
    expected = Account.from_seed(SEED)
    assert (server.public_key, server.ed25519_pk) == (expected.x25519_pk.hex(), expected.ed25519_pk.hex())
