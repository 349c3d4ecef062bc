"""Endpoints that add, remove and list reactions (open-group-server §10)."""

from typing import Final

from session_testnet.clock import Clock
from session_testnet.services.community.access import (
    Access,
    Caller,
    Stores,
    Visit,
    invalid_data,
    no_such,
    require_user,
)
from session_testnet.services.community.paging import integer
from session_testnet.services.community.posts import Post
from session_testnet.services.community.users import User
from session_testnet.services.exchange import Router, ServiceRequest, ServiceResponse, json_reply

# In code points: an emoji may be composed of several.
MAX_REACTION_LENGTH: Final = 12


class ReactionEndpoints:
    """Answer everything about reactions."""

    def __init__(self, stores: Stores, access: Access, clock: Clock) -> None:
        self._stores = stores
        self._access = access
        self._clock = clock

    def add_to(self, router: Router[Caller]) -> None:
        """Add the routes; an emoji may contain a slash."""
        own = "/room/{token:room}/reaction/{id:int}/{emoji:rest}"
        router.add("PUT", own, self._add)
        router.add("DELETE", own, self._remove)
        router.add("DELETE", "/room/{token:room}/reactions/{id:int}", self._remove_all)
        router.add("DELETE", "/room/{token:room}/reactions/{id:int}/{emoji:rest}", self._remove_all)
        router.add("GET", "/room/{token:room}/reactors/{id:int}/{emoji:rest}", self._reactors)

    def _add(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        user, post, emoji = self._own(request, caller)
        seqno = self._stores.reactions.add(post, emoji, user, now_ms=self._clock.now_ms())
        return json_reply({"added": seqno is not None, "seqno": post.seqno if seqno is None else seqno})

    def _remove(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        user, post, emoji = self._own(request, caller)
        removed, seqno = self._stores.reactions.remove(post, emoji, user)
        return json_reply({"removed": bool(removed), "seqno": seqno})

    def _remove_all(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.moderate(request, caller)
        emoji = _emoji(request) if "emoji" in request.params else None
        removed, seqno = self._stores.reactions.remove(self._post(request, visit), emoji)
        return json_reply({"removed": removed, "seqno": seqno})

    def _reactors(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.read(request, caller)
        emoji, limit = _emoji(request), integer(request, "limit")
        found = self._stores.reactions.reactors(
            self._post(request, visit), emoji, limit if limit and limit > 0 else None
        )
        return json_reply(found)

    def _own(self, request: ServiceRequest, caller: Caller) -> tuple[User, Post, str]:
        """Return who changes an own reaction, and which; it takes the right to read, not to write."""
        user = require_user(caller)
        visit = self._access.read(request, caller)
        emoji = _emoji(request)
        return user, self._post(request, visit), emoji

    def _post(self, request: ServiceRequest, visit: Visit) -> Post:
        # Nobody reacts to a whisper, not even who sees it.
        post = self._stores.posts.find(visit.room, request.number("id"))
        if post is None or post.is_whisper:
            raise no_such("post", request.params["id"])
        return post


def _emoji(request: ServiceRequest) -> str:
    emoji = request.params["emoji"]
    if len(emoji) > MAX_REACTION_LENGTH:
        raise invalid_data()
    return emoji
