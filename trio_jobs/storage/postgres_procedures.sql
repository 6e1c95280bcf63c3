-- The verbs that write, as functions: one call, one round trip and a kept plan for a whole batch.
--
-- They live in a schema named after this text (`procedures` stands for its name), made by whichever
-- program needs it first: programs of different versions work on one database, each with its own.
-- Tables are found by the search_path of the connection.
--
-- Each verb answers with what it has to say, how many changes it has told (numbered from _first on,
-- see the table `changes`), and the moves: [queue, to queue, type, was, state, how many], from which
-- the session keeps the counters, once for all calls of a transaction, right before its commit. So
-- rows of `counts` are locked for that moment only, and always in the same order. Verbs that end jobs
-- also say which of these have a callback (null: none).
--
-- Rows are locked in the order of their numbers where several are picked by name; what a sweep picks
-- is skipped when it is locked. Where two transactions block each other nevertheless, one of them is
-- undone and tried again.

-- name: traits
-- Plans must not depend on statistics that were true for an empty table, so little is left to
-- choose. Every table is reached by an index, with all keys at once (`= any (array(select …))`), or
-- for each row by a lateral subquery with a limit; what is found is joined by hashing. A nested loop
-- took the table for the shorter side and walked all of it, 40 µs a row instead of 15.
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_nestloop = off
set enable_mergejoin = off set jit = off set plan_cache_mode = force_generic_plan

-- name: reply
out said text, out told bigint, out moves text, out calls text

-- name: sum_up
-- Of the list `moved`: how many changes were told, and the moves.
(select count(*) from moved),
coalesce((
  select json_agg(json_build_array(queue, to_queue, type, was, state, n))
  from (
    select queue, to_queue, type, was, state, count(*) as n from moved
    group by queue, to_queue, type, was, state
  ) as alike
)::text, '[]')

-- name: called
-- Which of the list `moved` have ended and have a callback: their numbers.
case when exists (select 1 from callbacks) then (
  select json_agg(c.seq)::text from callbacks as c
  where c.seq = any (array(select seq from moved where state in ('done', 'failed', 'cancelled')))
) end

-- name: summary
-- How many moved, and where to.
coalesce((
  select json_object_agg(state, n) from (select state, count(*) as n from moved group by state) as s
)::text, '{}')

-- name: tell
insert into changes (id, seq, at, event, reason)
select _first + row_number() over (), seq, _now, state, reason from moved

-- name: create_do_settle
-- Rows are arrays in the order of records.Settlement, each job at most once (of several, the first).
-- The fence: only the current lease of a running job gets past the join. The concatenation keeps the
-- planner from walking all running jobs instead.
create function procedures.do_settle(_rows jsonb, _now float8, _first bigint, {reply}) {traits} as $$
begin
  with given as materialized (
    select e ->> 0 as id, (e ->> 1)::bigint as token, e ->> 2 as state, (e ->> 3)::int as refund,
           e ->> 4 as reason, (e ->> 5)::float8 as run_at, e ->> 6 as result, e ->> 7 as raw,
           e ->> 8 as content_type, e ->> 9 as error_type, e ->> 10 as error_message,
           e ->> 11 as error_traceback, e ->> 2 in ('done', 'failed', 'cancelled') as ends
    from (
      select distinct on (r.e ->> 0) r.e from jsonb_array_elements(_rows) with ordinality as r (e, nth)
      order by r.e ->> 0, nth
    ) as one
  ),
  moved as (
    update jobs as j
    set state = case when g.ends or j.cancel_requested_at is null then g.state
                     else 'cancelled' end,
        reason = case when g.ends or j.cancel_requested_at is null then g.reason
                      else 'cancelled' end,
        finished_at = case when g.ends or j.cancel_requested_at is not null then _now end,
        unique_until = case when j.unique_until >= 1e18
                             and (g.ends or j.cancel_requested_at is not null) then null
                            else j.unique_until end,
        attempt = j.attempt - g.refund, version = j.version + 1, updated_at = _now,
        run_at = coalesce(g.run_at, j.run_at), lease_token = null, lease_expires_at = null,
        result_text = g.result, result_raw = decode(g.raw, 'hex'),
        result_content_type = g.content_type,
        settled_under = case when g.state = 'done' then g.token end
    from given as g
    where j.id = any (array(select id from given))
      and j.id = g.id and j.lease_token = g.token and j.state || '' = 'running'
    returning j.seq, j.id, j.queue, null as to_queue, j.type, 'running' as was, j.state, j.reason,
              j.started_at, j.attempt + g.refund as attempt, j.worker, g.error_type,
              g.error_message, g.error_traceback, g.token
  ),
  ended as (
    insert into attempts (seq, finished_at, started_at, attempt, worker, outcome, error_type,
                          error_message, error_traceback, settled_under)
    select seq, _now, started_at, attempt, worker, coalesce(reason, state), error_type,
           error_message, error_traceback, token
    from moved where state <> 'done'
  ),
  -- What ended well goes on from nowhere, should a person want it again.
  forgotten_ as (
    delete from saves where seq = any (array(select seq from moved where state = 'done'))
  ),
  said_ as ({tell})
  select coalesce((select json_agg(id) from moved)::text, '[]'), {sum_up}, {called}
  into said, told, moves, calls;
end $$

-- name: create_do_rescue
-- The job row alone decides; there is no table of workers to fall out of step with. Who is known to
-- live on this machine does not matter here: that is for stores that have one machine.
create function procedures.do_rescue(
  _now float8, _living jsonb, _crashes_allowed int, _n int, _first bigint, {reply}
) {traits} as $$
begin
  with lost as materialized (
    select seq as key from jobs
    where state = 'running' and lease_expires_at <= _now
    limit _n
    for update skip locked
  ),
  moved as (
    update jobs as j
    set state = case when cancel_requested_at is not null then 'cancelled'
                     when crashes + 1 >= _crashes_allowed then 'failed' else 'queued' end,
        reason = case when cancel_requested_at is not null then 'cancelled'
                      when crashes + 1 >= _crashes_allowed then 'poison' else 'lease_lost' end,
        finished_at = case when cancel_requested_at is not null
                             or crashes + 1 >= _crashes_allowed then _now end,
        unique_until = case when unique_until >= 1e18 and (cancel_requested_at is not null
                             or crashes + 1 >= _crashes_allowed) then null
                            else unique_until end,
        attempt = attempt - 1, crashes = crashes + 1, version = version + 1, updated_at = _now,
        lease_token = null, lease_expires_at = null
    where j.seq = any (array(select key from lost))
    returning j.seq, j.queue, null as to_queue, j.type, 'running' as was, j.state, j.reason,
              j.started_at, j.attempt + 1 as attempt, j.worker, j.crashes
  ),
  ended as (
    insert into attempts (seq, finished_at, started_at, attempt, worker, outcome, error_type,
                          error_message, error_traceback)
    select seq, _now, started_at, attempt, worker, reason, 'Crashed',
           format('its worker fell silent while it ran (%s of %s times)', crashes,
                  _crashes_allowed), ''
    from moved
  ),
  said_ as ({tell})
  select {summary}, {sum_up}, {called} into said, told, moves, calls;
end $$

-- name: create_do_promote
-- The reason (why it had to wait) goes; what went wrong stays in its attempts.
create function procedures.do_promote(_now float8, _n int, _first bigint, {reply}) {traits} as $$
begin
  with due as materialized (
    select seq as key from jobs
    where state = 'scheduled' and run_at <= _now
    order by run_at
    limit _n
    for update skip locked
  ),
  moved as (
    update jobs as j
    set state = 'queued', reason = null, version = version + 1, updated_at = _now
    where j.seq = any (array(select key from due))
    returning j.seq, j.queue, null as to_queue, null as type, 'scheduled' as was, j.state, j.reason
  ),
  said_ as ({tell})
  select {summary}, {sum_up} into said, told, moves;
end $$

-- name: create_do_expire
create function procedures.do_expire(_now float8, _n int, _first bigint, {reply}) {traits} as $$
begin
  with moved as materialized (
    select seq, queue, null as to_queue, type, state as was, 'cancelled' as state,
           'deadline' as reason
    from jobs
    where deadline is not null and state in ('scheduled', 'queued', 'waiting')
      and deadline <= _now
    order by deadline
    limit _n
    for update skip locked
  ),
  stopped as (
    update jobs
    set state = 'cancelled', reason = 'deadline', version = version + 1, updated_at = _now,
        finished_at = _now,
        unique_until = case when unique_until >= 1e18 then null else unique_until end
    where seq = any (array(select seq from moved))
  ),
  said_ as ({tell})
  select {summary}, {sum_up}, {called} into said, told, moves, calls;
end $$

-- name: create_do_enqueue
-- Rows are arrays in the order of records.NewJob; none has a unique key.
create function procedures.do_enqueue(_rows jsonb, _first bigint, {reply}) {traits} as $$
begin
  with given as materialized (
    select nextval('job_numbers') as seq, e, e ->> 2 as queue, e ->> 4 as state,
           (e ->> 8)::float8 as created_at
    from jsonb_array_elements(_rows) as e
  ),
  stored as (
    insert into jobs (seq, id, type, queue, priority, state, max_attempts, timeout, tags,
                      created_at, updated_at, run_at, deadline, backoff)
    select seq, e ->> 0, e ->> 1, queue, (e ->> 3)::int, state, (e ->> 5)::int,
           (e ->> 6)::float8, nullif(e -> 7, 'null'), created_at, created_at, (e ->> 9)::float8,
           (e ->> 14)::float8, nullif(e -> 15, 'null')::json
    from given
  ),
  bodies as (
    insert into payloads (seq, text, raw, content_type, params, traceparent)
    select seq, e ->> 10, decode(e ->> 11, 'hex'), e ->> 12, nullif(e -> 13, 'null')::json,
           e ->> 19
    from given
  ),
  said_ as (
    insert into changes (id, seq, at, event)
    select _first + row_number() over (), seq, created_at, state from given
  ),
  moved as (
    select queue, null as to_queue, null as type, null as was, state from given
  )
  select '', {sum_up} into said, told, moves;
end $$

-- name: holder
-- Part of what follows: who holds the unique key of the new job `e`.
select k.seq, k.id, k.state, k.queue, k.unique_until from jobs as k
where k.type = e ->> 1 and k.unique_key = e ->> 16 and k.unique_until is not null
limit 1

-- name: create_do_enqueue_unique
-- The same for rows with a unique key. The index jobs_unique decides; the answer says for each row
-- who holds its key now, and in which state that job is. A holder of another transaction that has not
-- committed yet is waited for; if it lets go of the key before we look, we try again.
create function procedures.do_enqueue_unique(_rows jsonb, _first bigint, {reply}) {traits} as $$
declare
  missing int;
  news bigint[] := '{}';
  more bigint[];
begin
  loop
    update jobs set unique_until = null
    where seq = any (array(
      select h.seq from jsonb_array_elements(_rows) as e cross join lateral ({holder}) as h
      where h.unique_until <= (e ->> 8)::float8
    ));

    with given as materialized (
      select e from jsonb_array_elements(_rows) with ordinality as r (e, nth)
      where (select seq from ({holder}) as h) is null
      order by nth
    ),
    stored as (
      insert into jobs (seq, id, type, queue, priority, state, max_attempts, timeout, tags,
                        created_at, updated_at, run_at, deadline, backoff, unique_key,
                        unique_until)
      select nextval('job_numbers'), e ->> 0, e ->> 1, e ->> 2, (e ->> 3)::int, e ->> 4,
             (e ->> 5)::int, (e ->> 6)::float8, nullif(e -> 7, 'null'), (e ->> 8)::float8,
             (e ->> 8)::float8, (e ->> 9)::float8, (e ->> 14)::float8,
             nullif(e -> 15, 'null')::json, e ->> 16, (e ->> 17)::float8
      from given
      on conflict (type, unique_key) where unique_until is not null do nothing
      returning seq, id
    ),
    bodies as (
      insert into payloads (seq, text, raw, content_type, params, traceparent)
      select s.seq, e ->> 10, decode(e ->> 11, 'hex'), e ->> 12, nullif(e -> 13, 'null')::json,
             e ->> 19
      from stored as s join given on e ->> 0 = s.id
    )
    select array_agg(seq order by seq) into more from stored;
    news := news || coalesce(more, '{}');

    select json_agg(json_build_array(h.id, h.state, h.queue) order by r.nth),
           count(*) filter (where h.id is null)
    into said, missing
    from jsonb_array_elements(_rows) with ordinality as r (e, nth)
    left join lateral ({holder}) as h on true;
    exit when missing = 0;
  end loop;

  with moved as materialized (
    select seq, queue, null as to_queue, null as type, null as was, state, created_at
    from jobs where seq = any (news)
  ),
  said_ as (
    insert into changes (id, seq, at, event)
    select _first + row_number() over (order by seq), seq, created_at, state from moved
  )
  select {sum_up} into told, moves;
end $$

-- name: create_do_replace
-- Rows are [id of the holder, body, its hex, content type, params].
create function procedures.do_replace(_rows jsonb, _first bigint, {reply}) {traits} as $$
begin
  with held as materialized (
    select h.seq, e
    from jsonb_array_elements(_rows) as e
    cross join lateral (select seq from jobs where id = e ->> 0 limit 1) as h
  )
  update payloads as p
  set text = e ->> 1, raw = decode(e ->> 2, 'hex'), content_type = e ->> 3,
      params = nullif(e -> 4, 'null')::json
  from held as h
  where p.seq = any (array(select seq from held)) and p.seq = h.seq;
  said := ''; told := 0; moves := '[]';
end $$

-- name: create_take_keys
-- Who comes with an idempotency key that nobody has leaves a row for it, expired already: another
-- request with the same key, in whatever process, waits here for our commit. Without that, both
-- would find none and both make jobs.
create function procedures.take_keys(_keys jsonb, _now float8) returns text {traits} as $$
begin
  insert into idempotency_keys (key, fingerprint, jobs, expires_at)
  select k, '', '[]', 0 from (select distinct jsonb_array_elements_text(_keys) as k) as d order by k
  on conflict (key) do update set expires_at = 0 where idempotency_keys.expires_at <= _now;
  return coalesce((
    select json_agg(json_build_array(i.key, i.fingerprint, i.jobs))
    from idempotency_keys as i
    where i.key = any (array(select jsonb_array_elements_text(_keys))) and i.expires_at > _now
  )::text, '[]');
end $$

-- name: waiting_or_running
-- The jobs that a person names, locked.
select seq, id, queue, type, state, reason, version, cancel_requested_at, finished_at
from jobs where id = any (array(select jsonb_array_elements_text(_ids))) order by seq for update

-- name: create_do_cancel
-- What a person's wish is answered with: [id, state before, state after, done].
create function procedures.do_cancel(_ids jsonb, _now float8, _first bigint, {reply}) {traits} as $$
begin
  with named as materialized ({waiting_or_running}),
  moved as materialized (
    select seq, queue, null as to_queue, type, state as was, 'cancelled' as state,
           'cancelled' as reason
    from named where state in ('scheduled', 'queued', 'waiting')
  ),
  asked as materialized (
    select seq from named where state = 'running' and cancel_requested_at is null
  ),
  stopped as (
    update jobs
    set state = 'cancelled', reason = 'cancelled', version = version + 1, updated_at = _now,
        finished_at = _now,
        unique_until = case when unique_until >= 1e18 then null else unique_until end
    where seq = any (array(select seq from moved))
  ),
  asked_ as (
    update jobs set cancel_requested_at = _now, version = version + 1, updated_at = _now
    where seq = any (array(select seq from asked))
  ),
  said_ as (
    insert into changes (id, seq, at, event, reason)
    select _first + row_number() over (), seq, _now, event, 'cancelled'
    from (
      select seq, 'cancelling' as event from asked union all select seq, state from moved
    ) as told_
  )
  select coalesce((
      select json_agg(json_build_array(
        id, state,
        case when state in ('scheduled', 'queued', 'waiting') then 'cancelled' else state end,
        finished_at is null
      )) from named
    )::text, '[]'), {sum_up}, {called} into said, told, moves, calls;
  told := told + jsonb_array_length(_ids);  -- more than there are: numbers may have gaps
end $$

-- name: create_do_retry
-- Of several with one unique key, the one that holds it, else the first.
create function procedures.do_retry(_ids jsonb, _now float8, _first bigint, {reply}) {traits} as $$
declare
  ids text[] := array(select jsonb_array_elements_text(_ids));
begin
  perform 1 from jobs where id = any (ids) order by seq for update;

  update jobs set unique_until = null
  where seq = any (array(
    select h.seq from jobs as j
    cross join lateral (
      select k.seq, k.unique_until from jobs as k
      where k.type = j.type and k.unique_key = j.unique_key and k.unique_until is not null
      limit 1
    ) as h
    where j.id = any (ids) and j.unique_key is not null and h.unique_until <= _now
  ));

  with named as materialized (
    select seq, id, queue, state, type, unique_key, unique_until, array_position(ids, id) as nth
    from jobs where id = any (ids)
  ),
  moved as materialized (
    select seq, queue, null as to_queue, null as type, state as was, 'queued' as state,
           null as reason
    from (
      select n.*, h.seq as holder,
             row_number() over (partition by n.type, n.unique_key
                                order by n.unique_until is null, n.nth) as place
      from named as n
      left join lateral (
        select k.seq from jobs as k
        where k.type = n.type and k.unique_key = n.unique_key and k.unique_until is not null
          and k.seq <> n.seq
        limit 1
      ) as h on true
      where n.state in ('done', 'failed', 'cancelled')
    ) as ranked
    where unique_key is null or (holder is null and place = 1)
  ),
  -- The attempt that succeeded was told by the job's own row.
  ended as (
    insert into attempts (seq, finished_at, started_at, attempt, worker, outcome, settled_under)
    select seq, finished_at, started_at, attempt, worker, 'done', settled_under
    from jobs where seq = any (array(select seq from moved where was = 'done'))
  ),
  again as (
    update jobs
    set state = 'queued', reason = null, attempt = 0, crashes = 0, version = version + 1,
        updated_at = _now, run_at = _now, started_at = null, finished_at = null, worker = null,
        deadline = case when deadline <= _now then null else deadline end,
        cancel_requested_at = null, progress = null, result_text = null, result_raw = null,
        result_content_type = null,
        unique_until = case when unique_key is not null then coalesce(unique_until, 1e18) end
    where seq = any (array(select seq from moved))
  ),
  said_ as ({tell})
  select coalesce((
      select json_agg(json_build_array(n.id, n.state, coalesce(m.state, n.state),
                                       m.seq is not null))
      from named as n left join moved as m using (seq)
    )::text, '[]'), {sum_up} into said, told, moves;
end $$

-- name: create_do_amend
-- Rows are arrays in the order of records.Amendment, each job at most once.
create function procedures.do_amend(_rows jsonb, _now float8, _first bigint, {reply}) {traits} as $$
declare
  ids text[] := array(select e ->> 0 from jsonb_array_elements(_rows) as e);
begin
  perform 1 from jobs where id = any (ids) order by seq for update;

  with named as materialized (
    select j.seq, j.id, j.queue, j.type, j.state, j.reason, j.version, e
    from jobs as j join jsonb_array_elements(_rows) as e on e ->> 0 = j.id
    where j.id = any (ids)
  ),
  moved as materialized (
    select seq, queue, to_queue, null as type, was, state,
           case when was = state then 'changed' else state end as event,
           case when was = state then reason when state = 'scheduled' then 'snoozed' end as reason,
           e
    from (
      select seq, queue, state as was, reason, e ->> 4 as to_queue, e,
             case when e ->> 2 is null then state
                  when (e ->> 2)::float8 > _now then 'scheduled' else 'queued' end as state
      from named
      where state in ('scheduled', 'queued')
        and (e ->> 1 is null or version = (e ->> 1)::int)
    ) as wanted
  ),
  changed as (
    update jobs as j
    set state = m.state, reason = m.reason, version = j.version + 1, updated_at = _now,
        run_at = coalesce((m.e ->> 2)::float8, j.run_at),
        priority = coalesce((m.e ->> 3)::int, j.priority),
        queue = coalesce(m.e ->> 4, j.queue),
        tags = coalesce(nullif(m.e -> 5, 'null'), j.tags),
        timeout = coalesce((m.e ->> 6)::float8, j.timeout)
    from moved as m
    where j.seq = any (array(select seq from moved)) and j.seq = m.seq
  ),
  said_ as (
    insert into changes (id, seq, at, event, reason)
    select _first + row_number() over (), seq, _now, event, reason from moved
  )
  select coalesce((
      select json_agg(json_build_array(n.id, n.state, coalesce(m.state, n.state),
                                       m.seq is not null))
      from named as n left join moved as m using (seq)
    )::text, '[]'), {sum_up} into said, told, moves;
end $$

-- name: forgotten
bodies as (delete from payloads where seq = any (array(select seq from moved))),
tried as (delete from attempts where seq = any (array(select seq from moved))),
saves_ as (delete from saves where seq = any (array(select seq from moved))),
callbacks_ as (delete from callbacks where seq = any (array(select seq from moved))),
lines as (delete from logs where seq = any (array(select seq from moved))),
gone as (delete from jobs where seq = any (array(select seq from moved)))

-- name: create_do_remove
create function procedures.do_remove(_ids jsonb, _first bigint, {reply}) {traits} as $$
begin
  with named as materialized ({waiting_or_running}),
  moved as materialized (
    select seq, queue, null as to_queue, null as type, state as was, null as state
    from named where finished_at is not null
  ),
  {forgotten}
  select coalesce((
      select json_agg(json_build_array(
        id, state, case when finished_at is null then state end, finished_at is not null
      )) from named
    )::text, '[]'), {sum_up} into said, told, moves;
end $$

-- name: create_do_prune
-- Rows are [seq, finished_at]; whoever was retried meanwhile stays. Other processes prune as well:
-- what they have in hand is passed over.
create function procedures.do_prune(
  _rows jsonb, _now float8, _keep bigint, _first bigint, {reply}
) {traits} as $$
declare
  surplus bigint;
  forget bigint;
begin
  with moved as materialized (
    select j.seq, j.queue, null as to_queue, null as type, j.state as was, null as state
    from jobs as j
    join (
      select distinct (e ->> 0)::bigint as seq, (e ->> 1)::float8 as finished_at
      from jsonb_array_elements(_rows) as e
    ) as found using (seq, finished_at)
    where j.seq = any (array(select (e ->> 0)::bigint from jsonb_array_elements(_rows) as e))
    for update of j skip locked
  ),
  {forgotten}
  select (select count(*) from moved)::text, {sum_up} into said, told, moves;

  delete from idempotency_keys
  where key in (
    select key from idempotency_keys where expires_at <= _now limit 500 for update skip locked
  );
  -- The numbers have gaps, and to count them all took 80 ms at 500,000: the server's own statistics
  -- say how many there are, a second late.
  surplus := case when _keep < 10000 then (select count(*) from changes)
                  else pg_stat_get_live_tuples('changes'::regclass) - _keep / 10 end - _keep;
  if surplus > 0 then
    select max(id) into forget
    from (select id from changes order by id limit least(surplus, 5000)) as oldest;
    delete from changes where id <= forget;
    update changes_floor set id = greatest(id, forget);
  end if;
end $$

-- name: create_do_report
-- Rows are arrays in the order of records.Report.
create function procedures.do_report(_rows jsonb, _now float8, _first bigint, {reply}) {traits} as $$
declare
  ids text[] := array(select e ->> 0 from jsonb_array_elements(_rows) as e);
begin
  perform 1 from jobs where id = any (ids) order by seq for update;

  with given as materialized (
    select e ->> 0 as id, (e ->> 1)::bigint as token, nullif(e -> 2, 'null') as progress,
           e -> 3 as lines, e ->> 4 as saved, nth
    from jsonb_array_elements(_rows) with ordinality as r (e, nth)
  ),
  held as materialized (
    select j.seq, j.id, g.progress, g.lines, g.saved, g.nth,
           coalesce((
             select l.n from logs as l where l.seq = j.seq order by l.n desc limit 1
           ), 0) as last
    from given as g join jobs as j on j.id = g.id
    where j.id = any (ids) and j.lease_token = g.token and j.state || '' = 'running'
  ),
  kept as (
    insert into logs (seq, n, attempt, at, level, message)
    select h.seq, h.last + row_number() over (partition by h.seq order by h.nth, l.at),
           (l.line ->> 3)::int, (l.line ->> 0)::float8, l.line ->> 1, l.line ->> 2
    from held as h cross join jsonb_array_elements(h.lines) with ordinality as l (line, at)
  ),
  saved_ as (
    insert into saves (seq, body)
    select distinct on (seq) seq, saved from held where saved is not null order by seq, nth desc
    on conflict (seq) do update set body = excluded.body
  ),
  news as materialized (
    select seq, 'log' as event, last + 1 as line, nth from held where jsonb_array_length(lines) > 0
    union all
    select seq, 'progress', null, nth from held where progress is not null
  ),
  said_ as (
    insert into changes (id, seq, at, event, line)
    select _first + row_number() over (order by event, nth), seq, _now, event, line from news
  ),
  moved_on as (
    update jobs as j
    set progress = p.progress, version = j.version + 1, updated_at = _now
    from (
      select distinct on (seq) seq, progress::json from held
      where progress is not null order by seq, nth desc
    ) as p
    where j.seq = any (array(select seq from held)) and j.seq = p.seq
  )
  select coalesce((select json_agg(id) from (select distinct id from held) as h)::text, '[]'),
         (select count(*) from news), '[]'
  into said, told, moves;
end $$

-- name: ready
-- Part of what follows: jobs that may be claimed, but for those on their last chance.
k.state = 'queued' and k.crashes < 2

-- name: create_do_claim
-- Types are an array; at most n jobs, one of them on its last chance if that may be. queues is an
-- object of how many of each queue at most ("*": of all others), or null: any.
--
-- Which queues have jobs comes from the index, a step for each: the counters are right only when a
-- transaction has ended. Queues with a limit are locked, so that two processes do not fill the last
-- place both; everything else passes over rows that another process has in hand.
create function procedures.do_claim(
  _worker text, _types jsonb, _n int, _now float8, _expires_at float8, _last_chance boolean,
  _queues jsonb, _first bigint, {reply}
) {traits} as $$
declare
  types text[] := array(select jsonb_array_elements_text(_types));
  base bigint;
  chosen bigint[] := '{}';   -- in the order of their queues
  names text[];              -- queues with jobs, not paused; what follows is about each of them
  rooms bigint[];            -- how many may run at a time, less those that do; null: any number
  shares text[];             -- its name in _queues, or '*'
  quotas bigint[];           -- how many of it belong to the best
  limited text[];
  had jsonb := '{}';         -- how many are chosen of each queue, and ('=' before) of each share
  found bigint[];
  i int;
  wanted bigint;
  short boolean := false;
  bytes bigint;
begin
  with recursive steps (name) as (
    (select k.queue from jobs as k where {ready} order by k.queue limit 1)
    union all
    select (select k.queue from jobs as k where {ready} and k.queue > steps.name
            order by k.queue limit 1)
    from steps where steps.name is not null
  ),
  hopeful (name) as (
    select name from steps where name is not null
    union
    select queue from jobs where _last_chance and state = 'queued' and crashes >= 2
  )
  select array_agg(h.name), array_agg(coalesce(q.most, -1)),
         array_agg(case when _queues ? h.name then h.name else '*' end)
  into names, rooms, shares
  from hopeful as h left join queues as q on q.name = h.name
  where q.paused_at is null;

  if names is not null and 0 <= any (rooms) then
    perform 1 from queues where name = any (names) and most is not null order by name for update;
    -- A statement of its own: it sees what those have done whom we had to wait for.
    select array_agg(h.name), array_agg(q.most - case when q.most is not null then
             (select count(*) from jobs as r where r.state = 'running' and r.queue = h.name) end),
           array_agg(h.share)
    into names, rooms, shares
    from unnest(names, shares) as h (name, share) left join queues as q on q.name = h.name
    where q.paused_at is null;
    limited := array(select name from queues where name = any (names) and most is not null);
  else
    rooms := array_fill(null::bigint, array[coalesce(cardinality(names), 0)]);
  end if;

  if _last_chance and _n > 0 and names is not null then
    select array[k.seq], jsonb_build_object(k.queue, 1, '=' || h.share, 1)
    into found, had
    from jobs as k join unnest(names, rooms, shares) as h (name, room, share) on h.name = k.queue
    where k.state = 'queued' and k.crashes >= 2 and k.type = any (types)
      and coalesce(h.room, 1) > 0
      and (_queues is null or coalesce((_queues ->> h.share)::int, 0) > 0)
    order by k.priority desc, k.run_at, k.seq
    limit 1
    for update of k skip locked;
    chosen := coalesce(found, '{}');
    had := coalesce(had, '{}');
  end if;

  if cardinality(names) = 1 then
    quotas := array[_n];  -- the usual case: nothing is to be ranked
  elsif names is not null then
    select array_agg(coalesce(b.n, 0) order by h.nth) into quotas
    from unnest(names) with ordinality as h (name, nth)
    left join (
      select name, count(*) as n
      from (
        select name
        from (
          select c.*,
                 row_number() over (partition by c.share
                                    order by c.priority desc, c.run_at, c.seq)
                   + coalesce((had ->> ('=' || c.share))::int, 0) as place
          from (
            select h.name, h.share, k.priority, k.run_at, k.seq, h.room,
                   row_number() over (partition by h.name
                                      order by k.priority desc, k.run_at, k.seq)
                     + coalesce((had ->> h.name)::int, 0) as nth
            from unnest(names, rooms, shares) as h (name, room, share)
            cross join lateral (
              select k.priority, k.run_at, k.seq from jobs as k
              where k.queue = h.name and {ready} and k.type = any (types)
              order by k.priority desc, k.run_at, k.seq
              limit _n
            ) as k
          ) as c
          where c.nth <= coalesce(c.room, c.nth)
        ) as placed
        where _queues is null or place <= coalesce((_queues ->> share)::int, 0)
        order by priority desc, run_at, seq
        limit _n - cardinality(chosen)
      ) as best
      group by name
    ) as b using (name);
  end if;

  -- Each queue gives its quota; where others were there first, the remaining queues make up for it.
  for round in 1..2 loop
    exit when names is null or (round = 2 and not short);
    for i in 1..cardinality(names) loop
      wanted := least(
        _n - cardinality(chosen),
        case when round = 1 then quotas[i] else _n end,
        rooms[i] - coalesce((had ->> names[i])::int, 0),
        case when _queues is not null then
          coalesce((_queues ->> shares[i])::int, 0)
            - coalesce((had ->> ('=' || shares[i]))::int, 0) end
      );
      continue when wanted <= 0;
      select array_agg(seq) into found from (
        select k.seq from jobs as k
        where k.queue = names[i] and {ready} and k.type = any (types)
          and (round = 1 or k.seq <> all (chosen))
        order by k.priority desc, k.run_at, k.seq
        limit wanted
        for update skip locked
      ) as best;
      short := short or coalesce(cardinality(found), 0) < wanted;
      if found is not null then
        chosen := chosen || found;
        had := had || jsonb_build_object(
          names[i], coalesce((had ->> names[i])::int, 0) + cardinality(found),
          '=' || shares[i], coalesce((had ->> ('=' || shares[i]))::int, 0) + cardinality(found)
        );
      end if;
    end loop;
    exit when cardinality(names) = 1;
  end loop;

  -- Payloads of 32 MB together are enough for one answer; what is beyond waits for the next claim.
  select sum(coalesce(octet_length(p.text), octet_length(p.raw))) into bytes
  from payloads as p where p.seq = any (chosen);
  if bytes > 32000000 then
    select array_agg(seq) into chosen
    from (
      select j.seq, row_number() over best as place,
             sum(coalesce(octet_length(p.text), octet_length(p.raw))) over best as bytes
      from jobs as j join payloads as p using (seq)
      where j.seq = any (chosen) and p.seq = any (chosen)
      window best as (order by j.priority desc, j.run_at, j.seq)
    ) as sized
    where place = 1 or sized.bytes <= 32000000;
  end if;

  -- A fresh random number for the claim, and one more for each job: all of them go to one worker.
  base := ('x' || right(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint
          & 4611686018427387903;
  with moved as (
    update jobs as j
    set state = 'running', reason = null, attempt = attempt + 1, version = version + 1,
        updated_at = _now, started_at = _now, worker = _worker, lease_token = base + c.nth,
        lease_expires_at = _expires_at, progress = null
    from unnest(chosen) with ordinality as c (key, nth)
    where j.seq = any (chosen) and j.seq = c.key
    returning j.seq, j.id, j.type, j.queue, j.attempt, j.max_attempts, j.crashes, j.timeout,
              j.lease_token, j.deadline, j.backoff, j.run_at, j.priority, j.tags, null as to_queue,
              'queued' as was, j.state, j.reason
  ),
  said_ as ({tell})
  select coalesce((
      select json_agg(json_build_array(
        m.id, m.type, m.queue, m.attempt, m.max_attempts, m.crashes, m.timeout, m.lease_token,
        _now, p.text, encode(p.raw, 'hex'), p.content_type, p.params, m.deadline, m.backoff,
        m.run_at, p.traceparent, coalesce(m.queue = any (limited), false),
        (select s.body from saves as s where s.seq = m.seq limit 1), coalesce(m.tags, '[]')
      ) order by m.priority desc, m.run_at, m.seq)
      from moved as m join payloads as p using (seq)
      where p.seq = any (chosen)
    )::text, '[]'), {sum_up} into said, told, moves;
end $$

-- name: create_input_matches
-- Whether a JSON text has `wanted` at `path`, as JSON or as text; what is no JSON has nothing.
create function procedures.input_matches(body text, path text[], wanted text) returns boolean
language plpgsql as $$
begin
  return coalesce((body::json #> path)::text = wanted or body::json #>> path = wanted, false);
exception when data_exception then
  return false;
end $$

-- name: create_store_one
-- One job in a transaction of somebody else's, which may be long: no row that we need is locked by
-- it. `_row` is an array in the order of records.NewJob; the answer is who stands for it.
create function procedures.store_one(_row jsonb) returns text language plpgsql as $$
declare
  _first bigint := pg_current_xact_id()::text::bigint << 20;
  _seq bigint;
begin
  update jobs set unique_until = null
  where type = _row ->> 1 and unique_key = _row ->> 16 and unique_until is not null
    and unique_until <= (_row ->> 8)::float8;

  insert into jobs (seq, id, type, queue, priority, state, max_attempts, timeout, tags, created_at,
                    updated_at, run_at, deadline, backoff, unique_key, unique_until)
  values (nextval('job_numbers'), _row ->> 0, _row ->> 1, _row ->> 2, (_row ->> 3)::int, _row ->> 4,
          (_row ->> 5)::int, (_row ->> 6)::float8, nullif(_row -> 7, 'null'), (_row ->> 8)::float8,
          (_row ->> 8)::float8, (_row ->> 9)::float8, (_row ->> 14)::float8,
          nullif(_row -> 15, 'null')::json, _row ->> 16, (_row ->> 17)::float8)
  on conflict (type, unique_key) where unique_until is not null do nothing
  returning seq into _seq;

  if _seq is null then
    return (select id from jobs
            where type = _row ->> 1 and unique_key = _row ->> 16 and unique_until is not null);
  end if;

  insert into payloads (seq, text, raw, content_type, params, traceparent)
  values (_seq, _row ->> 10, decode(_row ->> 11, 'hex'), _row ->> 12,
          nullif(_row -> 13, 'null')::json, _row ->> 19);

  if _row ->> 21 is not null then
    insert into callbacks (seq, url) values (_seq, _row ->> 21);
  end if;

  insert into counts (queue, state, shard, n)
  values (_row ->> 2, _row ->> 4, 100 + pg_backend_pid() % 100, 1)
  on conflict (queue, state, shard) do update set n = counts.n + 1;

  insert into changes (id, seq, at, event)
  values (coalesce((select max(id) from changes where id between _first and _first + 1048575), _first)
            + 1, _seq, (_row ->> 8)::float8, _row ->> 4);

  perform pg_notify('trio_jobs_' || left(md5(current_schema()), 8), 'sql jx');
  return _row ->> 0;
end $$

-- name: create_trio_jobs_enqueue
-- The same for whoever speaks SQL; the name and the arguments stay.
create or replace function trio_jobs_enqueue(
  type text, input json default '{}', options jsonb default '{}'
) returns text language plpgsql set search_path from current as $$
declare
  moment float8 := extract(epoch from clock_timestamp());
  due float8 := coalesce((options ->> 'run_at')::float8, moment + (options ->> 'delay')::float8,
                         moment);
  queue text := coalesce(options ->> 'queue', 'default');
  unknown text := (
    select string_agg(key, ', ') from jsonb_object_keys(options) as key
    where key not in ('queue', 'priority', 'delay', 'run_at', 'deadline', 'timeout', 'max_attempts',
                      'tags', 'unique_key', 'unique_for')
  );
begin
  if unknown is not null then
    raise exception 'trio_jobs: no such option: %', unknown using errcode = 'invalid_parameter_value',
      hint = 'queue, priority, delay, run_at, deadline, timeout, max_attempts, tags, unique_key, unique_for';
  end if;
  if type !~ '^[A-Za-z0-9_.:-]{1,64}$' or queue !~ '^[A-Za-z0-9_.:-]{1,64}$' then
    raise exception 'trio_jobs: a type or a queue is 1 to 64 of A-Z a-z 0-9 _ . : -'
      using errcode = 'invalid_parameter_value';
  end if;
  return procedures.store_one(jsonb_build_array(
    -- A random UUID with the milliseconds in front, and its version changed from 4 to 7.
    encode(set_bit(set_bit(overlay(
      uuid_send(gen_random_uuid()) placing substring(int8send((moment * 1000)::bigint) from 3)
      from 1 for 6), 52, 1), 53, 1), 'hex')::uuid::text,
    type, queue, coalesce((options ->> 'priority')::int, 0),
    case when due > moment then 'scheduled' else 'queued' end,
    coalesce((options ->> 'max_attempts')::int, 5), (options ->> 'timeout')::float8,
    options -> 'tags', moment, due, input::text, null, 'application/json', null,
    (options ->> 'deadline')::float8, null, options ->> 'unique_key',
    case when options ? 'unique_key'
         then coalesce(moment + (options ->> 'unique_for')::float8, 1e18) end,
    'return', null, null
  ));
end $$
