"""The options of the judge under pytest, and the values that they stand for."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from session_conformance.contract.errors import TesteeSpecError
from session_conformance.contract.specs import REFERENCE, SpecKind, TesteeSpec, parse_testee_spec
from session_conformance.contract.testee import Deadlines
from session_conformance.expectations import Expectations, ExpectationsError, load_all

DEFAULT_EXAMPLES: Final = 100
DEFAULT_NODES: Final = 14


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Hold what a run judges, and how."""

    testees: tuple[TesteeSpec, ...]
    peer: str
    seed: str
    run_dir: Path | None
    max_examples: int
    filters: tuple[str, ...]
    suites: tuple[str, ...]
    skips: tuple[str, ...]
    state: str
    nodes: int
    engine: str
    expectation_files: tuple[str, ...]
    requirement_folders: tuple[Path, ...]
    max_failures: int | None
    retries: int
    validate: bool
    deadline_s: float | None
    lifeline: int | None = None

    @property
    def seed_number(self) -> int:
        """Return the seed as the number that testees are told."""
        return seed_number(self.seed)

    @property
    def deadlines(self) -> Deadlines:
        """Return how long a testee may take: less on a network of our own than on somebody else's."""
        if self.deadline_s is not None:
            return Deadlines(stateless_s=self.deadline_s, stateful_s=self.deadline_s)
        elsewhere = self.state or any(spec.kind is SpecKind.SERVER for spec in self.testees)
        return Deadlines() if elsewhere else Deadlines.local()

    def expectations_of(self, spec: TesteeSpec) -> Expectations:
        """Return the listed divergences of a testee: those named on the command line, then those it ships.

        A file may be meant for one testee: ``NAME=FILE``. Raise ExpectationsError.
        """
        chosen: list[Path] = []
        for given in self.expectation_files:
            name, equals, path = given.partition("=")
            if not equals:
                chosen.append(Path(given))
            elif name == spec.name:
                chosen.append(Path(path))
        if spec.expectations is not None:
            chosen.append(spec.expectations)
        return load_all(chosen)


def seed_number(seed: str) -> int:
    """Return a seed as a number below 2⁶³: a decimal as it is, any other text hashed."""
    if seed.isascii() and seed.isdecimal() and int(seed) < 2**63:
        return int(seed)
    return int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8).digest(), "big") >> 1


def case_seed(seed: str, check: str) -> int:
    """Return the seed of one check: the same for every testee, so that all see the same inputs."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\n{check}".encode(), digest_size=8).digest(), "big")


def add_options(parser: pytest.Parser) -> None:
    """Add the options; without ``--testee`` none of them has an effect."""
    group = parser.getgroup("session-conformance", "judging Session implementations")
    add = group.addoption
    add(
        "--testee",
        action="append",
        default=[],
        metavar="SPEC",
        help="implementation to judge, may be repeated: a shipped name, a testee.toml, cmd:COMMAND LINE, "
        "python:module:Class",
    )
    add("--peer", default=REFERENCE, metavar="SPEC", help="implementation on the other side (%(default)s)")
    add("--session-seed", default="0", metavar="S", help="seed of all random choices (%(default)s)")
    add("--session-run-dir", metavar="DIR", help="where report.jsonl and the evidence of failures go")
    add(
        "--session-max-examples",
        type=int,
        default=DEFAULT_EXAMPLES,
        metavar="N",
        help="examples of each property (%(default)s)",
    )
    add("--session-filter", action="append", default=[], metavar="GLOB", help="judge only checks like this")
    add("--session-suite", action="append", default=[], metavar="NAME", help="judge only this suite")
    add("--session-skip", action="append", default=[], metavar="GLOB", help="do not run checks like this")
    add("--session-state", default="", metavar="FILE", help="state file, or name, of a running network")
    add(
        "--session-nodes",
        type=int,
        default=DEFAULT_NODES,
        metavar="N",
        help="service nodes of the local network (%(default)s)",
    )
    add("--session-engine", default="embedded", metavar="NAME", help="engine of the network (%(default)s)")
    add(
        "--session-expectations",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="known divergences; the file beside a shipped adapter is read by itself",
    )
    add(
        "--session-requirements",
        action="append",
        default=[],
        metavar="DIR",
        help="folder with requirements of your own suites",
    )
    add("--session-max-failures", type=int, metavar="N", help="do not run more after N failures")
    add("--session-fail-fast", action="store_true", help="do not run more after the first failure")
    add(
        "--session-no-retry",
        action="store_true",
        help="do not run a failed check again to see if it is flaky",
    )
    add("--session-validate", action="store_true", help="compare every message with the JSON Schemas")
    add("--session-deadline", type=float, metavar="S", help="seconds that any one call may take")
    add("--session-lifeline", type=int, metavar="FD", help="a pipe at whose end the run ends")


def read_options(config: pytest.Config) -> JudgeOptions:
    """Read the options; raise pytest.UsageError for a value that cannot be used."""
    given: Any = config.getoption
    try:
        specs = tuple(parse_testee_spec(text) for text in given("--testee"))
        peer = given("--peer")
        parse_testee_spec(peer)
    except TesteeSpecError as error:
        raise pytest.UsageError(str(error)) from error
    for option in ("--session-max-examples", "--session-nodes", "--session-max-failures"):
        value = given(option)
        if value is not None and value < 1:
            raise pytest.UsageError(f"{option} is {value}; it is at least 1")
    if given("--session-deadline") is not None and given("--session-deadline") <= 0:
        raise pytest.UsageError("--session-deadline is a number of seconds above 0")
    run_dir = given("--session-run-dir")
    options = JudgeOptions(
        testees=_with_unique_names(specs),
        peer=peer,
        seed=given("--session-seed"),
        run_dir=Path(run_dir).absolute() if run_dir else None,
        max_examples=given("--session-max-examples"),
        filters=tuple(given("--session-filter")),
        suites=tuple(given("--session-suite")),
        skips=tuple(given("--session-skip")),
        state=given("--session-state"),
        nodes=given("--session-nodes"),
        engine=given("--session-engine"),
        expectation_files=tuple(given("--session-expectations")),
        requirement_folders=tuple(Path(folder) for folder in given("--session-requirements")),
        max_failures=1 if given("--session-fail-fast") else given("--session-max-failures"),
        retries=0 if given("--session-no-retry") else 1,
        validate=given("--session-validate"),
        deadline_s=given("--session-deadline"),
        lifeline=given("--session-lifeline"),
    )
    try:
        for spec in options.testees:
            options.expectations_of(spec)
    except ExpectationsError as error:
        raise pytest.UsageError(str(error)) from error
    names = {spec.name for spec in options.testees}
    for text in options.expectation_files:
        name, equals, _path = text.partition("=")
        if equals and name not in names:
            raise pytest.UsageError(f"--session-expectations {text}: no testee is called {name!r}")
    return options


def _with_unique_names(specs: tuple[TesteeSpec, ...]) -> tuple[TesteeSpec, ...]:
    from dataclasses import replace

    seen: dict[str, int] = {}
    named = []
    for spec in specs:
        seen[spec.name] = number = seen.get(spec.name, 0) + 1
        named.append(spec if number == 1 else replace(spec, name=f"{spec.name}-{number}"))
    return tuple(named)
