"""Properties: no input is too strange, and a node behaves as a simple model of itself."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_protocol.accounts import Account
from session_protocol.service_nodes import NodeIdentity
from session_protocol.storage_auth import message_hash, sign_request
from session_testnet.clock import Clock
from session_testnet.peers import DirectPeerLink
from session_testnet.services.registry import NetworkSnapshot, NodeInfo
from session_testnet.services.storage import StorageNode
from session_testnet.services.storage.methods import METHODS
from session_testnet.trace import Trace

NOW = 1_700_000_000_123
ALICE = Account.from_seed(bytes(range(32)))
ACCOUNT = bytes.fromhex(ALICE.account_id)


class Lone:
    """One node, alone in its swarm, asked without a socket."""

    def __init__(self, runner: asyncio.Runner) -> None:
        identity = NodeIdentity.from_seed(b"\x01" * 32)
        self.now = NOW
        clock = Clock(lambda: self.now * 1_000_000)
        self.node = StorageNode(identity, "n", clock=clock, peers=DirectPeerLink(), trace=Trace(clock))
        info = NodeInfo(
            "n", identity.ed25519_pk.hex(), identity.x25519_pk.hex(), "127.0.1.1", 1, 2, swarm_id=1
        )
        self.node.update_network(NetworkSnapshot.of([info], height=1, block_hash="00" * 32))
        self.runner = runner

    def ask(self, method: str, params: Any) -> Any:
        return self.runner.run(self.node.rpc(method, params))

    def ask_bytes(self, body: bytes) -> Any:
        return self.runner.run(self.node._rpc.answer_body(body, via="direct"))

    def signed(self, method: str, **params: Any) -> Any:
        result = self.ask(method, sign_request(ALICE, method, params))
        assert result.status == 200, result
        return result.body

    def clear(self) -> None:
        self.now = NOW
        self.signed("delete_all", timestamp=NOW, namespace="all")


@pytest.fixture(scope="module")
def lone() -> Iterator[Lone]:
    with asyncio.Runner() as runner:
        made = Lone(runner)
        yield made
        runner.run(made.node.aclose())
        made.node.close()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=70)
    | st.sampled_from([ALICE.account_id, NOW, "A" * 43, "A" * 86, "A" * 48, "all", -10, 0, 11]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = [
    "pubkey",
    "pubKey",
    "pubkey_ed25519",
    "signature",
    "subaccount",
    "subaccount_sig",
    "timestamp",
    "sig_timestamp",
    "ttl",
    "expiry",
    "data",
    "namespace",
    "messages",
    "before",
    "revoke",
    "unrevoke",
    "last_hash",
    "max_count",
    "max_size",
    "reverse_direction",
    "required",
    "shorten",
    "extend",
    "endpoint",
    "params",
    "requests",
    "if",
    "then",
    "else",
    "method",
]
ALL_METHODS = [*METHODS, "batch", "sequence", "ifelse", "nonsense"]


@settings(max_examples=600, deadline=None)
@given(
    method=st.sampled_from(ALL_METHODS),
    params=st.dictionaries(st.sampled_from(NAMES), json_values, max_size=10),
)
def test_any_parameters_get_an_answer_of_the_protocol(
    lone: Lone, method: str, params: dict[str, Any]
) -> None:
    result = lone.ask(method, params)
    assert result.status in {200, 400, 401, 403, 406}, result
    assert isinstance(result.body, str if result.status != 200 else dict | bytes)


VALID = {
    "store": {"pubkey": ALICE.account_id, "timestamp": NOW, "ttl": 60_000, "data": "AAAA"},
    "retrieve": {"timestamp": NOW},
    "delete": {"messages": ["A" * 43]},
    "delete_all": {"timestamp": NOW},
    "delete_before": {"before": NOW},
    "expire": {"messages": ["A" * 43], "expiry": NOW + 1},
    "expire_all": {"expiry": NOW + 1},
    "get_expiries": {"messages": ["A" * 43], "timestamp": NOW},
    "revoke_subaccount": {"revoke": ["00" * 36], "timestamp": NOW},
    "unrevoke_subaccount": {"unrevoke": ["00" * 36], "timestamp": NOW},
    "revoked_subaccounts": {"timestamp": NOW},
    "oxend_request": {"endpoint": "get_service_nodes", "params": {}},
}


@settings(max_examples=500, deadline=None)
@given(method=st.sampled_from(sorted(VALID)), data=st.data())
def test_one_changed_parameter_gets_an_answer_of_the_protocol(
    lone: Lone, method: str, data: st.DataObject
) -> None:
    params = (
        VALID[method] if method in ("store", "oxend_request") else sign_request(ALICE, method, VALID[method])
    )
    name = data.draw(st.sampled_from([*params, *NAMES]))
    result = lone.ask(method, {**params, name: data.draw(json_values)})
    assert result.status in {200, 400, 401, 403, 406}, result


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | json_values.map(orjson.dumps))
def test_any_bytes_get_an_answer(lone: Lone, body: bytes) -> None:
    assert lone.ask_bytes(body).status in {200, 400}


Message = tuple[bytes, int, int]
stores = st.lists(
    st.tuples(st.binary(max_size=3), st.integers(-5000, 5000), st.integers(10_000, 90_000)), max_size=25
)


@settings(max_examples=120, deadline=None)
@given(messages=stores, size=st.integers(1, 5), reverse=st.booleans())
def test_pages_together_are_all_messages_in_order_of_arrival(
    lone: Lone, messages: list[Message], size: int, reverse: bool
) -> None:
    lone.clear()
    model: dict[str, tuple[int, int, bytes]] = {}
    for data, shift, ttl in messages:
        name = message_hash(ACCOUNT, 0, data)
        timestamp, expiry = NOW + shift, NOW + shift + ttl
        body = {
            "pubkey": ALICE.account_id,
            "timestamp": timestamp,
            "ttl": ttl,
            "data": base64.b64encode(data).decode(),
        }
        entry = next(iter(lone.ask("store", body).body["swarm"].values()))
        assert entry.get("already", False) == (name in model)
        kept, until, _ = model.get(name, (timestamp, 0, b""))
        model[name] = (kept, max(until, expiry), data)
        assert entry["expiry"] == model[name][1]
    expected = [
        {"hash": name, "timestamp": at, "expiration": until, "data": base64.b64encode(data).decode()}
        for name, (at, until, data) in model.items()
    ]
    if reverse:
        expected.reverse()
    listed: list[dict[str, Any]] = []
    more = True
    while more:
        cursor = listed[-1]["hash"] if listed else ""
        page = lone.signed(
            "retrieve", timestamp=NOW, max_count=size, last_hash=cursor, reverse_direction=reverse
        )
        more = page["more"]
        assert len(page["messages"]) == size or not more
        listed += page["messages"]
    assert listed == expected
    lone.now = NOW + 40_000
    gone = lone.node.purge()
    left = [message for message in expected if message["expiration"] > lone.now]
    assert gone == len(expected) - len(left)
    lone.now = NOW
    assert lone.signed("retrieve", timestamp=NOW, reverse_direction=reverse)["messages"] == left


@settings(max_examples=120, deadline=None)
@given(
    ttls=st.lists(st.integers(10_000, 60_000), min_size=1, max_size=5),
    wanted=st.lists(st.integers(0, 100_000), min_size=5, max_size=5),
    mode=st.sampled_from(["", "shorten", "extend"]),
    single=st.booleans(),
)
def test_expiries_change_as_the_mode_says(
    lone: Lone, ttls: list[int], wanted: list[int], mode: str, single: bool
) -> None:
    lone.clear()
    names = []
    for index, ttl in enumerate(ttls):
        body = {"pubkey": ALICE.account_id, "timestamp": NOW, "ttl": ttl, "data": f"AAA{index}"}
        names.append(lone.ask("store", body).body["hash"])
    given_times = [NOW + each for each in wanted[: len(names)]]
    targets = [given_times[0]] * len(names) if single else given_times
    entry = next(
        iter(
            lone.signed(
                "expire",
                messages=names,
                expiry=given_times[0] if single else given_times,
                **({mode: True} if mode else {}),
            )["swarm"].values()
        )
    )
    kept = lone.signed("get_expiries", messages=names, timestamp=NOW)["expiries"]
    for name, ttl, target in zip(names, ttls, targets, strict=True):
        before = NOW + ttl
        gain = target - before
        changes = {"": True, "shorten": gain < 0, "extend": gain > 0 and gain * 100 >= ttl}[mode]
        assert (name in entry["updated"]) == changes
        assert kept[name] == (target if changes else before)
        if mode:
            assert (entry["unchanged"].get(name) == before) == (not changes)
    assert entry["updated"] == sorted(entry["updated"])
