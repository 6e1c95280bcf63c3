-- What the SQLite store reads, and its schema's bookkeeping. The verbs that write are procedures:
-- sqlite_procedures.sql.
--
-- Every query answers in one row (json_group_array): each step of SQLite gives up the GIL.

-- name: do_settle
insert into do_settle values (?, ?)

-- name: do_rescue
insert into do_rescue values (?, ?, ?, ?)

-- name: do_promote
insert into do_promote values (?, ?)

-- name: do_enqueue
insert into do_enqueue values (?)

-- name: do_claim
insert into do_claim values (?, ?, ?, ?, ?, ?)

-- name: touch
-- A row that comes and goes: an update to the same value would not reach the disk.
insert into counts (queue, state, n) values ('', '', 0);
delete from counts where queue = ''

-- name: answer
select said from answer

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
