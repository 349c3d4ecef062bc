"""Thousands of hostile requests to every route of the servers: documented statuses only, and they go on.

Routes come from the servers themselves, so that a new one is attacked as soon as it is there. A failure names
the seed and the number of the request; the same seed makes the same requests.
"""

import http.client
import json
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest

from session_protocol import bencode
from session_testnet.clock import Clock
from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.exchange import Router
from session_testnet.services.files import FileServer
from session_testnet.services.push import PushServer
from session_testnet.topology import RoomSpec
from session_testnet.topology_file_server import FilesSpec
from session_testnet.trace import Trace

SEED = bytes(range(32))
NOW_S = 1_760_000_000
DEADLINE_S = 10
SIGNATURE = "A" * 86 + "=="
SOMEBODY = "05" + "ab" * 32
SOMEBODY_BLINDED = "15" + "58" + "66" * 31

SQL = [
    "'; DROP TABLE posts; --",
    "' OR '1'='1",
    '"; DELETE FROM files; --',
    "1); ATTACH 'x' AS y; --",
    "%_\\",
]
HTML = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}{% raw %}", "&lt;&#0;"]
PATHS = [
    "..",
    "../../etc/passwd",
    "..%2f..%2fkey_x25519",
    "%00",
    "/",
    "//",
    "\\..\\x",
    "C:\\x",
    ".",
    "~",
    "a" * 300,
]
ODD = ["", " ", "\x00", "\u202e", "🍍", "é", "٣", "\ud800", "\r\nX: y", "x" * 5000, "nan", "-0", "1e309"]
NUMBERS = ["0", "1", "2", "3", "9" * 18, "9" * 19, "9" * 60, "-1", "1.5", "0x1", "+1", "٣", "1'--"]
IDS = [SOMEBODY, SOMEBODY_BLINDED, "25" + "00" * 32, "05", "15" + "zz" * 32, "05" + "AB" * 32]
TEXTS = SQL + HTML + PATHS + ODD
QUERIES = [
    "",
    "",
    "?",
    "?limit=",
    "?limit=9&limit=x",
    "?reactors=99999999999999999999",
    "?t=r",
    "?%ff=%00",
    "?a&&=;",
]
QUERIES += ["?required=sogs,x", "?since=0", "?since=9&info=x", "?before=1", "?platform=desktop", "?days=-1"]
QUERIES += ["?public_key=" + "0" * 64]
TYPES = [
    "application/json",
    "application/json",
    "application/json",
    "application/octet-stream",
    "text/plain",
    "",
]
TYPES += [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/x+json;charset=x",
]
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "get", "X-Y"]
DISPOSITIONS = [
    "attachment; filename=..",
    'attachment; filename="../../x\\"y"',
    "filename*=UTF-8''%00%2f..%ff",
    ";=;",
]

# Right documents; one member or another of them is made wrong.
POST = {"data": "YQ==", "signature": SIGNATURE, "files": [1], "whisper_to": SOMEBODY, "whisper_mods": True}
ROOM = {"name": "n", "description": "d", "image": 1, "default_read": True, "default_accessible": True}
ROLE = {"rooms": ["lobby"], "global": False, "moderator": True, "admin": True, "visible": True, "timeout": 1}
RIGHTS = {
    "read": True,
    "default_write": True,
    "upload": False,
    "accessible": True,
    "unschedule": True,
    "in": 5,
}
BATCH = [{"method": "GET", "path": "/rooms"}, {"method": "POST", "path": "/room/lobby/message", "json": POST}]
BATCH += [{"method": "POST", "path": "/room/lobby/file", "b64": "YQ==", "headers": {"x": "y"}}]
SUBSCRIPTION = {
    "pubkey": SOMEBODY,
    "session_ed25519": "cd" * 32,
    "subaccount": "03010000" + "ab" * 32,
    "subaccount_sig": SIGNATURE,
    "namespaces": [-400, 0, 1],
    "data": True,
    "sig_ts": NOW_S,
    "signature": SIGNATURE,
    "service": "firebase",
    "service_info": {"token": "t"},
    "enc_key": "ab" * 32,
}
DOCUMENTS: list[Any] = [POST, ROOM, ROLE, RIGHTS, BATCH, {"message": "YQ=="}, {"file": "YQ=="}, SUBSCRIPTION]

COMMUNITY = {200, 201, 304, 308, 400, 401, 403, 404, 405, 406, 412, 413, 425}
FILES = {200, 400, 401, 404, 405, 413, 425, 502}
PUSH = {200, 400, 404, 405}


@dataclass(frozen=True)
class Hostile:
    """One request, before it goes one way or the other; a target is a path with its query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Attacker:
    """Make hostile requests for the routes of a server."""

    rng: random.Random
    routes: Sequence[tuple[str, str]]
    sent: list[Hostile] = field(default_factory=list)

    def value(self) -> Any:
        """Anything that JSON can say, and some that it cannot."""
        pick: list[Any] = [
            None,
            True,
            False,
            0,
            -1,
            2**63,
            2**64,
            10**400,
            1.5,
            1e308,
            float("nan"),
            [],
            {},
            [[]],
        ]
        pick += [
            ["*"],
            ["lobby", "lobby"],
            [None],
            {"token": {}},
            self.nested(),
            *IDS,
            *NUMBERS,
            *TEXTS,
            *TEXTS,
        ]
        return self.rng.choice(pick)

    def nested(self) -> Any:
        value: Any = 1
        for _ in range(self.rng.choice([5, 300])):
            value = [value] if self.rng.random() < 0.5 else {"x": value}
        return value

    def document(self, value: Any) -> Any:
        """A right document with some of its members wrong, missing or new."""
        if isinstance(value, list):
            return [self.document(each) if self.rng.random() < 0.4 else each for each in value] or [
                self.value()
            ]
        if not isinstance(value, dict):
            return self.value()
        made = {name: each for name, each in value.items() if self.rng.random() < 0.8}
        for name in self.rng.sample(sorted(value), min(len(value), self.rng.choice([0, 1, 1, 2]))):
            made[name] = self.document(value[name]) if self.rng.random() < 0.3 else self.value()
        return made

    def body(self) -> bytes:
        kind = self.rng.random()
        if kind < 0.15:
            return b""
        if kind < 0.25:
            return self.rng.randbytes(self.rng.choice([1, 100, 3000]))
        written = json.dumps(self.document(self.rng.choice(DOCUMENTS))).encode()
        return written[: self.rng.randrange(len(written))] if kind < 0.3 else written

    def part(self, kind: str) -> str:
        """What takes the place of a part of a path; mostly such that the route matches."""
        good = {"int": NUMBERS[:6], "room": ["lobby", "LOBBY", "annex", "nowhere"]}.get(kind) or (
            IDS[:2] if "id" in kind else ["1", "x", "🍍"]
        )
        text = self.rng.choice(good if self.rng.random() < 0.7 else [*NUMBERS, *IDS, *TEXTS])
        return text.replace("\ud800", "") if self.rng.random() < 0.3 else quote(text, errors="replace")

    def request(self) -> Hostile:
        method, template = self.rng.choice(self.routes)
        if self.rng.random() < 0.15:
            method = self.rng.choice(METHODS)
        pieces = template.replace("}", "{").split("{")
        for at in range(1, len(pieces), 2):
            pieces[at] = self.part(pieces[at].partition(":")[2] or pieces[at])
        target = "".join(pieces) + self.rng.choice(QUERIES)
        headers = {"Host": "127.0.0.1", "Content-Type": self.rng.choice(TYPES)}
        for name in self.rng.sample(EXTRA, self.rng.choice([0, 0, 1, 2])):
            headers[name] = self.rng.choice(
                DISPOSITIONS if "Disposition" in name else [*NUMBERS, *IDS, *TEXTS]
            )
        body = self.body() if method in ("POST", "PUT", "PATCH") or self.rng.random() < 0.1 else b""
        made = Hostile(method, target, headers, body)
        self.sent.append(made)
        return made


EXTRA = [
    "Content-Disposition",
    "X-FS-TTL",
    "X-FS-Pubkey",
    "X-FS-Timestamp",
    "X-FS-Signature",
    "Host",
    "Accept",
]
EXTRA += ["X-SOGS-Pubkey", "X-SOGS-Nonce", "X-SOGS-Timestamp", "X-SOGS-Signature", "Range", "If-None-Match"]


def over_a_socket(port: int, asked: Hostile) -> int:
    """Write a request as it is, whatever it is, and return the status of the answer."""
    wire = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items() if value.isprintable())
    line = f"{asked.method} {asked.target} HTTP/1.1\r\n{wire}Content-Length: {len(asked.body)}\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)) as connection:
        connection.sendall(line.encode("utf-8", "replace") + asked.body)
        answer = http.client.HTTPResponse(connection, method=asked.method)
        answer.begin()
        answer.read()
        return answer.status


def inside_v4(served: Any, asked: Hostile) -> int:
    info = {"method": asked.method, "endpoint": asked.target, "headers": dict(asked.headers)}
    return int(served.onion_payload(bencode.encode([json.dumps(info).encode(), asked.body])).status)


def inside_v3(served: Any, asked: Hostile) -> int:
    info = {"method": asked.method, "endpoint": asked.target, "headers": dict(asked.headers)}
    text = asked.body.decode("utf-8", "replace")
    answer = served.onion_v3(json.dumps(info | ({"body": text} if text else {})).encode())
    try:
        found = json.loads(answer)
    except ValueError:
        return 200
    return int(found["status_code"]) if isinstance(found, dict) and "status_code" in found else 200


def routes_of(*routers: Router[Any]) -> list[tuple[str, str]]:
    return [
        (method, template)
        for router in routers
        for template, route in router._routes.items()
        for method in route.handlers
        if not template.endswith("/lsrpc")
    ] + [("POST", "/oxen/v4/lsrpc"), ("GET", "{any}"), ("GET", "/{any}/{any}")]


@pytest.fixture
def defects(trace: Trace) -> list[Any]:
    """Every error that a server catches; one that it answers nicely all the same is a defect too."""
    found: list[Any] = []
    trace.listen(lambda event: found.append(event) if str(event["kind"]).endswith("_error") else None)
    return found


def attack(
    served: Any,
    attacker: Attacker,
    ways: Sequence[Callable[[Any, Hostile], int]],
    count: int,
    allowed: set[int],
) -> set[int]:
    """Send so many requests; return the statuses that came."""
    seen = set()
    for number in range(count):
        asked, way = attacker.request(), attacker.rng.choice(ways)
        status = way(served, asked)
        assert status in allowed, f"request {number} was answered {status} {way.__name__}: {asked}"
        seen.add(status)
    return seen


def directly(served: Any, asked: Hostile) -> int:
    return over_a_socket(served.port, asked)


# In all 10,000 in the nightly run.
LONG = [pytest.param(seed, 1000, marks=pytest.mark.nightly) for seed in (2, 3, 4, 5, 6)]


@pytest.mark.parametrize("who", ["nobody", "member", "admin"])
@pytest.mark.parametrize(("seed", "count"), [(1, 100), *LONG[:2]])
def test_the_community_server_answers_as_documented(
    clock: Clock,
    trace: Trace,
    serve: Callable[..., Any],
    signer: Callable[..., Any],
    defects: list[Any],
    seed: int,
    count: int,
    who: str,
) -> None:
    server = CommunityServer(
        SEED,
        clock=clock,
        trace=trace,
        rooms=(RoomSpec("lobby"), RoomSpec("annex")),
        require_blinding=False,
        rate_limit=False,
    )
    admin, member = signer("admin", server), signer("member", server)
    server.give_role(Role(admin.account.account_id, admin=True))
    served = serve(server)
    for _ in range(3):
        asked = ("POST", "/room/lobby/message", {"data": "YQ==", "signature": SIGNATURE})
        assert member.ask(server, *asked).status == 201
    pages = server._router._otherwise.__self__._router  # type: ignore[attr-defined]
    attacker = Attacker(random.Random(f"{seed} {who}"), routes_of(server._router, pages))

    def signed(send: Callable[[Any, Hostile], int]) -> Callable[[Any, Hostile], int]:
        key = admin if who == "admin" else member

        def go(served: Any, asked: Hostile) -> int:
            headers = {k: v for k, v in asked.headers.items() if not k.startswith("X-SOGS")}
            target = asked.target.encode("utf-8", "replace").decode()
            return send(
                served,
                Hostile(
                    asked.method, target, headers | key.headers(asked.method, target, asked.body), asked.body
                ),
            )

        return go

    ways: list[Callable[[Any, Hostile], int]] = [directly, directly, inside_v4, inside_v3]
    if who != "nobody":
        ways += [signed(directly)] * 6 + [signed(inside_v4)] * 3
    seen = attack(served, attacker, ways, count, COMMUNITY)
    assert seen >= {200, 400, 404, 405}
    assert defects == []
    # It goes on, with everything in its place.
    posted = admin.ask(server, "POST", "/room/lobby/message", {"data": "Yg==", "signature": SIGNATURE})
    assert posted.status == 201
    read = admin.ask(server, "GET", f"/room/lobby/message/{posted.json()['id']}")
    assert (read.status, read.json()["data"]) == (200, "Yg==")
    assert [tuple(row) for row in server._database.execute("PRAGMA integrity_check")] == [("ok",)]
    assert server._database.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("id_mode", ["numeric", "hash"])
@pytest.mark.parametrize(("seed", "count"), [(1, 100), pytest.param(2, 1000, marks=pytest.mark.nightly)])
def test_the_file_server_answers_as_documented(
    clock: Clock,
    trace: Trace,
    serve: Callable[..., Any],
    defects: list[Any],
    tmp_path: Any,
    seed: int,
    count: int,
    id_mode: str,
) -> None:
    spec = FilesSpec(id_mode, max_size=2000)
    server = FileServer(SEED, clock=clock, trace=trace, directory=tmp_path / "files", spec=spec)
    served = serve(server)
    kept = served.request("POST", "/file", body=b"kept").json()["id"]
    attacker = Attacker(random.Random(f"{seed} {id_mode}"), routes_of(server._router))
    seen = attack(served, attacker, [directly, directly, inside_v4], count, FILES)
    assert seen >= {200, 400, 404, 405, 413}
    assert defects == []
    assert served.request("GET", f"/file/{kept}").body == b"kept"
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


class NoNodes:
    """A network in which nobody keeps anything."""

    def swarm(self, account: bytes) -> Sequence[str]:
        return ()

    async def subscribe(self, node: str, hear: Any, request: bytes) -> bytes | None:
        return None


@pytest.mark.parametrize(("seed", "count"), [(1, 120), pytest.param(2, 2000, marks=pytest.mark.nightly)])
def test_the_push_server_answers_as_documented(
    clock: Clock, trace: Trace, serve: Callable[..., Any], defects: list[Any], seed: int, count: int
) -> None:
    server = PushServer(SEED, clock=clock, trace=trace, link=NoNodes())
    served = serve(server)
    attacker = Attacker(random.Random(f"{seed} push"), routes_of(server._router))
    seen = attack(served, attacker, [directly, directly, inside_v4], count, PUSH)
    assert seen >= {200, 400, 404, 405}
    assert defects == []
    assert served.request("POST", "/subscribe", body=b"{}").json()["error"] == 1
