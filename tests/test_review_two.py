"""What a second reviewer looked for: endings, forgetting, and crashes in between."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    BodyError,
    Context,
    Retry,
    StepError,
    Stop,
    StoreUnavailable,
    current_step,
    step,
    workflow,
)
from edgeflow.store import Committed
from edgeflow_memory import MemoryStore
from tests.conftest import Shared, World

if TYPE_CHECKING:
    from edgeflow import Handle, Workflow
    from edgeflow.store import Commit, Envelope, Store

calls: list[Any] = []
trouble: set[Any] = set()
"""Tags of the calls that fail."""


@pytest.fixture(autouse=True)
def _none() -> None:
    calls.clear()
    trouble.clear()


@pytest.fixture
def world() -> World:
    return World(MemoryStore())


@step(retry=Retry(attempts=1))
async def work(tag: Any, seconds: float = 0) -> Any:
    calls.append(tag)
    if seconds:
        await current_step().resources.sleep(seconds)
    if tag in trouble:
        raise ValueError(f"no {tag}")
    return tag


@step(retry=Retry(attempts=2, first=50, jitter=0))
async def again(tag: Any) -> Any:
    calls.append(tag)
    if tag in trouble:
        raise ValueError(f"no {tag}")
    return tag


async def take_back(value: object) -> None:
    calls.append(("undo", value))


def process(world: World, *workflows: Workflow[Any, Any], **settings: Any) -> App:
    return world.process(
        *workflows, lifespan=lambda: nullcontext(world.clock), **settings
    )


# --- a crash between the last completion and the end --------------------------------


class Ends(Shared):
    """A process that can commit so many times, and is gone then."""

    def __init__(self, inner: Store, left: int) -> None:
        super().__init__(inner)
        self.left = left

    async def commit(self, instance: str, commit: Commit) -> Committed:
        if not self.left:
            raise StoreUnavailable("the process is gone")
        self.left -= 1
        return await super().commit(instance, commit)


@pytest.mark.parametrize("how", ["gather", "map", "group"])
@pytest.mark.parametrize("commits", range(1, 5))
async def test_an_end_is_found_again_though_a_sibling_was_done_in_the_same_flush(
    world: World, how: str, commits: int
) -> None:
    # G8, G9, G13
    @workflow
    async def fails(ctx: Context) -> None:
        if how == "gather":
            await asyncio.gather(work("a"), work("b"))
        elif how == "map":
            await ctx.map(work, ["a", "b"])
        else:
            async with asyncio.TaskGroup() as group:
                group.create_task(work("a"))
                group.create_task(work("b"))

    trouble.add("a")
    await world.start(fails)
    mortal = process(world, fails, store=Ends(world.store, commits))
    with suppress(StoreUnavailable):
        await mortal.drive("i")
    outcome = await process(world, fails).drive("i")

    assert outcome.status == "failed", outcome.error


# --- messages that go out with the end ----------------------------------------------


class Apart(Shared):
    """A store whose sends cannot join the commit, and may not be possible at all."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.limits = replace(inner.limits, joins_sends=False)
        self.cut = False

    async def commit(self, instance: str, commit: Commit) -> Committed:
        await super().commit(instance, replace(commit, sends=()))
        return Committed(commit.sends)

    async def send(self, message: Envelope) -> bool:
        if self.cut:
            raise StoreUnavailable("the process is gone")
        return await super().send(message)


async def test_who_ends_with_a_message_is_due_until_it_is_delivered(
    world: World,
) -> None:
    # D-12, G2, G11
    @workflow
    async def sends(ctx: Context) -> None:
        await ctx.send("other", "news", 1)

    store = Apart(world.store)
    await world.start(sends)
    store.cut = True
    with pytest.raises(StoreUnavailable):
        await world.process(sends, store=store).drive("i")
    store.cut = False
    world.clock.advance(31)
    await world.process(sends, store=store).run_due()

    assert [each.name for each in await store.unread("other")] == ["news"]
    assert (await world.info()).status == "completed"


async def test_a_parent_hears_of_an_end_whose_message_could_not_join_the_commit(
    world: World,
) -> None:
    # D-12, G2, G11
    @workflow
    async def child(_ctx: Context) -> int:
        return 5

    @workflow
    async def parent(ctx: Context) -> int:
        return await ctx.call(child, id="child")

    store = Apart(world.store)
    app = world.process(parent, child, store=store)
    await app.start(parent, id="i")
    assert (await app.drive("i")).status == "suspended"
    store.cut = True
    with pytest.raises(StoreUnavailable):
        await app.drive("child")
    store.cut = False
    world.clock.advance(31)
    other = world.process(parent, child, store=store)
    for _ in range(3):
        await other.run_due()

    assert (await other.handle("i").result()) == 5


# --- rewind ---------------------------------------------------------------------------


async def test_a_cancelled_instance_is_rewound_with_all_that_was_cut_off_with_it(
    world: World,
) -> None:
    # S16, G13
    running = asyncio.Event()

    async def last() -> str:
        running.set()
        return str(await work("b", 60))

    @workflow
    async def joins(ctx: Context) -> Any:
        await work("before")
        return await ctx.join(a=work("a", 60), b=ctx.step("last", last))

    await world.start(joins)
    app = process(world, joins)
    driven = asyncio.create_task(app.drive("i"))
    await running.wait()
    handle: Handle[Any] = app.handle("i")
    assert await handle.cancel()
    assert (await driven).status == "cancelled"
    path = await world.path("join", ("a", 0), "work")
    await handle.rewind(path)
    outcome = await process(world, joins).drive("i")

    assert outcome.output == {"a": "a", "b": "b"}
    assert calls == ["before", "a", "b", "a", "b"]


async def test_a_loop_that_kept_its_value_over_a_recovery_is_rewound_alone(
    world: World,
) -> None:
    # S16
    async def turn(number: int) -> int | Stop[int]:
        await work(("turn", number))
        return Stop(number) if number == 1 else number + 1

    @workflow
    async def loops(ctx: Context) -> None:
        await work("before")
        await work("as well")
        assert await ctx.loop("two", turn, state=0) == 1
        await work("after")
        await work("last")

    trouble.add("last")
    await world.start(loops)
    assert (await world.drive(loops)).status == "failed"
    await world.handle().recover()
    trouble.clear()
    assert (await world.drive(loops)).status == "completed"
    calls.clear()
    await world.handle().rewind(await world.path("two"))
    assert (await world.drive(loops)).status == "completed"

    assert calls == [("turn", 0), ("turn", 1), "after", "last"]

    calls.clear()
    for entry in await world.history():
        if entry.name == "work" and len(entry.path) == 3:
            await world.handle().rewind(entry.path)
            break
    assert (await world.drive(loops)).status == "completed"
    assert "before" not in calls


async def test_a_loop_that_keeps_no_turn_starts_again_without_what_an_undo_had_left(
    world: World,
) -> None:
    # S16, S22, G13
    @workflow
    async def loops(ctx: Context) -> Any:
        async def turn(number: int) -> int | Stop[int]:
            if number:
                await ctx.sleep(2)
                return Stop(number)
            await work.using(undo=take_back)("turn")
            return 1

        return await ctx.join(
            loop=ctx.loop("two", turn, state=0, keep=0), other=work("other", 1)
        )

    await world.start(loops)
    assert (await process(world, loops).drive("i")).status == "suspended"
    world.clock.advance(2)
    assert (await process(world, loops).drive("i")).status == "completed"
    path = await world.path("join", ("other", 0), "work")
    await world.handle().rewind(path)
    await process(world, loops).drive("i")
    world.clock.advance(2)
    outcome = await process(world, loops).drive("i")

    assert outcome.output == {"loop": 1, "other": "other"}, outcome.error
    assert (calls.count("turn"), calls.count("other")) == (2, 2)


async def test_a_checkpoint_of_a_pruned_turn_holds_when_a_later_one_is_rewound(
    world: World,
) -> None:
    # S16, S30
    async def turn(ctx: Context, number: int) -> int | Stop[int]:
        await ctx.checkpoint("done")
        await work(number)
        return Stop(number) if number == 3 else number + 1

    @workflow
    async def loops(ctx: Context) -> None:
        await work.using(undo=take_back)("charge")
        await ctx.loop(
            "two", lambda number: turn(ctx, number), state=0, keep=0, prune_every=1
        )

    trouble.add(3)
    await world.start(loops)
    assert (await world.drive(loops)).status == "failed"
    last = [e.path for e in await world.history() if e.kind == "checkpoint"][-1]
    await world.handle().rewind(last)
    await world.handle().cancel()
    assert (await world.drive(loops)).status == "cancelled"

    assert ("undo", "charge") not in calls


@pytest.mark.parametrize("keys", [(1, True), (0, False), (1, "1"), ("1", 1)])
async def test_keys_of_a_map_that_are_equal_in_any_way_are_refused(
    world: World, keys: tuple[str | int, str | int]
) -> None:
    # S21
    @workflow
    async def maps(ctx: Context) -> str:
        try:
            await ctx.map(work, [0, 1], key=lambda place: keys[place])
        except ValueError:
            return "refused"
        return "taken"

    await world.start(maps)

    assert (await world.drive(maps)).output == "refused"


# --- recover --------------------------------------------------------------------------


async def test_what_was_backing_off_at_a_failure_may_be_asked_for_late_or_never(
    world: World,
) -> None:
    # G13
    @workflow
    async def tries(ctx: Context) -> str:
        try:
            await work("first")
        except StepError:
            await asyncio.gather(again("meanwhile"), work("second", 1))
        return "well"

    trouble.update(["first", "second", "meanwhile"])
    await world.start(tries)
    assert (await process(world, tries).drive("i")).status == "failed"
    kinds = {e.name: e.status for e in await world.history()}
    assert kinds["again"] == "retrying"
    trouble.clear()
    await world.handle().recover()
    outcome = await process(world, tries).drive("i")

    assert (outcome.status, outcome.output) == ("completed", "well")


# --- cancel ---------------------------------------------------------------------------


class Held(Shared):
    """Holds the commits of a status until it is told to go on."""

    def __init__(self, inner: Store, status: str) -> None:
        super().__init__(inner)
        self.status = status
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def commit(self, instance: str, commit: Commit) -> Committed:
        if commit.status == self.status:
            self.reached.set()
            await self.go_on.wait()
        return await super().commit(instance, commit)


async def test_what_becomes_blocked_while_it_is_cancelled_is_cancelled(
    world: World,
) -> None:
    # S17
    @workflow
    async def breaks(_ctx: Context) -> None:
        await work("a")
        raise BodyError("against the rules")

    @workflow
    async def returns(_ctx: Context) -> str:
        return str(await work("a"))

    for known, status, accepted in (
        (breaks, "blocked", True),
        (returns, "completed", False),
    ):
        store = Held(world.store, status)
        await world.start(known, instance=status)
        app = world.process(known, store=store)
        driven = asyncio.create_task(app.drive(status))
        await store.reached.wait()
        cancelled = asyncio.create_task(app.handle(status).cancel())
        for _ in range(5):
            await asyncio.sleep(0)
        store.go_on.set()
        assert (await driven).status == status
        assert await cancelled is accepted
        after = await world.drive(known, status)
        assert after.status == ("cancelled" if accepted else status)


@pytest.mark.parametrize("way", ["cancel", "rewind"])
async def test_what_is_done_from_outside_is_due_though_the_clock_went_back(
    world: World, way: str
) -> None:
    # S17, S38, G10
    @workflow
    async def sleeps(ctx: Context) -> None:
        await work("a")
        await ctx.sleep(10_000)

    await world.start(sleeps)
    await world.drive(sleeps)
    world.clock.advance(-3600)
    if way == "cancel":
        await world.handle().cancel()
    else:
        await world.handle().rewind(await world.path("work"))
    (outcome,) = await world.run_due(sleeps)

    assert outcome.status == ("cancelled" if way == "cancel" else "suspended")
    assert calls == (["a"] if way == "cancel" else ["a", "a"])


async def test_who_died_after_the_clock_went_back_is_due_when_its_lease_is_over(
    world: World,
) -> None:
    # S35, S38, G10
    @workflow
    async def sleeps(ctx: Context) -> str:
        await work("a")
        await ctx.sleep(1)
        return "slept"

    await world.start(sleeps)
    await world.drive(sleeps)
    world.clock.advance(-3600)
    await world.handle().rewind(await world.path("work"))
    with pytest.raises(StoreUnavailable):
        await world.process(sleeps, store=Ends(world.store, 1)).drive("i")
    world.clock.advance(31)

    assert len(await world.run_due(sleeps)) == 1
