"""One file that holds a whole network: its description, its time, its faults and all that it has stored."""

import contextlib
import hashlib
import importlib
import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, cast

import msgspec

from session_testnet.hinted_error import HintedError
from session_testnet.topology import Topology

FORMAT: Final = "session-harness snapshot"
VERSION: Final = 1

# The description comes first in the archive, so that a reader knows what it has before it unpacks anything.
_DESCRIPTION: Final = "snapshot.json"
_DATA: Final = "data"
_MAX_DESCRIPTION: Final = 16 << 20
# A network that goes on writes logs of its own.
_LEFT_OUT: Final = frozenset({"logs"})
_SQLITE: Final = ".sqlite"
# Parts of a database that its copy has in itself.
_SQLITE_BESIDE: Final = (".sqlite-wal", ".sqlite-shm")
_BUSY_S: Final = 5.0


class SnapshotError(HintedError):
    """Say what is wrong with a snapshot or its place, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a network is and how it stands, all but the data: that follows, ``files`` has their SHA-256."""

    engine: str
    topology: Topology
    clock_offset_ms: int = 0
    faults: tuple[dict[str, Any], ...] = ()
    test_mode: bool = False
    tcp_faults: bool = False
    files: dict[str, str] = field(default_factory=dict)
    format: str = FORMAT
    version: int = VERSION


def write_snapshot(path: Path, snapshot: Snapshot, data_dir: Path) -> int:
    """Write a snapshot with all files of a data directory, whole or not at all; return its size in bytes.

    Nobody may write into the directory meanwhile. Raise SnapshotError.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".snapshot-", dir=path.parent) as folder:
            copies = Path(folder) / _DATA
            files = {name: _copy(data_dir / name, copies / name) for name in _names(data_dir)}
            finished = Path(folder) / path.name
            with tarfile.open(finished, _mode()) as archive:
                description = msgspec.json.encode(replace(snapshot, files=files))
                head = tarfile.TarInfo(_DESCRIPTION)
                head.size = len(description)
                archive.addfile(head, io.BytesIO(description))
                for name in files:
                    archive.add(copies / name, f"{_DATA}/{name}")
            size = finished.stat().st_size
            finished.replace(path)
    except (OSError, sqlite3.Error, shutil.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SnapshotError(
            f"the snapshot {path} cannot be written: {reason}", "choose another place, or free some space"
        ) from error
    return size


def read_description(path: Path) -> Snapshot:
    """Return what a snapshot says of its network; SnapshotError for a foreign or damaged file."""
    with _reading(path) as archive:
        return _description(archive, path)


def unpack_snapshot(path: Path, data_dir: Path) -> Snapshot:
    """Put the data of a snapshot into a new or empty directory; return what it says of its network.

    Raise SnapshotError; the directory is left as it was then.
    """
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise SnapshotError(
            f"{data_dir} is not an empty directory", "a snapshot is unpacked into one of its own"
        )
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".snapshot-", dir=data_dir.parent) as folder:
        unpacked = Path(folder) / _DATA
        unpacked.mkdir()
        with _reading(path) as archive:
            snapshot = _description(archive, path)
            missing = dict(snapshot.files)
            # Iterating would begin with the description again.
            while (member := archive.next()) is not None:
                name = member.name.removeprefix(f"{_DATA}/")
                if not member.isfile() or name not in missing:
                    raise _damaged(path, f"it holds {member.name!r}, which it does not speak of")
                if _extract(archive, member, unpacked / name) != missing.pop(name):
                    raise _damaged(path, f"{name} is not what it was")
            if missing:
                raise _damaged(path, f"it lacks {', '.join(sorted(missing))}")
        if data_dir.exists():
            data_dir.rmdir()
        unpacked.replace(data_dir)
    return snapshot


def _names(data_dir: Path) -> Iterator[str]:
    """Yield the files to keep, in a stable order."""
    for path in sorted(data_dir.rglob("*")):
        name = path.relative_to(data_dir)
        if path.is_file() and name.parts[0] not in _LEFT_OUT and not path.name.endswith(_SQLITE_BESIDE):
            yield name.as_posix()


def _copy(source: Path, target: Path) -> str:
    """Copy a file and return its SHA-256; a database with what stands in its log of changes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.name.endswith(_SQLITE):
        with (
            contextlib.closing(sqlite3.connect(source, timeout=_BUSY_S)) as original,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            original.backup(copy)
    else:
        shutil.copyfile(source, target)
    target.chmod(0o600)
    with target.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _mode() -> Literal["w:gz"]:
    """Return how archives are written: with Zstandard, where the standard library has it."""
    try:
        importlib.import_module("compression.zstd")
    except ImportError:
        return "w:gz"
    return cast("Literal['w:gz']", "w:zst")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive; whatever is wrong with it comes out as SnapshotError."""
    try:
        with tarfile.open(path, "r:*") as archive:
            yield archive
    except OSError as error:
        # gzip tells of damage by an OSError without a number.
        if error.errno is None:
            raise _damaged(path, str(error)) from error
        raise SnapshotError(
            f"the snapshot {path} cannot be read: {error.strerror}", "name a file that snapshot save wrote"
        ) from error
    except tarfile.ReadError as error:
        raise _foreign(path) from error
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    except Exception as error:
        # Decompressors have errors of their own.
        if type(error).__module__ in ("zlib", "compression.zstd", "_zstd", "_lzma", "_bz2"):
            raise _damaged(path, str(error)) from error
        raise


def _description(archive: tarfile.TarFile, path: Path) -> Snapshot:
    member = archive.next()
    if member is None or member.name != _DESCRIPTION or not member.isfile():
        raise _foreign(path)
    if member.size > _MAX_DESCRIPTION:
        raise _damaged(path, "its description is too long")
    stream = archive.extractfile(member)
    content = b"" if stream is None else stream.read()
    try:
        head = msgspec.json.decode(content)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise _foreign(path)
        if head.get("version") != VERSION:
            raise SnapshotError(
                f"the snapshot {path} is of version {head.get('version')!r}, not {VERSION}",
                "load it with the version of session-harness that wrote it",
            )
        snapshot = msgspec.json.decode(content, type=Snapshot)
    except msgspec.MsgspecError as error:
        raise _damaged(path, str(error)) from error
    for name in snapshot.files:
        if PurePosixPath(name).is_absolute() or not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise _damaged(path, f"{name!r} is no place inside a data directory")
    return snapshot


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = archive.extractfile(member)
    assert source is not None, "a member that is a file"
    digest = hashlib.sha256()
    # Some of the files hold keys.
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:  # noqa: PTH123
        while block := source.read(1 << 20):
            digest.update(block)
            stream.write(block)
    return digest.hexdigest()


def _foreign(path: Path) -> SnapshotError:
    return SnapshotError(f"{path} is not a snapshot", "name a file that snapshot save wrote")


def _damaged(path: Path, reason: str) -> SnapshotError:
    return SnapshotError(f"the snapshot {path} is damaged: {reason}", "save it again, or take another copy")
