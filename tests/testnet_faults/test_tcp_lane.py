"""One direction of a connection, with time moved by hand: when bytes go on, how fast, and how many."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_testnet.faults.tcp_faults import TcpFault, TcpStrike
from session_testnet.faults.tcp_lane import QUEUE_LIMIT_BYTES, Lane

if TYPE_CHECKING:
    from conftest import ManualTime


class Pipe:
    """Stand for a transport: note what is written, and whether it is read from."""

    def __init__(self) -> None:
        self.written = b""
        self.reading = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def resume_reading(self) -> None:
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False


class Rig:
    """A lane between two pipes."""

    def __init__(self, time: "ManualTime", *faults: TcpFault) -> None:
        self.time = time
        self.source, self.target = Pipe(), Pipe()
        self.ends: list[TcpFault | None] = []
        self.lane = Lane("up", clock=self.time.clock, sleep=self.time.sleep, ended=self.ends.append)
        self.strike(*faults)
        self.lane.open(cast("asyncio.Transport", self.source), cast("asyncio.Transport", self.target))

    def strike(self, *faults: TcpFault) -> None:
        strikes = [fault.meet("seed", 1) for fault in faults]
        self.lane.set_strikes([cast("TcpStrike", strike) for strike in strikes])

    async def close(self) -> None:
        pump = self.lane.close()
        if pump is not None:
            await asyncio.gather(pump, return_exceptions=True)


class OnRig(Protocol):
    """Do some work on a new rig with these faults."""

    def __call__(self, work: Callable[[Rig], Coroutine[Any, Any, None]], *faults: TcpFault) -> None: ...


@pytest.fixture(scope="session")
def on_rig(manual_time: "type[ManualTime]") -> OnRig:
    def do(work: Callable[[Rig], Coroutine[Any, Any, None]], *faults: TcpFault) -> None:
        async def whole() -> None:
            rig = Rig(manual_time(), *faults)
            await work(rig)
            await rig.close()

        asyncio.run(whole())

    return do


def test_latency_delays_every_piece_and_the_end_by_as_much(on_rig: OnRig) -> None:
    async def work(rig: Rig) -> None:
        rig.lane.feed(b"one")
        await rig.time.advance(0.25)
        rig.lane.feed(b"two")
        rig.lane.feed_end()
        await rig.time.advance(0.125)
        assert rig.target.written == b""
        await rig.time.advance(0.125)
        assert rig.target.written == b"one"
        await rig.time.advance(0.125)
        assert rig.target.written == b"one"
        assert rig.ends == []
        await rig.time.advance(0.125)
        assert rig.target.written == b"onetwo"
        assert rig.ends == [None]

    on_rig(work, TcpFault("latency", delay_ms=500))


def test_a_fault_of_the_other_direction_changes_nothing(on_rig: OnRig) -> None:
    async def work(rig: Rig) -> None:
        assert rig.lane.plain
        rig.lane.feed(b"one")
        assert rig.target.written == b"one"

    on_rig(work, TcpFault("latency", delay_ms=500, direction="down"))


def test_bandwidth_is_what_it_says(on_rig: OnRig) -> None:
    async def work(rig: Rig) -> None:
        rig.lane.feed(b"x" * 3000)
        for second in (1, 2, 3):
            await rig.time.advance(1)
            assert len(rig.target.written) == pytest.approx(1000 * second, abs=51)
        await rig.time.advance(0.1)
        assert len(rig.target.written) == 3000

    on_rig(work, TcpFault("bandwidth", bytes_per_second=1000))


def test_the_slowest_of_several_bandwidths_counts(on_rig: OnRig) -> None:
    async def work(rig: Rig) -> None:
        rig.lane.feed(b"x" * 100)
        await rig.time.advance(1)
        assert len(rig.target.written) == 10

    on_rig(work, TcpFault("bandwidth", bytes_per_second=50), TcpFault("bandwidth", bytes_per_second=10))


def test_clearing_a_fault_lets_go_of_what_it_held(on_rig: OnRig) -> None:
    async def work(rig: Rig) -> None:
        rig.lane.feed(b"late")
        await rig.time.advance(1)
        assert rig.target.written == b""
        rig.strike()
        await rig.time.settle()
        assert rig.target.written == b"late"
        assert rig.lane.plain
        rig.strike(TcpFault("bandwidth", bytes_per_second=1))
        rig.lane.feed(b"slow")
        await rig.time.advance(1)
        rig.strike()
        await rig.time.settle()
        assert rig.target.written == b"lateslow"

    on_rig(work, TcpFault("latency", delay_ms=600_000))


def test_an_end_comes_late_after_bytes_that_came_at_once(on_rig: OnRig) -> None:
    async def work(rig: Rig) -> None:
        rig.lane.feed(b"all")
        rig.lane.feed_end()
        assert rig.target.written == b"all"
        await rig.time.advance(4.9)
        assert rig.ends == []
        await rig.time.advance(0.1)
        assert rig.ends == [None]

    on_rig(work, TcpFault("slow_close", delay_ms=5000))


def test_bytes_are_counted_from_when_the_fault_came(on_rig: OnRig) -> None:
    cut = TcpFault("cut_after", after_bytes=5)

    async def work(rig: Rig) -> None:
        rig.lane.feed(b"before")
        rig.strike(cut)
        rig.lane.feed(b"123")
        assert rig.ends == []
        rig.lane.feed(b"4567")
        assert rig.target.written == b"before12345"
        assert rig.ends == [cut]

    on_rig(work)


def test_a_source_rests_while_its_target_is_full(on_rig: OnRig) -> None:
    async def work(rig: Rig) -> None:
        assert rig.source.reading
        rig.lane.block()
        assert not rig.source.reading
        rig.lane.feed(b"on its way")
        await rig.time.settle()
        assert rig.target.written == b""
        rig.lane.unblock()
        await rig.time.settle()
        assert rig.source.reading
        assert rig.target.written == b"on its way"

    on_rig(work)


def test_a_source_rests_while_too_much_is_held_back(on_rig: OnRig) -> None:
    async def work(rig: Rig) -> None:
        piece = b"x" * (QUEUE_LIMIT_BYTES // 4)
        for _ in range(4):
            rig.lane.feed(piece)
            assert rig.source.reading
        rig.lane.feed(piece)
        assert not rig.source.reading
        await rig.time.advance(1)
        assert rig.source.reading
        assert len(rig.target.written) == 5 * len(piece)

    on_rig(work, TcpFault("latency", delay_ms=1000))


def test_what_comes_before_the_target_is_there_goes_first(manual_time: "type[ManualTime]") -> None:
    async def work() -> None:
        time, target = manual_time(), Pipe()
        lane = Lane("up", clock=time.clock, sleep=time.sleep, ended=lambda _fault: None)
        lane.set_strikes([])
        lane.feed(b"early ")
        assert not lane.plain
        lane.open(cast("asyncio.Transport", Pipe()), cast("asyncio.Transport", target))
        lane.feed(b"bird")
        await time.settle()
        assert target.written == b"early bird"
        assert lane.plain

    asyncio.run(work())


FAULTS = st.lists(
    st.builds(
        TcpFault,
        st.just("latency"),
        delay_ms=st.integers(0, 300),
        jitter_ms=st.integers(0, 300),
        seed=st.integers(0, 9),
    )
    | st.builds(TcpFault, st.just("bandwidth"), bytes_per_second=st.integers(10, 100_000))
    | st.builds(TcpFault, st.just("slow_close"), delay_ms=st.integers(0, 500)),
    max_size=3,
)
STEPS = st.lists(
    st.binary(min_size=1, max_size=60) | st.sampled_from([0.01, 0.2, 2.0]) | FAULTS | st.booleans(),
    max_size=12,
)


@given(faults=FAULTS, steps=STEPS, cut=st.none() | st.integers(1, 200))
@settings(max_examples=60)
def test_every_byte_arrives_in_order_up_to_a_cut(
    on_rig: OnRig, faults: list[TcpFault], steps: list[Any], cut: int | None
) -> None:
    """Whatever is fed, changed, blocked or waited for in between."""
    ending = [] if cut is None else [TcpFault("cut_after", id="cut", after_bytes=cut)]
    strike = [cast("TcpStrike", fault.meet("seed", 1)) for fault in ending]

    async def work(rig: Rig) -> None:
        def set_faults(changed: list[TcpFault]) -> None:
            others = [cast("TcpStrike", fault.meet("seed", 1)) for fault in changed]
            rig.lane.set_strikes([*strike, *others])

        set_faults(faults)
        sent = b""
        for step in steps:
            match step:
                case bytes():
                    sent += step
                    rig.lane.feed(step)
                case bool():
                    rig.lane.block() if step else rig.lane.unblock()
                case float():
                    await rig.time.advance(step)
                case list():
                    set_faults(step)
            assert sent.startswith(rig.target.written)
        rig.lane.unblock()
        rig.lane.feed_end()
        await rig.time.advance(1000)
        if cut is None or len(sent) < cut:
            assert rig.target.written == sent
            assert rig.ends == [None]
        else:
            assert rig.target.written == sent[:cut]
            assert rig.ends[:1] == ending

    on_rig(work)
