"""Which sub-accounts are revoked, decided alike on all members (storage-rpc §10.12)."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from session_testnet.services.storage.settings import MAX_REVOKED_TOKENS

# A row lives as long as its account has messages. That a revocation was taken back is remembered, for
# members that only know the revocation.
REVOCATIONS_SCHEMA: Final = """
    CREATE TABLE revoked_subaccounts(
        id INTEGER PRIMARY KEY,
        owner INTEGER NOT NULL REFERENCES owners(id) ON DELETE CASCADE,
        token BLOB NOT NULL,
        revoked INTEGER NOT NULL,
        stamp INTEGER NOT NULL,
        UNIQUE(owner, token)
    );
"""


@dataclass(frozen=True, slots=True)
class Revocation:
    """Whether a sub-account of an account is ``revoked``, since a stamp."""

    account: bytes
    token: bytes
    revoked: bool
    stamp: int


class Revocations:
    """Keep the latest 50 revocations of each account, and as many that were taken back."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def newest(self) -> int:
        """Return the stamp of the newest change."""
        (newest,) = self._db.execute("SELECT max(stamp) FROM revoked_subaccounts").fetchone()
        return int(newest or 0)

    def tokens(self, account: bytes) -> list[bytes]:
        """Return the revoked tokens of an account, oldest first."""
        rows = self._db.execute(
            "SELECT token FROM revoked_subaccounts JOIN owners ON owners.id = owner"
            " WHERE pubkey = ? AND type = ? AND revoked ORDER BY stamp, revoked_subaccounts.id",
            (account[1:], account[0]),
        )
        return [row[0] for row in rows]

    def change(self, changes: Sequence[Revocation]) -> int:
        """Revoke or take back, unless something later is known; return how many are so and were not.

        Changes of an account without messages are none. Part of a transaction of the caller's.
        """
        effective = 0
        owners: set[int] = set()
        for change in changes:
            owner = self._owner(change.account)
            if owner is None:
                continue
            owners.add(owner)
            row = self._db.execute(
                "SELECT revoked, stamp FROM revoked_subaccounts WHERE owner = ? AND token = ?",
                (owner, change.token),
            ).fetchone()
            was_revoked, stamp = (bool(row[0]), int(row[1])) if row else (False, 0)
            # At the same stamp the revocation counts.
            if row and (stamp, was_revoked) >= (change.stamp, change.revoked):
                continue
            effective += was_revoked != change.revoked
            # A new row: the order of rows is that of the latest changes.
            self._db.execute(
                "INSERT OR REPLACE INTO revoked_subaccounts(owner, token, revoked, stamp)"
                " VALUES (?, ?, ?, ?)",
                (owner, change.token, change.revoked, change.stamp),
            )
        for owner in owners:
            self._trim(owner)
        return effective

    def since(self, account: bytes, stamp: int) -> Iterable[Revocation]:
        """Return an account's changes from a stamp on, in their order."""
        rows = self._db.execute(
            "SELECT token, revoked, stamp FROM revoked_subaccounts JOIN owners ON owners.id = owner"
            " WHERE pubkey = ? AND type = ? AND stamp >= ? ORDER BY stamp, revoked_subaccounts.id",
            (account[1:], account[0], stamp),
        )
        return [Revocation(account, token, bool(revoked), at) for token, revoked, at in rows.fetchall()]

    def _trim(self, owner: int) -> None:
        for revoked in (0, 1):
            self._db.execute(
                "DELETE FROM revoked_subaccounts WHERE owner = ?1 AND revoked = ?2 AND id NOT IN"
                " (SELECT id FROM revoked_subaccounts WHERE owner = ?1 AND revoked = ?2"
                " ORDER BY stamp DESC, token DESC LIMIT ?3)",
                (owner, revoked, MAX_REVOKED_TOKENS),
            )

    def _owner(self, account: bytes) -> int | None:
        row = self._db.execute(
            "SELECT id FROM owners WHERE pubkey = ? AND type = ?", (account[1:], account[0])
        ).fetchone()
        return None if row is None else int(row[0])
