"""Compare messages with the JSON Schemas of the contract: slow, for adapter authors and for explanations."""

import functools
import importlib.resources
from collections.abc import Mapping
from typing import Any, Final

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

from session_conformance.contract.errors import ContractViolation
from session_conformance.contract.messages import shorten
from session_conformance.contract.operations import OPERATIONS

SCHEMA_FILES: Final = (
    "common.json",
    "content.json",
    "event.json",
    "hello.json",
    "operations.json",
    "reply.json",
    "request.json",
)


@functools.cache
def schema(name: str) -> Any:
    """Return one schema of the contract as parsed JSON, by its file name."""
    package = importlib.resources.files("session_conformance.contract")
    return orjson.loads((package / "schemas" / name).read_bytes())


@functools.cache
def _registry() -> "Registry[Any]":
    resources = [(name, Resource.from_contents(schema(name))) for name in SCHEMA_FILES]
    return Registry[Any]().with_resources(resources)


@functools.cache
def _validator(reference: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": reference}, registry=_registry())


def problem(reference: str, instance: Any) -> str | None:
    """Say where and how an instance leaves a schema, or None when it keeps to it.

    ``reference`` is a file name of the contract's schemas, with a JSON Pointer where only a part is meant.
    """
    error = best_match(_validator(reference).iter_errors(instance))
    if error is None:
        return None
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    return f"{where.lstrip('.') or 'the object'}: {shorten(error.message)}"


def result_problem(op: str, result: Mapping[str, Any]) -> str | None:
    """Say how the result of an operation leaves its schema, or None."""
    operation = OPERATIONS.get(op)
    return None if operation is None else problem(operation.result_schema, result)


def require(reference: str, instance: Any, what: str) -> None:
    """Raise ContractViolation when an instance leaves a schema; ``what`` names the message."""
    found = problem(reference, instance)
    if found is not None:
        raise ContractViolation(f"{what} breaks {reference}: {found}", line=shorten(orjson.dumps(instance)))


def require_request(request: Mapping[str, Any]) -> None:
    """Raise ContractViolation for a request that leaves the schemas of the contract."""
    op = str(request.get("op"))
    require("request.json", request, f"the request of {op}")
    if op in OPERATIONS:
        require(OPERATIONS[op].params_schema, request["params"], f"the params of {op}")


def require_reply(op: str, reply: Mapping[str, Any]) -> None:
    """Raise ContractViolation for a reply that leaves the schemas of the contract."""
    require("reply.json", reply, f"the reply to {op}")
    if op in OPERATIONS and "result" in reply:
        require(OPERATIONS[op].result_schema, reply["result"], f"the result of {op}")


def require_event(event: Mapping[str, Any]) -> None:
    """Raise ContractViolation for an unsolicited message that leaves its schema."""
    require("event.json", event, f"the event {event.get('event')!r}")
