"""Run a miniature suite over miniature adapters in a child pytest."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from session_conformance.recording.stream import line_schema, read_report
from session_conformance.verdicts import CheckRecord, Verdict

ADAPTERS = '''
import os, pathlib, sys, threading

class Good:
    """Pad with 80 and zeros to whole blocks of 160 bytes."""
    operations = ["padding.pad"]
    features = {"padding": "2025"}

    def pad(self, data):
        padded = data + b"\\x80"
        return padded + bytes(-len(padded) % 160)

    def handle(self, request):
        op, params = request["op"], request["params"]
        if op == "hello":
            result = {"name": type(self).__name__, "version": "1.5", "language": "python", "contract": 1,
                      "operations": self.operations, "features": self.features}
        elif op == "padding.pad":
            result = {"padded_hex": self.pad(bytes.fromhex(params["message_hex"])).hex()}
        else:
            result = {}
        return {"id": request["id"], "result": result}

    def serve(self):
        import json
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps(self.handle(request)), flush=True)
            if request["op"] == "bye":
                break

class Wrong(Good):
    """Lose the message when it is longer than three bytes."""
    def pad(self, data):
        return super().pad(data if len(data) < 4 else data[1:])

class Stingy(Good):
    """Pad to no whole block: only a SHOULD is contradicted."""
    def pad(self, data):
        return data + b"\\x80"

class Poor(Good):
    operations = []

class Liar(Good):
    """Declare unpad, then answer that it is not supported."""
    operations = ["padding.pad", "padding.unpad"]
    def handle(self, request):
        if request["op"] == "padding.unpad":
            return {"id": request["id"], "error": {"kind": "unsupported"}}
        return super().handle(request)

class Once(Good):
    """Fail the very first padding of all: flaky."""
    seen = False
    def pad(self, data):
        if not Once.seen:
            Once.seen = True
            return b""
        return super().pad(data)

class Odd(Good):
    """Answer with a number where hex is due."""
    def handle(self, request):
        reply = super().handle(request)
        if "padded_hex" in reply["result"]:
            reply["result"]["padded_hex"] = 7
        return reply

class Crash(Good):
    def pad(self, data):
        if len(data) > 2:
            print("cannot pad", len(data), file=sys.stderr, flush=True)
            os._exit(9)
        return super().pad(data)

class Hang(Good):
    def pad(self, data):
        if len(data) > 2:
            with pathlib.Path(os.environ["HANGS"]).open("a") as log:
                log.write("hang\\n")
            threading.Event().wait()
        return super().pad(data)

class Chatty(Good):
    def pad(self, data):
        print("padding", len(data), flush=True)
        return super().pad(data)

class Needy(Good):
    def __init__(self):
        raise OSError("no library")
'''

SERVE = "import sys, mini_adapters; getattr(mini_adapters, sys.argv[1])().serve()"

SUITE = '''
import pytest
from hypothesis import given, strategies as st
from session_conformance.checks import check

def pad(testee, data):
    return bytes.fromhex(testee.call("padding.pad", message_hex=data.hex())["padded_hex"])

@check("MINI-01", ops=("padding.pad",))
@given(data=st.binary(max_size=20))
def test_keeps_the_message(testee, data):
    """Padding keeps the message."""
    assert pad(testee, data).startswith(data)

@check("MINI-02", ops=("padding.pad",))
def test_fills_blocks(testee):
    assert len(pad(testee, b"")) % 160 == 0

@check("MINI-01", ops=("padding.unpad",))
def test_unpads(testee):
    testee.call("padding.unpad", padded_hex="80")

@check("MINI-01", ops=("padding.pad",))
@pytest.mark.parametrize("size", [0, 3, 7])
def test_sizes(testee, size):
    assert pad(testee, b"x" * size).startswith(b"x" * size)
'''

REQUIREMENTS = """
[[requirement]]
id = "MINI-01"
level = "MUST"
area = "mini"
text = "Do."
source = "mini §1"

[[requirement]]
id = "MINI-02"
level = "SHOULD"
area = "mini"
text = "Better do."
source = "mini §2"
"""


@dataclass
class Run:
    """What a child pytest left behind."""

    code: int
    output: str
    run_dir: Path
    records: Sequence[CheckRecord] = ()
    lines: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def verdicts(self, testee: str | None = None) -> dict[str, Verdict]:
        return {r.check: r.verdict for r in self.records if testee is None or r.testee == testee}

    def one(self, check: str, testee: str | None = None) -> CheckRecord:
        (found,) = [r for r in self.records if r.check == check and testee in (None, r.testee)]
        return found

    def testee_of(self, argument: str) -> str:
        """Name the testee whose spec ends in an argument."""
        (found,) = [t["name"] for t in self.lines[0]["testees"] if t["spec"].endswith(argument)]
        return str(found)

    def case(self, record: CheckRecord, name: str) -> str:
        return (self.run_dir / record.case / name).read_text()


def write_folder(folder: Path) -> Path:
    (folder / "mini_adapters.py").write_text(ADAPTERS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "requirements").mkdir()
    (folder / "requirements" / "mini.toml").write_text(REQUIREMENTS)
    (folder / "suites").mkdir()
    (folder / "suites" / "test_mini.py").write_text(SUITE)
    return folder


def start(folder: Path, *arguments: str, recorded: bool = True, only: str = "suites") -> Run:
    """Run a child pytest in a folder, as the harness does: no plugins but those that are named."""
    run_dir = folder / "run"
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-c",
        str(folder / "pytest.ini"),
    ]
    command += ["-p", "session-conformance", only, "--session-requirements", str(folder / "requirements")]
    command += [*arguments, "--session-run-dir", str(run_dir)] if recorded else arguments
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(folder), "HANGS": str(folder / "hangs")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    made = Run(done.returncode, done.stdout + done.stderr, run_dir)
    path = run_dir / "report.jsonl"
    if recorded and path.exists():
        made.records = read_report(path).records
        made.lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        validator = Draft202012Validator(line_schema())
        for line in made.lines:
            validator.validate(line)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path)


@pytest.fixture
def run(folder: Path) -> Callable[..., Run]:
    return functools.partial(start, folder)


@pytest.fixture(scope="session")
def start_in() -> Callable[..., Run]:
    """Give the function itself, for runs that several tests read."""
    return start


@pytest.fixture(scope="session")
def new_folder() -> Callable[[Path], Path]:
    return write_folder
