# pyright: basic, reportMissingImports=false
# Its library is in an environment of its own, so that its types are unknown here.
"""Absurd in the scenarios of the peer benchmark: see README.md.

The PostgreSQL at PG_DSN has its schema.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

from absurd_sdk import AsyncAbsurd
from workload import (
    BEGAN,
    CRASHED,
    LOOP_START,
    Timed,
    clock,
    crashed,
    emit,
    loop_state,
    main,
    percentiles,
    record,
    rss_mib,
    scaled,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

PEER = "absurd-pg"
QUEUE = "bench"
LONG_CLAIM = 600
"""Seconds, so that no scenario loses its claim."""
NAP = 0.05
"""Seconds."""
POLLS = 0.25
"""Seconds between two looks of a worker, by default."""
OFTEN = 0.001
"""The same when it is tuned."""
app = AsyncAbsurd(os.environ["PG_DSN"], queue_name=QUEUE)


class Marks:
    """What workflows and scenarios tell one another."""

    crash_at: int | None = None
    finished: float | None = None
    done: int = 0


marks = Marks()


# --- the work -----------------------------------------------------------------------


def returns(value: T) -> Callable[[], Awaitable[T]]:
    async def body() -> T:
        return value

    return body


@app.register_task(name="steps")
async def steps(params: dict[str, Any], ctx: Any) -> None:
    for i in range(params["n"]):
        if i == marks.crash_at:
            os._exit(CRASHED)
        await ctx.step("step", returns(record(i)))
    marks.finished = clock()
    marks.done += 1


@app.register_task(name="loop")
async def loop(params: dict[str, Any], ctx: Any) -> int:
    state = LOOP_START
    for _ in range(params["n"]):
        state = await ctx.step("loop", returns(loop_state(state)))
    return state["total"]


@app.register_task(name="sleeper")
async def sleeper(_: dict[str, Any], ctx: Any) -> None:
    await ctx.sleep_for("nap", NAP)
    marks.done += 1


@app.register_task(name="fan_out")
async def fan_out(params: dict[str, Any], ctx: Any) -> int:
    branches = [ctx.step("step", returns(record(i))) for i in range(params["n"])]
    return len(await asyncio.gather(*branches))


@app.register_task(name="receiver")
async def receiver(params: dict[str, Any], ctx: Any) -> None:
    await ctx.await_event(params["event"])
    marks.finished = clock()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario in a queue of its own."""

    async def go() -> None:
        await app.create_queue(QUEUE)
        await scenario()
        await app.drop_queue(QUEUE)
        await app.close()

    asyncio.run(go())


async def work(name: str, count: int) -> None:
    """Run one task here, with no polling."""
    await app.spawn(name, {"n": count})
    await app.work_batch(claim_timeout=LONG_CLAIM)


# --- the scenarios --------------------------------------------------------------------


def s1() -> None:
    """Run steps in sequence."""

    async def go() -> None:
        await work("steps", 10)
        count = scaled(1000)
        with Timed() as t:
            await work("steps", count)
        emit(PEER, "s1", "steps_per_s", count / t.wall, n=count)
        emit(PEER, "s1", "cpu_us_per_step", t.cpu / count * 1e6)

    run(go)


def s3() -> None:
    """Run many short workflows, 100 at a time."""

    async def go() -> None:
        count, marks.done = scaled(1000), 0
        with Timed() as t:
            worker = asyncio.create_task(
                app.start_worker(concurrency=100, poll_interval=OFTEN)
            )
            for _ in range(count):
                await app.spawn("steps", {"n": 5})
            while marks.done < count:  # noqa: ASYNC110  as the other scripts
                await asyncio.sleep(0.002)
        app.stop_worker()
        await worker
        emit(PEER, "s3", "workflows_per_s", count / t.wall, n=count)
        emit(PEER, "s3", "cpu_us_per_workflow", t.cpu / count * 1e6)

    run(go)


def s4() -> None:
    """Resume after many steps, in a process that did not make them."""

    async def resume() -> float:
        await app._ensure_connected()  # noqa: SLF001  connecting is not counted
        await asyncio.sleep(1.1)  # the claim of the dead worker is for 1 s
        marks.finished, start = None, clock()
        while marks.finished is None:
            await app.work_batch(claim_timeout=LONG_CLAIM)
        await app.drop_queue(QUEUE)
        await app.close()
        return marks.finished - start

    for count in (scaled(1000), scaled(10000)):
        crashed("s4_crash", count)
        emit(PEER, "s4", f"resume_{count}_s", asyncio.run(resume()))
        app._conn = None  # noqa: SLF001  it was of another loop


def s4_crash(count: str) -> None:
    """End in the middle, when `count` steps are durable."""
    marks.crash_at = int(count)

    async def go() -> None:
        await app.spawn("steps", {"n": int(count) + 1})
        await app.work_batch(claim_timeout=1)

    run(go)


def s5() -> None:
    """Run a long loop with a step in each turn."""

    async def go() -> None:
        count, before = scaled(10000), rss_mib()
        with Timed() as t:
            await work("loop", count)
        emit(PEER, "s5", "seconds", t.wall, n=count)
        emit(PEER, "s5", "cpu_us_per_iteration", t.cpu / count * 1e6)
        emit(PEER, "s5", "rss_growth_mib", rss_mib(peak=True) - before)
        query = f"SELECT pg_total_relation_size('absurd.c_{QUEUE}')"
        found = await app._conn.execute(query)  # noqa: SLF001  the one there is
        emit(PEER, "s5", "stored_bytes", (await found.fetchone())[0])

    run(go)


async def with_worker(measure: Callable[[], Awaitable[T]], polls: float) -> T:
    """Measure while a worker polls each so many seconds."""
    worker = asyncio.create_task(app.start_worker(poll_interval=polls))
    await asyncio.sleep(0.05)
    result = await measure()
    app.stop_worker()
    await worker
    return result


def s7() -> None:
    """Sleep durably."""

    async def overhead() -> float:
        over: list[float] = []
        for _ in range(scaled(20, 3)):
            before, start = marks.done, clock()
            await app.spawn("sleeper", {})
            while marks.done == before:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.001)
            over.append((clock() - start - NAP) * 1e3)
        return percentiles(over)[0]

    async def go() -> None:
        emit(PEER, "s7", "overhead_p50_ms", await with_worker(overhead, POLLS))
        emit(PEER, "s7", "tuned_overhead_p50_ms", await with_worker(overhead, OFTEN))

    run(go)


def s8() -> None:
    """Join many branches of one step each."""

    async def go() -> None:
        count = scaled(1000)
        await work("fan_out", 5)
        with Timed() as t:
            await work("fan_out", count)
        emit(PEER, "s8", "branches_per_s", count / t.wall, n=count)

    run(go)


def s9() -> None:
    """Wait for a message, get it, complete; by default, and polling each ms."""

    async def round_trips(tag: str, count: int, rest: float) -> tuple[float, float]:
        took: list[float] = []
        for i in range(count):
            marks.finished = None
            await app.spawn("receiver", {"event": f"{tag}-{i}"})
            await asyncio.sleep(rest)
            start = clock()
            await app.emit_event(f"{tag}-{i}", {"n": 1})
            while marks.finished is None:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.001)
            took.append((marks.finished - start) * 1e3)
        return percentiles(took)

    async def go() -> None:
        default = round_trips("default", scaled(20, 5), 0.3)
        p50, p99 = await with_worker(lambda: default, POLLS)
        emit(PEER, "s9", "p50_ms", p50)
        emit(PEER, "s9", "p99_ms", p99)
        tuned = round_trips("tuned", scaled(50, 5), 0.05)
        p50, p99 = await with_worker(lambda: tuned, OFTEN)
        emit(PEER, "s9", "tuned_p50_ms", p50)
        emit(PEER, "s9", "tuned_p99_ms", p99)

    run(go)


def first() -> None:
    """Make one step durable, from a cold start."""

    async def go() -> None:
        await work("steps", 1)
        emit(PEER, "s6", "first_step_s", time.time() - BEGAN)

    run(go)


main({f.__name__: f for f in (s1, s3, s4, s4_crash, s5, s7, s8, s9, first)})
