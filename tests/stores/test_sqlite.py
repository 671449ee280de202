from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing, suppress
from contextvars import Context, ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow.errors import (
    ConfigError,
    Conflict,
    OutcomeUnknown,
    StoreUnavailable,
    TooLarge,
)
from edgeflow.store import Commit, Committed, Envelope, Loaded, Store
from edgeflow.testing import StoreSuite
from edgeflow.testing.stores.parts import picture
from edgeflow_sqlite import SqliteStore
from edgeflow_sqlite import _schema as sql
from edgeflow_sqlite._rows import encode, insertion
from edgeflow_sqlite._trouble import explain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

START = Commit(
    seq=1, frames=(b"f",), token=b"t", workflow="w", status="running", due=1.0, now=1.0
)


class TestSqliteStore(StoreSuite):
    async def open_store(self, where: Path) -> Store:
        store = SqliteStore(where / "test.db")
        await store.open()
        return store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "test.db", busy_timeout=0.05)
    await store.open()
    yield store
    await store.close()


class Hops:
    """Counts how often something runs on the connection's thread."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG", logger="aiosqlite")
        self._caplog = caplog

    def count(self) -> int:
        seen = sum(r.message.startswith("executing") for r in self._caplog.records)
        self._caplog.clear()
        return seen


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def last(store: SqliteStore, instance: str) -> int:
    loaded = await store.load(instance)
    return 0 if loaded is None else loaded.head.seq


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


# URLs and settings


def test_a_url_names_the_file_and_how_hard_it_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def use(url: str) -> None:
        store = SqliteStore.from_url(url)
        await store.open()
        await store.close()

    for url in (
        "sqlite:///relative.db",
        f"sqlite:///{tmp_path}/absolute.db?synchronous=normal&busy_timeout=0.5",
        "sqlite:///with%20space%3F.db?synchronous=f%75ll",
    ):
        asyncio.run(use(url))

    expected = {"relative.db", "absolute.db", "with space?.db"}
    assert names(tmp_path) == expected


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite:relative.db", "sqlite:///relative.db"),
        ("sqlite://host/file.db", "sqlite:///relative.db"),
        ("sqlite:///", "sqlite:///relative.db"),
        ("sqlite:///a.db?mode=ro", "'mode'.*synchronous=full|normal and busy_timeout"),
        ("sqlite:///a.db?synchronous=off", "'off'.*'full' or 'normal'"),
        ("sqlite:///a.db?synchronous=", "'full' or 'normal'"),
        ("sqlite:///a.db?busy_timeout=soon", "'soon'"),
        ("sqlite:///a.db?busy_timeout=-1", "seconds"),
        ("sqlite:///a.db?busy_timeout=nan", "seconds"),
        ("sqlite:///:memory:", "memory:"),
    ],
)
def test_a_bad_url_is_refused_with_what_is_allowed(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        SqliteStore.from_url(url)


async def test_full_is_the_default(tmp_path: Path) -> None:
    for store, level in (
        (SqliteStore(tmp_path / "a.db"), 2),
        (SqliteStore(tmp_path / "b.db", synchronous="normal"), 1),
    ):
        await store.open()
        assert await pragma(store, "synchronous") == level
        assert await pragma(store, "journal_mode") == "wal"
        assert store.limits.durable == (level > 1)
        await store.close()


async def pragma(store: SqliteStore, text: str) -> object:
    # A pragma belongs to its connection, and nothing public runs one.
    session = store._session  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    assert session is not None
    ((value,),) = await session.fetch(f"pragma {text}")
    return value


# Files that cannot be used


async def refusal(path: Path) -> str:
    store = SqliteStore(path, busy_timeout=0.05)
    with pytest.raises(StoreUnavailable) as caught:
        await store.open()
    with pytest.raises(StoreUnavailable, match="call open"):
        await store.load("i")
    await store.close()
    return str(caught.value)


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)

    assert "notes.txt is not a SQLite database" in await refusal(path)
    assert path.read_text() == "not a database, " * 100


async def test_a_missing_directory_is_not_created(tmp_path: Path) -> None:
    told = await refusal(tmp_path / "missing" / "test.db")

    assert f"there is no directory {tmp_path / 'missing'}" in told
    assert "create it" in told
    assert names(tmp_path) == set()


async def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert "is a directory" in await refusal(tmp_path)


async def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table theirs(a)")

    before = path.read_bytes()

    assert "is the database of another program" in await refusal(path)
    assert path.read_bytes() == before


async def test_a_newer_schema_is_left_alone(store: SqliteStore, tmp_path: Path) -> None:
    await store.close()
    path = tmp_path / "test.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma user_version=99")

    before = path.read_bytes()

    told = await refusal(path)

    assert "written by a newer edgeflow" in told
    assert "version 99" in told
    assert path.read_bytes() == before


async def test_an_old_sqlite_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    assert "needs 3.37" in await refusal(tmp_path / "test.db")
    assert names(tmp_path) == set()


def test_a_damaged_file_is_told_from_other_trouble() -> None:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    assert "is damaged" in str(explain(error, "test.db", 1))


def test_a_failed_sync_leaves_the_outcome_of_a_commit_unknown() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

    assert isinstance(explain(error, "test.db", 1, committing=True), OutcomeUnknown)
    assert isinstance(explain(error, "test.db", 1), StoreUnavailable)


# Other programs, and no room


async def test_a_lock_that_is_kept_makes_the_store_unavailable(
    store: SqliteStore, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as lock:
        lock.execute("begin immediate")
        with pytest.raises(StoreUnavailable, match="another program holds a lock on"):
            await store.commit("i", START)
        with pytest.raises(StoreUnavailable, match="another program holds a lock on"):
            await store.send(Envelope("i", "m", "n", b""))
        assert "another program holds a lock on" in await refusal(tmp_path / "test.db")
        assert await store.load("i") is None

    await store.commit("i", START)


async def test_a_lock_that_is_given_back_only_delays(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "test.db", busy_timeout=10)
    await store.open()
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as lock:
        lock.execute("begin immediate")
        commit = asyncio.ensure_future(store.commit("i", START))
        await turns(20)
        assert not commit.done()
        lock.execute("rollback")
        await commit

    assert await last(store, "i") == 1
    await store.close()


async def test_a_full_disk_changes_nothing_and_passes(store: SqliteStore) -> None:
    await store.commit("i", START)
    pages = await pragma(store, "page_count")
    large = replace(START, seq=2, frames=(b"x" * 100_000,))
    await pragma(store, f"max_page_count={pages}")
    with pytest.raises(StoreUnavailable, match="is full: make room"):
        await store.commit("i", large)
    assert await last(store, "i") == 1

    await pragma(store, "max_page_count=100000")

    await store.commit("i", large)
    assert await last(store, "i") == 2


# Faults inside a commit


async def interrupt(store: SqliteStore, after: int) -> None:
    """Break the next statement off after so many instructions of SQLite's machine."""
    left = after

    def tick() -> int:
        nonlocal left
        left -= 1
        return left < 0

    session = store._session  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    assert session is not None
    db = session._db  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    await db.set_progress_handler(tick, 1)


async def test_a_commit_that_breaks_off_anywhere_changes_nothing(
    store: SqliteStore, tmp_path: Path
) -> None:
    # N-05
    other = SqliteStore(tmp_path / "test.db")
    await other.open()
    for message_id in ("read", "unread"):
        await store.send(Envelope("i", message_id, "n", b"body"))
    await store.commit("i", replace(START, acks=("read",)))
    await store.commit("peer", replace(START, status="suspended", awaiting=("n",)))
    everything = replace(
        START,
        seq=2,
        frames=(b"2", b"3"),
        snapshot=True,
        acks=("unread",),
        restored=("read",),
        restored_bodies=(b"again",),
        sends=(Envelope("peer", "m", "n", b"body"), Envelope("i", "m", "n", b"body")),
    )
    before = await picture(other, "i", "peer")
    faults = 0
    while await picture(other, "i", "peer") == before:
        await interrupt(store, faults)
        with suppress(OutcomeUnknown):
            await store.commit("i", everything)
        faults += 1

    assert faults > 300
    assert await last(other, "i") == 3
    assert [m.id for m in await other.unread("i")] == ["read", "m"]
    assert [m.id for m in await other.unread("peer")] == ["m"]
    with pytest.raises(Conflict):
        await other.commit("i", everything)
    await other.close()


# One hop, and group commit


async def test_a_commit_is_one_statement_on_the_thread(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    hops = Hops(caplog)
    await store.commit("i", replace(START, frames=(b"1", b"2", b"3")))
    assert hops.count() == 1
    busy = replace(
        START,
        seq=4,
        status="suspended",
        awaiting=("n",),
        acks=("m",),
        sends=(Envelope("j", "m", "n", b"body"),),
        snapshot=True,
    )
    await store.commit("i", busy)
    assert hops.count() == 1
    for call in (
        store.load("i"),
        store.unread("j"),
        store.send(Envelope("i", "m", "n", b"")),
        store.claim(1, 1, 1, "w"),
        store.renew("i", b"t", 1, 1),
        store.delete("i"),
    ):
        await call
        assert hops.count() == 1


async def test_commits_that_wait_go_down_together(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    hops = Hops(caplog)
    await asyncio.gather(*(store.commit(f"i{n}", START) for n in range(128)))
    assert hops.count() == 1
    await asyncio.gather(*(store.commit(f"j{n}", START) for n in range(129)))
    assert hops.count() == 2
    large = replace(START, frames=(b"x" * 3_000_000,))
    await asyncio.gather(*(store.commit(f"k{n}", large) for n in range(3)))
    assert hops.count() == 2

    assert [await last(store, i) for i in ("i0", "i127", "j128", "k2")] == [1] * 4


@pytest.mark.parametrize("size", [1, 2, 7, 9, 33, 127])
async def test_all_kinds_of_commits_share_a_transaction(
    store: SqliteStore, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    names = [f"i{n}" for n in range(size)]
    await asyncio.gather(*(store.commit(i, START) for i in names))
    kinds = [
        replace(START, seq=2),
        replace(START, seq=2, frames=(b"2", b"3")),
        replace(START, seq=2, snapshot=True, due=None),
        replace(START, seq=2, sends=(Envelope("peer", "m", "n", b"body"),)),
        replace(START, seq=2, token=b"taken", opens=True, due=7.0),
    ]
    commits = [(i, kinds[n % len(kinds)]) for n, i in enumerate(names)][:120]
    commits.append(("new", START))
    hops = Hops(caplog)
    await asyncio.gather(*(store.commit(i, commit) for i, commit in commits))
    assert hops.count() == 1 + (sum(len(c.frames) for _, c in commits) > 128)

    for i, commit in commits:
        loaded = await store.load(i)
        assert loaded is not None
        assert (loaded.head.seq, loaded.head.token) == (commit.last, commit.token)
        bodies = [frame.body for frame in loaded.frames]
        before = [] if commit.snapshot or commit.seq == 1 else [b"f"]
        assert bodies == [*before, *commit.frames]
    due = {i for i, c in commits if c.due is not None and c.due < 7}
    assert {*await store.claim(6.0, 200, 1.0, "w")} == due | {*names[120:]}


def test_few_statements_are_prepared_and_little_of_them_is_empty() -> None:
    width = len(sql.PLAIN_COLUMNS)
    (row,) = encode("i", replace(START, seq=2))
    statements: set[str] = set()
    for rows in range(1, 1025):
        statement, values = insertion([row] * rows)
        statements.add(statement)
        assert statement.count("?") == len(values)
        assert rows <= len(values) / width <= min(rows * 1.25, 1024)
    assert len(statements) < 40


async def test_whoever_spoils_a_group_fails_alone(store: SqliteStore) -> None:
    await store.commit("taken", START)
    commits = {
        "a": START,
        "taken": START,
        "overflow": replace(START, wake_at=10**30),
        "infinite": replace(START, sends=(Envelope("x", "m", "n", b"", float("inf")),)),
        "b": START,
    }

    answers = await asyncio.gather(
        *(store.commit(i, c) for i, c in commits.items()), return_exceptions=True
    )

    kinds = [type(answer).__name__ for answer in answers]
    expected = ["Committed", "Conflict", "OverflowError", "ValueError", "Committed"]
    assert kinds == expected
    assert await last(store, "b") == 1


async def test_trouble_of_the_file_reaches_everybody_in_a_group(
    store: SqliteStore, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as lock:
        lock.execute("begin immediate")
        answers = await asyncio.gather(
            *(store.commit(i, START) for i in "abc"), return_exceptions=True
        )

    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    assert len({id(answer) for answer in answers}) == 3


async def test_a_thousand_frames_are_one_commit_and_more_are_refused(
    store: SqliteStore,
) -> None:
    await store.commit("i", replace(START, frames=(b"f",) * 1000))
    assert await last(store, "i") == 1000
    with pytest.raises(TooLarge, match="1025 frames"):
        await store.commit("j", replace(START, frames=(b"f",) * 1025))


async def test_a_consumed_message_loses_its_body_in_the_file_too(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.send(Envelope("i", "m", "n", b"secret"))
    await store.commit("i", replace(START, acks=("m",)))
    with closing(sqlite3.connect(tmp_path / "test.db")) as db:
        rows = db.execute("select id, body, unread from ef_inbox").fetchall()

    assert rows == [("m", None, 0)]


def test_consumed_messages_and_old_frames_make_nothing_dearer() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for statement in (*sql.TABLES, *sql.CONNECTION):
            db.execute(statement)
        ids = tuple(f"m{n}" for n in range(2000))

        def write(instance: str, commit: Commit) -> int:
            return steps(db, *insertion(encode(instance, commit)))

        sends = tuple(Envelope("old", i, "n", b"body") for i in ids)
        write("peer", replace(START, sends=sends))
        write("old", replace(START, acks=ids))
        write("new", START)
        waits = replace(START, seq=2, status="suspended", awaiting=("n",))
        full = replace(
            waits,
            seq=3,
            acks=("m1", "m2"),
            restored=("m3",),
            restored_bodies=(b"body",),
            sends=(Envelope("old", "x", "n", b""), Envelope("new", "x", "n", b"")),
        )
        for commit in (waits, full):
            assert write("old", commit) < 1.5 * write("new", commit) + 200
        for read in (sql.UNREAD, sql.LOAD.replace(":instance", "'old'")):
            assert steps(db, read, ("old",) * read.count("?")) < 500


def steps(db: sqlite3.Connection, statement: str, values: Sequence[object]) -> int:
    """Return how many instructions of SQLite's machine a statement takes."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    db.set_progress_handler(count, 1)
    db.execute(statement, values).fetchall()
    db.set_progress_handler(None, 0)
    return taken


# Cancelled awaits, and the end of the loop


async def test_a_commit_that_is_cancelled_before_its_flight_is_not_written(
    store: SqliteStore,
) -> None:
    flying = asyncio.ensure_future(store.commit("flying", START))
    await turns(2)
    waiting = asyncio.ensure_future(store.commit("waiting", START))
    staying = asyncio.ensure_future(store.commit("staying", START))
    await turns(1)
    waiting.cancel()
    await asyncio.gather(flying, staying)

    assert await last(store, "waiting") == 0
    assert [await last(store, i) for i in ("flying", "staying")] == [1, 1]


async def test_a_cancelled_flight_lands_for_the_others(store: SqliteStore) -> None:
    for count in range(20):
        seq = count + 1
        tasks = [
            asyncio.ensure_future(store.commit(i, replace(START, seq=seq)))
            for i in "abc"
        ]
        await turns(count % 7)
        tasks[1].cancel()
        await asyncio.gather(tasks[0], tasks[2])
        with suppress(asyncio.CancelledError):
            await tasks[1]
        if await last(store, "b") < seq:
            await store.commit("b", replace(START, seq=seq))

    assert [await last(store, i) for i in "abc"] == [20, 20, 20]


def test_a_task_goes_on_in_its_own_context(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "test.db")
    mine: ContextVar[str] = ContextVar("mine")

    async def sets() -> str:
        await store.open()
        await store.load("a")
        token = mine.set("kept")
        await store.load("a")
        await store.commit("a", START)
        found = mine.get("lost")
        mine.reset(token)
        await store.close()
        return found

    with asyncio.Runner() as runner:
        assert runner.run(sets(), context=Context()) == "kept"


def test_an_interrupt_in_the_task_of_one_lets_the_rest_of_its_group_land(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "test.db")

    async def interrupted() -> None:
        await store.commit("a", START)
        raise KeyboardInterrupt

    async def group() -> list[asyncio.Task[Any]]:
        await store.open()
        works = interrupted(), store.commit("b", START), store.commit("c", START)
        return [asyncio.ensure_future(work) for work in works]

    async def rest(tasks: list[asyncio.Task[Any]]) -> None:
        await asyncio.gather(*tasks)
        assert await last(store, "c") == 1
        await store.close()

    with asyncio.Runner() as runner:
        first, *others = runner.run(group())
        with pytest.raises(KeyboardInterrupt):
            runner.get_loop().run_until_complete(asyncio.gather(*others))
        assert isinstance(first.exception(), KeyboardInterrupt)
        runner.run(rest(others))


async def test_closing_waits_for_commits_in_flight(
    store: SqliteStore, tmp_path: Path
) -> None:
    commits = [asyncio.ensure_future(store.commit(f"i{n}", START)) for n in range(200)]
    await turns(1)
    await asyncio.gather(store.close(), store.close())
    await asyncio.gather(*commits)
    with pytest.raises(StoreUnavailable, match="call open"):
        await store.commit("late", START)
    assert names(tmp_path) == {"test.db"}

    await store.open()

    assert await last(store, "i199") == 1
    assert await last(store, "late") == 0


def test_a_loop_that_ends_during_a_commit_tears_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "test.db")
    calls: list[asyncio.Task[Committed] | asyncio.Task[Loaded | None]] = []

    async def leave_behind(count: int) -> None:
        await store.open()
        for instance in (f"a{count}", f"b{count}"):
            calls.append(asyncio.create_task(store.commit(instance, START)))
            calls.append(asyncio.create_task(store.load(instance)))
            await turns(count)

    async def look(count: int) -> list[int]:
        with pytest.raises(StoreUnavailable, match="another event loop"):
            await store.load("i")
        await store.open()
        written = [await last(store, f"a{count}"), await last(store, f"b{count}")]
        for instance, seq in zip(("a", "b"), written, strict=True):
            if not seq:
                await store.commit(f"{instance}{count}", START)
        await store.close()
        return written

    for count in range(8):
        with asyncio.Runner() as runner:
            runner.run(leave_behind(count))
        assert asyncio.run(look(count)) <= [1, 1]
    assert all(call.done() for call in calls)


def test_the_thread_outlives_a_loop_that_is_closed_during_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[object] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    store = SqliteStore(tmp_path / "test.db", busy_timeout=10)
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as lock:

        async def leave_behind() -> None:
            await store.open()
            lock.execute("begin immediate")
            calls.append(asyncio.ensure_future(store.commit("i", START)))
            await turns(3)
            calls.append(asyncio.ensure_future(store.unread("i")))
            await turns(3)

        calls: list[asyncio.Future[Any]] = []
        asyncio.run(leave_behind())
        assert all(call.cancelled() for call in calls)
        lock.execute("rollback")

    async def look() -> int:
        await store.open()
        seq = await last(store, "i")
        await store.close()
        return seq

    assert asyncio.run(look()) == 1
    assert died == []


async def test_a_thread_that_was_stopped_takes_nothing_more(store: SqliteStore) -> None:
    session = store._session  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    assert session is not None
    db = session._db  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def stop() -> None:  # as at the end of the thread that opened it
        db.stop()  # pyright: ignore[reportUnknownMemberType]

    await asyncio.to_thread(stop)

    for call in (store.commit("i", START), store.load("i")):
        with pytest.raises(StoreUnavailable, match="is closed"):
            await call


async def test_a_close_that_is_cut_off_lets_what_waits_land(tmp_path: Path) -> None:
    # N-03: aiosqlite forgets its connection then, while its thread has work
    others = set(threading.enumerate())
    store = SqliteStore(tmp_path / "test.db", synchronous="normal")
    await store.open()
    threads = set(threading.enumerate()) - others
    frame = b"x" * 1024 * 1024
    commits = [
        asyncio.ensure_future(store.commit(f"i{n}", replace(START, frames=(frame,))))
        for n in range(24)
    ]
    await turns(2)
    closing_it = asyncio.ensure_future(store.close())
    await turns(2)
    closing_it.cancel()

    answers = await asyncio.gather(*commits, return_exceptions=True)

    assert answers == [Committed()] * 24
    for thread in threads:
        if "connection_worker" in thread.name:  # it answers to this loop
            await asyncio.to_thread(thread.join)


async def test_opening_twice_does_nothing(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    hops = Hops(caplog)
    await store.open()

    assert hops.count() == 0


def test_another_loop_opens_it_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "test.db")

    async def use(seq: int) -> None:
        await store.open()
        await store.commit("i", replace(START, seq=seq))
        await store.close()

    for seq in (1, 2, 3):
        asyncio.run(use(seq))


def test_it_can_be_closed_from_another_loop(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "test.db")
    asyncio.run(store.open())
    asyncio.run(store.close())

    assert names(tmp_path) == {"test.db"}


async def test_two_that_create_the_file_at_once_both_succeed(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "test.db") for _ in range(8)]
    await asyncio.gather(*(each.open() for each in stores))
    answers = await asyncio.gather(
        *(each.commit("i", START) for each in stores), return_exceptions=True
    )

    assert sum(isinstance(answer, Conflict) for answer in answers) == 7
    await asyncio.gather(*(each.close() for each in stores))


def test_an_open_that_the_end_of_the_loop_cancels_leaves_a_quiet_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[BaseException | None] = []

    def hook(args: threading.ExceptHookArgs) -> None:
        died.append(args.exc_value)

    monkeypatch.setattr(threading, "excepthook", hook)

    async def use(store: SqliteStore) -> None:
        try:
            await store.open()
        finally:
            await store.close()

    async def main(turns: int) -> None:
        opening = asyncio.create_task(use(SqliteStore(tmp_path / "x.db")))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancelled()  # it is the end of main that cancels it

    for turns in range(12):
        asyncio.run(main(turns))

    assert died == []
