-- A SQLite file as an end of a move. Columns come in the order of tables.py.

-- name: exists
select exists (select 1 from sqlite_schema where name = 'schema_version')

-- name: born
select applied_at from schema_version where version = 1

-- name: version
-- 1: the mark of an unfinished move
select coalesce(max(version), 0) from schema_version where version <> ?

-- name: marked
select name from schema_version where version = ?

-- name: mark
insert into schema_version (version, name, breaking) values (?, ?, true)

-- name: unmark
delete from schema_version where version = ?

-- name: job_mark
select max((select coalesce(max(seq), 0) from jobs), (select seq from seq_floor))

-- name: change_mark
select coalesce(max(id), 0) from changes

-- name: last_job
select coalesce(max(seq), 0) from jobs

-- name: weights
-- 1: seq after which; 2: how many. octet_length does not read what it measures.
select j.seq, coalesce(octet_length(p.body), 0) + coalesce(octet_length(r.body), 0)
  + coalesce(octet_length(s.body), 0)
  + coalesce((select sum(octet_length(message) + 100) from logs as l where l.seq = j.seq), 0)
  + coalesce((select sum(coalesce(octet_length(error_traceback), 0) + 200) from attempts as a
              where a.seq = j.seq), 0)
from jobs as j
left join payloads as p using (seq)
left join results as r using (seq)
left join saves as s using (seq)
where j.seq > ?
order by j.seq
limit ?

-- name: read_jobs
-- 1: seq after which; 2: up to which; so for all of a job's tables.
select j.seq, j.id, j.type, j.queue, j.priority, j.state, j.reason, j.attempt, j.max_attempts,
       j.crashes, j.timeout, j.tags, j.version, j.created_at, j.updated_at, j.run_at, j.started_at,
       j.finished_at, j.worker, j.lease_token, j.lease_expires_at, j.deadline, j.backoff,
       j.unique_key, j.unique_until, j.cancel_requested_at, j.progress,
       j.settled_under,
       iif(typeof(r.body) = 'text', r.body, null) as result_text,
       iif(typeof(r.body) = 'blob', r.body, null) as result_raw,
       r.content_type as result_content_type
from jobs as j left join results as r using (seq)
where j.seq > ? and j.seq <= ?
order by j.seq

-- name: read_payloads
select seq, iif(typeof(body) = 'text', body, null) as text,
       iif(typeof(body) = 'blob', body, null) as raw, content_type, params, traceparent
from payloads
where seq > ? and seq <= ?
order by seq

-- name: read_attempts
select seq, attempt, started_at, finished_at, worker, outcome, error_type, error_message,
       error_traceback, settled_under
from attempts
where seq > ? and seq <= ?
order by seq, id

-- name: read_logs
select seq, n, attempt, at, level, message from logs where seq > ? and seq <= ? order by seq, n

-- name: read_saves
select seq, body from saves where seq > ? and seq <= ? order by seq

-- name: read_callbacks
select seq, url from callbacks where seq > ? and seq <= ? order by seq

-- name: read_idempotency_keys
-- 1: key after which; 2: how many; so for all that have names.
select key, fingerprint, jobs, expires_at from idempotency_keys where key > ? order by key limit ?

-- name: read_queues
select name, paused_at, most from queues where name > ? order by name limit ?

-- name: read_tokens
select id, hash, name, scopes, types, queues, created_at, expires_at
from tokens
where id > ?
order by id
limit ?

-- name: read_remote_workers
select name, types, queues, seen_at, directive
from remote_workers
where name > ?
order by name
limit ?

-- name: read_remote_types
select type, seen_at from remote_types where type > ? order by type limit ?

-- name: write_jobs
insert into jobs (
  seq, id, type, queue, priority, state, reason, attempt, max_attempts, crashes, timeout, tags,
  version, created_at, updated_at, run_at, started_at, finished_at, worker, lease_token,
  lease_expires_at, deadline, backoff, unique_key, unique_until, cancel_requested_at, progress,
  settled_under
) values (
  ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
  ?22, ?23, ?24, ?25, ?26, ?27, ?28
)

-- name: write_results
insert into results (seq, body, content_type) values (?1, coalesce(?2, ?3), ?4)

-- name: write_payloads
insert into payloads (seq, body, content_type, params, traceparent)
values (?1, coalesce(?2, ?3), ?4, ?5, ?6)

-- name: write_attempts
insert into attempts (seq, attempt, started_at, finished_at, worker, outcome, error_type,
                      error_message, error_traceback, settled_under)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: write_logs
insert into logs (seq, n, attempt, at, level, message) values (?, ?, ?, ?, ?, ?)

-- name: write_saves
insert into saves (seq, body) values (?, ?)

-- name: write_callbacks
insert into callbacks (seq, url) values (?, ?)

-- name: write_idempotency_keys
insert into idempotency_keys (key, fingerprint, jobs, expires_at) values (?, ?, ?, ?)

-- name: write_queues
insert into queues (name, paused_at, most) values (?, ?, ?)

-- name: write_tokens
insert into tokens (id, hash, name, scopes, types, queues, created_at, expires_at)
values (?, ?, ?, ?, ?, ?, ?, ?)

-- name: write_remote_workers
insert into remote_workers (name, types, queues, seen_at, directive) values (?, ?, ?, ?, ?)

-- name: write_remote_types
insert into remote_types (type, seen_at) values (?, ?)

-- name: last_idempotency_keys
select coalesce(max(key), '') from idempotency_keys

-- name: last_queues
select coalesce(max(name), '') from queues

-- name: last_tokens
select coalesce(max(id), '') from tokens

-- name: last_remote_workers
select coalesce(max(name), '') from remote_workers

-- name: last_remote_types
select coalesce(max(type), '') from remote_types

-- name: count_jobs
select count(*) from jobs

-- name: count_payloads
select count(*) from payloads

-- name: count_attempts
select count(*) from attempts

-- name: count_logs
select count(*) from logs

-- name: count_saves
select count(*) from saves

-- name: count_callbacks
select count(*) from callbacks

-- name: count_idempotency_keys
select count(*) from idempotency_keys

-- name: count_queues
select count(*) from queues

-- name: count_tokens
select count(*) from tokens

-- name: count_remote_workers
select count(*) from remote_workers

-- name: count_remote_types
select count(*) from remote_types

-- name: settle_counts
delete from counts;
insert into counts (queue, state, n) select queue, state, count(*) from jobs group by queue, state

-- name: settle_jobs
-- 1: the last number that was used
update seq_floor set seq = max(seq, ?)

-- name: settle_changes
-- 1: the last number that was used. The change belongs to no job, so nobody is told; but whoever
-- asks for what came after an older number hears that some is forgotten.
insert into changes (id, seq, at, event)
select ?1 + 1, 0, unixepoch('subsec'), 'moved'
where ?1 > 0 and not exists (select 1 from changes where id > ?1)
