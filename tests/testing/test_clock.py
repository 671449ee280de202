"""`VirtualClock`: every kind of waiting takes no time, and nothing is left out."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    Context,
    ReceiveTimeout,
    Retry,
    RetryAfter,
    StepError,
    StoreUnavailable,
    current_step,
    step,
    workflow,
)
from edgeflow.testing import Fault, FaultyStore, VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from edgeflow import Workflow

YEAR = 365 * 86_400.0
DAY = 86_400.0


# --- what a body or a step waits for ------------------------------------------------


async def sleeps(ctx: Context) -> None:
    await ctx.sleep(YEAR)


async def sleeps_until(ctx: Context) -> None:
    await ctx.sleep_until(datetime.fromtimestamp(ctx.now().timestamp() + YEAR, UTC))


async def sleeps_as_asyncio_does(ctx: Context) -> None:
    await asyncio.sleep(YEAR)


async def is_timed_out(ctx: Context) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(YEAR):
            await ctx.receive("never")


async def waits_for(ctx: Context) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ctx.receive("never"), YEAR)


async def gets_no_message(ctx: Context) -> None:
    with pytest.raises(ReceiveTimeout):
        await ctx.receive("never", timeout=YEAR)


async def gets_no_messages(ctx: Context) -> None:
    assert await ctx.receive_many("never", timeout=YEAR) == []


async def races(ctx: Context) -> None:
    await ctx.race(message=ctx.receive("never"), late=ctx.sleep(YEAR))


def failing_once(error: Exception, retry: Retry) -> Callable[[], Any]:
    @step(retry=retry)
    async def fails_once() -> None:
        if current_step().attempt == 1:
            raise error

    return fails_once


async def backs_off(ctx: Context) -> None:
    retry = Retry(attempts=2, first=YEAR, cap=YEAR, jitter=0)
    await failing_once(ConnectionError(), retry)()


async def is_told_when_to_retry(ctx: Context) -> None:
    await failing_once(RetryAfter(YEAR), Retry(attempts=2))()


BODIES = (
    sleeps,
    sleeps_until,
    sleeps_as_asyncio_does,
    is_timed_out,
    waits_for,
    gets_no_message,
    gets_no_messages,
    races,
    backs_off,
    is_told_when_to_retry,
)


@pytest.mark.parametrize("linger", [0.1, 2 * YEAR], ids=["at rest", "in memory"])
@pytest.mark.parametrize("body", BODIES)
async def test_a_year_takes_no_time_whatever_is_waited_for(
    body: Callable[[Context], Coroutine[Any, Any, None]], linger: float
) -> None:
    clock, real = VirtualClock(), time.perf_counter()
    began = clock.now()
    known: Workflow[None, None] = workflow(body)
    app = App("memory:", workflows=[known], clock=clock, linger=linger)

    await app.run(known)

    assert clock.now() - began == pytest.approx(YEAR, abs=2)
    assert time.perf_counter() - real < 1


async def test_a_step_that_takes_two_days_is_cut_after_one() -> None:
    clock = VirtualClock()
    began = clock.now()

    @step(timeout=DAY, retry=Retry(attempts=1))
    async def slow() -> None:
        await clock.sleep(2 * DAY)

    @workflow
    async def tries(ctx: Context) -> str:
        try:
            await slow()
        except StepError as error:
            return error.error.type
        return "done"

    app = App("memory:", workflows=[tries], clock=clock, lease=3600)

    assert await app.run(tries) == "TimeoutError"
    assert clock.now() - began == pytest.approx(DAY, abs=1)


# --- what processes wait for --------------------------------------------------------


async def test_a_worker_takes_over_when_the_lease_of_a_dead_process_is_over() -> None:
    clock, store = VirtualClock(), MemoryStore()
    lives: list[tuple[str, float]] = []

    @workflow
    async def works(ctx: Context) -> str:
        return await ctx.step("work", work)

    async def work() -> str:
        lives.append((current_step().key, clock.now() - began))
        return "done"

    began = clock.now()
    dying = FaultyStore(store, [Fault(2, "crash_before")], clock=clock)
    first = App(dying, workflows=[works], clock=clock, lease=30 * DAY)
    with pytest.raises(StoreUnavailable, match="the process has ended"):
        await first.run(works, id="i")

    async with App(store, workflows=[works], clock=clock, poll=3600) as second:
        assert await second.handle("i").result() == "done"

    (key, at), (again, later) = lives
    assert key == again
    assert at == pytest.approx(0, abs=1)
    assert 30 * DAY <= later <= 30 * DAY + 3601


async def test_a_lease_is_prolonged_for_as_long_as_a_step_takes() -> None:
    clock, store = VirtualClock(), MemoryStore()
    calls: list[float] = []

    @step
    async def slow() -> str:
        calls.append(clock.now())
        await clock.sleep(3600)
        return "done"

    @workflow
    async def works(ctx: Context) -> str:
        return await slow()

    def process() -> App:
        return App(store, workflows=[works], clock=clock, lease=30)

    async with process():
        assert await process().run(works) == "done"

    assert len(calls) == 1


# --- the clock itself ---------------------------------------------------------------


class Calls:
    """Alarms of a clock, and which of them were called when."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.began = clock.now()
        self.made: list[tuple[str, float]] = []

    def at(self, seconds: float, name: str, *, idle: bool = False) -> Any:
        return self.clock.call_at(
            self.began + seconds,
            lambda: self.made.append((name, self.clock.now() - self.began)),
            idle=idle,
        )

    async def until(self, count: int) -> list[tuple[str, float]]:
        """Turn the loop until so many were called."""
        for _ in range(1000):
            await asyncio.sleep(0)
            if len(self.made) >= count:
                break
        return self.made


@pytest.fixture
def calls() -> Calls:
    return Calls(VirtualClock())


async def test_calls_come_in_the_order_of_their_times(calls: Calls) -> None:
    for seconds, name in ((20, "c"), (10, "a"), (10, "b"), (0, "now")):
        calls.at(seconds, name)

    assert await calls.until(4) == [("now", 0), ("a", 10), ("b", 10), ("c", 20)]


async def test_a_call_that_was_taken_back_does_not_move_time(calls: Calls) -> None:
    calls.at(10, "never").cancel()
    calls.at(20, "first")
    calls.at(30, "last").cancel()

    assert await calls.until(1) == [("first", 20)]
    await asyncio.sleep(0.001)
    assert calls.clock.now() == calls.began + 20


async def test_a_mere_look_moves_time_only_if_nothing_else_would(calls: Calls) -> None:
    calls.at(5, "look", idle=True)
    calls.at(20, "work")

    assert await calls.until(2) == [("look", 20), ("work", 20)]
    calls.at(25, "look", idle=True)
    assert (await calls.until(3))[2] == ("look", 25)


async def test_time_stands_while_a_store_or_a_thread_is_at_work(calls: Calls) -> None:
    calls.at(10, "later")
    done = threading.Event()

    with calls.clock.busy():
        for _ in range(100):
            await asyncio.sleep(0)
        await asyncio.to_thread(done.wait, 0.005)
        assert calls.made == []

    assert await calls.until(1) == [("later", 10)]


async def test_who_holds_time_still_and_sleeps_lets_it_pass(calls: Calls) -> None:
    with calls.clock.busy():
        await calls.clock.sleep(60)
        assert calls.clock.now() == calls.began + 60
        calls.at(90, "later")
        for _ in range(100):
            await asyncio.sleep(0)
        assert calls.made == []


async def test_several_who_sleep_in_one_hold_let_go_of_it_once(calls: Calls) -> None:
    with calls.clock.busy():
        async with asyncio.TaskGroup() as group:
            group.create_task(calls.clock.sleep(30))
            group.create_task(calls.clock.sleep(60))
        calls.at(90, "later")
        for _ in range(100):
            await asyncio.sleep(0)
        assert calls.made == []

    assert await calls.until(1) == [("later", 90)]


async def test_who_began_in_a_hold_lets_go_of_no_other_one(calls: Calls) -> None:
    async def sleep_twice() -> None:
        await calls.clock.sleep(10)
        await calls.clock.sleep(50)

    with calls.clock.busy():
        sleeper = asyncio.create_task(sleep_twice())
        await calls.clock.sleep(5)

    await calls.clock.sleep(10)
    calls.at(20, "later")
    with calls.clock.busy():
        for _ in range(100):
            await asyncio.sleep(0)
        assert calls.made == []
    await sleeper

    assert calls.clock.now() == calls.began + 60


async def test_time_that_is_moved_by_hand_calls_what_is_due(calls: Calls) -> None:
    calls.at(YEAR, "later")
    with calls.clock.busy():
        calls.clock.advance(YEAR)
        assert calls.made == []
        assert await calls.until(1) == [("later", YEAR)]


def test_a_clock_outlives_its_loop_and_moves_without_one(calls: Calls) -> None:
    async def leave_a_call_behind() -> None:
        calls.at(3600, "left behind")

    asyncio.run(leave_a_call_behind())
    calls.clock.advance(60)
    asyncio.run(calls.clock.sleep(60))

    assert calls.clock.now() == calls.began + 120
    assert calls.made == []
