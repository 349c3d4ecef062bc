"""Plain Ed25519 signatures, as every part of the network checks them (storage-rpc §6.1)."""

import nacl.bindings
import nacl.exceptions

from session_protocol.errors import BadSignature, InvalidLength

PUBLIC_KEY_BYTES = 32
SECRET_KEY_BYTES = 64
SIGNATURE_BYTES = 64


def sign_detached(secret_key: bytes, message: bytes) -> bytes:
    """Sign with a 64-byte secret key (seed ‖ public key); return the 64 bytes. Raise InvalidLength."""
    if len(secret_key) != SECRET_KEY_BYTES:
        raise InvalidLength(f"an Ed25519 secret key has {SECRET_KEY_BYTES} bytes, not {len(secret_key)}")
    return nacl.bindings.crypto_sign(message, secret_key)[:SIGNATURE_BYTES]


def verify_detached(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Raise BadSignature unless the owner of ``public_key`` signed ``message``.

    libsodium's rules: no small-order or non-canonical key, no small-order R, s below the group order.
    """
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise BadSignature(f"a key has 32 bytes, not {len(public_key)}; a signature 64, not {len(signature)}")
    try:
        nacl.bindings.crypto_sign_open(signature + message, public_key)
    except nacl.exceptions.BadSignatureError:
        raise BadSignature(f"signature is not one of key {public_key.hex()} over these bytes") from None
