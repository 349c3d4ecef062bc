"""The encryption of one onion layer: agreement, key derivation, the two AEADs (onion-requests §1)."""

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum

import nacl.bindings
import nacl.exceptions
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from session_protocol.errors import DecryptFailed, InvalidArgument, InvalidLength, UnsupportedVersion

KEY_BYTES = 32
TAG_BYTES = 16
_AES_GCM_SALT = b"LOKI"


class EncryptionType(StrEnum):
    """An AEAD of onion layers, under the name that nodes give it between each other (onion-requests §1)."""

    AES_GCM = "aes-gcm"
    XCHACHA20 = "xchacha20"

    @property
    def nonce_bytes(self) -> int:
        """Return the size of the nonce that starts a blob."""
        return 12 if self is EncryptionType.AES_GCM else 24

    @property
    def overhead(self) -> int:
        """Return how many bytes a blob is longer than its plaintext."""
        return self.nonce_bytes + TAG_BYTES


DEFAULT_ENCRYPTION_TYPE = EncryptionType.AES_GCM
"""What a layer without the key ``enc_type`` is encrypted with."""

_NAMES = {
    "aes-gcm": EncryptionType.AES_GCM,
    "gcm": EncryptionType.AES_GCM,
    "xchacha20": EncryptionType.XCHACHA20,
    "xchacha20-poly1305": EncryptionType.XCHACHA20,
}


def parse_encryption_type(name: str | None) -> EncryptionType:
    """Read an ``enc_type`` or one of its aliases; ``None``, an absent key, means AES-GCM.

    Raise UnsupportedVersion for other names; the deprecated, unauthenticated ``aes-cbc`` is among them.
    """
    if name is None:
        return DEFAULT_ENCRYPTION_TYPE
    known = _NAMES.get(name)
    if known is None:
        raise UnsupportedVersion(f"unknown encryption type {name!r}: use one of {', '.join(sorted(_NAMES))}")
    return known


@dataclass(frozen=True, slots=True)
class ReplyKey:
    """The 32-byte key of one layer, that its answer is encrypted with too; both sides derive the same."""

    key: bytes = field(repr=False)
    enc_type: EncryptionType


def client_key(
    enc_type: EncryptionType, ephemeral_secret: bytes, ephemeral_public: bytes, node_public: bytes
) -> ReplyKey:
    """Derive a layer's key on the client's side; all keys are 32-byte X25519 keys.

    Raise InvalidLength for keys of another size, InvalidArgument for a node key of small order.
    """
    try:
        shared = _agree(ephemeral_secret, node_public)
    except nacl.exceptions.RuntimeError:
        raise InvalidArgument(f"X25519 key {node_public.hex()} has small order: no node owns it") from None
    return ReplyKey(_derive(enc_type, shared, ephemeral_public, node_public), enc_type)


def node_key(
    enc_type: EncryptionType, node_secret: bytes, node_public: bytes, ephemeral_public: bytes
) -> ReplyKey:
    """Derive a layer's key on the side of the node or server that the layer is encrypted to.

    Raise InvalidLength for keys of another size, DecryptFailed for an ephemeral key of small order.
    """
    try:
        shared = _agree(node_secret, ephemeral_public)
    except nacl.exceptions.RuntimeError:
        raise DecryptFailed(f"ephemeral key {ephemeral_public.hex()} has small order") from None
    return ReplyKey(_derive(enc_type, shared, ephemeral_public, node_public), enc_type)


def encrypt(key: ReplyKey, plaintext: bytes, nonce: bytes) -> bytes:
    """Encrypt to a blob: nonce ‖ ciphertext ‖ tag. Raise InvalidLength for a nonce of another size."""
    if len(nonce) != key.enc_type.nonce_bytes:
        raise InvalidLength(
            f"{key.enc_type} takes a nonce of {key.enc_type.nonce_bytes} bytes, not {len(nonce)}"
        )
    if key.enc_type is EncryptionType.AES_GCM:
        return nonce + AESGCM(key.key).encrypt(nonce, plaintext, None)
    return nonce + nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, None, nonce, key.key)


def decrypt(key: ReplyKey, blob: bytes | memoryview) -> bytes:
    """Decrypt a blob. Raise DecryptFailed when it is too short, damaged, or made with another key."""
    size = key.enc_type.nonce_bytes
    if len(blob) < key.enc_type.overhead:
        raise DecryptFailed(
            f"{len(blob)} bytes are less than the {key.enc_type.overhead} that {key.enc_type} adds"
        )
    # Without a copy: a blob may be a whole file.
    nonce, ciphertext = bytes(blob[:size]), memoryview(blob)[size:]
    try:
        if key.enc_type is EncryptionType.AES_GCM:
            return AESGCM(key.key).decrypt(nonce, ciphertext, None)
        return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            bytes(ciphertext), None, nonce, key.key
        )
    except (InvalidTag, nacl.exceptions.CryptoError):
        raise DecryptFailed(
            f"{key.enc_type} ciphertext of {len(blob)} bytes does not open with this key"
        ) from None


def _agree(secret: bytes, public: bytes) -> bytes:
    for name, key in (("secret", secret), ("public", public)):
        if len(key) != KEY_BYTES:
            raise InvalidLength(f"an X25519 {name} key has {KEY_BYTES} bytes, not {len(key)}")
    return nacl.bindings.crypto_scalarmult(secret, public)


def _derive(enc_type: EncryptionType, shared: bytes, ephemeral_public: bytes, node_public: bytes) -> bytes:
    if enc_type is EncryptionType.AES_GCM:
        return hmac.digest(_AES_GCM_SALT, shared, "sha256")
    # The client's key stands first in both directions, also when the node encrypts (onion-requests §1).
    return hashlib.blake2b(shared + ephemeral_public + node_public, digest_size=KEY_BYTES).digest()
