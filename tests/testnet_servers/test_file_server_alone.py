"""The file server as a process of its own: started, ended, killed, started again."""

import contextlib
import http.client
import json
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest

from session_testnet.services.files.standalone import main, read_or_make_seed

DEADLINE_S = 30
READY_KEYS = ["ready", "role", "name", "listen", "pubkey_ed25519", "pubkey_x25519"]


class Running:
    """A server process that has said where it listens."""

    def __init__(self, *options):
        command = [sys.executable, "-m", "session_testnet.services.files", *map(str, options)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # Whoever never gets ready is killed, which ends the wait for its line.
        watchdog = threading.Timer(DEADLINE_S, self.process.kill)
        watchdog.start()
        self.ready = json.loads(self.process.stdout.readline())
        watchdog.cancel()
        self.port = int(self.ready["listen"][0].rpartition(":")[2])

    def request(self, method, target, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        with contextlib.closing(connection):
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def upload(self, body, **headers):
        status, answer = self.request("POST", "/file", body, headers)
        assert status == 200
        return json.loads(answer)["id"]

    def end(self, number):
        """Send a signal; return the exit code and what is left of the output."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err


@pytest.fixture
def run():
    running = []

    def start(*options):
        running.append(Running(*options))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate(timeout=DEADLINE_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_says_that_it_is_ready_and_a_signal_ends_it(run, number):
    server = run("--name", "mine", "--id-mode", "hash", "--max-size", "5")
    assert list(server.ready) == READY_KEYS
    assert (server.ready["ready"], server.ready["role"], server.ready["name"]) == (True, "files", "mine")
    assert server.ready["listen"] == [f"127.0.0.1:{server.port}"]
    assert len(server.upload(b"12345")) == 44
    assert server.request("POST", "/file", b"123456")[0] == 413
    assert server.end(number) == (0, "", "")


def test_a_signal_ends_it_also_while_an_upload_is_going_on(run, tmp_path):
    server = run("--directory", tmp_path)
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as connection:
        connection.sendall(b"POST /file HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf of it")
        assert server.request("GET", "/file/1")[0] == 404
        assert server.end(signal.SIGTERM)[0] == 0


def test_a_killed_server_has_everything_that_it_acknowledged(run, tmp_path):
    first = run("--directory", tmp_path)
    kept = {first.upload(body): body for body in (b"one", b"two" * 100_000, bytes(1))}
    with socket.create_connection(("127.0.0.1", first.port), timeout=DEADLINE_S) as connection:
        connection.sendall(
            b"POST /file HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + bytes(50_000)
        )
        # Requests are answered in one loop: an answer afterwards shows that the half has been taken.
        while len(bodies(tmp_path)) < 4:
            assert first.request("GET", "/file/1")[0] == 404
        first.end(signal.SIGKILL)
    assert len(bodies(tmp_path)) == 4
    second = run("--directory", tmp_path)
    assert second.ready["pubkey_ed25519"] == first.ready["pubkey_ed25519"]
    assert second.ready["pubkey_x25519"] == first.ready["pubkey_x25519"]
    assert {file_id: second.request("GET", f"/file/{file_id}") for file_id in kept} == {
        file_id: (200, body) for file_id, body in kept.items()
    }
    assert sorted(bodies(tmp_path)) == sorted(kept)


def bodies(directory):
    return [path.name for path in (directory / "files").rglob("*") if path.is_file()]


def test_a_key_file_is_made_once_and_read_again(tmp_path):
    path = tmp_path / "new" / "key"
    seed = read_or_make_seed(path)
    assert len(seed) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_make_seed(path) == seed
    path.write_text(seed.hex().upper() + "\n")
    assert read_or_make_seed(path) == seed


def test_a_server_uses_the_key_of_its_file(run, tmp_path):
    (tmp_path / "key").write_bytes(bytes(range(32)))
    ready = run("--key-file", tmp_path / "key").ready
    assert ready["pubkey_ed25519"] == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-size", "0"], "max_size goes from 1"),
        (["--default-ttl", "0"], "default_ttl_s goes from 1"),
        (["--key-file", "{tmp}/bad"], "holds no key"),
        (["--key-file", "{tmp}"], "cannot be read"),
        (["--key-file", "{tmp}/bad/key"], "cannot be read"),
        (["--directory", "{tmp}/used"], "not an SQLite database"),
        (["--host", "192.0.2.1"], "does not belong to this machine"),
        (["--port", "70000"], "to 65535"),
        (["--directory", "{tmp}/bad"], "cannot be read"),
    ],
)
def test_what_cannot_start_says_why(tmp_path, capsys, options, message):
    (tmp_path / "bad").write_text("no key")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "files.sqlite").write_text("no database, but long enough to be read as one" * 3)
    assert main([option.format(tmp=tmp_path) for option in options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") <= 2


def test_a_taken_port_is_named(run, capsys):
    server = run()
    assert main(["--port", str(server.port)]) == 2
    assert "another program listens" in capsys.readouterr().err


def test_unknown_options_are_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--id-mode", "uuid"])
    assert ended.value.code == 2
    assert "numeric" in capsys.readouterr().err
