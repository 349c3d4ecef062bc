"""Keep the bodies of files: on disk below a directory, or in memory."""

import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, Final, Protocol

# Our own mark on files that only we make: what a killed run has left of them is removed.
_UNFINISHED: Final = ".session-harness-unfinished-"


class BlobWriter(Protocol):
    """Take the bytes of one blob piece by piece; nobody sees it before it is kept."""

    def write(self, chunk: bytes) -> object:
        """Add a piece."""

    def keep(self, key: str) -> None:
        """Store what was written under a key, in place of what the key held before."""

    def close(self) -> None:
        """Forget what was written, unless it has been kept; safe to call twice."""


class BlobStore(Protocol):
    """Keep bytes under keys that are relative file paths of harmless characters."""

    def begin(self) -> BlobWriter:
        """Return where to write a blob whose key is not known yet."""

    def put(self, key: str, data: bytes) -> None:
        """Store bytes, in place of what the key held before."""

    def get(self, key: str) -> bytes | None:
        """Return what the key holds, or None."""

    def open(self, key: str) -> BinaryIO | None:
        """Return what the key holds as an open file, which stays whole when the key is deleted; or None."""

    def delete(self, key: str) -> None:
        """Forget a key; an unknown one is fine."""


class MemoryBlobs:
    """Keep blobs in memory; they end with the server."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def begin(self) -> BlobWriter:
        """Return where to write a blob whose key is not known yet."""
        return _MemoryWriter(self)

    def put(self, key: str, data: bytes) -> None:
        """Store bytes, in place of what the key held before."""
        self._blobs[key] = data

    def get(self, key: str) -> bytes | None:
        """Return what the key holds, or None."""
        return self._blobs.get(key)

    def open(self, key: str) -> BinaryIO | None:
        """Return what the key holds as an open file, or None."""
        data = self._blobs.get(key)
        return None if data is None else io.BytesIO(data)

    def delete(self, key: str) -> None:
        """Forget a key; an unknown one is fine."""
        self._blobs.pop(key, None)


class DirectoryBlobs:
    """Keep each blob as a file below a directory; one server at a time.

    A file appears under its name only when it is complete. What an earlier run has left unfinished is removed
    at the start. A key that leads out of the directory raises ValueError.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        for left in self._directory.glob(f"{_UNFINISHED}*"):
            left.unlink()

    def begin(self) -> BlobWriter:
        """Return where to write a blob whose key is not known yet; OSError when the disk refuses."""
        self._directory.mkdir(parents=True, exist_ok=True)
        # Within the directory: a file can be renamed only on its own disk.
        descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=self._directory)
        return _FileWriter(self, os.fdopen(descriptor, "wb"), Path(name))

    def put(self, key: str, data: bytes) -> None:
        """Store bytes, in place of what the key held before."""
        self._path(key)
        with contextlib.closing(self.begin()) as writer:
            writer.write(data)
            writer.keep(key)

    def get(self, key: str) -> bytes | None:
        """Return what the key holds, or None."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def open(self, key: str) -> BinaryIO | None:
        """Return what the key holds as an open file, or None."""
        try:
            return self._path(key).open("rb")
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """Forget a key; an unknown one is fine."""
        with contextlib.suppress(FileNotFoundError):
            self._path(key).unlink()

    def take_in(self, finished: Path, key: str) -> None:
        """Give a file within the directory its name, in place of what had the name before."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        finished.replace(path)

    def _path(self, key: str) -> Path:
        # Joined by hand: a name such as ".." is refused, not resolved.
        parts = key.split("/")
        if not all(part not in ("", ".", "..") and "\x00" not in part for part in parts):
            raise ValueError(f"{key!r} is not a relative path below the blobs' directory")
        return self._directory.joinpath(*parts)


class _MemoryWriter:
    def __init__(self, blobs: MemoryBlobs) -> None:
        self._blobs = blobs
        self._buffer = io.BytesIO()

    def write(self, chunk: bytes) -> object:
        if not self._buffer.tell():
            # A BytesIO shares the bytes that it is made of until more come.
            self._buffer = io.BytesIO(chunk)
            return self._buffer.seek(0, os.SEEK_END)
        return self._buffer.write(chunk)

    def keep(self, key: str) -> None:
        # A BytesIO hands its bytes over without a copy.
        self._blobs.put(key, self._buffer.getvalue())
        self.close()

    def close(self) -> None:
        self._buffer = io.BytesIO()


class _FileWriter:
    def __init__(self, blobs: DirectoryBlobs, file: BinaryIO, path: Path) -> None:
        self._blobs = blobs
        self._file = file
        self._path = path

    def write(self, chunk: bytes) -> object:
        return self._file.write(chunk)

    def keep(self, key: str) -> None:
        # Closing writes what is still in the buffer: the name must never stand for less than the whole.
        self._file.close()
        self._blobs.take_in(self._path, key)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)


def open_blobs(directory: Path | None) -> BlobStore:
    """Return a store below ``directory``, or one in memory."""
    return MemoryBlobs() if directory is None else DirectoryBlobs(directory)
