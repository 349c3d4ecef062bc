"""``conform``, ``replay``, ``smoke`` and ``selfcheck`` with the real suites and testees that really run."""

import json
import os
import shlex
import signal
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from session_conformance.recording.stream import read_report

WRONG_ADAPTER = """
import threading
from session_conformance.testees.kit_python.session_testee_kit import Adapter, operation

class Wrong(Adapter):
    name = "wrong"
    version = "1.2.3"
    features = {"padding": "2025"}

    @operation("padding.pad")
    def pad(self, params):
        return {"padded_hex": (params.hex("message_hex") + bytes(1000)).hex()}

    @operation("padding.unpad")
    def unpad(self, params):
        BEHAVIOUR

if __name__ == "__main__":
    Wrong().serve()
"""
UNPADS_NOTHING = 'return {"message_hex": params.hex("padded_hex").hex()}'


def adapter(folder: Path, behaviour: str = UNPADS_NOTHING) -> str:
    """Write an adapter whose padding is wrong, and return its spec."""
    import sys

    path = folder / "wrong.py"
    path.write_text(WRONG_ADAPTER.replace("BEHAVIOUR", behaviour))
    return f"cmd:{sys.executable} {path}"


QUICK = ("--suite", "padding", "--max-examples", "5", "--json")


def test_a_correct_testee_is_judged_fine_and_everything_is_kept(cli: Any) -> None:
    done = cli("conform", "--testee", "reference", *QUICK)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["exit"] == 0
    assert found["seed"] == "0"
    assert [testee["name"] for testee in found["testees"]] == ["reference"]
    assert found["testees"][0]["counts"]["passed"] >= 3
    latest = cli.folder / "runs" / "latest"
    assert latest.resolve().name == found["run"]
    kept = {entry.name for entry in latest.iterdir()}
    assert {"inputs.json", "report.jsonl", "junit.xml", "report.html", "summary.md", "badge.json"} <= kept
    report = read_report(latest / "report.jsonl")
    assert report.header["run"] == found["run"]
    assert {record.suite for record in report.records} == {"padding"}
    assert json.loads((latest / "badge.json").read_text())["color"] == "brightgreen"


def test_a_wrong_testee_fails_and_can_be_replayed(in_process: Any, tmp_path: Path) -> None:
    spec = adapter(tmp_path)
    done = in_process(
        "conform", "--testee", spec, "--testee", "reference", "--suite", "padding", "--max-examples", "5"
    )
    assert done.code == 1, done.err
    assert "✗ padding." in done.out
    (line, *_more) = [line for line in done.out.splitlines() if line.startswith("  replay: session-harness ")]
    words = line.removeprefix("  replay: session-harness ")
    assert "report: runs/" in done.out
    latest = (tmp_path / "runs" / "latest").resolve()
    records = read_report(latest / "report.jsonl").records
    bad = [record for record in records if record.verdict == "failed"]
    assert {record.testee for record in bad} == {"wrong"}
    root = ET.fromstring((latest / "junit.xml").read_bytes())  # noqa: S314 - our own text
    assert int(root.attrib["failures"]) == len(bad)
    assert (latest / bad[0].case / "transcript.jsonl").stat().st_size > 0

    run, case = latest.name, bad[0].case.removeprefix("cases/")
    for again in (in_process(*shlex.split(words), "--json"), in_process("replay", f"{run}/{case}", "--json")):
        assert again.code == 1, again.err
        found = json.loads(again.out)
        (problem,) = found["problems"]
        assert (problem["testee"], problem["verdict"]) == ("wrong", "failed")
        assert found["run"] != run
        assert problem["check"] in words


def test_known_divergences_are_no_failures_until_they_are_gone(in_process: Any, tmp_path: Path) -> None:
    spec = adapter(tmp_path)
    listed = tmp_path / "known.toml"
    listed.write_text('[[divergence]]\ncheck = "padding.*"\nreason = "pads like nobody else"\n')
    done = in_process("conform", "--testee", spec, "--expectations", f"wrong={listed}", *QUICK)
    counts = json.loads(done.out)["testees"][0]["counts"]
    assert counts["expected_failure"] >= 1
    assert "failed" not in counts
    listed.write_text('[[divergence]]\ncheck = "padding.no_such_check"\nreason = "x"\n')
    done = in_process("conform", "--testee", "reference", "--expectations", str(listed), *QUICK)
    assert done.code == 1
    assert json.loads(done.out)["testees"][0]["counts"]["stale"] == 1


def test_a_testee_that_does_not_start_was_not_judged(in_process: Any) -> None:
    done = in_process("conform", "--testee", "cmd:false", "--suite", "padding", "--max-examples", "5")
    assert done.code == 2, done.err
    assert "not run" in done.out


def test_a_testee_that_crashes_is_errored(in_process: Any, tmp_path: Path) -> None:
    done = in_process("conform", "--testee", adapter(tmp_path, "import os; os._exit(139)"), *QUICK)
    assert done.code in (1, 2), done.err
    assert json.loads(done.out)["testees"][0]["counts"]["errored"] >= 1


def test_fail_fast_leaves_the_rest_out(in_process: Any, tmp_path: Path) -> None:
    done = in_process("conform", "--testee", adapter(tmp_path), "--fail-fast", *QUICK)
    assert done.code == 1
    counts = json.loads(done.out)["testees"][0]["counts"]
    assert counts["failed"] == 1
    assert counts["not_run"] >= 1


def test_a_filter_that_matches_nothing_judges_nothing_and_says_so(in_process: Any) -> None:
    done = in_process("conform", "--testee", "reference", "--filter", "no.such.check", *QUICK)
    assert done.code == 2, done.err
    assert done.error == "no check is chosen by no.such.check --suite padding"


def test_a_required_tier_that_is_not_declared_fails(in_process: Any, tmp_path: Path) -> None:
    done = in_process("conform", "--testee", adapter(tmp_path), "--require", "L1", *QUICK)
    assert done.code == 1
    assert "wrong does not reach L1: it does not declare identity.derive" in done.err


def test_suites_that_need_a_network_get_one(in_process: Any, tmp_path: Path) -> None:
    options = ("--suite", "messaging", "--nodes", "8", "--max-examples", "2", "--json")
    done = in_process("conform", "--testee", "reference", *options)
    assert done.code == 0, done.err
    assert json.loads(done.out)["testees"][0]["counts"]["passed"] >= 3
    assert any((tmp_path / "runs" / "latest" / "testnet").iterdir()), "the logs of the nodes are kept"


def test_an_attached_network_that_is_missing_is_said_at_once(in_process: Any, tmp_path: Path) -> None:
    done = in_process("conform", "--testee", "reference", "--state", "nobody", *QUICK)
    assert done.code == 2
    assert done.error.startswith("--state nobody: no network is described by ")
    assert not (tmp_path / "runs").exists()


def test_an_interrupted_run_keeps_what_it_has_and_is_130(cli: Any) -> None:
    # Slow, so that there is something to interrupt.
    spec = adapter(cli.folder, 'threading.Event().wait(0.1); return {"message_hex": ""}')
    child = cli.start(
        "conform", "--testee", spec, "--suite", "padding", "--suite", "identity", "--max-examples", "5"
    )
    report = cli.folder / "runs" / "latest" / "report.jsonl"
    deadline = time.monotonic() + 40
    while not (report.exists() and b'"verdict"' in report.read_bytes()):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline, "no verdict within 40 s"
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, (out, err)
    assert "cut short" in out
    assert (report.parent / "report.html").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_hanging_testee_neither_delays_the_end_nor_outlives_it(cli: Any, number: int) -> None:
    spec = adapter(
        cli.folder,
        'open("asked", "w").write(str(__import__("os").getpid())); threading.Event().wait(600)',
    )
    child = cli.start("conform", "--testee", spec, "--suite", "padding")
    asked = cli.folder / "asked"
    deadline = time.monotonic() + 40
    while not (asked.exists() and asked.read_text()):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline, "the testee was not asked within 40 s"
        time.sleep(0.02)
    child.send_signal(number)
    child.communicate(timeout=30)
    assert child.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int(asked.read_text()), 0)


def test_a_killed_run_takes_its_child_and_a_hanging_testee_along(cli: Any) -> None:
    """Nobody is left to hand the signal on: the system closes the lifeline."""
    spec = adapter(
        cli.folder,
        'import os; open("asked", "w").write(f"{os.getpid()} {os.getppid()}."); threading.Event().wait(600)',
    )
    child = cli.start("conform", "--testee", spec, "--suite", "padding")
    asked = cli.folder / "asked"
    deadline = time.monotonic() + 40
    while not (asked.exists() and asked.read_text().endswith(".")):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline, "the testee was not asked within 40 s"
        time.sleep(0.02)
    child.kill()
    child.communicate(timeout=30)
    running = {int(pid) for pid in asked.read_text().rstrip(".").split()}
    # By itself, the run would give up the testee after 5 s in each of several checks.
    deadline = time.monotonic() + 10
    while running := {pid for pid in running if is_running(pid)}:
        assert time.monotonic() < deadline, f"processes {running} go on after 10 s"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_users_own_pytest_settings_do_not_matter(cli: Any) -> None:
    (cli.folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (cli.folder / "conftest.py").write_text("raise RuntimeError('not mine')\n")
    cli.environment["PYTEST_ADDOPTS"] = "--no-such-option"
    done = cli("conform", "--testee", "reference", *QUICK)
    assert done.code == 0, done.err


def test_smoke_shows_each_minimal_operation_of_the_reference(in_process: Any) -> None:
    done = in_process("smoke", "--testee", "reference", "--json")
    assert done.code == 0, done.err
    calls = json.loads(done.out)["calls"]
    assert {call["outcome"] for call in calls} == {"ok"}
    assert {"identity.derive", "session.decrypt", "message.decode_1o1", "client.poll"} <= {
        call["op"] for call in calls
    }


@pytest.mark.parametrize(
    ("behaviour", "code", "outcome"),
    [
        (UNPADS_NOTHING, 1, "wrong"),
        ("raise ValueError('broken')", 2, "errored"),
        ("import os; os._exit(139)", 2, "errored"),
        ("return {}", 2, "errored"),
    ],
    ids=["wrong answer", "exception", "crash", "empty answer"],
)
def test_smoke_tells_what_is_wrong_with_an_adapter(
    in_process: Any, tmp_path: Path, behaviour: str, code: int, outcome: str
) -> None:
    done = in_process("smoke", "--testee", adapter(tmp_path, behaviour), "--json")
    assert done.code == (1 if outcome == "wrong" else code), done.err
    calls = {call["op"]: call for call in json.loads(done.out)["calls"]}
    assert calls["padding.unpad"]["outcome"] == outcome
    assert calls["identity.derive"]["outcome"] == "unsupported"


def test_smoke_of_something_that_is_no_adapter(in_process: Any) -> None:
    done = in_process("smoke", "--testee", "cmd:false")
    assert done.code == 2
    assert done.error
    assert done.hint
    assert in_process("smoke", "--testee", "referense").code == 64


def test_selfcheck_catches_a_fault(in_process: Any) -> None:
    from session_harness.selfcheck import known_faults

    name = next(iter(known_faults()))
    done = in_process("selfcheck", "--fault", name, "--max-examples", "20", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == {
        "faults": 1, "caught": 1, "missed": [], "false_accusations": [], "checks_without_fault": [],
    }  # fmt: skip
    wrong = in_process("selfcheck", "--fault", name + "x")
    assert (wrong.code, wrong.hint) == (64, f"did you mean {name!r}?")


def test_the_picture_of_a_run_can_be_drawn(sample_run: Path, tmp_path: Path) -> None:
    import runpy

    script = runpy.run_path(str(Path(__file__).parents[2] / "ci" / "screenshots.py"))
    target = tmp_path / "picture.svg"
    script["main"]([str(sample_run), str(target)])
    picture = target.read_text()
    ET.fromstring(picture)  # noqa: S314 - our own text
    assert "sealing" in picture
    assert os.fspath(tmp_path) not in picture
