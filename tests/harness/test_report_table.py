from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from session_conformance.verdicts import CheckRecord, Reason, Verdict
from session_harness.report.results import RunResults
from session_harness.report.styles import STYLES, counted
from session_harness.report.table import MOST_PROBLEMS, print_run

Make = Callable[..., RunResults]


def shown(run: RunResults, *, width: int = 100, report: str = "") -> str:
    console = Console(
        width=width, record=True, file=None, force_terminal=False, color_system=None, quiet=False
    )
    with console.capture() as capture:
        print_run(console, run, report=report)
    return capture.get()


def test_every_verdict_has_a_look_of_its_own() -> None:
    assert set(STYLES) == set(Verdict)
    assert len({style.sign for style in STYLES.values()}) == len(Verdict)


def test_the_table_has_a_row_for_each_suite_and_a_column_for_each_testee(sample: RunResults) -> None:
    lines = shown(sample).splitlines()
    (head,) = (line for line in lines if line.lstrip().startswith("suite"))
    assert head.split() == ["suite", "reference", "1.0.5", "session_python", "1.0.5"]
    (sealing,) = (line for line in lines if line.startswith("sealing  "))
    assert sealing.split() == ["sealing", "✓", "2", "✓", "1", "✗", "1"]
    (everything,) = (line for line in lines if line.startswith("all  "))
    assert everything.split()[:3] == ["all", "✓", "2"]


def test_each_problem_shows_message_requirement_and_replay_line(sample: RunResults) -> None:
    text = shown(sample)
    assert "✗ sealing.refuses_a_flipped_bit  failed  session_python" in text
    assert "A changed message is refused." in text
    assert "SEAL-03: A ciphertext that was changed in any bit is refused." in text
    assert "session.decrypt accepted input that it must refuse" in text
    for record in sample.problems:
        if record.case:
            assert sample.replay_line(record) in text
    assert "◇ padding.unpads  stale  session_python" in text
    assert "○ 1 check of session_python not run  the network did not start" in text


def test_the_last_lines_say_how_it_went_and_where_the_report_is(sample: RunResults) -> None:
    lines = shown(sample, report="runs/x/report.html").rstrip().splitlines()
    assert lines[-1] == "report: runs/x/report.html"
    assert lines[-2].endswith("in 12 s  (seed 7)")


def test_a_run_cut_short_says_so(make_results: Make) -> None:
    record = CheckRecord("a.x", "t", Verdict.PASSED, suite="a")
    assert "cut short" in shown(make_results(record, end=None))
    assert "cut short" not in shown(make_results(record))


def test_hundreds_of_problems_are_not_all_shown(make_results: Make) -> None:
    records = [CheckRecord(f"a.x{n}", "t", Verdict.FAILED, suite="a") for n in range(MOST_PROBLEMS + 7)]
    text = shown(make_results(*records))
    assert "… and 7 more problems" in text
    assert text.count("✗ a.x") == MOST_PROBLEMS


def test_a_testee_that_did_not_start_takes_one_line(make_results: Make) -> None:
    records = [
        CheckRecord(
            f"a.x{n}", "t", Verdict.NOT_RUN, suite="a", reason=Reason.TESTEE, message="no hello\nmore"
        )
        for n in range(50)
    ]
    text = shown(make_results(*records))
    assert "○ 50 checks of t not run  no hello …" in text
    assert text.count("no hello") == 1


@given(
    st.text(st.characters(codec=None), max_size=60),
    st.sampled_from(["[red]", "[/]", "\x1b[2J", "\x07", ":smile:"]),
)
def test_nothing_that_a_testee_wrote_acts_on_the_terminal(text: str, markup: str) -> None:
    record = CheckRecord(
        f"a.{markup}", f"t{markup}", Verdict.FAILED, suite="a", message=text + markup, replay=markup
    )
    from session_harness.report.results import TesteeInfo

    run = RunResults(run="r", testees=(TesteeInfo(f"t{markup}"),), records=(record,))
    output = shown(run)
    assert not [character for character in output if ord(character) < 32 and character not in "\n"]
    if markup.startswith("["):
        assert f"a.{markup}" in output


def test_counts_in_words() -> None:
    assert counted({Verdict.PASSED: 3, Verdict.EXPECTED_FAILURE: 1}) == "3 passed, 1 expected failure"
    assert counted({}) == "nothing judged"
