# pyright: basic, reportMissingImports=false
# Its library is in an environment of its own, so that its types are unknown here.
"""Restate: the SDK's endpoint (hypercorn) in this process, the server on loopback.

RESTATE_INGRESS and RESTATE_ADMIN say where the server listens, EDGEBENCH_RESTATE_PORT
where the endpoint does. See README.md.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

import httpx
import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config
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

PEER = "restate"
PORT = int(os.environ.get("EDGEBENCH_RESTATE_PORT", "59080"))
INGRESS, ADMIN = os.environ["RESTATE_INGRESS"], os.environ["RESTATE_ADMIN"]
NAP = 0.05
"""Seconds."""
AT_ONCE = timedelta(milliseconds=1)
bench = restate.Service(
    "bench",
    inactivity_timeout=timedelta(minutes=10),
    invocation_retry_policy=restate.InvocationRetryPolicy(
        initial_interval=AT_ONCE, max_interval=AT_ONCE
    ),
)


class Marks:
    """What workflows and scenarios tell one another."""

    crash_at: int | None = None
    crashed: float = 0.0
    finished: float = 0.0
    waiting: "asyncio.Future[str]"


marks = Marks()


# --- the work -----------------------------------------------------------------------
# Its SDK reads annotations; with `dict` it writes plain JSON.


async def step(i: int) -> dict:  # type: ignore[type-arg]
    return cast("Any", record(i))


async def loop_step(state: dict) -> dict:  # type: ignore[type-arg]
    return cast("Any", loop_state(cast("Any", state)))


@bench.handler()
async def steps(ctx: restate.Context, count: int) -> int:
    for i in range(count):
        if i == marks.crash_at:
            marks.crash_at, marks.crashed = None, clock()
            raise RuntimeError("planned crash")
        await ctx.run_typed("step", step, i=i)
    marks.finished = clock()
    return count


@bench.handler()
async def loop(ctx: restate.Context, count: int) -> int:
    state = LOOP_START
    for _ in range(count):
        state = await ctx.run_typed("loop", loop_step, state=state)
    return state["total"]


@bench.handler()
async def sleeper(ctx: restate.Context) -> None:
    await ctx.sleep(timedelta(seconds=NAP))


@bench.handler()
async def fan_out(ctx: restate.Context, count: int) -> int:
    branches = [ctx.run_typed("step", step, i=i) for i in range(count)]
    await restate.gather(*branches)
    return count


@bench.handler()
async def receiver(ctx: restate.Context) -> None:
    name, promise = ctx.awakeable()
    marks.waiting.set_result(name)
    await promise
    marks.finished = clock()


class Caller:
    """Calls handlers through the server."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def __call__(self, handler: str, body: int | None = None) -> None:
        answer = await self.http.post(f"{INGRESS}/bench/{handler}", json=body)
        answer.raise_for_status()

    async def resolve(self, awakeable: str) -> None:
        url = f"{INGRESS}/restate/awakeables/{awakeable}/resolve"
        await self.http.post(url, json={"n": 1})

    async def register(self) -> None:
        """Tell the server where the endpoint is, when that listens."""
        url = f"http://127.0.0.1:{PORT}"
        deployment = {"uri": url, "force": True, "breaking": True}
        for _ in range(200):
            answer = await self.http.post(f"{ADMIN}/deployments", json=deployment)
            if answer.is_success:
                return
            await asyncio.sleep(0.02)
        raise SystemExit(f"{ADMIN} does not reach {url}: see what its log says")


def run(scenario: Callable[[Caller], Awaitable[None]]) -> None:
    """Run a scenario beside an endpoint."""

    async def go() -> None:
        logging.disable(logging.CRITICAL)
        config, stop = Config(), asyncio.Event()
        config.bind, config.h2_max_concurrent_streams = [f"127.0.0.1:{PORT}"], 1000
        endpoint: Any = restate.app([bench])
        server = asyncio.create_task(
            serve(endpoint, config, shutdown_trigger=stop.wait)
        )
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(timeout=280, limits=limits) as http:
            call = Caller(http)
            await call.register()
            await scenario(call)
        stop.set()
        await server

    asyncio.run(go())


# --- the scenarios --------------------------------------------------------------------


def s1() -> None:
    """Run steps in sequence."""

    async def go(call: Caller) -> None:
        await call("steps", 10)
        count = scaled(1000)
        with Timed() as t:
            await call("steps", count)
        emit(PEER, "s1", "steps_per_s", count / t.wall, n=count)
        emit(PEER, "s1", "cpu_us_per_step", t.cpu / count * 1e6)

    run(go)


def s3() -> None:
    """Run many short workflows, 100 at a time."""

    async def go(call: Caller) -> None:
        count, gate = scaled(1000), asyncio.Semaphore(100)

        async def one() -> None:
            async with gate:
                await call("steps", 5)

        await call("steps", 5)
        with Timed() as t:
            await asyncio.gather(*[one() for _ in range(count)])
        emit(PEER, "s3", "workflows_per_s", count / t.wall, n=count)
        emit(PEER, "s3", "cpu_us_per_workflow", t.cpu / count * 1e6)

    run(go)


def s4() -> None:
    """Resume after many steps: an attempt fails, and the server tries again at once."""

    async def go(call: Caller) -> None:
        for count in (scaled(1000), scaled(10000)):
            marks.crash_at = count
            await call("steps", count + 1)
            emit(PEER, "s4", f"resume_{count}_s", marks.finished - marks.crashed)

    run(go)


def s5() -> None:
    """Run a long loop with a step in each turn."""

    async def go(call: Caller) -> None:
        count, before = scaled(10000), rss_mib()
        with Timed() as t:
            await call("loop", count)
        emit(PEER, "s5", "seconds", t.wall, n=count)
        emit(PEER, "s5", "cpu_us_per_iteration", t.cpu / count * 1e6)
        emit(PEER, "s5", "rss_growth_mib", rss_mib(peak=True) - before)

    run(go)


def s7() -> None:
    """Sleep durably."""

    async def go(call: Caller) -> None:
        over: list[float] = []
        for _ in range(scaled(30, 5)):
            start = clock()
            await call("sleeper")
            over.append((clock() - start - NAP) * 1e3)
        emit(PEER, "s7", "overhead_p50_ms", percentiles(over)[0])

    run(go)


def s8() -> None:
    """Join many branches of one step each."""

    async def go(call: Caller) -> None:
        count = scaled(1000)
        await call("fan_out", 5)
        with Timed() as t:
            await call("fan_out", count)
        emit(PEER, "s8", "branches_per_s", count / t.wall, n=count)

    run(go)


def s9() -> None:
    """Wait for a message, get it, complete."""

    async def go(call: Caller) -> None:
        took: list[float] = []
        for _ in range(scaled(100, 5)):
            marks.waiting = asyncio.get_running_loop().create_future()
            ends = asyncio.create_task(call("receiver"))
            name = await marks.waiting
            await asyncio.sleep(0.02)
            start = clock()
            await call.resolve(name)
            await ends
            took.append((marks.finished - start) * 1e3)
        p50, p99 = percentiles(took)
        emit(PEER, "s9", "p50_ms", p50)
        emit(PEER, "s9", "p99_ms", p99)

    run(go)


def first() -> None:
    """Make one step durable, from a cold start."""

    async def go(call: Caller) -> None:
        await call("steps", 1)
        emit(PEER, "s6", "first_step_s", time.time() - BEGAN)

    run(go)


main({f.__name__: f for f in (s1, s3, s4, s5, s7, s8, s9, first)})
