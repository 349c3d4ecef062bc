"""get_swarm, info, oxend_request, active_nodes_bin, and requests for another swarm."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from session_protocol.accounts import Account
from session_protocol.service_nodes import base32z_encode, decode_active_nodes
from session_protocol.storage_auth import sign_request
from session_protocol.swarms import UNASSIGNED

Nodes = Any
DAY_MS = 86_400_000


@pytest.mark.parametrize("method", ["get_swarm", "get_snodes_for_pubkey"])
def test_swarm_of_an_account(make_nodes: Any, alice: Account, method: str) -> None:
    nodes = make_nodes(swarms=[0, 2**63, 0])
    for node in range(3):
        answer = nodes.ask(method, {"pubkey": alice.account_id, "params": {}}, node=node)
        assert answer.status == 200
        assert {name: answer.body[name] for name in ("swarm", "t", "hf")} == {
            "swarm": "0",
            "t": nodes.now,
            "hf": [21, 2],
        }
        members = {snode["pubkey_ed25519"]: snode for snode in answer.body["snodes"]}
        assert set(members) == {nodes.keys[0], nodes.keys[2]}
        assert members[nodes.keys[2]] == {
            "address": base32z_encode(nodes.identities[2].ed25519_pk) + ".snode",
            "ip": "127.0.3.1",
            "port": "22021",
            "port_https": 22021,
            "port_omq": 22020,
            "port_quic": 22020,
            "pubkey_ed25519": nodes.keys[2],
            "pubkey_legacy": nodes.keys[2],
            "pubkey_x25519": nodes.identities[2].x25519_pk.hex(),
        }


def every_account_method(now: int, account: Account) -> dict[str, dict[str, Any]]:
    requests: dict[str, dict[str, Any]] = {
        "store": {"timestamp": now, "ttl": DAY_MS, "data": "AAAA"},
        "retrieve": {"timestamp": now},
        "delete": {"messages": ["A" * 43]},
        "delete_all": {"timestamp": now},
        "delete_before": {"before": now},
        "expire": {"messages": ["A" * 43], "expiry": now},
        "expire_all": {"expiry": now},
        "get_expiries": {"messages": ["A" * 43], "timestamp": now},
        "revoke_subaccount": {"revoke": "00" * 36, "timestamp": now},
        "unrevoke_subaccount": {"unrevoke": "00" * 36, "timestamp": now},
        "revoked_subaccounts": {"timestamp": now},
    }
    return {method: sign_request(account, method, params) for method, params in requests.items()}


def test_every_account_method_names_the_right_swarm(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(swarms=[0, 2**63])
    for method, params in every_account_method(nodes.now, alice).items():
        answer = nodes.ask(method, params, node=1)
        assert answer.status == 421, method
        right = nodes.ask("get_swarm", {"pubkey": alice.account_id}, node=1).body
        assert answer.body == {**right, "pubkey": alice.account_id}
        assert answer.headers["Content-Type"] == "application/json"
    assert nodes.nodes[1].swarm_answer(alice.account_id.upper())["swarm"] == "0"


def test_a_network_without_swarms(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(swarms=[UNASSIGNED])
    answer = nodes.ask("get_swarm", {"pubkey": alice.account_id})
    assert (answer.status, answer.body["snodes"], answer.body["swarm"]) == (200, [], "f" * 16)
    stored = nodes.store(alice.account_id, "AAAA")
    assert (stored.status, stored.body) == (500, "No swarms known!")


def test_info(nodes: Nodes) -> None:
    expected = {"version": [2, 11, 3], "timestamp": nodes.now, "t": nodes.now, "hf": [21, 2]}
    assert nodes.ask("info", {}).body == expected


def test_node_list_from_the_chain(make_nodes: Any) -> None:
    nodes = make_nodes(swarms=[0, 2**63, UNASSIGNED])
    fields = ["public_ip", "storage_port", "pubkey_x25519", "pubkey_ed25519", "requested_unlock_height"]
    for wanted in (fields, dict.fromkeys(fields, True)):
        params = {"endpoint": "get_service_nodes", "params": {"active_only": True, "fields": wanted}}
        body = nodes.ask("oxend_request", params).body
        assert set(body) == {"result", "t", "hf"}
        states = body["result"]["service_node_states"]
        assert [set(state) for state in states] == [set(fields)] * 3
        assert [state["pubkey_ed25519"] for state in states] == nodes.keys
    everything = nodes.ask("oxend_request", {"endpoint": "get_service_nodes"}).body["result"]
    assert (everything["height"], everything["hardfork"]) == (1234, 21)
    assert everything["service_node_states"][2]["swarm_id"] == UNASSIGNED


@pytest.mark.parametrize("params", [[], "x", {"fields": 5}, {"service_node_pubkeys": [1]}])
def test_refused_questions_to_the_chain(nodes: Nodes, params: Any) -> None:
    answer = nodes.ask("oxend_request", {"endpoint": "get_service_nodes", "params": params})
    assert answer.status == 400
    assert isinstance(answer.body, str)
    assert answer.body


def test_a_name_that_nobody_registered(nodes: Nodes) -> None:
    params = {"endpoint": "ons_resolve", "params": {"type": 0, "name_hash": "A" * 43}}
    result = nodes.ask("oxend_request", params).body["result"]
    assert "encrypted_value" not in result


def test_an_injected_chain_is_asked(make_nodes: Any) -> None:
    asked: list[tuple[str, Mapping[str, Any]]] = []

    class Chain:
        def call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
            asked.append((method, params))
            return {"encrypted_value": "00"}

    nodes = make_nodes(1, oxend=Chain())
    answer = nodes.ask("oxend_request", {"endpoint": "ons_resolve", "params": {"type": 0}})
    assert answer.body["result"] == {"encrypted_value": "00"}
    assert asked == [("ons_resolve", {"type": 0})]


def test_active_nodes_in_binary(make_nodes: Any) -> None:
    nodes = make_nodes(swarms=[2**63, 5, UNASSIGNED, 5])
    answer = nodes.ask("active_nodes_bin", {"active_only": True, "fields": ["public_ip"]})
    assert answer.headers["Content-Type"] == "application/octet-stream"
    records = decode_active_nodes(answer.body)
    assert [record.swarm_id for record in records] == [5, 5, 2**63]
    assert {record.ed25519_pk.hex() for record in records[:2]} == {nodes.keys[1], nodes.keys[3]}
    assert records[2].ip == "127.0.1.1"
    batch = nodes.ask("batch", {"requests": [{"method": "active_nodes_bin", "params": {}}]})
    assert base64.b64decode(batch.body["results"][0]["body"]) == answer.body
