"""Onion paths: distinct relays, stable guards, strikes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_testnet.client.bootstrap import ServiceNode
from session_testnet.client.errors import NotEnoughNodes
from session_testnet.client.paths import Path, PathBook


def some_nodes(count: int) -> list[ServiceNode]:
    return [
        ServiceNode(f"{index:064x}", f"{index + 1000:064x}", f"127.0.{index + 1}.1", 22021)
        for index in range(count)
    ]


def book(count: int, seed: int = 1, *, relays: int = 3) -> PathBook:
    made = PathBook(random.Random(seed), relays=relays)
    made.learn(some_nodes(count))
    return made


@settings(deadline=None, derandomize=True)
@given(count=st.integers(4, 20), seed=st.integers(), data=st.data())
def test_a_path_has_distinct_relays_and_never_the_destination(
    count: int, seed: int, data: st.DataObject
) -> None:
    paths = book(count, seed)
    for _ in range(5):
        destination = data.draw(st.sampled_from(some_nodes(count))).ed25519_pk
        path = paths.choose(without={destination})
        assert len(path.keys) == len(path.nodes) == 3
        assert destination not in path.keys


@settings(deadline=None, derandomize=True)
@given(seed=st.integers())
def test_kept_paths_share_no_node_in_a_large_pool(seed: int) -> None:
    paths = book(14, seed)
    paths.choose()
    first, second = paths.paths
    assert not first.keys & second.keys


def test_guards_stay_through_many_requests() -> None:
    paths = book(14)
    guards = {paths.choose().guard for _ in range(50)}
    assert len(guards) == 2


def test_a_request_to_a_relay_of_every_kept_path_uses_a_stable_guard() -> None:
    paths = book(7)
    paths.choose()
    guards = {path.guard.ed25519_pk for path in paths.paths}
    second_hops = {path.nodes[1].ed25519_pk for path in paths.paths}
    assert paths.choose(without=second_hops).guard.ed25519_pk in guards


def test_another_path_is_made_when_the_kept_ones_were_tried() -> None:
    paths = book(14)
    tried = [paths.choose()]
    for _ in range(3):
        tried.append(paths.choose(other_than=tried))
    assert len(set(tried)) == 4


def through(paths: PathBook, guard: ServiceNode) -> Path:
    paths.choose()
    return next(path for path in paths.paths if path.guard == guard)


def test_a_failed_path_is_rebuilt_behind_its_guard_of_other_relays() -> None:
    paths = book(14)
    failed = paths.choose()
    paths.failed(failed)
    assert failed not in paths.paths
    rebuilt = through(paths, failed.guard)
    assert rebuilt.keys & failed.keys == {failed.guard.ed25519_pk}


def test_a_suspect_is_taken_where_nobody_else_is_left() -> None:
    paths = book(4)
    failed = paths.choose()
    paths.failed(failed)
    assert len(paths.choose().keys) == 3


def test_the_third_failure_in_a_row_ends_a_guard() -> None:
    paths = book(14)
    guard = paths.choose().guard
    for _ in range(2):
        paths.failed(through(paths, guard))
        assert guard in paths.nodes
    paths.failed(through(paths, guard))
    assert guard not in paths.nodes
    assert guard not in {paths.choose().guard for _ in range(30)}


def test_success_forgives() -> None:
    paths = book(14)
    guard = paths.choose().guard
    for _ in range(5):
        paths.failed(through(paths, guard))
        paths.failed(through(paths, guard))
        paths.succeeded(through(paths, guard))
    assert guard in paths.nodes


def test_a_dropped_node_leaves_pool_and_paths_at_once() -> None:
    paths = book(14)
    path = paths.choose()
    gone = path.nodes[1]
    paths.drop(gone.ed25519_pk)
    assert gone not in paths.nodes
    assert path not in paths.paths
    assert all(gone.ed25519_pk not in paths.choose().keys for _ in range(30))
    assert path.guard in {paths.choose().guard for _ in range(30)}, "the guard did nothing wrong"


def test_three_strikes_drop_a_node() -> None:
    paths = book(14)
    node = paths.nodes[5]
    for _ in range(2):
        paths.strike(node.ed25519_pk)
    assert node in paths.nodes
    paths.strike(node.ed25519_pk)
    assert node not in paths.nodes


def test_a_new_list_keeps_the_paths_that_still_exist() -> None:
    paths = book(14)
    kept = paths.choose()
    paths.learn(some_nodes(14))
    assert kept in paths.paths
    paths.learn([node for node in some_nodes(14) if node != kept.nodes[2]])
    assert kept not in paths.paths


def test_says_how_many_nodes_are_missing() -> None:
    paths = book(3)
    with pytest.raises(NotEnoughNodes, match=r"needs 3 relays besides the destination, 2 of 3 nodes"):
        paths.choose(without={paths.nodes[0].ed25519_pk})


@pytest.mark.parametrize("relays", [1, 2, 5])
def test_the_number_of_relays_is_a_choice(relays: int) -> None:
    assert len(book(14, relays=relays).choose().nodes) == relays


def test_a_path_of_no_relays_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one relay"):
        PathBook(random.Random(1), relays=0)
