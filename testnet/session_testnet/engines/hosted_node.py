"""One storage node inside this process, with its listeners; frozen, it accepts connections and waits."""

import asyncio
import functools
import socket
import ssl
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from session_protocol.service_nodes import NodeIdentity
from session_testnet.certificates import expired_context, self_signed_context, show_instead
from session_testnet.clock import Clock, SkewedClock
from session_testnet.endpoints import NodeEndpoints, bind_socket, endpoints_of
from session_testnet.engines.base import CommandResult, EngineError, Hear, NodeStatus
from session_testnet.engines.listening import serve
from session_testnet.engines.omq import OmqSide
from session_testnet.knobs import NodeKnobs
from session_testnet.peers import PeerHandler, PeerLink, PeerReply
from session_testnet.services.registry import NetworkSnapshot
from session_testnet.services.sqlite_file import DatabaseRefused
from session_testnet.services.storage import ExitMap, FaultGate, RpcResult, StorageNode, StorageSettings
from session_testnet.services.storage.oxend import Oxend
from session_testnet.storage_limits import StorageLimits
from session_testnet.topology import NodeSpec
from session_testnet.trace import Trace

# What a killed node lets its handlers have to end in; 0 would mean that there is no limit.
_NO_TIME_S = 1e-6


class PeerExchange(PeerLink, Protocol):
    """A link at which a node also takes requests."""

    def register(self, ed25519_hex: str, handler: PeerHandler) -> None:
        """Let a node answer under its key."""

    def unregister(self, ed25519_hex: str) -> None:
        """Make a node unreachable; nothing happens if it is so already."""

    def cut_off(self, ed25519_hex: str, others: Collection[str]) -> None:
        """Let a node and these others reach each other no more, and all others again."""


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What a node in this process works with."""

    clock: Clock
    trace: Trace
    peers: PeerExchange
    gate: FaultGate
    exits: ExitMap
    oxend: Oxend
    omq: OmqSide
    version: tuple[int, int, int]
    limits: StorageLimits
    advertise_ip: str | None = None


class _Ear:
    """The connection of whoever asks a node for new messages without a socket."""

    def __init__(self) -> None:
        self.hear: Hear | None = None

    def push(self, command: bytes, body: bytes) -> bool:
        """Hand a command of the node on."""
        if self.hear is not None:
            self.hear(command, body)
        return self.hear is not None


class HostedNode:
    """A node in this process; sockets are bound anew at each start, at the same addresses."""

    def __init__(
        self, spec: NodeSpec, listener: socket.socket, omq: socket.socket | None, advertise_ip: str | None
    ) -> None:
        """Take the listening sockets; the node closes them, whether it is ever launched or not."""
        self.spec = spec
        identity = NodeIdentity.from_seed(spec.seed)
        self.ed25519_hex = identity.ed25519_pk.hex()
        self.endpoints = endpoints_of(listener, advertise_ip)
        self.omq_endpoints = endpoints_of(omq, advertise_ip) if omq else None
        self._identity = identity
        self._listener: socket.socket | None = listener
        self._omq_listener = omq
        self._answering = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._life = _Life()
        self._reached_by_clients = asyncio.Event()
        self._reached_by_clients.set()
        self._service: StorageNode | None = None
        self._parts: NodeParts | None = None
        self._clock = SkewedClock(Clock())
        self._directory: Path | None = None
        self._ear = _Ear()
        self._next_version: tuple[int, int, int] | None = None

    def equip(self, parts: NodeParts, directory: Path | None) -> None:
        """Give the node what it works with, and its store; EngineError when its database is refused."""
        self._parts, self._directory = parts, directory
        self._clock = SkewedClock(parts.clock)
        try:
            self._service = StorageNode(
                self._identity,
                self.spec.name,
                clock=self._clock,
                peers=parts.peers,
                trace=parts.trace,
                database=directory / "storage.sqlite" if directory else None,
                exits=parts.exits,
                settings=StorageSettings.of(parts.version, parts.limits),
                fault_gate=parts.gate,
                oxend=parts.oxend,
            )
        except DatabaseRefused as error:
            raise EngineError("start", self.spec.name, str(error)) from error
        self._tls = self_signed_context(directory)
        show_instead(self._tls, _expired, lambda: parts.gate.shows_expired_certificate(self.spec.name))

    @property
    def service(self) -> StorageNode:
        """Return the service itself."""
        if self._service is None:
            raise EngineError("look into", self.spec.name, "it has not been started")
        return self._service

    @property
    def _equipped(self) -> NodeParts:
        if self._parts is None:
            raise EngineError("act on", self.spec.name, "it has not been started")
        return self._parts

    @property
    def status(self) -> NodeStatus:
        """Return whether the node runs, is frozen, or is stopped."""
        if self._runner is None:
            return NodeStatus.STOPPED
        return NodeStatus.RUNNING if self._answering.is_set() else NodeStatus.PAUSED

    @property
    def knobs(self) -> NodeKnobs:
        """Return the node's knobs, all but its clock and ``wrong_swarm``."""
        return self.service.knobs

    @property
    def skew_ms(self) -> int:
        """Return how far the node's clock is ahead of the network's."""
        return self._clock.offset_ms

    async def launch(self, snapshot: NetworkSnapshot) -> None:
        """Serve from now on, in the network that a snapshot shows."""
        self.service.update_network(snapshot)
        listener, self._listener = self._listener, None
        omq, self._omq_listener = self._omq_listener, None
        assert listener is not None, "a node is launched once"
        await self._listen(listener, omq)
        self.service.start_purging()

    async def stop(self) -> None:
        """End: the listeners close, peers find the node unreachable, its store stays."""
        await self._end(at_once=False)

    async def kill(self) -> None:
        """End at the sockets: connections are reset, and what was being answered is not."""
        await self._end(at_once=True)

    async def start(self, snapshot: NetworkSnapshot) -> None:
        """Start again at the old address, with what was stored."""
        listener = self._bind_again(self.endpoints)
        try:
            omq = self._bind_again(self.omq_endpoints) if self.omq_endpoints else None
        except BaseException:
            listener.close()
            raise
        if self._next_version is not None:
            self.service.imitate(self._next_version)
        self.service.update_network(snapshot)
        await self._listen(listener, omq)
        self.service.resume()

    async def change(self, *, image: str | None = None, version: tuple[int, int, int] | None = None) -> None:
        """Imitate another release from the next start on; there is no image here."""
        del image
        self._next_version = version or self._next_version

    async def pause(self) -> None:
        """Accept connections and answer nothing."""
        self._answering.clear()
        await self.service.suspend()

    async def resume(self, snapshot: NetworkSnapshot) -> None:
        """Answer again, first of all what was asked meanwhile."""
        self._answering.set()
        self.service.update_network(snapshot)
        self.service.resume()

    async def discard(self) -> None:
        """End for good, and free the address."""
        await self._end(at_once=False)
        for listener in (self._listener, self._omq_listener):
            if listener is not None:
                listener.close()
        self._listener = self._omq_listener = None
        if self._service is not None:
            await self._service.aclose()
            self._service.close()

    async def update_network(self, snapshot: NetworkSnapshot) -> None:
        """Tell the node of a change of the network."""
        self.service.update_network(snapshot)

    async def catch_up(self) -> None:
        """Purge, and tell the swarm that this node can be given what it missed."""
        self.service.resume()

    async def set_skew(self, skew_ms: int) -> None:
        """Set how far the node's clock is ahead of the network's."""
        self.turn_clock(skew_ms)

    def turn_clock(self, skew_ms: int) -> None:
        """Set the clock at once; a fault rule does it while it decides."""
        self._clock.offset_ms = skew_ms

    async def set_knobs(self, knobs: NodeKnobs) -> None:
        """Turn the node's knobs, all but its clock and ``wrong_swarm``."""
        self.service.set_knobs(replace(knobs, clock_offset_ms=0, wrong_swarm=False))

    async def cut_off(self, keys: Collection[str], *, clients: bool) -> None:
        """Let the node and those with these keys reach each other no more, and all others again.

        ``clients`` True cuts off all clients too.
        """
        if clients:
            self._reached_by_clients.clear()
        else:
            self._reached_by_clients.set()
        self._equipped.peers.cut_off(self.ed25519_hex, keys)

    async def settled(self, reachable: Collection[str]) -> None:
        """Try once to deliver what the node owes to nodes with these keys."""
        await self.service.settled(reachable)

    async def owed_to(self) -> Sequence[str]:
        """Return the keys of the nodes that have not got everything from this one."""
        return self.service.owed_to()

    async def purge(self) -> int:
        """Delete what has expired; return how many messages that were."""
        return self.service.purge()

    async def forget(self, hashes: Collection[str] | None) -> int:
        """Lose messages, all or those with these hashes; return how many that were."""
        return self.service.forget(hashes)

    async def stored_messages(self, account: bytes, namespace: int) -> Sequence[Mapping[str, Any]]:
        """Return what the node keeps of a mailbox, also while it is stopped."""
        return self.service.stored_messages(account, namespace)

    async def rpc(self, method: str, params: Mapping[str, Any]) -> RpcResult:
        """Ask the node as a client would, without a connection."""
        return await self.service.rpc(method, params)

    async def monitor(self, hear: Hear, request: bytes) -> bytes:
        """Ask for ``monitor.messages``; ``hear`` gets what the node pushes until it ends."""
        self._ear.hear = hear
        return self.service.monitor(self._ear, request)

    async def exec(self, command: Sequence[str], deadline_s: float) -> CommandResult:
        """Refuse: the node runs in the network's own process."""
        del deadline_s
        raise EngineError(
            "run a command in", self.spec.name, f"there is no place of its own for {command[0]}"
        )

    async def _listen(self, listener: socket.socket, omq: socket.socket | None) -> None:
        parts = self._equipped
        application = self.service.application()
        life = self._life = _Life()
        application.middlewares.insert(0, _held_back_by(self._answering, life, self._reached_by_clients))
        try:
            self._runner = await serve(application, listener, self._tls)
        except BaseException:
            if omq is not None:
                omq.close()
            raise
        parts.omq.start_node(self.service, self._admit, omq)
        self._answering.set()

        async def deliver(command: str, payload: object, sender: str) -> PeerReply:
            await self._answering.wait()
            return await self.service.handle_peer(command, payload, sender)

        parts.peers.register(self.ed25519_hex, deliver)

    async def _admit(self) -> None:
        """Let messages of OMQ clients wait while the node does not answer, or is cut off from them."""
        await self._answering.wait()
        await self._reached_by_clients.wait()

    async def _end(self, *, at_once: bool) -> None:
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        self._life.is_over = True
        self._equipped.peers.unregister(self.ed25519_hex)
        self._answering.set()
        self.service.end_subscriptions(self._ear)
        await self._equipped.omq.stop_node(self.service)
        if at_once and runner.server is not None:
            for connection in tuple(runner.server.connections):
                if connection.transport is not None:
                    connection.transport.abort()
                await connection.shutdown(_NO_TIME_S)
        await runner.cleanup()
        await self.service.suspend()

    def _bind_again(self, endpoints: NodeEndpoints) -> socket.socket:
        """Return a listening socket at an old address; EngineError when something else has it."""
        address = endpoints.bind
        try:
            return bind_socket(address.host, address.port)
        except OSError as error:
            raise EngineError("start", self.spec.name, f"{address} cannot be bound again: {error}") from error


@dataclass(slots=True)
class _Life:
    """The time from one start of a node to its end."""

    is_over: bool = False


@functools.cache
def _expired() -> ssl.SSLContext:
    """Return the expired certificate that all nodes of this process show when a fault says so."""
    return expired_context()


def _held_back_by(answering: asyncio.Event, life: _Life, reached: asyncio.Event) -> Middleware:
    """Make a middleware that holds requests back while a node is paused, and drops them when it is cut off.

    A connection that was accepted before the end, but was still in its TLS handshake, comes to life after it.
    """

    @web.middleware
    async def hold_back(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not answering.is_set():
            await answering.wait()
        if life.is_over or not reached.is_set():
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the node cannot be reached")
        return await handler(request)

    return hold_back
