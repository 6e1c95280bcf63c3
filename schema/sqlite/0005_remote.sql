-- Workers elsewhere, that ask over HTTP.

-- The lease token under which an attempt was settled: who settles twice, since the first answer was
-- lost, is told the same again. In `jobs` for the attempt that succeeded, which has no other row.
alter table jobs add column settled_under integer;
alter table attempts add column settled_under integer;

-- Who has asked lately, and what he is told with the next answer. `types` and `queues` are arrays;
-- queues null: any.
create table remote_workers (
  name text primary key,
  types text not null,
  queues text,
  seen_at real not null,
  directive text not null default 'run' check (directive in ('run', 'quiet', 'stop'))
) strict, without rowid;

-- What such workers have asked for: types that jobs may have although no handler here knows them.
create table remote_types (
  type text primary key,
  seen_at real not null
) strict, without rowid;
