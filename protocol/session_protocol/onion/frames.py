"""The one framing of onion requests: a length, a blob, and a JSON object to the end (onion-requests §2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from session_protocol.errors import BadFormat, InvalidArgument, UnsupportedVersion
from session_protocol.onion.encryption import KEY_BYTES, EncryptionType, parse_encryption_type

_LENGTH_BYTES = 4
_LARGEST_BLOB = 2**32 - 1


@dataclass(frozen=True, slots=True)
class OuterFrame:
    """What a client posts to its guard: a blob, how to open it, and a starting hop counter (0 or more)."""

    blob: bytes
    ephemeral_key: bytes
    enc_type: EncryptionType
    hop_no: int


def frame(blob: bytes, json_object: bytes | Mapping[str, Any]) -> bytes:
    """Join a blob and a JSON object, given as bytes or as a mapping, that is written compact and sorted.

    Raise InvalidArgument for a mapping that JSON cannot express, or a blob whose length does not fit 32
    bits.
    """
    if len(blob) > _LARGEST_BLOB:
        raise InvalidArgument(f"a blob of {len(blob)} bytes does not fit a frame")
    text = json_object if isinstance(json_object, bytes) else dump_json(json_object)
    return b"".join((len(blob).to_bytes(_LENGTH_BYTES, "little"), blob, text))


def parse_frame(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """Split a frame into its blob and its JSON object.

    Raise BadFormat, with the sentence that a storage node answers where it has a fixed one
    (onion-requests §2).
    """
    blob, json_object = view_frame(data)
    return bytes(blob), json_object


def view_frame(data: bytes) -> tuple[memoryview, dict[str, Any]]:
    """Split a frame like :func:`parse_frame` without copying the blob, which may be a whole file."""
    if len(data) < _LENGTH_BYTES:
        raise BadFormat("Unexpected payload size; expected ciphertext size")
    size = int.from_bytes(data[:_LENGTH_BYTES], "little")
    have = len(data) - _LENGTH_BYTES
    if have < size:
        raise BadFormat(f"Unexpected payload size {have}, expected >= {size}")
    end = _LENGTH_BYTES + size
    return memoryview(data)[_LENGTH_BYTES:end], parse_json_object(data[end:])


def parse_outer(body: bytes) -> OuterFrame:
    """Read the frame that a client posts to its guard, or a relay to a server (onion-requests §2.1).

    Raise BadFormat; a node answers 400 with its text after ``Error parsing onion request: ``.
    """
    blob, routing = parse_frame(body)
    return OuterFrame(blob, ephemeral_key_of(routing), enc_type_of(routing), hop_number_of(routing))


def hop_number_of(routing: Mapping[str, Any]) -> int:
    """Return the starting hop counter, 0 when there is none. Raise BadFormat."""
    hop_no = routing.get("hop_no", 0)
    if not isinstance(hop_no, int) or isinstance(hop_no, bool):
        raise BadFormat("hop_no is not an integer")
    return max(0, hop_no)


def ephemeral_key_of(routing: Mapping[str, Any]) -> bytes:
    """Return the 32-byte key named ``ephemeral_key``. Raise BadFormat."""
    return key_of(routing, "ephemeral_key")


def key_of(routing: Mapping[str, Any], name: str) -> bytes:
    """Return the 32-byte key that stands under ``name`` as 64 hex digits. Raise BadFormat."""
    text = routing.get(name)
    if not isinstance(text, str):
        raise BadFormat(f"{name} is missing or not a string")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or len(text) != 2 * KEY_BYTES:
        raise BadFormat(f"{name} is not {2 * KEY_BYTES} hex digits")
    return key


def enc_type_of(routing: Mapping[str, Any]) -> EncryptionType:
    """Return the ``enc_type``, AES-GCM when there is none. Raise BadFormat for one that nodes do not know."""
    name = routing.get("enc_type", EncryptionType.AES_GCM.value)
    if not isinstance(name, str):
        raise BadFormat("enc_type is not a string")
    try:
        return parse_encryption_type(name)
    except UnsupportedVersion as error:
        raise BadFormat(str(error)) from None


def dump_json(value: object) -> bytes:
    """Write JSON as nodes do: UTF-8, compact, keys in alphabetical order. Raise InvalidArgument."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise InvalidArgument(f"cannot be written as JSON: {error}") from None


def parse_json_object(text: bytes) -> dict[str, Any]:
    """Read a JSON object that fills ``text``. Raise BadFormat."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadFormat(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadFormat(f"JSON {type(value).__name__} where an object is needed")
    return value
