"""What one node tells another about accounts, and how both come to agree on it (network §9).

A transfer may come late, twice, or after one that is newer: merging gives the same result in any order. A
message is there unless it was removed after it was last stored; of two lives the one that was shortened last
counts, or else the longer (a later shortening may so undo an extension that was made elsewhere meanwhile).
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from session_protocol.namespaces import is_public_outbox
from session_testnet.services.sqlite_file import transaction
from session_testnet.services.storage.database import DatabaseFull, MessageDatabase, StoredMessage
from session_testnet.services.storage.removals import ANY_HASH, ANY_NAMESPACE, Removal
from session_testnet.services.storage.undelivered import Debt

# A transfer is closed before the message that would make it larger than this.
MAX_TRANSFER_BYTES: Final = 9_000_000
_MESSAGE_OVERHEAD_BYTES: Final = 150


@dataclass(frozen=True, slots=True)
class MessageCopy:
    """A message with the stamps of its last store, of the last shortening of its life, and of any change."""

    message: StoredMessage
    stored: int = 0
    shortened: int = 0
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Revocation:
    """Whether a sub-account of an account is ``revoked``, since a stamp; ``timestamp`` is the node's time."""

    account: bytes
    token: bytes
    timestamp: int
    revoked: bool
    stamp: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """One delivery; ``debts`` are what the sender, about to leave, leaves the receiver to deliver."""

    messages: tuple[MessageCopy, ...] = ()
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
    revocations = tuple(_revocations(database.connection, account, since))
    batch: list[MessageCopy] = []
    size = 0
    for copy in _messages(database.connection, account, since):
        needed = len(copy.message.data) + _MESSAGE_OVERHEAD_BYTES
        if batch and size + needed > MAX_TRANSFER_BYTES:
            yield Transfer(tuple(batch), removals)
            batch, size, removals = [], 0, ()
        batch.append(copy)
        size += needed
    # Revocations come last: a node keeps them only for accounts of which it has messages.
    if batch or removals or revocations:
        yield Transfer(tuple(batch), removals, revocations)


def merge(database: MessageDatabase, transfer: Transfer, now_ms: int) -> int:
    """Take over what another node tells; return how many messages are new here. Raise DatabaseFull."""
    if database.full and transfer.messages:
        raise DatabaseFull("database or disk is full")
    db = database.connection
    try:
        with transaction(db):
            _remove(database, transfer.removals)
            new = sum(_take(database, copy, now_ms) for copy in transfer.messages)
            for revocation in transfer.revocations:
                _revoke(database, revocation)
        if transfer.debts:
            database.undelivered.add(transfer.debts)
    except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
        raise DatabaseFull(str(error)) from error
    stamps = [copy.changed for copy in transfer.messages]
    stamps += [removal.stamp for removal in transfer.removals]
    stamps += [revocation.stamp for revocation in transfer.revocations]
    database.know(max(stamps, default=0))
    return new


def _messages(db: sqlite3.Connection, account: bytes, since: int) -> Iterator[MessageCopy]:
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
            yield MessageCopy(StoredMessage(account, *row[:5]), *row[5:])


def _revocations(db: sqlite3.Connection, account: bytes, since: int) -> Iterator[Revocation]:
    rows = db.execute(
        "SELECT token, timestamp, revoked, stamp FROM revoked_subaccounts JOIN owners ON owners.id = owner"
        " WHERE pubkey = ? AND type = ? AND stamp >= ? ORDER BY timestamp, revoked_subaccounts.id",
        (account[1:], account[0], since),
    )
    for token, timestamp, revoked, stamp in rows.fetchall():
        yield Revocation(account, token, timestamp, bool(revoked), stamp)


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


def _take(database: MessageDatabase, copy: MessageCopy, now_ms: int) -> bool:
    """Take a message over, or what is newer about it; tell whether it was not here."""
    db, message = database.connection, copy.message
    row = db.execute(
        "SELECT shortened, expiry, stored FROM messages WHERE hash = ?", (message.hash,)
    ).fetchone()
    if row is not None:
        shortened, expiry = _life(tuple(row), (copy.shortened, message.expiry, copy.stored))
        db.execute(
            "UPDATE messages SET expiry = ?, shortened = ?, stored = max(stored, ?),"
            " changed = max(changed, ?) WHERE hash = ?",
            (expiry, shortened, copy.stored, copy.changed, message.hash),
        )
        return False
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
    owner = database.owner_of(message.account)
    outbox = is_public_outbox(message.namespace)
    if outbox:
        (newest,) = db.execute(
            "SELECT max(timestamp) FROM messages WHERE owner = ? AND namespace = ?",
            (owner, message.namespace),
        ).fetchone()
        # An owner that was made just now has no message: this returns only where there is one.
        if newest is not None and newest >= message.timestamp:
            return False
    db.execute(
        "INSERT INTO messages(hash, owner, namespace, timestamp, expiry, data, stored, shortened, changed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message.hash,
            owner,
            message.namespace,
            message.timestamp,
            message.expiry,
            message.data,
            copy.stored,
            copy.shortened,
            copy.changed,
        ),
    )
    if outbox:
        db.execute(
            "DELETE FROM messages WHERE owner = ? AND namespace = ? AND hash != ?",
            (owner, message.namespace, message.hash),
        )
    return True


def _life(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int]:
    """Return when a life was last shortened and when it ends, of two (shortened, expiry, stored)."""
    (earlier, earlier_expiry, stored), (later, later_expiry, _) = sorted((one, other))
    # A store that came after the shortening has asked for its own time, and gets the longer of both.
    if earlier == later or stored > later:
        return later, max(earlier_expiry, later_expiry)
    return later, later_expiry


def _revoke(database: MessageDatabase, revocation: Revocation) -> None:
    db = database.connection
    row = db.execute(
        "SELECT id FROM owners WHERE pubkey = ? AND type = ?", (revocation.account[1:], revocation.account[0])
    ).fetchone()
    if row is None:
        return
    (owner,) = row
    db.execute(
        "INSERT INTO revoked_subaccounts(owner, token, timestamp, revoked, stamp) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT(owner, token) DO UPDATE SET timestamp = excluded.timestamp,"
        " revoked = excluded.revoked, stamp = excluded.stamp WHERE excluded.stamp > stamp",
        (owner, revocation.token, revocation.timestamp, int(revocation.revoked), revocation.stamp),
    )
    database.trim_revocations(owner)
