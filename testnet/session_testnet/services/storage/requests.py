"""Requests of clients, parsed: immutable values that other members can be handed as they are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from session_protocol.namespaces import allows_unauthenticated_retrieve
from session_protocol.storage_auth import ExpireMode, Subaccount, message_hash
from session_testnet.services.storage import fields
from session_testnet.services.storage.fields import Params
from session_testnet.services.storage.results import ParseError
from session_testnet.services.storage.settings import (
    MAX_MESSAGE_BYTES,
    MAX_REVOKED_TOKENS,
    RETRIEVE_MAX_BYTES,
)

# What a retrieve gets that names no limit: a fifth of a full page (storage-rpc §10.2).
_DEFAULT_PAGE_BYTES: Final = RETRIEVE_MAX_BYTES // 5


@dataclass(frozen=True, slots=True)
class Authentication:
    """How a request proves that it may: a signature by the account's owner, or by a sub-account of it."""

    signature: bytes
    pubkey_ed25519: bytes | None = None
    subaccount: Subaccount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRequest:
    """A request about one account (33 bytes)."""

    account: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest(AccountRequest):
    """A request that must be signed."""

    authentication: Authentication


@dataclass(frozen=True, slots=True, kw_only=True)
class Store(AccountRequest):
    """Keep a message; the fork of ``ttl`` and ``expiry`` is resolved, times are in milliseconds."""

    data: bytes
    hash: str
    namespace: int
    timestamp: int
    expiry: int
    sig_timestamp: int
    authentication: Authentication | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieve(AccountRequest):
    """List messages; ``max_size`` is in bytes of the estimated reply, ``max_count`` None for no limit.

    ``authentication`` is None where the request asks without a signature; ``timestamp`` is then None too.
    """

    namespace: int
    last_hash: str | None
    max_count: int | None
    max_size: int
    reverse: bool
    timestamp: int | None
    authentication: Authentication | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(SignedRequest):
    """Delete messages by hash; ``required`` makes it an error when none was there."""

    messages: tuple[str, ...]
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAll(SignedRequest):
    """Delete the messages of one namespace, or of ``"all"``."""

    namespace: int | str
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBefore(SignedRequest):
    """Delete messages whose timestamp is at most ``before``."""

    namespace: int | str
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireAll(SignedRequest):
    """Let messages expire at ``expiry`` that would later."""

    namespace: int | str
    expiry: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire(SignedRequest):
    """Change when messages expire: to one time, or to one for each.

    ``mode`` is what was asked for and signed; ``only_extend`` is set for a sub-account that may do no more.
    ``latest`` is until when messages may live at most, and ``trivial`` names those that would gain too
    little: the asked member decides both, for all.
    """

    messages: tuple[str, ...]
    expiries: tuple[int, ...]
    mode: ExpireMode
    only_extend: bool = False
    latest: int | None = None
    trivial: tuple[str, ...] = ()

    def extending_only(self) -> "Expire":
        """Return the same request, that takes no message's time away."""
        return replace(self, only_extend=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetExpiries(SignedRequest):
    """Tell when messages expire."""

    messages: tuple[str, ...]
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRevocations(SignedRequest):
    """Revoke sub-accounts or take that back; tokens are 36 bytes each, in the order of the request."""

    tokens: tuple[bytes, ...]
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedSubaccounts(SignedRequest):
    """List the revoked sub-accounts."""

    timestamp: int


def parse_store(params: Params) -> Store:
    """Parse the parameters of ``store`` (storage-rpc §10.1)."""
    data, expiry = fields.text(params, "data"), fields.timestamp(params, "expiry")
    namespace = fields.namespace(params) or 0
    sig_timestamp = fields.timestamp(params, "sig_timestamp")
    signature = fields.text(params, "signature")
    timestamp = fields.written_integer(params, "timestamp", unsigned=False)
    ttl = fields.written_integer(params, "ttl", unsigned=True)
    if timestamp is None:
        raise fields.missing("timestamp")
    if expiry is not None and ttl is not None:
        raise ParseError("Cannot specify both 'expiry' and 'ttl'")
    if expiry is None and ttl is None:
        raise ParseError("Required field 'expiry' or 'ttl' missing")
    account = fields.account(params, alias=True)
    authentication = None if signature is None else _authentication(params, account, signature)
    if data is None:
        raise fields.missing("data")
    raw = fields.data_bytes(data)
    if raw is None:
        raise ParseError("Invalid 'data' value: not base64 encoded")
    if len(raw) > MAX_MESSAGE_BYTES:
        raise ParseError(f"Message body exceeds maximum allowed length of {MAX_MESSAGE_BYTES} bytes")
    return Store(
        account=account,
        data=raw,
        hash=message_hash(account, namespace, raw),
        namespace=namespace,
        timestamp=timestamp,
        expiry=timestamp + (ttl or 0) if expiry is None else expiry,
        sig_timestamp=timestamp if sig_timestamp is None else sig_timestamp,
        authentication=authentication,
    )


def parse_retrieve(params: Params) -> Retrieve:
    """Parse the parameters of ``retrieve`` (storage-rpc §10.2)."""
    old_last_hash, last_hash = fields.text(params, "lastHash"), fields.text(params, "last_hash")
    max_count, max_size = fields.integer(params, "max_count"), fields.integer(params, "max_size")
    given_namespace = fields.namespace(params)
    reverse = fields.boolean(params, "reverse_direction")
    signature, timestamp = fields.text(params, "signature"), fields.timestamp(params, "timestamp")
    account = fields.account(params, alias=True)
    signed = signature is not None or timestamp is not None or params.get("pubkey_ed25519") is not None
    if signed or not (given_namespace is None or allows_unauthenticated_retrieve(given_namespace)):
        if signature is None:
            raise fields.missing("signature")
        authentication = _authentication(params, account, signature)
        if timestamp is None:
            raise fields.missing("timestamp")
    else:
        authentication = None
    if last_hash is not None and old_last_hash is not None:
        raise ParseError("Cannot specify both 'last_hash' and 'lastHash'")
    return Retrieve(
        account=account,
        namespace=given_namespace or 0,
        last_hash=_cursor(old_last_hash if last_hash is None else last_hash),
        # Upstream a negative count means no limit, with oddities (storage-rpc §10.2); here it is just none.
        max_count=max_count if max_count is not None and max_count > 0 else None,
        max_size=_page_bytes(max_size or 0, counted=bool(max_count)),
        reverse=reverse,
        timestamp=timestamp,
        authentication=authentication,
    )


def _cursor(last_hash: str | None) -> str | None:
    if not last_hash:
        return None
    if len(last_hash) != 43:
        raise ParseError("Invalid last_hash: expected base64 (43 chars)")
    if not fields.is_message_hash(last_hash):
        raise ParseError("Invalid last_hash: not base64")
    return last_hash


def _page_bytes(max_size: int, *, counted: bool) -> int:
    """Return how large a page may be: absolute, a fraction of the whole if negative, or the default for 0."""
    if max_size < 0:
        return RETRIEVE_MAX_BYTES // -max_size
    if max_size > 0:
        return min(max_size, RETRIEVE_MAX_BYTES)
    return RETRIEVE_MAX_BYTES if counted else _DEFAULT_PAGE_BYTES


def parse_delete(params: Params) -> Delete:
    """Parse the parameters of ``delete`` (storage-rpc §10.3)."""
    required = fields.boolean(params, "required")
    account, authentication = _signed(params)
    return Delete(
        account=account,
        authentication=authentication,
        messages=fields.message_hashes(params),
        required=required,
    )


def parse_delete_all(params: Params) -> DeleteAll:
    """Parse the parameters of ``delete_all`` (storage-rpc §10.4)."""
    namespace = fields.namespace_or_all(params)
    account, authentication = _signed(params)
    return DeleteAll(
        account=account,
        authentication=authentication,
        namespace=namespace,
        timestamp=_needed_timestamp(params, "timestamp"),
    )


def parse_delete_before(params: Params) -> DeleteBefore:
    """Parse the parameters of ``delete_before`` (storage-rpc §10.5)."""
    namespace = fields.namespace_or_all(params)
    account, authentication = _signed(params)
    return DeleteBefore(
        account=account,
        authentication=authentication,
        namespace=namespace,
        before=_needed_timestamp(params, "before"),
    )


def parse_expire_all(params: Params) -> ExpireAll:
    """Parse the parameters of ``expire_all`` (storage-rpc §10.6)."""
    namespace = fields.namespace_or_all(params)
    account, authentication = _signed(params)
    return ExpireAll(
        account=account,
        authentication=authentication,
        namespace=namespace,
        expiry=_needed_timestamp(params, "expiry"),
    )


def parse_expire(params: Params) -> Expire:
    """Parse the parameters of ``expire`` (storage-rpc §10.7)."""
    expiries = fields.timestamps(params, "expiry")
    extend, shorten = fields.boolean(params, "extend"), fields.boolean(params, "shorten")
    account, authentication = _signed(params)
    if expiries is None:
        raise fields.missing("expiry")
    if not expiries:
        raise ParseError("'expiry' does not contain any expiration timestamps")
    if shorten and extend:
        raise ParseError("cannot specify both 'shorten' and 'extend'")
    messages = fields.some_messages(params)
    if len(expiries) > 1 and len(expiries) != len(messages):
        raise ParseError("'expiry' must be a single expiry, or the same length as 'messages'")
    return Expire(
        account=account,
        authentication=authentication,
        messages=fields.message_hashes(params),
        expiries=expiries,
        mode="shorten" if shorten else "extend" if extend else "",
    )


def parse_get_expiries(params: Params) -> GetExpiries:
    """Parse the parameters of ``get_expiries``; the hashes may have any form (storage-rpc §10.8)."""
    account, authentication = _signed(params)
    timestamp = _needed_timestamp(params, "timestamp")
    return GetExpiries(
        account=account,
        authentication=authentication,
        messages=fields.some_messages(params),
        timestamp=timestamp,
    )


def parse_revoke(params: Params) -> ChangeRevocations:
    """Parse the parameters of ``revoke_subaccount`` (storage-rpc §10.12)."""
    account, authentication = _signed(params, subaccounts=False)
    tokens = fields.texts(params, "revoke")
    if tokens is None:
        raise fields.missing("revoke")
    if len(tokens) > MAX_REVOKED_TOKENS:
        raise ParseError(f"invalid revoke: cannot revoke more than {MAX_REVOKED_TOKENS} subaccounts at once")
    return ChangeRevocations(
        account=account,
        authentication=authentication,
        tokens=_tokens("revoke", tokens),
        timestamp=_needed_timestamp(params, "timestamp"),
    )


def parse_unrevoke(params: Params) -> ChangeRevocations:
    """Parse the parameters of ``unrevoke_subaccount`` (storage-rpc §10.12)."""
    account, authentication = _signed(params, subaccounts=False)
    timestamp = _needed_timestamp(params, "timestamp")
    tokens = fields.texts(params, "unrevoke")
    if tokens is None:
        raise fields.missing("unrevoke")
    return ChangeRevocations(
        account=account,
        authentication=authentication,
        tokens=_tokens("unrevoke", tokens),
        timestamp=timestamp,
    )


def parse_revoked_subaccounts(params: Params) -> RevokedSubaccounts:
    """Parse the parameters of ``revoked_subaccounts``; only the account's own key verifies (§10.13)."""
    account, authentication = _signed(params, subaccounts=False)
    return RevokedSubaccounts(
        account=account,
        authentication=replace(authentication, pubkey_ed25519=None),
        timestamp=_needed_timestamp(params, "timestamp"),
    )


def _signed(params: Params, *, subaccounts: bool = True) -> tuple[bytes, Authentication]:
    signature = fields.text(params, "signature")
    account = fields.account(params)
    if signature is None:
        raise fields.missing("signature")
    return account, _authentication(params, account, signature, subaccounts=subaccounts)


def _authentication(
    params: Params, account: bytes, signature: str, *, subaccounts: bool = True
) -> Authentication:
    key = fields.ed25519_key(params, account[0])
    raw = fields.signature_bytes(signature, "signature")
    return Authentication(raw, key, fields.subaccount(params) if subaccounts else None)


def _needed_timestamp(params: Params, name: str) -> int:
    value = fields.timestamp(params, name)
    if value is None:
        raise fields.missing(name)
    return value


def _tokens(what: str, encoded: Sequence[str]) -> tuple[bytes, ...]:
    tokens = [fields.token_bytes(each) for each in encoded]
    if None in tokens:
        raise ParseError(f"invalid {what}: expected base64 or hex-encoded subaccount tag")
    return tuple(token for token in tokens if token is not None)
