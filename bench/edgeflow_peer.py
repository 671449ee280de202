"""edgeflow in the scenarios of the peer benchmark: see README.md.

EDGEBENCH_EDGEFLOW says on which store: memory, sqlite-full, sqlite-normal, or
postgres (the server at PG_DSN).
"""

from __future__ import annotations

import asyncio
import gc
import os
import time

from workload import (
    BEGAN,
    CRASHED,
    LOOP_START,
    LoopState,
    Record,
    Timed,
    clock,
    crashed,
    data_dir,
    emit,
    loop_state,
    main,
    percentiles,
    record,
    rss_mib,
    scaled,
    stored_bytes,
)

from edgeflow import App, Context, Stop, step, workflow

STORE = os.environ.get("EDGEBENCH_EDGEFLOW", "sqlite-full")
PEER = f"edgeflow-{STORE}"
RUN = f"{os.getpid()}-{time.time_ns()}"
"""Part of each id, since the tables of a server stay from run to run."""
NAP = 0.05
"""Seconds."""


def url() -> str:
    """Give the store of this run."""
    if STORE == "memory":
        return "memory:"
    if STORE == "postgres":
        return os.environ["PG_DSN"]
    kind = STORE.removeprefix("sqlite-")
    return f"sqlite:///{data_dir()}/edgeflow.db?synchronous={kind}"


def app() -> App:
    """Put the app of a scenario together, on the defaults."""
    workflows = (steps, halves, nap, fan_out, receiver, loop)
    return App(url(), workflows=workflows, config={})


# --- the work -----------------------------------------------------------------------


@step
async def work(i: int) -> Record:
    return record(i)


@step
async def crash(i: int) -> Record:
    if os.environ.get("EDGEBENCH_CRASH"):
        os._exit(CRASHED)
    return record(i)


@step
async def advance(state: LoopState) -> LoopState:
    return loop_state(state)


@workflow
async def steps(ctx: Context, count: int) -> int:
    for i in range(count):
        await work(i)
    return count


@workflow
async def halves(ctx: Context, count: int) -> float:
    """Make `count` steps that share flushes, one that is durable, and one more."""
    shared = work.using(durability="suspend")
    for i in range(count - 1):
        await shared(i)
    await work(count - 1)
    await crash(count)
    return clock()


@workflow
async def nap(ctx: Context) -> None:
    await ctx.sleep(NAP)


@workflow
async def fan_out(ctx: Context, count: int) -> int:
    branches = {f"b{i}": work(i) for i in range(count)}
    return len(await ctx.join(**branches))


@workflow
async def receiver(ctx: Context) -> int:
    await ctx.receive("go")
    return 1


@workflow
async def listener(ctx: Context) -> None:
    while True:
        await ctx.receive("go")


@workflow
async def loop(ctx: Context, count: int) -> int:
    tenth = max(1, count // 10)

    async def turn(state: LoopState) -> LoopState | Stop[int]:
        if state["i"] % tenth == 0:
            tenths.append(clock())
        state = await advance(state)
        return Stop(state["total"]) if state["i"] == count else state

    return await ctx.loop("loop", turn, state=LOOP_START)


tenths: list[float] = []


# --- the scenarios --------------------------------------------------------------------


def s1(scenario: str = "s1") -> None:
    """Run steps in sequence."""

    async def go() -> None:
        async with app() as running:
            await running.run(steps, 10, id=f"warm-{RUN}")
            count = scaled(1000)
            with Timed() as t:
                await running.run(steps, count, id=f"s1-{RUN}")
        emit(PEER, scenario, "steps_per_s", count / t.wall, n=count)
        emit(PEER, scenario, "cpu_us_per_step", t.cpu / count * 1e6)

    asyncio.run(go())


def s2() -> None:
    """Run steps in sequence that are durable with the end."""
    os.environ["EDGEFLOW_DURABILITY"] = "suspend"
    s1("s2")


def s3() -> None:
    """Run many short workflows, 100 at a time."""

    async def go() -> None:
        count, gate = scaled(1000), asyncio.Semaphore(100)
        async with app() as running:

            async def one(i: int) -> None:
                async with gate:
                    await running.run(steps, 5, id=f"s3-{i}-{RUN}")

            with Timed() as t:
                await asyncio.gather(*(one(i) for i in range(count)))
        emit(PEER, "s3", "workflows_per_s", count / t.wall, n=count)
        emit(PEER, "s3", "cpu_us_per_workflow", t.cpu / count * 1e6)

    asyncio.run(go())


def s4() -> None:
    """Resume after many steps, in a process that did not make them."""

    async def resume(count: int, instance: str) -> None:
        with Timed() as t:
            async with app() as running:
                began = t.wall
                ended = await running.run(halves, count, id=instance)
        emit(PEER, "s4", f"resume_{count}_s", ended - began)
        emit(PEER, "s4", f"cpu_us_per_replayed_step_{count}", t.cpu / count * 1e6)

    for count in (scaled(1000), scaled(10000)):
        instance = f"s4-{count}-{RUN}"
        if STORE == "memory":
            asyncio.run(resume_in_memory(count, instance))
            continue
        crashed("s4_crash", count, instance)
        asyncio.run(resume(count, instance))


async def resume_in_memory(count: int, instance: str) -> None:
    """Suspend before the last step, drop the run, and resume."""
    resumed = 0.0

    @workflow
    async def waits(ctx: Context) -> None:
        nonlocal resumed
        shared = work.using(durability="suspend")
        for i in range(count):
            await shared(i)
        await ctx.receive("go")
        await work(count)
        resumed = clock()

    running = App("memory:", workflows=[waits], config={})
    await running.start(waits, id=instance)
    await running.drive(instance)
    await running.handle(instance).send("go")
    with Timed() as t:
        began = t.wall
        await running.drive(instance)
    emit(PEER, "s4", f"resume_{count}_s", resumed - began)
    emit(PEER, "s4", f"cpu_us_per_replayed_step_{count}", t.cpu / count * 1e6)


def s4_crash(count: str, instance: str) -> None:
    """End in the middle, when `count` steps are durable."""
    os.environ["EDGEBENCH_CRASH"] = "1"

    async def go() -> None:
        async with app() as running:
            await running.run(halves, int(count), id=instance)

    asyncio.run(go())


def s5() -> None:
    """Run a long loop with a step in each turn."""

    async def go() -> None:
        count = scaled(10000)
        async with app() as running:
            await running.run(steps, 10, id=f"warm-{RUN}")
            before = rss_mib()
            with Timed() as t:
                await running.run(loop, count, id=f"s5-{RUN}")
            tenths.append(clock())
        emit(PEER, "s5", "seconds", t.wall, n=count)
        emit(PEER, "s5", "cpu_us_per_iteration", t.cpu / count * 1e6)
        emit(PEER, "s5", "rss_growth_mib", rss_mib(peak=True) - before)
        first, last = tenths[1] - tenths[0], tenths[-1] - tenths[-2]
        emit(PEER, "s5", "last_tenth_over_first", last / first)

    asyncio.run(go())
    if STORE.startswith("sqlite"):
        emit(PEER, "s5", "stored_bytes", stored_bytes(data_dir()))


def s7() -> None:
    """Sleep durably."""

    async def go() -> None:
        over: list[float] = []
        async with app() as running:
            for i in range(scaled(30, 5)):
                began = clock()
                await running.run(nap, id=f"s7-{i}-{RUN}")
                over.append((clock() - began - NAP) * 1e3)
        emit(PEER, "s7", "overhead_p50_ms", percentiles(over)[0])

    asyncio.run(go())


def s8() -> None:
    """Join many branches of one step each."""

    async def go() -> None:
        count = scaled(1000)
        async with app() as running:
            await running.run(fan_out, 5, id=f"warm-{RUN}")
            with Timed() as t:
                await running.run(fan_out, count, id=f"s8-{RUN}")
        emit(PEER, "s8", "branches_per_s", count / t.wall, n=count)
        emit(PEER, "s8", "cpu_us_per_branch", t.cpu / count * 1e6)

    asyncio.run(go())


def s9() -> None:
    """Wait for a message, get it, complete."""

    async def go() -> None:
        took: list[float] = []
        async with app() as running:
            for i in range(scaled(100, 5)):
                instance = f"s9-{i}-{RUN}"
                ends = asyncio.create_task(running.run(receiver, id=instance))
                await asyncio.sleep(0.01)
                began = clock()
                await running.handle(instance).send("go", {"n": 1})
                await ends
                took.append((clock() - began) * 1e3)
        p50, p99 = percentiles(took)
        emit(PEER, "s9", "p50_ms", p50)
        emit(PEER, "s9", "p99_ms", p99)

    asyncio.run(go())


def parked() -> None:
    """Park many instances in a worker, then wake some, without replay.

    A wake is all from a message that is sent until the instance rests again, less
    what sending alone costs.
    """

    async def go() -> None:
        count, wakes = scaled(10000), scaled(1000)
        limits = {"max_parked": 2 * count, "linger": 0.0}
        running = App(url(), workflows=[listener, steps], config=limits)
        rests = asyncio.Semaphore(0)
        async with running:
            await running.run(steps, 100, id=f"warm-{RUN}")
            await park(running, "warm", 100)
            gc.collect()
            before = rss_mib()
            await park(running, "parked", count)
            gc.collect()
            kib = (rss_mib() - before) * 1024
            emit(PEER, "parked", "kib_per_instance", kib / count, n=count)
            running.observe(
                lambda e: rests.release() if e.kind == "suspended" else None
            )
            for i in range(100):
                await running.handle(f"warm-{i}-{RUN}").send("go")
                await rests.acquire()
            with Timed() as waking:
                for i in range(wakes):
                    await running.handle(f"parked-{i}-{RUN}").send("go")
                    await rests.acquire()
            with Timed() as sending:
                for i in range(wakes):
                    await running.handle(f"nobody-{i}-{RUN}").send("go")
            cpu, wall = waking.cpu - sending.cpu, waking.wall - sending.wall
            emit(PEER, "parked", "wakes_per_s", wakes / wall, n=wakes)
            emit(PEER, "parked", "cpu_us_per_wake", cpu / wakes * 1e6)

    asyncio.run(go())


async def park(running: App, name: str, count: int) -> None:
    """Start instances that wait for messages, and let them come to rest."""
    for start in range(0, count, 100):
        names = [f"{name}-{i}-{RUN}" for i in range(start, min(start + 100, count))]
        await asyncio.gather(*(running.start(listener, id=each) for each in names))
    last = running.handle(f"{name}-{count - 1}-{RUN}")
    while (await last.info()).status != "suspended":  # noqa: ASYNC110  it may be elsewhere
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)


def first() -> None:
    """Make one step durable, from a cold start."""

    async def go() -> None:
        async with app() as running:
            await running.run(steps, 1, id=f"first-{RUN}")
            emit(PEER, "s6", "first_step_s", time.time() - BEGAN)

    asyncio.run(go())


main({f.__name__: f for f in (s1, s2, s3, s4, s4_crash, s5, s7, s8, s9, parked, first)})
