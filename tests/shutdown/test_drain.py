"""An app whose process is told to end: at once, within the grace, and afterwards."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, current_step, step, workflow
from edgeflow.engine.shutdown import Guard
from edgeflow.errors import ProcessEnding
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from edgeflow import Outcome, Workflow
    from tests.conftest import World

TERM = signal.SIGTERM
GRACE = 8.0
DEADLINE = 10.0  # real seconds for what a store does in a thread


class Told:
    """A process that can be told to end, with a guard of its own."""

    def __init__(
        self, world: World, *workflows: Workflow[Any, Any], **settings: Any
    ) -> None:
        self.guard = Guard(leave=lambda _: None)
        self.app = world.process(*workflows, grace=GRACE, poll=1.0, **settings)
        self.app.session.guard = self.guard

    def to_end(self) -> None:
        self.guard.hear(TERM)

    @property
    def is_drained(self) -> bool:
        return self.guard.is_drained


async def turns_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0)


async def completed(world: World) -> list[str]:
    return [
        entry.name for entry in await world.history() if entry.status == "completed"
    ]


class Work:
    """A step that tells of itself, and ends when it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.attempts: list[int] = []
        self.begun, self.told, self.let_go = (asyncio.Event() for _ in range(3))

        @step
        async def work() -> str:
            self.calls += 1
            self.attempts.append(current_step().attempt)
            self.begun.set()
            await current_step().stopping
            self.told.set()
            await self.let_go.wait()
            return "worked"

        @step
        async def quick(n: int) -> int:
            return n

        @workflow(name="body")
        async def body(ctx: Context) -> str:
            for n in range(3):
                await quick(n)
            return await work() + await work()

        self.body = body


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    work = Work()
    yield work
    work.let_go.set()


async def suspended(running: Awaitable[Outcome[Any]]) -> None:
    assert (await running).status == "suspended"


async def test_at_once_what_is_dirty_is_flushed_and_the_step_is_told(
    world: World, work: Work
) -> None:
    # P-07 M-16 G1
    process = Told(world, work.body, durability="suspend", max_dirty_age=1e6)
    await world.start(work.body)
    running = asyncio.create_task(process.app.drive("i"))
    await work.begun.wait()
    assert await completed(world) == []
    commits, now = world.commits, world.clock.now()

    process.to_end()
    await work.told.wait()
    await turns_until(lambda: world.commits > commits)

    assert await completed(world) == ["quick"] * 3
    assert world.clock.now() == now
    assert not process.is_drained
    work.let_go.set()
    await suspended(running)


async def test_a_step_that_ends_within_the_grace_is_recorded_and_none_follows(
    world: World, work: Work
) -> None:
    # P-07
    process = Told(world, work.body)
    await world.start(work.body)
    running = asyncio.create_task(process.app.drive("i"))
    await work.begun.wait()

    process.to_end()
    await work.told.wait()
    await world.clock.sleep(GRACE - 0.1)
    work.let_go.set()
    await suspended(running)

    assert await completed(world) == [*["quick"] * 3, "work"]
    assert work.calls == 1
    assert process.is_drained


async def test_a_step_that_does_not_is_cut_off_which_is_no_failure(
    world: World, work: Work
) -> None:
    # P-07 G7
    process = Told(world, work.body)
    await world.start(work.body)
    running = asyncio.create_task(process.app.drive("i"))
    await work.begun.wait()
    began = world.clock.now()

    process.to_end()
    await suspended(running)

    assert world.clock.now() - began == pytest.approx(GRACE)
    assert "retrying" not in [entry.status for entry in await world.history()]
    other = Told(world, work.body)
    again = asyncio.create_task(other.app.drive("i"))
    await turns_until(lambda: work.calls == 2)
    assert work.attempts == [1, 1]
    work.let_go.set()
    other.to_end()
    await suspended(again)


async def test_another_process_goes_on_at_once_without_waiting_for_a_lease(
    world: World, work: Work
) -> None:
    # P-08 G1
    process = Told(world, work.body, lease=1e6)
    await world.start(work.body)
    running = asyncio.create_task(process.app.drive("i"))
    await work.begun.wait()
    assert await world.process(work.body).run_due() == []
    work.let_go.set()

    process.to_end()
    await suspended(running)

    now = world.clock.now()
    other = Told(world, work.body)
    due = asyncio.create_task(other.app.run_due())
    await turns_until(lambda: work.calls == 2)
    assert world.clock.now() == now
    other.to_end()
    await due


async def test_claiming_stops_and_what_was_claimed_is_given_back(world: World) -> None:
    # P-07 P-08
    @step
    async def hold() -> None:
        await current_step().stopping

    @workflow
    async def body(ctx: Context) -> None:
        await hold()

    for n in range(103):  # more than are run at once
        await world.start(body, instance=f"i{n}")
    process = Told(world, body, lease=1e6)
    due = asyncio.create_task(process.app.run_due())
    await turns_until(lambda: process.app.session.is_open)
    worker = process.app.session._worker  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    assert worker is not None
    await turns_until(lambda: len(worker.runs) == 100)

    process.to_end()
    outcomes = await due

    assert [outcome.status for outcome in outcomes] == ["suspended"] * 100
    assert process.is_drained
    claimed = await world.store.claim(world.clock.now(), 200, 1.0, "another")
    assert len(claimed) == 103


class Claiming(MemoryStore):
    """Is slow to say what was claimed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def claim(self, now: float, limit: int, lease: float, worker: str) -> Any:
        found = await super().claim(now, limit, lease, worker)
        if found:
            self.asked.set()
            await self.answer.wait()
        return found


async def test_what_is_claimed_while_the_process_is_told_is_given_back() -> None:
    # P-08 G10
    entered: list[str] = []

    @workflow
    async def body(ctx: Context) -> None:
        entered.append(ctx.id)

    store, guard = Claiming(), Guard(leave=lambda _: None)
    app = App(store, workflows=[body], config={})
    app.session.guard = guard
    await app.start(body, id="i")
    async with app.session.using(serves=True):
        await store.asked.wait()
        guard.hear(TERM)
        await asyncio.sleep(0)
        store.answer.set()
        await turns_until(lambda: guard.is_drained)

    assert entered == []
    other = App(store, workflows=[body], config={})
    assert [outcome.status for outcome in await other.run_due()] == ["completed"]


async def test_nothing_is_run_any_more(world: World, work: Work) -> None:
    # P-07
    process = Told(world, work.body)
    await world.start(work.body)
    async with process.app.session.using(serves=True):
        await work.begun.wait()
        process.to_end()
        with pytest.raises(ProcessEnding, match="was told to end"):
            await process.app.drive("j")
        work.let_go.set()
        await turns_until(lambda: process.is_drained)
        with pytest.raises(ProcessEnding):
            await process.app.run(work.body, id="j")


async def test_a_hundred_parked_instances_do_not_hold_it_up_and_wake_elsewhere(
    world: World,
) -> None:
    # P-10 G1
    @workflow
    async def message(ctx: Context) -> Any:
        return (await ctx.receive("go")).body

    @workflow
    async def day(ctx: Context) -> str:
        await ctx.sleep(86_400)
        return "rested"

    process = Told(world, message, day)
    async with process.app.session.using(serves=True) as worker:
        for n in range(50):
            await process.app.start(message, id=f"m{n}")
            await process.app.start(day, id=f"d{n}")
        await turns_until(
            lambda: sum(run.resting is not None for run in worker.runs.values()) == 100
        )
        now, commits = world.clock.now(), world.commits
        process.to_end()
        await turns_until(lambda: process.is_drained)

        assert not worker.runs
    assert (world.clock.now(), world.commits) == (now, commits)

    for n in range(50):
        await world.handle(f"m{n}").send("go", n)
    outcomes = await world.run_due(message, day)
    assert {outcome.output for outcome in outcomes} == set(range(50))
    assert len(outcomes) == 50
    world.clock.advance(86_400)
    assert [o.output for o in await world.run_due(message, day)] == ["rested"] * 50


async def test_a_wait_for_a_result_ends_with_the_process(world: World) -> None:
    # P-10
    @workflow
    async def body(ctx: Context) -> None:
        await ctx.receive("never")

    process = Told(world, body)
    running = asyncio.create_task(process.app.run(body, id="i"))
    await turns_until(lambda: process.app.session.is_open)
    await turns_until(lambda: world.commits >= 2)

    process.to_end()

    with pytest.raises(ProcessEnding):
        await running
    assert (await world.info()).status == "suspended"


async def test_it_may_be_told_while_it_opens(world: World) -> None:
    # P-07 P-08
    began, go_on = asyncio.Event(), asyncio.Event()

    class Slow(MemoryStore):
        is_open = False

        async def open(self) -> None:
            began.set()
            await go_on.wait()
            await super().open()
            self.is_open = True

        async def close(self) -> None:
            self.is_open = False

    @workflow
    async def body(ctx: Context) -> None: ...

    store = Slow()
    process = Told(world, body, store=store)
    running = asyncio.create_task(process.app.run(body, id="i"))
    await began.wait()
    process.to_end()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not process.is_drained  # else nobody would end it if this hangs
    go_on.set()

    with pytest.raises(ProcessEnding):
        await running

    assert process.is_drained
    assert not store.is_open
    assert not process.app.session.is_open
