"""Move bytes between two connections: bodies as HTTP frames them, or all until both sides have ended."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from session_testnet.services.gateway.http1 import Framing, HeadError, parse_chunk_size

_PIECE = 64 * 1024
_MAX_CHUNK_LINE = 4096
_MAX_TRAILER_LINES = 64


class RelayError(Exception):
    """Say why bytes stopped moving."""


class ClientLeft(RelayError):
    """The client closed its connection before it had its answer."""


class WatchedReader(asyncio.StreamReader):
    """A stream reader that tells when the other side has ended, even while nobody reads."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit)
        self.ended = asyncio.Event()

    def feed_eof(self) -> None:
        """Note the end of the stream."""
        super().feed_eof()
        self.ended.set()

    def set_exception(self, exc: Exception) -> None:
        """Note that the connection broke."""
        super().set_exception(exc)
        self.ended.set()


async def read_some(reader: asyncio.StreamReader, size: int, idle_s: float) -> bytes:
    """Return what has arrived, at most ``size`` bytes; nothing at the end. TimeoutError after ``idle_s``."""
    async with asyncio.timeout(idle_s):
        return await reader.read(min(size, _PIECE))


async def send(writer: asyncio.StreamWriter, data: bytes, idle_s: float) -> None:
    """Write bytes and wait until the other side takes them. Raises TimeoutError after ``idle_s``."""
    writer.write(data)
    async with asyncio.timeout(idle_s):
        await writer.drain()


async def copy_body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: int | Framing, idle_s: float
) -> int:
    """Copy one message body as it is framed and return its bytes on the wire.

    Raises RelayError when it ends early, HeadError for malformed chunks, TimeoutError when nothing moves.
    """
    if body is Framing.CHUNKED:
        return await _copy_chunks(reader, writer, idle_s)
    if body is Framing.UNTIL_CLOSE:
        return await _copy_until_close(reader, writer, idle_s)
    await _copy_exactly(reader, writer, body, idle_s)
    return body


async def _copy_exactly(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int, idle_s: float
) -> None:
    remaining = size
    while remaining:
        piece = await read_some(reader, remaining, idle_s)
        if not piece:
            raise RelayError(f"the body ended {remaining} bytes early")
        remaining -= len(piece)
        await send(writer, piece, idle_s)


async def _copy_until_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, idle_s: float) -> int:
    copied = 0
    while piece := await read_some(reader, _PIECE, idle_s):
        copied += len(piece)
        await send(writer, piece, idle_s)
    return copied


async def _copy_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, idle_s: float) -> int:
    copied = 0
    while True:
        line = await _read_line(reader, idle_s)
        size = parse_chunk_size(line)
        writer.write(line)
        copied += len(line)
        if size == 0:
            break
        await _copy_exactly(reader, writer, size, idle_s)
        if await _read_line(reader, idle_s) != b"\r\n":
            raise HeadError("a chunk is longer than its size says")
        writer.write(b"\r\n")
        copied += size + 2
    for _ in range(_MAX_TRAILER_LINES):
        line = await _read_line(reader, idle_s)
        await send(writer, line, idle_s)
        copied += len(line)
        if line == b"\r\n":
            return copied
    raise HeadError("too many trailer lines follow the last chunk")


async def _read_line(reader: asyncio.StreamReader, idle_s: float) -> bytes:
    try:
        async with asyncio.timeout(idle_s):
            line = await reader.readuntil(b"\r\n")
    except asyncio.IncompleteReadError:
        raise RelayError("the body ended inside its chunks") from None
    except asyncio.LimitOverrunError:
        line = b""
    if not 0 < len(line) <= _MAX_CHUNK_LINE:
        raise HeadError("a line between chunks is too long")
    return line


@dataclass(slots=True)
class Traffic:
    """How many bytes a tunnel has carried so far, in each direction."""

    sent: int = 0
    received: int = 0


async def splice(
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    service: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    idle_s: float,
    traffic: Traffic,
) -> None:
    """Copy both ways until both sides have ended, counting what passes.

    The end of one side is passed on and does not stop the other. Raises TimeoutError when nothing moved
    either way for ``idle_s``; a broken connection just ends it.
    """
    loop = asyncio.get_running_loop()
    last_move = loop.time()

    async def copy(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[int], None]
    ) -> None:
        nonlocal last_move
        while True:
            try:
                piece = await read_some(reader, _PIECE, max(0.001, last_move + idle_s - loop.time()))
            except TimeoutError:
                if loop.time() - last_move < idle_s:
                    continue
                raise
            last_move = loop.time()
            if not piece:
                break
            count(len(piece))
            await send(writer, piece, idle_s)
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    def count_sent(size: int) -> None:
        traffic.sent += size

    def count_received(size: int) -> None:
        traffic.received += size

    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(copy(client[0], service[1], count_sent))
            both.create_task(copy(service[0], client[1], count_received))
    except* OSError as broken:
        timeouts, _ = broken.split(TimeoutError)
        if timeouts is not None:
            raise TimeoutError(f"nothing moved for {idle_s:g} s") from None


async def close_writer(writer: asyncio.StreamWriter) -> None:
    """Close a connection and wait until it is gone, at most a second."""
    writer.close()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(1):
            await writer.wait_closed()


async def close_after_answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, linger_s: float
) -> None:
    """Close a connection so that the answer arrives although the request was not read to its end.

    Closing with unread bytes would reset the connection and with it the answer (RFC 9112 §9.6).
    """
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(linger_s):
            while await reader.read(_PIECE):
                pass
    await close_writer(writer)
