"""What single users may do in a room, now and later, apart from its defaults (open-group-server §14)."""

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from session_testnet.services.community.permissions import Override, Right
from session_testnet.services.community.users import User
from session_testnet.services.sqlite_file import transaction

FUTURE_RIGHTS: Final = (Right.READ, Right.WRITE, Right.UPLOAD)
"""The rights that can be changed ahead of time."""

_FLAGS: Final = "banned, moderator, admin, visible_mod, read, accessible, write, upload"
# Changes of rights and ends of bans in one list, as clients see them.
_FUTURES: Final = (
    "SELECT u.session_id, f.at_ms, f.read, f.write, f.upload, f.banned FROM ("
    " SELECT room, user, at_ms, read, write, upload, NULL AS banned, id FROM right_changes UNION ALL"
    " SELECT room, user, at_ms, NULL, NULL, NULL, 0, id FROM unbans) f JOIN users u ON u.id = f.user"
    " WHERE f.room = ?"
)


class OverrideBook:
    """Keep who may do more or less in a room than everybody, and how that is going to change."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def find(self, room_id: int, user: User | None) -> Override | None:
        """Return what a user is in one room, or None when nothing is special."""
        if user is None:
            return None
        row = self._database.execute(
            f"SELECT {_FLAGS} FROM room_overrides WHERE room = ? AND user = ?",  # noqa: S608 - constant columns
            (room_id, user.id),
        ).fetchone()
        return None if row is None else _override(row)

    def listed(self, room_id: int) -> dict[str, dict[str, bool]]:
        """Return what is special about users in a room, by their ids."""
        rows = self._database.execute(
            f"SELECT {_FLAGS}, session_id FROM (SELECT o.*, u.session_id FROM room_overrides o"  # noqa: S608 - constant columns
            " JOIN users u ON u.id = o.user WHERE o.room = ?) ORDER BY session_id",
            (room_id,),
        )
        described = {row[8]: describe(_override(row)) for row in rows}
        return {session_id: flags for session_id, flags in described.items() if flags}

    def set_rights(self, room_id: int, user: User, rights: Mapping[Right, bool | None]) -> None:
        """Set or (None) clear some of a user's rights in a room."""
        names = [right.value for right in rights]
        assignments = ", ".join(f"{name} = excluded.{name}" for name in names)
        self._database.execute(
            f"INSERT INTO room_overrides(room, user, {', '.join(names)})"  # noqa: S608 - names of rights
            f" VALUES (?, ?{', ?' * len(names)}) ON CONFLICT(room, user) DO UPDATE SET {assignments}",
            (room_id, user.id, *rights.values()),
        )

    def futures(self, room_id: int, user: User | None = None) -> list[dict[str, Any]]:
        """Return what is going to change in a room, next first: for one user, or for all with their ids."""
        condition = "" if user is None else " AND f.user = ?"
        arguments = [room_id] if user is None else [room_id, user.id]
        rows = self._database.execute(f"{_FUTURES}{condition} ORDER BY f.at_ms, f.id", arguments)
        return [_future(row, with_id=user is None) for row in rows]

    def schedule(self, room_id: int, user: User, rights: Mapping[Right, bool], *, at_ms: int) -> None:
        """Change some of a user's rights in a room at a later time."""
        self._database.execute(
            "INSERT INTO right_changes(room, user, at_ms, read, write, upload) VALUES (?, ?, ?, ?, ?, ?)",
            (room_id, user.id, at_ms, *(rights.get(right) for right in FUTURE_RIGHTS)),
        )

    def unschedule(self, room_id: int, user: User, rights: Mapping[Right, object]) -> None:
        """Drop what has been scheduled for these rights of a user in a room."""
        cleared = [f"{right.value} = NULL" for right in FUTURE_RIGHTS if right in rights]
        if not cleared:
            return
        self._database.execute(
            f"UPDATE right_changes SET {', '.join(cleared)} WHERE room = ? AND user = ?",  # noqa: S608 - names of rights
            (room_id, user.id),
        )
        self._database.execute(
            "DELETE FROM right_changes WHERE room = ? AND user = ?"
            " AND read IS NULL AND write IS NULL AND upload IS NULL",
            (room_id, user.id),
        )

    def apply_due(self, *, now_ms: int) -> int:
        """Carry out what was scheduled until now and return how many changes that were.

        A right that equals the room's default by then needs no override any more.
        """
        with transaction(self._database):
            rows = self._database.execute(
                "SELECT c.id, c.room, c.user, c.read, c.write, c.upload, r.read, r.write, r.upload"
                " FROM right_changes c JOIN rooms r ON r.id = c.room WHERE c.at_ms <= ?"
                " ORDER BY c.at_ms, c.id",
                (now_ms,),
            ).fetchall()
            for change_id, room_id, user_id, *flags in rows:
                self._apply(room_id, user_id, flags[:3], defaults=flags[3:])
                self._database.execute("DELETE FROM right_changes WHERE id = ?", (change_id,))
        return len(rows)

    def _apply(self, room_id: int, user_id: int, flags: list[int | None], defaults: list[int]) -> None:
        self._database.execute(
            "INSERT INTO room_overrides(room, user) VALUES (?, ?) ON CONFLICT DO NOTHING", (room_id, user_id)
        )
        for right, flag, default in zip(FUTURE_RIGHTS, flags, defaults, strict=True):
            if flag is not None:
                self._database.execute(
                    f"UPDATE room_overrides SET {right.value} = ? WHERE room = ? AND user = ?",  # noqa: S608 - a right's name
                    (None if flag == default else flag, room_id, user_id),
                )


def describe(override: Override | None) -> dict[str, bool]:
    """Return what is special about a user as clients see it (open-group-server §14)."""
    if override is None:
        return {}
    rights = {right.value: override.of(right) for right in Right}
    described = {name: flag for name, flag in rights.items() if flag is not None}
    if override.banned:
        described["banned"] = True
    if override.moderator or override.admin:
        described["moderator"] = True
        if override.admin:
            described["admin"] = True
        if not override.visible:
            described["hidden"] = True
    return described


def _override(row: sqlite3.Row) -> Override:
    flags = [bool(value) for value in row[:4]]
    rights = [None if value is None else bool(value) for value in row[4:8]]
    return Override(flags[0], flags[1], flags[2], flags[3], *rights)


def _future(row: sqlite3.Row, *, with_id: bool) -> dict[str, Any]:
    session_id, at_ms, *flags = row
    names = ("read", "write", "upload", "banned")
    change: dict[str, Any] = {
        name: bool(flag) for name, flag in zip(names, flags, strict=True) if flag is not None
    }
    change["at"] = at_ms / 1000
    return {"session_id": session_id, **change} if with_id else change
