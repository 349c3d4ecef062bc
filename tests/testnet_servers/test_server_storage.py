"""What servers leave on disk, and which files they refuse to touch."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_testnet.services.blobs import DirectoryBlobs, MemoryBlobs
from session_testnet.services.community import CommunityServer
from session_testnet.services.encoded_bytes import bytes_of_size, decode_base64
from session_testnet.services.files import FileServer
from session_testnet.services.sqlite_file import DatabaseForm, DatabaseRefused, open_database, transaction

SEED = bytes(range(32))
SERVERS = {"files.sqlite": FileServer, "community.sqlite": CommunityServer}


@pytest.fixture(params=sorted(SERVERS))
def database(request, tmp_path, clock, trace):
    """Return the path of a server's database and what starts the server on it."""
    name = request.param

    def start():
        return SERVERS[name](SEED, clock=clock, trace=trace, directory=tmp_path)

    return tmp_path / name, start


def everything_below(path):
    return {each.relative_to(path): each.read_bytes() for each in path.rglob("*") if each.is_file()}


def refuse(path, start, reason):
    before = everything_below(path.parent)
    with pytest.raises(DatabaseRefused, match=reason) as refusal:
        start()
    assert str(path) in str(refusal.value)
    assert "Move it away" in str(refusal.value)
    assert everything_below(path.parent) == before


def test_a_server_opens_what_it_left(database):
    path, start = database
    start().close()
    start().close()
    assert path.exists()


@pytest.mark.parametrize("content", [b"not a database at all" * 20, b"short", b"SQLite format 3\x00"])
def test_a_file_that_is_no_database_is_refused(database, content):
    path, start = database
    path.write_bytes(content)
    refuse(path, start, "not an SQLite database")


def test_a_database_of_another_program_is_refused(database):
    path, start = database
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE precious(data)")
        other.execute("INSERT INTO precious VALUES ('keep me')")
    other.close()
    refuse(path, start, "is not one of a session-harness")


def test_a_directory_in_the_place_of_the_database_is_refused(database):
    path, start = database
    path.mkdir()
    (path / "something").write_text("kept")
    refuse(path, start, "not a file")


def test_a_directory_that_is_missing_is_made(clock, trace, tmp_path):
    FileServer(SEED, clock=clock, trace=trace, directory=tmp_path / "not" / "yet").close()
    assert (tmp_path / "not" / "yet" / "files.sqlite").exists()


def test_the_other_servers_database_is_refused(tmp_path, clock, trace):
    FileServer(SEED, clock=clock, trace=trace, directory=tmp_path).close()
    (tmp_path / "files.sqlite").rename(tmp_path / "community.sqlite")
    refuse(
        tmp_path / "community.sqlite",
        lambda: CommunityServer(SEED, clock=clock, trace=trace, directory=tmp_path),
        "is not one of a session-harness community server",
    )


def test_another_version_of_the_tables_is_refused(database):
    path, start = database
    start().close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    refuse(path, start, "version 99, and [0-9]+ is needed")


def test_a_damaged_database_is_refused(database):
    path, start = database
    start().close()
    content = bytearray(path.read_bytes())
    content[120:-200] = b"\x5a" * (len(content) - 320)
    path.write_bytes(content)
    refuse(path, start, "damaged")


def test_a_truncated_database_is_refused(database):
    path, start = database
    start().close()
    path.write_bytes(path.read_bytes()[:4096])
    refuse(path, start, "damaged")


def test_a_killed_server_leaves_a_database_that_opens(database):
    """Copy the files of a running server, as a kill would leave them: the log is not yet in the database."""
    path, start = database
    server = start()
    left = everything_below(path.parent)
    server.close()
    for name, content in left.items():
        (path.parent / name).write_bytes(content)
    start().close()


FORM = DatabaseForm("thing", 0x12345678, 3, "CREATE TABLE numbers(n INTEGER);")


def test_a_transaction_is_done_completely_or_not_at_all(tmp_path):
    connection = open_database(tmp_path / "x.sqlite", FORM)
    with transaction(connection):
        connection.execute("INSERT INTO numbers VALUES (1)")

    def fail_halfway():
        with transaction(connection):
            connection.execute("INSERT INTO numbers VALUES (2)")
            connection.execute("INSERT INTO missing VALUES (3)")

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        fail_halfway()
    assert [row[0] for row in connection.execute("SELECT n FROM numbers")] == [1]
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    connection.close()


@pytest.mark.parametrize("in_memory", [True, False])
def test_blobs_are_kept_replaced_and_forgotten(tmp_path, in_memory):
    blobs = MemoryBlobs() if in_memory else DirectoryBlobs(tmp_path)
    assert blobs.get("a/b") is None
    blobs.put("a/b", b"one")
    blobs.put("a/b", b"two")
    assert blobs.get("a/b") == b"two"
    blobs.delete("a/b")
    blobs.delete("a/b")
    assert blobs.get("a/b") is None


@pytest.mark.parametrize("key", ["", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a\x00b"])
def test_blobs_do_not_leave_their_directory(tmp_path, key):
    blobs = DirectoryBlobs(tmp_path / "blobs")
    for touch in (lambda: blobs.put(key, b""), lambda: blobs.get(key), lambda: blobs.delete(key)):
        with pytest.raises(ValueError, match="not a relative path"):
            touch()


@given(st.binary(min_size=4, max_size=80))
def test_bytes_are_read_from_hex_and_base64(data):
    import base64

    padded = base64.b64encode(data).decode()
    for text in (padded, padded.rstrip("="), data.hex(), data.hex().upper()):
        assert bytes_of_size(text, len(data)) == data
        assert bytes_of_size(text, len(data) + 1) is None
    assert decode_base64(padded) == data


@pytest.mark.parametrize(
    "text", ["a", "ab=", "abc==", "a=bc", "ab-_", "ab cd", "abcd\n", "é===", "=", "===="]
)
def test_what_is_no_base64_is_refused(text):
    assert decode_base64(text) is None
