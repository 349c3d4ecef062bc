"""Schedules of faults as data: what goes wrong when, read from a file like faults.toml."""

import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from session_testnet.durations import parse_duration_ms
from session_testnet.faults import keys
from session_testnet.faults.keys import EVERY_NODE, FaultError
from session_testnet.faults.partition import PARTITION, Partition
from session_testnet.faults.rules import ACTIONS, FaultRule
from session_testnet.faults.tcp_faults import TCP_ACTIONS, TcpFault
from session_testnet.hinted_error import PlacedError

Fault = FaultRule | TcpFault | Partition

FAULT_ACTIONS: Final = (*ACTIONS, *TCP_ACTIONS, PARTITION)

_TABLE: Final = "fault"
_EXAMPLE: Final = 'for example:  [[fault]]  at = "2s"  for = "5s"  action = "drop"  node = "node-01"'


class ScheduleError(PlacedError):
    """Say what in a schedule cannot be, in which file and at which key, and how to mend it."""


def parse_fault(data: Mapping[str, Any]) -> Fault:
    """Read a fault of any kind from JSON values: its action says which. FaultError for anything wrong."""
    action = data.get("action")
    if action is None:
        raise FaultError("the fault has no action", f"actions: {', '.join(FAULT_ACTIONS)}")
    keys.one_of(FAULT_ACTIONS)("action", action)
    if action == PARTITION:
        return Partition.parse(data)
    return TcpFault.parse(data) if action in TCP_ACTIONS else FaultRule.parse(data)


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests count for a step: those to a node, "*" for any, with a method, None for any."""

    node: str = EVERY_NODE
    method: str | None = None

    def fits(self, node: str, method: str) -> bool:
        """Tell whether a request counts."""
        return self.node in (EVERY_NODE, node) and self.method in (None, method)


@dataclass(frozen=True, slots=True)
class Step:
    """One fault of a schedule: in force from ``at_s`` seconds after its start, for ``for_s`` seconds.

    ``for_s`` None leaves it in force. With ``on_request`` it begins only with the so-manieth request after
    ``at_s`` that ``match`` fits, and strikes that request too. ``probability`` is the chance that the step
    happens at all; a rule's own says how likely each stroke is.
    """

    fault: Fault
    at_s: float = 0.0
    for_s: float | None = None
    on_request: int | None = None
    match: Match = field(default_factory=Match)
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Faults in the order of their tables, and where they were read from."""

    steps: tuple[Step, ...]
    file: Path | None = None

    def check_names(self, known: Collection[str]) -> None:
        """Raise ScheduleError for the name of a node or service that is not known."""
        for index, step in enumerate(self.steps):
            for name in (step.match.node, getattr(step.fault, "node", EVERY_NODE)):
                if name != EVERY_NODE and name not in known:
                    raise ScheduleError(
                        f"there is no node {name!r}",
                        keys.nearest(name, list(known)),
                        file=self.file,
                        key=_place(index),
                    )
            if isinstance(step.fault, Partition):
                try:
                    step.fault.check_names(known)
                except FaultError as error:
                    raise ScheduleError(
                        error.message, error.hint, file=self.file, key=_place(index)
                    ) from error


def load_schedule(path: Path) -> Schedule:
    """Read a schedule from a TOML file; ScheduleError names the file, the key and the remedy."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        text = f"cannot be read: {error.strerror}"
        raise ScheduleError(text, "name a file like faults.toml", file=path) from error
    except UnicodeDecodeError as error:
        raise ScheduleError("is not text in UTF-8", _EXAMPLE, file=path) from error
    except tomllib.TOMLDecodeError as error:
        raise ScheduleError(f"is not TOML: {error}", _EXAMPLE, file=path) from error
    try:
        return replace(parse_schedule(data), file=path)
    except ScheduleError as error:
        raise ScheduleError(error.args[0], error.hint, file=path, key=error.key) from error


def read_schedule(text: str) -> Schedule:
    """Read a schedule from TOML; ScheduleError names the key and the remedy."""
    try:
        return parse_schedule(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ScheduleError(f"the schedule is not TOML: {error}", _EXAMPLE) from error


def parse_schedule(data: Mapping[str, Any]) -> Schedule:
    """Read a schedule from the tables of such a file; raise ScheduleError."""
    for key in data:
        if key != _TABLE:
            raise ScheduleError("is not a key of a schedule", keys.nearest(key, [_TABLE]), key=key)
    tables = data.get(_TABLE, [])
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise ScheduleError(
            f"cannot be {keys.shown(tables)}", f"takes tables headed [[{_TABLE}]], {_EXAMPLE}", key=_TABLE
        )
    if not tables:
        raise ScheduleError("the schedule has no faults", _EXAMPLE)
    steps = tuple(_step(table, _place(index)) for index, table in enumerate(tables))
    seen: set[str] = set()
    for index, step in enumerate(steps):
        if step.fault.id and step.fault.id in seen:
            raise ScheduleError(
                f"there is already a fault {step.fault.id!r}",
                "leave the id out, or take another",
                key=f"{_place(index)}.id",
            )
        seen.add(step.fault.id)
    return Schedule(steps)


def _place(index: int) -> str:
    return f"{_TABLE}[{index}]"


def _step(table: Mapping[str, Any], place: str) -> Step:
    own = {key: value for key, value in table.items() if key in _READERS}
    rest = {key: value for key, value in table.items() if key not in _READERS}
    try:
        values = keys.read_keys(own, _READERS, "a step")
        if rest.get("action") == PARTITION and "probability" in rest:
            # A partition has no strokes that could happen or not: chance decides about the whole.
            values["probability"] = keys.probability("probability", rest.pop("probability"))
        try:
            fault = parse_fault(rest)
        except FaultError as error:
            unknown = next((key for key in rest if key not in _FAULT_KEYS), None)
            if unknown is None:
                raise
            raise FaultError(
                f"a fault of a schedule has no key {unknown!r}", keys.nearest(unknown, _ALL_KEYS)
            ) from error
    except FaultError as error:
        raise ScheduleError(error.message, error.hint, key=place) from error
    if "match" in values and "on_request" not in values:
        raise ScheduleError(
            "'match' says which requests count for 'on_request', which is missing",
            'add for example on_request = 1, or let the rule say node = "node-01" and methods = ["store"]',
            key=f"{place}.match",
        )
    names = {"at": "at_s", "for": "for_s"}
    return Step(fault, **{names.get(key, key): value for key, value in values.items()})


def _seconds(low_ms: int) -> Callable[[str, Any], float]:
    """Return the reader of a length of time: a text like "2s", or a number of seconds."""

    def read(key: str, value: Any) -> float:
        allowed = 'takes a length of time like "500ms", "2s" or "1m"'
        number = isinstance(value, int | float) and not isinstance(value, bool)
        try:
            milliseconds = parse_duration_ms(f"{value:f}" if number else value)
        except (ValueError, TypeError, AttributeError, OverflowError):
            raise FaultError(f"{key} cannot be {keys.shown(value)}", allowed) from None
        if milliseconds < low_ms:
            raise FaultError(f"{key} cannot be {keys.shown(value)}", f"{allowed}, from {low_ms} ms")
        return milliseconds / 1000

    return read


def _match(key: str, value: Any) -> Match:
    example = 'for example match = {node = "node-01", method = "store"}'
    if not isinstance(value, Mapping):
        raise FaultError(f"{key} cannot be {keys.shown(value)}", f"takes a table, {example}")
    return Match(**keys.read_keys(value, {"node": keys.word, "method": keys.word}, "'match'"))


_READERS: Final[Mapping[str, keys.Reader]] = MappingProxyType(
    {
        "at": _seconds(0),
        "for": _seconds(1),
        "on_request": keys.number(1, 10**9, "a count"),
        "match": _match,
    }
)
_FAULT_KEYS: Final = frozenset({*FaultRule.__slots__, *TcpFault.__slots__, *Partition.__slots__})
_ALL_KEYS: Final = (*_READERS, *sorted(_FAULT_KEYS))
