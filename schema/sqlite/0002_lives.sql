-- Every way a job can live: deadlines, keys, cancels, progress, log lines, paused queues, changes.

alter table jobs add column deadline real;
alter table jobs add column backoff text;
alter table jobs add column unique_key text;
alter table jobs add column unique_until real;
alter table jobs add column cancel_requested_at real;
alter table jobs add column progress text;

-- A key is held while unique_until is set; this index decides who holds it.
create unique index jobs_unique on jobs (type, unique_key) where unique_until is not null;
create index jobs_deadline on jobs (deadline)
  where deadline is not null and state in ('scheduled', 'queued', 'waiting');
-- What retention looks at: the oldest of each type and final state.
create index jobs_ended on jobs (type, state, finished_at) where finished_at is not null;
-- Lists by state. Only of those that have ended: one over all states cost 1.1 µs a job, of 19.
create index jobs_final on jobs (state, seq) where finished_at is not null;

-- Attempts in the order of their ends; several of one number may end in the same instant, since one
-- that is given back has its number again. Without an error: stopped, snoozed, handed back.
alter table attempts rename to attempts_before;
create table attempts (
  id integer primary key,
  seq integer not null,
  attempt integer not null,
  started_at real not null,
  finished_at real not null,
  worker text,
  outcome text not null,
  error_type text,
  error_message text,
  error_traceback text
) strict;
create index attempts_job on attempts (seq);
insert into attempts (seq, attempt, started_at, finished_at, worker, outcome, error_type,
                      error_message, error_traceback)
select seq, attempt, started_at, finished_at, worker, outcome, error_type, error_message,
       error_traceback
from attempts_before
order by finished_at;
drop table attempts_before;

create table logs (
  seq integer not null,
  n integer not null,
  attempt integer not null,
  at real not null,
  level text not null,
  message text not null,
  primary key (seq, n)
) strict, without rowid;

-- `jobs` are the ids of what the request made, as an array.
create table idempotency_keys (
  key text primary key,
  fingerprint text not null,
  jobs text not null,
  expires_at real not null
) strict, without rowid;
create index idempotency_keys_expiry on idempotency_keys (expires_at);

-- Only queues that somebody has said something about.
create table queues (
  name text primary key,
  paused_at real not null
) strict, without rowid;

-- What happened, for those who watch: `event` is the state a job went to, or something that happened
-- to it there. `line` is the number of the first new log line.
create table changes (
  id integer primary key,
  seq integer not null,
  at real not null,
  event text not null,
  reason text,
  line integer
) strict;

-- Numbers of jobs are not used again, even when the youngest is removed.
create table seq_floor (id integer primary key check (id = 1), seq integer not null) strict;
insert into seq_floor values (1, 0);
