"""Faults of a network: seeded rules that say what errs, in which requests or connections, and how."""

from session_testnet.faults.gate import RuleGate
from session_testnet.faults.keys import FaultError
from session_testnet.faults.request_watch import RequestCounters, RequestWatch
from session_testnet.faults.roster import FaultRoster
from session_testnet.faults.rules import ACTIONS, FaultBook, FaultRule

__all__ = [
    "ACTIONS",
    "FaultBook",
    "FaultError",
    "FaultRoster",
    "FaultRule",
    "RequestCounters",
    "RequestWatch",
    "RuleGate",
]
