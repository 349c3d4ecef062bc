"""One proxied connection: a client's side, a service's side, a lane in each direction."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final, cast

from session_testnet.faults.tcp_faults import DOWN, UP, TcpFault, TcpStrike
from session_testnet.faults.tcp_lane import Clock, Lane
from session_testnet.faults.waiting import Sleep

# How long a side that was told the end of its stream may take to end its own.
LINGER_S: Final = 2.0

_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)


def reset_at_close(endpoint: socket.socket) -> None:
    """Let the close of a socket be a reset (RST) instead of an orderly end."""
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)


class Side(asyncio.Protocol):
    """The transport to a client or to a service; reading begins when the connection says so."""

    def __init__(self, endpoint: socket.socket, outgoing: Lane, incoming: Lane, lost: "Lost") -> None:
        """Take the lane that carries on what is read here, and the one that writes here."""
        self.transport: asyncio.Transport | None = None
        self.gone = asyncio.Event()
        self._endpoint = endpoint
        self._outgoing = outgoing
        self._incoming = incoming
        self._lost = lost
        self._discarding = False
        self._heard_end = False
        self._dead = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, paused."""
        # The transport of a stream, whatever its class: not every loop's is an asyncio.Transport.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the lane."""
        lane = self._outgoing
        if self._discarding:
            if self._dead:
                self.reset()
        elif lane.plain and lane.target is not None:
            lane.target.write(data)
        else:
            lane.feed(data)
            if lane.target is None and self.transport is not None:
                # uvloop begins to read in spite of the first pause, and takes a second one for done.
                self.transport.resume_reading()
                self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Hand the end of the stream to the lane; the other direction goes on."""
        self._heard_end = True
        if self._discarding:
            return False
        self._outgoing.feed_end()
        return True

    def pause_writing(self) -> None:
        """Hold the lane that writes here back."""
        self._incoming.block()

    def resume_writing(self) -> None:
        """Let the lane that writes here go on."""
        self._incoming.unblock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the connection, and whoever waits for the end."""
        if self._deadline is not None:
            self._deadline.cancel()
        self.gone.set()
        self._lost(self, exc)

    def end_stream(self) -> None:
        """Tell the other side that nothing more comes; it may still send."""
        if self.transport is not None and not self.transport.is_closing():
            # The other side may be gone without our having noticed.
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def swallow(self) -> None:
        """Read what comes, for nobody, until the other side ends."""
        self._discarding = True
        if self.transport is None or self.transport.is_closing():
            return
        if self._heard_end:
            self.transport.close()
        else:
            self.transport.resume_reading()

    def die(self) -> None:
        """Answer the next bytes with a reset, as a machine that has forgotten the connection."""
        self._dead = True

    def finish(self) -> None:
        """Close in an orderly way: what was written arrives, and so does the end.

        Closing with unread bytes would reset the connection, so they are read until the other side ends too,
        at most for a while.
        """
        if self.transport is None or self.transport.is_closing():
            return
        self.end_stream()
        self.swallow()
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(LINGER_S, self.transport.abort)

    def reset(self) -> None:
        """Close with a reset; nothing that waits is sent any more."""
        if self.transport is not None and not self.gone.is_set():
            reset_at_close(self._endpoint)
            self.transport.abort()

    def close(self) -> None:
        """Close after what was written; nothing happens if it is closed."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once; nothing happens if it is closed."""
        if self.transport is not None:
            self.transport.abort()


Lost = Callable[[Side, Exception | None], None]


class Connection:
    """A client's connection and the one to the service behind it; strikes say what happens between them.

    ``number`` counts a proxy's connections from 1; ``ended`` is called when both sides are gone.
    """

    def __init__(
        self,
        number: int,
        *,
        clock: Clock,
        sleep: Sleep,
        ended: Callable[["Connection"], None],
    ) -> None:
        self.number = number
        self.strikes: tuple[TcpStrike, ...] = ()
        self._ended = ended
        self._up = Lane(UP, clock=clock, sleep=sleep, ended=lambda by: self._lane_ended(UP, by))
        self._down = Lane(DOWN, clock=clock, sleep=sleep, ended=lambda by: self._lane_ended(DOWN, by))
        self._client: Side | None = None
        self._service: Side | None = None
        self._streams_ended: set[str] = set()
        self._closing = False
        self._half_open = False

    @property
    def wants_service(self) -> bool:
        """Tell whether the connection is still to be led to the service."""
        return not (self._closing or self._half_open)

    def client_side(self, endpoint: socket.socket) -> Side:
        """Make the protocol of the client's transport."""
        self._client = Side(endpoint, self._up, self._down, self._lost)
        return self._client

    def service_side(self, endpoint: socket.socket) -> Side:
        """Make the protocol of the service's transport."""
        self._service = Side(endpoint, self._down, self._up, self._lost)
        return self._service

    def join(self) -> None:
        """Let bytes pass now that both sides are connected, unless the connection has ended meanwhile."""
        client, service = self._client, self._service
        if client is None or service is None or client.transport is None or service.transport is None:
            return
        if self.wants_service:
            self._up.open(client.transport, service.transport)
            self._down.open(service.transport, client.transport)
        else:
            service.close()

    def set_strikes(self, strikes: Sequence[TcpStrike]) -> None:
        """Take these strikes for those before, and carry out at once what they say."""
        self.strikes = tuple(strikes)
        at_once = next((strike.fault for strike in self.strikes if strike.ends_after == 0), None)
        if at_once is not None:
            self._end(at_once)
        if self._closing:
            return
        if any(strike.fault.action == "half_open" for strike in self.strikes):
            self._become_half_open()
        elif self._half_open and self._client is not None:
            self._client.die()
        self._up.set_strikes(self.strikes)
        self._down.set_strikes(self.strikes)

    def refuse(self) -> None:
        """Reset the client's side: there is no service to lead it to."""
        self._close_lanes()
        if self._client is not None:
            self._client.reset()

    def abort(self) -> None:
        """Close both sides at once."""
        self._close_lanes()
        for side in self._sides():
            side.abort()

    async def wait_ended(self) -> None:
        """Wait until nothing is left of either side and of the lanes."""
        for side in self._sides():
            if side.transport is not None:
                await side.gone.wait()
        pumps = [pump for pump in (self._up.close(), self._down.close()) if pump is not None]
        await asyncio.gather(*pumps, return_exceptions=True)

    def _sides(self) -> tuple[Side, ...]:
        return tuple(side for side in (self._client, self._service) if side is not None)

    def _close_lanes(self) -> None:
        self._closing = True
        self._up.close()
        self._down.close()

    def _end(self, fault: TcpFault) -> None:
        """End the connection as a fault does."""
        self._close_lanes()
        for side in self._sides():
            if fault.action == "reset":
                side.reset()
            else:
                side.finish()

    def _become_half_open(self) -> None:
        self._half_open = True
        self._up.close()
        self._down.close()
        if self._client is not None:
            self._client.swallow()
        if self._service is not None:
            self._service.finish()

    def _lane_ended(self, direction: str, fault: TcpFault | None) -> None:
        if fault is not None:
            self._end(fault)
            return
        self._streams_ended.add(direction)
        side = self._service if direction == UP else self._client
        if side is not None:
            side.end_stream()
        if len(self._streams_ended) == 2:
            for each in self._sides():
                each.close()

    def _lost(self, side: Side, error: Exception | None) -> None:
        other = self._service if side is self._client else self._client
        if not self._closing and not self._half_open:
            self._close_lanes()
            if other is not None and other.transport is not None:
                # A client or a service that was reset is seen as that on the other side too.
                other.close() if error is None else other.reset()
        if self._half_open and side is self._client and other is not None:
            other.abort()
        if all(each.gone.is_set() for each in self._sides() if each.transport is not None):
            self._ended(self)
