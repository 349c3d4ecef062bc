"""Known divergences of an implementation, as data, and what they make of a verdict; pure but for ``load``."""

import difflib
import fnmatch
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from session_conformance.verdicts import CONTRADICTIONS, CheckRecord, Level, Verdict


class ExpectationsError(ValueError):
    """Refuse an expectations file: names the file, the entry and the key, and says how to mend it."""


class DivergenceKind(StrEnum):
    """Say what a listed check does."""

    FAILED = "failed"  # always: a pass is stale
    FLAKY = "flaky"  # sometimes: a pass is fine


@dataclass(frozen=True, slots=True)
class Divergence:
    """Hold one entry of an expectations file: checks, by a glob, that are known to fail, and why."""

    check: str
    reason: str
    link: str = ""
    versions: str = ""
    testee: str = ""
    kind: DivergenceKind = DivergenceKind.FAILED

    def applies_to(self, testee: str, version: str) -> bool:
        """Say whether the entry speaks of this testee in this version."""
        return (not self.testee or self.testee == testee) and version_matches(version, self.versions)

    def matches(self, check: str) -> bool:
        """Say whether the entry lists a check."""
        return matches_glob(check, self.check)


@dataclass(frozen=True, slots=True)
class Expectations:
    """Hold the divergences that are listed for a testee; the first entry that matches a check counts."""

    divergences: tuple[Divergence, ...] = ()
    source: str = field(default="", compare=False)

    def __add__(self, other: "Expectations") -> "Expectations":
        sources = ", ".join(source for source in (self.source, other.source) if source)
        return Expectations(self.divergences + other.divergences, sources)

    def for_testee(self, testee: str, version: str) -> "Expectations":
        """Return the entries that apply to a testee in its version."""
        kept = tuple(entry for entry in self.divergences if entry.applies_to(testee, version))
        return Expectations(kept, self.source)

    def entry_for(self, check: str) -> Divergence | None:
        """Return the entry that lists a check."""
        return next((entry for entry in self.divergences if entry.matches(check)), None)

    def unmatched(self, catalogue: Collection[str]) -> tuple[Divergence, ...]:
        """Return the entries that match no check of the whole catalogue."""
        return tuple(
            entry for entry in self.divergences if not any(entry.matches(check) for check in catalogue)
        )


def matches_glob(check: str, pattern: str) -> bool:
    """Say whether a check id matches a glob; case counts, and ``*`` also matches dots."""
    return fnmatch.fnmatchcase(check, pattern)


def apply(record: CheckRecord, expectations: Expectations) -> CheckRecord:
    """Return the record as the expectations make it.

    A listed failure, or warning, is expected; a listed pass is stale unless the entry calls it flaky. Errors
    are never excused, and what was not run or is not supported stays what it is.
    """
    entry = expectations.entry_for(record.check)
    if entry is None:
        return record
    if record.verdict in CONTRADICTIONS or (
        record.verdict is Verdict.FLAKY and entry.kind is DivergenceKind.FLAKY
    ):
        return replace(record, verdict=Verdict.EXPECTED_FAILURE, expectation=entry.reason, link=entry.link)
    if record.verdict is Verdict.PASSED and entry.kind is DivergenceKind.FAILED:
        return replace(
            record,
            verdict=Verdict.STALE,
            message=f"passed, but {entry.check!r} lists it as a divergence: {entry.reason}",
            expectation=entry.reason,
            link=entry.link,
        )
    return record


def stale_entries(
    expectations: Expectations, catalogue: Collection[str], testee: str
) -> tuple[CheckRecord, ...]:
    """Return a stale record for each entry that matches nothing in the whole catalogue."""
    found = []
    for entry in expectations.unmatched(catalogue):
        close = difflib.get_close_matches(entry.check, catalogue, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        found.append(
            CheckRecord(
                check=entry.check,
                testee=testee,
                verdict=Verdict.STALE,
                level=Level.MUST,
                sentence="An entry of the expectations matches a check.",
                message=f"the entry {entry.check!r} of {expectations.source or 'the expectations'} "
                f"matches no check{meant}",
                expectation=entry.reason,
                link=entry.link,
            )
        )
    return tuple(found)


_CLAUSE: Final = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*([^\s,<>=!]+)\s*")


def version_matches(version: str, condition: str) -> bool:
    """Say whether a version satisfies a condition such as ``<=1.0.5`` or ``>=1.2, <2``; an empty one always.

    Versions are compared by their numbers; a suffix such as ``-beta.2`` or ``rc1`` comes before the release.
    """
    return all(_satisfies(version, operator, bound) for operator, bound in _clauses(condition))


def _clauses(condition: str) -> list[tuple[str, str]]:
    clauses = []
    for part in filter(str.strip, condition.split(",")):
        found = _CLAUSE.fullmatch(part)
        if found is None or not re.match(r"v?\d", found[2]):
            raise ValueError(f"{part.strip()!r} is not a condition such as <=1.0.5")
        clauses.append((found[1], found[2]))
    return clauses


def _satisfies(version: str, operator: str, bound: str) -> bool:
    left, right = _version_key(version), _version_key(bound)
    match operator:
        case "<=":
            return left <= right
        case ">=":
            return left >= right
        case "==":
            return left == right
        case "!=":
            return left != right
        case "<":
            return left < right
        case _:
            return left > right


def _version_key(version: str) -> tuple[tuple[int, ...], int, tuple[tuple[int, int, str], ...]]:
    text = version.strip().removeprefix("v").partition("+")[0]
    found = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    suffix = text[found.end() :] if found else text
    parts = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part.lower())
        for part in re.findall(r"\d+|[A-Za-z]+", suffix)
    )
    after = bool(parts) and parts[0][2] in {"post", "rev", "patch"}
    return tuple(numbers), (1 if after else -1) if parts else 0, parts


_KEYS: Final = ("check", "reason", "link", "versions", "testee", "kind")


def parse(data: Mapping[str, Any], source: str) -> Expectations:
    """Read the parsed TOML of an expectations file; raise ExpectationsError."""
    strange = sorted(data.keys() - {"divergence"})
    if strange:
        raise ExpectationsError(
            f"{source}: unknown key {strange[0]!r}; the file holds [[divergence]] entries"
        )
    entries = data.get("divergence", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ExpectationsError(f"{source}: divergence is not a list of tables; write [[divergence]]")
    divergences = tuple(_entry(entry, number, source) for number, entry in enumerate(entries, start=1))
    _refuse_repetitions(divergences, source)
    return Expectations(divergences, source)


def _entry(entry: Mapping[str, Any], number: int, source: str) -> Divergence:
    where = f"{source}: divergence {number} ({entry.get('check', 'without check')!s})"
    strange = sorted(entry.keys() - set(_KEYS))
    if strange:
        close = difflib.get_close_matches(strange[0], _KEYS, n=1)
        raise ExpectationsError(
            f"{where}: unknown key {strange[0]!r}; "
            + (f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(_KEYS)}")
        )
    for key in _KEYS:
        if key in entry and not (isinstance(entry[key], str) and entry[key].strip()):
            raise ExpectationsError(f"{where}: {key} should be a text that is not empty")
    for key in ("check", "reason"):
        if key not in entry:
            raise ExpectationsError(f"{where}: {key} is missing; a divergence names its checks and says why")
    try:
        _clauses(entry.get("versions", ""))
    except ValueError as error:
        raise ExpectationsError(f"{where}: versions: {error}") from None
    kind = entry.get("kind", DivergenceKind.FAILED.value)
    if kind not in {known.value for known in DivergenceKind}:
        raise ExpectationsError(
            f"{where}: kind is {kind!r}; it is one of {', '.join(DivergenceKind)}. Errors are never excused"
        )
    return Divergence(
        check=entry["check"],
        reason=entry["reason"],
        link=entry.get("link", ""),
        versions=entry.get("versions", ""),
        testee=entry.get("testee", ""),
        kind=DivergenceKind(kind),
    )


def _refuse_repetitions(divergences: Sequence[Divergence], source: str) -> None:
    seen: set[tuple[str, str, str]] = set()
    for entry in divergences:
        key = (entry.check, entry.testee, entry.versions)
        if key in seen:
            raise ExpectationsError(f"{source}: {entry.check!r} is listed twice; keep one entry")
        seen.add(key)


def load(path: Path) -> Expectations:
    """Read an expectations file; raise ExpectationsError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExpectationsError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExpectationsError(f"{path} is not TOML: {error}") from error
    return parse(data, str(path))


def load_all(paths: Iterable[Path]) -> Expectations:
    """Read several files as one; earlier files win where both list a check."""
    found = Expectations()
    for path in paths:
        found += load(path)
    return found
