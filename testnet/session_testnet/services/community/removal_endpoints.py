"""Endpoints that remove messages: one, or all of a user (open-group-server §§9.5, 13)."""

from session_testnet.clock import Clock
from session_testnet.services.community.access import (
    Access,
    Caller,
    Stores,
    no_such,
    permission_denied,
    require_user,
)
from session_testnet.services.community.permissions import Right
from session_testnet.services.community.settings import ServerSettings
from session_testnet.services.community.users import User
from session_testnet.services.exchange import Router, ServiceRequest, ServiceResponse, json_reply


class RemovalEndpoints:
    """Answer authors that take back what they wrote, and moderators that tidy up."""

    def __init__(self, stores: Stores, access: Access, clock: Clock, settings: ServerSettings) -> None:
        self._stores = stores
        self._access = access
        self._clock = clock
        self._author_kind = settings.path_id_kind(unblinded=not settings.require_blinding)

    def add_to(self, router: Router[Caller]) -> None:
        """Add the routes; whose messages go is named by an id of those that the server accepts."""
        author = f"{{author:{self._author_kind}}}"
        router.add("DELETE", "/room/{token:room}/message/{id:int}", self._remove)
        router.add("DELETE", f"/room/{{token:room}}/all/{author}", self._remove_all)
        router.add("DELETE", f"/rooms/all/{author}", self._remove_everywhere)

    def _remove(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        # Moderators have every right; whoever has lost the right to write is refused before anything is
        # looked up.
        visit, user = self._access.act(request, caller, Right.WRITE)
        post = self._stores.posts.find(visit.room, request.number("id"))
        if post is None:
            raise no_such("post", request.params["id"])
        if post.author_id != user.id and not visit.standing.moderator:
            raise permission_denied()
        self._stores.remover.remove(post, now_ms=self._clock.now_ms())
        return json_reply({})

    def _remove_all(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, user = self._access.enter(request, caller), require_user(caller)
        author = self._author(request)
        if author.id != user.id and not visit.standing.moderator:
            raise permission_denied()
        if not self._stores.remover.remove_all(visit.room, author, now_ms=self._clock.now_ms()):
            raise no_such("post", f"by {author.session_id}")
        return json_reply({})

    def _remove_everywhere(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        user = require_user(caller)
        author = self._author(request)
        now_ms = self._clock.now_ms()
        with self._stores.transaction():
            removed = {
                room.token: self._stores.remover.remove_all(room, author, now_ms=now_ms)
                for room in self._stores.rooms.all()
                if author.id == user.id or self._access.visit(room, user).standing.moderator
            }
        return json_reply({"total": sum(removed.values()), "rooms": removed})

    def _author(self, request: ServiceRequest) -> User:
        author = self._stores.users.meant_by(request.params["author"])
        if author is None:
            raise no_such("user", request.params["author"])
        return author
