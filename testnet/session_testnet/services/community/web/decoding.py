"""Read what apps put into a message of a room (open-group-server §9.7)."""

from typing import Any

from session_protocol.content import parse_content
from session_protocol.errors import BadFormat
from session_protocol.padding import unpad
from session_protocol.proto import wire
from session_protocol.proto.reading import read_protobuf


def decode_posted(data: bytes) -> dict[str, Any]:
    """Return the neutral content object of posted bytes; BadFormat for what is none.

    The bytes are a padded Content, or an Envelope around one (client-protocol §8.3).
    """
    plain = unpad(data)
    if not plain:
        # Protobuf takes no bytes at all for a message without fields.
        raise BadFormat("the message holds nothing")
    return parse_content(_out_of_envelope(plain))


def _out_of_envelope(plain: bytes) -> bytes:
    try:
        envelope = read_protobuf(wire.Envelope, plain, "Envelope")
    except BadFormat:
        return plain
    return unpad(envelope.content) if envelope.HasField("content") else plain
