"""Open the SQLite database of a server, or refuse a file that is not one of ours and leave it as it is."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MAGIC: Final = b"SQLite format 3\x00"
# Where the header of an SQLite file keeps two numbers that a program may set, big-endian.
_USER_VERSION_AT: Final = slice(60, 64)
_APPLICATION_ID_AT: Final = slice(68, 72)


class DatabaseRefused(Exception):
    """Refuse a database file that another program, another version or a broken disk wrote."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path}: {reason}; the file has not been touched. Move it away, or choose another data directory"
        )
        self.path = path


@dataclass(frozen=True, slots=True)
class DatabaseForm:
    """What a database looks like: its owner's mark, and the version and making of its tables."""

    owner: str
    application_id: int
    version: int
    schema: str


def open_database(path: Path | None, form: DatabaseForm) -> sqlite3.Connection:
    """Open or create a database in autocommit mode; None keeps it in memory.

    Raise :class:`DatabaseRefused` for a file of another owner, of another version, or damaged.
    """
    is_new = path is None or not path.exists() or (path.is_file() and path.stat().st_size == 0)
    if path is not None and is_new:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif path is not None:
        _check_header(path, form)
        _check_pages(path)
    target = ":memory:" if path is None else str(path)
    connection = sqlite3.connect(target, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        if is_new:
            # The marks go in before the write-ahead log is switched on: they must be in the file itself,
            # where the next start looks for them, even when this run is killed.
            connection.executescript(
                f"PRAGMA application_id = {form.application_id};\n"
                f"BEGIN;\n{form.schema}\nPRAGMA user_version = {form.version};\nCOMMIT;"
            )
        connection.execute("PRAGMA foreign_keys = ON")
        if path is not None:
            connection.execute("PRAGMA journal_mode = WAL")
            # With a write-ahead log, NORMAL hands every commit to the operating system before it returns: a
            # killed process loses nothing that it has acknowledged. Only a crash of the whole machine can
            # lose the last commits, which no test network needs to survive; FULL would cost an fsync each.
            connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Do several statements completely or not at all; inside another transaction they become part of it."""
    is_inner = connection.in_transaction
    if is_inner:
        yield connection
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        # A full disk makes SQLite roll back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def erase(connection: sqlite3.Connection) -> None:
    """Delete every row of every table, and let all ids begin at 1 again."""
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    with transaction(connection):
        # Tables refer to each other; at the end of the transaction all of them are empty.
        connection.execute("PRAGMA defer_foreign_keys = ON")
        for (name,) in rows:
            connection.execute(f'DELETE FROM "{name}"')  # noqa: S608 - the database's own tables
        connection.execute("DELETE FROM sqlite_sequence")


def _check_header(path: Path, form: DatabaseForm) -> None:
    if not path.is_file():
        raise DatabaseRefused(path, "this is not a file")
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(_MAGIC) or len(header) < 100:
        raise DatabaseRefused(path, f"this is not an SQLite database, and so none of a {form.owner}")
    application_id = int.from_bytes(header[_APPLICATION_ID_AT], "big")
    if application_id != form.application_id:
        raise DatabaseRefused(path, f"this SQLite database is not one of a {form.owner}")
    version = int.from_bytes(header[_USER_VERSION_AT], "big")
    if version != form.version:
        raise DatabaseRefused(
            path, f"the tables of this {form.owner} have version {version}, and {form.version} is needed"
        )


def _check_pages(path: Path) -> None:
    """Let SQLite look over all pages without writing; a log that a killed run left is read along."""
    has_log = Path(f"{path}-wal").exists()
    address = f"{path.absolute().as_uri()}?mode=ro" + ("" if has_log else "&immutable=1")
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise DatabaseRefused(path, f"this database is damaged ({error})") from error
    if verdict != "ok":
        raise DatabaseRefused(path, f"this database is damaged ({verdict})")
