"""Faults of service nodes: seeded rules that say which node errs, in which requests and how."""

from session_testnet.faults.gate import RuleGate
from session_testnet.faults.keys import FaultError
from session_testnet.faults.rules import ACTIONS, FaultBook, FaultRule

__all__ = ["ACTIONS", "FaultBook", "FaultError", "FaultRule", "RuleGate"]
