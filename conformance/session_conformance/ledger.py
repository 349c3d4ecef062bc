"""Collect what the parts of checks said, and make one record of each check and testee."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from session_conformance.expectations import Expectations, apply, stale_entries
from session_conformance.judging import Outcome, heaviest
from session_conformance.verdicts import BAD, CheckRecord, Reason, Verdict


@dataclass(frozen=True, slots=True)
class Part:
    """Hold what one pytest item said: a whole check, or one set of parameters of it.

    ``parts`` is the number of items of the check on this testee. The values are plain, so that a part can
    travel from a worker process to the controller.
    """

    record: CheckRecord
    parts: int = 1
    version: str = ""
    spec: str = ""
    hello: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the part as plain values."""
        values = asdict(self)
        values["record"] = {
            name: str(value) if isinstance(value, str) else value for name, value in values["record"].items()
        }
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Part":
        """Return the part that ``as_json`` described."""
        from session_conformance.recording.stream import record_of

        known = {entry.name for entry in fields(cls)}
        return cls(
            **{**{k: v for k, v in values.items() if k in known}, "record": record_of(values["record"])}
        )


def combine(parts: Iterable[CheckRecord]) -> CheckRecord:
    """Return the record of a check by those of its parts: the heaviest verdict, with its evidence."""
    several = tuple(parts)
    outcome = heaviest(Outcome(part.verdict) for part in several)
    decisive = next(part for part in several if part.verdict is outcome.verdict)
    return replace(
        decisive,
        seconds=round(sum(part.seconds for part in several), 6),
        attempts=max(part.attempts for part in several),
    )


class Ledger:
    """Turn parts into records; each record is complete when it is returned.

    ``expectations`` are the listed divergences of each testee, by its name.
    """

    def __init__(self, expectations: Mapping[str, Expectations]) -> None:
        self._expectations = expectations
        self._open: dict[tuple[str, str], list[Part]] = {}
        self._versions: dict[str, str] = {}
        self.introduced: set[str] = set()
        self.records: list[CheckRecord] = []

    def expectations_of(self, testee: str, version: str) -> Expectations:
        """Return the divergences that apply to a testee in its version."""
        return self._expectations.get(testee, Expectations()).for_testee(testee, version)

    def add(self, part: Part) -> CheckRecord | None:
        """Take a part; return the record of its check once all parts are in."""
        key = (part.record.check, part.record.testee)
        if part.hello:
            self.introduced.add(part.record.testee)
        if part.version:
            self._versions[part.record.testee] = part.version
        parts = self._open.setdefault(key, [])
        parts.append(part)
        if len(parts) < part.parts:
            return None
        del self._open[key]
        return self._close([entry.record for entry in parts], part.record.testee, part.version)

    def interrupt(self) -> list[CheckRecord]:
        """Close what is still open: a check of which parts are missing was not run to its end."""
        closed = []
        for (_check, testee), parts in self._open.items():
            records = [part.record for part in parts]
            if not any(record.verdict in BAD for record in records):
                records = [
                    replace(
                        records[0],
                        verdict=Verdict.NOT_RUN,
                        reason=Reason.INTERRUPTED,
                        message="only a part of the check was run",
                    )
                ]
            closed.append(self._close(records, testee, parts[0].version))
        self._open.clear()
        return closed

    def _close(self, records: list[CheckRecord], testee: str, version: str) -> CheckRecord:
        record = apply(combine(records), self.expectations_of(testee, version))
        self.records.append(record)
        return record

    def put(self, record: CheckRecord) -> CheckRecord:
        """Take a record that is complete."""
        self.records.append(record)
        return record

    def stale_entries(self, catalogue: Collection[str]) -> list[CheckRecord]:
        """Return, and take, a record for each expectation that matches nothing in the whole catalogue."""
        found = [
            record
            for testee, version in self._versions.items()
            for record in stale_entries(self.expectations_of(testee, version), catalogue, testee)
        ]
        self.records += found
        return found

    @property
    def failures(self) -> int:
        """Return how many records make the run fail, or could not be judged."""
        return sum(record.verdict in BAD or record.verdict is Verdict.ERRORED for record in self.records)
