"""The journal: what a flush writes, what loading finds, what snapshots cost."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    Context,
    Retry,
    UnknownInstance,
    current_step,
    step,
)
from edgeflow.engine import reading
from edgeflow.engine.composing import Rest
from edgeflow.engine.frames import FORMAT, PlainCodec
from edgeflow.engine.journal import Journal
from edgeflow.engine.wiring import Wiring
from edgeflow.errors import Fenced, JournalDamaged, StoreUnavailable, ValueTooLarge
from edgeflow.store import Commit, Envelope, Frame, Limits, Loaded
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed, Fault, FaultyStore
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.conftest import AtCommits

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from edgeflow import Store

    Body = Callable[[Context], Coroutine[Any, Any, Any]]

RUNNING = Rest("running")
calls: list[object] = []


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    calls.clear()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def wiring(store: Store, clock: VirtualClock | None = None) -> Wiring:
    return Wiring(store, clock or VirtualClock(), PlainCodec(), "tests")


def begin(store: Store, clock: VirtualClock | None = None) -> Journal:
    journal = Journal(wiring(store, clock), "i", b"t" * 16)
    journal.set_record("start", {"workflow": "w", "input": None, "at": 0, "birth": ""})
    return journal


def note(journal: Journal, name: str, value: object = None) -> None:
    """Record an outcome."""
    journal.record(
        (("step", name, 0),), "completed", key=(name, 0), value=value, attempts=1
    )


async def load(store: Store) -> Journal:
    loaded = await store.load("i")
    assert loaded is not None
    return reading.load(wiring(store), loaded, b"u" * 16)


def values(journal: Journal) -> dict[Any, object]:
    return {key[0]: entry.data.get("value") for key, entry in journal.entries.items()}


# What is written and read


async def test_everything_comes_back_in_the_order_of_completion() -> None:
    store = MemoryStore()
    journal = begin(store)
    for name in "cab":
        note(journal, name, name)
    journal.record((("step", "d", 0),), "retrying", key=("d", 0), completion=False)
    journal.set_state({"k": b"[1]", "gone": b"1"})
    await journal.flush(RUNNING)
    journal.set_state({"gone": None})
    journal.set_record("progress", "half")
    note(journal, "d", "d")
    await journal.flush(Rest("suspended", 9.0, ("hello",), due=9.0))

    found = await load(store)

    assert [entry.key for entry in found.replay] == [(n, 0) for n in "cabd"]
    assert values(found) == {n: n for n in "cabd"}
    assert (found.state, found.progress) == ({"k": b"[1]"}, "half")
    assert found.status == "suspended"
    assert (found.header["wake_at"], found.header["awaiting"]) == (9.0, ["hello"])
    assert found.now == journal.now
    assert found.seq == 2


async def test_a_flush_writes_what_is_dirty_and_nothing_else() -> None:
    # Q-07, G15
    store = RecordingStore(MemoryStore())
    journal = begin(store)
    journal.set_state({f"k{n}": b'"%s"' % (b"x" * 1000) for n in range(50)})
    await journal.flush(RUNNING)
    assert not journal.dirty
    journal.set_state({"k7": b'"new"'})
    assert journal.dirty
    await journal.flush(RUNNING)

    assert len(store.commits[1].frames[0]) < 500
    assert b"new" in store.commits[1].frames[0]
    assert (await load(store)).state["k7"] == b'"new"'


async def test_values_are_bytes_at_birth() -> None:
    # R-03, G8
    store = MemoryStore()
    journal = begin(store)
    value = [1]
    note(journal, "a", value)
    value.append(2)
    await journal.flush(RUNNING)

    assert values(await load(store)) == {"a": [1]}


async def test_what_changes_during_a_flush_goes_with_the_next(
    clock: VirtualClock,
) -> None:
    # M-09, G3
    inner = RecordingStore(MemoryStore())

    class Meddling(RecordingStore):
        async def commit(self, instance: str, commit: Commit) -> Any:
            answer = await super().commit(instance, commit)
            if len(self.commits) == 1:
                note(journal, "a", "new")
                journal.set_state({"k": b"2"})
                journal.acknowledge("m")
                journal.send(Envelope("j", "id", "news", b""))
            return answer

    journal = begin(Meddling(inner), clock)
    note(journal, "a", "old")
    journal.set_state({"k": b"1"})
    await journal.flush(RUNNING)
    assert journal.dirty
    assert values(await load(inner)) == {"a": "old"}
    await journal.flush(RUNNING)

    assert not journal.dirty
    assert values(await load(inner)) == {"a": "new"}
    assert (await load(inner)).state == {"k": b"2"}
    assert inner.commits[1].acks == ("m",)
    assert [message.id for message in inner.commits[1].sends] == ["id"]


async def test_time_never_goes_back(clock: VirtualClock) -> None:
    # S38
    store = MemoryStore()
    journal = begin(store, clock)
    first = journal.tick()
    clock.advance(-1000)
    note(journal, "a")
    await journal.flush(RUNNING)

    found = await load(store)

    assert found.now == first
    assert found.entries["a", 0].data["at"] == first


async def test_a_value_above_the_limit_changes_nothing() -> None:
    # R-05, S20
    store = MemoryStore(Limits(max_frame=10_000))
    journal = begin(store)
    with pytest.raises(ValueTooLarge, match=r"\d+ bytes are above the limit of \d+"):
        note(journal, "a", "x" * 10_000)
    note(journal, "b", "x" * 5_000)
    await journal.flush(RUNNING)

    assert list(values(await load(store))) == ["b"]


async def test_numbers_of_completions_have_no_gaps_after_a_refusal() -> None:
    store = MemoryStore(Limits(max_frame=10_000))
    journal = begin(store)
    note(journal, "a")
    with pytest.raises(ValueTooLarge):
        note(journal, "b", "x" * 10_000)
    note(journal, "c")

    assert [e.data["n"] for e in journal.entries.values()] == [1, 2]


# Owners


async def test_a_new_owner_fences_the_old_one() -> None:
    # N-03, G4
    store = RecordingStore(MemoryStore())
    old = begin(store)
    await old.flush(RUNNING)
    new = await load(store)
    await new.flush(RUNNING, opens=True)
    note(old, "a")
    with pytest.raises(Fenced):
        await old.flush(RUNNING)
    note(new, "b")
    await new.flush(RUNNING)

    assert list(values(await load(store))) == ["b"]
    assert len(store.commits) == 3


async def test_only_one_of_two_that_open_at_once_owns() -> None:
    # N-02, G4
    store = MemoryStore()
    await begin(store).flush(RUNNING)
    one, two = await load(store), await load(store)
    await one.flush(RUNNING, opens=True)
    with pytest.raises(Fenced):
        await two.flush(RUNNING, opens=True)


async def test_somebody_elses_start_is_not_taken_for_ones_own(
    clock: VirtualClock,
) -> None:
    # G5: the answer is lost, and what is there is another process's frame
    class Raced(FaultyStore):
        async def commit(self, instance: str, commit: Commit) -> Any:
            if self.writes == 0:
                await self.inner.commit(instance, replace(commit, token=b"other"))
            return await super().commit(instance, commit)

    store = Raced(MemoryStore(), [Fault(1, "fail_before")], clock=clock)
    with pytest.raises(Fenced):
        await begin(store, clock).flush(RUNNING)


# Frames that are lost, torn, damaged or newer, under a whole app


@step(retry=Retry(attempts=2, jitter=0))
async def work(value: int, size: int = 0) -> list[Any]:
    calls.append(value)
    current_step().state["last"] = value
    return [value, "x" * size]


async def three(ctx: Context) -> list[int]:
    found: list[int] = []
    for n in range(3):
        found.append((await work(n))[0])
        await ctx.sleep(10)
    return found


def app_for(body: Body, store: Store, clock: VirtualClock, **settings: Any) -> App:
    app = App(store, clock=clock, lifespan=lambda: nullcontext(clock), **settings)
    app.workflow(name="w")(body)
    return app


async def record(body: Body, **settings: Any) -> list[Commit]:
    store = RecordingStore(MemoryStore())
    await app_for(body, store, VirtualClock(), **settings).run("w", id="i")
    calls.clear()
    return store.commits


async def written(commits: Iterable[Commit]) -> MemoryStore:
    store = MemoryStore()
    for commit in commits:
        await store.commit("i", commit)
    return store


class Edited(RecordingStore):
    """Shows frames other than those that were written."""

    def __init__(self, inner: Store, frames: dict[int, bytes | None]) -> None:
        super().__init__(inner)
        self.frames = frames

    async def load(self, instance: str) -> Loaded | None:
        loaded = await super().load(instance)
        if loaded is None:
            return None
        edited = [(f.seq, self.frames.get(f.seq, f.body)) for f in loaded.frames]
        frames = [Frame(seq, body) for seq, body in edited if body is not None]
        return replace(loaded, frames=frames)


async def test_a_lost_last_frame_costs_its_steps_only() -> None:
    # O-07, S34: the head is ahead of the journal, and does not count
    commits = await record(three)
    for lost in range(2, len(commits) + 1):
        calls.clear()
        clock = VirtualClock()
        kept = await written(commits[:lost])
        edited = Edited(kept, {lost: None})
        done = [n for n in range(3) if holds(commits[: lost - 1], n)]

        assert await app_for(three, edited, clock).run("w", id="i") == [0, 1, 2]
        assert calls == [n for n in range(3) if n not in done]
        loaded = await kept.load("i")
        assert loaded is not None
        assert loaded.head.status == "completed"


def holds(commits: Iterable[Commit], n: int) -> bool:
    ended = b'"status":"completed"'
    path = b'"path":[["step","work",%d]]' % n
    lines = (line for c in commits for f in c.frames for line in f.split(b"\n"))
    return any(path in line and ended in line for line in lines)


async def test_a_commit_that_is_acknowledged_and_lost_costs_its_steps_only() -> None:
    # O-07
    total = len(await record(three))
    for at in range(1, total + 1):
        calls.clear()
        inner, clock = MemoryStore(), VirtualClock()
        broken = AtCommits(inner, [Fault(at, "lose")], clock=clock)
        if at < total:
            with pytest.raises((Crashed, StoreUnavailable)):
                await app_for(three, broken, clock).run("w", id="i")
        else:
            await app_for(three, broken, clock).run("w", id="i")

        assert await app_for(three, inner, clock).run("w", id="i") == [0, 1, 2]
        assert 3 <= len(calls) <= 4


@pytest.mark.parametrize("at", range(2, 9))
async def test_a_last_frame_torn_at_any_byte_counts_as_not_written(at: int) -> None:
    # O-08, S34, G3
    commits = await record(three)
    assert len(commits) == 8
    *before, last = commits[:at]
    (frame,) = last.frames
    done = [n for n in range(3) if holds(before, n)]
    for keep in range(0, len(frame), 7):
        calls.clear()
        clock = VirtualClock()
        torn = await written([*before, replace(last, frames=(frame[:keep],))])

        app = app_for(three, torn, clock)
        assert (await app.handle("i").info()).status != "completed"
        assert await app.run("w", id="i") == [0, 1, 2]
        assert calls == [n for n in range(3) if n not in done]


async def test_torn_at_every_process_it_still_arrives() -> None:
    # O-08: each process records one entry, and tears the next frame
    inner, clock = MemoryStore(), VirtualClock()
    await app_for(three, inner, clock).start("w", id="i")
    for boots in range(1, 40):
        plan = [Fault(4, "tear", keep=10 * boots)]
        store = FaultyStore(inner, plan, clock=clock)
        try:
            found: object = await app_for(three, store, clock).run("w", id="i")
        except (Crashed, StoreUnavailable):
            clock.advance(10)
            continue
        assert found == [0, 1, 2]
        assert boots > 2
        break
    else:
        pytest.fail("no progress")


@pytest.mark.parametrize("edit", ["flip", "cut", "lose"])
async def test_a_damaged_frame_in_the_middle_blocks_and_says_so(edit: str) -> None:
    # O-08, S34, G13
    commits = await record(three)
    inner, clock = await written(commits[:5]), VirtualClock()
    body = commits[2].frames[0]
    flipped = body[:-3] + bytes([body[-3] ^ 1]) + body[-2:]
    edited = Edited(inner, {3: {"flip": flipped, "cut": body[:-9], "lose": None}[edit]})

    outcome = await app_for(three, edited, clock).drive("i")

    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert "'i'" in outcome.error.message
    assert "frame 3" in outcome.error.message
    assert calls == []
    assert edited.commits == []
    with pytest.raises(JournalDamaged, match="frame 3"):
        await app_for(three, edited, clock).handle("i").info()
    clock.advance(1000)
    assert await app_for(three, inner, clock).run("w", id="i") == [0, 1, 2]


async def test_a_journal_of_a_newer_format_is_left_alone() -> None:
    commits = await record(three)
    inner, clock = await written(commits[:3]), VirtualClock()
    newer = (
        commits[2]
        .frames[0]
        .replace(b'"edgeflow":%d' % FORMAT, b'"edgeflow":%d' % (FORMAT + 1))
    )
    edited = Edited(inner, {3: newer})

    outcome = await app_for(three, edited, clock).drive("i")

    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert f"format {FORMAT + 1}" in outcome.error.message
    assert f"reads {FORMAT}" in outcome.error.message
    assert (calls, edited.commits) == ([], [])
    assert await app_for(three, inner, clock).run("w", id="i") == [0, 1, 2]


@pytest.mark.parametrize("how", ["attach", "fail", "restart"])
async def test_a_start_that_was_torn_counts_as_not_written(how: Any) -> None:
    # O-08, S34
    commits = await record(three)
    (frame,) = commits[0].frames
    clock = VirtualClock()
    torn = await written([replace(commits[0], frames=(frame[:50],))])
    app = app_for(three, torn, clock)

    with pytest.raises(UnknownInstance):
        await app.drive("i")
    await app.start("w", id="i", on_conflict=how)
    assert await app.run("w", id="i") == [0, 1, 2]


async def test_an_unknown_instance_is_no_damage(store: Store) -> None:
    with pytest.raises(UnknownInstance, match="nobody"):
        await App(store).handle("nobody").info()


# Snapshots


async def many(_: Context) -> int:
    return len([await work(n, 100) for n in range(2000)])


async def test_snapshots_cost_a_bounded_number_of_bytes(clock: VirtualClock) -> None:
    # Q-03, G15
    store = RecordingStore(MemoryStore())
    assert await app_for(many, store, clock).run("w", id="i") == 2000

    dirty = total = since = size = 0
    snapshots: list[int] = []
    for commit in store.commits:
        wrote = sum(map(len, commit.frames))
        total += wrote
        if commit.snapshot:
            snapshots.append(wrote)
            size, since = wrote, 0
        else:
            dirty += wrote
            since += wrote
            assert since <= max(8 * 1024, size) + wrote
    assert total <= 3 * dirty
    assert 3 <= len(snapshots) <= 12
    assert max(map(len, store.commits[-2].frames)) < 1000


async def test_a_snapshot_holds_everything_that_counts(clock: VirtualClock) -> None:
    # G15: also what is under way, and the message that waits
    store = RecordingStore(MemoryStore())

    async def body(ctx: Context) -> Any:
        for n in range(8):
            await work(n, 20_000)
        await ctx.status("half")
        message = await ctx.receive("hello", timeout=1000)
        return [message.body, (await work(8))[0]]

    app = app_for(body, store, clock)
    await app.start("w", id="i")
    await app.drive("i")
    cut = next(n for n in range(len(store.commits), 0, -1) if is_snapshot(store, n))
    loaded = await store.load("i")
    assert loaded is not None
    assert loaded.frames[0].seq == cut > 2
    await app.handle("i").send("hello", "you")
    before = len(calls)

    fresh = app_for(body, store, clock)
    assert (await fresh.handle("i").info()).progress == "half"
    assert await fresh.handle("i").state() == {"last": 7}
    assert len(await fresh.handle("i").history()) == 8 + 1
    assert (await fresh.drive("i")).output == ["you", 8]
    assert calls[before:] == [8]


def is_snapshot(store: RecordingStore, number: int) -> bool:
    return store.commits[number - 1].snapshot


async def test_replay_from_each_snapshot_and_its_neighbours_is_the_same() -> None:
    # O-10, N-13, G3
    async def body(ctx: Context) -> int:
        total = 0
        for n in range(12):
            total += (await work(n, 12_000))[0]
            await ctx.sleep(1)
        return total

    commits = await record(body)
    cuts = [n for n, commit in enumerate(commits, 1) if commit.snapshot and n > 1]
    assert cuts
    for cut in cuts:
        for last in (cut - 1, cut, cut + 1):
            calls.clear()
            inner, clock = await written(commits[:last]), VirtualClock()
            clock.advance(100)
            assert await app_for(body, inner, clock).run("w", id="i") == 66
            assert calls == [n for n in range(12) if not holds(commits[:last], n)]


async def test_a_torn_snapshot_is_not_the_end_of_what_was_before() -> None:
    # O-10, N-13: the store dropped nothing before the snapshot was whole
    class Careful(MemoryStore):
        """Keeps what a snapshot replaces, as a store that removes it later."""

        async def commit(self, instance: str, commit: Commit) -> Any:
            return await super().commit(instance, replace(commit, snapshot=False))

    async def body(_: Context) -> int:
        return sum([(await work(n, 12_000))[0] for n in range(12)])

    commits = await record(body)
    cut = next(n for n, commit in enumerate(commits) if commit.snapshot and n)
    for keep in (0, 10, 5_000, -1):
        calls.clear()
        (frame,) = commits[cut].frames
        inner, clock = Careful(), VirtualClock()
        for commit in commits[:cut]:
            await inner.commit("i", commit)
        await inner.commit("i", replace(commits[cut], frames=(frame[:keep],)))

        assert await app_for(body, inner, clock).run("w", id="i") == 66
        assert calls == [n for n in range(12) if not holds(commits[:cut], n)]


async def test_what_a_careful_store_keeps_before_a_snapshot_is_ignored() -> None:
    # N-13
    async def body(_: Context) -> int:
        return sum([(await work(n, 12_000))[0] for n in range(12)])

    commits = await record(body)
    inner, clock = MemoryStore(), VirtualClock()
    for commit in commits:
        await inner.commit("i", replace(commit, snapshot=False))

    assert await app_for(body, inner, clock).run("w", id="i") == 66
    assert calls == []


async def test_a_head_that_says_otherwise_is_not_believed(clock: VirtualClock) -> None:
    # S34, O-07
    class Lying(RecordingStore):
        async def load(self, instance: str) -> Loaded | None:
            loaded = await super().load(instance)
            assert loaded is not None
            head = replace(loaded.head, status="completed", wake_at=1.0)
            return replace(loaded, head=head)

    commits = await record(three)
    inner = await written(commits[:4])
    lying = Lying(inner)

    info = await app_for(three, lying, clock).handle("i").info()
    assert info.status == "running"
    assert await app_for(three, lying, clock).run("w", id="i") == [0, 1, 2]


@pytest.mark.parametrize("size", [5 * 1024 * 1024])
async def test_several_large_values_of_one_flush_are_all_durable(
    size: int, clock: VirtualClock
) -> None:
    # R-05, S6, G3
    store = RecordingStore(MemoryStore())

    async def body(ctx: Context) -> int:
        found = [await work(n, size) for n in range(3)]
        await ctx.sleep(60)
        return sum(len(text) for _, text in found)

    settings: dict[str, Any] = {"durability": "suspend", "max_dirty_bytes": 1 << 30}
    app = app_for(body, store, clock, **settings)
    await app.start("w", id="i")
    await app.drive("i")
    assert len(store.commits[-1].frames) == 3
    clock.advance(60)

    assert await app_for(body, store, clock, **settings).run("w", id="i") == 3 * size
    assert calls == [0, 1, 2]
