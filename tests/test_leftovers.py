"""What a block leaves running behind it: it is cancelled with the block."""

from __future__ import annotations

import asyncio

from edgeflow import App, Context, Stop, step, workflow
from edgeflow.testing import VirtualClock
from edgeflow_memory import MemoryStore


def app() -> App:
    return App(MemoryStore(), clock=VirtualClock(), workflows=[racing, looping])


@workflow
async def racing(ctx: Context) -> str:
    async def fails() -> None:
        waits = ctx.receive("never", name="left")
        await asyncio.gather(waits, ctx.receive("never", timeout=1))

    winner = await ctx.race(fails=fails(), late=ctx.sleep(2))
    return winner.name


async def test_a_wait_that_a_failed_branch_left_ends_with_its_race() -> None:
    # E-09 A-09
    process = app()

    assert await process.run(racing, id="i") == "late"
    [left] = [e for e in await process.handle("i").history() if e.name == "left"]
    assert left.status == "cancelled"


CALLS: list[int] = []


@step
async def note(turn: int) -> None:
    CALLS.append(turn)


@workflow
async def looping(ctx: Context) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def later(turn: int) -> None:
        await ctx.sleep(1.5)
        await note(turn)

    async def turn(number: int) -> int | Stop[None]:
        tasks.append(asyncio.ensure_future(later(number)))
        await ctx.sleep(1)
        return number + 1 if number < 3 else Stop()

    await ctx.loop("n", turn, state=0, prune_every=1)


async def test_a_task_that_a_turn_left_records_nothing_in_a_pruned_turn() -> None:
    # F-10 Q-09 G15
    CALLS.clear()
    process = app()

    await process.run(looping, id="i")

    assert CALLS == []
    history = await process.handle("i").history()
    assert {entry.path[1][2] for entry in history if len(entry.path) > 1} == {3}


@workflow
async def hasty(ctx: Context) -> str:
    async def nothing() -> str:
        return "nothing"

    joins = [asyncio.ensure_future(ctx.join(a=nothing())) for _ in range(2)]
    await asyncio.wait(joins, return_when=asyncio.FIRST_COMPLETED)
    joins[1].cancel()
    await ctx.sleep(60)
    return "done"


async def test_a_block_that_is_cancelled_with_its_result_in_hand_is_passed_over() -> (
    None
):
    # E-14 E-17 G8
    store, clock = MemoryStore(), VirtualClock()

    def process() -> App:
        return App(store, clock=clock, workflows=[hasty])

    await process().start(hasty, id="i")
    assert (await process().drive("i")).status == "suspended"
    clock.advance(60)

    assert (await process().drive("i")).output == "done"
