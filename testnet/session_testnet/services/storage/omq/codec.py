"""Parameters and replies as OMQ carries them: JSON or bt, the reply in the form of the request (§§2.2, 3)."""

from typing import Any, Final

import orjson

from session_protocol import bencode
from session_protocol.bencode import Bencoded
from session_protocol.errors import BadFormat
from session_testnet.services.storage.bt_form import to_bt
from session_testnet.services.storage.fields import BtParams, BtText, Params
from session_testnet.services.storage.results import RpcResult

_BT_DICTIONARY: Final = b"d"
# Accounts may be raw in bt; everything that looks at them, also the trace and fault rules, wants them in hex.
_ACCOUNT_KEYS: Final = frozenset({"pubkey", "pubKey"})
_ACCOUNT_BYTES: Final = 33


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


def _encoded(body: Any, *, bt: bool) -> bytes:
    if isinstance(body, str):
        return body.encode(errors="replace")
    if isinstance(body, bytes):
        return body
    return bencode.encode(to_bt(body)) if bt else orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


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
