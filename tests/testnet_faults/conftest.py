"""Time that tests move by hand, and a service of plain bytes to put a proxy in front of."""

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvloop

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=sorted(LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on each kind of loop, with a deadline, and see that it leaves no task behind."""

    async def alone(work: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(30):
            await work
        # A task that was told to end still takes a turn of the loop.
        await ManualTime.settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def run_on_loop(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(alone(work))

    return run_on_loop


class ManualTime:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def clock(self) -> float:
        return self.now

    @staticmethod
    async def settle() -> None:
        """Let everything happen that waits for nothing."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.now + seconds, self._count, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move the clock, and wake everybody whose time comes, in order."""
        await ManualTime.settle()
        until = self.now + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await ManualTime.settle()
        self.now = until
        await ManualTime.settle()


class Echo:
    """A service that sends back what it gets, and notes how each connection ended."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []
        self.connected = asyncio.Event()
        self.address = ("127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.connected.set()
        try:
            while data := await reader.read(65536):
                self.received.append(data)
                writer.write(data)
                await writer.drain()
            self.ends.put_nowait("end")
        except OSError:
            self.ends.put_nowait("reset")
        finally:
            writer.close()


@pytest.fixture(scope="session")
def manual_time() -> type[ManualTime]:
    return ManualTime


@pytest.fixture(scope="session")
def echo_service() -> "EchoService":
    return _echo_service


EchoService = Callable[[], contextlib.AbstractAsyncContextManager[Echo]]


@contextlib.asynccontextmanager
async def _echo_service() -> AsyncIterator[Echo]:
    """Serve an :class:`Echo` for as long as the context lasts."""
    echo = Echo()
    server = await asyncio.start_server(echo._serve, *echo.address)
    echo.address = server.sockets[0].getsockname()[:2]
    try:
        yield echo
    finally:
        server.close()
        for writer in echo.writers:
            writer.transport.abort()
        await server.wait_closed()
        await ManualTime.settle()
