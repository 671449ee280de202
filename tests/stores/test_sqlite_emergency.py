"""Commits of a thread while the event loop stands still (P-08, P-09)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict, StoreUnavailable, TooLarge
from edgeflow.store import Commit, Committed, SyncCommit
from edgeflow_kv import FilesKV
from edgeflow_memory import MemoryStore
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

START = Commit(
    seq=1, frames=(b"f",), token=b"t", workflow="w", status="running", due=1.0, now=1.0
)
DEADLINE = 10.0  # seconds for what another thread does


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    await store.open()
    yield store
    await store.close()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def frames(path: Path) -> list[tuple[str, int]]:
    """What is in the file, as another program sees it, without a loop."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("select instance, seq from ef_frame order by 1, 2")
        return rows.fetchall()


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def is_locked(path: Path) -> bool:
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        try:
            db.execute("begin immediate")
        except sqlite3.OperationalError:
            return True
        return False


class Halt:
    """Stops aiosqlite's thread in the middle of a commit, until it is let go."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = threading.Event()
        self._free = threading.Event()

    async def arm(self, store: SqliteStore) -> None:
        session = store._session  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        assert session is not None
        db = session._db  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        await db.set_progress_handler(self._tick, 1)

    def _tick(self) -> int:
        if not self._held.is_set() and is_locked(self._path):
            self._held.set()
            self._free.wait(DEADLINE)
        return 0

    def wait(self) -> None:
        assert self._held.wait(DEADLINE)

    def release(self) -> None:
        self._free.set()


def test_only_a_store_that_needs_no_loop_has_the_power() -> None:
    # P-08
    assert isinstance(SqliteStore("x.db"), SyncCommit)
    for store in (MemoryStore(), FilesKV.from_url("files:///x")):
        assert not isinstance(store, SyncCommit)


# The same commit by the loop


async def test_what_still_waits_in_the_loop_is_written_by_the_thread(
    store: SqliteStore, path: Path
) -> None:
    # P-09 N-06
    flights = [asyncio.ensure_future(store.commit(i, START)) for i in ("a", "b", "c")]
    await turns(1)  # they wait for each other, and none is on its way

    for instance in ("a", "c"):
        store.commit_sync(instance, START)

    assert frames(path) == [("a", 1), ("c", 1)]
    answers = await asyncio.gather(*flights, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Conflict, Committed, Conflict]
    assert frames(path) == [("a", 1), ("b", 1), ("c", 1)]


async def test_a_thread_waits_for_a_transaction_of_the_loop_and_finds_it_written(
    store: SqliteStore, path: Path
) -> None:
    # P-09 N-06
    halt = Halt(path)
    await halt.arm(store)
    flight = asyncio.ensure_future(store.commit("i", START))
    await turns(5)
    halt.wait()

    with ThreadPoolExecutor() as threads:
        mine = threads.submit(store.commit_sync, "i", START)
        other = threads.submit(store.commit_sync, "j", START)
        assert not mine.done()
        halt.release()
        mine.result(DEADLINE)
        other.result(DEADLINE)

    assert frames(path) == [("i", 1), ("j", 1)]
    assert await flight == Committed()


async def test_what_the_loop_wrote_but_has_not_heard_of_is_not_written_twice(
    store: SqliteStore, path: Path
) -> None:
    # P-09 N-06
    flight = asyncio.ensure_future(store.commit("i", START))
    await turns(5)
    while not frames(path):
        assert not flight.done()  # for the loop stands still

    store.commit_sync("i", START)
    store.commit_sync("i", replace(START, seq=2))

    assert await flight == Committed()
    assert frames(path) == [("i", 1), ("i", 2)]


async def test_whoever_is_first_a_commit_is_there_once(
    store: SqliteStore, path: Path
) -> None:
    # P-09 N-06
    for seq in range(1, 101):
        commit = replace(START, seq=seq)
        flight = asyncio.ensure_future(store.commit("i", commit))
        await turns(seq % 7)
        store.commit_sync("i", commit)
        (answer,) = await asyncio.gather(flight, return_exceptions=True)
        assert isinstance(answer, (Committed, Conflict)), answer

    assert frames(path) == [("i", seq) for seq in range(1, 101)]


async def test_many_threads_write_many_instances(
    store: SqliteStore, path: Path
) -> None:
    # P-08
    names = [f"i{n:02}" for n in range(40)]
    flights = [asyncio.ensure_future(store.commit(name, START)) for name in names]
    await turns(2)
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(store.commit_sync, name, START) for name in names]
        for call in calls:
            call.result(DEADLINE)

    assert frames(path) == [(name, 1) for name in names]
    await asyncio.gather(*flights, return_exceptions=True)
    assert frames(path) == [(name, 1) for name in names]
    await store.close()
    assert names_in(path.parent) == ["test.db"]  # they had one connection


# The file


async def test_a_lock_that_another_program_keeps_is_told_of(path: Path) -> None:
    # P-08
    store = SqliteStore(path, busy_timeout=0.05)
    await store.open()
    for _ in range(2):  # the first time it opens its connection
        with closing(sqlite3.connect(path, isolation_level=None)) as lock:
            lock.execute("begin immediate")
            with pytest.raises(StoreUnavailable, match="another program holds a lock"):
                store.commit_sync("i", START)
        assert frames(path) == []

    store.commit_sync("i", START)

    assert frames(path) == [("i", 1)]
    await store.close()


@pytest.mark.parametrize(("synchronous", "level"), [("full", 2), ("normal", 1)])
async def test_it_is_synced_as_hard_as_the_commits_of_the_loop(
    path: Path, synchronous: str, level: int
) -> None:
    # P-08
    store = SqliteStore(path, synchronous=synchronous, busy_timeout=0.5)
    await store.open()
    store.commit_sync("i", START)

    # A pragma belongs to its connection, and nothing public runs one.
    emergency = store._emergency  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    assert emergency is not None
    (line,) = emergency._lines.values()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    assert line.db is not None
    assert line.db.execute("pragma synchronous").fetchone() == (level,)
    assert line.db.execute("pragma busy_timeout").fetchone() == (500,)
    assert line.db.execute("pragma journal_mode").fetchone() == ("wal",)
    await store.close()


async def test_closing_closes_its_connection_too(
    store: SqliteStore, path: Path
) -> None:
    # N-16
    store.commit_sync("i", START)
    for _ in range(2):
        await store.close()
        assert names_in(path.parent) == ["test.db"]

    store.commit_sync("i", replace(START, seq=2))  # while it waits in close(), say

    assert frames(path) == [("i", 1), ("i", 2)]
    await store.open()
    assert await store.commit("i", replace(START, seq=3)) == Committed()


def test_a_store_that_was_never_opened_says_so(path: Path) -> None:
    # P-08
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailable, match="call open"):
        store.commit_sync("i", START)
    with pytest.raises(TooLarge, match="1025 frames"):
        store.commit_sync("i", replace(START, frames=(b"f",) * 1025))

    assert not path.exists()


async def test_the_file_is_found_where_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # P-08
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("50% #1?.db")
    await store.open()
    monkeypatch.chdir("elsewhere")

    store.commit_sync("i", START)

    assert frames(tmp_path / "50% #1?.db") == [("i", 1)]
    assert names_in(tmp_path / "elsewhere") == []
    await store.close()


def closed(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    asyncio.run(store.open())
    asyncio.run(store.close())
    return store


def test_a_file_that_is_gone_is_not_made_anew(path: Path) -> None:
    # P-08
    store = closed(path)
    path.rename(path.with_name("moved.db"))
    with pytest.raises(StoreUnavailable, match=r"no file .*test\.db any more"):
        store.commit_sync("i", START)
    assert not path.exists()

    path.with_name("moved.db").rename(path)

    store.commit_sync("i", START)
    assert frames(path) == [("i", 1)]
    asyncio.run(store.close())


def test_a_connection_that_cannot_be_prepared_is_made_again(path: Path) -> None:
    # P-08
    store = closed(path)
    good = path.read_bytes()
    path.write_text("not a database, " * 100)
    with pytest.raises(StoreUnavailable, match="is not a SQLite database"):
        store.commit_sync("i", START)

    path.write_bytes(good)

    store.commit_sync("i", START)
    assert frames(path) == [("i", 1)]
    asyncio.run(store.close())
