"""The catalogue holds together: requirements, the checks that judge them, the faults that prove these."""

import pytest

from session_conformance import requirements
from session_conformance.broken import FAULTS, SERVER_FAULTS, UnknownFault, fault_by_id
from session_conformance.checks import SERVER_SUITES_PACKAGE, SUITES_PACKAGE, catalogue
from session_conformance.expectations import matches_glob
from session_conformance.servers.address import ServerKind


def test_every_requirement_has_a_check() -> None:
    checked = {requirement for check in catalogue() for requirement in check.requirements}
    known = set(requirements.load())
    assert known - checked == set(), "requirements that nothing judges"
    assert checked - known == set(), "checks of requirements that do not exist"


def test_every_check_says_what_it_judges_and_needs() -> None:
    for check in catalogue(SUITES_PACKAGE):
        assert check.sentence
        assert check.declaration.ops, f"{check.id} needs no operation of the testee: it judges nothing"


def test_every_fault_lies_in_suites_that_exist() -> None:
    suites = {check.suite for check in catalogue(SUITES_PACKAGE)}
    for fault in FAULTS:
        assert set(fault.suites) <= suites, fault.id
        assert fault.sentence.endswith("."), fault.id


def test_every_suite_has_faults_to_catch() -> None:
    assert {suite for fault in FAULTS for suite in fault.suites} == {
        check.suite for check in catalogue(SUITES_PACKAGE)
    }


def test_every_check_of_a_server_belongs_to_its_kind() -> None:
    suites = {kind: set(kind.suites) for kind in ServerKind}
    for check in catalogue(SERVER_SUITES_PACKAGE):
        assert check.sentence
        assert check.suite in suites[check.declaration.features["server"]], check.id
    assert {check.suite for check in catalogue(SERVER_SUITES_PACKAGE)} == set.union(*suites.values())


def test_every_check_of_a_server_has_a_fault_to_catch() -> None:
    checks = {check.id for check in catalogue(SERVER_SUITES_PACKAGE)}
    globs = {glob for fault in SERVER_FAULTS for glob in fault.checks}
    assert {glob for glob in globs if not any(matches_glob(check, glob) for check in checks)} == set()
    assert {check for check in checks if not any(matches_glob(check, glob) for glob in globs)} == set()
    ids = [fault.id for fault in (*FAULTS, *SERVER_FAULTS)]
    assert len(set(ids)) == len(ids)


def test_a_fault_is_found_by_its_id() -> None:
    assert fault_by_id("no-padding").testee_class.name == "broken:no-padding"
    with pytest.raises(UnknownFault, match="did you mean no-padding"):
        fault_by_id("no-paddings")
