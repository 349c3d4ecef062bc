"""Deleting, as the network's own tests demand (storage-rpc §16)."""

from typing import Any

import pytest

Client = Any


def five(client: Client, user: Any) -> list[str]:
    return sorted(client.store(user, f"message {number}".encode()) for number in range(5))


def test_delete_all(client: Client) -> None:
    user = client.user()
    hashes, now = five(client, user), client.now
    answer = client.signed(user, "delete_all", node=4, timestamp=now)
    assert answer.status == 200
    for entry in client.signed_by_all(answer, user.pubkey, now, hashes):
        assert entry == {"deleted": hashes}
    assert client.hashes(user) == []


def test_delete_all_all(client: Client) -> None:
    user = client.user()
    hashes = five(client, user)
    others = sorted(client.store(user, data, namespace=-42) for data in (b"x", b"y"))
    now = client.now
    answer = client.signed(user, "delete_all", node=2, namespace="all", timestamp=now)
    for entry in client.signed_by_all(answer, user.pubkey, now, sorted(hashes + others)):
        assert entry == {"deleted": {"0": hashes, "-42": others}}
    assert client.hashes(user, namespace=-42) == client.hashes(user) == []


@pytest.mark.parametrize("away_ms", [-120_000, 120_000])
def test_stale_delete_all(client: Client, away_ms: int) -> None:
    user = client.user()
    hashes = five(client, user)
    answer = client.signed(user, "delete_all", timestamp=client.now + away_ms)
    assert (answer.status, answer.body) == (406, "delete_all timestamp too far from current time")
    assert sorted(client.hashes(user)) == hashes


def test_delete(client: Client) -> None:
    user = client.user()
    hashes = five(client, user)
    requested = [hashes[3], "x" * 43, hashes[1]]
    answer = client.signed(user, "delete", node=1, messages=requested)
    deleted = [hashes[1], hashes[3]]
    for entry in client.signed_by_all(answer, user.pubkey, requested, deleted):
        assert entry == {"deleted": deleted}
    assert sorted(client.hashes(user, node=5)) == [hashes[0], hashes[2], hashes[4]]


def test_delete_required(client: Client) -> None:
    user = client.user()
    hashes = five(client, user)
    first = client.signed(user, "delete", messages=hashes[:2], required=True)
    assert first.status == 200
    again = client.signed(user, "delete", messages=hashes[:2], required=True)
    assert again.status == 404
    assert {tuple(entry["deleted"]) for entry in again.body["swarm"].values()} == {()}
    assert set(again.body["swarm"]) == client.keys
    assert client.signed(user, "delete", messages=hashes[:2]).status == 200


def test_delete_before(client: Client) -> None:
    user = client.user()
    newest = client.now
    times = [newest - 1000 * age for age in range(10)]
    by_time = {time: client.store(user, f"message {time}".encode(), timestamp=time) for time in times}
    oldest_first = [by_time[time] for time in sorted(times)]
    steps = [
        (times[8], oldest_first[:2], 8),
        (times[7] - 1, [], 8),
        (times[1], oldest_first[2:9], 1),
        (newest, oldest_first[9:], 0),
    ]
    for before, gone, left in steps:
        answer = client.signed(user, "delete_before", node=3, before=before)
        for entry in client.signed_by_all(answer, user.pubkey, before, sorted(gone)):
            assert entry == {"deleted": sorted(gone)}
        assert len(client.hashes(user)) == left
