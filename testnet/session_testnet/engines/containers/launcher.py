"""What launchers of nodes in containers have in common, whoever runs the containers."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from session_testnet.docker_daemon import Daemon
from session_testnet.docker_labels import NetworkLabels
from session_testnet.endpoints import Endpoint, NodeEndpoints
from session_testnet.engines.base import EngineOptions, Surroundings
from session_testnet.engines.containers import node_container
from session_testnet.engines.containers.log_pump import LogPump
from session_testnet.engines.containers.node_container import as_engine_error
from session_testnet.engines.remote.orders import Bound
from session_testnet.engines.remote.places import Reach
from session_testnet.topology import NodeSpec


class ContainerLauncher(ABC):
    """Keep the connection to the engine, the labels of this run and the logs of its containers.

    ``prepare`` of a subclass reaches the engine (:meth:`_reach_engine`), and labels what it makes from then
    on (:meth:`_label`). ``parts`` is what errors call what it makes.
    """

    stores_here = False
    parts: ClassVar[str]

    def __init__(self) -> None:
        self._daemon: Daemon | None = None
        self._labels: NetworkLabels | None = None
        self._logs: LogPump | None = None
        self._options = EngineOptions()
        self._image = ""
        self._token = secrets.token_urlsafe(24)

    async def _reach_engine(self, options: EngineOptions) -> Daemon:
        """Connect to the engine and find the image; raise DockerError, EngineError."""
        self._options = options
        daemon = self._daemon = await Daemon.open()
        self._image = await node_container.usable_image(daemon, options.containers.image)
        return daemon

    def _label(self, network: str) -> NetworkLabels:
        """Return the labels for what is made for a network of this name: :meth:`close` removes that."""
        labels = self._labels = NetworkLabels(network, self._options.containers.ttl_s)
        return labels

    async def open(self, surroundings: Surroundings) -> None:
        """Take the network's log book."""
        self._logs = LogPump(surroundings.logs)

    def directory(self, spec: NodeSpec) -> str:
        """Return where a node stores inside its container."""
        del spec
        return node_container.DATA

    async def check_image(self, image: str) -> None:
        """Raise EngineError when there is no such image on this machine."""
        await node_container.usable_image(self._open_daemon, image)

    async def close(self) -> None:
        """Remove what was made for the network; safe to call twice."""
        daemon, self._daemon = self._daemon, None
        labels, self._labels = self._labels, None
        if daemon is None:
            return
        try:
            if labels is not None:
                with as_engine_error("remove", self.parts):
                    await self._remove_run(daemon, labels.run)
            if self._logs is not None:
                await self._logs.finish()
        finally:
            await daemon.close()

    @abstractmethod
    async def _remove_run(self, daemon: Daemon, run: str) -> None:
        """Remove what is labelled with a run; raise DockerError."""

    def _follow_log(self, name: str, stream: Any) -> None:
        assert self._logs is not None, "a launcher is opened first"
        self._logs.follow(name, stream)

    @property
    def _open_daemon(self) -> Daemon:
        assert self._daemon is not None, "a launcher is prepared first"
        return self._daemon

    @property
    def _run_labels(self) -> NetworkLabels:
        assert self._labels is not None, "a launcher is prepared first"
        return self._labels


def reach_of(name: str, bound: Bound, outside: Callable[[int], tuple[Endpoint, Endpoint]]) -> Reach:
    """Tell how a node is reached: by other nodes at its name, by clients at ``outside(port)``.

    That is where this machine and where clients reach a port of the container.
    """

    def at(port: int) -> NodeEndpoints:
        inner, told = outside(port)
        return NodeEndpoints(Endpoint(name, port), inner, told)

    omq = None if bound.omq_port is None else at(bound.omq_port)
    return Reach(at(bound.port), omq, Endpoint(name, bound.peer_port))
