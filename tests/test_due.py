"""Who wakes what is due (CONFORMANCE C-09, C-10)."""

from __future__ import annotations

import asyncio

import pytest

from edgeflow import App, Context, workflow
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore

entered: list[str] = []


@workflow
async def sleeper(ctx: Context, plan: list[float]) -> str:
    """Sleep as planned; fail if that is no plan."""
    entered.append(ctx.id)
    for duration in plan:
        await ctx.sleep(duration)
    if not plan:
        raise ValueError("no plan")
    return "awake"


@pytest.fixture
async def app() -> App:
    """An app with one instance of each sort.

    A is due since 1 ms, B in 1 s, C is pending, D has ended.
    """
    clock = VirtualClock()
    app = App(MemoryStore(), workflows=[sleeper], clock=clock)
    await app.run(sleeper, [0.01], id="D")
    began = clock.now()
    for name, delay in (("A", 10.0), ("B", 11.001)):
        await app.start(sleeper, [delay], id=name)
        assert (await app.drive(name)).wake_at == began + delay
    clock.advance(began + 10.001 - clock.now())
    await app.start(sleeper, [60.0], id="C")
    entered.clear()
    return app


# C-09  G14
async def test_run_due_drives_what_is_due_once_and_nothing_else(app: App) -> None:
    outcomes = await app.run_due()

    assert sorted(entered) == ["A", "C"]
    assert sorted(outcome.status for outcome in outcomes) == ["completed", "suspended"]
    assert [(i.id, i.status) async for i in app.find()] == [
        ("A", "completed"),
        ("B", "suspended"),
        ("C", "suspended"),
        ("D", "completed"),
    ]
    assert await app.run_due() == []
    assert len(entered) == 2


# C-09
async def test_run_due_drives_no_more_than_its_limit(app: App) -> None:
    assert len(await app.run_due(limit=1)) == 1
    assert len(entered) == 1
    assert len(await app.run_due(limit=1)) == 1
    assert sorted(entered) == ["A", "C"]
    assert await app.run_due(limit=1) == []
    assert await app.run_due(limit=0) == []


# C-09
async def test_an_instance_that_fails_does_not_stop_the_others(app: App) -> None:
    no_plan: list[float] = []
    await app.start(sleeper, no_plan, id="0 fails")
    unknown = workflow(name="of another deployment")(sleeper.function)
    other = App(app.store, workflows=[unknown], clock=app.clock)
    await other.start(unknown, [1.0], id="0 unknown")

    outcomes = await app.run_due()

    assert sorted(entered) == ["0 fails", "A", "C"]
    assert sorted(outcome.status for outcome in outcomes) == [
        "blocked",
        "completed",
        "failed",
        "suspended",
    ]


# C-10
async def test_a_worker_goes_on_after_a_sleep_without_a_replay() -> None:
    clock, store = VirtualClock(), RecordingStore(MemoryStore())
    await App(store, workflows=[sleeper], clock=clock).start(sleeper, [60.0], id="i")
    store.calls.clear()
    store.commits.clear()
    entered.clear()

    def statuses() -> list[str]:
        return [commit.status for commit in store.commits]

    async with App(store, workflows=[sleeper], clock=clock) as app:
        await clock.sleep(30)
        assert entered == ["i"]
        assert statuses() == ["running", "suspended"]
        await app.handle("i").wake()  # asleep, in memory
        await clock.sleep(31)
        assert statuses() == ["running", "suspended", "completed"]
        assert entered == ["i"]
        assert store.calls.count("load") == 1

        await app.handle("i").wake()  # terminal
        await clock.sleep(5)

    assert entered == ["i"]
    assert statuses() == ["running", "suspended", "completed"]
    assert store.commits[-1].wake_at is None
    assert store.commits[-1].due is None


# C-10
async def test_a_wake_of_a_running_instance_has_no_effect() -> None:
    clock, store = VirtualClock(), RecordingStore(MemoryStore())
    calls: list[int] = []
    began, go_on = asyncio.Event(), asyncio.Event()

    @workflow
    async def code(ctx: Context) -> str:
        async def work() -> None:
            calls.append(1)
            began.set()
            await go_on.wait()

        await ctx.step("work", work)
        return "done"

    async with App(store, workflows=[code], clock=clock) as app:
        running = asyncio.create_task(app.run(code, id="i"))
        await began.wait()
        waking = asyncio.create_task(app.handle("i").wake())
        await asyncio.sleep(0)
        go_on.set()
        await waking
        assert await running == "done"

    assert len(calls) == 1
    assert [commit.status for commit in store.commits] == [
        "running",
        "running",
        "completed",
    ]
    assert store.commits[-1].wake_at is None


# C-10
async def test_a_due_instance_is_driven_though_it_is_attached_to_meanwhile(
    app: App,
) -> None:
    for name in ("A", "C"):
        attached, outcome = await asyncio.gather(
            app.start(sleeper, [1.0], id=name), app.drive(name)
        )
        assert (attached.id, outcome.status) == (
            name,
            {"A": "completed", "C": "suspended"}[name],
        )
