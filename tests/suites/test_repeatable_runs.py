"""A seed fixes a run: the same requests reach the testee, byte for byte."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Judge

STATELESS = ("attachments.*", "content.*", "envelope.*", "identity.*", "mnemonic.*", "onion.*", "sealing.*")

# The requests of the testee go into a file of its process; what it draws follows from the seed of hello.
LISTENS = """
import os, json
from session_conformance.testees.reference.testee import ReferenceTestee

class Mine(ReferenceTestee):
    def handle(self, request):
        with open(os.environ["HEARD"], "a") as heard:
            heard.write(json.dumps(request, sort_keys=True) + "\\n")
        return super().handle(request)
"""


def heard(
    judged: "Judge", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *checks: str, seed: str
) -> list[str]:
    monkeypatch.setenv("HEARD", str(tmp_path / name))
    judged(LISTENS, *checks, seed=seed, max_examples=15)
    return (tmp_path / name).read_text().splitlines()


def test_one_seed_is_one_run(judged: "Judge", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = heard(judged, tmp_path, monkeypatch, "first", *STATELESS, "padding.*", "storage*", seed="3")
    second = heard(judged, tmp_path, monkeypatch, "second", *STATELESS, "padding.*", "storage*", seed="3")
    assert len(first) > 500
    assert first == second


def test_another_seed_is_another_run(
    judged: "Judge", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [
        [json.loads(line) for line in heard(judged, tmp_path, monkeypatch, seed, "sealing.opens*", seed=seed)]
        for seed in ("3", "4")
    ]
    sealed = [
        {request["params"]["ciphertext"] for request in each if request["op"] == "session.decrypt"}
        for each in requests
    ]
    assert sealed[0] - sealed[1]
    assert sealed[1] - sealed[0]
