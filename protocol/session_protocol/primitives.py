"""The two routes to Ed25519: libsodium, the judge; and OpenSSL where it is faster (performance §§4, 5)."""

from collections.abc import MutableMapping
from functools import lru_cache
from typing import Final, Protocol

import nacl.bindings
import nacl.exceptions
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from session_protocol.accounts import Account, account_id_from_ed25519
from session_protocol.errors import BadSignature, ProtocolError

SIGNATURE_BYTES: Final = 64

# Where OpenSSL's faster SHA-512 makes up for its slower curve arithmetic (performance §§2, 5).
OPENSSL_SIGNS_FROM_BYTES: Final = 6_000
OPENSSL_VERIFIES_FROM_BYTES: Final = 48_000
KEPT_SIGNING_KEYS: Final = 64


class Primitives(Protocol):
    """What sealing needs of Ed25519."""

    def sign(self, account: Account, message: bytes) -> bytes:
        """Return the account's signature (64 bytes)."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Raise BadSignature unless the owner of the 32-byte key made the 64-byte signature."""

    def account_id(self, ed25519_pk: bytes) -> str:
        """Return the Account ID of a key; BadSignature for a key that can belong to no account."""


class _Libsodium:
    """libsodium throughout: refuses keys and R of small order, non-canonical encodings and large s."""

    def sign(self, account: Account, message: bytes) -> bytes:
        return nacl.bindings.crypto_sign(message, account.ed25519_sk)[:SIGNATURE_BYTES]

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        try:
            nacl.bindings.crypto_sign_open(signature + message, public_key)
        except (nacl.exceptions.CryptoError, ValueError):
            raise BadSignature("the claimed sender did not sign this message for this recipient") from None

    def account_id(self, ed25519_pk: bytes) -> str:
        try:
            return account_id_from_ed25519(ed25519_pk)
        except ProtocolError:
            raise BadSignature("the sender's key can belong to no account") from None


STRICT: Final[Primitives] = _Libsodium()
"""The rules of libsodium, whatever the size: what a judge and every ordinary caller uses."""


class FastPrimitives(_Libsodium):
    """Use OpenSSL for big messages and remember Account IDs in ``sender_ids`` (key, Account ID).

    For load generators: OpenSSL may judge malformed keys and signatures differently from libsodium. The
    mapping belongs to the caller, who bounds it; an entry is made only for a key that has signed something.
    """

    def __init__(self, sender_ids: MutableMapping[bytes, str]) -> None:
        self._sender_ids = sender_ids
        self._signing_key = lru_cache(KEPT_SIGNING_KEYS)(Ed25519PrivateKey.from_private_bytes)

    def sign(self, account: Account, message: bytes) -> bytes:
        """Sign with the faster of the two; both give the same 64 bytes."""
        if len(message) < OPENSSL_SIGNS_FROM_BYTES:
            return super().sign(account, message)
        return self._signing_key(account.ed25519_seed).sign(message)

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Verify with the faster of the two; raise BadSignature."""
        if len(message) < OPENSSL_VERIFIES_FROM_BYTES:
            super().verify(public_key, message, signature)
            return
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise BadSignature("the claimed sender did not sign this message for this recipient") from None

    def account_id(self, ed25519_pk: bytes) -> str:
        """Return the Account ID, from the cache when this key was seen; raise BadSignature."""
        known = self._sender_ids.get(ed25519_pk)
        if known is None:
            known = self._sender_ids[ed25519_pk] = super().account_id(ed25519_pk)
        return known
