"""Replay: the same values in the same order, from wherever the last process ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow import (
    App,
    Context,
    EntryInfo,
    Retry,
    StepError,
    StoreUnavailable,
    WorkflowFailed,
    current_step,
    step,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed, Fault, FaultyStore
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.conftest import AtCommits

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from edgeflow import Store
    from edgeflow.store import Commit

    Body = Callable[[Context], Coroutine[Any, Any, Any]]

PLAIN = Retry(jitter=0)
MORTAL = (Crashed, StoreUnavailable)

calls: Counter[Any] = Counter()


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    calls.clear()


def app_for(body: Body, store: Store, clock: VirtualClock, **settings: Any) -> App:
    app = App(store, clock=clock, lifespan=lambda: nullcontext(clock), **settings)
    app.workflow(name="w")(body)
    return app


async def written(commits: Iterable[Commit]) -> MemoryStore:
    """Give a store in which exactly these commits were written."""
    store = MemoryStore()
    for commit in commits:
        await store.commit("i", commit)
    return store


async def history(store: Store) -> list[EntryInfo]:
    return await App(store).handle("i").history()


async def finish(
    body: Body, commits: Sequence[Commit], **settings: Any
) -> tuple[Any, list[Commit]]:
    """Go on after some commits, in another process, at once; to the end."""
    store, clock = RecordingStore(await written(commits)), VirtualClock()
    if commits:
        clock.advance(commits[-1].now - clock.now())
    app = app_for(body, store, clock, poll=600, **settings)
    found: object = await app.run("w", id="i")
    return found, [*commits, *store.commits]


# The gather case: branches of two steps each, with the same names in all branches


class Branches:
    """Some branches whose steps take the times of a schedule."""

    def __init__(self, word: str, schedule: list[tuple[float, float]]) -> None:
        self.word = word
        self.schedule = schedule
        self.shift = 0
        """How far the times are rotated: another process has other times."""

    async def body(self, _: Context) -> list[Any]:
        many = range(len(self.schedule))
        if self.word == "gather":
            return [*await asyncio.gather(*map(self.branch, many))]
        if self.word == "as_completed":
            branches = [self.branch(n) for n in many]
            return [await each for each in asyncio.as_completed(branches)]
        if self.word == "wait":
            pending = {asyncio.create_task(self.branch(n)) for n in many}
            order: list[Any] = []
            while pending:
                done, pending = await asyncio.wait(
                    pending, return_when=asyncio.FIRST_COMPLETED
                )
                order += [task.result() for task in done]
            return order
        order = []

        async def note(n: int) -> None:
            order.append(await self.branch(n))

        async with asyncio.TaskGroup() as group:
            for n in many:
                group.create_task(note(n))
        return order

    async def branch(self, n: int) -> list[int]:
        first = await self.first(n)
        second = await self.second(n, first)
        return [n, first, second]

    @property
    def first(self) -> Any:
        return step(name="first")(self._first)

    @property
    def second(self) -> Any:
        return step(name="second")(self._second)

    async def _first(self, n: int) -> int:
        await self._take(n, 0)
        return 100 + n

    async def _second(self, n: int, first: int) -> int:
        assert first == 100 + n
        await self._take(n, 1)
        return 200 + n

    async def _take(self, n: int, which: int) -> None:
        calls[n, which] += 1
        times = self.schedule[(n + self.shift) % len(self.schedule)]
        await current_step().resources.sleep(times[which])


TIMES = st.floats(0, 9).map(lambda t: round(t, 1))
WORDS = ("gather", "TaskGroup", "wait", "as_completed")


@pytest.mark.parametrize("word", WORDS)
@settings(max_examples=50)  # 200 schedules in all
@given(
    st.lists(st.tuples(TIMES, TIMES), min_size=2, max_size=3),
    st.sampled_from(["step", "behind", "suspend"]),
)
def test_concurrent_branches_never_swap_their_values(
    word: str, schedule: list[tuple[float, float]], durability: str
) -> None:
    # E-13 E-14, G8 G9
    asyncio.run(check_branches(Branches(word, schedule), durability))


async def check_branches(branches: Branches, durability: str) -> None:
    many = len(branches.schedule)
    values = [[n, 100 + n, 200 + n] for n in range(many)]
    calls.clear()
    output, commits = await finish(branches.body, (), durability=durability)
    assert sorted(output) == values
    assert set(calls.values()) == {1}
    order = completions(await history(await written(commits)))

    for length in range(1, len(commits)):
        calls.clear()
        branches.shift = length
        prefix = commits[:length]
        known = completions(await history(await written(prefix)))
        assert known == order[: len(known)]
        found, longer = await finish(branches.body, prefix, durability=durability)
        assert sorted(found) == values
        if branches.word == "gather":
            assert found == values
        if len(known) == len(order):
            assert found == output
        assert sum(calls.values()) == 2 * many - len(known)
        whole = completions(await history(await written(longer)))
        assert whole[: len(known)] == known

        calls.clear()
        again, _ = await finish(branches.body, longer[:-1], durability=durability)
        if durability == "step":
            assert again == found
            assert not calls


def completions(entries: list[EntryInfo]) -> list[tuple[Any, Any]]:
    done = [entry for entry in entries if entry.status == "completed"]
    return [(entry.path, entry.value) for entry in done]


# What asyncio offers, replayed from every commit


@step(retry=Retry(attempts=1))
async def work(value: int, seconds: float = 0) -> int:
    calls[value] += 1
    await current_step().resources.sleep(seconds)
    if value < 0:
        raise ValueError(f"no {value}")
    return value


async def errors_as_values(ctx: Context) -> list[Any]:
    # E-16
    found = await asyncio.gather(work(-1, 2), work(2, 1), return_exceptions=True)
    await ctx.sleep(60)
    return [str(f) if isinstance(f, StepError) else f for f in found]


async def first_error_and_siblings_later(ctx: Context) -> list[Any]:
    # E-16
    tasks = [asyncio.create_task(work(n, s)) for n, s in ((-1, 1), (-2, 2), (3, 3))]
    found: list[Any] = []
    try:
        await asyncio.gather(*tasks)
    except StepError as error:
        found.append(error.error.message)
    await ctx.sleep(60)
    rest = await asyncio.gather(*tasks, return_exceptions=True)
    return [*found, *(str(r) for r in rest)]


async def a_child_fails(ctx: Context) -> list[Any]:
    # E-17
    found: list[Any] = []

    async def sleeper() -> None:
        try:
            await ctx.sleep(1000)
        finally:
            found.append("sleeper")

    async def worker() -> None:
        try:
            await work(1, 1000)
        finally:
            found.append("worker")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(sleeper())
            group.create_task(worker())
            group.create_task(work(-1, 1))
    except* StepError as errors:
        found += [str(error) for error in errors.exceptions]
    await ctx.sleep(60)
    return found


async def a_step_is_cancelled(ctx: Context) -> list[Any]:
    # E-17
    task = asyncio.create_task(work(1, 1000))
    await ctx.sleep(10)
    task.cancel()
    await asyncio.wait([task])
    found = [task.cancelled(), await work(2)]
    await ctx.sleep(60)
    return [*found, await work(3)]


async def deadlines(ctx: Context) -> list[Any]:
    # E-18
    found: list[Any] = []
    for seconds in (60, 1):
        try:
            async with asyncio.timeout(5):
                found.append(await work(seconds, seconds))
        except TimeoutError:
            found.append("late")
        try:
            found.append(await asyncio.wait_for(work(seconds + 1, seconds), 5))
        except TimeoutError:
            found.append("late")
    try:
        async with asyncio.timeout(3600):
            await ctx.receive("nothing")
    except TimeoutError:
        found.append("late")
    try:
        await asyncio.wait_for(ctx.receive("nothing"), 3600)
    except TimeoutError:
        found.append("late")
    return found


async def turns(ctx: Context) -> list[Any]:
    # E-15
    order: list[Any] = []
    items: asyncio.Queue[int] = asyncio.Queue()
    opened, lock, two = asyncio.Event(), asyncio.Lock(), asyncio.Semaphore(2)

    async def queued() -> None:
        order.append(await work(await items.get(), 2))

    async def waiting(n: int) -> None:
        await opened.wait()
        async with lock:
            order.append(await work(n, 1))

    async def limited(n: int) -> None:
        async with two:
            await asyncio.sleep(0)
            order.append(await work(n, 5 - n % 3))

    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(queued())
            group.create_task(waiting(10 + n))
            group.create_task(limited(20 + n))
        await ctx.sleep(3)
        for n in range(3):
            items.put_nowait(n)
        opened.set()
    return order


BODIES: dict[Body, tuple[Any, int]] = {
    errors_as_values: (
        ["step 'work' failed (exhausted) after 1 attempt: ValueError: no -1", 2],
        2,
    ),
    first_error_and_siblings_later: (
        [
            "no -1",
            "step 'work' failed (exhausted) after 1 attempt: ValueError: no -1",
            "step 'work' failed (exhausted) after 1 attempt: ValueError: no -2",
            "3",
        ],
        3,
    ),
    a_child_fails: (
        [
            "sleeper",
            "worker",
            "step 'work' failed (exhausted) after 1 attempt: ValueError: no -1",
        ],
        2,
    ),
    a_step_is_cancelled: ([True, 2, 3], 3),
    deadlines: (["late", "late", 1, 1 + 1, "late", "late"], 4),
    turns: (None, 9),
}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
async def test_every_commit_is_a_good_place_to_go_on_from(body: Body) -> None:
    # E-15 E-16 E-17 E-18, O-01, G8 G9 G10
    expected, steps = BODIES[body]
    output, commits = await finish(body, ())
    if expected is not None:
        assert output == expected
    assert set(calls.values()) == {1}
    assert len(calls) == steps
    assert commits[-1].wake_at is None

    for length in range(1, len(commits)):
        prefix = commits[:length]
        entries = await history(await written(prefix))
        ended = sum(e.kind == "step" and e.status != "retrying" for e in entries)
        calls.clear()
        found, longer = await finish(body, prefix)
        if expected is not None or length == len(commits) - 1:
            assert found == output
        assert len(calls) <= steps - ended  # a step may be cancelled before it begins
        assert set(calls.values()) <= {1}

        calls.clear()
        again, _ = await finish(body, longer[:-1])
        assert again == found
        assert not calls


async def test_cancelled_operations_are_recorded_as_such() -> None:
    # E-17
    _, commits = await finish(a_child_fails, ())
    entries = await history(await written(commits))

    steps = {e.path[-1][2]: e.status for e in entries if e.name == "work"}
    assert steps == {0: "cancelled", 1: "failed"}


async def test_a_deadline_passes_while_no_process_is_there() -> None:
    # E-18, G10
    clock, store = VirtualClock(), RecordingStore(MemoryStore())

    async def body(ctx: Context) -> str:
        try:
            async with asyncio.timeout(3600):
                await ctx.receive("nothing")
        except TimeoutError:
            return "late"
        return "in time"

    start = clock.now()
    await app_for(body, store, clock).start("w", id="i")
    outcome = await app_for(body, store, clock).drive("i")
    assert outcome.wake_at == pytest.approx(start + 3600)
    assert outcome.awaiting == ("nothing",)
    clock.advance(3599)
    assert (await app_for(body, store, clock).drive("i")) == outcome
    clock.advance(9999)

    assert (await app_for(body, store, clock).drive("i")).output == "late"
    assert (store.commits[-1].wake_at, store.commits[-1].awaiting) == (None, ())


# Crashes around failures


@step(retry=Retry(attempts=4, first=100, factor=1, jitter=0))
async def broken() -> None:
    calls["broken"] += 1
    attempts.append(current_step().attempt)
    raise ValueError(f"boom {current_step().attempt}")


attempts: list[int] = []


@pytest.fixture(autouse=True)
def no_attempts() -> None:
    attempts.clear()


async def breaks(_: Context) -> None:
    await broken()


@pytest.mark.parametrize("durability", ["step", "behind", "suspend"])
async def test_attempts_that_were_made_count_after_a_death_in_the_back_off(
    durability: Any,
) -> None:
    # O-02, G7
    store = RecordingStore(MemoryStore())
    app = app_for(breaks, store, VirtualClock(), durability=durability)
    with pytest.raises(WorkflowFailed, match="boom 4"):
        await app.run("w", id="i")
    assert attempts == [1, 2, 3, 4]

    for failures in (1, 2, 3):
        attempts.clear()
        kept = store.commits[: 1 + failures]
        (entry,) = await history(await written(kept))
        assert (entry.status, entry.attempts) == ("retrying", failures)
        with pytest.raises(WorkflowFailed, match=r"after 4 attempts: .*boom 4"):
            await finish(breaks, kept, durability=durability)
        assert attempts == list(range(failures + 1, 5))


async def test_a_death_before_the_commit_of_a_failure_costs_one_start() -> None:
    # O-03, G7
    for deadly in range(2, 6):
        attempts.clear()
        inner, clock = MemoryStore(), VirtualClock()
        deaths, stored = 0, 0
        plan: list[Fault] = [Fault(deadly, "crash_before")]
        while True:
            store = AtCommits(inner, plan, clock=clock)
            try:
                await app_for(breaks, store, clock).run("w", id="i")
            except WorkflowFailed as error:
                assert "boom 4" in str(error)  # noqa: PT017
                break
            except MORTAL:
                deaths, plan = deaths + 1, []
            found = await history(inner)
            count = found[0].attempts if found else 0
            assert count >= stored
            stored = count
        assert deaths == 1
        assert len(attempts) == 4 + deaths
        assert attempts == sorted(attempts)


async def test_a_failure_is_durable_when_control_leaves() -> None:
    # O-04, G1 G7
    inner, clock = MemoryStore(), VirtualClock()
    app = app_for(breaks, inner, clock)
    await app.start("w", id="i")
    outcome = await app.drive("i")

    assert outcome.status == "suspended"
    (entry,) = await history(inner)
    assert (entry.status, entry.attempts) == ("retrying", 1)
    assert entry.error is not None
    assert (entry.error.type, entry.error.message) == ("ValueError", "boom 1")
    assert outcome.wake_at == entry.retry_at == pytest.approx(clock.now() + 100)
    loaded = await inner.load("i")
    assert loaded is not None
    assert loaded.head.wake_at == outcome.wake_at


@pytest.mark.parametrize("durability", ["step", "behind", "suspend"])
async def test_failures_beside_a_long_step_are_not_forgotten(durability: Any) -> None:
    # O-05, S1, G7
    inner, clock = MemoryStore(), VirtualClock()
    twice = broken.using(retry=Retry(attempts=2, first=100, jitter=0))
    deaths = iter([50, 50, 200, 200, 200])  # the first two in the back-off

    def boot() -> tuple[FaultyStore, Body]:
        store = FaultyStore(inner, clock=clock)

        async def sibling() -> str:
            calls["sibling"] += 1
            when = next(deaths, None)
            await clock.sleep(when or 600)
            if when is not None:
                store.kill()
            return "done"

        async def body(ctx: Context) -> Any:
            both = twice(), ctx.step("sibling", sibling)
            found = await asyncio.gather(*both, return_exceptions=True)
            return [str(each) for each in found]

        return store, body

    for _ in range(5):
        store, body = boot()
        with pytest.raises(MORTAL):
            await app_for(body, store, clock, durability=durability).run("w", id="i")
    store, body = boot()
    app = app_for(body, store, clock, durability=durability)
    found: Any = await app.run("w", id="i")

    assert "after 2 attempts: ValueError: boom 2" in found[0]
    assert found[1] == "done"
    assert attempts == [1, 2]
    assert calls["sibling"] == 6


async def test_a_failure_that_was_caught_stays_one() -> None:
    # O-06, G7 G8
    inner, clock = MemoryStore(), VirtualClock()

    async def body(ctx: Context) -> str:
        try:
            await broken.using(retry=Retry(attempts=1))()
        except StepError as error:
            caught = error.error.message
        else:
            caught = "nothing"
        return f"{await ctx.step('deadly', deadly)}, after {caught}"

    async def deadly() -> str:
        calls["deadly"] += 1
        if calls["deadly"] <= 5:
            stores[-1].kill()
        return "survived"

    stores: list[FaultyStore] = []
    for _ in range(5):
        stores.append(FaultyStore(inner, clock=clock))
        with pytest.raises(MORTAL):
            await app_for(body, stores[-1], clock).run("w", id="i")

    assert (
        await app_for(body, inner, clock).run("w", id="i") == "survived, after boom 1"
    )
    assert attempts == [1]
    assert calls["deadly"] == 6
