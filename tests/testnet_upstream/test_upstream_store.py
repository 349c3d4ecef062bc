"""Storing, retrieving and namespaces, as the network's own tests demand (storage-rpc §16)."""

import base64
from typing import Any

import pytest

from session_protocol.storage_auth import message_hash

Client = Any


def content(message: dict[str, Any]) -> bytes:
    return base64.b64decode(message["data"])


@pytest.mark.parametrize("kind", ["session", "group", "plain"])
def test_store(client: Client, kind: str) -> None:
    user = client.user(kind)
    answer = client.ask("store", client.store_params(user, b"abc 123"))
    expected = message_hash(bytes.fromhex(user.pubkey), 0, b"abc 123")
    assert answer.body["hash"] == expected
    for entry in client.signed_by_all(answer, expected):
        assert entry["hash"] == expected
    assert abs(answer.body["t"] - client.now) < 30_000
    assert answer.body["hf"] >= [19, 4]


def test_store_retrieve_unauthenticated(client: Client) -> None:
    user = client.user()
    client.store(user, b"abc 123")
    answer = client.ask("retrieve", {"pubkey": user.pubkey})
    assert (answer.status, answer.body) == (401, "retrieve: request signature required")


@pytest.mark.parametrize("kind", ["session", "group"])
def test_store_retrieve_authenticated(client: Client, kind: str) -> None:
    user = client.user(kind)
    params = client.store_params(user, b"abc 123")
    stored = client.ask("store", params)
    answer = client.retrieve(user, node=3)
    assert answer.status == 200
    assert answer.body["messages"] == [
        {
            "hash": stored.body["hash"],
            "timestamp": params["timestamp"],
            "expiration": params["timestamp"] + params["ttl"],
            "data": params["data"],
        }
    ]
    good = user.signed("retrieve", {"timestamp": client.now})
    other = "B" if good["signature"][0] == "A" else "A"
    corrupted = client.ask("retrieve", {**good, "signature": other + good["signature"][1:]})
    assert (corrupted.status, corrupted.body) == (401, "retrieve signature verification failed")
    unsigned = client.ask("retrieve", {"pubkey": user.pubkey, "timestamp": client.now})
    assert (unsigned.status, unsigned.body) == (400, "invalid request: Required field 'signature' missing")


def test_store_retrieve_multiple(client: Client) -> None:
    user = client.user()
    sent = [client.store(user, f"message {number}".encode(), node=number % 3) for number in range(5)]
    assert client.hashes(user) == sent
    sent += [client.store(user, f"message {number}".encode()) for number in range(5, 11)]
    newer = client.retrieve(user, last_hash=sent[4], node=5)
    assert [message["hash"] for message in newer.body["messages"]] == sent[5:]
    assert client.hashes(user, node=6) == sent
    assert len(sent) == 11


def test_store_sig_timestamp(client: Client) -> None:
    user = client.user()
    client.store(user, b"now", namespace=123)
    old = client.now - 100_000
    params = client.store_params(user, b"old", namespace=123, timestamp=old)
    refused = client.ask("store", user.signed("store", params))
    assert (refused.status, refused.body) == (406, "store signature timestamp too far from current time")
    answer = client.ask("store", user.signed("store", {**params, "sig_timestamp": client.now}))
    assert {entry["hash"] for entry in client.swarm(answer).values()} == {answer.body["hash"]}


def test_store_ns(client: Client) -> None:
    user = client.user()
    account = bytes.fromhex(user.pubkey)
    unsigned = client.ask("store", client.store_params(user, b"abc 123", namespace=40))
    client.swarm(unsigned)
    assert unsigned.body["hash"] == message_hash(account, 40, b"abc 123")
    assert client.store(user, b"abc 123", namespace=-42) == message_hash(account, -42, b"abc 123")
    for namespace in (40, -42):
        (message,) = client.retrieve(user, namespace=namespace).body["messages"]
        assert content(message) == b"abc 123"
    for params in ({"timestamp": client.now}, {}):
        answer = client.ask("retrieve", {"pubkey": user.pubkey, "namespace": 40, **params})
        assert (answer.status, answer.body) == (400, "invalid request: Required field 'signature' missing")


def test_legacy_closed_ns(client: Client) -> None:
    user = client.user()
    client.swarm(client.ask("store", client.store_params(user, b"abc 123", namespace=-10)))
    answer = client.ask("retrieve", {"pubkey": user.pubkey, "namespace": -10})
    assert [content(message) for message in answer.body["messages"]] == [b"abc 123"]


def test_store_invalid_ns(client: Client) -> None:
    user = client.user()
    unsigned = client.ask("store", client.store_params(user, b"x", namespace=42))
    assert (unsigned.status, unsigned.body) == (401, "store: signature required to store to namespace 42")
    outside = client.ask("store", client.store_params(user, b"x", namespace=32768))
    text = "invalid request: Invalid value given for 'namespace': value out of range"
    assert (outside.status, outside.body) == (400, text)
    params = user.signed("store", client.store_params(user, b"x", namespace=-32122))
    forged = client.ask("store", {**params, "namespace": -32123})
    assert (forged.status, forged.body) == (401, "store signature verification failed")


def test_public_outbox(client: Client) -> None:
    user = client.user()
    now = client.now

    def put(data: bytes, timestamp: int, ttl: int = 60_000) -> Any:
        params = client.store_params(user, data, namespace=-1, timestamp=timestamp, ttl=ttl)
        return client.ask("store", user.signed("store", params))

    def held() -> list[dict[str, Any]]:
        answer = client.ask("retrieve", {"pubkey": user.pubkey, "namespace": -1}, node=4)
        assert answer.status == 200
        assert answer.body.keys() - {"hf", "t"} == {"messages", "more"}
        assert answer.body["more"] is False
        messages: list[dict[str, Any]] = answer.body["messages"]
        return messages

    refused = client.ask("store", client.store_params(user, b"first", namespace=-1))
    assert (refused.status, refused.body) == (401, "store: signature required to store to namespace -1")
    first = put(b"first", now)
    client.swarm(first)
    assert [(content(each), each["timestamp"]) for each in held()] == [(b"first", now)]
    client.swarm(put(b"second", now + 1))
    assert [(content(each), each["timestamp"]) for each in held()] == [(b"second", now + 1)]
    client.swarm(put(b"second", now + 2, 90_000))
    (kept,) = held()
    assert (content(kept), kept["timestamp"], kept["expiration"]) == (b"second", now + 1, now + 90_002)
