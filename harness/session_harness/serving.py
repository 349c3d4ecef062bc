"""Run a testnet for as long as somebody wants it: in this process, or in a detached one."""

import ipaddress
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from session_harness.errors import HarnessError, Interrupted, NoNetwork, TestnetNotStarted, UsageError
from session_harness.running import state_path
from session_harness.spelling import suggestion

if TYPE_CHECKING:
    from session_testnet import LocalNetworkHandle, NetworkOptions, Topology
    from session_testnet.snapshot_file import Snapshot

REGISTRY_PORT: Final = 1280
DETACHED_DEADLINE_S: Final = 90.0
POLL_S: Final = 0.25
_ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Hold the options of ``up``; None leaves a choice to the profile or the topology file."""

    name: str
    engine: str | None = None
    nodes: int | None = None
    topology: Path | None = None
    profile: str | None = None
    seed: str | None = None
    data_dir: Path | None = None
    ttl: int | None = None
    advertise_ip: str | None = None
    control_ip: str | None = None
    fixed_ports: bool = False
    test_mode: bool = False
    tcp_faults: bool = False
    node_version: str | None = None
    state: Path | None = None
    image: str | None = None
    node_memory: int | None = None
    node_cpus: float | None = None
    snapshot: Path | None = None

    def arguments(self) -> list[str]:
        """Return the command line that means the same."""
        words: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            option = "--" + field.name.replace("_", "-")
            if value is True:
                words.append(option)
            elif field.name == "ttl" and value is not None:
                words += [option, f"{value}ms"]
            elif value is not None and value is not False:
                words += [option, str(value.absolute() if isinstance(value, Path) else value)]
        return words


class _Stopped(BaseException):
    """Leave whatever the main thread waits for: a signal asked for the end."""


def serve(options: ServeOptions, *, on_ready: Callable[[dict[str, Any]], None]) -> str:
    """Run a testnet until a signal, its lifetime or ``down`` ends it; return which.

    Raise UsageError for options that contradict each other, TestnetNotStarted when it does not come up,
    Interrupted when a signal comes before it is ready.
    """
    from session_testnet.control.state_file import StateFileError, write_state
    from session_testnet.process_tuning import garbage_left_alone

    topology, network_options = described(options)
    path = state_path(options.state, options.name)
    _refuse_second(path, options.name)
    with _signals() as seen:
        try:
            with garbage_left_alone():
                handle = _open(topology, network_options, options.snapshot)
        except _Stopped:
            raise Interrupted("interrupted before the testnet was ready") from None
        try:
            write_state(path, handle.state)
            started_with = handle.state
            # Nodes may join and leave; whoever reads the file later finds those that are there then.
            handle.on_change(lambda state: write_state(path, {**started_with, **state}))
            on_ready(handle.state)
            reason = _wait(handle, options.ttl, seen)
        except _Stopped:
            reason = "by signal"
        except StateFileError as error:
            raise TestnetNotStarted(error.message, hint=error.hint) from error
        finally:
            seen.restore()
            handle.close()
            _remove_own_state(path)
    _remove_own_log(_log_path(path))
    return reason


def serve_detached(options: ServeOptions) -> dict[str, Any]:
    """Start a testnet in a process of its own, wait until it is ready, and return its state.

    Raise TestnetNotStarted, with what the process said, when it ends or says nothing in time.
    """
    _, network_options = described(options)
    path = state_path(options.state, options.name)
    _refuse_second(path, options.name)
    log = _log_path(path)
    command = [sys.executable, "-m", "session_harness", "up", "--json", *options.arguments()]
    with _open_log(log) as stream:
        # From the root: no configuration file is read a second time, and no folder is kept busy.
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            start_new_session=True,
            cwd=log.absolute().anchor,
        )
    try:
        line = _first_line(child, DETACHED_DEADLINE_S + network_options.ready_deadline_s)
    except BaseException:
        _end(child)
        raise
    if line is None:
        raise _not_started(child.wait(), log)
    state: dict[str, Any] = json.loads(line)
    return state


def end_network(path: Path, *, deadline_s: float = 30.0) -> str:
    """End the network that a state file describes; return what happened, in one sentence.

    Raise NoNetwork without a state file, HarnessError when the network does not end.
    """
    from session_testnet.control.state_file import StateFileError, is_alive, read_state, remove_state

    try:
        state = read_state(path)
    except StateFileError as error:
        raise NoNetwork(error.message, hint=error.hint) from error
    name = state["name"]
    if not is_alive(state):
        remove_state(path)
        return f"testnet {name!r} had ended already; its state file is removed"
    from session_testnet import AttachedNetworkHandle
    from session_testnet.control.errors import ControlError

    try:
        with AttachedNetworkHandle(state) as handle:
            handle.request_shutdown()
    except ControlError as error:
        raise HarnessError(
            f"the testnet {name!r} does not answer: {error.message}",
            hint=f"end it by force with: kill {state['pid']}",
        ) from error
    end = time.monotonic() + deadline_s
    # The state file goes first, ports and data folder only with the process.
    while is_alive(state) if state["pid"] != os.getpid() else path.exists():
        if time.monotonic() > end:
            raise HarnessError(
                f"waited {deadline_s:g} s for the testnet {name!r} (process {state['pid']}) to end",
                hint=f"end it by force with: kill -9 {state['pid']}",
            )
        time.sleep(0.02)
    with suppress(StateFileError):
        if read_state(path)["pid"] == state["pid"]:
            remove_state(path)  # a process that was ended by force has left it
    return f"testnet {name!r} has ended"


def described(options: ServeOptions) -> tuple["Topology", "NetworkOptions"]:
    """Return the network that options describe, and how to run it; raise UsageError for what cannot be."""
    from session_testnet import NetworkOptions, Topology
    from session_testnet.network_options import (
        IN_CONTAINERS,
        READY_IN_CONTAINERS_S,
        ContainerOptions,
    )
    from session_testnet.topology import PROFILES, TopologyError, load_topology

    snapshot = _read_snapshot(options)
    engine = options.engine or (snapshot.engine if snapshot else "embedded")
    if options.profile is not None and options.profile not in PROFILES:
        raise UsageError(
            f"there is no profile {options.profile!r}", hint=suggestion(options.profile, sorted(PROFILES))
        )
    if options.ttl is not None and options.ttl <= 0:
        raise UsageError("--ttl must be longer than nothing", hint="write a time like 30m")
    for field in ("advertise_ip", "control_ip"):
        _check_address(f"--{field.replace('_', '-')}", getattr(options, field))
    in_containers = [
        f"--{field.replace('_', '-')}"
        for field in ("image", "node_memory", "node_cpus")
        if getattr(options, field) is not None
    ]
    if in_containers and engine not in IN_CONTAINERS:
        raise UsageError(
            f"{' and '.join(in_containers)} is for containers, and the engine {engine} has none",
            hint=f"choose one of: --engine {', --engine '.join(IN_CONTAINERS)}",
        )
    if options.topology is not None:
        given = [
            f"--{field}" for field in ("nodes", "profile", "seed") if getattr(options, field) is not None
        ]
        if given:
            raise UsageError(
                f"{' and '.join(given)} cannot be combined with --topology",
                hint="say it in the topology file",
            )
    try:
        topology = (
            replace(snapshot.topology, name=options.name)
            if snapshot is not None
            else load_topology(options.topology)
            if options.topology is not None
            else Topology.default(
                **{"nodes": options.nodes} if options.nodes is not None else {},
                name=options.name,
                seed=options.seed if options.seed is not None else "0",
                profile=options.profile or "default",
            )
        )
    except TopologyError as error:
        raise UsageError(error.message, hint=error.hint) from error
    if options.node_version is not None:
        topology = replace(topology, storage_version=_read_version(options.node_version))
    network_options = NetworkOptions(
        engine=engine,
        data_dir=options.data_dir,
        log_dir=options.data_dir / "logs" if options.data_dir is not None else None,
        advertise_ip=options.advertise_ip,
        control_ip=options.control_ip,
        registry_port=REGISTRY_PORT if options.fixed_ports else 0,
        test_mode=options.test_mode or (snapshot is not None and snapshot.test_mode),
        tcp_faults=options.tcp_faults or (snapshot is not None and snapshot.tcp_faults),
        clock_offset_ms=0 if snapshot is None else snapshot.clock_offset_ms,
        containers=ContainerOptions(
            image=options.image,
            memory_bytes=options.node_memory,
            cpus=options.node_cpus,
            ttl_s=None if options.ttl is None else options.ttl / 1000,
        ),
    )
    if engine in IN_CONTAINERS:
        network_options = replace(network_options, ready_deadline_s=READY_IN_CONTAINERS_S)
    return topology, network_options


def _check_address(option: str, text: str | None) -> None:
    if text is None:
        return
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is not an IP address", hint="write one like 192.168.1.20"
        ) from None


def _read_snapshot(options: ServeOptions) -> "Snapshot | None":
    """Return what the snapshot says that a network is to go on from; UsageError for a bad one."""
    from session_testnet.snapshot_file import SnapshotError, read_description

    if options.snapshot is None:
        return None
    given = [
        f"--{field}"
        for field in ("nodes", "profile", "seed", "topology")
        if getattr(options, field) is not None
    ]
    if given:
        raise UsageError(
            f"{' and '.join(given)} cannot be combined with a snapshot", hint="the snapshot says it"
        )
    if options.data_dir is None:
        raise UsageError(
            "a snapshot needs a directory to go on in", hint="name a new or empty one with --data-dir"
        )
    try:
        return read_description(options.snapshot)
    except SnapshotError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _read_version(text: str) -> tuple[int, int, int]:
    from session_testnet.network_options import NetworkError, parse_release

    try:
        return parse_release(text)
    except NetworkError as error:
        raise UsageError(f"--node-version {error.message}", hint=error.hint) from error


def _open(topology: "Topology", options: "NetworkOptions", snapshot: Path | None) -> "LocalNetworkHandle":
    from session_testnet import open_local
    from session_testnet.hinted_error import message_and_hint
    from session_testnet.snapshot_file import unpack_snapshot

    try:
        if snapshot is None or options.data_dir is None:
            return open_local(topology, options)
        unpacked = unpack_snapshot(snapshot, options.data_dir)
        handle = open_local(topology, options)
        try:
            for fault in unpacked.faults:
                handle.faults.add(fault)
        except BaseException:
            handle.close()
            raise
        return handle
    except Exception as error:
        # Whatever stopped it, the network did not start: that is what the exit code must say.
        message, hint = message_and_hint(error)
        raise TestnetNotStarted(message, hint=hint) from error


def _refuse_second(path: Path, name: str) -> None:
    from session_testnet.control.state_file import StateFileError, is_alive, read_state

    try:
        state = read_state(path)
    except StateFileError:
        return
    if is_alive(state):
        raise TestnetNotStarted(
            f"a testnet called {state['name']!r} is running already, as process {state['pid']}",
            hint=f"end it with: session-harness down --name {name}, or choose another name with --name",
        )


def _wait(handle: "LocalNetworkHandle", ttl_ms: int | None, seen: "_Seen") -> str:
    end = None if ttl_ms is None else time.monotonic() + ttl_ms / 1000
    while True:
        left = POLL_S if end is None else min(POLL_S, end - time.monotonic())
        if left <= 0:
            return "its time to live is over"
        if handle.wait_for_shutdown_request(left):
            return "as asked"
        if seen.signal:
            # Python drops what a handler raises while it collects garbage.
            raise _Stopped


@dataclass(slots=True)
class _Seen:
    """Whether a signal has come, and what gives later ones back to whoever had them before."""

    restore: Callable[[], None]
    signal: bool = False


@contextmanager
def _signals() -> Iterator[_Seen]:
    """Raise _Stopped in the main thread on a signal; ``restore`` ends that: a second signal kills."""
    before = {number: signal.getsignal(number) for number in _ENDING_SIGNALS}

    def stop(_number: int, _frame: FrameType | None) -> None:
        seen.signal = True
        raise _Stopped

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    seen = _Seen(restore)
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(number, stop)
    try:
        yield seen
    finally:
        restore()


def _remove_own_state(path: Path) -> None:
    from session_testnet.control.state_file import StateFileError, read_state, remove_state

    with suppress(StateFileError):
        if read_state(path)["pid"] == os.getpid():
            remove_state(path)


def _log_path(state: Path) -> Path:
    return state.with_suffix(".log")


def _remove_own_log(path: Path) -> None:
    """Remove the log that this process writes its errors into, if it does: it has ended in good order."""
    with suppress(OSError):
        if os.path.samestat(os.fstat(sys.stderr.fileno()), path.stat()):
            path.unlink()


def _open_log(path: Path) -> Any:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
    except OSError as error:
        raise TestnetNotStarted(
            f"the log file {path} cannot be written: {error.strerror}", hint="name another place with --state"
        ) from error


def _first_line(child: "subprocess.Popen[bytes]", deadline_s: float) -> bytes | None:
    """Return the first line of a child's stdout, or None when it ended without one, and close the pipe."""
    assert child.stdout is not None
    end = time.monotonic() + deadline_s
    received = b""
    with child.stdout as stream, selectors.DefaultSelector() as selector:
        os.set_blocking(stream.fileno(), False)
        selector.register(stream, selectors.EVENT_READ)
        while b"\n" not in received:
            left = end - time.monotonic()
            if left <= 0:
                raise TestnetNotStarted(
                    f"waited {deadline_s:g} s for the testnet to be ready",
                    hint="start it without --detach to see why",
                )
            if selector.select(left):
                chunk = os.read(stream.fileno(), 1 << 16)
                if not chunk:
                    return None
                received += chunk
    return received.partition(b"\n")[0]


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(10)


def _not_started(code: int, log: Path) -> HarnessError:
    """Make the error of a child that ended before it was ready from what it wrote."""
    lines = log.read_text("utf-8", "replace").splitlines()
    said = {kind: line for line in lines for kind in ("error", "hint") if line.startswith(f"{kind}: ")}
    message = said.get("error", f"error: the testnet ended with code {code} before it was ready")
    kind = UsageError if code == UsageError.exit_code else TestnetNotStarted
    return kind(
        message.removeprefix("error: "), hint=said.get("hint", f"hint: see {log}").removeprefix("hint: ")
    )
