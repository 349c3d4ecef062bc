"""Notifications while nodes come and go, swarms change and time moves (storage-rpc §12, network §9)."""

import asyncio
import json
import random
from typing import Any

import pytest

from session_protocol import onion
from session_testnet.client import NetworkClient

Network = Any
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def test_a_node_that_was_away_tells_again_when_it_is_back(open_network: Any) -> None:
    network = open_network(2, swarms=1)
    device = network.device()
    network.subscribe(device)
    first, second = (node.name for node in network.handle.nodes)
    network.handle.node(first).stop()
    network.store(device.owner, b"one", node=second)
    network.handle.node(first).start()
    network.handle.node(second).stop()
    # Only the node that was away knows of this one.
    network.store(device.owner, b"two", node=first)
    network.handle.node(second).start()
    network.store(device.owner, b"three", node=second)
    assert [told.body for told in network.delivered(device)] == [b"one", b"two", b"three"]


def test_who_subscribes_while_a_node_is_frozen_hears_of_it_later(open_network: Any) -> None:
    network = open_network(1, swarms=1)
    (node,) = network.handle.nodes
    device = network.device()
    node.pause()
    network.subscribe(device)
    node.resume()
    network.store(device.owner, b"x")
    assert len(network.delivered(device)) == 1


def test_a_node_that_stops_forgets_who_listened(open_network: Any) -> None:
    """As over a socket: the connection ends with the node, and a new one needs a new subscription."""
    network = open_network(1, swarms=1)
    (node,) = network.handle.nodes
    network.subscribe(network.device())
    monitor = network.handle._hosted.network.engine._provider._nodes[node.name].service._monitor
    assert len(monitor) == 1
    node.stop()
    assert len(monitor) == 0
    node.start()
    assert len(monitor) == 1


def test_messages_are_told_once_while_swarms_change(open_network: Any) -> None:
    network = open_network(4, swarms=2)
    devices = [network.device() for _ in range(12)]
    for device in devices:
        network.subscribe(device)

    def store_everywhere(text: bytes) -> None:
        for device in devices:
            for node in network.handle.swarm(device.owner.account_id):
                network.store(device.owner, text + node.name.encode(), node=node.name)

    expected = dict.fromkeys(devices, 0)

    def check(text: bytes) -> None:
        for device in devices:
            expected[device] += len(network.handle.swarm(device.owner.account_id))
        store_everywhere(text)
        assert {device: len(network.delivered(device)) for device in devices} == expected

    check(b"at first ")
    # A swarm of its own: a part of the accounts moves there.
    before = {device: network.handle.swarm(device.owner.account_id)[0].swarm_id for device in devices}
    network.handle.add_node("newcomer", swarm_id="4000000000000000")
    moved = [
        device
        for device in devices
        if network.handle.swarm(device.owner.account_id)[0].swarm_id != before[device]
    ]
    assert moved
    assert len(moved) < len(devices)
    check(b"after a join ")
    network.handle.settle()
    network.handle.remove_node("newcomer")
    check(b"after a leave ")
    network.handle.node("node-01").decommission()
    check(b"decommissioned ")
    network.handle.node("node-01").recommission()
    check(b"recommissioned ")


@pytest.mark.parametrize("hours", [1, 2, 13 * 24])
def test_subscriptions_are_renewed_at_nodes_as_time_goes_by(open_network: Any, hours: int) -> None:
    network = open_network(2, swarms=1)
    device = network.device()
    network.subscribe(device)
    network.handle.clock.move(hours * HOUR_MS)
    network.store(device.owner, b"later")
    network.handle.clock.move(-hours * HOUR_MS)
    network.store(device.owner, b"back again")
    assert [told.body for told in network.delivered(device)] == [b"later", b"back again"]


def test_a_node_whose_clock_runs_ahead_still_tells(open_network: Any) -> None:
    network = open_network(1, swarms=1)
    device = network.device()
    network.subscribe(device)
    network.handle.clock.skew("node-01", 2 * HOUR_MS)
    now = network.handle.clock.now_ms
    params = {"timestamp": now() + 2 * HOUR_MS, "ttl": DAY_MS, "data": "eA==", "namespace": 0}
    answer = network.handle.storage_rpc("node-01", "store", device.owner.signed("store", params))
    assert answer["status"] == 200
    network.handle.node("node-01").set_knobs(clock_offset_ms=4 * HOUR_MS)
    params |= {"timestamp": now() + 4 * HOUR_MS, "data": "eQ=="}
    network.handle.storage_rpc("node-01", "store", device.owner.signed("store", params))
    assert len(network.delivered(device)) == 2


def test_a_subscription_ends_14_days_after_it_was_signed(open_network: Any) -> None:
    network = open_network(2, swarms=1)
    early, late = network.device(), network.device()
    network.subscribe(early, age_s=86_400)
    network.subscribe(late)
    network.handle.clock.move(13 * DAY_MS - 60_000)
    assert len(network.handle.push.subscriptions()) == 2
    network.handle.clock.move(120_000)
    for device in (early, late):
        network.store(device.owner, b"x")
    assert [len(network.delivered(device)) for device in (early, late)] == [0, 1]
    (left,) = network.handle.push.subscriptions()
    assert left["account_id"] == late.owner.account_id
    # It can be had again, and is a new one.
    assert network.post("/subscribe", early.subscription()) == {"success": True, "added": True}


def test_subscriptions_survive_a_restart_of_the_network(open_network: Any, tmp_path: Any) -> None:
    first = open_network(2, swarms=1, data_dir=tmp_path)
    device = first.device()
    first.subscribe(device, (0, 2), data=False)
    before = first.handle.push.subscriptions()
    key = first.handle.state["push"]["pubkey_x25519"]
    first.handle.close()
    second = open_network(2, swarms=1, data_dir=tmp_path)
    assert second.handle.push.subscriptions() == before
    assert second.handle.state["push"]["pubkey_x25519"] == key
    second.store(device.owner, b"x", namespace=2)
    assert [told.namespace for told in second.delivered(device)] == [2]


def test_older_nodes_tell_too(open_network: Any) -> None:
    network = open_network(2, swarms=1, storage_version=(2, 8, 0))
    device = network.device()
    network.subscribe(device)
    network.store(device.owner, b"x")
    assert len(network.delivered(device)) == 1


def test_a_client_reaches_it_through_the_relays(open_network: Any) -> None:
    network = open_network(5, swarms=1)
    state, device = network.handle.state, network.device()
    host, _, port = state["push"]["url"].removeprefix("http://").partition(":")
    destination = onion.ServerDestination(
        host=host, x25519_pk=bytes.fromhex(state["push"]["pubkey_x25519"]), protocol="http", port=int(port)
    )
    payload = onion.encode_v4_request(
        "POST", "/subscribe", {"Content-Type": "application/json"}, json.dumps(device.subscription()).encode()
    )

    async def ask() -> bytes:
        async with NetworkClient(None, state["registry"]["url"], rng=random.Random(1)) as client:
            await client.bootstrap()
            assert client._onion is not None
            return await client._onion.server_request(destination, payload, timeout_s=10, what="subscribe")

    answer = onion.decode_v4_response(asyncio.run(ask()))
    assert (answer.code, json.loads(answer.body)) == (200, {"success": True, "added": True})
    network.store(device.owner, b"x")
    assert len(network.delivered(device)) == 1
