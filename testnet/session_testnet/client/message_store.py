"""What one account knows of its conversations: messages, reactions, read marks, all in memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message as it came in, or as this account's other devices sent it.

    `content` is the neutral content object (testee-operations §2.3); `conversation` the Account ID of the
    other side; `hash` the storage hash in the own swarm; `outgoing` tells that this account wrote it.
    """

    sender: str
    timestamp_ms: int
    content: Mapping[str, Any]
    hash: str
    namespace: int
    conversation: str
    outgoing: bool


@dataclass(slots=True)
class StoredMessage:
    """A visible message of a conversation, with what happened to it since."""

    message: ReceivedMessage
    read: bool = False
    reactions: dict[str, list[str]] = field(default_factory=dict)
    """Emoji to the Account IDs that reacted with it, in order."""


class MessageStore:
    """Keep visible messages by conversation, author and timestamp, which identify one (§2.5)."""

    def __init__(self) -> None:
        self._messages: dict[tuple[str, str, int], StoredMessage] = {}
        self._known: set[tuple[str, int]] = set()
        self.contacts: dict[str, dict[str, Any]] = {}
        """Account IDs that wrote, or were written to, with the profile they last sent."""

    def is_known(self, author: str, timestamp_ms: int) -> bool:
        """Tell whether a message of this author and time was stored, even if deleted since."""
        return (author, timestamp_ms) in self._known

    def add(self, message: ReceivedMessage, *, read: bool = False) -> bool:
        """Store a message; False for one that is known (client-protocol §2.6, rule 6)."""
        if self.is_known(message.sender, message.timestamp_ms):
            return False
        self._known.add((message.sender, message.timestamp_ms))
        key = (message.conversation, message.sender, message.timestamp_ms)
        self._messages[key] = StoredMessage(message, read)
        return True

    def find(self, conversation: str, author: str, timestamp_ms: int) -> StoredMessage | None:
        """Return one message."""
        return self._messages.get((conversation, author, timestamp_ms))

    def at(self, conversation: str, timestamp_ms: int) -> list[StoredMessage]:
        """Return the messages of one time: one, unless two authors wrote in the same millisecond."""
        return [
            stored
            for (place, _, time_ms), stored in self._messages.items()
            if place == conversation and time_ms == timestamp_ms
        ]

    def conversation(self, account_id: str, since_ms: int = 0) -> list[StoredMessage]:
        """Return the messages of a conversation from a time on, oldest first."""
        found = [
            stored
            for (place, _, time_ms), stored in self._messages.items()
            if place == account_id and time_ms >= since_ms
        ]
        return sorted(found, key=lambda stored: (stored.message.timestamp_ms, stored.message.sender))

    def conversations(self) -> list[str]:
        """Return the Account IDs that there are messages with, in order of their first message."""
        return list(dict.fromkeys(place for place, _, _ in self._messages))

    def react(
        self, conversation: str, author: str, timestamp_ms: int, emoji: str, reactor: str, *, remove: bool
    ) -> bool:
        """Add or remove a reaction; False when the message is not here."""
        stored = self.find(conversation, author, timestamp_ms)
        if stored is None:
            return False
        reactors = stored.reactions.setdefault(emoji, [])
        if remove and reactor in reactors:
            reactors.remove(reactor)
        elif not remove and reactor not in reactors:
            reactors.append(reactor)
        if not reactors:
            del stored.reactions[emoji]
        return True

    def mark_read(self, conversation: str, timestamp_ms: int) -> None:
        """Mark the messages of one time as read."""
        for stored in self.at(conversation, timestamp_ms):
            stored.read = True

    def delete(self, conversation: str, author: str, timestamp_ms: int) -> ReceivedMessage | None:
        """Delete a message and return it; it stays known, so that no poll brings it back."""
        self._known.add((author, timestamp_ms))
        stored = self._messages.pop((conversation, author, timestamp_ms), None)
        return stored.message if stored else None

    def note_contact(self, account_id: str, profile: Mapping[str, Any] | None = None) -> None:
        """Remember a contact, and the profile that came with a message."""
        self.contacts.setdefault(account_id, {}).update(profile or {})

    def __iter__(self) -> Iterator[StoredMessage]:
        return iter(list(self._messages.values()))
