-- The jobs and what belongs to them.
--
-- `jobs` holds what claim and settle rewrite, and only that: SQLite rewrites a whole row on update,
-- so payloads, results and errors live in tables of their own that are written once.
-- `seq` is the order of arrival and the key of everything inside; `id` is the name outside.
-- Times are seconds since the Unix epoch, UTC.

create table jobs (
  seq integer primary key,
  id text not null unique,
  type text not null,
  queue text not null,
  priority integer not null,
  state text not null,
  reason text,
  attempt integer not null default 0,
  max_attempts integer not null,
  crashes integer not null default 0,
  timeout real,
  tags text,
  version integer not null default 1,
  created_at real not null,
  updated_at real not null,
  run_at real not null,
  started_at real,
  finished_at real,
  worker text,
  lease_token integer,
  lease_expires_at real,
  check (state in ('scheduled', 'queued', 'running', 'waiting', 'done', 'failed', 'cancelled')),
  check ((state = 'running') = (lease_token is not null)),
  check ((state = 'running') = (lease_expires_at is not null)),
  check ((state in ('done', 'failed', 'cancelled')) = (finished_at is not null)),
  check (attempt >= 0 and max_attempts >= 1 and crashes >= 0)
) strict;

-- Claiming reads the front of this index and nothing else; `type` and `crashes` are last so that a
-- worker that serves only some types skips the others without visiting their rows.
create index jobs_claim on jobs (queue, priority desc, run_at, seq, type, crashes)
  where state = 'queued' and crashes < 2;
-- Jobs that have crashed their worker twice wait apart: they run one at a time, so that the third
-- crash tells the culprit from those that happened to run beside it.
create index jobs_last_chance on jobs (priority desc, run_at, seq, type, crashes)
  where state = 'queued' and crashes >= 2;
create index jobs_due on jobs (run_at) where state = 'scheduled';
create index jobs_running on jobs (seq) where state = 'running';
create index jobs_type on jobs (type, seq);

-- A body is TEXT when it is JSON and BLOB when it is raw bytes.
create table payloads (
  seq integer primary key,
  body any not null,
  content_type text not null,
  params text
) strict;

create table results (
  seq integer primary key,
  body any not null,
  content_type text not null
) strict;

-- Attempts that did not succeed. The one that did is told by the job's own row.
create table attempts (
  seq integer not null,
  finished_at real not null,
  started_at real not null,
  attempt integer not null,
  worker text,
  outcome text not null,
  error_type text not null,
  error_message text not null,
  error_traceback text not null,
  primary key (seq, finished_at, attempt)
) strict, without rowid;

-- Kept in the same transaction as the rows they count; nothing ever runs count(*) over jobs.
create table counts (
  queue text not null,
  state text not null,
  n integer not null,
  primary key (queue, state)
) strict, without rowid;
