"""A real client, unmodified, on the local network: through the gateway, with a member of the swarm down."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from random import Random

import pytest

import session_testnet
from session_conformance.actors import Actor, NetworkAccess, from_sender
from session_conformance.contract.specs import open_testee, parse_testee_spec
from session_conformance.contract.testee import Testee
from session_conformance.testees.environments import EnvironmentNotBuilt, ensure_environment
from session_testnet import NetworkHandle


@pytest.fixture(scope="module")
def network() -> Iterator[NetworkHandle]:
    with session_testnet.open_local() as handle:
        yield handle


@pytest.fixture(scope="module")
def session_python() -> Iterator[Testee]:
    lock = Path(str(resources.files("session_conformance"))) / "testees/session_python/requirements.lock"
    try:
        ensure_environment("session_python", lock, say=lambda _line: None)
    except EnvironmentNotBuilt as error:
        pytest.skip(f"session-python cannot be installed here: {error}")
    testee = open_testee(parse_testee_spec("session_python"), seed=1, environment_provider=ensure_environment)
    yield testee
    testee.close()


@pytest.fixture
def reference() -> Iterator[Testee]:
    testee = open_testee(parse_testee_spec("reference"), seed=1, environment_provider=ensure_environment)
    yield testee
    testee.close()


def test_the_package_is_unmodified(session_python: Testee) -> None:
    assert (session_python.hello.name, session_python.hello.version) == ("session_python", "1.0.5")
    assert session_python.hello.features["network"] == "direct"


def test_messages_travel_both_ways_with_one_member_down(
    network: NetworkHandle, session_python: Testee, reference: Testee
) -> None:
    access, rng = NetworkAccess(network.state), Random(5)
    alice = Actor.join(session_python, access, "alice", rng)
    bob = Actor.join(reference, access, "bob", rng)
    # The package has chosen a member to poll by now: it may not be the one that goes down.
    seen = network.trace.last_seq()
    alice.poll()
    polled = {event["node"] for event in network.trace.events(since=seen, kind="rpc")}
    down = next(node for node in network.swarm(alice.account_id) if node.name not in polled)
    assert 5 <= len(network.swarm(alice.account_id)) <= 9
    seen = network.trace.last_seq()
    down.stop()
    alice.send(bob, "from session-python")
    bob.wait_for(from_sender(alice))
    bob.send(alice, "from the reference")
    alice.wait_for(from_sender(bob))
    down.start()
    assert alice.texts_from(bob) == ["from the reference"]
    assert bob.texts_from(alice) == ["from session-python"]
    gateway = network.trace.events(since=seen, kind="gateway")
    assert gateway, "the package did not come through the gateway"


def test_the_registry_is_found_under_its_production_name(
    network: NetworkHandle, session_python: Testee
) -> None:
    seen = network.trace.last_seq()
    actor = Actor.join(session_python, NetworkAccess(network.state), "carol", Random(6))
    actor.call("client.swarm")
    asked = network.trace.events(since=seen, kind="gateway")
    assert any("getsession.org" in str(event) for event in asked), asked
