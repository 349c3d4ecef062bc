"""Run a whole network in one process on one event loop: ready in milliseconds, without root or containers."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from session_protocol.service_nodes import NodeIdentity
from session_testnet.certificates import self_signed_context
from session_testnet.clock import Clock, SkewedClock
from session_testnet.endpoints import (
    NodeEndpoints,
    allocate_node_addresses,
    bind_socket,
    endpoints_of,
    listening_host,
)
from session_testnet.engines.base import (
    Capabilities,
    EngineError,
    EngineOptions,
    NodeStatus,
    ServiceEndpoints,
)
from session_testnet.faults import FaultBook, RuleGate
from session_testnet.logs import LogBook
from session_testnet.peers import DirectPeerLink, PeerReply
from session_testnet.services.community import CommunityServer
from session_testnet.services.files import FileServer
from session_testnet.services.gateway import Gateway
from session_testnet.services.gateway.routes import FILE_SERVER
from session_testnet.services.registry import NetworkSnapshot, RegistryApplication, RegistryState
from session_testnet.services.storage import ExitMap, StorageNode, StorageSettings
from session_testnet.services.storage.oxend import Oxend
from session_testnet.topology import NodeSpec, Topology
from session_testnet.trace import Trace

# How long a service may take to end its open requests when it is stopped, in seconds.
SHUTDOWN_S = 0.5


@dataclass(slots=True)
class _RunningNode:
    """One storage node with its listener; the socket is bound anew at each start, at the same address."""

    spec: NodeSpec
    service: StorageNode
    clock: SkewedClock
    endpoints: NodeEndpoints
    tls: ssl.SSLContext
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    runner: web.AppRunner | None = None

    @property
    def status(self) -> NodeStatus:
        if self.runner is None:
            return NodeStatus.STOPPED
        return NodeStatus.RUNNING if self.answering.is_set() else NodeStatus.PAUSED


class EmbeddedEngine:
    """Run registry, storage nodes, servers and gateway inside the calling event loop."""

    name = "embedded"
    capabilities = Capabilities(pause=True, kill=False, exec=False)

    def __init__(
        self,
        topology: Topology,
        *,
        options: EngineOptions,
        clock: Clock,
        trace: Trace,
        logs: LogBook,
        faults: FaultBook,
    ) -> None:
        """Take what the network shares: its clock, its trace, its logs and its faults."""
        self._topology = topology
        self._options = options
        self._clock = clock
        self._trace = trace
        self._logs = logs
        self._faults = faults
        self._nodes: dict[str, _RunningNode] = {}
        self._peers = DirectPeerLink()
        self._runners: list[web.AppRunner] = []
        self._closers: list[Callable[[], None]] = []
        self._gateway: Gateway | None = None
        self._gate: RuleGate | None = None
        self._endpoints: ServiceEndpoints | None = None
        self._registry: RegistryState | None = None

    @property
    def endpoints(self) -> ServiceEndpoints:
        """Return where everything listens; valid after :meth:`start`."""
        if self._endpoints is None:
            raise EngineError("ask for the endpoints of", "the network", "it has not been started")
        return self._endpoints

    @property
    def registry(self) -> RegistryState:
        """Return the registry's model of the network; valid after :meth:`start`."""
        if self._registry is None:
            raise EngineError("ask for the registry of", "the network", "it has not been started")
        return self._registry

    def node_service(self, name: str) -> StorageNode:
        """Return the service behind a node, for looking into its store."""
        return self._node("look into", name).service

    async def start(self) -> None:
        """Start every service; on failure whatever has been started is ended again."""
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        topology, options = self._topology, self._options
        service_host = listening_host(options.advertise_ip)
        # Under one advertised address nodes differ by port; on the loopback each has an address of its own.
        node_hosts = allocate_node_addresses(len(topology.nodes))
        if options.advertise_ip is not None:
            node_hosts = [service_host] * len(topology.nodes)
        with contextlib.ExitStack() as unstarted:
            # All sockets are bound before any service is made: the registry tells the ports of every node.
            def bind(host: str, port: int = 0) -> socket.socket:
                return unstarted.enter_context(bind_socket(host, port))

            node_sockets = [bind(host) for host in node_hosts]
            registry_http = bind(service_host, options.registry_port)
            registry_https, community_socket = bind(service_host), bind(service_host)
            files_socket, gateway_socket = bind(service_host), bind(service_host, options.gateway_port)

            def reached_at(listener: socket.socket) -> NodeEndpoints:
                return endpoints_of(listener, options.advertise_ip)

            self._endpoints = ServiceEndpoints(
                registry_http=reached_at(registry_http),
                registry_https=reached_at(registry_https),
                community=reached_at(community_socket),
                files=reached_at(files_socket),
                gateway=reached_at(gateway_socket),
                nodes={
                    spec.name: reached_at(node_socket)
                    for spec, node_socket in zip(topology.nodes, node_sockets, strict=True)
                },
            )
            self._registry = RegistryState.from_topology(
                topology, {name: node.advertised for name, node in self._endpoints.nodes.items()}
            )
            self._registry.subscribe(self._spread)

            registry_app = RegistryApplication(self._registry, clock=self._clock, trace=self._trace)
            await self._serve(registry_app.application(), registry_http)
            await self._serve(
                registry_app.application(), registry_https, self_signed_context(self._directory("registry"))
            )
            exits = await self._start_servers(community_socket, files_socket)
            await self._start_nodes(node_sockets, exits, registry_app.rpc)
            await self._start_gateway(gateway_socket)
            # Every socket has an owner now that closes it.
            unstarted.pop_all()
        for name, endpoints in self._endpoints.by_name().items():
            self._logs.write(
                name, "info", f"listening at {endpoints.bind}, advertised as {endpoints.advertised}"
            )

    async def _start_servers(self, community_socket: socket.socket, files_socket: socket.socket) -> ExitMap:
        endpoints = self.endpoints
        files = FileServer(
            self._topology.service_seed("files"),
            name="files",
            clock=self._clock,
            directory=self._directory("files"),
            trace=self._trace,
            id_mode=self._topology.file_id_mode,
        )
        community = CommunityServer(
            self._topology.service_seed("community"),
            name="community",
            clock=self._clock,
            directory=self._directory("community"),
            trace=self._trace,
            rooms=self._topology.rooms,
            require_blinding=self._topology.require_blinding,
        )
        self._closers += [files.close, community.close]
        self.files, self.community = files, community
        await self._serve(files.application(), files_socket)
        await self._serve(community.application(), community_socket)
        # Relays run on this machine: they reach a server at its inner address, whatever clients are told.
        places = {
            ("http", server.advertised.host, server.advertised.port): f"http://{server.inner}"
            for server in (endpoints.files, endpoints.community)
        }
        places[("http", *FILE_SERVER)] = f"http://{endpoints.files.inner}"
        return ExitMap(places)

    async def _start_nodes(self, sockets: list[socket.socket], exits: ExitMap, oxend: Oxend) -> None:
        snapshot = self.registry.snapshot()
        self._gate = gate = RuleGate(self._faults, self._trace, self._swarm_answer, self.skew_clock)
        settings = StorageSettings(version=self._topology.storage_version)
        for spec, listener in zip(self._topology.nodes, sockets, strict=True):
            clock = SkewedClock(self._clock)
            identity = NodeIdentity.from_seed(spec.seed)
            directory = self._directory(spec.name)
            service = StorageNode(
                identity,
                spec.name,
                clock=clock,
                peers=self._peers,
                trace=self._trace,
                database=directory / "storage.sqlite" if directory else None,
                exits=exits,
                settings=settings,
                fault_gate=gate,
                oxend=oxend,
            )
            self._closers.append(service.close)
            service.update_network(snapshot)
            node = _RunningNode(
                spec, service, clock, self.endpoints.nodes[spec.name], self_signed_context(directory)
            )
            self._nodes[spec.name] = node
            service.start_purging()
            await self._listen(node, listener)

    async def _start_gateway(self, listener: socket.socket) -> None:
        endpoints = self.endpoints
        own = [
            endpoints.community,
            endpoints.files,
            endpoints.registry_http,
            endpoints.registry_https,
            *endpoints.nodes.values(),
        ]
        self._gateway = Gateway(
            registry_http=endpoints.registry_http.inner,
            registry_https=endpoints.registry_https.inner,
            files=endpoints.files.inner,
            own={service.advertised: service.inner for service in own},
            trace=self._trace,
        )
        await self._gateway.start(listener)

    async def stop_node(self, name: str) -> None:
        """End a node: its listener closes, peers find it unreachable, its store stays."""
        node = self._node("stop", name)
        if node.runner is None:
            return
        runner, node.runner = node.runner, None
        self._peers.unregister(node.service.ed25519_hex)
        node.answering.set()
        await runner.cleanup()
        self._logs.write(name, "info", "stopped")

    async def start_node(self, name: str) -> None:
        """Start a stopped node at its old address, with what it had stored."""
        node = self._node("start", name)
        if node.runner is not None:
            return
        address = node.endpoints.bind
        try:
            listener = bind_socket(address.host, address.port)
        except OSError as error:
            raise EngineError("start", name, f"{address} cannot be bound again: {error}") from error
        await self._listen(node, listener)
        self._logs.write(name, "info", "started again")

    async def pause_node(self, name: str) -> None:
        """Freeze a node: it accepts connections and answers nothing."""
        node = self._node("pause", name)
        if node.runner is None:
            raise EngineError("pause", name, "it is stopped", "start it first")
        node.answering.clear()

    async def resume_node(self, name: str) -> None:
        """Let a paused node answer again, first of all what it was asked meanwhile."""
        self._node("resume", name).answering.set()

    def node_status(self, name: str) -> NodeStatus:
        """Return where the node stands."""
        return self._node("look at", name).status

    def skew_clock(self, name: str, offset_ms: int) -> None:
        """Set how far a node's clock is ahead of the network's, in milliseconds."""
        self._node("skew the clock of", name).clock.offset_ms = offset_ms

    def clock_skew(self, name: str) -> int:
        """Return how far a node's clock is ahead of the network's, in milliseconds."""
        return self._node("read the clock of", name).clock.offset_ms

    async def close(self) -> None:
        """End everything and leave nothing behind; safe to call twice."""
        if self._gateway is not None:
            await self._gateway.close()
            self._gateway = None
        if self._gate is not None:
            # Requests that a fault holds back would keep the listeners from closing.
            self._gate.close()
        runners = [node.runner for node in self._nodes.values() if node.runner is not None]
        for node in self._nodes.values():
            node.answering.set()
            node.runner = None
        await asyncio.gather(*(runner.cleanup() for runner in (*runners, *self._runners)))
        await asyncio.gather(*(node.service.aclose() for node in self._nodes.values()))
        self._runners.clear()
        while self._closers:
            self._closers.pop()()
        self._nodes.clear()

    def _node(self, operation: str, name: str) -> _RunningNode:
        try:
            return self._nodes[name]
        except KeyError:
            known = ", ".join(self._nodes) or "none"
            raise EngineError(operation, name, "there is no such node", f"the nodes are: {known}") from None

    def _directory(self, name: str) -> Path | None:
        if self._options.data_dir is None:
            return None
        directory = self._options.data_dir / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    async def _serve(
        self, application: web.Application, listener: socket.socket, tls: ssl.SSLContext | None = None
    ) -> None:
        self._runners.append(await _run(application, listener, tls))

    async def _listen(self, node: _RunningNode, listener: socket.socket) -> None:
        application = node.service.application()
        application.middlewares.insert(0, _held_back_by(node.answering))
        node.runner = await _run(application, listener, node.tls)
        node.answering.set()

        async def deliver(command: str, payload: object) -> PeerReply:
            await node.answering.wait()
            return await node.service.handle_peer(command, payload)

        self._peers.register(node.service.ed25519_hex, deliver)

    def _spread(self, snapshot: NetworkSnapshot) -> None:
        for node in self._nodes.values():
            node.service.update_network(snapshot)

    def _swarm_answer(self, node_name: str, account: str) -> dict[str, Any]:
        return self._node("ask", node_name).service.swarm_answer(account)


async def _run(
    application: web.Application, listener: socket.socket, tls: ssl.SSLContext | None
) -> web.AppRunner:
    runner = web.AppRunner(application, handle_signals=False, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=tls).start()
    return runner


def _held_back_by(answering: asyncio.Event) -> Middleware:
    """Make a middleware that holds every request back while a node is paused."""

    @web.middleware
    async def hold_back(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not answering.is_set():
            await answering.wait()
        return await handler(request)

    return hold_back
