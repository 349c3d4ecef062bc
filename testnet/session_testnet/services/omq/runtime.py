"""The library behind OMQ, if it is installed, and what all sockets of a network share."""

import asyncio
import contextlib
import importlib
import logging
import socket
from types import ModuleType
from typing import Any, Final

from session_testnet.endpoints import EndpointError, bind_socket

_logger: Final = logging.getLogger(__name__)

# Settings of omq.md §§1, 2, in milliseconds and bytes.
_HANDSHAKE_MS: Final = 10_000
_HEARTBEAT_MS: Final = 15_000
_DEAD_AFTER_MS: Final = 30_000
_MAX_MESSAGE_BYTES: Final = 10 * 1024 * 1024
# Besides those that listen: room for nodes that join.
_SPARE_SOCKETS: Final = 1024
_RELEASE_DEADLINE_S: Final = 2.0
_RELEASE_LOOK_S: Final = 0.001


class OmqRuntime:
    """The ZMQ context of a network; one background thread serves all its sockets.

    Made with :meth:`create`.
    """

    def __init__(self, zmq: ModuleType, asynchronous: ModuleType, sockets: int) -> None:
        self._zmq = zmq
        self._context: Any = asynchronous.Context()
        # The library's default of 1,023 sockets ends within a network of that many nodes.
        largest = self._context.get(zmq.SOCKET_LIMIT)
        self._context.set(zmq.MAX_SOCKETS, min(largest, max(1023, sockets + _SPARE_SOCKETS)))

    @classmethod
    def create(cls, sockets: int) -> "OmqRuntime | None":
        """Return a runtime for so many listeners at least, or None where pyzmq is missing or lacks CURVE."""
        try:
            zmq = importlib.import_module("zmq")
            asynchronous = importlib.import_module("zmq.asyncio")
        except ImportError:
            return None
        if not zmq.has("curve"):
            _logger.warning("this pyzmq has no CURVE: the network runs without OMQ")
            return None
        return cls(zmq, asynchronous, sockets)

    @property
    def dont_wait(self) -> int:
        """Return the flag of sending at once or not at all."""
        return int(self._zmq.DONTWAIT)

    @property
    def error(self) -> type[Exception]:
        """Return what operations of sockets raise; it has an ``errno``."""
        raised: type[Exception] = self._zmq.ZMQError
        return raised

    def router(self, listener: socket.socket, x25519_sk: bytes) -> Any:
        """Return a ROUTER socket that accepts CURVE clients at a listening socket, which it takes over.

        Raise EndpointError when there can be no more sockets.
        """
        zmq = self._zmq
        host, port = listener.getsockname()[:2]
        router: Any = None
        try:
            router = self._context.socket(zmq.ROUTER)
            for option, value in (
                (zmq.CURVE_SERVER, 1),
                (zmq.CURVE_SECRETKEY, x25519_sk),
                (zmq.LINGER, 0),
                (zmq.MAXMSGSIZE, _MAX_MESSAGE_BYTES),
                (zmq.ROUTER_HANDOVER, 1),
                (zmq.ROUTER_MANDATORY, 1),
                (zmq.HANDSHAKE_IVL, _HANDSHAKE_MS),
                (zmq.HEARTBEAT_IVL, _HEARTBEAT_MS),
                (zmq.HEARTBEAT_TIMEOUT, _DEAD_AFTER_MS),
                (zmq.RCVHWM, 0),
                (zmq.SNDHWM, 0),
                # From here on the library owns the file descriptor and closes it.
                (zmq.USE_FD, listener.detach()),
            ):
                router.setsockopt(option, value)
            router.bind(f"tcp://{host}:{port}")
        except self.error as error:
            if router is not None:
                router.close(linger=0)
            raise EndpointError(f"cannot serve OMQ at {host}:{port}: {error}") from error
        return router

    def close(self) -> None:
        """End the background thread; every listener must be closed before. Safe to call twice."""
        self._context.destroy(linger=0)


async def released(host: str, port: int) -> None:
    """Wait until nothing listens at an address any more: the background thread closes sockets later."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_RELEASE_DEADLINE_S):
            while True:
                try:
                    bind_socket(host, port).close()
                except EndpointError:
                    await asyncio.sleep(_RELEASE_LOOK_S)
                else:
                    return
    _logger.warning("the OMQ listener at %s:%d was not closed in %g s", host, port, _RELEASE_DEADLINE_S)
