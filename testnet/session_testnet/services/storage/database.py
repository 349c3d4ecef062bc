"""What a storage node keeps: messages in order of arrival, and revoked sub-accounts (storage-rpc §13)."""

import itertools
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from session_protocol.storage_auth import ALL_NAMESPACES
from session_testnet.services.sqlite_file import open_database, transaction
from session_testnet.services.storage.lives import Kind, Life, LifeChange, Lives
from session_testnet.services.storage.removals import (
    ANY_NAMESPACE,
    ANY_TIME,
    MAX_UNSEEN,
    Removal,
    Removals,
)
from session_testnet.services.storage.revocations import Revocation, Revocations
from session_testnet.services.storage.stored import (
    MESSAGES_FORM,
    DatabaseFull,
    Page,
    StoredMessage,
    StoreOutcome,
)
from session_testnet.services.storage.undelivered import Undelivered
from session_testnet.services.storage.version_profile import NEWEST_VERSION, VersionProfile, profile_of

_logger: Final = logging.getLogger(__name__)


class MessageDatabase:
    """Keep the messages of a node in SQLite; ``path`` None keeps them in memory.

    Raise :class:`~session_testnet.services.sqlite_file.DatabaseRefused` for a file that is damaged or not a
    storage node's; the file stays as it is. Used from one thread, the loop's.

    Changes are stamped, so that members which missed some can be told later, in any order, and all end with
    the same: a stamp is the asked member's time in milliseconds, or one more than the newest stamp known if
    that is later (a hybrid logical clock: it survives clocks that are wrong, or moved). ``full`` makes it
    store nothing from then on, as if the disk were full.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        max_bytes: int,
        max_unseen: int = MAX_UNSEEN,
        profile: VersionProfile | None = None,
    ) -> None:
        profile = profile or profile_of(NEWEST_VERSION)
        self.full = False
        self._max_unseen = max_unseen
        self._db = open_database(path, MESSAGES_FORM)
        self._db.row_factory = None
        self.removals = Removals(self._db, max_unseen)
        self.undelivered = Undelivered(self._db)
        self.lives = Lives(self._db, self.removals, max_unseen)
        self.revocations = Revocations(self._db)
        self._outbox_keeps_newest = profile.outbox_keeps_newest
        self._stamp = self._newest = self._newest_stamp()
        (page_bytes,) = self._db.execute("PRAGMA page_size").fetchone()
        self._db.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_bytes)}")

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._db.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """Return the open database, for those who read or merge several of its tables."""
        return self._db

    def next_stamp(self, now_ms: int) -> int:
        """Return the stamp of a new change: the time, or later than every change known."""
        return max(now_ms, self._newest + 1)

    @property
    def newest_stamp(self) -> int:
        """Return the newest stamp that this node knows of."""
        return self._newest

    def write_at(self, stamp: int) -> None:
        """Let the changes that follow carry this stamp."""
        self._stamp = stamp
        self.know(stamp)

    def know(self, stamp: int) -> None:
        """Let all changes to come be later than this stamp, which another node has given."""
        self._newest = max(self._newest, stamp)

    def store(self, message: StoredMessage) -> StoreOutcome | None:
        """Keep a message: insert it, or raise the expiry of the one with the same hash; never lower it.

        None when a request that was made later, but came earlier, has removed it already.
        """
        self._refuse_when_full()
        try:
            if self._is_removed(message):
                return None
            if self._insert_for_known_owner(message):
                return self._begun(message)
            with transaction(self._db):
                outcome = self._live_on(message)
                if outcome is not None:
                    return outcome
                self._insert(message)
            return self._begun(message)
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            raise DatabaseFull(str(error)) from error

    def replace(self, message: StoredMessage) -> StoreOutcome | None:
        """Keep a message as the only one of its namespace; None when the kept one takes precedence."""
        self._refuse_when_full()
        try:
            if self._is_removed(message):
                return None
            with transaction(self._db):
                outcome = self._live_on(message)
                if outcome is not None:
                    return outcome
                replaced = self.outbox_beaten(message, self._stamp)
                if replaced is None:
                    return None
                self._insert(message)
                self._db.execute(
                    "DELETE FROM messages WHERE hash IN (SELECT value FROM json_each(?))", (_list(replaced),)
                )
                self.removals.record_hashes(message.account, replaced, self._stamp)
            return self._begun(message)
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            raise DatabaseFull(str(error)) from error

    def outbox_beaten(self, message: StoredMessage, stored: int) -> list[str] | None:
        """Return what a message of an outbox, stored at a stamp, takes the place of; None: it is obsolete.

        Whichever came first, all members must keep the same: the one with the newest timestamp, and of equal
        ones that which was stored first; with old releases the one that was stored last.
        """
        rows = self._db.execute(
            "SELECT hash, timestamp, stored FROM messages WHERE owner = ? AND namespace = ? AND hash != ?",
            (self._owner(message.account), message.namespace, message.hash),
        ).fetchall()
        rank = self._outbox_rank(message.timestamp, stored, message.hash)
        if any(self._outbox_rank(timestamp, at, each) > rank for each, timestamp, at in rows):
            return None
        return [each for each, _, _ in rows]

    def _outbox_rank(self, timestamp: int, stored: int, message: str) -> tuple[int | str, ...]:
        return (timestamp, -stored, message) if self._outbox_keeps_newest else (stored, message)

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
        wanted = dict.fromkeys(hashes)
        with transaction(self._db):
            known = self.times(account, wanted)
            deleted = self._db.execute(
                "DELETE FROM messages WHERE stored <= ? AND hash IN (SELECT value FROM json_each(?))"
                " RETURNING hash",
                (self._stamp, _list(known)),
            ).fetchall()
            # After the deletion, which makes room where the disk is full.
            self.removals.record_hashes(account, wanted, self._stamp, seen=known.keys())
            # Those that were stored again since live a life that began with that.
            gone = {row[0] for row in deleted}
            self.lives.refold(account, known.keys() - gone)
            self.lives.forget(gone, self._stamp)
        return sorted(row[0] for row in deleted)

    def delete_all(
        self, account: bytes, namespace: int | str, *, before: int | None = None
    ) -> list[tuple[int, str]]:
        """Delete the messages of a namespace or of ``"all"``, only those not newer than ``before`` if given.

        Return namespace and hash of each.
        """
        where, values = _of_namespace(self._owner(account), namespace)
        if before is not None:
            where, values = f"{where} AND timestamp <= ?", (*values, before)
        with transaction(self._db):
            deleted = self._db.execute(
                f"DELETE FROM messages WHERE {where} AND stored <= ?"  # noqa: S608 - no value in the text
                " RETURNING namespace, hash",
                (*values, self._stamp),
            ).fetchall()
            self.removals.record_range(account, namespace, before, self._stamp)
            if self._stamp < self._newest:
                self.begin_anew(account, None)
            self.lives.forget((row[1] for row in deleted), self._stamp)
        return deleted

    def begin_anew(self, account: bytes, hashes: Iterable[str] | None) -> None:
        """Let lives, of these messages or all, begin with what came after a deletion that was late."""
        if hashes is None:
            rows = self._db.execute("SELECT hash FROM messages WHERE owner = ?", (self._owner(account),))
            hashes = [row[0] for row in rows.fetchall()]
        self.lives.refold(account, hashes)

    def shorten_all(self, account: bytes, namespace: int | str, expiry: int) -> list[tuple[int, str]]:
        """Let every message expire at ``expiry`` that would later; return namespace and hash of each."""
        number = ANY_NAMESPACE if namespace == ALL_NAMESPACES else int(namespace)
        change = LifeChange(self._stamp, Kind.SHORTEN, expiry, account, namespace=number)
        with transaction(self._db):
            return self.lives.shorten_range(change)

    def times(self, account: bytes, hashes: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return timestamp and expiry of the messages of an account that are there, by hash."""
        owner = self._owner(account)
        if owner is None:
            return {}
        # The join must begin with the list, however long it is: the planner cannot know.
        rows = self._db.execute(
            "SELECT hash, timestamp, expiry FROM json_each(?) CROSS JOIN messages"
            " ON hash = value WHERE owner = ?",
            (_list(hashes), owner),
        )
        return {message: (timestamp, expiry) for message, timestamp, expiry in rows}

    def change_lives(self, account: bytes, kind: Kind, expiries: Mapping[str, int]) -> dict[str, Life]:
        """Change when messages of an account expire; tell of those that are here."""
        known = self.times(account, expiries)
        unknown = (each for each in expiries if each not in known)
        hashes = [*known, *itertools.islice(unknown, self._max_unseen)]
        changes = [LifeChange(self._stamp, kind, expiries[each], account, each) for each in hashes]
        with transaction(self._db):
            return self.lives.change(changes)

    def revoked_tokens(self, account: bytes) -> list[bytes]:
        """Return the revoked sub-account tokens of an account, oldest first."""
        return self.revocations.tokens(account)

    def revoke(self, account: bytes, tokens: Iterable[bytes]) -> int:
        """Revoke sub-accounts; the latest 50 stay so, and none of an account without messages."""
        return self._change_revocations(account, tokens, revoked=True)

    def unrevoke(self, account: bytes, tokens: Iterable[bytes]) -> int:
        """Take revocations back; return how many there were."""
        return self._change_revocations(account, tokens, revoked=False)

    def _change_revocations(self, account: bytes, tokens: Iterable[bytes], *, revoked: bool) -> int:
        with transaction(self._db):
            return self.revocations.change(
                [Revocation(account, token, revoked, self._stamp) for token in tokens]
            )

    def owner_of(self, account: bytes) -> int:
        """Return the number of an account, which it is given when it has none."""
        owner = self._owner(account)
        if owner is None:
            row = self._db.execute(
                "INSERT INTO owners(type, pubkey) VALUES (?, ?) RETURNING id", (account[0], account[1:])
            ).fetchone()
            return int(row[0])
        return owner

    def forget(self, hashes: Iterable[str] | None = None) -> int:
        """Lose messages, of whatever account, or all of them; return how many that were."""
        if hashes is None:
            return self._db.execute("DELETE FROM messages WHERE 1").rowcount
        with transaction(self._db):
            return sum(
                self._db.execute("DELETE FROM messages WHERE hash = ?", (each,)).rowcount for each in hashes
            )

    def purge(self, now_ms: int) -> int:
        """Delete what has expired; return how many messages that were."""
        try:
            count = self._purge(now_ms, self._lives_cut_short(now_ms))
        except sqlite3.OperationalError as error:
            # Room is more important than that a copy of what has expired may come back for a while.
            _logger.warning("expired messages are purged, but not remembered: %s", error)
            count = self._purge(now_ms, [])
        self.undelivered.write_down()
        return count

    def _lives_cut_short(self, now_ms: int) -> list[Removal]:
        """Return what is to be remembered of messages that have expired earlier than they would have.

        Another member may have missed that a life was shortened; its copy must not come back here.
        """
        rows = self._db.execute(
            "SELECT type, pubkey, hash, shortened FROM messages JOIN owners ON owners.id = owner"
            " WHERE expiry <= ? AND shortened > 0",
            (now_ms,),
        )
        return [
            Removal(bytes([kind]) + key, message, ANY_NAMESPACE, ANY_TIME, by_expiry=True, stamp=stamp)
            for kind, key, message, stamp in rows.fetchall()
        ]

    def _purge(self, now_ms: int, notes: Sequence[Removal]) -> int:
        with transaction(self._db):
            self.removals.purge(now_ms)
            self.lives.purge(now_ms)
            expired = self._db.execute(
                "DELETE FROM messages WHERE expiry <= ? RETURNING hash", (now_ms,)
            ).fetchall()
            self.lives.forget((message for (message,) in expired), now_ms)
            self.removals.record_all(notes)
        return len(expired)

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

    def _refuse_when_full(self) -> None:
        if self.full:
            # The words are SQLite's own.
            raise DatabaseFull("database or disk is full")

    def _newest_stamp(self) -> int:
        (changed,) = self._db.execute("SELECT max(changed) FROM messages").fetchone()
        return max(int(changed or 0), self.removals.newest, self.lives.newest, self.revocations.newest())

    def _is_removed(self, message: StoredMessage) -> bool:
        """Tell whether a later request has removed a message whose store comes only now."""
        stamp = self._stamp
        return stamp <= self.removals.newest and self.removals.cover(
            message.account,
            message.hash,
            message.namespace,
            message.timestamp,
            stored=stamp,
            shortened=0,
        )

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
                "INSERT INTO messages(hash, owner, namespace, timestamp, expiry, data,"
                " stored, shortened, changed)"
                " SELECT ?, id, ?, ?, ?, ?, ?, ?, ? FROM owners WHERE pubkey = ? AND type = ?"
                " ON CONFLICT(hash) DO NOTHING",
                (
                    message.hash,
                    message.namespace,
                    message.timestamp,
                    message.expiry,
                    message.data,
                    self._stamp,
                    0,
                    self._stamp,
                    message.account[1:],
                    message.account[0],
                ),
            ).rowcount
            == 1
        )

    def _live_on(self, message: StoredMessage) -> StoreOutcome | None:
        """Let a message that is here already live longer, if need be; None when it is not here."""
        change = LifeChange(self._stamp, Kind.STORE, message.expiry, message.account, message.hash)
        life = self.take_life(message, [change])
        if life is None:
            return None
        self._db.execute(
            "UPDATE messages SET stored = max(stored, ?) WHERE hash = ?", (self._stamp, message.hash)
        )
        return StoreOutcome(already=True, expiry=life.after)

    def take_life(self, message: StoredMessage, changes: Sequence[LifeChange]) -> Life | None:
        """Take over changes, and the timestamp of whichever store was first; None for an unknown message."""
        life = self.lives.change(changes).get(message.hash)
        began = min(change.stamp for change in changes if change.kind is Kind.STORE)
        if life is not None and (began, message.timestamp) < (life.began, life.timestamp):
            self._db.execute(
                "UPDATE messages SET timestamp = ? WHERE hash = ?", (message.timestamp, message.hash)
            )
        return life

    def _begun(self, message: StoredMessage) -> StoreOutcome:
        """Tell of a message that was not here; what was to change its life may have come before it."""
        expiry = message.expiry
        if self._stamp <= self.lives.newest:
            with transaction(self._db):
                expiry = self.lives.refold(message.account, [message.hash])[message.hash].after
        return StoreOutcome(already=False, expiry=expiry)

    def _insert(self, message: StoredMessage) -> None:
        owner = self.owner_of(message.account)
        self._db.execute(
            "INSERT INTO messages(hash, owner, namespace, timestamp, expiry, data,"
            " stored, shortened, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                message.hash,
                owner,
                message.namespace,
                message.timestamp,
                message.expiry,
                message.data,
                self._stamp,
                0,
                self._stamp,
            ),
        )


def _list(texts: Iterable[str]) -> str:
    """Return texts in the form in which a statement can take any number of them."""
    return orjson.dumps(list(texts)).decode()


def _of_namespace(owner: int | None, namespace: int | str) -> tuple[str, tuple[int | str | None, ...]]:
    if namespace == ALL_NAMESPACES:
        return "owner = ?", (owner,)
    return "owner = ? AND namespace = ?", (owner, namespace)
