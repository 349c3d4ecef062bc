"""The hooks that judge: from collected items to verdicts, records and the exit code."""

import platform
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from session_conformance import lifeline, requirements
from session_conformance.checks import (
    SERVER_SUITES_PACKAGE,
    SUITES_PACKAGE,
    CheckDeclarationError,
    CheckInfo,
    catalogue,
    describe,
)
from session_conformance.courtroom import Courtroom, harness_name
from session_conformance.expectations import DivergenceKind, apply, matches_glob
from session_conformance.fixtures import COURTROOM
from session_conformance.judging import RETRIED, Outcome
from session_conformance.ledger import Ledger, Part
from session_conformance.options import JudgeOptions, read_options
from session_conformance.recording.cases import case_name, write_case
from session_conformance.recording.replay import conform_command, line_of, pytest_command
from session_conformance.recording.stream import FILE_NAME, Header, StreamWriter, TesteeLine, footer_of
from session_conformance.trial import ERRORS, Planned, Trial, hold, leave_for, obstacle, report_of
from session_conformance.verdicts import (
    BAD,
    CheckRecord,
    ExitCode,
    Reason,
    RunEnd,
    Verdict,
    counts,
    exit_code,
)

PLANNED: "Final[pytest.StashKey[Planned]]" = pytest.StashKey()
_ITSELF: Final = "session-conformance"  # names records about a fault of the judge, or of its suites
_WITHOUT_EVIDENCE: Final = frozenset({Verdict.PASSED, Verdict.UNSUPPORTED, Verdict.NOT_RUN})


class Judge:
    """Judge the checks of one pytest session; one object a process.

    Under pytest-xdist every worker has one, which tries checks; the controller's collects what they said and
    is the only one to write the stream.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.options: JudgeOptions = read_options(config)
        self.worker = hasattr(config, "workerinput")
        self.courtroom = Courtroom(self.options, self._announce)
        self.ledger = Ledger({spec.name: self.options.expectations_of(spec) for spec in self.options.testees})
        self._writer: StreamWriter | None = None
        self._began = time.monotonic()
        self._end = RunEnd.COMPLETE
        self._failures = 0
        self._pending: dict[tuple[str, str], Planned] = {}
        self._collected: set[str] = set()
        self._introduced: set[str] = set()
        self._broken_modules: set[str] = set()
        config.stash[COURTROOM] = self.courtroom
        # One suite that cannot be read must not silence the others.
        config.option.continue_on_collection_errors = True
        if self.options.run_dir is not None and not config.option.collectonly and config.option.verbose <= 0:
            config.option.verbose = -2
        _load_profile(self.options.max_examples)

    def _announce(self, text: str) -> None:
        if self._writer is not None:
            self._writer.note(text)
        elif (reporter := self.config.pluginmanager.get_plugin("terminalreporter")) is not None:
            reporter.write_line(text)

    def _write(self, record: CheckRecord) -> None:
        if self._writer is not None:
            self._writer.verdict(record)

    # Before the checks.

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Open the stream."""
        options = self.options
        if self.worker or options.run_dir is None or self.config.option.collectonly:
            return
        self.courtroom.interruption.watch(session)
        if options.lifeline is not None:
            lifeline.watch(options.lifeline, self.courtroom.abandon)
        options.run_dir.mkdir(parents=True, exist_ok=True)
        self._writer = StreamWriter(options.run_dir / FILE_NAME)
        self._writer.header(
            Header(
                run=options.run_dir.name,
                seed=options.seed,
                engine="attached" if options.state else options.engine,
                started=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                harness=harness_name(),
                python=platform.python_version(),
                platform=f"{platform.system()} {platform.machine()}",
                max_examples=options.max_examples,
                nodes=options.nodes,
                peer=options.peer,
                testees=tuple({"name": spec.name, "spec": spec.text} for spec in options.testees),
                filters=options.filters,
                suites=options.suites,
            )
        )

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run whatever takes the fixture ``testee`` once for each testee."""
        if "testee" in metafunc.fixturenames:
            specs = self.options.testees
            metafunc.parametrize("testee", specs, ids=[spec.name for spec in specs], indirect=True)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Find the checks among the items, select those asked for, and order them by testee."""
        try:
            known = requirements.load(*self.options.requirement_folders)
            planned = [(item, self._plan(item, known)) for item in items]
        except (requirements.RequirementsError, CheckDeclarationError) as error:
            raise pytest.UsageError(str(error)) from error
        self._collected = {plan.info.id for _item, plan in planned if plan is not None}
        kept = [(item, plan) for item, plan in planned if plan is None or self._is_selected(plan)]
        left_out = [item for item, plan in planned if plan is not None and not self._is_selected(plan)]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
        parts = Counter((plan.info.id, plan.spec.name) for _item, plan in kept if plan is not None)
        order = {spec.name: number for number, spec in enumerate(self.options.testees)}
        for item, plan in kept:
            if plan is not None:
                key = (plan.info.id, plan.spec.name)
                item.stash[PLANNED] = self._pending[key] = replace(plan, parts=parts[key])
        kept.sort(key=lambda pair: order[pair[1].spec.name] if pair[1] is not None else -1)
        items[:] = [item for item, _plan in kept]
        if self._writer is not None:
            self._writer.plan(len(parts))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Write the plan of the first worker: all workers have the same."""
        if self._writer is not None and not self._collected:
            self._collected = set(ids)
            self._writer.plan(len(ids))

    def _plan(self, item: pytest.Item, known: requirements.Catalogue) -> Planned | None:
        function = getattr(item, "function", None)
        module = getattr(item, "module", None)
        if function is None or module is None:
            return None
        name = item.nodeid.partition("::")[2].partition("[")[0].replace("::", ".")
        info = describe(function, module=module.__name__, qualified_name=name)
        if info is None:
            return None
        spec = item.callspec.params.get("testee") if hasattr(item, "callspec") else None
        if spec is None:
            raise CheckDeclarationError(f"the check {info.id} does not take the fixture testee")
        return Planned(info, spec, known.level_of(info), "peer" in getattr(item, "fixturenames", ()))

    def _is_selected(self, planned: Planned) -> bool:
        options, info = self.options, planned.info
        if planned.spec.suites and info.suite not in planned.spec.suites:
            return False
        wanted = not options.filters or any(matches_glob(info.id, glob) for glob in options.filters)
        return wanted and (not options.suites or info.suite in options.suites)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a suite that cannot be read: its checks were not judged."""
        if report.failed and not self.worker and report.nodeid not in self._broken_modules:
            self._broken_modules.add(report.nodeid)
            text = f"{report.nodeid or 'the suites'} cannot be collected:\n{report.longreprtext}"
            self._write(self.ledger.put(CheckRecord(_ITSELF, "", Verdict.ERRORED, message=text)))

    # The checks.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Try a check and report its verdict instead of pytest's own outcome."""
        planned = item.stash.get(PLANNED, None)
        if planned is None:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        prevented = self._unwanted(planned.info) or obstacle(planned, self.courtroom)
        if prevented is not None:
            trial = Trial(prevented, attempts=0)
            leave_for(nextitem, item)
        else:
            retries = 0 if self._is_listed(planned) else self.options.retries
            trial = hold(item, nextitem, planned, self.courtroom, retries=retries)
        part, shown = self._part(item, planned, trial)
        reports: list[Any] = report_of(item, trial, shown.verdict, shown.message or shown.expectation)
        reports[-1].session_part = part.as_json()
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        self._failures += shown.verdict in BAD or shown.verdict is Verdict.ERRORED
        following = nextitem.stash.get(PLANNED, None) if nextitem is not None else None
        if following is not None and following.spec.name != planned.spec.name:
            self.courtroom.close_testee(planned.spec.name)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep the exceptions of a check: a report only has their text."""
        errors = item.stash.get(ERRORS, None)
        if errors is not None and call.excinfo is not None:
            errors.append((call.when, call.excinfo.value))
        return (yield)

    def _is_listed(self, planned: Planned) -> bool:
        """Say whether the check is known to fail: then once is enough."""
        version = self.courtroom.testee(planned.spec).hello.version
        entry = self.ledger.expectations_of(planned.spec.name, version).entry_for(planned.info.id)
        return entry is not None and entry.kind is DivergenceKind.FAILED

    def _unwanted(self, info: CheckInfo) -> Outcome | None:
        if any(matches_glob(info.id, glob) for glob in self.options.skips):
            return Outcome(Verdict.NOT_RUN, "skipped by request", Reason.REQUESTED)
        limit = self.options.max_failures
        if limit is not None and self._failures >= limit:
            return Outcome(Verdict.NOT_RUN, f"not run after {limit} failure(s), by request", Reason.REQUESTED)
        return None

    def _part(self, item: pytest.Item, planned: Planned, trial: Trial) -> tuple[Part, CheckRecord]:
        """Return what the item said, and its record as it is shown: with the listed divergences applied."""
        info, spec, outcome = planned.info, planned.spec, trial.outcome
        started = self.courtroom.failure_of(spec.name) is None and outcome.reason is not Reason.REQUESTED
        hello = self.courtroom.testee(spec).hello if started else None
        version = hello.version if hello is not None else ""
        record = CheckRecord(
            check=info.id,
            testee=spec.name,
            verdict=outcome.verdict,
            level=planned.level,
            requirements=info.requirements,
            tier=info.tier.value,
            suite=info.suite,
            sentence=info.sentence,
            seconds=trial.seconds,
            message=outcome.message,
            peer=self.courtroom.peer_spec.name if planned.needs_peer else "",
            reason=outcome.reason,
            attempts=trial.attempts,
        )
        if record.verdict not in _WITHOUT_EVIDENCE:
            record = self._with_evidence(record, item, planned, trial)
        shown = apply(record, self.ledger.expectations_of(spec.name, version))
        if shown.verdict is Verdict.STALE and planned.parts > 1:
            shown = record  # whether the entry is stale is known when all parts are in
        introduction = {}
        if hello is not None and spec.name not in self._introduced:
            self._introduced.add(spec.name)
            introduction = hello.as_json()
        return Part(record, planned.parts, version, spec.text, introduction), shown

    def _with_evidence(
        self, record: CheckRecord, item: pytest.Item, planned: Planned, trial: Trial
    ) -> CheckRecord:
        invocation = Path(self.config.invocation_params.dir)
        if planned.info.module.startswith((f"{SUITES_PACKAGE}.", f"{SERVER_SUITES_PACKAGE}.")):
            command = conform_command(self.options, planned.spec.text, planned.info.id)
        else:
            command = pytest_command(self.options, planned.spec.text, planned.info.id, item.path)
        record = replace(record, replay=line_of(command))
        if self.options.run_dir is None or trial.evidence is None:
            return record
        name = case_name(_part_id(item, planned), planned.spec.slug)
        folder = write_case(self.options.run_dir, name, trial.evidence, replay=command, directory=invocation)
        return replace(record, case=folder)

    # After a check, in the controller.

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take what a check said into the ledger, and its record into the stream."""
        values = getattr(report, "session_part", None)
        if self.worker or values is None:
            return
        part = Part.from_json(values)
        if part.hello and self._writer is not None and part.record.testee not in self.ledger.introduced:
            self._writer.testee(TesteeLine(part.record.testee, part.spec, part.hello))
        record = self.ledger.add(part)
        if record is not None:
            self._pending.pop((record.check, record.testee), None)
            self._write(record)

    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        """Name the verdict instead of pytest's outcome; quietly, where a parent shows the progress."""
        value = getattr(report, "session_verdict", None)
        if value is None:
            return None
        verdict = Verdict(value)
        category = "failed" if verdict in RETRIED | BAD else value
        if verdict is Verdict.WARNED:
            category = value
        letter = "" if self.options.run_dir is not None else _LETTERS[verdict]
        return category, letter, value.replace("_", " ").upper()

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that a person ended the run."""
        if excinfo.type is KeyboardInterrupt:
            self._end = RunEnd.INTERRUPTED

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Close the courtroom and the stream, and set the exit code."""
        self.courtroom.interruption.release()
        if self.courtroom.interruption.noted:
            self._end = RunEnd.INTERRUPTED
        self.courtroom.close()
        if self.worker or self.config.option.collectonly:
            return
        self._close_ledger(exitstatus)
        code = exit_code(self.ledger.records, end=self._end)
        if self._writer is not None:
            seconds = time.monotonic() - self._began
            self._writer.footer(
                footer_of(self.ledger.records, end=self._end.value, exit_code=code, seconds=seconds)
            )
            self._writer.close()
        others_failed = exitstatus == pytest.ExitCode.TESTS_FAILED and code is ExitCode.FINE
        session.exitstatus = int(ExitCode.FAILED if others_failed else code)

    def _close_ledger(self, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.USAGE_ERROR:
            self._end = RunEnd.USAGE
        if exitstatus == pytest.ExitCode.INTERNAL_ERROR:
            self._write(
                self.ledger.put(CheckRecord(_ITSELF, "", Verdict.ERRORED, message="pytest failed internally"))
            )
        for record in self.ledger.interrupt():
            self._pending.pop((record.check, record.testee), None)
            self._write(record)
        for planned in self._pending.values():
            self._write(self.ledger.put(_not_reached(planned)))
        for record in self._stale_entries():
            self._write(record)
        if self._end is RunEnd.COMPLETE and any(
            record.reason is Reason.TESTNET for record in self.ledger.records
        ):
            self._end = RunEnd.TESTNET_FAILED

    def _stale_entries(self) -> list[CheckRecord]:
        if not any(self.options.expectations_of(spec).divergences for spec in self.options.testees):
            return []
        try:
            whole = {info.id for info in catalogue()} | {record.check for record in self.ledger.records}
        except Exception as error:  # noqa: BLE001  # importing a suite may raise anything
            text = f"the catalogue of checks cannot be read: {type(error).__name__}: {error}"
            return [self.ledger.put(CheckRecord(_ITSELF, "", Verdict.ERRORED, message=text))]
        return self.ledger.stale_entries(whole | self._collected)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show, when no parent does, the verdicts of each testee and how to reproduce what is bad."""
        if self.options.run_dir is not None or self.worker or not self.ledger.records:
            return
        terminalreporter.section("verdicts")
        for spec in self.options.testees:
            records = [record for record in self.ledger.records if record.testee == spec.name]
            found = ", ".join(f"{n} {v.replace('_', ' ')}" for v, n in counts(records).items() if n)
            terminalreporter.write_line(f"{spec.name}: {found or 'nothing judged'}")
        for record in self.ledger.records:
            if record.verdict in BAD or record.verdict is Verdict.ERRORED:
                first = record.message.partition("\n")[0]
                who = f" [{record.testee}]" if record.testee else ""
                terminalreporter.write_line(f"{record.verdict.upper()} {record.check}{who}: {first}")
                if record.replay:
                    terminalreporter.write_line(f"    {record.replay}")


_LETTERS: Final = {
    Verdict.PASSED: ".",
    Verdict.FAILED: "F",
    Verdict.WARNED: "w",
    Verdict.EXPECTED_FAILURE: "x",
    Verdict.STALE: "S",
    Verdict.FLAKY: "K",
    Verdict.UNSUPPORTED: "u",
    Verdict.ERRORED: "E",
    Verdict.NOT_RUN: "n",
}


def _part_id(item: pytest.Item, planned: Planned) -> str:
    if planned.parts == 1:
        return planned.info.id
    parameters = item.nodeid.partition("[")[2].removesuffix("]").replace(planned.spec.name, "").strip("-")
    return f"{planned.info.id}[{parameters}]"


def _not_reached(planned: Planned) -> CheckRecord:
    return CheckRecord(
        check=planned.info.id,
        testee=planned.spec.name,
        verdict=Verdict.NOT_RUN,
        level=planned.level,
        requirements=planned.info.requirements,
        tier=planned.info.tier.value,
        suite=planned.info.suite,
        sentence=planned.info.sentence,
        message="the run ended before",
        reason=Reason.INTERRUPTED,
        attempts=0,
    )


def _load_profile(max_examples: int) -> None:
    """Make hypothesis repeatable and patient: no memory of other runs, no deadline of its own."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        "session-conformance",
        parent=settings.get_profile("default"),
        max_examples=max_examples,
        database=None,
        deadline=None,
        derandomize=False,
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=hypothesis.Verbosity.normal,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        # A testee may be slow, and lives through all examples of a check.
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.function_scoped_fixture),
    )
    settings.load_profile("session-conformance")
