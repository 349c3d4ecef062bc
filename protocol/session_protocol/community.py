"""Community servers: how a client signs its requests and its messages (open-group-server §§5, 9.7)."""

import base64
import hashlib
import os
from collections.abc import Callable
from typing import Literal, TypeAlias
from urllib.parse import unquote_to_bytes

from session_protocol.accounts import Account, account_bytes
from session_protocol.blinding import (
    BlindedKey,
    NonceRule,
    blind15_factor,
    blind15_ids,
    blind15_key,
    blind25_factor,
    blind25_id,
    blind25_key,
    blinded_sign,
    matches_blinded_id,
    unblind15,
)
from session_protocol.ed25519 import sign_detached, verify_detached
from session_protocol.errors import InvalidArgument, InvalidLength, ProtocolError
from session_protocol.xed25519 import xed25519_sign, xed25519_verify

__all__ = [
    "AuthMode",
    "BlindedKey",
    "NonceRule",
    "auth_headers",
    "blind15_factor",
    "blind15_ids",
    "blind15_key",
    "blind25_factor",
    "blind25_id",
    "blind25_key",
    "blinded_sign",
    "matches_blinded_id",
    "request_signature_payload",
    "sign_community_message",
    "unblind15",
    "verify_community_message",
    "xed25519_sign",
    "xed25519_verify",
]

AuthMode: TypeAlias = Literal["unblinded", "blinded15", "blinded25"]
"""Under which id a request is made; no current client uses ``blinded25`` (open-group-server §23)."""

NONCE_BYTES = 16
_SERVER_KEY_BYTES = 32
_UNBLINDED_PREFIX = "00"
_STANDARD_PREFIX = 0x05
_BLINDED_PREFIXES = (0x15, 0x25)


def request_signature_payload(
    server_pk: bytes,
    nonce: bytes,
    timestamp_s: int | str,
    method: str,
    path_with_query: str,
    body: bytes | None,
) -> bytes:
    """Return the bytes that the signature of a request covers (open-group-server §5.2).

    ``timestamp_s`` are seconds, as an integer or exactly as the header has them. The path is signed
    percent-decoded, the query as sent, and an empty query or body not at all. Raise InvalidLength for a
    server key that has not 32 bytes, or a nonce that has not 16; InvalidArgument for text that HTTP
    cannot carry.
    """
    if len(server_pk) != _SERVER_KEY_BYTES:
        raise InvalidLength(f"a server's X25519 key has {_SERVER_KEY_BYTES} bytes, not {len(server_pk)}")
    if len(nonce) != NONCE_BYTES:
        raise InvalidLength(f"a request nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    path, _, query = path_with_query.partition("?")
    try:
        covered = (
            server_pk,
            nonce,
            str(timestamp_s).encode("ascii"),
            method.upper().encode("ascii"),
            unquote_to_bytes(path),
            f"?{query}".encode() if query else b"",
            hashlib.blake2b(body).digest() if body else b"",
        )
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"the request cannot be written in HTTP: {error}") from None
    return b"".join(covered)


def auth_headers(
    account: Account,
    server_pk: bytes,
    method: str,
    path: str,
    body: bytes | None,
    *,
    nonce: bytes,
    timestamp_s: int,
    mode: AuthMode = "blinded15",
    nonce_rule: NonceRule = NonceRule.SEED,
) -> dict[str, str]:
    """Return the four ``X-SOGS-*`` headers that authenticate a request; ``path`` includes its query.

    ``nonce`` are 16 bytes that were never used before. Raise as ``request_signature_payload``.
    """
    payload = request_signature_payload(server_pk, nonce, timestamp_s, method, path, body)
    match mode:
        case "unblinded":
            identity = _UNBLINDED_PREFIX + account.ed25519_pk.hex()
            signature = sign_detached(account.ed25519_sk, payload)
        case "blinded15" | "blinded25":
            key = (
                blind15_key(account, server_pk, nonce_rule=nonce_rule)
                if mode == "blinded15"
                else blind25_key(account, server_pk)
            )
            identity, signature = key.id, blinded_sign(key, payload)
        case _:
            raise InvalidArgument(f"unknown mode {mode!r}: use unblinded, blinded15 or blinded25")
    return {
        "X-SOGS-Pubkey": identity,
        "X-SOGS-Nonce": base64.b64encode(nonce).decode(),
        "X-SOGS-Timestamp": str(timestamp_s),
        "X-SOGS-Signature": base64.b64encode(signature).decode(),
    }


def sign_community_message(
    account: Account,
    server_pk: bytes,
    data: bytes,
    blinded: bool,
    *,
    nonce_rule: NonceRule = NonceRule.SEED,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Sign a message as posted, padding included: with the blinded key, or in strict XEd25519."""
    if blinded:
        return blinded_sign(blind15_key(account, server_pk, nonce_rule=nonce_rule), data)
    return xed25519_sign(account.x25519_sk, data, random_bytes=random_bytes)


def verify_community_message(poster_id: str, data: bytes, signature: bytes) -> bool:
    """Tell whether the poster that a server names signed these posted bytes; never raises.

    Blinded ids verify with plain Ed25519; Account IDs with XEd25519 in both forms that clients send.
    Nobody can sign as anything else.
    """
    try:
        raw = account_bytes(poster_id)
        if raw[0] in _BLINDED_PREFIXES:
            verify_detached(raw[1:], data, signature)
            return True
    except ProtocolError:
        return False
    return raw[0] == _STANDARD_PREFIX and xed25519_verify(raw[1:], data, signature)
