"""Direct messages through a community server, directly and through onions (open-group-server §15)."""

import base64

import pytest

from session_protocol.blinded_messages import decrypt_blinded_message, encrypt_blinded_message

NOW_S = 1_760_000_000
DAY_S = 24 * 3600


@pytest.fixture
def community(open_community):
    return open_community(require_blinding=True)


@pytest.fixture
def alice(community):
    return known(community, "alice")


@pytest.fixture
def bob(community):
    return known(community, "bob")


def known(community, name, mode="blinded15"):
    """A member whom the server has seen."""
    member = community.member(name, mode)
    member.answered(200, "GET", "/capabilities")
    return member


def send(sender, recipient, text=b"sealed", **members):
    document = {"message": base64.b64encode(text).decode(), **members}
    return sender.answered(201, "POST", f"/inbox/{recipient.id}", document)


def test_nothing_has_come_yet(community, alice):
    for box in ("inbox", "outbox"):
        answer = alice.ask("GET", f"/{box}")
        assert answer.seen_by_client == (200, "application/json", b"[]")
        for since in (0, 7, 10**30):
            answer = alice.ask("GET", f"/{box}/since/{since}")
            assert (answer.status, answer.body) == (304, b"")
        assert alice.ask("GET", f"/{box}/since/x").status == 404


def test_a_message_arrives_as_it_was_sealed(community, alice, bob):
    server_pk = community.served.x25519_pk
    sealed = encrypt_blinded_message(community.accounts("alice"), server_pk, bob.id, b"hello")
    receipt = send(alice, bob, sealed)
    expected = {
        "id": 1,
        "posted_at": float(NOW_S),
        "expires_at": float(NOW_S + 15 * DAY_S),
        "sender": alice.id,
        "recipient": bob.id,
    }
    assert receipt == expected
    expected["message"] = base64.b64encode(sealed).decode()
    for member, filled, empty in ((bob, "inbox", "outbox"), (alice, "outbox", "inbox")):
        assert member.get(f"/{filled}") == [expected]
        assert member.get(f"/{filled}/since/0") == [expected]
        assert member.ask("GET", f"/{filled}/since/1").status == 304
        assert member.get(f"/{empty}") == []
        account = community.accounts("bob" if member is bob else "alice")
        opened = decrypt_blinded_message(account, server_pk, alice.id, bob.id, sealed)
        assert opened.message == b"hello"
        assert opened.sender_account_id == community.accounts("alice").account_id


@pytest.mark.parametrize("sender", ["alice", "bob"])
@pytest.mark.parametrize("recipient", ["alice", "bob"])
def test_whoever_received_deletes(community, alice, bob, sender, recipient):
    members = {"alice": alice, "bob": bob}
    sender, recipient = members[sender], members[recipient]
    for number in range(10):
        send(sender, recipient, bytes([number]))
    received = recipient.get("/inbox")
    assert [message["id"] for message in received] == list(range(1, 11))
    assert received == sender.get("/outbox")
    other = bob if recipient is alice else alice
    assert other.answered(200, "DELETE", "/inbox") == {"deleted": 0}
    assert recipient.answered(200, "DELETE", "/inbox") == {"deleted": 10}
    assert recipient.get("/inbox") == []
    assert recipient.answered(200, "DELETE", "/inbox") == {"deleted": 0}
    assert send(sender, recipient)["id"] == 11


def test_pages(community, alice, bob):
    for number in range(300):
        community.server._stores.inbox.add(
            community.server._stores.users.find(alice.id),
            community.server._stores.users.find(bob.id),
            bytes([number % 256]),
            now_ms=community.clock.now_ms(),
        )
    for member, box in ((bob, "inbox"), (alice, "outbox")):
        for query, size in (("", 100), ("?limit=1", 1), ("?limit=0", 1), ("?limit=999", 256)):
            expected = list(range(1, size + 1))
            assert [message["id"] for message in member.get(f"/{box}{query}")] == expected
            found = member.get(f"/{box}/since/4{query}")
            assert [message["id"] for message in found] == [number + 4 for number in expected]
        assert member.ask("GET", f"/{box}?limit=x").status == 400


def test_messages_expire_after_fifteen_days(community, alice, bob):
    send(alice, bob)
    community.clock.move(DAY_S * 1000)
    send(alice, bob)
    community.clock.move(14 * DAY_S * 1000 - 1)
    assert len(bob.get("/inbox")) == 2
    community.clock.move(1)
    assert [message["id"] for message in bob.get("/inbox")] == [2]
    assert [message["id"] for message in alice.get("/outbox")] == [2]
    assert bob.answered(200, "DELETE", "/inbox") == {"deleted": 1}
    send(alice, bob)
    community.clock.move(15 * DAY_S * 1000)
    community.server.cleanup()
    assert community.server._database.execute("SELECT COUNT(*) FROM inbox").fetchone()[0] == 0


def test_the_banned_neither_send_nor_receive(community, alice, bob):
    carol = known(community, "carol")
    send(alice, bob)
    community.server.ban(bob.id)
    document = {"message": "YQ=="}
    for member, method, target, body in (
        (bob, "GET", "/inbox", None),
        (bob, "POST", f"/inbox/{alice.id}", document),
        (bob, "DELETE", "/inbox", None),
    ):
        refused = member.ask(method, target, body)
        assert (refused.status, refused.text) == (403, "Banned")
    missing = carol.ask("POST", f"/inbox/{bob.id}", document)
    assert (missing.status, missing.text) == (404, f"No such user: {bob.id}")
    assert alice.get("/inbox") == []
    # What came before the ban waits for its end.
    community.server.ban(bob.id, banned=False)
    assert len(bob.get("/inbox")) == 1


def test_who_has_never_come_cannot_be_written_to(community, alice):
    stranger = community.member("stranger", "blinded15")
    assert alice.ask("POST", f"/inbox/{stranger.id}", {"message": "YQ=="}).status == 404
    # The case of the digits does not matter.
    known(community, "stranger")
    alice.answered(201, "POST", f"/inbox/15{stranger.id[2:].upper()}", {"message": "YQ=="})
    assert stranger.get("/inbox")[0]["recipient"] == stranger.id


@pytest.mark.parametrize("recipient", ["05" + "ab" * 32, "25" + "ab" * 32, "15", "15" + "xy" * 32])
def test_what_is_no_blinded_id_is_no_path(community, alice, recipient):
    answer = alice.ask("POST", f"/inbox/{recipient}", {"message": "YQ=="})
    assert b"404 Not Found" in answer.body


@pytest.mark.parametrize("document", [{}, [], {"message": None}, {"message": 1}, {"message": "a"}])
def test_a_message_needs_content(community, alice, bob, document):
    assert alice.ask("POST", f"/inbox/{bob.id}", document).status == 400
    assert alice.ask("POST", f"/inbox/{bob.id}", body=b"{}").status == 400
    assert bob.get("/inbox") == []


def test_further_members_are_ignored(community, alice, bob):
    assert send(alice, bob, timestamp=1, signature="x", public_key=None, id=99)["id"] == 1


def test_it_takes_a_blinded_name(open_community):
    community = open_community(require_blinding=False)
    anonymous, plain = community.anonymous, known(community, "plain", "unblinded")
    for method, target in (
        ("GET", "/inbox"),
        ("GET", "/outbox"),
        ("GET", "/inbox/since/0"),
        ("GET", "/outbox/since/0"),
        ("DELETE", "/inbox"),
    ):
        refused = anonymous.ask(method, target)
        assert (refused.status, refused.text) == (401, "X-SOGS-* request authentication required")
        refused = plain.ask(method, target)
        assert (refused.status, refused.text) == (401, "This endpoint requires blinded pubkeys be used")
    bob = known(community, "bob")
    assert anonymous.ask("POST", f"/inbox/{bob.id}", {"message": "YQ=="}).status == 401
    # Writing is open to everybody with a name.
    assert send(plain, bob)["sender"] == plain.id
    assert bob.get("/inbox")[0]["sender"] == plain.id


def test_the_second_kind_of_blinded_ids_where_the_server_lets_it_in(open_community):
    from session_protocol.blinding import blind25_key

    community = open_community(require_blinding=True, accept_blinded25=True)
    alice = known(community, "alice", "blinded25")
    bob_id = blind25_key(community.accounts("bob"), community.served.x25519_pk).id
    bob = known(community, "bob", "blinded25")
    alice.answered(201, "POST", f"/inbox/{bob_id}", {"message": "YQ=="})
    assert bob.get("/inbox")[0]["recipient"] == bob_id


def test_in_a_batch_nothing_new_is_a_304_that_ends_a_sequence(community, alice, bob):
    elements = [
        {"method": "GET", "path": "/inbox/since/0"},
        {"method": "GET", "path": "/capabilities"},
        {"method": "GET", "path": "/outbox"},
    ]
    nothing = {"code": 304, "headers": {}, "body": ""}
    assert alice.answered(200, "POST", "/sequence", elements) == [nothing]
    answers = alice.answered(200, "POST", "/batch", elements)
    assert [answer["code"] for answer in answers] == [304, 200, 200]
    assert answers[0] == nothing
    send(bob, alice)
    assert [a["code"] for a in alice.answered(200, "POST", "/sequence", elements)] == [200, 200, 200]
