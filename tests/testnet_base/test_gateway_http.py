"""What the gateway understands of HTTP/1.1: heads, targets, the framing of bodies; and its map of hosts."""

import contextlib
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_testnet.endpoints import Endpoint
from session_testnet.services.gateway import Route, RouteMap
from session_testnet.services.gateway.http1 import (
    Framing,
    Head,
    HeadError,
    Target,
    keeps_alive,
    parse_absolute,
    parse_authority,
    parse_chunk_size,
    parse_connect,
    parse_request,
    parse_response,
    request_body,
    response_body,
)

TOKENS = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=12)
VALUES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=20
)
FIELDS = st.lists(st.tuples(TOKENS, VALUES.map(lambda value: value.strip(" \t"))), max_size=6).map(tuple)


def head(*fields: tuple[str, str], version: str = "HTTP/1.1") -> Head:
    return Head(("POST", "/", version), fields)


def answer(status: int, *fields: tuple[str, str]) -> Head:
    return Head(("HTTP/1.1", str(status), "OK"), fields)


class TestHeads:
    @given(TOKENS, st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1), FIELDS)
    def test_a_request_survives_a_round_trip(
        self, method: str, target: str, fields: tuple[tuple[str, str], ...]
    ) -> None:
        original = Head((method, target, "HTTP/1.1"), fields)
        assert parse_request(original.encode()) == original

    @given(st.integers(100, 599), VALUES.map(str.strip), FIELDS)
    def test_a_response_survives_a_round_trip(
        self, status: int, reason: str, fields: tuple[tuple[str, str], ...]
    ) -> None:
        parsed = parse_response(Head(("HTTP/1.1", str(status), reason), fields).encode())
        assert parsed.start == ("HTTP/1.1", str(status), reason)
        assert parsed.fields == fields

    @given(st.binary(max_size=200).map(lambda data: data + b"\r\n\r\n") | st.binary(max_size=50))
    @example(b"GET http://a/ HTTP/1.1\r\nA: 1\r\nB: 2\nC: 3\r\n\r\n")
    @example(b"GET http://a/ HTTP/1.1\r\nA: 1\r\n\x00: 2\r\n\r\n")
    def test_any_bytes_are_a_clean_head_or_refused(self, data: bytes) -> None:
        with contextlib.suppress(HeadError):
            parsed = parse_request(data)
            # Nothing that is passed on can hide a further line.
            assert parsed.encode().count(b"\n") == len(parsed.fields) + 2
        with contextlib.suppress(HeadError):
            parse_response(data)

    @pytest.mark.parametrize(
        "line", [b"Bad : 1", b"A: 1\r\n folded", b": 1", b"no colon", b"A: \x00", b"A: 1\rB: 2", b"\xe9: 1"]
    )
    def test_ambiguous_lines_are_refused(self, line: bytes) -> None:
        with pytest.raises(HeadError):
            parse_request(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n")

    def test_a_reason_may_be_missing(self) -> None:
        assert parse_response(b"HTTP/1.1 200\r\n\r\n").encode() == b"HTTP/1.1 200\r\n\r\n"

    def test_fields_of_one_connection_are_dropped(self) -> None:
        given_head = head(
            *(
                ("Host", "a"),
                ("Connection", "close, X-Hop"),
                ("x-hop", "1"),
                ("Keep-Alive", "5"),
                ("X-End", "2"),
            ),
            *(("Proxy-Connection", "close"), ("Transfer-Encoding", "chunked"), ("Content-Type", "a/b")),
        )
        onward = given_head.for_next_hop(host="b:1", chunked=True)
        assert onward.fields == (
            *(("Host", "b:1"), ("X-End", "2"), ("Content-Type", "a/b"), ("Transfer-Encoding", "chunked")),
        )

    @pytest.mark.parametrize(
        ("version", "field", "alive"),
        [
            ("HTTP/1.1", None, True),
            ("HTTP/1.1", ("Connection", "Close"), False),
            ("HTTP/1.1", ("Proxy-Connection", "close"), False),
            ("HTTP/1.0", None, False),
            ("HTTP/1.0", ("Connection", "keep-alive"), True),
        ],
    )
    def test_how_long_a_connection_lives(
        self, version: str, field: tuple[str, str] | None, alive: bool
    ) -> None:
        assert keeps_alive(head(*([field] if field else []), version=version)) is alive


class TestTargets:
    @pytest.mark.parametrize(
        ("text", "target", "authority"),
        [
            ("http://Seed1.GetSession.org", Target("seed1.getsession.org", 80, "/"), "seed1.getsession.org"),
            ("HTTP://a.b:8080/x?y#z", Target("a.b", 8080, "/x?y"), "a.b:8080"),
            ("http://a?b/c", Target("a", 80, "/?b/c"), "a"),
            ("http://a.b./x//y", Target("a.b", 80, "/x//y"), "a.b"),
            ("http://[::1]:81/", Target("::1", 81, "/"), "[::1]:81"),
        ],
    )
    def test_absolute_addresses(self, text: str, target: Target, authority: str) -> None:
        assert parse_absolute(text) == target
        assert target.authority == authority

    @pytest.mark.parametrize(
        "text", ["ftp://a/", "https://a/", "http://user:secret@a/", "a/b", "http:///x", "*"]
    )
    def test_other_targets_are_refused(self, text: str) -> None:
        with pytest.raises(HeadError):
            parse_absolute(text)

    def test_connect(self) -> None:
        assert parse_connect("seed1.getsession.org:4443") == Target("seed1.getsession.org", 4443, None)
        assert parse_connect("a:80").authority == "a:80"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ":",
            "a:",
            "a:0",
            "a:65536",
            "a:-1",
            "a:8x",
            "a:1:2",
            "a b:1",
            "[::1",
            "[::1]5",
            "a@b:1",
            ".:1",
            "é:1",
        ],
    )
    def test_malformed_authorities(self, text: str) -> None:
        with pytest.raises(HeadError):
            parse_authority(text, default_port=None)

    @given(st.text(max_size=30))
    def test_any_text_is_a_target_or_refused(self, text: str) -> None:
        with contextlib.suppress(HeadError):
            target = parse_absolute(f"http://{text}")
            assert target.path is not None
            assert target.path.startswith("/")
            assert 1 <= target.port <= 65535
            assert target.host
            assert target.host == target.host.lower()


class TestBodies:
    @pytest.mark.parametrize(
        ("fields", "body"),
        [
            ((), 0),
            ((("Content-Length", "5"),), 5),
            ((("content-length", "5, 5"), ("Content-Length", "5")), 5),
            ((("Transfer-Encoding", "Chunked"),), Framing.CHUNKED),
        ],
    )
    def test_of_requests(self, fields: tuple[tuple[str, str], ...], body: int | Framing) -> None:
        assert request_body(head(*fields)) == body

    @pytest.mark.parametrize(
        "fields",
        [
            (("Content-Length", "5"), ("Content-Length", "6")),
            (("Content-Length", "+5"),),
            (("Content-Length", ""),),
            (("Content-Length", "9" * 19),),
            (("Content-Length", "5"), ("Transfer-Encoding", "chunked")),
            (("Transfer-Encoding", "gzip, chunked"),),
            (("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")),
        ],
    )
    def test_nothing_is_guessed(self, fields: tuple[tuple[str, str], ...]) -> None:
        with pytest.raises(HeadError):
            request_body(head(*fields))
        with pytest.raises(HeadError) as caught:
            response_body(answer(200, *fields), "GET")
        assert caught.value.status == 502

    @pytest.mark.parametrize(
        ("status", "method", "fields", "body"),
        [
            (200, "GET", (), Framing.UNTIL_CLOSE),
            (200, "GET", (("Content-Length", "5"),), 5),
            (200, "GET", (("Transfer-Encoding", "chunked"),), Framing.CHUNKED),
            (200, "HEAD", (("Content-Length", "5"),), 0),
            (204, "GET", (), 0),
            (304, "GET", (("Content-Length", "5"),), 0),
        ],
    )
    def test_of_responses(
        self, status: int, method: str, fields: tuple[tuple[str, str], ...], body: int | Framing
    ) -> None:
        assert response_body(answer(status, *fields), method) == body

    @given(
        st.integers(0, 2**40),
        st.sampled_from(["", ";name=value", " ; x", ";"]),
        st.sampled_from(["", "\r\n", "\n"]),
    )
    def test_chunk_sizes(self, size: int, extension: str, end: str) -> None:
        assert parse_chunk_size(f"{size:X}{extension}{end}".encode()) == size

    @pytest.mark.parametrize(
        "line", [b"", b"\r\n", b"x", b"-1", b"+1", b"0x1", b"1 2", b"1\r", b"f" * 16, b" 1"]
    )
    def test_malformed_chunk_sizes(self, line: bytes) -> None:
        with pytest.raises(HeadError):
            parse_chunk_size(line + b"\r\n")


class TestRoutes:
    def test_only_what_is_mapped_is_found(self) -> None:
        registry, secure, files, node = (Endpoint("127.0.0.1", port) for port in range(1, 5))
        routes = RouteMap.of_network(registry_http=registry, registry_https=secure, files=files, own=[node])
        assert routes.find("seed2.getsession.org", 80) == Route("registry", registry)
        assert routes.find("SEED2.getsession.org.", 443) == Route("registry", secure, tls=True)
        assert routes.find("filev2.getsession.org", 80) == Route("files", files)
        assert routes.find("127.0.0.1", 4) == Route("own", node)
        for host, port in (("127.0.0.1", 1), ("seed4.getsession.org", 80), ("filev2.getsession.org", 443)):
            assert routes.find(host, port) is None
        assert routes.knows_name("sesh-net.local")
        assert not routes.knows_name("127.0.0.1")
        assert ("sesh-net.local", 1280) in routes.names
        assert ("127.0.0.1", 4) not in routes.names
