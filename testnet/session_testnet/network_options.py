"""How a network is run, apart from what it consists of; light to import, for whoever only describes one."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from session_testnet.hinted_error import HintedError

ENGINES = ("embedded", "process", "docker", "docker-swarm")
# Those of them that run nodes in containers.
READY_IN_CONTAINERS_S = 120.0
IN_CONTAINERS = ("docker", "docker-swarm")
_RELEASE = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})", re.ASCII)


class NetworkError(HintedError):
    """Say what a network could not do, and how to mend it."""


def parse_release(text: str) -> tuple[int, int, int]:
    """Return the release of a storage server that a text like 2.11.3 names; raise NetworkError."""
    match = _RELEASE.fullmatch(text)
    if match is None or not all(int(part) <= 255 for part in match.groups()):
        raise NetworkError(
            f"{text!r} is not a release of the storage server",
            "write 2.11.3, or 2.8.0 for the older behaviour",
        )
    major, minor, patch = map(int, match.groups())
    return major, minor, patch


@dataclass(frozen=True, slots=True)
class ContainerOptions:
    """How containers are run.

    ``image`` None is the one that `session-harness image build` makes. A node's container gets at most
    ``memory_bytes`` and ``cpus``, None: all that there is. ``ttl_s`` seconds after its start a network's
    containers count as left over, whoever still runs them.
    """

    image: str | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How a network is run, apart from what it consists of.

    ``data_dir`` None keeps all data in memory; ``log_dir`` None keeps logs in memory only. Ports of 0 are
    chosen by the system; ``advertise_ip`` is the address under which others reach this machine,
    ``control_ip`` the one at which the control interface listens, None: the loopback.
    ``tcp_faults`` puts a proxy in front of each service, where faults of connections act.
    ``clock_offset_ms`` is how far the network's clock is ahead of the machine's at the start.
    ``test_mode`` lets whoever has the control token set the community server up as fixtures do.
    """

    engine: str = "embedded"
    data_dir: Path | None = None
    log_dir: Path | None = None
    advertise_ip: str | None = None
    registry_port: int = 0
    gateway_port: int = 0
    test_mode: bool = False
    tcp_faults: bool = False
    control_ip: str | None = None
    clock_offset_ms: int = 0
    ready_deadline_s: float = 30.0
    containers: ContainerOptions = field(default_factory=ContainerOptions)

    def on_this_machine(self) -> "NetworkOptions":
        """Return the same for a network that only this machine uses, with what its engine needs for that."""
        if self.engine not in IN_CONTAINERS:
            return self
        # Docker Swarm publishes ports at every address, and wants to be told so.
        advertise_ip = "127.0.0.1" if self.engine == "docker-swarm" else self.advertise_ip
        return replace(self, advertise_ip=advertise_ip, ready_deadline_s=READY_IN_CONTAINERS_S)
