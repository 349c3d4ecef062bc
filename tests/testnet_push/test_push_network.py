"""From a subscription to what a device can open: end to end on a network (push-server, storage-rpc §12)."""

import base64
import json
import re
import urllib.request
from typing import Any

import pytest

from session_protocol.errors import DecryptFailed
from session_protocol.push import MAX_BODY_BYTES, open_notification

Network = Any


@pytest.mark.parametrize("way", ["post", "post_sealed"])
def test_a_message_arrives_sealed_and_opens_to_what_was_stored(network: Network, way: str) -> None:
    device = network.device()
    ask = getattr(network, way)
    assert ask("/subscribe", device.subscription((0, 3))) == {"success": True, "added": True}
    stored_ms = network.handle.clock.now_ms()
    body = b"sealed by its sender \x00\xff"
    message_hash = network.store(device.owner, body)
    (told,) = network.delivered(device)
    assert (told.account_id, told.message_hash, told.namespace) == (device.owner.account_id, message_hash, 0)
    assert (told.body, told.size, told.too_long) == (body, len(body), False)
    assert told.expiry_ms is not None
    assert told.timestamp_ms is not None
    assert stored_ms <= told.timestamp_ms < stored_ms + 60_000
    assert told.expiry_ms - told.timestamp_ms == 86_400_000
    assert ask("/unsubscribe", device.unsubscription()) == {"success": True, "removed": True}
    assert ask("/unsubscribe", device.unsubscription()) == {"success": True, "removed": False}
    network.store(device.owner, b"nobody is told")
    assert len(network.delivered(device)) == 1


def test_nothing_shows_in_the_sink(network: Network) -> None:
    """A push service learns its own token and the size of the padded payload, and no more."""
    device = network.device()
    network.subscribe(device)
    body = b"plaintext of a message " * 3
    message_hash = network.store(device.owner, body)
    since = network.handle.push.delivered()
    (delivered,) = since
    assert set(delivered) == {"t_ms", "service", "service_info", "notification"}
    assert set(delivered["notification"]) == {"spns", "enc_payload"}
    raw = base64.b64decode(delivered["notification"]["enc_payload"])
    assert (len(raw) - 24 - 16) % 256 == 0
    account = bytes.fromhex(device.owner.account_id)
    secrets = [body, account, account[1:], device.owner.public, message_hash.encode(), device.enc_key]
    written = json.dumps(delivered)
    for secret in secrets:
        for form in (secret.hex(), base64.b64encode(secret).decode().rstrip("="), secret.decode("latin-1")):
            assert form not in written
        assert secret not in raw
    with pytest.raises(DecryptFailed):
        open_notification(bytes(32), delivered["notification"]["enc_payload"])
    traced = network.handle.trace.events(kind="push")[-1]
    assert {key: traced[key] for key in ("service", "service_info", "notification")} == {
        key: delivered[key] for key in ("service", "service_info", "notification")
    }


def test_equal_messages_for_two_devices_look_unrelated(network: Network) -> None:
    first, second = network.device(), network.device()
    other_device = network.device(first.owner, enc_key=first.enc_key)
    for device in (first, second, other_device):
        network.subscribe(device)
    for owner in (first.owner, second.owner):
        network.store(owner, b"the same")
    payloads = {each["notification"]["enc_payload"] for each in network.handle.push.delivered()}
    assert len(payloads) == 3
    assert [len(network.delivered(device)) for device in (first, second, other_device)] == [1, 1, 1]


@pytest.mark.parametrize("service", ["apns", "apns-sandbox", "firebase", "huawei"])
def test_apple_gets_a_text_beside_it_and_others_do_not(network: Network, service: str) -> None:
    device = network.device(service=service)
    network.subscribe(device)
    network.store(device.owner, b"x")
    (delivered,) = network.handle.push.delivered()
    notification = delivered["notification"]
    assert delivered["service"] == service
    assert ("aps" in notification) == service.startswith("apns")
    assert notification["spns"] == (1 if service.startswith("apns") else "1")
    assert device.opens(delivered).body == b"x"


@pytest.mark.parametrize(
    ("size", "too_long"), [(MAX_BODY_BYTES, False), (MAX_BODY_BYTES + 1, True), (50_000, True)]
)
def test_a_long_body_is_announced_and_left_out(network: Network, size: int, too_long: bool) -> None:
    device = network.device()
    network.subscribe(device)
    body = bytes(range(256)) * (size // 256 + 1)
    network.store(device.owner, body[:size])
    (told,) = network.delivered(device)
    assert (told.size, told.too_long) == (size, too_long)
    assert told.body == (None if too_long else body[:size])


def test_without_data_only_the_hash_is_told(network: Network) -> None:
    device = network.device()
    network.subscribe(device, data=False)
    message_hash = network.store(device.owner, b"secret")
    (told,) = network.delivered(device)
    assert (told.message_hash, told.body, told.size, told.too_long) == (message_hash, None, None, False)


def test_each_device_gets_what_it_asked_for(network: Network) -> None:
    """Nodes are told of everything that any device of the account wants: the server picks."""
    plain = network.device()
    full = network.device(plain.owner)
    elsewhere = network.device(plain.owner)
    network.subscribe(plain, data=False)
    network.subscribe(full, data=True)
    network.subscribe(elsewhere, (2, 3), data=True)
    network.store(plain.owner, b"in 0")
    network.store(plain.owner, b"in 3", namespace=3)
    assert [told.body for told in network.delivered(plain)] == [None]
    assert [told.body for told in network.delivered(full)] == [b"in 0"]
    assert [(told.body, told.namespace) for told in network.delivered(elsewhere)] == [(b"in 3", 3)]


def test_a_new_subscription_of_a_device_takes_the_place_of_the_old_one(network: Network) -> None:
    device = network.device()
    network.subscribe(device, (0,))
    answer = network.post("/subscribe", device.subscription((2,)))
    assert answer == {"success": True, "updated": True}
    network.store(device.owner, b"in 0")
    network.store(device.owner, b"in 2", namespace=2)
    assert [told.namespace for told in network.delivered(device)] == [2]
    (listed,) = [
        each for each in network.handle.push.subscriptions() if each["account_id"] == device.owner.account_id
    ]
    assert (listed["namespaces"], listed["data"]) == ([2], True)
    assert listed["expires"] - listed["sig_ts"] == 14 * 86_400
    assert device.enc_key.hex() not in json.dumps(listed)


def test_every_member_of_the_swarm_may_be_the_first_to_know(network: Network) -> None:
    device = network.device()
    network.subscribe(device)
    members = [node.name for node in network.handle.swarm(device.owner.account_id)]
    assert len(members) == 3
    hashes = [network.store(device.owner, name.encode(), node=name) for name in members]
    # Each member pushes each message: every one is told once all the same.
    assert [told.message_hash for told in network.delivered(device)] == hashes


def test_a_group_and_its_member_are_notified(network: Network, new_group: Any, new_member: Any) -> None:
    owner = new_group("a group")
    admin = network.device(owner)
    member = network.device(owner, by=new_member(owner))
    for device in (admin, member):
        network.subscribe(device, (11,))
    network.store(owner, b"to all", namespace=11)
    assert [network.delivered(device)[0].body for device in (admin, member)] == [b"to all"] * 2
    assert network.post("/unsubscribe", member.unsubscription())["removed"] is True
    network.store(owner, b"more", namespace=11)
    assert [len(network.delivered(device)) for device in (admin, member)] == [2, 1]


def test_a_member_of_an_account_is_notified(network: Network, new_account: Any, new_member: Any) -> None:
    owner = new_account("shared account")
    device = network.device(owner, by=new_member(owner))
    network.subscribe(device)
    network.store(owner, b"x")
    assert len(network.delivered(device)) == 1


def test_a_refused_message_is_not_told(network: Network) -> None:
    device, other = network.device(), network.device()
    network.subscribe(device, (0, 5))
    wrong = other.owner.signed("store", {"timestamp": 0, "ttl": 1000, "data": "eA==", "namespace": 5})
    node = network.handle.swarm(device.owner.account_id)[0].name
    answer = network.handle.storage_rpc(node, "store", {**wrong, "pubkey": device.owner.account_id})
    assert answer["status"] != 200
    network.store(device.owner, b"twice")
    network.store(device.owner, b"twice")
    assert [told.body for told in network.delivered(device)] == [b"twice"]


def test_the_sink_is_cleared(network: Network) -> None:
    device = network.device()
    network.subscribe(device)
    for text in (b"one", b"two"):
        network.store(device.owner, text)
    assert network.handle.push.clear() == 2
    assert network.handle.push.delivered() == []
    network.store(device.owner, b"three")
    assert len(network.delivered(device)) == 1


def test_requests_to_it_are_counted(network: Network) -> None:
    control = network.handle.state["control"]

    def count() -> float:
        asked = urllib.request.Request(  # noqa: S310 - the network's own
            f"{control['url']}/metrics", headers={"Authorization": f"Bearer {control['token']}"}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
            text = answer.read().decode()
        found = re.search(r'server_requests_total\{method="POST",server="push",status="200"\} (\S+)', text)
        return float(found[1]) if found else 0

    before = count()
    network.subscribe(network.device())
    assert count() == before + 1
