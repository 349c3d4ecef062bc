"""A network with OMQ listeners, and a client of its own: a bare DEALER socket that frames by hand."""

import base64
import contextlib
import itertools
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nacl.bindings
import orjson
import pytest
import zmq
from zmq.utils import z85

import session_testnet
from session_protocol import bencode
from session_protocol.service_nodes import NodeIdentity
from session_protocol.storage_auth import request_payload
from session_testnet import NetworkHandle, Topology
from session_testnet.clock import Clock
from session_testnet.peers import DirectPeerLink
from session_testnet.services.storage import StorageNode, StorageSettings
from session_testnet.trace import Trace

DAY_MS = 86_400_000
PATIENCE_MS = 10_000
# How long nothing must come where nothing is to come.
SILENCE_MS = 150


class NoAnswer(Exception):
    """Say that nothing came in time."""


class OmqClient:
    """One OMQ connection; pushes that come between answers wait in ``pushes``."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        address: str,
        server_key: bytes,
        *,
        greet: bool = True,
        routing_id: bytes | None = None,
    ) -> None:
        self._socket = context.socket(zmq.DEALER)
        public, secret = zmq.curve_keypair()
        self._socket.curve_publickey, self._socket.curve_secretkey = public, secret
        self._socket.curve_serverkey = z85.encode(server_key)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.ROUTING_ID, routing_id or os.urandom(33))
        self._socket.connect(address)
        self._tags = itertools.count()
        self.pushes: list[list[bytes]] = []
        if greet:
            self.send(b"HI")
            assert self.receive() == [b"HELLO"]

    def send(self, *parts: bytes) -> None:
        self._socket.send_multipart(parts)

    def receive(self, timeout_ms: int = PATIENCE_MS) -> list[bytes]:
        if not self._socket.poll(timeout_ms):
            raise NoAnswer(f"nothing came in {timeout_ms} ms")
        return self._socket.recv_multipart()

    def ask(self, command: str, *data: bytes) -> bytes:
        """Send a request; return its tag."""
        tag = b"%015d" % next(self._tags)
        self.send(command.encode(), tag, *data)
        return tag

    def answer(self, tag: bytes) -> list[bytes]:
        """Return the data parts of the reply with this tag, which must be the next one."""
        while True:
            word, *rest = self.receive()
            if word == b"REPLY":
                assert rest[0] == tag, "answers of one connection come in the order of its requests"
                return rest[1:]
            assert word.startswith(b"notify."), (word, rest)
            self.pushes.append([word, *rest])

    def request(self, command: str, *data: bytes) -> list[bytes]:
        return self.answer(self.ask(command, *data))

    def json(self, method: str, params: Mapping[str, Any]) -> tuple[int, Any]:
        parts = self.request(f"storage.{method}", orjson.dumps(dict(params)))
        status, body = (200, parts[0]) if len(parts) == 1 else (int(parts[0]), parts[1])
        try:
            return status, orjson.loads(body)
        except orjson.JSONDecodeError:
            return status, body.decode()

    def bt(self, method: str, params: Mapping[str, Any]) -> tuple[int, Any]:
        parts = self.request(f"storage.{method}", bencode.encode(dict(params)))
        status, body = (200, parts[0]) if len(parts) == 1 else (int(parts[0]), parts[1])
        return status, bencode.decode(body) if body[:1] in (b"d", b"l") else body

    def subscribe(self, request: Any) -> Any:
        (answer,) = self.request("monitor.messages", bencode.encode(request))
        return bencode.decode(answer)

    def pushed(self, timeout_ms: int = PATIENCE_MS) -> tuple[bytes, Any]:
        """Return the next push: its command and its decoded body."""
        command, body = self.pushes.pop(0) if self.pushes else self.receive(timeout_ms)
        return command, bencode.decode(body)

    def hears_nothing(self) -> bool:
        """Tell whether no push has come; an answer of the node in between makes it sure."""
        assert self.json("info", {})[0] == 200
        return not self.pushes and not self._socket.poll(SILENCE_MS)

    def close(self) -> None:
        self._socket.close()


@dataclass(frozen=True)
class Subaccount:
    token: bytes
    secret: bytes
    owner_signature: bytes


@dataclass(frozen=True)
class User:
    """An account that signs: a Session id (05, with its Ed25519 key named), or a prefix before the key."""

    account: bytes
    public: bytes
    secret: bytes

    @property
    def pubkey(self) -> str:
        return self.account.hex()

    @property
    def is_session(self) -> bool:
        return self.account[0] == 5 and self.account[1:] != self.public

    def sign(self, payload: bytes) -> bytes:
        return bytes(nacl.bindings.crypto_sign(payload, self.secret)[:64])

    def signed(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return signed parameters as JSON has them."""
        named = {"pubkey_ed25519": self.public.hex()} if self.is_session else {}
        signature = b64(self.sign(request_payload(method, params)))
        return {"pubkey": self.pubkey, **named, **params, "signature": signature}

    def subaccount(self, flags: int, prefix: int | None = None) -> Subaccount:
        public, secret = nacl.bindings.crypto_sign_seed_keypair(bytes([flags]) * 2 + self.public[:30])
        token = bytes([self.account[0] if prefix is None else prefix, flags, 0, 0]) + public
        return Subaccount(token, secret, self.sign(token))


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def user(rng: random.Random, prefix: int | None = None) -> User:
    """Return a new Session account, or one of this prefix whose key is an Ed25519 key."""
    public, secret = nacl.bindings.crypto_sign_seed_keypair(rng.randbytes(32))
    if prefix is not None:
        return User(bytes([prefix]) + public, public, secret)
    return User(b"\x05" + nacl.bindings.crypto_sign_ed25519_pk_to_curve25519(public), public, secret)


class Nodes:
    """The nodes of a network, and connections to them."""

    def __init__(self, network: NetworkHandle, seed: str) -> None:
        self.network = network
        self._rng = random.Random(seed)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._opened: list[OmqClient] = []

    def state(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = self.network.state["nodes"][index]
        return found

    def address(self, index: int) -> tuple[str, bytes]:
        node = self.state(index)
        return f"tcp://{node['ip']}:{node['omq_port']}", bytes.fromhex(node["pubkey_x25519"])

    def connect(self, index: int = 0, **options: Any) -> OmqClient:
        return self.connect_to(*self.address(index), **options)

    def connect_to(self, address: str, key: bytes, **options: Any) -> OmqClient:
        client = OmqClient(self._context, address, key, **options)
        self._opened.append(client)
        return client

    def user(self, prefix: int | None = None) -> User:
        return user(self._rng, prefix)

    @property
    def now(self) -> int:
        return self.network.clock.now_ms()

    def store_params(self, owner: User, data: bytes, **more: Any) -> dict[str, Any]:
        return {"pubkey": owner.pubkey, "timestamp": self.now, "ttl": DAY_MS, "data": b64(data), **more}

    def store(self, client: OmqClient, owner: User, data: bytes, **more: Any) -> str:
        params = self.store_params(owner, data, **more)
        if params.get("namespace"):
            params = owner.signed("store", params)
        status, body = client.json("store", params)
        assert status == 200, body
        return str(body["hash"])

    def bodies(self, client: OmqClient, owner: User, **more: Any) -> list[bytes]:
        status, body = client.json("retrieve", owner.signed("retrieve", {"timestamp": self.now, **more}))
        assert status == 200, body
        return [base64.b64decode(message["data"]) for message in body["messages"]]

    def subscription(
        self,
        owner: User,
        namespaces: Sequence[int] = (0,),
        *,
        data: bool = False,
        by: Subaccount | None = None,
        timestamp_s: int | None = None,
    ) -> dict[str, Any]:
        """Return a signed request for ``monitor.messages``."""
        seconds = self.now // 1000 if timestamp_s is None else timestamp_s
        payload = f"MONITOR{owner.pubkey}{seconds}{int(data)}{','.join(map(str, namespaces))}".encode()
        secret = owner.secret if by is None else by.secret
        return {
            **({"P": owner.public} if owner.is_session else {"p": owner.account}),
            **({} if by is None else {"S": by.owner_signature, "T": by.token}),
            **({"d": 1} if data else {}),
            "n": list(namespaces),
            "s": bytes(nacl.bindings.crypto_sign(payload, secret)[:64]),
            "t": seconds,
        }

    def close(self) -> None:
        for client in self._opened:
            client.close()
        self._context.term()


@pytest.fixture(scope="session")
def network() -> Iterator[NetworkHandle]:
    with session_testnet.open_local(Topology.default(7, name="omq", seed="omq", swarms=1)) as opened:
        yield opened


@pytest.fixture
def nodes(network: NetworkHandle, request: pytest.FixtureRequest) -> Iterator[Nodes]:
    made = Nodes(network, request.node.nodeid)
    yield made
    made.close()


@pytest.fixture
def open_nodes(request: pytest.FixtureRequest) -> Iterator[Callable[[Topology], Nodes]]:
    """Return a function that opens a network of its own, which ends with the test."""
    with contextlib.ExitStack() as opened:

        def start(topology: Topology) -> Nodes:
            made = Nodes(opened.enter_context(session_testnet.open_local(topology)), request.node.nodeid)
            opened.callback(made.close)
            return made

        yield start


@pytest.fixture
def client(nodes: Nodes) -> OmqClient:
    return nodes.connect()


@pytest.fixture
def alice(nodes: Nodes) -> User:
    return nodes.user()


@pytest.fixture(scope="module")
def shared_client(network: NetworkHandle) -> Iterator[OmqClient]:
    """A connection that all examples of a property share."""
    made = Nodes(network, "shared")
    yield made.connect()
    made.close()


@pytest.fixture
def make_bare_node() -> Iterator[Callable[..., StorageNode]]:
    """Return a function that makes nodes without network or listener; their key is that of 32 zero bytes."""
    made = []

    def make(version: tuple[int, int, int], now_ms: int | None = None) -> StorageNode:
        clock = Clock() if now_ms is None else Clock(lambda: now_ms * 1_000_000)
        node = StorageNode(
            NodeIdentity.from_seed(bytes(32)),
            "bare",
            clock=clock,
            peers=DirectPeerLink(),
            trace=Trace(clock),
            settings=StorageSettings(version=version),
        )
        made.append(node)
        return node

    yield make
    for node in made:
        node.close()
