"""The OMQ listeners of one process: for its nodes and perhaps for the registry, if pyzmq is there."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

from session_protocol.service_nodes import NodeIdentity
from session_testnet.endpoints import bind_socket
from session_testnet.services.omq import OmqListener, OmqRuntime
from session_testnet.services.registry.json_rpc import RegistryRpc
from session_testnet.services.registry.omq import registry_commands
from session_testnet.services.storage import StorageNode


class OmqSide:
    """Start and end OMQ listeners; they share one background thread.

    Where pyzmq cannot be used there are no sockets, and starting a listener at None does nothing.
    """

    def __init__(self) -> None:
        self._runtime: OmqRuntime | None = None
        self._listeners: dict[str, OmqListener] = {}
        self._ending = False

    def prepare(self, listeners: int) -> None:
        """Get ready for so many listeners."""
        self._runtime = OmqRuntime.create(listeners)

    def bind(self, host: str, unstarted: contextlib.ExitStack, port: int = 0) -> socket.socket | None:
        """Return a listening socket, closed with ``unstarted`` until a listener is started at it."""
        return None if self._runtime is None else unstarted.enter_context(bind_socket(host, port))

    def start_registry(
        self, rpc: RegistryRpc, listener: socket.socket | None, identity: NodeIdentity
    ) -> None:
        """Serve ``rpc.get_service_nodes`` and the registry's other methods at a listening socket."""
        if self._runtime is not None and listener is not None:
            registry = OmqListener("the registry", registry_commands(rpc))
            self._start("registry", registry, listener, identity.x25519_sk)

    def start_node(
        self, service: StorageNode, admit: Callable[[], Awaitable[object]], listener: socket.socket | None
    ) -> None:
        """Serve a node's commands at a listening socket; what clients send waits for ``admit()``."""
        if self._runtime is not None and listener is not None:
            node = OmqListener(
                service.name,
                service.omq_commands(),
                admit=admit,
                on_gone=service.end_subscriptions,
            )
            self._start(service.name, node, listener, service.x25519_sk)

    async def stop_node(self, service: StorageNode) -> None:
        """End a node's listener; its address is free afterwards, unless everything ends."""
        listener = self._listeners.pop(service.name, None)
        if listener is not None:
            await listener.close(wait=not self._ending)

    def release(self) -> None:
        """Wait for no address any more: everything ends."""
        self._ending = True

    async def close(self) -> None:
        """End all listeners and the background thread; safe to call twice."""
        listeners, self._listeners = tuple(self._listeners.values()), {}
        await asyncio.gather(*(listener.close() for listener in listeners))
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None

    def _start(self, name: str, listener: OmqListener, at: socket.socket, x25519_sk: bytes) -> None:
        assert self._runtime is not None, "there is a runtime where there is a socket"
        listener.start(self._runtime, at, x25519_sk)
        self._listeners[name] = listener
