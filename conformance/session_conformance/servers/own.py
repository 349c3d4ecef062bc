"""Our own services, started for a judge in this process: whole, or with a fault in one of their classes."""

import contextlib
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from session_conformance.servers.address import ServerAddress, ServerKind
from session_conformance.servers.testee import OpenServer
from session_protocol.service_nodes import NodeIdentity
from session_testnet.certificates import self_signed_context
from session_testnet.clock import Clock
from session_testnet.endpoints import LOOPBACK, bind_socket, endpoints_of
from session_testnet.engines.listening import serve
from session_testnet.loop_thread import LoopThread
from session_testnet.peers import DirectPeerLink
from session_testnet.services.community import CommunityServer
from session_testnet.services.files import FileServer
from session_testnet.services.registry import RegistryApplication, RegistryState
from session_testnet.services.storage import StorageNode
from session_testnet.services.storage.dispatch import Dispatcher
from session_testnet.topology import Topology
from session_testnet.topology_file_server import FilesSpec
from session_testnet.trace import Trace

NODES: Final = 6
SWARMS: Final = 2
_START_S: Final = 30.0

Ending = Callable[[], Awaitable[object]]


class _Stage:
    """A loop in a thread of its own, and what has to be ended on it, last first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = Clock()
        self.trace = Trace(self.clock)
        self._loop = LoopThread(name)
        self._endings: list[Ending] = []

    def start(self, begin: Callable[["_Stage"], Awaitable[ServerAddress]], *, token: str = "") -> OpenServer:
        async def work() -> ServerAddress:
            return await begin(self)

        try:
            address = self._loop.run(work(), timeout_s=_START_S, waiting_for=f"{self.name} to start")
        except BaseException:
            self.close()
            raise
        return OpenServer(address, control_token=token, close=self.close)

    def later(self, ending: Ending) -> None:
        self._endings.append(ending)

    async def serve(self, application: web.Application, listener: socket.socket, tls: Any = None) -> None:
        runner = await serve(application, listener, tls)
        self.later(runner.cleanup)

    def close(self) -> None:
        async def end() -> None:
            while self._endings:
                await self._endings.pop()()

        with contextlib.suppress(RuntimeError):
            self._loop.run(end(), timeout_s=_START_S, waiting_for=f"{self.name} to end")
        self._loop.close()


def open_storage(
    node_class: type[StorageNode] = StorageNode, dispatcher: type[Dispatcher] = Dispatcher
) -> OpenServer:
    """Start service nodes in two swarms, all of these classes, and the registry that lists them."""

    async def begin(stage: _Stage) -> ServerAddress:
        topology = Topology.default(NODES, seed="judged servers", swarms=SWARMS)
        listeners = {spec.name: bind_socket(LOOPBACK, 0) for spec in topology.nodes}
        places = {name: endpoints_of(listener).advertised for name, listener in listeners.items()}
        registry = RegistryState.from_topology(topology, places)
        peers = DirectPeerLink()
        for spec in topology.nodes:
            node = node_class(
                NodeIdentity.from_seed(spec.seed),
                spec.name,
                clock=stage.clock,
                peers=peers,
                trace=stage.trace,
                dispatcher=dispatcher,
            )
            stage.later(_ending(node.close))
            stage.later(node.aclose)
            peers.register(node.ed25519_hex, node.handle_peer)
            node.update_network(registry.snapshot())
            await stage.serve(node.application(), listeners[spec.name], self_signed_context(None))
        listener = bind_socket(LOOPBACK, 0)
        place = endpoints_of(listener).advertised
        await stage.serve(
            RegistryApplication(registry, clock=stage.clock, trace=stage.trace).application(), listener
        )
        urls = tuple(f"https://{place}" for place in places.values())
        return ServerAddress(ServerKind.STORAGE, urls, registry=f"http://{place}")

    return _Stage("judged service nodes").start(begin)


def open_files(server_class: type[FileServer] = FileServer) -> OpenServer:
    """Start a file server whose ids are hashes, so that everything it can do is judged."""

    async def begin(stage: _Stage) -> ServerAddress:
        server = server_class(
            secrets.token_bytes(32), clock=stage.clock, trace=stage.trace, spec=FilesSpec(id_mode="hash")
        )
        stage.later(_ending(server.close))
        listener = bind_socket(LOOPBACK, 0)
        url = f"http://{endpoints_of(listener).advertised}"
        await stage.serve(server.application(), listener)
        return ServerAddress(ServerKind.FILES, (url,), public_key=server.public_key)

    return _Stage("a judged file server").start(begin)


def open_community(server_class: type[CommunityServer] = CommunityServer) -> OpenServer:
    """Start a community in test mode."""
    token = secrets.token_urlsafe(24)

    async def begin(stage: _Stage) -> ServerAddress:
        server = server_class(
            secrets.token_bytes(32),
            clock=stage.clock,
            trace=stage.trace,
            require_blinding=False,
            control_token=token,
        )
        stage.later(_ending(server.close))
        listener = bind_socket(LOOPBACK, 0)
        url = f"http://{endpoints_of(listener).advertised}"
        await stage.serve(server.application(), listener)
        return ServerAddress(ServerKind.COMMUNITY, (url,), public_key=server.public_key)

    return _Stage("a judged community").start(begin, token=token)


def open_own(kind: ServerKind) -> OpenServer:
    """Start our own server of a kind."""
    match kind:
        case ServerKind.STORAGE:
            return open_storage()
        case ServerKind.FILES:
            return open_files()
        case ServerKind.COMMUNITY:
            return open_community()


def _ending(close: Callable[[], object]) -> Ending:
    async def end() -> None:
        close()

    return end
