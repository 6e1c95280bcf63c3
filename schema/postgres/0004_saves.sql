-- What a job has saved for its next attempt: JSON, apart because claim and settle rewrite the job.
create table saves (
  seq bigint primary key,
  body text not null
);
