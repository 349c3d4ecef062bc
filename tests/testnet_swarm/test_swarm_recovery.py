"""A network that is killed keeps what it has acknowledged, if it has a data directory."""

import base64
import contextlib
import json
import os
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
