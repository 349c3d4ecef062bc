"""A judged service node: its RPC, the accounts of its swarm, and how its members' signatures are verified."""

import base64
import time
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

import nacl.bindings
import nacl.exceptions
import orjson
import pytest

from session_conformance.contract.testee import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.answers import Answer, ask, member
from session_protocol.accounts import Account
from session_protocol.storage_auth import Subaccount, message_hash, sign, sign_request

SECOND_MS: Final = 1000
DAY_MS: Final = 86_400_000
RPC_PATH: Final = "/storage_rpc/v1"

# A network has a few hundred swarms at most: one of so many accounts belongs to any of them.
_DRAWS: Final = 2_000


class JudgedNode:
    """Ask the first of the given nodes; every account of a check is new, and belongs to the node's swarm."""

    def __init__(self, testee: Testee, case: CaseContext) -> None:
        self.testee = testee
        self.random: Random = case.random
        self.urls: list[str] = list(testee.features["urls"])
        self.url = self.urls[0]
        self.registry: str = testee.features["registry"]
        self._ahead_ms = 0

    def post(self, body: bytes, *, path: str = RPC_PATH, url: str = "", asked: str = "") -> Answer:
        """Post raw bytes."""
        return ask(self.testee, "POST", (url or self.url) + path, body=body, asked=asked)

    def rpc(self, method: str, params: Any, *, url: str = "") -> Answer:
        """Call a method as anybody can."""
        return self.post(orjson.dumps({"method": method, "params": params}), url=url, asked=method)

    def signed(
        self, account: Account, method: str, params: Mapping[str, Any] | None = None, *, url: str = ""
    ) -> Answer:
        """Call a method as the owner of an account."""
        return self.rpc(method, sign_request(account, method, params or {}), url=url)

    def now(self) -> int:
        """Return the node's time in ms, by the clock of this machine and its distance from the node's."""
        here = time.time_ns() // 1_000_000
        if not self._ahead_ms:
            self._ahead_ms = member(self.rpc("info", {}).ok(), "timestamp", int) - here or 1
        return here + self._ahead_ms

    def new_account(self) -> Account:
        """Return an account, of any swarm."""
        return Account.from_seed(self.random.randbytes(32))

    def account(self) -> Account:
        """Return a new account of the node's swarm; skip when no draw finds one."""
        for _ in range(_DRAWS):
            account = self.new_account()
            if self.is_responsible(account.account_id):
                return account
        pytest.skip(f"none of {_DRAWS} accounts belongs to the swarm of {self.url}")

    def foreign_account(self) -> Account:
        """Return an account of another swarm; skip in a network of one swarm."""
        for _ in range(100):
            account = self.new_account()
            if not self.is_responsible(account.account_id):
                return account
        pytest.skip("the network has one swarm only: every account belongs to it")

    def is_responsible(self, account_id: str) -> bool:
        """Tell whether the node keeps the messages of an account: it answers 421 when it does not."""
        # The namespace of legacy groups is listed without a signature.
        asked = self.rpc("retrieve", {"pubkey": account_id, "namespace": -10})
        return asked.expect(200, 401, 421).status != 421

    def snodes(self, account_id: str) -> list[dict[str, Any]]:
        """Return the members of an account's swarm as the node names them."""
        found: list[dict[str, Any]] = member(
            self.rpc("get_swarm", {"pubkey": account_id}).ok(), "snodes", list
        )
        return found

    def other_members(self, account_id: str) -> list[tuple[str, str]]:
        """Return URL and key of the other members; skip for a swarm of one."""
        here = urlsplit(self.url)
        scheme = here.scheme
        found = [
            (f"{scheme}://{node['ip']}:{node['port_https']}", node["pubkey_ed25519"])
            for node in self.snodes(account_id)
            if node["port_https"] != here.port or node["ip"] != here.hostname
        ]
        if not found:
            pytest.skip("the swarm has one member only")
        return found

    def own_keys(self) -> tuple[bytes, bytes]:
        """Return the Ed25519 and the X25519 key of the node, found by its address; skip when not listed."""
        here = urlsplit(self.url)
        for node in self.snodes(self.account().account_id):
            if node["port_https"] == here.port and node["ip"] == here.hostname:
                return bytes.fromhex(node["pubkey_ed25519"]), bytes.fromhex(node["pubkey_x25519"])
        pytest.skip(f"the swarm of the node does not list it under {self.url}")

    def store_params(self, account_id: str, data: bytes, **more: Any) -> dict[str, Any]:
        """Return the parameters of a store, unsigned: from now, for a day."""
        params = {
            "pubkey": account_id,
            "timestamp": self.now(),
            "data": base64.b64encode(data).decode(),
            **more,
        }
        return params if "expiry" in params else {"ttl": DAY_MS, **params}

    def try_store(self, account: Account, data: bytes, *, signed: bool = False, **more: Any) -> Answer:
        """Store a message, signed or not, and return the answer whatever it is."""
        params = self.store_params(account.account_id, data, **more)
        return self.signed(account, "store", params) if signed else self.rpc("store", params)

    def store(self, account: Account, data: bytes, **more: Any) -> str:
        """Store a message and return its hash."""
        namespace = more.get("namespace", 0)
        reply = self.try_store(account, data, signed=namespace % 10 != 0, **more).ok()
        found: str = member(reply, "hash", str)
        assert found == message_hash(bytes.fromhex(account.account_id), namespace, data), "a wrong hash"
        return found

    def try_retrieve(self, account: Account, *, url: str = "", **more: Any) -> Answer:
        """Retrieve as the owner, and return the answer whatever it is."""
        return self.signed(account, "retrieve", {"timestamp": self.now(), **more}, url=url)

    def retrieve(self, account: Account, *, url: str = "", **more: Any) -> list[dict[str, Any]]:
        """Return the messages of a page."""
        found: list[dict[str, Any]] = member(
            self.try_retrieve(account, url=url, **more).ok(), "messages", list
        )
        return found

    def hashes(self, account: Account, **more: Any) -> list[str]:
        """Return the hashes of a page."""
        return [member(message, "hash", str) for message in self.retrieve(account, **more)]

    def entries(self, account: Account, reply: Any) -> dict[str, dict[str, Any]]:
        """Return the entries under ``swarm``: one for each member of the account's swarm, none failed."""
        entries: dict[str, dict[str, Any]] = member(reply, "swarm", dict)
        wanted = {node["pubkey_ed25519"] for node in self.snodes(account.account_id)}
        assert set(entries) == wanted, f"entries of {sorted(entries)}, the swarm is {sorted(wanted)}"
        failed = [key for key, entry in entries.items() if entry.get("failed")]
        assert not failed, f"{failed[0]} failed: {entries[failed[0]]}"
        return entries

    def changed(self, account: Account, method: str, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Carry out a change of the whole swarm and return its entries."""
        return self.entries(account, self.signed(account, method, params).ok())


def assert_signed(key_hex: str, entry: Mapping[str, Any], parts: Sequence[object]) -> None:
    """Fail unless a member signed the concatenation of ``parts``."""
    payload = "".join(map(str, parts)).encode()
    try:
        signature = base64.b64decode(member(dict(entry), "signature", str), validate=True)
        nacl.bindings.crypto_sign_open(signature + payload, bytes.fromhex(key_hex))
    except (nacl.exceptions.BadSignatureError, ValueError):
        raise AssertionError(f"{key_hex} did not sign {payload!r}: {dict(entry)}") from None


def token_for(account: Account, sub: Account, flags: int, *, prefix: int = 0x05) -> Subaccount:
    """Return a sub-account token of an account, made and signed by its owner."""
    token = bytes([prefix, flags, 0, 0]) + sub.ed25519_pk
    return Subaccount(token, sign(account, token))


def as_subaccount(
    account: Account, sub: Account, token: Subaccount, payload: bytes, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Return parameters of a request that a sub-account signs."""
    return {
        **params,
        "pubkey": account.account_id,
        "pubkey_ed25519": account.ed25519_pk.hex(),
        "subaccount": base64.b64encode(token.token).decode(),
        "subaccount_sig": base64.b64encode(token.owner_signature).decode(),
        "signature": base64.b64encode(sign(sub, payload)).decode(),
    }
