"""Bodies that catch more than errors, and errors that are odd (H-08, H-09, H-11)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, Retry, StepError, Suspension, step, workflow
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow import ErrorInfo, Outcome, Workflow
    from edgeflow.store import Store

ONCE = Retry(attempts=1)


async def finish(
    store: Store, clock: VirtualClock, code: Workflow[None, Any]
) -> Outcome[Any]:
    """Drive in process after process, each at the wake time, until it ends."""
    await App(store, workflows=[code], clock=clock).start(code, id="i")
    while True:
        outcome = await App(store, workflows=[code], clock=clock).drive("i")
        if outcome.status != "suspended":
            return outcome
        assert outcome.wake_at is not None
        clock.advance(outcome.wake_at - clock.now())


# H-08  G8 G9
@pytest.mark.parametrize("stays", [False, True])
async def test_except_exception_catches_errors_and_no_suspension(
    *, stays: bool
) -> None:
    store, clock = MemoryStore(), VirtualClock()
    runs: list[list[str]] = []
    calls: list[int] = []

    @step(retry=Retry(first=60, cap=60, attempts=2))
    async def flaky() -> str:
        calls.append(1)
        raise ValueError("always")

    @workflow
    async def code(ctx: Context) -> str:
        runs.append(handled := [])
        for wait in (
            lambda: ctx.sleep(60),
            lambda: ctx.receive("a", timeout=60),
            flaky,
            lambda: asyncio.sleep(60),
        ):
            try:
                await wait()
            except Exception as error:
                handled.append(type(error).__name__)
        return "done"

    if stays:
        app = App(store, workflows=[code], clock=clock)
        assert await app.run(code, id="i") == "done"
    else:
        assert (await finish(store, clock, code)).output == "done"

    errors = ["ReceiveTimeout", "StepError"]
    assert runs[-1] == errors
    assert all(handled == errors[: len(handled)] for handled in runs)
    assert len(runs) == (1 if stays else 5)
    assert len(calls) == 2


# H-08  G8 G9
@pytest.mark.parametrize("running", ["step", "sleep"])
async def test_except_exception_does_not_catch_an_eviction(running: str) -> None:
    store, clock = MemoryStore(), VirtualClock()
    handled: list[Exception] = []
    began = asyncio.Event()
    calls: list[int] = []

    @step
    async def slow() -> str:
        calls.append(1)
        began.set()
        await clock.sleep(60 if len(calls) > 1 else 1e6)
        return "slow"

    @workflow
    async def code(ctx: Context) -> str:
        try:
            if running == "step":
                return await slow()
            began.set()
            await ctx.sleep(1e6)
        except Exception as error:
            handled.append(error)
            return "handled"
        return "slept"

    async with App(store, workflows=[code], clock=clock) as app:
        await app.start(code, id="i")
        await began.wait()

    app = App(store, workflows=[code], clock=clock)
    assert (await app.handle("i").info()).status == "suspended"
    outcome = await finish(store, clock, code)
    assert outcome.output == ("slow" if running == "step" else "slept")
    assert handled == []


def a_step(_ctx: Context, charge: Callable[[], Any]) -> Any:
    return charge()


def a_sleep(ctx: Context, _: object) -> Any:
    return ctx.sleep(1, name="second")


def a_receive(ctx: Context, _: object) -> Any:
    return ctx.receive("a", timeout=1)


def a_timer(_ctx: Context, _: object) -> Any:
    return asyncio.sleep(1)


# H-09, S18  G1
@pytest.mark.parametrize("operation", [a_step, a_sleep, a_receive, a_timer])
@pytest.mark.parametrize("where", ["after a bare except", "in finally"])
async def test_a_swallowed_suspension_is_raised_again_at_the_next_operation(
    operation: Callable[..., Any], where: str
) -> None:
    store, clock = RecordingStore(MemoryStore()), VirtualClock()
    calls: list[int] = []
    again: list[BaseException] = []

    @step
    async def charge() -> None:
        calls.append(1)

    @workflow
    async def code(ctx: Context) -> int:
        asleep = False

        async def go_on() -> None:
            try:
                await operation(ctx, charge)
            except BaseException as signal:
                if asleep:
                    again.append(signal)
                raise

        asleep = True
        if where == "in finally":
            try:
                await ctx.sleep(60)
                asleep = False
            finally:
                if asleep:
                    await go_on()
        else:
            try:
                await ctx.sleep(60)
                asleep = False
            except:  # noqa: E722  it is the case
                await go_on()
        return 1

    await App(store, workflows=[code], clock=clock).start(code, id="i")
    app = App(store, workflows=[code], clock=clock)
    outcome = await app.drive("i")
    await asyncio.sleep(0)

    assert outcome.status == "suspended"
    (signal,) = again
    if operation is a_timer:  # which asyncio cancels
        assert isinstance(signal, (Suspension, asyncio.CancelledError))
    else:
        assert isinstance(signal, Suspension)
    assert calls == []
    statuses = [commit.status for commit in store.commits]
    assert statuses == ["pending", "running", "suspended"]
    assert await app.handle("i").history() == []
    assert (await finish(store, clock, code)).output == 1
    entries = await app.handle("i").history()
    assert [entry.name for entry in entries] == ["sleep"]


# H-09, S18  G1
async def test_a_value_returned_after_a_swallowed_suspension_is_ignored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, clock = MemoryStore(), VirtualClock()

    @workflow
    async def code(ctx: Context) -> int:
        for name in ("first", "second"):
            try:
                await ctx.sleep(60, name=name)
            except:  # noqa: E722  it is the case
                continue
        return 1

    app = App(store, workflows=[code], clock=clock)
    await app.start(code, id="i")
    with caplog.at_level(logging.WARNING, "edgeflow"):
        outcome = await app.drive("i")
        await asyncio.sleep(0)

    assert (outcome.status, outcome.output) == ("suspended", None)
    assert (await app.handle("i").info()).status == "suspended"
    (warning,) = caplog.messages
    assert "'i'" in warning
    assert (await finish(store, clock, code)).output == 1
    assert [e.name for e in await app.handle("i").history()] == ["first", "second"]


# H-09, S18
async def test_a_task_that_ended_before_the_suspension_has_swallowed_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, clock = MemoryStore(), VirtualClock()

    async def nothing() -> int:
        return 0

    @workflow
    async def code(ctx: Context) -> int:
        await asyncio.gather(ctx.sleep(60), nothing(), nothing())
        return 1

    with caplog.at_level(logging.WARNING, "edgeflow"):
        assert (await finish(store, clock, code)).output == 1
        await asyncio.sleep(0)

    assert caplog.messages == []


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Lying(Exception):
    def __edgeflow_data__(self) -> object:
        raise RuntimeError("no data")


def group() -> ExceptionGroup[Exception]:
    return ExceptionGroup("two", [ValueError("a"), KeyError("b")])


MIB = 1024 * 1024
ODD: dict[str, tuple[Exception, str, Any]] = {
    "long": (ValueError("x" * MIB), "x" * 8192, None),
    "long, of two bytes each": (ValueError("é" * MIB), "é" * 4096, None),
    "unencodable args": (ValueError(7, object), "(7, <class 'object'>)", None),
    "nan": (ValueError(float("nan")), "nan", None),
    "surrogate": (ValueError("a\udc80b"), "a?b", None),
    "group": (group(), "two (2 sub-exceptions)", None),
    "mute": (Mute("text"), "<str() of it raised RuntimeError>", ["text"]),
    "lying": (Lying("text"), "text", None),
    "empty": (ValueError(), "", []),
}


# H-11, S7  G8
@pytest.mark.parametrize("which", list(ODD))
async def test_an_odd_error_is_recorded_all_the_same(which: str) -> None:
    raised, message, data = ODD[which]
    seen: list[tuple[str, int, ErrorInfo]] = []
    store, clock = MemoryStore(), VirtualClock()

    @step(retry=Retry(attempts=2))
    async def broken() -> None:
        raise raised

    @workflow
    async def code(ctx: Context) -> None:
        try:
            await broken()
        except StepError as error:
            seen.append((error.kind, error.attempts, error.error))
        await ctx.sleep(60)

    assert (await finish(store, clock, code)).status == "completed"

    assert len(seen) == 2
    assert seen[0] == seen[1]
    kind, attempts, error = seen[0]
    assert (kind, attempts) == ("exhausted", 2)
    assert error.type.endswith(type(raised).__name__)
    assert error.message == message
    assert error.data == data


# H-11
async def test_an_odd_error_of_the_body_is_recorded_all_the_same() -> None:
    store, clock = MemoryStore(), VirtualClock()

    @workflow
    async def code(_ctx: Context) -> None:
        raise ValueError("x" * MIB, object())

    outcome = await finish(store, clock, code)

    assert outcome.status == "failed"
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.data) == ("ValueError", None)
    assert len(outcome.error.message) == 8192
