"""Run each node in a container of its own, on one bridge network of Docker."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Sequence
from typing import Any, Final

from session_testnet.docker_daemon import Daemon, DockerError, is_gone
from session_testnet.docker_labels import RUN
from session_testnet.endpoints import (
    ANY,
    LOOPBACK,
    Endpoint,
    allocate_node_addresses,
    can_bind,
    listening_host,
    parse_advertise_ip,
)
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

# How long a container may take until its node listens: the machine may be starting many.
READY_S: Final = 60.0
# How long an ended container may take to be removed.
REMOVED_S: Final = 20.0
# Where containers find their host when its address on their network is not its own (Docker Desktop).
_HOST_ALIAS: Final = "host.docker.internal"


class DockerLauncher(ContainerLauncher):
    """Make a container for each node; without a data directory nodes store in volumes."""

    name = "docker"
    parts = "the containers"
    capabilities = Capabilities(pause=True, kill=True, exec=True, image=True)

    def __init__(self) -> None:
        super().__init__()
        self._network: Any = None
        self._hosts: dict[str, str] = {}
        self._own_addresses = False
        # The ports of a node on this machine, by those inside, from its first start on.
        self._published: dict[str, dict[int, int]] = {}

    async def prepare(self, topology: Topology, options: EngineOptions) -> Doorway:
        """Make the bridge network; EngineError without an engine or an image."""
        with as_engine_error("prepare", self.parts):
            daemon, labels = await self._reach_engine(options), self._label(topology.name)
            self._network = await daemon.ask(
                "cannot make a bridge network",
                lambda client: client.networks.create(
                    labels.name_of("network"), driver="bridge", labels=labels.of("network")
                ),
            )
            await daemon.ask("cannot look at the bridge network", lambda _: self._network.reload())
        gateway = next(
            (config["Gateway"] for config in self._network.attrs["IPAM"]["Config"] if "Gateway" in config), ""
        )
        # Where the engine runs in a machine of its own (Docker Desktop), its bridge is not here either.
        self._own_addresses = bool(gateway) and can_bind(gateway)
        return Doorway(gateway, gateway) if self._own_addresses else Doorway(_HOST_ALIAS, None)

    def ports(self, spec: NodeSpec) -> Ports:
        """Return the ports inside, which are the same in all containers; choose an address outside."""
        if self._options.advertise_ip is not None:
            self._hosts[spec.name] = listening_host(self._options.advertise_ip)
        else:
            taken = set(self._hosts.values())
            addresses = allocate_node_addresses(len(taken) + 1) if self._own_addresses else [LOOPBACK]
            self._hosts[spec.name] = next((host for host in addresses if host not in taken), LOOPBACK)
        return node_container.INNER

    async def launch(self, spec: NodeSpec, image: str | None) -> "DockerPlace":
        """Start a container, wait until its node listens, and open the stream to it."""
        daemon, name = self._open_daemon, spec.name
        with as_engine_error("start", name):
            chosen = self._image if image is None else image
            mount = await self._mount(name)
            container = await daemon.ask(
                "cannot make a container", lambda client: self._create(client, spec, chosen, mount)
            )
            try:
                # What a container prints that ends at once would be gone with it.
                stream = await daemon.ask(
                    "cannot read the log", lambda _: container.attach(stream=True, logs=True)
                )
                await daemon.ask("cannot start the container", lambda _: container.start())
                self._follow_log(name, stream)
                await daemon.ask("cannot look at the container", lambda _: container.reload())
                published = _published_ports(container.attrs)
                self._published.setdefault(name, published)
                host, port = self._control_address(name, container.attrs, published)
                reader, writer = await greet(name, host, port, self._token, deadline_s=READY_S)
            except BaseException:
                with contextlib.suppress(DockerError):
                    await daemon.ask("cannot remove the container", lambda _: container.remove(force=True))
                raise
        return DockerPlace(self, daemon, spec, container, reader, writer)

    def forget(self, spec: NodeSpec) -> None:
        """Give a discarded node's address to others."""
        self._hosts.pop(spec.name, None)
        self._published.pop(spec.name, None)

    def reach(self, name: str, bound: Bound) -> Reach:
        """Tell how a node is reached: by clients at published ports, by other nodes at its container."""
        published, host = self._published[name], self._hosts[name]
        advertise_ip = self._options.advertise_ip
        inner = LOOPBACK if host == ANY else host
        told = inner if advertise_ip is None else parse_advertise_ip(advertise_ip)

        def outside(port: int) -> tuple[Endpoint, Endpoint]:
            at = _port(published, port, name)
            return Endpoint(inner, at), Endpoint(told, at)

        return reach_of(name, bound, outside)

    async def _remove_run(self, daemon: Daemon, run: str) -> None:
        await daemon.ask("cannot remove what was made", lambda client: remove_run(client, run))

    def _control_address(
        self, name: str, attrs: dict[str, Any], published: dict[int, int]
    ) -> tuple[str, int]:
        """Return where a node takes orders: at its own address where the bridge is one of this machine."""
        if not self._own_addresses:
            return LOOPBACK, _port(published, CONTROL_PORT, name)
        address = attrs["NetworkSettings"]["Networks"].get(self._network.name, {}).get("IPAddress")
        if not address:
            raise EngineError("start", name, "its container has ended", f"see: session-harness logs {name}")
        return address, CONTROL_PORT

    async def _mount(self, name: str) -> dict[str, dict[str, str]]:
        """Return the volumes of a node's container: its directory, or one that outlives the container."""
        directory, labels = self._options.directory(name), self._run_labels
        if directory is not None:
            node_container.give_away(directory)
            return {str(directory.absolute()): {"bind": node_container.DATA, "mode": "rw"}}
        volume = labels.name_of(name)
        await self._open_daemon.ask(
            "cannot make a volume",
            lambda client: client.volumes.create(volume, labels=labels.of("data", name)),
        )
        return {volume: {"bind": node_container.DATA, "mode": "rw"}}

    def _create(self, client: Any, spec: NodeSpec, image: str, mount: dict[str, dict[str, str]]) -> Any:
        labels, name = self._run_labels, spec.name
        host, before, limits = self._hosts[name], self._published.get(name, {}), self._options.containers
        # A port that is not given is chosen by Docker, and kept from then on.
        ports = {f"{port}/tcp": (host, before.get(port)) for port in (HTTPS_PORT, OMQ_PORT)}
        if not self._own_addresses:
            ports[f"{CONTROL_PORT}/tcp"] = (LOOPBACK, None)
        own_files = self._options.data_dir is not None and os.getuid() != 0
        network = self._network.name
        return client.containers.create(
            image,
            list(node_container.COMMAND),
            # A name of its own for each start: the container before may still be on its way out.
            name=f"{labels.name_of(name)}-{secrets.token_hex(2)}",
            hostname=name,
            labels=labels.of("node", name),
            environment=node_container.environment(name, self._token),
            ports=ports,
            volumes=mount,
            network=network,
            networking_config={network: client.api.create_endpoint_config(aliases=[name])},
            extra_hosts={} if self._own_addresses else {_HOST_ALIAS: "host-gateway"},
            user=f"{os.getuid()}:{os.getgid()}" if own_files else None,
            mem_limit=limits.memory_bytes,
            nano_cpus=None if limits.cpus is None else int(limits.cpus * 1e9),
            healthcheck=node_container.HEALTH_CHECK,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            # A node ends when its network has gone; its container goes then by itself.
            auto_remove=True,
        )


class DockerPlace:
    """One container."""

    def __init__(
        self,
        launcher: DockerLauncher,
        daemon: Daemon,
        spec: NodeSpec,
        container: Any,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Take the container and the stream to its node."""
        self.reader = reader
        self.writer = writer
        self._launcher = launcher
        self._daemon = daemon
        self._name = spec.name
        self._container = container

    def reach(self, host: str, bound: Bound) -> Reach:
        """Tell how the node is reached, which its container does not know by itself."""
        del host
        return self._launcher.reach(self._name, bound)

    async def kill(self) -> None:
        """Kill the container, and wait until it is removed: the next one takes its ports."""
        try:
            await self._daemon.ask("cannot kill the container", lambda _: self._container.kill())
        except DockerError as error:
            if not is_gone(error):
                raise EngineError("kill", self._name, error.message, error.hint) from error
        if not await self.ended(REMOVED_S):
            with contextlib.suppress(DockerError):
                await self._daemon.ask("cannot remove it", lambda _: self._container.remove(force=True))

    async def freeze(self) -> None:
        """Pause the container."""
        with as_engine_error("pause", self._name):
            await self._daemon.ask("cannot pause the container", lambda _: self._container.pause())

    async def thaw(self) -> None:
        """Let the container go on."""
        with as_engine_error("resume", self._name):
            await self._daemon.ask("cannot resume the container", lambda _: self._container.unpause())

    async def exec(self, command: Sequence[str], deadline_s: float) -> CommandResult:
        """Run a command in the container, as the node's user."""
        with as_engine_error("run a command in", self._name):
            return await run_command(self._daemon, self._name, self._container, command, deadline_s)

    async def ended(self, deadline_s: float) -> bool:
        """Wait until the container is removed, which it is when its node has ended."""
        try:
            await self._daemon.ask(
                "the container has not ended",
                lambda client: client.api.wait(self._container.id, timeout=deadline_s, condition="removed"),
            )
        except DockerError as error:
            return is_gone(error)
        return True


def remove_run(client: Any, run: str) -> None:
    """Remove the containers, networks and volumes of one network, in this order."""
    from docker.errors import NotFound

    mine = {"label": f"{RUN}={run}"}
    for container in client.containers.list(all=True, filters=mine, ignore_removed=True):
        with contextlib.suppress(NotFound):
            _remove_container(client, container)
    for network in client.networks.list(filters=mine):
        with contextlib.suppress(NotFound):
            network.remove()
    for volume in client.volumes.list(filters=mine):
        with contextlib.suppress(NotFound):
            volume.remove(force=True)


def _remove_container(client: Any, container: Any) -> None:
    from docker.errors import APIError

    try:
        container.remove(force=True)
    except APIError as error:
        # It is being removed already: its network and volume are free only when that is done.
        if error.status_code != 409:
            raise
        client.api.wait(container.id, timeout=REMOVED_S, condition="removed")


def _published_ports(attrs: dict[str, Any]) -> dict[int, int]:
    ports = attrs["NetworkSettings"]["Ports"] or {}
    return {
        int(inside.partition("/")[0]): int(bindings[0]["HostPort"])
        for inside, bindings in ports.items()
        if bindings
    }


def _port(published: dict[int, int], inside: int, node: str) -> int:
    try:
        return published[inside]
    except KeyError:
        raise EngineError(
            "start", node, f"its port {inside} is not published", f"see its log: session-harness logs {node}"
        ) from None
