import re
from typing import Any

import pytest
from rich.console import Console

from session_conformance.recording.stream import verdict_line
from session_conformance.verdicts import CheckRecord, Verdict
from session_harness.cli import progress


def line(check: str, verdict: Verdict, testee: str = "t\x1b") -> dict[str, Any]:
    return verdict_line(CheckRecord(check, testee, verdict, suite=check.partition(".")[0]))


def test_without_a_terminal_each_suite_gets_a_line_when_it_is_through(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.shown_progress() as watch:
        watch({"type": "header"})
        watch({"type": "plan", "checks": 3})
        watch(line("sealing.opens", Verdict.PASSED))
        watch(line("sealing.refuses", Verdict.FAILED))
        assert capsys.readouterr().err == "failed: sealing.refuses (t\\x1b)\n"
        watch(line("padding.pads", Verdict.PASSED))
        assert capsys.readouterr().err == "sealing (t\\x1b): 1 passed, 1 failed\n"
        watch(line("padding.pads", Verdict.WARNED, "other"))
        assert capsys.readouterr().err == "padding (t\\x1b): 1 passed\n"
    out, err = capsys.readouterr()
    assert (out, err) == ("", "padding (other): 1 warned\n")


def test_on_a_terminal_the_suites_and_how_far_it_is_are_shown() -> None:
    counts = progress.Tally()
    console = Console(width=80, record=True, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(progress.view(counts))
    assert capture.get().strip() == "starting …"
    for entry in (
        {"type": "plan", "checks": 4},
        line("sealing.opens", Verdict.PASSED),
        line("sealing.refuses", Verdict.FAILED),
        line("padding.pads", Verdict.WARNED),
    ):
        counts.take(entry)
    with console.capture() as capture:
        console.print(progress.view(counts))
    shown = capture.get()
    assert re.search(r"^sealing +✓ 1  ✗ 1 *$", shown, re.MULTILINE)
    assert re.search(r"^padding +! 1 *$", shown, re.MULTILINE)
    assert "3 of 4" in shown
