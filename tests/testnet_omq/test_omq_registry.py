"""The registry over OMQ, and what the network tells of its OMQ listeners (omq.md §2, network §§3, 8)."""

import sys
from typing import Any

import jsonschema
import orjson
import pytest
import zmq

import session_testnet
from session_testnet import NetworkHandle, Topology
from session_testnet.control.state_file import state_schema
from session_testnet.services.omq import OmqRuntime

Nodes = Any
Client = Any


@pytest.fixture
def registry(nodes: Nodes) -> Client:
    state = nodes.network.state["registry"]
    return nodes.connect_to(state["omq_address"], bytes.fromhex(state["pubkey_x25519"]))


def ask(client: Client, method: str, params: Any = None) -> dict[str, Any]:
    data = [] if params is None else [orjson.dumps(params)]
    status, body = client.request(f"rpc.{method}", *data)
    assert status == b"200"
    result: dict[str, Any] = orjson.loads(body)
    return result


def test_the_node_list(registry: Client, nodes: Nodes) -> None:
    wanted = ["service_node_pubkey", "swarm_id", "storage_lmq_port", "pubkey_x25519", "height", "block_hash"]
    result = ask(registry, "get_service_nodes", {"active_only": False, "fields": wanted})
    listed = {
        node["service_node_pubkey"]: (
            node["storage_lmq_port"],
            node["pubkey_x25519"],
            f"{node['swarm_id']:x}",
        )
        for node in result["service_node_states"]
    }
    state = nodes.network.state["nodes"]
    assert listed == {
        node["pubkey_ed25519"]: (node["omq_port"], node["pubkey_x25519"], node["swarm_id"]) for node in state
    }
    assert result["status"] == "OK"
    poll = {"poll_block_hash": result["block_hash"], "fields": ["height"]}
    again = ask(registry, "get_service_nodes", poll)
    assert again["unchanged"] is True
    assert "service_node_states" not in again


def test_no_parameters_mean_everything(registry: Client) -> None:
    result = ask(registry, "get_service_nodes")
    assert len(result["service_node_states"]) == 7
    assert ask(registry, "get_n_service_nodes", {"limit": 2})["service_node_states"]
    (status, body) = registry.request("rpc.get_service_nodes", b"")
    assert status == b"200"
    assert len(orjson.loads(body)["service_node_states"]) == 7


def test_the_other_methods(registry: Client) -> None:
    height = ask(registry, "get_info")["height"]
    assert ask(registry, "get_block_hash", {"height": [height - 1]})[str(height - 1)]


@pytest.mark.parametrize("data", [[b"x"], [b"[]"], [b"{}", b"{}"], [b'{"limit":"x"}'], [b'{"fields":7}']])
def test_bad_parameters(registry: Client, data: list[bytes]) -> None:
    status, text = registry.request("rpc.get_service_nodes", *data)
    assert status == b"400"
    assert text


def test_an_error_of_the_chain(registry: Client) -> None:
    status, text = registry.request("rpc.get_block_hash", b'{"height":[999999999]}')
    assert status == b"400"
    assert b"greater than current top block height" in text


def test_what_the_registry_does_not_know(registry: Client) -> None:
    registry.ask("storage.info")
    assert registry.receive() == [b"UNKNOWNCOMMAND", b"storage.info"]


def test_the_state_tells_where_omq_is(network: NetworkHandle) -> None:
    jsonschema.validate(network.state, state_schema())
    ports = [node["omq_port"] for node in network.state["nodes"]]
    assert all(ports)
    assert network.state["registry"]["omq_address"].startswith("tcp://127.0.0.1:")


def test_the_registry_keeps_its_key() -> None:
    with session_testnet.open_local(Topology.default(7, name="same", seed="omq", swarms=1)) as again:
        with session_testnet.open_local(Topology.default(7, name="other", seed="omq", swarms=1)) as other:
            keys = [each.state["registry"]["pubkey_x25519"] for each in (again, other)]
        assert keys[0] == keys[1]


def test_nodes_that_join_have_listeners_and_those_that_leave_none(nodes: Nodes, registry: Client) -> None:
    added = nodes.network.add_node()
    try:
        number = len(nodes.network.state["nodes"]) - 1
        assert nodes.state(number)["name"] == added.name
        client = nodes.connect(number)
        assert client.json("info", {})[0] == 200
        listed = ask(registry, "get_service_nodes", {"fields": ["storage_lmq_port"]})["service_node_states"]
        assert nodes.state(number)["omq_port"] in [node["storage_lmq_port"] for node in listed]
    finally:
        nodes.network.remove_node(added.name)
    assert client.receive() == [b"BYE"]


def test_who_leaves_a_swarm_ends_its_subscriptions(nodes: Nodes) -> None:
    alice, client = nodes.user(), nodes.connect(6)
    assert client.subscribe(nodes.subscription(alice)) == {b"success": 1}
    node = nodes.network.node("node-07")
    node.decommission()
    try:
        command, body = client.pushed()
        assert (command, body[b"@"], body[b"errcode"]) == (b"notify.monitor_ended", alice.account, 6)
        assert len(body[b"snodes"]) == 6
        assert client.subscribe(nodes.subscription(alice))[b"errcode"] == 6
    finally:
        node.recommission()


@pytest.fixture(params=["missing", "without CURVE"])
def no_omq(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "missing":
        monkeypatch.setitem(sys.modules, "zmq", None)
    else:
        monkeypatch.setattr(zmq, "has", lambda _capability: False)


@pytest.mark.usefixtures("no_omq")
def test_without_pyzmq_the_network_runs() -> None:
    assert OmqRuntime.create(1) is None
    with session_testnet.open_local(Topology.default(7, name="without", seed="omq", swarms=1)) as network:
        jsonschema.validate(network.state, state_schema())
        assert set(network.state["registry"]) == {"url", "https_url"}
        assert not any("omq_port" in node for node in network.state["nodes"])
        network.node("node-02").restart()
        added = network.add_node()
        network.remove_node(added.name)
        body = network.storage_rpc("node-02", "get_swarm", {"pubkey": "05" + "00" * 32})["body"]
        assert {node["port_omq"] for node in body["snodes"]} == {22020}


def test_there_is_room_for_a_big_network() -> None:
    runtime = OmqRuntime.create(1500)
    assert runtime is not None
    try:
        assert runtime._context.get(zmq.MAX_SOCKETS) > 1500
    finally:
        runtime.close()
