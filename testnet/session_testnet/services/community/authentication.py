"""Who signed a request: the X-SOGS headers, checked in the reference's order (open-group-server §5)."""

import hashlib
import re
import sqlite3
from dataclasses import dataclass
from typing import Final

import nacl.bindings
import nacl.exceptions

from session_testnet.clock import Clock
from session_testnet.services.community.settings import ServerSettings
from session_testnet.services.community.users import User, UserDirectory
from session_testnet.services.encoded_bytes import bytes_of_size
from session_testnet.services.exchange import HttpError, ServiceRequest, text_reply

CLOCK_TOLERANCE_MS: Final = 24 * 60 * 60 * 1000
NONCE_MEMORY_MS: Final = 24 * 60 * 60 * 1000

_HEADERS: Final = ("x-sogs-pubkey", "x-sogs-nonce", "x-sogs-timestamp", "x-sogs-signature")
_TIMESTAMP: Final = re.compile("[+-]?[0-9]{1,15}")
_UNBLINDED, _BLINDED15, _BLINDED25 = 0x00, 0x15, 0x25


class NonceMemory:
    """Remember nonces for 24 hours, across all users and over a restart."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def knows(self, nonce: bytes, *, now_ms: int) -> bool:
        """Tell whether a nonce has been used and is still remembered."""
        row = self._database.execute(
            "SELECT 1 FROM nonces WHERE nonce = ? AND expires_ms > ?", (nonce, now_ms)
        ).fetchone()
        return row is not None

    def burn(self, nonce: bytes, *, expires_ms: int) -> None:
        """Remember a nonce until a time."""
        self._database.execute(
            "INSERT OR REPLACE INTO nonces(nonce, expires_ms) VALUES (?, ?)", (nonce, expires_ms)
        )

    def purge(self, *, now_ms: int) -> int:
        """Forget what is out of date and return how many nonces that were."""
        return self._database.execute("DELETE FROM nonces WHERE expires_ms <= ?", (now_ms,)).rowcount


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Find out who signed a request.

    A request is verified before it leaves anything behind: neither its nonce nor its user is remembered
    when the signature is wrong (the reference does both, open-group-server §22).
    """

    server_pk: bytes
    clock: Clock
    users: UserDirectory
    nonces: NonceMemory
    settings: ServerSettings

    def authenticate(self, request: ServiceRequest) -> User | None:
        """Return the user that signed, None without any header; HttpError with the reference's texts."""
        values = [request.headers.get(name, "") for name in _HEADERS]
        if not any(name in request.headers for name in _HEADERS):
            return None
        missing = sum(not value for value in values)
        if missing:
            text = f"Invalid authentication headers: missing {missing}/4 required X-SOGS-* headers"
            raise HttpError(400, response=text_reply(text, 400))
        pubkey_text, nonce_text, timestamp, signature_text = values
        prefix, key = self._check_pubkey(pubkey_text)
        nonce = bytes_of_size(nonce_text, 16)
        if nonce is None:
            raise _refusal(400, "X-SOGS-Nonce must be 16 bytes (encoded as base64 or hex)")
        signature = bytes_of_size(signature_text, 64)
        if signature is None:
            raise _refusal(400, "X-SOGS-Signature is not base64[88]")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise _refusal(400, "X-SOGS-Timestamp is not a valid timestamp")
        now_ms, signed_ms = self.clock.now_ms(), int(timestamp) * 1000
        if abs(signed_ms - now_ms) > CLOCK_TOLERANCE_MS:
            raise _refusal(425, "X-SOGS-Timestamp is too far from current time")
        session_id = _session_id(prefix, key)
        known = self.users.find(session_id)
        if known is not None and known.flags.banned:
            raise HttpError(403, response=text_reply("Banned", 403))
        if self.nonces.knows(nonce, now_ms=now_ms):
            raise _refusal(425, "X-SOGS-Nonce cannot be reused")
        payload = signed_payload(self.server_pk, nonce, timestamp, request)
        try:
            nacl.bindings.crypto_sign_open(signature + payload, key)
        except nacl.exceptions.BadSignatureError:
            raise _refusal(401, "X-SOGS-Signature verification failed") from None
        # A request may be dated ahead; its nonce is kept for as long as it could be sent again.
        self.nonces.burn(nonce, expires_ms=max(now_ms, signed_ms) + NONCE_MEMORY_MS)
        user = self.users.seen(session_id, now_ms=now_ms)
        # A ban may have been waiting for this blinded id.
        if user.flags.banned:
            raise HttpError(403, response=text_reply("Banned", 403))
        return user

    def _check_pubkey(self, text: str) -> tuple[int, bytes]:
        decoded = bytes_of_size(text, 33)
        if decoded is None:
            raise _refusal(400, "X-SOGS-Pubkey is not a valid 66-hex digit id")
        prefix, key = decoded[0], decoded[1:]
        accept25 = self.settings.accept_blinded25
        if prefix not in (_UNBLINDED, _BLINDED15) and not (prefix == _BLINDED25 and accept25):
            accepted = "00-, 15-, or 25-" if accept25 else "00- or 15-"
            raise _refusal(400, f"X-SOGS-Pubkey must be {accepted} prefixed")
        if not nacl.bindings.crypto_core_ed25519_is_valid_point(key):
            raise _refusal(400, "given X-SOGS-Pubkey is not a valid Ed25519 pubkey")
        if prefix == _UNBLINDED and self.settings.require_blinding:
            raise _refusal(400, "this server requires the use of blinded ids")
        return prefix, key


def signed_payload(server_pk: bytes, nonce: bytes, timestamp: str, request: ServiceRequest) -> bytes:
    """Return the bytes that a request's signature covers (open-group-server §5.2)."""
    target = request.path + (f"?{request.query}" if request.query else "")
    digest = hashlib.blake2b(request.body, digest_size=64).digest() if request.body else b""
    signed_text = f"{timestamp}{request.method}{target}"
    return server_pk + nonce + signed_text.encode("utf-8", "surrogateescape") + digest


def _session_id(prefix: int, key: bytes) -> str:
    if prefix == _UNBLINDED:
        return f"05{nacl.bindings.crypto_sign_ed25519_pk_to_curve25519(key).hex()}"
    return f"{prefix:02x}{key.hex()}"


def _refusal(status: int, reason: str) -> HttpError:
    return HttpError(status, response=text_reply(f"Invalid authentication: {reason}", status))
