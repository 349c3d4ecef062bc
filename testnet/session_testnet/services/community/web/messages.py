"""Turn Message objects into what the page shows of them."""

import zlib
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from session_protocol.community import verify_community_message
from session_protocol.errors import BadFormat
from session_testnet.services.community.web.decoding import decode_posted
from session_testnet.services.community.web.stranger import Json
from session_testnet.services.community.web.user_text import (
    Piece,
    pieces,
    safe_link,
    short_id,
    size_in_words,
    visible_line,
    visible_text,
)

_QUOTED_LETTERS: Final = 140
_COLOURS: Final = 8
# Receivers drop messages with more attachments (client-protocol §2.5).
_MAX_ATTACHMENTS: Final = 32
_MAX_REACTIONS: Final = 50

# What a message without words is.
_KINDS: Final[Mapping[str, str]] = {
    "timer": "Changed how long messages last.",
    "reaction": "A reaction in the form of direct messages, which rooms do not use.",
    "unknown": "A kind of message that this page does not know.",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A time: ``machine`` in ISO 8601, empty when the calendar does not reach so far, ``text`` for people."""

    machine: str
    text: str

    @classmethod
    def at(cls, seconds: float) -> "Moment":
        """Make it of Unix seconds."""
        try:
            moment = datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, OSError, ValueError):
            return cls("", f"second {seconds:.0f}")
        return cls(
            moment.strftime("%Y-%m-%dT%H:%M:%SZ"), f"{moment.day} {moment.strftime('%B %Y, %H:%M')} UTC"
        )


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote a message; ``name`` is what the message itself claims, empty when it says nothing."""

    id: str
    name: str
    role: str

    @property
    def short_id(self) -> str:
        """Return the id as it fits beside the name."""
        return short_id(self.id)

    @property
    def initial(self) -> str:
        """Return what stands in for a picture."""
        return (self.name or self.id[2:])[:1].upper()

    @property
    def colour(self) -> int:
        """Return one of the page's colours, always the same for an id."""
        return zlib.crc32(self.id.encode()) % _COLOURS


@dataclass(frozen=True, slots=True)
class Quote:
    """A message that another one answers; ``message_id`` 0 when it is not among those at hand."""

    author: str
    message_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a message names."""

    name: str
    facts: str


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message as the page shows it; ``note`` says what it is when words alone do not."""

    id: int
    author: Author
    posted: Moment
    edited: Moment | None
    body: Sequence[Piece]
    note: str
    quote: Quote | None
    attachments: Sequence[Attachment]
    previews: Sequence[Piece]
    reactions: Sequence[tuple[str, int]]
    is_signed: bool


class Conversation:
    """Show messages of a room; those at hand can be quoted by others."""

    def __init__(self, room: Json, at_hand: Iterable[Json]) -> None:
        self._roles = dict.fromkeys(room.get("moderators", ()), "moderator")
        self._roles |= dict.fromkeys(room.get("admins", ()), "admin")
        self._decoded: dict[int, Json] = {}
        # What a quote says of a message, and the message.
        self._quotable: dict[tuple[int, str], Json] = {}
        for message in at_hand:
            content = self._content(message)
            if content["kind"] == "text" and "timestamp_ms" in content:
                self._quotable[content["timestamp_ms"], message["session_id"]] = message

    def view(self, message: Json) -> MessageView:
        """Return what to show of a message that is not deleted."""
        content = self._content(message)
        data, signature = b64decode(message["data"]), b64decode(message.get("signature", ""))
        words = content.get("body", "") if content["kind"] == "text" else ""
        attachments = content.get("attachments", ())[:_MAX_ATTACHMENTS]
        previews = content.get("preview", ())[:_MAX_ATTACHMENTS]
        return MessageView(
            id=message["id"],
            author=self._author(message),
            posted=Moment.at(message["posted"]),
            edited=Moment.at(message["edited"]) if "edited" in message else None,
            body=pieces(visible_text(words)),
            note=_note(content, len(data)),
            quote=self._quote(content.get("quote")),
            attachments=[_attachment(pointer) for pointer in attachments],
            previews=[
                Piece(visible_line(preview.get("title") or preview["url"]), safe_link(preview["url"]))
                for preview in previews
            ],
            reactions=_reactions(message.get("reactions", {})),
            is_signed=verify_community_message(message["session_id"], data, signature),
        )

    def _content(self, message: Json) -> Json:
        """Return the decoded content of a message; kind "undecodable" for what is none."""
        if message["id"] not in self._decoded:
            try:
                content = decode_posted(b64decode(message["data"]))
            except BadFormat:
                content = {"kind": "undecodable"}
            self._decoded[message["id"]] = content
        return self._decoded[message["id"]]

    def _quote(self, quote: Json | None) -> Quote | None:
        if quote is None:
            return None
        quoted = self._quotable.get((quote["timestamp_ms"], quote["author"]))
        if quoted is None:
            return Quote(short_id(visible_line(quote["author"])), 0, "")
        words = visible_line(self._content(quoted).get("body", ""), _QUOTED_LETTERS)
        author = self._author(quoted)
        return Quote(author.name or author.short_id, quoted["id"], words)

    def _author(self, message: Json) -> Author:
        session_id, profile = message["session_id"], self._content(message).get("profile", {})
        name = visible_line(profile.get("display_name", ""))
        return Author(session_id, name, self._roles.get(session_id, ""))


def _note(content: Json, size: int) -> str:
    kind = content["kind"]
    if kind == "undecodable":
        return f"This message cannot be decoded ({size_in_words(size)})."
    if kind == "community_invitation":
        return f"Invites to the community {visible_line(content['name'])}: {visible_line(content['url'])}"
    if kind == "text":
        has_content = any(content.get(part) for part in ("body", "attachments", "quote", "preview"))
        return "" if has_content else "An empty message."
    return _KINDS.get(kind, f"A message of the kind “{kind.replace('_', ' ')}”, which rooms do not use.")


def _attachment(pointer: Json) -> Attachment:
    name = visible_line(pointer.get("file_name", "")) or (
        "Voice message" if pointer.get("voice") else "Unnamed file"
    )
    facts = [visible_line(pointer.get("content_type", ""), 60)]
    if pointer.get("size"):
        facts.append(size_in_words(pointer["size"]))
    if pointer.get("width") and pointer.get("height"):
        facts.append(f"{pointer['width']} by {pointer['height']}")
    return Attachment(name, ", ".join(fact for fact in facts if fact))


def _reactions(reactions: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, int]]:
    ordered = sorted(reactions.items(), key=lambda item: item[1]["index"])
    return [(visible_line(emoji, 24), value["count"]) for emoji, value in ordered[:_MAX_REACTIONS]]
