"""Find and remove what networks left behind whose process was ended by force."""

import contextlib
import datetime as dt
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from session_testnet.control.state_file import StateFileError, is_alive, read_state, remove_state
from session_testnet.docker_daemon import DockerError, connect, refusals
from session_testnet.docker_labels import ROLE, RUN, age_s, why_left_over
from session_testnet.owner import TEMPORARY_PREFIX, is_running, owner_of_directory

_FORK_SERVER: Final = "session_testnet.engines.fork_server"
# Networks and volumes are free only when the containers in them are gone.
_ORDER: Final = ("service", "container", "network", "volume", "process", "state file", "directory")


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that nobody uses any more: what it is, its name, why it counts as left over, and its age."""

    kind: str
    name: str
    reason: str
    age_s: float | None
    remove: Callable[[], None]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        age_s = None if self.age_s is None else round(self.age_s)
        return {"kind": self.kind, "name": self.name, "reason": self.reason, "age_s": age_s}


def find_leftovers(state_directory: Path, *, older_than_s: float = 0) -> list[Leftover]:
    """Return everything that is left over, in the order in which it can be removed.

    ``older_than_s`` leaves younger things alone, and those whose age nobody knows.
    """
    found = [*_at_docker(), *_fork_servers(), *_state_files(state_directory), *_directories()]
    if older_than_s:
        found = [each for each in found if each.age_s is not None and each.age_s > older_than_s]
    return sorted(found, key=lambda each: (_ORDER.index(each.kind), each.name))


def remove_leftovers(leftovers: list[Leftover]) -> list[tuple[Leftover, str]]:
    """Remove them; return those that could not be, each with the reason."""
    failed = []
    for leftover in leftovers:
        try:
            leftover.remove()
        except (OSError, DockerError) as error:
            failed.append((leftover, str(error)))
    return failed


def _at_docker() -> Iterator[Leftover]:
    """Yield what is labelled as ours at the container engine, if there is one."""
    try:
        client = connect(timeout_s=30)
    except DockerError:
        return
    now, mine = dt.datetime.now(dt.UTC), {"label": RUN}
    with refusals("cannot list what is left over"):
        things = [
            ("container", each, each.labels, lambda each: each.remove(force=True, v=True))
            for each in client.containers.list(all=True, filters=mine, ignore_removed=True)
        ]
        if client.info().get("Swarm", {}).get("ControlAvailable"):
            things += [
                ("service", each, each.attrs["Spec"]["Labels"], lambda each: each.remove())
                for each in client.services.list(filters=mine)
            ]
        things += [
            ("network", each, each.attrs["Labels"] or {}, _remove_network)
            for each in client.networks.list(filters=mine)
        ]
        things += [
            ("volume", each, each.attrs["Labels"] or {}, lambda each: each.remove(force=True))
            for each in client.volumes.list(filters=mine)
        ]
    for kind, thing, labels, remove in things:
        reason = why_left_over(labels, now)
        if reason is not None and labels.get(ROLE) != "image":
            yield Leftover(kind, thing.name, reason, age_s(labels, now), _removal(thing, remove))


def _removal(thing: Any, remove: Callable[[Any], None]) -> Callable[[], None]:
    def carry_out() -> None:
        from docker.errors import NotFound

        with refusals(f"cannot remove {thing.name}"), contextlib.suppress(NotFound):
            remove(thing)

    return carry_out


def _remove_network(network: Any) -> None:
    network.reload()
    for container in network.attrs.get("Containers") or {}:
        network.disconnect(container, force=True)
    network.remove()


def _fork_servers() -> Iterator[Leftover]:
    """Yield fork servers, with the nodes in their groups, whose parent has ended (Linux)."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if _FORK_SERVER not in words:
                continue
            parent = int(words[words.index(_FORK_SERVER) + 2])
            if not is_running(parent):
                pid = int(entry.name)
                age = time.time() - entry.stat().st_mtime
                yield Leftover(
                    "process",
                    str(pid),
                    f"its parent {parent} has ended",
                    age,
                    partial(_end_group, pid),
                )


def _state_files(directory: Path) -> Iterator[Leftover]:
    for path in directory.glob("*.json"):
        with contextlib.suppress(StateFileError, OSError):
            state = read_state(path)
            if not is_alive(state):
                age = time.time() - path.stat().st_mtime
                reason = f"its process {state['pid']} has ended"
                yield Leftover("state file", str(path), reason, age, partial(_remove_state, path))


def _remove_state(path: Path) -> None:
    """Remove a state file, and what its process wrote when it was detached."""
    remove_state(path)
    path.with_suffix(".log").unlink(missing_ok=True)


def _directories() -> Iterator[Leftover]:
    for path in Path(tempfile.gettempdir()).glob(f"{TEMPORARY_PREFIX}*"):
        owner = owner_of_directory(path)
        if owner is not None and owner.is_gone():
            with contextlib.suppress(OSError):
                age = time.time() - path.stat().st_mtime
                reason = f"its process {owner.pid} has ended"
                yield Leftover("directory", str(path), reason, age, partial(shutil.rmtree, path))


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
