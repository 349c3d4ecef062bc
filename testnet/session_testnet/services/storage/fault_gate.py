"""Where faults are let into a storage node: asked before and after each method, and for each connection."""

from collections.abc import Mapping
from typing import Any, Protocol

from session_testnet.services.storage.results import RpcResult


class FaultGate(Protocol):
    """Decide what goes wrong. A node asks it for each client method, also those inside a batch."""

    async def before(self, node_name: str, method: str, params: Mapping[str, Any]) -> RpcResult | None:
        """Return an answer to give instead of carrying out the method, or None; may wait first.

        Raise NoAnswer when there is to be none.

        ``params`` are as the client sent them, not checked in any way.
        """

    async def after(
        self, node_name: str, method: str, params: Mapping[str, Any], result: RpcResult
    ) -> RpcResult:
        """Return the answer to send: ``result``, or another one made from it, but never changed in place."""

    async def connection(self, node_name: str, path: str) -> bool:
        """Tell whether to serve this HTTP request; False closes the connection without an answer."""

    def shows_expired_certificate(self, node_name: str) -> bool:
        """Tell whether a node's certificate has expired, for a handshake that begins now."""


class NoFaults:
    """Let everything pass."""

    async def before(
        self,
        node_name: str,  # noqa: ARG002 - the protocol's parameters
        method: str,  # noqa: ARG002
        params: Mapping[str, Any],  # noqa: ARG002
    ) -> RpcResult | None:
        """Carry out every method."""
        return None

    async def after(
        self,
        node_name: str,  # noqa: ARG002
        method: str,  # noqa: ARG002
        params: Mapping[str, Any],  # noqa: ARG002
        result: RpcResult,
    ) -> RpcResult:
        """Send every answer as it is."""
        return result

    async def connection(self, node_name: str, path: str) -> bool:  # noqa: ARG002
        """Serve every request."""
        return True

    def shows_expired_certificate(self, node_name: str) -> bool:  # noqa: ARG002
        """Show the certificate that there is."""
        return False
