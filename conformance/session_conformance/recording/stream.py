"""The stream of a run, ``report.jsonl``: one JSON object a line, the one truth behind all reports.

Lines, by their ``type``: a ``header`` first, a ``plan`` once the checks are known, a ``testee`` when one has
said hello, a ``note`` on what takes time, a ``verdict`` for each check and testee, a ``footer`` last. A run
that was killed has no footer; what stands there until then is still true.
"""

import functools
import importlib.resources
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar, Final, Self

import orjson

from session_conformance.contract.messages import Hello
from session_conformance.verdicts import CheckRecord, ExitCode, Level, Reason, Verdict, counts

SCHEMA: Final = 1
FILE_NAME: Final = "report.jsonl"
_SCHEMA_FILE: Final = "report-line.json"


class StreamError(ValueError):
    """Refuse a stream that was not written by ``StreamWriter``: names the file and the line."""


@dataclass(frozen=True, slots=True)
class Header:
    """Say what was run, with which inputs; ``started`` is UTC in ISO 8601."""

    run: str
    seed: str
    engine: str
    started: str
    harness: str
    python: str
    platform: str
    max_examples: int
    nodes: int
    peer: str
    testees: tuple[Mapping[str, str], ...]  # name and spec of each
    filters: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TesteeLine:
    """Say who a testee turned out to be."""

    __test__: ClassVar[bool] = False  # pytest takes the name for that of a test class

    testee: str
    spec: str
    hello: Mapping[str, Any]

    @classmethod
    def of(cls, testee: str, spec: str, hello: Hello) -> Self:
        """Return the line of a testee that has said hello."""
        return cls(testee, spec, hello.as_json())


@dataclass(frozen=True, slots=True)
class Footer:
    """Say how the run ended; ``end`` is a ``RunEnd`` in lower case."""

    end: str
    exit: int
    seconds: float
    counts: Mapping[str, int]


def verdict_line(record: CheckRecord) -> dict[str, Any]:
    """Return a record as the object of its line."""
    return {"type": "verdict", **asdict(record)}


def record_of(line: Mapping[str, Any]) -> CheckRecord:
    """Return the record of a verdict line; fields of a newer version are left out."""
    known = {field.name for field in fields(CheckRecord)}
    values = {name: value for name, value in line.items() if name in known}
    values["verdict"] = Verdict(values["verdict"])
    values["level"] = Level(values["level"])
    values["reason"] = Reason(values["reason"])
    values["requirements"] = tuple(values["requirements"])
    return CheckRecord(**values)


class StreamWriter:
    """Write the stream of a run, a line at a time, so that a reader can follow it."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb", buffering=0)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def header(self, header: Header) -> None:
        """Write the first line."""
        self._write({"type": "header", "schema": SCHEMA, **asdict(header)})

    def plan(self, checks: int) -> None:
        """Say how many verdicts are to come."""
        self._write({"type": "plan", "checks": checks})

    def note(self, text: str) -> None:
        """Write a sentence about something that takes time."""
        self._write({"type": "note", "text": text})

    def testee(self, line: TesteeLine) -> None:
        """Write what a testee said about itself."""
        self._write({"type": "testee", **asdict(line)})

    def verdict(self, record: CheckRecord) -> None:
        """Write a verdict."""
        self._write(verdict_line(record))

    def footer(self, footer: Footer) -> None:
        """Write the last line."""
        self._write({"type": "footer", **asdict(footer)})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def footer_of(records: Iterable[CheckRecord], *, end: str, exit_code: ExitCode, seconds: float) -> Footer:
    """Return the footer that goes with these records."""
    found = {verdict.value: number for verdict, number in counts(records).items()}
    return Footer(end=end, exit=int(exit_code), seconds=round(seconds, 3), counts=found)


@dataclass(frozen=True, slots=True)
class Report:
    """Hold a stream as it was read; ``footer`` is None for a run that did not end by itself."""

    header: Mapping[str, Any]
    testees: tuple[Mapping[str, Any], ...]
    records: tuple[CheckRecord, ...]
    planned: int | None
    footer: Mapping[str, Any] | None


def parse_lines(lines: Iterable[bytes], source: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a stream; a last line that was cut off by a kill is left out.

    Raise StreamError for anything else that is not an object with a type.
    """
    for number, line in enumerate(lines, start=1):
        try:
            parsed = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if not line.endswith(b"\n"):
                return
            raise StreamError(f"{source}:{number}: not JSON: {error}") from None
        if not isinstance(parsed, dict) or not isinstance(parsed.get("type"), str):
            raise StreamError(f"{source}:{number}: not an object with a type")
        yield parsed


def read_report(path: Path) -> Report:
    """Read ``report.jsonl``, complete or not; raise StreamError."""
    header: Mapping[str, Any] | None = None
    footer: Mapping[str, Any] | None = None
    planned: int | None = None
    testees: list[Mapping[str, Any]] = []
    records: list[CheckRecord] = []
    try:
        with path.open("rb") as file:
            for line in parse_lines(file, str(path)):
                match line["type"]:
                    case "header":
                        header = line
                    case "plan":
                        planned = line["checks"]
                    case "testee":
                        testees.append(line)
                    case "verdict":
                        records.append(record_of(line))
                    case "footer":
                        footer = line
    except OSError as error:
        raise StreamError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, StreamError):
            raise
        raise StreamError(f"{path}: a line lacks, or garbles, a field: {error}") from error
    if header is None or header.get("schema") != SCHEMA:
        raise StreamError(f"{path}: no header of schema {SCHEMA}; is it the report.jsonl of a run?")
    return Report(header, tuple(testees), tuple(records), planned, footer)


@functools.cache
def line_schema() -> Any:
    """Return the JSON Schema of a line."""
    folder = importlib.resources.files("session_conformance.recording") / "schemas"
    return orjson.loads((folder / _SCHEMA_FILE).read_bytes())
