"""The documentation is true: its commands run, its links lead somewhere, its tables are complete."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
import pytest

if TYPE_CHECKING:
    from conftest import Block, Document

    Find = Callable[[str], Document]

ROOT = Path(__file__).resolve().parents[2]
BLOCK_DEADLINE_S = 60
PAGES = [
    *("README.md", "containers.md", "machine-output.md", "real-clients.md", "servers.md", "testees.md"),
    *("testnet.md", "verdicts.md"),
]
RUN_PAGES = ["testnet.md", "README.md", "testees.md", "verdicts.md", "servers.md", "real-clients.md"]
DOCKER_PAGES = ["containers.md"]
MARKS = {"file", "not run", "schema"}
LANGUAGES = {"sh", "python", "toml", "json", "jsonl"}

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_OPTION = re.compile(r"--[a-z][a-z-]*")


def test_every_page_is_known(documents: "list[Document]") -> None:
    assert sorted(document.path.name for document in documents) == sorted(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_blocks_say_what_they_are(name: str, document: "Find") -> None:
    for block in document(name).blocks():
        assert block.language in LANGUAGES, f"{block.place}: no test knows what to do with this block"
        assert not block.mark or block.mark in MARKS, f"{block.place}: unknown mark {block.mark!r}"
        assert block.language == "sh" or block.mark in ("file", "schema"), (
            f"{block.place}: nobody checks this"
        )


# The commands run.


class PageRuns:
    """Run the commands of pages, each page in a folder and with a testnet of its own.

    Pages do not know of each other, so that two run at a time; where pytest-xdist does that already, each
    runs when it is asked for.
    """

    def __init__(self, pages: "list[Document]", base: Path, variables: dict[str, str]) -> None:
        self._base = base
        self._variables = variables
        alone = "PYTEST_XDIST_WORKER" not in os.environ
        self._pool = ThreadPoolExecutor(max_workers=2)
        self._running = {page.path.name: self._pool.submit(self._run, page) for page in pages if alone}
        self._pages = {page.path.name: page for page in pages}

    def skipped(self, name: str) -> list[str]:
        """Wait for a page; return the places of blocks that need a program which is not installed."""
        running = self._running.get(name)
        return self._run(self._pages[name]) if running is None else running.result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _run(self, page: "Document") -> list[str]:
        folder = self._base / page.path.stem
        folder.mkdir()
        # It looks like a checkout to whoever copies the adapters out of it.
        (folder / "conformance").symlink_to(ROOT / "conformance", target_is_directory=True)
        state = folder / "state"
        environment = {**self._variables, "SESSION_HARNESS_STATE_DIR": str(state), "HOME": str(folder)}
        try:
            skipped = [block.place for block in page.blocks() if not run_block(block, folder, environment)]
            assert not list(state.glob("*.json")), f"{page.path.name} leaves a testnet running"
        finally:
            for left in state.glob("*.json"):
                command = ["session-harness", "down", "--state", str(left)]
                subprocess.run(command, env=environment, check=False, capture_output=True, timeout=60)
        return skipped


@pytest.fixture(scope="module")
def page_runs(
    request: pytest.FixtureRequest,
    documents: "list[Document]",
    tmp_path_factory: pytest.TempPathFactory,
    variables: dict[str, str],
) -> Iterator[PageRuns]:
    wanted = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname in _RUNNING
    }
    by_name = {page.path.name: page for page in documents}
    pages = [by_name[name] for name in (*RUN_PAGES, *DOCKER_PAGES) if name in wanted]  # the longest first
    runs = PageRuns(pages, tmp_path_factory.mktemp("pages"), variables)
    yield runs
    runs.close()


@pytest.mark.parametrize("name", RUN_PAGES)
def test_the_commands_of_a_page_run(name: str, page_runs: PageRuns) -> None:
    if skipped := page_runs.skipped(name):
        pytest.skip(f"curl is not installed: {', '.join(skipped)} did not run, everything else did")


@pytest.mark.docker
@pytest.mark.parametrize("name", DOCKER_PAGES)
def test_the_commands_about_containers_run(name: str, container_image: str, page_runs: PageRuns) -> None:
    assert page_runs.skipped(name) == []


_RUNNING = {
    test_the_commands_of_a_page_run.__name__,
    test_the_commands_about_containers_run.__name__,
}


def run_block(block: "Block", folder: Path, environment: dict[str, str]) -> bool:
    """Run a block of commands, or write the file that it shows; False when it needs what is not installed."""
    if block.mark == "file":
        (folder / block.value).parent.mkdir(exist_ok=True)
        (folder / block.value).write_text(block.text, "utf-8")
        return True
    if block.language != "sh" or block.mark == "not run":
        return True
    if "curl " in block.text and shutil.which("curl") is None:
        return False
    done = subprocess.run(
        ["sh", "-eu", "-c", block.text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BLOCK_DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, (
        f"{block.place} ended with {done.returncode}\n{block.text}\n--- stdout\n{done.stdout}\n"
        f"--- stderr\n{done.stderr}"
    )
    return True


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("README.md", 2),
        ("containers.md", 3),
        ("testees.md", 0),
        ("testnet.md", 0),
        ("verdicts.md", 0),
        ("machine-output.md", 0),
        ("real-clients.md", 0),
        ("servers.md", 0),
    ],
)
def test_few_commands_are_left_out(name: str, reasons: int, document: "Find") -> None:
    left_out = [block for block in document(name).blocks() if block.mark == "not run"]
    assert len(left_out) == reasons, f"not run in {name}: {[block.value for block in left_out]}"


# What the prose names exists.


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str, document: "Find") -> None:
    page = document(name)
    for target in _LINK.findall(page.text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = page.path.parent / path if path else page.path
        assert file.exists(), f"{name} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(file.read_text("utf-8")), f"{name} links to {target}: no such heading"


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def commands() -> dict[tuple[str, ...], click.Command]:
    """Every command, also those that only hold others, by its words."""
    from session_harness.cli.root import cli

    context = click.Context(cli)
    return {(): cli, **walk(cli, context, ())}


def walk(
    group: click.Group, context: click.Context, words: tuple[str, ...]
) -> dict[tuple[str, ...], click.Command]:
    found: dict[tuple[str, ...], click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found[(*words, name)] = command
        if isinstance(command, click.Group):
            found |= walk(command, click.Context(command, parent=context), (*words, name))
    return found


def options_of(command: click.Command) -> set[str]:
    return {option for param in command.params for option in param.opts} | {"--help"}


def calls(page: "Document") -> Iterator[str]:
    """Yield each call of the command that a page shows, in blocks and in prose."""
    for block in page.blocks():
        if block.language == "sh":
            whole = block.text.replace("\\\n", " ")
            yield from re.findall(r"session-harness( [^|\n;)]*)", whole)
    yield from (
        span.removeprefix("session-harness") for span in page.spans() if span.startswith("session-harness ")
    )


@pytest.mark.parametrize("name", PAGES)
def test_commands_and_options_exist(
    name: str, document: "Find", commands: dict[tuple[str, ...], click.Command]
) -> None:
    for call in calls(document(name)):
        words = call.split()
        used: tuple[str, ...] = ()
        while words and (*used, words[0]) in commands:
            used = (*used, words.pop(0))
        assert used, f"{name}: there is no command {call.strip()!r}"
        unknown = set(_OPTION.findall(" ".join(words))) - options_of(commands[used])
        assert not unknown, f"{name}: {' '.join(used)} has no option {', '.join(unknown)}"


# Options of other programs that the pages mention.
FOREIGN = {"--rm", "--proxy", "--insecure", "--help"}


@pytest.mark.parametrize("name", PAGES)
def test_options_named_in_prose_exist(
    name: str, document: "Find", commands: dict[tuple[str, ...], click.Command]
) -> None:
    known = {option for command in commands.values() for option in options_of(command)}
    for span in document(name).spans():
        words = span.split()
        if tuple(words[:1]) in commands:
            command = commands[tuple(words[:1])]
            own = options_of(commands.get(tuple(words[:2]), command))
            allowed = own if not isinstance(command, click.Group) else known
        else:
            allowed = known
        unknown = set(_OPTION.findall(span)) - allowed - FOREIGN
        assert not unknown, f"{name}: `{span}` names an option that does not exist"


@pytest.mark.parametrize("name", PAGES)
def test_make_targets_exist(name: str, document: "Find", root: Path) -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (root / "Makefile").read_text("utf-8")))
    page = document(name)
    shown = [block.text for block in page.blocks() if block.language == "sh"] + page.spans()
    for target in re.findall(r"(?m)^make ([a-z-]+)", "\n".join(shown)):
        assert target in targets, f"{name}: there is no target {target!r}"


def test_environment_variables_exist(documents: "list[Document]", root: Path) -> None:
    sources = "".join(
        path.read_text("utf-8")
        for package in ("harness", "testnet", "conformance")
        for path in (root / package).rglob("*.py")
    )
    named = {word for page in documents for word in re.findall(r"\bSESSION_HARNESS_[A-Z_]+", page.text)}
    assert named, "the pages name the variables that the tool reads"
    assert {word for word in named if word not in sources} == set()


# The tables are complete.


def module(name: str) -> ModuleType:
    import importlib

    return importlib.import_module(name)


def test_verdicts_are_all_explained(document: "Find") -> None:
    verdicts, styles = module("session_conformance.verdicts"), module("session_harness.report.styles")
    page = document("verdicts.md")
    assert page.column("## Verdicts") == [str(verdict) for verdict in verdicts.Verdict]
    for verdict, style in styles.STYLES.items():
        assert f"| `{verdict}` | {style.sign} |" in page.text


@pytest.mark.parametrize("name", ["verdicts.md", "machine-output.md"])
def test_exit_codes_are_all_explained(name: str, document: "Find") -> None:
    codes = {int(code) for code in module("session_harness.errors").ExitCode}
    _, _, rest = document(name).text.partition("\n## Exit codes\n")
    assert {int(code) for code in re.findall(r"(?m)^\| (\d+) \|", rest)} == codes


def test_exit_codes_have_their_names(document: "Find") -> None:
    codes = module("session_harness.errors").ExitCode
    assert document("machine-output.md").column("## Exit codes", 1) == [code.name for code in codes]


def test_faults_of_connections_are_all_explained_and_listed_by_the_schema(
    document: "Find", root: Path
) -> None:
    schedule = module("session_testnet.faults.schedule")
    tcp = module("session_testnet.faults.tcp_faults")
    text = document("testnet.md").text
    for name in (*tcp.TCP_ACTIONS, *tcp.TcpFault.__slots__):
        assert f"`{name}`" in text, f"{name} is not explained"
    common = json.loads((root / "harness/session_harness/schemas/common.json").read_text())
    fault = common["$defs"]["fault"]["properties"]
    assert fault["action"]["enum"] == list(schedule.FAULT_ACTIONS)
    kinds = (schedule.FaultRule, schedule.TcpFault, schedule.Partition)
    assert {key for kind in kinds for key in kind.__slots__} <= fault.keys()


def test_fault_actions_are_all_explained(document: "Find") -> None:
    faults = module("session_testnet.faults.rules")
    page = document("testnet.md")
    assert page.column("## Faults") == list(faults.ACTIONS)
    for key in (field for field in faults.FaultRule.__slots__):
        assert f"`{key}`" in page.text, f"the key {key} of a fault rule is not explained"
    for status in faults.STATUSES:
        assert re.search(rf"\b{status}\b", page.prose()), f"the status {status} is not named"


def test_control_commands_are_all_explained(document: "Find") -> None:
    known = module("session_testnet.control.commands").COMMANDS
    assert document("testnet.md").column("## Control over HTTP") == [*known, "shutdown"]


def test_operations_of_test_mode_are_all_explained(document: "Find") -> None:
    community = module("session_testnet.services.community")
    clock, trace = module("session_testnet.clock").Clock(), module("session_testnet.trace").Trace()
    server = community.CommunityServer(bytes(32), clock=clock, trace=trace, control_token="x")
    known = server._control.operations
    server.close()
    assert document("testnet.md").column("## Test mode of the community") == list(known)


def test_keys_of_rooms_and_roles_are_all_explained(document: "Find") -> None:
    topology, text = module("session_testnet.topology"), document("testnet.md").text
    for key in {*topology._ROOM_KEYS, *topology._ROLE_KEYS} - {"name", "description"}:
        assert key in text, f"the key {key} of a topology file is not explained"


def test_profiles_are_all_explained(document: "Find") -> None:
    page, profiles = document("testnet.md"), module("session_testnet.topology").PROFILES
    for name, profile in profiles.items():
        assert f"| `{name}` | {profile.nodes} |" in page.text


def test_the_gateway_map_is_complete(document: "Find") -> None:
    routes = module("session_testnet.services.gateway.routes")
    place = module("session_testnet.endpoints").Endpoint("127.0.0.1", 1)
    known = routes.RouteMap.of_network(registry_http=place, registry_https=place, files=place).names
    page = document("testnet.md")
    _, _, rest = page.text.partition("\n| asked for |")
    shown = set()
    for row in re.findall(r"(?m)^\| (`.*`) \| ([\d, ]+) \|", rest):
        hosts, ports = re.findall(r"`([^`]+)`", row[0]), row[1].split(",")
        shown |= {(host, int(port)) for host in hosts for port in ports}
    assert shown == set(known)


def test_tiers_are_all_explained(document: "Find") -> None:
    tiers = module("session_conformance.contract.operations").Tier
    assert document("testees.md").column("## Step 2: add operations, one at a time") == [*map(str, tiers)]


def test_features_exist(document: "Find") -> None:
    features = module("session_conformance.contract.validation").schema("hello.json")["properties"][
        "features"
    ]
    named = document("testees.md").column("## Step 3: declare where your client differs")
    assert named
    for name in named:
        group = features
        for key in name.split("."):
            assert key in group["properties"], name
            group = group["properties"][key]


def test_manifest_keys_exist(document: "Find") -> None:
    """Every key of a testee.toml, also those that the example leaves commented out."""
    block = next(found for found in document("testees.md").blocks() if found.value.endswith("testee.toml"))
    keys: dict[str, Any] = module("session_conformance.contract.specs")._MANIFEST_KEYS
    assert set(re.findall(r"(?m)^(?:# )?([a-z_]+) =", block.text)) == set(keys) - {"environment"}


def test_expectation_keys_are_all_explained(document: "Find") -> None:
    keys = module("session_conformance.expectations")._KEYS
    assert set(document("verdicts.md").column("## Expectations: known divergences as data")) == set(keys)


def test_files_of_a_run_are_named(document: "Find") -> None:
    runs = module("session_harness.runs")
    directory = runs.RunDirectory(Path("run"))
    places = {
        value.fget(directory).name
        for value in vars(runs.RunDirectory).values()
        if type(value) is property and isinstance(value.fget(directory), Path)
    }
    named = document("verdicts.md").column("## What a run leaves behind")
    assert places <= {name.rstrip("/") for name in named}


def test_the_picture_is_drawn_from_a_run(root: Path) -> None:
    picture = (root / "docs" / "conform.svg").read_text("utf-8")
    assert picture.startswith("<svg")
    for word in ("reference", "session_python", "messaging", "sealing", "swarms"):
        assert word in picture, f"docs/conform.svg does not show {word}"


def test_keys_of_the_file_servers_table_are_all_shown(document: "Find") -> None:
    spec = module("session_testnet.topology_file_server")
    block = next(found for found in document("testnet.md").blocks() if found.value == "files.toml")
    for key in (*(set(spec.FILES_KEYS) - {"release"}), *spec._RELEASE_KEYS):
        assert re.search(rf"(?m)^(\[\[files\.release\.)?{key}\b", block.text), (
            f"{key} of [files] is not shown"
        )
    shown = module("tomllib").loads(block.text)["files"]
    default = spec.FilesSpec()
    for key, value in shown.items():
        assert key == "release" or getattr(default, key) == value, f"{key} is not {value} by default"
    assert tuple(re.findall(r'"(\w+)"', re.search(r"(?m)^platform.*$", block.text)[0])) == spec.PLATFORMS  # type: ignore[index]


def test_the_production_file_server_is_named_as_routes_know_it(document: "Find") -> None:
    keys = module("session_protocol.accounts")
    host, _ = module("session_testnet.services.gateway.routes").FILE_SERVER
    named = document("real-clients.md").column("## What is built in, and what to do about it", 1)
    url, ed25519, x25519 = named
    assert url == f"http://{host}"
    assert keys.ed25519_pk_to_x25519(bytes.fromhex(ed25519)).hex() == x25519
