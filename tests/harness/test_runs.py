import json
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_harness.errors import RunNotFound, UsageError
from session_harness.runs import RunDirectory, create_run, find_run, run_names, write_whole

NOON = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)


def made(root: Path, *, now: datetime = NOON, tail: bytes = b"\xab\x12\xcd") -> RunDirectory:
    return create_run(root, now=now, random_bytes=lambda count: tail[:count])


def test_a_run_is_named_after_its_start_in_utc(tmp_path: Path) -> None:
    local = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    run = made(tmp_path / "runs", now=local)
    assert run.id == "2026-11-23T12-00-05Z-ab12cd"
    assert run.path.is_dir()


def test_latest_always_points_at_the_newest_run(tmp_path: Path) -> None:
    first = made(tmp_path, tail=b"\x00\x00\x01")
    assert (tmp_path / "latest").resolve() == first.path.resolve()
    second = made(tmp_path, tail=b"\x00\x00\x02")
    assert (tmp_path / "latest").resolve() == second.path.resolve()
    assert (tmp_path / "latest").readlink() == Path(second.id), "relative, so that the folder can be moved"
    assert run_names(tmp_path) == [first.id, second.id]


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(UsageError, match="cannot be made") as caught:
        made(tmp_path)
    assert "--out" in caught.value.hint


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        made(tmp_path / "runs")


def test_a_run_is_found_by_name_by_path_and_as_latest(tmp_path: Path) -> None:
    run = made(tmp_path)
    run.write_inputs({"seed": "ü"})
    for text in (run.id, str(run.path), "latest"):
        found = find_run(text, tmp_path)
        assert found.id == run.id
        assert found.read_inputs() == {"seed": "ü"}


def test_an_unknown_run_is_answered_with_the_closest_name(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound) as caught:
        find_run("latest", tmp_path / "runs")
    assert "holds no runs" in caught.value.hint
    run = made(tmp_path)
    with pytest.raises(RunNotFound, match="'2026-11-23'") as caught:
        find_run("2026-11-23", tmp_path)
    assert run.id in caught.value.hint


@pytest.mark.parametrize("content", ["", "[]", "{", "\xff"])
def test_broken_inputs_are_refused(tmp_path: Path, content: str) -> None:
    run = made(tmp_path)
    run.inputs.write_bytes(content.encode("latin-1"))
    with pytest.raises(RunNotFound):
        run.read_inputs()


@given(st.text(st.characters(codec=None)))
def test_any_text_can_be_written(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("whole") / "file"
    write_whole(path, text)
    assert path.read_bytes() == text.encode("utf-8", "backslashreplace")
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_keeps_its_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")
    with pytest.raises(TypeError):
        write_whole(path, None)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert stat.S_ISREG(path.stat().st_mode)


def test_inputs_are_plain_json(tmp_path: Path) -> None:
    run = made(tmp_path)
    run.write_inputs({"options": {"testees": ["reference"]}})
    assert json.loads(run.inputs.read_text()) == {"options": {"testees": ["reference"]}}
