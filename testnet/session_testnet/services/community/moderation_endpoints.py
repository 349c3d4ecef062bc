"""Endpoints that give roles and bans (open-group-server §13)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from session_testnet.clock import Clock
from session_testnet.services.community.access import (
    Access,
    Caller,
    Stores,
    json_object,
    permission_denied,
    require_user,
)
from session_testnet.services.community.bans import may_ban_from_room, may_ban_from_server, timeout_ms
from session_testnet.services.community.roles import RoleChange, RoleRefused
from session_testnet.services.community.rooms import Room
from session_testnet.services.community.settings import ServerSettings
from session_testnet.services.community.users import User
from session_testnet.services.exchange import HttpError, Router, ServiceRequest, ServiceResponse, json_reply


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a call takes effect; ``rooms`` None means the whole server."""

    rooms: list[Room] | None


class ModerationEndpoints:
    """Answer the calls that make moderators, ban and unban."""

    def __init__(self, stores: Stores, access: Access, clock: Clock) -> None:
        self._stores = stores
        self._access = access
        self._clock = clock

    def add_to(self, router: Router[Caller], settings: ServerSettings) -> None:
        """Add the routes; they take Account IDs and blinded ids alike, whatever the server requires."""
        user = f"{{id:{settings.path_id_kind(unblinded=True)}}}"
        router.add("POST", f"/user/{user}/moderator", self._change_role)
        router.add("POST", f"/user/{user}/ban", self._ban)
        router.add("POST", f"/user/{user}/unban", self._unban)

    def _change_role(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        actor, document = require_user(caller), json_object(request)
        scope = self._scope(document, actor, admin=True)
        change = RoleChange(*(_truth(document, name) for name in ("moderator", "admin", "visible")))
        if not change.is_possible:
            raise HttpError(400, "moderator and admin say nothing, or what cannot be")
        target = self._target(request, creates=change.gives_something)
        if target is not None:
            try:
                if scope.rooms is None:
                    self._stores.roles.change_everywhere(target, change)
                else:
                    self._stores.roles.change_in_rooms(target, change, [room.id for room in scope.rooms])
            except RoleRefused as error:
                raise HttpError(400, str(error)) from None
        named = None if scope.rooms is None else {room.id for room in scope.rooms}
        updates = {
            room.token: room.info_updates
            for room in self._stores.rooms.all()
            if named is None or room.id in named
        }
        return json_reply({"info_updates": updates})

    def _ban(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        actor, document = require_user(caller), json_object(request)
        scope = self._scope(document, actor, admin=False)
        ends_ms = self._end_of_ban(document)
        target = self._stores.users.meant_by(request.params["id"])
        if not self._may_ban(actor, target, scope):
            raise permission_denied()
        target = self._target(request, creates=True)
        assert target is not None, "it has been made sure of"
        bans = self._stores.bans
        if scope.rooms is None:
            bans.ban_from_server(target, ends_ms=ends_ms)
        else:
            bans.ban_from_rooms(target, [room.id for room in scope.rooms], ends_ms=ends_ms)
        return json_reply({})

    def _unban(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        actor, document = require_user(caller), json_object(request)
        scope = self._scope(document, actor, admin=False)
        target = self._target(request, creates=False)
        if target is not None and scope.rooms is None:
            self._stores.bans.unban_from_server(target)
        elif target is not None:
            self._stores.bans.unban_from_rooms(target, [room.id for room in scope.rooms or ()])
        return json_reply({})

    def _scope(self, document: Mapping[str, Any], actor: User, *, admin: bool) -> _Scope:
        """Read ``rooms`` or ``global``; HttpError 400, 403 or 404 where that cannot be."""
        tokens, everywhere = document.get("rooms"), bool(document.get("global"))
        if tokens is not None and not isinstance(tokens, list):
            raise HttpError(400, "rooms is not a list of tokens")
        if bool(tokens) is everywhere or (everywhere and tokens is not None):
            raise HttpError(400, "either rooms, at least one, or global")
        if everywhere:
            if not (actor.flags.admin or (actor.flags.moderator and not admin)):
                raise HttpError(403)
            return _Scope(None)
        assert tokens, "the list has been made sure of"
        if "*" in tokens and len(tokens) > 1:
            raise HttpError(400, '"*" does not go with other rooms')
        if not all(isinstance(token, str) for token in tokens):
            raise HttpError(404)
        moderated = self._moderated_rooms(actor, admin=admin)
        if tokens == ["*"]:
            if not moderated:
                raise HttpError(403)
            return _Scope(moderated)
        wanted = {token.lower() for token in tokens}
        rooms = [room for room in moderated if room.token.lower() in wanted]
        if len(rooms) != len(tokens):
            raise HttpError(403)
        return _Scope(rooms)

    def _moderated_rooms(self, actor: User, *, admin: bool) -> list[Room]:
        rooms: list[Room] = []
        for room in self._stores.rooms.all():
            standing = self._access.visit(room, actor).standing
            if standing.admin if admin else standing.moderator:
                rooms.append(room)
        return rooms

    def _may_ban(self, actor: User, target: User | None, scope: _Scope) -> bool:
        if target is None:
            return True
        if scope.rooms is None:
            return may_ban_from_server(actor, target)
        return all(
            may_ban_from_room(
                actor,
                self._access.visit(room, actor).standing,
                target,
                self._access.visit(room, target).standing,
            )
            for room in scope.rooms
        )

    def _target(self, request: ServiceRequest, *, creates: bool) -> User | None:
        session_id = request.params["id"]
        if creates:
            return self._stores.users.holder(session_id, now_ms=self._clock.now_ms())
        return self._stores.users.meant_by(session_id)

    def _end_of_ban(self, document: Mapping[str, Any]) -> int | None:
        timeout = document.get("timeout")
        if timeout is None:
            return None
        if not isinstance(timeout, int | float) or isinstance(timeout, bool):
            raise HttpError(400, "timeout is not a number of seconds")
        return self._clock.now_ms() + timeout_ms(timeout) if timeout else None


def _truth(document: Mapping[str, Any], name: str) -> bool | None:
    """Return a flag by its truthiness, as the reference does; None when it is missing or null."""
    value = document.get(name)
    return None if value is None else bool(value)
