"""A small workflow whose process kills itself at a chosen place, in every mode."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from edgeflow import App
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

# Five steps, with a rest after the second. Each notes its entry and its attempt outside
# of edgeflow. The process dies once, at the place that is given.
SCRIPT = """
import asyncio, os, signal, sys
from pathlib import Path
from edgeflow import App, Context, Event, current_step, step
from edgeflow_sqlite import SqliteStore

mode, place = sys.argv[1:]
died = Path("died")

def die(here: str) -> None:
    if here == place and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)

def hear(event: Event) -> None:
    if event.kind == "suspended":
        die("rest")

app = App(SqliteStore("edgeflow.db"), durability=mode, linger=0, observers=[hear])

@step
async def add(number: int) -> int:
    me = current_step()
    with open("effects", "a") as log:
        log.write(f"{number} {me.attempt}\\n")
    me.state["sum"] = me.state.get("sum", 0) + number
    die(f"in {number}")
    return me.state["sum"]

@app.workflow
async def count(ctx: Context) -> list[int]:
    sums = []
    for number in range(5):
        sums.append(await add(number))
        die(f"after {number}")
        if number == 1:
            await ctx.sleep(0.15)
    return sums

print(asyncio.run(app.run(count, id="one")))
"""
SUMS = [0, 1, 3, 6, 10]


def live(folder: Path, mode: str, place: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, mode, place],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=15,
        check=False,
    )


async def durable(folder: Path) -> set[int]:
    """Which steps are completed, as a fresh process reads it."""
    history = await App(SqliteStore(folder / "edgeflow.db")).handle("one").history()
    return {
        int(entry.path[-1][2])
        for entry in history
        if (entry.name, entry.status) == ("add", "completed")
    }


def entered(folder: Path) -> Counter[str]:
    return Counter((folder / "effects").read_text("utf-8").splitlines())


# What must be durable at the kill, at least, and what may be entered again at most.
PLACES = {
    "in 0": (set[int](), {0}),
    "after 0": ({0}, set[int]()),
    "in 1": ({0}, {1}),
    "rest": ({0, 1}, set[int]()),
    "in 2": ({0, 1}, {2}),
    "after 3": ({0, 1, 2, 3}, set[int]()),
    "in 4": ({0, 1, 2, 3}, {4}),
    "after 4": ({0, 1, 2, 3, 4}, set[int]()),
}
RESTED = {0, 1}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", ["step", "behind", "suspend"])
async def test_a_killed_process_repeats_only_what_its_mode_allows(
    tmp_path: Path, mode: str, place: str
) -> None:
    # G1 G3 G6 G7 G8
    killed = live(tmp_path, mode, place)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "")
    kept, before = await durable(tmp_path), entered(tmp_path)

    ended = live(tmp_path, mode, place)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.strip() == str(SUMS)
    after = entered(tmp_path)
    assert {key.split()[1] for key in after} == {"1"}  # a killed start counts as none
    again = {int(key.split()[0]) for key in before if after[key] > 1}
    assert not again & kept
    assert max(after.values()) <= 2
    started = {int(key.split()[0]) for key in before}
    assert again == started - kept
    flushed, repeated = PLACES[place]
    if mode == "step":
        assert (kept, again) == (flushed, repeated)
    else:
        assert kept <= flushed
        rested = max(started) >= 2 or place == "rest"
        assert not rested or kept >= RESTED  # G1: the rest has flushed them
    state = await App(SqliteStore(tmp_path / "edgeflow.db")).handle("one").state()
    assert state == {"sum": 10}
