"""The result of a run as its reports need it: counts by suite and testee, and what needs attention."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from session_conformance.recording.stream import Report, StreamError, read_report
from session_conformance.verdicts import BAD, SEVERITY, CheckRecord, Reason, RunEnd, Verdict
from session_harness.errors import HarnessError

PROBLEMS: Final = BAD | {Verdict.ERRORED}
"""Verdicts about which somebody has to do something, check by check."""

GOOD_NEWS_FIRST: Final = (
    Verdict.PASSED,
    *(verdict for verdict in reversed(SEVERITY) if verdict is not Verdict.PASSED),
)


@dataclass(frozen=True, slots=True)
class TesteeInfo:
    """Describe a testee of the run: one column of the reports."""

    __test__ = False  # the name is not that of a test class

    name: str
    version: str = ""
    language: str = ""
    spec: str = ""
    homepage: str = ""
    operations: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """Return name and version."""
        return f"{self.name} {self.version}".rstrip()


@dataclass(frozen=True, slots=True)
class NotRun:
    """Hold checks of one testee that one thing kept from running."""

    testee: str
    reason: Reason
    message: str
    count: int


@dataclass(frozen=True)
class RunResults:
    """Hold everything that the stream of a run says; ``end`` is None for a run that did not end by itself."""

    run: str
    seed: str = ""
    engine: str = ""
    harness: str = ""
    started: datetime | None = None
    end: RunEnd | None = None
    ended_after_s: float | None = None
    testees: tuple[TesteeInfo, ...] = ()
    records: tuple[CheckRecord, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Say whether everything that was to be judged was judged."""
        return self.end is RunEnd.COMPLETE

    @cached_property
    def suites(self) -> tuple[str, ...]:
        """Return the names of the suites, in the order in which they ran."""
        return tuple(dict.fromkeys(suite_of(record) for record in self.records))

    @cached_property
    def seconds(self) -> float:
        """Return how long the run took; the sum of the checks when it did not end by itself."""
        if self.ended_after_s is not None:
            return self.ended_after_s
        return sum(record.seconds for record in self.records)

    @cached_property
    def problems(self) -> tuple[CheckRecord, ...]:
        """Return what somebody has to do something about, the heaviest first."""
        found = [record for record in self.records if record.verdict in PROBLEMS]
        return tuple(sorted(found, key=lambda record: SEVERITY.index(record.verdict)))

    @cached_property
    def prevented(self) -> tuple[NotRun, ...]:
        """Return what kept checks from running, other than somebody's wish."""
        found = Counter(
            (record.testee, record.reason, record.message)
            for record in self.records
            if record.verdict is Verdict.NOT_RUN and record.reason is not Reason.REQUESTED
        )
        return tuple(NotRun(*key, count) for key, count in found.items())

    def of(self, *, suite: str | None = None, testee: str | None = None) -> list[CheckRecord]:
        """Return the records of one suite, of one testee, or of both."""
        return [
            record
            for record in self.records
            if (suite is None or suite_of(record) == suite) and (testee is None or record.testee == testee)
        ]

    def counts(self, *, suite: str | None = None, testee: str | None = None) -> dict[Verdict, int]:
        """Return how often each verdict came, the good news first; those that never came are left out."""
        return tally(record.verdict for record in self.of(suite=suite, testee=testee))

    def level_of(self, testee: str) -> str:
        """Return the highest tier of which, and below which, every check passed; empty without one."""
        reached = ""
        records = self.of(testee=testee)
        for tier in sorted({record.tier for record in records if record.tier}):
            verdicts = {record.verdict for record in records if record.tier == tier}
            if verdicts - {Verdict.PASSED, Verdict.WARNED}:
                break
            reached = tier
        return reached

    def replay_line(self, record: CheckRecord) -> str:
        """Return the command that repeats just this check."""
        if record.replay:
            return record.replay
        return f"session-harness replay {self.run}/{case_of(record)}" if record.case else ""


def tally(verdicts: Iterable[Verdict]) -> dict[Verdict, int]:
    """Count verdicts, the good news first."""
    counter = Counter(verdicts)
    return {verdict: counter[verdict] for verdict in GOOD_NEWS_FIRST if counter[verdict]}


def suite_of(record: CheckRecord) -> str:
    """Return the suite of a record; an expectation that matches no check has none of its own."""
    return record.suite or "expectations"


def short_name(record: CheckRecord) -> str:
    """Return the check's name inside its suite, with the peer where there is one."""
    short = record.check.removeprefix(f"{record.suite}.")
    return f"{short} (peer {record.peer})" if record.peer else short


def case_of(record: CheckRecord) -> str:
    """Return the name of the folder that holds a record's evidence."""
    return record.case.rstrip("/").rpartition("/")[2]


def load_results(stream: Path) -> RunResults:
    """Read the stream of a run, complete or not; raise HarnessError when it is missing or garbled."""
    try:
        return results_of(read_report(stream))
    except StreamError as error:
        raise HarnessError(str(error), hint="see pytest.log beside it, and run it again") from error


def results_of(report: Report) -> RunResults:
    """Return the results that a stream holds."""
    header, footer = report.header, report.footer
    return RunResults(
        run=str(header["run"]),
        seed=str(header["seed"]),
        engine=str(header["engine"]),
        harness=str(header["harness"]),
        started=_time(header["started"]),
        end=RunEnd(footer["end"]) if footer is not None else None,
        ended_after_s=float(footer["seconds"]) if footer is not None else None,
        testees=_testees(report),
        records=report.records,
    )


def _testees(report: Report) -> tuple[TesteeInfo, ...]:
    """Return the testees in the order of the command line; one that never said hello has no version."""
    found = {
        entry["name"]: TesteeInfo(entry["name"], spec=entry["spec"]) for entry in report.header["testees"]
    }
    for line in report.testees:
        hello: Mapping[str, Any] = line["hello"]
        found[line["testee"]] = TesteeInfo(
            name=line["testee"],
            version=str(hello.get("version", "")),
            language=str(hello.get("language", "")),
            spec=line["spec"],
            homepage=str(hello.get("homepage") or ""),
            operations=frozenset(map(str, hello.get("operations", ()))),
        )
    for record in report.records:
        found.setdefault(record.testee, TesteeInfo(record.testee))
    return tuple(found.values())


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
