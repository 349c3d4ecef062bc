"""Onion requests to servers, version 4, answered by the server's own handlers (onion-requests §7.1)."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import nacl.bindings

from session_protocol import onion
from session_protocol.errors import ProtocolError
from session_testnet.services.exchange import (
    BINARY_TYPE,
    HttpError,
    ServiceRequest,
    ServiceResponse,
    binary_reply,
    text_reply,
)

ONION_PATH: Final = "/oxen/v4/lsrpc"
# What an onion request may have altogether, outer frame included, in bytes.
MAX_ONION_BYTES: Final = 10 * 1024 * 1024

Dispatch = Callable[[ServiceRequest], ServiceResponse]


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The X25519 pair that requests are sealed for, and the Ed25519 key behind it where there is one."""

    x25519_pk: bytes
    x25519_sk: bytes = field(repr=False)
    ed25519_pk: bytes | None = None

    @classmethod
    def from_seed(cls, seed: bytes) -> "ServerKeys":
        """Derive both keys from a 32-byte Ed25519 seed (file-server §2); ValueError for another size."""
        _check_size("an Ed25519 seed", seed)
        ed25519_pk, ed25519_sk = nacl.bindings.crypto_sign_seed_keypair(seed)
        return cls(
            x25519_pk=nacl.bindings.crypto_sign_ed25519_pk_to_curve25519(ed25519_pk),
            x25519_sk=nacl.bindings.crypto_sign_ed25519_sk_to_curve25519(ed25519_sk),
            ed25519_pk=ed25519_pk,
        )

    @classmethod
    def from_x25519(cls, secret: bytes) -> "ServerKeys":
        """Take a 32-byte X25519 secret, a published server's key file; ValueError for another size."""
        _check_size("an X25519 secret", secret)
        return cls(x25519_pk=nacl.bindings.crypto_scalarmult_base(secret), x25519_sk=secret)


@dataclass(frozen=True, slots=True)
class OnionEndpoint:
    """Answer ``POST /oxen/v4/lsrpc``: open the request, hand the inner one to ``dispatch``, seal its answer.

    What cannot be opened is answered 400 in the open; from there on every answer is sealed and travels with
    status 200, whatever the inner code is.
    """

    keys: ServerKeys
    dispatch: Dispatch
    random_bytes: Callable[[int], bytes] = os.urandom

    def answer(self, request: ServiceRequest) -> ServiceResponse:
        """Answer one onion request."""
        try:
            plaintext, reply_key = open_request(self.keys, request)
        except HttpError as error:
            return error.response
        inner = self._answer_inner(plaintext)
        sealed = onion.seal_reply(
            reply_key,
            onion.encode_v4_response(inner.status, inner.headers, inner.body),
            random_bytes=self.random_bytes,
        )
        return binary_reply(sealed)

    def _answer_inner(self, plaintext: bytes) -> ServiceResponse:
        try:
            inner = onion.decode_v4_request(plaintext)
        except ProtocolError:
            return text_reply("Invalid v4 onion request", 400)
        headers = {"content-type": BINARY_TYPE} | {
            name.lower(): value for name, value in inner.headers.items()
        }
        with contextlib.suppress(KeyError):
            del headers["content-length"]
        request = ServiceRequest.from_target(inner.method, inner.endpoint, headers, inner.body or b"")
        if is_onion(request):
            return text_reply("Invalid v4 onion request", 400)
        return self.dispatch(request)


def open_request(keys: ServerKeys, request: ServiceRequest) -> tuple[bytes, onion.ReplyKey]:
    """Open an onion request of any version; return its payload and the key that its answer is sealed with.

    Raise HttpError 400 for what is none, or is not sealed for these keys.
    """
    try:
        return onion.open_server_request(keys.x25519_sk, keys.x25519_pk, request.body)
    except ProtocolError as error:
        raise HttpError(400, f"this is not an onion request for this server: {error}") from None


def is_onion(inner: ServiceRequest) -> bool:
    """Tell whether the request inside an onion asks for another onion to be opened, which no client does.

    10 MiB have room for so many layers that opening them one inside the other would not end well.
    """
    return inner.path.endswith("/lsrpc")


def _check_size(what: str, secret: bytes) -> None:
    if len(secret) != 32:
        raise ValueError(f"{what} has 32 bytes, not {len(secret)}")
