"""What the operator of a community server does, for which there is no HTTP endpoint: rooms, roles, bans."""

import re
from typing import Any, Final

from session_protocol.accounts import IdKind, id_kind
from session_testnet.clock import Clock
from session_testnet.hinted_error import HintedError
from session_testnet.services.community.access import Stores
from session_testnet.services.community.bans import timeout_ms
from session_testnet.services.community.permissions import Defaults, Right
from session_testnet.services.community.roles import RoleChange, RoleRefused
from session_testnet.services.community.rooms import Moderators, Room, RoomChanges
from session_testnet.services.community.users import User

_TOKEN: Final = re.compile("[0-9A-Za-z_-]{1,64}")
_USER_KINDS: Final = (IdKind.STANDARD, IdKind.BLINDED15, IdKind.BLINDED25)
_DEFAULT_FIELDS: Final = tuple(f"default_{right.value}" for right in Right)
ROOM_FIELDS: Final = ("name", "description", *_DEFAULT_FIELDS)
"""What can be set about a room."""


class AdministrationError(HintedError, ValueError):
    """Say what cannot be done to a room or a user, and what can."""


class Administration:
    """Act as the server itself, which may do anything that its data can hold."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock

    def rooms(self) -> list[Room]:
        """Return all rooms in the order of lists."""
        return self._stores.rooms.all()

    def room(self, token: str) -> Room:
        """Return the room with a token; AdministrationError when there is none."""
        room = self._stores.rooms.find(token)
        if room is None:
            known = ", ".join(room.token for room in self.rooms()) or "none"
            raise AdministrationError(f"there is no room {token!r}", f"the rooms are: {known}")
        return room

    def moderators(self, room: Room) -> Moderators:
        """Return who moderates a room."""
        return self._stores.rooms.moderators(room)

    def create_room(
        self, token: str, name: str, description: str | None = None, defaults: Defaults | None = None
    ) -> Room | None:
        """Create a room and return it, None when it is there already; AdministrationError for a bad token."""
        if not _TOKEN.fullmatch(token):
            raise AdministrationError(
                f"{token!r} is no room token", "a token has 1 to 64 letters, digits, hyphens or underscores"
            )
        return self._stores.rooms.add(
            token, name, description, defaults or Defaults(), now_ms=self._clock.now_ms()
        )

    def set_room(self, token: str, field: str, value: Any) -> None:
        """Set one of ROOM_FIELDS as an admin would; AdministrationError for what cannot be set."""
        room, now_ms = self.room(token), self._clock.now_ms()
        if field == "name" and isinstance(value, str):
            changes = RoomChanges(now_ms, name=value)
        elif field == "description" and (value is None or isinstance(value, str)):
            changes = RoomChanges(now_ms, describes=True, description=value or None)
        elif field in _DEFAULT_FIELDS and isinstance(value, bool):
            changes = RoomChanges(now_ms, defaults={field.removeprefix("default_"): value})
        elif field in ROOM_FIELDS:
            raise AdministrationError(f"{field} of a room cannot be {value!r:.60}")
        else:
            raise AdministrationError(f"a room has no {field!r} to set", f"it has: {', '.join(ROOM_FIELDS)}")
        self._stores.rooms.update(room, changes)

    def delete_room(self, token: str) -> None:
        """Delete a room with its messages and files; AdministrationError when there is none."""
        room = self.room(token)
        keys = self._stores.uploads.keys(room)
        self._stores.rooms.delete(room)
        self._stores.uploads.drop_bodies(keys)

    def change_role(self, session_id: str, room: str | None, change: RoleChange) -> User:
        """Change a role in a room or, for None, on the whole server, and return who has it then."""
        if not change.is_possible:
            raise AdministrationError(
                "this is no role: moderator and admin are both open, or an admin is no moderator",
                "an admin is a moderator too",
            )
        room_id = None if room is None else self.room(room).id
        user = self._holder(session_id)
        try:
            if room_id is None:
                self._stores.roles.change_everywhere(user, change)
            else:
                self._stores.roles.change_in_rooms(user, change, [room_id])
        except RoleRefused as error:
            raise AdministrationError(str(error), "end the ban first") from None
        return self._holder(session_id)

    def ban(self, session_id: str, room: str | None = None, *, timeout_s: float | None = None) -> User:
        """Ban a user from a room, whose moderator it then is no more, or from the whole server.

        Moderators of the whole server cannot be banned: AdministrationError.
        """
        room_id = None if room is None else self.room(room).id
        user = self._holder(session_id)
        if user.flags.moderator or user.flags.admin:
            raise AdministrationError(
                f"{user.session_id} is a moderator of the server", "take that role away before the ban"
            )
        ends_ms = self._clock.now_ms() + timeout_ms(timeout_s) if timeout_s else None
        if room_id is None:
            self._stores.bans.ban_from_server(user, ends_ms=ends_ms)
        else:
            self._stores.bans.ban_from_rooms(user, [room_id], ends_ms=ends_ms)
        return self._holder(session_id)

    def unban(self, session_id: str, room: str | None = None) -> User:
        """End a ban from a room or from the whole server; that there is none is fine."""
        room_id = None if room is None else self.room(room).id
        user = self._holder(session_id)
        if room_id is None:
            self._stores.bans.unban_from_server(user)
        else:
            self._stores.bans.unban_from_rooms(user, [room_id])
        return self._holder(session_id)

    def check_id(self, session_id: str) -> str:
        """Return an id as it is; AdministrationError when nobody can have it."""
        if id_kind(session_id) not in _USER_KINDS:
            raise AdministrationError(
                f"{session_id!r:.80} is no id of a user",
                "an id has 66 hex digits and begins with 05, 15 or 25",
            )
        return session_id

    def _holder(self, session_id: str) -> User:
        return self._stores.users.holder(self.check_id(session_id), now_ms=self._clock.now_ms())
