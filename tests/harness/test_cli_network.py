"""The command line and a testnet that really runs: in the background, in the foreground, by hand."""

import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from session_harness.cli.root import run
from session_harness.serving import end_network
from session_testnet.control.state_file import state_schema

STATE_KEYS = {
    "schema", "name", "engine", "seed", "pid", "registry", "nodes", "community", "files", "gateway",
    "control",
}  # fmt: skip


@dataclass
class Shared:
    """A testnet that all tests here share; commands about it run in this process, which is quick."""

    folder: Path
    state: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *arguments: str) -> SimpleNamespace:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.folder)
            patch.setenv("SESSION_HARNESS_STATE_DIR", str(self.folder / "state"))
            code = int(run(list(arguments)))
        return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())

    def json(self, *arguments: str) -> Any:
        done = self(*arguments, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A detached testnet of five nodes, and the commands that act on it."""
    shared = Shared(tmp_path_factory.mktemp("network"))
    shared.state = shared.json("up", "--detach", "--nodes", "5", "--ttl", "5m")
    yield shared
    ended = shared("down")
    assert ended.code == 0, ended.err


@pytest.fixture
def process(cli: Any) -> Iterator[Any]:
    """Start a command; what still runs afterwards is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        started.append(cli.start(*arguments))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.communicate(timeout=30)


def exists(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_detached_prints_the_state_that_it_wrote_for_its_owner_only(up: Shared) -> None:
    path = up.folder / "state" / "default.json"
    assert json.loads(path.read_text()) == up.state
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(up.state) >= STATE_KEYS
    assert len(up.state["nodes"]) == 5
    assert exists(up.state["pid"])
    assert os.getsid(up.state["pid"]) == up.state["pid"], (
        "in a session of its own: closing a terminal does not end it"
    )


def test_the_registry_of_the_network_answers(up: Shared) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": "0", "method": "get_n_service_nodes", "params": {}}).encode()
    request = urllib.request.Request(f"{up.state['registry']['url']}/json_rpc", body)  # noqa: S310
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        assert len(json.load(answer)["result"]["service_node_states"]) == 5


def test_a_second_network_of_the_same_name_is_refused(up: Shared) -> None:
    done = up("up", "--nodes", "4", "--ttl", "1")
    assert done.code == 3
    pid = up.state["pid"]
    assert done.err.splitlines() == [
        f"error: a testnet called 'default' is running already, as process {pid}",
        "hint: end it with: session-harness down --name default, or choose another name with --name",
    ]


def test_status_shows_services_nodes_and_what_was_changed(up: Shared) -> None:
    found = up.json("status")
    assert [node["status"] for node in found["nodes"]] == ["running"] * 5
    assert found["registry"] == up.state["registry"]
    assert found["clock_offset_ms"] == 0
    text = up("status").out
    assert up.state["registry"]["url"] in text
    for node in found["nodes"]:
        assert f"https://{node['ip']}:{node['https_port']}" in text
        assert node["pubkey_ed25519"] in text


def test_the_environment_can_be_evaluated_by_a_shell(up: Shared) -> None:
    exports = up("env").out
    program = f'{exports}\nprintf \'%s\\n\' "$LOCAL_DEVNET_SEED_URL" "$HTTPS_PROXY" "$NO_PROXY"'
    shown = subprocess.run(
        ["sh", "-c", program], capture_output=True, text=True, check=True, timeout=10
    ).stdout
    assert shown.split() == [up.state["registry"]["url"], up.state["gateway"]["url"], "127.0.0.0/8"]
    assert up.json("env") == {
        "LOCAL_DEVNET_SEED_URL": up.state["registry"]["url"],
        "DEVNET_SEED_URL": up.state["registry"]["url"],
        "HTTP_PROXY": up.state["gateway"]["url"],
        "HTTPS_PROXY": up.state["gateway"]["url"],
        "NO_PROXY": "127.0.0.0/8",
        "http_proxy": up.state["gateway"]["url"],
        "https_proxy": up.state["gateway"]["url"],
        "no_proxy": "127.0.0.0/8",
    }


def test_a_node_can_be_stopped_started_paused_and_resumed(up: Shared) -> None:
    for verb, status in (
        ("stop", "stopped"),
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
    ):
        done = up("node", verb, "node-02")
        assert (done.code, done.out) == (0, f"node-02 is {status}\n"), done.err
    assert up.json("node", "restart", "node-02")["status"] == "running"
    done = up("node", "stop", "node-20")
    assert done.code == 64
    assert done.err.startswith("error: there is no node 'node-20'\nhint: did you mean 'node-0")


def test_the_clock_can_be_moved_forth_and_back(up: Shared) -> None:
    assert up.json("clock", "move", "2h")["offset_ms"] == 7_200_000
    shown = up.json("clock", "show")
    assert shown["offset_ms"] == 7_200_000
    assert abs(shown["now_ms"] / 1000 - 7200 - time.time()) < 30
    assert up("clock", "move", "-2h").out.endswith("(+0 s from this machine)\n")
    assert up.json("clock", "skew", "node-01", "-90s") == {"node": "node-01", "offset_ms": -90_000}
    assert up("clock", "skew", "node-01", "0").out == "node-01 is +0 s off the testnet's clock\n"


def test_faults_are_added_listed_and_cleared(up: Shared) -> None:
    first = up.json("faults", "add", "delay", "--delay", "250ms", "--node", "node-03", "--method", "store")[
        "id"
    ]
    second = up.json("faults", "add", '{"action": "status", "status": 503, "times": 2}')["id"]
    rules = {rule["id"]: rule for rule in up.json("faults", "list")["faults"]}
    assert set(rules) == {first, second}
    assert (rules[first]["action"], rules[first]["node"], rules[first]["delay_ms"]) == (
        "delay",
        "node-03",
        250,
    )
    assert "status on *" in up("faults", "list").out
    done = up("faults", "clear", "no-such")
    assert (done.code, done.err.splitlines()[0]) == (64, "error: there is no fault 'no-such'")
    assert up.json("faults", "clear", first) == {"cleared": [first]}
    assert up("faults", "clear").out == f"cleared {second}\n"
    assert up("faults", "list").out == "no faults\n"


def test_a_fault_that_does_not_exist_is_refused_by_the_network(up: Shared) -> None:
    done = up("faults", "add", "explode")
    assert done.code == 2
    assert re.fullmatch(r"error: [^\n]*explode[^\n]*\nhint: [^\n]+\n", done.err)


def test_a_message_sent_by_hand_arrives(up: Shared) -> None:
    alice, bob = up.json("account", "new"), up.json("account", "new")
    (up.folder / "bob").write_text(bob["recovery_password"])
    sent = up.json("send", "--from", alice["recovery_password"], "--to", bob["account_id"], "héllo\x1b[2J")
    assert sent["hash"]
    (message,) = [json.loads(line) for line in up("watch", "bob", "--once", "--json").out.splitlines()]
    assert message["sender"] == alice["account_id"]
    assert message["content"]["body"] == "héllo\x1b[2J"
    assert message["hash"] == sent["hash"]
    readable = up("watch", "bob", "--once").out
    assert readable.endswith(f"← {alice['account_id'][:12]}…  héllo\\x1b[2J\n")
    (copy,) = [
        json.loads(line) for line in up("watch", alice["seed_hex"], "--once", "--json").out.splitlines()
    ]
    assert copy["outgoing"] is True


def test_the_trace_tells_what_happened(up: Shared) -> None:
    up("node", "restart", "node-04")
    events = [json.loads(line) for line in up("trace", "--kind", "node", "--json").out.splitlines()]
    assert events
    assert {event["kind"] for event in events} == {"node"}
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    later = up("trace", "--since", str(events[-1]["seq"]), "--kind", "node").out
    assert later == ""
    assert "node-04" in up("trace", "--kind", "node").out


def test_logs_of_one_or_all(up: Shared) -> None:
    assert len(up("logs", "--tail", "3").out.splitlines()) <= 3
    done = up("logs", "node-99")
    assert done.code == 2
    assert done.err.startswith("error: there is no log of 'node-99'")
    for line in up("logs", "--json").out.splitlines():
        assert set(json.loads(line)) == {"line"}


def test_the_token_of_another_network_is_refused(up: Shared, tmp_path: Path) -> None:
    forged = tmp_path / "state.json"
    state = {**up.state, "control": {**up.state["control"], "token": "x"}}
    forged.write_text(json.dumps(state))
    done = up("status", "--state", str(forged))
    assert done.code == 2
    assert "the control token is missing or wrong" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_in_the_foreground_a_signal_ends_it_with_0_and_leaves_nothing(
    cli: Any, process: Any, number: int
) -> None:
    child = process("up", "--nodes", "4", "--json", "--name", "mine", "--data-dir", "data")
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, child.communicate(timeout=30)[1]
    state = json.loads(line)
    assert state["name"] == "mine"
    path = cli.folder / "state" / "mine.json"
    assert json.loads(path.read_text())["pid"] == child.pid
    assert any((cli.folder / "data").rglob("*")), "the data is kept where it was asked for"
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (0, "")
    assert err == "testnet 'mine' ended (by signal)\n"
    assert not path.exists()


def test_nodes_imitate_the_release_that_is_asked_for(process: Any) -> None:
    child = process("up", "--nodes", "4", "--json", "--name", "older", "--node-version", "2.8.0")
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, child.communicate(timeout=30)[1]
    url = f"{json.loads(line)['registry']['url']}/json_rpc"
    body = b'{"method": "get_service_nodes", "params": {"fields": ["storage_server_version"]}}'
    request = urllib.request.Request(url, body)  # noqa: S310
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        nodes = json.load(answer)["result"]["service_node_states"]
    assert [node["storage_server_version"] for node in nodes] == [[2, 8, 0]] * 4
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)


def test_it_ends_by_itself_when_its_time_is_over(cli: Any) -> None:
    done = cli("up", "--nodes", "4", "--ttl", "10ms")
    assert done.code == 0, done.err
    assert done.err.splitlines()[-1] == "testnet 'default' ended (its time to live is over)"
    assert re.search(r"^  registry +http://127\.0\.0\.1:\d+", done.out, re.MULTILINE)
    assert not (cli.folder / "state" / "default.json").exists()


def test_down_ends_a_network_in_the_foreground(cli: Any, process: Any) -> None:
    child = process("up", "--nodes", "4", "--json", "--state", "here.json")
    assert child.stdout is not None
    assert child.stdout.readline()
    done = cli("down", "--state", "here.json")
    assert (done.code, done.err) == (0, "testnet 'default' has ended\n")
    _out, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (0, "testnet 'default' ended (as asked)\n")
    assert not (cli.folder / "here.json").exists()


LINGERS = "import sys, threading; print(flush=True); sys.stdin.read(); threading.Event().wait(0.3)"


def test_a_network_has_ended_when_its_process_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state file is gone before the process is."""
    path = tmp_path / "here.json"
    child = subprocess.Popen([sys.executable, "-c", LINGERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    stdin = child.stdin

    class Handle:
        def __init__(self, state: dict[str, Any]) -> None:
            assert state["pid"] == child.pid

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def request_shutdown(self) -> None:
            path.unlink()
            stdin.close()

    monkeypatch.setattr("session_testnet.AttachedNetworkHandle", Handle)
    state: dict[str, Any] = dict.fromkeys(state_schema()["required"])
    path.write_text(json.dumps({**state, "schema": 1, "name": "mine", "pid": child.pid}))
    with child, child.stdout:
        assert end_network(path) == "testnet 'mine' has ended"
        assert child.poll() == 0, "the process goes on"


def test_what_keeps_a_detached_network_from_starting_is_said(cli: Any) -> None:
    (cli.folder / "file").write_text("")
    done = cli("up", "--detach", "--nodes", "4", "--data-dir", "file/data")
    assert done.code == 3
    assert done.error.startswith("the directory ")
    assert "--data-dir" in done.hint


def test_a_testnet_goes_on_from_a_snapshot(cli: Any, tmp_path: Path) -> None:
    data, saved = str(tmp_path / "data"), str(tmp_path / "saved")
    cli("up", "--detach", "--nodes", "1", "--name", "old", "--seed", "7", "--data-dir", data)
    try:
        refused = cli("snapshot", "save", saved, "--name", "old")
        assert (refused.code, refused.hint) == (2, "pause or stop all nodes first")
        cli("clock", "move", "2d", "--name", "old")
        cli("node", "pause", "node-01", "--name", "old")
        answer = cli("snapshot", "save", saved, "--name", "old", "--json")
        assert json.loads(answer.out) == {"file": saved, "bytes": Path(saved).stat().st_size}
    finally:
        cli("down", "--name", "old")
    new = str(tmp_path / "new")
    loaded = cli("snapshot", "load", saved, "--data-dir", new, "--name", "new", "--detach", "--json")
    assert loaded.code == 0, loaded.err
    try:
        status = json.loads(cli("status", "--name", "new", "--json").out)
        assert (status["name"], status["seed"], status["clock_offset_ms"]) == ("new", "7", 172_800_000)
        assert status["nodes"][0]["status"] == "running"
    finally:
        cli("down", "--name", "new")
    again = cli("up", "--snapshot", saved, "--data-dir", new)
    assert again.code == 3
    assert again.error.endswith("is not an empty directory")


def test_what_is_no_snapshot_is_refused(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    where = ("--data-dir", str(tmp_path / "new"))
    for arguments, error in (
        (("snapshot", "load", str(tmp_path / "text"), *where), f"{tmp_path / 'text'} is not a snapshot"),
        (("up", "--snapshot", str(tmp_path / "text"), *where, "--nodes", "3"), "--nodes cannot be combined"),
        (("up", "--snapshot", str(tmp_path / "text")), "a snapshot needs a directory to go on in"),
    ):
        refused = cli(*arguments)
        assert refused.code == 64
        assert refused.error.startswith(error)
    assert not (tmp_path / "new").exists()
