"""Run one pytest item as a check, once or twice, and tell how it ended."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

from session_conformance.checks import CheckInfo
from session_conformance.contract.errors import ContractViolation, TesteeError
from session_conformance.contract.messages import Hello
from session_conformance.contract.specs import TesteeSpec
from session_conformance.courtroom import Courtroom
from session_conformance.fixtures import CASE, CaseContext
from session_conformance.guard import CheckEnded, GuardedTestee
from session_conformance.judging import RETRIED, Outcome, after_retry, judge
from session_conformance.options import case_seed
from session_conformance.recording.cases import Evidence
from session_conformance.verdicts import Level, Reason, Verdict

ERRORS: "Final[pytest.StashKey[list[tuple[str, BaseException]]]]" = pytest.StashKey()


@dataclass(frozen=True, slots=True)
class Planned:
    """Hold what is known of an item before it is run; ``parts`` counts the items of its check and testee."""

    info: CheckInfo
    spec: TesteeSpec
    level: Level
    needs_peer: bool
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Trial:
    """Hold how a check ended: the outcome, the reports of pytest, and what was seen."""

    outcome: Outcome
    reports: tuple[pytest.TestReport, ...] = ()
    evidence: Evidence | None = None
    attempts: int = 0
    seconds: float = 0.0
    ended_early: BaseException | None = field(default=None, repr=False)


def hold(
    item: pytest.Item, nextitem: pytest.Item | None, planned: Planned, courtroom: Courtroom, *, retries: int
) -> Trial:
    """Try a check; when it ends badly try it again, ``retries`` being 0 or 1, to see whether it is flaky."""
    began = time.perf_counter()
    first = _attempt(item, nextitem, planned, courtroom, 1)
    trial = first
    if retries and first.outcome.verdict in RETRIED and first.ended_early is None:
        second = _attempt(item, nextitem, planned, courtroom, 2)
        outcome = after_retry(first.outcome, second.outcome)
        # The evidence is that of the attempt whose outcome counts; of a flaky check, the one that failed.
        shown = second if outcome == second.outcome else first
        trial = Trial(outcome, shown.reports, shown.evidence, first.attempts + second.attempts)
    return Trial(
        trial.outcome,
        trial.reports,
        trial.evidence,
        trial.attempts,
        round(time.perf_counter() - began, 6),
        trial.ended_early,
    )


def leave_for(nextitem: pytest.Item | None, item: pytest.Item) -> None:
    """Tear down what an item that is not run would have left to the next one.

    The item before it has kept the fixtures and collectors that it shares with this item, of its module for
    example; pytest refuses to set up an item of another module on top of them.
    """
    item.session._setupstate.teardown_exact(nextitem)


def obstacle(planned: Planned, courtroom: Courtroom) -> Outcome | None:
    """Start the testee, and the peer where it is needed; say why the check cannot be tried, or None."""
    declaration = planned.info.declaration
    found = _readiness(
        planned.spec.name, lambda: courtroom.testee(planned.spec), declaration.missing, courtroom
    )
    if found is None and planned.needs_peer:
        found = _readiness(courtroom.peer_key, courtroom.peer, declaration.missing_of_peer, courtroom)
        if found is not None and found.verdict is not Verdict.UNSUPPORTED:
            found = replace(found, reason=Reason.PEER)
    return found


def _readiness(
    name: str,
    start: Callable[[], GuardedTestee],
    missing: Callable[[Hello], str | None],
    courtroom: Courtroom,
) -> Outcome | None:
    before = courtroom.failure_of(name)
    try:
        hello = start().hello
    except TesteeError as error:
        if before is None:
            return Outcome(Verdict.ERRORED, str(error))
        return Outcome(Verdict.NOT_RUN, f"{name} does not start: {before.message}", Reason.TESTEE)
    lack = missing(hello)
    return Outcome(Verdict.UNSUPPORTED, f"{name} {lack}") if lack is not None else None


def _attempt(
    item: pytest.Item, nextitem: pytest.Item | None, planned: Planned, courtroom: Courtroom, number: int
) -> Trial:
    testees = {planned.spec.name: courtroom.testee(planned.spec)}
    if planned.needs_peer:
        testees[courtroom.peer_key] = courtroom.peer()
    try:
        for participant in testees.values():
            participant.begin()
    except TesteeError as error:
        return Trial(
            judge(error, level=planned.level, declared=testees[planned.spec.name].hello.operations),
            attempts=1,
        )
    seed = courtroom.begin_attempt(planned.spec.name, planned.info.id, number)
    fixed_seed = case_seed(courtroom.options.seed, planned.info.id)
    context = CaseContext(planned.info.id, planned.spec.name, seed, artefact_seed=fixed_seed)
    item.stash[CASE] = context
    errors: list[tuple[str, BaseException]] = []
    item.stash[ERRORS] = errors
    _fix_seed(item, fixed_seed)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    cause, outcome = _outcome(errors, planned, testees[planned.spec.name])
    evidence = None
    if outcome.verdict is not Verdict.PASSED:
        explanation = _explain(testees, cause)
        if explanation and outcome.verdict is Verdict.ERRORED and not isinstance(cause, TesteeError):
            outcome = Outcome(outcome.verdict, f"{outcome.message}\n{explanation}", outcome.reason)
        evidence = _evidence(reports, testees, context, explanation)
    ended_early = cause if isinstance(cause, CheckEnded) else None
    return Trial(outcome, tuple(reports), evidence, 1, ended_early=ended_early)


def _outcome(
    errors: list[tuple[str, BaseException]], planned: Planned, testee: GuardedTestee
) -> tuple[BaseException | None, Outcome]:
    if not errors:
        return None, judge(None, level=planned.level, declared=testee.hello.operations)
    when, error = errors[0]
    if when == "teardown":
        # What a check leaves behind is cleaned up by the suite: the testee has already passed.
        return error, Outcome(
            Verdict.ERRORED, f"the clean-up of the check failed: {type(error).__name__}: {error}"
        )
    return error, judge(error, level=planned.level, declared=testee.hello.operations)


def _fix_seed(item: pytest.Item, seed: int) -> None:
    function: Any = getattr(item, "function", None)
    if getattr(function, "is_hypothesis_test", False):
        import hypothesis

        hypothesis.seed(seed)(function)


def _explain(testees: Mapping[str, GuardedTestee], error: BaseException | None) -> str:
    """Say how the last answer leaves its schema: that explains many a surprise of a suite."""
    if isinstance(error, ContractViolation):
        return ""
    from session_conformance.contract.validation import result_problem

    for name, testee in testees.items():
        if not testee.transcript or not testee.transcript[-1].received:
            continue
        last = testee.transcript[-1].as_json()
        request, reply = last["request"], last["reply"]
        if isinstance(request, dict) and isinstance(reply, dict) and isinstance(reply.get("result"), dict):
            problem = result_problem(request["op"], reply["result"])
            if problem is not None:
                return f"the last result of {name}, for {request['op']}, breaks the contract at {problem}"
    return ""


def _evidence(
    reports: list[pytest.TestReport],
    testees: Mapping[str, GuardedTestee],
    context: CaseContext,
    explanation: str,
) -> Evidence:
    texts = [report.longreprtext for report in reports if report.failed]
    if explanation:
        texts.append(f"{explanation[0].upper()}{explanation[1:]}.")
    return Evidence(
        failure="\n\n".join(texts),
        exchanges={name: tuple(testee.transcript) for name, testee in testees.items()},
        logs={name: testee.stderr_tail() for name, testee in testees.items()},
        notes=tuple(context.notes),
    )


def report_of(item: pytest.Item, trial: Trial, verdict: Verdict, text: str) -> list[pytest.TestReport]:
    """Return the reports of an item with one of them, the last of the list, speaking for the verdict."""
    reports = list(trial.reports)
    failed = [report for report in reports if report.failed]
    main: Any = failed[0] if failed else next((r for r in reports if r.when == "call"), None)
    if main is None:
        main = reports[0] if reports else _bare_report(item, trial.seconds)
    # One report speaks: a second failure, in the clean-up, is in the evidence.
    others = [report for report in reports if report is not main and not report.failed]
    path, line, _name = item.location
    match verdict:
        case Verdict.PASSED | Verdict.WARNED:
            main.outcome, main.longrepr = "passed", None
        case Verdict.EXPECTED_FAILURE:
            main.outcome, main.wasxfail = "skipped", text
        case Verdict.UNSUPPORTED | Verdict.NOT_RUN:
            main.outcome, main.longrepr = "skipped", (path, (line or 0) + 1, text)
        case Verdict.FAILED | Verdict.ERRORED:
            main.outcome, main.longrepr = "failed", main.longrepr or text
        case Verdict.STALE | Verdict.FLAKY:
            main.outcome, main.longrepr = "failed", text
    main.session_verdict = verdict.value
    return [*others, main]


def _bare_report(item: pytest.Item, seconds: float) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="passed",
        longrepr=None,
        when="call",
        duration=seconds,
    )
