"""Accounts and the ids that name them (client-protocol §§1.1, 1.2, 1.4)."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import nacl.bindings
import nacl.exceptions

from session_protocol import mnemonic
from session_protocol.errors import InvalidArgument, InvalidId, InvalidLength

ENTROPY_BYTES = 16
SEED_BYTES = 32
KEY_BYTES = 32
FIELD_PRIME = 2**255 - 19


class IdKind(StrEnum):
    """What a 66-digit id names, by its first byte (client-protocol §1.2)."""

    STANDARD = "standard"
    GROUP = "group"
    BLINDED15 = "blinded15"
    BLINDED25 = "blinded25"


_KINDS = {5: IdKind.STANDARD, 3: IdKind.GROUP, 0x15: IdKind.BLINDED15, 0x25: IdKind.BLINDED25}


@dataclass(frozen=True, slots=True)
class Account:
    """Hold the keys of an account, derived once; secrets stay out of its ``repr``.

    ``entropy`` is what the recovery password encodes: 16 bytes, or a whole 32-byte seed.
    """

    entropy: bytes = field(repr=False)
    ed25519_seed: bytes = field(repr=False)
    ed25519_pk: bytes = field(repr=False)
    ed25519_sk: bytes = field(repr=False)
    x25519_pk: bytes = field(repr=False)
    x25519_sk: bytes = field(repr=False)
    account_id: str

    @classmethod
    def from_seed(cls, seed: bytes) -> "Account":
        """Derive the account of 16 random bytes or of a whole 32-byte seed; otherwise InvalidLength."""
        if len(seed) not in (ENTROPY_BYTES, SEED_BYTES):
            raise InvalidLength(f"a seed has {ENTROPY_BYTES} or {SEED_BYTES} bytes, not {len(seed)}")
        whole = bytes(seed).ljust(SEED_BYTES, b"\x00")
        public, secret = nacl.bindings.crypto_sign_seed_keypair(whole)
        x25519_pk = nacl.bindings.crypto_sign_ed25519_pk_to_curve25519(public)
        return cls(
            entropy=bytes(seed),
            ed25519_seed=whole,
            ed25519_pk=public,
            ed25519_sk=secret,
            x25519_pk=x25519_pk,
            x25519_sk=nacl.bindings.crypto_sign_ed25519_sk_to_curve25519(secret),
            account_id=account_id_from_x25519(x25519_pk),
        )

    @classmethod
    def generate(cls, random_bytes: Callable[[int], bytes] = os.urandom) -> "Account":
        """Create an account from 16 bytes of ``random_bytes``."""
        return cls.from_seed(random_bytes(ENTROPY_BYTES))

    @classmethod
    def from_recovery_password(cls, words: str) -> "Account":
        """Restore an account from its recovery password; raises the mnemonic errors."""
        return cls.from_seed(mnemonic.decode(words))

    @property
    def recovery_password(self) -> str:
        """Return the words that restore this account."""
        return mnemonic.encode(self.entropy)


def id_kind(text: str) -> IdKind | None:
    """Return what ``text`` names, or None when it is no id: 66 hex digits of either case, a known prefix."""
    try:
        return _KINDS.get(account_bytes(text)[0])
    except InvalidId:
        return None


def account_bytes(text: str) -> bytes:
    """Return the 33 bytes of any 66-digit id, whatever its first byte; otherwise InvalidId."""
    # bytes.fromhex forgives white space: only pure ASCII digits of the right number may reach it.
    if not isinstance(text, str) or len(text) != 66 or not text.isascii() or not text.isalnum():
        raise InvalidId(f"an id has 66 hexadecimal digits: {text!r:.80}")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InvalidId(f"an id has 66 hexadecimal digits: {text!r:.80}") from None


def parse_account_id(text: str) -> bytes:
    """Return the X25519 key (32 bytes) of an Account ID; otherwise InvalidId."""
    raw = account_bytes(text)
    if raw[0] != 5:
        raise InvalidId(f"an Account ID begins with 05, this one with {raw[0]:02x}")
    return raw[1:]


def account_id_from_x25519(pk: bytes) -> str:
    """Return the Account ID of an X25519 key (32 bytes)."""
    if len(pk) != KEY_BYTES:
        raise InvalidLength(f"an X25519 key has {KEY_BYTES} bytes, not {len(pk)}")
    return "05" + bytes(pk).hex()


def account_id_from_ed25519(pk: bytes) -> str:
    """Return the Account ID of an Ed25519 key (32 bytes); raises as :func:`ed25519_pk_to_x25519`."""
    return account_id_from_x25519(ed25519_pk_to_x25519(pk))


def ed25519_pk_to_x25519(pk: bytes) -> bytes:
    """Convert an Ed25519 key to its X25519 twin; InvalidLength, or InvalidArgument for what is no key."""
    if len(pk) != KEY_BYTES:
        raise InvalidLength(f"an Ed25519 key has {KEY_BYTES} bytes, not {len(pk)}")
    try:
        return nacl.bindings.crypto_sign_ed25519_pk_to_curve25519(bytes(pk))
    except nacl.exceptions.CryptoError:
        # libsodium refuses what is not on the curve, of small order, or outside the main subgroup.
        raise InvalidArgument("these bytes are no Ed25519 key") from None


def x25519_pk_to_ed25519(pk: bytes) -> bytes:
    """Return the non-negative Ed25519 twin of an X25519 key (client-protocol §1.4)."""
    if len(pk) != KEY_BYTES:
        raise InvalidLength(f"an X25519 key has {KEY_BYTES} bytes, not {len(pk)}")
    u = (int.from_bytes(pk, "little") & (2**255 - 1)) % FIELD_PRIME
    if u == FIELD_PRIME - 1:
        raise InvalidArgument("this X25519 key has no Ed25519 twin")
    y = (u - 1) * pow(u + 1, -1, FIELD_PRIME) % FIELD_PRIME
    return y.to_bytes(KEY_BYTES, "little")
