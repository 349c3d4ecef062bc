"""Judge whom a service node lets do what: signatures, times, sub-accounts (storage-rpc §§5, 6)."""

import base64
from functools import partial
from typing import Any

import nacl.bindings
import nacl.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_conformance.checks import check
from session_conformance.contract import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.answers import Answer, only
from session_conformance.servers.node import DAY_MS, SECOND_MS, JudgedNode, as_subaccount, token_for
from session_conformance.strategies import flip_bit
from session_protocol.accounts import Account
from session_protocol.storage_auth import sign, sign_request, signature_payload

on_node = partial(check, features={"server": "storage"})
METHODS = (
    "retrieve",
    "store",
    "delete",
    "delete_all",
    "delete_before",
    "expire",
    "expire_all",
    "get_expiries",
)
TIMED = ("retrieve", "store", "delete_all", "get_expiries", "revoke_subaccount", "unrevoke_subaccount")
TOKEN = base64.b64encode(bytes(36)).decode()


def request_of(node: JudgedNode, method: str, message: str, *, at: int | None = None) -> dict[str, Any]:
    """Return good parameters of a method about one message in namespace 2."""
    now = node.now() if at is None else at
    match method:
        case "store":
            return {
                "timestamp": node.now(),
                "sig_timestamp": now,
                "ttl": DAY_MS,
                "namespace": 2,
                "data": "YQ==",
            }
        case "delete":
            return {"messages": [message]}
        case "expire":
            return {"messages": [message], "expiry": now + DAY_MS // 2}
        case "expire_all":
            return {"expiry": now + DAY_MS // 2, "namespace": 2}
        case "delete_before":
            return {"before": now, "namespace": 2}
        case "get_expiries":
            return {"messages": [message], "timestamp": now}
        case "revoke_subaccount":
            return {"revoke": [TOKEN], "timestamp": now}
        case "unrevoke_subaccount":
            return {"unrevoke": [TOKEN], "timestamp": now}
    return {"timestamp": now, "namespace": 2}


@on_node("NODE-40")
def test_gives_nothing_without_a_signature(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    node.store(account, b"private")
    node.store(account, b"private", namespace=2)
    whose = {"pubkey": account.account_id}
    node.rpc("retrieve", whose).expect(401)
    node.rpc("retrieve", {**whose, "namespace": 2}).expect(400, 401)
    node.rpc("retrieve", {**whose, "timestamp": node.now()}).expect(400, 401)


@on_node("NODE-41")
@given(method=st.sampled_from(METHODS), bit=st.integers(0, 511), other=st.booleans())
def test_refuses_what_the_owner_did_not_sign(
    testee: Testee, case: CaseContext, method: str, bit: int, other: bool
) -> None:
    """One bit of the signature is another, or a stranger has signed."""
    node = JudgedNode(testee, case)
    account = node.account()
    message = node.store(account, b"x", namespace=2)
    before = node.retrieve(account, namespace=2)
    params = sign_request(account, method, request_of(node, method, message))
    if other:
        stranger = sign_request(node.new_account(), method, params)
        params["signature"] = stranger["signature"]
    else:
        damaged = flip_bit(base64.b64decode(params["signature"]), bit)
        params["signature"] = base64.b64encode(damaged).decode()
    node.rpc(method, params).expect(401)
    assert node.retrieve(account, namespace=2) == before


@on_node("NODE-42")
def test_refuses_a_key_of_somebody_else(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account, stranger = node.account(), node.new_account()
    message = node.store(account, b"x", namespace=2)
    for method in METHODS:
        params = sign_request(stranger, method, request_of(node, method, message))
        node.rpc(method, {**params, "pubkey": account.account_id}).expect(401)
    assert node.hashes(account, namespace=2) == [message]


@on_node("NODE-43")
def test_takes_a_second_key_for_standard_ids_only(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    params = sign_request(account, "retrieve", {"timestamp": node.now()})
    node.rpc("retrieve", {**params, "pubkey": "04" + account.account_id[2:]}).expect(400)


@on_node("NODE-44")
@given(method=st.sampled_from(TIMED), off=st.integers(70, 100_000), late=st.booleans())
def test_refuses_other_times(testee: Testee, case: CaseContext, method: str, off: int, late: bool) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    message = node.store(account, b"x", namespace=2)

    def answer(seconds: int) -> Answer:
        at = node.now() + (-seconds if late else seconds) * SECOND_MS
        return node.signed(account, method, request_of(node, method, message, at=at))

    answer(off).expect(406)
    answer(45).expect(200)


@on_node("NODE-45")
@given(namespace=st.integers(-200, 200).filter(lambda number: number % 10 != 0))
def test_takes_signed_messages_only(testee: Testee, case: CaseContext, namespace: int) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    node.try_store(account, b"unsigned", namespace=namespace).expect(401)
    message = node.store(account, b"signed", namespace=namespace)
    assert node.hashes(account, namespace=namespace) == [message]


@on_node("NODE-46")
def test_checks_the_signed_time_of_a_message(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    old = node.now() - 100_000
    node.try_store(account, b"old", signed=True, namespace=2, timestamp=old).expect(406)
    message = node.store(account, b"old", namespace=2, timestamp=old, sig_timestamp=node.now())
    found = only(node.retrieve(account, namespace=2))
    assert (found["hash"], found["timestamp"]) == (message, old)


@on_node("NODE-47")
@given(signed_as=st.sampled_from(["retrieve", "store", "delete_all"]), namespace=st.sampled_from([0, 2, 3]))
def test_counts_a_signature_once(testee: Testee, case: CaseContext, signed_as: str, namespace: int) -> None:
    """What was signed for one method and namespace opens no other."""
    node = JudgedNode(testee, case)
    account = node.account()
    now = node.now()
    payload = signature_payload(signed_as, namespace=namespace, timestamp_ms=now)
    signature = base64.b64encode(sign(account, payload)).decode()
    whose = {"pubkey": account.account_id, "pubkey_ed25519": account.ed25519_pk.hex()}
    for method in ("retrieve", "delete_all"):
        for other in (2, 3, 5):
            params = {**whose, "timestamp": now, "namespace": other, "signature": signature}
            right = (method, other) == (signed_as, namespace)
            node.rpc(method, params).expect(200 if right else 401)


def answers_of_subaccount(
    node: JudgedNode, account: Account, sub: Account, flags: int, *, prefix: int = 0x05
) -> dict[str, int]:
    """Return the status of each kind of access for a sub-account with these flags."""
    token = token_for(account, sub, flags, prefix=prefix)
    message = node.store(account, node.random.randbytes(8), namespace=2)
    found = {}
    for method in ("retrieve", "store", "delete"):
        params = request_of(node, method, message)
        payload = signature_payload(
            method,
            namespace=params.get("namespace", 0),
            timestamp_ms=params.get("sig_timestamp", params.get("timestamp")),
            messages=params.get("messages", ()),
        )
        found[method] = node.rpc(method, as_subaccount(account, sub, token, payload, params)).status
    return found


@on_node("NODE-48")
@given(flags=st.integers(0, 7))
def test_lets_subaccounts_do_what_they_may(testee: Testee, case: CaseContext, flags: int) -> None:
    node = JudgedNode(testee, case)
    allowed = {"retrieve": flags & 1, "store": flags & 2, "delete": flags & 4}
    wanted = {method: 200 if may else 401 for method, may in allowed.items()}
    assert answers_of_subaccount(node, node.account(), node.new_account(), flags) == wanted


@on_node("NODE-49")
def test_takes_tokens_of_the_owner_only(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account, sub = node.account(), node.new_account()
    refused = {"retrieve": 401, "store": 401, "delete": 401}
    assert answers_of_subaccount(node, account, sub, 7, prefix=0x03) == refused
    assert set(answers_of_subaccount(node, account, sub, 15, prefix=0x03).values()) == {200}
    # The token names the sub-account, and somebody else has signed it.
    forged = token_for(node.new_account(), sub, 7)
    now = node.now()
    payload = signature_payload("retrieve", namespace=2, timestamp_ms=now)
    params = {"timestamp": now, "namespace": 2}
    node.rpc("retrieve", as_subaccount(account, sub, forged, payload, params)).expect(401)


@on_node("NODE-50", "NODE-51", "NODE-52")
def test_refuses_revoked_subaccounts(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account, sub = node.account(), node.new_account()
    node.store(account, b"x", namespace=2)
    token = token_for(account, sub, 7)
    encoded = base64.b64encode(token.token).decode()

    def reads(namespace: int) -> int:
        now = node.now()
        payload = signature_payload("retrieve", namespace=namespace, timestamp_ms=now)
        params = {"timestamp": now, "namespace": namespace}
        return node.rpc("retrieve", as_subaccount(account, sub, token, payload, params)).status

    assert reads(2) == 200
    now = node.now()
    for key, entry in node.changed(
        account, "revoke_subaccount", {"revoke": [encoded], "timestamp": now}
    ).items():
        assert_signed_bytes(key, entry, f"{account.account_id}{now}".encode() + token.token)
    assert reads(2) == 401
    assert reads(-11) == 200
    back = {"unrevoke": [encoded], "timestamp": node.now()}
    for key, entry in node.changed(account, "unrevoke_subaccount", back).items():
        assert entry["count"] == 1
        assert_signed_bytes(key, entry, f"{account.account_id}{back['timestamp']}".encode() + token.token)
    assert reads(2) == 200


def assert_signed_bytes(key_hex: str, entry: dict[str, Any], payload: bytes) -> None:
    """Fail unless a member signed these bytes."""
    try:
        signature = base64.b64decode(entry["signature"], validate=True)
        nacl.bindings.crypto_sign_open(signature + payload, bytes.fromhex(key_hex))
    except (nacl.exceptions.BadSignatureError, ValueError, KeyError):
        raise AssertionError(f"{key_hex} did not sign {payload!r}: {entry}") from None


@on_node("NODE-53")
def test_serves_accounts_of_groups(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    group, group_id = group_of_swarm(node)
    now = node.now()
    params = {"pubkey": group_id, "timestamp": now, "namespace": 11}

    def signature(method: str) -> str:
        payload = signature_payload(method, namespace=11, timestamp_ms=now)
        return base64.b64encode(sign(group, payload)).decode()

    store = {**params, "ttl": DAY_MS, "data": "YQ==", "signature": signature("store")}
    message = node.rpc("store", store).ok()["hash"]
    page = node.rpc("retrieve", {**params, "signature": signature("retrieve")}).ok()
    assert [each["hash"] for each in page["messages"]] == [message]
    node.rpc("retrieve", {**params, "signature": signature("store")}).expect(401)


def group_of_swarm(node: JudgedNode) -> tuple[Account, str]:
    """Return a new group of the node's swarm: its key, and its id with the prefix 03."""
    for _ in range(2_000):
        key = node.new_account()
        group_id = "03" + key.ed25519_pk.hex()
        if node.is_responsible(group_id):
            break
    else:
        pytest.skip("no group belongs to the swarm of the node")
    return key, group_id
