"""Peel onion requests: what a node or a server does with its layer (onion-requests §§4, 7)."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from session_protocol.errors import BadFormat
from session_protocol.onion.encryption import EncryptionType, ReplyKey, decrypt, node_key
from session_protocol.onion.frames import (
    enc_type_of,
    ephemeral_key_of,
    hop_number_of,
    key_of,
    parse_frame,
    view_frame,
)

_DEFAULT_PROTOCOL = "https"
_DEFAULT_PORT = 443
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class RelayToNode:
    """Pass ``blob`` on to the node with this Ed25519 key, and say how to open it."""

    next_ed25519: bytes
    ephemeral_key: bytes
    enc_type: EncryptionType
    blob: bytes


@dataclass(frozen=True, slots=True)
class RelayToServer:
    """Post ``payload``, the whole decrypted plaintext, to a server; ask ``is_allowed_target`` before."""

    host: str
    port: int
    protocol: str
    target: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class FinalDestination:
    """Answer ``body``, a JSON request: ``json`` embeds the result, ``base64`` makes the answer text."""

    body: bytes
    json: bool
    base64: bool
    control: dict[str, Any]


Layer: TypeAlias = RelayToNode | RelayToServer | FinalDestination


@dataclass(frozen=True, slots=True)
class Peeled:
    """A decrypted layer, and the key that this hop would encrypt an answer of its own with."""

    layer: Layer
    reply_key: ReplyKey


class InvalidLayer(BadFormat):
    """Refuse a layer that decrypts but says nothing a node understands.

    The hop answers 400 ``Invalid json``, encrypted with ``reply_key``, the key of its own layer
    (onion-requests §6).
    """

    def __init__(self, message: str, reply_key: ReplyKey) -> None:
        super().__init__(message)
        self.reply_key = reply_key


def peel(
    x25519_sk: bytes, x25519_pk: bytes, blob: bytes, ephemeral_key: bytes, enc_type: EncryptionType
) -> Peeled:
    """Decrypt the layer that is meant for the owner of the X25519 key pair, and say what to do with it.

    Raise DecryptFailed (a node answers 400 ``Invalid ciphertext``, plain), InvalidLayer, or InvalidLength
    for keys that have not 32 bytes.
    """
    reply_key = node_key(enc_type, x25519_sk, x25519_pk, ephemeral_key)
    plaintext = decrypt(reply_key, blob)
    try:
        return Peeled(classify(plaintext), reply_key)
    except BadFormat as error:
        raise InvalidLayer(str(error), reply_key) from None


def classify(plaintext: bytes) -> Layer:
    """Say what a decrypted layer asks for; the first key found decides (onion-requests §4.1).

    Raise BadFormat.
    """
    blob, routing = parse_frame(plaintext)
    if "headers" in routing:
        return FinalDestination(
            blob, _flag(routing, "json", default=False), _flag(routing, "base64", default=True), routing
        )
    if "host" in routing:
        return RelayToServer(
            host=_text(routing, "host"),
            port=_port(routing),
            protocol=_text(routing, "protocol", _DEFAULT_PROTOCOL),
            target=_text(routing, "target"),
            payload=plaintext,
        )
    return RelayToNode(key_of(routing, "destination"), ephemeral_key_of(routing), enc_type_of(routing), blob)


def is_allowed_target(protocol: str, target: str) -> bool:
    """Tell whether a relay may post there; else it answers ``Invalid url``, wrapped (onion-requests §4.3)."""
    return (
        protocol in ("http", "https")
        and target.startswith(("/loki/", "/oxen/"))
        and target.endswith("/lsrpc")
        and "?" not in target
    )


def open_server_request(x25519_sk: bytes, x25519_pk: bytes, body: bytes) -> tuple[bytes, ReplyKey]:
    """Decrypt what a relay posted to a server; return the v4 or v3 payload and the key for the answer.

    Raise BadFormat or DecryptFailed, after which a server answers a plain HTTP 400 (onion-requests §7).
    """
    blob, routing = view_frame(body)
    ephemeral_key, enc_type, _ = ephemeral_key_of(routing), enc_type_of(routing), hop_number_of(routing)
    reply_key = node_key(enc_type, x25519_sk, x25519_pk, ephemeral_key)
    return decrypt(reply_key, blob), reply_key


def _flag(routing: dict[str, Any], name: str, *, default: bool) -> bool:
    value = routing.get(name, default)
    if not isinstance(value, bool):
        raise BadFormat(f"{name} is not a boolean")
    return value


def _text(routing: dict[str, Any], name: str, default: str | None = None) -> str:
    value = routing.get(name, default)
    if not isinstance(value, str):
        raise BadFormat(f"{name} is missing or not a string")
    return value


def _port(routing: dict[str, Any]) -> int:
    port = routing.get("port", _DEFAULT_PORT)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= _LARGEST_PORT:
        raise BadFormat(f"port is not an integer of 0 to {_LARGEST_PORT}")
    return port
