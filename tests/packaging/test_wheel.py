"""The wheel carries everything that the packages read at run time, and works where it is installed."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "session_protocol": "protocol",
    "session_testnet": "testnet",
    "session_conformance": "conformance",
    "session_harness": "harness",
}

# Files without which something breaks far from here: named, so that losing them in the tree is noticed too.
NEEDED = (
    *(f"{package}/py.typed" for package in PACKAGES),
    "session_protocol/wordlists/english.txt",
    "session_protocol/proto/session.proto",
    "session_protocol/proto/session_pb2.pyi",
    "session_testnet/control/state.schema.json",
    "session_testnet/images/Dockerfile",
    "session_testnet/pytest_plugin.py",
    "session_conformance/plugin.py",
    *(
        f"session_conformance/contract/schemas/{name}.json"
        for name in ("common", "content", "event", "hello", "operations", "reply", "request")
    ),
    "session_conformance/recording/schemas/report-line.json",
    "session_conformance/requirements/identity.toml",
    "session_conformance/requirements/network.toml",
    "session_conformance/vectors/schema.json",
    "session_conformance/vectors/identity.json",
    "session_conformance/vectors/sealing.json",
    "session_conformance/testees/kit_python/session_testee_kit.py",
    "session_conformance/testees/template/adapter.py",
    "session_conformance/testees/reference/__main__.py",
    *(
        f"session_conformance/testees/session_python/{name}"
        for name in ("adapter.py", "testee.toml", "expectations.toml", "requirements.in", "requirements.lock")
    ),
    "session_harness/conform_pytest.ini",
    "session_harness/report/templates/report.html.j2",
    "session_testnet/services/community/web/templates/page.css",
    "session_testnet/services/community/web/templates/page.js",
    "session_testnet/services/community/web/templates/room.html.j2",
    *(
        f"session_harness/schemas/{name}.json"
        for name in ("common", "conform", "list", "room", "room-list", "selfcheck", "status")
    ),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as ``make wheel`` does; hatchling needs no network for that."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_what_is_needed_is_inside(names: set[str]) -> None:
    assert [name for name in NEEDED if name not in names] == []


def test_all_files_of_the_packages_are_inside(names: set[str]) -> None:
    """Nothing is lost to a pattern of .gitignore, and nothing else slips in."""
    tree = {
        f"{package}/{path.relative_to(ROOT / folder / package).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in (ROOT / folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert tree - packed == set(), "missing in the wheel"
    assert packed - tree == set(), "in the wheel, but not in the packages"


def test_the_metadata_names_commands_and_plugins(wheel: Path, names: set[str]) -> None:
    (folder,) = {name.split("/")[0] for name in names if name.split("/")[0].endswith(".dist-info")}
    with zipfile.ZipFile(wheel) as archive:
        entries = archive.read(f"{folder}/entry_points.txt").decode()
        metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
    assert "session-harness = session_harness.cli:main" in entries
    assert "session-conformance = session_conformance.plugin" in entries
    assert "session-testnet = session_testnet.pytest_plugin" in entries
    assert metadata["Name"] == "session-harness"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "# session-harness" in metadata.get_payload()
    assert any(name.endswith("/LICENSE") for name in names)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment that takes the dependencies from ours; return its bin folder.

    The .pth file of the new environment names our site-packages, whose own .pth files are then not read: the
    editable install of this checkout stays out of sight.
    """
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.EnvBuilder(with_pip=True, symlinks=True).create(folder)
    python = folder / "bin" / "python"
    subprocess.run(
        [
            *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-index", "--no-deps", str(wheel)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    ours = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (Path(packages) / "dependencies.pth").write_text("".join(f"{path}\n" for path in ours), "utf-8")
    return folder / "bin"


def call(program: Path, *arguments: str, folder: Path) -> str:
    """Run a program of the new environment somewhere else and return its stdout."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "PYTEST_", "VIRTUAL"))
    }
    environment = {**kept, "PYTHONUTF8": "1", "SESSION_HARNESS_STATE_DIR": str(folder / "state")}
    done = subprocess.run(
        [str(program), *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{program.name} {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_the_installed_packages_are_those_of_the_wheel(package: str, installed: Path, tmp_path: Path) -> None:
    place = call(
        installed / "python", "-c", f"import {package}; print({package}.__file__)", folder=tmp_path
    ).strip()
    assert Path(place).is_relative_to(installed.parent), f"{package} comes from {place}"


def test_the_installed_command_lists_requirements(installed: Path, tmp_path: Path) -> None:
    listed = json.loads(call(installed / "session-harness", "list", "--json", folder=tmp_path))
    assert len(listed["requirements"]) > 10
    assert all(entry["checks"] for entry in listed["requirements"])


def test_the_installed_command_judges(installed: Path, tmp_path: Path) -> None:
    """The child pytest finds plugin, suites, vectors and templates where they were installed."""
    words = ("conform", "--testee", "reference", "--suite", "mnemonic", "--max-examples", "5", "--json")
    result = json.loads(call(installed / "session-harness", *words, folder=tmp_path))
    assert result["exit"] == 0
    assert result["testees"][0]["counts"]["passed"] > 0
    assert (tmp_path / "runs" / "latest" / "report.html").is_file()


def test_the_installed_command_starts_a_testnet(installed: Path, tmp_path: Path) -> None:
    command = installed / "session-harness"
    state = json.loads(
        call(command, "up", "--nodes", "1", "--detach", "--ttl", "1m", "--json", folder=tmp_path)
    )
    try:
        assert len(state["nodes"]) == 1
    finally:
        call(command, "down", folder=tmp_path)
