"""Carry what containers print into the log book of their network."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable
from typing import Final

from session_testnet.logs import LogBook

# How long the last lines of containers that have ended may take to arrive, in seconds.
_LAST_LINES_S: Final = 5.0


class LogPump:
    """One thread for each stream: they block until the container ends, which closes its stream."""

    def __init__(self, logs: LogBook) -> None:
        """Take the book to write in."""
        self._logs = logs
        self._threads: list[threading.Thread] = []

    def follow(self, name: str, stream: Iterable[bytes]) -> None:
        """Write the lines of a stream into the log called ``name`` until it ends."""
        thread = threading.Thread(target=self._pump, args=(name, stream), name=f"log of {name}", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    async def finish(self) -> None:
        """Wait until all that ended containers have printed is written."""
        threads, self._threads = self._threads, []

        end = time.monotonic() + _LAST_LINES_S

        def join() -> None:
            for thread in threads:
                thread.join(max(0, end - time.monotonic()))

        await asyncio.to_thread(join)

    def _pump(self, name: str, stream: Iterable[bytes]) -> None:
        rest = b""
        # The connection to the engine may break in many ways; the log then just ends.
        with contextlib.suppress(Exception):
            for chunk in stream:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._write(name, line)
        if rest:
            self._write(name, rest)

    def _write(self, name: str, line: bytes) -> None:
        self._logs.write(name, "info", line.decode(errors="replace").rstrip("\r"))
