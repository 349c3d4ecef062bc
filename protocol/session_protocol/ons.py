"""Registered names: what the chain keeps of a name, and the Account ID hidden in it (network §3.2)."""

import hashlib

import nacl.bindings
import nacl.exceptions

from session_protocol.accounts import account_bytes
from session_protocol.errors import DecryptFailed, InvalidLength

NONCE_BYTES = 24
_HASH_BYTES = 32


def name_hash(name: str) -> bytes:
    """Return the 32 bytes under which a name is registered; its case does not count."""
    return hashlib.blake2b(name.lower().encode(), digest_size=_HASH_BYTES).digest()


def encrypt_account_id(name: str, account_id: str, nonce: bytes) -> bytes:
    """Return the value that a name resolves to, readable only to those who know the name.

    Raise InvalidId for what is no Account ID, InvalidLength for a nonce that has not 24 bytes.
    """
    _check_nonce(nonce)
    return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        account_bytes(account_id), None, nonce, _value_key(name)
    )


def decrypt_account_id(name: str, value: bytes, nonce: bytes) -> str:
    """Return the Account ID in a value. Raise DecryptFailed, or InvalidLength for a bad nonce."""
    _check_nonce(nonce)
    try:
        return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            value, None, nonce, _value_key(name)
        ).hex()
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise DecryptFailed(f"the value is not that of the name {name!r}") from error


def _value_key(name: str) -> bytes:
    return hashlib.blake2b(name.lower().encode(), key=name_hash(name), digest_size=_HASH_BYTES).digest()


def _check_nonce(nonce: bytes) -> None:
    if len(nonce) != NONCE_BYTES:
        raise InvalidLength(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
