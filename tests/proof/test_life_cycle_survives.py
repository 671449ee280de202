"""What is done to an instance from outside happens, or does not (CONFORMANCE O-09)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from edgeflow import App, Context, EdgeflowError, Retry, UnknownInstance, step, workflow
from edgeflow.testing.faults import KINDS, Crashed, Fault, FaultKind, FaultyStore
from edgeflow.testing.matrix import crash_matrix
from edgeflow_memory import MemoryStore

from .workflows import w5

if TYPE_CHECKING:
    from edgeflow.engine.settings import Durability
    from tests.conftest import World

MODES: tuple[Durability, ...] = ("step", "behind", "suspend")
Change: TypeAlias = Callable[["World", App, str], Coroutine[Any, Any, None]]

log: list[str] = []
"""What was done and undone, in order."""
full: set[str] = set()
"""What cannot be reserved."""


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    log.clear()
    full.clear()


@step(retry=Retry(attempts=1))
async def reserve(seat: str) -> str:
    log.append(seat)
    if seat in full:
        raise LookupError(seat)
    return seat


@reserve.undo
async def release(seat: str) -> str:
    log.append(f"no {seat}")
    return f"no {seat}"


@workflow(name="journey")
async def journey(ctx: Context, traveller: str) -> str:
    await reserve("train")
    await ctx.join(hotel=reserve("hotel"), car=reserve("car"))
    await ctx.sleep(60)
    return f"{traveller} goes by {await reserve('plane')}"


# --- what is done to it -------------------------------------------------------------


async def cancel(_: World, app: App, instance: str) -> None:
    await app.handle(instance).cancel()


async def recover(_: World, app: App, instance: str) -> None:
    await app.handle(instance).recover()


async def rewind(world: World, app: App, instance: str) -> None:
    path = await world.path("join", "hotel", "reserve", instance=instance)
    await app.handle(instance).rewind(path)


async def restart(_: World, app: App, instance: str) -> None:
    await app.start(journey, "Bob", id=instance, on_conflict="restart")


async def delete(_: World, app: App, instance: str) -> None:
    await app.handle(instance).delete()


ADA, BOB = "Ada goes by plane", "Bob goes by plane"
CHANGES: dict[Change, tuple[Any, Any]] = {
    cancel: (("completed", ADA), ("cancelled", None)),
    recover: (("failed", None), ("completed", ADA)),
    rewind: (("completed", ADA), ("completed", ADA)),
    restart: (("completed", ADA), ("completed", BOB)),
    delete: (("completed", ADA), None),
}
"""How it ends if that did not happen, and if it did."""
UNWRITTEN = {"crash_before", "lose", "tear"}
DEATHS: tuple[FaultKind, ...] = ("crash_before", "crash_after", "tear")
OWN_WRITE = dict.fromkeys(CHANGES, 1) | {restart: 2}  # a start comes first, refused


async def begin(world: World, change: Change, instance: str) -> None:
    """Bring an instance to where it is changed."""
    full.update({"plane"} if change is recover else ())
    app = world.process(journey)
    await app.start(journey, "Ada", id=instance)
    if change is cancel:
        await app.drive(instance)
    else:
        await finish(world, app, instance)
    full.clear()


async def finish(world: World, app: App, instance: str) -> Any:
    """Drive it to its end, and tell of that; None: it is not there."""
    while True:
        try:
            outcome = await app.drive(instance)
        except UnknownInstance:
            return None
        if outcome.wake_at is None:
            return outcome.status, outcome.output
        world.clock.advance(max(0.0, outcome.wake_at - world.clock.now()))


async def stored(world: World, instance: str) -> Any:
    """Tell all that is stored of it; None: it is not there."""
    try:
        info, entries = await world.info(instance), await world.history(instance)
    except UnknownInstance:
        return None
    return info.status, info.wake_at, info.input, entries


async def durable(world: World, instance: str) -> set[Any]:
    """Tell what has been done and undone for good."""
    try:
        entries = await world.history(instance)
    except UnknownInstance:
        return set()
    done = [entry for entry in entries if entry.status == "completed"]
    return {entry.value for entry in done if entry.kind in ("step", "undo")}


async def cut(world: World, change: Change, instance: str, fault: Fault) -> int:
    """Change it and run it to its end, but for a fault; give the number of writes."""
    await begin(world, change, instance)
    before = await stored(world, instance)
    faulty = FaultyStore(world.store, [fault], clock=world.clock)
    app, acknowledged = world.process(journey, store=faulty), False
    try:
        await change(world, app, instance)
        acknowledged = True
        await finish(world, app, instance)
    except (Crashed, EdgeflowError):
        assert faulty.struck == [fault]
    await faulty.settle()

    after = await stored(world, instance)
    happened = after != before
    if fault.at == OWN_WRITE[change] and fault.kind in UNWRITTEN:
        assert not happened
    elif acknowledged and fault.kind != "lose":
        assert happened

    known = await durable(world, instance)
    log.clear()
    undisturbed, changed = CHANGES[change]
    end = await finish(world, world.process(journey), instance)
    assert end == (changed if happened else undisturbed)
    assert not known & set(log), "what is durable is done again"
    assert len(set(log)) == len(log)
    return faulty.writes


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_cut_at_any_write_it_happened_or_did_not(
    world: World, change: Change, request: pytest.FixtureRequest
) -> None:
    # O-09, L-10 L-15, G3 G5 G8
    never = Fault(1000, "crash_before")
    writes = await cut(world, change, "undisturbed", never)
    assert writes >= (1 if change is delete else 3)
    on_memory = "memory" in request.node.name
    for at in range(1, writes + 1):
        is_first = at <= OWN_WRITE[change]
        for kind in KINDS if on_memory and is_first else DEATHS:
            # Nobody opens what has ended, so that nobody can fence who changes it.
            if kind != "fence" or change is cancel:
                await cut(world, change, f"{kind} at {at}", Fault(at, kind))


@pytest.mark.parametrize("mode", MODES)
async def test_two_faults_while_it_is_undone_repeat_no_undo(mode: Durability) -> None:
    # O-09, I-04, G3 G8
    app = App("memory:", workflows=[w5], durability=mode)
    report = await crash_matrix(
        app, w5, 60.0, ends="failed", sample=0, pairs=15, store=MemoryStore
    )
    assert report.end.status == "failed"
