"""Run one server in a process of its own: what all servers that are started alone have in common."""

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from session_testnet.hinted_error import HintedError, message_and_hint
from session_testnet.loop_thread import new_event_loop
from session_testnet.services.http_runner import http_runner
from session_testnet.services.sqlite_file import DatabaseRefused

# What a server that could not start ends with, and one that was interrupted before it was ready.
FAILED: Final = 2
INTERRUPTED: Final = 130
# How long open requests may take to end, in seconds.
_SHUTDOWN_S: Final = 0.5


class KeyFileError(HintedError):
    """Say which key file cannot be used, and what belongs into one."""


def run_alone(serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> int:
    """Run a server and return the exit code; errors are a line or two on stderr.

    ``serve`` is given an event that SIGTERM or SIGINT sets, for :func:`serve_until`.
    """
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_with_signals(serve))
    except (HintedError, DatabaseRefused, OSError) as error:
        return say_failure(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def say_failure(error: Exception) -> int:
    """Write on stderr why a server could not start; return the exit code for that."""
    message, hint = message_and_hint(error)
    sys.stderr.write(f"error: {message}\n" + (f"hint: {hint}\n" if hint else ""))
    return FAILED


async def _with_signals(serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await serve(ended)


async def serve_until(
    ended: asyncio.Event, application: web.Application, listener: socket.socket, ready: Mapping[str, Any]
) -> None:
    """Serve at a listening socket until the event is set.

    ``ready`` is what the one line of JSON says that goes to stdout when the server listens.
    """
    runner = http_runner(application, shutdown_s=_SHUTDOWN_S)
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        sys.stdout.write(json.dumps({"ready": True, **ready}) + "\n")
        sys.stdout.flush()
        await ended.wait()
    finally:
        await runner.cleanup()


def make_key_file(path: Path, size: int) -> bytes:
    """Write a new secret of so many bytes into a file that is missing, for its owner alone; return it.

    Raise KeyFileError.
    """
    secret = secrets.token_bytes(size)
    # Whole or not at all: a run that is killed must not leave half a key.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
        unfinished.replace(path)
    except OSError as error:
        raise KeyFileError(f"the key file {path} cannot be made: {error.strerror}") from error
    return secret
