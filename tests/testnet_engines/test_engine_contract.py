"""What every engine promises: the same network, the same verbs, the same faults, clock, trace and logs."""

import gzip
import http.client
import json
import socket
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import session_testnet
from session_protocol.accounts import Account
from session_testnet import LocalNetworkHandle, NetworkOptions, Topology
from session_testnet.control.errors import ControlError
from session_testnet.storage_limits import StorageLimits

Network = LocalNetworkHandle
Store = Callable[..., dict[str, Any]]
Held = Callable[..., list[str]]
# A manager of Docker Swarm cannot pause what runs on another machine.
WITHOUT_PAUSE = frozenset({"docker-swarm"})
NAMES = ["node-01", "node-02", "node-03"]


def test_the_state_names_the_engine(network: Network, engine: str) -> None:
    assert network.state["engine"] == engine
    assert [node.name for node in network.nodes] == NAMES
    assert len({(node["ip"], node["https_port"]) for node in network.state["nodes"]}) == 3


def test_a_message_is_with_all_members_before_the_answer(network: Network, store: Store, held: Held) -> None:
    body = store(network, "node-02", "hello")["body"]
    assert not any(entry.get("failed") for entry in body["swarm"].values())
    assert [held(network, name) for name in NAMES] == [["hello"]] * 3


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_node_that_ends_comes_back_with_what_it_had_and_missed(
    network: Network, store: Store, held: Held, end: str
) -> None:
    store(network, "node-01", "before")
    node = network.node("node-03")
    address = node.url
    getattr(node, end)()
    assert node.status()["status"] == "stopped"
    answer = store(network, "node-01", "meanwhile")
    assert answer["status"] == 200
    assert sum(bool(entry.get("failed")) for entry in answer["body"]["swarm"].values()) == 1
    with pytest.raises(ControlError, match="stopped"):
        network.storage_rpc("node-03", "info", {})
    node.start()
    assert network.settle() == 0
    assert held(network, "node-03") == ["before", "meanwhile"]
    network.refresh()
    assert network.node("node-03").url == address


def test_a_second_stop_or_start_changes_nothing(network: Network, engine: str) -> None:
    node = network.node("node-01")
    node.start()
    assert node.status()["status"] == "running"
    node.stop()
    node.stop()
    node.kill()
    assert node.status()["status"] == "stopped"
    if engine not in WITHOUT_PAUSE:
        with pytest.raises(ControlError, match="cannot pause node-01: it is stopped"):
            node.pause()
    node.restart()
    assert node.status()["status"] == "running"


def test_an_engine_that_cannot_pause_says_so(network: Network, engine: str) -> None:
    if engine not in WITHOUT_PAUSE:
        pytest.skip(f"{engine} can")
    with pytest.raises(ControlError, match=f"cannot pause node-01: the engine {engine} does not offer this"):
        network.node("node-01").pause()
    assert network.node("node-01").status()["status"] == "running"


def test_a_paused_node_answers_nothing_until_it_is_resumed(
    network: Network, store: Store, held: Held, engine: str
) -> None:
    if engine in WITHOUT_PAUSE:
        pytest.skip(f"{engine} cannot")
    node = network.node("node-02")
    node.pause()
    assert node.status()["status"] == "paused"
    answer = store(network, "node-01", "unheard")
    entries = [entry for entry in answer["body"]["swarm"].values() if entry.get("failed")]
    assert [entry.get("timeout") for entry in entries] == [True]
    node.resume()
    assert network.settle() == 0
    assert held(network, "node-02") == ["unheard"]


def test_a_connection_from_before_the_end_is_not_served_after_it(network: Network) -> None:
    """The handshake of TLS is completed only after the node has ended."""
    node = network.node("node-01")
    host, _, port = node.url.removeprefix("https://").partition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        node.stop()
        try:
            with context.wrap_socket(plain) as connection:
                body = b'{"method": "info", "params": {}}'
                head = f"POST /storage_rpc/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)
                answer = connection.recv(100)
        except OSError:
            answer = b""
    assert answer == b""


def test_a_paused_node_can_be_stopped_and_started(
    network: Network, store: Store, held: Held, engine: str
) -> None:
    if engine in WITHOUT_PAUSE:
        pytest.skip(f"{engine} cannot")
    node = network.node("node-02")
    store(network, "node-01", "x")
    node.pause()
    node.stop()
    node.start()
    assert network.settle() == 0
    assert held(network, "node-02") == ["x"]


def test_nodes_join_and_leave(network: Network, store: Store, held: Held, alice: Account) -> None:
    store(network, "node-01", "first")
    joined = network.add_node("late")
    assert held(network, "late") == ["first"]
    store(network, "late", "second")
    assert held(network, "node-01") == ["first", "second"]
    for name in ("node-01", "node-02"):
        network.remove_node(name)
    assert sorted(node.name for node in network.swarm(alice.account_id)) == ["late", "node-03"]
    store(network, joined.name, "third")
    assert held(network, "node-03") == ["first", "second", "third"]


def test_a_decommissioned_node_is_in_no_swarm(network: Network, alice: Account, store: Store) -> None:
    network.node("node-01").decommission()
    assert {node.name for node in network.swarm(alice.account_id)} == {"node-02", "node-03"}
    assert store(network, "node-01", "x")["status"] == 421
    network.node("node-01").recommission()
    assert store(network, "node-01", "x")["status"] == 200


def test_a_data_directory_outlives_the_network(
    open_network: Callable[..., Network], store: Store, held: Held, tmp_path: Path
) -> None:
    first = open_network(data_dir=tmp_path)
    store(first, "node-01", "kept")
    key = first.node("node-01").pubkey_ed25519
    first.close()
    second = open_network(data_dir=tmp_path)
    assert [held(second, name) for name in NAMES] == [["kept"]] * 3
    assert second.node("node-01").pubkey_ed25519 == key


def test_a_fault_counts_for_all_nodes_together(network: Network) -> None:
    network.faults.add({"action": "status", "status": 503, "methods": ["info"], "times": 4})
    statuses = [network.storage_rpc(name, "info", {})["status"] for name in NAMES * 2]
    assert statuses == [503] * 4 + [200] * 2
    (rule,) = network.faults.list()
    assert rule["used"] == 4
    network.faults.clear()


def test_a_pinned_fault_stays_with_the_node_that_it_strikes_first(network: Network) -> None:
    network.faults.add({"action": "status", "status": 503, "methods": ["info"], "pin": True})
    asked = ["node-02", "node-01", "node-03", "node-02"]
    statuses = [network.storage_rpc(name, "info", {})["status"] for name in asked]
    assert statuses == [503, 200, 200, 503]
    # The rules are told anew, with what has become of them.
    network.faults.add({"action": "delay", "delay_ms": 0})
    assert network.storage_rpc("node-01", "info", {})["status"] == 200


def test_the_chance_of_a_fault_comes_from_its_seed(open_network: Callable[..., Network]) -> None:
    def outcomes() -> list[int]:
        with open_network() as network:
            network.faults.add({"action": "status", "status": 503, "probability": 0.5, "seed": 7})
            return [network.storage_rpc("node-01", "info", {})["status"] for _ in range(20)]

    first = outcomes()
    assert {200, 503} == set(first)
    assert outcomes() == first


def test_a_fault_for_a_node_ends_with_its_rule(network: Network, store: Store) -> None:
    rule = network.faults.add({"action": "wrong_swarm", "node": "node-02"})
    assert store(network, "node-02", "x")["status"] == 421
    assert store(network, "node-01", "x")["status"] == 200
    network.faults.clear(rule)
    assert store(network, "node-02", "y")["status"] == 200


def test_the_clock_moves_for_all_nodes(network: Network, store: Store, held: Held) -> None:
    store(network, "node-01", "short", days=1)
    network.clock.move(2 * 86_400_000)
    assert network.purge() == 3
    assert [held(network, name) for name in NAMES] == [[]] * 3
    before = network.storage_rpc("node-01", "info", {})["body"]["t"]
    assert abs(before - network.clock.now_ms()) < 60_000


def test_one_nodes_clock_can_be_skewed(network: Network) -> None:
    network.clock.skew("node-02", 3_600_000)
    ahead = network.storage_rpc("node-02", "info", {})["body"]["t"] - network.clock.now_ms()
    assert 3_590_000 < ahead < 3_610_000
    assert network.node("node-02").status()["clock_skew_ms"] == 3_600_000
    network.node("node-02").restart()
    assert network.node("node-02").status()["clock_skew_ms"] == 3_600_000
    ahead = network.storage_rpc("node-02", "info", {})["body"]["t"] - network.clock.now_ms()
    assert 3_590_000 < ahead < 3_610_000


def test_a_rule_skews_a_clock_while_it_stands(network: Network) -> None:
    rule = network.faults.add({"action": "clock_skew", "node": "node-01", "offset_ms": 120_000})
    network.storage_rpc("node-01", "info", {})
    assert network.node("node-01").status()["clock_skew_ms"] == 120_000
    network.faults.clear(rule)
    network.storage_rpc("node-01", "info", {})
    assert network.node("node-01").status()["clock_skew_ms"] == 0


def test_knobs_turn_and_stay_turned_over_a_restart(network: Network, store: Store) -> None:
    node = network.node("node-01")
    assert node.set_knobs(disk_full=True)["disk_full"] is True
    assert store(network, "node-01", "x")["status"] == 500 or any(
        entry.get("failed") for entry in store(network, "node-01", "x")["body"]["swarm"].values()
    )
    node.restart()
    assert node.knobs()["disk_full"] is True
    node.set_knobs(disk_full=None)
    assert not any(entry.get("failed") for entry in store(network, "node-01", "y")["body"]["swarm"].values())


def test_messages_are_lost_on_one_node_only(network: Network, store: Store, held: Held) -> None:
    store(network, "node-01", "x")
    assert network.node("node-03").set_knobs(purge=True)["purged"] == 1
    assert [held(network, name) for name in NAMES] == [["x"], ["x"], []]


def test_the_trace_has_what_the_nodes_did_before_the_answer(network: Network, store: Store) -> None:
    since = network.trace.last_seq()
    store(network, "node-02", "x")
    events = network.trace.events(since=since)
    assert [event["method"] for event in events if event["kind"] == "rpc"] == ["store"]
    targets = [event["target"] for event in events if event["kind"] == "peer"]
    keys = {network.node(name).pubkey_ed25519 for name in ("node-01", "node-03")}
    assert set(targets) == keys
    assert [event["seq"] for event in events] == list(range(since + 1, since + 1 + len(events)))


def test_the_logs_tell_what_a_node_did(network: Network, store: Store) -> None:
    store(network, "node-02", "x")
    lines = network.logs("node-02")
    assert any("rpc" in line and "method=store" in line for line in lines)


def test_a_partition_keeps_groups_apart_until_it_heals(network: Network, store: Store, held: Held) -> None:
    network.partition([["node-01"], ["node-02", "node-03"]])
    answer = store(network, "node-01", "left")
    assert sum(bool(entry.get("failed")) for entry in answer["body"]["swarm"].values()) == 2
    answer = store(network, "node-02", "right")
    assert sum(bool(entry.get("failed")) for entry in answer["body"]["swarm"].values()) == 1
    assert held(network, "node-01") == ["left"]
    assert held(network, "node-03") == ["right"]
    network.partition([])
    assert network.settle() == 0
    assert {frozenset(held(network, name)) for name in NAMES} == {frozenset({"left", "right"})}


def test_a_partition_outlives_a_restart(network: Network, store: Store) -> None:
    network.partition([["node-01"], ["node-02"]])
    network.node("node-02").restart()
    answer = store(network, "node-01", "x")
    failed = [key for key, entry in answer["body"]["swarm"].items() if entry.get("failed")]
    assert failed == [network.node("node-02").pubkey_ed25519]


def test_the_chain_is_asked_through_any_node(network: Network) -> None:
    asked = {"endpoint": "get_service_nodes", "params": {"fields": {"height": True}}}
    before = network.storage_rpc("node-03", "oxend_request", asked)["body"]["result"]["height"]
    network.advance_chain(5)
    assert network.storage_rpc("node-03", "oxend_request", asked)["body"]["result"]["height"] == before + 5


def test_an_unknown_node_is_named_with_those_that_there_are(network: Network) -> None:
    with pytest.raises(ControlError, match="no such node") as caught:
        network.command("node.act", node="node-99", verb="stop")
    assert "node-01" in caught.value.hint


def test_two_networks_do_not_collide(open_network: Callable[..., Network], store: Store, held: Held) -> None:
    one, other = open_network(), open_network()
    store(one, "node-01", "x")
    assert held(other, "node-01") == []
    assert not {node.url for node in one.nodes} & {node.url for node in other.nodes}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_compressed_bodies_are_not_taken_for_json(network: Network, encoding: str) -> None:
    """Nodes do not decompress: what is compressed is no JSON to them, and what is JSON remains it."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    body = b'{"method": "info", "params": {}}'
    answers = []
    for path in ("/storage_rpc/v1", "/onion_req/v2"):
        for sent in (gzip.compress(body), body):
            connection = http.client.HTTPSConnection(
                network.node("node-01").url.removeprefix("https://"), context=tls, timeout=20
            )
            connection.request("POST", path, sent, {"Content-Encoding": encoding})
            response = connection.getresponse()
            answers.append((response.status, response.read().partition(b":")[0]))
            connection.close()
    assert answers[0] == (400, b"invalid json")
    assert answers[1][0] == 200, "a body that is JSON is one, whatever it is called"
    assert answers[2:] == [(400, b"Error parsing onion request")] * 2


@pytest.mark.parametrize("verb", ["stop", "pause"])
def test_the_registry_knows_who_does_not_answer(network: Network, verb: str, engine: str) -> None:
    if verb == "pause" and engine in WITHOUT_PAUSE:
        pytest.skip(f"{engine} cannot")

    def told() -> list[Any]:
        fields = ("reachable", "first_unreachable", "last_reachable")
        params = {
            "fields": {f"storage_server_{name}": True for name in (*fields,)} | {"pubkey_ed25519": True}
        }
        request = json.dumps({"method": "get_service_nodes", "params": params}).encode()
        url = f"{network.state['registry']['url']}/json_rpc"
        with urllib.request.urlopen(url, request, timeout=20) as response:  # noqa: S310 - a loopback address
            states = json.load(response)["result"]["service_node_states"]
        key = network.node("node-02").pubkey_ed25519
        (state,) = [each for each in states if each["pubkey_ed25519"] == key]
        return [state[f"storage_server_{name}"] for name in fields]

    assert told()[:2] == [True, 0]
    getattr(network.node("node-02"), verb)()
    first = told()
    assert first[0] is False
    assert first[1] == first[2] > 0
    network.clock.move(3_600_000)
    assert told() == first
    network.node("node-02").start() if verb == "stop" else network.node("node-02").resume()
    reachable, since, last = told()
    assert (reachable, since) == (True, 0)
    assert last >= first[2] + 3600


def test_the_limits_of_a_topology_count_for_its_nodes(engine: str, alice: Account, store: Store) -> None:
    limits = StorageLimits.parse({"database_mib": 1, "peer_timeout_s": 0.05})
    topology = replace(Topology.default(3, seed="engines", swarms=1), storage=limits)
    with session_testnet.open_local(topology, NetworkOptions(engine=engine).on_this_machine()) as network:
        network.node("node-03").set_knobs(member_timeout=True)
        key = network.node("node-03").pubkey_ed25519
        entry = store(network, "node-01", "x")["body"]["swarm"][key]
        assert entry == {"failed": True, "timeout": True}
        network.node("node-03").set_knobs(member_timeout=False)
        answers = [store(network, "node-01", f"{number}" + "x" * 60_000) for number in range(20)]
    assert answers[0]["status"] == 200
    assert answers[-1]["status"] == 500
    assert all(entry["query_failure"] for entry in answers[-1]["body"]["swarm"].values())
