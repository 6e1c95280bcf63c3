-- Who may ask: only the SHA-256 of a token is kept. `types` and `queues` are arrays of the names of
-- the jobs it is about; null: all.
create table tokens (
  id text primary key,
  hash text not null unique,
  name text not null,
  scopes text not null,
  types text,
  queues text,
  created_at real not null,
  expires_at real
) strict, without rowid;

-- The W3C trace context that a job was made in.
alter table payloads add column traceparent text;

-- `most` jobs of a queue may run at a time, in all processes together; null: any number.
create table queues_limited (
  name text primary key,
  paused_at real,
  most integer check (most > 0)
) strict, without rowid;
insert into queues_limited (name, paused_at) select name, paused_at from queues;
drop table queues;
alter table queues_limited rename to queues;
