"""The table of operations, the schemas and the values of the contract agree with each other."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from session_conformance.contract import ContractViolation, Hello, Result
from session_conformance.contract.messages import REJECTION_CODES, Exchange, parse_line, shorten
from session_conformance.contract.operations import (
    MANDATORY,
    OPERATIONS,
    Letter,
    Tier,
    declared_tiers,
    operations_of,
    tier_of,
)
from session_conformance.contract.process import LogRing
from session_conformance.contract.validation import SCHEMA_FILES, problem, require, result_problem, schema

SEED = "00" * 16
ID = "05" + "ab" * 32
HELLO: dict[str, Any] = {"name": "n", "version": "1", "contract": 1, "operations": ["padding.pad"]}


def test_the_table_has_the_operations_of_each_tier() -> None:
    counts = {tier: len(operations_of(tier)) for tier in Tier}
    assert counts == {Tier.L0: 3, Tier.L1: 11, Tier.L2: 18, Tier.L3: 50, Tier.L4: 6, Tier.L5: 16, Tier.L6: 23}
    assert len(OPERATIONS) == sum(counts.values()) + 1  # bench.run is nobody's duty


def test_every_operation_describes_itself() -> None:
    for name, operation in OPERATIONS.items():
        assert operation.name == name
        assert operation.sentence.endswith(".")
        assert operation.stateful == (operation.tier in {Tier.L4, Tier.L5, Tier.L6})
        assert (operation.letter is not None) == (operation.tier in {Tier.L1, Tier.L2, Tier.L3})


def test_letters_are_tiers() -> None:
    assert OPERATIONS["padding.pad"].letter is Letter.MINIMAL
    assert OPERATIONS["onion.build"].tier is Tier.L2
    assert OPERATIONS["onion.peel"].tier is Tier.L3


def test_tiers_follow_from_operations() -> None:
    assert tier_of(()) is Tier.L0
    assert tier_of(("padding.pad", "client.poll")) is Tier.L4
    minimal = [operation.name for operation in operations_of(Tier.L1)]
    assert declared_tiers(()) == {Tier.L0}
    assert declared_tiers(minimal) == {Tier.L0, Tier.L1}
    assert declared_tiers(minimal[1:]) == {Tier.L0}
    talking = [operation.name for operation in operations_of(Tier.L4)]
    assert declared_tiers(talking) == {Tier.L0, Tier.L4}
    assert declared_tiers(OPERATIONS) == set(Tier)
    assert {"hello", "reset", "bye"} == MANDATORY


def test_every_schema_is_a_schema() -> None:
    for name in SCHEMA_FILES:
        Draft202012Validator.check_schema(schema(name))
        assert schema(name)["$id"] == name


def test_every_schema_file_is_known() -> None:
    import session_conformance.contract as package

    assert package.__file__ is not None
    folder = Path(package.__file__).parent / "schemas"
    assert sorted(path.name for path in folder.iterdir()) == sorted(SCHEMA_FILES)


def test_every_operation_has_schemas_and_no_schema_is_left_over() -> None:
    definitions = schema("operations.json")["$defs"]
    expected = {f"{name}.{part}" for name in OPERATIONS for part in ("params", "result")}
    assert set(definitions) == expected | {"network", "message"}
    for operation in OPERATIONS.values():
        for reference in (operation.params_schema, operation.result_schema):
            problem(reference, {})  # every reference resolves


def test_rejection_codes_stand_once() -> None:
    codes = schema("reply.json")["properties"]["error"]["then"]["properties"]["code"]["enum"]
    assert codes == list(REJECTION_CODES)
    assert len(set(REJECTION_CODES)) == len(REJECTION_CODES) == 18


@pytest.mark.parametrize(
    ("op", "result", "text"),
    [
        ("identity.validate", {"valid": True, "kind": "group"}, None),
        ("identity.validate", {"valid": "yes"}, "valid: 'yes' is not of type 'boolean'"),
        ("identity.validate", {"valid": False, "kind": "odd"}, "kind: 'odd' is not one of"),
        ("session.decrypt", {"message_hex": "00", "sender_session_id": ID, "more": 1}, None),
        ("session.decrypt", {"message_hex": "0", "sender_session_id": ID}, "message_hex: '0' does not match"),
        (
            "session.decrypt",
            {"message_hex": "AB", "sender_session_id": ID},
            "message_hex: 'AB' does not match",
        ),
        ("session.decrypt", {"message_hex": "00"}, "the object: 'sender_session_id' is a required property"),
        ("blind15.id", {"ids": ["15" + "00" * 32]}, "ids: .* is too short"),
        ("onion.build", {"body": "00", "reply_key": {"any": 1}}, None),
        ("message.parse_content", {"content": {"kind": "text", "body": "x"}}, None),
        (
            "message.parse_content",
            {"content": {"kind": "unknown"}},
            "content: 'content_hex' is a required property",
        ),
        ("message.parse_content", {"content": {"kind": "poem"}}, "content.kind: 'poem' is not one of"),
        (
            "message.parse_content",
            {"content": {"kind": "text", "attachments": [{"size": "big"}]}},
            r"content.attachments\[0\].size: 'big' is not of type",
        ),
        ("client.poll", {"messages": [{"sender": ID, "timestamp_ms": 1, "content": {"kind": "text"}}]}, None),
        (
            "client.poll",
            {"messages": [{"sender": ID, "timestamp_ms": 1}]},
            r"messages\[0\]: 'content' is a required",
        ),
        ("hello", HELLO, None),
        ("hello", {**HELLO, "features": {"padding": "mine"}}, "features.padding: 'mine' is not one of"),
        ("made.up", {"anything": 1}, None),
    ],
)
def test_results_are_compared_with_their_schemas(op: str, result: dict[str, Any], text: str | None) -> None:
    found = result_problem(op, result)
    if text is None:
        assert found is None
    else:
        assert found is not None
        import re

        assert re.match(text, found), found


def test_a_reply_has_a_result_or_an_error() -> None:
    assert problem("reply.json", {"id": 1, "result": {}}) is None
    assert problem("reply.json", {"id": 1, "error": {"kind": "unsupported"}}) is None
    assert problem("reply.json", {"id": 1}) is not None
    assert problem("reply.json", {"id": 1, "result": {}, "error": {"kind": "adapter"}}) is not None
    assert problem("reply.json", {"id": 1, "error": {"kind": "rejected"}}) is not None


def test_params_are_compared_by_type_only() -> None:
    reference = OPERATIONS["identity.derive"].params_schema
    require(reference, {"seed_hex": "not hex at all"}, "the params")
    with pytest.raises(ContractViolation, match=r"the params breaks operations.json.*seed_hex: 5 is not"):
        require(reference, {"seed_hex": 5}, "the params")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"contract": True}, "speaks contract True"),
        ({"contract": 2}, "speaks contract 2"),
        ({"name": None}, "the field 'name' is missing"),
        ({"version": 1.0}, "'version' should be a JSON string, not 1.0"),
        ({"operations": "all"}, "'operations' should be a JSON array"),
        ({"operations": ["a", 1]}, "operations should be names, not 1"),
        ({"features": []}, "'features' should be a JSON object"),
    ],
)
def test_a_hello_that_is_wrong_is_explained(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ContractViolation, match=text):
        Hello.from_result({**HELLO, **change})


def test_features_are_read_by_dotted_names() -> None:
    hello = Hello.from_result({**HELLO, "features": {"envelope": {"prosig": "none"}, "groups": False}})
    assert hello.feature("envelope.prosig") == "none"
    assert hello.feature("groups", True) is False
    assert hello.feature("envelope.verb.path", "?") == "?"
    assert hello.feature("groups.deep") is None
    assert hello.as_json()["operations"] == ["padding.pad"]


@pytest.mark.parametrize(("declared", "parallel"), [(4, 4), (0, 1), (-3, 1), ("4", 1), (True, 1), (None, 1)])
def test_parallel_is_a_whole_number_or_one(declared: object, parallel: int) -> None:
    assert Hello.from_result({**HELLO, "limits": {"parallel": declared}}).parallel == parallel


def test_a_result_is_a_dict_that_names_what_it_lacks() -> None:
    result = Result("x.y", {"a": 1})
    assert result == {"a": 1}
    assert result.get("b") is None
    assert json.dumps(result) == '{"a": 1}'
    with pytest.raises(ContractViolation, match=r"x.y has no field 'b'; it has: 'a'"):
        result["b"]


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"null\n", b"7\n", b'"x"\n', b"{]\n", b"\xff\xfe\n", b"{} {}\n"]
)
def test_only_objects_are_messages(line: bytes) -> None:
    with pytest.raises(ContractViolation):
        parse_line(line)


@given(st.one_of(st.binary(max_size=3_000), st.text(max_size=3_000)))
def test_shortened_text_is_one_printable_line(text: bytes | str) -> None:
    shown = shorten(text, 100)
    assert shown.isprintable()
    assert len(shown) <= 100 * len("\\U0010ffff") + 60


def test_shortening_counts_what_it_cuts() -> None:
    assert shorten("a" * 10, 4) == "aaaa… (10 characters in all)"
    assert shorten(b"a" * 10_000, 4) == "aaaa… (10000 bytes in all)"
    assert shorten("a\tb\n") == "a\\tb"


def test_an_exchange_without_reply_says_so() -> None:
    assert Exchange(2.0, 0.5, b'{"id": 1}', b"").as_json(since_s=1.5) == {
        "t_ms": 500.0,
        "took_ms": 500.0,
        "request": {"id": 1},
        "reply": None,
    }
    assert Exchange(0, 0, b"{}", b"junk\n").as_json()["reply"] == "junk"


@given(st.lists(st.binary(max_size=60), max_size=60), st.integers(1, 8), st.integers(1, 200))
def test_the_log_ring_keeps_the_end_within_bounds(chunks: list[bytes], lines: int, size: int) -> None:
    ring = LogRing(max_lines=lines, max_bytes=size)
    for chunk in chunks:
        ring.feed(chunk)
    kept = ring.text().encode("utf-8", "surrogateescape")
    whole = b"".join(chunks)
    assert ring.text().count("\n") <= lines
    if len(whole) < size and whole.count(b"\n") <= lines:
        assert ring.text() == whole.decode("utf-8", "replace")
    assert len(kept) <= 3 * (2 * size + 1)  # a replaced byte takes three
