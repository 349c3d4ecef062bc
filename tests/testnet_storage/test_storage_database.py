"""The file under a node: what survives, and what is refused untouched."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from session_protocol.accounts import Account
from session_protocol.service_nodes import NodeIdentity
from session_testnet.clock import Clock
from session_testnet.peers import DirectPeerLink
from session_testnet.services.sqlite_file import DatabaseRefused
from session_testnet.services.storage.database import MessageDatabase
from session_testnet.services.storage.node import StorageNode
from session_testnet.services.storage.stored import StoredMessage
from session_testnet.trace import Trace

ALICE = bytes.fromhex(Account.from_seed(bytes(range(32))).account_id)
FULL = 10 * 1024**3


def message(number: int, **more: Any) -> StoredMessage:
    values: dict[str, Any] = {
        "account": ALICE,
        "hash": f"hash {number}",
        "namespace": 0,
        "timestamp": number,
        "expiry": number + 10,
        "data": bytes([number]),
    }
    return StoredMessage(**{**values, **more})


def node_with(path: Path) -> StorageNode:
    identity = NodeIdentity.from_seed(b"\x01" * 32)
    return StorageNode(identity, "n", clock=Clock(), peers=DirectPeerLink(), trace=Trace(), database=path)


def test_messages_and_revocations_survive(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    database = MessageDatabase(path, max_bytes=FULL)
    for number in (3, 1, 2):
        database.store(message(number))
    database.revoke(ALICE, [b"t" * 36])
    (mode,) = sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone()
    assert mode == "wal"
    database.close()
    again = MessageDatabase(path, max_bytes=FULL)
    assert [row[0] for row in again.retrieve(ALICE, 0).messages] == ["hash 3", "hash 1", "hash 2"]
    assert again.revoked_tokens(ALICE) == [b"t" * 36]
    assert list(again.messages_of(ALICE)) == [message(3), message(1), message(2)]
    again.close()
    again.close()


@pytest.mark.parametrize("damage", ["text", "foreign", "truncated", "version"])
def test_what_is_not_a_nodes_database_is_refused_and_stays(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "node.sqlite"
    if damage == "text":
        path.write_text("important notes, not a database at all\n" * 10)
    elif damage == "foreign":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE theirs(id)")
    else:
        database = MessageDatabase(path, max_bytes=FULL)
        for number in range(50):
            database.store(message(number, data=bytes(5000)))
        database.close()
        raw = path.read_bytes()
        path.write_bytes(raw[: len(raw) // 2] if damage == "truncated" else raw[:63] + b"\x63" + raw[64:])
    before = path.read_bytes()
    with pytest.raises(DatabaseRefused, match=r"node\.sqlite: .*the file has not been touched"):
        node_with(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["node.sqlite"]


def test_an_owner_lives_as_long_as_its_messages(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    database = MessageDatabase(path, max_bytes=FULL)
    database.store(message(1))
    database.store(message(2, expiry=100))
    database.revoke(ALICE, [b"t" * 36])
    assert database.purge(50) == 1
    assert database.revoked_tokens(ALICE)
    assert database.accounts() == [ALICE]
    assert database.purge(100) == 1
    assert database.accounts() == []
    assert database.revoked_tokens(ALICE) == []
    database.revoke(ALICE, [b"t" * 36])
    assert database.revoked_tokens(ALICE) == [], "nothing is kept for an account without messages"
    database.close()


def test_the_same_key_under_two_prefixes_is_two_accounts() -> None:
    database = MessageDatabase(None, max_bytes=FULL)
    other = b"\x03" + ALICE[1:]
    database.store(message(1))
    assert database.retrieve(other, 0).messages == []
    database.store(message(2, account=other))
    assert database.delete(other, ["hash 1", "hash 2"]) == ["hash 2"]
    assert sorted(database.accounts()) == [ALICE]
    database.close()


def test_a_file_that_a_killed_node_left_opens_with_all_messages(tmp_path: Path) -> None:
    """Copy the files of a running database: what a kill leaves behind."""
    running, left = tmp_path / "running", tmp_path / "left"
    running.mkdir()
    left.mkdir()
    database = MessageDatabase(running / "node.sqlite", max_bytes=FULL)
    for number in range(20):
        database.store(message(number))
    for file in running.iterdir():
        (left / file.name).write_bytes(file.read_bytes())
    database.close()
    again = MessageDatabase(left / "node.sqlite", max_bytes=FULL)
    assert again.count() == 20
    again.close()
