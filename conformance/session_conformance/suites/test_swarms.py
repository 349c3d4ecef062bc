"""Judge how a client finds the swarm of an account, and copes with failing members (client-protocol §6.2).

Which member a client asks first is its own affair: a fault strikes whoever that is, and stays with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from session_conformance.actors import Actor, NetworkAccess, from_sender
from session_conformance.checks import check
from session_conformance.contract import Testee
from session_conformance.mailboxes import mailbox
from session_conformance.plugin import CaseContext
from session_conformance.testnet_errors import TooFewNodes
from session_testnet import NetworkHandle

SEND = ("client.create", "client.send")
RECEIVE = ("client.create", "client.poll")

# A client may ask one random member a round, and give the round up when that one fails: with one of two
# members against it, it finds the other one in so many rounds but for one time in a thousand.
PATIENT_POLLS = 10

# How often a pinned fault strikes before the node recovers: a client that asks nobody else ends all the same.
STUBBORN_REQUESTS = 3


def require_members(network: NetworkHandle, account_id: str, count: int) -> None:
    """Raise TooFewNodes when the swarm of an account is smaller than a check needs."""
    members = len(network.swarm(account_id))
    if members < count:
        raise TooFewNodes(f"the check needs a swarm of {count} members, the account's has {members}")


@contextmanager
def first_asked(network: NetworkHandle, account_id: str, **fault: Any) -> Iterator[dict[str, Any]]:
    """Let the member that is asked first to store for an account misbehave, and nobody else.

    Give the state of the fault, filled in at the end of the block: ``used`` counts how often the member was
    asked. Raise AssertionError when no member was.
    """
    rule = network.faults.add({"methods": ["store"], "account": account_id, "pin": True, **fault})
    struck: dict[str, Any] = {}
    yield struck
    struck |= next(each for each in network.faults.list() if each["id"] == rule)
    network.faults.clear(rule)
    assert struck["used"], "no member of the recipient's swarm was asked to store"


def arrives(sender: Actor, recipient: Actor, bodies: list[str]) -> None:
    """Assert that each text arrived once, and nothing else from there."""
    recipient.wait_for(from_sender(sender), count=len(bodies))
    recipient.poll()
    assert sorted(recipient.texts_from(sender)) == sorted(bodies)


@check("SWARM-01", ops=("client.create", "client.swarm"))
def test_finds_its_swarm(
    testee: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    for number in range(3):
        actor = Actor.join(testee, access, f"resident{number}", case.random)
        found = {node["pubkey_ed25519"] for node in actor.call("client.swarm")["nodes"]}
        assert found == {node.pubkey_ed25519 for node in network.swarm(actor.account_id)}


@check("SWARM-02", ops=SEND)
def test_stores_in_the_recipients_swarm(
    testee: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(testee, access, "bob", case.random)
    alice.send(bob, "in the right place")
    found = mailbox(network, bob)
    assert [message.content.get("body") for message in found] == ["in the right place"]
    assert found[0].sender_account_id == alice.account_id


@check("SWARM-03", ops=SEND, peer_ops=RECEIVE)
def test_sends_past_a_dead_member(
    testee: Testee, peer: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    """Whichever member is asked first closes the connection without an answer, then and ever after."""
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(peer, access, "bob", case.random)
    require_members(network, bob.account_id, 2)
    bodies = ["past a dead member", "and once more"]
    for body in bodies:
        with first_asked(network, bob.account_id, action="drop"):
            alice.send(bob, body)
    arrives(alice, bob, bodies)


@check("SWARM-03", ops=RECEIVE, peer_ops=SEND)
def test_receives_past_a_dead_member(
    testee: Testee, peer: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    """Members that the client polled first go down; half of the swarm stays, and has the next message."""
    access = access.with_nodes_down(access.largest_swarm() // 2)
    alice = Actor.join(peer, access, "alice", case.random)
    bob = Actor.join(testee, access, "bob", case.random)
    for name in polled_members(network, bob):
        network.node(name).stop()
    alice.send(bob, "from the others")
    bob.wait_for(from_sender(alice), polls=PATIENT_POLLS, through_failures=True)


def polled_members(network: NetworkHandle, actor: Actor) -> list[str]:
    """Let somebody poll; return the first nodes that were asked, half of the swarm at most.

    A client may ask one member, a few, or all of them. Raise TooFewNodes for a swarm of one.
    """
    require_members(network, actor.account_id, 2)
    seen = network.trace.last_seq()
    actor.poll()
    asked = dict.fromkeys(
        event["node"]
        for event in network.trace.events(since=seen, kind="rpc")
        if event["method"] == "retrieve" and event["account"] == actor.account_id
    )
    assert asked, "the client polled, but no node was asked to retrieve"
    return list(asked)[: len(network.swarm(actor.account_id)) // 2]


@check("SWARM-04", ops=SEND, peer_ops=RECEIVE)
def test_follows_a_swarm_change_when_sending(
    testee: Testee, peer: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    """The member asked first has left the swarm, and names those who are left: it is not asked again."""
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(peer, access, "bob", case.random)
    require_members(network, bob.account_id, 2)
    bodies = ["moved", "and settled"]
    with first_asked(network, bob.account_id, action="wrong_swarm", times=STUBBORN_REQUESTS) as left:
        for body in bodies:
            alice.send(bob, body)
    arrives(alice, bob, bodies)
    assert left["used"] == 1, f"{left['pinned_to']} answered 421 and was asked again, {left['used']} times"


@check("SWARM-04", ops=RECEIVE, peer_ops=SEND)
def test_follows_a_swarm_change_when_polling(
    testee: Testee, peer: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    """Members that the client polled first have left; half of the swarm stays, and has the next message."""
    alice = Actor.join(peer, access, "alice", case.random)
    bob = Actor.join(testee, access, "bob", case.random)
    for name in polled_members(network, bob):
        network.faults.add({"node": name, "action": "wrong_swarm", "methods": ["retrieve"]})
    alice.send(bob, "moved")
    bob.wait_for(from_sender(alice), polls=PATIENT_POLLS, through_failures=True)


@check("SWARM-05", ops=SEND, peer_ops=RECEIVE)
def test_passes_over_a_failing_member(
    testee: Testee, peer: Testee, network: NetworkHandle, access: NetworkAccess, case: CaseContext
) -> None:
    """The member asked first fails: the request goes to another one, not to the same again."""
    alice = Actor.join(testee, access, "alice", case.random)
    bob = Actor.join(peer, access, "bob", case.random)
    require_members(network, bob.account_id, 2)
    bodies = []
    for status in (500, 502, 503):
        bodies.append(f"despite {status}")
        with first_asked(
            network, bob.account_id, action="status", status=status, times=STUBBORN_REQUESTS
        ) as failing:
            alice.send(bob, bodies[-1])
        assert failing["used"] == 1, f"{failing['pinned_to']} answered {status} and was asked again"
    arrives(alice, bob, bodies)
