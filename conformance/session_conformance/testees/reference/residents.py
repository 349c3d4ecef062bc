"""The clients that live in the reference testee, on one event loop in a thread of its own."""

import ipaddress
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from session_conformance.testees.kit_python.session_testee_kit import Params, Rejected
from session_protocol.accounts import Account
from session_testnet.client import (
    ClientError,
    FileServerInfo,
    MessagingClient,
    NetworkClient,
    ReceivedMessage,
    Timeouts,
)
from session_testnet.client.message_store import StoredMessage
from session_testnet.client.network_time import system_clock_ms
from session_testnet.loop_thread import LoopThread, LoopThreadError

T = TypeVar("T")

# The judge waits 5 s on a local network and 60 s on a remote one: the client reports its failure before that.
LOCAL_TIMEOUTS = Timeouts(seed_s=2.0, request_s=2.0, file_s=4.0, call_s=4.0)
REMOTE_TIMEOUTS = Timeouts(seed_s=10.0, request_s=10.0, file_s=40.0, call_s=25.0)
LOCAL_OPERATION_S = 10.0
REMOTE_OPERATION_S = 55.0

PRODUCTION_SEEDS = (
    "http://seed1.getsession.org",
    "http://seed2.getsession.org",
    "http://seed3.getsession.org",
)
"""What a gateway redirects, for a network that gives nothing but a gateway."""


@dataclass(slots=True)
class Resident:
    """One client: an account on a network, with a device clock that can be made wrong."""

    alias: str
    account: Account
    operation_s: float
    device_offset_ms: int = 0
    network: NetworkClient = field(init=False)
    messaging: MessagingClient = field(init=False)

    def device_clock_ms(self) -> int:
        """Read the clock of the device."""
        return system_clock_ms() + self.device_offset_ms

    async def join(self) -> None:
        """Fetch the node list and find the own swarm."""
        await self.network.bootstrap()
        await self.network.swarm(self.account.account_id)

    def author_of(self, conversation: str, timestamp_ms: int) -> str:
        """Find who wrote a message; the other side when the message is not here."""
        found = self.messaging.store.at(conversation.lower(), timestamp_ms)
        return found[0].message.sender if found else conversation.lower()

    def state(self) -> dict[str, Any]:
        """Describe what the client knows."""
        return {
            "conversations": self.messaging.store.conversations(),
            "contacts": {name: dict(profile) for name, profile in self.messaging.store.contacts.items()},
            "last_hashes": [
                {"node": node, "namespace": namespace, "hash": last_hash}
                for (node, namespace), last_hash in self.messaging.last_hashes.items()
            ],
            "network_time_offset_ms": self.network.time.offset_ms,
            "undecodable": [{"hash": item, "code": code} for item, code in self.messaging.undecodable],
        }

    @staticmethod
    def describe(message: ReceivedMessage) -> dict[str, Any]:
        """Give a message the form of the contract."""
        return {
            "sender": message.sender,
            "timestamp_ms": message.timestamp_ms,
            "content": dict(message.content),
            "hash": message.hash,
            "namespace": message.namespace,
            "conversation": message.conversation,
            "outgoing": message.outgoing,
        }

    @classmethod
    def describe_stored(cls, stored: StoredMessage) -> dict[str, Any]:
        """Give a stored message the form of the contract, with what happened to it."""
        return cls.describe(stored.message) | {
            "read": stored.read,
            "reactions": [
                {"emoji": emoji, "author": author}
                for emoji, authors in stored.reactions.items()
                for author in authors
            ],
        }


class Residents:
    """Own the loop thread and the clients on it."""

    def __init__(self) -> None:
        self._loop = LoopThread("reference testee")
        self._by_alias: dict[str, Resident] = {}

    def create(self, alias: str, params: Params, seed: int) -> Resident:
        """Make a client from the parameters of ``client.create``; it replaces one of the same alias."""
        account = _account(params)
        network = Params(params.mapping("network"))
        seeds = network.array("seed_urls", [])
        gateway = network.text("gateway_url", None)
        if not seeds and gateway is None:
            raise Rejected("invalid_argument", "network has neither seed_urls nor gateway_url")
        local = all(_is_loopback(url) for url in seeds)
        resident = Resident(alias, account, LOCAL_OPERATION_S if local else REMOTE_OPERATION_S)
        # The harness's seed and the alias decide which nodes are asked, so that a run can be repeated.
        rng = random.Random(f"{seed}:{alias}")  # noqa: S311

        async def make() -> None:
            resident.network = NetworkClient(
                account,
                seeds or PRODUCTION_SEEDS,
                use_onion=network.flag("use_onion", default=True),
                tls_verify=network.flag("tls_verify", default=False),
                proxy_url=None if seeds else gateway,
                file_server=_file_server(network),
                clock=resident.device_clock_ms,
                offset_ms=network.integer("now_offset_ms", 0),
                rng=rng,
                timeouts=LOCAL_TIMEOUTS if local else REMOTE_TIMEOUTS,
            )
            resident.messaging = MessagingClient(
                account,
                resident.network,
                device=params.text("device", ""),
                display_name=params.text("display_name", None),
                rng=rng,
            )

        self._loop.run(make(), timeout_s=resident.operation_s, waiting_for="a client to be made")
        if alias in self._by_alias:
            self.close(alias)
        self._by_alias[alias] = resident
        return resident

    def get(self, alias: str) -> Resident:
        """Return a client; Rejected (not_found) when there is none."""
        try:
            return self._by_alias[alias]
        except KeyError:
            raise Rejected("not_found", f"there is no client {alias!r}: client.create comes first") from None

    def run(self, resident: Resident, doing: str, action: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Let a client act; ClientError and a missed deadline become rejections."""
        waiting_for = f"{doing} of {resident.alias}"
        try:
            return self._loop.run(action(), timeout_s=resident.operation_s, waiting_for=waiting_for)
        except ClientError as error:
            raise Rejected(error.code, error.message, **_plain_data(error.data)) from error
        except LoopThreadError as error:
            raise Rejected("network_error", str(error)) from error

    def close(self, alias: str) -> None:
        """Close a client and forget it."""
        resident = self.get(alias)
        del self._by_alias[alias]
        self._loop.run(
            resident.network.aclose(), timeout_s=resident.operation_s, waiting_for=f"closing {alias}"
        )

    def close_all(self) -> None:
        """Close every client."""
        for alias in list(self._by_alias):
            self.close(alias)

    def shut_down(self) -> None:
        """Close every client and end the loop."""
        self.close_all()
        self._loop.close()


def _account(params: Params) -> Account:
    seed = params.hex("seed_hex", None)
    if seed is not None:
        return Account.from_seed(seed)
    words = params.text("words", None)
    return Account.from_recovery_password(words) if words is not None else Account.generate()


def _file_server(network: Params) -> FileServerInfo | None:
    given = network.mapping("file_server", None)
    if given is None:
        return None
    server = Params(given)
    return FileServerInfo(server.text("url"), server.hex("x25519_pk", None, length=32))


def _is_loopback(url: Any) -> bool:
    if not isinstance(url, str):
        raise Rejected("invalid_argument", "network.seed_urls must be a list of URLs")
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _plain_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what JSON can carry; names that Rejected takes itself are no data."""
    return {key: value for key, value in data.items() if key not in ("code", "message", "self")}
