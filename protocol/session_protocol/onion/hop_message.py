"""The message from one node to the next: a bencoded dictionary (onion-requests §4.2)."""

from dataclasses import dataclass

from session_protocol import bencode
from session_protocol.errors import BadFormat, InvalidLength, UnsupportedVersion
from session_protocol.onion.encryption import KEY_BYTES, EncryptionType, parse_encryption_type

MAX_ONION_HOPS = 15
"""The largest hop counter a node takes; above: 400 ``onion request max path length exceeded``."""


@dataclass(frozen=True, slots=True)
class HopMessage:
    """A layer on its way: the ciphertext, how to open it, and how many nodes it has passed with this one."""

    data: bytes
    ephemeral_key: bytes
    enc_type: EncryptionType
    hop_no: int


def encode_hop_message(message: HopMessage) -> bytes:
    """Write a message; its ``hop_no`` is the sender's counter plus one. Raise InvalidLength for a bad key."""
    if len(message.ephemeral_key) != KEY_BYTES:
        raise InvalidLength(f"an ephemeral key has {KEY_BYTES} bytes, not {len(message.ephemeral_key)}")
    return bencode.encode(
        {
            "data": message.data,
            "enc_type": message.enc_type.value,
            "ephemeral_key": message.ephemeral_key,
            "hop_no": message.hop_no,
        }
    )


def decode_hop_message(data: bytes) -> HopMessage:
    """Read a message; a counter below 1 counts as 1, unknown keys are ignored.

    Raise BadFormat; a node answers 400 with its text after ``Invalid internal onion request: ``.
    """
    fields = bencode.decode(data)
    if not isinstance(fields, dict):
        raise BadFormat("not a dictionary")
    payload, key = fields.get(b"data"), fields.get(b"ephemeral_key")
    if not isinstance(payload, bytes):
        raise BadFormat("required data payload not found")
    if not isinstance(key, bytes):
        raise BadFormat("ephemeral key not found")
    if len(key) != KEY_BYTES:
        raise BadFormat(f"ephemeral key has {len(key)} bytes, not {KEY_BYTES}")
    enc_type = fields.get(b"enc_type", EncryptionType.AES_GCM.value.encode())
    hop_no = fields.get(b"hop_no", 1)
    if not isinstance(enc_type, bytes) or not isinstance(hop_no, int):
        raise BadFormat("enc_type is not a string, or hop_no not an integer")
    try:
        kind = parse_encryption_type(enc_type.decode(errors="replace"))
    except UnsupportedVersion as error:
        raise BadFormat(str(error)) from None
    return HopMessage(payload, key, kind, max(1, hop_no))
