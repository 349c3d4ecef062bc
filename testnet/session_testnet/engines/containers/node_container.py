"""What the container of a node looks like from the outside: its command, its ports, its environment."""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from session_testnet.docker_daemon import Daemon, DockerError
from session_testnet.docker_labels import CONTENT
from session_testnet.endpoints import ANY
from session_testnet.engines.base import CommandResult, EngineError
from session_testnet.engines.remote.places import Ports
from session_testnet.images.build import default_tag
from session_testnet.images.wheel import content_hash

# Inside its container a node listens at the ports that nodes of the real network usually have; two more are
# for the other nodes, and for the network that controls it.
HTTPS_PORT: Final = 22021
OMQ_PORT: Final = 22020
PEER_PORT: Final = 22022
CONTROL_PORT: Final = 22023
INNER: Final = Ports(ANY, HTTPS_PORT, OMQ_PORT, PEER_PORT)
DATA: Final = "/data"
COMMAND: Final = ("python", "-m", "session_testnet.engines.remote.serve_node")
# The user in the image, to whom a directory is given that root mounts.
IMAGE_USER: Final = 10001

_SECOND: Final = 1_000_000_000
_KNOCK: Final = f"import socket; socket.create_connection(('127.0.0.1', {CONTROL_PORT}), 5).close()"
HEALTH_CHECK: Final[dict[str, Any]] = {
    "test": ["CMD", "python", "-ISc", _KNOCK],
    "interval": 60 * _SECOND,
    "timeout": 10 * _SECOND,
    "retries": 3,
    "start_period": 30 * _SECOND,
}


def environment(node: str, token: str) -> dict[str, str]:
    """Return the environment of a node's container."""
    return {
        "SESSION_TESTNET_NODE": node,
        "SESSION_TESTNET_TOKEN": token,
        "SESSION_TESTNET_CONTROL": f"{ANY}:{CONTROL_PORT}",
    }


async def usable_image(daemon: Daemon, image: str | None) -> str:
    """Return the image to run nodes in; raise EngineError when it is missing, or not that of this package."""
    name = image or default_tag()
    try:
        found = await daemon.ask(f"there is no image {name}", lambda client: client.images.get(name))
    except DockerError as error:
        hint = "build it with: session-harness image build"
        raise EngineError("start", "the nodes", error.message, hint) from error
    labels = found.labels
    if image is None and labels.get(CONTENT) != content_hash():
        raise EngineError(
            *("start", "the nodes", f"the image {name} was built from another session-harness than this one"),
            "build it anew with: session-harness image build",
        )
    return name


def give_away(directory: Path) -> None:
    """Give a directory of root's to the image's user; anybody else's container runs as its owner."""
    if os.getuid() == 0:
        os.chown(directory, IMAGE_USER, IMAGE_USER)


async def run_command(
    daemon: Daemon, node: str, container: Any, command: Sequence[str], deadline_s: float
) -> CommandResult:
    """Run a command in a container; raise EngineError when it does not end in time, which it may do later."""
    asked = daemon.ask(f"cannot run {command[0]}", lambda _: container.exec_run(list(command)))
    try:
        code, output = await asyncio.wait_for(asked, deadline_s)
    except TimeoutError:
        reason = f"{command[0]} did not end within {deadline_s:g} s"
        raise EngineError("run a command in", node, reason) from None
    return CommandResult(int(code), output.decode(errors="replace"))


@contextlib.contextmanager
def as_engine_error(operation: str, node: str) -> Iterator[None]:
    """Turn a refusal of the container engine into an EngineError."""
    try:
        yield
    except DockerError as error:
        raise EngineError(operation, node, error.message, error.hint) from error
