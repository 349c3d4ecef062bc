"""A TCP proxy in front of one service, so that connections to it can err; without faults bytes just pass."""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, cast

from session_testnet.faults.keys import FaultError
from session_testnet.faults.tcp_connection import Connection, reset_at_close
from session_testnet.faults.tcp_faults import StrikeCounts, TcpFault, TcpStrike
from session_testnet.faults.tcp_lane import Clock
from session_testnet.faults.waiting import Sleep

# How long the service behind may take to accept a connection.
CONNECT_S: Final = 10.0

_BACKLOG: Final = 1024
# How many connections are accepted before others get their turn.
_ACCEPTED_AT_ONCE: Final = 64
# How long to wait for a free file descriptor before accepting again.
_ACCEPT_PAUSE_S: Final = 0.1

_logger: Final = logging.getLogger(__name__)


class TcpProxy:
    """Lead connections from a listening socket to a service, with faults.

    ``listener`` is bound and belongs to the proxy; ``upstream`` is where the service listens. Chance comes
    from ``seed``, the faults' own and the number of a connection, so that the same sequence of connections
    meets the same faults. ``counts`` is shared by proxies whose faults have their ``times`` in common.
    ``on_strike`` is told each fault that a connection meets. ``clock`` and ``sleep`` are in seconds.
    Used from one thread, the loop's.
    """

    def __init__(
        self,
        listener: socket.socket,
        upstream: tuple[str, int],
        *,
        seed: str = "0",
        counts: StrikeCounts | None = None,
        on_strike: Callable[[TcpStrike], None] | None = None,
        clock: Clock | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._listener = listener
        self._address = cast("tuple[str, int]", listener.getsockname())
        self._upstream = upstream
        self._seed = seed
        self._counts = counts or StrikeCounts()
        self._on_strike = on_strike
        self._clock = clock
        self._sleep = sleep
        self._faults: tuple[TcpFault, ...] = ()
        self._accepted = 0
        self._listening = False
        self._holding = False
        self._started = False
        self._closed = False
        self._pause: asyncio.TimerHandle | None = None
        self._connections: dict[int, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting: set[asyncio.Future[None]] = set()

    @property
    def address(self) -> tuple[str, int]:
        """Return where clients connect."""
        return self._address

    @property
    def open_connections(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    def start(self) -> None:
        """Begin to accept connections; call it in the loop that carries them."""
        self._started = True
        self._apply_to_port()

    def set_faults(self, faults: Sequence[TcpFault]) -> None:
        """Take these faults for those before, for new connections and for those that are open.

        A fault that was there before goes on as it was. FaultError when the port of a service that was
        refusing connections has been taken by another program meanwhile.
        """
        before, self._faults = self._faults, tuple(faults)
        added = [fault for fault in self._faults if fault not in before]
        for fault in before:
            if fault not in self._faults:
                self._counts.forget(fault.id)
        for number in sorted(self._connections):
            connection = self._connections[number]
            kept = [strike for strike in connection.strikes if strike.fault in self._faults]
            connection.set_strikes([*kept, *self._strikes(added, number, new=False)])
        if self._started:
            self._apply_to_port()

    async def close(self) -> None:
        """End all connections and stop listening; nothing is left when this returns."""
        if self._closed:
            return
        self._closed = True
        if self._listening:
            self._stop_accepting()
        self._listener.close()
        # A transport that is just being made would be lost if that were cancelled; to wait takes no time.
        for connecting in self._connecting:
            connecting.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        connections = list(self._connections.values())
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.wait_ended()

    def _apply_to_port(self) -> None:
        """Listen, or hold the port without listening while every connection is to be refused."""
        if self._closed:
            return
        try:
            if any(fault.closes_the_port for fault in self._faults):
                if not self._holding:
                    self._hold_port()
            elif not self._listening:
                self._listener.listen(_BACKLOG)
                self._holding = False
                self._start_accepting()
        except OSError as error:
            host, port = self._address
            raise FaultError(
                f"the port of a service that refuses connections is lost: {host}:{port}: {error.strerror}",
                "another program has taken it; restart the testnet",
            ) from error

    def _hold_port(self) -> None:
        if self._listening:
            self._stop_accepting()
        self._listener.close()
        self._holding = True
        # A socket that is bound and does not listen refuses connections and keeps the port.
        self._listener = _bound(self._address)

    def _start_accepting(self) -> None:
        self._listening = True
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _stop_accepting(self) -> None:
        self._listening = False
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        else:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if not self._listening:
                return
            try:
                client, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                _logger.warning("a proxy cannot accept connections: %s", error)
                self._stop_accepting()
                self._listening = True
                loop = asyncio.get_running_loop()
                self._pause = loop.call_later(_ACCEPT_PAUSE_S, self._accept_again)
                return
            client.setblocking(False)
            self._accepted += 1
            self._spawn(self._serve(client, self._accepted))

    def _accept_again(self) -> None:
        self._pause = None
        self._start_accepting()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"proxy of {self._upstream[0]}:{self._upstream[1]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _strikes(self, faults: Sequence[TcpFault], number: int, *, new: bool) -> list[TcpStrike]:
        """Return what a connection meets; only a new one can be refused."""
        strikes: list[TcpStrike] = []
        for fault in faults:
            if fault.action == "refuse" and not new:
                continue
            strike = fault.meet(self._seed, number)
            if strike is not None and self._counts.claim(fault):
                strikes.append(strike)
                if self._on_strike is not None:
                    self._on_strike(strike)
        return strikes

    async def _serve(self, client: socket.socket, number: int) -> None:
        """Lead one accepted connection to the service."""
        strikes = self._strikes(self._faults, number, new=True)
        if any(strike.fault.action == "refuse" for strike in strikes):
            reset_at_close(client)
            client.close()
            return
        loop = asyncio.get_running_loop()
        connection = Connection(
            number, clock=self._clock or loop.time, sleep=self._sleep, ended=self._connection_ended
        )
        # Bytes may come before the loop says that the client's side is there.
        connection.set_strikes(strikes)
        self._connections[number] = connection
        await loop.connect_accepted_socket(lambda: connection.client_side(client), client)
        connection.set_strikes(connection.strikes)
        if not connection.wants_service:
            return
        service = await self._reach_service()
        if service is None:
            connection.refuse()
            return
        await loop.create_connection(lambda: connection.service_side(service), sock=service)
        connection.join()

    async def _reach_service(self) -> socket.socket | None:
        """Return a connected socket, or None when the service is not there or the proxy is closing."""
        service = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        service.setblocking(False)
        connecting = asyncio.ensure_future(asyncio.get_running_loop().sock_connect(service, self._upstream))
        self._connecting.add(connecting)
        try:
            await asyncio.wait({connecting}, timeout=CONNECT_S)
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                return service
            connecting.cancel()
            await asyncio.wait({connecting})
            service.close()
            return None
        finally:
            self._connecting.discard(connecting)

    def _connection_ended(self, connection: Connection) -> None:
        self._connections.pop(connection.number, None)


def _bound(address: tuple[str, int]) -> socket.socket:
    """Return a socket that is bound to an address and does not listen."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
