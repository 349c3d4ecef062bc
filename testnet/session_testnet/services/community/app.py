"""The community server as a whole: its parts put together, and the way of a request through them."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from session_protocol.community import blind15_ids
from session_testnet.clock import Clock
from session_testnet.services.blobs import open_blobs
from session_testnet.services.community.access import Access, Caller, Stores
from session_testnet.services.community.authentication import Authenticator, NonceMemory
from session_testnet.services.community.batch import run_batch
from session_testnet.services.community.file_endpoints import FileEndpoints
from session_testnet.services.community.inbox_endpoints import InboxEndpoints
from session_testnet.services.community.pin_endpoints import PinEndpoints
from session_testnet.services.community.post_endpoints import PostEndpoints
from session_testnet.services.community.reaction_endpoints import ReactionEndpoints
from session_testnet.services.community.removal_endpoints import RemovalEndpoints
from session_testnet.services.community.room_endpoints import RoomEndpoints
from session_testnet.services.community.rooms import RoomSpec
from session_testnet.services.community.schema import FORM
from session_testnet.services.community.seeding import Greeter
from session_testnet.services.community.settings import ATTACHED_MS, MAX_UPLOAD_BYTES, ServerSettings
from session_testnet.services.community.users import Role, UserDirectory, without_sign_bit
from session_testnet.services.exchange import (
    HttpError,
    Router,
    ServiceRequest,
    ServiceResponse,
    error_page,
    json_reply,
    run_periodically,
    serve_exchanges,
    without_form_body,
)
from session_testnet.services.onion_v3 import ONION_V3_PATHS, OnionV3Endpoint
from session_testnet.services.onion_v4 import MAX_ONION_BYTES, ONION_PATH, OnionEndpoint, ServerKeys
from session_testnet.services.sqlite_file import open_database
from session_testnet.trace import Trace

CLEANUP_PERIOD_S: Final = 10.0
MAX_BATCH_DEPTH: Final = 8


class CommunityServer:
    """Serve rooms over HTTP, in batches and inside onion requests, all through the same handlers.

    ``seed`` is the server's 32-byte Ed25519 seed, or a pair of keys. ``directory`` None keeps all in
    memory; otherwise what it holds is kept, and only rooms that are new in ``rooms`` are added. A room's
    ``messages``, where its specification has any, are posted when the room is made. ``accept_blinded25``
    lets the second version of blinded ids in, which no client sends (open-group-server §23). For
    the other settings see :class:`ServerSettings`; those under ``settings`` may change while it runs.
    """

    def __init__(
        self,
        seed: bytes | ServerKeys,
        *,
        clock: Clock,
        trace: Trace,
        name: str = "community",
        directory: Path | None = None,
        rooms: Sequence[RoomSpec] = (),
        roles: Sequence[Role] = (),
        require_blinding: bool = True,
        accept_blinded25: bool = False,
        rate_limit: bool = True,
        attached_file_ms: int | None = ATTACHED_MS,
        max_upload_bytes: int = MAX_UPLOAD_BYTES,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Open the database; DatabaseRefused for a foreign or damaged one, ValueError for an unknown room."""
        self.name = name
        self._keys = seed if isinstance(seed, ServerKeys) else ServerKeys.from_seed(seed)
        self._clock = clock
        self._trace = trace
        self._database = open_database(directory / "community.sqlite" if directory else None, FORM)
        users = UserDirectory(self._database, self._positive_blinded_id if require_blinding else None)
        blobs = open_blobs(directory / "uploads" if directory else None)
        self.settings = ServerSettings(
            require_blinding, accept_blinded25, rate_limit, attached_file_ms, max_upload_bytes
        )
        self._stores = Stores(self._database, blobs, users, self.settings)
        self._batch_depth = 0
        self._nonces = NonceMemory(self._database)
        self._capabilities = sorted({"sogs", "reactions"} | ({"blind"} if require_blinding else set()))
        self._authenticator = Authenticator(
            server_pk=self._keys.x25519_pk,
            clock=clock,
            users=users,
            nonces=self._nonces,
            require_blinding=require_blinding,
            accept_blinded25=accept_blinded25,
        )
        self._onion = OnionEndpoint(self._keys, self._authenticate_and_dispatch, random_bytes)
        self._onion_v3 = OnionV3Endpoint(
            self._keys, self._authenticate_and_dispatch, endpoint_prefix="/legacy/", random_bytes=random_bytes
        )
        self._router = self._make_router()
        greeter = Greeter(self._keys.x25519_sk, self._keys.x25519_pk, blinded=require_blinding)
        try:
            self._add_rooms(rooms, greeter)
            for role in roles:
                self.give_role(role)
        except BaseException:
            self.close()
            raise

    @property
    def public_key(self) -> str:
        """Return the X25519 key of the join URLs, as 64 hex digits."""
        return self._keys.x25519_pk.hex()

    @property
    def ed25519_pk(self) -> str:
        """Return the Ed25519 key that the other one was converted from, in hex; "" when there is none."""
        return (self._keys.ed25519_pk or b"").hex()

    def join_url(self, base: str, token: str) -> str:
        """Return what people share to join a room (open-group-server §19); ``base`` is ``http://host:port``."""
        return f"{base.rstrip('/')}/{token}?public_key={self.public_key}"

    def application(self) -> web.Application:
        """Return an aiohttp application that serves everything and cleans up periodically."""
        application = serve_exchanges(
            self.handle,
            max_body=lambda _: max(MAX_ONION_BYTES, self.settings.max_upload_bytes),
            too_large=error_page(413),
        )
        run_periodically(application, self.cleanup, CLEANUP_PERIOD_S)
        return application

    def handle(self, request: ServiceRequest) -> ServiceResponse:
        """Answer one request that came straight over HTTP."""
        return self._authenticate_and_dispatch(request)

    def give_role(self, role: Role) -> None:
        """Make a user a moderator or an admin, in a room or everywhere; ValueError for an unknown room."""
        room = None if role.room is None else self._stores.rooms.find(role.room)
        if role.room is not None and room is None:
            known = ", ".join(room.token for room in self._stores.rooms.all())
            raise ValueError(f"there is no room {role.room!r} to moderate; rooms: {known or 'none'}")
        self._stores.users.give_role(role, room.id if room else None, now_ms=self._clock.now_ms())

    def ban(self, session_id: str, *, banned: bool = True) -> None:
        """Ban a user from the whole server, or let it in again; ValueError for one of its moderators."""
        self._stores.users.set_banned(session_id, banned, now_ms=self._clock.now_ms())

    def cleanup(self) -> None:
        """Count active users; forget nonces, files, replaced messages and direct messages in their time."""
        now_ms = self._clock.now_ms()
        self._stores.rooms.refresh_activity(now_ms=now_ms)
        self._nonces.purge(now_ms=now_ms)
        self._stores.uploads.purge(now_ms=now_ms)
        self._stores.posts.forget_history(now_ms=now_ms)
        self._stores.inbox.purge(now_ms=now_ms)

    def close(self) -> None:
        """Close the database; safe to call twice."""
        self._database.close()

    def _make_router(self) -> Router[Caller]:
        router: Router[Caller] = Router()
        access = Access(self._stores, self._clock)
        router.add("GET", "/capabilities", self._answer_capabilities)
        router.add("POST", "/batch", self._batch)
        router.add("POST", "/sequence", self._sequence)
        router.add("POST", ONION_PATH, lambda request, _: self._onion.answer(request))
        for path in ONION_V3_PATHS:
            router.add("POST", path, lambda request, _: self._onion_v3.answer(request))
        RoomEndpoints(self._stores, access).add_to(router)
        PostEndpoints(self._stores, access, self._clock, self.settings).add_to(router)
        RemovalEndpoints(self._stores, access, self._clock, self.settings).add_to(router)
        ReactionEndpoints(self._stores, access, self._clock).add_to(router)
        PinEndpoints(self._stores, access, self._clock).add_to(router)
        InboxEndpoints(self._stores, self._clock, self.settings).add_to(router)
        FileEndpoints(self._stores, access, self._clock, self.settings).add_to(router)
        return router

    def _add_rooms(self, rooms: Sequence[RoomSpec], greeter: Greeter) -> None:
        now_ms = self._clock.now_ms()
        for spec in rooms:
            if self._stores.rooms.add(spec, now_ms=now_ms):
                room = self._stores.rooms.find(spec.token)
                assert room is not None, "the room has just been made"
                texts: Sequence[str] = getattr(spec, "messages", ())
                if texts:
                    greeter.post(texts, room, self._stores.posts, self._stores.users, now_ms=now_ms)

    def _positive_blinded_id(self, account_id: str) -> str:
        return without_sign_bit(blind15_ids(account_id, self._keys.x25519_pk)[0])

    def _authenticate_and_dispatch(self, request: ServiceRequest) -> ServiceResponse:
        # Authentication comes first for every path, also for those that need none (open-group-server §5.3).
        request = without_form_body(request)
        try:
            caller = self._authenticator.authenticate(request)
        except HttpError as error:
            self._record(request, error.response, None)
            return error.response
        return self._dispatch(request, caller)

    def _dispatch(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        try:
            response = self._router.dispatch(request, caller)
        except Exception as error:  # noqa: BLE001 - a defect fails its request alone; the trace shows it
            self._trace.record("community_error", self.name, path=request.path, error=repr(error))
            response = error_page(500)
        self._record(request, response, caller)
        return response

    def _record(self, request: ServiceRequest, response: ServiceResponse, caller: Caller) -> None:
        self._trace.record(
            "community_request",
            self.name,
            method=request.method,
            path=request.path,
            status=response.status,
            user=caller.session_id if caller else None,
        )

    def _answer_capabilities(self, request: ServiceRequest, _: Caller) -> ServiceResponse:
        wanted = (request.query_value("required") or "").split(",")
        missing = [name for name in dict.fromkeys(wanted) if name and name not in self._capabilities]
        if missing:
            return json_reply({"capabilities": self._capabilities, "missing": missing}, 412)
        return json_reply({"capabilities": self._capabilities})

    def _batch(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        return self._run(request, caller, stop_at_failure=False)

    def _sequence(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        return self._run(request, caller, stop_at_failure=True)

    def _run(self, request: ServiceRequest, caller: Caller, *, stop_at_failure: bool) -> ServiceResponse:
        def dispatch(element: ServiceRequest) -> ServiceResponse:
            return self._dispatch(without_form_body(element), caller)

        if self._batch_depth == MAX_BATCH_DEPTH:
            raise HttpError(400, f"batches are nested more than {MAX_BATCH_DEPTH} deep")
        self._batch_depth += 1
        try:
            return run_batch(request, dispatch, stop_at_failure=stop_at_failure)
        finally:
            self._batch_depth -= 1
