"""Judge a file server (file-server §§1 to 5)."""

import base64
import math
import re
import time
from functools import partial
from urllib.parse import quote

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_conformance.checks import check
from session_conformance.contract import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.answers import ask, member
from session_conformance.servers.file_server import CLOCK_S, TTL_S, JudgedFileServer
from session_conformance.servers.onions import ONION_V4, ask_v4
from session_conformance.servers.releases import version_headers
from session_conformance.strategies import flip_bit
from session_protocol import onion
from session_protocol.onion import EncryptionType

on_files = partial(check, features={"server": "files"})
with_key = partial(check, features={"server": "files", "key_known": True})
contents = st.binary(max_size=2_000)


@on_files("FILE-01", "FILE-02", "FILE-08")
@given(data=contents)
def test_gives_files_back(testee: Testee, case: CaseContext, data: bytes) -> None:
    files = JudgedFileServer(testee, case)
    data = files.unique(data)
    uploaded = files.upload(data)
    assert re.fullmatch("[A-Za-z0-9_-]{1,44}", uploaded["id"]), f"a strange id: {uploaded['id']!r}"
    assert math.isfinite(uploaded["expires"])
    assert uploaded["expires"] > time.time() - CLOCK_S, "the file has expired before it was uploaded"
    answer = files.ask("GET", f"/file/{uploaded['id']}").expect(200)
    assert answer.body == data, "the file has changed"
    assert answer.media_type == "application/octet-stream"


@on_files("FILE-23")
def test_names_the_expiry_of_a_download(testee: Testee, case: CaseContext) -> None:
    files = JudgedFileServer(testee, case)
    uploaded = files.upload(files.unique(b"x"))
    assert "expires" in files.ask("GET", f"/file/{uploaded['id']}").expect(200).headers


@on_files("FILE-03", "FILE-04")
def test_limits_the_size_of_files(testee: Testee, case: CaseContext) -> None:
    files = JudgedFileServer(testee, case)
    files.ask("POST", "/file").expect(413)
    files.upload(files.random.randbytes(6_000_000))


@on_files("FILE-05")
def test_refuses_what_is_far_too_large(testee: Testee, case: CaseContext) -> None:
    files = JudgedFileServer(testee, case)
    files.ask("POST", "/file", bytes(11 * 1024 * 1024)).expect(413)


@on_files("FILE-06")
@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
        lambda text: text not in (".", "..")
    )
)
@example(name="0")
@example(name="../key_ed25519")
@example(name="A" * 44)
@example(name="9" * 30)
@example(name="\x00")
def test_knows_no_other_files(testee: Testee, case: CaseContext, name: str) -> None:
    files = JudgedFileServer(testee, case)
    encoded = quote(name, safe="")
    files.ask("GET", f"/file/{encoded}").expect(404)
    files.ask("GET", f"/file/{encoded}/info").expect(404)


@on_files("FILE-07")
@given(data=contents)
def test_tells_about_files(testee: Testee, case: CaseContext, data: bytes) -> None:
    files = JudgedFileServer(testee, case)
    data = files.unique(data)
    uploaded = files.upload(data)
    info = files.ask("GET", f"/file/{uploaded['id']}/info").ok()
    assert member(info, "size", int) == len(data)
    assert abs(member(info, "uploaded", (int, float)) - time.time()) < CLOCK_S
    assert abs(member(info, "expires", (int, float)) - uploaded["expires"]) < 1


@on_files("FILE-09")
@given(data=contents)
def test_names_files(testee: Testee, case: CaseContext, data: bytes) -> None:
    files = JudgedFileServer(testee, case)
    data = files.unique(data)
    first = files.upload(data)["id"]
    assert files.upload(data + b"x")["id"] != first, "two files have one id"
    again = files.upload(data)["id"]
    assert (again == first) == (len(first) == 44), f"the same file was called {first}, then {again}"


@on_files("FILE-10")
@given(ttl=st.integers(60, 7 * 86_400))
def test_lets_clients_choose_how_long(testee: Testee, case: CaseContext, ttl: int) -> None:
    files = JudgedFileServer(testee, case)
    if not files.honours_ttl():
        pytest.skip("the server does not honour X-FS-TTL")
    expires = files.upload(files.unique(b""), ttl=str(ttl))["expires"]
    assert abs(expires - time.time() - ttl) < min(CLOCK_S, ttl / 2)


@on_files("FILE-11")
@given(ttl=st.integers(-(2**40), 0).map(str) | st.sampled_from(["x", "1.5", "1e3", "0x10", "--1", "9" * 40]))
def test_refuses_lives_that_are_none(testee: Testee, case: CaseContext, ttl: str) -> None:
    files = JudgedFileServer(testee, case)
    if not files.honours_ttl():
        pytest.skip("the server does not honour X-FS-TTL")
    files.ask("POST", "/file", files.unique(b""), {"X-FS-TTL": ttl}).expect(400)


@on_files("FILE-12", "FILE-13")
@given(first=st.integers(600, 86_400), second=st.integers(60, 2 * 86_400))
def test_extends_lives(testee: Testee, case: CaseContext, first: int, second: int) -> None:
    files = JudgedFileServer(testee, case)
    data = files.unique(b"")
    uploaded = files.upload(data, ttl=str(first))
    if len(uploaded["id"]) < 44 or not files.honours_ttl():
        pytest.skip("files can be extended only where ids are hashes and clients choose how long files live")
    path = f"/file/{uploaded['id']}/extend"
    info = files.ask("POST", path, headers={"X-FS-TTL": str(second)}).ok()
    assert member(info, "size", int) == len(data)
    wanted = max(uploaded["expires"], time.time() + second)
    assert abs(member(info, "expires", (int, float)) - wanted) < 30
    assert files.ask("GET", f"/file/{uploaded['id']}/info").ok() == info
    unknown = base64.urlsafe_b64encode(files.random.randbytes(33)).decode()
    files.ask("POST", f"/file/{unknown}/extend").expect(404)


@on_files("FILE-14")
@given(data=contents)
def test_serves_old_clients(testee: Testee, case: CaseContext, data: bytes) -> None:
    files = JudgedFileServer(testee, case)
    data = files.unique(data)
    body = orjson.dumps({"file": base64.b64encode(data).decode()})
    headers = {"Content-Type": "application/json"}
    reply = files.ask("POST", "/files", body, headers).ok()
    assert member(reply, "status_code", int) == 200
    name = member(reply, "result", (int, str))
    assert files.ask("GET", f"/file/{name}").expect(200).body == data
    old = files.ask("GET", f"/files/{name}").ok()
    assert base64.b64decode(member(old, "result", str)) == data
    files.ask("POST", "/files", b"{}", headers).expect(400)


@on_files("FILE-15")
def test_tells_releases(testee: Testee, case: CaseContext) -> None:
    files = JudgedFileServer(testee, case)
    for platform in ("desktop", "android", "ios"):
        answer = files.ask("GET", f"/session_version?platform={platform}").expect(200, 502)
        if answer.status == 200:
            member(answer.json(), "result", str)
            member(answer.json(), "updated", (int, float))
    files.ask("GET", "/session_version?platform=typewriter").expect(404)
    files.ask("GET", "/session_version").expect(404)


VERSION = "/session_version?platform=desktop"


@on_files("FILE-16")
@given(
    left=st.sets(st.sampled_from(["X-FS-Pubkey", "X-FS-Timestamp", "X-FS-Signature"]), min_size=1, max_size=2)
)
def test_refuses_half_a_signature(testee: Testee, case: CaseContext, left: set[str]) -> None:
    files = JudgedFileServer(testee, case)
    headers = version_headers(files.random, VERSION, int(time.time()))
    files.ask("GET", VERSION, headers={name: headers[name] for name in left}).expect(400)
    for name, bad in (
        ("X-FS-Pubkey", "05" + headers["X-FS-Pubkey"][2:]),
        ("X-FS-Pubkey", "nonsense"),
        ("X-FS-Timestamp", "today"),
        ("X-FS-Signature", "AAAA"),
    ):
        files.ask("GET", VERSION, headers={**headers, name: bad}).expect(400)


@on_files("FILE-17", "FILE-18")
@given(off=st.integers(86_400 + CLOCK_S, 10**8), late=st.booleans(), bit=st.integers(0, 511))
def test_verifies_who_asks_for_releases(
    testee: Testee, case: CaseContext, off: int, late: bool, bit: int
) -> None:
    files = JudgedFileServer(testee, case)
    now = int(time.time())
    plain = files.ask("GET", VERSION)
    good = version_headers(files.random, VERSION, now)
    signed = files.ask("GET", VERSION, headers=good)
    assert (signed.status, signed.body) == (plain.status, plain.body)
    stale = version_headers(files.random, VERSION, now - off if late else now + off)
    files.ask("GET", VERSION, headers=stale).expect(425)
    damaged = flip_bit(base64.b64decode(good["X-FS-Signature"]), bit)
    files.ask("GET", VERSION, headers={**good, "X-FS-Signature": base64.b64encode(damaged).decode()}).expect(
        401
    )
    elsewhere = "/session_version?platform=ios"
    files.ask("GET", elsewhere, headers=good).expect(401)


@with_key("FILE-19")
@given(data=contents, enc_type=st.sampled_from(list(EncryptionType)))
def test_serves_in_onions(testee: Testee, case: CaseContext, data: bytes, enc_type: EncryptionType) -> None:
    files = JudgedFileServer(testee, case)
    data = files.unique(data)
    asking = partial(ask_v4, testee, files.url, files.public_key, files.random, enc_type=enc_type)
    kind = {"Content-Type": "application/octet-stream", "X-FS-TTL": str(TTL_S)}
    name = member(asking("POST", "/file", headers=kind, body=data).ok(), "id", str)
    direct = files.ask("GET", f"/file/{name}").expect(200)
    inside = asking("GET", f"/file/{name}").expect(200)
    assert (direct.body, inside.body) == (data, data)
    assert inside.media_type == direct.media_type
    asking("GET", "/file/nothing").expect(404)
    asking("POST", "/file", body=b"").expect(413)


@with_key("FILE-20")
@given(bit=st.integers(0, 10_000), short=st.booleans())
def test_refuses_damaged_onions_of_clients(testee: Testee, case: CaseContext, bit: int, short: bool) -> None:
    files = JudgedFileServer(testee, case)
    built = onion.build(
        [],
        onion.ServerDestination(host="localhost", x25519_pk=files.public_key),
        onion.encode_v4_request("GET", "/token_info", {}, None),
        random_bytes=files.random.randbytes,
    )
    blob_bits = int.from_bytes(built.body[:4], "little") * 8
    body = built.body[: len(built.body) // 2] if short else flip_bit(built.body, 32 + bit % blob_bits)
    ask(testee, "POST", files.url + ONION_V4, body=body, asked="a damaged onion").expect(400)
    files.ask("GET", "/token_info").expect(200, 502)


@on_files("FILE-21")
def test_neither_lists_nor_deletes(testee: Testee, case: CaseContext) -> None:
    files = JudgedFileServer(testee, case)
    data = files.unique(b"")
    name = files.upload(data)["id"]
    for method, path in (
        ("GET", "/file"),
        ("GET", "/files"),
        ("DELETE", f"/file/{name}"),
        ("PUT", f"/file/{name}"),
    ):
        files.ask(method, path, b"" if method != "PUT" else b"other").expect(400, 401, 403, 404, 405)
    assert files.ask("GET", f"/file/{name}").expect(200).body == data


@on_files("FILE-22")
def test_calls_json_json(testee: Testee, case: CaseContext) -> None:
    files = JudgedFileServer(testee, case)
    answer = files.ask("POST", "/file", files.unique(b"")).expect(200)
    assert answer.headers.get("content-type") == "application/json"
    missing = files.ask("GET", "/file/0").expect(404)
    assert missing.headers.get("content-type") == "application/json"
