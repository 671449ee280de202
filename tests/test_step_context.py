"""What a step knows of itself and may change (CONFORMANCE A-11 to A-13)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import pytest

from edgeflow import (
    App,
    Context,
    Retry,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from edgeflow import EntryInfo, Workflow

R = TypeVar("R")
Durability: TypeAlias = Literal["step", "behind", "suspend"]
ONCE = Retry(attempts=1)


@dataclass
class World:
    """A store and a clock; every `process` starts with nothing in memory."""

    durability: Durability
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

    async def finish(self, code: Workflow[None, R], id_: str = "i") -> R:
        """Run to the end, resuming as this world does."""
        if self.resumes == "from memory":
            return await self.process(code).run(code, id=id_)
        handle = await self.process(code).start(code, id=id_)
        while (await self.process(code).drive(id_)).status == "suspended":
            wake_at = (await handle.info()).wake_at
            assert wake_at is not None
            self.clock.advance(wake_at - self.clock.now())
        return await handle.result()

    async def history(self, code: Workflow[None, Any]) -> list[EntryInfo]:
        return await self.process(code).handle("i").history()


@pytest.fixture(params=["step", "behind", "suspend"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.fixture(params=["from memory", "by replay"])
def resumed(world: World, request: pytest.FixtureRequest) -> World:
    world.resumes = request.param
    return world


# A-11  G7
async def test_a_step_knows_its_attempt_and_a_key_that_is_its_own_for_good(
    world: World,
) -> None:
    seen: list[tuple[int, str]] = []

    @step(retry=Retry(attempts=3, first=60, jitter=0))
    async def charge() -> None:
        this = current_step()
        seen.append((this.attempt, this.key))
        if this.attempt < 3:
            raise ValueError("not yet")

    @workflow
    async def code(_ctx: Context) -> None:
        await charge()
        await charge.using(retry=Retry(attempts=3, first=0))()

    await world.finish(code)  # each back-off ends in another process
    await world.finish(code, "other")

    assert [attempt for attempt, _ in seen] == [1, 2, 3] * 4
    keys = [key for _, key in seen]
    assert keys == [keys[at] for at in (0, 3, 6, 9) for _ in range(3)]
    assert len(set(keys)) == 4


class Client:
    """A live object: it cannot be copied and has no JSON form."""

    def __init__(self, events: list[str]) -> None:
        self.events = events

    def __copy__(self) -> Client:
        raise AssertionError("copied")

    def __deepcopy__(self, _memo: object) -> Client:
        raise AssertionError("copied")

    def __reduce__(self) -> str:
        raise AssertionError("pickled")


#
async def test_resources_are_one_live_object_for_the_process(world: World) -> None:
    events: list[str] = []
    clients: list[Client] = []

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[Client]:
        events.append("entered")
        yield Client(events)
        events.append("exited")

    @step
    async def use() -> None:
        clients.append(current_step().resources)
        events.append("used")

    @step
    def use_in_thread() -> None:
        clients.append(current_step().resources)
        events.append("used")

    @workflow
    async def code(ctx: Context) -> None:
        await use()
        await use_in_thread()
        await ctx.sleep(60)
        await use()

    app = App(
        world.store,
        workflows=[code],
        clock=world.clock,
        durability=world.durability,
        lifespan=lifespan,
    )
    async with app:
        await app.run(code, id="i")
        await app.run(code, id="j")
        assert events == ["entered", *["used"] * 6]

    assert events == ["entered", *["used"] * 6, "exited"]
    assert len(clients) == 6
    assert all(client is clients[0] for client in clients)
    loaded = await world.store.load("i")
    assert loaded is not None
    assert not any(b"Client" in frame.body for frame in loaded.frames)


# A-13, S14  G9
async def test_what_a_step_does_to_its_arguments_stays_its_own(
    resumed: World,
) -> None:
    got: list[list[int]] = []
    body_saw: list[list[int]] = []

    @step(retry=Retry(attempts=2, first=60, jitter=0))
    async def append(items: list[int]) -> list[int]:
        got.append(list(items))
        items.append(99)
        if current_step().attempt == 1:
            raise ValueError("after the change")
        return items

    @workflow
    async def code(ctx: Context) -> list[int]:
        items = [1, 2]
        result = await append(items)
        body_saw.append(items)
        await ctx.sleep(60)
        return result

    assert await resumed.finish(code) == [1, 2, 99]
    assert got == [[1, 2], [1, 2]]
    assert body_saw
    assert all(items == [1, 2] for items in body_saw)
