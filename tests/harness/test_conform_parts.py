import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from session_conformance.verdicts import CheckRecord, Reason, RunEnd, Verdict
from session_harness import conform as judging
from session_harness.child import ChildEnd, ChildResult
from session_harness.conform import ConformOptions, StreamTail, child_environment, judge, options_of
from session_harness.errors import ExitCode, UsageError
from session_harness.report.results import RunResults, TesteeInfo
from session_harness.runs import RunDirectory
from session_harness.selfcheck import weigh

Make = Callable[..., RunResults]
ENDED = ChildResult(ChildEnd.BY_ITSELF, 0)
OPTIONS = ConformOptions(testees=("reference",))


def record(verdict: Verdict, check: str = "a.x", testee: str = "t", **more: Any) -> CheckRecord:
    return CheckRecord(check, testee, verdict, suite=check.partition(".")[0], **more)


# From options to the child and back.


def test_the_child_is_told_everything_that_was_asked(tmp_path: Path) -> None:
    options = ConformOptions(
        testees=("reference", "cmd:./a b"),
        suites=("sealing",),
        filters=("*.x",),
        skips=("*.y",),
        seed="s",
        nodes=5,
        expectations=("t=f.toml",),
        max_examples=7,
        max_failures=3,
        fail_fast=True,
        validate=True,
        retry=False,
        state="here",
    )
    words = options.pytest_arguments(RunDirectory(tmp_path))
    pairs = list(pairwise(words))
    for pair in [
        ("--testee", "reference"),
        ("--testee", "cmd:./a b"),
        ("--peer", "reference"),
        ("--session-suite", "sealing"),
        ("--session-filter", "*.x"),
        ("--session-skip", "*.y"),
        ("--session-seed", "s"),
        ("--session-nodes", "5"),
        ("--session-expectations", "t=f.toml"),
        ("--session-max-examples", "7"),
        ("--session-max-failures", "3"),
        ("--session-state", "here"),
        ("--session-run-dir", str(tmp_path)),
    ]:
        assert pair in pairs
    assert {"--session-fail-fast", "--session-validate", "--session-no-retry"} <= set(words)


def test_the_child_is_asked_for_nothing_that_was_not_said(tmp_path: Path) -> None:
    words = OPTIONS.pytest_arguments(RunDirectory(tmp_path))
    unsaid = {"--session-fail-fast", "--session-validate", "--session-no-retry", "--session-state"}
    assert not unsaid & set(words)


def test_every_option_of_the_child_exists_in_the_plugin(tmp_path: Path) -> None:
    from session_conformance.options import add_options

    known: list[str] = []
    group = SimpleNamespace(addoption=lambda name, **_: known.append(name))
    add_options(SimpleNamespace(getgroup=lambda *_: group))  # type: ignore[arg-type]
    everything = replace(
        OPTIONS, suites=("a",), filters=("b",), skips=("c",), expectations=("d",), state="e", max_failures=1,
        fail_fast=True, validate=True, retry=False,
    )  # fmt: skip
    words = everything.pytest_arguments(RunDirectory(tmp_path))
    assert {word for word in words if word.startswith("--")} <= set(known)


def test_the_users_own_pytest_does_not_reach_the_child() -> None:
    found = child_environment(
        {"PYTEST_ADDOPTS": "-x", "HYPOTHESIS_PROFILE": "ci", "PATH": "/bin", "PYTHONPATH": "here"}
    )
    assert found == {
        "PATH": "/bin",
        "PYTHONPATH": "here",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONUTF8": "1",
    }


def test_recorded_options_come_back_as_they_were(tmp_path: Path) -> None:
    options = replace(
        OPTIONS, seed="5", suites=("sealing", "onion"), require="L2", out=tmp_path, max_failures=4
    )
    recorded = json.loads(json.dumps(judging.inputs_of(options, RunDirectory(tmp_path))))
    assert options_of(recorded) == options
    recorded["options"]["of_a_later_version"] = 1
    assert options_of(recorded) == options


@pytest.mark.parametrize("inputs", [{}, {"options": 5}, {"options": {"seed": "1"}}])
def test_a_run_without_options_cannot_be_repeated(inputs: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        options_of(inputs)


def test_inputs_hold_only_what_is_known_to_be_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_TOKEN", "hush")
    monkeypatch.setenv("CI", "true")
    text = json.dumps(judging.inputs_of(OPTIONS, RunDirectory(tmp_path)))
    assert "hush" not in text
    assert json.loads(text)["environment"]["CI"] == "true"


def test_a_random_seed_is_drawn_and_recorded() -> None:
    seeds = {judging._settled(replace(OPTIONS, seed="random")).seed for _ in range(5)}
    assert len(seeds) == 5
    assert all(seed.isdecimal() for seed in seeds)
    assert judging._settled(OPTIONS).seed == "0"


# The stream.


def test_a_growing_stream_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    tail = StreamTail(path)
    assert tail.read() == []
    with path.open("wb", buffering=0) as stream:
        stream.write(b'{"type": "header"}\n{"type": "ve')
        assert tail.read() == [{"type": "header"}]
        assert tail.read() == []
        stream.write('rdict", "check": "ü"}\n'.encode())
        assert tail.read() == [{"type": "verdict", "check": "ü"}]


# The exit code.


@pytest.mark.parametrize(
    ("verdicts", "strict", "code"),
    [
        ([Verdict.PASSED], False, ExitCode.OK),
        ([Verdict.PASSED, Verdict.FAILED, Verdict.ERRORED], False, ExitCode.FAILED),
        ([Verdict.PASSED, Verdict.STALE], False, ExitCode.FAILED),
        ([Verdict.PASSED, Verdict.ERRORED], False, ExitCode.ERRORED),
        ([Verdict.PASSED, Verdict.WARNED], False, ExitCode.OK),
        ([Verdict.PASSED, Verdict.WARNED], True, ExitCode.FAILED),
        ([Verdict.UNSUPPORTED], False, ExitCode.ERRORED),
        ([], False, ExitCode.ERRORED),
    ],
)
def test_the_exit_code_is_that_of_the_verdicts(
    make_results: Make, tmp_path: Path, verdicts: list[Verdict], strict: bool, code: ExitCode
) -> None:
    results = make_results(*(record(verdict, f"a.x{n}") for n, verdict in enumerate(verdicts)))
    found, notes = judge(results, ENDED, replace(OPTIONS, strict=strict), RunDirectory(tmp_path))
    assert found is code
    assert notes == (() if verdicts else ("there was no check to judge",))


def test_an_interrupted_run_is_130_whatever_it_found(make_results: Make, tmp_path: Path) -> None:
    results = make_results(record(Verdict.FAILED), end=RunEnd.INTERRUPTED)
    child = ChildResult(ChildEnd.INTERRUPTED, 2)
    code, notes = judge(results, child, OPTIONS, RunDirectory(tmp_path))
    assert code is ExitCode.INTERRUPTED
    assert notes == ("interrupted: what follows is not all",)


def test_a_testnet_that_did_not_start_is_3_and_says_why(make_results: Make, tmp_path: Path) -> None:
    reason = "the network did not start: port 1 is taken\n  hint: free it"
    results = make_results(
        record(Verdict.NOT_RUN, reason=Reason.TESTNET, message=reason), end=RunEnd.TESTNET_FAILED
    )
    code, notes = judge(results, ENDED, OPTIONS, RunDirectory(tmp_path))
    assert code is ExitCode.TESTNET
    (note,) = notes
    assert "port 1 is taken" in note
    assert "\n" not in note


@pytest.mark.parametrize(
    ("verdict", "code"), [(Verdict.PASSED, ExitCode.ERRORED), (Verdict.FAILED, ExitCode.FAILED)]
)
def test_a_child_that_was_killed_never_means_that_all_is_fine(
    make_results: Make, tmp_path: Path, verdict: Verdict, code: ExitCode
) -> None:
    directory = RunDirectory(tmp_path)
    found, notes = judge(
        make_results(record(verdict), end=None), ChildResult(ChildEnd.BY_ITSELF, -9), OPTIONS, directory
    )
    assert found is code
    assert notes == (f"the suites ended with code -9 before they were through; see {directory.log}",)


def test_a_silent_child_is_named_with_its_last_check(make_results: Make, tmp_path: Path) -> None:
    child = ChildResult(ChildEnd.SILENT, -15)
    code, notes = judge(
        make_results(record(Verdict.PASSED), end=None), child, OPTIONS, RunDirectory(tmp_path)
    )
    assert code is ExitCode.ERRORED
    assert "the last one was of a.x" in notes[0]


def test_a_testee_below_the_required_tier_fails(make_results: Make, tmp_path: Path) -> None:
    from session_conformance.contract.operations import Tier, operations_of

    names = [operation.name for operation in operations_of(Tier.L1)]
    options = replace(OPTIONS, require="L1")
    results = make_results(record(Verdict.PASSED))
    whole = replace(results, testees=(TesteeInfo("t", operations=frozenset(names)),))
    assert judge(whole, ENDED, options, RunDirectory(tmp_path)) == (ExitCode.OK, ())
    part = replace(results, testees=(TesteeInfo("t", operations=frozenset(names[1:])),))
    code, notes = judge(part, ENDED, options, RunDirectory(tmp_path))
    assert code is ExitCode.FAILED
    assert notes == (f"t does not reach L1: it does not declare {names[0]}",)


# The self-check.


def fault(name: str, *globs: str) -> Any:
    return SimpleNamespace(id=name, sentence=f"{name} is wrong.", expected_checks=globs)


def test_a_fault_is_caught_only_by_a_check_that_is_meant_for_it() -> None:
    records = [
        record(Verdict.PASSED, "a.x", "reference"),
        record(Verdict.PASSED, "a.y", "reference"),
        record(Verdict.FAILED, "a.x", "broken-one"),
        record(Verdict.FAILED, "a.y", "broken-two"),
    ]
    result = weigh(records, [fault("one", "a.x"), fault("two", "a.x", "b.*")], whole=True)
    assert (result.faults, result.caught, result.code) == (2, 1, ExitCode.FAILED)
    (missed,) = result.missed
    assert (missed.fault, missed.expected, missed.caught_by) == ("two", ("a.x", "b.*"), ("a.y",))


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.WARNED, Verdict.ERRORED, Verdict.FLAKY])
def test_any_bad_verdict_catches_a_fault(verdict: Verdict) -> None:
    records = [record(Verdict.PASSED, "a.x", "reference"), record(verdict, "a.x", "broken-one")]
    result = weigh(records, [fault("one", "a.*")], whole=True)
    assert result.code is ExitCode.OK
    assert result.as_json() == {
        "faults": 1, "caught": 1, "missed": [], "false_accusations": [], "checks_without_fault": [],
    }  # fmt: skip


def test_an_accused_reference_is_a_false_accusation() -> None:
    records = [record(Verdict.FAILED, "a.x", "reference"), record(Verdict.FAILED, "a.x", "broken-one")]
    result = weigh(records, [fault("one", "a.x")], whole=True)
    assert result.false_accusations == ("a.x",)
    assert result.code is ExitCode.FAILED


def test_a_check_that_never_failed_proves_nothing() -> None:
    records = [
        record(Verdict.PASSED, "a.x", "reference"),
        record(Verdict.PASSED, "a.idle", "reference"),
        record(Verdict.UNSUPPORTED, "a.beyond", "reference"),
        record(Verdict.FAILED, "a.x", "broken-one"),
    ]
    assert weigh(records, [fault("one", "a.x")], whole=True).checks_without_fault == ("a.idle",)
    assert weigh(records, [fault("one", "a.x")], whole=False).checks_without_fault == ()
