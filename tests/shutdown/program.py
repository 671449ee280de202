"""A program whose process is told to end: `python program.py WAY WHAT`.

Each `main_…` is a way to run the workflow, as users would write it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from edgeflow import App, Context, current_step, step
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from edgeflow.store import Commit, Committed

WAY, WHAT = sys.argv[1:3] if len(sys.argv) == 3 else ("", "")
HOLDS_ON = {"cut", "stuck", "thread"}
GRACE = 0.3
"""Seconds that steps get which do not end in time."""
LEASE = 1000.0
"""Seconds: who had to wait for a lease would wait too long."""


def note(what: str) -> None:
    with Path("notes").open("ab", buffering=0) as notes:
        notes.write(f"{what}\n".encode())


def may_end() -> bool:
    return Path("go").exists()


class Store(SqliteStore):
    """Says what it does at the end, and may take its time for it."""

    async def commit(self, instance: str, commit: Commit) -> Committed:
        is_late = WAY == "slow" and app.session.guard.heard
        if is_late:
            note("flushing")
            await asyncio.sleep(0.3)
        answer = await super().commit(instance, commit)
        if is_late:
            note("flushed")
        return answer

    async def close(self) -> None:
        note("closes")
        if WAY == "slow":
            await asyncio.sleep(0.3)
        await super().close()
        note("closed")


app = App(
    Store("edgeflow.db"),
    durability="suspend",
    max_dirty_age=1e6,
    grace=GRACE if WHAT in HOLDS_ON else 8.0,
    lease=LEASE,
    config={},
)


@step
async def quick(n: int) -> int:
    note(f"quick {n}")
    return n


@step
async def work(what: str) -> str:
    note("works")
    if may_end():
        return what
    if what == "stuck":
        time.sleep(60)  # noqa: ASYNC251  the point: not even the loop can turn
    await current_step().stopping
    if what == "cut":
        await asyncio.sleep(60)
    return what


@step
def work_in_thread(what: str) -> str:
    note("works")
    while not may_end():
        time.sleep(0.01)
    return what


@app.workflow
async def body(ctx: Context, what: str) -> str:
    for n in range(3):
        await quick(n)
    if what == "waits":
        await ctx.receive("go")
    if what in {"waits", "nothing"}:
        return what
    return await (work_in_thread(what) if what == "thread" else work(what))


# --- the ways to run it -------------------------------------------------------------


async def run(what: str, id: str = "i") -> str:
    try:
        return await app.run(body, what, id=id)
    finally:
        note("finally")


def main_run(what: str) -> None:
    asyncio.run(run(what))


main_slow = main_run


def main_uvloop(what: str) -> None:
    uvloop.run(run(what))


async def stay(what: str) -> None:
    try:
        async with app:
            await app.run(body, "nothing", id="before")
            await app.start(body, what, id="i")
            await asyncio.Event().wait()
    finally:
        note("finally")


def main_stay(what: str) -> None:
    asyncio.run(stay(what))


def main_two(what: str) -> None:
    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(run(what))
            group.create_task(run(what, "j"))

    asyncio.run(both())


def main_swallow(what: str) -> None:
    """Take the end of the loop for nothing, and return."""

    async def worker() -> None:
        try:
            async with app:
                await app.start(body, what, id="i")
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            note("finally")

    asyncio.run(worker())


def main_loops(what: str) -> None:
    """Use an app in this thread, and another one in a thread of its own."""
    other = App(SqliteStore("other.db"), workflows=[body], config={})

    async def wait_in(which: App, id: str) -> None:
        async with which:
            try:
                await which.start(body, what, id=id)
                await asyncio.Event().wait()
            finally:
                note("finally")

    def in_thread() -> None:
        asyncio.run(wait_in(other, "j"))

    thread = threading.Thread(target=in_thread)
    thread.start()
    asyncio.run(wait_in(app, "i"))


def main_ticks(what: str) -> None:
    """Run something again and again beside what takes its time."""

    async def tick() -> None:
        for n in range(1000):
            await app.run(body, "nothing", id=f"n{n}")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(run(what))
            group.create_task(tick())

    asyncio.run(both())


def main_loop(what: str) -> None:
    """Be a program that goes on after a run: it is told to end, not to skip one."""

    async def many() -> None:
        for n in range(1000):
            await app.run(body, "nothing", id=f"n{n}")
            note("works")

    asyncio.run(many())


def main_server_before(what: str) -> None:
    """Hear the signal with the loop's own means, as a server does."""

    async def serve() -> None:
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        async with app:
            await app.start(body, what, id="i")
            await told.wait()
            note("server told")

    asyncio.run(serve())


def main_server_after(what: str) -> None:
    """Hear it too, with a handler that comes after edgeflow's."""

    async def serve() -> None:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hear(*_: object) -> None:
            loop.call_soon_threadsafe(told.set)

        async with app:
            signal.signal(signal.SIGTERM, hear)
            await app.start(body, what, id="i")
            await app.run(body, "nothing", id="later")
            note("listens")
            await told.wait()
            note("server told")

    asyncio.run(serve())


def main_thread(what: str) -> None:
    """Run the loop in another thread, where no handler can be set."""
    threading.Thread(target=main_run, args=[what], daemon=True).start()
    while True:  # `signal.pause` would not see a signal that came just before it
        time.sleep(0.05)


def main_prepared(what: str) -> None:
    app.session.guard.prepare()
    main_thread(what)


def main_kept(what: str) -> None:
    """Leave the app open, as a handler does; nobody closes it."""

    async def keep() -> None:
        await app.session.stay(serves=True)
        await app.start(body, what, id="i")
        await asyncio.Event().wait()

    asyncio.run(keep())


def main_unclosed(what: str) -> None:
    async def use() -> None:
        await app.session.stay(serves=True)
        await app.start(body, what, id="i")

    asyncio.run(use())


def main_fork(what: str) -> None:
    """Fork while it is open; parent and child use it, each for itself."""

    async def parent() -> None:
        async with app:
            await app.run(body, "nothing", id="before")
            child = os.fork()
            if child == 0:
                code: Any = 1
                try:
                    asyncio.run(run(what))
                except SystemExit as end:
                    code = end.code
                os._exit(code)
            note(f"child {child}")
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            note(f"child ended {os.waitstatus_to_exitcode(status)}")
            await app.run(body, what, id="j")

    asyncio.run(parent())


if __name__ == "__main__":
    globals()[f"main_{WAY}"](WHAT)
