"""The neutral content object and its protobuf: inverse, tolerant of the new, strict with the broken."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from session_protocol.content import build_content, parse_content, signature_timestamp_ms
from session_protocol.errors import BadFormat, InvalidArgument
from session_protocol.proto import wire

deterministic = settings(derandomize=True, deadline=None)
NOW = 1_700_000_000_000
ID = "05" + "ab" * 32

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
hexes = st.binary(max_size=64).map(bytes.hex)


def objects(
    required: dict[str, Any], optional: dict[str, Any] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional or {})


attachments = objects(
    {},
    {
        "url": st.one_of(texts, st.just("http://filev2.getsession.org/file/1234567890#d=")),
        "key_hex": hexes,
        "digest_hex": hexes,
        "size": u32,
        "content_type": texts,
        "file_name": texts,
        "width": u32,
        "height": u32,
        "voice": st.just(True),
    },
)
profiles = objects(
    {}, {"display_name": texts, "picture_url": texts, "profile_key_hex": hexes, "updated_s": u64}
)
expirations = objects({"type": st.sampled_from(["read", "send", "off"]), "seconds": u32})
common = {"timestamp_ms": u64, "expiration": expirations}
of_data_message = {
    **common,
    "profile": profiles,
    "sync_target": texts,
    "blocks_community_requests": st.booleans(),
}
signature = {"admin_signature_hex": hexes}
members = {"member_session_ids": st.lists(texts, max_size=3)}

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": (
        {},
        {
            **of_data_message,
            "body": texts,
            "attachments": st.lists(attachments, min_size=1, max_size=3),
            "quote": objects({"timestamp_ms": u64, "author": texts}),
            "preview": st.lists(objects({"url": texts}, {"title": texts}), min_size=1, max_size=2),
        },
    ),
    "reaction": (
        {"target_ms": u64, "author": texts, "remove": st.booleans()},
        {**of_data_message, "emoji": texts},
    ),
    "unsend": ({"target_ms": u64, "author": texts}, common),
    "receipt": ({"read_ms": st.lists(u64, max_size=4)}, common),
    "typing": ({"started": st.booleans(), "timestamp_ms": u64}, {"expiration": expirations}),
    "timer": (
        {"expiration": expirations},
        {key: of_data_message[key] for key in of_data_message if key != "expiration"},
    ),
    "request_accepted": ({}, {**common, "profile": profiles}),
    "data_extraction": ({"type": st.sampled_from(["saved", "screenshot"])}, {**common, "saved_ms": u64}),
    "call": (
        {
            "type": st.sampled_from(["pre_offer", "offer", "answer", "provisional", "ice", "end"]),
            "uuid": texts,
            "sdps": st.lists(texts, max_size=2),
        },
        {
            **common,
            "sdp_m_line_indexes": st.lists(u32, min_size=1, max_size=2),
            "sdp_mids": st.lists(texts, min_size=1, max_size=2),
        },
    ),
    "community_invitation": ({"url": texts, "name": texts}, of_data_message),
    "group_invite": (
        {"group_session_id": texts, "name": texts, "member_auth_data_hex": hexes, **signature},
        of_data_message,
    ),
    "group_promote": ({"group_identity_seed_hex": hexes, "name": texts}, of_data_message),
    "group_info_change": (
        {"type": st.sampled_from(["name", "avatar", "disappearing_messages"]), **signature},
        {**of_data_message, "updated_name": texts, "updated_expiration_s": u32},
    ),
    "group_member_change": (
        {"type": st.sampled_from(["added", "removed", "promoted"]), **members, **signature},
        {**of_data_message, "history_shared": st.booleans()},
    ),
    "group_left": ({}, of_data_message),
    "group_left_notice": ({}, of_data_message),
    "group_invite_response": ({"is_approved": st.booleans()}, of_data_message),
    "group_delete": (
        {**members, "message_hashes": st.lists(texts, max_size=2)},
        {**of_data_message, **signature},
    ),
}
KINDS = tuple(SHAPES)


def contents(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    required, optional = SHAPES[kind]
    return objects({"kind": st.just(kind), **required}, optional)


any_content = st.sampled_from(KINDS).flatmap(contents)
unknown_fields = st.sampled_from(
    [
        b"\xb8\xbe\x02\x2a",
        b"\xba\xbe\x02\x05later",
        b"\xbd\xbe\x02\0\0\0\0",
        b"\xb9\xbe\x02" + bytes(8),
        b"\x3a\x02\x0a\x00",
    ]
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_built_is_parsed(kind: str) -> None:
    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(contents(kind))
    def check(content: dict[str, Any]) -> None:
        data = build_content(content)
        assert parse_content(data) == content
        assert build_content(parse_content(data)) == data

    check()


@deterministic
@given(any_content, st.lists(unknown_fields, max_size=3).map(b"".join))
def test_unknown_fields_change_nothing(content: dict[str, Any], unknown: bytes) -> None:
    data = build_content(content)
    assert parse_content(data + unknown) == content
    assert parse_content(unknown + data) == content


@pytest.mark.parametrize(
    "path",
    [
        "data_message",
        "receipt",
        "typing",
        "unsend",
        "call",
        "data_message.quote",
        "data_message.group_update.invite",
    ],
)
def test_unknown_fields_inside_change_nothing(path: str) -> None:
    content = wire.Content(
        data_message=wire.DataMessage(body="x", quote=wire.Quote(id=1, author=ID)),
        receipt=wire.Receipt(type=wire.Receipt.READ),
        typing=wire.Typing(timestamp=1, action=wire.Typing.STARTED),
        unsend=wire.Unsend(timestamp=1, author=ID),
        call=wire.CallMessage(type=wire.CallMessage.OFFER, uuid="u"),
    )
    content.data_message.group_update.invite.MergeFrom(
        wire.GroupInvite(group_session_id="03", name="n", member_auth_data=b"a", admin_signature=b"s")
    )
    top = path.partition(".")[0]
    for other in ("data_message", "receipt", "typing", "unsend", "call"):
        if other != top:
            content.ClearField(other)
    if "group_update" not in path:
        content.data_message.ClearField("group_update")
        if top != "data_message":
            content.ClearField("data_message")
    before = parse_content(content.SerializeToString())
    inner: Any = content
    for name in path.split("."):
        inner = getattr(inner, name)
    inner.MergeFromString(b"\xb8\xbe\x02\x2a\xba\xbe\x02\x05later")
    assert parse_content(content.SerializeToString()) == before


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.binary(max_size=120))
@example(b"")
@example(b"\x0b\x0c")  # a group, opened and closed
@example(b"\x0c")  # closed, never opened
@example(b"\x0b" * 500)
@example(b"\x00\x00")  # field number 0
@example(b"\x0f")  # wire type 7
@example(b"\x0a\xff\xff\xff\xff\x0f")
def test_noise_is_read_or_refused_in_the_family(noise: bytes) -> None:
    try:
        content = parse_content(noise)
    except BadFormat:
        return
    assert isinstance(content["kind"], str)
    if content["kind"] == "unknown":
        assert content["content_hex"] == noise.hex()
        assert build_content(content) == noise


@settings(derandomize=True, deadline=None, max_examples=300)
@given(any_content, st.data())
def test_damage_is_read_or_refused_in_the_family(content: dict[str, Any], draw: st.DataObject) -> None:
    data = bytearray(build_content(content) or b"\0")
    bit = draw.draw(st.integers(0, len(data) * 8 - 1))
    data[bit // 8] ^= 1 << bit % 8
    cut = draw.draw(st.integers(0, len(data)))
    for damaged in (bytes(data), bytes(data[:cut])):
        with suppress(BadFormat):
            assert isinstance(parse_content(damaged)["kind"], str)


def test_a_flipped_or_cut_text_never_reads_as_the_same_text() -> None:
    content = {"kind": "text", "body": "the one text", "timestamp_ms": NOW}
    data = build_content(content)
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with suppress(BadFormat):
            assert parse_content(bytes(damaged)) != content


@pytest.mark.parametrize(
    "message",
    [
        wire.Content(unsend=wire.Unsend(timestamp=1)),
        wire.Content(unsend=wire.Unsend(author=ID)),
        wire.Content(typing=wire.Typing(timestamp=1)),
        wire.Content(call=wire.CallMessage(uuid="u")),
        wire.Content(receipt=wire.Receipt(timestamps=[1])),
        wire.Content(data_message=wire.DataMessage(reaction=wire.Reaction(id=1, author=ID))),
        wire.Content(data_message=wire.DataMessage(attachments=[wire.AttachmentPointer(url="u")])),
        wire.Content(data_message=wire.DataMessage(quote=wire.Quote(id=1))),
        wire.Content(data_message=wire.DataMessage(previews=[wire.Preview(title="t")])),
        wire.Content(message_request_response=wire.MessageRequestResponse(profile_key=b"k")),
    ],
    ids=str,
)
def test_a_missing_required_field_is_refused(message: wire.Content) -> None:
    with pytest.raises(BadFormat, match="lacks"):
        parse_content(message.SerializePartialToString())


@pytest.mark.parametrize("text", [b"\xc3(", b"\xed\xa0\x80", b"\xff", b"\xf4\x90\x80\x80", b"\xc0\x80"])
def test_text_that_is_not_utf8_is_refused(text: bytes) -> None:
    length = bytes([len(text)])
    body = b"\x0a" + bytes([len(text) + 2]) + b"\x0a" + length + text
    author = b"\x4a" + bytes([len(text) + 4]) + b"\x08\x01\x12" + length + text
    for data in (body, author):
        with pytest.raises(BadFormat):
            parse_content(data)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (wire.Content(), "unknown"),
        (wire.Content(shared_config=wire.SharedConfig(kind=2, seqno=1, data=b"d")), "unknown"),
        (wire.Content(receipt=wire.Receipt(type=wire.Receipt.DELIVERY)), "unknown"),
        (wire.Content(message_request_response=wire.MessageRequestResponse(is_approved=False)), "unknown"),
        (wire.Content(data_message=wire.DataMessage(group_update=wire.GroupUpdate())), "unknown"),
        (wire.Content(data_message=wire.DataMessage()), "text"),
        (
            wire.Content(
                data_message=wire.DataMessage(body="b"),
                unsend=wire.Unsend(timestamp=1, author=ID),
                typing=wire.Typing(timestamp=1, action=0),
            ),
            "text",
        ),
        (
            wire.Content(
                typing=wire.Typing(timestamp=1, action=0),
                receipt=wire.Receipt(type=wire.Receipt.READ),
                call=wire.CallMessage(type=1, uuid="u"),
            ),
            "receipt",
        ),
        (
            wire.Content(
                data_message=wire.DataMessage(
                    body="b", flags=2, reaction=wire.Reaction(id=1, author=ID, action=0)
                )
            ),
            "reaction",
        ),
        (
            wire.Content(
                data_message=wire.DataMessage(
                    flags=2, community_invitation=wire.CommunityInvitation(url="u", name="n")
                )
            ),
            "timer",
        ),
    ],
    ids=str,
)
def test_the_first_match_decides_the_kind(message: wire.Content, kind: str) -> None:
    data = message.SerializeToString()
    content = parse_content(data)
    assert content["kind"] == kind
    if kind == "unknown":
        assert content == {"kind": "unknown", "content_hex": data.hex()}


@pytest.mark.parametrize(
    ("message", "timestamp_ms"),
    [
        (wire.Content(sig_timestamp=NOW, data_message=wire.DataMessage(timestamp=1)), NOW),
        (wire.Content(data_message=wire.DataMessage(timestamp=NOW)), NOW),
        (wire.Content(typing=wire.Typing(timestamp=NOW, action=0)), NOW),
        (wire.Content(data_message=wire.DataMessage(body="b")), None),
    ],
    ids=str,
)
def test_timestamps_of_newer_and_older_clients(message: wire.Content, timestamp_ms: int | None) -> None:
    data = message.SerializeToString()
    assert parse_content(data).get("timestamp_ms") == timestamp_ms
    assert signature_timestamp_ms(data) == (NOW if message.HasField("sig_timestamp") else None)


def test_the_given_timestamp_goes_before_that_of_the_object() -> None:
    content = {"kind": "typing", "started": True, "timestamp_ms": 1}
    built = wire.Content.FromString(build_content(content, timestamp_ms=NOW))
    assert built.sig_timestamp == built.typing.timestamp == NOW


@pytest.mark.parametrize(
    ("url", "legacy_id"),
    [
        ("http://filev2.getsession.org/file/1234567890", 1234567890),
        ("http://filev2.getsession.org/file/1234567890#p=ab&d=", 1234567890),
        ("http://filev2.getsession.org/file/abcd", 0),
        ("http://filev2.getsession.org/file/\u0661", 0),
        ("http://filev2.getsession.org/file/" + "9" * 40, 0),
        ("", 0),
    ],
)
def test_old_receivers_get_a_numeric_file_id(url: str, legacy_id: int) -> None:
    built = wire.Content.FromString(build_content({"kind": "text", "attachments": [{"url": url}]}))
    assert built.data_message.attachments[0].legacy_id == legacy_id


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("text", "content"),
        ({}, "content.kind"),
        ({"kind": "poem"}, "content.kind"),
        ({"kind": ["text"]}, "content.kind"),
        ({"kind": "unknown"}, "content.content_hex"),
        ({"kind": "unknown", "content_hex": "0a 0b"}, "content.content_hex"),
        ({"kind": "text", "body": 5}, "content.body"),
        ({"kind": "text", "body": "\ud800"}, "content.body"),
        ({"kind": "text", "timestamp_ms": -1}, "content.timestamp_ms"),
        ({"kind": "text", "timestamp_ms": 2**64}, "content.timestamp_ms"),
        ({"kind": "text", "timestamp_ms": True}, "content.timestamp_ms"),
        ({"kind": "text", "timestamp_ms": 1.5}, "content.timestamp_ms"),
        ({"kind": "text", "attachments": {}}, "content.attachments"),
        ({"kind": "text", "attachments": [{}, {"size": "1"}]}, "content.attachments[1].size"),
        ({"kind": "text", "attachments": [{"size": 2**32}]}, "content.attachments[0].size"),
        ({"kind": "text", "attachments": [{"key_hex": "0"}]}, "content.attachments[0].key_hex"),
        ({"kind": "text", "attachments": [{"voice": 1}]}, "content.attachments[0].voice"),
        ({"kind": "text", "attachments": ["a"]}, "content.attachments[0]"),
        ({"kind": "text", "quote": {"author": ID}}, "content.quote.timestamp_ms"),
        ({"kind": "text", "profile": "Alice"}, "content.profile"),
        ({"kind": "text", "profile": {"profile_key_hex": 1}}, "content.profile.profile_key_hex"),
        ({"kind": "text", "expiration": {"seconds": 1}}, "content.expiration.type"),
        ({"kind": "text", "expiration": {"type": "never"}}, "content.expiration.type"),
        ({"kind": "text", "expiration": 5}, "content.expiration"),
        ({"kind": "timer"}, "content.expiration"),
        ({"kind": "typing", "started": True}, "content.timestamp_ms"),
        ({"kind": "typing", "started": 1, "timestamp_ms": 1}, "content.started"),
        ({"kind": "reaction", "target_ms": 1}, "content.author"),
        ({"kind": "receipt", "read_ms": [1, None]}, "content.read_ms[1]"),
        ({"kind": "call", "type": "hold", "uuid": "u"}, "content.type"),
        ({"kind": "group_promote", "name": "n"}, "content.group_identity_seed_hex"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_named(content: Any, where: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        build_content(content)
    assert str(refusal.value).startswith(where + " ")


def test_unknown_keys_are_passed_over() -> None:
    assert build_content({"kind": "text", "body": "b", "mood": 1}) == build_content(
        {"kind": "text", "body": "b"}
    )


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.sampled_from(KINDS).flatmap(
        lambda kind: st.dictionaries(
            st.sampled_from([*SHAPES[kind][0], *SHAPES[kind][1], "timestamp_ms"]),
            st.one_of(
                st.none(), st.integers(), st.text(max_size=5), st.lists(st.none(), max_size=1), st.booleans()
            ),
            max_size=6,
        ).map(lambda fields: {**fields, "kind": kind})
    )
)
def test_odd_values_are_built_or_refused_in_the_family(content: dict[str, Any]) -> None:
    try:
        data = build_content(content)
    except InvalidArgument:
        return
    assert parse_content(data)["kind"] == content["kind"]
