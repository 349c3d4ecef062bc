"""Listed divergences: what a file may say, which checks it lists, and what that makes of a verdict."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_conformance.expectations import (
    Divergence,
    DivergenceKind,
    Expectations,
    ExpectationsError,
    apply,
    load,
    load_all,
    matches_glob,
    parse,
    stale_entries,
    version_matches,
)
from session_conformance.verdicts import CheckRecord, Level, Verdict

CATALOGUE = (
    "sealing.opens",
    "sealing.refuses",
    "storage_requests.signs_store",
    "storage_requests.signs_delete",
)


def divergence(check: str = "sealing.*", **fields: Any) -> Divergence:
    return Divergence(check=check, **{"reason": "known", "link": "https://example.org/1", **fields})


def record(verdict: Verdict, check: str = "sealing.opens", **fields: Any) -> CheckRecord:
    return CheckRecord(check=check, testee="mini", verdict=verdict, **fields)


def one(check: str = "sealing.*", **fields: Any) -> Expectations:
    return Expectations((divergence(check, **fields),), "known.toml")


# What a listed divergence makes of a verdict.


@pytest.mark.parametrize(
    ("given_verdict", "expected"),
    [
        (Verdict.FAILED, Verdict.EXPECTED_FAILURE),
        (Verdict.WARNED, Verdict.EXPECTED_FAILURE),
        (Verdict.PASSED, Verdict.STALE),
        (Verdict.ERRORED, Verdict.ERRORED),
        (Verdict.FLAKY, Verdict.FLAKY),
        (Verdict.UNSUPPORTED, Verdict.UNSUPPORTED),
        (Verdict.NOT_RUN, Verdict.NOT_RUN),
    ],
)
def test_a_listed_check_must_fail(given_verdict: Verdict, expected: Verdict) -> None:
    assert apply(record(given_verdict), one()).verdict is expected


@pytest.mark.parametrize(
    ("given_verdict", "expected"),
    [
        (Verdict.FAILED, Verdict.EXPECTED_FAILURE),
        (Verdict.WARNED, Verdict.EXPECTED_FAILURE),
        (Verdict.FLAKY, Verdict.EXPECTED_FAILURE),
        (Verdict.PASSED, Verdict.PASSED),
        (Verdict.ERRORED, Verdict.ERRORED),
    ],
)
def test_a_check_listed_as_flaky_may_do_either(given_verdict: Verdict, expected: Verdict) -> None:
    assert apply(record(given_verdict), one(kind=DivergenceKind.FLAKY)).verdict is expected


@given(st.sampled_from(Verdict))
def test_what_is_not_listed_stays_what_it_is(verdict: Verdict) -> None:
    unlisted = record(verdict, "padding.pads")
    assert apply(unlisted, one()) is unlisted
    assert apply(unlisted, Expectations()) is unlisted


def test_an_expected_failure_keeps_its_message_and_gains_the_reason() -> None:
    changed = apply(record(Verdict.FAILED, message="assert 1 == 2", case="cases/x"), one())
    assert (changed.message, changed.case) == ("assert 1 == 2", "cases/x")
    assert (changed.expectation, changed.link) == ("known", "https://example.org/1")


def test_a_stale_record_says_which_entry_to_remove() -> None:
    changed = apply(record(Verdict.PASSED), one("sealing.o*"))
    assert changed.message == "passed, but 'sealing.o*' lists it as a divergence: known"
    assert changed.expectation == "known"


def test_the_first_matching_entry_counts() -> None:
    listed = Expectations(
        (divergence("sealing.opens", reason="exact"), divergence("sealing.*", reason="all"))
    )
    assert apply(record(Verdict.FAILED), listed).expectation == "exact"
    assert apply(record(Verdict.FAILED, "sealing.refuses"), listed).expectation == "all"


# Which checks an entry lists.


@pytest.mark.parametrize(
    ("pattern", "check", "matches"),
    [
        ("sealing.opens", "sealing.opens", True),
        ("sealing.*", "sealing.opens", True),
        ("*", "anything.at_all", True),
        ("*.signs_*", "storage_requests.signs_store", True),
        ("sealing.open?", "sealing.opens", True),
        ("sealing", "sealing.opens", False),
        ("Sealing.*", "sealing.opens", False),
        ("sealing.[a-m]*", "sealing.opens", False),
        ("storage_requests.Class.*", "storage_requests.Class.signs", True),
    ],
)
def test_globs(pattern: str, check: str, matches: bool) -> None:
    assert matches_glob(check, pattern) is matches


def test_an_entry_that_matches_nothing_is_stale() -> None:
    listed = Expectations((divergence("sealing.*"), divergence("sealing.opns")), "known.toml")
    (stale,) = stale_entries(listed, CATALOGUE, "mini")
    assert (stale.check, stale.testee, stale.verdict) == ("sealing.opns", "mini", Verdict.STALE)
    assert stale.message == (
        "the entry 'sealing.opns' of known.toml matches no check; did you mean 'sealing.opens'?"
    )


def test_the_whole_catalogue_decides_not_what_was_run() -> None:
    # Only sealing was run; the entry for storage requests is not stale for that.
    assert not stale_entries(one("storage_requests.*"), CATALOGUE, "mini")
    assert len(stale_entries(one("storage_requests.*"), CATALOGUE[:2], "mini")) == 1


def test_no_expectations_are_never_stale() -> None:
    assert stale_entries(Expectations(), CATALOGUE, "mini") == ()
    assert stale_entries(Expectations(), (), "mini") == ()


@given(st.lists(st.sampled_from([*CATALOGUE, "sealing.*", "nothing.*", "?"]), max_size=5, unique=True))
def test_every_entry_matches_something_or_is_stale(patterns: list[str]) -> None:
    listed = Expectations(tuple(divergence(pattern) for pattern in patterns))
    stale = {entry.check for entry in stale_entries(listed, CATALOGUE, "mini")}
    for pattern in patterns:
        assert (pattern in stale) != any(matches_glob(check, pattern) for check in CATALOGUE)


# Versions and testees.


@pytest.mark.parametrize(
    ("version", "condition", "matches"),
    [
        ("1.0.5", "", True),
        ("1.0.5", "<=1.0.5", True),
        ("1.0.6", "<=1.0.5", False),
        ("1.0.10", "<=1.0.5", False),
        ("1.0.5", "<1.0.5", False),
        ("1.0.4", "<1.0.5", True),
        ("1.0", "==1.0.0", True),
        ("1.0.0", "==1", True),
        ("1.0.1", "!=1.0.0", True),
        ("2.0", ">=1.2, <2", False),
        ("1.9.9", ">=1.2,<2", True),
        ("1.2", ">1.2", False),
        ("v1.2.3", "==1.2.3", True),
        ("1.2.3", "==v1.2.3", True),
        ("1.17.0-beta.2", "<1.17.0", True),
        ("1.17.0-beta.2", "<1.17.0-beta.10", True),
        ("1.17.0-alpha", "<1.17.0-beta", True),
        ("1.17.0rc1", "<1.17.0", True),
        ("1.17.0.post1", ">1.17.0", True),
        ("1.17.0+build5", "==1.17.0", True),
        ("0.0.54", "<=1.0.5", True),
    ],
)
def test_versions(version: str, condition: str, matches: bool) -> None:
    assert version_matches(version, condition) is matches


numbers = st.lists(st.integers(0, 30), min_size=1, max_size=4)


@given(numbers, numbers)
def test_exactly_one_of_three_comparisons_holds(left: list[int], right: list[int]) -> None:
    version, bound = ".".join(map(str, left)), ".".join(map(str, right))
    found = [version_matches(version, f"{operator}{bound}") for operator in ("<", "==", ">")]
    assert found.count(True) == 1
    assert version_matches(version, f"<={bound}") is (found[0] or found[1])
    assert version_matches(version, f">={bound}") is (found[2] or found[1])
    assert version_matches(version, f"!={bound}") is not found[1]


@given(numbers)
def test_a_pre_release_stands_just_before_its_release(version: list[int]) -> None:
    release = ".".join(map(str, version))
    assert version_matches(f"{release}-rc1", f"<{release}")
    assert version_matches(f"{release}-rc1", f">{release}-beta")


def test_entries_apply_to_their_testee_and_version() -> None:
    listed = Expectations(
        (
            divergence("a.*"),
            divergence("b.*", testee="mini"),
            divergence("c.*", testee="other"),
            divergence("d.*", versions="<2"),
            divergence("e.*", testee="mini", versions=">=2"),
        )
    )
    assert [entry.check for entry in listed.for_testee("mini", "1.5").divergences] == ["a.*", "b.*", "d.*"]
    assert [entry.check for entry in listed.for_testee("mini", "2.0").divergences] == ["a.*", "b.*", "e.*"]
    assert [entry.check for entry in listed.for_testee("third", "1").divergences] == ["a.*", "d.*"]


def test_an_entry_for_another_version_is_not_stale() -> None:
    listed = one("nothing.like_this", versions="<1").for_testee("mini", "1.0.5")
    assert stale_entries(listed, CATALOGUE, "mini") == ()


# Files.


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "expectations.toml"
    path.write_text(
        '[[divergence]]\ncheck = "storage_requests.*"\nreason = "signs without namespace"\n'
        'link = "https://example.org/7"\nversions = "<=1.0.5"\nkind = "failed"\n\n'
        '[[divergence]]\ncheck = "onion.x"\nreason = "no onions"\ntestee = "mini"\nkind = "flaky"\n'
    )
    found = load(path)
    assert found.source == str(path)
    assert found.divergences == (
        Divergence(
            "storage_requests.*",
            "signs without namespace",
            "https://example.org/7",
            "<=1.0.5",
            "",
            DivergenceKind.FAILED,
        ),
        Divergence("onion.x", "no onions", testee="mini", kind=DivergenceKind.FLAKY),
    )


def test_an_empty_file_lists_nothing(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    path.write_text("# nothing is known\n")
    assert load(path).divergences == ()


def test_several_files_are_one_and_the_first_wins(tmp_path: Path) -> None:
    for name, reason in (("a", "mine"), ("b", "shipped")):
        (tmp_path / f"{name}.toml").write_text(f'[[divergence]]\ncheck = "sealing.*"\nreason = "{reason}"\n')
    found = load_all([tmp_path / "a.toml", tmp_path / "b.toml"])
    assert len(found.divergences) == 2
    assert apply(record(Verdict.FAILED), found).expectation == "mine"
    assert "a.toml" in found.source
    assert "b.toml" in found.source
    assert load_all([]) == Expectations()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"divergences": []},
            r"x.toml: unknown key 'divergences'; the file holds \[\[divergence\]\] entries",
        ),
        ({"divergence": {}}, r"divergence is not a list of tables; write \[\[divergence\]\]"),
        ({"divergence": [1]}, "divergence is not a list of tables"),
        ({"divergence": [{"check": "a"}]}, r"x.toml: divergence 1 \(a\): reason is missing"),
        ({"divergence": [{"reason": "a"}]}, r"divergence 1 \(without check\): check is missing"),
        ({"divergence": [{"check": "a", "reason": " "}]}, "reason should be a text that is not empty"),
        ({"divergence": [{"check": 5, "reason": "x"}]}, "check should be a text that is not empty"),
        (
            {"divergence": [{"check": "a", "reason": "x", "lnk": "y"}]},
            "unknown key 'lnk'; did you mean 'link'",
        ),
        (
            {"divergence": [{"check": "a", "reason": "x", "zzz": "y"}]},
            "unknown key 'zzz'; the keys are check, ",
        ),
        ({"divergence": [{"check": "a", "reason": "x", "kind": "errored"}]}, "Errors are never excused"),
        (
            {"divergence": [{"check": "a", "reason": "x", "versions": "1.0"}]},
            "'1.0' is not a condition such as",
        ),
        (
            {"divergence": [{"check": "a", "reason": "x", "versions": "<=soon"}]},
            "'<=soon' is not a condition",
        ),
        ({"divergence": [{"check": "a", "reason": "x"}] * 2}, "'a' is listed twice; keep one entry"),
    ],
)
def test_a_file_that_is_wrong_is_explained(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ExpectationsError, match=message):
        parse(data, "x.toml")


def test_one_check_may_diverge_differently_by_version() -> None:
    entries = [
        {"check": "a", "reason": "x", "versions": "<1"},
        {"check": "a", "reason": "y", "versions": ">=1"},
    ]
    assert len(parse({"divergence": entries}, "x.toml").divergences) == 2


def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ExpectationsError, match=r"cannot read .*none.toml: No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[[divergence]\n")
    with pytest.raises(ExpectationsError, match=r"bad.toml is not TOML"):
        load(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(ExpectationsError, match=r"latin.toml is not TOML"):
        load(tmp_path / "latin.toml")


def test_levels_do_not_matter_to_expectations() -> None:
    assert apply(record(Verdict.WARNED, level=Level.SHOULD), one()).level is Level.SHOULD
