"""Fault rules: how they are read, when they strike, and what a node answers then."""

import asyncio
import copy
import json
from collections.abc import Mapping
from typing import Any

import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_testnet.faults import ACTIONS, FaultBook, FaultError, FaultRule, RuleGate
from session_testnet.faults.rules import PATHS, STATUSES
from session_testnet.services.storage.fault_gate import FaultGate
from session_testnet.services.storage.results import NoAnswer, RpcResult
from session_testnet.trace import Trace

ACCOUNT = "05" + "ab" * 32
SWARM = {"snodes": [{"ip": "127.0.1.1"}], "swarm": "0", "t": 1, "hf": [21, 2]}


class Rig:
    """A gate whose waiting is noted instead of done."""

    def __init__(self, seed: str = "0") -> None:
        self.book = FaultBook(seed)
        self.trace = Trace()
        self.waits: list[float] = []
        self.skews: list[tuple[str, int]] = []
        self.asked: list[tuple[str, str]] = []
        self.gate = RuleGate(
            self.book,
            self.trace,
            self.swarm_answer,
            lambda node, ms: self.skews.append((node, ms)),
            sleep=self.sleep,
            hang_limit_s=77,
        )

    def swarm_answer(self, node: str, account: str) -> Mapping[str, Any]:
        self.asked.append((node, account))
        return SWARM

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def before(self, method: str = "retrieve", node: str = "node-01", **params: Any) -> RpcResult | None:
        return asyncio.run(self.gate.before(node, method, {"pubkey": ACCOUNT, **params}))

    def after(self, method: str, result: RpcResult, node: str = "node-01", **params: Any) -> RpcResult:
        return asyncio.run(self.gate.after(node, method, {"pubkey": ACCOUNT, **params}, result))

    def connection(self, path: str, node: str = "node-01") -> bool:
        return asyncio.run(self.gate.connection(node, path))

    def events(self) -> list[dict[str, Any]]:
        return self.trace.events(kind="fault")


def page(count: int = 5) -> RpcResult:
    """Return what a retrieve answers with ``count`` messages."""
    messages = [{"hash": f"h{n}", "data": pybase64.b64encode(bytes([n]) * 40).decode()} for n in range(count)]
    return RpcResult(200, {"messages": messages, "more": False, "t": 1})


class TestParsing:
    def test_a_full_rule_survives_a_round_trip(self) -> None:
        data = {
            "id": "slow",
            "node": "node-03",
            "action": "status",
            "methods": ["store"],
            "status": 503,
            "times": 2,
            "probability": 0.5,
            "seed": 9,
        }
        rule = FaultRule.parse(data)
        assert rule.as_dict() == data
        assert FaultRule.parse(json.loads(json.dumps(rule.as_dict()))) == rule

    @pytest.mark.parametrize(
        "data", [{"action": "delay", "delay_ms": 0}, {"action": "clock_skew", "offset_ms": 0}]
    )
    def test_what_an_action_needs_survives_at_its_default(self, data: dict[str, Any]) -> None:
        rule = FaultRule.parse({"id": "one", **data})
        assert FaultRule.parse(rule.as_dict()) == rule

    def test_nulls_count_as_missing(self) -> None:
        assert FaultRule.parse({"action": "hang", "status": None, "node": None}) == FaultRule("hang")

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({}, "has no action"),
            ({"action": None}, "has no action"),
            ({"action": "explode"}, "action cannot be 'explode'"),
            ({"action": "dellay", "delay_ms": 1}, "did you mean 'delay'?"),
            ({"action": "delay", "delay": 1}, "did you mean 'delay_ms'?"),
            ({"action": "delay", "colour": 1}, "allowed: id, node, action"),
            ({"action": "delay"}, "needs 'delay_ms'"),
            ({"action": "status"}, "needs 'status'"),
            ({"action": "clock_skew"}, "needs 'offset_ms'"),
            ({"action": "status", "status": 200}, "takes one of: 400, 401"),
            ({"action": "status", "status": "503"}, "takes one of"),
            ({"action": "hang", "status": 503}, "takes no 'status'"),
            ({"action": "clock_skew", "offset_ms": 1, "methods": ["store"]}, "takes no 'methods'"),
            ({"action": "hang", "pin": 1}, "takes true or false"),
            ({"action": "hang", "pin": True, "node": "node-01"}, "takes no 'node'"),
            ({"action": "hang", "account": "05ab"}, "66 hex digits"),
            ({"action": "duplicate", "account": ACCOUNT}, "takes no 'account'"),
            ({"action": "drop", "account": ACCOUNT}, "name 'methods'"),
            ({"action": "hang", "account": ACCOUNT, "paths": ["/onion_req/v2"]}, "cannot stand beside"),
            ({"action": "corrupt", "methods": ["store"]}, "only the method 'retrieve'"),
            ({"action": "corrupt", "paths": ["/onion_req/v2"]}, "takes no 'paths'"),
            ({"action": "drop", "paths": ["/x"]}, "/onion_req/v2"),
            (
                {"action": "hang", "methods": ["store"], "paths": ["/onion_req/v2"]},
                "either 'methods' or 'paths'",
            ),
            ({"action": "hang", "methods": "store"}, "a list of RPC methods"),
            ({"action": "hang", "times": 0}, "a count from 1"),
            ({"action": "hang", "times": True}, "a count from 1"),
            ({"action": "delay", "delay_ms": -1}, "milliseconds from 0"),
            ({"action": "hang", "probability": 1.5}, "from 0 to 1"),
            ({"action": "hang", "node": ""}, "1 to 100 characters"),
        ],
    )
    def test_errors_name_the_key_and_what_it_takes(self, data: dict[str, Any], message: str) -> None:
        with pytest.raises(FaultError) as caught:
            FaultRule.parse(data)
        assert message in str(caught.value)
        assert caught.value.hint

    @given(
        st.dictionaries(
            st.sampled_from(
                ["action", "id", "node", "methods", "paths", "status", "times", "delay_ms", "seed", "x"]
            ),
            st.sampled_from([*ACTIONS, *STATUSES, *PATHS])
            | st.none()
            | st.booleans()
            | st.integers(-3, 3)
            | st.floats()
            | st.lists(st.sampled_from(["store", "retrieve", *PATHS]), max_size=2),
        )
    )
    def test_anything_is_a_rule_or_a_clear_error(self, data: dict[str, Any]) -> None:
        try:
            rule = FaultRule.parse(data)
        except FaultError:
            return
        assert FaultRule.parse({**rule.as_dict(), "id": rule.id or None}) == rule


class TestBook:
    def test_rules_get_ids_and_are_listed_with_their_use(self) -> None:
        rig = Rig()
        assert rig.book.add({"action": "status", "status": 500, "times": 1}) == "fault-1"
        assert rig.book.add({"action": "hang", "id": "mine", "node": "node-02"}) == "mine"
        rig.before()
        assert rig.book.list() == [
            {"id": "fault-1", "node": "*", "action": "status", "status": 500, "times": 1, "used": 1},
            {"id": "mine", "node": "node-02", "action": "hang", "used": 0},
        ]

    def test_ids_are_unique(self) -> None:
        book = FaultBook()
        book.add({"action": "hang", "id": "a"})
        with pytest.raises(FaultError, match="already"):
            book.add({"action": "drop", "id": "a"})

    def test_clearing_one_or_all(self) -> None:
        book = FaultBook()
        first, _ = book.add({"action": "hang"}), book.add({"action": "drop"})
        book.clear(first)
        assert [rule["id"] for rule in book.list()] == ["fault-2"]
        with pytest.raises(FaultError, match="rules: fault-2"):
            book.clear(first)
        book.clear()
        assert book.list() == []
        # Ids are not given twice: a log that names one stays clear.
        assert book.add({"action": "hang"}) == "fault-3"

    def test_a_rule_strikes_its_node_and_methods_only(self) -> None:
        rig = Rig()
        rig.book.add({"action": "status", "status": 500, "node": "node-02", "methods": ["store"]})
        assert rig.before("store", "node-01") is None
        assert rig.before("retrieve", "node-02") is None
        assert rig.before("store", "node-02") == RpcResult(500, "request failed")

    def test_a_pinned_rule_strikes_the_first_node_and_no_other(self) -> None:
        book = FaultBook()
        rule = book.add({"action": "hang", "pin": True, "times": 3})
        struck = [
            node
            for node in ("node-02", "node-01", "node-02", "node-03", "node-02", "node-02")
            if book.use(rule, node)
        ]
        assert struck == ["node-02"] * 3
        assert book.list()[0]["pinned_to"] == "node-02"

    def test_times_limits_the_strikes(self) -> None:
        rig = Rig()
        rig.book.add({"action": "status", "status": 503, "times": 2})
        assert [rig.before() is not None for _ in range(4)] == [True, True, False, False]

    def test_probability_is_repeatable_and_about_right(self) -> None:
        def run(seed: str) -> list[bool]:
            rig = Rig(seed)
            rig.book.add({"action": "status", "status": 500, "probability": 0.3})
            return [rig.before() is not None for _ in range(300)]

        assert run("a") == run("a") != run("b")
        assert 50 < sum(run("a")) < 130

    @pytest.mark.parametrize(("probability", "struck"), [(0, 0), (1, 20)])
    def test_certain_chances(self, probability: float, struck: int) -> None:
        rig = Rig()
        rig.book.add({"action": "status", "status": 500, "probability": probability})
        assert sum(rig.before() is not None for _ in range(20)) == struck


class TestBefore:
    def test_without_rules_everything_passes(self) -> None:
        rig = Rig()
        gate: FaultGate = rig.gate
        assert asyncio.run(gate.before("node-01", "store", {})) is None
        assert asyncio.run(gate.connection("node-01", "/onion_req/v2"))
        result = page()
        assert asyncio.run(gate.after("node-01", "retrieve", {}, result)) is result
        assert rig.trace.events() == []

    @pytest.mark.parametrize("status", [status for status in STATUSES if status != 421])
    def test_a_status_comes_with_a_text(self, status: int) -> None:
        rig = Rig()
        rig.book.add({"action": "status", "status": status})
        result = rig.before()
        assert result is not None
        assert result.status == status
        assert isinstance(result.body, str)
        assert result.body

    @pytest.mark.parametrize(
        ("method", "text"),
        [
            ("store", "store signature verification failed"),
            ("delete", "delete_msgs signature verification failed"),
            ("expire", "expire: signature verification failed"),
        ],
    )
    def test_a_refused_signature_has_the_methods_own_text(self, method: str, text: str) -> None:
        rig = Rig()
        rig.book.add({"action": "status", "status": 401})
        assert rig.before(method) == RpcResult(401, text)

    @pytest.mark.parametrize(
        ("method", "text"),
        [
            ("store", "Timestamp error: check your clock"),
            ("retrieve", "retrieve timestamp too far from current time"),
            ("expire_all", "expire_all timestamp should be >= current time"),
        ],
    )
    def test_a_wrong_clock_has_the_methods_own_text(self, method: str, text: str) -> None:
        rig = Rig()
        rig.book.add({"action": "status", "status": 406})
        assert rig.before(method) == RpcResult(406, text)

    @pytest.mark.parametrize("rule", [{"action": "status", "status": 421}, {"action": "wrong_swarm"}])
    def test_a_misdirected_request_is_told_the_real_swarm(self, rule: dict[str, Any]) -> None:
        rig = Rig()
        rig.book.add(rule)
        assert rig.before("store") == RpcResult(421, SWARM)
        assert asyncio.run(rig.gate.before("node-02", "store", {"pubKey": ACCOUNT})) == RpcResult(421, SWARM)
        assert rig.asked == [("node-01", ACCOUNT), ("node-02", ACCOUNT)]

    @pytest.mark.parametrize("params", [{}, {"pubkey": 5}, {"pubkey": "05ab"}, {"pubkey": None}])
    def test_no_421_without_an_account(self, params: dict[str, Any]) -> None:
        rig = Rig()
        rig.book.add({"action": "wrong_swarm", "times": 1})
        assert asyncio.run(rig.gate.before("node-01", "info", params)) is None
        assert rig.book.list()[0]["used"] == 0

    def test_a_wrong_swarm_still_tells_where_the_right_one_is(self) -> None:
        rig = Rig()
        rig.book.add({"action": "wrong_swarm"})
        assert rig.before("get_swarm") is None
        assert rig.before("store") is not None

    def test_a_delay_waits_and_lets_pass(self) -> None:
        rig = Rig()
        rig.book.add({"action": "delay", "delay_ms": 250})
        rig.book.add({"action": "status", "status": 500})
        assert rig.before() == RpcResult(500, "request failed")
        assert rig.waits == [0.25]

    def test_a_hang_ends_when_the_client_leaves(self) -> None:
        async def leave() -> None:
            book = FaultBook()
            book.add({"action": "hang"})
            gate = RuleGate(book, Trace(), lambda node, account: SWARM)
            asked = asyncio.ensure_future(gate.before("node-01", "store", {}))
            done, _ = await asyncio.wait({asked}, timeout=0.05)
            assert not done
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked

        asyncio.run(leave())

    def test_a_hang_has_a_limit(self) -> None:
        rig = Rig()
        rig.book.add({"action": "hang"})
        assert rig.before() == RpcResult(504, "Request time out")
        assert rig.waits == [77]

    def test_closing_the_gate_ends_hanging(self) -> None:
        async def close() -> None:
            book = FaultBook()
            book.add({"action": "hang", "methods": ["store"]})
            book.add({"action": "hang", "paths": ["/onion_req/v2"]})
            gate = RuleGate(book, Trace(), lambda node, account: SWARM)
            waiting = asyncio.gather(
                gate.before("node-01", "store", {}), gate.connection("node-01", "/onion_req/v2")
            )
            done, _ = await asyncio.wait({waiting}, timeout=0.05)
            assert not done
            gate.close()
            async with asyncio.timeout(5):
                assert await waiting == [RpcResult(504, "Request time out"), False]

        asyncio.run(close())

    def test_each_strike_is_traced(self) -> None:
        rig = Rig()
        rule_id = rig.book.add({"action": "status", "status": 503})
        rig.before("store", "node-04")
        (event,) = rig.events()
        del event["t_ms"]
        assert event == {
            "seq": 1,
            "kind": "fault",
            "node": "node-04",
            "rule": rule_id,
            "action": "status",
            "use": 1,
            "method": "store",
            "status": 503,
        }

    def test_a_clock_is_skewed_while_its_rule_lasts(self) -> None:
        rig = Rig()
        rule_id = rig.book.add({"action": "clock_skew", "node": "node-01", "offset_ms": 120_000})
        for node in ("node-01", "node-02", "node-01"):
            rig.before("info", node)
        assert rig.skews == [("node-01", 120_000)]
        rig.book.clear(rule_id)
        rig.before("info", "node-01")
        rig.before("info", "node-01")
        assert rig.skews == [("node-01", 120_000), ("node-01", 0)]


class TestConnection:
    def test_a_rule_for_an_account_leaves_the_others_alone(self) -> None:
        rig = Rig()
        rig.book.add({"action": "status", "status": 503, "account": ACCOUNT.upper()})
        assert rig.before(pubkey="05" + "cd" * 32) is None
        assert asyncio.run(rig.gate.before("node-01", "info", {})) is None
        answer = rig.before()
        assert answer is not None
        assert answer.status == 503

    def test_drop_for_methods_leaves_connections_and_other_methods_alone(self) -> None:
        rig = Rig()
        rig.book.add({"action": "drop", "methods": ["store"]})
        assert rig.connection("/storage_rpc/v1")
        assert rig.before("retrieve") is None
        with pytest.raises(NoAnswer):
            rig.before("store")
        assert [event["method"] for event in rig.events()] == ["store"]

    def test_drop_for_connections_does_not_strike_twice(self) -> None:
        rig = Rig()
        rig.book.add({"action": "drop"})
        assert not rig.connection("/storage_rpc/v1")
        assert rig.before("store") is None

    def test_drop_closes_every_path(self) -> None:
        rig = Rig()
        rig.book.add({"action": "drop", "node": "node-01", "times": 2})
        assert [rig.connection("/onion_req/v2"), rig.connection("/storage_rpc/v1"), rig.connection("/x")] == [
            *(False, False, True)
        ]
        assert rig.connection("/onion_req/v2", "node-02")

    def test_paths_limit_a_rule_to_connections(self) -> None:
        rig = Rig()
        rig.book.add({"action": "drop", "paths": ["/onion_req/v2"]})
        assert rig.connection("/storage_rpc/v1")
        assert not rig.connection("/onion_req/v2")
        assert rig.before("store") is None

    def test_delay_and_hang_at_a_path(self) -> None:
        rig = Rig()
        rig.book.add({"action": "delay", "delay_ms": 100, "paths": ["/onion_req/v2"]})
        assert rig.connection("/onion_req/v2")
        rig.book.add({"action": "hang", "paths": ["/onion_req/v2"]})
        assert not rig.connection("/onion_req/v2")
        assert rig.waits == [0.1, 0.1, 77]

    def test_rules_for_methods_leave_connections_alone(self) -> None:
        rig = Rig()
        rig.book.add({"action": "hang", "methods": ["store"]})
        rig.book.add({"action": "delay", "delay_ms": 100})
        assert rig.connection("/storage_rpc/v1")
        assert rig.waits == []


class TestAfter:
    def strike(self, action: str, result: RpcResult, seed: str = "0") -> RpcResult:
        rig = Rig(seed)
        rig.book.add({"action": action})
        before = copy.deepcopy(result)
        changed = rig.after("retrieve", result)
        assert result == before, "the node's own result must stay as it is"
        return changed

    def test_duplicate_returns_each_message_twice(self) -> None:
        assert [each["hash"] for each in self.strike("duplicate", page(2)).body["messages"]] == [
            "h0",
            "h0",
            "h1",
            "h1",
        ]

    @given(st.integers(2, 6), st.integers(0, 50))
    def test_reorder_keeps_the_messages_and_changes_their_order(self, count: int, seed: int) -> None:
        original = page(count)
        changed = self.strike("reorder", original, str(seed)).body
        assert changed["messages"] != original.body["messages"]
        assert sorted(changed["messages"], key=lambda each: str(each["hash"])) == original.body["messages"]
        assert changed["t"] == 1

    @given(st.integers(1, 4), st.integers(0, 50))
    def test_corrupt_flips_exactly_one_bit_of_each_message(self, count: int, seed: int) -> None:
        original = page(count)
        for old, new in zip(
            original.body["messages"],
            self.strike("corrupt", original, str(seed)).body["messages"],
            strict=True,
        ):
            first, second = pybase64.b64decode(old["data"]), pybase64.b64decode(new["data"], validate=True)
            assert len(first) == len(second)
            assert (int.from_bytes(first) ^ int.from_bytes(second)).bit_count() == 1
            assert old["hash"] == new["hash"]

    def test_corrupt_takes_bytes_too(self) -> None:
        result = RpcResult(200, {"messages": [{"hash": "h", "data": b"\x00\x00"}]})
        changed = self.strike("corrupt", result).body["messages"][0]["data"]
        assert isinstance(changed, bytes)
        assert int.from_bytes(changed).bit_count() == 1

    def test_the_same_seed_gives_the_same_damage(self) -> None:
        assert self.strike("corrupt", page(), "7") == self.strike("corrupt", page(), "7")
        assert self.strike("corrupt", page(), "7") != self.strike("corrupt", page(), "8")

    @pytest.mark.parametrize(
        "result",
        [
            RpcResult(401, "text"),
            RpcResult(200, {"hash": "h"}),
            RpcResult(200, {"messages": []}),
            RpcResult(200, b"x"),
        ],
    )
    def test_answers_without_messages_do_not_use_up_a_rule(self, result: RpcResult) -> None:
        rig = Rig()
        rig.book.add({"action": "corrupt", "times": 1})
        assert rig.after("retrieve", result) is result
        assert rig.book.list()[0]["used"] == 0
        assert rig.after("retrieve", page()) != page()
