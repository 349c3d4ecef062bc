"""Blinded ids and signatures of community servers (open-group-server §§4, 5, 9.7)."""

import base64
import json
from importlib.resources import files

import nacl.bindings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_protocol import blinded_messages, community, errors
from session_protocol.accounts import Account, x25519_pk_to_ed25519
from session_protocol.community import NonceRule
from session_protocol.ed25519 import sign_detached, verify_detached
from session_protocol.errors import (
    BadSignature,
    InvalidArgument,
    InvalidId,
    InvalidLength,
    ProtocolError,
)

VECTORS = {
    group["operation"]: group["cases"]
    for group in json.loads(
        files("session_conformance.vectors").joinpath("community.json").read_text("utf-8")
    )["groups"]
}
ERRORS = {error.code: error for error in vars(errors).values() if hasattr(error, "code")}
SERVER_PK = bytes.fromhex("b560c78e1b8e5b23eb1665ff8eeeb4ac0e3002edaffe76db2394fe15632c7666")
accounts = st.binary(min_size=16, max_size=16).map(Account.from_seed)
server_keys = st.binary(min_size=32, max_size=32)
messages = st.binary(max_size=80)
versions = st.sampled_from([15, 25])


def cases(operation):
    return pytest.mark.parametrize("case", VECTORS[operation], ids=lambda case: case["id"])


def account_and_server(values):
    return Account.from_seed(bytes.fromhex(values["seed_hex"])), bytes.fromhex(values["server_pk"])


def blinded_key(account, server_pk, version):
    return (community.blind15_key if version == 15 else community.blind25_key)(account, server_pk)


def test_every_operation_is_run_here():
    assert set(VECTORS) == {
        "blind15.id",
        "blind15.key",
        "blind15.sign",
        "blind15.unblind",
        "blind25.id",
        "blind25.key",
        "blind25.sign",
        "blinded.match",
        "blinded_dm.decrypt",
        "blinded_dm.encrypt",
        "community.sign_message",
        "community.verify_message",
        "curve.x_pk_to_ed",
        "sogs.auth_headers",
        "xed25519.verify",
    }


@cases("blind15.key")
def test_blind15_keys(case):
    key = community.blind15_key(*account_and_server(case["input"]))
    assert key.id == case["output"]["blinded_id"]
    assert key.scalar.hex() == case["output"].get("sk", key.scalar.hex())


@cases("blind25.key")
def test_blind25_keys(case):
    key = community.blind25_key(*account_and_server(case["input"]))
    assert key.id == case["output"]["blinded_id"]
    assert key.scalar.hex() == case["output"].get("sk", key.scalar.hex())


@cases("blind15.id")
def test_blind15_ids(case):
    found = community.blind15_ids(case["input"]["session_id"], bytes.fromhex(case["input"]["server_pk"]))
    assert list(found) == case["output"]["ids"]


@cases("blind25.id")
def test_blind25_ids(case):
    found = community.blind25_id(case["input"]["session_id"], bytes.fromhex(case["input"]["server_pk"]))
    assert found == case["output"]["id"]


@cases("blind15.unblind")
def test_unblinding(case):
    found = community.unblind15(case["input"]["blinded_id"], bytes.fromhex(case["input"]["server_pk"]))
    assert found == case["output"]["session_id"]


@cases("blinded.match")
def test_matching(case):
    values = case["input"]
    server_pk = bytes.fromhex(values["server_pk"])
    matches = community.matches_blinded_id(values["session_id"], values["blinded_id"], server_pk)
    assert matches == case["output"]["match"]


@cases("blind15.sign")
def test_blind15_signatures(case):
    account, server_pk = account_and_server(case["input"])
    message = bytes.fromhex(case["input"]["message_hex"])
    for rule in NonceRule:
        key = community.blind15_key(account, server_pk, nonce_rule=rule)
        signature = community.blinded_sign(key, message)
        assert signature.hex() == case["output"][f"signature_{rule.value}"]
        assert key.public.hex() == case["output"].get("verify_key", key.public.hex())
        verify_detached(key.public, message, signature)


@cases("blind25.sign")
def test_blind25_signatures(case):
    account, server_pk = account_and_server(case["input"])
    message = bytes.fromhex(case["input"]["message_hex"])
    key = community.blind25_key(account, server_pk)
    signature = community.blinded_sign(key, message)
    assert signature.hex() == case["output"]["signature"]
    assert key.public.hex() == case["output"].get("verify_key", key.public.hex())
    verify_detached(key.public, message, signature)


@cases("sogs.auth_headers")
def test_authentication_headers(case):
    values = case["input"]
    account, server_pk = account_and_server(values)
    nonce, body = bytes.fromhex(values["nonce_hex"]), bytes.fromhex(values["body_hex"])
    signed = (values["method"], values["path"], body)
    headers = community.auth_headers(
        account, server_pk, *signed, nonce=nonce, timestamp_s=values["timestamp_s"], mode=values["mode"]
    )
    payload = community.request_signature_payload(server_pk, nonce, values["timestamp_s"], *signed)
    expected = case["output"]
    assert payload.hex() == expected.get("signed_hex", payload.hex())
    assert headers["X-SOGS-Pubkey"] == expected["headers"]["X-SOGS-Pubkey"]
    for signature in (headers["X-SOGS-Signature"], expected["headers"]["X-SOGS-Signature"]):
        verify_detached(bytes.fromhex(headers["X-SOGS-Pubkey"])[1:], payload, base64.b64decode(signature))
    assert headers == expected["headers"]


@cases("community.sign_message")
def test_message_signatures(case):
    values = case["input"]
    account, server_pk = account_and_server(values)
    data = base64.b64decode(values["data_base64"])
    for rule in NonceRule:
        signature = community.sign_community_message(
            account, server_pk, data, values["blinded"], nonce_rule=rule
        )
        assert base64.b64encode(signature).decode() == case["output"][f"signature_{rule.value}_base64"]
        assert community.verify_community_message(case["output"]["poster_id"], data, signature)


@cases("community.verify_message")
def test_message_verification(case):
    values = case["input"]
    data, signature = base64.b64decode(values["data_base64"]), base64.b64decode(values["signature_base64"])
    poster = values["poster_id"]
    assert community.verify_community_message(poster, data, signature) == case["output"]["signature_valid"]
    if poster.startswith("05"):
        strictly = community.xed25519_verify(bytes.fromhex(poster)[1:], data, signature, strict=True)
        assert strictly == case["output"]["strictly_valid"]


@cases("xed25519.verify")
def test_xed25519_verification(case):
    values = case["input"]
    key, message = bytes.fromhex(values["x25519_pk"]), bytes.fromhex(values["message_hex"])
    signature = bytes.fromhex(values["signature"])
    for strict in (True, False):
        assert community.xed25519_verify(key, message, signature, strict=strict) == case["output"]["valid"]


@cases("curve.x_pk_to_ed")
def test_x25519_keys_as_ed25519_keys(case):
    converted = x25519_pk_to_ed25519(bytes.fromhex(case["input"]["x25519_pk"]))
    assert converted.hex() == case["output"]["ed25519_pk"]


@cases("blinded_dm.encrypt")
def test_blinded_messages_encrypt(case):
    values = case["input"]
    ciphertext = blinded_messages.encrypt_blinded_message(
        Account.from_seed(bytes.fromhex(values["sender_seed"])),
        bytes.fromhex(values["server_pk"]),
        values["recipient_blinded_id"],
        bytes.fromhex(values["message_hex"]),
        nonce=bytes.fromhex(values["nonce_hex"]),
    )
    assert ciphertext.hex() == case["output"]["ciphertext"]


@cases("blinded_dm.decrypt")
def test_blinded_messages_decrypt(case):
    values = case["input"]

    def decrypt():
        return blinded_messages.decrypt_blinded_message(
            Account.from_seed(bytes.fromhex(values["recipient_seed"])),
            bytes.fromhex(values["server_pk"]),
            values["sender_blinded_id"],
            values["recipient_blinded_id"],
            bytes.fromhex(values["ciphertext"]),
        )

    if case["result"] == "invalid":
        with pytest.raises(ERRORS[case["error"]]):
            decrypt()
        return
    opened = decrypt()
    assert opened.message.hex() == case["output"]["message_hex"]
    assert opened.sender_account_id == case["output"]["sender_session_id"]


@given(account=accounts, server_pk=server_keys, other=accounts)
def test_a_blinded_id_belongs_to_one_account(account, server_pk, other):
    key15, key25 = community.blind15_key(account, server_pk), community.blind25_key(account, server_pk)
    assert key15.id in community.blind15_ids(account.account_id, server_pk)
    assert key25.id == community.blind25_id(account.account_id, server_pk)
    assert community.unblind15(key15.id, server_pk) == account.account_id
    for key in (key15, key25):
        assert community.matches_blinded_id(account.account_id, key.id.upper(), server_pk)
        if other.account_id != account.account_id:
            assert not community.matches_blinded_id(other.account_id, key.id, server_pk)


@given(account=accounts, server_pk=server_keys, version=versions, message=messages, data=st.data())
def test_blinded_signatures_verify_and_damaged_ones_do_not(account, server_pk, version, message, data):
    key = blinded_key(account, server_pk, version)
    signature = bytearray(community.blinded_sign(key, message))
    assert community.verify_community_message(key.id, message, bytes(signature))
    assert not community.verify_community_message(key.id, message + b"!", bytes(signature))
    bit = data.draw(st.integers(0, 8 * 64 - 1))
    signature[bit // 8] ^= 1 << bit % 8
    assert not community.verify_community_message(key.id, message, bytes(signature))


@given(account=accounts, message=messages, salt=st.binary(min_size=64, max_size=64), data=st.data())
def test_xed25519_signatures_are_strict(account, message, salt, data):
    signature = community.sign_community_message(
        account, SERVER_PK, message, blinded=False, random_bytes=lambda size: salt[:size]
    )
    assert community.xed25519_verify(account.x25519_pk, message, signature, strict=True)
    assert community.verify_community_message(account.account_id, message, signature)
    verify_detached(x25519_pk_to_ed25519(account.x25519_pk), message, signature)
    bit = data.draw(st.integers(0, 8 * 64 - 1))
    broken = bytearray(signature)
    broken[bit // 8] ^= 1 << bit % 8
    assert not community.verify_community_message(account.account_id, message, bytes(broken))


@given(account=accounts, message=messages)
def test_signatures_with_the_sign_in_their_top_bit_are_tolerated(account, message):
    """Sign with the key as it is, as some clients do, and move its sign into the signature."""
    signature = bytearray(sign_detached(account.ed25519_sk, message))
    signature[63] |= account.ed25519_pk[31] & 0x80
    negative = account.ed25519_pk[31] >= 0x80
    assert community.xed25519_verify(account.x25519_pk, message, bytes(signature))
    assert community.xed25519_verify(account.x25519_pk, message, bytes(signature), strict=True) != negative


@given(account=accounts, key=st.binary(max_size=40), message=messages, signature=st.binary(max_size=70))
def test_verification_of_nonsense_is_false(account, key, message, signature):
    assert not community.xed25519_verify(key, message, signature)
    for prefix in ("00", "03", "05", "15", "25"):
        assert not community.verify_community_message(prefix + account.ed25519_pk.hex(), message, signature)
    assert not community.verify_community_message(key.hex(), message, signature)


def test_only_posters_are_verified():
    account = Account.from_seed(bytes(range(16)))
    signature = sign_detached(account.ed25519_sk, b"message")
    for prefix in ("00", "03", "07"):
        assert not community.verify_community_message(
            prefix + account.ed25519_pk.hex(), b"message", signature
        )


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ("/room/x", b"/room/x"),
        ("/room/x?", b"/room/x"),
        ("/room/x?a=%20b&c=%F0", b"/room/x?a=%20b&c=%F0"),
        ("/reaction/%F0%9F%8D%8D", "/reaction/🍍".encode()),
        ("/reaction/🍍", "/reaction/🍍".encode()),
        ("/a%2Fb?c?d", b"/a/b?c?d"),
        ("/a+b", b"/a+b"),
    ],
)
def test_the_path_is_signed_decoded_and_the_query_as_sent(sent, signed):
    payload = community.request_signature_payload(SERVER_PK, bytes(16), 1760000000, "get", sent, None)
    assert payload == SERVER_PK + bytes(16) + b"1760000000GET" + signed
    with_body = community.request_signature_payload(SERVER_PK, bytes(16), "1760000000", "GET", sent, b"x")
    assert with_body[:-64] == payload


def test_impossible_requests_are_not_signed():
    account = Account.from_seed(bytes(16))

    def headers(server_pk=SERVER_PK, path="/", nonce=bytes(16), mode="blinded15"):
        return community.auth_headers(
            account, server_pk, "GET", path, None, nonce=nonce, timestamp_s=1, mode=mode
        )

    assert headers()["X-SOGS-Timestamp"] == "1"
    with pytest.raises(InvalidLength, match="nonce"):
        headers(nonce=bytes(15))
    with pytest.raises(InvalidLength, match="X25519"):
        headers(server_pk=bytes(31))
    with pytest.raises(InvalidArgument, match="unknown mode"):
        headers(mode="blind")
    with pytest.raises(InvalidArgument, match="HTTP"):
        headers(path="/\ud800")


def test_ids_that_are_not_what_they_should_be_are_refused():
    account = Account.from_seed(bytes(16))
    key = community.blind25_key(account, SERVER_PK)
    with pytest.raises(InvalidId):
        community.unblind15(key.id, SERVER_PK)
    with pytest.raises(InvalidId):
        community.matches_blinded_id(account.account_id, account.account_id, SERVER_PK)
    with pytest.raises(InvalidArgument, match="no point"):
        community.unblind15("15" + "00" * 32, SERVER_PK)
    with pytest.raises(InvalidId):
        community.blind15_ids(key.id, SERVER_PK)
    assert key.scalar.hex() not in repr(key)


@given(sender=accounts, recipient=accounts, version=versions, message=messages, data=st.data())
def test_blinded_messages_reach_their_recipient_only(sender, recipient, version, message, data):
    sender_id = blinded_key(sender, SERVER_PK, version).id
    recipient_id = blinded_key(recipient, SERVER_PK, version).id
    ciphertext = blinded_messages.encrypt_blinded_message(sender, SERVER_PK, recipient_id, message)
    for reader in (sender, recipient):
        opened = blinded_messages.decrypt_blinded_message(
            reader, SERVER_PK, sender_id, recipient_id, ciphertext
        )
        assert (opened.message, opened.sender_account_id) == (message, sender.account_id)
    bit = data.draw(st.integers(0, 8 * len(ciphertext) - 1))
    broken = bytearray(ciphertext)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtocolError):
        blinded_messages.decrypt_blinded_message(recipient, SERVER_PK, sender_id, recipient_id, bytes(broken))
    with pytest.raises(InvalidLength):
        blinded_messages.decrypt_blinded_message(
            recipient, SERVER_PK, sender_id, recipient_id, ciphertext[:72]
        )
    stranger = Account.from_seed(b"a third person..")
    with pytest.raises(InvalidId):
        blinded_messages.decrypt_blinded_message(stranger, SERVER_PK, sender_id, recipient_id, ciphertext)


def test_a_blinded_message_that_names_another_sender_is_refused():
    """Whoever knows the shared secret could name anybody: the key inside must blind to the sender's id."""
    sender, recipient, other = (Account.from_seed(bytes([number]) * 16) for number in (1, 2, 3))
    recipient_id = community.blind15_key(recipient, SERVER_PK).id
    lying = Account(
        entropy=sender.entropy,
        ed25519_seed=sender.ed25519_seed,
        ed25519_pk=other.ed25519_pk,
        ed25519_sk=sender.ed25519_sk,
        x25519_pk=sender.x25519_pk,
        x25519_sk=sender.x25519_sk,
        account_id=sender.account_id,
    )
    ciphertext = blinded_messages.encrypt_blinded_message(lying, SERVER_PK, recipient_id, b"hello")
    sender_id = community.blind15_key(sender, SERVER_PK).id
    with pytest.raises(BadSignature, match="names"):
        blinded_messages.decrypt_blinded_message(recipient, SERVER_PK, sender_id, recipient_id, ciphertext)


def test_the_scalars_of_small_secrets_are_clamped():
    """An X25519 secret signs the same whether or not its fixed bits are set already."""
    raw = bytes([0xFF] * 32)
    public = nacl.bindings.crypto_scalarmult_base(raw)
    assert community.xed25519_verify(public, b"m", community.xed25519_sign(raw, b"m"), strict=True)
    with pytest.raises(InvalidLength):
        community.xed25519_sign(raw[:31], b"m")
