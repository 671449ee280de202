"""Group E: one branch per item, some at a time, results in the order of items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import Context, JoinError, current_step, step, workflow
from tests.trial import Trial, calls, cancelled, durable, paths, said, trial, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import World

__all__ = ["trial"]  # a fixture


@pytest.mark.parametrize("order", [1, -1, 3])
async def test_a_map_has_at_most_some_branches_at_a_time(
    trial: Trial, order: int
) -> None:
    # E-11, G8
    running, most = 0, 0

    @step
    async def part(n: int) -> int:
        nonlocal running, most
        calls[n] += 1
        running += 1
        most = max(most, running)
        await current_step().resources.sleep(1 + n * order % 10)
        running -= 1
        return n * n

    async def body(ctx: Context) -> Any:
        found = await ctx.map(part, range(10), limit=3)
        await ctx.sleep(60)
        return found

    squares = [n * n for n in range(10)]
    output, commits = await trial.run(body)

    assert output == squares
    assert most == 3
    assert calls == dict.fromkeys(range(10), 1)
    at_six = 0
    for length in range(1, len(commits)):
        known = durable(await trial.history(commits[:length]))
        at_six += len(known) == 6
        running = most = 0
        assert (await trial.run(body, commits[:length]))[0] == squares
        assert most <= 3
        assert not {n * n for n in calls} & known
        assert len(calls) == 10 - len(known)
    assert at_six


async def test_the_branches_of_a_map_have_all_the_time_without_a_limit(
    trial: Trial,
) -> None:
    # E-11
    async def body(ctx: Context) -> Any:
        began = ctx.now()
        found = await ctx.map(lambda n: work(n, 10), [3, 1, 2])
        return [found, (ctx.now() - began).total_seconds()]

    assert (await trial.run(body))[0] == [[3, 1, 2], 10]


async def one(item: str) -> Any:
    return await work(item, int(item[-1]))


ITEMS = ["-a1", "b2", "-c3", "d4", "e5"]


async def test_a_map_bears_no_failure_unless_it_is_told_to(trial: Trial) -> None:
    # E-12, S21 G8
    async def body(ctx: Context) -> Any:
        try:
            await ctx.map(one, ITEMS, max_failed=0)
        except JoinError as error:
            await ctx.sleep(60)
            return said(error)

    output, commits = await trial.run(body)

    assert output[0] == "JoinError"
    assert list(output[2]) == ["0"]
    assert commits[-1].now - commits[0].now == 61
    assert output[2]["0"][5] == "no -a1"
    assert sorted(cancelled) == ["-c3", "b2", "d4", "e5"]
    await trial.everywhere(body, output)


async def test_a_map_without_numbers_ends_at_its_first_failure(trial: Trial) -> None:
    # E-12, S21
    async def body(ctx: Context) -> Any:
        with pytest.raises(JoinError) as caught:
            await ctx.map(one, ITEMS)
        return list(caught.value.errors)

    assert (await trial.run(body))[0] == ["0"]
    assert sorted(cancelled) == ["-c3", "b2", "d4", "e5"]


async def test_failures_that_are_borne_leave_a_gap(trial: Trial) -> None:
    # E-12, S21 G8
    async def body(ctx: Context) -> Any:
        found = await ctx.map(one, ITEMS, max_failed=2)
        await ctx.sleep(60)
        return found

    await trial.everywhere(body, [None, "b2", None, "d4", "e5"])


async def test_one_failure_too_many_names_them_all(trial: Trial) -> None:
    # E-12, S21 G8
    async def body(ctx: Context) -> Any:
        try:
            await ctx.map(one, ["a9", *ITEMS], max_failed=1, key=lambda item: item)
        except JoinError as error:
            await ctx.sleep(60)
            return said(error)

    output, _ = await trial.run(body)

    assert list(output[2]) == ["-a1", "-c3"]
    assert sorted(cancelled) == ["a9", "d4", "e5"]
    await trial.everywhere(body, output)


async def test_enough_successes_end_a_map(trial: Trial) -> None:
    # E-12, S21 G8
    async def body(ctx: Context) -> Any:
        found = await ctx.map(one, [*ITEMS, "f9"], min_ok=3)
        await ctx.sleep(60)
        return found

    expected = [None, "b2", None, "d4", "e5", None]
    output, commits = await trial.run(body)
    statuses = [e.status for e in await trial.history(commits) if e.kind == "step"]

    assert output == expected
    assert cancelled == ["f9"]
    assert statuses.count("cancelled") == 1
    await trial.everywhere(body, expected)


async def test_successes_out_of_reach_end_a_map(trial: Trial) -> None:
    # E-12, S21
    async def body(ctx: Context) -> Any:
        with pytest.raises(JoinError) as caught:
            await ctx.map(one, ITEMS, min_ok=4)
        return list(caught.value.errors)

    assert (await trial.run(body))[0] == ["0", "2"]
    assert sorted(cancelled) == ["d4", "e5"]


async def test_items_that_wait_are_not_begun_once_a_map_is_over(trial: Trial) -> None:
    # E-12, S21
    async def body(ctx: Context) -> Any:
        return await ctx.map(one, ["a1", "b2", "c3", "d4"], limit=1, min_ok=2)

    output, commits = await trial.run(body)

    assert output == ["a1", "b2", None, None]
    assert set(calls) == {"a1", "b2"}
    assert len(paths(await trial.history(commits), "step")) == 2


def first_letter(item: str) -> str:
    return item[0]


def looks_alike(item: str) -> str | int:
    return 1 if item == "a1" else "1"


def no_key(item: str) -> Any:
    return (item,)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"key": first_letter}, ValueError),
        ({"key": looks_alike}, ValueError),
        ({"key": no_key}, TypeError),
        ({"limit": 0}, ValueError),
        ({"max_failed": -1}, ValueError),
        ({"min_ok": 0}, ValueError),
        ({"min_ok": 3}, ValueError),
    ],
)
async def test_a_map_that_makes_no_sense_is_refused(
    trial: Trial, words: dict[str, Any], error: type[Exception]
) -> None:
    # E-12, S21
    async def body(ctx: Context) -> Any:
        with pytest.raises(error, match="map"):
            await ctx.map(one, ["a1", "a2"], **words)
        return "refused"

    output, commits = await trial.run(body)

    assert output == "refused"
    assert await trial.history(commits) == []


def as_text(item: str) -> str:
    return f"order {item}"


def as_number(item: str) -> int:
    return {"x1": 17, "y1": 4}[item]


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (None, [0, 1]),
        (as_text, ["order x1", "order y1"]),
        (as_number, [17, 4]),
    ],
)
async def test_the_key_of_an_item_names_it_in_the_journal(
    trial: Trial, key: Callable[[str], str | int] | None, shown: list[Any]
) -> None:
    # E-12, G8
    async def body(ctx: Context) -> Any:
        found = await ctx.map(one, ["x1", "y1"], key=key)
        await ctx.sleep(60)
        return found

    commits = await trial.everywhere(body, ["x1", "y1"])
    entries = await trial.history(commits)

    assert paths(entries, "step") == [["map", 0, "item", k, "work", 0] for k in shown]


async def test_a_function_of_several_steps_waits_in_a_map(trial: Trial) -> None:
    # E-11 E-04, G8
    async def body(ctx: Context) -> Any:
        async def handle(item: int) -> Any:
            first = await work(f"first {item}", item)
            await ctx.sleep(30)
            inner = await ctx.map(lambda n: work(f"{item}.{n}"), range(item))
            return [first, *inner]

        return await ctx.map(handle, [2, 0, 1], limit=2)

    expected = [["first 2", "2.0", "2.1"], ["first 0"], ["first 1", "1.0"]]

    await trial.everywhere(body, expected)


async def test_an_error_in_the_function_itself_is_that_of_its_item(
    trial: Trial,
) -> None:
    # E-12
    def odd(item: int) -> Any:
        if item % 2:
            raise ValueError(f"odd: {item}")
        return work(item)

    async def body(ctx: Context) -> Any:
        with pytest.raises(JoinError) as caught:
            await ctx.map(odd, [0, 1, 2])
        return {name: str(error) for name, error in caught.value.errors.items()}

    assert (await trial.run(body))[0] == {"1": "odd: 1"}


async def test_a_map_in_mode_suspend_costs_no_commit_of_its_own(
    world: World,
) -> None:
    # M-05, S31
    @step
    async def part(n: int) -> int:
        return n

    @workflow(durability="suspend")
    async def body(ctx: Context) -> Any:
        found = await ctx.map(part, range(3))
        joined = await ctx.join(a=part(3), b=part(4))
        won = await ctx.race(c=part(5), d=ctx.sleep(60))
        async with ctx.scope("last"):
            last = await part(6)
        return [*found, *joined.values(), won.value, last]

    assert await world.process(body).run(body, id="i") == list(range(7))
    assert world.commits == 2
