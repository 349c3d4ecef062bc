"""Labels on all that a network makes at a container engine: whose it is, and when it may be removed."""

import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from session_testnet.owner import Owner

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
