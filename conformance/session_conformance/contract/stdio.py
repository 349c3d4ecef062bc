"""Speak with a testee over the stdin and stdout of a child process: blocking, without an event loop."""

import contextlib
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from session_conformance.contract.errors import (
    ContractViolation,
    TesteeCrashed,
    TesteeError,
    TesteeHung,
    TesteeNotStarted,
)
from session_conformance.contract.messages import (
    MAX_LINE_BYTES,
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
from session_conformance.contract.process import ChildProcess, LinePipe, LogRing
from session_conformance.contract.testee import Call, Deadlines, Testee

# A testee that was killed for its silence gets little time to say goodbye.
_HUNG_GRACE_S: Final = 0.3


class StdioTestee(Testee):
    """Run an adapter as a child process and call it by JSON lines (testee-operations §1).

    ``command`` is an argument list, run without a shell in ``cwd`` with ``env`` added to the environment.
    With ``validate`` every message, of both sides, is compared with the schemas of the contract.
    The process is started by the first use. After a crash, a hang or a broken stream ``alive`` is false and
    only ``restart`` helps.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str = "testee",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        seed: int = 0,
        deadlines: Deadlines | None = None,
        validate: bool = False,
        harness: str = "session-harness",
        max_line: int = MAX_LINE_BYTES,
    ) -> None:
        super().__init__(name, seed=seed, deadlines=deadlines or Deadlines(), harness=harness)
        self.command = tuple(command)
        self._env = env
        self._cwd = cwd
        self._validate = validate
        self._max_line = max_line
        self._log = LogRing()
        self._child: ChildProcess | None = None
        self._pipe: LinePipe | None = None
        self._next_id = 0
        self._open: dict[int, tuple[str, bytes, float]] = {}
        self._ended: str = ""

    @property
    def alive(self) -> bool:
        """Say whether the process runs and its stream is intact."""
        return self._pipe is not None

    @property
    def pid(self) -> int | None:
        """Return the id of the running process."""
        return self._child.pid if self._child is not None else None

    def stderr_tail(self) -> str:
        """Return the last lines that the testee wrote to stderr."""
        return self._log.text()

    def _start(self) -> None:
        if not self.command:
            raise TesteeNotStarted("the command of the testee is empty")
        if self._ended and self._child is None and self._hello is None:
            raise TesteeNotStarted(self._ended, hint="restart it", stderr_tail=self.stderr_tail())
        self._log.clear()
        self._ended = ""
        self._open.clear()
        child = ChildProcess(self.command, log=self._log, env=self._env, cwd=self._cwd)
        self._child = child
        self._pipe = LinePipe(child.stdin, child.stdout, self._max_line)
        try:
            self._hello = Hello.from_result(self.call("hello", **self._hello_params()))
        except TesteeError as error:
            self._end("it did not say hello")
            message = error.args[0].partition("\n  stderr")[0]
            raise TesteeNotStarted(
                f"{self.name} did not start: {message}{_quoted(self.stderr_tail())}",
                hint=error.hint or f"run it by hand: {' '.join(self.command)}",
                stderr_tail=self.stderr_tail(),
            ) from error

    def call(
        self, op: str, /, account: str | None = None, *, deadline_s: float | None = None, **params: Any
    ) -> Result:
        """Carry out one operation and return its result (see ``Testee.call``)."""
        if self._pipe is None:
            self._revive(op)
        request_id, deadline, limit_s = self._send(op, account, params, deadline_s)
        answered, answer = self._receive(op, deadline, limit_s)
        if answered != request_id:
            self._violation(
                ContractViolation(f"the reply to {op} came for request {answered}, not {request_id}")
            )
        if isinstance(answer, TesteeError):
            raise answer
        return answer

    def call_many(
        self, calls: Sequence[Call], *, deadline_s: float | None = None
    ) -> list[Result | TesteeError]:
        """Keep up to ``limits.parallel`` requests open; replies may come in any order (see ``Testee``)."""
        parallel = self.hello.parallel
        if self._pipe is None:
            self._revive("call_many")
        answers: dict[int, Result | TesteeError] = {}
        ids: list[int] = []
        oldest = ("", 0.0, 0.0)
        for op, params in calls:
            while len(self._open) >= parallel:
                answered, answer = self._receive(*oldest)
                answers[answered] = answer
            request_id, deadline, limit_s = self._send(op, None, params, deadline_s)
            ids.append(request_id)
            oldest = (op, deadline, limit_s)
        while self._open:
            answered, answer = self._receive(*oldest)
            answers[answered] = answer
        return [answers[request_id] for request_id in ids]

    def _revive(self, op: str) -> None:
        if self._ended:
            raise TesteeNotStarted(
                f"{op} was called after the end of {self.name}: {self._ended}",
                hint="restart it first",
                stderr_tail=self.stderr_tail(),
            )
        self._start()

    def _send(
        self, op: str, account: str | None, params: Mapping[str, Any], deadline_s: float | None
    ) -> tuple[int, float, float]:
        assert self._pipe is not None
        self._next_id += 1
        request = request_object(self._next_id, op, account, params)
        if self._validate:
            from session_conformance.contract.validation import require_request

            require_request(request)
        line = encode_request(request)
        if len(line) > self._max_line:
            raise ValueError(f"the request of {op} has {len(line)} bytes; a line may have {self._max_line}")
        limit_s = self.deadlines.of(op, params) if deadline_s is None else deadline_s
        now = time.monotonic()
        self._open[self._next_id] = (op, line, now)
        try:
            self._pipe.write(line, now + limit_s)
        except TimeoutError:
            self._hung(op, limit_s)
        except OSError:
            # Before its end the testee may have said why: what it wrote is looked at first.
            self._explain_end(op, now + limit_s)
        return self._next_id, now + limit_s, limit_s

    def _receive(self, op: str, deadline: float, limit_s: float) -> tuple[int, Result | TesteeError]:
        """Read up to the next reply; return the id of its request and the answer."""
        assert self._pipe is not None
        while True:
            try:
                line = self._pipe.read_line(deadline)
            except TimeoutError:
                self._hung(op, limit_s)
            except ValueError as error:
                self._violation(
                    ContractViolation(
                        f"a line of {error} bytes or more; the contract allows {self._max_line}",
                        line=shorten(self._pipe.begin()),
                        hint="end each reply with a line feed; declare limits for large operations",
                    )
                )
            if line is None:
                self._crashed(op)
            if not line.endswith(b"\n"):
                self._crashed(op, unfinished=line)
            try:
                reply = self._take(line)
            except ContractViolation as violation:
                self._violation(violation)
            if reply is not None:
                return reply

    def _take(self, line: bytes) -> tuple[int, Result | TesteeError] | None:
        message = parse_line(line)
        if "id" not in message:
            if self._validate:
                from session_conformance.contract.validation import require_event

                require_event(message)
            self.events.append(parse_event(message, line))
            return None
        request_id = message["id"]
        opened = self._open.pop(request_id, None) if type(request_id) is int else None
        if opened is None:
            waiting = ", ".join(map(str, self._open)) or "none"
            raise ContractViolation(
                f"a reply to request {request_id!r}, which is not open (open: {waiting})",
                line=shorten(line),
                hint="echo the id of the request unchanged, and answer each request once",
            )
        op, sent, sent_at = opened
        self.transcript.append(Exchange(sent_at, time.monotonic() - sent_at, sent, line))
        answer = read_answer(op, message, line)
        if self._validate:
            from session_conformance.contract.validation import require_reply

            require_reply(op, message)
        return request_id, answer

    def _violation(self, violation: ContractViolation) -> NoReturn:
        self._end(f"it broke the contract: {violation.args[0]}")
        raise violation

    def _hung(self, op: str, limit_s: float) -> NoReturn:
        self._end(f"it did not answer {op} within {limit_s:g} s", grace_s=_HUNG_GRACE_S)
        raise TesteeHung(op, limit_s, stderr_tail=self.stderr_tail())

    def _explain_end(self, op: str, deadline: float) -> NoReturn:
        assert self._pipe is not None
        unfinished = b""
        try:
            while (line := self._pipe.read_line(deadline)) is not None:
                if not line.endswith(b"\n"):
                    unfinished = line
                    continue
                self._take(line)
        except (TimeoutError, ValueError):
            pass
        except ContractViolation as violation:
            self._violation(violation)
        self._crashed(op, unfinished=unfinished)

    def _crashed(self, op: str, *, unfinished: bytes = b"") -> NoReturn:
        assert self._child is not None
        ended_itself = self._child.wait_exit(self.deadlines.bye_s)
        exit_code = self._end(f"it ended during {op}")
        if not ended_itself:
            how = "it closed its pipes, but lives"
        elif exit_code is None:
            how = "it ended"
        elif exit_code < 0:
            how = f"it was ended by {_signal_name(-exit_code)}"
        else:
            how = f"it ended with exit code {exit_code}"
        broken_off = f"\n  it had begun to write: {shorten(unfinished)}" if unfinished else ""
        tail = self.stderr_tail()
        raise TesteeCrashed(
            f"no answer to {op}: {how}{broken_off}{_quoted(tail)}",
            op=op,
            exit_code=exit_code if ended_itself else None,
            stderr_tail=tail,
        )

    def _end(self, why: str, *, grace_s: float = 1.0) -> int | None:
        child, self._child, self._pipe = self._child, None, None
        self._ended = why
        now = time.monotonic()
        for _op, sent, sent_at in self._open.values():
            self.transcript.append(Exchange(sent_at, now - sent_at, sent, b""))
        self._open.clear()
        return child.end(grace_s=grace_s) if child is not None else None

    def restart(self) -> Hello:
        """End the process, if it still runs, start a new one and say ``hello``."""
        self.close()
        self._ended = ""
        self._start()
        return self.hello

    def abandon(self) -> None:
        """Kill the process group at once; a call that waits for an answer sees the end."""
        if self._child is not None:
            self._child.kill()

    def close(self) -> None:
        """Say ``bye`` and wait for the end; what does not end is killed."""
        if self._child is None:
            return
        if self._pipe is not None and self._hello is not None:
            with contextlib.suppress(TesteeError):  # it is on its way out: nothing is left to judge
                self.call("bye")
        if self._child is not None:
            self._child.close_stdin()
            self._child.wait_exit(self.deadlines.bye_s)
            self._end("it was closed")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _quoted(tail: str, lines: int = 12) -> str:
    kept = tail.rstrip().splitlines()[-lines:]
    return "\n  stderr:\n" + "\n".join(f"    {shorten(line)}" for line in kept) if kept else ""
