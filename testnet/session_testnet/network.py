"""A whole network: a topology, an engine that runs it, one clock, one trace, one set of faults."""

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from session_protocol.accounts import account_bytes
from session_testnet.clock import Clock
from session_testnet.demonstration import describe_accounts, store_conversation
from session_testnet.engines import provider_of
from session_testnet.engines.base import CommandResult, EngineError, EngineOptions, NodeStatus
from session_testnet.engines.engine import Engine
from session_testnet.faults import FaultRoster, FaultRule
from session_testnet.faults.keys import EVERY_NODE
from session_testnet.faults.partition import PARTITION, Partition
from session_testnet.faults.rules import REGISTRY
from session_testnet.faults.schedule import parse_fault, read_schedule
from session_testnet.faults.schedule_runner import ScheduleEvent, ScheduleRunner
from session_testnet.faults.tcp_faults import TcpFault
from session_testnet.hinted_error import HintedError
from session_testnet.knobs import KnobError
from session_testnet.logs import LogBook
from session_testnet.network_options import (
    ENGINES,
    IN_CONTAINERS,
    NetworkError,
    NetworkOptions,
    parse_release,
)
from session_testnet.onion_paths import join_paths
from session_testnet.readiness import wait_until_ready
from session_testnet.services.community.administration import Administration
from session_testnet.services.community.permissions import Right
from session_testnet.services.community.rooms import Room
from session_testnet.snapshot_file import Snapshot, write_snapshot
from session_testnet.topology import Topology
from session_testnet.trace import Trace

STATE_SCHEMA = 1
# The fault that :meth:`Network.partition` makes.
_PARTITION = "partition"

# What stands in front of a log line already, or says where the line belongs.
_EVENT_HEAD = frozenset({"seq", "t_ms", "kind", "node"})


class Network:
    """Run a network inside the calling event loop and act on it.

    Made with :meth:`start`; synchronous callers use a handle (:mod:`session_testnet.control.handles`)
    instead.
    """

    def __init__(self, topology: Topology, options: NetworkOptions) -> None:
        """Prepare the shared parts; nothing listens yet."""
        if options.engine not in ENGINES:
            raise NetworkError(
                f"the engine {options.engine!r} is not available", f"available engines: {', '.join(ENGINES)}"
            )
        if options.tcp_faults and options.engine in IN_CONTAINERS:
            raise NetworkError(
                f"the engine {options.engine} has no proxies for faults of connections",
                "choose --engine embedded or process, or leave --tcp-faults out",
            )
        self.topology = topology
        self.options = options
        self.clock = Clock(offset_ms=options.clock_offset_ms)
        self.logs = LogBook(options.log_dir, clock=self.clock)
        self.trace = Trace(self.clock, listener=self._log_event)
        self.faults = FaultRoster(topology.seed)
        self._schedules: set[asyncio.Task[None]] = set()
        self.control_token = secrets.token_urlsafe(24)
        self.engine = Engine(
            topology,
            provider_of(options.engine),
            options=EngineOptions(
                data_dir=options.data_dir,
                advertise_ip=options.advertise_ip,
                tcp_faults=options.tcp_faults,
                registry_port=options.registry_port,
                gateway_port=options.gateway_port,
                community_control_token=self.control_token if options.test_mode else None,
                containers=options.containers,
            ),
            clock=self.clock,
            trace=self.trace,
            logs=self.logs,
            faults=self.faults,
        )
        self._subscribers: list[Callable[[], None]] = []
        self._accounts = describe_accounts(topology)
        self._closed = False

    def _log_event(self, event: Mapping[str, Any]) -> None:
        """Write what a service saw into its log: the file beside a run tells the same as the trace."""
        name = event["node"] or event["kind"].partition(".")[0]
        details = " ".join(
            f"{key}={value}" for key, value in event.items() if key not in _EVENT_HEAD and value is not None
        )
        self.logs.write(name, "info", f"{event['kind']} {details}".rstrip())

    @classmethod
    async def start(cls, topology: Topology, options: NetworkOptions | None = None) -> "Network":
        """Start a network and wait until a message could travel through it.

        Raise :class:`NetworkError`, or an endpoint's own error, when it cannot start; nothing is left behind
        then.
        """
        network = cls(topology, options or NetworkOptions())
        try:
            _prepare_directory(network.options.data_dir)
            _prepare_directory(network.options.log_dir)
            await network.engine.start()
            endpoints = network.engine.endpoints
            await wait_until_ready(
                f"http://{endpoints.registry_http.inner}",
                # Under somebody else's address (an emulator's view of this machine) nodes cannot be asked
                # from here.
                nodes=[
                    node.advertised
                    for node in endpoints.nodes.values()
                    if node.advertised.host == node.inner.host
                ],
                deadline_s=network.options.ready_deadline_s,
                logs=network.logs,
                seed=topology.seed,
            )
            await store_conversation(topology, network.engine, network.clock)
        except BaseException:
            await network.aclose()
            raise
        return network

    @property
    def registry_url(self) -> str:
        """Return the URL that clients bootstrap from."""
        return f"http://{self.engine.endpoints.registry_http.advertised}"

    def state(self) -> dict[str, Any]:
        """Describe the network as its state file does, without the part about its control interface."""
        endpoints = self.engine.endpoints
        community, files = self.engine.community, self.engine.files
        community_url = f"http://{endpoints.community.advertised}"
        return {
            "schema": STATE_SCHEMA,
            "name": self.topology.name,
            "engine": self.engine.name,
            "seed": self.topology.seed,
            "pid": os.getpid(),
            "registry": {
                "url": self.registry_url,
                "https_url": f"https://{endpoints.registry_https.advertised}",
                **self._registry_omq_state(),
            },
            "nodes": [self._node_state(name) for name in endpoints.nodes],
            "community": {
                "url": community_url,
                "public_key": community.public_key,
                "rooms": [
                    {"token": room.token, "join_url": community.join_url(community_url, room.token)}
                    for room in community.administration.rooms()
                ],
            },
            "files": {
                "url": f"http://{endpoints.files.advertised}",
                "pubkey_ed25519": files.ed25519_pk,
                "pubkey_x25519": files.public_key,
            },
            "push": {
                "url": f"http://{endpoints.push.advertised}",
                "pubkey_x25519": self.engine.push.public_key,
            },
            "gateway": {"url": f"http://{endpoints.gateway.advertised}"},
            **({"accounts": self._accounts} if self._accounts else {}),
        }

    def _registry_omq_state(self) -> dict[str, str]:
        omq = self.engine.endpoints.registry_omq
        if omq is None:
            return {}
        key = self.engine.registry_identity.x25519_pk.hex()
        return {"omq_address": f"tcp://{omq.advertised}", "pubkey_x25519": key}

    def _node_state(self, name: str) -> dict[str, Any]:
        info = self.engine.registry.snapshot().by_name(name)
        return {
            "name": name,
            "ip": info.ip,
            "https_port": info.https_port,
            **({"omq_port": info.omq_port} if name in self.engine.endpoints.nodes_omq else {}),
            "pubkey_ed25519": info.ed25519_pk,
            "pubkey_x25519": info.x25519_pk,
            # Hex text: a swarm id exceeds what JSON numbers keep exactly (network §3.1).
            "swarm_id": f"{info.swarm_id:x}",
        }

    @property
    def community(self) -> Administration:
        """Return what the operator of the community server can do."""
        return self.engine.community.administration

    def describe_room(self, room: Room) -> dict[str, Any]:
        """Return a room as the commands about rooms show it; hidden moderators are not hidden here."""
        url = f"http://{self.engine.endpoints.community.advertised}"
        moderators = self.community.moderators(room)
        return {
            "token": room.token,
            "name": room.name,
            "description": room.description,
            "join_url": self.engine.community.join_url(url, room.token),
            "created_ms": room.created_ms,
            "info_updates": room.info_updates,
            "message_sequence": room.message_sequence,
            "active_users": room.active_users,
            "default_rights": [right.value for right in Right if room.defaults.of(right)],
            **asdict(moderators),
        }

    def create_room(self, token: str, name: str, description: str | None) -> Room:
        """Make a room; NetworkError when there is one, AdministrationError for what is no token."""
        room = self.community.create_room(token, name, description)
        if room is None:
            raise NetworkError(
                f"there is a room {token!r} already", "tokens differ by more than the case of their letters"
            )
        self._tell_subscribers()
        return room

    def delete_room(self, token: str) -> None:
        """Delete a room with all that is in it; AdministrationError when there is none."""
        self.community.delete_room(token)
        self._tell_subscribers()

    def onion_paths(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the paths that onion requests took, as far as the trace reaches after ``since``."""
        names = {info.ed25519_pk: info.name for info in self.engine.registry.snapshot().nodes}
        return [path.as_dict() for path in join_paths(self.trace.events(since), names)]

    def node_names(self) -> list[str]:
        """Return the names of all storage nodes: those of the topology in its order, then who has joined."""
        return list(self.engine.endpoints.nodes)

    def node_status(self, name: str) -> dict[str, Any]:
        """Return a node's state-file entry and where it stands."""
        status = self.engine.node_status(name)
        skew_ms = self.engine.clock_skew(name)
        return {**self._node_state(name), "status": status.value, "clock_skew_ms": skew_ms}

    async def act_on_node(self, verb: str, name: str) -> NodeStatus:
        """Carry out ``stop``, ``kill``, ``start``, ``pause``, ``resume`` or ``restart`` on a node."""
        match verb:
            case "stop":
                await self.engine.stop_node(name)
            case "start":
                await self.engine.start_node(name)
            case "kill":
                await self.engine.kill_node(name)
            case "restart":
                await self.engine.restart_node(name)
            case "pause":
                await self.engine.pause_node(name)
            case "resume":
                await self.engine.resume_node(name)
            case _:
                raise EngineError(verb, name, f"the engine {self.engine.name} does not offer this")
        self.trace.record("node", name, verb=verb)
        return self.engine.node_status(name)

    async def restart_node(self, name: str, *, image: str | None = None, version: str | None = None) -> None:
        """Restart a node in another image, or as another release of the storage server, like "2.8.0"."""
        release = None if version is None else parse_release(version)
        await self.engine.restart_node(name, image=image, version=release)
        self.trace.record("node", name, verb="restart", image=image, version=version)

    async def exec_in_node(self, name: str, command: Sequence[str], deadline_s: float) -> CommandResult:
        """Run a command where a node runs, if the engine gives each a place of its own."""
        return await self.engine.exec_in_node(name, command, deadline_s)

    async def turn_knobs(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Turn some knobs of a node and return all of them; the others stay as they are.

        ``purge`` among the changes is no knob: true loses all messages on this node alone, a list those with
        these hashes, and ``purged`` of the result says how many that were. Raise KnobError.
        """
        knobs = self.engine.knobs(name).changed({key: changes[key] for key in changes if key != "purge"})
        purge = changes.get("purge")
        listed = isinstance(purge, list) and all(isinstance(each, str) for each in purge)
        if not (purge is None or isinstance(purge, bool) or listed):
            raise KnobError(f"'purge' cannot be {purge!r:.60}", "takes true, or a list of message hashes")
        await self.engine.set_knobs(name, knobs)
        result = self.engine.knobs(name).as_dict()
        if purge is True:
            result["purged"] = await self.engine.forget_messages(name)
        elif isinstance(purge, list):
            result["purged"] = await self.engine.forget_messages(name, purge)
        if changes:
            self.trace.record("knobs", name, changes=changes)
        return result

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever nodes, swarms or the list of rooms have changed."""
        self._subscribers.append(callback)

    async def add_node(self, name: str | None = None, *, swarm_id: int | None = None) -> str:
        """Let a new node join, and return its name when it has its swarm's messages (network §9)."""
        added = await self.engine.add_node(name, swarm_id=swarm_id)
        self._membership_changed(added, "add")
        return added

    async def remove_node(self, name: str) -> None:
        """Let a node leave for good."""
        await self.engine.remove_node(name)
        self._membership_changed(name, "remove")

    async def decommission_node(self, name: str) -> None:
        """Take a node out of its swarm; it goes on relaying (network §10)."""
        await self.engine.decommission_node(name)
        self._membership_changed(name, "decommission")

    async def recommission_node(self, name: str) -> None:
        """Take a decommissioned node into a swarm again."""
        await self.engine.recommission_node(name)
        self._membership_changed(name, "recommission")

    def _membership_changed(self, name: str, verb: str) -> None:
        self.trace.record("node", name, verb=verb)
        self._tell_subscribers()

    def _tell_subscribers(self) -> None:
        for callback in tuple(self._subscribers):
            callback()

    async def partition(self, groups: Sequence[Sequence[str]]) -> None:
        """Let nodes of different groups reach each other no more; no groups at all heal the network."""
        if _PARTITION in self.faults.ids():
            self.faults.clear(_PARTITION)
        if groups:
            await self.add_fault({"action": PARTITION, "id": _PARTITION, "groups": groups})
        else:
            await self.engine.fault_effects.apply()
        self.trace.record("partition", None, groups=groups)

    async def purge(self) -> int:
        """Delete what has expired on all running nodes; return how many messages that were."""
        return await self.engine.purge()

    def swarm_of(self, account_id: str) -> list[str]:
        """Return the names of the nodes that keep an account's messages (network §6)."""
        _, members = self.engine.registry.snapshot().swarm_of(account_bytes(account_id))
        return [member.name for member in members]

    async def storage_rpc(self, node: str, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a node as a client would, without a socket; return status and body."""
        result = await self.engine.ask_node(node, method, dict(params))
        return {"status": result.status, "body": result.body}

    async def stored_messages(
        self, node: str, account_id: str, namespace: int
    ) -> Sequence[Mapping[str, Any]]:
        """Return what a node holds of a mailbox, oldest first, as ``retrieve`` would list it."""
        return await self.engine.stored_messages(node, account_bytes(account_id), namespace)

    async def add_fault(self, fault: Mapping[str, Any]) -> str:
        """Add a fault of any kind; return its id when everybody concerned knows it."""
        parsed = parse_fault(fault)
        if isinstance(parsed, Partition):
            parsed.check_names(self.node_names())
        else:
            self._check_place(parsed)
        fault_id = self.faults.add(parsed)
        await self.engine.fault_effects.apply()
        return fault_id

    def _check_place(self, fault: FaultRule | TcpFault) -> None:
        """Raise NetworkError for a fault at a place that does not exist, or where it cannot act."""
        places = [*self.node_names(), REGISTRY]
        if isinstance(fault, TcpFault):
            if not self.options.tcp_faults:
                raise NetworkError(
                    f"the fault {fault.action!r} acts in proxies, which this network runs without",
                    "start it with --tcp-faults",
                )
            places += ["community", "files", "push"]
        if fault.node != EVERY_NODE and fault.node not in places:
            raise NetworkError(
                f"the fault names a node {fault.node!r} that does not exist", 'name a node, or "*" for all'
            )

    async def clear_faults(self, fault_id: str | None = None) -> None:
        """Remove one fault, or all; raise FaultError for an unknown one."""
        self.faults.clear(fault_id)
        await self.engine.fault_effects.apply()

    async def run_schedule(self, text: str) -> dict[str, Any]:
        """Begin to carry out a schedule of faults, given as TOML; return how many steps it has.

        Raise ScheduleError. It runs until nothing is left to do, or the network ends; the trace tells of it.
        """
        schedule = read_schedule(text)
        schedule.check_names([*self.node_names(), REGISTRY, "community", "files", "push"])

        def tell(event: ScheduleEvent) -> None:
            self.trace.record("schedule", None, verb=event.verb, fault=event.fault_id)

        runner = ScheduleRunner(
            schedule, self.add_fault, self.clear_faults, seed=self.topology.seed, tell=tell
        )
        self.engine.requests.add(runner.request)
        await self.engine.fault_effects.apply()
        task = asyncio.create_task(self._carry_out(runner), name="schedule of faults")
        self._schedules.add(task)
        task.add_done_callback(self._schedules.discard)
        await runner.begun()
        return {"steps": len(schedule.steps)}

    async def _carry_out(self, runner: ScheduleRunner) -> None:
        try:
            await runner.run()
            self.trace.record("schedule", None, verb="ended")
        except HintedError as error:
            self.trace.record("schedule", None, verb="failed", error=str(error))
        finally:
            self.engine.requests.remove(runner.request)
            if not self._closed:
                await self.engine.fault_effects.apply()

    async def move_clock(self, ms: int) -> None:
        """Move the network's clock; return when all nodes have the new time."""
        self.clock.move(ms)
        await self.engine.clock_moved()
        self.trace.record("clock", None, offset_ms=self.clock.offset_ms)

    async def skew_clock(self, node: str, offset_ms: int) -> None:
        """Set how far a node's clock is ahead of the network's."""
        await self.engine.skew_clock(node, offset_ms)
        self.trace.record("clock", node, offset_ms=offset_ms)

    async def save_snapshot(self, path: Path) -> int:
        """Write a snapshot of the network, none of whose nodes runs, into a file; return its size in bytes.

        Nothing else happens on the network's loop meanwhile. Raise NetworkError or SnapshotError.
        """
        data_dir = self.options.data_dir
        if data_dir is None:
            raise NetworkError("the network keeps everything in memory", "start it with --data-dir")
        running = [name for name in self.node_names() if self.engine.node_status(name) is NodeStatus.RUNNING]
        if running:
            raise NetworkError(
                f"{len(running)} nodes are running, {running[0]} among them", "pause or stop all nodes first"
            )
        await self.engine.collect()
        return write_snapshot(path, self._describe(), data_dir)

    def _describe(self) -> Snapshot:
        """Return what a snapshot says: the knobs of the nodes are those of now."""
        nodes = tuple(
            replace(spec, knobs=self.engine.knobs(spec.name)) if spec.name in self.node_names() else spec
            for spec in self.topology.nodes
        )
        return Snapshot(
            engine=self.engine.name,
            topology=replace(self.topology, nodes=nodes),
            clock_offset_ms=self.clock.offset_ms,
            faults=tuple(self.engine.fault_effects.standing()),
            test_mode=self.options.test_mode,
            tcp_faults=self.options.tcp_faults,
        )

    async def aclose(self) -> None:
        """End the network and leave nothing behind; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for schedule in tuple(self._schedules):
            schedule.cancel()
        await asyncio.gather(*self._schedules, return_exceptions=True)
        await self.engine.close()
        self.logs.close()
        # Transports of closed connections are released one turn of the loop later.
        await asyncio.sleep(0)


def _prepare_directory(directory: Path | None) -> None:
    if directory is None:
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise NetworkError(
            f"the directory {directory} cannot be written: {error.strerror or error}",
            "choose another one with --data-dir, or leave the option out to keep everything in memory",
        ) from error
