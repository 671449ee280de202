"""Cancelling from outside: L-06, L-07, L-08, S17."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    Context,
    Event,
    Fenced,
    InstanceFinished,
    UnknownInstance,
    Workflow,
    WorkflowCancelled,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.faults import Crashed, Fault, FaultyStore

if TYPE_CHECKING:
    from tests.conftest import World

log: list[str] = []


@pytest.fixture(autouse=True)
def nothing_logged() -> None:
    log.clear()


@step
async def charge(amount: int) -> int:
    log.append(f"charge {amount}")
    return amount


@charge.undo
async def refund(amount: int) -> None:
    log.append(f"refund {amount}")


@step
async def note(text: str) -> None:
    log.append(text)


@workflow(name="body")
async def sleeper(ctx: Context) -> str:
    log.append("entered")
    await charge(1)
    await charge(2)
    try:
        await ctx.sleep(3600)
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    return ctx.id


# --- where it is cancelled ----------------------------------------------------------


async def test_one_that_never_ran_is_cancelled_without_its_body(world: World) -> None:
    # L-06, G14, S17
    await world.start(sleeper)

    commits = world.commits
    assert await world.handle().cancel()
    assert world.commits == commits + 1
    assert (await world.info()).wake_at is None

    [outcome] = await world.run_due(sleeper)
    assert (outcome.status, outcome.wake_at, log) == ("cancelled", None, [])
    assert (await world.info()).status == "cancelled"
    assert await world.run_due(sleeper) == []


async def test_one_that_sleeps_is_told_so_at_its_sleep_and_undone(
    world: World,
) -> None:
    # L-06, I-09, G14
    await world.start(sleeper)
    await world.drive(sleeper)
    assert (await world.info()).wake_at == world.START + 3600

    assert await world.handle().cancel()
    resting = await world.info()
    assert (resting.wake_at, resting.awaiting) == (None, ())

    [outcome] = await world.run_due(sleeper)
    assert (outcome.status, outcome.error) == ("cancelled", None)
    assert log == [
        *["entered", "charge 1", "charge 2"],
        *["entered", "cancelled", "refund 2", "refund 1"],
    ]
    final = await world.info()
    assert (final.status, final.wake_at, final.awaiting) == ("cancelled", None, ())
    world.clock.advance(10_000)
    assert await world.run_due(sleeper) == []


async def test_one_that_waits_for_a_message_ends_without_it(world: World) -> None:
    # L-06
    @workflow
    async def waits(ctx: Context) -> str:
        await charge(1)
        return str((await ctx.receive("go")).body)

    await world.start(waits)
    await world.drive(waits)
    assert await world.handle().cancel()

    assert (await world.drive(waits)).status == "cancelled"
    assert log == ["charge 1", "refund 1"]
    with pytest.raises(InstanceFinished):
        await world.handle().send("go")


async def test_one_that_is_blocked_is_undone_from_its_journal(world: World) -> None:
    # L-06, S17
    @workflow(name="body")
    async def breaks(ctx: Context) -> str:
        log.append("entered")
        await charge(1)
        asyncio.get_running_loop().run_in_executor(None, print)
        return ctx.id

    await world.start(breaks)
    assert (await world.drive(breaks)).status == "blocked"
    assert log == ["entered", "charge 1"]

    assert await world.handle().cancel()
    [outcome] = await world.run_due(breaks)

    assert (outcome.status, outcome.error) == ("cancelled", None)
    assert log == ["entered", "charge 1", "refund 1"]
    final = await world.info()
    assert (final.status, final.wake_at, final.error) == ("cancelled", None, None)


async def test_one_whose_cancelled_body_diverges_can_be_cancelled_without_it(
    world: World,
) -> None:
    # L-06, S17
    @workflow(name="body")
    async def other(ctx: Context) -> str:
        await note("other")
        return ctx.id

    await world.start(sleeper)
    await world.drive(sleeper)
    assert await world.handle().cancel()

    outcome = await world.drive(other)
    assert (outcome.status, log[-2:]) == ("cancelled", ["refund 2", "refund 1"])


async def test_a_step_is_cancelled_with_the_instance_in_this_process(
    world: World,
) -> None:
    # S17, G2
    began = asyncio.Event()

    @step
    async def slow() -> None:
        began.set()
        try:
            await world.clock.sleep(60)
        except asyncio.CancelledError:
            log.append("slow was cancelled")
            raise

    @workflow
    async def body(ctx: Context) -> str:
        await charge(1)
        await slow()
        return ctx.id

    async with world.process(body) as app:
        handle = await app.start(body, id="i")
        await began.wait()
        before = world.clock.now()
        assert await handle.cancel()
        frames = b"".join(await world.frames())
        assert b'"cancel":{' in frames, "it is durable when cancel returns"
        with pytest.raises(WorkflowCancelled, match="'i'"):
            await handle.result()
        assert world.clock.now() - before < 1
    assert log == ["charge 1", "slow was cancelled", "refund 1"]


async def test_what_is_not_flushed_yet_is_undone_all_the_same(world: World) -> None:
    # S17, I-09: a run here records its cancellation itself
    began = asyncio.Event()

    @step
    async def slow() -> None:
        began.set()
        await world.clock.sleep(60)

    @workflow(durability="suspend")
    async def body(ctx: Context) -> str:
        await charge(1)
        await slow()
        return ctx.id

    async with world.process(body) as app:
        handle = await app.start(body, id="i")
        await began.wait()
        assert await handle.cancel()
        with pytest.raises(WorkflowCancelled):
            await handle.result()
    assert log == ["charge 1", "refund 1"]


async def test_a_parked_run_hears_of_it_here_and_from_another_process(
    world: World,
) -> None:
    # L-06, L-21
    for elsewhere in (False, True):
        log.clear()
        async with world.process(sleeper) as app:
            handle = await app.start(sleeper, id=f"i{elsewhere}")
            await world.clock.sleep(10)
            other = world.handle(handle.id)
            assert await (other if elsewhere else handle).cancel()
            for _ in range(3):  # a look or two
                await world.clock.sleep(2)
            assert (await handle.info()).status == "cancelled"
        assert log == [
            *["entered", "charge 1", "charge 2"],
            *["entered", "cancelled", "refund 2", "refund 1"],
        ]


async def test_who_stays_with_it_gets_its_end(world: World) -> None:
    # L-06: app.run in this process, cancelled from another one
    running = asyncio.create_task(world.process(sleeper).run(sleeper, id="i"))
    while "charge 2" not in log:  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0)
    with world.clock.busy():
        await asyncio.sleep(0.01)
    assert await world.handle().cancel()

    with pytest.raises(WorkflowCancelled):
        await running
    assert log[-2:] == ["refund 2", "refund 1"]


# --- against a running owner ----------------------------------------------------------


async def test_it_wins_against_a_process_that_runs_a_step(world: World) -> None:
    # L-07, G4: 100 interleavings
    chance = random.Random(7)
    ends: list[str] = []

    @step
    async def slow(seconds: float) -> None:
        log.append("slow")
        await world.clock.sleep(seconds)

    @workflow
    async def body(ctx: Context, seconds: float) -> str:
        await charge(1)
        await slow(seconds)
        log.append("went on")
        await slow(seconds)
        return ctx.id

    for number in range(100):
        log.clear()
        instance = f"i{number}"
        await world.start(body, chance.choice([0.0, 1.0, 2.0]), instance)
        driving = asyncio.create_task(world.process(body).drive(instance))
        for _ in range(chance.randrange(60)):
            await asyncio.sleep(0)
        handle = world.handle(instance)
        was_there = await handle.cancel()
        committed = len(await world.frames(instance))
        owner: Any = (await asyncio.gather(driving, return_exceptions=True))[0]
        if was_there:
            assert isinstance(owner, Fenced) or owner.status == "cancelled"
            if isinstance(owner, Fenced):
                assert len(await world.frames(instance)) == committed
            await world.drive(body, instance)
            ends.append((await world.info(instance)).status)
            assert log.count("charge 1") - log.count("refund 1") in {0, 1}
        else:
            ends.append("cancelled" if owner.status == "completed" else "lost")

    assert ends == ["cancelled"] * 100


async def test_two_cancels_at_once_are_one(world: World) -> None:
    # L-08, G14
    await world.start(sleeper)
    await world.drive(sleeper)

    handles = [world.handle() for _ in range(10)]
    answers = await asyncio.gather(*(handle.cancel() for handle in handles))

    assert answers.count(True) == 1
    assert (await world.drive(sleeper)).status == "cancelled"
    assert log.count("refund 1") == 1


# --- what the body makes of it --------------------------------------------------------


async def test_a_body_that_swallows_it_gets_it_again(world: World) -> None:
    # L-08, S17
    @workflow
    async def stubborn(ctx: Context) -> str:
        await charge(1)
        for number in range(3):
            try:
                await ctx.sleep(3600)
            except asyncio.CancelledError:
                log.append(f"swallowed {number}")
        await note("it went on")
        return ctx.id

    await world.start(stubborn)
    await world.drive(stubborn)
    await world.handle().cancel()
    outcome = await world.drive(stubborn)

    assert (outcome.status, outcome.output) == ("cancelled", None)
    assert log == [
        *["charge 1", "swallowed 0", "swallowed 1", "swallowed 2", "refund 1"]
    ]


@pytest.mark.parametrize("ending", ["returns", "raises", "waits", "breaks the rules"])
async def test_whatever_the_body_does_it_ends_as_cancelled(
    world: World, ending: str
) -> None:
    # L-08, S17
    @workflow
    async def stubborn(ctx: Context) -> str:
        await charge(1)
        try:
            await ctx.sleep(3600)
        except asyncio.CancelledError:
            if ending == "raises":
                raise LookupError("no") from None
            if ending == "waits":
                await asyncio.Event().wait()
            if ending == "breaks the rules":
                asyncio.get_running_loop().run_in_executor(None, print)
        return ctx.id

    await world.start(stubborn)
    await world.drive(stubborn)
    await world.handle().cancel()
    outcome = await world.drive(stubborn)

    assert (outcome.status, outcome.output, outcome.error) == ("cancelled", None, None)
    assert log == ["charge 1", "refund 1"]


async def test_a_cancellation_of_its_own_is_a_failure_and_no_cancel(
    world: World,
) -> None:
    # L-08
    @workflow
    async def quits(ctx: Context) -> str:
        await charge(1)
        raise asyncio.CancelledError(ctx.id)

    await world.start(quits)

    assert (await world.drive(quits)).status == "failed"


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled"])
async def test_cancel_does_nothing_to_one_that_has_ended(
    world: World, ending: str
) -> None:
    # L-08, G14
    ended: dict[str, Workflow[Any, Any]] = {"cancelled": sleeper}

    @workflow(name="completed")
    async def completed(ctx: Context) -> str:
        return ctx.id

    @workflow(name="failed")
    async def failed(ctx: Context) -> str:
        raise LookupError(ctx.id)

    ended |= {"completed": completed, "failed": failed}
    await world.start(ended[ending])
    if ending == "cancelled":
        await world.handle().cancel()
    await world.drive(ended[ending])
    before, commits = await world.info(), world.commits

    assert before.status == ending
    assert not await world.handle().cancel()
    assert world.commits == commits
    assert await world.info() == before
    assert await world.run_due(ended[ending]) == []


async def test_cancel_does_nothing_while_it_is_undoing(world: World) -> None:
    # S17
    undoing, go_on = asyncio.Event(), asyncio.Event()

    @workflow
    async def fails(ctx: Context) -> None:
        await ctx.step("hold", hold, undo=let_go)
        raise LookupError(ctx.id)

    holding.clear()
    holding.extend((undoing, go_on))
    await world.start(fails)
    app = world.process(fails)
    driving = asyncio.create_task(app.drive("i"))
    await undoing.wait()
    commits = world.commits

    assert (await world.info()).status == "undoing"
    assert not await world.handle().cancel()
    assert not await app.handle("i").cancel()
    assert world.commits == commits
    go_on.set()
    assert (await driving).status == "failed"


holding: list[asyncio.Event] = []


async def hold() -> int:
    return 1


async def let_go(_held: int) -> None:
    holding[0].set()
    await holding[1].wait()


async def test_an_unknown_instance_cannot_be_cancelled(world: World) -> None:
    # S27
    with pytest.raises(UnknownInstance, match="'i'"):
        await world.handle().cancel()


async def test_observers_hear_of_it_once(world: World) -> None:
    # L-19, S28
    events: list[Event] = []
    await world.start(sleeper)
    await world.drive(sleeper)
    await world.handle().cancel()

    app = world.process(sleeper, observers=[events.append])
    await app.drive("i")

    assert [event.kind for event in events if event.kind == "cancelled"] == [
        "cancelled"
    ]


async def test_state_is_kept(world: World) -> None:
    # J-11
    @step
    async def count() -> None:
        current_step().state["n"] = 1

    @workflow
    async def body(ctx: Context) -> None:
        await count()
        await ctx.sleep(60)

    await world.start(body)
    await world.drive(body)
    await world.handle().cancel()
    await world.drive(body)

    assert await world.handle().state() == {"n": 1}


@pytest.mark.parametrize("kind", ["crash_before", "crash_after", "fail_before"])
async def test_cut_at_its_write_it_happened_or_did_not(world: World, kind: Any) -> None:
    # O-09, G3
    await world.start(sleeper)
    await world.drive(sleeper)
    before = await world.info()
    faulty = FaultyStore(world.store, [Fault(1, kind)], clock=world.clock)

    try:
        await world.process(store=faulty).handle("i").cancel()
    except Crashed:
        assert kind != "fail_before"

    if kind == "crash_before":
        assert await world.info() == before
        assert (await world.drive(sleeper)).status == "suspended"
    else:
        assert (await world.drive(sleeper)).status == "cancelled"
        assert log.count("refund 1") == 1


async def test_a_lost_answer_is_no_second_cancel(world: World) -> None:
    # O-09, G5
    await world.start(sleeper)
    await world.drive(sleeper)
    frames = len(await world.frames())
    faulty = FaultyStore(world.store, [Fault(1, "fail_after")], clock=world.clock)

    assert await world.process(store=faulty).handle("i").cancel()
    assert len(await world.frames()) == frames + 1
