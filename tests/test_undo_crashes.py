"""Undo over the ends of processes, and when the store fails (CONFORMANCE I)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    Context,
    Outcome,
    Retry,
    StoreUnavailable,
    Workflow,
    WorkflowFailed,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed, Fault, FaultKind, FaultyStore
from tests.conftest import Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from edgeflow import EntryInfo
    from edgeflow.store import Commit, Committed, Store

undone: list[tuple[int, int]] = []
"""What was undone, at which attempt."""
keys: list[str] = []
during: dict[int, Callable[[], Coroutine[Any, Any, None]]] = {}
"""What happens within an undo, once."""


@step
async def charge(number: int) -> int:
    return number


@charge.undo(retry=Retry(jitter=0))
async def refund(number: int) -> None:
    this = current_step()
    undone.append((number, this.attempt))
    keys.append(this.key)
    this.state[f"undone {number}"] = True
    if number in during:
        await during.pop(number)()


@pytest.fixture(autouse=True)
def _nothing_has_happened_yet() -> None:
    undone.clear()
    keys.clear()
    during.clear()


class World:
    """A database, a clock, and a workflow that fails after three steps."""

    def __init__(self, store: Store) -> None:
        self.store = Shared(store)
        self.clock = VirtualClock()
        self.entered = 0
        self.turns = 0

        @workflow(name="code")
        async def code(ctx: Context) -> None:
            self.entered += 1

            async def turn(number: int) -> int:
                self.turns += 1
                await charge(number)
                if number == 3:
                    raise ValueError("no")
                return number + 1

            await ctx.loop("loop", turn, state=1, prune_every=1)

        self.code: Workflow[None, Any] = code

    def process(self, store: Store | None = None, **settings: Any) -> App:
        return App(
            store or self.store, workflows=[self.code], clock=self.clock, **settings
        )

    async def drive(self, store: Store | None = None) -> Outcome[Any]:
        return await self.process(store).drive("i")

    async def history(self) -> list[EntryInfo]:
        return await self.process().handle("i").history()

    async def status(self) -> str:
        return (await self.process().handle("i").info()).status


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


START, OPEN, STEPS = 1, 1, 3
"""Commits before the first of an undoing."""


@pytest.mark.parametrize("where", ["between", "inside"])
async def test_after_a_crash_undoing_goes_on_where_it_was(
    world: World, where: str
) -> None:
    # I-04 G8
    undo_3 = START + OPEN + STEPS + 2
    plan = [Fault(undo_3, "crash_after")] if where == "between" else []
    mortal = FaultyStore(world.store, plan)

    async def die() -> None:
        mortal.kill()

    during[2] = die
    app = world.process(mortal)
    await app.start(world.code, id="i")
    with pytest.raises((Crashed, StoreUnavailable)):
        await app.drive("i")
    during.clear()
    assert await world.status() == "undoing"
    body = [e for e in await world.history() if e.kind != "undo"]
    counters, before = (world.entered, world.turns), list(undone)

    world.clock.advance(60)
    outcome = await world.drive()

    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error.message == "no"
    assert before == ([(3, 1)] if where == "between" else [(3, 1), (2, 1)])
    assert undone[len(before) :] == [(2, 1), (1, 1)]
    assert (world.entered, world.turns) == counters == (1, 3)
    assert [e for e in await world.history() if e.kind != "undo"] == body
    assert len(set(keys)) == 3  # an undo that ran twice had one key
    statuses = [commit.status for commit in world.store.commits]
    since = statuses.index("undoing")
    assert set(statuses[since:-1]) == {"undoing"}  # the OPEN of the second one too
    assert list(await world.process().handle("i").state()) == [
        "undone 3",
        "undone 2",
        "undone 1",
    ]


@pytest.mark.parametrize("kind", ["crash_before", "crash_after", "tear"])
@pytest.mark.parametrize("write", range(4))
async def test_a_crash_at_any_commit_of_an_undoing_repeats_no_recorded_undo(
    world: World, kind: FaultKind, write: int
) -> None:
    # I-04 I-13 G3 G8
    plan = [Fault(START + OPEN + STEPS + 1 + write, kind)]
    app = world.process(FaultyStore(world.store, plan))
    await app.start(world.code, id="i")
    with pytest.raises((Crashed, StoreUnavailable)):
        await app.drive("i")
    recorded = [e.value for e in await world.history() if e.kind == "undo"]
    before = list(undone)

    world.clock.advance(60)
    outcome = await world.drive()

    assert outcome.status == "failed"
    assert before == [(3, 1), (2, 1), (1, 1)][:write]
    numbers = [number for number, _ in undone[len(before) :]]
    assert numbers == [3, 2, 1][len(recorded) :]


async def test_a_shutdown_cancels_the_running_undo_and_the_next_process_repeats_it(
    world: World,
) -> None:
    # I-05 G1
    events: list[str] = []
    at_work = asyncio.Event()

    async def block() -> None:
        at_work.set()
        try:
            await world.clock.sleep(600)
        finally:
            await world.clock.sleep(0.5)
            events.append("ended")

    async def again() -> None:
        events.append("again")

    during[2] = block
    app = world.process()
    async with app:
        await app.start(world.code, id="i")
        await at_work.wait()
        stopped = world.clock.now()
    assert events == ["ended"]
    assert world.clock.now() - stopped < 10  # grace 8 s, and what it took to heed
    assert await world.status() == "undoing"

    during[2] = again
    outcome = await world.drive()

    assert outcome.status == "failed"
    assert events == ["ended", "again"]
    assert undone == [(3, 1), (2, 1), (2, 1), (1, 1)]


async def test_an_undo_that_is_cut_off_is_due_at_once(world: World) -> None:
    # I-05 G1
    async def block() -> None:
        await world.clock.sleep(600)

    during[2] = block
    await world.process().start(world.code, id="i")
    assert (await world.process().drive("i", deadline=10)).status == "undoing"
    assert undone == [(3, 1), (2, 1)]

    [outcome] = await world.process().run_due()

    assert outcome.status == "failed"
    assert undone == [(3, 1), (2, 1), (2, 1), (1, 1)]


async def test_while_an_undo_backs_off_its_instance_is_not_due(world: World) -> None:
    # I-05 I-06
    async def fail() -> None:
        raise ConnectionError("not yet")

    during[2] = fail
    await world.process().start(world.code, id="i")
    first = await world.drive()
    commits = len(world.store.commits)

    assert (first.status, first.wake_at) == ("undoing", world.clock.now() + 0.2)
    assert await world.drive() == first
    assert await world.process().run_due() == []
    assert len(world.store.commits) == commits

    world.clock.advance(0.2)
    [outcome] = await world.process().run_due()

    assert outcome.status == "failed"
    assert undone == [(3, 1), (2, 1), (2, 2), (1, 1)]


class Failing(Shared):
    """A store that takes no commit of some status while it is down."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.refuses: Callable[[Commit], bool] = lambda _: False

    async def commit(self, instance: str, commit: Commit) -> Committed:
        if self.refuses(commit):
            raise StoreUnavailable("the disk is full")
        return await super().commit(instance, commit)


@pytest.mark.parametrize("at", ["the end", "a step", "the suspension"])
async def test_trouble_with_the_store_undoes_nothing(store: Store, at: str) -> None:
    # I-07 G12
    failing, clock = Failing(store), VirtualClock()

    @workflow
    async def code(ctx: Context) -> str:
        await charge(1)
        await ctx.sleep(60)
        await charge(2)
        return "well"

    def refuses(commit: Commit) -> bool:
        match at:
            case "the end":
                return commit.status == "completed"
            case "a step":
                return b'"charge",1' in commit.frames[-1] and not commit.opens
            case _:
                return commit.status == "suspended"

    async def finish() -> Outcome[Any]:
        while True:
            outcome = await App(failing, workflows=[code], clock=clock).drive("i")
            if outcome.status != "suspended":
                return outcome
            clock.advance(60)

    await App(failing, workflows=[code], clock=clock).start(code, id="i")
    failing.refuses = refuses
    with pytest.raises(StoreUnavailable):
        await finish()
    failing.refuses = lambda _: False
    assert undone == []

    assert (await finish()).output == "well"
    assert undone == []


async def test_a_crash_loop_undoes_nothing_and_goes_on_after_it(world: World) -> None:
    # I-08 G13
    deadly = True

    @workflow(name="code")
    async def code(ctx: Context) -> str:
        await charge(1)
        if deadly:
            stores[-1].kill()
        await charge(2)
        return ctx.id

    stores: list[FaultyStore] = []
    world.code = code
    await world.process().start(code, id="i")
    for _ in range(12):
        stores.append(FaultyStore(world.store))
        try:
            outcome = await world.drive(stores[-1])
        except (Crashed, StoreUnavailable):
            world.clock.advance(60)
        else:
            break
    else:
        pytest.fail("it is never blocked")

    assert outcome.status == "blocked"
    assert undone == []
    deadly = False
    await world.process().handle("i").recover()
    assert (await world.drive()).output == "i"
    assert undone == []


async def test_a_crash_loop_of_an_undo_blocks_and_recovery_goes_on_undoing(
    world: World,
) -> None:
    # I-08 I-12 G13
    await world.process().start(world.code, id="i")
    outcome = None
    for _ in range(12):
        mortal = FaultyStore(world.store)

        async def die(mortal: FaultyStore = mortal) -> None:
            mortal.kill()

        during[2] = die
        try:
            outcome = await world.drive(mortal)
        except (Crashed, StoreUnavailable):
            world.clock.advance(60)
    assert outcome is not None
    assert outcome.status == "blocked"
    during.clear()
    undone.clear()

    await world.process().handle("i").recover()
    outcome = await world.drive()

    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error.message == "no"
    assert undone == [(2, 1), (1, 1)]
    assert world.entered == 1


async def test_failing_takes_one_commit_and_one_for_each_undo(world: World) -> None:
    # I-13 G8 S31
    durable: list[int] = []

    async def look() -> None:
        durable.append(len([e for e in await world.history() if e.kind == "undo"]))

    during.update({3: look, 2: look, 1: look})
    with pytest.raises(WorkflowFailed):
        await world.process().run(world.code, id="i")

    assert durable == [0, 1, 2]
    statuses = [commit.status for commit in world.store.commits]
    assert statuses == ["running"] * 4 + ["undoing"] * 3 + ["failed"]


async def test_cancel_message_and_wake_change_nothing_while_undoing(
    world: World,
) -> None:
    # I-13 G8 S17
    answers: list[bool] = []

    async def disturb() -> None:
        for app in (here, world.process()):
            handle = app.handle("i")
            answers.append(await handle.cancel())
            await handle.send("hello", 1)
        assert await world.process().run_due() == []
        woken.append(asyncio.create_task(here.handle("i").wake()))
        await asyncio.sleep(0)

    woken: list[asyncio.Task[None]] = []
    here = world.process()
    during[2] = disturb
    async with here:
        handle = await here.start(world.code, id="i")
        with pytest.raises(WorkflowFailed):
            await handle.result()
        await asyncio.gather(*woken)

    assert answers == [False, False]
    assert undone == [(3, 1), (2, 1), (1, 1)]
    statuses = [commit.status for commit in world.store.commits]
    assert statuses[-4:] == ["undoing", "undoing", "undoing", "failed"]
    assert statuses.count("undoing") == 3
    assert await world.status() == "failed"


async def test_cancel_and_wake_change_nothing_while_an_undo_backs_off(
    world: World,
) -> None:
    # I-13 S17
    async def fail() -> None:
        raise ConnectionError("not yet")

    during[2] = fail
    await world.process().start(world.code, id="i")
    first = await world.drive()
    commits = len(world.store.commits)
    handle = world.process().handle("i")

    assert not await handle.cancel()
    assert await handle.send("hello")
    await world.process().handle("i").wake()

    assert len(world.store.commits) == commits
    assert await world.drive() == first
    world.clock.advance(1)
    assert (await world.drive()).status == "failed"
