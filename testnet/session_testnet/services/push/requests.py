"""What clients ask of the push server, read and refused as it does (push-server)."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import orjson

from session_protocol.accounts import ed25519_pk_to_x25519
from session_protocol.bencode import Bencodable
from session_protocol.errors import BadSignature, ProtocolError
from session_protocol.namespaces import LARGEST_NAMESPACE, SMALLEST_NAMESPACE
from session_protocol.push import KEY_BYTES, monitor_payload, unsubscribe_payload
from session_protocol.storage_auth import TOKEN_BYTES, Subaccount
from session_testnet.services.encoded_bytes import bytes_of_size
from session_testnet.services.storage.monitor import check_signature

LIFE_S: Final = 14 * 24 * 3600
"""How long a subscription counts after it was signed, in seconds."""

SERVICES: Final = ("apns", "apns-sandbox", "firebase", "huawei")

_AHEAD_S: Final = 24 * 3600
_ACCOUNT_BYTES: Final = 33
_ED25519_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_SESSION_PREFIX: Final = 0x05
_GROUP_PREFIX: Final = 0x03

Fields = Mapping[str, Any]


class ErrorCode(IntEnum):
    """The code of a refusal; its HTTP status is 200 all the same."""

    OK = 0
    BAD_INPUT = 1
    SERVICE_NOT_AVAILABLE = 2
    SERVICE_TIMEOUT = 3
    ERROR = 4
    INTERNAL_ERROR = 5


class Refused(Exception):
    """Answer a request with this code and text."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Device:
    """Where notifications go: an account's device at a push service, which knows it by its token."""

    account: bytes
    service: str
    token: str
    service_info: Mapping[str, Any] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A signed wish to be notified; ``key`` is the Ed25519 key of the account's owner."""

    device: Device
    key: bytes
    subaccount: Subaccount | None
    namespaces: tuple[int, ...]
    with_data: bool
    signature: bytes
    timestamp_s: int
    enc_key: bytes = field(repr=False)

    @property
    def expires_s(self) -> int:
        """Return when it ends, in Unix seconds."""
        return self.timestamp_s + LIFE_S

    def for_nodes(self) -> dict[str, Bencodable]:
        """Return the request for ``monitor.messages`` that the client's signature covers too."""
        account = self.device.account
        request: dict[str, Bencodable] = {
            "n": self.namespaces,
            "s": self.signature,
            "t": self.timestamp_s,
        }
        request |= {"P": self.key} if account[0] == _SESSION_PREFIX else {"p": account}
        if self.subaccount is not None:
            request |= {"S": self.subaccount.owner_signature, "T": self.subaccount.token}
        return request | ({"d": 1} if self.with_data else {})


def parse_subscription(fields: Any, *, now_s: int) -> Subscription:
    """Read one object of ``/subscribe`` and check its signature; raise Refused."""
    fields = _object(fields)
    device, key, subaccount = _identified(fields)
    namespaces = _namespaces(fields)
    with_data = fields.get("data")
    if not isinstance(with_data, bool):
        raise _bad("data must be true or false")
    timestamp_s = _integer(fields, "sig_ts")
    if not now_s - LIFE_S < timestamp_s < now_s + _AHEAD_S:
        raise _bad("sig_ts is too old" if timestamp_s <= now_s else "sig_ts is in the future")
    enc_key = _bytes(fields, "enc_key", KEY_BYTES)
    signature = _bytes(fields, "signature", _SIGNATURE_BYTES)
    payload = monitor_payload(device.account.hex(), timestamp_s, namespaces, with_data=with_data)
    _check(payload, signature, device, key, subaccount)
    return Subscription(
        device,
        key,
        subaccount,
        namespaces=namespaces,
        with_data=with_data,
        signature=signature,
        timestamp_s=timestamp_s,
        enc_key=enc_key,
    )


def parse_unsubscription(fields: Any, *, now_s: int) -> Device:
    """Read one object of ``/unsubscribe`` and check its signature; raise Refused."""
    fields = _object(fields)
    device, key, subaccount = _identified(fields)
    timestamp_s = _integer(fields, "sig_ts")
    if not abs(now_s - timestamp_s) < _AHEAD_S:
        raise _bad("sig_ts is too far from the present time")
    signature = _bytes(fields, "signature", _SIGNATURE_BYTES)
    _check(unsubscribe_payload(device.account.hex(), timestamp_s), signature, device, key, subaccount)
    return device


def _identified(fields: Fields) -> tuple[Device, bytes, Subaccount | None]:
    account = _bytes(fields, "pubkey", _ACCOUNT_BYTES)
    key = _owner(fields, account)
    subaccount = _subaccount(fields)
    service = fields.get("service")
    if not isinstance(service, str):
        raise _bad("service must be a text")
    if service not in SERVICES:
        raise Refused(
            ErrorCode.SERVICE_NOT_AVAILABLE, f"there is no service {service!r:.40}: {', '.join(SERVICES)}"
        )
    info = fields.get("service_info")
    if not isinstance(info, dict):
        raise _bad("service_info must be an object")
    token = info.get("token")
    if not isinstance(token, str) or not token:
        raise _bad("service_info needs a token")
    try:
        orjson.dumps(info)
    except orjson.JSONEncodeError:
        # What is read may be nested deeper than what can be written, and so kept.
        raise _bad("service_info is nested too deeply") from None
    return Device(account, service, token, info), key, subaccount


def _owner(fields: Fields, account: bytes) -> bytes:
    if account[0] == _GROUP_PREFIX:
        if fields.get("session_ed25519") is not None:
            raise _bad("session_ed25519 is only for accounts with prefix 05")
        return account[1:]
    if account[0] != _SESSION_PREFIX:
        raise _bad("pubkey must have the prefix 05 or 03")
    if fields.get("session_ed25519") is None:
        raise _bad("session_ed25519 is missing")
    key = _bytes(fields, "session_ed25519", _ED25519_BYTES)
    try:
        fits = ed25519_pk_to_x25519(key) == account[1:]
    except ProtocolError:
        fits = False
    if not fits:
        raise _bad("session_ed25519 is not the key of pubkey")
    return key


def _subaccount(fields: Fields) -> Subaccount | None:
    if fields.get("subaccount") is None and fields.get("subaccount_sig") is None:
        return None
    token = _bytes(fields, "subaccount", TOKEN_BYTES)
    if token[2:4] != bytes(2):
        raise _bad("subaccount has bits that nobody knows")
    return Subaccount(token, _bytes(fields, "subaccount_sig", _SIGNATURE_BYTES))


def _namespaces(fields: Fields) -> tuple[int, ...]:
    listed = fields.get("namespaces")
    if not isinstance(listed, list) or not listed:
        raise _bad("namespaces must be a list with one at least")
    for each in listed:
        whole = isinstance(each, int) and not isinstance(each, bool)
        if not whole or not SMALLEST_NAMESPACE <= each <= LARGEST_NAMESPACE:
            raise _bad("namespaces must be 16-bit integers")
    if any(one >= next_one for one, next_one in itertools.pairwise(listed)):
        raise _bad("namespaces must be ascending, none of them twice")
    return tuple(listed)


def _check(
    payload: bytes, signature: bytes, device: Device, key: bytes, subaccount: Subaccount | None
) -> None:
    try:
        check_signature(payload, signature, account=device.account, key=key, subaccount=subaccount)
    except BadSignature as error:
        raise _bad(str(error)) from None


def _object(fields: Any) -> Fields:
    if not isinstance(fields, dict):
        raise _bad("a request is a JSON object, or an array of them")
    return fields


def _bytes(fields: Fields, name: str, size: int) -> bytes:
    value = fields.get(name)
    found = bytes_of_size(value, size) if isinstance(value, str) else None
    if found is None:
        raise _bad(f"{name} must be {size} bytes in hex or base64")
    return found


def _integer(fields: Fields, name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _bad(f"{name} must be an integer")
    return value


def _bad(text: str) -> Refused:
    return Refused(ErrorCode.BAD_INPUT, text)
