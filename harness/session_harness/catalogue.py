"""List the requirements, each with the checks that prove it."""

from typing import Any


def requirements_with_checks() -> list[dict[str, Any]]:
    """Return every requirement as plain values, in the order of the catalogue."""
    from session_conformance import requirements
    from session_conformance.checks import catalogue

    checks = catalogue()
    return [
        {
            "id": requirement.id,
            "level": str(requirement.level),
            "area": requirement.area,
            "text": requirement.text,
            "source": requirement.source,
            "checks": [check.id for check in checks if requirement.id in check.requirements],
        }
        for requirement in requirements.load().values()
    ]
