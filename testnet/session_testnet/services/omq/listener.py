"""One OMQ listener: handshake, framing, refusals, and requests of a connection in their order (omq.md §1)."""

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from session_testnet.services.omq.commands import Command, Commands, Connection
from session_testnet.services.omq.runtime import OmqRuntime, released

_HI: Final = b"HI"
_HELLO: Final = b"HELLO"
_BYE: Final = b"BYE"
_REPLY: Final = b"REPLY"
_UNKNOWN: Final = b"UNKNOWNCOMMAND"
_NO_TAG: Final = b"NO_REPLY_TAG"
# Clients that leave without a word are forgotten when there are more than so many, the oldest first.
_MAX_CONNECTIONS: Final = 10_000
# What one connection may have waiting: no client pipelines so much, and nothing else would bound the memory
# that it makes the node hold. Three of the largest messages fit. Beyond, requests are refused as by HTTP.
_MAX_WAITING: Final = 1000
_MAX_WAITING_BYTES: Final = 32 * 1024 * 1024
_BUSY: Final = (b"503", b"Server busy, try again later")
# How long a closing listener goes on sending what it has said, in milliseconds.
_FAREWELL_MS: Final = 100

_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    command: Command
    tag: bytes
    data: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Return how many bytes it holds."""
        return sum(map(len, self.data))


@dataclass(slots=True)
class _Client:
    """A connection with what it has asked and not been answered yet."""

    connection: Connection
    jobs: deque[_Job] = field(default_factory=deque)
    waiting_bytes: int = 0
    working: asyncio.Task[None] | None = None


async def _at_once() -> None:
    """Hold nothing back."""


class OmqListener:
    """Serve commands at one address.

    ``admit`` is awaited before each message is looked at: it holds messages back while a node is frozen.
    ``on_gone`` is told of connections that have ended, as far as they are noticed.
    """

    def __init__(
        self,
        name: str,
        commands: Commands,
        *,
        admit: Callable[[], Awaitable[object]] = _at_once,
        on_gone: Callable[[Connection], None] = lambda _gone: None,
    ) -> None:
        self._name = name
        self._commands = commands
        self._admit = admit
        self._on_gone = on_gone
        self._runtime: OmqRuntime | None = None
        self._socket: Any = None
        self._address: tuple[str, int] = ("", 0)
        self._clients: dict[bytes, _Client] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving: asyncio.Task[None] | None = None

    def start(self, runtime: OmqRuntime, listener: socket.socket, x25519_sk: bytes) -> None:
        """Take over a listening socket and serve; ``x25519_sk`` (32 bytes) is the key that clients expect."""
        self._runtime = runtime
        self._address = listener.getsockname()[:2]
        self._socket = runtime.router(listener, x25519_sk)
        self._serving = asyncio.create_task(self._serve(), name=f"OMQ listener of {self._name}")

    async def close(self, *, wait: bool = False) -> None:
        """Say BYE to all clients and end; with ``wait``, return when the address is free.

        Safe to call twice.
        """
        if self._socket is None:
            return
        tasks = [task for task in (self._serving, *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Both tasks and handlers may have closed it meanwhile.
        router, self._socket = self._socket, None
        if router is None:
            return
        clients, self._clients = self._clients, {}
        for client in clients.values():
            self._send_at(router, (client.connection.routing_id, _BYE))
            self._on_gone(client.connection)
        router.close(linger=_FAREWELL_MS if clients else 0)
        if wait:
            await released(*self._address)

    async def _serve(self) -> None:
        while True:
            frames = await self._socket.recv_multipart(copy=False)
            await self._admit()
            try:
                self._received(frames)
            except Exception:
                # Whatever a client sends, the others are served.
                _logger.exception("%s failed to take an OMQ message", self._name)

    def _received(self, frames: Sequence[Any]) -> None:
        routing_id = frames[0].bytes
        if len(frames) < 2:
            return
        word, *data = (frame.bytes for frame in frames[1:])
        if word == _BYE:
            self._forget(routing_id)
            return
        client = self._clients.get(routing_id) or self._greet(routing_id, frames[0])
        if word == _HI:
            self._send((routing_id, _HELLO))
        elif word not in (_HELLO, _REPLY):
            # Nothing here asks clients: an answer of theirs, or a greeting, is for nobody.
            self._asked(client, word, data)

    def _greet(self, routing_id: bytes, frame: Any) -> _Client:
        while len(self._clients) >= _MAX_CONNECTIONS:
            self._forget(next(iter(self._clients)))
        connection = Connection(routing_id, _address_of(frame), partial(self._push, routing_id))
        client = self._clients[routing_id] = _Client(connection)
        return client

    def _asked(self, client: _Client, name: bytes, data: list[bytes]) -> None:
        """Refuse a command, or let it wait its turn."""
        routing_id, command = client.connection.routing_id, self._commands.get(name)
        if command is None:
            self._send((routing_id, _UNKNOWN, name))
            return
        tagless = command.is_request and not data
        refusal = command.refusal or (_NO_TAG if tagless else None)
        if refusal is not None:
            told = (_REPLY, data[0]) if command.is_request and data else (name,)
            self._send((routing_id, refusal, *told))
            return
        tag = data.pop(0) if command.is_request else b""
        job = _Job(command, tag, tuple(data))
        if len(client.jobs) >= _MAX_WAITING or client.waiting_bytes + job.size > _MAX_WAITING_BYTES:
            if command.is_request:
                self._send((routing_id, _REPLY, tag, *_BUSY))
            return
        client.jobs.append(job)
        client.waiting_bytes += job.size
        if client.working is None:
            client.working = asyncio.create_task(self._work(client), name=f"OMQ client of {self._name}")
            self._tasks.add(client.working)
            client.working.add_done_callback(self._tasks.discard)

    async def _work(self, client: _Client) -> None:
        """Carry out what a connection has asked, one after the other (omq.md §2)."""
        try:
            while client.jobs:
                job = client.jobs.popleft()
                await self._carry_out(client.connection, job)
                client.waiting_bytes -= job.size
        finally:
            client.working = None

    async def _carry_out(self, connection: Connection, job: _Job) -> None:
        handler = job.command.handler
        if handler is None:
            return
        try:
            parts = await handler(connection, job.data)
        except Exception as error:
            _logger.exception("%s failed to carry out an OMQ command", self._name)
            parts = (b"500", str(error).encode(errors="replace"))
        if parts is not None and job.command.is_request:
            self._send((connection.routing_id, _REPLY, job.tag, *parts))

    def _push(self, routing_id: bytes, command: bytes, body: bytes) -> bool:
        return self._send((routing_id, command, body))

    def _send(self, parts: Sequence[bytes]) -> bool:
        """Send now, there is no limit that could delay it; False when the client has gone."""
        if self._socket is None or not self._send_at(self._socket, parts):
            self._forget(parts[0])
            return False
        return True

    def _send_at(self, router: Any, parts: Sequence[bytes]) -> bool:
        assert self._runtime is not None
        sent = router.send_multipart(parts, flags=self._runtime.dont_wait)
        try:
            sent.result()
        except self._runtime.error:
            return False
        return True

    def _forget(self, routing_id: bytes) -> None:
        client = self._clients.pop(routing_id, None)
        if client is not None:
            # Nobody is left to hear of it.
            client.jobs.clear()
            self._on_gone(client.connection)


def _address_of(frame: Any) -> str:
    with contextlib.suppress(Exception):
        return str(frame.get("Peer-Address"))
    return ""
