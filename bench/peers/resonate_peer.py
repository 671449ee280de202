# pyright: basic, reportMissingImports=false
# Its library is in an environment of its own, so that its types are unknown here.
"""Resonate in local mode, its server in this process, nothing on disk: see README.md.

The answer to each step carries all earlier promises of the run, so that the cost grows
with the square of the steps: S4 and S5 have a tenth of the size the others have.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

from resonate.connections import LocalConnection
from resonate.context import Context
from resonate.resonate import Resonate
from resonate.types import Value
from workload import (
    BEGAN,
    LOOP_START,
    Timed,
    clock,
    emit,
    loop_state,
    main,
    percentiles,
    record,
    rss_mib,
    scaled,
)

PEER = "resonate-local"
NAP = 0.05
"""Seconds."""
logging.disable(logging.ERROR)


class Marks:
    """What workflows and scenarios tell one another."""

    finished: float = 0.0
    waiting: "asyncio.Future[str]"


marks = Marks()


# --- the work -----------------------------------------------------------------------
# Its decoder reads annotations; with `dict` it leaves a value as it is.


async def step(ctx: Context, i: int) -> dict:  # type: ignore[type-arg]
    return cast("Any", record(i))


async def loop_step(ctx: Context, state: dict) -> dict:  # type: ignore[type-arg]
    return cast("Any", loop_state(cast("Any", state)))


async def steps(ctx: Context, count: int) -> int:
    for i in range(count):
        await ctx.run(step, i)
    return count


async def loop(ctx: Context, count: int) -> int:
    state = LOOP_START
    for _ in range(count):
        state = await ctx.run(loop_step, state)
    return state["total"]


async def sleeper(ctx: Context) -> None:
    await ctx.sleep(timedelta(seconds=NAP))


async def fan_out(ctx: Context, count: int) -> int:
    return len([await branch for branch in [ctx.run(step, i) for i in range(count)]])


async def receiver(ctx: Context, count: int) -> int:
    """Make steps, wait for a promise, and make one more step if there were any."""
    for i in range(count):
        await ctx.run(step, i)
    promise = ctx.promise()
    if not marks.waiting.done():
        marks.waiting.set_result(await promise.id())
    await promise
    if count:
        await ctx.run(step, count)
    marks.finished = clock()
    return count


def run(scenario: Callable[[Resonate], Awaitable[None]], **local: Any) -> None:
    """Run a scenario on a server of its own."""

    async def go() -> None:
        app = Resonate(network=LocalConnection(**local))
        for f in (steps, loop, sleeper, fan_out, receiver):
            app.register(f)
        await scenario(app)
        await app.stop()

    asyncio.run(go())


async def round_trip(app: Resonate, name: str, count: int) -> float:
    """Give the seconds from resolving the promise until the last step."""
    marks.waiting = asyncio.get_running_loop().create_future()
    handle = app.run(name, receiver, count)
    promise = await marks.waiting
    await asyncio.sleep(0.1 if count else 0.01)
    start = clock()
    await app.promises.resolve(promise, Value(data=None))
    await handle.result()
    return marks.finished - start


# --- the scenarios --------------------------------------------------------------------


def s1() -> None:
    """Run steps in sequence."""

    async def go(app: Resonate) -> None:
        await app.run("warm", steps, 10).result()
        count = scaled(1000)
        with Timed() as t:
            await app.run("s1", steps, count).result()
        emit(PEER, "s1", "steps_per_s", count / t.wall, n=count)
        emit(PEER, "s1", "cpu_us_per_step", t.cpu / count * 1e6)

    run(go)


def s3() -> None:
    """Run many short workflows, 100 at a time."""

    async def go(app: Resonate) -> None:
        count, gate = scaled(1000), asyncio.Semaphore(100)

        async def one(i: int) -> None:
            async with gate:
                await app.run(f"s3-{i}", steps, 5).result()

        await app.run("warm", steps, 5).result()
        with Timed() as t:
            await asyncio.gather(*[one(i) for i in range(count)])
        emit(PEER, "s3", "workflows_per_s", count / t.wall, n=count)
        emit(PEER, "s3", "cpu_us_per_workflow", t.cpu / count * 1e6)

    run(go)


def s4() -> None:
    """Resume after many steps that were suspended behind."""

    async def go(app: Resonate) -> None:
        for count in (scaled(100), scaled(1000)):
            took = await round_trip(app, f"s4-{count}", count)
            emit(PEER, "s4", f"resume_{count}_s", took)

    run(go)


def s5() -> None:
    """Run a long loop with a step in each turn."""

    async def go(app: Resonate) -> None:
        count, before = scaled(1000), rss_mib()
        with Timed() as t:
            await app.run("s5", loop, count).result()
        emit(PEER, "s5", "seconds", t.wall, n=count)
        emit(PEER, "s5", "cpu_us_per_iteration", t.cpu / count * 1e6)
        emit(PEER, "s5", "rss_growth_mib", rss_mib(peak=True) - before)

    run(go)


def s7() -> None:
    """Sleep durably; by default, and with a look at the timers each ms.

    By default the local server looks at its timers once a second.
    """

    async def overhead(app: Resonate, count: int) -> float:
        over: list[float] = []
        for i in range(count):
            start = clock()
            await app.run(f"s7-{i}", sleeper).result()
            over.append((clock() - start - NAP) * 1e3)
        return percentiles(over)[0]

    async def default(app: Resonate) -> None:
        emit(PEER, "s7", "overhead_p50_ms", await overhead(app, scaled(10, 3)))

    async def tuned(app: Resonate) -> None:
        emit(PEER, "s7", "tuned_overhead_p50_ms", await overhead(app, scaled(30, 3)))

    run(default)
    run(tuned, tick_interval=0.001)


def s8() -> None:
    """Join many branches of one step each."""

    async def go(app: Resonate) -> None:
        count = scaled(1000)
        await app.run("warm", fan_out, 5).result()
        with Timed() as t:
            await app.run("s8", fan_out, count).result()
        emit(PEER, "s8", "branches_per_s", count / t.wall, n=count)

    run(go)


def s9() -> None:
    """Wait for a message, get it, complete."""

    async def go(app: Resonate) -> None:
        count = scaled(100, 5)
        took = [await round_trip(app, f"s9-{i}", 0) * 1e3 for i in range(count)]
        p50, p99 = percentiles(took)
        emit(PEER, "s9", "p50_ms", p50)
        emit(PEER, "s9", "p99_ms", p99)

    run(go)


def first() -> None:
    """Make one step durable, from a cold start."""

    async def go(app: Resonate) -> None:
        await app.run("first", steps, 1).result()
        emit(PEER, "s6", "first_step_s", time.time() - BEGAN)

    run(go)


main({f.__name__: f for f in (s1, s3, s4, s5, s7, s8, s9, first)})
