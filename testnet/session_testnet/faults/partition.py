"""A partition of the network as data: groups of nodes that do not reach each other."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from session_testnet.faults import keys
from session_testnet.faults.keys import FaultError

PARTITION: Final = "partition"
"""The action that makes a fault a partition."""

CLIENTS: Final = "clients"
"""The word that stands for everybody who is no part of the network."""

_EXAMPLE: Final = 'for example {"action": "partition", "groups": [["node-01", "clients"], ["node-02"]]}'


@dataclass(frozen=True, slots=True)
class Partition:
    """Groups of names: who is in one group reaches nobody in another.

    Names are those of nodes and services; "clients" stands for all clients. Who is in no group reaches, and
    is reached by, everybody. Each name stands in one group at most.
    """

    groups: tuple[frozenset[str], ...]
    id: str = ""

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Partition":
        """Read a partition from JSON values. FaultError names what is wrong and what it takes."""
        values = keys.read_keys(data, _READERS, "a partition")
        if "groups" not in values:
            raise FaultError("the partition has no groups", _EXAMPLE)
        return cls(values["groups"], values.get("id", ""))

    def as_dict(self) -> dict[str, Any]:
        """Return the partition as JSON values, names in order; ``parse`` reads it back."""
        return {"id": self.id, "action": PARTITION, "groups": [sorted(group) for group in self.groups]}

    @property
    def names(self) -> frozenset[str]:
        """Return all names that stand in a group."""
        return frozenset[str]().union(*self.groups)

    def allows(self, one: str, other: str) -> bool:
        """Tell whether two parties reach each other: names of nodes or services, or "clients"."""
        if one == other:
            return True
        groups = [group for group in self.groups if one in group or other in group]
        return len(groups) < 2

    def check_names(self, known: Collection[str]) -> None:
        """Raise FaultError for a name that is neither known nor "clients"."""
        for name in sorted(self.names - {CLIENTS}):
            if name not in known:
                raise FaultError(
                    f"the partition names {name!r}, which does not exist",
                    keys.nearest(name, [*known, CLIENTS]),
                )


def _groups(key: str, value: Any) -> tuple[frozenset[str], ...]:
    lists = isinstance(value, list | tuple) and all(isinstance(group, list | tuple) for group in value)
    if not lists or not all(isinstance(name, str) and name for group in value for name in group):
        raise FaultError(f"{key} cannot be {keys.shown(value)}", f"takes lists of names, {_EXAMPLE}")
    if len(value) < 2 or not all(value):
        raise FaultError(
            f"{key} cannot be {keys.shown(value)}",
            f"takes two groups or more, none of them empty, {_EXAMPLE}",
        )
    groups = tuple(frozenset(group) for group in value)
    seen: set[str] = set()
    for group in groups:
        for name in sorted(group & seen):
            raise FaultError(
                f"{name!r} stands in two groups", "who is to reach everybody stands in none of them"
            )
        seen |= group
    return groups


_READERS: Final[Mapping[str, keys.Reader]] = MappingProxyType(
    {"id": keys.word, "action": keys.one_of([PARTITION]), "groups": _groups}
)
