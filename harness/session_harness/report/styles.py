"""How each verdict looks: a sign, a word, and a style on a terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from session_conformance.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class VerdictStyle:
    """Hold the looks of one verdict."""

    sign: str
    word: str
    style: str


STYLES: Final = {
    Verdict.PASSED: VerdictStyle("✓", "passed", "green"),
    Verdict.FAILED: VerdictStyle("✗", "failed", "bold red"),
    Verdict.WARNED: VerdictStyle("!", "warned", "yellow"),
    Verdict.EXPECTED_FAILURE: VerdictStyle("≈", "expected failure", "cyan"),
    Verdict.STALE: VerdictStyle("◇", "stale", "bold magenta"),
    Verdict.FLAKY: VerdictStyle("↯", "flaky", "bold yellow"),
    Verdict.UNSUPPORTED: VerdictStyle("·", "unsupported", "dim"),
    Verdict.ERRORED: VerdictStyle("⚠", "errored", "bold red"),
    Verdict.NOT_RUN: VerdictStyle("○", "not run", "dim"),
}


def counted(counts: Mapping[Verdict, int]) -> str:
    """Return counts of verdicts in words, in their order: ``18 passed, 2 failed``."""
    return (
        ", ".join(f"{number} {STYLES[verdict].word}" for verdict, number in counts.items())
        or "nothing judged"
    )
