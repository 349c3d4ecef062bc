"""Keep the bodies of files: on disk below a directory, or in memory."""

import contextlib
import os
from pathlib import Path
from typing import Protocol


class BlobStore(Protocol):
    """Keep bytes under keys that are relative file paths of harmless characters."""

    def put(self, key: str, data: bytes) -> None:
        """Store bytes, in place of what the key held before."""

    def get(self, key: str) -> bytes | None:
        """Return what the key holds, or None."""

    def delete(self, key: str) -> None:
        """Forget a key; an unknown one is fine."""


class MemoryBlobs:
    """Keep blobs in memory; they end with the server."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        """Store bytes, in place of what the key held before."""
        self._blobs[key] = data

    def get(self, key: str) -> bytes | None:
        """Return what the key holds, or None."""
        return self._blobs.get(key)

    def delete(self, key: str) -> None:
        """Forget a key; an unknown one is fine."""
        self._blobs.pop(key, None)


class DirectoryBlobs:
    """Keep each blob as a file below a directory.

    A file appears under its name only when it is complete. A key that leads out of the directory raises
    ValueError.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def put(self, key: str, data: bytes) -> None:
        """Store bytes, in place of what the key held before."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{os.getpid()}.unfinished")
        unfinished.write_bytes(data)
        unfinished.replace(path)

    def get(self, key: str) -> bytes | None:
        """Return what the key holds, or None."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """Forget a key; an unknown one is fine."""
        with contextlib.suppress(FileNotFoundError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        # Joined by hand: a name such as ".." is refused, not resolved.
        parts = key.split("/")
        if not all(part not in ("", ".", "..") and "\x00" not in part for part in parts):
            raise ValueError(f"{key!r} is not a relative path below the blobs' directory")
        return self._directory.joinpath(*parts)


def open_blobs(directory: Path | None) -> BlobStore:
    """Return a store below ``directory``, or one in memory."""
    return MemoryBlobs() if directory is None else DirectoryBlobs(directory)
