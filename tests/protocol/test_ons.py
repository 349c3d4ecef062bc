"""Registered names: hash, value, and what opens it (network §3.2)."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_protocol import ons
from session_protocol.accounts import Account
from session_protocol.errors import DecryptFailed, InvalidId, InvalidLength

ACCOUNT_ID = Account.from_seed(bytes(range(16))).account_id
NONCE = bytes(range(24))


def test_the_hash_of_a_name() -> None:
    assert ons.name_hash("Alice") == hashlib.blake2b(b"alice", digest_size=32).digest()


@given(
    name=st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1),
    nonce=st.binary(min_size=24, max_size=24),
)
def test_a_value_opens_with_its_name_in_any_case(name: str, nonce: bytes) -> None:
    value = ons.encrypt_account_id(name, ACCOUNT_ID, nonce)
    assert len(value) == 33 + 16
    assert ons.decrypt_account_id(name.upper(), value, nonce) == ACCOUNT_ID
    with pytest.raises(DecryptFailed):
        ons.decrypt_account_id(name + "x", value, nonce)


def test_what_is_refused() -> None:
    with pytest.raises(InvalidLength, match="not 12"):
        ons.encrypt_account_id("alice", ACCOUNT_ID, bytes(12))
    with pytest.raises(InvalidId):
        ons.encrypt_account_id("alice", "05ab", NONCE)
    with pytest.raises(DecryptFailed):
        ons.decrypt_account_id("alice", b"short", NONCE)
