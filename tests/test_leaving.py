"""Leaving a run before its end: what has begun may end, and is recorded."""

import asyncio

import pytest

from edgeflow import App, Context, step, workflow
from edgeflow_memory import MemoryStore


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
