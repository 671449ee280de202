"""`ctx.removed`: operations that today's code has no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from edgeflow import Context, Outcome, Retry, Stop, step
from tests.deploying import Deployments, Part, child


@step
async def work() -> int:
    return 1


@step(retry=Retry(first=60, jitter=0))
async def shaky() -> None:
    raise ConnectionError


class World(Deployments):
    async def fresh(self, part: Part) -> Outcome[Any]:
        """Start the instance under this code, and drive it as far as it goes."""
        app = self.process(part)
        handle = await app.start("deployed", id="i")
        for name in ("one", "many"):
            await handle.send(name)
        outcome = await app.drive("i")
        while outcome.status == "suspended" and outcome.awaiting != ("never",):
            self.clock.advance(60)
            await app.run_due()
            outcome = await app.drive("i")
        return outcome

    async def under(self, part: Part) -> Outcome[Any]:
        """Go on in a new process, under this code."""
        await self.process(part).handle("i").send("never")
        return await self.process(part).drive("i")


@pytest.fixture
def world() -> World:
    return World()


async def work_only(_ctx: Context) -> int:
    return await work()


# --- one of everything --------------------------------------------------------


async def a_loop(ctx: Context) -> None:
    async def turn(count: int) -> int | Stop[Any]:
        await work.using(name="in_loop")()
        return count + 1 if count < 2 else Stop(count)

    await ctx.loop("a_loop", turn, state=0)


async def a_scope(ctx: Context) -> None:
    async with ctx.scope("a_scope"):
        await work.using(name="in_scope")()


async def a_map(ctx: Context) -> None:
    async def one(_item: str) -> int:
        return await work.using(name="in_map")()

    await ctx.map(one, ["x", "y"], key=lambda item: item)


OPERATIONS: dict[str, Part] = {
    "work": lambda _ctx: work(),
    "sleep": lambda ctx: ctx.sleep(60),
    "timer": lambda _ctx: asyncio.sleep(60),
    "receive": lambda ctx: ctx.receive("one"),
    "receive_many": lambda ctx: ctx.receive_many("many"),
    "send": lambda ctx: ctx.send("someone", "hello"),
    "a_loop": a_loop,
    "join": lambda ctx: ctx.join(
        a=work.using(name="in_join")(), b=work.using(name="in_join")()
    ),
    "race": lambda ctx: ctx.race(a=ctx.sleep(600), b=work.using(name="in_race")()),
    "map": a_map,
    "a_scope": a_scope,
    "call": lambda ctx: ctx.call(child),
    "start": lambda ctx: ctx.start(child),
    "gate": lambda ctx: ctx.version("gate", 3),
    "checkpoint": lambda ctx: ctx.checkpoint("checkpoint"),
    "status": lambda ctx: ctx.status("fine"),
}


async def at_the_root(_ctx: Context, inner: Callable[[], Awaitable[Any]]) -> Any:
    return await inner()


async def in_a_turn(ctx: Context, inner: Callable[[], Awaitable[Any]]) -> Any:
    async def turn(_state: None) -> Stop[Any]:
        return Stop(await inner())

    return await ctx.loop("around", turn, state=None)


async def in_a_scope(ctx: Context, inner: Callable[[], Awaitable[Any]]) -> Any:
    async with ctx.scope("around"):
        return await inner()


async def in_a_branch(ctx: Context, inner: Callable[[], Awaitable[Any]]) -> Any:
    async def around() -> Any:
        return await inner()

    return (await ctx.join(a=around()))["a"]


Place: TypeAlias = Callable[[Context, Callable[[], Awaitable[Any]]], Awaitable[Any]]
PLACES: list[Place] = [at_the_root, in_a_turn, in_a_scope, in_a_branch]


def before(place: Place, *names: str) -> Part:
    """Code that does these things, and waits."""

    async def part(ctx: Context) -> Any:
        async def inner() -> str:
            for name in names:
                await OPERATIONS[name](ctx)
            await ctx.receive("never", name="wait")
            return "before"

        return await place(ctx, inner)

    return part


def after(place: Place, *names: str) -> Part:
    """Code that says of these things, and of the wait, that they are no more."""

    async def part(ctx: Context) -> Any:
        async def inner() -> str:
            for name in (*names, "wait"):
                await ctx.removed(name)
            return "after"

        return await place(ctx, inner)

    return part


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_what_was_removed_is_passed_over(
    world: World, name: str, place: Place
) -> None:
    # K-15, K-14, S13, G13
    outcome = await world.fresh(before(place, name))
    assert outcome.awaiting == ("never",), outcome
    recorded = await world.history()
    assert name in [entry.name for entry in recorded]

    outcome = await world.under(after(place, name))

    assert (outcome.status, outcome.output) == ("completed", "after")


@pytest.mark.parametrize("place", PLACES)
async def test_everything_can_be_removed_at_once(world: World, place: Place) -> None:
    # K-15, S13, S31
    await world.fresh(before(place, *OPERATIONS))
    commits = len(world.store.commits)
    recorded = {str(entry.path) for entry in await world.history()}

    outcome = await world.under(after(place, *OPERATIONS))

    assert (outcome.status, outcome.output) == ("completed", "after")
    assert len(world.store.commits) - commits == 2, "the OPEN, and the end"
    left = {str(entry.path) for entry in await world.history()}
    assert left <= recorded | {str([["scope", "around", 0]])}


@pytest.mark.parametrize("place", PLACES)
async def test_a_fresh_instance_passes_by(world: World, place: Place) -> None:
    # K-15, S31
    outcome = await world.fresh(after(place, *OPERATIONS))

    assert outcome.output == "after"
    assert len(world.store.commits) == 3, "the start, the OPEN, and the end"
    places = {"around", "turn", "join"}
    assert {entry.name for entry in await world.history()} <= places


@pytest.mark.parametrize("name", OPERATIONS)
async def test_all_ordinals_of_a_name_are_covered(world: World, name: str) -> None:
    # K-15, S13
    once = {"receive", "receive_many"}
    times = 1 if name in once else 3
    await world.fresh(before(at_the_root, *[name] * times, "work"))

    async def part(ctx: Context) -> Any:
        await ctx.removed(name)
        await ctx.removed("wait")
        return await work() if name != "work" else 1

    outcome = await world.under(part)

    assert (outcome.status, outcome.output) == ("completed", 1)


async def test_what_is_left_keeps_its_outcome(world: World) -> None:
    # K-15, G8
    values = iter([10, 20])

    async def draw() -> int:
        return next(values)

    async def v1(ctx: Context) -> Any:
        found = [await ctx.step("x", draw)]
        await ctx.sleep(60)
        found.append(await ctx.step("y", draw))
        await ctx.receive("never")
        return found

    async def v2(ctx: Context) -> Any:
        found = [await ctx.step("x", draw)]
        await ctx.removed("sleep")
        found.append(await ctx.step("y", draw))
        await ctx.receive("never")
        return found

    await world.fresh(v1)

    assert (await world.under(v2)).output == [10, 20]


async def test_uses_before_the_removal_keep_their_outcome(world: World) -> None:
    # K-15, S13
    async def v1(ctx: Context) -> Any:
        found = [await work() for _ in range(3)]
        await ctx.receive("never")
        return found

    async def v2(ctx: Context) -> Any:
        found = [await work()]
        await ctx.removed("work")
        await ctx.receive("never")
        return found

    await world.fresh(v1)

    assert (await world.under(v2)).output == [1]


# --- what is under way ----------------------------------------------------------


async def test_a_step_in_back_off_can_be_removed(world: World) -> None:
    # K-15, S13
    async def v1(_ctx: Context) -> None:
        await shaky()

    async def v2(ctx: Context) -> int:
        await ctx.removed("shaky")
        return await work()

    app = world.process(v1)
    await app.start("deployed", id="i")
    assert (await app.drive("i")).status == "suspended"
    assert [entry.status for entry in await world.history()] == ["retrying"]
    world.clock.advance(60)

    outcome = await world.process(v2).drive("i")

    assert (outcome.status, outcome.output) == ("completed", 1)


async def test_a_block_in_flight_can_be_removed(world: World) -> None:
    # K-15, S13
    async def v1(ctx: Context) -> None:
        await ctx.join(a=work(), b=ctx.sleep(600), c=ctx.call(child, name="late"))

    async def v2(ctx: Context) -> int:
        await ctx.removed("join")
        return await work()

    app = world.process(v1)
    await app.start("deployed", id="i")
    assert (await app.drive("i")).status == "suspended"
    assert "open" in [entry.status for entry in await world.history()]
    world.clock.advance(600)

    outcome = await world.process(v2).drive("i")

    assert (outcome.status, outcome.output) == ("completed", 1)


# --- the limits -------------------------------------------------------------------


async def test_a_removal_holds_in_its_own_scope_only(world: World) -> None:
    # K-15, S13, G13
    await world.fresh(before(in_a_scope, "work"))

    async def part(ctx: Context) -> str:
        await ctx.removed("work")
        async with ctx.scope("around"):
            await ctx.removed("wait")
        return "after"

    outcome = await world.under(part)

    # The scope was in flight, and so vouches for nothing.
    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert "around[0] > work[0]" in outcome.error.message


async def test_a_removal_that_is_not_awaited_is_refused(world: World) -> None:
    async def part(ctx: Context) -> None:
        ctx.removed("work")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]

    outcome = await world.fresh(part)

    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert "without awaiting work" in outcome.error.message


@pytest.mark.parametrize("place", PLACES)
async def test_the_name_cannot_be_used_again_behind_the_removal(
    world: World, place: Place
) -> None:
    # S13, G13: it would be taken for what is no more
    async def part(ctx: Context) -> Any:
        async def inner() -> int:
            await ctx.removed("work")
            return await work()

        return await place(ctx, inner)

    outcome = await world.fresh(part)

    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert "give the new operation another name" in outcome.error.message
