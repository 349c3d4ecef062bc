"""Whose something is, and when it is nobody's any more."""

import datetime as dt
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from session_testnet import leftovers
from session_testnet.docker_labels import CREATED, OWNER, TTL, NetworkLabels, age_s, why_left_over
from session_testnet.owner import OWNER_FILE, Owner, make_owned_directory, owner_of_directory

NOW = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def ended_process() -> int:
    """Return the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(30)
    return process.pid


def test_this_process_is_known_again_and_not_gone() -> None:
    owner = Owner.this_process()
    assert Owner.parse(str(owner)) == owner
    assert not owner.is_gone()


@pytest.mark.parametrize("text", ["", "host", "host/", "host/x@1", "host/1@", "/1@1", "host/-1@1"])
def test_what_names_no_process_is_nobody(text: str) -> None:
    assert Owner.parse(text) is None


def test_only_processes_of_this_machine_are_known_to_be_gone() -> None:
    pid = ended_process()
    assert Owner(socket.gethostname(), pid).is_gone()
    assert not Owner("elsewhere", pid).is_gone()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process does")
def test_a_process_that_has_ended_and_is_not_noticed_yet_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        owner = Owner(socket.gethostname(), process.pid)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner.is_gone()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process started")
def test_a_number_that_is_used_anew_is_another_process() -> None:
    assert Owner(socket.gethostname(), os.getpid(), 1).is_gone()


def test_labels_say_what_is_left_over() -> None:
    labels = NetworkLabels("n", ttl_s=60).of("node", "node-01")
    assert why_left_over(labels, dt.datetime.now(dt.UTC)) is None
    late = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=70)
    assert why_left_over(labels, late) == "its time to live of 60 s is over"
    gone = {**labels, OWNER: str(Owner(socket.gethostname(), ended_process()))}
    assert "has ended" in (why_left_over(gone, NOW) or "")
    foreign = {OWNER: "elsewhere/1@1", CREATED: NOW.isoformat(), TTL: ""}
    assert why_left_over(foreign, NOW + dt.timedelta(days=365)) is None
    assert age_s(foreign, NOW + dt.timedelta(seconds=5)) == 5
    assert age_s({CREATED: "yesterday"}, NOW) is None


def test_two_networks_of_a_name_name_their_things_differently() -> None:
    assert NetworkLabels("n").name_of("node-01") != NetworkLabels("n").name_of("node-01")


def test_directories_of_ended_processes_are_found_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    mine, orphan, foreign = make_owned_directory(), make_owned_directory(), tmp_path / "session-testnet-x"
    foreign.mkdir()
    assert owner_of_directory(mine) == Owner.this_process()
    (orphan / OWNER_FILE).write_text(str(Owner(socket.gethostname(), ended_process())))
    found = leftovers.find_leftovers(tmp_path)
    assert [(each.kind, each.name) for each in found] == [("directory", str(orphan))]
    assert leftovers.find_leftovers(tmp_path, older_than_s=3600) == []
    assert leftovers.remove_leftovers(found) == []
    assert sorted(tmp_path.iterdir()) == sorted([mine, foreign])
