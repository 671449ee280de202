"""`assert_replayable`: today's code against a history, without running anything."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

import edgeflow.context
from edgeflow import (
    App,
    BodyError,
    Context,
    Event,
    HistoryDiverged,
    Retry,
    Stop,
    UnknownInstance,
    step,
)
from edgeflow.engine import opening
from edgeflow.engine.checking import exported
from edgeflow.testing import assert_replayable
from tests.deploying import CALLS, Deployments, Part, child, deployment, one, three, two

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@step(retry=Retry(attempts=1))
async def doomed() -> None:
    CALLS["doomed"] += 1
    raise ConnectionError


@one.undo
async def take_back(_one: int) -> None:
    CALLS["take_back"] += 1


class World(Deployments):
    """With the ways to hand over a history."""

    def __init__(self, form: str) -> None:
        super().__init__()
        CALLS.clear()
        self.form = form

    async def stored(self, part: Part, status: str = "suspended") -> None:
        """Let the old code get as far as it does."""
        app = self.process(part)
        await app.start("deployed", id="i")
        outcome = await app.drive("i")
        while outcome.awaiting and outcome.awaiting != ("never",):
            await app.run_due()
            outcome = await app.drive("i")
        assert outcome.status == status, outcome
        CALLS.clear()

    async def replay(self, part: Part, **settings: Any) -> None:
        """Replay it against this code; the store and time stay as they were."""
        app = self.process(part, **settings)
        history: str | dict[str, Any] = "i"
        if self.form == "exported":
            history = await self.export()
            app = App("memory:", workflows=[deployment(part), child], **settings)
        commits, now = len(self.store.commits), self.clock.now()
        try:
            await assert_replayable(app, history)
        finally:
            assert CALLS == {}, "no function is entered"
            assert len(self.store.commits) == commits, "nothing is written"
            assert self.clock.now() == now

    async def export(self) -> dict[str, Any]:
        """What a file holds of `edgeflow show ID --json`."""
        journal, _ = await opening.load(self.process(nap).wiring, "i", b"")
        found: dict[str, Any] = json.loads(json.dumps({"journal": exported(journal)}))
        return found


@pytest.fixture(params=["in the store", "exported"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


async def nap(ctx: Context) -> None:
    await ctx.sleep(60)


def of(*steps: Callable[[], Awaitable[Any]]) -> Part:
    async def part(ctx: Context) -> list[Any]:
        found = [await each() for each in steps]
        await ctx.sleep(60)
        return found

    return part


def in_a_scope(*steps: Callable[[], Awaitable[Any]]) -> Part:
    async def part(ctx: Context) -> Any:
        async with ctx.scope("block"):
            return await of(*steps)(ctx)

    return part


def in_a_turn(*steps: Callable[[], Awaitable[Any]]) -> Part:
    async def part(ctx: Context) -> Any:
        async def turn(_state: None) -> Stop[Any]:
            return Stop(await of(*steps)(ctx))

        return await ctx.loop("turns", turn, state=None)

    return part


def in_a_branch(*steps: Callable[[], Awaitable[Any]]) -> Part:
    async def part(ctx: Context) -> Any:
        return await ctx.join(a=of(*steps)(ctx), b=ctx.sleep(600))

    return part


PLACES = [of, in_a_scope, in_a_turn, in_a_branch]
CHANGES = {
    "renamed": ((one,), (one.using(name="uno"),), "one[0]"),
    "removed at the end": ((one, two), (one,), "two[0]"),
    "inserted before": ((one,), (three, one), "one[0]"),
    "swapped": ((one, two), (two, one), "one[0]"),
}


@pytest.mark.parametrize("place", PLACES)
async def test_the_code_that_made_a_history_replays_it(
    world: World, place: Callable[..., Part]
) -> None:
    # K-17, G9
    await world.stored(place(one, two))

    await world.replay(place(one, two))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_of_what_is_recorded_is_refused(
    world: World, change: str, place: Callable[..., Part]
) -> None:
    # K-17, K-01, K-02, G9
    old, new, path = CHANGES[change]
    await world.stored(place(*old))

    with pytest.raises(HistoryDiverged) as caught:
        await world.replay(place(*new))

    assert caught.value.path.endswith(path)


@pytest.mark.parametrize("place", PLACES)
async def test_a_step_behind_all_that_is_recorded_is_not_entered(
    world: World, place: Callable[..., Part]
) -> None:
    # K-17, K-02, G9
    await world.stored(place(one))

    await world.replay(place(one, three))


async def test_a_step_in_back_off_that_is_not_asked_for_is_refused(
    world: World,
) -> None:
    # K-17, G9
    async def shaky() -> None:
        raise ConnectionError

    async def before(ctx: Context) -> None:
        await ctx.step("shaky", shaky, retry=Retry(first=60))

    await world.stored(before)
    await world.replay(before)

    with pytest.raises(HistoryDiverged, match="shaky"):
        await world.replay(of(three))


async def everything(ctx: Context) -> Any:
    async def turn(number: int) -> int | Stop[Any]:
        await one()
        return number + 1 if number < 3 else Stop(number)

    async def item(number: int) -> int:
        return number + await two()

    found = [
        await ctx.join(a=one(), b=two()),
        (await ctx.race(a=one(), b=ctx.sleep(60))).name,
        await ctx.map(item, [1, 2], key=str),
        await ctx.loop("turns", turn, state=0),
        await ctx.version("gate", 2),
        await ctx.call(child),
        ctx.random.random(),
        str(ctx.uuid()),
        ctx.now().isoformat(),
    ]
    await ctx.step(f"by chance {ctx.random.random()} {ctx.uuid()} {ctx.id}", int)
    await ctx.status(found)
    await ctx.checkpoint("done")
    await ctx.send("someone", "hello")
    await ctx.receive("never")
    return found


async def test_a_history_of_everything_is_replayed(world: World) -> None:
    # K-17, G9
    await world.stored(everything)

    await world.replay(everything)


async def failing(_ctx: Context) -> None:
    await one()
    await doomed()


async def ending(_ctx: Context) -> int:
    return await one()


@pytest.mark.parametrize(
    ("part", "status"), [(failing, "failed"), (ending, "completed")]
)
async def test_a_finished_history_is_replayed(
    world: World, part: Part, status: str
) -> None:
    # K-17, G9
    await world.stored(part, status)

    await world.replay(part)
    with pytest.raises(HistoryDiverged):
        await world.replay(of(two))


@step(retry=Retry(first=60))
async def shaky() -> None:
    raise ConnectionError


async def recovered(ctx: Context) -> None:
    await two()
    await ctx.join(a=one(), b=three())
    await asyncio.gather(shaky(), doomed())


async def recovered_otherwise(ctx: Context) -> None:
    await two()
    await ctx.join(a=one(), b=ctx.sleep(1, name="three"))


async def test_a_history_that_goes_on_after_a_failure_is_replayed(
    world: World,
) -> None:
    # K-17, G9: what was kept over the recovery has lost its order
    await world.stored(recovered, "failed")
    await world.process(recovered).handle("i").recover()

    await world.replay(recovered)
    with pytest.raises(HistoryDiverged, match="a step, the code asks for a sleep"):
        await world.replay(recovered_otherwise)


async def test_other_reasons_to_block_are_raised_too(world: World) -> None:
    # K-17, K-09
    async def number() -> int:
        return 1

    async def text() -> str:
        return "1"

    async def before(ctx: Context) -> None:
        await ctx.step("draw", number)
        await ctx.sleep(60)

    async def after(ctx: Context) -> None:
        await ctx.step("draw", text)
        await ctx.sleep(60)

    await world.stored(before)

    with pytest.raises(BodyError, match=r"draw\[0\] does not fit the code"):
        await world.replay(after)


async def test_an_unknown_workflow_is_named(world: World) -> None:
    # K-17, K-09
    await world.stored(nap)
    app = App(world.store, clock=world.clock)

    with pytest.raises(BodyError, match="'deployed'"):
        await assert_replayable(app, "i")


async def test_nobody_hears_of_a_rehearsal(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # K-16, K-17
    lines: list[str] = []
    heard: list[Event] = []

    class Log:
        def info(self, line: str) -> None:
            lines.append(line)

    def bound(**_values: object) -> Log:
        return Log()

    monkeypatch.setattr(edgeflow.context, "logger", bound)

    async def part(ctx: Context) -> None:
        await one()
        await ctx.sleep(60)

    async def loud(ctx: Context) -> None:
        ctx.log.info("before")
        await one()
        ctx.log.info("after")
        await ctx.sleep(60)

    await world.stored(part)
    caplog.clear()

    await world.replay(loud, observers=[heard.append])
    with pytest.raises(HistoryDiverged):
        await world.replay(of(two), observers=[heard.append])

    assert (lines, heard, caplog.messages) == ([], [], [])


async def test_an_id_that_nobody_has_is_refused() -> None:
    with pytest.raises(UnknownInstance, match="nobody"):
        await assert_replayable(App("memory:"), "nobody")


@pytest.mark.parametrize("history", [{}, {"journal": {}}, {"journal": {"format": 9}}])
async def test_what_is_no_history_is_refused(history: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="edgeflow show ID --json"):
        await assert_replayable(App("memory:"), history)
