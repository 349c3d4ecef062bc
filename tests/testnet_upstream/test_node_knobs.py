"""The knobs of a node, turned by topology and through its control URL, and seen over real sockets."""

import http.client
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import session_testnet
from session_testnet import NetworkHandle, Topology
from session_testnet.control.errors import ControlError
from session_testnet.knobs import FAULTLESS, KnobError, NodeKnobs, RateLimit
from session_testnet.topology import TopologyError, load_topology, parse_topology

Client = Any
RPC_TEXT = "Service node is not ready: {}\n"


@pytest.fixture
def knob(client: Client) -> Iterator[Any]:
    """Return a function that turns knobs of a node through its control URL; all are turned back."""
    turned: set[int] = set()

    def turn(node: int, **changes: Any) -> dict[str, Any]:
        turned.add(node)
        return post_knobs(client.network, node, changes)

    yield turn
    for node in turned:
        client.nodes[node].set_knobs(**dict.fromkeys(FAULTLESS.as_dict()))
        assert client.nodes[node].knobs() == FAULTLESS.as_dict()


def post_knobs(network: NetworkHandle, node: int, changes: Any) -> dict[str, Any]:
    state = network.state
    url = urllib.parse.urlsplit(state["nodes"][node]["control_url"] + "/knobs")
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=10)
    headers = {"Authorization": f"Bearer {state['control']['token']}"}
    connection.request("POST", url.path, json.dumps(changes), headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    if "error" in answer:
        raise ControlError(answer["error"]["message"], answer["error"]["hint"])
    result: dict[str, Any] = answer["result"]
    return result


def info(client: Client, node: int = 0) -> tuple[int, Any]:
    answer = client.ask("info", {}, node=node)
    return answer.status, answer.body


def test_rate_limiting(client: Client, knob: Any, transport: Any) -> None:
    knob(0, rate_limit={"tokens": 3, "per_second": 0})
    answers = [info(client) for _ in range(5)]
    # Onion requests are never limited (storage-rpc §2.1).
    texts = {"Https": "Too Many Requests\n", "Omq": "Too many requests, try again later"}
    limited = texts.get(type(transport).__name__)
    assert [status for status, _ in answers] == [200] * 3 + ([429] * 2 if limited else [200] * 2)
    if limited:
        assert answers[-1][1] == limited
    assert info(client, node=1)[0] == 200
    knob(0, rate_limit=False)
    assert info(client)[0] == 200
    assert knob(0, rate_limit=True)["rate_limit"] == {"tokens": 600, "per_second": 300}


def test_clock_offset(client: Client, knob: Any) -> None:
    knob(2, clock_offset_ms=120_000)
    assert 110_000 < info(client, node=2)[1]["t"] - client.now < 130_000
    answer = client.retrieve(client.user(), node=2)
    assert (answer.status, answer.body) == (406, "retrieve timestamp too far from current time")
    assert client.retrieve(client.user(), node=1).status == 200


def test_member_error(client: Client, knob: Any) -> None:
    knob(3, member_error={"status": 503, "text": "on strike"})
    user = client.user()
    answer = client.ask("store", client.store_params(user, b"abc"))
    assert answer.status == 200
    failed = answer.body["swarm"].pop(client.nodes[3].pubkey_ed25519)
    assert failed == {"failed": True, "code": "503", "reason": "on strike"}
    assert not any("failed" in entry for entry in answer.body["swarm"].values())
    # Clients that ask the node itself notice nothing.
    assert info(client, node=3)[0] == 200


def test_not_ready(client: Client, knob: Any, transport: Any) -> None:
    knob(4, not_ready=["not in any swarm", "not done syncing"])
    if type(transport).__name__ != "Onion":
        assert info(client, node=4) == (503, RPC_TEXT.format("not in any swarm; not done syncing"))
    else:
        with pytest.raises(AssertionError, match=f"Snode not ready: {client.nodes[4].pubkey_ed25519}"):
            info(client, node=4)


def test_wrong_swarm(client: Client, knob: Any) -> None:
    assert knob(5, wrong_swarm=True)["wrong_swarm"] is True
    user = client.user()
    answer = client.retrieve(user, node=5)
    assert answer.status == 421
    # As if it had just left the swarm: it names the members that are left.
    left = client.keys - {client.nodes[5].pubkey_ed25519}
    assert {snode["pubkey_ed25519"] for snode in answer.body["snodes"]} == left
    assert client.retrieve(user, node=4).status == 200
    # The knob is a fault rule: clearing all faults turns it back.
    client.network.faults.clear()
    assert client.nodes[5].knobs()["wrong_swarm"] is False
    assert client.retrieve(user, node=5).status == 200


def test_one_sided_purge(client: Client, knob: Any) -> None:
    user = client.user()
    hashes = [client.store(user, bytes([number])) for number in range(3)]
    assert knob(6, purge=[hashes[1], "x" * 43])["purged"] == 1
    assert client.hashes(user, node=6) == [hashes[0], hashes[2]]
    assert knob(6, purge=True)["purged"] >= 2
    assert client.hashes(user, node=6) == []
    assert client.hashes(user, node=0) == hashes


def test_disk_full(client: Client, knob: Any) -> None:
    knob(1, disk_full=True)
    user = client.user()
    answer = client.ask("store", client.store_params(user, b"abc"), node=1)
    assert answer.status == 200
    entry = answer.body["swarm"].pop(client.nodes[1].pubkey_ed25519)
    assert (entry["failed"], entry["query_failure"]) == (True, True)
    assert not any("failed" in each for each in answer.body["swarm"].values())
    assert client.hashes(user, node=1) == []


def test_member_timeout(network: NetworkHandle, connections: Any) -> None:
    """The asked member waits five seconds of real time for the silent one."""
    nodes = network.nodes
    nodes[2].set_knobs(member_timeout=True)
    try:
        params = {"pubkey": "05" + "ab" * 32, "timestamp": network.clock.now_ms(), "ttl": 60_000}
        body = json.dumps({"method": "store", "params": {**params, "data": "AAAA"}}).encode()
        status, _, raw = connections.post(nodes[0].url, "/storage_rpc/v1", body)
    finally:
        nodes[2].set_knobs(member_timeout=None)
    swarm = json.loads(raw)["swarm"]
    assert status == 200
    assert swarm[nodes[2].pubkey_ed25519] == {"failed": True, "timeout": True}
    assert len([entry for entry in swarm.values() if "failed" in entry]) == 1


def test_knobs_by_topology(tmp_path: Path) -> None:
    file = tmp_path / "network.toml"
    file.write_text(
        "[knobs]\nrate_limit = {tokens = 5}\n"
        "[[node]]\nname = 'one'\n"
        "[[node]]\nname = 'two'\nknobs = {not_ready = ['not done syncing'], clock_offset_ms = 7}\n"
    )
    topology = load_topology(file)
    assert topology.nodes[0].knobs == NodeKnobs(rate_limit=RateLimit(5))
    assert topology.nodes[1].knobs == NodeKnobs(RateLimit(5), 7, not_ready=("not done syncing",))
    assert parse_topology({"nodes": 2, "knobs": {"disk_full": True}}).nodes[1].knobs.disk_full
    with pytest.raises(TopologyError, match="no knob 'disk_fall'") as refused:
        parse_topology({"knobs": {"disk_fall": True}})
    assert "disk_full" in refused.value.hint


def test_a_network_starts_with_its_knobs() -> None:
    knobs = NodeKnobs(clock_offset_ms=3_600_000, wrong_swarm=True)
    topology = Topology.default(3, name="knobs", seed="knobs").with_knobs(knobs)
    with session_testnet.open_local(topology) as network:
        assert network.node("node-01").knobs() == knobs.as_dict()
        answer = network.storage_rpc("node-01", "retrieve", {"pubkey": "05" + "ab" * 32})
        assert answer["status"] == 421
        network.node("node-01").set_knobs(wrong_swarm=None)
        assert network.node("node-01").knobs()["clock_offset_ms"] == 3_600_000
        assert network.node("node-02").knobs()["wrong_swarm"] is True


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unknown": 1}, "there is no knob 'unknown'"),
        ({"disk_full": 1}, "'disk_full' cannot be 1"),
        ({"rate_limit": {"tokens": 0}}, "'rate_limit.tokens' cannot be 0"),
        ({"rate_limit": {"size": 1}}, "'rate_limit' cannot be"),
        ({"member_error": {"status": 200}}, "'member_error.status' cannot be 200"),
        ({"member_error": {"text": ""}}, "'member_error.text' cannot be ''"),
        ({"not_ready": "x"}, "'not_ready' cannot be 'x'"),
        ({"clock_offset_ms": True}, "'clock_offset_ms' cannot be True"),
        ({"purge": 7}, "'purge' cannot be 7"),
        ([], "must be an object"),
    ],
)
def test_refused_knobs(network: NetworkHandle, changes: Any, message: str) -> None:
    with pytest.raises(ControlError, match=message):
        post_knobs(network, 0, changes)
    assert network.nodes[0].knobs() == FAULTLESS.as_dict()


def test_knobs_read_back_what_they_show() -> None:
    knobs = NodeKnobs.parse(
        {
            "rate_limit": True,
            "member_error": {},
            "not_ready": ["a"],
            "disk_full": True,
            "member_timeout": True,
        }
    )
    assert NodeKnobs.parse(knobs.as_dict()) == knobs
    assert knobs.changed(dict.fromkeys(knobs.as_dict())) == FAULTLESS
    with pytest.raises(KnobError):
        NodeKnobs.parse({"rate_limit": 3})
