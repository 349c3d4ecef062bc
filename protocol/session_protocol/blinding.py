"""Blinded ids: one name for each community server, that does not show the account (open-group-server §4)."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from session_protocol.accounts import (
    Account,
    account_bytes,
    account_id_from_ed25519,
    parse_account_id,
    x25519_pk_to_ed25519,
)
from session_protocol.errors import InvalidId, InvalidLength
from session_protocol.scalars import (
    invert,
    is_negative,
    multiply,
    multiply_add,
    negate,
    reduce,
    times_base,
    times_point,
    with_sign,
)

_KEY_BYTES = 32
_PREFIX15 = "15"
_PREFIX25 = "25"
_STANDARD_PREFIX = b"\x05"
_SEED_KEY25 = b"SessCommBlind25_seed"
_SIGNATURE_KEY25 = b"SessCommBlind25_sig"


class NonceRule(StrEnum):
    """What version 15 signatures hash for their nonce; both rules are in use, and both verify (§4.2)."""

    SEED = "seed"
    """The 32-byte seed: Desktop."""
    EXPANDED = "expanded"
    """The 64-byte secret key: mobile clients."""


@dataclass(frozen=True, slots=True)
class BlindedKey:
    """An account's key pair on one server: the id, its point, and secrets that stay out of ``repr``."""

    id: str
    public: bytes
    scalar: bytes = field(repr=False)
    nonce_secret: bytes = field(repr=False)


def blind15_factor(server_pk: bytes) -> bytes:
    """Return the scalar of version 15, the same for all accounts of a server. Raise InvalidLength."""
    return reduce(hashlib.blake2b(_server_key(server_pk)).digest())


def blind25_factor(account_id: str, server_pk: bytes) -> bytes:
    """Return the scalar that blinds one account on one server. Raise InvalidId, InvalidLength."""
    key = parse_account_id(account_id)
    return reduce(hashlib.blake2b(_STANDARD_PREFIX + key + _server_key(server_pk)).digest())


def blind15_key(account: Account, server_pk: bytes, *, nonce_rule: NonceRule = NonceRule.SEED) -> BlindedKey:
    """Derive an account's key pair of version 15. Raise InvalidLength for the server's key."""
    scalar = multiply(blind15_factor(server_pk), reduce(account.x25519_sk))
    public = times_base(scalar)
    hashed = account.ed25519_seed if nonce_rule is NonceRule.SEED else account.ed25519_sk
    return BlindedKey(_PREFIX15 + public.hex(), public, scalar, hashlib.sha512(hashed).digest()[32:])


def blind25_key(account: Account, server_pk: bytes) -> BlindedKey:
    """Derive an account's key pair of version 25. Raise InvalidLength for the server's key."""
    factor = blind25_factor(account.account_id, server_pk)
    # Others know the account's key without its sign, so the point must be the non-negative one's multiple.
    signed_factor = negate(factor) if is_negative(account.ed25519_pk) else factor
    scalar = multiply(signed_factor, reduce(account.x25519_sk))
    public = times_base(scalar)
    secret = hashlib.blake2b(account.ed25519_seed, key=_SEED_KEY25, digest_size=_KEY_BYTES).digest()
    return BlindedKey(_PREFIX25 + public.hex(), public, scalar, secret)


def blind15_ids(account_id: str, server_pk: bytes) -> tuple[str, str]:
    """Return the two ids of version 15 that an Account ID may have: exactly one is real.

    Raise InvalidId, InvalidLength, or InvalidArgument for an id whose key is no curve point.
    """
    point = times_point(blind15_factor(server_pk), x25519_pk_to_ed25519(parse_account_id(account_id)))
    other = with_sign(point, negative=not is_negative(point))
    return _PREFIX15 + point.hex(), _PREFIX15 + other.hex()


def blind25_id(account_id: str, server_pk: bytes) -> str:
    """Return the id of version 25 of an Account ID. Raise as ``blind15_ids``."""
    factor = blind25_factor(account_id, server_pk)
    return _PREFIX25 + times_point(factor, x25519_pk_to_ed25519(parse_account_id(account_id))).hex()


def unblind15(blinded_id: str, server_pk: bytes) -> str:
    """Return the Account ID behind an id of version 15, as whoever knows the server's key can compute.

    The point must be a real account's. Raise InvalidId, InvalidLength, InvalidArgument.
    """
    point = times_point(invert(blind15_factor(server_pk)), _point(blinded_id, _PREFIX15))
    return account_id_from_ed25519(point)


def matches_blinded_id(account_id: str, blinded_id: str, server_pk: bytes) -> bool:
    """Tell whether a blinded id, of version 15 or 25, may be this account's on this server (§4.4).

    Raise InvalidId for what is neither, InvalidLength for the server's key.
    """
    text = blinded_id.lower()
    prefix = account_bytes(text)[:1].hex()
    if prefix == _PREFIX15:
        return text in blind15_ids(account_id, server_pk)
    if prefix == _PREFIX25:
        return text == blind25_id(account_id, server_pk)
    raise InvalidId(f"a blinded id begins with 15 or 25, not {prefix}")


def blinded_sign(key: BlindedKey, message: bytes) -> bytes:
    """Sign with a blinded key; 64 bytes that plain Ed25519 verifies under ``key.public``."""
    hash_nonce: Callable[[bytes], bytes] = _nonce25 if key.id.startswith(_PREFIX25) else _nonce15
    nonce = reduce(hash_nonce(key.nonce_secret + key.public + message))
    commitment = times_base(nonce)
    challenge = reduce(hashlib.sha512(commitment + key.public + message).digest())
    return commitment + multiply_add(challenge, key.scalar, nonce)


def _nonce15(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def _nonce25(data: bytes) -> bytes:
    return hashlib.blake2b(data, key=_SIGNATURE_KEY25).digest()


def _server_key(server_pk: bytes) -> bytes:
    if len(server_pk) != _KEY_BYTES:
        raise InvalidLength(f"a server's X25519 key has {_KEY_BYTES} bytes, not {len(server_pk)}")
    return server_pk


def _point(blinded_id: str, prefix: str) -> bytes:
    raw = account_bytes(blinded_id)
    if raw[:1].hex() != prefix:
        raise InvalidId(f"a blinded id of version {prefix} begins with {prefix}, not {raw[:1].hex()}")
    return raw[1:]
