"""The options of the judge as values, and what is said about those that cannot be used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from session_conformance.contract import Deadlines
from session_conformance.options import JudgeOptions, add_options, case_seed, read_options, seed_number
from session_conformance.recording.replay import conform_command, line_of, pytest_command


class Defaults:
    """Collect the options as pytest's parser would."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def getgroup(self, *_names: str) -> "Defaults":
        return self

    def addoption(self, name: str, *, action: str = "store", default: Any = None, **_more: Any) -> None:
        self.values[name] = False if action == "store_true" else default


def options(**given: Any) -> JudgeOptions:
    defaults = Defaults()
    add_options(cast("pytest.Parser", defaults))
    named = {f"--{name.replace('_', '-')}": value for name, value in given.items()}
    assert named.keys() <= defaults.values.keys(), "the test names an option that does not exist"

    class Config:
        def getoption(self, name: str) -> Any:
            return named.get(name, defaults.values[name])

    return read_options(cast("pytest.Config", Config()))


def test_defaults() -> None:
    found = options(testee=["reference"])
    assert (found.peer, found.seed, found.max_examples, found.nodes) == ("reference", "0", 100, 14)
    assert (found.run_dir, found.max_failures, found.retries) == (None, None, 1)
    assert found.deadlines == Deadlines.local()


def test_deadlines_follow_the_network() -> None:
    assert options(testee=["reference"], session_state="x.json").deadlines == Deadlines()
    short = options(testee=["reference"], session_state="x.json", session_deadline=0.5).deadlines
    assert (short.stateless_s, short.stateful_s) == (0.5, 0.5)


def test_stopping_and_repeating() -> None:
    assert options(testee=["reference"], session_fail_fast=True).max_failures == 1
    assert options(testee=["reference"], session_max_failures=5).max_failures == 5
    assert options(testee=["reference"], session_no_retry=True).retries == 0


def test_testees_of_one_name_are_told_apart() -> None:
    found = options(testee=["cmd:a.py", "cmd:b/a.py", "reference", "cmd:a.py"])
    assert [spec.name for spec in found.testees] == ["a", "a-2", "reference", "a-3"]
    assert [spec.text for spec in found.testees][:2] == ["cmd:a.py", "cmd:b/a.py"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"testee": ["referense"]}, r"did you mean reference\?"),
        ({"peer": "nobody"}, "there is no testee 'nobody'"),
        ({"session_max_examples": 0}, "--session-max-examples is 0; it is at least 1"),
        ({"session_nodes": -1}, "--session-nodes is -1; it is at least 1"),
        ({"session_max_failures": 0}, "--session-max-failures is 0; it is at least 1"),
        ({"session_deadline": 0.0}, "--session-deadline is a number of seconds above 0"),
        ({"session_expectations": ["none.toml"]}, "cannot read none.toml: No such file"),
        ({"session_expectations": ["nobody=none.toml"]}, "no testee is called 'nobody'"),
    ],
)
def test_values_that_cannot_be_used_are_explained(given: Mapping[str, Any], text: str) -> None:
    with pytest.raises(pytest.UsageError, match=text):
        options(**{"testee": ["reference"], **given})


def test_expectations_of_the_command_line_come_before_those_shipped(tmp_path: Path) -> None:
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "testee.toml").write_text('command = ["x"]\nexpectations = "known.toml"\n')
    entry = '[[divergence]]\ncheck = "a.*"\nreason = "{}"\n'
    (folder / "known.toml").write_text(entry.format("shipped"))
    for name in ("mine", "other"):
        (tmp_path / f"{name}.toml").write_text(entry.format(name))
    files = [f"reference={tmp_path / 'other.toml'}", str(tmp_path / "mine.toml")]
    found = options(testee=[str(folder), "reference"], session_expectations=files)
    client, reference = found.testees
    assert [entry.reason for entry in found.expectations_of(client).divergences] == ["mine", "shipped"]
    assert [entry.reason for entry in found.expectations_of(reference).divergences] == ["other", "mine"]


def test_the_replay_of_a_check_of_ours_names_what_differs_from_the_defaults() -> None:
    plain = options(testee=["reference"], session_seed="7")
    assert line_of(conform_command(plain, "cmd:node 'my adapter.js'", "onion.x")) == (
        "session-harness conform --testee 'cmd:node '\"'\"'my adapter.js'\"'\"'' --filter onion.x "
        "--seed 7 --max-examples 100"
    )
    rich = options(
        testee=["reference"],
        peer="cmd:peer",
        session_state="net.json",
        session_nodes=3,
        session_engine="process",
        session_validate=True,
    )
    command = line_of(conform_command(rich, "reference", "onion.x"))
    for words in ("--peer cmd:peer", "--state net.json", "--nodes 3", "--engine process", "--validate"):
        assert words in command


def test_the_replay_of_somebody_elses_check_is_a_pytest_command() -> None:
    found = options(testee=["reference"], session_deadline=0.5, session_max_examples=9)
    command = line_of(pytest_command(found, "reference", "mine.x", Path("/a b/test_mine.py")))
    assert command.startswith(
        "python -m pytest '/a b/test_mine.py' --testee reference --session-filter mine.x"
    )
    assert "--session-max-examples 9" in command
    assert "--session-deadline 0.5" in command


# Seeds.


def test_seeds_are_numbers_or_hashed_texts() -> None:
    assert seed_number("42") == 42
    assert seed_number(str(2**63 - 1)) == 2**63 - 1
    assert seed_number("spring") == seed_number("spring") < 2**63
    assert len({seed_number(text) for text in ("spring", "Spring", "-1", str(2**63), "\u0663")}) == 5


def test_a_case_seed_depends_on_seed_and_check_only() -> None:
    assert case_seed("1", "a.b") == case_seed("1", "a.b")
    others = {case_seed("1", "a.b"), case_seed("1", "a.c"), case_seed("2", "a.b"), case_seed("1\na", ".b")}
    assert len(others) == 4
