-- The verbs that write, as procedures: a temporary view and an `instead of insert` trigger each,
-- called by `insert into do_verb values (…)`.
--
-- Why so: every step of a statement gives up the GIL, and getting it back may cost 5 ms while the
-- event loop is busy (DESIGN, the GIL convoy). A call runs its whole verb in one step, for any
-- number of rows. jsonb_each hands over each element parsed: bulk inserts ran at 140,000 rows/s
-- with it, at 75,000 with json_each and at 80,000 with executemany.
--
-- Each procedure lists the jobs it moves on in temp.moved; the move, the counters and the answer
-- all read from there. The planner does not know how short that list is: the unary plus on its
-- key, and `cross join` behind it, keep it from walking all jobs instead (5 ms at 80,000).

create temp table moved (
  seq integer primary key,
  queue text not null,
  was text not null,
  state text not null,
  token integer,
  refund integer not null default 0,
  crashed integer not null default 0,
  reason text,
  run_at real,
  result any,
  content_type text,
  error_type text,
  error_message text,
  error_traceback text
) strict;

-- What the last call has to say.
create temp table answer (id integer primary key check (id = 1), said text) strict;
insert into answer values (1, null);

-- The end of every verb that moves jobs on: count them, then forget them.
create temp view do_finish as select null as unused;
create temp trigger finish instead of insert on do_finish
begin
  insert into counts (queue, state, n)
  select queue, state, sum(n)
  from (
    select queue, was as state, -1 as n from moved
    union all
    select queue, state, 1 from moved
  )
  where true
  group by queue, state
  on conflict (queue, state) do update set n = n + excluded.n;

  delete from moved;
end;

-- How many moved, and where to.
create temp view moved_summary as
select json_group_object(state, n) as said
from (select state, count(*) as n from moved group by state);

-- The end of attempts: their errors, results, and the jobs' new states.
create temp view do_end_attempts as select null as now;
create temp trigger end_attempts instead of insert on do_end_attempts
begin
  -- An attempt that was given back has its number again, and may end again in the same instant.
  insert or replace into attempts (seq, finished_at, started_at, attempt, worker, outcome,
                                   error_type, error_message, error_traceback)
  select j.seq, new.now, j.started_at, j.attempt, j.worker, coalesce(m.reason, m.state),
         m.error_type, m.error_message, m.error_traceback
  from moved as m cross join jobs as j using (seq)
  where m.error_type is not null;

  insert or replace into results (seq, body, content_type)
  select seq, result, content_type from moved where result is not null;

  update jobs
  set state = m.state, reason = m.reason, attempt = attempt - m.refund,
      crashes = crashes + m.crashed, version = version + 1, updated_at = new.now,
      run_at = coalesce(m.run_at, jobs.run_at),
      finished_at = iif(m.state in ('done', 'failed', 'cancelled'), new.now, null),
      lease_token = null, lease_expires_at = null
  from moved as m
  where jobs.seq = +m.seq;
end;

-- settle: rows are arrays in the order of records.Settlement.
-- The fence: only the current lease of a running job gets past the join.
create temp view do_settle as select null as rows, null as now;
create temp trigger settle instead of insert on do_settle
begin
  insert into moved (seq, queue, was, state, refund, reason, run_at, result, content_type,
                     error_type, error_message, error_traceback)
  select j.seq, j.queue, 'running', e.value ->> 2, e.value ->> 3, e.value ->> 4, e.value ->> 5,
         coalesce(e.value ->> 6, unhex(e.value ->> 7)), e.value ->> 8, e.value ->> 9,
         e.value ->> 10, e.value ->> 11
  from jsonb_each(new.rows) as e
  cross join jobs as j on j.id = e.value ->> 0
  where j.lease_token = e.value ->> 1 and j.state = 'running'
  on conflict do nothing;

  insert into do_end_attempts values (new.now);
  update answer
  set said = (select json_group_array(j.id) from moved as m cross join jobs as j using (seq));
  insert into do_finish values (null);
end;

-- rescue: living are the processes of this machine that live, as an array.
-- The job row alone decides; there is no table of workers to fall out of step with. jobs_running
-- holds only what is running, so the scan is short.
create temp view do_rescue as
select null as now, null as living, null as crashes_allowed, null as n;
create temp trigger rescue instead of insert on do_rescue
begin
  insert into moved (seq, queue, was, state, refund, crashed, reason,
                     error_type, error_message, error_traceback)
  select seq, queue, 'running', iif(crashes + 1 >= new.crashes_allowed, 'failed', 'queued'), 1, 1,
         iif(crashes + 1 >= new.crashes_allowed, 'poison', 'lease_lost'), 'Crashed',
         printf('its worker fell silent while it ran (%d of %d times)', crashes + 1,
                new.crashes_allowed),
         ''
  from jobs indexed by jobs_running
  where state = 'running'
    and (
      lease_expires_at <= new.now
      or (worker glob 'process-*' and worker not in (select value from json_each(new.living)))
    )
  limit new.n;

  insert into do_end_attempts values (new.now);
  update answer set said = (select said from moved_summary);
  insert into do_finish values (null);
end;

-- promote. The reason (why it had to wait) goes; what went wrong stays in its attempts.
create temp view do_promote as select null as now, null as n;
create temp trigger promote instead of insert on do_promote
begin
  insert into moved (seq, queue, was, state)
  select seq, queue, 'scheduled', 'queued' from jobs
  where state = 'scheduled' and run_at <= new.now
  order by run_at
  limit new.n;

  update jobs set state = 'queued', reason = null, version = version + 1, updated_at = new.now
  from moved as m
  where jobs.seq = +m.seq;
  update answer set said = (select said from moved_summary);
  insert into do_finish values (null);
end;

-- enqueue: rows are arrays in the order of records.NewJob.
create temp view do_enqueue as select null as rows;
create temp trigger enqueue instead of insert on do_enqueue
begin
  update answer set said = (select coalesce(max(seq), 0) + 1 from jobs);

  insert into jobs (seq, id, type, queue, priority, state, max_attempts, timeout, tags,
                    created_at, updated_at, run_at)
  select (select said from answer) + e.key, e.value ->> 0, e.value ->> 1, e.value ->> 2,
         e.value ->> 3, e.value ->> 4, e.value ->> 5, e.value ->> 6,
         nullif(e.value -> 7, 'null'), e.value ->> 8, e.value ->> 8, e.value ->> 9
  from jsonb_each(new.rows) as e;

  insert into payloads (seq, body, content_type, params)
  select (select said from answer) + e.key, coalesce(e.value ->> 10, unhex(e.value ->> 11)),
         e.value ->> 12, nullif(e.value -> 13, 'null')
  from jsonb_each(new.rows) as e;

  insert into counts (queue, state, n)
  select e.value ->> 2, e.value ->> 4, count(*)
  from jsonb_each(new.rows) as e
  where true
  group by 1, 2
  on conflict (queue, state) do update set n = n + excluded.n;
end;

-- claim: types are an array; at most n jobs, one of them on its last chance if that may be.
-- Tokens come from SQLite's own generator (ChaCha20, seeded by the system once).
create temp view do_claim as
select null as worker, null as types, null as n, null as now, null as expires_at,
       null as last_chance;
create temp trigger claim instead of insert on do_claim
begin
  insert into moved (seq, queue, was, state, token)
  select seq, queue, 'queued', 'running', random() & 9223372036854775807
  from jobs indexed by jobs_last_chance
  where new.last_chance and state = 'queued' and crashes >= 2
    and type in (select value from json_each(new.types))
  order by priority desc, run_at, seq
  limit min(1, new.n);

  -- The usual case, all that waits is in one queue: 42 µs for a lone job, against 79 below.
  insert into moved (seq, queue, was, state, token)
  select seq, queue, 'queued', 'running', random() & 9223372036854775807
  from jobs
  where (select count(*) from counts where state = 'queued' and n > 0) = 1
    and queue = (select queue from counts where state = 'queued' and n > 0)
    and state = 'queued' and crashes < 2
    and type in (select value from json_each(new.types))
  order by priority desc, run_at, seq
  limit new.n - (select count(*) from moved);

  -- Per queue, the index alone finds its first n; then the best of all queues are taken. The
  -- unary plus keeps the planner from walking the whole queue once for each candidate, and
  -- `cross join` fixes the order.
  insert into moved (seq, queue, was, state, token)
  select j.seq, j.queue, 'queued', 'running', random() & 9223372036854775807
  from counts as q cross join jobs as j
  where (select count(*) from counts where state = 'queued' and n > 0) > 1
    and q.state = 'queued' and q.n > 0
    and j.seq in (
      select k.seq from jobs as k
      where k.queue = q.queue and k.state = 'queued' and k.crashes < 2
        and k.type in (select value from json_each(new.types))
      order by k.priority desc, k.run_at, k.seq
      limit new.n
    )
    and +j.queue = q.queue
  order by j.priority desc, j.run_at, j.seq
  limit new.n - (select count(*) from moved);

  -- Payloads of 32 MB together are enough for one answer; what is beyond waits for the next claim.
  delete from moved
  where (select sum(octet_length(p.body)) from moved as m cross join payloads as p using (seq))
        > 32000000
    and seq not in (
      select seq from (
        select j.seq, row_number() over best as place, sum(octet_length(p.body)) over best as bytes
        from moved as m cross join jobs as j using (seq) cross join payloads as p using (seq)
        window best as (order by j.priority desc, j.run_at, j.seq)
      )
      where place = 1 or bytes <= 32000000
    );

  update jobs
  set state = 'running', reason = null, attempt = attempt + 1, version = version + 1,
      updated_at = new.now, started_at = new.now, worker = new.worker, lease_token = m.token,
      lease_expires_at = new.expires_at
  from moved as m
  where jobs.seq = +m.seq;

  update answer set said = (
    select json_group_array(
      json_array(
        j.id, j.type, j.queue, j.attempt, j.max_attempts, j.crashes, j.timeout, j.lease_token,
        j.started_at,
        iif(typeof(p.body) = 'text', p.body, null), iif(typeof(p.body) = 'blob', hex(p.body), null),
        p.content_type, json(p.params)
      )
      order by j.priority desc, j.run_at, j.seq
    )
    from moved as m cross join jobs as j using (seq) cross join payloads as p using (seq)
  );
  insert into do_finish values (null);
end;
