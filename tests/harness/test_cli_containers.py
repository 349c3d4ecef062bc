"""Commands about containers where there are none: they say what is missing, and what to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import session_testnet
from session_harness.cli.root import run
from session_testnet import LocalNetworkHandle, Topology
from session_testnet.control.state_file import write_state


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Point Docker's clients at a socket that nobody listens at."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.setenv("SESSION_HARNESS_STATE_DIR", str(tmp_path / "states"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[tuple[LocalNetworkHandle, str]]:
    """Return an embedded network and its state file."""
    with session_testnet.open_local(Topology.default(3)) as network:
        write_state(tmp_path / "state.json", network.state)
        yield network, str(tmp_path / "state.json")


def test_what_needs_an_engine_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("docker")
    assert run(["image", "build"]) == 2
    said = capsys.readouterr().err
    assert "error: no container engine answers: no such file or directory" in said
    assert "hint: DOCKER_HOST is unix://" in said
    assert run(["up", "--engine", "docker", "--nodes", "3"]) == 3
    assert "no container engine answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--image", "x"], "--image is for containers, and the engine embedded has none"),
        (["--node-memory", "1g"], "--node-memory is for containers"),
        (["--engine", "process", "--node-cpus", "1"], "the engine process has none"),
        (["--engine", "docker", "--node-memory", "much"], "'much' is not a size"),
        (["--engine", "docker", "--node-memory", "0"], "'0' is not a size"),
        (["--engine", "docker", "--node-cpus", "0"], "0"),
        (["--control-ip", "here"], "--control-ip 'here' is not an IP address"),
    ],
)
def test_options_that_cannot_be_are_refused(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["up", *options]) == 64
    assert said in capsys.readouterr().err


def test_cleanup_finds_state_files_of_ended_processes_only(
    state: tuple[LocalNetworkHandle, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    network, _ = state
    folder = tmp_path / "states"
    write_state(folder / "runs.json", network.state)
    # No process has this number: Linux's go up to 2^22.
    write_state(folder / "ended.json", {**network.state, "pid": 2**22 + 1})
    (folder / "ended.log").write_text("what it said")
    assert run(["cleanup", "--dry-run"]) == 0
    assert "ended.json: its process 4194305 has ended" in capsys.readouterr().out
    assert (folder / "ended.json").exists()
    assert run(["cleanup"]) == 0
    assert "1 thing removed" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["runs.json"]
    assert run(["cleanup"]) == 0
    assert "nothing is left over" in capsys.readouterr().err


def test_a_node_is_restarted_as_another_release(
    state: tuple[LocalNetworkHandle, str], capsys: pytest.CaptureFixture[str]
) -> None:
    network, path = state
    assert run(["node", "restart", "node-02", "--node-version", "2.8.0", "--state", path]) == 0
    assert "node-02 is running" in capsys.readouterr().out
    assert network.storage_rpc("node-02", "info", {})["body"]["version"] == [2, 8, 0]
    assert run(["node", "restart", "node-02", "--node-version", "new", "--state", path]) == 2
    assert "'new' is not a release of the storage server" in capsys.readouterr().err


def test_commands_run_only_where_a_node_has_a_container(
    state: tuple[LocalNetworkHandle, str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = state
    assert run(["node", "exec", "node-01", "--state", path, "--", "ls", "-l"]) == 2
    assert "the engine embedded does not offer this" in capsys.readouterr().err


def test_the_doctor_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    assert "Docker" in capsys.readouterr().out
