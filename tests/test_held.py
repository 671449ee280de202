"""Code of an instance runs only while no other process can have claimed it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgeflow import Context, step, workflow
from tests.conftest import Shared

if TYPE_CHECKING:
    from edgeflow.store import Commit, Committed, Store
    from tests.conftest import World

SLOW = 0.3
"""Seconds that a commit takes: more than the linger."""

calls: list[str] = []


@step
async def work() -> None:
    calls.append("here")


@workflow
async def sleeps(ctx: Context, seconds: float) -> None:
    await ctx.sleep(seconds)
    await work()


@workflow
async def hears(ctx: Context) -> None:
    await ctx.receive("news")
    await work()


class Slow(Shared):
    """Answers that an instance rests only after some time, though it is written."""

    def __init__(self, inner: Store, world: World) -> None:
        super().__init__(inner)
        self._world = world
        self.rests = asyncio.Event()

    async def commit(self, instance: str, commit: Commit) -> Committed:
        answer = await super().commit(instance, commit)
        if commit.status == "suspended":
            self.rests.set()
            await self._world.clock.sleep(SLOW)
        return answer


async def claimed(world: World, ahead: float = 0.0) -> list[str]:
    """Have another process, its clock some seconds ahead, claim what is due."""
    now = world.clock.now() + ahead
    return list(await world.store.claim(now, 10, 1e6, "another"))


async def test_a_parked_instance_that_another_process_has_claimed_is_left_to_it(
    world: World,
) -> None:
    # G4 N-09: a clock that is a moment ahead is enough for that
    calls.clear()
    app = world.process(sleeps)
    async with app.session.using(serves=True) as worker:
        await app.start(sleeps, 100.0, id="i")
        while not (run := worker.runs.get("i")) or run.resting is None:  # noqa: ASYNC110  time is virtual
            await asyncio.sleep(0)
        assert await claimed(world, ahead=100.0) == ["i"]
        await world.clock.sleep(101)

        assert calls == []


async def test_a_time_that_comes_before_the_answer_is_waited_for_by_all(
    world: World,
) -> None:
    # G4: the frame says that it rests and is due, so anybody may claim it
    calls.clear()
    store = Slow(world.store, world)
    app = world.process(sleeps, store=store)
    async with app.session.using(serves=True):
        await app.start(sleeps, 0.2, id="i")
        await store.rests.wait()
        theirs = await claimed(world, ahead=0.2)
        await world.clock.sleep(1)

        assert not (theirs and calls), "claimed by another one, and run here"


async def test_a_message_that_comes_in_the_linger_finds_the_instance_held(
    world: World,
) -> None:
    # G4 G11: the lease has to last as long as the linger, which begins at the answer
    calls.clear()
    store = Slow(world.store, world)
    app = world.process(hears, store=store)
    async with app.session.using(serves=True):
        await app.start(hears, id="i")
        await store.rests.wait()
        await world.clock.sleep(SLOW - 0.05)
        await world.handle().send("news", None)
        theirs = await claimed(world)
        await app.handle("i").send("news", None)
        await world.clock.sleep(1)

        assert not (theirs and calls), "claimed by another one, and run here"
