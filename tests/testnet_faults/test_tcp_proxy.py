"""The proxy over real sockets, on both kinds of loops: what clients and the service see of each fault."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from session_testnet.endpoints import bind_socket
from session_testnet.faults.keys import FaultError
from session_testnet.faults.tcp_faults import StrikeCounts, TcpFault, TcpStrike
from session_testnet.faults.tcp_lane import QUEUE_LIMIT_BYTES
from session_testnet.faults.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from conftest import Echo, EchoService, ManualTime, Run

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Rig:
    """A proxy in front of an echo service, and clients that are closed at the end."""

    def __init__(self, proxy: TcpProxy, echo: "Echo", time: "ManualTime") -> None:
        self.proxy = proxy
        self.echo = echo
        self.time = time
        self._clients: list[asyncio.StreamWriter] = []

    async def connect(self) -> Streams:
        reader, writer = await asyncio.open_connection(*self.proxy.address)
        self._clients.append(writer)
        return reader, writer

    async def ask(self, streams: Streams, text: bytes) -> bytes:
        """Send a text and return as many bytes of the answer."""
        reader, writer = streams
        writer.write(text)
        return await reader.readexactly(len(text))

    async def outcome(self) -> str:
        """Connect, ask, and tell how it ended."""
        try:
            reader, writer = await self.connect()
            writer.write(b"hello")
            answer = await reader.read(5)
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "reset"
        return "answer" if answer else "end"

    def close(self) -> None:
        for writer in self._clients:
            writer.transport.abort()


Work = Callable[[Rig], Coroutine[Any, Any, None]]
OnProxy = Callable[..., None]


@pytest.fixture
def on_proxy(run: "Run", echo_service: "EchoService", manual_time: "type[ManualTime]") -> OnProxy:
    """Do some work on a proxy with these faults; its time is moved by hand."""

    @contextlib.asynccontextmanager
    async def rig(faults: tuple[TcpFault, ...], options: dict[str, Any]) -> AsyncIterator[Rig]:
        time = manual_time()
        async with echo_service() as echo:
            proxy = TcpProxy(
                bind_socket("127.0.0.1"), echo.address, clock=time.clock, sleep=time.sleep, **options
            )
            proxy.set_faults(faults)
            proxy.start()
            made = Rig(proxy, echo, time)
            try:
                yield made
            finally:
                made.close()
                await proxy.close()
                assert proxy.open_connections == 0

    def do(work: Work, *faults: TcpFault, **options: Any) -> None:
        async def whole() -> None:
            async with rig(faults, options) as made:
                await work(made)

        run(whole())

    return do


class TestWithoutFaults:
    def test_bytes_pass_both_ways_unchanged(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            streams = await rig.connect()
            assert await rig.ask(streams, b"hello") == b"hello"
            payload = os.urandom(3_000_000)
            sending = asyncio.ensure_future(rig.ask(streams, payload))
            assert await sending == payload
            assert b"".join(rig.echo.received) == b"hello" + payload

        on_proxy(work)

    def test_the_end_of_one_direction_leaves_the_other_open(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            reader, writer = await rig.connect()
            writer.write(b"last words")
            writer.write_eof()
            assert await reader.read() == b"last words"
            assert await rig.echo.ends.get() == "end"

        on_proxy(work)

    def test_a_reset_by_the_client_is_one_for_the_service(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            streams = await rig.connect()
            await rig.ask(streams, b"hello")
            _reset(streams[1])
            assert await rig.echo.ends.get() == "reset"

        on_proxy(work)

    def test_a_reset_by_the_service_is_one_for_the_client(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            streams = await rig.connect()
            await rig.ask(streams, b"hello")
            _reset(rig.echo.writers[0])
            with pytest.raises(ConnectionResetError):
                await streams[0].read()

        on_proxy(work)

    def test_a_service_that_is_not_there_ends_the_connection(self, run: "Run") -> None:
        async def work() -> None:
            with bind_socket("127.0.0.1") as closed:
                address = closed.getsockname()
            proxy = TcpProxy(bind_socket("127.0.0.1"), address)
            proxy.start()
            reader, writer = await asyncio.open_connection(*proxy.address)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            await proxy.close()
            assert proxy.open_connections == 0

        run(work())

    def test_a_client_is_held_back_until_the_service_is_reached(
        self, on_proxy: OnProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def work(rig: Rig) -> None:
            may_reach, reach = asyncio.Event(), rig.proxy._reach_service

            async def reach_late() -> socket.socket | None:
                await may_reach.wait()
                return await reach()

            monkeypatch.setattr(rig.proxy, "_reach_service", reach_late)
            payload = os.urandom(5_000_000)
            asking = asyncio.ensure_future(rig.ask(await rig.connect(), payload))
            await _until(lambda: rig.proxy.open_connections == 1)
            for _ in range(300):
                await asyncio.sleep(0)
            assert rig.proxy._connections[1]._up._queued <= QUEUE_LIMIT_BYTES
            may_reach.set()
            assert await asking == payload

        on_proxy(work)

    def test_closing_ends_connections_and_leaves_no_socket(
        self, run: "Run", echo_service: "EchoService"
    ) -> None:
        async def work() -> None:
            async with echo_service() as echo:
                before = _open_files()
                proxy = TcpProxy(bind_socket("127.0.0.1"), echo.address)
                proxy.set_faults([TcpFault("latency", delay_ms=600_000, direction="down")])
                proxy.start()
                clients = [await asyncio.open_connection(*proxy.address) for _ in range(3)]
                for _, writer in clients:
                    writer.write(b"hello")
                for _ in clients:
                    await echo.connected.wait()
                await proxy.close()
                await proxy.close()
                for reader, writer in clients:
                    with contextlib.suppress(ConnectionResetError):
                        assert await reader.read() == b""
                    writer.close()
                    with contextlib.suppress(ConnectionResetError):
                        await writer.wait_closed()
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection(*proxy.address)
                await _until(lambda: _open_files() <= before)

        run(work())


class TestEnds:
    @pytest.mark.parametrize(("action", "outcome"), [("disconnect", "end"), ("reset", "reset")])
    def test_a_new_connection_ends_at_once(self, on_proxy: OnProxy, action: str, outcome: str) -> None:
        async def work(rig: Rig) -> None:
            assert [await rig.outcome() for _ in range(3)] == [outcome, "answer", "answer"]
            assert rig.proxy.open_connections

        on_proxy(work, TcpFault(action, id="once", times=1))

    @pytest.mark.parametrize(("action", "outcome"), [("disconnect", "end"), ("reset", "reset")])
    def test_an_open_connection_ends_too(self, on_proxy: OnProxy, action: str, outcome: str) -> None:
        async def work(rig: Rig) -> None:
            streams = await rig.connect()
            await rig.ask(streams, b"hello")
            rig.proxy.set_faults([TcpFault(action, id="now")])
            if action == "reset":
                with pytest.raises(ConnectionResetError):
                    await streams[0].read()
            else:
                assert await streams[0].read() == b""
                streams[1].close()
            assert await rig.echo.ends.get() == outcome

        on_proxy(work)

    def test_an_answer_is_cut_after_so_many_bytes(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            reader, writer = await rig.connect()
            writer.write(b"x" * 1000)
            assert await reader.read() == b"x" * 300

        on_proxy(work, TcpFault("cut_after", after_bytes=300, direction="down"))

    def test_a_request_is_cut_after_so_many_bytes(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            _, writer = await rig.connect()
            writer.write(b"x" * 1000)
            assert await rig.echo.ends.get() == "end"
            assert b"".join(rig.echo.received) == b"x" * 300

        on_proxy(work, TcpFault("cut_after", after_bytes=300, direction="up"))

    def test_a_place_that_is_drawn_is_the_same_each_time(
        self, on_proxy: OnProxy, manual_time: "type[ManualTime]"
    ) -> None:
        places: list[list[int]] = []

        async def work(rig: Rig) -> None:
            run: list[int] = []
            for _ in range(5):
                reader, writer = await rig.connect()
                writer.write(b"x" * 1000)
                run.append(len(await reader.read()))
            places.append(run)

        fault = TcpFault("disconnect", id="somewhere", within_bytes=1000, direction="down")
        for seed in ("a", "a", "b"):
            on_proxy(work, fault, seed=seed)
        assert places[0] == places[1] != places[2]
        assert all(1 <= place <= 1000 for run in places for place in run)
        assert len(set(places[0])) > 1

    def test_the_end_after_an_answer_can_come_late(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            reader, writer = await rig.connect()
            writer.write(b"hello")
            writer.write_eof()
            assert await reader.readexactly(5) == b"hello"
            assert await rig.echo.ends.get() == "end"
            ending = asyncio.ensure_future(reader.read())
            await rig.time.advance(4)
            assert not ending.done()
            await _until_moved(rig, 4, ending.done)
            assert await ending == b""

        on_proxy(work, TcpFault("slow_close", delay_ms=5000, direction="down"))


class TestHalfOpen:
    def test_a_new_connection_is_accepted_and_never_answered(self, on_proxy: OnProxy) -> None:
        met: list[TcpStrike] = []

        async def work(rig: Rig) -> None:
            reader, writer = await rig.connect()
            await _until(lambda: bool(met))
            # More than buffers hold: everything is swallowed, and no client is held back.
            writer.write(bytes(20_000_000))
            await writer.drain()
            assert not rig.echo.connected.is_set()
            rig.proxy.set_faults([])
            # What is half open stays so: the service knows nothing of it.
            writer.write(b"still there?")
            with pytest.raises(ConnectionResetError):
                await reader.read()

        on_proxy(work, TcpFault("half_open"), on_strike=met.append)

    def test_an_open_connection_loses_its_service(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            reader, writer = streams = await rig.connect()
            await rig.ask(streams, b"hello")
            rig.proxy.set_faults([TcpFault("half_open")])
            assert await rig.echo.ends.get() == "end"
            writer.write(b"lost")
            writer.write_eof()
            assert await reader.read() == b""
            assert rig.echo.received == [b"hello"]

        on_proxy(work)


class TestRefuse:
    def test_a_closed_port_refuses_and_opens_again(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            old = await rig.connect()
            await rig.ask(old, b"hello")
            rig.proxy.set_faults([TcpFault("refuse", id="shut")])
            assert [await rig.outcome() for _ in range(3)] == ["refused"] * 3
            assert await rig.ask(old, b"still open") == b"still open"
            rig.proxy.set_faults([])
            assert await rig.outcome() == "answer"

        on_proxy(work)

    def test_a_proxy_can_start_closed(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            assert await rig.outcome() == "refused"
            rig.proxy.set_faults([])
            assert await rig.outcome() == "answer"

        on_proxy(work, TcpFault("refuse"))

    def test_only_some_connections_are_refused(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            assert [await rig.outcome() for _ in range(4)] == ["reset", "reset", "answer", "answer"]

        on_proxy(work, TcpFault("refuse", id="twice", times=2))

    def test_a_port_that_is_lost_is_told(self, run: "Run", echo_service: "EchoService") -> None:
        async def work() -> None:
            async with echo_service() as echo:
                proxy = TcpProxy(bind_socket("127.0.0.1"), echo.address)
                proxy.start()
                proxy.set_faults([TcpFault("refuse")])
                with (
                    bind_socket("127.0.0.1", proxy.address[1]),
                    pytest.raises(FaultError, match="another program has taken it"),
                ):
                    proxy.set_faults([])
                await proxy.close()

        run(work())


class TestDelays:
    def test_an_answer_waits_for_the_clock(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            streams = await rig.connect()
            asking = asyncio.ensure_future(rig.ask(streams, b"hello"))
            await rig.echo.connected.wait()
            await rig.time.advance(0.1)
            assert not asking.done()
            await _until_moved(rig, 1, asking.done)
            assert await asking == b"hello"

        on_proxy(work, TcpFault("latency", delay_ms=250))

    def test_a_delay_ends_with_its_fault(self, on_proxy: OnProxy) -> None:
        async def work(rig: Rig) -> None:
            streams = await rig.connect()
            assert await rig.ask(streams, b"quick") == b"quick"
            slow = TcpFault("latency", id="slow", delay_ms=600_000, direction="down")
            rig.proxy.set_faults([slow])
            asking = asyncio.ensure_future(rig.ask(streams, b"hello"))
            await _until(lambda: b"hello" in rig.echo.received)
            assert not asking.done()
            rig.proxy.set_faults([])
            assert await asking == b"hello"

        on_proxy(work)


class TestChance:
    def test_the_same_connections_meet_the_same_faults(self, on_proxy: OnProxy) -> None:
        runs: list[list[str]] = []
        met: list[TcpStrike] = []

        async def work(rig: Rig) -> None:
            runs.append([await rig.outcome() for _ in range(25)])

        fault = TcpFault("reset", id="sometimes", probability=0.5)
        for seed in ("a", "a", "b"):
            on_proxy(work, fault, seed=seed, on_strike=met.append)
        assert runs[0] == runs[1] != runs[2]
        assert len(met) == sum(outcome == "reset" for run in runs for outcome in run) > 0
        struck = {strike.connection for strike in met[: runs[0].count("reset")]}
        assert struck == {number for number, outcome in enumerate(runs[0], 1) if outcome == "reset"}

    def test_a_fault_that_stays_is_not_drawn_again(self, on_proxy: OnProxy) -> None:
        met: list[TcpStrike] = []
        stays = TcpFault("latency", id="stays", delay_ms=0)

        async def work(rig: Rig) -> None:
            streams = await rig.connect()
            await rig.ask(streams, b"hello")
            for _ in range(3):
                rig.proxy.set_faults([stays])
            assert await rig.ask(streams, b"hello") == b"hello"
            assert len(met) == 1

        on_proxy(work, stays, on_strike=met.append)

    def test_services_share_the_count_of_a_fault(
        self, run: "Run", echo_service: "EchoService", manual_time: "type[ManualTime]"
    ) -> None:
        async def work() -> None:
            counts, fault = StrikeCounts(), TcpFault("reset", id="one of all", times=1)
            async with echo_service() as echo:
                rigs: list[Rig] = []
                for _ in range(2):
                    proxy = TcpProxy(bind_socket("127.0.0.1"), echo.address, counts=counts)
                    proxy.set_faults([fault])
                    proxy.start()
                    rigs.append(Rig(proxy, echo, manual_time()))
                assert [await rig.outcome() for rig in rigs] == ["reset", "answer"]
                for rig in rigs:
                    rig.close()
                    await rig.proxy.close()

        run(work())


def _reset(writer: asyncio.StreamWriter) -> None:
    """Reset a connection from here."""
    endpoint = writer.get_extra_info("socket")
    with socket.socket(fileno=os.dup(endpoint.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for what sockets bring; the run as a whole has a deadline."""
    while not condition():  # noqa: ASYNC110 - sockets set no event of ours
        await asyncio.sleep(0.001)


async def _until_moved(rig: Rig, seconds: float, condition: Callable[[], bool]) -> None:
    """Wait for what sockets bring while the clock is moved on."""
    while not condition():
        await rig.time.advance(seconds)
        await asyncio.sleep(0.001)
