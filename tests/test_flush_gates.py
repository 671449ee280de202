"""Nothing rests, and nothing is seen outside, before what came before is durable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    ChildError,
    Context,
    Event,
    Outcome,
    Retry,
    StepError,
    StoreUnavailable,
    UnknownInstance,
    WorkflowFailed,
    current_step,
    workflow,
)
from edgeflow.testing import Crashed, Fault, FaultyStore
from tests.flushes import (
    LATENCY,
    MODES,
    Bench,
    Database,
    bench,
    calls,
    flaky,
    nothing,
    work,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edgeflow import EntryInfo
    from edgeflow.store import Commit, Committed, Envelope

    Waiting = Callable[[Context], Awaitable[object]]

__all__ = ["bench"]  # a fixture

modes = pytest.mark.parametrize("mode", MODES)

NAMES = ["work", "flaky", "status", "nothing"]
SOON = Retry(attempts=3, first=0.05, jitter=0)


async def prepare(ctx: Context) -> None:
    """Do some things, all of which must be durable at the gate that follows."""
    await work(1)
    await flaky.using(retry=SOON)(1)
    await ctx.status("half")
    await nothing("n")


class Moment:
    """What was in the store when something was seen outside."""

    def __init__(self, bench: Bench, database: Database) -> None:
        self._bench = bench
        self._commits = database.of("i")

    async def head(self) -> Any:
        return (await self._bench.loaded(await self.store())).head

    async def entries(self) -> list[EntryInfo]:
        return await self._bench.history(await self.store())

    async def names(self) -> list[str]:
        return await self._bench.done(await self.store())

    async def store(self) -> Database:
        return await self._bench.database(self._commits)


# The gate of the answer


@modes
async def test_a_suspended_instance_is_answered_after_its_flush(
    mode: str, bench: Bench
) -> None:
    # M-15, G2: the answer
    async def body(ctx: Context) -> None:
        await prepare(ctx)
        await ctx.receive("hello", timeout=60)

    database = await bench.database()
    async with bench.app(body, bench.slow(database), durability=mode) as app:
        await app.start("w", id="i")
        outcome = await app.drive("i")
        moment = Moment(bench, database)

    assert (outcome.status, outcome.awaiting) == ("suspended", ("hello",))
    assert await moment.names() == NAMES
    head = await moment.head()
    assert (head.status, head.wake_at) == ("suspended", outcome.wake_at)
    assert head.awaiting == outcome.awaiting


@modes
@pytest.mark.parametrize("fails", [False, True])
async def test_a_result_is_given_after_its_flush(
    mode: str, bench: Bench, *, fails: bool
) -> None:
    # M-15, G2: the answer, live and by replay
    async def body(ctx: Context) -> str:
        await prepare(ctx)
        if fails:
            raise ValueError("no")
        return "yes"

    database = await bench.database()
    async with bench.app(body, bench.slow(database), durability=mode) as app:
        if fails:
            with pytest.raises(WorkflowFailed, match="no"):
                await app.run("w", id="i")
        else:
            assert await app.run("w", id="i") == "yes"
        moment = Moment(bench, database)

    assert await moment.names() == NAMES
    assert (await moment.head()).status == ("failed" if fails else "completed")


@modes
async def test_a_cancellation_is_durable_when_it_is_answered(
    mode: str, bench: Bench
) -> None:
    # M-15, G2: the answer, while a step runs
    async def body(ctx: Context) -> None:
        await prepare(ctx)
        await work(2, 100)

    database = await bench.database()
    async with bench.app(body, bench.slow(database), durability=mode) as app:
        handle = await app.start("w", id="i")
        await bench.clock.sleep(5)
        assert await handle.cancel()
        moment = Moment(bench, database)

    assert await moment.names() == NAMES
    other = await moment.store()
    assert (await bench.app(body, other).drive("i")).status == "cancelled"


# The gate of messages


class Post(Database):
    """Looks at itself whenever a message becomes visible to its receiver."""

    def __init__(self, bench: Bench, inner: Database) -> None:
        super().__init__(inner.inner)
        self.bench = bench
        self.seen: list[tuple[str, Moment]] = []

    async def commit(self, instance: str, commit: Commit) -> Committed:
        answer = await super().commit(instance, commit)
        for message in commit.sends:
            if message not in answer.undelivered:
                self.look(message)
        return answer

    async def send(self, message: Envelope) -> bool:
        self.look(message)
        return await super().send(message)

    def look(self, message: Envelope) -> None:
        self.seen.append((message.to, Moment(self.bench, self)))


@modes
async def test_a_message_is_seen_with_or_after_what_came_before(
    mode: str, bench: Bench
) -> None:
    # M-15, G2: the sent message
    async def body(ctx: Context) -> None:
        await prepare(ctx)
        await ctx.send("somebody", "news", 1)
        await work(2)

    post = Post(bench, await bench.database())
    await bench.app(body, bench.slow(post), durability=mode).run("w", id="i")

    [(to, moment)] = post.seen
    assert to == "somebody"
    assert (await moment.names())[:5] == [*NAMES, "send"]


@modes
async def test_a_reply_is_seen_with_or_after_what_came_before(
    mode: str, bench: Bench
) -> None:
    # M-15, G2: the reply
    async def body(ctx: Context) -> None:
        question = await ctx.receive("question")
        await prepare(ctx)
        await question.reply("yes")
        await work(2, 1000)

    post = Post(bench, await bench.database())
    async with bench.app(body, bench.slow(post), durability=mode) as app:
        await app.start("w", id="i")
        assert await app.handle("i").ask("question", timeout=100) == "yes"
        moment = Moment(bench, post)

    [replied] = [then for to, then in post.seen if to.startswith("~reply/")]
    for each in (moment, replied):
        assert (await each.names())[:6] == ["receive", *NAMES, "reply"]


@modes
async def test_a_child_is_there_after_what_came_before(mode: str, bench: Bench) -> None:
    # M-15, G2: an instance is a message too
    class Births(Post):
        async def commit(self, instance: str, commit: Commit) -> Committed:
            if commit.workflow == "child" and not self.seen:
                self.seen.append((instance, Moment(bench, self)))
            return await super().commit(instance, commit)

    async def body(ctx: Context) -> str:
        await prepare(ctx)
        return await ctx.start(child)

    births = Births(bench, await bench.database())
    app = bench.app(body, bench.slow(births), durability=mode)
    app.register(child)
    await app.run("w", id="i")

    [(_, moment)] = births.seen
    assert await moment.names() == [*NAMES, "start"]


@workflow(name="child")
async def child(_: Context) -> int:
    return 1


# The gate of alarms


async def sleeps(ctx: Context) -> object:
    await ctx.sleep(60)
    return None


async def times_out(ctx: Context) -> object:
    async with asyncio.timeout(60):
        return await ctx.receive("hello")


async def receives(ctx: Context) -> object:
    return await ctx.receive("hello", timeout=60)


async def backs_off(_: Context) -> object:
    retry = Retry(first=60, cap=60, jitter=0)
    return await flaky.using(name="late", retry=retry)(1)


@modes
@pytest.mark.parametrize("waits", [sleeps, times_out, receives, backs_off])
async def test_an_alarm_is_armed_with_or_after_what_came_before(
    mode: str, waits: Waiting, bench: Bench
) -> None:
    # M-15, G2, G10: the alarm
    class Alarms(Database):
        async def commit(self, instance: str, commit: Commit) -> Committed:
            answer = await super().commit(instance, commit)
            if commit.due is not None and commit.due > bench.clock.now() + 30:
                armed.append((commit, Moment(bench, self)))
            return answer

    async def body(ctx: Context) -> None:
        await prepare(ctx)
        await waits(ctx)

    armed: list[tuple[Commit, Moment]] = []
    alarms = Alarms((await bench.database()).inner)
    app = bench.app(body, bench.slow(alarms), durability=mode)
    await app.start("w", id="i")
    outcome = await app.drive("i")

    (commit, moment), *_ = armed
    assert await moment.names() == NAMES
    assert commit.due == commit.wake_at == outcome.wake_at
    if waits is backs_off:
        [late] = [e for e in await moment.entries() if e.name == "late"]
        assert (late.status, late.attempts) == ("retrying", 1)
        assert late.retry_at == commit.due
    assert commit.due is not None
    with bench.clock.busy():
        assert not await alarms.claim(commit.due - 1, 10, 0.0, "another")
        assert list(await alarms.claim(commit.due, 10, 0.0, "another")) == ["i"]


# The gates of handles and observers


@modes
async def test_a_handle_is_resolved_after_its_flush(mode: str, bench: Bench) -> None:
    # M-15, G2: the resolved handle, here and in another process
    async def body(ctx: Context) -> str:
        await prepare(ctx)
        return "done"

    async def result(app: App) -> None:
        assert await app.handle("i").result() == "done"
        moments.append(Moment(bench, database))

    moments: list[Moment] = []
    database = await bench.database()
    async with bench.app(body, bench.slow(database), durability=mode) as app:
        await app.start("w", id="i")
        await asyncio.gather(result(app), result(bench.app(body, database)))

    for moment in moments:
        assert await moment.names() == NAMES
        assert (await moment.head()).status == "completed"


@modes
async def test_an_observer_hears_what_is_durable(mode: str, bench: Bench) -> None:
    # M-15, S28, G2: the observer
    def observe(event: Event) -> None:
        heard.append((event, Moment(bench, database)))

    async def body(ctx: Context) -> None:
        await prepare(ctx)
        await ctx.sleep(60)
        await work(2)

    heard: list[tuple[Event, Moment]] = []
    database = await bench.database()
    settings: dict[str, Any] = {"durability": mode, "observers": [observe]}
    app = bench.app(body, bench.slow(database), **settings)
    await app.run("w", id="i")

    known: list[tuple[str, int]] = []
    for event, moment in heard:
        if event.kind == "suspended":
            head = await moment.head()
            assert (head.status, head.wake_at) == ("suspended", event.wake_at)
        elif event.kind == "completed":
            assert (await moment.head()).status == "completed"
        else:
            known.append((event.path.partition("[")[0], event.attempt))
        durable = [(e.name, e.attempts) for e in await moment.entries()]
        for name, attempt in known:
            assert any(n == name and attempt <= made for n, made in durable)
        assert durable.count(("work", 1)) >= known.count(("work", 1))
    assert {event.kind for event, _ in heard} >= {"suspended", "completed"}
    steps = [("work", 1), ("flaky", 1), ("flaky", 2), ("nothing", 1), ("work", 1)]
    assert known == steps


# Suspension points


async def lingers(ctx: Context) -> object:
    await ctx.sleep(0.05)
    await ctx.sleep(60)
    return None


async def awaits(ctx: Context) -> object:
    return await ctx.receive("hello", "other")


async def calls_child(ctx: Context) -> object:
    try:
        return await ctx.call(sleeper)
    except ChildError as error:
        return error.kind


@workflow
async def sleeper(ctx: Context) -> None:
    await ctx.sleep(1000)


async def gathers(ctx: Context) -> object:
    return await asyncio.gather(ctx.sleep(60), ctx.receive("hello"))


async def races(ctx: Context) -> object:
    return await ctx.race(a=ctx.sleep(60), b=ctx.receive("hello"))


async def fails_and_sleeps(ctx: Context) -> object:
    try:
        await flaky.using(name="late", retry=Retry(attempts=1))(1)
    except StepError:
        await ctx.sleep(60)
    return None


async def is_cut_off(_: Context) -> object:
    return await work(9, 1e6)


async def returns(_: Context) -> object:
    return 1


async def raises(_: Context) -> object:
    raise ValueError("no")


async def breaks_rules(_: Context) -> object:
    return await asyncio.to_thread(print)


WAITS: list[tuple[Waiting, str]] = [
    (sleeps, "suspended"),
    (lingers, "suspended"),
    (times_out, "suspended"),
    (receives, "suspended"),
    (awaits, "suspended"),
    (backs_off, "suspended"),
    (calls_child, "suspended"),
    (gathers, "suspended"),
    (races, "suspended"),
    (fails_and_sleeps, "suspended"),
    (is_cut_off, "suspended"),
    (returns, "completed"),
    (raises, "failed"),
    (breaks_rules, "blocked"),
]


@modes
@pytest.mark.parametrize(("waits", "status"), WAITS)
async def test_nothing_is_dirty_at_any_suspension(
    mode: str, waits: Waiting, status: str, bench: Bench
) -> None:
    # M-15 M-19, G1, G10: of what came before, and of when and for what it wakes
    async def body(ctx: Context) -> object:
        await prepare(ctx)
        return await waits(ctx)

    database = await bench.database()
    app = bench.app(body, bench.slow(database), durability=mode, max_dirty_age=1e6)
    app.register(sleeper)
    async with app:
        await app.start("w", id="i")
        outcome = await app.drive("i", deadline=50)
        moment = Moment(bench, database)
        async with app.session.using() as worker:
            run = worker.runs.get("i")
            assert run is None or not run.journal.dirty

    assert outcome.status == status
    assert (await moment.names())[:4] == NAMES
    head = await moment.head()
    assert (head.status, head.wake_at) == (status, outcome.wake_at)
    assert set(outcome.awaiting) <= set(head.awaiting)
    if waits is fails_and_sleeps:
        [late] = [e for e in await moment.entries() if e.name == "late"]
        assert (late.status, late.attempts) == ("failed", 1)


@modes
async def test_nothing_is_dirty_if_it_rests_just_as_it_rested_before(
    mode: str, bench: Bench
) -> None:
    # M-19, G1 G11: the head is to stay as it is, and the message is not
    async def body(ctx: Context) -> list[int]:
        return [(await ctx.receive("a")).body for _ in range(3)]

    database = await bench.database()
    async with bench.app(body, database, durability=mode) as app:
        handle = await app.start("w", id="i")
        for count in (1, 2):
            await handle.send("a", count)
            await bench.clock.sleep(10)
            moment = Moment(bench, database)
            assert await moment.names() == ["receive"] * count
            assert (await bench.loaded(database)).messages == ()


@modes
async def test_the_failure_that_precedes_a_sleep_is_never_forgotten(
    mode: str, bench: Bench
) -> None:
    # M-15, G1 G7 G8: the process dies as soon as control has left the engine
    async def body(ctx: Context) -> list[object]:
        found: list[object] = []
        for _ in range(2):
            try:
                await flaky.using(retry=Retry(attempts=2, first=0.01, jitter=0))(9)
            except StepError as error:
                found.append([error.kind, error.attempts])
            await ctx.sleep(60)
        return found

    database = await bench.database()
    await bench.app(body, database).start("w", id="i")
    outcomes: list[Outcome[Any]] = []
    for _ in range(3):
        store = FaultyStore(database, clock=bench.clock)
        async with bench.app(body, store, durability=mode) as app:
            outcomes.append(await app.drive("i"))
            store.kill()
        bench.clock.advance(60)

    assert [outcome.status for outcome in outcomes] == [*["suspended"] * 2, "completed"]
    assert outcomes[-1].output == [["exhausted", 2]] * 2
    assert calls == {"flaky": 4}


@modes
@pytest.mark.parametrize("beside", [False, True])
async def test_an_attempt_begins_after_the_failure_before_it_is_durable(
    mode: str, bench: Bench, *, beside: bool
) -> None:
    # M-06 M-15, S1, G7: whatever the siblings and the mode
    async def attempt() -> int:
        number = current_step().attempt
        moments.append((number, Moment(bench, database)))
        if number < 4:
            raise LookupError("again")
        return number

    async def body(ctx: Context) -> object:
        retry = Retry(attempts=4, first=0.03, factor=1, jitter=0)
        tries = ctx.step("tries", attempt, retry=retry)
        return await asyncio.gather(tries, *([work(1, 50)] if beside else []))

    moments: list[tuple[int, Moment]] = []
    database = await bench.database()
    app = bench.app(body, bench.slow(database), durability=mode, max_dirty_age=1e6)
    found: list[object] = await app.run("w", id="i")

    assert found[0] == 4
    assert [number for number, _ in moments] == [1, 2, 3, 4]
    for number, moment in moments[1:]:
        [entry] = [e for e in await moment.entries() if e.name == "tries"]
        assert (entry.status, entry.attempts) == ("retrying", number - 1)


# The end of a process


async def at_its_deadline(app: App, bench: Bench) -> None:
    await app.start("w", id="i")
    assert (await app.drive("i", deadline=100)).status == "suspended"


async def as_it_is_left(app: App, bench: Bench) -> None:
    async with app:
        await app.start("w", id="i")
        await bench.clock.sleep(91)


async def as_its_caller_is_cancelled(app: App, bench: Bench) -> None:
    async def run() -> None:
        await app.run("w", id="i")

    running = asyncio.ensure_future(run())
    await bench.clock.sleep(91)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize(
    "end", [at_its_deadline, as_it_is_left, as_its_caller_is_cancelled]
)
async def test_a_process_that_ends_flushes_at_once_and_lets_its_step_end(
    end: Callable[[App, Bench], Awaitable[None]], bench: Bench
) -> None:
    # M-16, G1; a signal does what cancels the caller, in tests/crash
    async def body(ctx: Context) -> None:
        for n in range(5):
            await work(n)
        await ctx.step("long", long)
        await work(5)

    async def long() -> str:
        await current_step().stopping
        moments.append((bench.clock.now() - start, Moment(bench, database)))
        await bench.clock.sleep(LATENCY + 0.01)
        moments.append((bench.clock.now() - start, Moment(bench, database)))
        await bench.clock.sleep(3)
        return "long"

    moments: list[tuple[float, Moment]] = []
    database = await bench.database()
    settings: dict[str, Any] = {"durability": "suspend", "max_dirty_age": 1e6}
    start = bench.clock.now()
    await end(bench.app(body, bench.slow(database), **settings), bench)

    # grace 8, margin 1
    assert [at for at, _ in moments] == pytest.approx([91, 91.1], abs=0.25)
    (_, before), (_, soon) = moments
    assert await before.names() == []
    assert await soon.names() == ["work"] * 5
    assert await bench.done(database) == [*["work"] * 5, "long"]
    head = (await bench.loaded(database)).head
    assert head.status == "suspended"
    assert calls[5] == 0
    await bench.app(body, database).run("w", id="i")
    assert [calls[n] for n in range(6)] == [1] * 6


# The input


async def test_the_input_is_durable_before_the_body_begins(bench: Bench) -> None:
    # L-01, G2
    async def body(_: Context) -> None:
        moments.append(len(database.of("i")))

    moments: list[int] = []
    database = await bench.database()
    store = FaultyStore(database, [Fault(1, "slow", seconds=9)], clock=bench.clock)
    await bench.app(body, store).run("w", id="i")
    assert moments == [1]

    inner = await bench.database()
    dead = FaultyStore(inner, [Fault(1, "crash_before")], clock=bench.clock)
    with pytest.raises((Crashed, StoreUnavailable)):
        await bench.app(body, dead).run("w", id="i")
    assert moments == [1]
    with pytest.raises(UnknownInstance):
        await bench.history(inner)
