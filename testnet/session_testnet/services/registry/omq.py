"""The registry over OMQ: what storage nodes and push servers ask the chain daemon (network §8, omq.md §2)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson

from session_testnet.services.omq import Command, Commands, Connection
from session_testnet.services.registry.json_rpc import RegistryRpc, RpcError
from session_testnet.services.registry.node_list import InvalidParams

Parts = Sequence[bytes]


def registry_commands(rpc: RegistryRpc) -> Commands:
    """Return ``rpc.<method>`` for every method of the registry: parameters in JSON, ``200`` and JSON back."""
    return {f"rpc.{name}".encode(): Command(partial(_answer, rpc, name)) for name in rpc.methods}


async def _answer(rpc: RegistryRpc, method: str, _connection: Connection, data: Parts) -> Parts:
    try:
        result = rpc.call(method, _params(data))
    except (InvalidParams, RpcError) as error:
        return b"400", str(error).encode(errors="replace")
    return b"200", orjson.dumps(result)


def _params(data: Parts) -> dict[str, Any]:
    if len(data) > 1:
        raise InvalidParams(f"expected at most one data part, received {len(data)}")
    if not data or not data[0]:
        return {}
    try:
        params = orjson.loads(data[0])
    except orjson.JSONDecodeError:
        params = None
    if not isinstance(params, dict):
        raise InvalidParams("Unable to parse request: expected a JSON object")
    return params
