"""Files of rooms over real sockets, directly and through onions (open-group-server §12)."""

import random
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import pytest

from session_testnet.services.community import Role
from session_testnet.services.community.uploads import name_on_disk

NOW_S = 1_760_000_000
HOUR_S, DAY_S = 3600, 24 * 3600
SIGNATURE = "A" * 86
TARGET = "/room/lobby/file"


@pytest.fixture
def community(open_community):
    return open_community()


@pytest.fixture
def alice(community):
    return community.member("alice")


@pytest.fixture
def admin(community):
    member = community.member("admin")
    community.server.give_role(Role(member.id, admin=True))
    return member


def upload(member, body=b"content", name=None, room="lobby"):
    headers = {"Content-Type": "image/png"}
    if name is not None:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    answer = member.answered(201, "POST", f"/room/{room}/file", body=body, headers=headers)
    assert list(answer) == ["id"]
    return answer["id"]


def post(member, *files, room="lobby"):
    document = {"data": "YQ==", "signature": SIGNATURE, "files": list(files)}
    return member.answered(201, "POST", f"/room/{room}/message", document)["id"]


def edit(member, number, data, *files):
    document = {"data": data, "signature": SIGNATURE, "files": list(files)}
    member.answered(200, "PUT", f"/room/lobby/message/{number}", document)


def expiry_s(member, file_id, room="lobby"):
    """When a file expires, in seconds after the start of the test; None for never."""
    answer = member.ask("GET", f"/room/{room}/file/{file_id}")
    assert answer.status == 200, answer.text
    if "expires" not in answer.headers:
        return None
    return parsedate_to_datetime(answer.headers["expires"]).timestamp() - NOW_S


def stored(community, file_id):
    row = community.server._database.execute(
        "SELECT post, expires_ms, blob_key FROM files WHERE id = ?", (file_id,)
    ).fetchone()
    return None if row is None else tuple(row)


def test_the_life_of_files(community, alice, admin):
    anonymous = community.anonymous
    by_post, by_edit, loose = (upload(alice) for _ in range(3))
    for file_id in (by_post, by_edit, loose):
        assert expiry_s(anonymous, file_id) == HOUR_S
    community.clock.move(60_000)
    message = post(alice, by_post)
    assert expiry_s(anonymous, by_post) == 60 + 15 * DAY_S
    assert expiry_s(anonymous, by_edit) == HOUR_S
    community.clock.move(60_000)
    edit(alice, message, "Yg==", by_edit, str(by_post))
    # What a message has already is not attached again.
    assert expiry_s(anonymous, by_post) == 60 + 15 * DAY_S
    assert expiry_s(anonymous, by_edit) == 120 + 15 * DAY_S
    assert stored(community, by_edit)[0] == message
    # Nor is it taken away by another one.
    other = post(alice, by_post)
    edit(alice, other, "Yg==", by_edit)
    assert [stored(community, file_id)[0] for file_id in (by_post, by_edit)] == [message] * 2

    admin.answered(200, "POST", f"/room/lobby/pin/{message}")
    assert [expiry_s(anonymous, file_id) for file_id in (by_post, by_edit)] == [None, None]
    # What joins a pinned message stays as well.
    late = upload(alice)
    edit(alice, message, "Yw==", late)
    assert expiry_s(anonymous, late) is None
    admin.answered(200, "POST", f"/room/lobby/unpin/{message}")
    # Now counted from the upload.
    assert [expiry_s(anonymous, file_id) for file_id in (by_post, by_edit, late)] == [
        15 * DAY_S,
        15 * DAY_S,
        120 + 15 * DAY_S,
    ]
    admin.answered(200, "POST", f"/room/lobby/pin/{message}")
    admin.answered(200, "POST", "/room/lobby/unpin/all")
    assert expiry_s(anonymous, by_post) == 15 * DAY_S
    admin.answered(200, "POST", f"/room/lobby/pin/{message}")
    alice.answered(200, "DELETE", f"/room/lobby/message/{message}")
    assert [stored(community, file_id)[:2] for file_id in (by_post, by_edit, late)] == [(message, 0)] * 3
    assert anonymous.ask("GET", f"{TARGET}/{by_post}").status == 404
    assert community.server._stores.uploads.purge(now_ms=community.clock.now_ms()) == 3
    assert stored(community, by_post) is None
    assert stored(community, loose) is not None


def test_a_rooms_image_outlives_the_message_it_came_with(community, alice, admin):
    image, other = upload(alice), upload(alice)
    message = post(alice, image, other)
    admin.answered(200, "PUT", "/room/lobby", {"image": image})
    assert expiry_s(alice, image) is None
    admin.answered(200, "POST", f"/room/lobby/pin/{message}")
    admin.answered(200, "POST", f"/room/lobby/unpin/{message}")
    assert expiry_s(alice, image) is None
    assert expiry_s(alice, other) == 15 * DAY_S
    alice.answered(200, "DELETE", f"/room/lobby/message/{message}")
    assert expiry_s(alice, image) is None
    assert alice.ask("GET", f"{TARGET}/{other}").status == 404


def test_an_image_is_not_attached_and_comes_from_its_own_room(community, alice, admin):
    image, elsewhere = upload(admin), upload(admin, room="annex")
    assert admin.ask("PUT", "/room/lobby", {"image": elsewhere}).status == 406
    assert expiry_s(alice, elsewhere, "annex") == HOUR_S
    admin.answered(200, "PUT", "/room/lobby", {"image": image})
    post(admin, image)
    assert stored(community, image)[:2] == (None, None)
    assert community.anonymous.get("/room/lobby")["image_id"] == image


def test_only_own_files_of_the_room_are_attached(community, alice):
    bob = community.member("bob")
    of_bob, elsewhere, own = upload(bob), upload(alice, room="annex"), upload(alice)
    message = post(alice, of_bob, elsewhere, own, 999, 2**63)
    assert [stored(community, file_id)[0] for file_id in (of_bob, elsewhere, own)] == [None, None, message]
    assert expiry_s(alice, of_bob) == expiry_s(alice, elsewhere, "annex") == HOUR_S


def test_a_file_that_came_too_long_ago_is_not_attached(community, alice):
    file_id = upload(alice)
    community.clock.move(HOUR_S * 1000)
    post(alice, file_id)
    assert stored(community, file_id)[0] is None


@pytest.mark.parametrize("days", [None, 1])
def test_the_operator_says_how_long_attached_files_live(open_community, days):
    community = open_community(attached_file_ms=None if days is None else days * DAY_S * 1000)
    alice, admin = community.member("alice"), community.member("admin")
    community.server.give_role(Role(admin.id, admin=True))
    file_id = upload(alice)
    assert expiry_s(alice, file_id) == HOUR_S
    message = post(alice, file_id)
    expected = None if days is None else days * DAY_S
    assert expiry_s(alice, file_id) == expected
    admin.answered(200, "POST", f"/room/lobby/pin/{message}")
    admin.answered(200, "POST", f"/room/lobby/unpin/{message}")
    assert expiry_s(alice, file_id) == expected
    alice.answered(200, "DELETE", f"/room/lobby/message/{message}")
    assert alice.ask("GET", f"{TARGET}/{file_id}").status == 404


def check_name(community, member, name, directory):
    body = name.encode("utf-8", "surrogatepass")
    file_id = upload(member, body, name)
    expected = name.replace("\x00", "\ufffd").replace("/", "\ufffd")
    for suffix in ("", "/any%20thing/../at%00all"):
        answer = community.anonymous.ask("GET", f"{TARGET}/{file_id}{suffix}")
        assert answer.seen_by_client == (200, "application/octet-stream", body)
        disposition = f"attachment; filename*=UTF-8''{quote(expected, safe='')}" if name else "attachment"
        assert answer.headers["content-disposition"] == disposition
        length = str(len(body)) if community.way == "direct" else None
        assert answer.headers.get("content-length") == length
        assert parsedate_to_datetime(answer.headers["date"]).timestamp() == NOW_S
    path = directory / "uploads" / "lobby" / f"{file_id}_{name_on_disk(expected)}"
    assert path.read_bytes() == body


NAMES = {
    "plain": ("pic.png", "pic.png"),
    "spaces": ("my little  file.txt", "my_little_file.txt"),
    "backslashes": ("\\\\\\server\\share\\x.exe", "_server_share_x.exe"),
    "upwards": ("../../../etc/passwd", None),
    "absolute": ("/etc/passwd", None),
    "percent": ("%2e%2e%2f%00.txt", "_2e_2e_2f_00.txt"),
    "nul": ("a\x00b", "a_b"),
    "emoji": ("🎂.txt", "_.txt"),
    "emoji extension": ("cake.🎂", "cake._"),
    "emoji and tricks": ("🎂/../\\%00🎂", None),
    "kept": ("a+b-c.d'e(f)g@h[i]_j", "a+b-c.d'e(f)g@h[i]_j"),
    "letters": ("Größe-名前.txt", "Größe-名前.txt"),
    "long": ("x" * 50 + "y" * 50 + ".tar.gz", "x" * 40 + "..." + "y" * 10 + ".tar.gz"),
    "quotes": ("\"'; filename=x", "_'_filename_x"),
    "dots": ("..", ".."),
    "unnamed": ("", "(unnamed)"),
}


@pytest.mark.parametrize(("name", "on_disk"), NAMES.values(), ids=NAMES)
def test_names_of_all_kinds(open_community, tmp_path, name, on_disk):
    community = open_community(directory=tmp_path)
    check_name(community, community.member("alice"), name, tmp_path)
    if on_disk is not None:
        assert [path.name for path in (tmp_path / "uploads" / "lobby").iterdir()] == [f"1_{on_disk}"]
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "lobby"]
    assert {path.name.partition("-")[0] for path in outside} == {"community.sqlite"}


def test_many_names_of_odd_letters(open_community, tmp_path):
    community = open_community(directory=tmp_path)
    alice = community.member("alice")
    letters = [chr(number) for number in range(256)]
    choose = random.Random(4711)
    for _ in range(40):
        check_name(community, alice, "".join(choose.choices(letters, k=32)), tmp_path)


def test_who_may_upload(community, alice):
    bob, carol = community.member("bob"), community.member("carol")
    community.server.ban(bob.id)
    community.ban_from("lobby", carol)
    assert bob.ask("POST", TARGET, body=b"x").text == "Banned"
    assert carol.ask("POST", TARGET, body=b"x").status == 403
    assert community.anonymous.ask("POST", TARGET, body=b"x").status == 401
    for right in ("upload", "write"):
        rights = {"write": 1, "upload": 1} | {right: 0}
        community.server._database.execute("UPDATE rooms SET write = :write, upload = :upload", rights)
        assert alice.ask("POST", TARGET, body=b"x").status == 403
    # The right to read is another matter.
    community.server._database.execute("UPDATE rooms SET write = 1, upload = 1, read = 0")
    assert upload(alice) == 1


def test_who_may_download(community, alice, admin):
    bob = community.member("bob")
    community.server.ban(bob.id)
    file_id = upload(alice)
    missing = alice.ask("GET", f"{TARGET}/{file_id + 1}")
    assert (missing.status, missing.text) == (404, f"No such file: {file_id + 1}")
    assert bob.ask("GET", f"{TARGET}/{file_id + 1}").status == 403
    assert alice.ask("GET", f"/room/annex/file/{file_id}").status == 404
    for odd in ("9" * 50, f"{file_id}/", "x", ""):
        assert alice.ask("GET", f"{TARGET}/{odd}").status == 404
    community.server._database.execute("UPDATE rooms SET read = 0")
    for suffix in ("", "/x.png", "/../../x"):
        for member in (alice, community.anonymous):
            assert member.ask("GET", f"{TARGET}/{file_id}{suffix}").status == 403
        assert admin.ask("GET", f"{TARGET}/{file_id}{suffix}").body == b"content"


def test_an_empty_file_is_a_file(community, alice):
    file_id = upload(alice, b"")
    answer = community.anonymous.ask("GET", f"{TARGET}/{file_id}")
    assert answer.seen_by_client == (200, "application/octet-stream", b"")


def test_the_operator_limits_the_size(open_community):
    community = open_community(max_upload_bytes=1000)
    alice = community.member("alice")
    assert upload(alice, bytes(1000)) == 1
    assert alice.ask("POST", TARGET, body=bytes(1001)).status == 413
    element = {"method": "POST", "path": TARGET, "b64": "A" * 1336}
    (answer,) = alice.answered(200, "POST", "/batch", [element])
    assert answer["code"] == 413
    # Who may not upload is not told about sizes.
    assert community.anonymous.ask("POST", TARGET, body=bytes(1001)).status == 401


def test_what_cannot_be_written_leaves_nothing_behind(community, alice, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(community.server._stores.uploads._blobs, "put", full)
    assert alice.ask("POST", TARGET, body=b"x").status == 500
    assert stored(community, 1) is None
    monkeypatch.undo()
    assert upload(alice) == 1


def test_ten_million_bytes_pass(community, alice):
    body = random.Random(1).randbytes(10_000_000)
    file_id = upload(alice, body)
    assert community.anonymous.ask("GET", f"{TARGET}/{file_id}").body == body
