"""A process that has all modules of a node loaded, and forks one process for each node.

A fork takes milliseconds and shares the memory of the modules, where a fresh interpreter takes a tenth of a
second and all of it for itself. Requests are lines of JSON over a socket, whose other end's closing ends the
server and all its children, and removes the temporary directory in which these have stored: also when the
process that asked was ended by force.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from session_testnet.engines.process_ties import die_with_parent
from session_testnet.owner import make_owned_directory

# A request is one line, with the file descriptors for a new process beside it.
_MAX_REQUEST = 4096
_FDS = 2
_ATTEMPTS = 100


def main() -> None:
    """Serve at the socket whose file descriptor is the first argument; the second is the parent's process.

    With a third argument, ``temporary``, it makes the directory in which nodes store, and removes it.
    """
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    # The socket tells of the parent's end too, unless somebody else has got a copy of it.
    signal.signal(signal.SIGTERM, _end)
    die_with_parent(parent, by=signal.SIGTERM)
    # Ctrl-C goes to the whole group of the terminal; the parent decides what ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _load()
    with contextlib.ExitStack() as tidying, socket.socket(fileno=descriptor) as control:
        directory = None
        if sys.argv[3:] == ["temporary"]:
            # Named after this process: if it cannot remove it any more, `cleanup` does.
            directory = str(make_owned_directory())
            tidying.callback(_remove, Path(directory))
        control.sendall(json.dumps({"ready": True, "directory": directory}).encode() + b"\n")
        ForkServer(control).serve()


def _remove(directory: Path) -> None:
    """Remove a directory in which a node that is just ending may still be writing."""
    for _ in range(_ATTEMPTS):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(1)


def _load() -> None:
    """Import what a node needs, and keep the garbage collector from copying the pages it lies in."""
    for module in ("session_testnet.engines.remote.node_host", "uvloop", "zmq"):
        # The last two are there where they can be installed.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()


class ForkServer:
    """Fork processes, signal them and wait for their ends, as a socket asks."""

    def __init__(self, control: socket.socket) -> None:
        """Take the socket of the process that asks."""
        self._control = control
        self._children: set[int] = set()

    def serve(self) -> None:
        """Answer requests until the socket closes; then end all children."""
        try:
            while True:
                request, descriptors, _, _ = socket.recv_fds(self._control, _MAX_REQUEST, _FDS)
                if not request:
                    return
                answer = self._answer(json.loads(request), descriptors)
                self._control.sendall(json.dumps(answer).encode() + b"\n")
        finally:
            for pid in tuple(self._children):
                self._signal(pid, signal.SIGKILL)

    def _answer(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        self._reap()
        match request["do"]:
            case "fork":
                return {"pid": self._fork(*descriptors)}
            case "signal":
                return {"alive": self._signal(request["pid"], request["signal"])}
            case "wait":
                return {"ended": self._wait(request["pid"], request["seconds"])}
        raise ValueError(f"a fork server cannot {request['do']}")

    def _fork(self, stream: int, log: int) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become_node(self._control, stream, log, parent)
        for descriptor in (stream, log):
            os.close(descriptor)
        self._children.add(pid)
        return pid

    def _signal(self, pid: int, number: int) -> bool:
        """Signal a child's whole group; after SIGKILL, wait for its end. Tell whether it is still there."""
        if pid not in self._children:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
        if number == signal.SIGKILL:
            os.waitpid(pid, 0)
            self._children.discard(pid)
        return pid in self._children

    def _wait(self, pid: int, seconds: float) -> bool:
        """Wait for the end of a child, at most so long; tell whether it has ended."""
        if pid not in self._children:
            return True
        with contextlib.suppress(ProcessLookupError), _pidfd(pid) as ending:
            if ending is not None:
                select.select([ending], [], [], seconds)
        self._reap()
        return pid not in self._children

    def _reap(self) -> None:
        for pid in tuple(self._children):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    continue
            self._children.discard(pid)


@contextlib.contextmanager
def _pidfd(pid: int) -> Any:
    """Open what becomes readable at a process's end; None where the system has no such thing."""
    if not hasattr(os, "pidfd_open"):
        yield None
        return
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _become_node(control: socket.socket, stream: int, log: int, parent: int) -> NoReturn:
    """Run one node in the process that was just forked, and never return."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent(parent)
        control.close()
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.close(log)
        from session_testnet.loop_thread import new_event_loop

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_run_node(socket.socket(fileno=stream)))
        code = 0
    except BaseException:  # noqa: BLE001 - the stack below is the fork server's, and none of its business
        # It stands in the node's log.
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


async def _run_node(stream: socket.socket) -> None:
    from session_testnet.engines.remote.node_host import NodeHost

    stream.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=stream)
    await NodeHost(reader, writer).run()


if __name__ == "__main__":
    main()
