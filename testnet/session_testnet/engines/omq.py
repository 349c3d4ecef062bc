"""The OMQ listeners of an embedded network: one for each node and one for the registry, if pyzmq is there."""

import asyncio
import contextlib
import socket

from session_protocol.service_nodes import NodeIdentity
from session_testnet.endpoints import NodeEndpoints, bind_socket
from session_testnet.engines.running_node import RunningNode, bind_again
from session_testnet.services.omq import OmqListener, OmqRuntime
from session_testnet.services.registry.json_rpc import RegistryRpc
from session_testnet.services.registry.omq import registry_commands


class OmqSide:
    """Start and end OMQ listeners; they share one background thread.

    Where pyzmq cannot be used there are no sockets, and starting a listener at None does nothing.
    """

    def __init__(self) -> None:
        self._runtime: OmqRuntime | None = None
        self._registry: OmqListener | None = None

    def prepare(self, nodes: int) -> None:
        """Get ready for a network of so many nodes."""
        self._runtime = OmqRuntime.create(nodes + 1)

    def bind(self, host: str, unstarted: contextlib.ExitStack) -> socket.socket | None:
        """Return a listening socket, closed with ``unstarted`` until a listener is started at it."""
        return None if self._runtime is None else unstarted.enter_context(bind_socket(host))

    def start_registry(
        self, rpc: RegistryRpc, listener: socket.socket | None, identity: NodeIdentity
    ) -> None:
        """Serve ``rpc.get_service_nodes`` and the registry's other methods at a listening socket."""
        if self._runtime is None or listener is None:
            return
        self._registry = OmqListener("the registry", registry_commands(rpc))
        self._registry.start(self._runtime, listener, identity.x25519_sk)

    def start_node(self, node: RunningNode, listener: socket.socket | None) -> None:
        """Serve a node's commands at a listening socket; a frozen node lets clients wait."""
        if self._runtime is None or listener is None:
            return
        service = node.service
        node.omq = OmqListener(
            service.name,
            service.omq_commands(),
            admit=node.answering.wait,
            on_gone=service.end_subscriptions,
        )
        node.omq.start(self._runtime, listener, service.x25519_sk)

    def bind_again(self, name: str, endpoints: NodeEndpoints | None) -> socket.socket | None:
        """Return a listening socket for a node that starts again, or None if it has never had one."""
        return None if self._runtime is None or endpoints is None else bind_again(name, endpoints)

    async def stop_node(self, node: RunningNode) -> None:
        """End a node's listener; its address is free afterwards."""
        omq, node.omq = node.omq, None
        if omq is not None:
            await omq.close(wait=True)

    async def close(self, nodes: list[RunningNode]) -> None:
        """End all listeners and the background thread; safe to call twice."""
        listeners = [node.omq for node in nodes if node.omq is not None]
        if self._registry is not None:
            listeners.append(self._registry)
        for node in nodes:
            node.omq = None
        self._registry = None
        await asyncio.gather(*(listener.close() for listener in listeners))
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None
