"""Networks come and go, in order or by force: no process, port, file, socket or thread is left behind."""

import gc
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import session_testnet
from session_testnet import NetworkOptions, Topology

ENGINES = ("embedded", "process")
CYCLES = [pytest.param(3, id="few"), pytest.param(200, id="many", marks=pytest.mark.nightly)]
KILLS = [pytest.param(3, id="few"), pytest.param(60, id="many", marks=pytest.mark.nightly)]
DEADLINE_S = 20.0
# An up takes about so long on a busy machine; later than that it is killed in its middle age.
LATEST_KILL_S = 3.0

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks into /proc")


@dataclass(frozen=True)
class Place:
    """Folders of our own for temporary and state files, which also tell our processes from others."""

    temporary: Path
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "TMPDIR": str(self.temporary),
            "SESSION_HARNESS_STATE_DIR": str(self.state),
        }

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "session_harness", *words]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words),
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            timeout=90,
            check=True,
        )

    def processes(self) -> list[int]:
        """Return the processes that have inherited our folders, whoever their parents are by now."""
        mark = f"SESSION_HARNESS_STATE_DIR={self.state}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def files(self) -> list[str]:
        """Return all files and folders below ours."""
        return sorted(str(path) for folder in (self.temporary, self.state) for path in folder.rglob("*"))

    def assert_empty(self, moment: str) -> None:
        """Wait until no process and no file is left."""
        end = time.monotonic() + DEADLINE_S
        while left := [*self.processes(), *self.files()]:
            assert time.monotonic() < end, f"{moment}: left behind are {left}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path / "temporary", tmp_path / "state")
    found.temporary.mkdir()
    found.state.mkdir()
    yield found
    for pid in found.processes():
        os.kill(pid, signal.SIGKILL)


def addresses(state: dict[str, Any]) -> set[tuple[str, int]]:
    """Return all addresses at which a network is reached."""
    urls = [state["registry"]["https_url"], *(state[name]["url"] for name in SERVERS)]
    places = {tuple(url.split("//")[1].rsplit(":", 1)) for url in urls}
    nodes = {
        (node["ip"], node[port])
        for node in state["nodes"]
        for port in ("https_port", "omq_port")
        if port in node
    }
    return {(str(host), int(port)) for host, port in places | nodes}


SERVERS = ("registry", "community", "files", "push", "gateway", "control")


def answers(address: tuple[str, int]) -> bool:
    """Tell whether somebody listens at an address."""
    try:
        socket.create_connection(address, timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("cycles", CYCLES)
@pytest.mark.parametrize("engine", ENGINES)
def test_detached_networks_leave_nothing_behind(engine: str, cycles: int, place: Place) -> None:
    for number in range(cycles):
        up = place.run("up", "--detach", "--engine", engine, "--nodes", "4", "--json")
        state = json.loads(up.stdout)
        listening = addresses(state)
        assert all(map(answers, listening))
        assert place.processes()
        place.run("down")
        assert not any(map(answers, listening)), f"cycle {number}: somebody still listens"
        place.assert_empty(f"cycle {number}")


@pytest.mark.parametrize("cycles", CYCLES)
@pytest.mark.parametrize("engine", ENGINES)
def test_networks_in_this_process_leave_nothing_behind(
    engine: str, cycles: int, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(place.temporary))
    monkeypatch.setenv("SESSION_HARNESS_STATE_DIR", str(place.state))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def cycle() -> set[tuple[str, int]]:
        with session_testnet.open_local(
            Topology.default(4, seed="cycles"), NetworkOptions(engine=engine)
        ) as network:
            return addresses(network.state)

    # The first one loads modules, and opens what stays open for all.
    cycle()
    before = resources()
    for number in range(cycles):
        assert not any(map(answers, cycle())), f"cycle {number}: somebody still listens"
        end = time.monotonic() + DEADLINE_S
        while (now := resources()) != before:
            assert time.monotonic() < end, f"cycle {number}: there were {before}, there are {now}"
        place.assert_empty(f"cycle {number}")


def resources() -> tuple[int, list[str], list[str]]:
    """Return how many file descriptors are open, which threads run, and which children there are."""
    gc.collect()
    children = []
    for task in Path("/proc/self/task").iterdir():
        # A thread may end meanwhile.
        try:
            children += (task / "children").read_text().split()
        except OSError:
            continue
    # The descriptor with which the folder is read counts each time.
    return (
        len(list(Path("/proc/self/fd").iterdir())),
        sorted(each.name for each in threading.enumerate()),
        children,
    )


@pytest.mark.parametrize("kills", KILLS)
def test_a_network_that_is_killed_at_any_moment_leaves_nothing_but_its_state_file(
    kills: int, place: Place
) -> None:
    rng = random.Random("kills")
    for number in range(kills):
        moment = rng.uniform(0, LATEST_KILL_S)
        up = subprocess.Popen(
            place.command("up", "--engine", "process", "--nodes", "4"),
            env=place.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        with pytest.raises(subprocess.TimeoutExpired):
            up.wait(moment)
        up.kill()
        up.communicate(timeout=DEADLINE_S)
        if (place.state / "default.json").exists():
            assert "had ended already" in place.run("down").stderr
        # A state file that was being written has another name.
        for unfinished in place.state.glob(".default.json.*"):
            unfinished.unlink()
        place.assert_empty(f"kill {number}, {moment:.3f} s after the start")
