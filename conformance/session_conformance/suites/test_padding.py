"""Judge message padding (client-protocol §2.2)."""

from hypothesis import given
from hypothesis import strategies as st

from session_conformance import strategies
from session_conformance.checks import check
from session_conformance.contract import Testee
from session_protocol import padding
from session_protocol.padding import PaddingRule


def pad(testee: Testee, message: bytes) -> bytes:
    return bytes.fromhex(testee.call("padding.pad", message_hex=message.hex())["padded_hex"])


def unpad(testee: Testee, padded: bytes) -> bytes:
    return bytes.fromhex(testee.call("padding.unpad", padded_hex=padded.hex())["message_hex"])


@check("PAD-01", ops=("padding.pad",))
@given(message=strategies.messages(700))
def test_pads_by_the_declared_rule(testee: Testee, message: bytes) -> None:
    rule = PaddingRule(testee.hello.features.get("padding", PaddingRule.LIBSESSION_2025))
    padded = pad(testee, message)
    assert padded == (message + b"\x80").ljust(len(padded), b"\x00"), "not the message, 0x80 and zeros"
    assert len(padded) == padding.padded_length(len(message), rule), f"the testee declares the rule {rule}"


@check("PAD-02", ops=("padding.pad", "padding.unpad"))
@given(message=strategies.messages(700))
def test_removes_its_own_padding(testee: Testee, message: bytes) -> None:
    assert unpad(testee, pad(testee, message)) == message


@check("PAD-02", ops=("padding.unpad",))
@given(message=strategies.messages(700), rule=st.sampled_from(PaddingRule))
def test_removes_the_padding_of_every_producer(testee: Testee, message: bytes, rule: PaddingRule) -> None:
    assert unpad(testee, padding.pad(message, rule)) == message


@check("PAD-03", ops=("padding.unpad",))
@given(
    message=strategies.messages(200),
    tail=st.lists(st.sampled_from([b"\x00", b"\x80"]), min_size=1, max_size=6).map(b"".join),
)
def test_keeps_padding_bytes_that_belong_to_the_message(testee: Testee, message: bytes, tail: bytes) -> None:
    """A message may end in the very bytes that padding is made of."""
    assert unpad(testee, padding.pad(message + tail)) == message + tail


@check("PAD-04", ops=("padding.pad",))
@given(message=strategies.messages(700))
def test_pads_as_current_apps_do(testee: Testee, message: bytes) -> None:
    assert len(pad(testee, message)) == padding.padded_length(len(message), PaddingRule.LIBSESSION_2025)
