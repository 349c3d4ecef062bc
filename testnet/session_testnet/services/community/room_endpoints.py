"""Endpoints that tell about rooms and change them (open-group-server §8)."""

from session_testnet.clock import Clock
from session_testnet.services.community.access import Access, Caller, Stores, Visit, json_object
from session_testnet.services.community.permissions import Right
from session_testnet.services.community.room_changes import read_room_changes
from session_testnet.services.community.rooms import Room, caller_members, room_details
from session_testnet.services.exchange import HttpError, Router, ServiceRequest, ServiceResponse, json_reply


class RoomEndpoints:
    """Answer the room list, a room's details, the poll for changes, and changes by admins."""

    def __init__(self, stores: Stores, access: Access, clock: Clock) -> None:
        self._stores = stores
        self._access = access
        self._clock = clock

    def add_to(self, router: Router[Caller]) -> None:
        """Add the routes."""
        router.add("GET", "/rooms", self._list)
        router.add("GET", "/room/{token:room}", self._details)
        router.add("PUT", "/room/{token:room}", self._change)
        router.add("GET", "/room/{token:room}/pollInfo/{updates:int}", self._poll)

    def _list(self, _: ServiceRequest, caller: Caller) -> ServiceResponse:
        visits = (self._access.visit(room, caller) for room in self._stores.rooms.all())
        return json_reply([self._room(visit) for visit in visits if visit.standing.may(Right.ACCESSIBLE)])

    def _details(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.enter(request, caller)
        if not visit.standing.may(Right.ACCESSIBLE):
            raise HttpError(404)
        return json_reply(self._room(visit))

    def _change(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        room = self._access.administer(request, caller).room
        changes = read_room_changes(json_object(request), now_ms=self._clock.now_ms())
        if not self._stores.rooms.update(room, changes):
            raise HttpError(406, f"there is no file {changes.image_id} of this room")
        return json_reply({"info_updates": self._again(room).info_updates})

    def _poll(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.read(request, caller)
        room = visit.room
        answer = {
            "token": room.token,
            "active_users": room.active_users,
            **caller_members(room, visit.standing),
        }
        if room.info_updates != request.number("updates"):
            answer["details"] = self._room(visit)
        return json_reply(answer)

    def _room(self, visit: Visit) -> dict[str, object]:
        pins = [pin.to_json() for pin in self._stores.pins.of(visit.room)]
        return room_details(visit.room, visit.standing, self._stores.rooms.moderators(visit.room), pins)

    def _again(self, room: Room) -> Room:
        found = self._stores.rooms.find(room.token)
        assert found is not None, "the room has just been changed"
        return found
