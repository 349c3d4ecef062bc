"""Posting, reading, editing and deleting messages (open-group-server §9)."""

import base64

import orjson
import pytest

from session_protocol.blinding import blind15_key
from session_protocol.community import verify_community_message
from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.exchange import ServiceRequest
from session_testnet.topology import RoomSpec

NOW_S = 1_760_000_000
SEED = bytes(range(32))
ROOMS = (RoomSpec("lobby", "Lobby"), RoomSpec("annex", "Annex"))
SIGNATURE = base64.b64encode(bytes(range(64))).decode()
MESSAGES = "/room/lobby/messages"


@pytest.fixture
def make(clock, trace):
    servers = []

    def make_one(**options):
        settings = {"rooms": ROOMS, "require_blinding": False, "rate_limit": False} | options
        servers.append(CommunityServer(SEED, clock=clock, trace=trace, **settings))
        return servers[-1]

    yield make_one
    for server in servers:
        server.close()


@pytest.fixture
def server(make):
    return make()


@pytest.fixture
def alice(signer, server):
    return signer("alice", server)


@pytest.fixture
def bob(signer, server):
    return signer("bob", server)


def body(data=b"hello\x80", **members):
    return {"data": base64.b64encode(data).decode(), "signature": SIGNATURE} | members


def post(who, server, data=b"hello\x80", room="lobby", **members):
    answer = who.ask(server, "POST", f"/room/{room}/message", body(data, **members))
    assert answer.status == 201, answer.text
    return answer.json()


def read(server, target, who=None):
    if who is not None:
        answer = who.ask(server, "GET", target)
        assert answer.status == 200, answer.text
        return answer.json()
    answer = server.handle(ServiceRequest.from_target("GET", target, {}))
    assert answer.status == 200, answer.body
    return orjson.loads(answer.body)


class TestPosting:
    def test_the_answer_is_the_message(self, server, alice):
        message = post(alice, server)
        assert message == {
            "id": 1,
            "session_id": alice.account.account_id,
            "posted": float(NOW_S),
            "seqno": 1,
            "data": base64.b64encode(b"hello\x80").decode(),
            "signature": SIGNATURE,
            "reactions": {},
        }
        assert read(server, f"{MESSAGES}/recent") == [message]
        assert read(server, f"{MESSAGES}/since/0") == [message]
        assert read(server, "/room/lobby/message/1") == message

    def test_ids_count_over_the_server_and_seqnos_in_a_room(self, server, alice):
        numbers = [post(alice, server, room=room) for room in ("lobby", "annex", "lobby")]
        assert [(message["id"], message["seqno"]) for message in numbers] == [(1, 1), (2, 1), (3, 2)]
        assert read(server, "/room/lobby")["message_sequence"] == 2
        assert read(server, "/room/annex/messages/recent")[0]["id"] == 2

    def test_data_comes_back_byte_for_byte(self, server, alice, vectors):
        for row in vectors("message_padding"):
            message = post(alice, server, bytes.fromhex(row["posted"]))
            assert base64.b64decode(message["data"]).hex() == row["returned"]
            assert read(server, f"{MESSAGES}/recent")[0]["data"] == message["data"]

    def test_base64_may_come_without_padding_and_leaves_with_it(self, server, alice):
        answer = alice.ask(
            server, "POST", "/room/lobby/message", {"data": "YQ", "signature": SIGNATURE.rstrip("=")}
        )
        assert (answer.json()["data"], answer.json()["signature"]) == ("YQ==", SIGNATURE)

    def test_a_million_bytes_are_one_message(self, server, alice):
        assert len(post(alice, server, bytes(1_000_000))["data"]) == 1_333_336

    def test_a_blinded_author_is_named_by_the_blinded_id(self, make, signer):
        server = make(require_blinding=True)
        alice = signer("alice", server, "blinded15")
        expected = blind15_key(alice.account, bytes.fromhex(server.public_key)).id
        assert post(alice, server)["session_id"] == expected

    @pytest.mark.parametrize(
        "document",
        [
            [],
            {},
            {"data": "aa=="},
            {"signature": SIGNATURE},
            {"data": "a", "signature": SIGNATURE},
            {"data": "a b=", "signature": SIGNATURE},
            {"data": 1, "signature": SIGNATURE},
            {"data": None, "signature": SIGNATURE},
            {"data": "", "signature": "?"},
            {"data": "", "signature": None},
            {"data": "", "signature": SIGNATURE, "files": "1"},
            {"data": "", "signature": SIGNATURE, "files": [True]},
            {"data": "", "signature": SIGNATURE, "files": ["one"]},
            {"data": "", "signature": SIGNATURE, "files": [1.5]},
            {"data": "", "signature": SIGNATURE, "whisper_to": "05"},
            {"data": "", "signature": SIGNATURE, "whisper_to": 5},
            {"data": "", "signature": SIGNATURE, "whisper_mods": 1},
        ],
    )
    def test_bad_data_is_refused_with_400(self, server, alice, document):
        assert alice.ask(server, "POST", "/room/lobby/message", document).status == 400
        assert read(server, f"{MESSAGES}/recent") == []

    @pytest.mark.parametrize("size", [0, 63, 65])
    def test_a_signature_of_another_size_is_refused_without_a_word(self, server, alice, size):
        short = base64.b64encode(bytes(size)).decode()
        answer = alice.ask(server, "POST", "/room/lobby/message", body() | {"signature": short})
        assert (answer.status, answer.body) == (400, b"")

    def test_unknown_members_are_ignored(self, server, alice):
        assert "sync" not in post(alice, server, sync=True, id=77)

    def test_who_may_post(self, server, alice):
        anonymous = server.handle(
            ServiceRequest.from_target(
                "POST", "/room/lobby/message", {"Content-Type": "application/json"}, orjson.dumps(body())
            )
        )
        assert (anonymous.status, anonymous.body) == (401, b"X-SOGS-* request authentication required")
        assert anonymous.headers["content-type"] == "text/plain; charset=utf-8"
        server._database.execute("UPDATE rooms SET write = 0")
        refused = alice.ask(server, "POST", "/room/lobby/message", body())
        assert refused.seen_by_client == (403, "text/html; charset=utf-8", b"Permission denied")
        server.give_role(Role(alice.account.account_id, "lobby"))
        assert post(alice, server)["id"] == 1
        assert alice.ask(server, "POST", "/room/annex/message", body()).status == 403

    def test_five_messages_in_sixteen_seconds(self, make, signer, clock):
        server = make(rate_limit=True)
        alice, bob = signer("alice", server), signer("bob", server)
        for _ in range(5):
            post(alice, server)
        limited = alice.ask(server, "POST", "/room/lobby/message", body())
        assert (limited.status, limited.text) == (429, "Rate limited")
        post(bob, server)
        post(alice, server, room="annex")
        server.give_role(Role(alice.account.account_id, "lobby"))
        assert alice.ask(server, "POST", "/room/lobby/message", body()).status == 429
        clock.move(15_999)
        assert alice.ask(server, "POST", "/room/lobby/message", body()).status == 429
        clock.move(1)
        for _ in range(5):
            post(alice, server)
        server.give_role(Role(alice.account.account_id, "lobby", admin=True))
        post(alice, server)


class TestEditing:
    def test_an_edit_moves_the_message_to_the_end_of_the_poll(self, server, alice, clock):
        first, second = post(alice, server, b"one"), post(alice, server, b"two")
        clock.move(5000)
        answer = alice.ask(server, "PUT", "/room/lobby/message/1", body(b"changed"))
        assert (answer.status, answer.json()) == (200, {})
        edited = read(server, "/room/lobby/message/1")
        assert edited == first | {
            "data": base64.b64encode(b"changed").decode(),
            "edited": NOW_S + 5.0,
            "seqno": 3,
        }
        assert read(server, f"{MESSAGES}/since/0") == [second, edited]
        assert read(server, f"{MESSAGES}/since/2") == [edited]
        assert read(server, f"{MESSAGES}/recent") == [second, edited]

    def test_the_same_data_changes_the_signature_only(self, server, alice):
        post(alice, server)
        other = base64.b64encode(bytes(64)).decode()
        assert alice.ask(server, "PUT", "/room/lobby/message/1", body() | {"signature": other}).status == 200
        message = read(server, "/room/lobby/message/1")
        assert (message["signature"], message["seqno"]) == (other, 1)
        assert "edited" not in message

    def test_refusals(self, server, alice, bob):
        post(alice, server)
        server.give_role(Role(bob.account.account_id, admin=True))
        # Not even an admin of the whole server puts words into another's mouth.
        assert bob.ask(server, "PUT", "/room/lobby/message/1", body()).status == 403
        assert alice.ask(server, "PUT", "/room/lobby/message/2", body()).status == 404
        assert alice.ask(server, "PUT", "/room/annex/message/1", body()).status == 404
        assert alice.ask(server, "PUT", "/room/lobby/message/1", {}).status == 400
        alice.ask(server, "DELETE", "/room/lobby/message/1")
        assert alice.ask(server, "PUT", "/room/lobby/message/1", body()).status == 404


class TestDeleting:
    def test_a_tombstone_tells_who_can_have_seen_the_message(self, server, alice, clock):
        post(alice, server)
        post(alice, server)
        clock.move(7000)
        answer = alice.ask(server, "DELETE", "/room/lobby/message/2")
        assert (answer.status, answer.json()) == (200, {})
        tombstone = {
            "id": 2,
            "session_id": alice.account.account_id,
            "posted": float(NOW_S),
            "seqno": 3,
            "edited": NOW_S + 7.0,
            "data": None,
            "deleted": True,
        }
        assert read(server, f"{MESSAGES}/since/2") == [tombstone]
        assert [message["id"] for message in read(server, f"{MESSAGES}/since/1")] == []
        assert [message["id"] for message in read(server, f"{MESSAGES}/since/0")] == [1]
        assert read(server, f"{MESSAGES}/since/3") == []
        assert [message["id"] for message in read(server, f"{MESSAGES}/recent")] == [1]
        missing = alice.ask(server, "GET", "/room/lobby/message/2")
        assert (missing.status, missing.text) == (404, "No such post: 2")

    def test_who_may_delete(self, server, alice, bob):
        for _ in range(3):
            post(alice, server)
        assert bob.ask(server, "DELETE", "/room/lobby/message/1").status == 403
        assert bob.ask(server, "DELETE", "/room/lobby/message/9").status == 404
        assert server.handle(ServiceRequest.from_target("DELETE", "/room/lobby/message/1", {})).status == 401
        server.give_role(Role(bob.account.account_id, "lobby"))
        assert bob.ask(server, "DELETE", "/room/lobby/message/1").status == 200
        assert bob.ask(server, "DELETE", "/room/lobby/message/1").status == 404
        assert alice.ask(server, "DELETE", "/room/annex/message/2").status == 404
        server._database.execute("UPDATE rooms SET write = 0")
        # Whoever may not write learns nothing about what exists.
        assert alice.ask(server, "DELETE", "/room/lobby/message/2").status == 403
        assert alice.ask(server, "DELETE", "/room/lobby/message/9").status == 403
        assert bob.ask(server, "DELETE", "/room/lobby/message/2").status == 200


class TestWhispers:
    @pytest.fixture
    def people(self, server, signer):
        found = {name: signer(name, server) for name in ("mod", "other mod", "alice", "bob")}
        for name in ("mod", "other mod"):
            server.give_role(Role(found[name].account.account_id, "lobby"))
        return found

    def seen(self, server, people):
        target = f"{MESSAGES}/recent"
        lists = {name: read(server, target, who) for name, who in people.items()}
        lists["nobody"] = read(server, target)
        return {name: [message["id"] for message in messages] for name, messages in lists.items()}

    def test_who_sees_which_whisper(self, server, people):
        alice_id = people["alice"].account.account_id
        to_alice = post(people["mod"], server, whisper_to=alice_id)
        assert (to_alice["whisper"], to_alice["whisper_mods"], to_alice["whisper_to"]) == (
            True,
            False,
            alice_id,
        )
        assert to_alice["whisper_mods"] is False
        to_mods = post(people["mod"], server, whisper_mods=True)
        assert to_mods["whisper_mods"] is True
        assert "whisper_to" not in to_mods
        post(people["mod"], server, whisper_to=alice_id, whisper_mods=True)
        post(people["bob"], server)
        assert self.seen(server, people) == {
            "mod": [4, 3, 2, 1],
            "other mod": [4, 3, 2],
            "alice": [4, 3, 1],
            "bob": [4],
            "nobody": [4],
        }
        assert people["bob"].ask(server, "GET", "/room/lobby/message/1").status == 404
        assert people["alice"].ask(server, "GET", "/room/lobby/message/1").status == 200

    def test_only_moderators_whisper(self, server, people):
        for member in ({"whisper_mods": True}, {"whisper_to": people["bob"].account.account_id}):
            assert people["alice"].ask(server, "POST", "/room/lobby/message", body(**member)).status == 403

    def test_an_unknown_id_can_be_whispered_to_before_it_comes(self, server, people, signer):
        carol = signer("carol", server)
        post(people["mod"], server, whisper_to=carol.account.account_id)
        assert [message["id"] for message in read(server, f"{MESSAGES}/recent", carol)] == [1]


class TestLists:
    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ("", 100),
            ("?limit=7", 7),
            ("?limit=0", 1),
            ("?limit=-5", 1),
            ("?limit=1000", 256),
            ("?reactors=99", 100),
        ],
    )
    def test_limits_are_clamped(self, server, alice, query, count):
        room = server._stores.rooms.find("lobby")
        author = server._stores.users.find_or_add(alice.account.account_id, now_ms=0)
        from session_testnet.services.community.posts import Draft

        for _ in range(300):
            server._stores.posts.add(room, author, Draft(b"x", bytes(64)), now_ms=0)
        for target in ("since/0", "recent", "before/301"):
            assert len(read(server, f"{MESSAGES}/{target}{query}")) == count

    @pytest.mark.parametrize("query", ["limit=x", "limit=", "limit=1.5", "reactors=many"])
    def test_what_is_no_number_is_refused(self, server, query):
        for target in ("messages/since/0", "messages/recent", "messages/before/1", "message/1"):
            request = ServiceRequest.from_target("GET", f"/room/lobby/{target}?{query}", {})
            assert server.handle(request).status == 400

    @pytest.mark.parametrize(
        "target", ["messages/since/-1", "messages/since/x", "messages/before/", "message/1.5"]
    )
    def test_parts_of_the_path_that_are_no_numbers_are_not_found(self, server, target):
        assert server.handle(ServiceRequest.from_target("GET", f"/room/lobby/{target}", {})).status == 404

    def test_numbers_beyond_all_databases(self, server, alice):
        post(alice, server)
        huge = "9" * 60
        assert read(server, f"{MESSAGES}/since/{huge}") == []
        assert len(read(server, f"{MESSAGES}/before/{huge}")) == 1
        assert alice.ask(server, "GET", f"/room/lobby/message/{huge}").status == 404


class TestSeededRooms:
    TEXTS = ("Welcome!", "With an owl 🦉.")

    @pytest.mark.parametrize("blinded", [True, False])
    def test_texts_of_the_topology_are_there_and_signed(self, clock, trace, tmp_path, blinded):
        from session_protocol.content import parse_content
        from session_protocol.padding import unpad

        rooms = (RoomSpec("lobby", "Lobby", "", self.TEXTS),)

        def start():
            return CommunityServer(
                SEED, clock=clock, trace=trace, rooms=rooms, directory=tmp_path, require_blinding=blinded
            )

        start().close()
        server = start()
        messages = read(server, f"{MESSAGES}/since/0")
        server.close()
        assert len(messages) == len(self.TEXTS)
        for message, text in zip(messages, self.TEXTS, strict=True):
            data, signature = base64.b64decode(message["data"]), base64.b64decode(message["signature"])
            assert message["session_id"][:2] == ("15" if blinded else "05")
            assert verify_community_message(message["session_id"], data, signature)
            assert len(data) % 160 == 0
            assert parse_content(unpad(data))["body"] == text


def test_messages_survive_a_restart_and_ids_go_on(clock, trace, tmp_path, signer):
    def start():
        return CommunityServer(
            SEED, clock=clock, trace=trace, rooms=ROOMS, directory=tmp_path, require_blinding=False
        )

    first = start()
    alice = signer("alice", first)
    kept = [post(alice, first), post(alice, first)]
    alice.ask(first, "DELETE", "/room/lobby/message/2")
    first.close()
    second = start()
    assert read(second, f"{MESSAGES}/recent") == kept[:1]
    third = post(alice, second)
    assert (third["id"], third["seqno"]) == (3, 4)
    second.close()
