"""Versioned evolution: instances that are under way meet code that was changed.

    uv run examples/versions.py

`before` and `after` are the same workflow, before and after a deployment. Ann signs
up before it and stays on the old path; Bob signs up after it and takes the new one.
Would a change break what is under way? `edgeflow check` and `assert_replayable` tell.
"""

import asyncio

from edgeflow import App, Context, step, workflow
from edgeflow.testing import assert_replayable

STORE = "sqlite:///versions.db"


@step
async def mail(to: str, text: str) -> None:
    print(f"to {to}: {text}", flush=True)


@step
async def register(name: str) -> None: ...


@workflow(name="sign_up")
async def before(ctx: Context, name: str) -> str:
    await register(name)
    await mail(name, "Welcome!")
    await ctx.sleep(2)
    return f"{name} was welcomed"


@workflow(name="sign_up")
async def after(ctx: Context, name: str) -> str:
    await ctx.removed("register")  # no longer done; old instances have done it
    letter = await ctx.version("letter", 2)
    if letter == 1:  # it passed here before the deployment
        await mail(name, "Welcome!")
    else:
        await mail(name, "Welcome! Here is a voucher.")
    await ctx.sleep(2)
    return f"{name} was welcomed with letter {letter}"


async def main() -> None:
    old = App(STORE, workflows=[before], version="1")
    await old.start(before, "Ann", id="ann")
    await old.drive("ann")  # until it sleeps; now this process could be gone
    new = App(STORE, workflows=[after], version="2")
    await assert_replayable(new, "ann")
    for name in ("Ann", "Bob"):
        print(await new.run(after, name, id=name.lower()))


if __name__ == "__main__":
    asyncio.run(main())
