"""Groups L and K as far as they need no cancel, recover, rewind, version or undo."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

import edgeflow.context
from edgeflow import (
    AlreadyExists,
    App,
    BodyError,
    Context,
    EntryInfo,
    ErrorInfo,
    Event,
    Fenced,
    Handle,
    InstanceFinished,
    Outcome,
    Retry,
    StepError,
    StoreUnavailable,
    Unencodable,
    UnknownInstance,
    UnknownWorkflow,
    Workflow,
    WorkflowBlocked,
    WorkflowFailed,
    current_step,
    step,
    workflow,
)
from edgeflow.store import Commit, Committed, Store
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore

START = 1_700_000_000.0
QUICK = Retry(jitter=0)


class Shared(RecordingStore):
    """One database for several Apps, each of which stands for a process."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.is_open = False

    async def open(self) -> None:
        if not self.is_open:
            self.is_open = True
            await self.inner.open()

    async def close(self) -> None:
        pass


class Killed(StoreUnavailable):
    """The process is gone: it writes nothing any more."""


class Mortal(Shared):
    """The store as seen by a process that can be killed."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.dead = False

    async def commit(self, instance: str, commit: Commit) -> Committed:
        if self.dead:
            raise Killed
        return await super().commit(instance, commit)


class World:
    """A database and a clock that outlive every process."""

    def __init__(self, store: Store) -> None:
        self.store = Shared(store)
        self.clock = VirtualClock(START)

    def process(
        self,
        *workflows: Workflow[Any, Any],
        store: Store | None = None,
        **settings: Any,
    ) -> App:
        """A fresh process: it knows nothing but what is in the store."""
        return App(
            store or self.store, clock=self.clock, workflows=workflows, **settings
        )

    async def start(self, workflow: Workflow[Any, Any], instance: str = "i") -> None:
        await self.process(workflow).start(workflow, id=instance)

    async def drive(
        self, workflow: Workflow[Any, Any], instance: str = "i"
    ) -> Outcome[Any]:
        return await self.process(workflow).drive(instance)

    async def later(
        self, workflow: Workflow[Any, Any], seconds: float = 60
    ) -> Outcome[Any]:
        """Drive it in a new process, after some time."""
        self.clock.advance(seconds)
        return await self.drive(workflow)

    async def frames(self, instance: str = "i") -> list[bytes]:
        await self.store.open()
        loaded = await self.store.inner.load(instance)
        assert loaded is not None
        return [frame.body for frame in loaded.frames]

    async def history(self, instance: str = "i") -> list[EntryInfo]:
        return await self.process().handle(instance).history()


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def blocked_reason(outcome: Outcome[Any]) -> str:
    assert outcome.status == "blocked"
    assert outcome.error is not None
    return outcome.error.message


def why(error: ErrorInfo | None) -> str:
    assert error is not None
    return f"{error.type}: {error.message}"


# --- start --------------------------------------------------------------------


async def test_the_input_is_durable_before_the_first_line_of_the_body(
    world: World,
) -> None:
    # L-01, G2
    entered: list[str] = []

    @workflow
    async def body(ctx: Context, name: str) -> str:
        entered.append(ctx.id)
        return f"hello {name}"

    await world.process(body).start(body, "ann", id="i")
    frames = await world.frames()

    assert entered == []
    assert len(frames) == 1
    assert b'"ann"' in frames[0]

    [outcome] = await world.process(body).run_due()

    assert outcome.output == "hello ann"
    assert entered == ["i"]


async def test_run_makes_the_input_durable_before_the_body_too(world: World) -> None:
    # L-01, G2
    stored: list[bool] = []

    @step
    async def look() -> None:
        stored.append(b'"ann"' in b"".join(await world.frames()))

    @workflow
    async def body(ctx: Context, name: str) -> str:
        await look()
        return ctx.id + name

    assert await world.process(body).run(body, "ann", id="i") == "iann"
    assert stored == [True]


async def test_a_second_start_attaches_to_the_first(world: World) -> None:
    # L-02
    entered: list[str] = []

    @workflow
    async def body(ctx: Context, name: str) -> str:
        entered.append(ctx.id)
        return name

    first = await world.process(body).start(body, "first", id="i")
    second = await world.process(body).start(body, "second", id="i")
    await world.drive(body)
    third = await world.process(body).start(body, "third", id="i")

    assert [await handle.result() for handle in (first, second, third)] == ["first"] * 3
    assert entered == ["i"]
    assert await world.process(body).run(body, "fourth", id="i") == "first"
    assert entered == ["i"]


async def test_a_hundred_starts_at_once_make_one_instance(world: World) -> None:
    # L-02
    entered: list[str] = []

    @workflow
    async def body(ctx: Context, number: int) -> int:
        entered.append(ctx.id)
        return number

    async with world.process(body) as app:
        handles = await asyncio.gather(
            *(app.start(body, number, id="i") for number in range(100))
        )
        results = [await handle.result() for handle in handles]

    assert len(set(results)) == 1
    assert entered == ["i"]
    assert [info.id async for info in world.process().find()] == ["i"]


async def test_on_conflict_fail_refuses_a_taken_id(world: World) -> None:
    # L-03
    @workflow
    async def body(ctx: Context, name: str) -> str:
        return ctx.id + name

    app = world.process(body)
    await app.start(body, "first", id="i", on_conflict="fail")

    for _ in ("unfinished", "finished"):
        frames = await world.frames()
        with pytest.raises(AlreadyExists, match="'i'"):
            await app.start(body, "second", id="i", on_conflict="fail")
        assert await world.frames() == frames
        assert (await world.drive(body)).output == "ifirst"


class Thing:
    pass


async def test_what_cannot_be_started_leaves_the_store_untouched(world: World) -> None:
    # L-04, S27, G13
    @workflow
    async def body(ctx: Context, names: list[str]) -> str:
        return ctx.id + names[0]

    @workflow(name="other")
    async def other(ctx: Context) -> str:
        return ctx.id

    @workflow
    async def loose(ctx: Context, value: Any) -> str:
        return ctx.id + str(value)

    app = world.process(body, loose)
    wrong: Any = ["ann", 2]

    with pytest.raises(Unencodable, match=r"'body'.*\$\[1\]"):
        await app.start(body, wrong, id="i")
    with pytest.raises(Unencodable, match="Thing"):
        await app.start(loose, {"deep": Thing()}, id="i")
    with pytest.raises(UnknownWorkflow, match=r"'missing'.*body"):
        await app.start("missing", [], id="i")
    with pytest.raises(UnknownWorkflow, match="'other'"):
        await app.start(other, id="i")
    assert "commit" not in world.store.calls
    assert [info.id async for info in app.find()] == []


async def test_an_id_of_another_workflow_is_refused(world: World) -> None:
    # L-04, S27
    @workflow(name="one")
    async def one(ctx: Context) -> str:
        return ctx.id

    @workflow(name="two")
    async def two(ctx: Context) -> str:
        return ctx.id

    app = world.process(one, two)
    await app.start(one, id="i")
    commits = len(world.store.commits)

    with pytest.raises(AlreadyExists, match="'one'"):
        await app.start(two, id="i")
    with pytest.raises(AlreadyExists, match="'one'"):
        await app.run(two, id="i")
    assert len(world.store.commits) == commits
    assert (await app.handle("i").info()).workflow == "one"


# --- terminal is terminal -----------------------------------------------------


@pytest.mark.parametrize("ending", ["completed", "failed"])
async def test_nothing_runs_a_finished_instance_again(
    world: World, ending: str
) -> None:
    # L-05, G14
    @workflow(name="body")
    async def body(ctx: Context) -> str:
        if ending == "failed":
            raise LookupError("nothing there")
        return ctx.id

    @workflow(name="body")
    async def deployed(ctx: Context) -> str:
        pytest.fail(f"{ctx.id} was entered again")

    await world.start(body)
    first = await world.drive(body)
    info = await world.process().handle("i").info()
    commits = len(world.store.commits)
    app = world.process(deployed, version="2")
    handle = app.handle("i")

    await handle.wake()
    with pytest.raises(InstanceFinished):
        await handle.send("a")
    await app.start(deployed, id="i")
    again = await app.drive("i")
    world.clock.advance(10_000)
    due = await app.run_due()
    async with app:
        await app.start(deployed, id="i")
        await world.clock.sleep(10)

    assert first.status == ending
    assert again == first
    assert due == []
    assert len(world.store.commits) == commits
    assert await world.process().handle("i").info() == info
    if ending == "failed":
        assert why(info.error) == "LookupError: nothing there"
        with pytest.raises(WorkflowFailed, match="nothing there"):
            await handle.result()
    else:
        assert await handle.result() == "i"

    await handle.delete()
    with pytest.raises(UnknownInstance):
        await handle.info()


# --- crash loops --------------------------------------------------------------


class Dying:
    """A workflow whose body kills its process as often as it is told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.entered = 0
        self.deadly = True
        mortal: list[Mortal] = []
        self._mortal = mortal

        @step
        async def work() -> int:
            return 1

        @step
        async def dangerous() -> int:
            if self.deadly:
                mortal[-1].dead = True
            return 2

        @workflow(name="dying")
        async def body(ctx: Context) -> int:
            self.entered += 1
            for _ in range(self.works):
                await work()
            await dangerous()
            await ctx.sleep(60)
            return 3

        self.works = 0
        self.body = body

    async def drive(self) -> str:
        """Drive it in a process that may die; say how that ended."""
        self._mortal.append(Mortal(self.world.store))
        app = self.world.process(self.body, store=self._mortal[-1])
        try:
            return (await app.drive("i")).status
        except StoreUnavailable:
            return "died"


async def test_ten_deaths_in_a_row_block_and_the_body_is_not_entered_again(
    world: World,
) -> None:
    # L-16, B-14, S2, G7
    dying = Dying(world)
    await world.start(dying.body)

    ends = [await dying.drive() for _ in range(12)]

    assert ends == ["died"] * 10 + ["blocked"] * 2
    assert dying.entered == 10
    reason = await world.process().handle("i").info()
    assert "crash loop" in why(reason.error)


async def test_nine_deaths_a_new_entry_and_nine_deaths_do_not_block(
    world: World,
) -> None:
    # L-16, S2
    dying = Dying(world)
    await world.start(dying.body)

    for works in (0, 1):
        dying.works = works
        assert [await dying.drive() for _ in range(9)] == ["died"] * 9
    dying.deadly = False

    assert await dying.drive() == "suspended"
    world.clock.advance(60)
    assert await dying.drive() == "completed"


async def test_deaths_of_several_runs_with_one_new_entry_in_the_first_still_count(
    world: World,
) -> None:
    # L-16, S2: an entry of long ago does not help
    dying = Dying(world)
    dying.works = 1
    await world.start(dying.body)

    ends = [await dying.drive() for _ in range(12)]

    assert ends[-1] == "blocked"
    assert ends.count("died") in {10, 11}


async def test_suspensions_and_early_wakes_are_no_deaths(world: World) -> None:
    # L-16, S2, G10
    entered: list[int] = []

    @workflow
    async def naps(ctx: Context) -> str:
        entered.append(1)
        for _ in range(50):
            await ctx.sleep(60)
        return ctx.id

    await world.start(naps)
    for _ in range(50):
        for _ in range(3):
            assert (await world.drive(naps)).status == "suspended"
        world.clock.advance(60)

    assert (await world.drive(naps)).output == "i"
    assert len(entered) == 51, "an early look does not enter the body"


async def test_ten_evictions_in_a_row_that_cut_one_step_off_block(
    world: World,
) -> None:
    # L-16, S2
    starts: list[int] = []

    @step
    async def endless() -> None:
        starts.append(current_step().attempt)
        await world.clock.sleep(1e6)

    @workflow
    async def body(ctx: Context) -> str:
        await endless()
        return ctx.id

    await world.start(body)
    ends = [
        (await world.process(body).drive("i", deadline=10)).status for _ in range(12)
    ]

    assert ends == ["suspended"] * 10 + ["blocked"] * 2
    assert starts == [1] * 10


# --- delete -------------------------------------------------------------------


async def test_delete_fences_whoever_runs_it_and_the_id_starts_afresh(
    world: World,
) -> None:
    # L-17, G4
    names: list[str] = []
    began = asyncio.Event()

    @step
    async def slow(name: str) -> None:
        names.append(name)
        began.set()
        current_step().state["name"] = name
        await world.clock.sleep(60)

    @workflow
    async def body(ctx: Context, name: str) -> str:
        await slow(name)
        found = await ctx.receive_many("m", timeout=5)
        return f"{name} {len(found)}"

    await world.process(body).start(body, "first", id="i")
    await world.process().handle("i").send("m", id="m1")
    driving = asyncio.create_task(world.process(body).drive("i"))
    await began.wait()

    handle = world.process(body).handle("i")
    await handle.delete()

    with pytest.raises(UnknownInstance, match="'i'"):
        await handle.info()
    with pytest.raises(UnknownInstance):
        await handle.state()
    with pytest.raises(Fenced):
        await driving
    assert names == ["first"]

    await world.process(body).start(body, "second", id="i")
    outcome = await world.drive(body)
    assert outcome.status == "suspended"
    assert (await world.later(body, 5)).output == "second 0"
    assert names == ["first", "second"]
    assert await handle.state() == {"name": "second"}


async def test_delete_in_the_process_that_runs_it_stops_the_run(world: World) -> None:
    # L-17, G4
    began = asyncio.Event()
    ended: list[str] = []

    @step
    async def slow() -> None:
        began.set()
        try:
            await world.clock.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    @workflow
    async def body(ctx: Context) -> str:
        await slow()
        return ctx.id

    async with world.process(body) as app:
        handle = await app.start(body, id="i")
        await began.wait()
        await handle.delete()
        await world.clock.sleep(100)

        with pytest.raises(UnknownInstance):
            await handle.info()
    assert ended == ["cancelled"]


# --- looking at it ------------------------------------------------------------


@workflow
async def progressing(ctx: Context) -> str:
    await ctx.status({"done": 1})
    async with ctx.scope("block"):
        await ctx.step("flaky", flaky, retry=Retry(attempts=2, jitter=0))
    await ctx.receive("a", "b", timeout=100)
    await ctx.status({"done": 2})
    return ctx.id


FAILED: set[str] = set()


async def flaky() -> int:
    me = current_step().instance
    if me not in FAILED:
        FAILED.add(me)
        raise LookupError("not yet")
    return 5


async def test_info_history_and_find_show_a_suspended_and_a_finished_instance(
    world: World,
) -> None:
    # L-18
    FAILED.clear()
    await world.start(progressing)
    pending = await world.process().handle("i").info()
    await world.drive(progressing)
    back_off = await world.process().handle("i").info()
    backing = await world.history()
    await world.later(progressing, 0.2)
    commits = len(world.store.commits)
    waiting = await world.process().handle("i").info()
    entries = await world.history()
    assert len(world.store.commits) == commits
    await world.process().handle("i").send("b")
    await world.drive(progressing)
    done = await world.process().handle("i").info()

    assert (pending.status, pending.workflow) == ("pending", "progressing")
    assert pending.progress is None
    assert (back_off.status, back_off.awaiting) == ("suspended", ())
    assert back_off.wake_at == pytest.approx(START + 0.2)
    [status, retrying] = backing
    assert (status.kind, status.name) == ("status", "status")
    assert (retrying.kind, retrying.name, retrying.status) == (
        "step",
        "flaky",
        "retrying",
    )
    assert (retrying.attempts, retrying.retry_at) == (1, back_off.wake_at)
    assert why(retrying.error) == "LookupError: not yet"

    assert (waiting.status, waiting.awaiting) == ("suspended", ("a", "b"))
    assert waiting.wake_at == pytest.approx(START + 100.2)
    assert waiting.progress == {"done": 1}
    assert [(e.path, e.kind, e.status, e.attempts, e.value) for e in entries] == [
        ([["status", "status", 0]], "status", "completed", 0, None),
        (
            [["scope", "block", 0], ["step", "flaky", 0]],
            "step",
            "completed",
            2,
            5,
        ),
    ]

    assert (done.status, done.wake_at, done.awaiting) == ("completed", None, ())
    assert done.progress == {"done": 2}
    kinds = [(e.kind, e.path[-1][2]) for e in await world.history()]
    assert kinds == [("status", 0), ("step", 0), ("receive", 0), ("status", 1)]


async def test_a_running_instance_is_seen_as_running_from_elsewhere(
    world: World,
) -> None:
    # L-18
    seen: list[Any] = []

    @step
    async def look() -> None:
        elsewhere = world.process()
        commits = len(world.store.commits)
        seen.append((await elsewhere.handle("i").info()).status)
        found = elsewhere.find(status="running", workflow="body")
        seen.append([info.id async for info in found])
        seen.append(len(world.store.commits) - commits)

    @workflow
    async def body(ctx: Context) -> str:
        await look()
        return ctx.id

    await world.start(body)
    await world.drive(body)

    assert seen == ["running", ["i"], 0]


async def test_history_is_in_journal_order_not_in_order_of_names(world: World) -> None:
    # L-18
    async def after(seconds: float) -> None:
        await world.clock.sleep(seconds)

    @workflow
    async def body(ctx: Context) -> str:
        await asyncio.gather(
            ctx.step("a", lambda: after(3)),
            ctx.step("b", lambda: after(1)),
            ctx.step("c", lambda: after(2)),
        )
        return ctx.id

    await world.start(body)
    await world.drive(body)

    assert [entry.name for entry in await world.history()] == ["b", "c", "a"]
    assert [entry.took for entry in await world.history()] == [1, 2, 3]


async def test_find_filters_by_status_and_workflow(world: World) -> None:
    # L-18
    @workflow(name="sleeper")
    async def sleeper(ctx: Context) -> str:
        await ctx.sleep(60)
        return ctx.id

    @workflow(name="quick")
    async def quick(ctx: Context) -> str:
        return ctx.id

    @workflow(name="sad")
    async def sad(ctx: Context) -> str:
        raise LookupError(ctx.id)

    app = world.process(sleeper, quick, sad)
    for made, instance in ((sleeper, "c"), (quick, "b"), (sad, "a"), (quick, "d")):
        await app.start(made, id=instance)
    for instance in ("c", "b", "a"):
        await app.drive(instance)

    async def found(**query: Any) -> list[tuple[str, str]]:
        return [(info.id, info.status) async for info in app.find(**query)]

    commits = len(world.store.commits)
    assert await found() == [
        ("a", "failed"),
        ("b", "completed"),
        ("c", "suspended"),
        ("d", "pending"),
    ]
    assert await found(workflow=quick) == [("b", "completed"), ("d", "pending")]
    assert await found(workflow="quick", status="pending") == [("d", "pending")]
    assert await found(status="failed") == [("a", "failed")]
    assert await found(workflow="nobody") == []
    assert len(world.store.commits) == commits


async def test_an_unknown_id_is_unknown(world: World) -> None:
    # L-18, S27
    handle = world.process().handle("nobody")
    for ask in (handle.info, handle.history, handle.state, handle.result, handle.wake):
        with pytest.raises(UnknownInstance, match="'nobody'"):
            await ask()
    with pytest.raises(UnknownInstance):
        await world.process().drive("nobody")


# --- observers ----------------------------------------------------------------


async def test_observers_hear_each_failure_once_and_after_its_commit(
    world: World,
) -> None:
    # L-19, S28, G2
    events: list[Event] = []
    durable: list[bool] = []
    texts: list[str] = []
    calls: Counter[str] = Counter()

    def observe(event: Event) -> None:
        events.append(event)
        if event.error is not None:
            written = b"".join(b"".join(c.frames) for c in world.store.commits)
            durable.append(event.error.message.encode() in written)

    async def fails_once() -> int:
        calls["once"] += 1
        if calls["once"] == 1:
            raise LookupError("first-of-once")
        return 1

    async def fails_always() -> None:
        calls["always"] += 1
        raise LookupError(f"always-{calls['always']}")

    @workflow
    async def body(ctx: Context) -> None:
        await ctx.step("once", fails_once, retry=QUICK)
        try:
            await ctx.step("always", fails_always, retry=Retry(attempts=2, jitter=0))
        except StepError as error:
            texts.append(error.error.message)
        await ctx.sleep(60)
        raise ValueError("the-end")

    await world.start(body)
    outcomes: list[str] = []
    for _ in range(4):
        outcome = await world.process(body, observers=[observe]).drive("i")
        outcomes.append(outcome.status)
        wake_at = outcome.wake_at or world.clock.now()
        world.clock.advance(max(0.0, wake_at - world.clock.now()))

    assert outcomes == ["suspended"] * 3 + ["failed"]
    failures = [e for e in events if e.kind == "attempt_failed"]
    assert [(e.path, e.attempt, e.final, e.delay, why(e.error)) for e in failures] == [
        ("once[0]", 1, False, 0.2, "LookupError: first-of-once"),
        ("always[0]", 1, False, 0.2, "LookupError: always-1"),
        ("always[0]", 2, True, None, "LookupError: always-2"),
    ]
    ends = [why(e.error) for e in events if e.kind == "failed"]
    assert ends == ["ValueError: the-end"]
    assert durable == [True] * 4
    assert {(e.instance, e.workflow) for e in events} == {("i", "body")}
    completed = [e.path for e in events if e.kind == "step_completed"]
    assert completed == ["once[0]"]
    assert texts == ["always-2"] * 2


async def never(_event: Event) -> None:
    await asyncio.Event().wait()


async def raises_late(_event: Event) -> None:
    await asyncio.sleep(0)
    raise LookupError("an observer's own trouble")


def raises_at_once(_event: Event) -> None:
    raise LookupError("an observer's own trouble")


@pytest.mark.parametrize("observer", [never, raises_late, raises_at_once])
async def test_an_observer_cannot_harm_or_delay_an_instance(
    world: World,
    observer: Callable[[Event], Awaitable[None] | None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    # L-20, S28
    calls: list[int] = []

    async def once() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise LookupError("x")
        return 7

    @workflow
    async def body(ctx: Context) -> int:
        return await ctx.step("once", once, retry=Retry(first=0.05, jitter=0))

    await world.start(body)
    with caplog.at_level(logging.WARNING, "edgeflow"):
        outcome = await world.process(body, observers=[observer]).drive("i")
        took = world.clock.now() - START
        await world.clock.sleep(5)

    assert (outcome.status, outcome.output) == ("completed", 7)
    assert took == pytest.approx(0.05)
    assert "observer" in caplog.text


async def test_an_attempt_counts_before_an_observer_hears_of_it(world: World) -> None:
    # L-20, G7
    attempts: list[int] = []
    mortal = Mortal(world.store)

    def dies(event: Event) -> None:
        mortal.dead = event.kind == "attempt_failed"

    async def fail() -> None:
        attempts.append(current_step().attempt)
        raise LookupError("x")

    @workflow
    async def body(ctx: Context) -> str:
        try:
            await ctx.step("fail", fail, retry=Retry(attempts=2, first=0.05, jitter=0))
        except StepError as error:
            return f"{ctx.id} {error.attempts}"
        return "no error"

    await world.start(body)
    with pytest.raises(StoreUnavailable):
        await world.process(body, store=mortal, observers=[dies]).drive("i")
    [entry] = await world.history()
    assert (entry.status, entry.attempts) == ("retrying", 1)
    world.clock.advance(60)

    assert (await world.drive(body)).output == "i 2"
    assert attempts[0] == 1
    assert attempts[-1] == 2
    assert len(attempts) <= 3


# --- parking ------------------------------------------------------------------


async def test_a_parked_run_resumes_without_load_or_replay(world: World) -> None:
    # L-21, C-10
    entered: list[str] = []

    @workflow
    async def naps(ctx: Context) -> str:
        entered.append(ctx.id)
        await ctx.sleep(60)
        await ctx.receive("m")
        return ctx.id

    async with world.process(naps) as app:
        handle = await app.start(naps, id="i")
        await world.clock.sleep(30)
        loads = world.store.calls.count("load")
        await world.clock.sleep(60)
        await handle.send("m")
        await world.clock.sleep(60)

        assert world.store.calls.count("load") == loads
        assert await handle.result() == "i"
    assert entered == ["i"]


async def test_a_parked_run_that_another_process_took_on_is_replayed(
    world: World,
) -> None:
    # L-21, G4
    entered: list[str] = []

    @step
    async def work(number: int) -> int:
        return number

    def made(where: str) -> Workflow[None, list[int]]:
        @workflow(name="body")
        async def body(ctx: Context) -> list[int]:
            entered.append(where)
            found: list[int] = []
            for number in range(3):
                await ctx.receive("m")
                found.append(await work(number))
            return found

        return body

    here = made("here")
    # It seldom looks around by itself, else it may take the instance first.
    async with world.process(here, poll=1000) as app:
        handle = await app.start(here, id="i")
        await world.clock.sleep(30)
        with world.clock.busy():
            await world.process().handle("i").send("m")
        await world.process(made("elsewhere")).drive("i")
        await handle.send("m")
        await world.clock.sleep(30)
        await handle.send("m")

        assert await handle.result(timeout=10_000) == [0, 1, 2]
    assert entered == ["here", "elsewhere", "here"], "its memory was dropped"
    steps = [e.attempts for e in await world.history() if e.kind == "step"]
    assert steps == [1, 1, 1]


async def test_more_instances_than_are_parked_complete_all_the_same(
    world: World,
) -> None:
    # L-21
    entered: Counter[str] = Counter()

    @workflow
    async def waits(ctx: Context) -> str:
        entered[ctx.id] += 1
        await ctx.receive("m")
        return ctx.id

    ids = ["a", "b", "c", "d", "e"]
    async with world.process(waits, max_parked=2) as app:
        handles: list[Handle[str]] = []
        for instance in ids:
            handles.append(await app.start(waits, id=instance))
            await world.clock.sleep(5)
        for handle in reversed(handles):
            await handle.send("m")
            await world.clock.sleep(5)

        assert [await handle.result(timeout=100) for handle in handles] == ids
    assert entered == {"a": 2, "b": 2, "c": 2, "d": 1, "e": 1}


# --- result -------------------------------------------------------------------


async def test_a_result_that_is_not_there_in_time_leaves_the_instance_alone(
    world: World,
) -> None:
    # L-22
    @workflow
    async def waits(ctx: Context) -> str:
        await ctx.receive("m")
        return ctx.id

    await world.start(waits)
    await world.drive(waits)
    frames, before = await world.frames(), world.clock.now()

    with pytest.raises(TimeoutError, match="'i'"):
        await world.process(waits).handle("i").result(timeout=1)

    assert world.clock.now() - before == pytest.approx(1)
    assert await world.frames() == frames
    await world.process().handle("i").send("m")
    assert (await world.drive(waits)).output == "i"


async def test_a_result_waits_for_another_process(world: World) -> None:
    # L-22
    @workflow
    async def naps(ctx: Context) -> str:
        await ctx.sleep(60)
        return ctx.id

    async with world.process(naps) as app:
        await app.start(naps, id="i")

        assert await world.process(naps).handle("i").result(timeout=1000) == "i"


async def test_a_result_of_a_failed_instance_carries_the_error_of_its_body(
    world: World,
) -> None:
    # L-22, H-04, S27
    async def fail() -> None:
        raise LookupError("x")

    @workflow
    async def fails(ctx: Context) -> None:
        await ctx.step("fail", fail, retry=Retry(attempts=1))

    await world.start(fails)
    await world.drive(fails)

    with pytest.raises(WorkflowFailed) as caught:
        await world.process().handle("i").result()

    assert caught.value.instance == "i"
    assert caught.value.error.type == "edgeflow.errors.StepError"
    assert "'fail'" in caught.value.error.message
    assert "LookupError: x" in caught.value.error.message


async def test_a_result_of_a_blocked_instance_says_why(world: World) -> None:
    # L-22, S27
    @workflow
    async def breaks(ctx: Context) -> str:
        asyncio.get_running_loop().run_in_executor(None, print)
        return ctx.id

    await world.start(breaks)
    await world.drive(breaks)

    with pytest.raises(WorkflowBlocked, match="run_in_executor") as caught:
        await world.process().handle("i").result()
    assert caught.value.instance == "i"


# --- divergence ---------------------------------------------------------------


CALLS: Counter[str] = Counter()


@step
async def one() -> int:
    CALLS["one"] += 1
    return 1


@step
async def two() -> int:
    CALLS["two"] += 1
    return 2


@step
async def three() -> int:
    CALLS["three"] += 1
    return 3


def deployment(
    *parts: Callable[[Context], Awaitable[object]],
) -> Workflow[None, list[Any]]:
    """A version of one workflow that does these things in turn."""

    @workflow(name="deployed")
    async def body(ctx: Context) -> list[Any]:
        return [await part(ctx) for part in parts]

    return body


async def sleep(ctx: Context) -> None:
    await ctx.sleep(60)


async def do_one(_ctx: Context) -> int:
    return await one()


async def do_two(_ctx: Context) -> int:
    return await two()


async def do_three(_ctx: Context) -> int:
    return await three()


async def do_renamed(_ctx: Context) -> int:
    return await one.using(name="uno")()


async def scoped_two(ctx: Context) -> int:
    async with ctx.scope("block"):
        return await two()


async def scoped_nothing(ctx: Context) -> int:
    async with ctx.scope("block"):
        return 0


async def sleep_as_one(ctx: Context) -> None:
    await ctx.sleep(1, name="one")


async def receive_as_one(ctx: Context) -> None:
    await ctx.receive("m", name="one")


async def stored(world: World, *parts: Callable[[Context], Awaitable[object]]) -> None:
    """Let the old deployment get to its sleep, and let the sleep be over."""
    CALLS.clear()
    old = deployment(*parts)
    await world.start(old)
    assert (await world.process(old, version="1").drive("i")).status == "suspended"
    CALLS.clear()
    world.clock.advance(60)


DIVERGENCES = {
    # K-01
    "renamed": ((do_one, sleep), (do_renamed, sleep), "one[0]"),
    "removed at the end of the root": (
        (do_one, do_two, sleep),
        (do_one, sleep),
        "two[0]",
    ),
    "removed at the end of a scope": (
        (scoped_two, sleep),
        (scoped_nothing, sleep),
        "block[0] > two[0]",
    ),
    "all removed": ((do_one, sleep), (), "one[0]"),
    # K-02
    "inserted before": ((do_one, sleep), (do_three, do_one, sleep), "one[0]"),
    "swapped": ((do_one, do_two, sleep), (do_two, do_one, sleep), "one[0]"),
    # K-03
    "a sleep instead": ((do_one, sleep), (sleep_as_one, sleep), "one[0]"),
    "a receive instead": ((do_one, sleep), (receive_as_one, sleep), "one[0]"),
}


@pytest.mark.parametrize("case", DIVERGENCES)
async def test_code_that_does_not_ask_for_what_is_recorded_diverges_and_runs_nothing(
    world: World, case: str
) -> None:
    # K-01, K-02, K-03, S12, G9, G13
    old, new, path = DIVERGENCES[case]
    await stored(world, *old)

    outcome = await world.process(deployment(*new), version="2").drive("i")

    reason = blocked_reason(outcome)
    assert outcome.error is not None
    assert outcome.error.type == "edgeflow.errors.HistoryDiverged"
    assert path in reason
    assert "the journal holds" in reason
    assert "the code asks for" in reason
    assert "Put the old operation back" in reason
    assert CALLS == {}, "no function is entered"


@pytest.mark.parametrize(
    ("new", "kind"), [(sleep_as_one, "sleep"), (receive_as_one, "receive")]
)
async def test_another_kind_of_operation_diverges_and_names_both(
    world: World, new: Callable[[Context], Awaitable[object]], kind: str
) -> None:
    # K-03
    await stored(world, do_one, sleep)

    reason = blocked_reason(await world.drive(deployment(new, sleep)))

    assert "holds a step" in reason
    assert f"asks for a {kind}" in reason


async def test_a_step_added_after_all_recorded_ones_runs(world: World) -> None:
    # K-02
    await stored(world, do_one, sleep)

    outcome = await world.drive(deployment(do_one, sleep, do_three))

    assert outcome.output == [1, None, 3]
    assert CALLS == {"three": 1}


async def swallow(ctx: Context) -> str:
    try:
        await one.using(name="uno")()
    except Exception:
        await three()
    return ctx.id


async def swallow_everything(ctx: Context) -> str:
    with suppress(BaseException):
        await one.using(name="uno")()
    with suppress(BaseException):
        await three()
    return ctx.id


async def gathered(_ctx: Context) -> object:
    found = await asyncio.gather(two(), one.using(name="uno")())
    await three()
    return found


async def gathered_exceptions(_ctx: Context) -> object:
    found = await asyncio.gather(two(), one.using(name="uno")(), return_exceptions=True)
    await three()
    return [repr(each) for each in found]


async def swallowed_kind(ctx: Context) -> str:
    try:
        await ctx.sleep(1, name="one")
    except Exception:
        await three()
    return ctx.id


async def gathered_kind(ctx: Context) -> object:
    found = await asyncio.gather(
        two(), ctx.sleep(1, name="one"), return_exceptions=True
    )
    await three()
    return [repr(each) for each in found]


@pytest.mark.parametrize(
    "new",
    [
        swallow,
        swallow_everything,
        gathered,
        gathered_exceptions,
        swallowed_kind,
        gathered_kind,
    ],
)
async def test_divergence_is_not_swallowed(
    world: World, new: Callable[[Context], Awaitable[object]]
) -> None:
    # K-06, S5, G13
    await stored(world, do_one, do_two, sleep)

    outcome = await world.drive(deployment(new, sleep))

    assert "differ at" in blocked_reason(outcome)
    assert CALLS == {}, "no later operation runs"


async def test_a_body_error_that_is_swallowed_comes_again_and_blocks(
    world: World,
) -> None:
    # K-06, S5
    caught: list[str] = []

    @workflow
    async def body(ctx: Context) -> str:
        for _ in range(3):
            try:
                if caught:
                    await three()
                else:
                    current_step()
            except BodyError as error:
                caught.append(str(error))
        return ctx.id

    CALLS.clear()
    await world.start(body)
    outcome = await world.drive(body)

    assert blocked_reason(outcome) in caught[0]
    assert len(caught) == 3
    assert CALLS == {}


async def test_blocking_changes_no_entry_and_is_not_due(world: World) -> None:
    # K-07, G13
    await stored(world, do_one, sleep)
    before = await world.history()
    commits = len(world.store.commits)
    changed = deployment(do_two, sleep)

    outcome = await world.process(changed, version="2").drive("i")
    reason = blocked_reason(outcome)

    written = [commit.status for commit in world.store.commits[commits:]]
    assert written == ["running", "blocked"]
    assert await world.history() == before
    info = await world.process().handle("i").info()
    assert (info.status, why(info.error)) == (
        "blocked",
        f"edgeflow.errors.HistoryDiverged: {reason}",
    )
    assert info.wake_at is None
    await world.process().handle("i").send("m", 1, id="m1")
    world.clock.advance(10_000)
    assert await world.process(changed, version="2").run_due() == []
    assert [m.id for m in await world.store.unread("i")] == ["m1"]
    assert [c.status for c in world.store.commits[commits:]] == written


async def test_a_blocked_instance_goes_on_under_another_version_only(
    world: World,
) -> None:
    # K-08, S29, G13
    await stored(world, do_one, sleep)
    entered: list[str] = []

    async def enter(ctx: Context) -> None:
        entered.append(ctx.id)

    wrong, right = deployment(enter, do_two, sleep), deployment(enter, do_one, sleep)
    first = await world.process(wrong, version="2").drive("i")
    assert entered == ["i"]
    commits = len(world.store.commits)

    again = await world.process(right, version="2").drive("i")
    unversioned = await world.process(right).drive("i")

    assert again == first
    assert unversioned == first
    assert entered == ["i"]
    assert len(world.store.commits) == commits

    corrected = await world.process(right, version="3").drive("i")
    assert corrected.output == [None, 1, None]
    assert CALLS == {}
    assert (await world.process().handle("i").info()).error is None


async def test_without_versions_a_new_deployment_stays_blocked(world: World) -> None:
    # K-08, S29
    CALLS.clear()
    await world.start(deployment(do_one, sleep))
    await world.drive(deployment(do_one, sleep))
    world.clock.advance(60)
    first = await world.drive(deployment(do_two, sleep))
    assert first.status == "blocked"

    assert await world.drive(deployment(do_one, sleep)) == first
    assert CALLS == {"one": 1}


async def test_an_unknown_workflow_blocks_until_it_is_deployed(world: World) -> None:
    # K-09, S5, G13
    await stored(world, do_one, sleep)

    without = world.process(version="2")
    outcome = await without.drive("i")

    assert "'deployed'" in blocked_reason(outcome)
    corrected = await world.process(deployment(do_one, sleep), version="3").drive("i")
    assert corrected.output == [1, None]
    assert CALLS == {}


async def test_a_value_that_todays_annotation_refuses_blocks_and_says_where(
    world: World,
) -> None:
    # K-09, S5, G13
    calls: list[int] = []

    def made(kind: Any) -> Workflow[None, list[Any]]:
        async def load() -> Any:
            calls.append(1)
            return [1]

        load.__annotations__["return"] = kind

        async def part(ctx: Context) -> object:
            return await ctx.step("load", load)

        return deployment(part, sleep)

    await world.start(made(list[int]))
    await world.process(made(list[int]), version="1").drive("i")
    world.clock.advance(60)

    outcome = await world.process(made(list[str]), version="2").drive("i")

    reason = blocked_reason(outcome)
    assert "load[0]" in reason
    assert "$[0]" in reason
    assert "str" in reason
    corrected = await world.process(made(list[int]), version="3").drive("i")
    assert corrected.output == [[1], None]
    assert calls == [1]


# --- replay -------------------------------------------------------------------


class Log:
    """Stands for structlog."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, line: str, turn: int) -> None:
        self.lines.append(f"{line} {turn}")


async def test_replay_gives_the_same_values_and_is_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # K-16, G9
    log = Log()
    seen: list[list[Any]] = []
    replaying: list[list[bool]] = []
    heard: list[list[str]] = []
    statuses: list[str] = []

    def bound(**_values: object) -> Log:
        return log

    monkeypatch.setattr(edgeflow.context, "logger", bound)

    @step
    async def draw() -> float:
        return random.random()

    @workflow
    async def body(ctx: Context) -> str:
        facts: list[Any] = []
        flags: list[bool] = []
        seen.append(facts)
        replaying.append(flags)
        for turn in range(3):
            flags.append(ctx.replaying)
            ctx.log.info("turn", turn=turn)
            facts += [await draw(), ctx.now(), ctx.uuid(), ctx.random.random()]
            await ctx.sleep(60)
        flags.append(ctx.replaying)
        return ctx.id

    await world.start(body)
    for jump in (60, 5000, 60, 0):
        events: list[str] = []
        heard.append(events)

        def observe(event: Event, events: list[str] = events) -> None:
            events.append(event.kind)

        outcome = await world.process(body, observers=[observe]).drive("i")
        statuses.append(outcome.status)
        world.clock.advance(jump)

    assert statuses == ["suspended"] * 3 + ["completed"]
    longest = seen[-1]
    for facts in seen:
        assert facts == longest[: len(facts)]
    assert longest[1::4] == sorted(longest[1::4]), "time never goes back"
    assert log.lines == ["turn 0", "turn 1", "turn 2"]
    assert replaying[0] == [False]
    assert replaying[-1] == [True, True, True, False]
    kinds = [kind for events in heard for kind in events]
    assert kinds.count("step_completed") == 3
    assert kinds[-1] == "completed"


async def test_a_replayed_body_does_not_depend_on_the_hash_seed(
    world: World,
) -> None:
    # K-16, R-10: entries are found by their path, and equal sets are equal bytes
    @step
    async def names() -> set[str]:
        return {"b", "a", "c"}

    @workflow
    async def body(ctx: Context) -> list[str]:
        found = sorted(await names())
        await ctx.sleep(60)
        return found

    await world.start(body)
    await world.drive(body)

    assert b'["a","b","c"]' in b"".join(await world.frames())
    assert (await world.later(body)).output == ["a", "b", "c"]
