"""Group D, requests: `handle.ask` gets the one answer that became durable."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from edgeflow import (
    App,
    Context,
    InstanceFinished,
    ReplyRefused,
    StoreUnavailable,
    Workflow,
    workflow,
)
from edgeflow.store import Commit, Committed, Envelope, Loaded, Store
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore

START = 1_700_000_000.0
LONG = 1_000_000.0


class Shared(RecordingStore):
    """One database for several Apps, each of which stands for a process."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.is_open = False

    async def open(self) -> None:
        if not self.is_open:
            self.is_open = True
            await self.inner.open()

    async def close(self) -> None:
        pass


class Killed(StoreUnavailable):
    """The process is gone: no call to the store returns any more."""


class DiesAtReply(Shared):
    """The store as seen by a process that dies at the commit of its first reply."""

    def __init__(self, inner: Store, *, after: bool) -> None:
        super().__init__(inner)
        self.after = after
        self.dead = False

    def _check(self) -> None:
        if self.dead:
            raise Killed

    async def load(self, instance: str) -> Loaded | None:
        self._check()
        return await super().load(instance)

    async def commit(self, instance: str, commit: Commit) -> Committed:
        self._check()
        self.dead = bool(commit.sends)
        if not self.after:
            self._check()
        answer = await super().commit(instance, commit)
        self._check()
        return answer

    async def unread(self, instance: str) -> Sequence[Envelope]:
        self._check()
        return await super().unread(instance)


class Hooked(Shared):
    """Calls `before` with each commit that is about to be written."""

    def __init__(
        self, inner: Store, before: Callable[[Commit], Awaitable[None]]
    ) -> None:
        super().__init__(inner)
        self.before = before

    async def commit(self, instance: str, commit: Commit) -> Committed:
        await self.before(commit)
        return await super().commit(instance, commit)


class World:
    """A database and a clock that outlive every process."""

    def __init__(self, store: Store) -> None:
        self.store = Shared(store)
        self.clock = VirtualClock(START)

    def process(
        self, *workflows: Workflow[Any, Any], store: Store | None = None
    ) -> App:
        return App(store or self.store, clock=self.clock, workflows=workflows)

    async def asked(self, count: int = 1) -> None:
        """Wait until so many messages are in the inbox."""
        while len(await self.store.unread("i")) < count:  # noqa: ASYNC110  no event
            await asyncio.sleep(0)

    def replies(self) -> int:
        """How many replies were ever committed."""
        return sum(len(commit.sends) for commit in self.store.commits)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@workflow
async def counter(ctx: Context) -> int:
    """Adds up what it is asked to add, and answers with the sum."""
    total = 0
    while True:
        message = await ctx.receive("add", "stop")
        if message.name == "stop":
            return total
        total += message.body
        await message.reply(total)


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_each_ask_gets_the_reply_of_its_own_turn(world: World) -> None:
    # D-09, G11
    async with world.process(counter) as app:
        handle = await app.start(counter, id="i")

        answers = [await handle.ask("add", n, timeout=10) for n in (1, 10, 100)]
        await handle.send("stop")

        assert answers == [1, 11, 111]
        assert await handle.result() == 111


async def test_asks_at_once_get_one_answer_each(world: World) -> None:
    # D-09, G11
    async with world.process(counter) as app:
        handle = await app.start(counter, id="i")

        answers = await asyncio.gather(
            *(handle.ask("add", 1, timeout=10) for _ in range(5))
        )

    assert sorted(answers) == [1, 2, 3, 4, 5]


async def test_an_ask_from_another_process_is_answered(world: World) -> None:
    # D-09
    async with world.process(counter) as app:
        await app.start(counter, id="i")
        stranger = world.process()

        assert await stranger.handle("i").ask("add", 5, timeout=100) == 5


async def test_an_answer_waits_for_the_commit_that_holds_it(world: World) -> None:
    # D-09, G2
    held, release = asyncio.Event(), asyncio.Event()

    async def hold(commit: Commit) -> None:
        if commit.sends:
            held.set()
            await release.wait()

    async with world.process(counter, store=Hooked(world.store, hold)) as app:
        handle = await app.start(counter, id="i")
        asking = asyncio.create_task(handle.ask("add", 1, timeout=LONG))
        await held.wait()
        await turns()

        assert not asking.done()
        assert world.replies() == 0

        release.set()
        assert await asking == 1
        assert world.replies() == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_around_the_commit_of_a_reply_leaves_one_answer(
    world: World, *, after: bool
) -> None:
    # D-09, G2, G11
    await world.process(counter).start(counter, id="i")
    asking = asyncio.create_task(
        world.process().handle("i").ask("add", 7, timeout=LONG)
    )
    await world.asked()

    mortal = DiesAtReply(world.store, after=after)
    with pytest.raises(StoreUnavailable):
        await world.process(counter, store=mortal).drive("i")
    assert world.replies() == (1 if after else 0)
    await world.process(counter).drive("i")

    assert await asking == 7
    assert world.replies() == 1


async def test_an_answer_leaves_nothing_behind_in_the_store(world: World) -> None:
    # D-09: the address of the reply is gone with it
    addresses: list[str] = []

    async def note(commit: Commit) -> None:
        addresses.extend(message.to for message in commit.sends)

    async with world.process(counter, store=Hooked(world.store, note)) as app:
        handle = await app.start(counter, id="i")
        await handle.ask("add", 1, timeout=10)

        assert len(addresses) == 1
        assert not await world.store.unread(addresses[0])


async def test_an_ask_that_nobody_answers_times_out_at_the_caller(
    world: World,
) -> None:
    # D-10
    @workflow
    async def silent(ctx: Context) -> object:
        return (await ctx.receive("q")).body

    await world.process(silent).start(silent, id="i")
    before = world.clock.now()

    with pytest.raises(TimeoutError, match=r"'i'.*'q'"):
        await world.process().handle("i").ask("q", 1, timeout=10)

    assert world.clock.now() - before == pytest.approx(10)
    assert (await world.process(silent).drive("i")).output == 1


async def test_a_reply_after_the_deadline_is_dropped_without_an_error(
    world: World,
) -> None:
    # D-10, S25
    @workflow
    async def slow(ctx: Context) -> str:
        message = await ctx.receive("q")
        await ctx.sleep(60)
        await message.reply("late")
        return "done"

    async with world.process(slow) as app:
        handle = await app.start(slow, id="i")

        with pytest.raises(TimeoutError):
            await handle.ask("q", 1, timeout=10)

        assert await handle.result() == "done"
    assert world.replies() == 0


@workflow
async def replies_twice(ctx: Context) -> list[bool]:
    refused: list[bool] = []
    message = await ctx.receive("q")
    await message.reply("first")
    try:
        await message.reply("second")
    except ReplyRefused as error:
        refused.append("already" in str(error))
    await ctx.sleep(60)
    try:
        await message.reply("third")
    except ReplyRefused as error:
        refused.append("already" in str(error))
    return refused


async def test_a_second_reply_raises_in_the_body_live_and_replayed(
    world: World,
) -> None:
    # D-10, S25, G9
    await world.process(replies_twice).start(replies_twice, id="i")
    asking = asyncio.create_task(world.process().handle("i").ask("q", 1, timeout=LONG))
    await world.asked()

    first = await world.process(replies_twice).drive("i")
    assert first.status == "suspended"
    assert await asking == "first"
    world.clock.advance(60)
    outcome = await world.process(replies_twice).drive("i")

    assert outcome.output == [True, True]
    assert world.replies() == 1


async def test_a_reply_to_what_nobody_asked_raises_in_the_body(world: World) -> None:
    # S25
    @workflow
    async def replies(ctx: Context) -> bool:
        message = await ctx.receive("q")
        try:
            await message.reply(1)
        except ReplyRefused as error:
            return "nobody asked" in str(error)
        return False

    await world.process().handle("i").send("q", id="m1")
    await world.process(replies).start(replies, id="i")

    assert (await world.process(replies).drive("i")).output is True


async def test_a_message_that_is_never_answered_blocks_nothing(world: World) -> None:
    # D-11, G11
    @workflow
    async def ignores(ctx: Context) -> list[Any]:
        first = await ctx.receive("q")
        await ctx.sleep(60)
        second = await ctx.receive("q")
        await second.reply("heard")
        return [first.body, second.body]

    await world.process(ignores).start(ignores, id="i")
    first = asyncio.create_task(world.process().handle("i").ask("q", 1, timeout=LONG))
    await world.asked(1)
    second = asyncio.create_task(world.process().handle("i").ask("q", 2, timeout=LONG))
    await world.asked(2)

    assert (await world.process(ignores).drive("i")).status == "suspended"
    world.clock.advance(60)
    outcome = await world.process(ignores).drive("i")

    assert outcome.output == [1, 2]
    assert await second == "heard"
    assert not await world.store.unread("i")
    assert not first.done()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_an_ask_of_a_finished_instance_is_refused(world: World) -> None:
    # D-08, G14
    @workflow
    async def quick(ctx: Context) -> str:
        return ctx.id

    app = world.process(quick)
    await app.run(quick, id="i")
    before = world.clock.now()

    with pytest.raises(InstanceFinished):
        await app.handle("i").ask("q", 1, timeout=10)

    assert world.clock.now() == before
