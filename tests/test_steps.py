"""Steps: computed once, recorded, handed back for good (CONFORMANCE group A)."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import pytest

from edgeflow import (
    App,
    Context,
    Retry,
    StepError,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from edgeflow import EntryInfo, Workflow

R = TypeVar("R")
Durability: TypeAlias = Literal["step", "behind", "suspend"]
ONCE = Retry(attempts=1)


@dataclass
class World:
    """A store and a clock; every `process` starts with nothing in memory."""

    durability: Durability
    resumes: Literal["from memory", "by replay"] = "by replay"
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def process(self, code: Workflow[None, Any]) -> App:
        return App(
            self.store,
            workflows=[code],
            clock=self.clock,
            durability=self.durability,
        )

    async def finish(self, code: Workflow[None, R], id_: str = "i") -> R:
        """Run to the end, resuming as this world does."""
        if self.resumes == "from memory":
            return await self.process(code).run(code, id=id_)
        handle = await self.process(code).start(code, id=id_)
        while (await self.process(code).drive(id_)).status == "suspended":
            wake_at = (await handle.info()).wake_at
            assert wake_at is not None
            self.clock.advance(wake_at - self.clock.now())
        return await handle.result()

    async def history(self, code: Workflow[None, Any]) -> list[EntryInfo]:
        return await self.process(code).handle("i").history()


@pytest.fixture(params=["step", "behind", "suspend"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.fixture(params=["from memory", "by replay"])
def resumed(world: World, request: pytest.FixtureRequest) -> World:
    world.resumes = request.param
    return world


# A-01  G8
async def test_a_step_that_returned_none_is_as_done_as_one_that_returned_a_value(
    resumed: World,
) -> None:
    calls: list[str] = []

    @step
    async def seven() -> int:
        calls.append("seven")
        return 7

    @step
    async def nothing() -> None:
        calls.append("nothing")

    @workflow
    async def code(ctx: Context) -> int:
        value = await seven()
        await nothing()
        await ctx.sleep(60)
        return value

    assert await resumed.finish(code) == 7

    assert calls == ["seven", "nothing"]
    handle = resumed.process(code).handle("i")
    assert await handle.result() == 7
    assert (await handle.info()).status == "completed"
    steps = [entry for entry in await handle.history() if entry.kind == "step"]
    assert [(e.name, e.status, e.value) for e in steps] == [
        ("seven", "completed", 7),
        ("nothing", "completed", None),
    ]


# A-02  G8 G9
async def test_steps_run_once_and_in_source_order_over_many_suspensions(
    resumed: World,
) -> None:
    calls: list[int] = []

    @step
    async def give(value: int) -> int:
        calls.append(value)
        return value

    @workflow
    async def code(ctx: Context) -> int:
        total = 0
        for value in (1, 20, 300):
            total += await give(value)
            await ctx.sleep(60)
        return total

    assert await resumed.finish(code) == 321
    assert calls == [1, 20, 300]


#
async def test_plain_functions_run_side_by_side_in_worker_threads(world: World) -> None:
    together = threading.Barrier(8)

    @step(retry=ONCE)
    def thread() -> int:
        together.wait(timeout=10)  # passes only if all eight are here at once
        return threading.get_ident()

    @workflow
    async def code(_ctx: Context) -> list[int]:
        return await asyncio.gather(*(thread() for _ in range(8)))

    threads = await world.finish(code)

    assert len(set(threads)) == 8
    assert threading.get_ident() not in threads


@step
async def doubled(x: int) -> int:
    if x < 0:
        raise ValueError("negative")
    return 2 * x


@step
def halved(x: int) -> int:
    if x < 0:
        raise ValueError("negative")
    return x // 2


# A-04 (i)
async def test_outside_of_a_body_a_step_is_the_plain_function() -> None:
    assert await doubled(4) == 8
    assert halved(4) == 2  # type: ignore[comparison-overlap]  # typed as in a body
    with pytest.raises(ValueError, match="negative"):
        await doubled(-1)
    with pytest.raises(ValueError, match="negative"):
        halved(-1)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


# A-04 (ii)
@pytest.mark.parametrize("outer_is_plain", [False, True])
async def test_a_step_called_in_a_step_is_a_plain_call(
    world: World, *, outer_is_plain: bool
) -> None:
    calls: list[str] = []

    @step(retry=Retry(attempts=3))
    def inner() -> int:
        calls.append("inner")
        raise ValueError("boom")

    @step(name="outer", retry=ONCE)
    async def async_outer() -> int:
        return await inner()

    @step(name="outer", retry=ONCE)
    def plain_outer() -> int:
        inner()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
        return 0

    outer = plain_outer if outer_is_plain else async_outer

    @workflow
    async def code(_ctx: Context) -> str:
        try:
            await outer()
        except StepError as error:
            return error.step
        return "no error"

    assert await world.finish(code) == "outer"
    assert calls == ["inner"]
    assert [entry.name for entry in await world.history(code)] == ["outer"]


# A-05  G8
async def test_closures_and_overridden_steps_are_recorded_like_any_step(
    resumed: World,
) -> None:
    calls: list[str] = []

    async def async_closure() -> int:
        calls.append("async")
        return 1

    def plain_closure() -> int:
        calls.append("plain")
        return 2

    @step(retry=Retry(first=0))
    async def charge() -> None:
        calls.append("charge")
        raise ValueError("declined")

    @workflow
    async def code(ctx: Context) -> list[int]:
        found = [await ctx.step("x", async_closure), await ctx.step("y", plain_closure)]
        for each in (charge.using(name="c2", retry=ONCE), charge):
            try:
                await each()
            except StepError as error:
                found.append(error.attempts)
        await ctx.sleep(60)
        return found

    assert await resumed.finish(code) == [1, 2, 1, 4]

    assert calls == ["async", "plain", *["charge"] * 5]
    steps = [e for e in await resumed.history(code) if e.kind == "step"]
    assert [(e.name, e.attempts) for e in steps] == [
        ("x", 1),
        ("y", 1),
        ("c2", 1),
        ("charge", 4),
    ]


# A-06  G8
async def test_each_call_of_one_step_in_a_loop_keeps_its_own_value(
    resumed: World,
) -> None:
    calls: list[int] = []

    @step
    async def square(value: int) -> int:
        calls.append(value)
        return value * value

    @workflow
    async def code(ctx: Context) -> list[int]:
        found: list[int] = []
        for value in (1, 2, 3):
            found.append(await square(value))
            await ctx.sleep(60)
        return found

    assert await resumed.finish(code) == [1, 4, 9]

    assert calls == [1, 2, 3]
    steps = [e for e in await resumed.history(code) if e.kind == "step"]
    assert [(e.path, e.value) for e in steps] == [
        ([["step", "square", 0]], 1),
        ([["step", "square", 1]], 4),
        ([["step", "square", 2]], 9),
    ]


ODD_NAMES = ["a/b", "b", "x:0", "x", "~0", "0", ".", "..", "é", "e\u0301", "n" * 300]


# A-08  G8
async def test_no_two_paths_meet_whatever_the_names(resumed: World) -> None:
    @step
    async def echo(value: str) -> str:
        return value

    @workflow
    async def code(ctx: Context) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in ODD_NAMES:
            found[name] = await echo.using(name=name)(f"root {name}")
        for scope in ["a", *ODD_NAMES]:
            async with ctx.scope(scope):
                for name in ODD_NAMES:
                    place = f"{scope} then {name}"
                    found[place] = await echo.using(name=name)(place)
        await ctx.sleep(60)
        return found

    found = await resumed.finish(code)

    assert found == {key: key if " then " in key else f"root {key}" for key in found}
    entries = await resumed.history(code)
    paths = {tuple(map(tuple, entry.path)) for entry in entries}
    scopes = 1 + len(ODD_NAMES)
    steps = len(ODD_NAMES) * (1 + scopes)
    assert len(paths) == len(entries) == steps + scopes + 1
    assert (("scope", "a", 0), ("step", "b", 0)) in paths
    assert (("step", "a/b", 0),) in paths
