"""Acknowledged messages arrive exactly once, whatever befalls a minority of a swarm at whatever moment."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Ordeal

SEEDS = 100
# Both engines take turns in the few that every run of the tests has.
QUICK = {("embedded", 0), ("process", 1), ("embedded", 2), ("process", 3), ("embedded", 4)}
CASES = [
    pytest.param(
        engine,
        seed,
        id=f"{engine}-{seed}",
        marks=() if (engine, seed) in QUICK else pytest.mark.nightly,
    )
    for engine in ("embedded", "process")
    for seed in range(SEEDS)
]


@pytest.mark.parametrize(("engine", "seed"), CASES)
def test_acknowledged_messages_are_delivered_exactly_once(
    engine: str,
    seed: int,
    request: pytest.FixtureRequest,
    undergo: Callable[[str, int], Any],
    draw_plan: "Callable[[int], Ordeal]",
) -> None:
    try:
        undergo(engine, seed)
    except BaseException as failure:
        case = request.node.nodeid
        failure.add_note(f"the plan: {draw_plan(seed)}")
        failure.add_note(f"repeat it with: .venv/bin/pytest -n 0 -m 'nightly or not nightly' '{case}'")
        raise


def test_plans_repeat_and_have_every_kind_of_trouble(draw_plan: "Callable[[int], Ordeal]") -> None:
    plans = [draw_plan(seed) for seed in range(SEEDS)]
    assert plans == [draw_plan(seed) for seed in range(SEEDS)]
    assert len(set(plans)) == SEEDS
    kinds = {(trouble.kind, trouble.scheduled) for each in plans for trouble in each.troubles}
    assert kinds == {
        *((kind, False) for kind in ("kill", "stop", "pause", "partition")),
        *((kind, True) for kind in ("partition", "crash_after_store", "hang", "drop")),
    }
    for each in plans:
        of_bob = {name for trouble in each.troubles for name in trouble.nodes if int(name[-2:]) % 2}
        assert len(of_bob) <= 2, "more than a minority of five"
        assert each.steps[-1] == ("join", 0)
