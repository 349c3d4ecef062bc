"""Judge what a service node says of the network, its onion requests, and what it makes of nonsense."""

from functools import partial
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from session_conformance.checks import check
from session_conformance.contract import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.answers import ask, member
from session_conformance.servers.node import JudgedNode
from session_conformance.servers.onions import ask_node_in_onion
from session_conformance.strategies import flip_bit
from session_protocol import onion
from session_protocol.onion import EncryptionType
from session_protocol.storage_auth import sign_request
from session_protocol.swarms import choose_swarm, swarm_position

on_node = partial(check, features={"server": "storage"})
with_registry = partial(check, features={"server": "storage", "registry_known": True})
METHODS = (
    "store", "retrieve", "delete", "delete_all", "delete_before", "expire", "expire_all", "get_expiries",
    "get_swarm", "oxend_request", "revoke_subaccount", "unrevoke_subaccount", "batch", "sequence", "ifelse",
)  # fmt: skip
NAMES = (
    "pubkey", "namespace", "timestamp", "signature", "pubkey_ed25519", "messages", "expiry", "before", "data",
    "ttl", "last_hash", "max_count", "max_size", "requests", "if", "then", "endpoint", "revoke", "subaccount",
)  # fmt: skip
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
types = st.sampled_from(list(EncryptionType))


@on_node("NODE-70", "NODE-71")
def test_lists_the_swarm_of_an_account(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account().account_id
    reply = node.rpc("get_swarm", {"pubkey": account}).ok()
    nodes = member(reply, "snodes", list)
    assert nodes, "the node answers for the account, and names nobody for it"
    for each in nodes:
        assert isinstance(each["port"], str), f"port is {each['port']!r}, not a text"
        assert each["port"] == str(member(each, "port_https", int))
        for name in ("pubkey_ed25519", "pubkey_x25519"):
            assert len(bytes.fromhex(member(each, name, str))) == 32
        assert member(each, "ip", str)
        assert member(each, "address", str).endswith(".snode")
    int(member(reply, "swarm", str), 16)
    keys = {each["pubkey_ed25519"] for each in nodes}
    alias = node.rpc("get_snodes_for_pubkey", {"pubKey": account}).ok()
    assert {each["pubkey_ed25519"] for each in alias["snodes"]} == keys
    for url in [*node.urls[1:], *(url for url, _key in node.other_members(account))]:
        told = node.rpc("get_swarm", {"pubkey": account}, url=url).ok()
        assert {each["pubkey_ed25519"] for each in told["snodes"]} == keys, f"{url} names another swarm"


@on_node("NODE-72")
def test_names_the_other_swarm(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.foreign_account()
    wanted = {each["pubkey_ed25519"] for each in node.snodes(account.account_id)}
    params = node.store_params(account.account_id, b"x")
    listing = sign_request(account, "retrieve", {"timestamp": node.now()})
    for method, given_params in (("store", params), ("retrieve", listing)):
        told = node.rpc(method, given_params).expect(421).json()
        assert {each["pubkey_ed25519"] for each in member(told, "snodes", list)} == wanted


@on_node("NODE-73")
def test_tells_about_itself(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    info = node.rpc("info", {}).ok()
    assert len(member(info, "version", list)) == 3
    assert member(info, "timestamp", int) > 1_600_000_000_000, "the time is not in milliseconds"
    assert abs(member(info, "t", int) - info["timestamp"]) < 1000
    assert len(member(info, "hf", list)) == 2


@on_node("NODE-74")
def test_stamps_its_answers(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    stored = node.try_store(account, b"x").ok()
    for reply in (
        stored,
        node.try_retrieve(account).ok(),
        node.signed(account, "delete", {"messages": [stored["hash"]]}).ok(),
        node.rpc("get_swarm", {"pubkey": account.account_id}).ok(),
    ):
        assert abs(member(reply, "t", int) - node.now()) < 30_000
        assert len(member(reply, "hf", list)) == 2


@on_node("NODE-75")
@given(
    method=st.sampled_from(METHODS),
    params=st.dictionaries(st.sampled_from(NAMES), json_values, max_size=6),
    real_account=st.booleans(),
)
def test_refuses_nonsense(
    testee: Testee, case: CaseContext, method: str, params: dict[str, Any], real_account: bool
) -> None:
    """Whatever the parameters are, the node says what is wrong, or does it."""
    node = JudgedNode(testee, case)
    if real_account:
        params = {**params, "pubkey": node.new_account().account_id}
    answer = node.rpc(method, params)
    assert answer.status < 500, f"{method} with {params} ended in {answer}"
    if method == "batch" or not params:
        assert answer.status >= 400, f"{method} with {params} was answered {answer}"


@on_node("NODE-76")
def test_refuses_what_is_no_request(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    for body in (
        b"",
        b"{",
        b"[]",
        b'"info"',
        b"{}",
        b'{"method":"info"}',
        b'{"params":{}}',
        b'{"method":1,"params":{}}',
        b'{"method":"info","params":[]}',
        b'{"method":"nonsense","params":{}}',
        b"\xff\xfe",
    ):
        node.post(body, asked=repr(body)).expect(400)
    node.rpc("info", {}).expect(200)


@on_node("NODE-77")
def test_knows_no_other_paths(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    for path in ("/", "/storage_rpc/v9", "/nowhere"):
        ask(testee, "GET", node.url + path).expect(404)


@on_node("NODE-78")
@given(enc_type=types, embed=st.booleans())
def test_answers_onion_requests(
    testee: Testee, case: CaseContext, enc_type: EncryptionType, embed: bool
) -> None:
    node = JudgedNode(testee, case)
    keys = node.own_keys()
    control = {"headers": "", **({"json": True} if embed else {})}
    status, body = ask_node_in_onion(
        testee,
        node.url,
        keys,
        node.random,
        {"method": "info", "params": {}},
        enc_type=enc_type,
        control=control,
    )
    assert status == 200
    assert "version" in member({"body": body}, "body", dict)
    status, body = ask_node_in_onion(
        testee, node.url, keys, node.random, {"method": "nonsense", "params": {}}, enc_type=enc_type
    )
    assert (status, isinstance(body, str)) == (400, True)


@on_node("NODE-79")
@given(enc_type=types, data=st.binary(min_size=1, max_size=200))
def test_passes_onions_on(testee: Testee, case: CaseContext, enc_type: EncryptionType, data: bytes) -> None:
    node = JudgedNode(testee, case)
    account = node.account()
    _url, key = node.other_members(account.account_id)[0]
    other = next(each for each in node.snodes(account.account_id) if each["pubkey_ed25519"] == key)
    target = bytes.fromhex(key), bytes.fromhex(other["pubkey_x25519"])
    request = {"method": "store", "params": node.store_params(account.account_id, data)}
    status, body = ask_node_in_onion(
        testee, node.url, target, node.random, request, relays=[node.own_keys()], enc_type=enc_type
    )
    assert status == 200, f"{status} {body!r}"
    assert node.hashes(account) == [body["hash"]]
    assert "t" in body["swarm"][key], "another node than the destination has answered"


@on_node("NODE-80")
@given(bit=st.integers(0, 100_000), short=st.booleans())
def test_refuses_damaged_onions(testee: Testee, case: CaseContext, bit: int, short: bool) -> None:
    node = JudgedNode(testee, case)
    built = onion.build(
        [],
        onion.NodeDestination(*node.own_keys()),
        orjson.dumps({"method": "info", "params": {}}),
        random_bytes=node.random.randbytes,
    )
    # Damaged in the ciphertext: it begins after its length in four bytes.
    blob_bits = int.from_bytes(built.body[:4], "little") * 8
    body = built.body[: len(built.body) // 2] if short else flip_bit(built.body, 32 + bit % blob_bits)
    answer = node.post(body, path="/onion_req/v2", asked="a damaged onion")
    assert answer.status >= 400, f"a damaged onion was answered {answer}"
    node.rpc("info", {}).expect(200)


@with_registry("NODE-81")
def test_agrees_with_the_registry(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    asked = {"jsonrpc": "2.0", "id": 0, "method": "get_service_nodes", "params": {}}
    listed = ask(testee, "POST", f"{node.registry}/json_rpc", body=orjson.dumps(asked)).ok()
    swarms: dict[int, set[str]] = {}
    for each in listed["result"]["service_node_states"]:
        if each.get("active", True):
            swarms.setdefault(int(each["swarm_id"]), set()).add(each["pubkey_ed25519"])
    for _ in range(20):
        account = node.new_account().account_id
        nearest = choose_swarm(swarm_position(account), swarms)
        assert nearest is not None, "the registry lists no swarm"
        found = node.rpc("get_swarm", {"pubkey": account}).ok()
        assert int(found["swarm"], 16) == nearest
        assert {each["pubkey_ed25519"] for each in found["snodes"]} == swarms[nearest]


@on_node("NODE-82")
def test_passes_requests_to_the_chain(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    fields = {"pubkey_ed25519": True, "public_ip": True, "storage_port": True}
    asked = {"endpoint": "get_service_nodes", "params": {"fields": fields}}
    listed = node.rpc("oxend_request", asked).ok()["result"]["service_node_states"]
    keys = {each["pubkey_ed25519"] for each in listed}
    swarm = {each["pubkey_ed25519"] for each in node.snodes(node.account().account_id)}
    assert swarm <= keys, "members of the swarm are missing in the list"
    node.rpc("oxend_request", {"endpoint": "get_info", "params": {}}).expect(400)


@on_node("NODE-83")
def test_names_its_content_types(testee: Testee, case: CaseContext) -> None:
    node = JudgedNode(testee, case)
    assert node.rpc("info", {}).expect(200).media_type == "application/json"
    assert node.rpc("nonsense", {}).expect(400).media_type == "text/plain"
