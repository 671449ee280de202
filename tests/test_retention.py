"""Deleting, and keeping what has ended: L-17, `keep_finished`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    Context,
    Fenced,
    UnknownInstance,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.faults import Crashed, Fault, FaultyStore

if TYPE_CHECKING:
    from tests.conftest import World


# --- delete -----------------------------------------------------------------


async def test_delete_fences_whoever_runs_it_and_the_id_starts_afresh(
    world: World,
) -> None:
    # L-17, G4
    names: list[str] = []
    began = asyncio.Event()

    @step
    async def slow(name: str) -> None:
        names.append(name)
        began.set()
        current_step().state["name"] = name
        await world.clock.sleep(60)

    @workflow
    async def body(ctx: Context, name: str) -> str:
        await slow(name)
        found = await ctx.receive_many("m", timeout=5)
        return f"{name} {len(found)}"

    await world.process(body).start(body, "first", id="i")
    await world.process().handle("i").send("m", id="m1")
    driving = asyncio.create_task(world.process(body).drive("i"))
    await began.wait()

    handle = world.process(body).handle("i")
    await handle.delete()

    with pytest.raises(UnknownInstance, match="'i'"):
        await handle.info()
    with pytest.raises(UnknownInstance):
        await handle.state()
    with pytest.raises(Fenced):
        await driving
    assert names == ["first"]

    await world.process(body).start(body, "second", id="i")
    outcome = await world.drive(body)
    assert outcome.status == "suspended"
    assert (await world.later(body, 5)).output == "second 0"
    assert names == ["first", "second"]
    assert await handle.state() == {"name": "second"}


async def test_delete_in_the_process_that_runs_it_stops_the_run(world: World) -> None:
    # L-17, G4
    began = asyncio.Event()
    ended: list[str] = []

    @step
    async def slow() -> None:
        began.set()
        try:
            await world.clock.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    @workflow
    async def body(ctx: Context) -> str:
        await slow()
        return ctx.id

    async with world.process(body) as app:
        handle = await app.start(body, id="i")
        await began.wait()
        await handle.delete()
        await world.clock.sleep(100)

        with pytest.raises(UnknownInstance):
            await handle.info()
    assert ended == ["cancelled"]


# --- what has ended is kept for a time ----------------------------------------


@workflow(name="quick")
async def quick(ctx: Context, how: str) -> str:
    if how == "failed":
        raise LookupError(how)
    if how in {"cancelled", "suspended"}:
        await ctx.receive("never")
    if how == "blocked":
        asyncio.get_running_loop().run_in_executor(None, print)
    return how


HOW = ["completed", "failed", "cancelled", "suspended", "blocked", "pending"]


async def all_of_them(world: World) -> None:
    for how in HOW:
        await world.start(quick, how, how)
        if how != "pending":
            await world.drive(quick, how)
    await world.handle("cancelled").cancel()
    await world.drive(quick, "cancelled")
    for how in HOW:
        assert (await world.info(how)).status == how


async def left(world: World) -> list[str]:
    return [info.id async for info in world.process().find()]


async def test_run_due_deletes_what_ended_long_ago(world: World) -> None:
    # G14
    await all_of_them(world)
    world.clock.advance(59)
    app = world.process(keep_finished=60)
    await app.run_due()
    assert set(await left(world)) == set(HOW)

    world.clock.advance(1)
    await world.process().run_due()
    assert set(await left(world)) == set(HOW), "by default they are kept for ever"
    await app.run_due()

    assert set(await left(world)) == {"suspended", "blocked", "pending"}
    with pytest.raises(UnknownInstance):
        await world.info("completed")


async def test_a_worker_deletes_what_ended_long_ago(world: World) -> None:
    # G15
    async with world.process(quick, keep_finished=60) as app:
        handle = await app.start(quick, "completed", id="first")
        assert await handle.result() == "completed"
        await world.clock.sleep(30)
        await app.start(quick, "completed", id="second")
        for _ in range(20):
            await world.clock.sleep(2)
        assert await left(world) == ["second"]
        for _ in range(20):
            await world.clock.sleep(2)
        assert await left(world) == []


async def test_what_was_recovered_meanwhile_is_not_deleted(world: World) -> None:
    # G14
    await world.start(quick, "failed")
    await world.drive(quick)
    world.clock.advance(60)
    await world.handle().recover()
    await world.process(keep_finished=1).run_due()

    assert await left(world) == ["i"]


async def test_who_is_not_there_any_more_can_be_started_again(world: World) -> None:
    # L-17
    await world.start(quick, "completed")
    await world.handle().send("m", id="m1")
    await world.drive(quick)
    world.clock.advance(60)
    await world.process(keep_finished=60).run_due()
    await world.start(quick, "failed")

    assert (await world.drive(quick)).status == "failed"
    assert list(await world.store.unread("i")) == []


@pytest.mark.parametrize("kind", ["crash_before", "crash_after"])
async def test_a_delete_cut_at_its_write_happened_or_did_not(
    world: World, kind: Any
) -> None:
    # O-09, G3
    await world.start(quick, "completed")
    await world.handle().send("m", id="m1")
    faulty = FaultyStore(world.store, [Fault(1, kind)], clock=world.clock)
    with pytest.raises(Crashed):
        await world.process(store=faulty).handle("i").delete()

    if kind == "crash_before":
        assert [m.id for m in await world.store.unread("i")] == ["m1"]
        assert (await world.drive(quick)).output == "completed"
    else:
        assert await left(world) == []
        assert list(await world.store.unread("i")) == []
