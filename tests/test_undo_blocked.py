"""What blocks an instance undoes nothing; an undo that is gone blocks (I-08, I-12)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, Workflow, current_step, step, workflow

if TYPE_CHECKING:
    from edgeflow import Outcome
    from tests.conftest import World

undone: list[Any] = []
"""What the undos got, in the order of their calls."""


@step
def note(text: str) -> str:
    return text


@note.undo
def erase(text: str) -> None:
    undone.append(text)


async def erase_later(text: str) -> None:
    undone.append(text)


async def erase_at_second(text: str) -> None:
    undone.append((text, current_step().attempt))
    if current_step().attempt == 1:
        raise ConnectionError("not yet")


@pytest.fixture(autouse=True)
def _nothing_is_undone_yet() -> None:
    undone.clear()


@pytest.mark.parametrize("broken", ["rules", "output", "undecodable"])
async def test_what_blocks_an_instance_undoes_nothing(
    world: World, broken: str
) -> None:
    # I-08 G13
    mended = False

    @step
    async def look() -> Any:
        return "text"

    @step(name="look")
    async def look_otherwise() -> int:
        return 1

    @workflow
    async def code(ctx: Context) -> Any:
        await note("done")
        await (look_otherwise() if broken == "undecodable" and late else look())
        await ctx.sleep(60)
        if mended:
            return "well"
        if broken == "rules":
            current_step()
        return object()

    late = False
    await world.process(code).start(code, id="i")
    assert (await world.process(code).drive("i")).status == "suspended"
    late = True
    world.clock.advance(60)
    assert (await world.process(code).drive("i")).status == "blocked"
    assert undone == []

    mended, late = True, False
    app = App(world.store, workflows=[code], clock=world.clock, version="2")
    outcome = await app.drive("i")

    assert (outcome.status, outcome.output) == ("completed", "well")
    assert undone == []


async def test_divergence_and_an_unknown_workflow_undo_nothing(world: World) -> None:
    # I-08 G13
    @workflow(name="code")
    async def code(ctx: Context) -> str:
        await note("done")
        await ctx.sleep(60)
        return "well"

    @workflow(name="code")
    async def other(ctx: Context) -> str:
        await ctx.sleep(60)
        return "never"

    await world.process(code).start(code, id="i")
    await world.process(code).drive("i")
    world.clock.advance(60)

    for codes in ([], [other]):
        app = App(
            world.store, workflows=codes, clock=world.clock, version=str(len(codes))
        )
        assert (await app.drive("i")).status == "blocked"
    app = App(world.store, workflows=[code], clock=world.clock, version="2")

    assert (await app.drive("i")).output == "well"
    assert undone == []


async def test_an_undo_that_is_gone_blocks_and_a_corrected_deployment_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # I-12 G13
    entered: list[int] = []

    @workflow
    async def code(ctx: Context) -> None:
        entered.append(1)
        await note("first")
        await ctx.step("make", lambda: "second", undo=erase_later)
        await note.using(undo=erase_at_second)("third")
        raise ValueError("no")

    app = world.process(code)
    await app.start(code, id="i")
    assert (await app.drive("i")).status == "undoing"
    world.clock.advance(60)
    with monkeypatch.context() as gone:
        gone.delitem(globals(), "erase_later")
        outcome = await drive_as(world, code, "1")

    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert f"undo {__name__}:erase_later of make[0]" in outcome.error.message
    assert undone == [("third", 1), ("third", 2)]
    assert (await drive_as(world, code, "1")).status == "blocked"

    outcome = await drive_as(world, code, "2")

    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error.message == "no"
    assert undone[2:] == ["second", "first"]
    assert len(entered) == 1


async def test_an_undo_is_found_among_what_the_workflow_knows_if_its_module_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # I-12
    app = world.process(moved)
    await app.start(moved, id="i")
    assert (await app.drive("i")).status == "undoing"
    world.clock.advance(60)
    with monkeypatch.context() as gone:
        gone.delitem(sys.modules, __name__)
        outcome = await world.process(moved).drive("i")

    assert outcome.status == "failed"
    assert undone == [("third", 1), ("third", 2), "second"]


@workflow
async def moved(ctx: Context) -> None:
    await ctx.step("make", lambda: "second", undo=erase_later)
    await note.using(undo=erase_at_second)("third")
    raise ValueError("no")


async def drive_as(
    world: World, code: Workflow[None, Any], version: str
) -> Outcome[Any]:
    """Drive it in a deployment of its own."""
    app = App(world.store, workflows=[code], clock=world.clock, version=version)
    return await app.drive("i")
