"""Workflows on a KV store: whichever call to it is a process's last, they go on."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    Context,
    InstanceFinished,
    StepError,
    Stop,
    StoreError,
    Workflow,
    WorkflowFailed,
    current_step,
    step,
    workflow,
)
from edgeflow.errors import FatalError
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed, Fault, FaultKind, FaultyStore
from edgeflow_kv import FilesKV, KVStore, MemoryKV
from tests.stores.kv_faults import MortalKV

if TYPE_CHECKING:
    from pathlib import Path

    from edgeflow.store import Store

calls: Counter[str] = Counter()
START = 1_700_000_000.0


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    calls.clear()


@step
async def work(name: str) -> str:
    calls[name] += 1
    current_step().state[name] = len(current_step().state)
    if name == "bad":
        raise FatalError("no")
    return name


@work.undo
async def unwork(name: str) -> str:
    calls[f"undo {name}"] += 1
    return name


@workflow
async def double(ctx: Context, number: int) -> int:
    await work("in the child")
    await ctx.sleep(5)
    return 2 * number


@workflow
async def listen(ctx: Context) -> list[str]:
    return [(await ctx.receive("note")).body for _ in range(3)]


@workflow
async def order(ctx: Context) -> list[Any]:
    async def turn(number: int) -> int | Stop[int]:
        await work(f"turn {number}")
        return number + 1 if number < 4 else Stop(number)

    await ctx.send("peer", "note", "begun")
    first = await work("first")
    await ctx.sleep(3600)
    go = await ctx.receive("go", timeout=60)
    child = await ctx.call(double, 21)
    await ctx.send("peer", "note", "half")
    last = await ctx.loop("turns", turn, state=0, prune_every=2)
    try:
        await work("bad")
    except StepError as error:
        await ctx.send("peer", "note", error.error.message)
    return [first, go.body, child, last]


@workflow
async def undone(ctx: Context) -> None:
    await work("a")
    await ctx.sleep(1)
    await work("b")
    raise ValueError("never mind")


EXPECTED = (["first", "now", 42, 4], ["begun", "half", "no"])


def app_on(store: Store, clock: VirtualClock) -> App:
    flows: list[Workflow[Any, Any]] = [order, listen, double, undone]
    return App(store, workflows=flows, clock=clock)


async def live(store: Store, clock: VirtualClock) -> tuple[Any, Any]:
    """Be a process that sees to it that both instances are there, and end."""
    app = app_on(store, clock)
    await app.start(listen, id="peer")
    await app.start(order, id="i")
    with suppress(InstanceFinished):
        await app.handle("i").send("go", "now", id="go")
    output = await app.run(order, id="i")
    return output, await app.run(listen, id="peer")


async def recorded(kv: MemoryKV) -> set[str]:
    """Names of the steps whose outcome is durable, in the instance and its child."""
    app = app_on(KVStore(kv), VirtualClock(START))
    await app.store.open()
    found: set[str] = set()
    async for info in app.find():
        steps = [e for e in await app.handle(info.id).history() if e.kind == "step"]
        found |= {e.value for e in steps if e.status == "completed"}
        found |= {"bad" for e in steps if e.status == "failed"}
    return found


async def test_a_workflow_runs_with_all_that_it_needs() -> None:
    # N-18
    kv = MemoryKV()

    assert await live(KVStore(kv), VirtualClock(START)) == EXPECTED

    assert set(calls.values()) == {1}
    state = await app_on(KVStore(kv), VirtualClock(START)).handle("i").state()
    assert set(state) == {"first", *(f"turn {n}" for n in range(5))}


async def test_it_runs_on_files(tmp_path: Path) -> None:
    # N-18
    clock = VirtualClock(START)

    store = KVStore(FilesKV(tmp_path / "kv", sync=False))
    assert await live(store, clock) == EXPECTED

    assert set(calls.values()) == {1}
    again = KVStore(FilesKV(tmp_path / "kv", sync=False))
    assert await live(again, clock) == EXPECTED
    assert set(calls.values()) == {1}


async def count() -> int:
    mortal = MortalKV(MemoryKV())
    assert await live(KVStore(mortal), VirtualClock(START)) == EXPECTED
    calls.clear()
    return len(mortal.calls)


SLICES = 12


@pytest.mark.parametrize("part", range(SLICES))
async def test_it_goes_on_after_a_crash_at_any_call_to_the_backend(part: int) -> None:
    # N-18 O-01, G1 G3 G5 G7 G10 G11
    for last in range(1 + part, await count(), SLICES):
        calls.clear()
        kv, clock = MemoryKV(), VirtualClock(START)
        with pytest.raises((Crashed, StoreError)):
            await live(KVStore(MortalKV(kv, last)), clock)
        durable = await recorded(kv)
        before = Counter(calls)
        calls.clear()
        clock.advance(60)

        assert await live(KVStore(kv), clock) == EXPECTED, f"after call {last}"

        assert set(before.values()) | set(calls.values()) <= {1}
        assert not durable & set(calls), f"after call {last}"


@pytest.mark.parametrize("kind", ["crash_before", "crash_after", "fail_after", "lose"])
async def test_it_goes_on_after_a_fault_at_any_write(kind: FaultKind) -> None:
    # N-18 O-01, G5 G12
    write = 0
    while True:
        write += 1
        calls.clear()
        kv, clock = MemoryKV(), VirtualClock(START)
        faulty = FaultyStore(KVStore(kv), [Fault(write, kind)], clock=clock)
        try:
            await live(faulty, clock)
        except (Crashed, StoreError):
            clock.advance(60)
        if not faulty.struck:
            break

        assert await live(KVStore(kv), clock) == EXPECTED, faulty
    assert write > 20


async def test_a_workflow_is_undone_on_it_after_a_crash_at_any_call() -> None:
    # N-18 I-04
    last = 0
    while True:
        last += 1
        calls.clear()
        kv, clock = MemoryKV(), VirtualClock(START)
        mortal = MortalKV(kv, last)
        try:
            await app_on(KVStore(mortal), clock).start(undone, id="i")
            await app_on(KVStore(mortal), clock).run(undone, id="i")
        except (Crashed, StoreError):
            clock.advance(60)
        except WorkflowFailed:
            break
        app = app_on(KVStore(kv), clock)
        await app.start(undone, id="i")
        with pytest.raises(WorkflowFailed, match="never mind"):
            await app.run(undone, id="i")
        assert {calls["undo a"], calls["undo b"]} <= {1, 2}
        entries = await app.handle("i").history()
        assert [e.value for e in entries if e.kind == "undo"] == ["b", "a"]


@workflow
async def add(ctx: Context) -> int:
    total = 0
    while True:
        message = await ctx.receive("add", "stop")
        if message.name == "stop":
            return total
        total += message.body
        await message.reply(total)


async def test_each_of_many_asks_at_once_gets_its_answer() -> None:
    # D-09 N-18, G11
    store = KVStore(MemoryKV())
    async with App(store, workflows=[add], clock=VirtualClock(START)) as app:
        handle = await app.start(add, id="adds")

        answers = await asyncio.gather(
            *(handle.ask("add", 1, timeout=60) for _ in range(5))
        )

    assert sorted(answers) == [1, 2, 3, 4, 5]
