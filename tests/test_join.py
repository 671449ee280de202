"""Group E: named branches that run at once, and all of their results."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    Context,
    JoinError,
    Outcome,
    StepError,
    current_step,
    step,
    workflow,
)
from tests.trial import Trial, calls, cancelled, durable, paths, said, trial, work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.conftest import World

__all__ = ["trial"]  # a fixture


def blocked_reason(outcome: Outcome[Any]) -> str:
    assert outcome.status == "blocked"
    assert outcome.error is not None
    return outcome.error.message


async def test_branches_of_a_join_run_at_once(trial: Trial) -> None:
    # E-01
    order: list[str] = []

    @step
    async def part(name: str, seconds: float) -> str:
        order.append(f"{name} begins")
        await current_step().resources.sleep(seconds)
        order.append(f"{name} ends")
        return name.upper()

    async def body(ctx: Context) -> Any:
        return await ctx.join(a=part("a", 2), b=part("b", 1))

    output, _ = await trial.run(body)

    assert output == {"a": "A", "b": "B"}
    assert list(output) == ["a", "b"]
    assert order == ["a begins", "b begins", "b ends", "a ends"]


async def test_blocks_without_branches_end_at_once_and_leave_nothing(
    trial: Trial,
) -> None:
    # E-01, S38
    async def body(ctx: Context) -> Any:
        found: list[Any] = [await ctx.join(), await ctx.map(work, [])]
        with pytest.raises(ValueError, match="race"):
            await ctx.race()
        return found

    output, commits = await trial.run(body)

    assert output == [{}, []]
    assert await trial.history(commits) == []


async def test_a_join_waits_for_all_before_it_tells_of_a_failure(trial: Trial) -> None:
    # E-02
    async def body(ctx: Context) -> Any:
        began, found = ctx.now(), 0
        try:
            await ctx.join(a=work("-a"), b=work("b", 5))
        except* StepError as errors:
            found = len(errors.exceptions)
        return [(ctx.now() - began).total_seconds(), found]

    output, _ = await trial.run(body)

    assert output == [5, 1]
    assert calls == {"-a": 1, "b": 1}


async def test_a_join_error_holds_exactly_what_failed(trial: Trial) -> None:
    # E-02
    async def body(ctx: Context) -> Any:
        with pytest.raises(JoinError) as caught:
            await ctx.join(a=work("-a"), b=work("b", 5), c=work("c"))
        error = caught.value
        assert isinstance(error, ExceptionGroup)
        assert error.exceptions == tuple(error.errors.values())
        return {name: str(each) for name, each in error.errors.items()}

    output, _ = await trial.run(body)

    assert list(output) == ["a"]
    assert "no -a" in output["a"]


async def test_a_join_is_replayed_as_it_ended(trial: Trial) -> None:
    # E-03, G8
    async def body(ctx: Context) -> Any:
        found: list[Any] = [await ctx.join(a=work("a", 2), b=work("b", 1))]
        try:
            await ctx.join(c=work("-c", 1), d=work("d", 2), e=work("-e"))
        except JoinError as error:
            found.append(said(error))
        await ctx.sleep(60)
        return found

    output, _ = await trial.run(body)
    failures = output[1][2]

    assert output[0] == {"a": "a", "b": "b"}
    assert list(failures) == ["c", "e"]
    assert failures["c"][2:] == ["exhausted", "work", "ValueError", "no -c", ["no -c"]]
    await trial.everywhere(body, output)


async def test_what_a_branch_gives_keeps_its_type(trial: Trial) -> None:
    # E-03, G9
    when = datetime(2026, 1, 1, tzinfo=UTC)

    @step
    async def dated() -> datetime:
        calls["dated"] += 1
        return when

    async def several() -> set[str]:
        return {str(await work(n)) for n in range(3)}

    async def body(ctx: Context) -> Any:
        found = await ctx.join(a=dated(), b=several(), c=asyncio.sleep(0, object()))
        await ctx.sleep(60)
        return [found["a"] == when, sorted(found["b"]), type(found["c"]).__name__]

    expected = [True, ["0", "1", "2"], "object"]
    output, commits = await trial.run(body)

    for length in range(1, len(commits)):
        assert (await trial.run(body, commits[:length]))[0] == output == expected


def nested(inner: str, outer: str) -> Any:
    async def body(ctx: Context) -> Any:
        async def block(kind: str, prefix: str, first: Any, second: Any) -> Any:
            if kind == "join":
                return await ctx.join(a=first, b=second)
            won = await ctx.race(a=first, b=second)
            return [prefix, won.name, won.value]

        def leaf(name: str, seconds: float) -> Any:
            async def part() -> Any:
                one = await work(f"{name}1", seconds)
                return [one, await work(f"{name}2", 1)]

            return part()

        left = block(inner, "left", leaf("p", 3), leaf("q", 1))
        right = block(inner, "right", leaf("r", 5), leaf("s", 4))
        found = await block(outer, "outer", left, right)
        await ctx.sleep(60)
        return found

    return body


@pytest.mark.parametrize("durability", ["step", "suspend"])
@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        (
            "join",
            "join",
            {
                "a": {"a": ["p1", "p2"], "b": ["q1", "q2"]},
                "b": {"a": ["r1", "r2"], "b": ["s1", "s2"]},
            },
        ),
        (
            "race",
            "join",
            {
                "a": ["left", "b", ["q1", "q2"]],
                "b": ["right", "b", ["s1", "s2"]],
            },
        ),
        ("race", "race", ["outer", "a", ["left", "b", ["q1", "q2"]]]),
        ("join", "race", ["outer", "a", {"a": ["p1", "p2"], "b": ["q1", "q2"]}]),
    ],
)
async def test_blocks_lie_in_blocks(
    trial: Trial, inner: str, outer: str, expected: Any, durability: str
) -> None:
    # E-04, G8
    body = nested(inner, outer)

    if durability == "step":
        await trial.everywhere(body, expected)
    else:
        output, commits = await trial.run(body, durability=durability)
        for length in range(1, len(commits)):
            found, _ = await trial.run(body, commits[:length], durability=durability)
            assert found == output == expected


async def test_entries_lie_under_their_branch_from_zero_on(trial: Trial) -> None:
    # E-19, S8, G8
    async def body(ctx: Context) -> Any:
        return await ctx.join(a=work("x"), b=work("y"))

    output, commits = await trial.run(body)
    entries = await trial.history(commits)

    assert output == {"a": "x", "b": "y"}
    assert sorted(paths(entries, "step")) == [
        ["join", 0, "a", 0, "work", 0],
        ["join", 0, "b", 0, "work", 0],
    ]
    assert [e.path[1][0] for e in entries if e.kind == "step"] == ["branch", "branch"]


def a_task(ctx: Context) -> Any:
    return ctx.join(a=work("x"), b=asyncio.create_task(work("y")))


def a_task_in_a_race(ctx: Context) -> Any:
    return ctx.race(a=asyncio.create_task(work("y")), b=work("x"))


def a_gathering(ctx: Context) -> Any:
    return ctx.join(a=asyncio.gather(work("x")), b=asyncio.sleep(0))


@pytest.mark.parametrize("make", [a_task, a_task_in_a_race, a_gathering])
async def test_a_branch_that_runs_already_is_refused(
    world: World, make: Callable[[Context], Awaitable[Any]]
) -> None:
    # E-19, S8
    @workflow
    async def body(ctx: Context) -> Any:
        return await make(ctx)

    await world.start(body)
    outcome = await world.drive(body)

    assert "a branch that runs already" in blocked_reason(outcome)


async def test_a_future_can_be_a_branch(trial: Trial) -> None:
    async def body(ctx: Context) -> Any:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def teller() -> str:
            await ctx.sleep(5)
            told.set_result("hello")
            return "told"

        return await ctx.join(told=told, teller=teller())

    assert (await trial.run(body))[0] == {"told": "hello", "teller": "told"}


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"])
async def test_a_branch_needs_a_name_that_can_be_stored(
    world: World, name: str
) -> None:
    @workflow
    async def body(ctx: Context) -> Any:
        return await ctx.join(**{name: work("x")})

    await world.start(body)

    assert "a branch" in blocked_reason(await world.drive(body))


@pytest.mark.parametrize("kind", ["race", "join", "map"])
async def test_an_eviction_suspends_blocks_and_they_go_on_elsewhere(
    world: World, kind: str
) -> None:
    # E-20, G1
    begun: list[str] = []

    @step
    async def part(name: str, seconds: float) -> str:
        begun.append(name)
        await world.clock.sleep(seconds)
        return name

    async def two(name: str, seconds: float) -> str:
        return await part(f"{name}1", seconds) + await part(f"{name}2", seconds)

    @workflow
    async def body(ctx: Context) -> Any:
        if kind == "race":
            won = await ctx.race(a=two("a", 100), b=two("b", 5))
            return won.value
        if kind == "join":
            return await ctx.join(a=two("a", 100), b=two("b", 5), c=ctx.sleep(50))

        async def each(name: str) -> str:
            return await two(name, 5 if name == "b" else 100)

        return await ctx.map(each, ["a", "b", "c"], limit=2)

    await world.start(body)
    outcome = await world.process(body, margin=1).drive("i", deadline=9)
    entries = await world.history()

    assert outcome.status == "suspended"
    assert begun == ["a1", "b1", "b2"]
    assert {e.status for e in entries} <= {"open", "completed"}
    assert [e.value for e in entries if e.kind == "step"] == ["b1"]

    begun.clear()
    outcome = await world.process(body).drive("i")
    while outcome.status == "suspended":
        outcome = await world.later(body, 60)

    assert (
        outcome.output
        == {
            "race": "b1b2",
            "join": {"a": "a1a2", "b": "b1b2", "c": None},
            "map": ["a1a2", "b1b2", "c1c2"],
        }[kind]
    )
    assert "b1" not in begun
    assert {"a1", "b2"} <= set(begun)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("count", [42, 500])
async def test_many_branches_end_at_once(trial: Trial, count: int) -> None:
    # E-21, G3 G12
    async def body(ctx: Context) -> Any:
        found = await ctx.join(**{f"b{n}": work(n, 1) for n in range(count)})
        await ctx.sleep(60)
        return sum(found.values())

    output, commits = await trial.run(body)
    steps = [e for e in await trial.history(commits) if e.kind == "step"]

    assert output == sum(range(count))
    assert calls == dict.fromkeys(range(count), 1)
    assert {(e.status, e.attempts) for e in steps} == {("completed", 1)}
    assert len(steps) == count
    found, _ = await trial.run(body, commits[:-1])
    assert found == output
    assert not calls


@pytest.mark.parametrize("word", ["wait", "as_completed"])
async def test_five_steps_that_end_in_two_processes_keep_their_order(
    trial: Trial, word: str
) -> None:
    # E-14, G8
    seconds = {"a": 5, "b": 2, "c": 4, "d": 1, "e": 3}

    async def body(ctx: Context) -> Any:
        order: list[Any] = []
        if word == "as_completed":
            for each in asyncio.as_completed([work(n, s) for n, s in seconds.items()]):
                order.append(await each)  # noqa: PERF401  one after the other
        else:
            pending = {asyncio.create_task(work(n, s)) for n, s in seconds.items()}
            while pending:
                done, pending = await asyncio.wait(
                    pending, return_when=asyncio.FIRST_COMPLETED
                )
                order += [task.result() for task in done]
        await ctx.sleep(60)
        return order

    _, commits = await trial.run(body)
    first = commits[:1]
    while len(durable(await trial.history(first))) < 2:
        first = commits[: len(first) + 1]
    seconds.update(a=1, c=2, e=9)
    output, both = await trial.run(body, first)

    assert output == ["d", "b", "a", "c", "e"]
    assert calls == {"a": 1, "c": 1, "e": 1}
    for _ in range(20):
        assert (await trial.run(body, both[:-1]))[0] == output
        assert not calls


async def test_the_body_that_cancels_a_join_cancels_all_of_its_branches(
    trial: Trial,
) -> None:
    # E-18
    async def body(ctx: Context) -> Any:
        try:
            async with asyncio.timeout(5):
                await ctx.join(a=work("a", 60), b=ctx.sleep(60), c=ctx.receive("never"))
        except TimeoutError:
            await ctx.sleep(60)
            return "late"

    commits = await trial.everywhere(body, "late")
    entries = await trial.history(commits)
    statuses = {e.name: e.status for e in entries if e.kind != "timer"}

    await trial.run(body)
    assert cancelled == ["a"]
    assert statuses.pop("join") == "cancelled"
    assert {e.status for e in entries if len(e.path) == 3} == {"cancelled"}


async def test_a_task_that_a_branch_waits_for_lies_under_the_branch(
    trial: Trial,
) -> None:
    # E-19
    async def pair(name: str) -> list[Any]:
        return [*await asyncio.gather(work(f"{name}1"), work(f"{name}2"))]

    async def body(ctx: Context) -> Any:
        return await ctx.join(a=pair("a"), b=pair("b"))

    output, commits = await trial.run(body)

    assert output == {"a": ["a1", "a2"], "b": ["b1", "b2"]}
    assert sorted(paths(await trial.history(commits), "step")) == [
        ["join", 0, branch, 0, "work", n] for branch in "ab" for n in range(2)
    ]


async def test_a_result_too_large_for_its_own_record_comes_from_the_branches(
    trial: Trial,
) -> None:
    # E-03
    @step
    async def large() -> str:
        calls["large"] += 1
        return "x" * 100_000

    async def body(ctx: Context) -> Any:
        found = await ctx.join(a=large(), b=work("b"))
        await ctx.sleep(60)
        return len(found["a"])

    output, commits = await trial.run(body)
    entries = await trial.history(commits)

    assert output == 100_000
    assert [e.value for e in entries if e.kind == "join"] == [None]
    assert (await trial.run(body, commits[:-1]))[0] == output
    assert not calls
