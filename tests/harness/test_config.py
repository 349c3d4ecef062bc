from pathlib import Path

import click
import pytest

from session_harness.config import find_configuration, load_configuration
from session_harness.errors import UsageError

COMMANDS = ["up", "conform", "node"]


@click.command("conform")
@click.option("--testee", "testees", multiple=True)
@click.option("--max-examples", type=int)
@click.option("--out", type=click.Path(path_type=Path))
@click.option("--fail-fast", is_flag=True)
@click.option("--json", "as_json", is_flag=True)
@click.argument("extra", required=False)
def conform(**_options: object) -> None:
    """Stand for a command."""


@click.group("node")
def node() -> None:
    """Stand for a command with commands of its own."""


@node.command("stop")
@click.option("--name")
def stop(name: str) -> None:
    """Stand for a command of a command."""


def defaults(
    folder: Path, text: str, name: str = "conform", command: click.Command = conform
) -> dict[str, object]:
    (folder / "session-harness.toml").write_text(text)
    configuration = load_configuration(folder)
    assert configuration is not None
    return configuration.default_map(name, command, COMMANDS)


def refusal(folder: Path, text: str, **keywords: object) -> UsageError:
    with pytest.raises(UsageError) as caught:
        defaults(folder, text, **keywords)  # type: ignore[arg-type]
    assert str(folder / "session-harness.toml") in caught.value.message
    return caught.value


def test_the_nearest_file_upwards_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "session-harness.toml").write_text("[up]\n")
    assert find_configuration(inner) == tmp_path / "session-harness.toml"
    (tmp_path / "a" / "session-harness.toml").write_text("[up]\n")
    assert find_configuration(inner) == tmp_path / "a" / "session-harness.toml"


def test_without_a_file_there_is_no_configuration(tmp_path: Path) -> None:
    if find_configuration(tmp_path) is None:
        assert load_configuration(tmp_path) is None


def test_options_are_found_with_dashes_and_with_underscores(tmp_path: Path) -> None:
    text = '[conform]\ntestee = ["reference"]\nmax-examples = 5\nfail_fast = true\njson = true\n'
    assert defaults(tmp_path, text) == {
        "conform": {"testees": ["reference"], "max_examples": 5, "fail_fast": True, "as_json": True}
    }


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    assert defaults(tmp_path, '[conform]\nout = "results"\n') == {
        "conform": {"out": str(tmp_path / "results")}
    }
    assert defaults(tmp_path, '[conform]\nout = "/results"\n') == {"conform": {"out": "/results"}}


def test_only_the_table_of_the_command_is_read(tmp_path: Path) -> None:
    assert defaults(tmp_path, "[up]\nnonsense = 1\n") == {}


def test_a_command_of_a_command_has_a_table_in_its_table(tmp_path: Path) -> None:
    found = defaults(tmp_path, '[node.stop]\nname = "x"\n', name="node", command=node)
    assert found == {"node": {"stop": {"name": "x"}}}
    error = refusal(tmp_path, '[node.stob]\nname = "x"\n', name="node", command=node)
    assert error.hint == "did you mean 'stop'?"
    error = refusal(tmp_path, '[node.stop]\nnme = "x"\n', name="node", command=node)
    assert "[node.stop] has no option 'nme'" in error.message


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[confrom]\n", "there is no command 'confrom'", "did you mean 'conform'?"),
        ("[conform]\ntestees = []\n", "[conform] has no option 'testees'", "did you mean 'testee'?"),
        ("[conform]\nextra = 1\n", "[conform] has no option 'extra'", None),
        ("[conform]\ntestee = 'x'\n", "[conform] testee takes a list", "write testee = […]"),
        ("[conform]\nmax-examples = [1]\n", "[conform] max-examples takes one value, not a list", None),
        ("[conform]\nfail-fast = 1\n", "[conform] fail-fast is 1", "write fail-fast = true or false"),
        ("[conform.testee]\na = 1\n", "[conform] testee is a table", "write a plain value"),
        ("seed = 1\n", "'seed' stands outside of a table", None),
        ("[conform\n", "", "the file must be TOML"),
        ("[conform]\nout = 5\n", "[conform] out is 5", "write it in quotation marks"),
    ],
)
def test_what_is_wrong_is_said_with_the_closest_name(
    tmp_path: Path, text: str, message: str, hint: str | None
) -> None:
    error = refusal(tmp_path, text)
    assert message in error.message
    if hint is not None:
        assert error.hint == hint
