"""Small networks of their own, for tests that stop nodes, and let them join and leave."""

import base64
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import session_testnet
from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request
from session_testnet import NetworkHandle, NetworkOptions, Topology

DAY_MS = 86_400_000
# One in each of the two swarms that Topology.default(…, swarms=2) makes.
ALICE = Account.from_seed(bytes(range(32)))
BOB = Account.from_seed(bytes([6]) * 32)


class Clients:
    """Ask a network as clients do."""

    def __init__(self, network: NetworkHandle) -> None:
        self.network = network

    def ask(self, node: str, account: Account, method: str, **params: Any) -> dict[str, Any]:
        """Ask a node with a signed request; the answer must be a success."""
        answer = self.network.storage_rpc(node, method, sign_request(account, method, params))
        assert answer["status"] == 200, answer
        body: dict[str, Any] = answer["body"]
        return body

    def store(self, node: str, account: Account, text: str, *, days: float = 1, **more: Any) -> str:
        """Store a message at a node; return its hash."""
        now = self.network.clock.now_ms()
        data = base64.b64encode(text.encode()).decode()
        body = self.ask(
            node, account, "store", timestamp=now, ttl=int(days * DAY_MS), data=data, namespace=0, **more
        )
        return str(body["hash"])

    def held(self, node: str, account: Account, namespace: int = 0) -> list[str]:
        """Return the hashes of what a node holds, in its order."""
        messages = self.network.stored_messages(node, account.account_id, namespace)
        return [message["hash"] for message in messages]

    def swarm(self, account: Account) -> list[str]:
        """Return the names of an account's nodes."""
        return [node.name for node in self.network.swarm(account.account_id)]


def until(what: str, condition: Callable[[], bool], deadline_s: float = 10) -> None:
    """Wait until something has come true; it must within the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"waited {deadline_s} s until {what}"


@pytest.fixture
def open_network() -> Iterator[Callable[..., Clients]]:
    """Return a function that starts a network, which ends with the test."""
    opened: list[NetworkHandle] = []

    def start(nodes: int = 3, *, swarms: int | None = None, **options: Any) -> Clients:
        topology = Topology.default(nodes, seed="swarm", swarms=swarms)
        network = session_testnet.open_local(topology, NetworkOptions(**options))
        opened.append(network)
        return Clients(network)

    yield start
    for network in opened:
        network.close()


@pytest.fixture
def clients(open_network: Callable[..., Clients]) -> Clients:
    """Three nodes in one swarm."""
    return open_network(3)


@pytest.fixture
def alice() -> Account:
    """Return an account of the first of two swarms."""
    return ALICE


@pytest.fixture
def bob() -> Account:
    """Return an account of the second of two swarms."""
    return BOB


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Return a function that waits until a condition holds."""
    return until
