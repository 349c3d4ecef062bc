"""Judge the Content protobuf on its own, as writer and as reader (client-protocol §2.4)."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from session_conformance import strategies, vectors
from session_conformance.checks import check, reading, refused
from session_conformance.content_comparison import content_kinds, differences, within_limits
from session_conformance.contract import Rejected, Testee
from session_protocol import content as content_codec

UNKNOWN_FIELDS = (b"\xb8\xbe\x02\x2a", b"\xba\xbe\x02\x05later", b"\xbd\xbe\x02\x00\x00\x00\x00")


def agrees(meant: Mapping[str, Any], read: Mapping[str, Any]) -> None:
    """Assert that both contents mean the same; whether one has a timestamp is judged by itself (ENV-04)."""
    found = differences({key: value for key, value in meant.items() if key != "timestamp_ms"}, read)
    assert not found, found


@check("CONT-01", ops=("message.parse_content",))
@given(content=strategies.contents())
def test_reads_every_kind(testee: Testee, content: dict[str, Any]) -> None:
    data = content_codec.build_content(content)
    read = testee.call("message.parse_content", content_hex=data.hex())["content"]
    agrees(content, read)


@check("CONT-01", ops=("message.parse_content",))
def test_reads_the_published_contents(testee: Testee) -> None:
    cases = vectors.cases("content", "message.parse_content")
    assert cases, "the vector file lost its contents"
    for case in cases:
        if case.result == "invalid":
            refused(testee, "message.parse_content", **case.input)
            continue
        read = testee.call("message.parse_content", **case.input)["content"]
        agrees(case.output["content"], read)


@check("CONT-02", ops=("message.build_content",))
@given(data=st.data())
def test_writes_every_kind(testee: Testee, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(content_kinds(testee)), label="kind")
    content = within_limits(testee, data.draw(strategies.contents(kind), label="content"))
    built = bytes.fromhex(testee.call("message.build_content", content=content)["content_hex"])
    with reading("the content"):
        read = content_codec.parse_content(built)
    agrees(content, read)


@check("CONT-03", ops=("message.parse_content",))
@given(content=strategies.contents(), unknown=st.sampled_from(UNKNOWN_FIELDS))
def test_ignores_unknown_fields(testee: Testee, content: dict[str, Any], unknown: bytes) -> None:
    data = content_codec.build_content(content) + unknown
    read = testee.call("message.parse_content", content_hex=data.hex())["content"]
    agrees(content, read)


@check("CONT-04", ops=("message.parse_content",))
@given(content=strategies.contents(), data=st.data())
def test_survives_damaged_content(testee: Testee, content: dict[str, Any], data: st.DataObject) -> None:
    """Damage may leave something readable: then it is read; otherwise it is refused, never a crash."""
    broken = data.draw(strategies.damaged(content_codec.build_content(content)), label="damaged")
    try:
        read = testee.call("message.parse_content", content_hex=broken.hex())["content"]
    except Rejected:
        return
    assert isinstance(read.get("kind"), str), f"content without a kind: {read!r}"


@check("CONT-04", ops=("message.parse_content",))
@given(content=strategies.contents(), data=st.data())
def test_refuses_cut_content(testee: Testee, content: dict[str, Any], data: st.DataObject) -> None:
    """Where our own strict reader finds no Content, there is none to be read."""
    whole = content_codec.build_content(content)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1), label="bytes kept")]
    try:
        content_codec.parse_content(cut)
    except content_codec.BadFormat:
        try:
            read = testee.call("message.parse_content", content_hex=cut.hex())["content"]
        except Rejected:
            return
        raise AssertionError(f"read {read!r} from bytes that are no Content") from None
