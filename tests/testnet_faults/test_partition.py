"""Partitions: how they are read, and who reaches whom."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_testnet.faults.keys import FaultError
from session_testnet.faults.partition import CLIENTS, Partition

NAMES = ["node-01", "node-02", "node-03", "node-04", "registry", CLIENTS]
GROUPS = st.lists(
    st.sets(st.sampled_from(NAMES), min_size=1, max_size=3).map(sorted), min_size=2, max_size=4
).filter(lambda groups: len({name for group in groups for name in group}) == sum(map(len, groups)))


def test_groups_do_not_reach_each_other() -> None:
    partition = Partition.parse({"groups": [["node-01", "node-02"], ["node-03", "clients"], ["node-04"]]})
    assert partition.allows("node-01", "node-02")
    assert partition.allows("node-03", "clients")
    assert not partition.allows("node-01", "node-03")
    assert not partition.allows("clients", "node-02")
    assert not partition.allows("node-04", "clients")


def test_who_is_in_no_group_reaches_everybody() -> None:
    partition = Partition.parse({"groups": [["node-01"], ["node-02"]]})
    for name in ("node-01", "node-02", "node-05", "clients"):
        assert partition.allows("node-05", name)
        assert partition.allows(name, "clients")


@given(GROUPS, st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_reaching_is_mutual_and_oneself_is_always_reached(groups: Any, one: str, other: str) -> None:
    partition = Partition.parse({"groups": groups})
    assert partition.allows(one, other) == partition.allows(other, one)
    assert partition.allows(one, one)
    together = any(one in group and other in group for group in groups)
    free = not {one, other} <= partition.names
    assert partition.allows(one, other) == (one == other or together or free)


@given(GROUPS, st.sampled_from(["", "split"]))
def test_a_partition_survives_a_round_trip(groups: Any, name: str) -> None:
    data = {"id": name, "action": "partition", "groups": groups}
    partition = Partition.parse({**data, "id": name or None})
    assert partition.as_dict() == data
    assert Partition.parse(json.loads(json.dumps({**partition.as_dict(), "id": name or None}))) == partition


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "has no groups"),
        ({"groups": None}, "has no groups"),
        ({"groups": "node-01"}, "lists of names"),
        ({"groups": ["node-01", "node-02"]}, "lists of names"),
        ({"groups": [["node-01"], [7]]}, "lists of names"),
        ({"groups": [["node-01"]]}, "two groups or more"),
        ({"groups": [["node-01"], []]}, "none of them empty"),
        ({"groups": [["node-01"], ["node-02", "node-01"]]}, "stands in two groups"),
        ({"group": [["node-01"], ["node-02"]]}, "did you mean 'groups'?"),
        ({"action": "status", "groups": [["node-01"], ["node-02"]]}, "allowed: partition"),
        ({"id": "", "groups": [["node-01"], ["node-02"]]}, "1 to 100 characters"),
    ],
)
def test_errors_say_what_it_takes(data: dict[str, Any], message: str) -> None:
    with pytest.raises(FaultError) as caught:
        Partition.parse(data)
    assert message in str(caught.value)
    assert caught.value.hint


def test_names_are_checked_against_those_that_exist() -> None:
    partition = Partition.parse({"groups": [["node-01", "clients"], ["node-2"]]})
    partition.check_names(["node-01", "node-2"])
    with pytest.raises(FaultError, match="did you mean 'node-02'"):
        partition.check_names(["node-01", "node-02"])
