"""What a fault is, and where all of them are found."""

import difflib
import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from session_conformance.testees.reference.testee import ReferenceTestee

MODULES = (
    "identity",
    "sealing",
    "messages",
    "attachments",
    "onion",
    "storage_requests",
    "messaging",
    "swarms",
)

T = TypeVar("T", bound=type[ReferenceTestee])


class UnknownFault(LookupError):
    """Say that there is no fault of a name, and which names are near."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Describe one broken testee.

    ``suites`` are the suites whose subject the fault lies in: only their checks judge it, or only ``checks``
    where these are named. ``sentence`` says what an implementation with this fault does wrong. Faults of the
    kind ``child`` hang or end their process.
    """

    id: str
    sentence: str
    suites: tuple[str, ...]
    testee_class: type[ReferenceTestee]
    kind: Literal["inprocess", "child"] = "inprocess"
    checks: tuple[str, ...] = ()

    @property
    def expected_checks(self) -> tuple[str, ...]:
        """Return globs of the checks that may catch it."""
        return self.checks or tuple(f"{suite}.*" for suite in self.suites)


def broken(
    fault_id: str,
    *suites: str,
    kind: Literal["inprocess", "child"] = "inprocess",
    checks: tuple[str, ...] = (),
) -> Callable[[T], T]:
    """Declare a subclass of the reference to be a fault of the named suites; its docstring says what."""

    def declare(testee: T) -> T:
        sentence = (testee.__doc__ or "").strip().partition("\n")[0]
        if not sentence or not suites:
            raise TypeError(f"the fault {fault_id} needs a sentence and its suites")
        testee.name = f"broken:{fault_id}"
        setattr(testee, _MARK, Fault(fault_id, sentence, suites, testee, kind, checks))
        return testee

    return declare


_MARK = "session_fault"


@functools.cache
def faults() -> tuple[Fault, ...]:
    """Return all faults, in the order of their modules."""
    found: list[Fault] = []
    for name in MODULES:
        module = importlib.import_module(f"session_conformance.broken.{name}")
        for value in vars(module).values():
            fault = vars(value).get(_MARK) if isinstance(value, type) else None
            if isinstance(fault, Fault) and value.__module__ == module.__name__:
                found.append(fault)
    ids = [fault.id for fault in found]
    if len(set(ids)) != len(ids):
        raise TypeError(f"two faults share an id: {sorted(ids)}")
    return tuple(found)


def fault_by_id(fault_id: str) -> Fault:
    """Return the fault of that id; raise :class:`UnknownFault` with the nearest ids."""
    for fault in faults():
        if fault.id == fault_id:
            return fault
    near = difflib.get_close_matches(fault_id, [fault.id for fault in faults()], 3)
    raise UnknownFault(
        f"there is no fault {fault_id!r}" + (f"; did you mean {', '.join(near)}?" if near else "")
    )
