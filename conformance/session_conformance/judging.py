"""What an ended check says about its testee: from an exception to a verdict, pure."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

import pytest

from session_conformance.contract.errors import Rejected, TesteeError, Unsupported
from session_conformance.guard import CheckEnded
from session_conformance.testnet_errors import TestnetFailed, TooFewNodes
from session_conformance.verdicts import CONTRADICTIONS, SEVERITY, Level, Reason, Verdict, contradiction

MESSAGE_CHARACTERS: Final = 2_000

# What differs from run to run, and advice for people who run pytest themselves.
_ADDRESSES: Final = re.compile(r" at 0x[0-9a-f]+(?=>)")
_FIXTURES: Final = ("testee=", "genuine=")
_PYTEST_ADVICE: Final = re.compile(r"\n *Use -v to get more diff")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold the verdict of one attempt, or of one part, of a check, with a sentence that says why."""

    verdict: Verdict
    message: str = ""
    reason: Reason = Reason.NONE


PASSED: Final = Outcome(Verdict.PASSED)

RETRIED: Final = CONTRADICTIONS | {Verdict.ERRORED}
"""Verdicts that are only believed when a second attempt, alone and with the same seed, gives one again."""


def judge(error: BaseException | None, *, level: Level, declared: Collection[str]) -> Outcome:
    """Return the verdict of a check that ended in ``error``, or in nothing.

    ``declared`` are the operations of the testee's ``hello``.
    """
    match error:
        case None:
            return PASSED
        case CheckEnded():
            return judge(error.error, level=level, declared=declared)
        case TesteeError() if error.participant:
            return Outcome(Verdict.ERRORED, f"{error.participant} erred: {_sentence(error)}", Reason.PEER)
        case pytest.skip.Exception():
            return Outcome(Verdict.UNSUPPORTED, _sentence(error))
        case TestnetFailed():
            return Outcome(Verdict.NOT_RUN, _sentence(error), Reason.TESTNET)
        case TooFewNodes():
            return Outcome(Verdict.NOT_RUN, _sentence(error), Reason.NODES)
        case Unsupported() if error.op not in declared:
            return Outcome(Verdict.UNSUPPORTED, _sentence(error))
        case Unsupported():
            return Outcome(contradiction(level), f"{_sentence(error)} (but hello declared {error.op})")
        case AssertionError() | Rejected() | pytest.fail.Exception():
            return Outcome(contradiction(level), _sentence(error))
        case BaseExceptionGroup() if _is_inconsistency(error):
            return Outcome(Verdict.FLAKY, f"one input, several answers: {_sentence(error)}")
        case BaseExceptionGroup():
            parts = [judge(part, level=level, declared=declared) for part in error.exceptions]
            return heaviest(parts)
        case TesteeError():
            return Outcome(Verdict.ERRORED, _sentence(error))
        case _ if _is_inconsistency(error):
            return Outcome(Verdict.FLAKY, f"one input, several answers: {_sentence(error)}")
        case _:
            return Outcome(Verdict.ERRORED, f"{type(error).__name__}: {_sentence(error)}")


def _is_inconsistency(error: BaseException) -> bool:
    # By name: hypothesis is only imported by suites that use it.
    return any(
        kind.__module__ == "hypothesis.errors" and kind.__name__ in {"Flaky", "FlakyFailure"}
        for kind in type(error).__mro__
    )


def heaviest(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome that outweighs the others; the first of equals."""
    return min(outcomes, key=lambda outcome: SEVERITY.index(outcome.verdict))


def after_retry(first: Outcome, second: Outcome) -> Outcome:
    """Return what two attempts with the same seed say together: bad, then good, is flaky.

    Of two bad ones the heavier counts, of equals the second. An error of the peer says nothing about the
    testee, and so does not make it flaky.
    """
    if first.reason is Reason.PEER and second.verdict is Verdict.PASSED:
        return second
    if second.verdict in RETRIED | {Verdict.FLAKY}:
        return heaviest((second, first))
    if second.verdict is Verdict.PASSED:
        return replace(
            first,
            verdict=Verdict.FLAKY,
            message=f"{first.verdict} first, passed when run again with the same seed: {first.message}",
        )
    return first


def _sentence(error: BaseException) -> str:
    message = error.msg if isinstance(error, pytest.skip.Exception | pytest.fail.Exception) else None
    text = str(message if message is not None else error).strip() or type(error).__name__
    # Hypothesis adds the example that failed as a note.
    notes = [line for note in getattr(error, "__notes__", ()) for line in note.splitlines()]
    text = "\n".join([text, *(line for line in notes if not line.lstrip().startswith(_FIXTURES))])
    text = _PYTEST_ADVICE.sub("", _ADDRESSES.sub("", text)).rstrip()
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}…"
