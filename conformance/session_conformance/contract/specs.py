"""Turn what a person writes after ``--testee`` into a testee."""

import difflib
import importlib
import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, cast

from session_conformance.contract.errors import TesteeNotStarted, TesteeSpecError
from session_conformance.contract.inprocess import AdapterObject, InProcessTestee
from session_conformance.contract.stdio import StdioTestee
from session_conformance.contract.testee import Deadlines, Testee
from session_conformance.servers.address import ServerKind, is_server, parse_address

if TYPE_CHECKING:
    from session_conformance.broken.server_fault import ServerFault
    from session_conformance.servers.testee import Opener

TESTEES_PACKAGE: Final = "session_conformance.testees"
FAULTS_MODULE: Final = "session_conformance.broken"
REFERENCE: Final = "reference"
_REFERENCE_CLASS: Final = ("session_conformance.testees.reference", "ReferenceTestee")
_MANIFEST: Final = "testee.toml"
_FORMS: Final = (
    "a shipped testee by its name, the path of a testee.toml, cmd:COMMAND LINE, python:module:Class, "
    "or broken:FAULT"
)
_SERVE: Final = (
    "import importlib, sys; module, name = sys.argv[1:3]; "
    "sys.exit(getattr(importlib.import_module(module), name)().serve())"
)


class SpecKind(StrEnum):
    """Say how a testee is carried."""

    COMMAND = "command"  # a child process that speaks JSON lines
    PYTHON = "python"  # an object of this process
    CHILD_CLASS = "child class"  # an adapter class of ours, in a child that can be killed
    SERVER = "server"  # a server, asked over HTTP


@dataclass(frozen=True, slots=True)
class TesteeSpec:
    """Describe a testee before it is started; ``text`` is what describes it to a person, and to a replay.

    ``suites`` limits the suites that judge it: those whose subject a deliberate fault lies in. Empty: all.
    """

    __test__: ClassVar[bool] = False  # pytest takes the name for that of a test class

    text: str
    name: str
    kind: SpecKind
    command: tuple[str, ...] = ()
    module: str = ""
    attribute: str = ""
    folder: Path | None = None
    lock: Path | None = None
    expectations: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    needs_gateway: bool = False
    suites: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """Return the name in a form fit for file names."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-.") or "testee"


class EnvironmentProvider(Protocol):
    """Make sure that the environment of an adapter exists, and return its interpreter."""

    def __call__(self, name: str, lock: Path, *, say: Callable[[str], None]) -> Path:
        """Return the interpreter; ``say`` gets one line for each step that takes time."""


def shipped_testees(root: Path | None = None) -> tuple[str, ...]:
    """Return the names of the testees that come with this package."""
    root = root or _testees_folder()
    folders = (entry for entry in root.iterdir() if entry.is_dir() and (entry / _MANIFEST).is_file())
    return tuple(sorted({REFERENCE, *(folder.name for folder in folders)}))


def parse_testee_spec(text: str, *, root: Path | None = None) -> TesteeSpec:
    """Read the description of a testee; ``root`` replaces the folder of the shipped testees.

    Raise TesteeSpecError, with the closest names where a name is unknown.
    """
    text = text.strip()
    prefix, colon, rest = text.partition(":")
    match prefix if colon else "":
        case "cmd":
            return _command(text, rest)
        case "python":
            return _python(text, rest)
        case "broken":
            return _broken(text, rest)
        case _ if colon and is_server(prefix):
            return _server(text, prefix, rest)
        case "image" | "poll":
            raise TesteeSpecError(
                f"testee {text!r}: {prefix}: is not available yet in this version",
                hint="spawn the adapter with cmd:COMMAND LINE; a container runs as "
                "cmd:docker run --rm -i IMAGE",
            )
    if not text:
        raise TesteeSpecError("the testee is empty", hint=f"give {_FORMS}")
    if text == REFERENCE:
        module, attribute = _REFERENCE_CLASS
        return TesteeSpec(text, REFERENCE, SpecKind.PYTHON, module=module, attribute=attribute)
    root = root or _testees_folder()
    if (root / text / _MANIFEST).is_file() and re.fullmatch(r"[\w.-]+", text):
        return read_manifest(root / text / _MANIFEST, text=text)
    path = Path(text).expanduser()
    if path.is_dir() and (path / _MANIFEST).is_file():
        path /= _MANIFEST
    if path.suffix == ".toml" or path.is_file():
        return read_manifest(path, text=text)
    names = shipped_testees(root)
    close = difflib.get_close_matches(text, names, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    raise TesteeSpecError(
        f"there is no testee {text!r}", hint=f"{meant}shipped: {', '.join(names)}; give {_FORMS}"
    )


def read_manifest(path: Path, *, text: str | None = None) -> TesteeSpec:
    """Read a ``testee.toml``; raise TesteeSpecError with file, key and what was expected.

    Keys: ``name``, ``command`` (a list; ``{python}`` is the interpreter of its environment, ``{here}`` the
    folder of the file), and optionally ``requirements`` (a lock file), ``python`` (a version such as
    ``>=3.11``), ``expectations`` (a file), ``needs_gateway`` (true or false) and a table ``environment``.
    """
    path = path.absolute()
    try:
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TesteeSpecError(f"cannot read {path}: {error.strerror}", hint=f"give {_FORMS}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TesteeSpecError(f"{path} is not TOML: {error}") from error
    strange = sorted(manifest.keys() - _MANIFEST_KEYS.keys())
    if strange:
        raise TesteeSpecError(
            f"{path}: unknown key {strange[0]!r}", hint=f"the keys are {', '.join(_MANIFEST_KEYS)}"
        )
    for key, kind in _MANIFEST_KEYS.items():
        if key in manifest and type(manifest[key]) is not kind:
            raise TesteeSpecError(f"{path}: {key} should be a {_TOML_NAMES[kind]}, not {manifest[key]!r}")
    command = manifest.get("command", [])
    if not command or not all(isinstance(part, str) for part in command):
        raise TesteeSpecError(
            f"{path}: command is missing or not a list of texts",
            hint='write command = ["{python}", "{here}/adapter.py"]',
        )
    environment = manifest.get("environment", {})
    if not all(isinstance(value, str) for value in environment.values()):
        raise TesteeSpecError(f"{path}: the values of environment should be texts")
    python = manifest.get("python", "")
    if python and not re.fullmatch(r">=3\.\d+", python):
        raise TesteeSpecError(f"{path}: python is {python!r}", hint='write python = ">=3.11"')
    return TesteeSpec(
        text=text or str(path),
        name=manifest.get("name") or path.parent.name,
        kind=SpecKind.COMMAND,
        command=tuple(command),
        folder=path.parent,
        lock=_beside(path, manifest, "requirements"),
        expectations=_beside(path, manifest, "expectations"),
        environment=environment,
        python=python,
        needs_gateway=manifest.get("needs_gateway", False),
    )


_MANIFEST_KEYS: Final[Mapping[str, type]] = {
    "name": str,
    "command": list,
    "requirements": str,
    "python": str,
    "expectations": str,
    "environment": dict,
    "needs_gateway": bool,
}
_TOML_NAMES: Final[Mapping[type, str]] = {str: "text", list: "list", dict: "table", bool: "true or false"}


def _beside(path: Path, manifest: Mapping[str, Any], key: str) -> Path | None:
    if key not in manifest:
        return None
    found: Path = path.parent / manifest[key]
    if not found.is_file():
        raise TesteeSpecError(f"{path}: {key} names {manifest[key]!r}, but there is no such file beside it")
    return found


def _testees_folder() -> Path:
    found = importlib.util.find_spec(TESTEES_PACKAGE)
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0])


def _command(text: str, rest: str) -> TesteeSpec:
    try:
        command = tuple(shlex.split(rest))
    except ValueError as error:
        raise TesteeSpecError(
            f"testee {text!r}: the command line cannot be split: {error}", hint="balance the quotes"
        ) from error
    if not command:
        raise TesteeSpecError(f"testee {text!r}: there is no command", hint="write cmd:node adapter.js")
    return TesteeSpec(text, _name_of(command), SpecKind.COMMAND, command=command)


def _name_of(command: tuple[str, ...]) -> str:
    """Name a command after the adapter, not its interpreter: its module, its last file, or itself."""
    if "-m" in command[:-1]:
        return command[command.index("-m") + 1].rpartition(".")[2]
    files = [part for part in command if not part.startswith("-") and Path(part).suffix]
    return Path(files[-1] if files else command[0]).stem


def _python(text: str, rest: str) -> TesteeSpec:
    module, colon, attribute = rest.partition(":")
    names = [*module.split("."), *attribute.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise TesteeSpecError(
            f"testee {text!r} is not python:module:Class", hint="write python:my_package.adapter:MyTestee"
        )
    return TesteeSpec(text, attribute, SpecKind.PYTHON, module=module, attribute=attribute)


def _server(text: str, prefix: str, rest: str) -> TesteeSpec:
    if prefix == "own":
        if rest not in set(ServerKind):
            raise TesteeSpecError(
                f"testee {text!r}: there is no server {rest!r} of our own",
                hint=f"give own:{'|'.join(ServerKind)}",
            )
        return TesteeSpec(text, f"own-{rest}", SpecKind.SERVER, suites=ServerKind(rest).suites)
    address = parse_address(text)
    return TesteeSpec(text, prefix, SpecKind.SERVER, suites=address.kind.suites)


def _server_opener(spec: TesteeSpec) -> "Opener":
    from session_conformance.servers import own, testee

    prefix, _, rest = spec.text.partition(":")
    match prefix:
        case "own":
            return lambda: own.open_own(ServerKind(rest))
        case "broken":
            return next(fault.open for fault in _server_faults() if fault.id == rest)
        case _:
            return testee.somebodys(parse_address(spec.text))


def _broken(text: str, fault_id: str) -> TesteeSpec:
    for server_fault in _server_faults():
        if server_fault.id == fault_id:
            return TesteeSpec(text, f"broken-{fault_id}", SpecKind.SERVER, suites=server_fault.suites)
    faults = {fault.id: fault for fault in _faults()}
    if fault_id not in faults:
        known = {*faults, *(fault.id for fault in _server_faults())}
        close = difflib.get_close_matches(fault_id, sorted(known), n=3, cutoff=0.4)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise TesteeSpecError(
            f"there is no fault {fault_id!r}",
            hint=f"{meant}session-harness selfcheck knows {len(known)} faults: {', '.join(sorted(known))}",
        )
    fault = faults[fault_id]
    return TesteeSpec(
        text,
        f"broken-{fault_id}",
        SpecKind.CHILD_CLASS if fault.kind == "child" else SpecKind.PYTHON,
        module=fault.testee_class.__module__,
        attribute=fault.testee_class.__qualname__,
        suites=tuple(fault.suites),
    )


class _Fault(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def testee_class(self) -> type: ...
    @property
    def suites(self) -> Sequence[str]: ...


def _faults() -> tuple[_Fault, ...]:
    return cast("tuple[_Fault, ...]", importlib.import_module(FAULTS_MODULE).FAULTS)


def _server_faults() -> "tuple[ServerFault, ...]":
    return cast("tuple[ServerFault, ...]", importlib.import_module(FAULTS_MODULE).SERVER_FAULTS)


def open_testee(
    spec: TesteeSpec,
    *,
    seed: int = 0,
    validate: bool = False,
    deadlines: Deadlines | None = None,
    environment_provider: EnvironmentProvider | None = None,
    say: Callable[[str], None] = lambda _line: None,
    harness: str = "session-harness",
) -> Testee:
    """Return the testee that a spec describes; it starts when it is first used.

    ``environment_provider`` makes the Python environment of a testee with a lock file. Raise TesteeSpecError
    for a class that cannot be imported, TesteeNotStarted for an environment that cannot be made.
    """
    if spec.kind is SpecKind.PYTHON:
        adapter_class = _adapter_class(spec)
        return InProcessTestee(
            _construct(adapter_class, spec),
            name=spec.name,
            factory=adapter_class,
            seed=seed,
            deadlines=deadlines,
            validate=validate,
            harness=harness,
        )
    if spec.kind is SpecKind.SERVER:
        from session_conformance.servers.testee import ServerTestee

        return ServerTestee(
            _server_opener(spec),
            name=spec.name,
            seed=seed,
            deadlines=deadlines or Deadlines(),
            harness=harness,
        )
    if spec.kind is SpecKind.CHILD_CLASS:
        command: tuple[str, ...] = (sys.executable, "-c", _SERVE, spec.module, spec.attribute)
    else:
        command = _substituted(spec, environment_provider, say)
    return StdioTestee(
        command,
        name=spec.name,
        env={"PYTHONUTF8": "1", **spec.environment},
        cwd=None,
        seed=seed,
        deadlines=deadlines,
        validate=validate,
        harness=harness,
    )


def _substituted(
    spec: TesteeSpec, provider: EnvironmentProvider | None, say: Callable[[str], None]
) -> tuple[str, ...]:
    if spec.folder is None:
        return spec.command
    python = sys.executable
    wanted = tuple(map(int, spec.python.removeprefix(">=").split("."))) if spec.python else ()
    if sys.version_info[: len(wanted)] < wanted:
        raise TesteeNotStarted(
            f"{spec.name} needs Python {spec.python}, this is {sys.version.split()[0]}",
            hint="run the harness with a newer Python",
        )
    if spec.lock is not None:
        if provider is None:
            raise TesteeNotStarted(
                f"{spec.name} needs an environment made from {spec.lock}, and none was given"
            )
        try:
            python = str(provider(spec.name, spec.lock, say=say))
        except Exception as error:
            from session_testnet.hinted_error import message_and_hint

            message, hint = message_and_hint(error)
            raise TesteeNotStarted(f"the environment of {spec.name}: {message}", hint=hint) from error
    values = {"{python}": python, "{here}": str(spec.folder)}
    return tuple(
        re.sub(r"\{python\}|\{here\}", lambda found: values[found[0]], part) for part in spec.command
    )


def _adapter_class(spec: TesteeSpec) -> Callable[[], AdapterObject]:
    try:
        found: Any = importlib.import_module(spec.module)
    except ModuleNotFoundError as error:
        raise TesteeSpecError(
            f"testee {spec.text!r}: cannot import {error.name}",
            hint="install it in the environment of the harness, or put its folder on PYTHONPATH",
        ) from error
    except Exception as error:
        raise TesteeSpecError(
            f"testee {spec.text!r}: importing {spec.module} raised {type(error).__name__}: {error}"
        ) from error
    for step in spec.attribute.split("."):
        try:
            found = getattr(found, step)
        except AttributeError:
            public = [name for name in vars(found) if not name.startswith("_")]
            close = difflib.get_close_matches(step, public, n=3)
            meant = f"did you mean {' or '.join(close)}?" if close else "check the name of the class"
            raise TesteeSpecError(f"testee {spec.text!r}: {spec.module} has no {step}", hint=meant) from None
    if not callable(found) or not hasattr(found, "handle"):
        raise TesteeSpecError(
            f"testee {spec.text!r}: {spec.attribute} has no method handle(request)",
            hint="derive it from Adapter of session_testee_kit",
        )
    return cast("Callable[[], AdapterObject]", found)


def _construct(adapter_class: Callable[[], AdapterObject], spec: TesteeSpec) -> AdapterObject:
    try:
        return adapter_class()
    except Exception as error:
        raise TesteeNotStarted(
            f"testee {spec.text!r}: {spec.attribute}() raised {type(error).__name__}: {error}"
        ) from error
