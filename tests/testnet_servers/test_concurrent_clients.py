"""Fifty clients at once, at servers that are killed meanwhile: what was acknowledged stays, in one order."""

import asyncio
import http.client
import json
import os
import random
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from session_protocol import onion
from session_protocol.accounts import Account
from session_protocol.community import auth_headers
from session_protocol.onion import EncryptionType

CLIENTS = 50
DEADLINE_S = 30
SIGNATURE = b64encode(bytes(64)).decode()
TOKEN = "the token of the tests"
JSON = {"Content-Type": "application/json"}

# A request that got no answer because the server was killed: it may have been carried out, or not.
Broken = (aiohttp.ClientError, ConnectionError)


@dataclass
class Killable:
    """A server in a process of its own that can be killed; it comes back at its port, with its data."""

    service: str
    directory: Path
    options: tuple[str, ...] = ()
    port: int = 0
    public_key: bytes = b""
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        module = f"session_testnet.services.{self.service}"
        command = [sys.executable, "-m", module, "--directory", str(self.directory), "--port", str(self.port)]
        self._process = subprocess.Popen(
            [*command, *self.options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.communicate(timeout=DEADLINE_S)[1].decode()
        ready = json.loads(line)
        self.port = int(ready["listen"][0].rpartition(":")[2])
        self.public_key = bytes.fromhex(ready.get("public_key") or ready["pubkey_x25519"])

    def kill(self) -> None:
        """Kill it with signal 9; it must not have complained before."""
        assert self._process is not None
        self._process.kill()
        assert self._process.communicate(timeout=DEADLINE_S) == (b"", b"")


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[Callable[..., Killable]]:
    started: list[Killable] = []

    def start(service: str, *options: str) -> Killable:
        server = Killable(service, tmp_path / service, options)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()


@dataclass
class Web:
    """Requests over real HTTP, in the open or inside onions."""

    session: aiohttp.ClientSession
    server: Killable

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, sealed: bool
    ) -> tuple[int, bytes]:
        if not sealed:
            return await self._send(method, target, headers, body)
        client, used = Account.generate(), EncryptionType.XCHACHA20
        key = onion.client_key(used, client.x25519_sk, client.x25519_pk, self.server.public_key)
        payload = onion.encode_v4_request(method, target, dict(headers), body)
        routing = {"ephemeral_key": client.x25519_pk.hex(), "enc_type": used.value}
        frame = onion.frame(onion.encrypt(key, payload, os.urandom(used.nonce_bytes)), routing)
        status, answer = await self._send("POST", "/oxen/v4/lsrpc", {}, frame)
        assert status == 200, answer
        inner = onion.decode_v4_response(onion.open_reply(key, answer))
        return inner.code, inner.body

    async def _send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        url = f"http://127.0.0.1:{self.server.port}{target}"
        async with self.session.request(method, url, headers=headers, data=body or None) as answer:
            return answer.status, await answer.read()


@dataclass
class Run:
    """What all clients share: how long they go on, and when the server is killed."""

    web: Web
    rounds: int
    seconds: float
    kills: set[int]
    restart: Callable[[], Awaitable[None]]
    acknowledged: int = 0
    began: float = field(default_factory=time.monotonic)

    def goes_on(self, done: int) -> bool:
        return done < self.rounds or time.monotonic() < self.began + self.seconds

    async def count(self) -> None:
        """Count an acknowledgement; at some of them the server is killed, while others wait for answers."""
        self.acknowledged += 1
        if self.acknowledged in self.kills:
            await self.restart()


@dataclass
class Member:
    """One client of a room: posts, uploads, and follows the room by its sequence."""

    number: int
    run: Run
    posted: dict[str, tuple[int, int]] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    files: dict[int, bytes] = field(default_factory=dict)
    seen: list[tuple[int, int, str]] = field(default_factory=list)
    sequence: int = 0

    async def ask(self, method: str, target: str, body: bytes, expected: int) -> Any:
        """Ask and return the JSON of the answer, or its bytes; none but the expected status may come."""
        web = self.run.web
        headers = auth_headers(
            Account.from_seed(self.number.to_bytes(32, "big")),
            web.server.public_key,
            method,
            target,
            body,
            nonce=os.urandom(16),
            timestamp_s=int(time.time()),
            mode="blinded15" if self.number % 2 else "unblinded",
        )
        # Every fifth comes through onions, as apps do.
        sealed = self.number % 5 == 0
        status, answer = await web.send(method, target, {**headers, **JSON}, body, sealed=sealed)
        assert status == expected, (method, target, status, answer)
        return answer if "/file/" in target else json.loads(answer)

    async def live(self) -> None:
        done, rng = 0, random.Random(self.number)
        while self.run.goes_on(done):
            words = f"{self.number}: {done}"
            try:
                await self.post(words)
                await self.upload(rng.randbytes(rng.randrange(20_000)))
                await self.poll()
            except Broken:
                if words not in self.posted:
                    self.unsure.add(words)
            done += 1

    async def post(self, words: str) -> None:
        body = json.dumps({"data": b64encode(words.encode()).decode(), "signature": SIGNATURE}).encode()
        answer = await self.ask("POST", "/room/lobby/message", body, 201)
        self.posted[words] = answer["id"], answer["seqno"]
        await self.run.count()

    async def upload(self, content: bytes) -> None:
        self.files[(await self.ask("POST", "/room/lobby/file", content, 201))["id"]] = content

    async def poll(self) -> None:
        """Take in what is new, to the end."""
        room = await self.ask("GET", "/room/lobby", b"", 200)
        assert room["message_sequence"] >= self.sequence, "the sequence of the room went back"
        while True:
            last = self.seen[-1][0] if self.seen else 0
            rows = await self.ask("GET", f"/room/lobby/messages/since/{last}?t=r", b"", 200)
            new = [(row["seqno"], row["id"], b64decode(row["data"]).decode()) for row in rows]
            assert new == sorted(new)
            assert not new or new[0][0] > last
            self.seen += new
            if len(rows) < 100:
                break
        self.sequence = max(room["message_sequence"], self.seen[-1][0] if self.seen else 0)


Plan = pytest.mark.parametrize(
    ("rounds", "seconds", "kills"),
    [
        pytest.param(2, 0, set(), id="undisturbed"),
        pytest.param(4, 0, {100}, id="killed"),
        pytest.param(0, 60, set(), id="a-minute", marks=[pytest.mark.nightly, pytest.mark.timeout(600)]),
        pytest.param(
            0,
            60,
            {300, 900, 1500},
            id="a-minute-killed",
            marks=[pytest.mark.nightly, pytest.mark.timeout(600)],
        ),
    ],
)


async def with_web(server: Killable, use: Callable[[Web], Awaitable[None]]) -> None:
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await use(Web(session, server))


@Plan
def test_a_room_of_fifty_loses_nothing_and_has_one_order(
    killable: Callable[..., Killable], rounds: int, seconds: float, kills: set[int]
) -> None:
    server = killable("community", "--room", "lobby", "--test-mode", "--control-token", TOKEN)

    async def use(web: Web) -> None:
        async def restart() -> None:
            # Nothing else runs here until the server is back: whoever waited for it finds its answer missing.
            server.kill()
            server.start()
            lift_rate_limit(server)

        lift_rate_limit(server)
        run = Run(web, rounds, seconds, kills, restart)
        members = [Member(number, run) for number in range(CLIENTS)]
        await asyncio.gather(*(member.live() for member in members))
        await asyncio.gather(*(member.poll() for member in members))
        check_room(members, killed=bool(kills))
        for member in members:
            for file_id, content in member.files.items():
                assert await member.ask("GET", f"/room/lobby/file/{file_id}", b"", 200) == content
        assert run.acknowledged >= max(kills, default=CLIENTS * rounds)

    asyncio.run(with_web(server, use))


def lift_rate_limit(server: Killable) -> None:
    order = json.dumps({"op": "config", "key": "rate_limit", "value": False})
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)) as connection:
        connection.request("POST", "/_control", order, {"Authorization": f"Bearer {TOKEN}", **JSON})
        assert connection.getresponse().status == 200


def check_room(members: list[Member], *, killed: bool) -> None:
    order = members[0].seen
    assert all(member.seen == order for member in members)
    assert [seqno for seqno, _, _ in order] == list(range(1, len(order) + 1))
    assert [post_id for _, post_id, _ in order] == sorted({post_id for _, post_id, _ in order})
    stored = {words: (post_id, seqno) for seqno, post_id, words in order}
    assert len(stored) == len(order), "a post is there twice"
    acknowledged = {words: where for member in members for words, where in member.posted.items()}
    unsure = {words for member in members for words in member.unsure}
    assert acknowledged.items() <= stored.items()
    assert stored.keys() - acknowledged.keys() <= unsure
    assert killed or not unsure


@Plan
def test_uploads_of_fifty_are_all_there(
    killable: Callable[..., Killable], rounds: int, seconds: float, kills: set[int]
) -> None:
    server = killable("files")

    async def use(web: Web) -> None:
        async def restart() -> None:
            server.kill()
            server.start()

        run = Run(web, rounds, seconds, kills, restart)
        kept: dict[str, bytes] = {}
        broken = 0

        async def get(file_id: str, *, sealed: bool) -> None:
            assert await web.send("GET", f"/file/{file_id}", {}, b"", sealed=sealed) == (200, kept[file_id])

        async def live(number: int) -> None:
            nonlocal broken
            rng, done, sealed = random.Random(number), 0, number % 5 == 0
            while run.goes_on(done):
                done += 1
                content = rng.randbytes(rng.choice([1, 1000, 100_000]))
                try:
                    status, answer = await web.send("POST", "/file", {}, content, sealed=sealed)
                    assert status == 200, answer
                    file_id = json.loads(answer)["id"]
                    assert file_id not in kept
                    kept[file_id] = content
                    await run.count()
                    await get(file_id, sealed=sealed)
                except Broken:
                    broken += 1

        await asyncio.gather(*(live(number) for number in range(CLIENTS)))
        for file_id in kept:
            await get(file_id, sealed=False)
        assert kills or not broken
        assert run.acknowledged >= max(kills, default=CLIENTS * rounds)
        bodies = [path for path in (server.directory / "files").rglob("*") if path.is_file()]
        # An upload that was stored but not acknowledged leaves its body.
        assert len(kept) <= len(bodies) <= len(kept) + broken

    asyncio.run(with_web(server, use))
