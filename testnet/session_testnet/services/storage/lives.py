"""How long messages live, decided alike on all members, in whatever order they hear of changes.

A life is what becomes of a message when all changes of it are made in the order of their stamps. So that a
change that comes late can still take its place, those that could matter are kept: the store that the life
began with, and whatever no later change has made meaningless.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import orjson

from session_protocol.namespaces import MAX_TTL_MS
from session_testnet.services.storage.removals import ANY_HASH, ANY_NAMESPACE, MAX_UNSEEN, Removals

# ``unseen`` are changes of messages that are not here: like removals, they wait for a store they have
# overtaken, and are bounded. Those without a hash are of a whole namespace.
LIVES_SCHEMA: Final = """
    CREATE TABLE life_changes(
        hash TEXT NOT NULL,
        account BLOB NOT NULL,
        namespace INTEGER NOT NULL,
        stamp INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        expiry INTEGER NOT NULL,
        unseen INTEGER NOT NULL,
        PRIMARY KEY(hash, account, namespace, stamp, kind, expiry)
    ) WITHOUT ROWID;
    CREATE INDEX life_changes_by_stamp ON life_changes(stamp);
    CREATE INDEX life_changes_of_account ON life_changes(account, hash, stamp);
    CREATE INDEX life_changes_unseen ON life_changes(account, stamp) WHERE unseen;
"""

# A client that alternates between longer and shorter lives could let a list grow without end. Beyond this
# the older half becomes its result; a change that comes later than so many others no longer finds its place.
_MAX_CHANGES: Final = 32

_COLUMNS: Final = "account, hash, namespace, stamp, kind, expiry"


class Kind(IntEnum):
    """What a change does to the time at which a message expires; at the same stamp in this order."""

    STORE = 0
    RAISE = 1
    SHORTEN = 2
    SET = 3


@dataclass(frozen=True, slots=True, order=True)
class LifeChange:
    """One change, at ``stamp``, of one message, or with ``ANY_HASH`` of a namespace; times in ms."""

    stamp: int
    kind: Kind
    expiry: int
    account: bytes = b""
    hash: str = ANY_HASH
    namespace: int = ANY_NAMESPACE


@dataclass(frozen=True, slots=True)
class Life:
    """A message's timestamp, when its life ``began`` (a stamp), and its expiry before and after a change."""

    timestamp: int
    began: int
    before: int
    after: int


def expiry_of(changes: Iterable[LifeChange]) -> int:
    """Return when a message expires after changes in the order of their stamps; 0 if it was never stored."""
    expiry = 0
    for change in sorted(changes):
        if change.kind is Kind.STORE:
            expiry = max(expiry, change.expiry)
        elif expiry:
            match change.kind:
                case Kind.RAISE:
                    expiry = max(expiry, change.expiry)
                case Kind.SHORTEN:
                    expiry = min(expiry, change.expiry)
                case Kind.SET:
                    expiry = change.expiry
    return expiry


def relevant(changes: Iterable[LifeChange]) -> list[LifeChange]:
    """Return the changes that could still matter when others come late, in order."""
    ordered = sorted(set(changes))
    kept: list[LifeChange] = []
    longest, shortest = -1, 2**63
    decided = False
    for change in reversed(ordered):
        match change.kind:
            case Kind.STORE | Kind.RAISE:
                matters = change.expiry > longest
                longest = max(longest, change.expiry)
            case Kind.SHORTEN:
                matters = change.expiry < shortest
                shortest = min(shortest, change.expiry)
            case Kind.SET:
                matters = True
        if matters and not decided:
            kept.append(change)
        decided = decided or change.kind is Kind.SET
    birth = next((change for change in ordered if change.kind is Kind.STORE), None)
    if birth is not None and birth not in kept:
        kept.append(birth)
    return _compacted(sorted(kept))


def _compacted(changes: list[LifeChange]) -> list[LifeChange]:
    if len(changes) <= _MAX_CHANGES:
        return changes
    older, newer = changes[: -_MAX_CHANGES // 2], changes[-_MAX_CHANGES // 2 :]
    births = [change for change in older if change.kind is Kind.STORE][:1]
    last = older[-1]
    result = LifeChange(last.stamp, Kind.SET, expiry_of(older), last.account, last.hash, last.namespace)
    return [*births, *([result] if births else []), *newer]


class Lives:
    """Keep the changes of lives in a node's database, and the expiries of messages as these have it."""

    def __init__(self, db: sqlite3.Connection, removals: Removals, max_unseen: int = MAX_UNSEEN) -> None:
        self._db = db
        self._removals = removals
        self._max_unseen = max_unseen
        (newest,) = db.execute("SELECT max(stamp) FROM life_changes").fetchone()
        self._newest = -1 if newest is None else int(newest)

    @property
    def newest(self) -> int:
        """Return the stamp of the newest change; no message that is stored later is touched by any."""
        return self._newest

    def change(self, changes: Sequence[LifeChange]) -> dict[str, Life]:
        """Change lives of messages of one account, by hash; tell of those that are here.

        Part of a transaction of the caller's.
        """
        if not changes:
            return {}
        self._newest = max(self._newest, *(change.stamp for change in changes))
        by_hash: dict[str, list[LifeChange]] = defaultdict(list)
        for change in changes:
            by_hash[change.hash].append(change)
        lives = self._rewrite(changes[0].account, by_hash)
        unseen = [change for change in changes if change.hash not in lives and change.kind is not Kind.STORE]
        self._keep_unseen(unseen)
        return lives

    def shorten_range(self, change: LifeChange) -> list[tuple[int, str]]:
        """Let no message of a namespace, or of an account, outlive a time; return namespace and hash of each.

        Part of a transaction of the caller's.
        """
        self._newest = max(self._newest, change.stamp)
        self._insert([change], unseen=False)
        rows = self._db.execute(
            "SELECT namespace, hash FROM messages"
            " WHERE owner = (SELECT id FROM owners WHERE pubkey = ? AND type = ?)"
            " AND ? IN (?, namespace) AND expiry > ?",
            (change.account[1:], change.account[0], change.namespace, ANY_NAMESPACE, change.expiry),
        ).fetchall()
        lives = self._rewrite(change.account, {message: [] for _, message in rows}, change.stamp)
        return [(space, message) for space, message in rows if lives[message].after < lives[message].before]

    def refold(self, account: bytes, hashes: Iterable[str]) -> dict[str, Life]:
        """Compute anew when messages expire, after something came late."""
        return self._rewrite(account, {message: [] for message in hashes})

    def of_messages(self, account: bytes) -> dict[str, list[LifeChange]]:
        """Return the changes of the messages of an account that are here, but for those stored just once."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM life_changes WHERE account = ? AND hash != ? AND NOT unseen",  # noqa: S608
            (account, ANY_HASH),
        )
        return _by_hash(rows.fetchall())

    def of_others(self, account: bytes, since: int) -> list[LifeChange]:
        """Return changes of namespaces, and of messages that are not here, from a stamp on."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM life_changes"  # noqa: S608 - constants
            " WHERE account = ? AND stamp >= ? AND (unseen OR hash = ?)",
            (account, since, ANY_HASH),
        )
        return [_change(row) for row in rows.fetchall()]

    def forget(self, hashes: Iterable[str], stamp: int) -> None:
        """Forget changes up to a stamp of messages that are here no more: they can matter to none."""
        self._db.executemany(
            "DELETE FROM life_changes WHERE hash = ? AND stamp <= ?", [(each, stamp) for each in hashes]
        )

    def purge(self, now_ms: int) -> None:
        """Forget changes of what cannot come any more: no message lives longer than 30 days."""
        self._db.execute(
            "DELETE FROM life_changes WHERE stamp < ? AND (unseen OR hash = ?)",
            (now_ms - MAX_TTL_MS, ANY_HASH),
        )

    def _rewrite(
        self, account: bytes, additions: Mapping[str, Sequence[LifeChange]], stamp: int = 0
    ) -> dict[str, Life]:
        """Add changes to those of messages that are here, and set the expiries that come of all."""
        texts = orjson.dumps(list(additions)).decode()
        messages = self._db.execute(
            "SELECT hash, namespace, timestamp, expiry, stored FROM json_each(?) CROSS JOIN messages"
            " ON hash = value WHERE owner = (SELECT id FROM owners WHERE pubkey = ? AND type = ?)",
            (texts, account[1:], account[0]),
        ).fetchall()
        if not messages:
            return {}
        known = _by_hash(
            self._db.execute(
                f"SELECT {', '.join('l.' + each for each in _COLUMNS.split(', '))}"  # noqa: S608 - constants
                " FROM json_each(?) CROSS JOIN life_changes AS l ON l.hash = value WHERE l.account = ?",
                (texts, account),
            ).fetchall()
        )
        ranges = [change for change in self.of_others(account, 0) if change.hash == ANY_HASH]
        lives: dict[str, Life] = {}
        rows: list[LifeChange] = []
        updates: list[tuple[int, int, int, str]] = []
        for message, namespace, timestamp, expiry, stored in messages:
            changes = list(known.get(message, ()))
            if not any(change.kind is Kind.STORE for change in changes):
                changes.append(LifeChange(stored, Kind.STORE, expiry, account, message))
            began = min(change.stamp for change in changes if change.kind is Kind.STORE)
            removed = self._removals.last(account, message, namespace, timestamp)
            changes = [each for each in (*changes, *additions[message]) if each.stamp > removed]
            if not any(change.kind is Kind.STORE for change in changes):
                # That of the present life has become meaningless but for being its beginning.
                changes.append(LifeChange(stored, Kind.STORE, 1, account, message))
            changes = relevant(changes)
            all_of_it = [
                *changes,
                *(each for each in ranges if each.namespace in (namespace, ANY_NAMESPACE)),
            ]
            ends = expiry_of(all_of_it)
            # Of a message that was stored once, its own row says all.
            if (ends, len(changes)) != (expiry, 1) or message in known:
                rows += changes
            lives[message] = Life(timestamp, began, expiry, ends)
            shortenings = [each.stamp for each in all_of_it if each.kind in (Kind.SHORTEN, Kind.SET)]
            newest = max([stamp, *(change.stamp for change in additions[message])])
            updates.append((ends, max(shortenings, default=0) if ends < expiry else 0, newest, message))
        self._db.executemany("DELETE FROM life_changes WHERE hash = ?", [(each,) for each in lives])
        self._insert(rows, unseen=False)
        self._db.executemany(
            "UPDATE messages SET expiry = ?, shortened = max(shortened, ?), changed = max(changed, ?)"
            " WHERE hash = ?",
            updates,
        )
        return lives

    def _keep_unseen(self, changes: Sequence[LifeChange]) -> None:
        if not changes:
            return
        newest_first = sorted(changes, reverse=True)
        self._insert(newest_first[: self._max_unseen], unseen=True)
        self._db.execute(
            "DELETE FROM life_changes WHERE account = ?1 AND unseen AND (hash, stamp, kind, expiry) IN"
            " (SELECT hash, stamp, kind, expiry FROM life_changes WHERE account = ?1 AND unseen"
            " ORDER BY stamp DESC, hash LIMIT -1 OFFSET ?2)",
            (changes[0].account, self._max_unseen),
        )

    def _insert(self, changes: Sequence[LifeChange], *, unseen: bool) -> None:
        self._db.executemany(
            f"INSERT OR REPLACE INTO life_changes({_COLUMNS}, unseen) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            [
                (each.account, each.hash, each.namespace, each.stamp, each.kind, each.expiry, unseen)
                for each in changes
            ],
        )


def _by_hash(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[LifeChange]]:
    changes: dict[str, list[LifeChange]] = defaultdict(list)
    for row in rows:
        change = _change(row)
        changes[change.hash].append(change)
    return changes


def _change(row: tuple[Any, ...]) -> LifeChange:
    account, message, namespace, stamp, kind, expiry = row
    return LifeChange(stamp, Kind(kind), expiry, account, message, namespace)
