"""Undo over joins, races, loops and maps; after a recovery, a cancellation (I)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    Context,
    Stop,
    Workflow,
    WorkflowCancelled,
    WorkflowFailed,
    current_step,
    step,
    workflow,
)
from tests import conftest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edgeflow.store import Store

WAYS = ("in one process", "anew")
"""Whether each drive is in a process of its own."""
charged: list[tuple[str, str]] = []
"""What was charged, with the key of the step."""
undone: list[str] = []


@step
async def charge(what: str) -> str:
    charged.append((what, current_step().key))
    return what


@charge.undo
async def refund(what: str) -> None:
    undone.append(what)


@pytest.fixture(autouse=True)
def _nothing_has_happened_yet() -> None:
    charged.clear()
    undone.clear()


class World(conftest.World):
    async def completed(self) -> list[str]:
        """What was charged, as the journal has it: the newest completion first."""
        steps = [e for e in await self.history() if e.name == "charge"]
        return [str(e.value) for e in steps if e.status == "completed"][::-1]

    async def finish(self, code: Workflow[None, Any], *, how: str) -> str:
        """Run it to its end."""
        if how == "in one process":
            with pytest.raises(WorkflowFailed):
                await self.process(code).run(code, id="i")
            return (await self.process().handle("i").info()).status
        await self.process(code).start(code, id="i")
        return await self.go_on(code)

    async def go_on(self, code: Workflow[None, Any]) -> str:
        """Drive it to its end, each time in another process."""
        outcome = await self.process(code).drive("i")
        while outcome.wake_at is not None:
            self.clock.advance(outcome.wake_at - self.clock.now())
            outcome = await self.process(code).drive("i")
        return outcome.status


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


async def in_a_loop(ctx: Context) -> None:
    async def turn(number: int) -> int | Stop[int]:
        await charge(f"turn {number}")
        await ctx.sleep(60)
        return Stop(0) if number == 4 else number + 1

    _ = await ctx.loop("loop", turn, state=0, prune_every=1)


async def in_an_unfinished_loop(ctx: Context) -> None:
    async def turn(number: int) -> int:
        await charge(f"turn {number}")
        await ctx.sleep(60)
        if number == 4:
            raise ValueError("in a turn")
        return number + 1

    await ctx.loop("loop", turn, state=0, prune_every=1)


async def late(ctx: Context, what: str, after: float) -> str:
    await ctx.sleep(after)
    return await charge(what)


async def in_a_join(ctx: Context) -> None:
    await ctx.join(a=late(ctx, "a", 9), b=late(ctx, "b", 6), c=late(ctx, "c", 3))


async def in_a_race(ctx: Context) -> None:
    async def loser() -> None:
        await charge("what the loser had finished")
        await late(ctx, "what the loser never did", 60)

    await ctx.race(loser=loser(), winner=late(ctx, "winner", 5))


async def in_a_map(ctx: Context) -> None:
    async def each(number: int) -> str:
        return await late(ctx, f"item {number}", 9 - number)

    await ctx.map(each, [1, 2, 3], limit=2)


async def in_a_gather(ctx: Context) -> None:
    await asyncio.gather(*(late(ctx, f"g{n}", 9 - n) for n in range(3)))


async def in_a_task_group(ctx: Context) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(late(ctx, f"t{n}", 9 - n))


async def in_a_scope(ctx: Context) -> None:
    async with ctx.scope("outer"):
        await charge("outer")
        async with ctx.scope("inner"):
            await charge("inner")


PLACES: list[tuple[Callable[[Context], Awaitable[None]], list[str]]] = [
    (in_a_loop, [f"turn {n}" for n in (4, 3, 2, 1, 0)]),
    (in_an_unfinished_loop, [f"turn {n}" for n in (4, 3, 2, 1, 0)]),
    (in_a_join, ["a", "b", "c"]),
    (in_a_race, ["winner", "what the loser had finished"]),
    (in_a_map, ["item 3", "item 1", "item 2"]),
    (in_a_gather, ["g0", "g1", "g2"]),
    (in_a_task_group, ["t0", "t1", "t2"]),
    (in_a_scope, ["inner", "outer"]),
]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(("place", "expected"), PLACES)
async def test_what_blocks_have_done_is_undone_once_newest_first(
    world: World,
    place: Callable[[Context], Awaitable[None]],
    expected: list[str],
    how: str,
) -> None:
    # I-03 G15
    @workflow
    async def code(ctx: Context) -> None:
        await charge("first")
        await place(ctx)
        await charge("last")
        raise ValueError("after it")

    assert await world.finish(code, how=how) == "failed"

    last = [] if place is in_an_unfinished_loop else ["last"]
    assert undone == [*last, *expected, "first"]
    assert undone == await world.completed()


@pytest.mark.parametrize("how", WAYS)
async def test_blocks_within_blocks_are_undone_across_their_branches(
    world: World, how: str
) -> None:
    # I-03 G15
    async def turns(ctx: Context, name: str, pause: float) -> None:
        async def turn(number: int) -> int | Stop[int]:
            await ctx.sleep(pause)
            await ctx.join(
                one=charge(f"{name}{number}"),
                two=late(ctx, f"{name}{number} late", pause / 2),
            )
            return number + 1 if number < 3 else Stop(0)

        _ = await ctx.loop("turns", turn, state=0, keep=1, prune_every=2)

    @workflow
    async def code(ctx: Context) -> None:
        await ctx.join(slow=turns(ctx, "s", 7), fast=turns(ctx, "f", 5))
        raise ValueError("after it")

    assert await world.finish(code, how=how) == "failed"

    assert len(undone) == len(set(undone)) == len(charged) == 16
    assert undone == [what for what, _ in charged][::-1]


async def test_with_a_checkpoint_in_every_turn_what_undo_needs_stays_bounded(
    world: World,
) -> None:
    # I-10 G15 S30
    sizes: list[int] = []

    @workflow
    async def code(ctx: Context) -> None:
        async def turn(number: int) -> int:
            await charge(f"turn {number}")
            await ctx.checkpoint("done")
            if number % 20 == 5:
                await ctx.sleep(60)
            if number == 100:
                await charge("after the checkpoint")
                raise ValueError("in a turn")
            return number + 1

        await ctx.loop("loop", turn, state=0, prune_every=2)

    await world.process(code).start(code, id="i")
    outcome = await world.process(code).drive("i")
    while outcome.wake_at is not None:
        sizes.append(len(await world.history()))
        world.clock.advance(outcome.wake_at - world.clock.now())
        outcome = await world.process(code).drive("i")

    assert outcome.status == "failed"
    assert undone == ["after the checkpoint"]
    assert len(sizes) == 5
    assert max(sizes) <= 12


async def test_without_a_checkpoint_pruned_turns_keep_what_undo_needs_and_no_more(
    world: World,
) -> None:
    # I-03 I-10
    @workflow
    async def code(ctx: Context) -> None:
        async def turn(number: int) -> int | Stop[int]:
            await charge(f"turn {number}")
            await ctx.sleep(0.001)
            await ctx.status(number)
            return number + 1 if number < 9 else Stop(0)

        _ = await ctx.loop("loop", turn, state=0, keep=0, prune_every=1)
        await ctx.sleep(60)

    await world.process(code).start(code, id="i")
    await world.process(code).drive("i")

    names = [entry.name for entry in await world.history()]
    assert names.count("charge") == 10
    assert names.count("status") == 0
    assert names.count("turn") == 0


# --- cancel, eviction, recover ----------------------------------------------------


async def test_a_cancelled_instance_is_undone(world: World) -> None:
    # I-09 G14
    @workflow
    async def code(ctx: Context) -> None:
        await charge("a")
        await charge("b")
        await ctx.sleep(60)
        await charge("c")

    app = world.process(code)
    await app.start(code, id="i")
    await app.drive("i")
    assert await world.process(code).handle("i").cancel()
    outcome = await world.process(code).drive("i")

    assert (outcome.status, outcome.error) == ("cancelled", None)
    assert undone == ["b", "a"]
    assert (await world.process(code).drive("i")).status == "cancelled"
    assert undone == ["b", "a"]


async def test_an_instance_cancelled_where_it_runs_is_undone(world: World) -> None:
    # I-09 G14
    at_work = asyncio.Event()

    async def work() -> None:
        at_work.set()
        await world.clock.sleep(600)

    @workflow
    async def code(ctx: Context) -> None:
        await charge("a")
        await charge("b")
        try:
            await ctx.step("work", work)
        finally:
            await charge("c")

    app = world.process(code)
    async with app:
        run = asyncio.create_task(app.run(code, id="i"))
        await at_work.wait()
        assert await app.handle("i").cancel()
        with pytest.raises(WorkflowCancelled):
            await run

    assert undone == ["b", "a"]
    assert len(charged) == 2
    statuses = {e.name: e.status for e in await world.history() if e.name == "work"}
    assert statuses == {"work": "cancelled"}


async def test_an_evicted_instance_is_not_undone(world: World) -> None:
    # I-09 G14
    entered: list[int] = []

    @workflow
    async def code(ctx: Context) -> str:
        await charge("a")
        await charge("b")
        return await ctx.step("work", work)

    async def work() -> str:
        entered.append(1)
        if len(entered) == 1:
            await world.clock.sleep(600)
        return "well"

    app = world.process(code)
    await app.start(code, id="i")
    assert (await app.drive("i", deadline=10)).status == "suspended"
    assert undone == []

    assert (await world.process(code).drive("i")).output == "well"
    assert undone == []


async def test_after_a_recovery_only_what_was_undone_runs_again_under_other_keys(
    world: World,
) -> None:
    # I-11 G8 S15
    mended = False
    plain: list[int] = []

    @workflow
    async def code(ctx: Context) -> str:
        await ctx.step("plain", lambda: plain.append(1))
        await charge("a")
        await ctx.join(b=charge("b"), c=late(ctx, "c", 5))
        await ctx.sleep(60)
        if not mended:
            raise ValueError("no")
        await ctx.sleep(60)
        raise ValueError("again")

    assert await world.finish(code, how="anew") == "failed"
    first = dict(charged)
    assert undone == ["c", "b", "a"]

    charged.clear()
    undone.clear()
    mended = True
    await world.process(code).handle("i").recover()
    assert (await world.process(code).drive("i")).status == "suspended"

    second = dict(charged)
    assert sorted(second) == ["a", "b", "c"]
    assert all(second[what] != first[what] for what in first)
    assert undone == []
    assert len(plain) == 1

    world.clock.advance(60)
    assert (await world.process(code).drive("i")).status == "failed"
    assert undone == ["c", "b", "a"]
    assert len(charged) == 3


async def test_a_recovery_in_a_loop_undoes_the_new_results_once(world: World) -> None:
    # I-11 G8
    fails = [True, True, False]

    @workflow
    async def code(ctx: Context) -> str:
        async def turn(number: int) -> int | Stop[str]:
            await charge(f"turn {number}")
            await ctx.sleep(60)
            if number == 3 and fails[0]:
                raise ValueError("no")
            return number + 1 if number < 4 else Stop("well")

        return await ctx.loop("loop", turn, state=0, prune_every=2)

    assert await world.finish(code, how="anew") == "failed"
    for status in ("failed", "completed"):
        assert undone == [f"turn {n}" for n in (3, 2, 1, 0)]
        assert [what for what, _ in charged][:4] == undone[::-1]
        charged.clear()
        undone.clear()
        fails.pop(0)
        await world.process(code).handle("i").recover()
        assert await world.go_on(code) == status

    assert undone == []
    assert [what for what, _ in charged] == [f"turn {n}" for n in range(5)]
