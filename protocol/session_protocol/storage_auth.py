"""Signatures of storage requests: what is signed, and how a node verifies it (storage-rpc §§6, 7)."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Literal, TypeAlias, TypeVar

from session_protocol.accounts import Account, ed25519_pk_to_x25519
from session_protocol.ed25519 import sign_detached, verify_detached
from session_protocol.errors import BadSignature, InvalidArgument, InvalidId, InvalidLength, ProtocolError
from session_protocol.namespaces import (
    allows_unauthenticated_retrieve,
    allows_unauthenticated_store,
    is_public_inbox,
    is_public_outbox,
    is_unrevocable,
    max_ttl_ms,
    namespace_text,
)

__all__ = [
    "ALL_NAMESPACES",
    "TOKEN_BYTES",
    "Access",
    "ExpireMode",
    "Subaccount",
    "allows_unauthenticated_retrieve",
    "allows_unauthenticated_store",
    "is_public_inbox",
    "is_public_outbox",
    "is_unrevocable",
    "max_ttl_ms",
    "message_hash",
    "namespace_text",
    "request_payload",
    "required_access",
    "sign",
    "sign_request",
    "signature_payload",
    "verify",
]

ExpireMode: TypeAlias = Literal["", "shorten", "extend"]

ALL_NAMESPACES = "all"
TOKEN_BYTES = 36
_ACCOUNT_BYTES = 33
_STANDARD_PREFIX = 0x05
_NAMESPACED = frozenset({"store", "retrieve", "delete_all", "delete_before", "expire_all"})
_ALL_NAMESPACES_ALLOWED = frozenset({"delete_all", "delete_before", "expire_all"})
_TOKEN_PARAMETERS = {"revoke_subaccount": "revoke", "unrevoke_subaccount": "unrevoke"}


class Access(IntFlag):
    """What a sub-account token allows (storage-rpc §6.2)."""

    READ = 1
    WRITE = 2
    DELETE = 4
    ANY_PREFIX = 8


@dataclass(frozen=True, slots=True)
class Subaccount:
    """A token (36 bytes: prefix ‖ flags ‖ 00 00 ‖ Ed25519 key) and the owner's signature over it."""

    token: bytes
    owner_signature: bytes

    def __post_init__(self) -> None:
        if len(self.token) != TOKEN_BYTES:
            raise InvalidLength(f"a sub-account token has {TOKEN_BYTES} bytes, not {len(self.token)}")

    @property
    def prefix(self) -> int:
        """Return the account prefix that the token is for."""
        return self.token[0]

    @property
    def access(self) -> Access:
        """Return what the token allows."""
        return Access(self.token[1] & sum(Access))

    @property
    def ed25519_pk(self) -> bytes:
        """Return the key that signs the sub-account's requests."""
        return self.token[4:]


def signature_payload(
    method: str,
    *,
    namespace: int | str = 0,
    timestamp_ms: int | None = None,
    messages: Sequence[str] = (),
    expiry_ms: int | Sequence[int] | None = None,
    mode: ExpireMode = "",
    before_ms: int | None = None,
    tokens: Sequence[bytes] = (),
) -> bytes:
    """Return the bytes that the signature of a request covers (storage-rpc §6.1).

    ``namespace`` may be ``"all"`` for delete_all, delete_before and expire_all; ``timestamp_ms`` of
    ``store`` is its ``sig_timestamp``; ``tokens`` are raw, 36 bytes each. Arguments that the method does
    not sign are ignored. Raise InvalidArgument for an unknown method, or for a missing or impossible
    argument.
    """
    where = _namespace(method, namespace) if method in _NAMESPACED else ""
    match method:
        case "store" | "retrieve" | "delete_all":
            text = f"{method}{where}{_needed(method, 'timestamp_ms', timestamp_ms)}"
        case "delete_before":
            text = f"{method}{where}{_needed(method, 'before_ms', before_ms)}"
        case "expire_all":
            if isinstance(expiry_ms, Sequence):
                raise InvalidArgument("expire_all takes one expiry, not a list")
            text = f"{method}{where}{_needed(method, 'expiry_ms', expiry_ms)}"
        case "delete":
            text = method + "".join(_some(method, messages))
        case "expire":
            expiries = _needed(method, "expiry_ms", expiry_ms)
            numbers = expiries if isinstance(expiries, Sequence) else (expiries,)
            text = f"{method}{mode}{''.join(map(str, numbers))}{''.join(_some(method, messages))}"
        case "get_expiries":
            text = (
                f"{method}{_needed(method, 'timestamp_ms', timestamp_ms)}{''.join(_some(method, messages))}"
            )
        case "revoke_subaccount" | "unrevoke_subaccount":
            text = f"{method}{_needed(method, 'timestamp_ms', timestamp_ms)}"
            return _ascii(text) + b"".join(tokens)
        case "revoked_subaccounts":
            text = f"{method}{_needed(method, 'timestamp_ms', timestamp_ms)}"
        case _:
            raise InvalidArgument(f"requests with the method {method!r} are not signed")
    return _ascii(text)


def sign(account: Account, payload: bytes) -> bytes:
    """Sign with the account's Ed25519 key; 64 bytes."""
    return sign_detached(account.ed25519_sk, payload)


def sign_request(account: Account, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request of this account, signed: what a client puts under ``params``.

    ``params`` has the names of the wire (``namespace``, ``timestamp``, ``sig_timestamp``, ``messages``,
    ``expiry``, ``shorten``, ``extend``, ``before``, ``revoke``, ``unrevoke``); the copy has ``pubkey``,
    ``pubkey_ed25519`` and ``signature`` (base64) besides. Raise InvalidArgument as ``signature_payload``
    does.
    """
    return {
        **params,
        "pubkey": account.account_id,
        "pubkey_ed25519": account.ed25519_pk.hex(),
        "signature": base64.b64encode(sign(account, request_payload(method, params))).decode(),
    }


def request_payload(method: str, params: Mapping[str, Any]) -> bytes:
    """Return what the signature of a request with these parameters, named as on the wire, covers.

    Raise InvalidArgument as ``signature_payload`` does.
    """
    timestamp = params.get("timestamp")
    if method == "store":
        timestamp = params.get("sig_timestamp") or timestamp
    if params.get("shorten") and params.get("extend"):
        raise InvalidArgument("cannot specify both 'shorten' and 'extend'")
    messages = params.get("messages") or ()
    namespace = params.get("namespace")
    return signature_payload(
        method,
        namespace=0 if namespace is None else namespace,
        timestamp_ms=timestamp,
        messages=(messages,) if isinstance(messages, str) else messages,
        expiry_ms=params.get("expiry"),
        mode="shorten" if params.get("shorten") else "extend" if params.get("extend") else "",
        before_ms=params.get("before"),
        tokens=_tokens(params.get(_TOKEN_PARAMETERS.get(method, ""))),
    )


def required_access(method: str, namespace: int | str = 0) -> Access | None:
    """Return what a sub-account needs for a method; ``None`` where only the owner may (storage-rpc §6.1)."""
    match method:
        case "store":
            outbox = isinstance(namespace, int) and is_public_outbox(namespace)
            return Access.WRITE | Access.DELETE if outbox else Access.WRITE
        case "retrieve" | "get_expiries":
            return Access.READ
        case "expire":
            return Access.WRITE
        case "delete" | "delete_all" | "delete_before" | "expire_all":
            return Access.DELETE
    return None


def verify(
    account: bytes,
    payload: bytes,
    signature: bytes,
    *,
    pubkey_ed25519: bytes | None = None,
    subaccount: Subaccount | None = None,
    access: Access = Access.READ | Access.WRITE | Access.DELETE,
    revoked: Container[bytes] = (),
    to_x25519: Callable[[bytes], bytes] = ed25519_pk_to_x25519,
) -> None:
    """Verify a request as a storage node does: signed by the account's owner, or by one of its sub-accounts.

    ``account`` has 33 bytes; ``pubkey_ed25519`` is allowed for 05 accounts only, whose key it must
    convert to; without it the account's own 32 bytes verify. For a sub-account the checks are, in this
    order (storage-rpc §6.2): the token is not among ``revoked``; its prefix is the account's, or it has
    ``Access.ANY_PREFIX``; it allows all of ``access`` (see ``required_access``); the owner signed it; it
    signed the request. A caller that may read although revoked passes no ``revoked``. ``to_x25519`` is for
    callers that keep conversions of keys they have seen: one takes almost as long as a signature's check.

    Raise BadSignature for whatever a node answers 401; InvalidId and InvalidArgument for what it answers
    400.
    """
    owner = _owner_key(account, pubkey_ed25519, to_x25519)
    if subaccount is None:
        verify_detached(owner, payload, signature)
        return
    if subaccount.token in revoked:
        raise BadSignature("the sub-account is revoked")
    if Access.ANY_PREFIX not in subaccount.access and subaccount.prefix != account[0]:
        raise BadSignature(f"the sub-account is for {subaccount.prefix:02x} accounts, not {account[0]:02x}")
    if access not in subaccount.access:
        raise BadSignature(f"the sub-account lacks {access & ~subaccount.access!r}")
    verify_detached(owner, subaccount.token, subaccount.owner_signature)
    verify_detached(subaccount.ed25519_pk, payload, signature)


def message_hash(account: bytes, namespace: int, data: bytes) -> str:
    """Return a message's name on the nodes: 43 base64 characters over account (33 bytes), namespace and data.

    Neither timestamp nor expiry count, so that the same body stored again is the same message
    (storage-rpc §7).
    """
    if len(account) != _ACCOUNT_BYTES:
        raise InvalidId(f"an account has {_ACCOUNT_BYTES} bytes with its prefix, not {len(account)}")
    digest = hashlib.blake2b(digest_size=32)
    digest.update(account)
    digest.update(namespace_text(namespace).encode())
    digest.update(data)
    return base64.b64encode(digest.digest()).decode().rstrip("=")


def _owner_key(account: bytes, pubkey_ed25519: bytes | None, to_x25519: Callable[[bytes], bytes]) -> bytes:
    if len(account) != _ACCOUNT_BYTES:
        raise InvalidId(f"an account has {_ACCOUNT_BYTES} bytes with its prefix, not {len(account)}")
    if pubkey_ed25519 is None:
        return account[1:]
    if account[0] != _STANDARD_PREFIX:
        raise InvalidArgument("pubkey_ed25519 is only permitted for 05[...] pubkeys")
    try:
        converted = to_x25519(pubkey_ed25519)
    except ProtocolError as error:
        raise BadSignature(f"pubkey_ed25519 is no Ed25519 key: {error}") from None
    if converted != account[1:]:
        raise BadSignature("pubkey_ed25519 is not the key of this account")
    return pubkey_ed25519


def _namespace(method: str, namespace: int | str) -> str:
    if isinstance(namespace, int):
        return namespace_text(namespace)
    if namespace != ALL_NAMESPACES or method not in _ALL_NAMESPACES_ALLOWED:
        raise InvalidArgument(f"{method} cannot be signed for the namespace {namespace!r}")
    return namespace


_V = TypeVar("_V")


def _needed(method: str, name: str, value: _V | None) -> _V:
    if value is None:
        raise InvalidArgument(f"the signature of {method} covers {name}: give it")
    return value


def _some(method: str, messages: Sequence[str]) -> Sequence[str]:
    if not messages:
        raise InvalidArgument(f"the signature of {method} covers message hashes: give at least one")
    return messages


def _ascii(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise InvalidArgument("message hashes are ASCII") from None


def _tokens(value: str | Sequence[str] | None) -> list[bytes]:
    texts = [value] if isinstance(value, str) else value or []
    try:
        tokens = [
            bytes.fromhex(text) if len(text) == 2 * TOKEN_BYTES else base64.b64decode(text, validate=True)
            for text in texts
        ]
    except (binascii.Error, ValueError):
        tokens = [b""]
    if any(len(token) != TOKEN_BYTES for token in tokens):
        raise InvalidArgument("sub-account tokens are 36 bytes in base64 (48 characters) or hex (72 digits)")
    return tokens
