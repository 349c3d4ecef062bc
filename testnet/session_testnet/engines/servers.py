"""Everything of a network besides its nodes, in this process: registry, servers and gateway."""

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

from aiohttp import web

from session_protocol.service_nodes import NodeIdentity
from session_testnet.certificates import self_signed_context
from session_testnet.clock import Clock
from session_testnet.endpoints import Endpoint, NodeEndpoints, bind_socket, endpoints_of, listening_host
from session_testnet.engines.base import Doorway, EngineOptions, ServiceEndpoints
from session_testnet.engines.exits import exits_of
from session_testnet.engines.listening import serve
from session_testnet.engines.omq import OmqSide
from session_testnet.engines.proxies import Proxies
from session_testnet.faults.rules import FaultSource
from session_testnet.faults.stale_registry import StaleRegistry
from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.files import FileServer
from session_testnet.services.gateway import Gateway
from session_testnet.services.push import MonitorLink, PushServer
from session_testnet.services.registry import RegistryApplication, RegistryState
from session_testnet.services.registry.json_rpc import RegistryRpc
from session_testnet.services.storage import ExitMap
from session_testnet.topology import Topology
from session_testnet.trace import Trace

# The servers that onion requests leave the network for.
_EXITS = ("files", "community", "push")
# What faults of connections call the servers that clients connect to.
PROXIED: Final = {
    "registry_http": "registry",
    "registry_https": "registry",
    "community": "community",
    "files": "files",
    "push": "push",
}


class Servers:
    """Run a network's servers inside the calling event loop.

    They are bound first, so that everybody can be told their addresses; then the nodes are made, then the
    registry lists these, and last the gateway opens.
    """

    def __init__(
        self,
        topology: Topology,
        options: EngineOptions,
        clock: Clock,
        trace: Trace,
        proxies: Proxies | None = None,
    ) -> None:
        """Take what the network shares; ``proxies`` go in front of the servers, if there are any."""
        self._proxies = proxies
        self._topology = topology
        self._options = options
        self._clock = clock
        self._trace = trace
        self._omq = OmqSide()
        self._unserved: dict[str, socket.socket] = {}
        # Where nodes elsewhere reach a server, and the sockets there that are not served yet.
        self._told: dict[str, Endpoint] = {}
        self._doors: dict[str, socket.socket] = {}
        self._runners: list[web.AppRunner] = []
        self._closers: list[Callable[[], None]] = []
        self._gateway: Gateway | None = None
        self.endpoints: ServiceEndpoints | None = None

    @property
    def registry_identity(self) -> NodeIdentity:
        """Return the keys of the registry; OMQ clients expect its X25519 key."""
        return NodeIdentity.from_seed(self._topology.service_seed("registry"))

    @property
    def exits(self) -> ExitMap:
        """Return where onion requests may leave the network for."""
        assert self.endpoints is not None, "the servers are bound first"
        return exits_of(
            {name: getattr(self.endpoints, name).advertised for name in _EXITS},
            {name: self._told.get(name, getattr(self.endpoints, name).inner) for name in _EXITS},
        )

    def bind(self, doorway: Doorway | None = None) -> ServiceEndpoints:
        """Bind all sockets, and return where everything will be; the nodes are still missing.

        Relays that come through a doorway find the servers there that onion requests leave for.
        """
        options = self._options
        host = listening_host(options.advertise_ip)
        ports = {"registry_http": options.registry_port, "gateway": options.gateway_port}
        for name in ("registry_http", "registry_https", "community", "files", "push", "gateway"):
            self._unserved[name] = bind_socket(host, ports.get(name, 0))
        self._omq.prepare(1)
        with contextlib.ExitStack() as undone:
            registry_omq = self._omq.bind(host, undone)
            undone.pop_all()
        if registry_omq is not None:
            self._unserved["registry_omq"] = registry_omq

        def reached_at(name: str) -> NodeEndpoints:
            server = endpoints_of(self._unserved[name], options.advertise_ip)
            service = PROXIED.get(name)
            return (
                server if self._proxies is None or service is None else self._proxies.front(service, server)
            )

        self.endpoints = ServiceEndpoints(
            registry_http=reached_at("registry_http"),
            registry_https=reached_at("registry_https"),
            community=reached_at("community"),
            files=reached_at("files"),
            push=reached_at("push"),
            gateway=reached_at("gateway"),
            registry_omq=reached_at("registry_omq") if registry_omq else None,
        )
        if doorway is not None:
            for name in _EXITS:
                port = self._unserved[name].getsockname()[1]
                if doorway.listen is not None:
                    self._doors[name] = bind_socket(doorway.listen, 0)
                    port = self._doors[name].getsockname()[1]
                self._told[name] = Endpoint(doorway.told, port)
        return self.endpoints

    async def serve_files_and_community(self) -> None:
        """Open the file server and the community server; DatabaseRefused for a file that is not theirs."""
        self.files = FileServer(
            self._topology.service_seed("files"),
            name="files",
            clock=self._clock,
            directory=self._options.directory("files"),
            trace=self._trace,
            spec=self._topology.files,
        )
        self._closers.append(self.files.close)
        self.community = CommunityServer(
            self._topology.service_seed("community"),
            name="community",
            clock=self._clock,
            directory=self._options.directory("community"),
            trace=self._trace,
            rooms=self._topology.rooms,
            roles=[
                Role(spec.id, spec.room, admin=spec.admin, visible=spec.visible)
                for spec in self._topology.roles
            ],
            control_token=self._options.community_control_token,
            require_blinding=self._topology.require_blinding,
        )
        self._closers.append(self.community.close)
        await self._serve("files", self.files.application())
        await self._serve("community", self.community.application())

    async def serve_push(self, link: MonitorLink) -> None:
        """Open the push server, which subscribes for who has subscribed in an earlier life; the nodes serve.

        Raise DatabaseRefused for a file that is not its own.
        """
        self.push = PushServer(
            self._topology.service_seed("push"),
            name="push",
            clock=self._clock,
            trace=self._trace,
            link=link,
            directory=self._options.directory("push"),
        )
        self._closers.append(self.push.close)
        await self.push.refresh()
        await self._serve("push", self.push.application())

    async def serve_registry(self, state: RegistryState, faults: FaultSource) -> RegistryRpc:
        """Open the registry; return what it answers with, also without a socket, where no fault acts."""
        view = StaleRegistry(state, faults, self._trace)
        self._closers.append(view.close)
        registry = RegistryApplication(state, clock=self._clock, trace=self._trace, view=view)
        await self._serve("registry_http", registry.application())
        await self._serve(
            "registry_https", registry.application(), self_signed_context(self._options.directory("registry"))
        )
        self._omq.start_registry(
            registry.rpc, self._unserved.pop("registry_omq", None), self.registry_identity
        )
        return registry.rpc

    async def open_gateway(self) -> None:
        """Open the gateway to the servers, and to the nodes that the endpoints have by now."""
        endpoints = self.endpoints
        assert endpoints is not None, "the servers are bound first"
        self._gateway = Gateway(
            registry_http=endpoints.registry_http.inner,
            registry_https=endpoints.registry_https.inner,
            files=endpoints.files.inner,
            own=endpoints.inner_of_advertised(),
            trace=self._trace,
        )
        await self._gateway.start(self._unserved.pop("gateway"))

    def admit(self, node: NodeEndpoints) -> None:
        """Let clients of the gateway reach a node that has joined."""
        if self._gateway is not None:
            self._gateway.routes.add_own(node.advertised, node.inner)

    def expel(self, node: NodeEndpoints) -> None:
        """Let clients of the gateway reach a node no more."""
        if self._gateway is not None:
            self._gateway.routes.remove_own(node.advertised)

    async def close_gateway(self) -> None:
        """End the connections of clients through the gateway."""
        if self._gateway is not None:
            await self._gateway.close()
            self._gateway = None

    async def close(self) -> None:
        """End everything; safe to call twice."""
        await self.close_gateway()
        await self._omq.close()
        runners, self._runners = self._runners, []
        for runner in runners:
            await runner.cleanup()
        for listener in (*self._unserved.values(), *self._doors.values()):
            listener.close()
        self._unserved.clear()
        self._doors.clear()
        while self._closers:
            self._closers.pop()()

    async def _serve(
        self, name: str, application: web.Application, tls: ssl.SSLContext | None = None
    ) -> None:
        runner = await serve(application, self._unserved.pop(name), tls)
        self._runners.append(runner)
        door = self._doors.pop(name, None)
        if door is not None:
            await web.SockSite(runner, door).start()
