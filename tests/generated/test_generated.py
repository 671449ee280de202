"""Generated workflows, interrupted wherever they can be (CONFORMANCE G-13).

What holds depends on what an interruption loses:

- A process that ends right after a commit, and is succeeded at once, loses no
  completion, in any mode: all that is recorded is in that commit. The run of the
  pieces is then the run at one stretch, races and deadlines included: same result
  or failure, same completions in the same order with the same values, same state
  and messages; every step and every undo ends once, and starts once more only if
  the process ended inside of it. So it is for a suspension with a fresh process.
- A process that ends before a commit, or is succeeded late, loses completions and
  time: a race may then rightly have another winner. A program in which nothing
  depends on what ends first still gives the same result, completions, state and
  messages, in another order perhaps; a step ends once more at most for each death.
- In every program and whatever is lost, what was durable stays: a recorded outcome
  never changes, a step that has succeeded is not entered again, an attempt that has
  failed is not made again, an undo that is done is not repeated, and the instance
  ends without being blocked.

- `crash_matrix` says the same of every kind of fault at every write; there the steps
  of a program take no time.

A child that nobody waits for any more is cancelled by a message, and how far it gets
until then is a matter of luck: it is left out of the comparisons. One that is only
started is created with the next flush, and so later in the modes that flush less;
the ends of its steps are given by the clock, so there it is left out as well.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from edgeflow.store import TERMINAL
from edgeflow.testing.faults import Fault, FaultKind
from edgeflow.testing.matrix import crash_matrix
from edgeflow_memory import MemoryStore

from .bystanders import Outside
from .drawing import programs
from .programs import (
    Call,
    Join,
    Loop,
    Map,
    Program,
    Receive,
    Series,
    Sleep,
    Step,
)
from .telling import Told, unordered
from .world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.engine.settings import Durability
    from edgeflow.testing.lives import End

# Their store is in memory: a run of the tests for another store need not repeat them.
USUAL = "500" if "memory" in os.environ.get("EDGEFLOW_STORES", "memory") else "40"
EXAMPLES = int(os.environ.get("EDGEFLOW_GENERATED", USUAL))
"""How many workflows are interrupted in each way that loses nothing."""
MODES: tuple[Durability, ...] = ("step", "behind", "suspend")
KINDS: tuple[FaultKind, ...] = (
    "crash_before",
    "crash_after",
    "fail_before",
    "fail_after",
    "slow",
    "fence",
)
CRASHES = st.lists(st.integers(1, 16), max_size=5)
"""The commits right after which a process ends."""
FAULTS = st.builds(Fault, st.integers(1, 12), st.sampled_from(KINDS))
PLANS = st.lists(
    st.lists(FAULTS, max_size=2, unique_by=lambda fault: fault.at), max_size=4
)
"""The faults of each process."""
PAUSES = st.integers(0, 40)
"""Seconds until the next process."""

FOUND: dict[str, tuple[Series, list[int]]] = {
    "loops that wait for one name, the first of them in a later turn": (
        Series((Map(Loop(Receive("red"), keep=0, prune_every=1)),)),
        [],
    ),
    "a message that comes while another wait is parked": (
        Series(
            (
                Join((Sleep(4), Receive("red"))),
                Join((Step("a", 0), Receive("red", 0))),
            )
        ),
        [],
    ),
    "a crash between the birth of a child and its creation": (
        Series((Step("a", 0), Join((Call(Step("a", 0)), Step("a", 6))))),
        [3],
    ),
}
"""What was found so, as small as it gets; the children's birth is commit 3."""


def check_in_pieces(program: Program, crashes: list[int]) -> None:
    """Compare a run in pieces with the run at one stretch, in every mode."""
    with asyncio.Runner() as runner:
        whole = World(program)
        told = runner.run(whole.run())
        assert_sound(whole, told)
        for mode in MODES:
            apart = whole.abandoned | whole.started
            if mode == "step":
                apart = whole.abandoned
            world = World(program, mode, crashes)
            found = runner.run(world.run_in_pieces())
            assert_sound(world, found)
            assert found.ends.keys() == told.ends.keys(), mode
            assert_same(found.without(apart), told.without(apart), mode)


def assert_sound(world: World, told: Told) -> None:
    assert world.complaints == []
    assert told.oddities == []
    assert "blocked" not in {status for status, _ in told.ends.values()}


def assert_same(found: Told, known: Told, mode: str) -> None:
    assert found.ends == known.ends, mode
    assert found.done == known.done, mode
    assert found.effects == known.effects, mode
    assert found.state == known.state, mode
    assert found.sent == known.sent, mode
    assert found.progress == known.progress, mode
    # What was cancelled before it was recorded as begun leaves no trace.
    for name, loose in found.loose.items():
        assert loose.items() <= known.loose[name].items(), mode


@pytest.mark.timeout(60 + EXAMPLES)
@settings(max_examples=EXAMPLES)
@given(programs(), CRASHES)
def test_a_run_in_pieces_is_the_run_at_one_stretch(
    program: Program, crashes: list[int]
) -> None:
    # G-13, G1 G3 G7 G8 G9
    note(str(program))
    check_in_pieces(program, crashes)


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once_is_mended(name: str) -> None:
    # D-02 D-14 D-17, G8 G10
    body, crashes = FOUND[name]
    check_in_pieces(Program(body, period=2), crashes)


@pytest.mark.timeout(60 + EXAMPLES)
@settings(max_examples=EXAMPLES // 4)
@given(programs(calm=True), st.sampled_from(MODES), PLANS, PAUSES)
def test_what_is_lost_is_done_again_with_the_same_result(
    program: Program, mode: Durability, plans: list[list[Fault]], pause: int
) -> None:
    # G-13, G3 G5 G7 G11 G12
    note(str(program))
    with asyncio.Runner() as runner:
        known = runner.run(World(program).run())
        world = World(program, mode)
        found = runner.run(world.run_through(plans, pause))

    assert_sound(world, found)
    assert unordered(found.ends) == unordered(known.ends)
    assert unordered(found.done) == unordered(known.done)
    assert found.state == known.state
    assert found.sent == known.sent
    assert found.effects.keys() == known.effects.keys()
    assert max(found.effects.values(), default=1) <= 1 + world.deaths


@pytest.mark.timeout(60 + EXAMPLES)
@settings(max_examples=EXAMPLES // 4)
@given(programs(), st.sampled_from(MODES), PLANS, PAUSES)
def test_whatever_is_lost_what_is_durable_stays(
    program: Program, mode: Durability, plans: list[list[Fault]], pause: int
) -> None:
    # G-13, G4 G7 G8 G12 G13
    note(str(program))
    with asyncio.Runner() as runner:
        world = World(program, mode)
        found = runner.run(world.run_through(plans, pause))

    assert_sound(world, found)


def compare(end: End) -> Any:
    """Tell what is the same of a calm program, in whatever order things end."""
    return unordered(asdict(end))


def ended(end: End) -> bool:
    """Tell what is the same of any program."""
    return {end.status, *(status for status, _, _ in end.others.values())} <= TERMINAL


@pytest.mark.timeout(60 + EXAMPLES)
@settings(max_examples=EXAMPLES // 10)
@given(
    st.one_of(
        st.tuples(programs(calm=True), st.just(compare)),
        st.tuples(programs(), st.just(ended)),
    ),
    st.sampled_from(MODES),
    st.sampled_from(["by replay", "parked"]),
    st.integers(0, 1000),
)
def test_a_program_goes_through_the_crash_matrix(
    drawn: tuple[Program, Callable[[End], object]],
    mode: Durability,
    way: str,
    seed: int,
) -> None:
    # G-13 O-01, G3 G5 G7 G8 G10 G11 G12
    program, same = drawn
    note(str(program))
    outside = Outside(program, mode, patience=None if same is compare else 60)

    async def check() -> None:
        report = await crash_matrix(
            outside.whole,
            outside.main,
            messages=await outside.mail(parked=way == "parked"),
            sample=8,
            seed=seed,
            ends=None,
            parked=way == "parked",
            same=same,
            store=MemoryStore,
        )
        assert ended(report.end)

    asyncio.run(check())
