"""Run each node as a process of its own, forked from one that has everything loaded."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from session_testnet.endpoints import (
    ANY,
    LOOPBACK,
    Endpoint,
    NodeEndpoints,
    allocate_node_addresses,
    listening_host,
    parse_advertise_ip,
)
from session_testnet.engines.base import Capabilities, CommandResult, EngineError, EngineOptions, Surroundings
from session_testnet.engines.remote.orders import Bound
from session_testnet.engines.remote.places import Ports, Reach
from session_testnet.topology import NodeSpec, Topology

# How long the fork server may take to load its modules, and to answer.
START_S = 30.0
ANSWER_S = 10.0


class ProcessLauncher:
    """Fork a process for each node; without a data directory nodes store below a temporary one."""

    name = "process"
    stores_here = True
    capabilities = Capabilities(pause=True, kill=True, exec=False)

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._asking = asyncio.Lock()
        self._surroundings: Surroundings | None = None
        self._temporary: Path | None = None
        self._hosts: dict[str, str] = {}
        self._logs: dict[str, asyncio.Task[None]] = {}

    async def prepare(self, topology: Topology, options: EngineOptions) -> None:
        """Do nothing: processes of this machine are anywhere on it."""

    async def open(self, surroundings: Surroundings) -> None:
        """Start the fork server."""
        self._surroundings = surroundings
        ours, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(  # noqa: ASYNC220 - it returns as soon as the process exists
                [sys.executable, "-P", "-m", "session_testnet.engines.fork_server", str(theirs.fileno()),
                 str(os.getpid()), *(["temporary"] if surroundings.options.data_dir is None else [])],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        ours.settimeout(START_S)
        self._control = ours
        ready = await asyncio.to_thread(_read_line, ours)
        if not ready.get("ready"):
            raise EngineError("start", "the fork server", "it ended before it was ready")
        # The server made it, so that it is removed even when this process is ended by force.
        self._temporary = Path(ready["directory"]) if ready["directory"] else None
        ours.settimeout(ANSWER_S)

    def ports(self, spec: NodeSpec) -> Ports:
        """Return an address of its own for each node, where the system has so many."""
        advertise_ip = self._options.advertise_ip
        if advertise_ip is not None:
            return Ports(listening_host(advertise_ip))
        taken = set(self._hosts.values())
        free = (host for host in allocate_node_addresses(len(taken) + 1) if host not in taken)
        host = self._hosts[spec.name] = next(free, LOOPBACK)
        return Ports(host)

    def directory(self, spec: NodeSpec) -> str:
        """Return the node's directory, below a temporary one when nothing is to be kept."""
        directory = self._options.directory(spec.name)
        if directory is None:
            assert self._temporary is not None, "a launcher is opened first"
            directory = self._temporary / spec.name
            directory.mkdir(exist_ok=True)
        return str(directory)

    async def check_image(self, image: str) -> None:
        """Refuse: processes have no images."""
        raise EngineError("change", "the image of a node", f"it is a process, and {image} for containers")

    async def launch(self, spec: NodeSpec, image: str | None) -> "ProcessPlace":
        """Fork a process for a node; there are no images here."""
        del image
        ours, theirs = socket.socketpair()
        log, log_end = os.pipe()
        try:
            with theirs:
                forked = await self._ask({"do": "fork"}, [theirs.fileno(), log_end])
        except BaseException:
            ours.close()
            os.close(log)
            raise
        finally:
            os.close(log_end)
        await self._follow_log(spec.name, log)
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours)
        return ProcessPlace(self, forked["pid"], reader, writer)

    def forget(self, spec: NodeSpec) -> None:
        """Give a discarded node's address to others."""
        self._hosts.pop(spec.name, None)

    def reach(self, host: str, bound: Bound) -> Reach:
        """Tell how a node is reached that listens at a host."""
        advertise_ip = self._options.advertise_ip
        inner = LOOPBACK if host == ANY else host
        told = inner if advertise_ip is None else parse_advertise_ip(advertise_ip)

        def at(port: int) -> NodeEndpoints:
            return NodeEndpoints(Endpoint(host, port), Endpoint(inner, port), Endpoint(told, port))

        omq = None if bound.omq_port is None else at(bound.omq_port)
        return Reach(at(bound.port), omq, Endpoint(inner, bound.peer_port))

    async def signal(self, pid: int, number: signal.Signals) -> None:
        """Signal a node's process and all that it has started."""
        await self._ask({"do": "signal", "pid": pid, "signal": int(number)})

    async def ended(self, pid: int, deadline_s: float) -> bool:
        """Wait for the end of a node's process."""
        answer = await self._ask({"do": "wait", "pid": pid, "seconds": min(deadline_s, ANSWER_S / 2)})
        return bool(answer["ended"])

    async def close(self) -> None:
        """End the fork server with whatever it has still running, and remove what was stored for nobody."""
        control, self._control = self._control, None
        if control is not None:
            control.close()
        server, self._server = self._server, None
        if server is not None:
            try:
                await asyncio.to_thread(server.wait, ANSWER_S)
            except subprocess.TimeoutExpired:
                server.kill()
                await asyncio.to_thread(server.wait)
        await asyncio.gather(*self._logs.values())
        self._logs.clear()
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            await asyncio.to_thread(shutil.rmtree, temporary, ignore_errors=True)

    @property
    def _options(self) -> EngineOptions:
        assert self._surroundings is not None, "a launcher is opened first"
        return self._surroundings.options

    async def _ask(self, request: dict[str, Any], descriptors: list[int] | None = None) -> dict[str, Any]:
        async with self._asking:
            if self._control is None:
                raise EngineError(request["do"], "a process", "the fork server has ended")
            return await asyncio.to_thread(_exchange, self._control, request, descriptors or [])

    async def _follow_log(self, name: str, descriptor: int) -> None:
        """Write what a process prints into the node's log, until it has ended."""
        assert self._surroundings is not None, "a launcher is opened first"
        logs = self._surroundings.logs
        reader = asyncio.StreamReader(limit=1 << 20)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
        )
        before = self._logs.get(name)

        async def follow() -> None:
            if before is not None:
                await before
            with contextlib.suppress(ValueError):
                async for line in reader:
                    logs.write(name, "info", line.decode(errors="replace").rstrip("\n"))
            transport.close()

        self._logs[name] = asyncio.create_task(follow(), name=f"log of {name}")


class ProcessPlace:
    """One forked process."""

    def __init__(
        self,
        launcher: ProcessLauncher,
        pid: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Take the process and the stream to it."""
        self.pid = pid
        self.reader = reader
        self.writer = writer
        self._launcher = launcher

    def reach(self, host: str, bound: Bound) -> Reach:
        """Tell how the node is reached."""
        return self._launcher.reach(host, bound)

    async def kill(self) -> None:
        """End the process and all that it has started; return when it has ended."""
        await self._launcher.signal(self.pid, signal.SIGKILL)

    async def freeze(self) -> None:
        """Stop the process."""
        await self._launcher.signal(self.pid, signal.SIGSTOP)

    async def thaw(self) -> None:
        """Let the process go on."""
        await self._launcher.signal(self.pid, signal.SIGCONT)

    async def exec(self, command: Sequence[str], deadline_s: float) -> CommandResult:
        """Refuse: a process has no place of its own on this machine."""
        del deadline_s
        raise EngineError("run a command in", "a node", f"{command[0]} can be run beside its process by hand")

    async def ended(self, deadline_s: float) -> bool:
        """Wait until the process has ended of its own accord."""
        return await self._launcher.ended(self.pid, deadline_s)


def _exchange(control: socket.socket, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    try:
        socket.send_fds(control, [json.dumps(request).encode()], descriptors)
        return _read_line(control)
    except OSError as error:
        raise EngineError(request["do"], "a process", f"the fork server does not answer: {error}") from error


def _read_line(control: socket.socket) -> dict[str, Any]:
    line = b""
    while not line.endswith(b"\n"):
        more = control.recv(4096)
        if not more:
            raise EngineError("start", "a process", "the fork server has ended", "its error stands above")
        line += more
    answer: dict[str, Any] = json.loads(line)
    return answer
