"""One direction of a proxied connection: bytes pass at once, or late, slowly and not all of them."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from session_testnet.faults.tcp_faults import TcpFault, TcpStrike
from session_testnet.faults.waiting import Sleep, sleep_unless

# How many bytes a lane holds back before it stops reading more.
QUEUE_LIMIT_BYTES: Final = 1024 * 1024
# A slow lane sends this often, so that bytes trickle and do not come in bursts.
_SLICES_A_SECOND: Final = 20
# How late a slow lane may be and still make up for it: timers are never early.
_CATCH_UP_S: Final = 0.1

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes on their way, with what each fault makes of their delay; ``ends`` is what comes after them.

    ``ends`` is a fault that closes the connection here, or True for the end of the stream.
    """

    arrived_s: float
    data: bytes
    delays_s: tuple[tuple[TcpFault, float], ...]
    ends: "TcpFault | bool" = False


class Lane:
    """Carry bytes from one transport to another, as the strikes of its direction have it.

    ``ended(fault)`` is called when everything before an end has been written: with the fault that closes the
    connection, or with None for the end of the stream. ``clock`` is in seconds. Bytes keep their order.
    """

    def __init__(
        self, direction: str, *, clock: Clock, sleep: Sleep, ended: Callable[[TcpFault | None], None]
    ) -> None:
        self.direction = direction
        self.plain = False
        """Whether bytes may go to the target at once, without :meth:`feed`."""
        self.source: asyncio.Transport | None = None
        self.target: asyncio.Transport | None = None
        self._clock = clock
        self._sleep = sleep
        self._ended = ended
        self._strikes: tuple[TcpStrike, ...] = ()
        self._left: list[tuple[TcpStrike, int]] = []
        self._queue: deque[_Piece] = deque()
        self._queued = 0
        self._pump: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._reading = False
        self._free_at_s = 0.0
        self._closed = False

    def open(self, source: asyncio.Transport, target: asyncio.Transport) -> None:
        """Begin to carry, and to read from a source that was paused; what it gave already goes first."""
        self.source, self.target = source, target
        self._throttle()
        self._settle()
        self._start_pump()

    def set_strikes(self, strikes: Sequence[TcpStrike]) -> None:
        """Take these strikes for those before; bytes that were held back by others go on at once."""
        before = {id(strike): left for strike, left in self._left}
        self._strikes = tuple(strike for strike in strikes if strike.fault.goes(self.direction))
        self._left = [
            (strike, before.get(id(strike), strike.ends_after))
            for strike in self._strikes
            if strike.ends_after
        ]
        self._changed.set()
        self._settle()

    def feed(self, data: bytes) -> None:
        """Take bytes from the source."""
        if self._closed:
            return
        ends: TcpFault | bool = False
        if self._left:
            strike, room = min(self._left, key=lambda each: each[1])
            if len(data) >= room:
                data, ends = data[:room], strike.fault
            self._left = [(each, left - len(data)) for each, left in self._left]
        self._enqueue(data, ends, "latency")

    def feed_end(self) -> None:
        """Take the end of the source's stream."""
        if not self._closed:
            self._enqueue(b"", True, "latency", "slow_close")

    def block(self) -> None:
        """Write nothing more until :meth:`unblock`: the target takes bytes more slowly than they come."""
        self._writable.clear()
        self._throttle()

    def unblock(self) -> None:
        """Go on writing."""
        self._writable.set()
        self._throttle()

    def close(self) -> asyncio.Task[None] | None:
        """Drop what is held back and everything that comes; return the task that is ending, if any."""
        self._closed = True
        self.plain = False
        self._queue.clear()
        self._queued = 0
        pump = self._pump
        # A lane that ends its connection itself must not cancel what it is just doing.
        if pump is not None and pump is not asyncio.current_task():
            pump.cancel()
        return pump

    def _enqueue(self, data: bytes, ends: "TcpFault | bool", *delaying: str) -> None:
        delays = tuple(
            (strike.fault, strike.delay_s()) for strike in self._strikes if strike.fault.action in delaying
        )
        idle = self.target is not None and self._pump is None and self._writable.is_set()
        if idle and not delays and self._rate() is None:
            self._write(data)
            if ends:
                self._end(ends)
            return
        self._queue.append(_Piece(self._clock(), data, delays, ends))
        self._queued += len(data)
        self.plain = False
        self._throttle()
        self._start_pump()

    def _start_pump(self) -> None:
        if self._queue and self._pump is None and self.target is not None:
            self._pump = asyncio.create_task(self._pump_queue(), name=f"lane {self.direction}")

    async def _pump_queue(self) -> None:
        try:
            while self._queue:
                piece = self._queue[0]
                await self._until_due(piece)
                await self._send(piece.data)
                if not self._queue:
                    return
                self._queue.popleft()
                self._queued -= len(piece.data)
                self._throttle()
                if piece.ends:
                    self._end(piece.ends)
        finally:
            self._pump = None
            self._settle()

    async def _until_due(self, piece: _Piece) -> None:
        """Wait as long as the faults that are still there hold a piece back."""
        while True:
            active = [strike.fault for strike in self._strikes]
            delay_s = sum(delay_s for fault, delay_s in piece.delays_s if fault in active)
            if await self._passed(piece.arrived_s + delay_s):
                return

    async def _send(self, data: bytes) -> None:
        """Write bytes no faster than the slowest fault allows and the target takes them."""
        rest = memoryview(data)
        while rest:
            rate = self._rate()
            size = len(rest)
            if rate is not None:
                size = max(1, min(size, rate // _SLICES_A_SECOND))
                now = self._clock()
                begin = self._free_at_s if now - self._free_at_s < _CATCH_UP_S else now
                if not await self._passed(begin + size / rate):
                    continue
                self._free_at_s = begin + size / rate
            await self._writable.wait()
            if self._closed:
                return
            self._write(bytes(rest[:size]))
            rest = rest[size:]

    async def _passed(self, when_s: float) -> bool:
        """Wait until a time; False when the strikes changed before."""
        self._changed.clear()
        left_s = when_s - self._clock()
        if left_s <= 0:
            return True
        await sleep_unless(self._changed, left_s, self._sleep)
        return self._clock() >= when_s and not self._changed.is_set()

    def _rate(self) -> int | None:
        return min(
            (
                strike.fault.bytes_per_second
                for strike in self._strikes
                if strike.fault.bytes_per_second is not None
            ),
            default=None,
        )

    def _write(self, data: bytes) -> None:
        if data and self.target is not None and not self.target.is_closing():
            self.target.write(data)

    def _end(self, ends: "TcpFault | bool") -> None:
        self._ended(None if isinstance(ends, bool) else ends)

    def _settle(self) -> None:
        """Let bytes pass at once again when nothing is left to do to them."""
        self.plain = not (self._closed or self._strikes or self._queue or self.target is None)

    def _throttle(self) -> None:
        """Stop reading while too much is held back, and go on when half of it is gone."""
        limit = QUEUE_LIMIT_BYTES if self._reading else QUEUE_LIMIT_BYTES // 2
        # What is queued waits for the target by itself; what passes at once must not pile up in it.
        wanted = self._queued <= limit and (self._writable.is_set() or bool(self._queue))
        if wanted == self._reading or self.source is None or self.source.is_closing():
            return
        self._reading = wanted
        if wanted:
            self.source.resume_reading()
        else:
            self.source.pause_reading()
