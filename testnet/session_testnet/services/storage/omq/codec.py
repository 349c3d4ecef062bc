"""Parameters and replies as OMQ carries them: JSON or bt, the reply in the form of the request (§§2.2, 3)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from session_protocol import bencode
from session_protocol.bencode import Bencodable, Bencoded
from session_protocol.errors import BadFormat
from session_testnet.services.encoded_bytes import decode_base64
from session_testnet.services.storage.fields import BtParams, BtText, Params
from session_testnet.services.storage.results import RpcResult

_BT_DICTIONARY: Final = b"d"
# Accounts may be raw in bt; everything that looks at them, also the trace and fault rules, wants them in hex.
_ACCOUNT_KEYS: Final = frozenset({"pubkey", "pubKey"})
_ACCOUNT_BYTES: Final = 33
# What is base64 in JSON replies and raw in bt ones.
_BINARY_KEYS: Final = frozenset({"data", "signature", "revoked_subaccounts"})


class InvalidBody(Exception):
    """Say that the data of a request is neither JSON nor bt, or no dictionary."""


def decode_params(body: bytes) -> Params:
    """Read the parameters of a request; nothing at all means none. Raise InvalidBody."""
    if not body:
        return {}
    try:
        params = _from_bt(bencode.decode(body)) if body[:1] == _BT_DICTIONARY else orjson.loads(body)
    except (BadFormat, orjson.JSONDecodeError):
        raise InvalidBody from None
    if not isinstance(params, dict):
        raise InvalidBody
    return params


def encode_reply(result: RpcResult, *, bt: bool) -> tuple[bytes, ...]:
    """Return the parts of a reply: the body alone for status 200, else the status before it."""
    body = _encoded(result.body, bt=bt)
    return (body,) if result.status == 200 else (str(result.status).encode(), body)


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


def _encoded(body: Any, *, bt: bool) -> bytes:
    if isinstance(body, str):
        return body.encode(errors="replace")
    if isinstance(body, bytes):
        return body
    return bencode.encode(to_bt(body)) if bt else orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def _raw(value: Any) -> Bencodable:
    if isinstance(value, list):
        return [_raw(item) for item in value]
    raw = decode_base64(value) if isinstance(value, str) else None
    return to_bt(value) if raw is None else raw


def _from_bt(value: Bencoded, key: str = "") -> Any:
    if isinstance(value, dict):
        names = ((name.decode("latin-1"), item) for name, item in value.items())
        return BtParams({name: _from_bt(item, name) for name, item in names})
    if isinstance(value, list):
        return [_from_bt(item) for item in value]
    if isinstance(value, bytes):
        hexed = key in _ACCOUNT_KEYS and len(value) == _ACCOUNT_BYTES
        return BtText(value.hex() if hexed else value.decode("latin-1"))
    return value
