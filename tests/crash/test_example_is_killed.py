"""The example, as a real process that is killed and started again until it ends."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgeflow import App, EntryInfo, UnknownInstance
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "settle.py"
PAYMENTS, CHUNK, SHOPS = 412, 25, 8


class Life:
    """One process of the example, from its start to its end."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self.log = folder / f"{number}.log"
        """One line for each step that was entered, outside of edgeflow."""
        self._errors = folder / f"{number}.err"
        with (
            (folder / f"{number}.out").open("wb") as out,
            self._errors.open("wb") as errors,
        ):
            self.process = subprocess.Popen(
                [sys.executable, EXAMPLE, "--pace", "0"],
                cwd=folder,
                env={**os.environ, "SETTLE_LOG": str(self.log)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
            )

    @property
    def effects(self) -> list[tuple[str, int]]:
        """What was entered, with the number of the attempt."""
        if not self.log.exists():
            return []
        parts = [
            line.split(", attempt ")
            for line in self.log.read_text("utf-8").splitlines()
        ]
        return [(step.strip(), int(attempt)) for step, attempt in parts]

    @property
    def errors(self) -> str:
        return self._errors.read_text("utf-8")

    async def until(self, effects: int) -> None:
        """Return when so many steps were entered, or the process ended."""
        while len(self.effects) < effects:
            if self.process.poll() is not None:
                return
            await asyncio.sleep(0.002)

    async def end(self, by: signal.Signals | None = None) -> int:
        """Send a signal if there is one, and wait for the end; give the exit code."""
        if by is not None and self.process.poll() is None:
            self.process.send_signal(by)
        give_up = time.monotonic() + 30
        while self.process.poll() is None:
            assert time.monotonic() < give_up, "the process does not end"
            await asyncio.sleep(0.002)
        return self.process.wait()


class Settlement:
    """A folder, and the processes that ran in it one after the other."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.lives: list[Life] = []

    def start(self) -> Life:
        self.lives.append(Life(self.folder, len(self.lives)))
        return self.lives[-1]

    @property
    def report(self) -> bytes | None:
        path = self.folder / "settlement.txt"
        return path.read_bytes() if path.exists() else None

    @property
    def transfers(self) -> list[tuple[str, int]]:
        """What the bank did, by its own records."""
        with closing(sqlite3.connect(self.folder / "bank.db")) as db:
            return db.execute("SELECT shop, cents FROM transfers ORDER BY 1").fetchall()

    async def history(self) -> list[EntryInfo]:
        """What is durable, as a fresh process reads it; nobody runs the example now."""
        path = self.folder / "edgeflow.db"
        if not path.exists():
            return []
        try:
            return await App(SqliteStore(path)).handle("payments").history()
        except UnknownInstance:
            return []


@pytest.fixture
def settlements(tmp_path: Path) -> Iterator[Iterator[Settlement]]:
    """Give as many as wanted; no process outlives the test."""
    made: list[Settlement] = []

    def make() -> Iterator[Settlement]:
        while True:
            made.append(Settlement(tmp_path / str(len(made))))
            yield made[-1]

    yield make()
    for life in (life for settlement in made for life in settlement.lives):
        life.process.kill()
        life.process.wait()


def seeded() -> random.Random:
    seed = random.randrange(10**6)
    sys.stdout.write(f"seed of the moments: {seed}\n")  # pytest shows it on failure
    return random.Random(seed)


def steps(history: list[EntryInfo]) -> dict[str, EntryInfo]:
    """The journal's steps, by what the log calls them."""
    found: dict[str, EntryInfo] = {}
    totals: dict[str, int] = {}
    for entry in history:
        number = int(entry.path[-1][2])
        if entry.name == "add_up":
            first, last = number * CHUNK + 1, min((number + 1) * CHUNK, PAYMENTS)
            found[f"add_up payments {first} to {last}"] = entry
            totals = entry.value or totals
        elif entry.name == "pay":
            shop, cents = list(totals.items())[number]
            found[f"pay {shop} {cents / 100:,.2f} EUR"] = entry
        elif entry.name == "write_report":
            found["write_report settlement.txt"] = entry
    return found


def check_life(life: Life, before: dict[str, EntryInfo]) -> None:
    """What a process did fits what was durable when it started."""
    effects = life.effects
    completed = {step for step, entry in before.items() if entry.status == "completed"}

    assert not completed & {step for step, _ in effects}  # G8
    assert len(set(effects)) == len(effects)  # no attempt starts twice in one process
    for step in {step for step, _ in effects}:  # G7
        made = before[step].attempts if step in before else 0
        mine = [attempt for other, attempt in effects if other == step]
        assert mine == list(range(made + 1, made + 1 + len(mine)))


async def undisturbed(settlement: Settlement) -> bytes:
    """Run it in one go."""
    life = settlement.start()

    assert (await life.end(), life.errors) == (0, "")
    check_life(life, {})
    assert settlement.report is not None
    return settlement.report


async def check_end(settlement: Settlement, expected: Settlement) -> None:
    """However it got there: the same file, and each shop paid once."""
    assert settlement.report == expected.report
    assert settlement.transfers == expected.transfers
    assert len(settlement.transfers) == SHOPS
    entries = steps(await settlement.history())
    assert {entry.status for entry in entries.values()} == {"completed"}
    assert entries.keys() == steps(await expected.history()).keys()


@pytest.mark.timeout(120)
async def test_the_example_ends_with_the_same_file_after_20_kills(
    settlements: Iterator[Settlement],
) -> None:
    # G1 G3 G5 G7 G8 G11
    moments = seeded()
    expected = next(settlements)
    report = await undisturbed(expected)

    kills, settlement, before = 0, next(settlements), dict[str, EntryInfo]()
    while True:
        life = settlement.start()
        if kills < 20:
            await life.until(moments.choice((0, 1, 1, 2, 3, 4)))
            await asyncio.sleep(moments.uniform(0, 0.1 if life.effects else 0.6))
            code = await life.end(signal.SIGKILL)
        else:
            code = await life.end()
        check_life(life, before)
        assert (code, life.errors) in ((0, ""), (-signal.SIGKILL, ""))
        assert settlement.report in (None, report)  # in whole, or not at all
        kills += code != 0
        before = steps(await settlement.history())
        if code == 0:
            await check_end(settlement, expected)
            if kills == 20:
                return
            settlement, before = next(settlements), {}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_the_example_goes_on_after_a_signal(
    settlements: Iterator[Settlement], how: signal.Signals
) -> None:
    # G1 G7 G8
    moments = seeded()
    expected, settlement = next(settlements), next(settlements)
    await undisturbed(expected)
    before: dict[str, EntryInfo] = {}

    for effects in (3, 7, 7, 4):  # far from the end
        life = settlement.start()
        await life.until(effects)
        await asyncio.sleep(moments.uniform(0, 0.05))
        code = await life.end(how)
        check_life(life, before)
        before = steps(await settlement.history())

        assert code != 0
        assert "Traceback" not in life.errors
        if how == signal.SIGINT:
            assert life.errors == "settle.py: stopped; the same command goes on\n"
            in_flight = {step for step, _ in life.effects} - before.keys()
            assert not in_flight  # it had the time to end what it had begun
    life = settlement.start()

    assert (await life.end(), life.errors) == (0, "")
    check_life(life, before)
    await check_end(settlement, expected)
