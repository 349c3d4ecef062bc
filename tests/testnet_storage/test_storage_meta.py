"""batch, sequence and ifelse."""

import base64
from typing import Any

import pytest

from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request

Nodes = Any
DAY_MS = 86_400_000


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def call(method: str, **params: Any) -> dict[str, Any]:
    return {"method": method, "params": params}


def storing(nodes: Nodes, account: Account, data: bytes, **more: Any) -> dict[str, Any]:
    return call("store", pubkey=account.account_id, timestamp=nodes.now, ttl=DAY_MS, data=b64(data), **more)


def signed(account: Account, method: str, **params: Any) -> dict[str, Any]:
    return call(method, **sign_request(account, method, params))


def test_a_sequence_sees_what_it_did(nodes: Nodes, alice: Account) -> None:
    reading = signed(alice, "retrieve", timestamp=nodes.now)
    requests = [
        storing(nodes, alice, b"one"),
        reading,
        storing(nodes, alice, b"two"),
        signed(alice, "delete_all", timestamp=nodes.now),
        reading,
    ]
    answer = nodes.ask("sequence", {"requests": requests})
    assert set(answer.body) == {"results"}
    assert [result["code"] for result in answer.body["results"]] == [200] * 5
    first, second = (answer.body["results"][index]["body"]["messages"] for index in (1, 4))
    assert [message["data"] for message in first] == [b64(b"one")]
    assert second == []


def test_a_failure_ends_a_sequence_and_not_a_batch(nodes: Nodes, alice: Account) -> None:
    requests = [storing(nodes, alice, b"x", namespace=33), storing(nodes, alice, b"y")]
    text = "store: signature required to store to namespace 33"
    sequence = nodes.ask("sequence", {"requests": requests}).body["results"]
    assert sequence == [{"code": 401, "body": text}]
    batch = nodes.ask("batch", {"requests": requests}).body["results"]
    assert batch[0] == {"code": 401, "body": text}
    assert batch[1]["code"] == 200
    assert len(nodes.retrieve(alice).body["messages"]) == 1


BATCH_ERRORS = [
    ({}, 'Invalid batch request: no valid "requests" field'),
    ({"requests": []}, 'Invalid batch request: no valid "requests" field'),
    ({"requests": {}}, 'Invalid batch request: no valid "requests" field'),
    ({"requests": "info"}, 'Invalid batch request: no valid "requests" field'),
    ({"requests": [call("info")] * 21}, "Invalid batch request: subrequest limit exceeded"),
    ({"requests": ["info"]}, "Invalid batch request: requests must be objects"),
    ({"requests": [{"method": "info"}]}, "Invalid batch request: subrequests must have method/params keys"),
    (
        {"requests": [{"method": 1, "params": {}}]},
        "Invalid batch request: subrequests must have method/params keys",
    ),
    ({"requests": [call("nonsense")]}, 'Invalid batch subrequest: invalid method "nonsense"'),
    (
        {"requests": [call("batch", requests=[call("info")])]},
        "Invalid batch subrequest: subrequests may not contain meta-requests",
    ),
    (
        {"requests": [{"method": "ifelse", "params": {"if": {"height_before": 1}, "then": call("info")}}]},
        "Invalid batch subrequest: subrequests may not contain meta-requests",
    ),
    ({"requests": [call("info"), call("get_swarm")]}, "Required field 'pubkey' missing"),
]


@pytest.mark.parametrize("method", ["batch", "sequence"])
@pytest.mark.parametrize(("params", "text"), BATCH_ERRORS)
def test_refused_batches(nodes: Nodes, method: str, params: dict[str, Any], text: str) -> None:
    answer = nodes.ask(method, params)
    assert (answer.status, answer.body) == (400, f"invalid request: {text}")


def test_one_bad_request_stops_the_whole_batch_before_it_starts(nodes: Nodes, alice: Account) -> None:
    answer = nodes.ask("batch", {"requests": [storing(nodes, alice, b"x"), call("store")]})
    assert answer.status == 400
    assert nodes.retrieve(alice).body["messages"] == []


def test_twenty_requests_and_wrong_swarm_inside(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(swarms=[0, 2**63])
    answer = nodes.ask("batch", {"requests": [call("info")] * 19 + [storing(nodes, alice, b"x")]}, node=1)
    results = answer.body["results"]
    assert [result["code"] for result in results] == [200] * 19 + [421]
    assert results[-1]["body"]["snodes"][0]["pubkey_ed25519"] == nodes.keys[0]


HOLDS = {"if": {"hf_at_least": [19]}}
IFELSE = [
    ({"hf_at_least": [21, 2]}, True),
    ({"hf_at_least": 21}, True),
    ({"hf_at_least": [21, 3]}, False),
    ({"hf_before": [21, 2]}, False),
    ({"hf_before": [21, 2, 9]}, False),
    ({"hf_before": 22}, True),
    ({"v_at_least": [2, 11, 3]}, True),
    ({"v_at_least": [2, 12]}, False),
    ({"v_before": [2, 11, 4]}, True),
    ({"height_at_least": 1234}, True),
    ({"height_before": 1234}, False),
    ({"height_before": 1235, "v_before": [1]}, False),
]


@pytest.mark.parametrize(("condition", "holds"), IFELSE)
def test_conditions(nodes: Nodes, condition: dict[str, Any], holds: bool) -> None:
    params = {"if": condition, "then": call("info"), "else": call("get_swarm", pubkey="05" + "ab" * 32)}
    body = nodes.ask("ifelse", params).body
    assert body["condition"] is holds
    assert (body["hf"], body["v"], body["height"]) == ([21, 2], [2, 11, 3], 1234)
    assert body["result"]["code"] == 200
    assert ("version" if holds else "snodes") in body["result"]["body"]


def test_a_missing_branch_has_no_result(nodes: Nodes) -> None:
    body = nodes.ask("ifelse", {**HOLDS, "else": call("info")}).body
    assert body["condition"] is True
    assert "result" not in body


def test_conditions_inside_each_other_end_in_a_batch(nodes: Nodes, alice: Account) -> None:
    nested: dict[str, Any] = call("batch", requests=[storing(nodes, alice, b"deep")])
    for _ in range(4):
        nested = {"method": "ifelse", "params": {**HOLDS, "then": nested}}
    body = nodes.ask("ifelse", {**HOLDS, "then": nested}).body
    for _ in range(5):
        body = body["result"]["body"]
    assert body["results"][0]["code"] == 200
    assert len(nodes.retrieve(alice).body["messages"]) == 1


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, 'Invalid ifelse request: no valid "if" field'),
        ({"if": []}, 'Invalid ifelse request: no valid "if" field'),
        ({"if": {}}, 'Invalid ifelse request: must specify at least one "if" condition'),
        ({"if": {"hf_at_least": []}}, 'Invalid ifelse request: must specify at least one "if" condition'),
        ({"if": {"hf_at_least": ["x"]}}, "Invalid value given for 'hf_at_least': expected integer array"),
        ({"if": {"height_before": "1"}}, "Invalid value given for 'height_before': expected integer"),
        (HOLDS, 'Invalid ifelse request: at least one of "then"/"else" required'),
        ({**HOLDS, "then": 1}, "Invalid ifelse request: then must be an object"),
        ({**HOLDS, "else": {"method": "info"}}, "Invalid ifelse request: else must have method/params keys"),
        ({**HOLDS, "then": call("nonsense")}, 'Invalid ifelse request method "then"'),
        ({**HOLDS, "then": call("get_swarm")}, "Required field 'pubkey' missing"),
    ],
)
def test_refused_conditions(nodes: Nodes, params: dict[str, Any], text: str) -> None:
    answer = nodes.ask("ifelse", params)
    assert (answer.status, answer.body) == (400, f"invalid request: {text}")


def test_endless_nesting_is_refused(nodes: Nodes) -> None:
    nested: dict[str, Any] = call("info")
    for _ in range(100):
        nested = {"method": "ifelse", "params": {**HOLDS, "then": nested}}
    answer = nodes.ask("ifelse", {**HOLDS, "then": nested})
    assert answer.status == 400
    assert "inside each other" in answer.body
