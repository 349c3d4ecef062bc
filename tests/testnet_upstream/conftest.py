"""One swarm of seven real nodes, asked over HTTPS, OMQ and inside onion requests by the same tests."""

import base64
import http.client
import itertools
import random
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import nacl.bindings
import orjson
import pytest
import zmq
from zmq.utils import z85

import session_testnet
from session_protocol import onion
from session_protocol.accounts import Account
from session_protocol.storage_auth import request_payload
from session_testnet import NetworkHandle, NodeHandle, Topology
from session_testnet.topology import NameSpec

DAY_MS = 86_400_000
RELAYS = 3
ALICE_ID = Account.from_seed(bytes(range(16))).account_id


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


class Connections:
    """Kept HTTPS connections, one to each node: requests of one client arrive in their order."""

    def __init__(self) -> None:
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE
        self._kept: dict[str, http.client.HTTPSConnection] = {}

    def post(self, url: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        place = url.removeprefix("https://")
        connection = self._kept.get(place)
        if connection is None:
            connection = http.client.HTTPSConnection(place, context=self._tls, timeout=30)
            self._kept[place] = connection
        connection.request("POST", path, body)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read()

    def close(self) -> None:
        for connection in self._kept.values():
            connection.close()


class Transport(Protocol):
    def ask(self, node: NodeHandle, body: bytes) -> Answer: ...


class Https:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def ask(self, node: NodeHandle, body: bytes) -> Answer:
        status, kind, raw = self._connections.post(node.url, "/storage_rpc/v1", body)
        return Answer(status, orjson.loads(raw) if kind == "application/json" else raw.decode())


class Onion:
    """Reach a node through three others, in both encryption types by turns."""

    def __init__(self, connections: Connections, nodes: Sequence[NodeHandle]) -> None:
        self._connections = connections
        self._nodes = nodes
        self._rng = random.Random("paths of the upstream tests")
        self._types = itertools.cycle(onion.EncryptionType)

    def ask(self, node: NodeHandle, body: bytes) -> Answer:
        others = [each for each in self._nodes if each.name != node.name]
        path = self._rng.sample(others, RELAYS)
        hops = [onion.Hop(*_keys(each)) for each in path]
        built = onion.build(hops, onion.NodeDestination(*_keys(node)), body, enc_type=next(self._types))
        status, _, raw = self._connections.post(path[0].url, "/onion_req/v2", built.body)
        assert status == 200, raw
        reply = onion.open_node_reply(built.reply_key, raw)
        return Answer(reply.status, reply.body)


class Omq:
    """Ask over OMQ, in JSON: one connection to each node."""

    def __init__(self, network: NetworkHandle) -> None:
        self._addresses = {
            node["name"]: (f"tcp://{node['ip']}:{node['omq_port']}", bytes.fromhex(node["pubkey_x25519"]))
            for node in network.state["nodes"]
        }
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._tags = itertools.count()

    def ask(self, node: NodeHandle, body: bytes) -> Answer:
        request, tag = orjson.loads(body), b"%d" % next(self._tags)
        socket = self._sockets.get(node.name) or self._connect(node.name)
        socket.send_multipart((f"storage.{request['method']}".encode(), tag, orjson.dumps(request["params"])))
        word, echo, *parts = socket.recv_multipart()
        assert (word, echo) == (b"REPLY", tag)
        status, raw = (200, parts[0]) if len(parts) == 1 else (int(parts[0]), parts[1])
        try:
            return Answer(status, orjson.loads(raw))
        except orjson.JSONDecodeError:
            return Answer(status, raw.decode())

    def close(self) -> None:
        for socket in self._sockets.values():
            socket.close(linger=0)
        self._context.term()

    def _connect(self, name: str) -> "zmq.Socket[bytes]":
        address, key = self._addresses[name]
        socket = self._sockets[name] = self._context.socket(zmq.DEALER)
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.curve_serverkey = z85.encode(key)
        socket.setsockopt(zmq.RCVTIMEO, 30_000)
        socket.connect(address)
        socket.send_multipart((b"HI",))
        assert socket.recv_multipart() == [b"HELLO"]
        return socket


def _keys(node: NodeHandle) -> tuple[bytes, bytes]:
    return bytes.fromhex(node.pubkey_ed25519), bytes.fromhex(node.pubkey_x25519)


@dataclass(frozen=True)
class Subaccount:
    """A sub-account of an owner: its token, what it signs with, and the owner's signature."""

    token: bytes
    secret: bytes
    owner_signature: bytes

    @property
    def params(self) -> dict[str, str]:
        return {"subaccount": b64(self.token), "subaccount_sig": b64(self.owner_signature)}


@dataclass(frozen=True)
class User:
    """An account that signs: 05 with its Ed25519 key named, or any prefix before the Ed25519 key itself."""

    pubkey: str
    public: bytes
    secret: bytes
    names_key: bool = False

    def signed(
        self, method: str, params: Mapping[str, Any], *, by: Subaccount | None = None
    ) -> dict[str, Any]:
        payload = request_payload(method, params)
        signature = nacl.bindings.crypto_sign(payload, by.secret if by else self.secret)[:64]
        named = {"pubkey_ed25519": self.public.hex()} if self.names_key else {}
        return {
            "pubkey": self.pubkey,
            **named,
            **params,
            "signature": b64(signature),
            **(by.params if by else {}),
        }

    def subaccount(self, flags: int, *, prefix: int = 3, number: int = 0) -> Subaccount:
        seed = bytes([number, flags, prefix]) + self.public[:29]
        public, secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        token = bytes([prefix, flags, 0, 0]) + public
        return Subaccount(token, secret, nacl.bindings.crypto_sign(token, self.secret)[:64])

    def as_prefix(self, prefix: int) -> "User":
        return replace(self, pubkey=f"{prefix:02x}{self.public.hex()}", names_key=False)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


class Client:
    """Ask the nodes of a network over one transport."""

    def __init__(self, network: NetworkHandle, transport: Transport, seed: str) -> None:
        self.network = network
        self.nodes = network.nodes
        self.keys = {node.pubkey_ed25519 for node in self.nodes}
        self._transport = transport
        self._rng = random.Random(seed)

    @property
    def now(self) -> int:
        return self.network.clock.now_ms()

    def user(self, kind: str = "group") -> User:
        """Return a new account: ``session`` (05 and X25519), ``group`` (03) or ``plain`` (05 and Ed25519)."""
        seed = self._rng.randbytes(32)
        public, secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        if kind == "session":
            x25519 = nacl.bindings.crypto_sign_ed25519_pk_to_curve25519(public)
            return User("05" + x25519.hex(), public, secret, names_key=True)
        return User(("03" if kind == "group" else "05") + public.hex(), public, secret)

    def raw(self, body: bytes, *, node: int = 0) -> Answer:
        return self._transport.ask(self.nodes[node], body)

    def ask(self, method: str, params: Mapping[str, Any], *, node: int = 0) -> Answer:
        return self.raw(orjson.dumps({"method": method, "params": dict(params)}), node=node)

    def signed(
        self, user: User, method: str, *, node: int = 0, by: Subaccount | None = None, **params: Any
    ) -> Answer:
        return self.ask(method, user.signed(method, params, by=by), node=node)

    def store_params(self, user: User, data: bytes, **more: Any) -> dict[str, Any]:
        lifetime = {} if "expiry" in more else {"ttl": DAY_MS}
        return {"pubkey": user.pubkey, "timestamp": self.now, "data": b64(data), **lifetime, **more}

    def store(self, user: User, data: bytes, *, node: int = 0, **more: Any) -> str:
        """Store a message, signed if its namespace is not 0, on every member; return its hash."""
        params = self.store_params(user, data, **more)
        if params.get("namespace"):
            params = user.signed("store", params)
        answer = self.ask("store", params, node=node)
        self.swarm(answer)
        return str(answer.body["hash"])

    def retrieve(self, user: User, *, node: int = 0, by: Subaccount | None = None, **more: Any) -> Answer:
        return self.signed(user, "retrieve", node=node, by=by, timestamp=self.now, **more)

    def hashes(self, user: User, *, node: int = 0, **more: Any) -> list[str]:
        answer = self.retrieve(user, node=node, **more)
        assert answer.status == 200, answer
        return [message["hash"] for message in answer.body["messages"]]

    def swarm(self, answer: Answer) -> dict[str, dict[str, Any]]:
        """Return the entries of all members, none of which has failed."""
        assert answer.status == 200, answer
        entries: dict[str, dict[str, Any]] = answer.body["swarm"]
        assert 5 <= len(entries) <= 10
        assert set(entries) == self.keys
        assert not [entry for entry in entries.values() if "failed" in entry]
        return entries

    def signed_by_all(self, answer: Answer, *parts: str | int | Sequence[str]) -> list[dict[str, Any]]:
        """Check every member's signature over the parts; return the entries without signatures."""
        flat = [part if isinstance(part, str | int) else "".join(part) for part in parts]
        payload = "".join(map(str, flat)).encode()
        bare = []
        for key, entry in self.swarm(answer).items():
            raw = base64.b64decode(entry["signature"], validate=True)
            nacl.bindings.crypto_sign_open(raw + payload, bytes.fromhex(key))
            bare.append({name: value for name, value in entry.items() if name != "signature"})
        return bare


@pytest.fixture(scope="session")
def network() -> Iterator[NetworkHandle]:
    topology = replace(
        Topology.default(7, name="upstream", seed="upstream", swarms=1), names=(NameSpec("alice", ALICE_ID),)
    )
    with session_testnet.open_local(topology) as opened:
        yield opened


@pytest.fixture(scope="session")
def connections() -> Iterator[Connections]:
    made = Connections()
    yield made
    made.close()


@pytest.fixture(scope="session", params=["https", "onion", "omq"])
def transport(
    request: pytest.FixtureRequest, network: NetworkHandle, connections: Connections
) -> Iterator[Transport]:
    if request.param == "omq":
        made = Omq(network)
        yield made
        made.close()
    else:
        yield Https(connections) if request.param == "https" else Onion(connections, network.nodes)


@pytest.fixture
def client(request: pytest.FixtureRequest, network: NetworkHandle, transport: Transport) -> Client:
    return Client(network, transport, request.node.nodeid)


@pytest.fixture(scope="module")
def shared_client(request: pytest.FixtureRequest, network: NetworkHandle, transport: Transport) -> Client:
    """A client for what takes long to prepare; module fixtures use it."""
    return Client(network, transport, f"{request.node.nodeid} {type(transport).__name__}")
