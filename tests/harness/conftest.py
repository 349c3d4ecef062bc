"""Runs that never were: streams with every kind of verdict, and the command line as a subprocess."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from session_conformance.recording.stream import Header, StreamWriter, TesteeLine, footer_of
from session_conformance.verdicts import CheckRecord, Level, Reason, RunEnd, Verdict, exit_code
from session_harness.report.results import RunResults, load_results

RUN_ID = "2026-11-23T06-15-28Z-ab12cd"


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The sentence of the one error line."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, f"expected one error line, stderr was:\n{self.err}"
        return lines[0].removeprefix("error: ")

    @property
    def hint(self) -> str:
        """The sentence of the one hint line."""
        lines = [line for line in self.err.splitlines() if line.startswith("hint: ")]
        assert len(lines) == 1, f"expected one hint line, stderr was:\n{self.err}"
        return lines[0].removeprefix("hint: ")


@dataclass
class CommandLine:
    """Run ``python -m session_harness`` in a folder of its own, with state files of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "session_harness", *arguments]

    def variables(self) -> dict[str, str]:
        return {
            **os.environ,
            "SESSION_HARNESS_STATE_DIR": str(self.folder / "state"),
            "PYTHONUTF8": "1",
            **self.environment,
        }

    def __call__(self, *arguments: str, stdin: str = "", timeout: float = 60) -> Finished:
        done = subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            cwd=self.folder,
            env=self.variables(),
            timeout=timeout,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            cwd=self.folder,
            env=self.variables(),
        )


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Finished]:
    """Run a command in this process, where starting an interpreter for each case would take too long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_HARNESS_STATE_DIR", str(tmp_path / "state"))

    def run_it(*arguments: str) -> Finished:
        from session_harness.cli.root import run

        capsys.readouterr()
        code = int(run(list(arguments)))
        out, err = capsys.readouterr()
        return Finished(code, out, err)

    return run_it


def record(check: str, testee: str, verdict: Verdict, message: str = "", **more: object) -> CheckRecord:
    """Make a record of a check called ``suite.name``."""
    return CheckRecord(check, testee, verdict, suite=check.partition(".")[0], message=message, **more)  # type: ignore[arg-type]


OPENS, REFUSES = "sealing.opens_what_was_sealed", "sealing.refuses_a_flipped_bit"
ONE, OTHER = "reference", "session_python"
ODD_INPUT = "session.decrypt accepted input that it must refuse\n  ciphertext = '00ff'"

SAMPLE: tuple[CheckRecord, ...] = (
    record(OPENS, ONE, Verdict.PASSED, requirements=("SEAL-01",), tier="L1", seconds=0.25),
    record(OPENS, OTHER, Verdict.PASSED, requirements=("SEAL-01",), tier="L1", seconds=0.5),
    record(REFUSES, ONE, Verdict.PASSED, requirements=("SEAL-02",), tier="L1"),
    record(
        REFUSES,
        OTHER,
        Verdict.FAILED,
        ODD_INPUT,
        requirements=("SEAL-02", "SEAL-03"),
        tier="L1",
        sentence="A changed message is refused.",
        attempts=2,
        case=f"cases/{REFUSES}--{OTHER}",
        replay=f"session-harness replay runs/{RUN_ID}/{REFUSES}--{OTHER}",
    ),
    record("padding.pads", ONE, Verdict.WARNED, "the padding is odd", level=Level.SHOULD, tier="L1"),
    record(
        "padding.pads",
        OTHER,
        Verdict.EXPECTED_FAILURE,
        "padded to 159 bytes",
        tier="L1",
        expectation="pads as older clients do",
        link="https://example.org/1",
    ),
    record("padding.unpads", ONE, Verdict.FLAKY, "sometimes", tier="L1", case=f"cases/padding.unpads--{ONE}"),
    record(
        "padding.unpads", OTHER, Verdict.STALE, "passed, but is listed", tier="L1", expectation="was broken"
    ),
    record("onion.peels", ONE, Verdict.ERRORED, "the testee crashed with code 139", tier="L3"),
    record("onion.peels", OTHER, Verdict.UNSUPPORTED, "does not declare onion.peel", tier="L3"),
    record(
        "messaging.delivers", ONE, Verdict.NOT_RUN, "left out", tier="L4", peer=ONE, reason=Reason.REQUESTED
    ),
    record(
        "messaging.delivers",
        OTHER,
        Verdict.NOT_RUN,
        "the network did not start",
        tier="L4",
        peer=ONE,
        reason=Reason.TESTNET,
    ),
)


@pytest.fixture
def write_stream() -> Callable[..., Path]:
    """Write the stream of a run; ``end`` None leaves the footer out."""

    def write(
        path: Path,
        records: tuple[CheckRecord, ...] = SAMPLE,
        *,
        end: RunEnd | None = RunEnd.COMPLETE,
        specs: Mapping[str, str] | None = None,
    ) -> Path:
        specs = specs or {name: name for name in dict.fromkeys(record.testee for record in records)}
        with StreamWriter(path) as stream:
            stream.header(
                Header(
                    run=RUN_ID,
                    seed="7",
                    engine="embedded",
                    started="2026-11-23T06:15:28Z",
                    harness="session-harness 0.1.0",
                    python="3.11.7",
                    platform="Linux",
                    max_examples=100,
                    nodes=14,
                    peer="reference",
                    testees=tuple({"name": name, "spec": spec} for name, spec in specs.items()),
                )
            )
            stream.plan(len(records))
            for name, spec in specs.items():
                hello = {
                    "name": name,
                    "version": "1.0.5",
                    "language": "python",
                    "operations": ["session.encrypt"],
                }
                stream.testee(TesteeLine(name, spec, hello))
            for record in records:
                stream.verdict(record)
            if end is not None:
                code = exit_code(records, end=end)
                stream.footer(footer_of(records, end=end.value, exit_code=code, seconds=12.5))
        return path

    return write


@pytest.fixture
def sample(tmp_path: Path, write_stream: Callable[..., Path]) -> RunResults:
    """A run of two testees with every kind of verdict."""
    return load_results(write_stream(tmp_path / "report.jsonl"))


@pytest.fixture
def sample_run(tmp_path: Path, write_stream: Callable[..., Path]) -> Path:
    """The folder of that run, below ``runs``, with ``latest``."""
    from session_harness.runs import RunDirectory

    directory = tmp_path / "runs" / RUN_ID
    directory.mkdir(parents=True)
    write_stream(directory / "report.jsonl")
    (directory.parent / "latest").symlink_to(RUN_ID)
    options = {
        "testees": ["reference", "session_python"],
        "seed": "7",
        "max_examples": 9,
        "nodes": 5,
        "out": "runs",
    }
    RunDirectory(directory).write_inputs({"schema": 1, "options": options})
    return directory


@pytest.fixture
def make_results() -> Callable[..., RunResults]:
    """Make results of records, without a file."""

    def make(*records: CheckRecord, end: RunEnd | None = RunEnd.COMPLETE) -> RunResults:
        from session_harness.report.results import TesteeInfo

        names = dict.fromkeys(record.testee for record in records)
        return RunResults(
            run=RUN_ID, seed="7", end=end, testees=tuple(TesteeInfo(name) for name in names), records=records
        )

    return make
