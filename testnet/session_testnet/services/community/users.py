"""The users that a community server knows."""

import sqlite3
from dataclasses import dataclass

from session_testnet.services.community.blinded_names import BlindedNames
from session_testnet.services.community.permissions import GlobalFlags
from session_testnet.services.sqlite_file import transaction

_COLUMNS = "id, session_id, banned, moderator, admin, visible_mod"


@dataclass(frozen=True, slots=True)
class User:
    """A user under the id that this server sees: 05…, or blinded 15… or 25…."""

    id: int
    session_id: str
    flags: GlobalFlags


class UserDirectory:
    """Keep users, and let what was given to an Account ID move to its blinded id at the first contact."""

    def __init__(self, database: sqlite3.Connection, names: BlindedNames) -> None:
        self._database = database
        self._names = names

    def find(self, session_id: str) -> User | None:
        """Return the user with exactly this id, or None."""
        return _user(
            self._database.execute(
                f"SELECT {_COLUMNS} FROM users WHERE session_id = ?",  # noqa: S608 - constant columns
                (session_id.lower(),),
            ).fetchone()
        )

    def find_or_add(self, session_id: str, *, now_ms: int) -> User:
        """Return the user with an id, as one never seen active when it is new."""
        known = self.find(session_id)
        if known is not None:
            return known
        # An insert that only finds a conflict would use up a number: users count 1, 2, 3.
        added = self._database.execute(
            "INSERT INTO users(session_id, created_ms, last_active_ms) VALUES (?, ?, 0)",
            (session_id.lower(), now_ms),
        )
        assert added.lastrowid is not None, "an insert has a row"
        return User(added.lastrowid, session_id.lower(), GlobalFlags())

    def count(self) -> int:
        """Return how many users have ever been known."""
        (count,) = self._database.execute("SELECT COUNT(*) FROM users").fetchone()
        return int(count)

    def meant_by(self, session_id: str) -> User | None:
        """Return who an id means: for an Account ID its known blinded id first; None for nobody known."""
        for candidate in self._names.candidates(session_id.lower()):
            known = self.find(candidate)
            if known is not None:
                return known
        return self.find(session_id)

    def holder(self, session_id: str, *, now_ms: int) -> User:
        """Return who gets what is given to an id: a known blinded one, else the id itself.

        What an Account ID gets on a server that requires blinding waits there for its blinded id.
        """
        session_id = session_id.lower()
        candidates = self._names.candidates(session_id)
        for candidate in candidates:
            known = self.find(candidate)
            if known is not None:
                return known
        user = self.find_or_add(session_id, now_ms=now_ms)
        self._names.wait_for(candidates, user.id)
        return user

    def seen(self, session_id: str, *, now_ms: int) -> User:
        """Note that a user is active and return it, with what was waiting for its blinded id."""
        with transaction(self._database):
            user = self.find_or_add(session_id, now_ms=now_ms)
            self._database.execute("UPDATE users SET last_active_ms = ? WHERE id = ?", (now_ms, user.id))
            waiting = self._names.take_waiting(user.session_id)
            if waiting is not None:
                self._move(waiting, user.id)
                user = self.find_or_add(session_id, now_ms=now_ms)
        return user

    def wait_for_blinded(self) -> int:
        """Let everything that Account IDs have wait for their blinded ids, or move to known ones at once.

        Return how many Account IDs that were; for a server that has begun to require blinding.
        """
        with transaction(self._database):
            rows = self._database.execute(
                "SELECT id, session_id FROM users WHERE session_id LIKE '05%' AND (banned OR moderator"
                " OR admin OR id IN (SELECT user FROM room_overrides UNION SELECT user FROM right_changes"
                " UNION SELECT user FROM unbans))"
            ).fetchall()
            for user_id, session_id in rows:
                known = self.meant_by(session_id)
                if known is not None and known.id != user_id:
                    self._move(user_id, known.id)
                else:
                    self._names.wait_for(self._names.candidates(session_id), user_id)
        return len(rows)

    def _move(self, unblinded: int, blinded: int) -> None:
        """Give a blinded user all roles, bans and rights of the Account ID behind it."""
        # Rooms show another id among their moderators then, which clients learn by the count of updates.
        self._database.execute(
            "UPDATE rooms SET info_updates = info_updates + 1"
            " WHERE id IN (SELECT room FROM room_overrides WHERE user = ?1 AND (moderator OR admin))"
            " OR EXISTS (SELECT 1 FROM users WHERE id = ?1 AND (moderator OR admin))",
            (unblinded,),
        )
        self._database.execute(
            "UPDATE users SET (banned, moderator, admin, visible_mod) = (SELECT"
            " MAX(banned) AND NOT MAX(moderator), MAX(moderator), MAX(admin), MAX(visible_mod)"
            " FROM users WHERE id IN (?1, ?2)) WHERE id = ?2",
            (unblinded, blinded),
        )
        self._database.execute(
            "UPDATE users SET banned = 0, moderator = 0, admin = 0, visible_mod = 0 WHERE id = ?",
            (unblinded,),
        )
        for table in ("room_overrides", "right_changes", "unbans"):
            self._database.execute(
                f"UPDATE OR REPLACE {table} SET user = ? WHERE user = ?",  # noqa: S608 - constant names
                (blinded, unblinded),
            )


def _user(row: sqlite3.Row | None) -> User | None:
    if row is None:
        return None
    return User(row[0], row[1], GlobalFlags(*(bool(flag) for flag in row[2:])))
