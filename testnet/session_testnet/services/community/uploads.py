"""The files of the rooms: uploaded, attached to a message, expired (open-group-server §12)."""

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from session_testnet.services.blobs import BlobStore
from session_testnet.services.community.posts import Post
from session_testnet.services.community.rooms import Room
from session_testnet.services.community.settings import ServerSettings
from session_testnet.services.community.users import User
from session_testnet.services.sqlite_file import transaction

# How long a file waits to be attached to a message.
UNATTACHED_MS: Final = 60 * 60 * 1000

_MAX_NAME_LETTERS: Final = 60
# What a file name on disk is made of.
_UNSAFE_LETTERS: Final = re.compile(r"[^\w+\-.'()@\[\]]+")


@dataclass(frozen=True, slots=True)
class RoomFile:
    """A file as stored; ``expires_ms`` None means never."""

    id: int
    uploaded_ms: int
    expires_ms: int | None
    filename: str | None
    blob_key: str


class UploadStore:
    """Keep the files of all rooms."""

    def __init__(self, database: sqlite3.Connection, blobs: BlobStore, settings: ServerSettings) -> None:
        self._database = database
        self._blobs = blobs
        self._settings = settings

    def add(self, room: Room, uploader: User, body: bytes, filename: str | None, *, now_ms: int) -> int:
        """Store a file and return its id."""
        with transaction(self._database):
            added = self._database.execute(
                "INSERT INTO files(room, uploader, size, uploaded_ms, expires_ms, filename, blob_key)"
                " VALUES (?, ?, ?, ?, ?, ?, '')",
                (room.id, uploader.id, len(body), now_ms, now_ms + UNATTACHED_MS, filename),
            )
            file_id = added.lastrowid
            assert file_id is not None, "an insert has a row"
            key = f"{room.token}/{file_id}_{name_on_disk(filename)}"
            self._database.execute("UPDATE files SET blob_key = ? WHERE id = ?", (key, file_id))
            # Last: what cannot be written leaves no row behind.
            self._blobs.put(key, body)
        return file_id

    def find(self, room: Room, file_id: int, *, now_ms: int) -> RoomFile | None:
        """Return a file of a room that has not expired, or None."""
        row = self._database.execute(
            "SELECT id, uploaded_ms, expires_ms, filename, blob_key FROM files"
            " WHERE id = ? AND room = ? AND (expires_ms IS NULL OR expires_ms > ?)",
            (file_id, room.id, now_ms),
        ).fetchone()
        return None if row is None else RoomFile(*row)

    def body(self, file: RoomFile) -> bytes | None:
        """Return the bytes of a file; None when they have gone from the disk."""
        return self._blobs.get(file.blob_key)

    def attach(self, post: Post, file_ids: Sequence[int], *, now_ms: int) -> None:
        """Attach to a message those files that its author uploaded into its room and that wait for one.

        They live as long as the operator says, and for ever at a pinned message.
        """
        lifetime = self._settings.attached_file_ms
        for file_id in file_ids:
            self._database.execute(
                "UPDATE files SET post = ?1,"
                " expires_ms = CASE WHEN EXISTS (SELECT 1 FROM pins WHERE post = ?1) THEN NULL ELSE ?2 END"
                " WHERE id = ?3 AND room = ?4 AND uploader = ?5 AND post IS NULL AND expires_ms > ?6",
                (
                    post.id,
                    None if lifetime is None else now_ms + lifetime,
                    file_id,
                    post.room_id,
                    post.author_id,
                    now_ms,
                ),
            )

    def keep(self, post_id: int) -> None:
        """Let the files of a message live for ever: it has been pinned."""
        self._database.execute("UPDATE files SET expires_ms = NULL WHERE post = ?", (post_id,))

    def release(self, post_id: int) -> None:
        """Let the files of a message live as long as others of their age: it is no longer pinned."""
        lifetime = self._settings.attached_file_ms
        for file_id, uploaded_ms in self._mortal(post_id):
            self._expire_at(file_id, None if lifetime is None else uploaded_ms + lifetime)

    def expire(self, post_id: int) -> None:
        """Let the files of a message expire at once: it has been deleted."""
        for file_id, _ in self._mortal(post_id):
            self._expire_at(file_id, 0)

    def purge(self, *, now_ms: int) -> int:
        """Delete what has expired and return the number of files."""
        expired = self._database.execute(
            "SELECT id, blob_key FROM files WHERE expires_ms <= ?", (now_ms,)
        ).fetchall()
        for file_id, key in expired:
            self._database.execute("DELETE FROM files WHERE id = ?", (file_id,))
            self._blobs.delete(key)
        return len(expired)

    def keys(self, room: Room | None = None) -> list[str]:
        """Return under which keys the bodies of all files lie, or those of one room."""
        rows = self._database.execute(
            "SELECT blob_key FROM files WHERE ?1 IS NULL OR room = ?1", (room.id if room else None,)
        )
        return [row[0] for row in rows]

    def drop_bodies(self, keys: Sequence[str]) -> None:
        """Delete the bodies of files that are no longer listed."""
        for key in keys:
            self._blobs.delete(key)

    def _mortal(self, post_id: int) -> list[tuple[int, int]]:
        """Return the files of a message, and when they came, that do not live on as a room's image."""
        rows = self._database.execute(
            "SELECT id, uploaded_ms FROM files WHERE post = ?"
            " AND id NOT IN (SELECT image FROM rooms WHERE image IS NOT NULL)",
            (post_id,),
        )
        return [(file_id, uploaded_ms) for file_id, uploaded_ms in rows]

    def _expire_at(self, file_id: int, expires_ms: int | None) -> None:
        self._database.execute("UPDATE files SET expires_ms = ? WHERE id = ?", (expires_ms, file_id))


def name_on_disk(filename: str | None) -> str:
    """Return a harmless form of a file name for the disk; the real one stays in the database."""
    if not filename:
        return "(unnamed)"
    name = _UNSAFE_LETTERS.sub("_", filename)
    return name if len(name) <= _MAX_NAME_LETTERS else f"{name[:40]}...{name[-17:]}"
