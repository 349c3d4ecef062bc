"""Run a child process to its end: hand interruptions on, and do not wait for one that has gone silent."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Final

TICK_S: Final = 0.1
POLITE_S: Final = 1.0
GRACE_S: Final = 20.0
"""How long an interrupted child may take to end by itself."""


class ChildEnd(Enum):
    """Say why a child ended."""

    BY_ITSELF = "by itself"
    INTERRUPTED = "interrupted"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class ChildResult:
    """Hold how a child ended; ``code`` is negative for a signal, as in ``subprocess``."""

    end: ChildEnd
    code: int


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Hold how long a child is waited for, in seconds."""

    silence_s: float
    grace_s: float = GRACE_S


def run_child(
    command: Callable[[int], Sequence[str]],
    *,
    log: Path,
    environment: Mapping[str, str],
    listen: Callable[[], bool],
    deadlines: Deadlines,
) -> ChildResult:
    """Run a command, its output in ``log``, until it ends.

    ``command`` is made for a lifeline: the descriptor of a pipe that ends when this process does, however it
    ends. A child that is to end then has to read it.

    ``listen`` is called ten times a second and says whether there was news; a child without news and without
    output for ``silence_s`` seconds is ended. SIGINT and SIGTERM are handed on as SIGINT; a second one, or
    ``grace_s`` seconds without effect, ends the child by force.
    """
    child_end, own_end = os.pipe()
    try:
        with log.open("wb") as stream:
            child = subprocess.Popen(
                command(child_end),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
                pass_fds=(child_end,),
            )
        with _interruptions() as interruptions:
            try:
                return _follow(child, log, interruptions, listen, deadlines)
            finally:
                _end_by_force(child)
                listen()
    finally:
        os.close(child_end)
        os.close(own_end)


def _follow(
    child: "subprocess.Popen[bytes]",
    log: Path,
    interruptions: list[int],
    listen: Callable[[], bool],
    deadlines: Deadlines,
) -> ChildResult:
    last_news = time.monotonic()
    interrupted_at: float | None = None
    size = 0
    while True:
        try:
            code = child.wait(TICK_S)
        except subprocess.TimeoutExpired:
            code = None
        now = time.monotonic()
        if code is not None:
            end = ChildEnd.BY_ITSELF if interrupted_at is None else ChildEnd.INTERRUPTED
            return ChildResult(end, code)
        has_news, grown = listen(), log.stat().st_size
        if has_news or grown != size:
            last_news, size = now, grown
        if interrupted_at is None:
            if interruptions:
                interrupted_at = now
                _signal(child, signal.SIGINT)
            elif now - last_news > deadlines.silence_s:
                return ChildResult(ChildEnd.SILENT, _end_by_force(child))
        elif len(interruptions) > 1 or now - interrupted_at > deadlines.grace_s:
            return ChildResult(ChildEnd.INTERRUPTED, _end_by_force(child))


@contextmanager
def _interruptions() -> Iterator[list[int]]:
    """Collect the numbers of the signals that ask for an end, instead of ending."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal(child: "subprocess.Popen[bytes]", number: int) -> None:
    if child.poll() is None:
        child.send_signal(number)


def _end_by_force(child: "subprocess.Popen[bytes]") -> int:
    """End a child and all that it started in its session: politely, then not; return its code."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            break
        _signal_group(child, number)
        try:
            child.wait(POLITE_S)
        except subprocess.TimeoutExpired:
            continue
    # What the child left running, such as the adapter of a killed pytest.
    _signal_group(child, signal.SIGKILL)
    return child.wait(GRACE_S)


def _signal_group(child: "subprocess.Popen[bytes]", number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        return
