"""The node list as ``get_service_nodes`` gives it: parameters, fields and selection (network §3.1)."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from session_testnet.services.registry.snapshot import NodeInfo
from session_testnet.services.registry.state import NodeRecord, RegistryState

_HEX64 = re.compile(r"[0-9a-fA-F]{64}")
_BLOCKS_OF_CREDIT = 1440
_STAKE = 25_000_000_000_000

# What Desktop requires of a node before it takes any of the list; it falls back to the production network
# otherwise.
_DESKTOP_NODE_FIELDS: Mapping[str, type] = {
    "public_ip": str,
    "storage_port": int,
    "pubkey_ed25519": str,
    "pubkey_x25519": str,
    "requested_unlock_height": int,
}


class InvalidParams(ValueError):
    """Refuse parameters with the text that goes into the error's ``data``."""


@dataclass(frozen=True, slots=True)
class NodeListQuery:
    """The parameters of one request; ``fields`` None asks for all, ``limit`` is 0 for no limit."""

    fields: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()
    active_only: bool = False
    pubkeys: frozenset[str] | None = None
    limit: int = 0
    poll_block_hash: str = ""

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> "NodeListQuery":
        """Read the parameters; unknown ones are ignored. Raises InvalidParams."""
        fields, excluded = _parse_fields(params.get("fields"))
        active_only = params.get("active_only", False)
        if not isinstance(active_only, bool):
            raise InvalidParams("active_only must be a boolean")
        limit = params.get("limit", 0)
        if not isinstance(limit, int) or isinstance(limit, bool):
            raise InvalidParams("limit must be an integer")
        return cls(fields, excluded, active_only, _parse_pubkeys(params), limit, _parse_poll_hash(params))

    def wants(self, field: str) -> bool:
        """Tell whether a field was asked for."""
        return (self.fields is None or field in self.fields) and field not in self.excluded


def list_service_nodes(
    state: RegistryState, query: NodeListQuery, *, now_ms: int, rng: random.Random
) -> dict[str, Any]:
    """Return the result of ``get_service_nodes``; ``now_ms`` dates proofs, ``rng`` draws lists."""
    snapshot = state.snapshot()
    top: dict[str, Any] = {
        "height": snapshot.height,
        "target_height": snapshot.height,
        "block_hash": snapshot.block_hash,
        "hardfork": snapshot.hardfork[0],
        "snode_revision": snapshot.hardfork[1],
    }
    result = {name: value for name, value in top.items() if query.wants(name)}
    if query.poll_block_hash:
        result["unchanged"] = query.poll_block_hash == snapshot.block_hash
        if result["unchanged"]:
            return {**result, "status": "OK"}
        result["block_hash"] = snapshot.block_hash
    getters = [(name, getter) for name, getter in NODE_FIELDS.items() if query.wants(name)]
    context = _Context(snapshot.height, now_ms // 1000)
    result["service_node_states"] = [
        {name: getter(record, context) for name, getter in getters} for record in _selected(state, query, rng)
    ]
    return {**result, "status": "OK"}


def desktop_objection(result: Mapping[str, Any]) -> str | None:
    """Return why Desktop would refuse this node list as a whole, or None when it takes it (network §3.3)."""
    if not _is(result.get("height"), int):
        return "result.height is missing"
    states = result.get("service_node_states", [])
    for index, node in enumerate(states):
        for name, kind in _DESKTOP_NODE_FIELDS.items():
            if not _is(node.get(name), kind):
                return f"{name} of node {index} is missing"
    usable = [node for node in states if node["public_ip"] not in ("", "0.0.0.0")]  # noqa: S104 - not bound, compared
    return None if usable else "no node has a usable address"


@dataclass(frozen=True, slots=True)
class _Context:
    height: int
    now_s: int


_Getter = Callable[[NodeRecord, _Context], Any]


def _of_info(getter: Callable[[NodeInfo], Any]) -> _Getter:
    return lambda record, _context: getter(record.info)


def _constant(value: Any) -> _Getter:
    return lambda _record, _context: value


def _last_reachable(record: NodeRecord, context: _Context) -> int:
    return context.now_s if record.unreachable_since_s is None else record.unreachable_since_s


def _last_unreachable(record: NodeRecord, context: _Context) -> int:
    return record.last_unreachable_s if record.reachable else context.now_s


# Every public field of a node, in the order in which they are sent. All are always there: a node without
# address, ports or derived keys would make Desktop refuse the whole list. The primary key equals the Ed25519
# key since hard fork 21 (network §2).
NODE_FIELDS: Mapping[str, _Getter] = {
    "service_node_pubkey": _of_info(lambda node: node.ed25519_pk),
    "pubkey_bls": _of_info(lambda node: node.ed25519_pk + node.x25519_pk),
    "registration_height": lambda record, _context: record.registration_height,
    "registration_hf_version": _constant(21),
    "requested_unlock_height": _constant(0),
    "last_reward_block_height": lambda record, _context: record.state_height,
    "last_reward_transaction_index": _constant(0xFFFFFFFF),
    "active": _of_info(lambda node: node.active),
    "payable": _of_info(lambda node: node.active),
    "funded": _constant(True),
    "is_removable": _constant(False),
    "is_liquidatable": _constant(False),
    "state_height": lambda record, _context: record.state_height,
    "earned_downtime_blocks": _constant(_BLOCKS_OF_CREDIT),
    "decommission_count": lambda record, _context: record.decommission_count,
    "last_decommission_reason_consensus_all": _constant(0),
    "last_decommission_reason_consensus_any": _constant(0),
    "contributors": _constant([]),
    "total_contributed": _constant(_STAKE),
    "total_reserved": _constant(_STAKE),
    "staking_requirement": _constant(_STAKE),
    "portions_for_operator": _constant(2**64 - 4),
    "operator_fee": _constant(1_000_000),
    "operator_address": _constant("0x" + "0" * 40),
    "swarm_id": _of_info(lambda node: node.swarm_id),
    "swarm": _of_info(lambda node: f"{node.swarm_id:x}"),
    "service_node_version": _constant([11, 0, 6]),
    "lokinet_version": _constant([0, 9, 11]),
    "storage_server_version": _of_info(lambda node: list(node.version)),
    "public_ip": _of_info(lambda node: node.ip),
    "storage_port": _of_info(lambda node: node.https_port),
    "storage_lmq_port": _of_info(lambda node: node.omq_port),
    "quorumnet_port": _constant(22025),
    "pubkey_ed25519": _of_info(lambda node: node.ed25519_pk),
    "pubkey_x25519": _of_info(lambda node: node.x25519_pk),
    "last_uptime_proof": lambda _record, context: context.now_s,
    "storage_server_reachable": lambda record, _context: record.reachable,
    "storage_server_first_unreachable": lambda record, _context: record.unreachable_since_s or 0,
    "storage_server_last_unreachable": _last_unreachable,
    "storage_server_last_reachable": _last_reachable,
    "lokinet_reachable": _constant(True),
    "lokinet_first_unreachable": _constant(0),
    "lokinet_last_unreachable": _constant(0),
    "lokinet_last_reachable": lambda _record, context: context.now_s,
}


def _selected(state: RegistryState, query: NodeListQuery, rng: random.Random) -> list[NodeRecord]:
    records = [
        record
        for record in state.records
        if (not query.active_only or record.info.active)
        and (query.pubkeys is None or record.info.ed25519_pk in query.pubkeys)
    ]
    if query.limit == 0:
        return records
    # A positive limit draws that many; a negative one, or one that is not below the count, shuffles all.
    count = query.limit if 0 < query.limit < len(records) else len(records)
    return rng.sample(records, count)


def _parse_fields(fields: Any) -> tuple[frozenset[str] | None, frozenset[str]]:
    """Return the fields asked for (None: all) and those excluded from all."""
    if fields is None:
        return None, frozenset()
    if isinstance(fields, Mapping):
        # The older form: {"name": true}; false values count for nothing.
        names = {str(name) for name, wanted in fields.items() if wanted is True}
        return (None if "all" in names or not names else frozenset(names)), frozenset()
    if isinstance(fields, list) and all(isinstance(name, str) for name in fields):
        if "all" in fields:
            return None, frozenset(name[1:] for name in fields if name.startswith("-"))
        return frozenset(fields) or None, frozenset()
    raise InvalidParams("fields must be an object of booleans or a list of names")


def _parse_pubkeys(params: Mapping[str, Any]) -> frozenset[str] | None:
    keys = params.get("service_node_pubkeys")
    if keys is None or keys == []:
        return None
    if not isinstance(keys, list) or not all(isinstance(key, str) and _HEX64.fullmatch(key) for key in keys):
        raise InvalidParams("service_node_pubkeys must be a list of keys of 64 hex digits")
    return frozenset(key.lower() for key in keys)


def _parse_poll_hash(params: Mapping[str, Any]) -> str:
    value = params.get("poll_block_hash", "")
    if not isinstance(value, str) or (value and not _HEX64.fullmatch(value)):
        raise InvalidParams("poll_block_hash must be 64 hex digits")
    return value.lower()


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
