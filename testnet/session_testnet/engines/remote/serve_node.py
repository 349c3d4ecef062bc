"""Run one node in a container: listen for the network that controls it, and end when it has gone.

The environment says who may connect: SESSION_TESTNET_TOKEN is what the network greets with,
SESSION_TESTNET_NODE the node's name, SESSION_TESTNET_CONTROL ``host:port`` to listen at.
"""

import asyncio
import contextlib
import hmac
import json
import os
import signal
import socket
import sys
from typing import Final

from session_testnet.endpoints import ANY, EndpointError, bind_socket
from session_testnet.engines.remote.greeting import GREETING_S, MAX_GREETING, WELCOME
from session_testnet.engines.remote.node_host import NodeHost
from session_testnet.loop_thread import new_event_loop

# How long a node waits for its network before it ends: whoever started it may be dead by then.
LONELY_S: Final = 60.0
# After so many idle seconds the other end is probed: a machine that vanished sends no farewell.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


class NodeDoor:
    """Let the one network in that knows the token, and serve it until it goes."""

    def __init__(self, token: str, lonely_s: float = LONELY_S) -> None:
        """Take the token, and how long to wait for who knows it."""
        if not token:
            raise ValueError("a node is not controlled by who knows nothing: the token is empty")
        self._token = token
        self._lonely_s = lonely_s
        self._taken = asyncio.Event()
        self._ended = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    async def run(self, listener: socket.socket) -> bool:
        """Serve at a listening socket until the network has gone; False when none came in time."""
        server = await asyncio.start_server(self._accept, sock=listener)
        try:
            try:
                await asyncio.wait_for(self._taken.wait(), self._lonely_s)
            except TimeoutError:
                return False
            await self._ended.wait()
            return True
        finally:
            server.close()
            for task in tuple(self._serving):
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    def end(self) -> None:
        """End, as after the network has gone."""
        self._ended.set()
        self._taken.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served in a task"
        self._serving.add(task)
        try:
            if await self._is_welcome(reader) and not self._taken.is_set():
                self._taken.set()
                _watch_over(writer)
                writer.write(WELCOME)
                await NodeHost(reader, writer).run()
                self._ended.set()
        finally:
            self._serving.discard(task)
            writer.close()

    async def _is_welcome(self, reader: asyncio.StreamReader) -> bool:
        try:
            async with asyncio.timeout(GREETING_S):
                greeting = await reader.readuntil(b"\n")
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return False
        if len(greeting) > MAX_GREETING:
            return False
        return hmac.compare_digest(greeting.rstrip(b"\n"), self._token.encode())


def _watch_over(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def serve(environment: dict[str, str]) -> int:
    """Serve one node as the environment says; return the exit code."""
    try:
        host, _, port = environment.get("SESSION_TESTNET_CONTROL", f"{ANY}:0").rpartition(":")
        door = NodeDoor(environment.get("SESSION_TESTNET_TOKEN", ""))
        listener = bind_socket(host, int(port))
    except (ValueError, EndpointError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - it stands in the container's log
        return 64
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, door.end)
    listen = "{}:{}".format(*listener.getsockname()[:2])
    name = environment.get("SESSION_TESTNET_NODE", "")
    ready = {"ready": True, "role": "node", "name": name, "listen": [listen]}
    print(json.dumps(ready), flush=True)  # noqa: T201 - the ready line
    if not await door.run(listener):
        print(f"error: no network came within {LONELY_S:g} s", file=sys.stderr)  # noqa: T201 - as above
        return 1
    return 0


def main() -> int:
    """Serve until the network has gone or a signal comes."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(serve(dict(os.environ)))


if __name__ == "__main__":
    sys.exit(main())
