"""Members that hear of the same requests, in whatever order and by whatever way, end with the same."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from session_protocol.accounts import Account
from session_protocol.storage_auth import ALL_NAMESPACES, sign_request
from session_testnet.peers import PeerReply
from session_testnet.services.storage.database import MessageDatabase
from session_testnet.services.storage.lives import Kind, LifeChange, expiry_of, relevant
from session_testnet.services.storage.stored import StoredMessage
from session_testnet.services.storage.transfers import export, merge

Nodes = Any
DAY_MS = 86_400_000
ALICE = bytes.fromhex(Account.from_seed(bytes(range(32))).account_id)
OUTBOX = -1
HASHES = ("a", "b", "c")
TIMES = st.sampled_from((100, 200, 300, 400))
MEMBERS = 3


@dataclass(frozen=True)
class Request:
    """What a database is asked at a stamp."""

    stamp: int
    what: str
    number: int
    time: int
    wide: bool

    def carry_out(self, database: MessageDatabase) -> None:
        database.write_at(self.stamp)
        name = HASHES[self.number]
        match self.what:
            case "store":
                database.store(StoredMessage(ALICE, name, self.number % 2, self.stamp, self.time, b""))
            case "outbox":
                # Each has a body of its own.
                name = f"outbox {self}"
                database.replace(StoredMessage(ALICE, name, OUTBOX, self.time, self.time, b""))
            case "set" | "raise" | "shorten":
                database.change_lives(ALICE, Kind[self.what.upper()], {name: self.time})
            case "expire_all":
                database.shorten_all(ALICE, ALL_NAMESPACES if self.wide else self.number % 2, self.time)
            case "delete":
                database.delete(ALICE, [name])
            case "delete_all":
                database.delete_all(ALICE, self.number % 2)
            case "revoke":
                database.revoke(ALICE, [name.encode()])
            case "unrevoke":
                database.unrevoke(ALICE, [name.encode()])


REQUESTS = st.lists(
    st.builds(
        Request,
        stamp=st.integers(2, 12),
        what=st.sampled_from(
            (
                *("store", "store", "outbox", "set", "raise", "shorten", "expire_all"),
                *("delete", "delete_all", "revoke", "unrevoke"),
            )
        ),
        number=st.integers(0, len(HASHES) - 1),
        time=TIMES,
        wide=st.booleans(),
    ),
    max_size=9,
    # Two requests of the same moment come from two members; one member never gives a stamp twice.
    unique_by=lambda request: (request.stamp, request.what, request.number, request.time),
)


def opened() -> MessageDatabase:
    """Return a database with a message that stays: revocations need one."""
    database = MessageDatabase(None, max_bytes=10**9)
    database.write_at(1)
    database.store(StoredMessage(ALICE, "stays", 7, 1, 10**6, b""))
    database.store(StoredMessage(ALICE, "a", 0, 1, 250, b""))
    return database


def state(database: MessageDatabase, requests: Sequence[Request]) -> tuple[Any, ...]:
    """Return what clients can see; the timestamp only of messages that cannot have had two lives."""
    lives_once = not any(request.what.startswith("delete") for request in requests)
    messages = sorted(
        (namespace, message, timestamp if lives_once else 0, expiry)
        for namespace in (0, 1, 7, OUTBOX)
        for message, timestamp, expiry, _ in database.retrieve(ALICE, namespace).messages
        if message != "stays"
    )
    return messages, sorted(database.revoked_tokens(ALICE))


@settings(max_examples=150, deadline=None)
@given(requests=REQUESTS, data=st.data())
def test_the_order_of_requests_does_not_matter(requests: list[Request], data: st.DataObject) -> None:
    states = []
    for _ in range(MEMBERS):
        database = opened()
        for request in data.draw(st.permutations(requests)):
            request.carry_out(database)
        states.append(state(database, requests))
        database.close()
    assert states[1:] == states[:-1]


@settings(max_examples=150, deadline=None)
@given(requests=REQUESTS, data=st.data())
def test_being_told_is_the_same_as_having_been_asked(requests: list[Request], data: st.DataObject) -> None:
    """Each request reaches one member at least; then all tell each other everything."""
    databases = [opened() for _ in range(MEMBERS)]
    for request in requests:
        reached = data.draw(st.sets(st.integers(0, MEMBERS - 1), min_size=1))
        for number in reached:
            request.carry_out(databases[number])
    for _ in range(2):
        for giver in databases:
            for taker in databases:
                if giver is not taker:
                    exchange(giver, taker)
    reference = opened()
    for request in sorted(requests, key=lambda request: request.stamp):
        request.carry_out(reference)
    states = [state(database, requests) for database in (*databases, reference)]
    for database in (*databases, reference):
        database.close()
    assert states[1:] == states[:-1]


def exchange(giver: MessageDatabase, taker: MessageDatabase) -> None:
    for transfer in export(giver, ALICE, 0):
        merge(taker, transfer, now_ms=1)


CHANGES = st.lists(
    st.builds(LifeChange, stamp=st.integers(0, 9), kind=st.sampled_from(Kind), expiry=st.integers(1, 9)),
    max_size=12,
)


@given(one=CHANGES, other=CHANGES)
def test_what_is_forgotten_of_a_life_does_not_matter(
    one: Sequence[LifeChange], other: Sequence[LifeChange]
) -> None:
    both = expiry_of({*one, *other})
    assert expiry_of([*relevant(one), *other]) == both
    assert relevant([*relevant(one), *relevant(other)]) == relevant([*one, *other])


def test_a_life_is_remembered_in_bounds() -> None:
    changes = [LifeChange(0, Kind.STORE, 1)]
    for number in range(1, 1000):
        changes = relevant([*changes, LifeChange(number, Kind.SHORTEN, number)])
    assert len(changes) < 40
    assert expiry_of(changes) == 1


def at_once(nodes: Nodes, *asked: tuple[int, str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask nodes at the same time, whose links to each other are slow; return the bodies of the answers."""
    for one in nodes.keys:
        for other in nodes.keys:
            nodes.peers.set_latency(one, other, 0.02)

    async def ask() -> list[Any]:
        return await asyncio.gather(
            *(nodes.nodes[node].rpc(method, params) for node, method, params in asked)
        )

    results = nodes.run(ask())
    assert [result.status for result in results] == [200] * len(asked)
    return [result.body for result in results]


def test_concurrent_changes_of_a_life_end_alike(nodes: Nodes, alice: Account) -> None:
    message = nodes.store(alice.account_id, "AAAA").body["hash"]
    asked = [
        (node, "expire", sign_request(alice, "expire", {"messages": [message], "expiry": nodes.now + life}))
        for node, life in ((0, 100_000_000), (1, 200_000_000))
    ]
    at_once(nodes, *asked)
    expiries = {nodes.retrieve(alice, node=node).body["messages"][0]["expiration"] for node in range(3)}
    assert len(expiries) == 1


def test_a_concurrent_revocation_and_its_opposite_end_alike(nodes: Nodes, alice: Account) -> None:
    group = "03" + alice.ed25519_pk.hex()
    token = (b"\x03\x07\0\0" + bytes(32)).hex()

    def signed(method: str, **params: Any) -> dict[str, Any]:
        request = sign_request(alice, method, {"timestamp": nodes.now, **params})
        del request["pubkey_ed25519"]
        return {**request, "pubkey": group}

    store = {"namespace": 11, "ttl": DAY_MS, "data": "AAAA"}
    assert nodes.ask("store", signed("store", **store)).status == 200
    at_once(
        nodes,
        (0, "revoke_subaccount", signed("revoke_subaccount", revoke=[token])),
        (1, "unrevoke_subaccount", signed("unrevoke_subaccount", unrevoke=[token])),
    )
    answers = [
        nodes.ask("revoked_subaccounts", signed("revoked_subaccounts"), node=node) for node in range(3)
    ]
    revoked = [answer.body["revoked_subaccounts"] for answer in answers]
    assert revoked[1:] == revoked[:-1]


def test_concurrent_stores_to_an_outbox_end_alike(nodes: Nodes, alice: Account) -> None:
    stores = [
        sign_request(
            alice,
            "store",
            {
                "timestamp": nodes.now,
                "ttl": DAY_MS,
                "data": base64.b64encode(text).decode(),
                "namespace": OUTBOX,
            },
        )
        for text in (b"one", b"two")
    ]
    at_once(nodes, *((node, "store", params) for node, params in enumerate(stores)))
    pages = [nodes.retrieve(alice, node=node, namespace=OUTBOX).body["messages"] for node in range(3)]
    assert pages[1:] == pages[:-1]
    assert len(pages[0]) == 1


def test_what_overtakes_a_store_counts_all_the_same(nodes: Nodes, alice: Account) -> None:
    """The store reaches the third node after requests about the message that came later to others."""
    data = base64.b64encode(b"late").decode()
    params = {"pubkey": alice.account_id, "timestamp": nodes.now, "ttl": 9 * DAY_MS, "data": data}

    async def scenario() -> None:
        stored, overtaken = asyncio.Event(), asyncio.Event()

        async def second(command: str, payload: Any, sender: str) -> PeerReply:
            reply = await nodes.nodes[1].handle_peer(command, payload, sender)
            stored.set()
            return reply

        async def third(command: str, payload: Any, sender: str) -> PeerReply:
            if payload.method == "store":
                await overtaken.wait()
            return await nodes.nodes[2].handle_peer(command, payload, sender)

        nodes.peers.register(nodes.keys[1], second)
        nodes.peers.register(nodes.keys[2], third)
        storing = asyncio.create_task(nodes.nodes[0].rpc("store", params))
        await stored.wait()
        shorten = sign_request(alice, "expire_all", {"expiry": nodes.now + DAY_MS})
        assert (await nodes.nodes[1].rpc("expire_all", shorten)).status == 200
        assert not nodes.nodes[2].message_count()
        overtaken.set()
        assert (await storing).status == 200

    nodes.run(scenario())
    expiries = {nodes.retrieve(alice, node=node).body["messages"][0]["expiration"] for node in range(3)}
    assert expiries == {nodes.now + DAY_MS}


def test_the_asked_member_decides_for_all_how_long_messages_may_live(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(3, skews_ms=[0, 3000, -3000])
    message = nodes.store(alice.account_id, "AAAA").body["hash"]
    far = nodes.now + 99 * DAY_MS
    entries = nodes.signed(alice, "expire", {"messages": [message], "expiry": far}).body["swarm"].values()
    assert {entry["expiry"] for entry in entries} == {nodes.now + 30 * DAY_MS}
