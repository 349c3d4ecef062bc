"""One storage node inside this process, with its listener; frozen, it accepts connections and waits."""

import asyncio
import socket
import ssl
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from session_testnet.clock import SkewedClock
from session_testnet.endpoints import NodeEndpoints, bind_socket
from session_testnet.engines.base import EngineError, NodeStatus
from session_testnet.services.omq import OmqListener
from session_testnet.services.storage import StorageNode
from session_testnet.topology import NodeSpec

# How long a service may take to end its open requests when it is stopped, in seconds.
SHUTDOWN_S = 0.5


@dataclass(slots=True)
class RunningNode:
    """One storage node with its listeners; sockets are bound anew at each start, at the same addresses."""

    spec: NodeSpec
    service: StorageNode
    clock: SkewedClock
    endpoints: NodeEndpoints
    tls: ssl.SSLContext
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    runner: web.AppRunner | None = None
    omq: OmqListener | None = None

    @property
    def status(self) -> NodeStatus:
        """Return whether the node runs, is frozen, or is stopped."""
        if self.runner is None:
            return NodeStatus.STOPPED
        return NodeStatus.RUNNING if self.answering.is_set() else NodeStatus.PAUSED


def bind_again(name: str, endpoints: NodeEndpoints) -> socket.socket:
    """Return a listening socket at a node's old address; raise EngineError when something else has it."""
    address = endpoints.bind
    try:
        return bind_socket(address.host, address.port)
    except OSError as error:
        raise EngineError("start", name, f"{address} cannot be bound again: {error}") from error


async def serve(
    application: web.Application, listener: socket.socket, tls: ssl.SSLContext | None
) -> web.AppRunner:
    """Serve an application at a listening socket, over TLS if there is a context for it."""
    runner = web.AppRunner(application, handle_signals=False, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=tls).start()
    return runner


def held_back_by(answering: asyncio.Event) -> Middleware:
    """Make a middleware that holds every request back while a node is paused."""

    @web.middleware
    async def hold_back(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not answering.is_set():
            await answering.wait()
        return await handler(request)

    return hold_back
