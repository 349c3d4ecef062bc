"""What the load consists of: stores, retrieves and onion requests, made before the clock starts.

Each workload also says when an answer is right: what is fast and wrong is not measured.
"""

import base64
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from session_protocol import onion
from session_protocol.accounts import Account
from session_protocol.storage_auth import sign_request
from session_protocol.swarms import choose_swarm, swarm_position
from testnet_measurements.load import LoadFailed, Served, http_request
from testnet_measurements.server_process import ServedNode

RPC_PATH = "/storage_rpc/v1"
ONION_PATH = "/onion_req/v2"
TTL_MS = 3_600_000
RELAYS = 3
# So many mailboxes share the load.
ACCOUNTS = 32

# Takes the number of the request and the body of its answer; raises LoadFailed.
Check = Callable[[int, bytes], None]


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests, ready to be sent to any of ``nodes``, and the check of their answers."""

    nodes: tuple[Served, ...]
    requests: tuple[bytes, ...]
    check: Check
    status: int = 200


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """Accounts of one swarm, and the swarm's nodes."""

    accounts: tuple[Account, ...]
    swarm: tuple[ServedNode, ...]

    @classmethod
    def in_one_swarm(cls, nodes: Sequence[ServedNode], rng: random.Random) -> "Mailboxes":
        """Make accounts that all belong to the same swarm."""
        swarm_ids = {node.swarm_id for node in nodes}
        wanted = min(swarm_ids)
        accounts: list[Account] = []
        while len(accounts) < ACCOUNTS:
            account = Account.generate(rng.randbytes)
            if choose_swarm(swarm_position(account.account_id), swarm_ids) == wanted:
                accounts.append(account)
        return cls(tuple(accounts), tuple(node for node in nodes if node.swarm_id == wanted))


def stores(mailboxes: Mailboxes, size: int, count: int) -> Workload:
    """Store messages of ``size`` random bytes."""
    bodies = [_store_body(mailboxes.accounts[index % ACCOUNTS], size) for index in range(count)]

    def check(_number: int, body: bytes) -> None:
        _check_stored(json.loads(body), len(mailboxes.swarm))

    return Workload(mailboxes.swarm, _posted(RPC_PATH, bodies), check)


def retrieves(mailboxes: Mailboxes, size: int, count: int) -> Workload:
    """Retrieve, signed, from mailboxes that hold one message of ``size`` bytes each."""
    bodies = [_retrieve_body(mailboxes.accounts[index % ACCOUNTS]) for index in range(count)]

    def check(_number: int, body: bytes) -> None:
        _check_retrieved(json.loads(body), size)

    return Workload(mailboxes.swarm, _posted(RPC_PATH, bodies), check)


def onion_stores(
    nodes: Sequence[ServedNode], mailboxes: Mailboxes, size: int, count: int, rng: random.Random
) -> Workload:
    """Store messages of ``size`` random bytes through three relays."""
    bodies = [_store_body(mailboxes.accounts[index % ACCOUNTS], size) for index in range(count)]
    return _through_relays(
        nodes, mailboxes, bodies, rng, lambda answer: _check_stored(answer, len(mailboxes.swarm))
    )


def onion_retrieves(
    nodes: Sequence[ServedNode], mailboxes: Mailboxes, size: int, count: int, rng: random.Random
) -> Workload:
    """Retrieve through three relays from mailboxes that hold one message of ``size`` bytes each."""
    bodies = [_retrieve_body(mailboxes.accounts[index % ACCOUNTS]) for index in range(count)]
    return _through_relays(nodes, mailboxes, bodies, rng, lambda answer: _check_retrieved(answer, size))


def _through_relays(
    nodes: Sequence[ServedNode],
    mailboxes: Mailboxes,
    bodies: Sequence[bytes],
    rng: random.Random,
    check_answer: Callable[[Any], None],
) -> Workload:
    """Wrap requests in layers: all have the same guard, whose connections are kept, and random paths."""
    guard, *others = nodes
    requests, reply_keys = [], []
    for body in bodies:
        target = rng.choice([node for node in mailboxes.swarm if node is not guard])
        relays = [guard, *rng.sample([node for node in others if node is not target], RELAYS - 1)]
        built = onion.build(
            [onion.Hop(relay.ed25519_pk, relay.x25519_pk) for relay in relays],
            onion.NodeDestination(target.ed25519_pk, target.x25519_pk),
            body,
            enc_type=onion.EncryptionType.XCHACHA20,
        )
        requests.append(built.body)
        reply_keys.append(built.reply_key)

    def check(number: int, body: bytes) -> None:
        reply = onion.open_node_reply(reply_keys[number], body)
        if reply.status != 200:
            raise LoadFailed(f"an onion request was answered {reply.status}: {reply.body!r:.200}")
        check_answer(reply.body)

    return Workload((guard,), _posted(ONION_PATH, requests), check)


def _store_body(account: Account, size: int) -> bytes:
    data = base64.b64encode(os.urandom(size)).decode()
    params = {"pubkey": account.account_id, "timestamp": _now_ms(), "ttl": TTL_MS, "data": data}
    return json.dumps({"method": "store", "params": params}).encode()


def _retrieve_body(account: Account) -> bytes:
    params = sign_request(account, "retrieve", {"timestamp": _now_ms()})
    return json.dumps({"method": "retrieve", "params": params}).encode()


def _check_stored(answer: Any, members: int) -> None:
    failed = [entry for entry in answer["swarm"].values() if entry.get("failed")]
    if failed or len(answer["swarm"]) != members:
        raise LoadFailed(
            f"{len(answer['swarm'])} of {members} members answered a store, {len(failed)} failed"
        )


def _check_retrieved(answer: Any, size: int) -> None:
    sizes = [len(base64.b64decode(message["data"])) for message in answer["messages"]]
    if sizes != [size]:
        raise LoadFailed(f"a mailbox with one message of {size} bytes gave messages of {sizes} bytes")


def _posted(path: str, bodies: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(http_request(path, body) for body in bodies)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
