"""Build the virtual environment of a third-party testee from its lock file, once, in the user's cache folder.

The environment is named after the lock file's content: as long as that stays the same, nothing is built again
and no network is needed.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from session_conformance.contract.errors import TesteeError

# A slow mirror may take minutes; a hung one must not take for ever. In seconds.
INSTALL_DEADLINE_S = 600.0


class EnvironmentNotBuilt(TesteeError):
    """Say why a testee's environment could not be built, and what may mend it."""


def cache_folder() -> Path:
    """Return where environments stand: ``$SESSION_HARNESS_CACHE_DIR``, or the user's cache folder."""
    chosen = os.environ.get("SESSION_HARNESS_CACHE_DIR")
    return Path(chosen) if chosen else platformdirs.user_cache_path("session-harness")


def environment_folder(name: str, lock: Path) -> Path:
    """Return where the environment of a testee stands, whether or not it has been built."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(lock.read_bytes() + version.encode()).hexdigest()[:12]
    return cache_folder() / "testees" / f"{name}-{version}-{digest}"


def ensure_environment(name: str, lock: Path, *, say: Callable[[str], None]) -> Path:
    """Return the interpreter of a testee's environment, building the environment when it is not there.

    ``say`` is told, in a line each, what takes time. Raise :class:`EnvironmentNotBuilt` when it cannot be
    built.
    """
    folder = environment_folder(name, lock)
    interpreter = folder / "bin" / "python"
    if interpreter.exists():
        return interpreter
    say(f"{name}: building its environment in {folder} (once)")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentNotBuilt(
            f"{name}: its environment cannot be built in {folder.parent}: {error.strerror or error}",
            hint="name a writable folder in SESSION_HARNESS_CACHE_DIR",
        ) from error
    # Built under another name and moved when complete: an interrupted build is never taken for an
    # environment.
    with _build_folder(folder) as building:
        _create(building)
        _install(name, building, lock)
        with contextlib.suppress(OSError):
            # A second run may have been faster: its environment is as good.
            building.rename(folder)
    say(f"{name}: environment ready")
    return interpreter


@contextlib.contextmanager
def _build_folder(folder: Path) -> Iterator[Path]:
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _create(folder: Path) -> None:
    import venv

    # Symlinks, so that the environment can be moved: its scripts are never used, only its interpreter.
    venv.EnvBuilder(symlinks=True, with_pip=_uv() is None, clear=True).create(folder)


def _install(name: str, folder: Path, lock: Path) -> None:
    interpreter = str(folder / "bin" / "python")
    uv = _uv()
    if uv is not None:
        command = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            interpreter,
            "--require-hashes",
            "-r",
            str(lock),
        ]
    else:
        command = [
            *(interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "--requirement", str(lock)),
        ]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentNotBuilt(
            f"{name}: its packages were not installed within {INSTALL_DEADLINE_S:g} s",
            hint="the package index may be out of reach; try again",
        ) from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        # pip repeats a warning for each try; what it ended with is in its last words.
        said = [line for line in lines if line.startswith("ERROR")] or lines
        raise EnvironmentNotBuilt(
            f"{name}: its packages could not be installed: {said[-1] if said else 'without a word'}",
            hint="the first run needs the package index (PyPI); later ones need no network",
        )


def _uv() -> str | None:
    """Return uv where it is installed and works; a shim of a version manager may be there without it."""
    found = shutil.which("uv")
    if found is None:
        return None
    works = subprocess.run([found, "--version"], capture_output=True, check=False, timeout=30).returncode == 0
    return found if works else None
