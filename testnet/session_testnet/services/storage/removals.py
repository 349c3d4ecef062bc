"""Remember what has been removed: a copy of it that comes late from another node must not bring it back."""

import itertools
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from session_protocol.namespaces import MAX_TTL_MS
from session_protocol.storage_auth import ALL_NAMESPACES

# Rows without a condition on hash, namespace or time carry these instead of NULL: they are part of the key.
ANY_HASH: Final = ""
ANY_NAMESPACE: Final = 2**15
ANY_TIME: Final = 2**63 - 1

REMOVALS_SCHEMA: Final = """
    CREATE TABLE removals(
        account BLOB NOT NULL,
        hash TEXT NOT NULL,
        namespace INTEGER NOT NULL,
        before INTEGER NOT NULL,
        by_expiry INTEGER NOT NULL,
        stamp INTEGER NOT NULL,
        unseen INTEGER NOT NULL,
        PRIMARY KEY(account, hash, namespace, before, by_expiry)
    ) WITHOUT ROWID;
    CREATE INDEX removals_by_stamp ON removals(stamp);
    CREATE INDEX removals_unseen ON removals(account, stamp) WHERE unseen;
"""

# What a node has removed is bounded by what it had. Hashes that it never had cost nothing to make up, so
# only so many of them are remembered for an account, the newest: enough for what a member may miss in the
# moments in which a deletion overtakes a store, or while another member still has it to deliver.
MAX_UNSEEN: Final = 2000

_RECORD: Final = (
    "INSERT INTO removals(account, hash, namespace, before, by_expiry, stamp, unseen)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET stamp = max(stamp, excluded.stamp),"
    " unseen = min(unseen, excluded.unseen)"
)


@dataclass(frozen=True, slots=True)
class Removal:
    """What a request removed at ``stamp``: one message, or all of a namespace up to a time.

    ``by_expiry`` means that a life ended that was shortened at ``stamp``: it concerns copies of which nobody
    said that, and which were not stored again since.
    """

    account: bytes
    hash: str
    namespace: int
    before: int
    by_expiry: bool
    stamp: int


class Removals:
    """Keep removals in a node's database for as long as a removed message could still live elsewhere.

    Of hashes that the node did not have, the newest ``max_unseen`` of each account are kept.
    """

    def __init__(self, db: sqlite3.Connection, max_unseen: int = MAX_UNSEEN) -> None:
        self._db = db
        self._max_unseen = max_unseen
        (newest,) = db.execute("SELECT max(stamp) FROM removals").fetchone()
        self._newest = int(newest or 0)

    @property
    def newest(self) -> int:
        """Return the stamp of the newest removal; what is newer cannot have been removed by any."""
        return self._newest

    def record_hashes(
        self, account: bytes, hashes: Iterable[str], stamp: int, *, seen: Collection[str] | None = None
    ) -> None:
        """Remember that messages were removed by hash; only those in ``seen`` were here (None: all)."""
        if seen is not None:
            unseen = (each for each in hashes if each not in seen)
            hashes = [*seen, *itertools.islice(unseen, self._max_unseen)]
        self.record_all(
            [
                Removal(account, each, ANY_NAMESPACE, ANY_TIME, by_expiry=False, stamp=stamp)
                for each in hashes
            ],
            seen=seen,
        )

    def record_range(self, account: bytes, namespace: int | str, before: int | None, stamp: int) -> None:
        """Remember that a namespace, or ``"all"``, was emptied, up to a time if there is one."""
        number = ANY_NAMESPACE if namespace == ALL_NAMESPACES else int(namespace)
        limit = ANY_TIME if before is None else before
        self.record_all([Removal(account, ANY_HASH, number, limit, by_expiry=False, stamp=stamp)])

    def record_all(self, removals: Sequence[Removal], *, seen: Collection[str] | None = None) -> None:
        """Remember removals, of equal ones the newest; of hashes not in ``seen``, the node had none."""
        rows: list[tuple[Removal, bool]] = []
        unseen: dict[bytes, int] = {}
        for removal in sorted(removals, key=lambda removal: removal.stamp, reverse=True):
            is_unseen = seen is not None and removal.hash != ANY_HASH and removal.hash not in seen
            if is_unseen:
                unseen[removal.account] = unseen.get(removal.account, 0) + 1
                if unseen[removal.account] > self._max_unseen:
                    continue
            rows.append((removal, is_unseen))
        self._newest = max([self._newest, *(removal.stamp for removal, _ in rows)])
        self._db.executemany(
            _RECORD,
            [
                (each.account, each.hash, each.namespace, each.before, each.by_expiry, each.stamp, is_unseen)
                for each, is_unseen in rows
            ],
        )
        for account in unseen:
            self._trim(account)

    def _trim(self, account: bytes) -> None:
        """Forget the oldest removals of what was not here, beyond the limit."""
        self._db.execute(
            "DELETE FROM removals WHERE account = ?1 AND unseen AND (hash, by_expiry) IN"
            " (SELECT hash, by_expiry FROM removals WHERE account = ?1 AND unseen"
            " ORDER BY stamp DESC, hash LIMIT -1 OFFSET ?2)",
            (account, self._max_unseen),
        )

    def cover(
        self, account: bytes, message: str, namespace: int, timestamp: int, *, stored: int, shortened: int
    ) -> bool:
        """Tell whether a message that was stored and last shortened at these stamps has been removed."""
        if stored > self._newest:
            return False
        row = self._db.execute(
            "SELECT 1 FROM removals WHERE account = ? AND hash IN (?, ?) AND namespace IN (?, ?)"
            " AND before >= ? AND ? <= stamp AND (NOT by_expiry OR ? < stamp) LIMIT 1",
            (account, ANY_HASH, message, ANY_NAMESPACE, namespace, timestamp, stored, shortened),
        ).fetchone()
        return row is not None

    def last(self, account: bytes, message: str, namespace: int, timestamp: int) -> int:
        """Return the stamp of the last request that would have removed a message; -1 if there is none."""
        (stamp,) = self._db.execute(
            "SELECT max(stamp) FROM removals WHERE account = ? AND hash IN (?, ?) AND namespace IN (?, ?)"
            " AND before >= ? AND NOT by_expiry",
            (account, ANY_HASH, message, ANY_NAMESPACE, namespace, timestamp),
        ).fetchone()
        return -1 if stamp is None else int(stamp)

    def since(self, account: bytes, stamp: int) -> list[Removal]:
        """Return an account's removals from a stamp on."""
        rows = self._db.execute(
            "SELECT account, hash, namespace, before, by_expiry, stamp FROM removals"
            " WHERE account = ? AND stamp >= ? ORDER BY stamp",
            (account, stamp),
        )
        return [
            Removal(owner, message, namespace, before, bool(by_expiry), at)
            for owner, message, namespace, before, by_expiry, at in rows.fetchall()
        ]

    def accounts(self) -> list[bytes]:
        """Return every account of which something was removed."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT account FROM removals")]

    def purge(self, now_ms: int) -> None:
        """Forget removals of messages that have expired everywhere: none lives longer than 30 days."""
        self._db.execute("DELETE FROM removals WHERE stamp < ?", (now_ms - MAX_TTL_MS,))
