"""The examples of machine-output.md keep to their schemas, and are what the commands really print."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

from session_conformance.contract import validation

if TYPE_CHECKING:
    from conftest import Block, Document

PAGE = "machine-output.md"
SCHEMAS = "harness/session_harness/schemas"
STATE_SCHEMA = "testnet/session_testnet/control/state.schema.json"
STREAM_SCHEMA = "conformance/session_conformance/recording/schemas/report-line.json"
CONTRACT = "conformance/session_conformance/contract/schemas"

# Objects whose keys are data, not names that a schema lists.
OPEN_KEYS = {"counts", "features", "limits", "params", "data"}

Reads = Callable[[str, Any], "str | None"]


def read_schema(path: Path) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return schema


def closed(schema: Any) -> Any:
    """Return a schema that allows no key but those it lists, wherever it lists some and says nothing else."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


def validator(path: Path, *, strict: bool) -> Draft202012Validator:
    """Return the validator of a schema file, which may refer to files beside it."""

    def beside(name: str) -> Resource[Any]:
        other = read_schema(path.parent / name)
        return Resource.from_contents(closed(other) if strict else other)

    schema = read_schema(path)
    return Draft202012Validator(
        closed(schema) if strict else schema,
        registry=Registry(retrieve=beside),  # type: ignore[call-arg]
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


def problem(path: Path, instance: Any, *, strict: bool = False) -> str | None:
    """Say where an instance leaves a schema, or None."""
    error = best_match(validator(path, strict=strict).iter_errors(instance))
    return None if error is None else f"{error.json_path}: {error.message}"


def instances(block: "Block") -> list[Any]:
    """Return the values of a block: one of JSON, or one a line of JSON lines."""
    return [
        json.loads(text) for text in ([block.text] if block.language == "json" else block.text.splitlines())
    ]


@pytest.fixture(scope="module")
def examples(documents: "list[Document]") -> "list[Block]":
    page = next(document for document in documents if document.path.name == PAGE)
    return [block for block in page.blocks() if block.mark == "schema"]


@pytest.fixture(scope="module")
def example(examples: "list[Block]") -> Callable[[str], list[Any]]:
    """Return the values of the example that names a schema."""

    def find(schema: str) -> list[Any]:
        found = [block for block in examples if block.value == schema]
        assert len(found) == 1, f"{PAGE} has {len(found)} examples of {schema}"
        return instances(found[0])

    return find


def test_every_schema_is_a_schema(root: Path) -> None:
    files = sorted((root / SCHEMAS).glob("*.json"))
    assert files
    for path in files:
        schema = read_schema(path)
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == path.name
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["title"]


def test_every_schema_has_an_example(examples: "list[Block]", root: Path) -> None:
    shown = {block.value for block in examples}
    ours = {f"{SCHEMAS}/{path.name}" for path in (root / SCHEMAS).glob("*.json")} - {f"{SCHEMAS}/common.json"}
    contract = {f"{CONTRACT}/{name}.json" for name in ("request", "reply", "hello", "event")}
    assert shown == ours | contract | {STATE_SCHEMA, STREAM_SCHEMA}


def test_examples_keep_to_their_schemas(examples: "list[Block]", root: Path) -> None:
    for block in examples:
        for instance in instances(block):
            found = problem(root / block.value, instance)
            assert found is None, f"{block.place} leaves {block.value}: {found}"


def test_schemas_refuse_what_lacks_a_key(examples: "list[Block]", root: Path) -> None:
    """A schema that accepts anything proves nothing: each required key is missed."""
    for block in examples:
        if not block.value.startswith(SCHEMAS):
            continue
        instance = instances(block)[0]
        required = required_keys(root / block.value)
        assert required, f"{block.value} requires nothing"
        for key in required & instance.keys():
            less = {name: value for name, value in instance.items() if name != key}
            assert problem(root / block.value, less) is not None, f"{block.value} does not miss {key}"


def required_keys(path: Path) -> set[str]:
    schema = read_schema(path)
    if "$ref" in schema:
        name, _, pointer = schema["$ref"].partition("#/$defs/")
        schema = read_schema(path.parent / name)["$defs"][pointer]
    return set(schema["required"])


def test_requests_and_replies_keep_to_the_contract(example: Callable[[str], list[Any]]) -> None:
    requests = example(f"{CONTRACT}/request.json")
    operations = {request["id"]: request["op"] for request in requests}
    for request in requests:
        validation.require_request(request)
    for reply in example(f"{CONTRACT}/reply.json"):
        validation.require_reply(operations.get(reply["id"], "config.parse"), reply)


def test_the_stream_shows_every_kind(example: Callable[[str], list[Any]], root: Path) -> None:
    kinds = [line["type"] for line in example(STREAM_SCHEMA)]
    assert sorted(kinds) == sorted(read_schema(root / STREAM_SCHEMA)["$defs"])


def test_every_command_with_json_is_shown(documents: "list[Document]") -> None:
    from session_harness.cli.root import cli

    page = next(document for document in documents if document.path.name == PAGE)
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        leaves = (
            {f"{name} {verb}": leaf for verb, leaf in command.commands.items()}
            if isinstance(command, click.Group)
            else {name: command}
        )
        for words, leaf in leaves.items():
            assert any("--json" in param.opts for param in leaf.params), f"{words} has no --json"
            assert f"`{words} --json`" in page.text or f"`{words.split()[-1]}`" in page.text, (
                f"{words} is not shown"
            )


# What the commands really print.


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]
) -> Iterator[Callable[..., list[Any]]]:
    """Run a command in this process and return what it printed, each line read as JSON."""
    from session_harness.cli.root import run as run_command

    folder = tmp_path_factory.mktemp("machine-output")

    def call(*words: str, code: int = 0) -> list[Any]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ended = run_command([*words, "--json"])
        assert ended == code, f"{words} ended with {ended}: {err.getvalue()}"
        return [json.loads(line) for line in out.getvalue().splitlines()]

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("PATH", "PYTHONUTF8", "COLUMNS", "SESSION_HARNESS_CACHE_DIR"):
            patch.setenv(name, variables[name])
        patch.setenv("SESSION_HARNESS_STATE_DIR", str(folder / "state"))
        call("up", "--nodes", "1", "--detach")
        try:
            yield call
        finally:
            call("down")


@pytest.fixture(scope="module")
def compare(root: Path, example: Callable[[str], list[Any]]) -> Callable[[str, list[Any]], None]:
    """Compare what a command printed with its schema, every key listed, and with the example's shape."""

    def same(schema: str, printed: list[Any]) -> None:
        path = schema if "/" in schema else f"{SCHEMAS}/{schema}"
        assert printed, f"nothing to compare with {schema}"
        for value in printed:
            found = problem(root / path, value, strict=True)
            assert found is None, f"what is printed leaves {schema}: {found}"
        assert_same_shape(example(path)[-1], printed[-1], schema)

    return same


def assert_same_shape(shown: Any, printed: Any, where: str) -> None:
    if isinstance(shown, dict) and isinstance(printed, dict):
        if where.rpartition(".")[2] in OPEN_KEYS:
            return
        assert shown.keys() == printed.keys(), f"{PAGE} shows other keys than are printed at {where}"
        for key in shown:
            assert_same_shape(shown[key], printed[key], f"{where}.{key}")
    elif isinstance(shown, list) and isinstance(printed, list):
        if shown and printed:
            assert_same_shape(shown[0], printed[0], f"{where}[0]")
    else:
        assert type(shown) is type(printed), f"{PAGE} shows {shown!r} at {where}, printed is {printed!r}"


def test_the_testnet_prints_what_is_shown(
    run: Callable[..., list[Any]], compare: Callable[[str, list[Any]], None], root: Path, tmp_path: Path
) -> None:
    words = [tmp_path / "alice.txt", tmp_path / "bob.txt"]
    accounts = [run("account", "new") for _ in words]
    for file, account in zip(words, accounts, strict=True):
        file.write_text(account[0]["recovery_password"])
        compare("account.json", account)
    compare(
        "faults-add.json",
        run("faults", "add", "delay", "--delay", "20ms", "--method", "retrieve", "--times", "3"),
    )
    compare("faults-list.json", run("faults", "list"))
    compare("status.json", run("status"))
    compare("env.json", run("env"))
    compare("clock.json", run("clock", "move", "2h"))
    compare("clock-skew.json", run("clock", "skew", "node-01", "1s"))
    compare("node.json", run("node", "restart", "node-01"))
    compare("room.json", run("room", "create", "garden", "--description", "All about plants"))
    someone = accounts[0][0]["account_id"]
    compare("room-promote.json", run("room", "promote", someone, "--room", "garden", "--admin"))
    compare("room-list.json", run("room", "list"))
    compare("room-ban.json", run("room", "ban", accounts[1][0]["account_id"], "--room", "garden"))
    compare("room-delete.json", run("room", "delete", "garden"))
    compare("logs.json", run("logs", "--tail", "1"))
    sent = run("send", "Hello", "--from", str(words[0]), "--to", accounts[1][0]["account_id"])
    compare("send.json", sent)
    seen = run("watch", str(words[1]), "--once")
    compare("watch.json", seen)
    assert [message["hash"] for message in seen] == [sent[0]["hash"]]
    compare("trace.json", run("trace", "--kind", "rpc"))
    schedule = tmp_path / "faults.toml"
    schedule.write_text('[[fault]]\naction = "drop"\nat = "1h"\n')
    compare("faults-schedule.json", run("faults", "schedule", str(schedule)))
    compare("faults-clear.json", run("faults", "clear"))
    compare("down.json", run("down"))
    compare(STATE_SCHEMA, run("up", "--nodes", "1", "--detach"))


def test_the_judge_prints_what_is_shown(
    run: Callable[..., list[Any]], compare: Callable[[str, list[Any]], None]
) -> None:
    compare("list.json", run("list", "--area", "padding"))
    compare("doctor.json", run("doctor"))
    compare("smoke.json", run("smoke", "--testee", "broken:no-padding"))
    printed = run(
        "conform", "--testee", "broken:no-padding", "--suite", "padding", "--max-examples", "5", code=1
    )
    compare("conform.json", printed)
    summary = run("report", "summary", "latest")
    assert [{**value, "exit": 1} for value in summary] == printed


def test_selfcheck_prints_what_is_shown(
    run: Callable[..., list[Any]], compare: Callable[[str, list[Any]], None]
) -> None:
    compare("selfcheck.json", run("selfcheck", "--fault", "no-padding", "--max-examples", "5"))
