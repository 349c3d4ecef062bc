"""Requests in requests, and pages of large messages: the network's own tests (storage-rpc §16)."""

import base64
from typing import Any

import pytest

from session_protocol.storage_auth import message_hash

Client = Any


def sub(method: str, params: Any) -> dict[str, Any]:
    return {"method": method, "params": params}


def signed_store(client: Client, user: Any, data: bytes, namespace: int = 42) -> dict[str, Any]:
    return sub("store", user.signed("store", client.store_params(user, data, namespace=namespace)))


def test_batch_json(client: Client) -> None:
    user = client.user()
    requests = [signed_store(client, user, data) for data in (b"abc 123", b"def 456")]
    answer = client.ask("batch", {"requests": requests})
    assert (answer.status, set(answer.body)) == (200, {"results"})
    account = bytes.fromhex(user.pubkey)
    assert [(each["code"], each["body"]["hash"]) for each in answer.body["results"]] == [
        (200, message_hash(account, 42, data)) for data in (b"abc 123", b"def 456")
    ]


def test_sequence(client: Client) -> None:
    user = client.user()
    now = client.now
    retrieve = sub("retrieve", user.signed("retrieve", {"namespace": 42, "timestamp": now}))
    requests = [
        signed_store(client, user, b"abc 123"),
        retrieve,
        signed_store(client, user, b"def 456"),
        sub("delete_all", user.signed("delete_all", {"namespace": 42, "timestamp": now})),
        retrieve,
    ]
    results = client.ask("sequence", {"requests": requests}, node=3).body["results"]
    assert [each["code"] for each in results] == [200] * 5
    bodies = [each["body"] for each in results]
    first, second = bodies[0]["hash"], bodies[2]["hash"]
    assert [message["hash"] for message in bodies[1]["messages"]] == [first]
    for entry in bodies[3]["swarm"].values():
        assert entry["deleted"] == sorted([first, second])
    assert bodies[4]["messages"] == []


def test_failing_sequence(client: Client) -> None:
    user = client.user()
    unsigned = sub("store", client.store_params(user, b"abc 123", namespace=33))
    requests = [unsigned, signed_store(client, user, b"def 456")]
    refusal = {"code": 401, "body": "store: signature required to store to namespace 33"}
    assert client.ask("sequence", {"requests": requests}).body == {"results": [refusal]}
    results = client.ask("batch", {"requests": requests}).body["results"]
    assert results[0] == refusal
    assert (len(results), results[1]["code"]) == (2, 200)


NEVER, ALWAYS = {"hf_before": [1, 0]}, {"hf_at_least": [1, 0]}
INFO = sub("info", {})
SWARM = sub("get_swarm", {"pubkey": "05" + "00" * 32})


@pytest.mark.parametrize(
    ("condition", "branches", "holds", "key"),
    [
        (ALWAYS, {"then": INFO, "else": SWARM}, True, "version"),
        (NEVER, {"then": INFO, "else": SWARM}, False, "snodes"),
        (ALWAYS, {"then": SWARM}, True, "snodes"),
        (NEVER, {"then": INFO}, False, None),
        (ALWAYS, {"else": INFO}, True, None),
        (ALWAYS, {"then": None, "else": INFO}, True, None),
        ({"height_at_least": 10**9}, {"then": INFO, "else": SWARM}, False, "snodes"),
        ({"hf_at_least": [19], "height_before": 1234}, {"then": INFO, "else": SWARM}, False, "snodes"),
        ({"height_before": 10**9, "v_at_least": [2, 2]}, {"then": INFO}, True, "version"),
        ({"v_before": 2, "hf_at_least": 19}, {"then": INFO, "else": SWARM}, False, "snodes"),
    ],
)
def test_ifelse(client: Client, condition: Any, branches: Any, holds: bool, key: str | None) -> None:
    answer = client.ask("ifelse", {"if": condition, **branches})
    assert answer.status == 200
    assert answer.body["condition"] is holds
    assert answer.body["hf"] >= [19, 4]
    assert (2, 2) <= tuple(answer.body["v"]) < (100,)
    assert 1234 <= answer.body["height"] < 123_456_789
    assert ("result" in answer.body) == (key is not None)
    if key is not None:
        assert answer.body["result"]["code"] == 200
        assert key in answer.body["result"]["body"]


def test_nested_ifelse(client: Client) -> None:
    request = sub("batch", {"requests": [INFO, SWARM]})
    for level in range(5):
        condition, branch = (NEVER, "else") if level % 2 else (ALWAYS, "then")
        request = sub("ifelse", {"if": condition, branch: request})
    body = client.ask("ifelse", request["params"]).body
    for level in reversed(range(5)):
        assert body["condition"] is (level % 2 == 0)
        assert body["result"]["code"] == 200
        body = body["result"]["body"]
    assert [each["code"] for each in body["results"]] == [200, 200]


COUNT, SIZE = 120, 70_000


@pytest.fixture(scope="module")
def mailbox(shared_client: Client) -> tuple[Any, list[str]]:
    user = shared_client.user()
    return user, [
        shared_client.store(user, number.to_bytes(4) * (SIZE // 4), node=number % 7)
        for number in range(COUNT)
    ]


def page(client: Client, user: Any, **limits: Any) -> tuple[list[str], bool]:
    body = client.retrieve(user, node=2, **limits).body
    assert all(len(base64.b64decode(message["data"])) == SIZE for message in body["messages"])
    return [message["hash"] for message in body["messages"]], body["more"]


def test_retrieve_count(client: Client, mailbox: Any) -> None:
    user, sent = mailbox
    assert page(client, user, max_count=10) == (sent[:10], True)
    assert page(client, user, max_count=10, last_hash=sent[9]) == (sent[10:20], True)
    assert page(client, user, max_count=10, last_hash=sent[109]) == (sent[110:], False)
    assert page(client, user, max_count=10, last_hash=sent[108]) == (sent[109:119], True)
    assert page(client, user, max_count=10, last_hash=sent[114]) == (sent[115:], False)
    assert page(client, user, max_count=100) == (sent[:83], True)


def test_retrieve_size(client: Client, mailbox: Any) -> None:
    user, sent = mailbox
    for limit, count in ((500_000, 5), (600_000, 6), (-1, 83), (-3, 27), (-5, 16), (None, 16)):
        limits = {} if limit is None else {"max_size": limit}
        assert page(client, user, **limits) == (sent[:count], True)
    assert page(client, user, max_size=500_000, last_hash=sent[114]) == (sent[115:], False)
    assert page(client, user, max_size=500_000, last_hash=sent[113]) == (sent[114:119], True)


def test_retrieve_size_and_count(client: Client, mailbox: Any) -> None:
    user, sent = mailbox
    assert page(client, user, max_size=500_000, max_count=10) == (sent[:5], True)
    assert page(client, user, max_size=1_000_000, max_count=7) == (sent[:7], True)
