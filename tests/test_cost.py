"""What a step costs, counted and not timed: a change that makes it dearer is seen here.

Times are measured in bench/, as ratios. The limits below are what there is, with a
little room; whoever needs more of it says why, and measures.
"""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

import pytest

from edgeflow import App, Context, step, workflow
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

IS_EAGER = sys.version_info >= (3, 12)
KIB = 1024


class Record(TypedDict):
    i: int
    s: str


@step
async def work(i: int) -> Record:
    return {"i": i, "s": "0123456789abcdef"}


@workflow
async def steps(ctx: Context, count: int) -> int:
    for i in range(count):
        await work(i)
    return count


@workflow
async def waits(ctx: Context, count: int) -> None:
    for i in range(count):
        await work(i)
    await ctx.receive("go")
    await work(count)


@workflow
async def receiver(ctx: Context) -> None:
    while True:
        await ctx.receive("go")


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the same on a slow machine: time cuts nothing into slices."""
    monkeypatch.setattr("edgeflow.engine.run.SLICE_SECONDS", math.inf)


@contextmanager
def counted(counts: Counter[str]) -> Generator[None]:
    """Count calls of Python functions, and what the loop is asked for."""
    loop: Any = asyncio.get_running_loop()

    def watch(_frame: object, event: str, _argument: object) -> None:
        if event == "call":
            counts["calls"] += 1

    def count(name: str) -> Any:
        inner = getattr(loop, name)

        def called(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            return inner(*args, **options)

        return called

    names = ("call_soon_threadsafe", "call_at", "_run_once")
    for name in names:
        setattr(loop, name, count(name))
    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(before)
        for name in names:
            delattr(loop, name)


async def cost_of(app: App, few: int, many: int) -> dict[str, float]:
    """Give what each of the steps costs by which two instances differ."""
    found: list[Counter[str]] = []
    async with app:
        await app.run(steps, 20)
        for count in (few, many):
            counts: Counter[str] = Counter()
            with counted(counts):
                await app.run(steps, count)
            found.append(counts)
    less, more = found
    return {name: round((more[name] - less[name]) / (many - few), 2) for name in more}


# --- time -----------------------------------------------------------------------------


# M-02 M-20, G15
@pytest.mark.parametrize(
    ("mode", "calls", "turns"),
    [
        ("step", 155 if IS_EAGER else 280, 0.3 if IS_EAGER else 4.1),
        ("suspend", 100 if IS_EAGER else 190, 0.3 if IS_EAGER else 2.1),
    ],
)
async def test_a_step_in_memory_takes_so_many_calls(
    mode: Any, calls: int, turns: float
) -> None:
    app = App("memory:", workflows=[steps], durability=mode, config={})
    cost = await cost_of(app, 100, 300)

    assert cost["calls"] <= calls
    assert cost["_run_once"] <= turns
    assert cost.get("call_at", 0) <= (0.05 if IS_EAGER else 1.05)  # timers
    assert "call_soon_threadsafe" not in cost  # no thread


# Q-03, G15
async def test_a_step_costs_the_same_whatever_came_before_it() -> None:
    app = App("memory:", workflows=[steps], config={})
    early = await cost_of(app, 100, 200)
    late = await cost_of(app, 1000, 1100)

    room = 0.05 if IS_EAGER else 0.1  # before 3.12 turns of the loop vary by themselves
    assert abs(late["calls"] - early["calls"]) <= room * early["calls"]


# M-02, STORES §1
async def test_a_step_on_sqlite_is_one_commit_one_transaction_and_one_hop(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'cost.db'}?synchronous=normal"
    cost = await cost_of(App(url, workflows=[steps], config={}), 50, 150)

    assert 1 <= cost["call_soon_threadsafe"] <= 1.05  # answers of the thread
    assert cost["calls"] <= (190 if IS_EAGER else 325)
    assert cost["_run_once"] <= (1.1 if IS_EAGER else 5.3)


async def test_instances_share_hops_to_sqlite(tmp_path: Path) -> None:
    app = App(f"sqlite:///{tmp_path / 'cost.db'}", workflows=[steps], config={})
    counts: Counter[str] = Counter()
    async with app:
        await app.run(steps, 5)
        with counted(counts):
            await asyncio.gather(*(app.run(steps, 5) for _ in range(100)))

    commits = 100 * 7  # the start, each step, the end
    assert counts["call_soon_threadsafe"] <= commits / 20


# E-05
async def test_a_replay_takes_no_hop_and_few_turns_of_the_loop(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'cost.db'}?synchronous=normal"
    found: list[Counter[str]] = []
    for count in (100, 1100):
        app = App(url, workflows=[waits], durability="suspend", config={})
        await app.start(waits, count, id=f"i{count}")
        await app.drive(f"i{count}")
        await app.handle(f"i{count}").send("go")
        counts: Counter[str] = Counter()
        with counted(counts):
            await app.drive(f"i{count}")
        found.append(counts)
    less, more = found

    assert more["call_soon_threadsafe"] == less["call_soon_threadsafe"]
    assert more["_run_once"] - less["_run_once"] <= 1000 / 200
    assert more["calls"] - less["calls"] <= 1000 * 60


async def parked(app: App) -> asyncio.Semaphore:
    """Have an instance rest that waits; give what counts the times that it does."""
    rests = asyncio.Semaphore(0)
    app.observe(lambda event: rests.release() if is_rest(event) else None)
    await app.start(receiver, id="i")
    await rests.acquire()
    return rests


async def woken(app: App, rests: asyncio.Semaphore, count: int) -> None:
    for _ in range(count):
        await app.handle("i").send("go")
        await rests.acquire()


# L-21, G15
async def test_a_wake_is_a_message_a_lease_and_a_commit(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'cost.db'}?synchronous=normal"
    limits = {"linger": 0.0, "poll": 1000.0}
    found: list[Counter[str]] = []
    async with App(url, workflows=[receiver], config=limits) as app:
        rests = await parked(app)
        for count in (20, 20, 120):
            counts: Counter[str] = Counter()
            with counted(counts):
                await woken(app, rests, count)
            found.append(counts)
    cost = {name: (found[-1][name] - found[-2][name]) / 100 for name in found[-1]}

    assert round(cost["call_soon_threadsafe"]) == 3  # a look or two come in between
    assert cost["calls"] <= (560 if IS_EAGER else 670)


class Unsearched(dict[str, Any]):
    """What is found by its key, and never by looking at all of them."""

    def _refuse(self) -> NoReturn:
        raise AssertionError("all of it was looked at")

    __iter__ = keys = values = items = _refuse


# L-21, G15
async def test_a_wake_looks_at_no_other_instance() -> None:
    async with App("memory:", workflows=[receiver], config={}, linger=0.0) as app:
        rests = await parked(app)
        async with app.session.using() as worker:
            runs = worker.runs
            worker.runs = Unsearched(runs)
            try:
                await woken(app, rests, 1)
            finally:
                worker.runs = runs


# --- commits --------------------------------------------------------------------------


# M-02
async def test_a_step_is_one_commit_of_a_few_hundred_bytes() -> None:
    store = RecordingStore(MemoryStore())
    await App(store, workflows=[steps], config={}).run(steps, 50)

    assert len(store.commits) == 1 + 50 + 1
    plain = [commit for commit in store.commits[1:-1] if not commit.snapshot]
    assert max(sum(map(len, commit.frames)) for commit in plain) <= 400


# --- memory ---------------------------------------------------------------------------


async def kept_by(count: int) -> tuple[int, int]:
    """Give what a parked instance with so many steps keeps: bytes and blocks."""
    app = App("memory:", workflows=[waits], config={}, linger=0.0, durability="suspend")
    rests = asyncio.Event()
    app.observe(lambda event: rests.set() if is_rest(event) else None)
    async with app:
        await app.start(waits, 10, id="warm")
        await rests.wait()
        rests.clear()
        gc.collect()
        tracemalloc.start()
        try:
            await app.start(waits, count, id="i")
            await rests.wait()
            await asyncio.sleep(0.05)
            gc.collect()
            found = tracemalloc.take_snapshot()
        finally:
            tracemalloc.stop()
    only = found.filter_traces([tracemalloc.Filter(True, "*edgeflow*")])  # noqa: FBT003  its own API
    statistics = only.statistics("filename")
    return sum(s.size for s in statistics), sum(s.count for s in statistics)


# G15
async def test_a_recorded_step_keeps_less_than_a_kib() -> None:
    few, many = await kept_by(100), await kept_by(600)

    assert (many[0] - few[0]) / 500 <= 1.1 * KIB
    assert (many[1] - few[1]) / 500 <= 12


# K-09, G15
async def test_a_parked_instance_keeps_six_kib_or_little_more(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'cost.db'}?synchronous=normal"
    limits = {"max_parked": 1000, "linger": 0.0}
    kept: list[int] = []
    async with App(url, workflows=[receiver], config=limits) as app:
        rests = asyncio.Semaphore(0)
        app.observe(lambda event: rests.release() if is_rest(event) else None)
        for batch, count in enumerate((50, 100, 300)):
            names = [f"{batch}-{n}" for n in range(count)]
            gc.collect()
            tracemalloc.start()
            try:
                await asyncio.gather(*(app.start(receiver, id=name) for name in names))
                for _ in names:
                    await rests.acquire()
                await asyncio.sleep(0.05)
                gc.collect()
                kept.append(tracemalloc.get_traced_memory()[0])
            finally:
                tracemalloc.stop()

    _, few, many = kept
    # Tables that grow are counted too, and on 3.11 what traces the coverage.
    assert (many - few) / 200 <= 7 * KIB


def is_rest(event: Any) -> bool:
    return bool(event.kind == "suspended")
