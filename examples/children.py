"""Child orchestration: an order has its parcels packed, each by a child of its own.

    uv run examples/children.py

A child is an instance like any other: it has an id, a journal, a life of its own. The
parent waits for those that it calls, bears the failure of one, and leaves the one
that it merely starts to itself. Look: uv run edgeflow ls --app examples/children.py
"""

import asyncio

from edgeflow import App, ChildError, Context, FatalError, step

app = App("sqlite:///children.db")


@step
async def weigh(parcel: str) -> float:
    if parcel == "a cloud":
        raise FatalError("it weighs nothing")
    return len(parcel) / 2


@app.workflow
async def pack(ctx: Context, parcel: str) -> str:
    weight = await weigh(parcel)
    await ctx.sleep(weight / 4)
    print(f"packed {parcel}", flush=True)
    return f"{parcel}, {weight:g} kg"


@app.workflow
async def thank(ctx: Context, customer: str) -> None:
    await ctx.sleep(1)
    await ctx.step("mail", lambda: print(f"thanked {customer}", flush=True))


@app.workflow
async def ship(ctx: Context, parcels: list[str]) -> list[str]:
    async def packed(parcel: str) -> str:
        try:
            return await ctx.call(pack, parcel)
        except ChildError as error:
            return f"{parcel} stays here: {error.error.message}"

    await ctx.start(thank, "Ada", id=f"{ctx.id}-thanks")
    return await ctx.map(packed, parcels, limit=2)


async def main() -> None:
    parcels = ["a lamp", "a cloud", "a chair"]
    print(*await app.run(ship, parcels, id="order-7"), sep="\n")
    await app.run(thank, "Ada", id="order-7-thanks")  # attach to it, see it end


if __name__ == "__main__":
    asyncio.run(main())
