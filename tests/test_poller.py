"""How a worker that serves looks for what is due."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from edgeflow import App, Context, StoreUnavailable, workflow
from edgeflow.store import Query
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeflow.store import Loaded


class Looked(RecordingStore):
    """Notes when it was asked for what is due, and by how much."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(MemoryStore())
        self.clock = clock
        self.looks: list[float] = []
        self.limits_given: list[int] = []

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        self.looks.append(self.clock.now())
        self.limits_given.append(limit)
        return await super().claim(now, limit, lease, worker)

    def pauses(self) -> list[float]:
        return [
            round(b - a, 3)
            for a, b in zip(self.looks, self.looks[1:], strict=False)
            if b > a
        ]


class Hinting(Looked):
    """Hints whenever it is told to; at first it fails."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.hints: asyncio.Queue[Exception | None] = asyncio.Queue()

    async def hint(self) -> None:
        error = await self.hints.get()
        if error is not None:
            raise error


@workflow
async def ends(ctx: Context, n: int) -> int:
    return n


@workflow
async def holds(ctx: Context, seconds: float) -> None:
    async def wait() -> None:
        await clock.sleep(seconds)

    await ctx.step("wait", wait)


clock = VirtualClock()


@pytest.fixture(autouse=True)
def fresh_clock() -> None:
    global clock  # noqa: PLW0603  steps are functions of the module
    clock = VirtualClock()


def evenly(app: App, chance: Callable[[], float] = lambda: 0.5) -> App:
    app._random.random = chance  # type: ignore[method-assign]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    return app


async def begun(store: Looked, count: int) -> None:
    async with asyncio.timeout(5):
        while len(store.looks) < count:  # noqa: ASYNC110  time is virtual
            await asyncio.sleep(0)


async def test_the_pauses_grow_while_nothing_is_due_and_are_short_after_work() -> None:
    #
    store = Looked(clock)
    async with evenly(App(store, workflows=[ends], clock=clock, poll=1.0)):
        await begun(store, 9)
        first = store.pauses()[:7]
        other = App(store, workflows=[ends], clock=clock)
        await other.start(ends, 1)
        seen = len(store.looks)
        await begun(store, seen + 6)

    assert first == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert 0.05 in store.pauses()[7:]


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 0.9), (0.999999, 1.1)])
async def test_the_pauses_of_a_fleet_differ(chance: float, pause: float) -> None:
    store = Looked(clock)
    app = App(store, workflows=[ends], clock=clock, poll=1.0)
    async with evenly(app, lambda: chance):
        await begun(store, 8)

    assert store.pauses()[6] == pause


async def test_a_worker_takes_no_more_than_it_has_room_for_and_more_when_it_has() -> (
    None
):
    store = Looked(clock)
    starter = App(store, workflows=[holds], clock=clock)
    handles = [await starter.start(holds, 10.0) for _ in range(3)]
    began = clock.now()

    async with App(store, workflows=[holds], clock=clock, poll=1e6, max_running=1):
        for handle in handles:
            await handle.result()

    assert set(store.limits_given) == {1}
    assert 30 <= clock.now() - began < 31


class SlowToRead(Looked):
    """Takes a second to load an instance."""

    async def load(self, instance: str) -> Loaded | None:
        await self.clock.sleep(1.0)
        return await super().load(instance)


async def test_what_is_being_opened_takes_room_as_what_runs_does() -> None:
    starter = App(store := SlowToRead(clock), workflows=[holds], clock=clock)
    for _ in range(9):
        await starter.start(holds, 1e6)
    began = clock.now()

    app = App(store, workflows=[holds], clock=clock, poll=0.1, max_running=2)
    async with app:
        while clock.now() < began + 5:  # noqa: ASYNC110  time is virtual
            await asyncio.sleep(0)
        taken = [head async for head in store.find(Query()) if head.seq > 1]

    assert len(taken) == 2


class Chatters(Looked):
    """Hints at something all the time, as a fleet at work does."""

    async def hint(self) -> None:
        await asyncio.sleep(0)


async def test_a_swarm_of_hints_does_not_make_it_look_without_a_pause() -> None:
    store = Chatters(clock)
    async with evenly(App(store, workflows=[ends], clock=clock, poll=1.0)):
        await begun(store, 20)

    assert min(store.pauses()) >= 0.02
    assert len(store.looks) < 25


async def test_a_hint_is_heeded_at_once_and_a_store_without_any_now_is_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Hinting(clock)
    async with evenly(App(store, workflows=[ends], clock=clock, poll=1e6)):
        await begun(store, 28)  # by now it looks once in 10^6 s
        other = App(store, workflows=[ends], clock=clock)
        for hint in (None, StoreUnavailable("the listener is gone"), None):
            seen, began = len(store.looks), clock.now()
            handle = await other.start(ends, 1)
            store.hints.put_nowait(hint)
            await begun(store, seen + 1)
            assert clock.now() - began < 1
            assert await handle.result() == 1

    assert "gives no hints now: the listener is gone" in caplog.text


class HintsInALook(Looked):
    """Hints at something that comes just after it was looked for."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.late: asyncio.Event | None = None
        self.heard = asyncio.Event()

    async def hint(self) -> None:
        await self.heard.wait()
        self.heard.clear()

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        found = await super().claim(now, limit, lease, worker)
        if self.late is not None:
            self.late.set()
            self.late = None
            await self.clock.sleep(0.5)
        return found


async def test_a_hint_that_comes_during_a_look_is_not_lost() -> None:
    store = HintsInALook(clock)
    app = App(store, workflows=[ends], clock=clock, poll=30.0)
    async with evenly(app):
        await begun(store, 14)  # by now it looks once in 30 s
        store.late = asked = asyncio.Event()
        while not asked.is_set():
            await clock.sleep(0.5)
        other = App(store, workflows=[ends], clock=clock)
        began = clock.now()
        handle = await other.start(ends, 1)
        store.heard.set()
        while (await handle.info()).status != "completed":
            await clock.sleep(0.1)

    assert clock.now() - began < 2
