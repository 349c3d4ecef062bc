"""Arithmetic with scalars and points of Ed25519, over libsodium; all numbers little endian, 32 bytes.

Scalars are residues modulo the group order; ``reduce`` makes one of up to 64 bytes.
"""

import nacl.bindings
import nacl.exceptions

from session_protocol.errors import InvalidArgument

_SIGN_BIT = 0x80
_WIDE_BYTES = 64


def clamp(secret: bytes) -> bytes:
    """Return 32 bytes as the scalar that X25519 and Ed25519 use for them, not reduced."""
    return bytes([secret[0] & 0xF8, *secret[1:31], secret[31] & 0x7F | 0x40])


def reduce(number: bytes) -> bytes:
    """Return a number of up to 64 bytes modulo the group order."""
    return nacl.bindings.crypto_core_ed25519_scalar_reduce(number.ljust(_WIDE_BYTES, b"\x00"))


def negate(scalar: bytes) -> bytes:
    """Return the scalar that adds to zero with this one."""
    return nacl.bindings.crypto_core_ed25519_scalar_negate(scalar)


def invert(scalar: bytes) -> bytes:
    """Return the scalar that multiplies to one with this one."""
    return nacl.bindings.crypto_core_ed25519_scalar_invert(scalar)


def multiply(first: bytes, second: bytes) -> bytes:
    """Return the product of two scalars."""
    return nacl.bindings.crypto_core_ed25519_scalar_mul(first, second)


def multiply_add(first: bytes, second: bytes, third: bytes) -> bytes:
    """Return ``first`` times ``second`` plus ``third``: the last step of a signature."""
    return nacl.bindings.crypto_core_ed25519_scalar_add(multiply(first, second), third)


def times_base(scalar: bytes) -> bytes:
    """Return the point ``scalar`` times the base point."""
    return nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(scalar)


def times_point(scalar: bytes, point: bytes) -> bytes:
    """Return ``scalar`` times a point. Raise InvalidArgument for what is no point of the main subgroup."""
    try:
        return nacl.bindings.crypto_scalarmult_ed25519_noclamp(scalar, point)
    except nacl.exceptions.CryptoError:
        raise InvalidArgument(f"{point.hex()} is no point of the main subgroup of Ed25519") from None


def is_negative(point: bytes) -> bool:
    """Tell whether the sign bit, the top bit of the last byte, is set."""
    return point[-1] & _SIGN_BIT != 0


def with_sign(point: bytes, *, negative: bool) -> bytes:
    """Return the same bytes with the sign bit set or cleared."""
    return point[:-1] + bytes([point[-1] & ~_SIGN_BIT | (_SIGN_BIT if negative else 0)])
