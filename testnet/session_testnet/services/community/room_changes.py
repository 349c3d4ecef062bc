"""What an admin asks to change about a room, read from the body of the request (open-group-server §8.3)."""

from collections.abc import Mapping
from typing import Any, Final

from session_testnet.services.community.permissions import Right
from session_testnet.services.community.rooms import RoomChanges
from session_testnet.services.exchange import HttpError

_MAX_FILE_ID: Final = 2**63 - 1
_CONTROL: Final = dict.fromkeys(range(0x20))
_CONTROL_BUT_LAYOUT: Final = {code: None for code in range(0x20) if chr(code) not in "\t\n"}


def read_room_changes(document: Mapping[str, Any], *, now_ms: int) -> RoomChanges:
    """Return the changes; HttpError 400 for a wrong type of any member, 406 for an image that cannot be."""
    name, description = document.get("name"), document.get("description")
    describes = "description" in document
    if "name" in document and not isinstance(name, str):
        raise HttpError(400, "name is not a text")
    if not (description is None or isinstance(description, str)):
        raise HttpError(400, "description is not a text")
    image_id = document.get("image")
    if "image" in document and (not isinstance(image_id, int) or isinstance(image_id, bool)):
        raise HttpError(400, "image is not the id of a file")
    defaults = _default_rights(document)
    if name is None and not describes and image_id is None and not defaults:
        raise HttpError(400, "nothing is to be changed")
    if image_id is not None and not 0 <= image_id <= _MAX_FILE_ID:
        raise HttpError(406)
    return RoomChanges(
        now_ms,
        name=None if name is None else name.translate(_CONTROL),
        describes=describes,
        description=(description or "").translate(_CONTROL_BUT_LAYOUT) or None,
        defaults=defaults,
        image_id=image_id,
    )


def _default_rights(document: Mapping[str, Any]) -> dict[str, bool]:
    rights: dict[str, bool] = {}
    for right in Right:
        value = document.get(f"default_{right.value}")
        # true and false are integers here too.
        if isinstance(value, int):
            rights[right.value] = bool(value)
        elif value is not None:
            raise HttpError(400, f"default_{right.value} is neither true nor false")
    return rights
