"""What bodies are put together from: outers, inners, waits and failures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeflow import JoinError, RaceError, StepError, Stop

from .bench import NEVER, Piece, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .bench import Visit

Wrap: TypeAlias = "Callable[[Piece], Piece]"


async def nothing(_: Visit) -> None:
    pass


def series(*pieces: Piece) -> Piece:
    """Do one after the other."""

    async def run(v: Visit) -> list[Any]:
        return [await piece(v.within(n)) for n, piece in enumerate(pieces)]

    return run


async def a_step(v: Visit) -> str:
    return await v.step("step")


# --- waits ------------------------------------------------------------------------


async def sleep(v: Visit) -> None:
    await v.ctx.sleep(60)
    v.note("slept", value=True)


async def receive(v: Visit) -> Any:
    return await v.receive()


async def back_off(v: Visit) -> str:
    return await v.step("flaky", fails=1)


async def for_ever(v: Visit) -> None:
    await v.receive(NEVER)


WAITS: dict[str, Piece] = {"sleep": sleep, "receive": receive, "back-off": back_off}


# --- inners: each has steps of its own, and something in the middle -----------------


def _with_b(middle: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        return [await middle(v.within("middle")), await v.step("b")]

    return run


def inner_scope(middle: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        async with v.ctx.scope("inner"):
            return [await v.step("a"), await _with_b(middle)(v)]

    return run


def inner_loop(middle: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        async def turn(found: list[Any]) -> list[Any] | Stop[list[Any]]:
            here = v.within(f"turn {len(found)}")
            if len(found) == 0:
                return [await here.step("a")]
            found.append(await _with_b(middle)(here))
            return found if len(found) == 2 else Stop(found)

        return await v.ctx.loop("inner", turn, state=[], keep=1, prune_every=1)

    return run


def inner_join(middle: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        return await v.ctx.join(a=v.step("a"), b=_with_b(middle)(v))

    return run


def inner_race(middle: Piece) -> Piece:
    """The loser is a running step, or else a sleep: while a step runs nobody rests."""

    async def first(v: Visit) -> Any:
        return [await v.step("a"), await _with_b(middle)(v)]

    async def second(v: Visit) -> Any:
        if middle is nothing:
            await v.step("loser", takes=v.late)
        else:
            await v.ctx.sleep(v.late / 2)
        return await v.fail("late")

    async def run(v: Visit) -> Any:
        winner = await v.ctx.race(first=first(v), second=second(v))
        return [winner.name, winner.value]

    return run


def inner_map(middle: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        async def one(item: str) -> Any:
            return await (v.step("a") if item == "a" else _with_b(middle)(v))

        return await v.ctx.map(one, ["a", "b"], key=str)

    return run


def inner_gather(middle: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        return await asyncio.gather(v.step("a"), _with_b(middle)(v))

    return run


def inner_task_group(middle: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(v.step("a")),
                group.create_task(_with_b(middle)(v)),
            ]
        return [task.result() for task in tasks]

    return run


INNERS: dict[str, Wrap] = {
    "scope": inner_scope,
    "loop": inner_loop,
    "join": inner_join,
    "race": inner_race,
    "map": inner_map,
    "gather": inner_gather,
    "TaskGroup": inner_task_group,
}


# --- outers -------------------------------------------------------------------------


def root(piece: Piece) -> Piece:
    return piece


def in_scope(piece: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        async with v.ctx.scope("outer"):
            return await piece(v)

    return run


def in_turn(number: int) -> Wrap:
    def wrap(piece: Piece) -> Piece:
        async def run(v: Visit) -> Any:
            async def turn(n: int) -> int | Stop[Any]:
                here = v.within(f"turn {n}")
                if n == number:
                    return Stop(await piece(here))
                await here.step("before")
                return n + 1

            return await v.ctx.loop("outer", turn, state=0, keep=1, prune_every=2)

        return run

    return wrap


def in_join(*, waiting: bool) -> Wrap:
    def wrap(piece: Piece) -> Piece:
        async def other(v: Visit) -> str:
            done = await v.step("other")
            if waiting:
                await v.ctx.sleep(v.late)
            return done

        async def run(v: Visit) -> Any:
            return await v.ctx.join(it=piece(v.within("it")), other=other(v))

        return run

    return wrap


def in_race(*, wins: bool) -> Wrap:
    def wrap(piece: Piece) -> Piece:
        async def it(v: Visit) -> Any:
            found = await piece(v.within("it"))
            if not wins:
                await v.ctx.sleep(2 * v.late)
                await v.step("too late")
            return found

        async def rival(v: Visit) -> str:
            await v.step("rival")
            await v.ctx.sleep(v.late)
            return await v.step("rival, late")

        async def run(v: Visit) -> Any:
            winner = await v.ctx.race(rival=rival(v), it=it(v))
            return [winner.name, winner.value]

        return run

    return wrap


def in_map(*, limit: int | None) -> Wrap:
    def wrap(piece: Piece) -> Piece:
        async def run(v: Visit) -> Any:
            async def one(item: int) -> Any:
                here = v.within(f"item {item}")
                return await (piece(here) if item == 1 else here.step("other"))

            return await v.ctx.map(one, range(3), limit=limit)

        return run

    return wrap


def in_gather(piece: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        return await asyncio.gather(v.step("other"), piece(v.within("it")))

    return run


def in_task_group(piece: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        async with asyncio.TaskGroup() as group:
            it = group.create_task(piece(v.within("it")))
            other = group.create_task(v.step("other"))
        return [it.result(), other.result()]

    return run


def in_timeout(piece: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        async with asyncio.timeout(v.late) as limit:
            v.note("deadline", _since_start(v, limit.when()))
            return await piece(v.within("it"))

    return run


def _since_start(v: Visit, when: float | None) -> float:
    assert when is not None
    return when - v.bench.began


OUTERS: dict[str, Wrap] = {
    "root": root,
    "scope": in_scope,
    "loop turn": in_turn(0),
    "join branch": in_join(waiting=False),
    "race branch": in_race(wins=True),
    "map item": in_map(limit=None),
    "gather task": in_gather,
    "TaskGroup task": in_task_group,
    "timeout": in_timeout,
}


# --- several at once ------------------------------------------------------------------


def _both(v: Visit, pieces: tuple[Piece, ...]) -> dict[str, Coroutine[Any, Any, Any]]:
    return {f"p{n}": piece(v.within(f"p{n}")) for n, piece in enumerate(pieces)}


def joined(*pieces: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        return await v.ctx.join(**_both(v, pieces))

    return run


def gathered(*pieces: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        return await asyncio.gather(*_both(v, pieces).values())

    return run


def grouped(*pieces: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in _both(v, pieces).values()]
        return [task.result() for task in tasks]

    return run


def mapped(*pieces: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        async def one(item: int) -> Any:
            return await pieces[item](v.within(f"p{item}"))

        return await v.ctx.map(one, range(len(pieces)))

    return run


MANY: dict[str, Callable[..., Piece]] = {
    "series": series,
    "join": joined,
    "gather": gathered,
    "TaskGroup": grouped,
    "map": mapped,
}


# --- failures -------------------------------------------------------------------------


async def failing(v: Visit) -> str:
    return await v.fail("fail")


def timed_out(piece: Piece) -> Piece:
    async def run(v: Visit) -> Any:
        async with asyncio.timeout(600):
            return await piece(v)

    return run


CAUGHT = (StepError, JoinError, RaceError, TimeoutError, ExceptionGroup)


def caught(piece: Piece) -> Piece:
    """Catch what a piece raises, look at it, and do something else."""

    async def run(v: Visit) -> Any:
        try:
            return await piece(v)
        except CAUGHT as error:
            v.note("caught", seen := describe(error))
        await v.step("handled")
        return seen

    return run
