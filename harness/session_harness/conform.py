"""Judge testees: make a run directory, run the suites in a child pytest, turn its stream into reports.

The child is a pytest of its own, untouched by the configuration of whatever folder it is started in; what it
finds out comes back through ``report.jsonl`` alone.
"""

import json
import os
import platform
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from session_harness.child import ChildEnd, ChildResult, Deadlines, run_child
from session_harness.errors import ExitCode, HarnessError, Interrupted, NoNetwork, UsageError
from session_harness.runs import DEFAULT_ROOT, RunDirectory, create_run
from session_harness.spelling import suggestion

if TYPE_CHECKING:
    from session_conformance.contract.specs import TesteeSpec
    from session_harness.report.results import RunResults

SUITES: Final = "session_conformance.suites"
SERVER_SUITES: Final = "session_conformance.server_suites"
SILENCE_S: Final = 300.0
RANDOM_SEED: Final = "random"
LOG_LINES_SHOWN: Final = 15

# Part of the inputs of a run: what a reader needs to tell two machines apart, and nothing that may be secret.
_RECORDED_ENVIRONMENT: Final = (
    "CI",
    "GITHUB_SHA",
    "GITHUB_REF_NAME",
    "GITHUB_RUN_ID",
    "GITHUB_REPOSITORY",
    "LANG",
)


@dataclass(frozen=True, slots=True)
class ConformOptions:
    """Hold the options of ``conform``."""

    testees: tuple[str, ...]
    peer: str = "reference"
    suites: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()
    nodes: int = 14
    engine: str = "embedded"
    expectations: tuple[str, ...] = ()
    seed: str = "0"
    max_examples: int = 100
    out: Path = DEFAULT_ROOT
    fail_fast: bool = False
    max_failures: int | None = None
    strict: bool = False
    require: str | None = None
    validate: bool = False
    retry: bool = True
    state: str = ""

    def pytest_arguments(self, run: RunDirectory) -> list[str]:
        """Return the arguments of the child pytest."""
        words = ["--session-run-dir", str(run.path), "--session-seed", self.seed, "--peer", self.peer]
        words += ["--session-nodes", str(self.nodes), "--session-engine", self.engine]
        words += ["--session-max-examples", str(self.max_examples)]
        repeated = {
            "--testee": self.testees,
            "--session-suite": self.suites,
            "--session-filter": self.filters,
            "--session-skip": self.skips,
            "--session-expectations": self.expectations,
        }
        for option, values in repeated.items():
            words += [word for value in values for word in (option, value)]
        if self.state:
            words += ["--session-state", self.state]
        if self.max_failures is not None:
            words += ["--session-max-failures", str(self.max_failures)]
        words += ["--session-fail-fast"] if self.fail_fast else []
        words += ["--session-validate"] if self.validate else []
        words += [] if self.retry else ["--session-no-retry"]
        return words


@dataclass(frozen=True, slots=True)
class ConformResult:
    """Hold a finished run: its folder, what it found, and the exit code; ``notes`` explain the code."""

    directory: RunDirectory
    results: "RunResults"
    code: ExitCode
    notes: tuple[str, ...] = ()


Watcher = Callable[[Mapping[str, Any]], None]
"""Is told each line of the stream as it comes."""


def conform(
    options: ConformOptions,
    *,
    watch: Watcher = lambda _line: None,
    say: Callable[[str], None] = lambda _line: None,
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> ConformResult:
    """Run the suites against the testees and write all reports.

    ``say`` gets one line for each step that takes time. ``secrets`` are variables of the child's environment;
    no record has them. Raise UsageError for options that mean nothing,
    NoNetwork for a state file without network, Interrupted, and HarnessError when the child ends without a
    result.
    """
    from session_harness.report.results import load_results
    from session_harness.report.writers import write_reports

    options = _settled(options)
    specs = check_options(options)
    package = suites_of(specs[:-1])
    for spec in specs:
        _prepare_environment(spec, say)
    directory = create_run(options.out)
    directory.write_inputs(inputs_of(options, directory))
    tail = StreamTail(directory.stream)

    def listen() -> bool:
        lines = tail.read()
        for line in lines:
            watch(line)
        return bool(lines)

    command = [sys.executable, "-P", "-m", "pytest", *_PYTEST, *options.pytest_arguments(directory)]
    with resources.as_file(resources.files("session_harness") / "conform_pytest.ini") as configuration:
        child = run_child(
            lambda lifeline: [
                *command,
                *("--session-lifeline", str(lifeline), "-c", str(configuration)),
                *("--rootdir", str(directory.path), "--pyargs", package),
            ],
            log=directory.log,
            environment={**child_environment(os.environ), **secrets},
            listen=listen,
            deadlines=Deadlines(SILENCE_S),
        )
    if not directory.stream.exists() or directory.stream.stat().st_size == 0:
        raise _without_stream(child, directory)
    results = load_results(directory.stream)
    write_reports(directory, results)
    code, notes = judge(results, child, options, directory)
    return ConformResult(directory, results, code, notes)


_PYTEST: Final = (
    "-p", "session_conformance.plugin",
    "-p", "no:cacheprovider",
    "--noconftest",  # that of the folder in which somebody happens to be is not ours
    "-q", "--no-header", "--tb=short", "--color=no",
)  # fmt: skip


def check_options(options: ConformOptions) -> list["TesteeSpec"]:
    """Return the testees, and the peer, that the options mean; raise UsageError for anything unknown."""
    from session_conformance.contract.errors import TesteeSpecError
    from session_conformance.contract.specs import parse_testee_spec
    from session_conformance.expectations import ExpectationsError, load
    from session_conformance.testees.environments import EnvironmentNotBuilt

    if not options.testees:
        raise UsageError(
            "there is nothing to judge: name a testee",
            hint="for example: session-harness conform --testee reference",
        )
    try:
        specs = [parse_testee_spec(text) for text in options.testees]
        peer = parse_testee_spec(options.peer)
    except (TesteeSpecError, EnvironmentNotBuilt) as error:
        raise UsageError(error.message, hint=error.hint) from error
    known = suite_names(suites_of(specs))
    for suite in options.suites:
        if suite not in known:
            raise UsageError(f"there is no suite {suite!r}", hint=suggestion(suite, known))
    for text in options.expectations:
        name, equals, path = text.partition("=")
        try:
            load(Path(path if equals else name))
        except ExpectationsError as error:
            raise UsageError(str(error), hint="see: session-harness conform --help") from error
    if options.state:
        _check_network(options.state)
    return [*specs, peer]


def suites_of(specs: Sequence["TesteeSpec"]) -> str:
    """Return the package of the suites that judge these; raise UsageError for clients beside servers."""
    from session_conformance.contract.specs import SpecKind

    servers = [spec for spec in specs if spec.kind is SpecKind.SERVER]
    if servers and len(servers) < len(specs):
        raise UsageError(
            f"{servers[0].text} is a server: it is not judged beside clients",
            hint="judge it in a run of its own",
        )
    return SERVER_SUITES if servers else SUITES


def suite_names(package: str = SUITES) -> list[str]:
    """Return the names of the suites of a package, without importing them."""
    folder = resources.files(package)
    modules = (entry.name for entry in folder.iterdir())
    return sorted(
        name.removeprefix("test_").removesuffix(".py")
        for name in modules
        if name.startswith("test_") and name.endswith(".py")
    )


def judge(
    results: "RunResults", child: ChildResult, options: ConformOptions, directory: RunDirectory
) -> tuple[ExitCode, tuple[str, ...]]:
    """Return the exit code of a run, and a sentence for each thing that the verdicts alone do not say."""
    from session_conformance.verdicts import RunEnd, Strictness, exit_code

    strictness = Strictness.STRICT if options.strict else Strictness.NORMAL
    interrupted = child.end is ChildEnd.INTERRUPTED
    end = RunEnd.INTERRUPTED if interrupted else results.end or RunEnd.COMPLETE
    code = ExitCode(int(exit_code(results.records, end=end, strictness=strictness)))
    notes: list[str] = []
    match end:
        case RunEnd.TESTNET_FAILED:
            reasons = [group.message for group in results.prevented] or tail_of(directory.log)
            reason = " ".join(reasons[0].split()) if reasons else f"see {directory.log}"
            notes.append(f"the testnet could not start: {reason}")
        case RunEnd.USAGE:
            notes += pytest_errors(directory.log)
        case RunEnd.INTERRUPTED:
            notes.append("interrupted: what follows is not all")
    if child.end is ChildEnd.SILENT:
        last = results.records[-1].check if results.records else "nothing"
        notes.append(f"no verdict for {SILENCE_S:g} s, so the run was ended; the last one was of {last}")
    if results.end is None and not interrupted:
        notes.append(f"the suites ended with code {child.code} before they were through; see {directory.log}")
        code = ExitCode.FAILED if code is ExitCode.FAILED else ExitCode.ERRORED
    if not results.records and not notes:
        wanted = [*options.filters, *(f"--suite {suite}" for suite in options.suites)]
        notes.append(f"no check is chosen by {' '.join(wanted)}" if wanted else "there was no check to judge")
    for note in _missing_tiers(results, options.require):
        notes.append(note)
        code = ExitCode.FAILED if code in (ExitCode.OK, ExitCode.ERRORED) else code
    return code, tuple(notes)


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the child pytest, without settings of pytest and hypothesis."""
    kept = {
        key: value for key, value in environment.items() if not key.startswith(("PYTEST_", "HYPOTHESIS_"))
    }
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONUTF8": "1"}


def inputs_of(options: ConformOptions, directory: RunDirectory) -> dict[str, Any]:
    """Return what a run is made from, for ``inputs.json`` and for a replay."""
    return {
        "schema": 1,
        "run": directory.id,
        "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "harness": f"session-harness {metadata.version('session-harness')}",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "folder": str(Path.cwd()),
        "environment": {name: os.environ[name] for name in _RECORDED_ENVIRONMENT if name in os.environ},
        "options": {**asdict(options), "out": str(options.out)},
    }


def options_of(inputs: Mapping[str, Any]) -> ConformOptions:
    """Return the options of a recorded run; raise UsageError when they are not there."""
    recorded = inputs.get("options")
    if not isinstance(recorded, dict):
        raise UsageError("the run does not say what it was started with", hint="name another run")
    names = {field.name for field in fields(ConformOptions)}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in recorded.items()
        if key in names
    }
    values["out"] = Path(values.get("out", DEFAULT_ROOT))
    try:
        return ConformOptions(**values)
    except TypeError as error:
        raise UsageError(
            f"the options of the run are of another version: {error}", hint="run it anew"
        ) from error


class StreamTail:
    """Read the whole lines of a growing JSON Lines file, each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        """Return the lines that were finished since the last call; none while there is no file."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        found: list[dict[str, Any]] = []
        for line in whole.splitlines():
            value = json.loads(line)
            if isinstance(value, dict):
                found.append(value)
        return found


def tail_of(log: Path, lines: int = LOG_LINES_SHOWN) -> list[str]:
    """Return the last lines of a log that are not empty."""
    try:
        text = log.read_text("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def pytest_errors(log: Path) -> list[str]:
    """Return the sentences that pytest, or the plugin in it, refused the run with."""
    return [line.removeprefix("ERROR: ") for line in tail_of(log, 200) if line.startswith("ERROR: ")]


def _settled(options: ConformOptions) -> ConformOptions:
    if options.seed == RANDOM_SEED:
        return replace(options, seed=str(secrets.randbelow(2**32)))
    return options


def _prepare_environment(spec: "TesteeSpec", say: Callable[[str], None]) -> None:
    """Build the environment of a third-party testee before the clock of the child runs."""
    from session_conformance.testees.environments import EnvironmentNotBuilt, ensure_environment

    if spec.lock is None:
        return
    try:
        ensure_environment(spec.name, spec.lock, say=say)
    except EnvironmentNotBuilt as error:
        raise HarnessError(
            f"the environment of {spec.name} cannot be built: {error.message}", hint=error.hint
        ) from error


def _check_network(state: str) -> None:
    from session_harness.running import read_running_state, state_path

    path = Path(state)
    try:
        read_running_state(path if path.exists() or path.suffix else state_path(None, state))
    except NoNetwork as error:
        raise NoNetwork(f"--state {state}: {error.message}", hint=error.hint) from error


def _missing_tiers(results: "RunResults", required: str | None) -> list[str]:
    """Return a sentence for each testee that does not declare all operations of the required tier."""
    if required is None:
        return []
    from session_conformance.contract.operations import MANDATORY, Tier, operations_of

    wanted = [operation.name for operation in operations_of(Tier(required))]
    notes = []
    for testee in results.testees:
        missing = [name for name in wanted if name not in MANDATORY and name not in testee.operations]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            notes.append(
                f"{testee.name} does not reach {required}: it does not declare {', '.join(missing[:3])}{more}"
            )
    return notes


def _without_stream(child: ChildResult, directory: RunDirectory) -> HarnessError:
    if child.end is ChildEnd.INTERRUPTED:
        return Interrupted("interrupted before anything was judged")
    if child.end is ChildEnd.SILENT:
        return HarnessError(f"the suites said nothing for {SILENCE_S:g} s", hint=f"see {directory.log}")
    refused: Sequence[str] = pytest_errors(directory.log)
    if child.code == 4 and refused:  # pytest's code for wrong usage
        sentence, _, hint = refused[0].partition(" hint: ")
        return UsageError(sentence, hint=hint or "see: session-harness conform --help")
    shown = tail_of(directory.log, 1)
    reason = f": {shown[0]}" if shown else ""
    return HarnessError(
        f"the suites ended with code {child.code} before they began{reason}", hint=f"see {directory.log}"
    )
