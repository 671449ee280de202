"""Code of an instance runs only while no other process can have claimed it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow import Context, step, workflow
from tests.conftest import Shared
from tests.ingress.place import Alarms, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.store import Commit, Committed, Envelope, Store
    from tests.conftest import World

SLOW = 0.3
"""Seconds that a commit takes: more than the linger."""

calls: list[str] = []


@step
async def work() -> None:
    calls.append("here")


@workflow
async def sleeps(ctx: Context, seconds: float) -> None:
    await ctx.sleep(seconds)
    await work()


@workflow
async def hears(ctx: Context) -> None:
    await ctx.receive("news")
    await work()


class Slow(Shared):
    """Answers that an instance rests only after some time, though it is written."""

    def __init__(self, inner: Store, world: World) -> None:
        super().__init__(inner)
        self._world = world
        self.rests = asyncio.Event()

    async def commit(self, instance: str, commit: Commit) -> Committed:
        answer = await super().commit(instance, commit)
        if commit.status == "suspended":
            self.rests.set()
            await self._world.clock.sleep(SLOW)
        return answer


async def claimed(world: World, ahead: float = 0.0) -> list[str]:
    """Have another process, its clock some seconds ahead, claim what is due."""
    now = world.clock.now() + ahead
    return list(await world.store.claim(now, 10, 1e6, "another"))


async def test_a_parked_instance_that_another_process_has_claimed_is_left_to_it(
    world: World,
) -> None:
    # G4 N-09: a clock that is a moment ahead is enough for that
    calls.clear()
    app = world.process(sleeps)
    async with app.session.using(serves=True) as worker:
        await app.start(sleeps, 100.0, id="i")
        while not (run := worker.runs.get("i")) or run.resting is None:  # noqa: ASYNC110  time is virtual
            await asyncio.sleep(0)
        assert await claimed(world, ahead=100.0) == ["i"]
        await world.clock.sleep(101)

        assert calls == []


async def test_a_time_that_comes_before_the_answer_is_waited_for_by_all(
    world: World,
) -> None:
    # G4: the frame says that it rests and is due, so anybody may claim it
    calls.clear()
    store = Slow(world.store, world)
    app = world.process(sleeps, store=store)
    async with app.session.using(serves=True):
        await app.start(sleeps, 0.2, id="i")
        await store.rests.wait()
        theirs = await claimed(world, ahead=0.2)
        await world.clock.sleep(1)

        assert not (theirs and calls), "claimed by another one, and run here"


async def test_a_message_that_comes_in_the_linger_finds_the_instance_held(
    world: World,
) -> None:
    # G4 G11: the lease has to last as long as the linger, which begins at the answer
    calls.clear()
    store = Slow(world.store, world)
    app = world.process(hears, store=store)
    async with app.session.using(serves=True):
        await app.start(hears, id="i")
        await store.rests.wait()
        await world.clock.sleep(SLOW - 0.05)
        await world.handle().send("news", None)
        theirs = await claimed(world)
        await app.handle("i").send("news", None)
        await world.clock.sleep(1)

        assert not (theirs and calls), "claimed by another one, and run here"


class Delays(Shared):
    """Answers late, each call by so many seconds; its clock may be ahead of ours."""

    def __init__(self, world: World, ahead: float = 0.0, **seconds: float) -> None:
        super().__init__(world.store)
        self._clock = world.clock
        self._ahead = ahead
        self._seconds = seconds

    async def commit(self, instance: str, commit: Commit) -> Committed:
        commit = replace(commit, now=commit.now + self._ahead)
        answer = await super().commit(instance, commit)
        await self._clock.sleep(self._seconds.get("commit", 0.0))
        return answer

    async def unread(self, instance: str) -> Sequence[Envelope]:
        found = await super().unread(instance)
        await self._clock.sleep(self._seconds.get("unread", 0.0))
        return found

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        return await super().renew(instance, token, now + self._ahead, lease)

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        found = await super().claim(now + self._ahead, limit, lease, worker)
        await self._clock.sleep(self._seconds.get("claim", 0.0))
        return found


async def until_called(world: World, limit: float = 60.0) -> float:
    """Let time pass in steps, a look alone does not move it; give the seconds."""
    began = world.clock.now()
    async with asyncio.timeout(10):  # a spin at one instant would last for ever
        while not calls and world.clock.now() < began + limit:
            await world.clock.sleep(0.01)
    return world.clock.now() - began


async def test_a_claim_of_its_own_before_the_answer_is_not_left_unused(
    world: World,
) -> None:
    # G10: it is due at 1 s, and the answer that it rests comes at 1.4 s
    calls.clear()
    app = world.process(sleeps, store=Delays(world, commit=0.7), poll=0.1)
    async with app.session.using(serves=True):
        await app.start(sleeps, 1.0, id="i")
        took = await until_called(world)

    assert took < 2


async def test_a_claim_of_its_own_does_not_deny_what_ends_before_its_answer(
    world: World,
) -> None:
    # G5: a store answers False for what has ended, and that was no other process
    calls.clear()
    store = Delays(world, ahead=0.2, commit=0.7, claim=1.2)
    app = world.process(sleeps, store=store)
    running = asyncio.create_task(app.run(sleeps, 3.0, id="i"))
    await world.clock.sleep(2.85)  # the answer comes at 4.05 s; it ends at 3.7 s
    await app.run_due()
    await running

    assert calls == ["here"]


@pytest.mark.parametrize("linger", [0.1, 10.0])
@pytest.mark.parametrize("serves", [True, False])
async def test_a_message_in_the_second_half_of_the_lease_is_heard_at_once(
    world: World,
    linger: float,
    serves: bool,  # noqa: FBT001  a parameter of pytest's
) -> None:
    # G10: its bell has rung when the instance comes to rest
    calls.clear()
    app = world.process(hears, linger=linger, poll=20.0)
    async with app.session.using(runs=True, serves=serves):
        running = asyncio.create_task(app.run(hears, id="i"))
        while [c.status for c in world.store.commits[-1:]] != ["suspended"]:  # noqa: ASYNC110  time is virtual
            await asyncio.sleep(0)
        await world.clock.sleep(linger * 0.7)
        await app.handle("i").send("news", None)
        took = await until_called(world)
        await running

    assert took < 0.05


async def test_an_inbox_that_is_slow_to_read_does_not_make_it_spin(
    world: World,
) -> None:
    # The lease of the linger is over while the answer is waited for.
    calls.clear()
    app = world.process(hears, store=Delays(world, unread=0.1))
    async with app.session.using(serves=True):
        await app.start(hears, id="i")
        await world.clock.sleep(0.12)
        await app.handle("i").send("news", None)
        took = await until_called(world)

    assert took < 1.5


@pytest.mark.parametrize("is_parked", [True, False])
async def test_what_is_claimed_by_a_clock_that_is_ahead_runs_at_its_time(
    world: World,
    is_parked: bool,  # noqa: FBT001  a parameter of pytest's
) -> None:
    # G10 S35: the store finds it due a second before we do
    calls.clear()
    store = Delays(world, ahead=1.0)
    app = world.process(sleeps, store=store)
    if not is_parked:
        other = world.process(sleeps, store=store)
        await other.start(sleeps, 3.0, id="i")
        await other.drive("i")
    async with app.session.using(serves=True):
        if is_parked:
            await app.start(sleeps, 3.0, id="i")
        took = await until_called(world)

    assert 3 <= took < 4.2


async def test_who_meant_to_stay_and_does_not_has_its_wake_up_armed(
    world: World,
) -> None:
    # G10: it is written at 0.6 s that it goes on here at 1.3 s, its lease is half over
    # before that
    calls.clear()
    alarms = Alarms()
    app = world.process(
        sleeps,
        store=Delays(world, commit=0.6),
        platform=Place(waker=alarms),
        linger=1.0,
        lease=1.0,
    )
    await world.start(sleeps, 1.3)
    outcome = await app.drive("i")

    assert (outcome.status, calls) == ("suspended", [])
    assert {alarm.instance for alarm in alarms.diary} == {"i"}
