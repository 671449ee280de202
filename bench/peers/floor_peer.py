"""The floor: no engine, only what each engine over asyncio must do. See README.md.

It has a dictionary of results, orjson, and a transaction for each flush.
EDGEBENCH_FLOOR says how it writes:

- memory: not at all.
- inthread-*: SQLite in the thread of the loop, a transaction for each caller.
- tick-*: the same, but the callers of one turn of the loop share a transaction.
- hop-*: aiosqlite, one hop to its thread for each transaction; who calls meanwhile
  shares the next.

For * it takes `full` or `normal`, SQLite's `synchronous`.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from workload import (
    BEGAN,
    CRASHED,
    LOOP_START,
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
    import sqlite3
    from collections.abc import Awaitable, Callable, Iterable

    import aiosqlite

T = TypeVar("T")

KIND = os.environ.get("EDGEBENCH_FLOOR", "hop-full")
PEER = f"floor-{KIND}"
HOP = KIND.startswith("hop")
SHARED = KIND.startswith(("hop", "tick"))
NAP = 0.05
"""Seconds."""
TABLE = "CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID"
UPSERT = "INSERT INTO kv VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v"
DELETE = "DELETE FROM kv WHERE k >= ? AND k < ?"
SCAN = "SELECT k, v FROM kv WHERE k >= ? AND k < ?"


class Store:
    """Entries of workflows; `flush` returns when all that was set is durable."""

    db: aiosqlite.Connection
    raw: sqlite3.Connection

    def __init__(self) -> None:
        self.dirty: dict[bytes, bytes] = {}
        self.deleted: list[tuple[bytes, bytes]] = []
        self.memo: dict[bytes, dict[bytes, bytes]] = {}
        self.next: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] | None = None

    async def open(self) -> Store:
        """Open the file, if there is one."""
        if KIND == "memory":
            return self
        path, synchronous = f"{data_dir()}/floor.sqlite", KIND.split("-")[1]
        if HOP:
            import aiosqlite  # noqa: PLC0415  not for the others: a cold start counts it

            self.db = await aiosqlite.connect(path, isolation_level=None)
            self.raw = self.db._conn  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001  a transaction is one hop
        else:
            import sqlite3  # noqa: PLC0415  as above

            self.raw = sqlite3.connect(path, isolation_level=None)
        await self.call(self.set_up, synchronous)
        return self

    def set_up(self, synchronous: str) -> None:
        self.raw.execute("PRAGMA journal_mode=WAL")
        self.raw.execute(f"PRAGMA synchronous={synchronous}")
        self.raw.execute(TABLE)

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in the thread that has the connection."""
        if HOP:
            result: T = await self.db._execute(  # type: ignore[no-untyped-call] # noqa: SLF001  as above
                function, *args
            )
            return result
        return function(*args)

    def transaction(
        self,
        rows: Iterable[tuple[bytes, bytes]],
        deleted: Iterable[tuple[bytes, bytes]],
    ) -> None:
        self.raw.execute("BEGIN IMMEDIATE")
        self.raw.executemany(UPSERT, rows)
        self.raw.executemany(DELETE, deleted)
        self.raw.execute("COMMIT")

    def set(self, key: bytes, value: object) -> None:
        self.dirty[key] = orjson.dumps(value)

    async def commit(self) -> None:
        rows, self.dirty = self.dirty, {}
        deleted, self.deleted = self.deleted, []
        if KIND == "memory":
            for k, v in rows.items():
                self.memo.setdefault(k.partition(b"/")[0], {})[k] = v
            for start, end in deleted:
                entries = self.memo[start.partition(b"/")[0]]
                for k in [k for k in entries if start <= k < end]:
                    del entries[k]
        else:
            await self.call(self.transaction, rows.items(), deleted)

    async def run_commits(self) -> None:
        while self.next is not None:
            waiting, self.next = self.next, None
            await self.commit()
            waiting.set_result(None)
        self.task = None

    async def flush(self) -> None:
        if not SHARED:
            return await self.commit()
        if self.next is None:
            self.next = asyncio.get_running_loop().create_future()
        if self.task is None:
            self.task = asyncio.create_task(self.run_commits())
        return await self.next

    def scan(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        if KIND == "memory":
            return self.memo.get(prefix, {}).items()
        return self.raw.execute(SCAN, (prefix, prefix + b"\xff")).fetchall()

    async def load(self, prefix: bytes) -> dict[bytes, Any]:
        return {k: orjson.loads(v) for k, v in await self.call(self.scan, prefix)}

    async def close(self) -> None:
        if KIND != "memory":
            await (self.db.close() if HOP else self.call(self.raw.close))


# --- the work -----------------------------------------------------------------------


async def work(i: int) -> Record:
    return record(i)


async def step(
    store: Store, done: dict[bytes, Record], key: bytes, i: int, *, durable: bool = True
) -> Record:
    if key in done:
        return done[key]
    result = await work(i)
    store.set(key, result)
    if durable:
        await store.flush()
    return result


async def steps(
    store: Store,
    workflow: bytes,
    count: int,
    *,
    durable: bool = True,
    stop: int | None = None,
) -> None:
    done = await store.load(workflow)
    if workflow not in done:
        store.set(workflow, {"input": count})
    for i in range(count):
        if i == stop:
            return
        await step(store, done, b"%s/%06d" % (workflow, i), i, durable=durable)
    store.set(workflow + b"/state", "completed")
    await store.flush()


def run(scenario: Callable[[Store], Awaitable[None]]) -> None:
    """Run a scenario on a store."""

    async def go() -> None:
        store = await Store().open()
        await scenario(store)
        await store.close()

    asyncio.run(go())


# --- the scenarios --------------------------------------------------------------------


def s1(scenario: str = "s1", *, durable: bool = True) -> None:
    """Run steps in sequence."""

    async def go(store: Store) -> None:
        await steps(store, b"warm", 10)
        count = scaled(1000)
        with Timed() as t:
            await steps(store, b"s1", count, durable=durable)
        emit(PEER, scenario, "steps_per_s", count / t.wall, n=count)
        emit(PEER, scenario, "cpu_us_per_step", t.cpu / count * 1e6)

    run(go)


def s2() -> None:
    """Run steps in sequence that are durable with the end."""
    s1("s2", durable=False)


def s3() -> None:
    """Run many short workflows, 100 at a time."""

    async def go(store: Store) -> None:
        count, gate = scaled(1000), asyncio.Semaphore(100)

        async def one(i: int) -> None:
            async with gate:
                await steps(store, b"s3-%06d" % i, 5)

        with Timed() as t:
            await asyncio.gather(*[one(i) for i in range(count)])
        emit(PEER, "s3", "workflows_per_s", count / t.wall, n=count)
        emit(PEER, "s3", "cpu_us_per_workflow", t.cpu / count * 1e6)

    run(go)


def s4() -> None:
    """Resume after many steps, in a process that did not make them."""
    sizes = scaled(1000), scaled(10000)

    async def resume(count: int) -> None:
        start = clock()
        store = await Store().open()
        await steps(store, b"s4-%d" % count, count + 1)
        emit(PEER, "s4", f"resume_{count}_s", clock() - start)
        await store.close()

    async def in_memory(store: Store) -> None:
        for count in sizes:
            await steps(store, b"s4-%d" % count, count, stop=count - 1)
            start = clock()
            await steps(store, b"s4-%d" % count, count)
            emit(PEER, "s4", f"resume_{count}_s", clock() - start)

    if KIND == "memory":
        return run(in_memory)
    for count in sizes:
        crashed("s4_crash", count)
        asyncio.run(resume(count))
    return None


def s4_crash(count: str) -> None:
    """End in the middle, when `count` steps are durable."""

    async def go(store: Store) -> None:
        made = int(count)
        await steps(store, b"s4-%d" % made, made + 1, durable=False, stop=made)
        await store.flush()
        os._exit(CRASHED)

    run(go)


def s5() -> None:
    """Run a long loop with a step in each turn.

    Each turn stores the result of its step and the state of the loop; each 20th drops
    the results before it.
    """

    async def go(store: Store) -> None:
        count, state, before = scaled(10000), LOOP_START, rss_mib()
        with Timed() as t:
            for i in range(count):
                await step(store, {}, b"s5/%06d" % i, i, durable=False)
                state = loop_state(state)
                store.set(b"s5", state)
                if i % 20 == 19:  # noqa: PLR2004  see above
                    store.deleted.append((b"s5/%06d" % (i - 20), b"s5/%06d" % i))
                await store.flush()
        emit(PEER, "s5", "seconds", t.wall, n=count)
        emit(PEER, "s5", "cpu_us_per_iteration", t.cpu / count * 1e6)
        emit(PEER, "s5", "rss_growth_mib", rss_mib(peak=True) - before)

    run(go)
    if KIND != "memory":
        emit(PEER, "s5", "stored_bytes", stored_bytes(data_dir()))


def s7() -> None:
    """Sleep durably."""

    async def go(store: Store) -> None:
        over: list[float] = []
        for i in range(scaled(30, 5)):
            start = clock()
            store.set(b"s7-%d" % i, {"deadline": time.time() + NAP})
            await store.flush()
            await asyncio.sleep(NAP)
            store.set(b"s7-%d/state" % i, "completed")
            await store.flush()
            over.append((clock() - start - NAP) * 1e3)
        emit(PEER, "s7", "overhead_p50_ms", percentiles(over)[0])

    run(go)


def s8() -> None:
    """Join many branches of one step each."""

    async def go(store: Store) -> None:
        count = scaled(1000)
        with Timed() as t:
            branches = [step(store, {}, b"s8/%06d" % i, i) for i in range(count)]
            await asyncio.gather(*branches)
        emit(PEER, "s8", "branches_per_s", count / t.wall, n=count)

    run(go)


def s9() -> None:
    """Wait for a message, get it, complete.

    It is durable before the send returns; that it was received, and the end, share
    a flush.
    """

    async def go(store: Store) -> None:
        async def receiver(i: int, inbox: asyncio.Future[dict[str, int]]) -> None:
            message = await inbox
            store.set(b"s9-%d/got" % i, message)
            store.set(b"s9-%d/state" % i, "completed")
            await store.flush()

        took: list[float] = []
        for i in range(scaled(100, 5)):
            inbox = asyncio.get_running_loop().create_future()
            ends = asyncio.create_task(receiver(i, inbox))
            await asyncio.sleep(0.01)
            start = clock()
            store.set(b"s9-%d/message" % i, {"n": 1})
            await store.flush()
            inbox.set_result({"n": 1})
            await ends
            took.append((clock() - start) * 1e3)
        p50, p99 = percentiles(took)
        emit(PEER, "s9", "p50_ms", p50)
        emit(PEER, "s9", "p99_ms", p99)

    run(go)


def first() -> None:
    """Make one step durable, from a cold start."""

    async def go(store: Store) -> None:
        await steps(store, b"first", 1)
        emit(PEER, "s6", "first_step_s", time.time() - BEGAN)

    run(go)


main({f.__name__: f for f in (s1, s2, s3, s4, s4_crash, s5, s7, s8, s9, first)})
