"""Copies of instances: what goes on there is what would have gone on here."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow import (
    Context,
    FatalError,
    InstanceFinished,
    NotRecoverable,
    Retry,
    UnknownEntry,
    UnknownInstance,
    WorkflowBlocked,
    WorkflowFailed,
    step,
    workflow,
)
from edgeflow.copying import Copied, Copier, mark_of
from edgeflow.engine.frames import PlainCodec
from edgeflow.errors import (
    ConfigError,
    JournalDamaged,
    OutcomeUnknown,
    StoreUnavailable,
)
from edgeflow.landing import HOLD
from edgeflow.store import Commit, Envelope, Limits, Remembers
from edgeflow.testing import FaultyStore, VirtualClock
from edgeflow.testing.faults import Crashed, Fault
from edgeflow.testing.recorder import RecordingStore
from edgeflow_kv import FilesKV, KVStore
from edgeflow_memory import MemoryStore
from edgeflow_sqlite import SqliteStore
from tests.conftest import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from edgeflow.engine.frames import Codec
    from edgeflow.store import Committed, Loaded, Store

effects: list[str] = []
"""What steps did, in any process."""


@pytest.fixture(autouse=True)
def _nothing_is_done_yet() -> None:
    effects.clear()


@step
async def do(text: str) -> str:
    effects.append(text)
    return text


@step(retry=Retry(attempts=2, first=50, jitter=0))
async def shaky() -> None:
    effects.append("shaky")
    raise ConnectionError


@step
async def book() -> str:
    effects.append("booked")
    return "room"


@book.undo(retry=Retry(attempts=3, first=50, jitter=0))
async def cancel_room(room: str) -> None:
    effects.append("cancelling")
    if effects.count("cancelling") == 1:
        raise ConnectionError


@step
async def fails() -> None:
    raise FatalError("no way")


@workflow
async def journey(ctx: Context) -> list[str]:
    seen = [await do("first")]
    message = await ctx.receive("go", "stop", timeout=3600)
    seen.append(await do(f"{message.name} {message.body}"))
    await ctx.sleep(60)
    return [*seen, await do("last")]


@workflow
async def retries(ctx: Context) -> None:
    await do("before")
    await shaky()


@workflow
async def undoes(ctx: Context) -> None:
    await book()
    await fails()


@workflow
async def sends(ctx: Context) -> None:
    await ctx.send("peer", "hello", "you")
    await ctx.sleep(60)


@workflow
async def gathers(ctx: Context, count: int) -> list[str]:
    kept = ""
    for _ in range(count):
        message = await ctx.receive("part", type=str)
        kept += message.body
    return [kept[:5], str(len(kept))]


@workflow
async def listens(ctx: Context) -> None:
    async def turn(number: int) -> int:
        await ctx.receive("part")
        return number + 1

    await ctx.loop("turns", turn, state=0, prune_every=1)


def make(kind: str, folder: Path) -> Store:
    if kind == "files":
        return KVStore(FilesKV(folder, sync=False))
    if kind == "sqlite":
        folder.mkdir()
        return SqliteStore(folder / "edgeflow.db", synchronous="normal")
    return MemoryStore()


class Pair:
    """Two databases with one clock, and what is copied between them."""

    def __init__(self, here: Store, there: Store) -> None:
        self.here = World(here)
        self.there = World(there)
        self.there.clock = self.here.clock

    def copier(
        self,
        source: Store | None = None,
        target: Store | None = None,
        codec: Codec | None = None,
        *,
        moves: bool = False,
        replaces: bool = False,
    ) -> Copier:
        return Copier(
            source or self.here.store.inner,
            target or self.there.store.inner,
            codec=codec or PlainCodec(),
            now=self.here.clock.now,
            moves=moves,
            replaces=replaces,
        )

    async def copy(
        self, instance: str = "i", *, moves: bool = False, replaces: bool = False
    ) -> Copied:
        copier = self.copier(moves=moves, replaces=replaces)
        return await copier.copy(instance)

    async def copied(self, instance: str = "i") -> None:
        assert await self.copy(instance) == Copied(instance, "copied")


@pytest.fixture(
    params=[
        "memory to sqlite",
        "sqlite to files",
        "files to memory",
        "sqlite to sqlite",
    ]
)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    here, there = request.param.split(" to ")
    async for pair in open_pair(
        make(here, tmp_path / "a"), make(there, tmp_path / "b")
    ):
        yield pair


@pytest.fixture
async def quick() -> AsyncIterator[Pair]:
    async for pair in open_pair(MemoryStore(), MemoryStore()):
        yield pair


async def open_pair(here: Store, there: Store) -> AsyncIterator[Pair]:
    await here.open()
    await there.open()
    yield Pair(here, there)
    await here.close()
    await there.close()


async def load(store: Store, instance: str = "i") -> Loaded:
    loaded = await store.load(instance)
    assert loaded is not None
    return loaded


def frames_of(loaded: Loaded) -> list[tuple[int, bytes]]:
    return [(frame.seq, frame.body) for frame in loaded.frames]


# --- what goes on ------------------------------------------------------------------


async def test_a_copy_has_the_same_frames_under_the_same_numbers(pair: Pair) -> None:
    # G9
    await pair.here.start(journey)
    await pair.here.drive(journey)
    await pair.copied()

    mine, theirs = await load(pair.here.store), await load(pair.there.store)
    assert frames_of(theirs) == frames_of(mine)
    assert replace(theirs.head, token=mine.head.token, lease=0.0) == replace(
        mine.head, lease=0.0
    )
    assert await pair.there.history() == await pair.here.history()
    assert await pair.there.info() == await pair.here.info()


async def test_what_waits_for_a_message_gets_it_there(pair: Pair) -> None:
    # G8 G10 G11
    await pair.here.start(journey)
    await pair.here.drive(journey)
    await pair.copied()
    assert await pair.there.run_due(journey) == []
    await pair.there.handle().send("go", "on", id="m")

    [outcome] = await pair.there.run_due(journey)

    assert outcome.status == "suspended"
    assert effects == ["first", "go on"]
    pair.there.clock.advance(61)
    [outcome] = await pair.there.run_due(journey)
    assert outcome.output == ["first", "go on", "last"]
    assert effects == ["first", "go on", "last"]


async def test_an_unread_message_goes_along_and_makes_it_due(pair: Pair) -> None:
    # G10 G11
    await pair.here.start(journey)
    await pair.here.drive(journey)
    for name, body in (("other", 1), ("stop", 2), ("go", 3)):
        await pair.here.handle().send(name, body, id=f"{name} {body}")
    await pair.copied()

    await pair.there.run_due(journey)

    assert effects == ["first", "stop 2"]
    unread = [message.id for message in await pair.there.store.unread("i")]
    assert unread == ["other 1", "go 3"]


async def test_a_delayed_message_arrives_at_its_time(pair: Pair) -> None:
    # N-08
    await pair.here.start(journey)
    await pair.here.drive(journey)
    sent = Envelope("i", "m", "go", b'{"body":7,"sent_at":0}', World.START + 90)
    await pair.here.store.send(sent)
    await pair.copied()

    assert await pair.there.run_due(journey) == []
    pair.there.clock.advance(91)
    await pair.there.run_due(journey)

    assert effects == ["first", "go 7"]


async def test_a_message_that_was_received_here_is_known_there(pair: Pair) -> None:
    # G11 N-07
    await pair.here.start(journey)
    await pair.here.handle().send("go", "on", id="m")
    await pair.here.drive(journey)
    await pair.copied()

    assert not await pair.there.handle().send("go", "once more", id="m")
    pair.there.clock.advance(61)
    await pair.there.run_due(journey)

    assert effects == ["first", "go on", "last"]


async def test_a_timer_fires_there_when_it_would_have_here(pair: Pair) -> None:
    # G10
    await pair.here.start(journey)
    await pair.here.handle().send("go", "on")
    await pair.here.drive(journey)
    pair.here.clock.advance(30)
    await pair.copied()

    assert await pair.there.run_due(journey) == []
    pair.there.clock.advance(31)
    [outcome] = await pair.there.run_due(journey)

    assert outcome.status == "completed"
    assert (await pair.there.history())[-1].name == "do"


async def test_a_back_off_and_its_count_go_along(pair: Pair) -> None:
    # G7
    await pair.here.start(retries)
    await pair.here.drive(retries)
    await pair.copied()

    assert await pair.there.run_due(retries) == []
    pair.there.clock.advance(51)
    [outcome] = await pair.there.run_due(retries)

    assert outcome.status == "failed"
    assert effects == ["before", "shaky", "shaky"]


async def test_what_a_dead_process_left_is_due_at_once(pair: Pair) -> None:
    # G7 G8
    dead = pair.here.mortal(journey)
    await pair.here.start(journey)
    async with dead:
        await dead.drive("i")
        pair.here.kill()
        await pair.here.handle().send("go", "on")
        with suppress(StoreUnavailable):
            await dead.drive("i")
    pair.here.clock.advance(3600)  # until its lease is over
    assert effects.count("first") == 1
    await pair.copied()

    [outcome] = await pair.there.run_due(journey)

    assert outcome.status == "suspended"
    assert effects.count("first") == 1


async def test_undoing_goes_on_there(pair: Pair) -> None:
    # G8 I-01
    await pair.here.start(undoes)
    outcome = await pair.here.drive(undoes)
    assert outcome.status == "undoing"
    await pair.copied()

    assert await pair.there.run_due(undoes) == []
    pair.there.clock.advance(51)
    [outcome] = await pair.there.run_due(undoes)

    assert outcome.status == "failed"
    assert effects == ["booked", "cancelling", "cancelling"]


async def test_what_is_blocked_or_has_failed_is_recovered_there(pair: Pair) -> None:
    # G14
    async def breaks_rules(ctx: Context) -> None:
        await do("once")
        await asyncio.get_running_loop().create_future()

    blocked, unblocked = workflow(name="w")(breaks_rules), workflow(name="w")(mended)
    await pair.here.start(blocked, instance="blocked")
    assert (await pair.here.drive(blocked, "blocked")).status == "blocked"
    await pair.here.start(undoes, instance="failed")
    for _ in range(2):
        await pair.here.drive(undoes, "failed")
        pair.here.clock.advance(51)
    for each in ("blocked", "failed"):
        await pair.copied(each)
    assert await pair.there.run_due(blocked, undoes) == []
    with pytest.raises(WorkflowBlocked):
        await pair.there.handle("blocked").result()
    with pytest.raises(WorkflowFailed, match="no way"):
        await pair.there.handle("failed").result()
    for each in ("blocked", "failed"):
        await pair.there.handle(each).recover()

    outcome = await pair.there.drive(unblocked, "blocked")

    assert outcome.output == "mended"
    assert effects.count("once") == 1
    await pair.there.drive(undoes, "failed")
    assert effects.count("booked") == 2


async def mended(ctx: Context) -> str:
    await do("once")
    return "mended"


async def test_a_rewound_copy_receives_the_same_messages_again(pair: Pair) -> None:
    # G11 S16
    await pair.here.start(journey)
    await pair.here.handle().send("stop", "now", id="m")
    await pair.here.handle().send("go", "later", id="n")
    await pair.here.drive(journey)
    await pair.copied()
    path = await pair.there.path("receive")
    await pair.there.handle().rewind(path)

    await pair.there.run_due(journey)

    assert effects == ["first", "stop now", "stop now"]
    assert [m.id for m in await pair.there.store.unread("i")] == ["n"]


async def test_a_result_is_there_and_takes_no_messages(pair: Pair) -> None:
    # G8
    await pair.here.start(journey)
    for name in ("go", "unread"):
        await pair.here.handle().send(name, 1)
    await pair.here.drive(journey)
    await pair.here.later(journey, 61)
    await pair.copied()

    assert await pair.there.handle().result() == ["first", "go 1", "last"]
    with pytest.raises(InstanceFinished):
        await pair.there.handle().send("more")
    assert (await pair.copy()).result == "same"


async def test_what_could_not_join_its_commit_is_delivered_there() -> None:
    # G2 N-07
    class Deaf(MemoryStore):
        async def send(self, message: Envelope) -> bool:
            if message.to == "peer":
                raise StoreUnavailable("it does not answer")
            return await super().send(message)

    async for pair in open_pair(Deaf(Limits(joins_sends=False)), MemoryStore()):
        await pair.here.start(sends)
        with suppress(StoreUnavailable):
            await pair.here.drive(sends)
        pair.here.clock.advance(3600)
        await pair.copied()

        await pair.there.run_due(sends)

        assert len(await pair.there.store.unread("peer")) == 1


async def test_a_long_history_keeps_its_numbers_after_a_snapshot(pair: Pair) -> None:
    # G15: an alarm that was armed for a frame is known by its number
    await pair.here.start(gathers, 60)
    for turn in range(59):
        await pair.here.handle().send("part", f"{turn:05}" * 500, id=f"m{turn}")
        await pair.here.drive(gathers)
    mine = await load(pair.here.store)
    assert mine.frames[0].seq > 30
    await pair.copied()

    theirs = await load(pair.there.store)
    assert frames_of(theirs) == frames_of(mine)
    assert not await pair.there.handle().send("part", "x", id="m3")
    await pair.there.handle().send("part", "x")
    [outcome] = await pair.there.run_due(gathers)
    assert outcome.output == ["00000", str(59 * 2500 + 1)]


async def test_an_id_that_the_journal_has_forgotten_is_known_there(
    pair: Pair,
) -> None:
    # S41
    await pair.here.start(listens)
    for turn in range(6):
        await pair.here.handle().send("part", "x" * 30_000, id=f"m{turn}")
        await pair.here.drive(listens)
    journal = b"".join(f.body for f in (await load(pair.here.store)).frames)
    assert b'"m0"' not in journal
    await pair.copied()

    assert not await pair.there.handle().send("part", "again", id="m0")
    assert await pair.there.run_due(listens) == []


# --- what does not fit -------------------------------------------------------------


async def gathered(world: World, parts: int, size: int) -> None:
    await world.start(gathers, parts)
    for _ in range(parts - 1):
        await world.handle().send("part", "x" * size)
        await world.drive(gathers)


@pytest.mark.parametrize(
    "limits",
    [Limits(max_frame=9000, max_group=20_000), Limits(max_frame=9000, max_group=9000)],
)
async def test_a_journal_above_the_limits_is_written_as_one_group(
    limits: Limits,
) -> None:
    # G3 N-11
    store = RecordingStore(MemoryStore(limits))
    async for pair in open_pair(MemoryStore(), store):
        await gathered(pair.here, 12, 3000)
        mine = await load(pair.here.store)
        await pair.copied()

        theirs = await load(pair.there.store)
        assert theirs.head.seq == mine.head.seq
        assert len(store.commits) > 1
        assert await pair.there.history() == await pair.here.history()
        assert (await pair.copy()).result == "same"
        await pair.there.handle().send("part", "y")
        [outcome] = await pair.there.run_due(gathers)
        assert outcome.output == ["xxxxx", str(11 * 3000 + 1)]


async def test_as_long_as_a_group_is_not_whole_nobody_runs_it() -> None:
    # G3
    limits = Limits(max_frame=9000, max_group=9000)
    async for pair in open_pair(MemoryStore(), MemoryStore(limits)):
        await gathered(pair.here, 12, 3000)
        for at in range(1, 100):
            effects.clear()
            target = FaultyStore(pair.there.store.inner, [Fault(at, "crash_after")])
            with suppress(Crashed):
                done = await pair.copier(target=target).copy("i")
                assert done.result == "copied"
            if await pair.there.store.load("i") is None:
                continue
            if (await load(pair.there.store)).head.status != "pending":
                break
            pair.there.clock.advance(2 * HOLD)
            assert await pair.there.run_due(gathers) == []
            with pytest.raises((UnknownInstance, JournalDamaged)):
                await pair.there.info()
        assert (await pair.copy()).is_there
        assert await pair.there.history() == await pair.here.history()


async def test_a_value_too_large_is_refused_by_name_and_both_sizes() -> None:
    # N-11
    async for pair in open_pair(MemoryStore(), MemoryStore(Limits(max_frame=5000))):
        await gathered(pair.here, 2, 9000)
        done = await pair.copy()

        assert done.result == "refused"
        assert "of 9" in done.text
        assert done.text.endswith("bytes is above the limit of 5000 bytes")
        assert await pair.there.store.load("i") is None
        assert list(await pair.there.store.unread("i")) == []


async def test_a_message_too_large_is_refused_before_anything_is_written() -> None:
    # N-11
    async for pair in open_pair(MemoryStore(), MemoryStore(Limits(max_frame=5000))):
        await pair.here.start(gathers, 2)
        for size in (10, 9000):
            await pair.here.handle().send("part", "x" * size)
        done = await pair.copy()

        assert (done.result, "a message of" in done.text) == ("refused", True)
        assert list(await pair.there.store.unread("i")) == []


async def test_a_store_that_takes_few_frames_at_once_gets_fewer(quick: Pair) -> None:
    # N-11: a limit that no `Limits` tell of
    class Narrow(MemoryStore):
        async def commit(self, instance: str, commit: Commit) -> Committed:
            if len(commit.frames) > 3:
                return await super().commit(
                    instance, replace(commit, frames=(b"x" * 9_000_000,))
                )
            done = await super().commit(instance, commit)
            kept.append(len((await load(self)).frames))
            return done

    kept: list[int] = []
    await gathered(quick.here, 60, 2500)
    mine = await load(quick.here.store)
    assert mine.frames[0].seq > 30
    target = Narrow()

    done = await quick.copier(target=target).copy("i")

    assert done.result == "copied"
    assert (await load(target)).head.seq == mine.head.seq
    assert len(kept) > 10
    assert max(kept) <= 3  # what only takes numbers does not pile up


# --- what is left alone ------------------------------------------------------------


async def test_what_a_worker_holds_is_left_alone(quick: Pair) -> None:
    await quick.here.start(journey)
    await quick.here.store.claim(World.START, 1, 30.0, "a worker")
    done = await quick.copy()

    assert done.result == "running"
    assert done.text == ("a worker has it, for 30 s at least: stop the workers first")
    assert await quick.there.store.load("i") is None
    quick.here.clock.advance(31)
    await quick.copied()


async def test_what_went_on_there_is_left_alone_until_it_is_to_be_replaced(
    pair: Pair,
) -> None:
    await pair.here.start(journey)
    await pair.here.drive(journey)
    await pair.copied()
    await pair.there.handle().send("go", "there", id="m")
    await pair.there.run_due(journey)
    before = await load(pair.there.store)

    done = await pair.copy()

    assert done.result == "differs"
    assert done.text.startswith("here it is suspended at frame 4, in the other store")
    assert await load(pair.there.store) == before
    assert (await pair.copy(replaces=True)).result == "copied"
    assert await pair.there.history() == await pair.here.history()
    assert await pair.there.handle().send("go", "again", id="m")


async def test_what_a_worker_there_has_is_not_replaced(quick: Pair) -> None:
    # G4
    await quick.here.start(journey)
    await quick.copied()
    await quick.there.drive(journey)
    await quick.there.handle().send("go", "there")
    await quick.there.store.claim(quick.there.clock.now(), 1, 30.0, "a worker")
    before = await load(quick.there.store)

    done = await quick.copy(replaces=True)

    assert (done.result, done.text) == (
        "running",
        "a worker of the other store has it: stop it first",
    )
    assert await load(quick.there.store) == before


async def test_what_is_too_large_replaces_nothing(quick: Pair) -> None:
    # N-11
    await quick.here.start(journey)
    await quick.copied()
    await quick.there.drive(journey)
    before = await load(quick.there.store)
    large = Envelope("i", "m", "go", b"x" * 5000)
    await quick.here.store.send(large)
    quick.there.store.inner.limits = Limits(max_frame=4096)  # type: ignore[misc]  # it is a field there

    done = await quick.copy(replaces=True)

    assert done.result == "refused"
    assert await load(quick.there.store) == before


async def test_an_older_copy_that_nobody_opened_is_brought_up_to_date(
    pair: Pair,
) -> None:
    await pair.here.start(journey)
    await pair.here.drive(journey)
    await pair.here.handle().send("go", "on", id="m")
    await pair.copied()
    for _ in range(2):
        await pair.here.handle().send("other")
        await pair.here.drive(journey)
        await pair.copied()
        assert await pair.there.history() == await pair.here.history()
        assert not await pair.there.handle().send("go", "on", id="m")
        pair.here.clock.advance(61)
    assert (await pair.there.info()).status == "completed"
    assert effects == ["first", "go on", "last"]


async def test_what_went_on_in_both_is_left_alone(quick: Pair) -> None:
    await quick.here.start(journey)
    await quick.copied()
    await quick.there.drive(journey)
    quick.here.clock.advance(10)
    await quick.here.drive(journey)

    assert (await quick.copy()).result == "differs"


async def test_an_older_copy_that_had_ended_is_brought_up_to_date(pair: Pair) -> None:
    await pair.here.start(undoes)
    for _ in range(2):
        await pair.here.later(undoes)
    await pair.copied()
    assert (await pair.there.info()).status == "failed"
    await pair.here.handle().recover()
    await pair.here.handle().send("news", id="m")
    await pair.copied()

    assert (await pair.there.info()).status == "pending"
    assert [m.id for m in await pair.there.store.unread("i")] == ["m"]


async def test_another_instance_of_one_id_is_not_taken_for_an_older_copy(
    quick: Pair,
) -> None:
    other = World(MemoryStore())
    other.clock = quick.here.clock
    await quick.here.start(journey)
    await quick.here.handle().send("go", "on", id="m")
    assert (await quick.copy(moves=True)).result == "moved"
    before = await load(quick.there.store)
    quick.here.clock.advance(1)
    await other.start(journey)

    done = await quick.copier(source=other.store.inner, moves=True).copy("i")

    assert done.result == "differs"
    assert "in the other store another one has its id, pending at frame 1" in done.text
    assert await load(quick.there.store) == before
    assert await other.store.load("i") is not None


async def test_what_was_sent_to_both_stores_is_one_message(pair: Pair) -> None:
    # G11: senders go over to the other store while instances are copied
    await pair.here.start(journey)
    await pair.here.drive(journey)
    for id_ in ("m1", "m2"):
        await pair.here.handle().send("go", id_, id=id_)
    sent_again = Envelope("i", "m2", "go", b'{"body":"m2","sent_at":0}')
    await pair.there.store.send(sent_again)

    assert (await pair.copy()).is_there
    assert (await pair.copy(moves=True)).result == "moved"

    assert {m.id for m in await pair.there.store.unread("i")} == {"m1", "m2"}
    assert sent_again in await pair.there.store.unread("i")


async def test_a_copy_that_is_newer_is_not_replaced_by_an_older_one(
    quick: Pair,
) -> None:
    store = MemoryStore()
    await quick.here.start(journey)
    await quick.copier(target=store).copy("i")
    await quick.here.later(journey)
    await quick.copied()

    done = await quick.copier(source=store).copy("i")

    assert done.result == "differs"


async def test_what_is_unread_again_here_is_unread_again_in_an_older_copy(
    pair: Pair,
) -> None:
    # S16
    await pair.here.start(journey)
    await pair.here.handle().send("go", "on", id="m")
    await pair.here.drive(journey)
    await pair.copied()
    await pair.here.handle().rewind(await pair.here.path("receive"))
    await pair.copied()

    await pair.there.run_due(journey)

    assert effects == ["first", "go on", "go on"]


async def test_a_journal_that_cannot_be_read_is_named(quick: Pair) -> None:
    class Secret:
        def encode(self, data: bytes) -> bytes:
            return data[::-1]

        def decode(self, data: bytes) -> bytes:
            return data[::-1]

    app = quick.here.process(journey, codec=Secret())
    await app.start(journey, id="i")
    done = await quick.copy()

    assert done.result == "refused"
    assert done.text.endswith("If its App has a codec, name the App by --app")
    assert (await quick.copier(codec=Secret()).copy("i")).result == "copied"
    assert (await quick.there.process(journey, codec=Secret()).drive("i")).status == (
        "suspended"
    )


async def test_a_start_that_was_never_whole_counts_as_not_started(quick: Pair) -> None:
    start = Commit(
        seq=1, frames=(b"",), token=b"t", workflow="w", status="pending", now=1.0
    )
    await quick.here.store.inner.commit("i", start)
    done = await quick.copy()

    assert (done.result, "not started" in done.text) == ("refused", True)


async def test_a_start_there_that_was_never_whole_is_written_over(quick: Pair) -> None:
    start = Commit(
        seq=1, frames=(b"",), token=b"t", workflow="w", status="pending", now=1.0
    )
    await quick.there.store.inner.commit("i", start)
    await quick.here.start(journey)

    await quick.copied()

    assert (await quick.there.drive(journey)).status == "suspended"


async def test_what_is_not_there_is_said(quick: Pair) -> None:
    assert await quick.copy() == Copied("i", "refused", "there is no such instance")


async def test_a_store_that_spoils_bytes_is_found(quick: Pair) -> None:
    class Spoils(MemoryStore):
        async def send(self, message: Envelope) -> bool:
            return await super().send(replace(message, body=message.body[1:]))

    await quick.here.start(journey)
    await quick.here.handle().send("go")

    done = await quick.copier(target=Spoils(), moves=True).copy("i")

    assert done.result == "refused"
    assert "do not use that store" in done.text
    assert await quick.here.store.load("i") is not None


async def test_a_store_that_forgets_ids_is_found(quick: Pair) -> None:
    class Forgets(MemoryStore):
        async def consumed(self, instance: str) -> list[str]:
            return []

    await quick.here.start(journey)
    await quick.here.handle().send("go")
    await quick.here.drive(journey)

    assert (await quick.copier(target=Forgets()).copy("i")).result == "refused"


@pytest.mark.parametrize("kind", ["memory", "sqlite", "files"])
async def test_a_store_is_not_copied_to_itself(kind: str, tmp_path: Path) -> None:
    here = make(kind, tmp_path / "a")
    there = here
    if kind == "sqlite":
        there = SqliteStore(tmp_path / "a" / "edgeflow.db")
    elif kind == "files":
        there = make(kind, tmp_path / "a")
    async for pair in open_pair(here, there):
        with pytest.raises(ConfigError, match="one and the same store"):
            await pair.copier().check_apart("x")
        assert list(await here.unread("edgeflow-copy-x")) == []
        await pair.copier(target=MemoryStore()).check_apart("x")


# --- what goes on meanwhile --------------------------------------------------------


class Meddled(RecordingStore):
    """A store to which something happens right after the first loads."""

    def __init__(
        self, inner: Store, *happens: Callable[[], Coroutine[Any, Any, Any]]
    ) -> None:
        super().__init__(inner)
        self.happens = list(happens)

    async def load(self, instance: str) -> Loaded | None:
        loaded = await super().load(instance)
        if self.happens:
            await self.happens.pop(0)()
        return loaded


async def test_what_went_on_here_meanwhile_is_copied_again(quick: Pair) -> None:
    # G4
    await quick.here.start(journey)

    async def goes_on() -> None:
        await quick.here.drive(journey)

    source = Meddled(quick.here.store.inner, goes_on)
    done = await quick.copier(source=source).copy("i")

    assert done == Copied("i", "copied", "it went on meanwhile, and was copied again")
    assert await quick.there.history() == await quick.here.history()


async def test_what_is_moved_is_deleted_only_if_nothing_came_in_between(
    pair: Pair,
) -> None:
    # G11
    await pair.here.start(journey)

    async def arrives() -> None:
        await pair.here.handle().send("go", "late", id="m")

    source = Meddled(pair.here.store.inner, arrives)
    done = await pair.copier(source=source, moves=True).copy("i")

    assert done.result == "moved"
    assert await pair.here.store.load("i") is None
    await pair.there.run_due(journey)
    assert effects == ["first", "go late"]
    assert (await pair.copy()).text == "only the other store has it: it was moved"


async def test_who_never_rests_is_left_alone(quick: Pair) -> None:
    await quick.here.start(gathers, 99)

    async def arrives() -> None:
        await quick.here.handle().send("part", "x")

    source = Meddled(quick.here.store.inner, *[arrives] * 99)
    done = await quick.copier(source=source, moves=True).copy("i")

    assert done.result == "running"
    assert await quick.here.store.load("i") is not None


async def test_a_copy_is_not_claimed_before_it_was_verified(quick: Pair) -> None:
    # G4
    await quick.here.start(journey)
    claimed: list[str] = []

    async def claims() -> None:
        now = quick.here.clock.now()
        claimed.extend(await quick.there.store.claim(now, 9, 30.0, "a worker"))

    source = Meddled(quick.here.store.inner, claims, claims)
    done = await quick.copier(source=source, moves=True).copy("i")
    assert (done.result, claimed) == ("moved", [])

    await claims()

    assert claimed == ["i"]


async def test_a_copy_that_was_opened_before_it_was_verified_is_said_to_be(
    quick: Pair,
) -> None:
    # G4
    class Stolen(MemoryStore):
        async def commit(self, instance: str, commit: Commit) -> Committed:
            answer = await super().commit(instance, commit)
            if commit.token == mark_of(instance):
                await World(self).drive(journey)
            return answer

    await quick.here.start(journey)
    done = await quick.copier(target=Stolen(), moves=True).copy("i")

    assert done.result == "differs"
    assert done.text == "it was opened in the other store before it was verified"
    assert await quick.here.store.load("i") is not None


# --- crashes -----------------------------------------------------------------------


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize("kind", ["crash_before", "crash_after", "fail_after"])
async def test_after_a_crash_at_any_write_the_same_copy_comes_to_the_same_end(
    quick: Pair, kind: Any, *, moves: bool
) -> None:
    # G3 G5 G11
    await quick.here.start(gathers, 60)
    for turn in range(50):
        await quick.here.handle().send("part", "x" * 2500, id=f"m{turn}")
        await quick.here.drive(gathers)
    for turn in range(50, 53):
        await quick.here.handle().send("part", "x", id=f"m{turn}")
    mine = await load(quick.here.store)
    wanted = await quick.here.history()
    assert mine.frames[0].seq > 30
    for at in range(1, 1000):
        if 5 < at < 50:
            continue  # one consumed message is like another
        here, there = twin(quick.here.store.inner), MemoryStore()
        pair = Pair(here, there)
        pair.here.clock = quick.here.clock
        target = FaultyStore(there, [Fault(at, kind)])
        source = FaultyStore(here, [Fault(at, kind)])
        for copier in (
            pair.copier(here, target, moves=moves),
            pair.copier(source, there, moves=moves),
        ):
            with suppress(Crashed, OutcomeUnknown):
                await copier.copy("i")
        struck = len(target.struck) + len(source.struck)
        done = await pair.copy(moves=moves)

        assert done.is_there, (at, done)
        assert await pair.there.history() == wanted
        theirs = await load(there)
        assert frames_of(theirs) == frames_of(mine)
        assert list(theirs.messages) == list(mine.messages)
        assert sorted(await there.consumed("i")) == sorted(f"m{n}" for n in range(50))
        assert (await here.load("i") is None) == moves
        if at > 50 and not struck:
            break
    else:
        pytest.fail("the copy writes without end")


@pytest.mark.parametrize("kind", ["crash_before", "crash_after"])
async def test_after_a_crash_an_older_copy_is_brought_up_to_date_all_the_same(
    quick: Pair, kind: Any
) -> None:
    # G3 G5
    await quick.here.start(gathers, 60)
    await quick.here.drive(gathers)
    await quick.copied()
    versions = [(await load(quick.here.store)).head.seq]
    for turn in range(50):
        await quick.here.handle().send("part", "x" * 2500, id=f"m{turn}")
        await quick.here.drive(gathers)
    wanted = await quick.here.history()
    versions.append((await load(quick.here.store)).head.seq)
    quick.here.clock.advance(2 * HOLD)
    for at in range(51, 100):
        pair = Pair(quick.here.store.inner, twin(quick.there.store.inner))
        pair.here.clock = pair.there.clock = quick.here.clock
        faulty = FaultyStore(pair.there.store.inner, [Fault(at, kind)])
        with suppress(Crashed):
            await pair.copier(target=faulty).copy("i")
        assert await pair.there.run_due(gathers) == []
        if (await load(pair.there.store)).head.seq not in versions:
            with pytest.raises(JournalDamaged):
                await pair.there.info()

        assert (await pair.copy()).is_there
        assert await pair.there.history() == wanted
        if not faulty.struck:
            break
    else:
        pytest.fail("the copy writes without end")


async def test_an_older_copy_is_not_run_any_more_once_it_is_being_replaced(
    quick: Pair,
) -> None:
    # G3: one empty frame after it would count as torn, and it as what is last
    await quick.here.start(journey)
    await quick.copied()
    await quick.here.handle().cancel()
    source = MemoryStore()
    two = Commit(
        seq=1, frames=(b"", b""), token=b"t", workflow="w", status="pending", now=1.0
    )
    await source.commit("i", two)
    await quick.copier(target=source).copy("i")
    assert (await load(source)).frames[0].seq == 3

    target = FaultyStore(quick.there.store.inner, [Fault(1, "crash_after")])
    with pytest.raises(Crashed):
        await quick.copier(source, target).copy("i")

    with pytest.raises(JournalDamaged):
        await quick.there.info()
    assert (await quick.copier(source).copy("i")).result == "copied"


def twin(store: Store) -> MemoryStore:
    """The same data once more."""
    from copy import deepcopy  # noqa: PLC0415  here only

    assert isinstance(store, MemoryStore)
    return deepcopy(store)


# --- any history -------------------------------------------------------------------

ACTIONS = ("go", "stop", "drive", "wait", "again", "cancel", "recover", "copy")


async def act(world: World, action: str, number: int) -> None:
    """Do something to instance i, whatever comes of it."""
    with suppress(InstanceFinished, NotRecoverable, UnknownEntry):
        match action:
            case "go" | "stop":
                await world.handle().send(action, number, id=f"m{number}")
            case "drive":
                await world.drive(journey)
            case "wait":
                world.clock.advance(40)
            case "again":
                await world.handle().rewind([["receive", "receive", 0]])
            case "cancel":
                await world.handle().cancel()
            case "recover":
                await world.handle().recover()
            case _:
                pass


@settings(max_examples=60)
@given(
    before=st.lists(st.sampled_from(ACTIONS), max_size=10),
    after=st.lists(st.sampled_from(ACTIONS), max_size=6),
)
async def test_whatever_happened_a_copy_goes_on_as_the_instance_does(
    before: list[str], after: list[str]
) -> None:
    # G8 G9 G11
    here, there = MemoryStore(), MemoryStore()
    pair = Pair(here, there)
    await pair.here.start(journey)
    for number, action in enumerate(before):
        await act(pair.here, action, number)
        if action == "copy":
            assert (await pair.copy()).is_there
    assert (await pair.copy()).is_there
    token = mark_of("i")
    assert (await load(there)).head.token == token

    pictures: list[object] = []
    now = pair.here.clock.now()
    for world in (pair.here, World(there)):
        world.clock = VirtualClock(now)
        for number, action in enumerate(after, start=100):
            await act(world, action, number)
        await world.run_due(journey)
        info, history = await world.info(), await world.history()
        unread = [replace(m, body=b"") for m in await world.store.unread("i")]
        inner = world.store.inner
        assert isinstance(inner, Remembers)
        known = sorted(await inner.consumed("i"))
        pictures.append((info, history, unread, known))
    assert pictures[0] == pictures[1]
