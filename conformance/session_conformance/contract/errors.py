"""What can go wrong with a testee, in the order of its life.

1. Its description is wrong: ``TesteeSpecError``.
2. It does not start, or does not say ``hello``: ``TesteeNotStarted``.
3. It answers an operation with an error of the contract: ``Rejected`` (an answer that the protocol defines),
   ``Unsupported`` (not implemented), ``AdapterFault`` (the adapter broke and says so).
4. It breaks the contract itself: ``ContractViolation``.
5. It ends, or goes silent, before it has answered: ``TesteeCrashed``, ``TesteeHung``.

Only ``Rejected`` and ``Unsupported`` say something about the implementation under test; the rest say that
it could not be judged.
"""

from collections.abc import Mapping
from typing import Any


class TesteeError(Exception):
    """Report what went wrong with a testee, with a hint how to mend it.

    ``participant`` names whose error it is when it is not the judged testee's: "the peer reference".
    """

    __test__ = False  # pytest takes the name for that of a test class
    participant = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class TesteeSpecError(TesteeError):
    """Refuse the description of a testee."""


class TesteeNotStarted(TesteeError):
    """Report a testee that did not come as far as its ``hello``, or was called after its end."""

    def __init__(self, message: str, *, hint: str = "", stderr_tail: str = "") -> None:
        super().__init__(message, hint=hint)
        self.stderr_tail = stderr_tail


class Rejected(TesteeError):
    """Carry a refusal that the protocol defines: bad input, not found, no route.

    ``code`` is one of ``messages.REJECTION_CODES`` for a testee that keeps to the contract.
    """

    def __init__(self, op: str, code: str, message: str = "", data: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{op} was rejected with {code}" + (f": {message}" if message else ""))
        self.op = op
        self.code = code
        self.detail = message
        self.data: Mapping[str, Any] = data if data is not None else {}


class Unsupported(TesteeError):
    """Report an operation, or a variant of one, that the testee does not implement."""

    def __init__(self, op: str, message: str = "") -> None:
        super().__init__(f"{op} is not supported" + (f": {message}" if message else ""))
        self.op = op


class AdapterFault(TesteeError):
    """Report that the adapter broke while it carried out an operation, in its own words."""

    def __init__(self, op: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"the adapter broke in {op}: {message}")
        self.op = op
        self.data: Mapping[str, Any] = data if data is not None else {}


class ContractViolation(TesteeError):
    """Report output of a testee that the contract does not allow.

    ``line`` is the offending output, shortened; empty when there is none.
    """

    def __init__(self, message: str, *, line: str = "", hint: str = "") -> None:
        super().__init__(message + (f"\n  the testee wrote: {line}" if line else ""), hint=hint)
        self.line = line


class TesteeCrashed(TesteeError):
    """Report a testee that ended before it answered.

    ``exit_code`` is negative for a signal, as in ``subprocess``; None when it is not known.
    """

    def __init__(self, message: str, *, op: str, exit_code: int | None = None, stderr_tail: str = "") -> None:
        super().__init__(message)
        self.op = op
        self.exit_code = exit_code
        self.stderr_tail = stderr_tail


class TesteeHung(TesteeError):
    """Report a testee that did not answer within the deadline (seconds) and was killed for it."""

    def __init__(self, op: str, deadline_s: float, *, stderr_tail: str = "") -> None:
        super().__init__(f"no answer to {op} within {deadline_s:g} s")
        self.op = op
        self.deadline_s = deadline_s
        self.stderr_tail = stderr_tail
