"""Messages over nodes that live in memory: rules of sending, receiving, places and deletion."""

import asyncio
import base64
import json
import random
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import pytest

from session_protocol import messages, storage_auth
from session_protocol.accounts import Account, account_bytes
from session_testnet.client import ClientError, MessagingClient, NetworkClient, ServiceNode
from session_testnet.client.errors import ConnectionLost, NotFound, Refused, TooLarge
from session_testnet.client.swarm import Swarm
from session_testnet.client.transport import NodeReply

T = TypeVar("T")
NOW = 1_700_000_000_000
NODES = [
    ServiceNode(f"{number:064x}", f"{number + 100:064x}", f"127.0.{number}.1", 22021)
    for number in range(1, 6)
]


class MemorySwarm:
    """Five nodes that hold everybody's mailbox; each may miss messages, refuse, or spoil what it shows."""

    def __init__(self) -> None:
        self.held: dict[str, dict[tuple[str, int], list[dict[str, Any]]]] = {
            node.ed25519_pk: {} for node in NODES
        }
        self.requests: list[tuple[ServiceNode, str, Mapping[str, Any]]] = []
        self.clock_ms = NOW
        self.down: set[str] = set()
        self.spoiling: set[str] = set()
        self.page_size = 1_000

    async def node_request(
        self, node: ServiceNode, request: bytes, *, timeout_s: float, what: str
    ) -> NodeReply:
        message = json.loads(request)
        if node.ed25519_pk in self.down:
            raise ConnectionLost(f"{node.label} is down")
        return self.answer(node, message["method"], message["params"])

    def answer(self, node: ServiceNode, method: str, params: Mapping[str, Any]) -> NodeReply:
        self.requests.append((node, method, params))
        body: Any
        match method:
            case "batch":
                answers = [self.answer(node, one["method"], one["params"]) for one in params["requests"]]
                body = {"results": [{"code": answer.status, "body": answer.body} for answer in answers]}
            case "info":
                body = {"t": self.clock_ms}
            case "store":
                if params["timestamp"] > self.clock_ms + 10_000:
                    return NodeReply(406, "Timestamp error: check your clock")
                body = self.store(params)
            case "retrieve":
                if abs(params["timestamp"] - self.clock_ms) > 60_000:
                    return NodeReply(406, "retrieve timestamp too far from current time")
                body = self.retrieve(node, params)
            case "delete":
                for mailboxes in self.held.values():
                    for entries in mailboxes.values():
                        entries[:] = [entry for entry in entries if entry["hash"] not in params["messages"]]
                body = {"t": self.clock_ms}
            case _:
                return NodeReply(400, f"no method {method}")
        return NodeReply(200, body)

    def store(self, params: Mapping[str, Any]) -> dict[str, Any]:
        data = base64.b64decode(params["data"])
        name = storage_auth.message_hash(account_bytes(params["pubkey"]), params["namespace"], data)
        entry = {"hash": name, "timestamp": params["timestamp"], "data": params["data"], "ttl": params["ttl"]}
        for key, mailboxes in self.held.items():
            if key not in self.down:
                entries = mailboxes.setdefault((params["pubkey"], params["namespace"]), [])
                if all(known["hash"] != name for known in entries):
                    entries.append(entry)
        return {"hash": name, "t": self.clock_ms}

    def retrieve(self, node: ServiceNode, params: Mapping[str, Any]) -> dict[str, Any]:
        payload = storage_auth.request_payload("retrieve", params)
        storage_auth.verify(
            account_bytes(params["pubkey"]),
            payload,
            base64.b64decode(params["signature"]),
            pubkey_ed25519=bytes.fromhex(params["pubkey_ed25519"]),
        )
        entries = self.held[node.ed25519_pk].get((params["pubkey"], params["namespace"]), [])
        names = [entry["hash"] for entry in entries]
        start = names.index(params["last_hash"]) + 1 if params["last_hash"] in names else 0
        page = entries[start : start + self.page_size]
        if node.ed25519_pk in self.spoiling:
            page = [entry | {"data": spoiled(entry["data"])} for entry in page]
        return {"messages": page, "more": start + len(page) < len(entries), "t": self.clock_ms}

    def mailbox(self, account: Account, namespace: int = 0) -> list[dict[str, Any]]:
        return self.held[NODES[0].ed25519_pk].get((account.account_id, namespace), [])

    def contents(self, account: Account) -> list[Mapping[str, Any]]:
        return [
            messages.decode_1o1(account, base64.b64decode(entry["data"])).content
            for entry in self.mailbox(account)
        ]


def spoiled(data_base64: str) -> str:
    data = bytearray(base64.b64decode(data_base64))
    data[len(data) // 2] ^= 1
    return base64.b64encode(bytes(data)).decode()


def person(swarm: MemorySwarm, name: str, *, device: str = "", offset_ms: int = 0) -> MessagingClient:
    account = Account.from_seed(name.encode().ljust(16, b"."))
    rng = random.Random(f"{name}{device}")
    network = NetworkClient(
        account,
        "http://127.0.0.1:1",
        use_onion=False,
        clock=lambda: swarm.clock_ms + offset_ms,
        rng=rng,
    )
    network._transport = swarm
    network.paths.learn(NODES)
    for known in ("alice", "bob", "mallory"):
        known_id = Account.from_seed(known.encode().ljust(16, b".")).account_id
        network._swarms.put(known_id, Swarm("1", tuple(NODES)))
    return MessagingClient(account, network, device=device, rng=rng)


@pytest.fixture
def swarm() -> MemorySwarm:
    return MemorySwarm()


@pytest.fixture
def alice(swarm: MemorySwarm) -> MessagingClient:
    return person(swarm, "alice")


@pytest.fixture
def bob(swarm: MemorySwarm) -> MessagingClient:
    return person(swarm, "bob")


def run(action: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(action)


def text(body: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "text", "body": body} | fields


def bodies(client: MessagingClient, *namespaces: int) -> list[Any]:
    return [message.content.get("body") for message in run(client.poll(namespaces or (0,)))]


class TestSending:
    def test_a_text_arrives_with_sender_and_time(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        sent = run(alice.send(bob.account_id, text("hello")))
        (received,) = run(bob.poll())
        assert (received.sender, received.conversation) == (alice.account_id, alice.account_id)
        assert received.timestamp_ms == sent.timestamp_ms == NOW
        assert received.hash == sent.hash
        assert received.content["body"] == "hello"
        assert not received.outgoing

    def test_the_own_devices_get_a_copy_that_names_the_recipient(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        sent = run(alice.send(bob.account_id, text("hello", profile={"display_name": "A"})))
        (copy,) = swarm.contents(alice.account)
        assert copy["sync_target"] == bob.account_id
        assert copy["timestamp_ms"] == sent.timestamp_ms
        assert not copy.get("profile"), "own devices know the profile"
        (received,) = run(person(swarm, "alice", device="2").poll())
        assert received.outgoing
        assert (received.conversation, received.hash) == (bob.account_id, sent.sync_hash)

    def test_the_sending_device_does_not_hear_of_its_own_copy(
        self, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        run(alice.send(bob.account_id, text("hello")))
        assert bodies(alice) == []
        assert [stored.message.content["body"] for stored in alice.messages(bob.account_id)] == ["hello"]

    @pytest.mark.parametrize(
        ("content", "copies"),
        [
            ({"kind": "typing", "started": True}, 0),
            ({"kind": "receipt", "read_ms": [5]}, 0),
            ({"kind": "unsend", "target_ms": 5, "author": "me"}, 1),
            ({"kind": "reaction", "target_ms": 5, "author": "me", "emoji": "x", "remove": False}, 1),
            ({"kind": "community_invitation", "url": "http://x/y", "name": "y"}, 1),
        ],
    )
    def test_only_some_kinds_are_copied(
        self,
        swarm: MemorySwarm,
        alice: MessagingClient,
        bob: MessagingClient,
        content: dict[str, Any],
        copies: int,
    ) -> None:
        author = {"author": alice.account_id} if "author" in content else {}
        run(alice.send(bob.account_id, content | author))
        assert len(swarm.mailbox(bob.account)) == 1
        assert len(swarm.mailbox(alice.account)) == copies

    def test_a_note_to_self_is_stored_once(self, swarm: MemorySwarm, alice: MessagingClient) -> None:
        sent = run(alice.send(alice.account_id, text("remember")))
        (content,) = swarm.contents(alice.account)
        assert content["sync_target"] == alice.account_id
        assert sent.hash == sent.sync_hash
        (received,) = run(person(swarm, "alice", device="2").poll())
        assert received.conversation == alice.account_id

    @pytest.mark.parametrize(
        ("content", "own_ttl_ms", "their_ttl_ms"),
        [
            (text("x"), 14 * 86_400_000, 14 * 86_400_000),
            ({"kind": "typing", "started": True}, None, 20_000),
            (text("x", expiration={"type": "send", "seconds": 60}), 60_000, 60_000),
            (text("x", expiration={"type": "read", "seconds": 60}), 60_000, 14 * 86_400_000),
        ],
    )
    def test_lifetimes(
        self,
        swarm: MemorySwarm,
        alice: MessagingClient,
        bob: MessagingClient,
        content: dict[str, Any],
        own_ttl_ms: int | None,
        their_ttl_ms: int,
    ) -> None:
        run(alice.send(bob.account_id, content))
        assert [entry["ttl"] for entry in swarm.mailbox(bob.account)] == [their_ttl_ms]
        assert [entry["ttl"] for entry in swarm.mailbox(alice.account)] == (
            [own_ttl_ms] if own_ttl_ms else []
        )

    def test_no_timestamp_is_used_twice(self, alice: MessagingClient, bob: MessagingClient) -> None:
        sent = [run(alice.send(bob.account_id, text(str(number)))) for number in range(5)]
        assert len({one.timestamp_ms for one in sent}) == 5

    def test_a_clock_that_is_wrong_is_corrected_and_the_message_stamped_anew(
        self, swarm: MemorySwarm, bob: MessagingClient
    ) -> None:
        early = person(swarm, "alice", offset_ms=3_600_000)
        sent = run(early.send(bob.account_id, text("from the future")))
        assert sent.timestamp_ms == NOW
        (received,) = run(bob.poll())
        assert received.timestamp_ms == NOW
        assert early.network.time.offset_ms == -3_600_000
        assert len(swarm.mailbox(bob.account)) == 1

    def test_a_note_to_self_is_stamped_anew_as_well(self, swarm: MemorySwarm) -> None:
        early = person(swarm, "alice", offset_ms=3_600_000)
        assert run(early.send(early.account_id, text("remember"))).timestamp_ms == NOW

    def test_a_copy_that_fails_does_not_unsend_the_message(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        answer = swarm.answer
        swarm.answer = lambda node, method, params: (  # type: ignore[method-assign]
            NodeReply(401, "no") if params.get("pubkey") == alice.account_id else answer(node, method, params)
        )
        sent = run(alice.send(bob.account_id, text("x")))
        assert sent.sync_hash is None
        assert sent.sync_failure is not None
        assert sent.sync_failure.code == "unauthorized"
        assert bodies(bob) == ["x"]

    @pytest.mark.parametrize(
        "to", ["", "05", "03" + "ab" * 32, "15" + "ab" * 32, "ab" * 32, "05" + "xy" * 32]
    )
    def test_only_account_ids_can_be_written_to(self, alice: MessagingClient, to: str) -> None:
        with pytest.raises(Refused, match="Account ID"):
            run(alice.send(to, text("x")))

    def test_an_upper_case_id_is_the_same_account(self, alice: MessagingClient, bob: MessagingClient) -> None:
        run(alice.send(bob.account_id.upper(), text("x")))
        assert bodies(bob) == ["x"]

    def test_limits_are_kept(self, alice: MessagingClient, bob: MessagingClient) -> None:
        with pytest.raises(TooLarge, match="2001 characters"):
            run(alice.send(bob.account_id, text("x" * 2_001)))
        with pytest.raises(TooLarge, match="33 attachments"):
            run(alice.send(bob.account_id, text("x", attachments=[{"url": "u"}] * 33)))

    def test_content_that_cannot_be_built_is_refused(
        self, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        with pytest.raises(Refused, match="cannot be sent"):
            run(alice.send(bob.account_id, {"kind": "no such kind"}))


class TestReceiving:
    def test_a_message_is_reported_once(self, alice: MessagingClient, bob: MessagingClient) -> None:
        run(alice.send(bob.account_id, text("once")))
        assert [bodies(bob) for _ in range(4)] == [["once"], [], [], []]

    def test_a_place_is_kept_for_each_node(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        for number in range(6):
            run(alice.send(bob.account_id, text(str(number))))
            bodies(bob)
        last = swarm.mailbox(bob.account)[-1]["hash"]
        asked = {node.ed25519_pk for node, method, _ in swarm.requests if method == "retrieve"}
        assert len(asked) > 1
        assert {node for node, _ in bob.last_hashes} == asked
        assert last in bob.last_hashes.values()
        bob_requests = [
            (node, params["last_hash"])
            for node, method, params in swarm.requests
            if method == "retrieve" and params["pubkey"] == bob.account_id
        ]
        first_of_each: dict[str, str] = {}
        for node, last_hash in bob_requests:
            first_of_each.setdefault(node.ed25519_pk, last_hash)
        assert set(first_of_each.values()) == {""}, "a node that was not asked before knows no place"

    def test_a_node_that_stands_in_is_asked_from_its_own_place(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        run(alice.send(bob.account_id, text("before")))
        bodies(bob)
        swarm.down = {node for node, _ in bob.last_hashes}
        swarm.requests.clear()
        run(alice.send(bob.account_id, text("after")))
        assert bodies(bob) == ["after"]
        places = [params["last_hash"] for _, method, params in swarm.requests if method == "retrieve"]
        assert places
        assert set(places) == {""}

    def test_every_page_is_fetched(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        swarm.page_size = 2
        for number in range(7):
            run(alice.send(bob.account_id, text(str(number))))
        assert bodies(bob) == [str(number) for number in range(7)]

    def test_a_node_that_missed_a_message_hides_nothing(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        swarm.down = {NODES[0].ed25519_pk}
        run(alice.send(bob.account_id, text("x")))
        swarm.down = set()
        seen = [body for _ in range(5) for body in bodies(bob)]
        assert seen == ["x"]

    def test_a_dead_node_is_passed_over(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        swarm.down = {node.ed25519_pk for node in NODES[:4]}
        run(alice.send(bob.account_id, text("x")))
        assert bodies(bob) == ["x"]

    def test_a_spoiled_copy_does_not_hide_the_message(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        swarm.spoiling = {node.ed25519_pk for node in NODES[:4]}
        run(alice.send(bob.account_id, text("x")))
        seen = [body for _ in range(12) for body in bodies(bob)]
        assert seen == ["x"]
        assert bob.undecodable == []

    def test_what_cannot_be_read_is_dropped_and_noted(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        swarm.store(
            {
                "pubkey": bob.account_id,
                "namespace": 0,
                "timestamp": NOW,
                "ttl": 5,
                "data": base64.b64encode(b"\x00\x02noise").decode(),
            }
        )
        run(alice.send(bob.account_id, text("after")))
        assert bodies(bob) == ["after"]
        assert len(bob.undecodable) == 1
        bodies(bob)
        assert len(bob.undecodable) == 1

    def test_the_same_message_under_two_hashes_is_one(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        for _ in range(2):
            data = messages.encode_1o1(alice.account, bob.account_id, text("twice", timestamp_ms=NOW), NOW)
            swarm.store(
                {
                    "pubkey": bob.account_id,
                    "namespace": 0,
                    "timestamp": NOW,
                    "ttl": 5,
                    "data": base64.b64encode(data).decode(),
                }
            )
        assert len(swarm.mailbox(bob.account)) == 2
        assert bodies(bob) == ["twice"]

    def test_several_namespaces_go_in_one_batch(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        run(alice.send(bob.account_id, text("x")))
        assert bodies(bob, 0, 2, 3) == ["x"]
        batches = [params for _, method, params in swarm.requests if method == "batch"]
        assert [[one["params"]["namespace"] for one in batch["requests"]] for batch in batches] == [
            [0, 2, 3],
            [0, 2, 3],
        ]

    def test_polling_fails_when_nobody_answers(self, swarm: MemorySwarm, bob: MessagingClient) -> None:
        swarm.down = {node.ed25519_pk for node in NODES}
        with pytest.raises(ClientError) as caught:
            run(bob.poll())
        assert caught.value.code == "network_error"

    def test_contacts_carry_the_profile_that_came(self, alice: MessagingClient, bob: MessagingClient) -> None:
        alice.display_name = "Alice"
        run(alice.send(bob.account_id, text("x")))
        bodies(bob)
        assert bob.store.contacts[alice.account_id]["display_name"] == "Alice"


class TestReactionsAndReceipts:
    def test_a_reaction_reaches_both_stores(self, alice: MessagingClient, bob: MessagingClient) -> None:
        sent = run(alice.send(bob.account_id, text("like it?")))
        run(bob.poll())
        run(bob.react(alice.account_id, sent.timestamp_ms, alice.account_id, "👍"))
        run(alice.poll())
        for one, other in ((alice, bob), (bob, alice)):
            (stored,) = one.messages(other.account_id)
            assert stored.reactions == {"👍": [bob.account_id]}
        run(bob.react(alice.account_id, sent.timestamp_ms, alice.account_id, "👍", remove=True))
        run(alice.poll())
        assert alice.messages(bob.account_id)[0].reactions == {}

    def test_a_receipt_names_what_was_read(self, alice: MessagingClient, bob: MessagingClient) -> None:
        sent = run(alice.send(bob.account_id, text("x")))
        run(bob.poll())
        run(bob.mark_read(alice.account_id, [sent.timestamp_ms]))
        assert bob.messages(alice.account_id)[0].read
        (receipt,) = run(alice.poll())
        assert receipt.content["read_ms"] == [sent.timestamp_ms]

    def test_typing_comes_in_order(self, alice: MessagingClient, bob: MessagingClient) -> None:
        for started in (True, False, True):
            run(alice.typing(bob.account_id, started=started))
        assert [message.content["started"] for message in run(bob.poll())] == [True, False, True]


class TestDeleting:
    def test_an_unsent_message_is_gone_everywhere(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        second_device = person(swarm, "alice", device="2")
        sent = run(alice.send(bob.account_id, text("regret")))
        run(bob.poll())
        run(second_device.poll())
        run(alice.delete_message(bob.account_id, sent.timestamp_ms, everyone=True))
        (unsend,) = run(bob.poll())
        assert unsend.content["target_ms"] == sent.timestamp_ms
        run(second_device.poll())
        for client, other in ((alice, bob), (bob, alice), (second_device, bob)):
            assert client.messages(other.account_id) == []
        hashes = {entry["hash"] for entry in swarm.mailbox(bob.account) + swarm.mailbox(alice.account)}
        assert not hashes & {sent.hash, sent.sync_hash}, "owners delete unsent messages from their swarms"

    def test_nobody_unsends_what_another_wrote(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        mallory = person(swarm, "mallory")
        sent = run(alice.send(bob.account_id, text("stays")))
        run(bob.poll())
        forged = {"kind": "unsend", "target_ms": sent.timestamp_ms, "author": alice.account_id}
        run(mallory.send(bob.account_id, forged))
        assert run(bob.poll()) == []
        assert len(bob.messages(alice.account_id)) == 1

    def test_an_unsend_request_that_comes_first_is_obeyed(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        sent = run(alice.send(bob.account_id, text("regret")))
        run(alice.delete_message(bob.account_id, sent.timestamp_ms, everyone=True))
        late = person(swarm, "bob", device="2")
        kinds = [message.content["kind"] for message in run(late.poll())]
        assert "unsend" in kinds
        assert late.messages(alice.account_id) == []

    def test_only_the_author_deletes_for_everyone(self, alice: MessagingClient, bob: MessagingClient) -> None:
        sent = run(alice.send(bob.account_id, text("x")))
        run(bob.poll())
        with pytest.raises(Refused, match="only the author"):
            run(bob.delete_message(alice.account_id, sent.timestamp_ms, everyone=True))

    def test_a_message_may_be_deleted_here_only(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        sent = run(alice.send(bob.account_id, text("x")))
        run(bob.poll())
        run(bob.delete_message(alice.account_id, sent.timestamp_ms, everyone=False))
        assert bob.messages(alice.account_id) == []
        assert len(swarm.mailbox(bob.account)) == 1
        assert bodies(bob) == []
        with pytest.raises(NotFound):
            run(bob.delete_message(alice.account_id, sent.timestamp_ms, everyone=False))

    def test_a_delete_that_failed_is_made_up_for(
        self, swarm: MemorySwarm, alice: MessagingClient, bob: MessagingClient
    ) -> None:
        sent = run(alice.send(bob.account_id, text("regret")))
        run(bob.poll())
        run(alice.delete_message(bob.account_id, sent.timestamp_ms, everyone=True))
        answer = swarm.answer
        swarm.answer = lambda node, method, params: (  # type: ignore[method-assign]
            NodeReply(401, "no") if method == "delete" else answer(node, method, params)
        )
        run(bob.poll())
        assert sent.hash in {entry["hash"] for entry in swarm.mailbox(bob.account)}
        swarm.answer = answer  # type: ignore[method-assign]
        run(bob.poll())
        assert sent.hash not in {entry["hash"] for entry in swarm.mailbox(bob.account)}
