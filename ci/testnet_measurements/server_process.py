"""Start the measured process, on a core of its own where there are two, and ask it what it has used."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_SCRIPT = Path(__file__).with_name("served_testnet.py")


@dataclass(frozen=True, slots=True)
class ServedNode:
    """A node as a client sees it; keys are 32 bytes."""

    name: str
    host: str
    port: int
    ed25519_pk: bytes
    x25519_pk: bytes
    swarm_id: int

    @property
    def has_tls(self) -> bool:
        """Tell whether it is spoken to through TLS."""
        return True


@dataclass(frozen=True, slots=True)
class ServedServer:
    """A server beside the nodes: a community's, or that of files."""

    host: str
    port: int
    x25519_pk: bytes

    @classmethod
    def of(cls, told: dict[str, Any]) -> "ServedServer":
        """Read what the measured process says of it."""
        parts = urlsplit(told["url"])
        assert parts.hostname is not None
        assert parts.port is not None
        return cls(parts.hostname, parts.port, bytes.fromhex(told["x25519_pk"]))

    @property
    def has_tls(self) -> bool:
        """Tell whether it is spoken to through TLS."""
        return False


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process holds, in bytes: all of its pages, and those that it shares with no other."""

    resident: int
    unshared: int


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores for the measured process and for the load; None where they cannot be chosen."""

    server: int | None
    load: int | None

    @classmethod
    def choose(cls) -> "Cores":
        """Take two of the cores that this process may use."""
        if not hasattr(os, "sched_getaffinity"):
            return cls(None, None)
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[0], allowed[1]) if len(allowed) > 1 else cls(None, None)

    def take_load_core(self) -> None:
        """Keep this process, which makes the load, off the measured one's core."""
        if self.load is not None:
            os.sched_setaffinity(0, {self.load})


class ServerProcess:
    """A testnet in another process; made with :func:`served`.

    ``ready_s`` and ``ready_cpu_s`` are the time from its start until it was ready, by the clock and of its
    own processor time.
    """

    def __init__(self, process: "subprocess.Popen[str]", started: float) -> None:
        self._process = process
        ready = self._next_line()
        self.ready_s = time.perf_counter() - started
        self.ready_cpu_s: float = ready["cpu_s"]
        self.nodes = tuple(
            ServedNode(
                name=node["name"],
                host=node["host"],
                port=node["port"],
                ed25519_pk=bytes.fromhex(node["ed25519_pk"]),
                x25519_pk=bytes.fromhex(node["x25519_pk"]),
                swarm_id=node["swarm_id"],
            )
            for node in ready["nodes"]
        )
        self.community = ServedServer.of(ready["community"])
        self.files = ServedServer.of(ready["files"])

    def cpu_s(self) -> float:
        """Return the processor time that the process has used so far."""
        return float(self._ask("cpu")["cpu_s"])

    def memory(self) -> Memory:
        """Return what the process holds now."""
        return Memory(**self._ask("memory"))

    def _ask(self, question: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._next_line()

    def _next_line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the measured testnet ended early, with code {self._process.wait(10)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def served(
    nodes: int, *, swarms: int | None = None, data_dir: Path | None = None, cores: Cores
) -> Iterator[ServerProcess]:
    """Run a testnet in another process for as long as the context lasts."""
    arguments = {
        "nodes": nodes,
        "swarms": swarms,
        "data_dir": None if data_dir is None else str(data_dir),
        "core": cores.server,
    }
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, str(_SCRIPT), json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield ServerProcess(process, started)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
