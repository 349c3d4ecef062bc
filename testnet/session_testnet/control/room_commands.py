"""The commands about rooms of the community server, and about who moderates or is banned there."""

from collections.abc import Mapping
from typing import Any

from session_testnet.control.errors import ControlError
from session_testnet.control.parameters import Command, Params, flag, integer, text, text_or_none
from session_testnet.network import Network
from session_testnet.services.community.roles import RoleChange
from session_testnet.services.community.users import User

_ROLES = {
    "admin": RoleChange(moderator=True, admin=True),
    "moderator": RoleChange(moderator=True, admin=False),
    "none": RoleChange(moderator=False, admin=False),
}


async def _create(network: Network, params: Params) -> Any:
    token = text(params, "token")
    room = network.create_room(
        token, text_or_none(params, "title") or token, text_or_none(params, "description")
    )
    network.trace.record("room", None, verb="create", token=room.token)
    return network.describe_room(room)


async def _list(network: Network, _params: Params) -> Any:
    return [network.describe_room(room) for room in network.community.rooms()]


async def _delete(network: Network, params: Params) -> Any:
    token = text(params, "token")
    network.delete_room(token)
    network.trace.record("room", None, verb="delete", token=token)
    return {}


async def _promote(network: Network, params: Params) -> Any:
    user_id, room, role = text(params, "id"), text_or_none(params, "room"), text(params, "role")
    if role not in _ROLES:
        raise ControlError(f"there is no role {role!r}", f"roles: {', '.join(_ROLES)}")
    visible = None if params.get("visible") is None else flag(params, "visible", True)
    change = RoleChange(_ROLES[role].moderator, _ROLES[role].admin, visible)
    user = network.community.change_role(user_id, room, change)
    network.trace.record("room", None, verb="promote", token=room, user=user.session_id, role=role)
    return _entry(user, room, role=role)


async def _ban(network: Network, params: Params) -> Any:
    user_id, room = text(params, "id"), text_or_none(params, "room")
    banned, timeout_ms = flag(params, "banned", True), integer(params, "timeout_ms", 0)
    if banned:
        user = network.community.ban(user_id, room, timeout_s=timeout_ms / 1000)
    else:
        user = network.community.unban(user_id, room)
    verb = "ban" if banned else "unban"
    network.trace.record("room", None, verb=verb, token=room, user=user.session_id)
    return _entry(user, room, banned=banned)


def _entry(user: User, room: str | None, **more: object) -> dict[str, Any]:
    """Return who was concerned: on a server that requires blinding perhaps another id than was asked for."""
    return {"id": user.session_id, "room": room, **more}


ROOM_COMMANDS: Mapping[str, Command] = {
    "room.create": _create,
    "room.list": _list,
    "room.delete": _delete,
    "room.promote": _promote,
    "room.ban": _ban,
}
