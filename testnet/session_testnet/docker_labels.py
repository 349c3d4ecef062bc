"""Labels on all that a network makes at a container engine: whose it is, and when it may be removed."""

import datetime as dt
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PREFIX: Final = "session-testnet."
NETWORK: Final = f"{PREFIX}network"
RUN: Final = f"{PREFIX}run"
NODE: Final = f"{PREFIX}node"
ROLE: Final = f"{PREFIX}role"
CREATED: Final = f"{PREFIX}created"
TTL: Final = f"{PREFIX}ttl"
OWNER: Final = f"{PREFIX}owner"
CONTENT: Final = f"{PREFIX}content"


@dataclass(frozen=True, slots=True)
class Owner:
    """A process on a machine; ``started`` tells it from a later one with the same number, 0 where unknown."""

    host: str
    pid: int
    started: int = 0

    @classmethod
    def this_process(cls) -> "Owner":
        """Return the calling process."""
        return cls(socket.gethostname(), os.getpid(), _start_of(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> "Owner | None":
        """Read what :meth:`__str__` wrote; None for anything else."""
        host, _, rest = text.rpartition("/")
        pid, _, started = rest.partition("@")
        if not host or not pid.isdecimal() or not started.isdecimal():
            return None
        return cls(host, int(pid), int(started))

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}@{self.started}"

    def is_gone(self) -> bool:
        """Tell whether the process has ended for sure; nobody knows that of another machine's."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        started = _start_of(self.pid)
        return bool(self.started and started is not None and started != self.started)


@dataclass(frozen=True, slots=True)
class NetworkLabels:
    """What everything of one network is labelled with; ``run`` tells it from others of the same name."""

    network: str
    ttl_s: float | None = None
    run: str = field(default_factory=lambda: secrets.token_hex(4))

    def of(self, role: str, node: str = "") -> dict[str, str]:
        """Return the labels of one thing."""
        return {
            NETWORK: self.network,
            RUN: self.run,
            ROLE: role,
            NODE: node,
            CREATED: dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            TTL: "" if self.ttl_s is None else f"{self.ttl_s:g}",
            OWNER: str(Owner.this_process()),
        }

    def name_of(self, part: str) -> str:
        """Return a name that nothing of another network has."""
        return f"session-testnet-{self.run}-{part}"


def why_left_over(labels: Mapping[str, str], now: dt.datetime) -> str | None:
    """Return why a labelled thing is nobody's any more; None when it may be in use."""
    owner = Owner.parse(labels.get(OWNER, ""))
    if owner is not None and owner.is_gone():
        return f"its process {owner.pid} has ended"
    age, ttl = age_s(labels, now), labels.get(TTL, "")
    if age is not None and ttl and age > float(ttl):
        return f"its time to live of {float(ttl):g} s is over"
    return None


def age_s(labels: Mapping[str, str], now: dt.datetime) -> float | None:
    """Return how old a labelled thing is, in seconds; None when its labels do not say."""
    try:
        return (now - dt.datetime.fromisoformat(labels[CREATED])).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None


def _start_of(pid: int) -> int | None:
    """Return when a process started, in ticks since the machine did; None where nobody knows (not Linux)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return None
    # The name in parentheses may contain anything; the state is the first word after it, the start the 20th.
    return int(stat.rpartition(")")[2].split()[19])
