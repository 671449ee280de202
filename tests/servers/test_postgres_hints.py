"""What the store tells other processes, and what it says of its server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from edgeflow.errors import StoreUnavailable
from edgeflow.store import Envelope, Examines
from edgeflow_postgres import PostgresStore
from edgeflow_postgres._examining import Server as Shown
from edgeflow_postgres._examining import examined
from tests.servers.postgres_store import (
    PATIENCE,
    START,
    create_database,
    end_sessions,
    opened,
    run,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from edgeflow.store import Commit
    from tests.servers.server import Server

SENDS = (Envelope("peer", "m", "n", b""),)
LISTENING = "query like 'listen%'"


@pytest.fixture(scope="module")
def address(postgres_server: Server) -> str:
    return create_database(postgres_server)


def listening(address: str) -> int:
    sql = "select 1 from pg_stat_activity where datname = current_database() and "
    return len(run(address, sql + LISTENING))


async def listen(store: PostgresStore, address: str) -> None:
    """Have the store listen, and hear of nothing yet."""
    before = listening(address)
    first = asyncio.ensure_future(store.hint())
    await until(lambda: listening(address) == before + 1)
    async with asyncio.timeout(PATIENCE):
        await first


# Hints


@pytest.mark.parametrize(
    "commit",
    [
        replace(START, lease=30, due=None, sends=SENDS),
        replace(START, status="pending"),
        None,
    ],
    ids=["sends", "is due itself", "a message"],
)
async def test_others_hear_of_what_may_be_due(
    address: str, tmp_path: Path, commit: Commit | None
) -> None:
    name = tmp_path.name
    async with (
        opened(address, name, hints=True) as store,
        opened(address, name, hints=True) as other,
    ):
        await listen(other, address)
        hint = asyncio.ensure_future(other.hint())
        if commit is None:
            await store.send(SENDS[0])
        else:
            await store.commit("i", commit)

        async with asyncio.timeout(PATIENCE):
            await hint


async def test_nobody_hears_of_what_concerns_only_its_owner(
    address: str, tmp_path: Path
) -> None:
    with psycopg.connect(address, autocommit=True) as ears:
        async with opened(address, tmp_path.name, hints=True) as store:
            for channel in channels(store):
                ears.execute(f'listen "{channel}"'.encode())
            await store.commit("i", replace(START, lease=30))
            await store.commit("i", replace(START, seq=2, due=9e9))
            await store.commit("i", replace(START, seq=3, due=None))
            await store.send(SENDS[0])
            assert len(await asyncio.to_thread(heard_first, ears)) == 1
            await store.send(SENDS[0])  # it is known
        heard = [*ears.notifies(timeout=0)]

    assert heard == []


def heard_first(ears: psycopg.Connection[Any]) -> list[psycopg.Notify]:
    return [*ears.notifies(timeout=PATIENCE, stop_after=1)]


def channels(store: PostgresStore) -> list[str]:
    # The channel is nobody's business but the store's.
    notices = store._notices  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return [] if notices is None else [notices._channel]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


async def test_what_happens_at_once_is_told_once(address: str, tmp_path: Path) -> None:
    async with opened(address, tmp_path.name, hints=True) as store:
        with psycopg.connect(address, autocommit=True) as ears:
            for channel in channels(store):
                ears.execute(f'listen "{channel}"'.encode())
            began = asyncio.get_running_loop().time()
            messages = (Envelope("i", f"m{n}", "n", b"") for n in range(100))
            await asyncio.gather(*(store.send(message) for message in messages))
            last = Envelope("i", "last", "n", b"")
            await store.send(last)
            took = asyncio.get_running_loop().time() - began
            await store.close()
            heard = [*ears.notifies(timeout=0)]

    assert 1 <= len(heard) <= 2 + took / 0.05


async def test_namespaces_do_not_hear_each_other_nor_a_store_itself(
    address: str, tmp_path: Path
) -> None:
    async with (
        opened(address, f"{tmp_path.name}/1", hints=True) as store,
        opened(address, f"{tmp_path.name}/2", hints=True) as stranger,
        opened(address, f"{tmp_path.name}/1", hints=True) as other,
    ):
        for each in (store, stranger, other):
            await listen(each, address)
        deaf = [asyncio.ensure_future(each.hint()) for each in (store, stranger)]
        hint = asyncio.ensure_future(other.hint())
        await store.send(SENDS[0])
        async with asyncio.timeout(PATIENCE):
            await hint
        await store.load("i")  # a round trip, in which they would have heard of it

        assert [task.done() for task in deaf] == [False, False]
        for task in deaf:
            task.cancel()


async def test_without_hints_nothing_is_told_and_none_comes(
    address: str, tmp_path: Path
) -> None:
    async with opened(address, tmp_path.name) as store:
        before = listening(address)
        hint = asyncio.ensure_future(store.hint())
        await store.send(SENDS[0])
        assert not hint.done()
        assert listening(address) == before
        hint.cancel()
    with pytest.raises(StoreUnavailable, match="call open"):
        await store.hint()


async def test_a_listener_that_was_cut_off_listens_again(
    address: str, tmp_path: Path
) -> None:
    name = tmp_path.name
    async with (
        opened(address, name, hints=True) as store,
        opened(address, name, hints=True) as other,
    ):
        await listen(other, address)
        assert end_sessions(address, LISTENING) == 1
        await other.commit("i", START)  # it hinders nothing else

        async with asyncio.timeout(PATIENCE):
            await other.hint()  # it may have missed something
        hint = asyncio.ensure_future(other.hint())
        await store.send(SENDS[0])
        async with asyncio.timeout(PATIENCE):
            await hint


async def test_closing_ends_the_listener(address: str, tmp_path: Path) -> None:
    store = PostgresStore(address, namespace=tmp_path.name, hints=True)
    for _ in range(2):
        await store.open()
        before = listening(address)
        hint = asyncio.ensure_future(store.hint())
        await until(lambda: listening(address) == before + 1)  # noqa: B023  used at once
        await store.close()
        assert listening(address) == before
        hint.cancel()


# What the server's settings are worth


SOUND = Shown(
    number=150000,
    version="15.0",
    fsync=True,
    full_page_writes=True,
    synchronous_commit="on",
    standby_names="",
    standbys=0,
    isolation="read committed",
    backend=7,
)


def verdicts(server: Shown, backend: int = 7) -> set[tuple[str, str]]:
    found = examined(server, backend)
    return {(f.verdict, f.text) for f in found if f.verdict != "good"}


async def test_a_sound_server_is_good(address: str) -> None:
    async with opened(address) as store:
        assert isinstance(store, Examines)
        found = await store.examine()

    assert {each.verdict for each in found} == {"good"}
    assert found[0].text.startswith("PostgreSQL 1")


async def test_settings_count_as_they_hold_for_our_own_connection(
    postgres_server: Server,
) -> None:
    address = create_database(postgres_server)
    name = address.rpartition("/")[2]
    run(address, f"alter database {name} set synchronous_commit = off")
    async with opened(address) as store:
        found = await store.examine()

    (bad,) = (each for each in found if each.verdict != "good")
    assert bad.verdict == "bad"
    assert "takes back the last commits" in bad.text
    assert "alter role" in bad.text


@pytest.mark.parametrize(
    ("server", "verdict", "told"),
    [
        (
            replace(SOUND, number=120000, version="12.1"),
            "bad",
            "12.1: edgeflow needs 13",
        ),
        (replace(SOUND, fsync=False), "bad", "Set fsync = on"),
        (replace(SOUND, full_page_writes=False), "bad", "Set full_page_writes = on"),
        (replace(SOUND, standbys=1), "note", "Set synchronous_standby_names"),
        (
            replace(SOUND, standby_names="*", synchronous_commit="local"),
            "bad",
            "a failover loses the last ones",
        ),
        (
            replace(SOUND, standby_names="*", synchronous_commit="remote_write"),
            "note",
            "crashes with the primary",
        ),
        (replace(SOUND, isolation="serializable"), "note", "'read committed'"),
        (replace(SOUND, backend=8), "note", "a pooler stands between"),
    ],
)
def test_what_can_lose_commits_is_told_with_what_to_change(
    server: Shown, verdict: str, told: str
) -> None:
    ((found, text),) = verdicts(server)

    assert found == verdict
    assert told in text
