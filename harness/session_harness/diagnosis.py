"""Look at this machine: Python, dependencies, loopback addresses, the file limit, a container engine."""

import platform
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from typing import Any, Final

MINIMUM_PYTHON: Final = (3, 11)
FILES_OF_A_LARGE_NETWORK: Final = 4096


class Weight(Enum):
    """Say what a finding is needed for."""

    NEEDED = "needed"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold one thing that was looked at."""

    subject: str
    fine: bool
    text: str
    weight: Weight = Weight.NEEDED

    @property
    def is_fatal(self) -> bool:
        """Say whether nothing works without it."""
        return not self.fine and self.weight is Weight.NEEDED

    def as_json(self) -> dict[str, Any]:
        """Return the finding as plain values."""
        return {"subject": self.subject, "ok": self.fine, "text": self.text, "weight": self.weight.value}


def examine() -> list[Finding]:
    """Return all findings about this machine."""
    from session_harness.resource_diagnosis import examine_resources

    looks: list[Callable[[], Finding]] = [
        _python,
        _dependencies,
        _event_loop,
        _loopback,
        _file_limit,
    ]
    from session_harness.docker_diagnosis import examine_docker

    return [*(look() for look in looks), *examine_resources(), *examine_docker()]


def _python() -> Finding:
    version = platform.python_version()
    fine = sys.version_info[:2] >= MINIMUM_PYTHON
    wanted = ".".join(map(str, MINIMUM_PYTHON))
    return Finding("Python", fine, version if fine else f"{version}: {wanted} or newer is needed")


def _dependencies() -> Finding:
    missing = missing_dependencies(metadata.requires("session-harness") or [])
    if missing:
        return Finding(
            "dependencies", fine=False, text=f"missing: {', '.join(missing)}; install session-harness again"
        )
    return Finding("dependencies", fine=True, text="all installed")


def missing_dependencies(requirements: list[str]) -> list[str]:
    """Return the names of plain requirements, those without a marker, that are not installed."""
    names = [_name(requirement) for requirement in requirements if ";" not in requirement]
    return [name for name in names if not _is_installed(name)]


def _event_loop() -> Finding:
    present = _is_installed("uvloop")
    text = "uvloop" if present else "asyncio's own; uvloop is faster where it can be installed"
    return Finding("event loop", present, text, Weight.OPTIONAL)


def _loopback() -> Finding:
    try:
        _bind("127.0.0.1")
    except OSError as error:
        return Finding("loopback", fine=False, text=f"127.0.0.1 cannot be bound: {error.strerror}")
    try:
        _bind("127.0.5.1")
    except OSError:
        text = "one address only: all nodes share 127.0.0.1, with a port each"
        return Finding("loopback", fine=False, text=text, weight=Weight.OPTIONAL)
    return Finding("loopback", fine=True, text="an address for each node (127.0.n.1)")


def _file_limit() -> Finding:
    try:
        import resource
    except ImportError:
        return Finding("open files", fine=True, text="no limit known on this system", weight=Weight.OPTIONAL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reachable = hard == resource.RLIM_INFINITY or hard >= FILES_OF_A_LARGE_NETWORK
    limit = "no limit" if hard == resource.RLIM_INFINITY else str(hard)
    text = f"{soft}, can be raised to {limit}"
    if not reachable:
        text += f": networks of hundreds of nodes need {FILES_OF_A_LARGE_NETWORK}"
    return Finding("open files", reachable, text, Weight.OPTIONAL)


def _bind(address: str) -> None:
    with socket.socket() as probe:
        probe.bind((address, 0))


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _name(requirement: str) -> str:
    end = next((index for index, sign in enumerate(requirement) if sign in " <>=!~[;("), len(requirement))
    return requirement[:end]
