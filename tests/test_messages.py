"""Group D: messages reach the body exactly once, whoever dies meanwhile.

Children (D-17, D-18) and races (a part of D-15) are tested elsewhere.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from edgeflow import (
    App,
    Context,
    Event,
    InstanceFinished,
    MessageInvalid,
    Outcome,
    ReceiveTimeout,
    StoreUnavailable,
    Workflow,
    step,
    workflow,
)
from edgeflow.store import Commit, Committed, Envelope, Loaded, Store
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore

START = 1_700_000_000.0


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


class Mortal(Shared):
    """The store as seen by a process that dies at its write number `at`."""

    def __init__(self, inner: Store, at: int, *, after: bool) -> None:
        super().__init__(inner)
        self.at = at
        self.after = after
        self.writes = 0
        self.dead = False

    def _check(self) -> None:
        if self.dead:
            raise Killed

    async def _write(self, call: Callable[[], Awaitable[Any]]) -> Any:
        self._check()
        self.writes += 1
        self.dead = self.writes == self.at
        if self.dead and not self.after:
            raise Killed
        answer = await call()
        self._check()
        return answer

    async def load(self, instance: str) -> Loaded | None:
        self._check()
        return await super().load(instance)

    async def commit(self, instance: str, commit: Commit) -> Committed:
        answer: Committed = await self._write(
            lambda: super(Mortal, self).commit(instance, commit)
        )
        return answer

    async def send(self, message: Envelope) -> bool:
        answer: bool = await self._write(lambda: super(Mortal, self).send(message))
        return answer

    async def unread(self, instance: str) -> Sequence[Envelope]:
        self._check()
        return await super().unread(instance)

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        self._check()
        return await super().renew(instance, token, now, lease)


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
        self,
        *workflows: Workflow[Any, Any],
        store: Store | None = None,
        observers: Sequence[Callable[[Event], None]] = (),
    ) -> App:
        """A fresh process: it knows nothing but what is in the store."""
        return App(
            store or self.store,
            clock=self.clock,
            workflows=workflows,
            observers=observers,
        )

    async def start(self, workflow: Workflow[None, Any], instance: str = "i") -> None:
        await self.process(workflow).start(workflow, id=instance)

    async def drive(
        self, workflow: Workflow[None, Any], instance: str = "i"
    ) -> Outcome[Any]:
        return await self.process(workflow).drive(instance)

    async def finish(
        self, workflow: Workflow[None, Any], instance: str = "i"
    ) -> Outcome[Any]:
        """Resume by replay, in a new process for each stay, until it is finished."""
        for _ in range(50):
            outcome = await self.drive(workflow, instance)
            if outcome.status != "suspended":
                return outcome
            assert outcome.wake_at is not None, f"nobody sends {outcome.awaiting}"
            self.at(outcome.wake_at - START)
        pytest.fail("it never ends")

    async def send(
        self,
        name: str,
        body: object = None,
        *,
        to: str = "i",
        id: str | None = None,
    ) -> bool:
        return await self.process().handle(to).send(name, body, id=id)

    def at(self, moment: float) -> None:
        """Let it be `moment` seconds after the start, if it is not that late yet."""
        self.clock.advance(max(0.0, START + moment - self.clock.now()))

    async def unread(self, instance: str = "i") -> list[str]:
        await self.store.open()
        return [message.id for message in await self.store.unread(instance)]

    async def received(self, instance: str = "i") -> list[str]:
        """Ids of the messages that the journal holds."""
        entries = await self.process().handle(instance).history()
        return [
            message["id"]
            for entry in entries
            if entry.kind in {"receive", "receive_many"} and entry.value
            for message in entry.value
        ]


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@dataclass
class Approval:
    by: str
    amount: int


# --- waiting and being woken --------------------------------------------------


@workflow
async def either(ctx: Context) -> list[Any]:
    message = await ctx.receive("a", "b")
    return [message.name, message.body]


async def test_a_wait_for_messages_suspends_and_names_them_in_order(
    world: World,
) -> None:
    # D-01, G1
    await world.start(either)

    outcome = await world.drive(either)

    assert outcome.status == "suspended"
    assert outcome.awaiting == ("a", "b")
    assert outcome.wake_at is None
    listed = [info async for info in world.process().find()]
    assert [(i.status, i.awaiting, i.wake_at) for i in listed] == [
        ("suspended", ("a", "b"), None)
    ]
    assert await world.process(either).run_due() == []


async def test_an_awaited_message_makes_the_instance_due_at_once(world: World) -> None:
    # D-01, G10, G11
    await world.start(either)
    await world.drive(either)
    moment = world.clock.now()

    await world.send("c", 4)

    assert await world.process(either).run_due() == []

    await world.send("b", 5)

    assert [o.output for o in await world.process(either).run_due()] == [["b", 5]]
    assert world.clock.now() == moment


async def test_a_parked_wait_goes_on_when_its_message_comes(world: World) -> None:
    # D-01: resume from memory
    entered: list[str] = []

    @workflow
    async def waits(ctx: Context) -> list[Any]:
        entered.append(ctx.id)
        message = await ctx.receive("a", "b")
        return [message.name, message.body]

    async with world.process(waits) as app:
        handle = await app.start(waits, id="i")
        while (await handle.info()).status != "suspended":
            await world.clock.sleep(1)
        await handle.send("b", 5)

        assert await handle.result(timeout=60) == ["b", 5]
    assert entered == ["i"]


async def test_a_message_sent_before_the_wait_is_received_without_a_suspension(
    world: World,
) -> None:
    # D-02 (i), G11
    await world.send("a", 1)
    await world.start(either)

    outcome = await world.drive(either)

    assert (outcome.status, outcome.output) == ("completed", ["a", 1])
    assert "suspended" not in [commit.status for commit in world.store.commits]


async def test_a_message_sent_while_a_step_runs_is_received_in_the_same_run(
    world: World,
) -> None:
    # D-02 (ii)
    @step
    async def slow() -> None:
        await app.handle("i").send("a", 1)
        await world.clock.sleep(60)

    @workflow
    async def waits(ctx: Context) -> object:
        await slow()
        return (await ctx.receive("a")).body

    app = world.process(waits)
    await app.start(waits, id="i")

    outcome = await app.drive("i")

    assert (outcome.status, outcome.output) == ("completed", 1)
    assert "suspended" not in [commit.status for commit in world.store.commits]


async def test_a_message_of_another_process_never_leaves_the_instance_undriven(
    world: World,
) -> None:
    # D-02 (iii), G10, G11
    @step
    async def slow() -> None:
        await world.send("a", 1)
        await world.clock.sleep(60)

    @workflow
    async def waits(ctx: Context) -> object:
        await slow()
        return (await ctx.receive("a")).body

    await world.start(waits)

    outcomes = [await world.drive(waits), *await world.process(waits).run_due()]

    assert outcomes[-1].output == 1
    assert [o.status for o in outcomes[:-1]] in ([], ["suspended"])


async def test_a_message_between_the_last_look_and_the_suspension_makes_it_due(
    world: World,
) -> None:
    # D-02 (iv), G10, G11
    sent: list[bool] = []

    async def send_late(commit: Commit) -> None:
        if commit.status == "suspended" and not sent:
            sent.append(await world.send("a", 1))

    await world.start(either)
    store = Hooked(world.store, send_late)

    outcomes = [await world.process(either, store=store).drive("i")]
    outcomes += await world.process(either).run_due()

    assert sent == [True]
    assert outcomes[-1].output == ["a", 1]
    assert [o.status for o in outcomes[:-1]] in ([], ["suspended"])


# --- order, names, limits -----------------------------------------------------


async def test_messages_come_oldest_first_among_the_names_asked_for(
    world: World,
) -> None:
    # D-03, G11
    live: list[list[Any]] = []

    @workflow
    async def takes(ctx: Context) -> list[Any]:
        got = [(await ctx.receive("b")).body]
        for _ in range(4):
            got.append((await ctx.receive("a", "b")).body)  # noqa: PERF401
        live.append(got)
        await ctx.sleep(60)
        return got

    for name, body in [
        ("a", "a1"),
        ("c", "c1"),
        ("b", "b1"),
        ("a", "a2"),
        ("b", "b2"),
        ("a", "a3"),
    ]:
        await world.send(name, body, id=body)
    await world.start(takes)

    outcome = await world.drive(takes)
    assert outcome.status == "suspended"
    assert await world.unread() == ["c1"]
    outcome = await world.finish(takes)

    assert outcome.output == ["b1", "a1", "a2", "b2", "a3"]
    assert live == [outcome.output, outcome.output]
    assert await world.unread() == ["c1"]


async def test_receive_wants_a_name(world: World) -> None:
    # D-03, S23
    @workflow
    async def nameless(ctx: Context) -> list[bool]:
        refused: list[bool] = []
        try:
            await ctx.receive()
        except TypeError as error:
            refused.append("name" in str(error))
        try:
            await ctx.receive_many()
        except TypeError as error:
            refused.append("name" in str(error))
        return refused

    await world.start(nameless)

    outcome = await world.drive(nameless)

    assert outcome.status == "completed"
    assert outcome.output == [True, True]


async def test_receive_many_takes_the_oldest_up_to_its_limit(world: World) -> None:
    # D-04, G8
    live: list[Any] = []

    @workflow
    async def takes(ctx: Context) -> list[Any]:
        got = [m.body for m in await ctx.receive_many("a", limit=2, timeout=5)]
        live.append(got)
        await ctx.sleep(60)
        return got

    for body in (1, 2, 3):
        await world.send("a", body, id=f"m{body}")
    await world.start(takes)

    outcome = await world.finish(takes)

    assert outcome.output == [1, 2]
    assert live == [[1, 2], [1, 2]]
    assert await world.unread() == ["m3"]


@workflow
async def takes_in_time(ctx: Context) -> list[Any]:
    got = [m.body for m in await ctx.receive_many("a", limit=2, timeout=5)]
    after = ctx.now().timestamp() - START
    await ctx.sleep(60)
    return [got, after]


async def test_receive_many_never_waits_to_fill_up(world: World) -> None:
    # D-04
    await world.start(takes_in_time)
    first = await world.drive(takes_in_time)
    world.at(1)
    await world.send("a", 1)

    second = await world.drive(takes_in_time)
    last = await world.finish(takes_in_time)

    assert (first.awaiting, first.wake_at) == (("a",), START + 5)
    assert (second.awaiting, second.wake_at) == ((), START + 61)
    assert last.output == [[1], 1]


async def test_receive_many_is_empty_at_its_deadline(world: World) -> None:
    # D-04
    await world.start(takes_in_time)

    outcome = await world.finish(takes_in_time)

    assert outcome.output == [[], 5]


@workflow
async def patient(ctx: Context) -> list[Any]:
    try:
        body = (await ctx.receive("a", timeout=timedelta(seconds=5))).body
    except TimeoutError as error:
        body = "late" if "'a'" in str(error) else str(error)
    after = ctx.now().timestamp() - START
    await ctx.sleep(60)
    return [body, after]


async def test_a_message_in_time_leaves_no_deadline_behind(world: World) -> None:
    # D-04
    await world.send("a", 1)
    await world.start(patient)

    outcome = await world.drive(patient)

    assert (outcome.awaiting, outcome.wake_at) == ((), START + 60)
    assert (await world.finish(patient)).output == [1, 0]


async def test_a_receive_is_late_at_its_deadline_live_and_replayed(
    world: World,
) -> None:
    # D-04, G8
    await world.start(patient)
    first = await world.drive(patient)

    outcome = await world.finish(patient)

    assert (first.awaiting, first.wake_at) == (("a",), START + 5)
    assert outcome.output == ["late", 5]


@workflow
async def ten_seconds(ctx: Context) -> object:
    try:
        return (await ctx.receive("a", timeout=10)).body
    except ReceiveTimeout:
        return "late"


async def test_looking_early_does_not_extend_a_deadline(world: World) -> None:
    # D-05, G10
    await world.start(ten_seconds)
    wakes: list[float | None] = []
    for moment in (0, 2, 4):
        world.at(moment)
        wakes.append((await world.drive(ten_seconds)).wake_at)
    commits = len(world.store.commits)
    world.at(100)

    outcome = await world.drive(ten_seconds)

    assert wakes == [START + 10] * 3
    assert commits == 3, "start, OPEN and suspension: early looks write nothing"
    assert outcome.output == "late"
    assert world.clock.now() == START + 100


async def test_a_message_in_the_inbox_wins_over_a_deadline_that_has_passed(
    world: World,
) -> None:
    # D-05, S23
    await world.start(ten_seconds)
    await world.drive(ten_seconds)
    world.at(50)
    await world.send("a", 7)
    world.at(100)

    outcome = await world.drive(ten_seconds)

    assert outcome.output == 7


async def test_a_native_loop_that_drains_an_inbox_sees_each_message_once(
    world: World,
) -> None:
    # D-06
    @workflow
    async def drain(ctx: Context) -> list[list[Any]]:
        turns: list[list[Any]] = []
        while not turns or turns[-1]:
            found = await ctx.receive_many("a", timeout=0.5)
            turns.append([message.body for message in found])
        return turns

    await world.send("a", 1)
    await world.start(drain)

    outcome = await world.finish(drain)

    assert outcome.output == [[1], []]
    assert await world.unread() == []


# --- exactly once ---------------------------------------------------------------


@workflow
async def keeps(ctx: Context) -> list[Any]:
    message = await ctx.receive("a")
    await ctx.sleep(60)
    return [message.id, message.name, message.body]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_message_is_in_the_inbox_or_in_the_journal_at_every_crash(
    world: World, *, after: bool
) -> None:
    # D-07, G3, G11
    where: list[str] = []
    for at in range(1, 20):
        id_ = f"i{at}"
        await world.send("a", 5, to=id_, id="m1")
        await world.start(keeps, id_)
        mortal = Mortal(world.store, at, after=after)
        try:
            await world.process(keeps, store=mortal).drive(id_)
        except StoreUnavailable:
            pass
        else:
            break
        unread, received = await world.unread(id_), await world.received(id_)
        assert sorted(unread + received) == ["m1"]
        where.append("inbox" if unread else "journal")
        assert (await world.finish(keeps, id_)).output == ["m1", "a", 5]

    assert where[0] == "inbox"
    assert where[-1] == ("journal" if after else "inbox")
    assert sorted(where) == where, "once it is in the journal it stays there"


async def test_the_commit_that_records_a_message_acknowledges_it(world: World) -> None:
    # D-07, G11
    await world.send("a", 5, id="m1")
    await world.start(keeps)

    await world.drive(keeps)

    acking = [commit for commit in world.store.commits if commit.acks]
    assert [commit.acks for commit in acking] == [("m1",)]
    assert b'"m1"' in b"".join(acking[0].frames)


async def test_a_message_id_is_delivered_once(world: World) -> None:
    # D-08, G11
    @workflow
    async def both(ctx: Context) -> list[Any]:
        first = (await ctx.receive("a")).body
        await ctx.sleep(60)
        rest = await ctx.receive_many("a", timeout=5)
        return [first, *[message.body for message in rest]]

    assert await world.send("a", 1, id="m1") is True
    assert await world.send("a", 1, id="m1") is False
    await world.start(both)
    await world.drive(both)
    assert await world.unread() == []
    assert await world.send("a", 1, id="m1") is False
    assert await world.unread() == []

    outcome = await world.finish(both)

    assert outcome.output == [1]


async def test_of_twenty_equal_sends_at_once_one_is_delivered(world: World) -> None:
    # D-08, G11
    app = world.process(either)
    async with app:
        answers = await asyncio.gather(
            *(app.handle("i").send("a", 1, id="m1") for _ in range(20))
        )

    assert sorted(answers) == [False] * 19 + [True]
    assert await world.unread() == ["m1"]


async def test_a_message_to_an_unknown_id_waits_for_its_start(world: World) -> None:
    # D-08, S24
    await world.send("b", "early", to="later")
    await world.start(either, "later")

    assert (await world.drive(either, "later")).output == ["b", "early"]


async def test_a_finished_instance_refuses_messages(world: World) -> None:
    # D-08, G14
    @workflow
    async def quick(ctx: Context) -> str:
        return ctx.id

    await world.start(quick)
    await world.drive(quick)
    before = await world.process().handle("i").info()

    with pytest.raises(InstanceFinished, match="'i'"):
        await world.send("a", 1)

    assert await world.process().handle("i").info() == before
    assert await world.unread() == []
    assert await world.process(quick).run_due() == []


async def test_a_send_to_a_finished_instance_is_dropped_for_the_sender(
    world: World,
) -> None:
    # D-08, S24
    @workflow
    async def quick(ctx: Context) -> str:
        return ctx.id

    @workflow
    async def sends(ctx: Context) -> str:
        await ctx.send("done", "n", 1)
        return "sent"

    await world.start(quick, "done")
    await world.drive(quick, "done")
    await world.start(sends)

    outcome = await world.drive(sends)

    assert (outcome.status, outcome.output) == ("completed", "sent")
    assert await world.unread("done") == []


# --- sending --------------------------------------------------------------------


@workflow
async def sends_once(ctx: Context) -> str:
    await ctx.send("other", "n", 1)
    for _ in range(3):
        await ctx.sleep(60)
    return "sent"


async def test_a_send_goes_out_with_its_commit_and_not_again_on_replay(
    world: World,
) -> None:
    # D-12, G2, G11
    inbox_before: list[list[str]] = []

    async def look(commit: Commit) -> None:
        if commit.sends:
            inbox_before.append(await world.unread("other"))

    await world.start(sends_once)
    store = Hooked(world.store, look)
    await world.process(sends_once, store=store).drive("i")

    outcome = await world.finish(sends_once)

    assert outcome.output == "sent"
    assert inbox_before == [[]]
    assert len(await world.unread("other")) == 1
    assert sum(len(commit.sends) for commit in world.store.commits) == 1
    [message] = await world.store.unread("other")
    assert message.name == "n"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_around_the_commit_of_a_send_delivers_one_message(
    world: World, *, after: bool
) -> None:
    # D-12, G11
    joins = world.store.limits.joins_sends  # else the next owner delivers it
    counts: list[int] = []
    for at in (1, 2):
        id_, other = f"i{at}", f"other{at}"

        @workflow(name=f"to{at}")
        async def sends(ctx: Context, other: str = other) -> str:
            await ctx.send(other, "n", 1)
            await ctx.sleep(60)
            return "sent"

        await world.process(sends).start(sends, other, id=id_)
        mortal = Mortal(world.store, at, after=after)
        with pytest.raises(StoreUnavailable):
            await world.process(sends, store=mortal).drive(id_)
        counts.append(len(await world.unread(other)))
        app = world.process(sends)
        first = await app.drive(id_)
        world.clock.advance(60)
        assert first.status == "suspended"
        assert (await world.process(sends).drive(id_)).output == "sent"
        assert len(await world.unread(other)) == 1

    assert counts == ([0, 1] if after and joins else [0, 0])


class Apart(Shared):
    """A store whose sends cannot join the commit; it may die before delivering."""

    def __init__(self, inner: Store, *, dies: bool) -> None:
        super().__init__(inner)
        self.limits = replace(inner.limits, joins_sends=False)
        self.dies = dies
        self.dead = False

    async def commit(self, instance: str, commit: Commit) -> Committed:
        if self.dead:
            raise Killed
        answer = await super().commit(instance, replace(commit, sends=()))
        return Committed((*answer.undelivered, *commit.sends))

    async def send(self, message: Envelope) -> bool:
        self.dead = self.dead or self.dies
        if self.dead:
            raise Killed
        return await super().send(message)

    async def unread(self, instance: str) -> Sequence[Envelope]:
        if self.dead:
            raise Killed
        return await super().unread(instance)


async def test_sends_that_cannot_join_the_commit_are_delivered_after_it(
    world: World,
) -> None:
    # D-12
    await world.start(sends_once)
    store = Apart(world.store, dies=False)

    await world.process(sends_once, store=store).drive("i")

    assert len(await world.unread("other")) == 1


async def test_a_crash_between_commit_and_delivery_is_made_good_at_the_next_open(
    world: World,
) -> None:
    # D-12, G2, G11
    await world.start(sends_once)
    with pytest.raises(StoreUnavailable):
        await world.process(sends_once, store=Apart(world.store, dies=True)).drive("i")
    assert await world.unread("other") == []

    # Until then the sender is due, or leased at most: nothing else would deliver.
    world.clock.advance(30.1)
    alive = Apart(world.store, dies=False)
    await world.process(sends_once, store=alive).run_due()

    assert len(await world.unread("other")) == 1
    await world.finish(sends_once)
    assert len(await world.unread("other")) == 1


async def test_a_delayed_send_is_not_receivable_and_makes_nobody_due_before(
    world: World,
) -> None:
    # D-13, G10, G11
    @workflow
    async def sends(ctx: Context) -> None:
        await ctx.send("i", "a", 1, delay=60)

    await world.start(either)
    await world.drive(either)
    sent_at = world.clock.now()
    await world.start(sends, "sender")
    assert (await world.drive(sends, "sender")).status == "completed"
    outcomes: list[tuple[float, int]] = []

    for wait in (0.0, 30.0, 29.5, 0.5):
        world.clock.advance(wait)
        due = await world.process(either, sends).run_due()
        outcomes.append((world.clock.now() - sent_at, len(due)))

    assert [count for _, count in outcomes] == [0, 0, 0, 1]
    assert outcomes[-1][0] == pytest.approx(60)
    assert (await world.process(either).handle("i").result()) == ["a", 1]


async def test_a_run_that_finds_a_delayed_message_waits_until_it_is_visible(
    world: World,
) -> None:
    # D-13, G10, G11
    @workflow
    async def sends(ctx: Context) -> None:
        await ctx.send("i", "a", "delayed", delay=60)
        await ctx.send("i", "b", "at once")

    @workflow
    async def takes(ctx: Context) -> list[Any]:
        return [(await ctx.receive("a", "b")).body for _ in range(2)]

    await world.start(sends, "sender")
    await world.drive(sends, "sender")
    await world.start(takes)

    first = await world.drive(takes)
    world.at(59.5)
    second = await world.drive(takes)
    world.at(60)
    third = await world.drive(takes)

    assert (first.status, first.awaiting) == ("suspended", ("a", "b"))
    assert first.wake_at == START + 60
    assert second == first
    assert third.output == ["at once", "delayed"]


# --- concurrent and cancelled receives ----------------------------------------


async def test_of_two_receives_the_one_that_started_first_gets_the_older_message(
    world: World,
) -> None:
    # D-14, G9, G11
    live: list[list[Any]] = []

    @workflow
    async def pair(ctx: Context) -> list[Any]:
        found = await asyncio.gather(ctx.receive("a"), ctx.receive("a", "b"))
        got = [message.body for message in found]
        live.append(got)
        await ctx.sleep(60)
        return got

    await world.start(pair)
    assert (await world.drive(pair)).awaiting == ("a", "b")
    await world.send("a", "old")
    await world.send("a", "new")

    assert (await world.finish(pair)).output == ["old", "new"]
    assert live == [["old", "new"]] * 2


async def test_an_older_message_for_the_second_receive_is_not_held_back(
    world: World,
) -> None:
    # D-14: each receive gets the oldest under its own names
    @workflow
    async def pair(ctx: Context) -> list[Any]:
        found = await asyncio.gather(ctx.receive("a"), ctx.receive("b"))
        return [message.body for message in found]

    await world.start(pair)
    await world.send("b", "b1")
    await world.send("a", "a1")

    assert (await world.finish(pair)).output == ["a1", "b1"]


@workflow
async def gives_up_by_timeout(ctx: Context) -> list[Any]:
    got: list[Any] = []
    try:
        async with asyncio.timeout(5):
            got.append((await ctx.receive("a")).body)
    except TimeoutError:
        got.append("gave up")
    got.append((await ctx.receive("a")).body)
    await ctx.sleep(60)
    return got


@workflow
async def gives_up_by_group(ctx: Context) -> list[Any]:
    got: list[Any] = []

    async def fail() -> None:
        await ctx.sleep(5)
        raise LookupError

    async def wait() -> None:
        got.append((await ctx.receive("a")).body)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            group.create_task(fail())
    except* LookupError:
        got.append("gave up")
    got.append((await ctx.receive("a")).body)
    await ctx.sleep(60)
    return got


@workflow
async def gives_up_by_cancel(ctx: Context) -> list[Any]:
    got: list[Any] = []

    async def wait() -> None:
        got.append((await ctx.receive("a")).body)

    task = asyncio.create_task(wait())
    await ctx.sleep(5)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        got.append("gave up")
    got.append((await ctx.receive("a")).body)
    await ctx.sleep(60)
    return got


@pytest.mark.parametrize(
    "gives_up", [gives_up_by_timeout, gives_up_by_group, gives_up_by_cancel]
)
async def test_a_message_after_a_cancelled_receive_goes_to_the_next_one(
    world: World, gives_up: Workflow[None, list[Any]]
) -> None:
    # D-15, G11
    await world.start(gives_up)
    first = await world.drive(gives_up)
    assert first.wake_at == START + 5
    world.at(5)
    assert (await world.drive(gives_up)).awaiting == ("a",)
    await world.send("a", 1)

    assert (await world.finish(gives_up)).output == ["gave up", 1]


async def test_a_receive_cancelled_in_memory_takes_no_message(world: World) -> None:
    # D-15: resume from memory
    async with world.process(gives_up_by_timeout) as app:
        handle = await app.start(gives_up_by_timeout, id="i")
        await world.clock.sleep(10)
        await handle.send("a", 1)

        assert await handle.result() == ["gave up", 1]


# --- types ------------------------------------------------------------------------


async def test_a_message_body_has_the_type_asked_for_live_and_replayed(
    world: World,
) -> None:
    # D-16, G8, G9
    seen: list[Any] = []

    @workflow
    async def typed(ctx: Context) -> str:
        approval = (await ctx.receive("a", type=Approval)).body
        many = await ctx.receive_many("a", type=Approval)
        seen.append([approval, *(message.body for message in many)])
        await ctx.sleep(60)
        return approval.by

    await world.send("a", Approval("ann", 1))
    await world.send("a", {"by": "bob", "amount": 2})
    await world.start(typed)

    assert (await world.finish(typed)).output == "ann"
    assert seen == [[Approval("ann", 1), Approval("bob", 2)]] * 2


async def test_a_message_without_a_type_is_plain_json(world: World) -> None:
    # D-16
    await world.send("a", Approval("ann", 1))
    await world.start(either)

    assert (await world.drive(either)).output == ["a", {"by": "ann", "amount": 1}]


@pytest.mark.parametrize("many", [False, True], ids=["receive", "receive_many"])
async def test_a_body_that_does_not_fit_is_an_error_in_the_body_and_consumed(
    world: World, *, many: bool
) -> None:
    # D-16, S23, G8
    caught: list[tuple[str, Any, bool]] = []

    @workflow
    async def typed(ctx: Context) -> str:
        try:
            if many:
                await ctx.receive_many("a", type=Approval)
            else:
                await ctx.receive("a", type=Approval)
        except MessageInvalid as error:
            caught.append((error.name, error.raw, "amount" in str(error)))
        await ctx.sleep(60)
        return "went on"

    await world.send("a", {"by": "bob", "amount": "many"}, id="m1")
    await world.start(typed)

    assert (await world.drive(typed)).status == "suspended"
    assert await world.unread() == []
    assert await world.received() == ["m1"]
    assert (await world.finish(typed)).output == "went on"
    assert caught == [("a", {"by": "bob", "amount": "many"}, True)] * 2


async def test_a_message_knows_its_id_name_and_when_it_was_sent(world: World) -> None:
    # S25
    @workflow
    async def looks(ctx: Context) -> list[Any]:
        message = await ctx.receive("a")
        return [message.id, message.name, message.sent_at]

    world.at(3)
    await world.send("a", None, id="m1")
    world.at(9)
    await world.start(looks)

    assert (await world.drive(looks)).output == ["m1", "a", START + 3]
