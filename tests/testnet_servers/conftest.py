"""Servers over real sockets, a clock that stands still, and signed requests."""

import asyncio
import http.client
import itertools
import json
import os
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import orjson
import pytest
from aiohttp import web

from session_protocol import onion
from session_protocol.accounts import Account
from session_protocol.blinding import blind15_key
from session_protocol.community import auth_headers, sign_community_message
from session_protocol.content import build_content
from session_protocol.onion import EncryptionType
from session_protocol.padding import pad
from session_testnet.clock import Clock
from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.exchange import ServiceRequest
from session_testnet.services.files import FileServer
from session_testnet.topology import RoomSpec
from session_testnet.trace import Trace

NOW_S = 1_760_000_000
DATA = Path(__file__).parent / "data"
DEADLINE_S = 10


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def is_success(self) -> bool:
        return 200 <= self.status <= 299

    @property
    def seen_by_client(self) -> tuple[int, str | None, bytes]:
        """What must not depend on the way of the request."""
        return self.status, self.headers.get("content-type"), self.body


@dataclass(frozen=True, slots=True)
class Served:
    """An application that listens on the loopback."""

    port: int
    x25519_pk: bytes
    nonces: Iterator[int] = field(default_factory=itertools.count)

    def request(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, target, body, dict(headers or {}))
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, named, answer.read())
        finally:
            connection.close()

    def onion(
        self,
        method: str,
        endpoint: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        enc_type: EncryptionType | None = None,
    ) -> Reply:
        return self.onion_payload(
            onion.encode_v4_request(method, endpoint, dict(headers or {}), body), enc_type
        )

    def onion_payload(self, payload: bytes, enc_type: EncryptionType | None = None) -> Reply:
        """Send a v4 payload; without ``enc_type`` the frame does not name one."""
        client = Account.from_seed(os.urandom(32))
        used = enc_type or EncryptionType.AES_GCM
        key = onion.client_key(used, client.x25519_sk, client.x25519_pk, self.x25519_pk)
        routing = {"ephemeral_key": client.x25519_pk.hex()} | ({"enc_type": used.value} if enc_type else {})
        blob = onion.encrypt(key, payload, os.urandom(used.nonce_bytes))
        answer = self.request("POST", "/oxen/v4/lsrpc", {}, onion.frame(blob, routing))
        assert answer.status == 200, answer.text
        assert answer.headers["content-type"] == "application/octet-stream"
        inner = onion.decode_v4_response(onion.open_reply(key, answer.body))
        return Reply(inner.code, inner.headers, inner.body)

    def onion_v3(
        self,
        payload: bytes,
        *,
        path: str = "/oxen/v3/lsrpc",
        enc_type: EncryptionType = EncryptionType.XCHACHA20,
    ) -> bytes:
        """Send a v3 payload and return what comes back inside."""
        client = Account.from_seed(os.urandom(32))
        key = onion.client_key(enc_type, client.x25519_sk, client.x25519_pk, self.x25519_pk)
        routing = {"ephemeral_key": client.x25519_pk.hex(), "enc_type": enc_type.value}
        blob = onion.encrypt(key, payload, os.urandom(enc_type.nonce_bytes))
        answer = self.request("POST", path, {}, onion.frame(blob, routing))
        assert answer.status == 200, answer.text
        return onion.open_v3_reply(key, answer.body)


@dataclass(slots=True)
class Signer:
    """Sign requests as one account; every nonce is new."""

    account: Account
    server_pk: bytes
    clock: Clock
    mode: Any = "unblinded"
    _count: Iterator[int] = field(default_factory=itertools.count)

    def headers(self, method: str, target: str, body: bytes | None = None) -> dict[str, str]:
        nonce = os.urandom(8) + next(self._count).to_bytes(8, "big")
        return auth_headers(
            self.account,
            self.server_pk,
            method,
            target,
            body,
            nonce=nonce,
            timestamp_s=self.clock.now_ms() // 1000,
            mode=self.mode,
        )

    def ask(self, server: CommunityServer, method: str, target: str, document: Any = None) -> Reply:
        """Ask without a socket, for tests that ask a lot."""
        body = b"" if document is None else orjson.dumps(document)
        headers = self.headers(method, target, body)
        if body:
            headers["Content-Type"] = "application/json"
        answer = server.handle(ServiceRequest.from_target(method, target, headers, body))
        return Reply(answer.status, answer.headers, answer.body)


Way = Literal["direct", "onion"]


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who asks a community server over a socket: signed or not, directly or through an onion."""

    served: Served
    signer: Signer | None
    way: Way

    @property
    def id(self) -> str:
        """The id under which the server knows who asks."""
        assert self.signer is not None
        account, server_pk = self.signer.account, self.signer.server_pk
        return account.account_id if self.signer.mode == "unblinded" else blind15_key(account, server_pk).id

    def ask(
        self,
        method: str,
        target: str,
        document: Any = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a JSON document, or bytes."""
        sent = dict(headers or {})
        if document is not None:
            body = orjson.dumps(document)
            sent |= {"Content-Type": "application/json"}
        if self.signer is not None:
            sent |= self.signer.headers(method, target, body)
        if self.way == "onion":
            return self.served.onion(method, target, sent, body)
        return self.served.request(method, target, sent, body)

    def get(self, target: str) -> Any:
        """Return the JSON that a path answers with."""
        return self.answered(200, "GET", target)

    def answered(self, status: int, method: str, target: str, document: Any = None, **options: Any) -> Any:
        """Ask, check the status, and return the JSON answer (None where it is none)."""
        answer = self.ask(method, target, document, **options)
        assert answer.status == status, (answer.status, answer.body)
        return answer.json() if answer.headers.get("content-type") == "application/json" else None


@dataclass(frozen=True, slots=True)
class Community:
    """A community server that is served, and who comes there."""

    server: CommunityServer
    served: Served
    clock: Clock
    accounts: Callable[[str], Account]
    way: Way

    def member(self, name: str, mode: Any = "unblinded") -> Member:
        signer = Signer(self.accounts(name), self.served.x25519_pk, self.clock, mode)
        return Member(self.served, signer, self.way)

    @property
    def anonymous(self) -> Member:
        return Member(self.served, None, self.way)

    def ban_from(self, token: str, member: Member) -> None:
        """Ban a member from one room."""
        room = self.server._stores.rooms.find(token)
        assert room is not None
        user = self.server._stores.users.find_or_add(member.id, now_ms=self.clock.now_ms())
        self.server._database.execute(
            "INSERT INTO room_overrides(room, user, banned) VALUES (?, ?, 1)", (room.id, user.id)
        )


@pytest.fixture(params=["direct", "onion"])
def open_community(
    request: pytest.FixtureRequest,
    clock: Clock,
    trace: Trace,
    serve: Callable[..., Served],
    accounts: Callable[[str], Account],
) -> Callable[..., Community]:
    """Serve a community with the rooms ``lobby`` and ``annex`` that is asked one way or the other."""

    def start(**options: Any) -> Community:
        settings = {
            "rooms": (RoomSpec("lobby", "Lobby"), RoomSpec("annex", "Annex")),
            "require_blinding": False,
            "rate_limit": False,
        } | options
        server = CommunityServer(bytes(range(32)), clock=clock, trace=trace, **settings)
        return Community(server, serve(server), clock, accounts, request.param)

    return start


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until a test moves it."""
    return Clock(lambda: NOW_S * 1_000_000_000)


@pytest.fixture
def trace(clock: Clock) -> Trace:
    return Trace(clock)


@pytest.fixture
def vectors() -> Callable[[str], Any]:
    return lambda name: json.loads((DATA / f"{name}.json").read_text())


@pytest.fixture
def serve() -> Iterator[Callable[["FileServer | CommunityServer"], Served]]:
    """Serve applications in a thread of their own until the test ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="servers under test")
    thread.start()
    runners: list[web.AppRunner] = []

    async def start(application: web.Application) -> int:
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(DEADLINE_S)

    servers: list[FileServer | CommunityServer] = []

    def serve_one(server: FileServer | CommunityServer) -> Served:
        servers.append(server)
        return Served(run(start(server.application())), bytes.fromhex(server.public_key))

    yield serve_one
    for runner in runners:
        run(runner.cleanup())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(DEADLINE_S)
    loop.close()
    for server in servers:
        server.close()


@pytest.fixture
def accounts() -> Callable[[str], Account]:
    """Accounts that follow from a name."""
    return lambda name: Account.from_seed(name.encode().ljust(32, b"."))


@pytest.fixture
def signer(clock: Clock, accounts: Callable[[str], Account]) -> Callable[..., Signer]:
    def make(name: str, server: CommunityServer, mode: Any = "unblinded") -> Signer:
        return Signer(accounts(name), bytes.fromhex(server.public_key), clock, mode)

    return make


@dataclass(slots=True)
class Poster:
    """Write into rooms over the socket as apps do: signed, padded, under a blinded id."""

    signer: Signer
    served: Served

    @property
    def id(self) -> str:
        return blind15_key(self.signer.account, self.signer.server_pk).id

    def say(self, text: str | None = None, room: str = "lobby", **content: Any) -> int:
        """Post a message; ``data`` instead of a text goes out as it is."""
        return int(self._send("POST", f"/room/{room}/message", self._signed(text, content)).json()["id"])

    def edit(self, message_id: int, text: str, room: str = "lobby", **content: Any) -> None:
        self._send("PUT", f"/room/{room}/message/{message_id}", self._signed(text, content))

    def delete(self, message_id: int, room: str = "lobby") -> None:
        self._send("DELETE", f"/room/{room}/message/{message_id}")

    def upload(self, body: bytes, room: str = "lobby") -> int:
        target = f"/room/{room}/file"
        answer = self.served.request("POST", target, self.signer.headers("POST", target, body), body)
        assert answer.status == 201, answer.text
        return int(answer.json()["id"])

    def react(self, message_id: int, emoji: str, room: str = "lobby", *, add: bool = True) -> None:
        target = f"/room/{room}/reaction/{message_id}/{quote(emoji, safe='')}"
        self._send("PUT" if add else "DELETE", target)

    def do(self, method: str, target: str, document: Any = None) -> Any:
        """Ask for anything else, in JSON."""
        return self._send(method, target, document).json()

    def _signed(self, text: str | None, content: dict[str, Any]) -> dict[str, Any]:
        data = content.pop("data", None)
        signature = content.pop("signature", None)
        if data is None:
            body = {} if text is None else {"body": text}
            data = pad(build_content({"kind": "text", **body, **content}))
        if signature is None:
            signature = sign_community_message(self.signer.account, self.signer.server_pk, data, blinded=True)
        return {"data": b64encode(data).decode(), "signature": b64encode(signature).decode()}

    def _send(self, method: str, target: str, document: Any = None) -> Reply:
        body = b"" if document is None else orjson.dumps(document)
        headers = self.signer.headers(method, target, body) | {"Content-Type": "application/json"}
        answer = self.served.request(method, target, headers, body)
        assert answer.is_success, answer.text
        return answer


@pytest.fixture
def poster(signer: Callable[..., Signer]) -> Callable[..., Poster]:
    def make(name: str, server: CommunityServer, served: Served) -> Poster:
        return Poster(signer(name, server, "blinded15"), served)

    return make


@dataclass(frozen=True, slots=True)
class Town:
    """A community in test mode with the rooms ``test-room`` and ``room2``, and who is what in the first."""

    community: Community
    user: Member
    user2: Member
    mod: Member
    admin: Member
    global_mod: Member
    global_admin: Member

    @property
    def anonymous(self) -> Member:
        return self.community.anonymous

    @property
    def clock(self) -> Clock:
        return self.community.clock

    def control(self, op: str, status: int = 200, **arguments: Any) -> Any:
        """Carry out an operation of the control endpoint."""
        body = orjson.dumps({"op": op, **arguments})
        headers = {"Authorization": f"Bearer {CONTROL_TOKEN}", "Content-Type": "application/json"}
        answer = self.community.served.request("POST", "/_control", headers, body)
        assert answer.status == status, (answer.status, answer.body)
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    def may(self, member: Member | None, *wanted: str, room: str = "test-room") -> bool:
        """Ask the control endpoint whether somebody has all these rights or roles."""
        session_id = None if member is None else member.id
        allowed = self.control("check", token=room, session_id=session_id, **dict.fromkeys(wanted, True))
        assert isinstance(allowed, bool)
        return allowed


CONTROL_TOKEN = "the control token of the tests"


@pytest.fixture
def open_town(
    clock: Clock, trace: Trace, serve: Callable[..., Served], accounts: Callable[[str], Account]
) -> Callable[..., Town]:
    """Serve a community in test mode, with people in all roles."""

    def start(**options: Any) -> Town:
        rooms = (
            RoomSpec("test-room", "Test room", "Test suite testing room"),
            RoomSpec("room2", "Room 2", "Test suite testing room2"),
        )
        settings = {"rooms": rooms, "require_blinding": False, "rate_limit": False} | options
        server = CommunityServer(
            bytes(range(32)), clock=clock, trace=trace, control_token=CONTROL_TOKEN, **settings
        )
        community = Community(server, serve(server), clock, accounts, "direct")
        people = {
            name: community.member(name)
            for name in ("user", "user2", "mod", "admin", "global_mod", "global_admin")
        }
        for name in ("user", "user2"):
            server._stores.users.seen(people[name].id, now_ms=clock.now_ms())
        server.give_role(Role(people["mod"].id, "test-room"))
        server.give_role(Role(people["admin"].id, "test-room", admin=True))
        server.give_role(Role(people["global_mod"].id))
        server.give_role(Role(people["global_admin"].id, admin=True))
        return Town(community, **people)

    return start


@pytest.fixture
def town(open_town: Callable[..., Town]) -> Town:
    return open_town()
