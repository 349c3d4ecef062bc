"""Somebody else's network, reached over its control interface; light to import."""

import http.client
import json
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from session_testnet.control.errors import ControlError
from session_testnet.control.handles import NetworkHandle
from session_testnet.control.state_file import read_state

COMMAND_DEADLINE_S = 30.0


class AttachedNetworkHandle(NetworkHandle):
    """Act on somebody else's network over its control interface."""

    def __init__(self, state: dict[str, Any]) -> None:
        """Take the network's state file as a mapping; :meth:`from_state_file` reads one."""
        super().__init__(state)
        parts = urllib.parse.urlsplit(state["control"]["url"])
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def from_state_file(cls, path: Path) -> "AttachedNetworkHandle":
        """Attach to the network that a state file describes."""
        return cls(read_state(path))

    def command(self, name: str, **params: Any) -> Any:
        """Carry out a control command over HTTP."""
        body = json.dumps({"command": name, "params": params}).encode()
        headers = {
            "Authorization": f"Bearer {self.state['control']['token']}",
            "Content-Type": "application/json",
        }
        try:
            answer = self._post(body, headers)
        except (OSError, http.client.HTTPException) as error:
            url = self.state["control"]["url"]
            raise ControlError(
                f"the network {self.state['name']!r} does not answer at {url}: {error}",
                "it may have ended; see: session-harness status",
            ) from error
        if "error" in answer:
            raise ControlError(answer["error"]["message"], answer["error"].get("hint", ""))
        return answer["result"]

    def request_shutdown(self) -> None:
        """Ask the network to end itself."""
        self.command("shutdown")

    def close(self) -> None:
        """Close the connection; the network goes on."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        for attempt in (1, 2):
            fresh = self._connection is None
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    self._host, self._port, timeout=COMMAND_DEADLINE_S
                )
            try:
                self._connection.request("POST", "/command", body, dict(headers))
                answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
                return answer
            except (http.client.RemoteDisconnected, ConnectionError):
                # A kept connection may have been closed meanwhile: one new try, on a new connection.
                self.close()
                if fresh or attempt == 2:
                    raise
        raise AssertionError("unreachable")
