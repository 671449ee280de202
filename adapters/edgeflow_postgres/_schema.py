"""The tables, in a schema of their own, and the statements that are no function.

All times are seconds since the epoch, as they come: a float8 gives back what it was
given. Ids are ordered by their bytes, whatever the database's own order is.
"""

# ruff: noqa: S608 - every part of a statement is a constant of this package

from __future__ import annotations

from typing import Final

from edgeflow_postgres._functions import FUNCTIONS
from edgeflow_postgres._views import VIEWS

LAYOUT: Final = 1
"""The layout of the tables and functions that this edgeflow uses."""
OLDEST_SERVER: Final = 130000  # older ones are not tested
LOCK: Final = int.from_bytes(b"edgeflow", "big")
"""The key of the advisory lock under which tables are made."""

_NAME = 'text collate "C" not null'

TABLES = (
    # `serves` is the oldest layout whose functions are still there, for processes
    # of an older edgeflow that are yet to be replaced.
    "create table edgeflow.layout(version integer not null, serves integer not null)",
    # Room in each page lets most updates of a head stay in it.
    f"""create table edgeflow.head(
      ns {_NAME}, id {_NAME}, seq bigint not null, token bytea not null,
      workflow text not null, status text not null, wake_at float8, due float8,
      awaits text[] not null, updated float8 not null, lease float8 not null,
      worker text not null, primary key(ns, id)) with (fillfactor = 70)""",
    """create index head_due on edgeflow.head(ns, due, id)
      where due is not null""",
    f"""create table edgeflow.frame(
      ns {_NAME}, instance {_NAME}, seq bigint not null, body bytea not null,
      primary key(ns, instance, seq))""",
    "alter table edgeflow.frame alter body set storage external",
    # A consumed message keeps its row, with unread = false and no body.
    f"""create table edgeflow.inbox(
      ns {_NAME}, instance {_NAME}, id {_NAME}, n bigint generated always as identity,
      name text not null, body bytea, at float8 not null,
      unread boolean not null default true, primary key(ns, instance, id))""",
    # Of the unread only: consumed ids must not make commits dearer.
    """create index inbox_unread on edgeflow.inbox(ns, instance, n)
      where unread""",
    f"""create table edgeflow.wake(
      ns {_NAME}, instance {_NAME}, n bigint generated always as identity,
      primary key(ns, instance, n))""",
)

LAYOUTS = ((*TABLES, *FUNCTIONS, *VIEWS, "insert into edgeflow.layout values(1, 1)"),)
"""What makes layout 1 of nothing, then layout n + 1 of layout n."""

STATE = """select l.version, l.serves,
    (select bool_and(has_table_privilege('edgeflow.' || t, p))
      from pg_catalog.unnest(array['head', 'frame', 'inbox', 'wake']) t,
        pg_catalog.unnest(array['select', 'insert', 'update', 'delete']) p),
    current_setting('server_encoding'), current_setting('transaction_read_only')
  from edgeflow.layout l"""

SERVER = """select current_setting('server_version_num')::integer,
    current_setting('server_encoding'), current_setting('transaction_read_only')"""

WHILE_MAKING = (
    # What others have made in the meantime is to be seen, and what they put into
    # public is not to be taken for the server's own.
    "set transaction isolation level read committed",
    "set local search_path = pg_catalog, pg_temp",
)

IS_THERE = """select to_regnamespace('edgeflow') is not null,
    to_regclass('edgeflow.layout') is not null"""

COMMIT = f"select edgeflow.commit_{LAYOUT}({', '.join(['%s'] * 23)})"
LOAD = f"select * from edgeflow.load_{LAYOUT}(%s, %s)"
SEND = f"select edgeflow.send_{LAYOUT}(%s, %s, %s, %s, %s, %s)"
CLAIM = f"select instance from edgeflow.claim_{LAYOUT}(%s, %s, %s, %s)"
RENEW = f"select edgeflow.renew_{LAYOUT}(%s, %s, %s, %s)"
DELETE = f"select edgeflow.delete_{LAYOUT}(%s, %s)"
LAST = "select seq, token from edgeflow.head where ns = %s and id = %s"
UNREAD = """select id, name, body, at from edgeflow.inbox
  where ns = %s and instance = %s and unread order by n"""
# No function, so that layout 1 stays as it is in every database. All of it has one
# snapshot: only the owner consumes, so what that misses has come since, and makes the
# instance due as ever.
RESUME = """with held as (
    update edgeflow.head set lease = edgeflow.now() + %s, worker = %s
      where ns = %s and id = %s and token = %s
        and status not in ('completed', 'failed', 'cancelled')
        and (lease <= edgeflow.now() or worker = %s) returning 1)
  select i.id, i.name, i.body, i.at from held left join edgeflow.inbox i
    on i.ns = %s and i.instance = %s and i.unread order by i.n"""
CONSUMED = """select id from edgeflow.inbox
  where ns = %s and instance = %s and not unread"""
