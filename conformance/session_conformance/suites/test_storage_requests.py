"""Judge how requests to storage nodes are built and signed (storage-rpc §§6, 7)."""

import base64
from typing import Any

import nacl.bindings
import nacl.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_conformance import strategies, vectors
from session_conformance.checks import check
from session_conformance.contract import Testee
from session_protocol import storage_auth
from session_protocol.accounts import Account

hashes = st.binary(min_size=32, max_size=32).map(lambda raw: base64.b64encode(raw).decode().rstrip("="))
hash_lists = st.lists(hashes, min_size=1, max_size=4, unique=True)
namespaces = st.sampled_from([0, 2, 3, 4, 5, 11, -10, 123])


# What the contract's parameters are called on the wire (client-protocol §6.1).
WIRE_NAMES = {"timestamp_ms": "timestamp", "ttl_ms": "ttl", "data_base64": "data"}


def made_by(account: Account, payload: bytes, signature_base64: str) -> bool:
    """Tell whether the account's Ed25519 key signed ``payload``."""
    signature = base64.b64decode(signature_base64, validate=True)
    try:
        nacl.bindings.crypto_sign_open(signature + payload, account.ed25519_pk)
    except (nacl.exceptions.BadSignatureError, ValueError):
        return False
    return True


def judge_signature(testee: Testee, account: Account, method: str, **values: Any) -> None:
    """Ask for a signature and verify it over the bytes that a node would check."""
    signed = testee.call("storage.sign", seed_hex=account.entropy.hex(), method=method, **values)
    payload = expected_payload(method, values)
    assert made_by(account, payload, signed["signature_base64"]), f"the signature does not cover {payload!r}"


def expected_payload(method: str, values: dict[str, Any]) -> bytes:
    return storage_auth.signature_payload(
        method,
        namespace=values.get("namespace", 0),
        timestamp_ms=values.get("timestamp_ms"),
        messages=values.get("messages", ()),
        expiry_ms=values.get("expiry"),
        mode="shorten" if values.get("shorten") else "extend" if values.get("extend") else "",
        before_ms=values.get("before"),
    )


@check("AUTH-01", ops=("storage.sign",))
@given(account=strategies.accounts, namespace=namespaces, timestamp_ms=strategies.timestamps_ms)
def test_signs_retrieve(testee: Testee, account: Account, namespace: int, timestamp_ms: int) -> None:
    judge_signature(testee, account, "retrieve", namespace=namespace, timestamp_ms=timestamp_ms)


@check("AUTH-01", ops=("storage.sign",))
@given(
    account=strategies.accounts,
    namespace=st.sampled_from([2, 3, 5, -42]),
    timestamp_ms=strategies.timestamps_ms,
)
def test_signs_store(testee: Testee, account: Account, namespace: int, timestamp_ms: int) -> None:
    judge_signature(testee, account, "store", namespace=namespace, timestamp_ms=timestamp_ms)


@check("AUTH-03", ops=("storage.sign",))
@given(account=strategies.accounts, messages=hash_lists)
def test_signs_delete(testee: Testee, account: Account, messages: list[str]) -> None:
    judge_signature(testee, account, "delete", messages=messages)


@check("AUTH-01", ops=("storage.sign",))
@given(
    account=strategies.accounts,
    namespace=st.one_of(namespaces, st.just("all")),
    timestamp_ms=strategies.timestamps_ms,
)
def test_signs_delete_all(testee: Testee, account: Account, namespace: int | str, timestamp_ms: int) -> None:
    judge_signature(testee, account, "delete_all", namespace=namespace, timestamp_ms=timestamp_ms)


@check("AUTH-03", ops=("storage.sign",))
@given(
    account=strategies.accounts,
    messages=hash_lists,
    expiry=strategies.timestamps_ms,
    mode=st.sampled_from(["", "shorten", "extend"]),
)
def test_signs_expire(testee: Testee, account: Account, messages: list[str], expiry: int, mode: str) -> None:
    flag = {mode: True} if mode else {}
    judge_signature(testee, account, "expire", messages=messages, expiry=expiry, **flag)


@check("AUTH-01", "AUTH-03", ops=("storage.sign",))
def test_makes_the_published_signatures(testee: Testee) -> None:
    """Ed25519 is deterministic: the published signatures are the only ones."""
    cases = vectors.cases("storage", "storage.sign")
    assert cases, "the vector file lost its signatures"
    for case in cases:
        signed = testee.call("storage.sign", **case.input)
        assert signed["signature_base64"] == case.output["signature_base64"], case.id


def judge_request(testee: Testee, account: Account, method: str, **values: Any) -> None:
    """Ask for a whole request; it must carry the values, and a node must find it signed."""
    declared = testee.hello.limits.get("request_methods")
    if declared is not None and method not in declared:
        pytest.skip(f"declares that it builds no {method} requests")
    built = testee.call("storage.build_request", seed_hex=account.entropy.hex(), method=method, **values)
    request = built["request"]
    params = request["params"]
    assert request["method"] == method
    assert params["pubkey"] == account.account_id
    assert params["pubkey_ed25519"].lower() == account.ed25519_pk.hex()
    for name, value in values.items():
        wire_name = WIRE_NAMES.get(name, name)
        # Namespace 0 may be left out: it is what a node takes for granted.
        assert params.get(wire_name, 0 if name == "namespace" else None) == value, f"another {wire_name}"
    payload = storage_auth.request_payload(method, params)
    assert made_by(account, payload, params["signature"]), (
        f"a node would answer 401: {payload!r} is not signed"
    )


@check("AUTH-02", ops=("storage.build_request",))
@given(account=strategies.accounts, namespace=namespaces, timestamp_ms=strategies.timestamps_ms)
def test_builds_a_signed_retrieve(
    testee: Testee, account: Account, namespace: int, timestamp_ms: int
) -> None:
    judge_request(testee, account, "retrieve", namespace=namespace, timestamp_ms=timestamp_ms)


@check("AUTH-02", ops=("storage.build_request",))
@given(
    account=strategies.accounts,
    namespace=st.sampled_from([2, 3, 5, -42]),
    timestamp_ms=strategies.timestamps_ms,
    data=st.binary(min_size=1, max_size=100),
)
def test_builds_a_signed_store(
    testee: Testee, account: Account, namespace: int, timestamp_ms: int, data: bytes
) -> None:
    """Storing in a namespace that only the owner may write to."""
    judge_request(
        testee,
        account,
        "store",
        namespace=namespace,
        timestamp_ms=timestamp_ms,
        ttl_ms=86_400_000,
        data_base64=base64.b64encode(data).decode(),
    )


@check("AUTH-02", "AUTH-03", ops=("storage.build_request",))
@given(account=strategies.accounts, messages=hash_lists)
def test_builds_a_signed_delete(testee: Testee, account: Account, messages: list[str]) -> None:
    judge_request(testee, account, "delete", messages=messages)


@check("AUTH-02", ops=("storage.build_request",))
@given(
    account=strategies.accounts,
    namespace=st.one_of(namespaces, st.just("all")),
    timestamp_ms=strategies.timestamps_ms,
)
def test_builds_a_signed_delete_all(
    testee: Testee, account: Account, namespace: int | str, timestamp_ms: int
) -> None:
    judge_request(testee, account, "delete_all", namespace=namespace, timestamp_ms=timestamp_ms)


@check("AUTH-02", "AUTH-03", ops=("storage.build_request",))
@given(
    account=strategies.accounts,
    messages=hash_lists,
    expiry=strategies.timestamps_ms,
    mode=st.sampled_from(["", "shorten", "extend"]),
)
def test_builds_a_signed_expire(
    testee: Testee, account: Account, messages: list[str], expiry: int, mode: str
) -> None:
    flag = {mode: True} if mode else {}
    judge_request(testee, account, "expire", messages=messages, expiry=expiry, **flag)


@check("AUTH-02", "AUTH-03", ops=("storage.build_request",))
@given(account=strategies.accounts, messages=hash_lists, timestamp_ms=strategies.timestamps_ms)
def test_builds_a_signed_get_expiries(
    testee: Testee, account: Account, messages: list[str], timestamp_ms: int
) -> None:
    judge_request(testee, account, "get_expiries", messages=messages, timestamp_ms=timestamp_ms)


@check("AUTH-04", ops=("storage.message_hash",))
@given(account=strategies.accounts, namespace=namespaces, data=st.binary(max_size=300))
def test_computes_message_hashes(testee: Testee, account: Account, namespace: int, data: bytes) -> None:
    computed = testee.call(
        "storage.message_hash",
        pubkey=account.account_id,
        namespace=namespace,
        data_base64=base64.b64encode(data).decode(),
    )
    assert computed["hash"] == storage_auth.message_hash(bytes.fromhex(account.account_id), namespace, data)
