"""Schedules: how files are read, and what the runner does when, with time moved by hand."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_testnet.faults import FaultBook, FaultRule, RuleGate
from session_testnet.faults.keys import FaultError
from session_testnet.faults.partition import Partition
from session_testnet.faults.schedule import Match, ScheduleError, Step, load_schedule, parse_schedule
from session_testnet.faults.schedule_runner import ScheduleEvent, ScheduleRunner
from session_testnet.faults.tcp_faults import TcpFault
from session_testnet.trace import Trace

if TYPE_CHECKING:
    from conftest import ManualTime

FILE = """
[[fault]]
at = "2s"
for = "500ms"
action = "delay"
delay_ms = 300
methods = ["store"]
probability = 0.5

[[fault]]
on_request = 3
match = {node = "node-02", method = "store"}
action = "cut_after"
after_bytes = 100
direction = "down"

[[fault]]
at = 90
for = "1m"
action = "partition"
groups = [["node-01", "clients"], ["node-02"]]
"""


class TestFiles:
    def test_a_file_holds_faults_of_every_kind(self, tmp_path: Path) -> None:
        path = tmp_path / "faults.toml"
        path.write_text(FILE)
        schedule = load_schedule(path)
        assert schedule.file == path
        delay = FaultRule("delay", delay_ms=300, methods=("store",), probability=0.5)
        cut = TcpFault("cut_after", after_bytes=100, direction="down")
        split = Partition((frozenset({"node-01", "clients"}), frozenset({"node-02"})))
        assert schedule.steps == (
            Step(delay, at_s=2.0, for_s=0.5),
            Step(cut, on_request=3, match=Match("node-02", "store")),
            Step(split, at_s=90.0, for_s=60.0),
        )
        schedule.check_names(["node-01", "node-02"])
        with pytest.raises(ScheduleError) as caught:
            schedule.check_names(["node-01", "node-03"])
        assert str(caught.value) == (
            f"{path}: fault[1]: there is no node 'node-02' (did you mean 'node-03'?)"
        )

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "the schedule has no faults"),
            ("[[fault]", "is not TOML"),
            ("fault = 3", "takes tables headed [[fault]]"),
            ("[[faults]]\naction = 'drop'", "faults: is not a key of a schedule (did you mean 'fault'?)"),
            ("[[fault]]\nat = '2s'", "fault[0]: the fault has no action"),
            ("[[fault]]\naction = 'latancy'", "did you mean 'latency'?"),
            ("[[fault]]\naction = 'delay'", "fault[0]: the action 'delay' needs 'delay_ms'"),
            ("[[fault]]\naction = 'drop'\nfro = '2s'", "did you mean 'for'?"),
            ("[[fault]]\naction = 'drop'\nat = 'soon'", "at cannot be 'soon'"),
            ("[[fault]]\naction = 'drop'\nat = '-2s'", "from 0 ms"),
            ("[[fault]]\naction = 'drop'\nat = inf", "at cannot be inf"),
            ("[[fault]]\naction = 'drop'\nfor = 0", "from 1 ms"),
            ("[[fault]]\naction = 'drop'\nfor = true", "for cannot be True"),
            ("[[fault]]\naction = 'drop'\non_request = 0", "a count from 1"),
            ("[[fault]]\naction = 'drop'\nmatch = {node = 'node-01'}", "'on_request', which is missing"),
            ("[[fault]]\naction = 'drop'\non_request = 1\nmatch = 'store'", "takes a table"),
            ("[[fault]]\naction = 'drop'\non_request = 1\nmatch = {nod = 'x'}", "did you mean 'node'?"),
            ("[[fault]]\naction = 'partition'\ngroups = [['a'], ['b']]\nprobability = 2", "from 0 to 1"),
            ("[[fault]]\naction='drop'\nid='a'\n[[fault]]\naction='drop'\nid='a'", "fault[1].id: there is"),
        ],
    )
    def test_errors_name_the_file_the_place_and_a_remedy(
        self, tmp_path: Path, text: str, message: str
    ) -> None:
        path = tmp_path / "faults.toml"
        path.write_text(text)
        with pytest.raises(ScheduleError) as caught:
            load_schedule(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert message in str(caught.value)
        assert caught.value.hint

    def test_files_that_cannot_be_read_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(ScheduleError, match="cannot be read: No such file"):
            load_schedule(tmp_path / "missing.toml")
        (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(ScheduleError, match="not text in UTF-8"):
            load_schedule(tmp_path / "binary.toml")

    @given(
        st.dictionaries(
            st.sampled_from(["action", "at", "for", "on_request", "match", "delay_ms", "groups", "id", "x"]),
            st.sampled_from(["drop", "delay", "latency", "partition", "2s", ""])
            | st.integers(-2, 5)
            | st.floats()
            | st.booleans()
            | st.lists(st.lists(st.sampled_from(["a", "b"]), max_size=2), max_size=2)
            | st.dictionaries(st.sampled_from(["node", "method"]), st.sampled_from(["a", ""]), max_size=2),
        )
    )
    def test_any_table_is_a_step_or_a_clear_error(self, table: dict[str, Any]) -> None:
        try:
            schedule = parse_schedule({"fault": [table]})
        except ScheduleError as error:
            assert error.hint  # noqa: PT017 - errors are half of what is right here
            return
        assert len(schedule.steps) == 1


class Rig:
    """A runner with a book of its own and a clock that is moved by hand."""

    def __init__(self, time: "ManualTime", tables: list[dict[str, Any]], **options: Any) -> None:
        self.time = time
        self.added: list[dict[str, Any]] = []
        self.events: list[ScheduleEvent] = []
        self.book = FaultBook()
        self.runner = ScheduleRunner(
            parse_schedule({"fault": tables}),
            self.add,
            self.clear,
            tell=self.events.append,
            clock=time.clock,
            sleep=time.sleep,
            **options,
        )

    async def add(self, rule: Mapping[str, Any]) -> str:
        self.added.append(dict(rule))
        if rule["action"] in ("partition", "latency"):
            return f"other-{len(self.added)}"
        return self.book.add(rule)

    async def clear(self, rule_id: str) -> None:
        if not rule_id.startswith("other-"):
            self.book.clear(rule_id)

    @property
    def told(self) -> list[tuple[float, str, str]]:
        return [(event.after_s, event.verb, event.fault_id) for event in self.events]


Work = Callable[[Rig], Coroutine[Any, Any, None]]
OnSchedule = Callable[..., Rig]


@pytest.fixture(scope="session")
def on_schedule(manual_time: "type[ManualTime]") -> OnSchedule:
    """Run a schedule beside some work, which ends it."""

    def do(work: Work, *tables: dict[str, Any], **options: Any) -> Rig:
        async def whole() -> Rig:
            rig = Rig(manual_time(), list(tables), **options)
            running = asyncio.create_task(rig.runner.run())
            await rig.time.settle()
            await work(rig)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return rig

        return asyncio.run(whole())

    return do


async def ten_seconds(rig: Rig) -> None:
    await rig.time.advance(10)


class TestRunner:
    def test_faults_come_and_go_in_time(self, on_schedule: OnSchedule) -> None:
        rig = on_schedule(
            ten_seconds,
            {"at": "4s", "for": "1s", "action": "drop", "id": "b"},
            {"at": "2s", "for": "2s", "action": "drop", "id": "a"},
            {"action": "drop", "id": "first", "for": "8s"},
        )
        assert rig.told == [
            (0, "added", "first"),
            (2, "added", "a"),
            (4, "added", "b"),
            (4, "cleared", "a"),
            (5, "cleared", "b"),
            (8, "cleared", "first"),
        ]
        assert rig.book.list() == []

    def test_rules_of_other_kinds_are_added_as_they_are(self, on_schedule: OnSchedule) -> None:
        rig = on_schedule(
            ten_seconds,
            {"action": "latency", "delay_ms": 5, "node": "node-01", "probability": 0.5},
            {"at": 1, "action": "partition", "groups": [["b", "a"], ["c"]]},
        )
        assert rig.added == [
            {"action": "latency", "delay_ms": 5, "node": "node-01", "probability": 0.5},
            {"action": "partition", "groups": [["a", "b"], ["c"]]},
        ]

    def test_it_ends_by_itself_and_leaves_what_has_no_end(self, manual_time: "type[ManualTime]") -> None:
        async def work() -> None:
            rig = Rig(manual_time(), [{"at": 1, "action": "drop", "id": "stays"}])
            running = asyncio.create_task(rig.runner.run())
            await rig.time.advance(1)
            await running
            assert rig.runner.active == ("stays",)
            assert [rule["id"] for rule in rig.book.list()] == ["stays"]
            with pytest.raises(RuntimeError, match="run once"):
                await rig.runner.run()

        asyncio.run(work())

    def test_an_end_before_time_clears_all(self, on_schedule: OnSchedule) -> None:
        async def three_seconds(rig: Rig) -> None:
            await rig.time.advance(3)
            assert len(rig.book.list()) == 2

        rig = on_schedule(
            three_seconds,
            {"action": "drop", "id": "stays"},
            {"at": 1, "for": 60, "action": "drop", "id": "goes"},
            {"at": 60, "action": "drop"},
        )
        assert rig.book.list() == []
        assert rig.told[2:] == [(3, "cleared", "stays"), (3, "cleared", "goes")]

    def test_a_fault_that_cannot_be_added_ends_it_and_clears_the_others(
        self, manual_time: "type[ManualTime]"
    ) -> None:
        async def work() -> None:
            rig = Rig(manual_time(), [{"action": "drop", "id": "a"}, {"action": "drop", "id": "b", "at": 1}])
            rig.book.add({"action": "hang", "id": "b"})
            running = asyncio.create_task(rig.runner.run())
            await rig.time.advance(1)
            with pytest.raises(FaultError, match="already a fault rule 'b'"):
                await running
            assert [rule["id"] for rule in rig.book.list()] == ["b"]

        asyncio.run(work())

    def test_a_request_does_not_suffer_from_a_fault_that_cannot_be_added(
        self, manual_time: "type[ManualTime]"
    ) -> None:
        async def work() -> None:
            rig = Rig(manual_time(), [{"action": "drop", "id": "a", "on_request": 1}])
            rig.book.add({"action": "hang", "id": "a"})
            running = asyncio.create_task(rig.runner.run())
            await rig.time.settle()
            await rig.runner.request("node-01", "store")
            with pytest.raises(FaultError, match="already a fault rule 'a'"):
                await running

        asyncio.run(work())

    def test_a_fault_that_somebody_cleared_is_no_error(self, on_schedule: OnSchedule) -> None:
        async def work(rig: Rig) -> None:
            await rig.time.advance(1)
            rig.book.clear("a")
            await rig.time.advance(5)

        rig = on_schedule(work, {"for": 2, "action": "drop", "id": "a"}, {"at": 3, "action": "drop"})
        assert [event.verb for event in rig.events[:3]] == ["added", "cleared", "added"]

    def test_a_fault_strikes_the_very_request_that_brings_it(self, on_schedule: OnSchedule) -> None:
        outcomes: list[bool] = []

        async def work(rig: Rig) -> None:
            gate = RuleGate(rig.book, Trace(), lambda _node, _account: {})
            asked = [("node-01", "store"), ("node-02", "store"), ("node-01", "info")] * 3
            for node, method in asked:
                await rig.runner.request(node, method)
                outcomes.append(await gate.before(node, method, {}) is not None)
            await rig.time.advance(5)
            outcomes.append(await gate.before("node-01", "store", {}) is not None)

        rig = on_schedule(
            work,
            {
                "on_request": 2,
                "match": {"node": "node-01", "method": "store"},
                "for": "4s",
                "action": "status",
                "status": 503,
                "node": "node-01",
            },
        )
        # The fourth request is the second that counts; the info after it meets the fault as well.
        assert outcomes == [False, False, False, True, False, True, True, False, True, False]
        assert rig.told == [(0, "added", "fault-1"), (4, "cleared", "fault-1")]

    def test_requests_count_from_the_time_of_their_step(self, on_schedule: OnSchedule) -> None:
        async def work(rig: Rig) -> None:
            for second in range(6):
                await rig.runner.request("node-01", "store")
                assert bool(rig.events) == (second >= 4)
                await rig.time.advance(1)

        rig = on_schedule(work, {"at": 3, "on_request": 2, "action": "drop", "for": "1s"})
        assert [event[:2] for event in rig.told] == [(4, "added"), (5, "cleared")]

    def test_chance_is_the_same_under_a_seed(self, on_schedule: OnSchedule) -> None:
        tables = [
            {"at": at, "action": "partition", "groups": [["a"], ["b"]], "probability": 0.5} for at in range(9)
        ]

        def run(seed: str) -> list[float]:
            rig = on_schedule(ten_seconds, *tables, seed=seed)
            return [event.after_s for event in rig.events if event.verb == "added"]

        assert run("a") == run("a") != run("c")
        assert 0 < len(run("a")) < 9

    @given(
        st.lists(
            st.fixed_dictionaries(
                {"at": st.integers(0, 20)}, optional={"for": st.integers(1, 20), "on_request": st.just(1)}
            ),
            min_size=1,
            max_size=6,
        )
    )
    def test_each_fault_is_in_force_exactly_in_its_time(
        self, on_schedule: OnSchedule, times: list[dict[str, int]]
    ) -> None:
        tables = [{**each, "action": "drop", "id": f"f{number}"} for number, each in enumerate(times)]

        async def work(rig: Rig) -> None:
            for now in range(45):
                await rig.runner.request("node-01", "store")
                due = {
                    f"f{number}"
                    for number, each in enumerate(times)
                    if each["at"] <= now < each["at"] + each.get("for", 100)
                }
                assert set(rig.runner.active) == due == {rule["id"] for rule in rig.book.list()}
                await rig.time.advance(1)

        on_schedule(work, *tables)
