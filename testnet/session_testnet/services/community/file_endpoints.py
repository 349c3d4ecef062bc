"""Endpoints for the files of a room (open-group-server §12)."""

import re
from email.utils import formatdate
from typing import Final
from urllib.parse import quote, unquote

from session_testnet.clock import Clock
from session_testnet.services.community.access import Access, Caller, Stores, no_such
from session_testnet.services.community.permissions import Right
from session_testnet.services.community.settings import ServerSettings
from session_testnet.services.exchange import (
    HttpError,
    Router,
    ServiceRequest,
    ServiceResponse,
    binary_reply,
    json_reply,
)

_EXTENDED_NAME: Final = re.compile(r"(?:^|;)\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)", re.IGNORECASE)
_QUOTED_NAME: Final = re.compile(r'(?:^|;)\s*filename\s*=\s*"((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_PLAIN_NAME: Final = re.compile(r"(?:^|;)\s*filename\s*=\s*([^;\s\"]+)", re.IGNORECASE)
_FORBIDDEN: Final = str.maketrans({"\x00": "\ufffd", "/": "\ufffd"})


class FileEndpoints:
    """Answer uploads and downloads."""

    def __init__(self, stores: Stores, access: Access, clock: Clock, settings: ServerSettings) -> None:
        self._stores = stores
        self._access = access
        self._clock = clock
        self._settings = settings

    def add_to(self, router: Router[Caller]) -> None:
        """Add the routes."""
        router.add("POST", "/room/{token:room}/file", self._upload)
        router.add("GET", "/room/{token:room}/file/{id:int}", self._download)
        router.add("GET", "/room/{token:room}/file/{id:int}/{name:rest}", self._download)

    def _upload(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit, uploader = self._access.act(request, caller, Right.WRITE, Right.UPLOAD)
        if len(request.body) > self._settings.max_upload_bytes:
            raise HttpError(413)
        name = file_name(request.headers.get("content-disposition", ""))
        file_id = self._stores.uploads.add(
            visit.room, uploader, request.body, name, now_ms=self._clock.now_ms()
        )
        return json_reply({"id": file_id}, 201)

    def _download(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        visit = self._access.read(request, caller)
        uploads = self._stores.uploads
        file = uploads.find(visit.room, request.number("id"), now_ms=self._clock.now_ms())
        body = None if file is None else uploads.body(file)
        if file is None or body is None:
            raise no_such("file", request.params["id"])
        disposition = "attachment"
        if file.filename is not None:
            disposition += f"; filename*=UTF-8''{quote(file.filename, safe='')}"
        headers = {
            "content-disposition": disposition,
            "date": formatdate(file.uploaded_ms / 1000, usegmt=True),
        }
        if file.expires_ms is not None:
            headers["expires"] = formatdate(file.expires_ms / 1000, usegmt=True)
        return binary_reply(body, headers)


def file_name(disposition: str) -> str | None:
    """Return the file name of a Content-Disposition header, None without one; NUL and "/" become U+FFFD."""
    extended = _EXTENDED_NAME.search(disposition)
    if extended:
        name = unquote(extended[1])
    else:
        quoted = _QUOTED_NAME.search(disposition)
        plain = _PLAIN_NAME.search(disposition)
        name = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else plain[1] if plain else ""
    return name.translate(_FORBIDDEN) or None
