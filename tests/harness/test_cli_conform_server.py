"""``conform-server`` judges servers over real sockets, and keeps the token of a community to itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_conformance.servers.address import ServerKind
from session_conformance.servers.own import open_own
from session_harness.cli.conform_server import TOKEN_VARIABLE


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "there is no server to judge"),
        (["--files", "http://a", "--community", "http://b"], "one kind of server"),
        (["--files", "http://a", "--registry", "http://b"], "--registry goes with --storage"),
        (["--storage", "https://a", "--public-key", "00"], "--public-key goes with"),
        (["--files", "http://a", "--control-token", "t"], "--control-token goes with --community"),
        (["--files", "somewhere"], "not the URL of a server"),
        (["--files", "http://a", "--public-key", "00"], "not 64 hex digits"),
        (["--files", "http://a", "--suite", "onion"], "there is no suite"),
    ],
)
def test_wrong_usage_is_said(in_process: Callable[..., Any], arguments: list[str], sentence: str) -> None:
    done = in_process("conform-server", *arguments)
    assert done.code == 64
    assert sentence in done.err
    assert "hint:" in done.err


def test_a_community_is_judged_and_its_token_kept(
    in_process: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    server = open_own(ServerKind.COMMUNITY)
    try:
        done = in_process(
            "conform-server",
            "--community", server.address.urls[0],
            "--public-key", server.address.public_key,
            "--control-token", server.control_token,
            "--max-examples", "2",
            "--filter", "community_posts.*",
            "--json",
        )  # fmt: skip
    finally:
        server.close()
    assert done.code == 0, done.err
    (testee,) = json.loads(done.out)["testees"]
    assert testee["name"] == "community"
    assert testee["counts"] == {"passed": 13}
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert [path for path in kept if server.control_token.encode() in path.read_bytes()] == []


def test_evidence_does_not_show_the_token(
    in_process: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong token fails every check that needs the control endpoint; the transcripts leave it out."""
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    server = open_own(ServerKind.COMMUNITY)
    wrong = "wrong-token-of-this-test"
    try:
        done = in_process(
            "conform-server",
            "--community", server.address.urls[0],
            "--public-key", server.address.public_key,
            "--control-token", wrong,
            "--filter", "community_posts.pins_posts",
        )  # fmt: skip
    finally:
        server.close()
    assert done.code == 1
    transcripts = list(tmp_path.rglob("cases/*/*.jsonl"))
    assert transcripts
    assert any(b"/_control" in path.read_bytes() for path in transcripts)
    assert [
        path for path in tmp_path.rglob("*") if path.is_file() and wrong.encode() in path.read_bytes()
    ] == []
