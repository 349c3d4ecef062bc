"""Endpoints that read, post, edit and delete messages (open-group-server §9)."""

from typing import Any, Final

from session_protocol.accounts import id_kind
from session_testnet.clock import Clock
from session_testnet.services.community.access import (
    Access,
    Caller,
    Stores,
    Visit,
    invalid_data,
    json_object,
    list_limit,
    no_such,
    permission_denied,
    require_user,
    sentence,
)
from session_testnet.services.community.permissions import Right
from session_testnet.services.community.posts import Draft, Post
from session_testnet.services.community.settings import ServerSettings
from session_testnet.services.community.users import User
from session_testnet.services.encoded_bytes import decode_base64
from session_testnet.services.exchange import (
    HttpError,
    Router,
    ServiceRequest,
    ServiceResponse,
    json_reply,
)

_SIGNATURE_BYTES: Final = 64
_MAX_ID: Final = 2**63 - 1


class PostEndpoints:
    """Answer everything about messages."""

    def __init__(self, stores: Stores, access: Access, clock: Clock, settings: ServerSettings) -> None:
        self._stores = stores
        self._access = access
        self._clock = clock
        self._settings = settings

    def add_to(self, router: Router[Caller]) -> None:
        """Add the routes."""
        router.add("GET", "/room/{token:room}/messages/since/{seqno:int}", self._since)
        router.add("GET", "/room/{token:room}/messages/recent", self._recent)
        router.add("GET", "/room/{token:room}/messages/before/{id:int}", self._before)
        router.add("GET", "/room/{token:room}/message/{id:int}", self._single)
        router.add("POST", "/room/{token:room}/message", self._post)
        router.add("PUT", "/room/{token:room}/message/{id:int}", self._edit)
        router.add("DELETE", "/room/{token:room}/message/{id:int}", self._delete)

    def _since(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, limit = self._access.read(request, caller), list_limit(request)
        return _messages(self._stores.posts.since(visit.room, request.number("seqno"), visit.viewer, limit))

    def _recent(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, limit = self._access.read(request, caller), list_limit(request)
        return _messages(self._stores.posts.recent(visit.room, visit.viewer, limit))

    def _before(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, limit = self._access.read(request, caller), list_limit(request)
        return _messages(self._stores.posts.before(visit.room, request.number("id"), visit.viewer, limit))

    def _single(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        list_limit(request)
        visit = self._access.read(request, caller)
        post = self._stores.posts.find(visit.room, request.number("id"), visit.viewer)
        if post is None:
            raise no_such("post", request.params["id"])
        return json_reply(post.to_json())

    def _post(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, author = self._access.act(request, caller, Right.WRITE)
        document = json_object(request)
        draft = self._draft(document)
        files = _file_ids(document)
        if draft.is_whisper and not visit.standing.moderator:
            raise permission_denied()
        now_ms = self._clock.now_ms()
        limited = self._settings.rate_limit and not visit.standing.admin
        if limited and self._stores.posts.is_rate_limited(visit.room, author, now_ms=now_ms):
            raise sentence(429, "Rate limited")
        post = self._stores.posts.add(visit.room, author, draft, now_ms=now_ms)
        self._stores.uploads.attach(post, files, now_ms=now_ms)
        return json_reply(post.to_json(), 201)

    def _edit(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, user = self._access.act(request, caller, Right.WRITE)
        document = json_object(request)
        data, signature, files = _data(document), _signature(document), _file_ids(document)
        post = self._own_or_refuse(request, visit, user)
        now_ms = self._clock.now_ms()
        self._stores.posts.edit(post, data, signature, now_ms=now_ms)
        self._stores.uploads.attach(post, files, now_ms=now_ms)
        return json_reply({})

    def _delete(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.enter(request, caller)
        user = require_user(caller)
        # Moderators have every right; whoever has lost the right to write is refused before anything is
        # looked up.
        if not visit.standing.may(Right.WRITE):
            raise permission_denied()
        if visit.standing.moderator:
            post = self._existing(request, visit)
        else:
            post = self._own_or_refuse(request, visit, user)
        self._stores.posts.delete(post, now_ms=self._clock.now_ms())
        return json_reply({})

    def _existing(self, request: ServiceRequest, visit: Visit) -> Post:
        post = self._stores.posts.find(visit.room, request.number("id"))
        if post is None:
            raise no_such("post", request.params["id"])
        return post

    def _own_or_refuse(self, request: ServiceRequest, visit: Visit, user: User) -> Post:
        post = self._existing(request, visit)
        if post.author_id != user.id:
            raise permission_denied()
        return post

    def _draft(self, document: dict[str, Any]) -> Draft:
        data, signature = _data(document), _signature(document)
        whisper_to, whisper_mods = document.get("whisper_to"), document.get("whisper_mods", False)
        if not isinstance(whisper_mods, bool):
            raise HttpError(400, "whisper_mods is not true or false")
        target = None
        if whisper_to is not None:
            if not isinstance(whisper_to, str) or id_kind(whisper_to) is None:
                raise HttpError(400, "whisper_to is not an id")
            target = self._stores.users.find_or_add(whisper_to, now_ms=self._clock.now_ms())
        return Draft(data, signature, target, whisper_mods)


def _messages(posts: list[Post]) -> ServiceResponse:
    return json_reply([post.to_json() for post in posts])


def _data(document: dict[str, Any]) -> bytes:
    encoded = document.get("data")
    data = decode_base64(encoded) if isinstance(encoded, str) else None
    if data is None:
        raise HttpError(400, "data is missing or not base64")
    return data


def _signature(document: dict[str, Any]) -> bytes:
    encoded = document.get("signature")
    signature = decode_base64(encoded) if isinstance(encoded, str) else None
    if signature is None:
        raise HttpError(400, "signature is missing or not base64")
    if len(signature) != _SIGNATURE_BYTES:
        raise invalid_data()
    return signature


def _file_ids(document: dict[str, Any]) -> list[int]:
    """Return the ids under ``files``: integers or decimal strings; HttpError 400 for anything else."""
    files = document.get("files") or []
    if not isinstance(files, list):
        raise HttpError(400, "files is not a list")
    ids: list[int] = []
    for item in files:
        is_number = isinstance(item, int) and not isinstance(item, bool)
        is_text = isinstance(item, str) and item.isascii() and item.isdigit() and len(item) < 20
        if not is_number and not is_text:
            raise HttpError(400, "files holds something that is not a file id")
        # A number that no file can have is ignored like any other unknown one.
        if 0 <= int(item) <= _MAX_ID:
            ids.append(int(item))
    return ids
