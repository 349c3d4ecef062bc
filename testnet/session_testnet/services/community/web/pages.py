"""The pages of a community server, and what they fetch while they are open (open-group-server §19)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from session_testnet.services.community.access import Caller
from session_testnet.services.community.web.stranger import Json, Refused, Stranger
from session_testnet.services.exchange import (
    HttpError,
    Router,
    ServiceRequest,
    ServiceResponse,
    json_reply,
)

PAGE_MESSAGES: Final = 50
UPDATE_MESSAGES: Final = 100

# A host as a Host header may name it; the join URL repeats it.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RoomView:
    """What a page shows of a room, besides its messages."""

    token: str
    name: str
    description: str
    active_users: int
    image: str
    join_url: str
    is_readable: bool


class RoomPages:
    """Answer browsers.

    ``ask`` puts an anonymous request to the server's JSON interface, ``join_url`` makes the join URL of a
    base URL and a token, ``public_key`` is the key in it.
    """

    def __init__(
        self,
        ask: Callable[[ServiceRequest], ServiceResponse],
        join_url: Callable[[str, str], str],
        public_key: str,
    ) -> None:
        self._stranger = Stranger(ask)
        self._join_url = join_url
        self._public_key = public_key
        self._router = self._make_router()

    def answer(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        """Answer for a path that the JSON interface does not have; HttpError 404 unless it is a GET."""
        if request.method not in ("GET", "HEAD"):
            raise HttpError(404)
        return self._router.dispatch(request, caller)

    def _make_router(self) -> Router[Caller]:
        router: Router[Caller] = Router()
        for template, show in (
            ("/", self._index),
            ("/r/{token:room}/", self._room),
            ("/r/{token:room}/updates", self._updates),
            ("/r/{token:room}/invite.png", self._invite),
            ("/r/{token:room}/image", self._image),
            ("/{token:room}", self._joined),
        ):
            router.add("GET", template, _for_browsers(show))
        router.add("GET", "/r/{token:room}", _to_page)
        return router

    def _index(self, request: ServiceRequest) -> ServiceResponse:
        from session_testnet.services.community.web.rendering import page

        rooms = [self._view(request, room) for room in self._stranger.rooms()]
        return page("index.html.j2", rooms=rooms, base=_base(request))

    def _joined(self, request: ServiceRequest) -> ServiceResponse:
        """Show the page behind a join URL, and say so when its key is another server's."""
        key = request.query_value("public_key")
        if key is not None:
            return self._show(request, is_other_key=key.lower() != self._public_key)
        try:
            return self._show(request, is_other_key=False)
        except Refused:
            # Without a key it is any path: a client that tries one out gets the plain answer.
            raise HttpError(404) from None

    def _room(self, request: ServiceRequest) -> ServiceResponse:
        return self._show(request, is_other_key=False)

    def _show(self, request: ServiceRequest, *, is_other_key: bool) -> ServiceResponse:
        from session_testnet.services.community.web.invitation import invitation_svg
        from session_testnet.services.community.web.messages import Conversation
        from session_testnet.services.community.web.rendering import page

        token = request.params["token"]
        before = _number(request, "before")
        try:
            # One more than is shown tells whether there are older ones.
            if before is None:
                listed = self._stranger.recent(token, PAGE_MESSAGES + 1)
            else:
                listed = self._stranger.before(token, before, PAGE_MESSAGES + 1)
        except Refused as refused:
            return self._refuse(request, refused)
        room = self._stranger.room(token)
        shown = listed[:PAGE_MESSAGES]
        conversation = Conversation(room, listed)
        view = self._view(request, room)
        return page(
            "room.html.j2",
            room=view,
            qr_code=invitation_svg(view.join_url),
            messages=[conversation.view(message) for message in shown],
            older_than=shown[-1]["id"] if len(listed) > PAGE_MESSAGES else None,
            is_newest=before is None,
            is_other_key=is_other_key,
            seqno=room["message_sequence"],
            info_updates=room["info_updates"],
        )

    def _refuse(self, request: ServiceRequest, refused: Refused) -> ServiceResponse:
        """Show how to join a room that strangers may know of, but not read; Refused for any other."""
        from session_testnet.services.community.web.invitation import invitation_svg
        from session_testnet.services.community.web.rendering import page

        try:
            view = self._view(request, self._stranger.room(request.params["token"]))
        except Refused:
            raise refused from None
        return page("closed.html.j2", refused.status, room=view, qr_code=invitation_svg(view.join_url))

    def _updates(self, request: ServiceRequest) -> ServiceResponse:
        """Tell an open page what changed since a seqno, as pieces of that page."""
        from session_testnet.services.community.web.messages import Conversation
        from session_testnet.services.community.web.rendering import SAFE_HEADERS, fragment

        token, since = request.params["token"], _number(request, "since")
        if since is None:
            raise HttpError(400, "since is missing")
        rows = self._stranger.since(token, since, UPDATE_MESSAGES)
        room = self._stranger.room(token)
        written = [row for row in rows if not row.get("deleted")]
        conversation = Conversation(
            room, [*self._stranger.recent(token, PAGE_MESSAGES), *written] if written else ()
        )
        messages = [
            {"id": row["id"], "deleted": True}
            if row.get("deleted")
            else {"id": row["id"], "html": fragment("message.html.j2", message=conversation.view(row))}
            for row in rows
        ]
        is_full = len(rows) == UPDATE_MESSAGES
        answer: Json = {
            "seqno": rows[-1]["seqno"] if is_full else room["message_sequence"],
            "info_updates": room["info_updates"],
            "more": is_full,
            "messages": messages,
        }
        if room["info_updates"] != _number(request, "info"):
            answer["heading"] = fragment("heading.html.j2", room=self._view(request, room))
        reply = json_reply(answer)
        return ServiceResponse(200, {**reply.headers, **SAFE_HEADERS}, reply.body)

    def _invite(self, request: ServiceRequest) -> ServiceResponse:
        from session_testnet.services.community.web.invitation import invitation_png

        room = self._stranger.room(request.params["token"])
        return _picture(invitation_png(self._join_url(_base(request), room["token"])), "image/png")

    def _image(self, request: ServiceRequest) -> ServiceResponse:
        from session_testnet.services.community.web.pictures import picture_type

        token = request.params["token"]
        file_id = self._stranger.room(token).get("image_id")
        if file_id is None:
            raise Refused(404)
        body = self._stranger.file(token, file_id)
        media_type = picture_type(body)
        if media_type is None:
            raise Refused(404)
        return _picture(body, media_type)

    def _view(self, request: ServiceRequest, room: Json) -> RoomView:
        from session_testnet.services.community.web.user_text import visible_line, visible_text

        token = room["token"]
        return RoomView(
            token=token,
            name=visible_line(room["name"]) or token,
            description=visible_text(room.get("description", ""), 2000),
            active_users=room["active_users"],
            image=self._image_path(room),
            join_url=self._join_url(_base(request), token),
            is_readable=room["read"],
        )

    def _image_path(self, room: Json) -> str:
        """Return where a room's picture is; empty when it has none that a browser may show to a stranger."""
        from session_testnet.services.community.web.pictures import picture_type

        file_id = room.get("image_id")
        if file_id is None:
            return ""
        try:
            body = self._stranger.file(room["token"], file_id)
        except Refused:
            return ""
        # The number lets browsers fetch it anew after a change.
        return f"/r/{room['token']}/image?{file_id}" if picture_type(body) else ""


def _for_browsers(
    answer: Callable[[ServiceRequest], ServiceResponse],
) -> Callable[[ServiceRequest, Caller], Any]:
    """Answer whoever asks as a stranger, and refusals with a page that a person understands."""

    def handle(request: ServiceRequest, _: Caller) -> ServiceResponse:
        from session_testnet.services.community.web.rendering import page

        try:
            return answer(request)
        except Refused as refused:
            return page("refusal.html.j2", refused.status, code=refused.status)

    return handle


def _to_page(request: ServiceRequest, _: Caller) -> ServiceResponse:
    return ServiceResponse(308, {"location": f"/r/{request.params['token']}/"})


def _picture(body: bytes, media_type: str) -> ServiceResponse:
    from session_testnet.services.community.web.rendering import SAFE_HEADERS

    policy = {"content-security-policy": "default-src 'none'; sandbox"}
    return ServiceResponse(200, {"content-type": media_type, **policy, **SAFE_HEADERS}, body)


def _base(request: ServiceRequest) -> str:
    """Return the base URL by which the browser reached this server; HttpError 400 when it does not say so."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise HttpError(400, "the Host header is missing or names no host")
    return f"http://{host}"


def _number(request: ServiceRequest, name: str) -> int | None:
    """Return a number in the query, None when it is missing; HttpError 400 for anything else."""
    value = request.query_value(name)
    if value is None:
        return None
    if not _NUMBER.fullmatch(value):
        raise HttpError(400, f"{name} is not a number")
    return int(value)
