"""The two outer layers of a message: WebSocketMessage around Envelope (client-protocol §2.3)."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

import nacl.bindings

from session_protocol.errors import BadFormat, InvalidArgument
from session_protocol.proto import wire
from session_protocol.proto.reading import read_protobuf, read_text

PROSIG_BYTES: Final = 64
_SOURCE_LENGTH: Final = 66
_TIMESTAMP_LIMIT: Final = 1 << 64


class EnvelopeType(IntEnum):
    """What an Envelope carries."""

    SESSION_MESSAGE = wire.Envelope.SESSION_MESSAGE
    CLOSED_GROUP_MESSAGE = wire.Envelope.CLOSED_GROUP_MESSAGE


@dataclass(frozen=True, slots=True)
class EnvelopeStyle:
    """What writers fill in differently and readers pass over (client-protocol §11, points 2 and 8)."""

    verb: str = ""
    path: str = ""
    source_device: int | None = 1
    prosig: Literal["decoy", "none"] = "decoy"
    source: str | None = None


CURRENT: Final = EnvelopeStyle()
"""libsession of 2025 and later, hence all current apps."""

LEGACY: Final = EnvelopeStyle("PUT", "/api/v1/message", source_device=0, prosig="none", source="")
"""Desktop until 2024 and several bots."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields of an Envelope that anybody reads; ``timestamp_ms`` is nobody's word: it is not signed.

    ``verb`` and ``path`` are those of the request around it, which only tell writers apart.
    """

    type: EnvelopeType
    timestamp_ms: int
    source: str
    source_device: int | None
    content: bytes
    prosig: bytes | None
    verb: str = ""
    path: str = ""


def wrap_envelope(
    ciphertext: bytes,
    timestamp_ms: int,
    *,
    style: EnvelopeStyle = CURRENT,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Wrap a session-protocol ciphertext in both layers; what goes base64 into the ``data`` of a store."""
    return wrap_request(
        build_envelope(ciphertext, timestamp_ms, style=style, random_bytes=random_bytes), style
    )


def build_envelope(
    ciphertext: bytes,
    timestamp_ms: int,
    *,
    style: EnvelopeStyle = CURRENT,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Write the inner layer only; InvalidArgument for a timestamp that 64 bits cannot hold."""
    if not 0 <= timestamp_ms < _TIMESTAMP_LIMIT:
        raise InvalidArgument(f"a timestamp is a number of milliseconds below 2^64, not {timestamp_ms}")
    envelope = wire.Envelope(
        type=wire.Envelope.SESSION_MESSAGE,
        source=style.source,
        timestamp=timestamp_ms,
        source_device=style.source_device,
        content=bytes(ciphertext),
        prosig=decoy_prosig(random_bytes) if style.prosig == "decoy" else None,
    )
    return envelope.SerializeToString()


def wrap_request(envelope: bytes, style: EnvelopeStyle = CURRENT) -> bytes:
    """Write the outer layer around an Envelope."""
    request = wire.WebSocketRequest(verb=style.verb, path=style.path, body=envelope, id=0)
    return wire.WebSocketMessage(type=wire.WebSocketMessage.REQUEST, request=request).SerializeToString()


def unwrap_envelope(data: bytes) -> Envelope:
    """Read both layers, whoever wrote them.

    Raises BadFormat for what is no WebSocketMessage with a request and a body, an Envelope without content,
    a ``source`` that is neither empty nor 66 hex digits, a ``prosig`` of another length than 64 bytes.
    """
    outer = read_protobuf(wire.WebSocketMessage, data, "WebSocketMessage")
    if not outer.HasField("request") or not outer.request.HasField("body"):
        raise BadFormat("the WebSocketMessage has no request with a body")
    inner = read_protobuf(wire.Envelope, outer.request.body, "Envelope")
    if not inner.HasField("content"):
        raise BadFormat("the Envelope has no content")
    source = read_text(inner.source)
    if source and (len(source) != _SOURCE_LENGTH or not set(source) <= set("0123456789abcdefABCDEF")):
        raise BadFormat(f"the Envelope's source must be empty or an id of 66 hex digits, not {source!r:.80}")
    prosig = inner.prosig if inner.HasField("prosig") else None
    if prosig is not None and len(prosig) != PROSIG_BYTES:
        raise BadFormat(f"the Envelope's prosig has {len(prosig)} bytes, not {PROSIG_BYTES}")
    return Envelope(
        type=EnvelopeType(inner.type),
        timestamp_ms=inner.timestamp,
        source=source,
        source_device=inner.source_device if inner.HasField("source_device") else None,
        content=inner.content,
        prosig=prosig,
        verb=read_text(outer.request.verb),
        path=read_text(outer.request.path),
    )


def decoy_prosig(random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """Make 64 bytes that look like a signature: a random point, a random scalar below the group order."""
    scalar = nacl.bindings.crypto_core_ed25519_scalar_reduce
    point = nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(scalar(random_bytes(64)))
    return point + scalar(random_bytes(64))
