"""Where each field of the neutral content object stands in the Content protobuf (testee-operations §2.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.message import Message

from session_protocol.content.fields import (
    FLAG,
    HEX,
    TEXT,
    U32,
    U64,
    Bit,
    Choice,
    Nested,
    NestedList,
    Scalar,
    Table,
    Values,
    write_message,
)
from session_protocol.proto import wire

TIMER_CHANGED: Final = 2
"""DataMessage.flags of a message that changes the disappearing-message timer (client-protocol §2.4)."""

VOICE_MESSAGE: Final = 1
"""AttachmentPointer.flags of a voice message."""


@dataclass(frozen=True, slots=True)
class LegacyFileId:
    """Write the numeric id that old receivers want, taken from the URL; 0 where there is none. Not read."""

    key: str = "url"

    def write(self, message: Message, source: Mapping[str, Any], where: str) -> None:  # noqa: ARG002  # Field
        """Set ``legacy_id``."""
        url = source.get(self.key)
        last = url.partition("#")[0].rpartition("/")[2] if isinstance(url, str) else ""
        number = int(last) if last.isascii() and last.isdigit() and len(last) < 20 else 0
        setattr(message, "legacy_id", number)  # noqa: B010  # Message has no such attribute for the type checker

    def read(self, message: Message, target: dict[str, Any]) -> None:
        """Read nothing: the URL says it all."""


ATTACHMENT: Final[Table] = (
    LegacyFileId(),
    Scalar("url", "url", TEXT),
    Scalar("key_hex", "key", HEX),
    Scalar("digest_hex", "digest", HEX),
    Scalar("size", "size", U32),
    Scalar("content_type", "content_type", TEXT),
    Scalar("file_name", "file_name", TEXT),
    Scalar("width", "width", U32),
    Scalar("height", "height", U32),
    Bit("voice", "flags", VOICE_MESSAGE),
)

QUOTE: Final[Table] = (
    Scalar("timestamp_ms", "id", U64, required=True),
    Scalar("author", "author", TEXT, required=True),
)

PREVIEW: Final[Table] = (Scalar("url", "url", TEXT, required=True), Scalar("title", "title", TEXT))

PROFILE: Final[Table] = (
    Scalar("display_name", "display_name", TEXT),
    Scalar("picture_url", "picture_url", TEXT),
    Scalar("updated_s", "updated", U64),
)


@dataclass(frozen=True, slots=True)
class ProfileAndKey:
    """A profile and, beside it in the same message, the key of its picture."""

    key: str = "profile"

    def write(self, message: Message, source: Mapping[str, Any], where: str) -> None:
        """Write both parts of the profile."""
        Nested(self.key, "profile", PROFILE).write(message, source, where)
        profile = source.get(self.key)
        if profile is not None:
            _PROFILE_KEY.write(message, profile, f"{where}.{self.key}")

    def read(self, message: Message, target: dict[str, Any]) -> None:
        """Read the profile if either part is there."""
        found: dict[str, Any] = {}
        Nested(self.key, "profile", PROFILE).read(message, found)
        profile = found.get(self.key, {})
        _PROFILE_KEY.read(message, profile)
        if profile or self.key in found:
            target[self.key] = profile


_PROFILE_KEY: Final = Scalar("profile_key_hex", "profile_key", HEX)

DATA_MESSAGE: Final[Table] = (
    ProfileAndKey(),
    Scalar("sync_target", "sync_target", TEXT),
    Scalar("blocks_community_requests", "blocks_community_requests", FLAG),
)
"""What every kind of DataMessage may carry."""

TEXT_MESSAGE: Final[Table] = (
    Scalar("body", "body", TEXT),
    NestedList("attachments", "attachments", ATTACHMENT),
    Nested("quote", "quote", QUOTE),
    NestedList("preview", "previews", PREVIEW),
)

REACTION: Final[Table] = (
    Scalar("target_ms", "id", U64, required=True),
    Scalar("author", "author", TEXT, required=True),
    Scalar("emoji", "emoji", TEXT),
    Scalar(
        "remove", "action", Choice({False: wire.Reaction.REACT, True: wire.Reaction.REMOVE}), required=True
    ),
)

COMMUNITY_INVITATION: Final[Table] = (
    Scalar("url", "url", TEXT, required=True),
    Scalar("name", "name", TEXT, required=True),
)

UNSEND: Final[Table] = (
    Scalar("target_ms", "timestamp", U64, required=True),
    Scalar("author", "author", TEXT, required=True),
)

RECEIPT: Final[Table] = (Values("read_ms", "timestamps", U64, always=True),)

TYPING: Final[Table] = (
    Scalar(
        "started", "action", Choice({True: wire.Typing.STARTED, False: wire.Typing.STOPPED}), required=True
    ),
)

DATA_EXTRACTION: Final[Table] = (
    Scalar(
        "type",
        "type",
        Choice({"saved": wire.DataExtraction.MEDIA_SAVED, "screenshot": wire.DataExtraction.SCREENSHOT}),
        required=True,
    ),
    Scalar("saved_ms", "timestamp", U64),
)

CALL: Final[Table] = (
    Scalar(
        "type",
        "type",
        Choice(
            {
                "pre_offer": wire.CallMessage.PRE_OFFER,
                "offer": wire.CallMessage.OFFER,
                "answer": wire.CallMessage.ANSWER,
                "provisional": wire.CallMessage.PROVISIONAL_ANSWER,
                "ice": wire.CallMessage.ICE_CANDIDATES,
                "end": wire.CallMessage.END_CALL,
            }
        ),
        required=True,
    ),
    Scalar("uuid", "uuid", TEXT, required=True),
    Values("sdps", "sdps", TEXT, always=True),
    Values("sdp_m_line_indexes", "sdp_m_line_indexes", U32),
    Values("sdp_mids", "sdp_mids", TEXT),
)

REQUEST_ACCEPTED: Final[Table] = (ProfileAndKey(),)

EXPIRATION_TYPE: Final = Choice(
    {
        "off": wire.Content.OFF,
        "read": wire.Content.DELETE_AFTER_READ,
        "send": wire.Content.DELETE_AFTER_SEND,
    }
)

EXPIRATION: Final[Table] = (
    Scalar("type", "expiration_type", EXPIRATION_TYPE, required=True),
    Scalar("seconds", "expiration_seconds", U32, required=True),
)
"""How long the message lives; two fields of Content itself, written together even when they are zero."""

_ADMIN_SIGNATURE: Final = Scalar("admin_signature_hex", "admin_signature", HEX, required=True)

GROUP_UPDATES: Final[Mapping[str, tuple[str, Table]]] = MappingProxyType(
    {
        "group_invite": (
            "invite",
            (
                Scalar("group_session_id", "group_session_id", TEXT, required=True),
                Scalar("name", "name", TEXT, required=True),
                Scalar("member_auth_data_hex", "member_auth_data", HEX, required=True),
                _ADMIN_SIGNATURE,
            ),
        ),
        "group_info_change": (
            "info_change",
            (
                Scalar(
                    "type",
                    "type",
                    Choice(
                        {
                            "name": wire.GroupInfoChange.NAME,
                            "avatar": wire.GroupInfoChange.AVATAR,
                            "disappearing_messages": wire.GroupInfoChange.DISAPPEARING_MESSAGES,
                        }
                    ),
                    required=True,
                ),
                Scalar("updated_name", "updated_name", TEXT),
                Scalar("updated_expiration_s", "updated_expiration", U32),
                _ADMIN_SIGNATURE,
            ),
        ),
        "group_member_change": (
            "member_change",
            (
                Scalar(
                    "type",
                    "type",
                    Choice(
                        {
                            "added": wire.GroupMemberChange.ADDED,
                            "removed": wire.GroupMemberChange.REMOVED,
                            "promoted": wire.GroupMemberChange.PROMOTED,
                        }
                    ),
                    required=True,
                ),
                Values("member_session_ids", "member_session_ids", TEXT, always=True),
                Scalar("history_shared", "history_shared", FLAG),
                _ADMIN_SIGNATURE,
            ),
        ),
        "group_promote": (
            "promote",
            (
                Scalar("group_identity_seed_hex", "group_identity_seed", HEX, required=True),
                Scalar("name", "name", TEXT, required=True),
            ),
        ),
        "group_left": ("member_left", ()),
        "group_invite_response": (
            "invite_response",
            (Scalar("is_approved", "is_approved", FLAG, required=True),),
        ),
        "group_delete": (
            "delete_member_content",
            (
                Values("member_session_ids", "member_session_ids", TEXT, always=True),
                Values("message_hashes", "message_hashes", TEXT, always=True),
                Scalar("admin_signature_hex", "admin_signature", HEX),
            ),
        ),
        "group_left_notice": ("member_left_notification", ()),
    }
)
"""Kind: the field of GroupUpdate and its table; in the order of the field numbers."""


def write_data_message(content: wire.Content, source: Mapping[str, Any]) -> wire.DataMessage:
    """Write what every kind of DataMessage may carry and return the message."""
    write_message(content.data_message, DATA_MESSAGE, source, "content")
    return content.data_message
