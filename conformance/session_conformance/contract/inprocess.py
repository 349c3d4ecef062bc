"""Call an adapter that is a Python object of this process, as if it were a child."""

import contextlib
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from session_conformance.contract.errors import (
    ContractViolation,
    TesteeCrashed,
    TesteeError,
    TesteeNotStarted,
)
from session_conformance.contract.messages import (
    Exchange,
    Hello,
    Result,
    encode_request,
    parse_event,
    parse_line,
    read_answer,
    request_object,
    shorten,
)
from session_conformance.contract.testee import Deadlines, Testee


class AdapterObject(Protocol):
    """Answer one request object with one reply object; an ``on_event`` attribute is set by the judge."""

    def handle(self, request: dict[str, Any], /) -> Mapping[str, Any]:
        """Return the reply: ``{"id", "result"}`` or ``{"id", "error"}``."""


class InProcessTestee(Testee):
    """Call ``adapter.handle`` directly; for our own code only, because nothing here can end a hang.

    ``factory`` makes the adapter anew on ``restart``; by default its class, called without arguments. With
    ``validate`` every message makes the round trip through JSON and is compared with the schemas, so that
    what works only within one process is found.
    """

    def __init__(
        self,
        adapter: AdapterObject,
        *,
        name: str = "testee",
        factory: Callable[[], AdapterObject] | None = None,
        seed: int = 0,
        deadlines: Deadlines | None = None,
        validate: bool = False,
        harness: str = "session-harness",
    ) -> None:
        super().__init__(name, seed=seed, deadlines=deadlines or Deadlines(), harness=harness)
        self._factory = factory or type(adapter)
        self._adapter: AdapterObject | None = adapter
        self._validate = validate
        self._next_id = 0
        self._ended = ""
        self._last_trace = ""

    @property
    def alive(self) -> bool:
        """Say whether the adapter can be called."""
        return self._adapter is not None and not self._ended

    def stderr_tail(self) -> str:
        """Return the traceback of the last exception that escaped: there is no stderr of its own."""
        return self._last_trace

    def _start(self) -> None:
        if self._ended:
            raise TesteeNotStarted(f"{self.name} has ended: {self._ended}", hint="restart it first")
        if self._adapter is None:
            self._adapter = self._factory()
        if hasattr(self._adapter, "on_event"):
            self._adapter.on_event = self._take_event
        try:
            self._hello = Hello.from_result(self._exchange("hello", None, self._hello_params()))
        except TesteeError as error:
            self._ended = "it did not say hello"
            raise TesteeNotStarted(
                f"{self.name} did not start: {error.args[0]}", hint=error.hint, stderr_tail=self._last_trace
            ) from error

    def _take_event(self, message: Mapping[str, Any]) -> None:
        if self._validate:
            from session_conformance.contract.validation import require_event

            require_event(message)
        self.events.append(parse_event(message, b""))

    def call(
        self, op: str, /, account: str | None = None, *, deadline_s: float | None = None, **params: Any
    ) -> Result:
        """Carry out one operation and return its result; ``deadline_s`` cannot be enforced here."""
        del deadline_s
        if self._ended:
            raise TesteeNotStarted(
                f"{op} was called after the end of {self.name}: {self._ended}", hint="restart it first"
            )
        if self._hello is None:
            self._start()
        return self._exchange(op, account, params)

    def _exchange(self, op: str, account: str | None, params: Mapping[str, Any]) -> Result:
        assert self._adapter is not None
        self._next_id += 1
        request = request_object(self._next_id, op, account, params)
        sent = encode_request(request)
        if self._validate:
            from session_conformance.contract.validation import require_request

            require_request(request)
            request = orjson.loads(sent)
        began = time.monotonic()
        reply: Any = None
        try:
            reply = self._adapter.handle(request)
        except Exception as error:
            self._last_trace = "".join(traceback.format_exception(error))
            self._ended = f"an exception escaped from it during {op}"
            self._record(sent, None, began)
            raise TesteeCrashed(
                f"no answer to {op}: {type(error).__name__} escaped from handle(): {error}",
                op=op,
                stderr_tail=self._last_trace,
            ) from error
        received = self._record(sent, reply, began)
        if type(reply) is not dict:
            raise ContractViolation(
                f"the reply to {op} is not a dict but {type(reply).__name__}", line=shorten(repr(reply))
            )
        if self._validate:
            from session_conformance.contract.validation import require_reply

            if not received:
                raise ContractViolation(f"JSON cannot carry the reply to {op}", line=shorten(repr(reply)))
            reply = parse_line(received)
            require_reply(op, reply)
        if reply.get("id") != self._next_id or type(reply.get("id")) is not int:
            raise ContractViolation(
                f"a reply to request {reply.get('id')!r}, which is not open (open: {self._next_id})",
                line=shorten(repr(reply)),
            )
        answer = read_answer(op, reply, received)
        if isinstance(answer, TesteeError):
            raise answer
        return answer

    def _record(self, sent: bytes, reply: Any, began: float) -> bytes:
        received = b""
        if reply is not None:
            try:
                received = orjson.dumps(reply, option=orjson.OPT_APPEND_NEWLINE)
            except TypeError:
                received = b""
        self.transcript.append(Exchange(began, time.monotonic() - began, sent, received))
        return received

    def restart(self) -> Hello:
        """Drop the adapter, make a new one and say ``hello``."""
        self.close()
        self._ended = ""
        self._hello = None
        self._start()
        return self.hello

    def close(self) -> None:
        """Say ``bye`` to the adapter and let it go."""
        if self._adapter is not None and not self._ended and self._hello is not None:
            with contextlib.suppress(TesteeError):  # it is on its way out: nothing is left to judge
                self._exchange("bye", None, {})
        self._adapter = None
        self._ended = self._ended or "it was closed"
