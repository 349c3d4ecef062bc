"""The run directory: one folder a run, with everything that it was made from and all that came out.

::

    runs/2026-11-23T06-15-28Z-ab12cd/        runs/latest → it
      inputs.json  report.jsonl  junit.xml  report.html  summary.md  badge.json  pytest.log
      testnet/     state and logs of the testnet
      cases/<id>/  evidence of every check that did not pass
"""

import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from session_harness.errors import RunNotFound, UsageError
from session_harness.spelling import suggestion

LATEST: Final = "latest"
DEFAULT_ROOT: Final = Path("runs")
_RUN_ID: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-[0-9a-f]{6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Know the places inside one run's folder."""

    path: Path

    @property
    def id(self) -> str:
        """Return the run's name: the time of its start in UTC, and six random hex digits."""
        return self.path.resolve().name

    @property
    def inputs(self) -> Path:
        """Return the place of what the run was started with."""
        return self.path / "inputs.json"

    @property
    def stream(self) -> Path:
        """Return the place of the verdict records: the one source of all reports."""
        return self.path / "report.jsonl"

    @property
    def junit(self) -> Path:
        """Return the place of the JUnit report."""
        return self.path / "junit.xml"

    @property
    def html(self) -> Path:
        """Return the place of the report for people."""
        return self.path / "report.html"

    @property
    def markdown(self) -> Path:
        """Return the place of the summary for a CI job page."""
        return self.path / "summary.md"

    @property
    def badge(self) -> Path:
        """Return the place of the badge (shields.io endpoint)."""
        return self.path / "badge.json"

    @property
    def log(self) -> Path:
        """Return the place of what the child pytest wrote."""
        return self.path / "pytest.log"

    @property
    def cases(self) -> Path:
        """Return the folder of the evidence."""
        return self.path / "cases"

    def read_inputs(self) -> dict[str, Any]:
        """Return what the run was started with; raise RunNotFound when that is missing or broken."""
        try:
            found = json.loads(self.inputs.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RunNotFound(f"{self.inputs} cannot be read: {error}", hint="name another run") from error
        if not isinstance(found, dict):
            raise RunNotFound(f"{self.inputs} is no object", hint="name another run")
        return found

    def write_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Write what the run was started with."""
        write_whole(self.inputs, json.dumps(inputs, indent=1, ensure_ascii=False) + "\n")


def create_run(
    root: Path = DEFAULT_ROOT,
    *,
    now: datetime | None = None,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> RunDirectory:
    """Make the folder of a new run under ``root`` and point ``latest`` at it; UsageError if it cannot be."""
    started = (now or datetime.now(UTC)).astimezone(UTC)
    name = f"{started:%Y-%m-%dT%H-%M-%SZ}-{random_bytes(3).hex()}"
    path = root / name
    try:
        path.mkdir(parents=True)
        _point_latest(root, name)
    except OSError as error:
        raise UsageError(
            f"the run directory {path} cannot be made: {error.strerror or error}",
            hint="name a folder that can be written with --out",
        ) from error
    return RunDirectory(path)


def find_run(text: str, root: Path = DEFAULT_ROOT) -> RunDirectory:
    """Return the run of a path, of a name under ``root``, or of ``latest``; raise RunNotFound otherwise."""
    for path in (Path(text), root / text):
        if (path / "inputs.json").is_file() or (path / "report.jsonl").is_file():
            return RunDirectory(path)
    names = run_names(root)
    known = [LATEST, *names] if names else []
    raise RunNotFound(
        f"there is no run {text!r}",
        hint=suggestion(text, known)
        if known
        else f"{root} holds no runs; make one with: session-harness conform",
    )


def run_names(root: Path = DEFAULT_ROOT) -> list[str]:
    """Return the names of the runs under ``root``, oldest first."""
    if not root.is_dir():
        return []
    return sorted(entry.name for entry in root.iterdir() if _RUN_ID.fullmatch(entry.name) and entry.is_dir())


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # Lone surrogates, which a testee may send, must not stop a report.
    temporary.write_text(text, "utf-8", errors="backslashreplace", newline="\n")
    temporary.replace(path)


def _point_latest(root: Path, name: str) -> None:
    """Let ``latest`` mean the run; a reader sees the old one or the new one, never none."""
    temporary = root / f".{LATEST}.{name}"
    temporary.symlink_to(name, target_is_directory=True)
    temporary.replace(root / LATEST)
