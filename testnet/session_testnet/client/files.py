"""Files on the file server: through onion requests (v4), or straight over HTTP (file-server §§3, 4)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from session_protocol import onion
from session_protocol.errors import ProtocolError
from session_testnet.client.errors import (
    BadReply,
    ClientError,
    NetworkError,
    NodeFailed,
    Refused,
    TooLarge,
    error_for_status,
)
from session_testnet.client.http_client import HttpClient
from session_testnet.client.transport import OnionTransport

MAX_FILE_BYTES: Final = 10_000_000
"""What clients upload at most (file-server §4); the server may allow less."""

ATTEMPTS: Final = 3

_FILE_PATH = re.compile(r"/files?/([A-Za-z0-9_-]{1,64})/?\Z")


@dataclass(frozen=True, slots=True)
class FileServerInfo:
    """Where the file server is, and the X25519 key (32 bytes) that onion requests to it are sealed for."""

    url: str
    x25519_pk: bytes | None = None

    @property
    def destination(self) -> onion.ServerDestination:
        """Return the server as the destination of an onion request; Refused without a key or a host."""
        parts = urlsplit(self.url)
        if self.x25519_pk is None:
            raise Refused("onion requests to the file server need its X25519 key")
        if parts.hostname is None or parts.scheme not in ("http", "https"):
            raise Refused(f"the file server's URL {self.url!r} is not http(s)://host[:port]")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return onion.ServerDestination(
            host=parts.hostname, x25519_pk=self.x25519_pk, protocol=parts.scheme, port=port
        )


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file on the server: its id, the URL that goes into messages, and when it expires (ms), if told."""

    id: str
    url: str
    expires_ms: int | None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes


class FileClient:
    """Upload and download opaque blobs. A given ``onion`` transport carries every request."""

    def __init__(
        self,
        server: FileServerInfo,
        http: HttpClient,
        onion_transport: OnionTransport | None,
        *,
        timeout_s: float,
    ) -> None:
        self._server = server
        self._http = http
        self._onion = onion_transport
        self._timeout_s = timeout_s

    async def upload(self, data: bytes, *, ttl_s: int | None = None) -> UploadedFile:
        """Store bytes; raise TooLarge, or a NetworkError after a few attempts."""
        if len(data) > MAX_FILE_BYTES:
            raise TooLarge(f"{len(data)} bytes are more than the {MAX_FILE_BYTES} of a file", size=len(data))
        headers = {"Content-Type": "application/octet-stream", "Content-Disposition": "attachment"}
        if ttl_s is not None:
            headers["X-FS-TTL"] = str(ttl_s)
        answer = await self._ask("POST", "/file", headers, data)
        try:
            document = json.loads(answer.body)
            file_id, expires = document["id"], document.get("expires")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadReply("the file server answered an upload without an id") from None
        if not isinstance(file_id, str) or not file_id:
            raise BadReply(f"the file server's id {file_id!r} is not a string")
        numeric = isinstance(expires, int | float) and not isinstance(expires, bool)
        return UploadedFile(
            file_id,
            f"{self._server.url.rstrip('/')}/file/{file_id}",
            int(expires * 1000) if numeric else None,
        )

    async def download(self, url_or_id: str) -> bytes:
        """Fetch a file by the URL of a message, or by its id; raise NotFound.

        Only the id of a URL is used, always at the own server: clients with a fixed host name write that
        name, and no message may send a client to a server of the sender's choice.
        """
        return (await self._ask("GET", f"/file/{file_id_of(url_or_id)}", {}, None)).body

    async def _ask(
        self, method: str, endpoint: str, headers: Mapping[str, str], body: bytes | None
    ) -> _Answer:
        what = f"{method} {endpoint} at the file server"
        failure: ClientError | None = None
        for _ in range(ATTEMPTS):
            try:
                answer = await self._once(method, endpoint, headers, body, what)
            except NetworkError as error:
                failure = error
                continue
            if answer.status == 200:
                return answer
            failure = error_for_status(answer.status, answer.body.decode("utf-8", "replace"), what)
            if not isinstance(failure, NodeFailed):
                raise failure
        assert failure is not None, "every attempt without an answer leaves a failure"
        raise failure

    async def _once(
        self, method: str, endpoint: str, headers: Mapping[str, str], body: bytes | None, what: str
    ) -> _Answer:
        if self._onion is None:
            url = self._server.url.rstrip("/") + endpoint
            if body is None:
                reply = await self._http.get(url, timeout_s=self._timeout_s, waiting_for=what)
            else:
                reply = await self._http.post(
                    url, body, timeout_s=self._timeout_s, waiting_for=what, headers=headers
                )
            return _Answer(reply.status, reply.body)
        payload = onion.encode_v4_request(method, endpoint, headers, body)
        opened = await self._onion.server_request(
            self._server.destination, payload, timeout_s=self._timeout_s, what=what
        )
        try:
            response = onion.decode_v4_response(opened)
        except ProtocolError as error:
            raise BadReply(f"{what}: the answer is not an onion v4 response: {error}") from None
        return _Answer(response.code, response.body or b"")


def file_id_of(url_or_id: str) -> str:
    """Return the file id in a download URL (fragment and query ignored), or an id unchanged; Refused."""
    path = urlsplit(url_or_id).path if "/" in url_or_id else f"/file/{url_or_id}"
    found = _FILE_PATH.search(path)
    if found is None:
        raise Refused(f"{url_or_id!r} is not the URL of a file: http(s)://host/file/<id>")
    return found[1]
