"""store and retrieve over HTTP: replies, order, paging, namespaces, times, signatures."""

import base64
from typing import Any

import nacl.bindings
import pytest

from session_protocol.accounts import Account
from session_protocol.storage_auth import message_hash, sign, sign_request

Nodes = Any
DAY_MS = 86_400_000


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def group_of(account: Account) -> str:
    return f"03{account.ed25519_pk.hex()}"


def signed_by_group(account: Account, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Sign as the owner of a 03 id: the id's own key verifies, so no other key is named."""
    signed = sign_request(account, method, params)
    del signed["pubkey_ed25519"]
    return {**signed, "pubkey": group_of(account)}


def test_store_answers_with_an_entry_of_every_member(nodes: Nodes, alice: Account) -> None:
    answer = nodes.store(alice.account_id, b64(b"abc 123"), timestamp=nodes.now - 5)
    assert answer.status == 200
    expected = message_hash(bytes.fromhex(alice.account_id), 0, b"abc 123")
    assert answer.body["hash"] == expected
    assert answer.body["t"] == nodes.now
    assert answer.body["hf"] == [21, 2]
    assert sorted(answer.body["swarm"]) == sorted(nodes.keys)
    for key, entry in answer.body["swarm"].items():
        assert entry["hash"] == expected
        assert entry["expiry"] == nodes.now - 5 + DAY_MS
        assert "already" not in entry
        assert ("t" in entry) == (key == nodes.keys[0])
        nacl.bindings.crypto_sign_open(
            base64.b64decode(entry["signature"]) + expected.encode(), bytes.fromhex(key)
        )
    for index in range(3):
        messages = nodes.retrieve(alice, node=index).body["messages"]
        assert messages == [
            {
                "hash": expected,
                "timestamp": nodes.now - 5,
                "expiration": nodes.now - 5 + DAY_MS,
                "data": b64(b"abc 123"),
            }
        ]


def test_the_same_message_again_raises_its_expiry_and_never_lowers_it(nodes: Nodes, alice: Account) -> None:
    nodes.store(alice.account_id, b64(b"x"), ttl=10 * DAY_MS)
    lower = nodes.store(alice.account_id, b64(b"x"), timestamp=nodes.now - 1000)
    assert all(entry["already"] for entry in lower.body["swarm"].values())
    assert {entry["expiry"] for entry in lower.body["swarm"].values()} == {nodes.now + 10 * DAY_MS}
    nodes.store(alice.account_id, b64(b"x"), ttl=12 * DAY_MS, timestamp=nodes.now - 2000)
    (message,) = nodes.retrieve(alice).body["messages"]
    assert message["expiration"] == nodes.now - 2000 + 12 * DAY_MS
    assert message["timestamp"] == nodes.now


def test_aliases_and_written_numbers_of_old_clients(nodes: Nodes, alice: Account) -> None:
    params = {
        "pubKey": alice.account_id.upper(),
        "timestamp": str(nodes.now),
        "ttl": str(DAY_MS),
        "data": b64(b"old").rstrip("="),
    }
    stored = nodes.ask("store", params)
    assert stored.status == 200, stored
    second = nodes.store(alice.account_id, b64(b"new")).body["hash"]
    signed = sign_request(alice, "retrieve", {"timestamp": nodes.now})
    signed["pubKey"] = signed.pop("pubkey")
    page = nodes.ask("retrieve", {**signed, "lastHash": stored.body["hash"], "maxSize": -2})
    assert [message["hash"] for message in page.body["messages"]] == [second]


def test_retrieve_without_signature_is_refused_as_upstream_does(nodes: Nodes, alice: Account) -> None:
    bare = nodes.ask("retrieve", {"pubkey": alice.account_id})
    assert (bare.status, bare.body) == (401, "retrieve: request signature required")
    for more in (
        {"timestamp": nodes.now},
        {"namespace": 0},
        {"namespace": 40},
        {"pubkey_ed25519": "ab" * 32},
    ):
        answer = nodes.ask("retrieve", {"pubkey": alice.account_id, **more})
        assert (answer.status, answer.body) == (400, "invalid request: Required field 'signature' missing")


@pytest.mark.parametrize("kind", ["standard", "group"])
def test_retrieve_with_a_broken_signature(nodes: Nodes, alice: Account, kind: str) -> None:
    make = sign_request if kind == "standard" else signed_by_group
    params = make(alice, "retrieve", {"timestamp": nodes.now})
    nodes.store(params["pubkey"], b64(b"hello"))
    assert len(nodes.ask("retrieve", params).body["messages"]) == 1
    raw = bytearray(base64.b64decode(params["signature"]))
    raw[40] ^= 1
    answer = nodes.ask("retrieve", {**params, "signature": b64(bytes(raw))})
    assert (answer.status, answer.body) == (401, "retrieve signature verification failed")


def test_the_named_key_must_be_the_accounts(nodes: Nodes, alice: Account) -> None:
    other = Account.from_seed(b"\x05" * 32)
    params = sign_request(other, "retrieve", {"timestamp": nodes.now})
    answer = nodes.ask("retrieve", {**params, "pubkey": alice.account_id})
    assert answer.status == 401
    own = sign_request(alice, "retrieve", {"timestamp": nodes.now})
    upper = nodes.ask("retrieve", {**own, "pubkey_ed25519": own["pubkey_ed25519"].upper()})
    assert upper.status == 200


def test_order_is_that_of_arrival_and_a_cursor_continues(nodes: Nodes, alice: Account) -> None:
    hashes = [
        nodes.store(alice.account_id, b64(bytes([number])), timestamp=nodes.now - number * 1000).body["hash"]
        for number in range(11)
    ]
    listed = nodes.retrieve(alice).body
    assert [message["hash"] for message in listed["messages"]] == hashes
    assert listed["more"] is False
    after = nodes.retrieve(alice, last_hash=hashes[4]).body["messages"]
    assert [message["hash"] for message in after] == hashes[5:]
    assert nodes.retrieve(alice, last_hash=hashes[-1]).body["messages"] == []
    unknown = nodes.retrieve(alice, last_hash="A" * 43).body["messages"]
    assert len(unknown) == 11
    backwards = nodes.retrieve(alice, reverse_direction=True, last_hash=hashes[4]).body["messages"]
    assert [message["hash"] for message in backwards] == hashes[3::-1]


def test_concurrent_stores_arrive_in_one_order_everywhere(nodes: Nodes, alice: Account) -> None:
    requests = [
        {
            "method": "store",
            "params": {"pubkey": alice.account_id, "timestamp": nodes.now, "ttl": DAY_MS, "data": d},
        }
        for d in (b64(bytes([number] * 10)) for number in range(20))
    ]
    results = nodes.ask("batch", {"requests": requests}).body["results"]
    sent = [result["body"]["hash"] for result in results]
    for index in range(3):
        listed = nodes.retrieve(alice, node=index).body["messages"]
        assert [message["hash"] for message in listed] == sent


PAGES = [
    ({"max_count": 5}, 5),
    ({"max_count": 100}, 83),
    ({"max_size": 500_000}, 5),
    ({"max_size": 600_000}, 6),
    ({"max_size": 700_000}, 7),
    ({"max_size": 1_000_000}, 10),
    ({"max_size": -1}, 83),
    ({"max_size": -3}, 27),
    ({"max_size": 99_000_000}, 83),
    ({}, 16),
    ({"max_size": 0, "max_count": 0}, 16),
    ({"max_size": 500_000, "max_count": 7}, 5),
    ({"max_size": 1_000_000, "max_count": 7}, 7),
    ({"max_size": 1}, 1),
    ({"max_count": -1}, 83),
]


def test_page_sizes(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(1)
    hashes = []
    for number in range(90):
        data = b64(number.to_bytes(2, "big") * 35_000)
        hashes.append(nodes.store(alice.account_id, data).body["hash"])
    for params, count in PAGES:
        page = nodes.retrieve(alice, **params).body
        assert len(page["messages"]) == count, params
        assert page["more"] is True
    last = nodes.retrieve(alice, last_hash=hashes[84], max_size=500_000).body
    assert len(last["messages"]) == 5
    assert last["more"] is False, "exactly exhausted"


def test_a_page_may_have_exactly_its_size(nodes: Nodes, alice: Account) -> None:
    for number in range(2):
        nodes.store(alice.account_id, b64(bytes([number]) * 9))
    # The estimate of each message: 100, its hash of 43, and 9 bytes in base64.
    for size, count in ((310, 2), (309, 1)):
        page = nodes.retrieve(alice, max_size=size).body
        assert (len(page["messages"]), page["more"]) == (count, count == 1)


def test_largest_body(nodes: Nodes, alice: Account) -> None:
    assert nodes.store(alice.account_id, b64(b"m" * 76_800)).status == 200
    over = nodes.store(alice.account_id, b64(b"m" * 76_801))
    assert over.body == "invalid request: Message body exceeds maximum allowed length of 76800 bytes"
    assert nodes.store(alice.account_id, "").status == 200


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"ttl": 9_999}, 403, "Provided expiry/TTL is not valid."),
        ({"ttl": 14 * DAY_MS + 1}, 403, "Provided expiry/TTL is not valid."),
        ({"timestamp": 10_001}, 406, "Timestamp error: check your clock"),
        ({"timestamp": -DAY_MS, "ttl": DAY_MS - 10_001}, 406, "Timestamp error: check your clock"),
        ({"namespace": -3741}, 403, "namespace -3741 is reserved for testing and cannot store messages"),
        ({"namespace": 42}, 401, "store: signature required to store to namespace 42"),
        ({"namespace": -1}, 401, "store: signature required to store to namespace -1"),
    ],
)
def test_store_is_refused(
    nodes: Nodes, alice: Account, change: dict[str, int], status: int, text: str
) -> None:
    params = {**change, "timestamp": nodes.now + change.get("timestamp", 0)}
    answer = nodes.store(alice.account_id, b64(b"x"), **params)
    assert (answer.status, answer.body) == (status, text)
    assert nodes.retrieve(alice).body["messages"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"ttl": 10_000},
        {"ttl": 14 * DAY_MS},
        {"timestamp": 10_000},
        {"timestamp": -DAY_MS, "ttl": DAY_MS - 10_000},
        {"namespace": 40},
        {"namespace": -20},
        {"namespace": -10},
    ],
)
def test_store_at_the_edges(nodes: Nodes, alice: Account, change: dict[str, int]) -> None:
    params = {**change, "timestamp": nodes.now + change.get("timestamp", 0)}
    assert nodes.store(alice.account_id, b64(b"x"), **params).status == 200


def test_signed_store_and_its_time(nodes: Nodes, alice: Account) -> None:
    base = {"namespace": 123, "ttl": 30 * DAY_MS, "data": b64(b"x")}
    old = nodes.now - 100_000
    stale = nodes.signed(alice, "store", {**base, "timestamp": old})
    assert (stale.status, stale.body) == (406, "store signature timestamp too far from current time")
    fresh = nodes.signed(alice, "store", {**base, "timestamp": old, "sig_timestamp": nodes.now})
    assert fresh.status == 200
    assert not any(entry.get("failed") for entry in fresh.body["swarm"].values())
    bad = nodes.ask(
        "store", {**sign_request(alice, "store", {**base, "timestamp": nodes.now}), "namespace": 124}
    )
    assert (bad.status, bad.body) == (401, "store signature verification failed")
    (message,) = nodes.retrieve(alice, namespace=123).body["messages"]
    assert message["timestamp"] == old


def test_namespaces_are_apart(nodes: Nodes, alice: Account) -> None:
    nodes.store(alice.account_id, b64(b"same"), namespace=40)
    nodes.signed(
        alice, "store", {"namespace": -42, "ttl": DAY_MS, "timestamp": nodes.now, "data": b64(b"same")}
    )
    for namespace in (40, -42):
        (message,) = nodes.retrieve(alice, namespace=namespace).body["messages"]
        assert message["hash"] == message_hash(bytes.fromhex(alice.account_id), namespace, b"same")
    assert nodes.retrieve(alice).body["messages"] == []


def test_legacy_group_namespace_needs_no_signature(nodes: Nodes, alice: Account) -> None:
    nodes.store(alice.account_id, b64(b"legacy"), namespace=-10)
    answer = nodes.ask("retrieve", {"pubkey": alice.account_id, "namespace": -10})
    assert [message["data"] for message in answer.body["messages"]] == [b64(b"legacy")]
    testing = nodes.ask("retrieve", {"pubkey": alice.account_id, "namespace": -3741})
    assert (testing.status, testing.body["messages"], testing.body["more"]) == (200, [], False)


def test_public_outbox_keeps_the_newest_only(nodes: Nodes, alice: Account) -> None:
    def put(data: bytes, shift: int) -> Any:
        params = {
            "namespace": -1,
            "ttl": DAY_MS,
            "timestamp": nodes.now + shift,
            "data": b64(data),
        }
        return nodes.signed(alice, "store", params).body

    def kept() -> list[dict[str, Any]]:
        body = nodes.ask("retrieve", {"pubkey": alice.account_id, "namespace": -1}).body
        assert set(body) == {"messages", "more", "t", "hf"}
        return body["messages"]

    put(b"first", 0)
    put(b"second", 1)
    (message,) = kept()
    assert message["data"] == b64(b"second")
    put(b"second", 2)
    (message,) = kept()
    assert (message["timestamp"], message["expiration"]) == (nodes.now + 1, nodes.now + 2 + DAY_MS)
    obsolete = put(b"third", 1)
    (message,) = kept()
    assert message["data"] == b64(b"second")
    entry = obsolete["swarm"][nodes.keys[1]]
    assert (entry["already"], entry["expiry"], entry["hash"]) == (True, 0, obsolete["hash"])


def test_retrieve_times(nodes: Nodes, alice: Account) -> None:
    for shift, status in ((60_000, 200), (-60_000, 200), (60_001, 406), (-60_001, 406)):
        answer = nodes.signed(alice, "retrieve", {"timestamp": nodes.now + shift})
        assert answer.status == status, shift
    assert answer.body == "retrieve timestamp too far from current time"


def test_expired_messages_stay_until_the_purge(nodes: Nodes, alice: Account) -> None:
    nodes.store(alice.account_id, b64(b"short"), ttl=20_000)
    nodes.store(alice.account_id, b64(b"long"))
    nodes.clock.move(20_000)
    assert len(nodes.retrieve(alice).body["messages"]) == 2
    assert nodes.nodes[0].purge() == 1
    assert [m["data"] for m in nodes.retrieve(alice).body["messages"]] == [b64(b"long")]
    assert nodes.nodes[0].purge() == 0
    assert nodes.nodes[0].message_count() == 1


def test_unsigned_parts_beside_a_public_store_are_parsed_only(nodes: Nodes, alice: Account) -> None:
    garbage = b64(sign(alice, b"something else"))
    assert nodes.store(alice.account_id, b64(b"x"), signature=garbage).status == 200
    malformed = nodes.store(alice.account_id, b64(b"x"), signature="short")
    assert malformed.body == "invalid request: invalid signature: expected base64 encoded Ed25519 signature"
    ignored = nodes.store(alice.account_id, b64(b"x"), subaccount="garbage", pubkey_ed25519="garbage")
    assert ignored.status == 200
