-- Workers elsewhere, that ask over HTTP.

-- The lease token under which an attempt was settled: who settles twice, since the first answer was
-- lost, is told the same again. In `jobs` for the attempt that succeeded, which has no other row.
alter table jobs add column settled_under bigint;
alter table attempts add column settled_under bigint;

-- Who has asked lately, and what he is told with the next answer. `types` and `queues` are arrays;
-- queues null: any.
create table remote_workers (
  name text collate "C" primary key,
  types jsonb not null,
  queues jsonb,
  seen_at double precision not null,
  directive text not null default 'run' check (directive in ('run', 'quiet', 'stop'))
);

-- What such workers have asked for: types that jobs may have although no handler here knows them.
create table remote_types (
  type text collate "C" primary key,
  seen_at double precision not null
);
