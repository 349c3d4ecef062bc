import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from session_harness.child import ChildEnd, ChildResult, Deadlines, run_child


def run(
    tmp_path: Path,
    program: str,
    *,
    silence_s: float = 30,
    grace_s: float = 30,
    listen: Callable[[], bool] = lambda: False,
) -> ChildResult:
    return run_child(
        lambda _lifeline: [sys.executable, "-c", program],
        log=tmp_path / "log",
        environment=dict(os.environ),
        listen=listen,
        deadlines=Deadlines(silence_s, grace_s),
    )


WAIT_FOR_EVER = "import threading; threading.Event().wait()"


class WhenReady:
    """Send this process signals once the child has said that it is ready."""

    def __init__(self, log: Path, *numbers: int, has_news: bool = False) -> None:
        self.log = log
        self.numbers = list(numbers)
        self.has_news = has_news

    def __call__(self) -> bool:
        if self.numbers and self.log.exists() and b"ready" in self.log.read_bytes():
            os.kill(os.getpid(), self.numbers.pop(0))
        return self.has_news


@pytest.mark.parametrize("code", [0, 1, 5])
def test_the_code_of_a_child_comes_back_and_its_output_is_kept(tmp_path: Path, code: int) -> None:
    program = f"import sys; print('out'); print('err', file=sys.stderr); sys.exit({code})"
    assert run(tmp_path, program) == ChildResult(ChildEnd.BY_ITSELF, code)
    assert sorted((tmp_path / "log").read_text().split()) == ["err", "out"]


def test_a_silent_child_is_ended(tmp_path: Path) -> None:
    started = time.monotonic()
    result = run(tmp_path, WAIT_FOR_EVER, silence_s=0.3)
    assert result == ChildResult(ChildEnd.SILENT, -signal.SIGTERM)
    assert time.monotonic() - started < 20


def test_a_child_that_says_something_is_not_silent(tmp_path: Path) -> None:
    # Ten words, each well within the deadline, together longer than it.
    program = "import threading\nfor n in range(10): print(n, flush=True); threading.Event().wait(0.15)"
    assert run(tmp_path, program, silence_s=1.2) == ChildResult(ChildEnd.BY_ITSELF, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_reaches_the_child_which_may_end_by_itself(tmp_path: Path, number: int) -> None:
    program = (
        "import signal, sys, threading\n"
        "signal.signal(signal.SIGINT, lambda *_: (print('tidied up'), sys.exit(2)))\n"
        "print('ready', flush=True)\n"
        "threading.Event().wait(30)"
    )
    before = signal.getsignal(number)
    result = run(tmp_path, program, listen=WhenReady(tmp_path / "log", number))
    assert result == ChildResult(ChildEnd.INTERRUPTED, 2)
    assert "tidied up" in (tmp_path / "log").read_text()
    assert signal.getsignal(number) is before


COUNTS_INTERRUPTIONS = (
    "import signal, sys, threading\n"
    "seen = []\n"
    "def note(*_):\n"
    "    seen.append(1)\n"
    "    print('asked', flush=True)\n"
    "    if len(seen) == 3: sys.exit(7)\n"
    "signal.signal(signal.SIGINT, note)\n"
    "print('ready', flush=True)\n"
    "while True: threading.Event().wait(0.05)"
)


@pytest.mark.parametrize("has_news", [False, True])
def test_a_child_that_is_tidying_up_is_not_asked_again(tmp_path: Path, has_news: bool) -> None:
    tidying = WhenReady(tmp_path / "log", signal.SIGINT, has_news=has_news)
    result = run(tmp_path, COUNTS_INTERRUPTIONS, grace_s=0.8, listen=tidying)
    assert result.end is ChildEnd.INTERRUPTED
    assert (tmp_path / "log").read_text().count("asked") == 1


STUBBORN = (
    "import signal, threading\n"
    "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)\n"
    "print('ready', flush=True)\n"
    "threading.Event().wait(60)"
)


def test_a_second_interruption_does_not_wait(tmp_path: Path) -> None:
    result = run(tmp_path, STUBBORN, listen=WhenReady(tmp_path / "log", signal.SIGINT, signal.SIGINT))
    assert result == ChildResult(ChildEnd.INTERRUPTED, -signal.SIGKILL)


def test_a_child_that_ignores_an_interruption_is_killed_after_the_grace(tmp_path: Path) -> None:
    result = run(tmp_path, STUBBORN, grace_s=0.2, listen=WhenReady(tmp_path / "log", signal.SIGINT))
    assert result == ChildResult(ChildEnd.INTERRUPTED, -signal.SIGKILL)


def test_what_a_child_has_started_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {WAIT_FOR_EVER!r}])\n"
        "print(child.pid, flush=True)"
    )
    assert run(tmp_path, program).code == 0
    pid = int((tmp_path / "log").read_text())
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} goes on after 10 s"
        threading.Event().wait(0.01)


def is_running(pid: int) -> bool:
    """Say whether a process exists and is more than a zombie that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
