"""Sub-accounts: what their tokens allow, and revocation."""

import base64
from typing import Any

import nacl.bindings
import pytest

from session_protocol.accounts import Account
from session_protocol.storage_auth import request_payload, sign, sign_request

Nodes = Any
DAY_MS = 86_400_000
READ, WRITE, DELETE, ANY_PREFIX = 1, 2, 4, 8


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Sub:
    """A sub-account of a group, with keys of its own."""

    def __init__(self, owner: Account, flags: int, *, prefix: int = 3, seed: int = 0x20) -> None:
        self.owner = owner
        self.keys = Account.from_seed(bytes([seed]) * 32)
        self.token = bytes([prefix, flags, 0, 0]) + self.keys.ed25519_pk
        self.owner_signature = sign(owner, self.token)

    def params(self, method: str, params: dict[str, Any], *, prefix: int = 3) -> dict[str, Any]:
        return {
            **params,
            "pubkey": f"{prefix:02x}{self.owner.ed25519_pk.hex()}",
            "subaccount": b64(self.token),
            "subaccount_sig": b64(self.owner_signature),
            "signature": b64(sign(self.keys, request_payload(method, params))),
        }


def as_owner(nodes: Nodes, owner: Account, method: str, params: dict[str, Any]) -> Any:
    signed = sign_request(owner, method, params)
    del signed["pubkey_ed25519"]
    return nodes.ask(method, {**signed, "pubkey": f"03{owner.ed25519_pk.hex()}"})


def store_params(nodes: Nodes, data: bytes = b"x", namespace: int = 11) -> dict[str, Any]:
    return {"namespace": namespace, "timestamp": nodes.now, "ttl": DAY_MS, "data": b64(data)}


def ask(nodes: Nodes, sub: Sub, method: str, params: dict[str, Any], *, prefix: int = 3) -> Any:
    return nodes.ask(method, sub.params(method, params, prefix=prefix))


PERMISSIONS = [
    (READ, {"retrieve"}),
    (0, set()),
    (WRITE, {"store"}),
    (READ | WRITE, {"retrieve", "store"}),
    (READ | WRITE | DELETE, {"retrieve", "store", "delete", "outbox"}),
]


@pytest.mark.parametrize(("flags", "allowed"), PERMISSIONS)
def test_a_token_allows_what_it_says(nodes: Nodes, alice: Account, flags: int, allowed: set[str]) -> None:
    sub = Sub(alice, flags)
    stored = as_owner(nodes, alice, "store", store_params(nodes)).body["hash"]
    requests = {
        "retrieve": ("retrieve", {"namespace": 11, "timestamp": nodes.now}, "retrieve"),
        "store": ("store", store_params(nodes, b"by sub"), "store"),
        "outbox": ("store", store_params(nodes, namespace=-1), "store"),
        "delete": ("delete", {"messages": [stored]}, "delete_msgs"),
    }
    for name, (method, params, text) in requests.items():
        answer = ask(nodes, sub, method, params)
        if name in allowed:
            assert answer.status == 200, name
        else:
            assert (answer.status, answer.body) == (401, f"{text} signature verification failed"), name


def test_the_prefix_must_fit_unless_any_is_allowed(nodes: Nodes, alice: Account) -> None:
    for sub, status in ((Sub(alice, READ), 401), (Sub(alice, READ | ANY_PREFIX), 200)):
        answer = ask(nodes, sub, "retrieve", {"namespace": 11, "timestamp": nodes.now}, prefix=0x99)
        assert answer.status == status


def test_the_owner_must_have_signed_the_token(nodes: Nodes, alice: Account) -> None:
    sub = Sub(alice, READ)
    params = sub.params("retrieve", {"namespace": 11, "timestamp": nodes.now})
    assert nodes.ask("retrieve", params).status == 200
    assert nodes.ask("retrieve", {**params, "subaccount": sub.token.hex()}).status == 200
    forged = bytes([3, READ | WRITE, 0, 0]) + sub.token[4:]
    assert nodes.ask("retrieve", {**params, "subaccount": b64(forged)}).status == 401
    empty = nodes.ask("retrieve", {**params, "subaccount": "", "subaccount_sig": ""})
    assert empty.status == 401, "an empty token is none: the owner's key did not sign"


def test_a_subaccount_without_delete_only_extends(nodes: Nodes, alice: Account) -> None:
    hashes = [
        as_owner(nodes, alice, "store", {**store_params(nodes, bytes([n])), "ttl": ttl}).body["hash"]
        for n, ttl in enumerate((20_000, DAY_MS, 30_000))
    ]
    sub = Sub(alice, READ | WRITE)
    until = nodes.now + DAY_MS // 2
    entry = ask(nodes, sub, "expire", {"messages": hashes, "expiry": until}).body["swarm"][nodes.keys[1]]
    assert entry["updated"] == sorted([hashes[0], hashes[2]])
    assert "unchanged" not in entry
    shorten = ask(nodes, sub, "expire", {"messages": hashes, "expiry": until, "shorten": True})
    assert (shorten.status, shorten.body) == (
        400,
        "expire: shorten parameter cannot be used with this subaccount token (missing delete access)",
    )
    full = Sub(alice, READ | WRITE | DELETE)
    assert ask(nodes, full, "expire", {"messages": hashes, "expiry": until, "shorten": True}).status == 200


def test_revocation_and_its_end(nodes: Nodes, alice: Account) -> None:
    sub = Sub(alice, READ | WRITE)
    for namespace in (11, -11):
        as_owner(nodes, alice, "store", store_params(nodes, namespace=namespace))
    answer = as_owner(nodes, alice, "revoke_subaccount", {"revoke": b64(sub.token), "timestamp": nodes.now})
    payload = f"03{alice.ed25519_pk.hex()}{nodes.now}".encode() + sub.token
    for key, entry in answer.body["swarm"].items():
        assert set(entry) == {"signature"}
        nacl.bindings.crypto_sign_open(base64.b64decode(entry["signature"]) + payload, bytes.fromhex(key))
    read = {"timestamp": nodes.now}
    for node in range(3):
        refused = nodes.ask("retrieve", sub.params("retrieve", {**read, "namespace": 11}), node=node)
        assert (refused.status, refused.body) == (401, "retrieve signature verification failed")
    assert ask(nodes, sub, "retrieve", {**read, "namespace": -11}).status == 200, "unrevocable"
    assert ask(nodes, sub, "store", store_params(nodes, namespace=-11)).status == 401
    assert ask(nodes, sub, "get_expiries", {"messages": ["a"], "timestamp": nodes.now}).status == 401
    listed = as_owner(nodes, alice, "revoked_subaccounts", {"timestamp": nodes.now})
    assert listed.body == {"revoked_subaccounts": [b64(sub.token)], "t": nodes.now, "hf": [21, 2]}
    back = as_owner(
        nodes, alice, "unrevoke_subaccount", {"unrevoke": [sub.token.hex()], "timestamp": nodes.now}
    )
    assert {entry["count"] for entry in back.body["swarm"].values()} == {1}
    assert ask(nodes, sub, "retrieve", {**read, "namespace": 11}).status == 200


def test_the_fifty_latest_revocations_count(nodes: Nodes, alice: Account) -> None:
    as_owner(nodes, alice, "store", store_params(nodes))
    sub = Sub(alice, READ)
    others = [b64(bytes([3, 1, 0, 0]) + bytes([number]) * 32) for number in range(1, 52)]

    def revoke(tokens: list[str]) -> None:
        nodes.clock.move(1)
        answer = as_owner(nodes, alice, "revoke_subaccount", {"revoke": tokens, "timestamp": nodes.now})
        assert answer.status == 200

    def may_read() -> bool:
        return ask(nodes, sub, "retrieve", {"namespace": 11, "timestamp": nodes.now}).status == 200

    revoke([b64(sub.token)])
    revoke(others[:49])
    assert not may_read()
    revoke(others[49:50])
    assert may_read(), "the first revocation is the fifty-first from the end"
    revoke([b64(sub.token)])
    assert not may_read()
    too_many = as_owner(nodes, alice, "revoke_subaccount", {"revoke": others, "timestamp": nodes.now})
    assert too_many.body == "invalid request: invalid revoke: cannot revoke more than 50 subaccounts at once"
    every = {"unrevoke": [*others, b64(sub.token)], "timestamp": nodes.now}
    back = as_owner(nodes, alice, "unrevoke_subaccount", every)
    assert {entry["count"] for entry in back.body["swarm"].values()} == {50}


def test_revocations_go_with_the_last_message(nodes: Nodes, alice: Account) -> None:
    sub = Sub(alice, READ)
    stored = as_owner(nodes, alice, "store", store_params(nodes)).body["hash"]
    as_owner(nodes, alice, "revoke_subaccount", {"revoke": b64(sub.token), "timestamp": nodes.now})
    as_owner(nodes, alice, "delete", {"messages": [stored]})
    assert ask(nodes, sub, "retrieve", {"namespace": 11, "timestamp": nodes.now}).status == 200


@pytest.mark.parametrize("method", ["revoke_subaccount", "unrevoke_subaccount"])
def test_only_the_owner_changes_revocations(nodes: Nodes, alice: Account, method: str) -> None:
    name = method.partition("_")[0]
    sub = Sub(alice, READ | WRITE | DELETE)
    params = {name: b64(sub.token), "timestamp": nodes.now}
    answer = ask(nodes, sub, method, params)
    assert (answer.status, answer.body) == (401, f"{method} signature verification failed")
    stale = as_owner(nodes, alice, method, {**params, "timestamp": nodes.now - 60_001})
    assert (stale.status, stale.body) == (406, f"{method} timestamp too far from current time")
    wrong = {**params, "signature": b64(bytes(64)), name: "xyz", "pubkey": f"03{alice.ed25519_pk.hex()}"}
    malformed = nodes.ask(method, wrong)
    assert malformed.body == (
        f"invalid request: invalid {name}: expected base64 or hex-encoded subaccount tag"
    )
