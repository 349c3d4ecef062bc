"""Faults that need more than a node's own gate: partitions, crashes, certificates, proxies and schedules."""

import base64
import contextlib
import datetime as dt
import http.client
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

import session_testnet
from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request
from session_testnet import LocalNetworkHandle, NetworkOptions, Topology
from session_testnet.control.errors import ControlError
from session_testnet.network_options import NetworkError

Network = LocalNetworkHandle
Store = Callable[..., dict[str, Any]]
Held = Callable[..., list[str]]
Eventually = Callable[..., None]


# Where nodes run in containers, nothing stands in front of them.
ON_THIS_MACHINE = pytest.mark.parametrize("engine", ["embedded", "process"])


def ask(url: str, method: str = "info", params: dict[str, Any] | None = None) -> int | None:
    """Ask a node over HTTPS; return the status, or None when it does not answer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return fetch(f"{url}/storage_rpc/v1", json.dumps({"method": method, "params": params or {}}), context)


def fetch(url: str, body: str | None = None, context: ssl.SSLContext | None = None) -> int | None:
    """Return the status of an answer, or None when there is none."""
    data = None if body is None else body.encode()
    try:
        with urllib.request.urlopen(url, data, timeout=3, context=context) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return None


def test_clients_can_be_cut_off_from_a_node(network: Network, store: Store, held: Held) -> None:
    fault = network.faults.add({"action": "partition", "groups": [["node-02"], ["clients"]]})
    assert ask(network.node("node-02").url) is None
    assert ask(network.node("node-01").url) == 200
    store(network, "node-01", "x")
    assert held(network, "node-02") == ["x"], "its swarm still reaches it"
    network.faults.clear(fault)
    assert ask(network.node("node-02").url) == 200


def test_a_partition_names_nodes_that_there_are(network: Network) -> None:
    with pytest.raises(ControlError, match="node-99"):
        network.faults.add({"action": "partition", "groups": [["node-01"], ["node-99"]]})
    assert network.faults.list() == []


def test_faults_of_all_kinds_are_listed_and_cleared_alike(network: Network) -> None:
    rule = network.faults.add({"action": "drop"})
    parted = network.faults.add({"action": "partition", "groups": [["node-01"], ["node-02"]]})
    assert len({rule, parted}) == 2
    assert {fault["id"] for fault in network.faults.list()} == {rule, parted}
    with pytest.raises(ControlError, match=f"already a fault '{parted}'"):
        network.faults.add({"action": "hang", "id": parted})
    with pytest.raises(ControlError, match="no fault 'other'"):
        network.faults.clear("other")
    network.faults.clear()
    assert network.faults.list() == []


def test_a_node_dies_between_storing_and_answering(
    network: Network, held: Held, alice: Account, eventually: Eventually
) -> None:
    network.faults.add({"action": "crash_after_store", "node": "node-01", "times": 1})
    params = {"timestamp": network.clock.now_ms(), "ttl": 86_400_000, "namespace": 0}
    signed = sign_request(alice, "store", {**params, "data": base64.b64encode(b"unheard").decode()})
    assert ask(network.node("node-01").url, "store", signed) is None
    eventually("the node has died", lambda: network.node("node-01").status()["status"] == "stopped")
    assert held(network, "node-02") == ["unheard"]
    network.node("node-01").start()
    assert network.settle() == 0
    assert held(network, "node-01") == ["unheard"]


def test_an_expired_certificate_is_shown_while_the_rule_stands(network: Network) -> None:
    def ends() -> x509.Certificate:
        host, _, port = network.node("node-01").url.removeprefix("https://").partition(":")
        return x509.load_pem_x509_certificate(
            ssl.get_server_certificate((host, int(port)), timeout=5).encode()
        )

    good, now = ends(), dt.datetime.now(dt.UTC)
    assert good.not_valid_after_utc > now
    fault = network.faults.add({"action": "expired_certificate", "node": "node-01"})
    assert ends().not_valid_after_utc < now
    network.faults.clear(fault)
    assert ends() == good


def test_a_registry_that_is_behind_shows_older_blocks(network: Network) -> None:
    def height() -> int:
        url = f"{network.state['registry']['url']}/get_height"
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the network's own
            return int(json.load(answer)["height"])

    now = network.advance_chain(10)
    fault = network.faults.add({"action": "stale_registry", "blocks": 4})
    # What is told as the height is the number of blocks, one more than that of the top one.
    behind = height()
    network.faults.clear(fault)
    assert height() == behind + 4
    assert behind == now - 4 + 1


def test_faults_of_connections_need_proxies(network: Network) -> None:
    with pytest.raises(ControlError, match="runs without") as caught:
        network.faults.add({"action": "reset", "node": "node-01"})
    assert caught.value.hint == "start it with --tcp-faults"


@ON_THIS_MACHINE
def test_faults_of_connections_act_in_front_of_nodes_and_servers(
    open_network: Callable[..., Network],
) -> None:
    network = open_network(tcp_faults=True)
    assert ask(network.node("node-01").url) == 200
    files = network.state["files"]["url"]
    for action in ("reset", "refuse", "disconnect"):
        fault = network.faults.add({"action": action, "node": "node-01"})
        assert ask(network.node("node-01").url) is None
        assert ask(network.node("node-02").url) == 200
        network.faults.clear(fault)
    assert ask(network.node("node-01").url) == 200
    fault = network.faults.add({"action": "half_open", "node": "files"})
    assert fetch(f"{files}/file/1/info") is None
    network.faults.clear(fault)
    assert fetch(f"{files}/file/1/info") == 404
    network.faults.add({"action": "reset", "times": 1, "node": "node-03"})
    assert ask(network.node("node-03").url) is None
    assert ask(network.node("node-03").url) == 200
    (listed,) = network.faults.list()
    assert listed["used"] == 1


@ON_THIS_MACHINE
def test_a_node_behind_a_proxy_can_join_and_leave(open_network: Callable[..., Network]) -> None:
    network = open_network(tcp_faults=True)
    joined = network.add_node("late")
    assert ask(joined.url) == 200
    network.faults.add({"action": "refuse", "node": "late"})
    assert ask(joined.url) is None
    network.remove_node("late")
    host, _, port = joined.url.removeprefix("https://").partition(":")
    with contextlib.closing(socket.socket()) as probe:
        assert probe.connect_ex((host, int(port))) != 0


def test_a_schedule_begins_with_the_nth_request_and_ends_by_itself(
    network: Network, eventually: Eventually
) -> None:
    steps = network.faults.schedule(
        '[[fault]]\naction = "status"\nstatus = 503\nmethods = ["info"]\ntimes = 2\non_request = 3\n'
        'match = { method = "info" }\nfor = "50ms"\n'
    )
    assert steps == 1
    statuses = [network.storage_rpc("node-02", "info", {})["status"] for _ in range(3)]
    assert statuses == [200, 200, 503]
    eventually("the fault has been cleared", lambda: network.faults.list() == [])
    told = [event["verb"] for event in network.trace.events(kind="schedule")]
    eventually(
        "the schedule has ended",
        lambda: [event["verb"] for event in network.trace.events(kind="schedule")][-1] == "ended",
    )
    assert told[0] == "added"
    assert network.storage_rpc("node-02", "info", {})["status"] == 200


def test_a_schedule_that_cannot_be_is_refused_as_a_whole(network: Network) -> None:
    with pytest.raises(ControlError, match=r"fault\[0\]"):
        network.faults.schedule('[[fault]]\naction = "drip"\n')
    with pytest.raises(ControlError, match="node-99"):
        network.faults.schedule('[[fault]]\naction = "drop"\nnode = "node-99"\n')
    with pytest.raises(ControlError, match="not TOML"):
        network.faults.schedule("[[fault")
    assert network.faults.list() == []


@pytest.mark.parametrize("engine", ["docker", "docker-swarm"])
def test_containers_have_no_proxies(engine: str) -> None:
    with pytest.raises(NetworkError, match="has no proxies"):
        session_testnet.open_local(Topology.default(3), NetworkOptions(engine=engine, tcp_faults=True))
