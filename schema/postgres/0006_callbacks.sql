-- Whom to tell when a job has ended. Only jobs that have somebody have a row, and keep it: one that
-- is queued again will end again.
create table callbacks (
  seq bigint primary key,
  url text not null
);
