"""An adapter in this process behaves like one in a child."""

from collections.abc import Mapping
from typing import Any

import pytest

from session_conformance.contract import (
    AdapterFault,
    ContractViolation,
    Rejected,
    TesteeCrashed,
    TesteeNotStarted,
    Unsupported,
)
from session_conformance.contract.inprocess import InProcessTestee


class MiniAdapter:
    """Answer padding.pad; misbehave when asked to."""

    on_event: Any = None

    def __init__(self) -> None:
        self.calls = 0

    def handle(self, request: dict[str, Any], /) -> Mapping[str, Any]:
        self.calls += 1
        number = request["id"]
        match request["params"].get("do", request["op"]):
            case "hello":
                result: dict[str, Any] = {
                    "name": "mini",
                    "version": "1",
                    "contract": 1,
                    "operations": ["padding.pad"],
                }
            case "raise":
                raise RuntimeError("boom")
            case "reject":
                return {"id": number, "error": {"kind": "rejected", "code": "bad_padding"}}
            case "unsupported":
                return {"id": number, "error": {"kind": "unsupported"}}
            case "adapter":
                return {"id": number, "error": {"kind": "adapter", "message": "oh"}}
            case "bytes":
                result = {"padded_hex": b"\x00"}
            case "tuple":
                result = {"padded_hex": "00", "many": (1, 2)}
            case "wrong id":
                return {"id": number + 1, "result": {}}
            case "list":
                return [number]  # type: ignore[return-value]
            case "event":
                self.on_event({"event": "message", "account": "bob", "data": {"n": 2}})
                result = {}
            case _:
                result = {"padded_hex": "00", "calls": self.calls}
        return {"id": number, "result": result}


@pytest.fixture
def testee() -> InProcessTestee:
    return InProcessTestee(MiniAdapter(), name="mini")


def test_it_answers(testee: InProcessTestee) -> None:
    assert testee.hello.name == "mini"
    assert testee.call("padding.pad", message_hex="")["padded_hex"] == "00"
    assert [exchange.request["op"] for exchange in testee.transcript] == ["hello", "padding.pad"]
    assert testee.transcript[-1].as_json()["reply"]["result"]["padded_hex"] == "00"


@pytest.mark.parametrize(
    ("do", "error"), [("reject", Rejected), ("unsupported", Unsupported), ("adapter", AdapterFault)]
)
def test_errors_of_the_contract(testee: InProcessTestee, do: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        testee.call("padding.pad", do=do)
    assert testee.alive


@pytest.mark.parametrize(("do", "text"), [("wrong id", "not open"), ("list", "not a dict but list")])
def test_broken_replies(testee: InProcessTestee, do: str, text: str) -> None:
    with pytest.raises(ContractViolation, match=text):
        testee.call("padding.pad", do=do)


def test_an_escaped_exception_is_a_crash(testee: InProcessTestee) -> None:
    with pytest.raises(TesteeCrashed, match=r"RuntimeError escaped from handle\(\): boom"):
        testee.call("padding.pad", do="raise")
    assert "boom" in testee.stderr_tail()
    assert not testee.alive
    with pytest.raises(TesteeNotStarted, match="after the end of mini"):
        testee.call("padding.pad")


def test_restart_makes_a_new_adapter(testee: InProcessTestee) -> None:
    for _ in range(3):
        testee.call("padding.pad")
    with pytest.raises(TesteeCrashed):
        testee.call("padding.pad", do="raise")
    testee.restart()
    assert testee.alive
    assert testee.call("padding.pad")["calls"] == 2  # hello, and this call


def test_restart_uses_the_factory() -> None:
    made: list[MiniAdapter] = []

    def factory() -> MiniAdapter:
        made.append(MiniAdapter())
        return made[-1]

    testee = InProcessTestee(MiniAdapter(), factory=factory)
    testee.call("padding.pad")
    testee.restart()
    assert len(made) == 1
    testee.close()
    testee.close()
    with pytest.raises(TesteeNotStarted, match="it was closed"):
        testee.call("padding.pad")


@pytest.mark.parametrize("validate", [False, True])
def test_validation_finds_what_json_cannot_carry(validate: bool) -> None:
    testee = InProcessTestee(MiniAdapter(), validate=validate)
    if validate:
        with pytest.raises(ContractViolation, match=r"JSON cannot carry the reply to padding\.pad"):
            testee.call("padding.pad", message_hex="", do="bytes")
        assert testee.call("padding.pad", message_hex="", do="tuple")["many"] == [1, 2]
    else:
        assert testee.call("padding.pad", do="bytes")["padded_hex"] == b"\x00"
        assert testee.call("padding.pad", do="tuple")["many"] == (1, 2)


def test_events_reach_the_queue(testee: InProcessTestee) -> None:
    testee.call("padding.pad", do="event")
    (event,) = testee.take_events()
    assert (event.kind, event.account, event.data) == ("message", "bob", {"n": 2})


def test_a_failing_hello_does_not_start() -> None:
    class Silent:
        def handle(self, request: dict[str, Any], /) -> Mapping[str, Any]:
            return {"id": request["id"], "error": {"kind": "adapter", "message": "not today"}}

    testee = InProcessTestee(Silent(), name="silent")
    with pytest.raises(TesteeNotStarted, match="silent did not start: the adapter broke in hello: not today"):
        testee.hello  # noqa: B018
    assert not testee.alive


def test_call_many_keeps_the_order(testee: InProcessTestee) -> None:
    answers = testee.call_many([("padding.pad", {}), ("padding.pad", {"do": "reject"}), ("padding.pad", {})])
    assert [type(answer).__name__ for answer in answers] == ["Result", "Rejected", "Result"]
