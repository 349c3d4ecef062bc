"""Push notifications: what a client signs to get them, and what a push service carries (push-server)."""

import base64
import binascii
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import nacl.bindings
import nacl.exceptions
import orjson

from session_protocol import bencode
from session_protocol.accounts import account_bytes
from session_protocol.bencode import Bencodable, Bencoded
from session_protocol.errors import BadFormat, BadPadding, DecryptFailed, InvalidLength

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
PADDED_TO: Final = 256
"""Payloads come in steps of so many bytes, so that their size tells little."""

MAX_BODY_BYTES: Final = 2500
"""The longest message that is sent along; a push service carries about 4 kB altogether."""

_TAG_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Notification:
    """What a notification tells the owner of its key.

    ``size`` is that of the message in bytes; None when its body was not asked for, or is empty. ``body`` is
    None then too, and when it is too long to be sent along, which ``too_long`` says. Servers before 2024 left
    out both times, in milliseconds.
    """

    account_id: str
    message_hash: str
    namespace: int
    timestamp_ms: int | None = None
    expiry_ms: int | None = None
    size: int | None = None
    body: bytes | None = None
    too_long: bool = False


def monitor_payload(
    account_id: str, timestamp_s: int, namespaces: Sequence[int], *, with_data: bool
) -> bytes:
    """Return what a subscription signs, at nodes and at the push server alike; the id as 66 hex digits."""
    listed = ",".join(map(str, namespaces))
    return f"MONITOR{account_id.lower()}{timestamp_s}{int(with_data)}{listed}".encode()


def unsubscribe_payload(account_id: str, timestamp_s: int) -> bytes:
    """Return what the end of a subscription signs; the id as 66 hex digits."""
    return f"UNSUBSCRIBE{account_id.lower()}{timestamp_s}".encode()


def notification_of(
    account_id: str,
    message_hash: str,
    namespace: int,
    *,
    timestamp_ms: int,
    expiry_ms: int,
    body: bytes | None,
) -> Notification:
    """Return what a server tells of a message; a body that is too long is left out."""
    size = len(body) if body else None
    too_long = size is not None and size > MAX_BODY_BYTES
    sent = None if too_long else body or None
    return Notification(
        account_id, message_hash, namespace, timestamp_ms, expiry_ms, size=size, body=sent, too_long=too_long
    )


def seal_notification(
    key: bytes,
    notification: Notification,
    *,
    nonce: bytes | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> str:
    """Return the ``enc_payload`` of a notification, for the owner of the 32-byte key; base64.

    The nonce is random unless given. Raise InvalidLength.
    """
    nonce = random_bytes(NONCE_BYTES) if nonce is None else nonce
    _check_size("an encryption key", key, KEY_BYTES)
    _check_size("a nonce", nonce, NONCE_BYTES)
    plain = bencode.encode(_list_of(notification))
    padded = plain + bytes(-len(plain) % PADDED_TO)
    sealed = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(padded, None, nonce, key)
    return base64.b64encode(nonce + sealed).decode()


def open_notification(key: bytes, enc_payload: str) -> Notification:
    """Open an ``enc_payload``. Raise InvalidLength, BadFormat, DecryptFailed or BadPadding."""
    _check_size("an encryption key", key, KEY_BYTES)
    try:
        raw = base64.b64decode(enc_payload, validate=True)
    except (binascii.Error, ValueError):
        raise BadFormat("enc_payload is not base64") from None
    if len(raw) < NONCE_BYTES + _TAG_BYTES:
        raise BadFormat(f"enc_payload has {len(raw)} bytes: a nonce and a tag have more")
    try:
        padded = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            raw[NONCE_BYTES:], None, raw[:NONCE_BYTES], key
        )
    except nacl.exceptions.CryptoError:
        raise DecryptFailed("enc_payload does not open with this key") from None
    if len(padded) % PADDED_TO:
        raise BadPadding(f"{len(padded)} bytes of a notification are no multiple of {PADDED_TO}")
    value = bencode.decode(padded.rstrip(b"\x00"))
    if not isinstance(value, list) or not 1 <= len(value) <= 2:
        raise BadFormat("a notification is a list of one or two parts")
    body = value[1] if len(value) == 2 else None
    if body is not None and not isinstance(body, bytes):
        raise BadFormat("the body of a notification is not a string")
    return _notification(_information(value[0]), body)


def _list_of(notification: Notification) -> list[Bencodable]:
    known = {
        "@": notification.account_id,
        "#": notification.message_hash,
        "n": notification.namespace,
        "t": notification.timestamp_ms,
        "z": notification.expiry_ms,
        "l": notification.size,
        "B": True if notification.too_long else None,
    }
    information: dict[str, Any] = {key: value for key, value in known.items() if value is not None}
    if notification.body is None:
        # The present server writes a dictionary here, where it writes JSON before a body.
        return [information]
    return [orjson.dumps(information), notification.body]


def _information(value: Bencoded) -> dict[str, Any]:
    """Read the first part, in either of its forms."""
    if isinstance(value, dict):
        try:
            texts = {
                key.decode(): item.decode() if isinstance(item, bytes) else item
                for key, item in value.items()
            }
        except UnicodeDecodeError:
            raise BadFormat("a notification names something that is no text") from None
        return {**texts, "B": texts["B"] == 1} if "B" in texts else texts
    try:
        information = orjson.loads(value) if isinstance(value, bytes) else None
    except orjson.JSONDecodeError as error:
        raise BadFormat(f"the information of a notification is not JSON: {error}") from None
    if not isinstance(information, dict):
        raise BadFormat("the information of a notification is not an object")
    return information


def _notification(information: dict[str, Any], body: bytes | None) -> Notification:
    account_id, message_hash = information.get("@"), information.get("#")
    if not isinstance(account_id, str) or not isinstance(message_hash, str):
        raise BadFormat("a notification names an account and a message hash")
    account_bytes(account_id)
    namespace = _integer(information, "n")
    if namespace is None:
        raise BadFormat("a notification names a namespace")
    too_long = information.get("B", False)
    if not isinstance(too_long, bool):
        raise BadFormat("B of a notification is true, or missing")
    size = _integer(information, "l")
    if body is not None and size != len(body):
        raise BadFormat(f"a notification announces {size} bytes and carries {len(body)}")
    return Notification(
        account_id,
        message_hash,
        namespace,
        timestamp_ms=_integer(information, "t"),
        expiry_ms=_integer(information, "z"),
        size=size,
        body=body,
        too_long=too_long,
    )


def _integer(information: dict[str, Any], key: str) -> int | None:
    value = information.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise BadFormat(f"{key} of a notification is not an integer")


def _check_size(what: str, value: bytes, size: int) -> None:
    if len(value) != size:
        raise InvalidLength(f"{what} has {size} bytes, not {len(value)}")
