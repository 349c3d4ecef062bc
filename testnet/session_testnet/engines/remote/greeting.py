"""How a network introduces itself at the control port of a node in a container."""

import asyncio
import contextlib
from typing import Final

from session_testnet.engines.base import EngineError

GREETING_S: Final = 10.0
MAX_GREETING: Final = 512
WELCOME: Final = b"welcome\n"
# A port of a container that has only just started refuses; how long to wait before the next try.
_AGAIN_S: Final = 0.05


async def greet(
    node: str, host: str, port: int, token: str, *, deadline_s: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a node's control port until it lets the network in; raise EngineError at the deadline."""
    last_seen: BaseException | str = "nothing"
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                try:
                    return await _try(host, port, token)
                except (OSError, asyncio.IncompleteReadError) as error:
                    last_seen = error
                # Waiting is on the node: it has no way to tell when it listens, but to answer.
                await asyncio.sleep(_AGAIN_S)
    except TimeoutError:
        raise EngineError(
            *(
                "start",
                node,
                f"its control port {host}:{port} did not let the network in within {deadline_s:g} s",
            ),
            f"last seen: {last_seen or type(last_seen).__name__}; see its log: session-harness logs {node}",
        ) from None


async def _try(host: str, port: int, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(token.encode() + b"\n")
        if await reader.readexactly(len(WELCOME)) != WELCOME:
            raise ConnectionError("what listens there is no node")
        return reader, writer
    except BaseException:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        raise
