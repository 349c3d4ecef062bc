"""Prove that the judge can fail: every broken testee must be caught, nothing of ours accused."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from session_harness.errors import ExitCode, UsageError
from session_harness.spelling import suggestion

if TYPE_CHECKING:
    from session_conformance.verdicts import CheckRecord
    from session_harness.conform import ConformOptions

REFERENCE: Final = "reference"
SERVERS: Final = ("own:storage", "own:files", "own:community")


class Fault(Protocol):
    """What is known of a deliberately broken testee."""

    @property
    def id(self) -> str:
        """Return its name."""

    @property
    def sentence(self) -> str:
        """Return what it does wrong."""

    @property
    def expected_checks(self) -> Sequence[str]:
        """Return globs of the checks that must catch it."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Hold a fault that none of the checks which should catch it has caught."""

    fault: str
    sentence: str
    expected: tuple[str, ...]
    caught_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SelfcheckResult:
    """Hold what a self-check found."""

    faults: int
    missed: tuple[Missed, ...]
    false_accusations: tuple[str, ...]
    checks_without_fault: tuple[str, ...]

    @property
    def caught(self) -> int:
        """Return how many faults were caught."""
        return self.faults - len(self.missed)

    @property
    def code(self) -> ExitCode:
        """Return 1 when a fault is overlooked, the reference accused, or a check has never failed."""
        flawed = self.missed or self.false_accusations or self.checks_without_fault
        return ExitCode.FAILED if flawed else ExitCode.OK

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "faults": self.faults,
            "caught": self.caught,
            "missed": [
                {
                    "fault": entry.fault,
                    "sentence": entry.sentence,
                    "expected": list(entry.expected),
                    "caught_by": list(entry.caught_by),
                }
                for entry in self.missed
            ],
            "false_accusations": list(self.false_accusations),
            "checks_without_fault": list(self.checks_without_fault),
        }


def known_faults(*, servers: bool = False) -> Mapping[str, Fault]:
    """Return all faults of clients, or of servers, by their ids."""
    from session_conformance.broken import FAULTS, SERVER_FAULTS

    if servers:
        return {fault.id: fault for fault in SERVER_FAULTS}
    return {fault.id: fault for fault in FAULTS}


def options_of_selfcheck(
    chosen: Sequence[str], *, seed: str, max_examples: int, out: Path, servers: bool = False
) -> "ConformOptions":
    """Return the options of the one run that shows all; raise UsageError for an unknown fault."""
    from session_harness.conform import ConformOptions

    faults = known_faults(servers=servers)
    genuine = SERVERS if servers else (REFERENCE,)
    for name in chosen:
        if name not in faults:
            raise UsageError(f"there is no fault {name!r}", hint=suggestion(name, faults))
    wanted = [name for name in faults if name in chosen] if chosen else list(faults)
    options = ConformOptions(testees=(*genuine, *(f"broken:{name}" for name in wanted)), seed=seed)
    filters = tuple(dict.fromkeys(glob for name in wanted for glob in faults[name].expected_checks))
    return replace(
        options, max_examples=max_examples, out=out, retry=False, filters=filters if chosen else ()
    )


def weigh(records: Iterable["CheckRecord"], faults: Iterable[Fault], *, whole: bool) -> SelfcheckResult:
    """Return what the records of a self-check say.

    A fault is caught by a check that it is meant for; ``whole`` says that all faults took part, so that a
    check which caught none of them cannot fail.
    """
    from session_conformance.expectations import matches_glob
    from session_conformance.verdicts import JUDGED, Verdict

    catching = {Verdict.FAILED, Verdict.WARNED, Verdict.ERRORED, Verdict.FLAKY}
    by_testee: dict[str, list[CheckRecord]] = {}
    for record in records:
        by_testee.setdefault(record.testee, []).append(record)
    missed: list[Missed] = []
    useful: set[str] = set()
    taking_part = list(faults)
    for fault in taking_part:
        accusing = [
            record.check for record in by_testee.get(f"broken-{fault.id}", ()) if record.verdict in catching
        ]
        useful.update(accusing)
        if not any(matches_glob(check, glob) for check in accusing for glob in fault.expected_checks):
            missed.append(Missed(fault.id, fault.sentence, tuple(fault.expected_checks), tuple(accusing)))
    genuine = (REFERENCE, *(text.replace(":", "-") for text in SERVERS))
    reference = [record for name in genuine for record in by_testee.get(name, ())]
    judged = [record.check for record in reference if record.verdict in JUDGED]
    accused = [
        record.check for record in reference if record.verdict not in (Verdict.PASSED, Verdict.UNSUPPORTED)
    ]
    idle = [check for check in judged if check not in useful] if whole else []
    return SelfcheckResult(len(taking_part), tuple(missed), tuple(accused), tuple(idle))
