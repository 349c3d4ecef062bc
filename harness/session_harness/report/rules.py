"""The sentences of the requirements, for reports that say which rule was broken."""

import functools
from collections.abc import Iterable, Mapping


def rules_of(requirement_ids: Iterable[str]) -> list[tuple[str, str]]:
    """Return id and sentence of each requirement; those that the catalogue does not have are left out."""
    known = _sentences()
    return [(name, known[name]) for name in requirement_ids if name in known]


@functools.cache
def _sentences() -> Mapping[str, str]:
    from session_conformance import requirements

    return {name: requirement.text for name, requirement in requirements.load().items()}
