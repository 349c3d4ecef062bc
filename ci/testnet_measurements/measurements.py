"""The measurements themselves: what is run how often, and what becomes of the numbers."""

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from session_testnet.loop_thread import new_event_loop
from testnet_measurements import workloads
from testnet_measurements.load import LoadResult, run_load
from testnet_measurements.server_process import Cores, ServerProcess, served
from testnet_measurements.workloads import Mailboxes, Workload

KIB = 1024
MIB = 1024 * 1024
SMALL, LARGE = 1 * KIB, 75 * KIB
SWARM = 5


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is run: rounds of so many requests each, over so many connections; sizes of idle networks."""

    rounds: int = 5
    requests: int = 3000
    connections: int = 16
    idle_nodes: tuple[int, ...] = (14, 100, 1000)
    # Longer than the period after which nodes purge: what they do of their own accord counts too.
    idle_s: float = 10.5

    def requests_of(self, size: int) -> int:
        """Return how many requests of this many bytes one round has: large ones take longer."""
        return self.requests if size <= 10 * KIB else max(1, self.requests // 10)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Requests per second under load, and how long one takes alone on its connection.

    The best of all rounds is what the code can do where the machine has nothing else to do; the median says
    how far the machine was from that. Processor time of the server depends least on what else runs.
    """

    name: str
    nodes: int
    bytes: int
    per_second_best: float
    per_second_median: float
    server_cpu_us: float
    p50_ms: float
    p99_ms: float
    loaded_p50_ms: float
    loaded_p99_ms: float


@dataclass(frozen=True, slots=True)
class Idle:
    """A network that nobody uses; memory in MiB, processor time in milliseconds per second."""

    nodes: int
    ready_s: float
    ready_cpu_s: float
    resident_mib: float
    unshared_mib: float
    cpu_ms_per_s: float


@dataclass(frozen=True, slots=True)
class Goal:
    """A number that is to be reached: at least or at most ``limit``."""

    name: str
    value: float
    relation: str
    limit: float

    @property
    def met(self) -> bool:
        """Tell whether it is reached."""
        return self.value >= self.limit if self.relation == ">=" else self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one run has measured."""

    throughput: tuple[Throughput, ...]
    idle: tuple[Idle, ...]
    goals: tuple[Goal, ...]


def measure(effort: Effort, *, cores: Cores, progress: Callable[[str], None]) -> Report:
    """Measure everything."""
    rng = random.Random(0)  # noqa: S311 - it chooses accounts and paths
    rows: list[Throughput] = []
    for nodes, name in ((1, "one node"), (SWARM, f"swarm of {SWARM}")):
        progress(f"stores and retrieves to {name}")
        with served(nodes, swarms=1, cores=cores) as server:
            rows += _storage_rows(server, effort, name, rng)
    progress(f"stores to a swarm of {SWARM} that keeps them on disk")
    with (
        TemporaryDirectory() as directory,
        served(SWARM, swarms=1, data_dir=Path(directory), cores=cores) as server,
    ):
        rows.append(_on_disk_row(server, effort, rng))
    progress("onion requests through 3 relays")
    with served(2 * SWARM, swarms=2, cores=cores) as server:
        rows += _onion_rows(server, effort, rng)
    idle = []
    for nodes in (1, *effort.idle_nodes):
        progress(f"an idle network of {nodes} nodes")
        idle.append(_idle(nodes, effort, cores))
    return Report(tuple(rows), tuple(idle), tuple(_goals(rows, idle)))


def _storage_rows(
    server: ServerProcess, effort: Effort, name: str, rng: random.Random
) -> Iterable[Throughput]:
    readers, writers = (Mailboxes.in_one_swarm(server.nodes, rng) for _ in range(2))
    _fill(server, readers, SMALL)
    yield throughput(
        server, effort, f"store, {name}", SMALL, lambda count: workloads.stores(writers, SMALL, count)
    )
    yield throughput(
        server, effort, f"retrieve, {name}", SMALL, lambda count: workloads.retrieves(readers, SMALL, count)
    )


def _on_disk_row(server: ServerProcess, effort: Effort, rng: random.Random) -> Throughput:
    writers = Mailboxes.in_one_swarm(server.nodes, rng)
    name = f"store, swarm of {SWARM}, on disk"
    return throughput(server, effort, name, SMALL, lambda count: workloads.stores(writers, SMALL, count))


def _onion_rows(server: ServerProcess, effort: Effort, rng: random.Random) -> Iterable[Throughput]:
    for size in (SMALL, LARGE):
        readers, writers = (Mailboxes.in_one_swarm(server.nodes, rng) for _ in range(2))
        _fill(server, readers, size)

        def store(count: int, size: int = size, mailboxes: Mailboxes = writers) -> Workload:
            return workloads.onion_stores(server.nodes, mailboxes, size, count, rng)

        def retrieve(count: int, size: int = size, mailboxes: Mailboxes = readers) -> Workload:
            return workloads.onion_retrieves(server.nodes, mailboxes, size, count, rng)

        yield throughput(server, effort, "onion store, 3 relays", size, store)
        yield throughput(server, effort, "onion retrieve, 3 relays", size, retrieve)


def _fill(server: ServerProcess, mailboxes: Mailboxes, size: int) -> None:
    run(server, workloads.stores(mailboxes, size, workloads.ACCOUNTS), connections=1)


def throughput(
    server: ServerProcess,
    effort: Effort,
    name: str,
    size: int,
    make: Callable[[int], Workload],
    *,
    count: int | None = None,
) -> Throughput:
    """Measure one load, in rounds of ``count`` requests: under load, and one request at a time."""
    count = effort.requests_of(size) if count is None else count
    run(server, make(max(1, count // 10)), connections=effort.connections)  # warm up
    loaded = [run(server, make(count), connections=effort.connections) for _ in range(effort.rounds)]
    alone = [run(server, make(max(1, count // 3)), connections=1) for _ in range(effort.rounds)]
    rates = [count / result.seconds for result in loaded]
    return Throughput(
        name=name,
        nodes=len(server.nodes),
        bytes=size,
        per_second_best=max(rates),
        per_second_median=statistics.median(rates),
        server_cpu_us=statistics.median(result.server_cpu_s for result in loaded) / count * 1e6,
        p50_ms=min(_percentile_ms(result, 50) for result in alone),
        p99_ms=statistics.median(_percentile_ms(result, 99) for result in alone),
        loaded_p50_ms=min(_percentile_ms(result, 50) for result in loaded),
        loaded_p99_ms=statistics.median(_percentile_ms(result, 99) for result in loaded),
    )


def run(server: ServerProcess, workload: Workload, *, connections: int) -> LoadResult:
    """Send a workload's requests and check every answer."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        result = runner.run(
            run_load(
                workload.nodes,
                workload.requests,
                connections=connections,
                server_cpu_s=server.cpu_s,
                status=workload.status,
            )
        )
    for number, reply in enumerate(result.replies):
        workload.check(number, reply.body)
    return result


def _percentile_ms(result: LoadResult, percent: int) -> float:
    seconds = sorted(reply.seconds for reply in result.replies)
    return seconds[min(len(seconds) - 1, len(seconds) * percent // 100)] * 1000


def _idle(nodes: int, effort: Effort, cores: Cores) -> Idle:
    with served(nodes, cores=cores) as server:
        before = server.cpu_s()
        time.sleep(effort.idle_s)
        cpu_s = server.cpu_s() - before
        memory = server.memory()
        return Idle(
            nodes=nodes,
            ready_s=server.ready_s,
            ready_cpu_s=server.ready_cpu_s,
            resident_mib=memory.resident / MIB,
            unshared_mib=memory.unshared / MIB,
            cpu_ms_per_s=cpu_s / effort.idle_s * 1000,
        )


def _goals(rows: Sequence[Throughput], idle: Sequence[Idle]) -> Iterable[Goal]:
    by_name = {(row.name, row.bytes): row for row in rows}
    swarm = f"swarm of {SWARM}"
    yield Goal("retrieves/s of 1 KiB", by_name[f"retrieve, {swarm}", SMALL].per_second_best, ">=", 3000)
    yield Goal(
        f"stores/s of 1 KiB to a {swarm}", by_name[f"store, {swarm}", SMALL].per_second_best, ">=", 1000
    )
    yield Goal(
        "ms of an onion store of 1 KiB through 3 relays, p50",
        by_name["onion store, 3 relays", SMALL].p50_ms,
        "<=",
        3,
    )
    first, *more = idle
    for each in more:
        per_node = (each.unshared_mib - first.unshared_mib) / (each.nodes - first.nodes)
        yield Goal(f"MiB per node beyond the first, {each.nodes} nodes", per_node, "<=", 0.3)
