"""Environments of testees are built once, whole, and named after their lock file."""

import subprocess
from pathlib import Path

import pytest

from session_conformance.testees.environments import (
    EnvironmentNotBuilt,
    ensure_environment,
    environment_folder,
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SESSION_HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_environment_is_built_once(cache: Path, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("# nothing is needed\n")
    said: list[str] = []
    interpreter = ensure_environment("empty", lock, say=said.append)
    assert interpreter.is_relative_to(cache)
    prefix = subprocess.run(
        [interpreter, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert Path(prefix) == interpreter.parent.parent
    assert len(said) == 2
    assert ensure_environment("empty", lock, say=said.append) == interpreter
    assert len(said) == 2, "it was built again"
    assert [entry.name for entry in interpreter.parent.parent.parent.iterdir()] == [
        interpreter.parent.parent.name
    ], "a half-built environment stayed"


def test_another_lock_is_another_environment(cache: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.lock", tmp_path / "second.lock"
    first.write_text("# one\n")
    second.write_text("# two\n")
    assert environment_folder("same", first) != environment_folder("same", second)


def test_a_lock_that_cannot_be_installed_is_a_clear_error(cache: Path, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("./not-here.whl --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(EnvironmentNotBuilt, match="could not be installed") as refused:
        ensure_environment("broken", lock, say=lambda _line: None)
    assert refused.value.hint
    assert not environment_folder("broken", lock).exists()
