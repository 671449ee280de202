"""Recovering what failed or is blocked: L-10, L-11, I-11, S15."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    Context,
    NotRecoverable,
    Retry,
    StepError,
    Stop,
    StoreUnavailable,
    UnknownInstance,
    Workflow,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.faults import Crashed, Fault, FaultyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.conftest import World

ONCE = Retry(attempts=1)
calls: Counter[str] = Counter()
keys: dict[str, list[str]] = {}
bad: set[str] = set()
"""Steps that fail."""


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    calls.clear()
    keys.clear()
    bad.clear()


@step(retry=ONCE)
async def work(name: str) -> str:
    calls[name] += 1
    keys.setdefault(name, []).append(current_step().key)
    if name in bad:
        raise LookupError(name)
    return f"{name}!"


@step(retry=ONCE)
async def charge(name: str) -> str:
    calls[name] += 1
    keys.setdefault(name, []).append(current_step().key)
    if name in bad:
        raise LookupError(name)
    return name


@charge.undo
async def refund(name: str) -> None:
    calls[f"refund {name}"] += 1


def called(**expected: int) -> bool:
    return calls == Counter(expected)


# --- L-10 ---------------------------------------------------------------------------


@step(retry=Retry(attempts=2, first=0.01, jitter=0))
async def fragile() -> str:
    calls["fragile"] += 1
    if "fragile" in bad:
        raise LookupError("fragile")
    return "done"


@workflow(name="body")
async def body(ctx: Context) -> str:
    await work("before")
    return await fragile()


async def fail(world: World, failing: Workflow[Any, Any] = body) -> None:
    await world.start(failing)
    outcome = await world.drive(failing)
    assert outcome.status == "failed"


async def test_what_failed_gets_all_its_attempts_again(world: World) -> None:
    # L-10, G14
    bad.add("fragile")
    await fail(world)
    assert called(before=1, fragile=2)
    commits = world.commits

    await world.handle().recover()

    assert world.commits == commits + 1
    assert (await world.info()).status == "pending"
    assert await world.names() == ["work"]
    [outcome] = await world.run_due(body)
    assert outcome.status == "failed"
    assert called(before=1, fragile=4)

    bad.clear()
    await world.handle().recover()
    [outcome] = await world.run_due(body)
    assert (outcome.status, outcome.output) == ("completed", "done")
    assert called(before=1, fragile=5)
    assert await world.names() == ["work", "fragile"]
    assert (await world.info()).error is None


@pytest.mark.parametrize(
    "status", ["pending", "completed", "running", "suspended", "cancelled"]
)
async def test_only_what_failed_or_is_blocked_can_be_recovered(
    world: World, status: str
) -> None:
    # L-10, G14
    entered = asyncio.Event()

    @step
    async def hold() -> None:
        entered.set()
        if status == "running":
            await world.clock.sleep(10)

    @workflow
    async def sound(ctx: Context) -> str:
        await hold()
        if status in {"suspended", "cancelled"}:
            await ctx.sleep(60)
        return ctx.id

    await world.start(sound)
    driving = None
    if status == "running":
        driving = asyncio.create_task(world.drive(sound))
        await entered.wait()
    elif status != "pending":
        await world.drive(sound)
    if status == "cancelled":
        await world.handle().cancel()
        await world.drive(sound)
    before, commits = await world.info(), world.commits
    assert before.status == status

    with pytest.raises(NotRecoverable, match=f"'i' is {status}"):
        await world.handle().recover()

    assert world.commits == commits
    assert await world.info() == before
    if driving is not None:
        assert (await driving).output == "i", "nobody fenced it"


async def test_an_unknown_instance_cannot_be_recovered(world: World) -> None:
    # S27
    with pytest.raises(UnknownInstance, match="'i'"):
        await world.handle().recover()


@pytest.mark.parametrize("kind", ["crash_before", "crash_after", "tear", "lose"])
async def test_cut_at_its_write_it_happened_or_did_not(world: World, kind: Any) -> None:
    # L-10, O-09, G3
    bad.add("fragile")
    await fail(world)
    before, history = await world.info(), await world.history()
    faulty = FaultyStore(world.store, [Fault(1, kind)], clock=world.clock)

    try:
        await world.process(store=faulty).handle("i").recover()
    except Crashed:
        assert kind != "lose"

    if kind == "crash_after":
        assert (await world.info()).status == "pending"
        assert await world.names() == ["work"]
    elif kind != "tear":  # its head is ahead of its journal, until the next commit
        assert await world.info() == before
    if kind != "crash_after":
        assert await world.history() == history
        await world.handle().recover()
    bad.clear()
    assert (await world.drive(body)).output == "done"
    assert called(before=1, fragile=3)


async def test_crashes_at_every_write_of_the_second_run(world: World) -> None:
    # L-10, O-09, G3, G7
    for at in range(1, 6):
        calls.clear()
        bad.add("fragile")
        instance = f"i{at}"
        await world.start(body, instance=instance)
        await world.drive(body, instance)
        await world.handle(instance).recover()
        bad.clear()
        faulty = FaultyStore(world.store, [Fault(at, "crash_after")], clock=world.clock)
        try:
            await world.process(body, store=faulty).drive(instance)
        except (Crashed, StoreUnavailable):
            world.clock.advance(60)

        assert (await world.drive(body, instance)).output == "done"
        assert calls["before"] == 1
        assert calls["fragile"] in {3, 4}


# --- what is forgotten ----------------------------------------------------------------


async def test_a_failure_that_was_caught_is_final(world: World) -> None:
    # G8, L-10
    @workflow(name="body")
    async def falls_back(ctx: Context) -> str:
        try:
            return await work("first")
        except StepError:
            pass
        return await work("second")

    bad.update({"first", "second"})
    await fail(world, falls_back)
    bad.clear()
    await world.handle().recover()

    assert (await world.drive(falls_back)).output == "second!"
    assert called(first=1, second=2)


async def test_what_caused_the_error_is_found_through_other_errors(
    world: World,
) -> None:
    # L-10
    @workflow(name="body")
    async def wraps(ctx: Context) -> str:
        try:
            return await work("a")
        except StepError as error:
            raise ValueError("wrapped") from error

    bad.add("a")
    await fail(world, wraps)
    bad.clear()
    await world.handle().recover()

    assert (await world.drive(wraps)).output == "a!"


async def test_a_body_that_fails_by_itself_goes_on_when_it_is_mended(
    world: World,
) -> None:
    # L-10
    broken = [True]

    @workflow(name="body")
    async def mended(ctx: Context) -> str:
        found = await work("a")
        if broken:
            raise LookupError("by itself")
        return found + await work("b")

    await fail(world, mended)
    broken.clear()
    await world.handle().recover()

    assert (await world.drive(mended)).output == "a!b!"
    assert called(a=1, b=1)


async def test_a_wait_that_was_too_long_begins_again(world: World) -> None:
    # L-10
    @workflow(name="body")
    async def waits(ctx: Context) -> str:
        return (await ctx.receive("go", type=str, timeout=60)).body

    await world.start(waits)
    await world.drive(waits)
    assert (await world.later(waits, 60)).status == "failed"
    again = world.clock.now()
    await world.handle().recover()
    for _ in range(2):
        assert (await world.drive(waits)).wake_at == pytest.approx(again + 60)
        world.clock.advance(10)
    await world.handle().send("go", "now")

    assert (await world.drive(waits)).output == "now"


async def test_a_message_that_did_not_fit_is_in_the_inbox_again(world: World) -> None:
    # S16
    def made(kind: type[object]) -> Workflow[Any, Any]:
        @workflow(name="body")
        async def reads(ctx: Context) -> str:
            await work("a")
            return str((await ctx.receive("go", type=kind)).body)

        return reads

    await world.start(made(int))
    await world.handle().send("go", "text", id="m1")
    assert (await world.drive(made(int))).status == "failed"
    await world.handle().recover()

    assert (await world.drive(made(str))).output == "text"
    assert called(a=1)


# --- L-11 -----------------------------------------------------------------------------


async def joins(ctx: Context) -> str:
    found = await ctx.join(a=work("a"), b=work("b"), c=work("c"))
    return "".join(found.values())


async def maps(ctx: Context) -> str:
    return "".join(await ctx.map(work, ["a", "b", "c"]))


async def loops(ctx: Context) -> str:
    async def turn(state: str) -> str | Stop[str]:
        if len(state) == 6:
            return Stop(state)
        return state + await work("abc"[len(state) // 2])

    return str(await ctx.loop("loop", turn, state="")) + await work("c")


async def gathers(ctx: Context) -> str:
    return "".join(await asyncio.gather(work("a"), work("b"), work("c")))


async def nested(ctx: Context) -> str:
    async def inner() -> str:
        async with ctx.scope("inner"):
            found = await ctx.join(b=work("b"), c=work("c"))
            return "".join(found.values())

    outer = await ctx.join(a=work("a"), inner=inner())
    return "".join(outer.values())


@pytest.mark.parametrize("block", [joins, maps, gathers, nested, loops])
async def test_only_the_branch_that_failed_runs_again(
    world: World, block: Callable[[Context], Coroutine[Any, Any, str]]
) -> None:
    # L-11, G8
    failing = workflow(name="body")(block)
    bad.add("b")
    await fail(world, failing)
    first = Counter(calls)
    bad.clear()
    await world.handle().recover()
    outcome = await world.drive(failing)

    expected = "a!b!c!c!" if block is loops else "a!b!c!"
    assert (outcome.status, outcome.output) == ("completed", expected)
    assert first["b"] == 1
    assert calls["a"] == 1
    assert calls["b"] == 2
    assert keys["b"][0] != keys["b"][1], "a provider must not take it for the first"
    if block is not loops:
        assert calls["c"] in {1, 2}, "a cancelled sibling runs again"
        assert calls["c"] == first["c"] or "c" not in first


async def test_finished_siblings_of_a_failed_branch_do_not_run_again(
    world: World,
) -> None:
    # L-11, G8
    @workflow(name="body")
    async def waits(ctx: Context) -> str:
        async def late() -> str:
            await ctx.sleep(60)
            return await work("late")

        found = await ctx.join(a=work("a"), late=late(), c=work("c"))
        return "".join(found.values())

    bad.add("late")
    await world.start(waits)
    await world.drive(waits)
    assert (await world.later(waits)).status == "failed"
    bad.clear()
    await world.handle().recover()

    assert (await world.drive(waits)).output == "a!late!c!"
    assert called(a=1, c=1, late=2)


async def test_a_failed_turn_runs_again_from_its_state(world: World) -> None:
    # L-11
    @workflow(name="body")
    async def counts(ctx: Context) -> int:
        async def turn(state: int) -> int | Stop[int]:
            if state == 30:
                return Stop(state)
            await work(f"{state} first")
            await work(f"{state} second")
            return state + 1

        return await ctx.loop("loop", turn, state=0, prune_every=5)

    bad.add("17 second")
    await fail(world, counts)
    bad.clear()
    await world.handle().recover()

    assert (await world.drive(counts)).output == 30
    assert calls.pop("17 second") == 2
    assert set(calls.values()) == {1}


# --- I-11 -----------------------------------------------------------------------------


@workflow(name="saga")
async def saga(ctx: Context) -> str:
    await charge("one")
    await work("plain")
    await charge("two")
    return await work("last")


async def test_what_was_undone_runs_again_with_new_keys(world: World) -> None:
    # I-11, S15, G8
    bad.add("last")
    await fail(world, saga)
    assert called(one=1, plain=1, two=1, last=1, **{"refund two": 1, "refund one": 1})
    await world.handle().recover()
    assert await world.names() == ["work"], "what was not undone is kept"

    assert (await world.drive(saga)).status == "failed"
    assert called(one=2, plain=1, two=2, last=2, **{"refund two": 2, "refund one": 2})
    bad.clear()
    await world.handle().recover()
    outcome = await world.drive(saga)

    assert (outcome.status, outcome.output) == ("completed", "last!")
    assert called(one=3, plain=1, two=3, last=3, **{"refund two": 2, "refund one": 2})
    for name in ("one", "two", "last"):
        assert len(set(keys[name])) == 3


async def test_the_second_run_survives_a_death_at_every_write(world: World) -> None:
    # I-11, G8, O-09
    for at in range(1, 8):
        instance = f"i{at}"
        calls.clear()
        bad.add("last")
        await world.start(saga, instance=instance)
        await world.drive(saga, instance)
        await world.handle(instance).recover()
        bad.clear()
        faulty = FaultyStore(world.store, [Fault(at, "crash_after")], clock=world.clock)
        try:
            await world.process(saga, store=faulty).drive(instance)
        except (Crashed, StoreUnavailable):
            world.clock.advance(60)

        assert (await world.drive(saga, instance)).output == "last!"
        assert calls["plain"] == 1
        assert calls["refund one"] == calls["refund two"] == 1
        assert calls["one"] in {2, 3}


async def test_turns_that_were_undone_and_pruned_run_again(world: World) -> None:
    # I-11, S15, G15
    @workflow(name="body")
    async def loop(ctx: Context) -> int:
        async def turn(state: int) -> int | Stop[int]:
            if state == 4:
                return Stop(state)
            await work(f"plain {state}")
            await charge(f"charge {state}")
            return state + 1

        await work("before")
        await ctx.loop("loop", turn, state=0, prune_every=1)
        await work("last")
        return 1

    bad.add("last")
    await fail(world, loop)
    assert [calls[f"refund charge {n}"] for n in range(4)] == [1] * 4
    bad.clear()
    await world.handle().recover()

    assert (await world.drive(loop)).output == 1
    assert [calls[f"charge {n}"] for n in range(4)] == [2] * 4
    assert [calls[f"refund charge {n}"] for n in range(4)] == [1] * 4
    assert calls["before"] == 1


async def test_undone_branches_of_a_race_run_again(world: World) -> None:
    # I-11, S15
    @workflow(name="body")
    async def races(ctx: Context) -> str:
        async def loses() -> str:
            await charge("loser")
            await ctx.sleep(3600)
            return "never"

        async def wins() -> str:
            await charge("winner")
            await ctx.sleep(1)
            return "winner"

        won = await ctx.race(loses=loses(), wins=wins())
        return won.name + await work("last")

    bad.add("last")
    await world.start(races)
    await world.drive(races)
    assert (await world.later(races, 1)).status == "failed"
    assert calls["refund loser"] == calls["refund winner"] == 1
    bad.clear()
    await world.handle().recover()
    await world.drive(races)
    outcome = await world.later(races, 1)

    assert outcome.output == "winslast!"
    assert calls["loser"] == calls["winner"] == 2
    assert calls["refund loser"] == calls["refund winner"] == 1


async def test_what_is_behind_a_checkpoint_stays_so(world: World) -> None:
    # I-10, I-11, S30
    @workflow(name="body")
    async def checked(ctx: Context) -> str:
        await charge("one")
        await ctx.checkpoint("paid")
        await charge("two")
        return await work("last")

    bad.add("last")
    await fail(world, checked)
    for _ in range(2):
        await world.handle().recover()
        assert (await world.drive(checked)).status == "failed"

    assert calls["refund two"] == 3
    assert calls["refund one"] == 0
    assert calls["one"] == 1


# --- blocked --------------------------------------------------------------------------


async def test_a_blocked_instance_goes_on_with_mended_code(world: World) -> None:
    # K-07, S29, G13
    def made(*, sound: bool) -> Workflow[Any, Any]:
        @workflow(name="body")
        async def body(ctx: Context) -> str:
            found = await work("a")
            if not sound:
                asyncio.get_running_loop().run_in_executor(None, print)
            return found

        return body

    await world.start(made(sound=False))
    assert (await world.drive(made(sound=False))).status == "blocked"
    assert (await world.drive(made(sound=True))).status == "blocked"
    commits, history = world.commits, await world.history()
    await world.handle().recover()

    assert world.commits == commits + 1
    assert await world.history() == history
    [outcome] = await world.run_due(made(sound=True))
    assert (outcome.status, outcome.output) == ("completed", "a!")
    assert called(a=1)


async def test_a_crash_loop_has_all_its_lives_again(world: World) -> None:
    # L-16, S2
    @step
    async def deadly() -> None:
        calls["deadly"] += 1
        if "deadly" in bad:
            world.kill()

    @workflow(name="body")
    async def dies(ctx: Context) -> str:
        await deadly()
        return ctx.id

    async def drive() -> str:
        try:
            return (await world.mortal(dies).drive("i")).status
        except StoreUnavailable:
            return "died"

    bad.add("deadly")
    await world.start(dies)
    for _ in range(2):
        assert [await drive() for _ in range(11)] == ["died"] * 10 + ["blocked"]
        await world.handle().recover()
    bad.clear()

    assert await drive() == "completed"


# --- here -----------------------------------------------------------------------------


async def test_a_worker_takes_it_up_at_once(world: World) -> None:
    # L-10
    async with world.process(body) as app:
        bad.add("fragile")
        handle = await app.start(body, id="i")
        await world.clock.sleep(10)
        assert (await handle.info()).status == "failed"
        bad.clear()
        before = world.clock.now()
        await handle.recover()

        assert await handle.result() == "done"
        assert world.clock.now() - before < 0.5


async def test_state_is_kept(world: World) -> None:
    # J-11, S16
    @step
    async def count() -> None:
        current_step().state["n"] = 7

    @workflow(name="body")
    async def counting(ctx: Context) -> str:
        await count()
        return await work("last")

    bad.add("last")
    await fail(world, counting)
    await world.handle().recover()
    assert await world.handle().state() == {"n": 7}
    bad.clear()
    await world.drive(counting)
    assert await world.handle().state() == {"n": 7}
