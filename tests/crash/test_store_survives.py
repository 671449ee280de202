"""A small workflow on SQLite whose process is killed at every moment that it has."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING, get_args

import pytest

from edgeflow import App, Context, current_step, step
from edgeflow.testing.processes import Kill, Program, Victim
from edgeflow.testing.processes.killer import Where
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgeflow.engine.settings import Durability

app = App(linger=0)


@step
async def add(number: int) -> int:
    state = current_step().state
    state["sum"] = state.get("sum", 0) + number
    total: int = state["sum"]
    return total


@app.workflow
async def count(ctx: Context, rest: float) -> list[int]:
    """Five steps, with a rest after the second: by time, else until a message comes."""
    sums: list[int] = []
    for number in range(5):
        sums.append(await add(number))
        if number == 1:
            await (ctx.sleep(rest) if rest else ctx.receive("go"))
    return sums


SUMS = [0, 1, 3, 6, 10]
RESTED = {0, 1}
"""The steps before the rest: with it they are durable in every mode."""

PLACES: tuple[Where, ...] = tuple(each for each in get_args(Where) if each != "moment")


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with Program(__file__) as program:
        yield program


async def durable(victim: Victim) -> set[int]:
    """Which steps are completed, as a fresh process reads it."""
    store = SqliteStore(victim.folder / "edgeflow.db")
    if store.missing():
        return set()
    known = [info.id async for info in App(store).find()]
    if not known:
        return set()
    history = await App(store).handle(victim.id).history()
    return {
        int(entry.path[-1][2])
        for entry in history
        if (entry.name, entry.status) == ("add", "completed")
    }


def check_kept(mode: Durability, kill: Kill, started: set[int], kept: set[int]) -> None:
    """What was durable at the kill is what the mode promises."""
    assert kept <= started
    if mode == "step":
        in_flight = started - kept
        assert in_flight <= {max(started, default=0)}  # all but the last one
        if kill.where in {"in_step", "after_step"}:
            assert in_flight == {max(started)}
        if kill.where == "after_commit":
            assert not in_flight
    if len(started) > 2 or kill.where == "suspended":
        assert kept >= RESTED  # G1
    if kill.where == "suspended":
        assert kept == RESTED


@pytest.mark.timeout(60)
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("mode", ["step", "behind", "suspend"])
async def test_a_killed_process_repeats_only_what_its_mode_allows(
    program: Program, tmp_path: Path, mode: Durability, where: Where
) -> None:
    # N-16, O-11, G1, G3, G6, G7, G8
    nth = 0
    while True:
        nth += 1
        kill = Kill(where, nth, tick=3 * nth)
        it = Victim(
            program,
            "count",
            0.2 if where == "suspended" else 0,
            folder=tmp_path / str(nth),
            messages=[("go", None)],
            durability=mode,
        )

        killed = await it.run(kill)
        if killed.code == 0:  # there is no such moment any more
            break
        kept = await durable(it)
        ended = await it.run()

        assert (killed.code, killed.errors) == (-signal.SIGKILL, "")
        assert (ended.code, ended.errors) == (0, "")
        assert ended.left is not None
        assert (ended.left["output"], ended.left["state"]) == (SUMS, {"sum": 10})
        effects = [*killed.effects, *ended.effects]
        assert {effect.attempt for effect in effects} == {1}  # a killed start is none
        started = {NUMBERS[effect.path] for effect in killed.effects}
        entered = Counter(NUMBERS[effect.path] for effect in effects)
        assert entered == Counter([*range(5), *(started - kept)])
        check_kept(mode, kill, started, kept)
    assert nth > LEAST[where]


NUMBERS = {f"add[{number}]": number for number in range(5)}
LEAST: dict[Where, int] = {
    "before_commit": 3,
    "in_commit": 3,
    "after_commit": 3,
    "in_step": 5,
    "after_step": 5,
    "suspended": 1,
}
"""How many of these moments there are, at least, in every mode."""
