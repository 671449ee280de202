"""Group F: turns with a durable state between them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    Context,
    Outcome,
    Stop,
    WorkflowFailed,
    step,
    workflow,
)
from tests.trial import Trial, calls, paths, trial, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import World

__all__ = ["trial"]  # a fixture


def blocked_reason(outcome: Outcome[Any]) -> str:
    assert outcome.status == "blocked"
    assert outcome.error is not None
    return outcome.error.message


async def test_a_loop_ends_with_what_its_stop_holds(trial: Trial) -> None:
    # F-01, S22 G8
    entered: list[int] = []

    async def turn(n: int) -> int | Stop[int]:
        entered.append(n)
        if n == 3:
            return Stop(n)
        await work(n)
        return n + 1

    async def body(ctx: Context) -> Any:
        found = await ctx.loop("n", turn, state=0, keep=100)
        await ctx.sleep(60)
        return found

    commits = await trial.everywhere(body, 3)
    steps = paths(await trial.history(commits), "step")

    assert steps == [["n", 0, "turn", n, "work", 0] for n in range(3)]
    entered.clear()
    await trial.run(body, commits[:-1])
    assert entered == []
    assert not calls


async def test_a_stop_without_a_value_is_none(trial: Trial) -> None:
    # F-01
    async def body(ctx: Context) -> Any:
        async def turn(n: int) -> int | Stop[None]:
            await work(n)
            return Stop() if n else n + 1

        found: list[Any] = [await ctx.loop("n", turn, state=0)]
        await ctx.sleep(60)
        return found

    await trial.everywhere(body, [None])


async def test_none_is_a_state_like_any_other(trial: Trial) -> None:
    # F-01, S22
    async def body(ctx: Context) -> Any:
        states: list[Any] = []

        async def turn(state: str | None) -> str | Stop[str] | None:
            states.append(state)
            await work(str(state))
            if len(states) > 1 or state is None:
                return Stop(f"was {state}")
            return None

        first: str | None = "first"
        return await ctx.loop("n", turn, state=first, keep=9)

    await trial.everywhere(body, "was None")


async def test_a_state_that_its_annotation_refuses_blocks(world: World) -> None:
    # F-01, S22
    @workflow
    async def body(ctx: Context) -> Any:
        async def turn(n: int) -> int | Stop[None]:
            return None  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

        return await ctx.loop("n", turn, state=0)

    await world.start(body)
    reason = blocked_reason(await world.drive(body))

    assert "the state of the loop n[0]" in reason


async def test_a_recorded_state_that_does_not_fit_blocks(world: World) -> None:
    # F-02
    def make(kind: type) -> Any:
        @workflow(name="w")
        async def body(ctx: Context) -> Any:
            async def turn(state: Any) -> Any:
                await ctx.sleep(60)
                return state

            turn.__annotations__["state"] = kind
            return await ctx.loop("n", turn, state=kind())

        return body

    await world.start(make(int))
    await world.drive(make(int))
    reason = blocked_reason(await world.later(make(dict)))

    assert "the state of the loop n[0]" in reason


@dataclass
class Basket:
    items: list[str]
    total: int = 0


async def test_a_turn_gets_the_state_of_its_beginning_again(trial: Trial) -> None:
    # F-02, G6 G9
    seen: list[Any] = []
    given = Basket(["first"])

    async def turn(basket: Basket) -> Basket | Stop[Basket]:
        seen.append([*basket.items])
        basket.items.append(f"item {basket.total}")
        await work(f"pack {basket.total}", 1)
        basket.total += 1
        await work(f"weigh {basket.total}", 1)
        return Stop(basket) if basket.total == 3 else basket

    async def body(ctx: Context) -> Any:
        found = await ctx.loop("n", turn, state=given)
        assert given == Basket(["first"])
        return [type(found).__name__, found.items, found.total]

    items = ["first", "item 0", "item 1", "item 2"]
    commits = await trial.everywhere(body, ["Basket", items, 3])

    for length in range(1, len(commits)):
        seen.clear()
        await trial.run(body, commits[:length])
        every = [items[: n + 1] for n in range(3)]
        assert seen == every[3 - len(seen) :]


async def test_a_failed_turn_goes_on_from_its_entries_after_recover(
    world: World,
) -> None:
    # F-03, G8
    entered: list[int] = []
    is_mended = False

    @step
    async def add(n: int) -> int:
        calls[n] += 1
        return n + 1

    @workflow
    async def body(ctx: Context) -> Any:
        async def turn(n: int) -> int | Stop[int]:
            entered.append(n)
            n = await add(n)
            if n == 4 and not is_mended:
                raise ValueError("not this one")
            return Stop(n) if n == 5 else n

        return await ctx.loop("n", turn, state=0, prune_every=2)

    calls.clear()
    with pytest.raises(WorkflowFailed, match="ValueError: not this one"):
        await world.process(body).run(body, id="i")
    assert calls == dict.fromkeys(range(4), 1)

    is_mended = True
    entered.clear()
    calls.clear()
    await world.handle().recover()
    outcome = await world.drive(body)

    assert outcome.output == 5
    assert entered == [3, 4]
    assert calls == {4: 1}


async def test_the_error_of_a_turn_is_that_of_the_loop(trial: Trial) -> None:
    # F-03
    mine = ValueError("mine")

    async def body(ctx: Context) -> Any:
        async def turn(_: int) -> int:
            raise mine

        with pytest.raises(ValueError, match="mine") as caught:
            await ctx.loop("n", turn, state=0)
        assert caught.value is mine
        return "same"

    assert (await trial.run(body))[0] == "same"


async def test_a_crash_between_turns_repeats_none_of_their_steps(trial: Trial) -> None:
    # F-04, G8
    states: list[int] = []

    async def turn(n: int) -> int | Stop[int]:
        states.append(n)
        await work(f"a{n}", 1)
        await work(f"b{n}", 1)
        return Stop(n) if n == 2 else n + 1

    async def body(ctx: Context) -> Any:
        return await ctx.loop("n", turn, state=0)

    commits = await trial.everywhere(body, 2)

    between = 0
    for length in range(1, len(commits)):
        entries = await trial.history(commits[:length])
        ended = [e.value for e in entries if e.kind == "step"]
        begun = max((e.path[-1][2] for e in entries if e.kind == "turn"), default=0)
        between += f"b{begun}" in ended
        states.clear()
        await trial.run(body, commits[:length])
        assert states[0] == begun
        assert not set(ended) & set(calls)
    assert between == 3


async def test_each_turn_costs_what_its_step_costs(world: World) -> None:
    # F-09 M-05, S31
    @step
    async def add(n: int) -> int:
        return n + 1

    @workflow
    async def body(ctx: Context) -> Any:
        async def turn(n: int) -> int | Stop[int]:
            n = await add(n)
            return Stop(n) if n == 100 else n

        return await ctx.loop("n", turn, state=0)

    assert await world.process(body).run(body, id="i") == 100
    assert world.commits == 102


async def joined(ctx: Context) -> None:
    await ctx.join(a=asyncio.sleep(0), b=asyncio.sleep(0))


async def raced(ctx: Context) -> None:
    await ctx.race(a=asyncio.sleep(0), b=asyncio.sleep(0))


async def mapped(ctx: Context) -> None:
    async def same(n: int) -> int:
        return n

    await ctx.map(same, [1, 2])


async def looped(ctx: Context) -> None:
    async def turn(n: int) -> int | Stop[int]:
        return Stop(n) if n == 5 else n + 1

    await ctx.loop("n", turn, state=0)


async def scoped(ctx: Context) -> None:
    async with ctx.scope("s"):
        pass


async def received(ctx: Context) -> None:
    await ctx.receive("there")


@pytest.mark.parametrize("word", [joined, raced, mapped, looped, scoped, received])
async def test_blocks_cost_no_commit_of_their_own(
    world: World, word: Callable[[Context], Any]
) -> None:
    # M-05, S31
    @step
    async def one() -> None:
        pass

    @workflow
    async def alone(ctx: Context) -> str:
        await one()
        return ctx.id

    @workflow
    async def beside(ctx: Context) -> str:
        await word(ctx)
        await one()
        await word(ctx)
        return ctx.id

    for at, body in enumerate([alone, beside]):
        app = world.process(body)
        await app.start(body, id=str(at))
        for _ in range(2):
            await app.handle(str(at)).send("there", 1)
        before = world.commits
        outcome = await app.drive(str(at))
        assert outcome.status == "completed"
        assert world.commits - before == 3  # opening, step, return


async def test_turns_without_operations_are_not_run_again(trial: Trial) -> None:
    # F-11, G8
    entered: list[int] = []

    async def body(ctx: Context) -> Any:
        async def turn(n: int) -> int | Stop[int]:
            entered.append(n)
            if n == 0:
                return 1
            await ctx.sleep(60)
            return Stop(n)

        return await ctx.loop("n", turn, state=0)

    output, commits = await trial.run(body)
    assert output == 1
    assert entered == [0, 1]
    suspended = next(at for at, c in enumerate(commits) if c.wake_at is not None)

    entered.clear()
    assert (await trial.run(body, commits[: suspended + 1]))[0] == 1
    assert entered == [1]


async def test_a_name_that_is_used_twice_makes_two_loops(trial: Trial) -> None:
    # F-12, G8
    async def body(ctx: Context) -> Any:
        found: list[Any] = []
        for prefix in "ab":

            async def turn(n: int, prefix: str = prefix) -> int | Stop[str]:
                await work(f"{prefix}{n}")
                return Stop(f"{prefix}{n}") if n == 1 else n + 1

            found.append(await ctx.loop("n", turn, state=0, keep=9))
        return found

    commits = await trial.everywhere(body, ["a1", "b1"])

    assert paths(await trial.history(commits), "step") == [
        ["n", o, "turn", n, "work", 0] for o in range(2) for n in range(2)
    ]


@pytest.mark.timeout(60)
async def test_a_native_loop_works_like_one_that_is_never_pruned(trial: Trial) -> None:
    # F-12, G8
    async def body(ctx: Context) -> Any:
        n, failed = 0, 0
        while n < 1000:
            try:
                await work(n if n % 100 else f"-{n}")
            except Exception:
                failed += 1
            if n % 250 == 0:
                await ctx.sleep(60)
            n += 1
        return [n, failed]

    output, commits = await trial.run(body, durability="suspend")
    steps = await trial.history(commits)

    assert output == [1000, 10]
    assert [e.path[-1][2] for e in steps if e.kind == "step"] == list(range(1000))
    for length in (2, 5, len(commits) - 1):
        known = await trial.history(commits[:length])
        found, _ = await trial.run(body, commits[:length], durability="suspend")
        assert found == output
        assert sum(calls.values()) == 1000 - sum(e.kind == "step" for e in known)


@pytest.mark.parametrize("words", [{"keep": -1}, {"prune_every": 0}])
async def test_a_loop_that_makes_no_sense_is_refused(
    trial: Trial, words: dict[str, int]
) -> None:
    async def body(ctx: Context) -> Any:
        async def turn(_: int) -> Stop[None]:
            return Stop()

        with pytest.raises(ValueError, match="loop"):
            await ctx.loop("n", turn, state=0, **words)
        return "refused"

    assert (await trial.run(body))[0] == "refused"


async def test_a_loop_under_a_deadline_leaves_the_rest_of_the_body_alone(
    trial: Trial,
) -> None:
    # F-12 E-18
    async def body(ctx: Context) -> Any:
        async def turn(n: int) -> int:
            await ctx.sleep(10)
            return n + 1

        try:
            async with asyncio.timeout(25):
                await ctx.loop("n", turn, state=0)
        except TimeoutError:
            return await work("after")

    await trial.everywhere(body, "after")


async def test_time_in_a_loop_does_not_depend_on_turns_that_are_gone(
    trial: Trial,
) -> None:
    # F-11, G9
    async def body(ctx: Context) -> Any:
        times: list[float] = []

        async def turn(n: int) -> int | Stop[int]:
            begun = ctx.now().timestamp()
            await ctx.sleep(60)
            times.append(ctx.now().timestamp() - begun)
            return Stop(n) if n == 2 else n + 1

        await ctx.loop("n", turn, state=0)
        return times[-1]

    await trial.everywhere(body, 60)


async def test_the_app_of_a_finished_loop_needs_its_value_only(world: World) -> None:
    # F-01
    @workflow(name="w")
    async def before(ctx: Context) -> Any:
        async def turn(n: int) -> int | Stop[Basket]:
            await ctx.sleep(1)
            return Stop(Basket([str(n)])) if n == 1 else n + 1

        basket = await ctx.loop("n", turn, state=0)
        await ctx.sleep(60)
        return basket.items

    @workflow(name="w")
    async def after(ctx: Context) -> Any:
        async def turn(_: int) -> Stop[Basket]:
            raise AssertionError

        basket = await ctx.loop("n", turn, state=0)
        await ctx.sleep(60)
        return basket.items

    await world.start(before)
    app: App = world.process(before)
    for _ in range(3):
        await app.drive("i")
        world.clock.advance(1)
    outcome = await world.later(after)

    assert outcome.output == ["1"]
