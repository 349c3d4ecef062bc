"""The messages of the rooms (open-group-server §9).

A message's id counts over the whole server; its seqno is the room's ``message_sequence`` at its last
change, which moves it to the end of what a poll by seqno reports. Where that change was one of its
reactions, ``seqno_data`` stays behind: at the last change of the message itself.
"""

import sqlite3
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Final

from session_testnet.services.community.counters import advance_sequence
from session_testnet.services.community.rooms import Room
from session_testnet.services.community.users import User
from session_testnet.services.sqlite_file import transaction

RATE_LIMIT_POSTS: Final = 5
RATE_LIMIT_WINDOW_MS: Final = 16_000
HISTORY_MEMORY_MS: Final = 30 * 24 * 60 * 60 * 1000

_SELECT: Final = (
    "SELECT p.id, p.room, p.author, u.session_id, p.posted_ms, p.edited_ms, p.data, p.signature, p.seqno,"
    " p.seqno_data, p.whisper_to, w.session_id, p.whisper_mods"
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
    seqno_data: int
    whisper_to_id: int | None
    whisper_to: str | None
    whisper_mods: bool

    @property
    def is_whisper(self) -> bool:
        """Tell whether only some see it."""
        return self.whisper_to_id is not None or self.whisper_mods

    def to_json(self, reactions: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the Message object (open-group-server §9.1), with these reactions."""
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
            message["reactions"] = reactions or {}
        if self.is_whisper:
            message["whisper"] = True
            message["whisper_mods"] = self.whisper_mods
            if self.whisper_to is not None:
                message["whisper_to"] = self.whisper_to
        return message

    def reactions_to_json(self, reactions: dict[str, Any] | None) -> dict[str, Any]:
        """Return what a client is told that knows the message and misses only its newest reactions."""
        return {"id": self.id, "seqno": self.seqno, "reactions": reactions or {}}


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
            seqno = advance_sequence(self._database, room.id)
            added = self._database.execute(
                "INSERT INTO posts(room, author, posted_ms, data, signature, seqno, seqno_data,"
                " seqno_creation, whisper_to, whisper_mods) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    room.id,
                    author.id,
                    now_ms,
                    draft.data,
                    draft.signature,
                    seqno,
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

    def by(self, room: Room, author: User) -> list[Post]:
        """Return all messages of a user in a room that are not deleted."""
        return self._list("p.author = ? AND p.data IS NOT NULL", room, [author.id], "ORDER BY p.id", -1)

    def since(
        self, room: Room, seqno: int, viewer: Viewer, limit: int, *, with_reaction_changes: bool = False
    ) -> list[Post]:
        """Return what changed after a seqno, oldest change first.

        A deleted message is told only to who can have seen it: it was created at or before that seqno. A
        message of which only reactions changed is told only to who wants to know.
        """
        visible, arguments = viewer.condition()
        changed = "" if with_reaction_changes else "AND p.seqno_data > ?2 "
        return self._list(
            f"p.seqno > ?2 {changed}AND (p.data IS NOT NULL OR p.seqno_creation <= ?2) AND {visible}",
            room,
            [seqno, *arguments],
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
            else:
                self._replace(post, data, signature, now_ms)

    def bury(self, post: Post, *, now_ms: int) -> None:
        """Leave a tombstone of a message."""
        with transaction(self._database):
            self._replace(post, None, None, now_ms)

    def history(self, post_id: int) -> list[tuple[bytes, bytes, int]]:
        """Return what a message said before: data, signature, and when that was replaced; oldest first."""
        rows = self._database.execute(
            "SELECT data, signature, replaced_ms FROM post_history WHERE post = ? ORDER BY id", (post_id,)
        )
        return [(data, signature, replaced_ms) for data, signature, replaced_ms in rows]

    def forget_history(self, *, now_ms: int) -> int:
        """Forget what was replaced long ago and return how many versions of messages that were."""
        return self._database.execute(
            "DELETE FROM post_history WHERE replaced_ms <= ?", (now_ms - HISTORY_MEMORY_MS,)
        ).rowcount

    def _replace(self, post: Post, data: bytes | None, signature: bytes | None, now_ms: int) -> None:
        self._database.execute(
            "INSERT INTO post_history(post, data, signature, replaced_ms) VALUES (?, ?, ?, ?)",
            (post.id, post.data, post.signature, now_ms),
        )
        self._database.execute(
            "UPDATE posts SET data = ?1, signature = ?2, edited_ms = ?3, seqno = ?4, seqno_data = ?4"
            " WHERE id = ?5",
            (data, signature, now_ms, advance_sequence(self._database, post.room_id), post.id),
        )

    def _by_id(self, post_id: int) -> Post:
        return _post(self._database.execute(f"{_SELECT} WHERE p.id = ?", (post_id,)).fetchone())

    def _list(self, condition: str, room: Room, arguments: list[int], order: str, limit: int) -> list[Post]:
        # Every piece of the statement is a constant of this module; values go in as arguments.
        rows = self._database.execute(
            f"{_SELECT} WHERE p.room = ? AND {condition} {order} LIMIT ?", (room.id, *arguments, limit)
        )
        return [_post(row) for row in rows]


def _post(row: sqlite3.Row) -> Post:
    columns: list[Any] = [*row[:12], bool(row[12])]
    return Post(*columns)
