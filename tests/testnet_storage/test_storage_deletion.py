"""delete, delete_all and delete_before: what goes, what each member signs."""

import base64
from typing import Any

import nacl.bindings
import pytest

from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request

Nodes = Any
DAY_MS = 86_400_000
UNKNOWN = "Z" * 43


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def check_signatures(answer: Any, *parts: str) -> None:
    for key, entry in answer.body["swarm"].items():
        nacl.bindings.crypto_sign_open(
            base64.b64decode(entry["signature"]) + "".join(parts).encode(), bytes.fromhex(key)
        )


def fill(nodes: Nodes, account: Account, count: int, *, namespace: int = 0, step_ms: int = 0) -> list[str]:
    return [
        nodes.signed(
            account,
            "store",
            {
                "namespace": namespace,
                "timestamp": nodes.now - number * step_ms,
                "sig_timestamp": nodes.now,
                "ttl": DAY_MS,
                "data": b64(f"{namespace} {number}".encode()),
            },
        ).body["hash"]
        for number in range(count)
    ]


def left(nodes: Nodes, account: Account, namespace: int = 0, node: int = 0) -> list[str]:
    page = nodes.retrieve(account, namespace=namespace, node=node).body
    return [message["hash"] for message in page["messages"]]


def test_delete_returns_the_known_hashes_sorted(nodes: Nodes, alice: Account) -> None:
    hashes = fill(nodes, alice, 5)
    wanted = [hashes[3], UNKNOWN, hashes[0]]
    answer = nodes.signed(alice, "delete", {"messages": wanted}, node=1)
    gone = sorted([hashes[0], hashes[3]])
    assert answer.status == 200
    assert {tuple(entry["deleted"]) for entry in answer.body["swarm"].values()} == {tuple(gone)}
    assert sorted(answer.body["swarm"]) == sorted(nodes.keys)
    check_signatures(answer, alice.account_id, *wanted, *gone)
    for node in range(3):
        assert left(nodes, alice, node=node) == [hashes[1], hashes[2], hashes[4]]


def test_delete_of_nothing_is_an_error_only_when_asked(nodes: Nodes, alice: Account) -> None:
    (message,) = fill(nodes, alice, 1)
    params = {"messages": message, "required": True}
    assert nodes.signed(alice, "delete", params).status == 200
    again = nodes.signed(alice, "delete", params)
    assert again.status == 404
    assert {tuple(entry["deleted"]) for entry in again.body["swarm"].values()} == {()}
    assert nodes.signed(alice, "delete", {"messages": [message]}).status == 200


def test_another_accounts_message_stays(nodes: Nodes, alice: Account) -> None:
    (message,) = fill(nodes, alice, 1)
    other = Account.from_seed(b"\x09" * 32)
    answer = nodes.signed(other, "delete", {"messages": [message]})
    assert {tuple(entry["deleted"]) for entry in answer.body["swarm"].values()} == {()}
    assert left(nodes, alice) == [message]


def test_delete_all_of_one_namespace(nodes: Nodes, alice: Account) -> None:
    hashes = fill(nodes, alice, 5)
    kept = fill(nodes, alice, 1, namespace=5)
    answer = nodes.signed(alice, "delete_all", {"timestamp": nodes.now}, node=2)
    assert {tuple(entry["deleted"]) for entry in answer.body["swarm"].values()} == {tuple(sorted(hashes))}
    check_signatures(answer, alice.account_id, str(nodes.now), *sorted(hashes))
    assert left(nodes, alice) == []
    assert left(nodes, alice, 5) == kept


def test_delete_all_of_all_namespaces(nodes: Nodes, alice: Account) -> None:
    by_namespace = {namespace: fill(nodes, alice, 3, namespace=namespace) for namespace in (0, -42, 11)}
    answer = nodes.signed(alice, "delete_all", {"timestamp": nodes.now, "namespace": "all"})
    expected = {str(namespace): sorted(hashes) for namespace, hashes in by_namespace.items()}
    for entry in answer.body["swarm"].values():
        assert entry["deleted"] == expected
    every = sorted(message for hashes in by_namespace.values() for message in hashes)
    check_signatures(answer, alice.account_id, str(nodes.now), *every)
    empty = nodes.signed(alice, "delete_all", {"timestamp": nodes.now, "namespace": "all"})
    assert {str(entry["deleted"]) for entry in empty.body["swarm"].values()} == {"{}"}


@pytest.mark.parametrize("shift", [-60_001, 60_001])
def test_stale_delete_all(nodes: Nodes, alice: Account, shift: int) -> None:
    fill(nodes, alice, 1)
    answer = nodes.signed(alice, "delete_all", {"timestamp": nodes.now + shift})
    assert (answer.status, answer.body) == (406, "delete_all timestamp too far from current time")
    assert len(left(nodes, alice)) == 1


def test_delete_before_includes_its_boundary(nodes: Nodes, alice: Account) -> None:
    # Message number n is n seconds old.
    hashes = fill(nodes, alice, 10, step_ms=1000)

    def before(age_ms: int, namespace: int | str = 0) -> Any:
        params = {"before": nodes.now - age_ms, "namespace": namespace}
        return nodes.signed(alice, "delete_before", params)

    answer = before(8000)
    gone = sorted(hashes[8:])
    assert {tuple(entry["deleted"]) for entry in answer.body["swarm"].values()} == {tuple(gone)}
    check_signatures(answer, alice.account_id, str(nodes.now - 8000), *gone)
    before(7001)
    assert len(left(nodes, alice)) == 8
    before(1000)
    assert left(nodes, alice) == hashes[:1]
    everywhere = before(0, "all")
    assert {str(entry["deleted"]) for entry in everywhere.body["swarm"].values()} == {str({"0": [hashes[0]]})}


def test_delete_before_the_future(nodes: Nodes, alice: Account) -> None:
    ahead = nodes.signed(alice, "delete_before", {"before": nodes.now + 60_001})
    assert (ahead.status, ahead.body) == (401, "delete_before timestamp too far in the future")
    assert nodes.signed(alice, "delete_before", {"before": nodes.now + 60_000}).status == 200


def test_a_session_id_needs_its_ed25519_key(nodes: Nodes, alice: Account) -> None:
    (message,) = fill(nodes, alice, 1)
    params = sign_request(alice, "delete_all", {"timestamp": nodes.now})
    text = "delete_all signature verification failed"
    without = {name: value for name, value in params.items() if name != "pubkey_ed25519"}
    other = Account.from_seed(b"\x02" * 32).ed25519_pk.hex()
    for wrong in (without, {**params, "pubkey_ed25519": other}):
        answer = nodes.ask("delete_all", wrong)
        assert (answer.status, answer.body) == (401, text)
    assert left(nodes, alice) == [message]
    answer = nodes.ask("delete_all", params)
    check_signatures(answer, alice.account_id, str(nodes.now), message)
    assert left(nodes, alice) == []
    prefixed = nodes.ask("delete_all", {**params, "pubkey": "04" + alice.account_id[2:]})
    assert (prefixed.status, prefixed.body) == (
        400,
        "invalid request: pubkey_ed25519 is only permitted for 05[...] pubkeys",
    )


def test_delete_failure_text(nodes: Nodes, alice: Account) -> None:
    params = sign_request(alice, "delete", {"messages": [UNKNOWN]})
    answer = nodes.ask("delete", {**params, "messages": ["Y" * 43]})
    assert (answer.status, answer.body) == (401, "delete_msgs signature verification failed")
