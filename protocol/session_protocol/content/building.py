"""From the neutral content object to Content bytes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from session_protocol.content import shapes
from session_protocol.content.fields import HEX, U64, write_message
from session_protocol.errors import InvalidArgument
from session_protocol.proto import wire

Builder = Callable[[wire.Content, Mapping[str, Any]], None]


def build_content(content: Mapping[str, Any], *, timestamp_ms: int | None = None) -> bytes:
    """Write a neutral content object as Content bytes (not padded).

    ``timestamp_ms`` takes the place of the object's own; without either there is no signed timestamp.
    Content of kind ``unknown`` is given back as it was read. Raises InvalidArgument for an unknown kind, a
    missing field or a value that its field cannot hold.
    """
    if not isinstance(content, Mapping):
        raise InvalidArgument(f"content must be an object, not {type(content).__name__}")
    kind = content.get("kind")
    if kind == "unknown":
        return HEX.to_wire(content.get("content_hex"), "content.content_hex")
    if not isinstance(kind, str) or kind not in _BUILDERS:
        raise InvalidArgument(f"content.kind must be one of {', '.join(_BUILDERS)}, not {kind!r:.40}")
    built = wire.Content()
    stamp = content.get("timestamp_ms") if timestamp_ms is None else timestamp_ms
    if stamp is not None:
        built.sig_timestamp = U64.to_wire(stamp, "content.timestamp_ms")
    if content.get("expiration") is not None:
        _write_expiration(built, content["expiration"])
    _BUILDERS[kind](built, content)
    return built.SerializeToString()


def _write_expiration(built: wire.Content, expiration: object) -> None:
    where = "content.expiration"
    if not isinstance(expiration, Mapping):
        raise InvalidArgument(f"{where} must be an object, not {type(expiration).__name__}")
    write_message(built, shapes.EXPIRATION, {"seconds": 0, **expiration}, where)


def _build_text(built: wire.Content, content: Mapping[str, Any]) -> None:
    message = shapes.write_data_message(built, content)
    write_message(message, shapes.TEXT_MESSAGE, content, "content")


def _build_reaction(built: wire.Content, content: Mapping[str, Any]) -> None:
    message = shapes.write_data_message(built, content)
    write_message(message.reaction, shapes.REACTION, {"remove": False, **content}, "content")


def _build_timer(built: wire.Content, content: Mapping[str, Any]) -> None:
    if content.get("expiration") is None:
        raise InvalidArgument("content.expiration is missing")
    shapes.write_data_message(built, content).flags = shapes.TIMER_CHANGED


def _build_community_invitation(built: wire.Content, content: Mapping[str, Any]) -> None:
    message = shapes.write_data_message(built, content)
    write_message(message.community_invitation, shapes.COMMUNITY_INVITATION, content, "content")


def _build_group_update(built: wire.Content, content: Mapping[str, Any]) -> None:
    attribute, table = shapes.GROUP_UPDATES[content["kind"]]
    message = shapes.write_data_message(built, content)
    write_message(getattr(message.group_update, attribute), table, content, "content")


def _build_unsend(built: wire.Content, content: Mapping[str, Any]) -> None:
    write_message(built.unsend, shapes.UNSEND, content, "content")


def _build_receipt(built: wire.Content, content: Mapping[str, Any]) -> None:
    built.receipt.type = wire.Receipt.READ
    write_message(built.receipt, shapes.RECEIPT, content, "content")


def _build_typing(built: wire.Content, content: Mapping[str, Any]) -> None:
    # Receivers ignore typing messages that do not repeat the timestamp (client-protocol §2.6, rule 9).
    if not built.HasField("sig_timestamp"):
        raise InvalidArgument("content.timestamp_ms is missing")
    built.typing.timestamp = built.sig_timestamp
    write_message(built.typing, shapes.TYPING, content, "content")


def _build_data_extraction(built: wire.Content, content: Mapping[str, Any]) -> None:
    write_message(built.data_extraction, shapes.DATA_EXTRACTION, content, "content")


def _build_call(built: wire.Content, content: Mapping[str, Any]) -> None:
    write_message(built.call, shapes.CALL, content, "content")


def _build_request_accepted(built: wire.Content, content: Mapping[str, Any]) -> None:
    built.message_request_response.is_approved = True
    write_message(built.message_request_response, shapes.REQUEST_ACCEPTED, content, "content")


_BUILDERS: Final[Mapping[str, Builder]] = MappingProxyType(
    {
        "text": _build_text,
        "reaction": _build_reaction,
        "unsend": _build_unsend,
        "receipt": _build_receipt,
        "typing": _build_typing,
        "timer": _build_timer,
        "request_accepted": _build_request_accepted,
        "data_extraction": _build_data_extraction,
        "call": _build_call,
        "community_invitation": _build_community_invitation,
        **dict.fromkeys(shapes.GROUP_UPDATES, _build_group_update),
    }
)
