"""The chain daemon beside a node, as far as clients may ask it (storage-rpc §10.11)."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from session_testnet.services.registry import NetworkSnapshot, NodeInfo
from session_testnet.services.registry.json_rpc import RpcError as ChainError
from session_testnet.services.registry.node_list import InvalidParams, NodeListQuery

ENDPOINTS: Final = frozenset({"get_service_nodes", "ons_resolve"})

CHAIN_ERRORS: Final = (ChainError, InvalidParams)
"""What :meth:`Oxend.call` raises for a request that the chain daemon refuses."""


class Oxend(Protocol):
    """Answer questions about the chain; the registry's own RPC is one."""

    def call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result object of a method; raise one of ``CHAIN_ERRORS``."""


class SnapshotOxend:
    """Answer from a snapshot of the network alone: the nodes, and no registered names."""

    def __init__(self, snapshot: NetworkSnapshot) -> None:
        self._snapshot = snapshot

    def call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the node list, or that a name is not registered."""
        if method == "ons_resolve":
            return {"status": "OK"}
        query = NodeListQuery.parse(params)
        snapshot = self._snapshot
        top = {
            "height": snapshot.height,
            "block_hash": snapshot.block_hash,
            "hardfork": snapshot.hardfork[0],
            "snode_revision": snapshot.hardfork[1],
        }
        result: dict[str, Any] = {name: value for name, value in top.items() if query.wants(name)}
        if query.poll_block_hash:
            result["unchanged"] = query.poll_block_hash == snapshot.block_hash
            if result["unchanged"]:
                return {**result, "status": "OK"}
        nodes = [node for node in snapshot.nodes if node.active or not query.active_only]
        if query.pubkeys is not None:
            nodes = [node for node in nodes if node.ed25519_pk in query.pubkeys]
        result["service_node_states"] = [
            {name: read(node) for name, read in _FIELDS.items() if query.wants(name)}
            for node in nodes[: query.limit if query.limit > 0 else None]
        ]
        return {**result, "status": "OK"}


_FIELDS: Final[Mapping[str, Callable[[NodeInfo], Any]]] = {
    "service_node_pubkey": lambda node: node.ed25519_pk,
    "requested_unlock_height": lambda _node: 0,
    "active": lambda node: node.active,
    "funded": lambda _node: True,
    "swarm_id": lambda node: node.swarm_id,
    "swarm": lambda node: f"{node.swarm_id:x}",
    "storage_server_version": lambda node: list(node.version),
    "public_ip": lambda node: node.ip,
    "storage_port": lambda node: node.https_port,
    "storage_lmq_port": lambda node: node.omq_port,
    "pubkey_ed25519": lambda node: node.ed25519_pk,
    "pubkey_x25519": lambda node: node.x25519_pk,
    "storage_server_reachable": lambda _node: True,
}
