"""A child that behaves, and children that do not: what a caller sees of each."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session_conformance.contract import (
    AdapterFault,
    ContractViolation,
    Deadlines,
    Rejected,
    Result,
    TesteeCrashed,
    TesteeHung,
    TesteeNotStarted,
    Unsupported,
)
from session_conformance.contract.stdio import StdioTestee

CHILD = r"""
import json, os, signal, subprocess, sys, threading

def write(message):
    text = message if isinstance(message, str) else json.dumps(message)
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.buffer.flush()

def forever():
    while True:
        threading.Event().wait()

hello = {"name": "child", "version": "1", "language": "python", "contract": 1,
         "operations": ["padding.pad"], "limits": json.loads(os.environ.get("LIMITS", "{}"))}
held = []
for line in sys.stdin.buffer:
    request = json.loads(line)
    number, op, params = request["id"], request["op"], request["params"]
    do = params.get("message_hex", "") if op == "padding.pad" else op
    result = {"id": number, "result": {"padded_hex": do, "account": request.get("account")}}
    match do:
        case "hello":
            print("child: hello", file=sys.stderr, flush=True)
            write({"id": number, "result": hello})
        case "bye":
            write({"id": number, "result": {}})
            break
        case "crash":
            print("about to die", file=sys.stderr, flush=True)
            os._exit(3)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            forever()
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            forever()
        case "print":
            write("DEBUG entering pad()")
            write(result)
        case "array":
            write([1, 2])
        case "half":
            sys.stdout.buffer.write(b'{"id": 2, "res')
            sys.stdout.buffer.flush()
            os._exit(0)
        case "close":
            os.close(1)
            forever()
        case "huge":
            write({"id": number, "result": {"padded_hex": "ab" * params["size"]}})
        case "endless":
            sys.stdout.buffer.write(b"x" * params["size"])
            sys.stdout.buffer.flush()
            forever()
        case "length":
            write({"id": number, "result": {"padded_hex": str(len(line))}})
        case "deaf":
            os.close(0)
            write({"id": number, "result": {}})
            forever()
        case "noise":
            for index in range(70):
                print(str(index).rjust(999, "."), file=sys.stderr)
            sys.stderr.flush()
            write(result)
        case "wrong id":
            write({**result, "id": 999})
        case "text id":
            write({**result, "id": str(number)})
        case "no id":
            write({"result": {}})
        case "twice":
            write(result)
            write(result)
        case "both":
            write({**result, "error": {"kind": "adapter"}})
        case "neither":
            write({"id": number})
        case "list result":
            write({"id": number, "result": []})
        case "odd kind":
            write({"id": number, "error": {"kind": "grumpy"}})
        case "rejected":
            error = {"kind": "rejected", "code": "bad_format", "message": "no", "data": {"a": 1}}
            write({"id": number, "error": error})
        case "codeless":
            write({"id": number, "error": {"kind": "rejected"}})
        case "odd code":
            write({"id": number, "error": {"kind": "rejected", "code": "whatever"}})
        case "unsupported":
            write({"id": number, "error": {"kind": "unsupported", "message": "later"}})
        case "adapter":
            write({"id": number, "error": {"kind": "adapter", "message": "KeyError: 'x'"}})
        case "events":
            write({"event": "log", "level": "info", "message": "hi"})
            write({"event": "message", "account": "alice", "data": {"n": 1}})
            write(result)
        case "bad event":
            write({"event": "surprise"})
            write(result)
        case "grandchild":
            child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
            write({"id": number, "result": {"padded_hex": str(child.pid)}})
        case "hold":
            held.append(result)
            if len(held) == 3:
                for message in reversed(held):
                    write(message)
                held.clear()
        case _:
            write(result)
"""

Make = Callable[..., StdioTestee]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stdio") / "child.py"
    path.write_text(CHILD)
    return path


@pytest.fixture
def make(script: Path) -> Iterator[Make]:
    made: list[StdioTestee] = []

    def start(**options: Any) -> StdioTestee:
        options.setdefault("deadlines", Deadlines(bye_s=1.0))
        made.append(StdioTestee([sys.executable, "-S", str(script)], name="child", **options))
        return made[-1]

    yield start
    for testee in made:
        testee.close()


def pad(testee: StdioTestee, do: str, **params: Any) -> Result:
    return testee.call("padding.pad", message_hex=do, **params)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that its (vanished) parent never reaped still has a pid, but it does not run.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        os.sched_yield()


def test_a_call_answers_and_is_recorded(make: Make) -> None:
    testee = make(seed=7)
    assert testee.hello.name == "child"
    assert testee.supports("padding.pad")
    assert not testee.supports("padding.unpad")
    assert pad(testee, "00ff")["padded_hex"] == "00ff"
    assert testee.call("client.poll", "alice")["account"] == "alice"
    hello, first, second = testee.transcript
    assert hello.request["params"] == {"contract": [1], "harness": "session-harness", "seed": 7}
    assert first.as_json()["reply"]["result"]["padded_hex"] == "00ff"
    assert second.request == {"id": 3, "op": "client.poll", "params": {}, "account": "alice"}


def test_the_process_starts_with_the_first_use(make: Make) -> None:
    testee = make()
    assert testee.pid is None
    pad(testee, "00")
    assert testee.pid is not None


def test_bye_ends_the_process(make: Make) -> None:
    testee = make()
    pad(testee, "00")
    pid = testee.pid
    assert pid is not None
    testee.close()
    assert not is_running(pid)
    assert testee.transcript[-1].request["op"] == "bye"
    testee.close()
    with pytest.raises(TesteeNotStarted, match="it was closed"):
        pad(testee, "00")


def test_a_missing_field_is_named(make: Make) -> None:
    with pytest.raises(
        ContractViolation, match=r"padding.pad has no field 'cipher'.*'padded_hex', 'account'"
    ):
        pad(make(), "00")["cipher"]


@pytest.mark.parametrize(
    ("do", "error", "text"),
    [
        ("rejected", Rejected, "padding.pad was rejected with bad_format: no"),
        ("unsupported", Unsupported, "padding.pad is not supported: later"),
        ("adapter", AdapterFault, "the adapter broke in padding.pad: KeyError"),
    ],
)
def test_answers_of_the_contract_keep_it_alive(make: Make, do: str, error: type, text: str) -> None:
    testee = make()
    with pytest.raises(error, match=text):
        pad(testee, do)
    assert testee.alive
    assert pad(testee, "11")["padded_hex"] == "11"


def test_a_refusal_carries_code_and_data(make: Make) -> None:
    with pytest.raises(Rejected) as caught:
        pad(make(), "rejected")
    assert (caught.value.code, caught.value.detail, caught.value.data) == ("bad_format", "no", {"a": 1})


@pytest.mark.parametrize(
    ("do", "text"),
    [
        ("print", "not JSON.*\n.*DEBUG entering pad"),
        ("array", "not an object but list"),
        ("wrong id", r"a reply to request 999, which is not open \(open: 2\)"),
        ("text id", "a reply to request '2', which is not open"),
        ("no id", "neither an id nor an event"),
        ("both", "both a result and an error"),
        ("neither", "neither a result nor an error"),
        ("list result", "not a JSON object"),
        ("odd kind", "unknown kind 'grumpy'"),
        ("codeless", "has no code"),
    ],
)
def test_a_broken_stream_is_shown_and_ends_it(make: Make, do: str, text: str) -> None:
    testee = make()
    with pytest.raises(ContractViolation, match=text):
        pad(testee, do)
    assert not testee.alive
    with pytest.raises(TesteeNotStarted, match="after the end of child: it broke the contract"):
        pad(testee, "00")
    testee.restart()
    assert pad(testee, "22")["padded_hex"] == "22"


def test_a_second_reply_is_found_at_the_next_call(make: Make) -> None:
    testee = make()
    pad(testee, "twice")
    with pytest.raises(ContractViolation, match="a reply to request 2, which is not open"):
        pad(testee, "00")


def test_a_crash_tells_exit_code_and_last_words(make: Make) -> None:
    testee = make()
    with pytest.raises(
        TesteeCrashed, match=r"ended with exit code 3\n  stderr:\n.*\n    about to die"
    ) as caught:
        pad(testee, "crash")
    assert caught.value.exit_code == 3
    assert "about to die" in caught.value.stderr_tail
    assert testee.transcript[-1].received == b""
    assert testee.restart().name == "child"
    assert pad(testee, "33")["padded_hex"] == "33"


def test_a_signal_is_named(make: Make) -> None:
    with pytest.raises(TesteeCrashed, match="ended by SIGKILL") as caught:
        pad(make(), "killed")
    assert caught.value.exit_code == -signal.SIGKILL


def test_an_unfinished_line_is_shown(make: Make) -> None:
    with pytest.raises(TesteeCrashed, match=r'exit code 0\n  it had begun to write: {"id": 2, "res'):
        pad(make(), "half")


def test_a_closed_stdout_is_a_crash(make: Make) -> None:
    testee = make(deadlines=Deadlines(bye_s=0.1))
    with pytest.raises(TesteeCrashed, match="closed its pipes") as caught:
        pad(testee, "close")
    assert caught.value.exit_code is None


@pytest.mark.parametrize("do", ["hang", "stubborn"])
def test_a_hang_is_killed_at_the_deadline(make: Make, do: str) -> None:
    testee = make()
    pad(testee, "00")
    pid = testee.pid
    assert pid is not None
    began = time.monotonic()
    with pytest.raises(TesteeHung, match=r"no answer to padding.pad within 0.2 s") as caught:
        pad(testee, do, deadline_s=0.2)
    assert time.monotonic() - began < 3
    assert caught.value.deadline_s == 0.2
    assert not is_running(pid)
    assert not testee.alive
    testee.restart()
    assert pad(testee, "44")["padded_hex"] == "44"


def test_deadlines_depend_on_the_operation() -> None:
    deadlines = Deadlines(stateless_s=1, stateful_s=2, hello_s=3, bye_s=4, bench_extra_s=5)
    given = [deadlines.of(op, {}) for op in ("padding.pad", "client.poll", "reset", "hello", "bye")]
    assert given == [1, 2, 2, 3, 4]
    assert deadlines.of("bench.run", {"seconds": 20}) == 25
    assert Deadlines().stateful_s == 60
    assert Deadlines.local().stateful_s == 5


def test_much_stderr_does_not_block(make: Make) -> None:
    testee = make()
    assert pad(testee, "noise", deadline_s=5)["padded_hex"] == "noise"
    testee.close()
    assert testee.stderr_tail().rstrip().endswith("69")


def test_a_line_of_megabytes_passes_both_ways(make: Make) -> None:
    testee = make()
    assert len(pad(testee, "huge", size=4_000_000)["padded_hex"]) == 8_000_000
    answer = pad(testee, "length", filler="x" * 8_000_000)
    assert int(answer["padded_hex"]) > 8_000_000


def test_two_full_pipes_do_not_wait_for_each_other(make: Make) -> None:
    testee = make(env={"LIMITS": '{"parallel": 4}'})
    calls = [("padding.pad", {"message_hex": "ab" * 500_000}) for _ in range(6)]
    assert all(
        len(answer["padded_hex"]) == 1_000_000
        for answer in testee.call_many(calls)
        if isinstance(answer, Result)
    )


def test_a_line_above_the_limit_is_refused(make: Make) -> None:
    testee = make(max_line=10_000)
    with pytest.raises(ContractViolation, match="the contract allows 10000"):
        pad(testee, "huge", size=100_000)
    testee.restart()
    with pytest.raises(ContractViolation, match="the contract allows 10000"):
        pad(testee, "endless", size=20_000)
    testee.restart()
    with pytest.raises(ValueError, match="a line may have 10000"):
        pad(testee, "x" * 10_000)
    assert testee.alive


def test_a_request_that_was_never_sent_leaves_no_trace(make: Make) -> None:
    testee = make()
    with pytest.raises(TypeError):
        pad(testee, "00", value=object())
    assert pad(testee, "55")["padded_hex"] == "55"


def test_a_child_that_stops_reading_is_found(make: Make) -> None:
    testee = make()
    pad(testee, "deaf")
    with pytest.raises((TesteeCrashed, TesteeHung)):
        pad(testee, "x" * 1_000_000, deadline_s=0.3)
    assert not testee.alive


def test_a_grandchild_ends_with_its_parent(make: Make) -> None:
    testee = make()
    grandchild = int(pad(testee, "grandchild")["padded_hex"])
    assert is_running(grandchild)
    testee.close()
    wait_gone(grandchild)


def test_a_grandchild_ends_with_a_killed_parent(make: Make) -> None:
    testee = make()
    grandchild = int(pad(testee, "grandchild")["padded_hex"])
    with pytest.raises(TesteeHung):
        pad(testee, "hang", deadline_s=0.1)
    wait_gone(grandchild)


def test_events_are_kept_until_taken(make: Make) -> None:
    testee = make()
    pad(testee, "events")
    pad(testee, "events")
    assert [event.data["message"] for event in testee.take_events("log")] == ["hi", "hi"]
    (first, second) = testee.take_events()
    assert (first.kind, first.account, first.data) == ("message", "alice", {"n": 1})
    assert second.kind == "message"
    assert not testee.take_events()


def test_replies_may_come_in_any_order(make: Make) -> None:
    testee = make(env={"LIMITS": '{"parallel": 3}'})
    calls = [("padding.pad", {"message_hex": "hold", "n": n}) for n in range(6)]
    answers = testee.call_many(calls)
    assert all(isinstance(answer, Result) for answer in answers)
    assert [exchange.request["params"]["n"] for exchange in list(testee.transcript)[1:]] == [2, 1, 0, 5, 4, 3]


def test_no_more_requests_are_open_than_allowed(make: Make) -> None:
    testee = make()
    with pytest.raises(TesteeHung):
        testee.call_many([("padding.pad", {"message_hex": "hold"})] * 3, deadline_s=0.3)


def test_answers_of_many_stand_in_their_place(make: Make) -> None:
    testee = make(env={"LIMITS": '{"parallel": 2}'})
    calls = [("padding.pad", {"message_hex": do}) for do in ("00", "rejected", "unsupported", "11")]
    first, second, third, fourth = testee.call_many(calls)
    assert isinstance(first, Result)
    assert isinstance(second, Rejected)
    assert isinstance(third, Unsupported)
    assert isinstance(fourth, Result)
    assert fourth["padded_hex"] == "11"


def test_validation_finds_what_reading_tolerates(make: Make) -> None:
    tolerant, strict = make(), make(validate=True)
    assert pad(tolerant, "zz")["padded_hex"] == "zz"
    with pytest.raises(
        ContractViolation, match=r"the result of padding.pad breaks operations.json.*padded_hex: 'zz'"
    ):
        pad(strict, "zz")
    strict.restart()
    with pytest.raises(ContractViolation, match=r"the reply to padding.pad breaks reply.json: error.code"):
        pad(strict, "odd code")
    strict.restart()
    with pytest.raises(ContractViolation, match=r"the event 'surprise' breaks event.json"):
        pad(strict, "bad event")
    with pytest.raises(Rejected, match="whatever"):
        pad(tolerant, "odd code")


def test_a_command_that_does_not_exist_says_so(tmp_path: Path) -> None:
    testee = StdioTestee([str(tmp_path / "nothing")])
    with pytest.raises(
        TesteeNotStarted, match=r"cannot start '.*nothing': No such file.*\n  hint: it runs in"
    ):
        testee.hello  # noqa: B018
    with pytest.raises(TesteeNotStarted, match="command of the testee is empty"):
        StdioTestee([]).hello  # noqa: B018


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "import sys; sys.exit('no such module')",
            r"did not start: no answer to hello: it ended with exit code 1\n",
        ),
        ("print('Welcome!')", "did not start: stdout carries something that is not JSON"),
        (
            "import json; print(json.dumps({'id': 1, 'result': {'contract': 9, 'name': 'x'}}))",
            "speaks contract 9, this judge speaks 1",
        ),
        (
            "import json; print(json.dumps({'id': 1, 'result': {'contract': 1, 'version': '', 'name': ''}}))",
            "the field 'operations' is missing",
        ),
        (
            "import json; print(json.dumps({'id': 1, 'error': {'kind': 'adapter', 'message': 'oh'}}))",
            "the adapter broke in hello: oh",
        ),
        ("import threading; threading.Event().wait()", "no answer to hello within 0.3 s"),
    ],
)
def test_a_start_that_fails_says_why(code: str, text: str) -> None:
    testee = StdioTestee(
        [sys.executable, "-S", "-c", code],
        name="odd",
        deadlines=Deadlines(hello_s=0.3 if "threading" in code else 10),
    )
    with pytest.raises(TesteeNotStarted, match=text):
        testee.hello  # noqa: B018
    assert not testee.alive
    assert testee.pid is None
