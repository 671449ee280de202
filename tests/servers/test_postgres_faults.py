"""The server is killed, and connections are cut, in the middle of what they do."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from edgeflow.errors import OutcomeUnknown, StoreUnavailable
from edgeflow.store import Envelope
from edgeflow.testing.stores.answers import FULL
from edgeflow.testing.stores.parts import picture, settle
from tests.servers.postgres import Postgres
from tests.servers.postgres_store import (
    START,
    create_database,
    end_sessions,
    last,
    opened,
    run,
    until,
    waiting,
)
from tests.servers.server import serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from edgeflow.store import Commit
    from edgeflow_postgres import PostgresStore
    from tests.servers.server import Server


@pytest.fixture(scope="module")
def address(postgres_server: Server) -> str:
    return create_database(postgres_server)


@pytest.fixture(scope="module")
def mortal() -> Iterator[Server]:
    """A server that the tests kill."""
    with serving(Postgres()) as server:
        yield server


# Connections that are cut


async def test_a_connection_that_is_cut_in_a_commit_leaves_it_unknown(
    address: str,
) -> None:
    # N-05 N-06
    async with opened(address, "cut") as store, opened(address, "cut") as other:
        await store.commit("i", START)
        commit = replace(START, seq=2, sends=(Envelope("j", "m", "n", b""),))
        for write in (store.commit, in_thread(store)):
            with psycopg.connect(address) as lock:
                lock.execute("select 1 from edgeflow.head where id = 'i' for update")
                flight = asyncio.ensure_future(write("i", commit))
                await until(lambda: waiting(address) == 1)
                assert end_sessions(address, "wait_event_type = 'Lock'") == 1
                with pytest.raises(OutcomeUnknown, match="in the middle of a call"):
                    await flight
            assert await last(other, "i") == 1
            assert await other.unread("j") == []

        assert await settle(store, "i", commit)
        assert await last(other, "i") == 2
        assert [m.id for m in await other.unread("j")] == ["m"]


def in_thread(store: PostgresStore) -> Callable[[str, Commit], Awaitable[object]]:
    return lambda i, c: asyncio.to_thread(store.commit_sync, i, c)


async def test_a_connection_that_is_cut_in_a_read_wrote_nothing(address: str) -> None:
    # N-06
    async with opened(address, "read") as store:
        with psycopg.connect(address) as lock:
            lock.execute("lock table edgeflow.head in access exclusive mode")
            reading = asyncio.ensure_future(store.load("i"))
            await until(lambda: waiting(address) == 1)
            end_sessions(address, "wait_event_type = 'Lock'")
            with pytest.raises(StoreUnavailable, match="in the middle of a call"):
                await reading

        assert await store.load("i") is None


async def test_a_fault_at_any_statement_of_a_commit_changes_nothing(
    address: str,
) -> None:
    # N-05
    statements = (
        *("update on edgeflow.head", "insert on edgeflow.frame"),
        *("delete on edgeflow.frame", "update on edgeflow.inbox"),
        *("insert on edgeflow.inbox", "insert on edgeflow.wake"),
    )
    run(
        address,
        """create function public.fail() returns trigger language plpgsql as
        $$ begin raise exception 'the disk' using errcode = '58030'; end $$""",
    )
    commit = replace(FULL, snapshot=True, sends=(Envelope("peer", "n", "b", b""),))
    async with opened(address, "faults") as store:
        await store.commit("peer", replace(START, status="suspended"))
        for message_id in ("m", "r"):
            await store.send(Envelope("i", message_id, "a", b""))
        await store.commit("i", replace(START, token=FULL.token, acks=("r",)))
        before = await picture(store, "i", "peer")
        for statement in statements:
            run(
                address,
                f"create trigger fail after {statement} for each row "
                "execute function public.fail()",
            )
            with pytest.raises(StoreUnavailable, match="the disk"):
                await store.commit("i", commit)
            table = statement.rpartition(" ")[2]
            run(address, f"drop trigger fail on {table}")
            assert await picture(store, "i", "peer") == before

        await store.commit("i", commit)

        assert await last(store, "i") == 3
        assert [m.id for m in await store.unread("i")] == ["r"]
        assert [m.id for m in await store.unread("peer")] == ["n"]


async def test_sessions_that_end_under_load_lose_nothing_acknowledged(
    address: str,
) -> None:
    # N-05 N-06
    async with opened(address, "load") as store:
        writers = [Writer(f"i{n}") for n in range(6)]
        tasks = [asyncio.ensure_future(each.write(store)) for each in writers]
        for round_ in range(1, 11):
            await until(lambda: min(w.acknowledged for w in writers) >= 5 * round_)  # noqa: B023  used at once
            await asyncio.to_thread(end_sessions, address)
        for each in writers:
            each.stop = True
        await asyncio.gather(*tasks)

        for each in writers:
            await each.check(store)
    assert sum(each.unknown for each in writers) > 0


# The server is killed


async def test_a_killed_server_loses_nothing_acknowledged(mortal: Server) -> None:
    # N-05 N-06
    address = create_database(mortal)
    async with opened(address) as store:
        writers = [Writer(f"i{n}") for n in range(6)]
        tasks = [asyncio.ensure_future(each.write(store)) for each in writers]
        for round_ in range(1, 3):
            await until(lambda: min(w.acknowledged for w in writers) >= 20 * round_)  # noqa: B023  used at once
            mortal.kill()
            await until(lambda: all(w.refused for w in writers))
            await asyncio.to_thread(mortal.start)
            for each in writers:
                each.refused = False
        for each in writers:
            each.stop = True
        await asyncio.gather(*tasks)

        for each in writers:
            await each.check(store)


async def test_while_the_server_is_away_nothing_is_unknown(mortal: Server) -> None:
    # N-06
    address = create_database(mortal)
    async with opened(address, hints=True) as store:
        await store.commit("i", START)
        store.commit_sync("i", replace(START, seq=2))
        hint = asyncio.ensure_future(store.hint())
        mortal.kill()
        calls: list[Awaitable[object]] = [
            store.commit("i", replace(START, seq=3)),
            asyncio.to_thread(store.commit_sync, "i", replace(START, seq=3)),
            store.send(Envelope("i", "m", "n", b"")),
            store.load("i"),
            store.claim(1, 1, 1, "w"),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                await call
        await asyncio.to_thread(mortal.start)

        assert await last(store, "i") == 2
        assert await store.unread("i") == []
        await store.commit("i", replace(START, seq=3))
        store.commit_sync("i", replace(START, seq=4))
        hint.cancel()
        with suppress(asyncio.CancelledError):
            await hint


class Writer:
    """Commits to one instance, and settles each answer that it does not get."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.acknowledged = 0
        self.unknown = 0
        self.refused = False
        self.stop = False

    async def write(self, store: PostgresStore) -> None:
        for seq in itertools.count(1):
            if self.stop:
                return
            sends = (Envelope("peer", f"{self.instance}/{seq}", "n", b""),)
            await self._write(store, replace(START, seq=seq, sends=sends))
            self.acknowledged = seq

    async def _write(self, store: PostgresStore, commit: Commit) -> None:
        is_unknown = False
        while True:
            try:
                if not is_unknown:
                    await store.commit(self.instance, commit)
                else:
                    assert await settle(store, self.instance, commit)
            except OutcomeUnknown:
                self.unknown += 1
                is_unknown = True
            except StoreUnavailable:
                self.refused = True
                await asyncio.sleep(0.01)
            else:
                return

    async def check(self, store: PostgresStore) -> None:
        """See that all that was acknowledged is there, and once."""
        loaded = await store.load(self.instance)
        assert loaded is not None
        assert [f.seq for f in loaded.frames] == [*range(1, self.acknowledged + 1)]
        told = [m.id for m in await store.unread("peer")]
        mine = [each for each in told if each.startswith(f"{self.instance}/")]
        assert len(mine) == len(set(mine)) == self.acknowledged
