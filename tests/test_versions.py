"""`ctx.version`: which code an instance follows."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from edgeflow import Context, Retry, Stop, step
from tests.deploying import Deployments, Part

CALLS: Counter[str] = Counter()
NONE_YET: list[str] = []


@step
async def old() -> str:
    CALLS["old"] += 1
    return "old"


@step
async def new() -> str:
    CALLS["new"] += 1
    return "new"


@step
async def other() -> str:
    CALLS["other"] += 1
    return "other"


@step(retry=Retry(first=60, jitter=0))
async def shaky() -> str:
    CALLS["shaky"] += 1
    if CALLS["shaky"] == 1:
        raise ConnectionError
    return "old"


@step(retry=Retry(attempts=1))
async def doomed() -> str:
    CALLS["doomed"] += 1
    raise ConnectionError


class World(Deployments):
    def __init__(self) -> None:
        super().__init__()
        CALLS.clear()

    async def versions(self) -> dict[str, Any]:
        """The gates that are recorded, with what was pinned at them."""
        history = await self.history()
        return {
            " > ".join(f"{name}[{at}]" for _, name, at in entry.path): entry.value
            for entry in history
            if entry.kind == "version"
        }


@pytest.fixture
def world() -> World:
    return World()


async def other_only(_ctx: Context) -> str:
    return await other()


# --- fresh arrivals -----------------------------------------------------------


def naps_behind_the_gate(latest: int, naps: int = 2) -> Part:
    async def part(ctx: Context) -> int:
        version = await ctx.version("g", latest)
        for _ in range(naps):
            await ctx.sleep(60)
        return version

    return part


async def test_a_fresh_arrival_gets_the_latest_version_for_ever(world: World) -> None:
    # K-10, G8
    assert (await world.start(naps_behind_the_gate(2))).status == "suspended"
    assert await world.versions() == {"g[0]": 2}

    assert (await world.later(naps_behind_the_gate(3))).status == "suspended"
    assert (await world.later(naps_behind_the_gate(4))).output == 2
    assert await world.versions() == {"g[0]": 2}


async def test_a_gate_costs_no_commit(world: World) -> None:
    # K-10, S31
    counts: list[int] = []
    for part in (naps_behind_the_gate(2, naps=0), other_only):
        fresh = World()
        await fresh.start(part)
        counts.append(len(fresh.store.commits))

    assert counts == [3, 4], "start, OPEN, the end; the step has one of its own"


async def test_a_gate_behind_other_steps_is_fresh_where_nothing_follows(
    world: World,
) -> None:
    # K-12
    async def part(ctx: Context) -> list[int]:
        await other()
        first = await ctx.version("g", 2)
        await ctx.join(a=old(), b=old())
        await ctx.sleep(60)
        return [first, await ctx.version("h", 3)]

    await world.start(part)

    assert (await world.later(part)).output == [2, 3]
    assert await world.versions() == {"g[0]": 2, "h[0]": 3}


async def test_a_gate_behind_a_wait_is_fresh_for_an_instance_that_waits(
    world: World,
) -> None:
    # K-12
    async def before(ctx: Context) -> str:
        await other()
        await ctx.sleep(60)
        return await old()

    async def after(ctx: Context) -> str:
        await other()
        await ctx.sleep(60)
        return await (new() if await ctx.version("g", 2) == 2 else old())

    await world.start(before)

    assert (await world.later(after)).output == "new"
    assert CALLS == {"other": 1, "new": 1}


async def test_each_use_of_a_gate_decides_for_itself(world: World) -> None:
    # K-12
    async def before(ctx: Context) -> list[str]:
        found: list[str] = []
        for _ in range(3):
            found.append(await old())
            await ctx.sleep(60)
        return found

    async def after(ctx: Context) -> list[str]:
        found: list[str] = []
        for _ in range(3):
            found.append(await (new() if await ctx.version("g", 2) == 2 else old()))
            await ctx.sleep(60)
        return found

    await world.start(before)
    await world.later(after)
    await world.later(after)

    assert (await world.later(after)).output == ["old", "new", "new"]
    assert await world.versions() == {"g[1]": 2, "g[2]": 2}


# --- older code that passed ---------------------------------------------------


async def step_of(_ctx: Context) -> str:
    return await old()


async def step_in_a_scope(ctx: Context) -> str:
    async with ctx.scope("block"):
        return await old()


async def step_in_back_off(_ctx: Context) -> str:
    return await shaky()


async def step_in_a_branch(ctx: Context) -> str:
    found = await ctx.join(a=old())
    return str(found["a"])


@pytest.mark.parametrize(
    "passed", [step_of, step_in_a_scope, step_in_back_off, step_in_a_branch]
)
async def test_older_code_that_passed_is_followed(world: World, passed: Part) -> None:
    # K-11, G8
    async def before(ctx: Context) -> str:
        found = await passed(ctx)
        await ctx.sleep(60)
        return str(found)

    async def after(ctx: Context) -> list[Any]:
        version = await ctx.version("g", 2)
        found = await (new() if version == 2 else passed(ctx))
        await ctx.sleep(60)
        return [version, found, await ctx.version("h", 2)]

    await world.start(before)
    calls = dict(CALLS)

    outcome = await world.later(after)
    while outcome.status == "suspended":
        outcome = await world.later(after)

    assert outcome.output == [1, "old", 2]
    assert CALLS["new"] == 0
    assert passed is step_in_back_off or calls == CALLS
    assert await world.versions() == {"h[0]": 2}, "the first is known by what follows"


async def test_branches_decide_each_for_itself(world: World) -> None:
    # K-13, G8
    async def first(ctx: Context) -> str:
        found = await old()
        await ctx.sleep(60)
        return found

    async def second(ctx: Context) -> str:
        await ctx.receive("go")
        return await old()

    async def before(ctx: Context) -> Any:
        return await ctx.join(a=first(ctx), b=second(ctx))

    async def gated(ctx: Context) -> str:
        return await (new() if await ctx.version("g", 2) == 2 else old())

    async def first_after(ctx: Context) -> str:
        found = await gated(ctx)
        await ctx.sleep(60)
        return found

    async def second_after(ctx: Context) -> str:
        await ctx.receive("go")
        return await gated(ctx)

    async def after(ctx: Context) -> Any:
        return await ctx.join(a=first_after(ctx), b=second_after(ctx))

    await world.start(before)
    await world.process(after).handle("i").send("go")

    assert (await world.later(after)).output == {"a": "old", "b": "new"}
    assert await world.versions() == {"join[0] > b[0] > g[0]": 2}


async def test_turns_of_a_loop_decide_each_for_itself(world: World) -> None:
    # K-13, G8
    async def before(ctx: Context) -> Any:
        async def turn(found: list[str]) -> list[str] | Stop[list[str]]:
            found = [*found, await old()]
            await ctx.sleep(60)
            return found if len(found) < 3 else Stop(found)

        return await ctx.loop("turns", turn, state=NONE_YET)

    async def after(ctx: Context) -> Any:
        async def turn(found: list[str]) -> list[str] | Stop[list[str]]:
            version = await ctx.version("g", 2)
            found = [*found, await (new() if version == 2 else old())]
            await ctx.sleep(60)
            return found if len(found) < 3 else Stop(found)

        return await ctx.loop("turns", turn, state=NONE_YET)

    await world.start(before)
    await world.later(after)
    await world.later(after)

    assert (await world.later(after)).output == ["old", "new", "new"]
    assert CALLS == {"old": 1, "new": 2}


async def test_a_gate_in_one_of_several_tasks_follows_what_was_recorded(
    world: World,
) -> None:
    # K-11: the tasks share a scope, so what any of them did behind the gate counts
    async def slow(ctx: Context) -> str:
        await ctx.sleep(60)
        return await old()

    async def gated(ctx: Context) -> str:
        await ctx.sleep(60)
        return await (new() if await ctx.version("g", 2) == 2 else old())

    async def before(ctx: Context) -> Any:
        found = await asyncio.gather(slow(ctx), other())
        await ctx.sleep(60)
        return found

    async def after(ctx: Context) -> Any:
        found = await asyncio.gather(gated(ctx), other())
        await ctx.sleep(60)
        return found

    await world.start(before)
    await world.later(before)

    assert (await world.later(after)).output == ["old", "other"]
    assert CALLS == {"old": 1, "other": 1}


async def test_what_was_removed_before_the_gate_does_not_speak_for_older_code(
    world: World,
) -> None:
    # K-12, S13
    async def before(ctx: Context) -> None:
        await old()
        await ctx.sleep(60)

    async def after(ctx: Context) -> int:
        await ctx.removed("old")
        return await ctx.version("g", 2)

    await world.start(before)

    assert (await world.later(after)).output == 2


async def test_a_gate_before_a_failure_is_fresh_after_its_recovery(
    world: World,
) -> None:
    # K-12
    async def before(ctx: Context) -> Any:
        return [await other(), await doomed()]

    async def after(ctx: Context) -> Any:
        first = await ctx.version("g", 2)
        found = [await other()]
        second = await ctx.version("h", 2)
        return [first, *found, second]

    assert (await world.start(before)).status == "failed"
    await world.process(after).handle("i").recover()

    outcome = await world.process(after).drive("i")

    assert outcome.output == [1, "other", 2]
    assert CALLS == {"other": 1, "doomed": 1}


# --- what is refused ----------------------------------------------------------


async def test_a_version_above_the_latest_diverges(world: World) -> None:
    # K-14, S29, G13
    await world.start(naps_behind_the_gate(3))

    outcome = await world.later(naps_behind_the_gate(2))

    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert outcome.error.type == "edgeflow.errors.HistoryDiverged"
    for part in ("g[0]", "holds version 3", "asks for version 2 at most"):
        assert part in outcome.error.message
    assert (await world.versions()) == {"g[0]": 3}


@pytest.mark.parametrize("latest", [0, -1])
async def test_versions_count_from_one(world: World, latest: int) -> None:
    # K-14
    async def part(ctx: Context) -> str:
        with pytest.raises(ValueError, match="must be 1 or more"):
            await ctx.version("g", latest)
        return "refused"

    assert (await world.start(part)).output == "refused"
    assert await world.versions() == {}


async def test_a_gate_where_the_history_has_a_step_diverges(world: World) -> None:
    # K-03, G13
    async def before(ctx: Context) -> None:
        await old()
        await ctx.sleep(60)

    async def after(ctx: Context) -> None:
        await ctx.version("old", 2)
        await new()

    await world.start(before)
    CALLS.clear()

    outcome = await world.later(after)

    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert "holds a step" in outcome.error.message
    assert "asks for a version" in outcome.error.message
    assert not CALLS


async def test_a_gate_that_was_cancelled_before_it_was_pinned_stays_so(
    world: World,
) -> None:
    # K-10 G9
    async def part(ctx: Context) -> str:
        gate = asyncio.ensure_future(ctx.version("g", 2))
        await asyncio.sleep(0)
        found = str(gate.result()) if gate.done() else "cancelled"
        gate.cancel()
        await asyncio.gather(gate, return_exceptions=True)
        await other()
        await ctx.sleep(60)
        return found

    await world.start(part)

    assert (await world.later(part)).output == "cancelled"
