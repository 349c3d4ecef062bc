"""Answers that lie or break off: what a client can find out about them, and what it cannot."""

import asyncio
import json
import random
from typing import Any

import orjson
import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st

import session_testnet
from session_protocol import bencode
from session_protocol.accounts import Account, account_bytes
from session_protocol.envelope import unwrap_envelope
from session_protocol.errors import BadFormat, BadSignature, DecryptFailed
from session_protocol.messages import decode_1o1
from session_protocol.sealing import open_sealed
from session_protocol.storage_auth import message_hash, sign_request
from session_testnet import Topology
from session_testnet.faults import FaultBook, RuleGate
from session_testnet.faults.lies import foreign, forged, time_of, truncated
from session_testnet.services.storage.fields import BtParams
from session_testnet.services.storage.results import RpcResult
from session_testnet.trace import Trace

ALICE = Account.from_seed(bytes(range(16)))
NOW_MS = 1_750_000_000_000
BODIES = st.dictionaries(
    st.text(max_size=5), st.text(max_size=9) | st.integers(-(2**40), 2**40) | st.lists(st.booleans())
)


def sealed_in(message: dict[str, Any]) -> bytes:
    """Return the ciphertext inside a message."""
    return unwrap_envelope(pybase64.b64decode(message["data"])).content


class TestTruncated:
    @given(BODIES, st.integers())
    def test_json_never_parses_again(self, body: dict[str, Any], seed: int) -> None:
        whole = RpcResult(200, body)
        cut = truncated(whole, random.Random(seed))
        assert cut.status == 200
        assert orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode().startswith(cut.body)
        assert cut.body
        with pytest.raises(json.JSONDecodeError):
            json.loads(cut.body)

    @given(st.integers())
    def test_bt_never_parses_again(self, seed: int) -> None:
        body = {"messages": [{"hash": "h", "data": pybase64.b64encode(b"\xff\x00").decode()}], "more": False}
        cut = truncated(RpcResult(200, body), random.Random(seed), bt=True)
        with pytest.raises(BadFormat):
            bencode.decode(cut.body)

    @given(st.text(min_size=2) | st.binary(min_size=2), st.integers())
    def test_texts_and_bytes_lose_their_end(self, body: str | bytes, seed: int) -> None:
        cut = truncated(RpcResult(503, body), random.Random(seed))
        assert 0 < len(cut.body) < len(body)
        assert body[: len(cut.body)] == cut.body

    @pytest.mark.parametrize("body", ["", "x", b"", b"x"])
    def test_nothing_is_left_to_cut(self, body: str | bytes) -> None:
        result = RpcResult(404, body)
        assert truncated(result, random.Random(1)) is result


class TestForged:
    def test_it_opens_and_its_signature_is_wrong(self) -> None:
        account = account_bytes(ALICE.account_id)
        (message,) = forged([], random.Random(3), account, namespace=0, now_ms=NOW_MS)
        data = pybase64.b64decode(message["data"])
        assert message["hash"] == message_hash(account, 0, data)
        assert message["expiration"] > message["timestamp"] == NOW_MS
        with pytest.raises(BadSignature):
            open_sealed(ALICE, sealed_in(message))

    @pytest.mark.parametrize("account", ["03" + "ab" * 32, "05" + "00" * 32])
    def test_it_is_noise_for_accounts_that_nothing_is_sealed_for(self, account: str) -> None:
        (message,) = forged([], random.Random(3), account_bytes(account), namespace=11, now_ms=NOW_MS)
        assert len(pybase64.b64decode(message["data"])) > 100

    @given(st.lists(st.integers(), max_size=5), st.integers())
    def test_the_others_stay_as_they_are(self, messages: list[int], seed: int) -> None:
        account = account_bytes(ALICE.account_id)
        for lie in (
            lambda rng: forged(messages, rng, account, namespace=0, now_ms=NOW_MS),
            lambda rng: foreign(messages, rng, namespace=0, now_ms=NOW_MS),
        ):
            told = lie(random.Random(seed))
            assert told == lie(random.Random(seed))
            assert [each for each in told if not isinstance(each, dict)] == messages
            assert len(told) == len(messages) + 1


def test_a_foreign_message_is_sound_and_does_not_open() -> None:
    (message,) = foreign([], random.Random(5), namespace=0, now_ms=NOW_MS)
    with pytest.raises(DecryptFailed):
        open_sealed(ALICE, sealed_in(message))
    # Its owner is the second account that the same chance draws.
    rng = random.Random(5)
    _, owner = (Account.from_seed(rng.randbytes(32)) for _ in range(2))
    assert decode_1o1(owner, pybase64.b64decode(message["data"])).timestamp_ms == NOW_MS
    data = pybase64.b64decode(message["data"])
    assert message["hash"] == message_hash(account_bytes(owner.account_id), 0, data)


@pytest.mark.parametrize(
    ("body", "time_ms"),
    [
        ({"messages": [{"timestamp": 5}], "t": 7}, 7),
        ({"messages": [{"timestamp": 5}, {"timestamp": 6}, "?"]}, 6),
        ({"messages": []}, 0),
    ],
)
def test_a_lie_is_as_old_as_the_answer(body: dict[str, Any], time_ms: int) -> None:
    assert time_of(body) == time_ms


class TestGate:
    def answer(self, rule: dict[str, Any], result: RpcResult, **params: Any) -> RpcResult:
        book = FaultBook("seed")
        book.add(rule)
        gate = RuleGate(book, Trace(), lambda _node, _account: {})
        return asyncio.run(gate.after("node-01", "retrieve", params, result))

    @pytest.mark.parametrize("action", ["forge", "foreign"])
    def test_lies_also_fill_an_empty_mailbox(self, action: str) -> None:
        empty = RpcResult(200, {"messages": [], "more": False, "t": NOW_MS})
        told = self.answer({"action": action}, empty, pubkey=ALICE.account_id, namespace=0)
        assert [message["timestamp"] for message in told.body["messages"]] == [NOW_MS]
        assert empty.body["messages"] == []

    def test_no_lie_without_an_account(self) -> None:
        empty = RpcResult(200, {"messages": []})
        assert self.answer({"action": "forge"}, empty, pubkey="?") is empty

    def test_any_answer_can_break_off(self) -> None:
        assert self.answer({"action": "truncate"}, RpcResult(200, {"hash": "h"})).body in '{"hash":"h"}'
        cut = self.answer({"action": "truncate"}, RpcResult(401, "store signature verification failed"))
        assert "store signature verification failed".startswith(cut.body)

    def test_an_answer_in_bt_breaks_off_in_bt(self) -> None:
        book = FaultBook("seed")
        book.add({"action": "truncate"})
        gate = RuleGate(book, Trace(), lambda _node, _account: {})
        cut = asyncio.run(gate.after("node-01", "info", BtParams(), RpcResult(200, {"t": 1})))
        assert b"d1:ti1ee".startswith(cut.body)


def test_a_client_is_lied_to_over_the_network() -> None:
    with session_testnet.open_local(Topology.default(3, name="lies", seed="lies")) as network:
        network.faults.add({"action": "forge", "methods": ["retrieve"], "times": 1})
        network.faults.add({"action": "truncate", "methods": ["info"], "times": 1})
        now_ms = network.clock.now_ms()
        params = sign_request(ALICE, "retrieve", {"namespace": 0, "timestamp": now_ms})
        node = network.swarm(ALICE.account_id)[0].name
        body = network.storage_rpc(node, "retrieve", params)["body"]
        (message,) = body["messages"]
        with pytest.raises(BadSignature):
            open_sealed(ALICE, sealed_in(message))
        cut = network.storage_rpc(node, "info", {})["body"]
        with pytest.raises(json.JSONDecodeError):
            json.loads(cut)
