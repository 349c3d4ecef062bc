"""Carry a schedule of faults out: add each when its time or its request comes, and clear it in time."""

import asyncio
import contextlib
import heapq
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from session_testnet.faults.keys import FaultError
from session_testnet.faults.schedule import Schedule, Step
from session_testnet.faults.waiting import Sleep, sleep_unless
from session_testnet.hinted_error import HintedError

Add = Callable[[Mapping[str, Any]], Awaitable[str]]
Clear = Callable[[str], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class ScheduleEvent:
    """What the runner did: ``after_s`` seconds after its start a fault was added or cleared."""

    after_s: float
    verb: Literal["added", "cleared"]
    fault_id: str


@dataclass(slots=True)
class _Waiting:
    """A step whose time has come and whose request has not; ``left`` counts down to it."""

    step: Step
    left: int


class ScheduleRunner:
    """Drive one schedule, once.

    ``add(rule)`` takes the values of a rule of any kind and returns its id; ``clear(id)`` removes it.
    Whoever sees requests tells them to :meth:`request`, before they are acted on. ``tell`` learns what was
    done. Chance comes from ``seed`` and the place of a step alone. ``clock`` and ``sleep`` are in seconds.
    """

    def __init__(
        self,
        schedule: Schedule,
        add: Add,
        clear: Clear,
        *,
        seed: str = "0",
        tell: Callable[[ScheduleEvent], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._add = add
        self._clear = clear
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._start_s: float | None = None
        # What happens when, soonest first; the count keeps the order of what happens at once.
        self._agenda: list[tuple[float, int, Step | str]] = []
        self._count = 0
        self._waiting: list[_Waiting] = []
        self._active: list[str] = []
        self._failure: HintedError | None = None
        self._changed = asyncio.Event()
        self._acting = asyncio.Lock()
        self._begun = asyncio.Event()
        for index, step in enumerate(schedule.steps):
            chance = random.Random(f"{seed} step {index}")  # noqa: S311 - repeatable chance
            if chance.random() < step.probability:
                self._plan(step.at_s, step)

    @property
    def active(self) -> tuple[str, ...]:
        """Return the ids of the faults that are in force, in the order in which they were added."""
        return tuple(self._active)

    async def run(self) -> None:
        """Carry the schedule out; return when nothing is left to do, and no step waits for a request.

        Faults without an end stay in force. When it is cancelled or fails, all that it added are cleared.
        """
        if self._start_s is not None:
            raise RuntimeError("a schedule is run once")
        self._start_s = self._clock()
        try:
            while self._agenda or self._waiting:
                if self._failure is not None:
                    raise self._failure
                self._changed.clear()
                if not self._agenda:
                    self._begun.set()
                    await self._changed.wait()
                elif self._agenda[0][0] > self._after_s():
                    self._begun.set()
                    # A request may change what comes next.
                    await sleep_unless(self._changed, self._agenda[0][0] - self._after_s(), self._sleep)
                else:
                    async with self._acting:
                        await self._act(heapq.heappop(self._agenda)[2])
        except BaseException:
            await self._clear_all()
            raise
        finally:
            self._begun.set()

    async def begun(self) -> None:
        """Wait until what is due at once is done: requests count from now on."""
        await self._begun.wait()

    async def request(self, node: str, method: str) -> None:
        """Count a request; the faults that begin with it are in force when this returns.

        A fault that cannot be added is not the request's failure: it ends :meth:`run`.
        """
        if not self._waiting:
            return
        async with self._acting:
            for waiting in tuple(self._waiting):
                if not waiting.step.match.fits(node, method):
                    continue
                waiting.left -= 1
                if waiting.left == 0:
                    try:
                        await self._begin(waiting.step)
                        self._waiting.remove(waiting)
                    except HintedError as error:
                        self._failure = error
                    self._changed.set()

    def _after_s(self) -> float:
        return 0.0 if self._start_s is None else self._clock() - self._start_s

    def _plan(self, when_s: float, what: Step | str) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (when_s, self._count, what))

    async def _act(self, what: Step | str) -> None:
        if isinstance(what, str):
            await self._end(what)
        elif what.on_request is None:
            await self._begin(what)
        else:
            self._waiting.append(_Waiting(what, what.on_request))

    async def _begin(self, step: Step) -> None:
        begun_s = max(step.at_s, self._after_s()) if step.on_request else step.at_s
        fault_id = await self._add(_values(step))
        self._active.append(fault_id)
        if step.for_s is not None:
            # Counted from when it was due, so that no delay adds up over a long schedule.
            self._plan(begun_s + step.for_s, fault_id)
        self._report("added", fault_id)

    async def _end(self, fault_id: str) -> None:
        self._active.remove(fault_id)
        # Somebody else may have cleared it already.
        with contextlib.suppress(FaultError):
            await self._clear(fault_id)
        self._report("cleared", fault_id)

    async def _clear_all(self) -> None:
        for fault_id in tuple(self._active):
            await self._end(fault_id)

    def _report(self, verb: Literal["added", "cleared"], fault_id: str) -> None:
        if self._tell is not None:
            self._tell(ScheduleEvent(self._after_s(), verb, fault_id))


def _values(step: Step) -> dict[str, Any]:
    """Return a step's fault as the values of a rule; without an id it gets a new one."""
    values = step.fault.as_dict()
    return {key: value for key, value in values.items() if key != "id" or value}
