"""Time limits of attempts (CONFORMANCE B-11, B-12)."""

from __future__ import annotations

import asyncio
import threading

import pytest

from edgeflow import (
    App,
    Context,
    Retry,
    StateClosed,
    StepError,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore


# B-11  G7
@pytest.mark.parametrize("tidies_up_for", [0, 2])
@pytest.mark.parametrize("swallows", [False, True])
async def test_an_attempt_that_runs_too_long_is_cancelled_and_counts(
    tidies_up_for: int, *, swallows: bool
) -> None:
    clock = VirtualClock()
    events: list[tuple[str, float]] = []
    errors: list[StepError] = []

    @step(timeout=5, retry=Retry(attempts=3, first=1, factor=1, jitter=0))
    async def slow() -> str:
        events.append(("begins", clock.now()))
        try:
            await clock.sleep(60)
        except asyncio.CancelledError:
            events.append(("cancelled", clock.now()))
            await clock.sleep(tidies_up_for)
            if not swallows:
                raise
        finally:
            events.append(("ends", clock.now()))
        return "late"

    @workflow
    async def code(ctx: Context) -> str:
        try:
            return await slow()
        except StepError as error:
            errors.append(error)
        await ctx.sleep(600)
        return "given up"

    app, began = App(MemoryStore(), workflows=[code], clock=clock), clock.now()
    await app.start(code, id="i")
    while (outcome := await app.drive("i")).status == "suspended":
        assert outcome.wake_at is not None
        clock.advance(outcome.wake_at - clock.now())

    assert outcome.output == "given up"
    assert [what for what, _ in events] == ["begins", "cancelled", "ends"] * 3
    every = 5 + tidies_up_for + 1
    expected = [
        began + attempt * every + after
        for attempt in range(3)
        for after in (0, 5, 5 + tidies_up_for)
    ]
    assert [at for _, at in events] == pytest.approx(expected, abs=0.01)
    assert len(errors) == 2  # live and replayed
    for error in errors:
        assert (error.kind, error.attempts) == ("exhausted", 3)
        assert error.error.type == "TimeoutError"


# B-11
async def test_a_step_that_ends_in_time_is_not_touched_by_its_limit() -> None:
    clock = VirtualClock()
    calls: list[int] = []

    @step(timeout=5)
    async def quick() -> str:
        calls.append(1)
        await clock.sleep(4.9)
        return "in time"

    @workflow
    async def code(ctx: Context) -> str:
        value = await quick()
        await ctx.sleep(60)
        return value

    app = App(MemoryStore(), workflows=[code], clock=clock)

    assert await app.run(code, id="i") == "in time"
    assert len(calls) == 1


# B-12  G6
async def test_nothing_of_an_abandoned_thread_comes_through() -> None:
    clock, store = VirtualClock(), MemoryStore()
    loop = asyncio.get_running_loop()
    stuck, freed, late = asyncio.Event(), threading.Event(), asyncio.Event()
    closed: list[StateClosed] = []

    @step(timeout=5, retry=Retry(attempts=2, first=0))
    def work() -> str:
        this = current_step()
        state = this.state
        state["by"] = this.attempt
        if this.attempt == 2:
            return "ok"
        loop.call_soon_threadsafe(stuck.set)
        freed.wait(timeout=10)
        try:
            state["late"] = True
        except StateClosed as error:
            closed.append(error)
        loop.call_soon_threadsafe(late.set)
        return "late"

    @workflow
    async def code(ctx: Context) -> str:
        value = await work()
        await ctx.sleep(60)  # the thread ends during it
        return value

    app = App(store, workflows=[code], clock=clock)
    await app.start(code, id="i")
    drive = asyncio.create_task(app.drive("i"))
    await stuck.wait()
    clock.advance(5)  # a thread at work holds virtual time
    outcome = await drive
    assert outcome.status == "suspended"
    freed.set()
    await late.wait()
    assert outcome.wake_at is not None
    clock.advance(outcome.wake_at - clock.now())

    assert (await app.drive("i")).output == "ok"
    assert len(closed) == 1
    handle = app.handle("i")
    assert await handle.state() == {"by": 2}
    (entry, _) = await handle.history()
    assert (entry.status, entry.attempts, entry.value) == ("completed", 2, "ok")
    loaded = await store.load("i")
    assert loaded is not None
    assert not any(b"late" in frame.body for frame in loaded.frames)


# B-12
async def test_there_is_no_default_timeout() -> None:
    clock = VirtualClock()
    calls: list[int] = []

    @step
    async def long() -> str:
        calls.append(1)
        await clock.sleep(3600)
        return "done"

    @workflow
    async def code(_ctx: Context) -> str:
        return await long()

    began = clock.now()
    assert await App(MemoryStore(), workflows=[code], clock=clock).run(code) == "done"
    assert len(calls) == 1
    assert clock.now() - began == pytest.approx(3600, abs=1)
