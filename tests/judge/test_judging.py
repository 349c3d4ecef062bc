"""From the way a check ended to its verdict, and the guard that lets it end."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import errors as hypothesis_errors

from session_conformance.contract import (
    AdapterFault,
    ContractViolation,
    Rejected,
    TesteeCrashed,
    TesteeHung,
    TesteeNotStarted,
    Unsupported,
)
from session_conformance.contract.inprocess import InProcessTestee
from session_conformance.expectations import Divergence, Expectations
from session_conformance.guard import RESTARTS_A_CHECK, CheckEnded, GuardedTestee
from session_conformance.judging import Outcome, after_retry, heaviest, judge
from session_conformance.ledger import Ledger, Part, combine
from session_conformance.testnet_errors import TestnetErred, TestnetFailed, TooFewNodes
from session_conformance.verdicts import CheckRecord, Level, Reason, Verdict
from session_protocol.errors import DecryptFailed

V = Verdict
DECLARED = frozenset({"padding.pad"})


def verdict(error: BaseException | None, level: Level = Level.MUST) -> Verdict:
    return judge(error, level=level, declared=DECLARED).verdict


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, V.PASSED),
        (AssertionError("1 != 2"), V.FAILED),
        (Rejected("padding.pad", "internal"), V.FAILED),
        (DecryptFailed("our own builder refuses what the suite asks of it"), V.ERRORED),
        (TestnetErred("members hold different messages"), V.ERRORED),
        (TooFewNodes("an onion path takes 4 nodes"), V.NOT_RUN),
        (Unsupported("padding.pad"), V.FAILED),
        (Unsupported("padding.unpad"), V.UNSUPPORTED),
        (AdapterFault("padding.pad", "x"), V.ERRORED),
        (ContractViolation("x"), V.ERRORED),
        (TesteeCrashed("x", op="padding.pad"), V.ERRORED),
        (TesteeHung("padding.pad", 5), V.ERRORED),
        (TesteeNotStarted("x"), V.ERRORED),
        (CheckEnded(TesteeHung("padding.pad", 5)), V.ERRORED),
        (KeyError("x"), V.ERRORED),
        (SystemExit(1), V.ERRORED),
        (hypothesis_errors.Unsatisfiable("x"), V.ERRORED),
        (hypothesis_errors.FailedHealthCheck("x"), V.ERRORED),
        (hypothesis_errors.Flaky("x"), V.FLAKY),
        (hypothesis_errors.FlakyFailure("x", [AssertionError("y")]), V.FLAKY),
        (pytest.skip.Exception("no groups here"), V.UNSUPPORTED),
        (pytest.fail.Exception("bad"), V.FAILED),
        (TestnetFailed("no port"), V.NOT_RUN),
        (ExceptionGroup("two", [KeyError("x"), AssertionError("y")]), V.FAILED),
        (ExceptionGroup("two", [KeyError("x"), TesteeHung("a", 1)]), V.ERRORED),
    ],
)
def test_an_ending_has_a_verdict(error: BaseException | None, expected: Verdict) -> None:
    assert verdict(error) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, V.PASSED),
        (AssertionError(), V.WARNED),
        (Rejected("padding.pad", "internal"), V.WARNED),
        (Unsupported("padding.pad"), V.WARNED),
        (TesteeCrashed("x", op="padding.pad"), V.ERRORED),
    ],
)
def test_a_should_only_warns(error: BaseException | None, expected: Verdict) -> None:
    assert verdict(error, Level.SHOULD) is expected


@pytest.mark.parametrize(
    "error",
    [
        Rejected("client.send", "network_error"),
        Unsupported("padding.pad"),
        TesteeHung("client.poll", 5),
        CheckEnded(TesteeCrashed("it ended", op="client.send")),
    ],
)
def test_what_the_peer_does_is_not_held_against_the_testee(error: Any) -> None:
    (error.error if isinstance(error, CheckEnded) else error).participant = "the peer reference"
    outcome = judge(error, level=Level.MUST, declared=DECLARED)
    assert (outcome.verdict, outcome.reason) == (V.ERRORED, Reason.PEER)
    assert outcome.message.startswith("the peer reference erred: ")


def test_a_testee_is_not_flaky_because_its_peer_erred_once() -> None:
    erred, passed = Outcome(V.ERRORED, "x", Reason.PEER), Outcome(V.PASSED)
    assert after_retry(erred, passed) == passed
    assert after_retry(erred, Outcome(V.FAILED, "y")) == Outcome(V.FAILED, "y")


def test_a_testnet_failure_is_named_as_the_reason() -> None:
    outcome = judge(TestnetFailed("no port"), level=Level.MUST, declared=DECLARED)
    assert (outcome.reason, outcome.message) == (Reason.TESTNET, "no port")


def test_the_example_that_failed_is_told_without_the_testee() -> None:
    error = AssertionError("lengths differ")
    error.add_note("Failing test case: test_x(\n    testee=<testee mine>,\n    data=b'',\n)")
    message = judge(error, level=Level.MUST, declared=DECLARED).message
    assert message == "lengths differ\nFailing test case: test_x(\n    data=b'',\n)"


def test_messages_are_bounded_and_never_empty() -> None:
    assert judge(AssertionError("x" * 9_999), level=Level.MUST, declared=()).message.endswith("…")
    assert len(judge(AssertionError("x" * 9_999), level=Level.MUST, declared=()).message) == 2_001
    assert judge(AssertionError(), level=Level.MUST, declared=()).message == "AssertionError"
    assert judge(KeyError("k"), level=Level.MUST, declared=()).message == "KeyError: 'k'"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (V.FAILED, V.PASSED, V.FLAKY),
        (V.WARNED, V.PASSED, V.FLAKY),
        (V.ERRORED, V.PASSED, V.FLAKY),
        (V.FAILED, V.FAILED, V.FAILED),
        (V.FAILED, V.ERRORED, V.FAILED),
        (V.ERRORED, V.FAILED, V.FAILED),
        (V.WARNED, V.ERRORED, V.ERRORED),
        (V.FAILED, V.UNSUPPORTED, V.FAILED),
        (V.FAILED, V.NOT_RUN, V.FAILED),
    ],
)
def test_two_attempts_say_together(first: Verdict, second: Verdict, expected: Verdict) -> None:
    assert after_retry(Outcome(first, "one"), Outcome(second, "two")).verdict is expected


def test_of_two_bad_attempts_the_heavier_tells_of_equals_the_second() -> None:
    assert after_retry(Outcome(V.FAILED, "one"), Outcome(V.FAILED, "two")).message == "two"
    assert after_retry(Outcome(V.FAILED, "one"), Outcome(V.ERRORED, "two")).message == "one"
    assert after_retry(Outcome(V.WARNED, "one"), Outcome(V.ERRORED, "two")).message == "two"


def test_a_flaky_check_tells_how_it_failed() -> None:
    outcome = after_retry(Outcome(V.FAILED, "lost a byte"), Outcome(V.PASSED))
    assert outcome.message == "failed first, passed when run again with the same seed: lost a byte"


def test_the_heaviest_outcome_is_the_first_of_equals() -> None:
    assert heaviest([Outcome(V.PASSED), Outcome(V.FAILED, "a"), Outcome(V.FAILED, "b")]).message == "a"


# The guard.


class Moody:
    """An adapter whose next behaviour is set from outside."""

    resets = 0
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def handle(self, request: dict[str, Any], /) -> Mapping[str, Any]:
        if request["op"] == "reset":
            type(self).resets += 1
        if request["params"].get("do") == "crash":
            raise RuntimeError("boom")
        if request["op"] == "hello":
            return {
                "id": request["id"],
                "result": {"name": "m", "version": "1", "contract": 1, "operations": ["padding.pad"]},
            }
        return {"id": request["id"], "result": {}}


class Hanging(InProcessTestee):
    """A testee that says it hung: what the guard makes of it needs no clock."""

    calls = 0

    def call(
        self, op: str, /, account: str | None = None, *, deadline_s: float | None = None, **params: Any
    ) -> Any:
        type(self).calls += 1
        if params.get("do") == "hang":
            raise TesteeHung(op, 5)
        return super().call(op, account, deadline_s=deadline_s, **params)


@pytest.fixture
def guarded() -> GuardedTestee:
    Moody.resets = Moody.made = Hanging.calls = 0
    return GuardedTestee(Hanging(Moody(), name="moody"))


def test_the_first_hang_ends_the_check_for_good(guarded: GuardedTestee) -> None:
    guarded.begin()
    with pytest.raises(CheckEnded) as ended:
        guarded.call("padding.pad", do="hang")
    assert isinstance(ended.value.error, TesteeHung)
    asked = Hanging.calls
    for _ in range(3):
        with pytest.raises(CheckEnded):
            guarded.call("padding.pad")
        with pytest.raises(CheckEnded):
            guarded.call_many([("padding.pad", {})])
    assert asked == Hanging.calls  # the testee was not asked again
    guarded.begin()
    assert guarded.call("padding.pad") == {}


def test_errors_and_results_of_a_peer_carry_its_name() -> None:
    Hanging.calls = 0
    guarded = GuardedTestee(Hanging(Moody(), name="moody"), participant="the peer moody")
    guarded.begin()
    with pytest.raises(ContractViolation) as incomplete:
        guarded.call("padding.pad")["padded_hex"]
    assert incomplete.value.participant == "the peer moody"
    with pytest.raises(CheckEnded) as ended:
        guarded.call("padding.pad", do="hang")
    assert ended.value.error.participant == "the peer moody"


def test_hypothesis_neither_catches_nor_shrinks_the_end(guarded: GuardedTestee) -> None:
    from hypothesis import given, settings
    from hypothesis import strategies as st

    examples: list[int] = []

    @settings(database=None, max_examples=50)
    @given(st.integers())
    def run(number: int) -> None:
        examples.append(number)
        guarded.call("padding.pad", do="hang" if len(examples) > 3 else "")

    with pytest.raises(CheckEnded):
        run()
    assert len(examples) == 4


def test_a_crash_is_followed_by_a_restart(guarded: GuardedTestee) -> None:
    guarded.begin()
    with pytest.raises(TesteeCrashed):
        guarded.call("padding.pad", do="crash")
    assert not guarded.alive
    assert guarded.call("padding.pad") == {}
    assert Moody.made == 2


def test_too_many_crashes_end_the_check(guarded: GuardedTestee) -> None:
    guarded.begin()
    for _ in range(RESTARTS_A_CHECK - 1):
        with pytest.raises(TesteeCrashed):
            guarded.call("padding.pad", do="crash")
    with pytest.raises(CheckEnded):
        guarded.call("padding.pad", do="crash")


def test_only_a_used_network_is_forgotten(guarded: GuardedTestee) -> None:
    guarded.begin()
    guarded.call("padding.pad")
    guarded.begin()
    assert Moody.resets == 0
    guarded.call("client.create", "alice")
    guarded.begin()
    guarded.begin()
    assert Moody.resets == 1
    assert not guarded.transcript


def test_a_dead_testee_is_back_for_the_next_check(guarded: GuardedTestee) -> None:
    guarded.begin()
    with pytest.raises(TesteeCrashed):
        guarded.call("padding.pad", do="crash")
    guarded.begin()
    assert guarded.alive
    assert repr(guarded) == "<testee moody>"


def test_a_declared_operation_that_is_unsupported_says_so() -> None:
    outcome = judge(Unsupported("padding.pad", "later"), level=Level.MUST, declared=DECLARED)
    assert outcome.message == "padding.pad is not supported: later (but hello declared padding.pad)"


# The ledger.


def part(verdict: Verdict, parts: int = 1, check: str = "a.b", **fields: Any) -> Part:
    return Part(CheckRecord(check, "mini", verdict, **fields), parts, version="1.0")


def test_a_check_is_recorded_when_all_its_parts_are_in() -> None:
    ledger = Ledger({})
    assert ledger.add(part(V.PASSED, 3, seconds=1.0)) is None
    assert ledger.add(part(V.FAILED, 3, seconds=0.5, message="m", case="c")) is None
    record = ledger.add(part(V.PASSED, 3, seconds=0.25))
    assert record is not None
    assert (record.verdict, record.message, record.case, record.seconds) == (V.FAILED, "m", "c", 1.75)
    assert ledger.records == [record]
    assert ledger.failures == 1


def test_parts_are_judged_against_the_list_together() -> None:
    listed = {"mini": Expectations((Divergence("a.*", "known"),))}
    ledger = Ledger(listed)
    ledger.add(part(V.PASSED, 2))
    record = ledger.add(part(V.FAILED, 2))
    assert record is not None
    assert record.verdict is V.EXPECTED_FAILURE
    stale = Ledger(listed).add(part(V.PASSED))
    assert stale is not None
    assert stale.verdict is V.STALE


def test_a_check_that_was_cut_short_is_not_passed() -> None:
    ledger = Ledger({})
    ledger.add(part(V.PASSED, 2))
    ledger.add(part(V.FAILED, 2, check="a.c"))
    first, second = ledger.interrupt()
    assert (first.verdict, first.reason) == (V.NOT_RUN, Reason.INTERRUPTED)
    assert second.verdict is V.FAILED
    assert not ledger.interrupt()


def test_stale_entries_are_looked_for_once_a_testee_has_spoken() -> None:
    ledger = Ledger(
        {
            "mini": Expectations((Divergence("gone.*", "x"),)),
            "other": Expectations((Divergence("gone.*", "x"),)),
        }
    )
    assert not ledger.stale_entries(["a.b"])
    ledger.add(part(V.PASSED))
    (stale,) = ledger.stale_entries(["a.b"])
    assert (stale.testee, stale.check) == ("mini", "gone.*")
    assert stale in ledger.records


def test_a_part_travels_as_plain_values() -> None:
    import json

    sent = Part(
        CheckRecord("a.b", "mini", V.WARNED, Level.SHOULD, ("X-01",), reason=Reason.NONE),
        2,
        "1",
        "cmd:x",
        {"name": "m"},
    )
    assert Part.from_json(json.loads(json.dumps(sent.as_json()))) == sent


def test_the_heaviest_part_gives_the_evidence() -> None:
    whole = combine([part(V.WARNED, attempts=1).record, part(V.ERRORED, attempts=2, message="x").record])
    assert (whole.verdict, whole.message, whole.attempts) == (V.ERRORED, "x", 2)
