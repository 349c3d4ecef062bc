"""The measuring script runs, checks answers, and says all that it promises; its numbers are not judged."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "ci" / "measure-testnet"
TINY = ("--rounds", "1", "--requests", "10", "--connections", "2", "--idle-nodes", "2", "--idle-s", "0.05")

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's /proc")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    file = tmp_path_factory.mktemp("measure") / "numbers.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *TINY, "--json", str(file)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done.stdout


def test_every_load_has_its_row(run: tuple[dict[str, Any], str]) -> None:
    rows = {(row["name"], row["nodes"], row["bytes"]) for row in run[0]["throughput"]}
    assert rows == {
        ("store, one node", 1, 1024),
        ("retrieve, one node", 1, 1024),
        ("store, swarm of 5", 5, 1024),
        ("retrieve, swarm of 5", 5, 1024),
        ("store, swarm of 5, on disk", 5, 1024),
        ("onion store, 3 relays", 10, 1024),
        ("onion retrieve, 3 relays", 10, 1024),
        ("onion store, 3 relays", 10, 76_800),
        ("onion retrieve, 3 relays", 10, 76_800),
    }


def test_numbers_of_a_load_fit_each_other(run: tuple[dict[str, Any], str]) -> None:
    for row in run[0]["throughput"]:
        assert row["per_second_best"] >= row["per_second_median"] > 0
        assert row["p99_ms"] >= row["p50_ms"] > 0
        assert row["loaded_p99_ms"] >= row["loaded_p50_ms"] > 0
        assert row["server_cpu_us"] > 0


def test_idle_networks_are_measured_beside_a_single_node(run: tuple[dict[str, Any], str]) -> None:
    idle = run[0]["idle"]
    assert [row["nodes"] for row in idle] == [1, 2]
    for row in idle:
        assert row["resident_mib"] >= row["unshared_mib"] > 0
        assert row["ready_s"] > 0
        assert row["ready_cpu_s"] > 0
        assert row["cpu_ms_per_s"] >= 0


def test_goals_say_whether_they_are_met(run: tuple[dict[str, Any], str]) -> None:
    goals = run[0]["goals"]
    assert len(goals) == 4
    for goal in goals:
        reached = (
            goal["value"] >= goal["limit"] if goal["relation"] == ">=" else goal["value"] <= goal["limit"]
        )
        assert goal["met"] is reached


def test_text_shows_what_the_file_has(run: tuple[dict[str, Any], str]) -> None:
    numbers, text = run
    for row in (*numbers["throughput"], *numbers["goals"]):
        assert row["name"] in text
