"""Endpoints that read, post and edit messages (open-group-server §9)."""

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
    no_such,
    permission_denied,
    sentence,
)
from session_testnet.services.community.paging import Page
from session_testnet.services.community.permissions import Right
from session_testnet.services.community.posts import Draft, Post
from session_testnet.services.community.settings import ServerSettings
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

    def _since(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, page, seqno = self._access.read(request, caller), Page.of(request), request.number("seqno")
        posts = self._stores.posts.since(
            visit.room,
            seqno,
            visit.viewer,
            page.limit,
            with_reaction_changes=page.with_reaction_changes,
        )
        return json_reply(self._messages(posts, visit, page, known_up_to=seqno))

    def _recent(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, page = self._access.read(request, caller), Page.of(request)
        posts = self._stores.posts.recent(visit.room, visit.viewer, page.limit)
        return json_reply(self._messages(posts, visit, page))

    def _before(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, page = self._access.read(request, caller), Page.of(request)
        posts = self._stores.posts.before(visit.room, request.number("id"), visit.viewer, page.limit)
        return json_reply(self._messages(posts, visit, page))

    def _single(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, page = self._access.read(request, caller), Page.of(request)
        post = self._stores.posts.find(visit.room, request.number("id"), visit.viewer)
        if post is None:
            raise no_such("post", request.params["id"])
        return json_reply(self._messages([post], visit, page)[0])

    def _messages(
        self, posts: list[Post], visit: Visit, page: Page, *, known_up_to: int = 0
    ) -> list[dict[str, Any]]:
        """Return Message objects with their reactions.

        Of a message that is unchanged since ``known_up_to``, where only reactions are newer, it is the
        reactions alone.
        """
        reactions = self._stores.reactions.of(posts, visit.caller, page.reactors)
        return [
            post.to_json(reactions.get(post.id))
            if post.seqno_data > known_up_to
            else post.reactions_to_json(reactions.get(post.id))
            for post in posts
        ]

    def _post(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, author = self._access.act(request, caller, Right.WRITE)
        document = json_object(request)
        whisper_to, whisper_mods = _whisper(document)
        data, signature, files = _data(document), _signature(document), _file_ids(document)
        if (whisper_mods or whisper_to is not None) and not visit.standing.moderator:
            raise permission_denied()
        now_ms = self._clock.now_ms()
        limited = self._settings.rate_limit and not visit.standing.admin
        if limited and self._stores.posts.is_rate_limited(visit.room, author, now_ms=now_ms):
            raise sentence(429, "Rate limited")
        with self._stores.transaction():
            # Whoever is whispered to need not have come yet.
            target = None if whisper_to is None else self._stores.users.find_or_add(whisper_to, now_ms=now_ms)
            post = self._stores.posts.add(
                visit.room, author, Draft(data, signature, target, whisper_mods), now_ms=now_ms
            )
            self._stores.uploads.attach(post, files, now_ms=now_ms)
        return json_reply(post.to_json(), 201)

    def _edit(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, user = self._access.act(request, caller, Right.WRITE)
        document = json_object(request)
        data, signature, files = _data(document), _signature(document), _file_ids(document)
        post = self._stores.posts.find(visit.room, request.number("id"))
        if post is None:
            raise no_such("post", request.params["id"])
        if post.author_id != user.id:
            raise permission_denied()
        now_ms = self._clock.now_ms()
        with self._stores.transaction():
            self._stores.posts.edit(post, data, signature, now_ms=now_ms)
            self._stores.uploads.attach(post, files, now_ms=now_ms)
        return json_reply({})


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


def _whisper(document: dict[str, Any]) -> tuple[str | None, bool]:
    whisper_to, whisper_mods = document.get("whisper_to"), document.get("whisper_mods")
    if whisper_mods is not None and not isinstance(whisper_mods, bool):
        raise HttpError(400, "whisper_mods is not true or false")
    if whisper_to is not None and (not isinstance(whisper_to, str) or id_kind(whisper_to) is None):
        raise HttpError(400, "whisper_to is not an id")
    return whisper_to, bool(whisper_mods)


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
