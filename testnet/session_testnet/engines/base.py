"""What every engine offers: nodes that are started, stopped and asked alike, whatever they run in."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from session_testnet.clock import Clock
from session_testnet.endpoints import Endpoint, NodeEndpoints
from session_testnet.faults import FaultBook, RequestCounters
from session_testnet.hinted_error import HintedError
from session_testnet.knobs import NodeKnobs
from session_testnet.logs import LogBook
from session_testnet.network_options import ContainerOptions
from session_testnet.services.registry import NetworkSnapshot, RegistryState
from session_testnet.services.storage import ExitMap
from session_testnet.services.storage.oxend import Oxend
from session_testnet.services.storage.results import RpcResult
from session_testnet.topology import NodeSpec, Topology
from session_testnet.trace import Trace


class EngineError(HintedError):
    """Say which operation on which node failed, why, and what to do about it."""

    def __init__(self, operation: str, node: str, reason: str, hint: str = "") -> None:
        """Take the operation ("start", "stop", …), the node's name, the reason and a hint."""
        super().__init__(f"cannot {operation} {node}: {reason}", hint)
        self.operation = operation
        self.node = node
        self.reason = reason


Hear = Callable[[bytes, bytes], None]
"""Take a command that a node pushes, and its body in bt."""


class NodeStatus(StrEnum):
    """Where a node stands in its life."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do with a node; an unsupported verb is refused with the engine's name."""

    pause: bool = True
    kill: bool = True
    exec: bool = False
    image: bool = False

    def check(self, engine: str, verb: str, node: str) -> None:
        """Raise EngineError for a verb that the engine does not offer."""
        if not getattr(self, verb, True):
            raise EngineError(verb, node, f"the engine {engine} does not offer this")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Where an engine puts its parts and how others reach them.

    ``data_dir`` None keeps everything in memory. ``advertise_ip`` None means loopback addresses, one for each
    node where the system binds them. ``tcp_faults`` puts a proxy in front of each service, where faults of
    connections act. A port of 0 lets the system choose. With a ``community_control_token`` the community
    server runs in test mode.
    """

    data_dir: Path | None = None
    advertise_ip: str | None = None
    tcp_faults: bool = False
    registry_port: int = 0
    gateway_port: int = 0
    community_control_token: str | None = None
    containers: ContainerOptions = field(default_factory=ContainerOptions)

    def directory(self, name: str) -> Path | None:
        """Return where a part of this name keeps its data, made if it is missing; None: in memory."""
        if self.data_dir is None:
            return None
        directory = self.data_dir / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory


@dataclass(frozen=True, slots=True)
class Doorway:
    """How nodes outside this machine's loopback reach servers in this process.

    They do at the host ``told``. ``listen`` is where servers have to listen for that besides, None: nowhere.
    """

    told: str
    listen: str | None


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command inside a node's container ended, and what it wrote to stdout and stderr."""

    exit_code: int
    output: str


@dataclass(slots=True)
class ServiceEndpoints:
    """Where each service listens, is reached from inside, and is advertised.

    Nothing listens for OMQ in a network that runs without it.
    """

    registry_http: NodeEndpoints
    registry_https: NodeEndpoints
    community: NodeEndpoints
    files: NodeEndpoints
    push: NodeEndpoints
    gateway: NodeEndpoints
    nodes: dict[str, NodeEndpoints] = field(default_factory=dict)
    registry_omq: NodeEndpoints | None = None
    nodes_omq: dict[str, NodeEndpoints] = field(default_factory=dict)

    def inner_of_advertised(self) -> dict[Endpoint, Endpoint]:
        """Return where services reach what HTTP clients are told of, the gateway aside."""
        services = (self.community, self.files, self.push, self.registry_http, self.registry_https)
        return {service.advertised: service.inner for service in (*services, *self.nodes.values())}

    def by_name(self) -> dict[str, NodeEndpoints]:
        """Return the endpoints of every service by the name of its log."""
        return {
            "registry": self.registry_http,
            "community": self.community,
            "files": self.files,
            "push": self.push,
            "gateway": self.gateway,
            **self.nodes,
        }


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the nodes of one network have in common.

    ``registry()`` works once nodes are launched. ``kill(name)`` begins to kill a node, and returns at once.
    """

    topology: Topology
    options: EngineOptions
    clock: Clock
    trace: Trace
    logs: LogBook
    faults: FaultBook
    exits: ExitMap
    oxend: Oxend
    registry: Callable[[], RegistryState]
    requests: RequestCounters
    kill: Callable[[str], None]


class Node(Protocol):
    """One service node. It has its address from the beginning, and serves from :meth:`launch` on.

    A method that a stopped or frozen node cannot answer raises EngineError.
    """

    spec: NodeSpec
    ed25519_hex: str

    @property
    def endpoints(self) -> NodeEndpoints:
        """Return where the node is reached over HTTPS."""

    @property
    def omq_endpoints(self) -> NodeEndpoints | None:
        """Return where the node is reached over OMQ; None when it is not."""

    @property
    def status(self) -> NodeStatus:
        """Return where the node stands."""

    @property
    def knobs(self) -> NodeKnobs:
        """Return the node's knobs, all but its clock and ``wrong_swarm``, which are not its own."""

    @property
    def skew_ms(self) -> int:
        """Return how far the node's clock is ahead of the network's."""

    async def launch(self, snapshot: NetworkSnapshot) -> None:
        """Serve from now on, in the network that a snapshot shows."""

    async def stop(self) -> None:
        """End; what is stored stays."""

    async def kill(self) -> None:
        """End at once, in the middle of whatever it does."""

    async def start(self, snapshot: NetworkSnapshot) -> None:
        """Start again after a stop or a kill, at the old address."""

    async def change(self, *, image: str | None = None, version: tuple[int, int, int] | None = None) -> None:
        """Run in another image, or imitate another release, from the next start on; None changes nothing."""

    async def pause(self) -> None:
        """Accept connections and answer nothing."""

    async def resume(self, snapshot: NetworkSnapshot) -> None:
        """Answer again, first of all what was asked meanwhile."""

    async def discard(self) -> None:
        """End for good, and free the address."""

    async def update_network(self, snapshot: NetworkSnapshot) -> None:
        """Tell the node of a change of the network."""

    async def catch_up(self) -> None:
        """Let the node purge, and tell its swarm that it can be given what it missed."""

    async def set_skew(self, skew_ms: int) -> None:
        """Set how far the node's clock is ahead of the network's."""

    async def set_knobs(self, knobs: NodeKnobs) -> None:
        """Turn the node's knobs, all but its clock and ``wrong_swarm``."""

    async def cut_off(self, keys: Collection[str], *, clients: bool) -> None:
        """Let the node and those with these keys reach each other no more, and all others again.

        ``clients`` True cuts off all clients too.
        """

    async def settled(self, reachable: Collection[str]) -> None:
        """Let the node try once to deliver what it owes to nodes with these keys."""

    async def owed_to(self) -> Sequence[str]:
        """Return the keys of the nodes that have not got everything from this one."""

    async def purge(self) -> int:
        """Let the node delete what has expired; return how many messages that were."""

    async def forget(self, hashes: Collection[str] | None) -> int:
        """Let the node lose messages, all or those with these hashes; return how many that were."""

    async def stored_messages(self, account: bytes, namespace: int) -> Sequence[Mapping[str, Any]]:
        """Return what the node keeps of a mailbox; works while it is stopped, if its engine can look."""

    async def rpc(self, method: str, params: Mapping[str, Any]) -> RpcResult:
        """Ask the node as a client would, without a connection."""

    async def monitor(self, hear: Hear, request: bytes) -> bytes:
        """Ask for ``monitor.messages`` and return the answer, both in bt; ``hear`` gets what the node pushes.

        It is one connection, whoever asks: it ends with the node, and with it all subscriptions.
        """

    async def exec(self, command: Sequence[str], deadline_s: float) -> CommandResult:
        """Run a command beside the node, where it runs."""


class NodeProvider(Protocol):
    """Make the nodes of one network: in this process, as processes of their own, or as containers."""

    @property
    def name(self) -> str:
        """Return the name of the engine, as ``--engine`` takes it."""

    @property
    def capabilities(self) -> Capabilities:
        """Return what can be done with the nodes."""

    async def prepare(self, topology: Topology, options: EngineOptions) -> Doorway | None:
        """Make what the nodes will be in; return how they reach this process, None: as everybody does."""

    async def open(self, surroundings: Surroundings) -> None:
        """Get ready for a network."""

    async def bind(self, specs: Sequence[NodeSpec]) -> list[Node]:
        """Return nodes that have their addresses and do not serve yet; on failure none is left behind."""

    async def discard(self, node: Node) -> None:
        """End a node for good and give its address to others."""

    async def clock_moved(self) -> None:
        """Tell all nodes that the network's clock was moved."""

    async def faults_changed(self) -> None:
        """Tell all nodes that the rules for faults have changed."""

    async def collect(self) -> None:
        """Wait until the trace and the logs have what running nodes have done so far."""

    def release(self) -> None:
        """Let go what faults hold back, so that nodes can end at once."""

    async def close(self) -> None:
        """End what the provider itself runs, after its nodes; safe to call twice."""
