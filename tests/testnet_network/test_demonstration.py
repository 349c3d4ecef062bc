"""The profile for apps: three swarms, rooms with messages, and two accounts that have talked already."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import session_testnet
from session_protocol.accounts import Account
from session_testnet import NetworkHandle, NetworkOptions, Topology
from session_testnet.client import MessagingClient, NetworkClient
from session_testnet.control.state_file import state_schema
from session_testnet.topology import AccountSpec, Line, TopologyError


def conversation(network: NetworkHandle, reader: int) -> list[tuple[bool, str]]:
    """Return whether the reader wrote each message, and its text, as a new device sees them."""

    async def read() -> list[tuple[bool, str]]:
        account = Account.from_recovery_password(network.state["accounts"][reader]["recovery_password"])
        assert account.account_id == network.state["accounts"][reader]["account_id"]
        async with NetworkClient(account, [network.state["registry"]["url"]]) as client:
            received = await MessagingClient(account, client).poll()
        return [(message.outgoing, message.content["body"]) for message in received]

    return asyncio.run(read())


@pytest.mark.parametrize("engine", ["embedded", "process"])
def test_two_accounts_have_talked(engine: str) -> None:
    # Eight nodes do for it, and are quick to start as processes.
    topology = Topology.default(8 if engine == "process" else None, profile="apps")
    with session_testnet.open_local(topology, NetworkOptions(engine=engine)) as network:
        Draft202012Validator(state_schema()).validate(network.state)
        assert [account["name"] for account in network.state["accounts"]] == ["Alice", "Bob"]
        assert len({node.swarm_id for node in network.nodes}) == 3
        texts = [line.text for line in topology.conversation]
        assert conversation(network, 0) == [(True, texts[0]), (False, texts[1]), (True, texts[2])]
        assert conversation(network, 1) == [(False, texts[0]), (True, texts[1]), (False, texts[2])]
        rooms = {room["token"]: room["message_sequence"] for room in network.rooms.list()}
        assert rooms.keys() == {"lobby", "testing"}
        assert all(rooms.values())


def test_a_network_that_goes_on_does_not_say_it_all_again(tmp_path: Path) -> None:
    topology = Topology.default(4, profile="apps")
    for _ in range(2):
        with session_testnet.open_local(topology, NetworkOptions(data_dir=tmp_path / "data")) as network:
            assert len(conversation(network, 0)) == 3


def test_other_profiles_have_no_accounts(small_network: NetworkHandle) -> None:
    assert "accounts" not in small_network.state


def test_accounts_derive_from_the_seed() -> None:
    one, same, other = (Topology.default(1, profile="apps", seed=seed).accounts for seed in "aab")
    assert one == same
    assert not {spec.entropy for spec in one} & {spec.entropy for spec in other}
    assert "entropy" not in repr(one)


@pytest.mark.parametrize(
    "change",
    [
        lambda: AccountSpec("Alice", bytes(15)),
        lambda: AccountSpec("", bytes(16)),
        lambda: Topology("x", "0", Topology.default(1).nodes, conversation=(Line("A", "B", "?"),)),
        lambda: Topology("x", "0", Topology.default(1).nodes, accounts=(AccountSpec("A", bytes(16)),) * 2),
    ],
)
def test_accounts_that_cannot_be_are_refused(change: Any) -> None:
    with pytest.raises(TopologyError):
        change()
