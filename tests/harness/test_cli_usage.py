"""The command line without a network: help, usage errors, accounts, reports. Exact codes and sentences."""

import importlib
import json
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from session_harness.cli.root import PLACES, SECTIONS
from session_harness.cli.root import cli as root

Run = Callable[..., Any]

WORDS = "abbey abbey abbey abbey abbey abbey abbey abbey abbey abbey abbey abbey abbey"


def test_help_lists_every_command_in_a_section(cli: Any) -> None:
    done = cli("--help")
    assert done.code == 0
    for name, (_place, sentence) in PLACES.items():
        assert re.search(rf"^  {name} +{re.escape(sentence)}$", done.out, re.MULTILINE), name
    assert sorted(name for _title, names in SECTIONS for name in names) == sorted(PLACES)


def test_help_is_quick(cli: Any) -> None:
    def seconds() -> float:
        # Of the processor, not of the clock: other work on the machine must not decide.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert cli("--help").code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.2


def test_help_imports_nothing_heavy(cli: Any) -> None:
    program = (
        "import sys; from session_harness.cli.root import run; run(['--help']);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=cli.folder,
        check=True,
        timeout=60,
    )
    heavy = {"rich", "aiohttp", "asyncio", "hypothesis", "pytest", "jinja2", "nacl", "jsonschema", "orjson"}
    ours = {"session_protocol", "session_testnet", "session_conformance"}
    assert not (heavy | ours) & set(done.stderr.split())


@pytest.mark.parametrize("name", sorted(PLACES))
def test_every_command_is_where_the_table_says_with_the_same_short_help(name: str) -> None:
    place, sentence = PLACES[name]
    module, _, attribute = place.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.get_short_help_str(limit=200).rstrip(".") == sentence.rstrip(".") or command.help


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
        else:
            found.append(((*path, name), command))
    return found


@pytest.mark.parametrize(("path", "command"), commands(root), ids=str)
def test_every_command_has_help_and_speaks_json(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help, path
    options = {name for option in command.params for name in option.opts}
    assert "--json" in options
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, f"{' '.join(path)} {option.opts} has no help"


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["confrom"], "there is no command 'confrom'", "did you mean 'conform'?"),
        (["--colour"], "no such option '--colour'", None),
        (["node", "stpo"], "no such command 'stpo'", "did you mean 'stop'?"),
        (["up", "--node", "5"], "no such option '--node'",
         "did you mean '--name', '--node-cpus', '--nodes'?"),
        (["conform"], "there is nothing to judge: name a testee",
         "for example: session-harness conform --testee reference"),
        (["conform", "--testee", "referense"], "there is no testee 'referense'", None),
        (["conform", "--testee", "image:x"],
         "testee 'image:x': image: is not available yet in this version", None),
        (["conform", "--testee", "reference", "--suite", "seling"],
         "there is no suite 'seling'", "did you mean 'sealing'?"),
        (["conform", "--testee", "reference", "--expectations", "nowhere.toml"],
         "cannot read nowhere.toml: No such file or directory", None),
        (["conform", "--testee", "reference", "--nodes", "0"],
         "invalid value for '--nodes': 0 is not in the range 1<=x<=1000",
         "see: session-harness conform --help"),
        (["conform", "--testee", "reference", "--max-examples", "many"],
         "invalid value for '--max-examples': 'many' is not a valid integer range", None),
        (["conform", "--testee", "x", "--require", "L9"], None, "see: session-harness conform --help"),
        (["up", "--nodes", "0"], "invalid value for '--nodes': 0 is not in the range 1<=x<=1000", None),
        (["up", "--nodes", "lots"], "invalid value for '--nodes': 'lots' is not a valid integer range", None),
        (["up", "--engine", "warp"], None, "see: session-harness up --help"),
        (["up", "--profile", "librarys"], "there is no profile 'librarys'", "did you mean 'libraries'?"),
        (["up", "--name", "../x"], None, "see: session-harness up --help"),
        (["up", "--ttl", "soon"], None, "see: session-harness up --help"),
        (["up", "--ttl", "0"], "--ttl must be longer than nothing", "write a time like 30m"),
        (["up", "--advertise-ip", "here"],
         "--advertise-ip 'here' is not an IP address", "write one like 192.168.1.20"),
        (["up", "--topology", "missing.toml"], None, "see: session-harness up --help"),
        (["clock", "move", "1 fortnight"], None, "see: session-harness clock move --help"),
        (["replay", "latest"], "'latest' is not RUN/CASE", None),
        (["replay", "latest/x"], "there is no run 'latest'",
         "runs holds no runs; make one with: session-harness conform"),
        (["report", "summary"], "there is no run 'latest'", None),
        (["list", "--area", "nowhere"], "there is no area 'nowhere'", None),
        (["account", "show", "no-such-file"],
         "'no-such-file' is neither a recovery password nor a readable file: No such file or directory",
         "quote the words of a recovery password: they are one argument"),
        (["send", "--from", "00" * 16, "--to", "05abc", "hello"], "'05abc' is no Account ID", None),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_64_and_says_what_to_do(
    in_process: Run, arguments: list[str], message: str | None, hint: str | None
) -> None:
    done = in_process(*arguments)
    assert done.code == 64, done.err
    assert done.out == ""
    assert len(done.err.splitlines()) == 2
    if message is not None:
        assert done.error == message
    assert done.hint
    if hint is not None:
        assert done.hint == hint


@pytest.mark.parametrize("group", [[], ["node"], ["clock"]], ids=str)
def test_a_group_without_a_command_shows_its_help_as_an_error(in_process: Run, group: list[str]) -> None:
    done = in_process(*group)
    assert done.code == 64
    assert done.out == ""
    assert done.err.startswith(f"Usage: session-harness {' '.join(group)}".rstrip())


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["env"],
        ["logs"],
        ["down"],
        ["node", "stop", "node-01"],
        ["clock", "show"],
        ["faults", "list"],
        ["trace"],
    ],
    ids=" ".join,
)
def test_without_a_network_each_command_says_how_to_start_one(
    in_process: Run, tmp_path: Path, arguments: list[str]
) -> None:
    done = in_process(*arguments)
    assert done.code == 2
    assert done.error == f"no network is described by {tmp_path}/state/default.json"
    assert done.hint == "start one with: session-harness up --detach"


def test_a_state_file_of_a_network_that_has_ended_is_recognised(cli: Any) -> None:
    state = stale_state(cli.folder)
    done = cli("status")
    assert done.code == 2
    assert done.error == f"the testnet 'default' has ended without removing its state file {state}"
    done = cli("down")
    assert (done.code, done.err) == (0, "testnet 'default' had ended already; its state file is removed\n")
    assert not state.exists()


def stale_state(folder: Path) -> Path:
    state = folder / "state" / "default.json"
    state.parent.mkdir()
    # A process that was waited for is gone.
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(30)
    content = {
        "schema": 1, "name": "default", "engine": "embedded", "seed": "0", "pid": gone.pid,
        "registry": {}, "nodes": [], "community": {}, "files": {}, "gateway": {}, "control": {},
    }  # fmt: skip
    state.write_text(json.dumps(content))
    return state


def test_the_fixed_registry_port_may_be_taken(cli: Any) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 1280))
        except OSError:
            pass  # somebody else has it: just as good
        else:
            taken.listen()
        done = cli("up", "--fixed-ports", "--nodes", "4", "--ttl", "1")
    assert done.code == 3, done.err
    assert "1280" in done.error
    assert done.hint


def test_a_data_folder_that_cannot_be_written(cli: Any) -> None:
    (cli.folder / "file").write_text("")
    done = cli("up", "--nodes", "4", "--data-dir", "file/data", "--ttl", "1")
    assert done.code == 3, done.err
    assert re.match(r"the directory \S*file/data\S* cannot be written: Not a directory", done.error)
    assert "--data-dir" in done.hint


@pytest.mark.parametrize("version", ["2.8", "2.8.0-rc1", "2.300.0", "newest"])
def test_a_node_version_that_is_none(in_process: Run, version: str) -> None:
    done = in_process("up", "--nodes", "4", "--node-version", version)
    assert done.code == 64
    assert done.error == f"--node-version {version!r} is not a release of the storage server"
    assert "2.8.0" in done.hint


def test_options_of_a_topology_file_are_not_said_twice(in_process: Run, tmp_path: Path) -> None:
    (tmp_path / "network.toml").write_text("")
    done = in_process("up", "--topology", "network.toml", "--nodes", "5", "--seed", "1")
    assert done.code == 64
    assert done.error == "--nodes and --seed cannot be combined with --topology"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('nodes = "six"\n', "takes a whole number"),
        ('[knobs]\nclock_offset_ms = "late"\n', "takes"),
    ],
)
def test_a_topology_file_says_its_hint_once(
    in_process: Run, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "network.toml").write_text(text)
    done = in_process("up", "--topology", "network.toml")
    assert done.code == 64
    lines = [line for line in done.err.splitlines() if sentence in line]
    assert len(lines) == 1, done.err
    assert lines[0].strip().startswith("hint: "), done.err


def test_a_broken_topology_file_is_named(in_process: Run, tmp_path: Path) -> None:
    (tmp_path / "network.toml").write_text("nodes = [")
    done = in_process("up", "--topology", "network.toml")
    assert done.code == 64
    assert "network.toml" in done.error


def test_the_configuration_file_gives_defaults_and_the_command_line_wins(cli: Any) -> None:
    (cli.folder / "session-harness.toml").write_text('[conform]\ntestee = ["referense"]\n')
    assert cli("conform").error == "there is no testee 'referense'"
    assert cli("conform", "--testee", "refrence").error == "there is no testee 'refrence'"


def test_a_bad_value_of_the_configuration_file_is_blamed_on_it(in_process: Run, tmp_path: Path) -> None:
    path = tmp_path / "session-harness.toml"
    path.write_text('[conform]\ntestee = ["reference"]\nmax-examples = "many"\n')
    done = in_process("conform")
    assert done.code == 64
    assert done.hint == f"the value comes from {path}"
    path.write_text("[conform]\ntestees = []\n")
    done = in_process("conform")
    assert (done.code, done.error, done.hint) == (
        64,
        f"{path}: [conform] has no option 'testees'",
        "did you mean 'testee'?",
    )


def test_an_account_is_made_shown_and_read_back(cli: Any, in_process: Run, tmp_path: Path) -> None:
    new = json.loads(cli("account", "new", "--json").out)
    assert re.fullmatch(r"05[0-9a-f]{64}", new["account_id"])
    assert len(new["recovery_password"].split()) == 13
    (tmp_path / "words").write_text(new["recovery_password"] + "\n")
    assert json.loads(cli("account", "show", "words", "--json").out) == new
    assert json.loads(in_process("account", "show", new["recovery_password"], "--json").out) == new
    assert json.loads(in_process("account", "show", new["seed_hex"], "--json").out) == new
    assert json.loads(cli("account", "show", "-", "--json", stdin=new["recovery_password"]).out) == new
    readable = cli("account", "show", "words").out.splitlines()
    assert readable[0] == f"Account ID         {new['account_id']}"
    assert in_process("account", "new", "--words-only").out.count(" ") == 12


def test_a_wrong_recovery_password_is_refused(in_process: Run) -> None:
    done = in_process("account", "show", WORDS.rsplit(" ", 1)[0] + " zebra")
    assert done.code == 64
    assert done.error.startswith("the text is no recovery password: ")
    assert done.hint == "make an account with: session-harness account new"


def test_the_summary_of_an_earlier_run(in_process: Run, sample_run: Path) -> None:
    for run in ("latest", sample_run.name, str(sample_run)):
        done = in_process("report", "summary", run, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["testees"][1]["counts"]["failed"] == 1
    text = in_process("report", "summary").out
    assert "✗ sealing.refuses_a_flipped_bit  failed  session_python" in text
    assert "\x1b" not in text
    assert in_process("report", "summary", "--markdown").out.startswith("## Session conformance: ")


def test_what_cannot_be_replayed_is_said(in_process: Run, sample_run: Path) -> None:
    done = in_process("replay", "latest/sealing.refuses_a_flipped_bit--sesion_python")
    assert done.code == 64
    assert (
        done.error == f"the run {sample_run.name} has no case 'sealing.refuses_a_flipped_bit--sesion_python'"
    )
    assert done.hint == "did you mean 'sealing.refuses_a_flipped_bit--session_python'?"


def test_a_replay_has_everything_as_it_was_but_for_one_check(sample_run: Path) -> None:
    from session_harness.replaying import options_of_case

    for text in ("latest/padding.unpads--reference", f"{sample_run}/cases/padding.unpads--reference/"):
        options = options_of_case(text, sample_run.parent)
        assert options.testees == ("reference",)
        assert options.filters == ("padding.unpads",)
        assert (options.seed, options.max_examples, options.nodes) == ("7", 9, 5)
        assert options.out == sample_run.parent


def test_requirements_are_listed_with_their_checks(in_process: Run) -> None:
    found = json.loads(in_process("list", "--json").out)["requirements"]
    assert {"id", "level", "area", "text", "source", "checks"} == set(found[0])
    assert {entry["level"] for entry in found} <= {"MUST", "SHOULD"}
    (sealing,) = [entry for entry in found if entry["id"] == "SEAL-01"]
    assert any(check.startswith("sealing.") for check in sealing["checks"])
    readable = in_process("list", "--area", sealing["area"]).out
    assert f"SEAL-01  {sealing['level']}  {sealing['area']}, {sealing['source']}" in readable


def test_the_doctor_says_what_is_there(cli: Any) -> None:
    done = cli("doctor", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["ok"] is True
    subjects = [finding["subject"] for finding in found["findings"]]
    assert subjects[:5] == ["Python", "dependencies", "event loop", "loopback", "open files"]
    assert {"libsodium", "OMQ", "ports", "disk", "clock", "Chromium", "Docker"} <= set(subjects)
    assert "Python" in cli("doctor").out


def test_a_reader_that_goes_away_is_no_error(cli: Any) -> None:
    child = cli.start("list")
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    error = child.stderr.read()
    child.stderr.close()
    assert "Traceback" not in error
    assert child.wait(30) in (0, 120)


def test_an_unforeseen_error_is_shown_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from session_harness import diagnosis
    from session_harness.cli.root import run

    def broken() -> None:
        raise ZeroDivisionError("nothing to divide")

    monkeypatch.setattr(diagnosis, "examine", broken)
    assert run(["doctor"]) == 2
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.splitlines()[-2] == "error: ZeroDivisionError: nothing to divide"


@pytest.fixture
def pty_output(cli: Any) -> Callable[..., str]:
    """Run a command in a terminal of its own and return what it showed."""
    import os
    import pty

    def show(*arguments: str, columns: int = 90) -> str:
        leader, follower = pty.openpty()
        variables = {**cli.variables(), "TERM": "xterm-256color", "COLUMNS": str(columns), "NO_COLOR": ""}
        child = subprocess.Popen(
            cli.command(*arguments),
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=cli.folder,
            env=variables,
        )
        os.close(follower)
        shown = b""
        while True:
            try:
                chunk = os.read(leader, 1 << 16)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
        os.close(leader)
        assert child.wait(30) == 0
        return shown.decode()

    return show


def test_on_a_terminal_the_table_has_colours_and_replay_lines_are_whole(
    pty_output: Callable[..., str], sample_run: Path
) -> None:
    shown = pty_output("report", "summary", columns=60)
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    case = "sealing.refuses_a_flipped_bit--session_python"
    assert f"replay: session-harness replay runs/{sample_run.name}/{case}\r\n" in plain
