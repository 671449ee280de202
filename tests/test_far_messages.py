"""Messages that another process sends to an instance while it runs."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from edgeflow import Context, StoreUnavailable, current_step, step, workflow
from edgeflow.engine.inbox import Mailbox
from edgeflow.testing.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.engine.wiring import Wiring
    from edgeflow.store import Envelope
    from tests.conftest import World

LONG = 100.0


@step
async def work() -> None:
    await current_step().resources.sleep(LONG)


@workflow
async def hears(ctx: Context) -> list[float]:
    """Say after how many seconds the message and the step were there."""
    began = ctx.now()

    async def hear() -> float:
        await ctx.receive("news")
        return (ctx.now() - began).total_seconds()

    async def do() -> float:
        await work()
        return (ctx.now() - began).total_seconds()

    return list(await asyncio.gather(hear(), do()))


async def tick(world: World, seconds: int) -> None:
    """Let time pass in steps; a look alone does not move it."""
    for _ in range(seconds):
        await world.clock.sleep(1)


@pytest.mark.parametrize("poll", [1.0, 20.0])
async def test_a_message_is_heard_beside_a_step_that_takes_long(
    world: World, poll: float
) -> None:
    # G11: its sender cannot ring a bell in this process
    app = world.process(hears, poll=poll, lifespan=lambda: nullcontext(world.clock))
    async with app:
        handle = await app.start(hears, id="i")
        result = asyncio.create_task(handle.result())
        await tick(world, 30)
        await world.handle().send("news", None)
        await tick(world, 50)
        heard, done = await result

    assert 30 <= heard <= 30 + poll + 2
    assert done == LONG


async def test_a_look_that_fails_stops_no_step_and_the_next_one_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # G12: nothing needs the answer of a mere look
    read, began = world.store.unread, world.clock.now()
    failed: list[float] = []

    async def unread(instance: str) -> Sequence[Envelope]:
        if 10 < world.clock.now() - began < 20:
            failed.append(world.clock.now())
            raise StoreUnavailable("it is restarted")
        return await read(instance)

    monkeypatch.setattr(world.store, "unread", unread)
    app = world.process(hears, poll=1.0, lifespan=lambda: nullcontext(world.clock))
    async with app:
        handle = await app.start(hears, id="i")
        result = asyncio.create_task(handle.result())
        await tick(world, 15)
        await world.handle().send("news", None)
        await tick(world, 50)
        heard, done = await result

    assert failed
    assert 20 <= heard < 23
    assert done == LONG


@workflow
async def hears_nothing(ctx: Context) -> None:
    await work()


@workflow
async def races(ctx: Context) -> None:
    await ctx.race(child=ctx.call(hears_nothing, None, id="child"), late=ctx.sleep(10))


async def test_an_inbox_is_left_alone_while_nobody_waits_for_a_message(
    world: World,
) -> None:
    #
    app = world.process(hears_nothing, lifespan=lambda: nullcontext(world.clock))
    async with app:
        handle = await app.start(hears_nothing, id="i")
        await handle.result()

    assert world.store.calls.count("unread") == 0


async def test_a_parent_cancels_a_child_that_another_process_runs(
    world: World,
) -> None:
    # S26: the child's step goes on for long
    far = world.process(races, hears_nothing, lifespan=lambda: nullcontext(world.clock))
    await world.start(races, instance="parent")
    began = world.clock.now()
    await world.drive(races, "parent")
    running = asyncio.create_task(far.drive("child"))
    await tick(world, 11)

    await world.drive(races, "parent")
    await tick(world, 3)
    outcome = await running

    assert outcome.status == "cancelled"
    assert world.clock.now() - began < 17


def test_only_one_alarm_is_set_for_the_next_look() -> None:
    #
    clock = VirtualClock()
    wiring = SimpleNamespace(clock=clock)
    mailbox = Mailbox(cast("Wiring", wiring), "i", None)
    looks: list[int] = []

    async def expect() -> None:
        for _ in range(3):
            mailbox.expect(1.0, lambda: looks.append(1))
        await clock.sleep(5)
        mailbox.expect(1.0, lambda: looks.append(1))
        mailbox.close()
        await clock.sleep(5)

    asyncio.run(expect())

    assert len(looks) == 1
