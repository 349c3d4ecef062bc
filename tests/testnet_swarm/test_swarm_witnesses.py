"""Every member that has carried a request out knows who has not: no one node's end loses anything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_protocol.accounts import Account
from session_testnet.services.storage.handover import Missed
from session_testnet.services.storage.peer_payloads import BadPayload, decode, encode

Clients = Any
A, B, C = "node-01", "node-02", "node-03"


@pytest.mark.parametrize("end", ["stop", "kill", "remove"])
def test_the_asked_node_may_end_before_the_one_that_missed_it_returns(
    clients: Clients, alice: Account, end: str
) -> None:
    network = clients.network
    # A member that has nothing at all would get everything anyway.
    kept = clients.store(A, alice, "kept")
    network.node(B).stop()
    stored = [kept, *(clients.store(A, alice, text) for text in ("one", "two"))]
    gone = clients.store(A, alice, "gone")
    clients.ask(A, alice, "delete", messages=[gone])
    getattr(network.node(A), "stop" if end == "remove" else end)()
    if end == "remove":
        network.remove_node(A)
    network.node(B).start()
    assert network.settle() == 0
    assert clients.held(B, alice) == stored


def test_what_others_missed_is_known_after_a_restart(
    open_network: Callable[..., Clients], alice: Account, tmp_path: Path
) -> None:
    before = open_network(3, data_dir=tmp_path)
    kept = before.store(A, alice, "kept")
    before.network.node(B).stop()
    message = before.store(A, alice, "x")
    before.network.close()
    for file in (tmp_path / A).glob("storage.sqlite*"):
        file.unlink()
    after = open_network(3, data_dir=tmp_path)
    assert after.network.settle() == 0
    assert [after.held(node, alice) for node in (A, B, C)] == [[kept, message]] * 3


def test_the_asked_node_gets_what_it_could_not_keep_itself(clients: Clients, alice: Account) -> None:
    network = clients.network
    network.node(A).set_knobs(disk_full=True)
    message = clients.store(A, alice, "x")
    assert [clients.held(node, alice) for node in (A, B, C)] == [[], [message], [message]]
    network.node(A).set_knobs(disk_full=False)
    assert network.settle() == 0
    assert clients.held(A, alice) == [message]


def test_nobody_is_owed_what_nobody_missed(clients: Clients, alice: Account) -> None:
    network = clients.network
    clients.store(A, alice, "x")
    assert {event["command"] for event in network.trace.events(kind="peer")} == {"storage_cc"}
    last = network.trace.last_seq()
    assert network.settle() == 0
    assert network.trace.events(since=last, kind="peer") == []


@pytest.mark.parametrize("way", ["announcement", "forwarding"])
def test_a_deletion_is_later_than_what_its_node_has_not_heard_of(
    clients: Clients, alice: Account, way: str
) -> None:
    """B's clock is 50 s ahead. C, which has not heard of what B stamped, learns it from A."""
    network = clients.network
    network.node(B).set_knobs(clock_offset_ms=50_000)
    if way == "announcement":
        network.node(C).stop()
    else:
        network.partition([[B], [C]])
    message = clients.store(B, alice, "ahead")
    network.node(B).stop()
    if way == "announcement":
        network.node(C).start()
    else:
        # A's answer to any request tells C how far the stamps are.
        clients.store(C, alice, "other")
    clients.ask(C, alice, "delete_all", timestamp=network.clock.now_ms(), namespace="all")
    network.partition([])
    network.node(B).start()
    assert network.settle() == 0
    assert message not in [each for node in (A, B, C) for each in clients.held(node, alice)]


def test_what_was_missed_travels_between_processes() -> None:
    missed = Missed(b"\x05" * 33, 7, ("ab" * 32,))
    assert encode("missed", missed) == missed
    value = {"account": missed.account, "since": 7, "keys": ["ab" * 32]}
    assert decode("missed", value) == missed
    for wrong in (None, {}, {**value, "keys": "ab"}, {**value, "since": "7"}):
        with pytest.raises(BadPayload, match="missed"):
            decode("missed", wrong)
