"""Run a whole network: its servers in this process, and its nodes wherever the provider puts them."""

import asyncio
import contextlib
import functools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from session_protocol.service_nodes import NodeIdentity
from session_testnet.clock import Clock
from session_testnet.engines.base import (
    CommandResult,
    EngineError,
    EngineOptions,
    Node,
    NodeProvider,
    NodeStatus,
    ServiceEndpoints,
    Surroundings,
)
from session_testnet.engines.fault_effects import FaultEffects
from session_testnet.engines.membership import free_name, new_node, registration, settle
from session_testnet.engines.monitors import NodeMonitors
from session_testnet.engines.proxies import Proxies
from session_testnet.engines.servers import Servers
from session_testnet.faults import FaultRoster, RequestCounters
from session_testnet.knobs import NodeKnobs
from session_testnet.logs import LogBook
from session_testnet.services.community import CommunityServer
from session_testnet.services.files import FileServer
from session_testnet.services.push import PushServer
from session_testnet.services.registry import RegistryState
from session_testnet.services.registry.json_rpc import RegistryRpc
from session_testnet.services.registry.ledger import Ledger
from session_testnet.services.registry.state import RegistryError
from session_testnet.services.storage import RpcResult
from session_testnet.topology import Topology
from session_testnet.trace import Trace

# How long a change of the network waits until the messages are where they belong, in seconds.
SETTLE_S = 10.0

T = TypeVar("T")
P = ParamSpec("P")


def _in_turn(
    act: Callable[Concatenate["Engine", str, P], Awaitable[T]],
) -> Callable[Concatenate["Engine", str, P], Coroutine[Any, Any, T]]:
    """Let what is done to a node begin when whatever else is being done to it has ended.

    Somebody may start a node that a fault is just killing.
    """

    @functools.wraps(act)
    async def in_turn(engine: "Engine", name: str, /, *args: P.args, **more: P.kwargs) -> T:
        async with engine._turns[name]:
            return await act(engine, name, *args, **more)

    return in_turn


class Engine:
    """Run registry, servers, gateway and nodes, and change them while they run."""

    def __init__(
        self,
        topology: Topology,
        provider: NodeProvider,
        *,
        options: EngineOptions,
        clock: Clock,
        trace: Trace,
        logs: LogBook,
        faults: FaultRoster,
    ) -> None:
        """Take what the network shares: its clock, its trace, its logs and its faults."""
        self.requests = RequestCounters()
        self._proxies = (
            Proxies(topology.seed, faults.tcp_counts, trace, options.advertise_ip)
            if options.tcp_faults
            else None
        )
        self._killing: set[asyncio.Task[None]] = set()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._topology = topology
        self._provider = provider
        self._options = options
        self._clock = clock
        self._trace = trace
        self._logs = logs
        self._faults = faults
        self._servers = Servers(topology, options, clock, trace, self._proxies)
        self._nodes: dict[str, Node] = {}
        self.fault_effects = FaultEffects(faults, provider, self._nodes, self._proxies)
        self._registry: RegistryState | None = None
        self._ledger: Ledger | None = None
        self._rpc: RegistryRpc | None = None

    @property
    def name(self) -> str:
        """Return the name of the engine, as ``--engine`` takes it."""
        return self._provider.name

    @property
    def registry_identity(self) -> NodeIdentity:
        """Return the keys of the registry; OMQ clients expect its X25519 key."""
        return self._servers.registry_identity

    @property
    def endpoints(self) -> ServiceEndpoints:
        """Return where everything listens; valid after :meth:`start`."""
        if self._servers.endpoints is None:
            raise EngineError("ask for the endpoints of", "the network", "it has not been started")
        return self._servers.endpoints

    @property
    def registry(self) -> RegistryState:
        """Return the registry's model of the network; valid after :meth:`start`."""
        if self._registry is None:
            raise EngineError("ask for the registry of", "the network", "it has not been started")
        return self._registry

    @property
    def files(self) -> FileServer:
        """Return the file server."""
        return self._servers.files

    @property
    def community(self) -> CommunityServer:
        """Return the community server."""
        return self._servers.community

    @property
    def push(self) -> PushServer:
        """Return the push server."""
        return self._servers.push

    async def start(self) -> None:
        """Start every service; on failure whatever has been started is ended again."""
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        directory = self._options.directory("registry")
        ledger = self._ledger = Ledger(directory / "chain.sqlite", self._topology) if directory else None
        chain = ledger.read() if ledger else None
        if chain is not None:
            self._topology = chain.carry_on(self._topology)
        doorway = await self._provider.prepare(self._topology, self._options)
        topology, endpoints = self._topology, self._servers.bind(doorway)
        await self._servers.serve_files_and_community()
        await self._provider.open(
            Surroundings(
                topology=topology,
                options=self._options,
                clock=self._clock,
                trace=self._trace,
                logs=self._logs,
                faults=self._faults.book,
                exits=self._servers.exits,
                oxend=self,
                registry=lambda: self.registry,
                requests=self.requests,
                kill=self._kill_soon,
            )
        )
        for node in await self._provider.bind(topology.nodes):
            self._take(node)
        self._registry = RegistryState.from_topology(
            topology,
            {name: node.advertised for name, node in endpoints.nodes.items()},
            omq_ports={name: omq.advertised.port for name, omq in endpoints.nodes_omq.items()},
        )
        if chain is not None:
            chain.restore(self._registry)
        if ledger is not None:
            # Every block is written down before a node hears of it: messages move when it does.
            ledger.write(self._registry)
            self._registry.subscribe(lambda _: ledger.write(self.registry))
        self._rpc = await self._servers.serve_registry(self._registry, self._faults.book)
        snapshot = self._registry.snapshot()
        await self._all(node.launch(snapshot) for node in self._nodes.values())
        await self._servers.serve_push(NodeMonitors(self._registry, self._nodes.get))
        for node in self._nodes.values():
            await self.set_knobs(node.spec.name, node.spec.knobs)
        if self._options.data_dir is not None:
            # They may have missed something in their earlier life, or may owe something from then.
            await self._all(node.catch_up() for node in self._nodes.values())
        await self._servers.open_gateway()
        for name, address in endpoints.by_name().items():
            self._logs.write(name, "info", f"listening at {address.bind}, advertised as {address.advertised}")

    def call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a node's question about the chain (storage-rpc §10.11)."""
        assert self._rpc is not None, "nodes are launched when the registry answers"
        return self._rpc.call(method, params)

    @_in_turn
    async def stop_node(self, name: str) -> None:
        """End a node: its listener closes, peers find it unreachable, its store stays."""
        await self._end_node("stop", name)

    @_in_turn
    async def kill_node(self, name: str) -> None:
        """End a node in the middle of whatever it does."""
        await self._end_node("kill", name)

    async def _end_node(self, verb: str, name: str) -> None:
        node = self._node(verb, name)
        self._provider.capabilities.check(self.name, verb, name)
        if node.status is NodeStatus.STOPPED:
            return
        await (node.kill() if verb == "kill" else node.stop())
        await self._tell_reachable(name, reachable=False)
        self._logs.write(name, "info", "killed" if verb == "kill" else "stopped")

    @_in_turn
    async def start_node(self, name: str) -> None:
        """Start a node that was stopped or killed at its old address, with what it had stored."""
        node = self._node("start", name)
        if node.status is not NodeStatus.STOPPED:
            return
        await node.start(self.registry.snapshot())
        self.push.forget_node(name)
        await self._tell_reachable(name, reachable=True)
        self._logs.write(name, "info", "started again")

    async def restart_node(
        self, name: str, *, image: str | None = None, version: tuple[int, int, int] | None = None
    ) -> None:
        """Stop a node and start it again, in another image or as another release where these are given."""
        node = self._node("restart", name)
        if image is not None:
            self._provider.capabilities.check(self.name, "image", name)
        # A refusal leaves the node as it is.
        await node.change(image=image, version=version)
        await self.stop_node(name)
        if version is not None:
            self.registry.set_version(name, version)
        await self.start_node(name)

    @_in_turn
    async def pause_node(self, name: str) -> None:
        """Freeze a node: it accepts connections and answers nothing."""
        node = self._node("pause", name)
        self._provider.capabilities.check(self.name, "pause", name)
        if node.status is NodeStatus.STOPPED:
            raise EngineError("pause", name, "it is stopped", "start it first")
        if node.status is NodeStatus.RUNNING:
            await node.pause()
            await self._tell_reachable(name, reachable=False)

    @_in_turn
    async def resume_node(self, name: str) -> None:
        """Let a paused node answer again, first of all what it was asked meanwhile."""
        node = self._node("resume", name)
        if node.status is NodeStatus.PAUSED:
            await node.resume(self.registry.snapshot())
            await self._tell_reachable(name, reachable=True)
            await self.push.refresh()

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
        try:
            (node,) = await self._provider.bind([spec])
        except EngineError as error:
            raise EngineError("add", name, error.reason, error.hint) from error
        try:
            await node.launch(self.registry.snapshot())
            self._take(node)
            self._change_registry(
                "add",
                name,
                lambda _: self.registry.add_node(
                    registration(self._topology, spec, self.endpoints.nodes[name], node.omq_endpoints)
                ),
            )
            self._servers.admit(self.endpoints.nodes[name])
            await self._spread()
            await node.catch_up()
        except BaseException:
            await self._withdraw(node)
            raise
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
        await self._spread()
        await self.settle()
        self._servers.expel(self.endpoints.nodes[name])
        await self._discard(node)
        self._logs.write(name, "info", "left")

    async def decommission_node(self, name: str) -> None:
        """Take a node out of its swarm; it stays and goes on relaying."""
        self._node("decommission", name)
        self._change_registry("decommission", name, self.registry.decommission)
        await self._spread()
        await self.settle()

    async def recommission_node(self, name: str) -> None:
        """Take a decommissioned node into a swarm again; return when it has that swarm's messages."""
        self._node("recommission", name)
        self._change_registry("recommission", name, self.registry.recommission)
        await self._spread()
        await self.settle()

    async def advance_chain(self, blocks: int) -> None:
        """Add empty blocks to the chain."""
        try:
            self.registry.advance(blocks)
        except RegistryError as error:
            raise EngineError("advance", "the chain", error.message, error.hint) from error
        await self._spread()

    async def settle(self, deadline_s: float = SETTLE_S) -> int:
        """Deliver what running nodes owe each other; return how many pairs still do at the deadline."""
        return await settle(self._running, deadline_s)

    async def purge(self) -> int:
        """Delete what has expired on all running nodes; return how many messages that were."""
        return sum(await self._all(node.purge() for node in self._running()))

    def node_status(self, name: str) -> NodeStatus:
        """Return where the node stands."""
        return self._node("look at", name).status

    async def clock_moved(self) -> None:
        """Tell the nodes that the network's clock was moved."""
        await self._provider.clock_moved()
        await self.push.refresh()

    async def skew_clock(self, name: str, offset_ms: int) -> None:
        """Set how far a node's clock is ahead of the network's, in milliseconds."""
        await self._node("skew the clock of", name).set_skew(offset_ms)
        # By its own clock subscriptions at the node may have ended.
        self.push.forget_node(name)
        await self.push.refresh()

    def clock_skew(self, name: str) -> int:
        """Return how far a node's clock is ahead of the network's, in milliseconds."""
        return self._node("read the clock of", name).skew_ms

    def knobs(self, name: str) -> NodeKnobs:
        """Return how a node's knobs are turned."""
        node = self._node("look at the knobs of", name)
        wrong_swarm = self.fault_effects.answers_wrong_swarm(name)
        return replace(node.knobs, clock_offset_ms=node.skew_ms, wrong_swarm=wrong_swarm)

    async def set_knobs(self, name: str, knobs: NodeKnobs) -> None:
        """Turn a node's knobs: the clock is the engine's own, and a wrong swarm is a fault rule."""
        node, before = self._node("turn the knobs of", name), self.knobs(name)
        if knobs == before:
            return
        await self.fault_effects.set_wrong_swarm(name, wrong=knobs.wrong_swarm)
        if knobs.clock_offset_ms != before.clock_offset_ms:
            await self.skew_clock(name, knobs.clock_offset_ms)
        await node.set_knobs(knobs)

    def _kill_soon(self, name: str) -> None:
        """Begin to kill a node, for a fault that strikes while it acts."""
        task = asyncio.create_task(self.kill_node(name), name=f"kill {name}")
        self._killing.add(task)
        task.add_done_callback(self._killing.discard)

    async def forget_messages(self, name: str, hashes: Collection[str] | None = None) -> int:
        """Lose messages on one node, all or those with these hashes; return how many that were."""
        return await self._node("purge", name).forget(hashes)

    async def ask_node(self, name: str, method: str, params: Mapping[str, Any]) -> RpcResult:
        """Ask a node as a client would, without a connection."""
        node = self._node("ask", name)
        if node.status is NodeStatus.STOPPED:
            raise EngineError("ask", name, "it is stopped", "start it first")
        return await node.rpc(method, params)

    async def exec_in_node(self, name: str, command: Sequence[str], deadline_s: float) -> CommandResult:
        """Run a command where a node runs; EngineError when it does not end in time."""
        node = self._node("run a command in", name)
        self._provider.capabilities.check(self.name, "exec", name)
        if not command:
            raise EngineError("run a command in", name, "none was given", "name a program and its arguments")
        if node.status is not NodeStatus.RUNNING:
            raise EngineError("run a command in", name, f"it is {node.status}", "only running nodes take one")
        return await node.exec(command, deadline_s)

    async def stored_messages(self, name: str, account: bytes, namespace: int) -> Sequence[Mapping[str, Any]]:
        """Return what a node keeps of a mailbox."""
        return await self._node("look into", name).stored_messages(account, namespace)

    async def collect(self) -> None:
        """Wait until the trace and the logs have what the nodes have done so far."""
        await self._provider.collect()

    async def close(self) -> None:
        """End everything and leave nothing behind; safe to call twice."""
        await self._servers.close_gateway()
        if self._proxies is not None:
            await self._proxies.close()
        await asyncio.gather(*self._killing, return_exceptions=True)
        self._provider.release()
        await self._all(self._provider.discard(node) for node in tuple(self._nodes.values()))
        self._nodes.clear()
        await self._servers.close()
        await self._provider.close()
        if self._ledger is not None:
            self._ledger.close()

    def _take(self, node: Node) -> None:
        name = node.spec.name
        self._nodes[name] = node
        self.endpoints.nodes[name] = (
            node.endpoints if self._proxies is None else self._proxies.front(name, node.endpoints)
        )
        if node.omq_endpoints is not None:
            self.endpoints.nodes_omq[name] = node.omq_endpoints

    async def _discard(self, node: Node) -> None:
        """End a node and forget it."""
        name = node.spec.name
        await self._provider.discard(node)
        if self._proxies is not None:
            await self._proxies.remove(name)
        self._nodes.pop(name, None)
        self._turns.pop(name, None)
        self.endpoints.nodes.pop(name, None)
        self.endpoints.nodes_omq.pop(name, None)

    async def _withdraw(self, node: Node) -> None:
        """Undo all that was done to let a node join."""
        if node.spec.name in self.endpoints.nodes:
            self._servers.expel(self.endpoints.nodes[node.spec.name])
        await self._discard(node)
        with contextlib.suppress(RegistryError):
            self.registry.remove_node(node.spec.name)
            await self._spread()

    async def _tell_reachable(self, name: str, *, reachable: bool) -> None:
        """Let the registry know how the reachability tests of a node end from now on."""
        self.registry.set_reachable(name, reachable, now_s=self._clock.now_ms() // 1000)
        await self._spread()

    def _running(self) -> list[Node]:
        return [node for node in self._nodes.values() if node.status is NodeStatus.RUNNING]

    async def _spread(self) -> None:
        """Tell the network's present state; a node that is stopped or frozen learns of it when it is back."""
        snapshot = self.registry.snapshot()
        await self._all(node.update_network(snapshot) for node in self._running())
        await self.push.refresh()

    async def _all(self, work: Iterable[Awaitable[T]]) -> list[T]:
        return await asyncio.gather(*work)

    def _change_registry(self, operation: str, name: str, change: Callable[[str], object]) -> None:
        try:
            change(name)
        except RegistryError as error:
            raise EngineError(operation, name, error.message, error.hint) from error

    def _node(self, operation: str, name: str) -> Node:
        try:
            return self._nodes[name]
        except KeyError:
            known = ", ".join(self._nodes) or "none"
            raise EngineError(operation, name, "there is no such node", f"the nodes are: {known}") from None
