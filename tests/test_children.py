"""Children: made once, heard once, cancelled with who waits for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from edgeflow import (
    App,
    ChildError,
    Context,
    DefinitionError,
    Fenced,
    Info,
    Outcome,
    Retry,
    StoreUnavailable,
    Workflow,
    WorkflowBlocked,
    WorkflowCancelled,
    WorkflowFailed,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed, Fault, FaultyStore
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.conftest import STORES, make_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from edgeflow import Store
    from edgeflow.testing.faults import FaultKind

START = 1_700_000_000.0
DAY = 86_400.0
HOUR = 3_600.0

calls: list[object] = []


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    calls.clear()


@dataclass
class Order:
    id: str
    items: list[str]


@dataclass
class Receipt:
    order: str
    amount: int


@step(retry=Retry(jitter=0))
async def work(value: int) -> int:
    calls.append(value)
    return value


@step
async def charge(amount: int) -> int:
    return amount


@charge.undo
async def refund(amount: int) -> None:
    calls.append(("refunded", amount))


@workflow
async def day(ctx: Context, value: int) -> int:
    """Sleep a day between two steps."""
    await work(value)
    await ctx.sleep(DAY)
    return await work(value + 1)


@workflow
async def broken(_ctx: Context) -> int:
    raise ValueError("out of ink", 7)


@workflow
async def answer(_ctx: Context, value: int) -> int:
    return value


class Kept(RecordingStore):
    """One database that stays open for all processes."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.is_open = False

    async def open(self) -> None:
        if not self.is_open:
            self.is_open = True
            await self.inner.open()

    async def close(self) -> None:
        pass


class World:
    """A database and a clock that outlive every process."""

    def __init__(self, store: Store) -> None:
        self.store = Kept(store)
        self.clock = VirtualClock(START)
        self.workflows: tuple[Workflow[Any, Any], ...] = ()

    def process(self, store: Store | None = None, version: str | None = None) -> App:
        """A fresh process: it knows nothing but what is in the store."""
        return App(
            store or self.store,
            clock=self.clock,
            workflows=self.workflows,
            version=version,
            poll=6 * HOUR,
        )

    async def run_due(self) -> list[Outcome[Any]]:
        return await self.process().run_due()

    async def finish(self, instance: str = "p") -> Info:
        """Look for what is due now and then, in a new process each time."""
        for _ in range(10):
            while await self.run_due():
                pass
            info = await self.process().handle(instance).info()
            if info.status in {"completed", "failed", "cancelled", "blocked"}:
                return info
            self.clock.advance(6 * HOUR)
        pytest.fail("it never ends")

    async def found(self) -> dict[str, Info]:
        return {info.id: info async for info in self.process().find()}

    async def children(self) -> list[Info]:
        return [info for id_, info in (await self.found()).items() if id_ != "p"]

    async def child(self) -> Info:
        (child,) = await self.children()
        return child

    async def unread(self, instance: str) -> list[str]:
        await self.store.open()
        return [message.name for message in await self.store.unread(instance)]

    async def statuses(self, instance: str = "p") -> list[tuple[str, str]]:
        """The kinds of the entries of an instance, and how they ended."""
        history = await self.process().handle(instance).history()
        return [(entry.kind, entry.status) for entry in history]


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def only(*workflows: Workflow[Any, Any]) -> World:
    """A world in memory that knows these workflows."""
    world = World(MemoryStore())
    world.workflows = workflows
    return world


# --- calling and starting -----------------------------------------------------------


@workflow
async def caller(ctx: Context) -> int:
    found = await ctx.call(day, 3)
    return await work(found * 10)


@workflow
async def starter(ctx: Context) -> str:
    return await ctx.start(day, 3)


async def test_a_parent_rests_while_its_child_sleeps(world: World) -> None:
    # D-17 G10
    world.workflows = (caller, day)
    await world.process().start(caller, id="p")
    outcome = await world.process().drive("p")
    child = await world.child()

    assert (outcome.status, outcome.wake_at) == ("suspended", None)
    assert outcome.awaiting == (f"~child/{child.id}",)
    assert (child.workflow, child.status, calls) == ("day", "pending", [])

    (outcome,) = await world.run_due()
    assert (outcome.status, outcome.awaiting) == ("suspended", ())
    assert outcome.wake_at is not None
    assert START + DAY <= outcome.wake_at < START + DAY + 1
    assert await world.run_due() == []
    assert (await world.process().drive("p")).status == "suspended"

    world.clock.advance(outcome.wake_at - world.clock.now())
    assert [o.output for o in await world.run_due()] == [4, 40]
    assert calls == [3, 4, 40]
    assert await world.statuses() == [("call", "completed"), ("step", "completed")]
    assert await world.unread("p") == []


async def test_one_process_runs_parent_and_child_without_a_worker(
    world: World,
) -> None:
    # D-17
    world.workflows = (caller, day)
    assert await world.process().run(caller, id="p") == 40
    assert world.clock.now() == START + DAY
    assert calls == [3, 4, 40]


async def test_a_worker_runs_parent_and_child(world: World) -> None:
    # D-17
    world.workflows = (caller, day)
    async with world.process() as app:
        handle = await app.start(caller, id="p")
        assert await handle.result() == 40
    assert world.clock.now() < START + DAY + 7 * HOUR
    assert calls == [3, 4, 40]


async def by_run(app: App, _: VirtualClock, of: Workflow[None, Any]) -> Any:
    return await app.run(of, id="p")


async def by_worker(app: App, _: VirtualClock, of: Workflow[None, Any]) -> Any:
    async with app:
        handle = await app.start(of, id="p")
        return await handle.result()


async def by_hand(app: App, clock: VirtualClock, of: Workflow[None, Any]) -> Any:
    handle = await app.start(of, id="p")
    while (await handle.info()).status != "completed":
        await app.run_due()
        clock.advance(6 * HOUR)
    return await handle.result()


Way: TypeAlias = "Callable[[App, VirtualClock, Workflow[None, Any]], Awaitable[Any]]"


async def restarted(
    world: World, way: Way, of: Workflow[None, Any], fault: Fault
) -> tuple[Any, FaultyStore]:
    """Run a workflow with one fault, in another process again and again."""
    faulty = FaultyStore(world.store, [fault], clock=world.clock)
    store: Store = faulty
    for _ in range(5):
        try:
            return await way(world.process(store), world.clock, of), faulty
        except (Crashed, Fenced, StoreUnavailable):
            store = world.store
    pytest.fail("it never ends")


CRASHES = ("crash_before", "crash_after")
FAULTS = (*CRASHES, "fail_before", "fail_after", "fence")


@pytest.mark.parametrize("way", [by_run, by_worker, by_hand])
@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        (backend, kind)
        for backend in STORES
        for kind in (FAULTS if backend == "memory" else CRASHES)
    ],
)
async def test_a_crash_at_any_write_leaves_one_child_that_is_heard_once(
    backend: str, kind: FaultKind, way: Way, tmp_path: Path
) -> None:
    # D-17 D-18 G8 G10 G2
    for of, output in ((caller, 40), (starter, None)):
        at, struck = 0, True
        while struck:
            at += 1
            calls.clear()
            folder = tmp_path / f"{of.name}{at}"
            folder.mkdir()
            world = World(make_store(backend, folder))
            world.workflows = (caller, starter, day)
            found, faulty = await restarted(world, way, of, Fault(at, kind))
            struck = bool(faulty.struck)
            child = await world.child()

            assert found in {output, child.id}, faulty
            assert (await world.finish(child.id)).status == "completed", faulty
            assert await world.unread("p") == [], faulty
            assert list(dict.fromkeys(calls)) == [3, 4, *([40] if output else [])]
            kinds = ["call", "step"] if output else ["start"]
            assert await world.statuses() == [(k, "completed") for k in kinds], faulty
            await world.store.inner.close()
        assert at > 8 - 3 * (of is starter)


async def test_start_gives_the_id_of_one_child_without_waiting(world: World) -> None:
    # D-18 G2
    @workflow
    async def parent(ctx: Context) -> list[str]:
        first = await ctx.start(day, 3)
        calls.append(await ctx.start(day, 5, id="the fifth"))
        await ctx.sleep(60)
        return [first, await ctx.start(day, 7)]

    world.workflows = (parent, day)
    await world.process().start(parent, id="p")
    outcome = await world.process().drive("p")
    assert (outcome.status, outcome.wake_at) == ("suspended", START + 60)
    assert calls == ["the fifth"]
    born = {child.id: child.status for child in await world.children()}
    assert len(born) == 2
    assert set(born.values()) == {"pending"}

    world.clock.advance(60)
    outcome = await world.process().drive("p")
    found: list[str] = outcome.output or []
    first, last = found
    assert set(await world.found()) == {"p", "the fifth", first, last}
    assert born.keys() == {first, "the fifth"}
    assert (await world.finish(first)).output == 4


async def test_a_failing_child_comes_as_an_error_the_same_on_replay(
    world: World,
) -> None:
    # D-18 H-10 S26 G8
    seen: list[object] = []

    @workflow
    async def parent(ctx: Context) -> str:
        try:
            await ctx.call(broken)
        except ChildError as error:
            known = error.error
            seen.append((type(error), str(error), error.kind, error.workflow, error.id))
            seen.append((known.type, known.message, known.data))
        await ctx.sleep(60)
        return "went on"

    world.workflows = (parent, broken)
    await world.process().start(parent, id="p")
    info = await world.finish()
    child = await world.child()
    assert (info.output, child.status) == ("went on", "failed")
    text = (
        f"child '{child.id}' of workflow 'broken' gave no result (failed): "
        "ValueError: ('out of ink', 7)"
    )
    assert seen == 2 * [
        (ChildError, text, "failed", "broken", child.id),
        ("ValueError", "('out of ink', 7)", ["out of ink", 7]),
    ]
    assert await world.statuses() == [("call", "failed"), ("sleep", "completed")]


async def test_a_failure_that_nobody_catches_fails_the_parent(world: World) -> None:
    # D-18 S26
    @workflow
    async def parent(ctx: Context) -> int:
        return await ctx.call(broken)

    world.workflows = (parent, broken)
    with pytest.raises(WorkflowFailed, match="out of ink") as caught:
        await world.process().run(parent, id="p")
    assert caught.value.error.type == "edgeflow.errors.ChildError"


async def test_a_handler_around_a_call_does_not_see_its_suspension() -> None:
    # H-08 G8
    @workflow
    async def parent(ctx: Context) -> int:
        try:
            return await ctx.call(day, 1)
        except Exception as error:
            calls.append(error)
            raise

    world = only(parent, day)
    await world.process().start(parent, id="p")
    assert (await world.finish()).output == 2
    assert calls == [1, 2]


async def test_inputs_and_results_have_their_types_by_name_they_are_plain() -> None:
    # D-18 G9
    @workflow
    async def sell(_ctx: Context, order: Order) -> Receipt:
        calls.append(order)
        return Receipt(order.id, len(order.items))

    @workflow
    async def parent(ctx: Context) -> list[Any]:
        order = Order("o", ["a", "b"])
        found = await ctx.call(sell, order)
        plain = await ctx.call("sell", {"id": "o", "items": []})
        await ctx.sleep(60)
        assert isinstance(found, Receipt)
        return [found.amount, plain]

    world = only(parent, sell)
    assert await world.process().run(parent) == [2, {"order": "o", "amount": 0}]
    assert calls == [Order("o", ["a", "b"]), Order("o", [])]


async def test_children_have_children_and_many_at_once() -> None:
    # D-17
    @workflow
    async def tree(ctx: Context, depth: int) -> int:
        if depth == 0:
            await ctx.sleep(60)
            return 1
        found = await asyncio.gather(*(ctx.call(tree, depth - 1) for _ in range(3)))
        return sum(found)

    world = only(tree)
    assert await world.process().run(tree, 3, id="p") == 27
    assert len(await world.children()) == 3 + 9 + 27
    assert world.clock.now() == START + 60


async def test_what_was_started_answers_while_only_its_parent_is_attended() -> None:
    # D-18
    @workflow
    async def pinger(ctx: Context, to: str) -> None:
        await ctx.sleep(60)
        await ctx.send(to, "ping")

    @workflow
    async def parent(ctx: Context) -> str:
        await ctx.start(pinger, ctx.id)
        await ctx.sleep(1)
        return (await ctx.receive("ping")).name

    world = only(parent, pinger)
    await world.process().start(parent, id="p")
    await world.process().drive("p")
    assert await world.process().run(parent, id="p") == "ping"


async def test_a_start_beside_a_step_costs_its_parent_no_commit() -> None:
    # M-05
    @workflow
    async def alone(_ctx: Context) -> int:
        return await work(1)

    @workflow
    async def both(ctx: Context) -> int:
        await ctx.start(answer, 1)
        await ctx.start(answer, 2)
        return await work(1)

    counts: list[int] = []
    for of in (alone, both):
        world = only(of, answer)
        assert await world.process().run(of, id="p") == 1
        names = [commit.workflow for commit in world.store.commits]
        counts.append(names.count(of.name))
    assert counts == [3, 3]


# --- ids ------------------------------------------------------------------------------


async def test_a_taken_id_is_an_error_to_call_and_no_matter_to_start(
    world: World,
) -> None:
    # S26
    seen: list[object] = []

    @workflow
    async def parent(ctx: Context) -> str:
        try:
            await ctx.call(answer, 1, id="taken")
        except ChildError as error:
            seen.append((error.kind, error.id, error.error.type))
        found = await ctx.start(answer, 1, id="taken")
        await ctx.sleep(60)
        return found

    world.workflows = (parent, answer, day)
    await world.process().start(day, 8, id="taken")
    await world.process().start(parent, id="p")
    assert (await world.finish()).output == "taken"
    assert seen == 2 * [("exists", "taken", "edgeflow.errors.AlreadyExists")]
    assert (await world.finish("taken")).output == 9


async def test_one_id_called_twice_is_one_child_and_one_error() -> None:
    # S26
    @workflow
    async def parent(ctx: Context) -> list[object]:
        calls = (ctx.call(day, n, id="one") for n in (1, 5))
        first, second = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(second, ChildError)
        return [first, second.kind]

    world = only(parent, day)
    assert await world.process().run(parent, id="p") == [2, "exists"]


async def test_after_a_rewind_a_new_child_has_a_new_id(world: World) -> None:
    # L-15 S15 S16
    world.workflows = (caller, day)
    await world.process().start(caller, id="p")
    assert (await world.finish()).output == 40
    first = await world.child()

    await world.process().handle("p").rewind([["call", "call", 0]])
    assert (await world.finish()).output == 40
    found = await world.children()
    assert len(found) == 2
    assert first.id in {child.id for child in found}
    assert [child.status for child in found] == ["completed", "completed"]
    assert calls == [3, 4, 40, 3, 4, 40]


@pytest.mark.parametrize("ends_first", [True, False])
async def test_after_a_rewind_a_child_of_a_given_id_is_taken_up_again(
    world: World, *, ends_first: bool
) -> None:
    # S15 S16
    @workflow
    async def parent(ctx: Context) -> int:
        return await ctx.call(day, 3, id="named")

    world.workflows = (parent, day)
    await world.process().start(parent, id="p")
    if ends_first:
        assert (await world.finish()).output == 4
    else:
        await world.process().drive("p")
        await world.run_due()
    await world.process().handle("p").rewind([["call", "call", 0]])
    assert (await world.finish()).output == 4
    assert calls == [3, 4]


@pytest.mark.parametrize("bad", ["", "~own", "a\0b", "x" * 256, 7])
async def test_an_id_that_cannot_be_one_is_refused_by_name(bad: Any) -> None:
    # S5 G13
    @workflow
    async def parent(ctx: Context) -> int:
        return await ctx.call(answer, 1, id=bad)

    world = only(parent, answer)
    with pytest.raises(WorkflowBlocked, match=r"id|an instance"):
        await world.process().run(parent, id="p")
    assert await world.children() == []


async def test_names_of_messages_that_are_edgeflows_own_are_refused() -> None:
    # D-18
    @workflow
    async def parent(ctx: Context) -> list[str]:
        seen: list[str] = []
        for word in (
            lambda: ctx.receive("~child/x"),
            lambda: ctx.receive_many("ok", "~cancel/x"),
            lambda: ctx.send("x", "~cancel/x"),
        ):
            try:
                await word()
            except DefinitionError as error:
                seen.append(str(error))
        return seen

    world = only(parent)
    said = await world.process().run(parent, id="p")
    assert ["must not start with '~'" in text for text in said] == 3 * [True]
    handle = world.process().handle("q")
    with pytest.raises(DefinitionError, match="must not start with '~'"):
        await handle.send("~cancel/x")
    with pytest.raises(DefinitionError, match="must not start with '~'"):
        await handle.send("ok", id="~end/x")
    with pytest.raises(DefinitionError, match="must not start with '~'"):
        await handle.ask("~child/x", timeout=1)


# --- inputs that cannot be stored ----------------------------------------------------


@pytest.mark.parametrize("word", ["call", "start"])
@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (object(), r"input of child \w+\[0\].*object"),
        ("x" * 9_000_000, "9000002 bytes"),
    ],
)
async def test_an_input_that_cannot_be_stored_blocks_until_the_code_is_mended(
    bad: object, told: str, word: str, world: World
) -> None:
    # R-07 S5 G13
    values: list[Any] = [bad]

    @workflow
    async def parent(ctx: Context) -> Any:
        await work(1)
        if word == "call":
            return await ctx.call("size", values[-1])
        await ctx.start("size", values[-1])
        return 2

    @workflow
    async def size(_ctx: Context, value: Any) -> int:
        return len(value)

    world.workflows = (parent, size)
    with pytest.raises(WorkflowBlocked, match=told):
        await world.process(version="1").run(parent, id="p")
    assert await world.children() == []

    values.append("ok")
    assert await world.process(version="2").run(parent, id="p") == 2
    assert calls == [1]


async def test_a_result_that_does_not_fit_blocks_the_parent() -> None:
    # S5 G13
    async def old(_ctx: Context) -> str:
        return "text"

    async def new(_ctx: Context) -> int:
        return 1

    called = workflow(name="child")(new)

    @workflow
    async def parent(ctx: Context) -> int:
        return await ctx.call(called)

    world = only(parent, workflow(name="child")(old))
    with pytest.raises(WorkflowBlocked, match=r"call\[0\] does not fit"):
        await world.process().run(parent, id="p")


# --- who waits no longer cancels ------------------------------------------------------


@workflow
async def family(ctx: Context) -> int:
    await ctx.start(day, 100, id="started")
    return await ctx.call(day, 200, id="called")


async def test_a_cancelled_parent_cancels_what_it_called_not_what_it_started(
    world: World,
) -> None:
    # D-18 S26
    world.workflows = (family, day)
    await world.process().start(family, id="p")
    await world.process().drive("p")
    await world.run_due()
    assert await world.process().handle("p").cancel()
    await world.run_due()
    await world.run_due()

    found = {id_: info.status for id_, info in (await world.found()).items()}
    assert found == {"p": "cancelled", "called": "cancelled", "started": "suspended"}
    assert (await world.finish("started")).output == 101
    assert sorted(map(str, calls)) == ["100", "101", "200"]
    assert await world.unread("p") == await world.unread("called") == []


@pytest.mark.parametrize("backend", STORES)
@pytest.mark.parametrize("kind", ["crash_before", "crash_after"])
async def test_a_crash_at_any_write_of_a_cancellation_loses_nothing(
    backend: str, kind: FaultKind, tmp_path: Path
) -> None:
    # D-18 S26 G3
    async def cancelled(app: App, clock: VirtualClock) -> None:
        await app.handle("p").cancel()
        for _ in range(3):
            await app.run_due()
            clock.advance(60)

    at, struck = 0, True
    while struck:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        world = World(make_store(backend, folder))
        world.workflows = (family, day)
        await world.process().start(family, id="p")
        await world.process().drive("p")
        await world.run_due()
        faulty = FaultyStore(world.store, [Fault(at, kind)], clock=world.clock)
        try:
            await cancelled(world.process(faulty), world.clock)
        except (Crashed, StoreUnavailable):
            await cancelled(world.process(), world.clock)
        struck = bool(faulty.struck)
        found = {id_: i.status for id_, i in (await world.found()).items()}
        assert found["p"] == found["called"] == "cancelled", faulty
        assert found["started"] == "suspended", faulty
        await world.store.inner.close()
    assert at > 5


async def test_a_worker_cancels_the_family_while_it_runs_it(world: World) -> None:
    # D-18 S26
    world.workflows = (family, day)
    async with world.process() as app:
        handle = await app.start(family, id="p")
        await world.clock.sleep(60)
        assert await handle.cancel()
        with pytest.raises(WorkflowCancelled):
            await handle.result()
        with pytest.raises(WorkflowCancelled):
            await app.handle("called").result()
        assert (await app.handle("started").info()).status == "suspended"


async def test_a_blocked_parent_that_is_cancelled_cancels_what_it_called() -> None:
    # S17 S26
    async def other(ctx: Context) -> None:
        await ctx.sleep(1)

    world = only(family, day)
    await world.process().start(family, id="p")
    await world.process().drive("p")
    await world.run_due()
    world.workflows = (workflow(name="family")(other), day)
    await world.process().handle("started").send("news")
    await world.process().handle("p").cancel()
    await world.run_due()
    await world.run_due()
    found = {id_: info.status for id_, info in (await world.found()).items()}
    assert found == {"p": "cancelled", "called": "cancelled", "started": "suspended"}


async def test_a_failing_parent_cancels_what_it_still_waits_for(world: World) -> None:
    # S26
    @workflow
    async def parent(ctx: Context) -> None:
        async def late() -> None:
            await ctx.sleep(5)
            raise ValueError("late")

        await asyncio.gather(late(), ctx.call(day, 1))

    world.workflows = (parent, day)
    await world.process().start(parent, id="p")
    assert (await world.finish()).status == "failed"
    await world.run_due()
    assert (await world.child()).status == "cancelled"
    assert await world.statuses() == [("sleep", "completed"), ("call", "cancelled")]


async def in_race(ctx: Context) -> object:
    return (await ctx.race(call=ctx.call(day, 1), sleep=ctx.sleep(5))).name


async def in_timeout(ctx: Context) -> object:
    try:
        async with asyncio.timeout(5):
            return await ctx.call(day, 1)
    except TimeoutError:
        return "sleep"


async def in_group(ctx: Context) -> object:
    async def late() -> None:
        await ctx.sleep(5)
        raise KeyError

    async def group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.call(day, 1))
            group.create_task(late())

    try:
        await group()
    except ExceptionGroup:
        return "sleep"
    return None


@pytest.mark.parametrize("body", [in_race, in_timeout, in_group])
async def test_a_child_that_is_waited_for_no_longer_is_cancelled(
    body: Callable[[Context], Awaitable[object]], world: World
) -> None:
    # S26 E-08 E-17 E-18 G8
    seen: list[object] = []

    @workflow
    async def parent(ctx: Context) -> object:
        seen.append(await body(ctx))
        await ctx.sleep(60)
        return seen[-1]

    world.workflows = (parent, day)
    await world.process().start(parent, id="p")
    await world.process().drive("p")
    await world.run_due()
    world.clock.advance(5)
    await world.process().drive("p")
    child = await world.child()
    (ended,) = await world.run_due()
    assert ended.status == "cancelled"
    assert ("call", "cancelled") in await world.statuses()

    assert (await world.finish()).output == "sleep"
    assert seen == ["sleep", "sleep"]
    assert calls == [1]
    assert await world.unread("p") == await world.unread(child.id) == []


async def test_a_child_that_nobody_waited_for_long_enough_is_never_made() -> None:
    # S26
    @workflow
    async def parent(ctx: Context) -> str:
        found = await ctx.race(call=ctx.call(day, 1), now=ctx.status(1))
        await work(7)
        return found.name

    world = only(parent, day)
    assert await world.process().run(parent, id="p") == "now"
    assert await world.children() == []
    assert calls == [7]


async def test_a_child_that_is_cancelled_otherwise_is_an_error(world: World) -> None:
    # S26
    @workflow
    async def parent(ctx: Context) -> str:
        try:
            await ctx.call(day, 1, id="c")
        except ChildError as error:
            return f"{error.kind}: {error.error.message}"
        return "none"

    world.workflows = (parent, day)
    await world.process().start(parent, id="p")
    await world.process().drive("p")
    await world.run_due()
    assert await world.process().handle("c").cancel()
    info = await world.finish()
    assert info.output == "cancelled: instance 'c' was cancelled"


async def test_a_step_that_a_cancelled_child_runs_is_cancelled_with_it() -> None:
    # S26 E-06
    clock = VirtualClock(START)

    @step
    async def long() -> None:
        try:
            await clock.sleep(HOUR)
        except asyncio.CancelledError:
            calls.append(clock.now() - START)
            raise

    @workflow
    async def busy(_ctx: Context) -> None:
        await long()

    @workflow
    async def parent(ctx: Context) -> None:
        await ctx.race(call=ctx.call(busy), sleep=ctx.sleep(60))
        await ctx.sleep(60)

    world = only(parent, busy)
    world.clock = clock
    await world.process().run(parent, id="p")
    assert [int(str(at).split(".")[0]) for at in calls] == [60]
    assert (await world.child()).status == "cancelled"


async def test_a_child_that_is_cancelled_before_it_ran_runs_no_step() -> None:
    # S26
    @workflow
    async def parent(ctx: Context) -> None:
        await ctx.race(call=ctx.call(day, 1), sleep=ctx.sleep(60))

    world = only(parent, day)
    await world.process().start(parent, id="p")
    await world.process().drive("p")
    assert (await world.child()).status == "pending"
    world.clock.advance(60)
    assert (await world.process().drive("p")).status == "completed"
    assert [outcome.status for outcome in await world.run_due()] == ["cancelled"]
    assert calls == []


async def test_a_child_that_a_dead_process_ran_is_taken_over_in_the_end() -> None:
    # D-17 G10
    world = only(caller, day)
    await world.process().start(caller, id="p")
    await world.process().drive("p")
    child = (await world.child()).id
    died = FaultyStore(world.store, [Fault(2, "crash_after")], clock=world.clock)
    with pytest.raises((Crashed, StoreUnavailable)):
        await world.process(died).drive(child)
    assert (await world.child()).status == "running"
    assert await world.process().run(caller, id="p") == 40
    assert calls == [3, 4, 40]


async def test_an_eviction_cancels_no_child(world: World) -> None:
    # E-20 S26 G1
    @workflow
    async def patient(ctx: Context) -> str:
        await work(1)
        return str((await ctx.receive("go")).body)

    @workflow
    async def parent(ctx: Context) -> object:
        await ctx.race(a=ctx.call(patient, id="a"), b=ctx.call(patient, id="b"))
        return await ctx.call(patient, id="c")

    world.workflows = (parent, patient)
    async with world.process() as app:
        await app.start(parent, id="p")
        await world.clock.sleep(60)
    for name in ("a", "b"):
        assert (await world.found())[name].status == "suspended"
        assert await world.unread(name) == []
    for name in ("b", "c"):
        await world.process().handle(name).send("go", name)
    assert await world.process().run(parent, id="p") == "c"
    assert (await world.finish("a")).status == "cancelled"
    assert calls == [1, 1, 1]


async def test_a_finished_child_is_not_undone() -> None:
    # S26
    @workflow
    async def paid(_ctx: Context) -> int:
        return await charge(5)

    @workflow
    async def parent(ctx: Context) -> int:
        await charge(await ctx.call(paid) + 1)
        raise ValueError("no")

    world = only(parent, paid)
    await world.process().start(parent, id="p")
    assert (await world.finish()).status == "failed"
    assert calls == [("refunded", 6)]
    assert (await world.child()).status == "completed"
