"""All faults of a network, of every kind, under one row of ids."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from session_testnet.faults.keys import FaultError
from session_testnet.faults.partition import Partition
from session_testnet.faults.rules import FaultBook, FaultRule
from session_testnet.faults.schedule import Fault, parse_fault
from session_testnet.faults.tcp_faults import StrikeCounts, TcpFault


class FaultRoster:
    """Keep the faults in force: rules in a book of their own, which nodes look into, and the rest."""

    def __init__(self, seed: str = "0") -> None:
        """Begin without faults; all their chance comes from the seed."""
        self.book = FaultBook(seed)
        self.tcp_counts = StrikeCounts()
        self._others: dict[str, TcpFault | Partition] = {}
        self._count = 0

    def add(self, fault: Fault | Mapping[str, Any]) -> str:
        """Add a fault and return its id, a new one when it has none; FaultError for one that cannot be."""
        parsed = parse_fault(fault) if isinstance(fault, Mapping) else fault
        if parsed.id and parsed.id in self.ids():
            raise FaultError(
                f"there is already a fault {parsed.id!r}", "leave the id out, or clear that fault"
            )
        if isinstance(parsed, FaultRule):
            return self.book.add(parsed if parsed.id else replace(parsed, id=self._new_id()))
        fault_id = parsed.id or self._new_id()
        self._others[fault_id] = replace(parsed, id=fault_id)
        return fault_id

    def list(self) -> Sequence[dict[str, Any]]:
        """Return all faults as JSON values; where strikes are counted, with how often each was ``used``."""
        return [*self.book.list(), *(self._listed(fault) for fault in self._others.values())]

    def ids(self) -> frozenset[str]:
        """Return the ids of all faults."""
        return frozenset(rule["id"] for rule in self.book.list()) | frozenset(self._others)

    def clear(self, fault_id: str | None = None) -> None:
        """Remove one fault, or all; FaultError when there is none of this id."""
        if fault_id is None:
            self.book.clear()
            for each in self._others:
                self.tcp_counts.forget(each)
            self._others.clear()
        elif self._others.pop(fault_id, None) is not None:
            self.tcp_counts.forget(fault_id)
        elif fault_id in self.ids():
            self.book.clear(fault_id)
        else:
            known = ", ".join(sorted(self.ids())) or "none"
            raise FaultError(f"there is no fault {fault_id!r}", f"faults: {known}")

    @property
    def tcp_faults(self) -> Sequence[TcpFault]:
        """Return the faults of connections."""
        return [fault for fault in self._others.values() if isinstance(fault, TcpFault)]

    @property
    def partitions(self) -> Sequence[Partition]:
        """Return the partitions."""
        return [fault for fault in self._others.values() if isinstance(fault, Partition)]

    def _listed(self, fault: TcpFault | Partition) -> dict[str, Any]:
        if isinstance(fault, Partition):
            return fault.as_dict()
        return {**fault.as_dict(), "used": self.tcp_counts.used(fault.id)}

    def _new_id(self) -> str:
        taken = self.ids()
        while True:
            self._count += 1
            if (fault_id := f"fault-{self._count}") not in taken:
                return fault_id
