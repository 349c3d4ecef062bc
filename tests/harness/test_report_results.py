import json
from collections.abc import Callable
from pathlib import Path

import pytest

from session_conformance.verdicts import CheckRecord, Reason, RunEnd, Verdict
from session_harness.errors import HarnessError
from session_harness.report.results import RunResults, case_of, load_results, short_name
from session_harness.report.summary import summary

Make = Callable[..., RunResults]


def test_a_stream_is_read_with_testees_suites_and_end(sample: RunResults) -> None:
    assert [testee.title for testee in sample.testees] == ["reference 1.0.5", "session_python 1.0.5"]
    assert sample.suites == ("sealing", "padding", "onion", "messaging")
    assert sample.is_complete
    assert sample.seconds == 12.5
    assert sample.started is not None
    assert sample.started.isoformat() == "2026-11-23T06:15:28+00:00"


def test_counts_begin_with_the_good_news_and_leave_out_what_never_came(sample: RunResults) -> None:
    counts = sample.counts(testee="session_python")
    words = ["passed", "unsupported", "expected_failure", "not_run", "stale", "failed"]
    assert list(counts) == words
    assert sum(counts.values()) == 6
    assert sample.counts(suite="onion", testee="reference") == {Verdict.ERRORED: 1}


def test_problems_come_by_weight_and_leave_out_what_nobody_has_to_mend(sample: RunResults) -> None:
    assert [record.verdict for record in sample.problems] == [
        Verdict.FAILED, Verdict.ERRORED, Verdict.FLAKY, Verdict.STALE,
    ]  # fmt: skip


def test_checks_that_were_kept_from_running_are_counted_by_what_kept_them(make_results: Make) -> None:
    records = [
        CheckRecord(f"s.c{n}", "t", Verdict.NOT_RUN, reason=Reason.TESTEE, message="no hello")
        for n in range(3)
    ]
    wished = CheckRecord("s.d", "t", Verdict.NOT_RUN, reason=Reason.REQUESTED)
    (group,) = make_results(*records, wished).prevented
    assert (group.testee, group.reason, group.message, group.count) == ("t", Reason.TESTEE, "no hello", 3)


def test_the_level_ends_at_the_first_tier_with_anything_but_a_pass(make_results: Make) -> None:
    def level(*pairs: tuple[str, Verdict]) -> str:
        records = (CheckRecord(f"s.c{n}", "t", verdict, tier=tier) for n, (tier, verdict) in enumerate(pairs))
        return make_results(*records).level_of("t")

    assert level(("L1", Verdict.PASSED), ("L2", Verdict.WARNED), ("L3", Verdict.UNSUPPORTED)) == "L2"
    assert level(("L1", Verdict.PASSED), ("L1", Verdict.FAILED), ("L2", Verdict.PASSED)) == ""
    assert level(("L2", Verdict.PASSED), ("L1", Verdict.EXPECTED_FAILURE)) == ""
    assert level() == ""


def test_the_replay_line_is_the_recorded_one_or_names_the_case(make_results: Make) -> None:
    recorded = CheckRecord("s.c", "t", Verdict.FAILED, replay="do it again", case="cases/s.c--t")
    by_case = CheckRecord("s.c", "t", Verdict.FAILED, case="cases/s.c--t")
    run = make_results(recorded, by_case)
    assert run.replay_line(recorded) == "do it again"
    assert run.replay_line(by_case) == f"session-harness replay {run.run}/s.c--t"
    assert run.replay_line(CheckRecord("s.c", "t", Verdict.PASSED)) == ""
    assert case_of(by_case) == "s.c--t"


def test_names_leave_out_the_suite_and_tell_the_peer() -> None:
    record = CheckRecord("messaging.TestX.delivers", "t", Verdict.PASSED, suite="messaging", peer="other")
    assert short_name(record) == "TestX.delivers (peer other)"


def test_a_run_that_was_killed_is_read_as_far_as_it_came(
    tmp_path: Path, write_stream: Callable[..., Path]
) -> None:
    stream = write_stream(tmp_path / "report.jsonl", end=None)
    data = stream.read_bytes()
    stream.write_bytes(data[:-40])
    results = load_results(stream)
    assert not results.is_complete
    assert len(results.records) == 11


def test_a_missing_or_foreign_stream_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"missing\.jsonl"):
        load_results(tmp_path / "missing.jsonl")
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text('{"type": "something"}\n')
    with pytest.raises(HarnessError, match="no header"):
        load_results(foreign)


def test_the_summary_is_what_the_machine_output_promises(sample: RunResults) -> None:
    found = json.loads(json.dumps(summary(sample, exit_code=1)))
    assert found["run"] == sample.run
    assert found["seed"] == "7"
    assert found["engine"] == "embedded"
    assert found["exit"] == 1
    names = [(testee["name"], testee["version"]) for testee in found["testees"]]
    assert names == [("reference", "1.0.5"), ("session_python", "1.0.5")]
    assert found["testees"][1]["counts"]["expected_failure"] == 1
    assert {problem["verdict"] for problem in found["problems"]} == {"failed", "stale", "flaky", "errored"}
    assert all(
        problem["replay"] for problem in found["problems"] if problem["verdict"] in ("failed", "flaky")
    )
    assert "exit" not in summary(sample)


@pytest.mark.parametrize("end", [RunEnd.INTERRUPTED, RunEnd.TESTNET_FAILED, RunEnd.USAGE, None])
def test_only_a_run_that_went_through_is_complete(make_results: Make, end: RunEnd | None) -> None:
    assert not make_results(end=end).is_complete
