"""The catalogue of requirements: what a client, or a server, must or should do, each with its source."""

import difflib
import importlib.resources
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from session_conformance.checks import CheckInfo
from session_conformance.verdicts import Level, weight

_ID: Final = re.compile(r"[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*-\d{2,}")
_KEYS: Final = ("id", "level", "area", "text", "source")


class RequirementsError(ValueError):
    """Refuse a catalogue, or a check that names what the catalogue does not have."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Hold one requirement; ``source`` is an anchor such as ``client-protocol §2.1``."""

    id: str
    level: Level
    area: str
    text: str
    source: str


def parse(data: Mapping[str, Any], source: str) -> tuple[Requirement, ...]:
    """Read the parsed TOML of one file; raise RequirementsError with file, entry and key."""
    strange = sorted(data.keys() - {"requirement"})
    if strange:
        raise RequirementsError(
            f"{source}: unknown key {strange[0]!r}; the file holds [[requirement]] entries"
        )
    entries = data.get("requirement", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RequirementsError(f"{source}: requirement is not a list of tables; write [[requirement]]")
    return tuple(_entry(entry, number, source) for number, entry in enumerate(entries, start=1))


def _entry(entry: Mapping[str, Any], number: int, source: str) -> Requirement:
    where = f"{source}: requirement {number} ({entry.get('id', 'without id')!s})"
    if entry.keys() != set(_KEYS):
        missing, strange = sorted(set(_KEYS) - entry.keys()), sorted(entry.keys() - set(_KEYS))
        fault = f"{missing[0]} is missing" if missing else f"unknown key {strange[0]!r}"
        raise RequirementsError(f"{where}: {fault}; the keys are {', '.join(_KEYS)}")
    for key in _KEYS:
        if not (isinstance(entry[key], str) and entry[key].strip()):
            raise RequirementsError(f"{where}: {key} should be a text that is not empty")
    if not _ID.fullmatch(entry["id"]):
        raise RequirementsError(f"{where}: an id looks like SEAL-01")
    if entry["level"] not in {level.value for level in Level}:
        raise RequirementsError(f"{where}: level is {entry['level']!r}; it is MUST or SHOULD")
    return Requirement(**{**entry, "level": Level(entry["level"])})


class Catalogue(Mapping[str, Requirement]):
    """Map the ids of requirements to them, in the order of the files and of their entries."""

    def __init__(self, requirements: Iterable[Requirement]) -> None:
        self._by_id: dict[str, Requirement] = {}
        for requirement in requirements:
            if requirement.id in self._by_id:
                raise RequirementsError(f"two requirements have the id {requirement.id}")
            self._by_id[requirement.id] = requirement

    def __getitem__(self, key: str) -> Requirement:
        return self._by_id[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def require(self, check: CheckInfo) -> tuple[Requirement, ...]:
        """Return the requirements of a check; raise RequirementsError for an id that does not exist."""
        for name in check.requirements:
            if name not in self._by_id:
                close = difflib.get_close_matches(name, self._by_id, n=3, cutoff=0.5)
                meant = f"; did you mean {' or '.join(close)}?" if close else ""
                raise RequirementsError(
                    f"the check {check.id} names the requirement {name!r}, which does not exist{meant}"
                )
        return tuple(self._by_id[name] for name in check.requirements)

    def level_of(self, check: CheckInfo) -> Level:
        """Return the level of a check: SHOULD only when all its requirements are."""
        return weight(requirement.level for requirement in self.require(check))

    def without_check(self, checks: Iterable[CheckInfo]) -> tuple[Requirement, ...]:
        """Return the requirements that no check proves."""
        proven = {name for check in checks for name in check.requirements}
        return tuple(requirement for requirement in self.values() if requirement.id not in proven)


def load(*folders: Path) -> Catalogue:
    """Read the requirements of this package, and of further folders of TOML files.

    Raise RequirementsError for a file that is wrong and for an id that stands twice.
    """
    found: list[Requirement] = []
    for folder in (importlib.resources.files(__name__), *folders):
        files = sorted(
            (entry for entry in _entries(folder) if entry.name.endswith(".toml")),
            key=lambda entry: entry.name,
        )
        for file in files:
            try:
                data = tomllib.loads(file.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise RequirementsError(f"{file.name} cannot be read: {error}") from error
            found += parse(data, file.name)
    return Catalogue(found)


def _entries(folder: Traversable | Path) -> Iterator[Traversable | Path]:
    try:
        yield from folder.iterdir()
    except OSError as error:
        raise RequirementsError(f"cannot read the requirements in {folder}: {error.strerror}") from error
