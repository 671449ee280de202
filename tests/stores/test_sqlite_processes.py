from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import StoreUnavailable
from edgeflow_sqlite import SqliteStore
from tests.stores.programs import Programs, finish

if TYPE_CHECKING:
    from collections.abc import Generator

    from edgeflow.store import Loaded

PRELUDE = """
import asyncio, os, sys, threading
from dataclasses import replace
from edgeflow.errors import StoreUnavailable
from edgeflow.store import Commit, Envelope
from edgeflow_sqlite import SqliteStore

START = Commit(seq=1, frames=(b"f",), token=b"t", workflow="w", status="running",
               due=1.0, now=1.0)
store = SqliteStore(sys.argv[1])
"""
PROGRAMS = Programs(PRELUDE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


def load(path: Path, *instances: str) -> list[Loaded]:
    async def read() -> list[Loaded]:
        store = SqliteStore(path)
        await store.open()
        found = [await store.load(instance) for instance in instances]
        await store.close()
        return [loaded for loaded in found if loaded is not None]

    return asyncio.run(read())


def test_importing_the_adapter_imports_no_sqlite() -> None:
    before = "import sys; had = {*sys.modules}"  # coverage, say, has its own sqlite3
    costly = "{'sqlite3', 'aiosqlite', 'asyncio'}"
    code = (
        f"{before}; import edgeflow_sqlite; print({costly} & ({{*sys.modules}} - had))"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert shown.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "end",
    [
        "asyncio.run(main())",
        "asyncio.run(main()); del store",
        "threading.Thread(target=lambda: asyncio.run(main())).start(); written.wait()",
        "threading.Thread(target=stay, daemon=True).start(); written.wait()",
    ],
)
def test_an_unclosed_store_does_not_hang_the_interpreter(path: Path, end: str) -> None:
    # N-16
    script = """
        written = threading.Event()

        async def main():
            await store.open()
            await store.commit("i", START)
            written.set()

        def stay():
            asyncio.run(main())
            threading.Event().wait()
        """
    finish(PROGRAMS.start(dedent(script) + end, path))

    assert [loaded.head.seq for loaded in load(path, "i")] == [1]


def test_a_thread_that_outlives_the_main_one_keeps_its_store(path: Path) -> None:
    # It must open it while there is one: 3.12 starts no thread at the end.
    script = """
        opened = threading.Event()

        async def main():
            await store.open()
            opened.set()
            while threading.main_thread().is_alive():
                await asyncio.sleep(0)
            for seq in range(1, 20):
                await store.commit("i", replace(START, seq=seq))

        threading.Thread(target=lambda: asyncio.run(main())).start()
        opened.wait()
        """
    finish(PROGRAMS.start(script, path))

    assert [loaded.head.seq for loaded in load(path, "i")] == [19]


def test_a_forked_child_opens_a_connection_of_its_own(path: Path) -> None:
    script = """
        async def child():
            try:
                await store.load("i")
            except StoreUnavailable:
                await store.open()
                await store.commit("i", replace(START, seq=2))
                await store.close()

        with asyncio.Runner() as runner:
            runner.run(store.open())
            runner.run(store.commit("i", START))
            import warnings
            warnings.simplefilter("ignore")  # 3.12 warns of a fork beside threads
            if pid := os.fork():
                _, status = os.waitpid(pid, 0)
                runner.run(store.commit("i", replace(START, seq=3)))
                runner.run(store.close())
                sys.exit(status)
            asyncio.set_event_loop(None)
            asyncio.events._set_running_loop(None)
            asyncio.run(child())
            os._exit(0)
        """
    finish(PROGRAMS.start(script, path))

    assert [loaded.head.seq for loaded in load(path, "i")] == [3]


def test_a_thread_writes_what_is_dirty_while_the_loop_is_stuck(path: Path) -> None:
    # P-08 P-09
    script = """
        names = ("queued", "dirty", "new")

        def watch():
            for name in names:
                store.commit_sync(name, replace(START, seq=1 + (name != "new")))
            os._exit(0)

        async def main():
            await store.open()
            for name in names[:2]:
                await store.commit(name, START)
            queued = asyncio.ensure_future(
                store.commit("queued", replace(START, seq=2)))
            await asyncio.sleep(0)
            threading.Thread(target=watch).start()
            while True:
                pass

        asyncio.run(main())
        """
    finish(PROGRAMS.start(script, path))

    seqs = [[f.seq for f in each.frames] for each in load(path, "queued", "dirty")]
    assert seqs == [[1, 2], [1, 2]]
    assert [loaded.head.seq for loaded in load(path, "new")] == [1]


def test_a_forked_child_commits_without_a_loop_on_a_connection_of_its_own(
    path: Path,
) -> None:
    # P-08
    script = """
        with asyncio.Runner() as runner:
            runner.run(store.open())
            store.commit_sync("i", START)
            (line,) = store._emergency._lines.values()
            import warnings
            warnings.simplefilter("ignore")  # 3.12 warns of a fork beside threads
            with line.turn:  # as if another thread of the parent were committing
                pid = os.fork()
                if not pid:
                    store.commit_sync("i", replace(START, seq=2))
                    os._exit(len(store._emergency._lines) - 2)
                _, status = os.waitpid(pid, 0)
            store.commit_sync("i", replace(START, seq=3))
            runner.run(store.commit("i", replace(START, seq=4)))
            runner.run(store.close())
            sys.exit(status)
        """
    finish(PROGRAMS.start(script, path))

    assert [loaded.head.seq for loaded in load(path, "i")] == [4]


def test_a_commit_that_was_acknowledged_outlives_sigkill(path: Path) -> None:
    # N-16
    PROGRAMS.kill_once_it_is_told(path)

    assert [loaded.head.seq for loaded in load(path, "i")] == [1]


def test_a_kill_in_the_middle_of_a_commit_leaves_all_of_it_or_nothing(
    path: Path,
) -> None:
    # N-05
    PROGRAMS.kill_in_the_middle(
        5, lambda: load(path, "i"), lambda: sent_to_peer(path), path
    )


def sent_to_peer(path: Path) -> list[str]:
    async def read() -> list[str]:
        store = SqliteStore(path)
        await store.open()
        ids = [message.id for message in await store.unread("peer")]
        await store.close()
        return ids

    return asyncio.run(read())


def test_four_processes_share_one_file(path: Path) -> None:
    # N-15
    script = """
        me, peer, rounds = sys.argv[2], sys.argv[3], int(sys.argv[4])

        async def main():
            await store.open()
            got = 0
            for seq in range(1, rounds + 1):
                acks = tuple(m.id for m in await store.unread(me))
                got += len(acks)
                await store.commit(me, replace(START, seq=seq, acks=acks,
                    snapshot=seq % 50 == 0,
                    sends=(Envelope(peer, f"{me}{seq}", "n", b"body"),)))
            await store.close()
            os.write(1, str(got).encode())

        asyncio.run(main())
        """
    rounds = 250
    ring = ["a", "b", "c", "d"]
    processes = [
        PROGRAMS.start(script, path, me, peer, rounds)
        for me, peer in zip(ring, [*ring[1:], ring[0]], strict=True)
    ]
    got = [int(finish(process)) for process in processes]

    after = load(path, *ring)
    assert [loaded.head.seq for loaded in after] == [rounds] * 4
    left = [len(loaded.messages) for loaded in after]
    assert [a + b for a, b in zip(got, left, strict=True)] == [rounds] * 4


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


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
@pytest.mark.parametrize("mode", [0o555, 0o777])
def test_a_read_only_file_is_refused_and_left_alone(mode: int) -> None:
    # Not `tmp_path`: that lies in a directory of the user's own.
    directory = Path(tempfile.mkdtemp())
    try:
        path = directory / "test.db"
        load(path)  # creates it
        before = path.read_bytes()
        path.chmod(0o444)
        directory.chmod(mode)
        with nobody(), pytest.raises(StoreUnavailable, match=r"allow .* to write"):
            load(path)
        directory.chmod(0o755)
        assert path.read_bytes() == before
    finally:
        shutil.rmtree(directory)
