"""The evidence of one check that did not pass: a folder below ``cases/`` that a person can work with."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from session_conformance.contract.messages import Exchange

FOLDER: Final = "cases"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Hold what was seen during the last attempt of a check; exchanges and logs by the name of the testee."""

    failure: str
    exchanges: Mapping[str, Sequence[Exchange]] = field(default_factory=dict)
    logs: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def case_name(check: str, testee_slug: str) -> str:
    """Return the name of a case: the same in every run."""
    return f"{check.replace('[', '-').replace(']', '').replace('/', '-')}--{testee_slug}"


def write_case(
    run_dir: Path, name: str, evidence: Evidence, *, replay: Sequence[str], directory: Path
) -> str:
    """Write the folder of a case and return its path relative to the run directory.

    ``transcript.jsonl`` holds the last exchanges in order, ``stderr.log`` what the testees logged,
    ``failure.txt`` what went wrong, ``replay.sh`` the command that reproduces it from ``directory``.
    """
    folder = run_dir / FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "transcript.jsonl").write_bytes(transcript(evidence.exchanges))
    logs = "".join(
        (f"== {testee}\n" if len(evidence.logs) > 1 else "") + text.rstrip("\n") + "\n"
        for testee, text in evidence.logs.items()
        if text.strip()
    )
    (folder / "stderr.log").write_text(logs, encoding="utf-8", errors="backslashreplace")
    parts = [evidence.failure.rstrip()]
    if evidence.notes:
        parts.append("Notes of the check:\n" + "\n".join(f"  {note}" for note in evidence.notes))
    parts.append(f"Reproduce it:\n  {shlex.join(replay)}")
    (folder / "failure.txt").write_text(
        "\n\n".join(parts) + "\n", encoding="utf-8", errors="backslashreplace"
    )
    script = folder / "replay.sh"
    script.write_text(
        f"#!/bin/sh\n# Reproduces {name}.\ncd {shlex.quote(str(directory))} || exit 1\n"
        f'exec {shlex.join(replay)} "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    return f"{FOLDER}/{name}"


def transcript(exchanges: Mapping[str, Sequence[Exchange]]) -> bytes:
    """Return the exchanges of all testees as JSON lines in the order of time, counted from the first."""
    merged = sorted(
        ((name, exchange) for name, several in exchanges.items() for exchange in several),
        key=lambda pair: pair[1].at_s,
    )
    since_s = merged[0][1].at_s if merged else 0.0
    return b"".join(
        orjson.dumps({"testee": name, **exchange.as_json(since_s)}, option=orjson.OPT_APPEND_NEWLINE)
        for name, exchange in merged
    )
