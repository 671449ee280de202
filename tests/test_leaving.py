"""Leaving a run, or an app, before its end: what has begun may end, and is recorded."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from edgeflow import App, Context, StoreUnavailable, WorkflowFailed, step, workflow
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow import Workflow
    from edgeflow.store import Commit, Committed


class Worn(MemoryStore):
    """Takes so many commits, and no more: what goes round in circles ends."""

    def __init__(self, commits: int) -> None:
        super().__init__()
        self.left = commits

    async def commit(self, instance: str, commit: Commit) -> Committed:
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailable("too many commits")
        return await super().commit(instance, commit)


class Far(MemoryStore):
    """Takes its time to tell what is due."""

    def __init__(self, clock: VirtualClock, seconds: float = 0.1) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = seconds
        self.asked = asyncio.Event()

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        self.asked.set()
        await self.clock.sleep(self.seconds)
        return await super().claim(now, limit, lease, worker)


def in_a_hurry(clock: VirtualClock) -> Workflow[None, str]:
    """Five steps of a second, which have an hour."""

    @step
    async def tick() -> None:
        await clock.sleep(1)

    @workflow
    async def hurried(ctx: Context) -> str:
        async with asyncio.timeout(3600):
            for _ in range(5):
                await tick()
        return "in time"

    return hurried


async def test_a_run_that_is_cancelled_ends_its_step_though_others_use_the_app() -> (
    None
):
    # G1 P-07
    entered, let_go = asyncio.Event(), asyncio.Event()

    @step
    async def slow() -> int:
        entered.set()
        await let_go.wait()
        return 7

    @workflow
    async def body(ctx: Context) -> int:
        return await slow() + await slow()

    app = App(MemoryStore(), workflows=[body])
    async with app.session.using():  # somebody else, who keeps it open
        running = asyncio.create_task(app.run(body, id="i"))
        await entered.wait()
        running.cancel()
        await asyncio.sleep(0)
        assert not running.done()
        let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await running

        [entry] = await app.handle("i").history()
        assert (entry.status, entry.value) == ("completed", 7)
        assert (await app.handle("i").info()).status == "suspended"


async def test_an_app_is_left_at_once_though_somebody_stays_for_what_it_runs() -> None:
    clock = VirtualClock()
    ticks = 0

    @step
    async def tick() -> None:
        nonlocal ticks
        await clock.sleep(1)
        ticks += 1

    @workflow
    async def long(ctx: Context) -> str:
        for _ in range(100):
            await tick()
        return "done"

    app = App(Worn(1000), workflows=[long], clock=clock)
    async with app:
        running = asyncio.create_task(app.run(long))
        await clock.sleep(1.5)
    assert ticks == 2
    assert not running.done()

    assert await running == "done"
    assert ticks == 100


async def test_an_app_is_left_with_the_first_failure_of_many_that_call_children() -> (
    None
):
    clock = VirtualClock()

    @step
    async def work() -> int:
        await clock.sleep(1)
        return 1

    @workflow
    async def child(ctx: Context) -> int:
        return await work() + await work()

    @workflow
    async def parent(ctx: Context, n: int) -> int:
        if n == 0:
            raise ValueError("no")
        return await work() + await ctx.call(child)

    store = Worn(200)
    app = App(store, workflows=[parent, child], clock=clock)
    runs = [asyncio.ensure_future(app.run(parent, n, id=f"p{n}")) for n in range(2)]
    with pytest.raises(WorkflowFailed, match="no"):
        async with app:
            await asyncio.gather(*runs)

    assert store.left > 0
    assert await runs[1] == 3


async def test_who_enters_an_app_while_another_one_leaves_it_is_served() -> None:
    # G10
    clock = VirtualClock()

    @workflow
    async def naps(ctx: Context) -> str:
        await ctx.sleep(3)
        return "done"

    store = Far(clock)
    app = App(store, workflows=[naps], clock=clock)

    async def leave() -> None:
        async with app:
            await store.asked.wait()

    async def enter() -> str:
        async with app:
            handle = await app.start(naps)
            return await handle.result(timeout=60)

    leaving = asyncio.create_task(leave())
    await store.asked.wait()
    await asyncio.sleep(0)
    assert await enter() == "done"
    await leaving


@pytest.mark.parametrize("how", ["the app is left", "another one leaves", "a deadline"])
async def test_what_is_suspended_before_its_time_goes_on_for_who_stays_for_it(
    how: str,
) -> None:
    # G10: it is due at once, though its timer says otherwise
    clock = VirtualClock()
    hurried = in_a_hurry(clock)
    app = App(MemoryStore(), workflows=[hurried], clock=clock)
    began = clock.now()
    async with AsyncExitStack() as stack:
        if how == "the app is left":
            await stack.enter_async_context(app)
        running = asyncio.create_task(app.run(hurried, id="i"))
        await clock.sleep(1.5)
        if how == "another one leaves":
            running.cancel()
            await asyncio.sleep(0)
            running = asyncio.create_task(app.run(hurried, id="i"))
        elif how == "a deadline":
            assert (await app.drive("i", deadline=3)).status == "suspended"

    assert await running == "in time"
    assert clock.now() < began + 10


async def test_an_app_is_left_though_a_step_runs_another_instance_meanwhile() -> None:
    clock = VirtualClock()
    attempts = 0

    @workflow
    async def inner(ctx: Context) -> str:
        return "inner"

    @step
    async def runs() -> str:
        nonlocal attempts
        attempts += 1
        await clock.sleep(1)
        return await app.run(inner)

    @workflow
    async def outer(ctx: Context) -> str:
        return await runs()

    app = App(MemoryStore(), workflows=[inner, outer], clock=clock)
    async with app.session.using(runs=True):
        async with app:
            await app.start(outer, id="o")
            await clock.sleep(0.5)
            began = clock.now()
        assert clock.now() - began < 2

        assert await app.run(outer, id="o") == "inner"
    assert attempts == 1


async def test_who_comes_during_a_drain_waits_for_no_timer_of_what_it_put_away() -> (
    None
):
    # G10
    clock = VirtualClock()
    store = Far(clock, seconds=5)  # the last look takes longer than the step
    hurried = in_a_hurry(clock)
    app = App(store, workflows=[hurried], clock=clock)
    began = clock.now()

    async def leave() -> None:
        async with app:
            await app.start(hurried, id="i")
            await clock.sleep(0.5)

    leaving = asyncio.create_task(leave())
    await clock.sleep(0.6)
    running = asyncio.create_task(app.run(hurried, id="i"))
    await leaving

    assert await running == "in time"
    assert clock.now() < began + 20
