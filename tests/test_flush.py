"""When the journal is flushed, what a flush holds, and what its failure costs."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    Context,
    Event,
    Fenced,
    Retry,
    StepError,
    StoreUnavailable,
    UnknownInstance,
    current_step,
    step,
)
from edgeflow.errors import OutcomeUnknown
from edgeflow.store import Commit, Committed, Limits
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed, Fault, FaultyStore
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from edgeflow import EntryInfo, Store

    Body = Callable[[Context], Coroutine[Any, Any, Any]]

MODES = ("step", "behind", "suspend")
KIB = 1024
ONCE = Retry(attempts=1)
PLAIN = Retry(jitter=0)

calls: Counter[object] = Counter()


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    calls.clear()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def counted() -> RecordingStore:
    return RecordingStore(MemoryStore())


@step(retry=PLAIN)
async def work(value: int, seconds: float = 0, size: int = 0) -> int | str:
    calls[value] += 1
    if seconds:
        await current_step().resources.sleep(seconds)
    return "x" * size or value


@step(retry=PLAIN)
async def nothing(value: str, seconds: float = 0) -> None:
    calls[value] += 1
    await current_step().resources.sleep(seconds)


@step(retry=Retry(attempts=3, jitter=0))
async def flaky(failures: int) -> int:
    calls["flaky"] += 1
    if current_step().attempt <= failures:
        raise ValueError("not yet")
    return current_step().attempt


def app_for(body: Body, store: Store, clock: VirtualClock, **settings: Any) -> App:
    app = App(store, clock=clock, lifespan=lambda: nullcontext(clock), **settings)
    app.workflow(name="w")(body)
    return app


def slow(inner: Store, clock: VirtualClock, seconds: float) -> FaultyStore:
    plan = [Fault(n, "slow", seconds=seconds) for n in range(1, 300)]
    return FaultyStore(inner, plan, clock=clock)


async def twenty(_: Context) -> int:
    return sum([int(await work(n)) for n in range(20)])


async def work_sleep_work(ctx: Context) -> int:
    first = await work(1)
    await ctx.sleep(60)
    return int(first) + int(await work(2))


async def history(store: Store, clock: VirtualClock) -> list[EntryInfo]:
    return await App(store, clock=clock).handle("i").history()


async def names_in(store: Store, clock: VirtualClock) -> list[str]:
    """Give the names of the operations that are durable as completed."""
    entries = await history(store, clock)
    return [entry.name for entry in entries if entry.status == "completed"]


async def written(commits: Iterable[Commit]) -> MemoryStore:
    """Give a store in which exactly these commits were written."""
    store = MemoryStore()
    for commit in commits:
        await store.commit("i", commit)
    return store


# How many


async def test_a_step_and_a_return_are_one_commit_each(
    clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-01
    async def body(_: Context) -> int | str:
        return await work(7)

    assert await app_for(body, counted, clock).run("w", id="i") == 7
    assert len(counted.commits) == 3
    counted.commits.clear()
    await app_for(body, counted, clock).start("w", id="j")
    await app_for(body, counted, clock).drive("j")
    assert len(counted.commits) == 4


@pytest.mark.parametrize(
    ("mode", "low", "high"), [("step", 22, 22), ("behind", 2, 22), ("suspend", 2, 2)]
)
async def test_each_mode_flushes_as_often_as_it_says(
    mode: str, low: int, high: int, clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-02
    app = app_for(twenty, counted, clock, durability=mode)

    assert await app.run("w", id="i") == 190
    assert low <= len(counted.commits) <= high


async def test_a_thousand_steps_cost_a_thousand_commits_or_three(
    clock: VirtualClock,
) -> None:
    async def body(_: Context) -> int:
        return sum([int(await work(n)) for n in range(1000)])

    for mode, most in (("step", 1003), ("suspend", 3)):
        counted = RecordingStore(MemoryStore())
        app = app_for(
            body,
            counted,
            clock,
            durability=mode,
            max_dirty_bytes=1 << 30,
            max_dirty_age=1e6,
        )
        assert await app.run("w", id="i") == 499_500
        assert len(counted.commits) <= most


async def test_a_suspension_costs_one_commit_and_its_replay_another(
    clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-03, S3, G1
    assert await app_for(work_sleep_work, counted, clock).run("w", id="i") == 3
    assert len(counted.commits) == 5
    counted.commits.clear()

    async with app_for(work_sleep_work, counted, clock) as app:
        await app.start("w", id="j")
        outcome = await app.drive("j")
        assert outcome.status == "suspended"
    clock.advance(60)
    outcome = await app_for(work_sleep_work, counted, clock).drive("j")

    assert outcome.output == 3
    assert len(counted.commits) == 6


async def test_an_instance_that_is_not_due_costs_nothing(
    clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-04, S3, G10
    app = app_for(work_sleep_work, counted, clock)
    await app.start("w", id="i")
    first = await app.drive("i")
    entered = calls.copy()
    counted.commits.clear()

    for each in (app, app_for(never, counted, clock)):
        again = await each.drive("i")
        assert again == first
        assert again.wake_at == pytest.approx(clock.now() + 60)

    assert (counted.commits, calls) == ([], entered)


async def never(_: Context) -> Any:
    raise AssertionError


async def test_what_needs_no_flush_of_its_own_costs_none(
    clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-05, S31
    async def body(ctx: Context) -> Any:
        message = await ctx.receive("hello")
        await ctx.status("busy")
        await ctx.send("somebody", "news", 1)
        async with ctx.scope("block"):
            return [message.body, await work(7)]

    app = app_for(body, counted, clock)
    await app.handle("i").send("hello", "you")

    assert await app.run("w", id="i") == ["you", 7]
    assert len(counted.commits) == 3


async def test_a_failure_a_caught_one_and_an_intent_cost_one_commit_each(
    clock: VirtualClock,
) -> None:
    # M-06, S1 S11 S31, G7
    async def retried(_: Context) -> int:
        return await flaky(2)

    async def caught(_: Context) -> str:
        try:
            await flaky.using(retry=ONCE)(1)
        except StepError as error:
            return error.kind
        return ""

    async def intended(_: Context) -> int:
        return await flaky.using(at_most_once=True, retry=ONCE)(0)

    expected = {retried: (3, 5), caught: ("exhausted", 3), intended: (1, 4)}
    for body, (output, commits) in expected.items():
        counted = RecordingStore(MemoryStore())
        assert await app_for(body, counted, clock).run("w", id="i") == output
        assert len(counted.commits) == commits


async def test_replay_loads_once_and_writes_its_opening_only(
    clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-07
    async def body(ctx: Context) -> int:
        await asyncio.gather(*(work(n) for n in range(1000)))
        await ctx.sleep(60)
        return await ctx.step("count", count)

    async def count() -> int:
        return len(counted.commits)

    app = app_for(body, counted, clock, durability="suspend")
    await app.start("w", id="i")
    await app.drive("i")
    clock.advance(60)
    counted.commits.clear()
    counted.calls.clear()

    outcome = await app_for(body, counted, clock).drive("i")

    assert outcome.output == 1
    assert counted.calls.count("load") == 1
    assert set(calls.values()) == {1}


# Single flight, swap then write


class Flights(RecordingStore):
    """Counts commits in flight."""

    flying = most = 0

    async def commit(self, instance: str, commit: Commit) -> Committed:
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            return await super().commit(instance, commit)
        finally:
            self.flying -= 1


@pytest.mark.parametrize("mode", MODES)
async def test_results_that_end_during_a_flush_share_the_next_one(
    mode: str, clock: VirtualClock
) -> None:
    # M-08, G3
    chance = Random(8)
    durations = [chance.random() for _ in range(50)]

    async def body(_: Context) -> Any:
        steps = (work(n, seconds) for n, seconds in enumerate(durations))
        return await asyncio.gather(*steps)

    inner = RecordingStore(MemoryStore())
    store = Flights(slow(inner, clock, 0.1))
    app = app_for(body, store, clock, durability=mode)

    assert await app.run("w", id="i") == list(range(50))
    assert store.most == 1
    assert len(store.commits) <= 14  # about a second of flushes of 0.1 s
    assert sorted(await names_in(inner, clock)) == ["work"] * 50
    assert await app_for(never, inner, clock).run("w", id="i") == list(range(50))
    assert set(calls.values()) == {1}


@pytest.mark.parametrize("void", [False, True])
async def test_what_changes_during_a_flush_is_in_the_next_one(
    void: bool,  # noqa: FBT001
    clock: VirtualClock,
) -> None:
    # M-09, G3
    async def body(_: Context) -> Any:
        second: Coroutine[Any, Any, Any] = nothing("2", 2) if void else work(2, 2)
        return [*await asyncio.gather(work(1, 1), second), await work(3)]

    inner = MemoryStore()
    plan = [Fault(2, "slow", seconds=5), Fault(3, "crash_after")]
    store = FaultyStore(inner, plan, clock=clock)
    with pytest.raises((Crashed, StoreUnavailable)):
        await app_for(body, store, clock).run("w", id="i")
    assert [fault.at for fault in store.struck] == [2, 3]

    assert len(await names_in(inner, clock)) == 2
    found: object = await app_for(body, inner, clock).run("w", id="i")

    assert found == [1, None if void else 2, 3]
    assert set(calls.values()) == {1}


# Trouble with the store


async def story(ctx: Context) -> Any:
    """Have a bit of everything."""
    found = [await work(1), await flaky(1)]
    found += await asyncio.gather(work(2, 1), work(3, 2))
    await ctx.send("somebody", "news", found)
    await ctx.sleep(60)
    message = await ctx.receive("hello", timeout=60)
    return [*found, message.body, await work(4)]


STORY = [1, 2, 2, 3, "you", 4]


async def tell(store: Store, clock: VirtualClock, **settings: Any) -> Any:
    app = app_for(story, store, clock, **settings)
    return await app.run("w", id="i")


async def with_message(inner: MemoryStore) -> None:
    await App(inner).handle("i").send("hello", "you", id="m")


async def commits_of_the_story() -> list[Commit]:
    store = RecordingStore(MemoryStore())
    await App(store).handle("i").send("hello", "you", id="m")
    assert await tell(store, VirtualClock()) == STORY
    calls.clear()
    return store.commits


async def sent_once(inner: MemoryStore) -> bool:
    return [m.name for m in await inner.unread("somebody")] == ["news"]


async def test_passing_store_errors_cost_nothing() -> None:
    # M-10, G12
    total = len(await commits_of_the_story())
    for at in range(1, total + 1):
        calls.clear()
        heard: list[Event] = []
        inner, clock = MemoryStore(), VirtualClock()
        await with_message(inner)
        plan = [Fault(at + n, "fail_before") for n in range(3)]
        store = FaultyStore(inner, plan, clock=clock)

        assert await tell(store, clock, observers=[heard.append]) == STORY
        assert len(store.struck) == 3
        assert calls == {1: 1, 2: 1, 3: 1, 4: 1, "flaky": 2}
        failed = [event for event in heard if event.kind == "attempt_failed"]
        assert len(failed) == 1
        assert await sent_once(inner)


async def test_a_store_that_stays_away_ends_the_run_and_not_the_instance() -> None:
    # M-11, S27, G12
    commits = await commits_of_the_story()
    for at in range(1, len(commits) + 1):
        calls.clear()
        inner, clock = MemoryStore(), VirtualClock()
        await with_message(inner)
        plan = [Fault(at + n, "fail_before") for n in range(100)]
        store = FaultyStore(inner, plan, clock=clock)
        start = clock.now()

        with pytest.raises(StoreUnavailable, match="as the last flush left it"):
            await tell(store, clock)
        assert len(store.struck) == 6  # 1 and 5 retries
        assert clock.now() - start < 10 + 63
        loaded = await inner.load("i")
        assert (loaded.head.seq if loaded else 0) == at - 1

        durable = Counter(await names_in(inner, clock) if loaded else [])
        before = calls.copy()
        assert await tell(inner, clock) == STORY
        assert await sent_once(inner)
        again = calls - before
        assert sum(again.values()) == 6 - durable["work"] - flaky_starts(durable, at)


def flaky_starts(durable: Counter[str], at: int) -> int:
    return 2 if durable["flaky"] else int(at > 3)  # its failure is commit 3


async def test_a_lost_answer_is_no_lost_commit() -> None:
    # M-12, G5
    commits = await commits_of_the_story()
    for at in range(1, len(commits) + 1):
        calls.clear()
        inner, clock = MemoryStore(), VirtualClock()
        await with_message(inner)
        store = FaultyStore(inner, [Fault(at, "fail_after")], clock=clock)

        assert await tell(store, clock) == STORY
        assert len(store.struck) == 1
        assert calls == {1: 1, 2: 1, 3: 1, 4: 1, "flaky": 2}
        loaded = await inner.load("i")
        assert loaded is not None
        assert loaded.head.seq == len(commits)
        assert await sent_once(inner)


async def test_an_answer_lost_over_a_dead_connection_is_found_out_later() -> None:
    # M-12, G5: the commit is written, its answer lost, and reading fails for a while
    class Deaf(FaultyStore):
        deaf = 0

        async def load(self, instance: str) -> Any:
            if self.struck and self.deaf < 2:
                self.deaf += 1
                raise StoreUnavailable("no connection")
            return await super().load(instance)

    for at in range(1, 5):
        calls.clear()
        inner, clock = MemoryStore(), VirtualClock()
        await with_message(inner)
        store = Deaf(inner, [Fault(at, "fail_after")], clock=clock)

        assert await tell(store, clock) == STORY
        assert calls == {1: 1, 2: 1, 3: 1, 4: 1, "flaky": 2}


async def test_a_lost_answer_and_another_owner_since_is_a_fence(
    clock: VirtualClock,
) -> None:
    # M-12, G4
    class Overtaken(FaultyStore):
        async def commit(self, instance: str, commit: Commit) -> Committed:
            try:
                return await super().commit(instance, commit)
            except OutcomeUnknown:
                self.result = await app_for(twenty, inner, clock).drive(instance)
                raise

    inner = MemoryStore()
    heard: list[Event] = []
    store = Overtaken(inner, [Fault(5, "fail_after")], clock=clock)
    with pytest.raises(Fenced):
        await app_for(twenty, store, clock, observers=[heard.append]).run("w", id="i")

    assert store.result.output == 190
    assert set(calls.values()) == {1}
    assert len(heard) == 3  # what was acknowledged before


async def test_a_caller_that_is_cancelled_during_a_commit_repeats_nothing(
    clock: VirtualClock,
) -> None:
    # M-12, G5
    inner = MemoryStore()
    app = app_for(twenty, slow(inner, clock, 5), clock)
    run: Coroutine[Any, Any, object] = app.run("w", id="i")
    running = asyncio.create_task(run)
    await clock.sleep(12)  # the third commit, with the second step, is in flight
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert await app_for(twenty, inner, clock).run("w", id="i") == 190
    assert set(calls.values()) == {1}


async def test_whoever_is_fenced_says_and_does_nothing_more(
    clock: VirtualClock,
) -> None:
    # M-13, G4
    inner = MemoryStore()
    started: list[str] = []
    heard: dict[str, list[str]] = {"a": [], "b": []}

    async def body(ctx: Context) -> list[str]:
        first = await ctx.step("first", partial(mark, "first"))
        await ctx.send("somebody", "news", first)
        second = await ctx.step("second", partial(mark, "second"))
        return [first, second, await ctx.step("third", partial(mark, "third"))]

    async def mark(name: str) -> str:
        who = owners[0]
        started.append(f"{name} by {who}")
        if name == "second" and who == "a":
            owners[0] = "b"
            results.append((await make("b").drive("i")).output)
            owners[0] = "a"
        return who

    def make(who: str) -> App:
        def observe(event: Event) -> None:
            heard[who].append(event.kind)

        return app_for(body, inner, clock, observers=[observe])

    owners, results = ["a"], list[Any]()
    with pytest.raises(Fenced):
        await make("a").run("w", id="i")

    assert results == [["a", "b", "b"]]
    assert started == ["first by a", "second by a", "second by b", "third by b"]
    assert heard == {
        "a": ["step_completed"],
        "b": ["step_completed", "step_completed", "completed"],
    }
    assert await sent_once(inner)
    assert await make("c").handle("i").result() == ["a", "b", "b"]


# What dirty data may amount to


async def test_much_dirty_data_is_flushed_without_a_suspension(
    clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-14
    async def body(_: Context) -> int:
        for n in range(3):
            await work(n, size=100 * KIB)
        await work(3, 0.5)
        return len(counted.commits)

    app = app_for(body, counted, clock, durability="suspend")

    assert await app.run("w", id="i") == 2
    assert 300 * KIB < len(counted.commits[1].frames[0]) < 310 * KIB


async def test_old_dirty_data_is_flushed_while_a_step_runs(
    clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-14
    async def body(_: Context) -> None:
        await work(1)
        await work(2, 100)

    start = clock.now()
    await app_for(body, counted, clock, durability="suspend").run("w", id="i")

    times = [round(commit.now - start, 1) for commit in counted.commits]
    assert times == [0, 1, 100]


async def test_an_app_that_ends_flushes_at_once_and_lets_the_step_end(
    clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-16, G1
    async def body(ctx: Context) -> None:
        for n in range(5):
            await work(n)
        await ctx.step("long", long)
        await work(5)

    async def long() -> None:
        await current_step().stopping
        await clock.sleep(3)

    app = app_for(body, counted, clock, durability="suspend", max_dirty_age=1e6)
    start = clock.now()
    await app.start("w", id="i")
    outcome = await app.drive("i", deadline=100)

    assert outcome.status == "suspended"
    times = [round(commit.now - start, 1) for commit in counted.commits]
    assert times[2:] == [91, 94]  # grace 8, margin 1; the step took 3
    half = await names_in(await written(counted.commits[:3]), clock)
    assert half == ["work"] * 5
    assert await names_in(counted.inner, clock) == [*half, "long"]
    assert calls[5] == 0


async def test_the_mode_of_a_step_wins_over_workflow_and_app(
    clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-20
    async def body(_: Context) -> list[int]:
        await work(1)
        await work(2)
        before = len(counted.commits)
        await work.using(durability="step")(3)
        return [before, len(counted.commits)]

    app = App(
        counted,
        clock=clock,
        durability="step",
        lifespan=lambda: nullcontext(clock),
    )
    app.workflow(name="w", durability="suspend")(body)

    assert await app.run("w", id="i") == [1, 2]
    store = await written(counted.commits[:2])
    assert await names_in(store, clock) == ["work"] * 3


async def test_mode_behind_does_not_hold_the_body_up(clock: VirtualClock) -> None:
    # M-21
    ended: list[float] = []

    async def body(_: Context) -> None:
        start = clock.now()
        for n in range(20):
            await work(n)
        ended.append(clock.now() - start)

    inner = RecordingStore(MemoryStore())
    app = app_for(body, slow(inner, clock, 0.1), clock, durability="behind")
    await app.run("w", id="i")

    assert ended[0] < 0.3
    assert 3 <= len(inner.commits) <= 6  # "at once in the background"
    assert await names_in(inner, clock) == ["work"] * 20


async def test_mode_behind_waits_when_too_much_is_dirty(clock: VirtualClock) -> None:
    # M-21, S37
    async def body(_: Context) -> None:
        for n in range(20):
            await work(n, size=50 * KIB)

    inner = RecordingStore(MemoryStore())
    await app_for(body, slow(inner, clock, 0.1), clock, durability="behind").run(
        "w", id="i"
    )

    grown = [commit for commit in inner.commits if not commit.snapshot]
    sizes = [len(frame) for commit in grown for frame in commit.frames]
    assert max(sizes) <= 256 * KIB + 51 * KIB
    assert await names_in(inner, clock) == ["work"] * 20


async def test_a_fence_in_the_background_stops_the_body(clock: VirtualClock) -> None:
    # M-21, G4
    store = FaultyStore(MemoryStore(), [Fault(3, "fence")], clock=clock)

    async def body(_: Context) -> None:
        for n in range(20):
            await work(n, 1)

    with pytest.raises(Fenced):
        await app_for(body, store, clock, durability="behind").run("w", id="i")

    assert store.writes == 3
    assert 2 <= sum(calls.values()) <= 4


# All or nothing


async def test_a_flush_of_many_entries_is_loaded_whole_or_not_at_all(
    clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-17, G3
    async def body(ctx: Context) -> int:
        steps = (work(n, size=2 * KIB) for n in range(400))
        await asyncio.gather(*steps, *(nothing(f"n{n}") for n in range(100)))
        await ctx.sleep(60)
        return len(calls)

    limits: dict[str, Any] = {"max_dirty_bytes": 1 << 30, "durability": "suspend"}
    app = app_for(body, counted, clock, **limits)
    await app.start("w", id="i")
    await app.drive("i")
    *before, last = counted.commits
    (frame,) = last.frames
    assert 800 * KIB < len(frame) < 1200 * KIB

    for keep in (0, 1, 100, len(frame) // 2, len(frame) - 1):
        torn = await written([*before, replace(last, frames=(frame[:keep],))])
        assert await history(torn, clock) == []
    whole = await history(await written(counted.commits), clock)

    assert len(whole) == 500
    assert {entry.status for entry in whole} == {"completed"}


async def test_a_flush_above_the_limit_of_a_frame_is_a_group(
    clock: VirtualClock,
) -> None:
    # M-18, S6, G3
    async def body(ctx: Context) -> int:
        await asyncio.gather(*(work(n, size=10 * KIB) for n in range(20)))
        await ctx.sleep(60)
        return sum(calls.values())

    store = RecordingStore(MemoryStore(Limits(max_frame=64 * KIB)))
    app = app_for(body, store, clock, durability="suspend")
    await app.start("w", id="i")
    await app.drive("i")
    *before, group = store.commits
    parts = len(group.frames)
    assert parts == 4
    assert max(map(len, group.frames)) <= 64 * KIB
    assert len(await history(store, clock)) == 20

    for kept in range(1, parts):
        calls.clear()
        cut = await written([*before, replace(group, frames=group.frames[:kept])])
        assert await history(cut, clock) == []
        assert await app_for(body, cut, clock).run("w", id="i") == 20
    calls.clear()
    assert await app_for(body, store, clock).run("w", id="i") == 0


async def test_all_that_a_moment_changes_is_in_one_commit(
    clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-19, G3 G10
    async def body(ctx: Context) -> str:
        await work(1)
        await ctx.send("somebody", "news", 1)
        message = await ctx.receive("hello", "other", timeout=60)
        async with asyncio.timeout(100):
            await ctx.sleep(30)
        return str(message.body)

    start = clock.now()
    app = app_for(body, counted, clock, durability="suspend")
    await app.start("w", id="i")
    waiting = await app.drive("i")
    suspended = counted.commits[-1]

    assert waiting.awaiting == suspended.awaiting == ("hello", "other")
    assert suspended.status == "suspended"
    assert suspended.wake_at == waiting.wake_at
    assert suspended.wake_at == pytest.approx(start + 60, abs=0.5)
    assert [message.name for message in suspended.sends] == ["news"]
    assert b'"work"' in suspended.frames[0]

    await app.handle("i").send("hello", "you", id="m")
    clock.advance(1)
    asleep = await app_for(body, counted, clock).drive("i")
    received = counted.commits[-1]
    assert (received.acks, received.awaiting) == (("m",), ())
    assert received.wake_at == asleep.wake_at == pytest.approx(clock.now() + 30)
    assert b'"receive"' in received.frames[0]

    clock.advance(30)
    done = await app_for(body, counted, clock).drive("i")
    ended = counted.commits[-1]
    assert (done.output, ended.status) == ("you", "completed")
    assert (ended.wake_at, ended.awaiting, ended.due) == (None, (), None)
    assert b'"output"' in ended.frames[0]


# Gates


@pytest.mark.parametrize("mode", MODES)
async def test_an_answer_is_given_after_its_flush(
    mode: str, clock: VirtualClock
) -> None:
    # M-15, G2: the answer of `run`, the resolved handle, the outcome of a drive
    inner = MemoryStore()
    store = slow(inner, clock, 3)

    async def body(ctx: Context) -> Any:
        first = await work(1)
        await ctx.sleep(60)
        return first

    app = app_for(body, store, clock, durability=mode)
    await app.start("w", id="i")
    outcome = await app.drive("i")
    assert outcome.wake_at is not None
    loaded = await inner.load("i")
    assert loaded is not None
    assert loaded.head.wake_at == outcome.wake_at
    assert await names_in(inner, clock) == ["work"]

    waiting = asyncio.create_task(app.handle("i").result())
    assert await app.run("w", id="i") == 1
    assert (await App(inner, clock=clock).handle("i").info()).status == "completed"
    assert await waiting == 1


@pytest.mark.parametrize("mode", MODES)
async def test_a_message_goes_out_with_or_after_what_came_before(
    mode: str, clock: VirtualClock, counted: RecordingStore
) -> None:
    # M-15, G2
    async def body(ctx: Context) -> None:
        await work(1)
        await ctx.send("somebody", "news", 1)
        await work(2)

    await app_for(body, counted, clock, durability=mode).run("w", id="i")

    with_news = [n for n, commit in enumerate(counted.commits) if commit.sends]
    assert len(with_news) == 1
    store = await written(counted.commits[: with_news[0] + 1])
    assert (await names_in(store, clock))[:2] == ["work", "send"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_reply_comes_after_what_came_before(
    mode: str, clock: VirtualClock
) -> None:
    # M-15, G2
    inner = MemoryStore()

    async def body(ctx: Context) -> None:
        question = await ctx.receive("question")
        await work(1)
        await question.reply("yes")
        await work(2, 1000)

    app = app_for(body, slow(inner, clock, 0.2), clock, durability=mode)
    async with app:
        await app.start("w", id="i")
        assert await app.handle("i").ask("question", timeout=100) == "yes"
        names = await names_in(inner, clock)

    assert names[:3] == ["receive", "work", "reply"]


@pytest.mark.parametrize("mode", MODES)
async def test_an_observer_hears_what_is_durable(
    mode: str, clock: VirtualClock
) -> None:
    # M-15, S28, G2
    inner = MemoryStore()
    seen: list[tuple[str, int, str]] = []

    async def observe(event: Event) -> None:
        if event.kind == "suspended":
            return
        with clock.busy():
            loaded = await inner.load("i")
            assert loaded is not None
            entries = await history(inner, clock)
        attempts = sum(entry.attempts for entry in entries)
        seen.append((event.kind, attempts, loaded.head.status))

    async def body(_: Context) -> None:
        await work(1)
        await flaky(1)

    store = slow(inner, clock, 0.05)
    app = app_for(body, store, clock, durability=mode, observers=[observe])
    await app.run("w", id="i")
    await asyncio.sleep(0.05)  # it may still listen

    kinds = [kind for kind, _, _ in seen]
    assert kinds == ["step_completed", "attempt_failed", "step_completed", "completed"]
    needed = [1, 2, 3, 3]
    assert all(n >= least for (_, n, _), least in zip(seen, needed, strict=True))
    assert seen[-1][2] == "completed"


async def test_the_input_is_durable_before_the_body_begins(
    clock: VirtualClock,
) -> None:
    # L-01, G2
    inner = MemoryStore()

    async def body(_: Context) -> None:
        loaded.append(bool(inner_has()))

    def inner_has() -> bool:
        coroutine = inner.load("i")
        try:
            coroutine.send(None)
        except StopIteration as found:
            return found.value is not None
        raise AssertionError

    loaded: list[bool] = []
    store = FaultyStore(inner, [Fault(1, "slow", seconds=9)], clock=clock)
    await app_for(body, store, clock).run("w", id="i")
    assert loaded == [True]

    dead = FaultyStore(MemoryStore(), [Fault(1, "crash_before")])
    with pytest.raises((Crashed, StoreUnavailable)):
        await app_for(body, dead, clock).run("w", id="i")
    assert loaded == [True]
    with pytest.raises(UnknownInstance):
        await history(dead.inner, clock)
