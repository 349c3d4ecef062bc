"""Exit codes by precedence, and the small rules around verdicts."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_conformance.verdicts import (
    BAD,
    CONTRADICTIONS,
    JUDGED,
    SEVERITY,
    CheckRecord,
    ExitCode,
    Level,
    Reason,
    RunEnd,
    Strictness,
    Verdict,
    contradiction,
    counts,
    exit_code,
    weight,
    worst,
)

V = Verdict


def records(*verdicts: Verdict, reason: Reason = Reason.NONE) -> list[CheckRecord]:
    return [
        CheckRecord(check=f"suite.check{number}", testee="mini", verdict=verdict, reason=reason)
        for number, verdict in enumerate(verdicts)
    ]


def not_run(reason: Reason) -> list[CheckRecord]:
    return records(V.NOT_RUN, reason=reason)


some_records = st.lists(
    st.builds(
        CheckRecord,
        check=st.just("a.b"),
        testee=st.just("mini"),
        verdict=st.sampled_from(Verdict),
        reason=st.sampled_from(Reason),
    ),
    max_size=6,
)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ((V.PASSED,), ExitCode.FINE),
        ((V.PASSED, V.EXPECTED_FAILURE, V.UNSUPPORTED), ExitCode.FINE),
        ((V.EXPECTED_FAILURE,), ExitCode.FINE),
        ((V.WARNED,), ExitCode.FINE),
        ((V.FAILED,), ExitCode.FAILED),
        ((V.STALE,), ExitCode.FAILED),
        ((V.FLAKY,), ExitCode.FAILED),
        ((V.PASSED, V.FAILED), ExitCode.FAILED),
        ((V.ERRORED,), ExitCode.NOT_JUDGED),
        ((V.PASSED, V.ERRORED), ExitCode.NOT_JUDGED),
        ((V.FAILED, V.ERRORED), ExitCode.FAILED),
        ((V.STALE, V.NOT_RUN), ExitCode.FAILED),
        ((V.UNSUPPORTED,), ExitCode.NOT_JUDGED),
        ((V.UNSUPPORTED, V.UNSUPPORTED), ExitCode.NOT_JUDGED),
        ((), ExitCode.NOT_JUDGED),
    ],
)
def test_verdicts_make_the_exit_code(verdicts: tuple[Verdict, ...], code: ExitCode) -> None:
    assert exit_code(records(*verdicts)) is code


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.REQUESTED, ExitCode.FINE),
        (Reason.TESTEE, ExitCode.NOT_JUDGED),
        (Reason.TESTNET, ExitCode.NOT_JUDGED),
        (Reason.INTERRUPTED, ExitCode.NOT_JUDGED),
        (Reason.NONE, ExitCode.NOT_JUDGED),
    ],
)
def test_only_a_request_excuses_what_was_not_run(reason: Reason, code: ExitCode) -> None:
    assert exit_code([*records(V.PASSED), *not_run(reason)]) is code


def test_skipping_everything_by_request_judges_nothing() -> None:
    assert exit_code(not_run(Reason.REQUESTED)) is ExitCode.NOT_JUDGED


def test_a_fail_fast_run_is_failed_not_unjudged() -> None:
    assert exit_code([*records(V.FAILED), *not_run(Reason.REQUESTED)]) is ExitCode.FAILED


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ((V.WARNED,), ExitCode.FAILED),
        ((V.PASSED, V.WARNED), ExitCode.FAILED),
        ((V.WARNED, V.ERRORED), ExitCode.FAILED),
        ((V.PASSED, V.EXPECTED_FAILURE), ExitCode.FINE),
        ((V.UNSUPPORTED, V.PASSED), ExitCode.FINE),
    ],
)
def test_strict_makes_warnings_count(verdicts: tuple[Verdict, ...], code: ExitCode) -> None:
    assert exit_code(records(*verdicts), strictness=Strictness.STRICT) is code


@given(some_records, st.sampled_from(Strictness))
def test_an_interruption_wins(found: list[CheckRecord], strictness: Strictness) -> None:
    assert exit_code(found, end=RunEnd.INTERRUPTED, strictness=strictness) == 130


@given(some_records, st.sampled_from(Strictness))
def test_a_testnet_that_did_not_start_comes_second(found: list[CheckRecord], strictness: Strictness) -> None:
    assert exit_code(found, end=RunEnd.TESTNET_FAILED, strictness=strictness) == 3


@given(some_records)
def test_usage_comes_after_failures_and_errors(found: list[CheckRecord]) -> None:
    code = exit_code(found, end=RunEnd.USAGE)
    verdicts = {record.verdict for record in found}
    if verdicts & BAD:
        assert code == 1
    elif V.ERRORED in verdicts:
        assert code == 2
    else:
        assert code in {2, 64}
    assert exit_code([], end=RunEnd.USAGE) == 64


@given(some_records, some_records)
def test_more_records_never_hide_a_failure(first: list[CheckRecord], second: list[CheckRecord]) -> None:
    if exit_code(first) is ExitCode.FAILED:
        assert exit_code([*first, *second]) is ExitCode.FAILED


@given(some_records)
def test_zero_means_that_something_was_judged_and_nothing_was_bad(found: list[CheckRecord]) -> None:
    if exit_code(found) is ExitCode.FINE:
        verdicts = {record.verdict for record in found}
        assert verdicts & JUDGED
        assert not verdicts & (BAD | {V.ERRORED})


@given(some_records)
def test_strict_is_never_milder(found: list[CheckRecord]) -> None:
    normal, strict = exit_code(found), exit_code(found, strictness=Strictness.STRICT)
    assert strict == normal or strict is ExitCode.FAILED


@given(some_records.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_order_of_records_does_not_matter(pair: tuple[list[CheckRecord], list[CheckRecord]]) -> None:
    found, shuffled = pair
    assert exit_code(shuffled) is exit_code(found)


def test_exit_codes_are_the_documented_numbers() -> None:
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 64, 130]


def test_a_generator_of_records_is_enough() -> None:
    assert exit_code(record for record in records(V.FAILED)) is ExitCode.FAILED


def test_every_verdict_is_counted_also_when_absent() -> None:
    found = counts(records(V.PASSED, V.PASSED, V.WARNED))
    assert found[V.PASSED] == 2
    assert found[V.WARNED] == 1
    assert list(found) == list(Verdict)
    assert sum(found.values()) == 3


def test_severity_orders_every_verdict_once() -> None:
    assert sorted(SEVERITY) == sorted(Verdict)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((V.PASSED, V.FAILED, V.PASSED), V.FAILED),
        ((V.ERRORED, V.FAILED), V.FAILED),
        ((V.ERRORED, V.PASSED), V.ERRORED),
        ((V.PASSED, V.UNSUPPORTED), V.PASSED),
        ((V.WARNED, V.PASSED), V.WARNED),
        ((V.NOT_RUN, V.PASSED), V.NOT_RUN),
        ((V.UNSUPPORTED,), V.UNSUPPORTED),
    ],
)
def test_the_worst_part_speaks_for_the_whole(verdicts: Iterable[Verdict], expected: Verdict) -> None:
    assert worst(verdicts) is expected


def test_levels_make_failures_or_warnings() -> None:
    assert contradiction(Level.MUST) is V.FAILED
    assert contradiction(Level.SHOULD) is V.WARNED
    assert {contradiction(level) for level in Level} == CONTRADICTIONS


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((Level.MUST,), Level.MUST),
        ((Level.SHOULD,), Level.SHOULD),
        ((Level.SHOULD, Level.MUST), Level.MUST),
        ((Level.SHOULD, Level.SHOULD), Level.SHOULD),
        ((), Level.MUST),
    ],
)
def test_one_must_makes_a_check_a_must(levels: tuple[Level, ...], expected: Level) -> None:
    assert weight(levels) is expected
