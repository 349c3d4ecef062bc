"""Run one event loop in a thread of its own, for callers that are synchronous."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThreadError(RuntimeError):
    """Say what was awaited when a call into the loop did not end in time, or the loop has ended."""


class LoopThread:
    """Own an event loop (uvloop where it is installed) that runs until :meth:`close`.

    A coroutine is handed over with :meth:`run`, which blocks the calling thread until its result is there.
    """

    def __init__(self, name: str) -> None:
        """Start the thread; ``name`` is what debuggers and errors show."""
        self._name = name
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, for code that schedules callbacks on it."""
        return self._loop

    def run(self, coroutine: Coroutine[Any, Any, T], *, timeout_s: float, waiting_for: str) -> T:
        """Run ``coroutine`` on the loop and return its result; raise LoopThreadError after ``timeout_s``."""
        if not self._thread.is_alive():
            coroutine.close()
            raise LoopThreadError(f"{self._name}: the loop has ended, {waiting_for} cannot be done")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            # On Python >= 3.11 this is the builtin TimeoutError: tell our deadline from one raised inside.
            if future.done():
                raise
            future.cancel()
            raise LoopThreadError(f"{self._name}: waited {timeout_s:g} s for {waiting_for}") from None

    def close(self) -> None:
        """Cancel what still runs, end the loop and join the thread; safe to call twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            # Its threads would wait for work until the whole process ends.
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop: uvloop where it is installed, for its speed and its small TLS connections."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
