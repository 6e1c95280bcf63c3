-- What the PostgreSQL store reads, and how its transactions begin and end. The verbs that write are
-- functions: postgres_procedures.sql (`procedures` stands for the name of their schema).
--
-- Every query answers with one value. Nothing here leaves anything behind in its session, so that a
-- pooler may give each transaction another one: settings are local to a transaction, and nothing is
-- prepared.

-- name: patience
set local statement_timeout = '8s';
set local lock_timeout = '2s';
set local idle_in_transaction_session_timeout = '12s'

-- name: first
-- Part of what follows: the number before that of the transaction's first change. It draws the id of
-- the transaction before any change can be written.
(pg_current_xact_id()::text::bigint << 20)

-- name: begin
begin;
set local synchronous_commit = on;
{patience}

-- name: begin_relaxed
begin;
set local synchronous_commit = off;
{patience}

-- name: begin_read
-- As in the functions, plans must not depend on statistics that were true for an empty table.
begin read only;
set local statement_timeout = '8s';
set local enable_seqscan = off;
set local enable_bitmapscan = off;
set local enable_hashjoin = off;
set local enable_mergejoin = off;
set local jit = off

-- name: commit
commit

-- name: rollback
rollback

-- name: count
-- 1: [queue, state, difference] as an array of arrays; 2: the shard. Sorted, so that two processes
-- that share a shard wait for each other and do not block each other.
insert into counts (queue, state, shard, n)
select e ->> 0, e ->> 1, s.shard, (e ->> 2)::bigint
from jsonb_array_elements($1::jsonb) as e, (select $2::smallint as shard) as s
order by 1, 2
on conflict (queue, state, shard) do update set n = counts.n + excluded.n

-- name: store_one
-- For a connection of psycopg's that somebody else has opened.
select procedures.store_one(%s::jsonb)

-- name: do_settle
select * from procedures.do_settle($1, $2, {first} + $3)

-- name: do_rescue
select * from procedures.do_rescue($1, $2, $3, $4, {first} + $5)

-- name: do_promote
select * from procedures.do_promote($1, $2, {first} + $3)

-- name: do_expire
select * from procedures.do_expire($1, $2, {first} + $3)

-- name: do_enqueue
select * from procedures.do_enqueue($1, {first} + $2)

-- name: do_enqueue_unique
select * from procedures.do_enqueue_unique($1, {first} + $2)

-- name: do_replace
select * from procedures.do_replace($1, {first} + $2)

-- name: do_cancel
select * from procedures.do_cancel($1, $2, {first} + $3)

-- name: do_retry
select * from procedures.do_retry($1, $2, {first} + $3)

-- name: do_amend
select * from procedures.do_amend($1, $2, {first} + $3)

-- name: do_remove
select * from procedures.do_remove($1, {first} + $2)

-- name: do_prune
select * from procedures.do_prune($1, $2, $3, {first} + $4)

-- name: do_report
select * from procedures.do_report($1, $2, {first} + $3)

-- name: do_claim
select * from procedures.do_claim($1, $2, $3, $4, $5, $6, $7, {first} + $8)

-- name: keys
-- 1: keys as an array; 2: now
select procedures.take_keys($1, $2)

-- name: keep_keys
-- Rows are [key, fingerprint, ids, expires_at]; `keys` has left a row for each.
update idempotency_keys as i
set fingerprint = e ->> 1, jobs = (e -> 2)::json, expires_at = (e ->> 3)::float8
from jsonb_array_elements($1::jsonb) as e
where i.key = e ->> 0

-- name: keep_callbacks
-- Rows are [id, url]; a job that was not stored, since another holds its key, is passed over.
insert into callbacks (seq, url)
select j.seq, e ->> 1
from jsonb_array_elements($1::jsonb) as e join jobs as j on j.id = e ->> 0
on conflict (seq) do update set url = excluded.url

-- name: pause
insert into queues (name, paused_at) values ($1, $2)
on conflict (name) do update set paused_at = coalesce(queues.paused_at, excluded.paused_at)

-- name: resume
update queues set paused_at = null where name = $1

-- name: limit
insert into queues (name, most) values ($1, $2)
on conflict (name) do update set most = excluded.most

-- name: forget_queue
-- One that nobody has anything to say of any more.
delete from queues where name = $1 and paused_at is null and most is null

-- name: add_token
-- 1: a token as an array, in the order of tokens.Token
insert into tokens (id, hash, name, scopes, types, queues, created_at, expires_at)
select e ->> 0, e ->> 1, e ->> 2, e -> 3, nullif(e -> 4, 'null')::json,
       nullif(e -> 5, 'null')::json, (e ->> 6)::float8, (e ->> 7)::float8
from (select $1::jsonb as e) as t

-- name: remove_token
delete from tokens where id = $1 returning id

-- name: tokens
select coalesce(json_agg(json_build_array(
  id, hash, name, scopes, types, queues, created_at, expires_at
) order by created_at, id)::text, '[]')
from tokens

-- name: saw_workers
-- 1: rows in the order of remote.Seen. Of several for one worker the last counts; who asks for no
-- jobs this time takes what it took before. In the order of names: two processes may do this at once.
insert into remote_workers as w (name, types, queues, seen_at)
select distinct on (e ->> 0) e ->> 0,
       coalesce(nullif(last_value(e -> 2) over asked, 'null'), '[]'),
       nullif(last_value(e -> 3) over asked, 'null'), max((e ->> 1)::float8) over asked
from jsonb_array_elements($1::jsonb) with ordinality as r (e, nth)
window asked as (partition by e ->> 0 order by e -> 2 <> 'null', nth
                 rows between unbounded preceding and unbounded following)
order by e ->> 0
on conflict (name) do update
set types = case when excluded.types = '[]' then w.types else excluded.types end,
    queues = case when excluded.types = '[]' then w.queues else excluded.queues end,
    seen_at = greatest(w.seen_at, excluded.seen_at)

-- name: saw_types
insert into remote_types as t (type, seen_at)
select type, max((e ->> 1)::float8)
from jsonb_array_elements($1::jsonb) as e
cross join jsonb_array_elements_text(case jsonb_typeof(e -> 2) when 'array' then e -> 2 else '[]' end)
  as asked (type)
group by type
order by type
on conflict (type) do update set seen_at = greatest(t.seen_at, excluded.seen_at)

-- name: forget_workers
delete from remote_workers where seen_at < $1::float8

-- name: forget_types
delete from remote_types where seen_at < $1::float8

-- name: direct
update remote_workers set directive = $2
where name = any (array(select jsonb_array_elements_text($1::jsonb)))

-- name: directed
select coalesce(json_agg(name)::text, '[]') from remote_workers
where name = any (array(select jsonb_array_elements_text($1::jsonb)))

-- name: roster
select json_build_array(
  coalesce((select json_agg(json_build_array(name, types, queues, seen_at, directive) order by name)
            from remote_workers), '[]'),
  coalesce((select json_object_agg(type, seen_at) from remote_types), '{}')
)::text

-- name: in_hand
-- Which job is with which worker elsewhere.
select coalesce(json_agg(json_build_array(worker, id) order by seq)::text, '[]') from jobs
where state = 'running' and worker not like 'process-%'

-- name: standing
-- 1: leases as [id, token]
select coalesce(json_agg(json_build_array(
  j.id, l.token, j.type, j.queue, j.state, j.attempt, j.max_attempts, j.started_at, j.timeout,
  j.deadline, j.backoff, j.cancel_requested_at,
  case when j.state = 'running' and j.lease_token = l.token then j.lease_expires_at end,
  exists (select 1 from queues as q where q.name = j.queue and q.most is not null),
  case when j.state = 'done' and j.settled_under = l.token then 'done'
       else (select a.outcome from attempts as a
             where a.seq = j.seq and a.settled_under = l.token limit 1) end,
  (select count(*) from logs as g where g.seq = j.seq and g.attempt = j.attempt),
  (select coalesce(sum(length(g.message)), 0) from logs as g
   where g.seq = j.seq and g.attempt = j.attempt)
) order by l.nth)::text, '[]')
from (
  select e ->> 0 as id, (e ->> 1)::bigint as token, nth
  from jsonb_array_elements($1::jsonb) with ordinality as r (e, nth)
) as l
join jobs as j on j.id = l.id

-- name: touch
-- It takes a transaction's id, and so a record in the log, which is flushed.
update changes_floor set id = id

-- name: extend
-- 1: leases as [id, token]; 2: when they run out
update jobs as j set lease_expires_at = $2::float8
from (
  select e ->> 0 as id, (e ->> 1)::bigint as token from jsonb_array_elements($1::jsonb) as e
  order by 1
) as l
where j.id = l.id and j.lease_token = l.token and j.state || '' = 'running'

-- name: extend_answer
-- Those that are still held.
select coalesce(json_agg(j.id)::text, '[]')
from jsonb_array_elements($1::jsonb) as e
join jobs as j on j.id = e ->> 0
where j.lease_token = (e ->> 1)::bigint and j.state || '' = 'running'

-- name: next_due
select run_at from jobs where state = 'scheduled' order by run_at limit 1

-- name: next_deadline
select deadline from jobs
where deadline is not null and state in ('scheduled', 'queued', 'waiting')
order by deadline limit 1

-- name: vacuum_due
-- The server does that by itself.
select false

-- name: vacuum
select false

-- name: clock
select extract(epoch from clock_timestamp())::float8

-- name: head
-- Part of what follows: a job without its bodies, in the order of records.Job.
j.id, j.type, j.queue, j.priority, j.state, j.reason, j.attempt, j.max_attempts, j.timeout,
coalesce(j.tags, '[]'), j.version, j.created_at, j.updated_at, j.run_at, j.started_at,
j.finished_at, j.deadline, j.backoff, j.unique_key, j.cancel_requested_at, j.progress,
(
  select json_build_array(a.error_type, a.error_message, a.error_traceback)
  from attempts as a where a.seq = j.seq and a.error_type is not null
  order by a.id desc limit 1
)

-- name: get_jobs
-- 1: ids as an array
select coalesce(json_agg(json_build_array(
  {head},
  p.text, encode(p.raw, 'hex'), p.content_type, p.params,
  j.result_text, encode(j.result_raw, 'hex'), j.result_content_type, p.traceparent, c.url
))::text, '[]')
from (select distinct jsonb_array_elements_text($1::jsonb) as id) as e
join jobs as j on j.id = e.id
join payloads as p using (seq)
left join callbacks as c using (seq)

-- name: called
-- 1: seqs of jobs that have just ended and have a callback, as an array. Bodies of more than 20 kB
-- would make the message larger than it may be.
select coalesce(json_agg(json_build_array(
  {head},
  case when small then p.text end, case when small then encode(p.raw, 'hex') end,
  p.content_type, p.params,
  case when small then j.result_text end, case when small then encode(j.result_raw, 'hex') end,
  j.result_content_type, p.traceparent, c.url
))::text, '[]')
from (select jsonb_array_elements_text($1::jsonb)::bigint as seq) as e
join jobs as j using (seq)
join payloads as p using (seq)
join callbacks as c using (seq)
cross join lateral (
  select coalesce(octet_length(p.text), octet_length(p.raw))
    + coalesce(octet_length(j.result_text), octet_length(j.result_raw), 0) <= 20000 as small
) as s

-- name: matches_otherwise
-- Part of what follows. 1: a records.Filter, its states left aside; `input` is [path, value] pairs.
($1::jsonb ->> 'types' is null
    or k.type in (select jsonb_array_elements_text($1::jsonb -> 'types')))
  and ($1::jsonb ->> 'queues' is null
    or k.queue || '' in (select jsonb_array_elements_text($1::jsonb -> 'queues')))
  and ($1::jsonb ->> 'keys' is null
    or k.unique_key || '' in (select jsonb_array_elements_text($1::jsonb -> 'keys')))
  and ($1::jsonb ->> 'created_after' is null
    or k.created_at > ($1::jsonb ->> 'created_after')::float8)
  and ($1::jsonb ->> 'created_before' is null
    or k.created_at < ($1::jsonb ->> 'created_before')::float8)
  and ($1::jsonb ->> 'tags' is null
    or k.tags ?| array(select jsonb_array_elements_text($1::jsonb -> 'tags')))
  and ($1::jsonb ->> 'error' is null or strpos((
    select a.error_message from attempts as a where a.seq = k.seq and a.error_type is not null
    order by a.id desc limit 1
  ), $1::jsonb ->> 'error') > 0)
  and ($1::jsonb ->> 'input' is null or not exists (
    select 1 from jsonb_array_elements($1::jsonb -> 'input') as i
    where not exists (
      select 1 from payloads as p
      where p.seq = k.seq and procedures.input_matches(
        p.text, array(select jsonb_array_elements_text(i -> 0)), i ->> 1)
    )
  ))

-- name: matches
($1::jsonb ->> 'states' is null
    or k.state || '' in (select jsonb_array_elements_text($1::jsonb -> 'states')))
  and {matches_otherwise}

-- name: list_jobs
-- 1: a filter; 2: seq below which; 3: how many
select coalesce(json_agg(json_build_array(j.seq, json_build_array({head})) order by j.seq desc)::text, '[]')
from (
  select k.seq from jobs as k
  where k.seq < $2::bigint and {matches}
  order by k.seq desc
  limit $3::int
) as found join jobs as j using (seq)

-- name: unfinished
-- Part of what follows: jobs that have not ended, each state from its own small index, if it is asked
-- for. The sum keeps the planner from walking all jobs by their number instead.
select k.seq from jobs as k
where coalesce($1::jsonb -> 'states' ? 'running', true)
  and k.state = 'running' and k.seq + 0 < $2::bigint and {matches}
union all
select k.seq from jobs as k
where coalesce($1::jsonb -> 'states' ? 'queued', true)
  and k.state = 'queued' and k.crashes < 2 and k.seq + 0 < $2::bigint and {matches}
union all
select k.seq from jobs as k
where coalesce($1::jsonb -> 'states' ? 'queued', true)
  and k.state = 'queued' and k.crashes >= 2 and k.seq + 0 < $2::bigint and {matches}
union all
select k.seq from jobs as k
where coalesce($1::jsonb -> 'states' ? 'scheduled', true)
  and k.state = 'scheduled' and k.seq + 0 < $2::bigint and {matches}

-- name: list_jobs_by_type
-- The same for one type: the newest of each final state, and all that have not ended. 100,000 that
-- wait are looked at in some 30 ms.
select coalesce(json_agg(json_build_array(j.seq, json_build_array({head})) order by j.seq desc)::text, '[]')
from (
  select seq from (
    select f.seq
    from unnest(array['done', 'failed', 'cancelled']) as s (state)
    cross join lateral (
      select k.seq from jobs as k
      where k.finished_at is not null and k.type = $1::jsonb -> 'types' ->> 0
        and k.state = s.state and k.seq < $2::bigint and {matches}
      order by k.seq desc
      limit $3::int
    ) as f
    union all
    {unfinished}
  ) as each_
  order by seq desc
  limit $3::int
) as found join jobs as j using (seq)

-- name: list_jobs_by_state
-- The same for given states: of each final one the newest of each type (the types that there are
-- come from the index, one step each), of the others all.
with recursive types (type) as (
  (select type from jobs where finished_at is not null order by type limit 1)
  union all
  select (select j.type from jobs as j where j.finished_at is not null and j.type > types.type
          order by j.type limit 1)
  from types where type is not null
)
select coalesce(json_agg(json_build_array(j.seq, json_build_array({head})) order by j.seq desc)::text, '[]')
from (
  select seq from (
    select f.seq
    from types as t
    cross join jsonb_array_elements_text($1::jsonb -> 'states') as s (state)
    cross join lateral (
      select k.seq from jobs as k
      where k.finished_at is not null and k.type = t.type and k.state = s.state
        and k.seq < $2::bigint and {matches_otherwise}
      order by k.seq desc
      limit $3::int
    ) as f
    where t.type is not null
    union all
    {unfinished}
  ) as each_
  order by seq desc
  limit $3::int
) as found join jobs as j using (seq)

-- name: scan
-- 1: a filter; 2: seq after which; 3: how many; 4: how many to look at.
select json_build_array(
  coalesce((select json_agg(json_build_array(seq, id) order by seq) from (
    select k.seq, k.id from jobs as k
    where k.seq > $2::bigint and k.seq <= $2::bigint + $4::bigint and {matches}
    order by k.seq
    limit $3::int
  ) as found), '[]'),
  coalesce((select seq from jobs order by seq desc limit 1), 0)
)::text

-- name: attempts
-- The one that succeeded and the one under way are told by the job's own row.
select coalesce(json_agg(json_build_array(
  attempt, started_at, finished_at, worker, outcome,
  case when error_type is not null
    then json_build_array(error_type, error_message, error_traceback) end
) order by id)::text, '[]')
from (
  select a.id, a.attempt, a.started_at, a.finished_at, a.worker, a.outcome, a.error_type,
         a.error_message, a.error_traceback
  from jobs as j join attempts as a using (seq)
  where j.id = $1
  union all
  select 9223372036854775807, attempt, started_at, finished_at, worker, state, null, null, null
  from jobs
  where id = $1 and state || '' in ('running', 'done')
) as tried

-- name: logs
-- 1: id; 2: n after which; 3: how many
select coalesce(json_agg(json_build_array(at, level, message, attempt, n) order by n)::text, '[]')
from (
  select l.* from jobs as j join logs as l using (seq)
  where j.id = $1 and l.n > $2::bigint
  order by l.n
  limit $3::int
) as lines

-- name: ahead
-- 1: id; 2: how many to count. Each part is a range of its index, but for the last, which is short.
select count(*) from (
  select 1 from jobs as j join jobs as k
    on k.queue = j.queue and k.state = 'queued' and k.crashes < 2 and k.priority > j.priority
  where j.id = $1
  union all
  select 1 from jobs as j join jobs as k
    on k.queue = j.queue and k.state = 'queued' and k.crashes < 2
      and k.priority = j.priority and (k.run_at, k.seq) < (j.run_at, j.seq)
  where j.id = $1
  union all
  select 1 from jobs as j join jobs as k
    on k.queue = j.queue and k.state = 'queued' and k.crashes >= 2
      and (-k.priority, k.run_at, k.seq) < (-j.priority, j.run_at, j.seq)
  where j.id = $1
  limit $2::int
) as before

-- name: queues
-- The oldest due job of each queue: the first of each of its priorities, which are few; and those on
-- their last chance, which are fewer.
with recursive
  counted (name, state, n) as (
    select queue, state, sum(n) from counts group by queue, state having sum(n) > 0
  ),
  names (name) as (select name from counted union select name from queues),
  steps (name, priority) as (
    select name, (
      select priority from jobs where queue = name and state = 'queued' and crashes < 2
      order by priority desc limit 1
    ) from names
    union all
    select name, (
      select j.priority from jobs as j
      where j.queue = steps.name and j.state = 'queued' and j.crashes < 2
        and j.priority < steps.priority
      order by j.priority desc limit 1
    ) from steps where priority is not null
  ),
  oldest (name, run_at) as (
    select name, (
      select run_at from jobs
      where queue = name and state = 'queued' and crashes < 2 and priority = steps.priority
      order by run_at limit 1
    ) from steps where priority is not null
    union all
    select queue, run_at from jobs where state = 'queued' and crashes >= 2
  )
select coalesce(json_agg(json_build_array(
  name,
  coalesce((select json_object_agg(state, n) from counted where counted.name = names.name), '{}'),
  (select paused_at from queues where queues.name = names.name),
  (select min(run_at) from oldest where oldest.name = names.name),
  (select most from queues where queues.name = names.name)
) order by name)::text, '[]')
from names

-- name: cancels
-- 1: worker. No index of its own: it would cost every job, and few run at a time.
select coalesce(json_agg(json_build_array(id, lease_token))::text, '[]') from jobs
where state = 'running' and cancel_requested_at is not null and worker = $1

-- name: changes
-- 1: number after which; 2: how many.
--
-- A transaction that is under way now may have changes below some that are here already: we stop
-- before the oldest one (see the table). But any transaction of the whole server holds that horizon
-- back, a migration of somebody else's for an hour, say; ours last 20 s at most (see `begin`), so
-- whatever is a minute old is told as well.
with oldest as (
  select pg_snapshot_xmin(pg_current_snapshot())::text::bigint << 20 as horizon
),
next as materialized (
  select * from changes where id > $1::bigint order by id limit $2::int + 1
),
told as materialized (
  select * from next
  where id < coalesce((
    select min(id) from next
    where id >= (select horizon from oldest)
      and at > extract(epoch from clock_timestamp())::float8 - 60
  ), 9223372036854775807)
  order by id limit $2::int
)
select json_build_array(
  coalesce((
    select json_agg(json_build_array(
      c.id, c.at, c.event, j.id, j.type, j.queue, c.reason, j.state, j.attempt, j.version,
      j.progress, c.line
    ) order by c.id)
    from told as c join jobs as j using (seq)
  ), '[]'),
  coalesce((select max(id) from told), $1::bigint),
  (select count(*) from told) = $2::int and (select count(*) from next) > $2::int,
  (
    select $1::bigint between f.id and greatest(
        f.id, (select id from changes order by id desc limit 1))
      or ($1::bigint = 0 and f.id = f.first)
    from changes_floor as f
  )
)::text

-- name: last_change
select greatest(
  (select case when id = first then 0 else id end from changes_floor),
  (select id from changes
   where id < pg_snapshot_xmin(pg_current_snapshot())::text::bigint << 20
   order by id desc limit 1)
)

-- name: prunable
-- 1: [type or null, state, finished up to] as an array; 2: how many; 3: now. The types that there
-- are come from the index, one step each.
with recursive types (type) as (
  (select type from jobs where finished_at is not null order by type limit 1)
  union all
  select (select j.type from jobs as j where j.finished_at is not null and j.type > types.type
          order by j.type limit 1)
  from types where type is not null
)
select coalesce(json_agg(json_build_array(seq, finished_at))::text, '[]') from (
  select j.seq, j.finished_at
  from types as t
  cross join jsonb_array_elements($1::jsonb) as r
  join jobs as j
    on j.type = t.type and j.state = r ->> 1
      and j.finished_at is not null and j.finished_at <= (r ->> 2)::float8
      and (j.unique_until is null or j.unique_until <= $3::float8)
  where t.type is not null
    and (r ->> 0 = t.type or (r ->> 0 is null and not exists (
      select 1 from jsonb_array_elements($1::jsonb) as own
      where own ->> 0 = t.type and own ->> 1 = r ->> 1)))
  limit $2::int
) as ended

-- name: counts
select coalesce(json_agg(json_build_array(queue, state, n))::text, '[]')
from (select queue, state, sum(n) as n from counts group by queue, state having sum(n) <> 0) as c

-- name: recount
-- For audits and tests: what `counts` must say.
select coalesce(json_agg(json_build_array(queue, state, n))::text, '[]')
from (select queue, state, count(*) as n from jobs group by queue, state) as c

-- name: schema_create
create table if not exists schema_version (
  version integer primary key,
  name text not null,
  breaking boolean not null,
  applied_at timestamptz not null default now()
)

-- name: schema_version
select coalesce(max(version), 0) from schema_version

-- name: schema_newer
-- 1: the newest version this program knows
select (
  select to_char(version, 'FM0000') || '_' || name from schema_version
  where version > $1::int and breaking
  order by version desc
  limit 1
)

-- name: schema_add
-- Whoever comes second waits for the first one's commit here, and then adds nothing.
insert into schema_version (version, name, breaking) values ($1, $2, $3) on conflict do nothing
returning 1

-- name: schema_foreign
-- Tables, but not ours: a database of another program (which may have a schema_version, too).
select (exists (select 1 from pg_tables where schemaname = current_schema() and tablename = 'jobs')
  and not exists (
    select 1 from information_schema.columns
    where table_schema = current_schema() and table_name = 'schema_version'
      and column_name = 'breaking'
  ))

-- name: schema_exists
select (to_regclass('schema_version') is not null)

-- name: procedures_exist
select (to_regproc('procedures.do_claim') is not null)

-- name: procedures_lock
-- Until the end of the transaction.
select pg_advisory_xact_lock(hashtextextended('procedures', 0))

-- name: forget_the_future
-- A database that was dumped and restored counts its transactions from the beginning again: changes
-- with higher numbers than the next transaction's are of no use to anybody.
with last as (select pg_current_xact_id()::text::bigint << 20 as id),
forgotten as (delete from changes using last where changes.id > last.id)
update changes_floor as f set id = last.id, first = last.id from last where f.id > last.id

-- name: notify
-- 1: the channel; 2: the news. It need not survive a power cut, so nobody waits for the disk.
select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)
