"""The vector files: one format, described by its schema, and the loader that everybody uses."""

import copy

import jsonschema
import pytest

from session_conformance import vectors

VALIDATOR = jsonschema.Draft202012Validator(vectors.schema())


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(vectors.schema())


@pytest.mark.parametrize("name", vectors.names())
def test_a_file_fits_the_schema(name: str) -> None:
    content = vectors.load(name)
    assert [f"{list(error.path)}: {error.message:.200}" for error in VALIDATOR.iter_errors(content)] == []
    assert content["operation_group"] == name


@pytest.mark.parametrize("name", vectors.names())
def test_cases_are_named_once_and_flags_are_explained(name: str) -> None:
    content = vectors.load(name)
    operations = [group["operation"] for group in content["groups"]]
    assert len(set(operations)) == len(operations)
    cases = vectors.cases(name)
    assert len(cases) == len({(case.operation, case.id) for case in cases}) > 0
    for flag in {flag.partition(":")[0] for case in cases for flag in case.flags}:
        assert flag in content["notes"], f"the notes do not say what the flag {flag} means"


def test_the_expected_files_are_there() -> None:
    expected = {"identity", "mnemonic", "sealing", "padding", "content", "messages", "attachments"}
    assert expected <= set(vectors.names())
    assert "schema" not in vectors.names()


@pytest.mark.parametrize("name", ["", "schema", "../schema", "nothing"])
def test_unknown_files_are_refused(name: str) -> None:
    for read in (vectors.load, vectors.cases):
        with pytest.raises(LookupError, match="identity"):
            read(name)


def test_cases_can_be_chosen_by_operation() -> None:
    chosen = vectors.cases("mnemonic", "mnemonic.wordlist")
    assert [case.id for case in chosen] == ["mnemonic-wordlist-english"]
    assert vectors.cases("mnemonic", "mnemonic.sing") == ()
    assert {case.result for case in vectors.cases("mnemonic")} == {"valid", "invalid", "acceptable"}


def test_patterns_are_written_out() -> None:
    patterned = [case for case in vectors.cases("attachments") if "data_pattern" in case.parameters]
    case = next(case for case in patterned if case.parameters["data_pattern"]["size"] == 4053)
    assert "data_pattern" not in case.input
    assert bytes.fromhex(case.input["data_hex"]) == bytes(7 * index % 256 for index in range(4053))


def test_the_schema_refuses_what_makes_no_sense() -> None:
    genuine = vectors.load("identity")
    assert VALIDATOR.is_valid(genuine)
    changes = [
        {"error": "bad_format"},  # beside an output
        {"result": "invalid"},  # with an output
        {"result": "maybe"},
        {"id": "has spaces"},
        {"comment": ""},
        {"flags": []},
        {"surprise": 1},
    ]
    for change in changes:
        broken = copy.deepcopy(genuine)
        broken["groups"][0]["cases"][0].update(change)
        assert not VALIDATOR.is_valid(broken), change
