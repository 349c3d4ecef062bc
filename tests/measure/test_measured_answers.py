"""What is fast and wrong is not measured: the load refuses wrong answers."""

import base64
import json
import random
from pathlib import Path

import pytest

from session_protocol.accounts import Account

CI = Path(__file__).parents[2] / "ci"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(CI))


def body(answer: object) -> bytes:
    return json.dumps(answer).encode()


def test_store_that_a_member_missed_is_refused() -> None:
    from testnet_measurements.load import LoadFailed
    from testnet_measurements.server_process import ServedNode
    from testnet_measurements.workloads import ACCOUNTS, Mailboxes, stores

    swarm = tuple(
        ServedNode(f"node-{n}", "127.0.0.1", 1, bytes([n]) * 32, bytes([n]) * 32, 0) for n in (1, 2)
    )
    accounts = Mailboxes.in_one_swarm(swarm, random.Random(1)).accounts
    assert len(accounts) == ACCOUNTS
    assert all(isinstance(account, Account) for account in accounts)
    check = stores(Mailboxes(accounts, swarm), 10, 1).check
    check(0, body({"swarm": {"a": {"hash": "x"}, "b": {"hash": "x"}}}))
    with pytest.raises(LoadFailed, match="1 failed"):
        check(0, body({"swarm": {"a": {"hash": "x"}, "b": {"failed": True}}}))
    with pytest.raises(LoadFailed, match="1 of 2 members"):
        check(0, body({"swarm": {"a": {"hash": "x"}}}))


def test_retrieve_without_the_message_is_refused() -> None:
    from testnet_measurements.load import LoadFailed
    from testnet_measurements.server_process import ServedNode
    from testnet_measurements.workloads import Mailboxes, retrieves

    swarm = (ServedNode("node-1", "127.0.0.1", 1, bytes(32), bytes(32), 0),)
    check = retrieves(Mailboxes.in_one_swarm(swarm, random.Random(1)), 10, 1).check
    check(0, body({"messages": [{"data": base64.b64encode(bytes(10)).decode()}]}))
    with pytest.raises(LoadFailed, match="10 bytes"):
        check(0, body({"messages": []}))
    with pytest.raises(LoadFailed, match="11"):
        check(0, body({"messages": [{"data": base64.b64encode(bytes(11)).decode()}]}))
