"""Processes that share a database, fork, are killed, or leave without a word."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.servers.postgres_store import create_database, opened, run
from tests.stores.programs import Programs, finish

if TYPE_CHECKING:
    from pathlib import Path

    from edgeflow.store import Loaded
    from tests.servers.server import Server

PRELUDE = """
import asyncio, os, sys, threading
from dataclasses import replace
from edgeflow.errors import StoreUnavailable
from edgeflow.store import Commit, Envelope
from edgeflow_postgres import PostgresStore

START = Commit(seq=1, frames=(b"f",), token=b"t", workflow="w", status="running",
               due=1.0, now=1.0)
store = PostgresStore.from_url(sys.argv[1])
"""
PROGRAMS = Programs(PRELUDE)


@pytest.fixture(scope="module")
def database(postgres_server: Server) -> str:
    return create_database(postgres_server)


@pytest.fixture
def address(database: str, tmp_path: Path) -> str:
    return f"{database}?ns={tmp_path.name}"


def load(address: str, *instances: str) -> list[Loaded]:
    database, _, namespace = address.partition("?ns=")

    async def read() -> list[Loaded]:
        async with opened(database, namespace) as store:
            found = [await store.load(instance) for instance in instances]
        return [loaded for loaded in found if loaded is not None]

    return asyncio.run(read())


def sent(address: str, to: str) -> list[str]:
    database, _, namespace = address.partition("?ns=")

    async def read() -> list[str]:
        async with opened(database, namespace) as store:
            return [message.id for message in await store.unread(to)]

    return asyncio.run(read())


def test_importing_the_adapter_imports_no_client() -> None:
    before = "import sys; had = {*sys.modules}"
    costly = "{'psycopg', 'psycopg_binary', 'asyncio'}"
    code = (
        f"{before}; from edgeflow_postgres import PostgresStore; "
        f"PostgresStore('postgres://h/d'); print({costly} & ({{*sys.modules}} - had))"
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
def test_an_unclosed_store_neither_hangs_nor_complains(address: str, end: str) -> None:
    # N-16
    script = """
        written = threading.Event()

        async def main():
            await store.open()
            await store.commit("i", START)
            store.commit_sync("i", replace(START, seq=2))
            written.set()

        def stay():
            asyncio.run(main())
            threading.Event().wait()
        """
    finish(PROGRAMS.start(dedent(script) + end, f"{address}&hints=on"))

    assert [loaded.head.seq for loaded in load(address, "i")] == [2]


def test_many_processes_open_a_new_database_at_once(postgres_server: Server) -> None:
    address = create_database(postgres_server)
    script = """
        async def main():
            await store.open()
            await store.commit(sys.argv[2], START)
            await store.close()

        asyncio.run(main())
        """
    names = [f"i{n}" for n in range(4)]
    for process in [PROGRAMS.start(script, address, name) for name in names]:
        finish(process)

    assert len(load(f"{address}?ns=default", *names)) == 4
    assert run(address, "select * from edgeflow.layout") == [(1, 1)]


def test_a_forked_child_opens_connections_of_its_own(address: str) -> None:
    # P-08
    script = """
        async def child():
            try:
                await store.load("i")
            except StoreUnavailable:
                await store.open()
                await store.commit("i", replace(START, seq=3))
                await store.close()

        with asyncio.Runner() as runner:
            runner.run(store.open())
            runner.run(store.commit("i", START))
            store.commit_sync("i", replace(START, seq=2))
            import warnings
            warnings.simplefilter("ignore")  # 3.12 warns of a fork beside threads
            (line,) = store._emergency._lines.values()
            with line.turn:  # as if another thread of the parent were committing
                pid = os.fork()
                if not pid:
                    asyncio.set_event_loop(None)
                    asyncio.events._set_running_loop(None)
                    asyncio.run(child())
                    store.commit_sync("i", replace(START, seq=4))
                    import gc
                    del store, line
                    gc.collect()
                    os._exit(0)
                _, status = os.waitpid(pid, 0)
            store.commit_sync("i", replace(START, seq=5))
            runner.run(store.commit("i", replace(START, seq=6)))
            runner.run(store.close())
            sys.exit(status)
        """
    finish(PROGRAMS.start(script, address))

    assert [loaded.head.seq for loaded in load(address, "i")] == [6]


def test_a_thread_writes_what_is_dirty_while_the_loop_is_stuck(address: str) -> None:
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
    finish(PROGRAMS.start(script, address))

    seqs = [[f.seq for f in each.frames] for each in load(address, "queued", "dirty")]
    assert seqs == [[1, 2], [1, 2]]
    assert [loaded.head.seq for loaded in load(address, "new")] == [1]


def test_a_commit_that_was_acknowledged_outlives_sigkill(address: str) -> None:
    # N-16
    PROGRAMS.kill_once_it_is_told(address)

    assert [loaded.head.seq for loaded in load(address, "i")] == [1]


def test_a_kill_in_the_middle_of_a_commit_leaves_all_of_it_or_nothing(
    address: str,
) -> None:
    # N-05
    PROGRAMS.kill_in_the_middle(
        4, lambda: load(address, "i"), lambda: sent(address, "peer"), address
    )


def test_four_processes_that_write_to_each_other_neither_block_nor_lose_anything(
    address: str,
) -> None:
    # N-15
    script = """
        me, rounds = sys.argv[2], int(sys.argv[3])
        peers = sorted({*"abcd"} - {me})

        async def main():
            await store.open()
            got = 0
            for seq in range(1, rounds + 1):
                acks = tuple(m.id for m in await store.unread(me))
                got += len(acks)
                sends = tuple(Envelope(p, f"{me}{seq}", "n", b"body") for p in peers)
                await store.commit(me, replace(START, seq=seq, acks=acks,
                    snapshot=seq % 50 == 0, sends=sends, awaiting=("n",),
                    status="suspended" if seq % 3 else "running"))
                if seq % 10 == 0:
                    await store.claim(1, 10, 0.001, me)
            await store.close()
            os.write(1, str(got).encode())

        asyncio.run(main())
        """
    rounds = 250
    before = deadlocks(address)
    processes = [PROGRAMS.start(script, address, me, rounds) for me in "abcd"]
    got = [int(finish(process)) for process in processes]

    after = load(address, *"abcd")
    assert [loaded.head.seq for loaded in after] == [rounds] * 4
    left = [len(loaded.messages) for loaded in after]
    assert [a + b for a, b in zip(got, left, strict=True)] == [3 * rounds] * 4
    assert deadlocks(address) == before


def deadlocks(address: str) -> int:
    sql = "select deadlocks from pg_stat_database where datname = current_database()"
    ((count,),) = run(address.partition("?")[0], sql)
    return int(count)


def test_many_claimers_share_what_is_due(address: str) -> None:
    # N-09
    prepare = """
        async def main():
            await store.open()
            waits = replace(START, status="suspended", awaiting=("n",), due=None)
            for n in range(150):
                await store.commit(f"due{n}", START)
                await store.commit(f"told{n}", waits)
                await store.send(Envelope(f"told{n}", "m", "n", b""))
                await store.send(Envelope(f"unborn{n}", "m", "n", b""))
            await store.close()

        asyncio.run(main())
        """
    finish(PROGRAMS.start(prepare, address))
    claim = """
        async def main():
            await store.open()
            misses = 0
            while misses < 3:  # what another one has locked is passed over
                found = await store.claim(0.0, 7, 60.0, "w")
                misses = 0 if found else misses + 1
                for name in found:
                    os.write(1, name.encode() + b" ")
            await store.close()

        asyncio.run(main())
        """
    claimers = [PROGRAMS.start(claim, address) for _ in range(3)]
    found = [name for each in claimers for name in finish(each).decode().split()]

    assert len(found) == len(set(found))
    assert set(found) == {f"{kind}{n}" for kind in ("due", "told") for n in range(150)}
