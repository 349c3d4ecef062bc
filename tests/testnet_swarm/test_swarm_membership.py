"""Nodes join and leave while messages are there: these are always where clients look for them."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import session_testnet
from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request
from session_testnet import AttachedNetworkHandle, Topology
from session_testnet.control.errors import ControlError
from session_testnet.control.state_file import state_schema
from session_testnet.storage_limits import StorageLimits

Clients = Any
DAY_MS = 86_400_000


def test_a_joining_node_receives_its_swarms_data(clients: Clients, alice: Account) -> None:
    stored = [clients.store("node-01", alice, text) for text in ("one", "two")]
    joined = clients.network.add_node()
    assert joined.name == "node-04"
    assert clients.held("node-04", alice) == stored
    assert "node-04" in clients.swarm(alice)
    # It is a full member: it takes requests, and gets those of others.
    stored.append(clients.store("node-04", alice, "three"))
    assert [clients.held(f"node-0{n}", alice) for n in range(1, 5)] == [stored] * 4


def test_every_change_makes_a_block(clients: Clients) -> None:
    def top() -> tuple[int, str]:
        state = clients.network.storage_rpc(
            "node-01",
            "oxend_request",
            {"endpoint": "get_service_nodes", "params": {"fields": {"height": True, "block_hash": True}}},
        )["body"]["result"]
        return state["height"], state["block_hash"]

    seen = [top()]
    node = clients.network.add_node("newcomer")
    seen.append(top())
    node.decommission()
    seen.append(top())
    node.recommission()
    seen.append(top())
    clients.network.remove_node("newcomer")
    seen.append(top())
    heights = [height for height, _ in seen]
    assert heights == sorted(set(heights))
    assert len({block_hash for _, block_hash in seen}) == 5


def test_the_consensus_rule_assigns_swarms(open_network: Callable[..., Clients], alice: Account) -> None:
    """With the thirteenth node there is one swarm; the fourteenth makes two (network §7)."""
    clients = open_network(13)
    stored = [clients.store("node-01", alice, text) for text in ("one", "two")]
    assert len({node.swarm_id for node in clients.network.nodes}) == 1
    clients.network.add_node()
    sizes = {}
    for node in clients.network.nodes:
        sizes[node.swarm_id] = sizes.get(node.swarm_id, 0) + 1
    assert sorted(sizes.values()) == [7, 7]
    for name in clients.swarm(alice):
        assert clients.held(name, alice) == stored
    with pytest.raises(ControlError, match="its swarm cannot be chosen") as refused:
        clients.network.add_node(swarm_id="0")
    assert "rule assigns" in refused.value.hint


def test_a_dissolving_swarms_data_moves(
    open_network: Callable[..., Clients], alice: Account, bob: Account
) -> None:
    clients = open_network(4, swarms=2)
    old, other = clients.swarm(bob), clients.swarm(alice)
    assert not set(old) & set(other)
    gone, kept = clients.store(old[0], bob, "gone"), clients.store(old[0], bob, "kept")
    clients.ask(old[0], bob, "delete", messages=[gone])
    for name in old:
        clients.network.node(name).decommission()
    assert clients.swarm(bob) == other
    for name in other:
        assert clients.held(name, bob) == [kept]
    assert {clients.network.node(name).status()["swarm_id"] for name in old} == {"ffffffffffffffff"}
    # A new swarm for the account takes it over in turn.
    clients.network.add_node(swarm_id=f"{2**63:x}")
    (newcomer,) = clients.swarm(bob)
    assert clients.held(newcomer, bob) == [kept]


def test_wrong_swarm_answers_name_the_new_members_at_once(
    open_network: Callable[..., Clients], alice: Account, bob: Account
) -> None:
    clients = open_network(4, swarms=2)
    asked = clients.swarm(alice)[0]
    node = clients.network.add_node(swarm_id=clients.network.node(clients.swarm(bob)[0]).swarm_id)
    params = sign_request(bob, "retrieve", {"timestamp": clients.network.clock.now_ms()})
    answer = clients.network.storage_rpc(asked, "retrieve", params)
    assert answer["status"] == 421
    assert node.pubkey_ed25519 in [each["pubkey_ed25519"] for each in answer["body"]["snodes"]]
    clients.network.remove_node(node.name)
    answer = clients.network.storage_rpc(asked, "retrieve", params)
    assert node.pubkey_ed25519 not in [each["pubkey_ed25519"] for each in answer["body"]["snodes"]]


def test_a_leaving_node_hands_over_what_only_it_has(clients: Clients, alice: Account) -> None:
    """It leaves to a running member what a stopped one lacks; that one gets it when it is back."""
    network = clients.network
    deleted = clients.store("node-01", alice, "deleted")
    network.node("node-03").stop()
    network.node("node-02").stop()
    stored = clients.store("node-01", alice, "stored")
    clients.ask("node-01", alice, "delete", messages=[deleted])
    network.node("node-02").start()
    network.remove_node("node-01")
    assert [node.name for node in network.nodes] == ["node-02", "node-03"]
    network.node("node-03").start()
    assert network.settle() == 0
    assert clients.held("node-02", alice) == clients.held("node-03", alice) == [stored]


def test_a_newcomer_is_given_later_what_a_stopped_member_had(clients: Clients, alice: Account) -> None:
    network = clients.network
    network.node("node-02").stop()
    network.node("node-03").stop()
    stored = clients.store("node-01", alice, "x")
    network.node("node-01").stop()
    network.node("node-02").start()
    network.add_node()
    assert clients.held("node-04", alice) == []
    network.node("node-01").start()
    assert network.settle() == 0
    assert clients.held("node-04", alice) == [stored]


def test_a_node_that_comes_again_is_the_same(
    open_network: Callable[..., Clients], alice: Account, tmp_path: Path
) -> None:
    """Its key derives from its name; what it kept of old does not undo what happened since."""
    clients = open_network(3, data_dir=tmp_path)
    gone, kept = clients.store("node-01", alice, "gone"), clients.store("node-01", alice, "kept")
    key = clients.network.node("node-03").pubkey_ed25519
    clients.network.remove_node("node-03")
    clients.ask("node-01", alice, "delete", messages=[gone])
    again = clients.network.add_node("node-03")
    assert again.pubkey_ed25519 == key
    assert [clients.held(node, alice) for node in ("node-01", "node-02", "node-03")] == [[kept]] * 3


def test_a_removed_node_is_reachable_no_more(clients: Clients) -> None:
    clients.network.remove_node("node-02")
    with pytest.raises(ControlError, match="there is no node 'node-02'"):
        clients.network.node("node-02")
    with pytest.raises(ControlError, match="there is no such node"):
        clients.network.command("node", node="node-02")
    clients.network.remove_node("node-01")
    with pytest.raises(ControlError, match="it is the last node"):
        clients.network.remove_node("node-03")


@pytest.mark.parametrize(
    ("command", "params", "complaint"),
    [
        ("node.add", {"node": "node-01"}, "there is already a node of that name"),
        ("node.add", {"node": 7}, "'node' must be a text"),
        ("node.add", {"node": "no such/name"}, "cannot add no such/name"),
        ("node.add", {"swarm_id": "xyz"}, "1 to 16 hex digits"),
        ("node.remove", {"node": "node-99"}, "cannot remove node-99"),
        ("node.decommission", {"node": "node-99"}, "cannot decommission node-99"),
        ("node.recommission", {"node": "node-01"}, "the node node-01 is active"),
    ],
)
def test_impossible_changes_say_why(
    clients: Clients, command: str, params: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ControlError, match=complaint):
        clients.network.command(command, **params)
    assert len(clients.network.command("nodes")) == 3


def test_an_attached_handle_sees_who_is_there(clients: Clients) -> None:
    with AttachedNetworkHandle(clients.network.state) as attached:
        added = attached.add_node()
        assert attached.node(added.name).status()["status"] == "running"
        clients.network.refresh()
        assert clients.network.state == attached.state
        jsonschema.validate(attached.state, state_schema())
        json.dumps(attached.state)
        attached.remove_node(added.name)
        assert [node.name for node in attached.nodes] == ["node-01", "node-02", "node-03"]


def test_full_nodes_change_their_network_all_the_same(alice: Account) -> None:
    limits = StorageLimits.parse({"database_mib": 0.4})
    topology = replace(Topology.default(3, seed="full", swarms=1), storage=limits)
    with session_testnet.open_local(topology) as network:
        number = 0
        for size in (20_000, 2_000, 0):
            status = 200
            while status == 200:
                number += 1
                data = base64.b64encode(number.to_bytes(4, "big") + bytes(size)).decode()
                account = f"05{number:064x}"
                params = {"pubkey": account, "timestamp": network.clock.now_ms(), "ttl": DAY_MS, "data": data}
                status = network.storage_rpc("node-01", "store", params)["status"]
        joined = network.add_node()
        assert {node.name for node in network.nodes} == {"node-01", "node-02", "node-03", joined.name}
        network.node("node-02").stop()
        network.remove_node("node-03")
        network.node("node-02").start()
        assert {node.name for node in network.swarm(alice.account_id)} == {"node-01", "node-02", joined.name}


def test_a_node_that_cannot_join_leaves_nothing_behind(alice: Account) -> None:
    with session_testnet.open_local(Topology.default(3, seed="phantom", swarms=1)) as network:
        before = {node.name for node in network.swarm(alice.account_id)}
        engine = network._hosted.network.engine
        spread = engine._spread

        async def fail() -> None:
            engine._spread = spread
            raise OSError("a node could not be told")

        engine._spread = fail
        with pytest.raises(Exception, match="a node could not be told"):
            network.add_node("late")
        assert {node.name for node in network.nodes} == before
        answer = network.storage_rpc("node-01", "get_swarm", {"pubkey": alice.account_id})
        assert len(answer["body"]["snodes"]) == 3
        assert network.add_node("late").name == "late"
