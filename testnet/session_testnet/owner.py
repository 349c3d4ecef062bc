"""Whose something is: the process that made it, known again even when its number is used anew."""

import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TEMPORARY_PREFIX: Final = "session-testnet-"
# The file in a temporary directory that names the process that made it.
OWNER_FILE: Final = ".owner"


@dataclass(frozen=True, slots=True)
class Owner:
    """A process on a machine; ``started`` tells it from a later one with the same number, 0 where unknown."""

    host: str
    pid: int
    started: int = 0

    @classmethod
    def this_process(cls) -> "Owner":
        """Return the calling process."""
        return cls(socket.gethostname(), os.getpid(), _start_of(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> "Owner | None":
        """Read what :meth:`__str__` wrote; None for anything else."""
        host, _, rest = text.rpartition("/")
        pid, _, started = rest.partition("@")
        if not host or not pid.isdecimal() or not started.isdecimal():
            return None
        return cls(host, int(pid), int(started))

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}@{self.started}"

    def is_gone(self) -> bool:
        """Tell whether the process has ended for sure; nobody knows that of another machine's."""
        if self.host != socket.gethostname():
            return False
        if not is_running(self.pid):
            return True
        started = _start_of(self.pid)
        return bool(self.started and started is not None and started != self.started)


def is_running(pid: int) -> bool:
    """Tell whether a process exists and has not ended yet; one that only waits to be noticed has (Linux)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    words = _words_of(pid)
    return not words or words[0] != "Z"


def make_owned_directory() -> Path:
    """Make a temporary directory that names this process, so that it can be removed after its end."""
    directory = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX))
    (directory / OWNER_FILE).write_text(str(Owner.this_process()))
    return directory


def owner_of_directory(directory: Path) -> Owner | None:
    """Return whose a temporary directory is; None when it does not say."""
    try:
        return Owner.parse((directory / OWNER_FILE).read_text())
    except (OSError, ValueError):
        return None


def _start_of(pid: int) -> int | None:
    """Return when a process started, in ticks since the machine did; None where nobody knows (not Linux)."""
    words = _words_of(pid)
    return int(words[19]) if words else None


def _words_of(pid: int) -> list[str]:
    """Return what Linux says of a process, from its state on; nothing elsewhere."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return []
    # The name in parentheses may contain anything, so that words count from the last of them.
    return stat.rpartition(")")[2].split()
