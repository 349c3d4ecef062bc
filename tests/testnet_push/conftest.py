"""Devices that want to be notified, and a network that does it."""

import base64
import http.client
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nacl.bindings
import pytest

import session_testnet
from session_protocol import onion
from session_protocol.accounts import Account
from session_protocol.ed25519 import sign_detached
from session_protocol.push import Notification, monitor_payload, open_notification, unsubscribe_payload
from session_protocol.storage_auth import request_payload
from session_testnet import NetworkHandle, NetworkOptions, Topology

DAY_MS = 86_400_000
DEADLINE_S = 10
DATA = Path(__file__).parents[1] / "protocol" / "data" / "push.json"


@dataclass(frozen=True)
class Owner:
    """Whose messages: an account, or a group with the prefix 03, whose id is its Ed25519 key."""

    account_id: str
    public: bytes
    secret: bytes = field(repr=False)

    @property
    def is_group(self) -> bool:
        return self.account_id.startswith("03")

    def sign(self, payload: bytes) -> bytes:
        return sign_detached(self.secret, payload)

    def signed(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters of a storage request with what proves them."""
        named = {} if self.is_group else {"pubkey_ed25519": self.public.hex()}
        signature = base64.b64encode(self.sign(request_payload(method, params))).decode()
        return {"pubkey": self.account_id, **named, **params, "signature": signature}


def session_account(name: str) -> Owner:
    account = Account.from_seed(name.encode().ljust(32, b".")[:32])
    return Owner(account.account_id, account.ed25519_pk, account.ed25519_sk)


def group(name: str) -> Owner:
    public, secret = nacl.bindings.crypto_sign_seed_keypair(name.encode().ljust(32, b"#")[:32])
    return Owner("03" + public.hex(), public, secret)


@dataclass(frozen=True)
class Member:
    """A sub-account of an owner, by its token and the owner's signature."""

    token: bytes
    owner_signature: bytes
    secret: bytes = field(repr=False)


def member(owner: Owner, flags: int = 1, prefix: int | None = None) -> Member:
    public, secret = nacl.bindings.crypto_sign_seed_keypair(bytes([flags]) * 32)
    first = bytes.fromhex(owner.account_id[:2])[0] if prefix is None else prefix
    token = bytes([first, flags, 0, 0]) + public
    return Member(token, owner.sign(token), secret)


@dataclass(frozen=True)
class Device:
    """One device: its token at a push service, and the key that notifications are sealed with."""

    owner: Owner
    now_s: Callable[[], int]
    token: str = "a-token"
    service: str = "firebase"
    enc_key: bytes = bytes(range(32))
    by: Member | None = None

    def subscription(
        self, namespaces: tuple[int, ...] = (0,), *, data: bool = True, age_s: int = 0
    ) -> dict[str, Any]:
        """Return a signed object for ``/subscribe``."""
        sig_ts = self.now_s() - age_s
        payload = monitor_payload(self.owner.account_id, sig_ts, namespaces, with_data=data)
        return {
            **self._identity(sig_ts, payload),
            "namespaces": list(namespaces),
            "data": data,
            "enc_key": self.enc_key.hex(),
        }

    def unsubscription(self, *, age_s: int = 0) -> dict[str, Any]:
        """Return a signed object for ``/unsubscribe``."""
        sig_ts = self.now_s() - age_s
        return self._identity(sig_ts, unsubscribe_payload(self.owner.account_id, sig_ts))

    def opens(self, delivered: dict[str, Any]) -> Notification:
        """Open what was delivered, as the device would."""
        return open_notification(self.enc_key, delivered["notification"]["enc_payload"])

    def _identity(self, sig_ts: int, payload: bytes) -> dict[str, Any]:
        secret = self.owner.secret if self.by is None else self.by.secret
        by = (
            {}
            if self.by is None
            else {
                "subaccount": base64.b64encode(self.by.token).decode(),
                "subaccount_sig": self.by.owner_signature.hex(),
            }
        )
        named = {} if self.owner.is_group else {"session_ed25519": self.owner.public.hex()}
        return {
            "pubkey": self.owner.account_id,
            **named,
            **by,
            "sig_ts": sig_ts,
            "signature": base64.b64encode(sign_detached(secret, payload)).decode(),
            "service": self.service,
            "service_info": {"token": self.token},
        }


@dataclass(frozen=True)
class PushNetwork:
    """A network seen by those who store messages, and by devices."""

    handle: NetworkHandle
    names: Iterator[int] = field(default_factory=itertools.count)

    def now_s(self) -> int:
        return self.handle.clock.now_ms() // 1000

    def device(self, owner: Owner | None = None, **options: Any) -> Device:
        """Return a new device, of a new account unless an owner is given."""
        number = next(self.names)
        options.setdefault("token", f"token-{number}")
        return Device(owner or session_account(f"owner-{number}"), self.now_s, **options)

    def post(self, path: str, document: Any) -> Any:
        """Ask the push server over plain HTTP; the answer has status 200."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        parts = urlsplit(self.handle.state["push"]["url"])
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=DEADLINE_S)
        with closing(connection):
            connection.request("POST", path, body)
            answer = connection.getresponse()
            assert answer.status == 200
            raw = answer.read()
        return json.loads(raw) if "lsrpc" not in path else raw

    def post_sealed(self, path: str, document: Any) -> Any:
        """Ask the push server inside an onion request, as its last relay would."""
        server_pk = bytes.fromhex(self.handle.state["push"]["pubkey_x25519"])
        client = Account.from_seed(b"ephemeral".ljust(32, b"."))
        key = onion.client_key(onion.EncryptionType.AES_GCM, client.x25519_sk, client.x25519_pk, server_pk)
        payload = onion.encode_v4_request(
            "POST", path, {"Content-Type": "application/json"}, json.dumps(document).encode()
        )
        sealed = onion.frame(
            onion.encrypt(key, payload, bytes(12)), {"ephemeral_key": client.x25519_pk.hex()}
        )
        answer = onion.decode_v4_response(onion.open_reply(key, self.post("/oxen/v4/lsrpc", sealed)))
        assert answer.code == 200
        return json.loads(answer.body)

    def subscribe(self, device: Device, *arguments: Any, **options: Any) -> None:
        answer = self.post("/subscribe", device.subscription(*arguments, **options))
        assert answer.get("success") is True, answer

    def store(self, owner: Owner, body: bytes, namespace: int = 0, node: str | None = None) -> str:
        """Store a message at a member of the owner's swarm; return its hash."""
        now = self.handle.clock.now_ms()
        params = {
            "pubkey": owner.account_id,
            "timestamp": now,
            "ttl": DAY_MS,
            "data": base64.b64encode(body).decode(),
            "namespace": namespace,
        }
        node = node or self.handle.swarm(owner.account_id)[0].name
        answer = self.handle.storage_rpc(node, "store", owner.signed("store", params))
        assert answer["status"] == 200, answer
        return str(answer["body"]["hash"])

    def delivered(self, device: Device) -> list[Notification]:
        """Return what a device has been told, opened."""
        return [
            device.opens(each)
            for each in self.handle.push.delivered()
            if (each["service"], each["service_info"]["token"]) == (device.service, device.token)
        ]


@pytest.fixture(scope="session")
def shared_network() -> Iterator[PushNetwork]:
    with session_testnet.open_local(Topology.default(6, name="push", seed="push", swarms=2)) as handle:
        yield PushNetwork(handle)


@pytest.fixture
def network(shared_network: PushNetwork) -> PushNetwork:
    """Lend the network out with an empty sink."""
    shared_network.handle.push.clear()
    return shared_network


@pytest.fixture
def open_network() -> Iterator[Callable[..., PushNetwork]]:
    """Return a function that starts a network of its own, which ends with the test."""
    opened: list[NetworkHandle] = []

    def start(
        nodes: int,
        *,
        swarms: int,
        storage_version: tuple[int, int, int] = (2, 11, 3),
        **options: Any,
    ) -> PushNetwork:
        topology = replace(
            Topology.default(nodes, seed="push", swarms=swarms), storage_version=storage_version
        )
        opened.append(session_testnet.open_local(topology, NetworkOptions(**options)))
        return PushNetwork(opened[-1])

    yield start
    for handle in opened:
        handle.close()


@pytest.fixture
def vectors() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DATA.read_text())
    return loaded


@pytest.fixture
def new_group() -> Callable[[str], Owner]:
    return group


@pytest.fixture
def new_account() -> Callable[[str], Owner]:
    return session_account


@pytest.fixture
def new_member() -> Callable[..., Member]:
    return member


@pytest.fixture
def make_device() -> Callable[..., Device]:
    """Return a function that makes devices in a time that stands still."""
    return lambda owner, **options: Device(owner, lambda: 1_760_000_000, **options)
