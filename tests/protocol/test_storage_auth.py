"""Signatures of storage requests, and the rules of namespaces (storage-rpc §§5-7)."""

import base64
import json
from importlib.resources import files

import nacl.bindings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_protocol import errors, namespaces, storage_auth
from session_protocol.accounts import Account
from session_protocol.ed25519 import sign_detached, verify_detached
from session_protocol.errors import (
    BadSignature,
    InvalidArgument,
    InvalidId,
    InvalidLength,
    ProtocolError,
)
from session_protocol.service_nodes import NodeIdentity
from session_protocol.storage_auth import Access, Subaccount

VECTORS = {
    group["operation"]: group["cases"]
    for group in json.loads(files("session_conformance.vectors").joinpath("storage.json").read_text("utf-8"))[
        "groups"
    ]
}
ERRORS = {error.code: error for error in vars(errors).values() if hasattr(error, "code")}
TIMESTAMP = 1700000000123
ACCOUNT = Account.from_seed(bytes(range(32)))
OWNER_SEED = b"o" * 32
OWNER_PK, OWNER_SK = nacl.bindings.crypto_sign_seed_keypair(OWNER_SEED)
MEMBER_PK, MEMBER_SK = nacl.bindings.crypto_sign_seed_keypair(b"m" * 32)
GROUP = b"\x03" + OWNER_PK
PAYLOAD = b"retrieve421700000000123"


def cases(*operations):
    found = [case for operation in operations for case in VECTORS[operation]]
    return pytest.mark.parametrize("case", found, ids=lambda case: case["id"])


def text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_every_operation_is_run_here():
    # Pages are a node's: tests/testnet_storage has them.
    assert set(VECTORS) - {"node.page"} == {
        "node.sign",
        "storage.message_hash",
        "storage.namespace",
        "storage.sign",
        "storage.sign_as_owner",
        "storage.signature_payload",
        "storage.verify",
    }


def payload_of(values):
    return storage_auth.signature_payload(
        values["method"],
        namespace=values.get("namespace", 0),
        timestamp_ms=values.get("timestamp_ms"),
        messages=values.get("messages", ()),
        expiry_ms=values.get("expiry"),
        mode="shorten" if values.get("shorten") else "extend" if values.get("extend") else "",
        before_ms=values.get("before"),
        tokens=[bytes.fromhex(token) for token in values.get("tokens", ())],
    )


@cases("storage.signature_payload")
def test_what_has_no_payload(case):
    with pytest.raises(ERRORS[case["error"]]):
        payload_of(case["input"])


@cases("storage.sign", "storage.sign_as_owner")
def test_signs(case):
    values = case["input"]
    payload = payload_of(values)
    assert payload.hex() == case["output"]["signed_hex"]
    seed = bytes.fromhex(values.get("seed_hex", values.get("group_seed")))
    assert text64(storage_auth.sign(Account.from_seed(seed), payload)) == case["output"]["signature_base64"]


@cases("storage.sign", "storage.sign_as_owner")
def test_signs_the_wire_form_alike(case):
    values = dict(case["input"])
    account = Account.from_seed(bytes.fromhex(values.pop("seed_hex", None) or values.pop("group_seed")))
    method = values.pop("method")
    params = {"timestamp" if name == "timestamp_ms" else name: value for name, value in values.items()}
    if "tokens" in params:
        params["revoke" if method == "revoke_subaccount" else "unrevoke"] = params.pop("tokens")
    signed = storage_auth.sign_request(account, method, params)
    assert signed == {
        **params,
        "pubkey": account.account_id,
        "pubkey_ed25519": account.ed25519_pk.hex(),
        "signature": case["output"]["signature_base64"],
    }


@cases("storage.verify")
def test_verifies(case):
    values = case["input"]
    given = {"pubkey_ed25519": None, "subaccount": None}
    if "pubkey_ed25519" in values:
        given["pubkey_ed25519"] = bytes.fromhex(values["pubkey_ed25519"])
    if "subaccount" in values:
        given["subaccount"] = Subaccount(
            bytes.fromhex(values["subaccount"]["token"]),
            base64.b64decode(values["subaccount"]["owner_signature_base64"]),
        )
        given["access"] = Access(values["access"])
        given["revoked"] = {bytes.fromhex(token) for token in values.get("revoked", ())}

    def verify():
        storage_auth.verify(
            bytes.fromhex(values["account"]),
            bytes.fromhex(values["payload"]),
            base64.b64decode(values["signature_base64"]),
            **given,
        )

    if case["result"] == "valid":
        verify()
    else:
        with pytest.raises(ERRORS[case["error"]]):
            verify()


@cases("storage.message_hash")
def test_hashes(case):
    values = case["input"]
    data = base64.b64decode(values["data_base64"])
    computed = storage_auth.message_hash(bytes.fromhex(values["pubkey"]), values["namespace"], data)
    assert computed == case["output"]["hash"]


@cases("node.sign")
def test_nodes_sign(case):
    node = NodeIdentity.from_seed(bytes.fromhex(case["input"]["seed"]))
    assert node.ed25519_pk.hex() == case["output"]["ed25519_pk"]
    payload = bytes.fromhex(case["input"]["payload"])
    assert text64(node.sign(payload)) == case["output"]["signature_base64"]


@cases("storage.namespace")
def test_namespaces(case):
    number = case["input"]["namespace"]
    assert {
        "public_inbox": namespaces.is_public_inbox(number),
        "public_outbox": namespaces.is_public_outbox(number),
        "unrevocable": namespaces.is_unrevocable(number),
        "store_without_signature": namespaces.allows_unauthenticated_store(number),
        "retrieve_without_signature": namespaces.allows_unauthenticated_retrieve(number),
        "max_ttl_ms": namespaces.max_ttl_ms(number),
    } == case["output"]


@pytest.mark.parametrize("number", [-(2**15) - 1, 2**15])
def test_namespaces_have_16_bits(number):
    for rule in (namespaces.is_public_inbox, namespaces.is_public_outbox, namespaces.is_unrevocable):
        with pytest.raises(InvalidArgument, match="outside"):
            rule(number)


@given(seed=st.binary(min_size=16, max_size=16), payload=st.binary(max_size=60), data=st.data())
def test_the_owner_verifies_and_nothing_else_does(seed, payload, data):
    account = Account.from_seed(seed)
    raw = bytes.fromhex(account.account_id)
    signature = storage_auth.sign(account, payload)
    storage_auth.verify(raw, payload, signature, pubkey_ed25519=account.ed25519_pk)
    bit = data.draw(st.integers(0, 8 * 64 - 1))
    broken = bytearray(signature)
    broken[bit // 8] ^= 1 << bit % 8
    for wrong_payload, wrong_signature in (
        (payload + b"0", signature),
        (payload, bytes(broken)),
        (payload, signature[:-1]),
        (payload, b""),
    ):
        with pytest.raises(BadSignature):
            storage_auth.verify(raw, wrong_payload, wrong_signature, pubkey_ed25519=account.ed25519_pk)


@given(
    account=st.binary(max_size=40),
    payload=st.binary(max_size=20),
    signature=st.binary(min_size=60, max_size=66),
    key=st.none() | st.binary(min_size=30, max_size=33),
)
def test_random_requests_end_in_the_one_family(account, payload, signature, key):
    with pytest.raises(ProtocolError):
        storage_auth.verify(account, payload, signature, pubkey_ed25519=key)


def member(flags: int, prefix: int = 3) -> Subaccount:
    token = bytes([prefix, flags, 0, 0]) + MEMBER_PK
    return Subaccount(token, sign_detached(OWNER_SK, token))


def verify_member(subaccount, access, *, account=GROUP, revoked=(), signer=MEMBER_SK):
    storage_auth.verify(
        account,
        PAYLOAD,
        sign_detached(signer, PAYLOAD),
        subaccount=subaccount,
        access=access,
        revoked=revoked,
    )


@given(flags=st.integers(0, 15), access=st.integers(0, 7))
def test_a_subaccount_needs_every_bit(flags, access):
    if access & ~flags:
        with pytest.raises(BadSignature, match="lacks"):
            verify_member(member(flags), Access(access))
    else:
        verify_member(member(flags), Access(access))


def test_subaccount_checks_come_in_order():
    """Each check in turn fails first, while all the later ones would fail too."""
    broken = Subaccount(member(0, prefix=5).token, bytes(64))
    with pytest.raises(BadSignature, match="revoked"):
        verify_member(broken, Access.READ, revoked={broken.token}, signer=OWNER_SK)
    with pytest.raises(BadSignature, match="for 05 accounts"):
        verify_member(broken, Access.READ, signer=OWNER_SK)
    with pytest.raises(BadSignature, match="lacks"):
        verify_member(Subaccount(member(0).token, bytes(64)), Access.READ, signer=OWNER_SK)
    with pytest.raises(BadSignature, match=OWNER_PK.hex()):
        verify_member(Subaccount(member(1).token, bytes(64)), Access.READ, signer=OWNER_SK)
    with pytest.raises(BadSignature, match=MEMBER_PK.hex()):
        verify_member(member(1), Access.READ, signer=OWNER_SK)


def test_a_subaccount_of_any_prefix_needs_the_flag():
    standard = b"\x05" + OWNER_PK
    verify_member(member(9), Access.READ, account=standard)
    with pytest.raises(BadSignature, match="for 03 accounts, not 05"):
        verify_member(member(1), Access.READ, account=standard)


def test_a_subaccount_without_said_access_needs_all():
    signature = sign_detached(MEMBER_SK, PAYLOAD)
    storage_auth.verify(GROUP, PAYLOAD, signature, subaccount=member(7))
    with pytest.raises(BadSignature, match="lacks"):
        storage_auth.verify(GROUP, PAYLOAD, signature, subaccount=member(3))


@pytest.mark.parametrize(
    ("method", "namespace", "access"),
    [
        ("store", 2, Access.WRITE),
        ("store", -1, Access.WRITE | Access.DELETE),
        ("retrieve", 0, Access.READ),
        ("get_expiries", 0, Access.READ),
        ("expire", 0, Access.WRITE),
        ("delete", 0, Access.DELETE),
        ("delete_all", "all", Access.DELETE),
        ("delete_before", 0, Access.DELETE),
        ("expire_all", 0, Access.DELETE),
        ("revoke_subaccount", 0, None),
        ("unrevoke_subaccount", 0, None),
        ("revoked_subaccounts", 0, None),
    ],
)
def test_access_of_methods(method, namespace, access):
    assert storage_auth.required_access(method, namespace) == access


def test_store_signs_its_signature_timestamp():
    params = {"namespace": 2, "timestamp": 1, "sig_timestamp": TIMESTAMP}
    assert storage_auth.request_payload("store", params) == f"store2{TIMESTAMP}".encode()
    assert storage_auth.request_payload("store", {**params, "sig_timestamp": None}) == b"store21"


def test_a_lone_message_and_a_lone_token_are_lists_of_one():
    assert storage_auth.request_payload("delete", {"messages": "abc"}) == b"deleteabc"
    token = bytes(range(36))
    for text in (token.hex(), text64(token), [text64(token)]):
        params = {"timestamp": 5, "revoke": text}
        assert storage_auth.request_payload("revoke_subaccount", params) == b"revoke_subaccount5" + token


@pytest.mark.parametrize(
    ("method", "params", "text"),
    [
        ("expire", {"messages": ["a"], "expiry": 1, "shorten": True, "extend": True}, "both"),
        ("revoke_subaccount", {"timestamp": 1, "revoke": "short"}, "36 bytes"),
        ("revoke_subaccount", {"timestamp": 1, "revoke": "ä" * 48}, "36 bytes"),
        ("expire_all", {"expiry": [1, 2]}, "not a list"),
        ("expire_all", {}, "covers expiry_ms"),
        ("delete_before", {}, "covers before_ms"),
        ("get_expiries", {"timestamp": 1}, "at least one"),
        ("delete", {"messages": ["ä"]}, "ASCII"),
        ("info", {}, "not signed"),
    ],
)
def test_impossible_requests_are_not_signed(method, params, text):
    with pytest.raises(InvalidArgument, match=text):
        storage_auth.sign_request(ACCOUNT, method, params)


def test_wrong_sizes_are_named():
    with pytest.raises(InvalidId, match="33 bytes"):
        storage_auth.message_hash(bytes(32), 0, b"")
    with pytest.raises(InvalidLength, match="36 bytes"):
        Subaccount(bytes(35), bytes(64))
    with pytest.raises(InvalidLength, match="64 bytes"):
        sign_detached(bytes(32), b"")
    with pytest.raises(BadSignature):
        verify_detached(bytes(31), b"", bytes(64))


@given(data=st.binary(max_size=100), number=st.integers(-(2**15), 2**15 - 1), prefix=st.integers(0, 255))
def test_a_hash_has_43_characters_and_depends_on_everything(data, number, prefix):
    account = bytes([prefix]) + ACCOUNT.x25519_pk
    name = storage_auth.message_hash(account, number, data)
    assert len(name) == 43
    others = {
        storage_auth.message_hash(bytes([prefix ^ 1]) + ACCOUNT.x25519_pk, number, data),
        storage_auth.message_hash(account, number ^ 1, data),
        storage_auth.message_hash(account, number, data + b"\0"),
    }
    assert name not in others
