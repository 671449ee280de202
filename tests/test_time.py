"""Sleeping, and timers of asyncio (CONFORMANCE C-01 to C-04, C-07, C-08)."""

from __future__ import annotations

import asyncio
import time
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, ReceiveTimeout, WorkflowFailed, step, workflow
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from edgeflow import Outcome, Workflow
    from edgeflow.store import Commit, Committed, Head, Store


@dataclass
class World:
    """A store and a clock; every `process` starts with nothing in memory."""

    store: Store = field(default_factory=MemoryStore)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.began = self.clock.now()

    def process(self, code: Workflow[None, Any]) -> App:
        return App(self.store, workflows=[code], clock=self.clock)

    async def start(self, code: Workflow[None, Any]) -> None:
        await self.process(code).start(code, id="i")

    async def drive(self, code: Workflow[None, Any]) -> Outcome[Any]:
        """Drive once, in a process of its own."""
        return await self.process(code).drive("i")

    async def finish(self, code: Workflow[None, Any]) -> Outcome[Any]:
        """Drive in process after process, each at the wake time, until it ends."""
        while (outcome := await self.drive(code)).status == "suspended":
            assert outcome.wake_at is not None
            self.pass_time_until(outcome.wake_at)
        return outcome

    def pass_time_until(self, when: float) -> None:
        self.clock.advance(when - self.clock.now())

    async def head(self) -> Head:
        loaded = await self.store.load("i")
        assert loaded is not None
        return loaded.head


@pytest.fixture
def world() -> World:
    return World()


# C-01  G1 G10
@pytest.mark.parametrize("duration", [10, 10.0, timedelta(seconds=10)])
async def test_a_sleep_suspends_with_its_wake_time_and_ends_at_it(
    world: World, duration: float | timedelta
) -> None:
    @workflow
    async def code(ctx: Context) -> str:
        await ctx.sleep(duration)
        return "awake"

    await world.start(code)
    outcome = await world.drive(code)
    assert outcome.status == "suspended"
    assert outcome.wake_at == world.began + 10
    assert (await world.head()).status == "suspended"
    assert (await world.head()).wake_at == world.began + 10

    world.pass_time_until(world.began + 10)
    outcome = await world.drive(code)
    assert (outcome.status, outcome.output) == ("completed", "awake")
    assert outcome.wake_at is None
    assert (await world.head()).wake_at is None
    assert (await world.process(code).handle("i").info()).wake_at is None


# C-01
async def test_a_year_passes_in_no_time(world: World) -> None:
    @workflow
    async def code(ctx: Context) -> None:
        await ctx.sleep(timedelta(days=365))

    real = time.perf_counter()
    await world.process(code).run(code)

    assert time.perf_counter() - real < 1
    assert world.clock.now() == pytest.approx(world.began + 365 * 86400, abs=0.1)


# C-01
async def test_sleep_until_ends_at_that_moment(world: World) -> None:
    moment = datetime.fromtimestamp(world.began + 90, UTC)

    @workflow
    async def code(ctx: Context) -> None:
        await ctx.sleep(30)
        await ctx.sleep_until(moment.astimezone())

    await world.process(code).run(code)

    assert world.clock.now() == pytest.approx(world.began + 90, abs=0.01)


# C-02  G10
async def test_early_looks_and_a_crash_do_not_move_the_wake_time(world: World) -> None:
    @workflow
    async def code(ctx: Context) -> None:
        await ctx.sleep(10)

    await world.start(code)
    began, app = world.began, world.process(code)
    outcomes = [await app.drive("i")]
    world.pass_time_until(began + 3)
    outcomes.append(await app.drive("i"))
    world.pass_time_until(began + 5)
    await app.handle("i").wake()
    outcomes.append(await app.drive("i"))
    world.pass_time_until(began + 7)
    after = World(deepcopy(world.store), world.clock)  # crash
    for moment in (8, 9.999):
        after.pass_time_until(began + moment)
        outcomes.append(await after.drive(code))

    assert {outcome.status for outcome in outcomes} == {"suspended"}
    assert {outcome.wake_at for outcome in outcomes} == {began + 10}
    assert (await after.head()).wake_at == began + 10
    after.pass_time_until(began + 10)
    assert (await after.drive(code)).status == "completed"


# C-02  G10: whoever stays wakes up at that time as well.
async def test_a_process_that_stays_wakes_up_at_the_wake_time(world: World) -> None:
    @workflow
    async def code(ctx: Context) -> None:
        await ctx.sleep(10)

    await world.process(code).run(code)

    assert world.clock.now() == pytest.approx(world.began + 10, abs=1e-3)


# C-03
async def test_a_sleep_under_the_linger_is_spent_in_the_same_drive(
    world: World,
) -> None:
    world.store = store = RecordingStore(world.store)

    @workflow
    async def code(ctx: Context) -> None:
        await ctx.sleep(0.05)

    await world.start(code)
    outcome = await world.drive(code)

    assert outcome.status == "completed"
    assert world.clock.now() == pytest.approx(world.began + 0.05, abs=1e-6)
    commits = [(commit.status, commit.wake_at) for commit in store.commits]
    assert commits == [
        ("pending", None),
        ("running", None),
        ("suspended", world.began + 0.05),
        ("completed", None),
    ]
    assert (await world.head()).wake_at is None


# C-03
@pytest.mark.parametrize("how", ["zero", "negative", "past"])
async def test_a_sleep_that_is_over_already_returns_at_once(
    world: World, how: str
) -> None:
    world.store = store = RecordingStore(world.store)

    @workflow
    async def code(ctx: Context) -> None:
        match how:
            case "zero":
                await ctx.sleep(0)
            case "negative":
                await ctx.sleep(timedelta(seconds=-5))
            case _:
                await ctx.sleep_until(ctx.now() - timedelta(days=1))

    await world.start(code)
    outcome = await world.drive(code)

    assert outcome.status == "completed"
    assert world.clock.now() == world.began
    assert [c.status for c in store.commits] == ["pending", "running", "completed"]


# C-03
async def test_a_naive_moment_is_refused_by_name(world: World) -> None:
    @workflow
    async def code(ctx: Context) -> None:
        await ctx.sleep_until(datetime(2030, 1, 2, 3, 4))  # noqa: DTZ001

    with pytest.raises(
        WorkflowFailed, match=r"sleep_until\(2030-01-02.*naive"
    ) as failed:
        await world.process(code).run(code)

    assert failed.value.error.type == "ValueError"


class Tape(MemoryStore):
    """Keeps a copy of itself after each commit: what a crash then leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[MemoryStore] = []

    async def commit(self, instance: str, commit: Commit) -> Committed:
        answer = await super().commit(instance, commit)
        twin = MemoryStore()
        kept = {name: each for name, each in vars(self).items() if name != "copies"}
        vars(twin).update(deepcopy(kept))
        self.copies.append(twin)
        return answer


# C-04  G3 G10
async def test_after_a_crash_at_any_write_run_due_finds_the_instance() -> None:
    tape = Tape()
    world = World(tape)

    @step
    async def work() -> int:
        return 7

    @workflow
    async def code(ctx: Context) -> int:
        value = await work()
        await ctx.sleep(60)
        return value

    await world.start(code)
    outcome = await world.drive(code)
    assert outcome.wake_at is not None
    statuses = [(await World(copy).head()).status for copy in tape.copies]
    assert statuses == ["pending", "running", "running", "suspended"]

    for copy, status in zip(tape.copies, statuses, strict=True):
        after = World(copy, VirtualClock(outcome.wake_at))
        (found,) = await after.process(code).run_due()
        # Before the step was durable, the sleep begins now.
        begins = status == "pending" or copy is tape.copies[1]
        assert found.status == ("suspended" if begins else "completed")
        assert (await after.finish(code)).output == 7


# C-07  G9 G10
@pytest.mark.parametrize("how", ["asyncio.sleep", "call_later"])
async def test_timers_of_asyncio_are_durable(world: World, how: str) -> None:
    @workflow
    async def code(ctx: Context) -> int:
        fired: list[str] = []
        if how == "asyncio.sleep":
            await asyncio.sleep(3600)
            fired.append("slept")
        else:
            event = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.call_later(3600, fired.append, "called")
            loop.call_later(3600, event.set)
            await event.wait()
        await ctx.sleep(7200)
        return len(fired)

    await world.start(code)
    outcome = await world.drive(code)
    assert outcome.status == "suspended"
    assert outcome.wake_at == world.began + 3600
    world.pass_time_until(world.began + 3600)
    outcome = await world.drive(code)
    assert outcome.wake_at == world.began + 3600 + 7200
    assert (await world.finish(code)).output == 1
    entries = await world.process(code).handle("i").history()
    timers = 1 if how == "asyncio.sleep" else 2
    assert [e.kind for e in entries] == ["timer"] * timers + ["sleep"]
    assert {e.status for e in entries} == {"completed"}


# C-07
async def test_asyncio_sleep_of_nothing_records_nothing(world: World) -> None:
    @workflow
    async def code(_ctx: Context) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    app = world.process(code)
    await app.run(code, id="i")

    assert await app.handle("i").history() == []


# C-08  G10
async def test_the_wake_time_is_that_of_the_next_thing_to_happen(world: World) -> None:
    @workflow
    async def code(ctx: Context) -> list[str]:
        found = await asyncio.gather(
            ctx.sleep(5),
            ctx.sleep(3),
            ctx.receive("a", timeout=4),
            return_exceptions=True,
        )
        return [type(each).__name__ for each in found]

    await world.start(code)
    seen: list[tuple[float, tuple[str, ...]]] = []
    while (outcome := await world.drive(code)).status == "suspended":
        assert outcome.wake_at is not None
        assert (await world.head()).wake_at == outcome.wake_at
        seen.append((outcome.wake_at - world.began, outcome.awaiting))
        world.pass_time_until(outcome.wake_at)

    assert seen == [(3, ("a",)), (4, ("a",)), (5, ())]
    assert outcome.output == ["NoneType", "NoneType", ReceiveTimeout.__name__]
