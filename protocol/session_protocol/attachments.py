"""Encryption of attachments and profile pictures, old and deterministic format (client-protocol §3)."""

import hashlib
import hmac
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import nacl.bindings as sodium
import nacl.exceptions
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from session_protocol.accounts import ENTROPY_BYTES, SEED_BYTES
from session_protocol.errors import (
    BadFormat,
    BadPadding,
    BadSignature,
    DecryptFailed,
    InvalidArgument,
    InvalidLength,
    TooLarge,
)

LEGACY_KEY_BYTES: Final = 64
LEGACY_MAX_BYTES: Final = 10_000_000
_LEGACY_MIN_BYTES: Final = 541
_GROWTH: Final = 1.05
_IV_BYTES: Final = 16
_MAC_BYTES: Final = 32
_BLOCK_BYTES: Final = 16

STREAM_KEY_BYTES: Final = 32
STREAM_MAX_BYTES: Final = 10_218_286
"""The largest file that the deterministic format takes without ``allow_large``."""

_STREAM_MARK: Final = b"S"
_STREAM_HEADER_BYTES: Final = sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_CHUNK_OVERHEAD: Final = sodium.crypto_secretstream_xchacha20poly1305_ABYTES
_CHUNK_BYTES: Final = 32_768
_SEALED_CHUNK_BYTES: Final = _CHUNK_BYTES + _CHUNK_OVERHEAD
_TAG_FINAL: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_TAG_MESSAGE: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_DOMAINS: Final = MappingProxyType({"attachment": b"SessionAttachmnt", "profile_pic": b"Session_Prof_Pic"})

PICTURE_KEY_BYTES: Final = 32
_PICTURE_IV_BYTES: Final = 12
_PICTURE_TAG_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class EncryptedAttachment:
    """A blob for the file server and what its pointer tells the recipient: key, SHA-256 of the blob, size."""

    blob: bytes = field(repr=False)
    key: bytes = field(repr=False)
    digest: bytes
    size: int


def legacy_padded_size(size: int) -> int:
    """Return what a file of ``size`` bytes is padded to: the next power of 1.05, at least 541 bytes."""
    if size < 0:
        raise InvalidArgument(f"a file cannot have {size} bytes")
    if size <= _LEGACY_MIN_BYTES:
        return _LEGACY_MIN_BYTES
    target = math.floor(_GROWTH ** math.ceil(math.log(size) / math.log(_GROWTH)))
    if size <= LEGACY_MAX_BYTES < target:
        return LEGACY_MAX_BYTES
    return max(size, target)


def encrypt_legacy(
    data: bytes,
    *,
    key: bytes | None = None,
    iv: bytes | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
    pad: bool = True,
) -> EncryptedAttachment:
    """Encrypt a file with AES-256-CBC and HMAC-SHA256 (client-protocol §3.1).

    ``key`` (64 bytes: AES key, MAC key) and ``iv`` (16 bytes) are drawn unless given; InvalidLength for
    other lengths.
    """
    key = _exactly(
        LEGACY_KEY_BYTES, random_bytes(LEGACY_KEY_BYTES) if key is None else key, "an attachment key"
    )
    iv = _exactly(_IV_BYTES, random_bytes(_IV_BYTES) if iv is None else iv, "an attachment IV")
    plain = bytes(data).ljust(legacy_padded_size(len(data)) if pad else 0, b"\x00")
    filling = _BLOCK_BYTES - len(plain) % _BLOCK_BYTES
    encryptor = Cipher(AES(key[:32]), CBC(iv)).encryptor()
    body = iv + encryptor.update(plain + bytes([filling]) * filling) + encryptor.finalize()
    blob = body + hmac.digest(key[32:], body, "sha256")
    return EncryptedAttachment(blob, key, hashlib.sha256(blob).digest(), len(data))


def decrypt_legacy(blob: bytes, key: bytes, digest: bytes, size: int) -> bytes:
    """Check and decrypt what :func:`encrypt_legacy` made; ``digest`` and ``size`` are the pointer's.

    Raises InvalidLength for a blob, key or digest of an impossible length, BadSignature for a wrong MAC,
    BadFormat for another digest or a size beyond the data, BadPadding for wrong PKCS#7.
    """
    _exactly(LEGACY_KEY_BYTES, key, "an attachment key")
    _exactly(hashlib.sha256().digest_size, digest, "an attachment digest")
    if len(blob) < _IV_BYTES + _BLOCK_BYTES + _MAC_BYTES or len(blob) % _BLOCK_BYTES:
        raise InvalidLength(f"{len(blob)} bytes cannot be an IV, whole blocks and a MAC")
    body, mac = blob[:-_MAC_BYTES], blob[-_MAC_BYTES:]
    if not hmac.compare_digest(hmac.digest(key[32:], body, "sha256"), mac):
        raise BadSignature("the attachment's MAC does not fit its key")
    if not hmac.compare_digest(hashlib.sha256(blob).digest(), digest):
        raise BadFormat("the attachment is not the one that the digest names")
    decryptor = Cipher(AES(key[:32]), CBC(body[:_IV_BYTES])).decryptor()
    filled = decryptor.update(body[_IV_BYTES:]) + decryptor.finalize()
    filling = filled[-1]
    if not 1 <= filling <= _BLOCK_BYTES or filled[-filling:] != bytes([filling]) * filling:
        raise BadPadding("the attachment does not end in PKCS#7 padding")
    if not 0 <= size <= len(filled) - filling:
        raise BadFormat(f"the pointer promises {size} bytes, the attachment holds {len(filled) - filling}")
    return filled[:size]


def encrypt_stream(
    seed: bytes, data: bytes, domain: str = "attachment", *, allow_large: bool = False
) -> tuple[bytes, bytes]:
    """Encrypt a file so that one account gets one blob for it (client-protocol §3.3); return blob and key.

    ``seed`` is the account's: 16 or 32 bytes, or the 64-byte secret key; ``domain`` is ``attachment`` or
    ``profile_pic``. Raises TooLarge above 10 218 286 bytes unless ``allow_large``.
    """
    if len(seed) not in (ENTROPY_BYTES, SEED_BYTES, 2 * SEED_BYTES):
        raise InvalidLength(f"a seed has 16, 32 or 64 bytes, not {len(seed)}")
    if domain not in _DOMAINS:
        raise InvalidArgument(f"domain must be one of {', '.join(_DOMAINS)}, not {domain!r:.40}")
    padding = _stream_padding(len(data), allow_large=allow_large)
    derived = hashlib.blake2b(
        data,
        digest_size=_STREAM_HEADER_BYTES + STREAM_KEY_BYTES,
        key=bytes(seed[:SEED_BYTES]).ljust(SEED_BYTES, b"\x00"),
        person=_DOMAINS[domain],
    ).digest()
    header, key = derived[:_STREAM_HEADER_BYTES], derived[_STREAM_HEADER_BYTES:]
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    # A pushing state equals the pulling one of the same header and key; only the latter takes a header.
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    plain = b"\x00" * (padding - 1) + b"\x01" + bytes(data)
    parts = [_STREAM_MARK, header]
    for chunk, last in _chunks(plain, _CHUNK_BYTES):
        tag = _TAG_FINAL if last else _TAG_MESSAGE
        parts.append(sodium.crypto_secretstream_xchacha20poly1305_push(state, chunk, tag=tag))
    return b"".join(parts), key


def decrypt_stream(blob: bytes, key: bytes) -> bytes:
    """Decrypt what :func:`encrypt_stream` made.

    Raises InvalidLength for a blob or key of an impossible length, BadFormat for another format,
    DecryptFailed when a part was changed, is missing or was added, BadPadding when the padding has no end.
    """
    _exactly(STREAM_KEY_BYTES, key, "an attachment key of the stream format")
    start = len(_STREAM_MARK) + _STREAM_HEADER_BYTES
    if len(blob) <= start + _CHUNK_OVERHEAD:
        raise InvalidLength(f"a stream has more than {start + _CHUNK_OVERHEAD} bytes, not {len(blob)}")
    if blob[:1] != _STREAM_MARK:
        raise BadFormat(f"a stream begins with the letter S, this blob with {blob[:1]!r}")
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, bytes(blob[1:start]), key)
    parts = []
    for chunk, last in _chunks(bytes(blob[start:]), _SEALED_CHUNK_BYTES):
        if len(chunk) < _CHUNK_OVERHEAD:
            raise DecryptFailed("the stream ends inside a chunk")
        try:
            part, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(state, chunk)
        except nacl.exceptions.CryptoError:
            raise DecryptFailed("a chunk of the stream does not open with this key") from None
        if (tag == _TAG_FINAL) is not last:
            raise DecryptFailed("the stream was cut short" if last else "the stream goes on after its end")
        parts.append(part)
    plain = b"".join(parts).lstrip(b"\x00")
    if not plain.startswith(b"\x01"):
        raise BadPadding("the stream's padding does not end in the byte 0x01")
    return plain[1:]


def stream_blob_size(size: int, *, allow_large: bool = False) -> int:
    """Return the size of the blob that :func:`encrypt_stream` makes of ``size`` bytes; raise TooLarge."""
    plain = size + _stream_padding(size, allow_large=allow_large)
    return len(_STREAM_MARK) + _STREAM_HEADER_BYTES + plain + -(-plain // _CHUNK_BYTES) * _CHUNK_OVERHEAD


def encrypt_profile_picture(
    data: bytes,
    key: bytes,
    *,
    iv: bytes | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Encrypt a picture with AES-256-GCM under the 32-byte profile key (client-protocol §3.2)."""
    _exactly(PICTURE_KEY_BYTES, key, "a profile key")
    iv = _exactly(_PICTURE_IV_BYTES, random_bytes(_PICTURE_IV_BYTES) if iv is None else iv, "a picture's IV")
    return iv + AESGCM(key).encrypt(iv, bytes(data), None)


def decrypt_profile_picture(blob: bytes, key: bytes) -> bytes:
    """Decrypt what :func:`encrypt_profile_picture` made; InvalidLength or DecryptFailed."""
    _exactly(PICTURE_KEY_BYTES, key, "a profile key")
    if len(blob) < _PICTURE_IV_BYTES + _PICTURE_TAG_BYTES:
        raise InvalidLength(f"an encrypted picture has at least 28 bytes, not {len(blob)}")
    try:
        return AESGCM(key).decrypt(bytes(blob[:_PICTURE_IV_BYTES]), bytes(blob[_PICTURE_IV_BYTES:]), None)
    except InvalidTag:
        raise DecryptFailed("the picture does not open with this profile key") from None


def _stream_padding(size: int, *, allow_large: bool) -> int:
    """Return how many padding bytes, the marker included, bring the blob to its rounded size."""
    if size < 0:
        raise InvalidArgument(f"a file cannot have {size} bytes")
    if size > STREAM_MAX_BYTES and not allow_large:
        raise TooLarge(f"the file has {size} bytes, the limit is {STREAM_MAX_BYTES}")
    chunks = -(-size // _CHUNK_BYTES)
    sealed = len(_STREAM_MARK) + _STREAM_HEADER_BYTES + 1 + size + _CHUNK_OVERHEAD * chunks
    # Sizes are rounded to 1/32 of the power of two below them, and to no less than 4096.
    step = (1 << max(sealed, 131_072).bit_length() - 1) // 32
    padding = -sealed % step + 1
    # Padding that spills into further chunks pays for their overhead itself.
    overhead = _CHUNK_OVERHEAD * (padding // _SEALED_CHUNK_BYTES)
    if padding % _SEALED_CHUNK_BYTES > _CHUNK_BYTES * chunks - size:
        overhead += _CHUNK_OVERHEAD
    return padding - overhead


def _chunks(data: bytes, size: int) -> Iterator[tuple[bytes, bool]]:
    """Cut ``data`` into chunks of ``size`` bytes and tell which is the last."""
    for start in range(0, len(data), size):
        yield data[start : start + size], start + size >= len(data)


def _exactly(length: int, value: bytes, what: str) -> bytes:
    if len(value) != length:
        raise InvalidLength(f"{what} has {length} bytes, not {len(value)}")
    return bytes(value)
