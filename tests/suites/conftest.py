"""Run the real suites against testees of a few lines, as ``conform`` does."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from session_conformance.verdicts import CheckRecord
from session_harness.conform import ConformOptions, conform

Judge = Callable[..., Mapping[str, CheckRecord]]


def run_suites(
    folder: Path, source: str, *checks: str, testee: str = "", **options: Any
) -> Mapping[str, CheckRecord]:
    """Judge the class ``Mine`` of a Python source, or ``testee``; return the records by check."""
    (folder / "odd_testees.py").write_text(source)
    spec = testee or "python:odd_testees:Mine"
    options = {"max_examples": 10, "out": folder / "runs", **options}
    result = conform(ConformOptions(testees=(spec,), filters=checks, **options))
    return {record.check: record for record in result.results.records}


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    return functools.partial(run_suites, tmp_path)
