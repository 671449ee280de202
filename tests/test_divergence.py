"""Code that does not ask for what is recorded: in every scope, before anything runs.

The root, and what becomes of a blocked instance, are in `test_lifecycle.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import pytest

from edgeflow import (
    Context,
    ErrorInfo,
    Outcome,
    Retry,
    Stop,
    Winner,
    step,
)
from tests.deploying import CALLS, Deployments, Part, one, three, two


@step(retry=Retry(first=60, jitter=0))
async def shaky() -> int:
    CALLS["shaky"] += 1
    raise ConnectionError


class World(Deployments):
    def __init__(self) -> None:
        super().__init__()
        CALLS.clear()

    async def stored(self, part: Part) -> None:
        """Let the old code get to its wait, and let the wait be over."""
        app = self.process(part, "1")
        await app.start("deployed", id="i")
        assert (await app.drive("i")).status == "suspended"
        CALLS.clear()
        self.clock.advance(60)

    async def under(self, part: Part, version: str = "2") -> Outcome[Any]:
        """Go on in a new process, under this code."""
        return await self.process(part, version).drive("i")


@pytest.fixture
def world() -> World:
    return World()


def reason(outcome: Outcome[Any]) -> str:
    """Why it is blocked; it must be by a divergence, with all that is to be said."""
    assert outcome.status == "blocked", outcome
    error = outcome.error
    assert isinstance(error, ErrorInfo)
    assert error.type == "edgeflow.errors.HistoryDiverged"
    assert "the journal holds" in error.message
    assert "the code asks for" in error.message
    assert "call recover()" in error.message
    return error.message


# --- in every scope -----------------------------------------------------------


async def in_the_root(ctx: Context, *steps: Callable[[], Awaitable[int]]) -> Any:
    found = [await each() for each in steps]
    await ctx.sleep(60)
    return found


async def in_a_scope(ctx: Context, *steps: Callable[[], Awaitable[int]]) -> Any:
    async with ctx.scope("block"):
        return await in_the_root(ctx, *steps)


async def in_a_turn(ctx: Context, *steps: Callable[[], Awaitable[int]]) -> Any:
    async def turn(number: int) -> int | Stop[Any]:
        found = await in_the_root(ctx, *steps)
        return number + 1 if number == 0 else Stop(found)

    return await ctx.loop("turns", turn, state=0)


async def in_a_join(ctx: Context, *steps: Callable[[], Awaitable[int]]) -> Any:
    return await ctx.join(a=in_the_root(ctx, *steps), b=ctx.sleep(600))


async def in_a_race(ctx: Context, *steps: Callable[[], Awaitable[int]]) -> Any:
    return await ctx.race(a=in_the_root(ctx, *steps), b=ctx.sleep(600))


async def in_a_map(ctx: Context, *steps: Callable[[], Awaitable[int]]) -> Any:
    async def item(_item: int) -> Any:
        return await in_the_root(ctx, *steps)

    return await ctx.map(item, [0])


async def in_a_task(ctx: Context, *steps: Callable[[], Awaitable[int]]) -> Any:
    return await asyncio.gather(in_the_root(ctx, *steps), ctx.receive("m", timeout=600))


async def under_except(ctx: Context, *steps: Callable[[], Awaitable[int]]) -> Any:
    try:
        return await in_the_root(ctx, *steps)
    except Exception:
        return await three()


async def as_exceptions(ctx: Context, *steps: Callable[[], Awaitable[int]]) -> Any:
    found = await asyncio.gather(in_the_root(ctx, *steps), return_exceptions=True)
    await three()
    return repr(found)


Place: TypeAlias = Callable[..., Awaitable[Any]]
PLACES: dict[Place, str] = {
    in_the_root: "",
    in_a_scope: "block[0] > ",
    in_a_turn: "turns[0] > turn[0] > ",
    in_a_join: "join[0] > a[0] > ",
    in_a_race: "race[0] > a[0] > ",
    in_a_map: "map[0] > item[0] > ",
    in_a_task: "",
    under_except: "",
    as_exceptions: "",
}
CHANGES = {
    "renamed": ((one,), (one.using(name="uno"),), "one[0]"),
    "removed at the end": ((one, two), (one,), "two[0]"),
    "inserted before": ((one,), (three, one), "one[0]"),
    "swapped": ((one, two), (two, one), "one[0]"),
    "in back-off and renamed": ((shaky,), (three,), "shaky[0]"),
    "in back-off and removed": ((shaky,), (), "shaky[0]"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_diverges_in_every_scope_and_runs_nothing(
    world: World, change: str, place: Place
) -> None:
    # K-01, K-02, K-06, S12, G9, G13
    old, new, path = CHANGES[change]
    await world.stored(lambda ctx: place(ctx, *old))
    before = await world.history()

    outcome = await world.under(lambda ctx: place(ctx, *new))

    assert f"differ at {PLACES[place]}{path}" in reason(outcome)
    assert CALLS == {}, "no function is entered"
    assert await world.history() == before, "nothing is stored of it, no winner either"


@pytest.mark.parametrize("place", PLACES)
async def test_a_step_behind_all_that_is_recorded_runs(
    world: World, place: Place
) -> None:
    # K-02
    await world.stored(lambda ctx: place(ctx, one))

    outcome = await world.under(lambda ctx: place(ctx, one, three))

    assert outcome.status == "suspended"
    assert CALLS == {"three": 1}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["sleep", "receive", "version", "status"])
async def test_another_kind_diverges_in_every_scope_and_names_both(
    world: World, kind: str, place: Place
) -> None:
    # K-03, K-06, G13
    def new(ctx: Context) -> Callable[[], Awaitable[Any]]:
        match kind:
            case "sleep":
                return lambda: ctx.sleep(1, name="one")
            case "receive":
                return lambda: ctx.receive("m", name="one")
            case "version":
                return lambda: ctx.version("one", 2)
            case _:
                return one.using(name="status")

    async def status(ctx: Context) -> Any:
        return await place(ctx, lambda: ctx.status(1))

    await world.stored(status if kind == "status" else lambda ctx: place(ctx, one))

    why = reason(await world.under(lambda ctx: place(ctx, new(ctx))))

    pair = ("step", kind) if kind != "status" else ("status", "step")
    assert f"holds a {pair[0]}, the code asks for a {pair[1]}" in why
    assert CALLS == {}


# --- blocks in flight -----------------------------------------------------------


def joined(*names: str) -> Part:
    async def part(ctx: Context) -> Any:
        return await ctx.join(**{name: ctx.sleep(600) for name in names}, z=one())

    return part


def raced(*names: str) -> Part:
    async def part(ctx: Context) -> Any:
        works = {name: ctx.sleep(600, name=name) for name in names}
        return (await ctx.race(**works)).name

    return part


def mapped(*names: str) -> Part:
    async def part(ctx: Context) -> Any:
        async def nap(name: str) -> str:
            await ctx.sleep(600)
            return name

        return await ctx.map(nap, names, key=lambda name: name)

    return part


@pytest.mark.parametrize("block", [joined, raced, mapped])
@pytest.mark.parametrize(
    ("names", "changed"),
    [(("a",), "b"), (("a", "b", "c"), "c"), (("a", "c"), "b"), (("c",), "a")],
    ids=["removed", "added", "renamed", "removed and renamed"],
)
async def test_a_branch_that_changed_in_flight_diverges_and_is_named(
    world: World, block: Callable[..., Part], names: tuple[str, ...], changed: str
) -> None:
    # K-04, G13
    await world.stored(block("a", "b"))
    world.clock.advance(600)

    why = reason(await world.under(block(*names)))

    assert f" > {changed}" in why
    assert f"branch '{changed}'" in why
    assert CALLS == {}


async def test_items_that_came_to_a_map_in_flight_diverge(world: World) -> None:
    # K-04, G13
    def part(count: int) -> Part:
        async def body(ctx: Context) -> Any:
            async def item(_item: int) -> None:
                await ctx.sleep(600)

            return await ctx.map(item, list(range(count)))

        return body

    await world.stored(part(2))
    world.clock.advance(600)

    why = reason(await world.under(part(3)))

    assert "map[0]" in why
    assert "holds 2 branches, the code asks for 3 branches" in why


@pytest.mark.parametrize("block", [joined, raced, mapped])
async def test_branches_in_another_order_are_the_same(
    world: World, block: Callable[..., Part]
) -> None:
    # K-04
    await world.stored(block("a", "b"))
    world.clock.advance(600)

    outcome = await world.under(block("b", "a"))

    assert outcome.status == "completed"


# --- blocks that have ended -------------------------------------------------------


Inner: TypeAlias = Callable[[Context], Awaitable[Any]]
Block: TypeAlias = Callable[[Context, Inner], Awaitable[Any]]


async def finished_join(ctx: Context, inner: Inner) -> Any:
    found: dict[str, Any] = await ctx.join(a=inner(ctx), b=inner(ctx))
    await ctx.sleep(60)
    return found


async def finished_race(ctx: Context, inner: Inner) -> Any:
    found: Winner = await ctx.race(a=inner(ctx), b=ctx.sleep(600))
    await ctx.sleep(60)
    return [found.name, found.value]


async def finished_map(ctx: Context, inner: Inner) -> Any:
    async def item(_item: int) -> Any:
        return await inner(ctx)

    found = await ctx.map(item, [0, 1])
    await ctx.sleep(60)
    return found


async def finished_loop(ctx: Context, inner: Inner) -> Any:
    async def turn(_state: None) -> Stop[Any]:
        return Stop(await inner(ctx))

    found: Any = await ctx.loop("turns", turn, state=None)
    await ctx.sleep(60)
    return found


async def inner_before(_ctx: Context) -> list[int]:
    return [await one(), await two()]


async def inner_renamed(_ctx: Context) -> list[int]:
    return [await one.using(name="uno")(), await two()]


async def inner_less(_ctx: Context) -> list[int]:
    return [await one()]


async def inner_more(_ctx: Context) -> list[int]:
    return [await one(), await three(), await two()]


async def inner_swapped(_ctx: Context) -> list[int]:
    return [await two(), await one()]


async def inner_of_another_kind(ctx: Context) -> list[int]:
    await ctx.sleep(1, name="one")
    return [await two()]


async def inner_of_another_type(ctx: Context) -> list[Any]:
    async def text() -> str:
        return "one"

    return [await ctx.step("one", text), await two()]


async def inner_that_fails(_ctx: Context) -> list[int]:
    raise RuntimeError("the new code fails")


@pytest.mark.parametrize(
    "inner",
    [
        inner_renamed,
        inner_less,
        inner_more,
        inner_swapped,
        inner_of_another_kind,
        inner_of_another_type,
        inner_that_fails,
    ],
)
@pytest.mark.parametrize(
    "block", [finished_join, finished_race, finished_map, finished_loop]
)
async def test_a_finished_block_vouches_for_what_is_in_it(
    world: World, block: Block, inner: Inner
) -> None:
    # K-05, G8
    await world.stored(lambda ctx: block(ctx, inner_before))
    expected: dict[Block, object] = {
        finished_join: {"a": [1, 2], "b": [1, 2]},
        finished_race: ["a", [1, 2]],
        finished_map: [[1, 2], [1, 2]],
        finished_loop: [1, 2],
    }

    outcome = await world.under(lambda ctx: block(ctx, inner))

    assert (outcome.status, outcome.output) == ("completed", expected[block])
    assert CALLS == {}


async def test_a_finished_scope_vouches_for_what_is_in_it_no_more(
    world: World,
) -> None:
    # K-05, G8
    async def before(ctx: Context) -> str:
        async with ctx.scope("block"):
            await one()
            await two()
        await ctx.sleep(60)
        return "before"

    async def after(ctx: Context) -> str:
        async with ctx.scope("block"):
            await two()
        await ctx.sleep(60)
        return "after"

    await world.stored(before)

    assert (await world.under(after)).output == "after"
    assert CALLS == {}


async def test_what_is_new_in_a_finished_scope_diverges(world: World) -> None:
    # K-05, S12, G13: its code is part of the body, and would have to run in the past
    async def before(ctx: Context) -> None:
        async with ctx.scope("block"):
            await one()
        await ctx.sleep(60)

    async def after(ctx: Context) -> None:
        async with ctx.scope("block"):
            await one()
            await three()
        await ctx.sleep(60)

    await world.stored(before)

    assert "block[0]" in reason(await world.under(after))
    assert CALLS == {}


async def test_the_outermost_finished_block_vouches_for_the_blocks_in_it(
    world: World,
) -> None:
    # K-05, G8
    async def before(ctx: Context) -> Any:
        return await finished_join(ctx, lambda ctx: ctx.join(c=one(), d=two()))

    async def after(ctx: Context) -> Any:
        return await finished_join(ctx, lambda ctx: ctx.join(c=one(), e=three()))

    await world.stored(before)

    outcome = await world.under(after)

    inner = {"c": 1, "d": 2}
    assert (outcome.status, outcome.output) == ("completed", {"a": inner, "b": inner})
    assert CALLS == {}


async def test_a_finished_block_vouches_for_what_it_left_and_so_cancelled(
    world: World,
) -> None:
    # K-05, G8
    left: list[object] = []

    async def leaving() -> int:
        left.append(asyncio.create_task(shaky()))
        return await one()

    async def before(ctx: Context) -> Any:
        return await finished_join(ctx, lambda _ctx: leaving())

    async def after(ctx: Context) -> Any:
        return await finished_join(ctx, lambda _ctx: one())

    await world.stored(before)
    assert "cancelled" in [entry.status for entry in await world.history()]

    assert (await world.under(after)).output == {"a": 1, "b": 1}


async def test_turns_that_are_past_vouch_for_what_they_left_and_so_cancelled(
    world: World,
) -> None:
    # K-05, G8
    left: list[object] = []

    async def part(ctx: Context) -> Any:
        async def turn(number: int) -> int | Stop[Any]:
            if number:
                await ctx.sleep(60)
                return Stop(number)
            left.append(asyncio.create_task(shaky()))
            return await one()

        return await ctx.loop("turns", turn, state=0)

    await world.stored(part)
    assert "cancelled" in [entry.status for entry in await world.history()]

    assert (await world.under(part)).output == 1


@step(retry=Retry(attempts=1))
async def doomed() -> None:
    raise ConnectionError


async def test_a_block_that_is_done_again_after_a_recovery_vouches_for_nothing(
    world: World,
) -> None:
    # K-04, G13
    async def before(ctx: Context) -> None:
        await ctx.join(a=one(), b=two())
        await doomed()

    async def after(ctx: Context) -> None:
        await ctx.join(a=one(), b=ctx.sleep(1, name="two"))

    app = world.process(before)
    await app.start("deployed", id="i")
    assert (await app.drive("i")).status == "failed"
    await app.handle("i").recover()

    assert "holds a step, the code asks for a sleep" in reason(await world.under(after))


# --- it cannot be swallowed -------------------------------------------------------


async def test_a_race_with_a_diverged_branch_has_no_winner(world: World) -> None:
    # K-06, G13
    async def before(ctx: Context) -> Any:
        async def branch() -> None:
            await one()
            await ctx.sleep(600)

        return await ctx.race(a=branch(), b=ctx.sleep(900))

    async def after(ctx: Context) -> Any:
        async def branch() -> str:
            with suppress(BaseException):
                await ctx.sleep(1, name="one")
            with suppress(BaseException):
                await three()
            return "won"

        with suppress(BaseException):
            found = await ctx.race(a=branch(), b=ctx.sleep(900))
            await three()
            return found.name
        return "swallowed"

    await world.stored(before)
    world.clock.advance(900)
    entries = await world.history()

    why = reason(await world.under(after))

    assert "race[0] > a[0] > one[0]" in why
    assert CALLS == {}
    assert await world.history() == entries


# --- what becomes of the instance -------------------------------------------------


@step
async def charged() -> int:
    CALLS["charged"] += 1
    return 1


@charged.undo
async def refunded(_amount: int) -> None:
    CALLS["refunded"] += 1


async def charged_and_two(ctx: Context) -> list[int]:
    found = [await charged(), await two()]
    await ctx.sleep(60)
    return found


async def charged_and_three(ctx: Context) -> list[int]:
    found = [await charged(), await three()]
    await ctx.sleep(60)
    return found


async def test_a_divergence_undoes_nothing(world: World) -> None:
    # K-07, I-08, G13
    await world.stored(charged_and_two)
    entries = await world.history()
    commits = len(world.store.commits)

    why = reason(await world.under(charged_and_three))

    assert "two[0]" in why
    assert CALLS == {}
    assert await world.history() == entries
    written = [commit.status for commit in world.store.commits[commits:]]
    assert written == ["running", "blocked"]
    app = world.process(charged_and_three, "3")
    await app.handle("i").send("m", id="m1")
    world.clock.advance(10_000)
    assert await app.run_due() == []
    assert [message.id for message in await world.store.unread("i")] == ["m1"]
    info = await app.handle("i").info()
    assert (info.status, info.error and info.error.message) == ("blocked", why)


@pytest.mark.parametrize("version", ["2", None])
async def test_after_recover_a_blocked_instance_goes_on_in_any_version(
    world: World, version: str | None
) -> None:
    # K-08, S29, G13
    await world.stored(charged_and_two)
    reason(await world.process(charged_and_three, version).drive("i"))
    corrected = world.process(charged_and_two, version)
    assert (await corrected.drive("i")).status == "blocked"

    await corrected.handle("i").recover()
    outcome = await corrected.drive("i")

    assert outcome.output == [1, 2]
    assert CALLS == {}, "what is recorded is not done again"
