"""The command that reproduces one check: made to be copied from a report into a shell."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from session_conformance.options import DEFAULT_EXAMPLES, DEFAULT_NODES, JudgeOptions


def conform_command(options: JudgeOptions, testee: str, check: str) -> list[str]:
    """Return the arguments that judge one check of our suites on one testee."""
    command = ["session-harness", "conform", "--testee", testee, "--filter", check]
    command += ["--seed", options.seed, "--max-examples", str(options.max_examples)]
    command += ["--peer", options.peer] if options.peer != "reference" else []
    command += ["--state", options.state] if options.state else []
    command += ["--nodes", str(options.nodes)] if options.nodes != DEFAULT_NODES else []
    command += ["--engine", options.engine] if options.engine != "embedded" else []
    for file in options.expectation_files:
        command += ["--expectations", file]
    return [*command, "--validate"] if options.validate else command


def pytest_command(options: JudgeOptions, testee: str, check: str, file: Path) -> list[str]:
    """Return the arguments that judge one check of somebody's own suite on one testee."""
    command = ["python", "-m", "pytest", str(file), "--testee", testee, "--session-filter", check]
    command += ["--session-seed", options.seed]
    if options.max_examples != DEFAULT_EXAMPLES:
        command += ["--session-max-examples", str(options.max_examples)]
    command += ["--peer", options.peer] if options.peer != "reference" else []
    command += ["--session-state", options.state] if options.state else []
    command += ["--session-nodes", str(options.nodes)] if options.nodes != DEFAULT_NODES else []
    command += ["--session-engine", options.engine] if options.engine != "embedded" else []
    for text in options.expectation_files:
        command += ["--session-expectations", text]
    for folder in options.requirement_folders:
        command += ["--session-requirements", str(folder)]
    command += ["--session-deadline", f"{options.deadline_s:g}"] if options.deadline_s is not None else []
    return [*command, "--session-validate"] if options.validate else command


def line_of(command: Sequence[str]) -> str:
    """Return a command as one line for a shell."""
    return shlex.join(command)
