"""The load on the servers: posts into a room, polls of it as apps make them, uploads and downloads of files.

Directly, and through three relays; requests are signed and sealed before the clock starts.
"""

import json
import os
import random
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from session_protocol import onion
from session_protocol.accounts import Account
from session_protocol.community import auth_headers
from testnet_measurements.load import LoadFailed, Served, http_request
from testnet_measurements.server_process import ServedNode, ServedServer
from testnet_measurements.workloads import ONION_PATH, RELAYS, Check, Workload

ROOM = "/room/lobby"
JSON = {"Content-Type": "application/json"}
# A server takes five posts of one account in sixteen seconds.
POSTS_OF_ACCOUNT = 5
# As many new messages does each poll find.
NEW_MESSAGES = 10
POLLERS = 32


@dataclass(frozen=True, slots=True)
class Question:
    """A request before it goes one way or the other."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Relays:
    """The nodes through which onion requests go; the first is the guard of all of them."""

    nodes: Sequence[ServedNode]
    rng: random.Random

    def through(self, server: ServedServer, questions: Sequence[Question], check: Check) -> Workload:
        """Wrap questions to a server in layers."""
        guard, *others = self.nodes
        destination = onion.ServerDestination(
            host=server.host, port=server.port, protocol="http", x25519_pk=server.x25519_pk
        )
        requests, reply_keys = [], []
        for each in questions:
            path = [guard, *self.rng.sample(others, RELAYS - 1)]
            built = onion.build(
                [onion.Hop(relay.ed25519_pk, relay.x25519_pk) for relay in path],
                destination,
                onion.encode_v4_request(each.method, each.target, dict(each.headers), each.body),
                enc_type=onion.EncryptionType.XCHACHA20,
            )
            requests.append(http_request(ONION_PATH, built.body))
            reply_keys.append(built.reply_key)

        def check_inner(number: int, body: bytes) -> None:
            inner = onion.decode_v4_response(onion.open_reply(reply_keys[number], body))
            if inner.code != 200:
                raise LoadFailed(f"inside an onion a server answered {inner.code}: {inner.body[:200]!r}")
            check(number, inner.body)

        return Workload((guard,), tuple(requests), check_inner)


def directly(server: Served, questions: Sequence[Question], check: Check, *, status: int = 200) -> Workload:
    """Send questions straight to a server."""
    requests = tuple(
        http_request(each.target, each.body, each.headers, method=each.method) for each in questions
    )
    return Workload((server,), requests, check, status)


def posts(server: ServedServer, size: int, count: int, rng: random.Random) -> Workload:
    """Post messages of ``size`` bytes, each account as many as it may; right is what comes back whole."""
    accounts = [Account.generate(rng.randbytes) for _ in range(-(-count // POSTS_OF_ACCOUNT))]
    signature = b64encode(bytes(64)).decode()
    texts = [b64encode(os.urandom(size)).decode() for _ in range(count)]
    questions = [
        _signed(
            accounts[index % len(accounts)],
            server,
            "POST",
            f"{ROOM}/message",
            {"data": text, "signature": signature},
        )
        for index, text in enumerate(texts)
    ]

    def check(number: int, body: bytes) -> None:
        if json.loads(body)["data"] != texts[number]:
            raise LoadFailed("a message came back other than it was posted")

    return directly(server, questions, check, status=201)


def polls(server: ServedServer, newest: int, count: int, rng: random.Random) -> list[Question]:
    """Make the polls of members of a room, whose newest messages they have not seen; see check_poll."""
    batch = [
        {"method": "GET", "path": "/capabilities"},
        {"method": "GET", "path": f"{ROOM}/pollInfo/0"},
        {"method": "GET", "path": f"{ROOM}/messages/since/{newest - NEW_MESSAGES}?t=r&reactors=5"},
        {"method": "GET", "path": "/inbox/since/0"},
        {"method": "GET", "path": "/outbox/since/0"},
    ]
    pollers = [Account.generate(rng.randbytes) for _ in range(POLLERS)]
    return [_signed(pollers[index % POLLERS], server, "POST", "/batch", batch) for index in range(count)]


def check_poll(_number: int, body: bytes) -> None:
    """Check that a poll found what is new; LoadFailed."""
    answers = json.loads(body)
    codes = [answer["code"] for answer in answers]
    if codes != [200, 200, 200, 304, 304]:
        raise LoadFailed(f"a poll was answered {codes}")
    found = len(answers[2]["body"])
    if found != NEW_MESSAGES:
        raise LoadFailed(f"a poll found {found} messages instead of {NEW_MESSAGES}")


def uploads(size: int, count: int) -> list[Question]:
    """Make uploads of different bodies; see check_uploaded."""
    return [Question("POST", "/file", {}, os.urandom(size)) for _ in range(count)]


def check_uploaded(_number: int, body: bytes) -> None:
    """Check that an upload got an id; LoadFailed."""
    if not json.loads(body).get("id"):
        raise LoadFailed(f"an upload was answered {body[:200]!r}")


def downloads(file_id: str, count: int) -> list[Question]:
    """Make downloads of one file."""
    return [Question("GET", f"/file/{file_id}", {}, b"")] * count


def downloaded(content: bytes) -> Callable[[int, bytes], None]:
    """Return the check that a download has the whole content; LoadFailed."""

    def check(_number: int, body: bytes) -> None:
        if body != content:
            raise LoadFailed(f"a file of {len(content)} bytes came back as {len(body)} others")

    return check


def newest_message(body: bytes) -> int:
    """Return the sequence number that a room has, out of its Room object."""
    return int(json.loads(body)["message_sequence"])


def _signed(account: Account, server: ServedServer, method: str, target: str, document: Any) -> Question:
    body = json.dumps(document).encode()
    headers = auth_headers(
        account,
        server.x25519_pk,
        method,
        target,
        body,
        nonce=os.urandom(16),
        timestamp_s=int(time.time()),
        mode="blinded15",
    )
    return Question(method, target, {**headers, **JSON}, body)
