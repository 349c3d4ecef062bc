"""What may stand after --testee, and what is said about the rest."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_conformance.contract import TesteeNotStarted, TesteeSpecError
from session_conformance.contract import specs as specs_module
from session_conformance.contract.inprocess import InProcessTestee
from session_conformance.contract.specs import (
    SpecKind,
    open_testee,
    parse_testee_spec,
    read_manifest,
    shipped_testees,
)
from session_conformance.contract.stdio import StdioTestee

ADAPTER = """
class Mini:
    def handle(self, request):
        result = {"name": "mini", "version": "2", "contract": 1, "operations": []}
        return {"id": request["id"], "result": result}

class Needy(Mini):
    def __init__(self):
        raise OSError("no library")

class NoAdapter:
    pass

class Outer:
    Inner = Mini
"""

CHILD = """
import json, os, sys
for line in sys.stdin:
    request = json.loads(line)
    result = {"name": "child", "version": os.environ["COLOUR"], "contract": 1, "operations": sys.argv[1:]}
    print(json.dumps({"id": request["id"], "result": result}), flush=True)
    if request["op"] == "bye":
        break
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mini_spec_adapter.py").write_text(ADAPTER)
    (tmp_path / "broken_spec_adapter.py").write_text("raise ValueError('half written')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mini_spec_adapter", raising=False)
    return "mini_spec_adapter"


def manifest(folder: Path, text: str, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "testee.toml").write_text(text)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder / "testee.toml"


def test_the_reference_is_a_class_of_ours() -> None:
    spec = parse_testee_spec(" reference ")
    assert (spec.kind, spec.name, spec.attribute) == (SpecKind.PYTHON, "reference", "ReferenceTestee")


@pytest.mark.parametrize(
    ("text", "command", "name"),
    [
        ("cmd:node adapter.js --fast", ("node", "adapter.js", "--fast"), "adapter"),
        ("cmd:'my client' -x", ("my client", "-x"), "my client"),
        ('cmd:python3 "a b.py" data.json', ("python3", "a b.py", "data.json"), "data"),
        ("cmd:./client", ("./client",), "client"),
        ("cmd:python3 -m my.adapter --x", ("python3", "-m", "my.adapter", "--x"), "adapter"),
        ("cmd:client -m", ("client", "-m"), "client"),
    ],
)
def test_a_command_line_is_split_like_a_shell_does(text: str, command: tuple[str, ...], name: str) -> None:
    spec = parse_testee_spec(text)
    assert (spec.kind, spec.command, spec.name, spec.text) == (SpecKind.COMMAND, command, name, text)


def test_a_slug_is_fit_for_files() -> None:
    assert parse_testee_spec("cmd:'my client/v 1'").slug == "v-1"
    assert parse_testee_spec("cmd:'…'").slug == "testee"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the testee is empty"),
        ("cmd:", "there is no command"),
        ("cmd:'open", "cannot be split: No closing quotation"),
        ("python:module", "is not python:module:Class"),
        ("python:a b:C", "is not python:module:Class"),
        ("python:module:", "is not python:module:Class"),
        ("image:someone/something", "image: is not available yet in this version"),
        ("poll:http://x", "poll: is not available yet in this version"),
        ("referense", r"there is no testee 'referense'\n  hint: did you mean reference\?"),
        ("no/such/testee.toml", "cannot read .*testee.toml: No such file"),
        ("../testees", "there is no testee"),
    ],
)
def test_what_cannot_be_understood_is_explained(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(TesteeSpecError, match=message):
        parse_testee_spec(text, root=tmp_path)


def test_every_shipped_testee_parses() -> None:
    names = shipped_testees()
    assert "reference" in names
    for name in names:
        assert parse_testee_spec(name).name == name


def test_a_folder_with_a_manifest_is_shipped(tmp_path: Path) -> None:
    manifest(tmp_path / "my_client", 'command = ["{python}", "{here}/adapter.py"]\nneeds_gateway = true')
    (tmp_path / "kit").mkdir()
    assert shipped_testees(tmp_path) == ("my_client", "reference")
    spec = parse_testee_spec("my_client", root=tmp_path)
    assert (spec.name, spec.needs_gateway, spec.text) == ("my_client", True, "my_client")
    with pytest.raises(TesteeSpecError, match=r"did you mean my_client\? shipped: my_client, reference"):
        parse_testee_spec("my_cleint", root=tmp_path)
    with pytest.raises(TesteeSpecError, match="there is no testee 'kit'"):
        parse_testee_spec("kit", root=tmp_path)


def test_a_manifest_may_stand_anywhere(tmp_path: Path) -> None:
    path = manifest(
        tmp_path / "elsewhere",
        'name = "x"\ncommand = ["{python}", "a.py"]\nrequirements = "lock.txt"\npython = ">=3.11"\n'
        'expectations = "known.toml"\n[environment]\nCOLOUR = "red"',
        lock__txt="",
        known__toml="",
    )
    for text in (str(path), str(path.parent)):
        spec = parse_testee_spec(text)
        assert spec.name == "x"
        assert spec.lock == path.parent / "lock.txt"
        assert spec.expectations == path.parent / "known.toml"
        assert spec.environment == {"COLOUR": "red"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("command = [", "is not TOML"),
        ("", "command is missing or not a list of texts"),
        ('command = ["a", 1]', "command is missing or not a list of texts"),
        ('command = "a b"', "command should be a list, not 'a b'"),
        ('command = ["a"]\ncomand = ["b"]', "unknown key 'comand'"),
        ('command = ["a"]\nneeds_gateway = "yes"', "needs_gateway should be a true or false, not 'yes'"),
        ('command = ["a"]\npython = "3.11"', "python is '3.11'"),
        ('command = ["a"]\nrequirements = "lock"', "requirements names 'lock', but there is no such file"),
        ('command = ["a"]\nexpectations = "e.toml"', "expectations names 'e.toml', but there is no such"),
        ('command = ["a"]\n[environment]\nA = 1', "the values of environment should be texts"),
    ],
)
def test_a_manifest_that_is_wrong_is_explained(text: str, message: str, tmp_path: Path) -> None:
    path = manifest(tmp_path, text)
    with pytest.raises(TesteeSpecError, match=message):
        read_manifest(path)


def test_a_manifest_is_run_with_its_environment(tmp_path: Path) -> None:
    path = manifest(
        tmp_path / "with {here} in its name",
        'command = ["{python}", "{here}/child.py", "{python}x{here}", "{else}"]\n'
        '[environment]\nCOLOUR = "red"',
        child__py=CHILD,
    )
    with open_testee(read_manifest(path)) as testee:
        assert testee.hello.version == "red"
        assert testee.hello.operations == {f"{sys.executable}x{path.parent}", "{else}"}


def test_the_interpreter_comes_from_the_provider(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        'name = "needs"\ncommand = ["{python}", "{here}/child.py"]\nrequirements = "lock"\n'
        '[environment]\nCOLOUR = "x"',
        child__py=CHILD,
        lock="",
    )
    asked: list[Any] = []
    said: list[str] = []

    def provide(name: str, lock: Path, *, say: Callable[[str], None]) -> Path:
        asked.append((name, lock))
        say("building")
        return Path(sys.executable)

    with open_testee(read_manifest(path), environment_provider=provide, say=said.append) as testee:
        assert testee.hello.name == "child"
    assert asked == [("needs", tmp_path / "lock")]
    assert said == ["building"]
    with pytest.raises(TesteeNotStarted, match="needs an environment made from"):
        open_testee(read_manifest(path))

    def fail(name: str, lock: Path, *, say: Callable[[str], None]) -> Path:
        raise RuntimeError("no index")

    with pytest.raises(TesteeNotStarted, match="the environment of needs: no index"):
        open_testee(read_manifest(path), environment_provider=fail)


def test_a_newer_python_is_asked_for(tmp_path: Path) -> None:
    path = manifest(tmp_path, 'command = ["{python}"]\npython = ">=3.99"')
    with pytest.raises(TesteeNotStarted, match=r"needs Python >=3\.99"):
        open_testee(read_manifest(path))


def test_a_class_is_called_in_this_process(module: str) -> None:
    spec = parse_testee_spec(f"python:{module}:Mini")
    testee = open_testee(spec, seed=3)
    assert isinstance(testee, InProcessTestee)
    assert testee.hello.version == "2"
    assert testee.transcript[0].request["params"]["seed"] == 3
    assert open_testee(parse_testee_spec(f"python:{module}:Outer.Inner")).hello.name == "mini"


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("python:no_such_module_here:X", TesteeSpecError, "cannot import no_such_module_here"),
        ("python:broken_spec_adapter:X", TesteeSpecError, "raised ValueError: half written"),
        ("python:mini_spec_adapter:Mimi", TesteeSpecError, r"has no Mimi\n  hint: did you mean Mini"),
        ("python:mini_spec_adapter:NoAdapter", TesteeSpecError, r"has no method handle\(request\)"),
        ("python:mini_spec_adapter:Needy", TesteeNotStarted, r"Needy\(\) raised OSError: no library"),
    ],
)
def test_a_class_that_cannot_be_used_is_explained(
    module: str, spec: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_testee(parse_testee_spec(spec))


def test_faults_are_testees(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    import importlib

    adapter_class = importlib.import_module(module).Mini
    faults = (
        types.SimpleNamespace(
            id="no-padding", kind="inprocess", testee_class=adapter_class, suites=("padding",)
        ),
        types.SimpleNamespace(id="hangs", kind="child", testee_class=adapter_class, suites=("messaging",)),
    )
    monkeypatch.setitem(
        sys.modules,
        specs_module.FAULTS_MODULE,
        types.SimpleNamespace(FAULTS=faults, SERVER_FAULTS=()),  # type: ignore[arg-type]
    )
    near, far = parse_testee_spec("broken:no-padding"), parse_testee_spec("broken:hangs")
    assert (near.kind, near.name) == (SpecKind.PYTHON, "broken-no-padding")
    assert near.suites == ("padding",)
    assert isinstance(open_testee(near), InProcessTestee)
    assert far.kind is SpecKind.CHILD_CLASS
    assert isinstance(open_testee(far), StdioTestee)
    with pytest.raises(
        TesteeSpecError, match=r"there is no fault 'no-paddin'\n  hint: did you mean no-padding"
    ):
        parse_testee_spec("broken:no-paddin")


def test_a_class_of_ours_is_served_in_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = f"{CHILD}\n".replace("for line", "def serve(self):\n  for line")
    body = "\n".join(f"    {line}" for line in served.splitlines()[2:])
    (tmp_path / "served_adapter.py").write_text(f"import json, os, sys\nclass Served:\n{body}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("COLOUR", "blue")
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = specs_module.TesteeSpec(
        "broken:x", "x", SpecKind.CHILD_CLASS, module="served_adapter", attribute="Served"
    )
    with open_testee(spec) as testee:
        assert testee.hello.version == "blue"
