"""A long loop with a step in each turn: what it costs in time, memory and bytes.

    python bench/loop.py            # 100,000 turns, each store, modes step and suspend
    python bench/loop.py 10000      # fewer turns

Each case runs in a process of its own, once with 1,000 turns and once with all, so
that the difference of their peaks is what the loop has cost. The time of a turn is
that of the processor, which does not depend on what else the machine does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from edgeflow import App, Context, Stop, step, workflow

if TYPE_CHECKING:
    from edgeflow.engine.settings import Durability

SHORT = 1_000
TURNS = 100_000
CASES = (
    ("memory", "step"),
    ("memory", "suspend"),
    ("sqlite", "step"),
    ("sqlite", "suspend"),
)
MIB = 1024 * 1024
GROWTH_LIMIT = 20.0
"""MiB by which the peak of all turns may be above that of a short loop."""
SLOWER_LIMIT = 0.2
"""How much more, or less, a turn of the last tenth may take than one of the first."""


@step
async def work(number: int) -> int:
    return number + 1


async def measure(store: str, mode: Durability, turns: int) -> dict[str, Any]:
    """Run one loop in this process, and say what it took."""
    tenths: list[tuple[float, float]] = []

    async def turn(state: int) -> int | Stop[int]:
        if state % (turns // 10) == 0:
            tenths.append((perf_counter(), process_time()))
        state = await work(state)
        return Stop(state) if state == turns else state

    @workflow
    async def long(ctx: Context) -> int:
        return await ctx.loop("long", turn, state=0)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "loop.db"
        url = "memory:" if store == "memory" else f"sqlite:///{file}"
        app = App(url, durability=mode, workflows=[long])
        async with app:
            await app.run(long, id="i")
            tenths.append((perf_counter(), process_time()))
            entries = len(await app.handle("i").history())
            loaded = await app.store.load("i")
        frames = loaded.frames if loaded else ()
        return {
            "entries": entries,
            "bytes": sum(len(frame.body) for frame in frames),
            "file": file.stat().st_size if file.exists() else 0,
            "peak": peak(),
            "first": (tenths[1][1] - tenths[0][1]) / (turns // 10),
            "last": (tenths[-1][1] - tenths[-2][1]) / (turns // 10),
            "total": tenths[-1][0] - tenths[0][0],
        }


def peak() -> float:
    """Give the most memory that this process ever had, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def apart(store: str, mode: str, turns: int) -> dict[str, Any]:
    """Run one loop in a process of its own."""
    command = [sys.executable, __file__, "--case", store, mode, str(turns)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  this file
    found: dict[str, Any] = json.loads(done.stdout)
    return found


HEAD = (
    f"{'store':8}{'mode':9}{'entries':>8}{'frames':>9}{'file':>9}{'peak':>8}{'growth':>8}"
    f"{'first':>9}{'last':>9}{'change':>8}{'total':>8}"
)
UNITS = (
    f"{'':8}{'':9}{'':>8}{'KiB':>9}{'KiB':>9}{'MiB':>8}{'MiB':>8}"
    f"{'µs/turn':>9}{'µs/turn':>9}{'%':>8}{'s':>8}"
)


def main(turns: int) -> int:
    """Print the table; 1 if a limit is broken."""
    print(f"ctx.loop, {turns:,} turns of one step; growth is over {SHORT:,} turns")
    print(f"{HEAD}\n{UNITS}", flush=True)
    failed = False
    for store, mode in CASES:
        short, long = apart(store, mode, SHORT), apart(store, mode, turns)
        growth = long["peak"] - short["peak"]
        change = long["last"] / long["first"] - 1
        failed |= growth > GROWTH_LIMIT or abs(change) > SLOWER_LIMIT
        print(
            f"{store:8}{mode:9}{long['entries']:8}{long['bytes'] / 1024:9.1f}"
            f"{long['file'] / 1024:9.0f}{long['peak']:8.1f}{growth:8.1f}"
            f"{long['first'] * 1e6:9.0f}{long['last'] * 1e6:9.0f}{change * 100:8.1f}"
            f"{long['total']:8.1f}",
            flush=True,
        )
    print("a limit is broken" if failed else "all within the limits")
    return int(failed)


if __name__ == "__main__":
    logging.disable(logging.INFO)
    match sys.argv[1:]:
        case ["--case", store, ("step" | "suspend") as mode, turns]:
            print(json.dumps(asyncio.run(measure(store, mode, int(turns)))))
        case [turns] if turns.isdecimal() and int(turns) > 0:
            sys.exit(main(int(turns)))
        case []:
            sys.exit(main(TURNS))
        case _:
            sys.exit(f"usage: bench/loop.py [TURNS]   (default: {TURNS})")
