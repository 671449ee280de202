"""Named blocks: what lies in them, and what does not (CONFORMANCE G-01, G-02)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import StepError

from .bench import Bench, describe, retold
from .pieces import a_step, for_ever, in_turn, series, sleep

if TYPE_CHECKING:
    from .bench import Visit


def paths(entries: Any) -> list[tuple[str, ...]]:
    """Write paths as people do, the steps alone: `pay[0]`, `work[1]`."""
    return [
        tuple(f"{name}[{number}]" for _, name, number in path)
        for path, *_ in entries
        if path[-1][0] == "step"
    ]


async def test_a_scope_entered_twice_has_two_ordinals() -> None:
    # G-01 G8
    async def piece(v: Visit) -> list[str]:
        found: list[str] = []
        for n in range(2):
            async with v.ctx.scope("pay"):
                found.append(await v.within(n).step("step"))
                await v.ctx.sleep(60)
        return found

    story = await retold(piece, processes=3)

    assert story.output == ["0/step", "1/step"]
    assert paths(story.history) == [("pay[0]", "work[0]"), ("pay[1]", "work[0]")]


async def test_a_function_called_in_two_scopes_has_entries_of_its_own_in_each() -> None:
    # G-01 G8
    async def charge(v: Visit) -> list[str]:
        first = await v.step("first")
        await v.ctx.sleep(60)
        return [first, await v.step("second")]

    async def piece(v: Visit) -> list[Any]:
        async with v.ctx.scope("deposit"):
            found = [await charge(v.within("deposit"))]
        async with v.ctx.scope("rest"), v.ctx.scope("later"):
            found.append(await charge(v.within("rest")))
        return [*found, await charge(v)]

    story = await retold(piece, processes=4)

    assert paths(story.history) == [
        ("deposit[0]", "work[0]"),
        ("deposit[0]", "work[1]"),
        ("rest[0]", "later[0]", "work[0]"),
        ("rest[0]", "later[0]", "work[1]"),
        ("work[0]",),
        ("work[1]",),
    ]


@pytest.mark.parametrize("kind", ["of the body", "of a step"])
async def test_an_exception_passes_through_a_scope_unchanged(kind: str) -> None:
    # G-01 G8
    raised = LookupError("lost", 7)

    async def piece(v: Visit) -> Any:
        try:
            async with v.ctx.scope("outer"), v.ctx.scope("inner"):
                await v.step("step")
                if kind == "of a step":
                    await v.fail("fail")
                raise raised
        except (LookupError, StepError) as error:
            seen = error
        assert (seen is raised) == (kind == "of the body")
        assert seen.__cause__ is None
        after = await v.step("after")
        await v.ctx.sleep(60)
        v.note("caught", describe(seen))
        return [describe(seen), after]

    story = await retold(piece)

    assert paths(story.history)[-1] == ("work[0]",)  # at the root again
    name = type(raised).__name__ if kind == "of the body" else "StepError"
    assert story.output[0][0] == name


async def test_a_scope_never_shows_in_a_sibling_task() -> None:
    # G-02 G8
    async def scoped(v: Visit, name: str) -> list[str]:
        async with v.ctx.scope(name):
            found = [await v.step("1"), await v.step("2")]
            await v.ctx.sleep(60)
            return [*found, await v.step("3")]

    async def bare(v: Visit) -> list[str]:
        found = [await v.step("1")]
        await v.ctx.sleep(60)
        return [*found, await v.step("2")]

    async def piece(v: Visit) -> Any:
        found = await asyncio.gather(
            scoped(v.within("x"), "x"), bare(v), scoped(v.within("y"), "y")
        )
        return [*found, await v.step("end")]

    story = await retold(piece)

    found = {
        entry[3]: path
        for entry, path in zip(steps(story), paths(story.history), strict=True)
    }
    for name in ("x", "y"):
        assert [found[f"{name}/{n}"] for n in (1, 2, 3)] == [
            (f"{name}[0]", f"work[{n}]") for n in range(3)
        ]
    assert [found[name] for name in ("1", "2", "end")] == [
        (f"work[{n}]",) for n in range(3)
    ]


def steps(story: Any) -> list[Any]:
    return [entry for entry in story.history if entry[0][-1][0] == "step"]


async def test_a_task_belongs_to_the_scope_that_it_was_started_in() -> None:
    # G-02 G8
    async def work(v: Visit) -> list[str]:
        found = [await v.step("1")]
        await v.ctx.sleep(60)
        return [*found, await v.step("2")]

    async def piece(v: Visit) -> Any:
        async with v.ctx.scope("inner"):
            task = asyncio.create_task(work(v.within("task")))
            await v.step("beside")
        outside = await v.step("outside")  # the task goes on after its scope
        return [await task, outside]

    story = await retold(piece)

    found = {
        entry[3]: path
        for entry, path in zip(steps(story), paths(story.history), strict=True)
    }
    assert found["outside"] == ("work[0]",)
    inner = {found[name] for name in ("task/1", "task/2", "beside")}
    assert inner == {("inner[0]", f"work[{n}]") for n in range(3)}


async def test_turns_before_the_last_are_pruned_when_a_turn_suspends() -> None:
    # G-04: what its "after a prune" means
    bench = Bench(in_turn(3)(series(a_step, sleep, for_ever)))
    app = bench.process()
    await app.start(bench.code, id="i")
    assert (await app.drive("i")).status == "suspended"

    turns = {entry.path[1][2] for entry in await bench.entries() if len(entry.path) > 2}
    assert turns == {1, 2, 3}


async def test_the_deadline_of_a_timeout_is_that_of_the_first_run() -> None:
    # G-09 G8
    async def piece(v: Visit) -> list[Any]:
        slept, began = 0, v.ctx.now()
        try:
            async with asyncio.timeout(150):
                while True:
                    await v.ctx.sleep(60)
                    slept += 1
        except TimeoutError:
            late = (v.ctx.now() - began).total_seconds()
        return [slept, late, await v.step("after")]

    story = await retold(piece, processes=4)

    assert story.output == [2, 150, "after"]
