"""Signals at moments that are drawn, again and again: nothing is done twice.

In the CI profile the moments are the same each time; half of
`EDGEFLOW_KILLS=200` (default: 7) is how many journeys are struck in each of nine ways,
each up to three times.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from edgeflow import App
from edgeflow_sqlite import SqliteStore

from .journey import ID, OUTPUT, STAGES
from .travels import Nursery, Travel, drawn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .travels import Life

RUNS = 1 + int(os.environ.get("EDGEFLOW_KILLS", "7")) // 2
STRUCK = 3
"""How many processes of a journey are struck; the next one is not."""
WITHIN = {"command": 0.35}
"""Seconds within which a signal comes; a command has more to import."""

POLITE = {signal.SIGTERM: {-15, 143}, signal.SIGINT: {-2, 130}}
"""The signals that are heard, and with what code a process may end."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def chance_of(what: str) -> random.Random:
    seed = what if "CI" in os.environ else f"{what} {random.randrange(10**6)}"
    sys.stdout.write(f"the seed of the moments is {seed!r}\n")
    return random.Random(seed)


async def check_end(it: Travel) -> None:
    """It has ended as it does undisturbed, and nothing is left over."""
    store = SqliteStore(it.folder / "edgeflow.db")
    app = App(store, config={})
    async with app.session.using():
        info = await app.handle(ID).info()
        state = await app.handle(ID).state()
        unread = await store.unread(ID)

    assert it.outputs
    assert all(output == OUTPUT for output in it.outputs)
    assert info.status == "completed"
    assert state == dict.fromkeys(set[str]().union(*STAGES), True)
    assert list(unread) == []


UVLOOP = "Cannot close a running event loop"
"""What uvloop makes of a ^C while it closes, after all of ours is closed: exit 1."""


def check_polite(it: Travel, life: Life) -> None:
    """What it began it also ended, and it left as its signal has a process leave."""
    ends = {0}.union(*(POLITE[number] for _, number in life.strikes))
    if it.kind == "uvloop" and UVLOOP in it.errors():
        ends.add(1)
    assert life.code in ends
    assert not life.hung
    assert life.left == set(life.entered)


@pytest.mark.timeout(60 + 6 * RUNS)
@pytest.mark.parametrize("durability", ["step", "suspend"])
@pytest.mark.parametrize("kind", ["run", "uvloop", "stay", "command"])
async def test_a_signal_once_or_twice_lets_no_step_be_repeated(
    nursery: Nursery, tmp_path: Path, kind: str, durability: str
) -> None:
    # P-07 P-08 P-09 G1 G3 G8 G11
    chance = chance_of(f"{kind} {durability}")
    for run in range(RUNS):
        it = Travel(tmp_path / str(run), kind, durability)
        while not it.has_ended:
            struck = len(it.lives) < STRUCK
            within = WITHIN.get(kind, 0.25)
            strikes = drawn(chance, list(POLITE), within) if struck else ()
            try:
                check_polite(it, it.live(nursery, strikes))
            except AssertionError as error:
                error.add_note(str(it))
                raise

        assert it.entered == dict.fromkeys(set[str]().union(*STAGES), 1), str(it)
        await check_end(it)


@pytest.mark.timeout(60 + 6 * RUNS)
async def test_a_kill_lets_the_steps_in_flight_be_repeated_and_no_other(
    nursery: Nursery, tmp_path: Path
) -> None:
    # G3 G7 G8 G11
    chance = chance_of("SIGKILL")
    for run in range(RUNS):
        it = Travel(tmp_path / str(run), "run", "step")
        while not it.has_ended:
            struck = len(it.lives) < STRUCK
            it.live(nursery, ((chance.uniform(0, 0.25), signal.SIGKILL),) * struck)

        for number, life in enumerate(it.lives):
            assert life.code in {0, -signal.SIGKILL}, str(it)
            last = [stage for stage in STAGES if stage.intersection(life.entered)][-1:]
            assert it.again(number) <= set[str]().union(*last), str(it)
        await check_end(it)
