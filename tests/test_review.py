"""What a reviewer looked for: wake-ups, leases, endings, what a long stay leaves."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from edgeflow import (
    App,
    BodyError,
    Context,
    Outcome,
    Retry,
    StepError,
    StoreUnavailable,
    WorkflowBlocked,
    current_step,
    step,
    workflow,
)
from edgeflow.store import Commit, Committed, Envelope, Limits
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from edgeflow_sqlite import SqliteStore

SOON = 5.0
"""Real seconds after which something is said to hang."""


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


class SlowStore(RecordingStore):
    """Commits, reads and renewals take virtual seconds, as long as it is told."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(MemoryStore())
        self.clock = clock
        self.commit_takes = self.unread_takes = self.renew_takes = 0.0

    async def commit(self, instance: str, commit: Commit) -> Committed:
        answer = await super().commit(instance, commit)
        if self.commit_takes:
            await self.clock.sleep(self.commit_takes)
        return answer

    async def unread(self, instance: str) -> Sequence[Envelope]:
        found = await super().unread(instance)
        if self.unread_takes:
            await self.clock.sleep(self.unread_takes)
        return found

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        if lease and self.renew_takes:
            await self.clock.sleep(self.renew_takes)
        return await super().renew(instance, token, now, lease)


def worker_of(app: App) -> Any:
    return vars(app.session)["_worker"]


def size_of(worker: Any, name: str) -> int:
    return len(cast("dict[str, object]", vars(worker)[name]))


# --- the alarm never spins ------------------------------------------------------


async def test_a_stop_while_the_lease_is_to_be_renewed_does_not_spin(
    clock: VirtualClock,
) -> None:  # P-07: virtual time stands still where the real loop would spin
    @step
    async def slow() -> None:
        await clock.sleep(100)

    @workflow
    async def main(ctx: Context) -> None:
        await slow()

    app = App(MemoryStore(), clock=clock, workflows=[main])
    await app.start(main, id="i")
    async with asyncio.timeout(SOON):
        outcome = await app.drive("i", deadline=18)
    assert outcome.status == "suspended"


async def test_dirty_data_of_some_age_does_not_spin_while_a_flush_is_in_flight(
    clock: VirtualClock,
) -> None:  # M-14
    store = SlowStore(clock)

    @step
    async def quick(seconds: float) -> None:
        await clock.sleep(seconds)

    @workflow
    async def main(ctx: Context) -> None:
        store.commit_takes = 5.0
        await asyncio.gather(*(quick(n) for n in (1.0, 2.5, 3.0, 12.0)))

    app = App(store, clock=clock, workflows=[main], durability="behind")
    async with asyncio.timeout(SOON):
        await app.run(main)


async def test_a_linger_that_is_over_does_not_spin_while_a_flush_is_in_flight(
    clock: VirtualClock,
) -> None:  # C-03
    store = SlowStore(clock)

    @workflow
    async def main(ctx: Context) -> str:
        message = await ctx.receive("a", timeout=50)
        return str(message.name)

    app = App(store, clock=clock, workflows=[main])
    async with asyncio.timeout(SOON), app:
        handle = await app.start(main, id="i")
        await clock.sleep(0.05)  # it lingers
        store.commit_takes = 3.0
        delayed = Envelope("i", "m", "a", b'{"body":1,"sent_at":0}', clock.now() + 20)
        await store.send(delayed)
        worker_of(app).ring("i")
        assert await handle.result() == "a"


# --- leases -----------------------------------------------------------------------


async def test_a_step_after_a_short_wait_is_not_taken_over_by_another_worker(
    clock: VirtualClock,
) -> None:  # L-02: its lease was that of the wait
    calls: list[int] = []
    store = MemoryStore()

    @step
    async def slow() -> None:
        calls.append(1)
        await clock.sleep(100)

    @workflow
    async def main(ctx: Context) -> None:
        await ctx.sleep(0.05)
        await slow()

    one = App(store, clock=clock, workflows=[main])
    two = App(store, clock=clock, workflows=[main])
    async with asyncio.timeout(SOON), one:
        handle = await one.start(main)
        await clock.sleep(0.5)
        assert await two.run_due() == []
        await handle.result()
    assert len(calls) == 1


async def test_a_step_after_a_message_in_the_linger_is_not_taken_over(
    clock: VirtualClock,
) -> None:  # L-02
    calls: list[int] = []
    store = MemoryStore()

    @step
    async def slow() -> None:
        calls.append(1)
        await clock.sleep(100)

    @workflow
    async def main(ctx: Context) -> None:
        await ctx.receive("a")
        await slow()

    one = App(store, clock=clock, workflows=[main])
    two = App(store, clock=clock, workflows=[main])
    async with asyncio.timeout(SOON), one:
        handle = await one.start(main, id="i")
        await clock.sleep(0.05)
        await handle.send("a")
        await clock.sleep(0.5)
        assert await two.run_due() == []
        await handle.result()
    assert len(calls) == 1


async def test_a_renewal_in_flight_does_not_outlive_a_suspension(
    clock: VirtualClock,
) -> None:  # G10: it would hide the wake-up for a whole lease
    store = SlowStore(clock)
    store.renew_takes = 2.0

    @step
    async def slow() -> None:
        await clock.sleep(16)

    @workflow
    async def main(ctx: Context) -> None:
        await slow()
        await ctx.sleep(5)

    app = App(store, clock=clock, workflows=[main])
    await app.start(main, id="i")
    async with asyncio.timeout(SOON):
        assert (await app.drive("i")).status == "suspended"
        await clock.sleep(6)
        (outcome,) = await app.run_due()
    assert outcome.status == "completed"


async def test_a_renewal_in_flight_does_not_deny_a_finished_instance(
    clock: VirtualClock,
) -> None:  # G5: a store answers False for what has ended
    store = SlowStore(clock)
    store.renew_takes = 2.0

    @step
    async def slow() -> int:
        await clock.sleep(16)
        store.commit_takes = 3.0
        return 7

    @workflow(durability="suspend")
    async def main(ctx: Context) -> int:
        return await slow()

    app = App(store, clock=clock, workflows=[main])
    async with asyncio.timeout(SOON):
        assert await app.run(main) == 7


# --- wake-ups ------------------------------------------------------------------------


async def test_a_message_that_comes_during_a_look_into_the_inbox_is_seen(
    clock: VirtualClock,
) -> None:  # D-02 (ii)
    store = SlowStore(clock)

    @step
    async def wait() -> None:
        await clock.sleep(10)

    @workflow
    async def main(ctx: Context) -> list[str]:
        await wait()
        return [(await ctx.receive("a")).body for _ in range(2)]

    app = App(store, clock=clock, workflows=[main])
    await app.start(main, id="i")
    async with asyncio.timeout(SOON):
        driving = asyncio.create_task(app.drive("i"))
        await clock.sleep(1)
        store.unread_takes = 5.0
        handle = app.handle("i")
        await handle.send("a", "one")
        await clock.sleep(1)  # the store has answered, its answer is on the way
        await handle.send("a", "two")
        outcome = await driving
    assert outcome.output == ["one", "two"]


async def test_a_message_that_comes_while_an_instance_is_opened_is_seen(
    clock: VirtualClock,
) -> None:  # D-02 (ii): between the look into its inbox and its OPEN
    store = SlowStore(clock)

    @workflow
    async def main(ctx: Context) -> str:
        return str((await ctx.receive("a")).body)

    app = App(store, clock=clock, workflows=[main])
    await app.start(main, id="i")
    store.commit_takes = 5.0
    async with asyncio.timeout(SOON):
        driving = asyncio.create_task(app.drive("i"))
        await clock.sleep(1)
        await app.handle("i").send("a", "one")
        outcome = await driving
    assert outcome.output == "one"


async def test_a_worker_outlives_an_odd_error_of_its_store(clock: VirtualClock) -> None:
    class Odd(RecordingStore):  # G10
        trouble = 3

        async def claim(
            self, now: float, limit: int, lease: float, worker: str
        ) -> Sequence[str]:
            self.trouble -= 1
            if self.trouble >= 0:
                raise OSError("odd")
            return await super().claim(now, limit, lease, worker)

    @workflow
    async def main(ctx: Context) -> int:
        return 1

    store = MemoryStore()
    await App(store, clock=clock, workflows=[main]).start(main, id="i")
    app = App(Odd(store), clock=clock, workflows=[main])
    async with asyncio.timeout(SOON), app:
        for _ in range(10):
            await clock.sleep(2)
        assert (await app.handle("i").info()).status == "completed"


async def test_run_due_drives_each_instance_once(clock: VirtualClock) -> None:  # C-09
    rounds: list[int] = []

    @step
    async def work() -> None:
        rounds.append(1)
        await clock.sleep(5 if current_step().instance == "a" else 1)

    @workflow
    async def main(ctx: Context) -> None:
        while len(rounds) < 20:
            await ctx.sleep(1)
            await work()

    app = App(MemoryStore(), clock=clock, workflows=[main])
    for name in "ab":
        await app.start(main, id=name)
    await app.run_due()
    await clock.sleep(1)
    rounds.clear()
    outcomes = await app.run_due()
    assert len(outcomes) == len(rounds) == 2


# --- endings -----------------------------------------------------------------------


class Odd(BaseException):
    """No `Exception`."""


async def test_a_step_that_raises_no_exception_fails_for_good(
    clock: VirtualClock,
) -> None:  # B-09
    @step
    async def odd() -> None:
        raise Odd("x")

    @workflow
    async def main(ctx: Context) -> str:
        try:
            await odd()
        except StepError as error:
            return f"{error.kind} {error.attempts} {error.error.message}"
        return ""

    app = App(MemoryStore(), clock=clock, workflows=[main])
    async with asyncio.timeout(SOON):
        assert await app.run(main) == "fatal 1 x"


async def test_a_predicate_of_retry_that_fails_blocks_and_hangs_nobody(
    clock: VirtualClock,
) -> None:  # G13
    def judge(error: BaseException) -> bool:
        raise ZeroDivisionError

    @step(retry=Retry(on=judge))
    async def fails() -> None:
        raise ValueError("x")

    @workflow
    async def main(ctx: Context) -> None:
        await fails()

    app = App(MemoryStore(), clock=clock, workflows=[main])
    with pytest.raises(WorkflowBlocked, match="ZeroDivisionError"):
        async with asyncio.timeout(SOON):
            await app.run(main)


def seconds_of(work: Any) -> float:
    began = time.monotonic()
    asyncio.run(work)
    return time.monotonic() - began


@pytest.mark.parametrize("how", ["operation", "timer", "thread", "scope"])
def test_a_loop_that_swallows_a_breach_of_the_rules_blocks_and_does_not_spin(
    how: str,
) -> None:  # S5 G13
    @workflow
    async def main(ctx: Context) -> None:
        with suppress(BodyError):
            current_step()
        while True:
            try:
                if how == "operation":
                    await ctx.sleep(1)
                elif how == "timer":
                    await asyncio.sleep(1)
                elif how == "thread":
                    await asyncio.to_thread(print)
                else:
                    async with ctx.scope("a"):
                        pass
                    await ctx.sleep(1)
            except Exception:
                continue

    async def check() -> None:
        app = App(MemoryStore(), clock=VirtualClock(), workflows=[main])
        with pytest.raises(WorkflowBlocked, match="current_step"):
            await app.run(main)

    assert seconds_of(check()) < SOON


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_swallows_everything_does_not_spin_at_its_suspension() -> None:
    # H-09 S18: nor when what is left of it is collected
    @workflow
    async def main(ctx: Context) -> None:
        while True:
            try:
                await ctx.sleep(100)
            except BaseException:
                continue

    async def check() -> None:
        app = App(MemoryStore(), clock=VirtualClock(), workflows=[main])
        await app.start(main, id="i")
        assert (await app.drive("i")).status == "suspended"

    assert seconds_of(check()) < SOON
    gc.collect()


async def test_evictions_of_runs_that_get_on_are_no_crash_loop(
    clock: VirtualClock,
) -> None:  # S2: each brings a new entry
    @step
    async def work(seconds: float) -> None:
        await clock.sleep(seconds)

    @workflow
    async def main(ctx: Context) -> int:
        for _ in range(15):
            await work(5)
        return 1

    app = App(MemoryStore(), clock=clock, workflows=[main])
    await app.start(main, id="i")
    outcome: Outcome[Any] | None = None
    for _ in range(40):
        outcome = await app.drive("i", deadline=8.5)
        if outcome.status != "suspended":
            break
    assert outcome is not None
    assert outcome.status == "completed"


async def test_a_call_that_no_thread_had_begun_is_not_made_after_its_end(
    clock: VirtualClock,
) -> None:  # B-12 G7
    calls: list[int] = []
    gate = threading.Event()

    @step
    def busy() -> None:
        gate.wait(SOON)

    @step(timeout=0.2, retry=Retry(attempts=1))
    def late() -> None:
        calls.append(1)

    @workflow
    async def main(ctx: Context) -> str:
        jobs = [asyncio.ensure_future(busy()) for _ in range(64)]
        await asyncio.sleep(0)
        kind = ""
        try:
            await late()
        except StepError as error:
            kind = error.kind
        await release()
        await asyncio.gather(*jobs)
        return kind

    @step
    async def release() -> None:
        gate.set()

    app = App(MemoryStore(), workflows=[main])
    async with asyncio.timeout(2 * SOON):
        assert await app.run(main) == "exhausted"
    await asyncio.sleep(0.05)
    assert calls == []


async def test_a_start_whose_caller_is_cancelled_runs_all_the_same(
    clock: VirtualClock,
) -> None:  # L-01: else it would look like a death for a whole lease
    store = SlowStore(clock)
    store.commit_takes = 1.0

    @workflow
    async def main(ctx: Context) -> int:
        return 1

    app = App(store, clock=clock, workflows=[main])
    async with asyncio.timeout(SOON), app:
        starting = asyncio.create_task(app.start(main, id="i"))
        await clock.sleep(0.5)
        starting.cancel()
        await clock.sleep(5)
        assert (await app.handle("i").info()).status == "completed"


async def test_a_start_whose_answer_is_late_is_not_fenced_by_its_twin(
    clock: VirtualClock,
) -> None:  # L-02
    class Late(RecordingStore):
        async def commit(self, instance: str, commit: Commit) -> Committed:
            answer = await super().commit(instance, commit)
            if commit.seq == 1:
                await clock.sleep(1)
            return answer

    entered: list[int] = []

    @step
    async def work() -> int:
        entered.append(1)
        await clock.sleep(3)
        return 7

    @workflow
    async def main(ctx: Context) -> int:
        return await work()

    app = App(Late(MemoryStore()), clock=clock, workflows=[main])
    async with asyncio.timeout(SOON):
        found = await asyncio.gather(*(app.run(main, id="i") for _ in range(5)))
    assert found == [7] * 5
    assert len(entered) == 1


# --- opening and closing -----------------------------------------------------------


async def test_calls_that_open_and_close_at_once_do_not_take_the_store_away(
    tmp_path: Path,
) -> None:
    @step
    async def pause() -> None:
        await asyncio.sleep(0.03)

    @workflow
    async def main(ctx: Context) -> int:
        await pause()
        return 1

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        yield
        await asyncio.sleep(0.02)

    app = App(SqliteStore(tmp_path / "x.db"), workflows=[main], lifespan=lifespan)

    async def use(number: int) -> None:
        for turn in range(5):
            await asyncio.sleep((number * 7 + turn * 3) % 5 / 100)
            assert await app.run(main) == 1

    async with asyncio.timeout(20):
        await asyncio.gather(*(use(number) for number in range(4)))


def test_an_app_serves_one_loop_after_the_other(tmp_path: Path) -> None:
    @workflow
    async def main(ctx: Context) -> int:
        return 1

    app = App(SqliteStore(tmp_path / "x.db"), workflows=[main])

    async def use() -> None:
        assert await asyncio.gather(*(app.run(main) for _ in range(20))) == [1] * 20

    for _ in range(3):
        asyncio.run(use())


async def test_an_app_that_is_entered_twice_is_left_twice(clock: VirtualClock) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        events.append("in")
        yield
        events.append("out")

    @workflow
    async def main(ctx: Context) -> int:
        await ctx.sleep(5)
        return 1

    app = App(MemoryStore(), clock=clock, workflows=[main], lifespan=lifespan)
    async with asyncio.timeout(SOON), app:
        async with app:
            pass
        assert await (await app.start(main)).result() == 1
        assert events == ["in"]
    assert events == ["in", "out"]
    assert not app.session.is_open


# --- a long stay ------------------------------------------------------------------


async def test_what_has_ended_leaves_nothing_behind(
    clock: VirtualClock,
) -> None:
    @workflow
    async def main(ctx: Context) -> int:
        await ctx.sleep(5)
        return 1

    @workflow
    async def waits(ctx: Context) -> None:
        await hour()

    @step
    async def hour() -> None:
        await clock.sleep(3600)

    app = App(MemoryStore(), clock=clock, workflows=[main, waits])
    async with app:
        worker = worker_of(app)
        await app.start(waits, id="w")
        for _ in range(50):
            await app.run(main)
            driving = asyncio.create_task(app.drive("w"))
            await clock.sleep(1)
            driving.cancel()
            with suppress(asyncio.CancelledError):
                await driving
        assert len(worker.attendance) == size_of(worker, "_waiters") == 0
        assert size_of(worker, "runs") == 1


async def test_a_journal_whose_snapshot_would_be_too_large_goes_on_without(
    clock: VirtualClock,
) -> None:  # G15
    limits = Limits(max_frame=16 * 1024, max_group=128 * 1024)

    @step
    async def big() -> str:
        return "x" * 8000

    @workflow
    async def main(ctx: Context) -> int:
        for _ in range(40):
            await big()
        return 1

    app = App(MemoryStore(limits), clock=clock, workflows=[main])
    with suppress(StoreUnavailable):
        assert await app.run(main, id="i") == 1
    assert (await app.handle("i").info()).status == "completed"
