"""Errors of steps, as a body sees them live and replayed (CONFORMANCE H)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pytest

from edgeflow import (
    App,
    Context,
    ErrorInfo,
    FatalError,
    Retry,
    StepError,
    WorkflowFailed,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from edgeflow import EntryInfo, Outcome, Step, Workflow

Durability: TypeAlias = Literal["step", "behind", "suspend"]
MODES: list[Durability] = ["step", "behind", "suspend"]
ONCE = Retry(attempts=1)


@dataclass
class World:
    """A store and a clock; every `process` starts with nothing in memory."""

    durability: Durability = "step"
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def process(self, code: Workflow[None, Any]) -> App:
        return App(
            self.store,
            workflows=[code],
            clock=self.clock,
            durability=self.durability,
        )

    async def start(self, code: Workflow[None, Any]) -> None:
        await self.process(code).start(code, id="i")

    async def finish(self, code: Workflow[None, Any]) -> Outcome[Any]:
        """Start it, unless it is; drive it in process after process until it ends."""
        await self.start(code)
        while (outcome := await self.process(code).drive("i")).status == "suspended":
            assert outcome.wake_at is not None
            self.clock.advance(outcome.wake_at - self.clock.now())
        return outcome

    async def history(self) -> list[EntryInfo]:
        return await App(self.store, clock=self.clock).handle("i").history()


@pytest.fixture
def world() -> World:
    return World()


Seen: TypeAlias = tuple[str, str, int, ErrorInfo]


def parts(error: StepError) -> Seen:
    return (error.kind, error.step, error.attempts, error.error)


# H-01  G8
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scoped", [False, True])
async def test_a_fatal_error_is_caught_as_a_step_error(
    world: World, mode: Durability, *, scoped: bool
) -> None:
    world.durability = mode
    seen: list[Seen] = []

    @step
    async def charge() -> None:
        raise FatalError("card is closed")

    @workflow
    async def code(ctx: Context) -> str:
        try:
            if scoped:
                async with ctx.scope("pay"):
                    await charge()
            else:
                await charge()
        except StepError as error:
            seen.append(parts(error))
        await ctx.sleep(60)
        return "handled"

    outcome = await world.finish(code)

    assert (outcome.status, outcome.output) == ("completed", "handled")
    info = ErrorInfo("edgeflow.errors.FatalError", "card is closed", ["card is closed"])
    assert seen == [("fatal", "charge", 1, info)] * 2


# H-02  G8
@pytest.mark.parametrize("mode", MODES)
async def test_an_exhausted_step_is_caught_after_its_back_off(
    world: World, mode: Durability
) -> None:
    world.durability = mode
    seen: list[Seen] = []
    calls: list[int] = []

    @step(retry=Retry(attempts=2, first=60, cap=60))
    async def charge() -> None:
        calls.append(1)
        raise ValueError(f"failure {len(calls)}")

    @workflow
    async def code(_ctx: Context) -> str:
        try:
            await charge()
        except StepError as error:
            seen.append(parts(error))
        return "handled"

    assert (await world.finish(code)).output == "handled"

    info = ErrorInfo("ValueError", "failure 2", ["failure 2"])
    assert seen == [("exhausted", "charge", 2, info)]
    assert len(calls) == 2


CAUGHT = {
    "exhausted": ("exhausted", 2, "ValueError", "('declined', 7)", ["declined", 7]),
    "fatal": ("fatal", 1, "edgeflow.errors.FatalError", "never", ["never"]),
    "interrupted": ("interrupted", 1, "Interrupted", "process ended", None),
    "unencodable": ("unencodable", 1, "Unencodable", "object", None),
    "timed out": ("exhausted", 2, "TimeoutError", "5 s", ...),
}


async def fail(cause: str, clock: VirtualClock) -> object:
    match cause:
        case "exhausted":
            raise ValueError("declined", 7)
        case "fatal":
            raise FatalError("never")
        case "unencodable":
            return object()
        case "timed out":
            await clock.sleep(60)
        case _:
            pass
    return None


# H-03, S11  G2 G8
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cause", list(CAUGHT))
async def test_a_caught_failure_is_durable_and_replays_equal(
    world: World, cause: str, mode: Durability
) -> None:
    world.durability = mode
    calls: list[int] = []
    seen: list[Seen] = []
    at_except: list[MemoryStore] = []
    crashed: list[MemoryStore] = []

    async def charge() -> object:
        calls.append(1)
        crashed.append(deepcopy(world.store))
        return await fail(cause, world.clock)

    charging: Step[[], object] = step(
        retry=None if cause == "interrupted" else Retry(attempts=2, first=1),
        at_most_once=cause == "interrupted",
        timeout=5,
    )(charge)

    @workflow
    async def code(ctx: Context) -> str:
        try:
            await charging()
        except StepError as error:
            at_except.append(deepcopy(world.store))
            seen.append(parts(error))
            await ctx.sleep(600)
            return "handled"
        return "no error"

    if cause == "interrupted":
        await world.finish(code)
        world.store = crashed[0]
    assert (await world.finish(code)).output == "handled"

    kind, attempts, type_, message, data = CAUGHT[cause]
    assert len(calls) == attempts
    assert len(seen) == 2
    assert seen[0] == seen[1]
    error = seen[0][3]
    assert seen[0][:3] == (kind, "charge", attempts)
    assert error.type == type_
    assert message in error.message
    if data is not ...:
        assert error.data == data
    if mode == "step":
        (entry,) = await World(store=at_except[0]).history()
        assert (entry.status, entry.attempts) == ("failed", attempts)
        assert entry.error == error


# H-04  G8
@pytest.mark.parametrize("mode", MODES)
async def test_an_uncaught_failure_of_a_step_fails_the_instance(
    world: World, mode: Durability
) -> None:
    world.durability = mode

    @step(retry=Retry(attempts=2))
    async def charge() -> None:
        raise ValueError("declined")

    @workflow
    async def code(_ctx: Context) -> None:
        await charge()

    with pytest.raises(WorkflowFailed) as failed:
        await world.process(code).run(code, id="i")

    handle = world.process(code).handle("i")  # another process
    with pytest.raises(WorkflowFailed) as read:
        await handle.result()
    info = await handle.info()
    assert info.status == "failed"
    assert failed.value.error == read.value.error == info.error
    assert info.error is not None
    assert info.error.type == "edgeflow.errors.StepError"
    for part in ("'charge'", "2 attempts", "ValueError: declined"):
        assert part in info.error.message
        assert part in str(read.value)


# H-04  G8
async def test_an_error_of_the_body_fails_the_instance_with_type_and_message(
    world: World,
) -> None:
    @workflow
    async def code(_ctx: Context) -> None:
        raise ValueError("x")

    with pytest.raises(WorkflowFailed):
        await world.process(code).run(code, id="i")

    handle = world.process(code).handle("i")
    with pytest.raises(WorkflowFailed, match="ValueError: x") as failed:
        await handle.result()
    info = await handle.info()
    assert info.status == "failed"
    assert info.error == failed.value.error == ErrorInfo("ValueError", "x", ["x"])
