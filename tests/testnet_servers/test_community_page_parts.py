"""What the room pages are made of: texts, links, decoded messages, pictures (open-group-server §§9, 19)."""

import re
import struct
import zlib
from base64 import b64encode

import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st

from session_protocol.content import build_content
from session_protocol.errors import BadFormat
from session_protocol.padding import PaddingRule, pad
from session_protocol.proto import wire
from session_testnet.services.community.web.decoding import decode_posted
from session_testnet.services.community.web.invitation import invitation_png, invitation_svg
from session_testnet.services.community.web.messages import Conversation, Moment
from session_testnet.services.community.web.pictures import picture_type
from session_testnet.services.community.web.user_text import (
    LONGEST_LINE,
    MAX_LINKS,
    pieces,
    safe_link,
    short_id,
    size_in_words,
    visible_line,
    visible_text,
)

ALICE = "15" + "ab" * 32
JOIN_URL = f"http://127.0.0.1:8765/lobby?public_key={'4701d084' * 8}"
LINKS = "https://a.example/x"


def message(content=None, *, data=None, **members):
    data = pad(build_content(content)) if data is None else data
    return {
        "id": 1,
        "session_id": ALICE,
        "posted": 1_760_000_000.5,
        "seqno": 1,
        "data": b64encode(data).decode(),
        "signature": b64encode(bytes(64)).decode(),
        "reactions": {},
    } | members


def view(content=None, *, data=None, **members):
    shown = message(content, data=data, **members)
    return Conversation({}, [shown]).view(shown)


def body(shown):
    return "".join(piece.text for piece in shown.body)


class TestTexts:
    @given(st.text())
    def test_pieces_add_up_to_the_text(self, text):
        assert "".join(piece.text for piece in pieces(text)) == text

    @given(
        st.lists(
            st.sampled_from([LINKS, "http://b.example:8080/?q=1#f", "javascript:x", " ", ".", "(", ")", "\n"])
        )
    )
    def test_a_link_is_what_it_says_and_a_web_address(self, parts):
        text = "".join(parts)
        found = pieces(text)
        assert "".join(piece.text for piece in found) == text
        for piece in found:
            assert piece.link in ("", piece.text)
            assert not piece.link or re.match("https?://", piece.link)

    @pytest.mark.parametrize(
        ("text", "links"),
        [
            ("see https://a.example/x.", [LINKS]),
            ("(https://a.example/x)", [LINKS]),
            ("https://a.example/x_(y)", ["https://a.example/x_(y)"]),
            ("HTTPS://A.example/", ["HTTPS://A.example/"]),
            ('"https://a.example/x"onclick=y', [LINKS]),
            ("<https://a.example/x>", [LINKS]),
            ("https://münchen.example/", ["https://münchen.example/"]),
            ("http://127.0.0.1:80/", ["http://127.0.0.1:80/"]),
            ("https://bank.example@evil.example/", []),
            ("https://a.example:99999/", []),
            ("https://a.example:0/", []),
            ("https:///path", []),
            ("https://[::1", []),
            ("https://a\u202eb.example/", []),
            ("javascript:alert(1) data:text/html,x file:///etc ftp://a.example", []),
            ("//a.example www.a.example", []),
        ],
    )
    def test_links(self, text, links):
        assert [piece.link for piece in pieces(text) if piece.link] == links

    def test_a_text_of_links_alone_does_not_grow_without_end(self):
        assert sum(bool(piece.link) for piece in pieces(f"{LINKS} " * (MAX_LINKS + 5))) == MAX_LINKS

    @given(st.text())
    def test_a_safe_link_stays_as_it_is(self, text):
        assert safe_link(text) in ("", text)

    @given(st.text(st.characters()), st.integers(1, 50))
    def test_a_line_is_short_and_has_no_control_characters(self, text, limit):
        line = visible_line(text, limit)
        assert len(line) <= limit + 1
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", line)

    @given(st.text(st.characters()))
    def test_a_text_keeps_its_length_and_its_lines(self, text):
        shown = visible_text(text)
        assert len(shown) == len(text.replace("\r\n", "\n"))
        assert shown.count("\n") == len(re.findall(r"\r\n|\r|\n", text))
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", shown)

    def test_long_texts_are_cut_and_say_so(self):
        assert visible_text("x" * 25, 10) == "x" * 10 + "… (15 more letters)"
        assert visible_line("x" * 1000) == "x" * LONGEST_LINE + "…"
        assert visible_line(" " * 3000 + "x") == "…"

    def test_small_words(self):
        assert short_id(ALICE) == "15abab…abab"
        assert short_id("bob") == "bob"
        assert [size_in_words(size) for size in (0, 999, 1000, 48_213, 10_000_000)] == [
            "0 B",
            "999 B",
            "1 kB",
            "48 kB",
            "10.0 MB",
        ]
        assert Moment.at(1_760_000_000.5) == Moment("2025-10-09T08:53:20Z", "9 October 2025, 08:53 UTC")
        assert Moment.at(1e20).machine == ""


class TestDecoding:
    @given(st.text(min_size=1), st.sampled_from(PaddingRule))
    def test_whatever_the_padding(self, text, rule):
        assert decode_posted(pad(build_content({"kind": "text", "body": text}), rule))["body"] == text
        assert body(view({"kind": "text", "body": text})) == visible_text(text)

    def test_without_padding(self):
        assert decode_posted(build_content({"kind": "text", "body": "bare"}))["body"] == "bare"

    @given(st.text(min_size=1))
    def test_an_envelope_is_opened(self, text):
        content = pad(build_content({"kind": "text", "body": text}))
        envelope = wire.Envelope(type=wire.Envelope.SESSION_MESSAGE, timestamp=1, content=content)
        assert decode_posted(pad(envelope.SerializeToString()))["body"] == text

    @given(st.binary(max_size=200))
    def test_anything_is_shown_somehow(self, data):
        shown = view(data=data)
        assert shown.body or shown.note or shown.quote or shown.attachments or shown.previews

    @pytest.mark.parametrize("data", [b"", b"\x80", bytes(160), b"\xff\x00garbage", b"\x0a\x05ab"])
    def test_what_cannot_be_decoded_says_so_and_is_not_shown(self, data):
        with pytest.raises(BadFormat):
            decode_posted(data)
        shown = view(data=data)
        assert shown.note == f"This message cannot be decoded ({len(data)} B)."
        assert body(shown) == ""

    @pytest.mark.parametrize(
        ("content", "note"),
        [
            ({"kind": "text"}, "An empty message."),
            ({"kind": "text", "body": "x"}, ""),
            (
                {"kind": "community_invitation", "name": "Annex", "url": JOIN_URL},
                f"Invites to the community Annex: {JOIN_URL}",
            ),
            (
                {"kind": "timer", "expiration": {"type": "send", "seconds": 60}},
                "Changed how long messages last.",
            ),
            (
                {"kind": "typing", "timestamp_ms": 1, "started": True},
                "A message of the kind “typing”, which rooms do not use.",
            ),
            (
                {"kind": "group_left"},
                "A message of the kind “group left”, which rooms do not use.",
            ),
        ],
    )
    def test_messages_without_words_are_named(self, content, note):
        assert view(content).note == note


class TestMessages:
    def test_an_author_has_a_name_a_short_id_and_a_role(self):
        shown = message({"kind": "text", "body": "x", "profile": {"display_name": " Al\u202eice\n"}})
        room = {"moderators": ["15" + "cd" * 32], "admins": [ALICE]}
        author = Conversation(room, [shown]).view(shown).author
        assert (author.name, author.short_id, author.role, author.initial) == (
            "Al ice",
            "15abab…abab",
            "admin",
            "A",
        )
        assert view({"kind": "text", "body": "x"}).author.name == ""

    def test_files_and_links_are_named(self):
        shown = view(
            {
                "kind": "text",
                "attachments": [
                    {
                        "url": "http://x/1",
                        "file_name": "swarm.png",
                        "content_type": "image/png",
                        "size": 48_213,
                        "width": 800,
                        "height": 600,
                    },
                    {"url": "http://x/2", "voice": True},
                    {"url": "http://x/3"},
                ],
                "preview": [{"url": LINKS, "title": "A page"}, {"url": "javascript:x"}],
            }
        )
        assert [(file.name, file.facts) for file in shown.attachments] == [
            ("swarm.png", "image/png, 48 kB, 800 by 600"),
            ("Voice message", ""),
            ("Unnamed file", ""),
        ]
        assert [(link.text, link.link) for link in shown.previews] == [
            ("A page", LINKS),
            ("javascript:x", ""),
        ]

    def test_a_quote_leads_to_its_message_when_that_is_at_hand(self):
        first = message({"kind": "text", "body": "one\ntwo", "timestamp_ms": 77}, id=5)
        quoting = {"kind": "text", "body": "yes", "quote": {"timestamp_ms": 77, "author": ALICE}}
        answer = message(quoting, id=6)
        found = Conversation({}, [first, answer]).view(answer).quote
        assert (found.message_id, found.text, found.author) == (5, "one two", "15abab…abab")
        alone = Conversation({}, [answer]).view(answer).quote
        assert (alone.message_id, alone.text) == (0, "")

        named = {"kind": "text", "body": "one", "timestamp_ms": 77, "profile": {"display_name": "Alice"}}
        assert Conversation({}, [message(named, id=5), answer]).view(answer).quote.author == "Alice"
        # Another author's message of the same moment is another message.
        stranger = {**first, "session_id": "15" + "cd" * 32}
        assert Conversation({}, [stranger, answer]).view(answer).quote.message_id == 0

    def test_reactions_are_in_their_order(self):
        reactions = {"🎉": {"index": 1, "count": 1}, "👍": {"index": 0, "count": 12}}
        assert view({"kind": "text", "body": "x"}, reactions=reactions).reactions == [("👍", 12), ("🎉", 1)]


PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a....", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
        (b"<!doctype html><script>1</script>", None),
        (b" " + PNG, None),
        (b"", None),
    ],
)
def test_only_harmless_pictures_are_recognised(body, found):
    assert picture_type(body) == found


def grey_pixels(png):
    """Read a PNG of one bit a pixel whose lines stand alone or repeat the one above, as segno writes it."""
    assert png[:8] == PNG[:8]
    at, chunks = 8, {}
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        chunks[kind] = chunks.get(kind, b"") + png[at + 8 : at + 8 + length]
        at += 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (1, 0)
    row, packed = 1 + -(-width // 8), zlib.decompress(chunks[b"IDAT"])
    pixels, above = bytearray(), bytes(row - 1)
    for line in range(height):
        kind, bits = packed[line * row], packed[line * row + 1 : (line + 1) * row]
        assert kind in (0, 2)
        if kind == 2:
            bits = bytes((here + there) % 256 for here, there in zip(bits, above, strict=True))
        pixels += bytes(255 * (bits[x // 8] >> (7 - x % 8) & 1) for x in range(width))
        above = bits
    return width, height, bytes(pixels)


@pytest.mark.parametrize("token", ["a", "x" * 64])
def test_the_invitation_reads_as_the_join_url(token):
    url = JOIN_URL.replace("lobby", token)
    width, height, pixels = grey_pixels(invitation_png(url))
    assert width == height >= 512
    (found,) = zxingcpp.read_barcodes(memoryview(pixels).cast("B", (height, width)))
    assert (found.text, found.format) == (url, zxingcpp.BarcodeFormat.QRCode)


def test_the_drawing_holds_shapes_only():
    drawing = invitation_svg(JOIN_URL)
    assert re.fullmatch(
        r'<svg width="\d+" height="\d+" viewBox="[\d ]+" class="qr">(<path [^<>]*/>)+</svg>', drawing
    )
    assert "style" not in drawing
