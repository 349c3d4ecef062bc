"""Read the keys of a fault, whatever its kind: each reader returns the value or says what the key takes."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from session_testnet.hinted_error import HintedError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

EVERY_NODE: Final = "*"
MAX_DELAY_MS: Final = 10 * 60 * 1000

Reader = Callable[[str, Any], Any]


class FaultError(HintedError, ValueError):
    """Say which key of a fault rule is wrong and what it takes."""


def nearest(word: str, allowed: Sequence[str]) -> str:
    """Return the hint that names the allowed word next to a wrong one, or all of them."""
    close = difflib.get_close_matches(word, allowed, n=1)
    return f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(allowed)}"


def shown(value: Any) -> str:
    """Return a refused value as an error repeats it: briefly."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_keys(data: Mapping[str, Any], readers: Mapping[str, Reader], what: str) -> dict[str, Any]:
    """Return the values of all keys, read; null counts as missing. FaultError for a key without a reader."""
    for key in data:
        if key not in readers:
            raise FaultError(f"{what} has no key {key!r}", nearest(str(key), list(readers)))
    return {key: readers[key](key, value) for key, value in data.items() if value is not None}


def refuse_untaken(values: Mapping[str, Any], takers: Mapping[str, frozenset[str]]) -> None:
    """Raise FaultError for a key that says something and that the action of ``values`` does not take.

    ``takers`` has the actions that take a key, for each key that not every action takes.
    """
    action = values["action"]
    for key, value in values.items():
        actions = takers.get(key)
        if actions is not None and action not in actions and value:
            raise FaultError(
                f"the action {action!r} takes no {key!r}", f"actions that do: {', '.join(sorted(actions))}"
            )


def write_keys(fault: "DataclassInstance", *, always: Sequence[str] = ()) -> dict[str, Any]:
    """Return a fault as JSON values: id, node and action first, other keys where they are not at default.

    Keys in ``always`` are written at their default too: a reader asks for them.
    """
    values = {field.name: getattr(fault, field.name) for field in fields(fault)}
    written = {key: values[key] for key in ("id", "node", "action")}
    for field in fields(fault):
        value = values[field.name]
        if field.name not in written and (value != field.default or field.name in always):
            written[field.name] = list(value) if isinstance(value, tuple) else value
    return written


def word(key: str, value: Any) -> str:
    """Read a name or an id."""
    if not isinstance(value, str) or not value or len(value) > 100:
        raise FaultError(f"{key} cannot be {shown(value)}", "takes a text of 1 to 100 characters")
    return value


def one_of(allowed: Sequence[str]) -> Callable[[str, Any], str]:
    """Return the reader of a key that takes one of a few words."""

    def read(key: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise FaultError(f"{key} cannot be {shown(value)}", nearest(str(value), allowed))
        return value

    return read


def number(low: int, high: int, what: str) -> Callable[[str, Any], int]:
    """Return the reader of a key that takes a whole number; ``what`` says of what."""

    def read(key: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise FaultError(f"{key} cannot be {shown(value)}", f"takes {what} from {low} to {high}")
        return value

    return read


def probability(key: str, value: Any) -> float:
    """Read a chance."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise FaultError(f"{key} cannot be {shown(value)}", "takes a number from 0 to 1")
    return float(value)


times: Final = number(1, 10**9, "a count")
milliseconds: Final = number(0, MAX_DELAY_MS, "milliseconds")
seed: Final = number(-(2**63), 2**63, "a whole number")
