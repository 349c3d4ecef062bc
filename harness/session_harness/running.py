"""Find the running testnet that a command means, and turn its errors into those of the tool."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from session_harness.errors import HarnessError, NoNetwork, UsageError
from session_harness.spelling import suggestion

if TYPE_CHECKING:
    from session_testnet import AttachedNetworkHandle, NodeHandle


def state_path(state: Path | None, name: str) -> Path:
    """Return the state file that ``--state`` or ``--name`` means."""
    from session_testnet.control.state_file import default_state_path

    return state if state is not None else default_state_path(name)


def read_running_state(path: Path) -> dict[str, Any]:
    """Return the state of a network whose process exists; raise NoNetwork otherwise."""
    from session_testnet.control.state_file import StateFileError, is_alive, read_state

    try:
        state = read_state(path)
    except StateFileError as error:
        raise NoNetwork(error.message, hint=error.hint) from error
    if not is_alive(state):
        raise NoNetwork(
            f"the testnet {state['name']!r} has ended without removing its state file {path}",
            hint="remove it with: session-harness down, then start anew with: session-harness up --detach",
        )
    return state


@contextmanager
def running_network(state: Path | None, name: str) -> Iterator["AttachedNetworkHandle"]:
    """Attach to the running network; its refusals end the command as HarnessError."""
    found = read_running_state(state_path(state, name))
    # Imported only now: these are heavy, and most often it is the network that is missing.
    from session_testnet import AttachedNetworkHandle
    from session_testnet.control.errors import ControlError

    handle = AttachedNetworkHandle(found)
    try:
        with handle:
            yield handle
    except ControlError as error:
        raise HarnessError(error.message, hint=error.hint) from error


def node_of(handle: "AttachedNetworkHandle", name: str) -> "NodeHandle":
    """Return the handle of a node; raise UsageError with the closest name when there is none."""
    for node in handle.nodes:
        if node.name == name:
            return node
    raise UsageError(
        f"there is no node {name!r}", hint=suggestion(name, [node.name for node in handle.nodes])
    )
