"""The reference testee as a client on a real local network, over the contract."""

from collections.abc import Iterator
from typing import Any

import pytest

from session_conformance.contract.validation import result_problem
from session_conformance.testees.reference import ReferenceTestee
from session_protocol.accounts import Account
from session_testnet import NetworkHandle, Topology, open_local


@pytest.fixture(scope="module")
def network() -> Iterator[NetworkHandle]:
    with open_local(Topology.default(nodes=14, name="reference-tests")) as handle:
        yield handle


@pytest.fixture
def testee() -> Iterator[ReferenceTestee]:
    adapter = ReferenceTestee()
    adapter.handle({"id": 0, "op": "hello", "params": {"contract": [1], "harness": "test", "seed": 11}})
    yield adapter
    adapter.handle({"id": 0, "op": "bye"})


class Person:
    """An account in the testee."""

    def __init__(self, testee: ReferenceTestee, network: NetworkHandle, alias: str, **params: Any) -> None:
        self.testee, self.alias = testee, alias
        files = network.state["files"]
        access = {
            "seed_urls": [network.state["registry"]["url"]],
            "gateway_url": network.state["gateway"]["url"],
            "file_server": {"url": files["url"], "x25519_pk": files["pubkey_x25519"]},
            "use_onion": True,
            "tls_verify": False,
        }
        access |= params.pop("access", {})
        created = self.call("client.create", display_name=alias, network=access, **params)
        self.id: str = created["session_id"]
        self.words: str = created["words"]

    def call(self, op: str, **params: Any) -> dict[str, Any]:
        reply = self.testee.handle({"id": 1, "op": op, "account": self.alias, "params": params})
        assert "result" in reply, reply["error"]
        result: dict[str, Any] = reply["result"]
        assert result_problem(op, result) is None
        return result

    def refusal(self, op: str, **params: Any) -> dict[str, Any]:
        reply = self.testee.handle({"id": 1, "op": op, "account": self.alias, "params": params})
        assert reply["error"]["kind"] == "rejected", reply
        error: dict[str, Any] = reply["error"]
        return error

    def send(self, to: "Person", body: str, **fields: Any) -> dict[str, Any]:
        return self.call("client.send", to=to.id, content={"kind": "text", "body": body, **fields})

    def poll(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.call("client.poll")["messages"]
        return messages

    def conversation(self, other: "Person") -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.call("client.messages", conversation=other.id)["messages"]
        return messages


@pytest.fixture
def alice(testee: ReferenceTestee, network: NetworkHandle) -> Person:
    return Person(testee, network, "alice")


@pytest.fixture
def bob(testee: ReferenceTestee, network: NetworkHandle) -> Person:
    return Person(testee, network, "bob")


class TestAccounts:
    def test_restores_a_seed_and_words(self, testee: ReferenceTestee, network: NetworkHandle) -> None:
        account = Account.from_seed(bytes(16))
        by_seed = Person(testee, network, "by-seed", seed_hex=account.entropy.hex())
        by_words = Person(testee, network, "by-words", seed_hex=None, words=account.recovery_password)
        assert by_seed.id == by_words.id == account.account_id
        assert by_seed.words == account.recovery_password

    def test_makes_a_new_account_without_either(self, alice: Person, bob: Person) -> None:
        assert alice.id != bob.id

    def test_names_its_swarm(self, network: NetworkHandle, alice: Person, bob: Person) -> None:
        for params, owner in (({}, alice), ({"session_id": bob.id}, bob)):
            found = {node["pubkey_ed25519"] for node in alice.call("client.swarm", **params)["nodes"]}
            assert found == {node.pubkey_ed25519 for node in network.swarm(owner.id)}

    @pytest.mark.parametrize("use_onion", [True, False])
    def test_a_gateway_is_enough(
        self, testee: ReferenceTestee, network: NetworkHandle, bob: Person, use_onion: bool
    ) -> None:
        """Without seeds the well-known ones are asked, which the gateway redirects."""
        behind = Person(testee, network, "behind", access={"seed_urls": [], "use_onion": use_onion})
        behind.send(bob, "through the gateway")
        assert [message["content"]["body"] for message in bob.poll()] == ["through the gateway"]

    def test_a_network_without_an_entrance_is_refused(self, testee: ReferenceTestee) -> None:
        reply = testee.handle(
            {"id": 1, "op": "client.create", "account": "alice", "params": {"network": {"seed_urls": []}}}
        )
        assert reply["error"]["code"] == "invalid_argument"
        assert "gateway_url" in reply["error"]["message"]

    def test_a_closed_client_is_gone(self, alice: Person) -> None:
        alice.call("client.close")
        assert alice.refusal("client.poll")["code"] == "not_found"

    def test_reset_forgets_everybody(self, testee: ReferenceTestee, alice: Person, bob: Person) -> None:
        assert testee.handle({"id": 5, "op": "reset"}) == {"id": 5, "result": {}}
        for person in (alice, bob):
            assert person.refusal("client.poll")["code"] == "not_found"

    def test_a_clock_that_is_wrong_is_found_out(
        self, network: NetworkHandle, alice: Person, bob: Person
    ) -> None:
        alice.call("client.set_clock", offset_ms=-7_200_000)
        sent = alice.send(bob, "two hours ago")
        assert abs(sent["timestamp_ms"] - network.clock.now_ms()) < 10_000
        assert alice.call("client.state")["network_time_offset_ms"] == pytest.approx(7_200_000, abs=10_000)
        assert [message["content"]["body"] for message in bob.poll()] == ["two hours ago"]


class TestMessages:
    def test_a_text_with_everything(self, alice: Person, bob: Person) -> None:
        first = alice.send(bob, "first")
        quoted = alice.send(bob, "second", quote={"timestamp_ms": first["timestamp_ms"], "author": alice.id})
        received = bob.poll()
        assert [message["content"]["body"] for message in received] == ["first", "second"]
        assert received[1]["content"]["quote"] == {"timestamp_ms": first["timestamp_ms"], "author": alice.id}
        assert received[0]["content"]["profile"]["display_name"] == "alice"
        assert received[0] | {"content": None} == {
            "sender": alice.id,
            "timestamp_ms": first["timestamp_ms"],
            "hash": first["hash"],
            "namespace": 0,
            "conversation": alice.id,
            "outgoing": False,
            "content": None,
        }
        stored = bob.call("client.messages", conversation=alice.id, since_ms=quoted["timestamp_ms"])
        assert [message["content"]["body"] for message in stored["messages"]] == ["second"]

    @pytest.mark.parametrize(
        "content",
        [
            {"kind": "typing", "started": True},
            {"kind": "receipt", "read_ms": [1, 2]},
            {"kind": "timer", "expiration": {"type": "read", "seconds": 300}},
            {"kind": "request_accepted"},
            {"kind": "data_extraction", "type": "screenshot"},
            {"kind": "call", "type": "pre_offer", "uuid": "a0b1"},
            {"kind": "community_invitation", "url": "http://x/room?public_key=00", "name": "room"},
        ],
        ids=lambda content: content["kind"],
    )
    def test_every_kind_arrives(self, alice: Person, bob: Person, content: dict[str, Any]) -> None:
        alice.call("client.send", to=bob.id, content=content)
        (received,) = bob.poll()
        assert {key: received["content"][key] for key in content} == content

    def test_attachments_arrive(self, alice: Person, bob: Person) -> None:
        pointer = alice.call(
            "client.upload", data_hex="ab" * 5_000, file_name="a.bin", content_type="application/x-test"
        )["attachment"]
        alice.send(bob, "see", attachments=[pointer])
        (received,) = bob.poll()[0]["content"]["attachments"]
        assert (received["file_name"], received["content_type"]) == ("a.bin", "application/x-test")
        assert bob.call("client.download", attachment=received) == {"data_hex": "ab" * 5_000}

    def test_a_spoiled_pointer_is_refused(self, alice: Person) -> None:
        pointer = alice.call("client.upload", data_hex="ab", file_name="a", content_type="x/y")["attachment"]
        assert (
            alice.refusal("client.download", attachment=pointer | {"digest_hex": "00" * 32})["code"]
            == "bad_format"
        )
        assert alice.refusal("client.download", attachment={})["code"] == "invalid_argument"
        lost = pointer | {"url": pointer["url"].rsplit("/", 1)[0] + "/123456789"}
        error = alice.refusal("client.download", attachment=lost)
        assert (error["code"], error["data"]["status"]) == ("not_found", 404)

    def test_reactions_receipts_and_typing(self, alice: Person, bob: Person) -> None:
        sent = alice.send(bob, "like it?")["timestamp_ms"]
        bob.poll()
        bob.call("client.react", conversation=alice.id, timestamp_ms=sent, emoji="👍")
        bob.call("client.mark_read", conversation=alice.id, timestamps_ms=[sent])
        bob.call("client.typing", conversation=alice.id, started=True)
        kinds = {message["content"]["kind"]: message["content"] for message in alice.poll()}
        assert (kinds["reaction"]["target_ms"], kinds["reaction"]["author"]) == (sent, alice.id)
        assert kinds["receipt"]["read_ms"] == [sent]
        assert kinds["typing"]["started"] is True
        assert alice.conversation(bob)[0]["reactions"] == [{"emoji": "👍", "author": bob.id}]
        assert bob.conversation(alice)[0]["read"] is True
        bob.call("client.unreact", conversation=alice.id, timestamp_ms=sent, emoji="👍")
        assert alice.poll()[0]["content"]["remove"] is True
        assert alice.conversation(bob)[0]["reactions"] == []

    def test_a_message_is_deleted_for_everyone(self, alice: Person, bob: Person) -> None:
        sent = alice.send(bob, "regret")["timestamp_ms"]
        bob.poll()
        alice.call("client.delete_message", conversation=bob.id, timestamp_ms=sent, everyone=True)
        assert [message["content"]["kind"] for message in bob.poll()] == ["unsend"]
        assert alice.conversation(bob) == bob.conversation(alice) == []

    def test_state_tells_what_is_known(self, alice: Person, bob: Person) -> None:
        alice.send(bob, "hello")
        bob.poll()
        state = bob.call("client.state")
        assert state["conversations"] == [alice.id]
        assert state["contacts"][alice.id]["display_name"] == "alice"
        assert state["last_hashes"]

    @pytest.mark.parametrize(
        ("to", "content", "code"),
        [
            ("05", {"kind": "text", "body": "x"}, "invalid_argument"),
            (None, {"kind": "text", "body": "x" * 2_001}, "too_large"),
            (None, {"kind": "no such kind"}, "invalid_argument"),
        ],
    )
    def test_what_cannot_be_sent_is_refused(
        self, alice: Person, bob: Person, to: str | None, content: dict[str, Any], code: str
    ) -> None:
        assert alice.refusal("client.send", to=to or bob.id, content=content)["code"] == code

    def test_a_network_failure_carries_code_and_status(
        self, network: NetworkHandle, alice: Person, bob: Person
    ) -> None:
        network.faults.add({"node": "*", "action": "status", "status": 503, "methods": ["store"]})
        try:
            error = alice.refusal(
                "client.send", to=bob.id, content={"kind": "text", "body": "nobody stores it"}
            )
        finally:
            network.faults.clear()
        assert (error["code"], error["data"]["status"]) == ("network_error", 503)
        assert error["data"]["attempts"]
