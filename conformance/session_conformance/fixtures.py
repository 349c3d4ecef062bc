"""The fixtures of the suites: ``testee``, ``peer``, ``network``, ``access``, ``case`` and ``genuine``."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from session_conformance.actors import NetworkAccess
    from session_conformance.contract.specs import TesteeSpec
    from session_conformance.contract.testee import Testee
    from session_conformance.courtroom import Courtroom
    from session_conformance.genuine import Genuine
    from session_testnet import NetworkHandle

COURTROOM: "Final[pytest.StashKey[Courtroom]]" = pytest.StashKey()
CASE: "Final[pytest.StashKey[CaseContext]]" = pytest.StashKey()


@dataclass(slots=True)
class CaseContext:
    """Hold what is particular to one check on one testee.

    ``random`` is made from the case seed, which is the same for every testee and for a repetition, unless the
    network is somebody else's: then every attempt has another. ``artefact_seed`` is the same also there.
    ``notes`` go into the evidence when the check
    does not pass.
    """

    check: str
    testee: str
    seed: int
    artefact_seed: int = 0
    notes: list[str] = field(default_factory=list)
    random: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311  # repeatable on purpose; no secret depends on it

    def note(self, text: str) -> None:
        """Remember a sentence for the evidence."""
        self.notes.append(text)


def _courtroom(request: pytest.FixtureRequest) -> "Courtroom":
    found = request.config.stash.get(COURTROOM, None)
    if found is None:
        pytest.skip("a check needs an implementation to judge: give --testee SPEC")
    return found


@pytest.fixture
def testee(request: pytest.FixtureRequest) -> "Testee":
    """Give the implementation under test; skip without ``--testee``."""
    courtroom = _courtroom(request)
    spec: TesteeSpec = request.param
    return courtroom.testee(spec)


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> "Testee":
    """Give the implementation on the other side: the reference unless ``--peer`` names another."""
    return _courtroom(request).peer()


@pytest.fixture
def network(request: pytest.FixtureRequest) -> "Iterator[NetworkHandle]":
    """Give the network; what a check does to nodes, faults and clock is undone after it."""
    with _courtroom(request).network_for_a_check() as handle:
        yield handle


@pytest.fixture
def access(network: "NetworkHandle") -> "NetworkAccess":
    """Give what a client must know of the network."""
    from session_conformance.actors import NetworkAccess

    return NetworkAccess(network.state)


@pytest.fixture
def case(request: pytest.FixtureRequest) -> CaseContext:
    """Give the context of this check: its id, its seed, its random numbers."""
    item: Any = request.node
    found = item.stash.get(CASE, None)
    return found if found is not None else CaseContext(check=item.name, testee="", seed=0)


@pytest.fixture
def genuine(case: CaseContext) -> "Genuine":
    """Give the maker of genuine artefacts, whose keys and nonces come from the seed of this check."""
    from session_conformance.genuine import Genuine

    return Genuine(case.artefact_seed)
