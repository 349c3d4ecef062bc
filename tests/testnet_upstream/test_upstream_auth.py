"""Session ids and sub-accounts, as the network's own tests demand (storage-rpc §16)."""

import base64
from typing import Any

import nacl.bindings
import pytest

Client = Any
READ, WRITE, DELETE, ANY_PREFIX = 1, 2, 4, 8
DAY_MS = 86_400_000
REFUSED = "{} signature verification failed"


def test_session_auth(client: Client) -> None:
    user = client.user("session")
    hashes = sorted(client.store(user, f"message {number}".encode()) for number in range(3))
    now = client.now
    good = user.signed("delete_all", {"timestamp": now})
    other = client.user("session")
    without = {name: value for name, value in good.items() if name != "pubkey_ed25519"}
    for params in (without, {**good, "pubkey_ed25519": other.public.hex()}):
        refused = client.ask("delete_all", params)
        assert (refused.status, refused.body) == (401, REFUSED.format("delete_all"))
    assert sorted(client.hashes(user)) == hashes
    answer = client.ask("delete_all", good)
    for entry in client.signed_by_all(answer, user.pubkey, now, hashes):
        assert entry == {"deleted": hashes}
    assert client.hashes(user) == []


def test_non_session_no_ed25519(client: Client) -> None:
    user = client.user().as_prefix(4)
    params = user.signed("delete_all", {"timestamp": client.now})
    assert client.ask("delete_all", params).status == 200
    answer = client.ask("delete_all", {**params, "pubkey_ed25519": user.public.hex()})
    text = "invalid request: pubkey_ed25519 is only permitted for 05[...] pubkeys"
    assert (answer.status, answer.body) == (400, text)


def test_retrieve_subaccount(client: Client) -> None:
    owner = client.user()
    message = client.store(owner, b"abc 123", namespace=42)
    reader = owner.subaccount(READ | WRITE)
    assert reader.token[:4] == b"\x03\x03\x00\x00"
    assert client.hashes(owner, by=reader, namespace=42) == [message]


def test_store_subaccount(client: Client) -> None:
    owner = client.user()
    writer = owner.subaccount(READ | WRITE)
    params = owner.signed("store", client.store_params(owner, b"abc 123", namespace=42), by=writer)
    answer = client.ask("store", params)
    client.swarm(answer)
    assert client.hashes(owner, namespace=42) == [answer.body["hash"]]


def test_expire_subaccount(client: Client) -> None:
    owner = client.user()
    writer = owner.subaccount(READ | WRITE)
    hashes = [client.store(owner, bytes([number]), ttl=3_600_000, namespace=42) for number in range(3)]

    def expire(messages: list[str], expiry: int) -> list[Any]:
        answer = client.signed(owner, "expire", by=writer, messages=messages, expiry=expiry)
        return [(entry["updated"], "unchanged" in entry) for entry in client.swarm(answer).values()]

    now = client.now
    day, half = now + DAY_MS, now + DAY_MS // 2
    assert expire(hashes[:1], day) == [(hashes[:1], False)] * 7
    assert expire(hashes, half) == [(sorted(hashes[1:]), False)] * 7
    held = client.retrieve(owner, namespace=42).body["messages"]
    assert [message["expiration"] for message in held] == [day, half, half]


def test_revoke_subaccount(client: Client) -> None:
    owner = client.user()
    members = [owner.subaccount(READ | WRITE, number=number) for number in range(51)]
    first = members[0]
    message = client.store(owner, b"abc 123", namespace=42)
    kept = client.store(owner, b"abc 123", namespace=-11)

    def change(verb: str, tokens: list[bytes]) -> list[dict[str, Any]]:
        now = client.now
        given: Any = [base64.b64encode(token).decode() for token in tokens]
        answer = client.signed(
            owner, f"{verb}_subaccount", timestamp=now, **{verb: given if len(given) > 1 else given[0]}
        )
        payload = f"{owner.pubkey}{now}".encode() + b"".join(tokens)
        for key, entry in client.swarm(answer).items():
            raw = base64.b64decode(entry["signature"])
            nacl.bindings.crypto_sign_open(raw + payload, bytes.fromhex(key))
        return list(answer.body["swarm"].values())

    def may_read() -> bool:
        answer = client.retrieve(owner, by=first, namespace=42)
        if answer.status == 200:
            assert [each["hash"] for each in answer.body["messages"]] == [message]
            return True
        assert (answer.status, answer.body) == (401, REFUSED.format("retrieve"))
        return False

    def revoked() -> list[str]:
        answer = client.signed(owner, "revoked_subaccounts", timestamp=client.now)
        assert answer.status == 200
        return sorted(answer.body["revoked_subaccounts"])

    assert may_read()
    change("revoke", [first.token])
    assert not may_read()
    assert revoked() == [base64.b64encode(first.token).decode()]
    assert client.hashes(owner, by=first, namespace=-11) == [kept]
    assert {entry["count"] for entry in change("unrevoke", [first.token])} == {1}
    assert may_read()
    assert revoked() == []
    change("revoke", [first.token])
    change("revoke", [each.token for each in members[1:50]])
    assert not may_read()
    change("revoke", [members[50].token])
    assert may_read()
    assert revoked() == sorted(base64.b64encode(each.token).decode() for each in members[1:])
    counts = {entry["count"] for entry in change("unrevoke", [each.token for each in members[1:]])}
    assert counts == {50}


@pytest.mark.parametrize(
    ("flags", "reads", "writes", "deletes"),
    [
        (READ, True, False, False),
        (0, False, False, False),
        (READ | WRITE | DELETE, True, True, True),
        (READ | WRITE | ANY_PREFIX, True, True, False),
    ],
)
def test_subaccount_permissions(client: Client, flags: int, reads: bool, writes: bool, deletes: bool) -> None:
    owner = client.user()
    member = owner.subaccount(flags)
    message = client.store(owner, b"abc 123", namespace=42)

    read = client.retrieve(owner, by=member, namespace=42)
    if reads:
        assert [each["hash"] for each in read.body["messages"]] == [message]
    else:
        assert (read.status, read.body) == (401, REFUSED.format("retrieve"))

    params = client.store_params(owner, b"def 456", namespace=42)
    stored = client.ask("store", owner.signed("store", params, by=member))
    if writes:
        client.swarm(stored)
    else:
        assert (stored.status, stored.body) == (401, REFUSED.format("store"))

    deleted = client.signed(owner, "delete", by=member, messages=[message])
    if deletes:
        assert {tuple(entry["deleted"]) for entry in client.swarm(deleted).values()} == {(message,)}
    else:
        assert (deleted.status, deleted.body) == (401, REFUSED.format("delete_msgs"))
    assert (message in client.hashes(owner, namespace=42)) is not deletes

    # The same key under another prefix: the swarm is the same, the account is not.
    other = owner.as_prefix(0x99)
    elsewhere = client.retrieve(other, by=member, namespace=42)
    if flags & ANY_PREFIX:
        assert (elsewhere.status, elsewhere.body["messages"]) == (200, [])
    else:
        assert (elsewhere.status, elsewhere.body) == (401, REFUSED.format("retrieve"))
