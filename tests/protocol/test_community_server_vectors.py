"""Computed numbers of community servers: ids, signatures, messages (open-group-server §§4, 9, 15)."""

import base64
import hashlib
import json
from pathlib import Path

import nacl.bindings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_protocol import blinding, onion, padding
from session_protocol.accounts import Account
from session_protocol.blinded_messages import decrypt_blinded_message, encrypt_blinded_message
from session_protocol.blinding import NonceRule
from session_protocol.community import verify_community_message
from session_protocol.ed25519 import verify_detached
from session_protocol.errors import ProtocolError
from session_protocol.padding import PaddingRule
from session_protocol.scalars import negate

VECTORS = json.loads((Path(__file__).parent / "data" / "community_server.json").read_text("utf-8"))


def rows(name):
    return pytest.mark.parametrize(
        "row", VECTORS[name], ids=[f"{name}-{index}" for index in range(len(VECTORS[name]))]
    )


def account(name):
    return Account.from_seed(bytes.fromhex(VECTORS["accounts"][name]["ed25519_seed"]))


def server_pk(row):
    return bytes.fromhex(VECTORS["servers"][row["server"]]["x25519_public"])


@pytest.mark.parametrize("name", VECTORS["accounts"])
def test_accounts(name):
    expected, found = VECTORS["accounts"][name], account(name)
    assert found.account_id == expected["session_id_05"]
    assert found.ed25519_pk.hex() == expected["ed25519_public"]
    assert found.x25519_pk.hex() == expected["x25519_public"]
    assert f"00{found.ed25519_pk.hex()}" == expected["unblinded_auth_pubkey_00"]


@rows("blind15")
def test_ids_of_version_15(row):
    key = blinding.blind15_key(account(row["account"]), server_pk(row))
    assert blinding.blind15_factor(server_pk(row)).hex() == row["k"]
    assert key.scalar.hex() == row["ka"]
    assert (key.public.hex(), key.id) == (row["kA"], row["blinded_id"])
    account_id = account(row["account"]).account_id
    candidates = blinding.blind15_ids(account_id, server_pk(row))
    assert list(candidates) == row["candidates_from_session_id"]
    assert candidates[row["which_candidate_is_real"]] == key.id
    assert row["positive_form_blinded_abs"] in candidates
    assert int(row["positive_form_blinded_abs"][64], 16) < 8
    # The two differ in one bit, and the way back leads to the account.
    assert int(candidates[0], 16) ^ int(candidates[1], 16) == 0x80
    assert blinding.unblind15(key.id, server_pk(row)) == account_id


@rows("blind25")
def test_ids_of_version_25(row):
    key = blinding.blind25_key(account(row["account"]), server_pk(row))
    factor = blinding.blind25_factor(account(row["account"]).account_id, server_pk(row))
    assert factor.hex() == row["k"]
    assert row["k_prime_sign_adjusted"] in (factor.hex(), negate(factor).hex())
    assert key.scalar.hex() == row["ka"]
    assert (key.public.hex(), key.id) == (row["kA"], row["blinded_id"])
    assert blinding.blind25_id(account(row["account"]).account_id, server_pk(row)) == key.id


@rows("blinded_signature")
def test_signatures(row):
    message = bytes.fromhex(row["message"])
    signer = account(row["account"])
    for rule, name in (
        (NonceRule.SEED, "blind15_sig_seed_variant"),
        (NonceRule.EXPANDED, "blind15_sig_sk64_variant"),
    ):
        key = blinding.blind15_key(signer, server_pk(row), nonce_rule=rule)
        assert blinding.blinded_sign(key, message).hex() == row[name]
        verify_detached(key.public, message, bytes.fromhex(row[name]))
    key = blinding.blind25_key(signer, server_pk(row))
    assert blinding.blinded_sign(key, message).hex() == row["blind25_sig"]
    verify_detached(key.public, message, bytes.fromhex(row["blind25_sig"]))


@rows("message_signature")
def test_signatures_of_messages(row):
    data, signature = base64.b64decode(row["data_base64"]), base64.b64decode(row["signature_base64"])
    genuine = verify_community_message(row["session_id"], data, signature)
    assert genuine == row["valid_for_signbit_tolerant_verifier"]
    assert not verify_community_message(row["session_id"], data + b"\x00", signature)


@rows("dm")
def test_direct_messages(row):
    sender, recipient = account(row["sender"]), account(row["recipient"])
    message, sealed = bytes.fromhex(row["message"]), base64.b64decode(row["data_base64"])
    assert (
        encrypt_blinded_message(
            sender, server_pk(row), row["recipient_id"], message, nonce=bytes.fromhex(row["nonce"])
        )
        == sealed
    )
    for reader in (sender, recipient):
        opened = decrypt_blinded_message(
            reader, server_pk(row), row["sender_id"], row["recipient_id"], sealed
        )
        assert (opened.message, opened.sender_account_id) == (message, sender.account_id)
    for name in VECTORS["accounts"]:
        if account(name) not in (sender, recipient):
            with pytest.raises(ProtocolError):
                decrypt_blinded_message(
                    account(name), server_pk(row), row["sender_id"], row["recipient_id"], sealed
                )


@rows("padding_current")
def test_padding_of_current_clients(row):
    message = bytes(range(1, 256)) * 2
    padded = padding.pad(message[: row["plain_length"]])
    assert len(padded) == row["padded_length"]
    tail = bytes.fromhex(row["first_padding_byte"]) + bytes(row["zero_bytes_after"])
    assert padded == message[: row["plain_length"]] + tail


@rows("padding_older")
def test_padding_of_older_clients(row):
    message = bytes(range(1, 256)) * 2
    padded = padding.pad(message[: row["plain_length"]], PaddingRule.LEGACY_159)
    assert len(padded) == row["padded_length"]
    # Only the beginning of a long tail is written out.
    tail = padded[row["plain_length"] :].hex()
    assert tail[:64] == row["padded_tail_from_plain_end"]
    assert set(tail[2:]) <= {"0"}


def test_the_answer_to_an_onion_request():
    answer = onion.decode_v4_response(VECTORS["onion_v4_reply_plaintext_example"].encode())
    assert (answer.code, answer.headers) == (200, {"content-type": "application/json"})
    assert json.loads(answer.body) == {"capabilities": ["blind", "reactions", "sogs"]}


@given(
    parts=st.lists(st.binary(max_size=40), max_size=3),
    size=st.integers(1, 64),
    key=st.binary(max_size=64),
    salt=st.binary(max_size=16),
    person=st.binary(max_size=16),
)
def test_hashes_are_those_of_libsodium(parts, size, key, salt, person):
    state = hashlib.blake2b(digest_size=size, key=key, salt=salt, person=person)
    for part in parts:
        state.update(part)
    assert state.digest() == nacl.bindings.crypto_generichash_blake2b_salt_personal(
        b"".join(parts), digest_size=size, key=key, salt=salt, person=person
    )
