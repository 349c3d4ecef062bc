"""Processes of nodes: none outlives the network, however that ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import session_testnet
from session_testnet import NetworkOptions, Topology

PROGRAM = """
import json, sys
import session_testnet
from session_testnet import NetworkOptions, Topology

with session_testnet.open_local(Topology.default(3), NetworkOptions(engine="process")) as network:
    network.node("node-02").pause()
    print(json.dumps(network.state), flush=True)
    sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")


def descendants(pid: int) -> set[int]:
    """Return the processes that come from one, itself left out."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= more
    return found


def lives(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def running() -> "Any":
    """Return a network in a process of its own, with a node that is frozen."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    state = json.loads(process.stdout.readline())
    yield process, state
    process.kill()
    process.communicate(timeout=20)


def test_each_node_is_a_process_in_a_group_of_its_own(running: Any) -> None:
    process, _ = running
    children = descendants(process.pid)
    assert len(children) == 4, "three nodes, and the server that forked them"
    groups = {os.getpgid(pid) for pid in children}
    assert groups == children


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_network(
    running: Any, ending: signal.Signals, eventually: Callable[..., None]
) -> None:
    process, _ = running
    children = descendants(process.pid)
    os.kill(process.pid, ending)
    process.wait(timeout=20)
    eventually("all processes of the network have ended", lambda: not any(map(lives, children)))


def test_a_network_that_ends_leaves_no_process_and_no_directory() -> None:
    before = descendants(os.getpid())
    with session_testnet.open_local(Topology.default(3), NetworkOptions(engine="process")) as network:
        nodes = descendants(os.getpid()) - before
        assert len(nodes) == 4
        directories = {
            Path(line.partition("\0")[0])
            for pid in nodes
            for line in _open_files(pid)
            if "session-testnet-" in line
        }
        assert directories
        network.node("node-01").kill()
    assert not any(map(lives, nodes))
    assert not any(directory.exists() for directory in directories)


def test_a_node_that_dies_by_itself_is_seen_as_stopped(eventually: Callable[..., None]) -> None:
    before = descendants(os.getpid())
    with session_testnet.open_local(Topology.default(3), NetworkOptions(engine="process")) as network:
        leaders = sorted(descendants(os.getpid()) - before)
        os.kill(leaders[-1], signal.SIGKILL)
        eventually(
            "a node is known to have ended",
            lambda: [node.status()["status"] for node in network.nodes].count("stopped") == 1,
        )
        (dead,) = (node for node in network.nodes if node.status()["status"] == "stopped")
        dead.start()
        assert dead.status()["status"] == "running"


def _open_files(pid: int) -> list[str]:
    found = []
    for link in (Path("/proc") / str(pid) / "fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except OSError:
            continue
    return found
