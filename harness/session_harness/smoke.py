"""Call each minimal operation of a testee once, with good input: a first sign of life."""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from session_harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from session_conformance.contract import Hello, Testee
    from session_protocol.accounts import Account
    from session_testnet import NetworkHandle

TEXT: Final = "Hello from the smoke test"
TIMESTAMP_MS: Final = 1_700_000_000_000
NODES: Final = 5

Look = Callable[[Mapping[str, Any]], str]
"""Looks at a result: returns what is wrong with it, or nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """Hold one call: the operation, its parameters, and what a good result shows."""

    op: str
    params: Mapping[str, Any]
    look: Look
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what came of one call; ``outcome`` is ok, wrong, unsupported or errored."""

    op: str
    outcome: str
    text: str


def open_for_smoke(text: str, *, say: Callable[[str], None]) -> "Testee":
    """Return the testee of a spec, its messages compared with the schemas; raise UsageError, HarnessError."""
    from session_conformance.contract.errors import TesteeError, TesteeSpecError
    from session_conformance.contract.specs import open_testee, parse_testee_spec
    from session_conformance.testees.environments import ensure_environment

    try:
        return open_testee(
            parse_testee_spec(text), validate=True, environment_provider=ensure_environment, say=say
        )
    except TesteeSpecError as error:
        raise UsageError(error.message, hint=error.hint) from error
    except TesteeError as error:
        raise HarnessError(error.message, hint=error.hint) from error


def greet(testee: "Testee") -> "Hello":
    """Start a testee and return its hello; raise HarnessError, with what it logged, when there is none."""
    from session_conformance.contract.errors import TesteeError

    try:
        return testee.hello
    except TesteeError as error:
        logged = testee.stderr_tail().strip().splitlines()
        hint = error.hint or (f"it logged: {logged[-1]}" if logged else "run its command by hand to see why")
        raise HarnessError(error.message, hint=hint) from error


def answers(testee: "Testee") -> Iterator[Answer]:
    """Call the minimal operations one after the other and yield what came of each."""
    for call in stateless_calls():
        yield carry_out(testee, call)
    if testee.supports("client.create"):
        yield from _stateful_answers(testee)


def carry_out(testee: "Testee", call: Call) -> Answer:
    """Make one call, if the testee declares its operation."""
    from session_conformance.contract.errors import Rejected, TesteeError, Unsupported

    if not testee.supports(call.op):
        return Answer(call.op, "unsupported", "not declared")
    try:
        result = testee.call(call.op, call.account, **call.params)
        wrong = call.look(result)
    except (Rejected, Unsupported) as error:
        return Answer(call.op, "wrong", error.message)
    except TesteeError as error:
        if not testee.alive:
            _revive(testee)
        return Answer(call.op, "errored", error.message)
    except (KeyError, TypeError, ValueError) as error:
        return Answer(call.op, "wrong", f"the result cannot be read: {type(error).__name__}: {error}")
    return Answer(call.op, "wrong" if wrong else "ok", wrong or _shown(result))


def stateless_calls() -> list[Call]:
    """Return one call for each minimal stateless operation (testee-operations §§2.1, 2.2)."""
    from session_protocol import messages, padding, sealing
    from session_protocol.accounts import Account

    alice, bob = (Account.from_seed(bytes([number]) * 16) for number in (1, 2))
    content = {"kind": "text", "body": TEXT, "timestamp_ms": TIMESTAMP_MS}
    message = TEXT.encode()
    whole = messages.encode_1o1(alice, bob.account_id, content, TIMESTAMP_MS)
    seed = alice.entropy.hex()
    return [
        Call("identity.derive", {"seed_hex": seed}, _same("session_id", alice.account_id)),
        Call("identity.generate", {}, _generated),
        Call("identity.validate", {"session_id": alice.account_id}, _same("valid", wanted=True)),
        Call(
            "mnemonic.encode",
            {"seed_hex": seed, "language": "english"},
            _same("words", alice.recovery_password),
        ),
        Call(
            "mnemonic.decode",
            {"words": alice.recovery_password, "language": "english"},
            _same("session_id", alice.account_id),
        ),
        Call(
            "session.encrypt",
            {"sender_seed": seed, "recipient_session_id": bob.account_id, "message_hex": message.hex()},
            lambda result: _differs(
                "the opened message",
                sealing.open_sealed(bob, bytes.fromhex(result["ciphertext"])).message,
                message,
            ),
        ),
        Call(
            "session.decrypt",
            {
                "recipient_seed": bob.entropy.hex(),
                "ciphertext": sealing.seal(alice, bob.x25519_pk, message).hex(),
            },
            _same("message_hex", message.hex()),
        ),
        Call(
            "padding.pad",
            {"message_hex": message.hex()},
            lambda result: _differs(
                "the unpadded message", padding.unpad(bytes.fromhex(result["padded_hex"])), message
            ),
        ),
        Call(
            "padding.unpad", {"padded_hex": padding.pad(message).hex()}, _same("message_hex", message.hex())
        ),
        Call(
            "message.encode_1o1",
            {
                "sender_seed": seed,
                "recipient_session_id": bob.account_id,
                "content": content,
                "timestamp_ms": TIMESTAMP_MS,
            },
            lambda result: _differs(
                "the body",
                messages.decode_1o1(bob, base64.b64decode(result["data_base64"])).content.get("body"),
                TEXT,
            ),
        ),
        Call(
            "message.decode_1o1",
            {"recipient_seed": bob.entropy.hex(), "data_base64": base64.b64encode(whole).decode("ascii")},
            lambda result: _differs("the body", result["content"].get("body"), TEXT),
        ),
    ]


def stateful_calls(
    testee: "Testee", network: "NetworkHandle", alice: "Account", bob: "Account"
) -> Iterator[Call]:
    """Yield the minimal conversation (testee-operations §3.1), call by call."""
    from session_conformance.actors import NetworkAccess

    for name, account, secret in (
        ("alice", alice, {"seed_hex": alice.entropy.hex()}),
        ("bob", bob, {"words": bob.recovery_password}),
    ):
        yield Call(
            "client.create",
            {
                **secret,
                "display_name": name,
                "network": NetworkAccess(network.state).parameters(testee),
                "device": f"{name}-1",
            },
            _same("session_id", account.account_id),
            name,
        )
    yield Call("client.swarm", {}, lambda result: "" if result["nodes"] else "no node in the swarm", "alice")
    yield Call(
        "client.send",
        {"to": bob.account_id, "content": {"kind": "text", "body": TEXT}},
        lambda _result: "",
        "alice",
    )
    yield Call("client.poll", {}, _arrived, "bob")
    yield Call("client.messages", {"conversation": alice.account_id}, _arrived, "bob")
    for name in ("alice", "bob"):
        yield Call("client.close", {}, lambda _result: "", name)


def _stateful_answers(testee: "Testee") -> Iterator[Answer]:
    from session_protocol.accounts import Account
    from session_testnet import Topology, open_local
    from session_testnet.hinted_error import message_and_hint

    try:
        network = open_local(Topology.default(NODES, name="smoke"))
    except Exception as error:
        message, hint = message_and_hint(error)
        raise HarnessError(f"the testnet could not start: {message}", hint=hint) from error
    with network:
        for call in stateful_calls(testee, network, Account.generate(), Account.generate()):
            yield carry_out(testee, call)


def _revive(testee: "Testee") -> None:
    from session_conformance.contract.errors import TesteeError

    try:
        testee.restart()
    except TesteeError as error:
        raise HarnessError(f"it does not come back: {error.message}", hint=error.hint) from error


def _same(key: str, wanted: object) -> Look:
    return lambda result: _differs(key, result[key], wanted)


def _differs(what: str, got: object, wanted: object) -> str:
    return "" if got == wanted else f"{what} is {got!r}, expected {wanted!r}"


def _generated(result: Mapping[str, Any]) -> str:
    from session_protocol.accounts import Account

    account = Account.from_seed(bytes.fromhex(result["seed_hex"]))
    return _differs("session_id", result["session_id"], account.account_id)


def _arrived(result: Mapping[str, Any]) -> str:
    bodies = [message["content"].get("body") for message in result["messages"]]
    return "" if TEXT in bodies else f"the message is not among the {len(bodies)} that came"


def _shown(result: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in result.items()) or "done"
