"""Write and read the file that tells others how to reach a running network."""

import json
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import platformdirs

from session_testnet.hinted_error import HintedError
from session_testnet.owner import is_running


class StateFileError(HintedError):
    """Say which state file is missing or unusable, and how to get a good one."""


def default_state_path(name: str) -> Path:
    """Return where the state file of the network called ``name`` stands, in the user's state folder."""
    folder = os.environ.get("SESSION_HARNESS_STATE_DIR") or platformdirs.user_state_dir("session-harness")
    return Path(folder) / f"{name}.json"


def state_schema() -> dict[str, Any]:
    """Return the JSON Schema of a state file."""
    text = resources.files("session_testnet.control").joinpath("state.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state file whole or not at all; only its owner may read it: it holds the control token."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes the file with mode 0600.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(state, stream, indent=1)
            stream.write("\n")
        Path(temporary).replace(path)
    except OSError as error:
        raise StateFileError(
            f"the state file {path} cannot be written: {error.strerror or error}",
            "name another place with --state",
        ) from error


def read_state(path: Path) -> dict[str, Any]:
    """Read a state file; raise :class:`StateFileError` when it is missing, broken or of another version."""
    try:
        state = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise StateFileError(f"no network is described by {path}", _elsewhere(path)) from None
    except (OSError, ValueError) as error:
        raise StateFileError(
            f"the state file {path} cannot be read: {error}", "remove it and start anew"
        ) from error
    if not isinstance(state, dict) or state.get("schema") != 1:
        raise StateFileError(
            f"the state file {path} is of another version",
            "end that network with the version that started it",
        )
    missing = [key for key in state_schema()["required"] if key not in state]
    if missing:
        raise StateFileError(f"the state file {path} lacks {', '.join(missing)}", "remove it and start anew")
    return state


def remove_state(path: Path) -> None:
    """Remove a state file; that it is gone already is fine."""
    path.unlink(missing_ok=True)


def is_alive(state: dict[str, Any]) -> bool:
    """Tell whether the process that runs the network still exists."""
    return is_running(state["pid"])


def _elsewhere(path: Path) -> str:
    """Return a hint: the networks whose state stands beside ``path``, or how to start one."""
    names = sorted(other.stem for other in path.parent.glob("*.json")) if path.parent.is_dir() else []
    if names:
        return f"there is another one: --name {' or --name '.join(names)}"
    return "start one with: session-harness up --detach"
