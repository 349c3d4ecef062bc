"""Judge messaging across a network, end to end: the testee alone, towards the reference and from it.

The peer is our reference client unless another testee is named; both join the same testnet.
"""

import base64
from typing import Any

from session_conformance.actors import ONION_NODES, Actor, NetworkAccess, from_sender, of_kind
from session_conformance.checks import check
from session_conformance.contract import Testee
from session_conformance.genuine import Genuine
from session_conformance.mailboxes import mailbox, uploaded_file
from session_conformance.plugin import CaseContext
from session_conformance.testnet_errors import TestnetErred, TooFewNodes
from session_protocol import content as content_codec
from session_protocol import padding
from session_testnet import NetworkHandle

SEND = ("client.create", "client.send")
RECEIVE = ("client.create", "client.poll")
BOTH = ("client.create", "client.send", "client.poll")

# What people write: scripts, directions, joined emoji, lengths around the padding steps, and a long one.
BODIES = (
    "hello",
    "שלום עולם — مرحبا",
    "👩🏽‍🚀🏳️‍🌈 e\u0301",
    "x" * 141,
    "y" * 142,
    "line one\nline two\ttabbed",
    "z" * 1_999,
)


def store_as_stranger(network: NetworkHandle, recipient: Actor, data: bytes, timestamp_ms: int) -> None:
    """Put bytes into a mailbox, as anyone on the network can."""
    answer = network.storage_rpc(
        network.swarm(recipient.account_id)[0].name,
        "store",
        {
            "pubkey": recipient.account_id,
            "namespace": 0,
            "timestamp": timestamp_ms,
            "ttl": 3_600_000,
            "data": base64.b64encode(data).decode(),
        },
    )
    if answer["status"] != 200:
        raise TestnetErred(f"the testnet refused a stranger's message: {answer}")


def arrives_once(sender: Actor, recipient: Actor, sent: list[tuple[str, dict[str, Any]]]) -> None:
    """Assert that every text arrived exactly once, with sender and timestamp, and nothing else from there."""
    recipient.wait_for(from_sender(sender), count=len(sent))
    recipient.poll()
    came = [message for message in recipient.received if from_sender(sender)(message)]
    assert sorted(message["content"].get("body", "") for message in came) == sorted(body for body, _ in sent)
    timestamps = {body: result["timestamp_ms"] for body, result in sent}
    for message in came:
        assert message["timestamp_ms"] == timestamps[message["content"].get("body", "")]


@check("NET-01", ops=("client.create",))
def test_joins_the_network(testee: Testee, access: NetworkAccess, case: CaseContext) -> None:
    Actor.join(testee, access, "newcomer", case.random).leave()


@check("NET-01", ops=("client.create",))
def test_joins_with_a_recovery_password(testee: Testee, access: NetworkAccess, case: CaseContext) -> None:
    Actor.join(testee, access, "newcomer", case.random, by_words=True).leave()


@check("MSG-01", "MSG-02", ops=BOTH)
def test_talks_to_itself(testee: Testee, access: NetworkAccess, case: CaseContext) -> None:
    """Two accounts of the same implementation."""
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(testee, access, "bob", case.random)
    arrives_once(alice, bob, [(body, alice.send(bob, body)) for body in BODIES])
    arrives_once(bob, alice, [("and back", bob.send(alice, "and back"))])


@check("MSG-01", "MSG-02", ops=SEND, peer_ops=RECEIVE)
def test_is_understood_by_the_peer(
    testee: Testee, peer: Testee, access: NetworkAccess, case: CaseContext
) -> None:
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(peer, access, "bob", case.random)
    arrives_once(alice, bob, [(body, alice.send(bob, body)) for body in BODIES])


@check("MSG-01", "MSG-02", ops=RECEIVE, peer_ops=SEND)
def test_understands_the_peer(testee: Testee, peer: Testee, access: NetworkAccess, case: CaseContext) -> None:
    alice = Actor.join(peer, access, "alice", case.random)
    bob = Actor.join(testee, access, "bob", case.random)
    arrives_once(alice, bob, [(body, alice.send(bob, body)) for body in BODIES])


@check("MSG-02", ops=RECEIVE, peer_ops=SEND)
def test_reports_a_message_once(
    testee: Testee, peer: Testee, access: NetworkAccess, case: CaseContext
) -> None:
    alice = Actor.join(peer, access, "alice", case.random)
    bob = Actor.join(testee, access, "bob", case.random)
    alice.send(bob, "only once")
    bob.wait_for(from_sender(alice))
    for _ in range(3):
        bob.poll()
    assert bob.texts_from(alice) == ["only once"]


@check("MSG-02", ops=RECEIVE, peer_ops=SEND)
def test_reports_a_repeated_message_once(
    testee: Testee, peer: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    """A node may list a message twice; the storage hash tells."""
    alice = Actor.join(peer, access, "alice", case.random)
    bob = Actor.join(testee, access, "bob", case.random)
    network.faults.add({"node": "*", "action": "duplicate"})
    alice.send(bob, "twice on the wire")
    bob.wait_for(from_sender(alice))
    bob.poll()
    assert bob.texts_from(alice) == ["twice on the wire"]


@check("MSG-03", ops=SEND)
def test_copies_sent_messages_to_itself(
    testee: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(testee, access, "bob", case.random)
    sent = alice.send(bob, "for all my devices")
    copies = [message.content for message in mailbox(network, alice)]
    assert any(
        copy.get("sync_target") == bob.account_id and copy.get("body") == "for all my devices"
        for copy in copies
    ), f"no copy in the own swarm, only {copies}"
    assert all(copy.get("timestamp_ms", sent["timestamp_ms"]) == sent["timestamp_ms"] for copy in copies)


@check("MSG-04", ops=RECEIVE)
def test_ignores_forged_copies(
    testee: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext, genuine: Genuine
) -> None:
    """A stranger's message with a sync target must not pass for one that the owner wrote."""
    bob = Actor.join(testee, access, "bob", case.random)
    stranger = Actor.join(testee, access, "mallory", case.random)
    now = network.clock.now_ms()
    forged = {
        "kind": "text",
        "body": "I never wrote this",
        "timestamp_ms": now,
        "sync_target": stranger.account_id,
    }
    plain = padding.pad(content_codec.build_content(forged))
    ciphertext = genuine.seal(stranger.account, bob.account.x25519_pk, plain)
    store_as_stranger(network, bob, genuine.wrap_envelope(ciphertext, now), now)
    credible = genuine.encode_1o1(
        stranger.account, bob.account_id, {"kind": "text", "body": "I did", "timestamp_ms": now + 1}, now + 1
    )
    store_as_stranger(network, bob, credible, now + 1)
    bob.wait_for(lambda message: message["content"].get("body") == "I did")
    bodies = [message["content"].get("body") for message in bob.received]
    assert "I never wrote this" not in bodies, "a forged copy of an own message was accepted"


@check("MSG-05", ops=RECEIVE, peer_ops=SEND)
def test_reads_on_after_unreadable_messages(
    testee: Testee,
    peer: Testee,
    network: NetworkHandle,
    access: NetworkAccess,
    case: CaseContext,
    genuine: Genuine,
) -> None:
    alice = Actor.join(peer, access, "alice", case.random)
    bob = Actor.join(testee, access, "bob", case.random)
    alice.send(bob, "before")
    now = network.clock.now_ms()
    noise = case.random.randbytes(200)
    for number, data in enumerate((noise, genuine.wrap_envelope(noise, now), b"\x00\x02" + noise, b"\x08")):
        store_as_stranger(network, bob, data, now + number)
    alice.send(bob, "after")
    bob.wait_for(from_sender(alice), count=2)
    assert sorted(bob.texts_from(alice)) == ["after", "before"]


@check("MSG-06", ops=(*SEND, "client.upload"), peer_ops=(*RECEIVE, "client.download"))
def test_sends_attachments(
    testee: Testee, peer: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(peer, access, "bob", case.random)
    data = case.random.randbytes(1_000)
    received = deliver_attachment(alice, bob, data)
    # What nobody could open is not the fault of the peer that cannot.
    assert uploaded_file(network, received) == data
    assert bob.call("client.download", attachment=received)["data_hex"] == data.hex()


@check("MSG-06", ops=(*RECEIVE, "client.download"), peer_ops=(*SEND, "client.upload"))
def test_receives_attachments(testee: Testee, peer: Testee, access: NetworkAccess, case: CaseContext) -> None:
    alice = Actor.join(peer, access, "alice", case.random)
    bob = Actor.join(testee, access, "bob", case.random)
    data = case.random.randbytes(4_321)
    received = deliver_attachment(alice, bob, data)
    assert bob.call("client.download", attachment=received)["data_hex"] == data.hex()


def deliver_attachment(sender: Actor, recipient: Actor, data: bytes) -> dict[str, Any]:
    """Send a file with a text; return the pointer that arrives."""
    attachment = sender.call(
        "client.upload", data_hex=data.hex(), file_name="photo.jpg", content_type="image/jpeg"
    )["attachment"]
    sender.send(recipient, "see the photo", attachments=[attachment])
    received = recipient.wait_for(from_sender(sender))[0]["content"]
    pointer: dict[str, Any] = received["attachments"][0]
    assert pointer["size"] == len(data)
    return pointer


@check("MSG-07", ops=(*BOTH, "client.react"), peer_ops=BOTH)
def test_delivers_reactions(testee: Testee, peer: Testee, access: NetworkAccess, case: CaseContext) -> None:
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(peer, access, "bob", case.random)
    target = bob.send(alice, "do you like it?")["timestamp_ms"]
    alice.wait_for(from_sender(bob))
    alice.call(
        "client.react",
        conversation=bob.account_id,
        timestamp_ms=target,
        author=bob.account_id,
        emoji="👍",
    )
    reaction = bob.wait_for(of_kind("reaction", alice))[0]["content"]
    assert (reaction["target_ms"], reaction["emoji"]) == (target, "👍")
    assert not reaction.get("remove")


@check("MSG-07", ops=(*BOTH, "client.mark_read"), peer_ops=BOTH)
def test_delivers_read_receipts(
    testee: Testee, peer: Testee, access: NetworkAccess, case: CaseContext
) -> None:
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(peer, access, "bob", case.random)
    sent = bob.send(alice, "read me")["timestamp_ms"]
    alice.wait_for(from_sender(bob))
    alice.call("client.mark_read", conversation=bob.account_id, timestamps_ms=[sent])
    assert bob.wait_for(of_kind("receipt", alice))[0]["content"]["read_ms"] == [sent]


@check("MSG-07", ops=(*BOTH, "client.typing"), peer_ops=RECEIVE)
def test_delivers_typing_indicators(
    testee: Testee, peer: Testee, access: NetworkAccess, case: CaseContext
) -> None:
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(peer, access, "bob", case.random)
    for started in (True, False):
        alice.call("client.typing", conversation=bob.account_id, started=started)
    indicators = bob.wait_for(of_kind("typing", alice), count=2)
    assert [bool(message["content"]["started"]) for message in indicators] == [True, False]


@check("MSG-07", ops=(*BOTH, "client.delete_message"), peer_ops=RECEIVE)
def test_delivers_unsend_requests(
    testee: Testee, peer: Testee, access: NetworkAccess, case: CaseContext
) -> None:
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(peer, access, "bob", case.random)
    sent = alice.send(bob, "on second thoughts")
    bob.wait_for(from_sender(alice))
    alice.call(
        "client.delete_message",
        conversation=bob.account_id,
        timestamp_ms=sent["timestamp_ms"],
        hash=sent.get("hash"),
        everyone=True,
    )
    unsend = bob.wait_for(of_kind("unsend", alice))[0]["content"]
    assert (unsend["target_ms"], unsend["author"]) == (sent["timestamp_ms"], alice.account_id)


@check("MSG-08", ops=RECEIVE)
def test_signs_its_retrieves(
    testee: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    bob = Actor.join(testee, access, "bob", case.random)
    seen = network.trace.last_seq()
    bob.poll()
    retrieves = [
        event
        for event in network.trace.events(since=seen, kind="rpc")
        if event.get("method") == "retrieve" and event.get("account") == bob.account_id
    ]
    assert retrieves, "the client polled, but no node was asked to retrieve"
    refused = [event for event in retrieves if event["status"] != 200]
    assert not refused, f"nodes refused: {refused}"


@check("NET-02", ops=SEND)
def test_hides_who_asks_what(
    testee: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    if testee.hello.feature("network") == "both" and not access.uses_onion(testee):
        raise TooFewNodes(f"an onion request takes {ONION_NODES} nodes, the network has {access.nodes_left}")
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(testee, access, "bob", case.random)
    seen = network.trace.last_seq()
    alice.send(bob, "through the onion")
    stores = [
        event
        for event in network.trace.events(since=seen, kind="rpc")
        if event.get("method") == "store" and event.get("account") == bob.account_id
    ]
    assert stores, "no store reached the recipient's swarm"
    direct = [event for event in stores if event["via"] != "onion"]
    assert not direct, "the node that stores the message saw the sender's address"
