"""FaultyStore fails as its plan says, and is a store like any other otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, step
from edgeflow.errors import Conflict, OutcomeUnknown, StoreUnavailable
from edgeflow.store import Commit, Envelope, Head, Query, Resumes, Store
from edgeflow.testing import StoreSuite
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed, Fault, FaultKind, FaultyStore
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START = Commit(
    seq=1, frames=(b"one", b"two"), token=b"t", workflow="w", status="running", now=1.0
)


class TestWithoutFaults(StoreSuite):
    async def open_store(self, where: Path) -> Store:
        return FaultyStore(MemoryStore())


async def bodies(store: Store) -> Sequence[bytes]:
    loaded = await store.load("i")
    return [] if loaded is None else [frame.body for frame in loaded.frames]


async def head(store: Store) -> Head:
    loaded = await store.load("i")
    assert loaded is not None
    return loaded.head


async def test_failing_before_writes_nothing_and_passes() -> None:
    store = FaultyStore(MemoryStore(), [Fault(1, "fail_before")])
    with pytest.raises(StoreUnavailable, match="nothing was written"):
        await store.commit("i", START)
    assert await bodies(store) == []
    await store.commit("i", START)

    assert await bodies(store) == [b"one", b"two"]
    assert (store.writes, store.struck) == (2, [Fault(1, "fail_before")])


async def test_failing_after_writes_and_loses_the_answer() -> None:
    plan = [Fault(n, "fail_after") for n in (1, 2, 3)]
    store = FaultyStore(MemoryStore(), plan)
    with pytest.raises(OutcomeUnknown):
        await store.commit("i", START)
    assert await bodies(store) == [b"one", b"two"]
    with pytest.raises(OutcomeUnknown):
        await store.send(Envelope("i", "m", "news", b""))
    assert [message.id for message in await store.unread("i")] == ["m"]
    with pytest.raises(OutcomeUnknown):
        await store.delete("i")
    assert await store.load("i") is None


async def test_a_slow_write_takes_its_time() -> None:
    clock = VirtualClock()
    store = FaultyStore(MemoryStore(), [Fault(1, "slow", seconds=30)], clock=clock)
    start = clock.now()
    with clock.busy():
        await store.commit("i", START)

    assert clock.now() - start == pytest.approx(30)
    assert await bodies(store) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (Fault(1, "crash_before"), []),
        (Fault(1, "crash_after"), [b"one", b"two"]),
        (Fault(1, "tear", keep=1), [b"one", b"t"]),
        (Fault(1, "tear"), [b"one", b"tw"]),
    ],
)
async def test_after_a_crash_nothing_is_answered(
    fault: Fault, kept: list[bytes]
) -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, [fault])
    with pytest.raises(Crashed, match=fault.kind):
        await store.commit("i", START)

    assert await bodies(inner) == kept
    for call in (
        store.open(),
        store.load("i"),
        store.commit("i", START),
        store.renew("i", b"t", 1, 1),
        store.unread("i"),
        store.send(Envelope("i", "m", "news", b"")),
        store.claim(1, 1, 1, "w"),
        store.delete("i"),
    ):
        with pytest.raises(Crashed):
            await call
    with pytest.raises(Crashed):
        store.find(Query())
    await store.close()
    assert await bodies(inner) == kept


@pytest.mark.parametrize(
    ("kind", "answer", "is_leased"),
    [
        ("fail_before", StoreUnavailable, False),
        ("fail_after", OutcomeUnknown, True),
        ("time_out", OutcomeUnknown, False),
        ("late", OutcomeUnknown, True),
        ("slow", ["m"], True),
        ("fence", None, False),
        ("crash_before", Crashed, False),
        ("crash_after", Crashed, True),
        ("lose", ["m"], False),
        ("tear", Crashed, False),
    ],
)
async def test_a_resume_is_struck_as_a_write(
    kind: FaultKind, answer: Any, *, is_leased: bool
) -> None:
    clock, inner = VirtualClock(), MemoryStore()
    app = App(inner, clock=clock)

    @app.workflow
    async def waits(ctx: Context) -> None:
        await ctx.receive("news")

    await app.start(waits, id="i")
    await app.drive("i")
    began = await head(inner)
    clock.advance(100)
    asked = clock.now()
    store = FaultyStore(inner, [Fault(2, kind)], clock=clock)
    await store.send(Envelope("i", "m", "other", b""))
    assert isinstance(store, Resumes)
    found: Any = None
    try:
        with clock.busy():
            unread = await store.resume("i", began.token, asked, 30.0, "me")
        found = unread and [message.id for message in unread]
    except (StoreUnavailable, OutcomeUnknown, Crashed) as error:
        found = type(error)
    await store.settle()

    assert found == answer
    assert store.struck == [Fault(2, kind)]
    ends = await head(inner)
    assert (ends.lease == asked + 30.0) == is_leased
    assert (ends.token == began.token) == (kind != "fence")


async def test_a_lost_write_is_acknowledged_all_the_same() -> None:
    store = FaultyStore(MemoryStore(), [Fault(1, "lose")])
    await store.commit("i", START)
    with pytest.raises(Crashed):
        await store.load("i")

    assert await bodies(store.inner) == []


async def test_a_process_can_end_at_any_moment() -> None:
    store = FaultyStore(MemoryStore())
    await store.commit("i", START)
    store.kill()
    with pytest.raises(Crashed):
        await store.load("i")


async def test_fencing_lets_another_process_open_the_instance() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, [Fault(2, "fence")])
    app = App(inner, clock=VirtualClock())

    @step
    async def nothing() -> None:
        return

    async def body(_: Context) -> int:
        await nothing()
        return 1

    app.workflow(name="w")(body)
    await app.start("w", id="i")
    loaded = await inner.load("i")
    assert loaded is not None
    token = loaded.head.token
    await store.send(Envelope("i", "m", "news", b""))
    late = Commit(
        seq=2, frames=(b"x",), token=token, workflow="w", status="running", now=1.0
    )
    with pytest.raises(Conflict):
        await store.commit("i", late)

    assert len(await bodies(inner)) == 2
    assert (await app.handle("i").info()).status == "running"
    assert await app.run("w", id="i") == 1


async def test_fencing_a_start_is_another_process_that_was_quicker() -> None:
    store = FaultyStore(MemoryStore(), [Fault(1, "fence")])
    with pytest.raises(Conflict):
        await store.commit("i", START)

    loaded = await store.load("i")
    assert loaded is not None
    assert loaded.head.token != START.token


def test_a_plan_is_printed_as_it_is_written() -> None:
    plan = [Fault(3, "crash_after"), Fault(5, "tear", keep=7)]
    shown = repr(FaultyStore(MemoryStore(), plan))

    assert shown.startswith("FaultyStore(MemoryStore(), [Fault(3, 'crash_after'), ")
    names = {"FaultyStore": FaultyStore, "MemoryStore": MemoryStore, "Fault": Fault}
    again: FaultyStore = eval(shown, names)
    assert list(again.plan) == plan


def test_two_faults_at_one_write_are_refused() -> None:
    with pytest.raises(ValueError, match="two faults strike one write"):
        FaultyStore(MemoryStore(), [Fault(1, "slow"), Fault(1, "lose")])
