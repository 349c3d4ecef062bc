"""The community server as a whole: its parts put together, and the way of a request through them."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from session_testnet.clock import Clock
from session_testnet.services.blobs import open_blobs
from session_testnet.services.community.access import Access, Caller, Stores
from session_testnet.services.community.administration import Administration
from session_testnet.services.community.authentication import Authenticator, NonceMemory
from session_testnet.services.community.batch import run_batch
from session_testnet.services.community.blinded_names import BlindedNames
from session_testnet.services.community.cleanup import CLEANUP_PERIOD_S, Cleanup, CleanupResult
from session_testnet.services.community.echo_endpoints import add_echo_endpoints
from session_testnet.services.community.file_endpoints import FileEndpoints
from session_testnet.services.community.fixture_control import CONTROL_PATH, FixtureControl
from session_testnet.services.community.inbox_endpoints import InboxEndpoints
from session_testnet.services.community.moderation_endpoints import ModerationEndpoints
from session_testnet.services.community.permission_endpoints import PermissionEndpoints
from session_testnet.services.community.permissions import Defaults
from session_testnet.services.community.pin_endpoints import PinEndpoints
from session_testnet.services.community.post_endpoints import PostEndpoints
from session_testnet.services.community.reaction_endpoints import ReactionEndpoints
from session_testnet.services.community.removal_endpoints import RemovalEndpoints
from session_testnet.services.community.roles import Role
from session_testnet.services.community.room_endpoints import RoomEndpoints
from session_testnet.services.community.schema import FORM
from session_testnet.services.community.seeding import Greeter
from session_testnet.services.community.settings import ATTACHED_MS, MAX_UPLOAD_BYTES, ServerSettings
from session_testnet.services.community.users import UserDirectory
from session_testnet.services.community.web import RoomPages
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
from session_testnet.services.sqlite_file import erase, open_database
from session_testnet.topology import RoomSpec
from session_testnet.trace import Trace

MAX_BATCH_DEPTH: Final = 8


class CommunityServer:
    """Serve rooms over HTTP, in batches and inside onion requests, all through the same handlers.

    ``seed`` is the server's 32-byte Ed25519 seed, or a pair of keys. ``directory`` None keeps all in
    memory; otherwise what it holds is kept, only rooms that are new in ``rooms`` are added, and ``roles``
    are given out when nothing is held yet. A room's messages are posted when the room is made. A
    ``control_token`` puts the server into test mode: whoever shows it sets everything up through the control
    endpoint, and endpoints that echo are there. For the other settings see :class:`ServerSettings`; those
    under ``settings`` may change while it runs.
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
        control_token: str | None = None,
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
        self.settings = ServerSettings(
            require_blinding, accept_blinded25, rate_limit, attached_file_ms, max_upload_bytes
        )
        users = UserDirectory(
            self._database, BlindedNames(self._database, self._keys.x25519_pk, self.settings)
        )
        blobs = open_blobs(directory / "uploads" if directory else None)
        self._stores = Stores(self._database, blobs, users, self.settings)
        self._access = Access(self._stores, clock)
        self.administration = Administration(self._stores, clock)
        self._batch_depth = 0
        nonces = NonceMemory(self._database)
        self._cleanup = Cleanup(self._stores, nonces, clock)
        self._authenticator = Authenticator(
            server_pk=self._keys.x25519_pk, clock=clock, users=users, nonces=nonces, settings=self.settings
        )
        self._onion = OnionEndpoint(self._keys, self._authenticate_and_dispatch, random_bytes)
        self._onion_v3 = OnionV3Endpoint(
            self._keys, self._authenticate_and_dispatch, endpoint_prefix="/legacy/", random_bytes=random_bytes
        )
        self._control = self._make_control(control_token) if control_token is not None else None
        self._router = self._make_router()
        try:
            self._furnish(rooms, roles)
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
        run_periodically(application, self._cleanup.run_periodically, CLEANUP_PERIOD_S, self._record_failure)
        return application

    def handle(self, request: ServiceRequest) -> ServiceResponse:
        """Answer one request that came straight over HTTP."""
        if self._control is not None and request.path == CONTROL_PATH:
            return self._control.answer(request)
        return self._authenticate_and_dispatch(request)

    def give_role(self, role: Role) -> None:
        """Make a user a moderator or an admin, in a room or everywhere; AdministrationError."""
        self.administration.change_role(role.session_id, role.room, role.change)

    def ban(self, session_id: str, *, banned: bool = True) -> None:
        """Ban a user from the whole server, or let it in again; AdministrationError for a moderator."""
        act = self.administration.ban if banned else self.administration.unban
        act(session_id)

    def cleanup(self) -> CleanupResult:
        """Count active users, carry out what is due, and forget what is old; return how much that was."""
        return self._cleanup.run()

    def reset(self) -> str:
        """Forget everything but the keys, count from 1 again, and set the settings that fixtures expect.

        Return the public key.
        """
        keys = self._stores.uploads.keys()
        erase(self._database)
        self._stores.uploads.drop_bodies(keys)
        self.settings.become_test_defaults()
        self._router = self._make_router()
        self._cleanup.skip_next()
        return self.public_key

    def close(self) -> None:
        """Close the database; safe to call twice."""
        self._database.close()

    def _make_router(self) -> Router[Caller]:
        """Make the routes; which ids those of a room take is settled by what is required now."""
        router: Router[Caller] = Router()
        stores, access, clock, settings = self._stores, self._access, self._clock, self.settings
        router.add("GET", "/capabilities", self._answer_capabilities)
        router.add("POST", "/batch", self._batch)
        router.add("POST", "/sequence", self._sequence)
        router.add("POST", ONION_PATH, lambda request, _: self._onion.answer(request))
        for path in ONION_V3_PATHS:
            router.add("POST", path, lambda request, _: self._onion_v3.answer(request))
        RoomEndpoints(stores, access, clock).add_to(router)
        PostEndpoints(stores, access, clock, settings).add_to(router)
        RemovalEndpoints(stores, access, clock, settings).add_to(router)
        ReactionEndpoints(stores, access, clock).add_to(router)
        PinEndpoints(stores, access, clock).add_to(router)
        InboxEndpoints(stores, clock, settings).add_to(router)
        FileEndpoints(stores, access, clock, settings).add_to(router)
        ModerationEndpoints(stores, access, clock).add_to(router, settings)
        PermissionEndpoints(stores, access, clock).add_to(router, settings)
        if self._control is not None:
            add_echo_endpoints(router)
        pages = RoomPages(lambda request: router.dispatch(request, None), self.join_url, self.public_key)
        router.otherwise(pages.answer)
        return router

    def _make_control(self, token: str) -> FixtureControl:
        return FixtureControl(
            token,
            stores=self._stores,
            access=self._access,
            administration=self.administration,
            cleanup=self._cleanup,
            settings=self.settings,
            clock=self._clock,
            reset=self.reset,
        )

    def _furnish(self, rooms: Sequence[RoomSpec], roles: Sequence[Role]) -> None:
        """Make the rooms that are not there yet, and give out roles where nothing has been before."""
        begins = self._stores.users.count() == 0 and not self.administration.rooms()
        greeter = Greeter(self._keys.x25519_sk, self._keys.x25519_pk, blinded=self.settings.require_blinding)
        now_ms = self._clock.now_ms()
        for spec in rooms:
            defaults = Defaults(
                spec.default_read, spec.default_accessible, spec.default_write, spec.default_upload
            )
            room = self.administration.create_room(spec.token, spec.name, spec.description, defaults)
            if room is not None and spec.messages:
                greeter.post(spec.messages, room, self._stores.posts, self._stores.users, now_ms=now_ms)
        for role in roles if begins else ():
            self.give_role(role)

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

    def _record_failure(self, error: Exception) -> None:
        """Let the trace show that the periodic cleanup did not get to its end."""
        self._trace.record("community_error", self.name, during="cleanup", error=repr(error))

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
        known = self._capabilities()
        wanted = (request.query_value("required") or "").split(",")
        missing = [name for name in dict.fromkeys(wanted) if name and name not in known]
        if missing:
            return json_reply({"capabilities": known, "missing": missing}, 412)
        return json_reply({"capabilities": known})

    def _capabilities(self) -> list[str]:
        known = {"sogs", "reactions"}
        if self.settings.require_blinding:
            known.add("blind")
        if self.settings.accept_blinded25:
            known.add("blind25")
        return sorted(known)

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
