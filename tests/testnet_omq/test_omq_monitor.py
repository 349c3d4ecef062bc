"""The push of new messages: ``monitor.messages`` and what follows (storage-rpc §§12, 16, 17)."""

from collections.abc import Iterator
from typing import Any

import pytest

from session_protocol import bencode
from session_protocol.accounts import Account
from session_protocol.storage_auth import message_hash
from session_testnet.services.omq import Connection
from session_testnet.services.registry import NetworkSnapshot, NodeInfo
from session_testnet.services.storage import StorageNode
from session_testnet.services.storage.monitor.request import parse_request

Nodes = Any
Client = Any
User = Any
MakeNode = Any

SUCCESS = {b"success": 1}
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
DAY_S = 86_400

GROUP_VECTOR = bytes.fromhex(
    "64313a64693165313a6e6c692d35656930656932336565313a7033333a0303a107bff3ce10be1d70dd18e74bc09967e4d6309b"
    "a50d5f1ddc8664125531b8313a7336343ad723c03e616a54958d7ac37cf5b68c3e9107328fc72e0776b4dabd6bd12d36615df4"
    "107ea2b45c9409b200ec263a46d06ce7c4045d6f3f5ee7b79cf15e105b08313a7469313730303030303030306565"
)
SESSION_SIGNATURE = bytes.fromhex(
    "034828cf3ef27296add467b19744ff5a6dafceaa6e1e1f2941c770bcd7e8494b"
    "c37f2eb819a468eb5a24b7358c08be020aac70ebe0f9484a556026da334f5309"
)
VECTOR_S = 1_700_000_000


def error(answer: Any) -> tuple[int, str]:
    return answer[b"errcode"], answer[b"error"].decode()


def every_member(nodes: Nodes) -> list[Client]:
    return [nodes.connect(index) for index in range(7)]


def test_reg_ed(nodes: Nodes) -> None:
    user = nodes.user(3)
    for client in every_member(nodes):
        request = bencode.encode(nodes.subscription(user))
        assert client.request("monitor.messages", request) == [b"d7:successi1ee"]


def test_reg_session(nodes: Nodes, alice: User) -> None:
    for client in every_member(nodes):
        request = nodes.subscription(alice, (-5, 0, 23), data=True)
        assert "P" in request
        assert client.subscribe(request) == SUCCESS


def test_reg_subaccount(nodes: Nodes) -> None:
    user = nodes.user(2)
    for client in every_member(nodes):
        assert client.subscribe(nodes.subscription(user, by=user.subaccount(1))) == SUCCESS


def test_push(nodes: Nodes) -> None:
    user = nodes.user(3)
    clients = every_member(nodes)
    for number, client in enumerate(clients):
        by = user.subaccount(1) if number >= 3 else None
        assert client.subscribe(nodes.subscription(user, data=True, by=by)) == SUCCESS
    params = nodes.store_params(user, b"abc 123")
    assert nodes.connect().json("store", params)[0] == 200
    expected = {
        b"@": user.account,
        b"h": message_hash(user.account, 0, b"abc 123").encode(),
        b"n": 0,
        b"t": params["timestamp"],
        b"z": params["timestamp"] + params["ttl"],
        b"~": b"abc 123",
    }
    for client in clients:
        assert client.pushed() == (b"notify.message", expected)
    # A signed message in a namespace that nobody has subscribed to.
    nodes.store(clients[0], user, b"elsewhere", namespace=123)
    assert all(client.hears_nothing() for client in clients)


def test_multi(nodes: Nodes, client: Client) -> None:
    users = [nodes.user(3), nodes.user()]
    request = bencode.encode([nodes.subscription(user) for user in users])
    assert client.request("monitor.messages", request) == [b"ld7:successi1eed7:successi1eee"]
    for user in users:
        nodes.store(client, user, b"once")
        _, body = client.pushed()
        assert body[b"@"] == user.account
        assert b"~" not in body
    assert client.hears_nothing()


def test_a_list_is_answered_one_by_one(nodes: Nodes, client: Client) -> None:
    good, bad = nodes.subscription(nodes.user(3)), {**nodes.subscription(nodes.user(3)), "s": b"x" * 64}
    answers = client.subscribe([good, bad, 7])
    assert answers[0] == SUCCESS
    assert [each[b"errcode"] for each in answers[1:]] == [5, 1]
    assert client.subscribe([]) == []


def test_a_duplicate_is_not_pushed(nodes: Nodes, client: Client, alice: User) -> None:
    client.subscribe(nodes.subscription(alice))
    nodes.store(client, alice, b"twice")
    assert client.pushed()[0] == b"notify.message"
    nodes.store(client, alice, b"twice", ttl=10 * HOUR_MS)
    nodes.store(nodes.connect(1), alice, b"twice")
    assert client.hears_nothing()


def test_a_message_that_was_deleted_and_comes_again_is_new(nodes: Nodes, client: Client, alice: User) -> None:
    client.subscribe(nodes.subscription(alice))
    message = nodes.store(client, alice, b"again")
    client.pushed()
    client.json("delete", alice.signed("delete", {"messages": [message]}))
    nodes.store(client, alice, b"again")
    assert client.pushed()[1][b"h"].decode() == message


def test_other_namespaces_are_not_pushed(nodes: Nodes, client: Client, alice: User) -> None:
    client.subscribe(nodes.subscription(alice, (-10, 2, 5)))
    nodes.store(client, alice, b"zero")
    nodes.store(client, alice, b"three", namespace=3)
    assert client.hears_nothing()
    nodes.store(client, alice, b"two", namespace=2)
    assert client.pushed()[1][b"n"] == 2
    nodes.store(client, alice, b"minus ten", namespace=-10)
    assert client.pushed()[1][b"n"] == -10


def test_other_accounts_are_not_pushed(nodes: Nodes, client: Client, alice: User) -> None:
    client.subscribe(nodes.subscription(alice))
    nodes.store(client, nodes.user(), b"not for alice")
    assert client.hears_nothing()


def test_an_outbox_pushes_what_it_keeps(nodes: Nodes, client: Client) -> None:
    group = nodes.user(3)
    client.subscribe(nodes.subscription(group, (-1,), data=True))
    now = nodes.now
    nodes.store(client, group, b"first", namespace=-1, timestamp=now)
    assert client.pushed()[1][b"~"] == b"first"
    nodes.store(client, group, b"older", namespace=-1, timestamp=now - 1)
    assert client.hears_nothing()
    nodes.store(client, group, b"newer", namespace=-1, timestamp=now + 1)
    assert client.pushed()[1][b"~"] == b"newer"


def test_a_refused_store_is_not_pushed(nodes: Nodes, client: Client, alice: User) -> None:
    client.subscribe(nodes.subscription(alice, (123,)))
    assert client.json("store", nodes.store_params(alice, b"x", namespace=123))[0] == 401
    assert client.hears_nothing()


def test_a_full_disk_pushes_nothing(nodes: Nodes, client: Client, alice: User) -> None:
    client.subscribe(nodes.subscription(alice))
    node = nodes.network.node("node-01")
    node.set_knobs(disk_full=True)
    try:
        nodes.store(nodes.connect(1), alice, b"no room")
        assert client.hears_nothing()
    finally:
        node.set_knobs(disk_full=False)


def test_subscriptions_of_a_connection_merge(nodes: Nodes, client: Client, alice: User) -> None:
    client.subscribe(nodes.subscription(alice, (0, 2)))
    client.subscribe(nodes.subscription(alice, (2, 3), data=True))
    client.subscribe(nodes.subscription(alice, (3,)))
    for namespace in (0, 2, 3):
        nodes.store(client, alice, b"merged", namespace=namespace)
        _, body = client.pushed()
        assert (body[b"n"], body[b"~"]) == (namespace, b"merged")
    assert client.hears_nothing()


def test_subscriptions_of_two_connections_are_their_own(nodes: Nodes, alice: User) -> None:
    plain, full = nodes.connect(), nodes.connect()
    plain.subscribe(nodes.subscription(alice))
    full.subscribe(nodes.subscription(alice, data=True))
    nodes.store(plain, alice, b"both")
    assert b"~" not in plain.pushed()[1]
    assert full.pushed()[1][b"~"] == b"both"


def test_a_revoked_subaccount_hears_on(nodes: Nodes, client: Client) -> None:
    group = nodes.user(3)
    sub = group.subaccount(1)
    nodes.store(client, group, b"so that the account is known")
    revoke = {"revoke": [sub.token.hex()], "timestamp": nodes.now}
    assert client.json("revoke_subaccount", group.signed("revoke_subaccount", revoke))[0] == 200
    assert client.subscribe(nodes.subscription(group, by=sub)) == SUCCESS


@pytest.fixture
def moved_clock(nodes: Nodes) -> Iterator[Any]:
    clock = nodes.network.clock
    before = clock.offset_ms
    yield clock
    clock.move(before - clock.offset_ms)


def test_a_subscription_lives_for_65_minutes(nodes: Nodes, client: Client, moved_clock: Any) -> None:
    alice, bob = nodes.user(), nodes.user()
    client.subscribe([nodes.subscription(alice), nodes.subscription(bob)])
    moved_clock.move(64 * MINUTE_MS)
    client.subscribe(nodes.subscription(bob, (2,)))
    nodes.store(client, alice, b"in time")
    assert client.pushed()[1][b"@"] == alice.account
    moved_clock.move(2 * MINUTE_MS)
    nodes.store(client, alice, b"too late")
    nodes.store(client, bob, b"renewed")
    assert client.pushed()[1][b"@"] == bob.account
    assert client.hears_nothing()
    moved_clock.move(64 * MINUTE_MS)
    # What has run out is not part of a new subscription.
    client.subscribe(nodes.subscription(bob, (3,)))
    nodes.store(client, bob, b"not any more")
    assert client.hears_nothing()


def test_a_connection_that_ends_is_forgotten(nodes: Nodes, client: Client, alice: User) -> None:
    client.subscribe(nodes.subscription(alice))
    client.send(b"BYE")
    client.send(b"HI")
    assert client.receive() == [b"HELLO"]
    nodes.store(client, alice, b"nobody listens")
    assert client.hears_nothing()


def test_subscriptions_end_with_the_node(nodes: Nodes, alice: User) -> None:
    client = nodes.connect(5)
    client.subscribe(nodes.subscription(alice))
    nodes.network.node("node-06").restart()
    assert client.receive() == [b"BYE"]
    nodes.store(nodes.connect(5), alice, b"nobody listens")
    assert client.hears_nothing()


BAD = [
    ({"P": b"x" * 31}, 2, "Provided P= Session Ed25519 pubkey must be 32 bytes"),
    ({"p": b"x" * 32}, 2, "Provided p= pubkey must be 33 bytes"),
    ({"P": b"\xff" * 32, "p": None}, 2, "Invalid P= ed25519 public key"),
    ({"S": b"x" * 63}, 2, "Provided S subaccount signature must be 64 bytes"),
    ({"S": b"x" * 64, "T": b"x" * 35}, 2, "Provided T subaccount token must be 36 bytes"),
    ({"S": b"x" * 64}, 1, "Invalid arguments: required key 'T' is missing"),
    ({"P": b"x" * 32}, 1, "Invalid arguments: Cannot provide both p= and P= pubkey values"),
    ({"p": None}, 1, "Invalid arguments: Either p= or P= must be given"),
    ({"n": None}, 1, "Invalid arguments: n= must be a list of namespaces, with one at least"),
    ({"n": []}, 1, "Invalid arguments: n= must be a list of namespaces, with one at least"),
    ({"n": [b"0"]}, 1, "Invalid arguments: namespaces must be 16-bit integers"),
    ({"n": [32768]}, 1, "Invalid arguments: namespaces must be 16-bit integers"),
    ({"n": [0, -5]}, 3, "Invalid n= namespace list: namespaces must be ascending"),
    ({"n": [2, 2]}, 3, "Invalid n= namespace list: namespaces must be ascending"),
    ({"d": 2}, 1, "Invalid arguments: d= must be an integer from 0 to 1"),
    ({"s": None}, 1, "Invalid arguments: required key 's' is missing"),
    ({"s": 5}, 1, "Invalid arguments: s= must be a string"),
    ({"s": b"x" * 63}, 5, "Provided s= signature must be 64 bytes"),
    ({"s": b"x" * 64}, 5, "Signature verification failed"),
    ({"t": None}, 1, "Invalid arguments: required signature timestamp is missing"),
]


@pytest.mark.parametrize(("changes", "code", "text"), BAD)
def test_bad_subscriptions(
    nodes: Nodes, client: Client, changes: dict[str, Any], code: int, text: str
) -> None:
    request = nodes.subscription(nodes.user(3)) | changes
    answer = client.subscribe({name: value for name, value in request.items() if value is not None})
    assert error(answer) == (code, text)


@pytest.mark.parametrize("data", [[], [b""], [b"x"], [b"i1e"], [b"1:x"], [b"d"], [b"{}"], [b"de", b"de"]])
def test_what_is_no_subscription_at_all(client: Client, data: list[bytes]) -> None:
    (answer,) = client.request("monitor.messages", *data)
    code, text = error(bencode.decode(answer))
    assert code == 1
    assert text.startswith("Invalid arguments: ")


@pytest.mark.parametrize("change", ["namespaces", "data", "timestamp", "account", "key"])
def test_the_signature_covers_everything(nodes: Nodes, client: Client, change: str) -> None:
    user, other = nodes.user(3), nodes.user(3)
    request = nodes.subscription(user, (0, 5))
    changed = {
        "namespaces": {"n": [0, 6]},
        "data": {"d": 1},
        "timestamp": {"t": request["t"] - 1},
        "account": {"p": b"\x02" + user.public},
        "key": {"s": nodes.subscription(other, (0, 5))["s"]},
    }[change]
    assert client.subscribe(request) == SUCCESS
    assert error(client.subscribe(request | changed)) == (5, "Signature verification failed")


def test_a_session_id_must_come_as_its_ed25519_key(nodes: Nodes, client: Client, alice: User) -> None:
    request = nodes.subscription(alice)
    del request["P"]
    assert error(client.subscribe(request | {"p": alice.account}))[0] == 5


@pytest.mark.parametrize(
    ("offset_s", "text"),
    [
        (-14 * DAY_S - 60, "timestamp is too old"),
        (-14 * DAY_S + 60, None),
        (DAY_S - 60, None),
        (DAY_S + 60, "timestamp is in the future"),
    ],
)
def test_the_window_of_timestamps(nodes: Nodes, client: Client, offset_s: int, text: str | None) -> None:
    request = nodes.subscription(nodes.user(3), timestamp_s=nodes.now // 1000 + offset_s)
    answer = client.subscribe(request)
    if text is None:
        assert answer == SUCCESS
    else:
        assert error(answer) == (4, f"Invalid t= signature timestamp: {text}")


@pytest.mark.parametrize(
    ("flags", "prefix", "code"), [(1, 3, None), (3, 3, None), (2, 3, 5), (1, 5, 5), (9, 5, None), (8, 3, 5)]
)
def test_what_a_subaccount_needs(
    nodes: Nodes, client: Client, flags: int, prefix: int, code: int | None
) -> None:
    user = nodes.user(3)
    answer = client.subscribe(nodes.subscription(user, by=user.subaccount(flags, prefix)))
    if code is None:
        assert answer == SUCCESS
    else:
        assert answer[b"errcode"] == code
        assert answer[b"error"].startswith(b"Subaccount verification failed: ")


def test_a_subaccount_of_another_owner(nodes: Nodes, client: Client) -> None:
    user, other = nodes.user(3), nodes.user(3)
    answer = client.subscribe(nodes.subscription(user, by=other.subaccount(1)))
    assert answer[b"errcode"] == 5
    own = user.subaccount(1)
    request = nodes.subscription(user, by=own) | {"s": nodes.subscription(user)["s"]}
    assert error(client.subscribe(request)) == (5, "Signature verification failed")


# -- vectors and changes of swarms, on a node without a network around it --


class Ear:
    """A connection that keeps what is pushed to it."""

    def __init__(self, name: bytes) -> None:
        self.heard: list[tuple[bytes, Any]] = []
        self.there = True
        self.connection = Connection(name, "127.0.0.1", self._push)

    def _push(self, command: bytes, body: bytes) -> bool:
        self.heard.append((command, bencode.decode(body)))
        return self.there


def subscribe(node: StorageNode, ear: Ear, request: bytes) -> Any:
    return bencode.decode(node._monitor.subscribe(ear.connection, [request]))


def test_the_vectors_are_read_and_verify(make_node: MakeNode) -> None:
    node = make_node(VECTOR_S * 1000 + 999, [7])
    decoded: Any = bencode.decode(GROUP_VECTOR)
    request = parse_request(decoded)
    group = "0303a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    assert request.payload == f"MONITOR{group}17000000001-5,0,23".encode()
    assert bencode.encode(decoded) == GROUP_VECTOR
    assert subscribe(node, Ear(b"a"), GROUP_VECTOR) == SUCCESS
    session = {**decoded, b"P": decoded[b"p"][1:], b"s": SESSION_SIGNATURE}
    del session[b"p"]
    assert parse_request(session).account.hex() == Account.from_seed(bytes(range(32))).account_id
    assert subscribe(node, Ear(b"b"), bencode.encode(session)) == SUCCESS


def test_another_swarm_is_errcode_6_with_its_members(make_node: MakeNode) -> None:
    # The vector's account is at the far end of the ring: of the second swarm.
    node = make_node(VECTOR_S * 1000, [2**63, 7271495852289813696])
    answer = subscribe(node, Ear(b"a"), GROUP_VECTOR)
    assert answer[b"errcode"] == 6
    assert answer[b"swarm"] == f"{7271495852289813696:x}".encode()
    (member,) = answer[b"snodes"]
    assert member[b"port_omq"] == 22021
    assert member[b"port"] == b"443"
    assert set(answer) == {b"errcode", b"error", b"snodes", b"swarm"}
    assert len(node._monitor) == 0
    # An older node serves whoever asks.
    old = make_node(VECTOR_S * 1000, [2**63, 7271495852289813696], version=(2, 8, 0))
    assert subscribe(old, Ear(b"a"), GROUP_VECTOR) == SUCCESS


def test_a_subscription_ends_when_the_account_leaves(make_node: MakeNode) -> None:
    node = make_node(VECTOR_S * 1000, [7])
    ear = Ear(b"a")
    assert subscribe(node, ear, GROUP_VECTOR) == SUCCESS
    node.update_network(network([7], height=1235))
    assert ear.heard == []
    node.update_network(network([2**63, 7271495852289813696]))
    ((command, body),) = ear.heard
    assert command == b"notify.monitor_ended"
    assert body[b"@"].hex() == "0303a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    assert body[b"errcode"] == 6
    assert body[b"swarm"] == f"{7271495852289813696:x}".encode()
    assert len(body[b"snodes"]) == 1
    node.update_network(network([7]))
    assert len(ear.heard) == 1
    assert len(node._monitor) == 0


def test_an_older_node_does_not_tell_that_it_ends(make_node: MakeNode) -> None:
    node = make_node(VECTOR_S * 1000, [7], version=(2, 8, 0))
    ear = Ear(b"a")
    subscribe(node, ear, GROUP_VECTOR)
    node.update_network(network([2**63, 7271495852289813696]))
    assert ear.heard == []


def test_what_has_run_out_is_dropped(make_node: MakeNode) -> None:
    node = make_node(VECTOR_S * 1000, [7])
    subscribe(node, Ear(b"a"), GROUP_VECTOR)
    node._context.clock.move(HOUR_MS * 2)
    assert len(node._monitor) == 1
    assert subscribe(node, Ear(b"b"), b"de")[b"errcode"] == 1
    assert len(node._monitor) == 0


def network(swarms: list[int], *, height: int = 1234) -> NetworkSnapshot:
    infos = [
        NodeInfo(
            name=f"node-{number}",
            ed25519_pk=KEYS[number],
            x25519_pk=KEYS[number],
            ip=f"127.0.{number + 1}.1",
            https_port=443,
            omq_port=22020 + number,
            swarm_id=swarm,
        )
        for number, swarm in enumerate(swarms)
    ]
    return NetworkSnapshot.of(infos, height=height, block_hash="ab" * 32)


KEYS = ["3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29", "11" * 32]


@pytest.fixture
def make_node(make_bare_node: Any) -> MakeNode:
    def make(now_ms: int, swarms: list[int], *, version: tuple[int, int, int] = (2, 11, 3)) -> StorageNode:
        node: StorageNode = make_bare_node(version, now_ms)
        assert node.ed25519_hex == KEYS[0]
        node.update_network(network(swarms))
        return node

    return make
