"""Endpoints that show and change what users may do in a room, now and later (open-group-server §14)."""

from collections.abc import Mapping
from typing import Any, Final

from session_testnet.clock import Clock
from session_testnet.services.community.access import Access, Caller, Stores, json_object
from session_testnet.services.community.overrides import FUTURE_RIGHTS, describe
from session_testnet.services.community.permissions import Right
from session_testnet.services.community.settings import ServerSettings
from session_testnet.services.community.users import User
from session_testnet.services.exchange import HttpError, Router, ServiceRequest, ServiceResponse, json_reply

_MAX_DELAY_S: Final = 1e9


class PermissionEndpoints:
    """Answer moderators about the rights of users, and change them."""

    def __init__(self, stores: Stores, access: Access, clock: Clock) -> None:
        self._stores = stores
        self._access = access
        self._clock = clock

    def add_to(self, router: Router[Caller], settings: ServerSettings) -> None:
        """Add the routes; where blinding is required now, they take blinded ids alone, and go on to do so."""
        kind = settings.path_id_kind(unblinded=not settings.require_blinding)
        room, user = "/room/{token:room}", f"{{id:{kind}}}"
        router.add("GET", f"{room}/permissions", self._all)
        router.add("GET", f"{room}/permissions/{user}", self._one)
        router.add("POST", f"{room}/permissions/{user}", self._change)
        router.add("GET", f"{room}/futurePermissions", self._all_futures)
        router.add("GET", f"{room}/futurePermissions/{user}", self._futures)
        router.add("POST", f"{room}/futurePermissions/{user}", self._schedule)

    def _all(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.moderate(request, caller)
        return json_reply(self._stores.overrides.listed(visit.room.id))

    def _one(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.moderate(request, caller)
        return self._described(visit.room.id, self._stores.users.meant_by(request.params["id"]))

    def _change(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.moderate(request, caller)
        document = json_object(request)
        rights = _wanted_rights(document)
        overrides = self._stores.overrides
        with self._stores.transaction():
            user = self._holder(request)
            overrides.set_rights(visit.room.id, user, rights)
            if document.get("unschedule") is not False:
                overrides.unschedule(visit.room.id, user, rights)
        return self._described(visit.room.id, user)

    def _all_futures(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.moderate(request, caller)
        return json_reply(self._stores.overrides.futures(visit.room.id))

    def _futures(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.moderate(request, caller)
        user = self._stores.users.meant_by(request.params["id"])
        return json_reply([] if user is None else self._stores.overrides.futures(visit.room.id, user))

    def _schedule(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.moderate(request, caller)
        document = json_object(request)
        rights = {
            right: flag for right in FUTURE_RIGHTS if (flag := _flag(document, right.value)) is not None
        }
        delay_s = document.get("in")
        if not rights:
            raise HttpError(400, "none of read, write and upload is given")
        if (
            not isinstance(delay_s, int | float)
            or isinstance(delay_s, bool)
            or not 0 < delay_s < _MAX_DELAY_S
        ):
            raise HttpError(400, "in is not a number of seconds above 0 and below 1e9")
        user = self._holder(request)
        at_ms = self._clock.now_ms() + round(delay_s * 1000)
        self._stores.overrides.schedule(visit.room.id, user, rights, at_ms=at_ms)
        return json_reply(self._stores.overrides.futures(visit.room.id, user))

    def _holder(self, request: ServiceRequest) -> User:
        return self._stores.users.holder(request.params["id"], now_ms=self._clock.now_ms())

    def _described(self, room_id: int, user: User | None) -> ServiceResponse:
        return json_reply(describe(self._stores.overrides.find(room_id, user)))


def _wanted_rights(document: Mapping[str, Any]) -> dict[Right, bool | None]:
    """Return the rights to set, None for those to clear; HttpError 400 for none or for contradictions."""
    rights: dict[Right, bool | None] = {}
    for right in Right:
        flag, cleared = _flag(document, right.value), _flag(document, f"default_{right.value}")
        if flag is not None and cleared:
            raise HttpError(400, f"{right.value} cannot be set and be the default at once")
        if flag is not None or cleared:
            rights[right] = flag
    if not rights:
        raise HttpError(400, "no right is given")
    return rights


def _flag(document: Mapping[str, Any], name: str) -> bool | None:
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise HttpError(400, f"{name} is neither true nor false")
    return value
