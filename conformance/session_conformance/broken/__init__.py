"""Deliberately broken testees: the reference with one fault each.

They prove that the suites can fail: ``session-harness selfcheck`` runs the suites against every one of them,
and each must be caught by a check. A check that catches none of them proves nothing, and is reported too.
"""

from session_conformance.broken.fault import Fault, UnknownFault, fault_by_id, faults

FAULTS = faults()

__all__ = ["FAULTS", "Fault", "UnknownFault", "fault_by_id", "faults"]
