"""The verdicts, and what they make of a run's exit code: pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import Final


class Verdict(StrEnum):
    """Say how one check of one testee ended."""

    PASSED = "passed"
    FAILED = "failed"  # contradicted a MUST
    WARNED = "warned"  # contradicted only a SHOULD
    EXPECTED_FAILURE = "expected_failure"  # failed, and is listed as a divergence
    STALE = "stale"  # listed as a divergence, and passed; or the list entry matches no check
    FLAKY = "flaky"  # failed, then passed alone with the same seed
    UNSUPPORTED = "unsupported"  # the testee does not declare what the check needs
    ERRORED = (
        "errored"  # could not be judged: crash, hang, broken contract, fault of the suite or the testnet
    )
    NOT_RUN = "not_run"


class Reason(StrEnum):
    """Say why a check was not run, or that it errored because of the peer."""

    NONE = ""
    REQUESTED = "requested"  # skipped by the person, or after --fail-fast
    TESTEE = "testee"  # the testee does not start
    PEER = "peer"  # the peer does not start, or erred: nothing is said about the testee
    NODES = "nodes"  # the network has too few nodes for this check
    TESTNET = "testnet"  # the network does not start
    INTERRUPTED = "interrupted"


class Level(StrEnum):
    """Give the weight of a requirement."""

    MUST = "MUST"
    SHOULD = "SHOULD"


class RunEnd(Enum):
    """Say how a run ended, apart from its verdicts."""

    COMPLETE = "complete"
    USAGE = "usage"
    TESTNET_FAILED = "testnet_failed"
    INTERRUPTED = "interrupted"


class Strictness(Enum):
    """Say whether warnings count."""

    NORMAL = "normal"
    STRICT = "strict"


class ExitCode(IntEnum):
    """Give the exit codes of a run."""

    FINE = 0
    FAILED = 1
    NOT_JUDGED = 2
    TESTNET = 3
    USAGE = 64
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """Hold the verdict of one check on one testee; one line of ``report.jsonl``.

    ``seconds`` counts all attempts. ``case`` is the folder of the evidence, relative to the run directory;
    ``replay`` the command that reproduces just this check. ``expectation`` is the reason of a listed
    divergence, ``link`` its reference. ``peer`` is empty for a check that needs none.
    """

    check: str
    testee: str
    verdict: Verdict
    level: Level = Level.MUST
    requirements: tuple[str, ...] = ()
    tier: str = "L0"
    suite: str = ""
    sentence: str = ""
    seconds: float = 0.0
    message: str = ""
    peer: str = ""
    reason: Reason = Reason.NONE
    attempts: int = 1
    expectation: str = ""
    link: str = ""
    case: str = ""
    replay: str = ""


BAD: Final = frozenset({Verdict.FAILED, Verdict.STALE, Verdict.FLAKY})
"""Verdicts that make a run fail."""

CONTRADICTIONS: Final = frozenset({Verdict.FAILED, Verdict.WARNED})
"""Verdicts that say: the implementation does something else than the requirement."""

JUDGED: Final = frozenset(Verdict) - {Verdict.UNSUPPORTED, Verdict.NOT_RUN, Verdict.ERRORED}
"""Verdicts that say something about an implementation."""

# What a person should see first: also the order in which the parts of one check outweigh each other.
SEVERITY: Final = (
    Verdict.FAILED,
    Verdict.ERRORED,
    Verdict.FLAKY,
    Verdict.STALE,
    Verdict.WARNED,
    Verdict.NOT_RUN,
    Verdict.EXPECTED_FAILURE,
    Verdict.PASSED,
    Verdict.UNSUPPORTED,
)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict that outweighs the others; a part that passed outweighs an unsupported one."""
    return min(verdicts, key=SEVERITY.index)


def contradiction(level: Level) -> Verdict:
    """Return the verdict of a testee that contradicts a requirement of this level."""
    match level:
        case Level.MUST:
            return Verdict.FAILED
        case Level.SHOULD:
            return Verdict.WARNED


def weight(levels: Iterable[Level]) -> Level:
    """Return the level of a check by those of its requirements: one MUST among them is enough."""
    return Level.MUST if Level.MUST in (found := set(levels)) or not found else Level.SHOULD


def counts(records: Iterable[CheckRecord]) -> dict[Verdict, int]:
    """Return how often each verdict was given, all verdicts included, in their order."""
    found = Counter(record.verdict for record in records)
    return {verdict: found[verdict] for verdict in Verdict}


def exit_code(
    records: Iterable[CheckRecord],
    *,
    end: RunEnd = RunEnd.COMPLETE,
    strictness: Strictness = Strictness.NORMAL,
) -> ExitCode:
    """Return the exit code of a run by precedence: 130, 3, 1, 2, 64, 0.

    A run that judged nothing at all is not fine: 2.
    """
    records = tuple(records)
    if end is RunEnd.INTERRUPTED:
        return ExitCode.INTERRUPTED
    if end is RunEnd.TESTNET_FAILED:
        return ExitCode.TESTNET
    verdicts = {record.verdict for record in records}
    bad = BAD | {Verdict.WARNED} if strictness is Strictness.STRICT else BAD
    if verdicts & bad:
        return ExitCode.FAILED
    if any(_was_prevented(record) for record in records):
        return ExitCode.NOT_JUDGED
    if end is RunEnd.USAGE:
        return ExitCode.USAGE
    return ExitCode.FINE if verdicts & JUDGED else ExitCode.NOT_JUDGED


def _was_prevented(record: CheckRecord) -> bool:
    match record.verdict:
        case Verdict.ERRORED:
            return True
        case Verdict.NOT_RUN:
            return record.reason is not Reason.REQUESTED
        case _:
            return False
