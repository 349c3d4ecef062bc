"""Requests to a whole swarm: forwarding, failed members, and changes of swarms."""

import asyncio
import base64
from typing import Any

import pytest

from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request
from session_testnet.peers import DirectPeerLink, PeerReply, PeerTimeout, PeerUnreachable
from session_testnet.services.storage import StorageSettings

Nodes = Any
DAY_MS = 86_400_000


def test_a_stopped_member_is_reported_and_the_rest_succeeds(nodes: Nodes, alice: Account) -> None:
    nodes.peers.unregister(nodes.keys[2])
    answer = nodes.store(alice.account_id, "AAAA")
    assert answer.status == 200
    assert answer.body["swarm"][nodes.keys[2]] == {"failed": True, "timeout": True}
    assert "failed" not in answer.body["swarm"][nodes.keys[1]]
    assert nodes.retrieve(alice, node=2).body["messages"] == []
    nodes.peers.register(nodes.keys[2], nodes.nodes[2].handle_peer)
    again = nodes.store(alice.account_id, "AAAA")
    already = {key: entry.get("already") for key, entry in again.body["swarm"].items()}
    assert already == {nodes.keys[0]: True, nodes.keys[1]: True, nodes.keys[2]: None}
    assert len(nodes.retrieve(alice, node=2).body["messages"]) == 1


def test_a_member_that_hangs_times_out(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(3, settings=StorageSettings(peer_timeout_s=0.05))

    async def hang(command: str, payload: Any, sender: str) -> PeerReply:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    nodes.peers.register(nodes.keys[1], hang)
    entry = nodes.store(alice.account_id, "AAAA").body["swarm"][nodes.keys[1]]
    assert entry == {"failed": True, "timeout": True}


@pytest.mark.parametrize(
    ("reply", "entry"),
    [
        (PeerReply(401, b"no"), {"failed": True, "code": "401", "reason": "no"}),
        (PeerReply(200, b"garbage"), {"failed": True, "bad_peer_response": True}),
        (PeerReply(421, {"snodes": []}), {"failed": True, "code": "421", "reason": "wrong swarm"}),
    ],
)
def test_a_member_that_fails(nodes: Nodes, alice: Account, reply: PeerReply, entry: dict[str, Any]) -> None:
    async def fail(command: str, payload: Any, sender: str) -> PeerReply:
        assert command == "storage_cc"
        return reply

    nodes.peers.register(nodes.keys[1], fail)
    answer = nodes.store(alice.account_id, "AAAA")
    assert answer.body["swarm"][nodes.keys[1]] == entry
    assert answer.status == 200


def test_all_members_failing_is_an_error_with_the_same_reply(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(2, settings=StorageSettings(database_bytes=1))
    answer = nodes.store(alice.account_id, base64.b64encode(bytes(70_000)).decode())
    assert answer.status == 500
    assert answer.headers["Content-Type"] == "application/json"
    for entry in answer.body["swarm"].values():
        assert entry["failed"] is True
        assert entry["query_failure"] is True
        assert "full" in entry["reason"]
    assert answer.body["hash"]
    assert nodes.nodes[0].message_count() == 0


def test_nothing_is_forwarded_that_the_asked_node_refuses(nodes: Nodes, alice: Account) -> None:
    params = sign_request(alice, "delete_all", {"timestamp": nodes.now})
    nodes.ask("delete_all", {**params, "namespace": 5})
    assert nodes.trace.events(kind="peer") == []


@pytest.mark.parametrize(
    ("behind_ms", "entry"),
    [
        (10_000, None),
        (10_001, {"failed": True, "code": "406", "reason": "delete_all timestamp too far from current time"}),
    ],
)
def test_forwarded_requests_have_ten_seconds_more(
    make_nodes: Any, alice: Account, behind_ms: int, entry: dict[str, Any] | None
) -> None:
    """A member whose clock is a little behind takes what the asked node took at the last moment."""
    nodes = make_nodes(2, skews_ms=[0, -behind_ms])
    answer = nodes.signed(alice, "delete_all", {"timestamp": nodes.now + 60_000})
    assert answer.status == 200
    got = answer.body["swarm"][nodes.keys[1]]
    assert (got == entry) if entry else (got["deleted"] == [])


def test_members_of_other_swarms_get_nothing(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(swarms=[0, 0, 2**63])
    answer = nodes.store(alice.account_id, "AAAA")
    assert set(answer.body["swarm"]) == {nodes.keys[0], nodes.keys[1]}
    assert nodes.nodes[2].message_count() == 0


def change_swarms(nodes: Nodes, swarms: list[int]) -> None:
    async def update() -> None:
        for node in nodes.nodes:
            node.update_network(nodes.network(swarms))
        for node in nodes.nodes:
            await node.settled()

    nodes.run(update())


def test_a_new_member_gets_the_swarms_messages_with_their_namespaces(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(swarms=[0, 0, 2**63])
    for namespace in (0, 40, -10):
        nodes.store(alice.account_id, "AAAA", namespace=namespace)
    change_swarms(nodes, [0, 0, 0])
    for namespace in (0, 40, -10):
        pages = [nodes.retrieve(alice, namespace=namespace, node=node).body["messages"] for node in (0, 2)]
        assert pages[0] == pages[1]
        assert len(pages[0]) == 1


def test_messages_follow_their_account_into_another_swarm(make_nodes: Any, alice: Account) -> None:
    # The account's position is 308072453193212310.
    nodes = make_nodes(swarms=[0, 2**63])
    nodes.store(alice.account_id, "AAAA")
    assert nodes.nodes[1].message_count() == 0
    change_swarms(nodes, [2**63, 2**63])
    assert nodes.nodes[1].message_count() == 1
    assert len(nodes.retrieve(alice, node=1).body["messages"]) == 1


def test_the_link_between_two_nodes(runner: asyncio.Runner) -> None:
    link = DirectPeerLink()

    async def echo(command: str, payload: Any, sender: str) -> PeerReply:
        return PeerReply(200, payload)

    async def scenario() -> None:
        link.register("b", echo)
        assert (await link.request("b", "ping", b"x", timeout_s=1, sender="a")).body == b"x"
        link.cut("a", "b")
        with pytest.raises(PeerUnreachable, match="no node answers under b"):
            await link.request("b", "ping", b"x", timeout_s=1, sender="a")
        assert (await link.request("b", "ping", b"y", timeout_s=1, sender="c")).body == b"y"
        link.mend("a", "b")
        link.set_latency("a", "b", 30)
        with pytest.raises(PeerTimeout, match=r"waited 0\.01 s for node b to answer ping"):
            await link.request("b", "ping", b"x", timeout_s=0.01, sender="a")
        link.set_latency("a", "b", 0)
        await link.request("b", "ping", b"x", timeout_s=1, sender="a")
        with pytest.raises(ValueError, match="below 0"):
            link.set_latency("a", "b", -1)

        async def broken(command: str, payload: Any, sender: str) -> PeerReply:
            raise TimeoutError("its own")

        link.register("b", broken)
        with pytest.raises(TimeoutError, match="its own"):
            await link.request("b", "ping", b"x", timeout_s=1)

    runner.run(scenario())


@pytest.mark.parametrize(
    ("command", "payload", "status", "body"),
    [
        ("ping", None, 200, b"pong"),
        ("storage_cc", b"x", 400, b"Invalid forwarded client request"),
        ("data", "x", 400, b"expected a list of messages"),
        ("unheard_of", None, 404, b"no command unheard_of"),
    ],
)
def test_commands_of_peers(nodes: Nodes, command: str, payload: Any, status: int, body: bytes) -> None:
    reply = nodes.run(nodes.nodes[0].handle_peer(command, payload))
    assert (reply.status, reply.body) == (status, body)
