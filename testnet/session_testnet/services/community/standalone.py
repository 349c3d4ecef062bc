"""A community server in a process of its own, which says on stdout in one line of JSON that it is ready."""

import argparse
import asyncio
import contextlib
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from session_testnet.clock import Clock
from session_testnet.endpoints import LOOPBACK, bind_socket
from session_testnet.services.community.app import CommunityServer
from session_testnet.services.onion_v4 import ServerKeys
from session_testnet.services.running_alone import KeyFileError, make_key_file, run_alone, serve_until
from session_testnet.topology import RoomSpec
from session_testnet.trace import Trace

KEY_FILE: Final = "key_x25519"
_KEY_BYTES: Final = 32
_USAGE: Final = 64


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT and return 0; errors are one line on stderr and another code."""
    options = _parser().parse_args(arguments)
    if options.control_token is not None and not options.test_mode:
        sys.stderr.write("error: --control-token goes with --test-mode only\n")
        return _USAGE
    return run_alone(lambda ended: _serve(options, ended))


async def _serve(options: argparse.Namespace, ended: asyncio.Event) -> None:
    token = (options.control_token or secrets.token_urlsafe(24)) if options.test_mode else None
    clock = Clock()
    server = CommunityServer(
        _keys(options.key_file, options.directory),
        clock=clock,
        trace=Trace(clock),
        name=options.name,
        directory=options.directory,
        rooms=[RoomSpec(room) for room in options.room],
        # Fixtures begin without it and switch it on for the tests that are about it.
        require_blinding=not options.test_mode
        if options.require_blinding is None
        else options.require_blinding,
        control_token=token,
    )
    with contextlib.ExitStack() as opened:
        opened.callback(server.close)
        listener = opened.enter_context(bind_socket(options.host, options.port))
        host, port = listener.getsockname()[:2]
        ready = {
            "role": "community",
            "name": server.name,
            "listen": [f"http://{host}:{port}"],
            "public_key": server.public_key,
            **({} if token is None else {"control_token": token}),
        }
        await serve_until(ended, server.application(), listener, ready)


def _keys(key_file: Path | None, directory: Path | None) -> ServerKeys:
    """Read the server's X25519 secret, or make one where there is none; without a place it lasts a run."""
    path = key_file if key_file is not None else directory / KEY_FILE if directory is not None else None
    if path is None:
        return ServerKeys.from_x25519(secrets.token_bytes(_KEY_BYTES))
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        secret = make_key_file(path, _KEY_BYTES)
    if len(secret) != _KEY_BYTES:
        raise KeyFileError(
            f"the key file {path} has {len(secret)} bytes", "an X25519 secret has 32, without any encoding"
        )
    return ServerKeys.from_x25519(secret)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m session_testnet.services.community", description="Run a community server."
    )
    parser.add_argument("--host", default=LOOPBACK, help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--name", default="community", help="name in the ready line (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="keep everything here, not in memory")
    parser.add_argument(
        "--key-file",
        type=Path,
        help=f"X25519 secret, 32 bytes; made if missing (default: {KEY_FILE} in the directory)",
    )
    parser.add_argument("--test-mode", action="store_true", help="let fixtures control the server")
    parser.add_argument("--control-token", help="token of the control endpoint (default: a random one)")
    parser.add_argument(
        "--require-blinding",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="take blinded ids only (default, but not in test mode)",
    )
    parser.add_argument(
        "--room", action="append", default=[], metavar="TOKEN", help="room to make; repeatable"
    )
    return parser
