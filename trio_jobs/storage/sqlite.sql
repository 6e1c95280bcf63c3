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

-- name: do_enqueue_unique
insert into do_enqueue_unique values (?)

-- name: do_replace
insert into do_replace values (?)

-- name: keys
-- 1: keys as an array; 2: now
select json_group_array(json_array(key, fingerprint, json(jobs)))
from idempotency_keys
where key in (select value from json_each(?1)) and expires_at > ?2

-- name: keep_keys
-- rows are [key, fingerprint, ids, expires_at]; a key that is there has expired.
insert into idempotency_keys (key, fingerprint, jobs, expires_at)
select e.value ->> 0, e.value ->> 1, e.value -> 2, e.value ->> 3
from jsonb_each(?) as e
where true
on conflict (key) do update
set fingerprint = excluded.fingerprint, jobs = excluded.jobs, expires_at = excluded.expires_at

-- name: keep_callbacks
-- rows are [id, url]; a job that was not stored, since another holds its key, is passed over.
insert into callbacks (seq, url)
select j.seq, e.value ->> 1
from jsonb_each(?) as e cross join jobs as j on j.id = e.value ->> 0
where true
on conflict (seq) do update set url = excluded.url

-- name: do_cancel
insert into do_cancel values (?, ?)

-- name: do_retry
insert into do_retry values (?, ?)

-- name: do_amend
insert into do_amend values (?, ?)

-- name: do_remove
insert into do_remove values (?)

-- name: do_expire
insert into do_expire values (?, ?)

-- name: do_prune
insert into do_prune values (?, ?, ?)

-- name: do_report
insert into do_report values (?, ?)

-- name: do_claim
insert into do_claim values (?, ?, ?, ?, ?, ?, ?)

-- name: pause
insert into queues (name, paused_at) values (?, ?)
on conflict (name) do update set paused_at = coalesce(paused_at, excluded.paused_at)

-- name: resume
update queues set paused_at = null where name = ?

-- name: limit
insert into queues (name, most) values (?, ?) on conflict (name) do update set most = excluded.most

-- name: forget_queue
-- One that nobody has anything to say of any more.
delete from queues where name = ? and paused_at is null and most is null

-- name: add_token
-- 1: a token as an array, in the order of tokens.Token
insert into tokens (id, hash, name, scopes, types, queues, created_at, expires_at)
select ?1 ->> 0, ?1 ->> 1, ?1 ->> 2, ?1 -> 3, nullif(?1 -> 4, 'null'), nullif(?1 -> 5, 'null'),
       ?1 ->> 6, ?1 ->> 7

-- name: remove_token
delete from tokens where id = ? returning id

-- name: tokens
select json_group_array(json_array(
  id, hash, name, json(scopes), json(types), json(queues), created_at, expires_at
) order by created_at, id)
from tokens

-- name: saw_workers
-- 1: rows in the order of remote.Seen. Of several for one worker the last counts; who asks for no
-- jobs this time takes what it took before.
insert into remote_workers (name, types, queues, seen_at)
select e.value ->> 0, coalesce(nullif(e.value -> 2, 'null'), '[]'), nullif(e.value -> 3, 'null'),
       e.value ->> 1
from jsonb_each(?1) as e
where true
on conflict (name) do update
set types = iif(excluded.types = '[]', types, excluded.types),
    queues = iif(excluded.types = '[]', queues, excluded.queues),
    seen_at = max(seen_at, excluded.seen_at)

-- name: saw_types
insert into remote_types (type, seen_at)
select t.value, max(e.value ->> 1) from jsonb_each(?1) as e cross join jsonb_each(e.value, '$[2]') as t
where t.value is not null
group by t.value
on conflict (type) do update set seen_at = max(seen_at, excluded.seen_at)

-- name: forget_workers
delete from remote_workers where seen_at < ?

-- name: forget_types
delete from remote_types where seen_at < ?

-- name: direct
update remote_workers set directive = ?2 where name in (select value from json_each(?1))

-- name: directed
select json_group_array(name) from remote_workers where name in (select value from json_each(?1))

-- name: roster
select json_array(
  json((select json_group_array(json_array(name, json(types), json(queues), seen_at, directive)
                                order by name) from remote_workers)),
  json((select json_group_object(type, seen_at) from remote_types))
)

-- name: in_hand
-- Which job is with which worker elsewhere.
select json_group_array(json_array(worker, id) order by seq) from jobs indexed by jobs_running
where state = 'running' and worker not glob 'process-*'

-- name: standing
-- 1: leases as [id, token]
select json_group_array(json_array(
  j.id, e.value ->> 1, j.type, j.queue, j.state, j.attempt, j.max_attempts, j.started_at, j.timeout,
  j.deadline, json(j.backoff), j.cancel_requested_at,
  iif(j.state = 'running' and j.lease_token = e.value ->> 1, j.lease_expires_at, null),
  json(iif(exists (select 1 from queues as q where q.name = j.queue and q.most is not null),
           'true', 'false')),
  iif(j.state = 'done' and j.settled_under = e.value ->> 1, 'done',
      (select a.outcome from attempts as a
       where a.seq = j.seq and a.settled_under = e.value ->> 1 limit 1)),
  (select count(*) from logs as l where l.seq = j.seq and l.attempt = j.attempt),
  (select coalesce(sum(length(l.message)), 0) from logs as l
   where l.seq = j.seq and l.attempt = j.attempt)
))
from jsonb_each(?1) as e cross join jobs as j on j.id = e.value ->> 0

-- name: touch
-- A row that comes and goes: an update to the same value would not reach the disk.
insert into counts (queue, state, n) values ('', '', 0);
delete from counts where queue = ''

-- name: answer
select said from answer

-- name: ended
select json_array(
  json((select json_group_array(json_array(queue, type, state, n)) from ended)),
  json((select json_group_array(json(document) order by n) from called))
)

-- name: forget_ended
delete from ended

-- name: forget_called
delete from called

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

-- name: next_deadline
select min(deadline) from jobs indexed by jobs_deadline
where deadline is not null and state in ('scheduled', 'queued', 'waiting')

-- name: vacuum_due
-- Whether more than a tenth of the file, and more than 4 MB, is free.
select f.freelist_count > 1000 and f.freelist_count * 10 > p.page_count
from pragma_freelist_count as f, pragma_page_count as p

-- name: vacuum
pragma incremental_vacuum(200)

-- name: create_job_heads
-- A job without its bodies, as an array in the order of records.Job.
create temp view if not exists job_heads as
select j.seq, j.id, json_array(
  j.id, j.type, j.queue, j.priority, j.state, j.reason, j.attempt, j.max_attempts, j.timeout,
  json(coalesce(j.tags, '[]')), j.version, j.created_at, j.updated_at, j.run_at, j.started_at,
  j.finished_at, j.deadline, json(j.backoff), j.unique_key, j.cancel_requested_at,
  json(j.progress),
  json((
    select json_array(a.error_type, a.error_message, a.error_traceback)
    from attempts as a where a.seq = j.seq and a.error_type is not null
    order by a.id desc limit 1
  ))
) as document
from jobs as j

-- name: create_job_documents
-- … and with them.
create temp view if not exists job_documents as
select j.seq, j.id, json_array(
  j.id, j.type, j.queue, j.priority, j.state, j.reason, j.attempt, j.max_attempts, j.timeout,
  json(coalesce(j.tags, '[]')), j.version, j.created_at, j.updated_at, j.run_at, j.started_at,
  j.finished_at, j.deadline, json(j.backoff), j.unique_key, j.cancel_requested_at,
  json(j.progress),
  json((
    select json_array(a.error_type, a.error_message, a.error_traceback)
    from attempts as a where a.seq = j.seq and a.error_type is not null
    order by a.id desc limit 1
  )),
  iif(typeof(p.body) = 'text', p.body, null), iif(typeof(p.body) = 'blob', hex(p.body), null),
  p.content_type, json(p.params),
  iif(typeof(r.body) = 'text', r.body, null), iif(typeof(r.body) = 'blob', hex(r.body), null),
  r.content_type, p.traceparent, c.url
) as document
from jobs as j join payloads as p using (seq) left join results as r using (seq)
left join callbacks as c using (seq)

-- name: get_jobs
-- 1: ids
select json_group_array(json(d.document))
from json_each(?1) as e cross join job_documents as d on d.id = e.value

-- name: matches_otherwise
-- Part of what follows. 1: a records.Filter, its states left aside.
(?1 ->> 'types' is null or k.type in (select value from json_each(?1, '$.types')))
  and (?1 ->> 'queues' is null or +k.queue in (select value from json_each(?1, '$.queues')))
  and (?1 ->> 'keys' is null or +k.unique_key in (select value from json_each(?1, '$.keys')))
  and (?1 ->> 'created_after' is null or k.created_at > ?1 ->> 'created_after')
  and (?1 ->> 'created_before' is null or k.created_at < ?1 ->> 'created_before')
  and (?1 ->> 'tags' is null or exists (
    select 1 from json_each(k.tags) as t
    where t.value in (select value from json_each(?1, '$.tags'))
  ))
  and (?1 ->> 'error' is null or instr((
    select a.error_message from attempts as a where a.seq = k.seq and a.error_type is not null
    order by a.id desc limit 1
  ), ?1 ->> 'error'))
  and (?1 ->> 'input' is null or not exists (
    select 1 from json_each(?1, '$.input') as i
    where not exists (
      select 1 from payloads as p
      where p.seq = k.seq
        and case when typeof(p.body) = 'text' and json_valid(p.body)
            then p.body -> i.key = i.value or p.body ->> i.key = i.value end
    )
  ))

-- name: matches
(?1 ->> 'states' is null or k.state in (select value from json_each(?1, '$.states')))
  and {matches_otherwise}

-- name: list_jobs
-- 1: a filter; 2: seq below which; 3: how many
select json_group_array(json_array(seq, json(document)) order by seq desc)
from job_heads
where seq in (
  select k.seq from jobs as k not indexed
  where k.seq < ?2 and {matches}
  order by k.seq desc
  limit ?3
)

-- name: list_jobs_by_type
-- The same for one type.
select json_group_array(json_array(seq, json(document)) order by seq desc)
from job_heads
where seq in (
  select k.seq from jobs as k indexed by jobs_type
  where k.type = ?1 ->> '$.types[0]' and k.seq < ?2 and {matches}
  order by k.seq desc
  limit ?3
)

-- name: list_jobs_by_state
-- The same for given states: of each final one the newest, of the others all; then the newest of
-- all. 100,000 that wait are sorted in 14 ms.
select json_group_array(json_array(seq, json(document)) order by seq desc)
from job_heads
where seq in (
  select seq from (
    select j.seq
    from json_each(?1, '$.states') as s cross join jobs as j
    where j.seq in (
      select k.seq from jobs as k indexed by jobs_final
      where k.finished_at is not null and k.state = s.value and k.seq < ?2 and {matches_otherwise}
      order by k.seq desc
      limit ?3
    )
    union all
    select k.seq
    from json_each(?1, '$.states') as s cross join jobs as k indexed by jobs_running
    where s.value = 'running' and k.state = 'running' and k.seq < ?2
      and {matches_otherwise}
    union all
    select k.seq
    from json_each(?1, '$.states') as s cross join jobs as k indexed by jobs_claim
    where s.value = 'queued' and k.state = 'queued' and k.crashes < 2 and k.seq < ?2
      and {matches_otherwise}
    union all
    select k.seq
    from json_each(?1, '$.states') as s cross join jobs as k indexed by jobs_last_chance
    where s.value = 'queued' and k.state = 'queued' and k.crashes >= 2 and k.seq < ?2
      and {matches_otherwise}
    union all
    select k.seq
    from json_each(?1, '$.states') as s cross join jobs as k indexed by jobs_due
    where s.value = 'scheduled' and k.state = 'scheduled' and k.seq < ?2
      and {matches_otherwise}
  )
  order by seq desc
  limit ?3
)

-- name: scan
-- 1: a filter; 2: seq after which; 3: how many; 4: how many to look at.
select json_array(
  json((select json_group_array(json_array(seq, id) order by seq) from (
    select k.seq, k.id from jobs as k not indexed
    where k.seq > ?2 and k.seq <= ?2 + ?4 and {matches}
    order by k.seq
    limit ?3
  ))),
  (select coalesce(max(seq), 0) from jobs)
)

-- name: attempts
-- The one that succeeded and the one under way are told by the job's own row.
select json_group_array(json_array(
  attempt, started_at, finished_at, worker, outcome,
  json(iif(error_type is null, null, json_array(error_type, error_message, error_traceback)))
) order by id)
from (
  select a.id, a.attempt, a.started_at, a.finished_at, a.worker, a.outcome, a.error_type,
         a.error_message, a.error_traceback
  from jobs as j cross join attempts as a using (seq)
  where j.id = ?1
  union all
  select 9e18, attempt, started_at, finished_at, worker, state, null, null, null
  from jobs
  where id = ?1 and state in ('running', 'done')
)

-- name: logs
-- 1: id; 2: n after which; 3: how many
select json_group_array(json_array(at, level, message, attempt, n) order by n)
from (
  select l.* from jobs as j cross join logs as l using (seq)
  where j.id = ?1 and l.n > ?2
  order by l.n
  limit ?3
)

-- name: ahead
-- 1: id; 2: how many to count. Each part is a range of its index, but for the last, which is short.
select count(*) from (
  select 1 from jobs as j cross join jobs as k indexed by jobs_claim
  where j.id = ?1 and k.queue = j.queue and k.state = 'queued' and k.crashes < 2
    and k.priority > j.priority
  union all
  select 1 from jobs as j cross join jobs as k indexed by jobs_claim
  where j.id = ?1 and k.queue = j.queue and k.state = 'queued' and k.crashes < 2
    and k.priority = j.priority and (k.run_at, k.seq) < (j.run_at, j.seq)
  union all
  select 1 from jobs as j cross join jobs as k indexed by jobs_last_chance
  where j.id = ?1 and k.queue = j.queue and k.state = 'queued' and k.crashes >= 2
    and (-k.priority, k.run_at, k.seq) < (-j.priority, j.run_at, j.seq)
  limit ?2
)

-- name: queues
-- The oldest due job of each queue: the first of each of its priorities, which are few; and those on
-- their last chance, which are fewer.
with recursive
  names (name) as (select queue from counts where n > 0 union select name from queues),
  steps (name, priority) as (
    select name, (
      select max(priority) from jobs where queue = name and state = 'queued' and crashes < 2
    ) from names
    union all
    select name, (
      select max(j.priority) from jobs as j
      where j.queue = steps.name and j.state = 'queued' and j.crashes < 2
        and j.priority < steps.priority
    ) from steps where priority is not null
  ),
  oldest (name, run_at) as (
    select name, (
      select min(run_at) from jobs
      where queue = name and state = 'queued' and crashes < 2 and priority = steps.priority
    ) from steps where priority is not null
    union all
    select queue, run_at from jobs indexed by jobs_last_chance
    where state = 'queued' and crashes >= 2
  )
select json_group_array(json_array(
  name,
  json((select json_group_object(state, n) from counts where queue = name and n > 0)),
  (select paused_at from queues where queues.name = names.name),
  (select min(run_at) from oldest where oldest.name = names.name),
  (select most from queues where queues.name = names.name)
) order by name)
from names

-- name: cancels
-- 1: worker. No index of its own: it would cost every job, and few run at a time.
select json_group_array(json_array(id, lease_token)) from jobs indexed by jobs_running
where state = 'running' and cancel_requested_at is not null and worker = ?1

-- name: changes
-- 1: number after which; 2: how many. The changes, the last that was looked at, whether there are
-- more, and whether none between 1 and the first has been forgotten.
select json_array(
  json((
    select json_group_array(json_array(
      c.id, c.at, c.event, j.id, j.type, j.queue, c.reason, j.state, j.attempt, j.version,
      json(j.progress), c.line
    ) order by c.id)
    from (select * from changes where id > ?1 order by id limit ?2) as c
    cross join jobs as j using (seq)
  )),
  n.last,
  json(iif(n.last < n.end_, 'true', 'false')),
  json(iif(?1 between coalesce(n.start, 1) - 1 and n.end_, 'true', 'false'))
)
from (
  select
    coalesce((select max(id) from (select id from changes where id > ?1 order by id limit ?2)), ?1)
      as last,
    (select coalesce(max(id), 0) from changes) as end_,
    (select min(id) from changes) as start
) as n

-- name: last_change
select coalesce(max(id), 0) from changes

-- name: prunable
-- 1: [type or null, state, finished up to] as an array; 2: how many. The types that there are come
-- from the index, one step each.
with recursive types (type) as (
  select min(type) from jobs indexed by jobs_ended where finished_at is not null
  union all
  select (select min(j.type) from jobs as j indexed by jobs_ended
          where j.finished_at is not null and j.type > types.type)
  from types where type is not null
)
select json_group_array(json_array(seq, finished_at)) from (
  select j.seq, j.finished_at
  from types as t
  cross join json_each(?1) as r
  cross join jobs as j indexed by jobs_ended
  where t.type is not null
    and (r.value ->> 0 = t.type or (r.value ->> 0 is null and not exists (
      select 1 from json_each(?1) as own
      where own.value ->> 0 = t.type and own.value ->> 1 = r.value ->> 1)))
    and j.type = t.type and j.state = r.value ->> 1
    and j.finished_at is not null and j.finished_at <= r.value ->> 2
    and (j.unique_until is null or j.unique_until <= ?3)
  limit ?2
)

-- name: counts
select json_group_array(json_array(queue, state, n)) from counts where n <> 0

-- name: recount
-- For audits and tests: what `counts` must say.
select json_group_array(json_array(queue, state, n))
from (select queue, state, count(*) as n from jobs group by queue, state order by queue, state)

-- name: version
select sqlite_version()

-- In a transaction of somebody else's: one job, as an array in the order of records.NewJob. The
-- procedures do the same for many, but are temporary tables that would hide the caller's own.
-- name: lapse
update jobs set unique_until = null
where type = ?1 ->> 1 and unique_key = ?1 ->> 16 and unique_until <= ?1 ->> 8

-- name: insert_job
insert into jobs (seq, id, type, queue, priority, state, max_attempts, timeout, tags, created_at,
                  updated_at, run_at, deadline, backoff, unique_key, unique_until)
select max((select coalesce(max(seq), 0) from jobs), (select seq from seq_floor)) + 1,
       ?1 ->> 0, ?1 ->> 1, ?1 ->> 2, ?1 ->> 3, ?1 ->> 4, ?1 ->> 5, ?1 ->> 6,
       nullif(?1 -> 7, 'null'), ?1 ->> 8, ?1 ->> 8, ?1 ->> 9, ?1 ->> 14,
       nullif(?1 -> 15, 'null'), ?1 ->> 16, ?1 ->> 17
where true
on conflict (type, unique_key) where unique_until is not null do nothing
returning seq

-- name: insert_payload
insert into payloads (seq, body, content_type, params, traceparent)
values (?2, coalesce(?1 ->> 10, unhex(?1 ->> 11)), ?1 ->> 12, nullif(?1 -> 13, 'null'), ?1 ->> 19)

-- name: insert_callback
insert into callbacks (seq, url) values (?, ?)

-- name: count_job
insert into counts (queue, state, n) values (?1 ->> 2, ?1 ->> 4, 1)
on conflict (queue, state) do update set n = n + 1

-- name: tell_of_job
insert into changes (seq, at, event) values (?2, ?1 ->> 8, ?1 ->> 4)

-- name: holder
select id from jobs
where type = ?1 ->> 1 and unique_key = ?1 ->> 16 and unique_until is not null
