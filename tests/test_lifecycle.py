"""Code that differs at the root of its history, what is blocked, replay: group K."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import edgeflow.context
from edgeflow import (
    BodyError,
    Context,
    ErrorInfo,
    Event,
    Outcome,
    Workflow,
    current_step,
    step,
    workflow,
)
from tests.deploying import CALLS, one, three, two

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.conftest import World


def why(error: ErrorInfo | None) -> str:
    assert error is not None
    return f"{error.type}: {error.message}"


def blocked_reason(outcome: Outcome[Any]) -> str:
    assert outcome.status == "blocked"
    assert outcome.error is not None
    return outcome.error.message


# --- divergence -------------------------------------------------------------


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
        found = await two()
        await ctx.sleep(60)
        return found


async def scoped_nothing(ctx: Context) -> int:
    async with ctx.scope("block"):
        await ctx.sleep(60)
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
        (scoped_two,),
        (scoped_nothing,),
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


# --- replay -----------------------------------------------------------------


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
