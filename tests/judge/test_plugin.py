"""The plugin end to end: what it makes of testees of every kind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_conformance.verdicts import Level, Reason, Verdict

V = Verdict
Run = Any  # what a child pytest left behind: see conftest.py
Runner = Callable[..., Run]
HEAD = "import pytest\nfrom session_conformance.checks import check\n"


def mini(name: str) -> list[str]:
    return ["--testee", f"python:mini_adapters:{name}"]


def child(name: str) -> list[str]:
    serve = "import sys, mini_adapters; getattr(mini_adapters, sys.argv[1])().serve()"
    return ["--testee", f"cmd:{sys.executable} -c '{serve}' {name}"]


def suite(folder: Path, text: str, name: str = "test_mini.py") -> None:
    (folder / "suites" / name).write_text(text)


# The verdicts: one run over many testees, read by many tests.

MANY = ("Good", "Wrong", "Stingy", "Poor", "Liar", "Odd", "Needy")


@pytest.fixture(scope="module")
def many(
    tmp_path_factory: pytest.TempPathFactory, start_in: Runner, new_folder: Callable[[Path], Path]
) -> Run:
    folder = new_folder(tmp_path_factory.mktemp("many"))
    testees = [argument for name in MANY for argument in mini(name)]
    testees += [*child("Crash"), *child("Chatty"), "--testee", "cmd:/no/such/adapter"]
    return start_in(folder, *testees, "--session-seed", "spring", "--session-max-examples", "50")


def test_a_good_testee_passes(many: Run) -> None:
    assert many.verdicts("Good") == {
        "mini.keeps_the_message": V.PASSED,
        "mini.fills_blocks": V.PASSED,
        "mini.unpads": V.UNSUPPORTED,
        "mini.sizes": V.PASSED,
    }
    record = many.one("mini.keeps_the_message", "Good")
    assert record.sentence == "Padding keeps the message."
    assert (record.requirements, record.level, record.tier) == (("MINI-01",), Level.MUST, "L1")
    assert (record.suite, record.attempts, record.case, record.replay) == ("mini", 1, "", "")
    assert not list((many.run_dir / "cases").glob("*--Good"))


def test_no_network_is_opened_without_need(many: Run) -> None:
    assert not (many.run_dir / "testnet").exists()


def test_the_stream_tells_the_whole_run(many: Run) -> None:
    kinds = [line["type"] for line in many.lines]
    assert kinds[:3] == ["header", "plan", "testee"]
    assert kinds[-1] == "footer"
    assert (kinds.count("verdict"), kinds.count("testee")) == (40, 8)  # two of ten do not start
    header, plan, testee, footer = (many.lines[0], many.lines[1], many.lines[2], many.lines[-1])
    assert header["testees"][0] == {"name": "Good", "spec": "python:mini_adapters:Good"}
    assert (header["seed"], header["max_examples"]) == ("spring", 50)
    assert plan["checks"] == 40
    assert testee["hello"]["version"] == "1.5"
    assert (footer["exit"], footer["end"]) == (1, "complete")
    assert many.code == 1


def test_a_wrong_testee_fails_with_evidence(many: Run) -> None:
    record = many.one("mini.keeps_the_message", "Wrong")
    assert (record.verdict, record.attempts) == (V.FAILED, 2)
    assert many.verdicts("Wrong")["mini.fills_blocks"] is V.PASSED
    assert record.case == "cases/mini.keeps_the_message--Wrong"
    failure = many.case(record, "failure.txt")
    assert "data=b'\\x00\\x00\\x00\\x00'" in failure  # shrunk: four bytes are the least that is lost
    last = json.loads(many.case(record, "transcript.jsonl").splitlines()[-1])
    assert last["request"]["params"]["message_hex"] == "00000000"
    assert last["testee"] == "Wrong"
    assert "--session-filter mini.keeps_the_message --session-seed spring" in record.replay
    assert record.replay in failure


def test_the_replay_reproduces_just_the_failure(many: Run) -> None:
    script = many.run_dir / many.one("mini.keeps_the_message", "Wrong").case / "replay.sh"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"PYTHONPATH": str(many.run_dir.parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [script, "-p", "session-conformance", "-p", "no:cacheprovider"]
    replayed = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    assert replayed.returncode == 1, replayed.stdout
    assert "Wrong: 1 failed" in replayed.stdout
    assert "data=b'\\x00\\x00\\x00\\x00'" in replayed.stdout


def test_one_set_of_parameters_is_enough_to_fail(many: Run) -> None:
    record = many.one("mini.sizes", "Wrong")
    assert (record.verdict, record.case) == (V.FAILED, "cases/mini.sizes-7--Wrong")


def test_a_should_only_warns(many: Run) -> None:
    record = many.one("mini.fills_blocks", "Stingy")
    assert (record.verdict, record.level) == (V.WARNED, Level.SHOULD)
    assert "assert" in many.case(record, "failure.txt")


def test_what_is_not_declared_is_unsupported(many: Run) -> None:
    assert set(many.verdicts("Poor").values()) == {V.UNSUPPORTED}
    assert many.one("mini.unpads", "Poor").message == "Poor does not declare padding.unpad"


def test_what_is_declared_and_then_unsupported_fails(many: Run) -> None:
    record = many.one("mini.unpads", "Liar")
    assert record.verdict is V.FAILED
    assert "hello declared padding.unpad" in record.message


def test_an_odd_answer_is_explained_by_its_schema(many: Run) -> None:
    record = many.one("mini.fills_blocks", "Odd")
    assert record.verdict is V.ERRORED
    assert "the last result of Odd, for padding.pad, breaks the contract at padded_hex: 7" in record.message


def test_a_crash_is_errored_and_the_next_check_has_a_new_process(many: Run) -> None:
    crashing = many.testee_of("Crash")
    record = many.one("mini.keeps_the_message", crashing)
    assert record.verdict is V.ERRORED
    assert "it ended with exit code 9" in record.message
    assert "cannot pad 3" in many.case(record, "stderr.log")
    assert many.verdicts(crashing)["mini.fills_blocks"] is V.PASSED


def test_a_stray_print_is_shown(many: Run) -> None:
    record = many.one("mini.fills_blocks", many.testee_of("Chatty"))
    assert record.verdict is V.ERRORED
    assert "the testee wrote: padding 0" in record.message


@pytest.mark.parametrize(
    ("name", "text"), [("Needy", "no library"), ("adapter", "cannot start '/no/such/adapter'")]
)
def test_a_testee_that_does_not_start_is_told_once(many: Run, name: str, text: str) -> None:
    first, *others = [record for record in many.records if record.testee == name]
    assert first.verdict is V.ERRORED
    assert text in first.message
    assert {(record.verdict, record.reason) for record in others} == {(V.NOT_RUN, Reason.TESTEE)}
    assert len(others) == 3


def test_flaky_is_recorded_with_the_evidence_of_the_failure(run: Runner, folder: Path) -> None:
    suite(
        folder,
        HEAD + "@check('MINI-01', ops=('padding.pad',))\ndef test_x(testee):\n"
        "    assert testee.call('padding.pad', message_hex='')['padded_hex'], 'nothing came'\n",
    )
    done = run(*mini("Once"))
    record = done.one("mini.x")
    assert (record.verdict, record.attempts, done.code) == (V.FLAKY, 2, 1)
    assert "nothing came" in record.message
    assert "nothing came" in done.case(record, "failure.txt")
    assert '"padded_hex":""' in done.case(record, "transcript.jsonl")


def test_the_first_hang_ends_examples_and_shrinking(run: Runner, folder: Path) -> None:
    selected = ["--session-filter", "*.keeps*", "--session-filter", "*.fills*"]
    done = run(*child("Hang"), *mini("Odd"), "--session-deadline", "0.5", "--session-validate", *selected)
    hanging = done.testee_of("Hang")
    record = done.one("mini.keeps_the_message", hanging)
    assert (record.verdict, record.attempts) == (V.ERRORED, 1)
    assert "no answer to padding.pad within 0.5 s" in record.message
    assert (folder / "hangs").read_text() == "hang\n"
    assert json.loads(done.case(record, "transcript.jsonl").splitlines()[-1])["reply"] is None
    assert done.verdicts(hanging)["mini.fills_blocks"] is V.PASSED
    assert done.code == 2
    # In the same run, because every message was compared with its schema:
    odd = done.one("mini.fills_blocks", "Odd")
    assert odd.verdict is V.ERRORED
    assert "the result of padding.pad breaks operations.json" in odd.message
