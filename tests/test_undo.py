"""What a failing instance undoes, in which order, and how often (CONFORMANCE I)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    Context,
    FatalError,
    Retry,
    StepError,
    WorkflowFailed,
    current_step,
    step,
    workflow,
)
from edgeflow.engine import opening
from tests import conftest

if TYPE_CHECKING:
    from edgeflow import EntryInfo, Outcome, Workflow
    from edgeflow.store import Store

undone: list[Any] = []
"""What the undos got, in the order of their calls."""
QUICK = Retry(jitter=0)


@dataclass
class Payment:
    amount: int
    items: list[str]


@step
async def charge(amount: int) -> Payment:
    return Payment(amount, ["one"])


@charge.undo
async def refund(payment: Payment) -> None:
    undone.append(payment)


@step
def note(text: str | None) -> str | None:
    return text


@note.undo
def erase(text: str | None) -> None:
    undone.append(text)


@step(retry=QUICK)
async def book(room: int) -> int:
    return room


@book.undo
async def unbook(room: int) -> None:
    undone.append((room, current_step().attempt))
    if room == 2:
        raise ConnectionError("the hotel is closed")


@step(retry=QUICK)
async def rent(car: int) -> int:
    return car


@rent.undo(retry=Retry(attempts=1))
async def give_back(car: int) -> None:
    undone.append((car, current_step().attempt))
    raise ConnectionError("the garage is closed")


@step
async def plain() -> int:
    return 1


async def erase_later(text: str | None) -> None:
    undone.append(text)


async def erase_badly(text: str | None) -> None:
    undone.append((text, current_step().attempt))
    raise ConnectionError("no")


@pytest.fixture(autouse=True)
def _nothing_is_undone_yet() -> None:
    undone.clear()


class World(conftest.World):
    async def fail(self, code: Workflow[None, Any]) -> WorkflowFailed:
        """Run it to its failure in one process."""
        with pytest.raises(WorkflowFailed) as failed:
            await self.process(code).run(code, id="i")
        return failed.value

    async def finish(self, code: Workflow[None, Any]) -> list[Outcome[Any]]:
        """Drive it to its end, each time in another process."""
        await self.process(code).start(code, id="i")
        outcomes = [await self.process(code).drive("i")]
        while (wake_at := outcomes[-1].wake_at) is not None:
            self.clock.advance(wake_at - self.clock.now())
            outcomes.append(await self.process(code).drive("i"))
        return outcomes

    async def undos(self) -> list[EntryInfo]:
        return [entry for entry in await self.history() if entry.kind == "undo"]


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


async def test_undos_run_newest_first_each_with_its_own_recorded_result(
    world: World,
) -> None:
    # I-01 G8 G9
    @step
    async def look() -> str:
        return "i"

    @workflow
    async def code(ctx: Context) -> None:
        observed.append(world)
        await look.using(undo=peek)()
        payment = await charge(1)
        payment.items.append("two")
        items = await ctx.step("changed", plain_list, undo=erase_list)
        items.clear()
        raise ValueError("no stock")

    error = await world.fail(code)

    assert undone == [["a"], Payment(1, ["one"]), "undoing"]
    assert (error.error.type, error.error.message) == ("ValueError", "no stock")
    assert error.undo_errors == ()
    info = await world.process().handle("i").info()
    assert (info.status, info.error) == ("failed", error.error)


observed: list[World] = []


async def peek(instance: str) -> None:
    handle = observed.pop().process().handle(instance)
    undone.append((await handle.info()).status)


def plain_list() -> list[str]:
    return ["a"]


def erase_list(items: list[str]) -> None:
    undone.append(items)


async def test_an_undo_is_an_entry_below_its_step(world: World) -> None:
    # I-01
    @workflow
    async def code(ctx: Context) -> None:
        async with ctx.scope("pay"):
            await charge(1)
        raise ValueError

    await world.fail(code)

    [entry] = await world.undos()
    assert entry.path == [
        ["scope", "pay", 0],
        ["step", "charge", 0],
        ["undo", "refund", 0],
    ]
    assert (entry.name, entry.status, entry.attempts) == ("refund", "completed", 1)


async def test_only_what_completed_and_can_be_undone_is_undone(world: World) -> None:
    # I-02
    async def fail() -> str:
        raise FatalError("never")

    async def hang() -> str:
        await world.clock.sleep(100)
        return "late"

    @workflow
    async def code(ctx: Context) -> None:
        await plain()
        await note(None)
        for name, function in (("failed", fail), ("once", fail)):
            with pytest.raises(StepError):
                await ctx.step(
                    name, function, undo=erase_later, at_most_once=name == "once"
                )
        race = await ctx.race(
            slow=ctx.step("loser", hang, undo=erase_later), fast=note("winner")
        )
        assert race.name == "fast"
        raise ValueError

    await world.fail(code)

    assert undone == ["winner", None]


async def test_an_interrupted_step_is_not_undone(world: World) -> None:
    # I-02
    entered: list[int] = []

    async def hang() -> str:
        entered.append(1)
        await world.clock.sleep(100)
        return "late"

    @workflow
    async def code(ctx: Context) -> None:
        await note("before")
        await ctx.step("hang", hang, undo=erase_later, at_most_once=True)

    app = world.process(code)
    await app.start(code, id="i")
    assert (await app.drive("i", deadline=10)).status == "suspended"
    outcome = await world.process(code).drive("i")

    assert (outcome.status, len(entered)) == ("failed", 1)
    assert outcome.error is not None
    assert "interrupted" in outcome.error.message
    assert undone == ["before"]


async def test_a_body_that_catches_the_error_and_returns_undoes_nothing(
    world: World,
) -> None:
    # I-02
    async def fail() -> str:
        raise FatalError("never")

    @workflow
    async def code(ctx: Context) -> str:
        await charge(1)
        try:
            await ctx.step("fail", fail)
        except StepError:
            return "all the same"
        return "unreachable"

    assert await world.process(code).run(code, id="i") == "all the same"
    assert undone == []


async def test_an_undo_is_retried_like_its_step_and_its_back_off_is_a_suspension(
    world: World,
) -> None:
    # I-06 G7
    @workflow
    async def code(_ctx: Context) -> None:
        for room in (1, 2, 3):
            await book(room)
        raise ValueError("no flight")

    outcomes = await world.finish(code)

    assert undone == [(3, 1), (2, 1), (2, 2), (2, 3), (2, 4), (1, 1)]
    assert [outcome.status for outcome in outcomes] == ["undoing"] * 3 + ["failed"]
    assert all(outcome.error for outcome in outcomes)
    waits = [outcome.wake_at or 0 for outcome in outcomes[:3]]
    assert [round(b - a, 3) for a, b in pairwise(waits)] == [0.4, 0.8]
    last = outcomes[-1]
    assert last.error is not None
    assert (last.error.type, last.error.message) == ("ValueError", "no flight")
    [wrong] = last.undo_errors
    assert wrong.type == "ConnectionError"
    assert wrong.message == "undo unbook of book[1]: the hotel is closed"


async def test_an_undo_can_have_a_policy_of_its_own(world: World) -> None:
    # I-06 G7
    @workflow
    async def code(_ctx: Context) -> None:
        for car in (1, 2):
            await rent(car)
        await charge(3)
        raise ValueError("no flight")

    failed = await world.fail(code)

    assert undone == [Payment(3, ["one"]), (2, 1), (1, 1)]
    assert [error.type for error in failed.undo_errors] == ["ConnectionError"] * 2
    assert "no flight" in str(failed)
    assert "undo give_back of rent[0]: the garage is closed" in str(failed)
    info = await world.process().handle("i").info()
    assert info.undo_errors == failed.undo_errors


@pytest.mark.parametrize("asks", ["at the call", "with using"])
async def test_an_undo_given_at_a_call_keeps_the_policy_of_that_call(
    world: World, asks: str
) -> None:
    # I-06
    async def make() -> str:
        return "made"

    @workflow
    async def code(ctx: Context) -> None:
        policy = Retry(attempts=2, jitter=0)
        if asks == "at the call":
            await ctx.step("make", make, undo=erase_badly, retry=policy)
        else:
            await note.using(undo=erase_badly, retry=policy)("made")
        raise ValueError

    outcomes = await world.finish(code)

    assert undone == [("made", 1), ("made", 2)]
    assert [outcome.status for outcome in outcomes] == ["undoing", "failed"]


async def test_only_what_came_after_the_last_checkpoint_is_undone(
    world: World,
) -> None:
    # I-10 G15
    @workflow
    async def code(ctx: Context) -> None:
        await note("first")
        async with ctx.scope("inner"):
            await note("second")
        await ctx.checkpoint("paid")
        await note("third")
        raise ValueError

    await world.fail(code)

    assert undone == ["third"]
    kinds = {entry.name: entry.kind for entry in await world.history()}
    assert kinds["paid"] == "checkpoint"


async def test_a_checkpoint_holds_after_a_replay(world: World) -> None:
    # I-10
    @workflow
    async def code(ctx: Context) -> None:
        await note("first")
        await ctx.checkpoint("paid")
        await note("second")
        await ctx.sleep(60)
        raise ValueError

    outcomes = await world.finish(code)

    assert [outcome.status for outcome in outcomes] == ["suspended", "failed"]
    assert undone == ["second"]


async def test_without_an_undo_left_an_instance_fails_at_once(world: World) -> None:
    # I-10
    @workflow
    async def code(ctx: Context) -> None:
        await note("first")
        await ctx.checkpoint("paid")
        raise ValueError

    await world.fail(code)

    assert undone == []


async def test_an_undo_is_a_step_that_can_be_called(world: World) -> None:
    # I-01
    @workflow
    async def code(_ctx: Context) -> None:
        await refund(Payment(1, []))

    await refund(Payment(0, []))
    await world.process(code).run(code, id="i")

    assert undone == [Payment(0, []), Payment(1, [])]
    assert [(e.kind, e.name) for e in await world.history()] == [("step", "refund")]


async def test_a_failure_records_which_entries_have_caused_it(world: World) -> None:
    # I-11
    async def fail() -> None:
        raise FatalError("never")

    @workflow
    async def code(ctx: Context) -> None:
        async with ctx.scope("caught"):
            with pytest.raises(StepError):
                await ctx.step("harmless", fail)
        try:
            await ctx.step("first", fail)
        except StepError as error:
            try:
                await ctx.join(a=ctx.step("branch", fail), b=charge(1))
            except* StepError as group:
                raise ValueError("all is lost") from group
            raise RuntimeError from error

    await world.fail(code)

    journal, _ = await opening.load(world.process().wiring, "i", b"")
    found = {path[-1][1] for path in journal.end["causes"]}
    assert found - {"join"} == {"first", "branch"}
