"""The control endpoint for fixtures: how tests set a server up that runs in test mode.

Not part of Session. Its operations, arguments and results are described in docs/testnet.md.
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from session_testnet.clock import Clock
from session_testnet.services.community.access import Access, Stores
from session_testnet.services.community.administration import Administration, AdministrationError
from session_testnet.services.community.cleanup import Cleanup
from session_testnet.services.community.permissions import Right
from session_testnet.services.community.roles import RoleChange
from session_testnet.services.community.rooms import Room
from session_testnet.services.community.settings import ServerSettings
from session_testnet.services.exchange import ServiceRequest, ServiceResponse, error_page, json_reply

CONTROL_PATH: Final = "/_control"

Arguments = Mapping[str, Any]
_MAX_SECONDS: Final = 10**12


class _BadArgument(Exception):
    """Refuse an operation: the sentence says why."""


class FixtureControl:
    """Answer ``POST /_control`` for whoever shows the token."""

    def __init__(
        self,
        token: str,
        *,
        stores: Stores,
        access: Access,
        administration: Administration,
        cleanup: Cleanup,
        settings: ServerSettings,
        clock: Clock,
        reset: Callable[[], str],
    ) -> None:
        """``reset`` empties the server and returns its public key."""
        self._token = token
        self._stores = stores
        self._access = access
        self._administration = administration
        self._cleanup = cleanup
        self._settings = settings
        self._clock = clock
        self._wipe = reset
        self.operations: Mapping[str, Callable[[Arguments], Any]] = {
            "reset": self._reset,
            "config": self._config,
            "room_create": self._room_create,
            "room_get": self._room_get,
            "room_set": self._room_set,
            "room_list": self._room_list,
            "room_delete": self._room_delete,
            "user": self._user,
            "role": self._role,
            "ban": self._ban,
            "check": self._check,
            "file": self._file,
            "cleanup": self._clean_up,
            "count": self._count,
        }

    def answer(self, request: ServiceRequest) -> ServiceResponse:
        """Carry out one operation; 400 for an unknown one or a bad argument, 401 for a wrong token."""
        if request.method != "POST":
            page = error_page(405)
            return ServiceResponse(405, {**page.headers, "allow": "OPTIONS, POST"}, page.body)
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(shown.encode(), self._token.encode()):
            return json_reply({"error": "the control token is missing or wrong"}, 401)
        try:
            return json_reply(self._carry_out(request.body))
        except (_BadArgument, AdministrationError) as error:
            return json_reply({"error": str(error)}, 400)

    def _carry_out(self, body: bytes) -> Any:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise _BadArgument('the body is not JSON such as {"op": "room_list"}') from None
        name = document.get("op") if isinstance(document, dict) else None
        operation = self.operations.get(name) if isinstance(name, str) else None
        if operation is None:
            raise _BadArgument(f"there is no operation {name!r:.60}; there are: {', '.join(self.operations)}")
        return operation(document)

    def _reset(self, _: Arguments) -> Any:
        return {"server_pubkey": self._wipe()}

    def _config(self, arguments: Arguments) -> None:
        key = _text(arguments, "key")
        if key == "REQUIRE_BLIND_KEYS":
            self._settings.require_blinding = _flag(arguments, "value")
        elif key == "rate_limit":
            self._settings.rate_limit = _flag(arguments, "value")
        elif key == "UPLOAD_DEFAULT_EXPIRY":
            seconds = _seconds(arguments, "value")
            self._settings.attached_file_ms = None if seconds is None else round(seconds * 1000)
        elif key == "reinit":
            self._stores.users.wait_for_blinded()
        else:
            raise _BadArgument(
                f"there is no setting {key!r:.60}; there are: REQUIRE_BLIND_KEYS, UPLOAD_DEFAULT_EXPIRY,"
                " rate_limit, reinit"
            )

    def _room_create(self, arguments: Arguments) -> Any:
        token, description = _text(arguments, "token"), _text_or_none(arguments, "description")
        name = _text_or_none(arguments, "name")
        room = self._administration.create_room(token, token if name is None else name, description)
        return None if room is None else _described(room)

    def _room_get(self, arguments: Arguments) -> Any:
        room = self._stores.rooms.find(_text(arguments, "token"))
        return None if room is None else _described(room)

    def _room_set(self, arguments: Arguments) -> None:
        if "value" not in arguments:
            raise _BadArgument("value is missing")
        token, field = _text(arguments, "token"), _text(arguments, "field")
        self._administration.set_room(token, field, arguments["value"])

    def _room_list(self, _: Arguments) -> Any:
        return [room.token for room in self._administration.rooms()]

    def _room_delete(self, arguments: Arguments) -> None:
        self._administration.delete_room(_text(arguments, "token"))

    def _user(self, arguments: Arguments) -> Any:
        session_id = self._administration.check_id(_text(arguments, "session_id"))
        user = self._stores.users.seen(session_id, now_ms=self._clock.now_ms())
        flags = user.flags
        return {
            "id": user.id,
            "session_id": user.session_id,
            "banned": flags.banned,
            "moderator": flags.moderator,
            "admin": flags.admin,
            "visible_mod": flags.visible,
        }

    def _role(self, arguments: Arguments) -> None:
        flags = (_flag_or_none(arguments, name) for name in ("moderator", "admin", "visible"))
        room = _text_or_none(arguments, "room")
        self._administration.change_role(_text(arguments, "session_id"), room, RoleChange(*flags))

    def _ban(self, arguments: Arguments) -> bool:
        session_id = _text(arguments, "session_id")
        act = self._administration.ban if _flag(arguments, "banned") else self._administration.unban
        return act(session_id).flags.banned

    def _check(self, arguments: Arguments) -> bool:
        room = self._administration.room(_text(arguments, "token"))
        session_id = _text_or_none(arguments, "session_id")
        names = ("admin", "moderator", *Right)
        wanted = {str(name) for name in names if _flag_or_none(arguments, name)}
        user = None if session_id is None else self._stores.users.meant_by(session_id)
        standing = self._access.visit(room, user).standing
        if "admin" in wanted and not standing.admin:
            return False
        if "moderator" in wanted and not standing.moderator:
            return False
        return not standing.banned and standing.may(*(right for right in Right if right in wanted))

    def _file(self, arguments: Arguments) -> Any:
        row = self._stores.database.execute(
            "SELECT id, post, expires_ms, size, uploaded_ms, filename, blob_key FROM files WHERE id = ?",
            (_integer(arguments, "id"),),
        ).fetchone()
        if row is None:
            return None
        file_id, post_id, expires_ms, size, uploaded_ms, filename, key = row
        return {
            "id": file_id,
            "post_id": post_id,
            "expiry": None if expires_ms is None else expires_ms / 1000,
            "size": size,
            "uploaded": uploaded_ms / 1000,
            "filename": filename,
            "path": f"uploads/{key}",
        }

    def _clean_up(self, _: Arguments) -> Any:
        return self._cleanup.run().as_list()

    def _count(self, arguments: Arguments) -> int:
        if _text(arguments, "table") != "user_ban_futures":
            raise _BadArgument("only the table user_ban_futures is counted")
        return self._stores.bans.pending()


def _described(room: Room) -> dict[str, Any]:
    return {
        "id": room.id,
        "token": room.token,
        "name": room.name,
        "description": room.description,
        "created": room.created_ms / 1000,
        "info_updates": room.info_updates,
        "message_sequence": room.message_sequence,
        "active_users": room.active_users,
        **{f"default_{right.value}": room.defaults.of(right) for right in Right},
    }


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise _BadArgument(f"{name} must be a text, not {value!r:.60}")
    return value


def _text_or_none(arguments: Arguments, name: str) -> str | None:
    return None if arguments.get(name) is None else _text(arguments, name)


def _flag(arguments: Arguments, name: str) -> bool:
    value = arguments.get(name)
    if not isinstance(value, bool):
        raise _BadArgument(f"{name} must be true or false, not {value!r:.60}")
    return value


def _flag_or_none(arguments: Arguments, name: str) -> bool | None:
    return None if arguments.get(name) is None else _flag(arguments, name)


def _integer(arguments: Arguments, name: str) -> int:
    value = arguments.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise _BadArgument(f"{name} must be a number from 0, not {value!r:.60}")
    return value


def _seconds(arguments: Arguments, name: str) -> float | None:
    value = arguments.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MAX_SECONDS:
        raise _BadArgument(f"{name} must be a number of seconds or null, not {value!r:.60}")
    return value
