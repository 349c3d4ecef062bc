"""The network's time and its list of events."""

import enum
import json
import logging
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_testnet.clock import Clock, SkewedClock
from session_testnet.logs import LogBook
from session_testnet.trace import Trace

START_MS = 1_760_000_000_000


class Source:
    """A time source that stands still until it is moved."""

    def __init__(self, ms: int = START_MS) -> None:
        self.ns = ms * 1_000_000

    def __call__(self) -> int:
        return self.ns


class TestClock:
    def test_follows_its_source_in_whole_milliseconds(self) -> None:
        source = Source()
        clock = Clock(source)
        assert clock.now_ms() == START_MS
        source.ns += 1_999_999
        assert clock.now_ms() == START_MS + 1

    def test_moves_and_can_be_set(self) -> None:
        clock = Clock(Source())
        assert clock.move(5_000) == 5_000
        assert clock.move(-7_000) == -2_000
        assert clock.now_ms() == START_MS - 2_000
        clock.offset_ms = 60_000
        assert (clock.offset_ms, clock.now_ms()) == (60_000, START_MS + 60_000)

    @pytest.mark.parametrize("wrong", [1.5, "1", None, True])
    def test_refuses_what_is_no_whole_number(self, wrong: object) -> None:
        clock = Clock(Source())
        with pytest.raises(TypeError, match="whole milliseconds"):
            clock.move(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="whole milliseconds"):
            clock.offset_ms = wrong  # type: ignore[assignment]
        assert clock.now_ms() == START_MS

    def test_real_source_is_the_machine(self) -> None:
        assert Clock().now_ms() > START_MS

    @given(st.lists(st.integers(-(10**9), 10**9)), st.lists(st.integers(-(10**9), 10**9)))
    def test_a_skewed_clock_adds_its_own_offset_to_its_parents(
        self, own: list[int], parents: list[int]
    ) -> None:
        parent = Clock(Source())
        node = SkewedClock(parent, offset_ms=3)
        for ms in own:
            node.move(ms)
        for ms in parents:
            parent.move(ms)
        assert parent.now_ms() == START_MS + sum(parents)
        assert node.now_ms() == START_MS + 3 + sum(own) + sum(parents)

    def test_moves_from_two_threads_are_not_lost(self) -> None:
        clock = Clock(Source())
        threads = [threading.Thread(target=lambda: [clock.move(1) for _ in range(2_000)]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert clock.offset_ms == 4_000


class Colour(enum.Enum):
    RED = "red"


class TestTrace:
    def test_events_are_numbered_and_dated(self) -> None:
        clock = Clock(Source())
        trace = Trace(clock)
        assert trace.last_seq == 0
        trace.record("store", "node-01", hash="abc")
        clock.move(5)
        assert trace.record("poll") == trace.last_seq == 2
        assert trace.events() == [
            {"seq": 1, "t_ms": START_MS, "kind": "store", "node": "node-01", "hash": "abc"},
            {"seq": 2, "t_ms": START_MS + 5, "kind": "poll", "node": None},
        ]

    def test_values_become_json(self) -> None:
        trace = Trace()
        trace.record(
            "x",
            None,
            data=b"\x01\xff",
            colour=Colour.RED,
            pair=(1, b"\x02"),
            names={"b", "a"},
            inner={1: Path("/tmp")},  # noqa: S108 - a value, not a file
            broken=float("nan"),
        )
        event = trace.events()[0]
        assert json.loads(json.dumps(event, allow_nan=False)) == event
        assert event["data"] == "01ff"
        assert event["colour"] == "red"
        assert event["pair"] == [1, "02"]
        assert event["names"] == ["a", "b"]
        assert event["inner"] == {"1": "/tmp"}  # noqa: S108 - a value, not a file
        assert event["broken"] == "nan"

    @given(
        st.dictionaries(
            st.text(min_size=1).filter(lambda name: name not in ("seq", "t_ms", "kind", "node", "self")),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
                lambda inner: (
                    st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner)
                ),
            ),
            max_size=3,
        )
    )
    def test_every_event_can_be_written_as_json(self, fields: dict[str, object]) -> None:
        trace = Trace()
        trace.record("x", None, **fields)
        json.dumps(trace.events()[0], allow_nan=False)

    def test_own_fields_cannot_be_overwritten(self) -> None:
        with pytest.raises(ValueError, match="seq"):
            Trace().record("x", None, seq=5)

    @given(st.integers(1, 8), st.integers(0, 25), st.integers(-2, 30), st.none() | st.integers(0, 30))
    def test_the_ring_keeps_the_newest(
        self, capacity: int, count: int, since: int, limit: int | None
    ) -> None:
        trace = Trace(capacity=capacity)
        for _ in range(count):
            trace.record("x")
        kept = [seq for seq in range(1, count + 1) if seq > count - capacity and seq > since]
        assert [event["seq"] for event in trace.events(since, limit)] == kept[:limit]

    def test_kinds_are_filtered_before_the_limit(self) -> None:
        trace = Trace()
        for kind in ("a", "b", "a", "b"):
            trace.record(kind)
        assert [event["seq"] for event in trace.events(kind="b", limit=2)] == [2, 4]

    def test_returned_events_are_copies(self) -> None:
        trace = Trace()
        trace.record("x", value=1)
        trace.events()[0]["value"] = 2
        assert trace.events()[0]["value"] == 1

    def test_clearing_keeps_counting(self) -> None:
        trace = Trace()
        trace.record("x")
        trace.clear()
        trace.record("y")
        assert [(event["seq"], event["kind"]) for event in trace.events()] == [(2, "y")]

    @pytest.mark.parametrize("capacity", [0, -1])
    def test_refuses_an_empty_ring(self, capacity: int) -> None:
        with pytest.raises(ValueError, match="at least one"):
            Trace(capacity=capacity)

    def test_refuses_a_negative_limit(self) -> None:
        with pytest.raises(ValueError, match="negative"):
            Trace().events(limit=-1)


class TestLogBook:
    def test_lines_carry_time_and_level(self) -> None:
        book = LogBook(clock=Clock(Source(START_MS + 7)))
        book.write("node-01", "info", "listening\nat 127.0.1.1")
        assert book.lines("node-01") == ["2025-10-09T08:53:20.007Z INFO    listening at 127.0.1.1"]

    def test_each_service_has_its_own_bounded_log(self) -> None:
        book = LogBook(capacity=3)
        for number in range(5):
            book.write("a", "info", f"line {number}")
        book.write("b", "error", "other")
        assert [line.rsplit(" ", 1)[1] for line in book.lines("a")] == ["2", "3", "4"]
        assert [line.rsplit(" ", 1)[1] for line in book.lines("a", tail=1)] == ["4"]
        assert book.lines("a", tail=0) == []
        assert book.names() == ["a", "b"]
        assert book.lines("c") == []

    def test_all_logs_together_are_in_order(self) -> None:
        book = LogBook()
        for name in ("b", "a", "b"):
            book.write(name, "info", "x")
        assert [line.split(":")[0] for line in book.lines()] == ["b", "a", "b"]
        assert [line.split(":")[0] for line in book.lines(tail=2)] == ["a", "b"]

    def test_files_are_written_line_by_line(self, tmp_path: Path) -> None:
        book = LogBook(tmp_path / "logs")
        book.write("node-01", "info", "first")
        path = tmp_path / "logs" / "node-01.log"
        assert path.read_text().splitlines() == book.lines("node-01")
        book.close()
        book.close()
        book.write("node-01", "info", "second")
        assert len(book.lines("node-01")) == 2
        assert len(path.read_text().splitlines()) == 1

    @pytest.mark.parametrize("name", ["", "../escape", "a/b", ".hidden", "a\\b", "a\0b"])
    def test_refuses_names_that_are_no_file_names(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match="name of a log"):
            LogBook(tmp_path).write(name, "info", "x")

    def test_takes_what_a_standard_logger_says(self) -> None:
        book = LogBook()
        logger = logging.getLogger("session_testnet_test.logbook")
        logger.propagate = False
        logger.setLevel(logging.DEBUG)
        with book.attached(logger.name, "files"):
            logger.info("served %d bytes", 5)
            logger.debug("not at this level")
            try:
                raise ValueError("boom")
            except ValueError:
                logger.exception("failed")
        logger.info("no longer attached")
        lines = book.lines("files")
        assert len(lines) == 2
        assert lines[0].endswith("INFO    served 5 bytes")
        assert "ERROR   failed" in lines[1]
        assert "ValueError: boom" in lines[1]
