"""What the community server and the file server do in a second, beside each other in one run."""

import json
import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from testnet_measurements import server_workloads as workloads
from testnet_measurements.measurements import KIB, MIB, Effort, Throughput, run, throughput
from testnet_measurements.server_process import Cores, ServerProcess, served
from testnet_measurements.server_workloads import Question, Relays
from testnet_measurements.workloads import RELAYS

# A short message, as apps pad it; an attachment of a photograph.
MESSAGE = 320
FILE = 1 * MIB


@dataclass(frozen=True, slots=True)
class ServerReport:
    """Everything that one run has measured, and the load of the machine in the 1, 5, 15 minutes before."""

    rows: tuple[Throughput, ...]
    machine_load: tuple[float, float, float]


def measure_servers(effort: Effort, *, cores: Cores, progress: Callable[[str], None]) -> ServerReport:
    """Measure servers that keep everything in memory, then servers that keep it on disk."""
    before = os.getloadavg()
    rng = random.Random(0)  # noqa: S311 - it chooses accounts and paths
    rows: list[Throughput] = []
    progress("servers in memory")
    with served(RELAYS, cores=cores) as server:
        rows += _rows(server, effort, "in memory", rng)
        rows += _onion_rows(server, effort, rng)
    progress("servers on disk")
    with (
        TemporaryDirectory() as directory,
        served(RELAYS, data_dir=Path(directory), cores=cores) as server,
    ):
        rows += _rows(server, effort, "on disk", rng)
    return ServerReport(tuple(rows), before)


def _rows(server: ServerProcess, effort: Effort, where: str, rng: random.Random) -> Iterable[Throughput]:
    community, files = server.community, server.files
    yield throughput(
        server,
        effort,
        f"post, {where}",
        MESSAGE,
        lambda count: workloads.posts(community, MESSAGE, count, rng),
    )
    newest = _newest(server, rng)
    yield throughput(
        server,
        effort,
        f"poll, {where}",
        workloads.NEW_MESSAGES * MESSAGE,
        lambda count: workloads.directly(
            community, workloads.polls(community, newest, count, rng), workloads.check_poll
        ),
    )
    yield throughput(
        server,
        effort,
        f"upload, {where}",
        FILE,
        lambda count: workloads.directly(files, workloads.uploads(FILE, count), workloads.check_uploaded),
        count=_transfers(effort),
    )
    content = os.urandom(FILE)
    file_id = _upload(server, content)
    yield throughput(
        server,
        effort,
        f"download, {where}",
        FILE,
        lambda count: workloads.directly(
            files, workloads.downloads(file_id, count), workloads.downloaded(content)
        ),
        count=_transfers(effort),
    )


def _onion_rows(server: ServerProcess, effort: Effort, rng: random.Random) -> Iterable[Throughput]:
    community, files, relays = server.community, server.files, Relays(server.nodes, rng)
    newest = _newest(server, rng)
    yield throughput(
        server,
        effort,
        "poll, 3 relays",
        workloads.NEW_MESSAGES * MESSAGE,
        lambda count: relays.through(
            community, workloads.polls(community, newest, count, rng), workloads.check_poll
        ),
    )
    yield throughput(
        server,
        effort,
        "upload, 3 relays",
        FILE,
        lambda count: relays.through(files, workloads.uploads(FILE, count), workloads.check_uploaded),
        count=_transfers(effort),
    )
    content = os.urandom(FILE)
    file_id = _upload(server, content)
    yield throughput(
        server,
        effort,
        "download, 3 relays",
        FILE,
        lambda count: relays.through(
            files, workloads.downloads(file_id, count), workloads.downloaded(content)
        ),
        count=_transfers(effort),
    )


def megabytes_per_second(row: Throughput) -> float | None:
    """Return what a row of uploads or downloads moves in a second, in 10^6 bytes; None for other rows."""
    return row.per_second_best * row.bytes / 1e6 if row.bytes >= 100 * KIB else None


def _transfers(effort: Effort) -> int:
    """Return how many files one round moves."""
    return max(1, effort.requests // 100)


def _newest(server: ServerProcess, rng: random.Random) -> int:
    """Make sure that the room has as many messages as a poll shall find; return its sequence number."""
    run(server, workloads.posts(server.community, MESSAGE, workloads.NEW_MESSAGES, rng), connections=1)
    room = workloads.directly(server.community, [Question("GET", workloads.ROOM, {}, b"")], _is_json)
    return workloads.newest_message(run(server, room, connections=1).replies[0].body)


def _upload(server: ServerProcess, content: bytes) -> str:
    one = workloads.directly(server.files, [Question("POST", "/file", {}, content)], workloads.check_uploaded)
    return str(json.loads(run(server, one, connections=1).replies[0].body)["id"])


def _is_json(_number: int, body: bytes) -> None:
    json.loads(body)
