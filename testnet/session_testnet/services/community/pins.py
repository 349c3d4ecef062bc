"""The pinned messages of the rooms (open-group-server §11)."""

import sqlite3
from dataclasses import dataclass
from typing import Any

from session_testnet.services.community.counters import advance_info
from session_testnet.services.community.posts import Post
from session_testnet.services.community.rooms import Room
from session_testnet.services.community.uploads import UploadStore
from session_testnet.services.community.users import User
from session_testnet.services.sqlite_file import transaction


@dataclass(frozen=True, slots=True)
class Pin:
    """A message that stands at the top of its room."""

    post_id: int
    pinned_ms: int
    pinned_by: str

    def to_json(self) -> dict[str, Any]:
        """Return the entry of ``pinned_messages`` (open-group-server §8.1)."""
        return {"id": self.post_id, "pinned_at": self.pinned_ms / 1000, "pinned_by": self.pinned_by}


class PinBook:
    """Keep the pins; the files of a pinned message do not expire."""

    def __init__(self, database: sqlite3.Connection, uploads: UploadStore) -> None:
        self._database = database
        self._uploads = uploads

    def of(self, room: Room) -> list[Pin]:
        """Return the pins of a room, the oldest first."""
        rows = self._database.execute(
            "SELECT p.post, p.pinned_ms, u.session_id FROM pins p JOIN users u ON u.id = p.pinned_by"
            " WHERE p.room = ? ORDER BY p.id",
            (room.id,),
        )
        return [Pin(*row) for row in rows]

    def pin(self, post: Post, user: User, *, now_ms: int) -> int:
        """Pin a message, again if need be, and return the room's ``info_updates``."""
        with transaction(self._database):
            self._database.execute(
                "INSERT OR REPLACE INTO pins(room, post, pinned_ms, pinned_by) VALUES (?, ?, ?, ?)",
                (post.room_id, post.id, now_ms, user.id),
            )
            self._uploads.keep(post.id)
            return advance_info(self._database, post.room_id)

    def unpin(self, room_id: int, post_id: int | None = None) -> tuple[int, int]:
        """Unpin one message of a room (None: all); return how many that were, and its ``info_updates``."""
        with transaction(self._database):
            unpinned = self._database.execute(
                "DELETE FROM pins WHERE room = ?1 AND (?2 IS NULL OR post = ?2) RETURNING post",
                (room_id, post_id),
            ).fetchall()
            for (post,) in unpinned:
                self._uploads.release(post)
            return len(unpinned), advance_info(self._database, room_id, len(unpinned))
