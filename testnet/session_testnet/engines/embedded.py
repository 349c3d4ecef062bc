"""Run a whole network in one process on one event loop: ready in milliseconds, without root or containers."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

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
from session_testnet.engines.exits import exits_of
from session_testnet.engines.membership import free_host, free_name, new_node, registration, settle
from session_testnet.engines.omq import OmqSide
from session_testnet.engines.running_node import RunningNode, bind_again, held_back_by, serve
from session_testnet.faults import FaultBook, FaultRule, RuleGate
from session_testnet.knobs import NodeKnobs
from session_testnet.logs import LogBook
from session_testnet.peers import DirectPeerLink, PeerReply
from session_testnet.process_tuning import allow_open_files
from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.files import FileServer
from session_testnet.services.gateway import Gateway
from session_testnet.services.registry import NetworkSnapshot, RegistryApplication, RegistryState
from session_testnet.services.registry.ledger import Ledger
from session_testnet.services.registry.state import RegistryError
from session_testnet.services.sqlite_file import DatabaseRefused
from session_testnet.services.storage import ExitMap, StorageNode, StorageSettings
from session_testnet.services.storage.oxend import Oxend
from session_testnet.topology import NodeSpec, Topology
from session_testnet.trace import Trace

# How long a change of the network waits until the messages are where they belong, in seconds.
SETTLE_S = 10.0


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
        self._nodes: dict[str, RunningNode] = {}
        self._peers = DirectPeerLink()
        self._runners: list[web.AppRunner] = []
        self._closers: list[Callable[[], None]] = []
        self._gateway: Gateway | None = None
        self._gate: RuleGate | None = None
        self._endpoints: ServiceEndpoints | None = None
        self._registry: RegistryState | None = None
        self._exits = ExitMap()
        self._oxend: Oxend | None = None
        self._omq = OmqSide()

    @property
    def registry_identity(self) -> NodeIdentity:
        """Return the keys of the registry; OMQ clients expect its X25519 key."""
        return NodeIdentity.from_seed(self._topology.service_seed("registry"))

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
        ledger = self._open_ledger()
        chain = ledger.read() if ledger else None
        if chain is not None:
            self._topology = chain.carry_on(self._topology)
        topology, options = self._topology, self._options
        allow_open_files(len(topology.nodes))
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
            self._omq.prepare(len(topology.nodes))
            omq_sockets = [self._omq.bind(host, unstarted) for host in node_hosts]
            registry_omq = self._omq.bind(service_host, unstarted)

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
                registry_omq=reached_at(registry_omq) if registry_omq else None,
                nodes_omq={
                    spec.name: reached_at(omq_socket)
                    for spec, omq_socket in zip(topology.nodes, omq_sockets, strict=True)
                    if omq_socket
                },
            )
            self._registry = RegistryState.from_topology(
                topology,
                {name: node.advertised for name, node in self._endpoints.nodes.items()},
                omq_ports={name: omq.advertised.port for name, omq in self._endpoints.nodes_omq.items()},
            )
            if chain is not None:
                chain.restore(self._registry)
            if ledger is not None:
                self._keep(ledger, self._registry)
            self._registry.subscribe(self._spread)

            registry_app = RegistryApplication(self._registry, clock=self._clock, trace=self._trace)
            await self._serve(registry_app.application(), registry_http)
            await self._serve(
                registry_app.application(), registry_https, self_signed_context(self._directory("registry"))
            )
            self._omq.start_registry(registry_app.rpc, registry_omq, self.registry_identity)
            self._exits = await self._start_servers(community_socket, files_socket)
            self._oxend = registry_app.rpc
            await self._start_nodes(node_sockets, omq_sockets)
            await self._start_gateway(gateway_socket)
            # Every socket has an owner now that closes it.
            unstarted.pop_all()
        for name, endpoints in self._endpoints.by_name().items():
            self._logs.write(
                name, "info", f"listening at {endpoints.bind}, advertised as {endpoints.advertised}"
            )

    def _open_ledger(self) -> Ledger | None:
        directory = self._directory("registry")
        if directory is None:
            return None
        ledger = Ledger(directory / "chain.sqlite", self._topology)
        self._closers.append(ledger.close)
        return ledger

    def _keep(self, ledger: Ledger, registry: RegistryState) -> None:
        """Write every block down before a node hears of it: messages move when it does."""
        ledger.write(registry)
        registry.subscribe(lambda _: ledger.write(registry))

    async def _start_servers(self, community_socket: socket.socket, files_socket: socket.socket) -> ExitMap:
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
            roles=[
                Role(spec.id, spec.room, admin=spec.admin, visible=spec.visible)
                for spec in self._topology.roles
            ],
            require_blinding=self._topology.require_blinding,
            control_token=self._options.community_control_token,
        )
        self._closers += [files.close, community.close]
        self.files, self.community = files, community
        await self._serve(files.application(), files_socket)
        await self._serve(community.application(), community_socket)
        return exits_of(self.endpoints)

    async def _start_nodes(
        self, sockets: list[socket.socket], omq_sockets: list[socket.socket | None]
    ) -> None:
        self._gate = RuleGate(self._faults, self._trace, self._swarm_answer, self.skew_clock)
        for spec, listener, omq in zip(self._topology.nodes, sockets, omq_sockets, strict=True):
            node = self._make_node(spec, self.endpoints.nodes[spec.name])
            node.service.update_network(self.registry.snapshot())
            await self._listen(node, listener, omq)
        for node in self._nodes.values():
            if self._options.data_dir is None:
                node.service.start_purging()
            else:
                # It may have missed something in its earlier life, or may owe something from then.
                node.service.resume()

    def _make_node(self, spec: NodeSpec, endpoints: NodeEndpoints) -> RunningNode:
        clock = SkewedClock(self._clock)
        directory = self._directory(spec.name)
        service = StorageNode(
            NodeIdentity.from_seed(spec.seed),
            spec.name,
            clock=clock,
            peers=self._peers,
            trace=self._trace,
            database=directory / "storage.sqlite" if directory else None,
            exits=self._exits,
            settings=StorageSettings(version=self._topology.storage_version),
            fault_gate=self._gate,
            oxend=self._oxend,
        )
        self._closers.append(service.close)
        node = RunningNode(spec, service, clock, endpoints, self_signed_context(directory))
        self._nodes[spec.name] = node
        self.set_knobs(spec.name, spec.knobs)
        return node

    async def _start_gateway(self, listener: socket.socket) -> None:
        endpoints = self.endpoints
        self._gateway = Gateway(
            registry_http=endpoints.registry_http.inner,
            registry_https=endpoints.registry_https.inner,
            files=endpoints.files.inner,
            own=endpoints.inner_of_advertised(),
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
        await self._omq.stop_node(node)
        await runner.cleanup()
        await node.service.suspend()
        self.registry.set_reachable(name, reachable=False)
        self._logs.write(name, "info", "stopped")

    async def start_node(self, name: str) -> None:
        """Start a stopped node at its old address, with what it had stored."""
        node = self._node("start", name)
        if node.runner is not None:
            return
        with contextlib.ExitStack() as unstarted:
            listener = unstarted.enter_context(bind_again(name, node.endpoints))
            await self._listen(node, listener, self._omq.bind_again(name, self.endpoints.nodes_omq.get(name)))
            unstarted.pop_all()
        self.registry.set_reachable(name, reachable=True)
        node.service.resume()
        self._logs.write(name, "info", "started again")

    async def add_node(self, name: str | None = None, *, swarm_id: int | None = None) -> str:
        """Let a new node join; return its name when it has its swarm's messages.

        ``swarm_id`` is its swarm where swarms are explicit, by default the smallest.
        """
        name = name or free_name(self._nodes)
        if name in self._nodes:
            raise EngineError("add", name, "there is already a node of that name", "node names must differ")
        if swarm_id is not None and not self.registry.explicit_swarms:
            raise EngineError(
                *("add", name, "its swarm cannot be chosen"),
                "the network's own rule assigns swarms, unless the topology gives a swarm id to every node",
            )
        spec = new_node(self._topology, name, swarm_id)
        with contextlib.ExitStack() as unstarted:
            taken = {node.endpoints.bind.host for node in self._nodes.values()}
            host = free_host(self._options.advertise_ip, taken)
            listener = unstarted.enter_context(bind_socket(host))
            endpoints = endpoints_of(listener, self._options.advertise_ip)
            omq = self._omq.bind(host, unstarted)
            omq_endpoints = endpoints_of(omq, self._options.advertise_ip) if omq else None
            try:
                node = self._make_node(spec, endpoints)
            except DatabaseRefused as error:
                raise EngineError("add", name, str(error)) from error
            try:
                await self._listen(node, listener, omq)
                self.endpoints.nodes[name] = endpoints
                if omq_endpoints:
                    self.endpoints.nodes_omq[name] = omq_endpoints
                self.registry.add_node(registration(self._topology, spec, endpoints, omq_endpoints))
            except BaseException as error:
                await self._discard(node)
                if isinstance(error, RegistryError):
                    raise EngineError("add", name, error.message, error.hint) from error
                raise
            # The listener belongs to the running node now, which closes it.
            unstarted.pop_all()
        if self._gateway is not None:
            self._gateway.routes.add_own(endpoints.advertised, endpoints.inner)
        node.service.resume()
        await self.settle()
        self._logs.write(name, "info", "joined")
        return name

    async def remove_node(self, name: str) -> None:
        """Let a node leave for good; before it ends it hands over what others have not got from it.

        A node that is stopped or frozen hands nothing over: what it alone has is lost. Its files stay.
        """
        node = self._node("remove", name)
        if len(self._nodes) == 1:
            raise EngineError("remove", name, "it is the last node", "end the network instead")
        self._change_registry("remove", name, self.registry.remove_node)
        await self.settle()
        if self._gateway is not None:
            self._gateway.routes.remove_own(node.endpoints.advertised)
        await self._discard(node)
        self._logs.write(name, "info", "left")

    async def decommission_node(self, name: str) -> None:
        """Take a node out of its swarm; it stays and goes on relaying."""
        self._node("decommission", name)
        self._change_registry("decommission", name, self.registry.decommission)
        await self.settle()

    async def recommission_node(self, name: str) -> None:
        """Take a decommissioned node into a swarm again; return when it has that swarm's messages."""
        self._node("recommission", name)
        self._change_registry("recommission", name, self.registry.recommission)
        await self.settle()

    async def settle(self, deadline_s: float = SETTLE_S) -> int:
        """Deliver what running nodes owe each other; return how many pairs still do at the deadline."""
        return await settle(self._running_services, deadline_s)

    def _running_services(self) -> list[StorageNode]:
        return [node.service for node in self._nodes.values() if node.status is NodeStatus.RUNNING]

    def _change_registry(self, operation: str, name: str, change: Callable[[str], None]) -> None:
        try:
            change(name)
        except RegistryError as error:
            raise EngineError(operation, name, error.message, error.hint) from error

    async def _discard(self, node: RunningNode) -> None:
        """End a node and forget it."""
        name = node.spec.name
        runner, node.runner = node.runner, None
        self._peers.unregister(node.service.ed25519_hex)
        node.answering.set()
        await self._omq.stop_node(node)
        if runner is not None:
            await runner.cleanup()
        await node.service.aclose()
        self._closers.remove(node.service.close)
        node.service.close()
        self._nodes.pop(name, None)
        self.endpoints.nodes.pop(name, None)
        self.endpoints.nodes_omq.pop(name, None)

    async def pause_node(self, name: str) -> None:
        """Freeze a node: it accepts connections and answers nothing."""
        node = self._node("pause", name)
        if node.runner is None:
            raise EngineError("pause", name, "it is stopped", "start it first")
        node.answering.clear()
        await node.service.suspend()

    async def resume_node(self, name: str) -> None:
        """Let a paused node answer again, first of all what it was asked meanwhile."""
        node = self._node("resume", name)
        if node.status is not NodeStatus.PAUSED:
            return
        node.answering.set()
        node.service.update_network(self.registry.snapshot())
        node.service.resume()

    def purge(self) -> int:
        """Delete what has expired on all running nodes; return how many messages that were."""
        return sum(service.purge() for service in self._running_services())

    def node_status(self, name: str) -> NodeStatus:
        """Return where the node stands."""
        return self._node("look at", name).status

    def skew_clock(self, name: str, offset_ms: int) -> None:
        """Set how far a node's clock is ahead of the network's, in milliseconds."""
        self._node("skew the clock of", name).clock.offset_ms = offset_ms

    def clock_skew(self, name: str) -> int:
        """Return how far a node's clock is ahead of the network's, in milliseconds."""
        return self._node("read the clock of", name).clock.offset_ms

    def knobs(self, name: str) -> NodeKnobs:
        """Return how a node's knobs are turned."""
        node = self._node("look at the knobs of", name)
        rules = {rule["id"] for rule in self._faults.list()}
        return replace(
            node.service.knobs,
            clock_offset_ms=node.clock.offset_ms,
            wrong_swarm=_wrong_swarm_rule(name) in rules,
        )

    def set_knobs(self, name: str, knobs: NodeKnobs) -> None:
        """Turn a node's knobs: the clock is the engine's own, and a wrong swarm is a fault rule."""
        node, before = self._node("turn the knobs of", name), self.knobs(name)
        rule_id = _wrong_swarm_rule(name)
        if knobs.wrong_swarm and not before.wrong_swarm:
            self._faults.add(FaultRule("wrong_swarm", id=rule_id, node=name))
        elif before.wrong_swarm and not knobs.wrong_swarm:
            self._faults.clear(rule_id)
        node.clock.offset_ms = knobs.clock_offset_ms
        node.service.set_knobs(replace(knobs, clock_offset_ms=0, wrong_swarm=False))

    def forget_messages(self, name: str, hashes: Iterable[str] | None = None) -> int:
        """Lose messages on one node, all or those with these hashes; return how many that were."""
        return self._node("purge", name).service.forget(hashes)

    async def close(self) -> None:
        """End everything and leave nothing behind; safe to call twice."""
        if self._gateway is not None:
            await self._gateway.close()
            self._gateway = None
        if self._gate is not None:
            # Requests that a fault holds back would keep the listeners from closing.
            self._gate.close()
        await self._omq.close(list(self._nodes.values()))
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

    def _node(self, operation: str, name: str) -> RunningNode:
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
        self._runners.append(await serve(application, listener, tls))

    async def _listen(self, node: RunningNode, listener: socket.socket, omq: socket.socket | None) -> None:
        application = node.service.application()
        application.middlewares.insert(0, held_back_by(node.answering))
        node.runner = await serve(application, listener, node.tls)
        self._omq.start_node(node, omq)
        node.answering.set()

        async def deliver(command: str, payload: object, sender: str) -> PeerReply:
            await node.answering.wait()
            return await node.service.handle_peer(command, payload, sender)

        self._peers.register(node.service.ed25519_hex, deliver)

    def _spread(self, snapshot: NetworkSnapshot) -> None:
        # A node that is stopped or frozen learns of it when it is back.
        for node in self._nodes.values():
            if node.status is NodeStatus.RUNNING:
                node.service.update_network(snapshot)

    def _swarm_answer(self, node_name: str, account: str) -> dict[str, Any]:
        return self._node("ask", node_name).service.swarm_answer(account)


def _wrong_swarm_rule(node_name: str) -> str:
    return f"knob-wrong-swarm-{node_name}"
