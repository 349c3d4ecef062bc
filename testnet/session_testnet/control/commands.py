"""The commands that act on a network: the one way in for suites, the command line and the HTTP interface."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from session_protocol.errors import ProtocolError
from session_testnet.control.errors import ControlError
from session_testnet.control.parameters import Command, Params, integer, text
from session_testnet.control.room_commands import ROOM_COMMANDS
from session_testnet.hinted_error import HintedError
from session_testnet.network import Network

# How long a command in a node's container may take, in seconds: by default, and at most. Whoever asks over
# HTTP waits 30.
EXEC_S = 20.0
MAX_EXEC_S = 25.0


async def execute(network: Network, command: str, params: Params) -> Any:
    """Carry out a command and return its result as JSON values; raise ControlError for anything wrong."""
    try:
        carry_out = COMMANDS[command]
    except KeyError:
        raise ControlError(f"there is no command {command!r}", f"commands: {', '.join(COMMANDS)}") from None
    try:
        return await carry_out(network, params)
    except ControlError:
        raise
    except HintedError as error:
        raise ControlError(error.message, error.hint) from error
    except ProtocolError as error:
        raise ControlError(f"{command}: {error}") from error


def _optional_text(params: Params, name: str) -> str | None:
    return None if params.get(name) is None else text(params, name)


async def _state(network: Network, _params: Params) -> Any:
    return network.state()


async def _nodes(network: Network, _params: Params) -> Any:
    return [network.node_status(name) for name in network.node_names()]


async def _node(network: Network, params: Params) -> Any:
    return network.node_status(text(params, "node"))


async def _act(network: Network, params: Params) -> Any:
    name = text(params, "node")
    await network.act_on_node(text(params, "verb"), name)
    return network.node_status(name)


async def _restart(network: Network, params: Params) -> Any:
    name = text(params, "node")
    image, version = _optional_text(params, "image"), _optional_text(params, "version")
    await network.restart_node(name, image=image, version=version)
    return network.node_status(name)


async def _exec(network: Network, params: Params) -> Any:
    command, deadline_s = params.get("argv"), params.get("deadline_s", EXEC_S)
    if not (isinstance(command, list) and command and all(isinstance(word, str) for word in command)):
        raise ControlError("the parameter 'argv' must be a list of texts", 'for example ["ls", "/data"]')
    if (
        isinstance(deadline_s, bool)
        or not isinstance(deadline_s, int | float)
        or not 0 < deadline_s <= MAX_EXEC_S
    ):
        raise ControlError(f"the parameter 'deadline_s' must be a number above 0, up to {MAX_EXEC_S:g}")
    result = await network.exec_in_node(text(params, "node"), command, deadline_s)
    return {"exit_code": result.exit_code, "output": result.output}


async def _knobs(network: Network, params: Params) -> Any:
    changes = params.get("knobs", {})
    if not isinstance(changes, Mapping):
        raise ControlError("the parameter 'knobs' must be an object", 'for example {"disk_full": true}')
    return await network.turn_knobs(text(params, "node"), changes)


async def _add(network: Network, params: Params) -> Any:
    name, swarm_id = params.get("node"), params.get("swarm_id")
    if name is not None and not (isinstance(name, str) and name):
        raise ControlError(
            f"the parameter 'node' must be a text, not {name!r}", "leave it out for a new name"
        )
    added = await network.add_node(name, swarm_id=None if swarm_id is None else _swarm_id(swarm_id))
    return network.node_status(added)


async def _remove(network: Network, params: Params) -> Any:
    await network.remove_node(text(params, "node"))
    return {}


async def _decommission(network: Network, params: Params) -> Any:
    name = text(params, "node")
    await network.decommission_node(name)
    return network.node_status(name)


async def _recommission(network: Network, params: Params) -> Any:
    name = text(params, "node")
    await network.recommission_node(name)
    return network.node_status(name)


async def _settle(network: Network, _params: Params) -> Any:
    return {"owing": await network.engine.settle()}


async def _partition(network: Network, params: Params) -> Any:
    groups = params.get("groups")
    if not isinstance(groups, list) or not all(isinstance(group, list) for group in groups):
        raise ControlError(
            "the parameter 'groups' must be a list of lists of node names",
            'for example [["node-01"], ["node-02", "node-03"]]; [] heals the network',
        )
    await network.partition([[text({"group": name}, "group") for name in group] for group in groups])
    return {}


async def _advance(network: Network, params: Params) -> Any:
    await network.engine.advance_chain(integer(params, "blocks", 1))
    return {"height": network.engine.registry.height}


async def _purge(network: Network, _params: Params) -> Any:
    return {"expired": await network.purge()}


def _swarm_id(value: Any) -> int:
    # Hex text, as in the state file: a swarm id exceeds what JSON numbers keep exactly.
    if not isinstance(value, str) or re.fullmatch(r"[0-9a-fA-F]{1,16}", value, re.ASCII) is None:
        raise ControlError(
            f"the parameter 'swarm_id' must be 1 to 16 hex digits, not {value!r}",
            "the ids stand in the state file: nodes[].swarm_id",
        )
    return int(value, 16)


async def _swarm(network: Network, params: Params) -> Any:
    return network.swarm_of(text(params, "account_id"))


async def _clock(network: Network, _params: Params) -> Any:
    return {"now_ms": network.clock.now_ms(), "offset_ms": network.clock.offset_ms}


async def _clock_move(network: Network, params: Params) -> Any:
    await network.move_clock(integer(params, "ms"))
    return await _clock(network, params)


async def _clock_skew(network: Network, params: Params) -> Any:
    node, offset_ms = text(params, "node"), integer(params, "ms")
    await network.skew_clock(node, offset_ms)
    return {"node": node, "offset_ms": offset_ms}


async def _faults_add(network: Network, params: Params) -> Any:
    rule = params.get("rule")
    if not isinstance(rule, Mapping):
        raise ControlError(
            "the parameter 'rule' must be an object", 'for example {"node": "*", "action": "delay"}'
        )
    return {"id": await network.add_fault(rule)}


async def _faults_schedule(network: Network, params: Params) -> Any:
    return await network.run_schedule(text(params, "toml"))


async def _faults_list(network: Network, _params: Params) -> Any:
    return network.faults.list()


async def _faults_clear(network: Network, params: Params) -> Any:
    rule_id = params.get("id")
    if rule_id is not None and not isinstance(rule_id, str):
        raise ControlError("the parameter 'id' must be the id of a fault rule")
    await network.clear_faults(rule_id)
    return {}


async def _trace(network: Network, params: Params) -> Any:
    kind = params.get("kind")
    if kind is not None and not isinstance(kind, str):
        raise ControlError("the parameter 'kind' must be the name of a kind of event")
    await network.engine.collect()
    return network.trace.events(
        since=integer(params, "since", 0), limit=integer(params, "limit", 20_000), kind=kind
    )


async def _trace_paths(network: Network, params: Params) -> Any:
    await network.engine.collect()
    return network.onion_paths(since=integer(params, "since", 0))


async def _trace_last(network: Network, _params: Params) -> Any:
    await network.engine.collect()
    return network.trace.last_seq


async def _snapshot_save(network: Network, params: Params) -> Any:
    path = Path(text(params, "file"))
    if not path.is_absolute():
        raise ControlError("the parameter 'file' must be an absolute path", "for example /tmp/net.snapshot")
    return {"file": str(path), "bytes": await network.save_snapshot(path)}


async def _logs(network: Network, params: Params) -> Any:
    node = params.get("node")
    if node is not None and node not in network.logs.names() and node not in network.node_names():
        raise ControlError(f"there is no log of {node!r}", f"logs: {', '.join(network.logs.names())}")
    await network.engine.collect()
    return network.logs.lines(node, tail=integer(params, "tail", 200))


async def _storage_rpc(network: Network, params: Params) -> Any:
    arguments = params.get("params", {})
    if not isinstance(arguments, Mapping):
        raise ControlError("the parameter 'params' must be an object")
    return await network.storage_rpc(text(params, "node"), text(params, "method"), arguments)


async def _stored_messages(network: Network, params: Params) -> Any:
    return list(
        await network.stored_messages(
            text(params, "node"), text(params, "account_id"), integer(params, "namespace", 0)
        )
    )


async def _push_sink(network: Network, _params: Params) -> Any:
    # Nodes elsewhere tell of messages in their own time.
    await network.engine.collect()
    return network.engine.push.sink.delivered()


async def _push_clear(network: Network, _params: Params) -> Any:
    await network.engine.collect()
    return {"cleared": network.engine.push.sink.clear()}


async def _push_subscriptions(network: Network, _params: Params) -> Any:
    return network.engine.push.subscriptions()


COMMANDS: Mapping[str, Command] = {
    "state": _state,
    "nodes": _nodes,
    "node": _node,
    "node.act": _act,
    "node.restart": _restart,
    "node.exec": _exec,
    "node.knobs": _knobs,
    "node.add": _add,
    "node.remove": _remove,
    "node.decommission": _decommission,
    "node.recommission": _recommission,
    "swarm": _swarm,
    "swarm.settle": _settle,
    "network.partition": _partition,
    "registry.advance": _advance,
    "clock": _clock,
    "clock.move": _clock_move,
    "clock.skew": _clock_skew,
    "faults.add": _faults_add,
    "faults.list": _faults_list,
    "faults.schedule": _faults_schedule,
    "faults.clear": _faults_clear,
    "trace": _trace,
    "trace.paths": _trace_paths,
    "trace.last": _trace_last,
    "logs": _logs,
    "snapshot.save": _snapshot_save,
    "storage.rpc": _storage_rpc,
    "storage.messages": _stored_messages,
    "storage.purge": _purge,
    "push.sink": _push_sink,
    "push.clear": _push_clear,
    "push.subscriptions": _push_subscriptions,
    **ROOM_COMMANDS,
}
