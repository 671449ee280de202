"""Attempts that were made count, whenever a process dies (CONFORMANCE O-02 to O-06).

The stores are real ones; what dies is a process: its memory is gone, and it writes
nothing any more.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    Context,
    EdgeflowError,
    Retry,
    StepError,
    WorkflowFailed,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed, Fault
from tests.conftest import AtCommits

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow import EntryInfo, Store, Workflow
    from edgeflow.engine.settings import Durability
    from edgeflow.testing.faults import FaultKind
    from tests.conftest import World

MODES: tuple[Durability, ...] = ("step", "behind", "suspend")
BACK_OFF = 100.0

starts: list[int] = []
"""The attempts that were begun, in order."""
deadly: list[Callable[[], object]] = []
"""What ends the process within a failing attempt; the last one is the next."""


@pytest.fixture(autouse=True)
def nothing_started() -> None:
    starts.clear()
    deadly.clear()


@step(retry=Retry(attempts=4, first=BACK_OFF, factor=1, cap=BACK_OFF, jitter=0))
async def broken() -> None:
    starts.append(current_step().attempt)
    if deadly:
        deadly.pop()()
    raise ValueError(f"boom {current_step().attempt}")


twice = broken.using(retry=Retry(attempts=2, first=20, jitter=0))
once = broken.using(retry=Retry(attempts=1))


@workflow(name="breaks")
async def breaks(_: Context) -> None:
    await broken()


async def broken_entry(world: World, instance: str = "i") -> EntryInfo | None:
    """What is stored of the step that fails."""
    with suppress(EdgeflowError):
        for entry in await world.history(instance):
            if entry.name == "broken":
                return entry
    return None


class Process:
    """A process that dies when it is told to, or by its plan."""

    def __init__(self, world: World, *plan: Fault, **settings: Any) -> None:
        self.world = world
        self.store = AtCommits(world.store, plan, clock=world.clock)
        self.settings = settings

    @property
    def died(self) -> bool:
        return self.store.crashed is not None

    async def run(
        self, code: Workflow[Any, Any], instance: str = "i", input: Any = None
    ) -> Any:
        """Run it to its end, or until this process dies: None."""
        app = self.world.process(code, store=self.store, **self.settings)
        try:
            return await app.run(code, input, id=instance)
        except (Crashed, EdgeflowError):
            if not self.died:
                raise
            return None

    async def run_for(
        self, seconds: float, code: Workflow[Any, Any], input: Any = None
    ) -> None:
        """Run it, and die after some time."""
        await self.world.store.open()  # no virtual time passes meanwhile
        running = asyncio.ensure_future(self.run(code, input=input))
        await self.world.clock.sleep(seconds)
        self.store.kill()
        running.cancel()
        await asyncio.wait([running])


# --- O-02 ---------------------------------------------------------------------------


@pytest.mark.parametrize("failures", [1, 2, 3])
@pytest.mark.parametrize("mode", MODES)
async def test_the_attempt_after_a_death_in_the_back_off_is_the_next_one(
    world: World, mode: Durability, failures: int
) -> None:
    # O-02, G7
    await Process(world, durability=mode).run_for(BACK_OFF * (failures - 0.5), breaks)
    assert starts == list(range(1, failures + 1))
    entry = await broken_entry(world)
    assert entry is not None
    assert (entry.status, entry.attempts) == ("retrying", failures)

    with pytest.raises(WorkflowFailed, match=r"after 4 attempts: .*boom 4"):
        await Process(world, durability=mode).run(breaks)
    assert starts == [1, 2, 3, 4]


async def test_a_death_in_each_back_off_costs_no_attempt(world: World) -> None:
    # O-02, G7: what is left of a back-off is waited for, no more
    began = world.clock.now()
    for _ in range(3):
        await Process(world).run_for(BACK_OFF, breaks)

    with pytest.raises(WorkflowFailed, match=r"boom 4"):
        await Process(world).run(breaks)
    assert starts == [1, 2, 3, 4]
    assert world.clock.now() - began == pytest.approx(3 * BACK_OFF)


# --- O-03 ---------------------------------------------------------------------------

UNWRITTEN: tuple[FaultKind, ...] = ("crash_before", "tear", "lose")


@pytest.mark.parametrize("kind", UNWRITTEN)
@pytest.mark.parametrize("mode", MODES)
async def test_a_failure_that_was_not_written_costs_one_start_for_each_death(
    world: World, mode: Durability, kind: FaultKind
) -> None:
    # O-03, G7
    for failure, deaths in product(range(1, 5), range(1, 4)):
        starts.clear()
        instance, stored = f"{failure} {deaths}", 0
        for death in range(deaths):
            # After the start and all failures before; or after a start that is
            # refused, as there is one already, and an OPEN.
            write = 3 if death else 1 + failure
            process = Process(world, Fault(write, kind), durability=mode)
            await process.run(breaks, instance)
            assert process.died
            entry = await broken_entry(world, instance)
            count = entry.attempts if entry else 0
            assert count >= stored
            stored = count
        assert stored == failure - 1
        assert starts == [*range(1, failure), *[failure] * deaths]

        with pytest.raises(WorkflowFailed, match=r"after 4 attempts: .*boom 4"):
            await Process(world, durability=mode).run(breaks, instance)
        assert len(starts) == 4 + deaths
        assert starts[-(4 - stored) :] == list(range(failure, 5))


# --- O-04 ---------------------------------------------------------------------------


async def check_first_failure(store: Store, clock: VirtualClock, wait: float) -> None:
    """Find in the store, from another process, that one attempt has failed."""
    handle = App(store, clock=clock).handle("i")
    (entry,) = await handle.history()
    assert (entry.status, entry.attempts) == ("retrying", 1)
    assert entry.error is not None
    assert (entry.error.type, entry.error.message) == ("ValueError", "boom 1")
    info = await handle.info()
    assert (info.status, info.wake_at) == ("suspended", entry.retry_at)
    assert info.wake_at == pytest.approx(clock.now() + wait)


@pytest.mark.parametrize("mode", MODES)
async def test_a_failure_is_in_the_store_when_drive_has_returned(
    store: Store, mode: Durability
) -> None:
    # O-04, G1 G7: the app closes its store, and another one opens it
    clock = VirtualClock()
    app = App(store, clock=clock, workflows=[breaks], durability=mode)
    await app.start(breaks, id="i")
    outcome = await app.drive("i")

    assert outcome.status == "suspended"
    await check_first_failure(store, clock, BACK_OFF)


@pytest.mark.parametrize("mode", MODES)
async def test_a_failure_is_in_the_store_when_a_worker_is_left_in_the_back_off(
    store: Store, mode: Durability
) -> None:
    # O-04, G1 G7: though the back-off would have been spent in memory
    clock = VirtualClock()
    app = App(store, clock=clock, workflows=[breaks], durability=mode, linger=1000)
    async with app:
        await app.start(breaks, id="i")
        await clock.sleep(1)
        assert starts == [1]
    assert clock.now() == VirtualClock().now() + 1

    await check_first_failure(store, clock, BACK_OFF - 1)


# --- O-05 ---------------------------------------------------------------------------

SIBLING = 60.0
INSIDE = "inside of the failing step"


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([INSIDE] * 5, [1, 1, 1, 1, 1, 1, 2]),
        ([10.0] * 5, [1, 2]),
        ([50.0] * 5, [1, 2]),
        ([INSIDE, 10.0, INSIDE, INSIDE, 50.0], [1, 1, 2, 2, 2]),
        ([10.0, INSIDE, INSIDE, INSIDE, INSIDE], [1, 2, 2, 2, 2, 2]),
    ],
)
@pytest.mark.parametrize("mode", MODES)
async def test_a_failing_branch_is_not_forgotten_while_its_sibling_runs(
    world: World, mode: Durability, ends: list[Any], expected: list[int]
) -> None:
    # O-05, S1, G7
    @workflow(name="both")
    async def both(ctx: Context) -> list[str]:
        sibling = ctx.step("sibling", long)
        found = await asyncio.gather(twice(), sibling, return_exceptions=True)
        return [str(each) for each in found]

    async def long() -> str:
        siblings.append(1)
        await world.clock.sleep(SIBLING)
        return "done"

    siblings: list[int] = []
    over = False
    for end in ends:
        process = Process(world, durability=mode)
        deadly[:] = [process.store.kill] if end == INSIDE else []
        before = len(starts)
        await process.run_for(SIBLING - 1 if end == INSIDE else end, both)
        assert process.died
        entry = await broken_entry(world)
        assert not over or len(starts) == before
        over = entry is not None and entry.status == "failed"
    deadly.clear()
    found = await Process(world, durability=mode).run(both)

    assert "after 2 attempts: ValueError: boom 2" in found[0]
    assert found[1] == "done"
    assert starts == expected
    assert len(starts) <= 2 + len(ends)
    assert len(siblings) == 1 + len(ends)


# --- O-06 ---------------------------------------------------------------------------


async def test_a_failure_that_was_caught_stays_one_over_five_boots(
    world: World,
) -> None:
    # O-06, G7 G8
    process = Process(world)
    ends: list[int] = []

    @workflow(name="falls back")
    async def falls_back(ctx: Context) -> str:
        try:
            await once()
        except StepError as error:
            caught = f"{error.kind} {error.error.message}"
        else:
            caught = "nothing"
        return f"{await ctx.step('deadly', die)}, after {caught}"

    async def die() -> str:
        ends.append(1)
        if len(ends) <= 5:
            process.store.kill()
        return "survived"

    for _ in range(5):
        await process.run(falls_back)
        assert process.died
        process = Process(world)

    assert await process.run(falls_back) == "survived, after exhausted boom 1"
    assert starts == [1]
    assert len(ends) == 6


# --- the seed -----------------------------------------------------------------------


@workflow(name="seed")
async def seed(ctx: Context, wait: float) -> list[Any]:
    """Fail twice, between things that are flushed too."""
    await ctx.status("begun")
    try:
        await broken.using(retry=Retry(attempts=2, first=wait, jitter=0))()
    except StepError as error:
        caught = [error.kind, error.attempts, error.error.message]
    else:
        caught = []
    await ctx.sleep(10)
    return caught


async def clean_writes(world: World, mode: Durability, wait: float) -> int:
    process = Process(world, durability=mode)
    assert await process.run(seed, "clean", wait) == SEED
    assert starts == [1, 2]
    return process.store.writes


waits = pytest.mark.parametrize("wait", [0.05, 20.0], ids=["in memory", "suspended"])
SEED = ["exhausted", 2, "boom 2"]
CRASHES: tuple[FaultKind, ...] = ("crash_before", "crash_after", "tear")


@waits
@pytest.mark.parametrize("mode", MODES)
async def test_a_step_that_may_start_twice_starts_once_more_for_each_death(
    world: World, mode: Durability, wait: float
) -> None:
    # O-02 O-03, G7: a death at every write of one process, and of the next
    writes = await clean_writes(world, mode, wait)
    assert writes >= 4
    first = [Fault(at, kind) for at in range(1, writes + 1) for kind in CRASHES]
    second = [Fault(at, kind) for at in range(1, 5) for kind in CRASHES[:2]]
    if mode != "step":
        second = second[:2]
    plans = [(one, other) for one in first for other in (None, *second)]
    for number, plan in enumerate(plans):
        starts.clear()
        deaths, over, found = 0, False, None
        for fault in (*plan, None):
            process = Process(world, *([fault] if fault else []), durability=mode)
            before = len(starts)
            found = await process.run(seed, f"{number}", wait)
            deaths += process.died
            assert not over or len(starts) == before, plan
            entry = await broken_entry(world, f"{number}")
            over = entry is not None and entry.status == "failed"
        assert found == SEED
        assert len(starts) <= 2 + deaths, plan
        assert sorted(starts) == starts
        assert set(starts) == {1, 2}


@waits
@pytest.mark.parametrize("mode", MODES)
async def test_a_death_after_each_failure_costs_one_start_each(
    world: World, mode: Durability, wait: float
) -> None:
    # O-03, G7: it dies as soon as the function has raised
    for deaths in range(1, 6):
        starts.clear()
        for _ in range(deaths):
            process = Process(world, durability=mode)
            deadly[:] = [process.store.kill]
            await process.run(seed, f"{deaths}", wait)
            assert process.died

        assert (
            await Process(world, durability=mode).run(seed, f"{deaths}", wait) == SEED
        )
        assert starts == [1] * (deaths + 1) + [2]


@pytest.mark.parametrize("mode", MODES)
async def test_no_attempt_begins_while_the_failure_before_it_is_written(
    world: World, mode: Durability
) -> None:
    # O-03, S1, G7: it dies while its store does not answer
    process = Process(world, Fault(2, "time_out", seconds=10), durability=mode)
    await process.run_for(5, seed, 0.05)
    assert starts == [1]

    assert await Process(world, durability=mode).run(seed, input=0.05) == SEED
    assert starts == [1, 1, 2]
