"""What the suites look at themselves: mailboxes, uploads, words with a right checksum."""

import base64
from collections.abc import Iterator
from random import Random

import pytest

import session_testnet
from session_conformance.actors import Actor, NetworkAccess
from session_conformance.contract.specs import open_testee, parse_testee_spec
from session_conformance.contract.testee import Testee
from session_conformance.genuine import Genuine
from session_conformance.mailboxes import mailbox, uploaded_file
from session_conformance.suites.test_mnemonic import with_checksum
from session_conformance.testees.environments import ensure_environment
from session_conformance.testnet_errors import TestnetErred
from session_protocol import mnemonic
from session_testnet import NetworkHandle, Topology


@pytest.fixture(scope="module")
def network() -> Iterator[NetworkHandle]:
    with session_testnet.open_local(Topology.default(nodes=3, name="evidence-tests")) as handle:
        yield handle


@pytest.fixture(scope="module")
def reference() -> Iterator[Testee]:
    testee = open_testee(parse_testee_spec("reference"), seed=1, environment_provider=ensure_environment)
    yield testee
    testee.close()


@pytest.fixture
def alice(network: NetworkHandle, reference: Testee, request: pytest.FixtureRequest) -> Actor:
    return Actor.join(reference, NetworkAccess(network.state), "alice", Random(request.node.name))


def test_members_that_differ_are_the_testnets_fault(network: NetworkHandle, alice: Actor) -> None:
    alice.send(alice, "to myself")
    assert [message.content["body"] for message in mailbox(network, alice)] == ["to myself"]
    network.swarm(alice.account_id)[0].set_knobs(purge=True)
    with pytest.raises(TestnetErred, match="hold different messages"):
        mailbox(network, alice)


def test_a_message_that_nobody_can_read_is_its_writers_fault(network: NetworkHandle, alice: Actor) -> None:
    now = network.clock.now_ms()
    noise = base64.b64encode(b"noise").decode()
    stored = {"pubkey": alice.account_id, "namespace": 0, "timestamp": now, "ttl": 60_000, "data": noise}
    assert network.storage_rpc(network.nodes[0].name, "store", stored)["status"] == 200
    with pytest.raises(AssertionError, match="the testee stored cannot be read"):
        mailbox(network, alice)


def test_an_upload_is_opened_past_the_testees(network: NetworkHandle, alice: Actor) -> None:
    pointer = alice.call("client.upload", data_hex=b"a photo".hex(), file_name="x", content_type="image/png")
    attachment = pointer["attachment"]
    assert uploaded_file(network, attachment) == b"a photo"
    with pytest.raises(AssertionError, match="cannot be read"):
        uploaded_file(network, {**attachment, "key_hex": "00" * 64})
    with pytest.raises(AssertionError, match="answers 404"):
        uploaded_file(network, {**attachment, "url": "http://filev2.getsession.org/file/12345#d="})


@pytest.mark.parametrize("seed", range(5))
def test_words_get_a_right_checksum(seed: int) -> None:
    words = mnemonic.encode(Random(seed).randbytes(16)).split()
    assert with_checksum(words[:-1]).split() == words


def test_genuine_artefacts_follow_from_seed_and_content() -> None:
    made = [
        Genuine(seed).encrypt_legacy(data).blob for seed, data in ((1, b"a"), (1, b"a"), (2, b"a"), (1, b"b"))
    ]
    assert made[0] == made[1]
    assert len(set(made)) == 3
