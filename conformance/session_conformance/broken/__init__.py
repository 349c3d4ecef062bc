"""Deliberately broken testees: the reference, or one of our own servers, with one fault each.

They prove that the suites can fail: ``session-harness selfcheck`` runs the suites against every one of them,
and each must be caught by a check. A check that catches none of them proves nothing, and is reported too.
"""

from session_conformance.broken.fault import Fault, UnknownFault, fault_by_id, faults
from session_conformance.broken.server_fault import ServerFault, server_faults

FAULTS = faults()
SERVER_FAULTS = server_faults()

__all__ = [
    "FAULTS",
    "SERVER_FAULTS",
    "Fault",
    "ServerFault",
    "UnknownFault",
    "fault_by_id",
    "faults",
    "server_faults",
]
