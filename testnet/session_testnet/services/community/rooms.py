"""The rooms of a community server: what they are, who moderates them, who has been there lately."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from session_testnet.services.community.permissions import Defaults, Right, Standing
from session_testnet.services.sqlite_file import transaction

ACTIVE_CUTOFF_S: Final = 7 * 24 * 60 * 60
_ACTIVITY_MEMORY_MS: Final = 60 * 24 * 60 * 60 * 1000

_COLUMNS: Final = (
    "id, token, name, description, created_ms, message_sequence, info_updates, active_users, image,"
    " read, accessible, write, upload"
)


@dataclass(frozen=True, slots=True)
class Room:
    """A room as stored."""

    id: int
    token: str
    name: str
    description: str | None
    created_ms: int
    message_sequence: int
    info_updates: int
    active_users: int
    image_id: int | None
    defaults: Defaults


@dataclass(frozen=True, slots=True)
class RoomChanges:
    """What is to be changed about a room; None leaves it, but a description is left by ``describes`` False.

    ``defaults`` has the default rights by name, ``now_ms`` is when this happens.
    """

    now_ms: int
    name: str | None = None
    describes: bool = False
    description: str | None = None
    defaults: Mapping[str, bool] = field(default_factory=dict)
    image_id: int | None = None


@dataclass(frozen=True, slots=True)
class Moderators:
    """Who moderates a room, sorted; an admin is in the lists of admins only."""

    moderators: list[str]
    admins: list[str]
    hidden_moderators: list[str]
    hidden_admins: list[str]


class RoomDirectory:
    """Keep the rooms."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(
        self,
        token: str,
        name: str,
        description: str | None = None,
        defaults: Defaults = Defaults(),  # noqa: B008 - a value that cannot change
        *,
        now_ms: int,
    ) -> Room | None:
        """Create a room and return it; None when its token, in whatever case, is taken."""
        if self.find(token) is not None:
            return None
        self._database.execute(
            "INSERT INTO rooms(token, name, description, created_ms, read, accessible, write, upload)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(token, name, description or None, now_ms),
                *(defaults.read, defaults.accessible, defaults.write, defaults.upload),
            ),
        )
        return self.find(token)

    def delete(self, room: Room) -> None:
        """Delete a room with all that is in it."""
        self._database.execute("DELETE FROM rooms WHERE id = ?", (room.id,))

    def update(self, room: Room, changes: "RoomChanges") -> bool:
        """Change a room, all of it or nothing; False when the image is no file of this room.

        Name, description and image count as an update of the room each, where they are really changed;
        default rights do not (open-group-server §8.2).
        """
        updates = 0
        assignments: dict[str, object] = dict(changes.defaults)
        if changes.name is not None and changes.name != room.name:
            assignments["name"] = changes.name
            updates += 1
        if changes.describes and changes.description != room.description:
            assignments["description"] = changes.description
            updates += 1
        with transaction(self._database):
            if changes.image_id is not None and changes.image_id != room.image_id:
                # A file on its way out cannot be kept by this any more.
                kept = self._database.execute(
                    "UPDATE files SET expires_ms = NULL"
                    " WHERE id = ? AND room = ? AND (expires_ms IS NULL OR expires_ms > ?)",
                    (changes.image_id, room.id, changes.now_ms),
                ).rowcount
                if not kept:
                    return False
                self._database.execute("UPDATE files SET expires_ms = 0 WHERE id = ?", (room.image_id,))
                assignments["image"] = changes.image_id
                updates += 1
            for column, value in assignments.items():
                self._database.execute(
                    f"UPDATE rooms SET {column} = ? WHERE id = ?",  # noqa: S608 - names of columns
                    (value, room.id),
                )
            self._database.execute(
                "UPDATE rooms SET info_updates = info_updates + ? WHERE id = ?", (updates, room.id)
            )
        return True

    def find(self, token: str) -> Room | None:
        """Return the room with a token, whatever its case, or None."""
        row = self._database.execute(
            f"SELECT {_COLUMNS} FROM rooms WHERE token = ?",  # noqa: S608 - constant columns
            (token,),
        ).fetchone()
        return None if row is None else _room(row)

    def all(self) -> list[Room]:
        """Return every room, ordered by token without regard to case."""
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM rooms ORDER BY token")  # noqa: S608 - constant columns
        return [_room(row) for row in rows]

    def moderators(self, room: Room) -> Moderators:
        """Return who moderates a room: its own moderators and those of the whole server.

        Of who is both, the room says whether that shows.
        """
        rows = self._database.execute(
            "SELECT session_id, MAX(admin) AS admin, MAX(visible) & 1 AS visible FROM ("
            " SELECT u.session_id, o.admin, o.visible_mod + 2 AS visible FROM room_overrides o"
            " JOIN users u ON u.id = o.user WHERE o.room = ? AND (o.moderator OR o.admin)"
            " UNION ALL"
            " SELECT session_id, admin, visible_mod FROM users WHERE moderator OR admin"
            ") GROUP BY session_id ORDER BY session_id",
            (room.id,),
        ).fetchall()

        def listed(*, admin: bool, visible: bool) -> list[str]:
            return [row[0] for row in rows if bool(row[1]) is admin and bool(row[2]) is visible]

        return Moderators(
            moderators=listed(admin=False, visible=True),
            admins=listed(admin=True, visible=True),
            hidden_moderators=listed(admin=False, visible=False),
            hidden_admins=listed(admin=True, visible=False),
        )

    def visited(self, room: Room, user_id: int, *, now_ms: int) -> None:
        """Note that a user has looked into a room."""
        self._database.execute(
            "INSERT OR REPLACE INTO room_activity VALUES (?, ?, ?)", (room.id, user_id, now_ms)
        )

    def refresh_activity(self, *, now_ms: int) -> int:
        """Count each room's active users anew; forget old visits and return their number."""
        self._database.execute(
            "UPDATE rooms SET active_users = (SELECT COUNT(*) FROM room_activity a"
            " WHERE a.room = rooms.id AND a.last_active_ms > ?)",
            (now_ms - ACTIVE_CUTOFF_S * 1000,),
        )
        return self._database.execute(
            "DELETE FROM room_activity WHERE last_active_ms <= ?", (now_ms - _ACTIVITY_MEMORY_MS,)
        ).rowcount


def room_details(
    room: Room, standing: Standing, moderators: Moderators, pins: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the Room object that a caller sees (open-group-server §8.1), the oldest of its pins first."""
    details: dict[str, Any] = {
        "token": room.token,
        "name": room.name,
        "info_updates": room.info_updates,
        "message_sequence": room.message_sequence,
        "created": room.created_ms / 1000,
        "active_users": room.active_users,
        "active_users_cutoff": ACTIVE_CUTOFF_S,
        "moderators": moderators.moderators,
        "admins": moderators.admins,
        **caller_members(room, standing),
    }
    if room.description is not None:
        details["description"] = room.description
    if room.image_id is not None:
        details["image_id"] = room.image_id
    if pins:
        details["pinned_messages"] = pins
    if standing.moderator and moderators.hidden_moderators:
        details["hidden_moderators"] = moderators.hidden_moderators
    if standing.moderator and moderators.hidden_admins:
        details["hidden_admins"] = moderators.hidden_admins
    return details


def caller_members(room: Room, standing: Standing) -> dict[str, Any]:
    """Return the members that depend on the caller: rights, roles, and the room's defaults for moderators."""
    members: dict[str, Any] = {
        "read": standing.may(Right.READ),
        "write": standing.may(Right.WRITE),
        "upload": standing.may(Right.WRITE, Right.UPLOAD),
    }
    roles = {
        "moderator": standing.moderator,
        "admin": standing.admin,
        "global_moderator": standing.global_moderator,
        "global_admin": standing.global_admin,
    }
    members |= {name: True for name, held in roles.items() if held}
    if standing.moderator:
        members |= {f"default_{right.value}": room.defaults.of(right) for right in Right}
    return members


def _room(row: sqlite3.Row) -> Room:
    columns: list[Any] = [*row[:9], Defaults(*(bool(flag) for flag in row[9:]))]
    return Room(*columns)
