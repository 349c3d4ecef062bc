"""How a network is run, apart from what it consists of; light to import, for whoever only describes one."""

from dataclasses import dataclass
from pathlib import Path

from session_testnet.hinted_error import HintedError

ENGINES = ("embedded", "process")


class NetworkError(HintedError):
    """Say what a network could not do, and how to mend it."""


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How a network is run, apart from what it consists of.

    ``data_dir`` None keeps all data in memory; ``log_dir`` None keeps logs in memory only. Ports of 0 are
    chosen by the system; ``advertise_ip`` is the address under which others reach this machine.
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
    clock_offset_ms: int = 0
    ready_deadline_s: float = 30.0
