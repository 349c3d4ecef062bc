"""A loop in a thread: results, errors and deadlines come through to the synchronous side."""

import asyncio

import pytest

from session_testnet.loop_thread import LoopThread, LoopThreadError


async def echo(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def fail() -> None:
    raise KeyError("inside")


async def time_out() -> None:
    raise TimeoutError("its own deadline")


async def wait_for_ever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("cancelled")


def test_results_and_errors_come_through() -> None:
    thread = LoopThread("test")
    try:
        assert thread.run(echo(7), timeout_s=5, waiting_for="an echo") == 7
        with pytest.raises(KeyError, match="inside"):
            thread.run(fail(), timeout_s=5, waiting_for="a failure")
        with pytest.raises(TimeoutError, match="its own deadline"):
            thread.run(time_out(), timeout_s=5, waiting_for="a time-out")
    finally:
        thread.close()


def test_a_deadline_says_what_was_awaited_and_cancels_it() -> None:
    thread = LoopThread("test")
    ended: list[str] = []
    with pytest.raises(LoopThreadError, match=r"waited 0\.01 s for Godot"):
        thread.run(wait_for_ever(ended), timeout_s=0.01, waiting_for="Godot")
    thread.close()
    assert ended == ["cancelled"]


def test_closing_cancels_what_runs() -> None:
    thread = LoopThread("test")
    ended: list[str] = []

    async def start() -> None:
        ended.append("started")
        task = asyncio.create_task(wait_for_ever(ended))
        ended_with[0] = task
        await asyncio.sleep(0)

    ended_with: list[asyncio.Task[None] | None] = [None]
    thread.run(start(), timeout_s=5, waiting_for="the start")
    thread.close()
    thread.close()
    assert ended == ["started", "cancelled"]
    with pytest.raises(LoopThreadError, match="the loop has ended"):
        thread.run(echo(1), timeout_s=1, waiting_for="an echo")
