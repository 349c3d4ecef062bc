"""The session protocol, version 1: a signed message in an anonymous box (client-protocol §2.1)."""

import hashlib
from dataclasses import dataclass
from typing import Final

import nacl.bindings
import nacl.exceptions

from session_protocol.accounts import KEY_BYTES, SEED_BYTES, Account
from session_protocol.errors import DecryptFailed, InvalidArgument, InvalidLength
from session_protocol.primitives import SIGNATURE_BYTES, STRICT, Primitives

BOX_OVERHEAD: Final = 48
"""Ephemeral key and MAC of a sealed box."""

OVERHEAD: Final = BOX_OVERHEAD + KEY_BYTES + SIGNATURE_BYTES
"""Bytes that sealing adds: 144, and so the length of the shortest ciphertext."""

_NONCE_BYTES: Final = 24
_DETERMINISTIC_KEY: Final = b"SessionBoxEphemeralHashKey"


@dataclass(frozen=True, slots=True)
class Opened:
    """A message and who provably wrote it to this recipient."""

    message: bytes
    sender_ed25519: bytes
    sender_account_id: str


def seal(
    sender: Account,
    recipient: bytes,
    message: bytes,
    *,
    ephemeral_seed: bytes | None = None,
    primitives: Primitives = STRICT,
) -> bytes:
    """Seal ``message`` for the X25519 key ``recipient`` (32 bytes); the result is 144 bytes longer.

    ``ephemeral_seed`` (32 bytes) fixes the ephemeral key, for reproducible results; without it libsodium
    draws one. Raises InvalidLength, or InvalidArgument for a recipient key of small order.
    """
    if len(recipient) != KEY_BYTES:
        raise InvalidLength(f"a recipient's X25519 key has {KEY_BYTES} bytes, not {len(recipient)}")
    body = bytes(message) + sender.ed25519_pk
    inner = body + primitives.sign(sender, body + recipient)
    try:
        if ephemeral_seed is None:
            return nacl.bindings.crypto_box_seal(inner, recipient)
        return seal_box(inner, recipient, ephemeral_seed)
    except nacl.exceptions.CryptoError:
        raise InvalidArgument("the recipient's X25519 key has small order: nobody can own it") from None


def seal_deterministic(
    sender: Account, recipient: bytes, message: bytes, *, primitives: Primitives = STRICT
) -> bytes:
    """Seal as :func:`seal` does, with an ephemeral key that follows from the input (client-protocol §2.1)."""
    source = sender.ed25519_seed + bytes(recipient) + bytes(message)
    seed = hashlib.blake2b(source, digest_size=SEED_BYTES, key=_DETERMINISTIC_KEY).digest()
    return seal(sender, recipient, message, ephemeral_seed=seed, primitives=primitives)


def open_sealed(recipient: Account, ciphertext: bytes, *, primitives: Primitives = STRICT) -> Opened:
    """Open what :func:`seal` made for this account and check who wrote it.

    Raises InvalidLength below 144 bytes, DecryptFailed when it is for another key or was changed,
    BadSignature when the sender inside did not sign this message for this recipient.
    """
    if len(ciphertext) < OVERHEAD:
        raise InvalidLength(f"a sealed message has at least {OVERHEAD} bytes, not {len(ciphertext)}")
    try:
        inner = nacl.bindings.crypto_box_seal_open(
            bytes(ciphertext), recipient.x25519_pk, recipient.x25519_sk
        )
    except nacl.exceptions.CryptoError:
        raise DecryptFailed("the ciphertext does not open with this account's key") from None
    body, signature = inner[:-SIGNATURE_BYTES], inner[-SIGNATURE_BYTES:]
    sender = body[-KEY_BYTES:]
    primitives.verify(sender, body + recipient.x25519_pk, signature)
    return Opened(
        message=body[:-KEY_BYTES], sender_ed25519=sender, sender_account_id=primitives.account_id(sender)
    )


def seal_box(inner: bytes, recipient: bytes, ephemeral_seed: bytes) -> bytes:
    """Make the anonymous sealed box of libsodium with the ephemeral key of a seed (32 bytes).

    Raises InvalidLength for another seed, and nacl's CryptoError for a recipient key of small order.
    """
    if len(ephemeral_seed) != SEED_BYTES:
        raise InvalidLength(f"an ephemeral seed has {SEED_BYTES} bytes, not {len(ephemeral_seed)}")
    public, secret = nacl.bindings.crypto_box_seed_keypair(ephemeral_seed)
    nonce = hashlib.blake2b(public + recipient, digest_size=_NONCE_BYTES).digest()
    return public + nacl.bindings.crypto_box(inner, nonce, recipient, secret)
