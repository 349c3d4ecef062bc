"""What the methods of a node work with: its keys, its time, its database and its view of the network."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

import pybase64

from session_protocol.accounts import ed25519_pk_to_x25519
from session_protocol.service_nodes import NodeIdentity, base32z_encode
from session_protocol.swarms import UNASSIGNED
from session_testnet.clock import Clock
from session_testnet.knobs import NodeKnobs
from session_testnet.services.registry import NetworkSnapshot, NodeInfo
from session_testnet.services.storage.database import MessageDatabase
from session_testnet.services.storage.oxend import Oxend, SnapshotOxend
from session_testnet.services.storage.results import RpcError
from session_testnet.services.storage.settings import StorageSettings
from session_testnet.services.storage.stored import StoredMessage
from session_testnet.services.storage.version_profile import VersionProfile

# Clients come back: the keys of so many are kept converted.
_KEPT_KEYS: Final = 1024
_NOWHERE: Final = frozenset({"", "0.0.0.0"})  # noqa: S104 - not bound, compared


class NodeContext:
    """The state that all parts of one node share."""

    def __init__(
        self,
        identity: NodeIdentity,
        name: str,
        *,
        clock: Clock,
        database: MessageDatabase,
        settings: StorageSettings,
        oxend: Oxend | None = None,
    ) -> None:
        self.identity = identity
        self.name = name
        self.ed25519_hex = identity.ed25519_pk.hex()
        self.clock = clock
        self.database = database
        self.settings = settings
        self.knobs = NodeKnobs()
        self.shutting_down = False
        # Told of each message that is new here and came from a client, not of those that are handed over.
        self.announce: Callable[[StoredMessage], None] = _tell_nobody
        # The conversion of a client's key was 36 of the 176 µs that a signed retrieve took in all.
        self.x25519_of: Callable[[bytes], bytes] = lru_cache(_KEPT_KEYS)(ed25519_pk_to_x25519)
        self._oxend = oxend
        self._snapshot: NetworkSnapshot | None = None
        self._own_swarm: int | None = None

    @property
    def settings(self) -> StorageSettings:
        """Return the node's settings; the release that it imitates may change while it is stopped."""
        return self._settings

    @settings.setter
    def settings(self, settings: StorageSettings) -> None:
        self._settings = settings
        self.profile: VersionProfile = settings.profile

    @property
    def snapshot(self) -> NetworkSnapshot | None:
        """Return the network as the node knows it; None before it has been told."""
        return self._snapshot

    @snapshot.setter
    def snapshot(self, snapshot: NetworkSnapshot) -> None:
        own = snapshot.by_key(self.ed25519_hex)
        self._snapshot = snapshot
        in_swarm = own is not None and own.active and own.swarm_id != UNASSIGNED
        self._own_swarm = own.swarm_id if own is not None and in_swarm else None

    @property
    def own_swarm(self) -> int | None:
        """Return the id of the node's swarm; None when it is in none."""
        return self._own_swarm

    @property
    def oxend(self) -> Oxend:
        """Return whom to ask about the chain."""
        return self._oxend or SnapshotOxend(self.known_network())

    def known_network(self) -> NetworkSnapshot:
        """Return the network; the node must be ready."""
        if self._snapshot is None:
            raise RpcError(503, self.not_ready_text())
        return self._snapshot

    def not_ready_reasons(self) -> list[str]:
        """Return why the node cannot serve, in the words of its 503 answers; nothing when it can."""
        if self.shutting_down:
            return ["shutting down"]
        if self.knobs.not_ready:
            return list(self.knobs.not_ready)
        if self._snapshot is None:
            return ["not done syncing"]
        reasons = []
        needed = self.profile.serving_hardfork
        if self._snapshot.hardfork < needed:
            reasons.append(f"not yet on hardfork {needed[0]}.{needed[1]}")
        if self._own_swarm is None and not self.profile.serves_without_swarm:
            reasons.append("not in any swarm")
        return reasons

    def not_ready_text(self) -> str:
        """Return the body of the 503 answer of a node that is not ready (storage-rpc §2.1)."""
        return f"Service node is not ready: {'; '.join(self.not_ready_reasons())}\n"

    def now_ms(self) -> int:
        """Return the node's time."""
        return self.clock.now_ms()

    def stamped(self, body: dict[str, Any]) -> dict[str, Any]:
        """Add the node's time and the hard fork to a reply, in place, and return it (storage-rpc §8)."""
        body["t"] = self.now_ms()
        body["hf"] = list(self.known_network().hardfork)
        return body

    def signature(self, *parts: str) -> str:
        """Sign the parts joined without separators; base64 (storage-rpc §9)."""
        return self.signature_of("".join(parts).encode())

    def signature_of(self, payload: bytes) -> str:
        """Sign bytes; base64."""
        return pybase64.b64encode(self.identity.sign(payload)).decode()

    def check_swarm(self, account: bytes) -> None:
        """Raise the 421 answer, which lists the right nodes, unless the account is of this node's swarm."""
        swarm_id, _ = self.known_network().swarm_of(account)
        if swarm_id != self._own_swarm or swarm_id == UNASSIGNED:
            raise RpcError(*self.wrong_swarm(account))

    def wrong_swarm(self, account: bytes) -> tuple[int, Any]:
        """Return status and body of the answer about an account of another swarm (storage-rpc §8)."""
        if not self.known_network().swarms and self.profile.fails_without_swarms:
            return 500, "No swarms known!"
        return 421, self.other_swarm_body(account)

    def other_swarm_body(self, account: bytes) -> dict[str, Any]:
        """Return the body of a 421 answer: the account's swarm and, from new releases, its id."""
        body = self.swarm_body(account)
        if self.profile.names_account_of_other_swarm:
            body["pubkey"] = account.hex()
        return body

    def swarm_body(self, account: bytes) -> dict[str, Any]:
        """Return the result of ``get_swarm`` (storage-rpc §10.9)."""
        swarm_id, members = self.known_network().swarm_of(account)
        return self.stamped(
            {
                "snodes": [_contact(member) for member in members if self.lists(member)],
                "swarm": f"{swarm_id:x}",
            }
        )

    def lists(self, member: NodeInfo) -> bool:
        """Tell whether a node counts in swarms; new releases leave those without a known address out."""
        return self.profile.lists_unreachable_nodes or has_address(member)

    def other_members(self) -> Iterable[NodeInfo]:
        """Yield the other members of this node's swarm that requests are forwarded to."""
        if self._own_swarm is None:
            return
        for member in self.known_network().members(self._own_swarm):
            if member.ed25519_pk != self.ed25519_hex and self.lists(member):
                yield member


def _tell_nobody(_message: StoredMessage) -> None:
    """Let nobody hear of new messages."""


def has_address(node: NodeInfo) -> bool:
    """Tell whether the network knows where a node is; others are left out of swarm lists."""
    return node.ip not in _NOWHERE and node.https_port > 0


def _contact(node: NodeInfo) -> dict[str, Any]:
    return {
        "address": f"{base32z_encode(bytes.fromhex(node.ed25519_pk))}.snode",
        "ip": node.ip,
        # A string, unlike the others, for old clients.
        "port": str(node.https_port),
        "port_https": node.https_port,
        "port_omq": node.omq_port,
        "port_quic": node.omq_port,
        "pubkey_ed25519": node.ed25519_pk,
        # The primary key is the Ed25519 key since hard fork 21 (network §2).
        "pubkey_legacy": node.ed25519_pk,
        "pubkey_x25519": node.x25519_pk,
    }
