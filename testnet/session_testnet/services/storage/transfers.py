"""What one node tells another about accounts, and how both come to agree on it (network §9).

A transfer may come late, twice, or after one that is newer: merging gives the same result in any order, and
the same as carrying out requests does. A message is there unless it was removed after it was last stored; how
long it lives is told in :mod:`~session_testnet.services.storage.lives`.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from session_protocol.namespaces import is_public_outbox
from session_testnet.services.sqlite_file import transaction
from session_testnet.services.storage.database import MessageDatabase
from session_testnet.services.storage.lives import Kind, LifeChange
from session_testnet.services.storage.removals import ANY_HASH, ANY_NAMESPACE, Removal
from session_testnet.services.storage.revocations import Revocation
from session_testnet.services.storage.stored import DatabaseFull, StoredMessage
from session_testnet.services.storage.undelivered import Debt

# A transfer is closed before the message that would make it larger than this.
MAX_TRANSFER_BYTES: Final = 9_000_000
_MESSAGE_OVERHEAD_BYTES: Final = 150


@dataclass(frozen=True, slots=True)
class MessageCopy:
    """A message with the stamps of its last store, of the last shortening of its life, and of any change.

    ``life`` are the changes of its life, none if that is as it was stored.
    """

    message: StoredMessage
    stored: int = 0
    shortened: int = 0
    changed: int = 0
    life: tuple[LifeChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Transfer:
    """One delivery; ``debts`` are what the sender, about to leave, leaves the receiver to deliver.

    ``lives`` are changes of lives of namespaces, and of messages that the sender has not got.
    """

    messages: tuple[MessageCopy, ...] = ()
    lives: tuple[LifeChange, ...] = ()
    removals: tuple[Removal, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    debts: tuple[Debt, ...] = ()

    @classmethod
    def of_messages(cls, messages: Iterable[StoredMessage]) -> "Transfer":
        """Return a transfer of bare messages, as nodes send them that know of no stamps."""
        return cls(tuple(MessageCopy(message) for message in messages))


def export(database: MessageDatabase, account: bytes, since: int) -> Iterator[Transfer]:
    """Yield what has changed of an account from a stamp on, in pieces that are not too large."""
    removals = tuple(database.removals.since(account, since))
    lives = tuple(database.lives.of_others(account, since))
    revocations = tuple(database.revocations.since(account, since))
    batch: list[MessageCopy] = []
    size = 0
    for copy in _messages(database, account, since):
        needed = len(copy.message.data) + _MESSAGE_OVERHEAD_BYTES
        if batch and size + needed > MAX_TRANSFER_BYTES:
            yield Transfer(tuple(batch), lives, removals)
            batch, size, lives, removals = [], 0, (), ()
        batch.append(copy)
        size += needed
    # Revocations come last: a node keeps them only for accounts of which it has messages.
    if batch or lives or removals or revocations:
        yield Transfer(tuple(batch), lives, removals, revocations)


def merge(database: MessageDatabase, transfer: Transfer, now_ms: int) -> int:
    """Take over what another node tells; return how many messages are new here. Raise DatabaseFull."""
    if database.full and transfer.messages:
        raise DatabaseFull("database or disk is full")
    db = database.connection
    try:
        with transaction(db):
            _remove(database, transfer.removals)
            _take_lives(database, transfer.lives)
            new = sum(_take(database, copy, now_ms) for copy in transfer.messages)
            database.revocations.change(transfer.revocations)
        if transfer.debts:
            database.undelivered.add(transfer.debts)
    except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
        raise DatabaseFull(str(error)) from error
    stamps = [copy.changed for copy in transfer.messages]
    stamps += [removal.stamp for removal in transfer.removals]
    stamps += [change.stamp for change in transfer.lives]
    stamps += [revocation.stamp for revocation in transfer.revocations]
    database.know(max(stamps, default=0))
    return new


def _messages(database: MessageDatabase, account: bytes, since: int) -> Iterator[MessageCopy]:
    db, lives = database.connection, database.lives.of_messages(account)
    # Only the order is read ahead: the messages themselves may be many, and may go meanwhile.
    order = db.execute(
        "SELECT messages.id FROM messages JOIN owners ON owners.id = owner"
        " WHERE pubkey = ? AND type = ? AND changed >= ? ORDER BY messages.id",
        (account[1:], account[0], since),
    ).fetchall()
    for (number,) in order:
        row = db.execute(
            "SELECT hash, namespace, timestamp, expiry, data, stored, shortened, changed"
            " FROM messages WHERE id = ?",
            (number,),
        ).fetchone()
        if row is not None:
            stored, shortened, changed = row[5:]
            life = tuple(lives.get(row[0], ()))
            yield MessageCopy(StoredMessage(account, *row[:5]), stored, shortened, changed, life)


def _take_lives(database: MessageDatabase, changes: Sequence[LifeChange]) -> None:
    for change in changes:
        if change.hash == ANY_HASH:
            database.lives.shorten_range(change)
    for account in {change.account for change in changes}:
        database.lives.change(
            [change for change in changes if change.account == account and change.hash != ANY_HASH]
        )


def _remove(database: MessageDatabase, removals: Sequence[Removal]) -> None:
    # The conditions are those of Removals.cover, from the other side. A hash names at most one row.
    seen: set[str] = set()
    for account in {removal.account for removal in removals}:
        hashes = [each.hash for each in removals if each.account == account and each.hash != ANY_HASH]
        seen |= database.times(account, hashes).keys()
    by_hash = [each for each in removals if each.hash in seen]
    ranges = [each for each in removals if each.hash == ANY_HASH]
    for condition, rows in (("hash = ?2", by_hash), ("?2 = ''", ranges)):
        database.connection.executemany(
            "DELETE FROM messages WHERE owner = (SELECT id FROM owners WHERE pubkey = ?7 AND type = ?1)"  # noqa: S608 - constants
            f" AND {condition} AND ?3 IN ({ANY_NAMESPACE}, namespace) AND timestamp <= ?4"
            " AND stored <= ?5 AND (NOT ?6 OR shortened < ?5)",
            [
                (
                    each.account[0],
                    each.hash,
                    each.namespace,
                    each.before,
                    each.stamp,
                    int(each.by_expiry),
                    each.account[1:],
                )
                for each in rows
            ],
        )
    database.removals.record_all(removals, seen=seen)
    # What was stored again since lives a life that began with that.
    for account in {removal.account for removal in removals}:
        database.begin_anew(account, None if ranges else seen)


def _take(database: MessageDatabase, copy: MessageCopy, now_ms: int) -> bool:
    """Take a message over, or what is newer about it; tell whether it was not here."""
    db, message = database.connection, copy.message
    life = copy.life or (LifeChange(copy.stored, Kind.STORE, message.expiry, message.account, message.hash),)
    known = db.execute("SELECT 1 FROM messages WHERE hash = ?", (message.hash,)).fetchone() is not None
    new = not known and _insert(database, copy, now_ms)
    if known or new:
        database.take_life(message, life)
        db.execute(
            "UPDATE messages SET shortened = max(shortened, ?), stored = max(stored, ?),"
            " changed = max(changed, ?) WHERE hash = ?",
            (copy.shortened, copy.stored, copy.changed, message.hash),
        )
    return new


def _insert(database: MessageDatabase, copy: MessageCopy, now_ms: int) -> bool:
    """Insert a message that is not here, unless it is obsolete; tell whether it was inserted."""
    db, message = database.connection, copy.message
    gone = message.expiry <= now_ms or database.removals.cover(
        message.account,
        message.hash,
        message.namespace,
        message.timestamp,
        stored=copy.stored,
        shortened=copy.shortened,
    )
    if gone:
        return False
    replaced = database.outbox_beaten(message, copy.stored) if is_public_outbox(message.namespace) else []
    if replaced is None:
        return False
    db.execute(
        "INSERT INTO messages(hash, owner, namespace, timestamp, expiry, data, stored, shortened, changed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message.hash,
            database.owner_of(message.account),
            message.namespace,
            message.timestamp,
            message.expiry,
            message.data,
            copy.stored,
            copy.shortened,
            copy.changed,
        ),
    )
    db.executemany("DELETE FROM messages WHERE hash = ?", [(each,) for each in replaced])
    return True
