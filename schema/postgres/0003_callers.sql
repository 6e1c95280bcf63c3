-- Who may ask: only the SHA-256 of a token is kept. `types` and `queues` are arrays of the names of
-- the jobs it is about; null: all.
create table tokens (
  id text collate "C" primary key,
  hash text not null unique,
  name text not null,
  scopes json not null,
  types json,
  queues json,
  created_at double precision not null,
  expires_at double precision
);

-- `most` jobs of a queue may run at a time, in all processes together; null: any number.
alter table queues add column most integer check (most > 0);
