"""A judged file server: uploads and downloads, over HTTP or in onion requests."""

import time
from collections.abc import Mapping
from typing import Any, Final

from session_conformance.contract.testee import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.answers import Answer, ask, member

TTL_S: Final = 3600
# How far the server's clock may be from this machine's before times in answers are taken for wrong.
CLOCK_S: Final = 300


class JudgedFileServer:
    """Ask one file server; what is uploaded lives for an hour where the server lets its clients choose."""

    def __init__(self, testee: Testee, case: CaseContext) -> None:
        self.testee = testee
        self.random = case.random
        self.url: str = testee.features["urls"][0]
        self.public_key = bytes.fromhex(testee.features["public_key"])

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request straight over HTTP."""
        return ask(self.testee, method, self.url + path, body=body, headers=headers)

    def unique(self, data: bytes) -> bytes:
        """Return data that the server has never seen: files of other checks are not in the way."""
        return self.random.randbytes(16) + data

    def upload(self, data: bytes, *, ttl: str = str(TTL_S)) -> dict[str, Any]:
        """Upload a file and return the answer."""
        reply: dict[str, Any] = self.ask("POST", "/file", data, {"X-FS-TTL": ttl}).ok()
        member(reply, "id", str)
        member(reply, "expires", (int, float))
        return reply

    def honours_ttl(self) -> bool:
        """Tell whether the server lets clients choose how long files live."""
        expires: float = self.upload(self.unique(b""))["expires"]
        return abs(expires - time.time() - TTL_S) < CLOCK_S
