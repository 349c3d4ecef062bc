"""What a member missed: it gets it when it is back, without anybody asking again."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request
from session_testnet.control.errors import ControlError

Clients = Any
A, B, C = "node-01", "node-02", "node-03"
DAY_MS = 86_400_000


def test_a_member_that_was_stopped_gets_what_was_stored(
    clients: Clients, alice: Account, eventually: Any
) -> None:
    first = clients.store(A, alice, "before")
    clients.network.node(B).stop()
    stored = [first, *(clients.store(A, alice, text) for text in ("one", "two", "three"))]
    assert clients.held(B, alice) == [first]
    clients.network.node(B).start()
    eventually("the member has what it missed", lambda: clients.held(B, alice) == stored)


def test_a_member_that_was_frozen_gets_what_was_stored(
    clients: Clients, alice: Account, eventually: Any
) -> None:
    clients.network.node(B).pause()
    # The asked member waits for the frozen one as long as members wait, then reports it.
    stored = clients.store(A, alice, "x")
    clients.network.node(B).resume()
    eventually("the member has what it missed", lambda: clients.held(B, alice) == [stored])


def test_what_was_deleted_does_not_come_back(clients: Clients, alice: Account) -> None:
    gone, kept = clients.store(A, alice, "gone"), clients.store(A, alice, "kept")
    clients.network.node(B).stop()
    clients.ask(A, alice, "delete", messages=[gone])
    clients.network.node(B).start()
    assert clients.network.settle() == 0
    assert [clients.held(node, alice) for node in (A, B, C)] == [[kept]] * 3


def test_deletions_win_in_whatever_order_members_come_back(clients: Clients, alice: Account) -> None:
    """A holds a copy for B; C, who saw it deleted, tells B first. A's late copy must not bring it back."""
    node = clients.network.node
    node(B).stop()
    node(C).stop()
    message = clients.store(A, alice, "gone")
    node(A).stop()
    node(C).start()
    clients.ask(C, alice, "delete", messages=[message])
    clients.network.clock.move(1)
    clients.ask(C, alice, "delete_all", timestamp=clients.network.clock.now_ms(), namespace="all")
    node(B).start()
    assert clients.network.settle() == 0
    node(C).stop()
    node(A).start()
    assert clients.network.settle() == 0
    assert clients.held(B, alice) == []
    node(C).start()
    assert clients.network.settle() == 0
    assert [clients.held(each, alice) for each in (A, B, C)] == [[], [], []]


def test_what_was_deleted_may_be_stored_again(clients: Clients, alice: Account) -> None:
    message = clients.store(A, alice, "x")
    clients.network.node(B).stop()
    clients.ask(A, alice, "delete", messages=[message])
    clients.network.node(B).start()
    assert clients.store(B, alice, "x") == message
    assert clients.network.settle() == 0
    assert [clients.held(node, alice) for node in (A, B, C)] == [[message]] * 3


def test_a_shortened_life_ends_for_the_member_that_missed_it(clients: Clients, alice: Account) -> None:
    network = clients.network
    message = clients.store(A, alice, "x", days=5)
    network.node(B).stop()
    expiry = network.clock.now_ms() + DAY_MS
    clients.ask(A, alice, "expire", messages=[message], expiry=expiry, shorten=True)
    # The others have purged it before the member is back.
    network.clock.move(2 * DAY_MS)
    network.purge()
    assert clients.held(A, alice) == []
    network.node(B).start()
    assert network.settle() == 0
    assert clients.held(B, alice) == []


def test_a_longer_life_reaches_the_member_that_missed_it(clients: Clients, alice: Account) -> None:
    network = clients.network
    message = clients.store(A, alice, "x", days=1)
    network.node(B).stop()
    expiry = network.clock.now_ms() + 9 * DAY_MS
    clients.ask(A, alice, "expire", messages=[message], expiry=expiry, extend=True)
    network.clock.move(2 * DAY_MS)
    network.node(B).start()
    assert network.settle() == 0
    (held,) = network.stored_messages(B, alice.account_id)
    assert (held["hash"], held["expiration"]) == (message, expiry)


def test_a_shortening_wins_over_an_older_time_only(clients: Clients, alice: Account) -> None:
    """A store that came after the shortening has asked for its own time."""
    network, node = clients.network, clients.network.node
    message = clients.store(A, alice, "x", days=2)
    node(B).stop()
    node(C).stop()
    soon = network.clock.now_ms() + DAY_MS
    clients.ask(A, alice, "expire", messages=[message], expiry=soon, shorten=True)
    node(A).stop()
    node(B).start()
    network.clock.move(1)
    clients.store(B, alice, "x", days=4)
    node(A).start()
    node(C).start()
    assert network.settle() == 0
    for name in (A, B, C):
        (held,) = network.stored_messages(name, alice.account_id)
        assert held["expiration"] > network.clock.now_ms() + 3 * DAY_MS


def test_revocations_reach_the_member_that_missed_them(clients: Clients, alice: Account) -> None:
    network = clients.network
    # Revocations can be listed by accounts only whose own key signs: those of groups.
    group = "03" + alice.ed25519_pk.hex()

    def ask(node: str, method: str, **params: Any) -> dict[str, Any]:
        signed = sign_request(alice, method, {"timestamp": network.clock.now_ms(), **params})
        del signed["pubkey_ed25519"]
        answer = network.storage_rpc(node, method, {**signed, "pubkey": group})
        assert answer["status"] == 200, answer
        body: dict[str, Any] = answer["body"]
        return body

    ask(A, "store", ttl=DAY_MS, data="AAAA", namespace=11)
    tokens = [bytes([5, 7, 0, 0]) + bytes([number]) * 32 for number in range(2)]
    network.node(B).stop()
    ask(A, "revoke_subaccount", revoke=[token.hex() for token in tokens])
    network.clock.move(1)
    ask(A, "unrevoke_subaccount", unrevoke=[tokens[0].hex()])
    network.node(B).start()
    assert network.settle() == 0
    lists = [ask(node, "revoked_subaccounts")["revoked_subaccounts"] for node in (A, B)]
    assert lists[0] == lists[1]
    assert len(lists[0]) == 1


def test_what_has_expired_is_not_delivered(clients: Clients, alice: Account) -> None:
    network = clients.network
    network.node(B).stop()
    clients.store(A, alice, "x", days=1)
    network.clock.move(2 * DAY_MS)
    last = network.trace.last_seq()
    network.node(B).start()
    assert network.settle() == 0
    assert clients.held(B, alice) == []
    assert [e for e in network.trace.events(since=last, kind="peer") if e.get("messages")] == []


def test_what_a_member_refuses_is_not_tried_again(clients: Clients, alice: Account) -> None:
    """The member's clock is so wrong that it refuses the request: it would refuse it again."""
    network = clients.network
    network.clock.skew(B, -DAY_MS)
    now = network.clock.now_ms()
    answer = clients.ask(A, alice, "delete_all", timestamp=now, namespace=0)
    entry = answer["swarm"][network.node(B).pubkey_ed25519]
    assert entry["code"] == "406"
    last = network.trace.last_seq()
    assert network.settle() == 0
    assert [e for e in network.trace.events(since=last, kind="peer") if e["command"] == "data"] == []


def test_what_a_member_missed_survives_the_end_of_those_who_know(
    open_network: Callable[..., Clients], alice: Account, tmp_path: Path
) -> None:
    before = open_network(3, data_dir=tmp_path)
    before.network.node(B).stop()
    message = before.store(A, alice, "x")
    before.network.close()
    after = open_network(3, data_dir=tmp_path)
    assert after.network.settle() == 0
    assert after.held(B, alice) == [message]


def test_a_member_that_lost_its_files_gets_everything(
    open_network: Callable[..., Clients], alice: Account, tmp_path: Path
) -> None:
    before = open_network(3, data_dir=tmp_path)
    stored = [before.store(A, alice, text) for text in ("one", "two")]
    before.network.close()
    for file in (tmp_path / B).glob("storage.sqlite*"):
        file.unlink()
    after = open_network(3, data_dir=tmp_path)
    assert after.network.settle() == 0
    assert after.held(B, alice) == stored


def test_the_registry_tells_who_can_be_reached(clients: Clients) -> None:
    def reachable() -> dict[str, bool]:
        body = {
            "method": "get_service_nodes",
            "params": {"fields": ["pubkey_ed25519", "storage_server_reachable"]},
        }
        url = f"{clients.network.state['registry']['url']}/json_rpc"
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=10) as answer:  # noqa: S310
            states = json.load(answer)["result"]["service_node_states"]
        return {state["pubkey_ed25519"]: state["storage_server_reachable"] for state in states}

    key = clients.network.node(B).pubkey_ed25519
    assert set(reachable().values()) == {True}
    clients.network.node(B).stop()
    assert {each for each, reached in reachable().items() if not reached} == {key}
    clients.network.node(B).start()
    assert set(reachable().values()) == {True}


def test_a_stopped_node_cannot_be_asked(clients: Clients, alice: Account) -> None:
    clients.network.node(B).stop()
    with pytest.raises(ControlError, match="cannot ask node-02: it is stopped"):
        clients.store(B, alice, "x")
