"""Deaths, evictions, and what is no death: L-09, L-16."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgeflow import (
    Context,
    StoreUnavailable,
    current_step,
    step,
    workflow,
)

if TYPE_CHECKING:
    from tests.conftest import World


# --- crash loops ------------------------------------------------------------


class Dying:
    """A workflow whose body kills its process as often as it is told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.entered = 0
        self.deadly = True

        @step
        async def work() -> int:
            return 1

        @step
        async def dangerous() -> int:
            if self.deadly:
                world.kill()
            return 2

        @workflow(name="dying")
        async def body(ctx: Context) -> int:
            self.entered += 1
            for _ in range(self.works):
                await work()
            await dangerous()
            await ctx.sleep(60)
            return 3

        self.works = 0
        self.body = body

    async def drive(self) -> str:
        """Drive it in a process that may die; say how that ended."""
        app = self.world.mortal(self.body)
        try:
            return (await app.drive("i")).status
        except StoreUnavailable:
            return "died"


async def test_ten_deaths_in_a_row_block_and_the_body_is_not_entered_again(
    world: World,
) -> None:
    # L-16, B-14, S2, G7
    dying = Dying(world)
    await world.start(dying.body)

    ends = [await dying.drive() for _ in range(12)]

    assert ends == ["died"] * 10 + ["blocked"] * 2
    assert dying.entered == 10
    reason = await world.process().handle("i").info()
    assert "crash loop" in str(reason.error)


async def test_nine_deaths_a_new_entry_and_nine_deaths_do_not_block(
    world: World,
) -> None:
    # L-16, S2
    dying = Dying(world)
    await world.start(dying.body)

    for works in (0, 1):
        dying.works = works
        assert [await dying.drive() for _ in range(9)] == ["died"] * 9
    dying.deadly = False

    assert await dying.drive() == "suspended"
    world.clock.advance(60)
    assert await dying.drive() == "completed"


async def test_deaths_of_several_runs_with_one_new_entry_in_the_first_still_count(
    world: World,
) -> None:
    # L-16, S2: an entry of long ago does not help
    dying = Dying(world)
    dying.works = 1
    await world.start(dying.body)

    ends = [await dying.drive() for _ in range(12)]

    assert ends[-1] == "blocked"
    assert ends.count("died") in {10, 11}


async def test_suspensions_and_early_wakes_are_no_deaths(world: World) -> None:
    # L-16, S2, G10
    entered: list[int] = []

    @workflow
    async def naps(ctx: Context) -> str:
        entered.append(1)
        for _ in range(50):
            await ctx.sleep(60)
        return ctx.id

    await world.start(naps)
    for _ in range(50):
        for _ in range(3):
            assert (await world.drive(naps)).status == "suspended"
        world.clock.advance(60)

    assert (await world.drive(naps)).output == "i"
    assert len(entered) == 51, "an early look does not enter the body"


async def test_ten_evictions_in_a_row_that_cut_one_step_off_block(
    world: World,
) -> None:
    # L-16, S2
    starts: list[int] = []

    @step
    async def endless() -> None:
        starts.append(current_step().attempt)
        await world.clock.sleep(1e6)

    @workflow
    async def body(ctx: Context) -> str:
        await endless()
        return ctx.id

    await world.start(body)
    ends = [
        (await world.process(body).drive("i", deadline=10)).status for _ in range(12)
    ]

    assert ends == ["suspended"] * 10 + ["blocked"] * 2
    assert starts == [1] * 10


# --- eviction -----------------------------------------------------------------


async def test_a_deadline_cuts_a_step_off_and_nothing_is_lost(world: World) -> None:
    # L-09, G1, S10, S35
    starts: list[int] = []
    undone: list[int] = []
    ended: list[float] = []
    patience = [60.0]

    @step
    async def slow() -> str:
        starts.append(current_step().attempt)
        try:
            await world.clock.sleep(patience[0])
        except asyncio.CancelledError:
            ended.append(world.clock.now())
            raise
        return "slow"

    UNDONE.clear()

    @workflow(name="body")
    async def body(ctx: Context) -> str:
        await ctx.step("held", held, undo=give_back)
        return await slow()

    await world.start(body)
    before = world.clock.now()
    outcome = await world.process(body).drive("i", deadline=10)

    assert ended == [before + 9], "its grace has passed; the margin is left"
    assert world.clock.now() <= before + 10
    assert (outcome.status, outcome.wake_at) == ("suspended", None)
    assert (UNDONE, undone) == ([], [])
    assert [entry.name for entry in await world.history()] == ["held"]
    patience[0] = 1
    [outcome] = await world.run_due(body)
    assert outcome.output == "slow"
    assert starts == [1, 1], "a step that was cut off did not fail"


UNDONE: list[int] = []


async def held() -> int:
    return 1


async def give_back(number: int) -> None:
    UNDONE.append(number)


async def test_a_step_that_heeds_the_deadline_is_recorded(world: World) -> None:
    # L-09, G1, S10
    calls: list[str] = []

    @step
    async def heeds() -> str:
        calls.append("heeds")
        await current_step().stopping
        return "in time"

    @step
    async def after() -> str:
        calls.append("after")
        return "after"

    @workflow(name="body")
    async def body(ctx: Context) -> list[str]:
        return [await heeds(), await after()]

    await world.start(body)
    outcome = await world.process(body).drive("i", deadline=10)

    assert outcome.status == "suspended"
    assert calls == ["heeds"], "no further step starts"
    [entry] = await world.history()
    assert (entry.status, entry.value) == ("completed", "in time")
    [outcome] = await world.run_due(body)
    assert outcome.output == ["in time", "after"]
    assert calls == ["heeds", "after"]


async def test_a_deadline_while_the_body_only_waits_changes_nothing(
    world: World,
) -> None:
    # L-09, G1
    @workflow(name="body")
    async def body(ctx: Context) -> str:
        await ctx.sleep(3600)
        return ctx.id

    await world.start(body)
    outcome = await world.process(body).drive("i", deadline=10)

    assert (outcome.status, outcome.wake_at) == ("suspended", world.START + 3600)
    assert await world.run_due(body) == []
    assert (await world.later(body, 3600)).output == "i"
