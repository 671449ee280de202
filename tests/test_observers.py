"""Observers: L-19, L-20."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from edgeflow import (
    Context,
    ErrorInfo,
    Event,
    Retry,
    StepError,
    StoreUnavailable,
    current_step,
    workflow,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.conftest import World

QUICK = Retry(jitter=0)


def why(error: ErrorInfo | None) -> str:
    assert error is not None
    return f"{error.type}: {error.message}"


async def test_observers_hear_each_failure_once_and_after_its_commit(
    world: World,
) -> None:
    # L-19, S28, G2
    events: list[Event] = []
    durable: list[bool] = []
    texts: list[str] = []
    calls: Counter[str] = Counter()

    def observe(event: Event) -> None:
        events.append(event)
        if event.error is not None:
            written = b"".join(b"".join(c.frames) for c in world.store.commits)
            durable.append(event.error.message.encode() in written)

    async def fails_once() -> int:
        calls["once"] += 1
        if calls["once"] == 1:
            raise LookupError("first-of-once")
        return 1

    async def fails_always() -> None:
        calls["always"] += 1
        raise LookupError(f"always-{calls['always']}")

    @workflow
    async def body(ctx: Context) -> None:
        await ctx.step("once", fails_once, retry=QUICK)
        try:
            await ctx.step("always", fails_always, retry=Retry(attempts=2, jitter=0))
        except StepError as error:
            texts.append(error.error.message)
        await ctx.sleep(60)
        raise ValueError("the-end")

    await world.start(body)
    outcomes: list[str] = []
    for _ in range(4):
        outcome = await world.process(body, observers=[observe]).drive("i")
        outcomes.append(outcome.status)
        wake_at = outcome.wake_at or world.clock.now()
        world.clock.advance(max(0.0, wake_at - world.clock.now()))

    assert outcomes == ["suspended"] * 3 + ["failed"]
    failures = [e for e in events if e.kind == "attempt_failed"]
    assert [(e.path, e.attempt, e.final, e.delay, why(e.error)) for e in failures] == [
        ("once[0]", 1, False, 0.2, "LookupError: first-of-once"),
        ("always[0]", 1, False, 0.2, "LookupError: always-1"),
        ("always[0]", 2, True, None, "LookupError: always-2"),
    ]
    ends = [why(e.error) for e in events if e.kind == "failed"]
    assert ends == ["ValueError: the-end"]
    assert durable == [True] * 4
    assert {(e.instance, e.workflow) for e in events} == {("i", "body")}
    completed = [e.path for e in events if e.kind == "step_completed"]
    assert completed == ["once[0]"]
    assert texts == ["always-2"] * 2


async def never(_event: Event) -> None:
    await asyncio.Event().wait()


async def raises_late(_event: Event) -> None:
    await asyncio.sleep(0)
    raise LookupError("an observer's own trouble")


def raises_at_once(_event: Event) -> None:
    raise LookupError("an observer's own trouble")


@pytest.mark.parametrize("observer", [never, raises_late, raises_at_once])
async def test_an_observer_cannot_harm_or_delay_an_instance(
    world: World,
    observer: Callable[[Event], Awaitable[None] | None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    # L-20, S28
    calls: list[int] = []

    async def once() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise LookupError("x")
        return 7

    @workflow
    async def body(ctx: Context) -> int:
        return await ctx.step("once", once, retry=Retry(first=0.05, jitter=0))

    await world.start(body)
    with caplog.at_level(logging.WARNING, "edgeflow"):
        outcome = await world.process(body, observers=[observer]).drive("i")
        took = world.clock.now() - world.START
        await world.clock.sleep(5)

    assert (outcome.status, outcome.output) == ("completed", 7)
    assert took == pytest.approx(0.05)
    assert "observer" in caplog.text


async def test_an_attempt_counts_before_an_observer_hears_of_it(world: World) -> None:
    # L-20, G7
    attempts: list[int] = []

    def dies(event: Event) -> None:
        if event.kind == "attempt_failed":
            world.kill()

    async def fail() -> None:
        attempts.append(current_step().attempt)
        raise LookupError("x")

    @workflow
    async def body(ctx: Context) -> str:
        try:
            await ctx.step("fail", fail, retry=Retry(attempts=2, first=0.05, jitter=0))
        except StepError as error:
            return f"{ctx.id} {error.attempts}"
        return "no error"

    await world.start(body)
    with pytest.raises(StoreUnavailable):
        await world.mortal(body, observers=[dies]).drive("i")
    [entry] = await world.history()
    assert (entry.status, entry.attempts) == ("retrying", 1)
    world.clock.advance(60)

    assert (await world.drive(body)).output == "i 2"
    assert attempts[0] == 1
    assert attempts[-1] == 2
    assert len(attempts) <= 3
