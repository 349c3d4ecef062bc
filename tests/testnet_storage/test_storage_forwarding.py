"""What members tell each other, and what they do at their own time: forwarding, delivering, purging."""

import asyncio
import sqlite3
from collections.abc import Mapping
from typing import Any

import pytest

from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request
from session_testnet.knobs import RateLimit
from session_testnet.peers import PeerReply, PeerUnreachable
from session_testnet.services.storage import StorageSettings
from session_testnet.services.storage.database import MessageDatabase
from session_testnet.services.storage.handover import Handover
from session_testnet.services.storage.rate_limit import RateLimiter
from session_testnet.services.storage.stored import StoredMessage
from session_testnet.services.storage.transfers import MAX_TRANSFER_BYTES, export

Nodes = Any
DAY_MS = 86_400_000
PATIENCE_S = 20


def listen_in(nodes: Nodes, member: int) -> list[Any]:
    """Return the requests that a member will have been forwarded."""
    heard: list[Any] = []

    async def handle(command: str, payload: Any, sender: str) -> PeerReply:
        if command == "storage_cc":
            heard.append(payload.request)
        reply: PeerReply = await nodes.nodes[member].handle_peer(command, payload, sender)
        return reply

    nodes.peers.register(nodes.keys[member], handle)
    return heard


@pytest.mark.parametrize("method", ["expire_all", "unrevoke_subaccount"])
@pytest.mark.parametrize(("apart_ms", "taken"), [(10_000, True), (10_001, False)])
def test_forwarded_requests_are_given_ten_seconds_more(
    make_nodes: Any, alice: Account, method: str, apart_ms: int, taken: bool
) -> None:
    """The asked node takes them at the last moment; its member's clock is ahead, or behind."""
    ahead = method == "expire_all"
    nodes = make_nodes(2, skews_ms=[0, apart_ms if ahead else -apart_ms])
    params: dict[str, Any] = (
        {"expiry": nodes.now - 60_000}
        if ahead
        else {"unrevoke": ["00" * 36], "timestamp": nodes.now + 60_000}
    )
    answer = nodes.signed(alice, method, params)
    assert answer.status == 200
    entry = answer.body["swarm"][nodes.keys[1]]
    assert (entry.get("code") == "406") is not taken
    assert ("signature" in entry) is taken


def test_what_is_forwarded_is_what_was_signed(nodes: Nodes, alice: Account) -> None:
    """A far expiry goes uncapped; that a deletion of nothing is an error is not the others' affair."""
    heard = listen_in(nodes, 1)
    message = nodes.store(alice.account_id, "AAAA").body["hash"]
    far = nodes.now + 99 * DAY_MS
    answer = nodes.signed(alice, "expire", {"messages": [message], "expiry": far})
    assert heard[-1].expiries == (far,)
    assert {entry["expiry"] for entry in answer.body["swarm"].values()} == {nodes.now + 30 * DAY_MS}
    for messages, status in (([message], 200), (["A" * 43], 404)):
        answer = nodes.signed(alice, "delete", {"messages": messages, "required": True})
        assert (answer.status, heard[-1].required) == (status, False)
        assert not any("failed" in entry for entry in answer.body["swarm"].values())


def test_transfers_are_split_before_they_are_too_large() -> None:
    database = MessageDatabase(None, max_bytes=10**9)
    account, size = b"\x05" * 33, 70_000
    count = 2 * MAX_TRANSFER_BYTES // size
    for number in range(count):
        database.store(StoredMessage(account, str(number), 0, 1, 10, bytes(size)))
    transfers = list(export(database, account, 0))
    database.close()
    sizes = [sum(len(copy.message.data) for copy in transfer.messages) for transfer in transfers]
    assert len(transfers) == 3
    assert all(each <= MAX_TRANSFER_BYTES for each in sizes)
    assert MAX_TRANSFER_BYTES - sizes[0] < size + count * 200
    hashes = [copy.message.hash for transfer in transfers for copy in transfer.messages]
    assert hashes == [str(number) for number in range(count)]


def test_pauses_double_up_to_the_longest(make_nodes: Any, alice: Account) -> None:
    """The time is the test's: minutes pass at once."""
    nodes = make_nodes(2)
    tries: list[float] = []
    now = 0.0

    async def away(command: str, payload: Any, sender: str) -> PeerReply:
        if command == "data":
            tries.append(now)
        raise PeerUnreachable("away")

    nodes.peers.register(nodes.keys[1], away)
    nodes.store(alice.account_id, "AAAA")
    nodes.run(nodes.nodes[0].suspend())
    handover = Handover(nodes.nodes[0]._context, nodes.peers, nodes.trace, time_s=lambda: now)
    for second in range(0, 400, 5):
        now = second
        nodes.run(handover.deliver_due())
    assert tries == [0, 5, 15, 35, 75, 135, 195, 255, 315, 375]


def test_expired_messages_go_in_turns_of_their_own(make_nodes: Any, alice: Account) -> None:
    """The purge survives a failure, and ends with the node."""
    nodes = make_nodes(1, settings=StorageSettings(purge_period_s=0.001))
    node = nodes.nodes[0]
    nodes.store(alice.account_id, "AAAA", ttl=10_000)
    nodes.clock.move(10_000)

    async def purged() -> None:
        node.start_purging()
        async with asyncio.timeout(PATIENCE_S):
            while node.message_count():  # noqa: ASYNC110 - the purge tells nobody
                await asyncio.sleep(0)

    nodes.run(purged())
    failures = 0
    purge = node._database.purge

    def fail_once(now_ms: int) -> int:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise sqlite3.OperationalError("disk I/O error")
        return int(purge(now_ms))

    node._database.purge = fail_once
    nodes.store(alice.account_id, "AAAA", ttl=10_000)
    nodes.clock.move(10_000)
    nodes.run(purged())
    assert failures > 1


def test_a_batch_costs_one_token(make_nodes: Any) -> None:
    nodes = make_nodes(1)
    nodes.nodes[0].set_knobs(nodes.nodes[0].knobs.changed({"rate_limit": {"tokens": 2, "per_second": 0}}))
    batch = {"requests": [{"method": "info", "params": {}}] * 20}
    assert [nodes.ask("batch", batch).status for _ in range(3)] == [200, 200, 429]


def test_so_many_clients_are_counted_and_idle_ones_forgotten() -> None:
    limiter, limit = RateLimiter(), RateLimit(tokens=2, per_second=1)
    for number in range(10_000):
        assert limiter.allows(f"client {number}", 0, limit)
    assert not limiter.allows("one too many", 0, limit)
    assert limiter.allows("client 0", 0, limit), "who is counted already goes on"
    assert not limiter.allows("client 0", 0, limit)
    # Full buckets are as good as none.
    assert limiter.allows("one too many", 2_000, limit)


class Garbage:
    """A chain daemon that answers with something else."""

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        return "<html>"


def test_a_chain_daemon_that_answers_garbage(make_nodes: Any) -> None:
    nodes = make_nodes(1, oxend=Garbage())
    answer = nodes.ask("oxend_request", {"endpoint": "get_service_nodes"})
    assert (answer.status, answer.body) == (502, "oxend returned unparsable data")


def test_requests_of_another_swarm_are_not_forwarded_there(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(swarms=[0, 2**63])
    heard = listen_in(nodes, 0)
    params = sign_request(alice, "delete_all", {"timestamp": nodes.now})
    assert nodes.ask("delete_all", params, node=1).status == 421
    assert heard == []
