"""State files: written whole, private, and refused when they are not what they should be."""

import os
import stat
from pathlib import Path

import pytest

from session_testnet import NetworkHandle
from session_testnet.control.state_file import (
    StateFileError,
    default_state_path,
    is_alive,
    read_state,
    remove_state,
    write_state,
)


def test_a_state_is_read_as_it_was_written(small_network: NetworkHandle, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    write_state(path, small_network.state)
    assert read_state(path) == small_network.state
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path], "the temporary file stayed"
    remove_state(path)
    remove_state(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "cannot be read"),
        ("[]", "another version"),
        ('{"schema": 2}', "another version"),
        ('{"schema": 1, "name": "x"}', "lacks engine"),
    ],
)
def test_a_broken_state_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(StateFileError, match=complaint) as refused:
        read_state(path)
    assert refused.value.hint


def test_a_missing_state_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="no network") as refused:
        read_state(tmp_path / "none.json")
    assert "session-harness up" in refused.value.hint


def test_a_missing_state_names_the_networks_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(StateFileError) as refused:
        read_state(tmp_path / "default.json")
    assert refused.value.hint == "there is another one: --name mine"


def test_a_state_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateFileError, match="cannot be written"):
        write_state(tmp_path / "file" / "state.json", {})


def test_the_default_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_HARNESS_STATE_DIR", str(tmp_path))
    assert default_state_path("mine") == tmp_path / "mine.json"


def test_a_live_process_is_told_from_a_dead_one() -> None:
    assert is_alive({"pid": os.getpid()})
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert not is_alive({"pid": child}), "a zombie runs no network"
    os.waitpid(child, 0)
    assert not is_alive({"pid": child})
