"""What goes down together: all of a flush, or nothing of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import Context, Retry, StepError, Stop, StoreUnavailable
from edgeflow.store import Limits
from edgeflow.testing import Crashed, Fault, FaultyStore
from tests.flushes import (
    KIB,
    MODES,
    Bench,
    Database,
    bench,
    calls,
    flaky,
    nothing,
    work,
)

if TYPE_CHECKING:
    from edgeflow.store import Commit, Committed
    from edgeflow.testing.faults import FaultKind

__all__ = ["bench"]  # a fixture

LARGE: dict[str, Any] = {"max_dirty_bytes": 1 << 30, "durability": "suspend"}


# One flush of many entries


async def many(ctx: Context) -> int:
    """Have 400 results of 2 KiB and 100 that are nothing, then sleep on them."""
    steps = (work(n, size=2 * KIB) for n in range(400))
    found = await asyncio.gather(*steps, *(nothing(f"n{n}") for n in range(100)))
    await ctx.sleep(60)
    assert found == ["x" * 2 * KIB] * 400 + [None] * 100
    return len(found)


def as_it_was(commits: list[Commit]) -> Any:
    """Give the commits of the large flush and of what came before it."""
    *before, last = commits
    assert last.status == "suspended"
    assert 800 * KIB < sum(map(len, last.frames)) < 1200 * KIB
    return before, last


async def test_a_flush_of_many_entries_is_loaded_whole_or_not_at_all(
    bench: Bench,
) -> None:
    # M-17, G3
    database = await bench.database()
    await bench.app(many, database, **LARGE).start("w", id="i")
    await bench.app(many, database, **LARGE).drive("i")
    before, last = as_it_was(database.of("i"))
    (frame,) = last.frames

    for keep in (0, 1, 100, len(frame) // 2, len(frame) - 1):
        calls.clear()
        torn = [*before, replace(last, frames=(frame[:keep],))]
        assert await bench.history_after(torn) == []
        again = await bench.database(torn)
        assert await bench.app(many, again, **LARGE).run("w", id="i") == 500
        assert len(calls) == 500

    calls.clear()
    whole = await bench.history(database)
    assert len(whole) == 500
    assert {(e.name, e.status, e.attempts) for e in whole} == {
        ("work", "completed", 1),
        ("nothing", "completed", 1),
    }
    assert {e.value for e in whole} == {"x" * 2 * KIB, None}
    assert await bench.app(many, database).run("w", id="i") == 500
    assert not calls


@pytest.mark.parametrize(
    ("kind", "is_written"),
    [("crash_before", False), ("crash_after", True), ("lose", False), ("tear", False)],
)
async def test_a_process_that_dies_in_a_flush_has_written_all_or_nothing(
    kind: FaultKind, bench: Bench, *, is_written: bool
) -> None:
    # M-17, G3: an opening, and then the large flush
    database = await bench.database()
    await bench.app(many, database, **LARGE).start("w", id="i")
    fault = Fault(2, kind, keep=400_000)
    store = FaultyStore(database, [fault], clock=bench.clock)
    with suppress(Crashed, StoreUnavailable):
        await bench.app(many, store, **LARGE).drive("i")
    assert store.crashed
    assert store.struck == [fault]
    assert len(calls) == 500
    assert len(await bench.history(database)) == (500 if is_written else 0)

    calls.clear()
    assert await bench.app(many, database, **LARGE).run("w", id="i") == 500
    assert len(calls) == (0 if is_written else 500)


# A flush of several frames


class Narrow(Database):
    """Takes frames of 64 KiB at most."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner.inner)
        self.limits = Limits(max_frame=64 * KIB, joins_sends=inner.limits.joins_sends)


async def test_a_flush_above_the_limit_of_a_frame_is_a_group(bench: Bench) -> None:
    # M-18, S6, G3
    async def body(ctx: Context) -> int:
        await asyncio.gather(*(work(n, size=10 * KIB) for n in range(20)))
        await ctx.sleep(60)
        return sum(calls.values())

    store = Narrow(await bench.database())
    app = bench.app(body, store, durability="suspend")
    await app.start("w", id="i")
    await app.drive("i")
    *before, group = store.of("i")
    parts = len(group.frames)
    assert parts == 4
    assert max(map(len, group.frames)) <= 64 * KIB
    assert len(await bench.history(store)) == 20

    for kept in range(1, parts):
        calls.clear()
        cut = [*before, replace(group, frames=group.frames[:kept])]
        torn = group.frames[kept][: 5 * KIB]  # of the next part some bytes arrived
        for commits in (
            cut,
            [*before, replace(group, frames=(*group.frames[:kept], torn))],
        ):
            calls.clear()
            assert await bench.history_after(commits) == []
            again = await bench.database(commits)
            assert await bench.app(body, again).run("w", id="i") == 20
            # What follows builds on what was there before the part of a group.
            assert len(await bench.history(again)) == 21
    calls.clear()
    assert await bench.app(body, store).run("w", id="i") == 0


async def test_what_crashes_between_its_parts_does_not_come_back_later(
    bench: Bench,
) -> None:
    # M-18, S6, G3: neither when the next owner writes a group, nor a snapshot
    async def body(ctx: Context) -> int:
        for turn in range(4):
            await asyncio.gather(
                *(work(turn * 10 + n, size=9 * KIB) for n in range(10))
            )
            await ctx.sleep(60)
        return sum(calls.values())

    store = Narrow(await bench.database())
    app = bench.app(body, store, durability="suspend")
    await app.start("w", id="i")
    await app.drive("i")
    *before, group = store.of("i")
    commits = [*before, replace(group, frames=group.frames[:1])]
    for _ in range(3):
        again = Narrow(await bench.database(commits))
        await bench.app(body, again, durability="suspend").drive("i")
        bench.clock.advance(60)
        *more, group = again.of("i")
        assert len(group.frames) > 1
        commits += [*more, replace(group, frames=group.frames[:1])]

    calls.clear()
    last = Narrow(await bench.database(commits))
    assert await bench.app(body, last, durability="suspend").run("w", id="i") == 40
    entries = [e for e in await bench.history(last) if e.kind == "step"]
    assert len(entries) == len({str(e.path) for e in entries}) == 40


async def test_a_value_above_the_limit_fails_its_step_and_no_flush(
    bench: Bench,
) -> None:
    # M-18, R-05, S20
    async def body(_: Context) -> list[object]:
        await work(1)
        try:
            await work(2, size=70 * KIB)
        except StepError as error:
            return [error.kind, error.error.type, error.attempts]
        return []

    store = Narrow(await bench.database())
    found: object = await bench.app(body, store).run("w", id="i")

    assert found == ["unencodable", "ValueTooLarge", 1]
    assert max(len(frame) for c in store.of("i") for frame in c.frames) < 2 * KIB
    entries = await bench.history(store)
    assert [(e.status, e.attempts) for e in entries] == [
        ("completed", 1),
        ("failed", 1),
    ]


# One commit


async def test_all_that_a_moment_changes_is_in_one_commit(bench: Bench) -> None:
    # M-19, G3 G10: suspending, receiving, finishing
    async def body(ctx: Context) -> str:
        await work(1)
        await ctx.send("somebody", "news", 1)
        message = await ctx.receive("hello", "other", timeout=60)
        async with asyncio.timeout(100):
            await ctx.sleep(30)
        await ctx.send("somebody", "more", 2)
        return str(message.body)

    database = await bench.database()
    start = bench.clock.now()
    app = bench.app(body, database, durability="suspend")
    await app.start("w", id="i")
    waiting = await app.drive("i")
    suspended = first_with(database, b'"work"')

    assert waiting.awaiting == suspended.awaiting == ("hello", "other")
    assert suspended.status == "suspended"
    assert suspended.lease == pytest.approx(0.1)  # the linger
    assert suspended.wake_at == waiting.wake_at
    # A store that sends by itself keeps its instance due until it has.
    joins = database.limits.joins_sends
    assert suspended.due == (suspended.wake_at if joins else start)
    assert suspended.wake_at == pytest.approx(start + 60, abs=0.5)
    assert [message.name for message in suspended.sends] == ["news"]
    assert b'"send"' in suspended.frames[0]

    await app.handle("i").send("hello", "you", id="m")
    bench.clock.advance(1)
    asleep = await bench.app(body, database).drive("i")
    received = first_with(database, b'"receive"')
    assert (received.acks, received.awaiting) == (("m",), ())
    assert received.status == "suspended"
    assert received.wake_at == asleep.wake_at == pytest.approx(bench.clock.now() + 30)

    bench.clock.advance(30)
    done = await bench.app(body, database).drive("i")
    ended = first_with(database, b'"output"')
    assert done.output == "you"
    assert [message.name for message in ended.sends] == ["more"]
    ended = database.of("i")[-1]
    assert (ended.status, ended.lease) == ("completed", 0.0)
    assert (ended.wake_at, ended.awaiting, ended.due) == (None, (), None)
    assert set(database.calls) <= {"load", "unread", "commit", "send"}


def first_with(database: Database, text: bytes) -> Commit:
    """Give the first commit in whose frames a text stands."""
    return next(c for c in database.of("i") if text in b"".join(c.frames))


@pytest.mark.parametrize("mode", MODES)
async def test_what_a_turn_prunes_goes_with_what_it_receives_and_sends(
    mode: str, bench: Bench
) -> None:
    # M-19, G3: pruning
    async def body(ctx: Context) -> int:
        async def turn(total: int) -> int | Stop[int]:
            message = await ctx.receive("add")
            await nothing.using(name=f"turn {total}")("n")
            await ctx.send("somebody", "sum", total + 1)
            return Stop(total) if message.body == 0 else total + 1

        return await ctx.loop("sums", turn, state=0, prune_every=2)

    database = await bench.database()
    app = bench.app(body, database, durability=mode)
    handle = app.handle("i")
    await app.start("w", id="i")
    for at in range(5):
        await handle.send("add", 1, id=f"m{at}")
        await bench.app(body, database, durability=mode).drive("i")

    pruning = [c for c in database.of("i") if b'"prune"' in b"".join(c.frames)]
    assert len(pruning) == 2
    for commit, at in zip(pruning, (1, 3), strict=True):
        # The commit that says so suspends the turn that is next, too.
        assert (commit.status, commit.awaiting) == ("suspended", ("add",))
        assert f'"state":{at + 1}'.encode() in b"".join(commit.frames)
    for at in range(5):
        [own] = [c for c in database.of("i") if f"m{at}" in c.acks]
        assert f'"id":"m{at}"'.encode() in b"".join(own.frames)  # with its record
        body_of = f'"body":{at + 1},'.encode()
        [sending] = [c for c in database.of("i") if body_of in sent(c)]
        assert f'"turn {at}"'.encode() in held(database, sending)
    await handle.send("add", 0)
    assert (await bench.app(body, database).drive("i")).output == 5


@pytest.mark.parametrize("mode", MODES)
async def test_a_flush_that_is_a_snapshot_holds_what_is_under_way(
    mode: str, bench: Bench
) -> None:
    # M-19, G3 G7 G10: the failed attempt and its time, the turn, the message
    async def body(ctx: Context) -> object:
        async def turn(total: int) -> int | Stop[int]:
            if total == 3:
                return Stop((await ctx.receive("add")).body)
            return total + 1

        async def fill() -> None:
            for n in range(8):
                await work(n, 1, size=20 * KIB)

        late = flaky.using(retry=Retry(first=60, cap=60, jitter=0))(1)
        return await asyncio.gather(late, ctx.loop("sums", turn, state=0), fill())

    database = await bench.database()
    start = bench.clock.now()
    app = bench.app(body, database, durability=mode)
    await app.start("w", id="i")
    outcome = await app.drive("i")
    assert outcome.wake_at == pytest.approx(start + 60)
    assert outcome.awaiting == ("add",)
    loaded = await bench.loaded(database)
    assert loaded.frames[0].seq > 2  # a snapshot has replaced the start

    assert {(e.name, e.status, e.attempts) for e in await bench.history(database)} >= {
        ("flaky", "retrying", 1),
        ("turn", "begun", 0),
    }
    await app.handle("i").send("add", 5)
    bench.clock.advance(60)
    done = await bench.app(body, database).drive("i")
    assert done.output == [2, 5, None]
    assert calls.pop("flaky") == 2
    assert calls == dict.fromkeys(range(8), 1)


def sent(commit: Commit) -> bytes:
    return b"".join(message.body for message in commit.sends)


def held(database: Database, last: Commit) -> bytes:
    """Give all that is written down by the time of a commit."""
    every = database.of("i")
    commits = every[: every.index(last) + 1]
    return b"".join(frame for commit in commits for frame in commit.frames)


class DiesCancelled(FaultyStore):
    """Is gone once it has written down that the instance is to be cancelled."""

    async def commit(self, instance: str, commit: Commit) -> Committed:
        answer = await super().commit(instance, commit)
        if b'"cancel":{' in b"".join(commit.frames):
            self.kill()
        return answer


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancellation_and_its_wake_up_are_in_one_commit(
    mode: str, bench: Bench
) -> None:
    # M-19, S17, G10: in whatever turn of the loop it comes, while it comes to rest
    async def body(ctx: Context) -> None:
        await ctx.step("waits", go.wait)
        await ctx.receive("hello")

    for turns in range(12):
        go = asyncio.Event()
        database = await bench.database()
        store = DiesCancelled(database, clock=bench.clock)
        with suppress(Crashed, StoreUnavailable):
            async with bench.app(body, store, durability=mode, poll=1000) as app:
                handle = await app.start("w", id="i")
                await bench.clock.sleep(1)
                go.set()
                for _ in range(turns):
                    await asyncio.sleep(0)
                await handle.cancel()
        bench.clock.advance(100)
        await bench.app(body, database).run_due()
        assert (await bench.loaded(database)).head.status == "cancelled"


@pytest.mark.parametrize("mode", MODES)
async def test_an_alarm_is_cleared_with_the_end_or_not_at_all(
    mode: str, bench: Bench
) -> None:
    # M-19, G10: the end is not written, so it is due as before; then both are
    async def body(ctx: Context) -> int:
        await flaky(0)
        await ctx.sleep(60)
        return 7

    database = await bench.database()
    await bench.app(body, database).start("w", id="i")
    outcome = await bench.app(body, database, durability=mode).drive("i")
    bench.clock.advance(60)
    plan = [Fault(n, "fail_before") for n in range(2, 99)]
    away = FaultyStore(database, plan, clock=bench.clock)
    with pytest.raises(StoreUnavailable):
        await bench.app(body, away, durability=mode).drive("i")
    assert outcome.wake_at is not None
    late = bench.clock.now() + 60  # the lease of whoever died is over
    with bench.clock.busy():
        assert list(await database.claim(late, 10, 0.0, "another")) == ["i"]

    assert [o.output for o in await run_due(bench, body, database, late)] == [7]
    with bench.clock.busy():
        assert not await database.claim(late + 1e6, 10, 0.0, "another")
    assert calls == {"flaky": 1}


async def run_due(bench: Bench, body: Any, database: Database, now: float) -> Any:
    bench.clock.advance(now - bench.clock.now())
    return await bench.app(body, database).run_due()
