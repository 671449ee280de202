"""Every inner in every outer, over a suspension (CONFORMANCE G-03 to G-12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgeflow.testing.faults import Fault

from .bench import Bench, retold, told
from .pieces import (
    INNERS,
    OUTERS,
    WAITS,
    a_step,
    caught,
    failing,
    for_ever,
    in_join,
    in_map,
    in_race,
    in_turn,
    nothing,
    series,
    timed_out,
)

if TYPE_CHECKING:
    from .bench import Visit
    from .pieces import Wrap

VARIANTS: dict[str, Wrap] = {
    **OUTERS,
    "loop turn after a prune": in_turn(3),
    "join branch beside one that waits": in_join(waiting=True),
    "race branch that loses": in_race(wins=False),
    "map item, one at a time": in_map(limit=1),
}

each_variant = pytest.mark.parametrize("outer", VARIANTS)
each_outer = pytest.mark.parametrize("outer", OUTERS)
each_inner = pytest.mark.parametrize("inner", INNERS)
each_wait = pytest.mark.parametrize("wait", WAITS)


@each_variant
@each_inner
@each_wait
async def test_an_outer_suspends_after_its_inner(
    outer: str, inner: str, wait: str
) -> None:
    # G-03 G-04 G-05 G-06 G-07 G-08 G-09 G8
    piece = series(INNERS[inner](nothing), WAITS[wait], a_step)
    story = await retold(VARIANTS[outer](piece))
    if "race" in outer:
        assert story.output[0] == ("rival" if "loses" in outer else "it")


@each_outer
@each_inner
@each_wait
async def test_an_inner_suspends_in_its_middle(
    outer: str, inner: str, wait: str
) -> None:
    # G-10 G8
    piece = series(INNERS[inner](WAITS[wait]), a_step)
    await retold(OUTERS[outer](piece))


@each_outer
@each_inner
@each_wait
@pytest.mark.parametrize("why", ["a step fails", "time is up"])
async def test_the_failure_of_an_inner_is_caught_before_the_outer_suspends(
    outer: str, inner: str, wait: str, why: str
) -> None:
    # G-11 G8
    broken = (
        INNERS[inner](failing)
        if why == "a step fails"
        else timed_out(INNERS[inner](for_ever))
    )
    piece = series(caught(broken), WAITS[wait], a_step)
    story = await retold(OUTERS[outer](piece))
    assert any(
        label.endswith("/caught") or label == "caught" for label, _ in story.trace
    )


@each_outer
@each_inner
@pytest.mark.parametrize("when", ["at once", "during the next step"])
async def test_the_process_dies_after_the_last_commit_of_an_inner(
    outer: str, inner: str, when: str
) -> None:
    # G-12 G8
    writes: list[int] = []

    async def look(v: Visit) -> None:
        writes.append(v.bench.faulty.writes)

    piece = OUTERS[outer](series(INNERS[inner](nothing), look, a_step))
    story = await told(piece)
    writes.clear()
    await Bench(piece).finish()
    fault = (
        Fault(writes[0], "crash_after")
        if when == "at once"
        else Fault(writes[0] + 1, "crash_before")
    )
    bench = Bench(piece, [fault])
    outcome = await bench.finish()

    assert bench.faulty.struck == [fault]
    assert (outcome.status, outcome.output) == ("completed", story.output)
    assert bench.durable
    for call, count in bench.durable.items():
        assert bench.calls[call] == count == 1
    assert len(bench.visits) == 2
