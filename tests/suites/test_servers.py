"""Servers are judged from outside: ours pass, broken ones are caught, and what is not there is said."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_conformance.broken import SERVER_FAULTS
from session_conformance.contract import TesteeSpecError
from session_conformance.contract.specs import parse_testee_spec
from session_conformance.expectations import matches_glob
from session_conformance.servers.address import ServerKind, parse_address
from session_conformance.servers.own import open_own
from session_conformance.servers.testee import OpenServer
from session_conformance.verdicts import Verdict
from session_harness.conform import ConformOptions, conform
from session_harness.errors import ExitCode, UsageError
from session_harness.replaying import options_of_case
from session_harness.selfcheck import known_faults, options_of_selfcheck, weigh

# One of each kind of fault; the self-check tries all.
SOME_FAULTS = (
    "node-other-hash",
    "node-any-token",
    "node-batch-stops",
    "node-every-path",
    "file-loses-bytes",
    "comm-since-inclusive",
    "comm-nonces-again",
    "comm-half-batches",
)


@pytest.mark.parametrize("kind", list(ServerKind))
def test_our_own_servers_keep_every_requirement(kind: ServerKind, tmp_path: Path) -> None:
    run = conform(ConformOptions(testees=(f"own:{kind}",), max_examples=4, out=tmp_path, strict=True))
    assert {
        record.check: record.message for record in run.results.records if record.verdict != "passed"
    } == {}
    assert {record.suite for record in run.results.records} == set(kind.suites)
    assert run.code is ExitCode.OK


def test_broken_servers_are_caught(tmp_path: Path) -> None:
    known = known_faults(servers=True)
    options = options_of_selfcheck(SOME_FAULTS, seed="0", max_examples=4, out=tmp_path, servers=True)
    result = weigh(conform(options).results.records, [known[name] for name in SOME_FAULTS], whole=False)
    assert result.missed == ()
    assert result.false_accusations == ()


def test_there_are_enough_faults_of_servers() -> None:
    assert len(SERVER_FAULTS) >= 40
    for fault in SERVER_FAULTS:
        assert fault.sentence.endswith("."), fault.id
        assert fault.id not in known_faults(), "a fault of a client has the same id"


@pytest.fixture
def file_server() -> Iterator[OpenServer]:
    server = open_own(ServerKind.FILES)
    yield server
    server.close()


def test_a_server_is_judged_at_its_url(file_server: OpenServer, tmp_path: Path) -> None:
    """Without its key, what needs onion requests is unsupported."""
    address = file_server.address
    text = f"files:{address.urls[0]}"
    bare = conform(ConformOptions(testees=(text,), max_examples=2, out=tmp_path))
    verdicts = {record.check: record.verdict for record in bare.results.records}
    lacking = {check for check, verdict in verdicts.items() if verdict is Verdict.UNSUPPORTED}
    assert lacking == {"file_server.serves_in_onions", "file_server.refuses_damaged_onions_of_clients"}
    assert set(verdicts.values()) == {Verdict.PASSED, Verdict.UNSUPPORTED}
    reasons = {record.message for record in bare.results.records if record.check in lacking}
    assert reasons == {"files is judged without its public key: give --public-key"}
    keyed = f"{text};public-key={address.public_key}"
    options = ConformOptions(testees=(keyed,), filters=tuple(lacking), max_examples=2, out=tmp_path)
    assert {record.verdict for record in conform(options).results.records} == {Verdict.PASSED}


def test_a_failure_can_be_replayed(tmp_path: Path) -> None:
    options = ConformOptions(
        testees=("broken:file-loses-bytes",), suites=("file_server",), max_examples=2, out=tmp_path
    )
    run = conform(options)
    (failed,) = [record for record in run.results.records if matches_glob(record.check, "*.gives_files_back")]
    assert (failed.verdict, run.code) == (Verdict.FAILED, ExitCode.FAILED)
    assert failed.replay.startswith("session-harness conform --testee broken:file-loses-bytes")
    again = conform(options_of_case(f"{run.directory.id}/{Path(failed.case).name}", tmp_path))
    assert [record.verdict for record in again.results.records] == [Verdict.FAILED]


def test_a_server_that_is_not_there_is_not_judged(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        run = conform(ConformOptions(testees=(f"files:{url}",), max_examples=1, out=tmp_path))
    assert run.code is ExitCode.ERRORED
    assert {record.verdict for record in run.results.records} <= {Verdict.ERRORED, Verdict.NOT_RUN}
    assert "cannot be reached" in run.results.records[0].message


def test_servers_are_not_judged_beside_clients(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a server"):
        conform(ConformOptions(testees=("reference", "own:files"), out=tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("files:ftp://somewhere", "not the URL of a server"),
        ("files:http://", "not the URL of a server"),
        ("files:http://h:99999", "not the URL of a server"),
        ("files:http://a,http://b", "has one URL"),
        ("files:http://a;public-key=00", "not 64 hex digits"),
        ("files:http://a;registry=http://b", "there is no option"),
        ("storage:https://a;public-key=00", "there is no option"),
        ("own:mail", "no server 'mail'"),
    ],
)
def test_an_address_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(TesteeSpecError, match=message):
        parse_testee_spec(text)


def test_an_address_is_read() -> None:
    read = parse_address("storage:https://127.0.0.1:1/,https://127.0.0.1:2;registry=http://127.0.0.1:3")
    assert read.urls == ("https://127.0.0.1:1", "https://127.0.0.1:2")
    assert read.registry == "http://127.0.0.1:3"
    key = "AB" * 32
    assert parse_address(f"community:http://h;public-key={key}").public_key == key.lower()
