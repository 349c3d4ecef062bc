"""Bodies on their way through the file server: piece by piece, whole or not at all (file-server §3)."""

import http.client
import itertools
import socket
import threading
import tracemalloc

import pytest

from session_protocol import onion
from session_protocol.accounts import Account
from session_protocol.onion import EncryptionType
from session_testnet.services import exchange
from session_testnet.services.blobs import DirectoryBlobs, MemoryBlobs
from session_testnet.services.exchange import ServiceRequest
from session_testnet.services.files import FileServer
from session_testnet.services.files.upload import Upload
from session_testnet.topology_file_server import FilesSpec

SEED = bytes(range(32))
DEADLINE_S = 10
BODY_BYTES = 10_000_000
PIECE = bytes(range(256)) * 256
JSON_500 = (500, "application/json", b'{"status_code":500}')


@pytest.fixture
def make(clock, trace, serve):
    def make_one(directory=None, **spec):
        server = FileServer(SEED, clock=clock, trace=trace, directory=directory, spec=FilesSpec(**spec))
        return serve(server)

    return make_one


def set_after(monkeypatch, method):
    """Return an event that is set when a method of an upload has been called."""
    called = threading.Event()
    original = getattr(Upload, method)

    def call_and_tell(self, *arguments):
        original(self, *arguments)
        called.set()

    monkeypatch.setattr(Upload, method, call_and_tell)
    return called


@pytest.fixture
def upload_began(monkeypatch):
    """An event that is set when the first piece of an upload has come."""
    return set_after(monkeypatch, "write")


@pytest.fixture
def upload_ended(monkeypatch):
    """An event that is set when the server has done with an upload, kept or not."""
    return set_after(monkeypatch, "close")


def files_below(directory):
    return [path for path in directory.rglob("*") if path.is_file() and "sqlite" not in path.name]


def pieces(size):
    """Yield ``size`` bytes without ever having them at once."""
    whole, rest = divmod(size, len(PIECE))
    yield from itertools.repeat(PIECE, whole)
    if rest:
        yield PIECE[:rest]


def send(served, size):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=DEADLINE_S)
    connection.request("POST", "/file", pieces(size), {"Content-Length": str(size)})
    answer = connection.getresponse()
    assert answer.status == 200
    answer.read()
    connection.close()


def only_id(trace):
    (stored,) = trace.events(kind="file_stored")
    return stored["id"]


def receive(served, file_id):
    """Download a file, compare it with what was sent, and return its size."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=DEADLINE_S)
    connection.request("GET", f"/file/{file_id}")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
    assert answer.headers["content-length"] == str(BODY_BYTES)
    assert answer.headers["transfer-encoding"] is None
    size = 0
    while piece := answer.read(len(PIECE)):
        assert piece == PIECE[: len(piece)]
        size += len(piece)
    connection.close()
    return size


class Peak:
    """The most memory that Python had at a time, above what it had before, in bytes."""

    def __enter__(self):
        tracemalloc.start()
        self._before, _ = tracemalloc.get_traced_memory()
        return self

    def __exit__(self, *_):
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.bytes = peak - self._before


def test_a_large_file_on_disk_is_never_in_memory(make, trace, tmp_path):
    served = make(directory=tmp_path)
    with Peak() as up:
        send(served, BODY_BYTES)
    with Peak() as down:
        assert receive(served, only_id(trace)) == BODY_BYTES
    assert up.bytes < BODY_BYTES / 2
    assert down.bytes < BODY_BYTES / 2


def test_a_large_file_in_memory_is_there_once(make, trace):
    served = make()
    with Peak() as up:
        send(served, BODY_BYTES)
    with Peak() as down:
        assert receive(served, only_id(trace)) == BODY_BYTES
    # The body itself stays, and must not be there a second time.
    assert BODY_BYTES <= up.bytes < BODY_BYTES * 1.5
    assert down.bytes < BODY_BYTES / 2


@pytest.mark.parametrize("enc_type", list(EncryptionType))
def test_a_large_file_in_an_onion_is_opened_once(clock, trace, enc_type):
    server = FileServer(SEED, clock=clock, trace=trace)
    server_pk, client = bytes.fromhex(server.public_key), Account.from_seed(b"client".ljust(32, b"."))
    key = onion.client_key(enc_type, client.x25519_sk, client.x25519_pk, server_pk)
    routing = {"ephemeral_key": client.x25519_pk.hex(), "enc_type": enc_type.value}

    def ask(method, endpoint, body):
        payload = onion.encode_v4_request(method, endpoint, {}, body)
        blob = onion.encrypt(key, payload, bytes(enc_type.nonce_bytes))
        request = ServiceRequest("POST", "/oxen/v4/lsrpc", body=onion.frame(blob, routing))
        with Peak() as peak:
            answer = server.handle(request)
        opened = onion.decode_v4_response(onion.open_reply(key, answer.body))
        assert opened.code == 200
        return opened.body, peak.bytes

    body = bytes(BODY_BYTES)
    _, up = ask("POST", "/file", body)
    downloaded, down = ask("GET", f"/file/{only_id(trace)}", None)
    server.close()
    assert downloaded == body
    # Besides the sealed request: what it opens to, and the body cut out of that.
    assert up < BODY_BYTES * 2.5
    # Besides the stored body: the answer, and its two forms when it is sealed.
    assert down < BODY_BYTES * 3.5


@pytest.mark.parametrize("id_mode", ["numeric", "hash"])
@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_broken_upload_leaves_nothing(make, trace, tmp_path, upload_began, upload_ended, id_mode, framing):
    served = make(directory=tmp_path, id_mode=id_mode)
    with socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE_S) as connection:
        connection.sendall(f"POST /file HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        connection.sendall((b"1f4\r\n" if "chunked" in framing else b"") + bytes(500))
        assert upload_began.wait(DEADLINE_S)
        assert len(files_below(tmp_path)) == 1
    assert upload_ended.wait(DEADLINE_S)
    assert files_below(tmp_path) == []
    assert trace.events(kind="file_stored") == []
    assert served.request("POST", "/file", {}, b"the next one").status == 200


@pytest.mark.parametrize("piece", [b"", b"zz\r\n"])
def test_an_upload_that_does_not_go_on_is_given_up(make, tmp_path, upload_began, monkeypatch, piece):
    monkeypatch.setattr(exchange, "BODY_IDLE_S", 0.2)
    served = make(directory=tmp_path)
    with socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE_S) as connection:
        connection.sendall(
            b"POST /file HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )
        assert upload_began.wait(DEADLINE_S)
        # Chunks that are none end in silence too: the framework hands nothing on of them.
        connection.sendall(piece)
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"", 413),
        ({"X-FS-TTL": "soon"}, b"x", 400),
        ({}, bytes(1001), 413),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"x", 413),
    ],
)
def test_a_refused_upload_leaves_nothing(make, tmp_path, headers, body, status):
    served = make(directory=tmp_path, max_size=1000)
    for ask in (served.request, served.onion):
        assert ask("POST", "/file", headers, body).status == status
        assert files_below(tmp_path) == []
    if len(body) > 1000:
        # Without a length it is known only when too much has come.
        assert served.request("POST", "/file", headers, iter([body[:600], body[600:]])).status == status
        assert files_below(tmp_path) == []


def test_a_disk_that_refuses_is_answered_500_and_shows_in_the_trace(make, trace, tmp_path):
    served = make(directory=tmp_path)
    (tmp_path / "files").write_text("a file where the directory should be")
    for ask in (served.request, served.onion):
        assert ask("POST", "/file", {}, b"x").seen_by_client == JSON_500
    assert len(trace.events(kind="file_server_error")) == 2


def test_a_file_whose_body_has_gone_is_not_found(make, trace, tmp_path):
    served = make(directory=tmp_path)
    assert served.request("POST", "/file", {}, b"x").status == 200
    (path,) = files_below(tmp_path)
    path.unlink()
    for ask in (served.request, served.onion):
        assert ask("GET", f"/file/{only_id(trace)}").status == 404


def test_a_connection_serves_on_after_a_download(make, trace):
    served = make()
    send(served, BODY_BYTES)
    target = f"/file/{only_id(trace)}"
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=DEADLINE_S)
    for method, size in (("HEAD", 0), ("GET", BODY_BYTES), ("HEAD", 0), ("GET", BODY_BYTES)):
        connection.request(method, target)
        answer = connection.getresponse()
        assert answer.headers["content-length"] == str(BODY_BYTES)
        assert len(answer.read()) == size
    connection.close()


def test_a_client_that_leaves_during_a_download_hurts_nobody(make, trace, caplog):
    served = make()
    send(served, BODY_BYTES)
    target = f"/file/{only_id(trace)}"
    with socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE_S) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    assert receive(served, only_id(trace)) == BODY_BYTES
    assert caplog.records == []


@pytest.fixture(params=["memory", "disk"])
def blobs(request, tmp_path):
    return MemoryBlobs() if request.param == "memory" else DirectoryBlobs(tmp_path / "blobs")


def test_a_blob_is_there_only_when_it_is_kept(blobs):
    first, second = blobs.begin(), blobs.begin()
    first.write(b"fir")
    second.write(b"second")
    first.write(b"st")
    assert blobs.get("a/b") is None
    assert blobs.open("a/b") is None
    first.keep("a/b")
    first.close()
    second.close()
    second.close()
    assert blobs.get("a/b") == b"first"


def test_a_blob_that_is_open_stays_whole(blobs):
    blobs.put("a", b"before")
    file = blobs.open("a")
    blobs.put("a", b"afterwards")
    blobs.delete("a")
    with file:
        assert file.read() == b"before"
    assert blobs.get("a") is None


def test_what_a_killed_run_left_unfinished_is_removed_and_nothing_else(tmp_path):
    before = DirectoryBlobs(tmp_path)
    before.put("ab/cd", b"kept")
    writer = before.begin()
    writer.write(b"half")
    (tmp_path / ".other-file").write_text("of somebody else")
    assert len(files_below(tmp_path)) == 3
    after = DirectoryBlobs(tmp_path)
    assert sorted(path.name for path in files_below(tmp_path)) == [".other-file", "cd"]
    assert after.get("ab/cd") == b"kept"
    writer.close()
