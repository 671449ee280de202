"""Starting: L-01 to L-05."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    AlreadyExists,
    Context,
    ErrorInfo,
    InstanceFinished,
    Outcome,
    Unencodable,
    UnknownInstance,
    UnknownWorkflow,
    WorkflowCancelled,
    WorkflowFailed,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.faults import Crashed, Fault, FaultyStore

if TYPE_CHECKING:
    from tests.conftest import World


def why(error: ErrorInfo | None) -> str:
    assert error is not None
    return f"{error.type}: {error.message}"


# --- start ------------------------------------------------------------------


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


# --- terminal is terminal ---------------------------------------------------


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled"])
async def test_nothing_runs_a_finished_instance_again(
    world: World, ending: str
) -> None:
    # L-05, G14
    @workflow(name="body")
    async def body(ctx: Context) -> str:
        if ending == "failed":
            raise LookupError("nothing there")
        if ending == "cancelled":
            await ctx.sleep(60)
        return ctx.id

    @workflow(name="body")
    async def deployed(ctx: Context) -> str:
        pytest.fail(f"{ctx.id} was entered again")

    await world.start(body)
    first = await world.drive(body)
    if ending == "cancelled":
        await world.handle().cancel()
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
    elif ending == "cancelled":
        with pytest.raises(WorkflowCancelled):
            await handle.result()
    else:
        assert await handle.result() == "i"

    await handle.delete()
    with pytest.raises(UnknownInstance):
        await handle.info()


# --- restart ------------------------------------------------------------------

keys: list[str] = []


@step
async def count(name: str) -> int:
    keys.append(current_step().key)
    state = current_step().state
    state[name] = state.get(name, 0) + 1
    return int(state[name])


@workflow(name="counting")
async def counting(ctx: Context, name: str) -> str:
    found = await count(name)
    messages = await ctx.receive_many("m", timeout=5)
    if name == "bad":
        raise LookupError(name)
    return f"{name} {found} {len(messages)}"


async def counted(world: World, name: str) -> Outcome[Any]:
    await world.drive(counting)
    return await world.later(counting, 5)


@pytest.mark.parametrize("first", ["good", "bad"])
async def test_restart_of_what_has_ended_is_a_fresh_run(
    world: World, first: str
) -> None:
    # L-03, S4, S15, G14
    keys.clear()
    await world.start(counting, first)
    await world.handle().send("m", id="consumed")
    await world.handle().send("other", id="unread")
    assert (await world.drive(counting)).status == (
        "failed" if first == "bad" else "completed"
    )
    commits = world.commits

    app = world.process(counting)
    handle = await app.start(counting, "second", id="i", on_conflict="restart")

    assert world.commits == commits + 1
    assert await world.history() == []
    assert await world.handle().state() == {}
    assert list(await world.store.unread("i")) == []
    info = await world.info()
    assert (info.status, info.input, info.error) == ("pending", "second", None)
    assert len(await world.frames()) == 1, "the old history is gone"
    assert (await counted(world, "second")).output == "second 1 0"
    assert await handle.result() == "second 1 0"
    assert len(set(keys)) == 2, "a provider must not take it for the first"


async def test_restart_of_what_was_cancelled(world: World) -> None:
    # L-03, S4
    await world.start(counting, "first")
    await world.handle().cancel()
    assert (await world.drive(counting)).status == "cancelled"
    app = world.process(counting)
    await app.start(counting, "second", id="i", on_conflict="restart")

    assert (await counted(world, "second")).output == "second 1 0"


async def test_restart_of_what_is_not_there_is_a_start(world: World) -> None:
    # L-03
    app = world.process(counting)
    await app.start(counting, "first", id="i", on_conflict="restart")

    assert (await counted(world, "first")).output == "first 1 0"


@pytest.mark.parametrize("status", ["pending", "suspended", "blocked"])
async def test_restart_of_what_has_not_ended_is_refused(
    world: World, status: str
) -> None:
    # L-03, S4
    @workflow(name="counting")
    async def breaks(ctx: Context) -> None:
        asyncio.get_running_loop().run_in_executor(None, print)

    await world.start(counting, "first")
    if status != "pending":
        await world.drive(breaks if status == "blocked" else counting)
    before, commits = await world.info(), world.commits
    assert before.status == status

    with pytest.raises(AlreadyExists, match=f"'i'.*{status}"):
        await world.process(counting).start(
            counting, "second", id="i", on_conflict="restart"
        )
    assert world.commits == commits
    assert await world.info() == before


async def test_restart_refuses_an_id_of_another_workflow(world: World) -> None:
    # L-03, L-04, S27
    @workflow(name="other")
    async def other(ctx: Context) -> str:
        return ctx.id

    await world.start(other)
    await world.drive(other)

    with pytest.raises(AlreadyExists, match="'other'"):
        await world.process(counting).start(
            counting, "second", id="i", on_conflict="restart"
        )
    assert (await world.info()).output == "i"


async def test_many_restarts_at_once_make_one_run(world: World) -> None:
    # L-03, L-02
    await world.start(counting, "bad")
    await counted(world, "bad")

    async def restart(number: int) -> bool:
        try:
            await world.process(counting).start(
                counting, f"n{number}", id="i", on_conflict="restart"
            )
        except AlreadyExists:
            return False
        return True

    answers = await asyncio.gather(*map(restart, range(20)))

    assert answers.count(True) == 1
    winner = f"n{answers.index(True)}"
    assert (await counted(world, winner)).output == f"{winner} 1 0"


async def test_a_worker_runs_it_at_once(world: World) -> None:
    # L-03
    async with world.process(counting) as app:
        await app.start(counting, "first", id="i")
        await world.clock.sleep(10)
        handle = await app.start(counting, "second", id="i", on_conflict="restart")
        await world.clock.sleep(10)
        assert await handle.result() == "second 1 0"


@pytest.mark.parametrize("kind", ["crash_before", "crash_after", "fail_after"])
async def test_a_restart_cut_at_its_write_happened_or_did_not(
    world: World, kind: Any
) -> None:
    # L-03, O-09, G3, G5
    await world.start(counting, "first")
    await counted(world, "first")
    before, history = await world.info(), await world.history()
    # The first write of a start is that of a new instance, and refused.
    faulty = FaultyStore(world.store, [Fault(2, kind)], clock=world.clock)
    app = world.process(counting, store=faulty)
    with suppress(Crashed):
        await app.start(counting, "second", id="i", on_conflict="restart")
    assert len(faulty.struck) == 1

    if kind == "crash_before":
        assert (await world.info(), await world.history()) == (before, history)
    else:
        assert await world.history() == []
        assert len(await world.frames()) == 1
        assert (await counted(world, "second")).output == "second 1 0"
