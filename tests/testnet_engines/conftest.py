"""Networks on every engine, for what all of them promise alike."""

import base64
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import session_testnet
from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request
from session_testnet import LocalNetworkHandle, NetworkOptions, Topology
from session_testnet.network_options import IN_CONTAINERS

DAY_MS = 86_400_000


IN_CONTAINERS_PARAMS = [pytest.param(name, marks=pytest.mark.docker) for name in IN_CONTAINERS]


@pytest.fixture(params=["embedded", "process", *IN_CONTAINERS_PARAMS])
def engine(request: pytest.FixtureRequest) -> str:
    """Return the name of an engine; each test runs on all of them."""
    name: str = request.param
    if name in IN_CONTAINERS:
        request.getfixturevalue("container_image")
    if name == "docker-swarm":
        request.getfixturevalue("docker_swarm")
    return name


@pytest.fixture
def open_network(engine: str) -> Iterator[Callable[..., LocalNetworkHandle]]:
    """Return a function that starts a network on the engine, which ends with the test."""
    with contextlib.ExitStack() as opened:

        def start(nodes: int = 3, *, swarms: int | None = 1, **options: Any) -> LocalNetworkHandle:
            if engine == "docker-swarm":
                # It publishes ports at every address, and wants to be told so.
                options.setdefault("advertise_ip", "127.0.0.1")
            topology = Topology.default(nodes, seed="engines", swarms=swarms)
            network = session_testnet.open_local(topology, NetworkOptions(engine=engine, **options))
            return opened.enter_context(network)

        yield start


@pytest.fixture
def network(open_network: Callable[..., LocalNetworkHandle]) -> LocalNetworkHandle:
    """Return three nodes in one swarm."""
    return open_network()


@pytest.fixture
def alice() -> Account:
    """Return an account."""
    return Account.from_seed(bytes(range(32)))


@pytest.fixture
def store(alice: Account) -> Callable[..., dict[str, Any]]:
    """Return a function that stores a message of Alice's at a node and returns the whole answer."""

    def ask(network: LocalNetworkHandle, node: str, text: str, *, days: float = 1) -> dict[str, Any]:
        params = {
            "timestamp": network.clock.now_ms(),
            "ttl": int(days * DAY_MS),
            "data": base64.b64encode(text.encode()).decode(),
            "namespace": 0,
        }
        return network.storage_rpc(node, "store", sign_request(alice, "store", params))

    return ask


@pytest.fixture
def held(alice: Account) -> Callable[..., list[str]]:
    """Return a function that lists the texts of Alice's that a node holds."""

    def look(network: LocalNetworkHandle, node: str) -> list[str]:
        messages = network.stored_messages(node, alice.account_id)
        return [bytes.fromhex(message["data"]).decode() for message in messages]

    return look


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Return a function that waits until something has come true; it must within the deadline."""

    def until(what: str, condition: Callable[[], bool], deadline_s: float = 15) -> None:
        end = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < end, f"waited {deadline_s} s until {what}"
            time.sleep(0.01)

    return until
