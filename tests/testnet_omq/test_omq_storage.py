"""``storage.*`` over OMQ: bt in, bt out, with the contents that JSON has (storage-rpc §§2.2, 3, 10, 11)."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import nacl.bindings
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_protocol import bencode
from session_testnet import Topology
from session_testnet.services.storage import StorageNode
from session_testnet.services.storage.bt_form import to_bt
from session_testnet.services.storage.omq.codec import InvalidBody, decode_params, encode_reply
from session_testnet.services.storage.results import RpcResult

Nodes = Any
Client = Any
User = Any
DAY_MS = 86_400_000
RAW_KEYS = ("signature", "data", "subaccount", "subaccount_sig", "revoke", "unrevoke")


def bt_params(params: Mapping[str, Any], *, raw_keys: bool = True) -> dict[str, Any]:
    """Return JSON parameters as bt has them: binary values raw."""
    turned: dict[str, Any] = {}
    for name, value in params.items():
        if name in RAW_KEYS:
            listed = [base64.b64decode(each) for each in value] if isinstance(value, list) else None
            turned[name] = listed or base64.b64decode(value)
        elif raw_keys and name in ("pubkey", "pubKey", "pubkey_ed25519"):
            turned[name] = bytes.fromhex(value)
        else:
            turned[name] = value
    return turned


def texts(value: Any, key: str = "") -> Any:
    """Return a decoded bt reply as JSON would have it: binary values in base64, the rest as texts."""
    if isinstance(value, dict):
        return {name.decode(): texts(item, name.decode()) for name, item in value.items()}
    if isinstance(value, list):
        return [texts(item, key) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode() if key in ("signature", "data") else value.decode()
    return value


def ints(value: Any) -> Any:
    """Return a JSON reply with booleans as integers, and without times that differ between two requests."""
    if isinstance(value, dict):
        return {name: ints(item) for name, item in value.items() if name not in ("t", "timestamp", "height")}
    if isinstance(value, list):
        return [ints(item) for item in value]
    return int(value) if isinstance(value, bool) else value


def both(client: Client, method: str, params: Mapping[str, Any]) -> Any:
    """Ask the same in both forms; check that the answers are the same, and return the one in JSON."""
    status, body = client.json(method, params)
    bt_status, bt_body = client.bt(method, bt_params(params))
    assert bt_status == status
    bt_text = bt_body.decode() if isinstance(bt_body, bytes) else texts(bt_body)
    assert ints(bt_text) == ints(body)
    return body


@pytest.mark.parametrize("raw_keys", [True, False])
def test_store_and_retrieve_in_bt(nodes: Nodes, client: Client, alice: User, raw_keys: bool) -> None:
    data = bytes(range(256))
    params = bt_params(nodes.store_params(alice, data), raw_keys=raw_keys)
    status, reply = client.bt("store", params)
    assert status == 200
    assert len(reply[b"swarm"]) == 7
    for key, entry in reply[b"swarm"].items():
        assert entry[b"hash"] == reply[b"hash"]
        assert len(entry[b"signature"]) == 64
        nacl.bindings.crypto_sign_open(entry[b"signature"] + entry[b"hash"], bytes.fromhex(key.decode()))
        assert b"already" not in entry
    signed = alice.signed("retrieve", {"timestamp": nodes.now})
    status, reply = client.bt("retrieve", bt_params(signed, raw_keys=raw_keys))
    assert status == 200
    assert reply[b"more"] == 0
    (message,) = reply[b"messages"]
    assert message[b"data"] == data
    assert nodes.bodies(client, alice) == [data]


def test_an_outer_sign_of_a_message_that_was_there(nodes: Nodes, client: Client, alice: User) -> None:
    params = nodes.store_params(alice, b"twice")
    client.json("store", params)
    body = both(client, "store", params)
    assert all(entry["already"] is True for entry in body["swarm"].values())


def test_a_whole_life_in_both_forms(nodes: Nodes, client: Client, alice: User) -> None:
    now = nodes.now
    hashes = [nodes.store(client, alice, f"message {number}".encode()) for number in range(4)]
    assert len(both(client, "retrieve", alice.signed("retrieve", {"timestamp": now}))["messages"]) == 4
    one = both(client, "retrieve", alice.signed("retrieve", {"timestamp": now}) | {"max_count": 1})
    assert one["more"] is True
    both(client, "retrieve", alice.signed("retrieve", {"timestamp": now}) | {"last_hash": hashes[0]})
    wanted = {"messages": hashes[:2], "expiry": now + 60_000}
    both(client, "expire", alice.signed("expire", wanted))
    both(client, "expire", alice.signed("expire", {**wanted, "expiry": [now + 50_000, now + 40_000]}))
    shortened = both(client, "expire", alice.signed("expire", {**wanted, "shorten": True}))
    assert all("unchanged" in entry for entry in shortened["swarm"].values())
    both(client, "get_expiries", alice.signed("get_expiries", {"messages": hashes, "timestamp": now}))
    expire_all = alice.signed("expire_all", {"expiry": now + 45_000, "namespace": "all"})
    assert client.bt("expire_all", bt_params(expire_all))[0] == 200
    both(client, "expire_all", expire_all)
    assert client.bt("delete", bt_params(alice.signed("delete", {"messages": hashes[:1]})))[0] == 200
    gone = alice.signed("delete", {"messages": hashes[:1]}) | {"required": True}
    assert client.bt("delete", {**bt_params(gone), "required": 1})[0] == 404
    assert both(client, "delete", gone)["swarm"].keys()
    both(client, "delete_before", alice.signed("delete_before", {"before": now - DAY_MS}))
    delete_all = alice.signed("delete_all", {"timestamp": now, "namespace": "all"})
    reply = client.bt("delete_all", bt_params(delete_all))[1]
    kept = [each.encode() for each in sorted(hashes[1:])]
    assert [entry[b"deleted"] for entry in reply[b"swarm"].values()] == [{b"0": kept}] * 7
    both(client, "delete_all", delete_all)
    assert nodes.bodies(client, alice) == []


def test_subaccounts_in_bt(nodes: Nodes, client: Client) -> None:
    group = nodes.user(3)
    nodes.store(client, group, b"for the sub-account")
    sub = group.subaccount(3)
    now = nodes.now
    signature = nacl.bindings.crypto_sign(f"retrieve{now}".encode(), sub.secret)[:64]
    params = {"pubkey": group.account, "timestamp": now, "signature": signature}
    token = {"subaccount": sub.token, "subaccount_sig": sub.owner_signature}
    status, reply = client.bt("retrieve", {**params, **token})
    assert (status, len(reply[b"messages"])) == (200, 1)
    revoked = base64.b64encode(sub.token).decode()
    revoke = group.signed("revoke_subaccount", {"revoke": [revoked], "timestamp": now})
    both(client, "revoke_subaccount", revoke)
    assert client.bt("retrieve", {**params, **token}) == (401, b"retrieve signature verification failed")
    listed = group.signed("revoked_subaccounts", {"timestamp": now})
    assert client.json("revoked_subaccounts", listed)[1]["revoked_subaccounts"] == [revoked]
    assert client.bt("revoked_subaccounts", bt_params(listed))[1][b"revoked_subaccounts"] == [sub.token]
    unrevoke = group.signed("unrevoke_subaccount", {"unrevoke": revoked, "timestamp": now})
    status, reply = client.bt("unrevoke_subaccount", bt_params(unrevoke))
    assert {entry[b"count"] for entry in reply[b"swarm"].values()} == {1}
    assert client.bt("retrieve", {**params, "subaccount": b"", "subaccount_sig": b""})[0] == 401


def test_batch_in_bt(nodes: Nodes, client: Client, alice: User) -> None:
    group = nodes.user(3)
    stores = [
        {"method": "store", "params": bt_params(nodes.store_params(alice, b"a batch"))},
        {
            "method": "store",
            "params": bt_params(group.signed("store", nodes.store_params(group, b"b") | {"namespace": 42})),
        },
    ]
    status, reply = client.bt("batch", {"requests": stores})
    assert status == 200
    assert [each[b"code"] for each in reply[b"results"]] == [200, 200]
    for each in reply[b"results"]:
        assert {len(entry[b"signature"]) for entry in each[b"body"][b"swarm"].values()} == {64}
    assert nodes.bodies(client, alice) == [b"a batch"]


def test_sequence_stops_in_bt_too(nodes: Nodes, client: Client, alice: User) -> None:
    refused = bt_params(nodes.store_params(alice, b"x", namespace=33))
    good = bt_params(nodes.store_params(alice, b"y"))
    requests = [{"method": "store", "params": refused}, {"method": "store", "params": good}]
    status, reply = client.bt("sequence", {"requests": requests})
    text = b"store: signature required to store to namespace 33"
    assert (status, reply) == (200, {b"results": [{b"code": 401, b"body": text}]})
    assert nodes.bodies(client, alice) == []


def test_ifelse_in_bt(client: Client) -> None:
    params = {
        "if": {"hf_at_least": [19, 4], "height_at_least": 1},
        "then": {"method": "info", "params": {}},
    }
    body = both(client, "ifelse", params)
    assert body["condition"] is True
    assert body["result"]["code"] == 200


def test_what_is_not_about_messages_in_both_forms(client: Client, alice: User) -> None:
    both(client, "info", {})
    both(client, "get_swarm", {"pubkey": alice.pubkey})
    both(client, "get_snodes_for_pubkey", {"pubKey": alice.pubkey})
    question = {"active_only": True, "fields": {"pubkey_ed25519": True, "storage_lmq_port": True}}
    status, answer = client.json("oxend_request", {"endpoint": "get_service_nodes", "params": question})
    asked = {"endpoint": "get_service_nodes", "params": orjson.dumps(question)}
    bt_status, bt_answer = client.bt("oxend_request", asked)
    assert (status, bt_status) == (200, 200)
    assert texts(bt_answer)["result"] == ints(answer["result"])
    assert client.bt("oxend_request", {**asked, "params": "{"}) == (
        400,
        b"invalid request: oxend_request params field does not contain valid json",
    )


def test_the_ports_told_are_the_ones_that_answer(nodes: Nodes, client: Client, alice: User) -> None:
    ports = {node["pubkey_ed25519"]: node["omq_port"] for node in nodes.network.state["nodes"]}
    assert 22020 not in ports.values()
    swarm = client.json("get_swarm", {"pubkey": alice.pubkey})[1]["snodes"]
    assert {node["pubkey_ed25519"]: node["port_omq"] for node in swarm} == ports
    (records,) = client.request("storage.active_nodes_bin")
    told = {
        records[at : at + 32].hex(): int.from_bytes(records[at + 46 : at + 48], "big")
        for at in range(0, len(records), 51)
    }
    assert told == ports
    assert client.request("storage.active_nodes_bin", b"de") == [records]
    inside = {"requests": [{"method": "active_nodes_bin", "params": {}}]}
    assert client.bt("batch", inside)[1][b"results"][0][b"body"] == records
    in_json = client.json("batch", inside)[1]["results"][0]["body"]
    assert base64.b64decode(in_json) == records


def test_another_swarm_is_named_in_both_forms(nodes: Nodes, client: Client, alice: User) -> None:
    nodes.network.node("node-01").set_knobs(wrong_swarm=True)
    try:
        body = both(client, "store", nodes.store_params(alice, b"x"))
        assert len(body["snodes"]) == 6, "seven nodes without the one that has just left"
        status, _ = client.json("store", nodes.store_params(alice, b"x"))
        assert status == 421
    finally:
        nodes.network.node("node-01").set_knobs(wrong_swarm=False)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"signature": b"x" * 63}, "invalid signature: expected 64-byte Ed25519 signature"),
        ({"signature": base64.b64encode(b"x" * 64)}, "invalid signature: expected 64-byte Ed25519 signature"),
        ({"signature": 1}, "Invalid value given for 'signature': expected string"),
        ({"pubkey": b"x" * 32}, "Pubkey must be 66 hex digits (33 bytes) long"),
        ({"pubkey_ed25519": b"x" * 31}, "Invalid pubkey_ed25519: expected 64 hex char or 32 byte pubkey"),
        (
            {"timestamp": b"123"},
            "Invalid value given for 'timestamp': expected integer timestamp (in milliseconds)",
        ),
        ({"namespace": 32768}, "Invalid value given for 'namespace': expected 16-bit integer"),
        ({"namespace": b"x"}, "Invalid value given for 'namespace': expected 16-bit integer"),
        ({"reverse_direction": 2}, "Invalid value given for 'reverse_direction': expected boolean"),
        ({"max_count": []}, "Invalid value given for 'max_count': expected integer"),
        ({"last_hash": b"\xff" * 43}, "Invalid last_hash: not base64"),
        (
            {"subaccount": b"x" * 35, "subaccount_sig": b"x" * 64},
            "invalid subaccount token: invalid token length",
        ),
        (
            {"subaccount": b"x" * 36, "subaccount_sig": b"x" * 63},
            "invalid subaccount signature: expected 64-byte Ed25519 signature",
        ),
        ({"subaccount": b"x" * 36}, "invalid subaccount: subaccount_sig is required when using subaccount"),
    ],
)
def test_errors_of_bt_parameters(
    nodes: Nodes, client: Client, alice: User, changes: dict[str, Any], text: str
) -> None:
    params = bt_params(alice.signed("retrieve", {"timestamp": nodes.now})) | changes
    assert client.bt("retrieve", params) == (400, f"invalid request: {text}".encode())


def test_small_times_in_bt_are_only_too_old(nodes: Nodes, client: Client, alice: User) -> None:
    text = b"retrieve timestamp too far from current time"
    assert client.bt("retrieve", bt_params(alice.signed("retrieve", {"timestamp": 5}))) == (406, text)
    assert client.json("retrieve", alice.signed("retrieve", {"timestamp": 5}))[0] == 400


@pytest.mark.parametrize("name", ["timestamp", "ttl"])
def test_store_takes_no_numbers_as_text_in_bt(nodes: Nodes, client: Client, alice: User, name: str) -> None:
    params = nodes.store_params(alice, b"x")
    assert client.json("store", {**params, name: str(params[name])})[0] == 200
    status, text = client.bt("store", {**bt_params(params), name: str(params[name])})
    assert status == 400
    assert text.startswith(f"invalid request: Invalid value given for '{name}'".encode())


@pytest.mark.parametrize(("size", "status"), [(76_800, 200), (76_801, 400)])
def test_the_size_limit_is_of_raw_bytes(
    nodes: Nodes, client: Client, alice: User, size: int, status: int
) -> None:
    params = nodes.store_params(alice, b"\xff" * size)
    assert client.bt("store", bt_params(params))[0] == status
    assert client.json("store", params)[0] == status


@pytest.mark.parametrize(
    ("requests", "text"),
    [
        ([], 'empty "requests" list'),
        (3, 'no valid "requests" field'),
        (b"x", 'no valid "requests" field'),
        ([1], "requests must be dicts"),
        ([{"params": {}}], "subrequests must have a method"),
        ([{"method": "info"}], "subrequests must have a params dict"),
        ([{"method": "info", "params": {}}] * 21, "subrequest limit exceeded"),
    ],
)
def test_errors_of_bt_batches(client: Client, requests: Any, text: str) -> None:
    expected = f"invalid request: Invalid batch request: {text}".encode()
    assert client.bt("batch", {"requests": requests}) == (400, expected)


def test_rate_limits_count_all_transports_together(nodes: Nodes, client: Client) -> None:
    node = nodes.network.node("node-01")
    node.set_knobs(rate_limit={"tokens": 3, "per_second": 0})
    try:
        answers = [client.request("storage.info") for _ in range(4)]
        assert [len(answer) for answer in answers] == [1, 1, 1, 2]
        assert answers[3] == [b"429", b"Too many requests, try again later"]
        assert nodes.connect().request("storage.info")[0] == b"429"
    finally:
        node.set_knobs(rate_limit=None)


def test_a_node_that_is_not_ready_refuses(nodes: Nodes, client: Client) -> None:
    node = nodes.network.node("node-01")
    node.set_knobs(not_ready=["not done syncing"])
    try:
        text = b"Service node is not ready: not done syncing\n"
        assert client.request("storage.info") == [b"503", text]
    finally:
        node.set_knobs(not_ready=[])


def test_the_trace_names_the_transport_and_the_account(nodes: Nodes, client: Client, alice: User) -> None:
    since = nodes.network.trace.last_seq()
    client.bt("store", bt_params(nodes.store_params(alice, b"traced")))
    (event,) = [
        event for event in nodes.network.trace.events(since, "rpc") if event.get("account") == alice.pubkey
    ]
    assert (event["via"], event["method"], event["status"]) == ("omq", "store", 200)


bt_values = st.recursive(
    st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = [
    *(
        "pubkey",
        "pubKey",
        "timestamp",
        "ttl",
        "expiry",
        "data",
        "namespace",
        "signature",
        "messages",
        "shorten",
    ),
    *(
        "extend",
        "required",
        "pubkey_ed25519",
        "subaccount",
        "subaccount_sig",
        "requests",
        "if",
        "then",
        "else",
    ),
    *("endpoint", "params", "revoke", "unrevoke", "before", "last_hash", "max_count", "max_size"),
]
METHODS = [
    *("store", "retrieve", "delete", "delete_all", "delete_before", "expire", "expire_all", "get_expiries"),
    *("get_swarm", "info", "oxend_request", "revoke_subaccount", "unrevoke_subaccount", "batch", "sequence"),
    *("ifelse", "revoked_subaccounts", "active_nodes_bin"),
]


@settings(max_examples=100, deadline=None)
@given(params=st.dictionaries(st.sampled_from(KEYS), bt_values, max_size=6), method=st.sampled_from(METHODS))
def test_no_bt_parameters_make_a_node_fail(
    shared_client: Client, params: dict[str, Any], method: str
) -> None:
    parts = shared_client.request(f"storage.{method}", bencode.encode(params))
    assert len(parts) == 1 or parts[0] in (b"400", b"401", b"403", b"404", b"406", b"421"), parts


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: b"d" + rest))
def test_no_body_makes_a_node_fail(shared_client: Client, body: bytes) -> None:
    parts = shared_client.request("storage.store", body)
    assert parts[0] == b"400"


def test_the_codec_reads_what_json_and_bt_say() -> None:
    assert decode_params(b"") == {}
    assert decode_params(b'{"a":[true,null]}') == {"a": [True, None]}
    params = decode_params(bencode.encode({"pubkey": b"\x05" * 33, "x": {"pubKey": b"\xff" * 33}}))
    assert params == {"pubkey": "05" * 33, "x": {"pubKey": "ff" * 33}}
    with pytest.raises(InvalidBody):
        decode_params(b"le")


def test_the_codec_writes_both_forms() -> None:
    body = {"b": [True, None], "n": None, "signature": "AAEC", "data": "not base64!"}
    assert encode_reply(RpcResult(200, body), bt=False) == (
        b'{"b":[true,null],"data":"not base64!","n":null,"signature":"AAEC"}',
    )
    assert encode_reply(RpcResult(200, body), bt=True) == (
        b"d1:bli1ee4:data11:not base64!9:signature3:\x00\x01\x02e",
    )
    assert encode_reply(RpcResult(404, "text"), bt=True) == (b"404", b"text")
    assert encode_reply(RpcResult(200, b"\xff"), bt=True) == (b"\xff",)
    with pytest.raises(TypeError, match="float"):
        to_bt({"x": 1.5})


def test_an_older_node_knows_older_commands(make_bare_node: Callable[..., StorageNode]) -> None:
    commands = make_bare_node((2, 8, 0)).omq_commands()
    assert b"storage.active_nodes_bin" not in commands
    assert b"storage.get_snodes_for_pubkey" in commands
    assert b"sn.storage_test" in commands


@pytest.mark.parametrize(("version", "status"), [((2, 8, 0), 200), ((2, 11, 3), 503)])
def test_old_releases_do_not_wait_for_readiness_over_omq(
    open_nodes: Callable[[Topology], Nodes], version: tuple[int, int, int], status: int
) -> None:
    nodes = open_nodes(replace(Topology.default(1, seed="omq", swarms=1), storage_version=version))
    nodes.network.node("node-01").set_knobs(not_ready=["not done syncing"])
    assert nodes.connect().json("info", {})[0] == status


def test_a_second_swarm_is_named_over_omq(open_nodes: Callable[[Topology], Nodes]) -> None:
    nodes = open_nodes(Topology.default(4, seed="omq", swarms=2))
    alice = nodes.user()
    members = {node.pubkey_ed25519 for node in nodes.network.swarm(alice.pubkey)}
    assert len(members) == 2
    for number, node in enumerate(nodes.network.nodes):
        status, body = nodes.connect(number).json("store", nodes.store_params(alice, b"x"))
        if node.pubkey_ed25519 in members:
            assert (status, set(body["swarm"])) == (200, members)
        else:
            assert (status, {each["pubkey_ed25519"] for each in body["snodes"]}) == (421, members)
