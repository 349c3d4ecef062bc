"""A network that is killed keeps what it has acknowledged, if it has a data directory."""

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session_protocol.accounts import Account
from session_testnet import AttachedNetworkHandle
from session_testnet.control.errors import ControlError
from session_testnet.services.sqlite_file import DatabaseRefused

Clients = Any
DAY_MS = 86_400_000

RUN_NETWORK = """
import json, sys
from pathlib import Path
import session_testnet
from session_testnet import NetworkOptions, Topology

with session_testnet.open_local(
    Topology.default(5, seed="killed", swarms=1), NetworkOptions(data_dir=Path(sys.argv[1]))
) as network:
    print(json.dumps(network.state), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def start_network(tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Return a function that starts a network in a process of its own, always in the same directory."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", RUN_NETWORK, str(tmp_path / "data")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=20)


def attach(process: "subprocess.Popen[bytes]") -> AttachedNetworkHandle:
    assert process.stdout is not None
    return AttachedNetworkHandle(json.loads(process.stdout.readline()))


def store(network: AttachedNetworkHandle, node: str, account: Account, number: int) -> dict[str, Any]:
    data = base64.b64encode(number.to_bytes(2, "big") * 500).decode()
    params = {
        "pubkey": account.account_id,
        "timestamp": network.clock.now_ms(),
        "ttl": DAY_MS,
        "data": data,
    }
    answer = network.storage_rpc(node, "store", params)
    assert answer["status"] == 200
    body: dict[str, Any] = answer["body"]
    return body


def test_nothing_acknowledged_is_lost_when_all_nodes_are_killed(start_network: Any, alice: Account) -> None:
    process = start_network()
    acknowledged: list[str] = []
    names: list[str] = []
    with attach(process) as network:
        names += [node.name for node in network.nodes]
        network.node(names[4]).stop()
        acknowledged += [
            str(store(network, names[number % 4], alice, number)["hash"]) for number in range(40)
        ]
        # The fifth has missed all of it, and is killed with the rest.
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=20)
    with attach(start_network()) as network:
        assert network.settle() == 0
        for name in names:
            held = [message["hash"] for message in network.stored_messages(name, alice.account_id)]
            assert held == acknowledged


def test_a_kill_in_the_middle_of_requests_loses_nothing(start_network: Any, alice: Account) -> None:
    """The process is killed by itself after some requests more, wherever it stands then."""
    process = start_network()
    acknowledged: list[str] = []
    with attach(process) as network:
        killer = subprocess.Popen(
            [sys.executable, "-c", "import os,sys; sys.stdin.readline(); os.kill(int(sys.argv[1]), 9)",
             str(process.pid)],
            stdin=subprocess.PIPE,
        )  # fmt: skip
        assert killer.stdin is not None
        with contextlib.suppress(ControlError):
            for number in range(5000):
                if number == 20:
                    killer.stdin.write(b"now\n")
                    killer.stdin.flush()
                acknowledged.append(str(store(network, "node-01", alice, number)["hash"]))
        killer.stdin.close()
        assert killer.wait(timeout=20) == 0
        process.wait(timeout=20)
    assert 20 <= len(acknowledged) < 5000
    with attach(start_network()) as network:
        assert network.settle() == 0
        for node in network.nodes:
            held = [message["hash"] for message in network.stored_messages(node.name, alice.account_id)]
            # One more may have been stored without anybody having heard of it.
            assert held[: len(acknowledged)] == acknowledged
            assert len(held) <= len(acknowledged) + 1


def test_all_members_restart_with_what_they_had(
    open_network: Callable[..., Clients], alice: Account, tmp_path: Path
) -> None:
    before = open_network(3, data_dir=tmp_path)
    stored = [before.store("node-01", alice, text) for text in ("one", "two", "three")]
    before.ask("node-02", alice, "delete", messages=[stored.pop(1)])
    before.network.close()
    after = open_network(3, data_dir=tmp_path)
    assert [after.held(f"node-0{n}", alice) for n in (1, 2, 3)] == [stored] * 3


def test_accounts_go_where_the_swarms_of_the_next_start_are(
    open_network: Callable[..., Clients], alice: Account, bob: Account, tmp_path: Path
) -> None:
    """The same nodes start again in two swarms instead of one."""
    before = open_network(4, swarms=1, data_dir=tmp_path)
    stored = before.store("node-01", bob, "x")
    before.network.node("node-02").stop()
    late = before.store("node-01", bob, "late")
    before.network.close()
    after = open_network(4, swarms=2, data_dir=tmp_path)
    assert after.network.settle() == 0
    assert set(after.swarm(bob)) == {"node-02", "node-04"}
    for name in after.swarm(bob):
        assert after.held(name, bob) == [stored, late]


def test_who_has_joined_left_or_rests_is_so_after_a_restart(
    open_network: Callable[..., Clients], alice: Account, tmp_path: Path
) -> None:
    before = open_network(3, swarms=None, data_dir=tmp_path)
    joined = before.network.add_node().name
    before.network.remove_node("node-02")
    before.network.node("node-03").decommission()
    stored = before.store(joined, alice, "x")
    listed = {node.name: node.status()["pubkey_ed25519"] for node in before.network.nodes}
    swarm = before.swarm(alice)
    before.network.close()

    after = open_network(3, swarms=None, data_dir=tmp_path)
    assert {node.name: node.status()["pubkey_ed25519"] for node in after.network.nodes} == listed
    assert set(listed) == {"node-01", "node-03", joined}
    assert after.swarm(alice) == swarm
    assert set(swarm) == {"node-01", joined}
    assert [after.held(name, alice) for name in swarm] == [[stored]] * 2
    after.network.node("node-03").recommission()
    assert "node-03" in after.swarm(alice)
    assert after.held("node-03", alice) == [stored]


def test_a_swarm_of_joined_nodes_keeps_its_messages_over_a_restart(
    open_network: Callable[..., Clients], alice: Account, bob: Account, tmp_path: Path
) -> None:
    """All of Bob's first nodes leave; the messages live on nodes that no topology names."""
    before = open_network(2, swarms=2, data_dir=tmp_path)
    stored = before.store("node-02", bob, "x")
    joined = before.network.add_node(swarm_id=f"{2**63:x}").name
    before.network.remove_node("node-02")
    assert before.swarm(bob) == [joined]
    before.network.close()

    after = open_network(2, swarms=2, data_dir=tmp_path)
    assert after.network.settle() == 0
    assert after.swarm(bob) == [joined]
    assert after.held(joined, bob) == [stored]
    assert after.swarm(alice) == ["node-01"]


def test_another_registrys_file_is_refused_and_left_alone(
    open_network: Callable[..., Clients], tmp_path: Path
) -> None:
    chain = tmp_path / "registry" / "chain.sqlite"
    chain.parent.mkdir()
    chain.write_bytes(b"somebody's notes")
    with pytest.raises(DatabaseRefused, match=re.escape(str(chain))):
        open_network(2, data_dir=tmp_path)
    assert chain.read_bytes() == b"somebody's notes"
