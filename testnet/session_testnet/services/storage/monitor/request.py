"""What a subscription to new messages asks for, read and refused as nodes do (storage-rpc §12)."""

from dataclasses import dataclass
from typing import Any, Final

from session_protocol import bencode
from session_protocol.accounts import ed25519_pk_to_x25519
from session_protocol.bencode import Bencoded
from session_protocol.ed25519 import verify_detached
from session_protocol.errors import BadSignature, ProtocolError
from session_protocol.namespaces import LARGEST_NAMESPACE, SMALLEST_NAMESPACE
from session_protocol.push import monitor_payload
from session_protocol.storage_auth import TOKEN_BYTES, Access, Subaccount

BAD_ARGUMENTS: Final = 1
BAD_PUBKEY: Final = 2
BAD_NAMESPACES: Final = 3
BAD_TIMESTAMP: Final = 4
BAD_SIGNATURE: Final = 5
WRONG_SWARM: Final = 6

_KEY_BYTES: Final = 32
_ACCOUNT_BYTES: Final = 33
_SIGNATURE_BYTES: Final = 64
_SESSION_ID_PREFIX: Final = b"\x05"
_NOT_BT: Final = "Invalid arguments: expected one message part with a bt dictionary or a list of them"

Reply = dict[str, Any]


class Refused(Exception):
    """Answer a subscription with this error."""

    def __init__(self, code: int, text: str, **more: Any) -> None:
        super().__init__(text)
        self.reply: Reply = {"errcode": code, "error": text, **more}


@dataclass(frozen=True, slots=True)
class MonitorRequest:
    """A subscription as it was asked for; ``key`` is the owner's Ed25519 key."""

    account: bytes
    key: bytes
    subaccount: Subaccount | None
    with_data: bool
    namespaces: tuple[int, ...]
    signature: bytes
    timestamp_s: int

    @property
    def payload(self) -> bytes:
        """Return what the signature covers."""
        return monitor_payload(
            self.account.hex(), self.timestamp_s, self.namespaces, with_data=self.with_data
        )


def check_signature(
    payload: bytes, signature: bytes, *, account: bytes, key: bytes, subaccount: Subaccount | None
) -> None:
    """Raise BadSignature unless the owner of the account's key signed, or a sub-account that may read.

    The revocation of sub-accounts does not count here.
    """
    signer = key
    if subaccount is not None:
        try:
            _check_subaccount(subaccount, account, key)
        except ProtocolError as error:
            raise BadSignature(f"Subaccount verification failed: {error}") from None
        signer = subaccount.ed25519_pk
    try:
        verify_detached(signer, payload, signature)
    except ProtocolError:
        raise BadSignature("Signature verification failed") from None


def _check_subaccount(subaccount: Subaccount, account: bytes, key: bytes) -> None:
    if Access.ANY_PREFIX not in subaccount.access and subaccount.prefix != account[0]:
        raise BadSignature("the token is for another account prefix")
    if Access.READ not in subaccount.access:
        raise BadSignature("the token does not allow to read")
    verify_detached(key, subaccount.token, subaccount.owner_signature)


def parse_request(asked: "Bencoded | None") -> MonitorRequest:
    """Read one subscription, its keys in the order in which nodes look at them; raise Refused."""
    if not isinstance(asked, dict):
        raise Refused(BAD_ARGUMENTS, _NOT_BT)
    key = _bytes(asked, b"P")
    if key is not None and len(key) != _KEY_BYTES:
        raise Refused(BAD_PUBKEY, "Provided P= Session Ed25519 pubkey must be 32 bytes")
    subaccount = _parse_subaccount(asked)
    with_data = _integer(asked, b"d", 0, 1)
    namespaces = _parse_namespaces(asked)
    account = _bytes(asked, b"p")
    if key is not None and account is not None:
        raise _invalid("Cannot provide both p= and P= pubkey values")
    if account is not None and len(account) != _ACCOUNT_BYTES:
        raise Refused(BAD_PUBKEY, "Provided p= pubkey must be 33 bytes")
    if key is not None:
        owner, account = key, _session_id(key)
    elif account is not None:
        owner = account[1:]
    else:
        raise _invalid("Either p= or P= must be given")
    signature = _bytes(asked, b"s")
    if signature is None:
        raise _invalid("required key 's' is missing")
    if len(signature) != _SIGNATURE_BYTES:
        raise Refused(BAD_SIGNATURE, "Provided s= signature must be 64 bytes")
    timestamp_s = _integer(asked, b"t", bencode.SMALLEST_INTEGER, 2**63 - 1)
    if timestamp_s is None:
        raise _invalid("required signature timestamp is missing")
    return MonitorRequest(
        account=account,
        key=owner,
        subaccount=subaccount,
        with_data=bool(with_data),
        namespaces=namespaces,
        signature=signature,
        timestamp_s=timestamp_s,
    )


def _invalid(text: str) -> Refused:
    return Refused(BAD_ARGUMENTS, f"Invalid arguments: {text}")


def _bytes(asked: "dict[bytes, Bencoded]", name: bytes) -> bytes | None:
    value = asked.get(name)
    if value is None or isinstance(value, bytes):
        return value
    raise _invalid(f"{name.decode()}= must be a string")


def _integer(asked: "dict[bytes, Bencoded]", name: bytes, smallest: int, largest: int) -> int | None:
    value = asked.get(name)
    if value is None or (isinstance(value, int) and smallest <= value <= largest):
        return value
    raise _invalid(f"{name.decode()}= must be an integer from {smallest} to {largest}")


def _parse_subaccount(asked: "dict[bytes, Bencoded]") -> Subaccount | None:
    signature = _bytes(asked, b"S")
    if signature is None:
        return None
    if len(signature) != _SIGNATURE_BYTES:
        raise Refused(BAD_PUBKEY, f"Provided S subaccount signature must be {_SIGNATURE_BYTES} bytes")
    token = _bytes(asked, b"T")
    if token is None:
        raise _invalid("required key 'T' is missing")
    if len(token) != TOKEN_BYTES:
        raise Refused(BAD_PUBKEY, f"Provided T subaccount token must be {TOKEN_BYTES} bytes")
    return Subaccount(token, signature)


def _parse_namespaces(asked: "dict[bytes, Bencoded]") -> tuple[int, ...]:
    listed = asked.get(b"n")
    if not isinstance(listed, list) or not listed:
        raise _invalid("n= must be a list of namespaces, with one at least")
    namespaces: list[int] = []
    for each in listed:
        if not isinstance(each, int) or not SMALLEST_NAMESPACE <= each <= LARGEST_NAMESPACE:
            raise _invalid("namespaces must be 16-bit integers")
        if namespaces and each <= namespaces[-1]:
            raise Refused(BAD_NAMESPACES, "Invalid n= namespace list: namespaces must be ascending")
        namespaces.append(each)
    return tuple(namespaces)


def _session_id(key: bytes) -> bytes:
    try:
        return _SESSION_ID_PREFIX + ed25519_pk_to_x25519(key)
    except ProtocolError:
        raise Refused(BAD_PUBKEY, "Invalid P= ed25519 public key") from None
