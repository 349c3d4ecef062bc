import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_harness.diagnosis import Weight, examine, missing_dependencies
from session_harness.durations import format_duration
from session_harness.following import appended
from session_harness.spelling import suggestion
from session_testnet.durations import parse_duration_ms


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("90", 90_000), ("45s", 45_000), ("30m", 1_800_000), ("2h", 7_200_000), ("1d", 86_400_000),
        ("250ms", 250), ("1.5s", 1500), ("-5m", -300_000), ("+1s", 1000), (" 1s ", 1000), ("0", 0),
    ],
)  # fmt: skip
def test_lengths_of_time_are_read_as_people_write_them(text: str, milliseconds: int) -> None:
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize("text", ["", "m", "1w", "1 h 2", "1h30m", "--5s", "1,5s", "1e3", "inf", "٣s"])
def test_other_texts_are_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="is not a length of time"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (42, "42 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_lengths_of_time_are_shown_in_their_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.lists(st.integers()), st.integers(0, 30), st.integers(1, 20))
def test_following_a_log_shows_each_line_once(numbers: list[int], first: int, window: int) -> None:
    # Lines of a log differ: they carry the time.
    log = [f"{index}: {number}" for index, number in enumerate(numbers)]
    before, now = log[:first], log
    shown = appended(before[-window:], now[-window:])
    missed = max(0, len(log) - len(before) - window)
    assert shown == log[len(before) + missed :] if len(log) > len(before) else shown == []


def test_a_hint_names_the_closest_or_all() -> None:
    assert suggestion("seling", ["sealing", "padding"]) == "did you mean 'sealing'?"
    assert suggestion("xyz", ["sealing", "padding"]) == "known: sealing, padding"
    assert suggestion("xyz", []) == ""


def test_missing_dependencies_are_those_without_marker_that_are_not_installed() -> None:
    wanted = [
        "click>=8.1",
        "no-such-thing>=1",
        "other-thing",
        'optional; extra == "dev"',
        "also-missing[x]>=1",
    ]
    assert missing_dependencies(wanted) == ["no-such-thing", "other-thing", "also-missing"]


def test_this_machine_has_what_the_tests_need() -> None:
    findings = examine()
    assert len({finding.subject for finding in findings}) == len(findings)
    assert [
        finding.subject for finding in findings if finding.weight is Weight.NEEDED and not finding.fine
    ] == []
