"""Saga: book the legs of a journey; if one cannot be had, give the others back.

    uv run examples/saga.py

The undo of a step stands next to it. When the body fails, what was done is undone,
the newest first, also what was done in turns of a loop that are pruned by then. Kill
it in the middle of the undoing: the next run goes on there.
"""

import asyncio

from edgeflow import App, Context, FatalError, Stop, WorkflowFailed, step

app = App("sqlite:///saga.db")
PAUSE = 0.2  # seconds that a booking takes
LEGS = ["Paris - Lyon", "Lyon - Turin", "Turin - Milan", "Milan - Atlantis"]


@step
async def reserve(leg: str) -> str:
    await asyncio.sleep(PAUSE)
    if leg.endswith("Atlantis"):
        raise FatalError(f"there is no train {leg}")
    print(f"reserved {leg}", flush=True)
    return leg


@reserve.undo
async def give_back(leg: str) -> None:
    await asyncio.sleep(PAUSE)
    print(f"gave back {leg}", flush=True)


@app.workflow
async def book(ctx: Context, legs: list[str]) -> str:
    async def turn(booked: int) -> int | Stop[str]:
        if booked == len(legs):
            return Stop(f"booked {booked} legs")
        await reserve(legs[booked])
        return booked + 1

    return await ctx.loop("legs", turn, state=0, prune_every=2)


async def main() -> None:
    try:
        print(await app.run(book, LEGS, id="to-atlantis"))
    except WorkflowFailed as failed:
        print(f"not booked: {failed.error.message}")
    print(await app.run(book, LEGS[:3], id="to-milan"))


if __name__ == "__main__":
    asyncio.run(main())
