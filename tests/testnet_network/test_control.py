"""The control interface over HTTP: the same commands, behind one token."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from session_testnet import AttachedNetworkHandle, NetworkHandle
from session_testnet.control.commands import COMMANDS
from session_testnet.control.errors import ControlError


@pytest.fixture
def attached(small_network: NetworkHandle) -> Iterator[AttachedNetworkHandle]:
    with AttachedNetworkHandle(small_network.state) as handle:
        yield handle


def ask(network: NetworkHandle, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
    control = network.state["control"]
    headers = {"Authorization": f"Bearer {control['token'] if token is None else token}"}
    data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
    try:
        request = urllib.request.Request(control["url"] + path, data, headers)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_an_attached_handle_does_what_a_local_one_does(
    small_network: NetworkHandle, attached: AttachedNetworkHandle
) -> None:
    attached.node("node-02").stop()
    assert small_network.node("node-02").status()["status"] == "stopped"
    attached.node("node-02").start()
    assert attached.node("node-02").status() == small_network.node("node-02").status()
    account = "05" + "ab" * 32
    assert [n.name for n in attached.swarm(account)] == [n.name for n in small_network.swarm(account)]
    assert attached.clock.offset_ms == small_network.clock.offset_ms


def test_errors_come_through_with_their_hints(attached: AttachedNetworkHandle) -> None:
    with pytest.raises(ControlError, match="there is no command") as refused:
        attached.command("explode")
    assert "state" in refused.value.hint
    with pytest.raises(ControlError, match="'ms' must be a whole number"):
        attached.command("clock.move", ms="tomorrow")


def test_a_wrong_token_is_refused(small_network: NetworkHandle) -> None:
    status, answer = ask(small_network, "/command", {"command": "state"}, token="guess")
    assert status == 401
    assert "token" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"not json", "not JSON"),
        ({"params": {}}, "names no command"),
        ([], "names no command"),
        ({"command": "state", "params": 7}, "not an object"),
        ({"command": "node.act", "params": {"node": "node-01"}}, "'verb' must be a text"),
        ({"command": "faults.add", "params": {"rule": "break it"}}, "'rule' must be an object"),
        ({"command": "faults.add", "params": {"rule": {"action": "explode"}}}, "explode"),
        ({"command": "swarm", "params": {"account_id": "me"}}, "66 hex"),
        ({"command": "logs", "params": {"node": "node-99"}}, "no log of 'node-99'"),
    ],
)
def test_bad_commands_say_what_is_wrong(small_network: NetworkHandle, body: Any, complaint: str) -> None:
    status, answer = ask(small_network, "/command", body)
    assert status == 400
    assert complaint in answer["error"]["message"]


def test_each_node_has_a_url_of_its_own(small_network: NetworkHandle) -> None:
    node = small_network.state["nodes"][0]
    path = node["control_url"].removeprefix(small_network.state["control"]["url"])
    status, answer = ask(small_network, path)
    assert status == 200
    assert answer["result"]["status"] == "running"
    assert ask(small_network, f"{path}/pause", {})[1]["result"]["status"] == "paused"
    assert ask(small_network, f"{path}/resume", {})[1]["result"]["status"] == "running"
    assert ask(small_network, f"{path}/explode", {})[0] == 400


def test_every_command_answers_in_json(small_network: NetworkHandle) -> None:
    for name in COMMANDS:
        # Without parameters a node would really join the network that all tests share.
        params = {"node": 7} if name == "node.add" else {}
        status, answer = ask(small_network, "/command", {"command": name, "params": params})
        assert status in (200, 400), f"{name}: {answer}"
        assert ("result" in answer) == (status == 200)


def test_a_handle_survives_a_closed_connection(attached: AttachedNetworkHandle) -> None:
    assert attached.command("clock")
    assert attached._connection is not None
    attached._connection.sock.close()
    attached._connection.sock = None
    assert attached.command("clock")


def test_a_network_that_is_gone_is_named(small_network: NetworkHandle) -> None:
    state = {**small_network.state, "control": {"url": "http://127.0.0.1:9", "token": "x" * 20}}
    with pytest.raises(ControlError, match="'small' does not answer"):
        AttachedNetworkHandle(state).command("state")
