"""The messages of the rooms (open-group-server §9).

A message's id counts over the whole server; its seqno is the room's ``message_sequence`` at its last
change, which moves it to the end of what a poll by seqno reports.
"""

import sqlite3
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Final

from session_testnet.services.community.rooms import Room
from session_testnet.services.community.users import User
from session_testnet.services.sqlite_file import transaction

RATE_LIMIT_POSTS: Final = 5
RATE_LIMIT_WINDOW_MS: Final = 16_000

_SELECT: Final = (
    "SELECT p.id, p.room, p.author, u.session_id, p.posted_ms, p.edited_ms, p.data, p.signature, p.seqno,"
    " p.whisper_to, w.session_id, p.whisper_mods"
    " FROM posts p JOIN users u ON u.id = p.author LEFT JOIN users w ON w.id = p.whisper_to"
)


@dataclass(frozen=True, slots=True)
class Post:
    """A message as stored, byte for byte as it was posted; ``data`` None makes it a tombstone."""

    id: int
    room_id: int
    author_id: int
    author: str
    posted_ms: int
    edited_ms: int | None
    data: bytes | None
    signature: bytes | None
    seqno: int
    whisper_to_id: int | None
    whisper_to: str | None
    whisper_mods: bool

    @property
    def is_whisper(self) -> bool:
        """Tell whether only some see it."""
        return self.whisper_to_id is not None or self.whisper_mods

    def to_json(self) -> dict[str, Any]:
        """Return the Message object (open-group-server §9.1)."""
        message: dict[str, Any] = {
            "id": self.id,
            "session_id": self.author,
            "posted": self.posted_ms / 1000,
            "seqno": self.seqno,
            "data": None if self.data is None else b64encode(self.data).decode(),
        }
        if self.edited_ms is not None:
            message["edited"] = self.edited_ms / 1000
        if self.data is None:
            message["deleted"] = True
        else:
            message["signature"] = b64encode(self.signature or b"").decode()
            message["reactions"] = {}
        if self.is_whisper:
            message["whisper"] = True
            message["whisper_mods"] = self.whisper_mods
            if self.whisper_to is not None:
                message["whisper_to"] = self.whisper_to
        return message


@dataclass(frozen=True, slots=True)
class Draft:
    """What a user posts; ``signature`` has 64 bytes and is not verified (open-group-server §9.3)."""

    data: bytes
    signature: bytes
    whisper_to: User | None = None
    whisper_mods: bool = False

    @property
    def is_whisper(self) -> bool:
        """Tell whether only some will see it."""
        return self.whisper_to is not None or self.whisper_mods


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose eyes a list is for: a whisper is shown to few (open-group-server §9.2)."""

    user: User | None
    is_moderator: bool

    def condition(self) -> tuple[str, list[int]]:
        """Return the SQL condition on a visible message, and its arguments."""
        public = "p.whisper_to IS NULL AND NOT p.whisper_mods"
        if self.user is None:
            return f"({public})", []
        if self.is_moderator:
            return f"({public} OR p.whisper_mods OR p.whisper_to = ? OR p.author = ?)", [self.user.id] * 2
        return f"({public} OR p.whisper_to = ?)", [self.user.id]


class PostBook:
    """Keep the messages."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(self, room: Room, author: User, draft: Draft, *, now_ms: int) -> Post:
        """Add a message at the end of a room."""
        with transaction(self._database):
            seqno = self._next_seqno(room.id)
            added = self._database.execute(
                "INSERT INTO posts(room, author, posted_ms, data, signature, seqno, seqno_creation,"
                " whisper_to, whisper_mods) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    room.id,
                    author.id,
                    now_ms,
                    draft.data,
                    draft.signature,
                    seqno,
                    seqno,
                    None if draft.whisper_to is None else draft.whisper_to.id,
                    draft.whisper_mods,
                ),
            )
        assert added.lastrowid is not None, "an insert has a row"
        return self._by_id(added.lastrowid)

    def is_rate_limited(self, room: Room, author: User, *, now_ms: int) -> bool:
        """Tell whether a user has posted into a room too often lately (open-group-server §9.3)."""
        (recent,) = self._database.execute(
            "SELECT COUNT(*) FROM posts WHERE room = ? AND author = ? AND posted_ms > ?",
            (room.id, author.id, now_ms - RATE_LIMIT_WINDOW_MS),
        ).fetchone()
        return bool(recent >= RATE_LIMIT_POSTS)

    def find(self, room: Room, post_id: int, viewer: Viewer | None = None) -> Post | None:
        """Return a message that is not deleted and that the viewer (None: the server) may see, or None."""
        visible, arguments = viewer.condition() if viewer else ("1", [])
        posts = self._list(
            f"p.id = ? AND p.data IS NOT NULL AND {visible}", room, [post_id, *arguments], "", 1
        )
        return posts[0] if posts else None

    def since(self, room: Room, seqno: int, viewer: Viewer, limit: int) -> list[Post]:
        """Return what changed after a seqno, oldest change first.

        A deleted message is told only to who can have seen it: it was created at or before that seqno.
        """
        visible, arguments = viewer.condition()
        return self._list(
            f"p.seqno > ? AND (p.data IS NOT NULL OR p.seqno_creation <= ?) AND {visible}",
            room,
            [seqno, seqno, *arguments],
            "ORDER BY p.seqno",
            limit,
        )

    def recent(self, room: Room, viewer: Viewer, limit: int) -> list[Post]:
        """Return the newest messages, newest first."""
        visible, arguments = viewer.condition()
        return self._list(f"p.data IS NOT NULL AND {visible}", room, arguments, "ORDER BY p.id DESC", limit)

    def before(self, room: Room, post_id: int, viewer: Viewer, limit: int) -> list[Post]:
        """Return the messages with smaller ids, newest first."""
        visible, arguments = viewer.condition()
        return self._list(
            f"p.id < ? AND p.data IS NOT NULL AND {visible}",
            room,
            [post_id, *arguments],
            "ORDER BY p.id DESC",
            limit,
        )

    def edit(self, post: Post, data: bytes, signature: bytes, *, now_ms: int) -> None:
        """Replace what a message says; the same bytes only change the signature, unreported."""
        with transaction(self._database):
            if data == post.data:
                self._database.execute("UPDATE posts SET signature = ? WHERE id = ?", (signature, post.id))
                return
            self._database.execute(
                "UPDATE posts SET data = ?, signature = ?, edited_ms = ?, seqno = ? WHERE id = ?",
                (data, signature, now_ms, self._next_seqno(post.room_id), post.id),
            )

    def delete(self, post: Post, *, now_ms: int) -> None:
        """Leave a tombstone, and let the message's files expire at once."""
        with transaction(self._database):
            self._database.execute(
                "UPDATE posts SET data = NULL, signature = NULL, edited_ms = ?, seqno = ? WHERE id = ?",
                (now_ms, self._next_seqno(post.room_id), post.id),
            )
            self._database.execute("UPDATE files SET expires_ms = 0 WHERE post = ?", (post.id,))

    def _next_seqno(self, room_id: int) -> int:
        (seqno,) = self._database.execute(
            "UPDATE rooms SET message_sequence = message_sequence + 1 WHERE id = ?"
            " RETURNING message_sequence",
            (room_id,),
        ).fetchone()
        return int(seqno)

    def _by_id(self, post_id: int) -> Post:
        return _post(self._database.execute(f"{_SELECT} WHERE p.id = ?", (post_id,)).fetchone())

    def _list(self, condition: str, room: Room, arguments: list[int], order: str, limit: int) -> list[Post]:
        # Every piece of the statement is a constant of this module; values go in as arguments.
        rows = self._database.execute(
            f"{_SELECT} WHERE p.room = ? AND {condition} {order} LIMIT ?", (room.id, *arguments, limit)
        )
        return [_post(row) for row in rows]


def _post(row: sqlite3.Row) -> Post:
    columns: list[Any] = [*row[:11], bool(row[11])]
    return Post(*columns)
