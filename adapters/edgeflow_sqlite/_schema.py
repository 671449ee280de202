"""The tables in the file, and the views and triggers of each connection.

The views and triggers are temporary, so code and file cannot disagree. One INSERT
of one or several commits is an implicit transaction of its own: no cancelled await
can split it, nor leave it open, and no other thread of Python's can make it wait in
the middle. `raise(abort)` rolls the whole statement back.
"""

# ruff: noqa: S608 - every part of a statement is a constant of this module

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

APPLICATION_ID = int.from_bytes(b"edgf", "big")
"""`pragma application_id` of a file that is ours."""
VERSION = 1
"""`pragma user_version` of the tables below."""
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables: https://sqlite.org/stricttables.html

TABLES = (
    """create table ef_head(
      id text primary key, seq integer not null, token blob not null,
      workflow text not null, status text not null, wake_at real, due real,
      awaits text not null, updated real not null, lease real not null,
      worker text not null) strict, without rowid""",
    "create index ef_head_due on ef_head(due) where due is not null",
    """create table ef_frame(
      instance text not null, seq integer not null, snap integer not null,
      body blob not null, primary key(instance, seq)) strict, without rowid""",
    # A consumed message keeps its row, with unread = 0 and no body.
    """create table ef_inbox(
      n integer primary key, instance text not null, id text not null,
      name text not null, body blob, at real not null,
      unread integer not null default 1, unique(instance, id)) strict""",
    # Of the unread only: consumed ids must not make commits dearer.
    "create index ef_inbox_unread on ef_inbox(instance, name, at) where unread",
)

PLAIN_COLUMNS = (
    *("instance", "first", "opens", "token", "body", "workflow", "status"),
    *("wake_at", "due", "awaits", "now", "lease", "worker"),
)
"""Of a commit of one frame, not the first, that changes nothing but its head."""

COMMIT_COLUMNS = (
    *PLAIN_COLUMNS,
    *("kind", "seq", "snap"),
    # JSON, or null for none: [id, …], [[id, start, length], …] and
    # [[to, id, name, start, length, at], …]; start counts from 1 in `bodies`.
    *("acks", "restored", "sends", "bodies"),
)

PLAIN, PART, START, NEXT = range(4)
"""Kinds of rows: a plain commit; a frame before the last one; the last frame of a
commit from number 1 on, and of another one, with whatever else there is."""

_ENDED = "('completed','failed','cancelled')"

_FRAME = """
  insert into ef_frame
    values(new.instance, new.seq, new.snap and new.seq = new.first, new.body);
"""

_HEAD = """
  update ef_head set seq = {seq}, token = new.token, workflow = new.workflow,
      status = new.status, wake_at = new.wake_at, awaits = new.awaits,
      updated = new.now, lease = new.lease, worker = new.worker
    where id = new.instance and seq = new.first - 1
      and (token = new.token or new.opens);
  select raise(abort, 'ef:conflict') where changes() = 0;
  -- By itself, because it costs a page of an index, and seldom changes.
  update ef_head set due = new.due where id = new.instance and due is not new.due;
"""

_PLAIN = f"""
  {_HEAD.format(seq="new.first")}
  insert into ef_frame values(new.instance, new.first, 0, new.body);
"""

# What an unread message under an awaited name does to `due`. `ef_head` is the row
# to be updated; one statement for the receivers and one for the committer itself,
# because an `or` between them is five times dearer.
_WAKE = """
  update ef_head set due = (
      select min(i.at) from ef_inbox i where i.instance = ef_head.id and i.unread
        and i.name in (select value from json_each(ef_head.awaits)))
    where {} and status = 'suspended' and exists(
      select 1 from ef_inbox i where i.instance = ef_head.id and i.unread
        and i.at < ifnull(ef_head.due, 9e99)
        and i.name in (select value from json_each(ef_head.awaits)));
"""
_WAKE_RECEIVERS = _WAKE.format(
    "new.sends is not null"
    " and id in (select json_extract(value, '$[0]') from json_each(new.sends))"
)
_WAKE_SELF = _WAKE.format(
    "new.status = 'suspended' and id = new.instance and exists("
    "select 1 from ef_inbox where instance = new.instance and unread)"
)

_REST = f"""
  {_FRAME}
  delete from ef_frame
    where new.snap and instance = new.instance and seq < new.first;
  update ef_inbox set unread = 0, body = null
    where new.acks is not null and instance = new.instance
      and id in (select value from json_each(new.acks));
  -- An upsert, because an UPDATE ... FROM would scan the consumed ids each time.
  insert into ef_inbox(instance, id, name, body, at)
    select i.instance, i.id, i.name, ifnull(substr(new.bodies,
        json_extract(j.value, '$[1]'), json_extract(j.value, '$[2]')), x''), i.at
    from json_each(new.restored) j cross join ef_inbox i
    where new.restored is not null
      and i.instance = new.instance and i.id = json_extract(j.value, '$[0]')
    on conflict(instance, id) do update set unread = 1, body = excluded.body;
  insert into ef_inbox(instance, id, name, body, at)
    select json_extract(value, '$[0]'), json_extract(value, '$[1]'),
      json_extract(value, '$[2]'),
      ifnull(substr(new.bodies, json_extract(value, '$[3]'),
        json_extract(value, '$[4]')), x''),  -- substr of an empty blob is null
      json_extract(value, '$[5]')
    from json_each(new.sends) where new.sends is not null and not exists(
      select 1 from ef_head h
      where h.id = json_extract(value, '$[0]') and h.status in {_ENDED})
    on conflict(instance, id) do nothing;
  {_WAKE_RECEIVERS}
  {_WAKE_SELF}
"""


def _nulls(columns: Sequence[str]) -> str:
    return ", ".join(f"null as {name}" for name in columns)


CONNECTION = (
    f"create temp view ef_plain as select {_nulls(PLAIN_COLUMNS)}",
    f"""create temp trigger ef_alone instead of insert on ef_plain
      when new.instance is not null begin {_PLAIN} end""",
    f"create temp view ef_commit as select {_nulls(COMMIT_COLUMNS)}",
    # The conditions exclude each other: triggers on one row fire in no order.
    # None holds for a row of nulls, which fills a group up.
    f"""create temp trigger ef_among instead of insert on ef_commit
      when new.kind = {PLAIN} begin {_PLAIN} end""",
    f"""create temp trigger ef_part instead of insert on ef_commit
      when new.kind = {PART} begin {_FRAME} end""",
    f"""create temp trigger ef_start instead of insert on ef_commit
      when new.kind = {START} begin
      insert into ef_head values(new.instance, new.seq, new.token, new.workflow,
        new.status, new.wake_at, new.due, new.awaits, new.now, new.lease, new.worker);
      {_REST} end""",
    f"""create temp trigger ef_next instead of insert on ef_commit
      when new.kind = {NEXT} begin {_HEAD.format(seq="new.seq")} {_REST} end""",
    """create temp view ef_send as
      select null as instance, null as id, null as name, null as body, null as at""",
    f"""create temp trigger ef_put instead of insert on ef_send begin
      select raise(abort, 'ef:known') where exists(
        select 1 from ef_inbox where instance = new.instance and id = new.id);
      select raise(abort, 'ef:finished') where exists(
        select 1 from ef_head where id = new.instance and status in {_ENDED});
      insert into ef_inbox(instance, id, name, body, at)
        values(new.instance, new.id, new.name, new.body, new.at);
      update ef_head set due = new.at
        where id = new.instance and status = 'suspended'
          and new.at < ifnull(due, 9e99)
          and new.name in (select value from json_each(awaits));
      end""",
    "create temp view ef_delete as select null as instance",
    """create temp trigger ef_forget instead of insert on ef_delete begin
      delete from ef_head where id = new.instance;
      delete from ef_frame where instance = new.instance;
      delete from ef_inbox where instance = new.instance; end""",
)

LAST = "select seq, token from ef_head where id = ?"

SEND = "insert into ef_send values(?, ?, ?, ?, ?)"
DELETE = "insert into ef_delete values(?)"

UNREAD = """select n, id, name, body, at from ef_inbox indexed by ef_inbox_unread
  where instance = ? and unread order by n"""

CONSUMED = "select id from ef_inbox where instance = ? and not unread order by n"

# One statement is one snapshot.
LOAD = """
  select 0 as kind, seq as n, token as body, workflow as a, status as b,
      wake_at as at, awaits as c, updated as d, lease as e
    from ef_head where id = :instance
  union all select 1, seq, body, null, null, null, null, null, null
    from ef_frame where instance = :instance
  union all select 2, n, body, id, name, at, null, null, null
    from ef_inbox indexed by ef_inbox_unread where instance = :instance and unread
"""

# Heads that must not be claimed have no `due`.
CLAIM = """update ef_head set lease = :until, worker = :worker where id in (
    select id from ef_head where due <= :now and lease <= :now
    order by due, id limit :limit)
  returning due, id"""

RENEW = f"""update ef_head set lease = :until
  where id = :instance and token = :token and status not in {_ENDED} returning 1"""

RESUME = f"""update ef_head set lease = :until, worker = :worker
  where id = :instance and token = :token and status not in {_ENDED}
    and (lease <= :now or worker = :worker) returning 1"""

FIND = """select id, seq, token, workflow, status, wake_at, awaits, updated, lease
  from ef_head {where} order by id limit :limit"""

RUNNING = """select sqlite_version(), j.journal_mode
  from pragma_journal_mode j"""

STATE = """select a.application_id, u.user_version,
    (select count(*) from sqlite_master)
  from pragma_application_id a, pragma_user_version u"""


def settings(synchronous: str) -> tuple[str, ...]:
    """Return what each connection is told before it writes."""
    return (
        f"pragma synchronous={synchronous}",
        "pragma fullfsync=1",  # macOS; elsewhere it does nothing
        "pragma temp_store=memory",
    )


@cache
def insert(rows: int, *, plain: bool) -> str:
    """Return the statement that writes `rows` rows of commits, all plain or any."""
    view, columns = (
        ("ef_plain", PLAIN_COLUMNS) if plain else ("ef_commit", COMMIT_COLUMNS)
    )
    row = f"({','.join('?' * len(columns))})"
    return f"insert into {view} values {','.join([row] * rows)}"
