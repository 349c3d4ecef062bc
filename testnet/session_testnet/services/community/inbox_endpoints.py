"""Endpoints for direct messages between users of the server (open-group-server §15)."""

from session_testnet.clock import Clock
from session_testnet.services.community.access import Caller, Stores, json_object, no_such, require_user
from session_testnet.services.community.inbox import Box
from session_testnet.services.community.paging import list_limit
from session_testnet.services.community.settings import ServerSettings
from session_testnet.services.community.users import User
from session_testnet.services.encoded_bytes import decode_base64
from session_testnet.services.exchange import (
    Handler,
    HttpError,
    Router,
    ServiceRequest,
    ServiceResponse,
    json_reply,
    text_reply,
)


class InboxEndpoints:
    """Answer inboxes and outboxes, which only users under blinded ids have."""

    def __init__(self, stores: Stores, clock: Clock, settings: ServerSettings) -> None:
        self._stores = stores
        self._clock = clock
        self._recipient_kind = "blinded_id_or_25" if settings.accept_blinded25 else "blinded_id"

    def add_to(self, router: Router[Caller]) -> None:
        """Add the routes."""
        for box in Box:
            path = f"/{box.name.lower()}"
            router.add("GET", path, self._list(box))
            router.add("GET", f"{path}/since/{{id:int}}", self._since(box))
        router.add("DELETE", "/inbox", self._empty)
        router.add("POST", f"/inbox/{{recipient:{self._recipient_kind}}}", self._send)

    def _list(self, box: Box) -> Handler[Caller]:
        def answer(request: ServiceRequest, caller: Caller) -> ServiceResponse:
            user = _blinded(caller)
            messages = self._stores.inbox.list(
                user, box, limit=list_limit(request), now_ms=self._clock.now_ms()
            )
            return json_reply([message.to_json() for message in messages])

        return answer

    def _since(self, box: Box) -> Handler[Caller]:
        def answer(request: ServiceRequest, caller: Caller) -> ServiceResponse:
            user, since = _blinded(caller), request.number("id")
            messages = self._stores.inbox.list(
                user, box, since=since, limit=list_limit(request), now_ms=self._clock.now_ms()
            )
            return (
                json_reply([message.to_json() for message in messages]) if messages else ServiceResponse(304)
            )

        return answer

    def _empty(self, _: ServiceRequest, caller: Caller) -> ServiceResponse:
        return json_reply(
            {"deleted": self._stores.inbox.empty(_blinded(caller), now_ms=self._clock.now_ms())}
        )

    def _send(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        sender = require_user(caller)
        encoded = json_object(request).get("message")
        body = decode_base64(encoded) if isinstance(encoded, str) else None
        if body is None:
            raise HttpError(400, "message is missing or not base64")
        recipient = self._stores.users.find(request.params["recipient"])
        if recipient is None or recipient.flags.banned:
            raise no_such("user", request.params["recipient"])
        message = self._stores.inbox.add(sender, recipient, body, now_ms=self._clock.now_ms())
        return json_reply(message.to_json(with_message=False), 201)


def _blinded(caller: Caller) -> User:
    user = require_user(caller)
    if user.session_id.startswith("05"):
        raise HttpError(401, response=text_reply("This endpoint requires blinded pubkeys be used", 401))
    return user
