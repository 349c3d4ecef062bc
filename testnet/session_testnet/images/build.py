"""Build the image: a wheel of the running package, those that it needs, and the Dockerfile beside them."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Final

from session_testnet.docker_daemon import DockerError, connect, refusals
from session_testnet.docker_labels import CONTENT, ROLE
from session_testnet.images.base import BasePython, ask_base
from session_testnet.images.wheel import DISTRIBUTION, content_hash, write_wheel

DEFAULT_BASE: Final = "python:3.12-slim"
DOWNLOAD_S: Final = 600.0
BUILD_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that was built: its tags, its id and how many bytes it has."""

    tag: str
    id: str
    size: int
    base: str


def default_tag() -> str:
    """Return the name of the image that fits the running package's version."""
    return f"{DISTRIBUTION}:{metadata.version(DISTRIBUTION)}"


def build_image(
    base: str = DEFAULT_BASE, tag: str | None = None, *, progress: Callable[[str], None] = lambda _: None
) -> BuiltImage:
    """Build the image on a base image; ``progress`` is told each step. Raise DockerError."""
    tag = tag or default_tag()
    client = connect(BUILD_S)
    try:
        progress(f"asking {base} for its Python")
        python = ask_base(client, base)
        with tempfile.TemporaryDirectory(prefix="session-testnet-image-") as name:
            context = Path(name)
            dockerfile = resources.files("session_testnet.images").joinpath("Dockerfile").read_bytes()
            (context / "Dockerfile").write_bytes(dockerfile)
            package, dependencies = context / "package", context / "dependencies"
            package.mkdir()
            dependencies.mkdir()
            major, minor = python.version
            progress(f"fetching wheels for Python {major}.{minor} on {python.machine}")
            _fetch_wheels(write_wheel(package), dependencies, python)
            progress(f"building {tag}")
            with refusals(f"cannot build {tag}"):
                image, _ = client.images.build(
                    path=str(context),
                    tag=tag,
                    buildargs={"BASE_IMAGE": base},
                    labels={CONTENT: content_hash(), ROLE: "image"},
                    rm=True,
                    forcerm=True,
                )
        return BuiltImage(tag, str(image.id), int(image.attrs["Size"]), base)
    finally:
        client.close()


def _fetch_wheels(own: Path, directory: Path, python: BasePython) -> None:
    """Download what a wheel needs, in the versions that run here, into a directory."""
    installed = {each.metadata["Name"]: each.version for each in metadata.distributions() if each.metadata}
    constraints = directory.parent / "constraints.txt"
    constraints.write_text(
        "".join(f"{name}=={version}\n" for name, version in sorted(installed.items()) if name != DISTRIBUTION)
    )
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--only-binary", ":all:", "--dest", str(directory), "--constraint", str(constraints)),
        *python.pip_arguments(),
        f"{own}[omq]",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False)
    except subprocess.TimeoutExpired:
        raise DockerError(
            f"waited {DOWNLOAD_S:g} s for pip to fetch the wheels",
            "see whether the package index is reachable",
        ) from None
    if done.returncode != 0:
        raise DockerError(
            f"pip could not fetch the wheels: {_last_error(done.stderr)}", _pip_hint(done.stderr)
        )
    # pip puts the wheel itself there too.
    (directory / own.name).unlink(missing_ok=True)


def _last_error(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it did not say why"])[0]


def _pip_hint(said: str) -> str:
    if "No module named pip" in said:
        return f"install pip beside session-harness: {sys.executable} -m ensurepip"
    return "the package index must be reachable, and have wheels for the base image's Python"
