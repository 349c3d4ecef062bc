"""How the push server of a network reaches the monitors of its nodes, wherever these run."""

from collections.abc import Callable, Sequence

from session_testnet.engines.base import EngineError, Hear, Node, NodeStatus
from session_testnet.services.registry import RegistryState


class NodeMonitors:
    """Ask nodes what an OMQ client would ask them; one that does not run, or answer, cannot be reached."""

    def __init__(self, registry: RegistryState, find: Callable[[str], Node | None]) -> None:
        self._registry = registry
        self._find = find

    def swarm(self, account: bytes) -> Sequence[str]:
        """Return the names of the nodes that keep a 33-byte account's messages."""
        _, members = self._registry.snapshot().swarm_of(account)
        return [member.name for member in members]

    async def subscribe(self, node: str, hear: Hear, request: bytes) -> bytes | None:
        """Ask a node for ``monitor.messages`` and return its answer; None when it cannot be reached."""
        found = self._find(node)
        if found is None or found.status is not NodeStatus.RUNNING:
            return None
        try:
            return await found.monitor(hear, request)
        except EngineError:
            return None
