"""Which swarm an account belongs to (network §6)."""

import json
from importlib.resources import files

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_protocol.errors import InvalidId
from session_protocol.swarms import UNASSIGNED, choose_swarm, swarm_position

VECTORS = {
    group["operation"]: group["cases"]
    for group in json.loads(files("session_conformance.vectors").joinpath("swarms.json").read_text("utf-8"))[
        "groups"
    ]
}
RING = 2**64
positions = st.integers(0, RING - 1)
swarm_ids = st.sets(st.integers(0, RING - 2), min_size=1, max_size=8)
near_swarm_ids = st.sets(st.integers(0, 20) | st.integers(RING - 20, RING - 2), min_size=1, max_size=8)


def cases(operation):
    return pytest.mark.parametrize("case", VECTORS[operation], ids=lambda case: case["id"])


@cases("swarm.position")
def test_positions(case):
    account = case["input"]["pubkey"]
    assert swarm_position(account) == int(case["output"]["position"])
    assert swarm_position(account.upper()) == swarm_position(bytes.fromhex(account))


@cases("swarm.choose")
def test_choices(case):
    expected = case["output"]["swarm_id"]
    chosen = choose_swarm(
        int(case["input"]["position"]), [int(swarm) for swarm in case["input"]["swarm_ids"]]
    )
    assert chosen == (None if expected is None else int(expected))


@given(positions | st.integers(0, 40), swarm_ids | near_swarm_ids, st.randoms(use_true_random=False))
@example(5, {0, 10}, None)
@example(RING - 10, {0, RING - 20}, None)
def test_the_nearest_swarm_is_chosen_and_the_lower_one_on_a_tie(position, ids, rng):
    def distance(swarm):
        return min((swarm - position) % RING, (position - swarm) % RING)

    nearest = min(map(distance, ids))
    best = [swarm for swarm in ids if distance(swarm) == nearest]
    left = [swarm for swarm in best if (position - swarm) % RING == nearest]
    order = list(ids)
    if rng is not None:
        rng.shuffle(order)
    assert choose_swarm(position, [*order, UNASSIGNED]) == (left or best)[0]


@given(st.binary(min_size=32, max_size=32), st.integers(0, 255), st.integers(0, 255))
def test_the_prefix_has_no_influence(key, first, second):
    position = swarm_position(bytes([first]) + key)
    assert position == swarm_position(bytes([second]) + key)
    assert 0 <= position < RING


@pytest.mark.parametrize("account", ["", "05" * 32, "05" * 34, "zz" * 33, b"", bytes(32), bytes(34)])
def test_other_accounts_are_refused(account):
    with pytest.raises(InvalidId):
        swarm_position(account)
