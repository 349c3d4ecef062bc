"""The testee contract: messages, errors, operations, and the clients that speak it (testee-operations)."""

from session_conformance.contract.errors import (
    AdapterFault,
    ContractViolation,
    Rejected,
    TesteeCrashed,
    TesteeError,
    TesteeHung,
    TesteeNotStarted,
    TesteeSpecError,
    Unsupported,
)
from session_conformance.contract.messages import Event, Exchange, Hello, Result
from session_conformance.contract.testee import Deadlines, Testee

__all__ = [
    "AdapterFault",
    "ContractViolation",
    "Deadlines",
    "Event",
    "Exchange",
    "Hello",
    "Rejected",
    "Result",
    "Testee",
    "TesteeCrashed",
    "TesteeError",
    "TesteeHung",
    "TesteeNotStarted",
    "TesteeSpecError",
    "Unsupported",
]
