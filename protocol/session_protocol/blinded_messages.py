"""Direct messages through a community server, between blinded ids (client-protocol §8.4)."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

import nacl.bindings
import nacl.exceptions

from session_protocol.accounts import Account, account_bytes, account_id_from_ed25519
from session_protocol.blinding import blind15_key, blind25_key, matches_blinded_id
from session_protocol.errors import (
    BadSignature,
    DecryptFailed,
    InvalidId,
    InvalidLength,
    ProtocolError,
    UnsupportedVersion,
)
from session_protocol.scalars import reduce, times_point

_VERSION = b"\x00"
_KEY_BYTES = 32
_NONCE_BYTES = 24
_TAG_BYTES = 16
_OVERHEAD = len(_VERSION) + _KEY_BYTES + _TAG_BYTES + _NONCE_BYTES


@dataclass(frozen=True, slots=True)
class OpenedBlindedMessage:
    """What was sent, padding included, and the account that the sender's blinded id turned out to be."""

    message: bytes
    sender_account_id: str


def encrypt_blinded_message(
    sender: Account,
    server_pk: bytes,
    recipient_blinded_id: str,
    message: bytes,
    *,
    nonce: bytes | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Encrypt a padded message to a blinded id, from the sender's blinded id of the same version.

    ``server_pk`` has 32 bytes, ``nonce`` 24. Raise InvalidId, InvalidLength, or InvalidArgument for an id
    that is no point of the curve.
    """
    nonce = random_bytes(_NONCE_BYTES) if nonce is None else nonce
    if len(nonce) != _NONCE_BYTES:
        raise InvalidLength(f"a nonce has {_NONCE_BYTES} bytes, not {len(nonce)}")
    own_id, secret = _own_half(sender, server_pk, recipient_blinded_id)
    key = _shared_key(secret, recipient_blinded_id, own_id, recipient_blinded_id)
    ciphertext = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        message + sender.ed25519_pk, None, nonce, key
    )
    return _VERSION + ciphertext + nonce


def decrypt_blinded_message(
    reader: Account, server_pk: bytes, sender_blinded_id: str, recipient_blinded_id: str, ciphertext: bytes
) -> OpenedBlindedMessage:
    """Decrypt a message as its recipient, or as its sender (the copy in the outbox).

    Raise InvalidLength, UnsupportedVersion, DecryptFailed, BadSignature when the key inside is not the
    sender's, or InvalidId for ids that are not blinded or of which none is the reader's.
    """
    if len(ciphertext) < _OVERHEAD:
        raise InvalidLength(f"a blinded message has at least {_OVERHEAD} bytes, not {len(ciphertext)}")
    if ciphertext[:1] != _VERSION:
        raise UnsupportedVersion(f"blinded messages of version {ciphertext[0]} are unknown")
    own_id, secret = _own_half(reader, server_pk, recipient_blinded_id)
    ids = (sender_blinded_id.lower(), recipient_blinded_id.lower())
    if own_id not in ids:
        raise InvalidId("neither the sender nor the recipient is the reader's blinded id on this server")
    other_id = ids[0] if own_id == ids[1] else ids[1]
    key = _shared_key(secret, other_id, *ids)
    try:
        plaintext = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            ciphertext[1:-_NONCE_BYTES], None, ciphertext[-_NONCE_BYTES:], key
        )
    except nacl.exceptions.CryptoError:
        raise DecryptFailed("the blinded message does not open with this key") from None
    message, sender_key = plaintext[:-_KEY_BYTES], plaintext[-_KEY_BYTES:]
    try:
        account_id = account_id_from_ed25519(sender_key)
        genuine = matches_blinded_id(account_id, sender_blinded_id, server_pk)
    except ProtocolError as error:
        raise BadSignature(f"the message names no possible sender: {error}") from None
    if not genuine:
        raise BadSignature(f"the message names {account_id}, whose blinded id is not the sender's")
    return OpenedBlindedMessage(message, account_id)


def _own_half(account: Account, server_pk: bytes, other_id: str) -> tuple[str, bytes]:
    """Return the account's id of the version of ``other_id``, and the scalar that meets the other's point."""
    version = account_bytes(other_id)[0]
    if version == 0x15:
        # The recipient's point is blinded already by the server's one factor: the plain scalar meets it.
        return blind15_key(account, server_pk).id, reduce(account.x25519_sk)
    if version == 0x25:
        key = blind25_key(account, server_pk)
        return key.id, key.scalar
    raise InvalidId(f"a blinded id begins with 15 or 25, not {version:02x}")


def _shared_key(secret: bytes, other_id: str, sender_id: str, recipient_id: str) -> bytes:
    meeting = times_point(secret, account_bytes(other_id)[1:])
    ids = account_bytes(sender_id)[1:] + account_bytes(recipient_id)[1:]
    return hashlib.blake2b(meeting + ids, digest_size=_KEY_BYTES).digest()
