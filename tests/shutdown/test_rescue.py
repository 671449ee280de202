"""What a thread writes though the event loop is stuck: all that belongs together."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow import App, Context, StoreUnavailable, current_step, step, workflow
from edgeflow.engine.rescue import rescue
from edgeflow.engine.shutdown import Guard
from edgeflow.errors import EdgeflowError
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore
from edgeflow_sqlite import SqliteStore
from tests.ingress.place import Alarms, Place

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from edgeflow import Workflow
    from edgeflow.engine.settings import Durability
    from edgeflow.engine.worker import Worker
    from edgeflow.platform import Platform
    from edgeflow.store import Commit, Committed

DEADLINE = 10.0  # seconds for what another thread does


# --- a loop that is stuck -------------------------------------------------------


class Left:
    """Stands for `os._exit`; keeps the file as it is then."""

    def __init__(self, folder: Path) -> None:
        self.codes: list[int] = []
        self.copy = folder / "left.db"
        self._path = folder / "edgeflow.db"
        self._came = threading.Event()

    def __call__(self, code: int) -> None:
        with (
            closing(sqlite3.connect(self._path)) as db,
            closing(sqlite3.connect(self.copy)) as copy,
        ):
            db.backup(copy)
        self.codes.append(code)
        self._came.set()

    def wait(self) -> None:
        """Keep the loop from turning until the process would be gone."""
        assert self._came.wait(DEADLINE), "the watchdog did not come"


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return Left(tmp_path)


def lost(
    folder: Path,
    guard: Guard,
    body: Workflow[Any, Any],
    mode: Durability,
    platform: Platform | None = None,
) -> None:
    """Run it in a process that is told to end while its loop is stuck."""
    store = SqliteStore(folder / "edgeflow.db")
    app = App(
        store,
        workflows=[body],
        durability=mode,
        max_dirty_age=1e6,
        grace=0.05,
        config={},
        platform=platform,
    )
    app.session.guard = guard

    async def main() -> None:
        with suppress(EdgeflowError):  # it meets what was written in its place
            await app.run(body, id="i")

    asyncio.run(main())


def found(path: Path) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """What a fresh process reads: the entries, and the state."""

    async def read() -> tuple[list[tuple[str, str]], dict[str, Any]]:
        handle = App(SqliteStore(path), config={}).handle("i")
        entries = [(entry.name, entry.status) for entry in await handle.history()]
        return entries, dict(await handle.state())

    return asyncio.run(read())


@step
async def quick(n: int) -> int:
    current_step().state["n"] = n
    return n


def test_what_a_stuck_body_has_seen_is_written(tmp_path: Path, left: Left) -> None:
    # P-08 G1 G6
    guard = Guard(leave=left)

    @workflow
    async def body(ctx: Context) -> None:
        for n in range(3):
            await quick(n)
        guard.hear(signal.SIGTERM)
        left.wait()

    lost(tmp_path, guard, body, "suspend")

    assert left.codes == [143]
    assert found(left.copy) == ([("quick", "completed")] * 3, {"n": 2})


def test_whom_that_makes_due_is_woken_where_nobody_polls(
    tmp_path: Path, left: Left
) -> None:
    # P-08 G10
    guard, alarms = Guard(leave=left), Alarms()

    @workflow
    async def body(ctx: Context) -> None:
        await quick(1)
        await ctx.send("other", "hello")
        await quick(2)
        guard.hear(signal.SIGTERM)
        left.wait()

    lost(tmp_path, guard, body, "suspend", Place(waker=alarms))

    assert {alarm.instance for alarm in alarms.diary} == {"i", "other"}


@pytest.mark.parametrize("mode", ["behind", "suspend"])
def test_what_is_being_flushed_while_a_step_is_stuck_is_written_once(
    tmp_path: Path, left: Left, mode: Durability
) -> None:
    # P-08 P-09 G3
    guard = Guard(leave=left)

    @step
    async def stuck() -> None:
        guard.hear(signal.SIGTERM)
        left.wait()

    @workflow
    async def body(ctx: Context) -> None:
        await ctx.send("other", "hello")
        for n in range(3):
            await quick(n)
        await stuck()

    lost(tmp_path, guard, body, mode)

    entries, state = found(left.copy)
    assert [entry for entry in entries if entry[0] == "quick"] == [
        ("quick", "completed")
    ] * 3
    assert state == {"n": 2}
    with closing(sqlite3.connect(left.copy)) as db:
        seqs = db.execute("select seq from ef_frame where instance = 'i' order by 1")
        numbers = [seq for (seq,) in seqs]
        (sent,) = db.execute("select count(*) from ef_inbox").fetchone()
    assert numbers == list(range(1, len(numbers) + 1))
    assert sent == 1


# --- at any moment ----------------------------------------------------------------


class Thread(MemoryStore):
    """A store in memory that a thread can write to; dead, it takes nothing more."""

    dead = False

    async def commit(self, instance: str, commit: Commit) -> Committed:
        if self.dead:
            raise StoreUnavailable
        await asyncio.sleep(0)  # it is in flight
        if self.dead:
            raise StoreUnavailable
        answer = await super().commit(instance, commit)
        await asyncio.sleep(0)  # it is written, and nobody knows
        return answer

    def commit_sync(self, instance: str, commit: Commit) -> None:
        loaded = self._now(self.load(instance))
        if (loaded.head.seq, loaded.head.token) != (commit.last, commit.token):
            self._now(super().commit(instance, commit))

    def _now(self, work: Any) -> Any:
        """Do what waits for nothing."""
        try:
            work.send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError("it waits")


class Moment:
    """The n-th time that the engine calls or leaves a function: there it is stuck."""

    def __init__(self, nth: int, store: Thread, worker: Worker) -> None:
        self.passed = 0
        self.was_whole = False
        self.recorded: set[str] = set()
        """The steps with an outcome in memory."""
        self._nth = nth
        self._store = store
        self._worker = worker

    def __call__(self, frame: FrameType, _event: str, _arg: object) -> None:
        if "/edgeflow/engine/" not in frame.f_code.co_filename or self._store.dead:
            return
        self.passed += 1
        if self.passed == self._nth:
            self._strike()

    def _strike(self) -> None:
        runs = list(self._worker.runs.values())
        for run in runs:
            self.was_whole = run.journal.wholeness.is_whole and run.resting is None
            self.recorded = {
                show_number(entry.path)
                for entry in run.journal.entries.values()
                if entry.status == "completed" and entry.kind == "step"
            }
        thread = threading.Thread(target=rescue, args=(self._store, runs))
        thread.start()
        thread.join(DEADLINE)
        self._store.dead = True


def show_number(path: Any) -> str:
    """The key in the state of the step with this path."""
    return f"s{path[-1][2]}"


entered: list[str] = []


@step
async def act(n: int) -> int:
    entered.append(f"s{n}")
    current_step().state[f"s{n}"] = n
    await asyncio.sleep(0)
    return n


@workflow
async def errand(ctx: Context) -> list[Any]:
    seen: list[Any] = [await act(n) for n in range(3)]
    await ctx.send("other", "told", seen[-1])
    await ctx.send(ctx.id, "go", "gone")
    seen += await asyncio.gather(act(3), act(4))
    seen.append((await ctx.receive("go")).body)
    await ctx.sleep(60)
    return [*seen, await act(5)]


OUTPUT = [0, 1, 2, 3, 4, "gone", 5]
STEPS = {f"s{n}" for n in range(6)}


async def live(store: Thread, clock: VirtualClock, nth: int, mode: Any) -> Moment:
    """Be a process that is stuck at the n-th moment, rescued, and gone."""
    app = App(store, clock=clock, workflows=[errand], durability=mode, config={})
    async with app.session.using(runs=True) as worker:
        await app.start(errand, id="i")
        moment = Moment(nth, store, worker)
        sys.setprofile(moment)
        try:
            with suppress(StoreUnavailable):
                await worker.attendance.attend("i")
        finally:
            sys.setprofile(None)
    return moment


async def check(store: Thread, clock: VirtualClock, moment: Moment) -> None:
    store.dead = False
    app = App(store, clock=clock, workflows=[errand], config={})
    history = await app.handle("i").history()
    done = {
        show_number(entry.path)
        for entry in history
        if entry.kind == "step" and entry.status == "completed"
    }
    assert set(await app.handle("i").state()) == done  # together, or not at all
    if moment.was_whole:
        assert moment.recorded <= done

    entered.clear()
    assert await app.run(errand, id="i") == OUTPUT

    assert done.isdisjoint(entered)
    assert set(await app.handle("i").state()) == STEPS
    assert [message.name for message in await store.unread("other")] == ["told"]
    assert list(await store.unread("i")) == []


MOMENTS = 6000
"""About how many there are; later ones never come, and then nothing is lost."""


@pytest.mark.timeout(60)
@settings(max_examples=300)
@given(nth=st.integers(1, MOMENTS), mode=st.sampled_from(["step", "behind", "suspend"]))
def test_what_is_rescued_at_any_moment_belongs_together_and_goes_on(
    nth: int, mode: Durability
) -> None:
    # P-08 P-09 G3 G6 G8 G11
    store, clock = Thread(), VirtualClock(1_700_000_000.0)

    async def both() -> None:
        await check(store, clock, await live(store, clock, nth, mode))

    asyncio.run(both())
