"""Reading and posting over real sockets, directly and through onions (open-group-server §9)."""

import base64

import pytest

from session_testnet.services.community import Role

NOW_S = 1_760_000_000
SIGNATURE = base64.b64encode(bytes(range(64))).decode()
POST = "/room/lobby/message"
MESSAGES = "/room/lobby/messages"
BATCH = 100


@pytest.fixture
def community(open_community):
    return open_community()


@pytest.fixture
def alice(community):
    return community.member("alice")


@pytest.fixture
def bob(community):
    return community.member("bob")


def document(text="hello", **members):
    return {"data": base64.b64encode(text.encode()).decode(), "signature": SIGNATURE} | members


def post(member, text="hello", **members):
    return member.answered(201, "POST", POST, document(text, **members))


def post_many(member, count):
    """Post ``message 1`` and so on, many in a request."""
    for start in range(1, count + 1, BATCH):
        elements = [
            {"method": "POST", "path": POST, "json": document(f"message {number}")}
            for number in range(start, min(start + BATCH, count + 1))
        ]
        answers = member.answered(200, "POST", "/batch", elements)
        assert {answer["code"] for answer in answers} == {201}


def ids(messages):
    return [message["id"] for message in messages]


class TestPaging:
    def test_polling_from_the_beginning_page_by_page(self, community, alice):
        post_many(alice, 675)
        for query, size in (("", 100), ("?limit=25", 25)):
            cursor, seen, pages = 0, [], 0
            while page := community.anonymous.get(f"{MESSAGES}/since/{cursor}{query}"):
                assert len(page) == min(size, 675 - len(seen))
                for message in page:
                    assert set(message) == {
                        "id",
                        "session_id",
                        "seqno",
                        "data",
                        "signature",
                        "posted",
                        "reactions",
                    }
                seen += page
                cursor, pages = page[-1]["seqno"], pages + 1
            assert pages == -(-675 // size)
            assert ids(seen) == list(range(1, 676))
            assert [message["seqno"] for message in seen] == list(range(1, 676))
            texts = [base64.b64decode(message["data"]).decode() for message in seen]
            assert texts == [f"message {number}" for number in range(1, 676)]

    def test_going_back_from_the_newest(self, community, alice):
        post_many(alice, 1000)
        assert ids(community.anonymous.get(f"{MESSAGES}/recent")) == list(range(1000, 900, -1))
        assert ids(community.anonymous.get(f"{MESSAGES}/recent?limit=1")) == [1000]
        for limit in (100, 255, 256):
            seen = ids(community.anonymous.get(f"{MESSAGES}/recent?limit={limit}"))
            while page := ids(community.anonymous.get(f"{MESSAGES}/before/{seen[-1]}?limit={limit}")):
                assert len(page) == min(limit, seen[-1] - 1)
                seen += page
            assert seen == list(range(1000, 0, -1))
        assert ids(community.anonymous.get(f"{MESSAGES}/before/4")) == [3, 2, 1]
        assert community.anonymous.get(f"{MESSAGES}/before/1") == []

    def test_one_message_is_what_posting_it_returned(self, community, alice):
        for number in range(1, 6):
            message = post(alice, f"message {number}")
            assert community.anonymous.get(f"{POST}/{number}") == message
        missing = community.anonymous.ask("GET", f"{POST}/6")
        assert (missing.status, missing.text) == (404, "No such post: 6")

    def test_which_tombstones_are_told_from_where(self, community, alice):
        post_many(alice, 5)
        for number in (2, 4):
            alice.answered(200, "DELETE", f"{POST}/{number}")
        post(alice)
        told = {
            seqno: [
                (row["id"], row.get("deleted", False))
                for row in community.anonymous.get(f"{MESSAGES}/since/{seqno}")
            ]
            for seqno in range(9)
        }
        assert told == {
            0: [(1, False), (3, False), (5, False), (6, False)],
            1: [(3, False), (5, False), (6, False)],
            2: [(3, False), (5, False), (2, True), (6, False)],
            3: [(5, False), (2, True), (6, False)],
            4: [(5, False), (2, True), (4, True), (6, False)],
            5: [(2, True), (4, True), (6, False)],
            6: [(4, True), (6, False)],
            7: [(6, False)],
            8: [],
        }


class TestPosting:
    def test_the_answer_is_what_is_listed(self, community, alice):
        message = post(alice, "jeremiah was a bullfrog")
        assert message == {
            "id": 1,
            "session_id": alice.id,
            "posted": float(NOW_S),
            "seqno": 1,
            "data": base64.b64encode(b"jeremiah was a bullfrog").decode(),
            "signature": SIGNATURE,
            "reactions": {},
        }
        assert community.anonymous.get(f"{MESSAGES}/recent") == [message]
        assert alice.get(f"{MESSAGES}/since/0") == [message]

    def test_what_the_reference_fails_at_is_a_bad_request(self, community, alice):
        post(alice)
        for bad in (
            {},
            {"data": "YQ=="},
            {"signature": SIGNATURE},
            document() | {"data": "?"},
            document() | {"signature": "?"},
            document(whisper_to="nobody"),
        ):
            assert alice.ask("POST", POST, bad).status == 400
        for bad in ({}, {"data": "YQ=="}, document() | {"data": "?"}):
            assert alice.ask("PUT", f"{POST}/1", bad).status == 400
        assert alice.ask("PUT", f"{POST}/99", document()).status == 404
        assert len(community.anonymous.get(f"{MESSAGES}/recent")) == 1

    def test_five_messages_in_sixteen_seconds(self, open_community):
        community = open_community(rate_limit=True)
        alice = community.member("alice")
        for _ in range(5):
            post(alice)
        limited = alice.ask("POST", POST, document())
        assert limited.seen_by_client == (429, "text/html; charset=utf-8", b"Rate limited")
        community.clock.move(16_000)
        post(alice)
        # The limit can be lifted while the server runs.
        community.server.settings.rate_limit = False
        for _ in range(6):
            post(alice)

    def test_nobody_is_created_for_a_whisper_that_is_refused(self, community, alice):
        stranger = community.member("stranger")
        assert alice.ask("POST", POST, document(whisper_to=stranger.id)).status == 403
        assert community.server._stores.users.find(stranger.id) is None


class TestEditing:
    def test_only_the_author_edits_and_the_message_moves_to_the_end(self, community, alice, bob):
        first, second = post(alice, "one"), post(alice, "two")
        admin = community.member("admin")
        community.server.give_role(Role(admin.id, admin=True))
        community.clock.move(2500)
        for other in (bob, admin):
            assert other.ask("PUT", f"{POST}/1", document("theirs")).status == 403
        assert community.anonymous.ask("PUT", f"{POST}/1", document("theirs")).status == 401
        assert alice.answered(200, "PUT", f"{POST}/1", document("changed")) == {}
        edited = first | {
            "data": base64.b64encode(b"changed").decode(),
            "edited": NOW_S + 2.5,
            "seqno": 3,
        }
        assert community.anonymous.get(f"{MESSAGES}/since/0") == [second, edited]
        assert community.anonymous.get(f"{MESSAGES}/since/1") == [second, edited]
        assert community.anonymous.get(f"{MESSAGES}/since/2") == [edited]
        assert community.anonymous.get(f"{MESSAGES}/since/3") == []
        assert community.anonymous.get(f"{MESSAGES}/recent") == [second, edited]
        assert community.anonymous.get("/room/lobby")["message_sequence"] == 3
        assert (
            community.anonymous.get("/room/lobby")["info_updates"]
            == community.anonymous.get("/room/annex")["info_updates"]
        )
        community.server._database.execute("UPDATE rooms SET write = 0")
        assert alice.ask("PUT", f"{POST}/1", document()).status == 403

    def test_what_was_said_before_is_remembered_for_thirty_days(self, community, alice):
        post(alice, "one")
        posts = community.server._stores.posts
        community.clock.move(1000)
        alice.answered(200, "PUT", f"{POST}/1", document("two"))
        # The same bytes are no change, under whatever signature.
        alice.answered(200, "PUT", f"{POST}/1", document("two") | {"signature": "A" * 86})
        community.clock.move(1000)
        alice.answered(200, "DELETE", f"{POST}/1")
        start_ms, signature = NOW_S * 1000, bytes(range(64))
        history = [(b"one", signature, start_ms + 1000), (b"two", bytes(64), start_ms + 2000)]
        assert posts.history(1) == history
        community.clock.move(30 * 24 * 3600 * 1000 - 1000)
        community.server.cleanup()
        assert posts.history(1) == history[1:]
        community.clock.move(1000)
        community.server.cleanup()
        assert posts.history(1) == []


class TestWhispers:
    @pytest.fixture
    def moderators(self, community):
        members = [community.member(name) for name in ("moderator", "other moderator")]
        for member in members:
            community.server.give_role(Role(member.id, "lobby"))
        return members

    def test_to_a_user(self, community, alice, bob, moderators):
        moderator, other = moderators
        for member in (alice, bob):
            assert member.ask("POST", POST, document(whisper_to=alice.id)).status == 403
        whisper = post(moderator, whisper_to=alice.id)
        assert whisper == {
            "id": 1,
            "session_id": moderator.id,
            "posted": float(NOW_S),
            "seqno": 1,
            "data": base64.b64encode(b"hello").decode(),
            "signature": SIGNATURE,
            "reactions": {},
            "whisper": True,
            "whisper_mods": False,
            "whisper_to": alice.id,
        }
        for member in (alice, moderator):
            assert member.get(f"{MESSAGES}/recent") == [whisper]
            assert member.get(f"{MESSAGES}/since/0?t=r") == [whisper]
            assert member.get(f"{POST}/1") == whisper
        for member in (bob, other, community.anonymous):
            assert member.get(f"{MESSAGES}/recent") == []
            assert member.get(f"{MESSAGES}/since/0?t=r") == []
            assert member.ask("GET", f"{POST}/1").status == 404

    def test_to_the_moderators(self, community, alice, moderators):
        assert alice.ask("POST", POST, document(whisper_mods=True)).status == 403
        whisper = post(moderators[0], whisper_mods=True)
        # JSON booleans: iOS reads nothing else.
        assert whisper["whisper_mods"] is True
        assert "whisper_to" not in whisper
        for member in moderators:
            (listed,) = member.get(f"{MESSAGES}/recent")
            assert listed == whisper
            assert listed["whisper_mods"] is True
        for member in (alice, community.anonymous):
            assert member.get(f"{MESSAGES}/recent") == []

    def test_to_both_and_what_each_sees_of_it_all(self, community, alice, bob, moderators):
        moderator, other = moderators
        post(alice)
        post(moderator, whisper_to=alice.id)
        post(moderator, whisper_to=alice.id, whisper_mods=True)
        post(other, whisper_mods=True)
        post(bob)
        post(other, whisper_to=moderator.id)
        seen = {
            name: ids(member.get(f"{MESSAGES}/since/0"))
            for name, member in {
                "moderator": moderator,
                "other": other,
                "alice": alice,
                "bob": bob,
                "nobody": community.anonymous,
            }.items()
        }
        assert seen == {
            "moderator": [1, 2, 3, 4, 5, 6],
            "other": [1, 3, 4, 5, 6],
            "alice": [1, 2, 3, 5],
            "bob": [1, 5],
            "nobody": [1, 5],
        }

    def test_edits_and_deletions_of_a_whisper_stay_between_the_two(self, community, alice, bob, moderators):
        moderator, _ = moderators
        post(moderator, whisper_to=alice.id)
        moderator.answered(200, "PUT", f"{POST}/1", document("again"))
        (edited,) = alice.get(f"{MESSAGES}/since/1")
        assert (edited["seqno"], edited["whisper_to"]) == (2, alice.id)
        assert bob.get(f"{MESSAGES}/since/1") == []
        moderator.answered(200, "DELETE", f"{POST}/1")
        assert ids(alice.get(f"{MESSAGES}/since/2")) == [1]
        assert bob.get(f"{MESSAGES}/since/2") == []
