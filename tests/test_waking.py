"""What is parked is woken by one call of the store, and that call may go wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from edgeflow import App, Context, StoreUnavailable, step, workflow
from edgeflow.store import Resumes
from edgeflow.testing import (
    Fault,
    FaultyStore,
    RecordingStore,
    VirtualClock,
    crash_matrix,
    lives,
)
from edgeflow.testing.faults import KINDS, FaultKind
from edgeflow.testing.stores.source import StoreSource, TimedStore
from edgeflow.testing.story import ToldStore
from edgeflow_kv import KVStore, MemoryKV
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from edgeflow.engine.worker import Worker
    from edgeflow.store import Commit, Committed, Envelope, Store

calls: Counter[int] = Counter()


@pytest.fixture(autouse=True)
def fresh() -> None:
    calls.clear()


@step
async def work(number: int) -> int:
    calls[number] += 1
    return number


@workflow
async def waits(ctx: Context) -> list[object]:
    """Is woken by its time twice, and by messages twice."""
    found: list[object] = []
    for number, seconds in ((1, 60), (2, 10)):
        found.append(await work(number))
        await ctx.sleep(seconds)
    for number in (3, 4):
        message = await ctx.receive("news", timeout=600)
        found += [message.body, await work(number)]
    return found


MAIL = [("news", "first"), ("news", "second")]
ENDS_WITH = [1, 2, "first", 3, "second", 4]


@asynccontextmanager
async def staying(app: App) -> AsyncGenerator[Worker]:
    """Keep what rests in memory, as a worker does, but never look around."""
    async with app.session.using(runs=True) as worker:
        worker.serving = True
        yield worker


class AtResumes(FaultyStore):
    """Has its faults only when something is resumed."""

    async def commit(self, instance: str, commit: Commit) -> Committed:
        self._check()
        return await self.inner.commit(instance, commit)

    async def send(self, message: Envelope) -> bool:
        self._check()
        return await self.inner.send(message)


class Answers(RecordingStore):
    """Says after so many seconds what was read when something was resumed."""

    def __init__(self, clock: VirtualClock, *after: float) -> None:
        super().__init__(MemoryStore())
        self.clock = clock
        self.after = list(after)

    async def _resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        found = await super()._resume(instance, token, now, lease, worker)
        if self.after:
            await self.clock.sleep(self.after.pop(0))
        return found


WRAPPERS: dict[str, Callable[[Store], Store]] = {
    "faulty": FaultyStore,
    "recording": RecordingStore,
    "timed": lambda inner: TimedStore(inner, StoreSource()),
    "following": lambda inner: FaultyStore(RecordingStore(inner)).following(),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_store_that_wraps_another_resumes_if_that_does(
    wrap: Callable[[Store], Store],
) -> None:
    # L-21 O-12
    assert isinstance(wrap(MemoryStore()), Resumes)
    assert not isinstance(wrap(KVStore(MemoryKV())), Resumes)


async def test_a_fault_of_any_kind_at_a_waking_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # O-01 L-21, G3 G4 G5 G7 G10 G11 G12
    struck: Counter[FaultKind] = Counter()

    class Counting(ToldStore):
        async def _resume(
            self, instance: str, token: bytes, now: float, lease: float, worker: str
        ) -> Sequence[Envelope] | None:
            struck.update(f.kind for f in self.plan if f.at == self.writes + 1)
            return await super()._resume(instance, token, now, lease, worker)

    monkeypatch.setattr(lives, "ToldStore", Counting)
    app = App("memory:", workflows=[waits])
    report = await crash_matrix(app, waits, messages=MAIL, parked=True, pairs=40)

    assert report.end.output == ENDS_WITH
    assert all(struck[kind] >= 3 for kind in KINDS), struck


@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_worker_goes_on_whatever_goes_wrong_at_a_waking(
    kind: FaultKind, at: int
) -> None:
    # O-01 L-21, G4 G10 G11 G12: by time or message; if it ends, another one goes on
    clock, database = VirtualClock(), MemoryStore()
    store = AtResumes(database, [Fault(at, kind)], clock=clock)
    mine, another = (App(s, clock=clock, workflows=[waits]) for s in (store, database))
    running = asyncio.ensure_future(mine.run(waits, id="i"))
    for name, body in MAIL:
        await clock.sleep(100)
        sender = another if store.crashed else mine
        await sender.handle("i").send(name, body)
        await clock.sleep(0.2)
    await asyncio.wait([running], timeout=5)
    if store.crashed:
        async with another:
            assert await another.handle("i").result(timeout=60) == ENDS_WITH
        assert running.exception() is not None
    else:
        assert await running == ENDS_WITH
    await store.settle()

    assert store.struck == [Fault(at, kind)]
    assert calls.keys() == {1, 2, 3, 4}
    # What begins after a lie of the store is not written, and begins again.
    assert calls.total() <= 4 + (kind == "lose")


async def test_a_lease_is_counted_from_when_it_was_asked_for() -> None:
    # L-21 N-09, G4: the store takes longer over it than the lease lasts
    clock, database = VirtualClock(), MemoryStore()
    store = AtResumes(database, [Fault(1, "slow", seconds=40)], clock=clock)
    theirs: list[str] = []

    @step
    async def look() -> None:
        await clock.sleep(1)
        theirs.extend(await database.claim(clock.now(), 10, 1.0, "another"))

    @workflow
    async def sleeps(ctx: Context) -> None:
        await ctx.sleep(60)
        await look()

    app = App(store, clock=clock, workflows=[sleeps])
    async with staying(app):
        handle = await app.start(sleeps, id="i")
        await clock.sleep(110)

        assert (await handle.info()).status == "completed"
    assert store.struck
    assert theirs == []


async def test_an_answer_from_before_the_last_rest_wakes_nobody() -> None:
    # L-21 D-08, G11: two rings, and the second one is answered last
    clock = VirtualClock()
    store = Answers(clock, 1.0, 5.0)

    @workflow
    async def hears(ctx: Context) -> list[object]:
        return [(await ctx.receive("news")).body for _ in range(3)]

    app = App(store, clock=clock, workflows=[hears])
    async with staying(app):
        handle = await app.start(hears, id="i")
        await clock.sleep(1)
        await handle.send("news", 1)
        await handle.send("news", 2)
        await clock.sleep(10)
        assert store.calls.count("resume") >= 2
        await handle.send("news", 3)

        assert await handle.result(timeout=60) == [1, 2, 3]


async def test_a_lease_that_is_taken_while_it_goes_on_is_given_back() -> None:
    # L-21 N-09: the store hears of a second ring, for nothing, just before the rest
    clock = VirtualClock()
    plan: list[Fault] = [Fault(n, "slow", seconds=1 + n / 20) for n in (1, 2)]
    store = AtResumes(MemoryStore(), plan, clock=clock)

    @workflow
    async def hears(ctx: Context) -> None:
        for _ in range(2):
            await ctx.receive("news")

    app = App(store, clock=clock, workflows=[hears])
    async with staying(app) as worker:
        handle = await app.start(hears, id="i")
        await clock.sleep(1)
        await handle.send("news", 1)
        worker.ring("i")
        await clock.sleep(5)
        loaded = await store.load("i")

        assert loaded is not None
        assert loaded.head.status == "suspended"
        assert loaded.head.lease <= clock.now()
    assert store.struck == plan


@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["fail_before", "fail_after", "time_out"])
async def test_passing_store_errors_at_a_waking_cost_nothing(
    kind: FaultKind, at: int
) -> None:
    # M-10 L-21, G12: three in turn, and nobody but the caller would look again
    clock, database = VirtualClock(), MemoryStore()
    plan = [Fault(at + n, kind) for n in range(3)]
    store = AtResumes(database, plan, clock=clock)
    app = App(store, clock=clock, workflows=[waits])
    running = asyncio.ensure_future(app.run(waits, id="i"))
    for name, body in MAIL:
        await clock.sleep(100)
        await app.handle("i").send(name, body)

    assert await running == ENDS_WITH
    assert store.struck == plan
    assert calls == dict.fromkeys((1, 2, 3, 4), 1)


async def test_what_a_drain_has_put_away_is_not_asked_for_any_more() -> None:
    # M-10 L-21
    clock = VirtualClock()
    calls: list[float] = []

    class Down(MemoryStore):
        async def resume(
            self, instance: str, token: bytes, now: float, lease: float, worker: str
        ) -> Sequence[Envelope] | None:
            calls.append(now)
            await clock.sleep(1.9)
            raise StoreUnavailable("the file is locked")

    app = App(Down(), clock=clock, workflows=[waits])
    async with app:
        await app.start(waits, id="i")
        await clock.sleep(60.1)
        assert calls
        began = clock.now()

    assert clock.now() - began < 3
