"""What begins at once must not run ahead of what else there is to do.

Steps and flushes that wait for nothing are done in the callback that began them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    Context,
    Retry,
    StoreUnavailable,
    UnknownInstance,
    current_step,
    step,
    workflow,
)
from edgeflow.testing import RecordingStore, VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from edgeflow import Event
    from edgeflow.store import Commit, Committed

MODES = ("step", "behind", "suspend")


@step
async def computes(seconds: float) -> float:
    """Take time, and give the loop none."""
    current_step().resources.advance(seconds)
    return seconds


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def app_for(clock: VirtualClock, body: Any, store: Any = None, **options: Any) -> App:
    class Resources:
        async def __aenter__(self) -> VirtualClock:
            return clock

        async def __aexit__(self, *_: object) -> None: ...

    return App(
        store or MemoryStore(),
        workflows=[workflow(name="w")(body)],
        clock=clock,
        lifespan=Resources,
        config={},
        **options,
    )


@pytest.mark.parametrize("mode", MODES)
async def test_a_deadline_comes_beside_steps_that_wait_for_nothing(
    clock: VirtualClock, mode: Any
) -> None:
    # E-14 B-05
    async def body(ctx: Context) -> str:
        try:
            async with asyncio.timeout(5):
                for _ in range(400):
                    await computes(0.1)
        except TimeoutError:
            return "late"
        return "never late"

    began = clock.now()
    assert await app_for(clock, body, durability=mode).run("w") == "late"
    assert clock.now() - began < 6


@pytest.mark.parametrize("mode", MODES)
async def test_a_message_is_heard_beside_steps_that_wait_for_nothing(
    clock: VirtualClock, mode: Any
) -> None:
    # K-05 G11
    @step
    async def sends() -> None:
        await app.handle("i").send("stop")

    async def works() -> None:
        for n in range(300):
            await (sends() if n == 5 else computes(0.1))

    async def body(ctx: Context) -> str:
        return (await ctx.race(work=works(), stop=ctx.receive("stop"))).name

    app = app_for(clock, body, durability=mode)
    began = clock.now()
    assert await app.run("w", id="i") == "stop"
    assert clock.now() - began < 10


@pytest.mark.parametrize("mode", MODES)
async def test_another_branch_has_its_turn_beside_steps_that_wait_for_nothing(
    clock: VirtualClock, mode: Any
) -> None:
    # L-02 E-05: a back-off, an intent and a sleep
    began, seen = clock.now(), dict[str, float]()

    def note(name: str) -> None:
        seen[name] = clock.now() - began

    @step(retry=Retry(attempts=2, first=0.5, jitter=0))
    async def shaky() -> None:
        if current_step().attempt == 1:
            raise OSError
        note("shaky")

    @step(at_most_once=True)
    async def once() -> None:
        note("once")

    async def busy() -> None:
        for _ in range(160):
            await computes(0.25)

    async def nap(ctx: Context) -> None:
        await ctx.sleep(1)
        note("nap")

    async def body(ctx: Context) -> None:
        await asyncio.gather(busy(), shaky(), once(), nap(ctx))

    await app_for(clock, body, durability=mode).run("w")
    assert max(seen.values()) < 4, seen


async def test_what_is_dirty_grows_no_older_than_it_may(clock: VirtualClock) -> None:
    # M-22
    async def body(ctx: Context) -> None:
        for _ in range(100):
            await computes(0.5)

    store = RecordingStore(MemoryStore())
    await app_for(clock, body, store, durability="suspend").run("w")

    times = [commit.now for commit in store.commits]
    assert max(after - before for before, after in pairwise(times)) <= 2


async def test_steps_that_block_give_the_loop_its_turns(clock: VirtualClock) -> None:
    # No more begins in a turn of the loop that has taken long already.
    loop, turns = asyncio.get_running_loop(), list[int]()

    @step
    async def blocks() -> None:
        until = loop.time() + 0.006
        while loop.time() < until:
            pass
        turns.append(ticks)

    async def body(ctx: Context) -> None:
        for _ in range(10):
            await blocks()

    ticks, is_over = 0, False

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if not is_over:
            loop.call_soon(tick)

    tick()
    await app_for(clock, body).run("w")
    is_over = True

    assert len(set(turns)) == 10


def test_a_flush_that_is_interrupted_leaves_no_hole() -> None:
    # G3 P-08
    calls: Counter[str] = Counter()

    class Interrupted(MemoryStore):
        count = 0

        async def commit(self, instance: str, commit: Commit) -> Committed:
            self.count += 1
            if self.count == 2:
                raise KeyboardInterrupt
            return await super().commit(instance, commit)

    @step
    async def first() -> int:
        calls["first"] += 1
        return 1

    @step
    async def long() -> int:
        calls["long"] += 1
        try:
            await asyncio.sleep(3)
        except asyncio.CancelledError:
            return 2  # it cleans up, and answers
        return 2

    @workflow
    async def body(ctx: Context) -> int:
        return await first() + await long()

    async def run() -> int:
        app = App(store, workflows=[body], durability="suspend", config={})
        async with app:
            return await app.run(body, id="i")

    store = Interrupted()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        running = loop.create_task(run())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(running)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(running)
        asyncio.set_event_loop(None)

    clock = VirtualClock()
    again = App(store, workflows=[body], durability="suspend", config={}, clock=clock)
    assert asyncio.run(again.run(body, id="i")) == 3
    assert calls["first"] == 2


@pytest.mark.parametrize("how", ["message", "sleep"])
async def test_no_more_go_on_at_once_than_may_run(
    clock: VirtualClock, how: str
) -> None:
    # K-09
    at_once: list[int] = []
    running: set[str] = set()

    @step
    async def works() -> None:
        me = current_step().instance
        running.add(me)
        at_once.append(len(running))
        await clock.sleep(1)
        running.discard(me)

    async def body(ctx: Context) -> None:
        await (ctx.receive("go") if how == "message" else ctx.sleep(60))
        await works()

    async with app_for(clock, body, max_running=2) as app:
        handles = [await app.start("w", id=str(n)) for n in range(10)]
        await clock.sleep(5)
        for handle in handles if how == "message" else ():
            await handle.send("go")
        for handle in handles:
            await handle.result()

    assert max(at_once) == 2


async def test_a_message_that_nobody_awaits_leaves_what_is_parked_alone(
    clock: VirtualClock,
) -> None:
    # G10 M-03
    events: list[Event] = []

    async def body(ctx: Context) -> None:
        await ctx.receive("go")

    store = RecordingStore(MemoryStore())
    async with app_for(clock, body, store, observers=[events.append]) as app:
        await app.start("w", id="i")
        await clock.sleep(5)
        before = len(store.commits), len(events)
        for _ in range(3):
            await app.handle("i").send("other")
            await clock.sleep(5)

        assert (len(store.commits), len(events)) == before
        await app.handle("i").send("go")
        await app.handle("i").result()


async def test_who_waits_for_what_is_deleted_hears_that_it_is_not_there(
    clock: VirtualClock,
) -> None:
    # G-14
    async def body(ctx: Context) -> None:
        await ctx.receive("go")

    async with app_for(clock, body) as app:
        waits = asyncio.ensure_future(app.run("w", id="i"))
        await clock.sleep(5)
        await app.handle("i").delete()
        with pytest.raises(UnknownInstance):
            await waits


async def test_a_flush_that_is_cancelled_before_it_begins_gives_its_run_up() -> None:
    # G3: as when `asyncio.run` cancels all tasks, on a loop that begins none at once
    is_armed = False

    def factory(loop: Any, work: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **options)
        if is_armed and work.__qualname__ == "Flusher._fly":
            task.cancel()
        return task

    @step
    async def arm() -> None:
        nonlocal is_armed
        is_armed = True

    async def body(ctx: Context) -> None:
        await arm()

    asyncio.get_running_loop().set_task_factory(factory)
    with pytest.raises(StoreUnavailable, match="CancelledError"):
        await app_for(VirtualClock(), body).run("w")


async def test_no_task_of_the_host_is_current_while_a_body_runs() -> None:
    # G13: from 3.14 on, none of the body's tasks could begin beside it
    class Slow(MemoryStore):
        async def commit(self, instance: str, commit: Commit) -> Committed:
            await asyncio.sleep(0)
            return await super().commit(instance, commit)

    host = asyncio.get_running_loop()
    found: list[object] = []

    async def body(ctx: Context) -> None:
        for _ in range(2):
            found.append(asyncio.current_task(host))
            await computes(0)

    mine = asyncio.current_task()
    await app_for(VirtualClock(), body, Slow()).run("w")
    assert found == [None, None]
    assert asyncio.current_task() is mine
