"""The example, as a real program that is killed and started again until it ends."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgeflow import App
from edgeflow.testing.processes import Kill, Program, Victim, survives
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "settle.py"
CHUNKS, SHOPS = 17, 8
KILLS = int(os.environ.get("EDGEFLOW_KILLS", "20"))


@pytest.fixture(scope="module")
def example() -> Iterator[Program]:
    with Program(EXAMPLE, args=["--pace", "0"]) as program:
        yield program


def transfers(folder: Path) -> list[tuple[str, int]]:
    """What the bank did, by its own records."""
    with closing(sqlite3.connect(folder / "bank.db")) as db:
        return db.execute("SELECT shop, cents FROM transfers ORDER BY 1").fetchall()


async def check_end(folder: Path, expected: Path) -> None:
    """However it got there: the same file, and each shop paid once."""
    report, history = "settlement.txt", await entries(folder)

    assert (folder / report).read_bytes() == (expected / report).read_bytes()
    assert transfers(folder) == transfers(expected)
    assert len(transfers(folder)) == SHOPS
    assert {status for _, status in history} == {"completed"}
    assert history.keys() == (await entries(expected)).keys()


async def entries(folder: Path) -> dict[tuple[str, str], object]:
    """The journal's steps by their place and status, as a fresh process reads it."""
    handle = App(SqliteStore(folder / "edgeflow.db")).handle("payments")
    return {
        (str(entry.path), entry.status): entry
        for entry in await handle.history()
        if entry.kind == "step"
    }


@pytest.mark.timeout(60 + 2 * KILLS)
async def test_the_example_ends_with_the_same_file_after_20_kills(
    example: Program, tmp_path: Path
) -> None:
    # G1 G3 G5 G7 G8 G11
    seed = random.randrange(10**6)
    sys.stdout.write(f"the seed of the moments is {seed}\n")
    chance = random.Random(seed)

    def look(victim: Victim) -> None:
        report = victim.folder / "settlement.txt"
        if report.exists():  # in whole, or not at all
            expected = tmp_path / "0" / "settlement.txt"
            assert report.read_bytes() == expected.read_bytes()
        assert victim.lives[-1].errors == ""

    survival = await survives(
        example,
        folder=tmp_path,
        kills=iter(lambda: Kill.at_random(chance, within=0.2, most=4), None),
        deaths=KILLS,
        at_once=SHOPS,
        check=look,
    )

    assert survival.struck == KILLS
    clean, *others = (tmp_path / str(n) for n in range(survival.instances))
    assert len(await entries(clean)) == CHUNKS + SHOPS + 1
    for folder in others:
        await check_end(folder, clean)


@pytest.mark.timeout(60)
async def test_the_example_goes_on_after_a_signal(
    example: Program, tmp_path: Path
) -> None:
    # G1 G7 G8
    clean = Victim(example, folder=tmp_path / "clean")
    it = Victim(example, folder=tmp_path / "stopped")
    await clean.run()

    for number in (3, 7, 4):  # far from the end
        interrupted = await it.run(Kill("in_step", number, signal.SIGINT))

        assert interrupted.code == 1
        assert interrupted.errors == "settle.py: stopped; the same command goes on\n"
        assert not interrupted.in_flight  # it had the time to end what it had begun
        assert len(interrupted.effects) == number
    for kill in (Kill("after_step", 5), Kill("in_commit", 7)):
        terminated = await it.run(replace(kill, by=signal.SIGTERM))

        assert (terminated.code, terminated.errors) == (128 + signal.SIGTERM, "")
    last = await it.run()

    assert (last.code, last.errors) == (0, "")
    assert it.again == ()
    await check_end(it.folder, clean.folder)
