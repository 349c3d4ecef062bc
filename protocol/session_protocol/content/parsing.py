"""From Content bytes to the neutral content object."""

from typing import Any

from session_protocol.content import shapes
from session_protocol.content.fields import read_message
from session_protocol.proto import wire
from session_protocol.proto.reading import read_protobuf


def parse_content(data: bytes) -> dict[str, Any]:
    """Read Content bytes (padding removed) as a neutral content object.

    What has no word in the contract becomes ``{"kind": "unknown", "content_hex": …}``; unknown fields are
    passed over. Raises BadFormat for what is no Content: not protobuf, a required field missing, text that is
    not UTF-8.
    """
    return describe(read_content(data), data)


def signature_timestamp_ms(data: bytes) -> int | None:
    """Return the timestamp that the sender signed, in milliseconds, or None; BadFormat as parse_content."""
    content = read_content(data)
    return content.sig_timestamp if content.HasField("sig_timestamp") else None


def read_content(data: bytes) -> wire.Content:
    """Read Content bytes as protobuf; BadFormat when they are none."""
    return read_protobuf(wire.Content, data, "Content")


def describe(content: wire.Content, data: bytes) -> dict[str, Any]:
    """Return the neutral object of a Content that was read from ``data``; BadFormat for text not in UTF-8."""
    described = _described(content)
    if described is None:
        described = {"kind": "unknown", "content_hex": data.hex()}
    elif content.HasField("expiration_type") or content.HasField("expiration_seconds"):
        described["expiration"] = _expiration(content)
    timestamp_ms = _timestamp_ms(content)
    if timestamp_ms is not None:
        described["timestamp_ms"] = timestamp_ms
    return described


def _described(content: wire.Content) -> dict[str, Any] | None:
    """Describe the first message that is there, in the order of client-protocol §2.6, rule 7."""
    if content.HasField("data_message"):
        return _data_message(content)
    if content.HasField("receipt"):
        if content.receipt.type != wire.Receipt.READ:
            return None
        return {"kind": "receipt", **read_message(content.receipt, shapes.RECEIPT)}
    if content.HasField("typing"):
        return {"kind": "typing", **read_message(content.typing, shapes.TYPING)}
    if content.HasField("data_extraction"):
        return {"kind": "data_extraction", **read_message(content.data_extraction, shapes.DATA_EXTRACTION)}
    if content.HasField("unsend"):
        return {"kind": "unsend", **read_message(content.unsend, shapes.UNSEND)}
    if content.HasField("call"):
        return {"kind": "call", **read_message(content.call, shapes.CALL)}
    # A refusal of a request has no effect (rule 11) and no word in the contract.
    if content.HasField("message_request_response") and content.message_request_response.is_approved:
        accepted = read_message(content.message_request_response, shapes.REQUEST_ACCEPTED)
        return {"kind": "request_accepted", **accepted}
    return None


def _data_message(content: wire.Content) -> dict[str, Any] | None:
    message = content.data_message
    described: dict[str, Any]
    if message.HasField("reaction"):
        described = {"kind": "reaction", **read_message(message.reaction, shapes.REACTION)}
    elif message.flags & shapes.TIMER_CHANGED:
        described = {"kind": "timer", "expiration": _expiration(content)}
    elif message.HasField("community_invitation"):
        invitation = read_message(message.community_invitation, shapes.COMMUNITY_INVITATION)
        described = {"kind": "community_invitation", **invitation}
    elif message.HasField("group_update"):
        update = _group_update(message.group_update)
        if update is None:
            return None
        described = update
    else:
        described = {"kind": "text", **read_message(message, shapes.TEXT_MESSAGE)}
    described |= read_message(message, shapes.DATA_MESSAGE)
    return described


def _group_update(update: wire.GroupUpdate) -> dict[str, Any] | None:
    for kind, (attribute, table) in shapes.GROUP_UPDATES.items():
        if update.HasField(attribute):
            return {"kind": kind, **read_message(getattr(update, attribute), table)}
    return None


def _expiration(content: wire.Content) -> dict[str, Any]:
    return {
        "type": shapes.EXPIRATION_TYPE.to_json(content.expiration_type),
        "seconds": content.expiration_seconds,
    }


def _timestamp_ms(content: wire.Content) -> int | None:
    """Return the signed timestamp; of older clients the one inside the message."""
    if content.HasField("sig_timestamp"):
        return content.sig_timestamp
    if content.data_message.HasField("timestamp"):
        return content.data_message.timestamp
    if content.HasField("typing"):
        return content.typing.timestamp
    return None
