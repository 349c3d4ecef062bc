"""Talk to a container engine, Docker or what speaks its API: calls in threads, each with a deadline."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from session_testnet.hinted_error import HintedError

# How long the engine may take for one answer, in seconds; starting containers on a busy machine is slow.
ANSWER_S: Final = 60.0
# How many questions are under way at the same time; more only makes the engine slower.
_THREADS: Final = 8
_SYSTEM_SOCKET: Final = "/var/run/docker.sock"

T = TypeVar("T")


class DockerError(HintedError):
    """Say what the container engine refused, or why it cannot be asked."""


def connect(timeout_s: float = ANSWER_S) -> Any:
    """Return a client of the container engine that the environment names; raise DockerError without one."""
    try:
        import docker
    except ImportError:
        raise DockerError(
            "the Python package docker is not installed",
            "install it with: pip install 'session-harness[docker]'",
        ) from None
    from docker.errors import DockerException

    client = None
    try:
        client = docker.DockerClient.from_env(timeout=timeout_s, max_pool_size=4 * _THREADS)
        client.ping()
    except (DockerException, OSError) as error:
        if client is not None:
            client.close()
        raise DockerError(f"no container engine answers: {_reason(error)}", _mend()) from error
    return client


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn what goes wrong at the engine into a DockerError that says what was attempted."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except (DockerException, RequestException) as error:
        raise DockerError(f"{what}: {_reason(error)}") from error


class Daemon:
    """A container engine, asked from an event loop."""

    def __init__(self, client: Any) -> None:
        """Take a client as :func:`connect` returns it; it is closed with this."""
        self.client = client
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")

    @classmethod
    async def open(cls) -> "Daemon":
        """Connect to the engine that the environment names; raise DockerError."""
        return cls(await asyncio.to_thread(connect))

    async def ask(self, what: str, question: Callable[[Any], T]) -> T:
        """Ask ``question(client)`` in a thread; raise DockerError, which says ``what`` was attempted."""

        def in_thread() -> T:
            with refusals(what):
                return question(self.client)

        # The client itself gives up after ANSWER_S, so that the thread ends too.
        return await asyncio.get_running_loop().run_in_executor(self._threads, in_thread)

    async def close(self) -> None:
        """Let the engine go; safe to call twice."""
        await asyncio.to_thread(self._threads.shutdown)
        self.client.close()


def is_gone(error: DockerError) -> bool:
    """Tell whether the engine refused because there is no such thing (any more)."""
    from docker.errors import APIError

    cause = error.__cause__
    # 409 is the answer for a container that is being removed already, or does not run.
    return isinstance(cause, APIError) and cause.status_code in {404, 409}


def _reason(error: BaseException) -> str:
    """Return what is wrong in few words; a connection's failure is wrapped in several others."""
    for each in (error, error.__cause__, error.__context__):
        if each is not None and (found := _system_error(each)):
            return found
    said = getattr(error, "explanation", None) or str(error)
    return " ".join(str(said).split())


def _system_error(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    # requests and urllib3 put what went wrong into their errors' arguments, or into ``reason``.
    wrapped = (*error.args, getattr(error, "reason", None), error.__cause__)
    inner = (each for each in wrapped if isinstance(each, BaseException))
    return next((found for found in map(_system_error, inner) if found), "")


def _mend() -> str:
    host = os.environ.get("DOCKER_HOST")
    if host:
        return f"DOCKER_HOST is {host}: start that engine, or unset it"
    socket = Path(_SYSTEM_SOCKET)
    if socket.exists() and not os.access(socket, os.W_OK):
        return "you may not use its socket: join the group docker, or use rootless Docker with DOCKER_HOST"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for name in ("docker.sock", "podman/podman.sock"):
        if runtime and Path(runtime, name).exists():
            return f"there is one at another place: export DOCKER_HOST=unix://{Path(runtime, name)}"
    return "install Docker and start it; the engines embedded and process need none"
