"""What guard, relays and destination of an onion request could see, and nothing that they could not."""

import http.client
import json
import ssl
import urllib.parse
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from session_protocol import onion
from session_testnet import NetworkHandle, NodeHandle

Client = Any
# A loopback address that none of the network's own parts has.
CLIENT_ADDRESS = "127.250.0.7"
BOTH_TYPES = pytest.mark.parametrize("enc_type", list(onion.EncryptionType))


def keys(node: NodeHandle) -> tuple[bytes, bytes]:
    return bytes.fromhex(node.pubkey_ed25519), bytes.fromhex(node.pubkey_x25519)


def send(guard: NodeHandle, body: bytes) -> bytes:
    """Post an onion request from an address of its own, so that it shows wherever it is known."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    place = urllib.parse.urlsplit(guard.url)
    connection = http.client.HTTPSConnection(
        str(place.hostname), place.port, context=tls, timeout=20, source_address=(CLIENT_ADDRESS, 0)
    )
    try:
        connection.request("POST", "/onion_req/v2", body)
    except OSError as error:
        pytest.skip(f"this system has one loopback address only: {error}")
    response = connection.getresponse()
    assert response.status == 200
    answer = response.read()
    connection.close()
    return answer


def seen(network: NetworkHandle, since: int, node: NodeHandle) -> list[dict[str, Any]]:
    return [event for event in network.trace.events(since=since) if event["node"] == node.name]


def assert_ignorant(events: Sequence[dict[str, Any]], *secrets: str) -> None:
    told = json.dumps(events)
    assert [secret for secret in secrets if secret in told] == []


@BOTH_TYPES
def test_who_sees_what(client: Client, enc_type: onion.EncryptionType) -> None:
    network, nodes = client.network, client.nodes
    guard, second, third, end = path = nodes[1], nodes[4], nodes[2], nodes[6]
    user = client.user()
    # Two values of the request that occur nowhere else.
    cursor, count = "Q" * 43, 271_828
    params = user.signed(
        "retrieve", {"timestamp": client.now, "namespace": 42, "last_hash": cursor, "max_count": count}
    )
    request = orjson.dumps({"method": "retrieve", "params": params})
    built = onion.build(
        [onion.Hop(*keys(node)) for node in path[:3]],
        onion.NodeDestination(*keys(end)),
        request,
        enc_type=enc_type,
    )
    since = network.trace.last_seq()
    reply = onion.open_node_reply(built.reply_key, send(guard, built.body))
    assert (reply.status, reply.body["messages"]) == (200, [])
    views = [seen(network, since, node) for node in path]

    # The guard: the client's address and the next node.
    arrived, relayed = views[0]
    assert (arrived["kind"], arrived["address"], arrived["bytes"]) == (
        "onion_in",
        CLIENT_ADDRESS,
        len(built.body),
    )
    assert (relayed["kind"], relayed["next"]) == ("onion_relay", second.pubkey_ed25519)
    arrived_first = arrived["seq"]
    # Relays: the nodes on both sides.
    for view, before, after in ((views[1], guard, third), (views[2], second, end)):
        arrived, relayed = view
        assert (arrived["kind"], arrived["sender"]) == ("onion_in", before.pubkey_ed25519)
        assert (relayed["kind"], relayed["next"]) == ("onion_relay", after.pubkey_ed25519)
    # The destination: the last relay and the request.
    arrived, final, rpc = views[3]
    assert (arrived["kind"], arrived["sender"]) == ("onion_in", third.pubkey_ed25519)
    assert (final["kind"], final["bytes"]) == ("onion_final", len(request))
    assert (rpc["kind"], rpc["method"], rpc["namespace"]) == ("rpc", "retrieve", 42)
    assert (rpc["account"], rpc["status"], rpc["via"]) == (user.pubkey, 200, "onion")
    # Each hop gets less than the one before; a relay hands on exactly what the next one gets.
    sizes = [view[0]["bytes"] for view in views]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4
    assert [view[1]["bytes"] for view in views[:3]] == sizes[1:]

    content = (user.pubkey, user.public.hex(), "retrieve", cursor, str(count), params["signature"])
    names = [(node.pubkey_ed25519, node.pubkey_x25519, f'"{node.name}"') for node in path]
    assert_ignorant(views[0], *content, *names[2], *names[3])
    assert_ignorant(views[1], *content, CLIENT_ADDRESS, *names[3])
    assert_ignorant(views[2], *content, CLIENT_ADDRESS, *names[0])
    assert_ignorant(views[3], CLIENT_ADDRESS, *names[0], *names[1])
    # Joined, it is the path that the client chose.
    (joined,) = network.trace.paths(since=since)
    assert joined == {
        "seq": arrived_first,
        "client": CLIENT_ADDRESS,
        "hops": [node.name for node in path],
        "bytes": sizes,
        "outcome": "final",
        "destination": end.name,
    }
    # Nobody else took part.
    others = {event["node"] for event in network.trace.events(since=since)} - {node.name for node in path}
    assert others == set()


@BOTH_TYPES
def test_only_the_last_relay_knows_the_server(client: Client, enc_type: onion.EncryptionType) -> None:
    network, path = client.network, client.nodes[:3]
    community = network.state["community"]
    place = urllib.parse.urlsplit(community["url"])
    destination = onion.ServerDestination(
        host=str(place.hostname),
        x25519_pk=bytes.fromhex(community["public_key"]),
        protocol="http",
        port=place.port or 80,
    )
    payload = onion.encode_v4_request("GET", "/capabilities", {"X-Secret": "s3cret"}, None)
    built = onion.build([onion.Hop(*keys(node)) for node in path], destination, payload, enc_type=enc_type)
    since = network.trace.last_seq()
    answer = onion.decode_v4_response(onion.open_reply(built.reply_key, send(path[0], built.body)))
    assert answer.code == 200

    views = [seen(network, since, node) for node in path]
    assert [[event["kind"] for event in view] for view in views] == [
        ["onion_in", "onion_relay"],
        ["onion_in", "onion_relay"],
        ["onion_in", "onion_exit"],
    ]
    (joined,) = network.trace.paths(since=since)
    assert joined["hops"] == [node.name for node in path]
    assert (joined["outcome"], joined["destination"]) == ("exit", f"{community['url']}/oxen/v4/lsrpc")
    leaving = views[2][1]
    assert (leaving["host"], leaving["port"], leaving["target"]) == (
        place.hostname,
        place.port,
        "/oxen/v4/lsrpc",
    )
    server = (f'"port": {place.port}', "/oxen/v4/lsrpc", community["public_key"])
    inside = ("capabilities", "s3cret")
    assert_ignorant(views[0], *server, *inside)
    assert_ignorant(views[1], *server, *inside, CLIENT_ADDRESS)
    assert_ignorant(views[2], *inside, CLIENT_ADDRESS, path[0].pubkey_ed25519)


def test_the_event_of_a_request(client: Client) -> None:
    """It names method and account, and no address: only a guard knows one."""
    user = client.user()
    since = client.network.trace.last_seq()
    client.store(user, b"abc")
    (rpc,) = (event for event in client.network.trace.events(since=since) if event["kind"] == "rpc")
    assert (rpc["method"], rpc["account"]) == ("store", user.pubkey)
    assert "address" not in rpc
