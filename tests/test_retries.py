"""Retries: what is tried again, and how often (CONFORMANCE group B)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import pytest

from edgeflow import (
    App,
    Context,
    FatalError,
    Retry,
    StepError,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from edgeflow import EntryInfo, Outcome, Workflow
    from edgeflow.retry import Matcher

R = TypeVar("R")
Durability: TypeAlias = Literal["step", "behind", "suspend"]
MODES: list[Durability] = ["step", "behind", "suspend"]


@dataclass
class World:
    """A store and a clock; every `process` starts with nothing in memory."""

    durability: Durability = "step"
    resumes: Literal["from memory", "by replay"] = "by replay"
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

    async def drive(self, code: Workflow[None, Any]) -> Outcome[Any]:
        """Drive once, in a process of its own."""
        return await self.process(code).drive("i")

    async def finish(self, code: Workflow[None, R]) -> R:
        """Run to the end, resuming as this world does."""
        app = self.process(code)
        if self.resumes == "from memory":
            return await app.run(code, id="i")
        handle = await app.start(code, id="i")
        while (outcome := await self.drive(code)).status == "suspended":
            assert outcome.wake_at is not None
            self.pass_time_until(outcome.wake_at)
        return await handle.result()

    def pass_time_until(self, when: float) -> None:
        self.clock.advance(when - self.clock.now())

    async def history(self) -> list[EntryInfo]:
        return await App(self.store, clock=self.clock).handle("i").history()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(params=["from memory", "by replay"])
def resumed(world: World, request: pytest.FixtureRequest) -> World:
    world.resumes = request.param
    return world


# B-01  G7
@pytest.mark.parametrize("mode", MODES)
async def test_a_step_that_fails_twice_succeeds_at_its_third_attempt(
    resumed: World, mode: Durability
) -> None:
    resumed.durability = mode
    calls: list[int] = []

    @step
    async def flaky() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError("not yet")
        return "done"

    @workflow
    async def code(_ctx: Context) -> str:
        return await flaky()

    assert await resumed.finish(code) == "done"

    assert len(calls) == 3
    (entry,) = await resumed.history()
    assert (entry.status, entry.attempts, entry.value) == ("completed", 3, "done")


# B-02  G7 G8
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("retry", "attempts"), [(None, 4), (Retry(attempts=1), 1)])
async def test_a_step_that_always_fails_is_exhausted_with_its_last_error(
    resumed: World, retry: Retry | None, attempts: int, mode: Durability
) -> None:
    resumed.durability = mode
    calls: list[int] = []
    errors: list[StepError] = []

    @step(retry=retry)
    async def broken() -> None:
        calls.append(1)
        raise ValueError(f"failure {len(calls)}")

    @workflow
    async def code(ctx: Context) -> None:
        try:
            await broken()
        except StepError as error:
            errors.append(error)
        await ctx.sleep(600)  # longer than any back-off: seen live and replayed

    await resumed.finish(code)

    assert len(calls) == attempts
    assert errors
    for error in errors:
        assert (error.kind, error.attempts) == ("exhausted", attempts)
        assert (error.step, error.error.type) == ("broken", "ValueError")
        assert error.error.message == f"failure {attempts}"


class Refused(ValueError):
    pass


def is_value_error(error: BaseException) -> bool:
    return isinstance(error, ValueError)


NEVER: list[tuple[Exception, Matcher]] = [
    (FatalError("no"), Exception),
    (FatalError("no"), FatalError),
    (KeyError("no"), ValueError),
    (KeyError("no"), (ValueError, OSError)),
    (KeyError("no"), is_value_error),
]
AGAIN: list[tuple[Exception, Matcher]] = [
    (ValueError("no"), ValueError),
    (Refused("no"), ValueError),
    (OSError("no"), (ValueError, OSError)),
    (ValueError("no"), is_value_error),
]


# B-09, S7  G8
@pytest.mark.parametrize(
    ("error", "on", "calls_made"),
    [(*case, 1) for case in NEVER] + [(*case, 4) for case in AGAIN],
)
async def test_only_errors_that_the_policy_names_are_retried(
    resumed: World, error: Exception, on: Matcher, calls_made: int
) -> None:
    calls: list[int] = []
    kinds: list[tuple[str, int]] = []

    @step(retry=Retry(on=on))
    async def broken() -> None:
        calls.append(1)
        raise error

    @workflow
    async def code(ctx: Context) -> None:
        try:
            await broken()
        except StepError as failure:
            kinds.append((failure.kind, failure.attempts))
        await ctx.sleep(60)

    await resumed.finish(code)

    assert len(calls) == calls_made
    assert set(kinds) == {("fatal" if calls_made == 1 else "exhausted", calls_made)}


# B-17  G8
async def test_a_back_off_in_a_branch_suspends_and_fails_nothing(
    resumed: World,
) -> None:
    calls: list[str] = []

    @step(retry=Retry(first=5, jitter=0))
    async def flaky() -> str:
        calls.append("flaky")
        if calls.count("flaky") == 1:
            raise ValueError("once")
        return "flaky"

    @step
    async def stable() -> str:
        calls.append("stable")
        return "stable"

    @workflow
    async def code(_ctx: Context) -> list[str]:
        return list(await asyncio.gather(flaky(), stable()))

    if resumed.resumes == "by replay":
        await resumed.start(code)
        outcome = await resumed.drive(code)
        assert outcome.status == "suspended"
        assert outcome.wake_at == pytest.approx(resumed.clock.now() + 5, abs=1e-3)

    assert await resumed.finish(code) == ["flaky", "stable"]
    assert sorted(calls) == ["flaky", "flaky", "stable"]
