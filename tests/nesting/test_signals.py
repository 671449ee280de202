"""Suspension, eviction and cancellation are no errors, in any block (H-08, H-09)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edgeflow import Context, workflow

from .bench import Bench, Piece, Visit, retold
from .pieces import INNERS, OUTERS, WAITS, in_race, sleep


@workflow
async def slow_child(ctx: Context) -> str:
    await ctx.sleep(60)
    return "grown"


async def calls_well(v: Visit) -> str:
    return await v.ctx.call(slow_child, id="child")


async def sleeps_by_asyncio(v: Visit) -> None:
    await asyncio.sleep(60)


LONG_WAITS: dict[str, Piece] = {
    **WAITS,
    "call": calls_well,
    "timer": sleeps_by_asyncio,
    "join": INNERS["join"](sleep),
    "race": INNERS["race"](sleep),
    "map": INNERS["map"](sleep),
    "loop": INNERS["loop"](sleep),
}


def guarded(wait: Piece, handled: list[Exception]) -> Piece:
    async def run(v: Visit) -> Any:
        try:
            return await wait(v)
        except Exception as error:
            handled.append(error)
            await v.step("handler")
            raise

    return run


@pytest.mark.parametrize("wait", LONG_WAITS)
@pytest.mark.parametrize("outer", OUTERS)
async def test_except_exception_is_not_entered_by_suspension_or_cancellation(
    wait: str, outer: str
) -> None:
    # H-08 G8 G9
    handled: list[Exception] = []
    piece = OUTERS[outer](guarded(LONG_WAITS[wait], handled))
    await retold(piece, others=[slow_child])
    assert handled == []

    bench = Bench(piece, others=[slow_child])
    app = bench.process()
    await app.start(bench.code, id="i")
    assert (await app.drive("i")).status == "suspended"
    assert await app.handle("i").cancel()
    assert (await bench.process().drive("i")).status == "cancelled"
    assert handled == []
    assert not [label for label, _ in bench.calls if "handler" in label]


@pytest.mark.parametrize("outer", OUTERS)
async def test_except_exception_is_not_entered_by_an_eviction(outer: str) -> None:
    # H-08 G8 G9
    handled: list[Exception] = []

    async def slow(v: Visit) -> str:
        return await v.step("slow", takes=100 if len(v.bench.visits) == 1 else 1)

    bench = Bench(OUTERS[outer](guarded(slow, handled)))
    app = bench.process()
    await app.start(bench.code, id="i")
    assert (await app.drive("i", deadline=20)).status == "suspended"
    outcome = await bench.finish()

    assert outcome.status == "completed"
    assert handled == []
    assert not [label for label, _ in bench.calls if "handler" in label]


@pytest.mark.parametrize("then", ["operates", "returns", "in finally"])
@pytest.mark.parametrize("outer", [*OUTERS, "race branch that loses"])
async def test_a_swallowed_suspension_records_nothing_in_any_block(
    outer: str, then: str
) -> None:
    # H-09 S18 G1
    again: list[BaseException] = []

    async def swallowing(v: Visit) -> Any:
        slept = False
        try:
            await v.ctx.sleep(60)
            slept = True
        except BaseException:
            if then == "in finally":
                raise
            if then == "operates":
                await _operate(v, again)
            return "swallowed"
        finally:
            if then == "in finally" and not slept:
                await _operate(v, again)
        return await v.step("after")

    outers = {**OUTERS, "race branch that loses": in_race(wins=False)}
    story = await retold(outers[outer](swallowing))

    assert "swallowed" not in repr(story.output)
    assert not [entry for entry in story.history if "second" in repr(entry)]
    assert bool(again) == (then != "returns")
    assert not [error for error in again if isinstance(error, Exception)]


async def _operate(v: Visit, again: list[BaseException]) -> None:
    try:
        await v.ctx.sleep(1, name="second")
    except BaseException as error:
        again.append(error)
        raise
