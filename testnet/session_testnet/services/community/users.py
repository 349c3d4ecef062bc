"""The users that a community server knows, and the roles they have."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from session_testnet.services.community.permissions import GlobalFlags, Override
from session_testnet.services.sqlite_file import transaction

_COLUMNS = "id, session_id, banned, moderator, admin, visible_mod"


@dataclass(frozen=True, slots=True)
class User:
    """A user under the id that this server sees: 05…, or blinded 15… or 25…."""

    id: int
    session_id: str
    flags: GlobalFlags


@dataclass(frozen=True, slots=True)
class Role:
    """A role to give out: in one room, or on the whole server when ``room`` is None.

    Moderators of the whole server are hidden unless asked for, those of a room visible (open-group-server
    §7).
    """

    session_id: str
    room: str | None = None
    admin: bool = False
    moderator: bool = True
    visible: bool | None = None


class UserDirectory:
    """Keep users, their roles and what they may do in rooms.

    ``positive_blinded_id`` returns, for a 05 id on a server that wants blinded ids, the 15 id that it may
    turn up under (the candidate with a clear sign bit); roles given to the 05 id move over at the first
    contact (open-group-server §13).
    """

    def __init__(
        self, database: sqlite3.Connection, positive_blinded_id: Callable[[str], str] | None = None
    ) -> None:
        self._database = database
        self._positive_blinded_id = positive_blinded_id

    def find(self, session_id: str) -> User | None:
        """Return the user with an id, or None."""
        return _user(
            self._database.execute(
                f"SELECT {_COLUMNS} FROM users WHERE session_id = ?",  # noqa: S608 - constant columns
                (session_id.lower(),),
            ).fetchone()
        )

    def find_or_add(self, session_id: str, *, now_ms: int) -> User:
        """Return the user with an id, as one never seen active when it is new."""
        self._database.execute(
            "INSERT INTO users(session_id, created_ms, last_active_ms) VALUES (?, ?, 0)"
            " ON CONFLICT DO NOTHING",
            (session_id.lower(), now_ms),
        )
        user = self.find(session_id)
        assert user is not None, "the row has just been made sure of"
        return user

    def seen(self, session_id: str, *, now_ms: int) -> User:
        """Note that a user is active and return it, with the roles that were waiting for its blinded id."""
        with transaction(self._database):
            user = self.find_or_add(session_id, now_ms=now_ms)
            self._database.execute("UPDATE users SET last_active_ms = ? WHERE id = ?", (now_ms, user.id))
            if session_id.startswith("15") and self._take_over_pending(user):
                user = self.find_or_add(session_id, now_ms=now_ms)
        return user

    def override(self, room_id: int, user: User | None) -> Override | None:
        """Return what a user is in a room, or None when nothing is special."""
        if user is None:
            return None
        row = self._database.execute(
            "SELECT banned, moderator, admin, visible_mod, read, accessible, write, upload"
            " FROM room_overrides WHERE room = ? AND user = ?",
            (room_id, user.id),
        ).fetchone()
        if row is None:
            return None
        flags = [bool(value) for value in row[:4]]
        rights = [None if value is None else bool(value) for value in row[4:]]
        return Override(flags[0], flags[1], flags[2], flags[3], *rights)

    def give_role(self, role: Role, room_id: int | None, *, now_ms: int) -> None:
        """Give a role, in one room or everywhere; a real change counts as an update of its rooms."""
        user = self._role_holder(role.session_id, now_ms)
        moderator, admin = role.moderator or role.admin, role.admin
        with transaction(self._database):
            if room_id is None:
                changed = self._database.execute(
                    "UPDATE users SET moderator = ?1, admin = ?2, visible_mod = ?3"
                    " WHERE id = ?4 AND (moderator, admin, visible_mod) IS NOT (?1, ?2, ?3)",
                    (moderator, admin, bool(role.visible), user.id),
                ).rowcount
                rooms = ""
            else:
                visible = role.visible is not False
                changed = self._database.execute(
                    "INSERT INTO room_overrides(room, user, moderator, admin, visible_mod)"
                    " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT(room, user)"
                    " DO UPDATE SET moderator = ?3, admin = ?4, visible_mod = ?5"
                    " WHERE (moderator, admin, visible_mod) IS NOT (?3, ?4, ?5)",
                    (room_id, user.id, moderator, admin, visible),
                ).rowcount
                rooms = f" WHERE id = {room_id:d}"
            if changed:
                self._database.execute(f"UPDATE rooms SET info_updates = info_updates + 1{rooms}")  # noqa: S608 - a number

    def set_banned(self, session_id: str, banned: bool, *, now_ms: int) -> None:
        """Ban a user from the whole server, or let it in again; ValueError for a moderator."""
        user = self._role_holder(session_id, now_ms)
        if banned and user.flags.moderator:
            raise ValueError(f"{session_id} is a moderator of the server: take that role away before the ban")
        self._database.execute("UPDATE users SET banned = ? WHERE id = ?", (banned, user.id))

    def _role_holder(self, session_id: str, now_ms: int) -> User:
        """Return the user that a role goes to: a known blinded one, else the id itself, as pending."""
        if self._positive_blinded_id is None or not session_id.startswith("05"):
            return self.find_or_add(session_id, now_ms=now_ms)
        positive = self._positive_blinded_id(session_id)
        for candidate in (positive, with_sign_bit(positive)):
            known = self.find(candidate)
            if known is not None:
                return known
        user = self.find_or_add(session_id, now_ms=now_ms)
        self._database.execute("INSERT OR REPLACE INTO pending_blinding VALUES (?, ?)", (positive, user.id))
        return user

    def _take_over_pending(self, user: User) -> bool:
        positive = without_sign_bit(user.session_id)
        row = self._database.execute(
            "SELECT user FROM pending_blinding WHERE blinded_positive = ?", (positive,)
        ).fetchone()
        if row is None:
            return False
        unblinded = row[0]
        self._database.execute("DELETE FROM pending_blinding WHERE blinded_positive = ?", (positive,))
        self._database.execute(
            "UPDATE users SET (banned, moderator, admin, visible_mod) ="
            " (SELECT banned, moderator, admin, visible_mod FROM users WHERE id = ?) WHERE id = ?",
            (unblinded, user.id),
        )
        self._database.execute(
            "UPDATE users SET banned = 0, moderator = 0, admin = 0, visible_mod = 0 WHERE id = ?",
            (unblinded,),
        )
        self._database.execute(
            "UPDATE OR REPLACE room_overrides SET user = ? WHERE user = ?", (user.id, unblinded)
        )
        return True


def without_sign_bit(blinded_id: str) -> str:
    """Return the 15 id of the same point with a clear sign bit: the top bit of its last byte."""
    return f"{blinded_id[:64]}{int(blinded_id[64], 16) & 7:x}{blinded_id[65]}"


def with_sign_bit(blinded_id: str) -> str:
    """Return the 15 id of the same point with the sign bit set."""
    return f"{blinded_id[:64]}{int(blinded_id[64], 16) | 8:x}{blinded_id[65]}"


def _user(row: sqlite3.Row | None) -> User | None:
    if row is None:
        return None
    return User(row[0], row[1], GlobalFlags(*(bool(flag) for flag in row[2:])))
