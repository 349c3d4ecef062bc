"""What the endpoints of the community server share: the stores, and the checks of who may do what."""

import sqlite3
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from session_testnet.clock import Clock
from session_testnet.services.blobs import BlobStore
from session_testnet.services.community.bans import BanBook
from session_testnet.services.community.inbox import Inbox
from session_testnet.services.community.overrides import OverrideBook
from session_testnet.services.community.permissions import Right, Standing, standing
from session_testnet.services.community.pins import PinBook
from session_testnet.services.community.posts import PostBook, Viewer
from session_testnet.services.community.reactions import ReactionBook
from session_testnet.services.community.removal import Remover
from session_testnet.services.community.roles import RoleBook
from session_testnet.services.community.rooms import Room, RoomDirectory
from session_testnet.services.community.settings import ServerSettings
from session_testnet.services.community.uploads import UploadStore
from session_testnet.services.community.users import User, UserDirectory
from session_testnet.services.exchange import (
    HTML_TYPE,
    HttpError,
    ServiceRequest,
    ServiceResponse,
    error_page,
    text_reply,
)
from session_testnet.services.sqlite_file import transaction

Caller = User | None
"""Who signed a request; None for an anonymous one."""


class Stores:
    """Everything that a community server keeps, over one database."""

    def __init__(
        self,
        database: sqlite3.Connection,
        blobs: BlobStore,
        users: UserDirectory,
        settings: ServerSettings,
    ) -> None:
        self.database = database
        self.users = users
        self.overrides = OverrideBook(database)
        self.roles = RoleBook(database)
        self.bans = BanBook(database)
        self.rooms = RoomDirectory(database)
        self.posts = PostBook(database)
        self.reactions = ReactionBook(database)
        self.uploads = UploadStore(database, blobs, settings)
        self.pins = PinBook(database, self.uploads)
        self.remover = Remover(database, self.posts, self.reactions, self.pins, self.uploads)
        self.inbox = Inbox(database)

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Change several of them completely or not at all."""
        return transaction(self.database)


@dataclass(frozen=True, slots=True)
class Visit:
    """A caller in a room."""

    room: Room
    caller: Caller
    standing: Standing

    @property
    def viewer(self) -> Viewer:
        """Return whose eyes lists are for."""
        return Viewer(self.caller, self.standing.moderator)


class Access:
    """Check who may do what (open-group-server §§5.4, 7)."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock

    def enter(self, request: ServiceRequest, caller: Caller) -> Visit:
        """Return the caller in the room that the path names; HttpError 404 when there is no such room."""
        room = self._stores.rooms.find(request.params["token"])
        if room is None:
            raise HttpError(404)
        return self.visit(room, caller)

    def visit(self, room: Room, caller: Caller) -> Visit:
        """Return a caller in a room."""
        override = self._stores.overrides.find(room.id, caller)
        return Visit(room, caller, standing(room.defaults, caller.flags if caller else None, override))

    def read(self, request: ServiceRequest, caller: Caller) -> Visit:
        """Enter a room to read in it; HttpError 403 without the right to."""
        visit = self.enter(request, caller)
        if not visit.standing.may(Right.READ):
            raise HttpError(
                403, response=text_reply("This endpoint requires room message 'read' permission", 403)
            )
        if caller is not None:
            self._stores.rooms.visited(visit.room, caller.id, now_ms=self._clock.now_ms())
        return visit

    def moderate(self, request: ServiceRequest, caller: Caller) -> Visit:
        """Enter a room to moderate it; HttpError 403 for anybody else."""
        visit = self.enter(request, caller)
        if not visit.standing.moderator:
            raise HttpError(
                403, response=text_reply("This endpoint requires moderator room permissions", 403)
            )
        return visit

    def administer(self, request: ServiceRequest, caller: Caller) -> Visit:
        """Enter a room as one of its admins; HttpError 403 for anybody else."""
        visit = self.enter(request, caller)
        if not visit.standing.admin:
            raise HttpError(403, response=text_reply("This endpoint requires admin room permissions", 403))
        return visit

    def act(self, request: ServiceRequest, caller: Caller, *rights: Right) -> tuple[Visit, User]:
        """Enter a room to do something; HttpError 401 when anonymous, 403 without all of the rights."""
        visit = self.enter(request, caller)
        user = require_user(caller)
        if not visit.standing.may(*rights):
            raise permission_denied()
        return visit, user


def require_user(caller: Caller) -> User:
    """Return the caller; HttpError 401 when it is anonymous."""
    if caller is None:
        raise HttpError(401, response=text_reply("X-SOGS-* request authentication required", 401))
    return caller


def permission_denied() -> HttpError:
    """Make the refusal of what a caller may not do."""
    return sentence(403, "Permission denied")


def no_such(kind: str, value: object) -> HttpError:
    """Make the refusal of what does not exist."""
    return sentence(404, f"No such {kind}: {value}")


def invalid_data() -> HttpError:
    """Make the refusal of data that no message can have: 400 with an empty body (open-group-server §2)."""
    return HttpError(400, response=ServiceResponse(400, {"content-type": HTML_TYPE}))


def sentence(status: int, text: str) -> HttpError:
    """Make a refusal that says one sentence, labelled as HTML as the reference does."""
    page = error_page(status)
    return HttpError(status, response=ServiceResponse(status, page.headers, text.encode()))


def json_object(request: ServiceRequest) -> dict[str, Any]:
    """Return the JSON object that a request carries; HttpError 400 for any other body."""
    document = request.json()
    if not isinstance(document, dict):
        raise HttpError(400, "the body is not a JSON object")
    return document
