"""``room``: rooms, roles and bans by hand, on a testnet that really runs."""

import http.client
import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from session_harness.cli.root import run
from session_protocol.accounts import Account
from session_protocol.community import auth_headers, blind15_key

if TYPE_CHECKING:
    from conftest import CommandLine

ALICE, BOB = (Account.from_seed(name * 32) for name in (b"a", b"b"))

TOPOLOGY = f"""
name = "villages"
nodes = 1
require_blinding = false

[[room]]
token = "kitchen"
default_upload = false

[[role]]
id = "{BOB.account_id}"
room = "Kitchen"
visible = false

[[role]]
id = "{ALICE.account_id}"
admin = true
visible = true
"""


@dataclass
class Villages:
    """A testnet that all tests here share; commands about it run in this process, which is quick."""

    folder: Path

    def __call__(self, *arguments: str) -> SimpleNamespace:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.folder)
            patch.setenv("SESSION_HARNESS_STATE_DIR", str(self.folder / "state"))
            code = int(run(list(arguments)))
        said = dict(line.split(": ", 1) for line in err.getvalue().splitlines() if ": " in line)
        return SimpleNamespace(
            code=code,
            out=out.getvalue(),
            err=err.getvalue(),
            error=said.get("error", ""),
            hint=said.get("hint", ""),
        )


@pytest.fixture(scope="module")
def villages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Villages]:
    """A testnet of a topology file, in test mode."""
    line = Villages(tmp_path_factory.mktemp("rooms"))
    (line.folder / "villages.toml").write_text(TOPOLOGY)
    done = line("up", "--topology", "villages.toml", "--test-mode", "--detach", "--ttl", "10m")
    assert done.code == 0, done.err
    try:
        yield line
    finally:
        assert line("down").code == 0


def read(done: SimpleNamespace) -> Any:
    assert done.code == 0, done.err
    return json.loads(done.out)


def state(villages: Villages) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((villages.folder / "state" / "default.json").read_text())
    return found


def ask(villages: Villages, account: Account, method: str, target: str, body: Any = None) -> tuple[int, Any]:
    """Ask the community server as an account would."""
    community = state(villages)["community"]
    sent = None if body is None else json.dumps(body).encode()
    headers = auth_headers(
        account,
        bytes.fromhex(community["public_key"]),
        method,
        target,
        sent,
        nonce=os.urandom(16),
        timestamp_s=int(time.time()),
        mode="unblinded",
    )
    connection = http.client.HTTPConnection(community["url"].removeprefix("http://"), timeout=30)
    try:
        connection.request(method, target, sent, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    is_json = answer.headers["Content-Type"] == "application/json"
    return answer.status, json.loads(content) if is_json else content.decode()


def test_rooms_and_roles_of_a_topology(villages: Villages) -> None:
    (kitchen,) = read(villages("room", "list", "--json"))["rooms"]
    assert kitchen["default_rights"] == ["read", "accessible", "write"]
    assert kitchen["admins"] == [ALICE.account_id]
    assert kitchen["hidden_moderators"] == [BOB.account_id]
    shown = villages("room", "list").out
    assert f"hidden moderator {BOB.account_id}" in shown
    assert kitchen["join_url"] in shown
    assert ask(villages, BOB, "GET", "/room/kitchen")[1]["moderator"] is True
    assert ask(villages, ALICE, "GET", "/room/kitchen")[1]["global_admin"] is True


def test_rooms_come_and_go(villages: Villages) -> None:
    made = read(villages("room", "create", "garden", "--title", "Garten", "--description", "Ä", "--json"))
    assert (made["token"], made["name"], made["description"]) == ("garden", "Garten", "Ä")
    # Whoever reads the state file finds it there.
    links = {room["token"]: room["join_url"] for room in state(villages)["community"]["rooms"]}
    assert links["garden"] == made["join_url"]
    assert ask(villages, BOB, "GET", "/room/garden")[1]["name"] == "Garten"
    again = villages("room", "create", "GARDEN")
    assert (again.code, again.error) == (2, "there is a room 'GARDEN' already")
    assert read(villages("room", "delete", "garden", "--json")) == {"token": "garden", "deleted": True}
    assert [room["token"] for room in state(villages)["community"]["rooms"]] == ["kitchen"]
    gone = villages("room", "delete", "garden")
    assert (gone.code, gone.error, gone.hint) == (2, "there is no room 'garden'", "the rooms are: kitchen")
    assert ask(villages, BOB, "GET", "/room/garden")[0] == 404


def test_roles(villages: Villages) -> None:
    someone = Account.from_seed(b"s" * 32)
    where = ("--room", "kitchen")

    def seen() -> dict[str, Any]:
        status, room = ask(villages, someone, "GET", "/room/kitchen")
        assert status == 200
        return {
            name: flag for name, flag in room.items() if name in ("moderator", "admin", "global_moderator")
        }

    done = read(villages("room", "promote", someone.account_id, *where, "--admin", "--json"))
    assert done == {"id": someone.account_id, "room": "kitchen", "role": "admin"}
    assert seen() == {"moderator": True, "admin": True}
    done = villages("room", "promote", someone.account_id, *where, "--moderator", "--hidden")
    assert done.out == f"{someone.account_id} is a moderator of kitchen\n"
    assert seen() == {"moderator": True}
    (kitchen,) = read(villages("room", "list", "--json"))["rooms"]
    assert someone.account_id in kitchen["hidden_moderators"]
    assert villages("room", "promote", someone.account_id, *where, "--remove").code == 0
    assert seen() == {}
    assert villages("room", "promote", someone.account_id, "--global", "--moderator", "--visible").code == 0
    assert seen() == {"moderator": True, "global_moderator": True}
    banned = villages("room", "ban", someone.account_id)
    assert "is a moderator of the server" in banned.error
    assert villages("room", "promote", someone.account_id, "--global", "--remove").code == 0
    assert seen() == {}


def test_bans(villages: Villages) -> None:
    someone = Account.from_seed(b"t" * 32)
    target = "/room/kitchen"
    assert ask(villages, someone, "GET", target)[0] == 200
    done = read(villages("room", "ban", someone.account_id, "--room", "kitchen", "--json"))
    assert done == {"id": someone.account_id, "room": "kitchen", "banned": True}
    assert ask(villages, someone, "GET", target)[0] == 404
    done = villages("room", "ban", someone.account_id, "--room", "kitchen", "--unban")
    assert done.out == f"{someone.account_id} may come back to kitchen\n"
    assert ask(villages, someone, "GET", target)[0] == 200
    assert villages("room", "ban", someone.account_id, "--timeout", "30m").code == 0
    assert ask(villages, someone, "GET", target) == (403, "Banned")
    # The cleanup that ends it is asked for, not waited for.
    assert villages("clock", "move", "31m").code == 0
    community, token = state(villages)["community"]["url"], state(villages)["control"]["token"]
    connection = http.client.HTTPConnection(community.removeprefix("http://"), timeout=30)
    connection.request("POST", "/_control", b'{"op": "cleanup"}', {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())[3]) == (200, 1)
    connection.close()
    assert ask(villages, someone, "GET", target)[0] == 200
    assert villages("clock", "move", "-31m").code == 0


@pytest.mark.parametrize(
    ("code", "word", "words"),
    [
        (2, "is no room token", ("create", "a b")),
        (2, "is no room token", ("create", "x" * 65)),
        (2, "is no id of a user", ("promote", "alice", "--global", "--admin")),
        (2, "is no id of a user", ("ban", "03" + "11" * 32)),
        (2, "there is no room 'nowhere'", ("promote", "05" + "11" * 32, "--room", "nowhere", "--admin")),
        (2, "there is no room 'nowhere'", ("ban", "05" + "11" * 32, "--room", "nowhere")),
        (64, "promote to what", ("promote", "05" + "11" * 32, "--global")),
        (64, "promote where", ("promote", "05" + "11" * 32, "--admin")),
        (64, "promote where", ("promote", "05" + "11" * 32, "--admin", "--global", "--room", "kitchen")),
        (64, "--timeout does not go with --unban", ("ban", "05" + "11" * 32, "--unban", "--timeout", "1m")),
        (64, "longer than nothing", ("ban", "05" + "11" * 32, "--timeout", "0s")),
        (64, "missing argument", ("create",)),
    ],
)
def test_what_cannot_be(villages: Villages, code: int, word: str, words: tuple[str, ...]) -> None:
    done = villages("room", *words)
    assert (done.code, word in done.error) == (code, True), done.err
    assert done.out == ""


def test_as_a_process(cli: "CommandLine") -> None:
    done = cli("room", "list")
    assert (done.code, "no network" in done.error) == (2, True)
    assert cli("up", "--nodes", "1", "--detach", "--ttl", "5m").code == 0
    try:
        made = cli("room", "create", "garden")
        assert (made.code, made.err) == (0, "")
        assert "/garden?public_key=" in made.out
        done = cli("room", "promote", ALICE.account_id, "--room", "garden", "--admin")
        assert done.out == f"{ALICE.account_id} is an admin of garden\n"
        refused = cli("room", "delete", "nowhere")
        assert (refused.code, refused.out, refused.hint) == (2, "", "the rooms are: garden, lobby")
        # Without test mode, nobody sets the server up from outside.
        state = json.loads((cli.folder / "state" / "default.json").read_text())
        connection = http.client.HTTPConnection(state["community"]["url"].removeprefix("http://"), timeout=30)
        headers = {"Authorization": f"Bearer {state['control']['token']}"}
        connection.request("POST", "/_control", b'{"op": "reset"}', headers)
        assert connection.getresponse().status == 404
        connection.close()
    finally:
        assert cli("down").code == 0


def test_from_python_on_a_blinding_community() -> None:
    import session_testnet
    from session_testnet.control.errors import ControlError

    topology = session_testnet.Topology.default(1)
    with session_testnet.open_local(topology) as network:
        public_key = bytes.fromhex(network.state["community"]["public_key"])
        rooms = network.rooms
        assert rooms.create("garden", title="Garden")["join_url"].endswith(public_key.hex())
        assert [room["token"] for room in network.state["community"]["rooms"]] == ["garden", "lobby"]
        promoted = rooms.promote(ALICE.account_id, "admin", room="garden")
        # It waits for the blinded id, which has not come yet.
        assert promoted["id"] == ALICE.account_id
        assert rooms.list()[0]["admins"] == [ALICE.account_id]
        blinded = blind15_key(BOB, public_key).id
        assert rooms.ban(blinded, timeout_ms=1000) == {"id": blinded, "room": None, "banned": True}
        # That of an Account ID is meant by it once it is known.
        assert rooms.unban(BOB.account_id)["id"] == blinded
        assert [event["verb"] for event in network.trace.events(kind="room")] == [
            "create",
            "promote",
            "ban",
            "unban",
        ]
        for call, word in (
            (lambda: rooms.promote(ALICE.account_id, "king"), "there is no role 'king'"),
            (lambda: rooms.create(""), "must be a text"),
            (lambda: network.command("room.ban", id=ALICE.account_id, banned=1), "true or false"),
            (lambda: network.command("room.ban", id=ALICE.account_id, timeout_ms="1"), "whole number"),
        ):
            with pytest.raises(ControlError, match=word):
                call()
        rooms.delete("garden")
        assert [room["token"] for room in network.state["community"]["rooms"]] == ["lobby"]
