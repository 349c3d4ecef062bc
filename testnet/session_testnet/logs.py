"""Log lines of a network's services: a bounded list for each, and a file for each in a given directory."""

import contextlib
import datetime as dt
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from session_testnet.clock import Clock

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class LogBook:
    """Keep the last ``capacity`` lines of each service; safe to use from several threads.

    A line is ``2026-11-25T08:27:00.123Z LEVEL text``; the time is the clock's, by default the machine's. With
    a directory each service also has a file ``<name>.log`` there, made at its first line.
    """

    def __init__(
        self, directory: Path | None = None, *, capacity: int = 2000, clock: Clock | None = None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a log keeps at least one line, not {capacity}")
        self._directory = directory
        self._capacity = capacity
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._lines: dict[str, deque[tuple[int, str]]] = {}
        self._files: dict[str, IO[str]] = {}
        self._written = 0
        self._closed = False

    def write(self, name: str, level: str, text: str) -> None:
        """Add a line to the log of a service; line breaks become spaces, so that a line stays a line."""
        if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
            raise ValueError(f"{name!r} cannot be the name of a log")
        line = f"{_timestamp(self._clock.now_ms())} {level.upper():<7} {' '.join(text.splitlines())}"
        with self._lock:
            self._written += 1
            self._lines.setdefault(name, deque(maxlen=self._capacity)).append((self._written, line))
            if self._directory is not None and not self._closed:
                self._file(name).write(line + "\n")

    def names(self) -> list[str]:
        """Return the services that have a log, sorted."""
        with self._lock:
            return sorted(self._lines)

    def lines(self, name: str | None = None, *, tail: int | None = 200) -> list[str]:
        """Return the newest lines of a service, oldest first; for None those of all, each headed by its name.

        ``tail`` limits their number; None returns all that are kept. A service without a line has an empty
        log.
        """
        if tail is not None and tail < 0:
            raise ValueError(f"the number of lines cannot be negative: {tail}")
        with self._lock:
            if name is not None:
                found = [line for _, line in self._lines.get(name, ())]
            else:
                merged = sorted(
                    (number, f"{service}: {line}")
                    for service, kept in self._lines.items()
                    for number, line in kept
                )
                found = [line for _, line in merged]
        return found if tail is None else found[max(0, len(found) - tail) :]

    def handler(self, name: str) -> logging.Handler:
        """Return a standard logging handler that writes to the log of a service."""
        return _BookHandler(self, name)

    def attach(self, logger_name: str, name: str, *, level: int = logging.INFO) -> Callable[[], None]:
        """Send what a standard logger says to the log of a service; return a function that ends this.

        The logger's own level is left alone: what it drops does not arrive here.
        """
        logger = logging.getLogger(logger_name)
        handler = self.handler(name)
        handler.setLevel(level)
        logger.addHandler(handler)
        return lambda: logger.removeHandler(handler)

    @contextlib.contextmanager
    def attached(self, logger_name: str, name: str, *, level: int = logging.INFO) -> Iterator[None]:
        """Do as :meth:`attach` does while a block runs."""
        detach = self.attach(logger_name, name, level=level)
        try:
            yield
        finally:
            detach()

    def close(self) -> None:
        """Close all files; later lines are kept in memory only. Safe to call twice."""
        with self._lock:
            self._closed = True
            for file in self._files.values():
                file.close()
            self._files.clear()

    def _file(self, name: str) -> IO[str]:
        file = self._files.get(name)
        if file is None:
            assert self._directory is not None
            self._directory.mkdir(parents=True, exist_ok=True)
            # Line buffered: a reader follows the file while the network runs.
            file = (self._directory / f"{name}.log").open("a", encoding="utf-8", buffering=1)
            self._files[name] = file
        return file


class _BookHandler(logging.Handler):
    """Write log records to a book, with their traceback on the same line."""

    def __init__(self, book: LogBook, name: str) -> None:
        super().__init__()
        self._book = book
        self._service = name

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._book.write(self._service, record.levelname, self.format(record))
        except Exception:  # noqa: BLE001 - logging must not break what it watches
            self.handleError(record)


def _timestamp(ms: int) -> str:
    moment = _EPOCH + dt.timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
