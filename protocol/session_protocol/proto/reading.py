"""Read protobuf messages so that every malformed input ends in BadFormat."""

from typing import Any, TypeVar, cast

from google.protobuf.message import DecodeError, Message

from session_protocol.errors import BadFormat

MessageT = TypeVar("MessageT", bound=Message)


def read_protobuf(kind: type[MessageT], data: bytes, name: str) -> MessageT:
    """Read bytes as a protobuf message with all its required fields; otherwise BadFormat."""
    message = kind()
    try:
        message.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError):
        # Text that is not UTF-8 shows here in some protobuf implementations, in others only as bytes below.
        raise BadFormat(f"these {len(data)} bytes are no {name}") from None
    if not message.IsInitialized():
        # Every implementation has this method; the type stubs do not.
        missing = ", ".join(cast("Any", message).FindInitializationErrors())
        raise BadFormat(f"the {name} lacks {missing}")
    return message


def read_text(value: str | bytes) -> str:
    """Return the text of a string field; BadFormat when what was received is not UTF-8."""
    if isinstance(value, bytes):
        # The C implementation gives a malformed text of proto2 as the bytes it has.
        raise BadFormat(f"a text is not UTF-8: {value!r:.40}")
    return value
