"""Read the parameters of a request, with the errors that nodes answer (storage-rpc §3).

``null`` counts as absent and types are strict. Parameters are as JSON gives them, or as bt does
(:class:`BtParams`): there binary values are raw, and booleans integers. Every reader raises ParseError.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from session_protocol.namespaces import LARGEST_NAMESPACE, SMALLEST_NAMESPACE
from session_protocol.storage_auth import ALL_NAMESPACES, TOKEN_BYTES, Subaccount
from session_testnet.services.encoded_bytes import bytes_of_size, decode_base64
from session_testnet.services.storage.results import ParseError

Params = Mapping[str, Any]


class BtParams(dict[str, Any]):
    """Parameters of a request in bt; all their texts are :class:`BtText`."""


class BtText(str):
    """A byte string of a bt request, each byte as the character of that number."""

    __slots__ = ()

    @property
    def raw(self) -> bytes:
        """Return the bytes."""
        return self.encode("latin-1")


LARGEST_INTEGER: Final = 2**63 - 1
SMALLEST_INTEGER: Final = -(2**63)
_LARGEST_C_INT: Final = 2**31 - 1
# Below this many milliseconds a time is taken for one given in seconds.
_SMALLEST_TIMESTAMP_MS: Final = 1_000_000_000
_DECIMAL: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-fA-F]*", re.ASCII)
_HASH: Final = re.compile(r"[A-Za-z0-9+/]{43}", re.ASCII)


def _expected(name: str, what: str) -> ParseError:
    return ParseError(f"Invalid value given for '{name}': expected {what}")


def missing(name: str) -> ParseError:
    """Return the error for an absent parameter."""
    return ParseError(f"Required field '{name}' missing")


def is_integer(value: object) -> bool:
    """Tell whether a JSON value is an integer of 64 bits; booleans are none."""
    return type(value) is int and SMALLEST_INTEGER <= value <= LARGEST_INTEGER


def is_unsigned(value: object) -> bool:
    """Tell whether a JSON value is an integer from 0 to the largest of 63 bits."""
    return type(value) is int and 0 <= value <= LARGEST_INTEGER


def text(params: Params, name: str) -> str | None:
    """Read a string."""
    value = params.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _expected(name, "string")


def boolean(params: Params, name: str) -> bool:
    """Read a boolean, false when absent."""
    value = params.get(name)
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    if isinstance(params, BtParams) and type(value) is int and value in (0, 1):
        return bool(value)
    raise _expected(name, "boolean")


def integer(params: Params, name: str) -> int | None:
    """Read an integer of 32 bits."""
    value = params.get(name)
    if value is None:
        return None
    if not is_integer(value):
        raise _expected(name, "integer")
    if not -_LARGEST_C_INT - 1 <= value <= _LARGEST_C_INT:
        raise ParseError(f"Invalid value given for '{name}': value out of range")
    return int(value)


def integers(params: Params, name: str) -> tuple[int, ...] | None:
    """Read a list of integers, or one integer as a list of one."""
    value = params.get(name)
    if value is None:
        return None
    listed = value if isinstance(value, list) else [value]
    if not all(is_integer(item) for item in listed):
        raise _expected(name, "integer array")
    return tuple(listed)


def timestamp(params: Params, name: str) -> int | None:
    """Read a time in milliseconds."""
    value = params.get(name)
    if value is None:
        return None
    if isinstance(params, BtParams) and is_integer(value):
        return int(value)
    if not is_unsigned(value):
        raise _expected(name, "integer timestamp (in milliseconds)")
    if value < _SMALLEST_TIMESTAMP_MS:
        raise ParseError(f"Invalid timestamp for '{name}': timestamp must be in milliseconds")
    return int(value)


def timestamps(params: Params, name: str) -> tuple[int, ...] | None:
    """Read a list of times in milliseconds, or one time as a list of one."""
    value = params.get(name)
    if value is None:
        return None
    listed = value if isinstance(value, list) else [value]
    if not all(is_unsigned(item) for item in listed):
        raise _expected(name, "timestamp array")
    return tuple(listed)


def written_integer(params: Params, name: str, *, unsigned: bool) -> int | None:
    """Read an integer that old clients may write as a decimal string (``timestamp`` and ``ttl`` of store)."""
    value = params.get(name)
    if value is None:
        return None
    if isinstance(value, str) and not isinstance(params, BtParams):
        if not _DECIMAL.fullmatch(value) or not (is_unsigned if unsigned else is_integer)(int(value)):
            raise ParseError(f"Invalid value given for '{name}': \"{value:.100}\"")
        return int(value)
    if not (is_unsigned if unsigned else is_integer)(value):
        raise _expected(name, "positive integer" if unsigned else "integer")
    return int(value)


def texts(params: Params, name: str) -> tuple[str, ...] | None:
    """Read a list of strings, or one string as a list of one."""
    value = params.get(name)
    if value is None:
        return None
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in listed):
        raise _expected(name, "string array")
    return tuple(listed)


def namespace(params: Params, name: str = "namespace") -> int | None:
    """Read a namespace of 16 bits."""
    value = params.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise _expected(name, "16-bit integer")
    return _in_range(params, name, value, "16-bit integer")


def namespace_or_all(params: Params, name: str = "namespace") -> int | str:
    """Read a namespace or the text ``all``; 0 when absent."""
    value = params.get(name)
    if value is None:
        return 0
    if value == ALL_NAMESPACES:
        return ALL_NAMESPACES
    if not isinstance(value, int) or isinstance(value, bool):
        raise _expected(name, 'integer or "all"')
    return _in_range(params, name, value, 'integer or "all"')


def _in_range(params: Params, name: str, value: int, what: str) -> int:
    if not SMALLEST_NAMESPACE <= value <= LARGEST_NAMESPACE:
        if isinstance(params, BtParams):
            raise _expected(name, what)
        raise ParseError(f"Invalid value given for '{name}': value out of range")
    return value


def account(params: Params, *, alias: bool = False, form: str = "66 hex digits (33 bytes)") -> bytes:
    """Read ``pubkey`` (with ``alias`` also spelled ``pubKey``): 33 bytes, as 66 hex digits or raw."""
    key = text(params, "pubkey")
    if alias:
        other = text(params, "pubKey")
        if key is not None and other is not None:
            raise ParseError("Cannot specify both 'pubkey' and 'pubKey'")
        key = other if key is None else key
    if key is None:
        raise missing("pubkey")
    if len(key) == 66 and _HEX.fullmatch(key):
        return bytes.fromhex(key)
    raw = _bytes_of(key) if len(key) <= 33 else b""
    if len(raw) == 33:
        return raw
    raise ParseError(f"Pubkey must be {form} long")


def ed25519_key(params: Params, account_prefix: int) -> bytes | None:
    """Read ``pubkey_ed25519``: 64 hex digits, or 32 raw characters; only for 05 accounts."""
    key = text(params, "pubkey_ed25519")
    if key is None:
        return None
    if account_prefix != 5:
        raise ParseError("pubkey_ed25519 is only permitted for 05[...] pubkeys")
    if len(key) == 64:
        if not _HEX.fullmatch(key):
            raise ParseError("invalid pubkey_ed25519: value is not hex")
        return bytes.fromhex(key)
    raw = _bytes_of(key) if len(key) <= 32 else b""
    if len(raw) == 32:
        return raw
    raise ParseError("Invalid pubkey_ed25519: expected 64 hex char or 32 byte pubkey")


def _bytes_of(value: str) -> bytes:
    return value.raw if isinstance(value, BtText) else value.encode(errors="surrogatepass")


def signature_bytes(encoded: str, what: str) -> bytes:
    """Read an Ed25519 signature: 64 bytes in bt; base64 in JSON, 86 characters, or 88 with padding."""
    if isinstance(encoded, BtText):
        if len(encoded) != 64:
            raise ParseError(f"invalid {what}: expected 64-byte Ed25519 signature")
        return encoded.raw
    raw = decode_base64(encoded) if len(encoded) in (86, 88) else None
    if raw is None or len(raw) != 64:
        raise ParseError(f"invalid {what}: expected base64 encoded Ed25519 signature")
    return raw


def subaccount(params: Params) -> Subaccount | None:
    """Read ``subaccount`` and ``subaccount_sig``; an empty token counts as none."""
    token, signature = text(params, "subaccount"), text(params, "subaccount_sig")
    if not token:
        return None
    if signature is None:
        raise ParseError("invalid subaccount: subaccount_sig is required when using subaccount")
    raw = token_bytes(token)
    if raw is None and isinstance(token, BtText):
        raise ParseError("invalid subaccount token: invalid token length")
    if raw is None:
        raise ParseError("invalid subaccount: expected base64 or hex-encoded subaccount token")
    return Subaccount(raw, signature_bytes(signature, "subaccount signature"))


def token_bytes(encoded: str) -> bytes | None:
    """Read a sub-account token, 36 bytes: raw in bt, base64 or hex in JSON; None for anything else."""
    if isinstance(encoded, BtText):
        return encoded.raw if len(encoded) == TOKEN_BYTES else None
    return bytes_of_size(encoded, TOKEN_BYTES)


def data_bytes(encoded: str) -> bytes | None:
    """Read the body of a message: raw in bt, base64 in JSON; None for anything else."""
    return encoded.raw if isinstance(encoded, BtText) else decode_base64(encoded)


def is_message_hash(value: str) -> bool:
    """Tell whether a text has the form of a message hash."""
    return _HASH.fullmatch(value) is not None


def message_hashes(params: Params) -> tuple[str, ...]:
    """Read ``messages``: at least one well-formed hash."""
    hashes = some_messages(params)
    for each in hashes:
        if not is_message_hash(each):
            raise ParseError(f"invalid message hash: {each}")
    return hashes


def some_messages(params: Params) -> tuple[str, ...]:
    """Read ``messages``: at least one text, of any form."""
    hashes = texts(params, "messages")
    if hashes is None:
        raise missing("messages")
    if not hashes:
        raise ParseError("messages does not contain any message hashes")
    return hashes
