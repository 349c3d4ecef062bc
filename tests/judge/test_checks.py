"""How checks are declared, found and tied to requirements, and what the shared assertions say."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_conformance import requirements
from session_conformance.checks import (
    CheckDeclarationError,
    accepted,
    catalogue,
    check,
    declaration_of,
    describe,
    refused,
)
from session_conformance.contract import Hello, Rejected, Unsupported
from session_conformance.contract.inprocess import InProcessTestee
from session_conformance.contract.operations import Tier
from session_conformance.requirements import Catalogue, Requirement, RequirementsError
from session_conformance.verdicts import Level


def hello(*operations: str, **features: Any) -> Hello:
    return Hello("mini", "1", "python", frozenset(operations), features)


# Declarations.


@check("A-01", "A-02", ops=("padding.pad", "client.poll"), features={"network": ("onion", "both")})
def plain() -> None:
    """Carry a first line.

    And more.
    """


@check("A-01", ops=["padding.pad"])
@given(st.integers())
def above_given(number: int) -> None:
    pass


@given(st.integers())
@check("A-01", ops={"padding.unpad"})
def below_given(number: int) -> None:
    pass


def test_a_declaration_is_kept() -> None:
    declaration = declaration_of(plain)
    assert declaration is not None
    assert declaration.requirements == ("A-01", "A-02")
    assert declaration.tier is Tier.L4
    above, below = declaration_of(above_given), declaration_of(below_given)
    assert above is not None
    assert below is not None
    assert (above.ops, below.ops) == (("padding.pad",), ("padding.unpad",))
    assert declaration_of(lambda: None) is None


def test_a_description_names_suite_check_and_sentence() -> None:
    info = describe(plain, module="pkg.suites.test_storage_requests", qualified_name="TestClass.test_plain")
    assert info is not None
    assert (info.id, info.suite) == ("storage_requests.TestClass.plain", "storage_requests")
    assert info.sentence == "Carry a first line."
    bare = describe(above_given, module="test_x", qualified_name="test_pads_to_160")
    assert bare is not None
    assert bare.sentence == "pads to 160"
    assert describe(print, module="test_x", qualified_name="print") is None


def test_a_tier_may_be_given() -> None:
    declaration = declaration_of(check("A-01", tier="L6")(lambda: None))
    assert declaration is not None
    assert declaration.tier is Tier.L6
    with pytest.raises(ValueError, match="L9"):
        check("A-01", tier="L9")


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((), {}, "name the requirements of the check"),
        ((print,), {}, "name the requirements of the check"),
        (("A-01",), {"ops": "padding.pad"}, r'write ops=\("padding.pad",\)'),
        (("A-01",), {"ops": ("padding.pda",)}, "the contract has no operation 'padding.pda'"),
        (("A-01",), {"peer_ops": ("client.pol",)}, "the contract has no operation 'client.pol'"),
    ],
)
def test_a_wrong_declaration_is_refused(arguments: Any, options: Any, text: str) -> None:
    with pytest.raises(CheckDeclarationError, match=text):
        check(*arguments, **options)


@pytest.mark.parametrize(
    ("who", "lack"),
    [
        (hello("padding.pad", "client.poll", network="onion"), None),
        (hello("padding.pad", "client.poll", network="both"), None),
        (hello("padding.pad", network="onion"), "does not declare client.poll"),
        (hello(network="onion"), "does not declare padding.pad, client.poll"),
        (
            hello("padding.pad", "client.poll", network="direct"),
            "declares network = 'direct', the check is for 'onion' or 'both'",
        ),
        (hello("padding.pad", "client.poll"), "declares network = None, the check is for 'onion' or 'both'"),
    ],
)
def test_what_a_testee_lacks_is_said(who: Hello, lack: str | None) -> None:
    declaration = declaration_of(plain)
    assert declaration is not None
    assert declaration.missing(who) == lack


def test_one_is_not_true() -> None:
    declaration = declaration_of(check("A-01", features={"groups": True})(lambda: None))
    assert declaration is not None
    assert declaration.missing(hello(groups=True)) is None
    assert declaration.missing(hello(groups=1)) is not None


def test_mandatory_operations_need_no_declaration() -> None:
    declaration = declaration_of(check("A-01", ops=("reset", "hello"))(lambda: None))
    assert declaration is not None
    assert declaration.missing(hello()) is None


# The catalogue.

SUITE = """
from session_conformance.checks import check
from hypothesis import given, strategies as st

def helper():
    pass

def test_not_a_check():
    pass

@check("A-01")
def test_second_in_the_alphabet():
    "Prove two."

@check("A-02", ops=("padding.pad",))
@given(st.integers())
def test_first_in_the_alphabet(n):
    pass

class TestGroup:
    @check("A-01")
    def test_inside(self):
        pass
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "mini_suites_of_checks"
    for module in [module for module in sys.modules if module.startswith(name)]:
        monkeypatch.delitem(sys.modules, module)
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "test_alpha.py").write_text(SUITE)
    (folder / "test_beta.py").write_text(f"from {name}.test_alpha import test_second_in_the_alphabet\n")
    (folder / "helpers.py").write_text("raise ImportError('helpers are not suites')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return name


def test_the_catalogue_lists_checks_in_their_order(package: str) -> None:
    found = catalogue(package)
    assert [info.id for info in found] == [
        "alpha.second_in_the_alphabet",
        "alpha.first_in_the_alphabet",
        "alpha.TestGroup.inside",
    ]
    assert found[0].sentence == "Prove two."
    assert found[1].tier is Tier.L1


def test_requirements_know_their_checks(package: str) -> None:
    checks = catalogue(package)
    known = Catalogue(
        [
            Requirement("A-01", Level.SHOULD, "a", "Do.", "x §1"),
            Requirement("A-02", Level.MUST, "a", "Do.", "x §2"),
            Requirement("A-03", Level.MUST, "a", "Do.", "x §3"),
        ]
    )
    assert [known.level_of(info) for info in checks] == [Level.SHOULD, Level.MUST, Level.SHOULD]
    assert [requirement.id for requirement in known.without_check(checks)] == ["A-03"]
    with pytest.raises(
        RequirementsError,
        match=r"alpha.second.* names the requirement 'A-01', which does not exist; did you mean A-02",
    ):
        Catalogue([known["A-02"]]).require(checks[0])


# Requirement files.

GOOD = {"id": "A-01", "level": "MUST", "area": "a", "text": "Do.", "source": "x §1"}


def test_the_shipped_requirements_are_sound() -> None:
    known = requirements.load()
    assert len(known) > 10
    for requirement in known.values():
        assert requirement.text.endswith("."), requirement.id
        assert "§" in requirement.source, requirement.id


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"requirements": []}, "unknown key 'requirements'"),
        ({"requirement": {}}, r"write \[\[requirement\]\]"),
        ({"requirement": [{**GOOD, "id": "A1"}]}, "an id looks like SEAL-01"),
        ({"requirement": [{**GOOD, "level": "MAY"}]}, "level is 'MAY'; it is MUST or SHOULD"),
        ({"requirement": [{**GOOD, "text": ""}]}, "text should be a text that is not empty"),
        ({"requirement": [{**GOOD, "why": "x"}]}, "unknown key 'why'"),
        ({"requirement": [{k: v for k, v in GOOD.items() if k != "area"}]}, r"1 \(A-01\): area is missing"),
    ],
)
def test_a_requirement_that_is_wrong_is_explained(data: Mapping[str, Any], text: str) -> None:
    with pytest.raises(RequirementsError, match=text):
        requirements.parse(data, "x.toml")


def test_further_folders_are_read_and_ids_stand_once(tmp_path: Path) -> None:
    entry = "\n".join(f'{key} = "{value}"' for key, value in {**GOOD, "id": "MINE-01"}.items())
    (tmp_path / "mine.toml").write_text(f"[[requirement]]\n{entry}\n")
    (tmp_path / "notes.txt").write_text("not read")
    assert "MINE-01" in requirements.load(tmp_path)
    (tmp_path / "again.toml").write_text(f"[[requirement]]\n{entry}\n")
    with pytest.raises(RequirementsError, match="two requirements have the id MINE-01"):
        requirements.load(tmp_path)
    (tmp_path / "again.toml").write_text("[[requirement")
    with pytest.raises(RequirementsError, match=r"again.toml cannot be read"):
        requirements.load(tmp_path)
    with pytest.raises(RequirementsError, match="cannot read the requirements in"):
        requirements.load(tmp_path / "nowhere")


# The shared assertions.


class Picky:
    """Refuse what is not ``good``, with the code that it is given."""

    def __init__(self, *, detail: bool = False) -> None:
        self.detail = detail

    def handle(self, request: dict[str, Any], /) -> Mapping[str, Any]:
        params, number = request["params"], request["id"]
        if request["op"] == "hello":
            features = {"error_detail": self.detail}
            result = {"name": "p", "version": "1", "contract": 1, "operations": [], "features": features}
            return {"id": number, "result": result}
        if "code" in params:
            error = {"kind": "rejected", "code": params["code"], "message": "no good"}
            return {"id": number, "error": error}
        if "unsupported" in params:
            return {"id": number, "error": {"kind": "unsupported"}}
        return {"id": number, "result": {"account": request.get("account")}}


@pytest.mark.parametrize("detail", [False, True])
def test_a_refusal_is_returned(detail: bool) -> None:
    testee = InProcessTestee(Picky(detail=detail))
    refusal = refused(testee, "padding.unpad", "bad_padding", code="bad_padding")
    assert isinstance(refusal, Rejected)
    assert refused(testee, "padding.unpad", code="internal").code == "internal"
    assert refused(testee, "padding.unpad", ("bad_format", "internal"), code="internal").code == "internal"


def test_codes_count_only_for_those_who_declare_detail() -> None:
    coarse, precise = InProcessTestee(Picky()), InProcessTestee(Picky(detail=True))
    assert refused(coarse, "padding.unpad", "bad_padding", code="internal").code == "internal"
    with pytest.raises(AssertionError, match="refused with internal, expected bad_padding or bad_format"):
        refused(precise, "padding.unpad", ("bad_padding", "bad_format"), code="internal")


def test_an_acceptance_fails_and_shows_both_sides() -> None:
    with pytest.raises(AssertionError) as caught:
        refused(InProcessTestee(Picky()), "padding.unpad", "bad_padding", account="bob", padded_hex="00ff")
    assert str(caught.value) == (
        "padding.unpad accepted input that it must refuse and answered {'account': 'bob'}\n"
        "  padded_hex = '00ff'"
    )


def test_only_codes_of_the_contract_can_be_expected() -> None:
    with pytest.raises(CheckDeclarationError, match="no rejection code 'bad_paddin'"):
        refused(InProcessTestee(Picky()), "padding.unpad", "bad_paddin")


def test_unsupported_is_no_refusal() -> None:
    with pytest.raises(Unsupported):
        refused(InProcessTestee(Picky()), "padding.unpad", unsupported=True)


def test_valid_input_is_accepted_or_fails() -> None:
    testee = InProcessTestee(Picky())
    assert accepted(testee, "client.poll", "alice")["account"] == "alice"
    with pytest.raises(
        AssertionError, match=r"padding.unpad refused valid input with internal: no good\n  code"
    ):
        accepted(testee, "padding.unpad", code="internal")


def test_parameters_may_be_called_like_arguments() -> None:
    testee = InProcessTestee(Picky())
    accepted(testee, "client.create", testee="x", op="y", self="z")
    assert testee.transcript[-1].request["params"] == {"testee": "x", "op": "y", "self": "z"}
