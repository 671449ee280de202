"""Databases for tests of the PostgreSQL store, and what is asked of them directly."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from edgeflow.store import Commit
from edgeflow_postgres import PostgresStore
from tests.servers.postgres import url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from edgeflow.store import Limits, Store
    from tests.servers.server import Server

START = Commit(
    seq=1, frames=(b"f",), token=b"t", workflow="w", status="running", due=1.0, now=1.0
)
PATIENCE = 10.0
"""Seconds for what another process or task does."""

CLOCK = """create or replace function edgeflow.now() returns float8 language sql as $$
  select coalesce((select at from public.clock),
    extract(epoch from clock_timestamp())::float8) $$"""


def create_database(server: Server) -> str:
    """Make a database for some tests, and give its URL."""
    name = f"test_{uuid.uuid4().hex}"
    run(url(server.port), f"create database {name}")
    return url(server.port, name)


def run(address: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Run a statement on a connection of its own."""
    with psycopg.connect(address, autocommit=True) as db:
        cursor = db.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def end_sessions(address: str, condition: str = "true") -> int:
    """Have the server end the sessions of a database, and wait until they are gone."""
    ended = run(
        address,
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = "
        f"current_database() and pid <> pg_backend_pid() and {condition}",
    )
    return len(ended)


@asynccontextmanager
async def opened(
    address: str, namespace: str = "default", **settings: Any
) -> AsyncGenerator[PostgresStore]:
    """Have an open store for a block."""
    store = PostgresStore(address, namespace=namespace, **settings)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def last(store: Store, instance: str) -> int:
    loaded = await store.load(instance)
    return 0 if loaded is None else loaded.head.seq


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what others do, and fail if they do not."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  of another process
            await asyncio.sleep(0.005)


def waiting(address: str) -> int:
    """How many statements of the database wait for a lock."""
    ((count,),) = run(
        address,
        "select count(*) from pg_stat_activity where datname = current_database() "
        "and wait_event_type = 'Lock'",
    )
    return int(count)


class Clocked:
    """Stores of a database whose clock the tests set, one after the other."""

    address = ""
    now: float | None = None
    db: psycopg.Connection[Any]

    @classmethod
    def create(cls, server: Server) -> None:
        """Make the database; what it answers need not outlive a power cut."""
        cls.address, cls.now = create_database(server), None
        name = cls.address.rpartition("/")[2]
        run(cls.address, f"alter database {name} set synchronous_commit = off")
        asyncio.run(cls._lay_out())
        cls.db = psycopg.connect(cls.address, autocommit=True, prepare_threshold=None)
        cls.db.execute("create table public.clock(at float8)")
        cls.db.execute("insert into public.clock values(null)")
        cls.db.execute(CLOCK)

    @classmethod
    async def _lay_out(cls) -> None:
        async with opened(cls.address):
            pass

    async def open_store(self, where: Path) -> Store:
        store = PostgresStore(self.address, namespace=where.name, timeout=9)
        store.limits = self.limits(store.limits)
        await store.open()
        return store

    def limits(self, limits: Limits) -> Limits:
        return limits

    async def set_clock(self, store: Store, now: float) -> None:
        if Clocked.now != now:
            self.db.execute("update public.clock set at = %s", [now])
            Clocked.now = now
