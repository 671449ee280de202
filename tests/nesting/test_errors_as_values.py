"""Errors out of blocks, children and undos, live and replayed (CONFORMANCE H)."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    ChildError,
    Context,
    ErrorInfo,
    JoinError,
    RaceError,
    ReceiveTimeout,
    Retry,
    StepError,
    step,
    workflow,
)

from .bench import Bench, describe, retold
from .pieces import (
    INNERS,
    OUTERS,
    caught,
    failing,
    for_ever,
    series,
    timed_out,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .bench import Piece, Visit

ONCE = Retry(attempts=1)
LONG = "x" * 1024 * 1024


class MyErr(Exception):
    pass


class Telling(Exception):
    def __edgeflow_data__(self) -> dict[str, int]:
        return {"code": 5}


class PaymentDeclined(Exception):
    def __init__(self, code: int, why: str) -> None:
        super().__init__(code, why)
        self.code = code


class NotRebuilt(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")  # args do not fit __init__


SYSTEM = type("system", (Exception,), {"__module__": "os"})
FLY = type("fly", (Exception,), {"__module__": "antigravity"})

MODULE = MyErr.__module__
RAISED: dict[str, tuple[Callable[[], Exception], ErrorInfo]] = {
    "own": (lambda: MyErr("boom"), ErrorInfo(f"{MODULE}.MyErr", "boom", ["boom"])),
    "telling": (
        lambda: Telling("text"),
        ErrorInfo(f"{MODULE}.Telling", "text", {"code": 5}),
    ),
    "foreign": (lambda: SYSTEM("echo"), ErrorInfo("os.system", "echo", ["echo"])),
    "unloaded": (lambda: FLY("up"), ErrorInfo("antigravity.fly", "up", ["up"])),
    "listed": (
        lambda: PaymentDeclined(51, "no funds"),
        ErrorInfo(f"{MODULE}.PaymentDeclined", "(51, 'no funds')", [51, "no funds"]),
    ),
    "not to be rebuilt": (
        lambda: NotRebuilt(1, 2),
        ErrorInfo(f"{MODULE}.NotRebuilt", "1 and 2", ["1 and 2"]),
    ),
    "long": (lambda: ValueError(LONG), ErrorInfo("ValueError", LONG[:8192], None)),
    "not to be encoded": (
        lambda: ValueError(7, object),
        ErrorInfo("ValueError", "(7, <class 'object'>)", None),
    ),
    "group": (
        lambda: ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
        ErrorInfo("ExceptionGroup", "two (2 sub-exceptions)", None),
    ),
}


@step(retry=ONCE, raises=(PaymentDeclined, NotRebuilt))
async def broken(which: str) -> None:
    error = RAISED[which][0]()
    raise error


async def at_root(v: Visit, which: str) -> None:
    await broken(which)


async def in_join(v: Visit, which: str) -> None:
    await v.ctx.join(ok=v.step("ok"), it=broken(which))


async def in_a_race(v: Visit, which: str) -> None:
    await v.ctx.race(other=v.fail("other"), it=broken(which))


async def in_map(v: Visit, which: str) -> None:
    await v.ctx.map(broken, [which], key=lambda _: "it")


async def in_gather(v: Visit, which: str) -> None:
    await asyncio.gather(v.step("ok"), broken(which))


async def in_loop(v: Visit, which: str) -> None:
    async def turn(_: None) -> None:
        await broken(which)

    await v.ctx.loop("inner", turn, state=None)


PLACES = [at_root, in_join, in_a_race, in_map, in_gather, in_loop]


def core(error: Exception) -> Exception:
    """Give what the step raised, out of the error of its block."""
    if isinstance(error, (JoinError, RaceError)):
        return error.errors["it"]
    return error


def around(place: Callable[[Visit, str], Any], which: str) -> tuple[Piece, list[Any]]:
    seen: list[Exception] = []

    async def piece(v: Visit) -> Any:
        try:
            await place(v, which)
        except Exception as error:
            seen.append(core(error))
            v.note("caught", describe(error))
        await v.step("handled")
        await v.ctx.sleep(60)
        return describe(seen[-1])

    return piece, seen


@pytest.mark.parametrize("which", RAISED)
@pytest.mark.parametrize("place", PLACES)
async def test_an_error_is_the_same_live_and_replayed_in_any_block(
    place: Callable[[Visit, str], Any], which: str
) -> None:
    # H-05 H-06 H-07 H-11 S7 G8
    piece, seen = around(place, which)
    await retold(piece)

    assert len(seen) == 3  # at a stretch; live, then replayed
    for error in seen:
        if which == "listed":
            assert isinstance(error, PaymentDeclined)
            assert (error.code, error.args) == (51, (51, "no funds"))
        else:
            assert isinstance(error, StepError)
            assert (error.kind, error.attempts) == ("exhausted", 1)
            assert (error.step, error.error) == ("broken", RAISED[which][1])


@workflow
async def child(_ctx: Context, which: str) -> None:
    await broken(which)


@workflow
async def child_that_raises(_ctx: Context, which: str) -> None:
    error = RAISED[which][0]()
    raise error


async def calls(v: Visit) -> None:
    await v.ctx.call(child_that_raises, "own", id="child")


async def waits_too_long(v: Visit) -> None:
    await v.ctx.receive(v.label("never"), timeout=30)


KINDS: dict[str, tuple[Piece, type[Exception]]] = {
    "join": (INNERS["join"](failing), JoinError),
    "map": (INNERS["map"](failing), JoinError),
    "race": (INNERS["race"](failing), RaceError),
    "receive": (waits_too_long, ReceiveTimeout),
    "timeout": (timed_out(for_ever), TimeoutError),
    "timeout around a join": (timed_out(INNERS["join"](for_ever)), TimeoutError),
    "child": (calls, ChildError),
    "child in a join": (INNERS["join"](calls), JoinError),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("outer", OUTERS)
async def test_an_error_that_is_caught_before_a_sleep_is_equal_on_replay(
    kind: str, outer: str
) -> None:
    # H-10 G8
    piece, expected = KINDS[kind]
    seen: list[Exception] = []

    async def catching(v: Visit) -> Any:
        try:
            await piece(v)
        except Exception as error:
            seen.append(error)
            await v.within("handler").step("handled")
            v.note("caught", describe(error))
        else:
            await v.step("not reached")
        await v.ctx.sleep(60)
        return [type(error).__name__ for error in seen[-1:]]

    story = await retold(OUTERS[outer](catching), others=[child_that_raises])

    assert {type(error) for error in seen} == {expected}
    assert len({repr(describe(error)) for error in seen}) == 1
    assert len(seen) >= 3
    assert not [label for label, _ in story.calls if "not reached" in label]


@pytest.mark.parametrize("which", RAISED)
async def test_the_error_of_a_child_is_what_it_failed_with(which: str) -> None:
    # H-10 H-11 G8
    seen: list[ErrorInfo | None] = []

    async def piece(v: Visit) -> None:
        for called in (child_that_raises, child):
            with pytest.raises(ChildError) as failed:
                await v.ctx.call(called, which)
            assert (failed.value.kind, failed.value.workflow) == ("failed", called.name)
            seen.append(failed.value.error)
            await v.ctx.sleep(60)

    await retold(piece, others=[child, child_that_raises], processes=4)

    assert seen[:2] == seen[-2:]
    assert seen[0] == RAISED[which][1]
    assert seen[1] is not None
    if which == "listed":
        assert seen[1] == RAISED[which][1]
    else:
        assert seen[1].type == "edgeflow.errors.StepError"


@pytest.mark.parametrize("which", ["long", "not to be encoded", "group", "foreign"])
@pytest.mark.parametrize("place", PLACES)
async def test_an_odd_error_that_nobody_catches_is_recorded_all_the_same(
    place: Callable[[Visit, str], Any], which: str
) -> None:
    # H-04 H-07 H-11 G8
    async def piece(v: Visit) -> None:
        await place(v, which)

    bench = Bench(piece)
    outcome = await bench.finish()

    assert (outcome.status, len(bench.visits)) == ("failed", 1)
    assert outcome.error is not None
    expected = {"in_join": "JoinError", "in_map": "JoinError", "in_a_race": "RaceError"}
    name = expected.get(place.__name__, "StepError")
    assert outcome.error.type == f"edgeflow.errors.{name}"
    assert len(outcome.error.message) <= 8192
    assert (await bench.process().handle("i").info()).error == outcome.error
    await no_trace_of_code(bench)


def is_refused(_: str) -> None:
    raise SYSTEM("echo")


@step(retry=ONCE)
async def charge() -> str:
    return "charged"


async def test_nothing_is_imported_for_the_errors_of_blocks_children_and_undos(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # H-07 G8
    ran: list[str] = []
    monkeypatch.setattr(os, "system", ran.append)
    assert "antigravity" not in sys.modules
    places = [caught(_broken(place, name)) for place in PLACES for name in _FOREIGN]

    async def piece(v: Visit) -> None:
        await charge.using(undo=is_refused)()
        await series(*places)(v)
        for name in _FOREIGN:
            with pytest.raises(ChildError):
                await v.ctx.call(child_that_raises, name)
        await v.ctx.sleep(60)
        raise FLY("up")

    bench = Bench(piece, others=[child_that_raises])
    outcome = await bench.finish()

    assert outcome.status == "failed"
    assert outcome.error == RAISED["unloaded"][1]
    (undo_error,) = outcome.undo_errors
    assert (undo_error.type, undo_error.data) == ("os.system", ["echo"])
    assert (ran, "antigravity" in sys.modules) == ([], False)
    await no_trace_of_code(bench)


_FOREIGN = ("foreign", "unloaded")


def _broken(place: Callable[[Visit, str], Any], which: str) -> Piece:
    async def run(v: Visit) -> None:
        await place(v, which)

    return run


async def no_trace_of_code(bench: Bench) -> None:
    loaded = await bench.memory.load("i")
    assert loaded is not None
    for frame in loaded.frames:
        assert b"Traceback" not in frame.body
        assert b".py" not in frame.body
