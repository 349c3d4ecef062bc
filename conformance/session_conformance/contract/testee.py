"""What every testee is to the suites, whatever carries its messages."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from session_conformance.contract.errors import AdapterFault, Rejected, TesteeError, Unsupported
from session_conformance.contract.messages import CONTRACT_VERSION, Event, Exchange, Hello, Result

TRANSCRIPT_EXCHANGES: Final = 400
KEPT_EVENTS: Final = 10_000

Call = tuple[str, Mapping[str, Any]]
"""One call of ``call_many``: the operation and its parameters."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Say how long a testee may take, in seconds (testee-operations §1)."""

    stateless_s: float = 5.0
    stateful_s: float = 60.0
    hello_s: float = 30.0  # an interpreter with heavy imports, or a virtual machine, has to start first
    bye_s: float = 5.0
    bench_extra_s: float = 30.0  # warm-up of bench.run, on top of the seconds that it was asked to take

    @classmethod
    def local(cls) -> "Deadlines":
        """Return the deadlines against a network on this machine."""
        return cls(stateful_s=5.0)

    def of(self, op: str, params: Mapping[str, Any]) -> float:
        """Return the seconds that one call may take."""
        if op == "hello":
            return self.hello_s
        if op == "bye":
            return self.bye_s
        if op == "bench.run":
            seconds = params.get("seconds")
            return self.bench_extra_s + (
                float(seconds) if isinstance(seconds, int | float) else self.stateful_s
            )
        if op.startswith("client.") or op == "reset":
            return self.stateful_s
        return self.stateless_s


class Testee(ABC):
    """Call the operations of one implementation, one at a time, and keep what was said.

    A testee is used from one thread. ``transcript`` and ``events`` are bounded: the oldest entries go first.
    """

    __test__ = False  # pytest takes the name for that of a test class

    participant = ""
    """What a verdict on somebody else calls it, such as "the peer reference"; empty for who is judged."""

    def __init__(self, name: str, *, seed: int, deadlines: Deadlines, harness: str) -> None:
        self.name = name
        self.seed = seed
        self.deadlines = deadlines
        self.harness = harness
        self.transcript: deque[Exchange] = deque(maxlen=TRANSCRIPT_EXCHANGES)
        self.events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._hello: Hello | None = None

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Say whether the testee can be called; a crash, a hang and a broken stream end it."""

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def call(
        self, op: str, /, account: str | None = None, *, deadline_s: float | None = None, **params: Any
    ) -> Result:
        """Carry out one operation and return its result.

        Raise Rejected, Unsupported or AdapterFault when the testee answers so; ContractViolation,
        TesteeCrashed, TesteeHung or TesteeNotStarted when it does not answer as the contract says.
        """

    def abandon(self) -> None:  # noqa: B027  # a testee without a process has nothing to kill
        """Kill the testee's process at once, if it has one; callable from a signal handler."""

    @abstractmethod
    def close(self) -> None:
        """End the testee: ``bye``, then by force. A second call does nothing."""

    @abstractmethod
    def stderr_tail(self) -> str:
        """Return the last lines that the testee logged."""

    @property
    def hello(self) -> Hello:
        """Return what the testee said about itself."""
        if self._hello is None:
            self._start()
        assert self._hello is not None
        return self._hello

    @property
    def features(self) -> Mapping[str, Any]:
        """Return the feature block of ``hello``."""
        return self.hello.features

    def supports(self, op: str) -> bool:
        """Say whether ``hello`` declared an operation."""
        return op in self.hello.operations

    def restart(self) -> Hello:
        """Replace the testee by a fresh one of the same kind and say ``hello`` anew."""
        self.close()
        self._start()
        return self.hello

    def call_many(
        self, calls: Sequence[Call], *, deadline_s: float | None = None
    ) -> list[Result | TesteeError]:
        """Carry out several stateless operations, as many at once as the testee allows; answers in order.

        Answers of the contract (Rejected, Unsupported, AdapterFault) are returned in their place; the others
        are raised.
        """
        answers: list[Result | TesteeError] = []
        for op, params in calls:
            answers.append(self._answer(op, params, deadline_s))
        return answers

    def _answer(self, op: str, params: Mapping[str, Any], deadline_s: float | None) -> Result | TesteeError:
        try:
            return self.call(op, deadline_s=deadline_s, **params)
        except (Rejected, Unsupported, AdapterFault) as answer:
            return answer

    def take_events(self, kind: str | None = None, *, account: str | None = None) -> list[Event]:
        """Return, and forget, the events that have arrived so far: all, of one kind, or for one account."""
        taken: list[Event] = []
        kept: list[Event] = []
        for event in self.events:
            asked_for = kind in (None, event.kind) and account in (None, event.account)
            (taken if asked_for else kept).append(event)
        self.events.clear()
        self.events.extend(kept)
        return taken

    def _hello_params(self) -> dict[str, Any]:
        return {"contract": [CONTRACT_VERSION], "harness": self.harness, "seed": self.seed}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
