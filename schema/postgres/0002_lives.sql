-- What jobs say while they run, keys of requests, paused queues, and what has happened.

create table logs (
  seq bigint not null,
  n integer not null,
  attempt integer not null,
  at double precision not null,
  level text not null,
  message text not null,
  primary key (seq, n)
);

-- `jobs` are the ids of what the request made, as an array. One that has expired at 0 stands for a
-- request under way: whoever comes with the same key waits for that row.
create table idempotency_keys (
  key text collate "C" primary key,
  fingerprint text not null,
  jobs json not null,
  expires_at double precision not null
);
create index idempotency_keys_expiry on idempotency_keys (expires_at);

-- Only queues that somebody has said something about.
create table queues (
  name text collate "C" primary key,
  paused_at double precision
);

-- What happened, for those who watch: `event` is the state a job went to, or something that happened
-- to it there. `line` is the number of the first new log line.
--
-- Sequences are drawn in one order and committed in another, so a reader who has seen number 6 may
-- have missed number 5 for ever. So the number is that of the transaction, times 2^20, plus the
-- place within it: a reader stops below the oldest transaction that is still under way (see
-- `changes` in postgres.sql), and none that begins later has a lower number.
create table changes (
  id bigint primary key,
  seq bigint not null,
  at double precision not null,
  event text not null,
  reason text,
  line integer
);

-- Up to which number changes have been forgotten; where that is `first`, none has been.
create table changes_floor (
  one boolean primary key default true check (one),
  id bigint not null,
  first bigint not null
);
insert into changes_floor (id, first)
select now_, now_ from (select pg_current_xact_id()::text::bigint << 20 as now_) as n;
