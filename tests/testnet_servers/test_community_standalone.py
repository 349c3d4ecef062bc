"""The community server as a process of its own: ready line, signals, restarts, errors."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from session_protocol.accounts import Account
from session_protocol.community import auth_headers
from session_testnet.services.community.standalone import main

DEADLINE_S = 30
MODULE = [sys.executable, "-m", "session_testnet.services.community"]


@dataclass
class Standalone:
    """A running server; its ready line has been read."""

    process: "subprocess.Popen[bytes]"
    ready: dict[str, Any]
    _last: int = field(default=0)

    def request(
        self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        host = self.ready["listen"][0].removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=DEADLINE_S)
        try:
            sent = None if body is None else json.dumps(body).encode()
            connection.request(method, target, sent, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        is_json = answer.headers["Content-Type"] == "application/json"
        return answer.status, json.loads(content) if is_json else content

    def signed(self, account: Account, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        sent = None if body is None else json.dumps(body).encode()
        headers = auth_headers(
            account,
            bytes.fromhex(self.ready["public_key"]),
            method,
            target,
            sent,
            nonce=os.urandom(16),
            timestamp_s=int(time.time()),
            mode="unblinded",
        )
        return self.request(method, target, body, headers)

    def control(self, op: str, **arguments: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.ready['control_token']}"}
        status, result = self.request("POST", "/_control", {"op": op, **arguments}, headers)
        assert status == 200, result
        return result

    def end(self, number: signal.Signals) -> tuple[int, bytes]:
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, err


@pytest.fixture
def start() -> Iterator[Callable[..., Standalone]]:
    started: list[subprocess.Popen[bytes]] = []

    def one(*arguments: str | Path) -> Standalone:
        process = subprocess.Popen(
            [*MODULE, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=DEADLINE_S)[1].decode()
        return Standalone(process, json.loads(line))

    yield one
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_says_where_it_is_and_ends_with_a_signal(
    start: Callable[..., Standalone], number: signal.Signals
) -> None:
    server = start("--room", "lobby", "--room", "annex", "--name", "alone")
    public_key = server.ready["public_key"]
    assert len(bytes.fromhex(public_key)) == 32
    listen = server.ready["listen"]
    expected = {
        "ready": True,
        "role": "community",
        "name": "alone",
        "listen": listen,
        "public_key": public_key,
    }
    assert server.ready == expected
    status, rooms = server.request("GET", "/rooms")
    assert (status, [room["token"] for room in rooms]) == (200, ["annex", "lobby"])
    assert server.request("GET", "/capabilities")[1]["capabilities"] == ["blind", "reactions", "sogs"]
    assert server.request("POST", "/_control", {"op": "reset"})[0] == 404
    assert server.end(number) == (0, b"")


def test_what_is_no_http_is_refused_and_leaves_no_traceback(start: Callable[..., Standalone]) -> None:
    server = start()
    host, _, port = server.ready["listen"][0].removeprefix("http://").rpartition(":")
    for wrong in (
        b"GET a b c",
        b"\x16\x03\x01",
        b"GET / HTTP/1.1\r\nContent-Length: x",
        b"GET / HTTP/1.1\r\n: x",
    ):
        with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connection:
            connection.sendall(wrong + b"\r\n\r\n")
            assert connection.recv(12)[9:] == b"400"
    assert server.request("GET", "/capabilities")[0] == 200
    assert server.end(signal.SIGTERM) == (0, b"")


def test_test_mode_has_a_token_and_no_blinding(start: Callable[..., Standalone]) -> None:
    server = start("--test-mode")
    assert len(server.ready["control_token"]) >= 16
    assert server.request("GET", "/capabilities")[1]["capabilities"] == ["reactions", "sogs"]
    assert server.control("reset") == {"server_pubkey": server.ready["public_key"]}
    assert server.end(signal.SIGTERM) == (0, b"")
    server = start("--test-mode", "--control-token", "mine", "--require-blinding")
    assert server.ready["control_token"] == "mine"
    assert "blind" in server.request("GET", "/capabilities")[1]["capabilities"]
    assert server.end(signal.SIGINT) == (0, b"")


def test_keeps_what_it_has_acknowledged_when_it_is_killed(
    start: Callable[..., Standalone], tmp_path: Path
) -> None:
    directory = tmp_path / "not" / "yet"
    arguments = ("--directory", directory, "--test-mode", "--room", "lobby")
    admin, writer = (Account.from_seed(name * 32) for name in (b"a", b"w"))
    server = start(*arguments)
    server.control("config", key="rate_limit", value=False)
    server.control("room_create", token="garden", name="Garden", description="Plants")
    server.control("role", session_id=admin.account_id, room="garden", admin=True)
    server.control("ban", session_id="05" + "22" * 32, banned=True)
    posted = []
    for number in range(20):
        data = base64.b64encode(b"message %d" % number).decode()
        body = {"data": data, "signature": base64.b64encode(bytes(64)).decode()}
        status, post = server.signed(writer, "POST", "/room/garden/message", body)
        assert status == 201
        posted.append(post)
    target = f"/room/garden/permissions/{writer.account_id}"
    assert server.signed(admin, "POST", target, {"upload": False})[0] == 200
    assert server.signed(admin, "PUT", "/room/garden", {"name": "New garden"})[0] == 200
    _, before = server.signed(admin, "GET", "/room/garden")
    key = server.ready["public_key"]
    assert server.end(signal.SIGKILL)[0] == -signal.SIGKILL

    server = start(*arguments)
    assert server.ready["public_key"] == key
    assert server.control("room_list") == ["garden", "lobby"]
    assert server.signed(admin, "GET", "/room/garden") == (200, before)
    assert (before["name"], before["admin"], before["message_sequence"]) == ("New garden", True, 20)
    assert server.request("GET", "/room/garden/messages/since/0?limit=256") == (200, posted)
    assert server.signed(admin, "GET", target) == (200, {"upload": False})
    assert server.control("user", session_id="05" + "22" * 32)["banned"] is True
    assert server.end(signal.SIGTERM) == (0, b"")


def test_key_files_are_made_for_their_owner_and_read_again(
    start: Callable[..., Standalone], tmp_path: Path
) -> None:
    file = tmp_path / "below" / "key"
    first = start("--key-file", file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_bytes()) == 32
    assert [path.name for path in file.parent.iterdir()] == ["key"]
    second = start("--key-file", file)
    assert second.ready["public_key"] == first.ready["public_key"]
    assert second.ready["listen"] != first.ready["listen"]


def test_what_cannot_be_is_said_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    short = tmp_path / "short"
    short.write_bytes(b"x" * 31)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "community.sqlite").write_bytes(b"something else")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for code, word, arguments in [
            (2, "has 31 bytes", ["--key-file", str(short)]),
            (2, "Is a directory", ["--key-file", str(tmp_path)]),
            (2, "not an SQLite database", ["--directory", str(foreign)]),
            (2, "Not a directory", ["--directory", str(short / "x")]),
            (2, "is no room token", ["--room", "a b"]),
            (2, f"127.0.0.1:{port}", ["--port", port]),
            (64, "--test-mode", ["--control-token", "x"]),
        ]:
            assert main(arguments) == code
            out, err = capfd.readouterr()
            assert out == ""
            assert err.startswith("error: ")
            assert word in err.splitlines()[0]
    with pytest.raises(SystemExit, match="2"):
        main(["--port", "x"])


def test_a_refusal_ends_the_process() -> None:
    done = subprocess.run(
        [*MODULE, "--room", "a b"], capture_output=True, timeout=DEADLINE_S, check=False, text=True
    )
    hint = "hint: a token has 1 to 64 letters, digits, hyphens or underscores"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["error: 'a b' is no room token", hint]
