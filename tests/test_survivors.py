"""What a pruned turn leaves for an undo, over snapshots and up to a checkpoint."""

from typing import Any

from edgeflow import App, Context, Stop, step, workflow
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

PADDING = "x" * 4000  # so that every few turns there is a snapshot


@step
async def charge(turn: int) -> str:
    return f"{turn}{PADDING}"


@step
async def pad() -> str:
    return PADDING


@charge.undo
async def refund(_: str) -> None: ...


async def test_a_checkpoint_forgets_what_pruned_turns_left_before_a_snapshot() -> None:
    # Q-09 I-10 G15
    async def turn(number: int) -> int | Stop[None]:
        await charge(number)
        return number + 1 if number < 100 else Stop()

    @workflow
    async def body(ctx: Context) -> None:
        await ctx.loop("charges", turn, state=0, prune_every=1)
        for _ in range(150):
            await pad()
        await ctx.sleep(60)
        await ctx.checkpoint("paid")
        await ctx.sleep(60)

    store, clock = MemoryStore(), VirtualClock(1_700_000_000.0)

    def process() -> App:
        return App(store, clock=clock, workflows=[body])

    async def charges() -> list[Any]:
        history = await process().handle("i").history()
        return [entry for entry in history if entry.name == "charge"]

    await process().start(body, id="i")
    await process().drive("i")
    assert len(await charges()) == 101  # each may have to be refunded

    clock.advance(60)
    await process().drive("i")
    assert len(await charges()) == 1  # that of the turn that is kept
