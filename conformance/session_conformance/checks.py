"""How a suite declares its checks, and the assertions that its checks share."""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final, TypeVar

from session_conformance.contract.errors import Rejected
from session_conformance.contract.messages import REJECTION_CODES, Hello, Result, shorten
from session_conformance.contract.operations import MANDATORY, OPERATIONS, Tier, tier_of
from session_conformance.contract.testee import Testee
from session_protocol.errors import ProtocolError

SUITES_PACKAGE: Final = "session_conformance.suites"
SERVER_SUITES_PACKAGE: Final = "session_conformance.server_suites"
_ATTRIBUTE: Final = "session_check"  # no leading underscore: hypothesis copies only such attributes

# What a server was not named with; without it some checks cannot be made.
_LACKS: Final = {
    "key_known": "without its public key: give --public-key",
    "control": "without its control endpoint: give --control-token",
    "registry_known": "without the registry of its network: give --registry",
}

F = TypeVar("F", bound=Callable[..., Any])


class CheckDeclarationError(ValueError):
    """Refuse a check that is declared wrongly: the fault of its suite, not of a testee."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """Hold what ``@check`` says about a function."""

    requirements: tuple[str, ...]
    ops: tuple[str, ...] = ()
    peer_ops: tuple[str, ...] = ()
    features: Mapping[str, Any] = field(default_factory=dict)
    tier: Tier = Tier.L0

    def missing(self, hello: Hello) -> str | None:
        """Say why a testee that declares this much cannot take the check, or None when it can."""
        lack = _absent(self.ops, hello)
        if lack is not None:
            return lack
        for name, wanted in self.features.items():
            declared = hello.feature(name)
            allowed = wanted if isinstance(wanted, tuple | frozenset | set | list) else (wanted,)
            if not any(declared == value and type(declared) is type(value) for value in allowed):
                if name in _LACKS:
                    return f"is judged {_LACKS[name]}"
                return f"declares {name} = {declared!r}, the check is for {' or '.join(map(repr, allowed))}"
        return None

    def missing_of_peer(self, hello: Hello) -> str | None:
        """Say why an implementation cannot be the peer of the check, or None when it can."""
        return _absent(self.peer_ops, hello)


def _absent(operations: Collection[str], hello: Hello) -> str | None:
    absent = [op for op in operations if op not in hello.operations and op not in MANDATORY]
    return f"does not declare {', '.join(absent)}" if absent else None


@dataclass(frozen=True, slots=True)
class CheckInfo:
    """Describe one check of the catalogue; ``id`` is ``<suite>.<name>``, both without ``test_``."""

    id: str
    suite: str
    module: str
    function: str
    sentence: str
    declaration: Declaration

    @property
    def requirements(self) -> tuple[str, ...]:
        """Return the ids of the requirements that the check proves."""
        return self.declaration.requirements

    @property
    def tier(self) -> Tier:
        """Return how much a testee must be able to do for the check."""
        return self.declaration.tier


def check(
    *requirement_ids: str,
    ops: Collection[str] = (),
    peer_ops: Collection[str] = (),
    features: Mapping[str, Any] | None = None,
    tier: Tier | str | None = None,
) -> Callable[[F], F]:
    """Declare a test function to be a check of the named requirements; above or below ``@given``.

    ``ops`` are the operations that the testee must declare, ``peer_ops`` those of the peer; ``features`` maps
    dotted names of the feature block to the value, or a tuple of the values, that the check is for; ``tier``
    defaults to the highest tier of the operations. A testee that lacks something is ``unsupported`` here.
    Raise CheckDeclarationError for a check without requirement and for an operation that does not exist.
    """
    if not requirement_ids or any(not isinstance(name, str) for name in requirement_ids):
        raise CheckDeclarationError('name the requirements of the check: @check("SEAL-01", ops=(…))')
    if isinstance(ops, str) or isinstance(peer_ops, str):
        raise CheckDeclarationError(f'ops is a tuple of names: write ops=("{ops or peer_ops}",)')
    unknown = [op for op in (*ops, *peer_ops) if op not in OPERATIONS]
    if unknown:
        raise CheckDeclarationError(
            f"the contract has no operation {unknown[0]!r} (testee-operations §§1.2 to 3)"
        )
    declaration = Declaration(
        requirements=tuple(requirement_ids),
        ops=tuple(ops),
        peer_ops=tuple(peer_ops),
        features=dict(features or {}),
        tier=Tier(tier) if tier is not None else tier_of(ops),
    )

    def declare(function: F) -> F:
        setattr(function, _ATTRIBUTE, declaration)
        return function

    return declare


def declaration_of(function: object) -> Declaration | None:
    """Return what ``@check`` said about a function, also through the wrapper of ``@given``."""
    for candidate in (function, getattr(getattr(function, "hypothesis", None), "inner_test", None)):
        found = getattr(candidate, _ATTRIBUTE, None)
        if isinstance(found, Declaration):
            return found
    return None


def suite_name(module: str) -> str:
    """Return the name of a suite from that of its module: ``test_onion`` → ``onion``."""
    return module.rpartition(".")[2].removeprefix("test_")


def describe(function: object, *, module: str, qualified_name: str) -> CheckInfo | None:
    """Return the catalogue entry of a function, or None when it is no check."""
    declaration = declaration_of(function)
    if declaration is None:
        return None
    *classes, name = qualified_name.split(".")
    suite = suite_name(module)
    sentence = (getattr(function, "__doc__", None) or "").strip().partition("\n")[0]
    return CheckInfo(
        id=".".join([suite, *classes, name.removeprefix("test_")]),
        suite=suite,
        module=module,
        function=qualified_name,
        sentence=sentence or name.removeprefix("test_").replace("_", " "),
        declaration=declaration,
    )


def checks_of(module: ModuleType) -> Iterator[CheckInfo]:
    """Yield the checks of a suite in the order of their definition."""
    for name, value in vars(module).items():
        if name.startswith("test_") and getattr(value, "__module__", None) == module.__name__:
            found = describe(value, module=module.__name__, qualified_name=name)
            if found is not None:
                yield found
        elif name.startswith("Test") and isinstance(value, type) and value.__module__ == module.__name__:
            for method, function in vars(value).items():
                found = describe(function, module=module.__name__, qualified_name=f"{name}.{method}")
                if method.startswith("test_") and found is not None:
                    yield found


def catalogue(*packages: str) -> tuple[CheckInfo, ...]:
    """Return every check of the packages, of clients and of servers by default, by suite and definition.

    Raise CheckDeclarationError when two checks share an id.
    """
    found: dict[str, CheckInfo] = {}
    for package in packages or (SUITES_PACKAGE, SERVER_SUITES_PACKAGE):
        root = importlib.import_module(package)
        for entry in sorted(pkgutil.iter_modules(root.__path__), key=lambda entry: entry.name):
            if not entry.name.startswith("test_"):
                continue
            for info in checks_of(importlib.import_module(f"{package}.{entry.name}")):
                if info.id in found:
                    raise CheckDeclarationError(
                        f"two checks are called {info.id}: in {found[info.id].module} and {info.module}"
                    )
                found[info.id] = info
    return tuple(found.values())


def accepted(testee: Testee, op: str, /, account: str | None = None, **params: Any) -> Result:
    """Carry out an operation on valid input and return its result; a refusal fails the check."""
    try:
        return testee.call(op, account, **params)
    except Rejected as refusal:
        reason = f"{refusal.code}: {refusal.detail or 'no message'}"
        raise _failure(f"{op} refused valid input with {reason}", params) from refusal


def refused(
    testee: Testee,
    op: str,
    /,
    codes: str | Collection[str] | None = None,
    *,
    account: str | None = None,
    **params: Any,
) -> Rejected:
    """Carry out an operation on bad input and return the refusal; an acceptance fails the check.

    ``codes`` are the codes that the protocol allows here. They are compared only for a testee that declares
    ``error_detail``: the others may be coarser (testee-operations §1).
    """
    wanted = (codes,) if isinstance(codes, str) else tuple(codes or ())
    strange = [code for code in wanted if code not in REJECTION_CODES]
    if strange:
        raise CheckDeclarationError(f"the contract has no rejection code {strange[0]!r}")
    try:
        result = testee.call(op, account, **params)
    except Rejected as refusal:
        if wanted and testee.hello.feature("error_detail") is True and refusal.code not in wanted:
            wish = " or ".join(wanted)
            raise _failure(f"{op} refused with {refusal.code}, expected {wish}", params) from refusal
        return refusal
    shown = shorten(repr(dict(result)))
    raise _failure(f"{op} accepted input that it must refuse and answered {shown}", params)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Read what a testee made with our own reader; when that refuses it, nobody else could read it either."""
    try:
        yield
    except ProtocolError as error:
        raise AssertionError(f"{what} cannot be read: {error}") from error


def _failure(message: str, params: Mapping[str, Any]) -> AssertionError:
    shown = "".join(f"\n  {name} = {shorten(repr(value))}" for name, value in params.items())
    return AssertionError(message + shown)
