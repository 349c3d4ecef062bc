"""Bencoding as Session's servers use it: integers, byte strings, lists and sorted dictionaries."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from session_protocol.errors import BadFormat, InvalidArgument

Bencodable: TypeAlias = (
    "int | bytes | str | Sequence[Bencodable] | Mapping[str, Bencodable] | Mapping[bytes, Bencodable]"
)
"""What ``encode`` takes; a ``bool`` is the integer 0 or 1, a ``str`` its UTF-8 bytes (storage-rpc §3)."""

Bencoded: TypeAlias = "int | bytes | list[Bencoded] | dict[bytes, Bencoded]"
"""What ``decode`` gives: texts stay bytes, because the format does not tell them apart."""

MAX_DEPTH = 64
"""How deep lists and dictionaries may lie in each other: no message of the network comes near."""

SMALLEST_INTEGER = -(2**63)
LARGEST_INTEGER = 2**64 - 1
_MOST_DIGITS = 20
_DIGITS = frozenset(b"0123456789")


def encode(value: Bencodable) -> bytes:
    """Write a value in its one canonical form: dictionary keys sorted by their bytes.

    Raise InvalidArgument for other types, for integers outside 64 bits (signed or not), for a key given
    twice (as text and as bytes) and for more than ``MAX_DEPTH`` levels.
    """
    pieces: list[bytes] = []
    _write(value, pieces, 0)
    return b"".join(pieces)


def decode(data: bytes) -> Bencoded:
    """Read the one value that ``data`` holds; only the canonical form is accepted.

    Raise BadFormat for leading zeros, ``-0``, integers beyond 64 bits, keys that are not ascending and
    distinct, data after the value, a truncated value, and for more than ``MAX_DEPTH`` levels.
    """
    value, end = _read(data, 0, 0)
    if end != len(data):
        raise BadFormat(f"bencoded value ends at byte {end}, but {len(data) - end} more bytes follow")
    return value


def _write(value: Bencodable, pieces: list[bytes], depth: int) -> None:
    if isinstance(value, int):
        if not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
            raise InvalidArgument(f"cannot bencode {value}: integers have 64 bits")
        pieces.append(b"i%de" % value)
    elif isinstance(value, (bytes, str)):
        _write_string(_as_bytes(value), pieces)
    elif depth >= MAX_DEPTH:
        raise InvalidArgument(f"cannot bencode more than {MAX_DEPTH} levels of lists and dictionaries")
    elif isinstance(value, Mapping):
        by_key = {_as_bytes(key): item for key, item in value.items()}
        if len(by_key) != len(value):
            raise InvalidArgument("cannot bencode a dictionary that names a key both as text and as bytes")
        pieces.append(b"d")
        for key in sorted(by_key):
            _write_string(key, pieces)
            _write(by_key[key], pieces, depth + 1)
        pieces.append(b"e")
    elif isinstance(value, Sequence):
        pieces.append(b"l")
        for item in value:
            _write(item, pieces, depth + 1)
        pieces.append(b"e")
    else:
        raise InvalidArgument(f"cannot bencode a value of type {type(value).__name__}")


def _write_string(value: bytes, pieces: list[bytes]) -> None:
    pieces.append(b"%d:" % len(value))
    pieces.append(value)


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"cannot bencode a text that is not valid Unicode: {error}") from None
    raise InvalidArgument(f"dictionary keys are text or bytes, not {type(value).__name__}")


def _read(data: bytes, at: int, depth: int) -> tuple[Bencoded, int]:
    kind = data[at : at + 1]
    if kind == b"i":
        return _read_integer(data, at)
    if kind in (b"l", b"d"):
        if depth >= MAX_DEPTH:
            raise BadFormat(f"bencoded value at byte {at} lies deeper than {MAX_DEPTH} levels")
        read_inside = _read_list if kind == b"l" else _read_dictionary
        return read_inside(data, at + 1, depth + 1)
    return _read_string(data, at)


def _read_integer(data: bytes, at: int) -> tuple[int, int]:
    end = data.find(b"e", at + 1, at + 3 + _MOST_DIGITS)
    if end < 0:
        raise BadFormat(f"bencoded integer at byte {at} has no end within 64 bits")
    text = data[at + 1 : end]
    digits = text.removeprefix(b"-")
    if not digits or not _DIGITS.issuperset(digits) or (digits[:1] == b"0" and text != b"0"):
        raise BadFormat(f"bencoded integer at byte {at} is not in canonical decimal form")
    value = int(text)
    if not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        raise BadFormat(f"bencoded integer at byte {at} does not fit 64 bits")
    return value, end + 1


def _read_string(data: bytes, at: int) -> tuple[bytes, int]:
    colon = data.find(b":", at, at + 1 + _MOST_DIGITS)
    digits = data[at : max(colon, at)]
    if not digits or not _DIGITS.issuperset(digits) or (digits[:1] == b"0" and digits != b"0"):
        raise BadFormat(f"no bencoded value starts at byte {at}")
    start, length = colon + 1, int(digits)
    if length > len(data) - start:
        raise BadFormat(f"bencoded string at byte {at} wants {length} bytes, {len(data) - start} are left")
    return data[start : start + length], start + length


def _read_list(data: bytes, at: int, depth: int) -> tuple[list[Bencoded], int]:
    items: list[Bencoded] = []
    while data[at : at + 1] != b"e":
        item, at = _read(data, at, depth)
        items.append(item)
    return items, at + 1


def _read_dictionary(data: bytes, at: int, depth: int) -> tuple[dict[bytes, Bencoded], int]:
    items: dict[bytes, Bencoded] = {}
    previous: bytes | None = None
    while data[at : at + 1] != b"e":
        key_at = at
        key, at = _read_string(data, at)
        if previous is not None and key <= previous:
            raise BadFormat(f"bencoded dictionary key at byte {key_at} is not greater than the one before")
        items[key], at = _read(data, at, depth)
        previous = key
    return items, at + 1
