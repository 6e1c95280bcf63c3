-- What the SQLite store does, one verb after the other.
--
-- Every statement is set-based and answers in at most one row: a step of SQLite gives up the GIL,
-- and getting it back may cost 5 ms while the event loop is busy (DESIGN, the GIL convoy). Hence
-- json_group_array on the way out, and on the way in jsonb_each, which hands each element over
-- parsed: bulk inserts ran at 140,000 rows/s with it and at 75,000 with json_each.
--
-- A verb that moves jobs on first lists them in temp.moved; the move, the counters and the answer
-- all read from there. The planner does not know how short that list is: the unary plus on its key,
-- and `cross join` behind it, keep it from walking all jobs instead (5 ms at 80,000).

-- name: schema_create
create table if not exists schema_version (
  version integer primary key,
  name text not null,
  breaking integer not null,
  applied_at real not null default (unixepoch('subsec'))
) strict

-- name: schema_version
select coalesce(max(version), 0) from schema_version

-- name: schema_newer
-- 1: the newest version this program knows
select printf('%04d_%s', version, name) from schema_version
where version > ?1 and breaking
order by version desc
limit 1

-- name: schema_add
insert into schema_version (version, name, breaking) values (?, ?, ?) on conflict do nothing

-- name: schema_foreign
-- Tables, but not ours: a database of another program (which may have a schema_version, too).
select exists (select 1 from sqlite_schema where type = 'table')
  and not exists (select 1 from pragma_table_info('schema_version') where name = 'breaking')

-- name: create_moved
create temp table if not exists moved (
  seq integer primary key,
  queue text not null,
  was text not null,
  state text not null,
  token integer,
  refund integer not null default 0,
  crashed integer not null default 0,
  reason text,
  run_at real,
  result any,
  content_type text,
  error_type text,
  error_message text,
  error_traceback text
) strict

-- name: count_moved
insert into counts (queue, state, n)
select queue, state, sum(n)
from (
  select queue, was as state, -1 as n from temp.moved
  union all
  select queue, state, 1 from temp.moved
)
where true
group by queue, state
on conflict (queue, state) do update set n = n + excluded.n

-- name: clear_moved
delete from temp.moved

-- name: moved_summary
-- How many moved, and where to.
select json_group_object(state, n) from (select state, count(*) as n from temp.moved group by state)

-- name: next_seq
select coalesce(max(seq), 0) + 1 from jobs

-- name: enqueue_jobs
-- 1: the new jobs, arrays in the order of records.NewJob; 2: the first seq
insert into jobs (seq, id, type, queue, priority, state, max_attempts, timeout, tags,
                  created_at, updated_at, run_at)
select ?2 + key, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       value ->> 6, nullif(value -> 7, 'null'), value ->> 8, value ->> 8, value ->> 9
from jsonb_each(?1)

-- name: enqueue_payloads
insert into payloads (seq, body, content_type, params)
select ?2 + key, coalesce(value ->> 10, unhex(value ->> 11)), value ->> 12, nullif(value -> 13, 'null')
from jsonb_each(?1)

-- name: enqueue_counts
insert into counts (queue, state, n)
select value ->> 2, value ->> 4, count(*)
from jsonb_each(?1)
where true
group by 1, 2
on conflict (queue, state) do update set n = n + excluded.n

-- name: claim_queues
-- Those that hold queued jobs.
select json_group_array(queue) from counts where state = 'queued' and n > 0

-- name: claim_pick_from_one
-- 1: types as an array; 2: how many; 3: the queue
-- What claim_pick says, for the usual case of one queue: 42 µs against 79 for a lone job.
insert into temp.moved (seq, queue, was, state, token)
select seq, queue, 'queued', 'running', random() & 9223372036854775807
from jobs
where queue = ?3 and state = 'queued' and crashes < 2
  and type in (select value from json_each(?1))
order by priority desc, run_at, seq
limit ?2

-- name: claim_pick
-- 1: types as an array; 2: how many
-- Per queue, the index alone finds its first ?2; then the best of all queues are taken. The unary
-- plus keeps the planner from walking the whole queue once for each candidate, and `cross join`
-- fixes the order. Tokens come from SQLite's own generator (ChaCha20, seeded by the system once):
-- os.urandom would give up the GIL for each.
insert into temp.moved (seq, queue, was, state, token)
select j.seq, j.queue, 'queued', 'running', random() & 9223372036854775807
from counts as q cross join jobs as j
where q.state = 'queued' and q.n > 0
  and j.seq in (
    select k.seq from jobs as k
    where k.queue = q.queue and k.state = 'queued' and k.crashes < 2
      and k.type in (select value from json_each(?1))
    order by k.priority desc, k.run_at, k.seq
    limit ?2
  )
  and +j.queue = q.queue
order by j.priority desc, j.run_at, j.seq
limit ?2

-- name: claim_pick_last_chance
-- 1: types as an array. At most one.
insert into temp.moved (seq, queue, was, state, token)
select seq, queue, 'queued', 'running', random() & 9223372036854775807
from jobs indexed by jobs_last_chance
where state = 'queued' and crashes >= 2 and type in (select value from json_each(?1))
order by priority desc, run_at, seq
limit 1

-- name: claim_jobs
-- 1: worker; 2: now; 3: when the lease runs out
update jobs
set state = 'running', reason = null, attempt = attempt + 1, version = version + 1,
    updated_at = ?2, started_at = ?2, worker = ?1, lease_token = m.token, lease_expires_at = ?3
from temp.moved as m
where jobs.seq = +m.seq

-- name: claim_answer
select json_group_array(
  json_array(
    j.id, j.type, j.queue, j.attempt, j.max_attempts, j.crashes, j.timeout, j.lease_token,
    j.started_at,
    iif(typeof(p.body) = 'text', p.body, null), iif(typeof(p.body) = 'blob', hex(p.body), null),
    p.content_type, json(p.params)
  )
  order by j.priority desc, j.run_at, j.seq
)
from temp.moved as m cross join jobs as j using (seq) cross join payloads as p using (seq)

-- name: settle_pick
-- 1: settlements, arrays in the order of records.Settlement
-- The fence: only the current lease of a running job gets past this join.
insert into temp.moved (seq, queue, was, state, refund, reason, run_at, result, content_type,
                        error_type, error_message, error_traceback)
select j.seq, j.queue, 'running', value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       coalesce(value ->> 6, unhex(value ->> 7)), value ->> 8, value ->> 9, value ->> 10,
       value ->> 11
from jsonb_each(?1) as e
cross join jobs as j on j.id = e.value ->> 0
where j.lease_token = e.value ->> 1 and j.state = 'running'
on conflict do nothing

-- name: settle_attempts
-- 1: now. Or replace: a crash gives its attempt's number back, and a clock may stand still.
insert or replace into attempts (seq, finished_at, started_at, attempt, worker, outcome,
                      error_type, error_message, error_traceback)
select j.seq, ?1, j.started_at, j.attempt, j.worker, coalesce(m.reason, m.state),
       m.error_type, m.error_message, m.error_traceback
from temp.moved as m cross join jobs as j using (seq)
where m.error_type is not null

-- name: settle_jobs
-- 1: now
update jobs
set state = m.state, reason = m.reason, attempt = attempt - m.refund,
    crashes = crashes + m.crashed, version = version + 1, updated_at = ?1,
    run_at = coalesce(m.run_at, jobs.run_at),
    finished_at = iif(m.state in ('done', 'failed', 'cancelled'), ?1, null),
    lease_token = null, lease_expires_at = null
from temp.moved as m
where jobs.seq = +m.seq

-- name: settle_results
insert or replace into results (seq, body, content_type)
select seq, result, content_type from temp.moved where result is not null

-- name: settle_answer
select json_group_array(j.id) from temp.moved as m cross join jobs as j using (seq)

-- name: extend
-- 1: leases as [id, token]; 2: when they run out
update jobs set lease_expires_at = ?2
from jsonb_each(?1) as e
where jobs.id = e.value ->> 0 and jobs.lease_token = e.value ->> 1 and jobs.state = 'running'

-- name: extend_answer
-- Those that are still held.
select json_group_array(j.id)
from jsonb_each(?1) as e
cross join jobs as j on j.id = e.value ->> 0
where j.lease_token = e.value ->> 1 and j.state = 'running'

-- name: next_due
select min(run_at) from jobs where state = 'scheduled'

-- name: promote_pick
-- 1: now; 2: how many
insert into temp.moved (seq, queue, was, state)
select seq, queue, 'scheduled', 'queued' from jobs
where state = 'scheduled' and run_at <= ?1
order by run_at
limit ?2

-- name: promote_jobs
-- 1: now. The reason (why it had to wait) goes; what went wrong stays in its attempts.
update jobs set state = 'queued', reason = null, version = version + 1, updated_at = ?1
from temp.moved as m
where jobs.seq = +m.seq

-- name: rescue_pick
-- 1: now; 2: the living processes of this machine, as an array; 3: crashes allowed; 4: how many
-- The job row alone decides; there is no table of workers to fall out of step with.
-- jobs_running holds only what is running, so the scan is short.
insert into temp.moved (seq, queue, was, state, refund, crashed, reason,
                        error_type, error_message, error_traceback)
select seq, queue, 'running', iif(crashes + 1 >= ?3, 'failed', 'queued'), 1, 1,
       iif(crashes + 1 >= ?3, 'poison', 'lease_lost'),
       'Crashed', printf('its worker fell silent while it ran (%d of %d times)', crashes + 1, ?3), ''
from jobs indexed by jobs_running
where state = 'running'
  and (
    lease_expires_at <= ?1
    or (worker glob 'process-*' and worker not in (select value from json_each(?2)))
  )
limit ?4

-- name: create_job_heads
-- A job without its bodies, as an array in the order of records.Job.
create temp view if not exists job_heads as
select j.seq, j.id, json_array(
  j.id, j.type, j.queue, j.priority, j.state, j.reason, j.attempt, j.max_attempts, j.timeout,
  json(coalesce(j.tags, '[]')), j.version, j.created_at, j.updated_at, j.run_at, j.started_at,
  j.finished_at,
  json((
    select json_array(a.error_type, a.error_message, a.error_traceback)
    from attempts as a where a.seq = j.seq order by a.finished_at desc, a.attempt desc limit 1
  ))
) as document
from jobs as j

-- name: create_job_documents
-- … and with them.
create temp view if not exists job_documents as
select j.seq, j.id, json_array(
  j.id, j.type, j.queue, j.priority, j.state, j.reason, j.attempt, j.max_attempts, j.timeout,
  json(coalesce(j.tags, '[]')), j.version, j.created_at, j.updated_at, j.run_at, j.started_at,
  j.finished_at,
  json((
    select json_array(a.error_type, a.error_message, a.error_traceback)
    from attempts as a where a.seq = j.seq order by a.finished_at desc, a.attempt desc limit 1
  )),
  iif(typeof(p.body) = 'text', p.body, null), iif(typeof(p.body) = 'blob', hex(p.body), null),
  p.content_type, json(p.params),
  iif(typeof(r.body) = 'text', r.body, null), iif(typeof(r.body) = 'blob', hex(r.body), null),
  r.content_type
) as document
from jobs as j join payloads as p using (seq) left join results as r using (seq)

-- name: get_jobs
-- 1: ids
select json_group_array(json(d.document))
from json_each(?1) as e cross join job_documents as d on d.id = e.value

-- name: list_jobs
-- 1: states as an array; 2: seq below which; 3: how many
select json_group_array(json_array(seq, json(document)) order by seq desc)
from job_heads
where seq in (
  select seq from jobs
  where seq < ?2 and state in (select value from json_each(?1))
  order by seq desc
  limit ?3
)

-- name: list_jobs_of_type
-- … 4: type. The unary plus keeps the planner from sorting all jobs of a state.
select json_group_array(json_array(seq, json(document)) order by seq desc)
from job_heads
where seq in (
  select seq from jobs indexed by jobs_type
  where type = ?4 and seq < ?2 and +state in (select value from json_each(?1))
  order by seq desc
  limit ?3
)

-- name: counts
select json_group_array(json_array(queue, state, n)) from counts where n <> 0

-- name: recount
-- For audits and tests: what `counts` must say.
select json_group_array(json_array(queue, state, n))
from (select queue, state, count(*) as n from jobs group by queue, state order by queue, state)
