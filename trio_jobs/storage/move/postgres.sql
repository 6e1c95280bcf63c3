-- A PostgreSQL database as an end of a move. Columns come in the order of tables.py; those that are
-- JSON come as texts, to be handed on as they are.

-- name: begin_source
-- One view of everything. Nobody writes meanwhile, and the lock comes before the view does: what
-- was committed before is in it.
-- An autovacuum at work on a table gives way within deadlock_timeout, 1 s by default.
begin isolation level repeatable read;
set local statement_timeout = 0;
set local idle_in_transaction_session_timeout = 0;
set local lock_timeout = '10s';
lock table jobs, payloads, attempts, logs, saves, callbacks, idempotency_keys, queues, tokens,
  remote_workers, remote_types in share mode

-- name: target_settings
-- Of this session: it is direct, or has the pooler's connection for itself while it writes.
set statement_timeout = 0;
set lock_timeout = '5s';
set synchronous_commit = on

-- name: hold_target
-- Two moves to one database exclude each other.
select pg_try_advisory_lock(hashtextextended('trio_jobs move to ' || current_schema(), 0))

-- name: others
-- Processes of ours that are connected to this database.
select count(*) from pg_stat_activity
where datname = current_database() and application_name = 'trio-jobs' and pid <> pg_backend_pid()

-- name: leased
-- How many run, and for how long their leases last.
select count(*), coalesce(max(lease_expires_at), 0) - extract(epoch from clock_timestamp())::float8
from jobs
where state = 'running' and lease_expires_at > extract(epoch from clock_timestamp())::float8

-- name: exists
select to_regclass('schema_version') is not null

-- name: born
select extract(epoch from applied_at)::text || ' ' || current_database()
from schema_version where version = 1

-- name: version
-- 1: the mark of an unfinished move
select coalesce(max(version), 0) from schema_version where version <> $1

-- name: marked
select name from schema_version where version = $1

-- name: mark
insert into schema_version (version, name, breaking) values ($1, $2, true)

-- name: unmark
delete from schema_version where version = $1

-- name: job_mark
select greatest(
  (select coalesce(max(seq), 0) from jobs),
  (select case when is_called then last_value else 0 end from job_numbers)
)

-- name: change_mark
select greatest(
  (select case when id = first then 0 else id end from changes_floor),
  (select coalesce(max(id), 0) from changes)
)

-- name: last_job
select coalesce(max(seq), 0) from jobs

-- name: weights
-- 1: seq after which; 2: how many. octet_length does not read what it measures.
select j.seq, (octet_length(coalesce(p.text, '')) + octet_length(coalesce(p.raw, ''))
  + octet_length(coalesce(j.result_text, '')) + octet_length(coalesce(j.result_raw, ''))
  + coalesce((select octet_length(s.body) from saves as s where s.seq = j.seq), 0)
  + coalesce((select sum(octet_length(message) + 100) from logs as l where l.seq = j.seq), 0)
  + coalesce((select sum(octet_length(coalesce(error_traceback, '')) + 200) from attempts as a
              where a.seq = j.seq), 0))::bigint
from (select * from jobs where seq > $1 order by seq limit $2) as j
left join lateral (select * from payloads as p where p.seq = j.seq limit 1) as p on true
order by j.seq

-- name: read_jobs
-- 1: seq after which; 2: up to which; so for all of a job's tables.
select seq, id, type, queue, priority, state, reason, attempt, max_attempts, crashes, timeout,
       tags::text, version, created_at, updated_at, run_at, started_at, finished_at, worker,
       lease_token, lease_expires_at, deadline, backoff::text, unique_key, unique_until,
       cancel_requested_at, progress::text, settled_under, result_text, result_raw, result_content_type
from jobs
where seq > $1 and seq <= $2
order by seq

-- name: read_payloads
select seq, text, raw, content_type, params::text, traceparent
from payloads
where seq > $1 and seq <= $2
order by seq

-- name: read_attempts
select seq, attempt, started_at, finished_at, worker, outcome, error_type, error_message,
       error_traceback, settled_under
from attempts
where seq > $1 and seq <= $2
order by seq, id

-- name: read_logs
select seq, n, attempt, at, level, message from logs where seq > $1 and seq <= $2 order by seq, n

-- name: read_saves
select seq, body from saves where seq > $1 and seq <= $2 order by seq

-- name: read_callbacks
select seq, url from callbacks where seq > $1 and seq <= $2 order by seq

-- name: read_idempotency_keys
-- 1: key after which; 2: how many; so for all that have names.
select key, fingerprint, jobs::text, expires_at
from idempotency_keys
where key > $1
order by key
limit $2

-- name: read_queues
select name, paused_at, most from queues where name > $1 order by name limit $2

-- name: read_tokens
select id, hash, name, scopes::text, types::text, queues::text, created_at, expires_at
from tokens
where id > $1
order by id
limit $2

-- name: read_remote_workers
select name, types::text, queues::text, seen_at, directive
from remote_workers
where name > $1
order by name
limit $2

-- name: read_remote_types
select type, seen_at from remote_types where type > $1 order by type limit $2

-- name: write_jobs
copy jobs (
  seq, id, type, queue, priority, state, reason, attempt, max_attempts, crashes, timeout, tags,
  version, created_at, updated_at, run_at, started_at, finished_at, worker, lease_token,
  lease_expires_at, deadline, backoff, unique_key, unique_until, cancel_requested_at, progress,
  settled_under, result_text, result_raw, result_content_type
) from stdin

-- name: write_payloads
copy payloads (seq, text, raw, content_type, params, traceparent) from stdin

-- name: write_attempts
copy attempts (
  seq, attempt, started_at, finished_at, worker, outcome, error_type, error_message,
  error_traceback, settled_under
) from stdin

-- name: write_logs
copy logs (seq, n, attempt, at, level, message) from stdin

-- name: write_saves
copy saves (seq, body) from stdin

-- name: write_callbacks
copy callbacks (seq, url) from stdin

-- name: write_idempotency_keys
copy idempotency_keys (key, fingerprint, jobs, expires_at) from stdin

-- name: write_queues
copy queues (name, paused_at, most) from stdin

-- name: write_tokens
copy tokens (id, hash, name, scopes, types, queues, created_at, expires_at) from stdin

-- name: write_remote_workers
copy remote_workers (name, types, queues, seen_at, directive) from stdin

-- name: write_remote_types
copy remote_types (type, seen_at) from stdin

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
insert into counts (queue, state, shard, n)
select queue, state, 0, count(*) from jobs group by queue, state

-- name: settle_jobs
-- 1: the last number that was used
select setval('job_numbers', $1) where $1 > 0
