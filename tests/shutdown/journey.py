"""A program that is killed. As a script it forks a process of itself for each life."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import uvloop

from edgeflow import App, Context, current_step, step, workflow
from edgeflow.cli import main as edgeflow
from edgeflow_sqlite import SqliteStore

ID = "it"
STAGES = [{"plan"}, {"book"}, {"pack"}, {"bus", "train"}, {"arrive"}]
"""The steps; those of one stage run side by side."""
OUTPUT = ["plan", "book", "pack", 7, "bus", "train", "arrive"]
BEGUN = b"!"
"""What a life writes when it begins to run the workflow."""


def note(word: str, what: str) -> None:
    """Write down what happens, outside of edgeflow."""
    with Path("effects").open("ab", buffering=0) as effects:
        effects.write(f"{word} {what}\n".encode())


@step
async def go(what: str, seconds: float) -> str:
    note("enters", what)
    await asyncio.sleep(seconds)
    current_step().state[what] = True
    note("leaves", what)
    return what


@step
def go_in_thread(what: str, seconds: float) -> str:
    note("enters", what)
    time.sleep(seconds)
    current_step().state[what] = True
    note("leaves", what)
    return what


@workflow
async def journey(ctx: Context) -> list[Any]:
    """Steps of 10 to 30 ms, waits below and above the linger, a message, a join."""
    seen: list[Any] = [await go("plan", 0.02), await go_in_thread("book", 0.015)]
    await ctx.sleep(0.02)
    await ctx.send(ctx.id, "ticket", 7)
    seen.append(await go("pack", 0.01))
    seen.append((await ctx.receive("ticket")).body)
    seen += await asyncio.gather(go("bus", 0.03), go_in_thread("train", 0.02))
    await ctx.sleep(0.06)
    return [*seen, await go("arrive", 0.02)]


def app(durability: Any) -> App:
    """Make an app on the file in the current directory."""
    store, workflows = SqliteStore("edgeflow.db"), [journey]
    return App(
        store, workflows=workflows, durability=durability, linger=0.04, config={}
    )


# --- a life -------------------------------------------------------------------------


async def stay(durability: str) -> None:
    """Run it in a worker that would stay."""
    async with app(durability) as worker:
        handle = await worker.start(journey, id=ID)
        say(await handle.result())


async def run(durability: str) -> None:
    say(await app(durability).run(journey, id=ID))


def say(output: object) -> None:
    sys.stdout.write(f"{json.dumps(output)}\n")
    sys.stdout.flush()


def live(kind: str, durability: str) -> None:
    """Be an ordinary program."""
    if kind == "command":
        os.environ["EDGEFLOW_DURABILITY"] = durability
        os.environ["EDGEFLOW_LINGER"] = "40ms"
        words = ["run", f"{__file__}:journey", "--id", ID]
        sys.exit(edgeflow([*words, "--store", "sqlite:///edgeflow.db"]))
    work = stay(durability) if kind == "stay" else run(durability)
    (uvloop.run if kind == "uvloop" else asyncio.run)(work)


def be_born(begun: int, orders: dict[str, Any]) -> None:
    os.chdir(orders["folder"])
    for number, name in enumerate((os.devnull, "out", "err")):
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(name, flags, 0o666), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
    os.write(begun, BEGUN)
    live(orders["kind"], orders["durability"])


# --- the nursery --------------------------------------------------------------------


def nurse(orders: dict[str, Any]) -> dict[str, Any] | None:
    """Let a process live, and strike it; tell how it ended. None: this is that one."""
    down, up = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(down)
        be_born(up, orders)
        return None
    os.close(up)
    os.read(down, 1)
    began, hung = time.monotonic(), False
    for seconds, number in [*orders["strikes"], (orders["limit"], signal.SIGKILL)]:
        left = began + seconds - time.monotonic()
        if select.select([down], [], [], max(0.0, left))[0]:
            break  # it has ended
        os.kill(child, number)
        hung = seconds == orders["limit"]
    _, status = os.waitpid(child, 0)
    os.close(down)
    return {"code": os.waitstatus_to_exitcode(status), "hung": hung}


def main() -> None:
    """Answer each line of orders with a line, until nobody listens any more."""
    import_module("aiosqlite")  # what each life would import when it opens the store
    while line := sys.stdin.readline():
        answer = nurse(json.loads(line))
        if answer is None:
            return
        say(answer)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
