"""The file server: its endpoints, reached directly or by onion request (file-server §§3, 9)."""

import contextlib
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from session_testnet.clock import Clock
from session_testnet.services.encoded_bytes import decode_base64
from session_testnet.services.exchange import (
    HttpError,
    Router,
    ServiceRequest,
    ServiceResponse,
    StoredBody,
    file_reply,
    json_reply,
    run_periodically,
    serve_exchanges,
    without_form_body,
)
from session_testnet.services.files.releases import check_version_signature, release_members
from session_testnet.services.files.store import FileRecord, FileStore, IdMode, NoFreeId
from session_testnet.services.files.upload import HASH_ID_LENGTH, Upload
from session_testnet.services.onion_v4 import MAX_ONION_BYTES, ONION_PATH, OnionEndpoint, ServerKeys
from session_testnet.topology_file_server import PLATFORMS, FilesSpec
from session_testnet.trace import Trace

CLEANUP_PERIOD_S: Final = 15.0

_FILE_ID: Final = re.compile("[A-Za-z0-9_-]{1,44}")
_TTL: Final = re.compile("[+-]?[0-9]{1,18}")


class FileServer:
    """Serve files over HTTP and inside onion requests; both go through the same handlers.

    ``seed`` is the server's 32-byte Ed25519 seed, or a pair of keys. ``directory`` None keeps all in
    memory.
    """

    def __init__(
        self,
        seed: bytes | ServerKeys,
        *,
        clock: Clock,
        trace: Trace,
        name: str = "files",
        directory: Path | None = None,
        spec: FilesSpec | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Open the store; DatabaseRefused for a foreign or damaged one."""
        self.name = name
        self._keys = seed if isinstance(seed, ServerKeys) else ServerKeys.from_seed(seed)
        self._clock = clock
        self._trace = trace
        self._spec = spec or FilesSpec()
        self._id_mode = IdMode(self._spec.id_mode)
        self._releases = dict(self._spec.releases)
        self._store = FileStore(directory, self._id_mode, random_bytes)
        # An answer inside an onion is sealed as one piece.
        self._onion = OnionEndpoint(self._keys, lambda inner: self._dispatch(inner).whole(), random_bytes)
        self._router = self._make_router()

    @property
    def public_key(self) -> str:
        """Return the X25519 key that onion requests are sealed for, as 64 hex digits."""
        return self._keys.x25519_pk.hex()

    @property
    def ed25519_pk(self) -> str:
        """Return the Ed25519 key that download URLs name (``#p=…``), in hex; "" when there is none."""
        return (self._keys.ed25519_pk or b"").hex()

    def application(self) -> web.Application:
        """Return an aiohttp application that serves everything and deletes expired files."""
        application = serve_exchanges(
            self.handle,
            max_body=self._max_body,
            too_large=_refused(413).response,
            sink_for=self._sink_for,
        )
        run_periodically(application, self.purge, CLEANUP_PERIOD_S, self._record_failure)
        return application

    def handle(self, request: ServiceRequest) -> ServiceResponse:
        """Answer one request that came straight over HTTP."""
        return self._dispatch(request)

    def purge(self) -> int:
        """Delete expired files and return their number."""
        return self._store.purge(now_ms=self._clock.now_ms())

    def close(self) -> None:
        """Close the store; safe to call twice."""
        self._store.close()

    def _make_router(self) -> Router[None]:
        router: Router[None] = Router()
        router.add("POST", "/file", self._upload)
        router.add("GET", "/file/{id}", self._download)
        router.add("GET", "/file/{id}/info", self._info)
        router.add("POST", "/file/{id}/extend", self._extend)
        router.add("POST", "/files", self._upload_base64)
        router.add("GET", "/files/{id}", self._download_base64)
        router.add("GET", "/session_version", self._session_version)
        router.add("GET", "/token_info", self._token_info)
        router.add("POST", ONION_PATH, lambda request, _: self._onion.answer(request))
        return router

    def _dispatch(self, request: ServiceRequest) -> ServiceResponse:
        try:
            response = self._router.dispatch(without_form_body(request), None)
        except Exception as error:  # noqa: BLE001 - a defect in a handler must not end the server; the trace shows it
            self._trace.record("file_server_error", self.name, path=request.path, error=repr(error))
            response = _refused(500).response
        self._trace.record(
            "file_server_request",
            self.name,
            method=request.method,
            path=request.path,
            status=response.status,
            request_bytes=request.body_bytes,
            response_bytes=response.body_bytes,
        )
        return response

    def _record_failure(self, error: Exception) -> None:
        """Let the trace show that the periodic cleanup did not get to its end."""
        self._trace.record("file_server_error", self.name, during="cleanup", error=repr(error))

    def _max_body(self, path: str) -> int:
        if path == ONION_PATH:
            return MAX_ONION_BYTES
        # The deprecated upload carries base64 in JSON.
        return self._spec.max_size // 3 * 4 + 1024 if path == "/files" else self._spec.max_size

    def _sink_for(self, head: ServiceRequest) -> Upload | None:
        """Let uploads go to the store as they come; everything else fits into memory."""
        return self._store.begin() if (head.method, head.path) == ("POST", "/file") else None

    def _upload(self, request: ServiceRequest, _: None) -> ServiceResponse:
        with self._uploaded(request) as upload:
            record = self._keep(request, upload)
        return json_reply({"id": record.id, "expires": record.expires_ms / 1000})

    def _download(self, request: ServiceRequest, _: None) -> ServiceResponse:
        record = self._find(request)
        expires = formatdate(record.expires_ms / 1000, usegmt=True)
        return file_reply(self._body(record), {"expires": expires})

    def _info(self, request: ServiceRequest, _: None) -> ServiceResponse:
        return json_reply(_information(self._find(request)))

    def _extend(self, request: ServiceRequest, _: None) -> ServiceResponse:
        file_id = request.params["id"]
        ttl_ms = self._ttl_ms(request)
        # Ids that are not hashes belong to one upload each, and cannot be extended (file-server §3).
        if len(file_id) != HASH_ID_LENGTH:
            raise _refused(404)
        record = self._store.extend(file_id, now_ms=self._clock.now_ms(), ttl_ms=ttl_ms)
        if record is None:
            raise _refused(404)
        self._trace.record("file_extended", self.name, id=record.id, expires_ms=record.expires_ms)
        return json_reply(_information(record))

    def _upload_base64(self, request: ServiceRequest, _: None) -> ServiceResponse:
        document = request.json()
        encoded = document.get("file") if isinstance(document, dict) else None
        body = decode_base64(encoded) if isinstance(encoded, str) else None
        if body is None:
            raise _refused(400)
        with self._uploaded(replace(request, body=body)) as upload:
            record = self._keep(request, upload)
        numeric = self._id_mode is IdMode.NUMERIC
        return json_reply({"status_code": 200, "result": int(record.id) if numeric else record.id})

    def _download_base64(self, request: ServiceRequest, _: None) -> ServiceResponse:
        with self._body(self._find(request)).file as file:
            return json_reply({"status_code": 200, "result": b64encode(file.read()).decode()})

    def _session_version(self, request: ServiceRequest, _: None) -> ServiceResponse:
        signer = check_version_signature(request, now_ms=self._clock.now_ms())
        platform = request.query_value("platform") or ""
        if platform not in PLATFORMS:
            raise _refused(404)
        release = self._releases.get(platform)
        if release is None:
            raise _refused(502)
        self._trace.record("session_version", self.name, platform=platform, signer=signer)
        return json_reply({"status_code": 200, **release_members(release)})

    def _token_info(self, _: ServiceRequest, __: None) -> ServiceResponse:
        # A network without tokens has no data about them.
        raise _refused(502)

    @contextlib.contextmanager
    def _uploaded(self, request: ServiceRequest) -> Iterator[Upload]:
        """Give the body of a request, which has gone to the store already if it came straight over HTTP."""
        if isinstance(request.sink, Upload):
            yield request.sink
            return
        if len(request.body) > self._spec.max_size:
            raise _refused(413)
        with contextlib.closing(self._store.begin()) as upload:
            upload.write(request.body)
            yield upload

    def _keep(self, request: ServiceRequest, upload: Upload) -> FileRecord:
        if not 1 <= upload.size <= self._spec.max_size:
            raise _refused(413)
        ttl_ms = self._ttl_ms(request)
        try:
            record = self._store.keep(upload, now_ms=self._clock.now_ms(), ttl_ms=ttl_ms)
        except NoFreeId:
            raise _refused(507) from None
        self._trace.record(
            "file_stored", self.name, id=record.id, size=record.size, expires_ms=record.expires_ms
        )
        return record

    def _find(self, request: ServiceRequest) -> FileRecord:
        file_id = request.params["id"]
        record = (
            self._store.find(file_id, now_ms=self._clock.now_ms()) if _FILE_ID.fullmatch(file_id) else None
        )
        if record is None:
            raise _refused(404)
        return record

    def _body(self, record: FileRecord) -> StoredBody:
        body = self._store.body(record)
        if body is None:
            raise _refused(404)
        return body

    def _ttl_ms(self, request: ServiceRequest) -> int:
        """Return how long a file shall live; a wanted time out of range is refused (file-server §3.2)."""
        wanted = request.headers.get("x-fs-ttl")
        if wanted is None or not self._spec.max_ttl_s:
            return self._spec.default_ttl_s * 1000
        if not _TTL.fullmatch(wanted.strip()) or not 0 < int(wanted) <= self._spec.max_ttl_s:
            raise _refused(400)
        return int(wanted) * 1000


def _information(record: FileRecord) -> dict[str, Any]:
    return {
        "size": record.size,
        "uploaded": record.uploaded_ms / 1000,
        "expires": record.expires_ms / 1000,
    }


def _refused(status: int) -> HttpError:
    return HttpError(status, response=json_reply({"status_code": status}, status))
