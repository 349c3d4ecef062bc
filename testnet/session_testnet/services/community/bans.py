"""Bans from a room or from the whole server, some of them for a while (open-group-server §13)."""

import sqlite3
from collections.abc import Sequence

from session_testnet.services.community.permissions import Standing
from session_testnet.services.community.users import User
from session_testnet.services.sqlite_file import transaction

# No ban ends later than this after it began, in milliseconds: what a database and a JSON number can hold.
_MAX_TIMEOUT_MS = 10**15


def timeout_ms(seconds: float) -> int:
    """Return a time limit in whole milliseconds, cut to what can be stored."""
    return int(max(-_MAX_TIMEOUT_MS, min(_MAX_TIMEOUT_MS, seconds * 1000)))


def may_ban_from_room(actor: User, actor_here: Standing, target: User, target_here: Standing) -> bool:
    """Tell whether a room's moderator may ban somebody: not oneself, not moderators of the whole server.

    Moderators of the room are banned by its admins alone, and lose their role by it.
    """
    if not actor_here.moderator or actor.id == target.id or target.flags.moderator or target.flags.admin:
        return False
    return actor_here.admin or not target_here.moderator


def may_ban_from_server(actor: User, target: User) -> bool:
    """Tell whether a moderator of the whole server may ban somebody from it."""
    is_moderator = actor.flags.moderator or actor.flags.admin
    return is_moderator and actor.id != target.id and not (target.flags.moderator or target.flags.admin)


class BanBook:
    """Ban and unban. A new ban replaces the end of an earlier one; without a time limit it has none."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def ban_from_rooms(self, user: User, room_ids: Sequence[int], *, ends_ms: int | None) -> None:
        """Ban a user from rooms; a role there is gone, which counts as an update of the room."""
        with transaction(self._database):
            for room_id in room_ids:
                self._database.execute(
                    "UPDATE rooms SET info_updates = info_updates + 1 WHERE id = ?1 AND EXISTS (SELECT 1"
                    " FROM room_overrides WHERE room = ?1 AND user = ?2 AND (moderator OR admin))",
                    (room_id, user.id),
                )
                self._database.execute(
                    "INSERT INTO room_overrides(room, user, banned) VALUES (?, ?, 1) ON CONFLICT(room, user)"
                    " DO UPDATE SET banned = 1, moderator = 0, admin = 0, visible_mod = 1",
                    (room_id, user.id),
                )
                self._schedule(user, room_id, ends_ms)

    def unban_from_rooms(self, user: User, room_ids: Sequence[int]) -> None:
        """End bans from rooms, and forget when they would have ended."""
        with transaction(self._database):
            for room_id in room_ids:
                self._database.execute(
                    "UPDATE room_overrides SET banned = 0 WHERE room = ? AND user = ?", (room_id, user.id)
                )
                self._schedule(user, room_id, None)

    def ban_from_server(self, user: User, *, ends_ms: int | None) -> None:
        """Ban a user from the whole server."""
        with transaction(self._database):
            self._database.execute("UPDATE users SET banned = 1 WHERE id = ?", (user.id,))
            self._schedule(user, None, ends_ms)

    def unban_from_server(self, user: User) -> None:
        """End a ban from the whole server, and forget when it would have ended."""
        with transaction(self._database):
            self._database.execute("UPDATE users SET banned = 0 WHERE id = ?", (user.id,))
            self._schedule(user, None, None)

    def pending(self) -> int:
        """Return how many bans are going to end by themselves."""
        (count,) = self._database.execute("SELECT COUNT(*) FROM unbans").fetchone()
        return int(count)

    def end_due(self, *, now_ms: int) -> int:
        """End the bans whose time is over and return their number."""
        with transaction(self._database):
            self._database.execute(
                "UPDATE room_overrides SET banned = 0 WHERE (room, user) IN"
                " (SELECT room, user FROM unbans WHERE room IS NOT NULL AND at_ms <= ?)",
                (now_ms,),
            )
            self._database.execute(
                "UPDATE users SET banned = 0"
                " WHERE id IN (SELECT user FROM unbans WHERE room IS NULL AND at_ms <= ?)",
                (now_ms,),
            )
            return self._database.execute("DELETE FROM unbans WHERE at_ms <= ?", (now_ms,)).rowcount

    def _schedule(self, user: User, room_id: int | None, at_ms: int | None) -> None:
        self._database.execute("DELETE FROM unbans WHERE user = ? AND room IS ?", (user.id, room_id))
        if at_ms is not None:
            self._database.execute(
                "INSERT INTO unbans(room, user, at_ms) VALUES (?, ?, ?)", (room_id, user.id, at_ms)
            )
