"""Rewinding: L-12 to L-15, S15, S16."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    Context,
    Fenced,
    Retry,
    Stop,
    StoreUnavailable,
    UnknownEntry,
    UnknownInstance,
    Workflow,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.faults import Crashed, Fault, FaultyStore

if TYPE_CHECKING:
    from tests.conftest import World

log: list[str] = []
keys: dict[str, list[str]] = {}
bad: set[str] = set()


@pytest.fixture(autouse=True)
def nothing_logged() -> None:
    log.clear()
    keys.clear()
    bad.clear()


@step(retry=Retry(attempts=1))
async def work(name: str) -> str:
    log.append(name)
    keys.setdefault(name, []).append(current_step().key)
    if name in bad:
        raise LookupError(name)
    return f"{name}!"


@workflow(name="body")
async def three(ctx: Context) -> str:
    found = [await ctx.step(name, lambda n=name: record(n)) for name in ("a", "b", "c")]
    return "".join(found)


async def record(name: str) -> str:
    log.append(name)
    keys.setdefault(name, []).append(current_step().key)
    return name


# --- L-12 -----------------------------------------------------------------------------


async def test_the_entry_and_all_after_it_are_forgotten(world: World) -> None:
    # L-12, G14
    await world.start(three)
    await world.drive(three)
    assert log == ["a", "b", "c"]
    commits = world.commits

    await world.handle().rewind(await world.path("b"))

    assert world.commits == commits + 1
    assert await world.names() == ["a"]
    info = await world.info()
    assert (info.status, info.output) == ("pending", None)
    [outcome] = await world.run_due(three)
    assert (outcome.status, outcome.output) == ("completed", "abc")
    assert log == ["a", "b", "c", "b", "c"]
    assert await world.names() == ["a", "b", "c"]
    assert len(set(keys["b"])) == 2, "a provider must not take it for the first"


async def test_from_the_first_entry_on_all_run_in_order(world: World) -> None:
    # L-12
    await world.start(three)
    await world.drive(three)
    await world.handle().rewind(await world.path("a"))
    assert await world.history() == []

    assert (await world.drive(three)).output == "abc"
    assert log == ["a", "b", "c"] * 2


async def test_it_can_be_rewound_again_and_again(world: World) -> None:
    # L-12, S15
    await world.start(three)
    await world.drive(three)
    for name in ("c", "b", "c", "a"):
        await world.handle().rewind(await world.path(name))
        assert (await world.drive(three)).output == "abc"

    assert Counter(log) == {"a": 2, "b": 3, "c": 5}
    assert len(set(keys["c"])) == 5


@pytest.mark.parametrize(
    "status", ["suspended", "failed", "blocked", "cancelled", "undoing", "running"]
)
async def test_it_is_possible_from_every_status(  # noqa: C901  a case for each
    world: World, status: str
) -> None:
    # L-12, G14
    reached = asyncio.Event()

    @step
    async def hold() -> None:
        reached.set()
        if status == "running":
            await world.clock.sleep(60)

    @workflow(name="body")
    async def ends(ctx: Context) -> str:
        await ctx.step("held", kept, undo=give_back)
        await work("second")
        await hold()
        if reached.is_set() and "again" not in bad:
            if status == "blocked":
                asyncio.get_running_loop().run_in_executor(None, print)
            if status in {"failed", "undoing"}:
                raise LookupError
            if status in {"suspended", "cancelled"}:
                await ctx.sleep(3600)
        return "done"

    if status == "undoing":
        bad.add("give_back")
    await world.start(ends)
    driving = asyncio.create_task(world.drive(ends))
    await reached.wait()
    if status != "running":
        await driving
    if status == "cancelled":
        await world.handle().cancel()
        await world.drive(ends)
    assert (await world.info()).status == status
    bad.clear()
    bad.add("again")
    held = log.count("held")

    await world.handle().rewind(await world.path("work"))

    after = await world.info()
    assert (after.status, after.error, after.wake_at) == ("pending", None, None)
    [outcome] = await world.run_due(ends)
    assert (outcome.status, outcome.output) == ("completed", "done")
    assert log.count("second") == 2
    undone = status in {"failed", "cancelled", "undoing"}
    assert log.count("held") == held + undone
    if status == "running":
        with pytest.raises(Fenced):
            await driving


async def kept() -> int:
    log.append("held")
    return 1


async def give_back(_held: int) -> None:
    if "give_back" in bad:
        raise LookupError("not yet")
    log.append("given back")


# --- L-13 -----------------------------------------------------------------------------


async def test_the_order_of_the_journal_counts_not_time_or_names(world: World) -> None:
    # L-13, G8
    @workflow(name="body")
    async def receives(ctx: Context) -> str:
        body = (await ctx.receive("go", type=str)).body
        body += await ctx.step("z-one", lambda: record("one"))
        body += await ctx.step("a-two", lambda: record("two"))
        return body

    await world.start(receives)
    await world.handle().send("go", "hello ")
    assert (await world.drive(receives)).output == "hello onetwo"
    assert len({entry.at for entry in await world.history()}) == 1

    await world.handle().rewind(await world.path("a-two"))

    assert await world.names() == ["receive", "z-one"]
    assert (await world.drive(receives)).output == "hello onetwo"
    assert log == ["one", "two", "two"]


async def test_concurrent_steps_are_kept_by_their_completion(world: World) -> None:
    # L-13, G8
    async def after(seconds: float, name: str) -> str:
        await world.clock.sleep(seconds)
        log.append(name)
        return name

    @workflow(name="body")
    async def gathers(ctx: Context) -> str:
        found = await asyncio.gather(
            ctx.step("a", lambda: after(3, "a")),
            ctx.step("b", lambda: after(1, "b")),
            ctx.step("c", lambda: after(2, "c")),
        )
        return "".join(found)

    await world.start(gathers)
    await world.drive(gathers)
    assert await world.names() == ["b", "c", "a"]
    await world.handle().rewind(await world.path("c"))
    assert await world.names() == ["b"]

    assert (await world.drive(gathers)).output == "abc"
    assert log == ["b", "c", "a", "c", "a"]


async def test_a_branch_goes_back_with_its_join(world: World) -> None:
    # L-13, L-14
    @workflow(name="body")
    async def joins(ctx: Context) -> str:
        async def late() -> str:
            await work("l1")
            return await work("l2")

        found = await ctx.join(a=work("a"), late=late())
        return "".join(found.values()) + await work("end")

    await world.start(joins)
    await world.drive(joins)
    [path] = [e.path for e in await world.history() if e.value == "l2!"]
    await world.handle().rewind(path)

    assert (await world.drive(joins)).output == "a!l2!end!"
    assert Counter(log) == {"a": 1, "l1": 1, "l2": 2, "end": 2}

    join = await world.path("join")
    await world.handle().rewind(join)
    assert await world.history() == []
    assert (await world.drive(joins)).output == "a!l2!end!"
    assert Counter(log) == {"a": 2, "l1": 2, "l2": 3, "end": 3}


# --- L-14 -----------------------------------------------------------------------------


def looping(*, turns: int = 10, **options: Any) -> Workflow[Any, Any]:
    @workflow(name="body")
    async def loops(ctx: Context) -> int:
        async def turn(state: int) -> int | Stop[int]:
            if state == turns:
                return Stop(state)
            await work(f"{state} a")
            await work(f"{state} b")
            if state == 7:
                await ctx.sleep(60)
            return state + 1

        await work("before")
        found = await ctx.loop("loop", turn, state=0, **options)
        await work("after")
        return found

    return loops


async def asleep(world: World, body: Workflow[Any, Any]) -> None:
    await world.start(body)
    assert (await world.drive(body)).status == "suspended"
    assert log[-1] == "7 b"
    log.clear()


async def test_into_a_kept_turn_of_a_loop_that_sleeps(world: World) -> None:
    # L-14
    body = looping(keep=3, prune_every=4)
    await asleep(world, body)

    await world.handle().rewind(await world.path("loop", ("turn", 6), ("work", 1)))

    await world.drive(body)
    assert log == ["6 b", "7 a", "7 b"]
    assert (await world.later(body)).output == 10
    assert log[3:] == ["8 a", "8 b", "9 a", "9 b", "after"]


async def test_to_the_beginning_of_a_kept_turn(world: World) -> None:
    # L-14
    body = looping(keep=3, prune_every=4)
    await asleep(world, body)

    await world.handle().rewind(await world.path("loop", ("turn", 6)))

    await world.drive(body)
    assert log == ["6 a", "6 b", "7 a", "7 b"]


async def test_into_a_pruned_turn_means_the_start_of_the_loop(world: World) -> None:
    # L-14
    body = looping(keep=1, prune_every=1)
    await asleep(world, body)
    deep: list[Any] = [["loop", "loop", 0], ["turn", "turn", 3], ["step", "work", 0]]

    await world.handle().rewind(deep)

    assert await world.names() == ["work"]
    await world.drive(body)
    assert log == [f"{turn} {name}" for turn in range(8) for name in "ab"]
    assert (await world.later(body)).output == 10


async def test_to_a_loop_means_its_start(world: World) -> None:
    # L-14
    body = looping()
    await asleep(world, body)
    await world.handle().rewind(await world.path("loop"))

    await world.drive(body)
    assert log == [f"{turn} {name}" for turn in range(8) for name in "ab"]


async def test_into_the_first_turn(world: World) -> None:
    # L-14
    body = looping(prune_every=100)
    await asleep(world, body)
    path = await world.path("loop", ("turn", 0), ("work", 1))
    await world.handle().rewind(path)

    await world.drive(body)
    assert log == ["0 b", *(f"{turn} {name}" for turn in range(1, 8) for name in "ab")]


async def test_into_the_last_turn_of_a_loop_that_has_ended(world: World) -> None:
    # L-14
    body = looping(keep=2)
    await asleep(world, body)
    assert (await world.later(body)).output == 10
    log.clear()
    await world.handle().rewind(await world.path("loop", ("turn", 9), ("work", 0)))

    assert (await world.drive(body)).output == 10
    assert log == ["9 a", "9 b", "after"]


async def test_behind_a_loop_that_has_ended(world: World) -> None:
    # L-14
    body = looping(prune_every=1)
    await asleep(world, body)
    await world.later(body)
    log.clear()
    await world.handle().rewind(await world.path(("work", 1)))

    assert (await world.drive(body)).output == 10
    assert log == ["after"]


async def test_before_a_loop_it_is_run_anew(world: World) -> None:
    # L-14
    body = looping(prune_every=1)
    await asleep(world, body)
    await world.handle().rewind(await world.path("work"))
    assert await world.history() == []

    await world.drive(body)
    assert log[:3] == ["before", "0 a", "0 b"]


def nested(keep: int) -> Workflow[Any, Any]:
    @workflow(name="body")
    async def loops(ctx: Context) -> int:
        async def outer(state: int) -> int | Stop[int]:
            async def inner(part: int) -> int | Stop[int]:
                if part == 3:
                    return Stop(part)
                await work(f"{state}.{part}")
                return part + 1

            if state == 3:
                return Stop(state)
            await ctx.loop("inner", inner, state=0, keep=9)
            return state + 1

        return await ctx.loop("outer", outer, state=0, keep=keep)

    return loops


NESTED = [f"{outer}.{inner}" for outer in range(3) for inner in range(3)]


async def test_into_an_inner_loop_both_go_back(world: World) -> None:
    # L-14
    body = nested(keep=9)
    await world.start(body)
    assert (await world.drive(body)).output == 3
    for target, again in (("2.1!", ["2.1", "2.2"]), ("1.2!", ["1.2", *NESTED[6:]])):
        log.clear()
        [path] = [e.path for e in await world.history() if e.value == target]
        await world.handle().rewind(path)
        assert (await world.drive(body)).output == 3
        assert log == again


async def test_into_an_inner_loop_of_a_pruned_turn(world: World) -> None:
    # L-14
    body = nested(keep=1)
    await world.start(body)
    await world.drive(body)
    log.clear()
    inner: list[Any] = [["loop", "outer", 0], ["turn", "turn", 1], ["loop", "inner", 0]]
    await world.handle().rewind([*inner, ["turn", "turn", 1], ["step", "work", 0]])

    assert await world.history() == []
    assert (await world.drive(body)).output == 3
    assert log == NESTED


async def test_a_loop_beside_the_target_goes_back_in_step(world: World) -> None:
    # L-14, G8
    @workflow(name="body")
    async def beside(ctx: Context) -> str:
        async def turn(state: int) -> int | Stop[int]:
            if state == 6:
                return Stop(state)
            await work(f"turn {state}")
            await ctx.sleep(10)
            return state + 1

        async def steps() -> str:
            for number in range(6):
                await work(f"step {number}")
                await ctx.sleep(10)
            return "steps"

        found = await ctx.join(
            loop=ctx.loop("loop", turn, state=0, prune_every=1), steps=steps()
        )
        return str(found)

    await world.start(beside)
    outcome = await world.drive(beside)
    while outcome.status == "suspended":
        outcome = await world.later(beside, 10)
    result = outcome.output
    assert Counter(log) == {
        f"{kind} {n}": 1 for kind in ("turn", "step") for n in range(6)
    }
    [path] = [e.path for e in await world.history() if e.value == "step 2!"]
    await world.handle().rewind(path)
    log.clear()
    outcome = await world.drive(beside)
    while outcome.status == "suspended":
        outcome = await world.later(beside, 10)

    assert outcome.output == result
    again = Counter(log)
    assert [again[f"step {n}"] for n in range(6)] == [0, 0, 1, 1, 1, 1]
    assert [again[f"turn {n}"] for n in range(6)] == [1] * 6, "it starts anew"


# --- L-15 -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["crash_before", "crash_after"])
async def test_cut_at_its_write_it_happened_or_did_not(world: World, kind: Any) -> None:
    # L-15, O-09, G3
    await world.start(three)
    await world.drive(three)
    before, history = await world.info(), await world.history()
    path = await world.path("b")
    faulty = FaultyStore(world.store, [Fault(1, kind)], clock=world.clock)

    with pytest.raises(Crashed):
        await world.process(store=faulty).handle("i").rewind(path)

    if kind == "crash_before":
        assert (await world.info(), await world.history()) == (before, history)
        assert await world.run_due(three) == []
        assert log == ["a", "b", "c"]
    else:
        assert await world.names() == ["a"]
        assert (await world.drive(three)).output == "abc"
        assert log == ["a", "b", "c", "b", "c"]


async def test_a_death_at_every_write_of_the_second_run(world: World) -> None:
    # L-15, O-09, G8
    for at in range(1, 6):
        log.clear()
        instance = f"i{at}"
        await world.start(three, instance=instance)
        await world.drive(three, instance)
        await world.handle(instance).rewind(await world.path("b", instance=instance))
        faulty = FaultyStore(world.store, [Fault(at, "crash_after")], clock=world.clock)
        try:
            await world.process(three, store=faulty).drive(instance)
        except (Crashed, StoreUnavailable):
            world.clock.advance(60)

        assert (await world.drive(three, instance)).output == "abc"
        assert log.count("a") == 1
        assert log.count("b") in {2, 3}


async def test_a_lost_answer_is_no_second_rewind(world: World) -> None:
    # L-15, G5
    await world.start(three)
    await world.drive(three)
    path, frames = await world.path("b"), len(await world.frames())
    faulty = FaultyStore(world.store, [Fault(1, "fail_after")], clock=world.clock)
    await world.process(store=faulty).handle("i").rewind(path)

    assert len(await world.frames()) == frames + 1
    assert await world.names() == ["a"]


@pytest.mark.parametrize(
    "path",
    [
        [],
        [["step", "nobody", 0]],
        [["step", "a", 1]],
        [["sleep", "a", 0]],
        [["step", "a", 0], ["step", "b", 0]],
        [["loop", "a", 0], ["turn", "turn", 0]],
        [["turn", "turn", 3]],
    ],
)
async def test_an_unknown_target_is_refused(world: World, path: Any) -> None:
    # L-15
    await world.start(three)
    await world.drive(three)
    before, history, commits = await world.info(), await world.history(), world.commits

    with pytest.raises(UnknownEntry, match="'i'"):
        await world.handle().rewind(path)

    assert world.commits == commits
    assert (await world.info(), await world.history()) == (before, history)
    with pytest.raises(UnknownInstance):
        await world.handle("nobody").rewind(path)


async def test_a_turn_that_was_not_reached_is_unknown(world: World) -> None:
    # L-14, L-15
    body = looping(prune_every=1)
    await asleep(world, body)

    with pytest.raises(UnknownEntry):
        await world.handle().rewind([["loop", "loop", 0], ["turn", "turn", 8]])


async def test_who_runs_it_elsewhere_is_fenced(world: World) -> None:
    # L-15, G4
    began = asyncio.Event()

    @workflow(name="body")
    async def slow(ctx: Context) -> str:
        await work("a")
        await ctx.step("wait", wait)
        return await work("b")

    async def wait() -> None:
        first = not began.is_set()
        began.set()
        if first:
            await world.clock.sleep(60)

    await world.start(slow)
    driving = asyncio.create_task(world.drive(slow))
    await began.wait()
    await world.handle().rewind(await world.path("work"))
    frames = len(await world.frames())

    with pytest.raises(Fenced):
        await driving
    assert len(await world.frames()) == frames
    assert await world.history() == []
    assert (await world.drive(slow)).output == "b!"
    assert log == ["a", "a", "b"]


async def test_who_runs_it_here_begins_again(world: World) -> None:
    # L-15, G4
    began = asyncio.Event()
    ended: list[str] = []

    @workflow(name="body")
    async def slow(ctx: Context) -> str:
        await work("a")
        await ctx.step("wait", wait)
        return await work("b")

    async def wait() -> None:
        if began.is_set():
            return
        began.set()
        try:
            await world.clock.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with world.process(slow) as app:
        handle = await app.start(slow, id="i")
        await began.wait()
        before = world.clock.now()
        await handle.rewind(await world.path("work"))
        assert await handle.result() == "b!"
        assert world.clock.now() - before < 1
    assert ended == ["cancelled"]
    assert log == ["a", "a", "b"]


async def test_messages_go_back_to_the_inbox_in_order(world: World) -> None:
    # L-15, S16, G11
    @workflow(name="body")
    async def reads(ctx: Context) -> list[str]:
        found = [(await ctx.receive("m", type=str)).body]
        found += [m.body for m in await ctx.receive_many("m", type=str, limit=2)]
        found.append((await ctx.receive("m", type=str)).body)
        return found

    await world.start(reads)
    for number in range(4):
        await world.handle().send("m", f"m{number}", id=f"id{number}")
    first = await world.drive(reads)
    await world.handle().rewind(await world.path("receive_many"))

    unread = await world.store.unread("i")
    assert [message.id for message in unread] == ["id1", "id2", "id3"]
    assert not await world.handle().send("m", "again", id="id1"), "its id is known"
    assert (await world.drive(reads)).output == first.output == ["m0", "m1", "m2", "m3"]
    assert list(await world.store.unread("i")) == []


async def test_an_ask_can_be_answered_again(world: World) -> None:
    # S16
    @workflow(name="body")
    async def answers(ctx: Context) -> str:
        message = await ctx.receive("q")
        await message.reply(log.pop(0))
        return ctx.id

    log.extend(["first", "second"])
    async with world.process(answers) as app:
        handle = await app.start(answers, id="i")
        assert await handle.ask("q", timeout=10) == "first"
        await handle.result()
        await handle.rewind(await world.path("receive"))
        assert await handle.result() == "i"
    assert log == []


async def test_what_was_sent_is_sent_again_under_another_id(world: World) -> None:
    # L-15, S15
    @workflow(name="body")
    async def sends(ctx: Context) -> str:
        await work("a")
        await ctx.send("other", "hello", {"n": 1})
        return ctx.id

    await world.start(sends)
    await world.drive(sends)
    await world.handle().rewind(await world.path("work"))
    await world.drive(sends)

    ids = {message.id for message in await world.store.unread("other")}
    assert len(ids) == 2


async def test_children_are_left_alone_and_made_anew(world: World) -> None:
    # L-15, S15, S16
    @workflow(name="child")
    async def child(ctx: Context, name: str) -> str:
        await work(name)
        return ctx.id

    @workflow(name="body")
    async def parent(ctx: Context) -> list[str]:
        await work("a")
        return [await ctx.call(child, "called"), await ctx.start(child, "started")]

    app = world.process(parent, child)
    first = await app.run(parent, id="i")
    await app.run_due()
    await world.handle().rewind(await world.path("work"))
    second = await world.process(parent, child).run(parent, id="i")
    await world.process(parent, child).run_due()

    assert len({*first, *second}) == 4
    for name in (*first, *second):
        assert (await world.info(name)).status == "completed"
    assert Counter(log) == {"a": 2, "called": 2, "started": 2}


async def test_state_is_not_turned_back(world: World) -> None:
    # J-11, S16
    @step
    async def count() -> int:
        state = current_step().state
        state["n"] = state.get("n", 0) + 1
        return int(state["n"])

    @workflow(name="body")
    async def counts(ctx: Context) -> int:
        return await count()

    await world.start(counts)
    assert (await world.drive(counts)).output == 1
    await world.handle().rewind(await world.path("count"))
    assert await world.handle().state() == {"n": 1}
    assert (await world.drive(counts)).output == 2


async def test_a_checkpoint_that_is_forgotten_holds_no_more(world: World) -> None:
    # I-10, S30
    @workflow(name="body")
    async def checked(ctx: Context) -> str:
        await ctx.step("held", kept, undo=give_back)
        if "early" not in bad:
            await work("a")
            await ctx.checkpoint("paid")
            return "paid"
        raise LookupError

    await world.start(checked)
    assert (await world.drive(checked)).output == "paid"
    await world.handle().rewind(await world.path("work"))
    bad.add("early")

    assert (await world.drive(checked)).status == "failed"
    assert log == ["held", "a", "given back"]
