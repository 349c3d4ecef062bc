"""Run each node as a service of Docker Swarm, on one overlay network: the way past one machine."""

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from session_testnet.docker_daemon import Daemon, DockerError, is_gone
from session_testnet.docker_labels import RUN
from session_testnet.endpoints import ANY, LOOPBACK, Endpoint, bind_socket, parse_advertise_ip
from session_testnet.engines.base import (
    Capabilities,
    CommandResult,
    Doorway,
    EngineError,
    EngineOptions,
)
from session_testnet.engines.containers import node_container
from session_testnet.engines.containers.launcher import ContainerLauncher, reach_of
from session_testnet.engines.containers.node_container import (
    CONTROL_PORT,
    HTTPS_PORT,
    OMQ_PORT,
    as_engine_error,
    run_command,
)
from session_testnet.engines.remote.greeting import greet
from session_testnet.engines.remote.orders import Bound
from session_testnet.engines.remote.places import Ports, Reach
from session_testnet.topology import NodeSpec, Topology

READY_S: Final = 90.0
# How long a task that was told to go may take to be gone.
REMOVED_S: Final = 30.0
# The manager says nothing by itself about a task: how long to wait before it is asked again.
_AGAIN_S: Final = 0.1
# The bridge by which tasks reach what is outside their overlay network.
_GATEWAY_BRIDGE: Final = "docker_gwbridge"
# A port may be busy for a moment; how long to wait before each further try.
_PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
_TAKEN: Final = ("address already in use", "port is already allocated")
_ENDED: Final = frozenset({"complete", "failed", "shutdown", "rejected", "orphaned", "remove"})


class PortTaken(EngineError):
    """Say that a task could not publish a port, because something else has it."""


@dataclass(frozen=True, slots=True)
class Task:
    """A running task: where it is, its container there, and its published ports by those inside."""

    machine: str
    address: str
    container: str
    published: dict[int, int]


class SwarmLauncher(ContainerLauncher):
    """Make a service of one task for each node; with a loopback address to advertise, all on this machine."""

    name = "docker-swarm"
    parts = "the services"
    capabilities = Capabilities(pause=False, kill=True, exec=True, image=True)

    def __init__(self) -> None:
        super().__init__()
        self._network = ""
        self._told = LOOPBACK
        self._here = ""
        self._machines: dict[str, str] = {}
        self._tasks: dict[str, Task] = {}

    async def prepare(self, topology: Topology, options: EngineOptions) -> Doorway:
        """Make the overlay network; EngineError without a swarm, an image or an address to advertise."""
        if options.advertise_ip is None:
            raise EngineError(
                *("prepare", "the services", "Docker Swarm publishes ports at every address of a machine"),
                "say at which one clients reach this machine, such as --advertise-ip 127.0.0.1",
            )
        self._told = parse_advertise_ip(options.advertise_ip)
        with as_engine_error("prepare", self.parts):
            daemon = await self._reach_engine(options)
            await self._find_machines(daemon)
            labels = self._label(topology.name)
            self._network = labels.name_of("network")
            await daemon.ask(
                "cannot make an overlay network",
                lambda client: client.networks.create(
                    self._network, driver="overlay", labels=labels.of("network")
                ),
            )
            if len(self._machines) > 1:
                return Doorway(self._told, None)
            bridge = await daemon.ask(
                "cannot find the bridge of the tasks", lambda client: client.networks.get(_GATEWAY_BRIDGE)
            )
        gateway = bridge.attrs["IPAM"]["Config"][0]["Gateway"]
        return Doorway(gateway, gateway)

    def ports(self, spec: NodeSpec) -> Ports:
        """Return the ports inside, which are the same in all tasks."""
        del spec
        return node_container.INNER

    async def launch(self, spec: NodeSpec, image: str | None) -> "SwarmPlace":
        """Start a service, wait until its task listens, and open the stream to it."""
        with as_engine_error("start", spec.name):
            for pause_s in _PAUSES_S:
                try:
                    return await self._launch(spec.name, image or self._image)
                except PortTaken:
                    # The task before may be on its way out, and a new one gets other ports anyway.
                    await asyncio.sleep(pause_s)
            return await self._launch(spec.name, image or self._image)

    async def _launch(self, name: str, image: str) -> "SwarmPlace":
        daemon = self._open_daemon
        service = await daemon.ask("cannot make a service", lambda client: self._create(client, name, image))
        place = SwarmPlace(self, daemon, name, service)
        try:
            task = await self._running(daemon, name, service)
            self._tasks[name] = place.task = task
            stream = await daemon.ask("cannot read the log", lambda client: self._log(client, task, service))
            self._follow_log(name, stream)
            place.reader, place.writer = await greet(
                name, task.address, task.published[CONTROL_PORT], self._token, deadline_s=READY_S
            )
        except BaseException:
            await place.remove()
            raise
        return place

    def forget(self, spec: NodeSpec) -> None:
        """Give a discarded node's ports to others."""
        self._tasks.pop(spec.name, None)

    def reach(self, name: str, bound: Bound) -> Reach:
        """Tell how a node is reached: by clients at its machine, by other nodes on the overlay network."""
        task = self._tasks[name]
        told = self._told if task.machine == self._here else task.address

        def outside(port: int) -> tuple[Endpoint, Endpoint]:
            at = task.published[port]
            return Endpoint(task.address, at), Endpoint(told, at)

        return reach_of(name, bound, outside)

    def is_here(self, task: Task) -> bool:
        """Tell whether a task's container is on this machine."""
        return task.machine == self._here

    async def _find_machines(self, daemon: Daemon) -> None:
        """Find out which machines take tasks: only this one where clients cannot reach the others."""
        info = await daemon.ask("cannot look at the engine", lambda client: client.info())
        if not info["Swarm"].get("ControlAvailable"):
            raise EngineError(
                *("prepare", "the services", "this machine is no manager of a Docker Swarm"),
                "make it one with: docker swarm init",
            )
        self._here = info["Swarm"]["NodeID"]
        machines = await daemon.ask("cannot list the machines", lambda client: client.nodes.list())
        ready = {
            each.id: each.attrs["Status"].get("Addr", LOOPBACK)
            for each in machines
            if each.attrs["Status"]["State"] == "ready" and each.attrs["Spec"]["Availability"] == "active"
        }
        if ipaddress.ip_address(self._told).is_loopback:
            ready = {self._here: LOOPBACK}
        elif len(ready) > 1 and self._options.data_dir is not None:
            raise EngineError(
                *("prepare", "the services", "a data directory is on one machine, and nodes are on several"),
                "leave --data-dir out: nodes then store in volumes",
            )
        self._machines = {**ready, self._here: LOOPBACK}

    def _create(self, client: Any, name: str, image: str) -> Any:
        from docker.types import EndpointSpec, NetworkAttachmentConfig, Resources, RestartPolicy

        labels, limits, before = self._run_labels, self._options.containers, self._tasks.get(name)
        # A node is where its volume is; a new one goes to each machine in turn.
        in_turn = sorted(self._machines)[len(self._tasks) % len(self._machines)]
        own_files = self._options.data_dir is not None and os.getuid() != 0
        # Ports that Swarm chose would differ between IPv4 and IPv6, and a task does not say which is which.
        published = before.published if before is not None else {}
        ports = [
            {
                "TargetPort": inside,
                "PublishedPort": published.get(inside) or _free_port(),
                "Protocol": "tcp",
                "PublishMode": "host",
            }
            for inside in (HTTPS_PORT, OMQ_PORT, CONTROL_PORT)
        ]
        return client.services.create(
            image,
            list(node_container.COMMAND),
            name=labels.name_of(name),
            hostname=name,
            labels=labels.of("node", name),
            container_labels=labels.of("node", name),
            env=[f"{key}={value}" for key, value in node_container.environment(name, self._token).items()],
            networks=[NetworkAttachmentConfig(self._network, aliases=[name])],
            endpoint_spec=EndpointSpec(mode="dnsrr", ports=ports),
            constraints=[f"node.id=={before.machine if before is not None else in_turn}"],
            # A node that ended is started by its network alone.
            restart_policy=RestartPolicy(condition="none"),
            mounts=[self._mount(name)],
            resources=Resources(
                mem_limit=limits.memory_bytes,
                cpu_limit=None if limits.cpus is None else int(limits.cpus * 1e9),
            ),
            user=f"{os.getuid()}:{os.getgid()}" if own_files else None,
            cap_drop=["ALL"],
            # To remove the service is to kill its node; one that may end in order is told so before.
            stop_signal="SIGKILL",
            stop_grace_period=0,
        )

    def _mount(self, name: str) -> Any:
        from docker.types import Mount

        labels, directory = self._run_labels, self._options.directory(name)
        if directory is None:
            return Mount(node_container.DATA, labels.name_of(name), labels=labels.of("data", name))
        node_container.give_away(directory)
        return Mount(node_container.DATA, str(directory.absolute()), type="bind")

    def _log(self, client: Any, task: Task, service: Any) -> Any:
        """Return what a task prints; only the stream of a container of this machine ends with the task."""
        if self.is_here(task):
            return client.containers.get(task.container).attach(stream=True, logs=True)
        return service.logs(follow=True, stdout=True, stderr=True)

    async def _running(self, daemon: Daemon, name: str, service: Any) -> Task:
        """Wait until the task of a service runs with all its ports; raise EngineError when it does not."""
        wanted, last_seen = {HTTPS_PORT, OMQ_PORT, CONTROL_PORT}, "no task"
        end = asyncio.get_running_loop().time() + READY_S
        while asyncio.get_running_loop().time() < end:
            for task in await daemon.ask("cannot look at the task", lambda _: service.tasks()):
                status = task["Status"]
                last_seen = f"{status['State']} {status.get('Err', '')}".rstrip()
                if status["State"] in _ENDED:
                    kind = PortTaken if any(each in last_seen for each in _TAKEN) else EngineError
                    raise kind("start", name, f"its task has ended: {last_seen}")
                published = {
                    port["TargetPort"]: port["PublishedPort"]
                    for port in status.get("PortStatus", {}).get("Ports") or []
                }
                if status["State"] == "running" and wanted <= set(published):
                    machine = task["NodeID"]
                    container = status["ContainerStatus"]["ContainerID"]
                    return Task(machine, self._machines[machine], container, published)
            await asyncio.sleep(_AGAIN_S)
        raise EngineError("start", name, f"its task did not run within {READY_S:g} s; last seen: {last_seen}")

    async def _remove_run(self, daemon: Daemon, run: str) -> None:
        """Remove what is labelled with a run: the services, then what they used."""
        mine = {"label": f"{RUN}={run}"}

        def remove(*kinds: Any) -> None:
            for kind in kinds:
                for each in kind.list(filters=mine):
                    each.remove()

        await daemon.ask("cannot remove the services", lambda client: remove(client.services))
        # Network and volumes are in use until the last container of a task has gone.
        end = asyncio.get_running_loop().time() + REMOVED_S
        while True:
            try:
                return await daemon.ask(
                    "cannot remove what the services used",
                    lambda client: remove(client.networks, client.volumes),
                )
            except DockerError:
                if asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(_AGAIN_S)


def _free_port() -> int:
    """Return a port that nothing on this machine has; on another one it may be taken, and the task fails."""
    with bind_socket(ANY) as listener:
        port: int = listener.getsockname()[1]
        return port


class SwarmPlace:
    """One service with its one task."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, launcher: SwarmLauncher, daemon: Daemon, name: str, service: Any) -> None:
        """Take the service; its task and the stream to it are set when it runs."""
        self.task: Task | None = None
        self._launcher = launcher
        self._daemon = daemon
        self._name = name
        self._service = service

    def reach(self, host: str, bound: Bound) -> Reach:
        """Tell how the node is reached, which its container does not know by itself."""
        del host
        return self._launcher.reach(self._name, bound)

    async def kill(self) -> None:
        """Kill the task by removing its service; return when its container has gone."""
        with as_engine_error("kill", self._name):
            await self.remove()

    async def freeze(self) -> None:
        """Refuse: a manager cannot pause a task."""
        raise EngineError("pause", self._name, "the engine docker-swarm does not offer this")

    async def thaw(self) -> None:
        """Do nothing: no task is ever frozen."""

    async def exec(self, command: Sequence[str], deadline_s: float) -> CommandResult:
        """Run a command in the container, if it is on this machine."""
        if self.task is None or not self._launcher.is_here(self.task):
            raise EngineError("run a command in", self._name, "its container is on another machine")
        container = self.task.container
        with as_engine_error("run a command in", self._name):
            found = await self._daemon.ask(
                "cannot find its container", lambda client: client.containers.get(container)
            )
            return await run_command(self._daemon, self._name, found, command, deadline_s)

    async def ended(self, deadline_s: float) -> bool:
        """Wait until the task has ended by itself, and remove its service then."""
        end = asyncio.get_running_loop().time() + deadline_s
        while True:
            try:
                tasks = await self._daemon.ask("cannot look at the task", lambda _: self._service.tasks())
            except DockerError as error:
                if not is_gone(error):
                    return False
                tasks = []
            if all(task["Status"]["State"] in _ENDED for task in tasks):
                await self.remove()
                return True
            if asyncio.get_running_loop().time() > end:
                return False
            await asyncio.sleep(_AGAIN_S)

    async def remove(self) -> None:
        """Remove the service; return when the container of its task, if it is here, runs no more."""
        task = self.task
        if task is not None and self._launcher.is_here(task):
            here = task.container
            # The manager takes seconds to tell this machine what can be done at once.
            with contextlib.suppress(DockerError):
                await self._daemon.ask("cannot kill the container", lambda client: client.api.kill(here))
            with contextlib.suppress(DockerError):
                await self._daemon.ask(
                    "its container has not ended",
                    lambda client: client.api.wait(
                        task.container, timeout=REMOVED_S, condition="not-running"
                    ),
                )
        try:
            await self._daemon.ask("cannot remove the service", lambda _: self._service.remove())
        except DockerError as error:
            if not is_gone(error):
                raise
