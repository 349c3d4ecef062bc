"""What every engine offers, and the errors that name the operation and the node."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from session_testnet.endpoints import Endpoint, NodeEndpoints
from session_testnet.hinted_error import HintedError


class EngineError(HintedError):
    """Say which operation on which node failed, why, and what to do about it."""

    def __init__(self, operation: str, node: str, reason: str, hint: str = "") -> None:
        """Take the operation ("start", "stop", …), the node's name, the reason and a hint."""
        super().__init__(f"cannot {operation} {node}: {reason}", hint)
        self.operation = operation
        self.node = node
        self.reason = reason


class NodeStatus(StrEnum):
    """Where a node stands in its life."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do with a node; an unsupported verb is refused with the engine's name."""

    pause: bool
    kill: bool
    exec: bool


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Where an engine puts its parts and how others reach them.

    ``data_dir`` None keeps everything in memory. ``advertise_ip`` None means loopback addresses, one for each
    node where the system binds them. A port of 0 lets the system choose. With a ``community_control_token``
    the community server runs in test mode.
    """

    data_dir: Path | None = None
    advertise_ip: str | None = None
    registry_port: int = 0
    gateway_port: int = 0
    community_control_token: str | None = None


@dataclass(slots=True)
class ServiceEndpoints:
    """Where each service listens, is reached from inside, and is advertised.

    Nothing listens for OMQ in a network that runs without it.
    """

    registry_http: NodeEndpoints
    registry_https: NodeEndpoints
    community: NodeEndpoints
    files: NodeEndpoints
    gateway: NodeEndpoints
    nodes: dict[str, NodeEndpoints] = field(default_factory=dict)
    registry_omq: NodeEndpoints | None = None
    nodes_omq: dict[str, NodeEndpoints] = field(default_factory=dict)

    def inner_of_advertised(self) -> dict[Endpoint, Endpoint]:
        """Return where services reach what HTTP clients are told of, the gateway aside."""
        services = (self.community, self.files, self.registry_http, self.registry_https)
        return {service.advertised: service.inner for service in (*services, *self.nodes.values())}

    def by_name(self) -> dict[str, NodeEndpoints]:
        """Return the endpoints of every service by the name of its log."""
        return {
            "registry": self.registry_http,
            "community": self.community,
            "files": self.files,
            "gateway": self.gateway,
            **self.nodes,
        }


class Engine(Protocol):
    """Run the parts of one network."""

    name: str
    capabilities: Capabilities

    @property
    def endpoints(self) -> ServiceEndpoints:
        """Return where everything listens; valid after :meth:`start`."""

    async def start(self) -> None:
        """Start every service; return when all of them listen."""

    async def stop_node(self, name: str) -> None:
        """End a node; what it stored stays for the next start."""

    async def start_node(self, name: str) -> None:
        """Start a stopped node at its old address."""

    async def add_node(self, name: str | None = None, *, swarm_id: int | None = None) -> str:
        """Let a new node join; return its name, by default the next free one.

        ``swarm_id`` is its swarm where swarms are explicit, by default the smallest.
        """

    async def remove_node(self, name: str) -> None:
        """Let a node leave for good; before it ends it hands over what others have not got from it."""

    async def decommission_node(self, name: str) -> None:
        """Take a node out of its swarm; it stays and goes on relaying."""

    async def recommission_node(self, name: str) -> None:
        """Take a decommissioned node into a swarm again."""

    async def pause_node(self, name: str) -> None:
        """Freeze a node: it accepts connections and answers nothing."""

    async def resume_node(self, name: str) -> None:
        """Let a paused node answer again, first of all what it was asked meanwhile."""

    def node_status(self, name: str) -> NodeStatus:
        """Return where the node stands."""

    async def close(self) -> None:
        """End everything and leave nothing behind; safe to call twice."""
