-- The jobs and what belongs to them.
--
-- `seq` is the order of arrival and the key of everything inside; `id` is the name outside. Numbers
-- are not used again, and some are never used: a sequence does not go back with its transaction.
-- Times are seconds since the Unix epoch, UTC, by the clock of this database. Names compare byte by
-- byte (collate "C"): the locale of the server must not change an order, and it is faster.
--
-- An update writes the row anew and, since the state stands in almost every index, into each index
-- of its new state; so there are as few of them as the questions allow.

create sequence job_numbers;

create table jobs (
  seq bigint primary key,
  id text collate "C" not null unique,
  type text collate "C" not null,
  queue text collate "C" not null,
  priority integer not null,
  state text collate "C" not null,
  reason text,
  attempt integer not null default 0,
  max_attempts integer not null,
  crashes integer not null default 0,
  timeout double precision,
  tags jsonb,
  version integer not null default 1,
  created_at double precision not null,
  updated_at double precision not null,
  run_at double precision not null,
  started_at double precision,
  finished_at double precision,
  worker text collate "C",
  lease_token bigint,
  lease_expires_at double precision,
  deadline double precision,
  backoff json,
  unique_key text collate "C",
  unique_until double precision,
  cancel_requested_at double precision,
  progress json,
  result_text text,
  result_raw bytea,
  result_content_type text,
  check (attempt >= 0 and max_attempts >= 1 and crashes >= 0),
  -- As separate comparisons, this took 1 µs of the 25 that claim and settle cost.
  check (case
    when state in ('queued', 'scheduled', 'waiting')
      then lease_token is null and lease_expires_at is null and finished_at is null
    when state = 'running'
      then lease_token is not null and lease_expires_at is not null and finished_at is null
    when state in ('done', 'failed', 'cancelled')
      then lease_token is null and lease_expires_at is null and finished_at is not null
    else false
  end)
) with (
  -- Room for two more versions of most rows: where an update needs another page, it has to lock the
  -- old row first, which is written to the log as well (1,700 bytes from claim to settle, against 1,510).
  fillfactor = 50,
  -- A claim steps over the index entries of all jobs that were claimed since the last vacuum, and
  -- 5 of 10 row versions die within a second: little and often.
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.1
);

-- Claiming reads the front of this index and nothing else; `type` is last so that a worker that
-- serves only some types skips the others without visiting their rows.
create index jobs_claim on jobs (queue, priority desc, run_at, seq, type)
  where state = 'queued' and crashes < 2;
-- Jobs that have crashed their worker twice wait apart: they run one at a time, so that the third
-- crash tells the culprit from those that happened to run beside it.
create index jobs_last_chance on jobs (priority desc, run_at, seq, type)
  where state = 'queued' and crashes >= 2;
create index jobs_due on jobs (run_at) where state = 'scheduled';
create index jobs_running on jobs (queue) where state = 'running';
-- A key is held while unique_until is set; this index decides who holds it.
create unique index jobs_unique on jobs (type, unique_key) where unique_until is not null;
create index jobs_deadline on jobs (deadline)
  where deadline is not null and state in ('scheduled', 'queued', 'waiting');
-- What retention looks at: the oldest of each type and final state.
create index jobs_ended on jobs (type, state, finished_at) where finished_at is not null;
-- Lists by type, or by state: the newest of each type and final state.
create index jobs_final on jobs (type, state, seq) where finished_at is not null;

-- A body is `text` when it is JSON and `raw` otherwise. Written once, while the job's row is written
-- anew by each claim; a result comes with the last of these writes, and has no table of its own (that
-- cost 2 µs of 27).
create table payloads (
  seq bigint primary key,
  text text,
  raw bytea,
  content_type text not null,
  params json,
  traceparent text,
  check ((text is null) <> (raw is null))
);

-- Attempts in the order of their ends. The one that succeeded is told by the job's own row. Without
-- an error: stopped, snoozed, handed back.
create table attempts (
  id bigint generated always as identity primary key,
  seq bigint not null,
  attempt integer not null,
  started_at double precision not null,
  finished_at double precision not null,
  worker text,
  outcome text not null,
  error_type text,
  error_message text,
  error_traceback text
);
create index attempts_job on attempts (seq);

-- Kept in the same transaction as the rows they count; nothing ever runs count(*) over jobs. Each
-- process has a shard of its own, so that they do not wait for each other's commits: a number is the
-- sum over the shards, and in one of them it may be negative. Updates stay in their page (HOT).
create table counts (
  queue text collate "C" not null,
  state text collate "C" not null,
  shard smallint not null,
  n bigint not null,
  primary key (queue, state, shard)
) with (fillfactor = 25, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
