"""Read the parameters of control commands; every refusal names the parameter and what it takes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from session_testnet.control.errors import ControlError
from session_testnet.network import Network

Params = Mapping[str, Any]
Command = Callable[[Network, Params], Awaitable[Any]]


def text(params: Params, name: str) -> str:
    """Return a text that is not empty."""
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise ControlError(f"the parameter {name!r} must be a text, not {value!r}")
    return value


def text_or_none(params: Params, name: str) -> str | None:
    """Return a text that is not empty, or None when it is missing or null."""
    return None if params.get(name) is None else text(params, name)


def integer(params: Params, name: str, default: int | None = None) -> int:
    """Return a whole number."""
    value = params.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ControlError(f"the parameter {name!r} must be a whole number, not {value!r}")
    return value


def flag(params: Params, name: str, default: bool) -> bool:
    """Return a truth value."""
    value = params.get(name, default)
    if not isinstance(value, bool):
        raise ControlError(f"the parameter {name!r} must be true or false, not {value!r}")
    return value
