"""The reference testee: our own implementation behind the testee contract."""

from session_conformance.testees.reference.testee import ReferenceTestee

__all__ = ["ReferenceTestee"]
