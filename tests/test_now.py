"""What time it is, and chance, the same on replay (CONFORMANCE C-05, C-06)."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, step, workflow
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from uuid import UUID

    from edgeflow import Outcome, Workflow
    from edgeflow.store import Head, Store


@dataclass
class World:
    """A store and a clock; every `process` starts with nothing in memory."""

    store: Store = field(default_factory=MemoryStore)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.began = self.clock.now()

    def process(self, code: Workflow[None, Any]) -> App:
        return App(self.store, workflows=[code], clock=self.clock)

    async def start(self, code: Workflow[None, Any]) -> None:
        await self.process(code).start(code, id="i")

    async def drive(self, code: Workflow[None, Any]) -> Outcome[Any]:
        """Drive once, in a process of its own."""
        return await self.process(code).drive("i")

    async def finish(self, code: Workflow[None, Any]) -> Outcome[Any]:
        """Drive in process after process, each at the wake time, until it ends."""
        while (outcome := await self.drive(code)).status == "suspended":
            assert outcome.wake_at is not None
            self.pass_time_until(outcome.wake_at)
        return outcome

    def pass_time_until(self, when: float) -> None:
        self.clock.advance(when - self.clock.now())

    async def head(self) -> Head:
        loaded = await self.store.load("i")
        assert loaded is not None
        return loaded.head


@pytest.fixture
def world() -> World:
    return World()


# C-05  G9
async def test_now_is_the_time_of_the_last_event_and_the_same_on_replay(
    world: World,
) -> None:
    runs: list[list[datetime]] = []

    @step
    async def work() -> None:
        await world.clock.sleep(3)

    @workflow
    async def code(ctx: Context) -> None:
        runs.append(seen := [])
        seen += [ctx.now(), ctx.now()]
        await work()
        seen.append(ctx.now())
        await ctx.sleep(10)
        seen.append(ctx.now())
        await ctx.sleep(60)
        seen.append(ctx.now())

    await world.start(code)
    world.clock.advance(100)  # nobody was there to run it
    assert (await world.finish(code)).status == "completed"

    assert [len(seen) for seen in runs] == [3, 4, 5]
    last = runs[-1]
    assert runs == [last[:3], last[:4], last]
    assert last[0] == last[1] == datetime.fromtimestamp(world.began, UTC)
    assert all(moment.tzinfo is UTC for moment in last)
    assert last[3] - last[2] >= timedelta(seconds=10)
    assert last[4] - last[3] >= timedelta(seconds=60)
    assert last == sorted(last)


# C-05, S38  G9
async def test_now_never_goes_back_though_a_clock_does(world: World) -> None:
    runs: list[list[datetime]] = []

    @step
    async def work() -> None:
        pass

    @workflow
    async def code(ctx: Context) -> None:
        runs.append(seen := [])
        await work()
        seen.append(ctx.now())
        await ctx.receive("go")
        seen.append(ctx.now())
        await work()
        seen.append(ctx.now())
        await ctx.sleep(10)
        seen.append(ctx.now())

    await world.start(code)
    await world.drive(code)
    world.clock = VirtualClock(world.began - 3600)
    await world.process(code).handle("i").send("go")
    assert (await world.finish(code)).status == "completed"

    last = runs[-1]
    assert [len(seen) for seen in runs] == [1, 3, 4]
    assert runs == [last[:1], last[:3], last]
    assert last == sorted(last)
    assert last[3] - last[2] >= timedelta(seconds=10)
    handle = world.process(code).handle("i")
    recorded = [entry.at for entry in await handle.history()]
    recorded.append((await handle.info()).updated)
    assert recorded == sorted(recorded)
    assert recorded[0] == world.began


# C-06  G9
async def test_chance_is_the_same_on_replay_however_branches_interleave(
    world: World,
) -> None:
    runs: list[dict[str, list[float | UUID]]] = []
    delays: dict[str, list[float]] = {}

    @step
    async def work(name: str, number: int) -> None:
        await clock.sleep(delays[name][number])

    @workflow
    async def code(ctx: Context) -> None:
        drawn: dict[str, list[float | UUID]] = {"root": []}
        runs.append(drawn)
        drawn["root"] += [ctx.random.random(), ctx.uuid()]

        async def branch(name: str) -> None:
            async with ctx.scope(name):
                drawn[name] = []
                for number in range(4):
                    await work(name, number)
                    drawn[name] += [ctx.random.random(), ctx.uuid()]

        await asyncio.gather(branch("a"), branch("b"))
        await ctx.sleep(60)
        drawn["root"] += [ctx.random.random(), ctx.uuid()]

    await world.start(code)
    for round_ in range(20):
        # The same instance, its steps in another order each time.
        clock = VirtualClock(world.began)
        delays["a"] = [1.0, 1.0, 1.0, 1.0]
        delays["b"] = [0.1 + round_ * 0.3 % 2, 2.0, round_ % 3, 0.5]
        twin = World(deepcopy(world.store), clock)
        assert (await twin.finish(code)).status == "completed"

    assert len(runs) == 40
    first = runs[1]
    assert [runs[at] for at in range(1, 40, 2)] == [first] * 20
    before = {**first, "root": first["root"][:2]}
    assert [runs[at] for at in range(0, 40, 2)] == [before] * 20
    drawn = [value for values in first.values() for value in values]
    assert len(drawn) == 20
    assert len(set(drawn)) == 20  # other positions, other values

    clock = VirtualClock()
    other = World(clock=clock)
    await other.start(code)
    await other.finish(code)
    assert set(drawn).isdisjoint(v for values in runs[-1].values() for v in values)
