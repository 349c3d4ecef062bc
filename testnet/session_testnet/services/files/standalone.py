"""Run the file server alone in a process of its own, until it is told to end."""

import argparse
import asyncio
import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from session_testnet.clock import Clock
from session_testnet.endpoints import bind_socket, endpoints_of
from session_testnet.services.files.app import FileServer
from session_testnet.services.running_alone import (
    KeyFileError,
    make_key_file,
    run_alone,
    say_failure,
    serve_until,
)
from session_testnet.topology_file_server import FILE_ID_MODES, FilesSpec
from session_testnet.topology_table import TopologyError
from session_testnet.trace import Trace

_SEED_BYTES: Final = 32
_KEY_FILE: Final = "key_ed25519"


@dataclass(frozen=True, slots=True)
class _Arguments:
    host: str
    port: int
    name: str
    directory: Path | None
    key_file: Path | None
    spec: FilesSpec


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code.

    One line of JSON on stdout says that the server listens, and where; errors are a line or two on stderr.
    """
    try:
        asked = _parse(arguments)
    except TopologyError as error:
        return say_failure(error)
    return run_alone(lambda ended: _serve(asked, ended))


def _parse(arguments: Sequence[str] | None) -> _Arguments:
    default = FilesSpec()
    parser = argparse.ArgumentParser(
        prog="python -m session_testnet.services.files",
        description="Serve files as Session's file server does.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--name", default="files", help="the name in the ready line (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="where files are kept (default: in memory)")
    parser.add_argument(
        "--key-file",
        type=Path,
        help=f"the 32-byte Ed25519 seed, made when it is missing (default: {_KEY_FILE} in the directory)",
    )
    parser.add_argument("--id-mode", choices=FILE_ID_MODES, default=default.id_mode)
    parser.add_argument("--max-size", type=int, default=default.max_size, help="in bytes")
    parser.add_argument("--default-ttl", type=int, default=default.default_ttl_s, help="in seconds")
    parser.add_argument(
        "--max-ttl", type=int, default=default.max_ttl_s, help="in seconds; 0: ignore X-FS-TTL"
    )
    parsed = parser.parse_args(arguments)
    directory = cast("Path | None", parsed.directory)
    return _Arguments(
        host=parsed.host,
        port=parsed.port,
        name=parsed.name,
        directory=directory,
        key_file=parsed.key_file or (directory / _KEY_FILE if directory else None),
        spec=FilesSpec(
            id_mode=parsed.id_mode,
            max_size=parsed.max_size,
            default_ttl_s=parsed.default_ttl,
            max_ttl_s=parsed.max_ttl,
        ),
    )


async def _serve(asked: _Arguments, ended: asyncio.Event) -> None:
    clock = Clock()
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(bind_socket(asked.host, asked.port))
        seed = os.urandom(_SEED_BYTES) if asked.key_file is None else read_or_make_seed(asked.key_file)
        server = FileServer(
            seed, clock=clock, trace=Trace(clock), name=asked.name, directory=asked.directory, spec=asked.spec
        )
        opened.callback(server.close)
        ready = {
            "role": "files",
            "name": asked.name,
            "listen": [str(endpoints_of(listener).bind)],
            "pubkey_ed25519": server.ed25519_pk,
            "pubkey_x25519": server.public_key,
        }
        await serve_until(ended, server.application(), listener, ready)


def read_or_make_seed(path: Path) -> bytes:
    """Return the seed in a key file: 32 bytes, or 64 hex digits. A missing file is made, with a new seed.

    Raise KeyFileError.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return make_key_file(path, _SEED_BYTES)
    except OSError as error:
        raise KeyFileError(f"the key file {path} cannot be read: {error.strerror}") from error
    if len(content) == _SEED_BYTES:
        return content
    text = content.strip()
    if re.fullmatch(rb"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text.decode())
    raise KeyFileError(
        f"the key file {path} with {len(content)} bytes holds no key",
        "it takes an Ed25519 seed, 32 bytes or 64 hex digits; a file that is missing is made",
    )
