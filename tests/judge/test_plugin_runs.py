"""The plugin end to end: networks, selection, expectations, interruptions, and pytest without the harness."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_conformance.verdicts import Reason, Verdict

V = Verdict
Run = Any  # what a child pytest left behind: see conftest.py
Runner = Callable[..., Run]
HEAD = "import pytest\nfrom session_conformance.checks import check\n"


def mini(name: str) -> list[str]:
    return ["--testee", f"python:mini_adapters:{name}"]


def suite(folder: Path, text: str, name: str = "test_mini.py") -> None:
    (folder / "suites" / name).write_text(text)


# Several testees, peers and the network.


def test_testees_are_judged_one_after_the_other_on_the_same_inputs(run: Runner, folder: Path) -> None:
    suite(
        folder,
        HEAD + "from hypothesis import given, strategies as st\n"
        "@check('MINI-01')\n@given(n=st.integers())\ndef test_x(testee, n):\n"
        "    open(testee.name, 'a').write(f'{n} ')\n"
        "@check('MINI-01')\ndef test_y(testee, case):\n"
        "    open(testee.name, 'a').write(str(case.random.random()))\n",
    )
    done = run(*mini("Good"), *mini("Wrong"), *mini("Good"), "--session-seed", "5")
    assert [record.testee for record in done.records] == ["Good"] * 2 + ["Wrong"] * 2 + ["Good-2"] * 2
    drawn = {(folder / name).read_text() for name in ("Good", "Wrong", "Good-2")}
    assert len(drawn) == 1
    run(*mini("Stingy"), "--session-seed", "6")
    assert (folder / "Stingy").read_text() not in drawn


def test_the_peer_is_another_instance(run: Runner, folder: Path) -> None:
    suite(
        folder,
        HEAD + "@check('MINI-01')\ndef test_x(testee, peer):\n"
        "    assert testee.call('reset') == peer.call('reset') == {}\n    assert peer is not testee\n"
        "@check('MINI-01', peer_ops=('padding.unpad',))\ndef test_y(testee, peer):\n    pass\n"
        "@check('MINI-01')\ndef test_z(testee, peer):\n    peer.call('padding.pad', message_hex='zz')\n",
    )
    done = run(*mini("Good"), "--peer", "python:mini_adapters:Good")
    assert done.verdicts() == {"mini.x": V.PASSED, "mini.y": V.UNSUPPORTED, "mini.z": V.ERRORED}
    assert done.one("mini.x").peer == "Good"
    assert done.one("mini.y").message == "the peer Good does not declare padding.unpad"
    transcript = done.case(done.one("mini.z"), "transcript.jsonl")
    assert {json.loads(line)["testee"] for line in transcript.splitlines()} == {"the peer Good"}


NETWORK = """
import pathlib, types, session_testnet

def log(text):
    with pathlib.Path("network.log").open("a") as file:
        file.write(text)

class Node:
    def __init__(self, name):
        self.name, self.is_running = name, "running"
    def status(self):
        return {"status": self.is_running, "clock_skew_ms": 0}
    def start(self):
        self.is_running = "running"
    def resume(self):
        self.is_running = "running"

class Network:
    def __init__(self):
        self.nodes = [Node("a"), Node("b")]
        self.rules = {"old": {"id": "old"}}
        self.offset_ms = 5
        self.faults = types.SimpleNamespace(list=lambda: list(self.rules.values()), clear=self.rules.pop)
        self.clock = self
    def move(self, ms):
        self.offset_ms += ms
    def close(self):
        log("closed ")

def open_local(topology=None, options=None):
    network = Network()
    log(f"opened {len(topology.nodes)} {options.engine} ")
    if len(topology.nodes) == 3:
        raise OSError("no addresses")
    return network

def attach(state):
    log(f"attached {state} ")
    return Network()

session_testnet.open_local = open_local
session_testnet.attach = attach
"""


def network_suite(folder: Path) -> None:
    (folder / "suites" / "conftest.py").write_text(NETWORK)
    suite(
        folder,
        HEAD + "@check('MINI-01')\ndef test_first(testee, network):\n"
        "    network.nodes[0].is_running = 'stopped'\n    network.nodes[1].is_running = 'paused'\n"
        "    network.rules['new'] = {'id': 'new'}\n    network.move(1000)\n"
        "@check('MINI-01')\ndef test_second(testee, network):\n"
        "    assert [node.is_running for node in network.nodes] == ['running', 'running']\n"
        "    assert list(network.rules) == ['old']\n    assert network.offset_ms == 5\n"
        "@check('MINI-01')\ndef test_third(testee):\n    pass\n",
    )


def test_the_network_is_opened_once_and_healed(run: Runner, folder: Path) -> None:
    network_suite(folder)
    done = run(*mini("Good"), "--session-nodes", "4")
    assert set(done.verdicts().values()) == {V.PASSED}, done.output
    assert (folder / "network.log").read_text() == "opened 4 embedded closed "


MAILBOX = (
    HEAD + "@check('MINI-01')\ndef test_empty(testee, network, case):\n"
    "    open('seeds', 'a').write(f'{case.seed} ')\n"
    "    assert not vars(network).get('letters')\n    network.letters = 1\n"
    "@check('MINI-01')\ndef test_fails(testee, network, case):\n"
    "    network.mail = vars(network).get('mail', 0) + 1\n    open('seeds', 'a').write(f'{case.seed} ')\n"
    "    assert False, f'letter {network.mail}'\n"
)


def test_every_testee_and_every_repetition_has_a_network_of_its_own(run: Runner, folder: Path) -> None:
    """All have the same accounts: what one of them left in a mailbox would be held against the next."""
    network_suite(folder)
    suite(folder, MAILBOX)
    done = run(*mini("Good"), *mini("Wrong"))
    for testee in ("Good", "Wrong"):
        assert done.verdicts(testee) == {"mini.empty": V.PASSED, "mini.fails": V.FAILED}, done.output
        assert done.one("mini.fails", testee).message.startswith("letter 1")
    assert (folder / "network.log").read_text() == "opened 14 embedded closed " * 4
    empty, failed, again, *other = (folder / "seeds").read_text().split()
    assert failed == again != empty
    assert other == [empty, failed, again]


def test_somebody_elses_network_is_not_replaced_but_gets_new_accounts(run: Runner, folder: Path) -> None:
    network_suite(folder)
    suite(folder, MAILBOX)
    done = run(
        *mini("Good"), *mini("Wrong"), "--session-state", "their-network", "--session-filter", "*.fails"
    )
    assert (folder / "network.log").read_text() == "attached their-network closed "
    assert len(set((folder / "seeds").read_text().split())) == 4
    assert "letter 4" in done.one("mini.fails", "Wrong").message
    assert done.lines[0]["engine"] == "attached"


def test_a_network_that_does_not_start_has_an_exit_code(run: Runner, folder: Path) -> None:
    network_suite(folder)
    done = run(*mini("Good"), "--session-nodes", "3")
    assert done.verdicts() == {"mini.first": V.NOT_RUN, "mini.second": V.NOT_RUN, "mini.third": V.PASSED}
    assert done.one("mini.first").reason is Reason.TESTNET
    assert "the network did not start: no addresses" in done.one("mini.second").message
    assert (done.code, done.lines[-1]["end"]) == (3, "testnet_failed")
    assert (folder / "network.log").read_text() == "opened 3 embedded "


# Selecting, stopping, expecting.


def test_filters_suites_and_skips(run: Runner, folder: Path) -> None:
    suite(folder, (folder / "suites" / "test_mini.py").read_text(), "test_other.py")
    assert set(run(*mini("Good"), "--session-filter", "*.sizes").verdicts()) == {"mini.sizes", "other.sizes"}
    selected = ["--session-suite", "mini", "--session-filter", "*.[fs]*", "--session-skip", "*.sizes"]
    done = run(*mini("Good"), *selected)
    assert done.verdicts() == {"mini.fills_blocks": V.PASSED, "mini.sizes": V.NOT_RUN}
    assert done.one("mini.sizes").reason is Reason.REQUESTED
    assert done.code == 0, done.output


def test_a_filter_that_selects_nothing_judges_nothing(run: Runner) -> None:
    done = run(*mini("Good"), "--session-filter", "nothing.*")
    assert not done.records
    assert done.code == 2


def test_fail_fast_stops_by_request(run: Runner) -> None:
    done = run(*mini("Wrong"), "--session-fail-fast")
    assert done.verdicts() == {
        "mini.keeps_the_message": V.FAILED,
        "mini.fills_blocks": V.NOT_RUN,
        "mini.unpads": V.NOT_RUN,
        "mini.sizes": V.NOT_RUN,
    }
    assert done.one("mini.sizes").reason is Reason.REQUESTED
    assert done.code == 1


def expectations(folder: Path, name: str, *entries: str) -> str:
    text = "".join(f'[[divergence]]\ncheck = "{entry}"\nreason = "known"\n' for entry in entries)
    (folder / f"{name}.toml").write_text(text)
    return str(folder / f"{name}.toml")


def test_listed_failures_are_expected_and_listed_passes_stale(run: Runner, folder: Path) -> None:
    wrong = expectations(folder, "wrong", "mini.keeps*", "mini.sizes")
    good = expectations(folder, "good", "mini.keeps*", "gone.*")
    files = ["--session-expectations", f"Wrong={wrong}", "--session-expectations", f"Good={good}"]
    done = run(*mini("Wrong"), *mini("Good"), *files)
    record = done.one("mini.keeps_the_message", "Wrong")
    assert (record.verdict, record.expectation) == (V.EXPECTED_FAILURE, "known")
    assert record.attempts == 1  # what is known to fail is not tried again
    assert "assert" in done.case(record, "failure.txt")
    assert done.verdicts("Wrong")["mini.sizes"] is V.EXPECTED_FAILURE  # two of its three sizes pass
    assert done.verdicts("Good") == {
        "mini.keeps_the_message": V.STALE,
        "mini.fills_blocks": V.PASSED,
        "mini.unpads": V.UNSUPPORTED,
        "mini.sizes": V.PASSED,
        "gone.*": V.STALE,
    }
    assert done.code == 1


def test_entries_for_checks_that_were_not_selected_are_not_stale(run: Runner, folder: Path) -> None:
    # The catalogue is that of our own suites and of those collected: both kinds of entry match.
    listed = expectations(folder, "known", "mini.keeps*", "identity.*")
    done = run(*mini("Wrong"), "--session-expectations", listed, "--session-filter", "mini.fills*")
    assert done.verdicts() == {"mini.fills_blocks": V.PASSED}
    assert done.code == 0, done.output


# Faults of suites, and of the person.


def test_faults_of_a_suite_are_errors_and_do_not_silence_the_others(run: Runner, folder: Path) -> None:
    suite(folder, "import no_such_module\n", "test_broken.py")
    suite(
        folder,
        HEAD + "@pytest.fixture\ndef room():\n    yield\n    raise OSError('stuck')\n"
        "@check('MINI-01')\ndef test_x(testee, room, case):\n    case.note('was here')\n"
        "@check('MINI-01')\ndef test_y(testee):\n    pass\n",
    )
    done = run(*mini("Good"))
    broken, untidy = done.one("session-conformance"), done.one("mini.x")
    assert (broken.verdict, untidy.verdict) == (V.ERRORED, V.ERRORED)
    assert "No module named 'no_such_module'" in broken.message
    assert "the clean-up of the check failed: OSError: stuck" in untidy.message
    assert "was here" in done.case(untidy, "failure.txt")
    assert done.verdicts()["mini.y"] is V.PASSED
    assert done.code == 2


def test_usage_errors_are_explained_without_a_traceback(run: Runner) -> None:
    done = run("--testee", "referense")
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert "did you mean reference?" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            "@check('MINI-09')\ndef test_x(testee):\n    pass\n",
            "names the requirement 'MINI-09', which does not",
        ),
        ("@check('MINI-01')\ndef test_x():\n    pass\n", "mini.x does not take the fixture testee"),
    ],
)
def test_checks_that_are_declared_wrongly_stop_the_run(
    run: Runner, folder: Path, body: str, text: str
) -> None:
    suite(folder, HEAD + body)
    done = run(*mini("Good"))
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert text in done.output
    assert done.lines[-1]["end"] == "usage"


def test_an_interruption_is_recorded(run: Runner, folder: Path) -> None:
    suite(
        folder,
        HEAD + "@check('MINI-01')\ndef test_a(testee):\n    pass\n"
        "@check('MINI-01')\ndef test_b(testee):\n    raise KeyboardInterrupt\n"
        "@check('MINI-01')\ndef test_c(testee):\n    pass\n",
    )
    done = run(*mini("Good"))
    assert done.verdicts() == {"mini.a": V.PASSED, "mini.b": V.NOT_RUN, "mini.c": V.NOT_RUN}
    assert {record.reason for record in done.records[1:]} == {Reason.INTERRUPTED}
    assert (done.code, done.lines[-1]["exit"]) == (130, 130)


# Without the harness, and without a testee.


def test_plain_pytest_shows_verdicts_and_leaves_other_tests_alone(run: Runner, folder: Path) -> None:
    text = "def test_one():\n    assert False\ndef test_two(testee):\n    assert testee.hello.version\n"
    suite(folder, text, "test_own.py")
    done = run(*mini("Wrong"), "--color=no", recorded=False)
    assert done.code == 1
    assert "Wrong: 1 passed, 2 failed, 1 unsupported" in done.output
    assert "FAILED mini.keeps_the_message [Wrong]: " in done.output
    assert "    python -m pytest" in done.output
    assert "FAILED suites/test_own.py::test_one" in done.output
    assert "test_two" not in done.output


def test_a_failing_test_that_is_no_check_fails_the_run(run: Runner, folder: Path) -> None:
    suite(folder, "def test_one(testee):\n    assert False\n", "test_own.py")
    done = run(*mini("Good"), "--session-filter", "mini.fills*")
    assert done.verdicts() == {"mini.fills_blocks": V.PASSED}
    assert (done.code, done.lines[-1]["exit"]) == (1, 0)


def test_without_a_testee_the_plugin_is_inert(run: Runner, folder: Path) -> None:
    text = (
        "import sys\ndef test_one():\n"
        "    heavy = {'hypothesis', 'session_testnet', 'session_conformance.hooks', 'jsonschema', 'nacl'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    suite(folder, text, "test_own.py")
    done = run(recorded=False, only="suites/test_own.py")
    assert "1 passed" in done.output.splitlines()[-1]
    assert "verdicts" not in done.output
    assert done.code == 0


def test_without_a_testee_checks_are_skipped(run: Runner) -> None:
    done = run("-rs", recorded=False)
    assert done.code == 0
    assert "6 skipped" in done.output.splitlines()[-1]
    assert "give --testee SPEC" in done.output


def test_collecting_only_records_nothing(run: Runner) -> None:
    done = run(*mini("Good"), "--collect-only")
    assert done.code == 0
    assert not done.run_dir.exists()
    assert "<Function test_sizes[Good-0]>" in done.output or "test_sizes[0-Good]" in done.output


def test_workers_report_through_the_controller(run: Runner) -> None:
    pytest.importorskip("xdist")
    done = run(*mini("Wrong"), *mini("Good"), "-p", "xdist", "-n", "2")
    assert done.code == 1, done.output
    assert len(done.records) == 8
    assert done.verdicts("Wrong")["mini.sizes"] is V.FAILED
    assert set(done.verdicts("Good").values()) == {V.PASSED, V.UNSUPPORTED}
    assert [line["type"] for line in done.lines].count("testee") == 2
    assert done.lines[-1]["type"] == "footer"


def test_two_instances_of_one_implementation_are_judged_alike(run: Runner) -> None:
    """On a real network: the second must not find what the first has sent."""
    check = ["--session-filter", "messaging.talks_to_itself", "--pyargs"]
    done = run("--testee", "reference", "--testee", "reference", *check, only="session_conformance.suites")
    assert done.code == 0, [(record.testee, record.message) for record in done.records]
    assert [(record.testee, record.verdict) for record in done.records] == [
        ("reference", V.PASSED),
        ("reference-2", V.PASSED),
    ]
