"""The file server over HTTP: sizes, ids, lifetimes, errors (file-server §§3, 5)."""

import http.client
import itertools
import os
import socket
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_testnet.services.blobs import MemoryBlobs
from session_testnet.services.files import FileServer, IdMode
from session_testnet.services.files.store import FileStore
from session_testnet.services.files.upload import Upload
from session_testnet.topology_file_server import FilesSpec, Release

NOW_S = 1_760_000_000
SEED = bytes(range(32))
WEEK_S = 7 * 24 * 60 * 60


@pytest.fixture
def make(clock, trace, serve):
    def make_one(random_bytes=os.urandom, **spec):
        server = FileServer(SEED, clock=clock, trace=trace, spec=FilesSpec(**spec), random_bytes=random_bytes)
        return serve(server)

    return make_one


def upload(served, body=b"some bytes", **headers):
    answer = served.request("POST", "/file", {name.replace("_", "-"): v for name, v in headers.items()}, body)
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


@pytest.mark.parametrize("id_mode", list(IdMode))
def test_a_file_comes_back_as_it_was_sent(make, id_mode):
    served = make(id_mode=id_mode)

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=st.binary(min_size=1, max_size=5000), through_onion=st.booleans())
    def check(body, through_onion):
        ask = served.onion if through_onion else served.request
        other = served.request if through_onion else served.onion
        answer = ask("POST", "/file", {}, body)
        assert answer.status == 200
        file_id = answer.json()["id"]
        assert isinstance(file_id, str)
        downloaded = other("GET", f"/file/{file_id}")
        assert downloaded.seen_by_client == (200, "application/octet-stream", body)
        information = ask("GET", f"/file/{file_id}/info").json()
        assert information["size"] == len(body)

    check()


def test_numeric_ids_are_decimal_strings_below_two_to_53_and_differ_for_each_upload(make):
    served = make()
    ids = [upload(served)["id"] for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(file_id.isdigit() and 0 < int(file_id) < 2**53 for file_id in ids)


def test_hash_ids_equal_the_published_ones(vectors):
    for row in vectors("file_server")["deterministic_id"]:
        upload, body = Upload(MemoryBlobs()), bytes.fromhex(row["body"])
        upload.write(body[:7])
        upload.write(body[7:])
        assert upload.hash_id == row["id"]


def test_hash_mode_stores_equal_bodies_once_and_keeps_the_later_expiry(make, clock):
    served = make(id_mode="hash")
    first = upload(served, X_FS_TTL=str(WEEK_S))
    clock.move(60_000)
    second = upload(served, X_FS_TTL="60")
    assert second == {"id": first["id"], "expires": float(NOW_S + WEEK_S)}
    information = served.request("GET", f"/file/{first['id']}/info").json()
    assert information == {"size": 10, "uploaded": NOW_S + 60.0, "expires": float(NOW_S + WEEK_S)}


def test_an_upload_of_an_expired_hash_starts_a_new_life(make, clock):
    served = make(id_mode="hash")
    first = upload(served, X_FS_TTL="60")
    clock.move(61_000)
    assert served.request("GET", f"/file/{first['id']}").status == 404
    assert upload(served, X_FS_TTL="60")["expires"] == NOW_S + 121.0
    assert served.request("GET", f"/file/{first['id']}").status == 200


@pytest.mark.parametrize(("size", "status"), [(0, 413), (1, 200), (1000, 200), (1001, 413)])
def test_the_size_limit_is_exact(make, size, status):
    served = make(max_size=1000)
    answer = served.request("POST", "/file", {}, bytes(size))
    assert answer.status == status
    if status == 413:
        assert answer.seen_by_client == (413, "application/json", b'{"status_code":413}')
    inner = served.onion("POST", "/file", {}, bytes(size))
    assert inner.status == status


def test_an_announced_length_over_the_limit_is_refused_before_the_body_comes(make):
    served = make(max_size=1000)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.putrequest("POST", "/file")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_of_unknown_length_is_refused_at_the_first_byte_too_many(make):
    served = make(max_size=1000)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(b"POST /file HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"3e9\r\n" + bytes(1001))
        # The chunk has not been ended: whoever waits for the whole body never answers.
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_form_encoded_body_arrives_empty(make):
    served = make()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert served.request("POST", "/file", headers, b"a=b").status == 413
    assert served.onion("POST", "/file", headers, b"a=b").status == 413


@pytest.mark.parametrize("ttl", ["0", "-1", "1.5", "soon", "", str(WEEK_S + 1), "9" * 40])
def test_a_wanted_lifetime_out_of_range_is_refused(make, ttl):
    served = make(max_ttl_s=WEEK_S)
    answer = served.request("POST", "/file", {"X-FS-TTL": ttl}, b"x")
    assert answer.seen_by_client == (400, "application/json", b'{"status_code":400}')


@pytest.mark.parametrize("ttl", ["1", "30", str(WEEK_S)])
def test_a_wanted_lifetime_in_range_is_kept(make, ttl):
    served = make(max_ttl_s=WEEK_S)
    assert upload(served, X_FS_TTL=ttl)["expires"] == float(NOW_S + int(ttl))


def test_without_a_maximum_the_wanted_lifetime_is_ignored(make):
    served = make(max_ttl_s=0, default_ttl_s=100)
    assert upload(served, X_FS_TTL="nonsense")["expires"] == NOW_S + 100.0


def test_a_file_ends_at_its_expiry_and_not_before(make, clock):
    served = make()
    file_id = upload(served, X_FS_TTL="30")["id"]
    clock.move(29_999)
    answer = served.request("GET", f"/file/{file_id}")
    assert answer.status == 200
    assert parsedate_to_datetime(answer.headers["expires"]).timestamp() == NOW_S + 30
    clock.move(1)
    for target in (f"/file/{file_id}", f"/file/{file_id}/info"):
        assert served.request("GET", target).seen_by_client == (
            404,
            "application/json",
            b'{"status_code":404}',
        )


@pytest.mark.parametrize(
    "target", ["/file/0", "/file/12345", "/file/no*such", f"/file/{'x' * 45}", "/files/1"]
)
def test_an_unknown_file_is_not_found(make, target):
    assert make().request("GET", target).json() == {"status_code": 404}


def test_extension_never_shortens(make, clock):
    served = make(id_mode="hash", default_ttl_s=1000, max_ttl_s=2000)
    file_id = upload(served)["id"]
    target = f"/file/{file_id}/extend"
    shorter = served.request("POST", target, {"X-FS-TTL": "10"}).json()
    assert shorter == {"size": 10, "uploaded": float(NOW_S), "expires": NOW_S + 1000.0}
    clock.move(500_000)
    assert served.request("POST", target).json()["expires"] == NOW_S + 1500.0
    assert served.request("POST", target, {"X-FS-TTL": "2000"}).json()["expires"] == NOW_S + 2500.0
    assert served.request("POST", target, {"X-FS-TTL": "2001"}).status == 400


def test_numeric_and_unknown_files_cannot_be_extended(make):
    served = make()
    file_id = upload(served)["id"]
    assert served.request("POST", f"/file/{file_id}/extend").json() == {"status_code": 404}
    assert served.request("POST", f"/file/{'A' * 44}/extend").json() == {"status_code": 404}


def test_when_every_drawn_id_is_taken_the_store_is_full(make):
    draws = itertools.chain([b"\x00" * 8], itertools.repeat(b"\x12" * 8))
    served = make(random_bytes=lambda size: next(draws)[:size])
    # The first draw is zero, which is no id; the second one is free.
    assert upload(served)["id"] == str(int.from_bytes(b"\x12" * 8, "big") >> 11)
    assert served.request("POST", "/file", {}, b"x").json() == {"status_code": 507}


def test_the_deprecated_calls_speak_base64_and_numbers(make):
    served = make(max_size=1000)
    json_type = {"Content-Type": "application/json"}
    answer = served.request("POST", "/files", json_type, b'{"file":"aGVsbG8="}').json()
    assert answer["status_code"] == 200
    assert isinstance(answer["result"], int)
    fetched = served.request("GET", f"/files/{answer['result']}").json()
    assert fetched == {"status_code": 200, "result": "aGVsbG8="}
    assert served.request("GET", f"/file/{answer['result']}").body == b"hello"
    assert served.request("POST", "/files", json_type, b"{}").json() == {"status_code": 400}
    assert served.request("POST", "/files", json_type, b'{"file":"a"}').json() == {"status_code": 400}
    assert served.request("POST", "/files", json_type, b'{"file":""}').json() == {"status_code": 413}
    assert served.request("POST", "/files", {}, b"not json").status == 400


def test_unknown_paths_and_methods(make):
    served = make()
    assert served.request("GET", "/nothing").status == 404
    wrong = served.request("DELETE", "/file/1")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert served.request("OPTIONS", "/file").headers["allow"] == "OPTIONS, POST"
    file_id = upload(served)["id"]
    head = served.request("HEAD", f"/file/{file_id}")
    assert (head.status, head.headers["content-length"], head.body) == (200, "10", b"")


def test_no_header_names_the_framework(make):
    assert "server" not in make().request("GET", "/file/1").headers


def test_a_defect_is_answered_500_and_shows_in_the_trace(make, trace, monkeypatch):
    served = make()

    def broken(*_, **__):
        raise RuntimeError("a defect")

    monkeypatch.setattr(FileStore, "keep", broken)
    for ask in (served.request, served.onion):
        answer = ask("POST", "/file", {}, b"x")
        assert answer.seen_by_client == (500, "application/json", b'{"status_code":500}')
    assert len(trace.events(kind="file_server_error")) == 2
    seen = [(event["path"], event["status"]) for event in trace.events(kind="file_server_request")]
    assert seen == [("/file", 500), ("/file", 500), ("/oxen/v4/lsrpc", 200)]


def test_a_proxy_may_send_the_absolute_form(make):
    served = make()
    file_id = upload(served)["id"]
    answer = served.request("GET", f"http://filev2.getsession.org/file/{file_id}")
    assert answer.body == b"some bytes"


def test_files_survive_a_restart_and_leave_the_disk_when_they_expire(clock, trace, tmp_path):
    first = FileServer(SEED, clock=clock, trace=trace, directory=tmp_path)
    kept = first._store.add(b"kept", now_ms=clock.now_ms(), ttl_ms=100_000)
    short = first._store.add(b"short", now_ms=clock.now_ms(), ttl_ms=1000)
    first.close()
    second = FileServer(SEED, clock=clock, trace=trace, directory=tmp_path)
    assert second.public_key == first.public_key
    clock.move(1000)
    assert second.purge() == 1
    on_disk = {path.name for path in (tmp_path / "files").rglob("*") if path.is_file()}
    assert on_disk == {kept.id} != {short.id}
    found = second._store.find(kept.id, now_ms=clock.now_ms())
    assert found is not None
    body = second._store.body(found)
    assert body is not None
    with body.file as file:
        assert file.read() == b"kept"
    second.close()


class TestSessionVersion:
    TARGET = "/session_version?platform=desktop"

    def headers(self, vectors, index=0, **changed):
        blinded = vectors("file_server")["version_blinded_07"]
        request = blinded["requests"][index]
        return {
            "X-FS-Pubkey": blinded["X-FS-Pubkey"],
            "X-FS-Timestamp": str(request["timestamp"]),
            "X-FS-Signature": request["X-FS-Signature_base64"],
        } | {name.replace("_", "-"): value for name, value in changed.items()}

    def test_published_signatures_are_accepted_again_and_again(self, make, vectors):
        served = make()
        for index, request in enumerate(vectors("file_server")["version_blinded_07"]["requests"]):
            for ask in (served.request, served.onion, served.request):
                answer = ask("GET", request["path"], self.headers(vectors, index))
                assert answer.status == 200, answer.text
                assert answer.json()["status_code"] == 200

    def test_a_release_is_told_with_everything_that_is_known(self, make):
        beta = Release("2.1.0", 5.0)
        release = Release("2.0.0", 4.0, "two", "notes", (("app.deb", "https://x/app.deb"),), beta)
        served = make(releases=(("desktop", release),))
        assert served.request("GET", self.TARGET).json() == {
            "status_code": 200,
            "result": "2.0.0",
            "updated": 4.0,
            "name": "two",
            "notes": "notes",
            "assets": [{"name": "app.deb", "url": "https://x/app.deb"}],
            "prerelease": {"result": "2.1.0", "updated": 5.0},
        }
        assert served.request("GET", "/session_version?platform=ios").json() == {"status_code": 502}
        assert served.request("GET", "/session_version?platform=amiga").json() == {"status_code": 404}
        assert served.request("GET", "/session_version").json() == {"status_code": 404}

    @pytest.mark.parametrize(
        ("changed", "status", "text"),
        [
            ({"X_FS_Pubkey": ""}, 400, "one or more X-FS-* auth headers is missing"),
            ({"X_FS_Timestamp": ""}, 400, "one or more X-FS-* auth headers is missing"),
            ({"X_FS_Signature": ""}, 400, "one or more X-FS-* auth headers is missing"),
            ({"X_FS_Pubkey": "07ab"}, 400, "X-FS-Pubkey is not a valid 66-hex digit id"),
            ({"X_FS_Pubkey": "05" + "11" * 32}, 400, "X-FS-Pubkey must be 07- prefixed"),
            ({"X_FS_Pubkey": "07" + "00" * 32}, 400, "given X-FS-Pubkey is not a valid Ed25519 pubkey"),
            ({"X_FS_Signature": "AAAA"}, 400, "X-FS-Signature is not base64[86]"),
            ({"X_FS_Timestamp": "now"}, 400, "X-FS-Timestamp is not a valid timestamp"),
            ({"X_FS_Timestamp": str(NOW_S - 86_401)}, 425, "X-FS-Timestamp is too far from current time"),
            ({"X_FS_Timestamp": str(NOW_S + 86_401)}, 425, "X-FS-Timestamp is too far from current time"),
            ({"X_FS_Timestamp": str(NOW_S + 1)}, 401, "X-FS-Signature verification failed"),
        ],
    )
    def test_refusals(self, make, vectors, changed, status, text):
        answer = make().request("GET", self.TARGET, self.headers(vectors, **changed))
        assert answer.seen_by_client == (
            status,
            "text/plain; charset=utf-8",
            f"Invalid authentication: {text}".encode(),
        )
