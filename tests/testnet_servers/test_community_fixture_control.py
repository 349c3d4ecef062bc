"""The control endpoint of test mode, operation by operation, and the endpoints that echo."""

import base64
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import nacl.bindings
import orjson
import pytest

if TYPE_CHECKING:
    from conftest import Community, Reply, Town

POST = {"data": base64.b64encode(b"post").decode(), "signature": base64.b64encode(b"sig".ljust(64)).decode()}
ECHOES = [
    ("GET", "/auth_test/whoami"),
    ("GET", "/auth_test/auth_required"),
    ("POST", "/auth_test/auth_required"),
    ("GET", "/test_batch_1"),
    ("GET", "/test_batch_2"),
    ("GET", "/test_batch_3"),
    ("POST", "/test_batch_4"),
    ("POST", "/test_v4_post_body"),
    ("PUT", "/test_encoding/x"),
]


def control(town: "Town", body: bytes, headers: dict[str, str], method: str = "POST") -> "Reply":
    return town.community.served.request(method, "/_control", headers, body)


class TestAccess:
    def test_without_test_mode_there_is_nothing(self, open_community: Callable[..., "Community"]) -> None:
        community = open_community()
        visitor = community.anonymous
        for method, target in [*ECHOES, ("POST", "/_control"), ("GET", "/_control")]:
            body = {"op": "reset"} if method != "GET" else None
            answer = visitor.ask(method, target, body, headers={"Authorization": "Bearer x"})
            assert answer.status == 404, target
        assert len(visitor.get("/rooms")) == 2

    def test_a_token_is_needed(self, town: "Town") -> None:
        body = orjson.dumps({"op": "reset"})
        for shown in ({}, {"Authorization": "Bearer x"}, {"Authorization": ""}, {"Authorization": "Basic é"}):
            answer = control(town, body, {name: value.encode() for name, value in shown.items()})  # type: ignore[misc]
            assert answer.status == 401
            assert list(answer.json()) == ["error"]
        assert len(town.control("room_list")) == 2

    def test_only_posts_count(self, town: "Town") -> None:
        answer = control(town, b"", {}, "GET")
        assert (answer.status, answer.headers["allow"]) == (405, "OPTIONS, POST")

    def test_neither_batches_nor_onions_reach_it(self, town: "Town") -> None:
        element = {"method": "POST", "path": "/_control", "json": {"op": "reset"}}
        (result,) = town.anonymous.answered(200, "POST", "/batch", [element])
        assert result["code"] == 404
        headers = {
            "Authorization": "Bearer the control token of the tests",
            "Content-Type": "application/json",
        }
        answer = town.community.served.onion("POST", "/_control", headers, b'{"op": "reset"}')
        assert answer.status == 404

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b'"reset"', b"{}", b'{"op": 1}', b'{"op": "nonsense"}', b"[" * 5000],
    )
    def test_bodies_that_cannot_be(self, town: "Town", body: bytes) -> None:
        answer = control(town, body, {"Authorization": "Bearer the control token of the tests"})
        assert answer.status == 400
        assert isinstance(answer.json()["error"], str)

    @pytest.mark.parametrize(
        "call",
        [
            {"op": "config"},
            {"op": "config", "key": "nonsense", "value": 1},
            {"op": "config", "key": "REQUIRE_BLIND_KEYS", "value": 1},
            {"op": "config", "key": "rate_limit"},
            {"op": "config", "key": "UPLOAD_DEFAULT_EXPIRY", "value": -1},
            {"op": "config", "key": "UPLOAD_DEFAULT_EXPIRY", "value": "x"},
            {"op": "config", "key": "UPLOAD_DEFAULT_EXPIRY", "value": True},
            {"op": "room_create"},
            {"op": "room_create", "token": "a b", "name": "x"},
            {"op": "room_create", "token": "x" * 65, "name": "x"},
            {"op": "room_create", "token": "fine", "name": 1},
            {"op": "room_get"},
            {"op": "room_set", "token": "nowhere", "field": "name", "value": "x"},
            {"op": "room_set", "token": "test-room", "field": "token", "value": "x"},
            {"op": "room_set", "token": "test-room", "field": "name"},
            {"op": "room_set", "token": "test-room", "field": "name", "value": None},
            {"op": "room_set", "token": "test-room", "field": "default_read", "value": 1},
            {"op": "room_delete", "token": "nowhere"},
            {"op": "user"},
            {"op": "user", "session_id": "05"},
            {"op": "user", "session_id": "03" + "11" * 32},
            {"op": "role", "session_id": "05" + "11" * 32},
            {"op": "role", "session_id": "05" + "11" * 32, "admin": True, "moderator": False},
            {"op": "role", "session_id": "05" + "11" * 32, "room": "nowhere", "admin": True},
            {"op": "role", "session_id": "05" + "11" * 32, "admin": 1},
            {"op": "ban", "session_id": "05" + "11" * 32},
            {"op": "check", "token": "nowhere"},
            {"op": "check", "token": "test-room", "admin": "yes"},
            {"op": "file", "id": "1"},
            {"op": "file", "id": -1},
            {"op": "file", "id": 2**63},
            {"op": "count"},
            {"op": "count", "table": "users"},
        ],
    )
    def test_arguments_that_cannot_be(self, town: "Town", call: dict[str, Any]) -> None:
        arguments = {name: value for name, value in call.items() if name != "op"}
        assert list(town.control(call["op"], 400, **arguments)) == ["error"]


class TestOperations:
    def test_reset_forgets_everything_but_the_key(self, town: "Town") -> None:
        key = town.community.server.public_key
        town.user.answered(201, "POST", "/room/room2/file", body=b"x")
        town.user.answered(201, "POST", "/room/room2/message", POST)
        town.control("config", key="REQUIRE_BLIND_KEYS", value=True)
        town.control("config", key="UPLOAD_DEFAULT_EXPIRY", value=None)
        town.control("config", key="rate_limit", value=False)
        assert town.control("reset") == {"server_pubkey": key}
        assert town.control("room_list") == []
        assert town.anonymous.get("/capabilities") == {"capabilities": ["reactions", "sogs"]}
        room = town.control("room_create", token="fishing", name="Fishing", description="all about it")
        assert room["id"] == 1
        assert town.control("user", session_id=town.user.id)["id"] == 1
        assert town.user.get("/auth_test/whoami")["user"]["uid"] == 1
        assert town.user.answered(201, "POST", "/room/fishing/file", body=b"x") == {"id": 1}
        post = {**POST, "files": [1]}
        assert town.user.answered(201, "POST", "/room/fishing/message", post)["id"] == 1
        lifetime = 15 * 24 * 3600
        assert town.control("file", id=1)["expiry"] == town.clock.now_ms() / 1000 + lifetime
        statuses = [town.user.ask("POST", "/room/fishing/message", POST).status for _ in range(5)]
        assert statuses == [201] * 4 + [429]

    def test_reset_forgets_nonces(self, town: "Town") -> None:
        assert town.user.signer is not None
        headers = town.user.signer.headers("GET", "/rooms")
        request = town.community.served.request
        assert [request("GET", "/rooms", headers).status for _ in range(2)] == [200, 425]
        town.control("reset")
        assert request("GET", "/rooms", headers).status == 200

    def test_rooms(self, town: "Town") -> None:
        arguments = {"token": "Fishing", "name": "Fishing!", "description": "all about it"}
        room = town.control("room_create", **arguments)
        assert room == {
            "id": 3,
            **arguments,
            "created": town.clock.now_ms() / 1000,
            "info_updates": 0,
            "message_sequence": 0,
            "active_users": 0,
            "default_read": True,
            "default_write": True,
            "default_upload": True,
            "default_accessible": True,
        }
        assert town.anonymous.get("/room/fishing")["created"] == room["created"]
        for same in ("Fishing", "FISHING", "fishing"):
            assert town.control("room_create", token=same, name="x") is None
            assert town.control("room_get", token=same) == room
        assert town.control("room_get", token="nowhere") is None
        assert town.control("room_list") == ["Fishing", "room2", "test-room"]
        for field, value, updates in [
            ("name", "Angling", 1),
            ("name", "Angling", 1),
            ("description", None, 2),
            ("default_write", False, 2),
        ]:
            town.control("room_set", token="fishing", field=field, value=value)
            found = town.control("room_get", token="fishing")
            assert (found[field], found["info_updates"]) == (value, updates)
        town.user.answered(201, "POST", "/room/room2/message", POST)
        post = town.user.answered(201, "POST", "/room/room2/message", POST)
        town.user.answered(201, "POST", "/room/room2/file", body=b"x")
        town.user.answered(200, "PUT", f"/room/room2/reaction/{post['id']}/x")
        town.control("room_delete", token="ROOM2")
        assert town.control("room_list") == ["Fishing", "test-room"]
        assert town.control("file", id=1) is None
        assert town.user.ask("GET", "/room/room2").status == 404
        again = town.control("room_create", token="room2", name="again")
        # A refused room has used up no number, and a deleted one's is not given again.
        assert (again["id"], again["message_sequence"]) == (4, 0)

    def test_users_and_roles(self, town: "Town") -> None:
        stranger = town.community.member("stranger").id
        plain = {"banned": False, "moderator": False, "admin": False, "visible_mod": False}
        user = town.control("user", session_id=stranger)
        assert user == {"id": 7, "session_id": stranger, **plain}
        assert town.control("user", session_id=stranger.upper()) == user
        before = town.control("room_get", token="room2")["info_updates"]
        assert town.control("role", session_id=stranger, moderator=True, visible=True) is None
        roles = {"moderator": True, "visible_mod": True}
        assert town.control("user", session_id=stranger) == {**user, **roles}
        town.control("role", session_id=stranger, room=None, moderator=True, visible=True)
        assert town.control("room_get", token="room2")["info_updates"] == before + 1
        town.control("role", session_id=stranger, moderator=False, admin=False)
        town.control("role", session_id=stranger, room="ROOM2", admin=True, visible=False)
        assert town.control("user", session_id=stranger) == user
        assert town.control("check", token="room2", session_id=stranger, admin=True, write=True) is True
        assert town.control("check", token="test-room", session_id=stranger, admin=True) is False
        assert town.control("check", token="room2", session_id=None, read=True, admin=False) is True
        assert town.control("check", token="room2", moderator=True) is False

    def test_bans(self, town: "Town") -> None:
        assert town.control("ban", session_id=town.user.id, banned=True) is True
        assert town.user.ask("GET", "/rooms").text == "Banned"
        assert town.control("user", session_id=town.user.id)["banned"] is True
        assert town.control("ban", session_id=town.user.id, banned=False) is False
        assert town.user.ask("GET", "/rooms").status == 200
        assert "moderator" in town.control("ban", 400, session_id=town.global_mod.id, banned=True)["error"]
        assert town.control("count", table="user_ban_futures") == 0

    def test_files_and_cleanup(self, town: "Town") -> None:
        now = town.clock.now_ms() / 1000
        name = {"Content-Disposition": "attachment; filename*=UTF-8''a%2Fb%20c.txt"}
        town.user.answered(201, "POST", "/room/room2/file", body=b"abc", headers=name)
        file = town.control("file", id=1)
        assert file.pop("path").rpartition("/")[2] == "1_a_b_c.txt"
        expected = {"id": 1, "post_id": None, "size": 3, "uploaded": now, "filename": "a\ufffdb c.txt"}
        assert file == {**expected, "expiry": now + 3600}
        post = town.user.answered(201, "POST", "/room/room2/message", {**POST, "files": [1]})
        assert town.control("file", id=1)["post_id"] == post["id"]
        for seconds, stays in ((60, True), (None, False)):
            town.control("config", key="UPLOAD_DEFAULT_EXPIRY", value=seconds)
            town.user.answered(201, "POST", "/room/room2/file", body=b"x")
            number = 2 if stays else 3
            town.user.answered(201, "POST", "/room/room2/message", {**POST, "files": [number]})
            assert town.control("file", id=number)["expiry"] == (now + 60 if stays else None)
        edited = {**POST, "data": "eA=="}
        town.user.answered(200, "PUT", f"/room/room2/message/{post['id']}", edited)
        town.user.answered(200, "DELETE", f"/room/room2/message/{post['id']}")
        assert town.control("file", id=1)["expiry"] == 0.0
        assert town.control("cleanup") == [1, 0, 0, 0, 0]
        town.user.get("/room/room2/messages/recent")
        # Nonces are forgotten after a day, earlier messages after 30 days, visits after 60.
        town.clock.move(25 * 3600 * 1000)
        files, history, visits, changes, nonces = town.control("cleanup")
        assert (files, history, visits, changes) == (1, 0, 0, 0)
        assert nonces > 5
        town.clock.move(61 * 24 * 3600 * 1000)
        assert town.control("cleanup") == [0, 2, 1, 0, 0]


class TestWhoAmI:
    """Signatures, through endpoints that tell who the server has seen (open-group-server §5)."""

    def test_the_first_user_has_number_one(self, town: "Town") -> None:
        town.control("reset")
        me = {"user": {"uid": 1, "session_id": town.user.id}}
        assert town.user.get("/auth_test/whoami") == me
        assert town.anonymous.get("/auth_test/whoami") == {"user": None}
        foo = town.user.answered(200, "GET", "/auth_test/whoami?a=%20b&c", headers={"X-Foo": "bar"})
        assert foo == {**me, "query": "a=%20b&c", "foo": "bar"}
        assert town.user2.get("/auth_test/whoami")["user"]["uid"] == 2

    def test_a_user_is_required(self, town: "Town") -> None:
        who = {"uid": 1, "session_id": town.user.id}
        assert town.user.get("/auth_test/auth_required") == {"user": who}
        odd = b'{"a" :  [1,\n2 ],   "b":null}'
        json_type = {"Content-Type": "application/json"}
        answer = town.user.ask("POST", "/auth_test/auth_required", body=odd, headers=json_type)
        assert answer.json() == {"user": who, "body": {"a": [1, 2], "b": None}}
        for method, body in (("GET", None), ("POST", odd)):
            answer = town.anonymous.ask(method, "/auth_test/auth_required", body=body, headers=json_type)
            text = b"X-SOGS-* request authentication required"
            assert answer.seen_by_client == (401, "text/plain; charset=utf-8", text)

    @pytest.mark.parametrize("seconds", [-86399, 86399])
    @pytest.mark.parametrize("form", ["base64", "unpadded", "hex"])
    def test_forms_of_nonces_and_times(self, town: "Town", form: str, seconds: int) -> None:
        assert town.user.signer is not None
        town.clock.move(-seconds * 1000)
        headers = town.user.signer.headers("GET", "/auth_test/whoami")
        town.clock.move(seconds * 1000)
        nonce = headers["X-SOGS-Nonce"]
        forms = {"base64": nonce, "unpadded": nonce.rstrip("="), "hex": base64.b64decode(nonce).hex()}
        headers["X-SOGS-Nonce"] = forms[form]
        answer = town.community.served.request("GET", "/auth_test/whoami", headers)
        assert answer.json()["user"]["session_id"] == town.user.id

    def test_one_defect_at_a_time(self, town: "Town") -> None:
        """Each defect over HTTP, with the reference's own words."""
        signer, path = town.user.signer, "/auth_test/whoami"
        assert signer is not None
        nonce = "must be 16 bytes (encoded as base64 or hex)"
        good = signer.headers("GET", path)["X-SOGS-Signature"]
        flipped = base64.b64decode(good)
        flipped = bytes([flipped[0] ^ 4]) + flipped[1:]
        head, now = "Invalid authentication:", town.clock.now_ms() // 1000
        missing = "Invalid authentication headers: missing {}/4 required X-SOGS-* headers"
        defects: list[tuple[dict[str, str | None], int, str]] = [
            (
                {"Signature": base64.b64encode(flipped).decode()},
                401,
                f"{head} X-SOGS-Signature verification failed",
            ),
            ({"Signature": good[:-4]}, 400, f"{head} X-SOGS-Signature is not base64[88]"),
            ({"Timestamp": None}, 400, missing.format(1)),
            ({"Nonce": "", "Pubkey": ""}, 400, missing.format(2)),
            ({"Timestamp": "soon"}, 400, f"{head} X-SOGS-Timestamp is not a valid timestamp"),
            *(
                ({"Nonce": bad}, 400, f"{head} X-SOGS-Nonce {nonce}")
                for bad in ("a", "ab" * 15, "ab" * 17, "A" * 21, "A" * 23, "A" * 22 + "=")
            ),
            *(
                ({"Timestamp": str(now + off)}, 425, f"{head} X-SOGS-Timestamp is too far from current time")
                for off in (-86402, 86402)
            ),
        ]
        for changes, status, text in defects:
            headers: dict[str, str] = signer.headers("GET", path)
            for name, value in changes.items():
                headers[f"X-SOGS-{name}"] = value or ""
                if value is None:
                    del headers[f"X-SOGS-{name}"]
            answer = town.community.served.request("GET", path, headers)
            assert answer.seen_by_client == (status, "text/plain; charset=utf-8", text.encode()), changes
        headers = signer.headers("GET", path)
        assert town.community.served.request("GET", "/auth_test/auth_required", headers).status == 401
        assert town.community.served.request("GET", path, headers).status == 200
        again = town.community.served.request("GET", path, headers)
        text = f"{head} X-SOGS-Nonce cannot be reused"
        assert (again.status, again.text) == (425, text)

    def test_the_banned_are_refused_everywhere(self, town: "Town") -> None:
        town.control("ban", session_id=town.user.id, banned=True)
        for path in ("/auth_test/whoami", "/auth_test/auth_required", "/capabilities", "/nowhere"):
            assert town.user.ask("GET", path).text == "Banned"
        answer = town.user.ask("POST", "/auth_test/auth_required", {"x": 1})
        assert answer.seen_by_client == (403, "text/plain; charset=utf-8", b"Banned")
        assert town.anonymous.ask("GET", "/auth_test/whoami").status == 200

    @pytest.mark.parametrize("path", ["/batch", "/sequence"])
    def test_the_outer_signature_is_that_of_all_elements(self, town: "Town", path: str) -> None:
        assert town.user2.signer is not None
        other = town.user2.signer.headers("GET", "/auth_test/whoami")
        elements = [
            {"method": "GET", "path": "/auth_test/whoami", "headers": {"X-Foo": "bar"}},
            {"method": "GET", "path": "/auth_test/whoami?x=y", "headers": other},
            {"method": "POST", "path": "/auth_test/auth_required", "json": {"a": 1}},
            {"method": "GET", "path": "/auth_test/auth_required"},
        ]
        who = {"uid": 1, "session_id": town.user.id}
        results = town.user.answered(200, "POST", path, elements)
        assert [result["body"] for result in results] == [
            {"user": who, "foo": "bar"},
            {"user": who, "query": "x=y"},
            {"user": who, "body": {"a": 1}},
            {"user": who},
        ]
        results = town.anonymous.answered(200, "POST", path, elements)
        assert [result["code"] for result in results] == [200, 200, 401, 401][
            : 3 if path == "/sequence" else 4
        ]

    @pytest.mark.parametrize("prefix", ["00", "15"])
    def test_points_with_a_small_component_are_refused(self, town: "Town", prefix: str) -> None:
        small = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
        assert town.user.signer is not None
        mixed = nacl.bindings.crypto_core_ed25519_add(town.user.signer.account.ed25519_pk, small)
        headers = town.user.signer.headers("GET", "/auth_test/whoami")
        headers["X-SOGS-Pubkey"] = prefix + mixed.hex()
        answer = town.community.served.request("GET", "/auth_test/whoami", headers)
        text = b"Invalid authentication: given X-SOGS-Pubkey is not a valid Ed25519 pubkey"
        assert answer.seen_by_client == (400, "text/plain; charset=utf-8", text)

    def test_what_is_stolen_is_worthless(self, town: "Town") -> None:
        """A signature is good for one request, of one user, once."""
        signer, request = town.admin.signer, town.community.served.request
        assert signer is not None
        body = orjson.dumps({"rooms": ["test-room"]})
        target = f"/user/{town.user.id}/ban"
        headers = signer.headers("POST", target, body) | {"Content-Type": "application/json"}
        own_key = {"X-SOGS-Pubkey": "00" + town.user.signer.account.ed25519_pk.hex()}  # type: ignore[union-attr]
        for changed in (
            ("POST", target, headers, orjson.dumps({"rooms": ["*"]})),
            ("POST", target.replace("ban", "moderator"), headers, body),
            ("POST", target + "?x", headers, body),
            ("POST", target.replace(town.user.id, town.user2.id), headers, body),
            ("PUT", target, headers, body),
            ("POST", target, headers | own_key, body),
        ):
            assert request(*changed).status == 401
        assert town.may(town.user, "write")
        assert request("POST", target, headers, body).status == 200
        assert request("POST", target, headers, body).status == 425


def test_capabilities(town: "Town") -> None:
    plain = {"capabilities": ["reactions", "sogs"]}
    for query in ("", "?required=sogs", "?required=reactions,sogs", "?required=sogs,sogs,sogs"):
        assert town.anonymous.get(f"/capabilities{query}") == plain
    for query, lacking in (("magic", ["magic"]), ("sogs,magic,blind", ["magic", "blind"]), ("a,a", ["a"])):
        reply = town.user.answered(412, "GET", f"/capabilities?required={query}")
        assert reply == {**plain, "missing": lacking}
    town.control("config", key="REQUIRE_BLIND_KEYS", value=True)
    assert town.anonymous.get("/capabilities?required=blind") == {
        "capabilities": ["blind", "reactions", "sogs"]
    }


class TestEchoes:
    def test_batches_of_every_kind_of_body(self, town: "Town") -> None:
        text, bytes_ = "text/plain; charset=utf-8", base64.b64encode
        elements: list[tuple[dict[str, Any], int, str, Any]] = [
            ({"method": "GET", "path": "/test_batch_1"}, 200, "application/json", {"x": "def", "y": "N/A"}),
            (
                {"method": "GET", "path": "/test_batch_1?arg=456", "headers": {"X-Header-123": "abc"}},
                200,
                "application/json",
                {"x": "abc", "y": "456"},
            ),
            (
                {
                    "method": "POST",
                    "path": "/test_batch_4",
                    "b64": "aGVsbG8",
                    "headers": {"Content-Type": "x/y"},
                },
                200,
                text,
                bytes_(b"echo: hello").decode(),
            ),
            (
                {"method": "POST", "path": "/test_batch_4", "bytes": "äöü 🍍"},
                200,
                text,
                bytes_("echo: äöü 🍍".encode()).decode(),
            ),
            (
                {"method": "POST", "path": "/test_batch_4", "json": [1, {"a": None}]},
                200,
                "application/json",
                {"echo": [1, {"a": None}]},
            ),
            (
                {
                    "method": "POST",
                    "path": "/test_batch_4",
                    "bytes": '{"b": 2}',
                    "headers": {"content-TYPE": "application/json"},
                },
                200,
                "application/json",
                {"echo": {"b": 2}},
            ),
            (
                {"method": "GET", "path": "/test_batch_3"},
                200,
                "application/octet-stream",
                bytes_(b"abcdef").decode(),
            ),
            ({"method": "GET", "path": "/test_batch_2"}, 403, "application/json", {"z": 3}),
            (
                {"method": "GET", "path": "/capabilities?required=magic"},
                412,
                "application/json",
                {"capabilities": ["reactions", "sogs"], "missing": ["magic"]},
            ),
            ({"method": "GET", "path": "/test_batch_1"}, 200, "application/json", {"x": "def", "y": "N/A"}),
        ]
        expected = [
            {"code": code, "headers": {"content-type": kind}, "body": body}
            for _, code, kind, body in elements
        ]
        sent = [element for element, *_ in elements]
        assert town.anonymous.answered(200, "POST", "/batch", sent) == expected
        # A sequence ends with the first that fails.
        assert town.anonymous.answered(200, "POST", "/sequence", sent) == expected[:8]

    def test_directly(self, town: "Town") -> None:
        request = town.community.served.request
        answer = request("POST", "/test_batch_4", {"Content-Type": "text/plain"}, "é".encode())
        assert answer.seen_by_client == (200, "text/plain; charset=utf-8", "echo: é".encode())
        answer = request("POST", "/test_batch_4", {}, b"\xff")
        assert answer.text == "echo: \ufffd"
        assert request("GET", "/test_batch_3").seen_by_client == (200, "application/octet-stream", b"abcdef")
        assert request("POST", "/test_batch_4", {"Content-Type": "application/json"}, b"{").status == 400

    @pytest.mark.parametrize(
        ("kind", "body", "expected"),
        [
            ("text/plain", "hellö".encode(), "not json (text/plain): hellö"),
            ("text/x; a=b", b"1", "not json (text/x; a=b): 1"),
            ("x-odd/type", b"", "not json (x-odd/type): "),
            (None, b"1", "not json (application/octet-stream): 1"),
            ("application/json", b'{"a": [1]}', {"json": {"a": [1]}}),
        ],
    )
    def test_bodies_inside_onions(self, town: "Town", kind: str | None, body: bytes, expected: Any) -> None:
        assert town.user.signer is not None
        headers = town.user.signer.headers("POST", "/test_v4_post_body", body)
        headers |= {"content-type": kind} if kind else {}
        answer = town.community.served.onion("POST", "/test_v4_post_body", headers, body)
        assert answer.status == 200
        assert (answer.json() if kind == "application/json" else answer.text) == expected

    @pytest.mark.parametrize("target", ["%F0%9F%8D%8D/a%2Fb%20c%25", "🍍/a%2Fb%20c%25"])
    def test_paths_are_decoded_however_they_are_written(self, town: "Town", target: str) -> None:
        assert town.user.signer is not None
        headers = town.user.signer.headers("PUT", "/test_encoding/%F0%9F%8D%8D/a/b%20c%25")
        answer = town.community.served.onion("PUT", f"/test_encoding/{target}", headers)
        assert answer.json() == {"p": "🍍/a/b c%"}


def test_random_tokens_do_not_match_by_their_beginning(town: "Town") -> None:
    for length in (0, 1, 10, 29):
        shown = "the control token of the tests"[:length]
        answer = control(town, b'{"op": "room_list"}', {"Authorization": f"Bearer {shown}"})
        assert answer.status == 401
    noise = os.urandom(8).hex()
    assert control(town, b'{"op": "room_list"}', {"Authorization": f"Bearer {noise}"}).status == 401
