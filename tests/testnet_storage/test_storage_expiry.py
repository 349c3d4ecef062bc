"""expire, expire_all and get_expiries: which times change, and what each member signs."""

import base64
from typing import Any

import nacl.bindings
import pytest

from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request

Nodes = Any
DAY_MS = 86_400_000
UNKNOWN = "Z" * 43


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def check_signatures(answer: Any, *parts: str) -> None:
    for key, entry in answer.body["swarm"].items():
        nacl.bindings.crypto_sign_open(
            base64.b64decode(entry["signature"]) + "".join(parts).encode(), bytes.fromhex(key)
        )


def fill(nodes: Nodes, account: Account, ttls: list[int]) -> list[str]:
    return [
        nodes.store(account.account_id, b64(bytes([number])), ttl=ttl).body["hash"]
        for number, ttl in enumerate(ttls)
    ]


def expiries(nodes: Nodes, account: Account, node: int = 0) -> dict[str, int]:
    messages = nodes.retrieve(account, node=node).body["messages"]
    return {message["hash"]: message["expiration"] - nodes.now for message in messages}


def entries(answer: Any) -> list[dict[str, Any]]:
    """Return the entries without signatures."""
    assert answer.status == 200, answer
    return [
        {name: value for name, value in entry.items() if name != "signature"}
        for entry in answer.body["swarm"].values()
    ]


def test_expire_all_only_shortens(nodes: Nodes, alice: Account) -> None:
    hashes = fill(nodes, alice, [20_000, 60_000, 90_000, 30_000])
    until = nodes.now + 30_000
    answer = nodes.signed(alice, "expire_all", {"expiry": until})
    updated = sorted([hashes[1], hashes[2]])
    assert entries(answer) == [{"updated": updated}] * 3
    check_signatures(answer, alice.account_id, str(until), *updated)
    assert list(expiries(nodes, alice, 2).values()) == [20_000, 30_000, 30_000, 30_000]
    everywhere = nodes.signed(alice, "expire_all", {"expiry": nodes.now + 25_000, "namespace": "all"})
    assert entries(everywhere) == [{"updated": {"0": sorted(hashes[1:])}}] * 3


def test_stale_expire_all(nodes: Nodes, alice: Account) -> None:
    late = nodes.signed(alice, "expire_all", {"expiry": nodes.now - 60_001})
    assert (late.status, late.body) == (406, "expire_all timestamp should be >= current time")
    assert nodes.signed(alice, "expire_all", {"expiry": nodes.now - 60_000}).status == 200


def test_expire_without_flag_sets_every_known_message(nodes: Nodes, alice: Account) -> None:
    hashes = fill(nodes, alice, [20_000, 60_000, 40_000])
    asked = [hashes[2], UNKNOWN, hashes[0], hashes[1]]
    until = nodes.now + 40_000
    answer = nodes.signed(alice, "expire", {"messages": asked, "expiry": until})
    assert entries(answer) == [{"updated": sorted(hashes), "expiry": until}] * 3
    check_signatures(answer, alice.account_id, str(until), *asked, *sorted(hashes))
    assert set(expiries(nodes, alice, 1).values()) == {40_000}
    single = nodes.signed(alice, "expire", {"messages": hashes[0], "expiry": [nodes.now + 50_000]})
    assert entries(single)[0] == {"updated": [hashes[0]], "expiry": nodes.now + 50_000}


def test_expire_is_capped_at_thirty_days(nodes: Nodes, alice: Account) -> None:
    (message,) = fill(nodes, alice, [20_000])
    params = {"messages": [message], "expiry": nodes.now + 31 * DAY_MS, "extend": True}
    answer = nodes.signed(alice, "expire", params)
    cap = nodes.now + 30 * DAY_MS
    assert entries(answer) == [{"updated": [message], "expiry": cap, "unchanged": {}}] * 3
    check_signatures(answer, alice.account_id, str(cap), message, message)
    assert expiries(nodes, alice) == {message: 30 * DAY_MS}


@pytest.mark.parametrize(("mode", "changed"), [("shorten", [2]), ("extend", [0])])
def test_flags_change_in_one_direction(nodes: Nodes, alice: Account, mode: str, changed: list[int]) -> None:
    hashes = fill(nodes, alice, [20_000, 40_000, 60_000])
    until = nodes.now + 40_000
    asked = [*reversed(hashes), UNKNOWN]
    answer = nodes.signed(alice, "expire", {"messages": asked, "expiry": until, mode: True})
    updated = [hashes[index] for index in changed]
    unchanged = {
        message: nodes.now + (index + 1) * 20_000
        for index, message in enumerate(hashes)
        if index not in changed
    }
    assert entries(answer) == [{"updated": updated, "expiry": until, "unchanged": unchanged}] * 3
    rest = [part for message in sorted(unchanged) for part in (message, str(unchanged[message]))]
    check_signatures(answer, alice.account_id, str(until), *asked, *updated, *rest)


def test_a_trivial_extension_changes_nothing(nodes: Nodes, alice: Account) -> None:
    (message,) = fill(nodes, alice, [100_000])
    for gain, changed in ((999, False), (1000, True)):
        params = {"messages": [message], "expiry": nodes.now + 100_000 + gain, "extend": True}
        (entry, *_) = entries(nodes.signed(alice, "expire", params))
        assert entry["updated"] == ([message] if changed else [])
        assert entry["unchanged"] == ({} if changed else {message: nodes.now + 100_000})


def test_a_time_for_each_message(nodes: Nodes, alice: Account) -> None:
    hashes = fill(nodes, alice, [20_000, 20_000, 20_000])
    wanted = {message: nodes.now + (index + 3) * 10_000 for index, message in enumerate(hashes)}
    asked = [*hashes, UNKNOWN]
    params = {"messages": asked, "expiry": [*wanted.values(), nodes.now + 99_000]}
    answer = nodes.signed(alice, "expire", params)
    applied = [wanted[message] for message in sorted(hashes)]
    assert entries(answer) == [{"updated": sorted(hashes), "expiry": applied}] * 3
    check_signatures(answer, alice.account_id, *map(str, applied), *asked, *sorted(hashes))
    assert expiries(nodes, alice) == {message: until - nodes.now for message, until in wanted.items()}


def test_expire_into_the_past(nodes: Nodes, alice: Account) -> None:
    (message,) = fill(nodes, alice, [20_000])
    late = nodes.signed(alice, "expire", {"messages": [message], "expiry": nodes.now - 60_001})
    assert (late.status, late.body) == (401, "expire: timestamp should be >= current time")
    forged = sign_request(alice, "expire", {"messages": [message], "expiry": nodes.now})
    answer = nodes.ask("expire", {**forged, "expiry": nodes.now + 1})
    assert (answer.status, answer.body) == (401, "expire: signature verification failed")
    assert nodes.ask("expire", {**forged, "extends": True}).status == 200, "unknown keys are ignored"
    nodes.clock.move(1)
    assert nodes.nodes[0].purge() == 1


def test_get_expiries_has_nothing_else(nodes: Nodes, alice: Account) -> None:
    hashes = fill(nodes, alice, [20_000, 60_000])
    params = {"messages": [hashes[1], UNKNOWN, hashes[0]], "timestamp": nodes.now}
    answer = nodes.signed(alice, "get_expiries", params)
    assert answer.body == {"expiries": {hashes[0]: nodes.now + 20_000, hashes[1]: nodes.now + 60_000}}
    assert nodes.signed(alice, "get_expiries", {"messages": "all", "timestamp": nodes.now}).body == {
        "expiries": {}
    }
    stale = nodes.signed(alice, "get_expiries", {"messages": hashes, "timestamp": nodes.now - 60_001})
    assert (stale.status, stale.body) == (406, "get_expiries timestamp too far from current time")
    foreign = {**sign_request(alice, "get_expiries", params), "messages": ["\u00e4" * 43]}
    refused = nodes.ask("get_expiries", foreign)
    assert (refused.status, refused.body) == (401, "get_expiries signature verification failed")
    other = Account.from_seed(b"\x03" * 32)
    assert nodes.signed(other, "get_expiries", params).body == {"expiries": {}}
