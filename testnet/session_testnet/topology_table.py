"""Read the tables of a topology file key by key; every refusal names the file, the key and what it takes."""

import contextlib
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar, cast

from session_testnet.hinted_error import PlacedError
from session_testnet.knobs import KnobError, NodeKnobs
from session_testnet.storage_limits import LimitError, StorageLimits

_HEX_ID = re.compile(r"[0-9a-fA-F]{1,16}")
_HEX_SEED = re.compile(r"[0-9a-fA-F]{64}")


class TopologyError(PlacedError):
    """Say what in a topology cannot be, where it stands, and how to mend it."""


# What a reader of a key returns: the value, or the default's type when the key is missing.
_Default = TypeVar("_Default")


class TopologyTable:
    """Read one TOML table key by key; every refusal names the key and what it takes."""

    def __init__(self, data: Mapping[str, object], allowed: Sequence[str], path: str = "") -> None:
        self._data = data
        self._path = path
        for key in data:
            if key not in allowed:
                close = difflib.get_close_matches(key, allowed, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"allowed keys: {', '.join(allowed)}"
                raise TopologyError("is not a key of this table", hint, key=self._path + key)

    @contextlib.contextmanager
    def blaming(self, key: str | None) -> Iterator[None]:
        """Add this table's place and a key to errors that name none."""
        try:
            yield
        except TopologyError as error:
            if error.key is not None:
                raise
            where = (self._path + key) if key else self._path.rstrip(".") or None
            raise TopologyError(error.args[0], error.hint, key=where) from error

    def has(self, key: str) -> bool:
        """Tell whether a key is there."""
        return key in self._data

    def text(self, key: str, default: str) -> str:
        """Return a string."""
        value = self._data.get(key, default)
        if not isinstance(value, str):
            raise self._refused(key, value, "a text in quotes")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        value = self._data.get(key, default)
        if not isinstance(value, bool):
            raise self._refused(key, value, "true or false")
        return value

    def number(self, key: str, default: _Default) -> int | _Default:
        """Return a whole number."""
        if key not in self._data:
            return default
        value = self._data[key]
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._refused(key, value, "a whole number")
        return value

    def choice(self, key: str, allowed: Sequence[_Default], default: _Default) -> _Default:
        """Return one of a few words."""
        value = self._data.get(key, default)
        for each in allowed:
            if value == each:
                return each
        raise self._refused(key, value, " or ".join(f'"{each}"' for each in allowed))

    def numbers(self, key: str, default: _Default) -> _Default:
        """Return a tuple of as many whole numbers as the default has."""
        if key not in self._data:
            return default
        value = self._data[key]
        wanted = len(cast("tuple[int, ...]", default))
        whole = isinstance(value, list) and all(
            isinstance(item, int) and not isinstance(item, bool) for item in value
        )
        if not whole or len(cast("list[int]", value)) != wanted:
            raise self._refused(key, value, f"a list of {wanted} whole numbers")
        return cast("_Default", tuple(cast("list[int]", value)))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a tuple of strings, empty when the key is missing."""
        value = self._data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._refused(key, value, "a list of texts in quotes")
        return tuple(value)

    def table(self, key: str, allowed: Sequence[str]) -> "TopologyTable | None":
        """Return the table under a key, or None when the key is missing."""
        if key not in self._data:
            return None
        value = self._data[key]
        if not isinstance(value, dict):
            raise self._refused(key, value, f"a table, headed [{self._path}{key}]")
        return TopologyTable(value, allowed, f"{self._path}{key}.")

    def tables(self, key: str, allowed: Sequence[str]) -> list["TopologyTable"] | None:
        """Return the tables of an array, or None when the key is missing."""
        if key not in self._data:
            return None
        value = self._data[key]
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._refused(key, value, f"a list of tables, each headed [[{key}]]")
        return [
            TopologyTable(item, allowed, f"{self._path}{key}[{index}].") for index, item in enumerate(value)
        ]

    def knobs(self, base: NodeKnobs) -> NodeKnobs:
        """Return the knobs of a table, on top of others."""
        value = self._data.get("knobs", {})
        if not isinstance(value, dict):
            raise self._refused("knobs", value, "a table of knobs")
        try:
            return base.changed(value)
        except KnobError as error:
            raise TopologyError(error.message, error.hint, key=f"{self._path}knobs") from error

    def limits(self) -> StorageLimits:
        """Return the limits of the table ``[storage]``."""
        value = self._data.get("storage", {})
        if not isinstance(value, dict):
            raise self._refused("storage", value, "a table of limits")
        try:
            return StorageLimits.parse(value)
        except LimitError as error:
            raise TopologyError(error.message, error.hint, key=f"{self._path}storage") from error

    def swarm_id(self) -> int | None:
        """Return a swarm id: hex text, because it exceeds what TOML numbers hold, or a small number."""
        value = self._data.get("swarm_id")
        if value is None:
            return None
        if isinstance(value, str) and _HEX_ID.fullmatch(value):
            return int(value, 16)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        raise self._refused("swarm_id", value, "up to 16 hex digits in quotes, or a number from 0")

    def seed_bytes(self, derived: bytes) -> bytes:
        """Return a node's seed: 64 hex digits, or the derived one when the key is missing."""
        value = self._data.get("seed")
        if value is None:
            return derived
        if not isinstance(value, str) or not _HEX_SEED.fullmatch(value):
            # The value is not repeated: it is meant to be a secret.
            raise TopologyError("is not a seed", "takes 64 hex digits in quotes", key=f"{self._path}seed")
        return bytes.fromhex(value)

    def _refused(self, key: str, value: object, allowed: str) -> TopologyError:
        return TopologyError(f"cannot be {_shown(value)}", f"takes {allowed}", key=self._path + key)


def _shown(value: object) -> str:
    """Show a value briefly, as it would stand in the file."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
