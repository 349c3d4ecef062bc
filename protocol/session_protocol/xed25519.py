"""Signatures with X25519 keys, for community messages under an Account ID (client-protocol §1.4)."""

import hashlib
import os
from collections.abc import Callable

from session_protocol.accounts import x25519_pk_to_ed25519
from session_protocol.ed25519 import SIGNATURE_BYTES, verify_detached
from session_protocol.errors import InvalidLength, ProtocolError
from session_protocol.scalars import clamp, is_negative, multiply_add, negate, reduce, times_base, with_sign

_KEY_BYTES = 32
_SALT_BYTES = 64
_PERSON = b"xed25519signatur"


def xed25519_sign(
    x25519_sk: bytes, message: bytes, *, random_bytes: Callable[[int], bytes] = os.urandom
) -> bytes:
    """Sign with a 32-byte X25519 secret; the 64 bytes differ each time. Raise InvalidLength.

    The strict form: the signature verifies under the non-negative Ed25519 twin of the X25519 key.
    """
    if len(x25519_sk) != _KEY_BYTES:
        raise InvalidLength(f"an X25519 secret has {_KEY_BYTES} bytes, not {len(x25519_sk)}")
    scalar = reduce(clamp(x25519_sk))
    public = times_base(scalar)
    if is_negative(public):
        scalar, public = negate(scalar), with_sign(public, negative=False)
    hashed = hashlib.blake2b(scalar + message + random_bytes(_SALT_BYTES), person=_PERSON)
    nonce = reduce(hashed.digest())
    commitment = times_base(nonce)
    challenge = reduce(hashlib.sha512(commitment + public + message).digest())
    return commitment + multiply_add(challenge, scalar, nonce)


def xed25519_verify(x25519_pk: bytes, message: bytes, signature: bytes, *, strict: bool = False) -> bool:
    """Tell whether the owner of a 32-byte X25519 key signed; never raises.

    Some clients sign with the key as it is, and send its sign in the signature's top bit. That bit is
    respected, unless ``strict`` (open-group-server §9.7).
    """
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        public = x25519_pk_to_ed25519(x25519_pk)
        if not strict:
            public = with_sign(public, negative=is_negative(signature))
            signature = with_sign(signature, negative=False)
        verify_detached(public, message, signature)
    except ProtocolError:
        return False
    return True
