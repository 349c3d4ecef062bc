"""Joining what nodes saw into paths, from any interleaving of what they tell."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from session_testnet.onion_paths import join_paths

NAMES = {f"key-{letter}": letter for letter in "abcdef"}
KEYS = {name: key for key, name in NAMES.items()}


def events_of(number: int, hops: list[str], sizes: list[int]) -> list[dict[str, Any]]:
    """Return what the nodes of one path tell, each in its own order."""
    told: list[dict[str, Any]] = []
    for place, (node, size) in enumerate(zip(hops, sizes, strict=True)):
        origin = {"address": f"10.0.0.{number}"} if place == 0 else {"sender": KEYS[hops[place - 1]]}
        told.append({"kind": "onion_in", "node": node, "bytes": size, **origin})
        if place + 1 < len(hops):
            told.append(
                {
                    "kind": "onion_relay",
                    "node": node,
                    "next": KEYS[hops[place + 1]],
                    "bytes": sizes[place + 1],
                }
            )
        else:
            told.append({"kind": "onion_final", "node": node, "bytes": size})
    return told


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """Draw paths of different requests and a trace in which nodes' pairs of events come in any order."""
    paths = draw(
        st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True), max_size=5)
    )
    pairs: list[list[dict[str, Any]]] = []
    for number, hops in enumerate(paths):
        # Sizes of their own tell these requests apart; those of one size are below.
        told = events_of(number, hops, [1000 * (number + 1) - place for place in range(len(hops))])
        pairs += [told[index : index + 2] for index in range(0, len(told), 2)]
    shuffled = [event for pair in draw(st.permutations(pairs)) for event in pair]
    return paths, [{**event, "seq": seq} for seq, event in enumerate(shuffled, 1)]


@given(interleavings())
def test_each_request_gets_its_own_path_whatever_the_order_among_nodes(
    drawn: tuple[list[list[str]], list[dict[str, Any]]],
) -> None:
    paths, events = drawn
    joined = {path.client: path for path in join_paths(events, NAMES)}
    assert {f"10.0.0.{number}": tuple(hops) for number, hops in enumerate(paths)} == {
        client: path.hops for client, path in joined.items()
    }
    assert all(path.outcome == "final" and path.destination == path.hops[-1] for path in joined.values())


def test_requests_of_one_size_are_told_apart_by_their_order() -> None:
    one, two = (events_of(number, ["a", "b", last], [30, 20, 10]) for number, last in ((1, "c"), (2, "d")))
    mixed = [event for pair in range(0, 6, 2) for event in (*one[pair : pair + 2], *two[pair : pair + 2])]
    joined = join_paths([{**event, "seq": seq} for seq, event in enumerate(mixed)], NAMES)
    assert [path.hops for path in joined] == [("a", "b", "c"), ("a", "b", "d")]


def test_a_path_that_ends_early_says_how() -> None:
    told = events_of(1, ["a", "b", "c"], [30, 20, 10])
    numbered = [{**event, "seq": seq} for seq, event in enumerate(told)]
    (lost,) = join_paths(numbered[:2], NAMES)
    assert (lost.outcome, lost.destination, lost.hops) == ("lost", "b", ("a",))
    (refused,) = join_paths(numbered[:3], NAMES)
    assert (refused.outcome, refused.destination, refused.hops) == ("refused", "", ("a", "b"))
    assert join_paths(numbered[2:], NAMES) == [], "its beginning is not in the trace"
