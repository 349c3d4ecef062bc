"""A node that dies between storing and answering: what the gate decides, and that no answer gets out."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from session_testnet.faults import FaultBook, RuleGate
from session_testnet.services.storage.results import RpcResult
from session_testnet.trace import Trace

if TYPE_CHECKING:
    from conftest import Run

STORED = RpcResult(200, {"hash": "h"})
RULE = {"action": "crash_after_store", "node": "node-01", "times": 1}


def test_the_answer_is_held_back_while_the_node_dies(run: "Run") -> None:
    async def work() -> None:
        killed: list[str] = []
        book, trace = FaultBook(), Trace()
        gate = RuleGate(book, trace, lambda _node, _account: {}, kill=killed.append)
        book.add(RULE)
        answering = asyncio.ensure_future(gate.after("node-01", "store", {}, STORED))
        for _ in range(5):
            await asyncio.sleep(0)
        assert killed == ["node-01"]
        await asyncio.sleep(0)
        assert not answering.done()
        # The engine ends the gate, or the handler with it.
        gate.close()
        assert await answering is STORED
        assert [event["action"] for event in trace.events(kind="fault")] == ["crash_after_store"]
        assert await gate.after("node-01", "store", {}, STORED) is STORED
        assert killed == ["node-01"]

    run(work())


@pytest.mark.parametrize(
    ("node", "method", "result"),
    [
        ("node-02", "store", STORED),
        ("node-01", "retrieve", STORED),
        ("node-01", "store", RpcResult(401, "store signature verification failed")),
    ],
)
def test_nobody_dies_of_anything_else(node: str, method: str, result: RpcResult) -> None:
    killed: list[str] = []
    book = FaultBook()
    gate = RuleGate(book, Trace(), lambda _node, _account: {}, kill=killed.append)
    book.add(RULE)
    assert asyncio.run(gate.after(node, method, {}, result)) is result
    assert killed == []
    assert book.list()[0]["used"] == 0


def test_without_anybody_to_kill_it_the_rule_is_not_used() -> None:
    book = FaultBook()
    gate = RuleGate(book, Trace(), lambda _node, _account: {})
    book.add(RULE)
    assert asyncio.run(gate.after("node-01", "store", {}, STORED)) is STORED
    assert book.list()[0]["used"] == 0
