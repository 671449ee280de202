"""Databases that others have shaped: their statistics, functions and settings."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from edgeflow.store import Envelope
from edgeflow_postgres import PostgresStore
from edgeflow_postgres import _schema as sql
from edgeflow_postgres._rows import encode
from tests.servers.postgres_store import START, create_database, last, opened, run

if TYPE_CHECKING:
    from collections.abc import Generator

    from edgeflow.store import Commit
    from tests.servers.server import Server

WAITS = replace(START, status="suspended", awaiting=("n",), due=None)
MANY = 3000
FEW = 60
"""Rows that a call may read, of so many: each row twice or thrice is fine."""

BULK = f"""
insert into edgeflow.head
  select 'default', 'z' || g, 1, 't', 'w', 'suspended', null, null, '{{n}}', 1, 0, ''
  from generate_series(1, {MANY}) g;
insert into edgeflow.inbox(ns, instance, id, name, body, at, unread)
  select 'default', 'z' || g, 'm', 'n', null, 0, false
  from generate_series(1, {MANY}) g;
insert into edgeflow.inbox(ns, instance, id, name, body, at, unread)
  select 'default', 'z1', 'm' || g, 'n', null, 0, false
  from generate_series(1, {MANY}) g;
insert into edgeflow.frame(ns, instance, seq, body)
  select 'default', 'z' || g, 1, 'f' from generate_series(1, {MANY}) g"""

READ = """select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::integer
  from pg_stat_xact_user_tables where schemaname = 'edgeflow'"""

# An exact match in public would go before what the server has for any type.
STRANGERS = """
create function public.stop() returns void language plpgsql as $$ begin
  raise exception 'a stranger was called'; end $$;
create function public.cardinality(text[]) returns integer language sql as $$
  select public.stop(); select 0 $$;
create function public.cardinality(bytea[]) returns integer language sql as $$
  select public.stop(); select 0 $$;
create function public.unnest(text[]) returns setof text language sql as $$
  select public.stop(); select '' $$;
create function public.unnest(bytea[]) returns setof bytea language sql as $$
  select public.stop(); select ''::bytea $$;
create function public.hashtextextended(text, integer) returns bigint language sql as $$
  select public.stop(); select 0::bigint $$;
create function public.format(text, text, text) returns text language sql as $$
  select public.stop(); select '' $$;
create function public.differs(float8, integer) returns boolean language sql as $$
  select public.stop(); select true $$;
create function public.differs(float8, numeric) returns boolean language sql as $$
  select public.stop(); select true $$;
create operator public.> (
  leftarg = float8, rightarg = integer, function = public.differs);
create operator public.>= (
  leftarg = float8, rightarg = numeric, function = public.differs);
create operator public.<= (
  leftarg = float8, rightarg = numeric, function = public.differs)"""


@pytest.fixture
def address(postgres_server: Server) -> str:
    return create_database(postgres_server)


def isolate(address: str, level: str) -> None:
    name = address.rpartition("/")[2]
    run(address, f"alter database {name} set default_transaction_isolation = '{level}'")


class Session:
    """One session of the server, which keeps its plans."""

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self.db = db

    def reads(self, statement: str, values: list[object]) -> int:
        """Run a statement, and count the rows that the server looked at."""
        ((before,),) = self.db.execute(READ)
        self.db.execute(statement.encode(), values).fetchall()
        ((after,),) = self.db.execute(READ)
        self.db.commit()
        return int(after - before)

    def commit(self, instance: str, commit: Commit) -> int:
        return self.reads(sql.COMMIT, encode("default", instance, commit))

    def send(self, to: str, message_id: str) -> int:
        return self.reads(sql.SEND, ["default", to, message_id, "n", b"", 0.0])

    def resume(self, instance: str) -> int:
        key = ("default", instance)
        return self.reads(sql.RESUME, [0.0, "w", *key, b"t", "w", *key])

    def all_calls(self, new: str, old: str) -> dict[str, int]:
        """Start an instance, and do with it and another one what can be done."""
        mail = (Envelope(old, f"s{new}", "n", b""),)
        changed = replace(WAITS, snapshot=True, acks=("m",), sends=mail)
        taken = replace(
            WAITS, opens=True, acks=("m2",), restored=("m",), restored_bodies=(b"",)
        )
        return {
            "start": self.commit(new, WAITS),
            "commit": self.commit(new, replace(changed, seq=2)),
            "send": self.send(old, f"t{new}") + self.send(new, "m"),
            "claim": self.reads(sql.CLAIM, ["default", 10, 0.0, "w"]),
            "load": self.reads(sql.LOAD, ["default", old]),
            "open": self.commit(old, replace(taken, seq=self.last(old) + 1)),
            "renew": self.reads(sql.RENEW, ["default", old, b"t", 0.0]),
            "resume": self.resume(old),
            "unread": self.reads(sql.UNREAD, ["default", old]),
            "delete": self.reads(sql.DELETE, ["default", new]),
        }

    def last(self, instance: str) -> int:
        row = self.db.execute(sql.LAST.encode(), ["default", instance]).fetchone()
        self.db.commit()
        return int(row[0]) if row else 0


@contextmanager
def session(address: str) -> Generator[Session]:
    with psycopg.connect(address, prepare_threshold=None) as db:
        yield Session(db)


async def test_plans_made_for_small_tables_are_good_for_large_ones(
    address: str,
) -> None:
    # G15 N-09
    async with opened(address) as store:
        await store.commit("old", WAITS)
    run(address, "vacuum analyze")
    with session(address) as kept, session(address) as fresh, session(address) as late:
        for n in range(8):  # after five the server keeps a plan
            kept.all_calls(f"a{n}", "old")
        run(address, BULK)
        found = [kept.all_calls("b", "z1"), fresh.all_calls("c", "z2")]
        run(address, "analyze")
        found.append(late.all_calls("d", "z3"))

    for counts in found:
        assert {name: n for name, n in counts.items() if n > FEW} == {}


async def test_what_others_put_into_public_is_not_called(address: str) -> None:
    run(address, STRANGERS)
    message = Envelope("j", "m", "n", b"")
    async with opened(address) as store:
        await store.commit("i", replace(START, lease=1.0, frames=(b"a", b"b")))
        await store.commit("i", replace(WAITS, seq=3, snapshot=True, sends=(message,)))
        await store.commit("j", WAITS)
        await store.send(replace(message, to="i"))

        assert await store.claim(1, 10, 30, "w") == ["i", "j"]
        assert await store.resume("i", b"t", 1, 30, "another") is None
        assert await store.resume("i", b"t", 1, 30, "w") == [replace(message, to="i")]
        assert await last(store, "i") == 3
        await store.delete("i")
    async with opened(address):  # it looks whether all is there
        pass
    assert run(address, "select id from edgeflow.instances") == [("j",)]
    assert run(address, 'select edgeflow.show_1(\'[["step", "a", 0]]\')') == [("a[0]",)]


async def test_many_that_create_it_at_once_see_each_other_at_any_isolation(
    address: str,
) -> None:
    isolate(address, "repeatable read")
    stores = [PostgresStore(address) for _ in range(8)]

    await asyncio.gather(*(store.open() for store in stores))

    assert run(address, "select * from edgeflow.layout") == [(1, 1)]
    for store in stores:
        await store.close()


async def test_a_start_and_a_claim_with_old_snapshots_lose_no_message(
    address: str,
) -> None:
    # N-08
    async with opened(address):
        pass
    isolate(address, "repeatable read")
    async with opened(address) as store:
        with psycopg.connect(address) as starting, psycopg.connect(address) as claiming:
            starting.execute("select 1")
            await store.send(Envelope("i", "m", "n", b""))
            claiming.execute("select 1")

            starting.execute(sql.COMMIT.encode(), encode("default", "i", WAITS))
            starting.commit()
            claiming.execute(sql.CLAIM.encode(), ["default", 10, 30.0, "w"])

        assert await store.claim(1, 10, 30, "w") == ["i"]
        assert run(address, "select * from edgeflow.wake") == []
