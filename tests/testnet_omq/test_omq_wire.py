"""The wire protocol of OMQ: handshake, framing, refusals, order (omq.md §§1, 2)."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from session_protocol.service_nodes import NodeIdentity
from session_testnet.endpoints import bind_socket
from session_testnet.loop_thread import LoopThread
from session_testnet.services.omq import (
    FORBIDDEN,
    NOT_A_SERVICE_NODE,
    Command,
    Connection,
    OmqListener,
    OmqRuntime,
)

Nodes = Any
Client = Any
User = Any
PATIENCE_S = 20.0


def test_the_handshake_is_answered(nodes: Nodes) -> None:
    client = nodes.connect(greet=False)
    client.send(b"HI")
    assert client.receive() == [b"HELLO"]


def test_requests_may_follow_the_greeting_at_once(nodes: Nodes) -> None:
    client = nodes.connect(greet=False)
    client.send(b"HI")
    client.send(b"storage.info", b"a tag of any length \x00\xff")
    assert client.receive() == [b"HELLO"]
    word, tag, body = client.receive()
    assert (word, tag) == (b"REPLY", b"a tag of any length \x00\xff")
    assert orjson.loads(body)["version"] == [2, 11, 3]


def test_an_unknown_command_is_named_without_a_tag(client: Client) -> None:
    client.ask("storage.no_such_method", b"{}")
    assert client.receive() == [b"UNKNOWNCOMMAND", b"storage.no_such_method"]
    client.send(b"nonsense")
    assert client.receive() == [b"UNKNOWNCOMMAND", b"nonsense"]


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("sn.data", b"FORBIDDEN_SN"),
        ("sn.data_ready", b"FORBIDDEN_SN"),
        ("sn.ping", b"FORBIDDEN_SN"),
        ("sn.onion_request", b"FORBIDDEN_SN"),
        ("sn.storage_cc", b"FORBIDDEN_SN"),
        ("service.get_stats", b"FORBIDDEN"),
    ],
)
def test_what_is_not_for_clients_is_refused_with_the_tag(client: Client, command: str, word: bytes) -> None:
    tag = client.ask(command, b"data")
    assert client.receive() == [word, b"REPLY", tag]


def test_a_refused_one_way_command_is_named(client: Client) -> None:
    client.send(b"notify.block", b"1234", b"\x00" * 32)
    assert client.receive() == [b"FORBIDDEN", b"notify.block"]


def test_a_request_needs_a_tag(client: Client) -> None:
    client.send(b"storage.info")
    assert client.receive() == [b"NO_REPLY_TAG", b"storage.info"]


def test_answers_and_empty_messages_are_ignored(client: Client) -> None:
    for parts in ([b"REPLY", b"tag", b"x"], [b"HELLO"], [b"REPLY"]):
        client.send(*parts)
    assert client.json("info", {})[0] == 200


@pytest.mark.parametrize("data", [[], [b""], [b"{}"], [b"de"]])
def test_a_request_has_at_most_one_part(client: Client, data: list[bytes]) -> None:
    assert len(client.request("storage.info", *data)) == 1


@pytest.mark.parametrize("count", [2, 3])
def test_more_parts_are_refused(client: Client, count: int) -> None:
    text = f"Invalid request: expected 1 message parts, received {count}".encode()
    assert client.request("storage.info", *[b"{}"] * count) == [b"400", text]


@pytest.mark.parametrize("body", [b"x", b"[]", b"3", b"null", b"d", b"d1:a", b"le", b"i1e", b"\xff", b"{"])
def test_other_bodies_are_refused(client: Client, body: bytes) -> None:
    assert client.request("storage.info", body) == [b"400", b"invalid body: expected json or bt_dict"]


def test_an_error_has_two_parts(client: Client, alice: User) -> None:
    parts = client.request("storage.retrieve", orjson.dumps({"pubkey": alice.pubkey}))
    assert parts == [b"401", b"retrieve: request signature required"]


def test_stores_without_waiting_keep_their_order(nodes: Nodes, client: Client, alice: User) -> None:
    bodies = [f"message {number}".encode() for number in range(30)]
    tags = [client.ask("storage.store", orjson.dumps(nodes.store_params(alice, body))) for body in bodies]
    retrieve = alice.signed("retrieve", {"timestamp": nodes.now})
    last = client.ask("storage.retrieve", orjson.dumps(retrieve))
    # The helper also checks that answers come in this order.
    assert all(len(client.answer(tag)) == 1 for tag in tags)
    assert len(orjson.loads(client.answer(last)[0])["messages"]) == 30
    for index in range(7):
        assert nodes.bodies(nodes.connect(index), alice) == bodies


def test_a_slow_request_keeps_its_own_connection_waiting_and_no_other(
    nodes: Nodes, client: Client, alice: User
) -> None:
    rule = nodes.network.faults.add({"action": "delay", "delay_ms": 600, "methods": ["store"]})
    try:
        slow = client.ask("storage.store", orjson.dumps(nodes.store_params(alice, b"slow")))
        behind = client.ask("storage.info")
        other = nodes.connect()
        assert other.json("info", {})[0] == 200
        with pytest.raises(Exception, match="nothing came"):
            client.receive(timeout_ms=50)
        assert len(client.answer(slow)) == 1
        assert len(client.answer(behind)) == 1
    finally:
        nodes.network.faults.clear(rule)


def test_many_clients_at_once_are_each_answered(nodes: Nodes) -> None:
    clients = [nodes.connect() for _ in range(20)]
    tags = [client.ask("storage.info") for client in clients for _ in range(5)]
    answers = [clients[number // 5].answer(tag) for number, tag in enumerate(tags)]
    assert all(len(answer) == 1 for answer in answers)


def test_a_second_connection_under_the_same_id_takes_over(nodes: Nodes) -> None:
    routing_id = b"L" + os.urandom(32)
    first = nodes.connect(routing_id=routing_id)
    second = nodes.connect(routing_id=routing_id)
    assert second.json("info", {})[0] == 200
    first.close()
    assert second.json("info", {})[0] == 200


def test_another_key_than_the_nodes_gets_no_answer(nodes: Nodes) -> None:
    address, _ = nodes.address(0)
    stranger = nodes.connect_to(address, nodes.address(1)[1], greet=False)
    stranger.send(b"HI")
    with pytest.raises(Exception, match="nothing came"):
        stranger.receive(timeout_ms=300)
    assert nodes.connect().json("info", {})[0] == 200


def test_other_protocols_do_no_harm(nodes: Nodes) -> None:
    node = nodes.state(0)
    with socket.create_connection((node["ip"], node["omq_port"]), timeout=5) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n" + os.urandom(300))
        raw.settimeout(5)
        with contextlib.suppress(OSError):
            while raw.recv(4096):
                pass
    assert nodes.connect().json("info", {})[0] == 200


def test_too_large_a_message_ends_its_connection_alone(nodes: Nodes, client: Client) -> None:
    other = nodes.connect()
    client.ask("storage.store", b"{" + b" " * (10 * 1024 * 1024 + 1))
    with pytest.raises(Exception, match="nothing came"):
        client.receive(timeout_ms=300)
    assert other.json("info", {})[0] == 200


def test_a_frozen_node_answers_when_it_is_back(nodes: Nodes) -> None:
    node = nodes.network.node("node-03")
    client = nodes.connect(2)
    node.pause()
    try:
        tag = client.ask("storage.info")
        with pytest.raises(Exception, match="nothing came"):
            client.receive(timeout_ms=200)
    finally:
        node.resume()
    assert len(client.answer(tag)) == 1


def test_a_stopped_node_says_goodbye_and_comes_back_at_the_same_port(nodes: Nodes) -> None:
    node, state = nodes.network.node("node-04"), nodes.state(3)
    place = (state["ip"], state["omq_port"])
    client = nodes.connect(3)
    node.stop()
    try:
        assert client.receive() == [b"BYE"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place, timeout=5).close()
    finally:
        node.start()
    assert nodes.network.node("node-04").status()["omq_port"] == state["omq_port"]
    assert nodes.connect(3).json("info", {})[0] == 200


def test_a_node_can_be_restarted_again_and_again(nodes: Nodes) -> None:
    for _ in range(5):
        nodes.network.node("node-05").restart()
    assert nodes.connect(4).json("info", {})[0] == 200


def test_faults_of_connections_concern_this_one_too(nodes: Nodes, client: Client) -> None:
    rule = nodes.network.faults.add({"action": "drop", "node": "node-01"})
    try:
        tag = client.ask("storage.info")
        with pytest.raises(Exception, match="nothing came"):
            client.receive(timeout_ms=200)
    finally:
        nodes.network.faults.clear(rule)
    assert client.ask("storage.info") != tag
    assert client.receive()[0] == b"REPLY"


class Own:
    """A listener with commands of the test."""

    def __init__(self, thread: LoopThread) -> None:
        self.thread = thread
        self.identity = NodeIdentity.from_seed(bytes(32))
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.gone: list[Connection] = []
        self.connections: list[Connection] = []
        self.address = ""
        self.holding, self.held = asyncio.Event(), asyncio.Event()

    async def start(self) -> None:
        async def fail(_connection: Connection, _data: Any) -> Any:
            raise ValueError("what went wrong")

        async def listen(connection: Connection, data: Any) -> None:
            self.connections.append(connection)
            await self.heard.put(data[0])

        async def many(_connection: Connection, data: Any) -> Any:
            return tuple(data) * 3

        async def hold(_connection: Connection, _data: Any) -> Any:
            self.holding.set()
            await self.held.wait()
            return ()

        async def size(_connection: Connection, data: Any) -> Any:
            return (b"%d" % len(data[0]),)

        runtime = OmqRuntime.create(1)
        assert runtime is not None
        self.runtime = runtime
        self.listener = OmqListener(
            "the test",
            {
                b"x.fail": Command(fail),
                b"x.listen": Command(listen, is_request=False),
                b"x.hold": Command(hold),
                b"x.many": Command(many),
                b"x.size": Command(size),
                b"x.silent": Command(listen),
                b"x.local": Command(refusal=NOT_A_SERVICE_NODE),
                b"x.admin": Command(refusal=FORBIDDEN),
            },
            on_gone=self.gone.append,
        )
        listening = bind_socket("127.0.0.1")
        self.address = "tcp://{}:{}".format(*listening.getsockname())
        self.listener.start(runtime, listening, self.identity.x25519_sk)

    async def let_go(self) -> None:
        self.held.set()

    async def stop(self) -> None:
        await self.listener.close(wait=True)
        await self.listener.close()
        self.runtime.close()
        self.runtime.close()

    def run(self, work: Any) -> Any:
        return self.thread.run(work, timeout_s=PATIENCE_S, waiting_for="the listener of the test")


@pytest.fixture
def own() -> Iterator[Own]:
    thread = LoopThread("own OMQ listener")
    made = Own(thread)
    made.run(made.start())
    yield made
    made.run(made.stop())
    thread.close()


@pytest.fixture
def own_client(nodes: Nodes, own: Own) -> Client:
    return nodes.connect_to(own.address, own.identity.x25519_pk)


def test_a_handler_that_fails_makes_500(own_client: Client) -> None:
    assert own_client.request("x.fail") == [b"500", b"what went wrong"]


def test_replies_may_have_any_number_of_parts(own_client: Client) -> None:
    assert own_client.request("x.many", b"a", b"") == [b"a", b"", b"a", b"", b"a", b""]
    assert own_client.request("x.many") == []


def test_one_way_commands_are_not_answered(own: Own, own_client: Client) -> None:
    own_client.send(b"x.listen", b"hello")
    assert own.run(own.heard.get()) == b"hello"
    own_client.ask("x.silent", b"silence")
    assert own.run(own.heard.get()) == b"silence"
    assert own_client.request("x.many", b"a") == [b"a"] * 3


@pytest.mark.parametrize(("command", "word"), [("x.local", b"NOT_A_SERVICE_NODE"), ("x.admin", b"FORBIDDEN")])
def test_every_refusal_has_its_word(own_client: Client, command: str, word: bytes) -> None:
    tag = own_client.ask(command)
    assert own_client.receive() == [word, b"REPLY", tag]
    own_client.send(command.encode())
    assert own_client.receive() == [word, command.encode()]


def test_a_client_that_says_bye_has_gone(own: Own, own_client: Client) -> None:
    own_client.send(b"x.listen", b"here")
    own.run(own.heard.get())
    own_client.send(b"BYE")
    assert own_client.request("x.many", b"still answered") == [b"still answered"] * 3
    assert own.gone == own.connections


def test_a_push_to_a_client_that_has_gone_is_noticed(own: Own, own_client: Client) -> None:
    own_client.send(b"x.listen", b"here")
    own.run(own.heard.get())
    (connection,) = own.connections

    async def push() -> bool:
        return connection.push(b"notify.x", b"body")

    assert own.run(push())
    assert own_client.receive() == [b"notify.x", b"body"]
    assert connection.address == "127.0.0.1"
    own_client.close()

    async def push_until_noticed() -> None:
        while connection.push(b"notify.x", b"body"):  # noqa: ASYNC110 - only the next push tells of it
            await asyncio.sleep(0.001)

    own.run(push_until_noticed())
    assert own.gone == [connection]


def test_the_listener_closes_while_requests_are_under_way(nodes: Nodes) -> None:
    thread = LoopThread("closing OMQ listener")
    own = Own(thread)
    own.run(own.start())
    entered = asyncio.Event()

    async def wait(_connection: Connection, _data: Any) -> Any:
        entered.set()
        await asyncio.Event().wait()

    own.listener._commands = {b"x.wait": Command(wait)}
    client = nodes.connect_to(own.address, own.identity.x25519_pk)
    client.ask("x.wait")
    own.run(entered.wait())
    own.run(own.stop())
    thread.close()
    assert client.receive() == [b"BYE"]


def test_what_waits_for_one_connection_is_bounded(own: Own, own_client: Client) -> None:
    """Requests beyond the bound are refused; the others are answered when their turn comes."""
    large = b"y" * (9 * 2**20)
    first = own_client.ask("x.hold", b"")
    waiting = [own_client.ask("x.size", large) for _ in range(3)]
    refused = own_client.ask("x.size", large)
    assert own_client.receive() == [b"REPLY", refused, b"503", b"Server busy, try again later"]
    own.run(own.let_go())
    assert own_client.answer(first) == []
    for tag in waiting:
        assert own_client.answer(tag) == [b"%d" % len(large)]
    assert own_client.request("x.size", large) == [b"%d" % len(large)], "there is room again"


def test_so_many_requests_wait_for_one_connection(own: Own, own_client: Client) -> None:
    tags = [own_client.ask("x.hold", b"")]
    own.run(own.holding.wait())
    tags += [own_client.ask("x.hold", b"") for _ in range(1001)]
    assert own_client.receive() == [b"REPLY", tags[-1], b"503", b"Server busy, try again later"]
    own.run(own.let_go())
    for tag in tags[:-1]:
        assert own_client.answer(tag) == []


def test_what_a_connection_has_asked_is_dropped_when_it_says_bye(own: Own, own_client: Client) -> None:
    own_client.ask("x.hold", b"")
    own.run(own.holding.wait())
    for _ in range(5):
        own_client.ask("x.silent", b"never heard")
    own_client.send(b"BYE")
    assert own_client.request("x.many", b"a new one") == [b"a new one"] * 3
    own.run(own.let_go())
    assert own_client.receive()[0] == b"REPLY", "what was begun is ended"
    assert own_client.request("x.many", b"another") == [b"another"] * 3
    assert own.heard.empty()
