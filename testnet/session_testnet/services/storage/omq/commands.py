"""The commands of a node's OMQ listener (storage-rpc §2.2)."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from session_testnet.services.omq.commands import FORBIDDEN, FORBIDDEN_SN, Command, Commands, Connection
from session_testnet.services.storage.client_rpc import ClientRpc
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.dispatch import META_METHODS
from session_testnet.services.storage.fault_gate import FaultGate
from session_testnet.services.storage.fields import BtParams
from session_testnet.services.storage.methods import METHODS
from session_testnet.services.storage.monitor import Monitor
from session_testnet.services.storage.omq.codec import InvalidBody, decode_params, encode_reply
from session_testnet.services.storage.rate_limit import RateLimiter
from session_testnet.services.storage.results import NoAnswer, RpcResult
from session_testnet.services.storage.version_profile import NEWER_METHODS

# What the gate for faults in connections is told instead of a path.
OMQ_PATH: Final = "omq"

# Nodes of this network reach each other by another way; to clients these commands are refused.
_OF_NODES: Final = (b"sn.data", b"sn.ping", b"sn.onion_request", b"sn.storage_cc")
_OF_NEWER_NODES: Final = (b"sn.data_ready",)
_OF_OLDER_NODES: Final = (b"sn.storage_test",)

Parts = Sequence[bytes]


class OmqFront:
    """Turn OMQ requests into requests of clients, and their answers into parts."""

    def __init__(
        self,
        context: NodeContext,
        rpc: ClientRpc,
        monitor: Monitor,
        *,
        limiter: RateLimiter,
        fault_gate: FaultGate,
    ) -> None:
        self._context = context
        self._rpc = rpc
        self._monitor = monitor
        self._limiter = limiter
        self._gate = fault_gate

    def commands(self) -> Commands:
        """Return what the node's listener answers, and what it refuses."""
        newer = self._context.profile.newer_methods
        methods = {*METHODS, *META_METHODS} - (frozenset() if newer else NEWER_METHODS)
        refused = (*_OF_NODES, *(_OF_NEWER_NODES if newer else _OF_OLDER_NODES))
        return {
            **{f"storage.{name}".encode(): Command(partial(self._storage, name)) for name in methods},
            b"monitor.messages": Command(self._subscribe),
            **{name: Command(refusal=FORBIDDEN_SN) for name in refused},
            b"service.get_stats": Command(refusal=FORBIDDEN),
            b"notify.block": Command(refusal=FORBIDDEN, is_request=False),
        }

    async def _storage(self, method: str, connection: Connection, data: Parts) -> Parts | None:
        node = self._context
        if not await self._gate.connection(node.name, OMQ_PATH):
            return None
        if len(data) > 1:
            text = f"Invalid request: expected 1 message parts, received {len(data)}"
            return encode_reply(RpcResult(400, text), bt=False)
        limit = node.knobs.rate_limit
        if limit is not None and not self._limiter.allows(connection.address, node.now_ms(), limit):
            return encode_reply(RpcResult(429, "Too many requests, try again later"), bt=False)
        try:
            params = decode_params(data[0] if data else b"")
        except InvalidBody:
            return encode_reply(RpcResult(400, "invalid body: expected json or bt_dict"), bt=False)
        try:
            result = await self._rpc.answer(method, params, via="omq")
        except NoAnswer:
            return None
        return encode_reply(result, bt=isinstance(params, BtParams))

    async def _subscribe(self, connection: Connection, data: Parts) -> Parts | None:
        if not await self._gate.connection(self._context.name, OMQ_PATH):
            return None
        return (self._monitor.subscribe(connection, data),)
