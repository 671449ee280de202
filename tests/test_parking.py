"""Runs that stay in memory: L-21."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edgeflow import (
    Context,
    Handle,
    Workflow,
    step,
    workflow,
)

if TYPE_CHECKING:
    from tests.conftest import World


async def test_a_parked_run_resumes_without_load_or_replay(world: World) -> None:
    # L-21, C-10
    entered: list[str] = []

    @workflow
    async def naps(ctx: Context) -> str:
        entered.append(ctx.id)
        await ctx.sleep(60)
        await ctx.receive("m")
        return ctx.id

    async with world.process(naps) as app:
        handle = await app.start(naps, id="i")
        await world.clock.sleep(30)
        loads = world.store.calls.count("load")
        await world.clock.sleep(60)
        await handle.send("m")
        await world.clock.sleep(60)

        assert world.store.calls.count("load") == loads
        assert await handle.result() == "i"
    assert entered == ["i"]


async def test_a_parked_run_that_another_process_took_on_is_replayed(
    world: World,
) -> None:
    # L-21, G4
    entered: list[str] = []

    @step
    async def work(number: int) -> int:
        return number

    def made(where: str) -> Workflow[None, list[int]]:
        @workflow(name="body")
        async def body(ctx: Context) -> list[int]:
            entered.append(where)
            found: list[int] = []
            for number in range(3):
                await ctx.receive("m")
                found.append(await work(number))
            return found

        return body

    here = made("here")
    # It seldom looks around by itself, else it may take the instance first.
    async with world.process(here, poll=1000) as app:
        handle = await app.start(here, id="i")
        await world.clock.sleep(30)
        with world.clock.busy():
            await world.process().handle("i").send("m")
        await world.process(made("elsewhere")).drive("i")
        await handle.send("m")
        await world.clock.sleep(30)
        await handle.send("m")

        assert await handle.result(timeout=10_000) == [0, 1, 2]
    assert entered == ["here", "elsewhere", "here"], "its memory was dropped"
    steps = [e.attempts for e in await world.history() if e.kind == "step"]
    assert steps == [1, 1, 1]


async def test_more_instances_than_are_parked_complete_all_the_same(
    world: World,
) -> None:
    # L-21
    entered: Counter[str] = Counter()

    @workflow
    async def waits(ctx: Context) -> str:
        entered[ctx.id] += 1
        await ctx.receive("m")
        return ctx.id

    ids = ["a", "b", "c", "d", "e"]
    async with world.process(waits, max_parked=2) as app:
        handles: list[Handle[str]] = []
        for instance in ids:
            handles.append(await app.start(waits, id=instance))
            await world.clock.sleep(5)
        for handle in reversed(handles):
            await handle.send("m")
            await world.clock.sleep(5)

        assert [await handle.result(timeout=100) for handle in handles] == ids
    assert entered == {"a": 2, "b": 2, "c": 2, "d": 1, "e": 1}
