"""Moderators and admins: of one room or of the whole server (open-group-server §13)."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from session_testnet.services.community.permissions import GlobalFlags, Override
from session_testnet.services.community.users import User
from session_testnet.services.sqlite_file import transaction


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

    @property
    def change(self) -> "RoleChange":
        """Return the change that gives exactly this role."""
        return RoleChange(self.moderator or self.admin, self.admin, self.visible)


@dataclass(frozen=True, slots=True)
class RoleFlags:
    """What somebody is: a moderator, an admin too, and whether everybody sees that."""

    moderator: bool
    admin: bool
    visible: bool


@dataclass(frozen=True, slots=True)
class RoleChange:
    """What a call says about a role; None leaves something open."""

    moderator: bool | None
    admin: bool | None
    visible: bool | None = None

    @property
    def is_possible(self) -> bool:
        """Tell whether this says something that can be: an admin is always a moderator too."""
        says_nothing = self.moderator is None and self.admin is None
        return not says_nothing and not (self.admin is True and self.moderator is False)

    @property
    def gives_something(self) -> bool:
        """Tell whether somebody without a role would get one."""
        return self.admin is True or self.moderator is True

    def applied_to(self, now: RoleFlags, *, default_visible: bool) -> RoleFlags:
        """Return what somebody is afterwards, by the table of open-group-server §13."""
        visible = default_visible if self.visible is None else self.visible
        if self.admin:
            return RoleFlags(moderator=True, admin=True, visible=visible)
        if self.moderator:
            return RoleFlags(moderator=True, admin=now.admin and self.admin is None, visible=visible)
        if self.moderator is False:
            return RoleFlags(moderator=False, admin=False, visible=default_visible)
        # An admin steps down and stays a moderator; nobody becomes one by this.
        keeps_visibility = self.visible is None or not now.moderator
        return RoleFlags(now.moderator, admin=False, visible=now.visible if keeps_visibility else visible)


class RoleRefused(Exception):
    """Refuse a role to somebody who is banned: no moderator can be (open-group-server §7)."""


class RoleBook:
    """Change who moderates, and count that as an update of the rooms concerned (open-group-server §8.2)."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def change_in_rooms(self, user: User, change: RoleChange, room_ids: Sequence[int]) -> None:
        """Change a user's role in rooms, in all or in none; RoleRefused when it is banned from one."""
        with transaction(self._database):
            for room_id in room_ids:
                self._change_in_room(user, change, room_id)

    def change_everywhere(self, user: User, change: RoleChange) -> None:
        """Change a user's role on the whole server; RoleRefused when it is banned from there."""
        flags = user.flags
        before = RoleFlags(flags.moderator, flags.admin, flags.visible)
        after = change.applied_to(before, default_visible=GlobalFlags().visible)
        if after == before:
            return
        if after.moderator and flags.banned:
            raise RoleRefused(f"{user.session_id} is banned from the server")
        with transaction(self._database):
            self._database.execute(
                "UPDATE users SET moderator = ?, admin = ?, visible_mod = ? WHERE id = ?",
                (after.moderator, after.admin, after.visible, user.id),
            )
            self._database.execute("UPDATE rooms SET info_updates = info_updates + 1")

    def _change_in_room(self, user: User, change: RoleChange, room_id: int) -> None:
        row = self._database.execute(
            "SELECT moderator, admin, visible_mod, banned FROM room_overrides WHERE room = ? AND user = ?",
            (room_id, user.id),
        ).fetchone()
        default = Override()
        before = (
            RoleFlags(default.moderator, default.admin, default.visible)
            if row is None
            else RoleFlags(bool(row[0]), bool(row[1]), bool(row[2]))
        )
        after = change.applied_to(before, default_visible=default.visible)
        if after == before:
            return
        if after.moderator and row is not None and row[3]:
            raise RoleRefused(f"{user.session_id} is banned from the room")
        self._database.execute(
            "INSERT INTO room_overrides(room, user, moderator, admin, visible_mod)"
            " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT(room, user)"
            " DO UPDATE SET moderator = ?3, admin = ?4, visible_mod = ?5",
            (room_id, user.id, after.moderator, after.admin, after.visible),
        )
        # Whether a room's moderator shows is no update of the room by itself, unlike on the whole server.
        if (after.moderator, after.admin) != (before.moderator, before.admin):
            self._database.execute(
                "UPDATE rooms SET info_updates = info_updates + 1 WHERE id = ?", (room_id,)
            )
