# pyright: basic, reportMissingImports=false
# Its library is in an environment of its own, so that its types are unknown here.
"""DBOS in the scenarios of the peer benchmark: see README.md.

On SQLite, or on PostgreSQL where EDGEBENCH_DBOS_URL says so. With EDGEBENCH_DBOS_WAL
the SQLite file is put into WAL mode before DBOS opens it, which DBOS does not do.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from dbos import DBOS, SetWorkflowID
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

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

URL = os.environ.get("EDGEBENCH_DBOS_URL") or f"sqlite:///{data_dir()}/dbos.sqlite"
SQLITE = URL.startswith("sqlite")
WAL = SQLITE and "EDGEBENCH_DBOS_WAL" in os.environ
PEER = "dbos-sqlite-wal" if WAL else "dbos-sqlite" if SQLITE else "dbos-pg"
NAP = 0.05
"""Seconds."""


class Marks:
    """What workflows and scenarios tell one another."""

    crash_at: int | None = None
    finished: float | None = None
    waiting: asyncio.Future[None]


marks = Marks()


# --- the work -----------------------------------------------------------------------


@DBOS.step()
async def step(i: int) -> Record:
    return record(i)


@DBOS.step()
async def loop_step(state: LoopState) -> LoopState:
    return loop_state(state)


@DBOS.workflow()
async def steps(count: int) -> None:
    for i in range(count):
        if i == marks.crash_at:
            os._exit(CRASHED)
        await step(i)
    marks.finished = clock()


@DBOS.workflow()
async def loop(count: int) -> int:
    state = LOOP_START
    for _ in range(count):
        state = await loop_step(state)
    return state["total"]


@DBOS.workflow()
async def sleeper() -> None:
    await DBOS.sleep_async(NAP)


@DBOS.workflow()
async def fan_out(count: int) -> int:
    return len(await asyncio.gather(*[step(i) for i in range(count)]))


@DBOS.workflow()
async def receiver() -> Any:
    marks.waiting.set_result(None)
    return await DBOS.recv_async("topic", timeout_seconds=30)


def launch(**config: Any) -> None:
    if WAL:
        import sqlite3  # noqa: PLC0415  only here

        path = URL.removeprefix("sqlite:///")
        sqlite3.connect(path).execute("PRAGMA journal_mode=WAL")
    DBOS(
        config={
            "name": "edgebench",
            "system_database_url": URL,
            "log_level": "ERROR",
            "application_version": "1",
            **config,
        }
    )
    DBOS.launch()


def run(scenario: Callable[[], Awaitable[None]], **config: Any) -> None:
    """Run a scenario in a DBOS of its own."""

    async def go() -> None:
        await scenario()

    launch(**config)
    asyncio.run(go())
    DBOS.destroy()


# --- the scenarios --------------------------------------------------------------------


def s1() -> None:
    """Run steps in sequence."""

    async def go() -> None:
        await steps(10)
        count = scaled(1000)
        with Timed() as t:
            await steps(count)
        emit(PEER, "s1", "steps_per_s", count / t.wall, n=count)
        emit(PEER, "s1", "cpu_us_per_step", t.cpu / count * 1e6)

    run(go)


def s3() -> None:
    """Run many short workflows, 100 at a time."""

    async def go() -> None:
        count, gate = scaled(1000), asyncio.Semaphore(100)

        async def one() -> None:
            async with gate:
                await steps(5)

        await steps(5)
        with Timed() as t:
            await asyncio.gather(*[one() for _ in range(count)])
        emit(PEER, "s3", "workflows_per_s", count / t.wall, n=count)
        emit(PEER, "s3", "cpu_us_per_workflow", t.cpu / count * 1e6)

    run(go)


def s4() -> None:
    """Resume after many steps, in a process that did not make them."""
    for count in (scaled(1000), scaled(10000)):
        crashed("s4_crash", count)
        resume(count)


def s4_crash(count: str) -> None:
    """End in the middle, when `count` steps are durable."""
    marks.crash_at = int(count)

    async def go() -> None:
        with SetWorkflowID(f"replay-{count}"):
            await steps(int(count) + 1)

    run(go)


def resume(count: int) -> None:
    """Launch, which recovers by itself, and wait for the step after the crash."""
    marks.finished, start = None, clock()
    launch()
    while marks.finished is None:
        time.sleep(0.002)
    emit(PEER, "s4", f"resume_{count}_s", marks.finished - start)
    DBOS.destroy()


def s5() -> None:
    """Run a long loop with a step in each turn."""

    async def go() -> None:
        count, before = scaled(10000), rss_mib()
        with Timed() as t:
            await loop(count)
        emit(PEER, "s5", "seconds", t.wall, n=count)
        emit(PEER, "s5", "cpu_us_per_iteration", t.cpu / count * 1e6)
        emit(PEER, "s5", "rss_growth_mib", rss_mib(peak=True) - before)

    run(go)
    emit(PEER, "s5", "stored_bytes", stored_bytes(data_dir()) if SQLITE else tables())


def tables() -> int:
    """Give the size of all tables, in bytes."""
    import psycopg  # noqa: PLC0415  only here

    query = "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables"
    with psycopg.connect(URL) as db:
        ((size,),) = db.execute(query).fetchall()
        return int(size)


def s7() -> None:
    """Sleep durably."""

    async def go() -> None:
        over: list[float] = []
        for _ in range(scaled(30, 5)):
            start = clock()
            await sleeper()
            over.append((clock() - start - NAP) * 1e3)
        emit(PEER, "s7", "overhead_p50_ms", percentiles(over)[0])

    run(go)


def s8() -> None:
    """Join many branches of one step each."""

    async def go() -> None:
        count = scaled(1000)
        await fan_out(5)
        with Timed() as t:
            await fan_out(count)
        emit(PEER, "s8", "branches_per_s", count / t.wall, n=count)

    run(go)


def s9() -> None:
    """Wait for a message, get it, complete; by default, and polling each ms."""

    async def round_trips(count: int) -> tuple[float, float]:
        took: list[float] = []
        for _ in range(count):
            marks.waiting = asyncio.get_running_loop().create_future()
            handle = await DBOS.start_workflow_async(receiver)
            await marks.waiting
            await asyncio.sleep(0.02)
            start = clock()
            await DBOS.send_async(handle.workflow_id, {"n": 1}, "topic")
            await handle.get_result()
            took.append((clock() - start) * 1e3)
        return percentiles(took)

    async def default() -> None:
        p50, p99 = await round_trips(scaled(15, 5))
        emit(PEER, "s9", "p50_ms", p50)
        emit(PEER, "s9", "p99_ms", p99)

    async def tuned() -> None:
        p50, p99 = await round_trips(scaled(100, 5))
        emit(PEER, "s9", "tuned_p50_ms", p50)
        emit(PEER, "s9", "tuned_p99_ms", p99)

    run(default)
    run(tuned, notification_listener_polling_interval_sec=0.001)


def first() -> None:
    """Make one step durable, from a cold start."""

    async def go() -> None:
        await steps(1)
        emit(PEER, "s6", "first_step_s", time.time() - BEGAN)

    run(go)


main({f.__name__: f for f in (s1, s3, s4, s4_crash, s5, s7, s8, s9, first)})
