"""What JSON replies carry, as bt carries it (storage-rpc §3)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from session_protocol.bencode import Bencodable
from session_testnet.services.encoded_bytes import decode_base64

# What is base64 in JSON replies and raw in bt ones.
_BINARY_KEYS: Final = frozenset({"data", "signature", "revoked_subaccounts"})


def to_bt(value: Any) -> Bencodable:
    """Return a part of a JSON reply as bt carries it: binary texts raw, and nothing that is null."""
    if isinstance(value, Mapping):
        return {
            str(key): _raw(item) if key in _BINARY_KEYS else to_bt(item)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, str | bytes | int):
        return value
    if isinstance(value, Sequence):
        return [to_bt(item) for item in value if item is not None]
    raise TypeError(f"there is no bt form of a {type(value).__name__}")


def _raw(value: Any) -> Bencodable:
    if isinstance(value, list):
        return [_raw(item) for item in value]
    raw = decode_base64(value) if isinstance(value, str) else None
    return to_bt(value) if raw is None else raw
