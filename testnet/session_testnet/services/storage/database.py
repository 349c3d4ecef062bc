"""What a storage node keeps: messages in order of arrival, and revoked sub-accounts (storage-rpc §13)."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from session_protocol.storage_auth import ALL_NAMESPACES
from session_testnet.services.sqlite_file import DatabaseForm, open_database, transaction
from session_testnet.services.storage.settings import MAX_REVOKED_TOKENS

# ``id`` is a plain row number: it gives the order of retrieval. An owner lives as long as it has messages,
# and its revocations as long as it does.
_FORM: Final = DatabaseForm(
    owner="storage node",
    application_id=0x53484E31,
    version=1,
    schema="""
    CREATE TABLE owners(
        id INTEGER PRIMARY KEY,
        type INTEGER NOT NULL,
        pubkey BLOB NOT NULL,
        UNIQUE(pubkey, type)
    );
    CREATE TABLE messages(
        id INTEGER PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        owner INTEGER NOT NULL REFERENCES owners(id),
        namespace INTEGER NOT NULL,
        timestamp INTEGER NOT NULL,
        expiry INTEGER NOT NULL,
        data BLOB NOT NULL
    );
    CREATE INDEX messages_of_owner ON messages(owner, namespace);
    CREATE INDEX messages_by_expiry ON messages(expiry);
    CREATE TABLE revoked_subaccounts(
        id INTEGER PRIMARY KEY,
        owner INTEGER NOT NULL REFERENCES owners(id) ON DELETE CASCADE,
        token BLOB NOT NULL,
        timestamp INTEGER NOT NULL,
        UNIQUE(owner, token)
    );
    CREATE TRIGGER last_message_deleted AFTER DELETE ON messages
        WHEN NOT EXISTS (SELECT 1 FROM messages WHERE owner = OLD.owner)
        BEGIN DELETE FROM owners WHERE id = OLD.owner; END;
    """,
)


class DatabaseFull(Exception):
    """Say that a message was not stored because the database is at its limit, or cannot be written."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as a node holds it; ``account`` has 33 bytes, times are in milliseconds."""

    account: bytes
    hash: str
    namespace: int
    timestamp: int
    expiry: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What became of a message: whether it was there ``already``, and when what is kept now expires."""

    already: bool
    expiry: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of messages, and whether more would have followed."""

    messages: list[tuple[str, int, int, bytes]]
    more: bool


class MessageDatabase:
    """Keep the messages of a node in SQLite; ``path`` None keeps them in memory.

    Raise :class:`~session_testnet.services.sqlite_file.DatabaseRefused` for a file that is damaged or not a
    storage node's; the file stays as it is. Used from one thread, the loop's.
    """

    def __init__(self, path: Path | None, *, max_bytes: int) -> None:
        self._db = open_database(path, _FORM)
        self._db.row_factory = None
        (page_bytes,) = self._db.execute("PRAGMA page_size").fetchone()
        self._db.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_bytes)}")

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._db.close()

    def store(self, message: StoredMessage) -> StoreOutcome:
        """Keep a message: insert it, or raise the expiry of the one with the same hash; never lower it."""
        try:
            if self._insert_for_known_owner(message):
                return StoreOutcome(already=False, expiry=message.expiry)
            outcome = self._raise_expiry(message)
            if outcome is not None:
                return outcome
            with transaction(self._db):
                return self._insert(message)
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            raise _full(error) from error

    def replace(self, message: StoredMessage) -> StoreOutcome | None:
        """Keep a message as the only one of its namespace; None when a kept one is not older."""
        try:
            outcome = self._raise_expiry(message)
            if outcome is not None:
                return outcome
            owner = self._owner(message.account)
            (newest,) = self._db.execute(
                "SELECT max(timestamp) FROM messages WHERE owner = ? AND namespace = ?",
                (owner, message.namespace),
            ).fetchone()
            if newest is not None and newest >= message.timestamp:
                return None
            with transaction(self._db):
                outcome = self._insert(message)
                self._db.execute(
                    "DELETE FROM messages WHERE owner = ? AND namespace = ? AND hash != ?",
                    (owner, message.namespace, message.hash),
                )
            return outcome
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            raise _full(error) from error

    def retrieve(
        self,
        account: bytes,
        namespace: int,
        *,
        after: str | None = None,
        max_count: int | None = None,
        max_bytes: int | None = None,
        reverse: bool = False,
    ) -> Page:
        """List messages (hash, timestamp, expiry, data) in order of arrival, after the one named ``after``.

        An unknown ``after`` counts as none. A page has at least one message if there is any, however large.
        ``reverse`` starts with the newest; ``after`` then goes backwards as well.
        """
        owner = self._owner(account)
        order, beyond = ("DESC", "<") if reverse else ("ASC", ">")
        cursor = self._row_of(owner, namespace, after)
        rows = self._db.execute(
            f"SELECT hash, timestamp, expiry, data FROM messages WHERE owner = ? AND namespace = ?"  # noqa: S608
            f"{f' AND id {beyond} ?' if cursor is not None else ''} ORDER BY id {order}",
            (owner, namespace) if cursor is None else (owner, namespace, cursor),
        )
        messages: list[tuple[str, int, int, bytes]] = []
        size = 0
        for row in rows:
            size += 100 + len(row[0]) + len(row[3]) * 4 // 3
            full = max_count is not None and len(messages) >= max_count
            if full or (max_bytes is not None and messages and size > max_bytes):
                rows.close()
                return Page(messages, more=True)
            messages.append(row)
        return Page(messages, more=False)

    def delete(self, account: bytes, hashes: Iterable[str]) -> list[str]:
        """Delete messages of an account by hash; return the sorted hashes of those that were there."""
        owner = self._owner(account)
        with transaction(self._db):
            rows = [
                row
                for each in hashes
                for row in self._db.execute(
                    "DELETE FROM messages WHERE hash = ? AND owner = ? RETURNING hash", (each, owner)
                ).fetchall()
            ]
        return sorted(row[0] for row in rows)

    def delete_all(
        self, account: bytes, namespace: int | str, *, before: int | None = None
    ) -> list[tuple[int, str]]:
        """Delete the messages of a namespace or of ``"all"``, only those not newer than ``before`` if given.

        Return namespace and hash of each.
        """
        where, values = _of_namespace(self._owner(account), namespace)
        if before is not None:
            where, values = f"{where} AND timestamp <= ?", (*values, before)
        return self._db.execute(
            f"DELETE FROM messages WHERE {where} RETURNING namespace, hash",  # noqa: S608 - no value in the text
            values,
        ).fetchall()

    def shorten_all(self, account: bytes, namespace: int | str, expiry: int) -> list[tuple[int, str]]:
        """Let every message expire at ``expiry`` that would later; return namespace and hash of each."""
        where, values = _of_namespace(self._owner(account), namespace)
        return self._db.execute(
            f"UPDATE messages SET expiry = ? WHERE {where} AND expiry > ?"  # noqa: S608
            " RETURNING namespace, hash",
            (expiry, *values, expiry),
        ).fetchall()

    def times(self, account: bytes, hashes: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return timestamp and expiry of the messages of an account that are there, by hash."""
        owner = self._owner(account)
        found: dict[str, tuple[int, int]] = {}
        for each in hashes:
            row = self._db.execute(
                "SELECT timestamp, expiry FROM messages WHERE hash = ? AND owner = ?", (each, owner)
            ).fetchone()
            if row is not None:
                found[each] = row
        return found

    def set_expiries(self, expiries: Sequence[tuple[str, int]]) -> None:
        """Set when messages expire, given pairs of hash and time."""
        with transaction(self._db):
            self._db.executemany(
                "UPDATE messages SET expiry = ? WHERE hash = ?",
                [(expiry, message) for message, expiry in expiries],
            )

    def revoked_tokens(self, account: bytes) -> list[bytes]:
        """Return the revoked sub-account tokens of an account, oldest first."""
        rows = self._db.execute(
            "SELECT token FROM revoked_subaccounts WHERE owner = ? ORDER BY timestamp, id",
            (self._owner(account),),
        )
        return [row[0] for row in rows]

    def revoke(self, account: bytes, tokens: Iterable[bytes], now_ms: int) -> None:
        """Revoke sub-accounts; the latest 50 stay so, and none of an account without messages."""
        owner = self._owner(account)
        if owner is None:
            return
        with transaction(self._db):
            self._db.executemany(
                "INSERT OR REPLACE INTO revoked_subaccounts(owner, token, timestamp) VALUES (?, ?, ?)",
                [(owner, token, now_ms) for token in tokens],
            )
            self._db.execute(
                "DELETE FROM revoked_subaccounts WHERE owner = ?1 AND id NOT IN"
                " (SELECT id FROM revoked_subaccounts WHERE owner = ?1"
                " ORDER BY timestamp DESC, id DESC LIMIT ?2)",
                (owner, MAX_REVOKED_TOKENS),
            )

    def unrevoke(self, account: bytes, tokens: Iterable[bytes]) -> int:
        """Take revocations back; return how many there were."""
        owner = self._owner(account)
        with transaction(self._db):
            return sum(
                self._db.execute(
                    "DELETE FROM revoked_subaccounts WHERE owner = ? AND token = ?", (owner, token)
                ).rowcount
                for token in tokens
            )

    def purge(self, now_ms: int) -> int:
        """Delete what has expired; return how many messages that were."""
        return self._db.execute("DELETE FROM messages WHERE expiry <= ?", (now_ms,)).rowcount

    def count(self) -> int:
        """Return the number of messages."""
        (count,) = self._db.execute("SELECT count(*) FROM messages").fetchone()
        return int(count)

    def accounts(self) -> list[bytes]:
        """Return every account that has messages."""
        return [bytes([kind]) + key for kind, key in self._db.execute("SELECT type, pubkey FROM owners")]

    def messages_of(self, account: bytes) -> Iterator[StoredMessage]:
        """Yield all messages of an account, in order of arrival."""
        rows = self._db.execute(
            "SELECT hash, namespace, timestamp, expiry, data FROM messages WHERE owner = ? ORDER BY id",
            (self._owner(account),),
        )
        for row in rows:
            yield StoredMessage(account, *row)

    def _owner(self, account: bytes) -> int | None:
        row = self._db.execute(
            "SELECT id FROM owners WHERE pubkey = ? AND type = ?", (account[1:], account[0])
        ).fetchone()
        return None if row is None else int(row[0])

    def _row_of(self, owner: int | None, namespace: int, message: str | None) -> int | None:
        if message is None:
            return None
        row = self._db.execute(
            "SELECT id FROM messages WHERE hash = ? AND owner = ? AND namespace = ?",
            (message, owner, namespace),
        ).fetchone()
        return None if row is None else int(row[0])

    def _insert_for_known_owner(self, message: StoredMessage) -> bool:
        """Insert a new message of an account that has others, in one statement: the most frequent case."""
        return (
            self._db.execute(
                "INSERT INTO messages(hash, owner, namespace, timestamp, expiry, data)"
                " SELECT ?, id, ?, ?, ?, ? FROM owners WHERE pubkey = ? AND type = ?"
                " ON CONFLICT(hash) DO NOTHING",
                (
                    message.hash,
                    message.namespace,
                    message.timestamp,
                    message.expiry,
                    message.data,
                    message.account[1:],
                    message.account[0],
                ),
            ).rowcount
            == 1
        )

    def _raise_expiry(self, message: StoredMessage) -> StoreOutcome | None:
        row = self._db.execute("SELECT expiry FROM messages WHERE hash = ?", (message.hash,)).fetchone()
        if row is None:
            return None
        kept = int(row[0])
        if message.expiry > kept:
            self._db.execute("UPDATE messages SET expiry = ? WHERE hash = ?", (message.expiry, message.hash))
        return StoreOutcome(already=True, expiry=max(kept, message.expiry))

    def _insert(self, message: StoredMessage) -> StoreOutcome:
        owner = self._owner(message.account)
        if owner is None:
            owner = self._db.execute(
                "INSERT INTO owners(type, pubkey) VALUES (?, ?)", (message.account[0], message.account[1:])
            ).lastrowid
        self._db.execute(
            "INSERT INTO messages(hash, owner, namespace, timestamp, expiry, data) VALUES (?, ?, ?, ?, ?, ?)",
            (message.hash, owner, message.namespace, message.timestamp, message.expiry, message.data),
        )
        return StoreOutcome(already=False, expiry=message.expiry)


def _full(error: sqlite3.Error) -> DatabaseFull:
    # SQLite rolls back by itself when it is full: the reason lies behind the error of a second rollback.
    return DatabaseFull(str(error.__context__ or error))


def _of_namespace(owner: int | None, namespace: int | str) -> tuple[str, tuple[int | str | None, ...]]:
    if namespace == ALL_NAMESPACES:
        return "owner = ?", (owner,)
    return "owner = ? AND namespace = ?", (owner, namespace)
