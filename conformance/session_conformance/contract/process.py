"""A child process with pipes: started in a process group of its own, ended whole, its stderr drained."""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from session_conformance.contract.errors import TesteeNotStarted

STDERR_LINES: Final = 1_000
STDERR_BYTES: Final = 256 * 1024
TERM_GRACE_S: Final = 1.0
KILL_GRACE_S: Final = 5.0
_READ_SIZE: Final = 256 * 1024


class LogRing:
    """Keep the end of a stream of log bytes, bounded in lines and in bytes."""

    def __init__(self, max_lines: int = STDERR_LINES, max_bytes: int = STDERR_BYTES) -> None:
        self._lines: deque[bytes] = deque()
        self._partial = b""
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._size = 0
        self._lock = threading.Lock()

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        with self._lock:
            *lines, self._partial = (self._partial + data).split(b"\n")
            self._partial = self._partial[-self._max_bytes :]
            for line in lines:
                kept = line[-self._max_bytes :]
                self._lines.append(kept)
                self._size += len(kept) + 1
            while self._lines and (len(self._lines) > self._max_lines or self._size > self._max_bytes):
                self._size -= len(self._lines.popleft()) + 1

    def text(self) -> str:
        """Return what is kept, decoded leniently."""
        with self._lock:
            return b"\n".join([*self._lines, self._partial]).decode("utf-8", "replace")

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._lines.clear()
            self._partial = b""
            self._size = 0


class ChildProcess:
    """Run a command with binary pipes in a session and process group of its own.

    ``stdin`` and ``stdout`` are non-blocking file descriptors. Raise TesteeNotStarted when it cannot run.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: LogRing,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                cwd=cwd,
                env={**os.environ, **env} if env is not None else None,
            )
        except OSError as error:
            raise TesteeNotStarted(
                f"cannot start {command[0]!r}: {error.strerror or error}",
                hint=(f"it runs in {cwd or Path.cwd()} without a shell; is it installed and executable?"),
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.stdin = self._process.stdin.fileno()
        self.stdout = self._process.stdout.fileno()
        os.set_blocking(self.stdin, False)
        os.set_blocking(self.stdout, False)
        self._drain = threading.Thread(
            target=_drain, args=(self._process.stderr, log), name=f"stderr of {command[0]}", daemon=True
        )
        self._drain.start()

    @property
    def pid(self) -> int:
        """Return the process id, which is also that of its group."""
        return self._process.pid

    def wait_exit(self, timeout_s: float) -> bool:
        """Wait until the process has ended, without reaping it; say whether it has.

        Its process group cannot be taken over by a stranger as long as it is not reaped.
        """
        if self._process.returncode is not None:
            return True
        if not hasattr(os, "pidfd_open"):
            return self._wait_exit_by_asking(timeout_s)
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return self._wait_exit_by_asking(timeout_s)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(max(0.0, timeout_s) * 1000))
        finally:
            os.close(descriptor)

    def _wait_exit_by_asking(self, timeout_s: float) -> bool:
        try:
            self._process.wait(max(0.001, timeout_s))
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self, *, grace_s: float = TERM_GRACE_S) -> int | None:
        """End the whole group: SIGTERM, after the grace SIGKILL; return the exit code (negative: a signal).

        None when even SIGKILL did not end it in time.
        """
        if not self.wait_exit(0):
            self._signal_group(signal.SIGTERM)
            self.wait_exit(grace_s)
        # Also after an orderly end: what the testee left behind in its group goes with it.
        self._signal_group(signal.SIGKILL)
        exit_code: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            exit_code = self._process.wait(KILL_GRACE_S)
        self._drain.join(TERM_GRACE_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return exit_code

    def kill(self) -> None:
        """Kill the whole group at once, without waiting for its end."""
        self._signal_group(signal.SIGKILL)

    def close_stdin(self) -> None:
        """Close the child's input: nothing more will be asked."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _signal_group(self, number: int) -> None:
        # ESRCH: all gone. EPERM: macOS says so for a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _drain(stream: IO[bytes], log: LogRing) -> None:
    with contextlib.suppress(OSError, ValueError), stream:
        while data := os.read(stream.fileno(), 65_536):
            log.feed(data)


class LinePipe:
    """Write lines to one descriptor and read lines from another, both non-blocking, under a deadline."""

    def __init__(self, stdin: int, stdout: int, max_line: int) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._max_line = max_line
        self._buffer = bytearray()
        self._searched = 0
        self._ended = False
        self._reading = select.poll()
        self._reading.register(stdout, select.POLLIN)
        self._both = select.poll()
        self._both.register(stdout, select.POLLIN)
        self._both.register(stdin, select.POLLOUT)

    def write(self, line: bytes, deadline: float) -> None:
        """Write a whole line; raise TimeoutError at the deadline and BrokenPipeError when nobody reads.

        Meanwhile what the other side writes is taken in: two full pipes would wait for each other for ever.
        """
        try:
            written = os.write(self._stdin, line)
        except BlockingIOError:
            written = 0
        if written == len(line):
            return
        rest = memoryview(line)[written:]
        while rest:
            remaining = deadline - time.monotonic()
            ready = self._both.poll(max(0.0, remaining) * 1000)
            if not ready:
                raise TimeoutError
            for descriptor, flags in ready:
                if descriptor == self._stdin:
                    if flags & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                        raise BrokenPipeError
                    with contextlib.suppress(BlockingIOError):
                        rest = rest[os.write(self._stdin, rest) :]
                elif not self._fill():
                    raise BrokenPipeError

    def read_line(self, deadline: float) -> bytes | None:
        """Return the next line with its line feed, or None at the end of the stream.

        Raise TimeoutError at the deadline and ValueError for a line above the limit. A last line without
        line feed is returned as it is.
        """
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._buffer[: end + 1])
                del self._buffer[: end + 1]
                self._searched = 0
                if len(line) > self._max_line:
                    raise ValueError(len(line))
                return line
            self._searched = len(self._buffer)
            if len(self._buffer) > self._max_line:
                raise ValueError(len(self._buffer))
            if self._ended:
                rest, self._buffer, self._searched = bytes(self._buffer), bytearray(), 0
                return rest or None
            if not self._reading.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
            self._fill()

    def begin(self) -> bytes:
        """Return the first bytes of what has arrived and was not read, for an error message."""
        return bytes(self._buffer[:4096])

    def _fill(self) -> bool:
        try:
            data = os.read(self._stdout, _READ_SIZE)
        except BlockingIOError:
            return True
        self._buffer += data
        self._ended = not data
        return not self._ended
