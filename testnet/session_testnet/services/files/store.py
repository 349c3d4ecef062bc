"""What the file server keeps: a row and a body for each file (file-server §§3.1, 3.2, 7)."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from session_testnet.services.blobs import open_blobs
from session_testnet.services.exchange import StoredBody
from session_testnet.services.files.upload import Upload
from session_testnet.services.sqlite_file import DatabaseForm, open_database

_NUMERIC_ID_BITS: Final = 53
_ID_ATTEMPTS: Final = 25

_FORM: Final = DatabaseForm(
    owner="session-harness file server",
    application_id=0x53484653,
    version=1,
    schema="""
    CREATE TABLE files (
        id TEXT PRIMARY KEY NOT NULL,
        size INTEGER NOT NULL,
        uploaded_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX files_by_expiry ON files(expires_ms);
    """,
)


class IdMode(StrEnum):
    """How files are named: a random number as a decimal string, or a hash of the body (file-server §3.1)."""

    NUMERIC = "numeric"
    HASH = "hash"


class NoFreeId(Exception):
    """Give up after drawing only ids that are taken."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What is known of a file; times in milliseconds since 1970."""

    id: str
    size: int
    uploaded_ms: int
    expires_ms: int


class FileStore:
    """Keep files until they expire; the time comes with each call, so that a moved clock counts at once."""

    def __init__(
        self,
        directory: Path | None,
        id_mode: IdMode,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Open the store below ``directory``, or in memory; DatabaseRefused for a foreign or damaged one."""
        self._database = open_database(directory / "files.sqlite" if directory else None, _FORM)
        self._blobs = open_blobs(directory / "files" if directory else None)
        self._id_mode = id_mode
        self._random_bytes = random_bytes

    def begin(self) -> Upload:
        """Return where to write a body; :meth:`keep` makes a file of it."""
        return Upload(self._blobs)

    def add(self, body: bytes, *, now_ms: int, ttl_ms: int) -> FileRecord:
        """Store a body that is in memory; see :meth:`keep`."""
        with contextlib.closing(self.begin()) as upload:
            upload.write(body)
            return self.keep(upload, now_ms=now_ms, ttl_ms=ttl_ms)

    def keep(self, upload: Upload, *, now_ms: int, ttl_ms: int) -> FileRecord:
        """Store what has been uploaded and return its record; raise :class:`NoFreeId`, or OSError.

        With hash ids the same body is stored once: uploaded becomes now, the expiry the later of old and new.
        """
        expires_ms = now_ms + ttl_ms
        if self._id_mode is IdMode.HASH:
            file_id = upload.hash_id
            known = self.find(file_id, now_ms=now_ms)
            if known is not None:
                expires_ms = max(expires_ms, known.expires_ms)
        else:
            file_id = self._free_number()
        record = FileRecord(file_id, upload.size, now_ms, expires_ms)
        # The body first: a row must never name a file that is not there.
        upload.keep(_blob_key(file_id))
        self._database.execute(
            "INSERT OR REPLACE INTO files(id, size, uploaded_ms, expires_ms) VALUES (?, ?, ?, ?)",
            (record.id, record.size, record.uploaded_ms, record.expires_ms),
        )
        return record

    def find(self, file_id: str, *, now_ms: int) -> FileRecord | None:
        """Return the record of a file that has not expired, or None."""
        row = self._database.execute(
            "SELECT id, size, uploaded_ms, expires_ms FROM files WHERE id = ? AND expires_ms > ?",
            (file_id, now_ms),
        ).fetchone()
        return FileRecord(*row) if row is not None else None

    def body(self, record: FileRecord) -> StoredBody | None:
        """Return the bytes of a file, open for reading; None when they have gone from the disk."""
        file = self._blobs.open(_blob_key(record.id))
        return None if file is None else StoredBody(file, record.size)

    def extend(self, file_id: str, *, now_ms: int, ttl_ms: int) -> FileRecord | None:
        """Let a file live ``ttl_ms`` from now, never shorter than it would have; None for an unknown one."""
        record = self.find(file_id, now_ms=now_ms)
        if record is None:
            return None
        expires_ms = max(record.expires_ms, now_ms + ttl_ms)
        self._database.execute("UPDATE files SET expires_ms = ? WHERE id = ?", (expires_ms, file_id))
        return FileRecord(record.id, record.size, record.uploaded_ms, expires_ms)

    def purge(self, *, now_ms: int) -> int:
        """Delete what has expired and return the number of files."""
        expired = self._database.execute("SELECT id FROM files WHERE expires_ms <= ?", (now_ms,)).fetchall()
        for (file_id,) in expired:
            # The body first: without its row nobody would ever find it again.
            self._blobs.delete(_blob_key(file_id))
            self._database.execute("DELETE FROM files WHERE id = ?", (file_id,))
        return len(expired)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _free_number(self) -> str:
        for _ in range(_ID_ATTEMPTS):
            number = int.from_bytes(self._random_bytes(8), "big") >> (64 - _NUMERIC_ID_BITS)
            taken = self._database.execute("SELECT 1 FROM files WHERE id = ?", (str(number),)).fetchone()
            # Zero is what old messages carry in place of an id.
            if number and taken is None:
                return str(number)
        raise NoFreeId(f"{_ID_ATTEMPTS} ids were drawn and all of them are taken")


def _blob_key(file_id: str) -> str:
    return f"{file_id[:2]}/{file_id}"
