"""The distribution of nodes over swarms (network §7)."""

import json
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_protocol.errors import InvalidArgument
from session_protocol.swarm_assignment import (
    MAX_SWARM_ID,
    MIN_SWARM_SIZE,
    Mt19937_64,
    assign,
    new_swarm_id,
)

VECTORS = {
    group["operation"]: group["cases"]
    for group in json.loads(files("session_conformance.vectors").joinpath("swarms.json").read_text("utf-8"))[
        "groups"
    ]
}
seeds = st.integers(0, 2**64 - 1)
swarm_sizes = st.lists(st.integers(0, 20), min_size=1, max_size=12)


def cases(operation):
    return pytest.mark.parametrize("case", VECTORS[operation], ids=lambda case: case["id"])


def numbered(swarms):
    return {int(swarm): nodes for swarm, nodes in swarms.items()}


@cases("swarm.mt19937_64")
def test_the_generator(case):
    generator = Mt19937_64(int(case["input"]["seed"]))
    for _ in range(case["input"]["skip"]):
        generator.next()
    assert [str(generator.next()) for _ in case["output"]["numbers"]] == case["output"]["numbers"]


@cases("swarm.new_ids")
def test_new_ids(case):
    ids = []
    for _ in range(case["input"]["count"]):
        ids.append(new_swarm_id(ids))
    assert [str(swarm) for swarm in ids] == case["output"]["swarm_ids"]


@cases("swarm.assign")
def test_assignments(case):
    given = case["input"]
    result = assign(numbered(given["swarms"]), given["unassigned"], int(given["seed"]))
    assert result == numbered(case["output"]["swarms"])


def make_swarms(sizes):
    """Return swarms of these sizes under the ids that the network would give them, with numbered nodes."""
    swarms, count = {}, 0
    for size in sizes:
        swarms[new_swarm_id(list(swarms))] = list(range(count, count + size))
        count += size
    return swarms, count


@given(sizes=swarm_sizes, joining=st.integers(0, 30), seed=seeds)
def test_no_node_is_lost_and_no_swarm_is_too_small(sizes, joining, seed):
    swarms, count = make_swarms(sizes)
    before = {swarm: list(nodes) for swarm, nodes in swarms.items()}
    result = assign(swarms, range(count, count + joining), seed)
    assert swarms == before, "the caller's lists were changed"
    assert sorted(node for nodes in result.values() for node in nodes) == list(range(count + joining))
    assert list(result) == sorted(result)
    assert all(0 <= swarm <= MAX_SWARM_ID for swarm in result)
    if count + joining >= MIN_SWARM_SIZE:
        assert min(map(len, result.values())) >= MIN_SWARM_SIZE
    elif count + joining:
        assert len(result) == 1


@given(sizes=swarm_sizes, joining=st.integers(0, 12), seed=seeds)
def test_everybody_computes_the_same(sizes, joining, seed):
    swarms, count = make_swarms(sizes)
    new = list(range(count, count + joining))
    assert assign(swarms, new, seed) == assign(dict(reversed(swarms.items())), new, seed)


@given(count=st.integers(1, 120), seed=seeds)
def test_from_nothing_seven_nodes_make_a_swarm(count, seed):
    assert len(assign({}, range(count), seed)) == max(1, count // 7)


@given(sizes=st.lists(st.integers(5, 6), min_size=1, max_size=6), seed=seeds)
def test_a_balanced_network_stays_as_it_is(sizes, seed):
    swarms, _ = make_swarms(sizes)
    assert assign(swarms, [], seed) == swarms


MIDDLE, UPPER, LOWER = 2**63 - 1, 13835058055282163711, 4611686018427387903


@given(seed=seeds)
def test_nodes_are_stolen_from_the_largest_swarms_only(seed):
    swarms = {0: [*range(4)], LOWER: [*range(10, 16)], MIDDLE: [*range(20, 29)], UPPER: [*range(30, 39)]}
    result = assign(swarms, [], seed)
    assert len(result[0]) == MIN_SWARM_SIZE
    assert result[LOWER] == swarms[LOWER]
    assert result[0][4] in swarms[MIDDLE] + swarms[UPPER]


@given(seed=seeds)
def test_nothing_is_stolen_when_it_would_not_help(seed):
    """A swarm of three needs two nodes, and the other can spare one: it dissolves instead."""
    assert assign({0: [1, 2, 3], MIDDLE: [*range(10, 16)]}, [], seed) == {MIDDLE: [*range(10, 16), 1, 2, 3]}


@given(seed=seeds)
def test_nothing_is_stolen_when_most_swarms_are_empty(seed):
    swarms = {0: [], LOWER: [], MIDDLE: [], UPPER: [], UPPER + 1: [*range(10)]}
    assert assign(swarms, [], seed) == {UPPER + 1: [*range(10)]}


@given(seed=seeds)
def test_small_swarms_dissolve_from_the_lowest_id_into_the_smallest(seed):
    swarms = {0: [1, 2], LOWER: [3, 4], MIDDLE: [*range(10, 16)]}
    assert assign(swarms, [], seed) == {MIDDLE: [*range(10, 16), 3, 4, 1, 2]}


def test_nothing_comes_of_nothing():
    assert assign({}, [], 1) == {}


@given(count=st.integers(1, 2**40), seed=seeds)
def test_uniform_numbers_lie_in_their_range(count, seed):
    generator = Mt19937_64(seed)
    assert all(0 <= generator.uniform(count) < count for _ in range(5))


def test_uniform_numbers_reach_every_value():
    generator = Mt19937_64(1)
    assert {generator.uniform(7) for _ in range(200)} == set(range(7))
    with pytest.raises(InvalidArgument):
        generator.uniform(0)


@given(ids=st.sets(st.integers(0, MAX_SWARM_ID), max_size=10))
def test_a_new_id_is_new(ids):
    fresh = new_swarm_id(sorted(ids))
    assert 0 <= fresh <= MAX_SWARM_ID
    assert fresh not in ids
