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
  type text,              -- of those that may end
  was text not null,
  state text,             -- null: it is gone
  event text,             -- what watchers are told, when that is not the state
  to_queue text,          -- null: the same
  holds integer,          -- has a unique key
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

-- How many jobs have come to their end in this transaction; who began it takes them out.
create temp table ended (
  queue text not null,
  type text not null,
  state text not null,
  n integer not null,
  primary key (queue, type, state)
) strict, without rowid;

-- Jobs that somebody wants to hear of, as they were when they ended, in the order of records.Job; who
-- began the transaction takes them out. Kept at once: a moment later the same transaction may
-- queue such a job again, or remove it.
create temp table called (n integer primary key, document text not null) strict;

-- The moves of a verb, those alike as one.
create temp table steps (
  queue text not null,
  to_queue text,
  type text,
  was text not null,
  state text,
  n integer not null
) strict;

-- The end of every verb that moves jobs on: count them, tell the watchers, forget them.
--
-- The three changes of a no-op job cost 1.2 µs of the 19 it takes in here. A change number on the
-- job's row, with an index over it, cost 2.9 (and knows only the last change of each job); one row
-- for all changes of a call 1.0, not worth its reading.
create temp view do_finish as select null as now;
create temp trigger finish instead of insert on do_finish
begin
  insert into steps (queue, to_queue, type, was, state, n)
  select queue, to_queue, type, was, state, count(*) from moved
  group by queue, to_queue, type, was, state;

  insert into counts (queue, state, n)
  select queue, state, sum(n)
  from (
    select queue, was as state, -n as n from steps
    union all
    select coalesce(to_queue, queue), state, n from steps where state is not null
  )
  where true
  group by queue, state
  on conflict (queue, state) do update set n = n + excluded.n;

  insert into ended (queue, type, state, n)
  select queue, type, state, sum(n) from steps
  where type is not null and state in ('done', 'failed', 'cancelled')
  group by queue, type, state
  on conflict (queue, type, state) do update set n = n + excluded.n;

  delete from steps;

  -- Bodies of more than 20 kB would make the message larger than it may be.
  insert into called (document)
  select json_insert(document,
    '$[#]', iif(small and typeof(payload) = 'text', payload, null),
    '$[#]', iif(small and typeof(payload) = 'blob', hex(payload), null),
    '$[#]', content_type, '$[#]', json(params),
    '$[#]', iif(small and typeof(result) = 'text', result, null),
    '$[#]', iif(small and typeof(result) = 'blob', hex(result), null),
    '$[#]', result_content_type, '$[#]', traceparent, '$[#]', url)
  from (
    select h.document, p.body as payload, p.content_type, p.params, p.traceparent,
           r.body as result, r.content_type as result_content_type, c.url,
           octet_length(p.body) + coalesce(octet_length(r.body), 0) <= 20000 as small
    from moved as m cross join callbacks as c using (seq) cross join job_heads as h using (seq)
    cross join payloads as p using (seq) left join results as r using (seq)
    where exists (select 1 from callbacks) and m.state in ('done', 'failed', 'cancelled')
  );

  insert into changes (seq, at, event, reason)
  select seq, new.now, coalesce(event, state), reason from moved where state is not null;

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
  insert into attempts (seq, finished_at, started_at, attempt, worker, outcome,
                        error_type, error_message, error_traceback, settled_under)
  select j.seq, new.now, j.started_at, j.attempt, j.worker, coalesce(m.reason, m.state),
         m.error_type, m.error_message, m.error_traceback, iif(m.crashed, null, j.lease_token)
  from moved as m cross join jobs as j using (seq)
  where m.state <> 'done';

  insert or replace into results (seq, body, content_type)
  select seq, result, content_type from moved where result is not null;

  update jobs
  set state = m.state, reason = m.reason, attempt = attempt - m.refund,
      crashes = crashes + m.crashed, version = version + 1, updated_at = new.now,
      run_at = coalesce(m.run_at, jobs.run_at),
      finished_at = iif(m.state in ('done', 'failed', 'cancelled'), new.now, null),
      settled_under = iif(m.state = 'done', lease_token, null),
      lease_token = null, lease_expires_at = null
  from moved as m
  where jobs.seq = +m.seq;

  -- What ended well goes on from nowhere, should a person want it again.
  delete from saves
  where exists (select 1 from saves) and seq in (select seq from moved where state = 'done');

  -- Apart, so that the index of unique keys is no matter for all those that have none.
  update jobs set unique_until = null
  where seq in (select seq from moved where holds and state in ('done', 'failed', 'cancelled'))
    and unique_until >= 1e18;
end;

-- settle: rows are arrays in the order of records.Settlement.
-- The fence: only the current lease of a running job gets past the join.
create temp view do_settle as select null as rows, null as now;
create temp trigger settle instead of insert on do_settle
begin
  insert into moved (seq, queue, type, was, holds, state, refund, reason, run_at, result,
                     content_type, error_type, error_message, error_traceback)
  select j.seq, j.queue, j.type, 'running', j.unique_until is not null,
         iif(j.cancel_requested_at is not null and e.value ->> 2 in ('queued', 'scheduled'),
             'cancelled', e.value ->> 2),
         e.value ->> 3,
         iif(j.cancel_requested_at is not null and e.value ->> 2 in ('queued', 'scheduled'),
             'cancelled', e.value ->> 4),
         e.value ->> 5,
         coalesce(e.value ->> 6, unhex(e.value ->> 7)), e.value ->> 8, e.value ->> 9,
         e.value ->> 10, e.value ->> 11
  from jsonb_each(new.rows) as e
  cross join jobs as j on j.id = e.value ->> 0
  where j.lease_token = e.value ->> 1 and j.state = 'running'
  on conflict do nothing;

  insert into do_end_attempts values (new.now);
  update answer
  set said = (select json_group_array(j.id) from moved as m cross join jobs as j using (seq));
  insert into do_finish values (new.now);
end;

-- rescue: living are the processes of this machine that live, as an array.
-- The job row alone decides; there is no table of workers to fall out of step with.
create temp view do_rescue as
select null as now, null as living, null as crashes_allowed, null as n;
create temp trigger rescue instead of insert on do_rescue
begin
  insert into moved (seq, queue, type, was, holds, state, refund, crashed, reason,
                     error_type, error_message, error_traceback)
  select seq, queue, type, 'running', unique_until is not null,
         case when cancel_requested_at is not null then 'cancelled'
              when crashes + 1 >= new.crashes_allowed then 'failed' else 'queued' end,
         1, 1,
         case when cancel_requested_at is not null then 'cancelled'
              when crashes + 1 >= new.crashes_allowed then 'poison' else 'lease_lost' end,
         'Crashed',
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
  insert into do_finish values (new.now);
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
  insert into do_finish values (new.now);
end;

-- Where the next batch of jobs begins.
create temp view next_seq as
select max((select coalesce(max(seq), 0) from jobs), (select seq from seq_floor)) + 1 as seq;

-- enqueue: rows are arrays in the order of records.NewJob; none has a unique key.
create temp view do_enqueue as select null as rows;
create temp trigger enqueue instead of insert on do_enqueue
begin
  update answer set said = (select seq from next_seq);

  insert into jobs (seq, id, type, queue, priority, state, max_attempts, timeout, tags,
                    created_at, updated_at, run_at, deadline, backoff)
  select (select said from answer) + e.key, e.value ->> 0, e.value ->> 1, e.value ->> 2,
         e.value ->> 3, e.value ->> 4, e.value ->> 5, e.value ->> 6,
         nullif(e.value -> 7, 'null'), e.value ->> 8, e.value ->> 8, e.value ->> 9,
         e.value ->> 14, nullif(e.value -> 15, 'null')
  from jsonb_each(new.rows) as e;

  insert into payloads (seq, body, content_type, params, traceparent)
  select (select said from answer) + e.key, coalesce(e.value ->> 10, unhex(e.value ->> 11)),
         e.value ->> 12, nullif(e.value -> 13, 'null'), e.value ->> 19
  from jsonb_each(new.rows) as e;

  insert into counts (queue, state, n)
  select e.value ->> 2, e.value ->> 4, count(*)
  from jsonb_each(new.rows) as e
  where true
  group by 1, 2
  on conflict (queue, state) do update set n = n + excluded.n;

  insert into changes (seq, at, event)
  select (select said from answer) + e.key, e.value ->> 8, e.value ->> 4
  from jsonb_each(new.rows) as e;
end;

-- enqueue_unique: the same for rows with a unique key. The index jobs_unique decides; the answer
-- says for each row who holds its key now, and in which state that job is.
create temp view do_enqueue_unique as select null as rows;
create temp trigger enqueue_unique instead of insert on do_enqueue_unique
begin
  update answer set said = (select seq from next_seq);

  update jobs set unique_until = null
  from jsonb_each(new.rows) as e
  where jobs.type = e.value ->> 1 and jobs.unique_key = e.value ->> 16
    and jobs.unique_until is not null and jobs.unique_until <= e.value ->> 8;

  insert into jobs (seq, id, type, queue, priority, state, max_attempts, timeout, tags,
                    created_at, updated_at, run_at, deadline, backoff, unique_key, unique_until)
  select (select said from answer) + e.key, e.value ->> 0, e.value ->> 1, e.value ->> 2,
         e.value ->> 3, e.value ->> 4, e.value ->> 5, e.value ->> 6,
         nullif(e.value -> 7, 'null'), e.value ->> 8, e.value ->> 8, e.value ->> 9,
         e.value ->> 14, nullif(e.value -> 15, 'null'), e.value ->> 16, e.value ->> 17
  from jsonb_each(new.rows) as e
  where true
  on conflict (type, unique_key) where unique_until is not null do nothing;

  insert into payloads (seq, body, content_type, params, traceparent)
  select j.seq, coalesce(e.value ->> 10, unhex(e.value ->> 11)), e.value ->> 12,
         nullif(e.value -> 13, 'null'), e.value ->> 19
  from jsonb_each(new.rows) as e cross join jobs as j
  where j.seq = (select said from answer) + e.key;

  insert into counts (queue, state, n)
  select j.queue, j.state, count(*)
  from jobs as j
  where j.seq >= (select said from answer)
  group by 1, 2
  on conflict (queue, state) do update set n = n + excluded.n;

  insert into changes (seq, at, event)
  select seq, created_at, state from jobs where seq >= (select said from answer);

  update answer set said = (
    select json_group_array(json_array(j.id, j.state, j.queue) order by e.key)
    from jsonb_each(new.rows) as e cross join jobs as j
    where j.type = e.value ->> 1 and j.unique_key = e.value ->> 16 and j.unique_until is not null
  );
end;

-- replace: rows are [id of the holder, body, its hex, content type, params].
create temp view do_replace as select null as rows;
create temp trigger replace_ instead of insert on do_replace
begin
  update payloads
  set body = coalesce(e.value ->> 1, unhex(e.value ->> 2)), content_type = e.value ->> 3,
      params = nullif(e.value -> 4, 'null')
  from jsonb_each(new.rows) as e, jobs as j
  where j.id = e.value ->> 0 and payloads.seq = +j.seq;
end;

-- What a person's wish is answered with: [id, state before, state after, done].
-- cancel: ids as an array.
create temp view do_cancel as select null as ids, null as now;
create temp trigger cancel instead of insert on do_cancel
begin
  insert into moved (seq, queue, type, was, state, reason)
  select j.seq, j.queue, j.type, j.state, 'cancelled', 'cancelled'
  from json_each(new.ids) as e cross join jobs as j on j.id = e.value
  where j.state in ('scheduled', 'queued', 'waiting')
  on conflict do nothing;

  update answer set said = (
    select json_group_array(json_array(
      j.id, j.state, iif(j.state in ('scheduled', 'queued', 'waiting'), 'cancelled', j.state),
      json(iif(j.finished_at is null, 'true', 'false'))
    ))
    from json_each(new.ids) as e cross join jobs as j on j.id = e.value
  );

  insert into changes (seq, at, event, reason)
  select distinct j.seq, new.now, 'cancelling', 'cancelled'
  from json_each(new.ids) as e cross join jobs as j on j.id = e.value
  where j.state = 'running' and j.cancel_requested_at is null;

  update jobs set cancel_requested_at = new.now, version = version + 1, updated_at = new.now
  from json_each(new.ids) as e
  where jobs.id = e.value and jobs.state = 'running' and jobs.cancel_requested_at is null;

  insert into do_end_waiting values (new.now);
end;

-- The end of jobs that had not started.
create temp view do_end_waiting as select null as now;
create temp trigger end_waiting instead of insert on do_end_waiting
begin
  update jobs
  set state = m.state, reason = m.reason, version = version + 1, updated_at = new.now,
      finished_at = new.now, unique_until = iif(unique_until >= 1e18, null, unique_until)
  from moved as m
  where jobs.seq = +m.seq;
  insert into do_finish values (new.now);
end;

-- expire
create temp view do_expire as select null as now, null as n;
create temp trigger expire instead of insert on do_expire
begin
  insert into moved (seq, queue, type, was, state, reason)
  select seq, queue, type, state, 'cancelled', 'deadline' from jobs indexed by jobs_deadline
  where deadline is not null and state in ('scheduled', 'queued', 'waiting')
    and deadline <= new.now
  order by deadline
  limit new.n;

  update answer set said = (select said from moved_summary);
  insert into do_end_waiting values (new.now);
end;

-- retry: ids as an array. Of several with one unique key, the one that holds it, else the first.
create temp view do_retry as select null as ids, null as now;
create temp trigger retry instead of insert on do_retry
begin
  update jobs set unique_until = null
  where unique_until <= new.now and (type, unique_key) in (
    select j.type, j.unique_key from json_each(new.ids) as e cross join jobs as j on j.id = e.value
  );

  insert into moved (seq, queue, was, state)
  select seq, queue, state, 'queued'
  from (
    select j.seq, j.queue, j.state, j.unique_key,
           row_number() over (partition by j.type, j.unique_key
                              order by j.unique_until is null, min(e.key)) as place,
           h.seq as holder
    from json_each(new.ids) as e
    cross join jobs as j on j.id = e.value
    left join jobs as h on h.type = j.type and h.unique_key = j.unique_key
                       and h.unique_until is not null and h.seq <> j.seq
    where j.state in ('done', 'failed', 'cancelled')
    group by j.seq
  )
  where unique_key is null or (holder is null and place = 1);

  update answer set said = (
    select json_group_array(json_array(
      j.id, j.state, iif(m.seq is null, j.state, 'queued'),
      json(iif(m.seq is null, 'false', 'true'))
    ))
    from json_each(new.ids) as e cross join jobs as j on j.id = e.value
    left join moved as m on m.seq = j.seq
  );

  -- The attempt that succeeded was told by the job's own row.
  insert into attempts (seq, finished_at, started_at, attempt, worker, outcome, settled_under)
  select j.seq, j.finished_at, j.started_at, j.attempt, j.worker, 'done', j.settled_under
  from moved as m cross join jobs as j using (seq)
  where m.was = 'done';

  delete from results where seq in (select seq from moved);

  update jobs
  set state = 'queued', reason = null, attempt = 0, crashes = 0, version = version + 1,
      updated_at = new.now, run_at = new.now, started_at = null, finished_at = null, worker = null,
      deadline = iif(deadline <= new.now, null, deadline), cancel_requested_at = null,
      progress = null,
      unique_until = iif(unique_key is null, null, coalesce(unique_until, 1e18))
  from moved as m
  where jobs.seq = +m.seq;
  insert into do_finish values (new.now);
end;

-- amend: rows are arrays in the order of records.Amendment, each job at most once.
create temp view do_amend as select null as rows, null as now;
create temp trigger amend instead of insert on do_amend
begin
  insert into moved (seq, queue, was, state, to_queue, event, reason)
  select seq, queue, was, state, to_queue, iif(was = state, 'changed', null),
         case when was = state then reason when state = 'scheduled' then 'snoozed' end
  from (
    select j.seq, j.queue, j.state as was, j.reason, e.value ->> 4 as to_queue,
           case when e.value ->> 2 is null then j.state
                when e.value ->> 2 > new.now then 'scheduled' else 'queued' end as state
    from jsonb_each(new.rows) as e cross join jobs as j on j.id = e.value ->> 0
    where j.state in ('scheduled', 'queued')
      and (e.value ->> 1 is null or j.version = e.value ->> 1)
  )
  where true
  on conflict do nothing;

  update answer set said = (
    select json_group_array(json_array(
      j.id, j.state, coalesce(m.state, j.state), json(iif(m.seq is null, 'false', 'true'))
    ))
    from jsonb_each(new.rows) as e cross join jobs as j on j.id = e.value ->> 0
    left join moved as m on m.seq = j.seq
  );

  update jobs
  set state = m.state, reason = m.reason, version = j.version + 1, updated_at = new.now,
      run_at = coalesce(e.value ->> 2, j.run_at),
      priority = coalesce(e.value ->> 3, jobs.priority),
      queue = coalesce(e.value ->> 4, jobs.queue),
      tags = coalesce(nullif(e.value -> 5, 'null'), jobs.tags),
      timeout = coalesce(e.value ->> 6, jobs.timeout)
  from jsonb_each(new.rows) as e, jobs as j, moved as m
  where j.id = e.value ->> 0 and m.seq = +j.seq and jobs.seq = +j.seq;
  insert into do_finish values (new.now);
end;

-- remove: ids as an array.
create temp view do_remove as select null as ids;
create temp trigger remove instead of insert on do_remove
begin
  insert into moved (seq, queue, was)
  select j.seq, j.queue, j.state
  from json_each(new.ids) as e cross join jobs as j on j.id = e.value
  where j.finished_at is not null
  on conflict do nothing;

  update answer set said = (
    select json_group_array(json_array(
      j.id, j.state, iif(j.finished_at is null, j.state, null),
      json(iif(j.finished_at is null, 'false', 'true'))
    ))
    from json_each(new.ids) as e cross join jobs as j on j.id = e.value
  );
  insert into do_forget_jobs values (null);
end;

-- prune: rows are [seq, finished_at]; whoever was retried meanwhile stays.
create temp view do_prune as select null as rows, null as now, null as keep;
create temp trigger prune instead of insert on do_prune
begin
  insert into moved (seq, queue, was)
  select j.seq, j.queue, j.state
  from jsonb_each(new.rows) as e cross join jobs as j on j.seq = e.value ->> 0
  where j.finished_at = e.value ->> 1
  on conflict do nothing;

  update answer set said = (select count(*) from moved);
  insert into do_forget_jobs values (null);

  delete from idempotency_keys
  where key in (select key from idempotency_keys where expires_at <= new.now limit 500);
  delete from changes
  where id in (
    select id from changes
    where id < (select max(id) from changes) - new.keep
    order by id limit 5000
  );
end;

create temp view do_forget_jobs as select null as unused;
create temp trigger forget_jobs instead of insert on do_forget_jobs
begin
  update seq_floor set seq = m.seq
  from (select max(seq) as seq from moved) as m where m.seq > seq_floor.seq;
  delete from payloads where seq in (select seq from moved);
  delete from results where seq in (select seq from moved);
  delete from saves where seq in (select seq from moved);
  delete from callbacks where seq in (select seq from moved);
  delete from attempts where seq in (select seq from moved);
  delete from logs where seq in (select seq from moved);
  delete from jobs where seq in (select seq from moved);
  insert into do_finish values (null);
end;

-- report: rows are arrays in the order of records.Report.
create temp view do_report as select null as rows, null as now;
create temp trigger report instead of insert on do_report
begin
  -- Nobody moves; the list serves to remember whose lease is held, and the last line's number.
  insert into moved (seq, queue, was, state, token)
  select j.seq, j.queue, 'running', 'running',
         (select coalesce(max(l.n), 0) from logs as l where l.seq = j.seq)
  from jsonb_each(new.rows) as e cross join jobs as j on j.id = e.value ->> 0
  where j.lease_token = e.value ->> 1 and j.state = 'running'
  on conflict do nothing;

  insert into logs (seq, n, attempt, at, level, message)
  select m.seq, m.token + row_number() over (partition by m.seq order by e.key, l.key),
         l.value ->> 3, l.value ->> 0, l.value ->> 1, l.value ->> 2
  from jsonb_each(new.rows) as e cross join jobs as j on j.id = e.value ->> 0
  cross join moved as m on m.seq = j.seq
  cross join jsonb_each(e.value, '$[3]') as l
  where j.lease_token = e.value ->> 1;

  insert into changes (seq, at, event, line)
  select m.seq, new.now, 'log', m.token + 1
  from jsonb_each(new.rows) as e cross join jobs as j on j.id = e.value ->> 0
  cross join moved as m on m.seq = j.seq
  where j.lease_token = e.value ->> 1 and json_array_length(e.value, '$[3]') > 0;

  insert into changes (seq, at, event)
  select m.seq, new.now, 'progress'
  from jsonb_each(new.rows) as e cross join jobs as j on j.id = e.value ->> 0
  cross join moved as m on m.seq = j.seq
  where j.lease_token = e.value ->> 1 and e.value ->> 2 is not null;

  insert or replace into saves (seq, body)
  select m.seq, e.value ->> 4
  from jsonb_each(new.rows) as e cross join jobs as j on j.id = e.value ->> 0
  cross join moved as m on m.seq = j.seq
  where j.lease_token = e.value ->> 1 and e.value ->> 4 is not null;

  update jobs
  set progress = e.value -> 2, version = j.version + 1, updated_at = new.now
  from jsonb_each(new.rows) as e, jobs as j
  where j.id = e.value ->> 0 and j.lease_token = e.value ->> 1 and e.value ->> 2 is not null
    and jobs.seq = +j.seq and j.state = 'running';

  update answer
  set said = (select json_group_array(j.id) from moved as m cross join jobs as j using (seq));
  delete from moved;
end;

-- Queues with jobs that may be claimed, and how many more may run.
create temp view ready_queues as
select queue, room
from (
  select c.queue, iif(q.most is null, 9223372036854775807, q.most - coalesce(
    (select r.n from counts as r where r.queue = c.queue and r.state = 'running'), 0)) as room
  from counts as c left join queues as q on q.name = c.queue
  where c.state = 'queued' and c.n > 0 and q.paused_at is null
)
where room > 0;

-- claim: types are an array; at most n jobs, one of them on its last chance if that may be. queues
-- is an object of how many of each queue at most ("*": of all others), or null: any.
-- Tokens come from SQLite's own generator (ChaCha20, seeded by the system once).
create temp view do_claim as
select null as worker, null as types, null as n, null as now, null as expires_at,
       null as last_chance, null as queues;
create temp trigger claim instead of insert on do_claim
begin
  insert into moved (seq, queue, was, state, token)
  select seq, queue, 'queued', 'running', random() & 9223372036854775807
  from jobs indexed by jobs_last_chance
  where new.last_chance and state = 'queued' and crashes >= 2
    and type in (select value from json_each(new.types))
    and queue in (select queue from ready_queues)
    and (new.queues is null or 0 < coalesce(
      (select value from json_each(new.queues) where key = jobs.queue),
      (select value from json_each(new.queues) where key = '*'), 0))
  order by priority desc, run_at, seq
  limit min(1, new.n);

  -- The usual case, all that waits is in one queue: the index alone answers, nothing is ranked.
  insert into moved (seq, queue, was, state, token)
  select seq, queue, 'queued', 'running', random() & 9223372036854775807
  from jobs
  where (select count(*) from ready_queues) = 1
    and queue = (select queue from ready_queues)
    and state = 'queued' and crashes < 2
    and type in (select value from json_each(new.types))
  order by priority desc, run_at, seq
  limit min(
    new.n,
    coalesce((select room from ready_queues), 0),
    iif(new.queues is null, new.n, coalesce(
      (select value from json_each(new.queues) where key = (select queue from ready_queues)),
      (select value from json_each(new.queues) where key = '*'), 0))
  ) - (select count(*) from moved);

  -- Per queue, the index alone finds its first n; of these, as many may be as there is room for in
  -- it; then the best of all queues are taken, of each (or of those that share "*") no more than it
  -- may have here. The unary plus keeps the planner from walking the whole queue once for each
  -- candidate, and `cross join` fixes the order.
  insert into moved (seq, queue, was, state, token)
  select seq, queue, 'queued', 'running', random() & 9223372036854775807
  from (
    select seq, queue, priority, run_at, most,
           row_number() over (partition by share order by priority desc, run_at, seq)
             + (select count(*) from moved as m
                where iif(share = '*', m.queue not in (select key from json_each(new.queues)),
                          m.queue = share)) as place
    from (
      select j.seq, j.queue, j.priority, j.run_at, q.share, q.most, q.room,
             row_number() over (partition by j.queue order by j.priority desc, j.run_at, j.seq)
               + (select count(*) from moved as m where m.queue = j.queue) as nth
      from (
        select r.queue, r.room, iif(s.value is null, '*', r.queue) as share,
               iif(new.queues is null, new.n, coalesce(s.value,
                 (select value from json_each(new.queues) where key = '*'), 0)) as most
        from ready_queues as r left join json_each(new.queues) as s on s.key = r.queue
      ) as q
      cross join jobs as j
      where (select count(*) from ready_queues) > 1
        and q.most > 0
        and j.seq in (
          select k.seq from jobs as k
          where k.queue = q.queue and k.state = 'queued' and k.crashes < 2
            and k.type in (select value from json_each(new.types))
          order by k.priority desc, k.run_at, k.seq
          limit new.n
        )
        and +j.queue = q.queue
    )
    where nth <= room
  )
  where place <= most
  order by priority desc, run_at, seq
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
      lease_expires_at = new.expires_at, progress = null
  from moved as m
  where jobs.seq = +m.seq;

  update answer set said = (
    select json_group_array(
      json_array(
        j.id, j.type, j.queue, j.attempt, j.max_attempts, j.crashes, j.timeout, j.lease_token,
        j.started_at,
        iif(typeof(p.body) = 'text', p.body, null), iif(typeof(p.body) = 'blob', hex(p.body), null),
        p.content_type, json(p.params), j.deadline, json(j.backoff),
        j.run_at, p.traceparent,
        json(iif(exists (select 1 from queues as q where q.name = j.queue and q.most is not null),
                 'true', 'false')),
        (select s.body from saves as s where s.seq = m.seq), json(coalesce(j.tags, '[]'))
      )
      order by j.priority desc, j.run_at, j.seq
    )
    from moved as m cross join jobs as j using (seq) cross join payloads as p using (seq)
  );
  insert into do_finish values (new.now);
end;
