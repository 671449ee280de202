"""The function that the tests have the real runtime call.

Each order says what to do; steps that have effects append a line to `notes`, so that
a test can count them from outside.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from edgeflow import App, Context, step

app = App()

NOTES = Path("notes")


def note(line: str) -> None:
    with NOTES.open("a", encoding="utf-8") as notes:
        notes.write(f"{line}\n")


@step
async def reserve(order: str) -> str:
    note(f"reserve {order}")
    return "reserved"


@step
async def ship(order: str, seconds: float) -> str:
    """Take some seconds; a run that is cut off does it again."""
    note(f"ship {order}")
    await asyncio.sleep(seconds)
    note(f"shipped {order}")
    return "shipped"


@step
async def count_primes(order: str, seconds: float) -> str:
    """Be busy on the event loop, so that nothing else gets a turn on it."""
    note(f"count {order}")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return "counted"


@step
def zip_files(order: str, seconds: float) -> str:
    """Be busy in a thread."""
    note(f"zip {order}")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return "zipped"


@step
async def leave(order: str) -> None:
    """Do what nobody should."""
    note(f"leave {order}")
    sys.exit("a step exits")


@step
async def report() -> dict[str, int]:
    """Say what this process has open."""
    return {
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "files": open_files(),
        "process": os.getpid(),
    }


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def approved(ctx: Context) -> str:
    return (await ctx.receive("approval", type=str)).body


@app.handler(id="order_id")
async def checkout(ctx: Context, event: dict[str, Any]) -> Any:
    """Do for an order what its event says."""
    order = event["order_id"]
    await reserve(order)
    result: Any = "done"
    match event.get("then"):
        case "exit":
            raise SystemExit("a body exits")
        case "fail":
            raise ValueError("no stock")
        case "sleep":
            await ctx.sleep(event["seconds"])
        case "approve":
            result = await approved(ctx)
        case "leave":
            await leave(order)
        case "report":
            result = await report()
        case str(name):
            work = {"ship": ship, "count": count_primes, "zip": zip_files}[name]
            result = await work(order, event["seconds"])
        case _:
            pass
    return result


if "OPENS_EARLY" in os.environ:  # as one may who warms things up before a snapshot
    checkout({"order_id": "early", "then": "sleep", "seconds": 600}, None)
