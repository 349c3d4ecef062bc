"""A whole network in this process: it starts, is acted on, keeps its data, and leaves nothing behind."""

import asyncio
import socket
import threading
from pathlib import Path

import jsonschema
import pytest

import session_testnet
from session_protocol.accounts import Account
from session_testnet import NetworkHandle, NetworkOptions, Topology
from session_testnet.control.errors import ControlError
from session_testnet.control.state_file import state_schema
from session_testnet.endpoints import EndpointError
from session_testnet.network import Network
from session_testnet.network_options import NetworkError

ALICE = Account.from_seed(bytes(range(16)))


def store(network: NetworkHandle, account: Account, data: str = "aGVsbG8=") -> str:
    answer = network.storage_rpc(
        network.swarm(account.account_id)[0].name,
        "store",
        {
            "pubkey": account.account_id,
            "timestamp": network.clock.now_ms(),
            "ttl": 86_400_000,
            "data": data,
        },
    )
    assert answer["status"] == 200
    return str(answer["body"]["hash"])


def test_the_state_describes_the_network(small_network: NetworkHandle) -> None:
    jsonschema.validate(small_network.state, state_schema())
    assert [node["name"] for node in small_network.state["nodes"]] == [f"node-{n:02}" for n in range(1, 8)]
    assert small_network.state["name"] == "small"


def test_the_same_seed_gives_the_same_keys(small_network: NetworkHandle) -> None:
    with session_testnet.open_local(Topology.default(7, name="again", seed="tests")) as again:
        keys = [node["pubkey_ed25519"] for node in again.state["nodes"]]
        assert keys == [node["pubkey_ed25519"] for node in small_network.state["nodes"]]
        assert again.state["community"]["public_key"] == small_network.state["community"]["public_key"]


def test_fourteen_nodes_make_two_swarms() -> None:
    with session_testnet.open_local() as network:
        swarms = {node.swarm_id for node in network.nodes}
        assert len(network.nodes) == 14
        assert len(swarms) == 2
        members = network.swarm(ALICE.account_id)
        assert 5 <= len(members) <= 9
        assert len({member.swarm_id for member in members}) == 1


def test_a_stored_message_is_at_every_member(small_network: NetworkHandle) -> None:
    message_hash = store(small_network, ALICE)
    for member in small_network.swarm(ALICE.account_id):
        held = small_network.stored_messages(member.name, ALICE.account_id)
        assert message_hash in [message["hash"] for message in held]


def test_a_stopped_node_refuses_connections_and_comes_back_with_its_messages(
    small_network: NetworkHandle,
) -> None:
    message_hash = store(small_network, ALICE, "c3RvcA==")
    node = small_network.node("node-03")
    host, port = node.url.removeprefix("https://").split(":")
    node.stop()
    assert node.status()["status"] == "stopped"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5).close()
    node.start()
    assert node.status()["status"] == "running"
    socket.create_connection((host, int(port)), timeout=5).close()
    held = [message["hash"] for message in small_network.stored_messages(node.name, ALICE.account_id)]
    assert message_hash in held


def test_a_stopped_member_is_reported_by_the_others(small_network: NetworkHandle) -> None:
    node = small_network.swarm(ALICE.account_id)[-1]
    node.stop()
    answer = small_network.storage_rpc(
        small_network.swarm(ALICE.account_id)[0].name,
        "store",
        {
            "pubkey": ALICE.account_id,
            "timestamp": small_network.clock.now_ms(),
            "ttl": 60_000,
            "data": "AA==",
        },
    )
    node.start()
    assert answer["body"]["swarm"][node.pubkey_ed25519]["failed"] is True


def test_stopping_and_starting_twice_is_fine(small_network: NetworkHandle) -> None:
    node = small_network.node("node-02")
    node.stop()
    node.stop()
    node.start()
    node.start()
    assert node.status()["status"] == "running"


def test_a_paused_node_answers_after_it_is_resumed(small_network: NetworkHandle) -> None:
    node = small_network.node("node-05")
    host, port = node.url.removeprefix("https://").split(":")
    node.pause()
    assert node.status()["status"] == "paused"
    # The listener stays: the connection is made, only the answer is held back.
    socket.create_connection((host, int(port)), timeout=5).close()
    node.resume()
    assert node.status()["status"] == "running"


def test_an_unknown_node_is_named_with_those_that_exist(small_network: NetworkHandle) -> None:
    with pytest.raises(ControlError, match="no node 'node-99'") as refused:
        small_network.node("node-99")
    assert "node-01" in refused.value.hint
    with pytest.raises(ControlError, match="cannot stop node-99"):
        small_network.command("node.act", verb="stop", node="node-99")


def test_pausing_a_stopped_node_is_refused(small_network: NetworkHandle) -> None:
    node = small_network.node("node-06")
    node.stop()
    with pytest.raises(ControlError, match="it is stopped"):
        node.pause()
    node.start()


def test_messages_expire_when_the_clock_is_moved(small_network: NetworkHandle) -> None:
    before = small_network.clock.offset_ms
    answer = small_network.storage_rpc(
        small_network.swarm(ALICE.account_id)[0].name,
        "info",
        {},
    )
    small_network.clock.move(3_600_000)
    later = small_network.storage_rpc(small_network.swarm(ALICE.account_id)[0].name, "info", {})
    small_network.clock.move(-3_600_000)
    assert 3_600_000 <= later["body"]["t"] - answer["body"]["t"] < 3_660_000
    assert small_network.clock.offset_ms == before


def test_one_node_can_have_a_wrong_clock(small_network: NetworkHandle) -> None:
    small_network.clock.skew("node-04", -120_000)
    skewed = small_network.storage_rpc("node-04", "info", {})["body"]["t"]
    right = small_network.storage_rpc("node-01", "info", {})["body"]["t"]
    small_network.clock.skew("node-04", 0)
    assert 119_000 < right - skewed < 121_000


def test_a_fault_strikes_and_is_traced(small_network: NetworkHandle) -> None:
    seen = small_network.trace.last_seq()
    rule = small_network.faults.add(
        {"node": "node-01", "action": "status", "status": 503, "methods": ["info"], "times": 1}
    )
    assert small_network.storage_rpc("node-01", "info", {})["status"] == 503
    assert small_network.storage_rpc("node-01", "info", {})["status"] == 200
    assert [event["node"] for event in small_network.trace.events(since=seen, kind="fault")] == ["node-01"]
    assert [listed["id"] for listed in small_network.faults.list()] == [rule]
    small_network.faults.clear(rule)
    assert small_network.faults.list() == []


def test_a_fault_on_an_unknown_node_is_refused(small_network: NetworkHandle) -> None:
    with pytest.raises(ControlError, match="node-99"):
        small_network.faults.add({"node": "node-99", "action": "delay", "delay_ms": 1})


def test_data_survives_the_end_of_the_network(tmp_path: Path) -> None:
    topology = Topology.default(3, name="kept", seed="kept")
    options = NetworkOptions(data_dir=tmp_path / "data", log_dir=tmp_path / "logs")
    with session_testnet.open_local(topology, options) as network:
        message_hash = store(network, ALICE)
    with session_testnet.open_local(topology, options) as network:
        for member in network.swarm(ALICE.account_id):
            held = network.stored_messages(member.name, ALICE.account_id)
            assert [message["hash"] for message in held] == [message_hash]


def test_an_unwritable_data_directory_is_a_clear_error(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("in the way")
    with pytest.raises(NetworkError, match="cannot be written") as refused:
        session_testnet.open_local(Topology.default(3), NetworkOptions(data_dir=occupied))
    assert "--data-dir" in refused.value.hint


def test_a_taken_port_is_a_clear_error() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(EndpointError, match=str(port)):
            session_testnet.open_local(Topology.default(3), NetworkOptions(registry_port=port))


def test_an_engine_that_does_not_exist_is_a_clear_error() -> None:
    with pytest.raises(NetworkError, match="'balloon' is not available") as refused:
        session_testnet.open_local(Topology.default(3), NetworkOptions(engine="balloon"))
    assert "embedded" in refused.value.hint


def test_an_advertised_address_is_what_clients_are_told() -> None:
    with session_testnet.open_local(Topology.default(4), NetworkOptions(advertise_ip="127.0.0.1")) as network:
        assert {node["ip"] for node in network.state["nodes"]} == {"127.0.0.1"}
        assert len({node["https_port"] for node in network.state["nodes"]}) == 4
        assert network.state["registry"]["url"].startswith("http://127.0.0.1:")


def test_an_address_of_another_machine_is_advertised_as_given() -> None:
    """An emulator reaches its host as 10.0.2.2, where this machine cannot reach itself."""
    with session_testnet.open_local(Topology.default(4), NetworkOptions(advertise_ip="10.0.2.2")) as network:
        assert {node["ip"] for node in network.state["nodes"]} == {"10.0.2.2"}
        assert network.state["files"]["url"].startswith("http://10.0.2.2:")


def test_closing_leaves_no_thread_and_no_listener() -> None:
    before = set(threading.enumerate())
    network = session_testnet.open_local(Topology.default(3))
    port = int(network.state["registry"]["url"].rpartition(":")[2])
    network.close()
    network.close()
    assert set(threading.enumerate()) - before == set()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_a_failed_start_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was started before the failure is ended: its addresses can be bound again."""
    bound: list[tuple[str, int]] = []

    async def fail(registry_url: str, **_: object) -> None:
        host, port = registry_url.removeprefix("http://").split(":")
        bound.append((host, int(port)))
        raise NetworkError("not today")

    monkeypatch.setattr("session_testnet.network.wait_until_ready", fail)
    with pytest.raises(NetworkError, match="not today"):
        asyncio.run(Network.start(Topology.default(3)))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(bound[0], timeout=5).close()


def test_the_gateway_leads_to_the_registry(small_network: NetworkHandle) -> None:
    import urllib.request

    proxy = urllib.request.ProxyHandler({"http": small_network.state["gateway"]["url"]})
    opener = urllib.request.build_opener(proxy)
    request = urllib.request.Request(
        "http://seed1.getsession.org/json_rpc", b'{"method":"get_n_service_nodes","params":{}}'
    )
    with opener.open(request, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.read().count(b'"public_ip"') == 7
