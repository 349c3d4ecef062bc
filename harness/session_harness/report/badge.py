"""Write the result of a run as a badge: the JSON that a shields.io endpoint badge reads."""

from typing import Any, Final

from session_conformance.verdicts import BAD, Verdict
from session_harness.report.results import RunResults
from session_harness.report.text import visible

LABEL: Final = "Session conformance"
_COUNTED: Final = frozenset(Verdict) - {Verdict.UNSUPPORTED}
_PASSED: Final = frozenset({Verdict.PASSED, Verdict.WARNED})


def badge(run: RunResults) -> dict[str, Any]:
    """Return the badge of a run: level and share of passed checks, of its one testee or of each."""
    parts = [_of_testee(run, testee.name) for testee in run.testees]
    if len(parts) == 1:
        label, message = f"{LABEL}: {visible(run.testees[0].name)}", parts[0]
    else:
        label = LABEL
        message = ", ".join(
            f"{visible(testee.name)} {part}" for testee, part in zip(run.testees, parts, strict=True)
        )
    return {"schemaVersion": 1, "label": label, "message": message or "nothing judged", "color": _colour(run)}


def _of_testee(run: RunResults, testee: str) -> str:
    counts = run.counts(testee=testee)
    counted = sum(number for verdict, number in counts.items() if verdict in _COUNTED)
    if counted == 0:
        return "nothing judged"
    passed = sum(number for verdict, number in counts.items() if verdict in _PASSED)
    level = run.level_of(testee)
    return f"{level} · {passed}/{counted} passed" if level else f"{passed}/{counted} passed"


def _colour(run: RunResults) -> str:
    verdicts = set(run.counts())
    if not run.is_complete or Verdict.PASSED not in verdicts:
        return "red" if verdicts & BAD else "lightgrey"
    if verdicts & BAD:
        return "red"
    if run.prevented or Verdict.ERRORED in verdicts:
        return "orange"
    return "yellowgreen" if verdicts & {Verdict.WARNED, Verdict.EXPECTED_FAILURE} else "brightgreen"
