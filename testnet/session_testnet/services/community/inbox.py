"""Direct messages between users of the server, sealed by their clients (open-group-server §15)."""

import sqlite3
from base64 import b64encode
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from session_testnet.services.community.users import User

DIRECT_MESSAGE_LIFETIME_MS: Final = 15 * 24 * 60 * 60 * 1000

_SELECT: Final = (
    "SELECT m.id, m.body, m.posted_ms, m.expires_ms, s.session_id, r.session_id FROM inbox m"
    " JOIN users s ON s.id = m.sender JOIN users r ON r.id = m.recipient"
)


class Box(Enum):
    """The two sides from which a user sees direct messages; the value is the column of that user."""

    INBOX = "recipient"
    OUTBOX = "sender"


@dataclass(frozen=True, slots=True)
class DirectMessage:
    """A message as stored, ciphertext unchanged."""

    id: int
    body: bytes
    posted_ms: int
    expires_ms: int
    sender: str
    recipient: str

    def to_json(self, *, with_message: bool = True) -> dict[str, Any]:
        """Return the DM object; its sender is answered without the message itself."""
        message = {"message": b64encode(self.body).decode()} if with_message else {}
        return {
            "id": self.id,
            **message,
            "posted_at": self.posted_ms / 1000,
            "expires_at": self.expires_ms / 1000,
            "sender": self.sender,
            "recipient": self.recipient,
        }


class Inbox:
    """Keep the direct messages of all users until they expire."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(self, sender: User, recipient: User, body: bytes, *, now_ms: int) -> DirectMessage:
        """Store a message."""
        expires_ms = now_ms + DIRECT_MESSAGE_LIFETIME_MS
        added = self._database.execute(
            "INSERT INTO inbox(sender, recipient, body, posted_ms, expires_ms) VALUES (?, ?, ?, ?, ?)",
            (sender.id, recipient.id, body, now_ms, expires_ms),
        )
        assert added.lastrowid is not None, "an insert has a row"
        return DirectMessage(
            added.lastrowid, body, now_ms, expires_ms, sender.session_id, recipient.session_id
        )

    def list(self, user: User, box: Box, *, since: int = 0, limit: int, now_ms: int) -> "list[DirectMessage]":
        """Return what a user received or sent and has not expired, after an id, in order."""
        rows = self._database.execute(
            f"{_SELECT} WHERE m.{box.value} = ? AND m.id > ? AND m.expires_ms > ? ORDER BY m.id LIMIT ?",
            (user.id, since, now_ms, limit),
        )
        return [DirectMessage(*row) for row in rows]

    def empty(self, user: User, *, now_ms: int) -> int:
        """Delete what a user has received and return how many messages of it had not expired."""
        self.purge(now_ms=now_ms)
        return self._database.execute("DELETE FROM inbox WHERE recipient = ?", (user.id,)).rowcount

    def purge(self, *, now_ms: int) -> int:
        """Delete what has expired and return the number of messages."""
        return self._database.execute("DELETE FROM inbox WHERE expires_ms <= ?", (now_ms,)).rowcount
