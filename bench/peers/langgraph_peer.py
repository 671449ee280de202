# pyright: basic, reportMissingImports=false
# Its library is in an environment of its own, so that its types are unknown here.
"""LangGraph's functional API over AsyncSqliteSaver, in the scenarios: see README.md.

EDGEBENCH_DURABILITY is sync, async or exit.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.types import Command, interrupt
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

MODE = os.environ.get("EDGEBENCH_DURABILITY", "sync")
PEER = f"langgraph-{MODE}"
FILE = f"{data_dir()}/langgraph.sqlite"


class Marks:
    """What workflows and scenarios tell one another."""

    crash_at: int | None = None
    finished: float = 0.0
    behind: int = 0


marks = Marks()


def durable_results() -> int:
    """Count the results that another connection sees: what a crash now would leave."""
    db = sqlite3.connect(FILE)
    try:
        return int(db.execute("SELECT count(*) FROM writes").fetchone()[0])
    finally:
        db.close()


# --- the work -----------------------------------------------------------------------


@task
async def step(i: int) -> Record:
    return record(i)


@task
async def loop_step(state: LoopState) -> LoopState:
    return loop_state(state)


def workflows(saver: Any) -> dict[str, Any]:
    @entrypoint(checkpointer=saver)
    async def steps(count: int) -> int:
        for i in range(count):
            if i == marks.crash_at:
                while durable_results() < count - 1:  # noqa: ASYNC110  SQLite tells nobody
                    await asyncio.sleep(0.05)
                os._exit(CRASHED)
            await step(i)
        marks.finished = clock()
        # Not of the warm-up.
        marks.behind = count - durable_results() if count >= 100 else 0  # noqa: PLR2004
        return count

    @entrypoint(checkpointer=saver)
    async def loop(count: int) -> int:
        state = LOOP_START
        for _ in range(count):
            state = await loop_step(state)
        return state["total"]

    @entrypoint(checkpointer=saver)
    async def fan_out(count: int) -> int:
        return len(await asyncio.gather(*[step(i) for i in range(count)]))

    @entrypoint(checkpointer=saver)
    async def receiver(count: int) -> Any:
        return interrupt("go on?")

    return {"steps": steps, "loop": loop, "fan_out": fan_out, "receiver": receiver}


def run(scenario: Callable[[Any], Awaitable[None]]) -> None:
    """Run a scenario, which gets a function that runs a workflow in a thread."""

    async def go() -> None:
        async with AsyncSqliteSaver.from_conn_string(FILE) as saver:
            known = workflows(saver)

            async def call(name: str, value: object, thread: str) -> Any:
                config = {
                    "configurable": {"thread_id": thread},
                    "recursion_limit": 1_000_000,
                }
                return await known[name].ainvoke(value, config, durability=MODE)

            await scenario(call)

    asyncio.run(go())


# --- the scenarios --------------------------------------------------------------------


def s1(scenario: str = "s1" if MODE == "sync" else "s2") -> None:
    """Run steps in sequence."""

    async def go(call: Any) -> None:
        await call("steps", 10, "warm")
        count = scaled(1000)
        with Timed() as t:
            await call("steps", count, "s1")
        emit(PEER, scenario, "steps_per_s", count / t.wall, n=count)
        emit(PEER, scenario, "cpu_us_per_step", t.cpu / count * 1e6)
        emit(PEER, scenario, "results_not_durable_at_last_step", marks.behind)

    run(go)


def s3() -> None:
    """Run many short workflows, 100 at a time."""

    async def go(call: Any) -> None:
        count, gate = scaled(1000), asyncio.Semaphore(100)

        async def one(i: int) -> None:
            async with gate:
                await call("steps", 5, f"s3-{i}")

        await call("steps", 5, "warm")
        with Timed() as t:
            await asyncio.gather(*[one(i) for i in range(count)])
        emit(PEER, "s3", "workflows_per_s", count / t.wall, n=count)
        emit(PEER, "s3", "cpu_us_per_workflow", t.cpu / count * 1e6)

    run(go)


def s4() -> None:
    """Resume after many steps, in a process that did not make them."""

    def resume(count: int) -> Callable[[Any], Awaitable[None]]:
        async def go(call: Any) -> None:
            await call("steps", None, f"replay-{count}")

        return go

    for count in (scaled(1000), scaled(10000)):
        crashed("s4_crash", count)
        start = clock()
        run(resume(count))
        emit(PEER, "s4", f"resume_{count}_s", marks.finished - start)


def s4_crash(count: str) -> None:
    """End in the middle, when `count` steps are durable."""
    marks.crash_at = int(count)

    async def go(call: Any) -> None:
        await call("steps", int(count) + 1, f"replay-{count}")

    run(go)


def s5() -> None:
    """Run a long loop with a step in each turn."""

    async def go(call: Any) -> None:
        count, before = scaled(10000), rss_mib()
        with Timed() as t:
            await call("loop", count, "s5")
        emit(PEER, "s5", "seconds", t.wall, n=count)
        emit(PEER, "s5", "cpu_us_per_iteration", t.cpu / count * 1e6)
        emit(PEER, "s5", "rss_growth_mib", rss_mib(peak=True) - before)

    run(go)
    emit(PEER, "s5", "stored_bytes", stored_bytes(data_dir()))


def s8() -> None:
    """Join many branches of one step each."""

    async def go(call: Any) -> None:
        count = scaled(1000)
        await call("fan_out", 5, "warm")
        with Timed() as t:
            await call("fan_out", count, "s8")
        emit(PEER, "s8", "branches_per_s", count / t.wall, n=count)

    run(go)


def s9() -> None:
    """Wait for a message, get it, complete.

    An interrupt ends the run; `Command(resume=...)` is the message and the wake-up.
    """

    async def go(call: Any) -> None:
        took: list[float] = []
        for i in range(scaled(100, 5)):
            await call("receiver", 1, f"s9-{i}")
            start = clock()
            await call("receiver", Command(resume={"n": 1}), f"s9-{i}")
            took.append((clock() - start) * 1e3)
        p50, p99 = percentiles(took)
        emit(PEER, "s9", "p50_ms", p50)
        emit(PEER, "s9", "p99_ms", p99)

    run(go)


def first() -> None:
    """Make one step durable, from a cold start."""

    async def go(call: Any) -> None:
        await call("steps", 1, "first")
        emit(PEER, "s6", "first_step_s", time.time() - BEGAN)

    run(go)


main({f.__name__: f for f in (s1, s3, s4, s4_crash, s5, s8, s9, first)} | {"s2": s1})
