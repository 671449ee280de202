"""A flow that several call at once, or what it runs itself, or with odd things."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import Context, step, workflow
from edgeflow.errors import WorkflowFailed

if TYPE_CHECKING:
    from edgeflow.testing import Flow


@workflow
async def nap(ctx: Context, seconds: float) -> str:
    await ctx.sleep(seconds)
    return "awake"


@workflow
async def greeted(ctx: Context) -> str:
    return (await ctx.receive("hello", type=str)).body


@workflow
async def answers(ctx: Context) -> str:
    message = await ctx.receive("hello", type=str)
    await message.reply("and good bye")
    return message.body


async def test_several_results_can_be_waited_for_at_once(flow: Flow) -> None:
    began = flow.clock.now()
    short, long = await flow.start(nap, 60), await flow.start(nap, 90)
    other = await flow.start(answers)

    found = tuple(
        await asyncio.gather(
            other.ask("hello", "Ada"), long.result(), short.result(), flow.sleep(30)
        )
    )

    assert found == ("and good bye", "awake", "awake", None)
    assert await other.result() == "Ada"
    assert flow.clock.now() - began == pytest.approx(90, abs=1)


async def test_a_step_cannot_let_the_flow_go_on_and_is_told(flow: Flow) -> None:
    @step
    async def greet() -> None:
        await flow.handle("greeted").send("hello", "Ada")

    @workflow
    async def greets(ctx: Context) -> None:
        await greet()

    await flow.start(greeted)
    with pytest.raises(WorkflowFailed, match=r"in a step, say flow\.app\.handle"):
        await flow.run(greets)

    assert (await flow.handle("greeted").drive()).awaiting == ("hello",)


async def test_a_step_sends_a_message_at_once(flow: Flow) -> None:
    @step
    async def greet() -> None:
        await flow.app.handle("greeted").send("hello", "Ada")

    @workflow
    async def greets(ctx: Context) -> None:
        await greet()

    other = await flow.start(greeted)
    await flow.run(greets)

    assert await other.result() == "Ada"


async def test_what_is_no_workflow_is_refused(flow: Flow) -> None:
    async def body(ctx: Context) -> None: ...

    given: Any
    for given in (body, "nap"):
        with pytest.raises(TypeError, match="is no workflow: give what @workflow"):
            await flow.start(given)
