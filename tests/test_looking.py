"""What is seen from outside: L-18, L-22."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    Context,
    ErrorInfo,
    Retry,
    Stop,
    UnknownInstance,
    WorkflowBlocked,
    WorkflowCancelled,
    WorkflowFailed,
    current_step,
    step,
    workflow,
)

if TYPE_CHECKING:
    from tests.conftest import World


def why(error: ErrorInfo | None) -> str:
    assert error is not None
    return f"{error.type}: {error.message}"


# --- looking at it ----------------------------------------------------------


@workflow
async def progressing(ctx: Context) -> str:
    await ctx.status({"done": 1})
    async with ctx.scope("block"):
        await ctx.step("flaky", flaky, retry=Retry(attempts=2, jitter=0))
    await ctx.receive("a", "b", timeout=100)
    await ctx.status({"done": 2})
    return ctx.id


@workflow
async def looped(ctx: Context) -> None:
    async def turn(number: int) -> int | Stop[None]:
        await ctx.status(number)
        return number + 1 if number < 30 else Stop()

    await ctx.loop("n", turn, state=0)
    await ctx.step("down", down, retry=Retry(first=60))


async def down() -> None:
    raise ConnectionError


async def test_what_is_under_way_comes_last_though_much_before_it_is_pruned(
    world: World,
) -> None:
    # L-18
    await world.start(looped)
    await world.drive(looped)

    history = await world.history()

    assert [(entry.kind, entry.status) for entry in history] == [
        ("turn", "begun"),
        ("status", "completed"),
        ("loop", "completed"),
        ("step", "retrying"),
    ]


FAILED: set[str] = set()


async def flaky() -> int:
    me = current_step().instance
    if me not in FAILED:
        FAILED.add(me)
        raise LookupError("not yet")
    return 5


async def test_info_history_and_find_show_a_suspended_and_a_finished_instance(
    world: World,
) -> None:
    # L-18
    FAILED.clear()
    await world.start(progressing)
    pending = await world.process().handle("i").info()
    await world.drive(progressing)
    back_off = await world.process().handle("i").info()
    backing = await world.history()
    await world.later(progressing, 0.2)
    commits = len(world.store.commits)
    waiting = await world.process().handle("i").info()
    entries = await world.history()
    assert len(world.store.commits) == commits
    await world.process().handle("i").send("b")
    await world.drive(progressing)
    done = await world.process().handle("i").info()

    assert (pending.status, pending.workflow) == ("pending", "progressing")
    assert pending.progress is None
    assert (back_off.status, back_off.awaiting) == ("suspended", ())
    assert back_off.wake_at == pytest.approx(world.START + 0.2)
    [status, retrying] = backing
    assert (status.kind, status.name) == ("status", "status")
    assert (retrying.kind, retrying.name, retrying.status) == (
        "step",
        "flaky",
        "retrying",
    )
    assert (retrying.attempts, retrying.retry_at) == (1, back_off.wake_at)
    assert why(retrying.error) == "LookupError: not yet"

    assert (waiting.status, waiting.awaiting) == ("suspended", ("a", "b"))
    assert waiting.wake_at == pytest.approx(world.START + 100.2)
    assert waiting.progress == {"done": 1}
    assert [(e.path, e.kind, e.status, e.attempts, e.value) for e in entries] == [
        ([["status", "status", 0]], "status", "completed", 0, None),
        (
            [["scope", "block", 0], ["step", "flaky", 0]],
            "step",
            "completed",
            2,
            5,
        ),
        ([["scope", "block", 0]], "scope", "completed", 0, None),
    ]

    assert (done.status, done.wake_at, done.awaiting) == ("completed", None, ())
    assert done.progress == {"done": 2}
    kinds = [e.kind for e in await world.history()]
    assert kinds == ["status", "step", "scope", "receive", "status"]


async def test_a_running_instance_is_seen_as_running_from_elsewhere(
    world: World,
) -> None:
    # L-18
    seen: list[Any] = []

    @step
    async def look() -> None:
        elsewhere = world.process()
        commits = len(world.store.commits)
        seen.append((await elsewhere.handle("i").info()).status)
        found = elsewhere.find(status="running", workflow="body")
        seen.append([info.id async for info in found])
        seen.append(len(world.store.commits) - commits)

    @workflow
    async def body(ctx: Context) -> str:
        await look()
        return ctx.id

    await world.start(body)
    await world.drive(body)

    assert seen == ["running", ["i"], 0]


async def test_history_is_in_journal_order_not_in_order_of_names(world: World) -> None:
    # L-18
    async def after(seconds: float) -> None:
        await world.clock.sleep(seconds)

    @workflow
    async def body(ctx: Context) -> str:
        await asyncio.gather(
            ctx.step("a", lambda: after(3)),
            ctx.step("b", lambda: after(1)),
            ctx.step("c", lambda: after(2)),
        )
        return ctx.id

    await world.start(body)
    await world.drive(body)

    assert [entry.name for entry in await world.history()] == ["b", "c", "a"]
    assert [entry.took for entry in await world.history()] == [1, 2, 3]


async def test_find_filters_by_status_and_workflow(world: World) -> None:
    # L-18
    @workflow(name="sleeper")
    async def sleeper(ctx: Context) -> str:
        await ctx.sleep(60)
        return ctx.id

    @workflow(name="quick")
    async def quick(ctx: Context) -> str:
        return ctx.id

    @workflow(name="sad")
    async def sad(ctx: Context) -> str:
        raise LookupError(ctx.id)

    app = world.process(sleeper, quick, sad)
    for made, instance in ((sleeper, "c"), (quick, "b"), (sad, "a"), (quick, "d")):
        await app.start(made, id=instance)
    for instance in ("c", "b", "a"):
        await app.drive(instance)

    async def found(**query: Any) -> list[tuple[str, str]]:
        return [(info.id, info.status) async for info in app.find(**query)]

    commits = len(world.store.commits)
    assert await found() == [
        ("a", "failed"),
        ("b", "completed"),
        ("c", "suspended"),
        ("d", "pending"),
    ]
    assert await found(workflow=quick) == [("b", "completed"), ("d", "pending")]
    assert await found(workflow="quick", status="pending") == [("d", "pending")]
    assert await found(status="failed") == [("a", "failed")]
    assert await found(workflow="nobody") == []
    assert len(world.store.commits) == commits


async def test_an_unknown_id_is_unknown(world: World) -> None:
    # L-18, S27
    handle = world.process().handle("nobody")
    for ask in (handle.info, handle.history, handle.state, handle.result, handle.wake):
        with pytest.raises(UnknownInstance, match="'nobody'"):
            await ask()
    with pytest.raises(UnknownInstance):
        await world.process().drive("nobody")


# --- result -----------------------------------------------------------------


async def test_a_result_that_is_not_there_in_time_leaves_the_instance_alone(
    world: World,
) -> None:
    # L-22
    @workflow
    async def waits(ctx: Context) -> str:
        await ctx.receive("m")
        return ctx.id

    await world.start(waits)
    await world.drive(waits)
    frames, before = await world.frames(), world.clock.now()

    with pytest.raises(TimeoutError, match="'i'"):
        await world.process(waits).handle("i").result(timeout=1)

    assert world.clock.now() - before == pytest.approx(1)
    assert await world.frames() == frames
    await world.process().handle("i").send("m")
    assert (await world.drive(waits)).output == "i"


async def test_a_result_waits_for_another_process(world: World) -> None:
    # L-22
    @workflow
    async def naps(ctx: Context) -> str:
        await ctx.sleep(60)
        return ctx.id

    async with world.process(naps) as app:
        await app.start(naps, id="i")

        assert await world.process(naps).handle("i").result(timeout=1000) == "i"


async def test_a_result_of_a_failed_instance_carries_the_error_of_its_body(
    world: World,
) -> None:
    # L-22, H-04, S27
    async def fail() -> None:
        raise LookupError("x")

    @workflow
    async def fails(ctx: Context) -> None:
        await ctx.step("fail", fail, retry=Retry(attempts=1))

    await world.start(fails)
    await world.drive(fails)

    with pytest.raises(WorkflowFailed) as caught:
        await world.process().handle("i").result()

    assert caught.value.instance == "i"
    assert caught.value.error.type == "edgeflow.errors.StepError"
    assert "'fail'" in caught.value.error.message
    assert "LookupError: x" in caught.value.error.message


async def test_a_result_of_a_blocked_instance_says_why(world: World) -> None:
    # L-22, S27
    @workflow
    async def breaks(ctx: Context) -> str:
        asyncio.get_running_loop().run_in_executor(None, print)
        return ctx.id

    await world.start(breaks)
    await world.drive(breaks)

    with pytest.raises(WorkflowBlocked, match="run_in_executor") as caught:
        await world.process().handle("i").result()
    assert caught.value.instance == "i"


async def test_a_result_of_a_cancelled_instance_says_so(world: World) -> None:
    # L-22, S27
    @workflow
    async def waits(ctx: Context) -> str:
        await ctx.receive("m")
        return ctx.id

    await world.start(waits)
    await world.handle().cancel()
    await world.drive(waits)

    with pytest.raises(WorkflowCancelled, match="'i'") as caught:
        await world.handle().result(timeout=1)
    assert caught.value.instance == "i"
