"""How many commits there are: SPEC section 9."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, StepError, Stop, workflow
from edgeflow.testing import RecordingStore, VirtualClock
from edgeflow_memory import MemoryStore
from tests.flushes import (
    MODES,
    ONCE,
    Bench,
    Database,
    bench,
    calls,
    flaky,
    never,
    twenty,
    work,
    work_sleep_work,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from edgeflow.engine.settings import Durability
    from tests.flushes import Body

    Word = Callable[[Context], Coroutine[Any, Any, None]]

__all__ = ["bench"]  # a fixture

READING = {"load", "unread", "claim"}


def statuses(database: Database, instance: str = "i") -> list[str]:
    return [commit.status for commit in database.of(instance)]


async def test_a_step_and_a_return_are_one_commit_each(bench: Bench) -> None:
    # M-01
    async def body(_: Context) -> int | str:
        return await work(7)

    database = await bench.database()
    assert await bench.app(body, database).run("w", id="i") == 7
    assert [commit.opens for commit in database.of("i")] == [True, False, False]
    assert statuses(database) == ["running", "running", "completed"]

    await bench.app(body, database).start("w", id="j")
    assert statuses(database, "j") == ["pending"]
    await bench.app(body, database).drive("j")
    assert statuses(database, "j") == ["pending", "running", "running", "completed"]


@pytest.mark.parametrize(
    ("mode", "low", "high"), [("step", 22, 22), ("behind", 2, 22), ("suspend", 2, 2)]
)
async def test_each_mode_flushes_as_often_as_it_says(
    mode: str, low: int, high: int, bench: Bench
) -> None:
    # M-02
    database = await bench.database()
    app = bench.app(twenty, database, durability=mode)

    assert await app.run("w", id="i") == 190
    assert low <= len(database.of("i")) <= high
    assert await bench.done(database) == ["work"] * 20


async def test_a_thousand_steps_cost_a_thousand_commits_or_three() -> None:
    # M-02
    async def body(_: Context) -> int:
        return sum([int(await work(n)) for n in range(1000)])

    settings: dict[str, Any] = {"max_dirty_bytes": 1 << 30, "max_dirty_age": 1e6}
    limits: dict[Durability, int] = {"step": 1003, "suspend": 3}
    for mode, most in limits.items():
        counted = RecordingStore(MemoryStore())
        app = App(counted, clock=VirtualClock(), durability=mode, **settings)
        app.workflow(name="w")(body)
        assert await app.run("w", id="i") == 499_500
        assert len(counted.commits) <= most


PARKED = ["running", "running", "suspended", "running", "completed"]
REPLAYED = ["running", "running", "suspended", "running", "running", "completed"]


@pytest.mark.parametrize("serving", [False, True])
async def test_a_parked_run_goes_on_under_its_old_opening(
    bench: Bench, *, serving: bool
) -> None:
    # M-03, S3, G1
    database = await bench.database()
    app = bench.app(work_sleep_work, database)
    if serving:
        async with app:
            assert await (await app.start("w", id="i")).result() == 3
    else:
        assert await app.run("w", id="i") == 3

    assert statuses(database) == PARKED
    assert [commit.opens for commit in database.of("i")] == [True] + [False] * 4


async def test_a_replay_costs_one_opening(bench: Bench) -> None:
    # M-03, S3, G1
    database = await bench.database()
    async with bench.app(work_sleep_work, database) as app:
        await app.start("w", id="i")
        assert (await app.drive("i")).status == "suspended"
    bench.clock.advance(60)
    outcome = await bench.app(work_sleep_work, database).drive("i")

    assert outcome.output == 3
    assert statuses(database) == REPLAYED
    opening = [commit.opens for commit in database.of("i")]
    assert opening == [True, False, False, True, False, False]


async def test_an_instance_that_is_not_due_costs_nothing(bench: Bench) -> None:
    # M-04, S3, G10
    database = await bench.database()
    app = bench.app(work_sleep_work, database)
    await app.start("w", id="i")
    first = await app.drive("i")
    loaded = await bench.loaded(database)
    entered = calls.copy()
    database.calls.clear()

    for each in (app, bench.app(never, database)):
        again = await each.drive("i")
        assert again == first
        assert again.wake_at == loaded.head.wake_at
        assert again.wake_at == pytest.approx(bench.clock.now() + 60)

    assert set(database.calls) <= READING
    assert calls == entered
    assert await bench.loaded(database) == loaded


async def test_a_parked_instance_that_is_not_due_costs_nothing(bench: Bench) -> None:
    # M-04, S3
    database = await bench.database()
    async with bench.app(work_sleep_work, database, poll=1000) as app:
        await app.start("w", id="i")
        first = await app.drive("i")
        entered, before = calls.copy(), len(database.log)

        assert await app.drive("i") == first
        assert (calls, len(database.log)) == (entered, before)


# What needs no flush of its own


async def received(ctx: Context) -> None:
    await ctx.receive("there")


async def looped(ctx: Context) -> None:
    async def turn(n: int) -> int | Stop[int]:
        return Stop(n) if n == 3 else n + 1

    await ctx.loop("n", turn, state=0)


async def joined(ctx: Context) -> None:
    await ctx.join(a=asyncio.sleep(0), b=asyncio.sleep(0))


async def raced(ctx: Context) -> None:
    await ctx.race(a=asyncio.sleep(0), b=asyncio.sleep(0))


async def mapped(ctx: Context) -> None:
    async def same(n: int) -> int:
        return n

    await ctx.map(same, [1, 2])


async def scoped(ctx: Context) -> None:
    async with ctx.scope("s"):
        pass


async def versioned(ctx: Context) -> None:
    await ctx.version("v", 2)


async def removed(ctx: Context) -> None:
    await ctx.removed("gone")


async def checkpointed(ctx: Context) -> None:
    await ctx.checkpoint("here")


async def told(ctx: Context) -> None:
    await ctx.status("busy")


async def sent(ctx: Context) -> None:
    await ctx.send("somebody", "news", 1)


@workflow
async def child(_: Context) -> int:
    return 1


async def started(ctx: Context) -> None:
    await ctx.start(child)


WORDS: list[Word] = [
    received,
    looped,
    joined,
    raced,
    mapped,
    scoped,
    versioned,
    removed,
    checkpointed,
    told,
    sent,
    started,
]


@pytest.mark.parametrize("word", WORDS)
async def test_what_needs_no_flush_of_its_own_costs_none(
    word: Word, bench: Bench
) -> None:
    # M-05, S31
    async def alone(_: Context) -> int | str:
        return await work(7)

    async def beside(ctx: Context) -> int | str:
        await word(ctx)
        return await work(7)

    counts: list[int] = []
    for body in (alone, beside):
        database = await bench.database()
        app = bench.app(body, database)
        app.register(child)
        await app.start("w", id="i")
        await app.handle("i").send("there", "you")
        assert (await app.drive("i")).output == 7
        counts.append(len(database.of("i")))

    assert counts == [4, 4]  # start, opening, step, return


# Failures and intents


async def retried(_: Context) -> object:
    return await flaky(2)


async def caught(_: Context) -> object:
    try:
        await flaky.using(retry=ONCE)(1)
    except StepError as error:
        return error.kind
    return ""


async def intended(_: Context) -> object:
    return await flaky.using(at_most_once=True, retry=ONCE)(0)


@pytest.mark.parametrize(
    ("body", "output", "counts"),
    [
        # start; a commit for each failure; "step": one for the success; return
        (retried, 3, {"step": {5}, "behind": {4, 5}, "suspend": {4}}),
        # a failure that the body catches is an outcome like a success
        (caught, "exhausted", {"step": {3}, "behind": {2, 3}, "suspend": {2}}),
        # one more for the intent; the outcome is always waited for (S19)
        (intended, 1, {"step": {4}, "behind": {4}, "suspend": {4}}),
    ],
)
@pytest.mark.parametrize("mode", MODES)
async def test_a_failure_a_caught_one_and_an_intent_cost_one_commit_each(
    body: Body, output: object, counts: dict[str, set[int]], mode: str, bench: Bench
) -> None:
    # M-06, S1 S11 S19 S31, G7
    database = await bench.database()
    app = bench.app(body, database, durability=mode)

    assert await app.run("w", id="i") == output
    assert len(database.of("i")) in counts[mode]


async def test_replay_loads_once_and_writes_its_opening_only(bench: Bench) -> None:
    # M-07
    async def body(ctx: Context) -> int:
        await asyncio.gather(*(work(n) for n in range(1000)))
        await ctx.sleep(60)
        return await ctx.step("count", count)

    async def count() -> int:
        return len(database.of("i"))

    database = await bench.database()
    app = bench.app(body, database, durability="suspend")
    await app.start("w", id="i")
    await app.drive("i")
    before = len(database.of("i"))
    bench.clock.advance(60)
    database.calls.clear()

    outcome = await bench.app(body, database).drive("i")

    assert outcome.output == before + 1
    assert database.calls.count("load") == 1
    assert len(calls) == 1000
    assert set(calls.values()) == {1}
