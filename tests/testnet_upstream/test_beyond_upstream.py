"""What the network's own tests do not catch (storage-rpc §16, the list after the table)."""

import base64
from typing import Any

import orjson
import pytest

from session_protocol import ons

Client = Any
DAY_MS = 86_400_000


def test_a_duplicate_never_lowers_the_expiry_and_says_already(client: Client) -> None:
    user = client.user()
    now = client.now
    for expiry, kept, already in ((60_000, 60_000, None), (30_000, 60_000, True), (90_000, 90_000, True)):
        params = client.store_params(user, b"same", timestamp=now, expiry=now + expiry)
        for entry in client.swarm(client.ask("store", params)).values():
            assert entry["expiry"] == now + kept
            assert entry.get("already") is already
    (message,) = client.retrieve(user, node=3).body["messages"]
    assert message["expiration"] == now + 90_000


def test_the_owners_signature_of_a_subaccount_token_is_verified(client: Client) -> None:
    owner, stranger = client.user(), client.user()
    client.store(owner, b"abc 123", namespace=42)
    member = owner.subaccount(3)
    params = owner.signed("retrieve", {"namespace": 42, "timestamp": client.now}, by=member)
    assert client.ask("retrieve", params).status == 200
    forged = {**params, "subaccount_sig": stranger.subaccount(3).params["subaccount_sig"]}
    answer = client.ask("retrieve", forged)
    assert (answer.status, answer.body) == (401, "retrieve signature verification failed")
    # A token with more rights than the owner signed.
    raised = bytearray(member.token)
    raised[1] = 7
    answer = client.ask("retrieve", {**params, "subaccount": base64.b64encode(raised).decode()})
    assert answer.status == 401


@pytest.mark.parametrize("away_ms", [-61_000, 62_000])
def test_the_time_of_a_retrieve_is_checked(client: Client, away_ms: int) -> None:
    answer = client.signed(client.user(), "retrieve", timestamp=client.now + away_ms)
    assert (answer.status, answer.body) == (406, "retrieve timestamp too far from current time")


@pytest.mark.parametrize(
    ("namespace", "ttl", "status"),
    [
        (0, 9_999, 403),
        (0, 10_000, 200),
        (0, 14 * DAY_MS, 200),
        (0, 14 * DAY_MS + 1, 403),
        (42, 30 * DAY_MS, 200),
        (42, 30 * DAY_MS + 1, 403),
    ],
)
def test_the_range_of_lifetimes(client: Client, namespace: int, ttl: int, status: int) -> None:
    user = client.user()
    params = client.store_params(user, b"x", namespace=namespace, ttl=ttl)
    answer = client.ask("store", user.signed("store", params) if namespace else params)
    assert answer.status == status
    if status == 403:
        assert answer.body == "Provided expiry/TTL is not valid."


@pytest.mark.parametrize(
    ("away_ms", "ttl", "status"),
    [(12_000, DAY_MS, 406), (8_000, DAY_MS, 200), (-DAY_MS, DAY_MS - 12_000, 406), (-DAY_MS, DAY_MS, 200)],
)
def test_the_clock_of_a_store(client: Client, away_ms: int, ttl: int, status: int) -> None:
    """A message may come 10 s from the future, and have expired for 10 s."""
    params = client.store_params(client.user(), b"x", timestamp=client.now + away_ms, ttl=ttl)
    answer = client.ask("store", params)
    assert answer.status == status
    if status == 406:
        assert answer.body == "Timestamp error: check your clock"


def test_the_size_of_data(client: Client) -> None:
    user = client.user()
    client.swarm(client.ask("store", client.store_params(user, bytes(76_800))))
    answer = client.ask("store", client.store_params(user, bytes(76_801)))
    text = "invalid request: Message body exceeds maximum allowed length of 76800 bytes"
    assert (answer.status, answer.body) == (400, text)


@pytest.mark.parametrize("method", ["batch", "sequence"])
def test_twenty_subrequests(client: Client, method: str) -> None:
    info = {"method": "info", "params": {}}
    assert len(client.ask(method, {"requests": [info] * 20}).body["results"]) == 20
    answer = client.ask(method, {"requests": [info] * 21})
    text = "invalid request: Invalid batch request: subrequest limit exceeded"
    assert (answer.status, answer.body) == (400, text)


@pytest.mark.parametrize("inner", ["batch", "sequence", "ifelse"])
def test_no_meta_request_inside_a_batch(client: Client, inner: str) -> None:
    info = {"method": "info", "params": {}}
    params = {"if": {"hf_at_least": 1}, "then": info} if inner == "ifelse" else {"requests": [info]}
    answer = client.ask("batch", {"requests": [info, {"method": inner, "params": params}]})
    text = "invalid request: Invalid batch subrequest: subrequests may not contain meta-requests"
    assert (answer.status, answer.body) == (400, text)


def test_nobody_deletes_the_messages_of_another_account(client: Client) -> None:
    owner, stranger = client.user(), client.user()
    message = client.store(owner, b"abc 123")
    own = client.store(stranger, b"abc 123")
    answer = client.signed(stranger, "delete", messages=[message, own])
    for entry in client.signed_by_all(answer, stranger.pubkey, [message, own], [own]):
        assert entry == {"deleted": [own]}
    assert client.hashes(owner) == [message]
    expired = client.signed(stranger, "expire", messages=[message], expiry=client.now + 1000)
    assert {tuple(entry["updated"]) for entry in client.swarm(expired).values()} == {()}


def test_info(client: Client) -> None:
    body = client.ask("info", {}).body
    assert body["version"] == [2, 11, 3]
    assert body["t"] == body["timestamp"]
    assert set(body) == {"version", "timestamp", "t", "hf"}


def test_a_registered_name_is_resolved(client: Client) -> None:
    name_hash = base64.b64encode(ons.name_hash("Alice")).decode()
    params = {"endpoint": "ons_resolve", "params": {"type": 0, "name_hash": name_hash}}
    result = client.ask("oxend_request", params).body["result"]
    value, nonce = bytes.fromhex(result["encrypted_value"]), bytes.fromhex(result["nonce"])
    (record,) = (client.ask("oxend_request", params, node=node).body["result"] for node in (4,))
    assert record == result
    assert ons.decrypt_account_id("alice", value, nonce).startswith("05")
    unknown = {"type": 0, "name_hash": base64.b64encode(ons.name_hash("nobody")).decode()}
    answer = client.ask("oxend_request", {"endpoint": "ons_resolve", "params": unknown})
    assert answer.body["result"] == {"status": "OK"}


def test_oxend_answers_only_two_questions(client: Client) -> None:
    answer = client.ask("oxend_request", {"endpoint": "get_info", "params": {}})
    assert (answer.status, answer.body) == (400, "invalid request: Invalid oxend endpoint 'get_info'")
    nodes = client.ask("oxend_request", {"endpoint": "get_service_nodes"}).body["result"]
    assert {node["pubkey_ed25519"] for node in nodes["service_node_states"]} == client.keys


def test_requests_that_are_none(client: Client, transport: Any) -> None:
    if type(transport).__name__ == "Omq":
        pytest.skip("over OMQ the method is a command, and refused otherwise: see tests/testnet_omq")
    for body, text in (
        (b"{", "invalid json"),
        (orjson.dumps({"params": {}}), "invalid json: no `method` field"),
        (orjson.dumps({"method": "info"}), "invalid json: no `params` field"),
        (orjson.dumps({"method": "get_messages", "params": {}}), "no method get_messages"),
    ):
        answer = client.raw(body)
        assert (answer.status, answer.body) == (400, text)


def test_a_trivial_extension_is_none(client: Client) -> None:
    """Less than 1 % of the life that a message has is not worth it; without the flag every time is set."""
    user = client.user()
    now = client.now
    message = client.store(user, b"abc", timestamp=now, expiry=now + 1_000_000)
    for gain, updated in ((9_999, False), (10_000, True)):
        expiry = now + 1_000_000 + gain
        answer = client.signed(user, "expire", messages=[message], expiry=expiry, extend=True)
        for entry in client.swarm(answer).values():
            assert entry["updated"] == ([message] if updated else [])
            assert entry["unchanged"] == ({} if updated else {message: now + 1_000_000})
    answer = client.signed(user, "expire", messages=[message], expiry=now + 1_010_001)
    assert all(entry["updated"] == [message] for entry in client.swarm(answer).values())


def test_the_direction_of_a_retrieve(client: Client) -> None:
    user = client.user()
    stored = [client.store(user, bytes([number]), node=number % 3) for number in range(5)]
    assert client.hashes(user, reverse_direction=True) == stored[::-1]
    assert client.hashes(user, reverse_direction=False) == stored
    assert client.hashes(user, reverse_direction=True, last_hash=stored[3]) == stored[2::-1]
    assert client.hashes(user, reverse_direction=True, last_hash=stored[0]) == []
    assert client.hashes(user, reverse_direction=True, last_hash="A" * 43) == stored[::-1]
    page = client.retrieve(user, reverse_direction=True, max_count=2, last_hash=stored[4]).body
    assert [message["hash"] for message in page["messages"]] == [stored[3], stored[2]]
    assert page["more"] is True


def test_one_expiry_in_an_array_and_a_hash_named_twice(client: Client) -> None:
    user = client.user()
    one, other = (client.store(user, data) for data in (b"1", b"2"))
    expiry = client.now + 100_000
    answer = client.signed(user, "expire", messages=[one, other], expiry=[expiry])
    for entry in client.swarm(answer).values():
        assert entry["expiry"] == expiry, "an array of one is a single time"
        assert entry["updated"] == sorted([one, other])
    answer = client.signed(user, "expire", messages=[one, one], expiry=[expiry + 1, expiry + 2])
    for entry in client.swarm(answer).values():
        assert (entry["updated"], entry["expiry"]) == ([one], [expiry + 2]), "the last time counts"
    answer = client.signed(user, "delete", messages=[one, one])
    assert all(entry["deleted"] == [one] for entry in client.swarm(answer).values())
