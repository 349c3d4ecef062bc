"""Build onion requests: what a client does (onion-requests §3)."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import nacl.bindings

from session_protocol.errors import InvalidArgument, InvalidLength
from session_protocol.onion.encryption import KEY_BYTES, EncryptionType, ReplyKey, client_key, encrypt
from session_protocol.onion.frames import dump_json, frame

MAX_RELAYS = 15
"""As many nodes as a request may pass: the hop counter of the last is 15 at most (onion-requests §4.2)."""

_T = TypeVar("_T")

DEFAULT_CONTROL: Mapping[str, Any] = {"headers": ""}
"""The control object that mobile clients send; its key ``headers`` is what makes a node the destination."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A relay of a path: the key it is looked up by, and the key of its layer (32 bytes each)."""

    ed25519_pk: bytes
    x25519_pk: bytes


@dataclass(frozen=True, slots=True)
class NodeDestination:
    """A service node that answers the request itself."""

    ed25519_pk: bytes
    x25519_pk: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDestination:
    """A server outside the network of nodes, that the last relay posts to."""

    host: str
    x25519_pk: bytes
    target: str = "/oxen/v4/lsrpc"
    protocol: str = "https"
    port: int = 443
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class BuiltOnion:
    """The body to post to the guard, and the key of the destination's layer, that opens the answer."""

    body: bytes
    reply_key: ReplyKey


def build(
    path: Sequence[Hop],
    destination: NodeDestination | ServerDestination,
    payload: bytes,
    *,
    enc_type: EncryptionType = EncryptionType.AES_GCM,
    control: Mapping[str, Any] | None = None,
    announce_enc_type: bool | None = None,
    layer_enc_types: Sequence[EncryptionType] | None = None,
    ephemeral_secrets: Sequence[bytes] | None = None,
    nonces: Sequence[bytes] | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> BuiltOnion:
    """Wrap ``payload`` for ``destination`` into a layer for each of 0 to 15 relays, guard first.

    For a node the payload is a JSON request, and ``control`` the object beside it (default ``{"headers":
    ""}``); a server gets the payload alone. Without relays the body is for the destination itself.
    Per-layer arguments (``layer_enc_types`` instead of one ``enc_type``; ``ephemeral_secrets``, 32 bytes;
    ``nonces``, 12 or 24 bytes) stand in the order of the path, the destination last; keys and nonces not
    given are random, fresh for each layer. ``announce_enc_type``: name the encryption beside every
    ephemeral key; by default xchacha20 is named, and aes-gcm, which an absent name means, is not
    (onion-requests §3.1).

    Raise InvalidArgument for arguments that no node could understand, InvalidLength for keys or nonces of
    another size.
    """
    layers = len(path) + 1
    if len(path) > MAX_RELAYS:
        raise InvalidArgument(f"an onion path has at most {MAX_RELAYS} relays, not {len(path)}")
    types = _per_layer("layer_enc_types", layer_enc_types, layers) or [enc_type] * layers
    secrets = _per_layer("ephemeral_secrets", ephemeral_secrets, layers)
    if secrets is None:
        secrets = [random_bytes(KEY_BYTES) for _ in range(layers)]
    layer_nonces = _per_layer("nonces", nonces, layers)
    if layer_nonces is None:
        layer_nonces = [random_bytes(kind.nonce_bytes) for kind in types]

    def announced(kind: EncryptionType) -> bool:
        return kind is not EncryptionType.AES_GCM if announce_enc_type is None else announce_enc_type

    plaintext = _destination_plaintext(destination, payload, control)
    blob, public, reply_key = _seal(
        types[-1], secrets[-1], destination.x25519_pk, plaintext, layer_nonces[-1]
    )
    next_hop: Hop | NodeDestination | ServerDestination = destination
    for number in range(len(path) - 1, -1, -1):
        routing = _routing(next_hop, public, types[number + 1] if announced(types[number + 1]) else None)
        next_hop = path[number]
        blob, public, _ = _seal(
            types[number], secrets[number], next_hop.x25519_pk, frame(blob, routing), layer_nonces[number]
        )
    outer = f"{{{_enc_type_field(types[0] if announced(types[0]) else None)}{_key_field(public)}}}"
    return BuiltOnion(frame(blob, outer.encode()), reply_key)


def _per_layer(name: str, values: Sequence[_T] | None, layers: int) -> Sequence[_T] | None:
    if values is not None and len(values) != layers:
        raise InvalidArgument(
            f"{name} has {len(values)} values for {layers} layers (the destination's is the last)"
        )
    return values


def _destination_plaintext(
    destination: NodeDestination | ServerDestination, payload: bytes, control: Mapping[str, Any] | None
) -> bytes:
    if isinstance(destination, ServerDestination):
        if control is not None:
            raise InvalidArgument("a server gets no control object: leave control out")
        return payload
    if control is None:
        control = DEFAULT_CONTROL
    elif "headers" not in control:
        raise InvalidArgument(
            'the control object needs the key "headers": without it a node takes itself for a relay'
        )
    return frame(payload, control)


def _seal(
    enc_type: EncryptionType, secret: bytes, recipient: bytes, plaintext: bytes, nonce: bytes
) -> tuple[bytes, bytes, ReplyKey]:
    if len(secret) != KEY_BYTES:
        raise InvalidLength(f"an ephemeral secret has {KEY_BYTES} bytes, not {len(secret)}")
    public = nacl.bindings.crypto_scalarmult_base(secret)
    key = client_key(enc_type, secret, public, recipient)
    return encrypt(key, plaintext, nonce), public, key


def _routing(
    next_hop: Hop | NodeDestination | ServerDestination, public: bytes, enc_type: EncryptionType | None
) -> bytes:
    if isinstance(next_hop, ServerDestination):
        announced = {} if enc_type is None else {"enc_type": enc_type.value}
        return dump_json(
            {
                "host": next_hop.host,
                "target": next_hop.target,
                "method": next_hop.method,
                "protocol": next_hop.protocol,
                "port": next_hop.port,
                "ephemeral_key": public.hex(),
                **announced,
            }
        )
    if len(next_hop.ed25519_pk) != KEY_BYTES:
        raise InvalidLength(f"an Ed25519 key has {KEY_BYTES} bytes, not {len(next_hop.ed25519_pk)}")
    # Only hex digits vary, so the text needs no JSON writer: this is the inner loop of every client.
    destination = f'"destination":"{next_hop.ed25519_pk.hex()}",'
    return f"{{{destination}{_enc_type_field(enc_type)}{_key_field(public)}}}".encode()


def _enc_type_field(enc_type: EncryptionType | None) -> str:
    return "" if enc_type is None else f'"enc_type":"{enc_type.value}",'


def _key_field(public: bytes) -> str:
    return f'"ephemeral_key":"{public.hex()}"'
