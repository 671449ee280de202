"""Delays between attempts: grown, drawn once, stored (B-03 to B-07, B-10)."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import pytest

from edgeflow import (
    App,
    Context,
    Retry,
    RetryAfter,
    StepError,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from edgeflow import EntryInfo, Outcome, Workflow

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


# B-03
@pytest.mark.parametrize(
    ("retry", "delays"),
    [
        (Retry(jitter=0), [0.2, 0.4, 0.8]),
        (Retry(first=10, factor=10, cap=30, jitter=0), [10, 30, 30]),
    ],
)
async def test_the_delay_grows_and_is_counted_from_the_failure(
    world: World, retry: Retry, delays: list[float]
) -> None:
    failed_at: list[float] = []

    @step(retry=retry)
    async def broken() -> None:
        await world.clock.sleep(1)
        failed_at.append(world.clock.now())
        raise ValueError("broken")

    @workflow
    async def code(_ctx: Context) -> None:
        await broken()

    await world.start(code)
    seen: list[float] = []
    while (outcome := await world.drive(code)).status == "suspended":
        assert outcome.wake_at is not None
        seen.append(outcome.wake_at - failed_at[-1])
        world.pass_time_until(outcome.wake_at)

    assert seen == pytest.approx(delays, abs=1e-6)
    assert len(failed_at) == 4
    assert outcome.status == "failed"


# B-04  G9
async def test_jitter_is_drawn_once_and_stored(world: World) -> None:
    @step
    async def flaky(number: int) -> int:
        if current_step().attempt == 1:
            raise ValueError("first")
        return number

    @workflow
    async def code(_ctx: Context) -> list[int]:
        return await asyncio.gather(*(flaky(number) for number in range(1000)))

    await world.start(code)
    outcome = await world.drive(code)
    assert outcome.wake_at is not None
    before = {str(entry.path): entry for entry in await world.history()}
    delays = [(entry.retry_at or 0) - entry.at for entry in before.values()]

    assert len(delays) == 1000
    assert 0.18 - 1e-6 <= min(delays) < 0.185
    assert 0.215 < max(delays) <= 0.22 + 1e-6
    retry_times = [entry.retry_at for entry in before.values()]
    assert outcome.wake_at == min(at for at in retry_times if at is not None)

    # Resume while most of them still back off: these keep the time they drew.
    world.pass_time_until(outcome.wake_at)
    copy = World(store=deepcopy(world.store), clock=VirtualClock(world.clock.now()))
    await copy.process(code).drive("i", deadline=1.001)
    kept = [entry for entry in await copy.history() if entry.status == "retrying"]
    assert kept
    for entry in kept:
        assert entry.retry_at == before[str(entry.path)].retry_at


# B-05  G10
@pytest.mark.parametrize("mode", MODES)
async def test_an_early_wake_in_a_back_off_burns_no_attempt(
    world: World, mode: Durability
) -> None:
    world.durability = mode
    calls: list[int] = []

    @step(retry=Retry(first=60, cap=60, jitter=0))
    async def flaky() -> None:
        calls.append(1)
        raise ValueError("broken")

    @workflow
    async def code(_ctx: Context) -> None:
        await flaky()

    await world.start(code)
    app, began = world.process(code), world.clock.now()
    outcomes = list(await asyncio.gather(app.drive("i"), app.drive("i")))
    await world.process(code).handle("i").wake()
    outcomes += [await app.drive("i"), await world.drive(code)]

    assert [o.status for o in outcomes] == ["suspended"] * 4
    assert [o.wake_at for o in outcomes] == pytest.approx([began + 60] * 4, abs=1e-3)
    assert len({o.wake_at for o in outcomes}) == 1
    assert len(calls) == 1
    (entry,) = await world.history()
    assert entry.attempts == 1


# B-06, S32  G8
async def test_a_deploy_during_a_back_off_changes_only_what_follows(
    world: World,
) -> None:
    calls: list[int] = []

    async def broken() -> None:
        calls.append(1)
        raise ValueError(f"failure {len(calls)}")

    def deployed(retry: Retry) -> Workflow[None, None]:
        @workflow(name="code")
        async def code(_ctx: Context) -> None:
            await step(name="broken", retry=retry)(broken)()

        return code

    old = deployed(Retry(attempts=9, first=100, factor=2, cap=1000, jitter=0))
    new = deployed(Retry(attempts=1, first=1, cap=2, jitter=0))
    await world.start(old)
    outcome = await world.drive(old)
    assert outcome.wake_at is not None
    world.pass_time_until(outcome.wake_at)
    second = await world.drive(old)
    assert second.wake_at == pytest.approx(outcome.wake_at + 200, abs=1e-3)
    assert second.wake_at is not None

    assert (await world.drive(new)).wake_at == second.wake_at
    world.pass_time_until(second.wake_at - 1)
    assert (await world.drive(new)).wake_at == second.wake_at
    assert len(calls) == 2
    world.pass_time_until(second.wake_at)
    outcome = await world.drive(new)

    assert len(calls) == 3
    assert outcome.status == "failed"
    (entry,) = await world.history()
    assert (entry.status, entry.attempts) == ("failed", 3)
    assert entry.error is not None
    assert entry.error.message == "failure 3"


# B-07  G1
async def test_a_back_off_under_the_linger_is_spent_in_the_same_drive(
    world: World,
) -> None:
    failed_at: list[float] = []

    @step(retry=Retry(first=0.05, factor=100, cap=30, jitter=0))
    async def broken() -> None:
        failed_at.append(world.clock.now())
        raise ValueError("broken")

    @workflow
    async def code(_ctx: Context) -> None:
        await broken()

    await world.start(code)
    outcome = await world.drive(code)

    assert len(failed_at) == 2
    assert failed_at[1] - failed_at[0] == pytest.approx(0.05, abs=1e-6)
    assert outcome.status == "suspended"
    assert outcome.wake_at == pytest.approx(failed_at[1] + 5, abs=1e-6)


# B-10
async def test_retry_after_sets_the_delay_and_counts_as_an_attempt(
    world: World,
) -> None:
    failed_at: list[float] = []

    @step(retry=Retry(attempts=2, cap=30))
    async def busy() -> None:
        await world.clock.sleep(1)
        failed_at.append(world.clock.now())
        raise RetryAfter(90)

    @workflow
    async def code(_ctx: Context) -> str:
        try:
            await busy()
        except StepError as error:
            return f"{error.kind} after {error.attempts}"
        return "no error"

    await world.start(code)
    outcome = await world.drive(code)
    assert outcome.status == "suspended"
    assert outcome.wake_at == pytest.approx(failed_at[0] + 90, abs=1e-6)
    assert outcome.wake_at is not None
    world.pass_time_until(outcome.wake_at)
    outcome = await world.drive(code)

    assert outcome.output == "exhausted after 2"
    assert len(failed_at) == 2
