"""Stand between a check and its testee: restart what died, and end a check that would not end by itself."""

from collections.abc import Sequence
from typing import Any, Final, NoReturn

from session_conformance.contract.errors import (
    ContractViolation,
    TesteeCrashed,
    TesteeError,
    TesteeHung,
    TesteeNotStarted,
)
from session_conformance.contract.messages import Hello, Result
from session_conformance.contract.testee import Call, Testee
from session_conformance.interruption import Interruption

# Shrinking a crash is worth some restarts, but a restart may take a second.
RESTARTS_A_CHECK: Final = 12


class CheckEnded(BaseException):
    """End a check at once because of its testee; ``error`` says why.

    Not an Exception: hypothesis must neither catch nor shrink it.
    """

    def __init__(self, error: TesteeError) -> None:
        super().__init__(str(error))
        self.error = error


class GuardedTestee(Testee):
    """Pass calls on to a testee, within the limits of one check.

    The first hang ends the check: another example, or another step of shrinking, would wait as long again. A
    crash, or output that breaks the contract, is followed by a restart at the next call, a few times a check.
    """

    def __init__(
        self, inner: Testee, interruption: Interruption | None = None, *, participant: str = ""
    ) -> None:
        super().__init__(inner.name, seed=inner.seed, deadlines=inner.deadlines, harness=inner.harness)
        self.participant = participant
        self._inner = inner
        self._interruption = interruption or Interruption()
        self.transcript = inner.transcript
        self.events = inner.events
        self._over: TesteeError | None = None
        self._restarts = 0
        self._used_network = False

    def __repr__(self) -> str:
        return f"<testee {self.name}>"

    @property
    def alive(self) -> bool:
        """Say whether the testee can be called."""
        return self._inner.alive

    @property
    def hello(self) -> Hello:
        """Return what the testee said about itself."""
        return self._inner.hello

    def stderr_tail(self) -> str:
        """Return the last lines that the testee logged."""
        return self._inner.stderr_tail()

    def begin(self) -> None:
        """Make the testee ready for the next check: alive, without accounts, with an empty transcript.

        Raise TesteeNotStarted when it does not come back.
        """
        self._over = None
        self._restarts = 0
        if not self._inner.alive:
            self._inner.restart()
        elif self._used_network:
            self._forget()
        self._used_network = False
        self.transcript.clear()
        self.events.clear()

    def _forget(self) -> None:
        try:
            self._inner.call("reset")
        except TesteeError:
            self._inner.restart()

    def call(
        self, op: str, /, account: str | None = None, *, deadline_s: float | None = None, **params: Any
    ) -> Result:
        """Carry out one operation (see ``Testee.call``); raise CheckEnded once the check is over."""
        self._prepare()
        self._used_network = self._used_network or op.startswith("client.")
        try:
            result = self._inner.call(op, account, deadline_s=deadline_s, **params)
        except TesteeError as error:
            self._judge(error)
        result.participant = self.participant
        return result

    def call_many(
        self, calls: Sequence[Call], *, deadline_s: float | None = None
    ) -> list[Result | TesteeError]:
        """Carry out several operations (see ``Testee``); raise CheckEnded once the check is over."""
        self._prepare()
        try:
            answers = self._inner.call_many(calls, deadline_s=deadline_s)
        except TesteeError as error:
            self._judge(error)
        for answer in answers:
            answer.participant = self.participant
        return answers

    def _prepare(self) -> None:
        self._interruption.check()
        if self._over is not None:
            raise CheckEnded(self._over)
        if not self._inner.alive:
            try:
                self._inner.restart()
            except TesteeNotStarted as error:
                self._end(error)

    def _judge(self, error: TesteeError) -> NoReturn:
        error.participant = self.participant
        match error:
            case TesteeHung() | TesteeNotStarted():
                self._end(error)
            case TesteeCrashed() | ContractViolation():
                self._restarts += not self._inner.alive
                if self._restarts >= RESTARTS_A_CHECK:
                    self._end(error)
        raise error

    def _end(self, error: TesteeError) -> NoReturn:
        error.participant = self.participant
        self._over = error
        raise CheckEnded(error) from error

    def _start(self) -> None:
        self._inner.hello  # noqa: B018  # reading it starts the testee

    def restart(self) -> Hello:
        """Replace the testee by a fresh one."""
        return self._inner.restart()

    def abandon(self) -> None:
        """Kill the testee's process at once, if it has one; whoever waits for it sees it end."""
        self._inner.abandon()

    def close(self) -> None:
        """End the testee."""
        self._inner.close()
