"""The latest releases of the apps, as replies tell them, and who asks for them (file-server §5)."""

import hashlib
import re
from typing import Any, Final

import nacl.bindings
import nacl.exceptions

from session_testnet.services.encoded_bytes import bytes_of_size
from session_testnet.services.exchange import HttpError, ServiceRequest, text_reply
from session_testnet.topology_file_server import Release

_HEADERS: Final = ("x-fs-pubkey", "x-fs-timestamp", "x-fs-signature")
_CLOCK_TOLERANCE_S: Final = 24 * 60 * 60


def release_members(release: Release) -> dict[str, Any]:
    """Return the members of a reply that tells a release; those without a value are left out."""
    members: dict[str, Any] = {"result": release.version, "updated": release.updated}
    if release.name is not None:
        members["name"] = release.name
    if release.notes is not None:
        members["notes"] = release.notes
    if release.assets:
        members["assets"] = [{"name": name, "url": url} for name, url in release.assets]
    if release.prerelease is not None:
        members["prerelease"] = release_members(release.prerelease)
    return members


def check_version_signature(request: ServiceRequest, *, now_ms: int) -> str | None:
    """Check the optional ``X-FS-*`` headers and return the 07 id that signed, or None when there are none.

    Raise :class:`HttpError` with the reference's texts. The same signed request may come again.
    """
    pubkey, timestamp, signature = (request.headers.get(name, "") for name in _HEADERS)
    if not (pubkey or timestamp or signature):
        return None
    if not (pubkey and timestamp and signature):
        raise _refusal(400, "one or more X-FS-* auth headers is missing")
    key = _key(pubkey)
    signature_bytes = bytes_of_size(signature, 64)
    if signature_bytes is None:
        raise _refusal(400, "X-FS-Signature is not base64[86]")
    if not re.fullmatch("-?[0-9]{1,18}", timestamp):
        raise _refusal(400, "X-FS-Timestamp is not a valid timestamp")
    if abs(int(timestamp) - now_ms / 1000) > _CLOCK_TOLERANCE_S:
        raise _refusal(425, "X-FS-Timestamp is too far from current time")
    signed = timestamp + request.method + request.path + (f"?{request.query}" if request.query else "")
    digest = hashlib.blake2b(request.body, digest_size=64).digest() if request.body else b""
    try:
        nacl.bindings.crypto_sign_open(signature_bytes + signed.encode() + digest, key)
    except nacl.exceptions.BadSignatureError:
        raise _refusal(401, "X-FS-Signature verification failed") from None
    return f"07{key.hex()}"


def _key(pubkey: str) -> bytes:
    decoded = bytes_of_size(pubkey, 33)
    if decoded is None:
        raise _refusal(400, "X-FS-Pubkey is not a valid 66-hex digit id")
    if decoded[0] != 0x07:
        raise _refusal(400, "X-FS-Pubkey must be 07- prefixed")
    if not nacl.bindings.crypto_core_ed25519_is_valid_point(decoded[1:]):
        raise _refusal(400, "given X-FS-Pubkey is not a valid Ed25519 pubkey")
    return decoded[1:]


def _refusal(status: int, reason: str) -> HttpError:
    return HttpError(status, response=text_reply(f"Invalid authentication: {reason}", status))
