"""Endpoints that pin and unpin messages (open-group-server §11)."""

from session_testnet.clock import Clock
from session_testnet.services.community.access import Access, Caller, Stores, no_such, require_user
from session_testnet.services.exchange import Router, ServiceRequest, ServiceResponse, json_reply


class PinEndpoints:
    """Answer what the admins of a room do with its pins."""

    def __init__(self, stores: Stores, access: Access, clock: Clock) -> None:
        self._stores = stores
        self._access = access
        self._clock = clock

    def add_to(self, router: Router[Caller]) -> None:
        """Add the routes."""
        router.add("POST", "/room/{token:room}/pin/{id:int}", self._pin)
        router.add("POST", "/room/{token:room}/unpin/{id:int}", self._unpin)
        router.add("POST", "/room/{token:room}/unpin/all", self._unpin_all)

    def _pin(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, admin = self._access.administer(request, caller), require_user(caller)
        post = self._stores.posts.find(visit.room, request.number("id"))
        if post is None or post.is_whisper:
            raise no_such("post", request.params["id"])
        return json_reply({"info_updates": self._stores.pins.pin(post, admin, now_ms=self._clock.now_ms())})

    def _unpin(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.administer(request, caller)
        unpinned, updates = self._stores.pins.unpin(visit.room.id, request.number("id"))
        return json_reply({"unpinned": bool(unpinned), "info_updates": updates})

    def _unpin_all(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.administer(request, caller)
        unpinned, updates = self._stores.pins.unpin(visit.room.id)
        return json_reply({"unpinned": unpinned, "info_updates": updates})
