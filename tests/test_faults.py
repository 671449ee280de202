"""Bad input and faults: a clear error, the instance as it was, nothing lost."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    Context,
    Retry,
    StepError,
    StoreUnavailable,
    Unencodable,
    UnknownInstance,
    WorkflowBlocked,
    WorkflowFailed,
    current_step,
    step,
)
from edgeflow.engine.frames import FORMAT
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from edgeflow import Store

    Body = Callable[[Context], Coroutine[Any, Any, Any]]

calls: list[object] = []


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    calls.clear()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edgeflow.db"


@dataclass
class Order:
    id: str
    amount: int


@step(retry=Retry(jitter=0))
async def work(value: int) -> int:
    calls.append(value)
    return value


async def three(ctx: Context) -> list[int]:
    found: list[int] = []
    for n in range(3):
        found.append(await work(n))
        await ctx.sleep(60)
    return found


def app_for(body: Callable[..., Any], store: Store) -> App:
    app = App(store, clock=VirtualClock())
    app.workflow(name="w")(body)
    return app


def locked_soon(path: Path) -> SqliteStore:
    """Give a store that does not wait long for a lock."""
    return SqliteStore(path, busy_timeout=0.01)


# Values


async def pay(_: Context, order: Order) -> int:
    return await work(order.amount)


BAD_INPUTS: list[tuple[Any, str]] = [
    ({"id": "a"}, r"input of 'w' \$"),
    (Order("a", "much"), r"input of 'w' \$\.amount.*str"),  # type: ignore[arg-type]
    (Order(object(), 1), r"input of 'w' \$\.id.*object"),  # type: ignore[arg-type]
    (None, r"input of 'w' \$"),
    (7, r"input of 'w' \$.*int"),
]


@pytest.mark.parametrize(("bad", "told"), BAD_INPUTS)
async def test_an_input_of_another_type_is_refused_by_place(
    bad: Any, told: str, store: Store
) -> None:
    # L-04, S27
    counted = RecordingStore(store)
    app = app_for(pay, counted)
    with pytest.raises(Unencodable, match=told):
        await app.run("w", bad, id="i")

    assert (counted.commits, calls) == ([], [])
    with pytest.raises(UnknownInstance):
        await app.handle("i").info()
    assert await app.run("w", Order("a", 3), id="i") == 3


@pytest.mark.parametrize(
    "bad", [object(), {"a": [1, open]}, float("nan"), {1: 2}, 2**70]
)
async def test_an_input_without_a_json_form_is_refused(bad: Any, store: Store) -> None:
    # L-04, R-06
    async def body(_: Context, value: Any) -> Any:
        return value

    counted = RecordingStore(store)
    with pytest.raises(Unencodable, match=r"input of 'w' \$"):
        await app_for(body, counted).run("w", bad)
    assert counted.commits == []


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (open, r"\$.*builtin"),
        ({"a": [1, {2, object()}]}, r"\$\.a\[1\].*object"),
        ("\ud800", r"\$.*surrogate"),
        (float("inf"), r"\$.*inf"),
    ],
)
async def test_a_result_that_cannot_be_stored_fails_its_step_at_once(
    bad: Any, told: str, store: Store
) -> None:
    # R-04 R-06, G6
    async def body(ctx: Context) -> list[Any]:
        try:
            await ctx.step("bad", lambda: give(bad))
        except StepError as error:
            return [error.kind, error.attempts, error.error.message, await work(1)]
        return []

    async def give(value: Any) -> Any:
        calls.append("bad")
        return value

    found: list[Any] = await app_for(body, store).run("w", id="i")

    assert found[:2] == ["unencodable", 1]
    assert found[3] == 1
    assert calls == ["bad", 1]
    assert matches(told, found[2]), found[2]


def matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE | re.DOTALL) is not None


async def test_state_that_cannot_be_stored_fails_its_step_and_stays_as_it_was(
    store: Store,
) -> None:
    # J, R-04, G6
    async def body(ctx: Context) -> str:
        await ctx.step("good", good)
        try:
            await ctx.step("bad", bad)
        except StepError as error:
            return f"{error.kind}: {error.error.message}"
        return ""

    async def good() -> None:
        current_step().state["cart"] = [1]

    async def bad() -> None:
        current_step().state["other"] = 1
        current_step().state["cart"] = [1, {"x": object()}]

    app = app_for(body, store)
    found: str = await app.run("w", id="i")

    assert found.startswith("unencodable: ")
    for part in ("cart", "[1].x", "object"):
        assert part in found
    assert await app.handle("i").state() == {"cart": [1]}


async def test_an_output_that_cannot_be_stored_blocks_until_it_is_mended(
    store: Store,
) -> None:
    # R-07, S5, G13
    def version(number: str, bad: Callable[[int], Any]) -> App:
        app = App(store, clock=VirtualClock(), version=number)

        async def body(_: Context) -> Any:
            return bad(await work(1))

        app.workflow(name="w")(body)
        return app

    with pytest.raises(WorkflowBlocked, match=r"output.*\$.*function"):
        await version("1", lambda _: print).run("w", id="i")
    with pytest.raises(WorkflowBlocked, match="output"):
        await version("1", lambda n: n).run("w", id="i")

    assert await version("2", lambda n: n).run("w", id="i") == 1
    assert calls == [1]


async def test_an_error_that_cannot_be_stored_is_still_an_error(store: Store) -> None:
    # S7
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    async def body(_: Context) -> None:
        raise Odd(object())

    with pytest.raises(WorkflowFailed, match="Odd") as caught:
        await app_for(body, store).run("w", id="i")
    assert caught.value.error.data is None
    assert "RuntimeError" in caught.value.error.message


# Files


async def test_a_file_that_is_no_database_is_named_and_left_alone(path: Path) -> None:
    write(path, NOTES)
    app = app_for(three, SqliteStore(path))
    for call in (app.run("w", id="i"), app.drive("i"), app.handle("i").info()):
        with pytest.raises(StoreUnavailable, match=r"edgeflow\.db is not a SQLite"):
            await call
    with pytest.raises(StoreUnavailable):
        async with app:
            pytest.fail("it opened")

    assert read(path) == NOTES
    assert calls == []
    write(path, "")
    assert await app.run("w", id="i") == [0, 1, 2]


NOTES = "notes\n" * 1000


def write(path: Path, text: str) -> None:
    path.write_text(text)


def read(path: Path) -> str:
    return path.read_text()


async def suspended(path: Path) -> tuple[int, bytes]:
    """Leave an instance asleep after its first step; give what is stored."""
    app = app_for(three, SqliteStore(path))
    await app.start("w", id="i")
    outcome = await app.drive("i")
    assert outcome.status == "suspended"
    return await stored(path)


async def stored(path: Path) -> tuple[int, bytes]:
    store = SqliteStore(path)
    await store.open()
    loaded = await store.load("i")
    await store.close()
    assert loaded is not None
    return loaded.head.seq, b"".join(frame.body for frame in loaded.frames)


async def goes_on(path: Path) -> None:
    """Let another process finish it, without a step that is durable."""
    assert await app_for(three, SqliteStore(path)).run("w", id="i") == [0, 1, 2]
    assert calls == [0, 1, 2]


async def test_a_lock_of_another_program_is_named_and_costs_nothing(
    path: Path,
) -> None:
    before = await suspended(path)
    app = App(locked_soon(path), clock=VirtualClock(1_800_000_000))
    app.workflow(name="w")(three)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(StoreUnavailable, match="another program holds a lock"):
            await app.drive("i")
        with pytest.raises(StoreUnavailable, match="another program holds a lock"):
            await app.start("w", id="j")
        assert calls == [0]

    assert await stored(path) == before
    await goes_on(path)


async def test_a_lock_that_comes_in_the_middle_ends_the_run_only(path: Path) -> None:
    # M-11, G12
    async def body(ctx: Context) -> list[int]:
        first = await work(0)
        second = await ctx.step("locks", lock)
        return [first, second]

    async def lock() -> int:
        calls.append("locks")
        if len(others) == 0:
            others.append(sqlite3.connect(path, isolation_level=None))
            others[0].execute("begin immediate")
        return 1

    others: list[sqlite3.Connection] = []
    with pytest.raises(StoreUnavailable, match="another program holds a lock"):
        await app_for(body, locked_soon(path)).run("w", id="i")
    others[0].close()

    app = app_for(body, SqliteStore(path))
    info = await app.handle("i").info()
    assert (info.status, info.error) == ("running", None)
    assert await app.run("w", id="i") == [0, 1]
    assert calls == [0, "locks", "locks"]


@contextmanager
def nobody() -> Generator[None]:
    """Root may write everything, so be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared_folder() -> Generator[Path]:
    # Not `tmp_path`: that lies in a directory of the user's own.
    folder = Path(tempfile.mkdtemp())
    yield folder
    allow(folder, 0o755)
    shutil.rmtree(folder)


def allow(path: Path, mode: int) -> None:
    path.chmod(mode)


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
async def test_a_read_only_file_is_named_and_left_alone(shared_folder: Path) -> None:
    path = shared_folder / "edgeflow.db"
    before = await suspended(path)
    allow(path, 0o444)
    allow(shared_folder, 0o555)
    with nobody():
        app = app_for(three, SqliteStore(path))
        for call in (app.run("w", id="i"), app.drive("i")):
            with pytest.raises(StoreUnavailable, match=r"allow .* to write"):
                await call
    allow(shared_folder, 0o755)
    allow(path, 0o644)

    assert calls == [0]
    assert await stored(path) == before
    await goes_on(path)


class Full(SqliteStore):
    """A database that cannot grow beyond what it has when it is opened."""

    async def open(self) -> None:
        await super().open()
        await self.limit("(select * from pragma_page_count) + 1")

    async def limit(self, pages: str) -> None:
        session = self._session
        assert session is not None
        ((count,),) = await session.fetch(f"select {pages}")
        await session.fetch(f"pragma max_page_count={count}")


async def test_a_full_disk_is_named_and_costs_nothing(path: Path) -> None:
    # G12
    async def body(ctx: Context) -> int:
        await work(0)
        await ctx.sleep(60)
        return len(await ctx.step("large", large))

    async def large() -> str:
        calls.append("large")
        return "x" * 1_000_000

    app = app_for(body, SqliteStore(path))
    await app.start("w", id="i")
    await app.drive("i")

    with pytest.raises(StoreUnavailable, match="is full: make room"):
        await app_for(body, Full(path)).run("w", id="i")

    info = await app.handle("i").info()
    assert (info.status, info.error) == ("running", None)
    assert await app_for(body, SqliteStore(path)).run("w", id="i") == 1_000_000
    assert calls == [0, "large", "large"]


async def test_a_journal_of_a_newer_edgeflow_is_named_and_left_alone(
    path: Path,
) -> None:
    before = await suspended(path)
    ours, theirs = b'"edgeflow":%d' % FORMAT, b'"edgeflow":%d' % (FORMAT + 1)
    rewrite(path, ours, theirs)
    changed = await stored(path)
    app = App(SqliteStore(path), clock=VirtualClock(1_800_000_000))
    app.workflow(name="w")(three)

    outcome = await app.drive("i")

    assert outcome.status == "blocked"
    assert outcome.error is not None
    assert f"format {FORMAT + 1}" in outcome.error.message
    with pytest.raises(WorkflowBlocked, match=f"format {FORMAT + 1}"):
        await app.run("w", id="i")
    assert await stored(path) == changed
    rewrite(path, theirs, ours)
    assert await stored(path) == before
    await goes_on(path)


def rewrite(path: Path, old: bytes, new: bytes) -> None:
    """Change the frames behind edgeflow's back."""
    with closing(sqlite3.connect(path)) as db:
        frames = "select instance, seq, body from ef_frame"
        for instance, seq, body in db.execute(frames).fetchall():
            db.execute(
                "update ef_frame set body = ? where instance = ? and seq = ?",
                (body.replace(old, new, 1), instance, seq),
            )
        db.commit()


# Processes


PROGRAM = """
import asyncio, os, sys
from edgeflow import App, Context, Fenced, current_step, step

path, me = sys.argv[1:]
app = App(f"sqlite:///{path}/edgeflow.db")

def tell(what):
    with open(f"{path}/effects", "a") as file:
        file.write(f"{me} {what}\\n")

async def until(name):
    while not os.path.exists(f"{path}/{name}"):
        await asyncio.sleep(0.005)

def touch(name):
    open(f"{path}/{name}", "w").close()
"""

DUEL = """
@step
async def work(n: int) -> str:
    tell(f"work {n}")
    if me == "a" and n == 1:
        touch("a-is-inside")
        await until("b-is-done")
    return me

@app.workflow(name="w")
async def duel(ctx: Context) -> list[str]:
    found = []
    for n in range(4):
        found.append(await work(n))
    return found

async def main():
    if me == "b":
        await until("a-is-inside")
    try:
        print(*await app.run("w", id="i"))
    except Fenced as error:
        print(type(error).__name__, error)
    touch(f"{me}-is-done")

asyncio.run(main())
"""


def start(script: str, folder: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM + dedent(script), folder, name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    with process:
        output, errors = process.communicate(timeout=15)
    assert process.returncode == 0, errors
    return output.strip()


def effects(folder: Path) -> list[str]:
    return (folder / "effects").read_text().splitlines()


async def test_of_two_processes_that_drive_one_instance_one_is_fenced(
    tmp_path: Path,
) -> None:
    # G4
    processes = [start(DUEL, tmp_path, name) for name in "ab"]
    a, b = map(finish, processes)

    assert b == "a b b b"
    assert a.startswith("Fenced another process has taken instance 'i' over")
    assert effects(tmp_path) == [
        "a work 0",
        "a work 1",
        *(f"b work {n}" for n in (1, 2, 3)),
    ]
    handle = App(SqliteStore(tmp_path / "edgeflow.db")).handle("i")
    assert await handle.result() == ["a", "b", "b", "b"]
    assert [entry.value for entry in await handle.history()] == ["a", "b", "b", "b"]


RACE = """
@step
async def work(n: int) -> str:
    await asyncio.sleep(0.001)
    return me

@app.workflow(name="w")
async def race(ctx: Context) -> list[str]:
    return [await work(n) for n in range(60)]

async def main():
    touch(f"{me}-is-there")
    for other in "abcd":
        await until(f"{other}-is-there")
    while True:
        try:
            print(*await app.run("w", id="i"))
            break
        except Fenced:
            tell("fenced")

asyncio.run(main())
"""


async def test_four_processes_that_fight_for_an_instance_agree(tmp_path: Path) -> None:
    # G4 G8: whoever wins, nothing is committed twice
    processes = [start(RACE, tmp_path, name) for name in "abcd"]
    outputs = {finish(process) for process in processes}

    assert len(outputs) == 1
    (winners,) = outputs
    assert len(winners.split()) == 60
    assert effects(tmp_path)
    handle = App(SqliteStore(tmp_path / "edgeflow.db")).handle("i")
    entries = await handle.history()
    assert [entry.path[-1][2] for entry in entries] == list(range(60))
    assert [entry.value for entry in entries] == winners.split()


KILLED = """
@step
async def work(n: int) -> int:
    tell(f"work {n}")
    if n == 2 and me == "a":
        touch("a-is-inside")
        await asyncio.sleep(60)
    return n

@app.workflow(name="w")
async def killed(ctx: Context) -> list[int]:
    return [await work(n) for n in range(4)]

print(asyncio.run(app.run("w", id="i")))
"""


def test_a_process_that_is_killed_loses_the_step_in_flight_only(tmp_path: Path) -> None:
    # O-11, G7
    with start(KILLED, tmp_path, "a") as process:
        while not (tmp_path / "a-is-inside").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)

    assert finish(start(KILLED, tmp_path, "b")) == "[0, 1, 2, 3]"
    assert effects(tmp_path) == [
        *(f"a work {n}" for n in (0, 1, 2)),
        *(f"b work {n}" for n in (2, 3)),
    ]


async def test_a_store_in_memory_serves_two_apps() -> None:
    # G4: the same in one process
    store = MemoryStore()
    assert await app_for(three, store).run("w", id="i") == [0, 1, 2]
    assert await app_for(three, store).run("w", id="i") == [0, 1, 2]
    assert calls == [0, 1, 2]
