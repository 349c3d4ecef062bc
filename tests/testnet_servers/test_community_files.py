"""Files of rooms (open-group-server §12)."""

import base64
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_testnet.services.community import CommunityServer, Role
from session_testnet.services.community.file_endpoints import file_name
from session_testnet.services.community.uploads import name_on_disk
from session_testnet.services.onion_v4 import MAX_ONION_BYTES
from session_testnet.topology import RoomSpec

NOW_S = 1_760_000_000
HOUR_MS = 60 * 60 * 1000
SEED = bytes(range(32))
ROOMS = (RoomSpec("lobby", "Lobby"), RoomSpec("annex", "Annex"))
SIGNATURE = base64.b64encode(bytes(64)).decode()
TARGET = "/room/lobby/file"


@pytest.fixture
def start(clock, trace):
    def start_one(directory=None):
        return CommunityServer(
            SEED, clock=clock, trace=trace, rooms=ROOMS, directory=directory, require_blinding=False
        )

    return start_one


@pytest.fixture
def server(start):
    return start()


@pytest.fixture
def served(serve, server):
    return serve(server)


def upload(served, who, body, disposition=None, *, target=TARGET, onion=False):
    headers = who.headers("POST", target, body)
    if disposition is not None:
        headers["Content-Disposition"] = disposition
    answer = (served.onion if onion else served.request)("POST", target, headers, body)
    assert answer.status == 201, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()["id"]


def post(server, who, files, **members):
    body = {"data": "", "signature": SIGNATURE, "files": files, **members}
    answer = who.ask(server, "POST", "/room/lobby/message", body)
    assert answer.status == 201
    return answer.json()["id"]


def test_a_file_comes_back_by_every_way_and_any_name(served, server, signer):
    alice = signer("alice", server)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=st.binary(max_size=3000), onion=st.booleans())
    def check(body, onion):
        file_id = upload(served, alice, body, onion=onion)
        assert isinstance(file_id, int)
        for ask in (served.request, served.onion):
            for name in ("", "/x.png", "/a/b%20c"):
                found = ask("GET", f"{TARGET}/{file_id}{name}")
                assert found.seen_by_client == (200, "application/octet-stream", body)

    check()


@pytest.mark.parametrize("directory", [False, True])
def test_names_survive(start, serve, signer, tmp_path, directory):
    server = start(tmp_path if directory else None)
    served, alice = serve(server), signer("alice", server)

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(name=st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=80))
    def check(name):
        file_id = upload(served, alice, b"x", f"attachment; filename*=UTF-8''{quote(name, safe='')}")
        answer = served.request("GET", f"{TARGET}/{file_id}")
        expected = name.replace("\x00", "\ufffd").replace("/", "\ufffd")
        assert (
            answer.headers["content-disposition"]
            == f"attachment; filename*=UTF-8''{quote(expected, safe='')}"
        )
        assert answer.body == b"x"

    check()
    assert all(path.is_relative_to(tmp_path / "uploads" / "lobby") for path in tmp_path.rglob("*_*"))


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("", None),
        ("attachment", None),
        ("attachment; filename=", None),
        ("attachment; filename=a.txt", "a.txt"),
        ("attachment; filename=a.txt; size=3", "a.txt"),
        ('attachment; filename="a b;c.txt"', "a b;c.txt"),
        (r'attachment; filename="a\"b.txt"', 'a"b.txt'),
        ("attachment; filename=x; filename*=UTF-8''%E2%82%AC", "€"),
        ("attachment; FILENAME*=utf-8'en'a%2Fb%00", "a\ufffdb\ufffd"),
        ("attachment; xfilename=no; filename = b.txt", "b.txt"),
        ('attachment; note="filename=no"', None),
        ("attachment;filename*=UTF-8''a;filename=b", "a"),
        ("filename=a.txt", "a.txt"),
        ("attachment; filename=../../etc/passwd", "..\ufffd..\ufffdetc\ufffdpasswd"),
    ],
)
def test_reading_a_content_disposition(disposition, name):
    assert file_name(disposition) == name


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=200))
def test_names_on_disk_are_harmless(name):
    safe = name_on_disk(name)
    assert 0 < len(safe) <= 60
    assert not set(safe) & set('/\\\x00 \n:*?"<>|')
    assert len(f"1_{safe}".encode()) <= 255


def test_long_names_keep_their_ends():
    assert name_on_disk("a" * 100 + ".txt") == "a" * 40 + "..." + "a" * 13 + ".txt"
    assert name_on_disk("ok (1).png") == "ok_(1).png"
    assert name_on_disk(None) == "(unnamed)"


def test_headers_tell_upload_and_expiry(served, server, signer, clock):
    file_id = upload(served, signer("alice", server), b"x")
    clock.move(60_000)
    answer = served.request("GET", f"{TARGET}/{file_id}")
    assert parsedate_to_datetime(answer.headers["date"]).timestamp() == NOW_S
    assert parsedate_to_datetime(answer.headers["expires"]).timestamp() == NOW_S + 3600
    assert answer.headers["content-disposition"] == "attachment"


def test_an_unattached_file_lives_an_hour_and_an_attached_one_fifteen_days(server, served, signer, clock):
    alice = signer("alice", server)
    loose, attached = upload(served, alice, b"loose"), upload(served, alice, b"attached")
    post(server, alice, [str(attached), 999, 2**64 - 1])
    clock.move(HOUR_MS - 1)
    assert served.request("GET", f"{TARGET}/{loose}").status == 200
    clock.move(1)
    gone = served.request("GET", f"{TARGET}/{loose}")
    assert (gone.status, gone.text) == (404, f"No such file: {loose}")
    server.cleanup()
    clock.move(14 * 24 * HOUR_MS)
    assert served.request("GET", f"{TARGET}/{attached}").body == b"attached"
    clock.move(24 * HOUR_MS)
    assert served.request("GET", f"{TARGET}/{attached}").status == 404


def test_only_own_waiting_files_of_the_room_are_attached(server, served, signer, clock):
    alice, bob = signer("alice", server), signer("bob", server)
    of_bob = upload(served, bob, b"bob")
    elsewhere = upload(served, alice, b"annex", target="/room/annex/file")
    own = upload(served, alice, b"own")
    first = post(server, alice, [own, of_bob, elsewhere])
    second = post(server, alice, [own])
    alice.ask(server, "DELETE", f"/room/lobby/message/{second}")
    clock.move(HOUR_MS)
    statuses = [
        served.request("GET", target).status
        for target in (f"{TARGET}/{own}", f"{TARGET}/{of_bob}", f"/room/annex/file/{elsewhere}")
    ]
    assert statuses == [200, 404, 404]
    # The files of a message end with it.
    alice.ask(server, "DELETE", f"/room/lobby/message/{first}")
    assert served.request("GET", f"{TARGET}/{own}").status == 404


def test_an_edit_attaches_too(server, served, signer, clock):
    alice = signer("alice", server)
    message = post(server, alice, [])
    file_id = upload(served, alice, b"late")
    body = {"data": "YQ==", "signature": SIGNATURE, "files": [file_id]}
    assert alice.ask(server, "PUT", f"/room/lobby/message/{message}", body).status == 200
    clock.move(HOUR_MS)
    assert served.request("GET", f"{TARGET}/{file_id}").status == 200


def test_who_may_upload_and_download(server, served, signer):
    alice = signer("alice", server)
    assert served.request("POST", TARGET, {}, b"x").status == 401
    file_id = upload(served, alice, b"x")
    assert served.request("GET", f"/room/annex/file/{file_id}").status == 404
    assert served.request("GET", f"{TARGET}/999").status == 404
    for right in ("upload", "write"):
        rights = {"write": 1, "upload": 1} | {right: 0}
        server._database.execute("UPDATE rooms SET write = :write, upload = :upload", rights)
        refused = served.request("POST", TARGET, alice.headers("POST", TARGET, b"x"), b"x")
        assert refused.seen_by_client == (403, "text/html; charset=utf-8", b"Permission denied")
    server._database.execute("UPDATE rooms SET read = 0")
    assert served.request("GET", f"{TARGET}/{file_id}").status == 403
    server.give_role(Role(alice.account.account_id, "lobby"))
    allowed = served.request("GET", f"{TARGET}/{file_id}", alice.headers("GET", f"{TARGET}/{file_id}"))
    assert allowed.status == 200
    assert upload(served, alice, b"y") == file_id + 1


def test_a_body_over_ten_mebibytes_is_refused(served, server, signer):
    alice = signer("alice", server)
    body = bytes(MAX_ONION_BYTES)
    assert served.request("POST", TARGET, alice.headers("POST", TARGET, body), body).status == 201
    body += b"\x00"
    assert served.request("POST", TARGET, alice.headers("POST", TARGET, body), body).status == 413


def test_files_are_on_disk_and_leave_it(start, serve, signer, clock, tmp_path):
    server = start(tmp_path)
    served, alice = serve(server), signer("alice", server)
    file_id = upload(served, alice, b"on disk", "attachment; filename=pic.png")
    path = tmp_path / "uploads" / "lobby" / f"{file_id}_pic.png"
    assert path.read_bytes() == b"on disk"
    clock.move(HOUR_MS)
    server.cleanup()
    assert not path.exists()
