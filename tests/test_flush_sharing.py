"""One flush at a time, shared by all; when dirty data goes down by itself."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import nullcontext
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    Context,
    Fenced,
    StepError,
    StoreUnavailable,
    current_step,
)
from edgeflow.testing import Crashed, Fault, FaultyStore
from tests.conftest import Shared
from tests.flushes import (
    KIB,
    LATENCY,
    MODES,
    ONCE,
    Bench,
    bench,
    calls,
    flaky,
    nothing,
    sent_once,
    with_message,
    work,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from edgeflow import Store
    from edgeflow.engine.settings import Durability
    from edgeflow.store import Commit, Committed

    Change = Callable[[Context], Awaitable[object]]

__all__ = ["bench"]  # a fixture


class Flights(Shared):
    """Counts the commits of an instance that are in flight."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.flying: Counter[str] = Counter()
        self.most = 0

    async def commit(self, instance: str, commit: Commit) -> Committed:
        self.flying[instance] += 1
        self.most = max(self.most, self.flying[instance])
        try:
            return await super().commit(instance, commit)
        finally:
            self.flying[instance] -= 1


# Single flight


@pytest.mark.parametrize("mode", MODES)
async def test_results_that_end_during_a_flush_share_the_next_one(
    mode: str, bench: Bench
) -> None:
    # M-08, G3
    chance = Random(8)
    durations = [chance.random() for _ in range(50)]

    async def body(ctx: Context) -> Any:
        steps = (work(n, seconds) for n, seconds in enumerate(durations))
        found = await asyncio.gather(*steps)
        await ctx.sleep(60)
        return found

    database = await bench.database()
    flights = Flights(bench.slow(database))
    app = bench.app(body, flights, durability=mode)
    await app.start("w", id="i")
    await app.drive("i")

    assert flights.most == 1
    assert len(database.of("i")) <= 15  # about a second of flushes of 0.1 s
    ended = b'"status":"completed"'
    shares = [b"".join(c.frames).count(ended) for c in database.of("i")[2:]]
    assert sum(shares) >= 50
    assert max(shares) >= 3
    assert await bench.done(database) == ["work"] * 50

    bench.clock.advance(60)
    assert (await bench.app(body, database).drive("i")).output == list(range(50))
    assert len(calls) == 50
    assert set(calls.values()) == {1}


@pytest.mark.parametrize("mode", MODES)
async def test_whoever_writes_meanwhile_waits_for_the_flush_in_flight(
    mode: str, bench: Bench
) -> None:
    # M-08, G3: failures, intents, cancellation and dirty data of some age want one too
    async def body(ctx: Context) -> str:
        every = asyncio.gather(
            *(work(n, n * 0.3, size=100 * KIB) for n in range(6)),
            *(flaky.using(name=f"f{n}")(2) for n in range(3)),
            *(flaky.using(at_most_once=True, name=f"o{n}")(0) for n in range(3)),
        )
        try:
            await every
            await ctx.sleep(1000)
        finally:
            ended.append(len(calls))
        return "late"

    ended: list[int] = []
    database = await bench.database()
    flights = Flights(bench.slow(database, 0.35))
    async with bench.app(body, flights, durability=mode) as app:
        handle = await app.start("w", id="i")
        await bench.clock.sleep(1.4)
        assert await handle.cancel()
        await bench.clock.sleep(60)

    assert flights.most == 1
    assert ended == [len(calls)]
    assert (await bench.loaded(database)).head.status == "cancelled"


# Swap, then write


async def failed(_: Context) -> object:
    try:
        return await flaky.using(retry=ONCE)(1, 2)
    except StepError as error:
        return error.kind


async def retrying(_: Context) -> object:
    return await flaky(1, 2)


async def retried(_: Context) -> object:
    return await flaky(2, 0.6)  # ends at 0.6, 1.4 and 2.4


async def valued(_: Context) -> object:
    return await work(2, 2)


async def void(_: Context) -> object:
    await nothing("2", 2)
    return None


async def stateful(ctx: Context) -> object:
    async def put() -> str:
        calls["put"] += 1
        await current_step().resources.sleep(2)
        current_step().state["k"] = 2
        return "put"

    return await ctx.step("put", put)


@pytest.mark.parametrize(
    ("change", "made", "found"),
    [
        (valued, ("work", "completed", 1), 2),
        (void, ("nothing", "completed", 1), None),
        (failed, ("flaky", "failed", 1), "exhausted"),
        (retrying, ("flaky", "retrying", 1), 2),  # it is made
        (retried, ("flaky", "retrying", 2), 3),  # it is changed
        (stateful, ("put", "completed", 1), "put"),
    ],
)
async def test_what_changes_during_a_flush_is_in_the_next_one(
    change: Change, made: tuple[str, str, int], found: object, bench: Bench
) -> None:
    # M-09, G3: branch a's commit is in flight from second 1 to second 6
    async def body(ctx: Context) -> Any:
        both = await asyncio.gather(work(1, 1), change(ctx))
        return [*both, await work(3)]

    database = await bench.database()
    store = LongThenGone(database, clock=bench.clock)
    store.since = bench.clock.now() + 1
    with pytest.raises(StoreUnavailable):
        await bench.app(body, store).run("w", id="i")
    assert bench.clock.now() == pytest.approx(store.since + 5)

    known = [(e.name, e.status, e.attempts) for e in await bench.history(database)]
    assert sorted(known) == sorted([("work", "completed", 1), made])
    output: object = await bench.app(body, database).run("w", id="i")

    assert output == [1, found, 3]
    starts = found if isinstance(found, int) and "flaky" in calls else 1
    assert calls.pop("flaky", starts) == starts
    assert set(calls.values()) == {1}
    if change is stateful:
        assert await bench.app(body, database).handle("i").state() == {"k": 2}


class LongThenGone(FaultyStore):
    """From some time on it takes 5 s over a commit; the one after it is the last."""

    since = 0.0
    long = False

    async def commit(self, instance: str, commit: Commit) -> Committed:
        if self.long:
            await super().commit(instance, commit)
            self.kill()
            raise Crashed
        if self._clock.now() >= self.since:
            self.long = True
            await self._sleep(5)
        return await super().commit(instance, commit)


async def test_what_the_body_does_during_a_flush_is_in_the_next_one(
    bench: Bench,
) -> None:
    # M-09, G3: the body goes on, since it does not wait
    async def body(ctx: Context) -> Any:
        found = [await work(1)]
        message = await ctx.receive("hello")
        await ctx.status("busy")
        await ctx.send("somebody", "news", 1)
        found.append(await ctx.version("v", 2))
        await nothing("n")
        found.append(await work.using(durability="step")(2))
        return [*found, message.body]

    database = await with_message(bench)
    plan = [Fault(2, "slow", seconds=5), Fault(3, "crash_after")]
    store = FaultyStore(database, plan, clock=bench.clock)
    with pytest.raises(StoreUnavailable):
        await bench.app(body, store, durability="behind").run("w", id="i")
    assert [fault.at for fault in store.struck] == [2, 3]

    names = ["work", "receive", "status", "send", "v", "nothing", "work"]
    assert await bench.done(database) == names
    loaded = await bench.loaded(database)
    assert loaded.messages == ()
    assert (await App(database).handle("i").info()).progress == "busy"
    found: object = await bench.app(body, database).run("w", id="i")

    assert found == [1, 2, 2, "you"]
    assert set(calls.values()) == {1}
    assert await sent_once(bench, database)


# What dirty data may amount to


async def test_much_dirty_data_is_flushed_without_a_suspension(bench: Bench) -> None:
    # M-14
    async def body(_: Context) -> int:
        for n in range(3):
            await work(n, size=100 * KIB)
        await work(3, 0.5)
        return len(database.of("i"))

    database = await bench.database()
    start = bench.clock.now()
    app = bench.app(body, database, durability="suspend")

    assert await app.run("w", id="i") == 2
    _, much, _ = database.of("i")
    assert (much.status, much.now) == ("running", start)
    assert 300 * KIB < sum(map(len, much.frames)) < 310 * KIB
    assert await bench.done_after(database.of("i")[:2]) == ["work"] * 3


async def test_old_dirty_data_is_flushed_while_a_step_runs(bench: Bench) -> None:
    # M-14
    async def body(_: Context) -> None:
        await work(1)
        await work(2, 100)

    database = await bench.database()
    start = bench.clock.now()
    await bench.app(body, database, durability="suspend").run("w", id="i")

    times = [round(commit.now - start, 1) for commit in database.of("i")]
    assert times == [0, 1, 100]
    assert [c.status for c in database.of("i")] == ["running", "running", "completed"]
    assert await bench.done_after(database.of("i")[:2]) == ["work"]


async def test_nothing_stays_dirty_for_longer_than_the_limit(bench: Bench) -> None:
    # M-14: neither while the body is quick nor while it waits for one long step
    async def body(_: Context) -> None:
        for n in range(20):
            await work(n, 0.3)
        await asyncio.gather(work(20, 4.5), *(work(n, n - 20.0) for n in (21, 22)))

    database = await bench.database()
    await bench.app(body, database, durability="suspend").run("w", id="i")

    ended = {entry.path[-1][2]: entry.at for entry in await bench.history(database)}
    known: set[int | str] = set()
    for length in range(2, len(database.of("i")) + 1):
        commits = database.of("i")[:length]
        entries = await bench.history_after(commits)
        fresh = {entry.path[-1][2] for entry in entries} - known
        assert all(commits[-1].now - ended[n] < 1.01 for n in fresh)
        known |= fresh
    assert len(known) == len(ended) == 23
    assert 8 <= len(database.of("i")) <= 13


# Whose mode holds


@pytest.mark.parametrize(
    ("of_app", "of_workflow", "of_step", "holds"),
    [
        ("suspend", "behind", "step", "step"),
        ("suspend", "behind", None, "behind"),
        ("suspend", "step", None, "step"),
        ("suspend", None, "step", "step"),
        ("suspend", None, None, "suspend"),
        ("step", "behind", "suspend", "suspend"),
        ("step", "suspend", None, "suspend"),
    ],
)
async def test_the_most_specific_mode_holds(
    of_app: Durability,
    of_workflow: Durability | None,
    of_step: Durability | None,
    holds: Durability,
    bench: Bench,
) -> None:
    # M-20: what the body finds durable at once, and what one latency later
    async def body(_: Context) -> list[int]:
        await work.using(durability=of_step)(1)
        at_once = len(database.of("i"))
        await work.using(durability="suspend")(2, 2 * LATENCY)
        return [at_once - 1, len(database.of("i")) - 1]

    def resources() -> AbstractAsyncContextManager[object]:
        return nullcontext(bench.clock)

    database = await bench.database()
    app = App(
        bench.slow(database),
        clock=bench.clock,
        durability=of_app,
        lifespan=resources,
    )
    app.workflow(name="w", durability=of_workflow)(body)

    expected = {"step": [1, 1], "behind": [0, 1], "suspend": [0, 0]}
    assert await app.run("w", id="i") == expected[holds]


async def test_the_commit_of_one_step_takes_along_all_that_is_dirty(
    bench: Bench,
) -> None:
    # M-20
    async def body(ctx: Context) -> int:
        await work(1)
        await ctx.status("half")
        await nothing("n")
        await work.using(durability="step")(2)
        return len(database.of("i"))

    database = await bench.database()
    app = bench.app(body, database, durability="suspend")

    assert await app.run("w", id="i") == 2
    names = await bench.done_after(database.of("i")[:2])
    assert names == ["work", "status", "nothing", "work"]


# Behind


async def test_mode_behind_does_not_hold_the_body_up(bench: Bench) -> None:
    # M-21
    ended: list[float] = []

    async def body(_: Context) -> None:
        start = bench.clock.now()
        for n in range(20):
            await work(n)
        ended.append(bench.clock.now() - start)

    database = await bench.database()
    await bench.app(body, bench.slow(database), durability="behind").run("w", id="i")

    assert ended[0] < 0.3
    assert 3 <= len(database.of("i")) <= 6  # "at once in the background"
    assert await bench.done(database) == ["work"] * 20


async def test_mode_behind_begins_its_flush_at_once(bench: Bench) -> None:
    # M-21: results do not wait for a suspension, nor for their age
    async def body(_: Context) -> None:
        for n in range(4):
            await work(n)
            await work(10 + n, 0.5)

    database = await bench.database()
    start = bench.clock.now()
    await bench.app(body, bench.slow(database), durability="behind").run("w", id="i")

    times = [round(commit.now - start, 1) for commit in database.of("i")]
    # A step ends at 0.1, 0.6, 0.6 (again), 1.1, …; a flush takes 0.1.
    assert times == [0.0, 0.1, 0.6, 0.7, 1.1, 1.2, 1.6, 1.7, 2.1]


async def test_mode_behind_waits_when_too_much_is_dirty(bench: Bench) -> None:
    # M-21, S37: 1 MB, of which no process ever owes more than 256 KiB
    reached: list[float] = []

    async def body(_: Context) -> None:
        for n in range(20):
            await work(n, size=50 * KIB)
            owed = len(calls) - len(written())
            assert owed <= 11  # up to 256 KiB are dirty, and as much is in flight
        reached.append(bench.clock.now())

    def written() -> set[bytes]:
        every = b"".join(b"".join(commit.frames) for commit in database.of("i"))
        return set(re.findall(rb'"work",(\d+)', every))

    database = await bench.database()
    start = bench.clock.now()
    await bench.app(body, bench.slow(database), durability="behind").run("w", id="i")

    assert reached[0] - start >= 3 * LATENCY  # it was held up
    assert await bench.done(database) == ["work"] * 20


@pytest.mark.parametrize("taken", [2, 5, 9])
async def test_a_fence_in_the_background_stops_the_body(
    taken: int, bench: Bench
) -> None:
    # M-21, G4: another process takes over before the commit with this number
    ended: list[int] = []

    async def body(_: Context) -> None:
        for n in range(20):
            await work(n, 1)
            ended.append(n)

    database = await bench.database()
    plan = [Fault(n, "slow", seconds=LATENCY) for n in range(1, taken)]
    store = FaultyStore(database, [*plan, Fault(taken, "fence")], clock=bench.clock)
    start = bench.clock.now()
    with pytest.raises(Fenced):
        await bench.app(body, store, durability="behind").run("w", id="i")

    # The commit is that of the step that ended last; the next one may have begun.
    assert store.writes == taken
    assert bench.clock.now() - start == pytest.approx(LATENCY + taken - 1)
    assert ended == list(range(taken - 1))
    assert sum(calls.values()) in {taken - 1, taken}
    assert len(await bench.done(database)) == taken - 2
