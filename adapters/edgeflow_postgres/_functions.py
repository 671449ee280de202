"""What runs in the server: each call of the store is one function, and one round trip.

A function's name ends with the layout that it works on, so that two versions of
edgeflow can use one database while the one replaces the other.

Who waits for whom:

- A commit locks the head of its own instance and *inserts* into the inboxes of others.
  It never updates their heads, so that A → B and B → A cannot wait for each other. It
  leaves a *wake* there instead, in the same transaction as the message.
- A wake says: look at the inbox of this instance. Only who holds the head's lock
  removes wakes, and looks into the inbox after that, in a later snapshot. So no
  message is overlooked, whether it came before, with or after a suspending commit.
- A wake for an instance that was never started could meet a start that does not see
  it. So a start holds a shared lock on the name, and who removes such wakes an
  exclusive one. It is a lock of the transaction, which poolers do not mind.
- Claims skip what is locked.
"""

# ruff: noqa: S608 - every part of a statement is a constant of this package

from __future__ import annotations

NOW = """create function edgeflow.now() returns float8 language sql volatile as $$
  select extract(epoch from clock_timestamp())::float8 $$"""

# Names mean the server's own, whoever may create functions in public: an exact match
# there would go before the server's. https://wiki.postgresql.org/wiki/A_Guide_to_CVE-2018-1058
SAFE = "set search_path = pg_catalog, pg_temp"

# A plan is kept, though it was made while a table had a handful of rows, or none: what
# is best there reads all of a table that has grown since. So it is by index, always.
_PLANS = f"""{SAFE} set enable_seqscan = off
    set enable_hashjoin = off set enable_mergejoin = off"""

_ENDED = "('completed', 'failed', 'cancelled')"

_NAME_LOCK = "hashtextextended(p_ns || '/' || {}, 0)"

COMMIT = f"""create function edgeflow.commit_1(
    p_ns text, p_id text, p_seq bigint, p_token bytea, p_opens boolean,
    p_snap boolean, p_bodies bytea[], p_workflow text, p_status text,
    p_wake_at float8, p_due float8, p_awaits text[], p_now float8, p_lease float8,
    p_worker text, p_acks text[], p_restored text[], p_restored_bodies bytea[],
    p_to text[], p_message text[], p_name text[], p_body bytea[], p_at float8[])
  returns boolean language plpgsql
  {_PLANS} as $$
declare
  v_last bigint := p_seq + cardinality(p_bodies) - 1;
  v_until float8 := case when p_lease > 0 then edgeflow.now() + p_lease else 0 end;
  v_id text;
begin
  if p_seq = 1 then
    perform pg_advisory_xact_lock_shared({_NAME_LOCK.format("p_id")});
    insert into edgeflow.head(ns, id, seq, token, workflow, status, wake_at, due,
        awaits, updated, lease, worker)
      values(p_ns, p_id, v_last, p_token, p_workflow, p_status, p_wake_at, p_due,
        p_awaits, p_now, v_until, p_worker)
      on conflict do nothing;
  else
    update edgeflow.head set seq = v_last, token = p_token, workflow = p_workflow,
        status = p_status, wake_at = p_wake_at, due = p_due, awaits = p_awaits,
        updated = p_now, lease = v_until, worker = p_worker
      where ns = p_ns and id = p_id and seq = p_seq - 1
        and (token = p_token or p_opens);
  end if;
  if not found then
    return false;
  end if;
  insert into edgeflow.frame(ns, instance, seq, body)
    select p_ns, p_id, p_seq + f.k - 1, f.body
    from unnest(p_bodies) with ordinality f(body, k);
  if p_snap then
    delete from edgeflow.frame
      where ns = p_ns and instance = p_id and seq < p_seq;
  end if;
  foreach v_id in array p_acks loop
    update edgeflow.inbox set unread = false, body = null
      where ns = p_ns and instance = p_id and id = v_id;
  end loop;
  for k in 1 .. cardinality(p_restored) loop
    update edgeflow.inbox set unread = true, body = p_restored_bodies[k]
      where ns = p_ns and instance = p_id and id = p_restored[k];
  end loop;
  if cardinality(p_to) > 0 then
    with sent as (
      insert into edgeflow.inbox(ns, instance, id, name, body, at)
        select p_ns, s.receiver, s.id, s.name, s.body, s.at
        from unnest(p_to, p_message, p_name, p_body, p_at)
          with ordinality s(receiver, id, name, body, at, k)
        where (select h.status from edgeflow.head h
          where h.ns = p_ns and h.id = s.receiver) in {_ENDED} is not true
        order by s.k
        on conflict do nothing returning instance)
    insert into edgeflow.wake(ns, instance)
      select distinct p_ns, sent.instance from sent where sent.instance <> p_id;
  end if;
  if p_status = 'suspended' then
    delete from edgeflow.wake where ns = p_ns and instance = p_id;
    if p_seq = 1 and current_setting('transaction_isolation') <> 'read committed' then
      -- Its snapshot is older than its lock: a claim looks once more.
      insert into edgeflow.wake(ns, instance) values(p_ns, p_id);
    end if;
    update edgeflow.head h set due = m.at
      from (select min(i.at) as at from edgeflow.inbox i where i.ns = p_ns
        and i.instance = p_id and i.unread and i.name = any(p_awaits)) m
      where h.ns = p_ns and h.id = p_id and m.at < coalesce(h.due, 'infinity');
  end if;
  return true;
end $$"""

SEND = f"""create function edgeflow.send_1(
    p_ns text, p_to text, p_id text, p_name text, p_body bytea, p_at float8)
  returns text language plpgsql
  {_PLANS} as $$
begin
  if exists(select 1 from edgeflow.inbox
      where ns = p_ns and instance = p_to and id = p_id) then
    return 'known';
  end if;
  if exists(select 1 from edgeflow.head
      where ns = p_ns and id = p_to and status in {_ENDED}) then
    return 'finished';
  end if;
  insert into edgeflow.inbox(ns, instance, id, name, body, at)
    values(p_ns, p_to, p_id, p_name, p_body, p_at) on conflict do nothing;
  if not found then
    return 'known';
  end if;
  insert into edgeflow.wake(ns, instance) values(p_ns, p_to);
  return 'sent';
end $$"""

# Each statement has a snapshot of its own: what a removed wake spoke of is in the
# inbox that the next one reads.
SETTLE = f"""create function edgeflow.settle_1(p_ns text)
  returns void language plpgsql
  {_PLANS} as $$
declare
  v_woken text[] := array(select distinct w.instance from edgeflow.wake w
    where w.ns = p_ns limit 1000);
  v_locks integer := 100;  -- the server has room for so many
  v_id text;
  v_awaits text[];
begin
  foreach v_id in array v_woken loop
    select case when h.status = 'suspended' then h.awaits else '{{}}' end into v_awaits
      from edgeflow.head h where h.ns = p_ns and h.id = v_id
      for no key update skip locked;
    if found then
      delete from edgeflow.wake where ns = p_ns and instance = v_id;
      update edgeflow.head h set due = m.at
        from (select min(i.at) as at from edgeflow.inbox i where i.ns = p_ns
          and i.instance = v_id and i.unread and i.name = any(v_awaits)) m
        where h.ns = p_ns and h.id = v_id and m.at < coalesce(h.due, 'infinity');
    elsif v_locks > 0 and not exists(
        select 1 from edgeflow.head h where h.ns = p_ns and h.id = v_id) then
      -- A message may wait for its instance to start: then the start looks for it.
      v_locks := v_locks - 1;
      if pg_try_advisory_xact_lock({_NAME_LOCK.format("v_id")}) then
        delete from edgeflow.wake w where w.ns = p_ns and w.instance = v_id
          and not exists(
            select 1 from edgeflow.head h where h.ns = p_ns and h.id = v_id);
      end if;
    end if;
  end loop;
end $$"""

CLAIM = f"""create function edgeflow.claim_1(
    p_ns text, p_limit integer, p_lease float8, p_worker text)
  returns table(instance text) language plpgsql
  {_PLANS} as $$
declare
  v_now float8 := edgeflow.now();
  v_free text[];
begin
  if exists(select 1 from edgeflow.wake w where w.ns = p_ns) then
    perform edgeflow.settle_1(p_ns);
  end if;
  v_free := array(select h.id from edgeflow.head h
    where h.ns = p_ns and h.due <= v_now and h.lease <= v_now
    order by h.due, h.id limit p_limit for no key update skip locked);
  foreach instance in array v_free loop
    update edgeflow.head h set lease = v_now + p_lease, worker = p_worker
      where h.ns = p_ns and h.id = claim_1.instance;
    return next;
  end loop;
end $$"""

RENEW = f"""create function edgeflow.renew_1(
    p_ns text, p_id text, p_token bytea, p_lease float8)
  returns boolean language plpgsql
  {_PLANS} as $$
begin
  update edgeflow.head set lease = edgeflow.now() + p_lease
    where ns = p_ns and id = p_id and token = p_token and status not in {_ENDED};
  return found;
end $$"""

# Stable: all of it is read in the one snapshot of the calling statement.
# https://www.postgresql.org/docs/current/xfunc-volatility.html
LOAD = f"""create function edgeflow.load_1(p_ns text, p_id text)
  returns table(kind integer, n bigint, body bytea, a text, b text, at float8,
    awaits text[], updated float8, lease float8)
  language plpgsql stable
  {_PLANS} as $$
begin
  return query
    select 0, h.seq, h.token, h.workflow, h.status, h.wake_at, h.awaits, h.updated,
        h.lease
      from edgeflow.head h where h.ns = p_ns and h.id = p_id
    union all select 1, f.seq, f.body, null, null, null, null, null, null
      from edgeflow.frame f where f.ns = p_ns and f.instance = p_id
    union all select 2, i.n, i.body, i.id, i.name, i.at, null, null, null
      from edgeflow.inbox i where i.ns = p_ns and i.instance = p_id and i.unread;
end $$"""

DELETE = f"""create function edgeflow.delete_1(p_ns text, p_id text)
  returns void language plpgsql
  {_PLANS} as $$
begin
  perform pg_advisory_xact_lock({_NAME_LOCK.format("p_id")});
  delete from edgeflow.head where ns = p_ns and id = p_id;
  delete from edgeflow.wake where ns = p_ns and instance = p_id;
  delete from edgeflow.frame where ns = p_ns and instance = p_id;
  delete from edgeflow.inbox where ns = p_ns and instance = p_id;
end $$"""

FUNCTIONS = (NOW, COMMIT, SEND, SETTLE, CLAIM, RENEW, LOAD, DELETE)
