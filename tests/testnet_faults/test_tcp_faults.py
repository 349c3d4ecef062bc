"""Faults of connections as data: how they are read, and which connections meet them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_testnet.faults.keys import FaultError
from session_testnet.faults.rules import ACTIONS
from session_testnet.faults.tcp_faults import DIRECTIONS, TCP_ACTIONS, StrikeCounts, TcpFault

SMALLEST: dict[str, dict[str, Any]] = {
    "latency": {"delay_ms": 20},
    "bandwidth": {"bytes_per_second": 1000},
    "slow_close": {"delay_ms": 20},
    "cut_after": {"after_bytes": 10},
}


class TestParsing:
    @pytest.mark.parametrize("action", TCP_ACTIONS)
    def test_each_action_can_be_said_with_what_it_needs(self, action: str) -> None:
        fault = TcpFault.parse({"action": action, **SMALLEST.get(action, {})})
        assert fault.fits("node-01")
        assert fault.goes("up")
        assert fault.goes("down")

    def test_a_full_fault_survives_a_round_trip(self) -> None:
        data = {
            "id": "slow",
            "node": "node-03",
            "action": "latency",
            "direction": "down",
            "delay_ms": 20,
            "jitter_ms": 5,
            "times": 3,
            "probability": 0.25,
            "seed": 7,
        }
        fault = TcpFault.parse(data)
        assert fault.as_dict() == data
        assert TcpFault.parse(json.loads(json.dumps(fault.as_dict()))) == fault
        assert not fault.fits("node-01")
        assert not fault.goes("up")

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({}, "has no action"),
            ({"action": None}, "has no action"),
            ({"action": "latancy"}, "did you mean 'latency'?"),
            ({"action": "latency"}, "needs 'delay_ms'"),
            ({"action": "latency", "delay": 1}, "did you mean 'delay_ms'?"),
            ({"action": "latency", "delay_ms": 1.5}, "milliseconds from 0"),
            ({"action": "latency", "delay_ms": True}, "milliseconds from 0"),
            ({"action": "latency", "delay_ms": 1, "after_bytes": 5}, "takes no 'after_bytes'"),
            ({"action": "bandwidth"}, "needs 'bytes_per_second'"),
            ({"action": "bandwidth", "bytes_per_second": 0}, "bytes a second from 1"),
            ({"action": "cut_after"}, "needs 'after_bytes'"),
            ({"action": "slow_close"}, "needs 'delay_ms'"),
            ({"action": "refuse", "direction": "up"}, "takes no 'direction'"),
            ({"action": "reset", "direction": "sideways"}, "allowed: up, down, both"),
            ({"action": "reset", "direction": "up"}, "only beside 'within_bytes'"),
            ({"action": "reset", "times": 0}, "a count from 1"),
            ({"action": "reset", "probability": 2}, "from 0 to 1"),
            ({"action": "reset", "node": ""}, "1 to 100 characters"),
        ],
    )
    def test_errors_name_the_key_and_what_it_takes(self, data: dict[str, Any], message: str) -> None:
        with pytest.raises(FaultError) as caught:
            TcpFault.parse(data)
        assert message in str(caught.value)
        assert caught.value.hint

    @given(
        st.dictionaries(
            st.sampled_from([*TcpFault.__slots__, "x"]),
            st.sampled_from([*TCP_ACTIONS, *DIRECTIONS])
            | st.none()
            | st.booleans()
            | st.integers(-3, 3)
            | st.floats()
            | st.lists(st.integers(), max_size=2),
        )
    )
    def test_anything_is_a_fault_or_a_clear_error(self, data: dict[str, Any]) -> None:
        try:
            fault = TcpFault.parse(data)
        except FaultError:
            return
        assert TcpFault.parse({**fault.as_dict(), "id": fault.id or None}) == fault

    def test_no_action_is_a_rule_of_requests_too(self) -> None:
        # The action alone says of which kind a fault is.
        assert not set(TCP_ACTIONS) & set(ACTIONS)


class TestChance:
    def test_the_same_connection_meets_the_same_whatever_came_before(self) -> None:
        fault = TcpFault("reset", id="r", within_bytes=1000, probability=0.5)

        def met(seed: str, numbers: range) -> dict[int, int | None]:
            strikes = {number: fault.meet(seed, number) for number in numbers}
            return {number: strike.ends_after for number, strike in strikes.items() if strike}

        whole = met("a", range(1, 200))
        later = met("a", range(150, 200))
        assert later == {number: place for number, place in whole.items() if number >= 150}
        assert whole != met("b", range(1, 200))
        assert 60 < len(whole) < 140
        assert all(place is not None and 1 <= place <= 1000 for place in whole.values())

    @given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 10**6))
    def test_delays_lie_within_the_jitter(self, delay_ms: int, jitter_ms: int, number: int) -> None:
        strike = TcpFault("latency", delay_ms=delay_ms, jitter_ms=jitter_ms).meet("s", number)
        assert strike is not None
        draws = [strike.delay_s() for _ in range(10)]
        assert all(delay_ms / 1000 <= each <= (delay_ms + jitter_ms) / 1000 for each in draws)

    @pytest.mark.parametrize(("probability", "met"), [(0, False), (1, True)])
    def test_certain_chances(self, probability: float, met: bool) -> None:
        fault = TcpFault("refuse", probability=probability)
        assert all((fault.meet("s", number) is not None) == met for number in range(1, 50))

    def test_times_are_shared_by_whoever_shares_the_counts(self) -> None:
        counts, fault = StrikeCounts(), TcpFault("reset", id="r", times=2)
        assert [counts.claim(fault) for _ in range(4)] == [True, True, False, False]
        assert counts.used("r") == 2
        counts.forget("r")
        assert counts.claim(fault)

    def test_only_a_certain_refusal_closes_the_port(self) -> None:
        assert TcpFault("refuse").closes_the_port
        assert not TcpFault("refuse", times=1).closes_the_port
        assert not TcpFault("refuse", probability=0.9).closes_the_port
        assert not TcpFault("reset").closes_the_port
