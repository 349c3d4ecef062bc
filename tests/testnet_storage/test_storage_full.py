"""A node whose disk is full: what it says, what it still does, and that it recovers."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_protocol.accounts import Account
from session_testnet.services.storage import StorageSettings
from session_testnet.services.storage.database import MessageDatabase
from session_testnet.services.storage.stored import DatabaseFull, StoredMessage
from session_testnet.services.storage.undelivered import Debt, NetworkView

Nodes = Any
DAY_MS = 86_400_000
ALICE = bytes.fromhex(Account.from_seed(bytes(range(32))).account_id)
SMALL = StorageSettings(database_bytes=400_000)


def made_up(count: int, first: int = 0) -> list[str]:
    """Return hashes that no message has."""
    digests = (hashlib.sha256(str(number).encode()).digest() for number in range(first, first + count))
    return [base64.b64encode(digest).decode().rstrip("=") for digest in digests]


def message(number: int, size: int, *, expiry: int = 1000) -> StoredMessage:
    return StoredMessage(ALICE, f"{size}-{number}", 0, 1, expiry, bytes(size))


def fill(database: MessageDatabase) -> None:
    """Store until nothing more fits, however small."""
    count = 10_000
    for size in (20_000, 2_000, 200, 0):
        while True:
            try:
                database.store(message(count, size))
            except DatabaseFull:
                break
            count += 1


def fill_node(nodes: Nodes, account: Account) -> None:
    """Store at the first node until nothing more fits on any."""
    number = 0
    for size in (20_000, 2_000, 200, 4):
        answer = None
        while answer is None or answer.status == 200:
            number += 1
            data = base64.b64encode(number.to_bytes(4, "big") + bytes(size)).decode()
            answer = nodes.store(account.account_id, data)
        assert answer.status == 500


REQUESTS: dict[str, Callable[[Nodes], tuple[str, dict[str, Any]]]] = {
    "delete": lambda nodes: ("delete", {"messages": made_up(1500)}),
    "delete_all": lambda nodes: ("delete_all", {"timestamp": nodes.now, "namespace": 5}),
    "delete_before": lambda nodes: ("delete_before", {"before": nodes.now, "namespace": 5}),
    "expire": lambda nodes: ("expire", {"messages": made_up(1500), "expiry": nodes.now + DAY_MS}),
    "expire_all": lambda nodes: ("expire_all", {"expiry": nodes.now + 60_000}),
    "revoke_subaccount": lambda nodes: (
        "revoke_subaccount",
        {"timestamp": nodes.now, "revoke": [(b"\x05\x07\0\0" + bytes([n]) * 32).hex() for n in range(50)]},
    ),
    "unrevoke_subaccount": lambda nodes: (
        "unrevoke_subaccount",
        {"timestamp": nodes.now, "unrevoke": [(b"\x05\x07\0\0" + bytes([n]) * 32).hex() for n in range(200)]},
    ),
}


@pytest.mark.parametrize("method", REQUESTS)
def test_a_full_database_is_a_failed_entry_for_every_method(
    make_nodes: Any, alice: Account, method: str
) -> None:
    """Some requests still fit; those that do not are reported, and leave nothing half done."""
    nodes = make_nodes(2, settings=SMALL)
    fill_node(nodes, alice)
    name, params = REQUESTS[method](nodes)
    for _ in range(8):
        answer = nodes.signed(alice, name, params)
        entries = answer.body["swarm"].values()
        for entry in entries:
            assert "signature" in entry or (entry["query_failure"] is True and "full" in entry["reason"])
        assert answer.status == (500 if all(entry.get("failed") for entry in entries) else 200)
        nodes.clock.move(1)
    if method in ("delete", "unrevoke_subaccount"):
        assert answer.status == 500, "so much does not fit"
    assert nodes.retrieve(alice).status == 200


def test_messages_can_be_deleted_from_a_full_database(make_nodes: Any, alice: Account) -> None:
    nodes = make_nodes(2, settings=SMALL)
    fill_node(nodes, alice)
    hashes = [each["hash"] for each in nodes.retrieve(alice).body["messages"]]
    answer = nodes.signed(alice, "delete", {"messages": hashes[:3]})
    assert [len(entry["deleted"]) for entry in answer.body["swarm"].values()] == [3, 3]
    assert nodes.store(alice.account_id, "AAAA").status == 200


@pytest.mark.parametrize("size", [0, 2_000])
def test_purging_a_full_database_makes_room(size: int) -> None:
    """What is remembered of shortened lives may be more than what the messages occupied."""
    database = MessageDatabase(None, max_bytes=400_000)
    database.write_at(1)
    many = 100 if size else 700
    for number in range(many):
        database.store(message(number, size))
    database.write_at(2)
    assert len(database.shorten_all(ALICE, 0, 500)) == many
    database.write_at(3)
    fill(database)
    assert database.purge(500) == many
    database.write_at(4)
    assert database.store(message(many, size, expiry=2000)) is not None
    database.close()


def test_debts_and_the_view_wait_for_room(tmp_path: Path) -> None:
    """What a full node owes is not lost while it runs, and written down when there is room."""
    path = tmp_path / "node.sqlite"
    database = MessageDatabase(path, max_bytes=200_000)
    fill(database)
    view = NetworkView(7, frozenset({"a" * 64}), (7,))
    debts = [Debt(f"{number:064x}", ALICE, 5) for number in range(1000)]
    database.undelivered.add(debts)
    database.undelivered.remember(view)
    assert len(database.undelivered.peers()) == 1000
    assert database.undelivered.view() == view
    unwritten = MessageDatabase(path, max_bytes=200_000)
    assert unwritten.undelivered.view() is None, "debts that a restart loses must be found out again"
    unwritten.close()
    (debt,) = database.undelivered.to(f"{7:064x}")
    database.undelivered.settle(debt)
    database.purge(1000)
    database.close()
    again = MessageDatabase(path, max_bytes=200_000)
    assert len(again.undelivered.peers()) == 999
    assert again.undelivered.view() == view
    again.close()


def test_a_change_of_the_network_passes_over_full_nodes(make_nodes: Any, alice: Account) -> None:
    """A newcomer is owed all accounts, more than there is room to note."""
    nodes = make_nodes(swarms=[0, 0, 2**63], settings=SMALL)
    for number in range(300):
        account = (5).to_bytes(1, "big") + number.to_bytes(32, "big")
        nodes.store(account.hex(), "AAAA")
    fill_node(nodes, alice)

    async def change() -> None:
        for node in nodes.nodes:
            node.update_network(nodes.network([0, 0, 0]))
        await nodes.nodes[0].settled()

    before = nodes.nodes[2].message_count()
    nodes.run(change())
    assert nodes.nodes[2].message_count() > before + 250


def test_a_delete_of_very_many_hashes_is_one_pass_and_leaves_little(alice: Account) -> None:
    database = MessageDatabase(None, max_bytes=10**9, max_unseen=100)
    database.write_at(1)
    kept = [f"0-{number}" for number in range(50)]
    for number in range(50):
        database.store(message(number, 0))
    statements = 0

    def count(_statement: str) -> None:
        nonlocal statements
        statements += 1

    database.write_at(2)
    database.connection.set_trace_callback(count)
    assert database.delete(ALICE, [*made_up(20_000), *kept]) == sorted(kept)
    # Each removed message has a trigger; of the 20,000 others a hundred leave a row.
    assert statements < 500
    database.connection.set_trace_callback(None)
    (rows,) = database.connection.execute("SELECT count(*) FROM removals").fetchone()
    assert rows == 150
    database.write_at(3)
    newest = made_up(100, first=50_000)
    database.delete(ALICE, newest)
    assert {each.hash for each in database.removals.since(ALICE, 3)} == set(newest)
    (rows,) = database.connection.execute("SELECT count(*) FROM removals").fetchone()
    assert rows == 150, "what was here is remembered; of the rest the oldest is dropped"
    assert {each.hash for each in database.removals.since(ALICE, 2)} == {*kept, *newest}
    database.close()
