"""Ask a base image which Python it has, so that the wheels fit."""

import json
from dataclasses import dataclass
from typing import Any, Final

from session_testnet.docker_daemon import DockerError, refusals

# The oldest C library that wheels of today are built for.
_OLDEST_GLIBC_MINOR: Final = 5
_MUSL_MINORS: Final = (2, 1)
_ASK: Final = (
    "import json, platform, sys, sysconfig; print(json.dumps({"
    "'version': list(sys.version_info[:2]), 'machine': platform.machine(), 'libc': platform.libc_ver()}))"
)


@dataclass(frozen=True, slots=True)
class BasePython:
    """The Python of a base image; ``glibc_minor`` None means musl."""

    version: tuple[int, int]
    machine: str
    glibc_minor: int | None

    def pip_arguments(self) -> list[str]:
        """Return what makes ``pip download`` take wheels for this Python."""
        major, minor = self.version
        words = ["--python-version", f"{major}.{minor}", "--implementation", "cp"]
        for abi in (f"cp{major}{minor}", "abi3", "none"):
            words += ["--abi", abi]
        for platform in self.platforms():
            words += ["--platform", platform]
        return words

    def platforms(self) -> list[str]:
        """Return the platform tags that fit, the newest first."""
        machine = self.machine
        if self.glibc_minor is None:
            return [f"musllinux_1_{minor}_{machine}" for minor in _MUSL_MINORS]
        tags = [
            f"manylinux_2_{minor}_{machine}" for minor in range(self.glibc_minor, _OLDEST_GLIBC_MINOR - 1, -1)
        ]
        return [*tags, *(f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")), f"linux_{machine}"]


def ask_base(client: Any, image: str) -> BasePython:
    """Run the Python of a base image, which is pulled when it is missing; raise DockerError."""
    with refusals(f"cannot use the base image {image}"):
        said = client.containers.run(
            image, ["-c", _ASK], entrypoint="python3", network_mode="none", remove=True
        )
    try:
        return read_base(json.loads(said))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DockerError(
            f"the Python of the base image {image} says {said[:80]!r}", "it must be CPython 3.11 or newer"
        ) from error


def read_base(said: dict[str, Any]) -> BasePython:
    """Read what the base image's Python said of itself; raise ValueError for one that is too old."""
    version = (int(said["version"][0]), int(said["version"][1]))
    if version < (3, 11):
        raise ValueError("too old")
    name, libc = said["libc"]
    glibc_minor = int(libc.split(".")[1]) if name == "glibc" else None
    return BasePython(version, str(said["machine"]), glibc_minor)
