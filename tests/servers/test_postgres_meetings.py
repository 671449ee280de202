"""Transactions that meet, each stopped right before its end (N-04, N-08, N-15)."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from edgeflow.errors import Conflict
from edgeflow.store import Envelope
from edgeflow_postgres import _schema as sql
from edgeflow_postgres._rows import encode
from tests.servers.postgres_store import (
    START,
    create_database,
    last,
    opened,
    run,
    until,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from pathlib import Path

    from edgeflow.store import Commit
    from edgeflow_postgres import PostgresStore
    from tests.servers.server import Server

WAITS = replace(START, status="suspended", awaiting=("n",), due=None)
MESSAGE = Envelope("i", "m", "n", b"")


@pytest.fixture(scope="module")
def address(postgres_server: Server) -> str:
    return create_database(postgres_server)


@pytest.fixture
def namespace(tmp_path: Path) -> str:
    return tmp_path.name


@pytest.fixture
async def store(address: str, namespace: str) -> AsyncIterator[PostgresStore]:
    async with opened(address, namespace) as store:
        yield store


class Stopped:
    """Calls of another process, in a transaction that ends with the block."""

    def __init__(self, db: psycopg.Connection[Any], namespace: str) -> None:
        self._db = db
        self._namespace = namespace

    def commit(self, instance: str, commit: Commit) -> None:
        values = encode(self._namespace, instance, commit)
        assert self._db.execute(sql.COMMIT.encode(), values).fetchone() == (True,)

    def send(self, m: Envelope) -> None:
        values = (self._namespace, m.to, m.id, m.name, m.body, m.at)
        assert self._db.execute(sql.SEND.encode(), values).fetchone() == ("sent",)

    def claim(self) -> list[str]:
        values = (self._namespace, 10, 0.0, "w")
        return [name for (name,) in self._db.execute(sql.CLAIM.encode(), values)]


@contextmanager
def stopped(address: str, namespace: str) -> Generator[Stopped]:
    with psycopg.connect(address) as db:
        yield Stopped(db, namespace)


async def due(store: PostgresStore) -> list[str]:
    return list(await store.claim(0, 10, 0.0, "w"))


@pytest.mark.parametrize("seq", [1, 2])
async def test_a_message_wakes_though_neither_it_nor_the_suspension_sees_the_other(
    store: PostgresStore, address: str, namespace: str, seq: int
) -> None:
    # N-08
    if seq > 1:
        await store.commit("i", START)
    with stopped(address, namespace) as other:
        other.commit("i", replace(WAITS, seq=seq))
        await store.send(MESSAGE)
        assert await due(store) == []

    assert await due(store) == ["i"]


async def test_a_message_that_is_not_there_yet_when_the_instance_suspends_wakes(
    store: PostgresStore, address: str, namespace: str
) -> None:
    # N-08
    await store.commit("i", START)
    with stopped(address, namespace) as other:
        other.send(MESSAGE)
        await store.commit("i", replace(WAITS, seq=2))
        assert await due(store) == []

    assert await due(store) == ["i"]


async def test_a_claim_in_flight_takes_no_wake_that_it_does_not_see(
    store: PostgresStore, address: str, namespace: str
) -> None:
    # N-08
    await store.commit("i", WAITS)
    await store.send(MESSAGE)
    with stopped(address, namespace) as other:
        assert other.claim() == ["i"]
        await store.send(replace(MESSAGE, id="m2"))
        assert await due(store) == []  # it is locked

    await store.commit("i", replace(WAITS, seq=2, acks=("m",)))
    assert await due(store) == ["i"]


async def test_two_that_write_to_each_other_do_not_wait_for_each_other(
    store: PostgresStore, address: str, namespace: str
) -> None:
    # N-15
    for instance in ("i", "j"):
        await store.commit(instance, WAITS)
    to_i = replace(WAITS, seq=2, sends=(MESSAGE,))
    to_j = replace(WAITS, seq=2, sends=(replace(MESSAGE, to="j"),))
    with stopped(address, namespace) as other:
        other.commit("i", to_j)
        await store.commit("j", to_i)
        assert waiting(address) == 0

    assert await due(store) == ["i", "j"]


async def test_an_owner_that_was_replaced_waits_for_the_other_and_is_refused(
    store: PostgresStore, address: str, namespace: str
) -> None:
    # N-03 N-04
    await store.commit("i", START)
    with stopped(address, namespace) as other:
        other.commit("i", replace(START, seq=2, token=b"other", opens=True))
        late = asyncio.ensure_future(store.commit("i", replace(START, seq=2)))
        await until(lambda: waiting(address) == 1)
    with pytest.raises(Conflict):
        await late

    assert await last(store, "i") == 2


async def test_who_resumes_waits_for_a_new_owner_and_is_refused(
    store: PostgresStore, address: str, namespace: str
) -> None:
    # N-04 N-09
    await store.commit("i", WAITS)
    with stopped(address, namespace) as other:
        other.commit("i", replace(START, seq=2, token=b"other", opens=True))
        late = asyncio.ensure_future(store.resume("i", b"t", 0, 30, "w"))
        await until(lambda: waiting(address) == 1)

    assert await late is None
    assert await due(store) == ["i"]


async def test_a_message_that_a_resume_does_not_see_makes_due_when_that_rests(
    store: PostgresStore, address: str, namespace: str
) -> None:
    # N-08 N-09
    await store.commit("i", replace(WAITS, due=1.0))
    with stopped(address, namespace) as other:
        assert other.claim() == ["i"]
        resuming = asyncio.ensure_future(store.resume("i", b"t", 0, 30, "w"))
        await until(lambda: waiting(address) == 1)
        await store.send(MESSAGE)
    assert await resuming == []
    assert await due(store) == []

    await store.commit("i", replace(WAITS, seq=2))

    assert await due(store) == ["i"]


async def test_a_delete_waits_for_a_start_in_flight_and_removes_it(
    store: PostgresStore, address: str, namespace: str
) -> None:
    # N-14
    with stopped(address, namespace) as other:
        other.commit("i", replace(START, sends=(MESSAGE,)))
        deleting = asyncio.ensure_future(store.delete("i"))
        await until(lambda: waiting(address) == 1)
    await deleting

    assert await store.load("i") is None
    assert await store.unread("i") == []


async def test_wakes_do_not_stay_behind(
    store: PostgresStore, address: str, namespace: str
) -> None:
    # N-08
    def wakes() -> list[str]:
        statement = "select instance from edgeflow.wake where ns = %s order by 1"
        return [name for (name,) in run(address, statement, namespace)]

    await store.commit("runs", replace(START, due=None))
    await store.commit("waits", replace(WAITS, due=None))
    await store.commit("ended", START)
    for name in ("runs", "waits", "ended", "unborn", "deleted"):
        await store.send(replace(MESSAGE, to=name, name="unheard of"))
    await store.commit("ended", replace(START, seq=2, status="failed"))
    await store.delete("deleted")
    assert wakes() == ["ended", "runs", "unborn", "waits"]
    await store.commit("waits", replace(WAITS, seq=2))
    assert wakes() == ["ended", "runs", "unborn"]

    assert await due(store) == []

    assert wakes() == []
    await store.commit("unborn", replace(WAITS, awaiting=("unheard of",)))
    assert await due(store) == ["unborn"]
