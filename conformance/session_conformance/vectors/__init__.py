"""Known-answer vectors of the protocol: JSON files in one format, described by ``schema.json``.

Inputs and outputs use the field names of the testee contract, so a case can be replayed as it stands.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal, cast

Result = Literal["valid", "invalid", "acceptable"]


@dataclass(frozen=True, slots=True)
class VectorCase:
    """One case: parameters and the answer, or the code of the refusal.

    ``result`` is valid (the output is the only right answer), invalid (must be refused) or acceptable
    (implementations differ; output or error is what this project does).
    """

    operation: str
    id: str
    comment: str
    parameters: Mapping[str, Any]
    output: Mapping[str, Any]
    error: str | None
    result: Result
    flags: tuple[str, ...]
    source: str

    @property
    def input(self) -> dict[str, Any]:
        """Return the parameters, patterns written out (attachments.json says how)."""
        expanded = dict(self.parameters)
        pattern = expanded.pop("data_pattern", None)
        if pattern is not None:
            expanded["data_hex"] = _pattern(pattern["step"], pattern["size"]).hex()
        return expanded


def names() -> tuple[str, ...]:
    """Return the names of the vector files."""
    found = [entry.name for entry in resources.files(__name__).iterdir() if entry.name.endswith(".json")]
    return tuple(sorted(name.removesuffix(".json") for name in found if name != "schema.json"))


def load(name: str) -> dict[str, Any]:
    """Return a vector file as it stands; LookupError for a name that is not one of :func:`names`."""
    _require(name)
    return _read(name)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the vector files."""
    return _read("schema")


def cases(name: str, operation: str | None = None) -> Sequence[VectorCase]:
    """Return the cases of a file, or those of one operation in it; LookupError as :func:`load`."""
    _require(name)
    return tuple(case for case in _cases(name) if operation is None or case.operation == operation)


@cache
def _cases(name: str) -> tuple[VectorCase, ...]:
    content = _read(name)
    return tuple(
        VectorCase(
            operation=group["operation"],
            id=case["id"],
            comment=case["comment"],
            parameters=MappingProxyType(case["input"]),
            output=MappingProxyType(case.get("output", {})),
            error=case.get("error"),
            result=case["result"],
            flags=tuple(case.get("flags", ())),
            source=case.get("source", content["source"]),
        )
        for group in content["groups"]
        for case in group["cases"]
    )


def _require(name: str) -> None:
    if name not in names():
        raise LookupError(f"there are no vectors {name!r}: there are {', '.join(names())}")


def _read(name: str) -> dict[str, Any]:
    text = resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


def _pattern(step: int, size: int) -> bytes:
    period = bytes(step * index % 256 for index in range(256))
    return (period * (size // 256 + 1))[:size]
