"""The commands that let nodes join and leave, on a testnet in the background."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from session_harness.cli.root import run

Command = Callable[..., SimpleNamespace]


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Run commands about a detached testnet of three nodes; it ends with the module."""
    folder = tmp_path_factory.mktemp("swarm-cli")

    def command(*arguments: str) -> SimpleNamespace:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(folder)
            patch.setenv("SESSION_HARNESS_STATE_DIR", str(folder / "state"))
            code = int(run(list(arguments)))
        return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue(), folder=folder)

    started = command("up", "--detach", "--nodes", "3", "--ttl", "5m")
    assert started.code == 0, started.err
    yield command
    ended = command("down")
    assert ended.code == 0, ended.err


def names_on_disk(folder: Path) -> list[str]:
    state = json.loads((folder / "state" / "default.json").read_text("utf-8"))
    return [node["name"] for node in state["nodes"]]


def answer(done: SimpleNamespace) -> Any:
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_node_joins_and_leaves(harness: Command) -> None:
    added = answer(harness("node", "add", "--json"))
    assert (added["name"], added["status"]) == ("node-04", "running")
    shown = harness("status")
    assert "node-04" in shown.out
    assert "4 service nodes" in shown.out
    named = harness("node", "add", "latecomer")
    assert "latecomer has joined swarm" in named.out
    removed = harness("node", "remove", "node-04")
    assert removed.out == "node-04 has left\n"
    assert names_on_disk(removed.folder) == ["node-01", "node-02", "node-03", "latecomer"]
    assert answer(harness("node", "remove", "latecomer", "--json")) == {"name": "latecomer", "removed": True}
    assert "node-04" not in harness("status").out


def test_a_node_is_decommissioned_and_recommissioned(harness: Command) -> None:
    out = answer(harness("node", "decommission", "node-02", "--json"))
    assert out["swarm_id"] == "ffffffffffffffff"
    again = harness("node", "decommission", "node-02")
    assert again.code != 0
    assert "already decommissioned" in again.err
    assert "node-02 is in swarm 0" in harness("node", "recommission", "node-02").out


@pytest.mark.parametrize("verb", ["remove", "decommission", "recommission"])
def test_a_node_that_does_not_exist_is_named(harness: Command, verb: str) -> None:
    refused = harness("node", verb, "node-99")
    assert refused.code == 64
    assert "there is no node 'node-99'" in refused.err
