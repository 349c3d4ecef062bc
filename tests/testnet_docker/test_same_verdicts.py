"""The reference testee gets the same verdicts whatever its network runs in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.docker


def verdicts(engine: str, folder: Path) -> dict[str, str]:
    """Judge the reference on an engine; return the verdict of each check."""
    command = [
        *(sys.executable, "-m", "session_harness", "conform", "--testee", "reference", "--engine", engine),
        *("--nodes", "5", "--max-examples", "2", "--out", str(folder / engine), "--json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (report,) = folder.glob(f"{engine}/2*/report.jsonl")
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    return {line["check"]: line["verdict"] for line in lines if line["type"] == "verdict"}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    found = verdicts("embedded", tmp_path_factory.mktemp("embedded"))
    assert found
    return found


def test_docker_agrees_with_embedded(container_image: str, embedded: dict[str, str], tmp_path: Path) -> None:
    assert verdicts("docker", tmp_path) == embedded


def test_docker_swarm_agrees_with_embedded(
    docker_swarm: None, embedded: dict[str, str], tmp_path: Path
) -> None:
    assert verdicts("docker-swarm", tmp_path) == embedded
