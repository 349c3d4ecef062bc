"""Run the real suites against testees of a few lines, as ``conform`` does."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from session_conformance.verdicts import CheckRecord
from session_harness.conform import ConformOptions, conform
from session_harness.report.results import RunResults

MODULE = "odd_testees"

Run = Callable[..., RunResults]
Judge = Callable[..., Mapping[str, CheckRecord]]


def run(folder: Path, source: str, testees: tuple[str, ...], **options: Any) -> RunResults:
    """Judge shipped testees, or classes of a Python source (``python:odd_testees:Class``)."""
    (folder / f"{MODULE}.py").write_text(source)
    options = {"max_examples": 10, "out": folder / "runs", **options}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(folder))
        return conform(ConformOptions(testees=testees, **options)).results


@pytest.fixture(scope="session")
def run_suites() -> Run:
    return run


@pytest.fixture
def judged(tmp_path: Path) -> Judge:
    """Judge the class ``Mine`` of a source, or ``testee``, by some checks; give the records by check."""

    def judge(source: str, *checks: str, testee: str = f"python:{MODULE}:Mine", **options: Any) -> Any:
        results = run(tmp_path, source, (testee,), filters=checks, **options)
        return {record.check: record for record in results.records}

    return judge
