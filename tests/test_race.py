"""Group E: the first success wins, at once; the losers are really cancelled."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    Context,
    JoinError,
    RaceError,
    Retry,
    StepError,
    Stop,
    Winner,
    current_step,
    step,
    workflow,
)
from tests.trial import Trial, calls, cancelled, durable, paths, said, trial, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import World

__all__ = ["trial"]  # a fixture


async def test_the_first_listed_wins_a_tie_in_every_replay(trial: Trial) -> None:
    # E-05, S38 G8
    async def body(ctx: Context) -> Any:
        found: list[Any] = []
        for _ in range(3):
            won = await ctx.race(
                z=work(f"z{len(found)}", 5), a=work(f"a{len(found)}", 5)
            )
            assert isinstance(won, Winner)
            found.append([won.name, won.value])
        waits = await ctx.race(b=ctx.sleep(5), a=ctx.sleep(5))
        await ctx.sleep(60)
        return [*found, waits.name]

    expected = [["z", "z0"], ["z", "z1"], ["z", "z2"], "b"]
    output, commits = await trial.run(body)

    assert output == expected
    assert {tag: n for tag, n in calls.items() if tag[0] == "z"} == dict.fromkeys(
        ["z0", "z1", "z2"], 1
    )
    for at in range(20):
        length = 1 + at % (len(commits) - 1)
        assert (await trial.run(body, commits[:length]))[0] == expected


async def test_a_timer_wins_in_time_and_the_step_hears_of_it(trial: Trial) -> None:
    # E-06
    async def body(ctx: Context) -> Any:
        began = ctx.now()
        won = await ctx.race(work=work("slow", 600), late=ctx.sleep(150))
        return [won.name, (ctx.now() - began).total_seconds()]

    output, commits = await trial.run(body)

    assert output == ["late", 150]
    assert cancelled == ["slow"]
    assert commits[-1].now - commits[0].now == 150


def raises(_: Any) -> None:
    raise ValueError("too late")


def gives(_: Any) -> str:
    return "too late"


def changes(state: Any) -> None:
    state["late"] = True


@pytest.mark.parametrize("end", [gives, raises, changes])
@pytest.mark.parametrize("plain", [True, False])
async def test_a_loser_that_goes_on_has_no_effect(
    world: World, *, plain: bool, end: Callable[[Any], object]
) -> None:
    # E-07, G6
    entered, told, ended = threading.Event(), threading.Event(), threading.Event()
    over = asyncio.Event()

    async def until(event: threading.Event) -> None:
        async with asyncio.timeout(5):
            while not event.is_set():  # noqa: ASYNC110  that of a thread
                await asyncio.sleep(0.001)

    @step(retry=Retry(attempts=1))
    def in_a_thread() -> object:
        state = current_step().state
        entered.set()
        told.wait(10)
        try:
            return end(state)
        finally:
            ended.set()

    @step(retry=Retry(attempts=1))
    async def deaf() -> object:
        state = current_step().state
        entered.set()
        with suppress(asyncio.CancelledError):
            await world.clock.sleep(1000)
        await over.wait()
        try:
            return end(state)
        finally:
            ended.set()

    @step
    async def after() -> list[str]:
        told.set()
        over.set()
        await until(ended)
        await asyncio.sleep(0.01)
        return sorted(current_step().state)

    @workflow
    async def body(ctx: Context) -> Any:
        began = ctx.now()
        won = await ctx.race(loser=in_a_thread() if plain else deaf(), w=quick())
        took = (ctx.now() - began).total_seconds()
        return [won.name, took, await after()]

    @step
    async def quick() -> None:
        await until(entered)

    await world.start(body)
    outcome = await world.drive(body)
    loser = [e for e in await world.history() if e.name in {"in_a_thread", "deaf"}]

    assert outcome.output == ["w", 0, []]
    assert [e.status for e in loser] == ["cancelled"]
    assert await world.handle().state() == {}


async def test_what_a_loser_had_done_stays_in_the_history(trial: Trial) -> None:
    # E-08, G8
    async def loser() -> None:
        await work("done", 1)
        await work("running", 600)
        await work("never")

    async def body(ctx: Context) -> Any:
        won = await ctx.race(loser=loser(), late=ctx.sleep(150))
        await ctx.sleep(60)
        return won.name

    commits = await trial.everywhere(body, "late")
    steps = [e for e in await trial.history(commits) if e.kind == "step"]

    assert [(e.value, e.status) for e in steps] == [
        ("done", "completed"),
        (None, "cancelled"),
    ]
    assert paths(steps) == [["race", 0, "loser", 0, "work", n] for n in range(2)]
    await trial.run(body, commits[:-1])
    assert not calls


async def test_waits_of_losers_are_recorded_as_cancelled(trial: Trial) -> None:
    # E-08 E-17, G8
    async def many(ctx: Context) -> Any:
        return await ctx.receive_many("a", "b", limit=3)

    async def timer() -> None:
        await asyncio.sleep(1000)

    async def body(ctx: Context) -> Any:
        won = await ctx.race(
            sleep=ctx.sleep(600),
            receive=ctx.receive("a", timeout=700),
            many=many(ctx),
            timer=timer(),
            nested=ctx.race(x=ctx.sleep(800), y=ctx.join(z=ctx.receive("b"))),
            wins=work("wins", 5),
        )
        await ctx.sleep(60)
        return won.name

    commits = await trial.everywhere(body, "wins")
    entries = await trial.history(commits)
    losers = [e for e in entries if e.status == "cancelled"]

    assert sorted(e.kind for e in losers) == [
        *["join", "race", "receive", "receive", "receive_many", "sleep", "sleep"]
    ]
    assert all(e.path[0][1:] == ["race", 0] for e in losers)
    assert commits[-2].awaiting == ()
    assert commits[-1].wake_at is None


async def test_a_race_that_all_lose_names_all(trial: Trial) -> None:
    # E-09, G8
    async def body(ctx: Context) -> Any:
        with pytest.raises(RaceError) as caught:
            await ctx.race(a=work("-a", 1), b=work("-b", 3), c=work("-c", 2))
        await ctx.sleep(60)
        assert len(caught.value.exceptions) == 3
        return said(caught.value)

    output, _ = await trial.run(body)

    assert output[0] == "RaceError"
    assert list(output[2]) == ["a", "b", "c"]
    assert [error[5] for error in output[2].values()] == ["no -a", "no -b", "no -c"]
    await trial.everywhere(body, output)


async def test_a_race_goes_on_after_a_failure(trial: Trial) -> None:
    # E-09, G8
    async def body(ctx: Context) -> Any:
        won = await ctx.race(a=work("-a", 1), b=work("b", 2), c=work("c", 60))
        await ctx.sleep(60)
        return [won.name, won.value]

    commits = await trial.everywhere(body, ["b", "b"])

    assert commits[-1].now - commits[0].now == 62


async def test_a_crash_at_no_write_leaves_a_race_undecided_for_good(
    trial: Trial,
) -> None:
    # E-10, G3
    async def charging() -> Any:
        charged = await work("charge", 1)
        await work("ship", 100)
        return charged

    async def approving() -> Any:
        await work("ask", 2)
        return await work("approve", 2)

    async def body(ctx: Context) -> Any:
        won = await ctx.race(charging=charging(), approving=approving())
        after = await work(f"after {won.name}", 1)
        return [won.name, won.value, after]

    expected = ["approving", "approve", "after approving"]
    commits = await trial.everywhere(body, expected)

    for length in range(1, len(commits) + 1):
        entries = await trial.history(commits[:length])
        status = {e.value: e.status for e in entries if e.kind == "step"}
        race = [e.status for e in entries if e.kind == "race"]
        if race == ["completed"]:
            losers = [e for e in entries if e.status == "cancelled"]
            assert status["approve"] == "completed"
            assert [e.path[1][1] for e in losers] == ["charging"]
        elif race:
            assert race == ["open"]
            assert "cancelled" not in {e.status for e in entries}
        before = [e.value for e in entries if e.kind == "step"]
        await trial.run(body, commits[:length])
        assert calls["charge"] == ("charge" not in before)


async def story(ctx: Context) -> Any:
    """Use every block, one in the other."""

    async def turn(names: list[str]) -> list[str] | Stop[list[str]]:
        one = f"one {len(names)}"
        won = await ctx.race(
            a=ctx.map(lambda n: work(f"{one}.{n}", n), [1, 2, 3], limit=2, min_ok=2),
            b=ctx.join(x=work(f"{one} x", 90), y=ctx.receive("never")),
        )
        try:
            await ctx.join(c=work(f"-{one}", 1), d=ctx.sleep(2))
        except JoinError as error:
            names = [*names, won.name, *error.errors]
        await ctx.sleep(30)
        return Stop(names) if len(names) == 6 else names

    nothing: list[str] = []
    async with ctx.scope("loop"):
        return await ctx.loop("n", turn, state=nothing, prune_every=2)


@pytest.mark.parametrize("durability", ["step", "behind", "suspend"])
async def test_a_story_of_all_blocks_ends_alike_after_a_crash_at_any_write(
    trial: Trial, durability: str
) -> None:
    # E-04 E-10 F-08, G3 G8
    expected = ["a", "c"] * 3

    if durability == "step":
        await trial.everywhere(story, expected)
        return
    output, commits = await trial.run(story, durability=durability)
    assert output == expected
    for length in range(1, len(commits)):
        known = durable(await trial.history(commits[:length]))
        found, _ = await trial.run(story, commits[:length], durability=durability)
        assert found == expected
        assert not known & set(calls)
        assert set(calls.values()) <= {1}


async def test_a_loser_that_swallows_its_cancellation_does_nothing_more(
    trial: Trial,
) -> None:
    # E-07
    swallowed: list[str] = []

    async def stubborn(ctx: Context) -> str:
        for word in ("first", "second"):
            try:
                await work(word, 100)
            except asyncio.CancelledError:
                swallowed.append(word)
        try:
            await ctx.send("other", "hello", 1)
        except asyncio.CancelledError:
            swallowed.append("send")
        return "I win"

    async def body(ctx: Context) -> Any:
        won = await ctx.race(a=stubborn(ctx), b=work("b", 1))
        await ctx.sleep(60)
        return [won.name, won.value, await work("end")]

    output, commits = await trial.run(body)

    assert output == ["b", "b", "end"]
    assert swallowed == ["first", "second", "send"]
    assert set(calls) == {"first", "b", "end"}
    swallowed.clear()
    await trial.everywhere(body, output)
    assert not [e for e in await trial.history(commits) if e.kind == "send"]


async def test_a_loser_may_tidy_up_without_operations(trial: Trial) -> None:
    # E-07
    order: list[str] = []

    async def tidy(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        finally:
            await asyncio.sleep(0)
            order.append("tidied")

    async def body(ctx: Context) -> Any:
        won = await ctx.race(a=tidy(ctx), b=work("b", 1))
        order.append("over")
        await ctx.sleep(1)
        return won.name

    output, _ = await trial.run(body)

    assert output == "b"
    assert sorted(order) == ["over", "tidied"]


async def test_a_failed_branch_after_the_race_is_no_error(trial: Trial) -> None:
    # E-07, G6
    async def spiteful(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        except asyncio.CancelledError:
            raise ValueError("spite") from None

    async def body(ctx: Context) -> Any:
        won = await ctx.race(a=spiteful(ctx), b=work("b", 1))
        await ctx.sleep(60)
        return won.name

    await trial.everywhere(body, "b")


async def test_a_race_is_a_timeout_that_really_stops_the_loser(trial: Trial) -> None:
    # E-06 E-18, G10
    async def body(ctx: Context) -> Any:
        won = await ctx.race(answer=ctx.receive("answer"), late=ctx.sleep(3600))
        try:
            later = await ctx.receive("answer", timeout=60)
        except TimeoutError:
            return [won.name, "nobody"]
        return [won.name, later.body]

    commits = await trial.everywhere(body, ["late", "nobody"])

    assert commits[-1].awaiting == ()
    assert commits[-1].wake_at is None


async def test_a_loop_that_loses_is_stopped_in_its_turn(trial: Trial) -> None:
    # E-08
    async def poll(n: int) -> int:
        await work(f"poll{n}")
        await asyncio.sleep(10)
        return n + 1

    async def body(ctx: Context) -> Any:
        won = await ctx.race(
            loop=ctx.loop("poll", poll, state=0, prune_every=2), late=ctx.sleep(45)
        )
        await ctx.sleep(60)
        return [won.name, await work("end")]

    commits = await trial.everywhere(body, ["late", "end"])
    entries = await trial.history(commits)

    assert [e.status for e in entries if e.kind == "loop"] == ["cancelled"]


async def test_waits_that_a_task_group_cancels_are_recorded_as_cancelled(
    trial: Trial,
) -> None:
    # E-17, G8
    async def body(ctx: Context) -> Any:
        failed = 0
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.sleep(1000))
                group.create_task(ctx.receive("never"))
                group.create_task(work("long", 1000))
                group.create_task(work("-bad", 1))
        except* StepError as errors:
            failed = len(errors.exceptions)
        task = asyncio.create_task(work("told", 1000))
        await ctx.sleep(10)
        task.cancel()
        await asyncio.wait([task])
        await ctx.sleep(60)
        return [failed, task.cancelled()]

    commits = await trial.everywhere(body, [1, True])
    entries = await trial.history(commits)

    assert sorted((e.kind, e.path[-1][2], e.status) for e in entries) == [
        ("receive", 0, "cancelled"),
        ("sleep", 0, "cancelled"),
        ("sleep", 1, "completed"),
        ("sleep", 2, "completed"),
        ("step", 0, "cancelled"),
        ("step", 1, "failed"),
        ("step", 2, "cancelled"),
    ]


async def test_a_message_that_was_not_received_is_there_for_the_next(
    world: World,
) -> None:
    # E-08, G3
    @workflow
    async def body(ctx: Context) -> Any:
        won = await ctx.race(
            first=ctx.receive("go"), second=ctx.receive("go"), late=ctx.sleep(60)
        )
        again = await ctx.receive("go")
        return [won.name, won.value.body, again.body]

    await world.start(body)
    await world.drive(body)
    await world.handle().send("go", 1)
    await world.drive(body)
    await world.handle().send("go", 2)
    outcome = await world.drive(body)

    assert outcome.output == ["first", 1, 2]
