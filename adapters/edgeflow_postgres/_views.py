"""Views for people: what the instances and their steps are doing, in SQL.

A frame is text, one JSON object a line: a seal, a header, then the records. What a
codec has wrapped is no such text, and the views leave it out.
"""

# ruff: noqa: S608 - every part of a statement is a constant of this package

from __future__ import annotations

from edgeflow_postgres._functions import SAFE

# Inlined, so it cannot have a search_path of its own: its types match exactly.
TIME = """create function edgeflow.time_1(p_seconds float8) returns timestamptz
  language sql immutable as $$
  select case when p_seconds >= '9e12'::float8 then 'infinity'::timestamptz
    when p_seconds <= '-2e11'::float8 then '-infinity'::timestamptz
    else pg_catalog.to_timestamp(p_seconds) end $$"""

# jsonb holds no NUL: U+FFFD stands for it.
RECORDS = rf"""create function edgeflow.records_1(p_body bytea)
  returns table(line bigint, record jsonb) language plpgsql stable
  {SAFE} as $$
begin
  if substring(p_body from 1 for 14) <> '{{"edgeflow":1,'::bytea then
    return;
  end if;
  return query
    select l.k, case when strpos(l.line, '\u0000') = 0 then l.line::jsonb
        else regexp_replace(
          l.line, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g')::jsonb end
      from unnest(string_to_array(convert_from(p_body, 'UTF8'), E'\n'))
        with ordinality l(line, k) where l.k > 2;
exception when others then
  return;  -- not text, or not JSON
end $$"""

# Whether a loop was pruned up to a turn in which this operation lies.
IS_PAST = f"""create function edgeflow.is_past_1(
    p_path jsonb, p_loop jsonb, p_to integer)
  returns boolean language sql immutable
  {SAFE} as $$
  select p_path -> jsonb_array_length(p_loop) ->> 0 = 'turn'
    and (p_path -> jsonb_array_length(p_loop) ->> 2)::integer <= p_to
    and p_loop = (
      select coalesce(jsonb_agg(e.segment order by e.k), '[]')
      from jsonb_array_elements(p_path) with ordinality e(segment, k)
      where e.k <= jsonb_array_length(p_loop)) $$"""

SHOW = f"""create function edgeflow.show_1(p_path jsonb) returns text
  language sql immutable
  {SAFE} as $$
  select string_agg(format('%s[%s]', e.segment ->> 1, e.segment ->> 2), ' > '
    order by e.k) from jsonb_array_elements(p_path) with ordinality e(segment, k) $$"""

# The last record of each step, unless a later one forgets it or prunes its loop.
STEPS_OF = f"""create function edgeflow.steps_1(p_ns text, p_instance text)
  returns table(path jsonb, record jsonb, seq bigint) language sql stable
  {SAFE} as $$
  with r as materialized (
    select f.seq, l.line, l.record from edgeflow.frame f
      cross join lateral edgeflow.records_1(f.body) l
      where f.ns = p_ns and f.instance = p_instance),
  latest as (
    select distinct on (r.record -> 'path') r.record -> 'path' as path, r.record,
        r.seq, r.line
      from r where r.record ? 'path'
      order by r.record -> 'path', r.seq desc, r.line desc),
  forgotten as materialized (
    select r.seq, r.line, g.path from r
      cross join lateral jsonb_array_elements(r.record -> 'forget') g(path)),
  pruned as materialized (
    select r.seq, r.line, r.record from r where r.record ? 'prune')
  select e.path, e.record, e.seq from latest e
    where e.path -> -1 ->> 0 = 'step'
      and not exists(
        select 1 from forgotten g
          where (g.seq, g.line) > (e.seq, e.line) and g.path = e.path)
      and (e.record ? 'undo' or not exists(
        select 1 from pruned p where (p.seq, p.line) > (e.seq, e.line)
          and edgeflow.is_past_1(
            e.path, p.record -> 'prune', (p.record ->> 'to')::integer))) $$"""

INSTANCES = """create view edgeflow.instances as
  select ns, id, workflow, status, edgeflow.time_1(wake_at) as wake_at,
    awaits as awaiting, edgeflow.time_1(due) as due,
    edgeflow.time_1(updated) as updated,
    case when lease > 0 then edgeflow.time_1(lease) end as leased_until, worker,
    seq as frames
  from edgeflow.head"""

STEPS = """create view edgeflow.steps as
  select h.ns, h.id as instance, h.workflow, edgeflow.show_1(s.path) as path,
    s.path -> -1 ->> 1 as step, s.record ->> 'status' as status,
    (s.record ->> 'attempts')::integer as attempts,
    edgeflow.time_1((s.record ->> 'at')::float8) as at,
    (s.record ->> 'took')::float8 as took, s.record -> 'value' as value,
    s.record -> 'error' ->> 'type' as error,
    s.record -> 'error' ->> 'message' as message,
    edgeflow.time_1((s.record ->> 'retry_at')::float8) as retry_at, s.seq as frame
  from edgeflow.head h cross join lateral edgeflow.steps_1(h.ns, h.id) s"""

VIEWS = (TIME, RECORDS, IS_PAST, SHOW, STEPS_OF, INSTANCES, STEPS)
