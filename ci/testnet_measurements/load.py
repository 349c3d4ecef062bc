"""Send prepared requests over kept connections, HTTPS or HTTP, as cheaply as Python can.

Client libraries would measure themselves: aiohttp's needs four times the processor time of these few lines.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from testnet_measurements.server_process import ServedNode, ServedServer

REQUEST_DEADLINE_S = 30.0

Served = ServedNode | ServedServer


class LoadFailed(Exception):
    """Say what a node answered in place of success."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, and how long it took in seconds."""

    status: int
    body: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class LoadResult:
    """All answers in the order of their requests, how long all took, and the server's processor time."""

    replies: tuple[Reply, ...]
    seconds: float
    server_cpu_s: float


class KeptConnection:
    """One connection, on which requests follow each other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, node: Served, tls: ssl.SSLContext) -> "KeptConnection":
        """Connect to a node, or to a server."""
        context = tls if node.has_tls else None
        return cls(*await asyncio.open_connection(node.host, node.port, ssl=context, limit=1 << 20))

    async def exchange(self, request: bytes) -> Reply:
        """Send a whole HTTP request and read the answer."""
        started = time.perf_counter()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        body = await self._reader.readexactly(_content_length(head))
        return Reply(int(head[9:12]), body, time.perf_counter() - started)

    async def close(self) -> None:
        """End the connection."""
        self._writer.close()
        await self._writer.wait_closed()


async def run_load(
    nodes: Sequence[Served],
    requests: Sequence[bytes],
    *,
    connections: int,
    server_cpu_s: Callable[[], float],
    status: int = 200,
) -> LoadResult:
    """Send each request once; the connections, spread over ``nodes``, take them as they come free.

    Connections are open before the clock starts. Raise LoadFailed for another status.
    """
    tls = _trusting_context()
    opened = [await KeptConnection.open(nodes[index % len(nodes)], tls) for index in range(connections)]
    replies: list[Reply | None] = [None] * len(requests)
    waiting = iter(enumerate(requests))

    async def work(connection: KeptConnection) -> None:
        for index, request in waiting:
            replies[index] = await connection.exchange(request)

    try:
        cpu_before, started = server_cpu_s(), time.perf_counter()
        async with asyncio.timeout(REQUEST_DEADLINE_S * max(1, len(requests) // 100)):
            await asyncio.gather(*(work(connection) for connection in opened))
        seconds = time.perf_counter() - started
        cpu_s = server_cpu_s() - cpu_before
    finally:
        await asyncio.gather(*(connection.close() for connection in opened), return_exceptions=True)
    answered = tuple(reply for reply in replies if reply is not None)
    for reply in answered:
        if reply.status != status:
            raise LoadFailed(f"it was answered {reply.status}: {reply.body[:200].decode(errors='replace')}")
    return LoadResult(answered, seconds, cpu_s)


def http_request(
    path: str, body: bytes, headers: Mapping[str, str] | None = None, *, method: str = "POST"
) -> bytes:
    """Write a whole HTTP request."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"{method} {path} HTTP/1.1\r\nHost: node\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.index(b"\r\ncontent-length:") + len(b"\r\ncontent-length:")
    return int(lowered[start : lowered.index(b"\r\n", start)])


def _trusting_context() -> ssl.SSLContext:
    """Return a client context that takes the certificates that nodes sign themselves, as Session's do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
