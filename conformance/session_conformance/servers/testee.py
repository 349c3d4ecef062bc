"""A server as a testee: requests go out over HTTP, and are kept like the calls of an adapter."""

import asyncio
import base64
import importlib.metadata
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from session_conformance.contract.errors import TesteeCrashed, TesteeHung, TesteeNotStarted, Unsupported
from session_conformance.contract.messages import Exchange, Hello, Result
from session_conformance.contract.testee import Deadlines, Testee
from session_conformance.servers.address import CONTROL_TOKEN_VARIABLE, ServerAddress, ServerKind
from session_testnet.loop_thread import LoopThread

REQUEST: Final = "server.request"
"""The one operation of a server; what it must answer is the subject of the suites."""

_SHOWN_BYTES: Final = 4_000
_MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
_MARGIN_S: Final = 5.0


class OpenServer:
    """Hold a server that is up: its address, the token of its control endpoint, and what ends it."""

    def __init__(
        self, address: ServerAddress, *, control_token: str = "", close: Callable[[], None] = lambda: None
    ) -> None:
        self.address = address
        self.control_token = control_token
        self.close = close


Opener = Callable[[], OpenServer]


def somebodys(address: ServerAddress) -> Opener:
    """Return what opens a server that somebody else runs: nothing is started."""
    return lambda: OpenServer(address, control_token=os.environ.get(CONTROL_TOKEN_VARIABLE, ""))


class ServerTestee(Testee):
    """Send requests to one server, each within a deadline; TLS certificates are not verified.

    ``call("server.request", method=…, url=…, headers=…, body=…)`` gives ``status``, ``headers`` (names in
    lower case) and ``body`` (bytes). With ``control=True`` the token of the control endpoint goes along.
    """

    def __init__(self, opener: Opener, *, name: str, seed: int, deadlines: Deadlines, harness: str) -> None:
        super().__init__(name, seed=seed, deadlines=deadlines, harness=harness)
        self._opener = opener
        self._open: OpenServer | None = None
        self._loop: LoopThread | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def alive(self) -> bool:
        """Say that a server can always be asked: it is somebody else's to start again."""
        return True

    def stderr_tail(self) -> str:
        """Return nothing: a server's log is on its own machine."""
        return ""

    def _start(self) -> None:
        if self._open is None:
            try:
                self._open = self._opener()
            except Exception as error:
                raise TesteeNotStarted(f"{self.name} did not start: {error}") from error
        address = self._open.address
        self._hello = Hello(
            name=self.name,
            version=self._version(address),
            language="",
            operations=frozenset({REQUEST}),
            features={
                "server": str(address.kind),
                "urls": list(address.urls),
                "registry": address.registry,
                "public_key": address.public_key,
                "control": bool(self._open.control_token),
                "key_known": bool(address.public_key),
                "registry_known": bool(address.registry),
            },
        )

    def _version(self, address: ServerAddress) -> str:
        """Ask for what only nodes say; a server that does not answer at all cannot be judged."""
        path = {ServerKind.STORAGE: "/get_stats/v1", ServerKind.FILES: "/file/0/info"}.get(
            address.kind, "/capabilities"
        )
        try:
            answer = self._exchange("GET", address.urls[0] + path, {}, b"", self.deadlines.hello_s)
        except (TesteeCrashed, TesteeHung) as error:
            raise TesteeNotStarted(
                f"{self.name} cannot be reached: {error.message}", hint=f"is {address.urls[0]} right?"
            ) from error
        if address.kind is not ServerKind.STORAGE:
            return ""
        try:
            version = orjson.loads(answer["body"]).get("version", "")
        except (orjson.JSONDecodeError, AttributeError):
            return ""
        return version if isinstance(version, str) else ".".join(map(str, version))

    def call(
        self, op: str, /, account: str | None = None, *, deadline_s: float | None = None, **params: Any
    ) -> Result:
        """Send a request; raise TesteeHung without an answer in time, TesteeCrashed for none at all."""
        del account
        if op != REQUEST:
            raise Unsupported(op, "a server takes requests only")
        self.hello  # noqa: B018  # reading it starts a server of our own
        headers: dict[str, str] = dict(params.get("headers") or {})
        if params.get("control") and self._open is not None:
            headers["Authorization"] = f"Bearer {self._open.control_token}"
        return self._exchange(
            params["method"],
            params["url"],
            headers,
            params.get("body") or b"",
            deadline_s if deadline_s is not None else self.deadlines.stateful_s,
        )

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, deadline_s: float
    ) -> Result:
        if self._loop is None:
            self._loop = LoopThread("requests to a judged server")
        began = time.monotonic()
        sent = orjson.dumps(
            {
                "method": method,
                "url": url,
                "headers": {key: "…" if key == "Authorization" else text for key, text in headers.items()},
                "body": _shown(body),
            }
        )
        received = b""
        what = f"{method} {url}"
        try:
            fields = self._loop.run(
                self._send(method, url, headers, body, deadline_s),
                timeout_s=deadline_s + _MARGIN_S,
                waiting_for=what,
            )
            received = orjson.dumps({**fields, "body": _shown(fields["body"])})
        except TimeoutError:
            raise TesteeHung(what, deadline_s) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise TesteeCrashed(f"no answer to {what}: {reason}", op=what) from error
        finally:
            self.transcript.append(Exchange(began, time.monotonic() - began, sent, received))
        return Result(REQUEST, fields)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, deadline_s: float
    ) -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=False),
                headers={"User-Agent": f"session-harness/{importlib.metadata.version('session-harness')}"},
                skip_auto_headers=("Content-Type",),
            )
        async with (
            asyncio.timeout(deadline_s),
            self._session.request(
                method,
                URL(url, encoded=True),
                data=body or None,
                headers=dict(headers),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None),
            ) as answer,
        ):
            content = bytearray()
            async for piece in answer.content.iter_any():
                content += piece
                if len(content) > _MAX_ANSWER_BYTES:
                    raise ValueError(f"the answer has more than {_MAX_ANSWER_BYTES} bytes")
            named = {name.lower(): value for name, value in answer.headers.items()}
            return {"status": answer.status, "headers": named, "body": bytes(content)}

    def close(self) -> None:
        """Close the connections, and end a server of our own; a second call does nothing."""
        loop, self._loop = self._loop, None
        session, self._session = self._session, None
        if loop is not None:
            if session is not None:
                loop.run(session.close(), timeout_s=_MARGIN_S, waiting_for="the connections to close")
            loop.close()
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()
        self._hello = None


def _shown(body: bytes) -> str:
    """Return a body as a transcript shows it: text, or base64, and not too much of it."""
    part = body[:_SHOWN_BYTES]
    more = f"… ({len(body)} bytes)" if len(body) > len(part) else ""
    try:
        return part.decode() + more
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(part).decode()}{more}"
